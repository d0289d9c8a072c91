//! The tree of blocks, and who stands where on it.

use std::collections::{BTreeMap, VecDeque};

use crate::base::Time;
use crate::types::{BlockId, Height};

use super::sightings::{Sighting, Sightings};

/// A block by the order in which blocks first appeared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockPlace(pub u64);

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is on the chain of the tip that most nodes had in the end.
    Chain,
    /// Another block stands at its height there.
    Stale,
    /// It is above that tip: not decided when the run ended.
    Open,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    parent: BlockId,
    height: Height,
    /// How many nodes have it as their tip.
    tips: u32,
}

/// A branch that did not become the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The height of its first block.
    pub height: Height,
    /// Its blocks from the first one on, by the longest of its own branches.
    pub blocks: Vec<BlockId>,
    /// When its first block appeared.
    pub first: Time,
}

/// Every block that some node executed.
#[derive(Clone, Debug)]
pub struct Blocks {
    sightings: Sightings<BlockId>,
    links: VecDeque<Link>,
    /// The tip of each node, by the block's place, and its height.
    tips: Vec<Option<(BlockPlace, Height)>>,
    /// How many nodes are at each height.
    heights: BTreeMap<Height, u32>,
    distinct_tips: u32,
}

impl Blocks {
    pub(super) fn new(nodes: usize, detail_bytes_max: usize, entries_max: usize) -> Self {
        Self {
            sightings: Sightings::new(nodes, detail_bytes_max, entries_max),
            links: VecDeque::new(),
            tips: vec![None; nodes],
            heights: BTreeMap::new(),
            distinct_tips: 0,
        }
    }

    pub(super) fn admit(&mut self, nodes: usize) {
        self.sightings.admit(nodes);
    }

    pub(super) fn seen(
        &mut self,
        now: Time,
        node: usize,
        id: BlockId,
        parent: BlockId,
        height: Height,
    ) {
        let known = self.sightings.count();
        let (place, mut news) = self.sightings.seen(now, node, id);
        self.link_new(place, known, parent, height);
        // The branch below it, down to what this node had already.
        let mut below = parent;
        while news && let Some(place) = self.sightings.place(&below) {
            (_, news) = self.sightings.seen(now, node, below);
            match self.link(BlockPlace(place)) {
                Some(link) => below = link.parent,
                None => return,
            }
        }
    }

    /// A dishonest node made or executed a block, which others will hear of or not.
    pub(super) fn made(
        &mut self,
        now: Time,
        by: usize,
        id: BlockId,
        parent: BlockId,
        height: Height,
    ) {
        let known = self.sightings.count();
        let place = self.sightings.made(now, by, id);
        self.link_new(place, known, parent, height);
    }

    fn link_new(&mut self, place: u64, known: u64, parent: BlockId, height: Height) {
        if place < known {
            return;
        }
        self.links.push_back(Link {
            parent,
            height,
            tips: 0,
        });
        while self.links.len() > self.sightings.iter().len() {
            let forgotten = self.links.pop_front();
            self.distinct_tips -= u32::from(forgotten.is_some_and(|link| link.tips > 0));
        }
    }

    fn index(&self, place: BlockPlace) -> Option<usize> {
        usize::try_from(place.0.checked_sub(self.sightings.forgotten())?).ok()
    }

    fn link(&self, place: BlockPlace) -> Option<&Link> {
        self.links.get(self.index(place)?)
    }

    pub(super) fn tip(&mut self, node: usize, id: BlockId, height: Height) {
        if node >= self.tips.len() {
            self.tips.resize(node + 1, None);
        }
        let new = self.sightings.place(&id).map(BlockPlace);
        let old = std::mem::replace(&mut self.tips[node], new.map(|place| (place, height)));
        if let Some((place, height)) = old {
            if let Some(at) = self.index(place) {
                let link = &mut self.links[at];
                link.tips -= 1;
                self.distinct_tips -= u32::from(link.tips == 0);
            }
            let count = self.heights.entry(height).or_default();
            *count -= 1;
            if *count == 0 {
                self.heights.remove(&height);
            }
        }
        if let Some(place) = new {
            if let Some(at) = self.index(place) {
                let link = &mut self.links[at];
                self.distinct_tips += u32::from(link.tips == 0);
                link.tips += 1;
            }
            *self.heights.entry(height).or_default() += 1;
        }
    }

    /// How many different tips nodes have now.
    #[must_use]
    pub const fn distinct_tips(&self) -> u32 {
        self.distinct_tips
    }

    /// The least, the middle and the greatest height of the nodes' tips; zeros before any moved.
    #[must_use]
    pub fn heights(&self) -> (Height, Height, Height) {
        let nodes: u64 = self.heights.values().map(|count| u64::from(*count)).sum();
        let mut before = 0;
        let middle = self.heights.iter().find(|(_, count)| {
            before += u64::from(**count);
            before > nodes / 2
        });
        let ends = (
            self.heights.first_key_value(),
            self.heights.last_key_value(),
        );
        let height =
            |entry: Option<(&Height, &u32)>| entry.map_or(Height(0), |(height, _)| *height);
        (height(ends.0), height(middle), height(ends.1))
    }

    /// How many blocks there ever were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.sightings.count()
    }

    /// When nodes had which block.
    #[must_use]
    pub const fn sightings(&self) -> &Sightings<BlockId> {
        &self.sightings
    }

    /// The blocks that are known, in the order in which they appeared, with their heights and
    /// parents.
    pub fn iter(&self) -> impl Iterator<Item = (&Sighting<BlockId>, Height, BlockId)> {
        let links = self.links.iter();
        self.sightings
            .iter()
            .zip(links)
            .map(|(seen, link)| (seen, link.height, link.parent))
    }

    /// The tip that most nodes have; of several the highest, and of those the first seen.
    #[must_use]
    pub fn best(&self) -> Option<BlockId> {
        let best = self
            .links
            .iter()
            .enumerate()
            .max_by_key(|(at, link)| (link.tips, link.height, std::cmp::Reverse(*at)))?;
        let place = self.sightings.forgotten() + best.0 as u64;
        self.sightings.at(place).map(|sighting| sighting.id)
    }

    /// What became of each known block, in their order.
    #[must_use]
    pub fn fates(&self) -> Vec<Fate> {
        let Some(best) = self.best() else {
            return Vec::new();
        };
        let top = self
            .sightings
            .place(&best)
            .and_then(|place| self.link(BlockPlace(place)));
        let top = top.map_or(Height(0), |link| link.height);
        let mut fates: Vec<Fate> = self
            .links
            .iter()
            .map(|link| {
                if link.height > top {
                    Fate::Open
                } else {
                    Fate::Stale
                }
            })
            .collect();
        let mut id = best;
        while let Some(place) = self.sightings.place(&id).map(BlockPlace)
            && let Some(at) = self.index(place)
            && let Some(link) = self.links.get(at)
        {
            fates[at] = Fate::Chain;
            id = link.parent;
        }
        fates
    }

    /// The branches that the chain left aside, in the order of their first blocks. A branch of a
    /// branch is one of its own.
    #[must_use]
    pub fn side_branches(&self) -> Vec<Branch> {
        self.branches(Fate::Stale)
    }

    /// What lies above the chain and is not decided yet, in the same way.
    #[must_use]
    pub fn open_branches(&self) -> Vec<Branch> {
        self.branches(Fate::Open)
    }

    fn branches(&self, of: Fate) -> Vec<Branch> {
        let fates = self.fates();
        let mut branches: Vec<Branch> = Vec::new();
        // Which branch each block ends, so that a child makes it longer.
        let mut ends: BTreeMap<BlockId, usize> = BTreeMap::new();
        for ((seen, height, parent), fate) in self.iter().zip(fates) {
            if fate != of {
                continue;
            }
            if let Some(branch) = ends.remove(&parent) {
                branches[branch].blocks.push(seen.id);
                ends.insert(seen.id, branch);
            } else {
                ends.insert(seen.id, branches.len());
                branches.push(Branch {
                    height,
                    blocks: vec![seen.id],
                    first: seen.first,
                });
            }
        }
        branches
    }
}
