//! Old blocks by height.
//!
//! *Owns* the blocks of one chain from the genesis block up to one that lies deep below the tip:
//! the lowest as [`Logged`] ones, the others whole. *Invariants*: each follows on the one before; a
//! block's id is what the next one says of its parent, so that it is kept once. *Never* judges a
//! block: it is a place to keep it.
//!
//! In a map by id, with a list of what follows on it, a block takes three times as much as here
//! whole, and a hundred times as much as a logged one.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::store::Lsn;
use crate::types::{BlockId, Header, Uint256};

use super::logged::{Form, Logged, OldBlocks, ShortId};
use super::{Body, Entry};

/// The most whole blocks that are in one piece of memory: so few that what the last piece has free
/// counts for little, and so many that the list of pieces does.
const PIECE_MAX: usize = 256;

/// The blocks, by height.
#[derive(Clone, Debug)]
pub(super) struct Trunk {
    pub(super) logged: Logged,
    /// Whole blocks, all pieces full but the last. A clone shares all of this.
    pieces: VecDeque<Arc<Vec<Entry>>>,
    /// How many whole blocks make a piece, which becomes logged at once.
    piece: usize,
    /// Where to look for the id of a whole one: some of its bytes, with the height.
    heights: Arc<BTreeSet<(u64, u64)>>,
    last: Option<BlockId>,
}

/// Bytes of an id that no work makes alike; two ids may share them all the same.
fn key(id: &BlockId) -> u64 {
    let bytes = id.0.as_chunks::<8>().0[1];
    u64::from_le_bytes(bytes)
}

impl Default for Trunk {
    fn default() -> Self {
        Self {
            logged: Logged::default(),
            pieces: VecDeque::new(),
            piece: PIECE_MAX,
            heights: Arc::default(),
            last: None,
        }
    }
}

impl Trunk {
    /// How many blocks make a piece. What is here stays as it is.
    pub(super) fn set_piece(&mut self, blocks: u64) {
        if self.len() == 0 {
            self.piece = usize::try_from(blocks)
                .unwrap_or(PIECE_MAX)
                .clamp(1, PIECE_MAX);
        }
    }

    /// How many blocks there are.
    pub(super) fn len(&self) -> u64 {
        self.logged.len() + self.heights.len() as u64
    }

    /// The id of the highest.
    pub(super) const fn last(&self) -> Option<BlockId> {
        self.last
    }

    /// The highest with its id, if it is whole.
    pub(super) fn last_entry(&self) -> Option<(&BlockId, &Entry)> {
        Some((self.last.as_ref()?, self.pieces.back()?.last()?))
    }

    /// Every whole block, the lowest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.pieces.iter().flat_map(|piece| piece.iter())
    }

    /// The whole block at a height.
    fn entry(&self, height: u64) -> Option<&Entry> {
        let place = usize::try_from(height.checked_sub(self.logged.len())?).ok()?;
        self.pieces.get(place / self.piece)?.get(place % self.piece)
    }

    /// What is known of the id of the last logged block without its record.
    fn above_logged(&self) -> Option<BlockId> {
        let first = self.pieces.front().and_then(|piece| piece.first());
        first.map(|first| first.header.parent_id).or(self.last)
    }

    /// The id of the block at a height.
    pub(super) fn at(&self, height: u64) -> Option<BlockId> {
        if height < self.logged.len() {
            return self.logged.at(height, self.above_logged());
        }
        match self.entry(height.checked_add(1)?) {
            Some(above) => Some(above.header.parent_id),
            None => self.last.filter(|_| height + 1 == self.len()),
        }
    }

    /// The header of the block at a height.
    pub(super) fn header_at(&self, height: u64) -> Option<Header> {
        match self.entry(height) {
            Some(entry) => Some(entry.header.clone()),
            None => self.logged.header_at(height),
        }
    }

    fn whole_height_of(&self, id: &BlockId) -> Option<u64> {
        let key = key(id);
        let mut alike = self.heights.range((key, 0)..=(key, u64::MAX));
        let is_it = |height: &u64| self.at(*height) == Some(*id);
        alike.find_map(|(_, height)| Some(*height).filter(is_it))
    }

    fn logged_height_of(&self, id: &BlockId) -> Option<u64> {
        let alike = self.logged.candidates(id);
        alike
            .into_iter()
            .find(|height| self.at(*height) == Some(*id))
    }

    /// The height of the block of that id.
    pub(super) fn height_of(&self, id: &BlockId) -> Option<u64> {
        self.whole_height_of(id)
            .or_else(|| self.logged_height_of(id))
    }

    /// Whether the block at a height may be the one of that id: bytes of it are right.
    pub(super) fn may_have(&self, id: &BlockId, height: u64) -> bool {
        let is_logged = self.logged.candidates(id).contains(&height);
        is_logged || self.heights.contains(&(key(id), height))
    }

    /// The block of that id, if it is whole.
    pub(super) fn get_whole(&self, id: &BlockId) -> Option<&Entry> {
        match self.logged.root() {
            Some((root, entry)) if root == id => Some(entry),
            _ => self.entry(self.whole_height_of(id)?),
        }
    }

    /// The block of that id.
    pub(super) fn get(&self, id: &BlockId) -> Option<Cow<'_, Entry>> {
        if let Some(whole) = self.get_whole(id) {
            return Some(Cow::Borrowed(whole));
        }
        let (_, entry) = self.logged_entry(self.logged_height_of(id)?)?;
        Some(Cow::Owned(entry))
    }

    fn logged_entry(&self, height: u64) -> Option<(BlockId, Entry)> {
        let above = self.pieces.front().and_then(|piece| piece.first());
        let above = above.map(Entry::work_below);
        self.logged.entry(height, above)
    }

    /// The work of a block's chain up to its parent, by the block's own record where it is logged.
    pub(super) fn work_below(&self, id: &BlockId) -> Option<Uint256> {
        match self.get_whole(id) {
            Some(whole) => Some(whole.work_below()),
            None => self.logged.work_below(self.logged_height_of(id)?),
        }
    }

    /// Where the body of a block is, if it is in the trunk.
    pub(super) fn body(&self, id: &BlockId) -> Option<Body> {
        match self.get_whole(id) {
            Some(whole) => Some(whole.body),
            None => self
                .logged
                .position(self.logged_height_of(id)?)
                .map(Body::Logged),
        }
    }

    pub(super) fn get_mut(&mut self, id: &BlockId) -> Option<&mut Entry> {
        let height = self.whole_height_of(id)?;
        let place = usize::try_from(height.checked_sub(self.logged.len())?).ok()?;
        let piece = self.pieces.get_mut(place / self.piece)?;
        Arc::make_mut(piece).get_mut(place % self.piece)
    }

    /// A logged block is in the log again, elsewhere. Whoever wrote it knows that it is one: that
    /// bytes of the id are right is enough where no record says more.
    pub(super) fn logged_again(&mut self, id: &BlockId, at: Lsn) {
        let alike = self.logged.candidates(id);
        let may_be = |height: &u64| self.at(*height).is_none_or(|found| found == *id);
        if let Some(height) = alike.into_iter().find(may_be) {
            self.logged.set_position(height, at);
        }
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
        let height = self.len();
        if self.heights.len().is_multiple_of(self.piece) {
            self.pieces
                .push_back(Arc::new(Vec::with_capacity(self.piece)));
        }
        Arc::make_mut(&mut self.heights).insert((key(&id), height));
        self.last = Some(id);
        if let Some(piece) = self.pieces.back_mut() {
            Arc::make_mut(piece).push(entry);
        }
    }

    /// Begins with the genesis block and the logged ones that a start found.
    pub(super) fn begin(&mut self, root: (BlockId, Entry), old: &OldBlocks) {
        self.logged.begin(root.0, root.1);
        self.logged.extend(&old.blocks);
        self.last = Some(old.above.1.header.parent_id);
    }

    /// The height of the last block of the lowest piece, if that can become logged and is not above
    /// a height.
    pub(super) fn next_to_log(&self, limit: u64) -> Option<u64> {
        let piece = self
            .pieces
            .front()
            .filter(|piece| piece.len() == self.piece)?;
        let first = self.logged.len();
        let last = first + piece.len() as u64 - 1;
        let is_old = |(place, entry): (usize, &Entry)| {
            let in_log = matches!(entry.body, Body::Logged(_)) || (first == 0 && place == 0);
            in_log && entry.is_candidate() && entry.executed
        };
        let fits = last <= limit && self.logged.has_room(piece.len());
        (fits && piece.iter().enumerate().all(is_old)).then_some(last)
    }

    /// Makes the blocks of the lowest piece logged ones.
    pub(super) fn log_next(&mut self) {
        let first = self.logged.len();
        let count = self.pieces.front().map_or(0, |piece| piece.len()) as u64;
        let ids: Vec<BlockId> = (first..first + count).filter_map(|h| self.at(h)).collect();
        let Some(piece) = self.pieces.pop_front() else {
            return;
        };
        let heights = Arc::make_mut(&mut self.heights);
        let mut blocks = Vec::with_capacity(ids.len());
        for ((height, id), entry) in (first..).zip(&ids).zip(piece.iter()) {
            heights.remove(&(key(id), height));
            match entry.body {
                Body::Logged(at) => blocks.push((at, ShortId::of(id))),
                Body::Missing | Body::Arrived => self.logged.begin(*id, entry.clone()),
            }
        }
        self.logged.extend(&blocks);
    }

    /// Takes out the whole blocks and the logged ones from height `len` on, the highest first, as
    /// far as they can be read: what lies below the first that can't be stays.
    pub(super) fn take_from(&mut self, len: u64) -> Vec<(BlockId, Entry)> {
        let whole = self.logged.len();
        let ids = (whole..self.len())
            .rev()
            .filter_map(|height| self.at(height));
        let entries = self
            .pieces
            .iter()
            .rev()
            .flat_map(|piece| piece.iter().rev());
        let mut taken: Vec<(BlockId, Entry)> = ids.zip(entries.cloned()).collect();
        let mut above = self.above_logged();
        let mut kept = whole;
        while kept > len
            && let Some((id, entry)) = self.logged_entry(kept - 1)
            && above == Some(id)
        {
            kept -= 1;
            above = Some(entry.header.parent_id);
            taken.push((id, entry));
        }
        self.pieces.clear();
        self.heights = Arc::default();
        self.logged.truncate(kept);
        self.last = above.filter(|_| kept > 0);
        taken
    }

    /// Forgets the logged blocks above one, of whose height `len` is the next. There are no whole
    /// ones.
    pub(super) fn forget_above(&mut self, last: BlockId, len: u64) {
        self.logged.truncate(len);
        self.last = Some(last);
    }

    /// The blocks of a snapshot are found by their ids from now on.
    pub(super) fn index_all(&mut self) {
        self.logged.index_all(self.above_logged());
    }
}

impl Serialize for Trunk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entries: Vec<&Entry> = self.entries().collect();
        let logged = self.logged.form();
        (self.piece, logged, entries, self.last).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Trunk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        type Parts = (usize, Form, Vec<Entry>, Option<BlockId>);
        let (piece, logged, entries, last): Parts = Deserialize::deserialize(deserializer)?;
        let above = entries.iter().skip(1).map(|entry| entry.header.parent_id);
        let ids: Vec<BlockId> = above.chain(last.filter(|_| !entries.is_empty())).collect();
        if ids.len() != entries.len() || piece == 0 {
            return Err(D::Error::custom(
                "the last block has an id, and a piece has blocks",
            ));
        }
        let mut trunk = Self {
            logged: Logged::of_form(logged),
            piece,
            last,
            ..Self::default()
        };
        for (id, entry) in ids.into_iter().zip(entries) {
            trunk.push(id, entry);
        }
        Ok(trunk)
    }
}
