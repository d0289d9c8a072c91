//! How many bytes of each segment of the state log are in use.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::Lsn;

/// The bytes that something refers to, segment by segment. Clones share what they have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    segment_size: u64,
    bytes: Arc<BTreeMap<u64, u64>>,
}

impl Live {
    /// Nothing, in a log whose segments have this size.
    #[must_use]
    pub fn new(segment_size: u64) -> Self {
        Self::of(segment_size, BTreeMap::new())
    }

    /// These bytes, by segment.
    #[must_use]
    pub fn of(segment_size: u64, bytes: BTreeMap<u64, u64>) -> Self {
        Self {
            segment_size,
            bytes: Arc::new(bytes),
        }
    }

    /// The segment of a position.
    ///
    /// # Panics
    /// When the log is not known: nothing stands in it then.
    #[must_use]
    pub const fn segment_of(&self, at: Lsn) -> u64 {
        assert!(self.segment_size > 0, "a position is one of a log");
        at.get() / self.segment_size
    }

    /// Counts a record of `size` bytes at `at`.
    pub fn add(&mut self, at: Lsn, size: u64) {
        let segment = self.segment_of(at);
        *Arc::make_mut(&mut self.bytes).entry(segment).or_default() += size;
    }

    /// Counts it no longer. What was never counted, in a log that lies about itself, stays 0.
    pub fn remove(&mut self, at: Lsn, size: u64) {
        let segment = self.segment_of(at);
        let bytes = Arc::make_mut(&mut self.bytes);
        if let Some(live) = bytes.get_mut(&segment) {
            *live = live.saturating_sub(size);
            if *live == 0 {
                bytes.remove(&segment);
            }
        }
    }

    /// The segments in use, with the bytes in use of each.
    pub fn segments(&self) -> impl Iterator<Item = (u64, u64)> {
        self.bytes.iter().map(|(segment, bytes)| (*segment, *bytes))
    }

    /// All bytes in use.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.bytes.values().sum()
    }

    /// The size of the log's segments.
    #[must_use]
    pub const fn segment_size(&self) -> u64 {
        self.segment_size
    }
}
