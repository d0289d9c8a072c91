//! Proofs that hold without a node: bytes that show, to whoever trusts one header id, what lies
//! under that header (`docs/formats.md`, "Proofs").
//!
//! A proof says nothing about whether its header is final: that is for a certificate, a chain of
//! headers, or the reader's own knowledge of the id.

mod bytes;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::codec::Encode;
use crate::crypto::merkle;

use super::history::{Entry, HistoryPath};
use super::state::{KeyHash, PLACEHOLDER, Record, StateKey, inner_hash, leaf_hash, value_hash};
use super::{AccountId, BlockId, Hash, Header, Height, Millis, Transaction, WtxId};

/// That a transaction is in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxProof {
    /// The block's header.
    pub header: Header,
    /// How many transactions the block has.
    pub count: u32,
    /// The transaction's place among them.
    pub index: u32,
    /// The audit path, from the leaf's sibling up.
    pub path: Vec<Hash>,
    /// The transaction.
    pub transaction: Transaction,
}

/// What stands where a record would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateAnswer {
    /// The record.
    Present(Record),
    /// Nothing at all.
    Empty,
    /// The leaf of another record, whose key begins with the same bits.
    Other {
        /// The other record's place.
        key: KeyHash,
        /// The hash of its value.
        value: Hash,
    },
}

/// That a record has a value after a block, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateProof {
    /// The block's header.
    pub header: Header,
    /// Which record.
    pub key: StateKey,
    /// What is there.
    pub answer: StateAnswer,
    /// The siblings on the way to the root, from the leaf's own up; [`PLACEHOLDER`] where a
    /// subtree is empty.
    pub siblings: Vec<Hash>,
}

/// That a block is the ancestor of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryProof {
    /// The header of the descendant, which is trusted.
    pub header: Header,
    /// The header of the ancestor.
    pub ancestor: Header,
    /// The way to the descendant's history root.
    pub path: HistoryPath,
}

/// A proof of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Of a transaction.
    Transaction(Box<TxProof>),
    /// Of a record.
    State(Box<StateProof>),
    /// Of an ancestor.
    History(Box<HistoryProof>),
}

/// Why a proof shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofFault {
    /// It is about another header than the trusted one.
    OtherHeader {
        /// The one trusted.
        trusted: BlockId,
        /// The one it is about.
        found: BlockId,
    },
    /// Its path has another length than the tree's shape demands.
    Shape,
    /// What it shows leads to another root than the header's.
    Root {
        /// The header's.
        wanted: Hash,
        /// What follows from the proof.
        found: Hash,
    },
    /// The other leaf it shows could not stand where the record would be.
    OtherLeaf {
        /// How many bits the two keys would have to share.
        depth: usize,
        /// How many they share.
        shared: usize,
    },
}

impl fmt::Display for ProofFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherHeader { trusted, found } => {
                write!(f, "the proof is about header {found}, trusted is {trusted}")
            }
            Self::Shape => f.write_str("the path has another length than the tree's shape demands"),
            Self::Root { wanted, found } => {
                write!(
                    f,
                    "the proof leads to root {found}, the header has {wanted}"
                )
            }
            Self::OtherLeaf { depth, shared } => write!(
                f,
                "the other leaf shares {shared} bits with the key where at least {depth}, and not \
                 all, are needed"
            ),
        }
    }
}

impl std::error::Error for ProofFault {}

/// What a proof showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proved {
    /// This transaction is in the block.
    Transaction {
        /// Its identity.
        wtxid: WtxId,
        /// Who made it.
        sender: AccountId,
        /// The block's height.
        height: Height,
        /// The block's time.
        time: Millis,
    },
    /// After the block the record has this value; nothing: there is no such record.
    State {
        /// Which record.
        key: StateKey,
        /// Its value.
        record: Option<Record>,
        /// The block's height.
        height: Height,
    },
    /// This block is an ancestor.
    Ancestor {
        /// Its id.
        id: BlockId,
        /// Its height.
        height: Height,
        /// Its time.
        time: Millis,
    },
}

fn check_header(header: &Header, trusted: &BlockId) -> Result<(), ProofFault> {
    let found = header.id();
    if found == *trusted {
        Ok(())
    } else {
        Err(ProofFault::OtherHeader {
            trusted: *trusted,
            found,
        })
    }
}

fn check_root(wanted: Hash, found: Hash) -> Result<(), ProofFault> {
    if wanted == found {
        Ok(())
    } else {
        Err(ProofFault::Root { wanted, found })
    }
}

impl TxProof {
    /// The proof for transaction `index` of the block with this header and these transactions;
    /// nothing when there is no such transaction.
    #[must_use]
    pub fn new(header: Header, transactions: &[Transaction], index: u32) -> Option<Self> {
        let wtxids: Vec<WtxId> = transactions.iter().map(Transaction::wtxid).collect();
        let path = merkle::path(&wtxids, index as usize)?;
        Some(Self {
            header,
            count: u32::try_from(transactions.len()).ok()?,
            index,
            path: path.into_iter().map(Hash).collect(),
            transaction: transactions[index as usize].clone(),
        })
    }

    /// Checks the proof under a trusted header id.
    pub fn verify(&self, trusted: &BlockId) -> Result<Proved, ProofFault> {
        check_header(&self.header, trusted)?;
        let wtxid = self.transaction.wtxid();
        let path: Vec<[u8; 32]> = self.path.iter().map(|hash| hash.0).collect();
        let (index, count) = (u64::from(self.index), u64::from(self.count));
        let root = merkle::root_from_path(wtxid.as_bytes(), index, count, &path);
        check_root(
            self.header.tx_root,
            root.map(Hash).ok_or(ProofFault::Shape)?,
        )?;
        Ok(Proved::Transaction {
            wtxid,
            sender: self.transaction.sender(),
            height: self.header.height,
            time: self.header.time,
        })
    }
}

impl StateProof {
    /// The state root that follows from the proof.
    fn root(&self) -> Result<Hash, ProofFault> {
        let (place, depth) = (self.key.hash(), self.siblings.len());
        if depth > 256 {
            return Err(ProofFault::Shape);
        }
        let start = match &self.answer {
            StateAnswer::Present(record) => leaf_hash(&place, &value_hash(&record.to_bytes())),
            StateAnswer::Empty => PLACEHOLDER,
            StateAnswer::Other { key, value } => {
                let shared = place.shared_bits(key);
                if shared == 256 || shared < depth {
                    return Err(ProofFault::OtherLeaf { depth, shared });
                }
                leaf_hash(key, value)
            }
        };
        let levels = self.siblings.iter().zip((0..depth).rev());
        Ok(levels.fold(start, |node, (sibling, level)| {
            if place.bit(level) {
                inner_hash(sibling, &node)
            } else {
                inner_hash(&node, sibling)
            }
        }))
    }

    /// Checks the proof under a trusted header id.
    pub fn verify(&self, trusted: &BlockId) -> Result<Proved, ProofFault> {
        check_header(&self.header, trusted)?;
        check_root(self.header.state_root, self.root()?)?;
        Ok(Proved::State {
            key: self.key,
            record: match &self.answer {
                StateAnswer::Present(record) => Some(*record),
                StateAnswer::Empty | StateAnswer::Other { .. } => None,
            },
            height: self.header.height,
        })
    }
}

impl HistoryProof {
    /// Checks the proof under the trusted id of the descendant.
    pub fn verify(&self, trusted: &BlockId) -> Result<Proved, ProofFault> {
        check_header(&self.header, trusted)?;
        let leaf = Entry::of_header(&self.ancestor);
        let (index, count) = (self.ancestor.height.0, self.header.height.0);
        let root = self
            .path
            .root(&leaf, index, count)
            .ok_or(ProofFault::Shape)?;
        check_root(self.header.history_root, root)?;
        Ok(Proved::Ancestor {
            id: BlockId(leaf.hash.0),
            height: self.ancestor.height,
            time: self.ancestor.time,
        })
    }
}

impl Proof {
    /// The header that has to be trusted.
    #[must_use]
    pub fn header(&self) -> &Header {
        match self {
            Self::Transaction(proof) => &proof.header,
            Self::State(proof) => &proof.header,
            Self::History(proof) => &proof.header,
        }
    }

    /// Checks the proof under a trusted header id.
    pub fn verify(&self, trusted: &BlockId) -> Result<Proved, ProofFault> {
        match self {
            Self::Transaction(proof) => proof.verify(trusted),
            Self::State(proof) => proof.verify(trusted),
            Self::History(proof) => proof.verify(trusted),
        }
    }
}
