use serde_json::Value;

use super::*;
use crate::base::{decode_hex, decode_hex_array};

/// What a vector says under `name`.
fn bytes(vector: &Value, name: &str) -> Vec<u8> {
    decode_hex(vector[name].as_str().unwrap()).unwrap()
}

fn secret(vector: &Value, name: &str) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(decode_hex_array(vector[name].as_str().unwrap()).unwrap())
}

/// Both sides of a handshake, before its first message.
fn pair() -> (NoiseHandshake, NoiseHandshake) {
    let (ours, theirs) = (
        StaticSecret::from_seed(&[1; 32]),
        StaticSecret::from_seed(&[2; 32]),
    );
    let initiator = NoiseHandshake::initiator(
        &ours,
        &theirs.public_key(),
        b"chain",
        Zeroizing::new([3; 32]),
    );
    let responder = NoiseHandshake::responder(&theirs, b"chain", Zeroizing::new([4; 32]));
    (initiator, responder)
}

fn ciphers() -> (Ciphers, Ciphers) {
    let (mut initiator, mut responder) = pair();
    let first = initiator.write(b"").unwrap();
    responder.read(&first).unwrap();
    let second = responder.write(b"").unwrap();
    initiator.read(&second).unwrap();
    let third = initiator.write(b"").unwrap();
    responder.read(&third).unwrap();
    (initiator.into_ciphers(), responder.into_ciphers())
}

#[test]
fn published_vectors() {
    let text = include_str!("../../../tests/vectors/noise/xk_25519_chachapoly_sha256.json");
    let file: Value = serde_json::from_str(text).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 2);
    for vector in vectors {
        assert_eq!(vector["protocol_name"], PROTOCOL);
        let ours = StaticSecret(secret(vector, "init_static"));
        let theirs = StaticSecret(secret(vector, "resp_static"));
        let remote: [u8; 32] = bytes(vector, "init_remote_static").try_into().unwrap();
        assert_eq!(theirs.public_key(), remote);
        let mut initiator = NoiseHandshake::initiator(
            &ours,
            &remote,
            &bytes(vector, "init_prologue"),
            secret(vector, "init_ephemeral"),
        );
        let mut responder = NoiseHandshake::responder(
            &theirs,
            &bytes(vector, "resp_prologue"),
            secret(vector, "resp_ephemeral"),
        );
        let messages = vector["messages"].as_array().unwrap();
        for (place, message) in messages[..3].iter().enumerate() {
            let payload = bytes(message, "payload");
            let (writer, reader) = match place {
                1 => (&mut responder, &mut initiator),
                _ => (&mut initiator, &mut responder),
            };
            let written = writer.write(&payload).unwrap();
            assert_eq!(written, bytes(message, "ciphertext"), "message {place}");
            assert_eq!(reader.read(&written), Ok(payload));
        }
        assert!(initiator.is_finished() && responder.is_finished());
        assert_eq!(responder.remote_key(), Some(ours.public_key()));
        assert_eq!(initiator.hash(), responder.hash());
        if vector["handshake_hash"].is_string() {
            assert_eq!(initiator.hash(), bytes(vector, "handshake_hash"));
        }
        let mut sides = [responder.into_ciphers(), initiator.into_ciphers()];
        for message in &messages[3..] {
            let payload = bytes(message, "payload");
            let mut sealed = vec![0; payload.len() + TAG_BYTES];
            sides[0].seal(&payload, &mut sealed);
            assert_eq!(sealed, bytes(message, "ciphertext"));
            let mut opened = vec![0; payload.len()];
            assert_eq!(sides[1].open(&sealed, &mut opened), Ok(()));
            assert_eq!(opened, payload);
            sides.swap(0, 1);
        }
    }
}

#[test]
fn a_key_of_small_order_fails_the_handshake() {
    // The points of small order, and some of them encoded with the ignored top bit.
    let mut keys = vec![[0; 32], [0; 32], [0xff; 32], [0xff; 32]];
    keys[1][0] = 1;
    keys[2][0] = 0xec;
    keys[2][31] = 0x7f;
    keys[3][0] = 0xee;
    for key in keys {
        let (_, mut responder) = pair();
        let mut message = key.to_vec();
        message.resize(KEY_BYTES + TAG_BYTES, 0);
        assert_eq!(responder.read(&message), Err(NotAuthentic));
        let dialled = StaticSecret::from_seed(&[1; 32]);
        let ephemeral = Zeroizing::new([3; 32]);
        let mut initiator = NoiseHandshake::initiator(&dialled, &key, b"", ephemeral);
        assert_eq!(initiator.write(b""), Err(NotAuthentic));
    }
}

#[test]
fn a_rekey_changes_the_key_and_not_the_count() {
    let (mut ours, mut theirs) = ciphers();
    let mut sealed = [[0; 5 + TAG_BYTES]; 3];
    let mut opened = [0; 5];
    ours.seal(b"first", &mut sealed[0]);
    ours.rekey_outgoing();
    ours.seal(b"after", &mut sealed[1]);
    assert_eq!(theirs.open(&sealed[0], &mut opened), Ok(()));
    assert_eq!(theirs.open(&sealed[1], &mut opened), Err(NotAuthentic));
    theirs.rekey_incoming();
    assert_eq!(theirs.open(&sealed[1], &mut opened), Ok(()));
    assert_eq!(&opened, b"after");
    // The other direction still has its first key.
    theirs.seal(b"other", &mut sealed[2]);
    assert_eq!(ours.open(&sealed[2], &mut opened), Ok(()));
}

#[test]
fn the_secret_of_a_handshake_serves_once() {
    let primitives = Primitives::new(Zeroizing::new([7; 32]));
    let mut random = snow::resolvers::CryptoResolver::resolve_rng(&primitives).unwrap();
    let mut out = [0; 32];
    assert!(random.try_fill_bytes(&mut out).is_ok());
    assert_eq!(out, [7; 32]);
    assert!(random.try_fill_bytes(&mut out).is_err());
}
