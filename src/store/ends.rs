//! Finding where each log ends, without changing anything.

use super::disk::{Cause, Disk, DiskError, DiskFile, read_full};
use super::failure::{Failure, OpenError};
use super::files::Files;
use super::record::{BLOCK_BODY_MIN, HEADER, Header, Kind, Log, Lsn, SegmentStart, TocEntry};
use super::recovery::{Options, is_segment_size};
use super::replay::{BadRange, Item, Look, check_known, known_bad, walk_segment};
use super::scan::{Scan, Shape};
use super::superblock::Super;
use super::writer::{End, UNSYNCED_MAX};

/// The segment files of one log, before anything in them is changed.
pub(super) struct Found {
    pub(super) log: Log,
    pub(super) shape: Shape,
    /// The first segment that is kept.
    pub(super) first: u64,
    /// The last segment that was written to, if one was.
    pub(super) last: Option<u64>,
    /// Whether the file of that one is not there any more: a log that can be made again goes on
    /// behind it.
    pub(super) is_lost: bool,
    /// Whether not even the directory is there.
    pub(super) lacks_directory: bool,
    /// Why it is not known whether the last segment was written to, if the disk would not say.
    unread: Option<DiskError>,
    /// The segments behind it: made ahead, and empty but for a torn first record.
    pub(super) ahead: Vec<u64>,
    /// Files to be removed: half made, forgotten, or of a cache and not where they belong.
    pub(super) leftovers: Vec<String>,
}

impl Found {
    pub(super) fn look(
        disk: &dyn Disk,
        now: &Super,
        log: Log,
        options: &Options,
    ) -> Result<Self, OpenError> {
        let log_id = now.dir_id ^ log.number() as u64;
        let mut first = now.first_segment[log.number()];
        let mut leftovers = Vec::new();
        let mut segments = Vec::new();
        let names = match disk.list(log.directory()) {
            Err(error) if error.cause == Cause::NotFound && log.is_derived() => None,
            names => Some(names?),
        };
        let lacks_directory = names.is_none();
        for name in names.unwrap_or_default() {
            let path = format!("{}/{name}", log.directory());
            match segment_of(&name) {
                Some(segment) if segment >= first => segments.push(segment),
                Some(_) => leftovers.push(path),
                None if name.ends_with(".seg.new") => leftovers.push(path),
                None => {}
            }
        }
        segments.sort_unstable();
        let found = std::mem::take(&mut segments);
        let (mut size, mut longest) = (None, None);
        let (mut last, mut unread) = (None, None);
        for segment in found {
            let path = log.path(segment);
            let file = disk.open(&path)?;
            match read_start(&*file, &path, log, log_id, segment) {
                Ok(Start::Whole(start)) => {
                    size = size.or(Some(start.segment_size));
                    (last, unread) = (Some(segment), None);
                }
                Ok(Start::Unreadable(error)) => (last, unread) = (Some(segment), Some(error)),
                Ok(Start::None) => {}
                // What is of use to nobody here keeps no node from starting.
                Err(OpenError::Misplaced { path }) if log.is_cache() => {
                    leftovers.push(path);
                    continue;
                }
                Err(error) => return Err(error),
            }
            segments.push(segment);
            longest = longest.max(Some(file.size()?).filter(|size| is_segment_size(*size)));
        }
        if log.is_cache() {
            first = segments.first().copied().unwrap_or(first).max(first);
        }
        let configured = options.segment_sizes[log.number()];
        // Where no segment says how long it is, the files do: all have one size from the beginning,
        // but one may have lost its end. Of a single one the size does not matter yet.
        let several = longest.filter(|longest| segments.len() > 1 || *longest > configured);
        let size = size.or(several).unwrap_or(configured);
        let durable = now.durable[log.number()];
        let mut is_lost = false;
        if durable > 0 && !log.is_cache() {
            // Acknowledged records are there even when their segment's first one is damaged.
            let holds = (durable - 1) / size;
            last = last.max(Some(holds));
            is_lost = last == Some(holds) && !segments.contains(&holds);
            if is_lost && !log.is_derived() {
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
            is_lost,
            lacks_directory,
            unread,
            ahead: segments.iter().copied().filter(is_ahead).collect(),
            leftovers,
        })
    }
}

/// The segment that a file of that name holds.
pub(super) fn segment_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let segment = u64::from_str_radix(digits, 16).ok()?;
    (format!("{segment:08x}") == digits).then_some(segment)
}

/// What stands at the start of a segment.
enum Start {
    Whole(SegmentStart),
    None,
    /// The disk does not say: no reason to take it for empty.
    Unreadable(DiskError),
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
    if let Err(error) = read_full(file, 0, &mut bytes) {
        return Ok(Start::Unreadable(error));
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
        && is_segment_size(start.segment_size);
    if placed {
        Ok(Start::Whole(start))
    } else {
        let path = path.to_owned();
        Err(OpenError::Misplaced { path })
    }
}

/// Where a log ends, and what is wrong with it.
pub(super) struct Tail {
    pub(super) end: End,
    /// The blocks of the last segment.
    pub(super) toc: Vec<TocEntry>,
    /// The acknowledged watermark: the records from here to the end were never said to be there.
    pub(super) durable: u64,
    /// The bytes behind the end up to here are not all zero.
    pub(super) dirty_to: Option<u64>,
    /// Damage in the last segment, and for the safety log in any.
    pub(super) damage: Vec<BadRange>,
    /// What the log itself says is damaged.
    known: Vec<BadRange>,
    pub(super) was_damaged: bool,
}

impl Tail {
    pub(super) fn new_damage(&self) -> Vec<BadRange> {
        let is_new = |range: &&BadRange| !self.known.iter().any(|known| known.covers(range));
        self.damage.iter().filter(is_new).copied().collect()
    }

    pub(super) fn find(files: &Files, found: &Found, now: &Super) -> Result<Self, OpenError> {
        let mut tail = Self {
            end: End::default(),
            toc: Vec::new(),
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
                walk_segment(
                    files,
                    found.log,
                    segment,
                    segment_end,
                    Look::Whole,
                    None,
                    see,
                )
                .map_err(refused)?;
            }
        }
        if found.is_lost {
            tail.pass_over(found, last);
        } else {
            tail.walk(files, found, last, now.clean)?;
        }
        tail.was_damaged = !tail.damage.is_empty() || !tail.known.is_empty();
        Ok(tail)
    }

    /// The last segment is not there. The log goes on in the next one, so that no position ever
    /// means something else than what was written there first.
    fn pass_over(&mut self, found: &Found, last: u64) {
        let size = found.shape.segment_size;
        self.end.lsn = (last + 1) * size;
        self.end.durable = self.end.lsn;
        self.damage.push(BadRange {
            from: Lsn::new(last * size),
            to: Lsn::new(self.end.lsn),
        });
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
        // What SUPER says was durable is no tail. Of the votes and the journal every byte is
        // looked at all the same: they are few. Where the blocks stand is found by their headers.
        let known_end = self.durable;
        let skim_to = if found.log == Log::Blocks {
            known_end
        } else {
            0
        };
        if matches!(found.log, Log::State | Log::Record)
            && (base + 1..=base + found.shape.segment_size).contains(&known_end)
        {
            scan.go_to_last_before(known_end - base);
        }
        // A Pad at the end is half of a seal; it goes with the half that is missing.
        let mut pad: Option<(u64, Option<u32>)> = None;
        while !scan.is_at_end() {
            let link = scan.link();
            let passed = if base + scan.offset() < skim_to {
                scan.skim()
            } else {
                scan.step()
            };
            if let Some((seen, body)) = passed {
                self.durable = self.durable.max(seen.header.durable);
                let kind = check_known(found.log, &seen.header).map_err(refused)?;
                pad = (kind == Some(Kind::Pad)).then_some((seen.offset, link));
                if let Some(kind) = kind {
                    self.known.extend(known_bad(kind, body));
                    if kind == Kind::Block && body.len() >= BLOCK_BODY_MIN {
                        self.toc.push(TocEntry::of_block(body, seen.offset));
                    }
                }
                continue;
            }
            let at = scan.offset();
            let beyond = scan.look_beyond(if clean { 4_096 } else { UNSYNCED_MAX });
            self.durable = self.durable.max(beyond.durable);
            if base + at >= self.durable {
                // A disk that would not say whether anything stands here may say now that nothing
                // does; then the log ends in a segment before this one.
                let unread = found.unread.clone().filter(|_| at == 0);
                if let Some(error) = scan.unreadable().or(unread) {
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
            self.toc.clear();
        }
        self.end.blocks = self.toc.len();
        self.end.durable = if found.log.is_cache() {
            self.durable.min(self.end.lsn)
        } else {
            self.end.lsn
        };
        Ok(())
    }
}

pub(super) fn refused(failure: Failure) -> OpenError {
    match failure {
        Failure::Broken(error) | Failure::Unreadable(error) => OpenError::Disk(error),
        other => OpenError::TooNew(other.to_string()),
    }
}
