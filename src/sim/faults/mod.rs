//! What goes wrong in a world, and when.
//!
//! *Owns* the faults of a run: how often each comes ([`FaultOptions`]), what it does to which
//! machine ([`FaultPlan`]), and the marks that it leaves ([`Marks`]). *Invariants*: a plan is a
//! function of its options, its seed and what the world did, so a seed replays; it acts on the
//! world alone, never on a node's insides. It knows what it did to whom, so that checkers ask of a
//! node only what its disk and clock allow: a disk that lost bits excuses a lost promise, a power
//! cut does not. *Never* heals by itself what an operator would have to: that is
//! [`FaultPlan::heal`]'s, once, for the core of nodes that must agree in the end.

mod mark;
mod options;
mod plan;

pub use mark::{Mark, Marks};
pub use options::{FaultOptions, Pace};
pub use plan::{Condition, FaultPlan, Refusal};

#[cfg(test)]
mod tests;
