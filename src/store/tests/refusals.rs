//! Directories that must be left alone.

use std::sync::Arc;

use super::super::superblock::Super;
use super::*;

fn refusal(disk: &MemoryDisk, options: &Options) -> OpenError {
    match Store::open(Arc::new(disk.clone()), options) {
        Ok(_) => panic!("the directory was opened"),
        Err(error) => error,
    }
}

/// A directory with some records.
fn used() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let (mut store, _) = open(&disk, 4 << 10);
    for number in 0..20 {
        store.append(&[block(number, 1, 500)]).unwrap();
    }
    store.close().unwrap();
    disk
}

#[test]
fn a_directory_in_use_is_refused_until_it_is_free() {
    let disk = MemoryDisk::new();
    let (store, _) = open(&disk, 4 << 10);
    let error = refusal(&disk, &options(4 << 10));
    assert!(error.to_string().contains("in use by"), "{error}");
    drop(store);
    open(&disk, 4 << 10);
}

#[test]
fn a_directory_of_another_chain_is_refused_and_not_changed() {
    let disk = used();
    let before = disk.contents();
    let other = Options {
        genesis_id: [8; 32],
        ..options(4 << 10)
    };
    let error = refusal(&disk, &other);
    let wanted = OpenError::OtherChain {
        found: [7; 32],
        wanted: [8; 32],
    };
    assert_eq!(error, wanted);
    assert!(error.to_string().contains("0707070707070707"));
    assert!(disk.contents() == before);
}

#[test]
fn a_newer_format_is_refused() {
    let changes: [fn(&mut Super); 3] = [
        |slot| slot.major = 2,
        |slot| slot.incompat = 4,
        |slot| slot.ro_compat = 1,
    ];
    for change in changes {
        let disk = used();
        let mut slot = Super::new([7; 32], 1);
        slot.seq = 99;
        change(&mut slot);
        let file = disk.open("SUPER").unwrap();
        file.write_at(4_096, &slot.to_bytes()).unwrap();
        let error = refusal(&disk, &options(4 << 10));
        assert!(matches!(error, OpenError::TooNew(_)), "{error}");
    }
    // What may be ignored is ignored, and kept.
    let disk = used();
    let bytes = |disk: &MemoryDisk| {
        let mut bytes = [0; 8_192];
        disk.open("SUPER").unwrap().read_at(0, &mut bytes).unwrap();
        let slots = bytes.chunks(4_096).filter_map(Super::read);
        slots.max_by_key(|slot| slot.seq).unwrap()
    };
    let slot = Super {
        seq: 101,
        compat: 8,
        minor: 3,
        ..bytes(&disk)
    };
    let file = disk.open("SUPER").unwrap();
    file.write_at(4_096, &slot.to_bytes()).unwrap();
    open(&disk, 4 << 10);
    assert_eq!((bytes(&disk).compat, bytes(&disk).minor), (8, 3));
}

#[test]
fn segments_without_super_are_refused() {
    let disk = used();
    disk.remove("SUPER").unwrap();
    let before = disk.contents();
    assert_eq!(refusal(&disk, &options(4 << 10)), OpenError::NoSuper);
    assert!(disk.contents() == before);
}

#[test]
fn one_bad_slot_of_super_is_lived_with_and_two_are_refused_with_a_way_on() {
    let spoil = |disk: &MemoryDisk, slot: u64| {
        let (file, mut byte) = (disk.open("SUPER").unwrap(), [0]);
        file.read_at(slot * 4_096 + 64, &mut byte).unwrap();
        file.write_at(slot * 4_096 + 64, &[byte[0] ^ 4]).unwrap();
    };
    for slot in 0..2 {
        let disk = used();
        spoil(&disk, slot);
        let (mut store, _) = open(&disk, 4 << 10);
        let mut blocks = 0;
        let see = |_, kind, _: &[u8]| blocks += usize::from(kind == Kind::Block);
        assert_eq!(store.replay(Log::Blocks, Lsn::default(), see), Ok(vec![]));
        assert_eq!(blocks, 20, "nothing is lost with slot {slot}");
    }
    let disk = used();
    spoil(&disk, 0);
    spoil(&disk, 1);
    let before = disk.contents();
    let error = refusal(&disk, &options(4 << 10));
    assert_eq!(error, OpenError::BadSuper);
    for told in [
        "both copies",
        "SUPER",
        "nothing was changed",
        "synchronise again",
    ] {
        assert!(error.to_string().contains(told), "{error}");
    }
    assert!(disk.contents() == before);
}

#[test]
fn segments_of_another_place_are_refused() {
    let swapped = used();
    swapped.rename("blocks/00000001.seg", "x").unwrap();
    swapped
        .rename("blocks/00000000.seg", "blocks/00000001.seg")
        .unwrap();
    let foreign = used();
    let other = MemoryDisk::new();
    let other_options = Options {
        new_dir_id: 5,
        ..options(4 << 10)
    };
    let (mut store, _) = Store::open(Arc::new(other.clone()), &other_options).unwrap();
    store.append(&[block(1, 1, 500)]).unwrap();
    let mut bytes = [0; 4 << 10];
    other
        .open("blocks/00000000.seg")
        .unwrap()
        .read_at(0, &mut bytes)
        .unwrap();
    let last = foreign.list("blocks").unwrap().pop().unwrap();
    let last = format!("blocks/{last}");
    foreign.open(&last).unwrap().write_at(0, &bytes).unwrap();
    for disk in [swapped, foreign] {
        let before = disk.contents();
        let error = refusal(&disk, &options(4 << 10));
        assert!(matches!(error, OpenError::Misplaced { .. }), "{error}");
        assert!(disk.contents() == before);
    }
}

#[test]
fn segments_of_the_recording_that_belong_elsewhere_are_dropped() {
    let input = || Append::new(Log::Record, Kind::Input, vec![1; 500]);
    let disk = MemoryDisk::new();
    let (mut store, _) = open(&disk, 4 << 10);
    for _ in 0..24 {
        store.append(&[input()]).unwrap();
    }
    store.close().unwrap();
    // What is gone from between others is damage.
    let count = |store: &mut Store| {
        let mut count = 0;
        let replayed = store.replay(Log::Record, Lsn::new(0), |_, _, _| count += 1);
        replayed.unwrap();
        count
    };
    let names = disk.list("record").unwrap();
    let path = |name: &String| format!("record/{name}");
    let mut first = [0; 4 << 10];
    let from = disk.open(&path(&names[0])).unwrap();
    from.read_at(0, &mut first).unwrap();
    for name in &names[1..] {
        let damaged = disk.copy();
        let to = damaged.open(&path(name)).unwrap();
        to.write_at(0, &first).unwrap();
        let (mut store, _) = open(&damaged, 4 << 10);
        let before = count(&mut store);
        // The last is made ahead: it has nothing yet.
        let loses = Some(name) != names.last();
        assert!(before > 0 && (before < 24) == loses, "{name}: {before}");
        for _ in 0..10 {
            store.append(&[input()]).unwrap();
        }
        store.close().unwrap();
        let (mut store, found) = open(&damaged, 4 << 10);
        assert!(found.was_clean);
        assert!(count(&mut store) >= 10);
    }
}

#[test]
fn a_last_segment_that_is_missing_with_what_it_acknowledged_is_refused() {
    let records = [
        (Log::Blocks, Kind::Block),
        (Log::Journal, Kind::Accepted),
        (Log::Safety, Kind::Vote),
    ];
    for (log, kind) in records {
        let disk = MemoryDisk::new();
        let (mut store, _) = open(&disk, 4 << 10);
        for number in 0..20 {
            store
                .append(&[Append::new(log, kind, vec![number; 500])])
                .unwrap();
        }
        store.close().unwrap();
        let directory = log.directory();
        let names = disk.list(directory).unwrap();
        // The last is made ahead, the one before it holds the end.
        for name in &names[names.len() - 2..] {
            disk.remove(&format!("{directory}/{name}")).unwrap();
        }
        let before = disk.contents();
        let error = refusal(&disk, &options(4 << 10));
        assert!(matches!(error, OpenError::Missing { .. }), "{error}");
        assert!(disk.contents() == before);
    }
}

#[test]
fn segment_sizes_that_cannot_be_are_refused() {
    for size in [0, 4_095, 5_000, 2 << 30] {
        let error = refusal(&MemoryDisk::new(), &options(size));
        assert!(matches!(error, OpenError::SegmentSize { .. }), "{error}");
    }
}
