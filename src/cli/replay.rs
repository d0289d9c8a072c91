//! `keel replay` and `keel record`: what a node lived through, as a file, and again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use crossbeam_channel::{Receiver, unbounded};
use serde_json::{Value, json};

use crate::base::Time;
use crate::node::{
    BlockReader, Entry, Inline, Job, JobId, JobResult, Recording, Replayed, Runner, Shown,
    Workbench,
};
use crate::wallet::write_new_file;
use crate::workers::Pool;

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
    let failed = |error: &dyn std::fmt::Display| CommandError::failed(format!("{path}: {error}"));
    let bytes = std::fs::read(&args.file).map_err(|error| failed(&error))?;
    let recording = Recording::from_bytes(&bytes).map_err(|error| failed(&error))?;
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

/// Saves a recording: a running node writes it itself, a stopped one's directory is read.
pub(super) fn record(args: &RecordArgs, output: &Output) -> Result<(), CommandError> {
    let RecordCommand::Save { file, node } = &args.command;
    let file = std::path::absolute(file)
        .map_err(|error| CommandError::failed(format!("{}: {error}", file.display())))?;
    let directory = node.directory();
    let genesis = read_genesis(&directory.join(GENESIS_FILE))?.genesis;
    let stopped = with_store(&directory, &genesis.id(), |store| {
        let failed = |failure| CommandError::failed(format!("{}: {failure}", directory.display()));
        Recording::read(store).map_err(failed)
    })?;
    let (bytes, missing) = match stopped {
        Some(recording) => {
            let bytes = recording.to_bytes();
            // Only the owner may read it: it holds what peers and callers sent.
            write_new_file(&file, 0o600, &bytes)
                .map_err(|error| CommandError::failed(format!("{}: {error}", file.display())))?;
            let missing = recording.missing().into_iter().map(|at| at.get());
            (bytes.len() as u64, missing.collect())
        }
        None => {
            let saved = node
                .client()?
                .call("saverecord", &json!([file.display().to_string()]))?;
            let missing = saved["missing"].as_array().into_iter().flatten();
            let missing: Vec<u64> = missing.filter_map(Value::as_u64).collect();
            (saved["bytes"].as_u64().unwrap_or_default(), missing)
        }
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
