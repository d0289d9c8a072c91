//! What must hold in a world whatever goes wrong in it.
//!
//! *Owns* the checkers: those that look on while a run goes ([`Watch`]), and those that ask at its
//! end ([`Finally`]). *Invariants*: a checker never changes a world but by asking its
//! nodes, as anybody outside could. *Never* takes a node's word for what it can compute: blocks are
//! judged by [`Reference`], which shares nothing with the pipeline that accepted them.

mod again;
mod bounds;
mod finally;
mod reference;
mod watch;

use std::fmt;

use crate::base::Time;
use crate::sim::NodeIndex;

pub use again::{check_log_replay, check_recording};
pub use bounds::check_bounds;
pub use finally::{Finally, Outcomes};
pub use reference::{Included, Reference};
pub use watch::Watch;

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
