//! How much a node holds of what others can make it hold.

use super::Node;

/// How much a node holds, each number of which has its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Jobs under way.
    pub jobs: usize,
    /// Groups of records on their way to the disk.
    pub groups: usize,
    /// Headers of all branches that are in memory.
    pub headers: usize,
    /// Old blocks of which the place in the log is in memory.
    pub old_blocks: usize,
    /// Blocks that came and wait for a check.
    pub arrived: usize,
    /// Transactions that wait for a check.
    pub checks: usize,
    /// Bytes of memory that the mempool takes.
    pub mempool_memory: usize,
    /// As many as it may take.
    pub mempool_memory_max: usize,
}

impl Node {
    /// How much it holds now.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let old_blocks = self.chain.tree().logged_len() as usize;
        Sizes {
            jobs: self.jobs.len(),
            groups: self.effects.len(),
            headers: self.chain.tree().count() - old_blocks,
            old_blocks,
            arrived: self.arrived.len(),
            checks: self.checks.waiting().len(),
            mempool_memory: bytes(self.mempool.memory()),
            mempool_memory_max: bytes(self.mempool.limit()),
        }
    }
}
