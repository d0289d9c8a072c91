//! What adversaries make: messages, and headers with their work done.

use std::collections::BTreeSet;

use crate::codec::Encode;
use crate::crypto::sha256::search;
use crate::node::ConnId;
use crate::sim::{Hands, Letter, NodeIndex};
use crate::types::{Block, Header, Seal, Transaction};
use crate::wire::{Lane, Message, MessageKind};

/// How many hashes an adversary spends on one header before it gives it up: 250 times what the
/// blocks of a dev chain cost at first.
const HASHES_MAX: u64 = 1 << 22;

/// Does the work that a header's own bits ask for; says whether a nonce was found.
pub(super) fn seal(header: &mut Header) -> bool {
    let Seal::Work { bits, .. } = header.seal else {
        return false;
    };
    let bytes = header.to_bytes();
    let (Some(bytes), Some(target)) = (bytes.first_chunk(), bits.target()) else {
        return false;
    };
    let found = search(bytes, 0..HASHES_MAX, &target.to_be_bytes());
    if let (Some(found), Seal::Work { nonce, .. }) = (found, &mut header.seal) {
        *nonce = found;
    }
    found.is_some()
}

/// A block's bytes as they travel.
pub(super) fn block(header: &Header, transactions: Vec<Transaction>) -> Vec<u8> {
    Block {
        header: header.clone(),
        transactions,
        certificate: None,
    }
    .to_bytes()
}

/// Sends a message in the first lane that it may come in.
pub(super) fn send(hands: &mut Hands<'_>, conn: ConnId, message: &Message) {
    let lane = message.kind().lanes().first().copied();
    send_in(hands, conn, lane.unwrap_or(Lane::Control) as u8, message);
}

/// Sends a message in this lane, as answers go in that of their requests.
pub(super) fn send_in(hands: &mut Hands<'_>, conn: ConnId, lane: u8, message: &Message) {
    hands.send(conn, lane, message.kind().byte(), message.encode());
}

/// The message of a letter, if it is one.
pub(super) fn read(letter: &Letter<'_>, hands: &Hands<'_>) -> Option<Message> {
    let kind = MessageKind::from_byte(letter.kind).ok()?;
    let engine = hands.genesis.rules.engine_kind();
    Message::decode(kind, letter.bytes, engine).ok()
}

/// Whether a letter is a message of this kind.
pub(super) const fn is(letter: &Letter<'_>, kind: MessageKind) -> bool {
    letter.kind == kind as u8
}

/// The connections whose greeting is over: whoever says anything else before is found out at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Greeted(BTreeSet<ConnId>);

impl Greeted {
    /// Looks at what the node sends: its READY is the last of its greeting, and nothing that is
    /// sent later arrives before it.
    pub(super) fn look_at(&mut self, outgoing: &Letter<'_>) {
        if is(outgoing, MessageKind::Ready) {
            self.0.insert(outgoing.conn);
        }
    }

    /// The connections that anything may be said on, and who is at their other ends.
    pub(super) fn open(&mut self, hands: &Hands<'_>) -> Vec<(ConnId, NodeIndex)> {
        let open = hands.connections.iter().copied();
        let open: Vec<_> = open.filter(|(conn, _)| self.0.contains(conn)).collect();
        self.0 = open.iter().map(|(conn, _)| *conn).collect();
        open
    }
}
