//! Slow work: when it is done, and by whom.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::base::Time;
use crate::node::{BlockReader, Input, Job, JobId, JobResult, Workbench};

use super::{Happening, World};

/// How many threads do jobs beside the loop.
const THREADS: usize = 2;

/// A job that a thread does.
struct Task {
    work: Job,
    reader: Arc<dyn BlockReader>,
    done: Sender<JobResult>,
}

/// What a thread was given, to be waited for.
pub(super) struct UnderWay {
    job: JobId,
    done: Receiver<JobResult>,
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
        let work = match work {
            Job::Search { header, start, .. } if self.is_barren => Job::Search {
                header,
                start,
                count: 0,
            },
            work => work,
        };
        let cores = usize::from(self.config.cores.clamp(1, 4));
        let cores = &mut running.cores_free[..cores];
        let core = cores.iter_mut().min().expect("a machine has a core");
        let end = at.max(*core) + cost;
        *core = end;
        let place = node as u32;
        if let Some(threads) = &self.threads {
            let (done, taken) = bounded(1);
            let reader = Arc::clone(&running.reader);
            let task = Task { work, reader, done };
            threads.tasks.send(task).expect("the threads are there");
            let job = Box::new(UnderWay { job, done: taken });
            let happening = Happening::Finished {
                node: place,
                life,
                job,
            };
            return self.queue.push(end, happening);
        }
        let result = match &mut running.bench {
            Some(bench) => work.run(bench),
            None => self.memo.run(work, &running.reader),
        };
        self.observations.job_done(end, node, &result);
        let input = Box::new(Input::Done { job, result });
        let node = place;
        self.queue.push(end, Happening::Input { node, life, input });
    }

    /// A job that a thread does should be done.
    pub(super) fn finished(&mut self, node: usize, life: u32, job: UnderWay) {
        let result = job.done.recv().expect("a thread does what it was given");
        let job = job.job;
        self.observations.job_done(self.now, node, &result);
        self.feed(node, life, Input::Done { job, result });
    }
}
