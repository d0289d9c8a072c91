//! Checks of transactions and blocks that need nothing but the rules: the first half of their way
//! into the chain, done by jobs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::ledger::Executable;
use crate::codec::{Decode, DecodeError, Encode};
use crate::consensus::{HeaderFault, HeaderRules};
use crate::crypto::ed25519::{Item, KeyCache, verify_batch};
use crate::types::{
    AccountId, Block, BlockId, Genesis, GenesisId, Hash, Header, Op, Rules, Transaction, TxId,
    Weight, WtxId,
};

impl Executable for CheckedTransaction {
    fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    fn sender(&self) -> AccountId {
        self.sender
    }

    fn weight(&self) -> Weight {
        self.weight
    }
}

/// A transaction whose form and signatures were checked, with what is derived from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedTransaction {
    /// The transaction.
    pub transaction: Transaction,
    /// Its id for people and for conflicts.
    pub txid: TxId,
    /// The identity of its bytes.
    pub wtxid: WtxId,
    /// Whose it is.
    pub sender: AccountId,
    /// What it weighs.
    pub weight: Weight,
    /// How many bytes it has.
    pub bytes: u32,
}

impl CheckedTransaction {
    /// Derives the ids. Whether signatures were checked is the caller's business.
    #[must_use]
    pub fn new(transaction: Transaction, genesis: &GenesisId) -> Self {
        let bytes = transaction.to_bytes();
        Self {
            txid: transaction.txid(genesis),
            wtxid: crate::types::wtxid_of(&bytes),
            sender: transaction.sender(),
            weight: transaction.weight(),
            bytes: bytes.len() as u32,
            transaction,
        }
    }

    /// What it pays per 1,000 weight, in 1/1,000 so that close offers differ.
    #[must_use]
    pub fn fee_rate(&self) -> u64 {
        let rate = u128::from(self.transaction.fee.0) * 1_000_000 / u128::from(self.weight.0);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

/// A block that passed every check that needs nothing but the rules.
#[derive(Clone, Debug)]
pub struct CheckedBlock {
    /// Its id.
    pub id: BlockId,
    /// Its header.
    pub header: Header,
    /// Its transactions, in order.
    pub transactions: Vec<Arc<CheckedTransaction>>,
    /// The sum of their weights.
    pub weight: Weight,
    /// The block as it travels.
    pub bytes: Arc<[u8]>,
}

/// Why a block or transaction is invalid whatever the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IsolatedFault {
    /// The bytes are no block or transaction.
    Malformed(DecodeError),
    /// The header breaks a rule.
    Header(HeaderFault),
    /// The transactions are not those of the header.
    TxRoot {
        /// What the header says.
        header: Hash,
        /// What the transactions hash to.
        computed: Hash,
    },
    /// The block weighs too much.
    BlockWeight {
        /// The sum.
        weight: Weight,
        /// The limit.
        limit: u32,
    },
    /// A transaction has too many bytes.
    TransactionBytes {
        /// How many.
        bytes: usize,
        /// The limit.
        limit: u32,
    },
    /// A transaction has too many ops.
    Ops {
        /// How many.
        ops: usize,
        /// The limit.
        limit: u16,
    },
    /// A Data op has too many bytes.
    Data {
        /// How many.
        bytes: usize,
        /// The limit.
        limit: u16,
    },
    /// A signature is not accepted.
    Signature {
        /// Of which transaction.
        txid: TxId,
    },
}

impl fmt::Display for IsolatedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "malformed: {error}"),
            Self::Header(fault) => write!(f, "{fault}"),
            Self::TxRoot { header, computed } => {
                write!(
                    f,
                    "the header's tx_root is {header}, its transactions give {computed}"
                )
            }
            Self::BlockWeight { weight, limit } => {
                write!(f, "the block weighs {weight}, the limit is {limit}")
            }
            Self::TransactionBytes { bytes, limit } => {
                write!(f, "the transaction has {bytes} bytes, the limit is {limit}")
            }
            Self::Ops { ops, limit } => {
                write!(f, "the transaction has {ops} ops, the limit is {limit}")
            }
            Self::Data { bytes, limit } => {
                write!(f, "a data op has {bytes} bytes, the limit is {limit}")
            }
            Self::Signature { txid } => {
                write!(f, "a signature of transaction {txid} is not accepted")
            }
        }
    }
}

impl std::error::Error for IsolatedFault {}

/// Keys that a bench keeps decompressed, 160 bytes each: a fifth of the work on a signature is
/// saved for senders that come again.
const CACHED_KEYS: usize = 16_384;

/// What signatures are verified with: a cache of keys and a secret that nobody outside knows.
/// Neither has any influence on a verdict.
pub struct SignatureBench {
    cache: KeyCache,
    secret: [u8; 32],
}

impl SignatureBench {
    /// A bench with an empty cache.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self {
            cache: KeyCache::new(CACHED_KEYS),
            secret,
        }
    }

    /// The transactions, by place, with a signature that is not accepted.
    fn rejected(&mut self, transactions: &[Arc<CheckedTransaction>]) -> Vec<usize> {
        let mut owners = Vec::new();
        let mut items = Vec::new();
        for (place, checked) in transactions.iter().enumerate() {
            for (key, signature) in checked.transaction.auth.signatures() {
                owners.push(place);
                items.push(Item {
                    key,
                    message: &checked.txid.0,
                    signature,
                });
            }
        }
        let verdicts = verify_batch(&items, &mut self.cache, &self.secret);
        let mut bad: Vec<usize> = owners
            .into_iter()
            .zip(verdicts)
            .filter(|(_, ok)| !ok)
            .map(|(place, _)| place)
            .collect();
        bad.dedup();
        bad
    }
}

/// Checks the sizes of a transaction against the rules.
fn check_sizes(rules: &Rules, checked: &CheckedTransaction) -> Result<(), IsolatedFault> {
    let bytes = checked.bytes as usize;
    if bytes > rules.max_tx_bytes as usize {
        return Err(IsolatedFault::TransactionBytes {
            bytes,
            limit: rules.max_tx_bytes,
        });
    }
    let ops = checked.transaction.ops.len();
    if ops > usize::from(rules.max_ops) {
        return Err(IsolatedFault::Ops {
            ops,
            limit: rules.max_ops,
        });
    }
    for op in &checked.transaction.ops {
        if let Op::Data(data) = op
            && data.len() > usize::from(rules.max_data)
        {
            return Err(IsolatedFault::Data {
                bytes: data.len(),
                limit: rules.max_data,
            });
        }
    }
    Ok(())
}

/// Checks transactions by themselves: sizes first, because they are cheap, then all signatures in
/// one batch.
pub fn check_transactions(
    genesis_id: &GenesisId,
    rules: &Rules,
    transactions: Vec<Transaction>,
    bench: &mut SignatureBench,
) -> Vec<Result<Arc<CheckedTransaction>, IsolatedFault>> {
    let mut sized = Vec::with_capacity(transactions.len());
    let mut faults = BTreeMap::new();
    for (place, transaction) in transactions.into_iter().enumerate() {
        let checked = Arc::new(CheckedTransaction::new(transaction, genesis_id));
        if let Err(fault) = check_sizes(rules, &checked) {
            faults.insert(place, fault);
        }
        sized.push(checked);
    }
    let (places, sound): (Vec<usize>, Vec<_>) = sized
        .iter()
        .enumerate()
        .filter(|(place, _)| !faults.contains_key(place))
        .map(|(place, checked)| (place, Arc::clone(checked)))
        .unzip();
    for bad in bench.rejected(&sound) {
        faults.insert(
            places[bad],
            IsolatedFault::Signature {
                txid: sound[bad].txid,
            },
        );
    }
    let verdict = |(place, checked)| faults.remove(&place).map_or(Ok(checked), Err);
    sized.into_iter().enumerate().map(verdict).collect()
}

/// Checks a block by itself, the cheapest check first: form, header (proof of work included, so
/// that everything after it has cost its maker something), weight, transaction root, sizes, and
/// last the signatures in one batch.
pub fn check_block(
    genesis: &Genesis,
    header_rules: &HeaderRules,
    genesis_id: &GenesisId,
    bytes: &Arc<[u8]>,
    bench: &mut SignatureBench,
) -> Result<CheckedBlock, IsolatedFault> {
    let block = Block::from_bytes(bytes).map_err(IsolatedFault::Malformed)?;
    let rules = Rules::at(genesis, block.header.height);
    header_rules
        .check_isolated(&block.header)
        .map_err(IsolatedFault::Header)?;
    let checked = derive(block, genesis_id, bytes);
    if checked.weight.0 > u64::from(rules.max_block_weight) {
        let (weight, limit) = (checked.weight, rules.max_block_weight);
        return Err(IsolatedFault::BlockWeight { weight, limit });
    }
    let wtxids: Vec<WtxId> = checked
        .transactions
        .iter()
        .map(|checked| checked.wtxid)
        .collect();
    let computed = Block::tx_root(&wtxids);
    if computed != checked.header.tx_root {
        return Err(IsolatedFault::TxRoot {
            header: checked.header.tx_root,
            computed,
        });
    }
    for transaction in &checked.transactions {
        check_sizes(rules, transaction)?;
    }
    match bench.rejected(&checked.transactions).first() {
        Some(place) => Err(IsolatedFault::Signature {
            txid: checked.transactions[*place].txid,
        }),
        None => Ok(checked),
    }
}

/// A block of the log again: it was checked before it was written.
pub fn read_back(genesis_id: &GenesisId, bytes: &Arc<[u8]>) -> Result<CheckedBlock, DecodeError> {
    Ok(derive(Block::from_bytes(bytes)?, genesis_id, bytes))
}

fn derive(block: Block, genesis_id: &GenesisId, bytes: &Arc<[u8]>) -> CheckedBlock {
    let derived = |transaction| Arc::new(CheckedTransaction::new(transaction, genesis_id));
    CheckedBlock {
        id: block.header.id(),
        weight: block.weight(),
        transactions: block.transactions.into_iter().map(derived).collect(),
        header: block.header,
        bytes: Arc::clone(bytes),
    }
}
