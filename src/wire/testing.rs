//! Two ends of a connection, for tests.

use zeroize::Zeroizing;

use crate::base::Time;
use crate::types::{EngineKind, GenesisId, Millis, NodeRecord, Services};

use super::{Handshake, Lane, MessageKind, Network, NodeIdentity, Received, Transport};

pub(super) const NOW: Time = Time::from_millis(1_700_000_000_000);

pub(super) const NETWORK: Network = Network {
    genesis: GenesisId([9; 32]),
    engine: EngineKind::Work,
    puzzle_bits: 0,
};

/// An identity and its record.
pub(super) fn node(number: u8) -> (NodeIdentity, NodeRecord) {
    let identity = NodeIdentity::from_seeds(&[number; 32], &[number + 100; 32]);
    let record = identity.sign_record(
        &NETWORK.genesis,
        1,
        Millis(1_700_000_600_000),
        Services::FULL_BLOCKS,
        &[],
        None,
    );
    (identity, record)
}

/// A handshake from node 1 to node 2, before its first message.
pub(super) fn handshakes() -> (Handshake, Handshake) {
    let ((ours, our_record), (theirs, their_record)) = (node(1), node(2));
    let ephemeral = |byte| Zeroizing::new([byte; 32]);
    let initiator =
        Handshake::initiate(NETWORK, &ours, &our_record, &theirs.key(), ephemeral(3)).unwrap();
    let responder = Handshake::respond(NETWORK, &theirs, &their_record, ephemeral(4));
    (initiator, responder)
}

/// What a handshake has to write.
pub(super) fn written(handshake: &mut Handshake) -> Vec<u8> {
    let mut out = Vec::new();
    handshake.write(&mut out);
    out
}

/// Both transports of a connection on which nothing was said yet.
pub(super) fn transports() -> [Transport; 2] {
    let (initiator, responder) = handshakes();
    super::shake_hands(initiator, responder).unwrap()
}

/// Both transports of a connection after the greetings, each as if it had asked for everything.
pub(super) fn greeted() -> [Transport; 2] {
    let mut sides = strangers();
    for side in &mut sides {
        side.owe_everything();
    }
    sides
}

/// Both transports of a connection after the greetings.
pub(super) fn strangers() -> [Transport; 2] {
    let mut sides = transports();
    for side in &mut sides {
        side.send(Lane::Control, MessageKind::Hello, vec![0; 125])
            .unwrap();
        side.send(Lane::Control, MessageKind::Ready, vec![0; 8])
            .unwrap();
    }
    for from in [0, 1] {
        let bytes = drain(&mut sides[from]);
        let to = &mut sides[1 - from];
        to.receive(NOW, &bytes).unwrap();
        let kinds: Vec<MessageKind> = take_all(to).iter().map(|message| message.kind).collect();
        assert_eq!(kinds, [MessageKind::Hello, MessageKind::Ready]);
    }
    sides
}

/// All that a transport may write.
pub(super) fn drain(from: &mut Transport) -> Vec<u8> {
    let mut out = Vec::new();
    from.write(&mut out, usize::MAX);
    assert!(!from.wants_write());
    out
}

/// All messages that came, dealt with.
pub(super) fn take_all(to: &mut Transport) -> Vec<Received> {
    let messages: Vec<Received> = std::iter::from_fn(|| to.next_message()).collect();
    for message in &messages {
        to.consumed(message.lane, message.bytes.len());
    }
    messages
}
