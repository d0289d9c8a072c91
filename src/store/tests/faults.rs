//! Crashes at every call, and failures of every call.

use std::sync::Arc;

use super::script::{Found, Model, SEGMENT, Step, open_and_check, script};
use super::*;
use crate::base::{Rng, Span};

fn faulty(disk: &MemoryDisk, faults: Faults, seed: u64) -> FaultyDisk {
    FaultyDisk::over(disk, faults, Rng::from_number(seed))
}

fn open_faulty(disk: &FaultyDisk) -> Result<Store, OpenError> {
    let opened = Store::open(Arc::new(disk.clone()), &options(SEGMENT));
    opened.map(|(store, _)| store)
}

/// Runs the script until it ends or the machine stops.
fn run(disk: &FaultyDisk, steps: &[Step]) -> (Model, Option<Failure>) {
    let mut model = Model::default();
    let result = match open_faulty(disk) {
        Ok(mut store) => model.run(&mut store, steps),
        Err(_) => Ok(()),
    };
    (model, result.err())
}

fn calls_of(steps: &[Step]) -> u64 {
    let disk = faulty(&MemoryDisk::new(), Faults::default(), 0);
    let (model, failure) = run(&disk, steps);
    assert_eq!(failure, None);
    let calls = disk.calls();
    open_and_check(&disk.crash(Keep::Everything), &model);
    calls
}

fn crash_at(call: u64) -> Faults {
    Faults {
        crash_at: Some(call),
        ..Faults::default()
    }
}

/// Three writes that do not meet, so that what is left of each can be seen.
#[test]
fn a_crash_counts_what_became_of_writes_that_were_not_synced() {
    const LENGTH: usize = 1_536;
    for keep in Keep::ALL {
        let mut all = Hits::default();
        for seed in 0..40 {
            let disk = faulty(&MemoryDisk::new(), Faults::default(), seed);
            let file = disk.create("file").unwrap();
            disk.sync_directory("").unwrap();
            for place in 0..3 {
                let offset = (place * LENGTH) as u64;
                file.write_at(offset, &[7; LENGTH]).unwrap();
            }
            let after = disk.crash(keep).open("file").unwrap();
            let mut bytes = [0; 3 * LENGTH];
            after.read_at(0, &mut bytes).unwrap();
            let left: Vec<usize> = bytes
                .chunks(LENGTH)
                .map(|part| part.iter().filter(|byte| **byte == 7).count())
                .collect();
            let count = |is: fn(usize) -> bool| left.iter().filter(|it| is(**it)).count() as u64;
            let (lost, kept) = (count(|it| it == 0), count(|it| it == LENGTH));
            let hits = disk.hits();
            assert_eq!(hits.torn_writes, 3 - lost - kept, "{keep:?} {seed}");
            if keep != Keep::Sectors {
                assert_eq!((hits.lost_writes, hits.kept_writes), (lost, kept), "{seed}");
            }
            // What was done out of turn shows where one before it is missing.
            let gap = left.iter().position(|it| *it == 0).unwrap_or(3);
            let behind = left[gap..].iter().filter(|it| **it > 0).count() as u64;
            match keep {
                Keep::Reordered => assert!(hits.reordered_writes >= behind, "{seed}"),
                _ => assert_eq!(hits.reordered_writes, 0),
            }
            all = all.and(hits);
        }
        let fired = match keep {
            Keep::Nothing => all.lost_writes,
            Keep::Everything => all.kept_writes,
            Keep::Prefix | Keep::Sectors => all.torn_writes,
            Keep::Reordered => all.reordered_writes,
        };
        assert!(fired > 0, "{keep:?}");
    }
}

#[test]
fn a_crash_at_any_call_loses_nothing_acknowledged_whatever_survives() {
    let steps = script(0..200);
    let calls = calls_of(&steps);
    let mut torn = 0;
    for call in 0..calls {
        let disk = faulty(&MemoryDisk::new(), crash_at(call), call);
        let (model, _) = run(&disk, &steps);
        for keep in Keep::ALL {
            let after = disk.crash(keep);
            let found = open_and_check(&after, &model);
            torn += after.list("quarantine").unwrap().len();
            // It goes on: what is acknowledged now is there after the next crash.
            let mut model = model.clone();
            model.restart(&found);
            let disk = faulty(&after, Faults::default(), call);
            let mut store = open_faulty(&disk).unwrap();
            model.run(&mut store, &script(300..305)).unwrap();
            model.step(&mut store, &Step::Sync).unwrap();
            open_and_check(&disk.crash(Keep::Nothing), &model);
        }
    }
    assert!(torn > 500, "the script tears {torn} ends only");
}

#[test]
fn a_recovery_that_crashes_at_any_step_twice_is_done_by_the_next() {
    let steps = script(0..200);
    let mut rng = Rng::from_number(3);
    let mut recoveries = 0;
    for call in (0..calls_of(&steps)).step_by(7) {
        let disk = faulty(&MemoryDisk::new(), crash_at(call), call);
        let (model, _) = run(&disk, &steps);
        let torn = disk.crash(Keep::ALL[1 + rng.below(4) as usize]);
        let whole = faulty(&torn, Faults::default(), 0);
        drop(open_faulty(&whole));
        for first in 0..whole.calls() {
            let mut after = torn.copy();
            for at in [first, rng.below(whole.calls() + 1)] {
                let disk = faulty(&after, crash_at(at), call + at);
                drop(open_faulty(&disk));
                after = disk.crash(Keep::ALL[rng.below(5) as usize]);
            }
            open_and_check(&after, &model);
            recoveries += 1;
        }
    }
    assert!(recoveries > 500, "{recoveries} recoveries only");
}

#[test]
fn a_sync_that_fails_stops_the_store_and_the_next_start_makes_good() {
    let steps = script(0..200);
    let mut failed = 0;
    for call in 0..calls_of(&steps) {
        let faults = Faults {
            sync_fails: Some(call),
            ..Faults::default()
        };
        let disk = faulty(&MemoryDisk::new(), faults, call);
        let mut model = Model::default();
        let Ok(mut store) = open_faulty(&disk) else {
            continue;
        };
        let Err(failure) = model.run(&mut store, &steps) else {
            continue;
        };
        assert!(matches!(failure, Failure::Broken(_)), "{failure}");
        failed += 1;
        // Nothing is written any more, though the disk would take it again.
        let calls = disk.calls();
        assert_eq!(store.append(&[block(1, 1, 100)]), Err(failure.clone()));
        assert_eq!(store.sync(), Err(failure.clone()));
        assert_eq!(store.idle(), Err(failure.clone()));
        assert_eq!(store.close(), Err(failure));
        assert_eq!(disk.calls(), calls);
        // The next process still reads what the disk lost. Once it has opened the store, that is
        // on the disk again.
        let mut store = open_faulty(&disk).unwrap();
        let found = Found::of(&mut store);
        model.check(&found);
        drop(store);
        assert_eq!(open_and_check(&disk.crash(Keep::Nothing), &model), found);
    }
    assert!(failed > 100, "{failed} syncs only");
}

#[test]
fn a_full_disk_refuses_without_a_trace_and_takes_the_same_again() {
    let steps = script(0..200);
    let mut refused = 0;
    for call in 0..calls_of(&steps) {
        let faults = Faults {
            no_space: Some(call..call + 3),
            ..Faults::default()
        };
        let disk = faulty(&MemoryDisk::new(), faults, call);
        let mut model = Model::default();
        let mut store = loop {
            match open_faulty(&disk) {
                Ok(store) => break store,
                Err(error) => assert!(error.to_string().contains("free some space"), "{error}"),
            }
        };
        for step in &steps {
            loop {
                let ends = Log::ALL.map(|log| store.end(log));
                match model.step(&mut store, step) {
                    Ok(()) => break,
                    Err(Failure::Full { .. }) => {
                        assert_eq!(Log::ALL.map(|log| store.end(log)), ends);
                        refused += 1;
                    }
                    // A write into space that was reserved: nobody knows what the disk holds.
                    Err(Failure::Broken(error)) => {
                        assert_eq!(error.cause, Cause::NoSpace);
                        drop(store);
                        disk.set_faults(Faults::default());
                        store = open_faulty(&disk).unwrap();
                        let found = Found::of(&mut store);
                        model.check(&found);
                        model.restart(&found);
                        break;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        }
        if let Err(failure) = store.close() {
            assert!(matches!(failure, Failure::Broken(_)), "{failure}");
        }
        open_and_check(&disk.crash(Keep::Nothing), &model);
    }
    assert!(refused > 50, "{refused} refusals only");
}

#[test]
fn a_segment_that_finds_no_room_keeps_none() {
    let disk = faulty(&MemoryDisk::new(), Faults::default(), 0);
    let mut store = open_faulty(&disk).unwrap();
    for _ in 0..2 {
        // The file is made, and takes what there is.
        disk.set_faults(Faults {
            no_space: Some(disk.calls() + 1..u64::MAX),
            ..Faults::default()
        });
        let refused = store.append(&[block(1, 1, 100)]);
        assert!(matches!(refused, Err(Failure::Full { .. })), "{refused:?}");
        assert_eq!(disk.list("blocks").unwrap(), [""; 0]);
    }
}

#[test]
fn a_torn_end_that_finds_no_room_to_be_kept_in_takes_none() {
    let disk = faulty(&MemoryDisk::new(), Faults::default(), 0);
    let mut store = open_faulty(&disk).unwrap();
    store.append(&[block(1, 1, 100)]).unwrap();
    store.sync().unwrap();
    let at = store.end(Log::Blocks).get();
    store.append(&[block(1, 2, 100)]).unwrap();
    drop(store);
    let torn = faulty(&disk.crash(Keep::Everything), Faults::default(), 0);
    torn.flip(&Log::Blocks.path(0), at + 60, 1).unwrap();
    let torn = torn.copy();
    let mut kept = Vec::new();
    for call in 0..20 {
        let faults = Faults {
            no_space: Some(call..call + 1),
            ..Faults::default()
        };
        let disk = faulty(&torn, faults, 0);
        // Where it is something else that there is no space for, nothing is opened.
        drop(open_faulty(&disk));
        let names = disk.list("quarantine").unwrap();
        assert!(
            !names.iter().any(|name| name.ends_with(".new")),
            "{names:?}"
        );
        kept.push(names.len());
    }
    assert!(kept.contains(&0) && kept.contains(&1), "{kept:?}");
}

#[test]
fn votes_go_on_while_the_disk_is_full() {
    let disk = faulty(&MemoryDisk::new(), Faults::default(), 0);
    let mut store = open_faulty(&disk).unwrap();
    let vote = |number| Append::new(Log::Safety, Kind::Vote, vec![number; 100]);
    store.append(&[vote(0), block(0, 1, 100)]).unwrap();
    let ends = Log::ALL.map(|log| store.end(log));
    // The next call makes a segment, and the ones after it write the vote.
    let full = |calls| Faults {
        no_space: Some(disk.calls()..disk.calls() + calls),
        ..Faults::default()
    };
    disk.set_faults(full(1));
    assert_eq!(
        store.append(&[block(1, 1, 100)]),
        Err(Failure::Full {
            log: Log::Blocks,
            bytes: SEGMENT
        })
    );
    assert_eq!(Log::ALL.map(|log| store.end(log)), ends);
    disk.set_faults(full(1));
    assert!(store.append(&[vote(1)]).is_ok());
    assert!(store.append(&[block(1, 1, 100)]).is_ok());
}

#[test]
fn short_writes_are_completed() {
    let steps = script(0..200);
    let bytes = |short_writes| {
        let faults = Faults {
            short_writes,
            ..Faults::default()
        };
        let disk = faulty(&MemoryDisk::new(), faults, 9);
        let (model, failure) = run(&disk, &steps);
        assert_eq!(failure, None);
        let calls = disk.calls();
        let disk = disk.crash(Keep::Everything);
        let contents = disk.contents();
        open_and_check(&disk, &model);
        (calls, contents)
    };
    let (whole, short) = (bytes(false), bytes(true));
    assert!(short.0 > whole.0 * 2);
    assert!(short.1 == whole.1);
}

#[test]
fn a_slow_sync_delays_and_changes_nothing() {
    let faults = Faults {
        sync_delay: Span::from_secs(10),
        ..Faults::default()
    };
    let disk = faulty(&MemoryDisk::new(), faults, 0);
    let mut store = open_faulty(&disk).unwrap();
    store.append(&[block(1, 1, 100)]).unwrap();
    let before = disk.waited();
    store.sync().unwrap();
    assert_eq!(disk.waited(), before + Span::from_secs(10));
}
