//! `keel replay` and `keel record`: what a node lived through, as a file, and again.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use crossbeam_channel::{Receiver, unbounded};
use serde_json::{Value, json};

use crate::base::Time;
use crate::chain::FrontSource;
use crate::node::recording::Stream;
use crate::node::{
    BlockReader, Entry, Inline, Job, JobId, JobResult, LoggedBlock, Recording, Replayed, Runner,
    Shown, Workbench,
};
use crate::rpc::client::Client;
use crate::store::{Failure, Kind, Log, Lsn, Store};
use crate::workers::Pool;

use super::recording_file::{
    RECORDINGS_FOLDER, RecordingFile, RecordingWriter, WrittenRecording, create_private,
};
use super::stopped::with_store;
use super::{CommandError, GENESIS_FILE, NodeArgs, Output, random_bytes, read_genesis};

/// Arguments of `keel replay`.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The recording
    file: PathBuf,
    /// Stop after this event
    #[arg(long, value_name = "N")]
    until: Option<u64>,
    /// Print every event
    #[arg(long)]
    trace: bool,
    /// Worker threads for jobs; with 1 they run in the replaying thread
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: usize,
}

/// Arguments of `keel record`.
#[derive(Debug, Args)]
pub(super) struct RecordArgs {
    #[command(subcommand)]
    command: RecordCommand,
}

#[derive(Debug, Subcommand)]
enum RecordCommand {
    /// Write a node's recording to a new file; the node may be running or stopped
    Save {
        /// The file, which must not exist
        file: PathBuf,
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// Replays a recording.
pub(super) fn replay(args: &ReplayArgs, output: &Output) -> Result<(), CommandError> {
    let path = args.file.display();
    let failed = |error: &dyn fmt::Display| CommandError::failed(format!("{path}: {error}"));
    let file = RecordingFile::open(&args.file).map_err(|error| failed(&error))?;
    let recording = Recording::open(Arc::new(file)).map_err(|error| failed(&error))?;
    let mut runner: Box<dyn Runner> = match args.workers {
        0 | 1 => Box::new(Inline::new(recording.reader())),
        threads => Box::new(Threads::start(threads, &recording.reader())?),
    };
    let mut trace = |event: u64, seen: Shown<'_>| {
        if let (true, Some(line)) = (args.trace, describe(event, &seen)) {
            output.note(&line);
        }
    };
    let replayed = recording.replay(args.until, &mut *runner, &mut trace);
    let Replayed {
        events: (first, last),
        hash,
        marks,
    } = replayed.map_err(|error| failed(&error))?;
    output.print(
        &json!({
            "first_event": first,
            "last_event": last,
            "marks": marks,
            "state_hash": hash.to_string(),
        }),
        || format!("events {first} to {last}, {marks} marks agree, state hash {hash}"),
    );
    Ok(())
}

/// One line: the event's number, the node's time, and what came (`<-`) or is to be done (`->`).
fn describe(event: u64, seen: &Shown<'_>) -> Option<String> {
    let at = |now: &Time| format!("{event} {}", now.as_micros());
    let line = match seen {
        Shown::Result(_) => return None,
        Shown::Output(output) => format!("{event} -> {output}"),
        Shown::Entry(Entry::Base(_)) => format!("{event} snapshot"),
        Shown::Entry(Entry::Mark(events, hash)) => format!("{events} mark {hash}"),
        Shown::Entry(Entry::Unreadable(unreadable)) => {
            let (accounts, headers) = (unreadable.accounts.len(), unreadable.headers.len());
            format!("{event} {accounts} accounts and {headers} headers could not be read")
        }
        Shown::Entry(Entry::Timeout(now)) => format!("{} <- timers", at(now)),
        Shown::Entry(Entry::Done(now, job, _)) => format!("{} <- job {} is done", at(now), job.0),
        Shown::Entry(Entry::Input(now, input)) => format!("{} <- {input}", at(now)),
    };
    Some(line)
}

/// Does jobs on threads, in whatever order they come out; the recording says in which order their
/// results are taken.
struct Threads {
    pool: Pool,
    woken: Receiver<()>,
    done: BTreeMap<JobId, JobResult>,
    started: u64,
}

impl Threads {
    fn start(count: usize, reader: &Arc<dyn BlockReader>) -> Result<Self, CommandError> {
        let (wake, woken) = unbounded();
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            let _ = wake.send(());
        });
        let mut benches = Vec::new();
        for _ in 0..count {
            benches.push(Workbench::new(*random_bytes()?, Arc::clone(reader)));
        }
        let pool = Pool::start(benches, &wake)
            .map_err(|error| CommandError::failed(format!("threads can't be started: {error}")))?;
        Ok(Self {
            pool,
            woken,
            done: BTreeMap::new(),
            started: 0,
        })
    }
}

impl Runner for Threads {
    fn submit(&mut self, job: JobId, work: Job) {
        self.started = self.started.max(job.0);
        self.pool.run(job, work);
    }

    fn result(&mut self, job: JobId) -> Option<JobResult> {
        loop {
            if let Some(result) = self.done.remove(&job) {
                return Some(result);
            }
            while let Some((done, result)) = self.pool.take_done() {
                self.done.insert(done, result);
            }
            if !self.done.contains_key(&job) {
                if job.0 > self.started {
                    return None;
                }
                self.woken.recv().ok()?;
            }
        }
    }
}

/// Saves a recording: a running node writes it into its directory, from where it is copied; a
/// stopped one's directory is read.
pub(super) fn record(args: &RecordArgs, output: &Output) -> Result<(), CommandError> {
    let RecordCommand::Save { file, node } = &args.command;
    let directory = node.directory();
    let genesis = read_genesis(&directory.join(GENESIS_FILE))?.genesis;
    let stopped = with_store(&directory, &genesis.id(), |store| {
        save_stopped(store, file).map_err(|error| match error {
            SaveError::Store(failure) => {
                CommandError::failed(format!("{}: {failure}", directory.display()))
            }
            SaveError::File(error) => cannot_write(file, &error),
        })
    })?;
    let (bytes, missing) = match stopped {
        Some(written) => {
            let missing = written.missing.iter().map(|at| at.get());
            (written.bytes, missing.collect())
        }
        None => save_running(node, &directory, file)?,
    };
    let shown = file.display().to_string();
    output.print(
        &json!({ "file": shown, "bytes": bytes, "missing": missing }),
        || match missing.len() {
            0 => format!("wrote {bytes} bytes to {shown}"),
            count => format!(
                "wrote {bytes} bytes to {shown}, without {count} blocks that can't be read from \
                 blocks/ at {missing:?}: a replay that needs one ends there"
            ),
        },
    );
    Ok(())
}

/// Why the recording of a stopped node was not saved.
enum SaveError {
    Store(Failure),
    File(io::Error),
}

/// Writes all of a store's record log from the last process's oldest snapshot on, and every block
/// that can be read. One block at a time is in memory.
fn save_stopped(store: &mut Store, file: &Path) -> Result<WrittenRecording, SaveError> {
    let mut stream = Stream::default();
    let pieces = store.replay(Log::Record, Lsn::default(), |_, kind, body| {
        if kind == Kind::Input {
            stream.add(body);
        }
    });
    pieces.map_err(SaveError::Store)?;
    let mut writer = RecordingWriter::create(file).map_err(SaveError::File)?;
    let mut written = Ok(());
    let damage = store.replay(Log::Blocks, Lsn::default(), |at, kind, body| {
        if kind == Kind::Block
            && written.is_ok()
            && let Some(block) = LoggedBlock::of_record(body)
        {
            written = writer.block(at, &block);
        }
    });
    let damage = damage.map_err(SaveError::Store)?;
    written.map_err(SaveError::File)?;
    let reader = store.reader();
    for range in damage {
        let front = FrontSource::front(&reader, range.from);
        writer.missing(range.from, front.map(Box::new));
    }
    writer.finish(&stream).map_err(SaveError::File)
}

/// Has a running node write its recording into its own directory, where it may write wherever it
/// runs, and moves it to `file`: how long it is, and which blocks it lacks.
fn save_running(
    node: &NodeArgs,
    directory: &Path,
    file: &Path,
) -> Result<(u64, Vec<u64>), CommandError> {
    let client = node.client()?;
    let target = create_private(file).map_err(|error| cannot_write(file, &error))?;
    let copied = copy_saved(client, directory, target, file);
    if copied.is_err() {
        // Half a recording would be taken for a whole one.
        let _ = fs::remove_file(file);
    }
    let (saved, inside) = copied?;
    fs::remove_file(&inside).map_err(|error| {
        let (inside, file) = (inside.display(), file.display());
        let text = format!("{file} is written, but {inside} can't be removed: {error}");
        CommandError::failed(text)
    })?;
    let missing = saved["missing"].as_array().into_iter().flatten();
    let missing = missing.filter_map(Value::as_u64).collect();
    Ok((saved["bytes"].as_u64().unwrap_or_default(), missing))
}

/// What the node says of its recording, and where it wrote what is in `target` now.
fn copy_saved(
    mut client: Client,
    directory: &Path,
    mut target: File,
    file: &Path,
) -> Result<(Value, PathBuf), CommandError> {
    let number = u64::from_le_bytes(*random_bytes()?.first_chunk().expect("32 bytes hold 8"));
    let name = format!("{number:016x}.rec");
    let saved = client.call("saverecord", &json!([name]))?;
    let inside = directory.join(RECORDINGS_FOLDER).join(name);
    let kept = |error: io::Error| {
        let (inside, file) = (inside.display(), file.display());
        let text = format!("{inside}, where the node wrote it, can't be copied to {file}: {error}");
        CommandError::failed(text)
    };
    let mut source = File::open(&inside).map_err(kept)?;
    io::copy(&mut source, &mut target).map_err(kept)?;
    target.sync_all().map_err(kept)?;
    Ok((saved, inside))
}

fn cannot_write(file: &Path, error: &io::Error) -> CommandError {
    CommandError::failed(format!("{}: {error}", file.display()))
}
