//! The end of one log: where the next record goes, and the pieces a group becomes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::disk::{Cause, DiskError, DiskFile, write_all};
use super::files::Files;
use super::record::{
    HEADER, Header, Kind, Log, Lsn, SegmentStart, TocEntry, VERSION, put_record, record_size,
    toc_size, toc_to_bytes,
};
use super::scan::Shape;

/// The most bytes of a log that may be written and not synced. Recovery looks no further than
/// this for what a crash left behind the end.
pub(super) const UNSYNCED_MAX: u64 = 16 << 20;

/// Where the next record of a log goes.
#[derive(Clone, Debug, Default)]
pub(super) struct End {
    /// The position.
    pub(super) lsn: u64,
    /// Whether the segment of that position has begun: false when it is the next to begin.
    pub(super) in_segment: bool,
    /// The checksum of the last header.
    pub(super) link: u32,
    /// How many blocks the segment has.
    pub(super) blocks: usize,
    /// Everything below this is durable.
    pub(super) durable: u64,
}

/// One write.
struct Piece {
    segment: u64,
    offset: u64,
    bytes: Vec<u8>,
    /// Nothing may be written after it before it is durable.
    barrier: bool,
}

/// What a group becomes in one log.
pub(super) struct Plan {
    pieces: Vec<Piece>,
    end: End,
    /// The blocks of the last segment that are in this group.
    toc: Vec<TocEntry>,
    /// Whether that segment begins in this group, too.
    seals: bool,
    /// Where each record starts, in the order given.
    pub(super) lsns: Vec<Lsn>,
    /// How many segments begin.
    pub(super) begins: usize,
}

/// The writing end of one log.
pub(super) struct Writer {
    pub(super) log: Log,
    shape: Shape,
    genesis_id: [u8; 32],
    created: u64,
    pub(super) end: End,
    /// The blocks of the segment, for its table of contents.
    toc: Vec<TocEntry>,
    current: Option<Arc<dyn DiskFile>>,
    /// Segments made ahead, in order, from the one after the current.
    ahead: VecDeque<Arc<dyn DiskFile>>,
    unsynced: u64,
}

impl Writer {
    pub(super) fn new(log: Log, shape: Shape, genesis_id: [u8; 32], created: u64) -> Self {
        Self {
            log,
            shape,
            genesis_id,
            created,
            end: End::default(),
            toc: Vec::new(),
            current: None,
            ahead: VecDeque::new(),
            unsynced: 0,
        }
    }

    /// Goes on where recovery found the end, in a segment unless the next one is to begin.
    pub(super) fn resume(
        &mut self,
        files: &Files,
        end: End,
        toc: Vec<TocEntry>,
        current: Option<Arc<dyn DiskFile>>,
    ) {
        files.publish(self.log, end.lsn);
        self.end = end;
        self.toc = toc;
        self.current = current;
    }

    /// Hands over a segment that was made ahead and is still empty.
    pub(super) fn add_ahead(&mut self, file: Arc<dyn DiskFile>) {
        self.ahead.push_back(file);
    }

    /// The segment the next record goes to, or the one it would begin.
    pub(super) fn segment(&self) -> u64 {
        self.end.lsn / self.shape.segment_size
    }

    /// The longest body that fits into a segment of its own.
    pub(super) fn max_body(&self) -> u64 {
        let kept = SegmentStart::SIZE + HEADER as u64 + self.reserve(1);
        self.shape.segment_size.saturating_sub(kept)
    }

    /// What must stay free so that the segment can be sealed: a Pad, and for blocks a Toc.
    fn reserve(&self, blocks: usize) -> u64 {
        let toc = if self.log == Log::Blocks {
            toc_size(blocks)
        } else {
            0
        };
        HEADER as u64 + toc
    }

    fn fits(&self, end: &End, kind: Kind, body_len: usize) -> bool {
        let blocks = end.blocks + usize::from(kind == Kind::Block);
        let offset = end.lsn % self.shape.segment_size;
        offset + record_size(body_len) + self.reserve(blocks) <= self.shape.segment_size
    }

    fn header(&self, end: &End, kind: Kind) -> Header {
        Header {
            version: VERSION,
            kind: kind.number(),
            flags: 0,
            body_len: 0,
            body_crc: 0,
            lsn: end.lsn,
            log_id: self.shape.log_id,
            durable: end.durable,
            link: end.link,
        }
    }

    /// Lays records out. The caller has checked that each body fits into a segment.
    pub(super) fn plan<'a>(&self, records: impl Iterator<Item = (Kind, &'a [u8])> + Clone) -> Plan {
        let mut plan = Plan {
            pieces: Vec::new(),
            end: self.end.clone(),
            toc: Vec::new(),
            seals: false,
            lsns: Vec::new(),
            begins: 0,
        };
        let (count, room) = records.clone().fold((0, 0), |(count, room), (_, body)| {
            (count + 1, room + record_size(body.len()) as usize)
        });
        plan.lsns.reserve(count);
        let mut bytes = Vec::with_capacity(room);
        let mut start = plan.end.lsn;
        for (kind, body) in records {
            if plan.end.in_segment && !self.fits(&plan.end, kind, body.len()) {
                self.seal(&mut plan, bytes, start);
                (bytes, start) = (Vec::new(), plan.end.lsn);
            }
            if !plan.end.in_segment {
                self.begin(&mut plan);
                start = plan.end.lsn;
            }
            plan.lsns.push(Lsn::new(plan.end.lsn));
            if kind == Kind::Block {
                let offset = plan.end.lsn % self.shape.segment_size;
                plan.toc.push(TocEntry::of_block(body, offset));
                plan.end.blocks += 1;
            }
            plan.end.link = put_record(&mut bytes, self.header(&plan.end, kind), body);
            plan.end.lsn += record_size(body.len());
        }
        self.push(&mut plan, bytes, start, false);
        plan
    }

    fn push(&self, plan: &mut Plan, bytes: Vec<u8>, start: u64, barrier: bool) {
        if !bytes.is_empty() {
            plan.pieces.push(Piece {
                segment: start / self.shape.segment_size,
                offset: start % self.shape.segment_size,
                bytes,
                barrier,
            });
        }
    }

    /// The first record of the next segment. It is durable before anything else is written to
    /// that segment, so that recovery need not search a segment whose first record is not there.
    fn begin(&self, plan: &mut Plan) {
        let start = plan.end.lsn;
        let body = SegmentStart {
            log: self.log,
            index: start / self.shape.segment_size,
            segment_size: self.shape.segment_size,
            genesis_id: self.genesis_id,
            created: self.created,
        };
        let mut bytes = Vec::new();
        let header = self.header(&plan.end, Kind::Segment);
        plan.end.link = put_record(&mut bytes, header, &body.to_bytes());
        plan.end.lsn += SegmentStart::SIZE;
        plan.end.in_segment = true;
        plan.begins += 1;
        let barrier = !self.log.is_cache();
        self.push(plan, bytes, start, barrier);
        if barrier {
            plan.end.durable = plan.end.lsn;
        }
    }

    /// Fills the segment to its last byte: the records so far, a Pad, for blocks a Toc.
    fn seal(&self, plan: &mut Plan, mut bytes: Vec<u8>, start: u64) {
        let size = self.shape.segment_size;
        let segment_end = (plan.end.lsn / size + 1) * size;
        let toc = if self.log == Log::Blocks {
            toc_size(plan.end.blocks)
        } else {
            0
        };
        // Every append left room for the header of a Pad. Its body is there already: what was
        // never written is zero.
        let body_len = segment_end - toc - plan.end.lsn - HEADER as u64;
        let header = Header {
            body_len: u32::try_from(body_len).expect("segments are smaller than 4 GiB"),
            body_crc: crc_of_zeros(body_len),
            ..self.header(&plan.end, Kind::Pad)
        };
        let (header, crc) = header.to_bytes();
        bytes.extend_from_slice(&header);
        plan.end.link = crc;
        plan.end.lsn = segment_end - toc;
        let has_toc = toc > 0;
        let barrier = !self.log.is_cache();
        self.push(plan, bytes, start, barrier && !has_toc);
        if has_toc {
            let start = plan.end.lsn;
            let mut bytes = Vec::new();
            let before: &[TocEntry] = if plan.seals { &[] } else { &self.toc };
            let body = toc_to_bytes([before, &plan.toc].concat());
            plan.end.link = put_record(&mut bytes, self.header(&plan.end, Kind::Toc), &body);
            self.push(plan, bytes, start, true);
        }
        plan.end.lsn = segment_end;
        plan.end.in_segment = false;
        plan.end.blocks = 0;
        plan.toc.clear();
        plan.seals = true;
        if barrier {
            plan.end.durable = segment_end;
        }
    }

    /// Makes sure that `wanted` segments can begin.
    pub(super) fn prepare(&mut self, files: &Files, wanted: usize) -> Result<(), DiskError> {
        let first = self.segment() + u64::from(self.end.in_segment);
        while self.ahead.len() < wanted {
            let segment = first + self.ahead.len() as u64;
            let file = make_segment(files, self.log, segment)?;
            self.ahead.push_back(file);
        }
        Ok(())
    }

    pub(super) fn segments_ahead(&self) -> usize {
        self.ahead.len()
    }

    /// Writes what was planned. After an error the store is of no more use.
    pub(super) fn write(&mut self, files: &Files, plan: Plan) -> Result<Vec<Lsn>, DiskError> {
        for piece in &plan.pieces {
            if piece.offset == 0 {
                let file = self.ahead.pop_front().expect("a segment was made ahead");
                files.put(self.log, piece.segment, &file);
                self.current = Some(file);
                self.unsynced = 0;
            }
            let file = self.current.clone().expect("a segment has begun");
            let mut offset = piece.offset;
            for part in piece.bytes.chunks(UNSYNCED_MAX as usize / 2) {
                if self.unsynced + part.len() as u64 > UNSYNCED_MAX && !self.log.is_cache() {
                    file.sync()?;
                    self.unsynced = 0;
                }
                write_all(&*file, offset, part)?;
                offset += part.len() as u64;
                self.unsynced += part.len() as u64;
            }
            if piece.barrier {
                file.sync()?;
                self.unsynced = 0;
            }
        }
        if plan.seals {
            self.toc.clear();
        }
        self.toc.extend(plan.toc);
        self.end = plan.end;
        files.publish(self.log, self.end.lsn);
        Ok(plan.lsns)
    }

    /// Makes everything written durable.
    pub(super) fn sync(&mut self) -> Result<(), DiskError> {
        if self.unsynced > 0
            && let Some(file) = &self.current
        {
            file.sync()?;
            self.unsynced = 0;
        }
        self.end.durable = self.end.lsn;
        Ok(())
    }
}

/// Makes the file of a segment, whole and durable before it has its name.
fn make_segment(files: &Files, log: Log, segment: u64) -> Result<Arc<dyn DiskFile>, DiskError> {
    let disk = files.disk();
    let path = log.path(segment);
    let new_path = format!("{path}.new");
    let file = match disk.create(&new_path) {
        Err(error) if error.cause == Cause::Exists => {
            disk.remove(&new_path)?;
            disk.create(&new_path)?
        }
        other => other?,
    };
    let made = file
        .reserve(files.shape(log).segment_size)
        .and_then(|()| file.sync())
        .and_then(|()| disk.rename(&new_path, &path));
    if let Err(error) = made {
        // A file that found no room may have taken all there was. What can't be removed now, the
        // next try or the next start does.
        let _ = disk.remove(&new_path);
        return Err(error);
    }
    disk.sync_directory(log.directory())?;
    disk.open(&path)
}

/// The checksum of that many zeros.
fn crc_of_zeros(len: u64) -> u32 {
    const ZEROS: [u8; 4_096] = [0; 4_096];
    let mut crc = 0;
    let mut left = len as usize;
    while left > 0 {
        let part = left.min(ZEROS.len());
        crc = crc32c::crc32c_append(crc, &ZEROS[..part]);
        left -= part;
    }
    crc
}
