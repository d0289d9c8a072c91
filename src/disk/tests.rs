use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, unbounded};

use super::*;
use crate::base::Rng;
use crate::store::{
    Append, Cause, Completion, Disk, Failure, Faults, FaultyDisk, Kind, Log, Lsn, MemoryDisk,
    Options, Request, Store,
};

/// A directory that goes when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("keel-disk-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn disk(&self) -> Arc<RealDisk> {
        Arc::new(RealDisk::open(&self.0).unwrap())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn options() -> Options {
    Options::production([7; 32], 99, 1_000).with_segment_size(64 << 10)
}

fn block(number: u8, len: usize) -> Append {
    Append::new(Log::Blocks, Kind::Block, vec![number; len])
}

fn start(store: Store) -> (LogThread, Receiver<Report>) {
    let (publish, completions) = unbounded();
    let publish = move |done| publish.send(done).unwrap();
    (LogThread::start(store, 64, publish).unwrap(), completions)
}

/// The next completions; nothing else was to be told.
fn done(reports: &Receiver<Report>) -> Vec<Completion> {
    match reports.recv().unwrap() {
        Report::Done(done) => done,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_shown_as_memory_is_read_all_the_same() {
    let directory = Directory::new();
    let disk = RealDisk::open(&directory.0).unwrap();
    let (mut store, _) = Store::open(Arc::new(disk.clone()), &options()).unwrap();
    let at = store.append(&[block(3, 5_000)]).unwrap()[0];
    store.sync().unwrap();
    let (reader, file) = (store.reader(), disk.open("blocks/00000000.seg").unwrap());
    let shown = || reader.view(Log::Blocks, at, |_, bytes| bytes.to_vec());
    let before = shown().unwrap();
    assert!(file.view(0, 100).is_some());
    disk.show_nothing();
    assert_eq!(file.view(0, 100), None);
    assert_eq!(shown(), Ok(before));
}

fn is_full(report: &Report) -> bool {
    let log = Log::Blocks;
    let bytes = options().segment_sizes[log as usize];
    *report == Report::Full(Failure::Full { log, bytes })
}

fn is_failure(report: &Report) -> bool {
    matches!(report, Report::Failed(Failure::Broken(_)))
}

#[test]
fn what_the_thread_completes_is_on_the_disk() {
    let directory = Directory::new();
    let (store, recovered) = Store::open(directory.disk(), &options()).unwrap();
    assert!(recovered.is_new);
    let reader = store.reader();
    let (thread, completions) = start(store);
    let mut lsns = Vec::new();
    for ticket in 0..40 {
        let request = Request::durable(ticket, vec![block(ticket as u8, 5_000)]);
        thread.submit(request).unwrap();
    }
    while lsns.len() < 40 {
        for done in done(&completions) {
            assert_eq!(done.ticket, lsns.len() as u64);
            let at = done.result.unwrap()[0];
            // It can be read at once, while the thread goes on.
            let body = reader.read(Log::Blocks, at).unwrap().body;
            assert_eq!(body, vec![done.ticket as u8; 5_000]);
            let same = reader.view(Log::Blocks, at, |_, bytes| bytes == body);
            assert_eq!(same, Ok(true));
            lsns.push(at);
        }
    }
    thread.shutdown().unwrap();
    let (mut store, recovered) = Store::open(directory.disk(), &options()).unwrap();
    assert!(recovered.was_clean);
    assert_eq!(recovered.notices, []);
    let mut shown = Vec::new();
    store
        .replay(Log::Blocks, Lsn::new(0), |lsn, _, _| shown.push(lsn))
        .unwrap();
    assert_eq!(shown, lsns);
}

#[test]
fn a_directory_of_what_can_be_made_again_may_be_gone_and_no_other() {
    let directory = Directory::new();
    let (mut store, _) = Store::open(directory.disk(), &options()).unwrap();
    let page = || Append::new(Log::State, Kind::Page, vec![1; 5_000]);
    let input = || Append::new(Log::Record, Kind::Input, vec![1; 5_000]);
    let before = store.append(&[block(1, 5_000), page(), input()]).unwrap();
    store.close().unwrap();
    for log in [Log::State, Log::Record] {
        fs::remove_dir_all(directory.0.join(log.directory())).unwrap();
    }
    let (mut store, recovered) = Store::open(directory.disk(), &options()).unwrap();
    assert_eq!(recovered.notices.len(), 1, "{:?}", recovered.notices);
    let after = store.append(&[page(), input()]).unwrap();
    assert!(after[0] > before[1]);
    store.close().unwrap();
    let (store, recovered) = Store::open(directory.disk(), &options()).unwrap();
    assert_eq!(recovered.notices, []);
    assert!(store.reader().read(Log::State, after[0]).is_ok());
    assert!(store.reader().read(Log::Blocks, before[0]).is_ok());
    drop(store);
    fs::remove_dir_all(directory.0.join("blocks")).unwrap();
    assert!(Store::open(directory.disk(), &options()).is_err());
}

#[test]
fn a_view_shows_the_bytes_that_a_read_gives() {
    let directory = Directory::new();
    let disk = directory.disk();
    let file = disk.create("x").unwrap();
    file.reserve(10_000).unwrap();
    let mut rng = Rng::from_number(4);
    let bytes: Vec<u8> = (0..8_000).map(|_| rng.below(256) as u8).collect();
    file.write_at(1_000, &bytes).unwrap();
    for _ in 0..200 {
        let offset = rng.below(10_000);
        let len = rng.below(10_000 - offset + 1) as usize;
        let mut read = vec![0; len];
        assert_eq!(file.read_at(offset, &mut read), Ok(len));
        assert_eq!(file.view(offset, len), Some(read.as_slice()));
    }
    for (offset, len) in [(10_000, 1), (0, 10_001), (u64::MAX, 1), (1, usize::MAX)] {
        assert_eq!(file.view(offset, len), None);
    }
    assert_eq!(file.view(10_000, 0), Some(&[][..]));
    // Bytes that are taken away by name are there for whoever holds the file.
    disk.remove("x").unwrap();
    assert_eq!(file.view(1_000, 8_000), Some(bytes.as_slice()));
    let error = disk.open("x").map(|_| ()).unwrap_err();
    assert_eq!(error.cause, Cause::NotFound);
}

#[test]
fn a_directory_in_use_names_the_process_that_has_it() {
    let directory = Directory::new();
    let (store, _) = Store::open(directory.disk(), &options()).unwrap();
    let error = Store::open(directory.disk(), &options())
        .map(|_| ())
        .unwrap_err();
    let holder = format!("in use by process {}", std::process::id());
    assert!(error.to_string().contains(&holder), "{error}");
    drop(store);
    assert!(Store::open(directory.disk(), &options()).is_ok());
}

#[test]
fn nobody_else_may_look_into_the_directory() {
    let directory = Directory::new();
    let (mut store, _) = Store::open(directory.disk(), &options()).unwrap();
    store.append(&[block(1, 100)]).unwrap();
    let mode = |path: &str| {
        let metadata = fs::metadata(directory.0.join(path)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("blocks"), 0o700);
    for file in ["LOCK", "SUPER", "blocks/00000000.seg"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

#[test]
fn a_path_that_is_no_directory_is_refused_by_name() {
    let directory = Directory::new();
    fs::write(&directory.0, b"a file").unwrap();
    let error = RealDisk::open(&directory.0).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&directory.0.display().to_string())
    );
    fs::remove_file(&directory.0).unwrap();
}

#[test]
fn a_segment_is_reserved_whole_before_it_is_used() {
    use std::os::unix::fs::MetadataExt;
    let directory = Directory::new();
    let (mut store, _) = Store::open(directory.disk(), &options()).unwrap();
    store.append(&[block(1, 100)]).unwrap();
    store.idle().unwrap();
    for segment in ["00000000", "00000001"] {
        let path = directory.0.join(format!("blocks/{segment}.seg"));
        let metadata = fs::metadata(path).unwrap();
        assert_eq!(metadata.len(), 64 << 10);
        assert!(metadata.blocks() * 512 >= 64 << 10);
    }
}

#[test]
fn a_disk_that_fails_stops_the_thread_after_saying_so() {
    let faults = |sync_fails| Faults {
        sync_fails,
        ..Faults::default()
    };
    let disk = FaultyDisk::over(&MemoryDisk::new(), faults(None), Rng::from_number(1));
    let (mut store, _) = Store::open(Arc::new(disk.clone()), &options()).unwrap();
    store.append(&[block(0, 100)]).unwrap();
    store.idle().unwrap();
    // The next call writes the record, the one after it syncs.
    disk.set_faults(faults(Some(disk.calls() + 1)));
    let (thread, completions) = start(store);
    assert!(thread.is_working());
    thread
        .submit(Request::durable(1, vec![block(1, 100)]))
        .unwrap();
    let done = done(&completions);
    assert_eq!(done.len(), 1);
    assert!(matches!(done[0].result, Err(Failure::Broken(_))));
    assert!(is_failure(&completions.recv().unwrap()));
    // Its end closes the channel; what is handed over after that comes back.
    assert!(completions.recv().is_err());
    while thread.is_working() {
        std::thread::yield_now();
    }
    let request = Request::durable(2, vec![block(2, 100)]);
    assert_eq!(
        thread.submit(request.clone()),
        Err(Rejected::Stopped(request))
    );
    assert!(matches!(thread.shutdown(), Err(Failure::Broken(_))));
}

#[test]
fn a_full_disk_makes_everything_wait_in_its_order_and_goes_on_by_itself() {
    let full = |calls| Faults {
        no_space: calls,
        ..Faults::default()
    };
    let disk = FaultyDisk::over(&MemoryDisk::new(), full(None), Rng::from_number(1));
    let (store, _) = Store::open(Arc::new(disk.clone()), &options()).unwrap();
    let reader = store.reader();
    disk.set_faults(full(Some(0..u64::MAX)));
    let (thread, reports) = start(store);
    let request = |ticket| Request::durable(ticket, vec![block(ticket as u8, 30_000)]);
    for ticket in 1..=5 {
        thread.submit(request(ticket)).unwrap();
    }
    let mut told = Vec::new();
    while told.last().is_none_or(|report| !is_full(report)) {
        let report = reports.recv().unwrap();
        assert!(
            !matches!(&report, Report::Done(done) if !done.is_empty()),
            "{report:?}"
        );
        told.push(report);
    }
    thread.submit(request(6)).unwrap();
    disk.set_faults(full(None));
    let (mut stored, mut resumed) = (Vec::new(), false);
    while stored.len() < 6 {
        match reports.recv().unwrap() {
            Report::Done(done) => stored.extend(done),
            Report::Resumed => resumed = true,
            Report::Full(_) => {}
            Report::Failed(failure) => panic!("{failure}"),
        }
    }
    assert!(resumed);
    for (completion, ticket) in stored.iter().zip(1..) {
        assert_eq!(completion.ticket, ticket);
        let at = completion.result.as_ref().unwrap()[0];
        let record = reader.read(Log::Blocks, at).unwrap();
        assert_eq!(record.body, vec![ticket as u8; 30_000]);
    }
    thread.shutdown().unwrap();
}

#[test]
fn a_disk_that_stays_full_lets_the_process_end() {
    let disk = FaultyDisk::over(&MemoryDisk::new(), Faults::default(), Rng::from_number(1));
    let (store, _) = Store::open(Arc::new(disk.clone()), &options()).unwrap();
    let (thread, reports) = start(store);
    disk.set_faults(Faults {
        no_space: Some(0..u64::MAX),
        ..Faults::default()
    });
    for ticket in 1..=4 {
        let request = Request::durable(ticket, vec![block(1, 30_000)]);
        thread.submit(request).unwrap();
    }
    while !is_full(&reports.recv().unwrap()) {}
    // The end may not be written down as orderly; what was acknowledged is there all the same.
    let _ = thread.shutdown();
    disk.set_faults(Faults::default());
    let (store, _) = Store::open(Arc::new(disk), &options()).unwrap();
    assert_eq!(store.end(Log::Blocks), Lsn::default());
}

#[test]
fn a_disk_that_fails_while_nothing_waits_is_reported_too() {
    let faults = |sync_fails| Faults {
        sync_fails,
        ..Faults::default()
    };
    let disk = FaultyDisk::over(&MemoryDisk::new(), faults(None), Rng::from_number(1));
    let (mut store, _) = Store::open(Arc::new(disk.clone()), &options()).unwrap();
    store.append(&[block(0, 100)]).unwrap();
    store.idle().unwrap();
    // Record, its sync, SUPER, its sync.
    disk.set_faults(faults(Some(disk.calls() + 3)));
    let (thread, completions) = start(store);
    let request = Request::durable(1, vec![block(1, 100)]);
    thread.submit(request).unwrap();
    assert!(done(&completions)[0].result.is_ok());
    assert!(is_failure(&completions.recv().unwrap()));
    assert!(thread.shutdown().is_err());
}

#[test]
fn a_queue_that_is_full_hands_the_request_back() {
    let disk = MemoryDisk::new();
    let (store, _) = Store::open(Arc::new(disk), &options()).unwrap();
    let (hold, held) = unbounded::<()>();
    let (started, has_started) = unbounded();
    let publish = move |_| {
        started.send(()).unwrap();
        held.recv().unwrap();
    };
    let thread = LogThread::start(store, 2, publish).unwrap();
    let request = |ticket| Request::durable(ticket, vec![block(1, 100)]);
    thread.submit(request(0)).unwrap();
    has_started.recv().unwrap();
    thread.submit(request(1)).unwrap();
    thread.submit(request(2)).unwrap();
    assert_eq!(thread.submit(request(3)), Err(Rejected::Busy(request(3))));
    for _ in 0..2 {
        hold.send(()).unwrap();
    }
    thread.shutdown().unwrap();
    // The two that waited were one group.
    assert_eq!(has_started.try_iter().count(), 1);
}

/// Pages of the state are read through the map while the log goes on, and from segments that were
/// dropped for as long as a tree holds them.
#[test]
fn a_tree_on_the_disk_is_read_through_the_map_and_from_what_it_holds() {
    use crate::chain::state::{PageCursor, StateTree};
    use crate::types::state::KeyHash;

    let key = |number: u64| KeyHash(crate::crypto::hash::sha256(&number.to_le_bytes()));
    let directory = Directory::new();
    let (mut store, _) = Store::open(directory.disk(), &options()).unwrap();
    let mut tree = StateTree::new();
    let mut held = Vec::new();
    for round in 0..6_u64 {
        // Each round changes every record, so that nothing of the last one is in use.
        let writes = (0..800).map(|number| (key(number), Some(vec![round as u8; 17])));
        tree.apply(&writes.collect()).unwrap();
        let layout = store.layout(Log::State);
        let mut cursor = PageCursor::new(tree.clone(), layout, Default::default());
        while !cursor.is_done() {
            store.append(&cursor.step().unwrap()).unwrap();
        }
        store.sync().unwrap();
        let written = cursor.finish();
        let used: std::collections::BTreeSet<u64> = written
            .live()
            .segments()
            .map(|(segment, _)| segment)
            .collect();
        let pages = store.reader().holding(Log::State, used.iter().copied());
        written.swap([(&mut tree, Arc::new(pages.unwrap()) as _)]);
        assert_eq!(tree.changed_bytes(), 0);
        store.keep_only(Log::State, &used).unwrap();
        held.push(tree.clone());
        for (round, tree) in held.iter().enumerate() {
            for number in 0..800 {
                assert_eq!(tree.get(&key(number)), Ok(Some(vec![round as u8; 17])));
            }
        }
    }
    assert!(!directory.0.join("state/00000000.seg").exists());
}

#[test]
fn what_has_no_space_is_not_begun() {
    let directory = Directory::new();
    let disk = directory.disk();
    let file = disk.create("large").unwrap();
    let error = file.reserve(1 << 60).unwrap_err();
    assert_eq!(error.cause, Cause::NoSpace);
    assert_eq!(file.size(), Ok(0));
}

#[test]
fn a_thread_that_is_dropped_leaves_the_end_of_the_process_before_as_it_was() {
    let directory = Directory::new();
    let open = || Store::open(directory.disk(), &options()).unwrap();
    let (mut store, _) = open();
    store.append(&[block(1, 500)]).unwrap();
    store.sync().unwrap();
    // It crashed, and a start after it came to nothing.
    drop(store);
    drop(start(open().0).0);
    let (store, found) = open();
    assert!(!found.was_clean);
    start(store).0.shutdown().unwrap();
    for _ in 0..2 {
        let (store, found) = open();
        assert!(found.was_clean);
        drop(start(store).0);
    }
}
