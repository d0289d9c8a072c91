//! Reading a log in order, past what is damaged.

use std::ops::Range;

use super::append::Store;
use super::disk::Cause;
use super::failure::Failure;
use super::files::Files;
use super::record::{
    BLOCK_BODY_MIN, Header, Kind, Log, Lsn, MUST_UNDERSTAND, TocEntry, VERSION, toc_size, u64_at,
};
use super::scan::Scan;

/// Acknowledged bytes of a log that are damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRange {
    /// The first damaged position.
    pub from: Lsn,
    /// The position of the next whole record.
    pub to: Lsn,
}

impl BadRange {
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.from <= other.from && other.to <= self.to
    }
}

/// How much of each record a walk reads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
    /// All of it, so that damage anywhere is found.
    Whole,
    /// Its header and the front of its body.
    Fronts,
}

/// What a walk shows.
pub(super) enum Item<'a> {
    Record(Lsn, Kind, &'a [u8]),
    Damage(BadRange),
}

impl Store {
    /// Shows every record of a log from a position on, in order, without the kinds that the store
    /// writes for itself. The position is that of a record or of a segment; what is no longer kept
    /// is passed over. Damage is stepped over, recorded in the log unless it was, and returned.
    pub fn replay(
        &mut self,
        log: Log,
        from: Lsn,
        visit: impl FnMut(Lsn, Kind, &[u8]),
    ) -> Result<Vec<BadRange>, Failure> {
        self.walk(log, from, Look::Whole, visit)
    }

    /// The same with the fronts of the bodies alone: a block's as far as its header goes, and any
    /// record of a few numbers whole. What is not shown is not read either, so that damage in it
    /// is not found.
    pub fn skim(
        &mut self,
        log: Log,
        from: Lsn,
        visit: impl FnMut(Lsn, Kind, &[u8]),
    ) -> Result<Vec<BadRange>, Failure> {
        self.walk(log, from, Look::Fronts, visit)
    }

    /// The blocks of a sealed segment, by its Toc; where that is damaged, by the fronts of its
    /// records. None where these leave something out. Says as well whether it was the Toc, which
    /// has a checksum: fronts have none.
    pub fn sealed_blocks(&self, segment: u64) -> Result<Option<(Vec<TocEntry>, bool)>, Failure> {
        // One that the disk can't read is a damaged one: nothing is lost with it.
        if let Ok(Some(blocks)) = self.reader().toc(segment) {
            return Ok(Some((blocks, true)));
        }
        let size = self.files.shape(Log::Blocks).segment_size;
        let (mut blocks, mut damage) = (Vec::new(), Vec::new());
        let see = &mut |item: Item<'_>| match item {
            Item::Record(at, Kind::Block, body) if body.len() >= BLOCK_BODY_MIN => {
                blocks.push(TocEntry::of_block(body, at.get() % size));
            }
            Item::Record(..) => {}
            Item::Damage(range) => damage.push(range),
        };
        let look = Look::Fronts;
        walk_segment(&self.files, Log::Blocks, segment, 0..size, look, None, see)?;
        // Where the damage fits into the Toc of what was found, that is all it hides.
        let toc = (segment + 1) * size - toc_size(blocks.len()).min(size);
        let is_all = damage.iter().all(|range| range.from.get() >= toc);
        Ok(is_all.then_some((blocks, false)))
    }

    fn walk(
        &mut self,
        log: Log,
        from: Lsn,
        look: Look,
        mut visit: impl FnMut(Lsn, Kind, &[u8]),
    ) -> Result<Vec<BadRange>, Failure> {
        let size = self.files.shape(log).segment_size;
        let from = from.get().max(self.first_segment(log) * size);
        let end = self.end(log).get();
        let (mut damage, mut known, mut kept_from) = (Vec::new(), Vec::new(), 0);
        let mut link = None;
        for segment in from / size..end.div_ceil(size) {
            let base = segment * size;
            let offsets = from.saturating_sub(base)..(end - base).min(size);
            let see = &mut |item: Item<'_>| match item {
                Item::Damage(range) => damage.push(range),
                Item::Record(at, kind, body) if !kind.is_internal() => visit(at, kind, body),
                Item::Record(_, Kind::Pruned, body) if body.len() == 8 => {
                    kept_from = kept_from.max(u64_at(body, 0).saturating_mul(size));
                }
                Item::Record(_, kind, body) => known.extend(known_bad(kind, body)),
            };
            link = walk_segment(&self.files, log, segment, offsets, look, link, see)?;
        }
        damage.retain(|range: &BadRange| range.to.get() > kept_from);
        let is_new = |range: &&BadRange| !known.iter().any(|known: &BadRange| known.covers(range));
        let new: Vec<BadRange> = damage.iter().filter(is_new).copied().collect();
        self.note_damage(log, &new)?;
        Ok(damage)
    }

    /// Records damage in its log, for the next start to know.
    pub(super) fn note_damage(&mut self, log: Log, ranges: &[BadRange]) -> Result<(), Failure> {
        if ranges.is_empty() || log.is_cache() {
            return Ok(());
        }
        for range in ranges {
            let mut body = range.from.get().to_le_bytes().to_vec();
            body.extend_from_slice(&range.to.get().to_le_bytes());
            match self.append_own(log, Kind::BadRange, &body) {
                // It will be found again.
                Err(Failure::Full { .. }) => return Ok(()),
                other => other.map(|_| ())?,
            }
        }
        self.sync()
    }
}

/// Walks the records that start in a range of offsets of one segment. Gives the checksum that the
/// first header of the next segment must link to, if it is known.
pub(super) fn walk_segment(
    files: &Files,
    log: Log,
    segment: u64,
    offsets: Range<u64>,
    look: Look,
    link: Option<u32>,
    see: &mut dyn FnMut(Item<'_>),
) -> Result<Option<u32>, Failure> {
    let shape = files.shape(log);
    let base = segment * shape.segment_size;
    let damage = |from: u64, to: u64| {
        Item::Damage(BadRange {
            from: Lsn::new(base + from),
            to: Lsn::new(base + to),
        })
    };
    let file = match files.get(log, segment) {
        Err(error) if error.cause == Cause::NotFound => {
            see(damage(offsets.start, offsets.end));
            return Ok(None);
        }
        other => other.map_err(Failure::Unreadable)?,
    };
    let mut scan = Scan::new(&*file, shape, segment);
    scan.go_to(offsets.start);
    scan.expect_link(link);
    while scan.offset() < offsets.end {
        let passed = match look {
            Look::Whole => scan.step(),
            Look::Fronts => scan.skim(),
        };
        if let Some((seen, body)) = passed {
            if let Some(kind) = check_known(log, &seen.header)? {
                see(Item::Record(Lsn::new(seen.header.lsn), kind, body));
            }
            continue;
        }
        let at = scan.offset();
        let next = scan.resync().unwrap_or(offsets.end).min(offsets.end);
        see(damage(at, next));
        scan.go_to(next);
    }
    Ok(scan.link())
}

/// The kind of a record; None for one that may be passed over, an error for one that may not.
pub(super) fn check_known(log: Log, header: &Header) -> Result<Option<Kind>, Failure> {
    let kind = Kind::from_number(header.kind);
    match kind {
        Some(kind) if header.version == VERSION => Ok(Some(kind)),
        // A cache is made again.
        Some(kind) if kind.is_cache() => Ok(None),
        None if header.flags & MUST_UNDERSTAND == 0 => Ok(None),
        _ => Err(Failure::TooNew {
            log,
            at: Lsn::new(header.lsn),
            what: format!(
                "a record of kind {:#04x} and version {}",
                header.kind, header.version
            ),
        }),
    }
}

/// The range that a BadRange record names.
pub(super) fn known_bad(kind: Kind, body: &[u8]) -> Option<BadRange> {
    (kind == Kind::BadRange && body.len() == 16).then(|| BadRange {
        from: Lsn::new(u64_at(body, 0)),
        to: Lsn::new(u64_at(body, 8)),
    })
}
