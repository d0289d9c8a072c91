//! Every job is answered once, whatever waits.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::chain::{Front, FrontSource};
use crate::node::BlockReader;
use crate::store::Lsn;
use crate::types::GenesisId;

struct NoBlocks;

impl FrontSource for NoBlocks {
    fn front(&self, _: Lsn) -> Option<Front> {
        None
    }
}

impl BlockReader for NoBlocks {
    fn read_block(&self, lsn: Lsn) -> Result<Arc<[u8]>, String> {
        Err(format!("nothing at {}", lsn.get()))
    }
}

fn pool(threads: usize, wake: &Arc<dyn Fn() + Send + Sync>) -> Pool {
    let bench = || Workbench::new([7; 32], Arc::new(NoBlocks));
    Pool::start((0..threads).map(|_| bench()).collect(), wake).unwrap()
}

fn read_job(number: u64) -> Job {
    Job::Read {
        genesis_id: GenesisId::ZERO,
        lsn: Lsn::new(number),
    }
}

#[test]
fn every_job_is_answered_once_with_its_own_result() {
    let woken = Arc::new(AtomicUsize::new(0));
    let (sender, waker) = unbounded();
    let counter = Arc::clone(&woken);
    let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        let _ = sender.send(());
    });
    let mut pool = pool(2, &wake);
    // Far more than the channel holds: queueing never blocks.
    let count = 10 * 2 * QUEUE_PER_THREAD as u64;
    for number in 0..count {
        pool.run(JobId(number), read_job(number));
    }
    let mut seen = BTreeSet::new();
    while seen.len() < count as usize {
        waker
            .recv_timeout(Duration::from_secs(60))
            .expect("a wake-up for every result");
        while let Some((job, result)) = pool.take_done() {
            assert!(seen.insert(job), "{job:?} was answered twice");
            let JobResult::Read(Err(error)) = result else {
                panic!("{result:?}");
            };
            assert_eq!(error, format!("nothing at {}", job.0));
        }
    }
    assert_eq!(woken.load(Ordering::SeqCst), count as usize);
    assert!(pool.stop(Duration::from_secs(60)));
}

#[test]
fn a_pool_stops_with_jobs_waiting() {
    let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(|| {});
    let mut pool = pool(1, &wake);
    for number in 0..1_000 {
        pool.run(JobId(number), read_job(number));
    }
    assert!(pool.stop(Duration::from_secs(60)));
}

#[test]
fn a_query_is_answered_while_all_jobs_wait() {
    let (sender, waker) = unbounded();
    let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
        let _ = sender.send(());
    });
    let queries = QueryThread::start(&wake).unwrap();
    for number in 0..100 {
        queries.run(number, Box::new(move || format!("answer {number}")));
    }
    for number in 0..100 {
        waker
            .recv_timeout(Duration::from_secs(60))
            .expect("a wake-up for every answer");
        assert_eq!(
            queries.take_done(),
            Some((number, format!("answer {number}")))
        );
    }
}
