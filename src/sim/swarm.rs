//! One run of a seed: a small network that everything goes wrong in, and what must hold all the
//! same.
//!
//! Everything about a run is drawn from its seed: how many mine and how much, who is connected
//! with whom, how far they are apart, how large logs and blocks are, what is paid, which faults
//! come and how often. Many of these are nothing in a given seed, because what finds bugs is not
//! all of them together but every mixture of a few.
//!
//! A run has two phases, as TigerBeetle's simulator has: in the first everything goes wrong, and
//! nothing that was promised may be lost; in the second all is well for a core of nodes that has
//! most of the power, and these must come to one chain that grows. Then the checkers ask.

use std::sync::Arc;

use crate::base::{Rng, Span, Time};
use crate::chain::mempool::MEMORY_DEFAULT;
use crate::node::{CheckpointInterval, Event, Mining, Question};
use crate::types::{
    BlockId, CompactBits, EngineKind, EngineRules, Genesis, Height, Millis, Profile,
};

use super::adversary::{AdversaryKind, Flaw, behaviour};
use super::check::{
    CONVERGES_WITHIN, Checker, Finally, Outcomes, Violation, Watch, agree, check_log_replay,
    check_recording, no_agreement,
};
use super::faults::{FaultOptions, FaultPlan, Mark, Marks};
use super::network::{Bandwidths, Matrix, NetworkConfig};
use super::observe::Observations;
use super::report::Facts;
use super::workload::{Account, Workload, WorkloadOptions};
use super::{DiskKind, NodeIndex, Switches, Tell, World, WorldConfig};
use probes::Probes;

/// The target of the first block: one in 4,096 hashes meets it, so that finding blocks is a small
/// part of what a run costs.
const TARGET: CompactBits = CompactBits(0x1f10_0000);
/// The hashes that such a block takes.
const HASHES: u64 = 4_096;
/// The least rate of a miner.
const HASHRATE_LEAST: u64 = 1;
/// How many blocks the core mines after that, so that what waits gets in.
const BLOCKS_AFTER: u64 = 6;
/// How long operators wait for nodes to agree by themselves.
const PATIENCE: Span = Span::from_secs(100);
/// Kinds that a small network may have among it. A `time-twister` is not one of them: it needs most
/// of the work, with which it could undo whatever it likes.
/// Their marks begin with these.
const ADVERSARIES: [(AdversaryKind, &str); 8] = [
    (AdversaryKind::Silent, "silent:"),
    (AdversaryKind::GarbageSender, "garbage:"),
    (AdversaryKind::InvalidBlockMiner, "invalid block:"),
    (AdversaryKind::SelfishMiner, "selfish:"),
    (AdversaryKind::WithholdingRelay, "withholding:"),
    (AdversaryKind::LowWorkHeaderFlood, "low-work:"),
    (AdversaryKind::TransactionFlood, "flood:"),
    (AdversaryKind::TwoFacedHeight, "two-faced:"),
];
/// The marks of payments that break a rule.
const CHEATS: [&str; 4] = [
    "cheat: a forged signature",
    "cheat: too late",
    "cheat: an account not paid for",
    "cheat: more than there is",
];
/// Which part of the honest power an adversary that mines has at least and at most: one in so many,
/// so that the three that there may be have less than a third together.
const ADVERSARY_POWER: (u64, u64) = (40, 10);
/// One run out of so many does something as on real machines that is simpler in the others.
const UNSIMPLIFIED_ONE_IN: u64 = 8;
/// In one run out of so many mempools have room for some dozens or hundreds of payments; nothing
/// fills those of the others.
const CRAMPED_ONE_IN: u64 = 4;
/// The least room that is drawn, in bytes. What is paid at each node of twenty in the end must fit:
/// the floor that remains where something paid as much and had to go keeps everything else out for
/// hours.
const ROOM_LEAST: u64 = 32 << 10;
/// How often recordings are replayed in one run at most.
const REPLAYS_MAX: u32 = 3;
/// After how many events it is told how far it is: some milliseconds.
const PROGRESS_EVERY: u64 = 1_024;
/// How often the series take a sample: as often as in other scenarios.
const SAMPLE_EVERY: Span = Span::from_secs(1);
/// How often a recording takes a new snapshot, in bytes.
const RECORD_BASE: u64 = 400_000;

/// What a run is like, as far as its seed does not decide.
#[derive(Clone, Debug, PartialEq)]
pub struct SwarmOptions {
    /// How many nodes.
    pub nodes: usize,
    /// How long faults come.
    pub safety: Span,
    /// What goes wrong; drawn where none is given.
    pub faults: Option<FaultOptions>,
    /// What is paid; drawn where none is given.
    pub workload: Option<WorkloadOptions>,
    /// What is done in a simpler way; drawn where that is not said.
    pub switches: Option<Switches>,
    /// How many adversaries there may be; how many there are, and of which kinds, is drawn.
    pub adversaries: usize,
}

impl Default for SwarmOptions {
    fn default() -> Self {
        Self {
            nodes: 20,
            safety: Span::from_secs(120),
            faults: None,
            workload: None,
            switches: None,
            adversaries: 3,
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Its seed.
    pub seed: u64,
    /// What must not have been; nothing in a good run.
    pub violations: Vec<Violation>,
    /// What fired.
    pub marks: Marks,
    /// What a report says of the world.
    pub facts: Facts,
    /// What was seen of it.
    pub seen: Observations,
    /// The hash of everything that happened.
    pub event_hash: [u8; 32],
    /// How many things happened.
    pub happenings: u64,
    /// How much virtual time passed.
    pub virtual_time: Span,
    /// How long the core took to come to one chain.
    pub converged_after: Span,
    /// The height of the best chain.
    pub height: Height,
    /// What became of what was promised.
    pub outcomes: Outcomes,
    /// Whether it was stopped before its end: then not everything was checked.
    pub is_stopped: bool,
    /// What the followed node lived through last, as `keel replay` takes it.
    pub recording: Option<Vec<u8>>,
}

/// How somebody looks at a run. Nothing of it changes what happens.
#[derive(Default)]
pub struct Look {
    /// A node to follow ([`World::follow`]), which is recorded too.
    pub follow: Option<(NodeIndex, Tell)>,
    /// After how many happenings the run stops.
    pub until: Option<u64>,
    /// Who is told now and then how far it is.
    pub progress: Option<TellProgress>,
}

/// Who is told how far a run is.
pub type TellProgress = Box<dyn FnMut(&Progress)>;

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The time that passed in the world.
    pub passed: Span,
    /// For how long faults come; how long it takes after that shows then.
    pub safety: Span,
    /// How many events there were.
    pub events: u64,
    /// The middle height of the nodes.
    pub height: Height,
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, options: &SwarmOptions) -> Verdict {
    run_under(seed, options, Look::default())
}

/// The same while somebody looks.
#[must_use]
pub fn run_under(seed: u64, options: &SwarmOptions, look: Look) -> Verdict {
    let mut run = Run::new(seed, options);
    run.until = look.until.unwrap_or(u64::MAX);
    run.progress = look.progress;
    if let Some((node, tell)) = look.follow {
        run.world.follow(node, tell);
        run.followed = Some(node);
    }
    run.safety();
    let mut core = Vec::new();
    let (mut converged_after, mut outcomes) = (Span::ZERO, Outcomes::default());
    if !run.is_over() {
        core = run.heal();
        converged_after = run.converge(&core);
    }
    let mut nodes = core.clone();
    if !run.is_over() {
        nodes.extend(run.fall_silent(&core));
    }
    if !run.is_over() {
        outcomes = run.check(&nodes);
    }
    run.plan.finish(&mut run.world);
    run.world.end_series();
    let marks = run.marks(&outcomes);
    let followed = run.followed.filter(|node| node.0 < run.world.len());
    let recording = followed.and_then(|node| run.world.recording(node));
    Verdict {
        is_stopped: run.is_over(),
        recording: recording.map(|(recording, _)| recording.to_bytes()),
        seed,
        violations: run.watch.violations().to_vec(),
        event_hash: run.world.event_hash(),
        happenings: run.world.happenings(),
        virtual_time: run.world.now().since(run.began),
        converged_after,
        height: run.height(&core),
        marks,
        facts: Facts::of(&run.world),
        seen: run.world.observations().clone(),
        outcomes,
    }
}

/// A node that joins at a time.
struct Newcomer {
    at: Time,
    hashrate: Option<u64>,
}

struct Run {
    world: World,
    genesis: Arc<Genesis>,
    rng: Rng,
    began: Time,
    end: Time,
    plan: FaultPlan,
    workload: Workload,
    watch: Watch,
    /// What each machine hashes.
    powers: Vec<u64>,
    /// What all honest ones hash together.
    power: u64,
    /// What those of them hash whose clocks were wrong when they came.
    erring_power: u64,
    /// How many peers a node dials.
    degree: u64,
    late: Vec<Newcomer>,
    probes: Probes,
    /// The node that is being recorded, in which life.
    recorded: Option<(NodeIndex, u32)>,
    replays: u32,
    /// How many of the world's events the operators have read.
    read: usize,
    /// After how many happenings it stops.
    until: u64,
    /// Who is told how far it is.
    progress: Option<TellProgress>,
    /// The node that somebody follows, and the life in which its recording began.
    followed: Option<NodeIndex>,
    followed_life: Option<u32>,
}

impl Run {
    fn new(seed: u64, options: &SwarmOptions) -> Self {
        let mut rng = Rng::from_number(seed).fork("swarm");
        let interval = Span::from_millis(1_000 << rng.below(3));
        let payments = options
            .workload
            .unwrap_or_else(|| WorkloadOptions::draw(&mut rng));
        let workload = Workload::new(payments, &rng);
        let adversaries = draw_adversaries(&mut rng, options.adversaries);
        let mut genesis = draw_genesis(&mut rng, interval, &workload);
        for (kind, rng) in &adversaries {
            genesis.allocations.extend(kind.allocation(rng));
        }
        let probes = Probes::new(options.nodes, &rng);
        genesis.allocations.extend(probes.allocations());
        genesis.allocations.sort();
        let genesis = Arc::new(genesis);
        genesis
            .check()
            .expect("a drawn genesis is within its bounds");
        let mut config = draw_world(&mut rng, seed, Arc::clone(&genesis));
        config.switches = options.switches.unwrap_or(config.switches);
        let faults = options.faults.clone();
        let faults = faults.unwrap_or_else(|| FaultOptions::draw(&mut rng));
        let late_permille = u64::from(faults.late_permille);
        let world = World::new(config);
        let began = world.now();
        let plan = FaultPlan::new(faults, rng.fork("faults"), interval, began);
        let mut run = Self {
            genesis,
            workload,
            began,
            end: began + options.safety,
            plan,
            watch: Watch::default(),
            powers: Vec::new(),
            power: 0,
            erring_power: 0,
            degree: 1 + rng.below(6),
            late: Vec::new(),
            probes,
            recorded: None,
            replays: 0,
            read: 0,
            until: u64::MAX,
            progress: None,
            followed: None,
            followed_life: None,
            world,
            rng,
        };
        let powers = run.draw_powers(options.nodes - adversaries.len(), interval);
        run.power = powers.iter().flatten().sum();
        let mut adversaries = adversaries.into_iter();
        for hashrate in powers {
            if run.world.len() > 1 && run.rng.chance(1, 3) {
                run.add_adversary(adversaries.next());
            }
            if run.world.len() > 2 && run.rng.chance(late_permille, 1_000) {
                let at = began + run.below(options.safety);
                run.late.push(Newcomer { at, hashrate });
            } else {
                run.add(hashrate);
            }
        }
        for adversary in adversaries {
            run.add_adversary(Some(adversary));
        }
        run.late.sort_by_key(|late| std::cmp::Reverse(late.at));
        run
    }

    fn below(&mut self, span: Span) -> Span {
        Span::from_micros(self.rng.below(span.as_micros().max(1)))
    }

    /// What each node hashes: anything from one miner to all nodes, of any relative size, which
    /// together find a block per interval.
    fn draw_powers(&mut self, nodes: usize, interval: Span) -> Vec<Option<u64>> {
        let miners = 1 + self.rng.below(nodes as u64) as usize;
        let mut shares: Vec<u64> = (0..miners).map(|_| 1 + self.rng.below(9)).collect();
        shares.resize(nodes, 0);
        self.rng.shuffle(&mut shares);
        let all: u64 = shares.iter().sum();
        let rate = HASHES * 1_000 / (interval.as_micros() / 1_000).max(1);
        let of_share = |share: &u64| (*share > 0).then(|| (rate * share / all).max(HASHRATE_LEAST));
        shares.iter().map(of_share).collect()
    }

    /// Some of the machines that there are.
    fn draw_peers(&mut self) -> Vec<NodeIndex> {
        let mut others: Vec<NodeIndex> = (0..self.world.len()).map(NodeIndex).collect();
        self.rng.shuffle(&mut others);
        others.truncate(self.degree as usize);
        others
    }

    fn mining(&mut self, hashrate: Option<u64>) -> Option<Mining> {
        let beneficiary = Account::single(&mut self.rng).id();
        hashrate.map(|rate| Mining {
            beneficiary,
            hashrate: Some(rate),
        })
    }

    fn add(&mut self, hashrate: Option<u64>) {
        let place = self.world.len();
        let (others, mining) = (self.draw_peers(), self.mining(hashrate));
        let power = hashrate.unwrap_or(0);
        self.powers.push(power);
        // With wrong clocks much power would lead the others astray.
        let may_err = 8 * (self.erring_power + power) < self.power;
        let name = format!("node {place}");
        let node = (self.plan).admit(&mut self.world, &name, &others, mining, may_err);
        if self.plan.condition(node).has_wrong_clock {
            self.erring_power += power;
        }
    }

    fn add_adversary(&mut self, adversary: Option<(AdversaryKind, Rng)>) {
        let Some((kind, rng)) = adversary else {
            return;
        };
        let (least, most) = ADVERSARY_POWER;
        let part = most + self.rng.below(least - most);
        let power = (self.power / part).max(HASHRATE_LEAST);
        let hashrate = kind.needs_mining().then_some(power);
        let (others, mining) = (self.draw_peers(), self.mining(hashrate));
        let name = format!("{kind} {}", self.world.len());
        let behaviour = behaviour(kind, None, &rng);
        self.world.add_behaving(&name, &others, mining, behaviour);
        self.powers.push(hashrate.unwrap_or(0));
    }

    /// Everything goes wrong, and nothing that was promised may be lost.
    fn safety(&mut self) {
        while self.world.now() < self.end {
            let joins = self.late.last().map(|late| late.at);
            let next = [self.plan.next_due(), self.workload.next_at(), joins];
            let next = next.into_iter().flatten().min().unwrap_or(self.end);
            self.pass(next.min(self.end));
            if self.is_over() {
                return;
            }
            self.verify_recording(20);
            self.plan.act(&mut self.world);
            self.workload.act(&mut self.world);
            if let Some(late) = self.late.pop_if(|late| late.at <= self.world.now()) {
                self.world.mark(Mark::Join.name(), None);
                self.add(late.hashrate);
            }
            self.look();
            self.keep_recording();
            if self.rng.chance(1, 200) {
                let node = NodeIndex(self.rng.below(self.world.len() as u64) as usize);
                self.check_logs(node);
            }
        }
        self.verify_recording(1);
    }

    /// Lets time pass until `until`, under watch.
    fn pass(&mut self, until: Time) {
        self.record_followed();
        let span = until.since(self.world.now());
        self.run_until(span, |_| false);
    }

    /// Lets time pass for so long, until this holds or the run is to be stopped, under watch.
    fn run_until(&mut self, span: Span, mut holds: impl FnMut(&World) -> bool) {
        let (world, watch, last) = (&mut self.world, &mut self.watch, self.until);
        let (began, safety) = (self.began, self.end.since(self.began));
        let progress = &mut self.progress;
        world.run_until(span, |world| {
            watch.look(world);
            if let Some(tell) = progress
                && world.happenings().is_multiple_of(PROGRESS_EVERY)
            {
                tell(&Progress {
                    passed: world.now().since(began),
                    safety,
                    events: world.happenings(),
                    height: world.observations().blocks().heights().1,
                });
            }
            holds(world) || world.happenings() >= last
        });
    }

    /// Whether it has come to where it was to be stopped.
    fn is_over(&self) -> bool {
        self.world.happenings() >= self.until
    }

    /// Begins to record the node that is followed, in each of its lives as soon as it is quiet,
    /// unless it is one that is recorded anyway.
    fn record_followed(&mut self) {
        let Some(node) = self.followed.filter(|node| node.0 < self.world.len()) else {
            return;
        };
        let life = self.world.life(node);
        let begun = self.followed_life == Some(life) || self.recorded == Some((node, life));
        if !begun && self.world.record(node, RECORD_BASE) {
            self.followed_life = Some(life);
        }
    }

    /// Excuses whose disks lost bits, and looks.
    fn look(&mut self) {
        let all = (0..self.world.len()).map(NodeIndex);
        let honest: Vec<NodeIndex> = all.filter(|node| self.world.is_honest(*node)).collect();
        for node in honest {
            if self.plan.condition(node).is_spoilt {
                self.watch.excuse(node);
            }
        }
        self.watch.look(&self.world);
    }

    fn check_logs(&mut self, node: NodeIndex) {
        let spoilt = self.plan.condition(node).is_spoilt;
        if !spoilt && let Some(found) = check_log_replay(&self.world, &self.workload, node) {
            self.watch.report(found);
        }
    }

    /// Records some node, as soon as one is quiet.
    fn keep_recording(&mut self) {
        if let Some((node, life)) = self.recorded
            && (!self.world.is_running(node) || self.world.life(node) != life)
        {
            self.recorded = None;
        }
        if self.recorded.is_none() && self.replays < REPLAYS_MAX {
            let node = NodeIndex(self.rng.below(self.world.len() as u64) as usize);
            if self.world.record(node, RECORD_BASE) {
                self.recorded = Some((node, self.world.life(node)));
            }
        }
    }

    /// Replays what was recorded, one time out of so many, and begins another recording.
    fn verify_recording(&mut self, one_in: u64) {
        let Some((node, life)) = self.recorded else {
            return;
        };
        if !self.rng.chance(1, one_in) || self.world.life(node) != life {
            return;
        }
        let is_spoilt = self.plan.condition(node).is_spoilt;
        if let Some(verdict) = check_recording(&self.world, node, is_spoilt) {
            self.world.mark(Mark::Replayed.name(), Some(node));
            self.replays += 1;
            self.recorded = None;
            if let Err(violation) = verdict {
                self.watch.report(violation);
            }
        }
    }

    /// Makes all well for the core: its operators start what is down, take branches back in that
    /// nodes parked, and connect with each other.
    fn heal(&mut self) -> Vec<NodeIndex> {
        self.workload.collect(&mut self.world);
        while let Some(late) = self.late.pop() {
            self.add(late.hashrate);
        }
        let core = self.plan.heal(&mut self.world, &self.powers);
        self.await_links(&core);
        for (node, next) in core.iter().zip(core.iter().cycle().skip(1)) {
            let peer = self.world.peer_address(*next);
            self.world.call(*node, Question::AddPeer(peer));
        }
        core
    }

    /// What operators of the core do: they empty disks whose directories do not open, and take
    /// branches back in that their nodes parked.
    fn operate(&mut self, core: &[NodeIndex]) {
        self.plan.act(&mut self.world);
        let news = &self.world.events()[self.read..];
        let parked = news.iter().filter_map(|(_, node, event)| match event {
            Event::Parked { id, .. } if core.contains(node) => Some((*node, *id)),
            _ => None,
        });
        let parked: Vec<_> = parked.collect();
        self.read = self.world.events().len();
        for (node, id) in parked {
            self.world.call(node, Question::AcceptBranch(id));
        }
    }

    /// The core comes to one chain, which grows.
    fn converge(&mut self, core: &[NodeIndex]) -> Span {
        let began = self.world.now();
        let goal = self.height(core).0 + 3;
        let agreed = self.agree(core, Height(goal));
        let after = self.world.now().since(began);
        if agreed {
            let height = self.height(core).0;
            self.probes.send(&mut self.world, core, &self.genesis.id());
            self.agree(core, Height(height + BLOCKS_AFTER));
            self.await_probes(core);
        }
        self.workload.collect(&mut self.world);
        after
    }

    /// Waits until what was paid at each node of the core is mined.
    fn await_probes(&mut self, core: &[NodeIndex]) {
        let until = self.world.now() + CONVERGES_WITHIN;
        while !self.probes.are_mined(&self.world, core) {
            if self.is_over() {
                return;
            }
            if self.world.now() >= until {
                let found = self.probes.violation(&self.world, core);
                found.into_iter().for_each(|it| self.watch.report(it));
                return;
            }
            self.operate(core);
            self.probes.send(&mut self.world, core, &self.genesis.id());
            self.pass(self.world.now() + Span::from_secs(1));
        }
    }

    /// The only copy of a block was on a disk that lost bits: nobody can follow a node that stands
    /// on it, and it says so for ever. Its operator begins anew with an empty disk. Says whether
    /// anybody did.
    fn give_up_lost(&mut self, core: &[NodeIndex]) -> bool {
        let world = &self.world;
        let all = (0..world.len()).map(NodeIndex);
        let honest: Vec<NodeIndex> = all.filter(|node| world.is_honest(*node)).collect();
        let is_lost = |id: &BlockId| {
            let mut running = honest.iter().filter_map(|node| world.node(*node));
            running
                .all(|node| !node.knows_block(id) || node.blocks_wanted_again().any(|it| it == id))
        };
        let stands_on_lost = |node: &&NodeIndex| {
            let running = world.node(**node);
            running.is_some_and(|running| running.blocks_wanted_again().any(is_lost))
        };
        let alone: Vec<NodeIndex> = core.iter().filter(stands_on_lost).copied().collect();
        for node in &alone {
            self.plan.begin_anew(&mut self.world, *node);
        }
        !alone.is_empty()
    }

    /// Waits until all nodes of the core are on one chain, at least of this height.
    fn agree(&mut self, core: &[NodeIndex], mut goal: Height) -> bool {
        let until = self.world.now() + CONVERGES_WITHIN;
        let patient = self.world.now() + PATIENCE;
        let mut agreed = false;
        while !agreed && self.world.now() < until {
            self.operate(core);
            if self.world.now() >= patient && self.give_up_lost(core) {
                goal = goal.min(Height(self.height(core).0 + 3));
            }
            self.record_followed();
            self.run_until(Span::from_secs(1), |world| {
                agreed = agree(world, core, goal);
                agreed
            });
            if self.is_over() {
                return false;
            }
        }
        if !agreed {
            self.watch.report(no_agreement(&self.world, core, goal));
        }
        agreed
    }

    /// The greatest height that a node of these shows.
    fn height(&self, nodes: &[NodeIndex]) -> Height {
        let shown = nodes.iter().filter_map(|node| self.world.published(*node));
        let height = shown.map(|shown| shown.header.height).max();
        height.unwrap_or(Height::GENESIS)
    }

    /// Asks all checkers, of nodes that are on one chain.
    fn check(&mut self, core: &[NodeIndex]) -> Outcomes {
        self.workload.collect(&mut self.world);
        self.look();
        for refusal in self.plan.refusals().to_vec() {
            self.watch.report(Violation {
                checker: Checker::Directory,
                at: refusal.at,
                node: Some(refusal.node),
                what: format!("its directory does not open: {}", refusal.why),
            });
        }
        for node in core {
            // Any of them: all would be half of what a run costs.
            if self.rng.chance(1, 4) {
                self.check_logs(*node);
            }
        }
        let plan = &self.plan;
        let excused = |node| !core.contains(&node) || plan.condition(node).is_spoilt;
        let genesis = Arc::clone(&self.genesis);
        let finally = Finally::new(&mut self.world, &mut self.watch, core, genesis);
        let mut finally = finally.until(self.until);
        finally.check_validity();
        finally.check_state();
        finally.check_acknowledged(&self.workload, excused)
    }

    /// Every mark, with those of what nodes reported.
    fn marks(&self, outcomes: &Outcomes) -> Marks {
        let mut marks = Marks::default();
        for (mark, times) in [
            (Mark::Replaced, outcomes.replaced),
            (Mark::DoubleSpent, outcomes.conflicting),
            (Mark::Expired, outcomes.expired),
            (Mark::Evicted, outcomes.evicted),
            (Mark::MempoolFull, self.watch.full_mempools()),
        ] {
            if times > 0 {
                marks.add_named(mark.name(), times);
            }
        }
        for (_, _, event) in self.world.events() {
            let mark = match event {
                Event::DamagedLog { .. } => Mark::Damaged,
                Event::DiskFull(true) => Mark::FullSeen,
                Event::Parked { .. } => Mark::Parked,
                Event::Checkpoint { .. } => Mark::Checkpoint,
                Event::InvalidBlock { .. } | Event::Divergence { .. } => Mark::InvalidBlock,
                Event::PeerDiscouraged { .. } => Mark::Discouraged,
                Event::TipChanged { disconnected, .. } if *disconnected >= 4 => {
                    Mark::ReorganisedDeep
                }
                Event::TipChanged { disconnected, .. } if *disconnected > 0 => Mark::Reorganised,
                _ => continue,
            };
            marks.add(mark);
        }
        if self.world.network().lost_segments() > 0 {
            marks.add(Mark::Loss);
        }
        for (mark, is_off) in marks_of(&self.world.config().switches) {
            if is_off {
                marks.add(mark);
            }
        }
        let counts = self.world.observations().time_line().counts();
        for (mark, times) in counts {
            marks.add_named(mark.0, *times);
        }
        marks
    }
}

/// The marks of switches, and whether each is off.
const fn marks_of(switches: &Switches) -> [(Mark, bool); 3] {
    [
        (Mark::SealedFrames, !switches.plain_frames),
        (Mark::OwnVerdicts, !switches.memoised_verdicts),
        (Mark::Threads, !switches.simulated_costs),
    ]
}

/// What some run of many must leave a mark of, where everything is drawn but switches that are
/// set: names of marks, or their beginnings, which end with a colon.
#[must_use]
pub fn expected_marks(switches: Option<&Switches>) -> Vec<&'static str> {
    let never = |mark: &Mark| switches.is_some_and(|set| marks_of(set).contains(&(*mark, false)));
    let own = Mark::ALL.iter().filter(|mark| !never(mark));
    let own = own.map(|mark| mark.name());
    let kinds = ADVERSARIES.iter();
    // Of blocks that break one rule each, every rule.
    let flaws = Flaw::ALL.iter().map(|flaw| flaw.mark());
    let kinds = kinds.filter(|(kind, _)| *kind != AdversaryKind::InvalidBlockMiner);
    let adversaries = kinds.map(|(_, marks)| *marks).chain(flaws);
    own.chain(adversaries).chain(CHEATS).collect()
}

/// None as often as not.
fn draw_adversaries(rng: &mut Rng, most: usize) -> Vec<(AdversaryKind, Rng)> {
    let count = if rng.chance(1, 2) {
        0
    } else {
        rng.below(most as u64 + 1)
    };
    let drawn = (0..count).map(|number| {
        let (kind, _) = ADVERSARIES[rng.below(ADVERSARIES.len() as u64) as usize];
        (kind, rng.fork(&format!("adversary {number}")))
    });
    drawn.collect()
}

fn draw_genesis(rng: &mut Rng, interval: Span, workload: &Workload) -> Genesis {
    let time = Millis(1_700_000_000_000);
    let mut genesis = Profile::Dev.genesis(EngineKind::Work, "swarm", time);
    let interval_ms = interval.as_micros() / 1_000;
    genesis.rules.interval_ms = interval_ms as u32;
    if let EngineRules::Work {
        half_life_ms,
        pow_bits,
        ..
    } = &mut genesis.rules.engine
    {
        (*half_life_ms, *pow_bits) = (288 * interval_ms, TARGET);
    }
    // Room for a few hundred payments in a block: fees rise, and segments are small.
    genesis.rules.max_block_weight = 100_000;
    genesis.rules.maturity = 1 + rng.below(12) as u32;
    workload.fund(&mut genesis);
    genesis
}

fn draw_world(rng: &mut Rng, seed: u64, genesis: Arc<Genesis>) -> WorldConfig {
    let matrix = match rng.below(3) {
        0 => Matrix::Uniform(Span::from_millis(1 << rng.below(9))),
        1 => Matrix::PingTable,
        _ => Matrix::SimBlock2019,
    };
    let loss = 64 << rng.below(10);
    let network = NetworkConfig {
        matrix,
        jitter_permille: [0, 60, 2_000][rng.below(3) as usize],
        bandwidth: Bandwidths::ByRegion,
        loss_per_million: if rng.chance(1, 2) { 0 } else { loss },
        ..NetworkConfig::default()
    };
    // By a stream of its own: in the other seeds everything is as it would be without it.
    let mut room = rng.fork("room");
    let mempool_limit = match room.chance(1, CRAMPED_ONE_IN) {
        true => ROOM_LEAST << room.below(3),
        false => MEMORY_DEFAULT,
    };
    let most = 1 << rng.below(7);
    let checkpoints = CheckpointInterval {
        // Few as often as many: a node that lost its inverses in a restart parks a branch that
        // forks off more than two of these intervals below its tip.
        blocks: 1 + rng.below(most),
        block_bytes: 1 << (12 + rng.below(14)),
        changed_bytes: 1 << (14 + rng.below(12)),
        quiet: Span::from_millis(200 << rng.below(6)),
        quiet_bytes: 1 << (8 + rng.below(12)),
    };
    WorldConfig {
        network,
        mempool_limit,
        checkpoints,
        sync_time: Span::from_micros(100 << rng.below(8)),
        // A block of the greatest weight fits.
        segment_size: (128 << 10) << rng.below(3),
        cores: 1 + rng.below(2) as u8,
        disks: DiskKind::Faulty,
        sample_every: SAMPLE_EVERY,
        switches: Switches {
            plain_frames: !rng.chance(1, UNSIMPLIFIED_ONE_IN),
            memoised_verdicts: !rng.chance(1, UNSIMPLIFIED_ONE_IN),
            // By a stream of its own: nothing else that is drawn, and nothing that happens, is
            // another for it.
            simulated_costs: !rng.fork("threads").chance(1, UNSIMPLIFIED_ONE_IN),
        },
        ..WorldConfig::new(seed, genesis)
    }
}

mod peace;
mod probes;
#[cfg(test)]
mod tests;
