//! A node's line: what waits for it, and how long bytes take over it.

use crate::base::{Span, Time};
use crate::wire::FRAME_TEXT_MAX;

use super::{SHARED, STRICT};

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

/// Work is counted in parts of a microsecond of which a half and a third are whole.
const PARTS: u64 = 6;
const _: () = assert!(SHARED == 3, "what three lanes share is counted in sixths");

/// The way out: first in, first out within a lane; a better one of the strict lanes goes first, and
/// the others share what is left, in turns as short as can be.
///
/// When bytes leave is said at once and is not taken back. So what a better lane sends goes at
/// once, and what it takes from a worse one is taken from what that one sends later: the line may
/// carry more than it can, by as much as was overtaken, and makes it good afterwards. In the same
/// way what comes late to a lane that shares takes nothing back from the other two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uplink {
    speed: Speed,
    /// When each strict lane has nothing under way, with all that goes before it. Never earlier
    /// than the same of a better one.
    free: [Time; STRICT],
    /// When each of the others has nothing under way, if nothing more comes to any of them.
    shared: [Time; SHARED],
}

impl Uplink {
    pub(super) const fn new(bytes_per_second: u64) -> Self {
        Self {
            speed: Speed::new(bytes_per_second),
            free: [Time::EPOCH; STRICT],
            shared: [Time::EPOCH; SHARED],
        }
    }

    pub(super) const fn speed(&self) -> Speed {
        self.speed
    }

    /// Puts a message on the line.
    pub(super) fn put(&mut self, now: Time, lane: usize, bytes: u64) -> Took {
        let span = self.speed.span(bytes);
        if lane < STRICT {
            self.put_strict(now, lane, span)
        } else {
            self.put_shared(now.max(self.free[STRICT - 1]), lane - STRICT, span)
        }
    }

    fn put_strict(&mut self, now: Time, lane: usize, span: Span) -> Took {
        let mut begin = now.max(self.free[lane]);
        let last = self
            .shared
            .into_iter()
            .fold(self.free[STRICT - 1], Time::max);
        let worse = last.since(begin).as_micros();
        if worse > 0 && self.free[lane] <= now {
            // What is worse is cut into frames, and one of them is on the line; none where the
            // line takes no time, and what is worse only leaves later.
            let frame = self.speed.span(FRAME_BYTES).as_micros();
            begin += Span::from_micros(worse.checked_rem(frame).unwrap_or(0));
        }
        let end = begin + span;
        self.free[lane] = end;
        for free in &mut self.free[lane + 1..] {
            *free = (*free).max(begin) + span;
        }
        for free in self.shared.iter_mut().filter(|free| **free > begin) {
            *free += span;
        }
        Took { begin, end }
    }

    /// `from` is when nothing strict is under way.
    fn put_shared(&mut self, from: Time, lane: usize, span: Span) -> Took {
        let begin = from.max(self.shared[lane]);
        let is_alone = (0..SHARED).all(|other| other == lane || self.shared[other] <= from);
        if is_alone {
            let end = begin + span;
            self.shared[lane] = end;
            return Took { begin, end };
        }
        let mut left = self.left(from);
        left[lane] += PARTS * span.as_micros();
        for (free, own) in self.shared.iter_mut().zip(left) {
            if own > 0 {
                // By then each of the others has sent as much, or all that it has.
                let sent: u64 = left.iter().map(|other| own.min(*other)).sum();
                *free = from + Span::from_micros(sent.div_ceil(PARTS));
            }
        }
        let end = self.shared[lane].max(begin);
        Took { begin, end }
    }

    /// What each lane that shares has left at a time from which on they have the line: as long as
    /// n of them have something, each has an n-th of the line.
    fn left(&self, from: Time) -> [u64; SHARED] {
        let mut order = [0, 1, 2];
        order.sort_unstable_by_key(|lane| self.shared[*lane]);
        let busy = order.map(|lane| (lane, self.shared[lane].since(from).as_micros()));
        let mut sharing = busy.iter().filter(|(_, until)| *until > 0).count() as u64;
        let (mut left, mut each, mut passed) = ([0; SHARED], 0, 0);
        for (lane, until) in busy.into_iter().filter(|(_, until)| *until > 0) {
            each += (until - passed) * PARTS / sharing;
            left[lane] = each;
            (passed, sharing) = (until, sharing - 1);
        }
        left
    }
}

/// Microseconds of a slot, 2^14.
const SLOT_BITS: u32 = 14;
const SLOT: u64 = 1 << SLOT_BITS;
/// Slots of a line: a second. What comes later than that after something else that is on its way
/// does not wait for what comes in between.
const SLOTS: usize = 64;

/// What waits only for what is as good or better where it comes in.
const CLASSES: usize = 4;

/// The first two lanes, whose messages are small, are one class, and so are transactions and
/// discovery. History comes behind these: what it was promised while it had a line out to itself
/// stays, and would keep out what shares that line with it later.
const fn class_of(lane: usize) -> usize {
    match lane {
        0 | 1 => 0,
        2 => 1,
        3 | 4 => 2,
        _ => 3,
    }
}

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
    pub(super) fn take(&mut self, first: Time, last: Time, lane: usize, span: Span) -> Time {
        let class = class_of(lane);
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
