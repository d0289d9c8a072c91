//! Scenario files: a world and what happens to it, written down.
//!
//! *Owns* the form of the files (`docs/simulator.md`), the ones that are in the binary, and the
//! run of a world by one ([`Run`]). *Invariants*: a key that is not known is an error that names
//! it; a file and a seed make one world, so that a run is told by both. *Never* reads a file: its
//! text is given by the command.

mod checks;
mod read;
mod run;
mod steps;

use serde::Deserialize;

use crate::base::{Rng, Span};
use crate::types::{CompactBits, EngineKind, EngineRules, Genesis, Millis, Profile};

use super::adversary::AdversaryKind;
use super::faults::FaultOptions;
use super::network::NetworkConfig;
use super::swarm::{SwarmOptions, expected_marks};
use super::unfit::within;
use super::workload::WorkloadOptions;
use super::{Switches, Unfit};

use read::{Length, Sections, foreign};
use steps::Step;

pub use read::{ScenarioError, read_span};
pub use run::{Outcome, Progress, Run, run_swarm, run_to_end};

/// The scenarios in the binary: their names and texts.
pub const EMBEDDED: [(&str, &str); 7] = [
    (
        "first",
        include_str!("../../../contrib/scenarios/first.toml"),
    ),
    (
        "quiet",
        include_str!("../../../contrib/scenarios/quiet.toml"),
    ),
    (
        "partition",
        include_str!("../../../contrib/scenarios/partition.toml"),
    ),
    (
        "swarm",
        include_str!("../../../contrib/scenarios/swarm.toml"),
    ),
    (
        "churn",
        include_str!("../../../contrib/scenarios/churn.toml"),
    ),
    (
        "adversaries",
        include_str!("../../../contrib/scenarios/adversaries.toml"),
    ),
    (
        "world10k",
        include_str!("../../../contrib/scenarios/world10k.toml"),
    ),
];

/// The sections of a file.
const SECTIONS: [&str; 11] = [
    "about",
    "swarm",
    "check",
    "world",
    "chain",
    "network",
    "workload",
    "faults",
    "adversary",
    "at",
    "switches",
];

/// The most nodes: their addresses end there.
const NODES_MAX: usize = 60_000;
/// The fewest nodes of a swarm: some of them may be adversaries.
const SWARM_MIN: usize = 4;
/// How long a run may be: ten years.
const DURATION_MAX: Span = Span::from_secs(10 * 365 * 86_400);
/// How long a group of records may take to be durable.
const SYNC_MAX: Span = Span::from_secs(60);
/// What of a segment is left for a block: its record and the segment have headers.
const SEGMENT_MARGIN: u64 = 4_096;
/// The name of every scenario's chain: what a file is called changes nothing that happens.
const CHAIN: &str = "scenario";
/// Miners try nonces in slices of 50 ms: of these rates each has a whole number.
const HASHRATE_STEP: u64 = 20;
/// A block takes at least so many hashes, so that who finds it is by chance.
const HASHES_LEAST: u64 = 4_096;

/// Who dials whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Topology {
    /// Each node dials some that were there before it, drawn from the seed.
    #[default]
    Random,
    /// Each dials the one before it.
    Line,
    /// A line whose last node dials the first.
    Ring,
    /// All dial the first.
    Star,
    /// All dial all.
    Complete,
}

/// What the world is made of.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WorldSection {
    /// How many honest nodes.
    nodes: usize,
    /// How many others a node dials in a random topology.
    dials: usize,
    topology: Topology,
    /// How many of the nodes mine, all with the same power; a quarter of them unless it is given.
    miners: Option<usize>,
    seed: u64,
    duration: Length,
    /// How often the series take a sample.
    sample: Length,
    /// Cores of a machine for slow work.
    cores: u8,
    /// How long a group of records takes to be durable.
    sync: Length,
    /// Bytes of a segment of a node's log.
    segment_bytes: u64,
}

impl Default for WorldSection {
    fn default() -> Self {
        Self {
            nodes: 20,
            dials: 4,
            topology: Topology::Random,
            miners: None,
            seed: 1,
            duration: Length(Span::from_secs(600)),
            sample: Length(Span::from_secs(1)),
            cores: 2,
            sync: Length(Span::from_millis(1)),
            segment_bytes: 1 << 20,
        }
    }
}

/// Machines that do not keep to the rules.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AdversarySection {
    kind: AdversaryKind,
    /// How many of them.
    #[serde(default = "one")]
    count: usize,
    /// The power of each, in percent of that of all honest miners together, of a kind that has
    /// one.
    #[serde(default)]
    percent: Option<u64>,
}

const fn one() -> usize {
    1
}

/// The power of one whose node mines, in percent of that of all honest miners, where it is not
/// given.
const MINING_PERCENT: u64 = 10;

impl AdversarySection {
    /// What its node mines with: a behaviour that makes blocks needs no mining node.
    fn mining_percent(&self) -> u64 {
        if self.kind.needs_mining() {
            self.percent.unwrap_or(MINING_PERCENT)
        } else {
            0
        }
    }

    fn check(&self, path: &str) -> Result<(), ScenarioError> {
        let count = self.count as u64;
        within(&format!("{path}.count"), count, 1, NODES_MAX as u64)?;
        let percent = format!("{path}.percent");
        match self.percent {
            Some(_) if !self.kind.has_power() => {
                let kinds = AdversaryKind::ALL.into_iter();
                let kinds = kinds.filter(|kind| kind.has_power());
                let kinds: Vec<&str> = kinds.map(AdversaryKind::name).collect();
                let why = format!(
                    "{} makes no use of power; leave it out (it is for {})",
                    self.kind,
                    kinds.join(", ")
                );
                Err(ScenarioError::new(percent, why))
            }
            Some(power) => Ok(within(&percent, power, 1, 1_000)?),
            None => Ok(()),
        }
    }
}

/// What a swarm leaves to its file; everything else is drawn from the seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SwarmWorld {
    nodes: usize,
    seed: u64,
    /// How long things go wrong, before all is made well.
    duration: Length,
}

impl Default for SwarmWorld {
    fn default() -> Self {
        let options = SwarmOptions::default();
        Self {
            nodes: options.nodes,
            seed: 1,
            duration: Length(options.safety),
        }
    }
}

/// What differs from the dev profile's rules.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ChainSection {
    /// The time between blocks.
    interval: Option<Length>,
    max_block_weight: Option<u32>,
    maturity: Option<u32>,
    base_fee_initial: Option<u64>,
    base_fee_min: Option<u64>,
    account_fee: Option<u64>,
}

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    name: String,
    about: String,
    set: Vec<(String, String)>,
    world: WorldSection,
    chain: ChainSection,
    network: NetworkConfig,
    workload: Option<WorkloadOptions>,
    /// What it is where a swarm's world is drawn from its seed.
    is_swarm: bool,
    /// Whether the checkers ask in the end.
    is_checked: bool,
    adversaries: Vec<AdversarySection>,
    /// What goes wrong in a swarm, where that is not drawn.
    faults: Option<FaultOptions>,
    steps: Vec<Step>,
    /// In a swarm they are drawn where the file says nothing.
    switches: Option<Switches>,
}

impl Scenario {
    /// Reads a file's text, with keys that are set besides.
    ///
    /// # Errors
    /// The first key that is wrong, and what it may be.
    pub fn read(name: &str, text: &str, set: &[(String, String)]) -> Result<Self, ScenarioError> {
        let mut sections = Sections::new(text, set)?;
        let is_swarm = sections.flag("swarm")?;
        let about = sections.text("about")?;
        let workload = sections.table("workload")?;
        let workload = workload.map(|table| foreign("workload", table));
        let faults = sections.table("faults")?;
        let faults = faults.map(|table| foreign("faults", table)).transpose()?;
        let world = if is_swarm {
            let drawn = "is drawn from the seed in a swarm; leave it out";
            sections.refuse(&["chain", "network", "adversary", "at"], drawn)?;
            let SwarmWorld {
                nodes,
                seed,
                duration,
            } = sections.section("world")?;
            WorldSection {
                nodes,
                seed,
                duration,
                ..WorldSection::default()
            }
        } else {
            if faults.is_some() {
                let why = "is for a swarm; write swarm = true, or what happens below [[at]]";
                return Err(ScenarioError::new("faults", why));
            }
            sections.section("world")?
        };
        let network = sections.table("network")?.unwrap_or_default();
        let switches = sections.table("switches")?;
        let switches = switches.map(|table| foreign("switches", table));
        let scenario = Self {
            name: name.to_owned(),
            about,
            set: set.to_vec(),
            world,
            chain: sections.section("chain")?,
            network: foreign("network", network)?,
            workload: workload.transpose()?,
            is_swarm,
            is_checked: sections.flag("check")? || is_swarm,
            adversaries: sections.list("adversary")?,
            faults,
            steps: sections.list("at")?,
            switches: switches.transpose()?,
        };
        sections.finish(&SECTIONS)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// One of those in the binary.
    #[must_use]
    pub fn embedded(name: &str) -> Option<&'static str> {
        let name = name.strip_suffix(".toml").unwrap_or(name);
        let found = EMBEDDED.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| *text)
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let world = &self.world;
        let least = if self.is_swarm { SWARM_MIN } else { 1 };
        let nodes = world.nodes as u64;
        within("world.nodes", nodes, least as u64, NODES_MAX as u64)?;
        let duration = world.duration.0.as_millis();
        let most = DURATION_MAX.as_millis();
        within("world.duration (ms)", duration, 1, most)?;
        let (sync, most) = (world.sync.0.as_micros(), SYNC_MAX.as_micros());
        within("world.sync (us)", sync, 0, most)?;
        within("world.dials", world.dials as u64, 1, 64)?;
        within("world.miners", self.miners() as u64, 0, world.nodes as u64)?;
        within("world.cores", u64::from(world.cores), 1, 4)?;
        within(
            "world.segment_bytes",
            world.segment_bytes,
            128 << 10,
            1 << 30,
        )?;
        if let Some(weight) = self.chain.max_block_weight {
            within(
                "chain.max_block_weight",
                weight.into(),
                0,
                self.fits_segment(),
            )?;
        }
        let sample = world.sample.0.as_micros();
        within("world.sample (us)", sample, 1_000, 86_400_000_000)?;
        if let Some(interval) = self.chain.interval {
            let millis = interval.0.as_millis();
            within("chain.interval (ms)", millis, 100, 3_600_000)?;
        }
        for (at, adversary) in self.adversaries.iter().enumerate() {
            adversary.check(&format!("adversary[{at}]"))?;
        }
        let all = self.machines() as u64;
        within("world.nodes with all adversaries", all, 1, NODES_MAX as u64)?;
        for (at, step) in self.steps.iter().enumerate() {
            step.check(&format!("at[{at}]"), world.nodes)?;
        }
        self.network.check().map_err(inside("network"))?;
        if let Some(workload) = &self.workload {
            workload.check().map_err(inside("workload"))?;
        }
        if let Some(faults) = &self.faults {
            faults.check().map_err(inside("faults"))?;
        }
        self.genesis()
            .check()
            .map_err(|error| ScenarioError::new("chain", error.to_string()))?;
        Ok(())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is about, in one sentence.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.about
    }

    /// How many honest nodes it has; they are numbered from 0.
    #[must_use]
    pub const fn nodes(&self) -> usize {
        self.world.nodes
    }

    /// How many machines it has, with those that do not keep to the rules.
    #[must_use]
    pub fn machines(&self) -> usize {
        let adversaries = self.adversaries.iter().map(|it| it.count);
        adversaries.fold(self.world.nodes, usize::saturating_add)
    }

    /// The seed it has unless another one is given.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.world.seed
    }

    /// How long it runs.
    #[must_use]
    pub const fn duration(&self) -> Span {
        self.world.duration.0
    }

    /// The greatest block of which a segment has room: no block has more bytes than weight.
    const fn fits_segment(&self) -> u64 {
        self.world.segment_bytes.saturating_sub(SEGMENT_MARGIN)
    }

    fn miners(&self) -> usize {
        let world = &self.world;
        world.miners.unwrap_or_else(|| world.nodes.div_ceil(4))
    }

    /// Hashes per second of each miner.
    fn hashrate(&self) -> u64 {
        let step = HASHRATE_STEP * self.miners().max(1) as u64 * u64::from(self.interval_ms());
        HASHRATE_STEP * (HASHES_LEAST * 1_000).div_ceil(step)
    }

    /// Hashes that a block takes, so that all miners together find one per interval.
    fn hashes(&self) -> u64 {
        let all = self.hashrate() * self.miners().max(1) as u64;
        (all * u64::from(self.interval_ms()) / 1_000).max(1)
    }

    /// The target that one of so many hashes meets: 2^256 divided by them.
    fn target(&self) -> CompactBits {
        // The mantissa has 16 to 23 bits; the exponent counts the bytes with it.
        let exponents = (0x1a..=0x1f_u32).rev();
        let mut forms = exponents.map(|exponent| {
            let mantissa = (1_u64 << (280 - 8 * exponent).min(63)) / self.hashes();
            (exponent, mantissa)
        });
        let form = forms.find(|(_, mantissa)| (0x8000..=0x7f_ffff).contains(mantissa));
        let (exponent, mantissa) = form.unwrap_or((0x1f, 0x7f_ffff));
        CompactBits(exponent << 24 | mantissa as u32)
    }

    fn interval_ms(&self) -> u32 {
        let interval = self.chain.interval.map(|interval| interval.0.as_millis());
        let of_profile = || u64::from(self.profile().rules.interval_ms);
        u32::try_from(interval.unwrap_or_else(of_profile)).unwrap_or(u32::MAX)
    }

    fn profile(&self) -> Genesis {
        Profile::Dev.genesis(EngineKind::Work, CHAIN, Millis(1_700_000_000_000))
    }

    /// The chain, before anybody has money.
    fn genesis(&self) -> Genesis {
        let mut genesis = self.profile();
        let interval_ms = self.interval_ms();
        let rules = &mut genesis.rules;
        rules.interval_ms = interval_ms;
        if let EngineRules::Work {
            half_life_ms,
            pow_bits,
            ..
        } = &mut rules.engine
        {
            *half_life_ms = 288 * u64::from(interval_ms);
            *pow_bits = self.target();
        }
        let chain = &self.chain;
        let set = |into: &mut u64, value: Option<u64>| *into = value.unwrap_or(*into);
        set(&mut rules.base_fee_initial, chain.base_fee_initial);
        set(&mut rules.base_fee_min, chain.base_fee_min);
        set(&mut rules.account_fee, chain.account_fee);
        let fits = u32::try_from(self.fits_segment()).unwrap_or(u32::MAX);
        let weight = rules.max_block_weight.min(fits);
        rules.max_block_weight = chain.max_block_weight.unwrap_or(weight);
        rules.maturity = chain.maturity.unwrap_or(rules.maturity);
        genesis
    }

    /// Whom a node dials, when those before it are there; the last one closes a ring.
    fn peers(&self, place: usize, rng: &mut Rng) -> Vec<usize> {
        let last = place + 1 == self.world.nodes;
        match self.world.topology {
            Topology::Line | Topology::Ring if place == 0 => Vec::new(),
            Topology::Line => vec![place - 1],
            Topology::Ring if last && place > 1 => vec![place - 1, 0],
            Topology::Ring => vec![place - 1],
            Topology::Star => (place > 0).then_some(0).into_iter().collect(),
            Topology::Complete => (0..place).collect(),
            Topology::Random => {
                let mut peers = Vec::new();
                while peers.len() < self.world.dials.min(place) {
                    let peer = rng.below(place as u64) as usize;
                    if !peers.contains(&peer) {
                        peers.push(peer);
                    }
                }
                peers
            }
        }
    }

    /// The marks that some seed of many should leave; one that ends with a colon stands for all
    /// that begin with it.
    #[must_use]
    pub fn expected_marks(&self) -> Vec<&'static str> {
        if self.is_swarm && self.faults.is_none() && self.workload.is_none() {
            expected_marks(self.switches.as_ref())
        } else {
            Vec::new()
        }
    }

    /// Whether its world is drawn from the seed, and checked in the end.
    #[must_use]
    pub const fn is_swarm(&self) -> bool {
        self.is_swarm
    }
}

/// The error of a section's value.
fn inside(section: &str) -> impl Fn(Unfit) -> ScenarioError {
    move |unfit| ScenarioError::new(format!("{section}.{}", unfit.field), unfit.why())
}

#[cfg(test)]
mod tests;
