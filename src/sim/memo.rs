//! Verdicts that nodes share, so that what all of them find out is computed once.
//!
//! Every verdict is a function of bytes: of a transaction, of a block, of a block and the state
//! after its parent. So a node that takes over another's verdict behaves as if it had reached it
//! by itself, and a world without the memo has the same event hash.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::chain::{CheckedBlock, CheckedTransaction, Executed, Execution, IsolatedFault, Unfit};
use crate::crypto::hash::sha256;
use crate::node::{BlockReader, Job, JobResult, Workbench};
use crate::store::Append;
use crate::types::{BlockId, Hash, Rules, Uint256, WtxId};

/// Verdicts on transactions that are kept: those of the last minutes of a busy network.
const TRANSACTIONS: usize = 65_536;
/// Verdicts on blocks that are kept.
const BLOCKS: usize = 256;
/// States that are kept: nodes execute a block at about the same time.
const STATES: usize = 64;

/// A map that forgets the oldest.
#[derive(Debug)]
struct Recent<K, V> {
    most: usize,
    values: BTreeMap<K, V>,
    order: VecDeque<K>,
}

impl<K: Ord + Copy, V> Recent<K, V> {
    fn new(most: usize) -> Self {
        Self {
            most,
            values: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    fn insert(&mut self, key: K, value: V) {
        if self.values.insert(key, value).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
    }
}

/// A block's bytes, by their hash, and the work of its chain, which its record has.
type BlockKey = ([u8; 32], Uint256);
type BlockVerdict = Result<(Arc<CheckedBlock>, Append), IsolatedFault>;

/// What some node found out.
pub(super) struct Memo {
    bench: Option<Box<Workbench>>,
    /// Those that are sound by themselves.
    transactions: Recent<WtxId, Arc<CheckedTransaction>>,
    blocks: Recent<BlockKey, BlockVerdict>,
    /// By the root of the state, the block that it is of and the block that is executed on it: a
    /// node whose state is wrong gets what comes of its own.
    executed: Recent<(Hash, BlockId, BlockId), Executed>,
}

impl Default for Memo {
    fn default() -> Self {
        Self {
            bench: None,
            transactions: Recent::new(TRANSACTIONS),
            blocks: Recent::new(BLOCKS),
            executed: Recent::new(STATES),
        }
    }
}

impl Memo {
    /// Does a job for the node whose log `reader` reads.
    pub(super) fn run(&mut self, work: Job, reader: &Arc<dyn BlockReader>) -> JobResult {
        match work {
            work @ Job::CheckTransactions { .. } => self.check_transactions(work, reader),
            Job::CheckBlocks {
                genesis,
                rules,
                genesis_id,
                blocks,
            } => {
                let mut verdicts = Vec::new();
                for (bytes, work) in blocks {
                    let key = (sha256(&bytes), work);
                    if let Some(known) = self.blocks.values.get(&key) {
                        verdicts.push(known.clone());
                        continue;
                    }
                    let job = Job::CheckBlocks {
                        genesis: Arc::clone(&genesis),
                        rules: rules.clone(),
                        genesis_id,
                        blocks: vec![(bytes, work)],
                    };
                    let JobResult::Blocks(found) = job.run(self.bench(reader)) else {
                        unreachable!("a check gives verdicts");
                    };
                    for verdict in found {
                        self.blocks.insert(key, verdict.clone());
                        verdicts.push(verdict);
                    }
                }
                JobResult::Blocks(verdicts)
            }
            Job::Execute(execution) => JobResult::Executed(self.execute(*execution)),
            other => other.run(self.bench(reader)),
        }
    }

    /// Checks transactions: of those that are known to be sound, whether the node's next block has
    /// a place for them; the others as they are.
    fn check_transactions(&mut self, work: Job, reader: &Arc<dyn BlockReader>) -> JobResult {
        let Job::CheckTransactions {
            genesis,
            genesis_id,
            height,
            prospect,
            transactions,
        } = work
        else {
            unreachable!("it is a check of transactions");
        };
        let rules = Rules::at(&genesis, height);
        let (mut verdicts, mut places, mut fresh) = (Vec::new(), Vec::new(), Vec::new());
        for (place, transaction) in transactions.into_iter().enumerate() {
            let Some(known) = self.transactions.values.get(&transaction.wtxid()) else {
                places.push(place);
                fresh.push(transaction);
                verdicts.push(None);
                continue;
            };
            let has_place = prospect
                .as_ref()
                .map_or(Ok(true), |it| it.has_place_for(rules, known));
            let known = Arc::clone(known);
            match has_place {
                Ok(true) => verdicts.push(Some(Ok(known))),
                Ok(false) => verdicts.push(Some(Err(Unfit::Hopeless(known)))),
                Err(error) => return JobResult::Transactions(Err(error.into())),
            }
        }
        if fresh.is_empty() {
            return JobResult::Transactions(Ok(verdicts.into_iter().flatten().collect()));
        }
        let job = Job::CheckTransactions {
            genesis: Arc::clone(&genesis),
            genesis_id,
            height,
            prospect,
            transactions: fresh,
        };
        match job.run(self.bench(reader)) {
            JobResult::Transactions(Ok(found)) => {
                for (place, verdict) in places.into_iter().zip(found) {
                    if let Ok(checked) = &verdict {
                        self.transactions.insert(checked.wtxid, Arc::clone(checked));
                    }
                    verdicts[place] = Some(verdict);
                }
                JobResult::Transactions(Ok(verdicts.into_iter().flatten().collect()))
            }
            failed => failed,
        }
    }

    /// Executes one block of a state that has nothing on a disk, once; everything else as it is:
    /// pages on a disk are those of one node.
    fn execute(&mut self, execution: Execution) -> Executed {
        let base = &execution.base;
        let is_in_memory = base.ledger.tree().live().segments().next().is_none();
        let [block] = execution.blocks.as_slice() else {
            return execution.run();
        };
        if !is_in_memory || !execution.undos.is_empty() {
            return execution.run();
        }
        let key = (base.ledger.root(), base.id, block.id);
        if let Some(executed) = self.executed.values.get(&key) {
            return executed.clone();
        }
        let executed = execution.run();
        self.executed.insert(key, executed.clone());
        executed
    }

    fn bench(&mut self, reader: &Arc<dyn BlockReader>) -> &mut Workbench {
        let reader = Arc::clone(reader);
        match &mut self.bench {
            Some(bench) => bench.read_from(reader),
            none => *none = Some(Box::new(Workbench::new([7; 32], reader))),
        }
        self.bench.as_mut().expect("it was made above")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing::{Maker, genesis, person};
    use crate::consensus::HeaderRules;
    use crate::store::{MemoryDisk, Options, Store};

    /// A check of several blocks finds one of them known, which is forgotten for the others.
    #[test]
    fn a_verdict_that_the_same_check_forgets_is_given() {
        let genesis = genesis(&[], 0);
        let maker = Maker::new(&genesis);
        let branch = maker.branch(&maker.root(), person(1).account, 3);
        let check = |places: &[usize]| Job::CheckBlocks {
            genesis: Arc::clone(&genesis),
            rules: Box::new(HeaderRules::new(Arc::clone(&genesis)).unwrap()),
            genesis_id: genesis.id(),
            blocks: places
                .iter()
                .map(|place| (branch[*place].bytes.clone(), Uint256::ZERO))
                .collect(),
        };
        let mut memo = Memo {
            blocks: Recent::new(1),
            ..Memo::default()
        };
        let options = Options::production(genesis.id().0, 1, 1).with_segment_size(64 << 10);
        let (store, _) = Store::open(Arc::new(MemoryDisk::new()), &options).unwrap();
        let reader: Arc<dyn BlockReader> = Arc::new(store.reader());
        for places in [&[0][..], &[0, 1, 2, 0]] {
            let JobResult::Blocks(verdicts) = memo.run(check(places), &reader) else {
                panic!("a check gives verdicts");
            };
            let ids: Vec<_> = verdicts.into_iter().map(|it| it.unwrap().0.id).collect();
            let wanted: Vec<_> = places.iter().map(|place| branch[*place].id).collect();
            assert_eq!(ids, wanted);
        }
    }
}
