//! The rules that a header keeps by itself and beside its parent.

use std::fmt;
use std::sync::Arc;

use crate::base::Time;
use crate::codec::Writer;
use crate::crypto::merkle;
use crate::types::{
    AccountId, BlockId, CompactBits, EngineKind, EngineRules, Genesis, GenesisValidator, Hash,
    Header, Height, Millis, Rules, Seal, Uint256,
};

use super::asert::{Drift, asert};

/// The engine of this genesis is not part of this version of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedEngine(pub EngineKind);

impl fmt::Display for UnsupportedEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = match self.0 {
            EngineKind::Work => "proof of work",
            EngineKind::Stake => "proof of stake",
        };
        write!(
            f,
            "the genesis chooses {engine}, which this version cannot run; use a genesis with \
             engine = \"work\" or a version that has {engine}"
        )
    }
}

impl std::error::Error for UnsupportedEngine {}

/// The rule that a header breaks, with what it has and what it should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// The engine is not the genesis's.
    Engine {
        /// The genesis's.
        wanted: EngineKind,
        /// The header's.
        found: EngineKind,
    },
    /// The bits are no canonical target.
    BitsNotCanonical {
        /// The header's.
        found: CompactBits,
    },
    /// The target is easier than the chain allows.
    TargetAboveLimit {
        /// The header's.
        found: CompactBits,
        /// The easiest.
        limit: CompactBits,
    },
    /// The id is above the target.
    ProofOfWork {
        /// The header's id.
        id: BlockId,
        /// What it must not exceed.
        target: Uint256,
    },
    /// The height does not follow the parent's.
    Height {
        /// The parent's and one.
        wanted: Height,
        /// The header's.
        found: Height,
    },
    /// The time is too close to the parent's.
    TimeTooEarly {
        /// The parent's and the least step.
        earliest: Millis,
        /// The header's.
        found: Millis,
    },
    /// The target is not what the chain's drift demands.
    Bits {
        /// By the target rule.
        wanted: CompactBits,
        /// The header's.
        found: CompactBits,
    },
    /// The base fee does not follow from the parent's and its weight.
    BaseFee {
        /// By the rule.
        wanted: u64,
        /// The header's.
        found: u64,
    },
    /// The parent can't have had this weight.
    ParentWeight {
        /// The greatest weight of a block.
        limit: u32,
        /// The header's.
        found: u32,
    },
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine { wanted, found } => write!(
                f,
                "the header's engine is {}, the chain's is {}",
                found.byte(),
                wanted.byte()
            ),
            Self::BitsNotCanonical { found } => {
                write!(f, "the bits {found} are no canonical target")
            }
            Self::TargetAboveLimit { found, limit } => {
                write!(f, "the bits {found} are easier than the limit {limit}")
            }
            Self::ProofOfWork { id, target } => {
                write!(f, "the id {id} is above the target {target}")
            }
            Self::Height { wanted, found } => {
                write!(
                    f,
                    "the height is {found}, after its parent it must be {wanted}"
                )
            }
            Self::TimeTooEarly { earliest, found } => {
                write!(
                    f,
                    "the time is {found} ms, after its parent at least {earliest} ms"
                )
            }
            Self::Bits { wanted, found } => {
                write!(f, "the bits are {found}, the target rule gives {wanted}")
            }
            Self::BaseFee { wanted, found } => {
                write!(f, "the base fee is {found}, the fee rule gives {wanted}")
            }
            Self::ParentWeight { limit, found } => {
                write!(
                    f,
                    "the parent's weight is {found}, more than a block's limit {limit}"
                )
            }
        }
    }
}

impl std::error::Error for HeaderFault {}

/// What the rules need to know of a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentView {
    /// Its distance from genesis.
    pub height: Height,
    /// Its time.
    pub time: Millis,
    /// Its base fee.
    pub base_fee: u64,
}

impl From<&Header> for ParentView {
    fn from(header: &Header) -> Self {
        Self {
            height: header.height,
            time: header.time,
            base_fee: header.base_fee,
        }
    }
}

/// The parameters of proof of work, ready for use.
#[derive(Clone, Copy, Debug)]
struct Work {
    half_life_ms: u64,
    anchor: Uint256,
    limit_bits: CompactBits,
    limit: Uint256,
}

/// The header rules of one chain.
#[derive(Clone, Debug)]
pub struct HeaderRules {
    genesis: Arc<Genesis>,
    work: Work,
}

impl HeaderRules {
    /// The rules of the chain that begins with `genesis`, which is one that passed its check.
    pub fn new(genesis: Arc<Genesis>) -> Result<Self, UnsupportedEngine> {
        let EngineRules::Work {
            half_life_ms,
            pow_bits,
            pow_limit,
        } = genesis.rules.engine
        else {
            return Err(UnsupportedEngine(EngineKind::Stake));
        };
        let target = |bits: CompactBits| bits.target().expect("a checked genesis has targets");
        let work = Work {
            half_life_ms,
            anchor: target(pow_bits),
            limit_bits: pow_limit,
            limit: target(pow_limit),
        };
        Ok(Self { genesis, work })
    }

    /// The genesis of the chain.
    #[must_use]
    pub const fn genesis(&self) -> &Arc<Genesis> {
        &self.genesis
    }

    /// Checks what needs no other header: the engine, a target within the limit, and that the id
    /// shows the work. What passes cost its sender the work of the easiest target at least.
    pub fn check_isolated(&self, header: &Header) -> Result<(), HeaderFault> {
        self.check_isolated_as(header, header.id())
    }

    /// The same for a caller who has made the header's id already.
    pub fn check_isolated_as(&self, header: &Header, id: BlockId) -> Result<(), HeaderFault> {
        debug_assert_eq!(id, header.id(), "the id is the header's own");
        let target = self.check_target(header)?;
        if meets_target(&id, target) {
            Ok(())
        } else {
            Err(HeaderFault::ProofOfWork { id, target })
        }
    }

    /// The same without the work, which nobody has done yet on a block that is only proposed:
    /// gives the target that the work has to meet.
    pub fn check_target(&self, header: &Header) -> Result<Uint256, HeaderFault> {
        let Seal::Work { bits, .. } = header.seal else {
            return Err(HeaderFault::Engine {
                wanted: EngineKind::Work,
                found: header.engine(),
            });
        };
        let Some(target) = bits.target() else {
            return Err(HeaderFault::BitsNotCanonical { found: bits });
        };
        if target > self.work.limit {
            return Err(HeaderFault::TargetAboveLimit {
                found: bits,
                limit: self.work.limit_bits,
            });
        }
        Ok(target)
    }

    /// Checks a header beside its parent, which the caller found by `parent_id`. That
    /// `parent_weight` and the roots are true is seen when bodies are there.
    pub fn check_in_context(
        &self,
        header: &Header,
        parent: &ParentView,
    ) -> Result<(), HeaderFault> {
        let rules = Rules::at(&self.genesis, header.height);
        let (wanted, found) = (parent.height.next(), header.height);
        // At the last height `next` saturates, and nothing may follow.
        if found != wanted || found == parent.height {
            return Err(HeaderFault::Height { wanted, found });
        }
        let (step, found) = (rules.step_ms(), header.time);
        if found
            .0
            .checked_sub(parent.time.0)
            .is_none_or(|passed| passed < step)
        {
            let earliest = self.earliest_child(parent);
            return Err(HeaderFault::TimeTooEarly { earliest, found });
        }
        let (limit, found) = (rules.max_block_weight, header.parent_weight);
        if found > limit {
            return Err(HeaderFault::ParentWeight { limit, found });
        }
        let wanted = next_base_fee(rules, parent.base_fee, header.parent_weight);
        let found = header.base_fee;
        if found != wanted {
            return Err(HeaderFault::BaseFee { wanted, found });
        }
        let Seal::Work { bits: found, .. } = header.seal else {
            return Err(HeaderFault::Engine {
                wanted: EngineKind::Work,
                found: header.engine(),
            });
        };
        let wanted = self.next_bits(parent);
        if found == wanted {
            Ok(())
        } else {
            Err(HeaderFault::Bits { wanted, found })
        }
    }

    /// The bits that a child of `parent` must have.
    #[must_use]
    pub fn next_bits(&self, parent: &ParentView) -> CompactBits {
        let interval = i128::from(Rules::at(&self.genesis, parent.height).interval_ms);
        // The anchor is the genesis block, with a parent one interval before it.
        let drift = Drift {
            elapsed: i128::from(parent.time.0) - (i128::from(self.genesis.time.0) - interval),
            scheduled: interval * (i128::from(parent.height.0) + 1),
        };
        let work = &self.work;
        CompactBits::from_target(asert(work.anchor, drift, work.half_life_ms, work.limit))
    }

    /// The earliest time that a child of `parent` may carry.
    #[must_use]
    pub fn earliest_child(&self, parent: &ParentView) -> Millis {
        let rules = Rules::at(&self.genesis, parent.height.next());
        Millis(parent.time.0.saturating_add(rules.step_ms()))
    }

    /// Until when a node whose clock shows `now` holds a header back because it comes from too far
    /// in the future. A matter of clocks, not of validity: nobody is to blame, and the same header
    /// passes later.
    #[must_use]
    pub fn held_until(&self, header: &Header, now: Time) -> Option<Time> {
        let limit = Rules::at(&self.genesis, header.height).future_limit_ms();
        let ready = header.time.0.saturating_sub(limit);
        (ready > now.as_millis()).then(|| Time::from_millis(ready))
    }
}

/// Whether an id shows the work that a target asks for: read with its first byte as the most
/// significant, it is not above the target.
#[must_use]
pub fn meets_target(id: &BlockId, target: Uint256) -> bool {
    Uint256::from_be_bytes(&id.0) <= target
}

/// The base fee of a block, from its parent's and the parent's weight: up by at most an eighth
/// where the parent was more than half full, down by as much where it was less. A chain that
/// begins without a base fee never has one. Beyond 2^64 - 1 it stays there.
#[must_use]
pub fn next_base_fee(rules: &Rules, parent_base_fee: u64, parent_weight: u32) -> u64 {
    if rules.base_fee_initial == 0 {
        return 0;
    }
    let half = u128::from(rules.max_block_weight / 2);
    let (fee, weight) = (u128::from(parent_base_fee), u128::from(parent_weight));
    let change = fee * weight.abs_diff(half) / half / 8;
    let next = match weight.cmp(&half) {
        std::cmp::Ordering::Greater => fee + change.max(1),
        std::cmp::Ordering::Equal => fee,
        std::cmp::Ordering::Less => (fee - change).max(u128::from(rules.base_fee_min)),
    };
    u64::try_from(next).unwrap_or(u64::MAX)
}

/// The Merkle root over a set of validators, sorted by consensus key.
#[must_use]
pub fn validators_root(validators: &[GenesisValidator]) -> Hash {
    let leaves: Vec<Vec<u8>> = validators
        .iter()
        .map(|validator| {
            let mut leaf = Writer::with_capacity(72);
            leaf.bytes(&validator.consensus_key.0);
            leaf.bytes(&validator.account.0);
            leaf.u64(validator.stake.0);
            leaf.into_bytes()
        })
        .collect();
    Hash(merkle::root(&leaves))
}

/// The header of the genesis block; `state_root` is that of the state after the allocations. Its
/// id is not checked against its target.
#[must_use]
pub fn genesis_header(genesis: &Genesis, state_root: Hash) -> Header {
    Header {
        height: Height::GENESIS,
        parent_id: BlockId(genesis.id().0),
        time: genesis.time,
        tx_root: Hash(merkle::empty_root()),
        state_root,
        history_root: crate::types::History::new().root(),
        base_fee: genesis.rules.base_fee_initial,
        beneficiary: AccountId::ZERO,
        parent_weight: 0,
        seal: match genesis.rules.engine {
            EngineRules::Work { pow_bits, .. } => Seal::Work {
                bits: pow_bits,
                nonce: 0,
            },
            EngineRules::Stake { .. } => Seal::Stake {
                epoch: 0,
                proposer: 0,
                next_validators_root: validators_root(&genesis.validators),
                parent_bitmap: [0; 32],
            },
        },
    }
}

#[cfg(test)]
mod tests;
