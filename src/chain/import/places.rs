//! Where transactions of the newest blocks of the best chain stand.
//!
//! *Owns* the list of the last blocks, each with its transactions in the order of their ids.
//! *Invariants*: the list is in the order of height, and what leaves the best chain leaves it.
//! *Never* reads the log: what is older than the list is not known here.

use crate::chain::{CheckedBlock, SortedPlaces};
use crate::types::{BlockId, TxId};

use super::{Arc, Chain, INDEXED_BLOCKS_MAX, INDEXED_TRANSACTIONS_MAX};

impl Chain {
    pub(super) fn index_block(&mut self, block: &CheckedBlock) {
        self.index_places(block.id, Arc::clone(block.places()));
    }

    pub(super) fn index_places(&mut self, id: BlockId, places: SortedPlaces) {
        self.indexed_transactions += places.len();
        self.indexed.push_back((id, places));
        while self.indexed.len() > INDEXED_BLOCKS_MAX
            || (self.indexed_transactions > INDEXED_TRANSACTIONS_MAX && self.indexed.len() > 1)
        {
            if let Some((_, places)) = self.indexed.pop_front() {
                self.indexed_transactions -= places.len();
            }
        }
    }

    pub(super) fn unindex(&mut self, block: &BlockId) {
        // It is the newest, unless it was let go.
        if self.indexed.back().is_some_and(|(id, _)| id == block)
            && let Some((_, places)) = self.indexed.pop_back()
        {
            self.indexed_transactions -= places.len();
        }
    }

    /// The block of the best chain that has a transaction, and its place there, while the
    /// transaction is among the last 200,000 and its block among the last 8,192.
    #[must_use]
    pub fn find_transaction(&self, txid: &TxId) -> Option<(BlockId, u32)> {
        self.indexed.iter().rev().find_map(|(id, places)| {
            let at = places.binary_search_by_key(txid, |(txid, _)| *txid).ok()?;
            Some((*id, places[at].1))
        })
    }
}
