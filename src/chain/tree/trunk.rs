//! Old blocks by height.
//!
//! *Owns* the blocks of one chain from the genesis block up to one that lies deep below the tip.
//! *Invariants*: each follows on the one before; a block's id is what the next one says of its
//! parent, so that it is kept once. *Never* judges a block: it is a place to keep it.
//!
//! In a map by id, with a list of what follows on it, a block takes three times as much.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::types::BlockId;

use super::Entry;

/// How many blocks are kept in one piece of memory: so few that what the last piece has free
/// counts for little, and so many that the list of pieces does.
const PIECE: usize = 256;

/// The blocks, by height.
#[derive(Clone, Debug, Default)]
pub(super) struct Trunk {
    /// All full but the last. A clone shares all of this.
    pieces: Vec<Arc<Vec<Entry>>>,
    /// Where to look for an id: some of its bytes, with the height.
    heights: Arc<BTreeSet<(u64, u64)>>,
    last: Option<BlockId>,
}

/// Bytes of an id that no work makes alike; two ids may share them all the same.
fn key(id: &BlockId) -> u64 {
    let bytes = id.0.as_chunks::<8>().0[1];
    u64::from_le_bytes(bytes)
}

impl Trunk {
    /// How many blocks there are.
    pub(super) fn len(&self) -> usize {
        self.heights.len()
    }

    /// The id of the highest.
    pub(super) const fn last(&self) -> Option<BlockId> {
        self.last
    }

    /// The highest with its id.
    pub(super) fn last_entry(&self) -> Option<(&BlockId, &Entry)> {
        Some((self.last.as_ref()?, self.pieces.last()?.last()?))
    }

    /// Every block, the lowest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.pieces.iter().flat_map(|piece| piece.iter())
    }

    fn entry(&self, height: u64) -> Option<&Entry> {
        let place = usize::try_from(height).ok()?;
        self.pieces.get(place / PIECE)?.get(place % PIECE)
    }

    /// The id of the block at a height.
    pub(super) fn at(&self, height: u64) -> Option<BlockId> {
        match self.entry(height.checked_add(1)?) {
            Some(above) => Some(above.header.parent_id),
            None => self.last.filter(|_| height + 1 == self.len() as u64),
        }
    }

    fn height_of(&self, id: &BlockId) -> Option<u64> {
        let key = key(id);
        let mut alike = self.heights.range((key, 0)..=(key, u64::MAX));
        let is_it = |height: &u64| self.at(*height) == Some(*id);
        alike.find_map(|(_, height)| Some(*height).filter(is_it))
    }

    /// The block of that id.
    pub(super) fn get(&self, id: &BlockId) -> Option<&Entry> {
        self.entry(self.height_of(id)?)
    }

    pub(super) fn get_mut(&mut self, id: &BlockId) -> Option<&mut Entry> {
        let place = usize::try_from(self.height_of(id)?).ok()?;
        let piece = self.pieces.get_mut(place / PIECE)?;
        Arc::make_mut(piece).get_mut(place % PIECE)
    }

    /// The block above that of an id.
    pub(super) fn next(&self, id: &BlockId) -> Option<BlockId> {
        if self.last == Some(*id) {
            return None;
        }
        self.at(self.height_of(id)? + 1)
    }

    /// Adds the block that follows on the last.
    pub(super) fn push(&mut self, id: BlockId, entry: Entry) {
        if self.len().is_multiple_of(PIECE) {
            self.pieces.push(Arc::new(Vec::with_capacity(PIECE)));
        }
        let height = self.len() as u64;
        Arc::make_mut(&mut self.heights).insert((key(&id), height));
        self.last = Some(id);
        if let Some(piece) = self.pieces.last_mut() {
            Arc::make_mut(piece).push(entry);
        }
    }
}

impl Serialize for Trunk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entries: Vec<&Entry> = self.entries().collect();
        (entries, self.last).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Trunk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (entries, last): (Vec<Entry>, Option<BlockId>) =
            Deserialize::deserialize(deserializer)?;
        let above = entries.iter().skip(1).map(|entry| entry.header.parent_id);
        let ids: Vec<BlockId> = above.chain(last).collect();
        if ids.len() != entries.len() {
            return Err(D::Error::custom("the last block has an id"));
        }
        let mut trunk = Self::default();
        for (id, entry) in ids.into_iter().zip(entries) {
            trunk.push(id, entry);
        }
        Ok(trunk)
    }
}
