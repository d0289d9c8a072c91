//! Checks of transactions and blocks that need nothing but the rules: the first half of their way
//! into the chain, done by jobs.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::VerifiedCache;
use super::ledger::{Ahead, Executable, ExecutionError, StateView, check_transaction};
use super::state::PageError;
use crate::codec::{Decode, DecodeError, Encode, Writer};
use crate::consensus::{HeaderFault, HeaderRules};
use crate::crypto::ed25519::{Item, KeyCache, verify_batch};
use crate::types::{
    AccountId, Amount, Block, BlockId, Genesis, GenesisId, Hash, Header, Height, Op, Rules,
    Transaction, TransactionIds, TxId, Weight, WtxId, ids_of_many,
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
        let ids = TransactionIds {
            txid: transaction.txid(genesis),
            wtxid: crate::types::wtxid_of(&bytes),
            sender: transaction.sender(),
        };
        Self::of_ids(transaction, ids)
    }

    fn of_ids(transaction: Transaction, ids: TransactionIds) -> Self {
        Self {
            txid: ids.txid,
            wtxid: ids.wtxid,
            sender: ids.sender,
            weight: transaction.weight(),
            bytes: transaction.encoded_len() as u32,
            transaction,
        }
    }

    /// Derives the ids of many, side by side. Their encodings are where `bytes` begins.
    fn of_many(
        transactions: Vec<Transaction>,
        genesis: &GenesisId,
        bytes: &[u8],
    ) -> Vec<Arc<Self>> {
        let ids = ids_of_many(genesis, &transactions, bytes);
        // To collect would leave the list of pointers in the memory of the list of transactions,
        // which is many times as large.
        let mut checked = Vec::with_capacity(transactions.len());
        let pairs = transactions.into_iter().zip(ids);
        checked.extend(pairs.map(|(transaction, ids)| Arc::new(Self::of_ids(transaction, ids))));
        checked
    }

    /// What it pays per 1,000 weight, in 1/1,000 so that close offers differ.
    #[must_use]
    pub fn fee_rate(&self) -> u64 {
        fee_rate(self.transaction.fee, self.weight)
    }
}

/// What a fee is per 1,000 weight, in 1/1,000 so that close offers differ.
#[must_use]
pub fn fee_rate(fee: Amount, weight: Weight) -> u64 {
    let rate = u128::from(fee.0) * 1_000_000 / u128::from(weight.0);
    u64::try_from(rate).unwrap_or(u64::MAX)
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
    /// Where its transactions are.
    pub places: TransactionPlaces,
}

/// Transactions and their places in a block, in the order of their ids.
pub type SortedPlaces = Arc<[(TxId, u32)]>;

/// The places of a block's transactions, by their ids: what somebody who asks for one is told.
/// They are sorted when they are first wanted, which is when the block is executed.
#[derive(Clone, Debug, Default)]
pub struct TransactionPlaces(OnceLock<SortedPlaces>);

impl CheckedBlock {
    /// The transactions' places, in the order of their ids.
    pub fn places(&self) -> &SortedPlaces {
        self.places.0.get_or_init(|| {
            let ids = self.transactions.iter().map(|checked| checked.txid);
            let mut places: Vec<(TxId, u32)> = ids.zip(0..).collect();
            places.sort_unstable();
            places.into()
        })
    }
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

impl IsolatedFault {
    /// Whether no block of the same id is valid. The id covers the transactions by their root,
    /// signatures included; a block with other transactions than those is merely not the block.
    #[must_use]
    pub const fn condemns_block(&self) -> bool {
        match self {
            Self::Malformed(_) | Self::TxRoot { .. } => false,
            Self::Header(_)
            | Self::BlockWeight { .. }
            | Self::TransactionBytes { .. }
            | Self::Ops { .. }
            | Self::Data { .. }
            | Self::Signature { .. } => true,
        }
    }
}

/// How many transactions of its account may have to go before a newcomer: as many may wait in the
/// mempool.
const AHEAD_MAX: u64 = super::mempool::QUEUE_MAX as u64;

/// Keys that a bench keeps decompressed, 200 bytes each: a fifth of the work on a signature is
/// saved for senders that come again.
const CACHED_KEYS: usize = 8_192;

/// What signatures are verified with: a cache of keys, one of verdicts, and a secret that nobody
/// outside knows. None has any influence on a verdict.
pub struct SignatureBench {
    keys: KeyCache,
    verified: Arc<VerifiedCache>,
    secret: [u8; 32],
    /// How many signatures were verified here.
    #[cfg(test)]
    pub(crate) count: usize,
}

impl SignatureBench {
    /// A bench that knows no key yet. What it verifies for the mempool it tells those that it
    /// shares `verified` with.
    #[must_use]
    pub fn new(secret: [u8; 32], verified: Arc<VerifiedCache>) -> Self {
        Self {
            keys: KeyCache::new(CACHED_KEYS),
            verified,
            secret,
            #[cfg(test)]
            count: 0,
        }
    }

    /// For each transaction, whether its signatures are accepted.
    fn verify(
        &mut self,
        genesis: &GenesisId,
        transactions: &[&Arc<CheckedTransaction>],
    ) -> Vec<bool> {
        let wtxids = transactions.iter().map(|checked| &checked.wtxid);
        let mut accepted = self.verified.known(genesis, wtxids);
        let mut owners = Vec::with_capacity(transactions.len());
        let mut items = Vec::with_capacity(transactions.len());
        for (place, checked) in transactions.iter().enumerate() {
            if accepted[place] {
                continue;
            }
            accepted[place] = true;
            for (key, signature) in checked.transaction.auth.signatures() {
                owners.push(place);
                items.push(Item {
                    key,
                    message: &checked.txid.0,
                    signature,
                });
            }
        }
        #[cfg(test)]
        {
            self.count += items.len();
        }
        let verdicts = verify_batch(&items, &mut self.keys, &self.secret);
        for (place, verdict) in owners.into_iter().zip(verdicts) {
            accepted[place] &= verdict;
        }
        accepted
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

/// The block that newcomers would be in.
#[derive(Clone, Debug)]
pub struct Prospect {
    /// The state that it is executed on.
    pub view: StateView,
    /// Its height.
    pub height: Height,
    /// What it burns per 1,000 weight.
    pub base_fee: u64,
}

impl Prospect {
    /// Whether a transaction could be in that block, or after others of its account that go
    /// before it, if it were signed as it should be.
    pub fn has_place_for(
        &self,
        rules: &Rules,
        checked: &CheckedTransaction,
    ) -> Result<bool, PageError> {
        let Some(account) = self.view.account(&checked.sender)? else {
            return Ok(false);
        };
        let ahead = checked.transaction.nonce.0.checked_sub(account.nonce.0);
        let Some(transactions) = ahead.filter(|ahead| *ahead <= AHEAD_MAX) else {
            return Ok(false);
        };
        let ahead = Ahead {
            transactions,
            spent: 0,
        };
        let (height, base_fee) = (self.height, self.base_fee);
        match check_transaction(&self.view, rules, height, base_fee, &ahead, checked) {
            Ok(_) => Ok(true),
            Err(ExecutionError::Fault(_)) => Ok(false),
            Err(ExecutionError::Failure(error)) => Err(error),
        }
    }
}

/// Why a newcomer goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is invalid whatever the chain.
    Faulty(IsolatedFault),
    /// It has no place on the state that it was checked against. Nobody has looked at its
    /// signatures: the many who could send such a thing pay nothing for it.
    Hopeless(Arc<CheckedTransaction>),
}

/// Checks transactions, the cheapest first: sizes, then whether the block in `prospect`, if there
/// is one, has a place for them, and last all signatures in one batch. Those that are good are
/// known to be so when a block has them.
pub fn check_transactions(
    genesis_id: &GenesisId,
    rules: &Rules,
    prospect: Option<&Prospect>,
    transactions: Vec<Transaction>,
    bench: &mut SignatureBench,
) -> Result<Vec<Result<Arc<CheckedTransaction>, Unfit>>, PageError> {
    let mut bytes = Writer::new();
    for transaction in &transactions {
        transaction.encode(&mut bytes);
    }
    let checked = CheckedTransaction::of_many(transactions, genesis_id, bytes.as_slice());
    let mut verdicts = Vec::with_capacity(checked.len());
    for checked in &checked {
        let has_place = |prospect: &Prospect| prospect.has_place_for(rules, checked);
        verdicts.push(match check_sizes(rules, checked) {
            Err(fault) => Err(Unfit::Faulty(fault)),
            Ok(()) if prospect.map_or(Ok(true), has_place)? => Ok(checked),
            Ok(()) => Err(Unfit::Hopeless(Arc::clone(checked))),
        });
    }
    let sound: Vec<_> = verdicts
        .iter()
        .filter_map(|it| it.as_ref().ok())
        .copied()
        .collect();
    let mut accepted = bench.verify(genesis_id, &sound).into_iter();
    for verdict in &mut verdicts {
        if let Ok(checked) = verdict
            && accepted.next() == Some(false)
        {
            let txid = checked.txid;
            *verdict = Err(Unfit::Faulty(IsolatedFault::Signature { txid }));
        }
    }
    let good = verdicts.iter().filter_map(|verdict| verdict.as_ref().ok());
    bench
        .verified
        .add(genesis_id, good.map(|checked| &checked.wtxid));
    let verdicts = verdicts.into_iter();
    Ok(verdicts.map(|verdict| verdict.map(Arc::clone)).collect())
}

/// Checks a block by itself. See [`check_blocks`].
pub fn check_block(
    genesis: &Genesis,
    header_rules: &HeaderRules,
    genesis_id: &GenesisId,
    bytes: &Arc<[u8]>,
    bench: &mut SignatureBench,
) -> Result<CheckedBlock, IsolatedFault> {
    let mut checked = check_blocks(
        genesis,
        header_rules,
        genesis_id,
        std::slice::from_ref(bytes),
        bench,
    );
    checked.pop().expect("one verdict for one block")
}

/// Checks blocks by themselves, the cheapest check first: form, header (proof of work included, so
/// that everything after it has cost its maker something), transaction root (so that everything
/// after it is a fault of the block, and not of who sent it), weight, sizes, and last the
/// signatures of all blocks in one batch, because many small blocks would otherwise pay the price
/// of small batches.
pub fn check_blocks(
    genesis: &Genesis,
    header_rules: &HeaderRules,
    genesis_id: &GenesisId,
    blocks: &[Arc<[u8]>],
    bench: &mut SignatureBench,
) -> Vec<Result<CheckedBlock, IsolatedFault>> {
    let mut verdicts: Vec<_> = blocks
        .iter()
        .map(|bytes| check_form(genesis, header_rules, genesis_id, bytes))
        .collect();
    let formed = verdicts.iter().filter_map(|verdict| verdict.as_ref().ok());
    let transactions: Vec<_> = formed.flat_map(|block| &block.transactions).collect();
    let mut accepted = bench.verify(genesis_id, &transactions).into_iter();
    for verdict in &mut verdicts {
        let Ok(block) = verdict else { continue };
        // All of its verdicts are taken, whichever is the first bad one.
        let own: Vec<bool> = accepted.by_ref().take(block.transactions.len()).collect();
        if let Some(bad) = own.iter().position(|accepted| !accepted) {
            let txid = block.transactions[bad].txid;
            *verdict = Err(IsolatedFault::Signature { txid });
        }
    }
    verdicts
}

/// All that can be checked of a block by itself but the signatures.
fn check_form(
    genesis: &Genesis,
    header_rules: &HeaderRules,
    genesis_id: &GenesisId,
    bytes: &Arc<[u8]>,
) -> Result<CheckedBlock, IsolatedFault> {
    let block = Block::from_bytes(bytes).map_err(IsolatedFault::Malformed)?;
    header_rules
        .check_isolated(&block.header)
        .map_err(IsolatedFault::Header)?;
    check_body(genesis, derive(block, genesis_id, bytes))
}

/// Checks a block that is only proposed: all that [`check_block`] does but for the work.
pub fn check_proposal(
    genesis: &Genesis,
    header_rules: &HeaderRules,
    genesis_id: &GenesisId,
    bytes: &Arc<[u8]>,
    bench: &mut SignatureBench,
) -> Result<CheckedBlock, IsolatedFault> {
    let block = Block::from_bytes(bytes).map_err(IsolatedFault::Malformed)?;
    header_rules
        .check_target(&block.header)
        .map_err(IsolatedFault::Header)?;
    let checked = check_body(genesis, derive(block, genesis_id, bytes))?;
    let transactions: Vec<_> = checked.transactions.iter().collect();
    let accepted = bench.verify(genesis_id, &transactions);
    match accepted.iter().position(|accepted| !accepted) {
        Some(bad) => Err(IsolatedFault::Signature {
            txid: checked.transactions[bad].txid,
        }),
        None => Ok(checked),
    }
}

/// What a block has beside its header, but for the signatures.
fn check_body(genesis: &Genesis, checked: CheckedBlock) -> Result<CheckedBlock, IsolatedFault> {
    let rules = Rules::at(genesis, checked.header.height);
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
    let (weight, limit) = (checked.weight, rules.max_block_weight);
    if weight.0 > u64::from(limit) {
        return Err(IsolatedFault::BlockWeight { weight, limit });
    }
    for transaction in &checked.transactions {
        check_sizes(rules, transaction)?;
    }
    Ok(checked)
}

/// A block of the log again: it was checked before it was written.
pub fn read_back(genesis_id: &GenesisId, bytes: &Arc<[u8]>) -> Result<CheckedBlock, DecodeError> {
    Ok(derive(Block::from_bytes(bytes)?, genesis_id, bytes))
}

/// A block with what is derived from its bytes.
fn derive(block: Block, genesis_id: &GenesisId, bytes: &Arc<[u8]>) -> CheckedBlock {
    // Behind the header stands the number of transactions.
    let transactions_at = block.header.encoded_len() + 4;
    CheckedBlock {
        id: block.header.id(),
        weight: block.weight(),
        transactions: CheckedTransaction::of_many(
            block.transactions,
            genesis_id,
            &bytes[transactions_at..],
        ),
        header: block.header,
        bytes: Arc::clone(bytes),
        places: TransactionPlaces::default(),
    }
}

#[cfg(test)]
mod tests;
