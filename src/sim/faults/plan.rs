//! The plan of a run's faults, and its execution as virtual time passes.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Rng, Span, Time};
use crate::node::Mining;
use crate::sim::network::CutId;
use crate::sim::{ClockError, Crash, Damage, DiskHits, DiskTrouble, NodeIndex, World};

use super::{FaultOptions, Mark, Pace};

mod crashes;
mod partitions;

use crashes::Doomed;
use partitions::{Flapping, Partition};

/// How long an operator looks at a directory that does not open before emptying the disk.
const WIPED_AFTER: Span = Span::from_secs(5);
/// How soon a node is started again whose disk is still full or failing.
const TRIED_AGAIN_AFTER: Span = Span::from_secs(1);
/// By how many intervals the clock of a node may be off at most that still has to keep up: two of
/// them then differ by less than half the limit of the future, which is nine intervals.
const SKEW_INTERVALS: u64 = 2;
/// By how many intervals a clock is off that is wrong, at least and at most.
const WRONG_INTERVALS: (u64, u64) = (10, 30);
/// How fast a clock may run away, in millionths: a bad crystal has 200.
const DRIFT_PPM_MAX: u64 = 500;

/// How soon the power is back that goes while a disk has a trouble.
const RESET_LASTS: Span = Span::from_millis(200);

/// For how many intervals of blocks a node that leaves is away at least.
const AWAY_INTERVALS: u64 = 5;

/// How often a process is killed in a loop, and how long it lives and is away in between.
const CRASH_LOOP_KILLS: u64 = 12;
const CRASH_LOOP_LIFE: Span = Span::from_millis(60);
const CRASH_LOOP_PAUSE: Span = Span::from_millis(5);

/// What faults are like in one run, as far as its options do not say.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// How many in 1,000 kills are the first of a loop.
    loop_permille: u64,
    /// How many in 1,000 troubles of a disk take the power along while they last: what a start
    /// does on a disk that is slow or full is reached by nothing else.
    reset_permille: u64,
    /// How many in 1,000 cuts come and go.
    flapping_permille: u64,
    /// How many in 1,000 crashes wait until a group of records is being written.
    in_write_permille: u64,
    /// How likely each kind of cut is beside the others.
    cuts: [u64; 4],
    /// How much longer a group of records takes on a slow disk, in the mean.
    slow: Span,
}

impl Manner {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            loop_permille: rng.below(500),
            reset_permille: rng.below(700),
            flapping_permille: rng.below(500),
            cuts: [(); 4].map(|()| 1 + rng.below(4)),
            slow: Span::from_millis(10 << rng.below(10)),
            in_write_permille: match rng.chance(1, 2) {
                true => rng.below(1_000),
                false => 0,
            },
        }
    }
}

/// Kinds of faults that come again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Kill,
    PowerCut,
    Blackout,
    Pause,
    BitFlip,
    Unreadable,
    StrayedWrite,
    LostSegment,
    DiskFull,
    ShortWrites,
    SlowDisk,
    FailingSync,
    Partition,
    Leave,
    ClockJump,
}

impl Kind {
    const ALL: [Self; 15] = [
        Self::Kill,
        Self::PowerCut,
        Self::Blackout,
        Self::Pause,
        Self::BitFlip,
        Self::Unreadable,
        Self::StrayedWrite,
        Self::LostSegment,
        Self::DiskFull,
        Self::ShortWrites,
        Self::SlowDisk,
        Self::FailingSync,
        Self::Partition,
        Self::Leave,
        Self::ClockJump,
    ];

    const fn pace(self, options: &FaultOptions) -> Pace {
        match self {
            Self::Kill => options.kill,
            Self::PowerCut => options.power_cut,
            Self::Blackout => options.blackout,
            Self::Pause => options.pause,
            Self::BitFlip => options.bit_flip,
            Self::Unreadable => options.unreadable,
            Self::StrayedWrite => options.strayed_write,
            Self::LostSegment => options.lost_segment,
            Self::DiskFull => options.disk_full,
            Self::ShortWrites => options.short_writes,
            Self::SlowDisk => options.slow_disk,
            Self::FailingSync => options.failing_sync,
            Self::Partition => options.partition,
            Self::Leave => options.leave,
            Self::ClockJump => options.clock_jump,
        }
    }
}

/// Something that is due.
enum Act {
    /// The next fault of a kind.
    Strike(Kind),
    /// A machine that is down starts.
    Start(NodeIndex),
    /// A directory that did not open is given up.
    Wipe(NodeIndex),
    /// A process that is killed again and again, so many times more.
    Loop { node: NodeIndex, left: u64 },
    /// A trouble of a disk is over.
    Relieve(NodeIndex, Kind),
    /// The power goes at a machine whose disk has a trouble.
    Reset(NodeIndex),
    /// A cut is over.
    Mend(CutId),
    /// A cut that comes and goes changes.
    Flap {
        flapping: Flapping,
        holds: Option<CutId>,
    },
}

/// What a plan has done to a machine.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// Its disk lost bits, or everything: it may have forgotten what it promised.
    pub is_spoilt: bool,
    /// Its clock is off by more than the rules bear.
    pub has_wrong_clock: bool,
    /// Its clock was set anew since its last start.
    has_jumped: bool,
    /// Its disk may lose bits.
    is_frail: bool,
    /// It is down because of this plan.
    is_down: bool,
    /// Its directory was seen not to open.
    is_refused: bool,
    /// A start of it failed, and another is tried before that counts.
    is_tried_again: bool,
    /// Its process was seen to have ended by itself.
    has_ended: bool,
    trouble: DiskTrouble,
    /// What its disk's troubles had done when somebody looked last, and what was marked of it.
    hits: DiskHits,
    fired: BTreeSet<Mark>,
}

/// A directory that did not open.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Whose.
    pub node: NodeIndex,
    /// When that was seen.
    pub at: Time,
    /// Why.
    pub why: String,
}

/// When what goes on is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// When a machine that is down starts.
    Start(NodeIndex),
    /// When a trouble of a machine's disk is over.
    Relief(NodeIndex, Kind),
    /// When a machine's clock is set anew.
    Clock(NodeIndex),
    /// When a machine's process is killed no more.
    Loop(NodeIndex),
    /// When a machine's process, which is stopped, goes on, or is down.
    GoOn(NodeIndex, Time),
    /// When a cut is mended.
    Mending(Time, Partition),
}

impl Over {
    /// Of which machine it is, where it is one's.
    const fn node(self) -> Option<NodeIndex> {
        match self {
            Self::Start(node)
            | Self::Relief(node, _)
            | Self::Clock(node)
            | Self::Loop(node)
            | Self::GoOn(node, _) => Some(node),
            Self::Mending(..) => None,
        }
    }

    /// The time at which it is over at the latest.
    const fn at(self) -> Option<Time> {
        match self {
            Self::GoOn(_, at) | Self::Mending(at, _) => Some(at),
            Self::Start(_) | Self::Relief(..) | Self::Clock(_) | Self::Loop(_) => None,
        }
    }
}

/// Something that goes on; its mark is left when it is over, with both times.
#[derive(Clone, Copy, Debug)]
struct Ongoing {
    mark: Mark,
    since: Time,
    over: Over,
}

/// Faults, as virtual time passes.
pub struct FaultPlan {
    options: FaultOptions,
    manner: Manner,
    rng: Rng,
    /// The randomness of crashes that wait for a group of records.
    writes: Rng,
    doomed: BTreeMap<NodeIndex, Doomed>,
    /// The interval between blocks that the chain aims at.
    interval: Span,
    /// The honest machines that faults happen to.
    nodes: Vec<NodeIndex>,
    conditions: BTreeMap<NodeIndex, Condition>,
    due: BTreeMap<(Time, u64), Act>,
    acts: u64,
    cuts: Vec<(CutId, Partition)>,
    /// How many partitions there were.
    partitions: u32,
    /// Those that kept anything from passing.
    felt: BTreeSet<Partition>,
    refusals: Vec<Refusal>,
    ongoing: Vec<Ongoing>,
}

impl FaultPlan {
    /// A plan that begins at `now`, for a chain that aims at a block per `interval`.
    #[must_use]
    pub fn new(options: FaultOptions, rng: Rng, interval: Span, now: Time) -> Self {
        let mut plan = Self {
            options,
            manner: Manner::draw(&mut rng.fork("manner")),
            writes: rng.fork("writes"),
            rng,
            doomed: BTreeMap::new(),
            interval,
            nodes: Vec::new(),
            conditions: BTreeMap::new(),
            due: BTreeMap::new(),
            acts: 0,
            cuts: Vec::new(),
            partitions: 0,
            felt: BTreeSet::new(),
            refusals: Vec::new(),
            ongoing: Vec::new(),
        };
        for kind in Kind::ALL {
            plan.expect_next(kind, now);
        }
        plan
    }

    /// Adds an honest machine to the world and takes it in: its clock errs from the first moment
    /// on, by more than the rules bear if that is drawn and it `may_err`.
    pub fn admit(
        &mut self,
        world: &mut World,
        name: &str,
        peers: &[NodeIndex],
        mining: Option<Mining>,
        may_err: bool,
    ) -> NodeIndex {
        let options = &self.options;
        let (skewed, wrong) = (options.skewed_permille, options.wrong_clock_permille);
        let frail = options.frail_permille;
        let mut condition = Condition::default();
        let mut clock = ClockError::default();
        if may_err && self.rng.chance(wrong.into(), 1_000) {
            clock = self.draw_clock(true);
            condition.has_wrong_clock = true;
        } else if self.rng.chance(skewed.into(), 1_000) {
            clock = self.draw_clock(false);
        }
        let node = world.add_with_clock(name, peers, mining, clock);
        self.begin_clock(world.now(), node, clock, condition.has_wrong_clock);
        condition.is_frail = self.rng.chance(frail.into(), 1_000);
        let frail = self.conditions.values().filter(|it| it.is_frail).count();
        // In a network of twenty most disks stay good, whatever the dice say.
        condition.is_frail &= frail < 5;
        self.nodes.push(node);
        self.conditions.insert(node, condition);
        node
    }

    /// A machine has a clock that errs from now on.
    fn begin_clock(&mut self, now: Time, node: NodeIndex, clock: ClockError, is_wrong: bool) {
        let over = Over::Clock(node);
        if is_wrong {
            self.begin(now, Mark::ClockWrong, over);
        } else if clock.skew_micros != 0 {
            self.begin(now, Mark::ClockSkew, over);
        }
        if clock.drift_ppm != 0 {
            self.begin(now, Mark::ClockDrift, over);
        }
    }

    /// Something begins that goes on.
    fn begin(&mut self, now: Time, mark: Mark, over: Over) {
        let since = now;
        self.ongoing.push(Ongoing { mark, since, over });
    }

    /// Leaves the marks of what is over, but for cuts that nothing came up against.
    fn end(&mut self, world: &mut World, mut is_over: impl FnMut(&Over) -> bool) {
        let now = world.now();
        self.feel_cuts(world);
        for ongoing in self
            .ongoing
            .extract_if(.., |ongoing| is_over(&ongoing.over))
        {
            let Ongoing { mark, since, over } = ongoing;
            if let Over::Mending(_, partition) = over
                && !self.felt.contains(&partition)
            {
                continue;
            }
            let until = over.at().map_or(now, |at| at.min(now));
            world.mark_span(since, until, mark.name(), over.node());
        }
    }

    /// Leaves the marks of all that still goes on: the run is over.
    pub fn finish(&mut self, world: &mut World) {
        self.end(world, |_| true);
    }

    /// A clock that is off, by more than the rules bear where it is `wrong`.
    fn draw_clock(&mut self, wrong: bool) -> ClockError {
        let interval = self.interval.as_micros();
        let skew = if wrong {
            let (least, most) = (interval * WRONG_INTERVALS.0, interval * WRONG_INTERVALS.1);
            least + self.rng.below(most - least)
        } else {
            self.rng.below(interval * SKEW_INTERVALS)
        };
        // The span of a few minutes, in microseconds, fits many times.
        let skew = skew as i64;
        let is_ahead = self.rng.chance(1, 2);
        let drifts = !wrong && self.rng.chance(1, 2);
        let drift = self.rng.below(2 * DRIFT_PPM_MAX) as i32 - DRIFT_PPM_MAX as i32;
        ClockError {
            skew_micros: if is_ahead { skew } else { -skew },
            drift_ppm: if drifts { drift } else { 0 },
        }
    }

    /// A machine's clock is set anew while no process of it runs: within what the rules bear, but
    /// that a wrong one may stay wrong.
    fn jump(&mut self, world: &mut World, node: NodeIndex) {
        let was_wrong = self.condition(node).has_wrong_clock;
        let is_wrong = was_wrong && self.rng.chance(1, 2);
        let clock = self.draw_clock(is_wrong);
        world.set_clock(node, clock);
        self.end(world, |over| *over == Over::Clock(node));
        self.begin_clock(world.now(), node, clock, is_wrong);
        let condition = self.conditions.entry(node).or_default();
        (condition.has_wrong_clock, condition.has_jumped) = (is_wrong, true);
    }

    /// What was done to a machine.
    #[must_use]
    pub fn condition(&self, node: NodeIndex) -> Condition {
        self.conditions.get(&node).cloned().unwrap_or_default()
    }

    /// Directories that did not open although nothing was done to their disks but power cuts.
    #[must_use]
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// When [`act`](Self::act) has something to do.
    #[must_use]
    pub fn next_due(&self) -> Option<Time> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// Does what is due.
    pub fn act(&mut self, world: &mut World) {
        let now = world.now();
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 <= now
        {
            let act = entry.remove();
            self.perform(world, act);
        }
        self.end(world, |over| over.at().is_some_and(|at| at <= now));
        self.watch_disks(world);
        self.watch_directories(world);
    }

    /// Ends all faults. A core of nodes that has most of the power is whole again and connected:
    /// whoever was down starts, disks are as good as new ones; the others stay as they are. Gives
    /// the core. `powers` says what each machine of the world hashes.
    pub fn heal(&mut self, world: &mut World, powers: &[u64]) -> Vec<NodeIndex> {
        self.due.clear();
        for (cut, _) in self.cuts.clone() {
            self.mend(world, cut);
        }
        self.end(world, |over| {
            matches!(over, Over::Mending(..) | Over::Loop(_))
        });
        for node in std::mem::take(&mut self.doomed).into_keys() {
            world.spare(node);
        }
        let core = self.choose_core(powers);
        for node in &core {
            self.make_whole(world, *node);
        }
        self.watch_directories(world);
        core
    }

    /// Makes those whole whose clocks are wrong, which no core has; gives them.
    pub fn heal_erring(&mut self, world: &mut World) -> Vec<NodeIndex> {
        let errs = |node: &NodeIndex| self.condition(*node).has_wrong_clock;
        let erring: Vec<NodeIndex> = self.nodes.iter().copied().filter(errs).collect();
        for node in &erring {
            self.make_whole(world, *node);
        }
        self.watch_directories(world);
        erring
    }

    /// By how much a clock is off at most.
    #[must_use]
    pub fn clock_error_max(&self) -> Span {
        self.interval.times(WRONG_INTERVALS.1)
    }

    /// A disk is as good as a new one, and a process that is down or stopped goes on.
    fn make_whole(&mut self, world: &mut World, node: NodeIndex) {
        let condition = self.conditions.entry(node).or_default();
        (condition.trouble, condition.is_refused) = (DiskTrouble::default(), false);
        world.trouble(node, DiskTrouble::default());
        world.make_readable(node);
        world.go_on(node);
        self.end(world, |over| match over {
            Over::Relief(of, _) | Over::GoOn(of, _) => *of == node,
            Over::Start(_) | Over::Clock(_) | Over::Loop(_) | Over::Mending(..) => false,
        });
        if !world.is_running(node) {
            self.start(world, node);
        }
    }

    fn choose_core(&mut self, powers: &[u64]) -> Vec<NodeIndex> {
        let fit = |node: &NodeIndex| !self.condition(*node).has_wrong_clock;
        let mut core: Vec<NodeIndex> = self.nodes.iter().copied().filter(fit).collect();
        let all: u64 = powers.iter().sum();
        let power = |nodes: &[NodeIndex]| nodes.iter().map(|node| powers[node.0]).sum::<u64>();
        let mut spare = self.rng.below(1 + core.len() as u64 / 4);
        while spare > 0 {
            spare -= 1;
            let mut fewer = core.clone();
            fewer.remove(self.rng.below(fewer.len() as u64) as usize);
            // Nobody outside may have as much power as the core, whoever is left out.
            if 3 * power(&fewer) > 2 * all {
                core = fewer;
            }
        }
        core
    }

    fn expect_next(&mut self, kind: Kind, now: Time) {
        let every = kind.pace(&self.options).every;
        if every > Span::ZERO {
            let after = self.around(every);
            self.later(now + after, Act::Strike(kind));
        }
    }

    fn later(&mut self, at: Time, act: Act) {
        self.acts += 1;
        self.due.insert((at, self.acts), act);
    }

    /// A span with this mean: anything from nothing to twice of it.
    fn around(&mut self, mean: Span) -> Span {
        Span::from_micros(self.rng.below(2 * mean.as_micros() + 1))
    }

    fn perform(&mut self, world: &mut World, act: Act) {
        match act {
            Act::Strike(kind) => {
                self.strike(world, kind);
                self.expect_next(kind, world.now());
            }
            Act::Start(node) => self.start(world, node),
            Act::Wipe(node) => {
                if world.refused(node).is_some() {
                    self.begin_anew(world, node);
                }
            }
            Act::Loop { node, left } => self.crash_loop(world, node, left),
            Act::Reset(node) => {
                if world.is_running(node) {
                    let lasts = self.around(RESET_LASTS);
                    self.power_cut(world, node, lasts);
                }
            }
            Act::Relieve(node, kind) => self.trouble(world, node, kind, false, Span::ZERO),
            Act::Mend(cut) => self.mend(world, cut),
            Act::Flap { flapping, holds } => self.flap(world, flapping, holds),
        }
    }

    /// An operator empties the disk of a node, which has everything to fetch then.
    pub fn begin_anew(&mut self, world: &mut World, node: NodeIndex) {
        if world.is_running(node) {
            world.crash(node, Crash::Kill);
        }
        world.wipe(node);
        leave(world, Mark::Wiped, node);
        let condition = self.conditions.entry(node).or_default();
        (condition.is_spoilt, condition.is_refused) = (true, false);
        self.start(world, node);
    }

    fn strike(&mut self, world: &mut World, kind: Kind) {
        let pace = kind.pace(&self.options);
        let lasts = self.around(pace.lasts);
        match kind {
            Kind::Kill => {
                if let Some(node) = self.somebody(world, |_| true) {
                    if self.rng.chance(self.manner.loop_permille, 1_000) {
                        self.begin(world.now(), Mark::CrashLoop, Over::Loop(node));
                        self.crash_loop(world, node, CRASH_LOOP_KILLS);
                    } else {
                        self.kill(world, node, lasts);
                    }
                }
            }
            Kind::PowerCut => {
                if let Some(node) = self.somebody(world, |_| true) {
                    self.power_cut(world, node, lasts);
                }
            }
            Kind::Blackout => {
                world.mark(Mark::Blackout.name(), None);
                for node in self.nodes.clone() {
                    if world.is_running(node) {
                        let back = self.around(pace.lasts);
                        self.power_cut(world, node, back);
                    }
                }
            }
            Kind::Pause => {
                if let Some(node) = self.somebody(world, |_| true) {
                    let now = world.now();
                    self.begin(now, Mark::Pause, Over::GoOn(node, now + lasts));
                    world.pause(node, lasts);
                }
            }
            Kind::BitFlip | Kind::Unreadable | Kind::StrayedWrite | Kind::LostSegment => {
                if let Some(node) = self.somebody(world, |condition| condition.is_frail) {
                    self.spoil(world, node, kind, lasts);
                }
            }
            Kind::DiskFull | Kind::ShortWrites | Kind::SlowDisk | Kind::FailingSync => {
                if let Some(node) = self.somebody(world, |_| true) {
                    let slow = self.around(self.manner.slow);
                    self.trouble(world, node, kind, true, slow);
                    let now = world.now();
                    self.later(now + lasts, Act::Relieve(node, kind));
                    if self.rng.chance(self.manner.reset_permille, 1_000) {
                        let after = Span::from_micros(self.rng.below(lasts.as_micros().max(1)));
                        self.later(now + after, Act::Reset(node));
                    }
                }
            }
            Kind::Partition => self.partition(world, lasts),
            Kind::ClockJump => {
                if let Some(node) = self.somebody(world, |_| true) {
                    self.down(world, node, Crash::Kill, lasts);
                    self.jump(world, node);
                }
            }
            Kind::Leave => {
                if let Some(node) = self.somebody(world, |_| true) {
                    let lasts = away(lasts, pace.lasts, self.interval.times(AWAY_INTERVALS));
                    self.begin(world.now(), Mark::Leave, Over::Start(node));
                    self.down(world, node, Crash::Kill, lasts);
                }
            }
        }
    }

    /// Something happens to the bytes of a frail disk.
    fn spoil(&mut self, world: &mut World, node: NodeIndex, kind: Kind, lasts: Span) {
        let one = self.rng.chance(1, 2);
        self.forget_fired(node, kind);
        let (damage, mark) = match kind {
            Kind::BitFlip => (Damage::Bit, Some(Mark::BitFlip)),
            // Whether anybody wants to read them shows later, and what was written last as well.
            Kind::Unreadable => (Damage::Unreadable, None),
            Kind::StrayedWrite if one => (Damage::LostWrite, None),
            Kind::StrayedWrite => (Damage::MisdirectedWrite, None),
            _ if one => (Damage::CutSegment, Some(Mark::CutSegment)),
            _ => (Damage::LostSegment, Some(Mark::LostSegment)),
        };
        if matches!(damage, Damage::CutSegment | Damage::LostSegment) {
            self.down(world, node, Crash::Kill, lasts);
        }
        if !world.damage(node, damage, &mut self.rng) {
            return;
        }
        self.conditions.entry(node).or_default().is_spoilt = true;
        if let Some(mark) = mark {
            leave(world, mark, node);
        }
        if kind == Kind::Unreadable {
            self.later(world.now() + lasts, Act::Relieve(node, kind));
        }
    }

    /// A trouble of this kind begins, which leaves a mark of its own when something hits it.
    fn forget_fired(&mut self, node: NodeIndex, kind: Kind) {
        let mark = match kind {
            Kind::DiskFull => Mark::DiskFull,
            Kind::ShortWrites => Mark::ShortWrites,
            Kind::FailingSync => Mark::FailingSync,
            Kind::SlowDisk => Mark::SlowDisk,
            Kind::StrayedWrite => Mark::StrayedWrite,
            Kind::Unreadable => Mark::Unreadable,
            _ => return,
        };
        self.conditions.entry(node).or_default().fired.remove(&mark);
    }

    /// Leaves marks of what disks did that had a trouble.
    fn watch_disks(&mut self, world: &mut World) {
        let since = world.now();
        for (node, condition) in &mut self.conditions {
            let now = world.disk_hits(*node);
            let before = std::mem::replace(&mut condition.hits, now);
            let (fired, trouble) = (&mut condition.fired, condition.trouble);
            let (hits, had) = (now.disk, before.disk);
            for (kind, mark, grew, goes_on) in [
                (
                    Kind::DiskFull,
                    Mark::DiskFull,
                    hits.no_space > had.no_space,
                    trouble.no_space,
                ),
                (
                    Kind::ShortWrites,
                    Mark::ShortWrites,
                    hits.short_writes > had.short_writes,
                    trouble.short_writes,
                ),
                (
                    Kind::FailingSync,
                    Mark::FailingSync,
                    hits.failed_syncs > had.failed_syncs,
                    trouble.sync_fails,
                ),
                (
                    Kind::SlowDisk,
                    Mark::SlowDisk,
                    now.slow > before.slow,
                    trouble.slow > Span::ZERO,
                ),
                (
                    Kind::StrayedWrite,
                    Mark::StrayedWrite,
                    hits.strayed_writes > had.strayed_writes,
                    false,
                ),
                (
                    Kind::Unreadable,
                    Mark::Unreadable,
                    hits.failed_reads > had.failed_reads,
                    false,
                ),
            ] {
                // Each trouble leaves one mark, however often it is hit: from then on, to its end.
                if !grew || !fired.insert(mark) {
                    continue;
                }
                if goes_on {
                    let over = Over::Relief(*node, kind);
                    self.ongoing.push(Ongoing { mark, since, over });
                } else {
                    leave(world, mark, *node);
                }
            }
        }
    }

    /// A running machine that a fault may happen to.
    fn somebody(&mut self, world: &World, may: impl Fn(&Condition) -> bool) -> Option<NodeIndex> {
        let fits = |node: &&NodeIndex| {
            world.is_running(**node) && self.conditions.get(*node).is_some_and(&may)
        };
        let some: Vec<NodeIndex> = self.nodes.iter().filter(fits).copied().collect();
        if some.is_empty() {
            return None;
        }
        Some(some[self.rng.below(some.len() as u64) as usize])
    }

    /// A trouble of a disk begins, or is over.
    fn trouble(&mut self, world: &mut World, node: NodeIndex, kind: Kind, on: bool, slow: Span) {
        // Where one begins while another of its kind goes on, each has a mark of its own.
        self.end(world, |over| *over == Over::Relief(node, kind));
        if on {
            self.forget_fired(node, kind);
        }
        let trouble = &mut self.conditions.entry(node).or_default().trouble;
        match kind {
            Kind::Unreadable => return world.make_readable(node),
            Kind::DiskFull => trouble.no_space = on,
            Kind::ShortWrites => trouble.short_writes = on,
            Kind::FailingSync => trouble.sync_fails = on,
            _ => trouble.slow = slow,
        }
        world.trouble(node, *trouble);
    }

    /// Looks for directories that did not open, as an operator would.
    fn watch_directories(&mut self, world: &mut World) {
        for node in self.nodes.clone() {
            let (at, running) = (world.now(), world.is_running(node));
            let refused = world.refused(node).map(str::to_owned);
            let condition = self.conditions.entry(node).or_default();
            let ended = !running && !condition.is_down && refused.is_none();
            if ended && !condition.has_ended {
                leave(world, Mark::Ended, node);
            }
            condition.has_ended = ended;
            condition.is_tried_again &= !running;
            let Some(why) = refused else {
                continue;
            };
            if condition.is_down || condition.is_refused {
                continue;
            }
            let trouble = &condition.trouble;
            let troubled = trouble.no_space || trouble.sync_fails || trouble.short_writes;
            if troubled || !condition.is_tried_again {
                // It is not the directory's fault, or need not be: the trouble may be over since.
                (condition.is_down, condition.is_tried_again) = (true, true);
                self.later(at + TRIED_AGAIN_AFTER, Act::Start(node));
                continue;
            }
            condition.is_refused = true;
            leave(world, Mark::Refused, node);
            if !condition.is_spoilt {
                self.refusals.push(Refusal { node, at, why });
            }
            self.later(at + WIPED_AFTER, Act::Wipe(node));
        }
    }
}

/// How long a node is away: what was drawn between nothing and twice the mean, moved to where it is
/// no less than `least`, and the same in the mean where that can be.
fn away(drawn: Span, mean: Span, least: Span) -> Span {
    let more = mean.as_micros().saturating_sub(least.as_micros());
    let part = u128::from(drawn.as_micros()) * u128::from(more);
    let part = part / u128::from(mean.as_micros().max(1));
    least + Span::from_micros(u64::try_from(part).unwrap_or(u64::MAX))
}

fn leave(world: &mut World, mark: Mark, node: NodeIndex) {
    world.mark(mark.name(), Some(node));
}
