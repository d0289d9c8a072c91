//! What a message must be like before any of it is kept.

use crate::base::{Span, Time};
use crate::types::EngineKind;

use super::bucket::TokenBucket;
use super::message::{MESSAGE_BYTES_MAX, UnknownKind};
use super::{Fault, LANES, Lane, MessageKind};

/// A peer may send so many messages of unknown odd types an hour: enough for a newer version's
/// hints, too few to keep a connection busy with nothing.
const UNKNOWN_PER_HOUR: u32 = 1_000;

/// How far the greetings are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greetings {
    /// Next is HELLO.
    Hello,
    /// Next is READY.
    Ready,
    /// Next is anything else.
    Done,
}

impl Greetings {
    /// Whether a message of type `kind` may come now.
    pub(super) const fn allow(self, kind: u8) -> bool {
        let (hello, ready) = (MessageKind::Hello.byte(), MessageKind::Ready.byte());
        match self {
            Self::Hello => kind == hello,
            Self::Ready => kind == ready,
            Self::Done => kind != hello && kind != ready,
        }
    }

    /// After a message that was allowed.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Hello => Self::Ready,
            Self::Ready | Self::Done => Self::Done,
        }
    }
}

/// What a peer may still answer in one lane. A request that is answered late, or by several
/// messages, is owed until the last of it came.
#[derive(Clone, Copy, Debug, Default)]
struct Owed {
    /// HEADERS, one for each request.
    headers: u32,
    /// Blocks in lanes 2 and 5, transactions in lane 3: each comes, or stands in NOT_FOUND.
    items: u32,
}

/// How many answers the message of this kind and these bytes asks for: headers by one message,
/// blocks and transactions one by one. What NOT_FOUND and TXS hold is counted in the same way.
#[must_use]
pub fn items_of(kind: MessageKind, bytes: &[u8]) -> u32 {
    match (kind, bytes) {
        // All of these are a request's number and a list, whose count is a u16.
        (
            MessageKind::GetBlocks | MessageKind::GetTx | MessageKind::NotFound | MessageKind::Txs,
            [_, _, _, _, low, high, ..],
        ) => u32::from(u16::from_le_bytes([*low, *high])),
        (MessageKind::GetHeaders | MessageKind::Headers | MessageKind::Block, _) => 1,
        _ => 0,
    }
}

/// Decides by what a message says of itself whether it is taken: its type, its lane, its length,
/// its turn, and whether what it answers was asked for. A transport asks it when a message begins;
/// so does a simulated link.
///
/// The great types are all answers: so nobody makes this node keep megabytes of a message that
/// never ends unless this node asked for such a message.
#[derive(Clone, Debug)]
pub struct Gate {
    engine: EngineKind,
    greetings: Greetings,
    unknown: TokenBucket,
    owed: [Owed; LANES],
}

impl Gate {
    /// The gate of a connection on which nothing came yet.
    #[must_use]
    pub const fn new(engine: EngineKind) -> Self {
        let interval = Span::from_micros(3_600_000_000 / UNKNOWN_PER_HOUR as u64);
        Self {
            engine,
            greetings: Greetings::Hello,
            unknown: TokenBucket::new(UNKNOWN_PER_HOUR, interval),
            owed: [Owed {
                headers: 0,
                items: 0,
            }; LANES],
        }
    }

    /// This side asked for something in `lane`, by a message that asks for so many
    /// [items](items_of).
    pub const fn asked(&mut self, lane: Lane, kind: MessageKind, items: u32) {
        let owed = &mut self.owed[lane.index()];
        match kind {
            MessageKind::GetHeaders => owed.headers = owed.headers.saturating_add(items),
            MessageKind::GetBlocks | MessageKind::GetTx => {
                owed.items = owed.items.saturating_add(items);
            }
            _ => {}
        }
    }

    /// Whether a message of this kind answers something, as far as can be known at its beginning.
    const fn owes(&self, kind: MessageKind, lane: Lane) -> bool {
        let owed = &self.owed[lane.index()];
        match kind {
            MessageKind::Headers => owed.headers > 0,
            MessageKind::Block | MessageKind::Txs | MessageKind::NotFound => owed.items > 0,
            _ => true,
        }
    }

    /// Takes the beginning of a message of `total` bytes: its kind, or nothing for one that is to
    /// be ignored.
    pub fn begin(
        &mut self,
        now: Time,
        kind: u8,
        lane: Lane,
        total: u32,
    ) -> Result<Option<MessageKind>, Fault> {
        if !self.greetings.allow(kind) {
            return Err(Fault::OutOfOrder(kind));
        }
        let known = match MessageKind::from_byte(kind) {
            Ok(kind) => Some(kind),
            Err(UnknownKind::Reserved(name)) => return Err(Fault::Reserved(name)),
            Err(UnknownKind::Even) => return Err(Fault::UnknownKind(kind)),
            Err(UnknownKind::Odd) => None,
        };
        let max = match known {
            Some(kind) if !kind.lanes().contains(&lane) => {
                return Err(Fault::WrongLane { kind, lane });
            }
            Some(kind) => kind.max_bytes(self.engine),
            None => MESSAGE_BYTES_MAX,
        };
        if total > max {
            return Err(Fault::TooLong { kind, total, max });
        }
        if let Some(kind) = known.filter(|kind| !self.owes(*kind, lane)) {
            return Err(Fault::Unasked { kind, lane });
        }
        if known.is_none() && !self.unknown.take(now) {
            return Err(Fault::TooManyUnknown);
        }
        Ok(known)
    }

    /// A message that [`begin`](Self::begin) took came to its end, with so many
    /// [items](items_of).
    pub const fn end(&mut self, lane: Lane, known: Option<MessageKind>, items: u32) {
        self.greetings = self.greetings.next();
        let owed = &mut self.owed[lane.index()];
        match known {
            Some(MessageKind::Headers) => owed.headers = owed.headers.saturating_sub(items),
            Some(MessageKind::Block | MessageKind::Txs | MessageKind::NotFound) => {
                owed.items = owed.items.saturating_sub(items);
            }
            _ => {}
        }
    }

    /// As if everything had been asked for.
    #[cfg(test)]
    pub(super) fn owe_everything(&mut self) {
        self.owed = [Owed {
            headers: u32::MAX,
            items: u32::MAX,
        }; LANES];
    }
}
