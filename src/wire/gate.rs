//! What a message must be like before any of it is kept.

use crate::base::{Span, Time};
use crate::types::EngineKind;

use super::bucket::TokenBucket;
use super::message::{MESSAGE_BYTES_MAX, UnknownKind};
use super::{Fault, Lane, MessageKind};

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

/// Decides by what a message says of itself whether it is taken: its type, its lane, its length
/// and its turn. A transport asks it when a message begins; so does a simulated link.
#[derive(Clone, Debug)]
pub struct Gate {
    engine: EngineKind,
    greetings: Greetings,
    unknown: TokenBucket,
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
        if known.is_none() && !self.unknown.take(now) {
            return Err(Fault::TooManyUnknown);
        }
        Ok(known)
    }

    /// A message that [`begin`](Self::begin) took came to its end.
    pub const fn end(&mut self) {
        self.greetings = self.greetings.next();
    }
}
