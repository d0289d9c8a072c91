//! A peer whose messages are wrong in every way there is.

use std::collections::BTreeMap;

use crate::base::{Rng, Span};
use crate::node::ConnId;
use crate::sim::{Behaviour, Fate, Hands, Letter};
use crate::types::Hash;
use crate::wire::message::{RequestId, ShortText};
use crate::wire::{Lane, Message, MessageKind};

use super::craft::{is, send};

/// The longest time between two of its messages.
const PAUSE_MS: u64 = 3_000;
/// Bytes of messages that are nothing but noise, at most.
const NOISE_BYTES: u64 = 3_000;
/// Messages of its node that it keeps to spoil.
const KEPT_MAX: usize = 32;
/// One more unknown message than an honest peer may send in an hour.
const ODD_BURST: usize = 1_001;

/// Sends random bytes, wrong kinds and cut messages, between those of its node.
#[derive(Clone, Debug, Default)]
pub struct GarbageSender {
    /// Whole messages of its node, to be cut and changed.
    kept: Vec<(u8, u8, Vec<u8>)>,
    /// Its greetings.
    greetings: BTreeMap<ConnId, Vec<u8>>,
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug)]
enum Garbage {
    NoiseOfAnyType,
    NoiseOfAKnownType,
    CutShort,
    TooLong,
    ABitFlipped,
    WrongLane,
    UnaskedAnswer,
    GreetedTwice,
    ManyUnknown,
    AbsurdCount,
}

impl Garbage {
    const ALL: [(Self, &'static str); 10] = [
        (Self::NoiseOfAnyType, "garbage: noise of any type"),
        (Self::NoiseOfAKnownType, "garbage: noise of a known type"),
        (Self::CutShort, "garbage: a message cut short"),
        (Self::TooLong, "garbage: a message with more behind it"),
        (Self::ABitFlipped, "garbage: a message with a flipped bit"),
        (Self::WrongLane, "garbage: a message in a wrong lane"),
        (
            Self::UnaskedAnswer,
            "garbage: an answer that nobody asked for",
        ),
        (Self::GreetedTwice, "garbage: a second greeting"),
        (Self::ManyUnknown, "garbage: many unknown messages"),
        (Self::AbsurdCount, "garbage: a count beyond all bytes"),
    ];
}

impl GarbageSender {
    /// One that has said nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn rest(hands: &mut Hands<'_>) {
        let pause = Span::from_millis(1 + hands.rng.below(PAUSE_MS));
        hands.wake_at(hands.now + pause);
    }

    /// One of its node's messages, if there was any.
    fn any_kept(&self, rng: &mut Rng) -> Option<(u8, u8, Vec<u8>)> {
        let count = self.kept.len() as u64;
        (count > 0).then(|| self.kept[rng.below(count) as usize].clone())
    }

    fn spoil(&self, garbage: Garbage, conn: ConnId, hands: &mut Hands<'_>) -> Option<()> {
        let (lane, kind, bytes) = match garbage {
            Garbage::NoiseOfAnyType => {
                let (lane, kind) = (any_lane(hands.rng), hands.rng.below(256) as u8);
                (lane, kind, noise(hands.rng))
            }
            Garbage::NoiseOfAKnownType => {
                let place = hands.rng.below(MessageKind::ALL.len() as u64) as usize;
                let kind = MessageKind::ALL[place];
                (kind.lanes()[0] as u8, kind.byte(), noise(hands.rng))
            }
            Garbage::CutShort => {
                let (lane, kind, mut bytes) = self.any_kept(hands.rng)?;
                bytes.truncate(hands.rng.below(bytes.len().max(1) as u64) as usize);
                (lane, kind, bytes)
            }
            Garbage::TooLong => {
                let (lane, kind, mut bytes) = self.any_kept(hands.rng)?;
                bytes.push(0);
                (lane, kind, bytes)
            }
            Garbage::ABitFlipped => {
                let (lane, kind, mut bytes) = self.any_kept(hands.rng)?;
                let place = hands.rng.below(bytes.len().max(1) as u64) as usize;
                *bytes.get_mut(place)? ^= 1 << hands.rng.below(8);
                (lane, kind, bytes)
            }
            Garbage::WrongLane => {
                let (lane, kind, bytes) = self.any_kept(hands.rng)?;
                (
                    (lane + 1 + any_lane(hands.rng)) % Lane::ALL.len() as u8,
                    kind,
                    bytes,
                )
            }
            Garbage::UnaskedAnswer => {
                let message = unasked(hands.rng);
                send(hands, conn, &message);
                return Some(());
            }
            Garbage::GreetedTwice => {
                let bytes = self.greetings.get(&conn)?.clone();
                (0, MessageKind::Hello.byte(), bytes)
            }
            Garbage::ManyUnknown => {
                for _ in 0..ODD_BURST {
                    hands.send(conn, 0, 0xe1, Vec::new());
                }
                return Some(());
            }
            Garbage::AbsurdCount => {
                // A list of 65,535 ids, of which none follows.
                let kind = MessageKind::TxInv;
                (kind.lanes()[0] as u8, kind.byte(), vec![0xff, 0xff])
            }
        };
        hands.send(conn, lane, kind, bytes);
        Some(())
    }
}

impl Behaviour for GarbageSender {
    fn name(&self) -> &'static str {
        "garbage"
    }

    fn start(&mut self, hands: &mut Hands<'_>) {
        self.greetings.clear();
        Self::rest(hands);
    }

    fn outgoing(&mut self, letter: &Letter<'_>, hands: &mut Hands<'_>) -> Fate {
        if is(letter, MessageKind::Hello) {
            // Of connections that are over nothing needs to be known.
            let open = hands.connections;
            self.greetings
                .retain(|conn, _| open.iter().any(|(other, _)| other == conn));
            self.greetings.insert(letter.conn, letter.bytes.to_vec());
        } else if self.kept.len() < KEPT_MAX {
            let bytes = letter.bytes.to_vec();
            self.kept.push((letter.lane, letter.kind, bytes));
        }
        Fate::Pass
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        let open = hands.connections;
        if !open.is_empty() {
            let (conn, _) = open[hands.rng.below(open.len() as u64) as usize];
            let place = hands.rng.below(Garbage::ALL.len() as u64) as usize;
            let (garbage, mark) = Garbage::ALL[place];
            if self.spoil(garbage, conn, hands).is_some() {
                hands.mark(mark);
            }
        }
        Self::rest(hands);
    }
}

fn noise(rng: &mut Rng) -> Vec<u8> {
    let length = rng.below(NOISE_BYTES) as usize;
    let mut bytes = Vec::with_capacity(length + 31);
    while bytes.len() < length {
        bytes.extend(rng.bytes32());
    }
    bytes.truncate(length);
    bytes
}

/// An answer to a request that nobody made.
fn unasked(rng: &mut Rng) -> Message {
    let request = RequestId(rng.next_u64() as u32);
    match rng.below(5) {
        0 => Message::Headers {
            request,
            headers: Vec::new(),
        },
        1 => Message::Nodes {
            request,
            records: Vec::new(),
        },
        2 => Message::Pong {
            nonce: rng.next_u64(),
        },
        3 => Message::NotFound {
            request,
            ids: vec![Hash(rng.bytes32())],
        },
        _ => Message::Bye {
            reason: 99,
            text: ShortText::new("so long"),
        },
    }
}

fn any_lane(rng: &mut Rng) -> u8 {
    rng.below(Lane::ALL.len() as u64) as u8
}
