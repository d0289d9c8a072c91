//! What a peer can do wrong on a connection.

use std::fmt;

use crate::codec::DecodeError;

use super::{Lane, MessageKind};

/// A breach of the protocol. The connection closes without a reply, and who did it is discouraged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A frame breaks a rule of frames.
    Frame(&'static str),
    /// A frame is not authentic: damaged, repeated, out of order or forged.
    NotAuthentic,
    /// A segment breaks a rule of segments.
    Segment(&'static str),
    /// A message of a feature that was not negotiated.
    Reserved(&'static str),
    /// An even type that this version does not know.
    UnknownKind(u8),
    /// More messages of unknown odd types than may be ignored.
    TooManyUnknown,
    /// A message in a lane that is not for its type.
    WrongLane {
        /// Its type.
        kind: MessageKind,
        /// The lane it came in.
        lane: Lane,
    },
    /// A message that says it is longer than its type allows.
    TooLong {
        /// Its type byte.
        kind: u8,
        /// The length it says.
        total: u32,
        /// The greatest length of its type.
        max: u32,
    },
    /// An answer in a lane in which nothing of the kind is owed.
    Unasked {
        /// Its type.
        kind: MessageKind,
        /// The lane it came in.
        lane: Lane,
    },
    /// More bytes than there was credit for.
    NoCredit(Lane),
    /// Greetings out of order: HELLO is the first message, READY the second, neither comes again.
    OutOfOrder(u8),
    /// The bytes are no message of their type.
    Message {
        /// The type.
        kind: MessageKind,
        /// What is wrong with them.
        error: DecodeError,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(rule) | Self::Segment(rule) => f.write_str(rule),
            Self::NotAuthentic => f.write_str("a frame is not authentic"),
            Self::Reserved(name) => {
                write!(f, "{name} came, whose feature was not negotiated")
            }
            Self::UnknownKind(kind) => write!(f, "a message of unknown type {kind:#04x} came"),
            Self::TooManyUnknown => f.write_str("too many messages of unknown types came"),
            Self::WrongLane { kind, lane } => {
                write!(f, "{kind} came in the lane of {lane}")
            }
            Self::TooLong { kind, total, max } => write!(
                f,
                "a message of type {kind:#04x} announced {total} bytes where {max} are the limit"
            ),
            Self::Unasked { kind, lane } => {
                write!(
                    f,
                    "{kind} came in the lane of {lane}, where nothing of the kind was asked for"
                )
            }
            Self::NoCredit(lane) => {
                write!(
                    f,
                    "more bytes than there was credit for came in the lane of {lane}"
                )
            }
            Self::OutOfOrder(kind) => {
                write!(
                    f,
                    "a message of type {kind:#04x} came out of order with the greetings"
                )
            }
            Self::Message { kind, error } => write!(f, "{kind}: {error}"),
        }
    }
}

impl std::error::Error for Fault {}
