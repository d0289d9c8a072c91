//! What jobs cost.

use std::sync::Arc;
use std::time::Duration;

use crate::chain::{
    Assembly, ChainState, CheckpointWriter, Execution, Kept, SignatureBench, check_blocks,
    check_transactions,
};
use crate::cli::CommandError;
use crate::crypto::sha256::search;
use crate::disk::RealDisk;
use crate::node::{BlockReader, Job, JobId, JobResult, Workbench, block_record};
use crate::store::{Disk, Log, Lsn, MemoryDisk, Options, Store};
use crate::types::{Height, Rules, Transaction, Uint256};
use crate::wire::message::RequestId;
use crate::workers::Pool;

use super::super::chain::{Sample, empty_blocks};
use super::super::clock;
use super::super::place::Folder;
use super::{KIB, ROUNDS, least};

/// Of a segment of the logs that are made here.
const SEGMENT_BYTES: u64 = 8 << 20;
/// No result depends on it.
const SECRET: [u8; 32] = [3; 32];

const fn kibibytes(bytes: usize) -> u64 {
    (bytes / KIB) as u64
}

fn failed(error: impl std::fmt::Display) -> CommandError {
    CommandError::failed(error.to_string())
}

/// Checking payments that nobody has seen, by payment.
pub(super) fn signature_cost(sample: &Sample) -> u64 {
    let rules = Rules::at(&sample.genesis, Height(1));
    let id = sample.genesis.id();
    let plain = sample.block.transactions.iter();
    let all: Vec<Transaction> = plain.map(|it| it.transaction.clone()).collect();
    least(|| {
        // A bench that has seen nothing, as for transactions that nobody has seen.
        let mut bench = SignatureBench::new(SECRET, Arc::default());
        let transactions = all.clone();
        let begun = clock();
        let checked = check_transactions(&id, rules, None, transactions, &mut bench);
        let took = begun.elapsed();
        let checked = checked.expect("no state is read");
        assert!(checked.iter().all(Result::is_ok), "payments are good");
        took
    }) / sample.block.transactions.len() as u64
}

/// Checking a block whose payments were seen, by KiB.
pub(super) fn block_cost(sample: &Sample) -> u64 {
    let id = sample.genesis.id();
    let mut bench = SignatureBench::new(SECRET, Arc::default());
    let blocks = [Arc::clone(&sample.block.bytes)];
    // A node knows the signatures of most of a block's transactions before it comes.
    let plain = sample.block.transactions.iter();
    let all = plain.map(|it| it.transaction.clone()).collect();
    let rules = Rules::at(&sample.genesis, Height(1));
    let known = check_transactions(&id, rules, None, all, &mut bench);
    let known = known.expect("no state is read");
    assert!(known.iter().all(Result::is_ok), "payments are good");
    least(|| {
        let begun = clock();
        let checked = check_blocks(&sample.genesis, &sample.rules, &id, &blocks, &mut bench);
        let took = begun.elapsed();
        assert!(checked.iter().all(Result::is_ok), "the block is good");
        took
    }) / kibibytes(sample.block.bytes.len())
}

/// Executing a block, by payment.
pub(super) fn execution_cost(sample: &Sample) -> u64 {
    least(|| {
        let execution = execution(sample);
        let begun = clock();
        let executed = execution.run();
        let took = begun.elapsed();
        assert!(executed.fault.is_none(), "the block is good");
        took
    }) / sample.block.transactions.len() as u64
}

fn execution(sample: &Sample) -> Execution {
    Execution {
        genesis: Arc::clone(&sample.genesis),
        base: sample.parent.clone(),
        undos: Vec::new(),
        blocks: vec![Arc::clone(&sample.block)],
    }
}

/// Assembling a small block.
pub(super) fn assembly_cost(sample: &Sample) -> u64 {
    least(|| {
        let assembly = Assembly {
            genesis: Arc::clone(&sample.genesis),
            base: sample.parent.clone(),
            header: sample.block.header.clone(),
            // A small block, as most are: execution has its own price.
            candidates: sample.block.transactions[..16].to_vec(),
        };
        let begun = clock();
        let template = assembly.run();
        let took = begun.elapsed();
        assert!(template.is_ok(), "a state in memory can be read");
        took
    })
}

/// How many nonces a core tries in a millisecond.
pub(super) fn hashing_speed() -> u64 {
    const HASHES: u64 = 200_000;
    let header = [7; 204];
    let nanos = least(|| {
        let begun = clock();
        // No hash is zero, so that all are tried.
        let found = search(&header, 0..HASHES, &[0; 32]);
        let took = begun.elapsed();
        assert!(found.is_none(), "no hash is below zero");
        took
    });
    HASHES * 1_000_000 / nanos.max(1)
}

/// A job with nothing to do, from the loop to a worker and back.
pub(super) fn empty_job_cost(sample: &Sample) -> Result<u64, CommandError> {
    const JOBS: u64 = 4_096;
    let store = open(sample, Arc::new(MemoryDisk::new()))?;
    let bench = Workbench::new(SECRET, Arc::new(store.reader()));
    let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(|| ());
    let mut pool = Pool::start(vec![bench], &wake).map_err(failed)?;
    let nanos = least(|| {
        let begun = clock();
        for number in 0..JOBS {
            let work = Job::Search {
                header: Box::new(sample.block.header.clone()),
                start: 0,
                count: 0,
            };
            pool.run(JobId(number), work);
        }
        let mut done = 0;
        while done < JOBS {
            match pool.take_done() {
                Some(_) => done += 1,
                None => std::thread::yield_now(),
            }
        }
        begun.elapsed()
    });
    pool.stop(Duration::from_secs(1));
    Ok(nanos / JOBS)
}

fn open(sample: &Sample, disk: Arc<dyn Disk>) -> Result<Store, CommandError> {
    let options = Options::production(sample.genesis.id().0, 1, 0);
    let options = options.with_segment_size(SEGMENT_BYTES);
    let (store, _) = Store::open(disk, &options).map_err(failed)?;
    Ok(store)
}

/// What reading costs.
pub(super) struct ReadCosts {
    /// An empty block.
    pub(super) empty: u64,
    /// Each KiB to be sent.
    pub(super) to_send: u64,
    /// Each KiB to be executed.
    pub(super) to_execute: u64,
}

/// Reading blocks from files of the system.
pub(super) fn read_costs(sample: &Sample) -> Result<ReadCosts, CommandError> {
    let folder = Folder::make(&std::env::temp_dir())?;
    let disk = RealDisk::open(&folder.path().join("log")).map_err(failed)?;
    let mut store = open(sample, Arc::new(disk))?;
    let empty = empty_blocks(&sample.genesis, 1)?.remove(0);
    let records = [&empty, &sample.block].map(|block| block_record(block, &Uint256::ZERO));
    let places = store.append(&records).map_err(failed)?;
    store.sync().map_err(failed)?;
    let reader: Arc<dyn BlockReader> = Arc::new(store.reader());
    let mut bench = Workbench::new(SECRET, reader);
    let genesis_id = sample.genesis.id();
    let mut to_send = |lsn: Lsn| {
        let request = RequestId(1);
        took(&mut bench, || Job::ReadToSend { request, lsn })
    };
    let (empty_to_send, full_to_send) = (to_send(places[0]), to_send(places[1]));
    let mut to_execute = |lsn: Lsn| took(&mut bench, || Job::Read { genesis_id, lsn });
    let (empty_to_execute, full_to_execute) = (to_execute(places[0]), to_execute(places[1]));
    let kib = kibibytes(sample.block.bytes.len());
    Ok(ReadCosts {
        empty: empty_to_send,
        to_send: full_to_send.saturating_sub(empty_to_send) / kib,
        to_execute: full_to_execute.saturating_sub(empty_to_execute) / kib,
    })
}

/// How long a job that reads a block takes.
fn took(bench: &mut Workbench, job: impl Fn() -> Job) -> u64 {
    least(|| {
        let work = job();
        let begun = clock();
        let result = work.run(bench);
        let took = begun.elapsed();
        assert!(result.unread().is_none(), "the block was just written");
        took
    })
}

/// What a checkpoint costs.
pub(super) struct PageCosts {
    /// The pages of the state at genesis.
    pub(super) first: u64,
    /// Each KiB of records.
    pub(super) kib: u64,
    /// Letting a state go of them.
    pub(super) release: u64,
}

/// Making a checkpoint of the state after the block, and of that at genesis.
pub(super) fn page_costs(sample: &Sample) -> Result<PageCosts, CommandError> {
    let mut store = open(sample, Arc::new(MemoryDisk::new()))?;
    let genesis = ChainState::genesis(&sample.genesis);
    let states = execution(sample).run().states;
    let (after, _) = states.into_iter().next_back().expect("the block is good");
    let mut least = [Checkpointed::MOST; 2];
    for _ in 0..ROUNDS {
        for (state, least) in [&genesis, &after].into_iter().zip(&mut least) {
            let one = checkpoint(&mut store, state)?;
            least.pages = least.pages.min(one.pages);
            least.release = least.release.min(one.release);
            least.bytes = one.bytes;
        }
    }
    let [first, full] = least;
    let kib = kibibytes(full.bytes - first.bytes);
    assert!(kib > 50, "thousands of accounts take many pages");
    let nanos = |span: Duration| span.as_nanos() as u64;
    Ok(PageCosts {
        first: nanos(first.pages),
        kib: nanos(full.pages.saturating_sub(first.pages)) / kib,
        release: nanos(full.release),
    })
}

/// A checkpoint: how long its pages and its release took, and the bytes of its pages.
#[derive(Clone, Copy)]
struct Checkpointed {
    pages: Duration,
    release: Duration,
    bytes: usize,
}

impl Checkpointed {
    const MOST: Self = Self {
        pages: Duration::MAX,
        release: Duration::MAX,
        bytes: 0,
    };
}

fn checkpoint(store: &mut Store, state: &ChainState) -> Result<Checkpointed, CommandError> {
    let kept = Kept::default();
    let writer = CheckpointWriter::new(state.clone(), store.layout(Log::State), &kept);
    let (mut writer, mut written) = (Some(Box::new(writer)), None);
    let (mut pages, mut bytes) = (Duration::ZERO, 0);
    let mut bench = Workbench::new(SECRET, Arc::new(store.reader()));
    while writer.is_some() {
        let work = Job::Checkpoint {
            writer: writer.take(),
            kept: kept.clone(),
        };
        let begun = clock();
        let result = work.run(&mut bench);
        pages += begun.elapsed();
        let JobResult::Checkpoint(Ok(step)) = result else {
            return Err(failed("a state in memory could not be read"));
        };
        bytes += step.records.iter().map(|it| it.body.len()).sum::<usize>();
        store.append(&step.records).map_err(failed)?;
        (writer, written) = (step.writer, step.written);
    }
    store.sync().map_err(failed)?;
    let record = written.as_ref().map(|written| written.record.clone());
    store.append(record.as_slice()).map_err(failed)?;
    let work = Job::Release {
        written,
        states: vec![state.clone()],
        base: Box::new(state.clone()),
    };
    let begun = clock();
    let result = work.run(&mut bench);
    let release = begun.elapsed();
    let let_go = matches!(&result, JobResult::Released(released) if released.changed == 0);
    assert!(let_go, "the log has every page");
    Ok(Checkpointed {
        pages,
        release,
        bytes,
    })
}
