//! The ledger: who has what after a block, and what a block makes of it.
//!
//! *Owns* the rules of execution (`docs/formats.md`, "Executing a block") and the state they act
//! on. *Invariants*: after every block the money in accounts, rewards and stakes is the money
//! issued less the money burned; a block is executed whole or not at all; admission to the
//! mempool, assembly of a block and execution use one and the same check. *Never* checks
//! signatures or sizes, which need no state: that is done before.
//!
//! A [`Ledger`] is a value. Cloning one costs nothing, execution makes the next one out of it, and
//! whoever holds a clone, a [`StateView`] among them, is not disturbed.

mod draft;
mod fault;
mod watched;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::{Decode, Encode};
use crate::types::proof::{StateAnswer, StateProof};
use crate::types::state::{AccountRecord, KeyHash, Record, StateKey, SupplyRecord};
use crate::types::{
    AccountId, BlockId, Genesis, Hash, Header, Height, Nonce, Rules, Transaction, Weight,
};

pub use draft::{Accounts, Ahead, Charge, check_transaction, fee_needed};
pub use fault::{BlockFault, ExecutionError, TransactionFault};
pub use watched::{PageFailures, WatchedView};

use super::state::{Before, Outcome, PageError, StateTree};
use draft::Draft;

/// What execution needs of a block's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockContext {
    /// The block's height.
    pub height: Height,
    /// What 1,000 weight must pay, burned.
    pub base_fee: u64,
    /// Who receives reward and tips.
    pub beneficiary: AccountId,
}

impl BlockContext {
    /// That of a header.
    #[must_use]
    pub const fn of(header: &Header) -> Self {
        Self {
            height: header.height,
            base_fee: header.base_fee,
            beneficiary: header.beneficiary,
        }
    }
}

/// A transaction with what is derived from its bytes, so that nobody derives it twice.
pub trait Executable {
    /// The transaction.
    fn transaction(&self) -> &Transaction;

    /// Whose it is.
    fn sender(&self) -> AccountId {
        self.transaction().sender()
    }

    /// What it weighs.
    fn weight(&self) -> Weight {
        self.transaction().weight()
    }
}

impl Executable for Transaction {
    fn transaction(&self) -> &Transaction {
        self
    }
}

impl<T: Executable> Executable for Arc<T> {
    fn transaction(&self) -> &Transaction {
        (**self).transaction()
    }

    fn sender(&self) -> AccountId {
        (**self).sender()
    }

    fn weight(&self) -> Weight {
        (**self).weight()
    }
}

/// All accounts, rewards and sums after a block.
#[derive(Clone, Debug)]
pub struct Ledger {
    tree: StateTree,
    supply: SupplyRecord,
    height: Height,
}

impl Ledger {
    /// The ledger after the genesis block.
    #[must_use]
    pub fn genesis(genesis: &Genesis) -> Self {
        let mut writes = BTreeMap::new();
        let mut supply = SupplyRecord::default();
        for (account, amount) in &genesis.allocations {
            let record = AccountRecord {
                balance: *amount,
                nonce: Nonce(0),
            };
            writes.insert(StateKey::Account(*account).hash(), Some(record.to_bytes()));
            supply.accounts += amount.0;
        }
        supply.stakes = genesis
            .validators
            .iter()
            .map(|validator| validator.stake.0)
            .sum();
        supply.issued =
            u64::try_from(genesis.issued()).expect("a genesis is checked when it is read");
        writes.insert(StateKey::Supply.hash(), Some(supply.to_bytes()));
        let mut tree = StateTree::new();
        tree.apply(&writes)
            .expect("a tree that was never on a disk reads none");
        Self {
            tree,
            supply,
            height: Height::GENESIS,
        }
    }

    /// The ledger of a checkpoint.
    #[must_use]
    pub const fn restore(tree: StateTree, supply: SupplyRecord, height: Height) -> Self {
        Self {
            tree,
            supply,
            height,
        }
    }

    /// The height of the block that this is the ledger after.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }

    /// The root of the state.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.tree.root()
    }

    /// Where all money is.
    #[must_use]
    pub const fn supply(&self) -> &SupplyRecord {
        &self.supply
    }

    /// The record under `key`.
    pub fn record(&self, key: &StateKey) -> Result<Option<Record>, PageError> {
        self.tree.read(&key.hash(), read_record)
    }

    /// An account.
    pub fn account(&self, id: &AccountId) -> Result<Option<AccountRecord>, PageError> {
        self.account_at(&StateKey::Account(*id).hash())
    }

    fn account_at(&self, key: &KeyHash) -> Result<Option<AccountRecord>, PageError> {
        self.tree.read(key, read_record)
    }

    /// The records and their pages.
    #[must_use]
    pub const fn tree(&self) -> &StateTree {
        &self.tree
    }

    /// The records and their pages, to let go of what the log has.
    pub const fn tree_mut(&mut self) -> &mut StateTree {
        &mut self.tree
    }

    /// The ledger after a block of these transactions, and the way back to this one.
    pub fn execute<T: Executable>(
        &self,
        rules: &Rules,
        context: &BlockContext,
        transactions: &[T],
    ) -> Result<(Self, Inverse), ExecutionError<BlockFault>> {
        let mut draft = Draft::open(self, rules, context, transactions)?;
        for (index, transaction) in transactions.iter().enumerate() {
            if transaction.weight() > draft.room() {
                let fault = draft.too_heavy(transaction.weight());
                return Err(ExecutionError::Fault(fault));
            }
            draft
                .push(index)
                .map_err(|error| error.map(|fault| BlockFault::Transaction { index, fault }))?;
        }
        draft.close()
    }

    /// Executes those of `candidates` that are valid when their turn comes and still have room,
    /// and gives the ledger after a block of them, with their places.
    ///
    /// # Panics
    /// When `context` is not that of a block on this ledger.
    pub fn select<T: Executable>(
        &self,
        rules: &Rules,
        context: &BlockContext,
        candidates: &[T],
    ) -> Result<(Self, Vec<usize>), PageError> {
        let draft = Draft::open(self, rules, context, candidates);
        let mut draft = draft.map_err(only_failure)?;
        let mut chosen = Vec::new();
        for (index, transaction) in candidates.iter().enumerate() {
            if transaction.weight() > draft.room() {
                continue;
            }
            match draft.push(index) {
                Ok(()) => chosen.push(index),
                Err(ExecutionError::Fault(_)) => {}
                Err(ExecutionError::Failure(error)) => return Err(error),
            }
        }
        Ok((draft.close().map_err(only_failure)?.0, chosen))
    }

    /// The ledger before the blocks that these are the inverses of, the newest block's first.
    ///
    /// # Panics
    /// When there is none.
    pub fn unwind<'a>(
        &self,
        inverses: impl Iterator<Item = &'a Inverse>,
    ) -> Result<Self, PageError> {
        let mut writes = BTreeMap::new();
        let mut oldest = None;
        for inverse in inverses {
            // Of several values before, the oldest stands.
            writes.extend(inverse.writes.iter().cloned());
            oldest = Some(inverse);
        }
        let oldest = oldest.expect("at least one block is undone");
        let mut tree = self.tree.clone();
        tree.apply(&writes)?;
        Ok(Self {
            tree,
            supply: oldest.supply,
            height: oldest.height,
        })
    }

    /// What readers are given.
    #[must_use]
    pub fn view(&self, block: BlockId) -> StateView {
        StateView {
            ledger: self.clone(),
            block,
        }
    }
}

/// What a block changed, as it was before: the way back.
#[derive(Clone, Debug)]
pub struct Inverse {
    /// The values before, or that there was none.
    writes: Before,
    supply: SupplyRecord,
    height: Height,
}

impl Inverse {
    /// The memory it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of = |(_, value): &(KeyHash, Option<Vec<u8>>)| {
            size_of::<(KeyHash, Option<Vec<u8>>)>() + value.as_ref().map_or(0, Vec::len)
        };
        size_of::<Self>() + self.writes.iter().map(of).sum::<usize>()
    }
}

/// The failure of assembling a block, of which nothing else can be wrong.
fn only_failure(error: ExecutionError<BlockFault>) -> PageError {
    match error {
        ExecutionError::Failure(error) => error,
        ExecutionError::Fault(fault) => {
            panic!("a block is assembled on the ledger of its parent: {fault}")
        }
    }
}

/// A record of the tree; what the ledger wrote can be read.
fn read_record<T: Decode>(bytes: &[u8]) -> Result<T, &'static str> {
    T::from_bytes(bytes).map_err(|_| "a value is no record")
}

/// The state after a block, for readers: it never changes and never makes anybody wait.
#[derive(Clone, Debug)]
pub struct StateView {
    ledger: Ledger,
    block: BlockId,
}

impl StateView {
    /// The block that this is the state after.
    #[must_use]
    pub const fn block_id(&self) -> BlockId {
        self.block
    }

    /// The block's height.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.ledger.height
    }

    /// The ledger, for whoever executes blocks on it that the chain does not have.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The root of the state.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.ledger.root()
    }

    /// Where all money is.
    #[must_use]
    pub const fn supply(&self) -> &SupplyRecord {
        self.ledger.supply()
    }

    /// An account.
    pub fn account(&self, id: &AccountId) -> Result<Option<AccountRecord>, PageError> {
        self.ledger.account(id)
    }

    /// The record under `key`.
    pub fn record(&self, key: &StateKey) -> Result<Option<Record>, PageError> {
        self.ledger.record(key)
    }

    /// What shows which record is under `key` after the view's block, or that there is none.
    ///
    /// # Panics
    /// When `header` is not that of the view's block.
    pub fn prove(&self, header: &Header, key: StateKey) -> Result<StateProof, PageError> {
        const OWN_HEADER: &str = "a proof needs the header of the view's block";
        assert!(header.state_root == self.root(), "{OWN_HEADER}");
        let path = self.ledger.tree.prove(&key.hash())?;
        let answer = match path.outcome {
            Outcome::Present(value) => {
                let record = read_record(&value).map_err(PageError::in_memory)?;
                StateAnswer::Present(record)
            }
            Outcome::Empty => StateAnswer::Empty,
            Outcome::OtherLeaf { key, value } => StateAnswer::Other { key, value },
        };
        Ok(StateProof {
            header: header.clone(),
            key,
            answer,
            siblings: path.siblings,
        })
    }
}
