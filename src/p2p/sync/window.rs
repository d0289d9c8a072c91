//! The part of a branch whose bodies are being fetched.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::chain::Chain;
use crate::chain::tree::Tree;
use crate::types::{BlockId, Height};
use crate::wire::Lane;
use crate::wire::message::GET_BLOCKS_MAX;

use super::ConnId;

/// How many blocks of a branch are fetched ahead of what was executed, so that whoever sends
/// garbage or nothing wastes no more than that, and a slow peer holds nobody up for long.
pub(super) const WINDOW_BLOCKS: usize = 1_024;
/// How many bytes of blocks: what waits for execution is in memory, where the chain keeps 32 MiB of
/// blocks and some that were executed.
pub(super) const WINDOW_BYTES: u64 = 28 << 20;
/// How many blocks a window grows by at once: enough that the walk down to them costs little each,
/// few enough that a window full of large blocks does not walk past its end again and again.
const STRIDE: u64 = 16;
/// A branch that goes on for at most so many blocks above what is here is near its tip: as many as
/// one request can name, which is what a node misses that was away for a moment.
const NEAR_TIP: u64 = GET_BLOCKS_MAX as u64;
/// A header and a count of transactions.
const EMPTY_BLOCK_BYTES: u64 = 208;

/// One block of a window.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Slot {
    pub(super) id: BlockId,
    /// How many bytes it has at most, as far as its child's header tells.
    pub(super) bytes: u64,
}

/// A branch with more work than what is here, as far as its bodies are fetched now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Branch {
    /// The highest header of it that a peer has.
    goal: BlockId,
    goal_height: u64,
    /// The height of the block below the first slot.
    base: u64,
    slots: VecDeque<Slot>,
    /// What the slots' blocks have in bytes.
    bytes: u64,
    /// Heights whose bodies have not come.
    missing: BTreeSet<u64>,
    /// Heights of those that nobody is being asked for.
    wanted: BTreeSet<u64>,
    /// Up to which height peers have the branch.
    reach: BTreeMap<ConnId, u64>,
}

impl Branch {
    /// The branch to `goal`, from its highest block on whose chain of bodies is here.
    pub(super) fn new(goal: BlockId, tree: &Tree) -> Self {
        let goal_height = height_of(tree, &goal);
        // Bodies are here up to some height and not above, as far as they count.
        let (mut here, mut missing) = (0, goal_height);
        while here < missing {
            let middle = here + (missing - here).div_ceil(2);
            let complete = tree
                .ancestor(&goal, Height(middle))
                .is_some_and(|id| tree.is_complete(&id));
            if complete {
                here = middle;
            } else {
                missing = middle - 1;
            }
        }
        Self {
            goal,
            goal_height,
            base: here,
            slots: VecDeque::new(),
            bytes: 0,
            missing: BTreeSet::new(),
            wanted: BTreeSet::new(),
            reach: BTreeMap::new(),
        }
    }

    pub(super) const fn goal(&self) -> BlockId {
        self.goal
    }

    /// The lane in which its blocks are asked for: those near the tip go before everything else,
    /// history waits for what is new.
    pub(super) const fn lane(&self) -> Lane {
        if self.goal_height <= self.base + NEAR_TIP {
            Lane::Bodies
        } else {
            Lane::History
        }
    }

    /// Moves the goal to a descendant of it.
    pub(super) fn lengthen(&mut self, goal: BlockId, tree: &Tree) {
        self.goal = goal;
        self.goal_height = height_of(tree, &goal);
    }

    /// Says up to which height each peer has the branch.
    pub(super) fn set_reach(&mut self, reach: BTreeMap<ConnId, u64>) {
        self.reach = reach;
    }

    /// Whether a peer has the block at a height.
    pub(super) fn reaches(&self, conn: ConnId, height: u64) -> bool {
        self.reach.get(&conn).is_some_and(|reach| height <= *reach)
    }

    /// Drops the slots whose blocks are dealt with, and takes in as many new ones as the window
    /// has room for. Says whether it moved. `executing` says that blocks of this branch wait for
    /// execution: then only what is in the best chain is dealt with, else all that is here.
    pub(super) fn slide(&mut self, chain: &Chain, executing: bool) -> bool {
        let before = (self.base, self.slots.len());
        while let Some(first) = self.slots.front() {
            let done = if executing {
                chain.in_best_chain(&first.id)
            } else {
                chain.tree().is_complete(&first.id)
            };
            if !done {
                break;
            }
            self.bytes -= first.bytes;
            self.slots.pop_front();
            self.base += 1;
            self.missing.remove(&self.base);
            self.wanted.remove(&self.base);
        }
        self.grow(chain);
        before != (self.base, self.slots.len())
    }

    fn grow(&mut self, chain: &Chain) {
        // By a stride at a time where blocks are small, so that the walk to them is worth it.
        let strides = self.slots.len() + STRIDE as usize <= WINDOW_BLOCKS;
        while strides && self.has_room() {
            let top = self.base + self.slots.len() as u64;
            let end = (top + STRIDE).min(self.goal_height);
            let above = Height((end + 1).min(self.goal_height));
            let mut at = chain.tree().ancestor(&self.goal, above);
            let mut found = Vec::with_capacity(STRIDE as usize);
            // What the child says of its parent's weight, which bytes never exceed. Nothing says
            // it of the last block: blocks are often like their neighbours.
            let mut weight = None;
            while let Some(id) = at {
                let Some(entry) = chain.tree().get(&id) else {
                    break;
                };
                let (height, parent_weight) = (entry.header.height.0, entry.header.parent_weight);
                if height <= top {
                    break;
                }
                if height <= end {
                    let bytes = size_at_most(weight.unwrap_or(parent_weight));
                    found.push(Slot { id, bytes });
                }
                weight = Some(parent_weight);
                at = Some(entry.header.parent_id);
            }
            if found.is_empty() {
                return;
            }
            while self.has_room()
                && let Some(slot) = found.pop()
            {
                self.slots.push_back(slot);
                self.bytes += slot.bytes;
                if chain.wants_body(&slot.id) {
                    let height = self.base + self.slots.len() as u64;
                    self.missing.insert(height);
                    self.wanted.insert(height);
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        let top = self.base + self.slots.len() as u64;
        top < self.goal_height
            && self.slots.len() < WINDOW_BLOCKS
            && (self.bytes < WINDOW_BYTES || self.slots.is_empty())
    }

    /// The slot at a height.
    pub(super) fn slot(&self, height: u64) -> Option<Slot> {
        let place = height.checked_sub(self.base + 1)?;
        self.slots.get(usize::try_from(place).ok()?).copied()
    }

    /// Whether the slot at a height is that of a block.
    pub(super) fn has(&self, height: u64, id: &BlockId) -> bool {
        self.slot(height).is_some_and(|slot| slot.id == *id)
    }

    /// The lowest height from `from` on that nobody is being asked for.
    pub(super) fn next_wanted(&self, from: u64) -> Option<u64> {
        self.wanted.range(from..).next().copied()
    }

    /// The block that holds up all others.
    pub(super) fn front(&self) -> Option<Slot> {
        self.slot(*self.missing.first()?)
    }

    /// A block is being asked for.
    pub(super) fn asked(&mut self, height: u64, id: &BlockId) {
        if self.has(height, id) {
            self.wanted.remove(&height);
        }
    }

    /// A block came, or is no longer wanted.
    pub(super) fn came(&mut self, height: u64, id: &BlockId) {
        if self.has(height, id) {
            self.wanted.remove(&height);
            self.missing.remove(&height);
        }
    }

    /// A block is wanted, whatever became of it.
    pub(super) fn want(&mut self, height: u64, id: &BlockId) {
        if self.has(height, id) {
            self.wanted.insert(height);
            self.missing.insert(height);
        }
    }
}

/// How many bytes a block has at most whose transactions weigh this much: bytes never exceed it.
pub(super) fn size_at_most(weight: u32) -> u64 {
    u64::from(weight) + EMPTY_BLOCK_BYTES
}

fn height_of(tree: &Tree, id: &BlockId) -> u64 {
    tree.get(id).map_or(0, |entry| entry.header.height.0)
}
