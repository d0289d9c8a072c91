//! The state of the chain and how blocks change it.
//!
//! *Owns* the ledger and the state tree under it. *Invariants*: the state after a block is a
//! function of the genesis and the blocks up to it, and of nothing else. *Never* reads a clock or
//! a file: what it computes is the same on every machine.

pub mod ledger;
pub mod state;
