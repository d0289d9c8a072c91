//! What the fuzz targets do with their bytes. `tests/it` replays the seeds through the same
//! functions on the stable toolchain.
//!
//! Each function takes any bytes and panics when a rule is broken; besides, nothing may panic by
//! itself or allocate what the bytes do not pay for.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use keel::base::Time;
use keel::codec::{Decode, DecodeError, Encode};
use keel::crypto::hash::domain;
use keel::crypto::noise::{Ciphers, NoiseHandshake, StaticSecret, TAG_BYTES};
use keel::reactor::http::{HttpConnection, HttpResponse, Status};
use keel::store::{Append, Disk, Kind, Log, Lsn, MemoryDisk, Options, Store};
use keel::types::{
    Block, EngineKind, Genesis, GenesisId, Millis, NodeRecord, Services, Transaction,
};
use keel::wire::{
    FRAME_TEXT_MAX, Fault, Handshake, HandshakeError, Lane, Message, MessageKind, Network,
    NodeIdentity, Received, Transport,
};
use zeroize::Zeroizing;

/// A target: its name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("frame", frame),
    ("message", message),
    ("transaction", transaction),
    ("block", block),
    ("genesis", genesis),
    ("log_recovery", log_recovery),
    ("http_request", http_request),
];

/// A value has one encoding, and every strict prefix of it is Incomplete.
fn obey_codec_laws<T: Decode + Encode + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(value) = T::from_bytes(bytes) else {
        return;
    };
    assert_eq!(
        value.to_bytes(),
        bytes,
        "a value was read from two encodings"
    );
    for end in some_places(bytes.len()) {
        let prefix = T::from_bytes(&bytes[..end]);
        assert_eq!(
            prefix,
            Err(DecodeError::Incomplete),
            "the first {end} bytes"
        );
    }
    let longer = [bytes, &[0]].concat();
    assert!(
        T::from_bytes(&longer).is_err(),
        "a byte behind a value was taken"
    );
}

/// Every place in something short, and 64 of them in something long.
fn some_places(length: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by((length / 64).max(1))
}

/// What a peer sends. With an even first byte the rest comes as it is, from the first message of
/// the handshake on. With an odd one the peer has shaken hands, and the rest is what it seals:
/// frame after frame, each with its length before it as a u16.
///
/// Where the bytes are cut makes no difference, and a fault stays one.
pub fn frame(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    if first & 1 == 0 {
        let whole = shake_hands(rest, usize::MAX);
        assert_eq!(
            whole,
            shake_hands(rest, 1),
            "where the bytes are cut makes a difference"
        );
        return;
    }
    let (mut stream, rest) = sealed(rest);
    // The last frame may be cut short.
    stream.truncate(stream.len().saturating_sub(rest));
    let whole = messages(&stream, usize::MAX);
    assert_eq!(
        whole,
        messages(&stream, 7),
        "where the bytes are cut makes a difference"
    );
}

const NETWORK: Network = Network {
    genesis: GenesisId([9; 32]),
    engine: EngineKind::Work,
    puzzle_bits: 0,
};

/// A node's identity and record, and the secret of its transport.
fn node(number: u8) -> (NodeIdentity, NodeRecord, StaticSecret) {
    let (signing, transport) = ([number; 32], [number + 100; 32]);
    let identity = NodeIdentity::from_seeds(&signing, &transport);
    let expires = Millis(1_700_000_600_000);
    let services = Services::FULL_BLOCKS;
    let record = identity.sign_record(&NETWORK.genesis, 1, expires, services, &[], None);
    (identity, record, StaticSecret::from_seed(&transport))
}

fn responder() -> Handshake {
    let (identity, record, _) = node(2);
    Handshake::respond(NETWORK, &identity, &record, Zeroizing::new([4; 32]))
}

/// What a responder answers to these bytes, and why it gives up.
fn shake_hands(bytes: &[u8], at_once: usize) -> (Vec<u8>, Option<HandshakeError>) {
    let mut handshake = responder();
    let mut answer = Vec::new();
    for part in bytes.chunks(at_once.min(bytes.len()).max(1)) {
        if let Err(error) = handshake.receive(part) {
            return (answer, Some(error));
        }
        handshake.write(&mut answer);
    }
    (answer, None)
}

/// The transport of a responder after its handshake, and the ciphers of its peer.
fn connection() -> (Transport, Ciphers) {
    let (_, record, secret) = node(1);
    let mut handshake = responder();
    let remote = node(2).0.key();
    let prologue = [domain::TRANSPORT, NETWORK.genesis.as_bytes()].concat();
    let ephemeral = Zeroizing::new([3; 32]);
    let mut peer = NoiseHandshake::initiator(&secret, &remote.0, &prologue, ephemeral);
    let mut answer = Vec::new();
    let first = peer.write(b"").expect("it is the peer's turn");
    handshake.receive(&first).expect("a good first message");
    handshake.write(&mut answer);
    peer.read(&answer).expect("a good answer");
    let record = record.to_bytes();
    let mut payload = (record.len() as u16).to_le_bytes().to_vec();
    payload.extend_from_slice(&record);
    payload.resize(448, 0);
    let third = peer.write(&payload).expect("it is the peer's turn");
    handshake.receive(&third).expect("a good third message");
    (handshake.into_transport().0, peer.into_ciphers())
}

/// Frames as the bytes say, sealed by the peer, and how many bytes the last one lacks.
fn sealed(mut bytes: &[u8]) -> (Vec<u8>, usize) {
    const FRAMES_MAX: usize = 32;
    let (_, mut ciphers) = connection();
    let (mut stream, mut lacking) = (Vec::new(), 0);
    for _ in 0..FRAMES_MAX {
        let Some((length, rest)) = bytes.split_first_chunk() else {
            break;
        };
        let wanted = usize::from(u16::from_le_bytes(*length)).clamp(1, FRAME_TEXT_MAX);
        let length = wanted.min(rest.len());
        let (text, rest) = rest.split_at(length);
        bytes = rest;
        lacking = wanted - length;
        let mut frame = vec![0; text.len() + TAG_BYTES];
        ciphers.seal(text, &mut frame);
        stream.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        stream.extend_from_slice(&frame);
    }
    (stream, lacking)
}

/// The messages that come of a stream, and the fault that ends it.
fn messages(stream: &[u8], at_once: usize) -> (Vec<Received>, Option<Fault>) {
    let (mut transport, _) = connection();
    let now = Time::from_millis(1);
    // Something of every kind was asked for, because answers to nothing are not looked at.
    let list = [[0; 4].as_slice(), &[16, 0], &[0; 16 * 32]].concat();
    for (lane, kind, bytes) in [
        (Lane::Control, MessageKind::Hello, vec![0; 125]),
        (Lane::Control, MessageKind::Ready, vec![0; 8]),
        (Lane::Bodies, MessageKind::GetHeaders, vec![0; 40]),
        (Lane::Bodies, MessageKind::GetBlocks, list.clone()),
        (Lane::History, MessageKind::GetHeaders, vec![0; 40]),
        (Lane::History, MessageKind::GetBlocks, list.clone()),
        (Lane::Transactions, MessageKind::GetTx, list),
    ] {
        transport.send(lane, kind, bytes).expect("little waits");
    }
    let mut received = Vec::new();
    for part in stream.chunks(at_once.min(stream.len()).max(1)) {
        let result = transport.receive(now, part);
        while let Some(message) = transport.next_message() {
            transport.consumed(message.lane, message.bytes.len());
            received.push(message);
        }
        if let Err(fault) = result {
            assert_eq!(
                transport.receive(now, b""),
                Err(fault.clone()),
                "a fault stays"
            );
            let mut answer = Vec::new();
            transport.write(&mut answer, usize::MAX);
            assert!(answer.is_empty(), "a connection says nothing after a fault");
            return (received, Some(fault));
        }
    }
    (received, None)
}

/// The body of a message, its type and chain chosen by the first byte.
pub fn message(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else {
        return;
    };
    let engine = if first & 0x80 == 0 {
        EngineKind::Work
    } else {
        EngineKind::Stake
    };
    let Ok(kind) = MessageKind::from_byte(first & 0x7f) else {
        return;
    };
    let Ok(message) = Message::decode(kind, body, engine) else {
        return;
    };
    assert_eq!(message.kind(), kind);
    assert_eq!(
        message.encode(),
        body,
        "a message was read from two encodings"
    );
    // A block stands in its message as it came; whether it is one is found out later.
    if kind != MessageKind::Block {
        for end in some_places(body.len()) {
            let prefix = Message::decode(kind, &body[..end], engine);
            assert!(prefix.is_err(), "the first {end} bytes are a message too");
        }
    }
}

/// A transaction.
pub fn transaction(bytes: &[u8]) {
    obey_codec_laws::<Transaction>(bytes);
    if let Ok(transaction) = Transaction::from_bytes(bytes) {
        assert_eq!(transaction.encoded_len(), bytes.len());
        assert!(transaction.weight().0 >= bytes.len() as u64);
    }
}

/// A block.
pub fn block(bytes: &[u8]) {
    obey_codec_laws::<Block>(bytes);
}

/// A genesis in its binary form.
pub fn genesis(bytes: &[u8]) {
    obey_codec_laws::<Genesis>(bytes);
    if let Ok(genesis) = Genesis::from_bytes(bytes) {
        assert_eq!(genesis.check(), Ok(()), "decoding checks what check() does");
    }
}

/// A log with a few records, damaged as the bytes say: three bytes choose a log, a place in its
/// first segment and what to write there, as often as there are bytes.
///
/// Whatever stands there after a crash, opening does not panic, and a record that is read is one
/// that was written. Damage to bytes that were never acknowledged loses no acknowledged record.
pub fn log_recovery(bytes: &[u8]) {
    const DAMAGES_MAX: usize = 64;
    let options = Options::production([7; 32], 5, 1).with_segment_size(64 << 10);
    let disk = MemoryDisk::new();
    let (written, durable) = write_some_records(&disk, &options);
    let crashed = disk.copy();
    let mut below = false;
    for damage in bytes.chunks_exact(4).take(DAMAGES_MAX) {
        let log = [Log::Blocks, Log::Journal][usize::from(damage[0] & 1)];
        let place = u64::from(u16::from_le_bytes([damage[1], damage[2]]) % 8_192);
        below |= place < durable[&log].get();
        let file = crashed.open(&log.path(0)).expect("the segment is there");
        file.write_at(place, &damage[3..])
            .expect("memory takes bytes");
    }
    let Ok((mut store, _)) = Store::open(Arc::new(crashed), &options) else {
        assert!(below, "an unacknowledged tail keeps the store from opening");
        return;
    };
    for log in [Log::Blocks, Log::Journal] {
        let mut found = Vec::new();
        let read = store.replay(log, Lsn::new(0), |at, kind, body| {
            found.push((at, kind, body.to_vec()));
        });
        let Ok(damage) = read else { continue };
        let written = &written[&log];
        for record in &found {
            assert!(
                written.contains(record),
                "a record was read that nobody wrote"
            );
        }
        let acknowledged = written.iter().filter(|(at, ..)| *at < durable[&log]);
        if damage.is_empty() && !below {
            for record in acknowledged {
                assert!(found.contains(record), "an acknowledged record is gone");
            }
        }
    }
}

type Records = BTreeMap<Log, Vec<(Lsn, Kind, Vec<u8>)>>;

/// Eight records in each of two logs, six of which were acknowledged.
fn write_some_records(disk: &MemoryDisk, options: &Options) -> (Records, BTreeMap<Log, Lsn>) {
    let opened = Store::open(Arc::new(disk.clone()), options);
    let (mut store, _) = opened.expect("an empty disk in memory opens");
    let mut written = Records::new();
    let mut durable = BTreeMap::new();
    for number in 0..8_u8 {
        let block = Append::new(Log::Blocks, Kind::Block, vec![number; 300]);
        let accepted = Append::new(Log::Journal, Kind::Accepted, vec![number; 20]);
        let records = [block, accepted];
        let lsns = store.append(&records).expect("memory takes records");
        for (record, at) in records.into_iter().zip(lsns) {
            written
                .entry(record.log)
                .or_default()
                .push((at, record.kind, record.body));
        }
        if number == 5 {
            store.sync().expect("memory syncs");
            durable.extend([Log::Blocks, Log::Journal].map(|log| (log, store.end(log))));
        }
    }
    (written, durable)
}

/// What clients send to the RPC: the same requests come of it whether it arrives at once or byte
/// by byte.
pub fn http_request(bytes: &[u8]) {
    let whole = serve(bytes, usize::MAX);
    let single = serve(bytes, 1);
    assert_eq!(whole, single, "where the bytes are cut makes a difference");
}

/// The bodies of the requests that a connection reads from `bytes`, which arrive `at_once` at a
/// time, and what it answers, but for the invitation to go on, which only those get that wait.
fn serve(bytes: &[u8], at_once: usize) -> (Vec<Vec<u8>>, String) {
    let now = Time::from_millis(1);
    let hosts = ["node.example".to_owned()];
    let mut connection = HttpConnection::new(now);
    let (mut bodies, mut answers) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    loop {
        let count = rest.len().min(at_once).min(connection.room());
        let (next, later) = rest.split_at(count);
        rest = later;
        connection.receive(now, next);
        while let Some(request) = connection.next_request(now, &hosts) {
            bodies.push(request.body);
            connection.respond(now, &HttpResponse::text(Status::Ok, "yes"));
            let sent = connection.output().len();
            answers.extend_from_slice(connection.output());
            connection.sent(now, sent);
        }
        let sent = connection.output().len();
        answers.extend_from_slice(connection.output());
        connection.sent(now, sent);
        if count == 0 || connection.is_over() {
            let answers = String::from_utf8_lossy(&answers);
            let answers = answers.replace("HTTP/1.1 100 Continue\r\n\r\n", "");
            return (bodies, answers);
        }
    }
}
