//! The flight recorder: a node's inputs written down, and a node made to live them again.
//!
//! *Owns* the form of recordings. *Invariants*: a recording begins with a snapshot of a quiet
//! moment and goes on with every input in its order, so that whoever replays it comes to the same
//! state, event for event; marks on the way say which. *Never* writes down a key: none is part of
//! a node or of an input.
//!
//! *Format*, a cache that any other version may discard: a stream of [`Entry`]s, cut into pieces.
//! A piece is a byte, 2 where the first snapshot of a process begins with it, 1 where a later one
//! does and 0 elsewhere, and the next bytes of the stream. A process that was killed leaves a
//! stream that the next one's does not continue, so a recording is of the last process alone. The
//! form of its file is in [`file`].
//!
//! What came of a job is not written down: a replay does the job again when the recording says
//! that its result arrived. Blocks that were read from the log are in the file by their position.
//! All blocks of the log are in it: peers may ask for any of them, and what they are answered is
//! part of what the node did.

pub mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::Time;
use crate::chain::{Front, FrontSource, RestoreError, StateFailure};
use crate::crypto::hash::sha256;
use crate::store::Lsn;
use crate::types::{AccountId, BlockId, Hash, Uint256};

use super::job::{BLOCK_RECORD_PREFIX, BlockReader, Job, JobResult, Measured, Workbench};
use super::{Input, JobId, Node, Output, Snapshot, header_of};

use file::{FileBytes, Missing, Stream};

/// The most bytes of a piece, so that it fits a record of the smallest segment.
const PIECE_MAX: usize = 32 << 10;
/// The first byte of a piece: no snapshot begins with it.
const NO_SNAPSHOT: u8 = 0;
/// A snapshot of a process that recorded before begins with it.
const LATER_SNAPSHOT: u8 = 1;
/// What a process records begins with it, or goes on after a gap.
const FIRST_SNAPSHOT: u8 = 2;
/// The fewest events between two marks.
const EVENTS_PER_MARK: u64 = 250;
/// A state hash costs as much as there is state: a mark waits until that is so few bytes for each
/// event since the last.
const MARK_BYTES_PER_EVENT: u64 = 64;

/// One thing that a recording says.
#[expect(clippy::large_enum_variant, reason = "one at a time is in memory")]
#[derive(Debug, Serialize, Deserialize)]
pub enum Entry {
    /// The node was this.
    Base(Box<Snapshot>),
    /// This happened.
    Input(Time, Input),
    /// The result of this job arrived, and this is what no replay can find out.
    Done(Time, JobId, Measured),
    /// The node was asked to fire its timers.
    Timeout(Time),
    /// After so many events the node's state had this hash.
    Mark(u64, Hash),
    /// The event before this could not read this from the disk, which no replay finds out by
    /// itself.
    Unreadable(Unreadable),
}

/// What an event could not read from the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Accounts, and why not.
    pub accounts: Vec<(AccountId, StateFailure)>,
    /// Headers of old blocks whose records stand there.
    pub headers: Vec<Lsn>,
}

impl Unreadable {
    fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.headers.is_empty()
    }
}

/// A block as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedBlock {
    /// The work of its chain.
    work: Uint256,
    /// Its wire bytes.
    bytes: Arc<[u8]>,
}

impl LoggedBlock {
    /// The block whose record is at a position; what can still be read of it where it is damaged.
    pub fn read(reader: &dyn BlockReader, at: Lsn) -> Result<Self, Option<Box<Front>>> {
        let front = reader.front(at);
        match (front, reader.read_block(at)) {
            (Some(front), Ok(bytes)) => Ok(Self {
                work: front.work,
                bytes,
            }),
            (front, _) => Err(front.map(Box::new)),
        }
    }

    /// A block of these bytes.
    #[cfg(test)]
    pub(crate) fn for_test(bytes: Vec<u8>) -> Self {
        let (work, bytes) = (Uint256::from_u64(1), bytes.into());
        Self { work, bytes }
    }

    /// How many hold its bytes.
    #[cfg(test)]
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.bytes)
    }

    /// Its wire bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The block of a whole record.
    #[must_use]
    pub fn of_record(body: &[u8]) -> Option<Self> {
        let front = Front::of_record(body)?;
        Some(Self {
            work: front.work,
            bytes: body.get(BLOCK_RECORD_PREFIX..)?.into(),
        })
    }

    fn front(&self) -> Option<Front> {
        front_of(&self.bytes, self.work)
    }
}

/// The front of a block whose bytes begin so.
fn front_of(bytes: &[u8], work: Uint256) -> Option<Front> {
    let header = header_of(bytes).ok()?;
    Some(Front {
        id: header.id(),
        work,
        header,
    })
}

/// Writes down what a node lives through. The driver appends the pieces to the record log, in
/// their order and before the node handles what they tell of.
#[derive(Debug)]
pub struct Recorder {
    /// Bytes after a snapshot when a new one is due, so that the oldest segments can go.
    base_every: u64,
    since_base: u64,
    marked: u64,
    /// How many events lie between two marks now.
    mark_every: u64,
    pieces: Vec<Vec<u8>>,
}

impl Recorder {
    /// Begins a recording of a node that is quiet. A new snapshot is written after `base_every`
    /// bytes, at the next quiet moment.
    #[must_use]
    pub fn start(node: &Node, base_every: u64) -> Self {
        let mut recorder = Self {
            base_every,
            since_base: 0,
            marked: 0,
            mark_every: EVENTS_PER_MARK,
            pieces: Vec::new(),
        };
        recorder.base(node, FIRST_SNAPSHOT);
        recorder
    }

    /// Writes down an input that the node is about to handle.
    pub fn input(&mut self, now: Time, input: Input) -> Input {
        let entry = match input {
            Input::Done { job, ref result } => {
                self.entry(&Entry::Done(now, job, result.measured()), NO_SNAPSHOT);
                return input;
            }
            other => Entry::Input(now, other),
        };
        self.entry(&entry, NO_SNAPSHOT);
        match entry {
            Entry::Input(_, input) => input,
            _ => unreachable!("it was made two lines above"),
        }
    }

    /// Writes down that the node is about to fire its timers.
    pub fn timeout(&mut self, now: Time) {
        self.entry(&Entry::Timeout(now), NO_SNAPSHOT);
    }

    /// To be called when the node has handled an event and every output was taken: writes a mark
    /// or a new snapshot when one is due.
    pub fn handled(&mut self, node: &Node) {
        let unreadable = node.unreadable();
        if !unreadable.is_empty() {
            self.entry(&Entry::Unreadable(unreadable), NO_SNAPSHOT);
        }
        if self.since_base >= self.base_every && node.is_quiet() {
            self.base(node, LATER_SNAPSHOT);
        } else if node.events() >= self.marked + self.mark_every {
            self.mark(node);
        }
    }

    /// Writes down the state's hash now.
    pub fn mark(&mut self, node: &Node) {
        let state = node.snapshot().to_bytes();
        self.mark_every = (state.len() as u64 / MARK_BYTES_PER_EVENT).max(EVENTS_PER_MARK);
        self.marked = node.events();
        self.entry(&Entry::Mark(self.marked, Hash(sha256(&state))), NO_SNAPSHOT);
    }

    fn base(&mut self, node: &Node, begins: u8) {
        self.marked = node.events();
        self.entry(&Entry::Base(Box::new(node.snapshot())), begins);
        // Its own bytes do not count, or one that is long makes the next one due at once.
        self.since_base = 0;
    }

    fn entry(&mut self, entry: &Entry, mut begins: u8) {
        // A block is most of what there is: without room from the start it would be copied again
        // and again.
        let room = match entry {
            Entry::Input(_, Input::Message { bytes, .. }) => bytes.len() + 64,
            _ => 64,
        };
        let form = postcard::to_extend(entry, Vec::with_capacity(room));
        let bytes = form.expect("every entry has a form");
        self.since_base += bytes.len() as u64;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let room = self
                .pieces
                .last()
                .filter(|_| begins == 0)
                .map_or(0, |piece| PIECE_MAX.saturating_sub(piece.len()));
            if room == 0 {
                self.pieces.push(vec![begins]);
                begins = 0;
                continue;
            }
            let (now, later) = rest.split_at(rest.len().min(room));
            if let Some(piece) = self.pieces.last_mut() {
                piece.extend_from_slice(now);
            }
            rest = later;
        }
    }

    /// The pieces since the last time.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.pieces)
    }

    /// Whether there are pieces to be taken.
    #[must_use]
    pub fn has_pieces(&self) -> bool {
        !self.pieces.is_empty()
    }
}

/// A recording. A clone shares its blocks and its stream.
#[derive(Clone, Default)]
pub struct Recording {
    /// Where blocks are that are not in memory.
    file: Option<Arc<dyn FileBytes>>,
    blocks: Arc<BTreeMap<Lsn, Kept>>,
    missing: Missing,
    stream: Arc<Vec<u8>>,
}

/// Where a block of a recording is.
#[derive(Clone)]
enum Kept {
    Here(LoggedBlock),
    /// The work of its chain, and where in the file its wire bytes are.
    InFile {
        work: Uint256,
        at: u64,
        len: u64,
    },
}

/// Why bytes are no recording, or a recording does not replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// The file is none, or of another version.
    NotARecording,
    /// The file can't be read.
    File(String),
    /// There is no snapshot to begin with.
    NoBase,
    /// An entry is no entry of this version.
    Damaged,
    /// The first snapshot can't be restored.
    Restore(RestoreError),
    /// The node read a block that the file lacks.
    Missing {
        /// After so many events.
        events: u64,
        /// Which.
        what: String,
    },
    /// The recording tells of something that the node did not ask for; the program is not the one
    /// that recorded, or depends on something that is no input.
    Unasked {
        /// After so many events.
        events: u64,
        /// What.
        what: String,
    },
    /// The replayed node is another than the recorded.
    Divergence {
        /// After so many events.
        events: u64,
        /// The hash that was recorded.
        recorded: Hash,
        /// The hash of the replay.
        replayed: Hash,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecording => f.write_str("the file is no recording of this version of keel"),
            Self::File(why) => write!(f, "the recording can't be read: {why}"),
            Self::NoBase => f.write_str("the recording has no snapshot to begin with"),
            Self::Damaged => {
                f.write_str("the recording is damaged, or was made by another version of keel")
            }
            Self::Restore(error) => write!(f, "its first snapshot can't be restored: {error}"),
            Self::Missing { events, what } => {
                write!(f, "the replay ends before event {}: {what}", events + 1)
            }
            Self::Unasked { events, what } => write!(
                f,
                "the replay diverges before event {events}: {what}; was it recorded by this very \
                 program?"
            ),
            Self::Divergence {
                events,
                recorded,
                replayed,
            } => write!(
                f,
                "the replay diverges at or before event {events}: the recorded state hash is \
                 {recorded}, the replayed {replayed}"
            ),
        }
    }
}

impl std::error::Error for ReplayError {}

/// How jobs are done in a replay: inline, or by workers.
pub trait Runner {
    /// A job was started.
    fn submit(&mut self, job: JobId, work: Job);
    /// The result of a job that was started, waited for if need be.
    fn result(&mut self, job: JobId) -> Option<JobResult>;
}

/// What came of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// How many events the node had handled at the recording's begin and at the end.
    pub events: (u64, u64),
    /// The hash of its state at the end.
    pub hash: Hash,
    /// How many marks agreed on the way.
    pub marks: u64,
}

impl Recording {
    /// A recording of the pieces of a record log, from the last process's oldest snapshot on, and
    /// the blocks of the block log; `missing` says where some stood that can't be read.
    #[must_use]
    pub fn of_pieces<'a>(
        pieces: impl Iterator<Item = &'a [u8]>,
        blocks: BTreeMap<Lsn, LoggedBlock>,
        missing: Missing,
    ) -> Self {
        let mut stream = Stream::default();
        pieces.for_each(|piece| stream.add(piece));
        let blocks = blocks.into_iter();
        Self {
            file: None,
            blocks: Arc::new(blocks.map(|(at, block)| (at, Kept::Here(block))).collect()),
            missing,
            stream: Arc::new(stream.into_bytes()),
        }
    }

    /// Where blocks stood that could not be read when the recording was made: a replay that comes
    /// to need one ends there and says so.
    #[must_use]
    pub fn missing(&self) -> Vec<Lsn> {
        self.missing.keys().copied().collect()
    }

    /// The recording as it would be if the record of a block had been damaged when it was made,
    /// and the block had stood in another one as well.
    #[cfg(test)]
    pub(crate) fn with_damaged_record(&self, of: &BlockId) -> Self {
        let mut damaged = self.clone();
        let blocks = Arc::make_mut(&mut damaged.blocks);
        for (place, at) in self.blocks.keys().enumerate() {
            let block = self.block(*at).unwrap().unwrap();
            if block.front().is_some_and(|front| front.id == *of) {
                blocks.remove(at);
                damaged.missing.insert(*at, block.front().map(Box::new));
                let elsewhere = Lsn::new(u64::MAX - place as u64);
                blocks.insert(elsewhere, Kept::Here(block));
            }
        }
        damaged
    }

    /// The recording without one of its events, to see that a replay finds that out.
    #[cfg(test)]
    pub(crate) fn without_event(&self, event: u64) -> Self {
        let mut at = 0;
        let mut stream = Vec::new();
        for entry in Entries(&self.stream).map(Result::unwrap) {
            match &entry {
                Entry::Base(base) if at == 0 => at = base.events(),
                Entry::Base(_) | Entry::Mark(..) | Entry::Unreadable(_) => {}
                _ => at += 1,
            }
            if at != event || matches!(entry, Entry::Base(_) | Entry::Mark(..)) {
                stream.extend(postcard::to_allocvec(&entry).unwrap());
            }
        }
        Self {
            stream: Arc::new(stream),
            ..self.clone()
        }
    }

    fn why_missing(&self, at: Lsn) -> String {
        match self.missing.contains_key(&at) {
            true => format!(
                "the block at {at} could not be read from the log when the recording was saved"
            ),
            false => format!("the recording has no block of position {at}"),
        }
    }

    /// Where jobs of the replay read blocks.
    #[must_use]
    pub fn reader(&self) -> Arc<dyn BlockReader> {
        Arc::new(Blocks(self.clone()))
    }

    /// Replays the recording up to its end, or up to event number `until`. `watch` is shown every
    /// entry with the number of the event it makes, and what the node wants done then. The last
    /// entry of a process that was killed may be cut short: the replay ends before it.
    pub fn replay(
        &self,
        until: Option<u64>,
        runner: &mut dyn Runner,
        watch: &mut dyn FnMut(u64, Shown<'_>),
    ) -> Result<Replayed, ReplayError> {
        let mut entries = Entries(&self.stream);
        let Some(Ok(Entry::Base(base))) = entries.next() else {
            return Err(ReplayError::NoBase);
        };
        let blocks = Arc::new(Blocks(self.clone()));
        let mut by_id: BTreeMap<BlockId, Lsn> = BTreeMap::new();
        for at in self.blocks.keys() {
            by_id.extend(blocks.front(*at).map(|front| (front.id, *at)));
        }
        let block = |id: &BlockId| blocks.read_block(*by_id.get(id)?).ok();
        let fronts: Arc<dyn FrontSource> = Arc::clone(&blocks) as _;
        let mut node = Node::restore(*base, &block, fronts).map_err(ReplayError::Restore)?;
        let (begin, mut marks) = (node.events(), 0);
        let mut entries = entries.peekable();
        while let Some(entry) = entries.next() {
            if until.is_some_and(|until| node.events() >= until) {
                break;
            }
            let entry = entry?;
            let foreseen = match entries.peek() {
                Some(Ok(Entry::Unreadable(unreadable))) => {
                    node.foresee_unreadable(unreadable.clone());
                    true
                }
                _ => matches!(entry, Entry::Unreadable(_)),
            };
            watch(node.events() + 1, Shown::Entry(&entry));
            marks += u64::from(step(&mut node, entry, runner, watch)?);
            if let (false, Some(at)) = (foreseen, node.unreadable().headers.first()) {
                let (events, what) = (node.events() - 1, self.why_missing(*at));
                return Err(ReplayError::Missing { events, what });
            }
        }
        Ok(Replayed {
            events: (begin, node.events()),
            hash: node.state_hash(),
            marks,
        })
    }
}

/// What a replay shows.
#[derive(Debug)]
pub enum Shown<'a> {
    /// What the recording has next.
    Entry(&'a Entry),
    /// What the job came to that the entry says is done.
    Result(&'a JobResult),
    /// What the node wants done then.
    Output(&'a Output),
}

/// Lets a node live one entry; says whether it was a mark, which agreed.
fn step(
    node: &mut Node,
    entry: Entry,
    runner: &mut dyn Runner,
    watch: &mut dyn FnMut(u64, Shown<'_>),
) -> Result<bool, ReplayError> {
    match entry {
        Entry::Input(now, input) => node.handle(now, input),
        Entry::Timeout(now) => node.handle_timeout(now),
        Entry::Done(now, job, measured) => {
            let unasked = || ReplayError::Unasked {
                events: node.events(),
                what: format!("the recording has the result of {job:?}, which was never started"),
            };
            let result = runner.result(job).ok_or_else(unasked)?;
            if let (Some(what), Measured::Nothing) = (result.unread(), &measured) {
                let (events, what) = (node.events(), what.to_owned());
                return Err(ReplayError::Missing { events, what });
            }
            let result = result.as_measured(measured);
            watch(node.events() + 1, Shown::Result(&result));
            node.handle(now, Input::Done { job, result });
        }
        Entry::Unreadable(unreadable) => {
            if unreadable == node.unreadable() {
                return Ok(false);
            }
            return Err(ReplayError::Unasked {
                events: node.events(),
                what:
                    "the recording tells of accounts or headers that could not be read, and that \
                       the event before did not read"
                        .to_owned(),
            });
        }
        Entry::Mark(events, recorded) => {
            let replayed = node.state_hash();
            if events != node.events() || recorded != replayed {
                return Err(ReplayError::Divergence {
                    events,
                    recorded,
                    replayed,
                });
            }
            return Ok(true);
        }
        Entry::Base(base) => {
            let (recorded, replayed) = (base.hash(), node.state_hash());
            if recorded != replayed {
                let events = node.events();
                return Err(ReplayError::Divergence {
                    events,
                    recorded,
                    replayed,
                });
            }
            return Ok(true);
        }
    }
    while let Some(output) = node.poll_output() {
        watch(node.events(), Shown::Output(&output));
        if let Output::Run { job, work } = output {
            runner.submit(job, work);
        }
    }
    Ok(false)
}

/// Does each job where its result is asked for.
pub struct Inline {
    bench: Workbench,
    jobs: BTreeMap<JobId, Job>,
}

impl Inline {
    /// A runner that reads blocks from `reader`.
    #[must_use]
    pub fn new(reader: Arc<dyn BlockReader>) -> Self {
        // No result depends on the secret.
        Self {
            bench: Workbench::new([0; 32], reader),
            jobs: BTreeMap::new(),
        }
    }
}

impl Runner for Inline {
    fn submit(&mut self, job: JobId, work: Job) {
        self.jobs.insert(job, work);
    }

    fn result(&mut self, job: JobId) -> Option<JobResult> {
        Some(self.jobs.remove(&job)?.run(&mut self.bench))
    }
}

struct Entries<'a>(&'a [u8]);

impl Iterator for Entries<'_> {
    type Item = Result<Entry, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        match postcard::take_from_bytes(self.0) {
            Ok((entry, rest)) => {
                self.0 = rest;
                Some(Ok(entry))
            }
            // The end, or an entry that a killed process left cut short.
            Err(postcard::Error::DeserializeUnexpectedEnd) => None,
            Err(_) => {
                self.0 = &[];
                Some(Err(ReplayError::Damaged))
            }
        }
    }
}

struct Blocks(Recording);

impl BlockReader for Blocks {
    fn read_block(&self, lsn: Lsn) -> Result<Arc<[u8]>, String> {
        match self.0.block(lsn) {
            Some(block) => block.map(|block| block.bytes),
            None => Err(self.0.why_missing(lsn)),
        }
    }
}

impl FrontSource for Blocks {
    fn front(&self, at: Lsn) -> Option<Front> {
        match self.0.front(at) {
            Some(front) => front,
            None => self.0.missing.get(&at)?.as_deref().cloned(),
        }
    }
}
