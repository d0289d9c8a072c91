//! What the node wants done.

use crate::node::{Event, Output};
use crate::wire::{Lane, MessageKind};

use super::{Desk, Reactor, Timer, events};

impl Reactor {
    /// Does everything that the node wants done.
    pub(super) fn carry_out_all(&mut self) {
        while let Some(output) = self.node.poll_output() {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Dial(peer) => self.dial(peer),
            Output::Send {
                conn,
                lane,
                kind,
                bytes,
            } => {
                let lane = Lane::from_byte(lane).expect("the node names lanes that there are");
                let kind = MessageKind::from_byte(kind).expect("the node sends messages it knows");
                self.send_to_peer(conn, lane, kind, bytes);
            }
            Output::AwaitRoom { conn } => self.await_room(conn),
            Output::Close { conn, why } => self.end_peer(conn, &why),
            Output::Store(request) => self.ports.log.push(request),
            Output::Run { job, work } => {
                self.counters.jobs += 1;
                self.ports.workers.run(job, work);
            }
            Output::Publish(published) => {
                let was_ready = self.published.as_ref().is_some_and(|before| before.ready);
                if published.ready && !was_ready && !self.stopping {
                    // Whoever waits for that hears of it in this turn.
                    self.timers.set(Timer::Supervise, self.clock.now());
                }
                self.published = Some(published);
            }
            Output::Answer { call, reply } => {
                self.with_service(|service, desk| service.answered(call, reply, desk));
            }
            Output::KeepBans { call, text } => self.ports.bans.keep(call, text),
            Output::KeepEvidence { id, bytes } => self.ports.evidence.keep(id, bytes),
            Output::Event(event) => {
                if let Event::TipChanged { disconnected, .. } = &event {
                    self.counters.reorganisations += u64::from(*disconnected > 0);
                    self.counters.disconnected += *disconnected;
                }
                events::write(&event, &mut self.peer_lines, self.clock.now());
            }
        }
    }

    /// Lets the service do something, and does what it wants.
    pub(super) fn with_service(
        &mut self,
        act: impl FnOnce(&mut dyn super::Service, &mut Desk<'_>),
    ) {
        let mut desk = Desk {
            now: self.clock.now(),
            published: self.published.as_ref(),
            counters: &self.counters,
            is_recording: self.recorder.is_some(),
            next_call: &mut self.next_call,
            wishes: &mut self.wishes,
        };
        act(&mut *self.ports.service, &mut desk);
        for (call, question) in self.wishes.questions.drain(..) {
            self.inputs
                .push_back(crate::node::Input::Called { call, question });
        }
        for call in self.wishes.left.drain(..) {
            self.inputs
                .push_back(crate::node::Input::CallerLeft { call });
        }
        for (exchange, response) in std::mem::take(&mut self.wishes.responses) {
            self.respond(exchange, &response);
        }
        for (query, work) in self.wishes.queries.drain(..) {
            self.ports.queries.run(query, work);
        }
        self.saves.append(&mut self.wishes.saves);
        if std::mem::take(&mut self.wishes.stop) {
            self.stop("a call");
        }
    }
}
