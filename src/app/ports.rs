//! The drivers that know nothing of each other, as the loop wants to see them.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};

use crate::disk::{LogThread, Rejected};
use crate::node::{Job, JobId, JobResult, Workbench};
use crate::reactor::{LogQueue, Workers};
use crate::store::{Completion, Failure, Request, Store};
use crate::workers::Pool;

/// Requests that wait before the log thread; more wait here.
const LOG_QUEUE: usize = 1_024;
/// How long a stop waits for jobs under way. What they would give is found again at the next
/// start.
const WORKER_PATIENCE: Duration = Duration::from_millis(500);

/// The pool of workers.
pub(super) struct WorkerPort(Option<Pool>);

impl WorkerPort {
    pub(super) fn start(
        benches: Vec<Workbench>,
        wake: &Arc<dyn Fn() + Send + Sync>,
    ) -> io::Result<Self> {
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

/// The log thread.
pub(super) struct LogPort {
    thread: Option<LogThread>,
    groups: Receiver<Result<Vec<Completion>, Failure>>,
    done: VecDeque<Completion>,
    /// What the thread had no room for.
    waiting: VecDeque<Request>,
}

impl LogPort {
    pub(super) fn start(store: Store, wake: Arc<dyn Fn() + Send + Sync>) -> io::Result<Self> {
        // As many completions wait here as requests were made; the node bounds those.
        let (sender, groups) = unbounded();
        let publish = move |group| {
            // Nobody listens once the loop has ended.
            let _ = sender.send(group);
            wake();
        };
        Ok(Self {
            thread: Some(LogThread::start(store, LOG_QUEUE, publish)?),
            groups,
            done: VecDeque::new(),
            waiting: VecDeque::new(),
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
}

impl LogQueue for LogPort {
    fn push(&mut self, request: Request) {
        self.waiting.push_back(request);
        self.fill();
    }

    fn take_done(&mut self) -> Option<Result<Completion, Failure>> {
        if self.done.is_empty() {
            match self.groups.try_recv().ok()? {
                Ok(group) => self.done.extend(group),
                Err(failure) => return Some(Err(failure)),
            }
            self.fill();
        }
        self.done.pop_front().map(Ok)
    }

    fn finish(&mut self) -> Result<(), Failure> {
        while !self.fill() {
            // The thread takes more once it has written a group.
            if self.groups.recv().is_err() {
                break;
            }
        }
        match self.thread.take() {
            Some(thread) => thread.shutdown(),
            None => Ok(()),
        }
    }
}
