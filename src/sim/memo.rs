//! Verdicts that nodes share, so that what all of them find out is computed once.
//!
//! Every verdict is a function of bytes: of a transaction, of a block, of a block and the state
//! after its parent. So a node that takes over another's verdict behaves as if it had reached it
//! by itself, and a world without the memo has the same event hash.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::chain::{CheckedBlock, CheckedTransaction, Executed, Execution, IsolatedFault};
use crate::crypto::hash::sha256;
use crate::node::{BlockReader, Job, JobResult, Workbench};
use crate::store::Append;
use crate::types::{BlockId, Hash, Uint256, WtxId};

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
type TransactionVerdict = Result<Arc<CheckedTransaction>, IsolatedFault>;

/// What some node found out.
pub(super) struct Memo {
    bench: Option<Box<Workbench>>,
    transactions: Recent<WtxId, TransactionVerdict>,
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
            Job::CheckTransactions {
                genesis,
                genesis_id,
                height,
                transactions,
            } => {
                let ids: Vec<WtxId> = transactions.iter().map(|it| it.wtxid()).collect();
                let unknown = ids.iter().zip(transactions);
                let unknown = unknown.filter(|(id, _)| !self.transactions.values.contains_key(id));
                let (fresh, transactions): (Vec<WtxId>, Vec<_>) =
                    unknown.map(|(id, it)| (*id, it)).unzip();
                if !transactions.is_empty() {
                    let job = Job::CheckTransactions {
                        genesis,
                        genesis_id,
                        height,
                        transactions,
                    };
                    let JobResult::Transactions(verdicts) = job.run(self.bench(reader)) else {
                        unreachable!("a check gives verdicts");
                    };
                    for (id, verdict) in fresh.into_iter().zip(verdicts) {
                        self.transactions.insert(id, verdict);
                    }
                }
                let verdict = |id: &WtxId| self.transactions.values[id].clone();
                JobResult::Transactions(ids.iter().map(verdict).collect())
            }
            Job::CheckBlocks {
                genesis,
                rules,
                genesis_id,
                blocks,
            } => {
                let keys: Vec<BlockKey> = blocks
                    .iter()
                    .map(|(bytes, work)| (sha256(bytes), *work))
                    .collect();
                for (key, block) in keys.iter().zip(blocks) {
                    if self.blocks.values.contains_key(key) {
                        continue;
                    }
                    let job = Job::CheckBlocks {
                        genesis: Arc::clone(&genesis),
                        rules: rules.clone(),
                        genesis_id,
                        blocks: vec![block],
                    };
                    let JobResult::Blocks(verdicts) = job.run(self.bench(reader)) else {
                        unreachable!("a check gives verdicts");
                    };
                    for verdict in verdicts {
                        self.blocks.insert(*key, verdict);
                    }
                }
                let verdict = |key: &BlockKey| self.blocks.values[key].clone();
                JobResult::Blocks(keys.iter().map(verdict).collect())
            }
            Job::Execute(execution) => JobResult::Executed(self.execute(*execution)),
            other => other.run(self.bench(reader)),
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
