//! Processes that are stopped and go on, as by SIGSTOP and SIGCONT.
//!
//! All threads of a process stop at once. What the kernel was given before is done: a group of
//! records that is on its way to the disk comes there. What the process would do next waits: the
//! loop's inputs, the next group, and the rest of each job.

use crate::base::{Span, Time};
use crate::node::{JobId, JobResult};

use super::jobs::UnderWay;
use super::{Happening, NodeIndex, World};

/// What waits in a process that is stopped.
pub(super) struct Stopped {
    since: Time,
    until: Time,
    /// What the log's thread does next, and how long after it goes on.
    pub(super) log: Option<(Span, Happening)>,
    /// Jobs that would have been done meanwhile, and when.
    jobs: Vec<(Time, JobId, JobResult)>,
    /// Whether a write or a sync failed, over which the process ends when it hears of it.
    pub(super) has_failed: bool,
}

impl World {
    /// Stops a process for so long, as SIGSTOP does.
    pub fn pause(&mut self, index: NodeIndex, span: Span) {
        let (now, until) = (self.now, self.now + span);
        let machine = &mut self.machines[index.0];
        let life = machine.life;
        let Some(running) = &mut machine.running else {
            return;
        };
        // What came meanwhile is looked at after all of the process has gone on.
        let free = until + Span::from_micros(1);
        running.loop_free = running.loop_free.max(free);
        let stopped = running.stopped.get_or_insert_with(|| {
            Box::new(Stopped {
                since: now,
                until,
                log: None,
                jobs: Vec::new(),
                has_failed: false,
            })
        });
        stopped.until = stopped.until.max(until);
        let node = index.0 as u32;
        self.queue.push(until, Happening::GoOn { node, life });
    }

    /// Lets a process that is stopped go on, as SIGCONT does.
    pub fn go_on(&mut self, index: NodeIndex) {
        let now = self.now;
        if let Some(running) = &mut self.machines[index.0].running
            && let Some(stopped) = &mut running.stopped
        {
            stopped.until = now;
            (running.loop_free, running.awaits_turn) = (now, false);
            let life = self.machines[index.0].life;
            self.resume_process(index.0, life);
        }
    }

    pub(super) fn is_stopped(&self, node: usize) -> bool {
        let running = self.machines[node].running.as_ref();
        running.is_some_and(|running| running.stopped.is_some())
    }

    /// A process goes on, unless it was stopped for longer since.
    pub(super) fn resume_process(&mut self, node: usize, life: u32) {
        let (now, place) = (self.now, node as u32);
        let machine = &mut self.machines[node];
        let Some(running) = machine.running.as_mut().filter(|_| machine.life == life) else {
            return;
        };
        let is_over = |stopped: &mut Box<Stopped>| stopped.until <= now;
        let Some(stopped) = running.stopped.take_if(is_over) else {
            return;
        };
        if stopped.has_failed {
            return self.process_ended(node);
        }
        let stood = now.since(stopped.since);
        running.stood = running.stood + stood;
        for free in &mut running.cores_free {
            if *free > stopped.since {
                *free += stood;
            }
        }
        for (at, job, result) in stopped.jobs {
            let stood = running.stood;
            let under_way = Box::new(UnderWay::done(job, stood, result));
            let at = at + now.since(stopped.since);
            let happening = Happening::Finished {
                node: place,
                life,
                job: under_way,
            };
            self.queue.push(at, happening);
        }
        if let Some((after, happening)) = stopped.log {
            self.queue.push(now + after, happening);
        }
        self.await_turn(node);
    }

    /// Whether a job is done only later, because its process stands still or stood still meanwhile;
    /// then it is, in time.
    pub(super) fn job_waits(
        &mut self,
        node: usize,
        stood: Span,
        job: JobId,
        result: JobResult,
    ) -> Option<JobResult> {
        let now = self.now;
        let machine = &mut self.machines[node];
        let (life, place) = (machine.life, node as u32);
        let running = machine.running.as_mut()?;
        if running.stood > stood {
            let late = Span::from_micros(running.stood.as_micros() - stood.as_micros());
            let job = Box::new(UnderWay::done(job, running.stood, result));
            let happening = Happening::Finished {
                node: place,
                life,
                job,
            };
            self.queue.push(now + late, happening);
            return None;
        }
        match &mut running.stopped {
            Some(stopped) => {
                stopped.jobs.push((now, job, result));
                None
            }
            None => Some(result),
        }
    }
}
