//! Which checkpoints are kept, and what the log must keep for them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::store::{Layout, Lsn};
use crate::types::{BlockId, Height};

use super::super::state::Live;
use super::Checkpoint;

/// The most checkpoints that are kept. Distances double, so that 64 reach back farther than any
/// chain does.
pub(super) const KEPT_MAX: usize = 64;
/// The newest checkpoints, which are kept whatever they take: one may turn out to be damaged.
const NEWEST: usize = 2;
/// The log may take so many times what the newest checkpoint uses of it before the oldest go.
const LIVE_TIMES_MAX: u64 = 4;
/// The most bytes that travel with one checkpoint: half a segment's, so that at least one segment
/// of which less than half is in use becomes free.
const TRAVEL_BYTES_MAX: u64 = 128 << 20;

/// A checkpoint that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCheckpoint {
    /// Where its record stands.
    pub at: Lsn,
    /// The block that it is the state after.
    pub id: BlockId,
    /// The block's height.
    pub height: Height,
    /// The segments that it uses, with the bytes in use of each.
    pub segments: Vec<(u64, u64)>,
}

impl KeptCheckpoint {
    /// A checkpoint whose record stands at `at`.
    #[must_use]
    pub fn new(at: Lsn, checkpoint: &Checkpoint) -> Self {
        Self {
            at,
            id: checkpoint.header.id(),
            height: checkpoint.header.height,
            segments: checkpoint.live.segments().collect(),
        }
    }
}

/// The checkpoints that are kept, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept(Vec<KeptCheckpoint>);

impl Kept {
    /// These, the newest first.
    #[must_use]
    pub const fn of(kept: Vec<KeptCheckpoint>) -> Self {
        Self(kept)
    }

    /// The checkpoints, the newest first.
    #[must_use]
    pub fn checkpoints(&self) -> &[KeptCheckpoint] {
        &self.0
    }

    /// Where their records stand, the newest first.
    #[must_use]
    pub fn positions(&self) -> Vec<Lsn> {
        self.0.iter().map(|kept| kept.at).collect()
    }

    /// Which of them stay beside a new one that uses `live`: the distances from the new one double
    /// from each to the next older, and the oldest go while the log takes much more than is in use.
    #[must_use]
    pub fn beside(&self, height: Height, live: &Live) -> Self {
        let mut kept = self.0.clone();
        let distance = |kept: &KeptCheckpoint| height.0.saturating_sub(kept.height.0).max(1);
        // The new one is the first of the newest.
        let mut at = NEWEST - 1;
        while at + 1 < kept.len() {
            let newer = at.checked_sub(1).map_or(1, |newer| distance(&kept[newer]));
            if distance(&kept[at + 1]) <= newer.saturating_mul(2) {
                kept.remove(at);
            } else {
                at += 1;
            }
        }
        kept.truncate(KEPT_MAX);
        let taken = |kept: &[KeptCheckpoint]| {
            let used = |kept: &KeptCheckpoint| kept.segments.clone();
            let older = kept.iter().flat_map(used).map(|(segment, _)| segment);
            let newest = live.segments().map(|(segment, _)| segment);
            let segments: BTreeSet<u64> = older.chain(newest).collect();
            segments.len() as u64 * live.segment_size()
        };
        // The first segments are seldom full, and a log of fewer than that is no burden.
        let most = (LIVE_TIMES_MAX * live.total()).max(LIVE_TIMES_MAX * live.segment_size());
        while kept.len() >= NEWEST && taken(&kept) > most {
            kept.pop();
        }
        Self(kept)
    }

    /// Adds the newest.
    pub fn add(&mut self, newest: KeptCheckpoint) {
        self.0.insert(0, newest);
    }

    /// Lets those go that may refer to what stands at `damaged`: the log only grows, so that older
    /// ones can't.
    pub fn drop_from(&mut self, damaged: Lsn) {
        self.0.retain(|kept| kept.at < damaged);
    }

    /// The segments of the log that must stay: those in use, and those with the records.
    #[must_use]
    pub fn segments(&self, layout: &Layout) -> BTreeSet<u64> {
        let used = self.0.iter().flat_map(|kept| kept.segments.iter());
        let records = self.0.iter().map(|kept| layout.segment_of(kept.at));
        used.map(|(segment, _)| *segment).chain(records).collect()
    }
}

/// The segments whose pages travel with the next checkpoint of a tree that uses `live`: those
/// written to their end of which less than half is in use, the emptiest first, as many as is done
/// in reasonable time.
#[must_use]
pub(super) fn sparse(live: &Live, layout: &Layout) -> BTreeSet<u64> {
    let writing = layout.segment_of(layout.end());
    let under_half =
        |(segment, bytes): &(u64, u64)| *segment < writing && *bytes < layout.segment_size() / 2;
    let mut sparse: Vec<(u64, u64)> = live.segments().filter(under_half).collect();
    sparse.sort_by_key(|(segment, bytes)| (*bytes, *segment));
    let mut sum = 0;
    let fits = |(_, bytes): &(u64, u64)| {
        sum += bytes;
        sum <= TRAVEL_BYTES_MAX
    };
    let fit = sparse.into_iter().take_while(fits);
    fit.map(|(segment, _)| segment).collect()
}
