//! Old blocks of the best chain, of which memory has little but where they stand in the log.
//!
//! *Owns* when a block becomes one of them, and what can't be read of them. *Invariants*: all of
//! them are in the best chain, below its tip. *Never* takes a damaged record for a missing block.

use std::sync::Arc;

use crate::store::Lsn;
use crate::types::{BlockId, Header, Height, Uint256};

use super::{Chain, FrontSource, OldBlocks};

impl Chain {
    /// Takes the old blocks that a start found, without reading them. To be called before any
    /// other block is taken.
    pub fn restore_old(&mut self, old: &OldBlocks) {
        self.tree.begin_with(old);
        self.best.clear();
    }

    /// Keeps of the lowest blocks that are still whole in memory where they stand in the log, if
    /// they lie at or below a height and deeper than any branch that is executed without being
    /// asked; no more at a time than takes a moment.
    pub fn let_headers_go(&mut self, limit: Height) {
        let deep = self.top().saturating_sub(self.reach);
        let Some((height, id)) = self.tree.next_to_log(limit.min(Height(deep))) else {
            return;
        };
        if self.at(height) != Some(id) {
            return;
        }
        let before = self.tree.logged_len();
        self.tree.log_next();
        let count = self.tree.logged_len() - before;
        self.best.drain(..count as usize);
    }

    /// Begins at the genesis block, if what is logged is of no use.
    pub fn begin_at_genesis(&mut self) {
        if self.tree.logged_len() > 0 && self.tip == self.tree.genesis() {
            let genesis = self.tree.genesis();
            let is_there = self.tree.make_top(&genesis);
            debug_assert!(is_there, "no log has the genesis block");
            self.best = self.above_logged(&genesis);
        }
    }

    /// From where the headers of old blocks are read, that are not in memory.
    pub fn read_from(&mut self, source: Arc<dyn FrontSource>) {
        self.tree.read_from(source);
    }

    /// An event begins.
    pub fn begin_event(&mut self) {
        self.tree.begin_event();
    }

    /// The next event finds the headers at these positions unreadable, if it reads them, as it did
    /// where it was recorded.
    pub fn foresee_unreadable(&mut self, positions: Vec<Lsn>) {
        self.tree.foresee_unreadable(positions);
    }

    /// The old blocks whose headers could not be read since the last call.
    pub fn take_unreadable(&mut self) -> Vec<BlockId> {
        self.tree.take_unreadable()
    }

    /// An event has ended.
    pub fn end_event(&mut self) {
        self.tree.end_event();
    }

    /// The work of the chain of a block whose header is given, because its own record may be
    /// damaged: by what its neighbours say. None where theirs are damaged as well.
    #[must_use]
    pub fn work_with(&self, id: &BlockId, header: &Header) -> Option<Uint256> {
        let own = || self.tree.get(id).map(|entry| entry.work);
        let below = || {
            let parent = self.tree.get(&header.parent_id)?;
            Some(parent.work.saturating_add(header.work()))
        };
        own()
            .or_else(below)
            .or_else(|| self.work_below(header.height))
    }

    /// The work of the best chain up to a height, by what the block above it says.
    fn work_below(&self, height: Height) -> Option<Uint256> {
        let above = self.tree.get(&self.at(height.next())?)?;
        Some(above.work.wrapping_sub(above.header.work()))
    }

    /// Whether a block that is wanted again can be written again: the work of its chain is known.
    #[must_use]
    pub fn can_take_again(&self, id: &BlockId, height: Height) -> bool {
        let below = height
            .0
            .checked_sub(1)
            .and_then(|below| self.at(Height(below)));
        self.tree.get(id).is_some()
            || below.is_some_and(|below| self.tree.get(&below).is_some())
            || self.work_below(height).is_some()
    }
}
