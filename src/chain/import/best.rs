//! The best chain by height, and where other chains leave it.
//!
//! *Owns* nothing: the blocks above the logged ones are listed in [`Chain`], the others in the
//! tree. *Invariants*: whether a block is in the best chain and where a branch leaves it is known
//! whatever records are damaged. *Never* changes anything.

use crate::types::{BlockId, Header, Height};

use super::Chain;

impl Chain {
    /// The block of the best chain at a height.
    #[must_use]
    pub fn at(&self, height: Height) -> Option<BlockId> {
        match height.0.checked_sub(self.tree.logged_len()) {
            Some(place) => self.best.get(usize::try_from(place).ok()?).copied(),
            None => self.tree.logged_at(height),
        }
    }

    /// The height of the tip.
    pub(super) fn top(&self) -> u64 {
        self.tip_entry().header.height.0
    }

    /// Whether a block is in the best chain.
    #[must_use]
    pub fn in_best_chain(&self, id: &BlockId) -> bool {
        match self.tree.in_memory(id) {
            Some(entry) if *id != self.tree.genesis() => {
                let place = entry.header.height.0.checked_sub(self.tree.logged_len());
                let place = place.and_then(|place| usize::try_from(place).ok());
                place.and_then(|place| self.best.get(place)) == Some(id)
            }
            Some(_) => true,
            None => self.tree.height(id).is_some(),
        }
    }

    /// Ids of the best header's chain from its top down, ever further apart, the genesis block
    /// last: what a peer needs to find the last block it shares with this node.
    #[must_use]
    pub fn locator(&self) -> Vec<BlockId> {
        let top = self.tree.best_header();
        let Some(entry) = self.tree.in_memory(&top) else {
            return vec![self.tree.genesis()];
        };
        let (mut ids, mut at, mut height, mut step) = (Vec::new(), top, entry.header.height.0, 1);
        while height > 0 && ids.len() < 31 {
            ids.push(at);
            if ids.len() >= 10 {
                step *= 2;
            }
            height = height.saturating_sub(step);
            // Below the fork both chains are the same, and the index by height is at hand.
            at = match self.at(Height(height)) {
                Some(id) if self.in_best_chain(&at) => id,
                _ => self
                    .tree
                    .ancestor(&at, Height(height))
                    .unwrap_or(self.tree.genesis()),
            };
        }
        ids.push(self.tree.genesis());
        ids
    }

    /// The header of the best chain at a height, if it can be read.
    #[must_use]
    pub fn header_at(&self, height: Height) -> Option<Header> {
        if height.0 < self.tree.logged_len() {
            return self.tree.logged_header(height);
        }
        let entry = self.tree.in_memory(&self.at(height)?)?;
        Some(entry.header.clone())
    }

    /// The height of the highest block of the best chain that a branch shares.
    pub(super) fn fork_height(&self, branch: &BlockId) -> u64 {
        let (mut at, mut above) = (*branch, 0);
        while let Some(entry) = self.tree.in_memory(&at) {
            if self.in_best_chain(&at) {
                return entry.header.height.0;
            }
            (at, above) = (entry.header.parent_id, entry.header.height.0);
        }
        // What is not in memory is logged, and so it is in the best chain.
        match above {
            0 => self.tree.height(branch).map_or(0, |height| height.0),
            above => above - 1,
        }
    }

    /// The blocks of the best chain that a branch does not share, the highest first, but for those
    /// whose records can't be read.
    pub(super) fn leaving(&self, branch: &BlockId) -> impl Iterator<Item = BlockId> {
        let heights = self.fork_height(branch) + 1..=self.top();
        heights.rev().filter_map(|height| self.at(Height(height)))
    }
}
