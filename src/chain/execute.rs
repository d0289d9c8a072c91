//! Execution of blocks on the state of their parent: the second half of a block's way into the
//! chain, done by a job that takes the state by value.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codec::Encode;
use crate::store::Lsn;
use crate::types::state::{Record, StateKey};
use crate::types::{Amount, Block, BlockId, Entry, Genesis, Hash, Header, History, Rules, Weight};

use super::ledger::{BlockContext, BlockFault, ExecutionError, Inverse, Ledger};
use super::state::PageError;
use super::{CheckedBlock, CheckedTransaction, TransactionPlaces};

/// Everything that executing the child of a block needs. Cheap to clone: the ledger is a tree of
/// shared pages.
#[derive(Clone, Debug)]
pub struct ChainState {
    /// The block that this is the state after.
    pub id: BlockId,
    /// The block's header.
    pub header: Header,
    /// The sum of the block's transaction weights.
    pub weight: u32,
    /// Accounts and supply after the block.
    pub ledger: Ledger,
    /// The range over all blocks up to and with this one.
    pub history: History,
}

impl ChainState {
    /// The state after the genesis block.
    #[must_use]
    pub fn genesis(genesis: &Genesis) -> Self {
        let ledger = Ledger::genesis(genesis);
        let header = crate::consensus::genesis_header(genesis, ledger.root());
        let mut history = History::default();
        history.push(Entry::of_header(&header));
        Self {
            id: header.id(),
            header,
            weight: 0,
            ledger,
            history,
        }
    }
}

/// The way from the state after a block back to the state after its parent.
#[derive(Clone, Debug)]
pub struct Undo {
    /// The parent.
    parent: BlockId,
    /// The parent's header.
    header: Header,
    /// The parent's weight.
    weight: u32,
    /// The range over all blocks up to and with the parent.
    history: History,
    /// What the block changed.
    inverse: Inverse,
}

impl Undo {
    fn new(parent: &ChainState, inverse: Inverse) -> Self {
        Self {
            parent: parent.id,
            header: parent.header.clone(),
            weight: parent.weight,
            history: parent.history.clone(),
            inverse,
        }
    }

    /// The block it leads to.
    #[must_use]
    pub const fn parent(&self) -> BlockId {
        self.parent
    }

    /// The memory it takes, in bytes, nearly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.inverse.bytes()
    }
}

impl ChainState {
    /// The state before the blocks that these lead back from, the newest block's first.
    fn unwind(self, undos: &[Arc<Undo>]) -> Result<Self, PageError> {
        let Some(oldest) = undos.last() else {
            return Ok(self);
        };
        let inverses = undos.iter().map(|undo| &undo.inverse);
        let ledger = self.ledger.unwind(inverses)?;
        assert!(
            ledger.root() == oldest.header.state_root,
            "a way back leads to the state it came from"
        );
        Ok(Self {
            id: oldest.parent,
            header: oldest.header.clone(),
            weight: oldest.weight,
            ledger,
            history: oldest.history.clone(),
        })
    }
}

/// Why a block is invalid on its parent's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextFault {
    /// The header's `parent_weight` is not what the parent weighs.
    ParentWeight {
        /// What the header says.
        header: u32,
        /// What the parent weighs.
        parent: u32,
    },
    /// The header's `history_root` is not that of its ancestors.
    HistoryRoot {
        /// What the header says.
        header: Hash,
        /// What the ancestors give.
        computed: Hash,
    },
    /// The header's `state_root` is not that of the state after the block.
    StateRoot {
        /// What the header says.
        header: Hash,
        /// What execution gives.
        computed: Hash,
    },
    /// A transaction or the block's money breaks a rule.
    Ledger(BlockFault),
}

impl ContextFault {
    /// Whether it is that execution gives something else than the block's maker got, or than the
    /// rules can give: then one of the two does not execute as it is written, and may be this node.
    #[must_use]
    pub const fn is_divergence(&self) -> bool {
        matches!(
            self,
            Self::StateRoot { .. } | Self::Ledger(BlockFault::Supply { .. })
        )
    }
}

impl fmt::Display for ContextFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ParentWeight { header, parent } => {
                write!(
                    f,
                    "parent_weight is {header}, but the parent weighs {parent}"
                )
            }
            Self::HistoryRoot { header, computed } => {
                write!(f, "history_root is {header}, the ancestors give {computed}")
            }
            Self::StateRoot { header, computed } => {
                write!(f, "state_root is {header}, execution gives {computed}")
            }
            Self::Ledger(fault) => write!(f, "{fault}"),
        }
    }
}

impl std::error::Error for ContextFault {}

/// A run of blocks to execute, each the child of the one before.
#[derive(Clone, Debug)]
pub struct Execution {
    /// The chain's parameters.
    pub genesis: Arc<Genesis>,
    /// A state that is at hand.
    pub base: ChainState,
    /// The way back from it to the state after the first block's parent, the newest first; empty
    /// when it is that one.
    pub undos: Vec<Arc<Undo>>,
    /// The blocks, in order of height.
    pub blocks: Vec<Arc<CheckedBlock>>,
}

/// The state can't be read, in a form that can be written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFailure {
    /// Where in the state log; 0 when that is not known.
    pub at: Lsn,
    /// What is wrong.
    pub why: String,
}

impl From<PageError> for StateFailure {
    fn from(error: PageError) -> Self {
        Self {
            at: error.at,
            why: error.to_string(),
        }
    }
}

impl fmt::Display for StateFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: nothing more is executed; the node ends, and its next start goes on from an older \
             checkpoint",
            self.why
        )
    }
}

impl std::error::Error for StateFailure {}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Executed {
    /// The state after each block that is valid, with the way back.
    pub states: Vec<(ChainState, Arc<Undo>)>,
    /// The first block that is not, with the reason. None after it was executed.
    pub fault: Option<(BlockId, ContextFault)>,
    /// Why the next block could not be executed, which is no fault of it: the state can't be read.
    pub failure: Option<StateFailure>,
    /// What the last state has in memory that the disk lacks, in bytes.
    pub changed: u64,
}

impl Execution {
    /// Executes the blocks until one is invalid.
    #[must_use]
    pub fn run(self) -> Executed {
        let mut executed = Executed {
            states: Vec::with_capacity(self.blocks.len()),
            fault: None,
            failure: None,
            changed: self.base.ledger.tree().changed_bytes(),
        };
        let base = match self.base.unwind(&self.undos) {
            Ok(base) => base,
            Err(error) => {
                executed.failure = Some(error.into());
                return executed;
            }
        };
        for block in &self.blocks {
            let parent = executed.states.last().map_or(&base, |(state, _)| state);
            match connect(&self.genesis, parent, block) {
                Ok((state, undo)) => {
                    executed.changed = state.ledger.tree().changed_bytes();
                    // Sorted here, where there is time for it.
                    block.places();
                    executed.states.push((state, Arc::new(undo)));
                }
                Err(ExecutionError::Fault(fault)) => {
                    executed.fault = Some((block.id, fault));
                    break;
                }
                Err(ExecutionError::Failure(error)) => {
                    executed.failure = Some(error.into());
                    break;
                }
            }
        }
        executed
    }
}

/// Connects one block to its parent's state, cheapest check first.
fn connect(
    genesis: &Genesis,
    parent: &ChainState,
    block: &CheckedBlock,
) -> Result<(ChainState, Undo), ExecutionError<ContextFault>> {
    const fn fault<T>(fault: ContextFault) -> Result<T, ExecutionError<ContextFault>> {
        Err(ExecutionError::Fault(fault))
    }
    let header = &block.header;
    if header.parent_weight != parent.weight {
        let (header, parent) = (header.parent_weight, parent.weight);
        return fault(ContextFault::ParentWeight { header, parent });
    }
    let computed = parent.history.root();
    if header.history_root != computed {
        return fault(ContextFault::HistoryRoot {
            header: header.history_root,
            computed,
        });
    }
    let rules = Rules::at(genesis, header.height);
    let (ledger, inverse) = parent
        .ledger
        .execute(rules, &BlockContext::of(header), &block.transactions)
        .map_err(|error| error.map(ContextFault::Ledger))?;
    let computed = ledger.root();
    if header.state_root != computed {
        return fault(ContextFault::StateRoot {
            header: header.state_root,
            computed,
        });
    }
    let mut history = parent.history.clone();
    history.push(Entry::of_header(header));
    // The isolated checks bound the weight by a limit that fits 32 bits.
    let weight = u32::try_from(block.weight.0).unwrap_or(u32::MAX);
    let state = ChainState {
        id: block.id,
        header: header.clone(),
        weight,
        ledger,
        history,
    };
    Ok((state, Undo::new(parent, inverse)))
}

/// A block to assemble: everything but the work.
#[derive(Clone, Debug)]
pub struct Assembly {
    /// The chain's parameters.
    pub genesis: Arc<Genesis>,
    /// The state after the parent.
    pub base: ChainState,
    /// The new header, roots still zero.
    pub header: Header,
    /// Transactions to take while they are valid and there is room, in this order.
    pub candidates: Vec<Arc<CheckedTransaction>>,
}

/// A block that lacks nothing but the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The header, with every root.
    pub header: Header,
    /// The transactions.
    pub transactions: Vec<Arc<CheckedTransaction>>,
    /// What the block creates.
    pub reward: Amount,
    /// What its transactions leave to its beneficiary.
    pub tips: Amount,
}

impl Template {
    /// The sum of the transactions' weights.
    #[must_use]
    pub fn weight(&self) -> Weight {
        Weight(
            self.transactions
                .iter()
                .map(|checked| checked.weight.0)
                .sum(),
        )
    }

    /// The block of a header that differs from the template's in time and nonce at most.
    #[must_use]
    pub fn block(&self, header: Header) -> CheckedBlock {
        let plain = self.transactions.iter();
        let block = Block {
            header: header.clone(),
            transactions: plain.map(|checked| checked.transaction.clone()).collect(),
            certificate: None,
        };
        CheckedBlock {
            id: header.id(),
            header,
            transactions: self.transactions.clone(),
            weight: self.weight(),
            bytes: block.to_bytes().into(),
            places: TransactionPlaces::default(),
        }
    }
}

impl Assembly {
    /// Chooses the transactions by executing them.
    pub fn run(mut self) -> Result<Template, PageError> {
        let rules = Rules::at(&self.genesis, self.header.height);
        let context = BlockContext::of(&self.header);
        let (ledger, included) =
            self.base
                .ledger
                .clone()
                .select(rules, &context, &self.candidates)?;
        let transactions: Vec<_> = included
            .into_iter()
            .map(|place| Arc::clone(&self.candidates[place]))
            .collect();
        let wtxids: Vec<_> = transactions.iter().map(|checked| checked.wtxid).collect();
        let reward = ledger.supply().issued - self.base.ledger.supply().issued;
        let earned = match ledger.record(&StateKey::Immature(self.header.height))? {
            Some(Record::Immature(record)) => record.amount.0,
            _ => 0,
        };
        self.header.tx_root = Block::tx_root(&wtxids);
        self.header.state_root = ledger.root();
        self.header.history_root = self.base.history.root();
        self.header.parent_weight = self.base.weight;
        Ok(Template {
            header: self.header,
            transactions,
            reward: Amount(reward),
            tips: Amount(earned - reward),
        })
    }
}
