//! What nodes want done.

use std::sync::Arc;

use crate::base::{Span, Time};
use crate::node::{ConnId, Event, Input, Output, Reply, Ticket};
use crate::sim::behaviour::{Fate, Letter};
use crate::store::{Completion, Failure, Request};

use super::connections::of_conn;
use super::{Happening, NodeIndex, World};

/// How often a full disk is asked for space again, as the log's thread does.
const RETRY: Span = Span::from_secs(1);
/// How long nothing may go to the disk before the store does what is better done then.
const IDLE: Span = Span::from_millis(10);

impl World {
    /// Carries out one output; it takes effect at `at`.
    pub(super) fn perform(&mut self, node: usize, at: Time, output: Output) {
        let life = self.machines[node].life;
        let place = node as u32;
        let mut tell = |at, input| {
            let (node, input) = (place, Box::new(input));
            self.queue.push(at, Happening::Input { node, life, input });
        };
        match output {
            Output::Dial(peer) => self.dial(at, node, peer),
            Output::Send {
                conn,
                lane,
                kind,
                bytes,
            } => self.send_of_node(node, at, conn, lane, kind, bytes),
            Output::AwaitRoom { conn } => {
                let (connection, side) = of_conn(conn);
                let happening = Happening::Room {
                    connection,
                    at: side,
                };
                self.queue.push(at, happening);
            }
            Output::Close { conn, .. } => {
                let (number, side) = of_conn(conn);
                self.end(number, side);
            }
            Output::Store(request) => self.store(node, at, request),
            Output::Run { job, work } => self.work(node, at, job, work),
            Output::Publish(published) => {
                self.changed(node);
                if let Some(running) = &mut self.machines[node].running {
                    let before = running.published.replace(Arc::clone(&published));
                    self.observations.mempool(node, published.mempool_count);
                    if before.is_none_or(|before| before.tip != published.tip) {
                        let (id, header) = (published.tip, &published.header);
                        let (parent, height) = (header.parent_id, header.height);
                        self.observations.block_seen(at, node, id, parent, height);
                        let left = std::mem::take(&mut running.left);
                        self.observations.tip(node, id, height, left);
                    }
                }
            }
            Output::Answer { call, reply } => {
                if self.own_calls.remove(&call).is_some() {
                    self.behave(node, |behaviour, hands| {
                        behaviour.answered(call, &reply, hands);
                    });
                } else {
                    if let Ok(Reply::Accepted { .. }) = &reply {
                        self.observations.accepted();
                    }
                    self.replies.insert(call, reply);
                }
            }
            Output::KeepBans { call, .. } => tell(
                at,
                Input::BansKept {
                    call,
                    result: Ok(()),
                },
            ),
            // The events tell of it.
            Output::KeepEvidence { .. } => {}
            Output::Event(event) => {
                if let Event::TipChanged { disconnected, .. } = &event
                    && let Some(running) = &mut self.machines[node].running
                {
                    running.left += disconnected;
                }
                if self.config.keep_events {
                    self.events.push((self.now, NodeIndex(node), event));
                }
            }
        }
    }

    fn send_of_node(
        &mut self,
        node: usize,
        at: Time,
        conn: ConnId,
        lane: u8,
        kind: u8,
        bytes: Arc<[u8]>,
    ) {
        if self.machines[node].behaviour.is_some()
            && let Some(peer) = self.peer_of(conn)
        {
            let letter = Letter {
                conn,
                peer,
                lane,
                kind,
                bytes: &bytes,
            };
            let fate = self.behave(node, |behaviour, hands| behaviour.outgoing(&letter, hands));
            if fate == Some(Fate::Drop) {
                return;
            }
        }
        let at = self.seal(node, at, bytes.len());
        self.send(at, conn, lane, kind, bytes);
    }

    /// A node's loop seals a message, and does nothing else meanwhile: when it is done.
    fn seal(&mut self, node: usize, at: Time, length: usize) -> Time {
        let sealed = at + self.config.costs.send(length);
        if let Some(running) = &mut self.machines[node].running {
            running.loop_free = sealed;
        }
        sealed
    }

    fn store(&mut self, node: usize, at: Time, request: Request) {
        let life = self.machines[node].life;
        let took = self.sync_time(node);
        let Some(running) = &mut self.machines[node].running else {
            return;
        };
        let is_idle = running.commits.is_empty();
        running.commits.push(request);
        if is_idle {
            let node = node as u32;
            self.queue.push(at + took, Happening::Commit { node, life });
        }
    }

    /// A group of records is on the disk.
    pub(super) fn commit(&mut self, node: usize, life: u32) {
        let took = self.sync_time(node);
        let machine = &self.machines[node];
        if machine.running.is_none() || machine.life != life || self.crash_writing(node) {
            return;
        }
        let Some(running) = &mut self.machines[node].running else {
            return;
        };
        let done = running.commits.run(&mut running.store);
        let is_full = running.commits.full().is_some();
        let (was_full, place) = (running.is_full, node as u32);
        running.is_full = is_full;
        let next = match (running.commits.is_empty(), is_full) {
            (true, _) => (IDLE, Happening::Idle { node: place, life }),
            (false, true) => (RETRY, Happening::Commit { node: place, life }),
            (false, false) => (took, Happening::Commit { node: place, life }),
        };
        let is_failure = |done: &Completion| match &done.result {
            Err(failure) => !matches!(failure, Failure::TooLarge { .. }),
            Ok(_) => false,
        };
        match &mut running.stopped {
            // What the kernel was given is done; the rest waits until the process goes on.
            Some(stopped) => {
                stopped.log = Some(next);
                stopped.has_failed |= done.iter().any(is_failure);
            }
            None => self.queue.push(self.now + next.0, next.1),
        }
        if is_full != was_full {
            self.feed(node, life, Input::DiskFull(is_full));
        }
        for completion in done {
            let lsns = match completion.result {
                Ok(lsns) => lsns,
                // A request that does not fit is the node's own fault.
                Err(failure @ Failure::TooLarge { .. }) => panic!("{failure}"),
                // The process ends by itself, now or when it goes on.
                Err(_) if self.is_stopped(node) => return,
                Err(_) => return self.process_ended(node),
            };
            if let Some(running) = &mut self.machines[node].running
                && running.recorder.is_some()
            {
                running.places.extend(&lsns);
            }
            let ticket = Ticket(completion.ticket);
            self.feed(node, life, Input::Stored { ticket, lsns });
        }
    }

    /// Nothing went to the disk for a while.
    pub(super) fn idle(&mut self, node: usize, life: u32) {
        let machine = &mut self.machines[node];
        let Some(running) = machine.running.as_mut().filter(|_| machine.life == life) else {
            return;
        };
        if let Some(stopped) = &mut running.stopped {
            let node = node as u32;
            // A group that waits comes first.
            (stopped.log).get_or_insert((IDLE, Happening::Idle { node, life }));
        } else if running.commits.is_empty() && running.store.idle().is_err() {
            self.process_ended(node);
        }
    }
}
