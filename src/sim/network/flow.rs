//! One direction of a connection: what TCP does to messages.

use crate::base::{Span, Time};

use crate::wire::{LANES, Lane};

use super::draw::Lost;
use super::line::{Speed, Took};
use super::{NetworkConfig, STRICT};

/// Bytes of a segment: 1,500 of a frame of Ethernet without the headers of IP and TCP.
pub(super) const SEGMENT_BYTES: u64 = 1_460;
/// A flow that sent nothing for so long begins slowly again.
const IDLE: Span = Span::from_secs(1);
/// The largest window, 4 MiB: what Linux lets a socket have under way by default
/// (`net.ipv4.tcp_wmem`).
const WINDOW_MAX: u16 = (4 * 1024 * 1024 / SEGMENT_BYTES) as u16;
/// What follows a lost segment tells of the loss when it is three segments or more (RFC 5681,
/// section 3.2); else only time does.
const TELLING_SEGMENTS: u64 = 3;
/// How much longer than a round trip a sender waits before it takes a segment for lost: the least
/// that Linux allows for variance.
const TIMEOUT_MIN: Span = Span::from_millis(200);

/// How windows begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    /// Segments of a first window.
    initial: u16,
    /// Whether it is the window again after [`IDLE`].
    idle_reset: bool,
}

impl Windows {
    pub(super) fn new(config: &NetworkConfig) -> Self {
        let segments = u64::from(config.initial_window) / SEGMENT_BYTES;
        Self {
            initial: segments.clamp(1, u64::from(WINDOW_MAX)) as u16,
            idle_reset: config.idle_reset,
        }
    }
}

/// What may be under way: rounds of a round trip each, and a window for each round.
#[derive(Clone, Copy, Debug)]
struct Rounds {
    /// When the round began.
    begin: Time,
    /// Bytes sent in it.
    sent: u32,
    /// Segments that may be under way before one of them is acknowledged.
    window: u16,
    /// Up to how many segments the window doubles each round; beyond, it grows by one.
    threshold: u16,
}

impl Rounds {
    /// When bytes that could go at `at` have left, with what they wait for acknowledgements.
    fn pass(&mut self, mut at: Time, bytes: u64, round_trip: Span, speed: Speed) -> Time {
        let mut left = bytes;
        if at >= self.begin + round_trip {
            self.next(at);
        } else if bytes > u64::from(self.sent) {
            // Most of the round is sent from now on, and so most acknowledgements come a round
            // trip from now: those of a small message before it make no room for this one.
            self.begin = at;
        }
        loop {
            let window = u64::from(self.window) * SEGMENT_BYTES;
            let part = left.min(window.saturating_sub(u64::from(self.sent)));
            at += speed.span(part);
            left -= part;
            self.sent += part as u32;
            if left == 0 {
                return at;
            }
            at = at.max(self.begin + round_trip);
            self.next(at);
        }
    }

    /// What was sent in the round is acknowledged. A window that was not used does not grow: it
    /// is at most twice what was under way (RFC 7661 has why).
    fn next(&mut self, at: Time) {
        let used = u64::from(self.sent).div_ceil(SEGMENT_BYTES) as u16;
        if self.window < self.threshold {
            let grown = (self.window + used).min(2 * used);
            self.window = self.window.max(grown.min(self.threshold));
        } else if used >= self.window {
            self.window = (self.window + 1).min(WINDOW_MAX);
        }
        (self.begin, self.sent) = (at, 0);
    }
}

/// One direction of a connection.
#[derive(Clone, Debug)]
pub struct Flow {
    from: u32,
    to: u32,
    /// The last arrival in each lane: no later message of the lane comes earlier.
    floors: [Time; LANES],
    /// Bytes that were sent in each lane and for which no credit can have come back.
    uncredited: [u32; LANES],
    rounds: Rounds,
    /// When the last byte leaves the sender.
    leaves: Time,
    /// Bytes that waited to leave when the last message was put behind them, and how many
    /// microseconds before `leaves` that was.
    waiting: u32,
    waiting_for: u32,
}

impl Flow {
    pub(super) fn new(from: usize, to: usize, windows: Windows) -> Self {
        let node = |node: usize| u32::try_from(node).expect("nodes are fewer than 2^32");
        Self {
            from: node(from),
            to: node(to),
            floors: [Time::EPOCH; LANES],
            uncredited: [0; LANES],
            rounds: Rounds {
                begin: Time::EPOCH,
                sent: 0,
                window: windows.initial,
                threshold: WINDOW_MAX,
            },
            leaves: Time::EPOCH,
            waiting: 0,
            waiting_for: 0,
        }
    }

    /// The sender and the receiver.
    pub(super) const fn ends(&self) -> (usize, usize) {
        (self.from as usize, self.to as usize)
    }

    /// When the last byte of a message leaves that has the sender's line at a time: the window may
    /// hold it up.
    pub(super) fn leave(
        &mut self,
        windows: Windows,
        lane: usize,
        took: Took,
        bytes: u64,
        round_trip: Span,
        speed: Speed,
    ) -> Time {
        if windows.idle_reset && took.begin.since(self.leaves) > IDLE {
            self.rounds.window = self.rounds.window.min(windows.initial);
            (self.rounds.begin, self.rounds.sent) = (took.begin, 0);
        }
        // Something of this lane or a better one arrives after all has left: it is the last.
        let better = &self.floors[..lane.min(STRICT)];
        let behind =
            better.iter().any(|floor| *floor > self.leaves) || self.floors[lane] > self.leaves;
        if took.begin >= self.leaves || behind {
            let at = took.begin.max(self.leaves);
            let left = self.rounds.pass(at, bytes, round_trip, speed);
            return left.max(took.end);
        }
        // Only worse lanes wait here, or such as share with this one. They take turns with this
        // message frame by frame, so that it waits at most until the next acknowledgement, and has
        // a window of its own.
        let at = self
            .rounds
            .begin
            .min(took.begin + round_trip)
            .max(took.begin);
        let mut own = Rounds {
            begin: at,
            sent: 0,
            ..self.rounds
        };
        let left = own.pass(at, bytes, round_trip, speed);
        self.rounds.sent = self.rounds.sent.saturating_add(bytes as u32);
        left.max(took.end)
    }

    /// When the last byte of a message leaves that has the sender's line from `begin` on, and would
    /// leave at `left` if the receiver had room for anything: what the lane's window has no room
    /// for waits until all before it came and the word of that came back.
    pub(super) fn spend_credit(
        &mut self,
        lane: usize,
        begin: Time,
        left: Time,
        bytes: u64,
        delay: Span,
        speed: Speed,
    ) -> Time {
        let Some(window) = Lane::ALL[lane].window() else {
            return left;
        };
        let again = self.floors[lane] + delay;
        let under_way = &mut self.uncredited[lane];
        if begin >= again {
            *under_way = 0;
        }
        let all = u64::from(*under_way) + bytes;
        let over = all.saturating_sub(u64::from(window));
        if over == 0 || *under_way == 0 {
            *under_way = u32::try_from(all).unwrap_or(u32::MAX);
            return left;
        }
        *under_way = u32::try_from(bytes).unwrap_or(u32::MAX);
        left.max(again + speed.span(over))
    }

    /// Counts a message among what waits to leave.
    pub(super) fn queue(&mut self, now: Time, left: Time, bytes: u64) {
        let waiting = self.backlog(now) + bytes;
        self.leaves = self.leaves.max(left);
        self.waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        let waiting_for = self.leaves.since(now).as_micros();
        self.waiting_for = u32::try_from(waiting_for).unwrap_or(u32::MAX);
    }

    /// Bytes that have not left yet. They leave evenly from when the last was added to when the
    /// last has left; a sender's line may have others in between.
    pub(super) fn backlog(&self, now: Time) -> u64 {
        let rest = self.leaves.since(now).as_micros();
        match u64::from(self.waiting_for) {
            0 => 0,
            all => u64::from(self.waiting) * rest.min(all) / all,
        }
    }

    /// When no more than `bytes` have not left yet.
    pub(super) fn room_at(&self, now: Time, bytes: u64) -> Time {
        if self.backlog(now) <= bytes {
            return now;
        }
        let rest = u64::from(self.waiting_for) * bytes / u64::from(self.waiting);
        self.leaves - Span::from_micros(rest)
    }

    /// When the owner has a message whose last byte arrives at a time, after all that must be
    /// there before it. What was lost of it comes again, and everything that is sent later waits
    /// for that, whatever its lane.
    pub(super) fn arrive(
        &mut self,
        lane: usize,
        last: Time,
        lost: &Lost,
        round_trip: Span,
        speed: Speed,
    ) -> Time {
        let mut arrival = last.max(self.floors[lane]);
        let timeout = round_trip + TIMEOUT_MIN;
        for (behind, times) in lost.each() {
            // Each time out is twice as long as the one before it (RFC 6298, section 5.5).
            let told = behind >= TELLING_SEGMENTS;
            let timeouts = if told { times - 1 } else { times };
            let mut wait = timeout.times((1 << timeouts) - 1);
            if told {
                wait = wait + round_trip;
            }
            arrival = arrival.max(last - speed.span(behind * SEGMENT_BYTES) + wait);
            // CUBIC goes down to 0.7 of the window (RFC 9438, section 4.6); a timeout, to one
            // segment.
            self.rounds.threshold = (u32::from(self.rounds.window) * 7 / 10).max(2) as u16;
            self.rounds.window = if timeouts > 0 {
                1
            } else {
                self.rounds.threshold
            };
        }
        if lost.repeats() > 0 {
            self.floors = self.floors.map(|floor| floor.max(arrival));
        }
        self.floors[lane] = arrival;
        arrival
    }
}
