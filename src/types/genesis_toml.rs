//! The TOML view of a genesis: what people write and read (`docs/formats.md`, "Genesis").
//!
//! Fields have the names of the binary form. `profile` gives the defaults of whatever is not
//! named; `[network]` and `[upgrades]` are not part of the genesis and do not change its id. Text
//! to values and back: reading the file is the caller's.

mod fields;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fmt::Write;

use crate::base::encode_hex;

use super::genesis::GenesisError;
use super::{
    Amount, CompactBits, EngineKind, EngineRules, Genesis, GenesisValidator, Millis, PeerAddress,
    Profile, Reward, encode_address,
};
use fields::Fields;

/// What a genesis file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisFile {
    /// The chain's beginning, which its id covers.
    pub genesis: Genesis,
    /// Peers to begin with, which the id does not cover.
    pub seeds: Vec<PeerAddress>,
}

/// Why text is no genesis file: where, what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisFileError {
    /// The field, as `allocations[2].account`; "the file" when its syntax is wrong.
    pub field: String,
    /// What is wrong and what to do about it.
    pub problem: String,
}

impl GenesisFileError {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for GenesisFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl std::error::Error for GenesisFileError {}

impl From<GenesisError> for GenesisFileError {
    fn from(error: GenesisError) -> Self {
        Self::new(error.field, format!("{}; change it", error.rule))
    }
}

/// Fields of every genesis, in the order they are written.
const COMMON: [&str; 25] = [
    "profile",
    "engine",
    "name",
    "hrp",
    "time",
    "decimals",
    "id_puzzle_bits",
    "interval_ms",
    "max_block_weight",
    "max_tx_bytes",
    "max_ops",
    "max_data",
    "base_fee_initial",
    "base_fee_min",
    "account_fee",
    "reward_kind",
    "reward_initial",
    "reward_interval",
    "reward_tail",
    "maturity",
    "operators",
    "validators",
    "allocations",
    "network",
    "upgrades",
];
/// Fields of proof of work only.
const WORK: [&str; 3] = ["half_life_ms", "pow_bits", "pow_limit"];
/// Fields of proof of stake only.
const STAKE: [&str; 13] = [
    "proposer_bp",
    "epoch_blocks",
    "unbonding_epochs",
    "unbonding_ms",
    "trust_ms",
    "min_stake",
    "delta_ms",
    "window_views",
    "max_validators",
    "churn_bp",
    "slash_bp",
    "reporter_bp",
    "heartbeat_ms",
];
const REWARD_KINDS: [&str; 4] = ["none", "constant", "halving", "tail"];
const ENGINES: [&str; 2] = ["work", "stake"];

/// Reads a genesis file.
pub fn parse_genesis(text: &str) -> Result<GenesisFile, GenesisFileError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let place = error.span().map_or(String::new(), |span| {
            let line = text[..span.start.min(text.len())].matches('\n').count() + 1;
            format!(" in line {line}")
        });
        GenesisFileError::new(
            "the file",
            format!("is not TOML{place}: {}; correct the line", error.message()),
        )
    })?;
    let mut fields = Fields::new(table, "");
    let profiles = ["main", "test", "dev", "consortium"];
    let profile = match fields.choice("profile", &profiles)?.ok_or_else(|| {
        GenesisFileError::new("profile", "is missing; add profile = \"dev\", or another")
    })? {
        0 => Profile::Main,
        1 => Profile::Test,
        2 => Profile::Dev,
        _ => Profile::Consortium,
    };
    let engine = match fields.choice("engine", &ENGINES)? {
        Some(0) => EngineKind::Work,
        Some(_) => EngineKind::Stake,
        None if profile == Profile::Consortium => EngineKind::Stake,
        None => EngineKind::Work,
    };
    let name = fields.required_text("name", "name = \"my-chain\"")?;
    let time = fields.required_number("time", "time = 1735689600000, ms since 1970")?;
    let mut genesis = profile.genesis(engine, &name, Millis(time));
    if let Some(hrp) = fields.text("hrp")? {
        genesis.hrp = hrp;
    }
    fields.number("decimals", &mut genesis.decimals)?;
    fields.number("id_puzzle_bits", &mut genesis.id_puzzle_bits)?;
    read_rules(&mut fields, &mut genesis)?;
    read_engine(&mut fields, &mut genesis.rules.engine)?;
    read_lists(&mut fields, &mut genesis)?;
    let seeds = read_network(&mut fields)?;
    refuse_upgrades(&mut fields)?;
    let (here, other, chosen) = match engine {
        EngineKind::Work => (WORK.as_slice(), STAKE.as_slice(), "work"),
        EngineKind::Stake => (STAKE.as_slice(), WORK.as_slice(), "stake"),
    };
    let known = [COMMON.as_slice(), here].concat();
    fields.finish(&known, |field| {
        other
            .contains(&field)
            .then(|| format!("is no field of a chain with engine = \"{chosen}\"; remove the line"))
    })?;
    genesis.check()?;
    Ok(GenesisFile { genesis, seeds })
}

fn read_rules(fields: &mut Fields, genesis: &mut Genesis) -> Result<(), GenesisFileError> {
    let rules = &mut genesis.rules;
    fields.number("interval_ms", &mut rules.interval_ms)?;
    fields.number("max_block_weight", &mut rules.max_block_weight)?;
    fields.number("max_tx_bytes", &mut rules.max_tx_bytes)?;
    fields.number("max_ops", &mut rules.max_ops)?;
    fields.number("max_data", &mut rules.max_data)?;
    fields.number("base_fee_initial", &mut rules.base_fee_initial)?;
    fields.number("base_fee_min", &mut rules.base_fee_min)?;
    fields.number("account_fee", &mut rules.account_fee)?;
    fields.number("maturity", &mut rules.maturity)?;
    rules.reward = read_reward(fields, rules.reward)?;
    Ok(())
}

/// Kind, initial, interval and tail as they stand in the binary form.
const fn reward_parts(reward: Reward) -> (usize, u64, u64, u64) {
    match reward {
        Reward::None => (0, 0, 0, 0),
        Reward::Constant { initial } => (1, initial, 0, 0),
        Reward::Halving { initial, interval } => (2, initial, interval, 0),
        Reward::Tail {
            initial,
            interval,
            tail,
        } => (3, initial, interval, tail),
    }
}

/// The reward schedule. What the profile has no value for must be named, and what the kind does
/// not use must not be.
fn read_reward(fields: &mut Fields, default: Reward) -> Result<Reward, GenesisFileError> {
    let (default_kind, initial, interval, tail) = reward_parts(default);
    let kind = fields
        .choice("reward_kind", &REWARD_KINDS)?
        .unwrap_or(default_kind);
    let mut part = |field: &str, used: bool, default: u64| {
        let mut value = default;
        let named = fields.number(field, &mut value)?;
        let kind = REWARD_KINDS[kind];
        match (used, named) {
            (false, true) => Err(GenesisFileError::new(
                field,
                format!("reward_kind = \"{kind}\" does not use it; remove the line"),
            )),
            (true, false) if default == 0 => Err(GenesisFileError::new(
                field,
                format!("is missing; reward_kind = \"{kind}\" needs it"),
            )),
            _ => Ok(value),
        }
    };
    let initial = part("reward_initial", kind > 0, initial)?;
    let interval = part("reward_interval", kind > 1, interval)?;
    let tail = part("reward_tail", kind > 2, tail)?;
    Ok(match kind {
        0 => Reward::None,
        1 => Reward::Constant { initial },
        2 => Reward::Halving { initial, interval },
        _ => Reward::Tail {
            initial,
            interval,
            tail,
        },
    })
}

fn read_engine(fields: &mut Fields, engine: &mut EngineRules) -> Result<(), GenesisFileError> {
    match engine {
        EngineRules::Work {
            half_life_ms,
            pow_bits,
            pow_limit,
        } => {
            fields.number("half_life_ms", half_life_ms)?;
            fields.bits("pow_bits", pow_bits)?;
            fields.bits("pow_limit", pow_limit)?;
        }
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
        } => {
            fields.number("proposer_bp", proposer_bp)?;
            fields.number("epoch_blocks", epoch_blocks)?;
            fields.number("unbonding_epochs", unbonding_epochs)?;
            fields.number("unbonding_ms", unbonding_ms)?;
            fields.number("trust_ms", trust_ms)?;
            fields.number("min_stake", min_stake)?;
            fields.number("delta_ms", delta_ms)?;
            fields.number("window_views", window_views)?;
            fields.number("max_validators", max_validators)?;
            fields.number("churn_bp", churn_bp)?;
            fields.number("slash_bp", slash_bp)?;
            fields.number("reporter_bp", reporter_bp)?;
            fields.number("heartbeat_ms", heartbeat_ms)?;
        }
    }
    Ok(())
}

/// The three lists, in any order; the binary form has them sorted.
fn read_lists(fields: &mut Fields, genesis: &mut Genesis) -> Result<(), GenesisFileError> {
    for (at, value) in fields.list("operators")?.into_iter().enumerate() {
        genesis
            .operators
            .push(fields::key(&format!("operators[{at}]"), &value)?);
    }
    for mut item in fields.tables("validators")? {
        genesis.validators.push(GenesisValidator {
            consensus_key: item.required_key("consensus_pk")?,
            account: item.required_account("account", &genesis.hrp)?,
            stake: Amount(item.required_number("stake", "a number of base units")?),
        });
        item.finish(&["consensus_pk", "account", "stake"], |_| None)?;
    }
    for mut item in fields.tables("allocations")? {
        let account = item.required_account("account", &genesis.hrp)?;
        let amount = Amount(item.required_number("amount", "a number of base units")?);
        item.finish(&["account", "amount"], |_| None)?;
        genesis.allocations.push((account, amount));
    }
    genesis.operators.sort_unstable();
    genesis
        .validators
        .sort_unstable_by_key(|validator| validator.consensus_key);
    genesis.allocations.sort_unstable();
    let hrp = &genesis.hrp;
    let twice = |list: &str, what: String| {
        Err(GenesisFileError::new(
            list,
            format!("{what} stands there twice; remove one"),
        ))
    };
    if let Some(pair) = genesis.operators.windows(2).find(|pair| pair[0] == pair[1]) {
        return twice("operators", encode_hex(&pair[0].0));
    }
    let same_key = |pair: &&[GenesisValidator]| pair[0].consensus_key == pair[1].consensus_key;
    if let Some(pair) = genesis.validators.windows(2).find(same_key) {
        return twice("validators", encode_hex(&pair[0].consensus_key.0));
    }
    if let Some(pair) = genesis
        .allocations
        .windows(2)
        .find(|pair| pair[0].0 == pair[1].0)
    {
        return twice("allocations", encode_address(hrp, &pair[0].0));
    }
    Ok(())
}

fn read_network(fields: &mut Fields) -> Result<Vec<PeerAddress>, GenesisFileError> {
    let Some(mut network) = fields.table("network")? else {
        return Ok(Vec::new());
    };
    let mut seeds = Vec::new();
    for (at, value) in network.list("seeds")?.into_iter().enumerate() {
        let field = format!("network.seeds[{at}]");
        let text = value.as_str().ok_or_else(|| {
            GenesisFileError::new(&*field, "must be text; write \"keelnode1..@ADDRESS:PORT\"")
        })?;
        seeds.push(text.parse().map_err(|error: super::PeerAddressError| {
            GenesisFileError::new(&*field, format!("{error}; write keelnode1..@ADDRESS:PORT"))
        })?);
    }
    network.finish(&["seeds"], |_| None)?;
    Ok(seeds)
}

/// No rule of this version is activated by a genesis file, so that any name in `[upgrades]` is of
/// a rule that this version would not follow.
fn refuse_upgrades(fields: &mut Fields) -> Result<(), GenesisFileError> {
    let Some(upgrades) = fields.table("upgrades")? else {
        return Ok(());
    };
    match upgrades.names().next() {
        None => Ok(()),
        Some(rule) => Err(GenesisFileError::new(
            format!("upgrades.{rule}"),
            "this version has no such rule and would leave the chain where it begins; run a \
             version that has it",
        )),
    }
}

/// Writes a genesis as a file that [`parse_genesis`] reads the same values from.
#[must_use]
pub fn write_genesis(genesis: &Genesis, seeds: &[PeerAddress]) -> String {
    let rules = &genesis.rules;
    let mut out = String::new();
    let number = |value: u64| match i64::try_from(value) {
        Ok(value) => value.to_string(),
        // TOML's integers end at 2^63 - 1.
        Err(_) => format!("\"{value}\""),
    };
    let mut line = |field: &str, value: String| {
        writeln!(out, "{field} = {value}").expect("writing to a string cannot fail");
    };
    line("profile", format!("\"{}\"", genesis.profile.name()));
    line(
        "engine",
        format!(
            "\"{}\"",
            ENGINES[usize::from(rules.engine_kind().byte()) - 1]
        ),
    );
    line("name", format!("\"{}\"", genesis.name));
    line("hrp", format!("\"{}\"", genesis.hrp));
    line("time", number(genesis.time.0));
    line("decimals", genesis.decimals.to_string());
    line("id_puzzle_bits", genesis.id_puzzle_bits.to_string());
    line("interval_ms", rules.interval_ms.to_string());
    line("max_block_weight", rules.max_block_weight.to_string());
    line("max_tx_bytes", rules.max_tx_bytes.to_string());
    line("max_ops", rules.max_ops.to_string());
    line("max_data", rules.max_data.to_string());
    line("base_fee_initial", number(rules.base_fee_initial));
    line("base_fee_min", number(rules.base_fee_min));
    line("account_fee", number(rules.account_fee));
    let (kind, initial, interval, tail) = reward_parts(rules.reward);
    line("reward_kind", format!("\"{}\"", REWARD_KINDS[kind]));
    for (at, (field, value)) in [
        ("reward_initial", initial),
        ("reward_interval", interval),
        ("reward_tail", tail),
    ]
    .into_iter()
    .enumerate()
    {
        if at < kind {
            line(field, number(value));
        }
    }
    line("maturity", rules.maturity.to_string());
    for (field, value) in engine_lines(&rules.engine) {
        line(field, value.unwrap_or_else(number));
    }
    let operators = genesis
        .operators
        .iter()
        .map(|key| format!("\"{}\"", encode_hex(&key.0)));
    line(
        "operators",
        format!("[{}]", operators.collect::<Vec<_>>().join(", ")),
    );
    write_lists(&mut out, genesis, seeds);
    out
}

/// The engine's own fields: text as it is to stand, or a number.
fn engine_lines(engine: &EngineRules) -> Vec<(&'static str, Result<String, u64>)> {
    let bits = |bits: CompactBits| Ok(format!("\"{bits}\""));
    match *engine {
        EngineRules::Work {
            half_life_ms,
            pow_bits,
            pow_limit,
        } => vec![
            (WORK[0], Err(half_life_ms)),
            (WORK[1], bits(pow_bits)),
            (WORK[2], bits(pow_limit)),
        ],
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
        } => {
            let values = [
                proposer_bp.into(),
                epoch_blocks.into(),
                unbonding_epochs.into(),
                unbonding_ms,
                trust_ms,
                min_stake,
                delta_ms.into(),
                window_views.into(),
                max_validators.into(),
                churn_bp.into(),
                slash_bp.into(),
                reporter_bp.into(),
                heartbeat_ms.into(),
            ];
            STAKE.into_iter().zip(values.map(Err)).collect()
        }
    }
}

fn write_lists(out: &mut String, genesis: &Genesis, seeds: &[PeerAddress]) {
    let hrp = &genesis.hrp;
    let infallible = "writing to a string cannot fail";
    for validator in &genesis.validators {
        let key = encode_hex(&validator.consensus_key.0);
        let account = encode_address(hrp, &validator.account);
        let stake = validator.stake;
        write!(
            out,
            "\n[[validators]]\nconsensus_pk = \"{key}\"\naccount = \"{account}\"\nstake = {stake}\n"
        )
        .expect(infallible);
    }
    for (account, amount) in &genesis.allocations {
        let account = encode_address(hrp, account);
        write!(
            out,
            "\n[[allocations]]\naccount = \"{account}\"\namount = {amount}\n"
        )
        .expect(infallible);
    }
    if !seeds.is_empty() {
        out.push_str("\n[network]\nseeds = [\n");
        for seed in seeds {
            writeln!(out, "  \"{seed}\",").expect(infallible);
        }
        out.push_str("]\n");
    }
}
