//! The bytes of `docs/storage.md`, computed by other code from its tables.

use std::sync::Arc;

use super::super::record::{Header, toc_from_bytes, toc_to_bytes};
use super::super::superblock::Super;
use super::*;
use crate::base::{decode_hex, encode_hex};

#[test]
fn a_segment_begins_with_its_record_and_goes_on_with_others() {
    let disk = MemoryDisk::new();
    let (mut store, _) = open(&disk, 4 << 10);
    let hello = Append::new(Log::Journal, Kind::Accepted, b"hello".to_vec());
    assert_eq!(store.append(&[hello]), Ok(vec![Lsn::new(112)]));
    let mut bytes = [0; 112 + 56];
    let file = disk.open("journal/00000000.seg").unwrap();
    file.read_at(0, &mut bytes).unwrap();
    assert_eq!(
        encode_hex(&bytes),
        "4b454c3101010000400000002b096fc300000000000000008a776655443322110000000000000000\
         00000000e6e6134e0200000000000000000000000000000000100000000000000707070707070707\
         070707070707070707070707070707070707070707070707e8030000000000004b454c3101070000\
         050000004cbb719a70000000000000008a776655443322117000000000000000e6e6134e367634aa\
         68656c6c6f000000"
    );
    assert_eq!(file.size(), Ok(4 << 10));
}

#[test]
fn super_has_these_bytes() {
    let mut durable = [0; Log::COUNT];
    let mut first_segment = durable;
    (first_segment[2], durable[2]) = (1, 4_000);
    let slot = Super {
        seq: 3,
        clean: true,
        first_segment,
        durable,
        ..Super::new([7; 32], 0x1122_3344_5566_7788)
    };
    let bytes = slot.to_bytes();
    assert_eq!(
        encode_hex(&bytes[..168]),
        "4b45454c535550310300000000000000010000000000000000000000000000000707070707070707\
         07070707070707070707070707070707070707070707070788776655443322110100000000000000\
         00000000000000000000000000000000000000000000000000000000000000000100000000000000\
         a00f0000000000000000000000000000000000000000000000000000000000000000000000000000\
         ffffffffffffffff"
    );
    assert!(bytes[168..4_092].iter().all(|byte| *byte == 0));
    assert_eq!(encode_hex(&bytes[4_092..]), "81538939");
    assert_eq!(Super::read(&bytes), Some(slot));
    for byte in 0..bytes.len() {
        let mut flipped = bytes;
        flipped[byte] ^= 1 << (byte % 8);
        assert_eq!(Super::read(&flipped), None);
    }
}

#[test]
fn a_toc_lists_its_blocks_by_id() {
    let entry = |id, height, offset| TocEntry {
        id: [id; 32],
        height,
        offset,
    };
    let body = toc_to_bytes(vec![entry(9, 5, 112), entry(3, 6, 4_000)]);
    assert_eq!(
        encode_hex(&body),
        "02000000030303030303030303030303030303030303030303030303030303030303030306000000\
         00000000a00f00000909090909090909090909090909090909090909090909090909090909090909\
         050000000000000070000000"
    );
    let back = Some(vec![entry(3, 6, 4_000), entry(9, 5, 112)]);
    assert_eq!(toc_from_bytes(&body), back);
    for cut in 0..body.len() {
        assert_eq!(toc_from_bytes(&body[..cut]), None);
    }
}

#[test]
fn numbers_of_kinds_and_logs_are_fixed() {
    let kinds = [
        Kind::Segment,
        Kind::Pad,
        Kind::Block,
        Kind::Tip,
        Kind::Final,
        Kind::Executing,
        Kind::Accepted,
        Kind::Gone,
        Kind::Vote,
        Kind::Certificate,
        Kind::Page,
        Kind::Checkpoint,
        Kind::Pruned,
        Kind::BadRange,
        Kind::Toc,
        Kind::Shutdown,
        Kind::Input,
    ];
    for (number, kind) in (1..).zip(kinds) {
        assert_eq!(kind.number(), number);
        assert_eq!(Kind::from_number(number), Some(kind));
    }
    assert_eq!(Kind::from_number(0), None);
    assert_eq!(Kind::from_number(18), None);
    let paths = Log::ALL.map(|log| log.path(0x2a));
    let wanted = ["blocks", "state", "journal", "safety", "record"];
    assert_eq!(paths, wanted.map(|name| format!("{name}/0000002a.seg")));
}

#[test]
fn a_header_with_any_bit_changed_is_none() {
    let bytes = decode_hex(
        "4b454c3101070000050000004cbb719a70000000000000008a776655443322117000000000000000\
         e6e6134e367634aa",
    );
    let bytes = bytes.unwrap();
    assert!(Header::read(&bytes).is_some());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Header::read(&flipped), None);
    }
}

/// Writes a record of a form that this code does not make, behind what is there.
fn append_raw(disk: &MemoryDisk, change: impl Fn(&mut Header)) {
    use super::super::record::put_record;
    let file = disk.open("journal/00000000.seg").unwrap();
    let mut bytes = vec![0; 4 << 10];
    file.read_at(0, &mut bytes).unwrap();
    let (mut at, mut last) = (0, (0, None));
    while let Some((header, crc)) = Header::read(&bytes[at..]) {
        last = (crc, Some(header));
        at += header.size() as usize;
    }
    let mut header = Header {
        lsn: at as u64,
        link: last.0,
        ..last.1.unwrap()
    };
    change(&mut header);
    let mut record = Vec::new();
    put_record(&mut record, header, b"what");
    file.write_at(at as u64, &record).unwrap();
}

#[test]
fn what_newer_code_wrote_is_passed_over_or_refused_as_it_asks() {
    type Change = fn(&mut Header);
    let passed: [Change; 2] = [
        |header| header.kind = 0x70,
        |header| (header.kind, header.version) = (Kind::Input.number(), 2),
    ];
    let refused: [Change; 2] = [
        |header| (header.kind, header.flags) = (0x70, 1),
        |header| header.version = 2,
    ];
    let try_with = |change: Change| {
        let disk = MemoryDisk::new();
        let (mut store, _) = open(&disk, 4 << 10);
        let hello = Append::new(Log::Journal, Kind::Accepted, b"hello".to_vec());
        store.append(std::slice::from_ref(&hello)).unwrap();
        drop(store);
        append_raw(&disk, change);
        let (mut store, _) = Store::open(Arc::new(disk), &options(4 << 10))?;
        store.append(&[hello]).unwrap();
        Ok::<_, OpenError>(replayed(&mut store, Log::Journal).len())
    };
    for change in passed {
        assert_eq!(try_with(change), Ok(2));
    }
    for change in refused {
        let error = try_with(change).unwrap_err();
        assert!(matches!(&error, OpenError::TooNew(_)), "{error}");
    }
}

#[test]
fn a_record_that_follows_another_than_the_last_is_cut_off() {
    let disk = MemoryDisk::new();
    let (mut store, _) = open(&disk, 4 << 10);
    let hello = Append::new(Log::Journal, Kind::Accepted, b"hello".to_vec());
    store.append(std::slice::from_ref(&hello)).unwrap();
    let end = store.end(Log::Journal);
    drop(store);
    // All is right with it but what came before it, as when an earlier life wrote it.
    append_raw(&disk, |header| header.link ^= 1);
    let (mut store, recovered) = open(&disk, 4 << 10);
    assert_eq!(store.end(Log::Journal), end);
    assert_eq!(replayed(&mut store, Log::Journal).len(), 1);
    let cut = Notice::Quarantined {
        log: Log::Journal,
        at: end,
        // The last byte that is not zero is that of its body.
        bytes: 52,
        file: Some(format!("quarantine/journal-{:016x}.0", end.get())),
    };
    assert_eq!(recovered.notices, [cut]);
    let mut kept = [0; 52];
    let file = disk
        .open(&format!("quarantine/journal-{:016x}.0", end.get()))
        .unwrap();
    assert_eq!(file.read_at(0, &mut kept), Ok(52));
    assert!(Header::read(&kept).is_some());
}
