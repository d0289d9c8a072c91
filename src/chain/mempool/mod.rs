//! Valid transactions that wait for a block: for each account a queue by nonce, without gaps.
//!
//! *Invariants*: the nonces of a queue follow the account's nonce at the tip without a gap; what
//! the queue spends together never exceeds the account's balance at the tip, and each pays for the
//! accounts that it would create at the tip, so that every transaction in it can be mined, and
//! nobody relays more than their money pays for. All of them
//! together take no more memory than the limit. *Never* lets in what pays less than what would
//! have to go for it, and lets nothing go from the midst of a queue.
//!
//! `queue` is one account's; `admission` has the rules for newcomers, `order` what a block takes,
//! `room` what goes when the memory is full, `follow` what a new tip changes, `floor` and `advice`
//! what to pay.

mod admission;
mod advice;
mod floor;
mod follow;
mod order;
mod queue;
mod room;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::Time;
use crate::types::{AccountId, Height, Nonce, Rules, TxId, WtxId};

use super::ledger::WatchedView;
use super::state::PageError;
use super::{CheckedBlock, CheckedTransaction};

pub use admission::{EXPIRY_AHEAD_MIN, Origin, QUEUE_MAX, Refusal};
pub use advice::{ADVICE_BLOCKS_MAX, FeeAdvice};
pub use follow::{Followed, TipMove};

use advice::Rates;
use floor::Floor;
use order::Front;
use queue::{Queue, Waiting};

/// How much memory the transactions that wait may take where nothing else is configured, indexes
/// included: some 250,000 one-output transfers, a dozen full blocks.
pub const MEMORY_DEFAULT: u64 = 256 << 20;

/// The block that newcomers are let in for.
#[derive(Clone, Copy, Debug)]
pub struct Next<'a> {
    /// The state that it is executed on.
    pub view: WatchedView<'a>,
    /// Its rules.
    pub rules: &'a Rules,
    /// Its height.
    pub height: Height,
    /// What it burns per 1,000 weight.
    pub base_fee: u64,
    /// The time.
    pub now: Time,
}

/// Why a transaction left without being mined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leaving {
    /// Its account replaced it, or one before it, by this one.
    Replaced {
        /// The transaction in its place.
        by: TxId,
    },
    /// Others that pay more needed the room.
    Room,
    /// It can be in no block any more.
    Expired,
    /// A block has used its nonce: for another transaction of its account.
    NonceUsed,
    /// Its account no longer has what it spends.
    Balance,
    /// An account that it pays does not exist any more, and its fee does not pay for creating it.
    AccountFee,
    /// One of its account before it left.
    Stranded,
}

impl fmt::Display for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced { by } => write!(f, "transaction {by} of its account replaced it"),
            Self::Room => f.write_str("others that pay more needed the room"),
            Self::Expired => f.write_str("it expired"),
            Self::NonceUsed => f.write_str("a block has used its nonce"),
            Self::Balance => f.write_str("its account no longer has what it spends"),
            Self::AccountFee => f.write_str(
                "an account that it pays no longer exists, and its fee is too small to create it",
            ),
            Self::Stranded => f.write_str("a transaction of its account before it is missing"),
        }
    }
}

/// A transaction that left without being mined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Which.
    pub checked: Arc<CheckedTransaction>,
    /// Whether somebody outside was promised that it is kept.
    pub promised: bool,
    /// Why.
    pub why: Leaving,
}

impl Left {
    fn new(waiting: Waiting, why: Leaving) -> Self {
        Self {
            checked: waiting.checked,
            promised: waiting.promised,
            why,
        }
    }
}

/// The end of a queue, in the order in which ends go for room: what nobody was promised first,
/// then what pays least, with what has to be mined before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    promised: bool,
    rate: u64,
    account: AccountId,
}

/// The transactions that wait.
#[derive(Debug)]
pub struct Mempool {
    limit: u64,
    queues: BTreeMap<AccountId, Queue>,
    by_wtxid: BTreeMap<WtxId, (AccountId, Nonce)>,
    by_txid: BTreeMap<TxId, WtxId>,
    /// Those that expire, by the last height at which they may be mined.
    by_expiry: BTreeSet<(Height, WtxId)>,
    /// The last chunk of each queue.
    ends: BTreeSet<End>,
    /// The first chunk of each queue.
    fronts: BTreeSet<Front>,
    rates: Rates,
    bytes: u64,
    memory: u64,
    floor: Floor,
}

/// A mempool as a value: everything that does not follow from something else in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MempoolSnapshot {
    limit: u64,
    waiting: Vec<(crate::types::Transaction, bool)>,
    floor: Floor,
}

impl Default for Mempool {
    fn default() -> Self {
        Self::with_limit(MEMORY_DEFAULT)
    }
}

impl Mempool {
    /// An empty mempool whose transactions may take so much memory.
    #[must_use]
    pub fn with_limit(limit: u64) -> Self {
        Self {
            limit,
            queues: BTreeMap::new(),
            by_wtxid: BTreeMap::new(),
            by_txid: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            ends: BTreeSet::new(),
            fronts: BTreeSet::new(),
            rates: Rates::default(),
            bytes: 0,
            memory: 0,
            floor: Floor::default(),
        }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_wtxid.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_wtxid.is_empty()
    }

    /// Their bytes together, as they travel.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The memory that they take, indexes included.
    #[must_use]
    pub const fn memory(&self) -> u64 {
        self.memory
    }

    /// The memory that they may take.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// The least fee per 1,000 weight that a newcomer must pay, whatever the next block burns.
    #[must_use]
    pub fn floor(&self, rules: &Rules, now: Time) -> u64 {
        let floor = self.floor.at(now, self.memory, self.limit);
        floor.rate(rules).div_ceil(1_000)
    }

    /// The transaction with these bytes.
    #[must_use]
    pub fn get(&self, wtxid: &WtxId) -> Option<&Arc<CheckedTransaction>> {
        let (sender, nonce) = self.by_wtxid.get(wtxid)?;
        Some(&self.queues.get(sender)?.get(*nonce)?.checked)
    }

    /// The transaction of this id, whatever its signatures.
    #[must_use]
    pub fn get_txid(&self, txid: &TxId) -> Option<&Arc<CheckedTransaction>> {
        self.get(self.by_txid.get(txid)?)
    }

    /// Whether a transaction with this id waits, whatever its signatures.
    #[must_use]
    pub fn has_txid(&self, txid: &TxId) -> bool {
        self.by_txid.contains_key(txid)
    }

    /// The ids of all, in their order.
    pub fn txids(&self) -> impl Iterator<Item = &TxId> {
        self.by_txid.keys()
    }

    /// Every transaction, by the identity of its bytes.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<CheckedTransaction>> {
        self.by_wtxid.keys().filter_map(|wtxid| self.get(wtxid))
    }

    /// The nonce that the account's next transaction needs, with what waits already.
    pub fn next_nonce(
        &self,
        view: WatchedView<'_>,
        account: &AccountId,
    ) -> Result<Option<Nonce>, PageError> {
        let waiting = self.queues.get(account).map_or(0, Queue::len);
        let account = view.account(account)?;
        Ok(account.map(|account| Nonce(account.nonce.0 + waiting as u64)))
    }

    /// Notes that somebody outside was promised that a transaction is kept: from now on it goes
    /// for room only when nothing else is left. What its account has before it is needed for it
    /// and is promised with it. Gives those that were not promised before, in order.
    pub fn promise(&mut self, txid: &TxId) -> Vec<Arc<CheckedTransaction>> {
        let wtxid = self.by_txid.get(txid);
        let Some((sender, nonce)) = wtxid.and_then(|wtxid| self.by_wtxid.get(wtxid)).copied()
        else {
            return Vec::new();
        };
        let mut queue = self.take(&sender);
        let last = queue.place(nonce).unwrap_or(0);
        let mut promised = Vec::new();
        for place in 0..=last {
            if let Some(waiting) = queue.at(place).filter(|waiting| !waiting.promised) {
                promised.push(Arc::clone(&waiting.checked));
                queue.promise(place);
            }
        }
        self.put(sender, queue);
        promised
    }

    /// Those that an account has before one that is promised and that are not promised
    /// themselves, as a block that was given back may leave them.
    #[must_use]
    pub fn needs_promise(&self, account: &AccountId) -> Option<TxId> {
        let queue = self.queues.get(account)?;
        let last = queue.iter().rposition(|waiting| waiting.promised)?;
        let open = queue.iter().take(last).any(|waiting| !waiting.promised);
        let last = queue.at(last)?.checked.txid;
        open.then_some(last)
    }

    /// Takes an account's queue out of the order of ends, to be changed.
    fn take(&mut self, account: &AccountId) -> Queue {
        let Some(queue) = self.queues.remove(account) else {
            return Queue::default();
        };
        self.memory -= queue.memory();
        if let Some(last) = queue.chunks().last() {
            self.ends.remove(&End {
                promised: last.promised,
                rate: last.least_rate,
                account: *account,
            });
        }
        if let Some(first) = queue.chunks().first() {
            self.fronts.remove(&(first.rate(), Reverse(*account)));
        }
        for chunk in queue.chunks() {
            self.rates.remove(chunk.least_rate, chunk.weight);
        }
        queue
    }

    /// Puts an account's queue back.
    fn put(&mut self, account: AccountId, mut queue: Queue) {
        if queue.is_empty() {
            return;
        }
        queue.arrange();
        self.memory += queue.memory();
        if let Some(last) = queue.chunks().last() {
            self.ends.insert(End {
                promised: last.promised,
                rate: last.least_rate,
                account,
            });
        }
        if let Some(first) = queue.chunks().first() {
            self.fronts.insert((first.rate(), Reverse(account)));
        }
        for chunk in queue.chunks() {
            self.rates.add(chunk.least_rate, chunk.weight);
        }
        self.queues.insert(account, queue);
    }

    fn index(&mut self, checked: &CheckedTransaction) {
        let nonce = checked.transaction.nonce;
        self.by_wtxid.insert(checked.wtxid, (checked.sender, nonce));
        self.by_txid.insert(checked.txid, checked.wtxid);
        let expiry = checked.transaction.expiry;
        if expiry != Height(0) {
            self.by_expiry.insert((expiry, checked.wtxid));
        }
        self.bytes += u64::from(checked.bytes);
    }

    fn unindex(&mut self, checked: &CheckedTransaction) {
        self.by_wtxid.remove(&checked.wtxid);
        self.by_txid.remove(&checked.txid);
        self.by_expiry
            .remove(&(checked.transaction.expiry, checked.wtxid));
        self.bytes -= u64::from(checked.bytes);
    }

    /// The mempool as a value.
    #[must_use]
    pub fn snapshot(&self) -> MempoolSnapshot {
        let queues = self.queues.values().flat_map(Queue::iter);
        MempoolSnapshot {
            limit: self.limit,
            waiting: queues
                .map(|waiting| (waiting.checked.transaction.clone(), waiting.promised))
                .collect(),
            floor: self.floor,
        }
    }

    /// The mempool of a snapshot, on the same chain.
    #[must_use]
    pub fn restore(snapshot: MempoolSnapshot, genesis: &crate::types::GenesisId) -> Self {
        let mut mempool = Self {
            floor: snapshot.floor,
            ..Self::with_limit(snapshot.limit)
        };
        let mut queues: BTreeMap<AccountId, Queue> = BTreeMap::new();
        for (transaction, promised) in snapshot.waiting {
            let checked = Arc::new(CheckedTransaction::new(transaction, genesis));
            mempool.index(&checked);
            let queue = queues.entry(checked.sender).or_default();
            queue.push(Waiting { checked, promised });
        }
        for (account, queue) in queues {
            mempool.put(account, queue);
        }
        mempool
    }
}

#[cfg(test)]
mod tests;
