//! Which headers follow the rules, before anything is executed.
//!
//! *Owns* the rules of headers (`docs/formats.md`, "Header rules"): the target, the base fee, the
//! bounds on time, and the header of the genesis block. *Invariants*: pure functions of header,
//! parent and genesis, so that every node comes to the same verdict whenever it asks. *Never*
//! reads a clock: that a block is too early by the local clock is no fault, and is answered by
//! [`HeaderRules::held_until`] with the clock as an argument.
//!
//! Proof of work decides between branches by the work of their headers. The bytes of proof of
//! stake are fixed, but its engine is not part of this version: [`HeaderRules::new`] refuses such
//! a genesis, so that no function here has to pretend.

mod asert;
mod header;
#[cfg(test)]
mod known_bugs;

pub use asert::{Drift, asert};
pub use header::{
    HeaderFault, HeaderRules, ParentView, UnsupportedEngine, genesis_header, meets_target,
    next_base_fee, validators_root,
};
