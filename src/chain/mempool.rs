//! Valid transactions that wait for a block: for each account a queue by nonce, without gaps.
//!
//! *Invariants*: the nonces of a queue follow the account's nonce at the tip without a gap; what
//! the queue spends together never exceeds the account's balance at the tip, so that every
//! transaction in it can be mined, and nobody relays more than their money pays for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::types::{AccountId, Height, Nonce, Rules, TxId, WtxId};

use super::ledger::{Ahead, ExecutionError, StateView, TransactionFault, check_transaction};
use super::state::PageError;
use super::{CheckedBlock, CheckedTransaction};

/// How many transactions of one account may wait.
pub const QUEUE_MAX: usize = 64;
/// How many bytes of transactions may wait.
pub const BYTES_MAX: u64 = 64 << 20;
/// Why a transaction does not get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It can't be valid now.
    Invalid(TransactionFault),
    /// It is there already.
    Known,
    /// Another transaction of the same account and nonce waits, and pays as much or more.
    Conflict {
        /// The transaction that stays.
        with: TxId,
        /// The fee that would replace it.
        needed: u64,
    },
    /// As many transactions of the account wait as may.
    QueueFull,
    /// As many bytes wait as may.
    Full,
    /// The state can't be read, which says nothing about the transaction.
    Failure(PageError),
}

impl From<ExecutionError<TransactionFault>> for Refusal {
    fn from(error: ExecutionError<TransactionFault>) -> Self {
        match error {
            ExecutionError::Fault(fault) => Self::Invalid(fault),
            ExecutionError::Failure(error) => Self::Failure(error),
        }
    }
}

impl From<PageError> for Refusal {
    fn from(error: PageError) -> Self {
        Self::Failure(error)
    }
}

/// What changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Transactions that left for good without being mined.
    pub gone: Vec<WtxId>,
}

/// The transactions that wait.
#[derive(Default)]
pub struct Mempool {
    queues: BTreeMap<AccountId, BTreeMap<Nonce, Arc<CheckedTransaction>>>,
    by_wtxid: BTreeMap<WtxId, (AccountId, Nonce)>,
    by_txid: BTreeMap<TxId, WtxId>,
    bytes: u64,
}

impl Mempool {
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

    /// Their bytes together.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The transaction with these bytes.
    #[must_use]
    pub fn get(&self, wtxid: &WtxId) -> Option<&Arc<CheckedTransaction>> {
        let (sender, nonce) = self.by_wtxid.get(wtxid)?;
        self.queues.get(sender)?.get(nonce)
    }

    /// Whether a transaction with this id waits, whatever its signatures.
    #[must_use]
    pub fn has_txid(&self, txid: &TxId) -> bool {
        self.by_txid.contains_key(txid)
    }

    /// The bytes under which a transaction of this id waits.
    #[must_use]
    pub fn wtxid_of(&self, txid: &TxId) -> Option<WtxId> {
        self.by_txid.get(txid).copied()
    }

    /// Every transaction, by the identity of its bytes.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<CheckedTransaction>> {
        self.by_wtxid.keys().filter_map(|wtxid| self.get(wtxid))
    }

    /// The nonce that the account's next transaction needs, with what waits already.
    pub fn next_nonce(
        &self,
        view: &StateView,
        account: &AccountId,
    ) -> Result<Option<Nonce>, PageError> {
        let waiting = self.queues.get(account).map_or(0, BTreeMap::len);
        let account = view.account(account)?;
        Ok(account.map(|account| Nonce(account.nonce.0 + waiting as u64)))
    }

    /// Takes a transaction for the block of this height and base fee, if it can be mined after
    /// those of its account that wait already.
    /// Gives the transaction that it replaces.
    pub fn add(
        &mut self,
        view: &StateView,
        rules: &Rules,
        next: (Height, u64),
        checked: &Arc<CheckedTransaction>,
    ) -> Result<Option<WtxId>, Refusal> {
        if self.by_txid.contains_key(&checked.txid) {
            return Err(Refusal::Known);
        }
        let replaced = self.check(view, rules, next, checked)?;
        let freed = replaced.as_ref().map_or(0, |old| u64::from(old.bytes));
        if self.bytes - freed + u64::from(checked.bytes) > BYTES_MAX {
            return Err(Refusal::Full);
        }
        if let Some(old) = &replaced {
            self.forget(old);
        }
        let nonce = checked.transaction.nonce;
        self.by_wtxid.insert(checked.wtxid, (checked.sender, nonce));
        self.by_txid.insert(checked.txid, checked.wtxid);
        self.queues
            .entry(checked.sender)
            .or_default()
            .insert(nonce, Arc::clone(checked));
        self.bytes += u64::from(checked.bytes);
        Ok(replaced.map(|old| old.wtxid))
    }

    /// The rules of admission; gives the transaction that would be replaced.
    fn check(
        &self,
        view: &StateView,
        rules: &Rules,
        next: (Height, u64),
        checked: &Arc<CheckedTransaction>,
    ) -> Result<Option<Arc<CheckedTransaction>>, Refusal> {
        use Refusal::Invalid;
        let (height, base_fee) = next;
        let transaction = &checked.transaction;
        let unknown = TransactionFault::UnknownSender {
            account: checked.sender,
        };
        let account = view.account(&checked.sender)?.ok_or(Invalid(unknown))?;
        let empty = BTreeMap::new();
        let queue = self.queues.get(&checked.sender).unwrap_or(&empty);
        let wanted = Nonce(account.nonce.0 + queue.len() as u64);
        let found = transaction.nonce;
        if found < account.nonce || found > wanted {
            return Err(Invalid(TransactionFault::Nonce { wanted, found }));
        }
        let replaced = queue.get(&found);
        if replaced.is_none() && queue.len() >= QUEUE_MAX {
            return Err(Refusal::QueueFull);
        }
        if let Some(old) = replaced {
            // More by the floor for its own bytes, so that each replacement pays its relay.
            let relay = rules.base_fee_min * checked.weight.0 / 1_000;
            let needed = old.transaction.fee.0.saturating_add(relay.max(1));
            if transaction.fee.0 < needed || checked.fee_rate() <= old.fee_rate() {
                return Err(Refusal::Conflict {
                    with: old.txid,
                    needed,
                });
            }
        }
        let spends = |checked: &CheckedTransaction| {
            checked.transaction.amount_sum() + u128::from(checked.transaction.fee.0)
        };
        let others = queue
            .values()
            .filter(|other| other.transaction.nonce != found);
        let ahead = Ahead {
            transactions: found.0 - account.nonce.0,
            spent: others.map(|other| spends(other)).sum(),
        };
        check_transaction(view, rules, height, base_fee, &ahead, checked)?;
        Ok(replaced.cloned())
    }

    fn forget(&mut self, checked: &CheckedTransaction) {
        let nonce = checked.transaction.nonce;
        if let Some(queue) = self.queues.get_mut(&checked.sender) {
            queue.remove(&nonce);
            if queue.is_empty() {
                self.queues.remove(&checked.sender);
            }
        }
        self.by_wtxid.remove(&checked.wtxid);
        self.by_txid.remove(&checked.txid);
        self.bytes -= u64::from(checked.bytes);
    }

    /// Puts back a transaction that a snapshot of this mempool had, without any check.
    pub fn restore(&mut self, checked: Arc<CheckedTransaction>) {
        let nonce = checked.transaction.nonce;
        self.by_wtxid.insert(checked.wtxid, (checked.sender, nonce));
        self.by_txid.insert(checked.txid, checked.wtxid);
        self.bytes += u64::from(checked.bytes);
        self.queues
            .entry(checked.sender)
            .or_default()
            .insert(nonce, checked);
    }

    /// Follows the tip: what blocks took leaves, what blocks gave back returns, and of every
    /// account they touched only what can still be mined stays.
    pub fn follow(
        &mut self,
        view: &StateView,
        rules: &Rules,
        next: Height,
        disconnected: &[Arc<CheckedBlock>],
        connected: &[Arc<CheckedBlock>],
    ) -> Removed {
        let mut touched = BTreeSet::new();
        let mut mined = BTreeSet::new();
        for block in connected {
            mined.extend(block.transactions.iter().map(|checked| checked.txid));
            touched.extend(block.transactions.iter().map(|checked| checked.sender));
        }
        let mut returning = Vec::new();
        for block in disconnected {
            touched.extend(block.transactions.iter().map(|checked| checked.sender));
            returning.extend(block.transactions.iter().cloned());
        }
        if !disconnected.is_empty() {
            // Money that a lost block brought, or an account that it created, may be gone: any
            // queue may rest on it. Reorganisations are rare enough to look at all.
            touched.extend(self.queues.keys());
        }
        // Blocks are few and accounts many: expiry is looked at for all, the rest for those that
        // a block touched.
        let expired = |checked: &CheckedTransaction| {
            let expiry = checked.transaction.expiry;
            expiry.0 != 0 && expiry < next
        };
        touched.extend(
            self.iter()
                .filter(|checked| expired(checked))
                .map(|c| c.sender),
        );
        for account in &touched {
            let queue = self.queues.get(account).cloned().unwrap_or_default();
            for checked in queue.values() {
                self.forget(checked);
                returning.push(Arc::clone(checked));
            }
        }
        returning.sort_by_key(|checked| {
            (
                checked.sender,
                checked.transaction.nonce,
                Reverse(checked.fee_rate()),
            )
        });
        let mut removed = Removed::default();
        for checked in returning {
            if mined.contains(&checked.txid) {
                continue;
            }
            // What a block needs may have risen since a transaction was accepted: it waits then,
            // and is not lost. So the base fee is looked at once, when it comes.
            match self.add(view, rules, (next, 0), &checked) {
                Ok(replaced) => removed.gone.extend(replaced),
                Err(Refusal::Known) => {}
                // It was promised, and nothing is known against it.
                Err(Refusal::Failure(_)) => self.restore(checked),
                Err(_) => removed.gone.push(checked.wtxid),
            }
        }
        removed
    }

    /// Transactions for a block, the best paying first and each account's in order, until they
    /// weigh `limit`.
    #[must_use]
    pub fn candidates(&self, limit: u64) -> Vec<Arc<CheckedTransaction>> {
        let head = |checked: &Arc<CheckedTransaction>| {
            (
                checked.fee_rate(),
                Reverse((checked.sender, checked.transaction.nonce)),
            )
        };
        let first = |queue: &BTreeMap<Nonce, _>| queue.values().next().map(head);
        let mut heads: BTreeSet<_> = self.queues.values().filter_map(first).collect();
        let (mut chosen, mut weight) = (Vec::new(), 0);
        while let Some((_, Reverse((sender, nonce)))) = heads.pop_last() {
            let Some(queue) = self.queues.get(&sender) else {
                continue;
            };
            let Some(checked) = queue.get(&nonce) else {
                continue;
            };
            if weight + checked.weight.0 > limit {
                continue;
            }
            weight += checked.weight.0;
            chosen.push(Arc::clone(checked));
            heads.extend(queue.get(&Nonce(nonce.0 + 1)).map(head));
        }
        chosen
    }
}

#[cfg(test)]
mod tests;
