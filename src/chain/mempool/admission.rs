//! The rules for newcomers.

use std::sync::Arc;

use crate::base::Time;
use crate::chain::ledger::{Ahead, ExecutionError, TransactionFault, check_transaction};
use crate::chain::state::PageError;
use crate::chain::{CheckedTransaction, fee_rate};
use crate::types::{Amount, GenesisId, Height, Nonce, Rules, Transaction, TxId, Weight};

use super::floor::{self, Floor};
use super::queue::{Queue, Waiting, spends};
use super::{Leaving, Left, Mempool, Next};

/// How many transactions of one account may wait. Those that a block gave back may be more.
pub const QUEUE_MAX: usize = 64;
/// How many blocks must be left to a transaction that expires, so that it is not carried around
/// for nothing.
pub const EXPIRY_AHEAD_MIN: u64 = 10;

/// Who brings a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A peer.
    Peer,
    /// Somebody outside, to whom it is promised that it is kept.
    Caller,
}

/// Why a transaction does not get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It can't be valid now.
    Invalid(TransactionFault),
    /// It is there already.
    Known,
    /// Another transaction of the same account and nonce waits, and this one does not pay enough
    /// to replace it and what has to go with it.
    Conflict {
        /// The transaction that stays.
        with: TxId,
        /// The fee that would replace it.
        needed: u64,
    },
    /// As many transactions of the account wait as may.
    QueueFull,
    /// It expires too soon to be passed on.
    ExpiresSoon {
        /// The last height at which it may be mined.
        expiry: Height,
        /// The earliest that is let in.
        least: Height,
    },
    /// There is no room for what pays so little.
    Full {
        /// The fee that would find room.
        needed: u64,
    },
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

/// The place that a newcomer would take in its account's queue.
struct Place {
    at: usize,
    /// Everything from here on goes, besides the one that it replaces.
    kept: usize,
}

impl Mempool {
    /// Takes a transaction for the next block, if it can be mined after those of its account that
    /// wait already. Gives what left for it.
    pub fn add(
        &mut self,
        next: &Next<'_>,
        checked: &Arc<CheckedTransaction>,
        origin: Origin,
    ) -> Result<Vec<Left>, Refusal> {
        let place = self.place_for(next, checked)?;
        let sender = checked.sender;
        let mut queue = self.take(&sender);
        let before = queue.clone();
        let mut gone = queue.split_off(place.kept);
        let mut behind = queue.split_off(place.at);
        let newcomer = Waiting {
            checked: Arc::clone(checked),
            promised: origin == Origin::Caller,
        };
        queue.push(newcomer);
        let mut behind = behind.drain(..);
        gone.extend(behind.next());
        behind.for_each(|waiting| queue.push(waiting));
        self.put(sender, queue);
        let victims = match self.plan_room(checked) {
            Ok(victims) => victims,
            Err(rate) => {
                let with = self.take(&sender).memory();
                let more = with.saturating_sub(before.memory());
                self.put(sender, before);
                if let Some(rate) = rate {
                    self.floor.raise(rate, next.rules, next.now);
                }
                let rate = self.rate_of_room(more);
                return Err(full(next.rules, &self.floor, checked.weight, rate));
            }
        };
        let by = checked.txid;
        for old in &gone {
            self.unindex(&old.checked);
        }
        self.index(checked);
        let replaced = gone.into_iter();
        let mut left: Vec<Left> = replaced
            .map(|old| Left::new(old, Leaving::Replaced { by }))
            .collect();
        left.extend(self.make_room(&victims, next));
        Ok(left)
    }

    /// What of the rules of admission needs neither the transaction's account nor its signatures:
    /// what refuses here has cost next to nothing.
    pub fn look_at(
        &self,
        (rules, height): (&Rules, Height),
        transaction: &Transaction,
        genesis: &GenesisId,
        now: Time,
    ) -> Result<(), Refusal> {
        let found = transaction.nonce;
        let queue = self.queues.get(&transaction.sender());
        let held = queue.and_then(|queue| Some(queue.get(found)?.checked.txid));
        // What waits is known, whatever is asked of newcomers by now.
        if held.is_some() && held == Some(transaction.txid(genesis)) {
            return Err(Refusal::Known);
        }
        let weight = transaction.weight();
        let floor = self.floor.at(now, self.memory, self.limit);
        check_terms((rules, height), &floor, transaction, weight)?;
        let Some(queue) = queue else {
            return Ok(());
        };
        let first = queue.at(0).map_or(found, |it| it.checked.transaction.nonce);
        let wanted = Nonce(first.0 + queue.len() as u64);
        if found < first || found.0 - first.0 > queue.len().max(QUEUE_MAX) as u64 {
            let fault = TransactionFault::Nonce { wanted, found };
            return Err(Refusal::Invalid(fault));
        }
        let Some(place) = queue.place(found) else {
            return Ok(());
        };
        // More may have to go with the one of its nonce, for which it would have to pay more yet.
        let going = std::iter::once(place);
        replaces(rules, queue, going, (transaction.fee, weight))
    }

    /// Why a transaction that would be [added](Self::add) is refused, but for room, if it is.
    pub fn refusal(&mut self, next: &Next<'_>, checked: &CheckedTransaction) -> Option<Refusal> {
        self.place_for(next, checked).err()
    }

    /// The rules of admission, cheapest first: everything but the room.
    fn place_for(
        &mut self,
        next: &Next<'_>,
        checked: &CheckedTransaction,
    ) -> Result<Place, Refusal> {
        if self.has_txid(&checked.txid) {
            return Err(Refusal::Known);
        }
        self.fade(next.now);
        let transaction = &checked.transaction;
        let block = (next.rules, next.height);
        check_terms(block, &self.floor, transaction, checked.weight)?;
        let unknown = TransactionFault::UnknownSender {
            account: checked.sender,
        };
        let account = next.view.account(&checked.sender)?;
        let account = account.ok_or(Refusal::Invalid(unknown))?;
        let empty = Queue::default();
        let queue = self.queues.get(&checked.sender).unwrap_or(&empty);
        let wanted = Nonce(account.nonce.0 + queue.len() as u64);
        let found = transaction.nonce;
        if found < account.nonce || found > wanted {
            return Err(Refusal::Invalid(TransactionFault::Nonce { wanted, found }));
        }
        let at = (found.0 - account.nonce.0) as usize;
        if at == queue.len() && at >= QUEUE_MAX {
            return Err(Refusal::QueueFull);
        }
        // What its account has behind the one that it replaces stays as far as the money goes.
        let own = spends(checked);
        let replaced = queue.at(at).map_or(0, Waiting::spends);
        let mut spent = queue.spent() - replaced;
        let mut kept = queue.len();
        while spent + own > u128::from(account.balance.0) && kept > at + 1 {
            kept -= 1;
            spent -= queue.at(kept).map_or(0, Waiting::spends);
        }
        let ahead = Ahead {
            transactions: at as u64,
            spent,
        };
        check_transaction(
            &next.view,
            next.rules,
            next.height,
            next.base_fee,
            &ahead,
            checked,
        )?;
        if at < queue.len() {
            let going = std::iter::once(at).chain(kept..queue.len());
            replaces(next.rules, queue, going, (transaction.fee, checked.weight))?;
        }
        Ok(Place { at, kept })
    }
}

/// What a newcomer to the mempool must offer, whoever its account is: time and a fee.
fn check_terms(
    (rules, height): (&Rules, Height),
    floor: &Floor,
    transaction: &Transaction,
    weight: Weight,
) -> Result<(), Refusal> {
    let least = Height(height.0.saturating_add(EXPIRY_AHEAD_MIN - 1));
    let expiry = transaction.expiry;
    if expiry != Height(0) && expiry < height {
        return Err(Refusal::Invalid(TransactionFault::Expired {
            expiry,
            height,
        }));
    }
    if expiry != Height(0) && expiry < least {
        return Err(Refusal::ExpiresSoon { expiry, least });
    }
    if fee_rate(transaction.fee, weight) < floor.rate(rules) {
        return Err(full(rules, floor, weight, 0));
    }
    Ok(())
}

/// The refusal of what finds no room, with what would be enough now.
fn full(rules: &Rules, floor: &Floor, weight: Weight, rate: u64) -> Refusal {
    let rate = floor
        .rate(rules)
        .max(rate.saturating_add(floor::step(rules)));
    let needed = (u128::from(rate) * u128::from(weight.0)).div_ceil(1_000_000);
    Refusal::Full {
        needed: u64::try_from(needed).unwrap_or(u64::MAX),
    }
}

/// Whether a newcomer may replace what would have to go: it pays a higher rate than each, and
/// more in sum, by the floor for its own bytes, so that each replacement pays its relay.
fn replaces(
    rules: &Rules,
    queue: &Queue,
    going: impl Iterator<Item = usize>,
    (fee, weight): (Amount, Weight),
) -> Result<(), Refusal> {
    let (mut fees, mut rate, mut with) = (0_u128, 0, None);
    for old in going.filter_map(|place| queue.at(place)) {
        fees += u128::from(old.checked.transaction.fee.0);
        rate = rate.max(old.checked.fee_rate());
        with = with.or(Some(old.checked.txid));
    }
    let weight = u128::from(weight.0);
    let relay = (u128::from(floor::step(rules)) * weight).div_ceil(1_000_000);
    let better = (u128::from(rate) + 1) * weight;
    let needed = (fees + relay).max(better.div_ceil(1_000_000));
    let needed = u64::try_from(needed).unwrap_or(u64::MAX);
    match with {
        Some(with) if fee.0 < needed => Err(Refusal::Conflict { with, needed }),
        _ => Ok(()),
    }
}
