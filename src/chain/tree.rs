//! The tree of all headers that passed their checks: which branches there are, whose bodies are
//! here, and which tip has the most work.
//!
//! *Invariants*: where a block is kept, by its id or by its height in the [`Trunk`], changes no
//! answer; of the blocks that may be the best, those stand in order on which no other such block
//! follows, because a block has less work than each of its descendants. *Never* forgets a header.

mod trunk;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::store::Lsn;
use crate::types::{BlockId, Header, Height, Uint256};

use trunk::Trunk;

/// How many blocks of the chain with the most work are kept by id, where branches fork off.
const KEPT_BY_ID: u64 = 1_024;
/// How many blocks go at a time to where old ones are kept by height: few enough that it takes a
/// moment.
const KEPT_AT_A_TIME: u64 = 64;

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
    /// An ancestor far below, so that a walk down takes few steps: see [`skip_height`].
    skip: BlockId,
}

impl Entry {
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

/// Why a header has no place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It is new, and in the tree now.
    Added,
    /// It was there already.
    Known,
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
            skip: id,
        };
        Self {
            candidates: BTreeSet::from([entry.rank(id)]),
            best_headers: BTreeSet::from([entry.header_rank(id)]),
            entries: BTreeMap::from([(id, entry)]),
            trunk: Trunk::default(),
            children: BTreeMap::new(),
            arrivals: 1,
            genesis: id,
        }
    }

    /// The genesis block's id.
    #[must_use]
    pub const fn genesis(&self) -> BlockId {
        self.genesis
    }

    /// How many headers there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len() + self.trunk.len()
    }

    /// The block of that id.
    #[must_use]
    pub fn get(&self, id: &BlockId) -> Option<&Entry> {
        self.entries.get(id).or_else(|| self.trunk.get(id))
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
            None => self.trunk.next(id),
        };
        listed.into_iter().flatten().copied().chain(next)
    }

    /// Lists a block that follows on another one.
    fn list_child(&mut self, parent: BlockId, id: BlockId) {
        let next = self.trunk.next(&parent);
        let listed = self.children.entry(parent);
        // Mostly it stays the only one.
        let listed = listed.or_insert_with(|| Vec::with_capacity(1));
        listed.extend(next.filter(|_| listed.is_empty()));
        listed.push(id);
    }

    /// Notes that it changed whether a block may be the best one or the best header.
    fn rank(&mut self, id: &BlockId) {
        let Some(entry) = self.get(id) else {
            return;
        };
        let (rank, header_rank) = (entry.rank(*id), entry.header_rank(*id));
        let (mut candidate, mut open) = (entry.is_candidate(), entry.is_open());
        for child in self.children(id).filter_map(|child| self.get(&child)) {
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
        if let Some(parent) = self.get(id).map(|entry| entry.header.parent_id) {
            self.rank(&parent);
        }
    }

    /// Keeps by height what lies deep below the best header.
    fn keep_old_by_height(&mut self) {
        let top = self.best_header();
        let height = self.get(&top).map_or(0, |entry| entry.header.height.0);
        let old = height.saturating_sub(KEPT_BY_ID);
        if old >= self.kept_by_height() + KEPT_AT_A_TIME
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
        for id in self.path_from(top, |_, entry| entry.header.height.0 < kept) {
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
        self.trunk.len() as u64
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

    /// Adds a header that passed its checks under its parent, with its own work.
    ///
    /// # Panics
    /// When the parent is not in the tree: the header's checks needed it.
    pub fn add_header(&mut self, id: BlockId, header: Header, own_work: Uint256) -> Placement {
        if self.get(&id).is_some() {
            return Placement::Known;
        }
        let parent = self.get(&header.parent_id);
        let parent = parent.expect("the parent was checked against");
        let (work, verdict) = (parent.work.saturating_add(own_work), parent.verdict);
        let skip = skip_height(parent.header.height.0.saturating_add(1));
        let skip = self.ancestor(&header.parent_id, Height(skip));
        let skip = skip.unwrap_or(header.parent_id);
        let parent = header.parent_id;
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
            let below = self.get(&parent).map(|below| below.header_rank(parent));
            below.map(|below| self.best_headers.remove(&below));
        }
        self.list_child(parent, id);
        self.entries.insert(id, entry);
        self.keep_old_by_height();
        Placement::Added
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
        if self.is_complete(&parent) {
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
        let root = self.get(&root).filter(|root| root.is_candidate());
        let parent = root.map(|root| root.header.parent_id);
        let below = parent.and_then(|id| Some(self.get(&id)?.rank(id)));
        below.map(|below| self.candidates.remove(&below));
    }

    /// Makes a complete block the first seen of its work: it was the tip before a restart.
    pub fn prefer(&mut self, id: &BlockId) {
        let Some(entry) = self.get(id).filter(|entry| entry.is_candidate()) else {
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
        if let Some(entry) = self.get_mut(id) {
            entry.body = Body::Logged(lsn);
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
        let first = *self.path_from(id, |_, entry| !parked(entry)).first()?;
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
        all.filter_map(|entry| match entry.body {
            Body::Logged(lsn) => Some(lsn),
            Body::Missing | Body::Arrived => None,
        })
    }

    /// Whether the bodies of a block and of all its ancestors are here.
    #[must_use]
    pub fn is_complete(&self, id: &BlockId) -> bool {
        self.get(id).is_some_and(|entry| entry.complete)
    }

    /// The ancestor of `id` at `height`: itself at its own height.
    #[must_use]
    pub fn ancestor(&self, id: &BlockId, height: Height) -> Option<BlockId> {
        let mut at = *id;
        let mut entry = self.get(&at)?;
        while entry.header.height > height {
            if self.trunk.at(entry.header.height.0) == Some(at) {
                return self.trunk.at(height.0);
            }
            // A long step down where it does not go too far; and not where the parent's own
            // would go further and still not too far.
            let (skip, next) = (
                skip_height(entry.header.height.0),
                skip_height(entry.header.height.0 - 1),
            );
            let long =
                skip == height.0 || (skip > height.0 && !(next + 2 < skip && next >= height.0));
            let target = self.get(&entry.skip).filter(|_| long);
            (at, entry) = match target {
                Some(target) => (entry.skip, target),
                None => (entry.header.parent_id, self.get(&entry.header.parent_id)?),
            };
        }
        (entry.header.height == height).then_some(at)
    }

    /// The highest block that two branches share.
    #[must_use]
    pub fn fork(&self, a: &BlockId, b: &BlockId) -> Option<BlockId> {
        let height = |id: &BlockId| Some(self.get(id)?.header.height);
        let lower = height(a)?.min(height(b)?);
        let (mut a, mut b) = (self.ancestor(a, lower)?, self.ancestor(b, lower)?);
        while a != b {
            // Both are of one height, and so are the blocks that they point to.
            let (left, right) = (self.get(&a)?, self.get(&b)?);
            (a, b) = if left.skip == right.skip {
                (left.header.parent_id, right.header.parent_id)
            } else {
                (left.skip, right.skip)
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
            if stop(&at, entry) {
                break;
            }
            path.push(at);
            at = entry.header.parent_id;
        }
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests;
