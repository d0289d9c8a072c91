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
    Relieve(NodeIndex),
    /// It is over by itself.
    Nothing,
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
}

impl Steps {
    pub(super) fn new(steps: &[Step], began: Time, rng: Rng) -> Self {
        let mut plan = Self {
            due: BTreeMap::new(),
            lasting: Vec::new(),
            acts: 0,
            rng,
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
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Does what is due.
    pub(super) fn act(&mut self, world: &mut World) {
        while self.next_at().is_some_and(|at| at <= world.now()) {
            let Some((_, act)) = self.due.pop_first() else {
                return;
            };
            match act {
                Act::Begin(step) => self.begin(world, &step),
                Act::End {
                    since,
                    mark,
                    node,
                    undo,
                } => {
                    end(world, &undo);
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
            if let Act::End {
                since,
                mark,
                node,
                undo,
            } = act
            {
                end(world, &undo);
                world.mark_since(since, mark, node);
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
                    let undo = do_to(world, step, node);
                    self.end_later(world, step, Some(node), undo);
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
}

fn do_to(world: &mut World, step: &Step, node: NodeIndex) -> Undo {
    match step.deed {
        Deed::Kill => {
            world.crash(node, Crash::Kill);
            Undo::Start(node)
        }
        Deed::PowerCut => {
            world.crash(node, Crash::PowerCut(Keep::Nothing));
            Undo::Start(node)
        }
        Deed::Pause => {
            world.pause(node, step.lasts.map_or(Span::ZERO, |lasts| lasts.0));
            Undo::Nothing
        }
        Deed::SlowDisk => {
            let slow = DiskTrouble {
                slow: SLOW_BY,
                ..DiskTrouble::default()
            };
            world.trouble(node, slow);
            Undo::Relieve(node)
        }
        Deed::DiskFull => {
            let full = DiskTrouble {
                no_space: true,
                ..DiskTrouble::default()
            };
            world.trouble(node, full);
            Undo::Relieve(node)
        }
        Deed::Isolate | Deed::Split | Deed::SplitOneWay => {
            Undo::Mend(world.cut(Cut::Isolate(node.0)))
        }
    }
}

fn end(world: &mut World, undo: &Undo) {
    match undo {
        Undo::Start(node) => world.start(*node),
        Undo::Mend(cut) => world.mend(*cut),
        Undo::Relieve(node) => world.trouble(*node, DiskTrouble::default()),
        Undo::Nothing => {}
    }
}
