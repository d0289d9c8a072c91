//! Networks of production nodes in one process, in virtual time, from a seed.
//!
//! *Owns* virtual time, the links between nodes and each node's disk in memory. *Invariants*: the
//! same seed and the same calls give the same events in the same order, and so the same
//! [`World::event_hash`], on any machine. *Never* sleeps, and never changes what a node does: it
//! runs [`crate::node::Node`] as it is, with its jobs inline and its log in memory.
//!
//! Links carry whole messages, in order within a connection; handshakes take one and a half round
//! trips. Encryption and frames are not part of it yet.

pub mod observe;
mod world;

pub use world::{NodeIndex, World, WorldConfig};
