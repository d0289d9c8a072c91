//! The drivers that know nothing of each other, as the loop wants to see them.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::disk::{LogThread, Rejected, Report};
use crate::node::{Job, JobId, JobResult, Workbench};
use crate::reactor::{LogQueue, Logged, Queries, Query, QueryId, SaveId, Saved, Workers};
use crate::store::{Append, Completion, Failure, Kind, Log, Lsn, Reader, Request, Store};
use crate::workers::{Pool, QueryThread};

use super::recording::{self, Places};

/// Requests that wait before the log thread; more wait here.
const LOG_QUEUE: usize = 1_024;
/// The ticket of requests that nobody is told of. The node counts its own from 1.
const RECORDED: u64 = u64::MAX;
/// How long a stop waits for jobs under way. What they would give is found again at the next
/// start.
const WORKER_PATIENCE: Duration = Duration::from_millis(500);

/// What wakes the loop.
pub(super) type Wake = Arc<dyn Fn() + Send + Sync>;

/// The pool of workers.
pub(super) struct WorkerPort(Option<Pool>);

impl WorkerPort {
    pub(super) fn start(benches: Vec<Workbench>, wake: &Wake) -> io::Result<Self> {
        Pool::start(benches, wake).map(Some).map(Self)
    }
}

impl Workers for WorkerPort {
    fn run(&mut self, job: JobId, work: Job) {
        if let Some(pool) = &mut self.0 {
            pool.run(job, work);
        }
    }

    fn take_done(&mut self) -> Option<(JobId, JobResult)> {
        self.0.as_mut()?.take_done()
    }

    fn finish(&mut self) {
        if let Some(pool) = self.0.take()
            && !pool.stop(WORKER_PATIENCE)
        {
            log::info!("a job was under way and is left undone");
        }
    }
}

/// The thread that answers queries.
pub(super) struct QueryPort(QueryThread);

impl QueryPort {
    pub(super) fn start(wake: &Wake) -> io::Result<Self> {
        QueryThread::start(wake).map(Self)
    }
}

impl Queries for QueryPort {
    fn run(&mut self, query: QueryId, work: Query) {
        self.0.run(query.0, work);
    }

    fn take_done(&mut self) -> Option<(QueryId, String)> {
        let (number, answer) = self.0.take_done()?;
        Some((QueryId(number), answer))
    }
}

/// What came of a recording that was to be saved.
type SaveResult = (SaveId, Result<Saved, String>);

/// The log thread.
pub(super) struct LogPort {
    thread: Option<LogThread>,
    reader: Reader,
    wake: Wake,
    reports: Receiver<Report>,
    done: VecDeque<Completion>,
    /// Whether the disk is full.
    is_full: bool,
    /// Whether pieces of the recording were left out, so that it goes on with a snapshot.
    interrupted: bool,
    /// What the thread had no room for.
    waiting: VecDeque<Request>,
    /// For each request under way, in order: which of its records a recording needs.
    noted: VecDeque<Vec<Noted>>,
    /// Where a recording finds them.
    places: Places,
    /// Pieces that were handed over, and that are written.
    pieces: (u64, u64),
    /// Whether the loop is to be woken for pieces as well.
    awaits_pieces: Arc<AtomicBool>,
    /// Where recordings are saved.
    recordings: PathBuf,
    /// Recordings to save, each when so many pieces are written.
    saves: VecDeque<(u64, SaveId, String)>,
    saved: (Sender<SaveResult>, Receiver<SaveResult>),
}

/// What a record is to a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    Nothing,
    Block,
    Piece { begins: bool },
}

impl Noted {
    fn of(record: &Append) -> Self {
        match record.kind {
            Kind::Block => Self::Block,
            Kind::Input => Self::Piece {
                begins: recording::begins(&record.body),
            },
            _ => Self::Nothing,
        }
    }
}

impl LogPort {
    pub(super) fn start(
        store: Store,
        places: Places,
        recordings: PathBuf,
        wake: Wake,
    ) -> io::Result<Self> {
        // As many completions wait here as requests were made; the node bounds those.
        let (sender, reports) = unbounded();
        let reader = store.reader();
        let waker = Arc::clone(&wake);
        let awaits_pieces = Arc::new(AtomicBool::new(false));
        let awaited = Arc::clone(&awaits_pieces);
        let publish = move |report: Report| {
            // That inputs are recorded is by itself no reason to turn the loop.
            let matters = match &report {
                Report::Done(group) => group
                    .iter()
                    .any(|done| done.ticket != RECORDED || done.result.is_err()),
                Report::Full(_) | Report::Resumed | Report::Failed(_) => true,
            };
            // Nobody listens once the loop has ended.
            let _ = sender.send(report);
            if matters || awaited.load(Ordering::SeqCst) {
                waker();
            }
        };
        Ok(Self {
            thread: Some(LogThread::start(store, LOG_QUEUE, publish)?),
            reader,
            wake,
            reports,
            done: VecDeque::new(),
            is_full: false,
            interrupted: false,
            waiting: VecDeque::new(),
            noted: VecDeque::new(),
            places,
            pieces: (0, 0),
            awaits_pieces,
            recordings,
            saves: VecDeque::new(),
            saved: unbounded(),
        })
    }

    /// Hands over what waits, as far as there is room; says whether all of it went.
    fn fill(&mut self) -> bool {
        let Some(thread) = &self.thread else {
            return true;
        };
        while let Some(request) = self.waiting.pop_front() {
            match thread.submit(request) {
                Ok(()) => {}
                Err(Rejected::Busy(request)) => {
                    self.waiting.push_front(request);
                    return false;
                }
                // Why it stopped is among the completions.
                Err(Rejected::Stopped(_)) => self.waiting.clear(),
            }
        }
        true
    }

    /// Takes note of where the records of the oldest request under way stand.
    fn note(&mut self, result: &Result<Vec<Lsn>, Failure>) {
        let noted = self.noted.pop_front().unwrap_or_default();
        for (noted, lsn) in noted.into_iter().zip(result.as_deref().unwrap_or_default()) {
            match noted {
                Noted::Nothing => {}
                Noted::Block => self.places.add_block(*lsn),
                Noted::Piece { begins } => {
                    self.pieces.1 += 1;
                    self.places.add_piece(*lsn, begins);
                }
            }
        }
    }

    /// Begins to save the recordings whose last piece is written.
    fn begin_saves(&mut self) {
        while self
            .saves
            .front()
            .is_some_and(|(after, ..)| *after <= self.pieces.1)
        {
            let Some((_, save, name)) = self.saves.pop_front() else {
                return;
            };
            let file = self.recordings.join(name);
            let (places, reader) = (self.places.clone(), self.reader.clone());
            let (sender, wake) = (self.saved.0.clone(), Arc::clone(&self.wake));
            let work = move || {
                let result = recording::save(&places, &reader, &file);
                let _ = sender.send((save, result.map_err(|error| error.to_string())));
                wake();
            };
            let thread = std::thread::Builder::new().name("save-record".to_owned());
            if let Err(error) = thread.spawn(work) {
                let text = format!("a thread can't be started: {error}");
                let _ = self.saved.0.send((save, Err(text)));
            }
        }
        self.awaits_pieces
            .store(!self.saves.is_empty(), Ordering::SeqCst);
    }
}

impl LogQueue for LogPort {
    fn push(&mut self, request: Request) {
        self.noted
            .push_back(request.records.iter().map(Noted::of).collect());
        self.waiting.push_back(request);
        self.fill();
    }

    fn take_done(&mut self) -> Option<Result<Logged, Failure>> {
        loop {
            if self.done.is_empty() {
                match self.reports.try_recv().ok()? {
                    Report::Done(group) => self.done.extend(group),
                    Report::Full(full) => {
                        log::error!("{full}");
                        self.is_full = true;
                        return Some(Ok(Logged::DiskFull(true)));
                    }
                    Report::Resumed => {
                        self.is_full = false;
                        return Some(Ok(Logged::DiskFull(false)));
                    }
                    Report::Failed(failure) => return Some(Err(failure)),
                }
                self.fill();
            }
            while let Some(done) = self.done.pop_front() {
                self.note(&done.result);
                self.begin_saves();
                if done.ticket != RECORDED || done.result.is_err() {
                    return Some(Ok(Logged::Done(done)));
                }
            }
        }
    }

    fn record(&mut self, mut pieces: Vec<Vec<u8>>) {
        // A recording is no reason to let memory grow while the disk is full. It has a gap then,
        // and goes on with the next snapshot.
        self.interrupted |= self.is_full;
        if self.interrupted {
            let next = pieces.iter().position(|piece| recording::begins(piece));
            match next.filter(|_| !self.is_full) {
                Some(next) => {
                    pieces.drain(..next);
                    self.interrupted = false;
                    self.places.interrupt();
                }
                None => return,
            }
        }
        self.pieces.0 += pieces.len() as u64;
        let append = |piece| Append::new(Log::Record, Kind::Input, piece);
        self.push(Request {
            ticket: RECORDED,
            records: pieces.into_iter().map(append).collect(),
            sync: false,
            then: None,
        });
    }

    fn save_record(&mut self, save: SaveId, name: String) {
        self.saves.push_back((self.pieces.0, save, name));
        self.begin_saves();
        // What was written before this was awaited is found in the turn that this begins.
        (self.wake)();
    }

    fn take_saved(&mut self) -> Option<SaveResult> {
        self.saved.1.try_recv().ok()
    }

    fn is_working(&self) -> bool {
        self.thread.as_ref().is_some_and(LogThread::is_working)
    }

    fn finish(&mut self) -> Result<(), Failure> {
        while !self.fill() {
            // The thread takes more once it has written a group.
            if self.reports.recv().is_err() {
                break;
            }
        }
        match self.thread.take() {
            Some(thread) => thread.shutdown(),
            None => Ok(()),
        }
    }
}
