//! Opening a directory: what survived, what is cut, what is refused.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::append::Store;
use super::disk::{Cause, Disk, DiskError, DiskFile, read_full, write_all};
use super::failure::{Failure, OpenError};
use super::files::Files;
use super::record::{BLOCK_BODY_MIN, HEADER, Header, Kind, Log, Lsn, SegmentStart, TocEntry};
use super::replay::{BadRange, Item, check_known, known_bad, walk_segment};
use super::scan::{Scan, Shape};
use super::superblock::{self, Super, SuperFile};
use super::writer::{End, UNSYNCED_MAX, Writer};

/// The smallest and the largest segment.
const SEGMENT_SIZES: std::ops::RangeInclusive<u64> = 4 << 10..=1 << 30;
/// How much is moved at a time.
const CHUNK: usize = 1 << 20;
/// How many tails that begin at one position are kept.
const QUARANTINE_MAX: u32 = 16;

/// How to open a directory.
#[derive(Clone, Debug)]
pub struct Options {
    /// The chain.
    pub genesis_id: [u8; 32],
    /// A random number, the secret of the directory if it is new.
    pub new_dir_id: u64,
    /// Milliseconds since 1970, for the segments made from now on.
    pub created: u64,
    /// The segment size of each log, by number, for logs that have no segment yet: a multiple of
    /// 4096. A log keeps the size it began with.
    pub segment_sizes: [u64; Log::COUNT],
    /// How many segments the record log keeps.
    pub record_segments: u64,
}

impl Options {
    /// Segments as large as a node in production wants them.
    #[must_use]
    pub fn production(genesis_id: [u8; 32], new_dir_id: u64, created: u64) -> Self {
        Self {
            genesis_id,
            new_dir_id,
            created,
            segment_sizes: [256 << 20, 256 << 20, 64 << 20, 4 << 20, 16 << 20],
            record_segments: 4,
        }
    }

    /// Segments of one size for every log, for devnets and simulations.
    #[must_use]
    pub fn with_segment_size(self, size: u64) -> Self {
        Self {
            segment_sizes: [size; Log::COUNT],
            ..self
        }
    }
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Whether the directory is new.
    pub is_new: bool,
    /// Whether the last process ended as it should.
    pub was_clean: bool,
    /// Whether acknowledged records of the safety log are damaged: the node must not vote.
    pub safety_damaged: bool,
    /// What a person should know.
    pub notices: Vec<Notice>,
}

/// Something a person should know about what opening did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The unacknowledged end of a log was torn, and was cut off.
    Quarantined {
        /// The log.
        log: Log,
        /// Where the cut is.
        at: Lsn,
        /// How many bytes were cut.
        bytes: u64,
        /// The file that keeps them; None when there was no space for it.
        file: Option<String>,
    },
    /// Acknowledged bytes of a log are damaged. They are left as they are.
    Damaged {
        /// The log.
        log: Log,
        /// Which bytes.
        range: BadRange,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quarantined {
                log,
                at,
                bytes,
                file,
            } => {
                let name = log.directory();
                write!(
                    f,
                    "{bytes} bytes that were never acknowledged were cut off {name}/ at {at}"
                )?;
                match file {
                    Some(file) => write!(f, " and kept in {file}"),
                    None => f.write_str(" and not kept, for want of space"),
                }
            }
            Self::Damaged { log, range } => write!(
                f,
                "{}/ is damaged from {} to {}: check the disk; what was there is fetched again \
                 where it can be",
                log.directory(),
                range.from,
                range.to
            ),
        }
    }
}

impl Store {
    /// Opens a directory, or makes a new one.
    pub fn open(disk: Arc<dyn Disk>, options: &Options) -> Result<(Self, Recovered), OpenError> {
        for (log, size) in Log::ALL.into_iter().zip(options.segment_sizes) {
            if !SEGMENT_SIZES.contains(&size) || !size.is_multiple_of(4_096) {
                return Err(OpenError::SegmentSize { log, size });
            }
        }
        let lock = disk.lock()?;
        let (super_file, is_new) = open_super(&*disk, options)?;
        let mut recovered = Recovered {
            is_new,
            was_clean: super_file.now.clean,
            ..Recovered::default()
        };
        let mut found = Vec::new();
        for log in Log::ALL {
            found.push(Found::look(&*disk, &super_file.now, log, options)?);
        }
        let shapes = std::array::from_fn(|log| found[log].shape);
        let files = Arc::new(Files::new(Arc::clone(&disk), shapes));
        let mut store = Self {
            writers: Log::ALL.map(|log| {
                let shape = shapes[log.number()];
                Writer::new(log, shape, options.genesis_id, options.created)
            }),
            files,
            super_next: Super {
                clean: false,
                ..super_file.now
            },
            super_file,
            record_segments: options.record_segments.max(1),
            broken: None,
            _lock: lock,
        };
        // Everything is looked at before anything is changed.
        let mut tails = Vec::new();
        for found in &found {
            tails.push(Tail::find(&store.files, found, &store.super_file.now)?);
        }
        let bad: Vec<_> = tails.iter().map(Tail::new_damage).collect();
        for (found, tail) in found.iter().zip(tails) {
            store.settle(found, tail, &mut recovered)?;
        }
        store.write_super().map_err(refused)?;
        for (log, ranges) in Log::ALL.into_iter().zip(bad) {
            store.note_damage(log, &ranges).map_err(refused)?;
        }
        Ok((store, recovered))
    }

    /// Makes the files of a log agree with what was found, and lets its writer go on there.
    fn settle(
        &mut self,
        found: &Found,
        tail: Tail,
        recovered: &mut Recovered,
    ) -> Result<(), OpenError> {
        let (log, disk) = (found.log, self.files.disk());
        for path in &found.leftovers {
            disk.remove(path)?;
        }
        if !found.leftovers.is_empty() {
            disk.sync_directory(log.directory())?;
        }
        self.super_next.first_segment[log.number()] = found.first;
        let Some(last) = found.last else {
            self.take_ahead(found, 0)?;
            return Ok(());
        };
        let file = self.files.get(log, last)?;
        file.reserve(found.shape.segment_size)?;
        let base = last * found.shape.segment_size;
        if let Some(dirty_to) = tail.dirty_to {
            let at = tail.end.lsn;
            if !log.is_cache() {
                recovered.notices.push(Notice::Quarantined {
                    log,
                    at: Lsn::new(at),
                    bytes: dirty_to - at,
                    file: quarantine(disk, &*file, log, base, at..dirty_to)?,
                });
            }
            zero(&*file, at - base..dirty_to - base)?;
        }
        for range in &tail.damage {
            let (log, range) = (found.log, *range);
            recovered.notices.push(Notice::Damaged { log, range });
        }
        if log == Log::Safety {
            recovered.safety_damaged = tail.was_damaged;
        }
        if !log.is_cache() {
            rewrite(&*file, tail.durable.max(base) - base..tail.end.lsn - base)?;
        }
        let next = if tail.end.in_segment {
            last + 1
        } else {
            tail.end.lsn / found.shape.segment_size
        };
        self.writers[log.number()].resume(&self.files, tail.end, file);
        self.take_ahead(found, next)
    }

    /// Takes over the segments that were made ahead: those from `next` on, as far as they are
    /// whole and without a gap.
    fn take_ahead(&mut self, found: &Found, next: u64) -> Result<(), OpenError> {
        let log = found.log;
        for (wanted, segment) in (next..).zip(&found.ahead) {
            let file = self.files.get(log, *segment)?;
            if *segment != wanted || file.size()? < found.shape.segment_size || log.is_cache() {
                break;
            }
            // All that can have been written to it is a torn first record.
            zero(&*file, 0..4_096)?;
            self.writers[log.number()].add_ahead(file);
        }
        let taken = self.writers[log.number()].segments_ahead();
        let unused = &found.ahead[taken..];
        for segment in unused {
            self.files.disk().remove(&log.path(*segment))?;
        }
        if !unused.is_empty() {
            self.files.forget_from(log, unused[0]);
            self.files.disk().sync_directory(log.directory())?;
        }
        Ok(())
    }
}

fn refused(failure: Failure) -> OpenError {
    match failure {
        Failure::Broken(error) | Failure::Unreadable(error) => OpenError::Disk(error),
        other => OpenError::TooNew(other.to_string()),
    }
}

fn open_super(disk: &dyn Disk, options: &Options) -> Result<(SuperFile, bool), OpenError> {
    let has_super = disk.list("")?.iter().any(|name| name == superblock::PATH);
    if has_super {
        let file = SuperFile::open(disk)?.ok_or(OpenError::NoSuper)?;
        if let Some(what) = file.now.too_new() {
            return Err(OpenError::TooNew(what));
        }
        if file.now.genesis_id != options.genesis_id {
            return Err(OpenError::OtherChain {
                found: file.now.genesis_id,
                wanted: options.genesis_id,
            });
        }
        return Ok((file, false));
    }
    let directories = Log::ALL.map(Log::directory);
    for directory in directories.into_iter().chain(["quarantine"]) {
        disk.make_directory(directory)?;
    }
    disk.sync_directory("")?;
    for log in Log::ALL {
        if disk
            .list(log.directory())?
            .iter()
            .any(|name| name.ends_with(".seg"))
        {
            return Err(OpenError::NoSuper);
        }
    }
    let first = Super::new(options.genesis_id, options.new_dir_id);
    Ok((SuperFile::create(disk, first)?, true))
}

/// The segment files of one log, before anything in them is changed.
struct Found {
    log: Log,
    shape: Shape,
    /// The first segment that is kept.
    first: u64,
    /// The last segment that was written to, if one was.
    last: Option<u64>,
    /// The segments behind it: made ahead, and empty but for a torn first record.
    ahead: Vec<u64>,
    /// Files to be removed: half made, or forgotten.
    leftovers: Vec<String>,
}

impl Found {
    fn look(disk: &dyn Disk, now: &Super, log: Log, options: &Options) -> Result<Self, OpenError> {
        let log_id = now.dir_id ^ log.number() as u64;
        let mut first = now.first_segment[log.number()];
        let mut leftovers = Vec::new();
        let mut segments = Vec::new();
        for name in disk.list(log.directory())? {
            let path = format!("{}/{name}", log.directory());
            match segment_of(&name) {
                Some(segment) if segment >= first => segments.push(segment),
                Some(_) => leftovers.push(path),
                None if name.ends_with(".seg.new") => leftovers.push(path),
                None => {}
            }
        }
        segments.sort_unstable();
        if log.is_cache() {
            first = segments.first().copied().unwrap_or(first).max(first);
        }
        let (mut size, mut fallback) = (None, None);
        let mut last = None;
        for segment in &segments {
            let path = log.path(*segment);
            let file = disk.open(&path)?;
            match read_start(&*file, &path, log, log_id, *segment)? {
                Start::Whole(start) => {
                    size = size.or(Some(start.segment_size));
                    last = Some(*segment);
                }
                Start::Unreadable => last = Some(*segment),
                Start::None => {}
            }
            let file_size = Some(file.size()?).filter(|size| SEGMENT_SIZES.contains(size));
            fallback = fallback.or(file_size);
        }
        let configured = options.segment_sizes[log.number()];
        let size = size.or(fallback).unwrap_or(configured);
        let durable = now.durable[log.number()];
        if durable > 0 && !log.is_cache() {
            // Acknowledged records are there even when their segment's first one is damaged.
            let holds = (durable - 1) / size;
            last = last.max(Some(holds));
            if last == Some(holds) && !segments.contains(&holds) {
                let path = log.path(holds);
                return Err(OpenError::Missing { path });
            }
        }
        let is_ahead = |segment: &u64| last.is_none_or(|last| *segment > last);
        Ok(Self {
            log,
            shape: Shape {
                log_id,
                segment_size: size,
            },
            first,
            last,
            ahead: segments.iter().copied().filter(is_ahead).collect(),
            leftovers,
        })
    }
}

/// The segment that a file of that name holds.
fn segment_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let segment = u64::from_str_radix(digits, 16).ok()?;
    (format!("{segment:08x}") == digits).then_some(segment)
}

/// What stands at the start of a segment.
enum Start {
    Whole(SegmentStart),
    None,
    /// The disk does not say: no reason to take it for empty.
    Unreadable,
}

/// Reads the first record of a segment; an error when it belongs elsewhere.
fn read_start(
    file: &dyn DiskFile,
    path: &str,
    log: Log,
    log_id: u64,
    segment: u64,
) -> Result<Start, OpenError> {
    let mut bytes = [0; SegmentStart::SIZE as usize];
    if read_full(file, 0, &mut bytes).is_err() {
        return Ok(Start::Unreadable);
    }
    let Some((header, _)) = Header::read(&bytes) else {
        return Ok(Start::None);
    };
    let body = &bytes[HEADER..];
    let start = SegmentStart::read(body).filter(|_| crc32c::crc32c(body) == header.body_crc);
    let Some(start) = start else {
        return Ok(Start::None);
    };
    let placed = header.log_id == log_id
        && start.log == log
        && start.index == segment
        && start.index.checked_mul(start.segment_size) == Some(header.lsn)
        && SEGMENT_SIZES.contains(&start.segment_size);
    if placed {
        Ok(Start::Whole(start))
    } else {
        let path = path.to_owned();
        Err(OpenError::Misplaced { path })
    }
}

/// Where a log ends, and what is wrong with it.
struct Tail {
    end: End,
    /// The acknowledged watermark: the records from here to the end were never said to be there.
    durable: u64,
    /// The bytes behind the end up to here are not all zero.
    dirty_to: Option<u64>,
    /// Damage in the last segment, and for the safety log in any.
    damage: Vec<BadRange>,
    /// What the log itself says is damaged.
    known: Vec<BadRange>,
    was_damaged: bool,
}

impl Tail {
    fn new_damage(&self) -> Vec<BadRange> {
        let is_new = |range: &&BadRange| !self.known.iter().any(|known| known.covers(range));
        self.damage.iter().filter(is_new).copied().collect()
    }

    fn find(files: &Files, found: &Found, now: &Super) -> Result<Self, OpenError> {
        let mut tail = Self {
            end: End::default(),
            durable: now.durable[found.log.number()],
            dirty_to: None,
            damage: Vec::new(),
            known: Vec::new(),
            was_damaged: false,
        };
        let Some(last) = found.last else {
            return Ok(tail);
        };
        if found.log == Log::Safety {
            for segment in found.first..last {
                let damage = &mut tail.damage;
                let known = &mut tail.known;
                let see = &mut |item: Item<'_>| match item {
                    Item::Record(_, kind, body) => known.extend(known_bad(kind, body)),
                    Item::Damage(range) => damage.push(range),
                };
                let segment_end = 0..found.shape.segment_size;
                walk_segment(files, found.log, segment, segment_end, None, see).map_err(refused)?;
            }
        }
        tail.walk(files, found, last, now.clean)?;
        tail.was_damaged = !tail.damage.is_empty() || !tail.known.is_empty();
        Ok(tail)
    }

    /// Finds the end in the last segment.
    fn walk(
        &mut self,
        files: &Files,
        found: &Found,
        last: u64,
        clean: bool,
    ) -> Result<(), OpenError> {
        let file = files.get(found.log, last)?;
        let base = last * found.shape.segment_size;
        let mut scan = Scan::new(&*file, found.shape, last);
        // A Pad at the end is half of a seal; it goes with the half that is missing.
        let mut pad: Option<(u64, Option<u32>)> = None;
        while !scan.is_at_end() {
            let link = scan.link();
            if let Some((seen, body)) = scan.step() {
                self.durable = self.durable.max(seen.header.durable);
                let kind = check_known(found.log, &seen.header).map_err(refused)?;
                pad = (kind == Some(Kind::Pad)).then_some((seen.offset, link));
                if let Some(kind) = kind {
                    self.known.extend(known_bad(kind, body));
                    if kind == Kind::Block && body.len() >= BLOCK_BODY_MIN {
                        self.end.toc.push(TocEntry::of_block(body, seen.offset));
                    }
                }
                continue;
            }
            let at = scan.offset();
            let beyond = scan.look_beyond(if clean { 4_096 } else { UNSYNCED_MAX });
            self.durable = self.durable.max(beyond.durable);
            if base + at >= self.durable {
                if let Some(error) = scan.unreadable() {
                    // What can't be read now may be acknowledged: it is not cut.
                    return Err(OpenError::Disk(error));
                }
                self.dirty_to = beyond.end_of_bytes.map(|end| base + end);
                if let Some((offset, link)) = pad.filter(|pad| base + pad.0 >= self.durable) {
                    self.dirty_to = self.dirty_to.max(Some(base + offset + HEADER as u64));
                    scan.go_to(offset);
                    scan.expect_link(link);
                }
                break;
            }
            let next = beyond.header.or_else(|| scan.resync());
            let to = next.map_or(self.durable, |next| self.durable.min(base + next));
            self.damage.push(BadRange {
                from: Lsn::new(base + at),
                to: Lsn::new(to),
            });
            scan.go_to(to - base);
            pad = None;
        }
        self.end.lsn = base + scan.offset();
        self.end.in_segment = !scan.is_at_end();
        self.end.link = scan.link().unwrap_or(0);
        if scan.is_at_end() {
            self.end.toc.clear();
        }
        self.end.durable = if found.log.is_cache() {
            self.durable.min(self.end.lsn)
        } else {
            self.end.lsn
        };
        Ok(())
    }
}

/// Saves what is about to be cut off, and says in which file; None when there is no space.
fn quarantine(
    disk: &dyn Disk,
    file: &dyn DiskFile,
    log: Log,
    base: u64,
    range: Range<u64>,
) -> Result<Option<String>, DiskError> {
    const DIRECTORY: &str = "quarantine";
    let there = disk.list(DIRECTORY)?;
    let name = |number| format!("{}-{:016x}.{number}", log.directory(), range.start);
    let free = (0..QUARANTINE_MAX).find(|number| !there.contains(&name(*number)));
    let Some(number) = free else {
        return Ok(None);
    };
    let path = format!("{DIRECTORY}/{}", name(number));
    let new_path = format!("{path}.new");
    if there.contains(&format!("{}.new", name(number))) {
        disk.remove(&new_path)?;
    }
    let copied = disk.create(&new_path).and_then(|copy| {
        copy.reserve(range.end - range.start)?;
        let mut bytes = vec![0; CHUNK.min((range.end - range.start) as usize)];
        let mut at = range.start;
        while at < range.end {
            let len = bytes.len().min((range.end - at) as usize);
            read_full(file, at - base, &mut bytes[..len])?;
            write_all(&*copy, at - range.start, &bytes[..len])?;
            at += len as u64;
        }
        copy.sync()?;
        disk.rename(&new_path, &path)?;
        disk.sync_directory(DIRECTORY)
    });
    match copied {
        Ok(()) => Ok(Some(path)),
        Err(error) if error.cause == Cause::NoSpace => Ok(None),
        Err(error) => Err(error),
    }
}

/// Zeroes a range, durably, unless it is zero already.
fn zero(file: &dyn DiskFile, range: Range<u64>) -> Result<(), DiskError> {
    let mut bytes = vec![0; CHUNK.min((range.end - range.start) as usize)];
    let mut at = range.start;
    let mut wrote = false;
    while at < range.end {
        let len = bytes.len().min((range.end - at) as usize);
        read_full(file, at, &mut bytes[..len])?;
        if bytes[..len].iter().any(|byte| *byte != 0) {
            bytes.fill(0);
            write_all(file, at, &bytes[..len])?;
            wrote = true;
        }
        at += len as u64;
    }
    if wrote { file.sync() } else { Ok(()) }
}

/// Writes a range again as it is, and makes it durable: after a sync that failed, or the end of a
/// virtual machine, memory may hold good bytes that the disk does not.
fn rewrite(file: &dyn DiskFile, range: Range<u64>) -> Result<(), DiskError> {
    let mut at = range.start;
    while at < range.end {
        let mut bytes = vec![0; CHUNK.min((range.end - at) as usize)];
        read_full(file, at, &mut bytes)?;
        write_all(file, at, &bytes)?;
        at += bytes.len() as u64;
    }
    if range.start < range.end {
        file.sync()?;
    }
    Ok(())
}
