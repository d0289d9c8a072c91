//! The parameters and first accounts of a chain: what its id is the hash of.

use std::fmt;

use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::crypto::ed25519::PublicKey;
use crate::crypto::hash::{domain, sha256_parts};

use super::address::NODE_KEY_PREFIX;
use super::block::BLOCK_WEIGHT_MAX;
use super::{
    AccountId, Amount, CompactBits, EngineKind, GenesisId, Height, MAX_SUPPLY, Millis, Uint256,
    transaction,
};

/// What kind of chain it is meant to be: the source of its defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// A public chain.
    Main = 0,
    /// A public chain for trials.
    Test = 1,
    /// A chain on one machine. Its one effect beyond defaults: 127/8 counts as routable.
    Dev = 2,
    /// A chain of known members.
    Consortium = 3,
}

/// How block rewards go with height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reward {
    /// No reward.
    None,
    /// The same for ever.
    Constant {
        /// Per block.
        initial: u64,
    },
    /// Half as much after every interval.
    Halving {
        /// Per block at first.
        initial: u64,
        /// Blocks to a halving.
        interval: u64,
    },
    /// As halving, but never less than the tail.
    Tail {
        /// Per block at first.
        initial: u64,
        /// Blocks to a halving.
        interval: u64,
        /// Per block at least.
        tail: u64,
    },
}

impl Reward {
    /// The scheduled reward of a block, before the supply's limit.
    #[must_use]
    pub fn at(self, height: Height) -> u64 {
        let halved = |initial: u64, interval: u64| match height.0.saturating_sub(1) / interval {
            halvings @ 0..64 => initial >> halvings,
            _ => 0,
        };
        match self {
            Self::None => 0,
            _ if height == Height::GENESIS => 0,
            Self::Constant { initial } => initial,
            Self::Halving { initial, interval } => halved(initial, interval),
            Self::Tail {
                initial,
                interval,
                tail,
            } => halved(initial, interval).max(tail),
        }
    }
}

/// The parameters of one consensus engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineRules {
    /// Proof of work.
    Work {
        /// How fast the target follows the block rate.
        half_life_ms: u64,
        /// The target of block 1.
        pow_bits: CompactBits,
        /// The easiest target.
        pow_limit: CompactBits,
    },
    /// Proof of stake.
    Stake {
        /// The proposer's part of the reward, in 1/10,000.
        proposer_bp: u16,
        /// Blocks in an epoch.
        epoch_blocks: u32,
        /// Epochs that stake stays slashable after it is unbonded.
        unbonding_epochs: u32,
        /// Time that stake stays slashable after it is unbonded.
        unbonding_ms: u64,
        /// How long a node may be away and still trust its last certificate.
        trust_ms: u64,
        /// The least stake of a validator.
        min_stake: u64,
        /// The bound on message delay.
        delta_ms: u32,
        /// Views in a leader's window.
        window_views: u16,
        /// The most validators of an epoch.
        max_validators: u16,
        /// The most stake that may change in an epoch, in 1/10,000.
        churn_bp: u16,
        /// The part of a stake that equivocation burns, in 1/10,000.
        slash_bp: u16,
        /// The reporter's part of what is slashed, in 1/10,000.
        reporter_bp: u16,
        /// How often an idle chain makes a block.
        heartbeat_ms: u32,
    },
}

/// The parameters that blocks are checked with. They come from the genesis and from the upgrades
/// that are active at a height; every check takes them from [`Rules::at`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The engine and its parameters.
    pub engine: EngineRules,
    /// The time between blocks that the chain aims at.
    pub interval_ms: u32,
    /// The greatest sum of transaction weights in a block.
    pub max_block_weight: u32,
    /// The most bytes of a transaction.
    pub max_tx_bytes: u32,
    /// The most ops of a transaction.
    pub max_ops: u16,
    /// The most bytes of one Data op.
    pub max_data: u16,
    /// The base fee of the genesis block; 0 for a chain without base fee.
    pub base_fee_initial: u64,
    /// The base fee never falls below.
    pub base_fee_min: u64,
    /// What creating an account burns.
    pub account_fee: u64,
    /// The reward schedule.
    pub reward: Reward,
    /// Blocks until a reward can be spent.
    pub maturity: u32,
}

impl Rules {
    /// The rules for a block at `height`. No upgrade is defined yet, so they are the genesis's at
    /// every height; an upgrade adds its activation here and nowhere else.
    #[must_use]
    pub fn at(genesis: &Genesis, _height: Height) -> &Self {
        &genesis.rules
    }

    /// The least time from a block to its child: a sixtieth of the interval, at least 1 ms.
    #[must_use]
    pub fn step_ms(&self) -> u64 {
        u64::from(self.interval_ms / 60).max(1)
    }

    /// How far ahead of a node's clock a block may be before the node holds it back.
    #[must_use]
    pub fn future_limit_ms(&self) -> u64 {
        match self.engine {
            EngineRules::Work { half_life_ms, .. } => half_life_ms / 32,
            EngineRules::Stake { .. } => 1_000,
        }
    }

    /// Which engine decides.
    #[must_use]
    pub const fn engine_kind(&self) -> EngineKind {
        match self.engine {
            EngineRules::Work { .. } => EngineKind::Work,
            EngineRules::Stake { .. } => EngineKind::Stake,
        }
    }
}

/// A validator of the first epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenesisValidator {
    /// The key that signs votes.
    pub consensus_key: PublicKey,
    /// The account that owns the stake.
    pub account: AccountId,
    /// What it has bonded.
    pub stake: Amount,
}

/// A chain's beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// What kind of chain it is.
    pub profile: Profile,
    /// 1 to 16 characters of a-z, 0-9 and the hyphen.
    pub name: String,
    /// The prefix of addresses: 1 to 8 letters a-z.
    pub hrp: String,
    /// When the chain begins.
    pub time: Millis,
    /// Digits after the point where people read amounts.
    pub decimals: u8,
    /// Leading zero bits that a node's identity must show.
    pub id_puzzle_bits: u8,
    /// What blocks are checked with.
    pub rules: Rules,
    /// Keys that may vouch for nodes, ascending.
    pub operators: Vec<PublicKey>,
    /// The first validators, ascending by consensus key; none with proof of work.
    pub validators: Vec<GenesisValidator>,
    /// The first accounts and what they hold, ascending.
    pub allocations: Vec<(AccountId, Amount)>,
}

/// Bytes before the lists.
const FIXED_BYTES: usize = 184;
const NAME: &str = "name must be 1 to 16 characters of a-z, 0-9 and -";
const HRP: &str = "hrp must be 1 to 8 letters a-z";

/// Why values are no genesis: the field and its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisError {
    /// The field as docs/formats.md and the TOML view name it.
    pub field: &'static str,
    /// What must hold.
    pub rule: &'static str,
}

impl fmt::Display for GenesisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.rule)
    }
}

impl std::error::Error for GenesisError {}

/// Shorthand of the checks below.
fn require(holds: bool, field: &'static str, rule: &'static str) -> Result<(), GenesisError> {
    if holds {
        Ok(())
    } else {
        Err(GenesisError { field, rule })
    }
}

fn ascending<K: Ord>(keys: impl Iterator<Item = K> + Clone) -> bool {
    keys.clone().zip(keys.skip(1)).all(|(a, b)| a < b)
}

impl Genesis {
    /// The chain's id.
    #[must_use]
    pub fn id(&self) -> GenesisId {
        GenesisId(sha256_parts(&[domain::GENESIS, &self.to_bytes()]))
    }

    /// All that the genesis block issues.
    #[must_use]
    pub fn issued(&self) -> u128 {
        let stakes = self
            .validators
            .iter()
            .map(|validator| u128::from(validator.stake.0));
        let amounts = self
            .allocations
            .iter()
            .map(|(_, amount)| u128::from(amount.0));
        stakes.chain(amounts).sum()
    }

    /// Checks every rule that a genesis must keep.
    pub fn check(&self) -> Result<(), GenesisError> {
        let name = self.name.as_bytes();
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        require(
            (1..=16).contains(&name.len()) && name.iter().all(plain),
            "name",
            NAME,
        )?;
        let hrp = self.hrp.as_bytes();
        let letters = hrp.iter().all(u8::is_ascii_lowercase);
        require((1..=8).contains(&hrp.len()) && letters, "hrp", HRP)?;
        // Addresses would look like the keys of nodes, and money sent to one is gone.
        let is_of_nodes = self.hrp == NODE_KEY_PREFIX;
        require(!is_of_nodes, "hrp", "must not be that of node keys")?;
        self.rules.check()?;
        if let EngineRules::Stake {
            min_stake,
            max_validators,
            ..
        } = self.rules.engine
        {
            let count = self.validators.len();
            require(count > 0, "validators", "proof of stake needs at least one")?;
            let most = usize::from(max_validators);
            require(
                count <= most,
                "validators",
                "there are more than max_validators",
            )?;
            let enough = self
                .validators
                .iter()
                .all(|validator| validator.stake.0 >= min_stake);
            require(enough, "validators", "a stake is below min_stake")?;
        } else {
            require(
                self.validators.is_empty(),
                "validators",
                "proof of work has none",
            )?;
        }
        let limit = usize::from(u16::MAX);
        require(
            self.operators.len() <= limit,
            "operators",
            "there are more than 65,535",
        )?;
        let count = u32::try_from(self.allocations.len());
        require(
            count.is_ok(),
            "allocations",
            "there are more than 4,294,967,295",
        )?;
        let order = "keys must be strictly ascending";
        require(ascending(self.operators.iter()), "operators", order)?;
        require(
            ascending(self.validators.iter().map(|v| v.consensus_key)),
            "validators",
            order,
        )?;
        require(
            ascending(self.allocations.iter().map(|a| a.0)),
            "allocations",
            order,
        )?;
        let positive = self.allocations.iter().all(|(_, amount)| amount.0 > 0);
        require(positive, "allocations", "an amount must be more than 0")?;
        let supply = self.issued() <= u128::from(MAX_SUPPLY);
        require(supply, "allocations", "stakes and amounts exceed 2^63 - 1")
    }
}

impl Rules {
    fn check(&self) -> Result<(), GenesisError> {
        require(self.interval_ms > 0, "interval_ms", "must be more than 0")?;
        let weight = (100_000..=BLOCK_WEIGHT_MAX).contains(&self.max_block_weight);
        require(weight, "max_block_weight", "must be 100,000 to 4,100,000")?;
        let limit = transaction::TRANSACTION_BYTES_MAX as u32;
        let bytes = (1_024..=limit).contains(&self.max_tx_bytes);
        require(bytes, "max_tx_bytes", "must be 1,024 to 16,384")?;
        let ops = (1..=transaction::OPS_MAX).contains(&usize::from(self.max_ops));
        require(ops, "max_ops", "must be 1 to 64")?;
        let data = (1..=transaction::DATA_BYTES_MAX).contains(&usize::from(self.max_data));
        require(data, "max_data", "must be 1 to 1,024")?;
        let fee = self.base_fee_initial >= self.base_fee_min;
        require(fee, "base_fee_initial", "must not be below base_fee_min")?;
        require(self.maturity >= 1, "maturity", "must be at least 1")?;
        if let Reward::Halving { interval, .. } | Reward::Tail { interval, .. } = self.reward {
            require(
                interval > 0,
                "reward_interval",
                "must be more than 0 for halving and tail",
            )?;
        }
        match self.engine {
            EngineRules::Work {
                half_life_ms,
                pow_bits,
                pow_limit,
            } => {
                require(half_life_ms >= 32, "half_life_ms", "must be at least 32")?;
                let canonical = "must be a canonical compact target";
                let (bits, limit) = (pow_bits.target(), pow_limit.target());
                require(bits.is_some(), "pow_bits", canonical)?;
                require(limit.is_some(), "pow_limit", canonical)?;
                require(
                    bits <= limit,
                    "pow_bits",
                    "must not be easier than pow_limit",
                )
            }
            EngineRules::Stake {
                proposer_bp,
                epoch_blocks,
                unbonding_ms,
                trust_ms,
                delta_ms,
                window_views,
                max_validators,
                churn_bp,
                slash_bp,
                reporter_bp,
                ..
            } => {
                let shares = [
                    ("proposer_bp", proposer_bp),
                    ("churn_bp", churn_bp),
                    ("slash_bp", slash_bp),
                    ("reporter_bp", reporter_bp),
                ];
                for (field, share) in shares {
                    require(share <= 10_000, field, "must be at most 10,000")?;
                }
                require(epoch_blocks > 0, "epoch_blocks", "must be more than 0")?;
                require(window_views > 0, "window_views", "must be more than 0")?;
                require(delta_ms > 0, "delta_ms", "must be more than 0")?;
                require(
                    max_validators <= 256,
                    "max_validators",
                    "must be at most 256",
                )?;
                require(
                    trust_ms <= unbonding_ms,
                    "trust_ms",
                    "must not exceed unbonding_ms",
                )
            }
        }
    }
}

/// Text in a field of fixed width, zero padded.
fn encode_text(text: &str, width: usize, out: &mut Writer) {
    out.bytes(text.as_bytes());
    out.zeros(width - text.len());
}

/// Text of characters that `allowed` names, at least one, then zeros.
fn decode_text(
    input: &mut Reader<'_>,
    width: usize,
    allowed: fn(u8) -> bool,
    rule: &'static str,
) -> Result<String, DecodeError> {
    let rest = input.rest();
    let field = &rest[..rest.len().min(width)];
    let length = field
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(field.len());
    let (text, padding) = field.split_at(length);
    let empty = text.is_empty() && !field.is_empty();
    if empty || !text.iter().all(|byte| allowed(*byte)) || padding.iter().any(|byte| *byte != 0) {
        return Err(DecodeError::Invalid(rule));
    }
    input.bytes(width)?;
    Ok(text.iter().map(|byte| char::from(*byte)).collect())
}

impl Encode for Genesis {
    fn encode(&self, out: &mut Writer) {
        let rules = &self.rules;
        out.u16(1);
        out.u8(rules.engine_kind().byte());
        out.u8(self.profile as u8);
        encode_text(&self.name, 16, out);
        encode_text(&self.hrp, 8, out);
        out.u64(self.time.0);
        out.u32(rules.interval_ms);
        let (half_life_ms, pow_bits, pow_limit) = match rules.engine {
            EngineRules::Work {
                half_life_ms,
                pow_bits,
                pow_limit,
            } => (half_life_ms, pow_bits.0, pow_limit.0),
            EngineRules::Stake { .. } => (0, 0, 0),
        };
        out.u64(half_life_ms);
        out.u32(rules.max_block_weight);
        out.u32(rules.max_tx_bytes);
        out.u16(rules.max_ops);
        out.u16(rules.max_data);
        out.u64(rules.base_fee_initial);
        out.u64(rules.base_fee_min);
        out.u64(rules.account_fee);
        let (kind, initial, interval, tail) = match rules.reward {
            Reward::None => (0, 0, 0, 0),
            Reward::Constant { initial } => (1, initial, 0, 0),
            Reward::Halving { initial, interval } => (2, initial, interval, 0),
            Reward::Tail {
                initial,
                interval,
                tail,
            } => (3, initial, interval, tail),
        };
        out.u8(kind);
        out.u8(self.decimals);
        let proposer_bp = match rules.engine {
            EngineRules::Work { .. } => 0,
            EngineRules::Stake { proposer_bp, .. } => proposer_bp,
        };
        out.u16(proposer_bp);
        out.u32(rules.maturity);
        out.u64(initial);
        out.u64(interval);
        out.u64(tail);
        out.u32(pow_bits);
        out.u32(pow_limit);
        self.encode_stake(out);
        for operator in &self.operators {
            out.bytes(&operator.0);
        }
        for validator in &self.validators {
            out.bytes(&validator.consensus_key.0);
            validator.account.encode(out);
            out.u64(validator.stake.0);
        }
        for (account, amount) in &self.allocations {
            account.encode(out);
            out.u64(amount.0);
        }
    }
}

impl Genesis {
    /// From `epoch_blocks` to the counts of the lists.
    fn encode_stake(&self, out: &mut Writer) {
        let start = out.len();
        let mut heartbeat = 0;
        match self.rules.engine {
            EngineRules::Work { .. } => out.zeros(46),
            EngineRules::Stake {
                epoch_blocks,
                unbonding_epochs,
                unbonding_ms,
                trust_ms,
                min_stake,
                delta_ms,
                window_views,
                max_validators,
                churn_bp,
                slash_bp,
                reporter_bp,
                heartbeat_ms,
                ..
            } => {
                heartbeat = heartbeat_ms;
                out.u32(epoch_blocks);
                out.u32(unbonding_epochs);
                out.u64(unbonding_ms);
                out.u64(trust_ms);
                out.u64(min_stake);
                out.u32(delta_ms);
                out.u16(window_views);
                out.u16(max_validators);
                out.u16(churn_bp);
                out.u16(slash_bp);
                out.u16(reporter_bp);
            }
        }
        debug_assert_eq!(out.len() - start, 46);
        out.u8(self.id_puzzle_bits);
        out.u8(0);
        out.u32(heartbeat);
        out.u16(self.operators.len() as u16);
        out.u16(self.validators.len() as u16);
        out.u32(self.allocations.len() as u32);
    }
}

impl Decode for Genesis {
    #[expect(
        clippy::too_many_lines,
        reason = "one line for each field, in the order of the bytes"
    )]
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.constant(&1_u16.to_le_bytes(), "format must be 1")?;
        let engine = input.u8_in(1..=2, "engine must be 1 (work) or 2 (stake)")?;
        let work = engine == EngineKind::Work.byte();
        // What belongs to the other engine or to another reward kind must be zero.
        let only = |applies: bool| if applies { u64::MAX } else { 0 };
        let for_stake = only(!work);
        let other = "a field of the engine not chosen must be 0";
        let share = if work { 0 } else { 10_000 };
        let bp = "a share in basis points must be at most 10,000, and 0 with proof of work";
        let profile = match input.u8_in(0..=3, "profile must be 0 to 3")? {
            0 => Profile::Main,
            1 => Profile::Test,
            2 => Profile::Dev,
            _ => Profile::Consortium,
        };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let name = decode_text(input, 16, plain, NAME)?;
        let hrp = decode_text(input, 8, |byte| byte.is_ascii_lowercase(), HRP)?;
        let time = Millis(input.u64()?);
        let interval_ms = input.u32_in(1..=u32::MAX, "interval_ms must be more than 0")?;
        let half_life_ms = if work {
            input.u64_in(32..=u64::MAX, "half_life_ms must be at least 32")?
        } else {
            input.u64_in(0..=0, other)?
        };
        let weight = 100_000..=BLOCK_WEIGHT_MAX;
        let max_block_weight =
            input.u32_in(weight, "max_block_weight must be 100,000 to 4,100,000")?;
        let bytes = 1_024..=transaction::TRANSACTION_BYTES_MAX as u32;
        let max_tx_bytes = input.u32_in(bytes, "max_tx_bytes must be 1,024 to 16,384")?;
        let max_ops = input.u16_in(1..=transaction::OPS_MAX as u16, "max_ops must be 1 to 64")?;
        let data = 1..=transaction::DATA_BYTES_MAX as u16;
        let max_data = input.u16_in(data, "max_data must be 1 to 1,024")?;
        let base_fee_initial = input.u64()?;
        let fee = "base_fee_min must not exceed base_fee_initial";
        let base_fee_min = input.u64_in(0..=base_fee_initial, fee)?;
        let account_fee = input.u64()?;
        let kind = input.u8_in(0..=3, "reward_kind must be 0 to 3")?;
        let decimals = input.u8()?;
        let proposer_bp = input.u16_in(0..=share, bp)?;
        let maturity = input.u32_in(1..=u32::MAX, "maturity must be at least 1")?;
        let unused = "a reward field that the kind does not use must be 0";
        let initial = input.u64_in(0..=only(kind > 0), unused)?;
        let interval = match kind {
            2 | 3 => input.u64_in(1..=u64::MAX, "reward_interval must be more than 0")?,
            _ => input.u64_in(0..=0, unused)?,
        };
        let tail = input.u64_in(0..=only(kind == 3), unused)?;
        let reward = match kind {
            0 => Reward::None,
            1 => Reward::Constant { initial },
            2 => Reward::Halving { initial, interval },
            _ => Reward::Tail {
                initial,
                interval,
                tail,
            },
        };
        let (pow_bits, pow_limit) = if work {
            let rule = "pow_bits and pow_limit must be canonical, bits not easier";
            let bits = decode_target(input, Uint256::ONE, rule)?;
            let target = bits.target().unwrap_or(Uint256::MAX);
            (bits, decode_target(input, target, rule)?)
        } else {
            input.zeros(8, other)?;
            (CompactBits(0), CompactBits(0))
        };
        let least = u32::from(!work);
        let stake32 = least..=for_stake as u32;
        let zero = "epoch_blocks and delta_ms must be more than 0, and 0 with proof of work";
        let epoch_blocks = input.u32_in(stake32.clone(), zero)?;
        let unbonding_epochs = input.u32_in(0..=for_stake as u32, other)?;
        let unbonding_ms = input.u64_in(0..=for_stake, other)?;
        let trust_ms = input.u64_in(0..=unbonding_ms, "trust_ms must not exceed unbonding_ms")?;
        // More than the supply could not be bonded by the one validator that has to be.
        let min_stake = input.u64_in(0..=for_stake.min(MAX_SUPPLY), other)?;
        let delta_ms = input.u32_in(stake32, zero)?;
        let views = least as u16..=for_stake as u16;
        let window_views = input.u16_in(views, "window_views must be more than 0")?;
        let seats = least as u16..=if work { 0 } else { 256 };
        let max_validators = input.u16_in(seats, "max_validators must be 1 to 256")?;
        let churn_bp = input.u16_in(0..=share, bp)?;
        let slash_bp = input.u16_in(0..=share, bp)?;
        let reporter_bp = input.u16_in(0..=share, bp)?;
        let id_puzzle_bits = input.u8()?;
        input.zeros(1, "byte 171 must be 0")?;
        let heartbeat_ms = input.u32_in(0..=for_stake as u32, other)?;
        debug_assert!(input.position() >= FIXED_BYTES - 8);
        let n_operators = input.u16()?;
        let count = "proof of stake needs 1 to max_validators validators, proof of work none";
        let afford = MAX_SUPPLY.checked_div(min_stake).unwrap_or(u64::MAX);
        let most = u64::from(max_validators).min(afford) as u16;
        let n_validators = input.u16_in(least as u16..=most, count)?;
        let left = MAX_SUPPLY - u64::from(n_validators) * min_stake;
        let most = left.min(u32::MAX.into()) as u32;
        let n_allocations = input.u32_in(0..=most, "stakes leave nothing to allocate")?;
        let mut genesis = Self {
            profile,
            name,
            hrp,
            time,
            decimals,
            id_puzzle_bits,
            rules: Rules {
                engine: if work {
                    EngineRules::Work {
                        half_life_ms,
                        pow_bits,
                        pow_limit,
                    }
                } else {
                    EngineRules::Stake {
                        proposer_bp,
                        epoch_blocks,
                        unbonding_epochs,
                        unbonding_ms,
                        trust_ms,
                        min_stake,
                        delta_ms,
                        window_views,
                        max_validators,
                        churn_bp,
                        slash_bp,
                        reporter_bp,
                        heartbeat_ms,
                    }
                },
                interval_ms,
                max_block_weight,
                max_tx_bytes,
                max_ops,
                max_data,
                base_fee_initial,
                base_fee_min,
                account_fee,
                reward,
                maturity,
            },
            operators: Vec::new(),
            validators: Vec::new(),
            allocations: Vec::new(),
        };
        genesis.decode_lists(input, (n_operators, n_validators, n_allocations))?;
        Ok(genesis)
    }
}

impl Genesis {
    /// The three lists. Vectors grow as items are read: no count is trusted. Every item leaves
    /// enough of the supply, and of the keys above its own, for those that follow.
    fn decode_lists(
        &mut self,
        input: &mut Reader<'_>,
        (n_operators, n_validators, n_allocations): (u16, u16, u32),
    ) -> Result<(), DecodeError> {
        let limit = "stakes and amounts must not exceed 2^63 - 1, nor be too small";
        for followers in (0..u64::from(n_operators)).rev() {
            let previous = self.operators.last().map(|key| &key.0);
            let key = input.ascending(previous, followers, "operators must ascend")?;
            self.operators.push(PublicKey(key));
        }
        let min_stake = match self.rules.engine {
            EngineRules::Work { .. } => 0,
            EngineRules::Stake { min_stake, .. } => min_stake,
        };
        let mut supply = MAX_SUPPLY - u64::from(n_allocations);
        for followers in (0..u64::from(n_validators)).rev() {
            let previous = self
                .validators
                .last()
                .map(|validator| &validator.consensus_key.0);
            let key = input.ascending(previous, followers, "validators must ascend")?;
            let account = AccountId::decode(input)?;
            let stake = input.u64_in(min_stake..=supply - followers * min_stake, limit)?;
            supply -= stake;
            self.validators.push(GenesisValidator {
                consensus_key: PublicKey(key),
                account,
                stake: Amount(stake),
            });
        }
        // From here on `supply` is what may be given beyond 1 to each.
        for followers in (0..u64::from(n_allocations)).rev() {
            let previous = self.allocations.last().map(|(account, _)| &account.0);
            let account = input.ascending(previous, followers, "allocations must ascend")?;
            let amount = input.u64_in(1..=supply + 1, limit)?;
            supply -= amount - 1;
            self.allocations.push((AccountId(account), Amount(amount)));
        }
        Ok(())
    }
}

/// A canonical target that is not harder than `least`, else `rule`.
fn decode_target(
    input: &mut Reader<'_>,
    least: Uint256,
    rule: &'static str,
) -> Result<CompactBits, DecodeError> {
    let fits = |bits: CompactBits| bits.target().is_some_and(|target| target >= least);
    let rest = input.rest();
    if rest.len() < 4 {
        // The easiest targets whose compact form ends in these low bytes.
        let easiest = [[0xff, 0xff, 0x00, 0x21], [0xff, 0xff, 0x7f, 0x20]];
        let completable = easiest.into_iter().any(|mut bytes| {
            bytes[..rest.len()].copy_from_slice(rest);
            fits(CompactBits(u32::from_le_bytes(bytes)))
        });
        return Err(if completable {
            DecodeError::Incomplete
        } else {
            DecodeError::Invalid(rule)
        });
    }
    let bits = CompactBits(input.u32()?);
    if fits(bits) {
        Ok(bits)
    } else {
        Err(DecodeError::Invalid(rule))
    }
}

impl Profile {
    /// The name in the TOML view and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Test => "test",
            Self::Dev => "dev",
            Self::Consortium => "consortium",
        }
    }

    /// A genesis with this profile's values for `engine`, without allocations or validators
    /// (`docs/formats.md`, the table of profiles).
    #[must_use]
    pub fn genesis(self, engine: EngineKind, name: &str, time: Millis) -> Genesis {
        // Columns: main, test, dev, consortium.
        let pick = |values: [u64; 4]| values[self as usize];
        let interval_ms = pick([60_000, 10_000, 2_000, 1_000]);
        let engine = match engine {
            EngineKind::Work => EngineRules::Work {
                half_life_ms: 288 * interval_ms,
                pow_bits: CompactBits(
                    pick([0x1e00_ffff, 0x1f00_ffff, 0x1f04_0000, 0x1f04_0000]) as u32
                ),
                pow_limit: CompactBits(
                    pick([0x1e00_ffff, 0x1f00_ffff, 0x207f_ffff, 0x207f_ffff]) as u32
                ),
            },
            EngineKind::Stake => EngineRules::Stake {
                proposer_bp: 2_000,
                epoch_blocks: pick([7_200, 720, 60, 1_000]) as u32,
                unbonding_epochs: 2,
                unbonding_ms: pick([1_814_400_000, 86_400_000, 60_000, 0]),
                trust_ms: pick([1_209_600_000, 43_200_000, 0, 0]),
                min_stake: pick([100_000_000_000, 1_000_000_000, 100_000_000, 1]),
                delta_ms: pick([1_000, 1_000, 200, 500]) as u32,
                window_views: 4,
                max_validators: pick([200, 100, 50, 50]) as u16,
                churn_bp: pick([3_333, 3_333, 10_000, 10_000]) as u16,
                slash_bp: pick([500, 500, 500, 0]) as u16,
                reporter_bp: pick([500, 500, 500, 0]) as u16,
                heartbeat_ms: pick([60_000, 60_000, 10_000, 60_000]) as u32,
            },
        };
        let initial = 5_000_000_000;
        Genesis {
            profile: self,
            name: name.to_owned(),
            hrp: ["keel", "tkeel", "dkeel", "ckeel"][self as usize].to_owned(),
            time,
            decimals: 8,
            id_puzzle_bits: pick([16, 8, 0, 0]) as u8,
            rules: Rules {
                engine,
                interval_ms: interval_ms as u32,
                max_block_weight: 4_000_000,
                max_tx_bytes: 16_384,
                max_ops: 64,
                max_data: 1_024,
                base_fee_initial: pick([1_000, 1_000, 1_000, 0]),
                base_fee_min: pick([100, 100, 100, 0]),
                account_fee: pick([10_000, 10_000, 1_000, 0]),
                reward: match self {
                    Self::Main => Reward::Halving {
                        initial,
                        interval: 2_102_400,
                    },
                    Self::Test | Self::Dev => Reward::Constant { initial },
                    Self::Consortium => Reward::None,
                },
                maturity: pick([100, 20, 3, 1]) as u32,
            },
            operators: Vec::new(),
            validators: Vec::new(),
            allocations: Vec::new(),
        }
    }
}
