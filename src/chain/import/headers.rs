//! Headers of the best chain for peers that ask for them.
//!
//! *Owns* nothing. *Invariants*: those of blocks in memory are at hand; of old blocks nothing is
//! read here but where they stand, because thousands of reads take longer than an event of the node
//! may. *Never* tells of a header without those below it.

use crate::store::Lsn;
use crate::types::{BlockId, Header, Height};

use super::{Chain, FrontSource};

/// Headers that follow each other, of which the old ones have to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadersAfter {
    /// The height of the first.
    first: Height,
    /// Where the old ones stand.
    old: Vec<Lsn>,
    /// Those above them, which are in memory.
    newer: Vec<Header>,
}

/// An old header that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UnreadableHeader {
    /// Where the block stands.
    pub at: Lsn,
    /// Its height.
    pub height: Height,
    /// How many of those below it were asked for, and read.
    pub read: u32,
}

impl HeadersAfter {
    /// The headers, if all of them are in memory.
    pub fn at_hand(self) -> Result<Vec<Header>, Self> {
        match self.old.is_empty() {
            true => Ok(self.newer),
            false => Err(self),
        }
    }

    /// How many of them have to be read.
    #[must_use]
    pub const fn to_read(&self) -> usize {
        self.old.len()
    }

    /// The headers, as far as the old ones can be read.
    #[must_use]
    pub fn read(mut self, source: &dyn FrontSource) -> (Vec<Header>, Option<UnreadableHeader>) {
        let mut headers = Vec::with_capacity(self.old.len() + self.newer.len());
        for (height, at) in (self.first.0..).zip(std::mem::take(&mut self.old)) {
            let front = source.front(at);
            let Some(front) = front.filter(|front| front.header.height.0 == height) else {
                let (height, read) = (Height(height), headers.len() as u32);
                let unreadable = UnreadableHeader { at, height, read };
                return (headers, Some(unreadable));
            };
            headers.push(front.header);
        }
        headers.extend(self.newer);
        (headers, None)
    }
}

impl Chain {
    /// Headers of the best chain after the first id of `locator` that is in it, up to `stop` and
    /// at most `limit`.
    #[must_use]
    pub fn headers_after(&self, locator: &[BlockId], stop: &BlockId, limit: usize) -> HeadersAfter {
        let fork = locator.iter().find(|id| self.in_best_chain(id));
        let below = fork.and_then(|id| self.tree.height(id));
        let first = below.unwrap_or(Height::GENESIS).next();
        // Nothing beyond what is told of is looked up: a request of a few bytes costs what its
        // answer does.
        let stop = Some(stop).filter(|stop| self.in_best_chain(stop));
        let stop = stop.and_then(|stop| self.tree.height(stop));
        let stop = stop.filter(|height| *height >= first);
        let last = stop.map_or(self.top(), |height| height.0);
        let end = last.min(first.0.saturating_add(limit as u64) - 1);
        let logged = self.tree.logged_len();
        let mut after = HeadersAfter {
            first,
            ..HeadersAfter::default()
        };
        for height in first.0..logged.min(end.saturating_add(1)) {
            // Where a record is damaged, the rest is told of when it is here again.
            let Some(at) = self.tree.readable_at(Height(height)) else {
                return after;
            };
            after.old.push(at);
        }
        for height in first.0.max(logged)..=end {
            after.newer.extend(self.header_at(Height(height)));
        }
        after
    }

    /// A header of the best chain could not be read.
    pub fn header_unreadable(&mut self, unreadable: UnreadableHeader) {
        self.tree
            .header_unreadable(unreadable.at, unreadable.height);
    }
}
