//! The old blocks of a log, found by the tables of contents of its sealed segments.
//!
//! *Owns* what a start makes of them: where each block of the best chain stands, from height 1 up
//! to the parent of the second newest checkpoint's block. *Invariants*: what is found is what a
//! look at every record would find; where that can't be said without one, nothing is found, and
//! the start looks at every record. *Never* takes one block for another: where several stand at a
//! height, the record above them says which is its parent.
//!
//! The record of every block above is looked at, so is that of every block beside the best chain.
//! Of branches that end below and have less work, what an Executing record says of them is not
//! looked for: nothing is executed on them unless they grow, and then it is written anew.

use std::collections::BTreeMap;

use crate::chain::{ChainState, Front, FrontSource, OldBlocks, ShortId};
use crate::store::{Failure, Log, Lsn, Reader, Store};
use crate::types::BlockId;

use super::Skimmed;

/// Blocks by height, as tables of contents name them.
#[derive(Default)]
struct Heights {
    /// The first that was found at each height from 1 on.
    first: Vec<Option<(Lsn, ShortId)>>,
    /// All of them, where more than one was found.
    several: BTreeMap<usize, Vec<Lsn>>,
}

impl Heights {
    fn up_to(limit: usize) -> Self {
        Self {
            first: vec![None; limit],
            several: BTreeMap::new(),
        }
    }

    /// Takes a block; says whether it is not above the limit.
    fn add(&mut self, height: u64, at: Lsn, id: &BlockId) -> bool {
        let place = height
            .checked_sub(1)
            .and_then(|place| usize::try_from(place).ok());
        let Some(place) = place.filter(|place| *place < self.first.len()) else {
            return height == 0;
        };
        match &mut self.first[place] {
            Some((first, _)) => {
                let several = self.several.entry(place).or_insert_with(|| vec![*first]);
                several.push(at);
            }
            none => *none = Some((at, ShortId::of(id))),
        }
        true
    }
}

impl Heights {
    /// Takes the blocks of the sealed segments before one, as far as none of them is above the
    /// limit. Gives the first segment that has to be looked at whole, with those behind it; none
    /// where a segment's blocks are not known.
    fn add_sealed(&mut self, store: &Store, end: u64) -> Result<Option<u64>, Failure> {
        let size = store.segment_size(Log::Blocks);
        for segment in 0..end {
            let Some((blocks, checked)) = store.sealed_blocks(segment)? else {
                return Ok(None);
            };
            let limit = self.first.len() as u64;
            if blocks.iter().any(|block| block.height > limit) {
                return Ok(Some(segment));
            }
            let reader = store.reader();
            for block in blocks {
                let at = Lsn::new(segment * size + u64::from(block.offset));
                let is_it =
                    |front: Front| (front.id.0, front.header.height.0) == (block.id, block.height);
                if !checked && !front(&reader, at).is_some_and(is_it) {
                    return Ok(None);
                }
                self.add(block.height, at, &BlockId(block.id));
            }
        }
        Ok(Some(end))
    }
}

/// What a start finds without a look at every record.
pub(super) struct Found {
    pub(super) old: OldBlocks,
    /// What the records from the first of the newer blocks on say, and blocks beside the best
    /// chain.
    pub(super) skimmed: Skimmed,
}

/// Looks for the blocks below that of the second newest checkpoint.
pub(super) fn look(store: &mut Store, second: &ChainState) -> Result<Option<Found>, Failure> {
    let Some(limit) = second
        .header
        .height
        .0
        .checked_sub(1)
        .filter(|limit| *limit > 0)
    else {
        return Ok(None);
    };
    let Ok(limit) = usize::try_from(limit) else {
        return Ok(None);
    };
    let size = store.segment_size(Log::Blocks);
    let last = store.end(Log::Blocks).get().saturating_sub(1) / size;
    if store.first_segment(Log::Blocks) > 0 {
        return Ok(None);
    }
    let mut heights = Heights::up_to(limit);
    let Some(from) = heights.add_sealed(store, last)? else {
        return Ok(None);
    };
    let mut skimmed = Skimmed::read(store, Lsn::new(from * size))?;
    if skimmed.lacks_blocks {
        // Where one block of a height is found, there may have been another.
        return Ok(None);
    }
    let all = std::mem::take(&mut skimmed.blocks);
    let (mut newer, mut above) = (Vec::new(), None);
    for (at, front) in all {
        if front.id == second.id {
            above = Some((at, front));
        } else if !heights.add(front.header.height.0, at, &front.id) {
            newer.push((at, front));
        }
    }
    let Some(above) = above.filter(|_| skimmed.tip.is_some()) else {
        return Ok(None);
    };
    // A branch that goes on from below may have been parked there.
    let crosses = |front: &Front| {
        front.header.height == second.header.height
            && front.header.parent_id != second.header.parent_id
    };
    if newer.iter().any(|(_, front)| crosses(front)) {
        return Ok(None);
    }
    let reader = store.reader();
    let Some((blocks, beside)) = best_chain(heights, second.header.parent_id, &reader) else {
        return Ok(None);
    };
    // Nothing is executed on a lower branch that has less work; of one that has more, records say
    // what somebody decided.
    if beside.iter().any(|(_, front)| front.work > above.1.work) {
        return Ok(None);
    }
    let below = blocks.last().and_then(|(at, _)| front(&reader, *at));
    let agrees = |front: &Front| front.work_below() == above.1.work;
    let children = newer
        .iter()
        .filter(|(_, front)| front.header.parent_id == second.id);
    if below.map(|below| below.work) != Some(above.1.work_below())
        && !children.map(|(_, front)| front).any(agrees)
    {
        return Ok(None);
    }
    skimmed.blocks = beside;
    skimmed.blocks.extend(newer);
    skimmed.blocks.sort_unstable_by_key(|(at, _)| *at);
    let old = OldBlocks::below(above, blocks);
    Ok(Some(Found { old, skimmed }))
}

fn front(reader: &Reader, at: Lsn) -> Option<Front> {
    FrontSource::front(reader, at)
}

type Places = Vec<(Lsn, ShortId)>;

/// Where the blocks of the chain up to `top` stand, which is the highest; and the blocks beside it.
fn best_chain(
    heights: Heights,
    top: BlockId,
    reader: &Reader,
) -> Option<(Places, Vec<(Lsn, Front)>)> {
    let Heights { first, mut several } = heights;
    let mut blocks: Places = first.into_iter().collect::<Option<_>>()?;
    let mut beside = Vec::new();
    let mut id = Some(top);
    for place in (0..blocks.len()).rev() {
        let Some(mut all) = several.remove(&place) else {
            // The only one that there is. Its id may be known.
            if id
                .take()
                .is_some_and(|id| ShortId::of(&id) != blocks[place].1)
            {
                return None;
            }
            continue;
        };
        let above = || Some(front(reader, blocks.get(place + 1)?.0)?.header.parent_id);
        let own = id.take().or_else(above)?;
        let mut found = None;
        // The later record of a block that was written twice counts.
        all.sort_unstable();
        for at in all {
            match front(reader, at) {
                Some(front) if front.id == own => found = Some((at, front.header.parent_id)),
                Some(front) => beside.push((at, front)),
                None => {}
            }
        }
        let (at, parent) = found?;
        blocks[place] = (at, ShortId::of(&own));
        id = Some(parent);
    }
    Some((blocks, beside))
}
