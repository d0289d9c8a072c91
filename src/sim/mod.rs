//! Networks of production nodes in one process, in virtual time, from a seed.
//!
//! *Owns* virtual time, the lines between nodes, their disks in memory and what goes wrong with
//! any of them. *Invariants*: the same seed and the same calls give the same events in the same
//! order, and so the same [`World::event_hash`], on any machine, in debug and release. *Never*
//! sleeps, never reads a clock, and never changes what a node does: it runs
//! [`crate::node::Node`] as it is.
//!
//! [`World`] runs machines over a [`network`], which the [`ladder`] holds against known figures;
//! [`Behaviour`] makes some of them dishonest; `memo`, `costs` and `queue` make thousands of them
//! fit one process. [`workload`] has the people who pay.

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
pub mod workload;
mod world;

pub use behaviour::{Behaviour, Fate, Hands, Letter};
pub use costs::Costs;
pub use world::{Crash, DiskKind, DiskTrouble, NodeIndex, Switches, Tell, World, WorldConfig};
