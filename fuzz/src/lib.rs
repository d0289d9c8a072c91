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
use keel::reactor::http::{HttpConnection, HttpResponse, Status};
use keel::store::{Append, Disk, Kind, Log, Lsn, MemoryDisk, Options, Store};
use keel::types::{Block, EngineKind, Genesis, Transaction};
use keel::wire::{Message, MessageKind};

/// A target: its name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
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
