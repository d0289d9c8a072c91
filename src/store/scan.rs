//! Reading records in order, and finding the next one behind damage.

use super::disk::{DiskError, DiskFile, read_full};
use super::record::{HEADER, Header, Kind, SegmentStart};

/// How much is read at a time.
const CHUNK: usize = 256 << 10;
/// What is read by itself when a chunk can't be read whole.
const SECTOR: usize = 4_096;
/// How much of a body is shown where bodies are not read: a block's id, work and header, whatever
/// its engine, and any record of a few numbers whole.
pub(super) const FRONT: usize = 464;
/// Where the records passed over are longer than this on average, each front is read by itself:
/// to read on would copy more bytes than another call costs.
const SPARSE: u64 = 8 << 10;
/// How far back from a position the record is searched that ends there: pages, inputs and
/// checkpoints are shorter.
const LAST_MAX: u64 = 4 << 20;

/// What a segment's records must agree with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) log_id: u64,
    pub(super) segment_size: u64,
}

/// A window over a file that moves forward.
struct Window<'a> {
    file: &'a dyn DiskFile,
    size: u64,
    start: u64,
    bytes: Vec<u8>,
    /// Where the last sector ends that can't be read, and why.
    unreadable: Option<(u64, DiskError)>,
}

impl Window<'_> {
    /// The bytes at `offset`, zero where the file has none or can't be read.
    fn get(&mut self, offset: u64, len: usize) -> &[u8] {
        self.get_with(offset, len, CHUNK)
    }

    /// The same; when the disk must be asked, for so many bytes.
    fn get_with(&mut self, offset: u64, len: usize, ahead: usize) -> &[u8] {
        let held = self.start..self.start + self.bytes.len() as u64;
        if offset < held.start || offset + len as u64 > held.end {
            // A file that lost its end is zero where it should have more.
            let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
            let want = ahead.min(left).max(len);
            self.bytes.clear();
            self.bytes.resize(want, 0);
            self.start = offset;
            if read_full(self.file, offset, &mut self.bytes).is_err() {
                self.read_by_sectors();
            }
        }
        let at = (offset - self.start) as usize;
        &self.bytes[at..at + len]
    }

    /// One bad sector must not hide its neighbours.
    fn read_by_sectors(&mut self) {
        for (index, sector) in self.bytes.chunks_mut(SECTOR).enumerate() {
            let offset = self.start + (index * SECTOR) as u64;
            if let Err(error) = read_full(self.file, offset, sector) {
                sector.fill(0);
                let end = offset + sector.len() as u64;
                if self.unreadable.as_ref().is_none_or(|last| last.0 < end) {
                    self.unreadable = Some((end, error));
                }
            }
        }
    }
}

/// Walks one segment.
pub(super) struct Scan<'a> {
    window: Window<'a>,
    shape: Shape,
    /// The position of the segment's first byte.
    base: u64,
    /// The offset of the next record.
    at: u64,
    /// The checksum the next header must link to, where it is known.
    link: Option<u32>,
    /// How long the records passed over by their headers were, the last eight or so on average.
    skimmed: u64,
}

/// A record that passed every check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) header: Header,
    /// Where in the segment it starts.
    pub(super) offset: u64,
}

/// What stands behind the place where a scan stopped.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beyond {
    /// The offset of the first header of this log.
    pub(super) header: Option<u64>,
    /// The greatest durable position any header of this log says.
    pub(super) durable: u64,
    /// The offset behind the last byte that is not zero.
    pub(super) end_of_bytes: Option<u64>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(file: &'a dyn DiskFile, shape: Shape, index: u64) -> Self {
        Self {
            window: Window {
                file,
                size: shape.segment_size,
                start: 0,
                bytes: Vec::new(),
                unreadable: None,
            },
            shape,
            base: index * shape.segment_size,
            at: 0,
            link: None,
            skimmed: 0,
        }
    }

    pub(super) fn offset(&self) -> u64 {
        self.at
    }

    /// Goes to a record's start; what it links to is not known there.
    pub(super) fn go_to(&mut self, offset: u64) {
        self.at = offset;
        self.link = None;
    }

    pub(super) fn expect_link(&mut self, link: Option<u32>) {
        self.link = link;
    }

    pub(super) fn link(&self) -> Option<u32> {
        self.link
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.shape.segment_size
    }

    /// Why bytes from the next record on were taken for zeros, if the disk would not give some.
    pub(super) fn unreadable(&self) -> Option<DiskError> {
        let (end, error) = self.window.unreadable.as_ref()?;
        (*end > self.at).then(|| error.clone())
    }

    /// The header of this log at `offset`, if one stands there, whatever its body holds.
    fn header_at(&mut self, offset: u64) -> Option<(Header, u32)> {
        if offset + HEADER as u64 > self.shape.segment_size {
            return None;
        }
        let (header, crc) = Header::read(self.window.get(offset, HEADER))?;
        let ours = header.log_id == self.shape.log_id
            && header.lsn == self.base + offset
            && header.durable <= header.lsn
            && offset + header.size() <= self.shape.segment_size;
        ours.then_some((header, crc))
    }

    /// The next record, if all of it is right; the scan then stands behind it.
    pub(super) fn step(&mut self) -> Option<(Seen, &[u8])> {
        let offset = self.at;
        let (header, crc) = self.header_at(offset)?;
        if self.link.is_some_and(|link| link != header.link) {
            return None;
        }
        // A Pad's body says nothing, so that damage in it costs nothing.
        let is_pad = header.kind == Kind::Pad.number();
        let len = if is_pad { 0 } else { header.body_len as usize };
        let body = self.window.get(offset + HEADER as u64, len);
        if !is_pad && crc32c::crc32c(body) != header.body_crc {
            return None;
        }
        let is_start = header.kind == Kind::Segment.number();
        if is_start != (offset == 0) {
            return None;
        }
        self.at = offset + header.size();
        self.link = Some(crc);
        let seen = Seen { header, offset };
        let body = self.window.get(offset + HEADER as u64, len);
        Some((seen, body))
    }

    /// The next record by its header alone, with the front of its body; the scan then stands
    /// behind it. A body that the front holds whole is checked, of a longer one nothing is.
    pub(super) fn skim(&mut self) -> Option<(Seen, &[u8])> {
        let offset = self.at;
        let room = self.shape.segment_size - offset;
        let len = (HEADER + FRONT).min(room as usize);
        let room_for_body = len.checked_sub(HEADER)?;
        let ahead = if self.skimmed > SPARSE { len } else { CHUNK };
        self.window.get_with(offset, len, ahead);
        let (header, crc) = self.header_at(offset)?;
        if self.link.is_some_and(|link| link != header.link) {
            return None;
        }
        let is_start = header.kind == Kind::Segment.number();
        if is_start != (offset == 0) {
            return None;
        }
        let is_pad = header.kind == Kind::Pad.number();
        let shown = (header.body_len as usize).min(room_for_body);
        let front = self.window.get(offset + HEADER as u64, shown);
        let is_whole = shown == header.body_len as usize;
        if is_whole && !is_pad && crc32c::crc32c(front) != header.body_crc {
            return None;
        }
        self.at = offset + header.size();
        self.link = Some(crc);
        self.skimmed = (self.skimmed * 7 + header.size()) / 8;
        let seen = Seen { header, offset };
        Some((seen, self.window.get(offset + HEADER as u64, shown)))
    }

    /// Goes to the record that ends at an offset, if it is found: then nothing before it is read.
    pub(super) fn go_to_last_before(&mut self, end: u64) -> bool {
        let Some(mut searched) = end.checked_sub(HEADER as u64) else {
            return false;
        };
        let mut len = SECTOR as u64;
        loop {
            let start = end.saturating_sub(len);
            self.window.get_with(start, (end - start) as usize, 0);
            let offsets = (start / 8..=searched / 8).rev().map(|eighth| eighth * 8);
            for offset in offsets {
                let header = self.header_at(offset);
                if header.is_some_and(|(header, _)| offset + header.size() == end) {
                    self.go_to(offset);
                    return true;
                }
            }
            if start == 0 || len >= LAST_MAX {
                return false;
            }
            (searched, len) = (start, len * 2);
        }
    }

    /// Where the next header may stand when [`step`](Self::step) refused this one. A header that
    /// is right says how long its damaged body is.
    fn behind(&mut self) -> u64 {
        match self.header_at(self.at) {
            Some((header, _)) if header.kind != Kind::Segment.number() => self.at + header.size(),
            _ if self.at == 0 => SegmentStart::SIZE.min(self.shape.segment_size),
            _ => self.at + 8,
        }
    }

    /// The offset of the first header behind the record that was refused.
    pub(super) fn resync(&mut self) -> Option<u64> {
        let mut offset = self.behind();
        while offset + HEADER as u64 <= self.shape.segment_size {
            if self.is_zero(offset) {
                offset = (offset + 1).next_multiple_of(SECTOR as u64);
                continue;
            }
            if self.header_at(offset).is_some() {
                return Some(offset);
            }
            offset += 8;
        }
        None
    }

    /// Looks at what stands from the refused record on, until `quiet` bytes in a row are zero.
    pub(super) fn look_beyond(&mut self, quiet: u64) -> Beyond {
        let behind = self.behind();
        let mut beyond = Beyond::default();
        let (mut offset, mut last) = (self.at, self.at);
        while offset < self.shape.segment_size && offset - last < quiet {
            if self.is_zero(offset) {
                offset = (offset + 1).next_multiple_of(SECTOR as u64);
                continue;
            }
            let bytes = self.window.get(offset, 8);
            if let Some(place) = bytes.iter().rposition(|byte| *byte != 0) {
                last = offset + place as u64 + 1;
                beyond.end_of_bytes = Some(last);
                if offset >= behind
                    && let Some((header, _)) = self.header_at(offset)
                {
                    beyond.header.get_or_insert(offset);
                    beyond.durable = beyond.durable.max(header.durable);
                }
            }
            offset += 8;
        }
        beyond
    }

    /// Whether the sector that begins at `offset` is all zeros; false within a sector.
    fn is_zero(&mut self, offset: u64) -> bool {
        const ZEROS: [u8; SECTOR] = [0; SECTOR];
        if !offset.is_multiple_of(SECTOR as u64) {
            return false;
        }
        let len = (self.shape.segment_size - offset).min(SECTOR as u64) as usize;
        self.window.get(offset, len) == &ZEROS[..len]
    }
}
