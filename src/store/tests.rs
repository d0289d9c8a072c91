use std::sync::Arc;

use super::*;

fn options() -> Options {
    Options::production([7; 32], 0x1122_3344_5566_7788, 1_000).with_segment_size(16 << 10)
}

fn open(disk: &MemoryDisk) -> (Store, Recovered) {
    Store::open(Arc::new(disk.clone()), &options()).unwrap()
}

/// A block of `len` bytes at `height` whose id repeats `id`.
fn block(id: u8, height: u64, len: usize) -> Append {
    let mut body = vec![id; len];
    body[68..76].copy_from_slice(&height.to_le_bytes());
    Append::new(Log::Blocks, Kind::Block, body)
}

fn replayed(store: &mut Store, log: Log) -> Vec<(Kind, Vec<u8>)> {
    let mut records = Vec::new();
    let damage = store.replay(log, Lsn::new(0), |_, kind, body| {
        records.push((kind, body.to_vec()));
    });
    assert_eq!(damage, Ok(Vec::new()));
    records
}

#[test]
fn what_is_appended_is_read_replayed_and_found_again() {
    let disk = MemoryDisk::new();
    let (mut store, recovered) = open(&disk);
    assert!(recovered.is_new);
    let mut records = Vec::new();
    for number in 0..60_u8 {
        records.push(block(number, number.into(), 100 + 50 * usize::from(number)));
        let body = vec![number; usize::from(number)];
        records.push(Append::new(Log::Journal, Kind::Accepted, body));
    }
    let mut lsns = Vec::new();
    for group in records.chunks(7) {
        lsns.extend(store.append(group).unwrap());
    }
    store.sync().unwrap();
    let reader = store.reader();
    for (record, lsn) in records.iter().zip(&lsns) {
        let read = reader.read(record.log, *lsn).unwrap();
        assert_eq!((read.kind, &read.body), (record.kind, &record.body));
    }
    let last = store.segment_of(Log::Blocks, store.end(Log::Blocks));
    assert!(last > 3);
    let mut listed = 0;
    for segment in 0..last {
        for entry in reader.toc(segment).unwrap().unwrap() {
            let at = Lsn::new(segment * (16 << 10) + u64::from(entry.offset));
            let body = reader.read(Log::Blocks, at).unwrap().body;
            assert_eq!(body[..32], entry.id);
            assert_eq!(entry.height, u64::from(entry.id[0]));
            listed += 1;
        }
    }
    assert!(listed > 40);
    assert_eq!(reader.toc(last), Ok(None));
    for close in [false, true] {
        if close {
            store.close().unwrap();
        } else {
            drop(store);
        }
        let recovered;
        (store, recovered) = open(&disk);
        assert_eq!(recovered.notices, []);
        assert_eq!(recovered.was_clean, close);
        for log in Log::ALL {
            let wanted: Vec<_> = records
                .iter()
                .filter(|record| record.log == log)
                .map(|record| (record.kind, record.body.clone()))
                .collect();
            assert_eq!(replayed(&mut store, log), wanted, "{log:?}");
        }
    }
}
