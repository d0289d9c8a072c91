//! The chain: import of blocks, the ledger, and the transactions that wait.
//!
//! *Owns* the block tree, the states at its top, the best chain and the mempool.
//! *Invariants*: the tip is the valid block with the most work whose chain is here, of equal work
//! the first seen; tip, ledger and transaction index change in one step; a branch that turns out
//! to be invalid leaves them as they were. *Never* reads a block from a disk or starts a thread: it
//! says what is to be read and executed next ([`Step`]), and takes what came of it. Pages of states
//! and headers of old blocks it reads where somebody says ([`state::PageSource`],
//! [`FrontSource`]).

mod block;
pub mod checkpoint;
mod execute;
mod import;
pub mod ledger;
pub mod mempool;
mod refusal;
mod snapshot;
pub mod state;
mod states;
#[cfg(test)]
pub(crate) mod testing;
pub mod tree;
mod verified;

pub use block::{
    CheckedBlock, CheckedTransaction, IsolatedFault, Prospect, SignatureBench, SortedPlaces,
    TransactionPlaces, Unfit, check_block, check_blocks, check_proposal, check_transactions,
    fee_rate, read_back,
};
pub use checkpoint::{CheckpointWriter, Kept, KeptCheckpoint, WrittenState};
pub use execute::{
    Assembly, ChainState, ContextFault, Executed, Execution, StateFailure, Template,
};
pub use import::{
    ATTEMPTS_MAX, Attempt, Chain, HeadersAfter, Outcome, ParkedBranch, READS_MAX, Step, TipChange,
    UnreadableHeader,
};
pub use ledger::{PageFailures, StateView, TransactionFault};
pub use mempool::Mempool;
pub use refusal::HeaderRefusal;
pub use snapshot::{ChainSnapshot, RestoreError};
pub use states::Dropped;
pub use tree::{Front, FrontSource, OldBlocks, ShortId};
pub use verified::VerifiedCache;
