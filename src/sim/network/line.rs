//! A node's line: what waits for it, and how long bytes take over it.

use crate::base::{Span, Time};
use crate::wire::FRAME_TEXT_MAX;

use super::CLASSES;

/// Bits behind the point of a microsecond in a speed.
const POINT: u32 = 20;
/// A frame with its header and tag: what is under way is never cut shorter.
const FRAME_BYTES: u64 = FRAME_TEXT_MAX as u64 + 20;

/// How long a byte takes, in microseconds / 2^20, rounded up: a multiplication for each message
/// where bytes per second would take a division.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Speed(u64);

impl Speed {
    pub(super) const fn new(bytes_per_second: u64) -> Self {
        match bytes_per_second {
            u64::MAX => Self(0),
            rate => Self((1_000_000_u64 << POINT).div_ceil(rate)),
        }
    }

    /// What bytes take, rounded up.
    pub(super) const fn span(self, bytes: u64) -> Span {
        Span::from_micros((bytes * self.0 + (1 << POINT) - 1) >> POINT)
    }
}

/// When bytes are on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Took {
    pub(super) begin: Time,
    pub(super) end: Time,
}

/// The way out: first in, first out within a class; a better class goes first.
///
/// When bytes leave is said at once and is not taken back. So what a better class sends goes at
/// once, and what it takes from a worse one is taken from what that one sends later: the line may
/// carry more than it can, by as much as was overtaken, and makes it good afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uplink {
    speed: Speed,
    /// When each class has nothing under way, with all that goes before it. Never earlier than
    /// the same of a better class.
    free: [Time; CLASSES],
}

impl Uplink {
    pub(super) const fn new(bytes_per_second: u64) -> Self {
        Self {
            speed: Speed::new(bytes_per_second),
            free: [Time::EPOCH; CLASSES],
        }
    }

    pub(super) const fn speed(&self) -> Speed {
        self.speed
    }

    /// Puts a message on the line.
    pub(super) fn put(&mut self, now: Time, class: usize, bytes: u64) -> Took {
        let span = self.speed.span(bytes);
        let mut begin = now.max(self.free[class]);
        let worse = self.free[CLASSES - 1].since(begin);
        if worse > Span::ZERO && self.free[class] <= now {
            // What is worse is cut into frames, and one of them is on the line.
            let frame = self.speed.span(FRAME_BYTES).as_micros();
            begin += Span::from_micros(worse.as_micros() % frame);
        }
        let end = begin + span;
        self.free[class] = end;
        for free in &mut self.free[class + 1..] {
            *free = (*free).max(begin) + span;
        }
        Took { begin, end }
    }
}

/// Microseconds of a slot, 2^14.
const SLOT_BITS: u32 = 14;
const SLOT: u64 = 1 << SLOT_BITS;
/// Slots of a line: a second. What comes later than that after something else that is on its way
/// does not wait for what comes in between.
const SLOTS: usize = 64;

/// A slot of time of the way in.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Its number since 1970: its place in the ring goes to later ones.
    number: u64,
    /// Microseconds that are taken, for each class with those that go before it.
    taken: [u16; CLASSES],
}

/// The way in: messages of many senders share it, a better class first.
///
/// They are told to it when they are sent, not in the order in which they arrive, so that it
/// can't be one number: a message on a long way would keep those on short ways waiting. It is a
/// ring of slots of time, each filled up to its length. Within a slot, messages don't wait for
/// each other's exact place.
#[derive(Clone, Debug)]
pub(super) struct Downlink {
    slots: [Slot; SLOTS],
}

impl Downlink {
    pub(super) const fn new() -> Self {
        let empty = Slot {
            number: 0,
            taken: [0; CLASSES],
        };
        Self {
            slots: [empty; SLOTS],
        }
    }

    /// Takes a message in that keeps the line for a span, whose first byte is there at `first` and
    /// whose last is there at `last`: when it has all of it.
    pub(super) fn take(&mut self, first: Time, last: Time, class: usize, span: Span) -> Time {
        let mut left = span.as_micros();
        if left == 0 {
            return last;
        }
        // Bytes that come more slowly than the line could take them leave room for others: only
        // as much is taken as they need, as late as it can be.
        let mut at = first.max(last - Span::from_micros(left)).as_micros();
        loop {
            let number = at >> SLOT_BITS;
            let end = (number + 1) << SLOT_BITS;
            let taken = self
                .slot(number)
                .map_or(0, |slot| u64::from(slot.taken[class]));
            let part = left.min(SLOT - taken).min(end - at);
            self.fill(number, class, part);
            left -= part;
            // The end of what is taken, if that is later: the message may have waited.
            at = (at + part).max(end - SLOT + taken + part);
            if left == 0 {
                return last.max(Time::from_micros(at));
            }
            at = at.max(end);
        }
    }

    /// The slot of a number; nothing when its place went to a later one, and nothing is known of
    /// it any more.
    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        let slot = &mut self.slots[number as usize % SLOTS];
        if slot.number < number {
            *slot = Slot {
                number,
                taken: [0; CLASSES],
            };
        }
        (slot.number == number).then_some(slot)
    }

    /// Fills a part of a slot. What was promised to worse classes stays; what is left over is
    /// taken from the slots that come next.
    fn fill(&mut self, number: u64, class: usize, part: u64) {
        for class in class..CLASSES {
            let mut over = part;
            for number in number..number + SLOTS as u64 {
                let Some(slot) = self.slot(number) else { break };
                let fits = over.min(SLOT - u64::from(slot.taken[class]));
                slot.taken[class] += fits as u16;
                over -= fits;
                if over == 0 {
                    break;
                }
            }
        }
    }
}
