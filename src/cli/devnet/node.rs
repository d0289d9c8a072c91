//! One node of a devnet as the loop knows it.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::base::{Span, Time};
use crate::types::{BlockId, Height};

use super::client::{Left, Status};
use super::load::Payment;
use super::plan::Place;
use super::process::{self, NodeProcess};
use super::report::NodeReport;
use super::screen::{Condition, Row};
use super::threads::{Connect, clock, pause_thread};

/// The span that payments per second are averaged over.
const RATE_SPAN: Span = Span::from_secs(5);
/// How often a process that was asked to stop is looked after.
const END_EVERY: Duration = Duration::from_millis(20);

/// What a node's best chain left behind in all of its processes, each of which counts from 0.
#[derive(Default)]
pub(super) struct LeftByAll {
    /// By earlier processes, as far as they were asked.
    before: Left,
    /// By the latest one, and the seconds since it began.
    latest: (u64, Left),
}

impl LeftByAll {
    /// Takes note of what a process says that began so many seconds ago.
    fn heard(&mut self, uptime: u64, left: Left) {
        if uptime < self.latest.0 {
            self.before += self.latest.1;
        }
        self.latest = (uptime, left);
    }

    pub(super) fn total(&self) -> Left {
        let mut total = self.before;
        total += self.latest.1;
        total
    }
}

/// One node as the loop knows it.
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) process: NodeProcess,
    pub(super) connect: Connect,
    pub(super) payments: Sender<Payment>,
    pub(super) condition: Condition,
    pub(super) status: Option<Status>,
    pub(super) resume_at: Option<Time>,
    pub(super) restarts: u32,
    pub(super) accepted: u64,
    pub(super) left: LeftByAll,
    /// When it accepted its latest payments.
    pub(super) recent: VecDeque<Time>,
}

impl Node {
    /// A node whose process was just started.
    pub(super) fn new(
        place: Place,
        process: NodeProcess,
        connect: Connect,
        payments: Sender<Payment>,
    ) -> Self {
        Self {
            place,
            process,
            connect,
            payments,
            condition: Condition::Starting,
            status: None,
            resume_at: None,
            restarts: 0,
            accepted: 0,
            left: LeftByAll::default(),
            recent: VecDeque::new(),
        }
    }

    /// Takes note of what it says of itself.
    pub(super) fn heard(&mut self, status: Option<Status>) {
        if self.condition != Condition::Paused {
            self.condition = match status {
                Some(_) => Condition::Ready,
                None => Condition::Starting,
            };
        }
        if let Some(status) = &status {
            self.left.heard(status.uptime, status.left);
        }
        self.status = status.or(self.status.take());
    }

    /// Takes note of a payment that it accepted.
    pub(super) fn accepted(&mut self, now: Time) {
        self.accepted += 1;
        self.recent.push_back(now);
    }

    /// Kills its process as `kill -9` does and starts it again at once.
    pub(super) fn kill_and_restart(&mut self) -> io::Result<()> {
        self.restarts += 1;
        self.resume_at = None;
        self.condition = Condition::Starting;
        self.process.kill_and_restart()
    }

    /// Stops its process until `resume_at`.
    pub(super) fn pause(&mut self, resume_at: Time) -> io::Result<()> {
        self.resume_at = Some(resume_at);
        self.condition = Condition::Paused;
        self.process.pause()
    }

    /// Lets its process go on if its pause is over.
    pub(super) fn resume(&mut self, now: Time) -> io::Result<()> {
        if self.resume_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        self.resume_at = None;
        self.condition = Condition::Starting;
        self.process.resume()
    }

    /// How its process ends, which was asked to until `deadline`; what is wrong with that.
    pub(super) fn end(&mut self, number: usize, deadline: Instant) -> Option<String> {
        let status = loop {
            match self.process.ended() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if clock() < deadline => pause_thread(END_EVERY),
                Ok(None) | Err(_) => break None,
            }
        };
        match status {
            Some(status) if status.success() => None,
            Some(status) => Some(format!(
                "node {} stopped with {}; the last lines of its log:\n{}",
                number + 1,
                process::describe(status),
                self.process.log_tail()
            )),
            None => Some(format!(
                "node {} did not stop when asked to and was killed",
                number + 1
            )),
        }
    }

    /// Whether it answers.
    pub(super) fn is_ready(&self) -> bool {
        self.condition == Condition::Ready && self.status.is_some()
    }

    /// Its line of the table.
    pub(super) fn row(&mut self, now: Time) -> Row {
        while self
            .recent
            .front()
            .is_some_and(|at| now.since(*at) > RATE_SPAN)
        {
            self.recent.pop_front();
        }
        let status = self.status.as_ref();
        Row {
            address: self.place.p2p.ip(),
            condition: self.condition,
            height: status.map_or(Height::GENESIS, |status| status.height),
            tip: status.map_or(BlockId::ZERO, |status| status.tip),
            peers: status.map_or(0, |status| status.peers),
            waiting: status.map_or(0, |status| status.waiting),
            per_second: self.recent.len() as f64 / (RATE_SPAN.as_micros() as f64 / 1e6),
            restarts: self.restarts,
        }
    }

    /// What it came to.
    pub(super) fn report(&self, number: usize) -> NodeReport {
        let status = self.status.as_ref();
        NodeReport {
            node: number + 1,
            address: self.place.p2p.to_string(),
            height: status.map_or(0, |status| status.height.0),
            tip: status.map_or_else(String::new, |status| status.tip.to_string()),
            peers: status.map_or(0, |status| status.peers),
            mempool: status.map_or(0, |status| status.waiting),
            accepted: self.accepted,
            restarts: self.restarts,
            reorganisations: self.left.total().reorganisations,
            disconnected_blocks: self.left.total().blocks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_counted_through_all_processes() {
        let left = |reorganisations, blocks| Left {
            reorganisations,
            blocks,
        };
        let mut all = LeftByAll::default();
        assert_eq!(all.total(), left(0, 0));
        for (uptime, says, total) in [
            (1, left(0, 0), left(0, 0)),
            (5, left(1, 2), left(1, 2)),
            (5, left(1, 2), left(1, 2)),
            // Another process, which leaves as much as the one before it.
            (0, left(0, 0), left(1, 2)),
            (2, left(1, 2), left(2, 4)),
            (0, left(0, 0), left(2, 4)),
        ] {
            all.heard(uptime, says);
            assert_eq!(all.total(), total);
        }
    }
}
