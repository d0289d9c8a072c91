//! A world by a scenario, from its first moment to its report.

use std::sync::Arc;

use crate::base::{Rng, Span, Time};
use crate::node::{CheckpointInterval, Mining};
use crate::sim::adversary::behaviour;
use crate::sim::check::Watch;
use crate::sim::observe::Observations;
use crate::sim::report::Facts;
use crate::sim::swarm::{Look, SwarmOptions, run_under};
use crate::sim::workload::Workload;
use crate::sim::{DiskKind, NodeIndex, Tell, World, WorldConfig};
use crate::types::{AccountId, Height};

use super::steps::Steps;
use super::{AdversarySection, HASHRATE_STEP, Scenario};

/// How often a recording takes a new snapshot, in bytes.
const RECORD_BASE: u64 = 1 << 20;

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The time that passed in the world.
    pub passed: Span,
    /// The time that it runs in all.
    pub whole: Span,
    /// How many events there were.
    pub events: u64,
    /// The middle height of the nodes.
    pub height: Height,
}

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it was; the wall time, the memory and the command are the driver's to add.
    pub facts: Facts,
    /// What was seen.
    pub seen: Observations,
    /// What the followed node lived through, as `keel replay` takes it; nothing where it does not
    /// run at the end, or was never quiet enough to be recorded.
    pub recording: Option<Vec<u8>>,
}

/// A world that runs by a scenario.
pub struct Run {
    scenario: Scenario,
    world: World,
    steps: Steps,
    workload: Option<Workload>,
    watch: Watch,
    began: Time,
    end: Time,
    /// The node that is recorded, and whether it is yet: it has to be quiet for that.
    recorded: Option<(NodeIndex, bool)>,
}

impl Run {
    /// The world of a scenario and a seed.
    #[must_use]
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let rng = Rng::from_number(seed).fork("scenario");
        let mut genesis = scenario.genesis();
        let workload = scenario
            .workload
            .map(|options| Workload::new(options, &rng));
        if let Some(workload) = &workload {
            workload.fund(&mut genesis);
        }
        let adversaries = adversaries(scenario, &rng);
        let money = adversaries
            .iter()
            .filter_map(|(adversary, rng)| adversary.kind.allocation(rng));
        genesis.allocations.extend(money);
        genesis.allocations.sort();
        let config = WorldConfig {
            network: scenario.network.clone(),
            sync_time: scenario.world.sync.0,
            checkpoints: CheckpointInterval::default(),
            segment_size: scenario.world.segment_bytes,
            cores: scenario.world.cores,
            disks: scenario.disks(),
            switches: scenario.switches.unwrap_or_default(),
            sample_every: scenario.world.sample.0,
            keep_events: scenario.is_checked,
            ..WorldConfig::new(seed, Arc::new(genesis))
        };
        let mut world = World::new(config);
        let began = world.now();
        add_nodes(&mut world, scenario, &rng);
        add_adversaries(&mut world, scenario, &adversaries, &rng);
        Self {
            steps: Steps::new(&scenario.steps, began, rng.fork("steps")),
            began,
            end: began + scenario.duration(),
            workload,
            watch: Watch::default(),
            recorded: None,
            scenario: scenario.clone(),
            world,
        }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            passed: self.world.now().since(self.began),
            whole: self.end.since(self.began),
            events: self.world.happenings(),
            height: self.world.observations().blocks().heights().1,
        }
    }

    /// Lets at most `slice` of time pass, and no more than so many events in all; says whether
    /// there is more to come.
    pub fn advance(&mut self, slice: Span, until_event: u64) -> bool {
        let pause = (self.world.now() + slice).min(self.end);
        while self.world.now() < pause {
            let pays = self.workload.as_ref().and_then(Workload::next_at);
            let due = [self.steps.next_at(), pays].into_iter().flatten().min();
            let next = due.map_or(pause, |due| due.min(pause));
            let span = next.since(self.world.now());
            if self.scenario.is_checked || until_event < u64::MAX {
                let (watch, is_checked) = (&mut self.watch, self.scenario.is_checked);
                let is_over = self.world.run_until(span, |world| {
                    if is_checked {
                        watch.look(world);
                    }
                    world.happenings() >= until_event
                });
                if is_over {
                    return false;
                }
            } else {
                self.world.run(span);
            }
            self.steps.act(&mut self.world);
            if let Some(workload) = &mut self.workload {
                workload.act(&mut self.world);
            }
            self.begin_to_record();
            if self.scenario.is_checked {
                self.watch.look(&self.world);
            }
        }
        self.world.now() < self.end
    }

    fn begin_to_record(&mut self) {
        if let Some((node, false)) = self.recorded {
            let begun = self.world.record(node, RECORD_BASE);
            self.recorded = Some((node, begun));
        }
    }

    /// Follows a node, which must be one of the world's: everything that it is told and that it
    /// wants done is told, and what it lives through is recorded as soon as it is quiet.
    pub fn follow(&mut self, node: NodeIndex, tell: Tell) {
        self.world.follow(node, tell);
        self.recorded = Some((node, false));
        self.begin_to_record();
    }

    fn recording(&self) -> Option<Vec<u8>> {
        let (node, _) = self.recorded.filter(|(_, begun)| *begun)?;
        let (recording, _) = self.world.recording(node)?;
        Some(recording.to_bytes())
    }

    /// Ends it, and says what it was.
    #[must_use]
    pub fn finish(mut self) -> Outcome {
        let recording = self.recording();
        self.steps.finish(&mut self.world);
        let stopped = self.world.now() < self.end;
        if self.scenario.is_checked && !stopped {
            let seed = self.world.config().seed;
            let workload = self.workload.as_mut();
            super::checks::check(&mut self.world, &mut self.watch, workload, seed);
        }
        let violations = self.watch.violations().iter();
        let violations: Vec<String> = violations.map(ToString::to_string).collect();
        // What was found on the way counts wherever it was stopped.
        let is_checked = self.scenario.is_checked && (!stopped || !violations.is_empty());
        self.world.end_series();
        let world = &self.world;
        let facts = Facts {
            scenario: self.scenario.name().to_owned(),
            about: self.scenario.about().to_owned(),
            options: self.scenario.set.clone(),
            is_checked,
            violations,
            ..Facts::of(world)
        };
        Outcome {
            facts,
            seen: self.world.observations().clone(),
            recording,
        }
    }
}

/// Runs a seed from its beginning to its end.
#[must_use]
pub fn run_to_end(scenario: &Scenario, seed: u64) -> Outcome {
    if scenario.is_swarm() {
        return run_swarm(scenario, seed, Look::default());
    }
    let mut run = Run::new(scenario, seed);
    while run.advance(scenario.duration(), u64::MAX) {}
    run.finish()
}

/// Runs a seed of a swarm while somebody looks.
#[must_use]
pub fn run_swarm(scenario: &Scenario, seed: u64, look: Look) -> Outcome {
    let options = SwarmOptions {
        nodes: scenario.world.nodes,
        safety: scenario.duration(),
        faults: scenario.faults.clone(),
        workload: scenario.workload,
        switches: scenario.switches,
        ..SwarmOptions::default()
    };
    let verdict = run_under(seed, &options, look);
    let facts = Facts {
        scenario: scenario.name().to_owned(),
        about: scenario.about().to_owned(),
        seed,
        options: scenario.set.clone(),
        // What was found on the way counts wherever it was stopped.
        is_checked: !verdict.is_stopped || !verdict.violations.is_empty(),
        marks: verdict.marks.iter().collect(),
        violations: verdict.violations.iter().map(ToString::to_string).collect(),
        ..verdict.facts
    };
    Outcome {
        facts,
        seen: verdict.seen,
        recording: verdict.recording,
    }
}

fn add_nodes(world: &mut World, scenario: &Scenario, rng: &Rng) {
    let mut peers = rng.fork("peers");
    let mut miners: Vec<usize> = (0..scenario.world.nodes).collect();
    rng.fork("miners").shuffle(&mut miners);
    miners.truncate(scenario.miners());
    for place in 0..scenario.world.nodes {
        let dialled = scenario.peers(place, &mut peers);
        let dialled: Vec<NodeIndex> = dialled.into_iter().map(NodeIndex).collect();
        let mining = miners.contains(&place).then(|| Mining {
            beneficiary: AccountId(rng.fork(&format!("miner {place}")).bytes32()),
            hashrate: Some(scenario.hashrate()),
        });
        world.add(&format!("node {place}"), &dialled, mining);
    }
}

/// Each adversary, with the stream that its choices come from.
fn adversaries<'a>(scenario: &'a Scenario, rng: &Rng) -> Vec<(&'a AdversarySection, Rng)> {
    let mut all = Vec::new();
    for adversary in &scenario.adversaries {
        for _ in 0..adversary.count {
            all.push((adversary, rng.fork(&format!("adversary {}", all.len()))));
        }
    }
    all
}

/// Adversaries come last, and dial as many of the honest as these dial.
fn add_adversaries(
    world: &mut World,
    scenario: &Scenario,
    adversaries: &[(&AdversarySection, Rng)],
    rng: &Rng,
) {
    let mut peers = rng.fork("adversaries' peers");
    let honest_power = scenario.hashrate() * scenario.miners() as u64;
    for (number, (adversary, own)) in adversaries.iter().enumerate() {
        let mut dialled: Vec<NodeIndex> = (0..scenario.world.nodes).map(NodeIndex).collect();
        peers.shuffle(&mut dialled);
        dialled.truncate(scenario.world.dials);
        // In whole steps, as the honest have it.
        let power = honest_power * adversary.mining_percent() / 100;
        let power = power.div_ceil(HASHRATE_STEP) * HASHRATE_STEP;
        let mining = (power > 0).then(|| Mining {
            beneficiary: AccountId(own.fork("miner").bytes32()),
            hashrate: Some(power),
        });
        let name = format!("{} {number}", adversary.kind);
        let behaviour = behaviour(adversary.kind, adversary.percent, own);
        world.add_behaving(&name, &dialled, mining, behaviour);
    }
}

impl Scenario {
    /// Disks that can fail take more memory, so only what needs them has them.
    fn disks(&self) -> DiskKind {
        if self.steps.iter().any(super::Step::needs_faulty_disks) {
            DiskKind::Faulty
        } else {
            DiskKind::Plain
        }
    }
}

#[cfg(test)]
mod tests;
