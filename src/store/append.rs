//! The store at work: appending, syncing, forgetting, closing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::disk::{Cause, DiskError, Lock};
use super::failure::Failure;
use super::files::Files;
use super::layout::Layout;
use super::reader::Reader;
use super::record::{BLOCK_BODY_MIN, Kind, Log, Lsn};
use super::superblock::{Super, SuperFile};
use super::writer::{Plan, Writer};

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Where it goes.
    pub log: Log,
    /// What it is.
    pub kind: Kind,
    /// Its bytes. A block's begin as `docs/storage.md` says, so that the table of contents of its
    /// segment can be made from them.
    pub body: Vec<u8>,
}

impl Append {
    /// A record of `kind` for `log`.
    #[must_use]
    pub fn new(log: Log, kind: Kind, body: Vec<u8>) -> Self {
        Self { log, kind, body }
    }
}

/// The five logs of one directory. One owner writes; [`Reader`]s on other threads read.
pub struct Store {
    pub(super) files: Arc<Files>,
    pub(super) writers: [Writer; Log::COUNT],
    pub(super) super_file: SuperFile,
    /// What the next write of SUPER says.
    pub(super) super_next: Super,
    /// How many segments of the record log are kept.
    pub(super) record_segments: u64,
    /// Whether the last process ended as it should, or there was none.
    pub(super) was_clean: bool,
    /// The failure after which nothing more is written.
    pub(super) broken: Option<DiskError>,
    pub(super) _lock: Lock,
}

impl Store {
    /// Writes records, each log's in the order given, and says where they stand. They are not
    /// durable before a [`sync`](Self::sync) has returned; after a crash some first records of
    /// each log's part may be there.
    ///
    /// # Panics
    /// When a kind is one that the store writes for itself, or a block is too short to hold a
    /// header: callers make neither.
    pub fn append(&mut self, records: &[Append]) -> Result<Vec<Lsn>, Failure> {
        self.append_group(&records.iter().collect::<Vec<_>>())
    }

    /// Writes the records of several requests in one go.
    pub(super) fn append_group(&mut self, records: &[&Append]) -> Result<Vec<Lsn>, Failure> {
        for record in records {
            assert!(
                !record.kind.is_internal(),
                "the store's own kinds are not appended"
            );
            assert!(
                record.kind != Kind::Block || record.body.len() >= BLOCK_BODY_MIN,
                "a block holds a header"
            );
        }
        self.expect_whole()?;
        self.expect_fit(records)?;
        let mut plans = Vec::new();
        for log in Log::ALL {
            let of_log = records.iter().filter(|record| record.log == log);
            let writer = &self.writers[log.number()];
            let plan = writer.plan(of_log.map(|record| (record.kind, record.body.as_slice())));
            if !plan.lsns.is_empty() {
                self.prepare(log, plan.begins)?;
                plans.push((log, plan));
            }
        }
        let mut lsns: [std::vec::IntoIter<Lsn>; Log::COUNT] = Default::default();
        for (log, plan) in plans {
            lsns[log.number()] = self.write(log, plan)?.into_iter();
        }
        let in_order = |record: &&Append| lsns[record.log.number()].next();
        Ok(records.iter().filter_map(in_order).collect())
    }

    /// Makes every record durable that was appended, except in the record log.
    pub fn sync(&mut self) -> Result<(), Failure> {
        self.expect_whole()?;
        for log in Log::ALL {
            if !log.is_cache() {
                let synced = self.writers[log.number()].sync();
                self.note(synced)?;
            }
        }
        Ok(())
    }

    /// What is better done while nothing waits: makes segments ahead, and writes the durable
    /// positions to SUPER. A full disk is no failure here; the next append will tell.
    pub fn idle(&mut self) -> Result<(), Failure> {
        self.expect_whole()?;
        for log in Log::ALL {
            if self.writers[log.number()].end.lsn > 0 {
                match self.prepare(log, 1) {
                    Err(Failure::Full { .. }) | Ok(()) => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
        if self.super_next_now() != self.super_file.now {
            self.write_super()?;
        }
        Ok(())
    }

    /// Where the next record of a log will stand, or a little before it.
    #[must_use]
    pub fn end(&self, log: Log) -> Lsn {
        Lsn::new(self.writers[log.number()].end.lsn)
    }

    /// Everything of a log below this is durable.
    #[must_use]
    pub fn durable(&self, log: Log) -> Lsn {
        Lsn::new(self.writers[log.number()].end.durable)
    }

    /// The first segment of a log that is kept.
    #[must_use]
    pub fn first_segment(&self, log: Log) -> u64 {
        self.super_next.first_segment[log.number()]
    }

    /// How long the segments of a log are.
    #[must_use]
    pub fn segment_size(&self, log: Log) -> u64 {
        self.files.shape(log).segment_size
    }

    /// The segment that a position is in.
    #[must_use]
    pub fn segment_of(&self, log: Log, lsn: Lsn) -> u64 {
        lsn.get() / self.files.shape(log).segment_size
    }

    /// Where the next records of a log will stand.
    ///
    /// # Panics
    /// For the blocks log, whose tables of contents a layout does not know.
    #[must_use]
    pub fn layout(&self, log: Log) -> Layout {
        assert!(log != Log::Blocks, "a table of contents takes room, too");
        Layout::new(self.files.shape(log).segment_size, self.end(log))
    }

    /// The longest body a record of a log may have.
    #[must_use]
    pub fn max_body(&self, log: Log) -> u64 {
        self.writers[log.number()].max_body()
    }

    /// A handle that reads while this one writes.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.files))
    }

    /// The newest checkpoint that was set.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Lsn> {
        self.super_next.checkpoint.map(Lsn::new)
    }

    /// Names the newest complete checkpoint, durably. The record must be durable.
    pub fn set_checkpoint(&mut self, at: Lsn) -> Result<(), Failure> {
        self.expect_whole()?;
        self.super_next.checkpoint = Some(at.get());
        self.write_super()
    }

    /// Names an older checkpoint, or none, as the newest that can be used, durably.
    pub fn go_back(&mut self, to: Option<Lsn>) -> Result<(), Failure> {
        self.expect_whole()?;
        self.super_next.checkpoint = to.map(Lsn::get);
        self.write_super()
    }

    /// Drops the segments of a log below `first_kept`, but never the one that is written to.
    /// That they are gone on purpose is durable before the first of them goes.
    pub fn forget_before(&mut self, log: Log, first_kept: u64) -> Result<(), Failure> {
        self.expect_whole()?;
        let first_kept = first_kept.min(self.writers[log.number()].segment());
        let first = self.first_segment(log);
        if first_kept <= first {
            return Ok(());
        }
        if log == Log::Blocks {
            self.append_own(log, Kind::Pruned, &first_kept.to_le_bytes())?;
            self.sync()?;
        }
        self.super_next.first_segment[log.number()] = first_kept;
        self.write_super()?;
        self.files.forget_before(log, first_kept);
        for segment in first..first_kept {
            match self.files.disk().remove(&log.path(segment)) {
                Err(error) if error.cause != Cause::NotFound => return self.note(Err(error)),
                _ => {}
            }
        }
        let synced = self.files.disk().sync_directory(log.directory());
        self.note(synced)
    }

    /// Drops every segment of a log that is not needed, but never the one that is written to. What
    /// is gone must be of no use to anybody any more, because nothing says that it is gone on
    /// purpose: for logs that are not read from end to end.
    pub fn keep_only(&mut self, log: Log, needed: &BTreeSet<u64>) -> Result<(), Failure> {
        self.expect_whole()?;
        let writing = self.writers[log.number()].segment();
        let segments = self.files.segments(log);
        let segments = self.note(segments)?;
        let is_dropped = |segment: &u64| *segment < writing && !needed.contains(segment);
        let dropped: Vec<u64> = segments.into_iter().filter(is_dropped).collect();
        for segment in &dropped {
            self.files.forget(log, *segment);
            match self.files.disk().remove(&log.path(*segment)) {
                Err(error) if error.cause != Cause::NotFound => return self.note(Err(error)),
                _ => {}
            }
        }
        if dropped.is_empty() {
            return Ok(());
        }
        let synced = self.files.disk().sync_directory(log.directory());
        self.note(synced)
    }

    /// Ends as it should: everything durable, and said so.
    pub fn close(mut self) -> Result<(), Failure> {
        self.expect_whole()?;
        for log in Log::ALL {
            if self.writers[log.number()].end.lsn > 0 {
                match self.append_own(log, Kind::Shutdown, &[]) {
                    // A full disk takes the record away and nothing else: SUPER says the same.
                    Ok(_) | Err(Failure::Full { .. }) => {}
                    Err(failure) => return Err(failure),
                }
                let synced = self.writers[log.number()].sync();
                self.note(synced)?;
            }
        }
        self.super_next.clean = true;
        self.write_super()
    }

    /// Ends a process that only looked, or that came to nothing: as orderly as the one before it
    /// ended. That one's end is not taken for orderly because this one's was.
    pub fn leave(self) -> Result<(), Failure> {
        if self.was_clean { self.close() } else { Ok(()) }
    }

    /// Writes a record of the store's own.
    pub(super) fn append_own(&mut self, log: Log, kind: Kind, body: &[u8]) -> Result<Lsn, Failure> {
        let plan = self.writers[log.number()].plan([(kind, body)].into_iter());
        if plan.begins > 0 {
            self.prepare(log, plan.begins)?;
        }
        Ok(self.write(log, plan)?[0])
    }

    fn write(&mut self, log: Log, plan: Plan) -> Result<Vec<Lsn>, Failure> {
        let begins = plan.begins;
        let written = self.writers[log.number()].write(&self.files, plan);
        let lsns = self.note(written)?;
        if begins > 0 {
            if log.is_cache() {
                let segment = self.writers[log.number()].segment();
                self.forget_before(log, (segment + 1).saturating_sub(self.record_segments))?;
            } else {
                self.write_super()?;
            }
        }
        Ok(lsns)
    }

    /// Makes sure that a log can begin so many segments, and one at least, so that a full disk is
    /// found a segment early. What a validator says goes on for as long as its segment lasts.
    fn prepare(&mut self, log: Log, begins: usize) -> Result<(), Failure> {
        let writer = &mut self.writers[log.number()];
        match writer.prepare(&self.files, begins.max(1)) {
            Err(error) if error.cause == Cause::NoSpace => {
                if log == Log::Safety && writer.segments_ahead() >= begins {
                    Ok(())
                } else {
                    let bytes = self.segment_size(log);
                    Err(Failure::Full { log, bytes })
                }
            }
            other => self.note(other),
        }
    }

    fn expect_fit(&self, records: &[&Append]) -> Result<(), Failure> {
        for record in records {
            let (max, len) = (self.max_body(record.log), record.body.len());
            if len as u64 > max {
                return Err(Failure::TooLarge {
                    log: record.log,
                    len,
                    max,
                });
            }
        }
        Ok(())
    }

    fn expect_whole(&self) -> Result<(), Failure> {
        match &self.broken {
            Some(error) => Err(Failure::Broken(error.clone())),
            None => Ok(()),
        }
    }

    /// Remembers the first error of the disk: nothing is written after it.
    fn note<T>(&mut self, result: Result<T, DiskError>) -> Result<T, Failure> {
        result.map_err(|error| Failure::Broken(self.broken.insert(error).clone()))
    }

    /// What SUPER would say now.
    fn super_next_now(&self) -> Super {
        Super {
            seq: self.super_file.now.seq,
            durable: std::array::from_fn(|log| self.writers[log].end.durable),
            ..self.super_next
        }
    }

    pub(super) fn write_super(&mut self) -> Result<(), Failure> {
        let replaced = self.super_file.replace(self.super_next_now());
        self.note(replaced)
    }
}
