//! The event loop of a running node.
//!
//! *Owns* the sockets and the clock. *Invariants*: nothing in the loop blocks; every buffer has a
//! cap. *Never* decides anything about the chain or about peers: the node does.

pub mod http;
