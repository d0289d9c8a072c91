//! Where records will stand that are not written yet.

use super::record::{HEADER, Lsn, SegmentStart, record_size};

/// Where the records of a log stand that are appended next, as long as nothing else is: a pure
/// function of the log's end and of the lengths of the bodies. For logs without a table of
/// contents, so not for the one with the blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Layout {
    segment_size: u64,
    end: u64,
}

impl Layout {
    /// The layout of a log that ends at `end`.
    #[must_use]
    pub const fn new(segment_size: u64, end: Lsn) -> Self {
        Self {
            segment_size,
            end: end.get(),
        }
    }

    /// Where the next record with a body of that length stands; the one after it comes behind it.
    #[must_use]
    pub fn place(&mut self, body_len: usize) -> Lsn {
        let size = record_size(body_len);
        let offset = self.end % self.segment_size;
        // A segment is sealed by a Pad, for whose header there is always room.
        if offset > 0 && offset + size + HEADER as u64 > self.segment_size {
            self.end = self.end.next_multiple_of(self.segment_size);
        }
        if self.end.is_multiple_of(self.segment_size) {
            self.end += SegmentStart::SIZE;
        }
        let at = self.end;
        self.end += size;
        Lsn::new(at)
    }

    /// Where the log ends when everything placed so far is appended, or a little before the next
    /// record.
    #[must_use]
    pub const fn end(&self) -> Lsn {
        Lsn::new(self.end)
    }

    /// The size of the log's segments.
    #[must_use]
    pub const fn segment_size(&self) -> u64 {
        self.segment_size
    }

    /// The segment of a position.
    #[must_use]
    pub const fn segment_of(&self, at: Lsn) -> u64 {
        at.get() / self.segment_size
    }

    /// The first position of a segment.
    #[must_use]
    pub const fn first_of(&self, segment: u64) -> Lsn {
        Lsn::new(segment.saturating_mul(self.segment_size))
    }
}
