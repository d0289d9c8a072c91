//! Damage to what lies on the disk.

use std::sync::Arc;

use super::super::record::{HEADER, Header, put_record};
use super::*;
use crate::base::Rng;

const SEGMENT: u64 = 4 << 10;

/// The records of a small directory, by log, each with its position.
type Written = Vec<(Log, Lsn, Vec<u8>)>;

/// A directory of three segments of blocks and one of votes; with `clean` all of it is known to
/// be acknowledged, else only what a later record says is.
fn small(clean: bool) -> (MemoryDisk, Written) {
    let disk = MemoryDisk::new();
    let (mut store, _) = open(&disk, SEGMENT);
    let mut written = Vec::new();
    for number in 0..26_u8 {
        let record = if number % 5 == 4 {
            Append::new(Log::Safety, Kind::Vote, vec![number; 40])
        } else {
            block(number, number.into(), 200 + usize::from(number) * 9)
        };
        let at = store.append(std::slice::from_ref(&record)).unwrap()[0];
        written.push((record.log, at, record.body));
        store.sync().unwrap();
    }
    if clean {
        store.close().unwrap();
    }
    (disk, written)
}

struct Outcome {
    shown: Written,
    damage: Vec<(Log, BadRange)>,
    recovered: Recovered,
}

fn look(disk: &MemoryDisk) -> Result<Outcome, OpenError> {
    let (mut store, recovered) = Store::open(Arc::new(disk.clone()), &options(SEGMENT))?;
    let (mut shown, mut damage) = (Vec::new(), Vec::new());
    for log in [Log::Blocks, Log::Safety] {
        let found = store.replay(log, Lsn::new(0), |lsn, _, body| {
            shown.push((log, lsn, body.to_vec()));
        });
        damage.extend(found.unwrap().into_iter().map(|range| (log, range)));
    }
    Ok(Outcome {
        shown,
        damage,
        recovered,
    })
}

fn flip(disk: &MemoryDisk, path: &str, offset: u64, bits: u8) {
    let file = disk.open(path).unwrap();
    let mut byte = [0];
    file.read_at(offset, &mut byte).unwrap();
    file.write_at(offset, &[byte[0] ^ bits]).unwrap();
}

/// The records of a log that an outcome lacks.
fn lacks(outcome: &Outcome, written: &Written, log: Log) -> Written {
    let of_log = written.iter().filter(|record| record.0 == log);
    let is_lacking = |record: &&(Log, Lsn, Vec<u8>)| !outcome.shown.contains(record);
    of_log.filter(is_lacking).cloned().collect()
}

#[test]
fn one_bit_changed_in_acknowledged_bytes_costs_one_record_and_is_noticed() {
    let (disk, written) = small(true);
    let paths = (0..3).map(|segment| Log::Blocks.path(segment));
    let (mut noticed, mut tolerated) = (0, 0);
    for path in paths.chain([Log::Safety.path(0)]) {
        let log = if path.starts_with("blocks") {
            Log::Blocks
        } else {
            Log::Safety
        };
        let segment = u64::from(path.as_bytes()[path.len() - 5] - b'0');
        for offset in (0..SEGMENT).filter(|offset| offset % 3 == 0 || *offset < 400) {
            let damaged = disk.copy();
            flip(&damaged, &path, offset, 1 << (offset % 8));
            let at = segment * SEGMENT + offset;
            let outcome = look(&damaged).unwrap();
            let lost = lacks(&outcome, &written, log);
            assert_eq!(
                outcome.shown.len() + lost.len(),
                written.len(),
                "{path} {offset}"
            );
            let is_hit = |(_, lsn, body): &(Log, Lsn, Vec<u8>)| {
                (lsn.get()..lsn.get() + HEADER as u64 + body.len() as u64).contains(&at)
            };
            assert!(
                lost.iter().all(is_hit),
                "{path} {offset}: more is lost than was hit"
            );
            let hit = written.iter().filter(|record| record.0 == log).any(is_hit);
            assert_eq!(
                hit,
                !lost.is_empty(),
                "{path} {offset}: damage was shown as it is"
            );
            if hit {
                let covers = |(of, range): &(Log, BadRange)| {
                    *of == log && (range.from.get()..range.to.get()).contains(&at)
                };
                assert!(outcome.damage.iter().any(covers), "{path} {offset}");
                assert_eq!(outcome.recovered.safety_damaged, log == Log::Safety);
                noticed += 1;
            } else {
                tolerated += usize::from(outcome.damage.is_empty());
            }
        }
    }
    assert!(noticed > 2_000 && tolerated > 500, "{noticed} {tolerated}");
}

#[test]
fn one_bit_changed_in_unacknowledged_bytes_costs_no_more_than_the_end() {
    let (disk, written) = small(false);
    let last = Log::Blocks.path(2);
    for offset in (0..SEGMENT).step_by(2) {
        let damaged = disk.copy();
        flip(&damaged, &last, offset, 0x10);
        let outcome = look(&damaged).unwrap();
        let lost = lacks(&outcome, &written, Log::Blocks);
        assert!(lost.len() <= 1, "{offset}: {} lost", lost.len());
        // Whatever was lost is said to be: as damage, or as an end that was cut off.
        let said = outcome.damage.len() + outcome.recovered.notices.len();
        assert!(lost.is_empty() || said > 0, "{offset}");
        assert_eq!(lacks(&outcome, &written, Log::Safety), []);
    }
}

#[test]
fn one_bit_changed_in_super_costs_nothing() {
    let (disk, written) = small(true);
    for offset in (0..8_192).filter(|offset| offset % 4_096 < 200 || offset % 37 == 0) {
        let damaged = disk.copy();
        flip(&damaged, "SUPER", offset, 1 << (offset % 8));
        let outcome = look(&damaged).unwrap();
        assert_eq!(outcome.shown.len(), written.len(), "{offset}");
        assert_eq!(outcome.damage, []);
        assert_eq!(outcome.recovered.notices, []);
    }
}

#[test]
fn damage_is_recorded_once_and_known_after_that() {
    let (disk, written) = small(true);
    let (_, hit, _) = written[12];
    flip(
        &disk,
        &Log::Blocks.path(hit.get() / SEGMENT),
        hit.get() % SEGMENT + 60,
        1,
    );
    let (_, vote, _) = written[4];
    flip(&disk, "safety/00000000.seg", vote.get() + 50, 1);
    let mut ends = Vec::new();
    for _ in 0..3 {
        let outcome = look(&disk).unwrap();
        assert_eq!(outcome.shown.len(), written.len() - 2);
        assert_eq!(outcome.damage.len(), 2);
        assert!(outcome.recovered.safety_damaged);
        let (store, _) = open(&disk, SEGMENT);
        ends.push([store.end(Log::Blocks), store.end(Log::Safety)]);
    }
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[1], ends[2]);
}

#[test]
fn pages_zeroed_stale_moved_or_doubled_are_noticed() {
    let (disk, written) = small(true);
    let page = |disk: &MemoryDisk, path: &str, offset: u64| {
        let mut bytes = [0; 512];
        disk.open(path)
            .unwrap()
            .read_at(offset, &mut bytes)
            .unwrap();
        bytes
    };
    let mut rng = Rng::from_number(5);
    for round in 0..300 {
        let damaged = disk.copy();
        let to = (Log::Blocks.path(rng.below(3)), rng.below(8) * 512);
        let from = (Log::Blocks.path(rng.below(3)), rng.below(8) * 512);
        let bytes = if round % 3 == 0 {
            [0; 512]
        } else {
            page(&disk, &from.0, from.1)
        };
        damaged.open(&to.0).unwrap().write_at(to.1, &bytes).unwrap();
        let outcome = match look(&damaged) {
            Ok(outcome) => outcome,
            // The first page of another segment is told for what it is.
            Err(OpenError::Misplaced { .. }) if to.1 == 0 && from.1 == 0 => continue,
            Err(error) => panic!("{error}"),
        };
        let lost = lacks(&outcome, &written, Log::Blocks);
        assert_eq!(outcome.shown.len() + lost.len(), written.len());
        assert!(lost.len() <= 5, "{} lost", lost.len());
        assert!(lost.is_empty() || !outcome.damage.is_empty());
    }
}

#[test]
fn a_segment_cut_short_is_damage_and_one_grown_is_none() {
    let (disk, written) = small(true);
    for segment in 0..3 {
        // Every remainder by eight is among them.
        for len in (0..SEGMENT as usize).step_by(53) {
            let damaged = MemoryDisk::new();
            for (path, content) in disk.contents() {
                if path == Log::Blocks.path(segment) {
                    let mut bytes = vec![0; len];
                    content.read(0, &mut bytes);
                    let file = damaged.create(&path).unwrap();
                    file.write_at(0, &bytes).unwrap();
                } else {
                    damaged.put(path, content);
                }
            }
            let outcome = look(&damaged).unwrap();
            let lost = lacks(&outcome, &written, Log::Blocks);
            assert_eq!(outcome.shown.len() + lost.len(), written.len());
            assert!(lost.is_empty() || !outcome.damage.is_empty());
        }
        let grown = disk.copy();
        let file = grown.open(&Log::Blocks.path(segment)).unwrap();
        file.write_at(SEGMENT, &[0xab; 3_000]).unwrap();
        let outcome = look(&grown).unwrap();
        assert_eq!(outcome.shown.len(), written.len());
        assert_eq!(outcome.damage, []);
    }
}

#[test]
fn a_missing_segment_is_damage_unless_it_was_forgotten() {
    let (disk, written) = small(true);
    for segment in [0, 1] {
        let damaged = disk.copy();
        damaged.remove(&Log::Blocks.path(segment)).unwrap();
        let outcome = look(&damaged).unwrap();
        let gone = Lsn::new(segment * SEGMENT)..Lsn::new((segment + 1) * SEGMENT);
        let lost = lacks(&outcome, &written, Log::Blocks);
        assert!(!lost.is_empty());
        assert!(lost.iter().all(|(_, lsn, _)| gone.contains(lsn)));
        assert_eq!(outcome.damage.len(), 1);
    }
    let (mut store, _) = open(&disk, SEGMENT);
    let super_before = disk.copy().contents();
    store.forget_before(Log::Blocks, 1).unwrap();
    drop(store);
    // Even when SUPER came from a backup that did not know: the log says so itself.
    for (path, content) in super_before {
        if path == "SUPER" {
            disk.put(path, content);
        }
    }
    let outcome = look(&disk).unwrap();
    assert_eq!(outcome.damage, []);
    assert!(
        outcome
            .shown
            .iter()
            .all(|(log, lsn, _)| *log == Log::Safety || lsn.get() >= SEGMENT)
    );
}

/// The state is made again from the blocks, so that a log of it without its end is gone on with,
/// but never where something stood that a whole record may still refer to.
#[test]
fn a_state_log_that_lost_its_last_segments_goes_on_behind_them() {
    let page = |number: u8| Append::new(Log::State, Kind::Page, vec![number; 1_000]);
    for (clean, kept) in [(true, 0), (true, 1), (true, 3), (false, 0), (false, 3)] {
        let disk = MemoryDisk::new();
        let (mut store, _) = open(&disk, SEGMENT);
        let pages: Vec<Append> = (0..10).map(page).collect();
        let written = store.append(&pages).unwrap();
        store.sync().unwrap();
        store.set_checkpoint(written[9]).unwrap();
        store.idle().unwrap();
        if clean {
            store.close().unwrap();
        } else {
            drop(store);
        }
        let names = disk.list("state").unwrap();
        assert_eq!(names.len(), 5, "the last is made ahead");
        // Whether that one is there makes no difference.
        let ahead = names.len() - usize::from(kept == 1);
        for name in &names[kept..ahead] {
            disk.remove(&format!("state/{name}")).unwrap();
        }
        let (mut store, recovered) = open(&disk, SEGMENT);
        let path = Log::State.path(3);
        let log = Log::State;
        assert_eq!(recovered.notices, [Notice::Lost { log, path }]);
        assert!(store.end(log) >= Lsn::new(4 * SEGMENT));
        let mut layout = store.layout(log);
        let at = store.append(&[page(90)]).unwrap()[0];
        assert_eq!(layout.place(1_000), at);
        let mut shown = Vec::new();
        let damage = store.replay(log, Lsn::new(0), |lsn, _, body| {
            shown.push((lsn, body[0]));
        });
        let lost_from = Lsn::new(kept as u64 * SEGMENT);
        let damage = damage.unwrap();
        assert_eq!(damage.first().unwrap().from, lost_from);
        assert_eq!(damage.last().unwrap().to, Lsn::new(4 * SEGMENT));
        let numbered = written.iter().copied().zip(0..);
        let is_kept = |(lsn, _): &(Lsn, u8)| *lsn < lost_from;
        let wanted: Vec<_> = numbered.filter(is_kept).chain([(at, 90)]).collect();
        assert_eq!(shown, wanted);
        let reader = store.reader();
        for lsn in written.iter().filter(|lsn| **lsn >= lost_from) {
            assert_eq!(reader.read(log, *lsn), Err(ReadError::Gone));
        }
        store.sync().unwrap();
        drop(store);
        // It is said once.
        let (store, recovered) = open(&disk, SEGMENT);
        assert_eq!(recovered.notices, []);
        assert_eq!(store.reader().read(log, at).unwrap().body, page(90).body);
    }
}

#[test]
fn a_sector_that_cannot_be_read_is_damage_below_the_watermark_and_refused_above() {
    let (disk, written) = small(true);
    let faults = |path: &str, bytes| Faults {
        unreadable: Some((path.to_owned(), bytes)),
        ..Faults::default()
    };
    let hurt = FaultyDisk::over(
        &disk,
        faults("blocks/00000000.seg", 1_000..1_100),
        Rng::from_number(1),
    );
    let (mut store, _) = Store::open(Arc::new(hurt), &options(SEGMENT)).unwrap();
    let mut shown = 0;
    let damage = store
        .replay(Log::Blocks, Lsn::new(0), |_, _, _| shown += 1)
        .unwrap();
    assert_eq!(damage.len(), 1);
    // A whole sector of 4,096 bytes can't be read: that is the segment here.
    assert!(shown < written.len());
    let reader = store.reader();
    let read = reader.read(Log::Blocks, written[0].1);
    assert!(matches!(read, Err(ReadError::Disk(_))), "{read:?}");
    assert!(reader.read(Log::Blocks, written[25].1).is_ok());
    drop(store);
    let (disk, _) = small(false);
    let last = Log::Blocks.path(2);
    let hurt = FaultyDisk::over(&disk, faults(&last, 3_000..3_100), Rng::from_number(1));
    let before = disk.contents();
    let refused = Store::open(Arc::new(hurt.clone()), &options(SEGMENT)).map(|_| ());
    assert!(hurt.crash(Keep::Everything).contents() == before);
    assert!(matches!(refused, Err(OpenError::Disk(_))), "{refused:?}");
}

#[test]
fn a_forged_record_in_a_body_is_never_shown() {
    let disk = MemoryDisk::new();
    let (mut store, _) = open(&disk, SEGMENT);
    store.append(&[block(1, 1, 200)]).unwrap();
    let at = store.end(Log::Blocks).get();
    // A peer that guesses everything but the secret of the directory.
    let forged_at = at + HEADER as u64 + 80;
    let mut forged = Vec::new();
    let header = Header {
        version: 1,
        kind: Kind::Block.number(),
        flags: 0,
        body_len: 0,
        body_crc: 0,
        lsn: forged_at,
        log_id: 0x1122_3344_5566_7789,
        durable: 0,
        link: 0,
    };
    put_record(&mut forged, header, &[0xee; 120]);
    let mut hostile = block(2, 2, 80);
    hostile.body.extend_from_slice(&forged);
    hostile.body.extend_from_slice(&[0; 80]);
    store.append(&[hostile, block(3, 3, 200)]).unwrap();
    store.close().unwrap();
    // The header before it is damaged, so that the search for the next passes over it.
    flip(&disk, "blocks/00000000.seg", at + 9, 1);
    let outcome = look(&disk).unwrap();
    let ids: Vec<u8> = outcome.shown.iter().map(|(_, _, body)| body[0]).collect();
    assert_eq!(ids, [1, 3]);
    // With the secret it would have been taken: the search does look there.
    let mut known = Vec::new();
    let header = Header {
        log_id: 0x1122_3344_5566_7788,
        ..header
    };
    put_record(&mut known, header, &[0xee; 120]);
    let file = disk.open("blocks/00000000.seg").unwrap();
    file.write_at(forged_at, &known).unwrap();
    let outcome = look(&disk).unwrap();
    let ids: Vec<u8> = outcome.shown.iter().map(|(_, _, body)| body[0]).collect();
    assert_eq!(ids, [1, 0xee, 3]);
}

#[test]
fn a_segment_that_lost_its_end_and_its_begin_does_not_say_how_long_segments_are() {
    for (cut_to, configured) in [(9_000, SEGMENT), (8_192, SEGMENT), (8_192, 4 * SEGMENT)] {
        let disk = FaultyDisk::over(&MemoryDisk::new(), Faults::default(), Rng::from_number(1));
        let (mut store, _) = Store::open(Arc::new(disk.clone()), &options(SEGMENT)).unwrap();
        let record = Append::new(Log::State, Kind::Page, vec![1; 1_000]);
        store.append(&vec![record; 3]).unwrap();
        store.sync().unwrap();
        store.idle().unwrap();
        assert_eq!(store.end(Log::State).get() / SEGMENT, 0);
        drop(store);
        let first = Log::State.path(0);
        disk.cut(&first, cut_to).unwrap();
        disk.flip(&first, 8, 1).unwrap();
        let opened = Store::open(Arc::new(disk.clone()), &options(configured));
        let (store, _) = opened.unwrap();
        assert_eq!(store.segment_size(Log::State), SEGMENT);
    }
}

#[test]
fn a_segment_that_could_not_be_read_once_does_not_become_the_last_one() {
    let disk = FaultyDisk::over(&MemoryDisk::new(), Faults::default(), Rng::from_number(1));
    let open = || Store::open(Arc::new(disk.clone()), &options(SEGMENT));
    let (mut store, _) = open().unwrap();
    let record = Append::new(Log::State, Kind::Page, vec![1; 1_000]);
    let written = store.append(std::slice::from_ref(&record)).unwrap();
    store.sync().unwrap();
    store.idle().unwrap();
    drop(store);
    disk.set_faults(Faults {
        unreadable: Some((Log::State.path(1), 0..1)),
        readable_again: true,
        ..Faults::default()
    });
    let refused = open().map(|_| ());
    assert!(matches!(refused, Err(OpenError::Disk(_))), "{refused:?}");
    let (mut store, _) = open().unwrap();
    let mut layout = store.layout(Log::State);
    assert_eq!(store.append(&[record]).unwrap(), [layout.place(1_000)]);
    assert!(store.reader().read(Log::State, written[0]).is_ok());
}
