//! A peer that tells each of its peers of another chain.

use std::collections::BTreeMap;

use crate::base::Rng;
use crate::codec::Encode;
use crate::node::ConnId;
use crate::sim::{Behaviour, Fate, Hands, Letter};
use crate::types::{BlockId, Height};
use crate::wire::message::Hello;
use crate::wire::{Message, MessageKind};

use super::craft::{is, read, send_in};

/// How far its chain is said to be ahead.
const AHEAD: u64 = 1_000;

/// What it pretends towards one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Face {
    /// A tip far ahead, which it can show to nobody.
    Ahead,
    /// Its tip, at a height that is not the tip's.
    Misplaced,
    /// Nothing but genesis, although it tells of every new block; asked for what lies below, it
    /// has nothing.
    Shrinking,
}

/// Tells peers of different heights and tips, and lowers what it told of.
#[derive(Clone, Debug, Default)]
pub struct TwoFacedHeight {
    greeted: u64,
    faces: BTreeMap<ConnId, Face>,
}

impl TwoFacedHeight {
    /// One that has greeted nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The face of a new connection: each in turn, so that two peers never see the same.
    fn new_face(&mut self, conn: ConnId, hands: &Hands<'_>) -> Face {
        let open = hands.connections;
        self.faces
            .retain(|conn, _| open.iter().any(|(other, _)| other == conn));
        self.greeted += 1;
        let face = match self.greeted % 3 {
            1 => Face::Ahead,
            2 => Face::Misplaced,
            _ => Face::Shrinking,
        };
        self.faces.insert(conn, face);
        face
    }

    fn lie(hello: &mut Hello, face: Face, hands: &mut Hands<'_>) {
        match face {
            Face::Ahead => {
                hello.best_height = Height(hello.best_height.0 + AHEAD);
                hello.best_id = random_id(hands.rng);
                hands.mark("two-faced: claimed a chain far ahead");
            }
            Face::Misplaced => {
                hello.best_height = Height(hello.best_height.0 + 1);
                hands.mark("two-faced: claimed another height for its tip");
            }
            Face::Shrinking => {
                hello.best_height = Height::GENESIS;
                hello.best_id = BlockId(hands.genesis.id().0);
                hands.mark("two-faced: claimed to have nothing");
            }
        }
    }
}

fn random_id(rng: &mut Rng) -> BlockId {
    BlockId(rng.bytes32())
}

impl Behaviour for TwoFacedHeight {
    fn name(&self) -> &'static str {
        "two-faced"
    }

    fn outgoing(&mut self, letter: &Letter<'_>, hands: &mut Hands<'_>) -> Fate {
        let face = self.faces.get(&letter.conn).copied();
        if is(letter, MessageKind::Hello)
            && let Some(Message::Hello(mut hello)) = read(letter, hands)
        {
            let face = self.new_face(letter.conn, hands);
            Self::lie(&mut hello, face, hands);
            let bytes = hello.to_bytes();
            hands.send(letter.conn, letter.lane, letter.kind, bytes);
            return Fate::Drop;
        }
        if is(letter, MessageKind::Headers)
            && face == Some(Face::Shrinking)
            && let Some(Message::Headers { request, .. }) = read(letter, hands)
        {
            let headers = Vec::new();
            hands.mark("two-faced: had no headers below what it told of");
            send_in(
                hands,
                letter.conn,
                letter.lane,
                &Message::Headers { request, headers },
            );
            return Fate::Drop;
        }
        Fate::Pass
    }
}
