//! Group commit: everything queued becomes one append and one sync.

use std::collections::{BTreeSet, VecDeque};

use super::append::{Append, Store};
use super::failure::Failure;
use super::record::{Log, Lsn};

/// The bytes at which a group is closed.
const GROUP_BYTES: usize = 4 << 20;

/// Something to be written, and what to call it when it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Names the request in its completion.
    pub ticket: u64,
    /// What to write.
    pub records: Vec<Append>,
    /// Whether it is done only when it is durable.
    pub sync: bool,
    /// What to do when that is done.
    pub then: Option<Upkeep>,
}

impl Request {
    /// A request to make records durable.
    #[must_use]
    pub fn durable(ticket: u64, records: Vec<Append>) -> Self {
        Self {
            ticket,
            records,
            sync: true,
            then: None,
        }
    }
}

/// A change of what a directory keeps. It is durable with everything before it when it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// The last record of the request is the newest complete checkpoint, and of the state log only
    /// these segments are needed besides the one that is written to.
    Checkpoint {
        /// The segments.
        needed: BTreeSet<u64>,
    },
    /// The newest complete checkpoint that can be used is this one, or there is none: what newer
    /// ones refer to is damaged. Its completion is a failure, which ends the process.
    GoBack {
        /// Where its record stands.
        to: Option<Lsn>,
    },
    /// Drop the segments of a log below this one.
    Forget {
        /// The log.
        log: Log,
        /// The first segment to keep.
        first_kept: u64,
    },
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The request.
    pub ticket: u64,
    /// Where its records stand, in their order.
    pub result: Result<Vec<Lsn>, Failure>,
}

/// The queue of requests before a store: the log thread and the simulator run the same one.
#[derive(Debug, Default)]
pub struct Commits {
    queue: VecDeque<Request>,
    full: Option<Failure>,
}

impl Commits {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a request.
    pub fn push(&mut self, request: Request) {
        self.queue.push_back(request);
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Which log had no room at the last try, if one had none. What waits is in its order, and
    /// [`run`](Self::run) tries again.
    #[must_use]
    pub const fn full(&self) -> Option<&Failure> {
        self.full.as_ref()
    }

    /// Does the next group of requests: everything that waits, up to 4 MiB. One completion for
    /// each that was done, in their order; for want of space the rest goes on waiting, because a
    /// record that is missing would leave a gap that those behind it build on.
    pub fn run(&mut self, store: &mut Store) -> Vec<Completion> {
        let mut group = self.take_group();
        let (mut results, full) = append_group(store, &group);
        self.full = full;
        for request in group.drain(results.len()..).rev() {
            self.queue.push_front(request);
        }
        let wants_sync = |(request, result): (&Request, &Result<_, _>)| {
            result.is_ok() && (request.sync || request.then.is_some())
        };
        if group.iter().zip(&results).any(wants_sync)
            && let Err(failure) = store.sync()
        {
            results.fill(Err(failure));
        }
        let finish = |(request, result): (Request, Result<Vec<Lsn>, Failure>)| {
            let result = result.and_then(|lsns| {
                keep_up(store, request.then, &lsns)?;
                Ok(lsns)
            });
            Completion {
                ticket: request.ticket,
                result,
            }
        };
        group.into_iter().zip(results).map(finish).collect()
    }

    fn take_group(&mut self) -> Vec<Request> {
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(request) = self.queue.front() {
            let more: usize = request.records.iter().map(|record| record.body.len()).sum();
            if !group.is_empty() && bytes + more > GROUP_BYTES {
                break;
            }
            bytes += more;
            group.extend(self.queue.pop_front());
        }
        group
    }
}

/// What came of the first requests of a group: of all of them, unless a log has no room.
type Results = (Vec<Result<Vec<Lsn>, Failure>>, Option<Failure>);

/// Appends a group in one go. When it is refused as a whole, each request is tried by itself, so
/// that one that can't be written does not take the others with it.
fn append_group(store: &mut Store, group: &[Request]) -> Results {
    let all: Vec<&Append> = group.iter().flat_map(|request| &request.records).collect();
    match store.append_group(&all) {
        Ok(lsns) => {
            let mut lsns = lsns.into_iter();
            let of_request =
                |request: &Request| Ok(lsns.by_ref().take(request.records.len()).collect());
            (group.iter().map(of_request).collect(), None)
        }
        Err(Failure::Full { .. } | Failure::TooLarge { .. }) => {
            let mut results = Vec::new();
            for request in group {
                match store.append(&request.records) {
                    Err(full @ Failure::Full { .. }) => return (results, Some(full)),
                    result => results.push(result),
                }
            }
            (results, None)
        }
        Err(failure) => (group.iter().map(|_| Err(failure.clone())).collect(), None),
    }
}

fn keep_up(store: &mut Store, then: Option<Upkeep>, lsns: &[Lsn]) -> Result<(), Failure> {
    match then {
        None => Ok(()),
        Some(Upkeep::Checkpoint { needed }) => match lsns.last() {
            Some(at) => {
                store.set_checkpoint(*at)?;
                store.keep_only(Log::State, &needed)
            }
            None => Ok(()),
        },
        Some(Upkeep::GoBack { to }) => {
            store.go_back(to)?;
            Err(Failure::Damaged { log: Log::State })
        }
        Some(Upkeep::Forget { log, first_kept }) => store.forget_before(log, first_kept),
    }
}
