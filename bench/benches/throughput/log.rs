//! The log on a real disk, beside the same writes to a plain file.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use keel::disk::RealDisk;
use keel::store::{Append, Kind, Log, Options, Store};
use rustix::fs::{FallocateFlags, fallocate};

const RECORD: usize = 1_024;
/// Records handed over at once: 1 MiB.
const GROUP: usize = 1_024;
/// Groups of a run.
const GROUPS: usize = 64;
const BYTES: usize = RECORD * GROUP * GROUPS;
/// Bytes that are reserved for a run, with room for headers.
const FILE_BYTES: u64 = 128 << 20;

/// How the room of a plain file was made.
#[derive(Clone, Copy)]
enum Room {
    /// By reserving it, as the log does.
    Reserved,
    /// By writing zeros to it, which the file system then need not note as written.
    Zeros,
}

/// A folder on the disk of the build, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("log-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("the folder of the build can be written");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(sync: Sync) -> (Store, Folder) {
    let folder = Folder::new();
    let disk = RealDisk::open(&folder.0).expect("the folder can be written");
    let options = Options::production([7; 32], 5, 1).with_segment_size(FILE_BYTES);
    let (mut store, _) = Store::open(Arc::new(disk), &options).expect("an empty folder opens");
    // The first segment is made, as it is in a node that has run for a while.
    store.append(&[sync.record()]).expect("there is room");
    store.sync().expect("the disk syncs");
    store.idle().expect("there is room");
    (store, folder)
}

fn plain(room: Room) -> (File, Folder) {
    let folder = Folder::new();
    let made = OpenOptions::new()
        .create_new(true)
        .read(true)
        .write(true)
        .open(folder.0.join("plain"));
    let file = made.expect("the folder can be written");
    match room {
        Room::Reserved => {
            fallocate(&file, FallocateFlags::empty(), 0, FILE_BYTES).expect("there is room")
        }
        Room::Zeros => {
            let zeros = vec![0; 1 << 20];
            for at in (0..FILE_BYTES).step_by(zeros.len()) {
                file.write_all_at(&zeros, at).expect("there is room");
            }
        }
    }
    file.sync_all().expect("the disk syncs");
    (file, folder)
}

/// Whether and when bytes are synced while more come.
#[derive(Clone, Copy, Debug)]
enum Sync {
    /// Never, as in the log that the recorder writes: how fast bytes reach the system.
    Never,
    /// Every 16 MiB, as in the logs whose ends are looked for after a crash.
    Often,
}

impl Sync {
    /// After how many groups.
    const fn groups(self) -> usize {
        match self {
            Self::Never => usize::MAX,
            Self::Often => 16,
        }
    }

    fn record(self) -> Append {
        match self {
            Self::Never => Append::new(Log::Record, Kind::Input, vec![7; RECORD]),
            Self::Often => Append::new(Log::Journal, Kind::Accepted, vec![7; RECORD]),
        }
    }
}

/// Many records, handed over 1 MiB at a time.
fn appends(group: &mut BenchmarkGroup<'_, WallTime>, sync: Sync) {
    group.throughput(Throughput::Bytes(BYTES as u64));
    let bytes = vec![7; RECORD * GROUP];
    for (name, room) in [("reserved", Room::Reserved), ("of zeros", Room::Zeros)] {
        let name = format!("limit: 64 MiB to a plain file, {name}, synced {sync:?}");
        group.bench_function(name, |bencher| {
            let write = |(file, folder): (File, Folder)| {
                for number in 0..GROUPS {
                    let at = (number * bytes.len()) as u64;
                    file.write_all_at(&bytes, at).expect("there is room");
                    if (number + 1) % sync.groups() == 0 {
                        file.sync_data().expect("the disk syncs");
                    }
                }
                (file, folder)
            };
            bencher.iter_batched(|| plain(room), write, BatchSize::PerIteration);
        });
    }
    let records = vec![sync.record(); GROUP];
    let name = format!("64 MiB in records of 1 KiB, synced {sync:?}");
    group.bench_function(name, |bencher| {
        let append = |(mut store, folder): (Store, Folder)| {
            for _ in 0..GROUPS {
                store.append(&records).expect("there is room");
            }
            (store, folder)
        };
        bencher.iter_batched(|| open(sync), append, BatchSize::PerIteration);
    });
}

/// One record after the other, each durable before the next.
fn durable(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.throughput(Throughput::Elements(1));
    let bytes = vec![7; RECORD + 48];
    for (name, room) in [
        (
            "limit: a record to a plain file and its sync, reserved",
            Room::Reserved,
        ),
        (
            "limit: a record to a plain file and its sync, of zeros",
            Room::Zeros,
        ),
    ] {
        group.bench_function(name, |bencher| {
            let (file, _folder) = plain(room);
            let mut at = 0;
            bencher.iter(|| {
                file.write_all_at(&bytes, at).expect("there is room");
                file.sync_data().expect("the disk syncs");
                at = (at + bytes.len() as u64) % (FILE_BYTES - (1 << 20));
            });
        });
    }
    group.bench_function("a durable record", |bencher| {
        let (mut store, _folder) = open(Sync::Often);
        let record = [Sync::Often.record()];
        bencher.iter(|| {
            store.append(&record).expect("there is room");
            store.sync().expect("the disk syncs");
        });
    });
}

pub(super) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(4));
    appends(&mut group, Sync::Never);
    appends(&mut group, Sync::Often);
    durable(&mut group);
    group.finish();
}
