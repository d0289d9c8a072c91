//! What miners outside are given and bring back: values, and their names.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time, decode_hex_array, encode_hex};
use crate::chain::{ContextFault, IsolatedFault, Template};
use crate::codec::Encode;
use crate::consensus::HeaderFault;
use crate::crypto::hash::sha256;
use crate::types::{Amount, BlockId, Header, Millis, NONCE_OFFSET, Uint256, Weight};

/// A template, by the hash of the header without its nonce: the same work has the same name, and
/// no other work has it, not even after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TemplateId(pub [u8; 8]);

impl TemplateId {
    /// The name of the work on a header.
    #[must_use]
    pub fn of(header: &Header) -> Self {
        let hash = sha256(&header.to_bytes()[..NONCE_OFFSET]);
        Self(*hash.first_chunk().expect("a hash has 32 bytes"))
    }
}

impl fmt::Display for TemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The letter keeps it from being read as a number, as JSON may where it stands unquoted.
        write!(f, "w{}", encode_hex(&self.0))
    }
}

/// A text is not the name of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateIdError;

impl fmt::Display for TemplateIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a template's name is a w and 16 hexadecimal digits")
    }
}

impl std::error::Error for TemplateIdError {}

impl FromStr for TemplateId {
    type Err = TemplateIdError;

    fn from_str(text: &str) -> Result<Self, TemplateIdError> {
        let digits = text.strip_prefix('w').ok_or(TemplateIdError)?;
        decode_hex_array(digits)
            .map(Self)
            .map_err(|_| TemplateIdError)
    }
}

/// What a miner has seen: the block it builds on, and how much in tips the mempool had been
/// offered when the template was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongPollId {
    /// The parent.
    pub tip: BlockId,
    /// The sum of the tips of all transactions ever accepted, since the node's start.
    pub offered: u64,
}

impl fmt::Display for LongPollId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:016x}", self.tip, self.offered)
    }
}

impl FromStr for LongPollId {
    type Err = crate::base::HexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes: [u8; 40] = decode_hex_array(text)?;
        let (tip, offered) = bytes.split_first_chunk().expect("40 bytes hold 32");
        let offered = offered.first_chunk().expect("and 8 more");
        Ok(Self {
            tip: BlockId(*tip),
            offered: u64::from_be_bytes(*offered),
        })
    }
}

/// Work for a miner outside: a header that lacks nothing but the nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkTemplate {
    /// What the miner names it by.
    pub id: TemplateId,
    /// The header, nonce zero.
    pub header: Header,
    /// What the block's id must not exceed.
    pub target: Uint256,
    /// The earliest time that the header may carry.
    pub earliest: Millis,
    /// The latest time that this node takes now.
    pub latest: Millis,
    /// How long the node remembers it.
    pub expires: Span,
    /// What to poll with for the next.
    pub poll: LongPollId,
    /// The block that it was made of, which differs in time at most.
    pub block: Arc<Template>,
    /// What they weigh together.
    pub weight: Weight,
    /// What the block creates.
    pub reward: Amount,
    /// What its transactions leave to its beneficiary.
    pub tips: Amount,
}

/// What became of a block that somebody outside brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is in the best chain, and its Tip record is durable.
    Accepted,
    /// It is durable and valid as far as it was looked at, but another branch is better.
    SideBranch,
    /// It is durable; blocks between it and the best chain are missing.
    Inconclusive,
    /// It was here already, and nothing speaks against it.
    Duplicate,
    /// It is ahead of the clock by no fault of its maker's, and is looked at again then.
    Held {
        /// When.
        until: Time,
    },
}

/// Why a block that somebody outside brought or proposed is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockRefusal {
    /// There is no template of that name, or not any more.
    UnknownWork(TemplateId),
    /// It was here already, and it or an ancestor is invalid.
    DuplicateInvalid(BlockId),
    /// Its parent is not known.
    UnknownParent(BlockId),
    /// An ancestor is invalid.
    InvalidAncestor(BlockId),
    /// A proposal must be a child of the tip.
    NotOnTip {
        /// The tip.
        tip: BlockId,
    },
    /// It is further ahead of this node's clock than its parent made necessary.
    TimeTooNew {
        /// The latest time that this node takes now.
        latest: Millis,
        /// The block's.
        found: Millis,
    },
    /// It breaks a rule that needs no state.
    Isolated(IsolatedFault),
    /// It breaks a rule on its parent's state.
    Context(ContextFault),
}

impl From<HeaderFault> for BlockRefusal {
    fn from(fault: HeaderFault) -> Self {
        Self::Isolated(IsolatedFault::Header(fault))
    }
}

impl BlockRefusal {
    /// The reason as a stable word, Bitcoin's where it has one.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::UnknownWork(_) => "unknown-work",
            Self::DuplicateInvalid(_) => "duplicate-invalid",
            Self::UnknownParent(_) => "prev-blk-not-found",
            Self::InvalidAncestor(_) => "bad-prevblk",
            Self::NotOnTip { .. } => "inconclusive-not-best-prevblk",
            Self::TimeTooNew { .. } => "time-too-new",
            Self::Isolated(fault) => isolated_word(fault),
            Self::Context(fault) => match fault {
                ContextFault::ParentWeight { .. } => "bad-parent-weight",
                ContextFault::HistoryRoot { .. } => "bad-history-root",
                ContextFault::StateRoot { .. } => "bad-state-root",
                ContextFault::Ledger(_) => "bad-txns",
            },
        }
    }
}

const fn isolated_word(fault: &IsolatedFault) -> &'static str {
    match fault {
        IsolatedFault::Malformed(_) => "malformed",
        IsolatedFault::Header(fault) => match fault {
            HeaderFault::Engine { .. } => "bad-engine",
            HeaderFault::BitsNotCanonical { .. }
            | HeaderFault::TargetAboveLimit { .. }
            | HeaderFault::Bits { .. } => "bad-diffbits",
            HeaderFault::ProofOfWork { .. } => "high-hash",
            HeaderFault::Height { .. } => "bad-height",
            HeaderFault::TimeTooEarly { .. } => "time-too-old",
            HeaderFault::BaseFee { .. } => "bad-base-fee",
            HeaderFault::ParentWeight { .. } => "bad-parent-weight",
        },
        IsolatedFault::TxRoot { .. } => "bad-txnmrklroot",
        IsolatedFault::BlockWeight { .. } => "bad-blk-weight",
        IsolatedFault::TransactionBytes { .. }
        | IsolatedFault::Ops { .. }
        | IsolatedFault::Data { .. } => "bad-txns-size",
        IsolatedFault::Signature { .. } => "bad-txns-signature",
    }
}

impl fmt::Display for BlockRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownWork(id) => write!(
                f,
                "there is no template {id} here, or not any more; call getblocktemplate again"
            ),
            Self::DuplicateInvalid(id) => {
                write!(f, "block {id} is known, and it or an ancestor is invalid")
            }
            Self::UnknownParent(id) => write!(f, "the block's parent {id} is not known here"),
            Self::InvalidAncestor(id) => write!(f, "the block's ancestor {id} is invalid"),
            Self::NotOnTip { tip } => {
                write!(f, "a proposal must be a child of the tip, which is {tip}")
            }
            Self::TimeTooNew { latest, found } => write!(
                f,
                "the time is {found} ms, by this node's clock it may be {latest} ms at most"
            ),
            Self::Isolated(fault) => write!(f, "{fault}"),
            Self::Context(fault) => write!(f, "{fault}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let poll = LongPollId {
            tip: BlockId([0xab; 32]),
            offered: 0x0102_0304,
        };
        assert_eq!(
            poll.to_string(),
            format!("{}{}", "ab".repeat(32), "0000000001020304")
        );
        assert_eq!(poll.to_string().parse(), Ok(poll));
        assert!("".parse::<LongPollId>().is_err());
        let id = TemplateId([1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(id.to_string(), "w0102030405060708");
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["0102030405060708", "w01", "w01020304050607zz", ""] {
            assert_eq!(wrong.parse::<TemplateId>(), Err(TemplateIdError));
        }
    }
}
