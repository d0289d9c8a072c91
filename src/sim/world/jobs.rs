//! Slow work: when it is done, and by whom.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::base::{Span, Time};
use crate::node::{BlockReader, Input, Job, JobId, JobResult, Workbench};
use crate::sim::costs::Costs;

use super::{Happening, World};

/// How many threads do jobs beside the loop.
const THREADS: usize = 2;

/// A job that a thread does.
struct Task {
    work: Job,
    reader: Arc<dyn BlockReader>,
    done: Sender<JobResult>,
}

/// A job that ends when its simulated time has passed.
pub(super) struct UnderWay {
    job: JobId,
    /// How long its process had been stopped when it began.
    stood: Span,
    result: Ending,
}

/// What comes of a job.
enum Ending {
    /// It is known.
    Known(JobResult),
    /// A thread finds it out.
    Awaited(Receiver<JobResult>),
}

impl UnderWay {
    /// One whose result is known.
    pub(super) const fn done(job: JobId, stood: Span, result: JobResult) -> Self {
        let result = Ending::Known(result);
        Self { job, stood, result }
    }
}

/// Threads that do jobs as a node's workers would: in any order, beside everything else. What
/// comes of a job is taken when its simulated time has passed, so that the threads' order never
/// shows.
pub(super) struct Threads {
    tasks: Sender<Task>,
}

impl Threads {
    #[expect(
        clippy::disallowed_methods,
        reason = "threads that show nothing of their order are what this switch is there for"
    )]
    pub(super) fn start() -> Self {
        let (tasks, queue) = unbounded::<Task>();
        for _ in 0..THREADS {
            let queue = queue.clone();
            std::thread::spawn(move || {
                for task in queue {
                    // A bench of its own for each job: what one keeps shows in no other.
                    let mut bench = Workbench::new([7; 32], task.reader);
                    let result = task.work.run(&mut bench);
                    // Nobody waits for it when the node's life ended.
                    let _ = task.done.send(result);
                }
            });
        }
        Self { tasks }
    }
}

impl World {
    /// Begins a job; its result arrives when a core has had the time for it.
    pub(super) fn work(&mut self, node: usize, at: Time, job: JobId, work: Job) {
        let machine = &mut self.machines[node];
        let life = machine.life;
        let Some(running) = &mut machine.running else {
            return;
        };
        let cost = self.config.costs.job(&work);
        let goes_with_result = Costs::goes_with_result(&work);
        let work = match work {
            Job::Search { header, start, .. } if self.is_barren => Job::Search {
                header,
                start,
                count: 0,
            },
            work => work,
        };
        let result = match (&self.threads, &mut running.bench) {
            (Some(threads), _) => {
                let (done, taken) = bounded(1);
                let reader = Arc::clone(&running.reader);
                let task = Task { work, reader, done };
                threads.tasks.send(task).expect("the threads are there");
                Ending::Awaited(taken)
            }
            (None, Some(bench)) => Ending::Known(work.run(bench)),
            (None, None) => Ending::Known(self.memo.run(work, &running.reader)),
        };
        let result = match result {
            Ending::Awaited(done) if goes_with_result => {
                Ending::Known(done.recv().expect("a thread does what it was given"))
            }
            ending => ending,
        };
        let cost = match &result {
            Ending::Known(result) => cost + self.config.costs.result(result),
            Ending::Awaited(_) => cost,
        };
        let cores = usize::from(self.config.cores.clamp(1, 4));
        let cores = &mut running.cores_free[..cores];
        let core = cores.iter_mut().min().expect("a machine has a core");
        let end = at.max(*core) + cost;
        *core = end;
        let stood = running.stood;
        let job = Box::new(UnderWay { job, stood, result });
        let node = node as u32;
        self.queue
            .push(end, Happening::Finished { node, life, job });
    }

    /// A job should be done.
    pub(super) fn finished(&mut self, node: usize, life: u32, under_way: UnderWay) {
        let UnderWay { job, stood, result } = under_way;
        if self.machines[node].life != life {
            return;
        }
        let result = match result {
            Ending::Known(result) => result,
            Ending::Awaited(done) => done.recv().expect("a thread does what it was given"),
        };
        let Some(result) = self.job_waits(node, stood, job, result) else {
            return;
        };
        self.observations.job_done(self.now, node, &result);
        self.feed(node, life, Input::Done { job, result });
    }
}
