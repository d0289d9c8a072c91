//! Why transactions and blocks are invalid on the state they are to change.

use std::fmt;

use crate::types::{AccountId, Amount, Height, Nonce};

use super::super::state::PageError;

/// Why something was not executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutionError<F> {
    /// It breaks a rule.
    Fault(F),
    /// This machine can't read the state, which says nothing about a block or a transaction.
    Failure(PageError),
}

impl<F> ExecutionError<F> {
    /// The same of something that the fault is a part of.
    pub fn map<G>(self, of: impl FnOnce(F) -> G) -> ExecutionError<G> {
        match self {
            Self::Fault(fault) => ExecutionError::Fault(of(fault)),
            Self::Failure(error) => ExecutionError::Failure(error),
        }
    }
}

impl<F> From<PageError> for ExecutionError<F> {
    fn from(error: PageError) -> Self {
        Self::Failure(error)
    }
}

impl<F: fmt::Display> fmt::Display for ExecutionError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Failure(error) => error.fmt(f),
        }
    }
}

impl<F: fmt::Debug + fmt::Display> std::error::Error for ExecutionError<F> {}

/// Why a transaction is invalid on a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionFault {
    /// Its sender has no account.
    UnknownSender {
        /// The account that would have to exist.
        account: AccountId,
    },
    /// It is not the next one of its sender.
    Nonce {
        /// The nonce of the next one.
        wanted: Nonce,
        /// Its own.
        found: Nonce,
    },
    /// Its sender has made as many transactions as an account can.
    NonceExhausted,
    /// It was valid up to a height that is past.
    Expired {
        /// The last height it was valid at.
        expiry: Height,
        /// The height it would be executed at.
        height: Height,
    },
    /// Its amounts and fee are more than its sender has.
    Balance {
        /// Amounts and fee.
        needed: u128,
        /// What the sender has.
        available: Amount,
    },
    /// Its fee is too low.
    Fee {
        /// What its weight and the accounts it creates cost.
        needed: u128,
        /// What it pays.
        paid: Amount,
    },
}

impl fmt::Display for TransactionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownSender { account } => {
                write!(
                    f,
                    "the sender's account {account} does not exist: pay to it first"
                )
            }
            Self::Nonce { wanted, found } => {
                write!(f, "the nonce is {found}, the account's next is {wanted}")
            }
            Self::NonceExhausted => write!(
                f,
                "the account has made {} transactions and can make no more",
                u64::MAX
            ),
            Self::Expired { expiry, height } => write!(
                f,
                "the transaction expired after height {expiry}, the next block is {height}"
            ),
            Self::Balance { needed, available } => {
                write!(
                    f,
                    "amounts and fee are {needed}, the account has {available}"
                )
            }
            Self::Fee { needed, paid } => {
                write!(f, "the fee is {paid}, at least {needed} is needed")
            }
        }
    }
}

impl std::error::Error for TransactionFault {}

/// Why a block is invalid on the ledger of its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockFault {
    /// It does not follow the ledger's block.
    Height {
        /// The height of the ledger's next block.
        wanted: Height,
        /// The block's.
        found: Height,
    },
    /// One of its transactions is invalid.
    Transaction {
        /// Its place in the block.
        index: usize,
        /// What is wrong with it.
        fault: TransactionFault,
    },
    /// Its transactions weigh too much.
    Weight {
        /// What they weigh, up to the first that has no room.
        weight: u64,
        /// The limit.
        limit: u32,
    },
    /// The money that is somewhere is not the money issued less the money burned. No block can
    /// bring this about as long as the rules are implemented as they are written.
    Supply {
        /// What is in accounts, stakes, rewards and pools.
        held: u128,
        /// What was ever issued.
        issued: u64,
        /// What was ever burned.
        burned: u64,
    },
    /// The chain's rules are those of proof of stake, whose rewards are not defined yet.
    StakeReserved,
}

impl fmt::Display for BlockFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Height { wanted, found } => {
                write!(f, "the block has height {found}, the next one is {wanted}")
            }
            Self::Transaction { index, fault } => write!(f, "transaction {index}: {fault}"),
            Self::Weight { weight, limit } => {
                write!(f, "the transactions weigh {weight}, the limit is {limit}")
            }
            Self::Supply {
                held,
                issued,
                burned,
            } => write!(
                f,
                "{held} is held after the block, but {issued} was issued and {burned} burned"
            ),
            Self::StakeReserved => f.write_str("the rewards of proof of stake are reserved"),
        }
    }
}

impl std::error::Error for BlockFault {}
