//! Attempts to execute blocks for the first time.
//!
//! *Owns* what is known of them from this process and those before it. *Invariants*: an attempt is
//! written down before its block is executed; one that a process did not survive counts, one that
//! came to an end does not. *Never* parks a block: it says which attempt comes next.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::types::BlockId;

use super::{Chain, RUN_BLOCKS_MAX};

/// Attempts to execute a block after which it is parked: each ended with the process.
pub const ATTEMPTS_MAX: u8 = 3;

/// An attempt to execute a block that was not executed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The block, the first of a run.
    pub id: BlockId,
    /// Which attempt it is, from 1.
    pub number: u8,
}

/// What is known of attempts to execute blocks for the first time. A block that ends the process
/// in the midst of its execution would end it at every start: each attempt is written down
/// before, and after the third it is parked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::chain) struct Attempts {
    /// Blocks on which an attempt was left unfinished, with its number.
    suspects: BTreeMap<BlockId, u8>,
    /// How many blocks to execute one by one, because a run that may have had them was left
    /// unfinished.
    careful: usize,
    /// An attempt that is being written down.
    pub(super) beginning: bool,
    /// The block on which an attempt is written down.
    pub(super) begun: Option<BlockId>,
}

impl Attempts {
    /// The attempt to write down before `id` is executed; none when it is written.
    pub(super) fn begin(&mut self, id: BlockId) -> Option<Attempt> {
        if self.begun == Some(id) {
            return None;
        }
        let first = if self.careful > 0 { 2 } else { 1 };
        let number = self.suspects.get(&id).map_or(first, |number| number + 1);
        self.beginning = true;
        Some(Attempt { id, number })
    }

    /// Whether a block is to be executed by itself.
    pub(super) fn is_suspect(&self, id: &BlockId) -> bool {
        self.careful > 0 || self.suspects.contains_key(id)
    }

    pub(super) fn succeeded(&mut self, id: &BlockId) {
        self.careful = self.careful.saturating_sub(1);
        if self.suspects.remove(id).is_some() {
            // The attempt was on a run, of which this was the first block.
            self.careful = RUN_BLOCKS_MAX - 1;
        }
    }

    pub(super) fn forget(&mut self, id: &BlockId) {
        self.suspects.remove(id);
    }
}

impl Chain {
    /// Takes note that the process ended in the midst of this attempt.
    pub fn suspect(&mut self, attempt: Attempt) {
        self.attempts.suspects.insert(attempt.id, attempt.number);
    }

    /// The attempt is written down: the block may be executed.
    pub fn begun(&mut self, id: BlockId) {
        self.attempts.beginning = false;
        self.attempts.begun = Some(id);
    }

    /// The block on which an attempt is written down that did not come to an end yet.
    #[must_use]
    pub const fn attempt(&self) -> Option<BlockId> {
        self.attempts.begun
    }
}
