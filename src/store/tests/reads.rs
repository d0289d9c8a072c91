//! What an opening reads, counted in bytes.

use std::sync::Arc;

use super::super::counting::CountingDisk;
use super::super::record::HEADER;
use super::super::scan::FRONT;
use super::*;

const SEGMENT: u64 = 32 << 20;
const BODY: usize = 100 << 10;
/// What is read of each block that is passed over, and of the tip behind it.
const FRONT_READ: u64 = 2 * (HEADER + FRONT) as u64;
/// What the ends of five logs, their first records and SUPER take, whatever else is there.
const FIXED: u64 = 3 << 20;

/// A directory of so many blocks and tips and as many pages of ten kilobytes, of a process that
/// ended well or was killed a moment after it had nothing to do.
fn grown(blocks: u32, clean: bool) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let (mut store, _) = open(&disk, SEGMENT);
    for number in 0..blocks {
        let page = Append::new(Log::State, Kind::Page, vec![3; 10 << 10]);
        let input = Append::new(Log::Record, Kind::Input, vec![4; 10 << 10]);
        let tip = Append::new(Log::Blocks, Kind::Tip, vec![2; 72]);
        let records = [block(number as u8, number.into(), BODY), tip, page, input];
        store.append(&records).unwrap();
    }
    store.sync().unwrap();
    if clean {
        store.close().unwrap();
    } else {
        store.idle().unwrap();
    }
    disk
}

/// How many bytes it reads to open a directory, and then to see every block.
fn read_by_a_start(disk: &MemoryDisk, blocks: u32) -> (u64, u64) {
    let counting = CountingDisk::over(disk);
    let opened = Store::open(Arc::new(counting.clone()), &options(SEGMENT));
    let (mut store, recovered) = opened.unwrap();
    assert_eq!(recovered.notices, []);
    let opening = counting.bytes_read();
    let mut seen = 0;
    let damage = store.skim(Log::Blocks, Lsn::new(0), |_, kind, front| match kind {
        Kind::Block => {
            assert_eq!(front.len(), FRONT);
            seen += 1;
        }
        _ => assert_eq!(front, [2; 72]),
    });
    assert_eq!(damage, Ok(Vec::new()));
    assert_eq!(seen, blocks);
    (opening, counting.bytes_read() - opening)
}

#[test]
fn a_start_reads_the_front_of_each_block_and_no_page() {
    for clean in [true, false] {
        let [few, many] = [30, 300].map(|blocks| {
            let (opening, seeing) = read_by_a_start(&grown(blocks, clean), blocks);
            assert!(
                seeing <= (1 << 20) + u64::from(blocks) * FRONT_READ,
                "{blocks} blocks, {clean}: {seeing} bytes to see the blocks"
            );
            opening
        });
        assert!(!clean || few <= FIXED + 30 * FRONT_READ, "{few} bytes");
        // A record log that was never synced is read to its end.
        let input = if clean { 0 } else { 11 << 10 };
        assert!(
            many <= few + 270 * (FRONT_READ + input),
            "{clean}: {few} bytes of 30 blocks, {many} of 300"
        );
    }
}

#[test]
fn what_was_not_known_to_be_durable_is_read_whole() {
    let disk = MemoryDisk::new();
    let (mut store, _) = open(&disk, SEGMENT);
    for number in 0..50 {
        store.append(&[block(number, 1, BODY)]).unwrap();
    }
    drop(store);
    let (first, _) = read_by_a_start(&disk, 50);
    assert!(first >= 50 * BODY as u64);
    // It is durable now, and SUPER says so.
    let (second, _) = read_by_a_start(&disk, 50);
    assert!(second <= first - 45 * BODY as u64, "{first}, {second}");
}

#[test]
fn damage_in_a_body_is_found_when_it_is_read() {
    let disk = grown(20, true);
    let (mut store, _) = open(&disk, SEGMENT);
    let mut places = Vec::new();
    let see = |at: Lsn, _: Kind, _: &[u8]| places.push(at);
    store.skim(Log::Blocks, Lsn::new(0), see).unwrap();
    drop(store);
    // Each block is followed by a tip.
    let file = disk.open("blocks/00000000.seg").unwrap();
    let inside = places[8].get() + 50_000;
    file.write_at(inside, &[0xff]).unwrap();
    let (mut store, recovered) = open(&disk, SEGMENT);
    assert_eq!(recovered.notices, []);
    let read = store.reader().read(Log::Blocks, places[8]);
    assert_eq!(read, Err(ReadError::Damaged));
    assert!(store.reader().read(Log::Blocks, places[9]).is_ok());
    let damage = store.replay(Log::Blocks, Lsn::new(0), |_, _, _| {});
    let hit = BadRange {
        from: places[8],
        to: places[9],
    };
    assert_eq!(damage, Ok(vec![hit]));
}

#[test]
fn the_last_page_is_looked_at_and_those_before_it_when_they_are_read() {
    let disk = grown(20, false);
    let (mut store, _) = open(&disk, SEGMENT);
    let mut places = Vec::new();
    let see = |at: Lsn, _: Kind, _: &[u8]| places.push(at);
    store.replay(Log::State, Lsn::new(0), see).unwrap();
    drop(store);
    for (place, is_last) in [(places[18], false), (places[19], true)] {
        let damaged = disk.copy();
        let file = damaged.open("state/00000000.seg").unwrap();
        file.write_at(place.get() + 100, &[0xff]).unwrap();
        let (mut store, recovered) = open(&damaged, SEGMENT);
        assert_eq!(!recovered.notices.is_empty(), is_last);
        let read = store.reader().read(Log::State, place);
        assert_eq!(read, Err(ReadError::Damaged));
        // What comes next links to the last header, whose body matters nothing to it.
        let page = Append::new(Log::State, Kind::Page, vec![5; 100]);
        let at = store.append(std::slice::from_ref(&page)).unwrap()[0];
        let mut shown = Vec::new();
        let see = |at: Lsn, _: Kind, _: &[u8]| shown.push(at);
        let damage = store.replay(Log::State, Lsn::new(0), see).unwrap();
        assert_eq!(damage.len(), 1);
        assert_eq!(shown.len(), 20);
        assert_eq!(shown.last(), Some(&at));
    }
}
