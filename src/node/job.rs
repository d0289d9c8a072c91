//! Slow work as values: what workers run on threads, the simulator inline, and a replay again.

use std::fmt;
use std::sync::Arc;

use crate::chain::state::PageError;
use crate::chain::{
    Assembly, CheckedBlock, CheckedTransaction, Executed, Execution, IsolatedFault, SignatureBench,
    Template, VerifiedCache, check_blocks, check_transactions, read_back,
};
use crate::codec::Encode;
use crate::consensus::HeaderRules;
use crate::crypto::sha256::search;
use crate::store::{Kind, Log, Lsn, Reader};
use crate::types::{CompactBits, Genesis, GenesisId, Header, Height, Rules, Seal, Transaction};

/// Blocks as the log has them.
pub trait BlockReader: Send + Sync {
    /// The wire bytes of the block whose record is at `lsn`, or why they can't be read.
    fn read_block(&self, lsn: Lsn) -> Result<Arc<[u8]>, String>;
}

/// A Block record's body begins with the block's id and the work of its chain.
pub const BLOCK_RECORD_PREFIX: usize = 32 + 32;

impl BlockReader for Reader {
    fn read_block(&self, lsn: Lsn) -> Result<Arc<[u8]>, String> {
        let record = self
            .read(Log::Blocks, lsn)
            .map_err(|error| error.to_string())?;
        match (record.kind, record.body.get(BLOCK_RECORD_PREFIX..)) {
            (Kind::Block, Some(bytes)) => Ok(bytes.into()),
            _ => Err(format!("the record at {lsn} of the block log is no block")),
        }
    }
}

/// Where a worker does jobs: what it keeps from one to the next, and the log it reads.
pub struct Workbench {
    signatures: SignatureBench,
    reader: Arc<dyn BlockReader>,
}

impl Workbench {
    /// A workbench. `secret` is fresh randomness that weighs signatures in a batch; no result
    /// depends on it.
    #[must_use]
    pub fn new(secret: [u8; 32], reader: Arc<dyn BlockReader>) -> Self {
        Self::sharing(secret, reader, Arc::default())
    }

    /// A workbench of several that tell each other which transactions were verified. No result
    /// depends on that either.
    #[must_use]
    pub fn sharing(
        secret: [u8; 32],
        reader: Arc<dyn BlockReader>,
        verified: Arc<VerifiedCache>,
    ) -> Self {
        Self {
            signatures: SignatureBench::new(secret, verified),
            reader,
        }
    }
}

/// A piece of slow work. A function of its value, and for `Read` of the log.
#[derive(Debug)]
pub enum Job {
    /// Check blocks, each by itself.
    CheckBlocks {
        /// The chain's parameters.
        genesis: Arc<Genesis>,
        /// The rules of its headers.
        rules: Box<HeaderRules>,
        /// The chain.
        genesis_id: GenesisId,
        /// The blocks as they came.
        blocks: Vec<Vec<u8>>,
    },
    /// Check transactions by themselves.
    CheckTransactions {
        /// The chain's parameters.
        genesis: Arc<Genesis>,
        /// The chain.
        genesis_id: GenesisId,
        /// The height they would be mined at.
        height: Height,
        /// The transactions.
        transactions: Vec<Transaction>,
    },
    /// Execute blocks on a state.
    Execute(Box<Execution>),
    /// Assemble a block.
    Assemble(Box<Assembly>),
    /// Try nonces.
    Search {
        /// The header, whose nonce is varied.
        header: Box<Header>,
        /// The first nonce.
        start: u64,
        /// How many.
        count: u64,
    },
    /// Read a block from the log.
    Read {
        /// The chain.
        genesis_id: GenesisId,
        /// Where its record stands.
        lsn: Lsn,
    },
}

/// What came of a [`Job`].
#[derive(Debug)]
pub enum JobResult {
    /// Of `CheckBlocks`, in the same order.
    Blocks(Vec<Result<Arc<CheckedBlock>, IsolatedFault>>),
    /// Of `CheckTransactions`, in the same order.
    Transactions(Vec<Result<Arc<CheckedTransaction>, IsolatedFault>>),
    /// Of `Execute`.
    Executed(Executed),
    /// Of `Assemble`.
    Assembled(Result<Box<Template>, PageError>),
    /// Of `Search`: a nonce that meets the target, if one of those tried does.
    Found(Option<u64>),
    /// Of `Read`.
    Read(Result<Arc<CheckedBlock>, String>),
}

impl Job {
    /// What kind of work it is, for logs and the cost tables of the simulator.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CheckBlocks { .. } => "check-blocks",
            Self::CheckTransactions { .. } => "check-transactions",
            Self::Execute(_) => "execute",
            Self::Assemble(_) => "assemble",
            Self::Search { .. } => "search",
            Self::Read { .. } => "read",
        }
    }

    /// Whether it goes before work of the other kind that waits. Executions do, because each waits
    /// for the one before and all that was checked waits for them; and what takes little time or
    /// is waited for by somebody. Checks of blocks fill the cores with what is left of them.
    #[must_use]
    pub const fn is_urgent(&self) -> bool {
        !matches!(self, Self::CheckBlocks { .. } | Self::Search { .. })
    }

    /// Does the work.
    #[must_use]
    pub fn run(self, bench: &mut Workbench) -> JobResult {
        match self {
            Self::CheckBlocks {
                genesis,
                rules,
                genesis_id,
                blocks,
            } => {
                let bench = &mut bench.signatures;
                let blocks: Vec<Arc<[u8]>> = blocks.into_iter().map(Arc::from).collect();
                let checked = check_blocks(&genesis, &rules, &genesis_id, &blocks, bench);
                let checked = checked.into_iter().map(|checked| checked.map(Arc::new));
                JobResult::Blocks(checked.collect())
            }
            Self::CheckTransactions {
                genesis,
                genesis_id,
                height,
                transactions,
            } => {
                let rules = Rules::at(&genesis, height);
                let bench = &mut bench.signatures;
                let checked = check_transactions(&genesis_id, rules, transactions, bench);
                JobResult::Transactions(checked)
            }
            Self::Execute(execution) => JobResult::Executed(execution.run()),
            Self::Assemble(assembly) => JobResult::Assembled(assembly.run().map(Box::new)),
            Self::Search {
                header,
                start,
                count,
            } => JobResult::Found(search_header(&header, start, count)),
            Self::Read { genesis_id, lsn } => {
                JobResult::Read(bench.reader.read_block(lsn).and_then(|bytes| {
                    let block = read_back(&genesis_id, &bytes);
                    block
                        .map(Arc::new)
                        .map_err(|error| format!("the block at {lsn}: {error}"))
                }))
            }
        }
    }
}

fn search_header(header: &Header, start: u64, count: u64) -> Option<u64> {
    let Seal::Work { bits, .. } = header.seal else {
        return None;
    };
    let target = CompactBits::target(bits)?;
    let bytes = header.to_bytes();
    let bytes = bytes.first_chunk().expect("a work header has 204 bytes");
    search(
        bytes,
        start..start.saturating_add(count),
        &target.to_be_bytes(),
    )
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
