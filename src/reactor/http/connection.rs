//! One connection's bytes: in to requests, answers to bytes out.

use crate::base::{Span, Time};

use super::request::{Head, read_head};
use super::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HttpRequest, HttpResponse, Refusal, Status};

/// How long a request may take from its first byte to its last.
const REQUEST_TIME: Span = Span::from_secs(10);
/// How long a connection may rest between requests.
const IDLE_TIME: Span = Span::from_secs(60);
/// How long an answer may wait without the client taking any of it.
const WRITE_TIME: Span = Span::from_secs(30);
/// The most requests of a connection: a leak of any kind ends with it.
const REQUESTS_MAX: u32 = 1_000_000;
#[derive(Debug)]
enum State {
    /// The head of a request is awaited.
    Head,
    /// The head is read, of a body that needs leave.
    Asking(Head),
    /// The head is read, the body is awaited.
    Body(Head),
    /// A request was given out and not answered yet.
    Waiting { keep_alive: bool },
    /// Nothing more is read; the connection ends when everything is written.
    Ending,
}

/// One connection of a client, without its socket.
#[derive(Debug)]
pub struct HttpConnection {
    state: State,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    requests: u32,
    deadline: Time,
}

impl HttpConnection {
    /// A connection that was made at `now`.
    #[must_use]
    pub fn new(now: Time) -> Self {
        Self {
            state: State::Head,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            requests: 0,
            deadline: now + REQUEST_TIME,
        }
    }

    /// How many more bytes may be received now: the rest of a body, or as many as the next head
    /// may have. What is beyond waits in the system's buffer, so that a client that sends many
    /// requests at once costs no more memory, and no more copying, than one that waits.
    #[must_use]
    pub fn room(&self) -> usize {
        let most = match &self.state {
            State::Head | State::Waiting { .. } => HEAD_BYTES_MAX,
            State::Body(head) => head.content_length,
            State::Asking(_) | State::Ending => 0,
        };
        most.saturating_sub(self.input.len())
    }

    /// Takes bytes that the client sent: no more than there is [`room`](Self::room) for.
    pub fn receive(&mut self, now: Time, bytes: &[u8]) {
        if self.input.is_empty() && matches!(self.state, State::Head) && !bytes.is_empty() {
            self.deadline = now + REQUEST_TIME;
        }
        self.input.extend_from_slice(bytes);
    }

    /// The next request, when one is complete and the one before is answered. What can't be
    /// served is answered here, and the connection ends. A large body needs
    /// [leave](Self::asks_leave) first.
    pub fn next_request(&mut self, now: Time, hosts: &[String]) -> Option<HttpRequest> {
        if matches!(self.state, State::Head) {
            match read_head(&self.input, hosts) {
                Ok(None) => return None,
                Ok(Some((head, length))) => {
                    self.input.drain(..length);
                    if head.content_length > BODY_BYTES_MAX {
                        self.state = State::Asking(head);
                        return None;
                    }
                    self.await_body(head);
                }
                Err(refusal) => {
                    self.refuse(now, refusal);
                    return None;
                }
            }
        }
        let State::Body(head) = &self.state else {
            return None;
        };
        if self.input.len() < head.content_length {
            return None;
        }
        self.requests += 1;
        let keep_alive = head.keep_alive && self.requests < REQUESTS_MAX;
        let rest = self.input.split_off(head.content_length);
        let body = std::mem::replace(&mut self.input, rest);
        match std::mem::replace(&mut self.state, State::Waiting { keep_alive }) {
            State::Body(head) => Some(HttpRequest {
                method: head.method,
                path: head.path,
                authorization: head.authorization,
                body,
            }),
            _ => None,
        }
    }

    fn await_body(&mut self, head: Head) {
        if head.expects_continue && self.input.len() < head.content_length {
            self.output
                .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.state = State::Body(head);
    }

    /// Whether the client is about to send a body of more than [`BODY_BYTES_MAX`] bytes. Nothing
    /// more is received before [`give_leave`](Self::give_leave).
    #[must_use]
    pub const fn asks_leave(&self) -> bool {
        matches!(self.state, State::Asking(_))
    }

    /// Lets the client send its large body, or not.
    pub fn give_leave(&mut self, now: Time, leave: bool) {
        match std::mem::replace(&mut self.state, State::Ending) {
            State::Asking(head) if leave => self.await_body(head),
            State::Asking(_) => self.refuse(
                now,
                Refusal {
                    status: Status::Unavailable,
                    rule: "as many bodies of over 1 MiB come already as may; send it again soon",
                },
            ),
            other => self.state = other,
        }
    }

    /// Whether a large body is being received.
    #[must_use]
    pub fn receives_large_body(&self) -> bool {
        matches!(&self.state, State::Body(head) if head.content_length > BODY_BYTES_MAX)
    }

    /// Answers the request that was given out last.
    pub fn respond(&mut self, now: Time, response: &HttpResponse) {
        let keep_alive = matches!(self.state, State::Waiting { keep_alive: true });
        response.write(keep_alive, &mut self.output);
        self.state = if keep_alive {
            State::Head
        } else {
            State::Ending
        };
        self.deadline = now + WRITE_TIME;
    }

    fn refuse(&mut self, now: Time, refusal: Refusal) {
        let response = HttpResponse::text(refusal.status, refusal.rule);
        response.write(false, &mut self.output);
        self.state = State::Ending;
        self.deadline = now + WRITE_TIME;
    }

    /// What is to be sent to the client.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output[self.written..]
    }

    /// So many bytes of [`output`](Self::output) are sent.
    pub fn sent(&mut self, now: Time, count: usize) {
        self.written += count;
        self.deadline = now + WRITE_TIME;
        if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
            // A large answer's memory is not kept for a small one.
            self.output.shrink_to(HEAD_BYTES_MAX);
            if matches!(self.state, State::Head) {
                let span = if self.input.is_empty() {
                    IDLE_TIME
                } else {
                    REQUEST_TIME
                };
                self.deadline = now + span;
            }
        }
    }

    /// Whether the connection is at its end: everything is sent, and nothing more is read.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Ending) && self.output().is_empty()
    }

    /// Whether a request waits for its answer.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    /// When [`time_out`](Self::time_out) is to be called, if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        // The node answers in its own time; that is not the client's fault.
        let waits_for_us = self.is_waiting() && self.output().is_empty();
        (!waits_for_us).then_some(self.deadline)
    }

    /// Time is up: says whether the connection is to be dropped at once. A client that sent half
    /// a request is told so first.
    pub fn time_out(&mut self, now: Time) -> bool {
        let half = matches!(self.state, State::Body(_)) || !self.input.is_empty();
        if !half || !self.output().is_empty() || matches!(self.state, State::Ending) {
            return true;
        }
        self.refuse(
            now,
            Refusal {
                status: Status::Timeout,
                rule: "the request was not complete within 10 s",
            },
        );
        false
    }
}
