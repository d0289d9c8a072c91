//! Threads that do slow work.
//!
//! *Owns* the threads, each with its workbench. *Invariants*: each job is answered exactly once,
//! in any order; queueing a job never blocks: what the threads' channel has no room for waits
//! with the owner of the [`Pool`], who bounds how many jobs it starts.
//! *Never* decides what is worth doing, and never ends a job early: a replay does every job again,
//! and must get what was got here.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};

use crate::node::{Job, JobId, JobResult, Workbench};

/// Jobs that wait in the channel, for each thread: enough that none waits for the loop.
const QUEUE_PER_THREAD: usize = 16;

/// A pool of threads that do jobs.
pub struct Pool {
    jobs: Option<Sender<(JobId, Job)>>,
    results: Receiver<(JobId, JobResult)>,
    /// Jobs that the channel had no room for.
    waiting: VecDeque<(JobId, Job)>,
    threads: Vec<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
}

impl Pool {
    /// Starts one thread for each workbench. `wake` is called whenever a result is there.
    pub fn start(benches: Vec<Workbench>, wake: &Arc<dyn Fn() + Send + Sync>) -> io::Result<Self> {
        let (jobs, queue) = bounded(QUEUE_PER_THREAD * benches.len());
        // No more results than jobs were started wait here, and their owner bounds those.
        let (done, results) = unbounded();
        let stopping = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (number, bench) in benches.into_iter().enumerate() {
            let (queue, done, wake) = (queue.clone(), done.clone(), Arc::clone(wake));
            let stopping = Arc::clone(&stopping);
            let thread = thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || work(bench, &queue, &done, &stopping, &*wake))?;
            threads.push(thread);
        }
        Ok(Self {
            jobs: Some(jobs),
            results,
            waiting: VecDeque::new(),
            threads,
            stopping,
        })
    }

    /// Starts a job.
    pub fn run(&mut self, job: JobId, work: Job) {
        self.waiting.push_back((job, work));
        self.fill();
    }

    /// Takes the result of a job that is done.
    pub fn take_done(&mut self) -> Option<(JobId, JobResult)> {
        self.fill();
        self.results.try_recv().ok()
    }

    /// Puts what waits into the channel, as far as there is room.
    fn fill(&mut self) {
        let Some(jobs) = &self.jobs else {
            return;
        };
        while let Some(next) = self.waiting.pop_front() {
            match jobs.try_send(next) {
                Ok(()) => {}
                Err(TrySendError::Full(next)) => return self.waiting.push_front(next),
                Err(TrySendError::Disconnected(_)) => panic!("a worker ended before its pool"),
            }
        }
    }

    /// Ends the pool: what waits is not begun, what is under way is waited for, but no longer
    /// than `patience`; the end of the process ends the rest. Says whether all threads ended.
    pub fn stop(mut self, patience: Duration) -> bool {
        self.stopping.store(true, Ordering::Relaxed);
        self.jobs = None;
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
    queue: &Receiver<(JobId, Job)>,
    done: &Sender<(JobId, JobResult)>,
    stopping: &AtomicBool,
    wake: &(dyn Fn() + Send + Sync),
) {
    while let Ok((job, work)) = queue.recv() {
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

#[cfg(test)]
mod tests;
