//! Messages to segments: who goes first.

use std::collections::VecDeque;
use std::fmt;

use super::frame::{FRAME_TEXT_MAX, SEGMENT_HEADER_BYTES, Segment};
use super::gate::Greetings;
use super::message::Message;
use super::{LANES, Lane, MessageKind};

/// Lanes that go before all others, the first of them first.
const STRICT: [Lane; 3] = [Lane::Control, Lane::Announcements, Lane::Bodies];
/// Lanes that share what the strict ones leave, each in its turn.
const SHARED: [Lane; 3] = [Lane::Transactions, Lane::Discovery, Lane::History];
/// What a shared lane may send in its turn: about a frame, so that segments stay few.
const QUANTUM: usize = FRAME_TEXT_MAX;
/// A message is not cut for the sake of fewer bytes than this at the end of a frame or turn.
const CUT_MIN: usize = 64;

/// Bytes that may wait in a lane; one message may always.
const fn queue_max(lane: Lane) -> usize {
    match lane {
        Lane::Control => 16 * 1024,
        Lane::Announcements => 256 * 1024,
        Lane::Bodies | Lane::History => 2 * 1024 * 1024,
        Lane::Transactions => 1024 * 1024,
        Lane::Discovery => 64 * 1024,
    }
}

/// The message was not queued: the peer takes bytes more slowly than they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull {
    /// The lane that is full.
    pub lane: Lane,
    /// Bytes waiting in it.
    pub queued: usize,
}

impl fmt::Display for QueueFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes wait in the lane of {} already; try again when the peer has taken some",
            self.queued, self.lane
        )
    }
}

impl std::error::Error for QueueFull {}

#[derive(Debug)]
struct Queued {
    kind: MessageKind,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct OutgoingLane {
    queue: VecDeque<Queued>,
    queued: usize,
    /// How much of the first message went.
    sent: usize,
    /// What the peer has room for; as good as endless in lanes without a window.
    credit: u64,
    /// What is left of the lane's turn.
    turn: usize,
}

impl OutgoingLane {
    /// How many bytes of the first message may go now.
    fn sendable(&self) -> Option<usize> {
        let left = self.queue.front()?.bytes.len() - self.sent;
        let credit = usize::try_from(self.credit).unwrap_or(usize::MAX);
        (left == 0 || credit > 0).then_some(left.min(credit))
    }
}

/// Queues messages and cuts them into frames.
#[derive(Debug)]
pub(super) struct Outgoing {
    lanes: [OutgoingLane; LANES],
    /// Whose turn it is among the shared lanes.
    turn: usize,
    greetings: Greetings,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        let lanes = Lane::ALL.map(|lane| OutgoingLane {
            credit: lane.window().map_or(u64::MAX, u64::from),
            ..OutgoingLane::default()
        });
        Self {
            lanes,
            turn: 0,
            greetings: Greetings::Hello,
        }
    }

    /// Queues a message.
    pub(super) fn queue(
        &mut self,
        lane: Lane,
        kind: MessageKind,
        bytes: Vec<u8>,
    ) -> Result<(), QueueFull> {
        assert!(
            self.greetings.allow(kind.byte()),
            "HELLO goes first, READY next, and neither again"
        );
        let state = &mut self.lanes[lane.index()];
        if !state.queue.is_empty() && state.queued + bytes.len() > queue_max(lane) {
            let queued = state.queued;
            return Err(QueueFull { lane, queued });
        }
        self.greetings = self.greetings.next();
        state.queued += bytes.len();
        state.queue.push_back(Queued { kind, bytes });
        Ok(())
    }

    /// The peer has room for `bytes` more in `lane`.
    pub(super) fn add_credit(&mut self, lane: Lane, bytes: u32) {
        let credit = &mut self.lanes[lane.index()].credit;
        *credit = credit.saturating_add(u64::from(bytes));
    }

    /// Bytes waiting in `lane`.
    pub(super) fn queued(&self, lane: Lane) -> usize {
        self.lanes[lane.index()].queued
    }

    /// Whether something may go now.
    pub(super) fn is_sendable(&self) -> bool {
        self.lanes.iter().any(|lane| lane.sendable().is_some())
    }

    /// Whether credit may go now: the greetings are through and no message of its lane is cut.
    pub(super) fn may_send_credit(&self) -> bool {
        let control = &self.lanes[Lane::Control.index()];
        self.greetings == Greetings::Done && control.queue.is_empty()
    }

    /// As if the greetings had gone.
    #[cfg(test)]
    pub(super) fn skip_greetings(&mut self) {
        self.greetings = Greetings::Done;
    }

    /// Fills a frame's text with the control lane, then the credit that `credit` gives, then the
    /// other lanes in their order.
    pub(super) fn fill(&mut self, text: &mut Vec<u8>, mut credit: impl FnMut(Lane) -> Option<u32>) {
        while self.write_segment(Lane::Control, usize::MAX, text) {}
        if self.may_send_credit() {
            write_credit(text, &mut credit);
        }
        for lane in &STRICT[1..] {
            while self.write_segment(*lane, usize::MAX, text) {}
        }
        self.fill_shared(text);
    }

    /// Deficit round robin: a lane that has something to send may send a quantum in its turn, and
    /// what a full frame cut off goes on in the next.
    fn fill_shared(&mut self, text: &mut Vec<u8>) {
        let mut idle = 0;
        while idle < SHARED.len() {
            let lane = SHARED[self.turn];
            if self.lanes[lane.index()].sendable().is_some() {
                idle = 0;
                if self.lanes[lane.index()].turn == 0 {
                    self.lanes[lane.index()].turn = QUANTUM;
                }
                let allowed = self.lanes[lane.index()].turn;
                let before = text.len();
                if !self.write_segment(lane, allowed, text) {
                    return;
                }
                let state = &mut self.lanes[lane.index()];
                state.turn = allowed.saturating_sub(text.len() - before);
                if state.turn >= CUT_MIN && state.sendable().is_some() {
                    continue;
                }
            } else {
                idle += 1;
            }
            self.lanes[lane.index()].turn = 0;
            self.turn = (self.turn + 1) % SHARED.len();
        }
    }

    /// Writes as much of the lane's first message as frame, credit and `allowed` permit; nothing
    /// when the lane has nothing to send or the frame no room.
    fn write_segment(&mut self, lane: Lane, allowed: usize, text: &mut Vec<u8>) -> bool {
        let state = &mut self.lanes[lane.index()];
        let Some(sendable) = state.sendable() else {
            return false;
        };
        let room = (FRAME_TEXT_MAX - text.len()).checked_sub(SEGMENT_HEADER_BYTES);
        let Some(room) = room.filter(|room| *room >= sendable.min(CUT_MIN)) else {
            return false;
        };
        let message = &state.queue[0];
        let length = sendable.min(room).min(allowed);
        let (start, end) = (state.sent, state.sent + length);
        let is_last = end == message.bytes.len();
        Segment {
            kind: message.kind.byte(),
            lane,
            first: start == 0,
            fin: is_last,
            total: message.bytes.len() as u32,
            bytes: &message.bytes[start..end],
        }
        .write(text);
        if lane.window().is_some() {
            state.credit -= length as u64;
        }
        state.queued -= length;
        state.sent = end;
        if is_last {
            state.queue.pop_front();
            state.sent = 0;
        }
        true
    }
}

/// Writes a CREDIT for each lane that is owed some, as far as the frame has room.
fn write_credit(text: &mut Vec<u8>, credit: &mut impl FnMut(Lane) -> Option<u32>) {
    const BYTES: usize = 8;
    for lane in Lane::ALL {
        if text.len() + SEGMENT_HEADER_BYTES + BYTES > FRAME_TEXT_MAX {
            return;
        }
        let Some(bytes) = credit(lane) else { continue };
        let message = Message::Credit { lane, bytes };
        Segment {
            kind: message.kind().byte(),
            lane: Lane::Control,
            first: true,
            fin: true,
            total: BYTES as u32,
            bytes: &message.encode(),
        }
        .write(text);
    }
}
