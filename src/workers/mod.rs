//! Threads that do slow work.
//!
//! *Owns* the threads, each with its workbench. *Invariants*: each job is answered exactly once,
//! in any order; of two jobs that wait the urgent one is begun first; queueing a job never blocks:
//! what the threads' channels have no room for waits with the owner of the [`Pool`], who bounds how
//! many jobs it starts.
//! *Never* decides what is worth doing, and never ends a job early: a replay does every job again,
//! and must get what was got here.

mod queries;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select_biased, unbounded};

use crate::node::{Job, JobId, JobResult, Workbench};

pub use queries::{Query, QueryThread};

/// Jobs of each kind that wait in the channel, for each thread: enough that none waits for the
/// loop.
const QUEUE_PER_THREAD: usize = 16;

/// A pool of threads that do jobs.
pub struct Pool {
    urgent: Option<Queue>,
    others: Option<Queue>,
    results: Receiver<(JobId, JobResult)>,
    threads: Vec<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
}

/// Jobs on their way to the threads.
struct Queue {
    channel: Sender<(JobId, Job)>,
    /// Jobs that the channel had no room for.
    waiting: VecDeque<(JobId, Job)>,
}

impl Queue {
    fn new(capacity: usize) -> (Self, Receiver<(JobId, Job)>) {
        let (channel, receiver) = bounded(capacity);
        let waiting = VecDeque::new();
        (Self { channel, waiting }, receiver)
    }

    /// Puts what waits into the channel, as far as there is room.
    fn fill(&mut self) {
        while let Some(next) = self.waiting.pop_front() {
            match self.channel.try_send(next) {
                Ok(()) => {}
                Err(TrySendError::Full(next)) => return self.waiting.push_front(next),
                Err(TrySendError::Disconnected(_)) => panic!("a worker ended before its pool"),
            }
        }
    }
}

impl Pool {
    /// Starts one thread for each workbench. `wake` is called whenever a result is there.
    pub fn start(benches: Vec<Workbench>, wake: &Arc<dyn Fn() + Send + Sync>) -> io::Result<Self> {
        let capacity = QUEUE_PER_THREAD * benches.len();
        let ((urgent, urgent_queue), (others, other_queue)) =
            (Queue::new(capacity), Queue::new(capacity));
        // No more results than jobs were started wait here, and their owner bounds those.
        let (done, results) = unbounded();
        let stopping = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (number, bench) in benches.into_iter().enumerate() {
            let queues = [urgent_queue.clone(), other_queue.clone()];
            let (done, wake) = (done.clone(), Arc::clone(wake));
            let stopping = Arc::clone(&stopping);
            let thread = thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || work(bench, &queues, &done, &stopping, &*wake))?;
            threads.push(thread);
        }
        Ok(Self {
            urgent: Some(urgent),
            others: Some(others),
            results,
            threads,
            stopping,
        })
    }

    /// Starts a job.
    pub fn run(&mut self, job: JobId, work: Job) {
        let queue = if work.is_urgent() {
            &mut self.urgent
        } else {
            &mut self.others
        };
        if let Some(queue) = queue {
            queue.waiting.push_back((job, work));
            queue.fill();
        }
    }

    /// Takes the result of a job that is done.
    pub fn take_done(&mut self) -> Option<(JobId, JobResult)> {
        for queue in [&mut self.urgent, &mut self.others].into_iter().flatten() {
            queue.fill();
        }
        self.results.try_recv().ok()
    }

    /// Ends the pool: what waits is not begun, what is under way is waited for, but no longer
    /// than `patience`; the end of the process ends the rest. Says whether all threads ended.
    pub fn stop(mut self, patience: Duration) -> bool {
        self.stopping.store(true, Ordering::Relaxed);
        (self.urgent, self.others) = (None, None);
        let begun = now();
        // The channel of results closes when the last thread has ended.
        loop {
            let left = patience.saturating_sub(now().duration_since(begun));
            match self.results.recv_timeout(left) {
                Ok(_) => {}
                Err(error) if error.is_timeout() => return false,
                Err(_) => break,
            }
        }
        self.threads.drain(..).all(|thread| thread.join().is_ok())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a bounded wait for threads needs the clock"
)]
fn now() -> Instant {
    Instant::now()
}

fn work(
    mut bench: Workbench,
    queues: &[Receiver<(JobId, Job)>; 2],
    done: &Sender<(JobId, JobResult)>,
    stopping: &AtomicBool,
    wake: &(dyn Fn() + Send + Sync),
) {
    while let Some((job, work)) = next(queues) {
        if stopping.load(Ordering::Relaxed) {
            return;
        }
        let result = work.run(&mut bench);
        if done.send((job, result)).is_err() {
            return;
        }
        wake();
    }
}

/// The next job, waited for: one of the first queue if there is any. None when the pool ends.
fn next([urgent, others]: &[Receiver<(JobId, Job)>; 2]) -> Option<(JobId, Job)> {
    select_biased! {
        recv(urgent) -> job => job.ok(),
        recv(others) -> job => job.ok(),
    }
}

#[cfg(test)]
mod tests;
