//! Networks of production nodes in one process, in virtual time, from a seed.
//!
//! *Owns* virtual time, the lines between nodes, their disks in memory and what goes wrong with
//! any of them. *Invariants*: the same seed and the same calls give the same events in the same
//! order, and so the same [`World::event_hash`], on any machine, in debug and release. *Never*
//! sleeps, never reads a clock, and never changes what a node does: it runs
//! [`crate::node::Node`] as it is.
//!
//! # The map
//!
//! * `world`: [`World`] runs machines, each a production node with a disk, cores and a clock;
//!   `queue`, `memo` and `costs` let thousands of them fit one process
//! * [`network`]: when bytes that are sent now arrive; [`ladder`] holds it against known figures
//! * [`workload`]: the people who pay; [`faults`]: what goes wrong; [`adversary`]: machines whose
//!   [`Behaviour`] is dishonest
//! * [`observe`]: what is counted meanwhile; [`check`]: what must hold, whatever goes wrong
//! * [`scenario`]: a world and its plan as a file; [`swarm`]: one that is drawn from a seed
//! * [`report`]: a run as a table, as numbers and as one picture; [`playback`]: the same of a
//!   recording of a real node
//! * `story`: the language in which directed tests are written
//!
//! `docs/simulator.md` says how to use it, `cli::sim` is the command.

pub mod adversary;
mod behaviour;
pub mod check;
mod costs;
pub mod faults;
pub mod ladder;
mod memo;
pub mod network;
pub mod observe;
pub mod playback;
mod queue;
pub mod report;
pub mod scenario;
#[cfg(test)]
mod story;
pub mod swarm;
mod unfit;
pub mod workload;
mod world;

pub use behaviour::{Behaviour, Fate, Hands, Letter};
pub use costs::Costs;
pub use unfit::Unfit;
pub use world::{
    ClockError, Crash, Damage, DiskHits, DiskKind, DiskTrouble, NodeIndex, Switches, Tell, World,
    WorldConfig,
};
