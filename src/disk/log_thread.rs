//! The thread that owns the store.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use crate::store::{Commits, Completion, Failure, Request, Store};

/// How long nothing may come before the thread does what is better done then.
const IDLE: Duration = Duration::from_millis(10);
/// How often a full disk is asked for space again.
const RETRY: Duration = Duration::from_secs(1);

/// What the thread tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// What came of requests, in their order.
    Done(Vec<Completion>),
    /// There is no space for a log, as the failure says: everything waits.
    Full(Failure),
    /// There is space again.
    Resumed,
    /// The disk failed: nothing more is written.
    Failed(Failure),
}

/// Writes requests in the order they come: everything that waits becomes one write and one sync.
/// Dropping it is for a start that came to nothing: it [leaves](Store::leave) the store, so that
/// what the process before left unfinished is still known to be.
pub struct LogThread {
    requests: Option<Sender<Request>>,
    /// Whether the process ends as it should.
    closes: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), Failure>>>,
}

/// A request that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// As many requests wait as may.
    Busy(Request),
    /// The disk failed, and the failure was reported.
    Stopped(Request),
}

impl LogThread {
    /// Starts the thread. At most `capacity` requests wait before it. It calls `publish` with the
    /// completions of each group, in order, and with what else there is to tell; that must wake
    /// whoever waits for it, and not block.
    pub fn start(
        store: Store,
        capacity: usize,
        publish: impl FnMut(Report) + Send + 'static,
    ) -> io::Result<Self> {
        let (requests, queue) = bounded(capacity);
        let closes = Arc::new(AtomicBool::new(false));
        let closing = Arc::clone(&closes);
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || work(store, &queue, publish, &closing))?;
        Ok(Self {
            requests: Some(requests),
            closes,
            thread: Some(thread),
        })
    }

    /// Hands over a request, without waiting.
    pub fn submit(&self, request: Request) -> Result<(), Rejected> {
        let requests = self.requests.as_ref().expect("it is taken by the end only");
        requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(request) => Rejected::Busy(request),
            TrySendError::Disconnected(request) => Rejected::Stopped(request),
        })
    }

    /// Whether the thread is there to write. It is not after a failure, nor after a bug in it.
    #[must_use]
    pub fn is_working(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }

    /// Writes what waits, then ends as a store should, and says how that went.
    pub fn shutdown(mut self) -> Result<(), Failure> {
        self.closes.store(true, Ordering::Release);
        self.end()
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.requests = None;
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // The failure was reported to the one who waits for completions.
            let _ = self.end();
        }
    }
}

fn work(
    store: Store,
    queue: &Receiver<Request>,
    mut publish: impl FnMut(Report),
    closes: &AtomicBool,
) -> Result<(), Failure> {
    let result = serve(store, queue, &mut publish).and_then(|store| {
        if closes.load(Ordering::Acquire) {
            store.close()
        } else {
            store.leave()
        }
    });
    if let Err(failure) = &result {
        publish(Report::Failed(failure.clone()));
    }
    result
}

/// Writes what comes until nothing more can come.
fn serve(
    mut store: Store,
    queue: &Receiver<Request>,
    publish: &mut impl FnMut(Report),
) -> Result<Store, Failure> {
    let mut commits = Commits::new();
    let (mut is_idle, mut is_full) = (true, false);
    loop {
        let request = if is_idle {
            queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            queue.recv_timeout(IDLE)
        };
        match request {
            Ok(request) => commits.push(request),
            Err(RecvTimeoutError::Timeout) => {
                store.idle()?;
                is_idle = true;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(store),
        }
        while !commits.is_empty() {
            queue.try_iter().for_each(|request| commits.push(request));
            let done = commits.run(&mut store);
            let failure = done.iter().find_map(|done| match &done.result {
                Err(failure @ Failure::Broken(_)) => Some(failure.clone()),
                _ => None,
            });
            if is_full && commits.full().is_none() {
                is_full = false;
                publish(Report::Resumed);
            }
            publish(Report::Done(done));
            if let Some(failure) = failure {
                return Err(failure);
            }
            is_idle = false;
            let Some(full) = commits.full() else {
                continue;
            };
            if !is_full {
                is_full = true;
                publish(Report::Full(full.clone()));
            }
            // Nothing else can be done meanwhile. What waits was acknowledged to nobody, so an end
            // of the process may drop it.
            if !wait_for_retry(queue, &mut commits) {
                return Ok(store);
            }
        }
    }
}

/// Takes requests until it is time to try again; says whether more can come.
fn wait_for_retry(queue: &Receiver<Request>, commits: &mut Commits) -> bool {
    let retry = crossbeam_channel::after(RETRY);
    loop {
        crossbeam_channel::select! {
            recv(retry) -> _ => return true,
            recv(queue) -> request => match request {
                Ok(request) => commits.push(request),
                Err(_) => return false,
            },
        }
    }
}
