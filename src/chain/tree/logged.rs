//! Old blocks of which nothing but the place in the log is in memory.
//!
//! *Owns* the positions of the lowest blocks of the best chain, by height, and where to look for
//! an id. *Invariants*: each follows on the one before, is in the log with all its ancestors, was
//! executed, and nothing speaks against it; so all that is not in its record is known. *Never*
//! guesses: a block whose record can't be read is not here, though its id may be known by what the
//! next one says of its parent.
//!
//! A block takes 16 bytes: 8 for its position, 8 to be found by its id.

use std::collections::BTreeSet;
use std::iter;
use std::sync::Arc;

use crate::store::Lsn;
use crate::types::{BlockId, Header, Uint256};

use super::fronts::{Front, Fronts};
use super::{Body, Entry, Verdict};

/// How many positions are in one piece of memory, which a snapshot shares.
const CHUNK: usize = 4_096;
/// The most blocks that are sorted by id together: to bring two lists of half as many into one
/// takes about a millisecond.
const RUN_MAX: usize = 1 << 18;

/// A few bytes of an id that no work makes alike; other ids may share them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShortId(u32);

impl ShortId {
    /// The bytes of an id.
    #[must_use]
    pub const fn of(id: &BlockId) -> Self {
        let bytes = id.0.as_chunks::<4>().0[2];
        Self(u32::from_le_bytes(bytes))
    }
}

/// Old blocks as a start finds them, without reading each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldBlocks {
    /// For each height from 1 on, where the block of the best chain stands, and bytes of its id.
    pub(super) blocks: Vec<(Lsn, ShortId)>,
    /// The block that follows on the last of them.
    pub(super) above: (Lsn, Front),
}

impl OldBlocks {
    /// The blocks from height 1 to the parent of one whose record was read.
    #[must_use]
    pub const fn below(above: (Lsn, Front), blocks: Vec<(Lsn, ShortId)>) -> Self {
        Self { blocks, above }
    }

    /// The block above them, which is not one of them.
    #[must_use]
    pub const fn above(&self) -> &(Lsn, Front) {
        &self.above
    }

    /// Where they stand, from height 1 on.
    pub fn positions(&self) -> impl DoubleEndedIterator<Item = Lsn> {
        self.blocks.iter().map(|(at, _)| *at)
    }
}

/// Heights by bytes of ids.
#[derive(Clone, Debug, Default)]
struct Index {
    /// Sorted lists, the long ones first. A clone shares them.
    runs: Vec<Arc<Vec<(ShortId, u32)>>>,
}

impl Index {
    /// Adds a sorted list.
    fn add(&mut self, mut run: Vec<(ShortId, u32)>) {
        while let Some(last) = self.runs.last()
            && last.len() <= run.len()
            && last.len() + run.len() <= RUN_MAX
        {
            run = merge(last, &run);
            self.runs.pop();
        }
        self.runs.push(Arc::new(run));
    }

    fn heights(&self, key: ShortId) -> impl Iterator<Item = u64> {
        self.runs.iter().flat_map(move |run| {
            let first = run.partition_point(|(other, _)| *other < key);
            let alike = run[first..]
                .iter()
                .take_while(move |(other, _)| *other == key);
            alike.map(|(_, height)| u64::from(*height))
        })
    }

    /// Forgets the heights from `len` on.
    fn truncate(&mut self, len: u64) {
        for run in &mut self.runs {
            if run.iter().any(|(_, height)| u64::from(*height) >= len) {
                Arc::make_mut(run).retain(|(_, height)| u64::from(*height) < len);
            }
        }
        self.runs.retain(|run| !run.is_empty());
    }
}

fn merge(a: &[(ShortId, u32)], b: &[(ShortId, u32)]) -> Vec<(ShortId, u32)> {
    let mut merged = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    let next = || match (a.peek(), b.peek()) {
        (Some(left), Some(right)) if left <= right => a.next(),
        (Some(_), None) => a.next(),
        _ => b.next(),
    };
    merged.extend(iter::from_fn(next));
    merged
}

/// The blocks, by height.
#[derive(Clone, Debug, Default)]
pub(super) struct Logged {
    /// The genesis block, which no log has, where any block is here.
    root: Option<(BlockId, Arc<Entry>)>,
    /// All chunks are full but the last. The first position is none.
    positions: Vec<Arc<Vec<Lsn>>>,
    index: Index,
    pub(super) fronts: Fronts,
}

impl Logged {
    /// How many blocks there are, from the genesis block on.
    pub(super) fn len(&self) -> u64 {
        let last = self.positions.last().map_or(0, |chunk| chunk.len());
        (self.positions.len().saturating_sub(1) * CHUNK + last) as u64
    }

    /// The genesis block, if it is here.
    pub(super) fn root(&self) -> Option<&(BlockId, Arc<Entry>)> {
        self.root.as_ref()
    }

    /// Where a block stands; the genesis block stands nowhere.
    pub(super) fn position(&self, height: u64) -> Option<Lsn> {
        let place = usize::try_from(height).ok().filter(|place| *place > 0)?;
        self.positions
            .get(place / CHUNK)?
            .get(place % CHUNK)
            .copied()
    }

    /// Where a block stands that is not known to be unreadable.
    pub(super) fn readable_at(&self, height: u64) -> Option<Lsn> {
        let at = self.position(height);
        at.filter(|at| !self.fronts.is_unreadable(*at))
    }

    /// Where all of them stand.
    pub(super) fn positions(&self) -> impl Iterator<Item = Lsn> {
        self.positions
            .iter()
            .flat_map(|chunk| chunk.iter().copied())
            .skip(1)
    }

    /// A block is in the log again, elsewhere.
    pub(super) fn set_position(&mut self, height: u64, at: Lsn) {
        let place = usize::try_from(height).unwrap_or(usize::MAX);
        if let Some(chunk) = self.positions.get_mut(place / CHUNK)
            && place > 0
            && let Some(position) = Arc::make_mut(chunk).get_mut(place % CHUNK)
        {
            *position = at;
        }
    }

    fn front(&self, height: u64) -> Option<Front> {
        self.fronts.read(self.position(height)?, height)
    }

    /// The id of the block at a height. `above` is what the one above the last says of its parent.
    pub(super) fn at(&self, height: u64, above: Option<BlockId>) -> Option<BlockId> {
        if height == 0 {
            return self.root.as_ref().map(|(id, _)| *id);
        }
        if height + 1 == self.len() && above.is_some() {
            return above;
        }
        let own = self.front(height).map(|front| front.id);
        own.or_else(|| Some(self.front(height + 1)?.header.parent_id))
    }

    /// Heights where a block of that id may be, mostly one at most: in their order, whatever the
    /// index looks like, because their records are read then.
    pub(super) fn candidates(&self, id: &BlockId) -> Vec<u64> {
        let mut heights: Vec<u64> = self.index.heights(ShortId::of(id)).collect();
        heights.sort_unstable();
        heights
    }

    /// The block at a height. What its record says of the work of its chain counts if the record
    /// of a neighbour agrees; `above` is what is known of the one above the last: its work less its
    /// own.
    pub(super) fn entry(&self, height: u64, above: Option<Uint256>) -> Option<(BlockId, Entry)> {
        if height == 0 {
            let root = self.root.as_ref();
            return root.map(|(id, entry)| (*id, Entry::clone(entry)));
        }
        let at = self.position(height)?;
        let front = self.front(height)?;
        let below = match &self.root {
            Some((_, root)) if height == 1 => Some(root.work),
            _ => self.front(height - 1).map(|below| below.work),
        };
        let own = front.header.work();
        if below.map(|below| below.saturating_add(own)) != Some(front.work) {
            let above = match above.filter(|_| height + 1 == self.len()) {
                Some(above) => Some(above),
                None => self.front(height + 1).map(|above| above.work_below()),
            };
            if above? != front.work {
                self.fronts.fail(at, height);
                return None;
            }
        }
        Some((front.id, Entry::of_logged(front, at)))
    }

    /// The header of the block at a height.
    pub(super) fn header_at(&self, height: u64) -> Option<Header> {
        if height == 0 {
            return self.root.as_ref().map(|(_, root)| root.header.clone());
        }
        self.front(height).map(|front| front.header)
    }

    /// The work of the chain below the block at a height, by that block's record alone.
    pub(super) fn work_below(&self, height: u64) -> Option<Uint256> {
        self.front(height).map(|front| front.work_below())
    }

    /// The memory that the blocks take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let positions = self.positions.iter().map(|chunk| chunk.capacity() * 8);
        let runs = self.index.runs.iter().map(|run| run.capacity() * 8);
        positions.chain(runs).sum()
    }

    /// The heights of fronts that can't be read and whose ids are not known yet, if they ever are.
    pub(super) fn take_unnamed(&mut self) -> BTreeSet<u64> {
        let mut heights = self.fronts.take_unnamed();
        let len = self.len();
        heights.retain(|height| *height < len);
        heights
    }

    /// Whether blocks may be added: heights fit.
    pub(super) fn has_room(&self, count: usize) -> bool {
        self.len().saturating_add(count as u64) < u64::from(u32::MAX)
    }

    /// Adds the genesis block.
    pub(super) fn begin(&mut self, id: BlockId, entry: Entry) {
        let start = Lsn::default();
        self.root = Some((id, Arc::new(entry)));
        self.positions = vec![Arc::new(vec![start])];
        self.index.add(vec![(ShortId::of(&id), 0)]);
    }

    /// Adds the blocks that follow on the last.
    pub(super) fn extend(&mut self, blocks: &[(Lsn, ShortId)]) {
        for part in blocks.chunks(RUN_MAX) {
            let first = self.len();
            let heights = (first..).map(|height| u32::try_from(height).unwrap_or(u32::MAX));
            let keys = part.iter().map(|(_, key)| *key);
            let mut run: Vec<(ShortId, u32)> = keys.zip(heights).collect();
            run.sort_unstable();
            self.index.add(run);
            for (at, _) in part {
                self.push_position(*at);
            }
        }
    }

    fn push_position(&mut self, at: Lsn) {
        match self.positions.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => Arc::make_mut(chunk).push(at),
            _ => self.positions.push(Arc::new(vec![at])),
        }
    }

    /// Forgets the blocks from height `len` on.
    pub(super) fn truncate(&mut self, len: u64) {
        self.index.truncate(len);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.positions.truncate(len.div_ceil(CHUNK));
        let full = self.positions.len().saturating_sub(1) * CHUNK;
        if let Some(last) = self.positions.last_mut()
            && full + last.len() > len
        {
            Arc::make_mut(last).truncate(len - full);
        }
        if len == 0 {
            self.root = None;
        }
    }

    /// What a snapshot has: the genesis block, how far each position is from the one before, and
    /// what can't be read.
    pub(super) fn form(&self) -> Form {
        let mut before = 0;
        let steps = self.positions().map(|at| {
            let step = at.get().wrapping_sub(before).cast_signed();
            before = at.get();
            step
        });
        Form {
            root: self
                .root
                .as_ref()
                .map(|(id, root)| (*id, Entry::clone(root))),
            steps: steps.collect(),
            unreadable: self.fronts.known(),
            unnamed: self.fronts.unnamed.clone(),
        }
    }

    /// The blocks of a snapshot; none is found by its id before [`index_all`](Self::index_all).
    pub(super) fn of_form(form: Form) -> Self {
        let mut logged = Self {
            fronts: Fronts::restore(form.unreadable, form.unnamed),
            ..Self::default()
        };
        if let Some((id, root)) = form.root {
            logged.begin(id, root);
        }
        let mut at = 0_u64;
        for step in form.steps {
            at = at.wrapping_add(step.cast_unsigned());
            logged.push_position(Lsn::new(at));
        }
        logged
    }

    /// Reads every id, so that the blocks of a snapshot are found by theirs. What can't be read
    /// now counts as unreadable only when it was so before.
    pub(super) fn index_all(&mut self, above: Option<BlockId>) {
        let known = self.fronts.known();
        let len = self.len();
        let mut run = Vec::new();
        for height in 1..len {
            let id = self.at(height, above);
            run.extend(id.map(|id| (ShortId::of(&id), u32::try_from(height).unwrap_or(u32::MAX))));
        }
        self.fronts.forget_found(known);
        for part in run.chunks(RUN_MAX) {
            let mut part = part.to_vec();
            part.sort_unstable();
            self.index.add(part);
        }
    }
}

/// Logged blocks in a snapshot.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Form {
    root: Option<(BlockId, Entry)>,
    steps: Vec<i64>,
    unreadable: BTreeSet<Lsn>,
    unnamed: BTreeSet<u64>,
}

impl Entry {
    /// A block of which all but its record is known.
    pub(super) fn of_logged(front: Front, at: Lsn) -> Self {
        Self {
            header: front.header,
            work: front.work,
            body: Body::Logged(at),
            verdict: Verdict::Open,
            executed: true,
            arrival: 0,
            header_arrival: 0,
            complete: true,
            skip: None,
        }
    }
}
