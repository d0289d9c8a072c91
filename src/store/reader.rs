//! Reading single records while the writer goes on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::disk::{Cause, DiskError, DiskFile, read_full};
use super::files::Files;
use super::record::{HEADER, Header, Kind, Log, Lsn, TocEntry, VERSION, toc_from_bytes, toc_size};
use super::scan::{FRONT, Scan};

/// What is read at first: most records fit.
const FIRST_READ: usize = 4_096;

/// A record that was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is.
    pub kind: Kind,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// Why a record could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Its segment is not there: forgotten, or never written.
    Gone,
    /// No record stands there whole: it is damaged, or none was written.
    Damaged,
    /// Newer code wrote it.
    TooNew,
    /// The disk failed.
    Disk(DiskError),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the segment of the record is no longer kept"),
            Self::Damaged => f.write_str("no whole record stands there"),
            Self::TooNew => f.write_str("a newer version wrote the record"),
            Self::Disk(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<DiskError> for ReadError {
    fn from(error: DiskError) -> Self {
        match error.cause {
            Cause::NotFound => Self::Gone,
            _ => Self::Disk(error),
        }
    }
}

/// Reads records by position. Clones are cheap and go to other threads.
#[derive(Clone)]
pub struct Reader {
    files: Arc<Files>,
    /// Segments of one log that stay readable for as long as this reader is there.
    held: Option<Arc<Held>>,
}

type Held = (Log, BTreeMap<u64, Arc<dyn DiskFile>>);

impl Reader {
    pub(super) fn new(files: Arc<Files>) -> Self {
        Self { files, held: None }
    }

    /// A reader that holds segments of a log: what stands in them can be read for as long as it or
    /// a clone of it is there, even when they are dropped.
    pub fn holding(
        &self,
        log: Log,
        segments: impl Iterator<Item = u64>,
    ) -> Result<Self, ReadError> {
        let mut held = BTreeMap::new();
        for segment in segments {
            held.insert(segment, self.file(log, segment)?);
        }
        Ok(Self {
            files: Arc::clone(&self.files),
            held: Some(Arc::new((log, held))),
        })
    }

    fn file(&self, log: Log, segment: u64) -> Result<Arc<dyn DiskFile>, DiskError> {
        let held = self.held.as_deref().filter(|held| held.0 == log);
        match held.and_then(|(_, held)| held.get(&segment)) {
            Some(file) => Ok(Arc::clone(file)),
            None => self.files.get(log, segment),
        }
    }

    /// Shows the records of a log that begin in the `bytes` from `from` on, as far as its segment
    /// goes, without the kinds that the store writes for itself; damage is passed over. `from` is
    /// the position of a record or of a segment's begin. Gives where to go on; none at the end of
    /// the segment or of the log.
    pub fn walk(
        &self,
        log: Log,
        from: Lsn,
        bytes: u64,
        mut see: impl FnMut(Lsn, Kind, &[u8]),
    ) -> Result<Option<Lsn>, ReadError> {
        let shape = self.files.shape(log);
        let (segment, offset) = split(from, shape.segment_size);
        let base = from.get() - offset;
        let end = self
            .files
            .end(log)
            .saturating_sub(base)
            .min(shape.segment_size);
        let file = self.file(log, segment)?;
        let mut scan = Scan::new(&*file, shape, segment);
        scan.go_to(offset);
        while scan.offset() < end {
            if scan.offset() - offset >= bytes {
                return Ok(Some(Lsn::new(base + scan.offset())));
            }
            match scan.step() {
                Some((seen, body)) => match Kind::from_number(seen.header.kind) {
                    Some(kind) if seen.header.version == VERSION && !kind.is_internal() => {
                        see(Lsn::new(seen.header.lsn), kind, body);
                    }
                    _ => {}
                },
                None => match scan.resync() {
                    Some(next) => scan.go_to(next),
                    None => break,
                },
            }
        }
        Ok(None)
    }

    /// The record at a position, both its checksums verified. A bad sector is an error.
    pub fn read(&self, log: Log, at: Lsn) -> Result<Record, ReadError> {
        self.expect_written(log, at)?;
        let shape = self.files.shape(log);
        let (segment, offset) = split(at, shape.segment_size);
        let file = self.file(log, segment)?;
        let room = (shape.segment_size - offset) as usize;
        let mut bytes = vec![0; FIRST_READ.min(room)];
        let count = read_full(&*file, offset, &mut bytes)?;
        bytes.truncate(count);
        let header = self.header(log, at, &bytes)?;
        let end = HEADER + header.body_len as usize;
        if end > bytes.len() {
            let have = bytes.len();
            bytes.resize(end, 0);
            read_full(&*file, offset + have as u64, &mut bytes[have..])?;
        }
        bytes.truncate(end);
        bytes.drain(..HEADER);
        let kind = verify(&header, &bytes)?;
        Ok(Record { kind, body: bytes })
    }

    /// The kind of the record at a position and the front of its body: a block's id, work and
    /// header, and any record of a few numbers whole. A body that ends there is verified, of a
    /// longer one nothing is but the record's header. A bad sector is an error.
    pub fn front(&self, log: Log, at: Lsn) -> Result<Record, ReadError> {
        self.expect_written(log, at)?;
        let shape = self.files.shape(log);
        let (segment, offset) = split(at, shape.segment_size);
        let file = self.file(log, segment)?;
        let room = (shape.segment_size - offset) as usize;
        let mut bytes = vec![0; (HEADER + FRONT).min(room)];
        let count = read_full(&*file, offset, &mut bytes)?;
        bytes.truncate(count);
        let header = self.header(log, at, &bytes)?;
        let is_whole = HEADER + header.body_len as usize <= bytes.len();
        bytes.truncate(HEADER + header.body_len as usize);
        bytes.drain(..HEADER);
        let kind = if is_whole {
            verify(&header, &bytes)?
        } else {
            known_kind(&header)?
        };
        Ok(Record { kind, body: bytes })
    }

    /// Shows the record at a position without copying it, where the disk can give its bytes as
    /// memory. A bad sector under them ends the process: what must survive one uses
    /// [`read`](Self::read).
    pub fn view<T>(
        &self,
        log: Log,
        at: Lsn,
        show: impl FnOnce(Kind, &[u8]) -> T,
    ) -> Result<T, ReadError> {
        self.expect_written(log, at)?;
        let (segment, offset) = split(at, self.files.shape(log).segment_size);
        let file = self.file(log, segment)?;
        let Some(bytes) = file.view(offset, HEADER) else {
            let record = self.read(log, at)?;
            return Ok(show(record.kind, &record.body));
        };
        let header = self.header(log, at, bytes)?;
        let body = file.view(offset + HEADER as u64, header.body_len as usize);
        let body = body.ok_or(ReadError::Damaged)?;
        Ok(show(verify(&header, body)?, body))
    }

    /// The blocks of a sealed segment, by id; None when it has no whole table of contents, which
    /// is so before it is sealed.
    pub fn toc(&self, segment: u64) -> Result<Option<Vec<TocEntry>>, ReadError> {
        let shape = self.files.shape(Log::Blocks);
        let file = self.files.get(Log::Blocks, segment)?;
        // It ends with the segment, and only its length says where it starts. In a segment that is
        // not sealed zeros stand there; even a Toc of no blocks has its header in the last bytes.
        let mut last = [0; toc_size(0) as usize];
        read_full(&*file, shape.segment_size - toc_size(0), &mut last)?;
        if last.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let mut start = shape.segment_size;
        loop {
            let step = start.min((FIRST_READ as u64).max(bytes.len() as u64));
            if step == 0 {
                return Ok(None);
            }
            start -= step;
            let mut more = vec![0; step as usize];
            read_full(&*file, start, &mut more)?;
            more.append(&mut bytes);
            bytes = more;
            let searched = (step as usize + HEADER).min(bytes.len());
            for at in (0..searched).step_by(8).rev() {
                let lsn = Lsn::new(segment * shape.segment_size + start + at as u64);
                let Ok(header) = self.header(Log::Blocks, lsn, &bytes[at..]) else {
                    continue;
                };
                if header.kind != Kind::Toc.number() {
                    return Ok(None);
                }
                let body = HEADER + header.body_len as usize;
                let body = bytes[at..].get(HEADER..body).ok_or(ReadError::Damaged)?;
                verify(&header, body)?;
                return Ok(toc_from_bytes(body));
            }
        }
    }

    /// Nobody looks at bytes that may still change.
    fn expect_written(&self, log: Log, at: Lsn) -> Result<(), ReadError> {
        if at.get().saturating_add(HEADER as u64) <= self.files.end(log) {
            Ok(())
        } else {
            Err(ReadError::Gone)
        }
    }

    /// The header that stands at `at`, whose bytes those are.
    fn header(&self, log: Log, at: Lsn, bytes: &[u8]) -> Result<Header, ReadError> {
        let shape = self.files.shape(log);
        let (header, _) = Header::read(bytes).ok_or(ReadError::Damaged)?;
        let (_, offset) = split(at, shape.segment_size);
        let ours = header.lsn == at.get()
            && header.log_id == shape.log_id
            && offset + header.size() <= shape.segment_size
            && at.get() + header.size() <= self.files.end(log);
        if ours {
            Ok(header)
        } else {
            Err(ReadError::Damaged)
        }
    }
}

fn split(at: Lsn, segment_size: u64) -> (u64, u64) {
    (at.get() / segment_size, at.get() % segment_size)
}

fn verify(header: &Header, body: &[u8]) -> Result<Kind, ReadError> {
    if crc32c::crc32c(body) != header.body_crc {
        return Err(ReadError::Damaged);
    }
    known_kind(header)
}

fn known_kind(header: &Header) -> Result<Kind, ReadError> {
    match Kind::from_number(header.kind) {
        Some(kind) if header.version == VERSION => Ok(kind),
        _ => Err(ReadError::TooNew),
    }
}
