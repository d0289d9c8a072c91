//! Blocks of the best chain whose records turned out to be damaged.
//!
//! *Owns* which they are, until the log has each of them again. *Invariants*: a block that is
//! named here has no place in the log that anybody is told of, and all that was decided about it
//! holds: it was executed, and the chain above it stands. *Never* takes bytes on trust: what comes
//! again is checked against its id like what comes for the first time.

use serde::{Deserialize, Serialize};

use crate::store::Lsn;
use crate::types::BlockId;

use super::{Body, Chain};

/// How far the repair of a damaged record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::chain) enum Repair {
    /// Somebody has to give the block.
    Wanted,
    /// It is here, and on its way to the log.
    Arrived,
}

impl Chain {
    /// Where in the log a block is, as far as is known undamaged.
    #[must_use]
    pub fn logged_at(&self, id: &BlockId) -> Option<Lsn> {
        if self.damaged.contains_key(id) {
            return None;
        }
        match self.tree.body(id)? {
            Body::Logged(lsn) => Some(lsn),
            Body::Missing | Body::Arrived => None,
        }
    }

    /// The record of a block can't be read. One of the best chain keeps its place and is wanted
    /// again; any other counts as never having come, and so do those that build on it. Says whether
    /// that is news.
    pub fn body_damaged(&mut self, id: &BlockId) -> bool {
        self.reading.remove(id);
        if self.damaged.contains_key(id) {
            return false;
        }
        if self.bodies.contains_key(id) {
            self.damaged.insert(*id, Repair::Arrived);
        } else if self.in_best_chain(id) {
            self.damaged.insert(*id, Repair::Wanted);
        } else {
            self.tree.body_lost(id);
            self.plan = None;
        }
        true
    }

    /// Whether a block is wanted that was here and whose record is damaged.
    #[must_use]
    pub fn wants_again(&self, id: &BlockId) -> bool {
        self.damaged.get(id) == Some(&Repair::Wanted)
    }

    /// The blocks that are wanted again.
    pub fn wanted_again(&self) -> impl Iterator<Item = &BlockId> {
        let wanted = |(_, repair): &(&BlockId, &Repair)| **repair == Repair::Wanted;
        self.damaged.iter().filter(wanted).map(|(id, _)| id)
    }

    /// Blocks left the best chain: those of them that are wanted are so like any other branch's.
    pub(super) fn damaged_left(&mut self, leaving: &[BlockId]) {
        for id in leaving {
            if self.wants_again(id) {
                self.damaged.remove(id);
                self.tree.body_lost(id);
            }
        }
    }
}
