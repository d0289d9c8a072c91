use std::sync::Arc;

use super::*;

mod damage;
mod faults;
mod golden;
mod reads;
mod refusals;
mod script;

fn options(segment_size: u64) -> Options {
    Options::production([7; 32], 0x1122_3344_5566_7788, 1_000).with_segment_size(segment_size)
}

fn open(disk: &MemoryDisk, segment_size: u64) -> (Store, Recovered) {
    Store::open(Arc::new(disk.clone()), &options(segment_size)).unwrap()
}

/// A block of `len` bytes at `height` whose id repeats `id`.
fn block(id: u8, height: u64, len: usize) -> Append {
    let mut body = vec![id; len];
    body[68..76].copy_from_slice(&height.to_le_bytes());
    Append::new(Log::Blocks, Kind::Block, body)
}

/// Every record of a log, which must have no damage.
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
    let (mut store, recovered) = open(&disk, 16 << 10);
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
        let same = reader.view(record.log, *lsn, |_, body| body == record.body);
        assert_eq!(same, Ok(true));
    }
    for beyond in [store.end(Log::Blocks).get(), 1 << 40, u64::MAX] {
        let read = reader.read(Log::Blocks, Lsn::new(beyond));
        assert_eq!(read, Err(ReadError::Gone));
    }
    let inside = Lsn::new(lsns[0].get() + 8);
    assert_eq!(reader.read(Log::Blocks, inside), Err(ReadError::Damaged));
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
        (store, recovered) = open(&disk, 16 << 10);
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

#[test]
fn a_table_of_contents_is_the_same_after_a_restart() {
    let tables = [false, true].map(|restart| {
        let disk = MemoryDisk::new();
        let (mut store, _) = open(&disk, 4 << 10);
        for number in 0..12 {
            store.append(&[block(number, 3, 300)]).unwrap();
            if restart {
                drop(store);
                store = open(&disk, 4 << 10).0;
            }
        }
        store.reader().toc(0).unwrap().unwrap()
    });
    assert!(tables[0].len() > 5);
    assert_eq!(tables[0], tables[1]);
}

#[test]
fn a_body_that_just_fits_is_written_and_one_byte_more_is_refused() {
    for log in Log::ALL {
        let (mut store, _) = open(&MemoryDisk::new(), 4 << 10);
        let max = store.max_body(log);
        // What does not fit beside it begins another segment, and leaves a segment to seal.
        for len in [max, 100, max, max] {
            let len = len as usize;
            let kind = if log == Log::Blocks {
                Kind::Block
            } else {
                Kind::Tip
            };
            let before = store.end(log);
            let large = Append::new(log, kind, vec![1; max as usize + 1]);
            assert!(matches!(
                store.append(&[large]),
                Err(Failure::TooLarge { .. })
            ));
            assert_eq!(store.end(log), before);
            let at = store
                .append(&[Append::new(log, kind, vec![1; len])])
                .unwrap()[0];
            assert_eq!(store.reader().read(log, at).unwrap().body.len(), len);
        }
        assert_eq!(replayed(&mut store, log).len(), 4);
    }
}

#[test]
fn forgotten_segments_are_gone_and_those_who_hold_them_read_on() {
    let disk = MemoryDisk::new();
    let (mut store, _) = open(&disk, 4 << 10);
    let lsns: Vec<Lsn> = (0..30)
        .flat_map(|number| store.append(&[block(number, 1, 500)]).unwrap())
        .collect();
    let held = disk.open("blocks/00000000.seg").unwrap();
    store.forget_before(Log::Blocks, 2).unwrap();
    assert_eq!(store.first_segment(Log::Blocks), 2);
    let kept: Vec<&Lsn> = lsns.iter().filter(|lsn| lsn.get() >= 8 << 10).collect();
    let reader = store.reader();
    assert_eq!(reader.read(Log::Blocks, lsns[0]), Err(ReadError::Gone));
    assert!(reader.read(Log::Blocks, *kept[0]).is_ok());
    assert_eq!(replayed(&mut store, Log::Blocks).len(), kept.len());
    let mut magic = [0; 4];
    held.read_at(0, &mut magic).unwrap();
    assert_eq!(&magic, b"KEL1");
    assert!(
        !disk
            .list("blocks")
            .unwrap()
            .contains(&"00000001.seg".to_owned())
    );
    // The segment that is written to stays, whatever is asked.
    store.forget_before(Log::Blocks, 1_000).unwrap();
    assert!(store.append(&[block(99, 1, 500)]).is_ok());
    drop(store);
    let (mut store, recovered) = open(&disk, 4 << 10);
    assert_eq!(recovered.notices, []);
    let last = replayed(&mut store, Log::Blocks).pop().unwrap();
    assert_eq!(last.1, block(99, 1, 500).body);
}

#[test]
fn the_record_log_keeps_its_newest_segments() {
    let disk = MemoryDisk::new();
    let (mut store, _) = open(&disk, 4 << 10);
    for number in 0..100_u8 {
        let input = Append::new(Log::Record, Kind::Input, vec![number; 700]);
        store.append(&[input]).unwrap();
        assert!(disk.list("record").unwrap().len() <= 5);
    }
    let kept = replayed(&mut store, Log::Record);
    assert!((12..=20).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last().unwrap().1[0], 99);
    drop(store);
    let (mut store, _) = open(&disk, 4 << 10);
    assert_eq!(replayed(&mut store, Log::Record), kept);
}

#[test]
fn a_log_keeps_the_segment_size_it_began_with() {
    let disk = MemoryDisk::new();
    let (mut store, _) = open(&disk, 4 << 10);
    store.append(&[block(1, 1, 100)]).unwrap();
    drop(store);
    let (mut store, _) = open(&disk, 64 << 10);
    assert!(store.max_body(Log::Blocks) < 4 << 10);
    assert!(store.max_body(Log::Journal) > 32 << 10);
    assert_eq!(replayed(&mut store, Log::Blocks).len(), 1);
}

#[test]
fn a_group_is_one_append_and_each_request_has_its_completion() {
    let disk = FaultyDisk::over(
        &MemoryDisk::new(),
        Faults::default(),
        crate::base::Rng::from_number(1),
    );
    let (mut store, _) = Store::open(Arc::new(disk.clone()), &options(16 << 10)).unwrap();
    let mut commits = Commits::new();
    commits.push(Request::durable(1, vec![block(1, 1, 100)]));
    commits.run(&mut store);
    store.idle().unwrap();
    let before = disk.calls();
    for ticket in 2..5 {
        commits.push(Request::durable(
            ticket,
            vec![block(2, 2, 100), block(3, 2, 100)],
        ));
    }
    let done = commits.run(&mut store);
    // One write and one sync.
    assert_eq!(disk.calls() - before, 2);
    assert!(commits.is_empty());
    let tickets: Vec<u64> = done.iter().map(|done| done.ticket).collect();
    assert_eq!(tickets, [2, 3, 4]);
    let lsns: Vec<Lsn> = done
        .into_iter()
        .flat_map(|done| done.result.unwrap())
        .collect();
    assert_eq!(lsns.len(), 6);
    assert!(lsns.is_sorted());
    assert_eq!(store.durable(Log::Blocks), store.end(Log::Blocks));
    // One that can't be written does not take the others with it.
    commits.push(Request::durable(5, vec![block(4, 2, 100)]));
    commits.push(Request::durable(6, vec![block(4, 2, 100_000)]));
    let done = commits.run(&mut store);
    assert!(done[0].result.is_ok());
    assert!(matches!(done[1].result, Err(Failure::TooLarge { .. })));
    // What is asked for when the records are durable is durable too.
    commits.push(Request {
        then: Some(Upkeep::Checkpoint {
            needed: std::collections::BTreeSet::new(),
        }),
        ..Request::durable(7, vec![block(5, 2, 100)])
    });
    let at = commits.run(&mut store).remove(0).result.unwrap()[0];
    let disk = disk.crash(Keep::Nothing);
    drop(store);
    let (store, _) = open(&disk, 16 << 10);
    assert_eq!(store.checkpoint(), Some(at));
    assert!(store.reader().read(Log::Blocks, at).is_ok());
}
