//! What must hold in a world whatever goes wrong in it.
//!
//! *Owns* the checkers: those that look on while a run goes ([`Watch`]), and those that ask at its
//! end ([`Finally`]). *Invariants*: a checker never changes a world but by asking its
//! nodes, as anybody outside could. *Never* takes a node's word for what it can compute: blocks are
//! judged by [`Reference`], which shares no step with the pipeline that accepted them.

mod again;
mod bounds;
mod finally;
mod links;
mod quiet;
mod reference;
mod watch;

use std::fmt;

use crate::base::{Span, Time};
use crate::sim::{NodeIndex, World};
use crate::types::{BlockId, Height};

pub use again::{check_log_replay, check_recording};
pub use bounds::check_bounds;
pub use finally::{Finally, Outcomes};
pub use links::{REDIALLED_WITHIN, missing_link, not_linked};
pub use quiet::{QUIET_MARGIN, no_common_work, same_work};
pub use reference::{Included, Reference};
pub use watch::Watch;

/// How long nodes may take to come to one chain when all is well: peers that were lost are dialled
/// again after 30 seconds at most, headers asked elsewhere after 15, a silence noticed after 80.
pub const CONVERGES_WITHIN: Span = Span::from_secs(400);

/// How long a block may take from one end of a network to the other where all is well: some hops,
/// each of them a few round trips over the slowest lines, and a lost packet that is sent again.
const SPREADS_WITHIN: Span = Span::from_secs(4);
/// How many blocks miners may find beside each other, one after the other, by chance alone.
const BY_CHANCE: u64 = 2;

/// Whether all of these nodes are ready and on one chain, which has come to `goal`: they show one
/// tip, or their chains are the same up to that height and up to the newest blocks that may still
/// be on their way.
///
/// Where blocks come as fast as they spread, there is hardly a moment in which everybody shows the
/// same tip, however well all goes. That the tips are near each other would not be enough: a node
/// that is stuck is near for as long as the others have found little. So `goal` is to be higher
/// than anything that was shown when the wait began: a node that takes in no more blocks never
/// comes to it, nor do two parts of a network that never hear of each other's branches come to one
/// block there. And a node that goes on taking blocks, always later than they spread, is too far
/// below the highest.
#[must_use]
pub fn agree(world: &World, nodes: &[NodeIndex], goal: Height) -> bool {
    let shown = |node: &NodeIndex| {
        let shown = world.published(*node).filter(|shown| shown.ready)?;
        Some((shown.tip, shown.header.height))
    };
    let shown: Option<Vec<(BlockId, Height)>> = nodes.iter().map(shown).collect();
    let Some(shown) = shown else { return false };
    let heights = || shown.iter().map(|(_, height)| *height);
    let (Some(lowest), Some(highest)) = (heights().min(), heights().max()) else {
        return false;
    };
    if lowest < goal || shown.windows(2).all(|pair| pair[0] == pair[1]) {
        return lowest >= goal;
    }
    let interval = u64::from(world.config().genesis.rules.interval_ms).max(1);
    let apart = BY_CHANCE + SPREADS_WITHIN.as_millis().div_ceil(interval);
    let common = goal.max(Height(highest.0.saturating_sub(apart)));
    let mut blocks = nodes.iter().zip(&shown).map(|(node, (tip, _))| {
        let running = world.node(*node)?;
        running.ancestor(tip, common)
    });
    let first = blocks.next().flatten();
    first.is_some() && blocks.all(|block| block == first)
}

/// That there is no common chain, with what each of the nodes shows.
#[must_use]
pub fn no_agreement(world: &World, nodes: &[NodeIndex], goal: Height) -> Violation {
    let what = format!("no common chain of height {goal} in {CONVERGES_WITHIN}");
    disagreement(world, nodes, &what)
}

/// That nodes do not agree in some way, with what each of them shows.
fn disagreement(world: &World, nodes: &[NodeIndex], what: &str) -> Violation {
    let shown = nodes.iter().map(|node| {
        let shown = world.published(*node);
        let shown = shown.map(|it| (it.header.height.0, it.tip, it.ready, it.peers));
        format!("{}: {shown:?}", node.0)
    });
    let shown: Vec<String> = shown.collect();
    Violation {
        checker: Checker::Agreement,
        at: world.now(),
        node: None,
        what: format!("{what}: {}", shown.join(", ")),
    }
}

/// What a checker is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Checker {
    /// Honest nodes that are connected come to one chain, and it grows.
    Agreement,
    /// What was acknowledged is not lost.
    Acknowledged,
    /// What readers saw is there after a restart; a tip never gets worse.
    Durability,
    /// Issued less burned is what there is.
    Supply,
    /// No invalid block is accepted.
    Validity,
    /// A block has one state root, at every node.
    Roots,
    /// Nothing grows beyond its bound.
    Bounds,
    /// A start from the logs comes to the state that was live.
    LogReplay,
    /// A recording replays to the state that was live.
    RecorderReplay,
    /// A directory opens that had nothing but power cuts and honest failures.
    Directory,
    /// What is submitted to a healthy network is mined.
    Liveness,
    /// Nodes that are to be connected are.
    Links,
}

impl Checker {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agreement => "agreement",
            Self::Acknowledged => "acknowledged",
            Self::Durability => "durability",
            Self::Supply => "supply",
            Self::Validity => "validity",
            Self::Roots => "roots",
            Self::Bounds => "bounds",
            Self::LogReplay => "log-replay",
            Self::RecorderReplay => "recorder-replay",
            Self::Directory => "directory",
            Self::Liveness => "liveness",
            Self::Links => "links",
        }
    }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which checker found it.
    pub checker: Checker,
    /// When.
    pub at: Time,
    /// At which node, where it is one.
    pub node: Option<NodeIndex>,
    /// What is wrong, with the numbers.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ms", self.checker.name(), self.at.as_millis())?;
        if let Some(node) = self.node {
            write!(f, ", node {}", node.0)?;
        }
        write!(f, ": {}", self.what)
    }
}

#[cfg(test)]
mod tests;
