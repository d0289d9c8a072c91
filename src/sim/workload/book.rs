//! What was paid, what was acknowledged, and what may have taken its place.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::base::Time;
use crate::codec::Encode;
use crate::node::CallError;
use crate::sim::NodeIndex;
use crate::types::{
    AccountId, Amount, GenesisId, Height, Nonce, Op, Transaction, TxId, WtxId, wtxid_of,
};

/// How many different reasons of refusals are counted apart.
const REASONS_MAX: usize = 32;

/// What is special about a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PaymentKind {
    /// Nothing: to an account that pays too.
    Plain,
    /// To an account that does not exist.
    Fresh,
    /// It pays nobody and anchors bytes.
    Data,
    /// It pays more to take the place of one that waits.
    Replacement,
    /// It does so too, and pays somebody else.
    Redirected,
    /// It expires soon.
    Expiring,
    /// It is one of two of the same nonce, made at once at two nodes.
    DoubleSpend,
}

impl PaymentKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Plain,
        Self::Fresh,
        Self::Data,
        Self::Replacement,
        Self::Redirected,
        Self::Expiring,
        Self::DoubleSpend,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Fresh => "fresh",
            Self::Data => "data",
            Self::Replacement => "replacement",
            Self::Redirected => "redirected",
            Self::Expiring => "expiring",
            Self::DoubleSpend => "double spend",
        }
    }
}

impl fmt::Display for PaymentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A payment that was handed to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its id for people.
    pub txid: TxId,
    /// The identity of its bytes.
    pub wtxid: WtxId,
    /// Whose it is.
    pub account: AccountId,
    /// Its place among the account's.
    pub nonce: Nonce,
    /// What it pays beyond the amounts.
    pub fee: Amount,
    /// The last height it is valid at; 0 means that it never expires.
    pub expiry: Height,
    /// What it does.
    pub ops: Vec<Op>,
    /// What is special about it.
    pub kind: PaymentKind,
    /// When it was made.
    pub made: Time,
    /// The transaction.
    pub bytes: Arc<[u8]>,
}

impl Payment {
    /// A payment of a signed transaction.
    #[must_use]
    pub fn new(
        transaction: &Transaction,
        kind: PaymentKind,
        genesis: &GenesisId,
        made: Time,
    ) -> Self {
        let bytes: Arc<[u8]> = transaction.to_bytes().into();
        Self {
            txid: transaction.txid(genesis),
            wtxid: wtxid_of(&bytes),
            account: transaction.sender(),
            nonce: transaction.nonce,
            fee: transaction.fee,
            expiry: transaction.expiry,
            ops: transaction.ops.clone(),
            kind,
            made,
            bytes,
        }
    }

    /// What it moves.
    #[must_use]
    pub fn amount_sum(&self) -> u128 {
        let amount = |op: &Op| match op {
            Op::Transfer { amount, .. } => u128::from(amount.0),
            Op::Data(_) => 0,
        };
        self.ops.iter().map(amount).sum()
    }

    /// What it takes from its account.
    #[must_use]
    pub fn spends(&self) -> u128 {
        self.amount_sum() + u128::from(self.fee.0)
    }
}

/// A promise: a node said that it accepted a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The payment.
    pub payment: Arc<Payment>,
    /// The node.
    pub by: NodeIndex,
    /// When it was asked.
    pub asked: Time,
    /// When the answer was noticed.
    pub at: Time,
}

/// Where a node has a transaction, by its answer to
/// [`Question::Transaction`](crate::node::Question::Transaction).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a block of the best chain.
    Included,
    /// In the mempool, or set aside until it can be mined.
    Kept,
    /// Nowhere any more.
    Nowhere,
}

/// What a node shows of an account at its tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The height of the tip.
    pub height: Height,
    /// The account's nonce.
    pub nonce: u64,
    /// The account's balance.
    pub balance: u64,
}

/// What explains that a payment is gone, besides its account.
#[derive(Clone, Copy)]
pub struct Excuses<'a> {
    /// Which would have to pay for more accounts than they do, as a reorganisation may have it.
    pub is_short: &'a dyn Fn(&Payment) -> bool,
    /// Which pay so little that the node may have let them go for room.
    pub is_cheap: &'a dyn Fn(&Payment) -> bool,
    /// Whose promises nobody is held to.
    pub is_void: &'a dyn Fn(NodeIndex) -> bool,
}

/// What became of a payment that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is in the chain.
    Included,
    /// The node still has it.
    Kept,
    /// Its account's other payment of this nonce took its place.
    Replaced,
    /// It can be in no block any more.
    Expired,
    /// It, or one of its account before it, pays so little that it may have gone for room.
    Evicted,
    /// One of its account before it was replaced, expired or never acknowledged.
    Stranded,
    /// Its account does not have what it spends, or it does not pay for an account that it would
    /// create.
    Unfunded,
    /// Nothing explains that it is gone: the promise is broken.
    Lost,
}

/// Counts of what was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadCounts {
    /// Payments handed to a node, by kind.
    pub made: BTreeMap<PaymentKind, u64>,
    /// Payments that a node acknowledged, by kind.
    pub acknowledged: BTreeMap<PaymentKind, u64>,
    /// Refusals, by what a node said, without the numbers.
    pub refused: BTreeMap<&'static str, u64>,
    /// Payments without an answer: their nodes were killed.
    pub unanswered: u64,
    /// Payments that were due and that nobody could make: no node was there, or no money.
    pub missed: u64,
}

/// The book of all payments.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Everything ever made, by account and nonce, in the order in which it was made.
    made: BTreeMap<(AccountId, u64), Vec<Arc<Payment>>>,
    pub(super) acknowledged: Vec<Acknowledged>,
    pub(super) counts: WorkloadCounts,
}

impl Book {
    pub(super) fn made(&mut self, payment: &Arc<Payment>) {
        *self.counts.made.entry(payment.kind).or_default() += 1;
        let place = (payment.account, payment.nonce.0);
        let rivals = self.made.entry(place).or_default();
        rivals.push(Arc::clone(payment));
    }

    pub(super) fn accepted(&mut self, acknowledged: Acknowledged) {
        let kind = acknowledged.payment.kind;
        *self.counts.acknowledged.entry(kind).or_default() += 1;
        self.acknowledged.push(acknowledged);
    }

    pub(super) fn refused(&mut self, payment: &Payment, error: &CallError) {
        let reasons = &mut self.counts.refused;
        let reason = reason_of(error);
        if reasons.len() < REASONS_MAX || reasons.contains_key(reason) {
            *reasons.entry(reason).or_default() += 1;
        }
        // What a node refused it never had, so that it explains nobody's absence; what it took and
        // gave up again may have gone on to others.
        let place = (payment.account, payment.nonce.0);
        if !matches!(error, CallError::Gone(_))
            && let Some(rivals) = self.made.get_mut(&place)
        {
            // Two that were drawn alike are one transaction, which another node may have taken.
            if let Some(place) = rivals.iter().position(|rival| rival.txid == payment.txid) {
                rivals.remove(place);
            }
            if rivals.is_empty() {
                self.made.remove(&place);
            }
        }
    }

    /// The newest payment of this account and nonce.
    pub(super) fn latest(&self, account: &AccountId, nonce: Nonce) -> Option<Arc<Payment>> {
        let rivals = self.made.get(&(*account, nonce.0))?;
        rivals.last().map(Arc::clone)
    }

    /// What an account's payments from this nonce on take together.
    pub(super) fn spent_from(&self, account: &AccountId, nonce: u64) -> u128 {
        let range = (*account, nonce)..=(*account, u64::MAX);
        let newest = |rivals: &Vec<Arc<Payment>>| rivals.last().map_or(0, |last| last.spends());
        self.made
            .range(range)
            .map(|(_, rivals)| newest(rivals))
            .sum()
    }

    /// What became of an acknowledged payment, by what a node shows of its account, and where it
    /// has each transaction.
    pub(super) fn standing(
        &self,
        acknowledged: &Acknowledged,
        facts: &Facts,
        place: &dyn Fn(&TxId) -> Place,
        excuses: &Excuses<'_>,
    ) -> Standing {
        let payment = &acknowledged.payment;
        match place(&payment.txid) {
            Place::Included => return Standing::Included,
            Place::Kept => return Standing::Kept,
            Place::Nowhere => {}
        }
        let is_late = |of: &Payment| of.expiry != Height(0) && facts.height >= of.expiry;
        if is_late(payment) {
            return Standing::Expired;
        }
        let rivals = self.at(&payment.account, payment.nonce.0);
        let mut rivals = rivals
            .iter()
            .filter(|rival| rival.txid != payment.txid)
            .peekable();
        if facts.nonce > payment.nonce.0 {
            // Nobody else can have used the nonce; nodes forget which transaction old blocks have.
            return match rivals.peek() {
                None => Standing::Included,
                Some(_) => Standing::Replaced,
            };
        }
        // One that took its place and may go by itself leaves nothing that anybody owes.
        let Excuses {
            is_short,
            is_cheap,
            is_void,
        } = excuses;
        let may_go = |of: &Arc<Payment>| is_late(of) || is_short(of) || is_cheap(of);
        if rivals.any(|rival| may_go(rival) || place(&rival.txid) != Place::Nowhere) {
            return Standing::Replaced;
        }
        // What is cheap takes along what its account has behind it, however much that pays.
        let up_to_it = (payment.account, 0)..=(payment.account, payment.nonce.0);
        let mut up_to_it = self.made.range(up_to_it).flat_map(|(_, made)| made);
        if up_to_it.any(|of| is_cheap(of)) {
            return Standing::Evicted;
        }
        let mut spent = self.most_at(&payment.account, payment.nonce.0);
        for nonce in facts.nonce..payment.nonce.0 {
            let before = self.at(&payment.account, nonce);
            let is_kept = |of: &Arc<Payment>| place(&of.txid) != Place::Nowhere;
            let is_held_to = |entry: &Acknowledged| {
                let is_before = before.iter().any(|of| of.txid == entry.payment.txid);
                is_before && !is_void(entry.by)
            };
            // One that is owed and gone is its own loss and not the excuse of what follows. Nobody
            // owes what has or may have given way to one that expired, what does not pay for the
            // accounts that it would create, or what was only promised by nodes whose disks went.
            let is_owed = || !before.iter().any(may_go) && self.acknowledged.iter().any(is_held_to);
            if !before.iter().any(is_kept) && !is_owed() {
                return Standing::Stranded;
            }
            spent += self.most_at(&payment.account, nonce);
        }
        if spent > u128::from(facts.balance) || is_short(payment) {
            return Standing::Unfunded;
        }
        Standing::Lost
    }

    /// Every payment of this account and nonce that a node may have.
    pub(super) fn at(&self, account: &AccountId, nonce: u64) -> &[Arc<Payment>] {
        self.made.get(&(*account, nonce)).map_or(&[], Vec::as_slice)
    }

    /// The most that an account may have spent with this nonce.
    fn most_at(&self, account: &AccountId, nonce: u64) -> u128 {
        let payments = self.at(account, nonce).iter();
        payments.map(|payment| payment.spends()).max().unwrap_or(0)
    }
}

/// A refusal without its numbers.
fn reason_of(error: &CallError) -> &'static str {
    match error {
        CallError::Transaction(_) => "invalid",
        CallError::Malformed(_) => "malformed",
        CallError::Conflict { .. } => "conflict",
        CallError::QueueFull => "queue full",
        CallError::ExpiresSoon { .. } => "expires soon",
        CallError::MempoolFull { .. } => "mempool full",
        CallError::Gone(_) => "gone again",
        CallError::Starting => "starting",
        CallError::Busy => "busy",
        CallError::DiskFull => "disk full",
        CallError::Failed(_) => "failed",
        CallError::Block(_)
        | CallError::NotFound(_)
        | CallError::BansFull
        | CallError::NotKept(_) => "no answer to a payment",
    }
}
