//! What the loop needs from others, which the composition root gives it.

use std::sync::Arc;

use crate::base::{Span, Time};
use crate::node::{CallError, CallId, Job, JobId, JobResult, Published, Question, Reply};
use crate::store::{Completion, Failure, Lsn, Request};
use crate::types::BlockId;

use super::http::{HttpRequest, HttpResponse};

/// Threads that do jobs. They call the loop's waker when one is done.
pub trait Workers {
    /// Starts a job; never blocks.
    fn run(&mut self, job: JobId, work: Job);
    /// Takes the result of a job that is done.
    fn take_done(&mut self) -> Option<(JobId, JobResult)>;
    /// Ends the threads. Jobs that were not begun are not done.
    fn finish(&mut self);
}

/// What answers a caller from what is published, with the text of the answer.
pub type Query = Box<dyn FnOnce() -> String + Send>;

/// The thread that answers queries. It calls the loop's waker when one is answered.
pub trait Queries {
    /// Starts a query; never blocks.
    fn run(&mut self, query: QueryId, work: Query);
    /// Takes the answer of a query.
    fn take_done(&mut self) -> Option<(QueryId, String)>;
}

/// What the log thread tells.
#[derive(Debug)]
pub enum Logged {
    /// What came of a request.
    Done(Completion),
    /// The disk is full, and everything waits; or no longer.
    DiskFull(bool),
}

/// The thread that writes the logs. It calls the loop's waker when something is written.
pub trait LogQueue {
    /// Queues records; never blocks.
    fn push(&mut self, request: Request);
    /// Takes what there is to tell, or the failure after which nothing more is written.
    fn take_done(&mut self) -> Option<Result<Logged, Failure>>;
    /// Appends pieces of the node's recording; nobody is told when they are written.
    fn record(&mut self, pieces: Vec<Vec<u8>>);
    /// Writes everything recorded so far to a new file of this name, and calls the loop's waker
    /// when it is there.
    fn save_record(&mut self, save: SaveId, name: String);
    /// Takes what came of a save: what is in the file, or why there is none.
    fn take_saved(&mut self) -> Option<(SaveId, Result<Saved, String>)>;
    /// Whether the thread is there to write. It is not after a failure, nor after a bug.
    fn is_working(&self) -> bool;
    /// Writes what waits, and ends the logs as they should end.
    fn finish(&mut self) -> Result<(), Failure>;
}

/// Who started the process and wants to hear that it lives.
pub trait Supervisor {
    /// How often it wants to hear that; None when nobody listens.
    fn interval(&self) -> Option<Span>;
    /// The loop turns and the logs are written. `published` is what readers see, once there is
    /// something.
    fn alive(&mut self, published: Option<&Published>);
    /// The loop begins to stop: the process is to end soon, whatever keeps it.
    fn stopping(&mut self);
}

/// Who keeps the list of bans for the next start.
pub trait BanFile {
    /// Begins to write the list, in place of the one before; never blocks. The loop's waker is
    /// called when it is written.
    fn keep(&mut self, call: CallId, text: Arc<str>);
    /// Takes the outcome of a write.
    fn take_kept(&mut self) -> Option<(CallId, Result<(), String>)>;
}

/// Who keeps blocks on whose outcome nodes do not agree.
pub trait EvidenceFolder {
    /// Begins to write a block's bytes, unless there are many already; never blocks.
    fn keep(&mut self, id: BlockId, bytes: Arc<[u8]>);
}

/// An HTTP request that waits for its answer, by its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExchangeId(pub u64);

/// A query under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueryId(pub u64);

/// A recording on its way to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SaveId(pub u64);

/// A recording that is in its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// How many bytes the file has.
    pub bytes: u64,
    /// Where in the block log blocks stand that can't be read: the file lacks them.
    pub missing: Vec<Lsn>,
}

/// Who answers HTTP requests.
pub trait Service {
    /// A request came. It is answered by [`Desk::respond`], now or later.
    fn request(&mut self, exchange: ExchangeId, request: HttpRequest, desk: &mut Desk<'_>);
    /// The node answers a question of [`Desk::ask`].
    fn answered(&mut self, call: CallId, reply: Result<Reply, CallError>, desk: &mut Desk<'_>);
    /// A query of [`Desk::query`] is answered.
    fn queried(&mut self, query: QueryId, answer: String, desk: &mut Desk<'_>);
    /// A recording of [`Desk::save_record`] is in its file, so many bytes, or could not be written.
    fn saved(&mut self, save: SaveId, result: Result<Saved, String>, desk: &mut Desk<'_>);
    /// The client of an unanswered request sends no more: it may have gone, or only have said all
    /// that it has to say.
    fn left(&mut self, exchange: ExchangeId, desk: &mut Desk<'_>);
    /// The client of an unanswered request went away.
    fn gone(&mut self, exchange: ExchangeId, desk: &mut Desk<'_>);
}

/// What the loop counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Turns of the loop.
    pub turns: u64,
    /// The longest turn in microseconds.
    pub turn_micros_max: u64,
    /// Inputs that the node was given.
    pub inputs: u64,
    /// Jobs that were started.
    pub jobs: u64,
    /// Changes of the tip that left blocks behind.
    pub reorganisations: u64,
    /// Blocks that left the best chain in them.
    pub disconnected: u64,
    /// Connections of peers that were accepted.
    pub accepted: u64,
    /// Connections to peers that were tried.
    pub dialled: u64,
    /// Connections of peers that ended for a fault.
    pub faults: u64,
    /// Bytes from peers.
    pub peer_bytes_in: u64,
    /// Bytes to peers.
    pub peer_bytes_out: u64,
    /// HTTP requests.
    pub http_requests: u64,
    /// HTTP connections that are open.
    pub http_connections: u64,
}

/// What a service wants done.
#[derive(Default)]
pub(super) struct Wishes {
    pub(super) questions: Vec<(CallId, Question)>,
    pub(super) queries: Vec<(QueryId, Query)>,
    pub(super) left: Vec<CallId>,
    pub(super) responses: Vec<(ExchangeId, HttpResponse)>,
    pub(super) saves: Vec<(SaveId, String)>,
    pub(super) stop: bool,
}

/// Where a [`Service`] sees what it needs, and says what it wants.
pub struct Desk<'a> {
    /// The time.
    pub now: Time,
    /// What readers see, once there is something.
    pub published: Option<&'a Arc<Published>>,
    /// What the loop has counted.
    pub counters: &'a Counters,
    /// Whether the node's inputs are being recorded.
    pub is_recording: bool,
    pub(super) next_call: &'a mut u64,
    pub(super) wishes: &'a mut Wishes,
}

impl Desk<'_> {
    /// Asks the node; [`Service::answered`] brings the reply.
    pub fn ask(&mut self, question: Question) -> CallId {
        *self.next_call += 1;
        let call = CallId(*self.next_call);
        self.wishes.questions.push((call, question));
        call
    }

    /// Has a query answered beside the loop; [`Service::queried`] brings the answer.
    pub fn query(&mut self, work: Query) -> QueryId {
        *self.next_call += 1;
        let query = QueryId(*self.next_call);
        self.wishes.queries.push((query, work));
        query
    }

    /// Tells the node that whoever waits for this reply may have gone.
    pub fn caller_left(&mut self, call: CallId) {
        self.wishes.left.push(call);
    }

    /// Answers a request.
    pub fn respond(&mut self, exchange: ExchangeId, response: HttpResponse) {
        self.wishes.responses.push((exchange, response));
    }

    /// Writes the recording to a new file of this name; [`Service::saved`] says when it is there.
    pub fn save_record(&mut self, name: String) -> SaveId {
        *self.next_call += 1;
        let save = SaveId(*self.next_call);
        self.wishes.saves.push((save, name));
        save
    }

    /// Stops the process, as a signal would.
    pub fn stop(&mut self) {
        self.wishes.stop = true;
    }
}

/// A desk without a loop.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct LooseDesk {
    pub(crate) published: Option<Arc<Published>>,
    counters: Counters,
    next_call: u64,
    wishes: Wishes,
}

#[cfg(test)]
impl LooseDesk {
    pub(crate) fn desk(&mut self) -> Desk<'_> {
        Desk {
            now: Time::from_millis(5_000),
            published: self.published.as_ref(),
            counters: &self.counters,
            is_recording: true,
            next_call: &mut self.next_call,
            wishes: &mut self.wishes,
        }
    }

    pub(crate) fn take_saves(&mut self) -> Vec<(SaveId, String)> {
        std::mem::take(&mut self.wishes.saves)
    }

    pub(crate) fn take_questions(&mut self) -> Vec<(CallId, Question)> {
        std::mem::take(&mut self.wishes.questions)
    }

    pub(crate) fn take_queries(&mut self) -> Vec<(QueryId, Query)> {
        std::mem::take(&mut self.wishes.queries)
    }

    pub(crate) fn take_left(&mut self) -> Vec<CallId> {
        std::mem::take(&mut self.wishes.left)
    }

    pub(crate) fn take_responses(&mut self) -> Vec<(ExchangeId, HttpResponse)> {
        std::mem::take(&mut self.wishes.responses)
    }

    pub(crate) fn wants_stop(&self) -> bool {
        self.wishes.stop
    }
}
