//! The tree of all headers that passed their checks: which branches there are, whose bodies are
//! here, and which tip has the most work.
//!
//! A block is in one of three places. The newest, and all branches, are in a map by id. Below them
//! the chain with the most work is kept by height in the trunk. Of that the lowest blocks,
//! whose headers are in the log and will not be needed soon, are positions in the log
//! (`logged`); what is asked of one is read from its record.
//!
//! *Invariants*: where a block is kept changes no answer, as long as its record can be read; if it
//! can't, its header and work are not here until its body is logged again. Of the blocks that may
//! be the best, those stand in order on which no other such block follows, because a block has less
//! work than each of its descendants. *Never* forgets a header, but for those of a logged branch
//! that the best chain leaves and that has a damaged record.

mod fronts;
mod logged;
mod trunk;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::store::Lsn;
use crate::types::{BlockId, Header, Height, Uint256};

pub use fronts::{Front, FrontSource};
pub use logged::{OldBlocks, ShortId};
use trunk::Trunk;

/// The most blocks of the chain with the most work that are kept by id, where branches fork off.
/// Where the cheap reach is short, half of it is.
const KEPT_BY_ID_MAX: u64 = 1_024;
/// How many parts of these go at a time to where old ones are kept by height: a part is so small
/// that it takes a moment.
const KEPT_AT_A_TIME: u64 = 16;

/// Where a block's transactions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Not here yet.
    Missing,
    /// Checked, and on its way to the log.
    Arrived,
    /// In the log, at this position.
    Logged(Lsn),
}

/// What is known of a block's validity beyond its header and isolated checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Nothing speaks against it.
    Open,
    /// It, or an ancestor, is not executed until somebody says so.
    Parked,
    /// It, or an ancestor, breaks a rule.
    Invalid,
}

/// One block of the tree.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its header.
    pub header: Header,
    /// The work of its chain up to and with it.
    pub work: Uint256,
    /// Where its transactions are.
    pub body: Body,
    /// What is known of it.
    pub verdict: Verdict,
    /// Whether it was executed once and found valid.
    pub executed: bool,
    /// Its place in the order in which chains became complete: of equal work the first seen wins.
    arrival: u64,
    /// The same for headers, by which the best one is found.
    header_arrival: u64,
    /// Whether its body and those of all its ancestors are here.
    complete: bool,
    /// An ancestor far below, so that a walk down takes few steps: see [`skip_height`]. None where
    /// its id could not be read.
    skip: Option<BlockId>,
}

impl Entry {
    /// The work of its chain up to its parent.
    fn work_below(&self) -> Uint256 {
        self.work.wrapping_sub(self.header.work())
    }

    /// Whether it may be the best header.
    fn is_open(&self) -> bool {
        self.verdict == Verdict::Open
    }

    /// Whether it may be the best block.
    fn is_candidate(&self) -> bool {
        self.complete && self.is_open()
    }

    /// Its rank among blocks that may be the best: most work, then first seen.
    const fn rank(&self, id: BlockId) -> Rank {
        (self.work, Reverse(self.arrival), id)
    }

    /// The same among headers.
    const fn header_rank(&self, id: BlockId) -> Rank {
        (self.work, Reverse(self.header_arrival), id)
    }
}

type Rank = (Uint256, Reverse<u64>, BlockId);

/// The height that the entry at a height points down to: an even one to that without its lowest
/// set bit, an odd one to that without its two next. Any ancestor among a million is then within
/// some hundred steps, and blocks of one height point to one height.
const fn skip_height(height: u64) -> u64 {
    const fn clear_lowest(height: u64) -> u64 {
        height & height.wrapping_sub(1)
    }
    if height < 2 {
        0
    } else if height & 1 == 1 {
        clear_lowest(clear_lowest(height - 1)) + 1
    } else {
        clear_lowest(height)
    }
}

/// Every header that passed its checks, from the genesis block on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tree {
    /// The blocks that are not in the trunk.
    entries: BTreeMap<BlockId, Entry>,
    trunk: Trunk,
    /// What follows on a block. Where that is the next block of the trunk and nothing else, it is
    /// not listed.
    children: BTreeMap<BlockId, Vec<BlockId>>,
    /// Complete and open blocks on which no other one follows, the best last.
    candidates: BTreeSet<Rank>,
    /// Open headers on which no other one follows, the best last.
    best_headers: BTreeSet<Rank>,
    arrivals: u64,
    genesis: BlockId,
    /// How many blocks of the best header's chain are kept by id.
    kept_by_id: u64,
}

impl Tree {
    /// The tree of the genesis block alone.
    #[must_use]
    pub fn new(genesis: Header, work: Uint256) -> Self {
        let id = genesis.id();
        let entry = Entry {
            header: genesis,
            work,
            body: Body::Arrived,
            verdict: Verdict::Open,
            executed: true,
            arrival: 0,
            header_arrival: 0,
            complete: true,
            skip: None,
        };
        Self {
            candidates: BTreeSet::from([entry.rank(id)]),
            best_headers: BTreeSet::from([entry.header_rank(id)]),
            entries: BTreeMap::from([(id, entry)]),
            trunk: Trunk::default(),
            children: BTreeMap::new(),
            arrivals: 1,
            genesis: id,
            kept_by_id: KEPT_BY_ID_MAX,
        }
    }

    /// Branches that fork off within `reach` blocks of the tip are executed: half of it is kept by
    /// id at most, and an eighth becomes logged at a time. To be called before anything is added.
    pub fn set_reach(&mut self, reach: u64) {
        self.kept_by_id = (reach / 2).clamp(1, KEPT_BY_ID_MAX);
        self.trunk.set_piece(reach / 8);
    }

    /// The genesis block's id.
    #[must_use]
    pub const fn genesis(&self) -> BlockId {
        self.genesis
    }

    /// How many headers there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len() + self.kept_by_height() as usize
    }

    /// How many of them are positions in the log, from the genesis block on.
    #[must_use]
    pub fn logged_len(&self) -> u64 {
        self.trunk.logged.len()
    }

    /// The block of that id. None as well where it is in the log alone and can't be read.
    #[must_use]
    pub fn get(&self, id: &BlockId) -> Option<Cow<'_, Entry>> {
        match self.entries.get(id) {
            Some(entry) => Some(Cow::Borrowed(entry)),
            None => self.trunk.get(id),
        }
    }

    /// The block of that id, if it is in memory.
    #[must_use]
    pub fn in_memory(&self, id: &BlockId) -> Option<&Entry> {
        self.entries.get(id).or_else(|| self.trunk.get_whole(id))
    }

    /// The work of a block's chain up to its parent. Of a block that is in the log alone that is
    /// what its own record says, which is not held against those beside it.
    #[must_use]
    pub fn work_below(&self, id: &BlockId) -> Option<Uint256> {
        match self.entries.get(id) {
            Some(entry) => Some(entry.work_below()),
            None => self.trunk.work_below(id),
        }
    }

    /// The height of a block, which is known even where its own record is damaged.
    #[must_use]
    pub fn height(&self, id: &BlockId) -> Option<Height> {
        match self.entries.get(id) {
            Some(entry) => Some(entry.header.height),
            None => self.trunk.height_of(id).map(Height),
        }
    }

    /// The height of a block and its parent, which are known even where its own record is damaged.
    #[must_use]
    pub fn place(&self, id: &BlockId) -> Option<(Height, BlockId)> {
        if let Some(entry) = self.in_memory(id) {
            return Some((entry.header.height, entry.header.parent_id));
        }
        let height = self.trunk.height_of(id)?;
        Some((Height(height), self.trunk.at(height.checked_sub(1)?)?))
    }

    /// The id of a logged block, from its height.
    #[must_use]
    pub fn logged_at(&self, height: Height) -> Option<BlockId> {
        self.trunk
            .at(height.0)
            .filter(|_| height.0 < self.logged_len())
    }

    /// Where a logged block stands whose record is not known to be damaged, from its height.
    #[must_use]
    pub fn readable_at(&self, height: Height) -> Option<Lsn> {
        self.trunk.logged.readable_at(height.0)
    }

    /// The header of a logged block at a position could not be read, by somebody who was told of
    /// that position.
    pub fn header_unreadable(&mut self, at: Lsn, height: Height) {
        if self.trunk.logged.position(height.0) == Some(at) {
            self.trunk.logged.fronts.fail(at, height.0);
        }
    }

    /// The header of a logged block, from its height.
    #[must_use]
    pub fn logged_header(&self, height: Height) -> Option<Header> {
        let header = self.trunk.header_at(height.0);
        header.filter(|_| height.0 < self.logged_len())
    }

    /// Whether a block of that id may be a logged one at a height, as far as can be said without
    /// its record.
    #[must_use]
    pub fn may_be_logged(&self, id: &BlockId, height: Height) -> bool {
        height.0 < self.logged_len() && self.trunk.may_have(id, height.0)
    }

    /// Where a block's transactions are, which is known even where its own record is damaged.
    #[must_use]
    pub fn body(&self, id: &BlockId) -> Option<Body> {
        match self.entries.get(id) {
            Some(entry) => Some(entry.body),
            None => self.trunk.body(id),
        }
    }

    fn get_mut(&mut self, id: &BlockId) -> Option<&mut Entry> {
        match self.entries.get_mut(id) {
            Some(entry) => Some(entry),
            None => self.trunk.get_mut(id),
        }
    }

    /// The blocks that follow on one, the first seen first.
    fn children(&self, id: &BlockId) -> impl Iterator<Item = BlockId> + '_ {
        let listed = self.children.get(id);
        let next = match listed {
            Some(_) => None,
            None => self.next_in_trunk(id),
        };
        listed.into_iter().flatten().copied().chain(next)
    }

    fn next_in_trunk(&self, id: &BlockId) -> Option<BlockId> {
        // What is in the map is not in the trunk.
        match self.entries.contains_key(id) {
            true => None,
            false => self.trunk.next(id),
        }
    }

    /// Lists a block that follows on another one.
    fn list_child(&mut self, parent: BlockId, id: BlockId) {
        let next = self.next_in_trunk(&parent);
        let listed = self.children.entry(parent);
        // Mostly it stays the only one.
        let listed = listed.or_insert_with(|| Vec::with_capacity(1));
        listed.extend(next.filter(|_| listed.is_empty()));
        listed.push(id);
    }

    /// Notes that it changed whether a block may be the best one or the best header.
    fn rank(&mut self, id: &BlockId) {
        // On a logged block others follow that may be the best.
        let Some(entry) = self.in_memory(id) else {
            return;
        };
        let (rank, header_rank) = (entry.rank(*id), entry.header_rank(*id));
        let (mut candidate, mut open) = (entry.is_candidate(), entry.is_open());
        let children: Vec<BlockId> = self.children(id).collect();
        for child in children.iter().filter_map(|child| self.in_memory(child)) {
            candidate &= !child.is_candidate();
            open &= !child.is_open();
        }
        if candidate {
            self.candidates.insert(rank);
        } else {
            self.candidates.remove(&rank);
        }
        if open {
            self.best_headers.insert(header_rank);
        } else {
            self.best_headers.remove(&header_rank);
        }
    }

    /// The same for a block's parent.
    fn rank_parent(&mut self, id: &BlockId) {
        if let Some(parent) = self.in_memory(id).map(|entry| entry.header.parent_id) {
            self.rank(&parent);
        }
    }

    /// Keeps by height what lies deep below the best header.
    fn keep_old_by_height(&mut self) {
        let top = self.best_header();
        let height = self.in_memory(&top).map_or(0, |top| top.header.height.0);
        let old = height.saturating_sub(self.kept_by_id);
        if old >= self.kept_by_height() + self.kept_by_id.div_ceil(KEPT_AT_A_TIME)
            && let Some(old) = self.ancestor(&top, Height(old))
        {
            self.keep_by_height(&old);
        }
    }

    /// Keeps the chain up to and with a block by height, where old blocks take a third of the
    /// room, if it is the one of which blocks are. Nothing but that changes.
    fn keep_by_height(&mut self, top: &BlockId) {
        let kept = self.kept_by_height();
        let last = kept.checked_sub(1).map(Height);
        if last.is_some_and(|last| self.ancestor(top, last) != self.trunk.last()) {
            return;
        }
        for id in self.path_in_memory(top, |_, entry| entry.header.height.0 < kept) {
            let Some(entry) = self.entries.remove(&id) else {
                break;
            };
            let parent = entry.header.parent_id;
            self.trunk.push(id, entry);
            if self.children.get(&parent).is_some_and(|all| *all == [id]) {
                self.children.remove(&parent);
            }
        }
    }

    /// How many blocks are kept by height, from the genesis block on.
    #[must_use]
    pub fn kept_by_height(&self) -> u64 {
        self.trunk.len()
    }

    /// The valid header with the most work.
    #[must_use]
    pub fn best_header(&self) -> BlockId {
        self.best_headers
            .last()
            .map_or(self.genesis, |(_, _, id)| *id)
    }

    /// The block with the most work whose chain is here and nothing speaks against.
    #[must_use]
    pub fn best_candidate(&self) -> BlockId {
        self.candidates
            .last()
            .map_or(self.genesis, |(_, _, id)| *id)
    }

    /// Adds a header that is not here and passed its checks under its parent, with its own work.
    /// Says whether that could be done: the parent may have to be read from the log.
    pub fn add_header(&mut self, id: BlockId, header: Header, own_work: Uint256) -> bool {
        let parent = header.parent_id;
        let Some(below) = self.get(&parent) else {
            return false;
        };
        let (work, verdict) = (below.work.saturating_add(own_work), below.verdict);
        let below = below.header_rank(parent);
        let skip = skip_height(header.height.0);
        let skip = self.ancestor(&parent, Height(skip));
        let entry = Entry {
            header,
            work,
            body: Body::Missing,
            verdict,
            executed: false,
            arrival: 0,
            header_arrival: self.next_arrival(),
            complete: false,
            skip,
        };
        if entry.is_open() {
            self.best_headers.insert(entry.header_rank(id));
            self.best_headers.remove(&below);
        }
        self.list_child(parent, id);
        self.entries.insert(id, entry);
        self.keep_old_by_height();
        true
    }

    fn next_arrival(&mut self) -> u64 {
        let arrival = self.arrivals;
        self.arrivals += 1;
        arrival
    }

    /// Notes that a block's transactions are here and passed their isolated checks.
    pub fn body_arrived(&mut self, id: &BlockId) {
        let Some(entry) = self.get_mut(id) else {
            return;
        };
        if entry.body != Body::Missing {
            return;
        }
        entry.body = Body::Arrived;
        let parent = entry.header.parent_id;
        // One that is not in memory is logged, and these are complete.
        if self.in_memory(&parent).is_none_or(|parent| parent.complete) {
            self.complete_from(*id);
        }
    }

    /// Marks a block and all its descendants with bodies as complete.
    fn complete_from(&mut self, root: BlockId) {
        let (mut waiting, mut complete) = (vec![root], Vec::new());
        while let Some(id) = waiting.pop() {
            let arrival = self.arrivals;
            let Some(entry) = self.get_mut(&id) else {
                continue;
            };
            if entry.body == Body::Missing {
                continue;
            }
            entry.arrival = arrival;
            entry.complete = true;
            self.arrivals += 1;
            complete.push(id);
            waiting.extend(self.children(&id));
        }
        for id in complete {
            self.rank(&id);
        }
        // Its parent is the best of none any more, however many others follow on it.
        let root = self.in_memory(&root).filter(|root| root.is_candidate());
        let parent = root.map(|root| root.header.parent_id);
        let below = parent.and_then(|id| Some(self.in_memory(&id)?.rank(id)));
        below.map(|below| self.candidates.remove(&below));
    }

    /// Makes a complete block the first seen of its work: it was the tip before a restart.
    pub fn prefer(&mut self, id: &BlockId) {
        let Some(entry) = self.in_memory(id).filter(|entry| entry.is_candidate()) else {
            return;
        };
        let rank = entry.rank(*id);
        self.candidates.remove(&rank);
        if let Some(entry) = self.get_mut(id) {
            entry.arrival = 0;
        }
        self.rank(id);
    }

    /// Whether `a` is a better tip than `b`: more work, or seen first.
    #[must_use]
    pub fn is_better(&self, a: &BlockId, b: &BlockId) -> bool {
        let rank = |id: &BlockId| {
            self.get(id)
                .map(|entry| (entry.work, Reverse(entry.arrival)))
        };
        rank(a) > rank(b)
    }

    /// Notes where in the log a block's transactions are.
    pub fn body_logged(&mut self, id: &BlockId, lsn: Lsn) {
        match self.get_mut(id) {
            Some(entry) => entry.body = Body::Logged(lsn),
            None => self.trunk.logged_again(id, lsn),
        }
    }

    /// Notes that a block's transactions are gone: neither it nor a descendant is complete.
    pub fn body_lost(&mut self, root: &BlockId) {
        if let Some(entry) = self.get_mut(root) {
            entry.body = Body::Missing;
        }
        let mut waiting = vec![*root];
        while let Some(id) = waiting.pop() {
            let Some(entry) = self.get_mut(&id) else {
                continue;
            };
            entry.complete = false;
            let rank = entry.rank(id);
            self.candidates.remove(&rank);
            waiting.extend(self.children(&id));
        }
        self.rank_parent(root);
    }

    /// Notes that a block breaks a rule: neither it nor a descendant is a candidate any more.
    pub fn invalidate(&mut self, root: &BlockId) {
        self.condemn(root, Verdict::Invalid);
    }

    /// Sets a block aside with all its descendants: they are no candidates until
    /// [`unpark`](Self::unpark).
    pub fn park(&mut self, root: &BlockId) {
        self.condemn(root, Verdict::Parked);
    }

    fn condemn(&mut self, root: &BlockId, verdict: Verdict) {
        let mut waiting = vec![*root];
        while let Some(id) = waiting.pop() {
            let Some(entry) = self.get_mut(&id) else {
                continue;
            };
            if entry.verdict != Verdict::Invalid {
                entry.verdict = verdict;
            }
            let (rank, header_rank) = (entry.rank(id), entry.header_rank(id));
            self.candidates.remove(&rank);
            self.best_headers.remove(&header_rank);
            waiting.extend(self.children(&id));
        }
        self.rank_parent(root);
    }

    /// Takes a parked block back in, with its parked ancestors and all that descends from them.
    /// Gives the first of them, or none when the block is not parked.
    pub fn unpark(&mut self, id: &BlockId) -> Option<BlockId> {
        let parked = |entry: &Entry| entry.verdict == Verdict::Parked;
        let first = *self.path_in_memory(id, |_, entry| !parked(entry)).first()?;
        let (mut waiting, mut open) = (vec![first], Vec::new());
        while let Some(id) = waiting.pop() {
            let arrival = self.next_arrival();
            let Some(entry) = self.get_mut(&id) else {
                continue;
            };
            if parked(entry) {
                entry.verdict = Verdict::Open;
                entry.header_arrival = arrival;
                open.push(id);
                waiting.extend(self.children(&id));
            }
        }
        for id in open {
            self.rank(&id);
        }
        self.rank_parent(&first);
        Some(first)
    }

    /// Notes that a block was executed and is valid.
    pub fn executed(&mut self, id: &BlockId) {
        if let Some(entry) = self.get_mut(id) {
            entry.executed = true;
        }
    }

    /// The blocks without children: the end of each branch.
    pub fn leaves(&self) -> impl Iterator<Item = (&BlockId, &Entry)> {
        // What is kept by height has a block above it, but for the last at most.
        let last = self.trunk.last_entry();
        let all = self.entries.iter().chain(last);
        all.filter(|(id, _)| self.children(id).next().is_none())
    }

    /// The positions of all blocks that are in the log.
    pub fn logged(&self) -> impl Iterator<Item = Lsn> {
        let all = self.entries.values().chain(self.trunk.entries());
        let in_memory = all.filter_map(|entry| match entry.body {
            Body::Logged(lsn) => Some(lsn),
            Body::Missing | Body::Arrived => None,
        });
        in_memory.chain(self.trunk.logged.positions())
    }

    /// Whether the bodies of a block and of all its ancestors are here.
    #[must_use]
    pub fn is_complete(&self, id: &BlockId) -> bool {
        match self.in_memory(id) {
            Some(entry) => entry.complete,
            None => self.trunk.height_of(id).is_some(),
        }
    }

    /// The ancestor of `id` at `height`: itself at its own height.
    #[must_use]
    pub fn ancestor(&self, id: &BlockId, height: Height) -> Option<BlockId> {
        let mut at = *id;
        let Some(mut entry) = self.entries.get(id) else {
            let own = self.trunk.height_of(id)?;
            return match own == height.0 {
                true => Some(at),
                false => self.trunk.at(height.0).filter(|_| height.0 < own),
            };
        };
        while entry.header.height > height {
            // A long step down where it does not go too far; and not where the parent's own
            // would go further and still not too far.
            let (skip, next) = (
                skip_height(entry.header.height.0),
                skip_height(entry.header.height.0 - 1),
            );
            let long =
                skip == height.0 || (skip > height.0 && !(next + 2 < skip && next >= height.0));
            let target = entry.skip.filter(|_| long);
            at = target.unwrap_or(entry.header.parent_id);
            // What is not in the map is in the trunk.
            match self.entries.get(&at) {
                Some(below) => entry = below,
                None => return self.trunk.at(height.0),
            }
        }
        (entry.header.height == height).then_some(at)
    }

    /// A block's height, its parent, and the ancestor that it points down to.
    fn links(&self, id: &BlockId) -> Option<(u64, BlockId, Option<BlockId>)> {
        if let Some(entry) = self.entries.get(id) {
            return Some((entry.header.height.0, entry.header.parent_id, entry.skip));
        }
        let height = self.trunk.height_of(id)?;
        let parent = self.trunk.at(height.checked_sub(1)?)?;
        Some((height, parent, self.trunk.at(skip_height(height))))
    }

    /// The highest block that two branches share.
    #[must_use]
    pub fn fork(&self, a: &BlockId, b: &BlockId) -> Option<BlockId> {
        let lower = self.height(a)?.min(self.height(b)?);
        let (mut a, mut b) = (self.ancestor(a, lower)?, self.ancestor(b, lower)?);
        while a != b {
            // Both are of one height, and so are the blocks that they point to.
            let ((_, left, left_skip), (_, right, right_skip)) = (self.links(&a)?, self.links(&b)?);
            (a, b) = match (left_skip, right_skip) {
                (Some(left), Some(right)) if left != right => (left, right),
                _ => (left, right),
            };
        }
        Some(a)
    }

    /// The blocks from below `stop` up to `id`, in order of height; `stop` says where to end.
    #[must_use]
    pub fn path_from(
        &self,
        id: &BlockId,
        mut stop: impl FnMut(&BlockId, &Entry) -> bool,
    ) -> Vec<BlockId> {
        let (mut path, mut at) = (Vec::new(), *id);
        while let Some(entry) = self.get(&at) {
            if stop(&at, &entry) {
                break;
            }
            path.push(at);
            at = entry.header.parent_id;
        }
        path.reverse();
        path
    }

    /// The same, of blocks in memory.
    #[must_use]
    pub fn path_in_memory(
        &self,
        id: &BlockId,
        mut stop: impl FnMut(&BlockId, &Entry) -> bool,
    ) -> Vec<BlockId> {
        let (mut path, mut at) = (Vec::new(), *id);
        while let Some(entry) = self.in_memory(&at) {
            if stop(&at, entry) {
                break;
            }
            path.push(at);
            at = entry.header.parent_id;
        }
        path.reverse();
        path
    }

    /// From where the fronts of logged blocks are read.
    pub fn read_from(&mut self, source: Arc<dyn FrontSource>) {
        self.trunk.logged.fronts.read_from(source);
    }

    /// The same for a tree of a snapshot, whose blocks are found by their ids from now on.
    pub fn restore_from(&mut self, source: Arc<dyn FrontSource>) {
        self.read_from(source);
        self.trunk.index_all();
    }

    /// Begins with old blocks that a start found. To be called before anything is added.
    pub fn begin_with(&mut self, old: &OldBlocks) {
        let Some(root) = self.entries.remove_entry(&self.genesis) else {
            return;
        };
        self.trunk.begin(root, old);
        let (at, front) = &old.above;
        let (id, entry) = (front.id, Entry::of_logged(front.clone(), *at));
        self.candidates = BTreeSet::from([entry.rank(id)]);
        self.best_headers = BTreeSet::from([entry.header_rank(id)]);
        self.trunk.push(id, entry);
    }

    /// The next block that can become logged together with those below it, if it is not above a
    /// height.
    #[must_use]
    pub fn next_to_log(&self, limit: Height) -> Option<(Height, BlockId)> {
        let height = self.trunk.next_to_log(limit.0)?;
        Some((Height(height), self.trunk.at(height)?))
    }

    /// Makes it so.
    pub fn log_next(&mut self) {
        self.trunk.log_next();
    }

    /// Takes back into memory what is logged and no ancestor of `top`, so that it can be judged
    /// like any branch. Where a record of it can't be read, that whole branch is forgotten, with
    /// what follows on it. Says whether `top` is in memory then.
    pub fn make_top(&mut self, top: &BlockId) -> bool {
        if self.logged_len() == 0 {
            return self.in_memory(top).is_some();
        }
        let first = self.path_in_memory(top, |id, _| *id == self.genesis);
        let first = first.first().and_then(|first| self.in_memory(first));
        let (len, parent) = match first {
            Some(first) => (first.header.height.0, Some(first.header.parent_id)),
            // The genesis block is in memory wherever it is kept.
            None if *top == self.genesis => (1, Some(self.genesis)),
            None => match self.trunk.height_of(top) {
                Some(height) => (height, None),
                None => return false,
            },
        };
        if len >= self.logged_len() {
            return self.in_memory(top).is_some();
        }
        for (id, entry) in self.trunk.take_from(len) {
            let parent = entry.header.parent_id;
            self.entries.insert(id, entry);
            self.list_first_child(parent, id);
        }
        if let Some(parent) = parent
            && self.logged_len() > len
        {
            self.trunk.forget_above(parent, len);
            self.forget_unattached();
        }
        self.in_memory(top).is_some()
    }

    /// Lists a block that followed in the trunk on another one, before those that are listed.
    fn list_first_child(&mut self, parent: BlockId, id: BlockId) {
        let listed = self.children.entry(parent).or_default();
        if !listed.contains(&id) {
            listed.insert(0, id);
        }
    }

    /// Forgets the blocks whose ancestors are not all here.
    fn forget_unattached(&mut self) {
        let mut by_height: Vec<(Height, BlockId, BlockId)> = Vec::new();
        for (id, entry) in &self.entries {
            by_height.push((entry.header.height, *id, entry.header.parent_id));
        }
        by_height.sort_unstable();
        for (height, id, parent) in by_height {
            let below = height.0.checked_sub(1);
            let is_attached = self.entries.contains_key(&parent)
                || id == self.genesis
                || below.is_some_and(|below| self.trunk.may_have(&parent, below));
            if !is_attached {
                self.entries.remove(&id);
            }
        }
        let (entries, trunk) = (&self.entries, &self.trunk);
        let is_here = |id: &BlockId| entries.contains_key(id) || trunk.last() == Some(*id);
        self.candidates.retain(|(_, _, id)| is_here(id));
        self.best_headers.retain(|(_, _, id)| is_here(id));
        for children in self.children.values_mut() {
            children.retain(|id| entries.contains_key(id));
        }
        self.children.retain(|_, children| !children.is_empty());
    }

    /// The next event finds the fronts at these positions unreadable, if it reads them.
    pub fn foresee_unreadable(&mut self, positions: Vec<Lsn>) {
        self.trunk.logged.fronts.foresee(positions);
    }

    /// The positions of fronts that the last event could not read.
    #[must_use]
    pub fn unreadable(&self) -> &[Lsn] {
        self.trunk.logged.fronts.last()
    }

    /// An event begins.
    pub fn begin_event(&mut self) {
        self.trunk.logged.fronts.begin_event();
    }

    /// The blocks whose fronts the event could not read since the last call, as far as their ids
    /// are known.
    pub fn take_unreadable(&mut self) -> Vec<BlockId> {
        let mut unreadable = Vec::new();
        // To find the id of one, the front above it is read.
        loop {
            let found = self.trunk.logged.take_unnamed();
            let named = |height: &u64| Some((*height, self.trunk.at(*height)?));
            let named: BTreeMap<u64, BlockId> = found.iter().filter_map(named).collect();
            let unnamed = found
                .into_iter()
                .filter(|height| !named.contains_key(height));
            self.trunk.logged.fronts.unnamed.extend(unnamed);
            unreadable.extend(named.values());
            if named.is_empty() && !self.trunk.logged.fronts.has_found() {
                return unreadable;
            }
        }
    }

    /// An event has ended.
    pub fn end_event(&mut self) {
        self.trunk.logged.fronts.end_event();
    }
}

#[cfg(test)]
mod tests;
