//! Segments to messages: the half of a connection that must believe nothing.

use crate::base::Time;
use crate::types::EngineKind;

use super::frame::Segment;
use super::gate::{Gate, items_of};
use super::{Fault, LANES, Lane, MessageKind};

/// A whole message, not decoded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The lane it came in.
    pub lane: Lane,
    /// What it is.
    pub kind: MessageKind,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A message of which a part came.
#[derive(Debug)]
struct UnderWay {
    kind: u8,
    /// Nothing for a type that is ignored.
    known: Option<MessageKind>,
    total: u32,
    received: u32,
    /// What came, unless it is ignored. It grows with what comes, whatever `total` says.
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct IncomingLane {
    under_way: Option<UnderWay>,
    /// Bytes that the peer may still send, in lanes with a window.
    room: u32,
    /// Bytes that came and were not dealt with.
    held: u32,
    /// Bytes that were dealt with and not given back as credit.
    owed: u32,
    /// How much must be owed before it is given back; nothing in lanes without a window, where
    /// none of this is counted.
    due_at: Option<u32>,
}

/// Puts messages together.
#[derive(Debug)]
pub(super) struct Incoming {
    lanes: [IncomingLane; LANES],
    gate: Gate,
}

impl Incoming {
    pub(super) fn new(engine: EngineKind) -> Self {
        let lanes = Lane::ALL.map(|lane| IncomingLane {
            room: lane.window().unwrap_or(0),
            due_at: lane
                .window()
                .map(|window| credit_due_at(lane, window, engine)),
            ..IncomingLane::default()
        });
        Self {
            lanes,
            gate: Gate::new(engine),
        }
    }

    /// Takes one segment, and gives the message that it completes.
    pub(super) fn take(
        &mut self,
        now: Time,
        segment: Segment<'_>,
    ) -> Result<Option<Received>, Fault> {
        if segment.first {
            self.begin(now, &segment)?;
        }
        let lane = &mut self.lanes[segment.lane.index()];
        let under_way = lane.under_way.as_mut().ok_or(Fault::Segment(
            "a segment continues a message that did not begin",
        ))?;
        if under_way.kind != segment.kind || under_way.total != segment.total {
            return Err(Fault::Segment(
                "a message changed its type or length on the way",
            ));
        }
        let length = segment.bytes.len() as u32;
        // Neither is over 4 MiB and 64 KiB, so the sum does not overflow.
        under_way.received += length;
        if (under_way.received >= under_way.total) != segment.fin
            || under_way.received > under_way.total
        {
            return Err(Fault::Segment(
                "a message must end with its last byte and say so there",
            ));
        }
        if lane.due_at.is_some() {
            let room = lane.room.checked_sub(length);
            lane.room = room.ok_or(Fault::NoCredit(segment.lane))?;
            match under_way.known {
                Some(_) => lane.held += length,
                // What is ignored is dealt with as it comes.
                None => lane.owed += length,
            }
        }
        if under_way.known.is_some() {
            append(&mut under_way.bytes, segment.bytes, segment.total as usize);
        }
        if !segment.fin {
            return Ok(None);
        }
        let Some(done) = lane.under_way.take() else {
            return Ok(None);
        };
        let items = done.known.map_or(0, |kind| items_of(kind, &done.bytes));
        self.gate.end(segment.lane, done.known, items);
        Ok(done.known.map(|kind| Received {
            lane: segment.lane,
            kind,
            bytes: done.bytes,
        }))
    }

    /// Checks all that a first segment says about its message, before any of it is kept.
    fn begin(&mut self, now: Time, segment: &Segment<'_>) -> Result<(), Fault> {
        if self.lanes[segment.lane.index()].under_way.is_some() {
            return Err(Fault::Segment(
                "a message began before the one before it in its lane ended",
            ));
        }
        let known = self
            .gate
            .begin(now, segment.kind, segment.lane, segment.total)?;
        self.lanes[segment.lane.index()].under_way = Some(UnderWay {
            kind: segment.kind,
            known,
            total: segment.total,
            received: 0,
            bytes: Vec::new(),
        });
        Ok(())
    }

    /// This side asked for so many items in `lane`.
    pub(super) const fn asked(&mut self, lane: Lane, kind: MessageKind, items: u32) {
        self.gate.asked(lane, kind, items);
    }

    /// The owner dealt with `bytes` of messages of `lane`.
    pub(super) fn consumed(&mut self, lane: Lane, bytes: u32) {
        let lane = &mut self.lanes[lane.index()];
        if lane.due_at.is_some() {
            let held = lane.held.checked_sub(bytes);
            lane.held = held.expect("no more is dealt with than was given out");
            lane.owed += bytes;
        }
    }

    /// Whether credit is due for some lane.
    pub(super) fn owes_credit(&self) -> bool {
        let is_due = |lane: &IncomingLane| lane.due_at.is_some_and(|due_at| lane.owed >= due_at);
        self.lanes.iter().any(is_due)
    }

    /// Credit that is due for `lane`; it counts as given.
    pub(super) fn take_credit(&mut self, lane: Lane) -> Option<u32> {
        let lane = &mut self.lanes[lane.index()];
        if lane.owed < lane.due_at? {
            return None;
        }
        let bytes = std::mem::take(&mut lane.owed);
        lane.room += bytes;
        Some(bytes)
    }

    /// As if everything had been asked for.
    #[cfg(test)]
    pub(super) fn owe_everything(&mut self) {
        self.gate.owe_everything();
    }

    /// Bytes kept for messages that did not end yet.
    #[cfg(test)]
    pub(super) fn reserved_bytes(&self) -> usize {
        let under_way = self.lanes.iter().filter_map(|lane| lane.under_way.as_ref());
        under_way.map(|message| message.bytes.capacity()).sum()
    }
}

/// Credit is due from half of what the window exceeds the lane's greatest message by: were more
/// held back, such a message could stop for want of credit that only its end would free.
fn credit_due_at(lane: Lane, window: u32, engine: EngineKind) -> u32 {
    let in_lane = MessageKind::ALL
        .iter()
        .filter(|kind| kind.lanes().contains(&lane));
    let greatest = in_lane.map(|kind| kind.max_bytes(engine)).max();
    (window - greatest.unwrap_or(0)) / 2
}

/// Appends `part` to a message of `total` bytes: doubling, so that copies stay few, but never
/// beyond the message's end.
fn append(bytes: &mut Vec<u8>, part: &[u8], total: usize) {
    let needed = bytes.len() + part.len();
    if needed > bytes.capacity() {
        let capacity = (needed.max(2 * bytes.len())).min(total);
        bytes.reserve_exact(capacity - bytes.len());
    }
    bytes.extend_from_slice(part);
}
