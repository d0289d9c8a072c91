//! The payments of a devnet: who pays next, what became of each payment, and what is still owed
//! an answer. Pure bookkeeping; threads and sockets are the session's.
//!
//! A payer has one payment on its way at a time and makes the next when that one is in a block,
//! so that it always knows its nonce. A payment without an answer, because its node was killed
//! meanwhile, may have been accepted or not: the same bytes are sent again until a node accepts
//! them or they turn up in a block.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::base::{Rng, Span, Time};
use crate::codec::Encode;
use crate::types::{AccountId, Amount, GenesisId, Height, Nonce, TxId};
use crate::wallet;

use super::accounts::Account;

/// A payment can afford the base fee after this many full blocks in a row.
const FULL_BLOCKS: u32 = 10;
/// What a payment leaves to the miner.
const TIP: u64 = 100;
/// How long a payment without an answer rests before it is sent again.
const RETRY_AFTER: Span = Span::from_millis(1_000);
/// How long a payer rests whose payment was refused.
const REST_AFTER_REFUSAL: Span = Span::from_millis(2_000);
/// Payments that are this many blocks deep are only counted from then on.
const SETTLED_DEPTH: u64 = 1_000;
/// The different reasons of refusals that are counted apart.
const REASONS_MAX: usize = 16;

/// A payment on its way to a node.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    /// Its id.
    pub(super) txid: TxId,
    /// The transaction.
    pub(super) bytes: Arc<[u8]>,
}

/// What is known of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// On its way; the answer is awaited.
    Asked,
    /// Perhaps accepted, perhaps not.
    Unanswered,
    /// Accepted, in no block yet.
    Accepted,
    /// In a block of the best chain.
    Included(Height),
}

struct Entry {
    state: State,
    /// Whether a node said that it accepted it.
    accepted: bool,
    /// Whether its payer goes on to the next payment.
    moved_on: bool,
    payer: usize,
    from: AccountId,
    to: AccountId,
    amount: u64,
    made: Time,
    bytes: Arc<[u8]>,
}

/// A payment as people want to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Paid {
    pub(super) from: AccountId,
    pub(super) to: AccountId,
    pub(super) amount: u64,
    pub(super) height: Height,
    /// When it was made.
    pub(super) made: Time,
    /// When it was first seen in a block.
    pub(super) included: Time,
}

struct Payer {
    account: Account,
    nonce: Nonce,
}

/// What the payments came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Different payments made.
    pub(super) made: u64,
    /// Those that a node said it accepted.
    pub(super) accepted: u64,
    /// Those refused.
    pub(super) refused: u64,
    /// Those in the best chain now.
    pub(super) included: u64,
    /// Requests that got no answer; their payments were sent again.
    pub(super) unanswered: u64,
    /// Payments due that no payer was free to make.
    pub(super) missed: u64,
}

/// All payments of a devnet.
pub(super) struct Load {
    genesis_id: GenesisId,
    tps: u32,
    rng: Rng,
    payers: Vec<Payer>,
    idle: VecDeque<usize>,
    /// Payers resting after a refusal, by the time they are idle again.
    resting: VecDeque<(Time, usize)>,
    entries: BTreeMap<TxId, Entry>,
    /// Unanswered payments, by the time they are sent again.
    retries: VecDeque<(Time, TxId)>,
    counts: Counts,
    reasons: BTreeMap<String, u64>,
    /// Seconds from making to a block, in milliseconds, counted by value.
    latencies: BTreeMap<u64, u64>,
    first: Option<Paid>,
    latest: Option<Paid>,
}

impl Load {
    pub(super) fn new(genesis_id: GenesisId, tps: u32, seed: u64, payers: Vec<Account>) -> Self {
        let mut rng = Rng::from_number(seed).fork("devnet load");
        let mut idle: Vec<usize> = (0..payers.len()).collect();
        rng.shuffle(&mut idle);
        let payer = |account| Payer {
            account,
            nonce: Nonce(0),
        };
        Self {
            genesis_id,
            tps,
            rng,
            payers: payers.into_iter().map(payer).collect(),
            idle: idle.into(),
            resting: VecDeque::new(),
            entries: BTreeMap::new(),
            retries: VecDeque::new(),
            counts: Counts::default(),
            reasons: BTreeMap::new(),
            latencies: BTreeMap::new(),
            first: None,
            latest: None,
        }
    }

    /// How many payments are due when paying has gone on for `paying`. What is more than a second
    /// behind is given up and counted: a burst would not be the rate that was asked for.
    pub(super) fn due(&mut self, paying: Span) -> u64 {
        let wanted = paying.as_micros() * u64::from(self.tps) / 1_000_000;
        let behind = wanted.saturating_sub(self.counts.made + self.counts.missed);
        let given_up = behind.saturating_sub(u64::from(self.tps).max(1));
        self.counts.missed += given_up;
        behind - given_up
    }

    /// The next payment, at a chain whose base fee is `base_fee`; none while every payer waits.
    pub(super) fn make(&mut self, now: Time, base_fee: u64) -> Option<Payment> {
        while let Some((_, payer)) = pop_due(&mut self.resting, now) {
            self.idle.push_back(payer);
        }
        let number = self.idle.pop_front()?;
        let others = self.payers.len() as u64 - 1;
        let to = (number as u64 + 1 + self.rng.below(others.max(1))) % self.payers.len() as u64;
        let to = self.payers[to as usize].account.id;
        let amount = 1_000_000 * (1 + self.rng.below(1_000));
        let payer = &mut self.payers[number];
        let payment = wallet::Payment {
            nonce: payer.nonce,
            fee: Amount(wallet::least_fee(base_fee, FULL_BLOCKS, 0, false).0 + TIP),
            expiry: Height(0),
            to,
            amount: Amount(amount),
        };
        let transaction = payment.sign(&payer.account.key, &self.genesis_id);
        let txid = transaction.txid(&self.genesis_id);
        let bytes: Arc<[u8]> = transaction.to_bytes().into();
        let entry = Entry {
            state: State::Asked,
            accepted: false,
            moved_on: false,
            payer: number,
            from: payer.account.id,
            to,
            amount,
            made: now,
            bytes: Arc::clone(&bytes),
        };
        self.entries.insert(txid, entry);
        self.counts.made += 1;
        Some(Payment { txid, bytes })
    }

    /// A payment that got no answer and is due to be sent again.
    pub(super) fn retry(&mut self, now: Time) -> Option<Payment> {
        while let Some((_, txid)) = pop_due(&mut self.retries, now) {
            if let Some(entry) = self.entries.get_mut(&txid)
                && entry.state == State::Unanswered
            {
                return Some(Payment {
                    txid,
                    bytes: Arc::clone(&entry.bytes),
                });
            }
        }
        None
    }

    /// A node says that it accepted a payment.
    pub(super) fn accepted(&mut self, txid: TxId) {
        let Some(entry) = self.entries.get_mut(&txid) else {
            return;
        };
        if !entry.accepted {
            entry.accepted = true;
            self.counts.accepted += 1;
        }
        if matches!(entry.state, State::Asked | State::Unanswered) {
            entry.state = State::Accepted;
        }
    }

    /// A node refused a payment.
    pub(super) fn refused(&mut self, txid: TxId, reason: &str, now: Time) {
        let Some(entry) = self.entries.get_mut(&txid) else {
            return;
        };
        match entry.state {
            // It may have been accepted by the first node that it was sent to: this refusal says
            // no more than that it is not new.
            State::Unanswered => self.retries.push_back((now + RETRY_AFTER, txid)),
            State::Asked => {
                let payer = entry.payer;
                self.entries.remove(&txid);
                self.resting.push_back((now + REST_AFTER_REFUSAL, payer));
                self.counts.refused += 1;
                if self.reasons.len() < REASONS_MAX || self.reasons.contains_key(reason) {
                    *self.reasons.entry(reason.to_owned()).or_default() += 1;
                }
            }
            State::Accepted | State::Included(_) => {}
        }
    }

    /// A payment got no answer.
    pub(super) fn unanswered(&mut self, txid: TxId, now: Time) {
        self.counts.unanswered += 1;
        if let Some(entry) = self.entries.get_mut(&txid)
            && matches!(entry.state, State::Asked | State::Unanswered)
        {
            entry.state = State::Unanswered;
            self.retries.push_back((now + RETRY_AFTER, txid));
        }
    }

    /// The best chain has a new block.
    pub(super) fn connected(&mut self, height: Height, txids: &[TxId], now: Time) {
        for txid in txids {
            let Some(entry) = self.entries.get_mut(txid) else {
                continue;
            };
            if matches!(entry.state, State::Included(_)) {
                continue;
            }
            entry.state = State::Included(height);
            self.counts.included += 1;
            // After a reorganisation a payment comes back whose payer went on long ago.
            if !std::mem::replace(&mut entry.moved_on, true) {
                let payer = &mut self.payers[entry.payer];
                payer.nonce = Nonce(payer.nonce.0 + 1);
                self.idle.push_back(entry.payer);
                *self
                    .latencies
                    .entry(now.since(entry.made).as_millis())
                    .or_default() += 1;
            }
            let paid = Paid {
                from: entry.from,
                to: entry.to,
                amount: entry.amount,
                height,
                made: entry.made,
                included: now,
            };
            self.first.get_or_insert_with(|| paid.clone());
            self.latest = Some(paid);
        }
        if height.0.is_multiple_of(SETTLED_DEPTH) {
            let settled = height.0 - SETTLED_DEPTH;
            let kept =
                |entry: &Entry| !matches!(entry.state, State::Included(at) if at.0 <= settled);
            self.entries.retain(|_, entry| kept(entry));
        }
    }

    /// A block left the best chain.
    pub(super) fn disconnected(&mut self, txids: &[TxId], now: Time) {
        for txid in txids {
            let Some(entry) = self.entries.get_mut(txid) else {
                continue;
            };
            self.counts.included -= 1;
            entry.state = if entry.accepted {
                State::Accepted
            } else {
                self.retries.push_back((now + RETRY_AFTER, *txid));
                State::Unanswered
            };
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Payments whose answer is awaited or unknown.
    pub(super) fn open(&self) -> usize {
        let open = |entry: &&Entry| matches!(entry.state, State::Asked | State::Unanswered);
        self.entries.values().filter(open).count()
    }

    /// Accepted payments that must be found in the chain or a mempool.
    pub(super) fn promised(&self) -> impl Iterator<Item = TxId> + '_ {
        let accepted = self.entries.iter().filter(|(_, entry)| entry.accepted);
        accepted.map(|(txid, _)| *txid)
    }

    /// Why payments were refused, with how many times.
    pub(super) fn reasons(&self) -> &BTreeMap<String, u64> {
        &self.reasons
    }

    /// The time from making a payment to its first block that `percent` of payments took at most.
    pub(super) fn latency(&self, percent: u64) -> Option<Span> {
        let total: u64 = self.latencies.values().sum();
        let wanted = (total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.latencies.iter().find_map(|(millis, count)| {
            seen += count;
            (seen >= wanted).then_some(Span::from_millis(*millis))
        })
    }

    /// The first payment that was seen in a block.
    pub(super) fn first(&self) -> Option<&Paid> {
        self.first.as_ref()
    }

    /// The latest payment that was seen in a block.
    pub(super) fn latest(&self) -> Option<&Paid> {
        self.latest.as_ref()
    }
}

/// The first of `queue` if its time has come.
fn pop_due<T>(queue: &mut VecDeque<(Time, T)>, now: Time) -> Option<(Time, T)> {
    match queue.front() {
        Some((due, _)) if *due <= now => queue.pop_front(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::accounts;
    use super::*;
    use crate::codec::Decode;
    use crate::crypto::ed25519;
    use crate::types::{Op, Transaction};

    const NOW: Time = Time::from_millis(10_000);
    const LATER: Time = Time::from_millis(100_000);

    fn load(tps: u32) -> Load {
        let mut payers = accounts::payers(7, 0);
        payers.truncate(3);
        Load::new(GenesisId([9; 32]), tps, 7, payers)
    }

    fn decode(payment: &Payment) -> Transaction {
        Transaction::from_bytes(&payment.bytes).unwrap()
    }

    #[test]
    fn a_payment_is_signed_and_pays_somebody_else() {
        let mut load = load(1);
        for _ in 0..3 {
            let payment = load.make(NOW, 1_000).unwrap();
            let transaction = decode(&payment);
            assert_eq!(transaction.txid(&GenesisId([9; 32])), payment.txid);
            let (key, signature) = transaction.auth.signatures().next().unwrap();
            assert!(ed25519::verify(&key, payment.txid.as_bytes(), &signature));
            let Op::Transfer { to, .. } = transaction.ops[0] else {
                panic!("a transfer")
            };
            assert_ne!(to, transaction.sender());
            assert!(transaction.fee.0 >= 200);
        }
        assert!(
            load.make(NOW, 1_000).is_none(),
            "each of three payers waits for its block"
        );
    }

    #[test]
    fn a_payer_goes_on_when_its_payment_is_in_a_block() {
        let mut load = load(1);
        let payments: Vec<Payment> = (0..3).map(|_| load.make(NOW, 0).unwrap()).collect();
        load.accepted(payments[1].txid);
        load.connected(
            Height(1),
            &[payments[1].txid],
            NOW + Span::from_millis(1_500),
        );
        let next = load.make(LATER, 0).unwrap();
        assert_eq!(decode(&next).sender(), decode(&payments[1]).sender());
        assert_eq!(decode(&next).nonce, Nonce(1));
        let counts = load.counts();
        assert_eq!((counts.made, counts.accepted, counts.included), (4, 1, 1));
        assert_eq!(load.latency(50), Some(Span::from_millis(1_500)));
        assert_eq!(load.first().unwrap().height, Height(1));
    }

    #[test]
    fn a_reorganisation_lets_no_payer_go_on_twice() {
        let mut load = load(1);
        let payment = load.make(NOW, 0).unwrap();
        load.accepted(payment.txid);
        load.connected(Height(1), &[payment.txid], NOW);
        load.disconnected(&[payment.txid], NOW);
        assert_eq!(load.counts().included, 0);
        load.connected(Height(1), &[payment.txid], NOW);
        load.connected(Height(2), &[payment.txid], NOW);
        assert_eq!(load.counts().included, 1);
        let made: Vec<Payment> = std::iter::from_fn(|| load.make(NOW, 0)).collect();
        assert_eq!(made.len(), 3);
    }

    #[test]
    fn a_payment_without_answer_is_sent_again_until_it_is_known() {
        let mut load = load(1);
        let payment = load.make(NOW, 0).unwrap();
        load.unanswered(payment.txid, NOW);
        assert!(load.retry(NOW).is_none(), "it rests first");
        let again = load.retry(LATER).unwrap();
        assert_eq!((again.txid, &again.bytes), (payment.txid, &payment.bytes));
        // It was accepted by the node that died, so that another calls its nonce used.
        load.refused(payment.txid, "the nonce is used", LATER);
        assert_eq!(load.counts().refused, 0);
        assert_eq!(load.open(), 1);
        load.connected(Height(1), &[payment.txid], LATER);
        assert_eq!(load.open(), 0);
        assert!(
            load.retry(LATER + RETRY_AFTER).is_none(),
            "nothing is left to ask"
        );
        assert_eq!(
            load.promised().count(),
            0,
            "nobody said that it was accepted"
        );
    }

    #[test]
    fn a_refused_payment_is_counted_and_its_nonce_used_again() {
        let mut load = load(1);
        let payments: Vec<Payment> = (0..3).map(|_| load.make(NOW, 0).unwrap()).collect();
        load.refused(payments[0].txid, "why", NOW);
        assert!(load.make(NOW, 0).is_none(), "the payer rests");
        let next = load.make(LATER, 0).unwrap();
        assert_eq!(decode(&next).nonce, Nonce(0));
        assert_eq!(decode(&next).sender(), decode(&payments[0]).sender());
        assert_eq!(load.counts().refused, 1);
        assert_eq!(load.reasons().get("why"), Some(&1));
        load.accepted(payments[1].txid);
        assert_eq!(load.promised().collect::<Vec<_>>(), [payments[1].txid]);
    }

    #[test]
    fn payments_fall_due_at_the_rate_and_bursts_are_given_up() {
        let mut load = load(2);
        assert_eq!(load.due(Span::ZERO), 0);
        assert_eq!(load.due(Span::from_millis(600)), 1);
        load.make(NOW, 0).unwrap();
        assert_eq!(load.due(Span::from_millis(600)), 0);
        assert_eq!(
            load.due(Span::from_secs(10)),
            2,
            "19 are due, a second's worth is made"
        );
        assert_eq!(load.counts().missed, 17);
    }

    #[test]
    fn settled_payments_are_forgotten_and_stay_counted() {
        let mut load = load(1);
        let payment = load.make(NOW, 0).unwrap();
        load.accepted(payment.txid);
        load.connected(Height(1), &[payment.txid], NOW);
        load.connected(Height(SETTLED_DEPTH), &[], NOW);
        assert_eq!(load.promised().count(), 1);
        load.connected(Height(2 * SETTLED_DEPTH), &[], NOW);
        assert_eq!(load.promised().count(), 0);
        assert_eq!(load.counts().included, 1);
    }
}
