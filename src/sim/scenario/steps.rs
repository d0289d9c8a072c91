//! What a scenario's author wants to happen at which time.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::base::{Rng, Span, Time};
use crate::sim::network::{Cut, CutId};
use crate::sim::{Crash, DiskTrouble, NodeIndex, World};
use crate::store::Keep;

use super::ScenarioError;
use super::read::Length;

/// How much longer a slow disk takes.
const SLOW_BY: Span = Span::from_millis(500);
/// How often it is looked whether a disk's trouble was hit yet: its mark begins then.
const LOOK_EVERY: Span = Span::from_millis(200);

/// What can be done to nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Deed {
    /// The process is killed.
    Kill,
    /// The machine has no power, and what was not synced is gone.
    PowerCut,
    /// The process stands still.
    Pause,
    /// These nodes and all others do not hear each other.
    Split,
    /// The others do not hear these nodes.
    SplitOneWay,
    /// Each of these nodes is by itself.
    Isolate,
    /// The disk takes half a second longer for each group of records.
    SlowDisk,
    /// The disk has no space.
    DiskFull,
}

impl Deed {
    const fn mark(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::PowerCut => "power-cut",
            Self::Pause => "pause",
            Self::Split => "split",
            Self::SplitOneWay => "split-one-way",
            Self::Isolate => "isolated",
            Self::SlowDisk => "slow-disk",
            Self::DiskFull => "disk-full",
        }
    }
}

/// Something that happens at a time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// When, from the beginning.
    time: Length,
    #[serde(rename = "do")]
    deed: Deed,
    /// To which nodes.
    #[serde(default)]
    nodes: Vec<usize>,
    /// Or to how many of a hundred, drawn from the seed.
    #[serde(default)]
    percent: u32,
    /// How long: until the end where it is not given.
    lasts: Option<Length>,
}

impl Step {
    /// Whether it can be done in a world of so many nodes.
    pub(super) fn check(&self, path: &str, nodes: usize) -> Result<(), ScenarioError> {
        let wrong = |key: &str, why: String| Err(ScenarioError::new(format!("{path}.{key}"), why));
        if self.nodes.is_empty() == (self.percent == 0) {
            return wrong(
                "nodes",
                "give either nodes = [..] or percent = 1 to 100".to_owned(),
            );
        }
        if self.percent > 100 {
            return wrong(
                "percent",
                format!("is {}; it must be 1 to 100", self.percent),
            );
        }
        if let Some(node) = self.nodes.iter().find(|node| **node >= nodes) {
            return wrong(
                "nodes",
                format!("there is no node {node}; they are 0 to {}", nodes - 1),
            );
        }
        if self.deed == Deed::Pause && self.lasts.is_none() {
            return wrong(
                "lasts",
                "is missing: say how long the processes stand still".to_owned(),
            );
        }
        Ok(())
    }

    /// Whether disks have to be able to fail for it.
    pub(super) const fn needs_faulty_disks(&self) -> bool {
        matches!(self.deed, Deed::PowerCut | Deed::DiskFull)
    }
}

/// What undoes a deed.
enum Undo {
    Start(NodeIndex),
    Mend(CutId),
    /// The trouble with this number is over.
    Relieve(u64),
    /// It is over by itself.
    GoOn,
}

/// How many steps do the same to a node at a time: what one of them ends, another may go on with.
#[derive(Clone, Copy, Debug, Default)]
struct Grip {
    down: u32,
    slow: u32,
    full: u32,
}

impl Grip {
    fn on(&mut self, deed: Deed) -> Option<&mut u32> {
        match deed {
            Deed::Kill | Deed::PowerCut => Some(&mut self.down),
            Deed::SlowDisk => Some(&mut self.slow),
            Deed::DiskFull => Some(&mut self.full),
            Deed::Pause | Deed::Split | Deed::SplitOneWay | Deed::Isolate => None,
        }
    }

    fn trouble(&self) -> DiskTrouble {
        let slow = if self.slow > 0 { SLOW_BY } else { Span::ZERO };
        DiskTrouble {
            no_space: self.full > 0,
            slow,
            ..DiskTrouble::default()
        }
    }
}

/// A trouble of a disk, which leaves a mark from the moment at which something hits it.
struct Trouble {
    node: NodeIndex,
    deed: Deed,
    /// How often such a trouble of the disk had been hit before.
    before: u64,
    hit: Option<Time>,
}

impl Trouble {
    fn hits(world: &World, node: NodeIndex, deed: Deed) -> u64 {
        let hits = world.disk_hits(node);
        match deed {
            Deed::SlowDisk => hits.slow,
            _ => hits.disk.no_space,
        }
    }

    fn look(&mut self, world: &World) {
        if self.hit.is_none() && Self::hits(world, self.node, self.deed) > self.before {
            self.hit = Some(world.now());
        }
    }
}

enum Act {
    Begin(Step),
    End {
        since: Time,
        mark: &'static str,
        node: Option<NodeIndex>,
        undo: Undo,
    },
}

/// The steps of a run, in the order of their times.
pub(super) struct Steps {
    due: BTreeMap<(Time, u64), Act>,
    /// What lasts until the end.
    lasting: Vec<Act>,
    acts: u64,
    rng: Rng,
    grips: BTreeMap<NodeIndex, Grip>,
    troubles: BTreeMap<u64, Trouble>,
    /// When somebody looks whether troubles were hit.
    look_at: Option<Time>,
}

impl Steps {
    pub(super) fn new(steps: &[Step], began: Time, rng: Rng) -> Self {
        let mut plan = Self {
            due: BTreeMap::new(),
            lasting: Vec::new(),
            acts: 0,
            rng,
            grips: BTreeMap::new(),
            troubles: BTreeMap::new(),
            look_at: None,
        };
        for step in steps {
            plan.push(began + step.time.0, Act::Begin(step.clone()));
        }
        plan
    }

    fn push(&mut self, at: Time, act: Act) {
        self.acts += 1;
        self.due.insert((at, self.acts), act);
    }

    /// When the next one is due.
    pub(super) fn next_at(&self) -> Option<Time> {
        let step = self.due.first_key_value().map(|((at, _), _)| *at);
        [step, self.look_at].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn act(&mut self, world: &mut World) {
        let now = world.now();
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 <= now
        {
            let act = entry.remove();
            self.perform(world, act);
        }
        if self.look_at.is_some_and(|at| at <= now) {
            let mut troubles = self.troubles.values_mut();
            troubles.by_ref().for_each(|trouble| trouble.look(world));
            let goes_on = self.troubles.values().any(|trouble| trouble.hit.is_none());
            self.look_at = goes_on.then(|| now + LOOK_EVERY);
        }
    }

    fn perform(&mut self, world: &mut World, act: Act) {
        match act {
            Act::Begin(step) => self.begin(world, &step),
            Act::End {
                since,
                mark,
                node,
                undo,
            } => {
                if let Some(since) = self.end(world, &undo, since) {
                    world.mark_since(since, mark, node);
                }
            }
        }
    }

    /// Ends everything that lasts until the end of the run.
    pub(super) fn finish(&mut self, world: &mut World) {
        for act in std::mem::take(&mut self.due)
            .into_values()
            .chain(std::mem::take(&mut self.lasting))
        {
            if matches!(act, Act::End { .. }) {
                self.perform(world, act);
            }
        }
    }

    fn nodes(&mut self, world: &World, step: &Step) -> Vec<NodeIndex> {
        if step.percent == 0 {
            return step.nodes.iter().copied().map(NodeIndex).collect();
        }
        let mut nodes: Vec<NodeIndex> = (0..world.len()).map(NodeIndex).collect();
        nodes.retain(|node| world.is_honest(*node));
        let some = (nodes.len() * step.percent as usize).div_ceil(100);
        self.rng.shuffle(&mut nodes);
        nodes.truncate(some);
        nodes.sort_unstable();
        nodes
    }

    fn begin(&mut self, world: &mut World, step: &Step) {
        let nodes = self.nodes(world, step);
        match step.deed {
            Deed::Split | Deed::SplitOneWay => {
                let side: Vec<usize> = nodes.iter().map(|node| node.0).collect();
                let cut = match step.deed {
                    Deed::Split => Cut::Split(side),
                    _ => Cut::SplitOneWay(side),
                };
                let cut = world.cut(cut);
                self.end_later(world, step, None, Undo::Mend(cut));
            }
            _ => {
                for node in nodes {
                    if let Some(undo) = self.do_to(world, step, node) {
                        self.end_later(world, step, Some(node), undo);
                    }
                }
            }
        }
    }

    fn end_later(&mut self, world: &World, step: &Step, node: Option<NodeIndex>, undo: Undo) {
        let since = world.now();
        let end = Act::End {
            since,
            mark: step.deed.mark(),
            node,
            undo,
        };
        match step.lasts {
            None => self.lasting.push(end),
            Some(lasts) => self.push(since + lasts.0, end),
        }
    }

    /// Does a step to a node; nothing where there is nobody to do it to.
    fn do_to(&mut self, world: &mut World, step: &Step, node: NodeIndex) -> Option<Undo> {
        let grip = self.grips.entry(node).or_default();
        if let Some(holds) = grip.on(step.deed) {
            *holds += 1;
        }
        let trouble = grip.trouble();
        let undo = match step.deed {
            Deed::Kill => {
                self.end_pauses(world, node);
                world.crash(node, Crash::Kill);
                Undo::Start(node)
            }
            Deed::PowerCut => {
                self.end_pauses(world, node);
                world.crash(node, Crash::PowerCut(Keep::Nothing));
                Undo::Start(node)
            }
            Deed::Pause if !world.is_running(node) => return None,
            Deed::Pause => {
                world.pause(node, step.lasts.map_or(Span::ZERO, |lasts| lasts.0));
                Undo::GoOn
            }
            Deed::SlowDisk | Deed::DiskFull => {
                world.trouble(node, trouble);
                let now = world.now();
                self.acts += 1;
                let trouble = Trouble {
                    node,
                    deed: step.deed,
                    before: Trouble::hits(world, node, step.deed),
                    hit: None,
                };
                self.troubles.insert(self.acts, trouble);
                self.look_at = self.look_at.or(Some(now + LOOK_EVERY));
                Undo::Relieve(self.acts)
            }
            Deed::Isolate | Deed::Split | Deed::SplitOneWay => {
                Undo::Mend(world.cut(Cut::Isolate(node.0)))
            }
        };
        Some(undo)
    }

    /// Undoes what was done at a time; says since when it was so, if it ever was.
    fn end(&mut self, world: &mut World, undo: &Undo, since: Time) -> Option<Time> {
        match undo {
            Undo::Start(node) => {
                self.let_go(*node, Deed::Kill);
                self.start(world, *node);
            }
            Undo::Mend(cut) => world.mend(*cut),
            Undo::Relieve(number) => {
                let mut trouble = self.troubles.remove(number)?;
                trouble.look(world);
                let grip = self.let_go(trouble.node, trouble.deed);
                world.trouble(trouble.node, grip.trouble());
                // Its process may have ended over the trouble and not begun again.
                self.start(world, trouble.node);
                return trouble.hit;
            }
            Undo::GoOn => {}
        }
        Some(since)
    }

    fn let_go(&mut self, node: NodeIndex, deed: Deed) -> Grip {
        let grip = self.grips.entry(node).or_default();
        if let Some(holds) = grip.on(deed) {
            *holds = holds.saturating_sub(1);
        }
        *grip
    }

    /// Starts a node that is down, unless a step holds it there.
    fn start(&self, world: &mut World, node: NodeIndex) {
        let is_held = self.grips.get(&node).is_some_and(|grip| grip.down > 0);
        if !is_held && world.is_honest(node) {
            world.start(node);
        }
    }

    /// A process that is stopped is killed: it stands still no longer.
    fn end_pauses(&mut self, world: &mut World, node: NodeIndex) {
        let stops = self.due.iter().filter(|(_, act)| {
            matches!(act, Act::End { undo: Undo::GoOn, node: Some(of), .. } if *of == node)
        });
        let stops: Vec<(Time, u64)> = stops.map(|(due, _)| *due).collect();
        for stop in stops {
            if let Some(act) = self.due.remove(&stop) {
                self.perform(world, act);
            }
        }
    }
}
