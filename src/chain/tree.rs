//! The tree of all headers that passed their checks: which branches there are, whose bodies are
//! here, and which tip has the most work.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::store::Lsn;
use crate::types::{BlockId, Header, Height, Uint256};

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
    /// Whether its body and those of all its ancestors are here.
    complete: bool,
    /// An ancestor far below, so that a walk down takes few steps: see [`skip_height`].
    skip: BlockId,
}

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
    entries: BTreeMap<BlockId, Entry>,
    children: BTreeMap<BlockId, Vec<BlockId>>,
    /// Complete and not invalid blocks, the best last: most work, then first seen.
    candidates: BTreeSet<(Uint256, Reverse<u64>, BlockId)>,
    /// Valid headers by work, of equal work the first seen last.
    best_headers: BTreeSet<(Uint256, Reverse<u64>, BlockId)>,
    header_arrivals: BTreeMap<BlockId, u64>,
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
            complete: true,
            skip: id,
        };
        Self {
            entries: BTreeMap::from([(id, entry)]),
            children: BTreeMap::new(),
            candidates: BTreeSet::from([(work, Reverse(0), id)]),
            best_headers: BTreeSet::from([(work, Reverse(0), id)]),
            header_arrivals: BTreeMap::from([(id, 0)]),
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
        self.entries.len()
    }

    /// The block of that id.
    #[must_use]
    pub fn get(&self, id: &BlockId) -> Option<&Entry> {
        self.entries.get(id)
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
        if self.entries.contains_key(&id) {
            return Placement::Known;
        }
        let parent = self
            .entries
            .get(&header.parent_id)
            .expect("the parent was checked against");
        let (work, verdict) = (parent.work.saturating_add(own_work), parent.verdict);
        let skip = skip_height(parent.header.height.0.saturating_add(1));
        let skip = self.ancestor(&header.parent_id, Height(skip));
        let skip = skip.unwrap_or(header.parent_id);
        self.children.entry(header.parent_id).or_default().push(id);
        let arrival = self.next_arrival();
        if verdict == Verdict::Open {
            self.best_headers.insert((work, Reverse(arrival), id));
            self.header_arrivals.insert(id, arrival);
        }
        let entry = Entry {
            header,
            work,
            body: Body::Missing,
            verdict,
            executed: false,
            arrival: 0,
            complete: false,
            skip,
        };
        self.entries.insert(id, entry);
        Placement::Added
    }

    fn next_arrival(&mut self) -> u64 {
        let arrival = self.arrivals;
        self.arrivals += 1;
        arrival
    }

    /// Notes that a block's transactions are here and passed their isolated checks.
    pub fn body_arrived(&mut self, id: &BlockId) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        if entry.body != Body::Missing {
            return;
        }
        entry.body = Body::Arrived;
        let parent = entry.header.parent_id;
        if self
            .entries
            .get(&parent)
            .is_some_and(|parent| parent.complete)
        {
            self.complete_from(*id);
        }
    }

    /// Marks a block and all its descendants with bodies as complete.
    fn complete_from(&mut self, root: BlockId) {
        let mut waiting = vec![root];
        while let Some(id) = waiting.pop() {
            let arrival = self.arrivals;
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            if entry.body == Body::Missing {
                continue;
            }
            self.arrivals += 1;
            entry.arrival = arrival;
            entry.complete = true;
            if entry.verdict == Verdict::Open {
                self.candidates
                    .insert((entry.work, Reverse(entry.arrival), id));
            }
            waiting.extend(self.children.get(&id).into_iter().flatten().copied());
        }
    }

    /// Makes a complete block the first seen of its work: it was the tip before a restart.
    pub fn prefer(&mut self, id: &BlockId) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        if self
            .candidates
            .remove(&(entry.work, Reverse(entry.arrival), *id))
        {
            entry.arrival = 0;
            self.candidates.insert((entry.work, Reverse(0), *id));
        }
    }

    /// Whether `a` is a better tip than `b`: more work, or seen first.
    #[must_use]
    pub fn is_better(&self, a: &BlockId, b: &BlockId) -> bool {
        let rank = |id: &BlockId| {
            self.entries
                .get(id)
                .map(|entry| (entry.work, Reverse(entry.arrival)))
        };
        rank(a) > rank(b)
    }

    /// Notes where in the log a block's transactions are.
    pub fn body_logged(&mut self, id: &BlockId, lsn: Lsn) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.body = Body::Logged(lsn);
        }
    }

    /// Notes that a block's transactions are gone: neither it nor a descendant is complete.
    pub fn body_lost(&mut self, root: &BlockId) {
        if let Some(entry) = self.entries.get_mut(root) {
            entry.body = Body::Missing;
        }
        let mut waiting = vec![*root];
        while let Some(id) = waiting.pop() {
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            entry.complete = false;
            self.candidates
                .remove(&(entry.work, Reverse(entry.arrival), id));
            waiting.extend(self.children.get(&id).into_iter().flatten().copied());
        }
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
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            if entry.verdict != Verdict::Invalid {
                entry.verdict = verdict;
            }
            self.candidates
                .remove(&(entry.work, Reverse(entry.arrival), id));
            if let Some(arrival) = self.header_arrivals.remove(&id) {
                self.best_headers
                    .remove(&(entry.work, Reverse(arrival), id));
            }
            waiting.extend(self.children.get(&id).into_iter().flatten().copied());
        }
    }

    /// Takes a parked block back in, with its parked ancestors and all that descends from them.
    /// Gives the first of them, or none when the block is not parked.
    pub fn unpark(&mut self, id: &BlockId) -> Option<BlockId> {
        let parked = |entry: &Entry| entry.verdict == Verdict::Parked;
        let first = *self.path_from(id, |_, entry| !parked(entry)).first()?;
        let mut waiting = vec![first];
        while let Some(id) = waiting.pop() {
            let arrival = self.next_arrival();
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            if parked(entry) {
                entry.verdict = Verdict::Open;
                self.header_arrivals.insert(id, arrival);
                self.best_headers.insert((entry.work, Reverse(arrival), id));
                if entry.complete {
                    self.candidates
                        .insert((entry.work, Reverse(entry.arrival), id));
                }
                waiting.extend(self.children.get(&id).into_iter().flatten().copied());
            }
        }
        Some(first)
    }

    /// Notes that a block was executed and is valid.
    pub fn executed(&mut self, id: &BlockId) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.executed = true;
        }
    }

    /// The blocks without children: the end of each branch.
    pub fn leaves(&self) -> impl Iterator<Item = (&BlockId, &Entry)> {
        self.entries
            .iter()
            .filter(|(id, _)| self.children.get(id).is_none_or(Vec::is_empty))
    }

    /// The positions of all blocks that are in the log.
    pub fn logged(&self) -> impl Iterator<Item = Lsn> {
        self.entries.values().filter_map(|entry| match entry.body {
            Body::Logged(lsn) => Some(lsn),
            Body::Missing | Body::Arrived => None,
        })
    }

    /// Whether the bodies of a block and of all its ancestors are here.
    #[must_use]
    pub fn is_complete(&self, id: &BlockId) -> bool {
        self.entries.get(id).is_some_and(|entry| entry.complete)
    }

    /// The ancestor of `id` at `height`: itself at its own height.
    #[must_use]
    pub fn ancestor(&self, id: &BlockId, height: Height) -> Option<BlockId> {
        let mut at = *id;
        let mut entry = self.entries.get(&at)?;
        while entry.header.height > height {
            // A long step down where it does not go too far; and not where the parent's own
            // would go further and still not too far.
            let (skip, next) = (
                skip_height(entry.header.height.0),
                skip_height(entry.header.height.0 - 1),
            );
            let long =
                skip == height.0 || (skip > height.0 && !(next + 2 < skip && next >= height.0));
            let target = self.entries.get(&entry.skip).filter(|_| long);
            (at, entry) = match target {
                Some(target) => (entry.skip, target),
                None => (
                    entry.header.parent_id,
                    self.entries.get(&entry.header.parent_id)?,
                ),
            };
        }
        (entry.header.height == height).then_some(at)
    }

    /// The highest block that two branches share.
    #[must_use]
    pub fn fork(&self, a: &BlockId, b: &BlockId) -> Option<BlockId> {
        let height = |id: &BlockId| Some(self.entries.get(id)?.header.height);
        let lower = height(a)?.min(height(b)?);
        let (mut a, mut b) = (self.ancestor(a, lower)?, self.ancestor(b, lower)?);
        while a != b {
            // Both are of one height, and so are the blocks that they point to.
            let (left, right) = (self.entries.get(&a)?, self.entries.get(&b)?);
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
        while let Some(entry) = self.entries.get(&at) {
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
mod tests {
    use super::*;
    use crate::types::{AccountId, CompactBits, Hash, Millis, Seal};

    fn header(parent: BlockId, height: u64, nonce: u64) -> Header {
        Header {
            height: Height(height),
            parent_id: parent,
            time: Millis(height),
            tx_root: Hash::ZERO,
            state_root: Hash::ZERO,
            history_root: Hash::ZERO,
            base_fee: 0,
            beneficiary: AccountId::ZERO,
            parent_weight: 0,
            seal: Seal::Work {
                bits: CompactBits(0x207f_ffff),
                nonce,
            },
        }
    }

    fn add(tree: &mut Tree, parent: BlockId, nonce: u64, work: u64) -> BlockId {
        let height = tree.get(&parent).unwrap().header.height.0 + 1;
        let header = header(parent, height, nonce);
        let id = header.id();
        assert_eq!(
            tree.add_header(id, header, Uint256::from_u64(work)),
            Placement::Added
        );
        id
    }

    #[test]
    fn the_most_work_wins_and_then_the_first_seen_body() {
        let mut tree = Tree::new(header(BlockId::ZERO, 0, 0), Uint256::ONE);
        let genesis = tree.genesis();
        let a = add(&mut tree, genesis, 1, 2);
        let b = add(&mut tree, genesis, 2, 2);
        assert_eq!((tree.best_header(), tree.best_candidate()), (a, genesis));
        tree.body_arrived(&b);
        tree.body_arrived(&a);
        assert_eq!(
            tree.best_candidate(),
            b,
            "of equal work the body that came first"
        );
        let a2 = add(&mut tree, a, 3, 1);
        assert_eq!((tree.best_header(), tree.best_candidate()), (a2, b));
        tree.body_arrived(&a2);
        assert_eq!(tree.best_candidate(), a2);
        assert_eq!(tree.ancestor(&a2, Height(1)), Some(a));
        assert_eq!(tree.path_from(&a2, |id, _| *id == genesis), [a, a2]);
    }

    #[test]
    fn bodies_may_come_before_their_parents() {
        let mut tree = Tree::new(header(BlockId::ZERO, 0, 0), Uint256::ONE);
        let genesis = tree.genesis();
        let a = add(&mut tree, genesis, 1, 1);
        let b = add(&mut tree, a, 2, 1);
        let c = add(&mut tree, b, 3, 1);
        tree.body_arrived(&c);
        tree.body_arrived(&b);
        assert_eq!(tree.best_candidate(), genesis);
        tree.body_arrived(&a);
        assert_eq!(tree.best_candidate(), c);
    }

    #[test]
    fn a_lost_body_is_missing_until_it_comes_again() {
        let mut tree = Tree::new(header(BlockId::ZERO, 0, 0), Uint256::ONE);
        let genesis = tree.genesis();
        let a = add(&mut tree, genesis, 1, 1);
        let b = add(&mut tree, a, 2, 1);
        for id in [a, b] {
            tree.body_arrived(&id);
        }
        assert_eq!(tree.best_candidate(), b);
        tree.body_lost(&a);
        assert_eq!(tree.best_candidate(), genesis);
        assert!(!tree.is_complete(&b));
        tree.body_arrived(&a);
        assert_eq!(tree.best_candidate(), b);
    }

    #[test]
    fn ancestors_and_forks_are_found_in_few_steps_and_are_those_of_a_walk() {
        let mut tree = Tree::new(header(BlockId::ZERO, 0, 0), Uint256::ONE);
        let mut blocks = vec![tree.genesis()];
        for place in 0..1_500_u64 {
            // Mostly one long chain, with branches of all lengths.
            let last = blocks.len() - 1;
            let parent = if place % 97 == 96 {
                last * 7 / 11
            } else {
                last
            };
            let parent = blocks[parent];
            blocks.push(add(&mut tree, parent, place + 1, 1));
        }
        let path = |id: &BlockId| tree.path_from(id, |_, _| false);
        for (a, b) in [
            (1_500, 3),
            (1_500, 1_499),
            (97, 1_200),
            (640, 641),
            (1_000, 1_100),
        ] {
            let (left, right) = (path(&blocks[a]), path(&blocks[b]));
            for (height, id) in left.iter().enumerate() {
                assert_eq!(tree.ancestor(&blocks[a], Height(height as u64)), Some(*id));
            }
            assert_eq!(tree.ancestor(&blocks[a], Height(left.len() as u64)), None);
            let shared = left.iter().zip(&right).take_while(|(l, r)| l == r).last();
            assert_eq!(
                tree.fork(&blocks[a], &blocks[b]).as_ref(),
                shared.map(|(l, _)| l)
            );
        }
    }

    #[test]
    fn a_walk_down_takes_logarithmic_steps() {
        let steps = |mut at: u64, height: u64| {
            let mut count = 0;
            while at > height {
                let (skip, next) = (skip_height(at), skip_height(at - 1));
                let long =
                    skip == height || (skip > height && !(next + 2 < skip && next >= height));
                at = if long { skip } else { at - 1 };
                count += 1;
            }
            count
        };
        let most = (0..1_000_000)
            .step_by(997)
            .map(|height| steps(1_000_000, height))
            .max();
        assert!(most < Some(120), "{most:?}");
    }

    #[test]
    fn an_invalid_block_takes_its_descendants_along() {
        let mut tree = Tree::new(header(BlockId::ZERO, 0, 0), Uint256::ONE);
        let genesis = tree.genesis();
        let a = add(&mut tree, genesis, 1, 5);
        let b = add(&mut tree, a, 2, 5);
        let other = add(&mut tree, genesis, 3, 1);
        for id in [a, b, other] {
            tree.body_arrived(&id);
        }
        tree.invalidate(&a);
        assert_eq!((tree.best_header(), tree.best_candidate()), (other, other));
        let late = add(&mut tree, b, 4, 50);
        tree.body_arrived(&late);
        assert_eq!((tree.best_header(), tree.best_candidate()), (other, other));
    }
}
