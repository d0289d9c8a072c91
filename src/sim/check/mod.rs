//! What must hold in a world whatever goes wrong in it.
//!
//! *Owns* the checkers: those that look on while a run goes ([`Watch`]), and those that ask at its
//! end ([`Finally`]). *Invariants*: a checker never changes a world but by asking its
//! nodes, as anybody outside could. *Never* takes a node's word for what it can compute: blocks are
//! judged by [`Reference`], which shares nothing with the pipeline that accepted them.

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

/// The tip that all of these nodes show and are ready at, if it is one.
#[must_use]
pub fn common_tip(world: &World, nodes: &[NodeIndex]) -> Option<(BlockId, Height)> {
    let shown = |node: &NodeIndex| {
        let shown = world.published(*node).filter(|shown| shown.ready)?;
        Some((shown.tip, shown.header.height))
    };
    let first = shown(nodes.first()?)?;
    let agree = nodes.iter().all(|node| shown(node) == Some(first));
    agree.then_some(first)
}

/// That there is no common tip, with what each of the nodes shows.
#[must_use]
pub fn no_common_tip(world: &World, nodes: &[NodeIndex]) -> Violation {
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
        what: format!("no common tip in {CONVERGES_WITHIN}: {}", shown.join(", ")),
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
