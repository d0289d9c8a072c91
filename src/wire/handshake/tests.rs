use super::*;
use crate::types::Millis;
use crate::wire::testing::{NETWORK, NOW, drain, handshakes, node, transports, written};
use crate::wire::{Lane, MessageKind};

/// Gives `bytes` to `handshake` in pieces of `size`.
fn feed(handshake: &mut Handshake, bytes: &[u8], size: usize) -> Result<(), HandshakeError> {
    for piece in bytes.chunks(size) {
        let taken = handshake.receive(piece)?;
        assert_eq!(taken, piece.len());
    }
    Ok(())
}

#[test]
fn both_sides_learn_each_others_records_however_bytes_are_cut() {
    for size in (1..=64).chain([100, 495, 496, 497, 511, 512, 600]) {
        let (mut initiator, mut responder) = handshakes();
        let first = written(&mut initiator);
        assert_eq!(first.len(), FIRST_BYTES);
        feed(&mut responder, &first, size).unwrap();
        let second = written(&mut responder);
        assert_eq!(second.len(), SECOND_BYTES);
        assert!(!responder.is_finished());
        feed(&mut initiator, &second, size).unwrap();
        assert!(initiator.is_finished());
        let third = written(&mut initiator);
        assert_eq!(third.len(), THIRD_BYTES);
        feed(&mut responder, &third, size).unwrap();
        assert!(responder.is_finished());
        assert_eq!(initiator.into_transport().1, node(2).1);
        assert_eq!(responder.into_transport().1, node(1).1);
    }
}

#[test]
fn nothing_is_said_to_who_does_not_know_the_key() {
    let (_, mut responder) = handshakes();
    for byte in 0..FIRST_BYTES {
        assert_eq!(
            responder.receive(&[byte as u8]).is_ok(),
            byte < FIRST_BYTES - 1
        );
        assert!(!responder.wants_write());
    }
    assert_eq!(
        responder.receive(&[1; 99]),
        Err(HandshakeError::NotAuthentic)
    );
    assert!(written(&mut responder).is_empty());
}

#[test]
fn the_same_secrets_give_the_same_bytes() {
    let run = || {
        let (mut initiator, mut responder) = handshakes();
        let mut all = written(&mut initiator);
        responder.receive(&all).unwrap();
        let second = written(&mut responder);
        initiator.receive(&second).unwrap();
        all.extend(second);
        all.extend(written(&mut initiator));
        all
    };
    assert_eq!(run(), run());
}

#[test]
fn what_follows_the_handshake_is_left_to_the_transport() {
    let (mut initiator, mut responder) = handshakes();
    responder.receive(&written(&mut initiator)).unwrap();
    initiator.receive(&written(&mut responder)).unwrap();
    // The third message was not written yet: the transport does it, before its frames.
    let (mut ours, _) = initiator.into_transport();
    assert!(ours.wants_write());
    ours.send(Lane::Control, MessageKind::Hello, vec![7; 125])
        .unwrap();
    let bytes = drain(&mut ours);
    assert!(bytes.len() > THIRD_BYTES);
    let taken = responder.receive(&bytes).unwrap();
    assert_eq!(taken, THIRD_BYTES);
    assert_eq!(responder.receive(&bytes[taken..]), Ok(0));
    let (mut theirs, _) = responder.into_transport();
    theirs.receive(NOW, &bytes[taken..]).unwrap();
    assert_eq!(theirs.next_message().unwrap().bytes, [7; 125]);
}

#[test]
fn a_change_of_any_byte_ends_the_handshake() {
    for message in 0..3 {
        let bytes = [FIRST_BYTES, SECOND_BYTES, THIRD_BYTES][message];
        for place in 0..bytes {
            let (mut initiator, mut responder) = handshakes();
            for at in 0..=message {
                let (from, to) = match at {
                    1 => (&mut responder, &mut initiator),
                    _ => (&mut initiator, &mut responder),
                };
                let mut said = written(from);
                if at < message {
                    to.receive(&said).unwrap();
                    continue;
                }
                // The top bit of an x25519 key is not part of it, but of the hash over all.
                said[place] ^= 0x80;
                assert_eq!(
                    to.receive(&said),
                    Err(HandshakeError::NotAuthentic),
                    "message {message} byte {place}"
                );
                assert!(!to.wants_write() && !to.is_finished());
            }
        }
    }
}

#[test]
fn another_chain_or_another_key_can_not_be_told_from_noise() {
    let ((ours, our_record), (theirs, their_record)) = (node(1), node(2));
    let secret = |byte| Zeroizing::new([byte; 32]);
    let foreign = Network {
        genesis: GenesisId([8; 32]),
        ..NETWORK
    };
    for (network, key) in [(foreign, theirs.key()), (NETWORK, ours.key())] {
        let mut initiator =
            Handshake::initiate(network, &ours, &our_record, &key, secret(3)).unwrap();
        let mut responder = Handshake::respond(NETWORK, &theirs, &their_record, secret(4));
        assert_eq!(
            responder.receive(&written(&mut initiator)),
            Err(HandshakeError::NotAuthentic)
        );
        assert!(!responder.wants_write());
    }
    // A key of small order is refused before anything is said.
    let small = NodeKey([0; 32]);
    let result = Handshake::initiate(NETWORK, &ours, &our_record, &small, secret(3));
    assert_eq!(result.err(), Some(HandshakeError::NotAuthentic));
}

/// What a responder on `network` says to an initiator with the keys of `identity` that shows
/// `payload`.
fn show(network: Network, identity: &NodeIdentity, payload: &[u8]) -> HandshakeError {
    let (theirs, their_record) = node(2);
    let secret = |byte| Zeroizing::new([byte; 32]);
    let mut noise = NoiseHandshake::initiator(
        identity.transport(),
        &theirs.key().0,
        &prologue(&network),
        secret(3),
    );
    let mut responder = Handshake::respond(network, &theirs, &their_record, secret(4));
    responder.receive(&noise.write(b"").unwrap()).unwrap();
    noise.read(&written(&mut responder)).unwrap();
    let third = noise.write(payload).unwrap();
    let error = responder.receive(&third).unwrap_err();
    assert!(!responder.is_finished() && !responder.wants_write());
    // The error stays.
    assert_eq!(responder.receive(&third), Err(error.clone()));
    error
}

fn payload_of(record: &NodeRecord) -> Vec<u8> {
    let mut out = Writer::new();
    record.encode_with_length(&mut out);
    out.zeros(PAYLOAD_BYTES - out.len());
    out.into_bytes()
}

#[test]
fn a_record_must_be_of_the_key_that_was_proved() {
    let (ours, our_record) = node(1);
    let (_, third_record) = node(3);
    assert_eq!(
        show(NETWORK, &ours, &payload_of(&third_record)),
        HandshakeError::OtherKey
    );
    let mut changed = our_record.clone();
    changed.content.seq += 1;
    assert_eq!(
        show(NETWORK, &ours, &payload_of(&changed)),
        HandshakeError::Signature
    );
    let other = GenesisId([8; 32]);
    let foreign = ours.sign_record(&other, 1, Millis(u64::MAX), Default::default(), &[], None);
    assert_eq!(
        show(NETWORK, &ours, &payload_of(&foreign)),
        HandshakeError::Signature
    );
    let hard = Network {
        puzzle_bits: 200,
        ..NETWORK
    };
    assert_eq!(
        show(hard, &ours, &payload_of(&our_record)),
        HandshakeError::Puzzle
    );
    // The responder's own identity dials it.
    let (theirs, their_record) = node(2);
    assert_eq!(
        show(NETWORK, &theirs, &payload_of(&their_record)),
        HandshakeError::SelfConnection
    );
    let mut padded = payload_of(&our_record);
    *padded.last_mut().unwrap() = 1;
    assert!(matches!(
        show(NETWORK, &ours, &padded),
        HandshakeError::Record(DecodeError::Invalid(_))
    ));
    let mut short = payload_of(&our_record);
    short[0] = 155;
    assert!(matches!(
        show(NETWORK, &ours, &short),
        HandshakeError::Record(DecodeError::Invalid(_))
    ));
}

#[test]
fn an_identity_that_solves_the_puzzle_is_found() {
    let mut rng = crate::base::Rng::from_number(1);
    let identity = NodeIdentity::generate(&mut rng, 8);
    assert!(identity.id().solves_puzzle(8));
}

#[test]
fn transports_of_a_handshake_fit_together() {
    let [mut ours, mut theirs] = transports();
    for (from, to) in [(0, 1), (1, 0)] {
        let sides = [&mut ours, &mut theirs];
        sides[from]
            .send(Lane::Control, MessageKind::Hello, vec![from as u8; 130])
            .unwrap();
        let bytes = drain(sides[from]);
        sides[to].receive(NOW, &bytes).unwrap();
        assert_eq!(sides[to].next_message().unwrap().bytes, [from as u8; 130]);
    }
}
