//! Opening a directory: what survived, what is cut, what is refused.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::append::Store;
use super::disk::{Cause, Disk, DiskError, DiskFile, read_full, write_all};
use super::ends::{Found, Tail, refused};
use super::failure::OpenError;
use super::files::Files;
use super::record::{Log, Lsn};
use super::replay::BadRange;
use super::superblock::{self, Super, SuperFile};
use super::writer::Writer;

/// The smallest and the largest segment.
const SEGMENT_SIZES: std::ops::RangeInclusive<u64> = 4 << 10..=1 << 30;

/// Whether segments may be that long.
pub(super) fn is_segment_size(size: u64) -> bool {
    SEGMENT_SIZES.contains(&size) && size.is_multiple_of(4_096)
}

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
    /// Segments as large as a node in production wants them; the journal's small, because a start
    /// reads what is kept of it.
    #[must_use]
    pub fn production(genesis_id: [u8; 32], new_dir_id: u64, created: u64) -> Self {
        Self {
            genesis_id,
            new_dir_id,
            created,
            segment_sizes: [256 << 20, 256 << 20, 16 << 20, 4 << 20, 16 << 20],
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
    /// The last segment of a log that can be made again is not there any more.
    Lost {
        /// The log.
        log: Log,
        /// The file.
        path: String,
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
            Self::Lost { log, path } => write!(
                f,
                "{path} is gone, which held acknowledged records: check the disk; what was in \
                 {}/ is made again from the blocks, by executing them from the newest checkpoint \
                 that is whole or from the genesis block",
                log.directory()
            ),
        }
    }
}

impl Store {
    /// Opens a directory, or makes a new one.
    pub fn open(disk: Arc<dyn Disk>, options: &Options) -> Result<(Self, Recovered), OpenError> {
        for (log, size) in Log::ALL.into_iter().zip(options.segment_sizes) {
            if !is_segment_size(size) {
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
            was_clean: is_new || recovered.was_clean,
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
        if found.lacks_directory {
            disk.make_directory(log.directory())?;
            disk.sync_directory("")?;
        }
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
        if found.is_lost {
            let path = log.path(last);
            recovered.notices.push(Notice::Lost { log, path });
            self.writers[log.number()].resume(&self.files, tail.end, tail.toc, None);
            return self.take_ahead(found, last + 1);
        }
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
        self.writers[log.number()].resume(&self.files, tail.end, tail.toc, Some(file));
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

fn open_super(disk: &dyn Disk, options: &Options) -> Result<(SuperFile, bool), OpenError> {
    let has_super = disk.list("")?.iter().any(|name| name == superblock::PATH);
    if has_super {
        let file = SuperFile::open(disk)?.ok_or(OpenError::BadSuper)?;
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
    let copy_to = |copy: &dyn DiskFile| {
        copy.reserve(range.end - range.start)?;
        let mut bytes = vec![0; CHUNK.min((range.end - range.start) as usize)];
        let mut at = range.start;
        while at < range.end {
            let len = bytes.len().min((range.end - at) as usize);
            read_full(file, at - base, &mut bytes[..len])?;
            write_all(copy, at - range.start, &bytes[..len])?;
            at += len as u64;
        }
        copy.sync()?;
        disk.rename(&new_path, &path)
    };
    let copied = disk.create(&new_path).and_then(|copy| {
        copy_to(&*copy).inspect_err(|_| {
            // Half a copy keeps nothing but space. What can't be removed now, the next does.
            let _ = disk.remove(&new_path);
        })?;
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
