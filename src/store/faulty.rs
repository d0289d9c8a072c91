//! A disk that fails as disks do.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::{Cause, Disk, DiskError, DiskFile, Lock};
use super::memory::{Content, MemoryDisk, names_in};
use crate::base::{Rng, Span};

/// What a disk writes in one go, or not at all.
const SECTOR: usize = 512;

/// What survives a crash of what was written and not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// All of it.
    Everything,
    /// The first writes to each file; the last of them in part.
    Prefix,
    /// Any sectors of any writes.
    Sectors,
    /// Any of the writes, in any order.
    Reordered,
}

impl Keep {
    /// Every way.
    pub const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Everything,
        Self::Prefix,
        Self::Sectors,
        Self::Reordered,
    ];
}

/// Which calls fail, and how. Calls are those that change something, counted from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The machine stops before this call: it and everything later fails.
    pub crash_at: Option<u64>,
    /// The disk is full during these calls.
    pub no_space: Option<Range<u64>>,
    /// Writes take a random part of their bytes.
    pub short_writes: bool,
    /// The sync of a file that is this call fails, and what it should have made durable is lost
    /// in part, though it can still be read until the machine stops.
    pub sync_fails: Option<u64>,
    /// The same of the next sync, whichever call that is.
    pub next_sync_fails: bool,
    /// The next write to a file never comes to the disk, though it can be read until the machine
    /// stops, and syncs say nothing.
    pub next_write_lost: bool,
    /// The same of a write that comes to the disk so many bytes away from where it belongs.
    pub next_write_misdirected: Option<u64>,
    /// These bytes of a file can't be read.
    pub unreadable: Option<(String, Range<u64>)>,
    /// They can be read again after they could not once.
    pub readable_again: bool,
    /// How long each sync takes, added up by [`FaultyDisk::waited`].
    pub sync_delay: Span,
}

/// How often faults took effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Calls that found no space.
    pub no_space: u64,
    /// Writes that took less than they were given.
    pub short_writes: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Writes that were lost or went elsewhere.
    pub strayed_writes: u64,
    /// Reads that failed.
    pub failed_reads: u64,
    /// Writes that were not synced and of which a crash left nothing.
    pub lost_writes: u64,
    /// Those of which it left a part.
    pub torn_writes: u64,
    /// Those that it left although one before them in their file is gone, or was done after them.
    pub reordered_writes: u64,
    /// Those that it left whole.
    pub kept_writes: u64,
}

impl Hits {
    /// What was counted of two disks.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            no_space: self.no_space + other.no_space,
            short_writes: self.short_writes + other.short_writes,
            failed_syncs: self.failed_syncs + other.failed_syncs,
            strayed_writes: self.strayed_writes + other.strayed_writes,
            failed_reads: self.failed_reads + other.failed_reads,
            lost_writes: self.lost_writes + other.lost_writes,
            torn_writes: self.torn_writes + other.torn_writes,
            reordered_writes: self.reordered_writes + other.reordered_writes,
            kept_writes: self.kept_writes + other.kept_writes,
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Reserve(u64),
    Write(u64, Vec<u8>),
}

impl Change {
    fn apply(&self, content: &mut Content) {
        match self {
            Self::Reserve(size) => content.reserve(*size),
            Self::Write(offset, bytes) => content.write(*offset, bytes),
        }
    }
}

#[derive(Clone, Debug)]
enum Rename {
    Add(String, u64),
    Move(String, String),
    Remove(String),
}

impl Rename {
    fn directory(&self) -> &str {
        let (Self::Add(path, _) | Self::Move(path, _) | Self::Remove(path)) = self;
        directory_of(path)
    }

    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Add(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Move(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

fn directory_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

#[derive(Clone, Debug, Default)]
struct File {
    cached: Content,
    durable: Content,
    pending: Vec<Change>,
}

impl File {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.pending.push(change);
    }

    /// Moves to the durable bytes what `keep` keeps of the pending ones. Gives what became of the
    /// writes.
    fn settle(&mut self, keep: Keep, rng: &mut Rng) -> Hits {
        let mut pending = std::mem::take(&mut self.pending);
        let written = writes_in(&pending);
        let mut hits = Hits::default();
        match keep {
            Keep::Nothing => pending.clear(),
            Keep::Everything => {}
            Keep::Prefix => {
                pending.truncate(rng.below(pending.len() as u64 + 1) as usize);
                if let Some(Change::Write(_, bytes)) = pending.last_mut() {
                    let whole = bytes.len();
                    bytes.truncate(rng.below(whole as u64 + 1) as usize);
                    hits.torn_writes = u64::from(bytes.len() < whole);
                }
                let nothing =
                    |last: &mut Change| matches!(last, Change::Write(_, it) if it.is_empty());
                if pending.pop_if(nothing).is_some() {
                    hits.torn_writes = 0;
                }
            }
            Keep::Sectors => (pending, hits.torn_writes) = any_sectors(&pending, rng),
            Keep::Reordered => {
                let mut numbered: Vec<(usize, Change)> = pending.into_iter().enumerate().collect();
                numbered.retain(|_| rng.chance(2, 3));
                rng.shuffle(&mut numbered);
                for (place, (number, _)) in numbered.iter().enumerate() {
                    let before = numbered[..place].iter().filter(|(other, _)| other < number);
                    hits.reordered_writes += u64::from(before.count() < *number);
                }
                pending = numbered.into_iter().map(|(_, change)| change).collect();
            }
        }
        let left = writes_in(&pending);
        if keep != Keep::Sectors {
            hits.kept_writes = left - hits.torn_writes;
            hits.lost_writes = written - left;
        }
        for change in pending {
            change.apply(&mut self.durable);
        }
        hits
    }
}

fn writes_in(changes: &[Change]) -> u64 {
    let writes = changes.iter().filter(|it| matches!(it, Change::Write(..)));
    writes.count() as u64
}

/// Any sectors of writes, and how many writes are there in part.
fn any_sectors(pending: &[Change], rng: &mut Rng) -> (Vec<Change>, u64) {
    let (mut kept, mut torn) = (Vec::new(), 0);
    for change in pending {
        let Change::Write(offset, bytes) = change else {
            kept.extend(rng.chance(1, 2).then(|| change.clone()));
            continue;
        };
        let (mut at, mut left) = (0, 0);
        while at < bytes.len() {
            // Sectors are those of the disk, not of the write.
            let into_sector = (*offset as usize + at) % SECTOR;
            let len = (SECTOR - into_sector).min(bytes.len() - at);
            if rng.chance(1, 2) {
                left += len;
                kept.push(Change::Write(
                    offset + at as u64,
                    bytes[at..at + len].to_vec(),
                ));
            }
            at += len;
        }
        torn += u64::from(0 < left && left < bytes.len());
    }
    (kept, torn)
}

#[derive(Clone)]
struct State {
    files: BTreeMap<u64, File>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending_names: Vec<Rename>,
    faults: Faults,
    hits: Hits,
    rng: Rng,
    calls: u64,
    waited: Span,
    locked: bool,
}

impl State {
    /// Counts a call that changes something, or fails it.
    fn call(
        &mut self,
        call: &'static str,
        path: &str,
        takes_space: bool,
    ) -> Result<u64, DiskError> {
        self.expect_running(call, path)?;
        let number = self.calls;
        self.calls += 1;
        self.expect_running(call, path)?;
        let is_full = |calls: &Range<u64>| calls.contains(&number);
        if takes_space && self.faults.no_space.as_ref().is_some_and(is_full) {
            self.hits.no_space += 1;
            return Err(DiskError::new(Cause::NoSpace, call, path));
        }
        Ok(number)
    }

    fn expect_running(&self, call: &'static str, path: &str) -> Result<(), DiskError> {
        if self.faults.crash_at.is_some_and(|at| self.calls > at) {
            let cause = Cause::Other("the machine stopped".to_owned());
            return Err(DiskError::new(cause, call, path));
        }
        Ok(())
    }

    fn file(&mut self, file: u64) -> &mut File {
        self.files.get_mut(&file).expect("handles name files")
    }

    fn rename(&mut self, rename: Rename) {
        rename.apply(&mut self.names);
        self.pending_names.push(rename);
    }

    fn find(&self, path: &str, call: &'static str) -> Result<u64, DiskError> {
        let file = self.names.get(path).copied();
        file.ok_or_else(|| DiskError::new(Cause::NotFound, call, path))
    }
}

/// A disk in memory that fails as it is told to, and forgets what was not synced when it crashes.
/// Clones show the same files. Which bytes survive follows from the seed.
#[derive(Clone)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

impl FaultyDisk {
    /// A disk with the files of `disk`, all durable.
    #[must_use]
    pub fn over(disk: &MemoryDisk, faults: Faults, rng: Rng) -> Self {
        let mut files = BTreeMap::new();
        let mut names = BTreeMap::new();
        for (number, (path, content)) in (0..).zip(disk.contents()) {
            let file = File {
                cached: content.clone(),
                durable: content,
                pending: Vec::new(),
            };
            files.insert(number, file);
            names.insert(path, number);
        }
        let state = State {
            files,
            durable_names: names.clone(),
            names,
            pending_names: Vec::new(),
            faults,
            hits: Hits::default(),
            rng,
            calls: 0,
            waited: Span::ZERO,
            locked: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Changes what fails from now on; calls go on being counted.
    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// How often faults took effect.
    #[must_use]
    pub fn hits(&self) -> Hits {
        self.state.lock().hits
    }

    /// Cuts a file's end off where it lies, as a repair of the file system does.
    pub fn cut(&self, path: &str, size: u64) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        let file = state.find(path, "cut")?;
        let file = state.file(file);
        for content in [&mut file.cached, &mut file.durable] {
            content.cut(size);
        }
        Ok(())
    }

    /// Every file, and how many bytes of it were written.
    #[must_use]
    pub fn written(&self) -> Vec<(String, u64)> {
        let state = self.state.lock();
        let written = |(path, file): (&String, &u64)| {
            let content = &state.files[file].cached;
            (path.clone(), content.written())
        };
        state.names.iter().map(written).collect()
    }

    /// A disk of its own with the same files, as they are read now.
    #[must_use]
    pub fn copy(&self) -> MemoryDisk {
        let (state, copy) = (self.state.lock(), MemoryDisk::new());
        for (path, file) in &state.names {
            copy.put(path.clone(), state.files[file].cached.clone());
        }
        copy
    }

    /// How many calls that change something were made.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// How long all syncs took together.
    #[must_use]
    pub fn waited(&self) -> Span {
        self.state.lock().waited
    }

    /// Changes bits of one byte of a file where it lies, as age does.
    pub fn flip(&self, path: &str, offset: u64, bits: u8) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        let file = state.find(path, "flip")?;
        let file = state.file(file);
        for content in [&mut file.cached, &mut file.durable] {
            let mut byte = [0];
            content.read(offset, &mut byte);
            content.write(offset, &[byte[0] ^ bits]);
        }
        Ok(())
    }

    /// Stops the machine: what a next start finds. Every later call on this disk fails, but it
    /// may be asked again what would have survived in another way.
    #[must_use]
    pub fn crash(&self, keep: Keep) -> MemoryDisk {
        let mut stopped = self.state.lock();
        stopped.faults.crash_at = Some(0);
        stopped.calls = u64::MAX;
        let mut state = stopped.clone();
        drop(stopped);
        let mut rng = state.rng.fork("crash");
        let mut settled = Hits::default();
        for file in state.files.values_mut() {
            settled = settled.and(file.settle(keep, &mut rng));
        }
        // Whoever asks again is told of the last answer alone.
        self.state.lock().hits = Hits {
            no_space: state.hits.no_space,
            short_writes: state.hits.short_writes,
            failed_syncs: state.hits.failed_syncs,
            strayed_writes: state.hits.strayed_writes,
            failed_reads: state.hits.failed_reads,
            ..settled
        };
        let mut left_of: BTreeMap<String, u64> = BTreeMap::new();
        for rename in std::mem::take(&mut state.pending_names) {
            let left = left_of
                .entry(rename.directory().to_owned())
                .or_insert_with(|| match keep {
                    Keep::Nothing => 0,
                    Keep::Everything => u64::MAX,
                    _ => rng.below(4),
                });
            if *left > 0 {
                *left -= 1;
                rename.apply(&mut state.durable_names);
            }
        }
        let disk = MemoryDisk::new();
        for (path, file) in &state.durable_names {
            disk.put(path.clone(), state.files[file].durable.clone());
        }
        disk
    }
}

impl Disk for FaultyDisk {
    fn lock(&self) -> Result<Lock, DiskError> {
        let mut state = self.state.lock();
        state.expect_running("lock", "LOCK")?;
        if std::mem::replace(&mut state.locked, true) {
            let cause = Cause::InUse("another store in this process".to_owned());
            return Err(DiskError::new(cause, "lock", "LOCK"));
        }
        Ok(Box::new(Held(Arc::clone(&self.state))))
    }

    fn make_directory(&self, directory: &str) -> Result<(), DiskError> {
        self.state.lock().call("make directory", directory, true)?;
        Ok(())
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, DiskError> {
        let state = self.state.lock();
        state.expect_running("list", directory)?;
        Ok(names_in(state.names.keys(), directory))
    }

    fn create(&self, path: &str) -> Result<Arc<dyn DiskFile>, DiskError> {
        let mut state = self.state.lock();
        state.call("create", path, true)?;
        if state.names.contains_key(path) {
            return Err(DiskError::new(Cause::Exists, "create", path));
        }
        let file = state.files.keys().next_back().map_or(0, |last| last + 1);
        state.files.insert(file, File::default());
        state.rename(Rename::Add(path.to_owned(), file));
        drop(state);
        self.open(path)
    }

    fn open(&self, path: &str) -> Result<Arc<dyn DiskFile>, DiskError> {
        let state = self.state.lock();
        state.expect_running("open", path)?;
        let file = state.find(path, "open")?;
        Ok(Arc::new(FaultyFile {
            state: Arc::clone(&self.state),
            file,
            path: path.to_owned(),
        }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        state.call("rename", from, true)?;
        state.find(from, "rename")?;
        state.rename(Rename::Move(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        state.call("remove", path, false)?;
        state.find(path, "remove")?;
        state.rename(Rename::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_directory(&self, directory: &str) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        state.call("sync directory", directory, false)?;
        let state = &mut *state;
        let (done, later) = std::mem::take(&mut state.pending_names)
            .into_iter()
            .partition(|rename| rename.directory() == directory);
        let done: Vec<Rename> = done;
        for rename in done {
            rename.apply(&mut state.durable_names);
        }
        state.pending_names = later;
        Ok(())
    }
}

struct Held(Arc<Mutex<State>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.lock().locked = false;
    }
}

struct FaultyFile {
    state: Arc<Mutex<State>>,
    file: u64,
    path: String,
}

impl DiskFile for FaultyFile {
    fn size(&self) -> Result<u64, DiskError> {
        let mut state = self.state.lock();
        state.expect_running("size", &self.path)?;
        Ok(state.file(self.file).cached.size())
    }

    fn reserve(&self, size: u64) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        if state.file(self.file).cached.size() < size {
            let reserved = state.call("reserve", &self.path, true);
            let is_full = matches!(&reserved, Err(error) if error.cause == Cause::NoSpace);
            let file = state.file(self.file);
            if is_full {
                // As ext4 does: what there was is taken and kept.
                let taken = size.midpoint(file.cached.size());
                file.change(Change::Reserve(taken));
            }
            reserved?;
            file.change(Change::Reserve(size));
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let mut state = self.state.lock();
        state.expect_running("read", &self.path)?;
        if let Some((path, bytes)) = &state.faults.unreadable
            && *path == self.path
            && offset < bytes.end
            && bytes.start < offset + into.len() as u64
        {
            state.hits.failed_reads += 1;
            if state.faults.readable_again {
                state.faults.unreadable = None;
            }
            let cause = Cause::Other("input/output error".to_owned());
            return Err(DiskError::new(cause, "read", &self.path));
        }
        Ok(state.file(self.file).cached.read(offset, into))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, DiskError> {
        let mut state = self.state.lock();
        state.call("write", &self.path, true)?;
        let count = if state.faults.short_writes && !bytes.is_empty() {
            state.rng.below(bytes.len() as u64) as usize + 1
        } else {
            bytes.len()
        };
        state.hits.short_writes += u64::from(count < bytes.len());
        let change = Change::Write(offset, bytes[..count].to_vec());
        let is_lost = std::mem::take(&mut state.faults.next_write_lost);
        let away = state.faults.next_write_misdirected.take();
        state.hits.strayed_writes += u64::from(is_lost || away.is_some());
        let file = state.file(self.file);
        change.apply(&mut file.cached);
        match away {
            Some(away) => {
                let last = file.cached.size().saturating_sub(count as u64);
                let elsewhere = (offset + away) % (last + 1);
                let bytes = bytes[..count].to_vec();
                file.pending.push(Change::Write(elsewhere, bytes));
            }
            None if is_lost => {}
            None => file.pending.push(change),
        }
        Ok(count)
    }

    fn sync(&self) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        let number = state.call("sync", &self.path, false)?;
        let state = &mut *state;
        state.waited = state.waited + state.faults.sync_delay;
        let fails = state.faults.sync_fails == Some(number)
            || std::mem::take(&mut state.faults.next_sync_fails);
        let file = state.files.get_mut(&self.file).expect("handles name files");
        if fails {
            state.hits.failed_syncs += 1;
            // The system takes the pages for written, whatever became of them.
            file.settle(Keep::Sectors, &mut state.rng);
            let cause = Cause::Other("input/output error".to_owned());
            return Err(DiskError::new(cause, "sync", &self.path));
        }
        file.settle(Keep::Everything, &mut state.rng);
        Ok(())
    }
}
