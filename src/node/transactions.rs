//! A transaction's journey: from whoever brings it to the mempool, and on to the peers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::Time;

use crate::chain::mempool::{Leaving, Left, Next, Origin, Refusal};
use crate::chain::{CheckedTransaction, Prospect, StateFailure, TransactionFault, Unfit};
use crate::codec::{Decode, DecodeError, Encode};
use crate::p2p::ConnId;
use crate::p2p::relay::Arrival;
use crate::types::{Hash, Nonce, Rules, Transaction, WtxId, wtxid_of};
use crate::wire::message::RequestId;
use crate::wire::{Message, MessageKind};

use super::{CallError, CallId, CheckedTransactions, Job, JobId, Node, Output, Owner, Reply};

/// How many transactions one check takes: the signature batch of a job of a few milliseconds.
pub(super) const CHECK_MAX: usize = 512;
/// How many checks are under way at once.
pub(super) const CHECKS_MAX: usize = 2;
/// How many transactions may wait for a check. Peers are not asked for more than that, and callers
/// are told to come again.
pub(super) const WAITING_MAX: usize = 20_000;

/// Who brought a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Source {
    /// A peer.
    Peer(ConnId),
    /// Somebody outside, who waits for an answer.
    Call(CallId),
}

/// What came of a check, with who waits for each transaction.
type Finished = (Vec<Source>, Result<CheckedTransactions, StateFailure>);

/// Transactions that wait for a job to check them.
///
/// They are let in in the order in which they came, whichever check is done first: an account's
/// second transaction must not come before its first.
#[derive(Debug, Default)]
pub(super) struct Checks {
    waiting: VecDeque<(Source, Transaction)>,
    /// In the order in which they began.
    under_way: VecDeque<JobId>,
    /// Those that are done before an earlier one.
    finished: BTreeMap<JobId, Finished>,
}

impl Checks {
    /// What waits for a check.
    pub(super) fn waiting(&self) -> impl ExactSizeIterator<Item = &(Source, Transaction)> {
        self.waiting.iter()
    }

    /// Checks of which none is under way.
    pub(super) fn of_waiting(waiting: Vec<(Source, Transaction)>) -> Self {
        Self {
            waiting: waiting.into(),
            ..Self::default()
        }
    }

    /// Which checks are done before an earlier one, for the hash of a busy node.
    pub(super) fn finished(&self) -> impl Iterator<Item = String> {
        self.finished.keys().map(|job| format!("{job:?} is done"))
    }
}

impl Node {
    /// Somebody outside brings a transaction.
    pub(super) fn submit(&mut self, call: CallId, bytes: &[u8], now: Time) {
        let refusal = if !self.ready {
            CallError::Starting
        } else if self.disk_full {
            CallError::DiskFull
        } else if self.checks.waiting.len() >= WAITING_MAX {
            CallError::Busy
        } else {
            match Transaction::from_bytes(bytes) {
                Ok(transaction) => return self.newcomer(Source::Call(call), transaction, now),
                Err(error) => CallError::Malformed(match error {
                    DecodeError::Incomplete => "the bytes end too early".to_owned(),
                    DecodeError::Invalid(rule) => rule.to_owned(),
                }),
            }
        };
        self.answer(call, Err(refusal));
    }

    /// Transactions came from a peer: only what was asked for.
    pub(super) fn transactions_came(
        &mut self,
        conn: ConnId,
        transactions: Vec<Transaction>,
        now: Time,
    ) {
        for transaction in transactions {
            let bytes = transaction.to_bytes();
            let wtxid = wtxid_of(&bytes);
            match self.relay.came(conn, &wtxid, bytes.len(), now) {
                Arrival::Wanted => self.newcomer(Source::Peer(conn), transaction, now),
                Arrival::Surplus => {}
                Arrival::Unasked => {
                    self.fault(conn, "it sent a transaction that nobody asked for", now);
                    return;
                }
            }
        }
    }

    /// A transaction is looked at before it waits for a check, which costs more than to make it:
    /// what the mempool alone tells to be in vain goes no further.
    fn newcomer(&mut self, source: Source, transaction: Transaction, now: Time) {
        let (rules, height, _) = self.next_rules();
        let genesis = self.chain.genesis_id();
        let looked = self
            .mempool
            .look_at((rules, height), &transaction, genesis, now);
        if let Err(refusal) = looked {
            // Its ids are of use only now.
            let checked = CheckedTransaction::new(transaction, genesis);
            if let Source::Peer(conn) = source {
                self.relay.checked(conn, checked.bytes as usize);
            }
            self.refused(source, &checked, refusal, now);
        } else {
            self.checks.waiting.push_back((source, transaction));
        }
    }

    /// A peer tells which transactions it has.
    pub(super) fn inventory(&mut self, conn: ConnId, wtxids: &[WtxId], now: Time) {
        let mempool = &self.mempool;
        self.relay
            .announced(conn, wtxids, now, |wtxid| mempool.get(wtxid).is_some());
    }

    /// Asks peers for what they told of, while there is room for it. Until then it is kept in mind:
    /// who told of it does not tell again.
    pub(super) fn request_transactions(&mut self, now: Time) {
        if !self.ready || self.disk_full || self.checks.waiting.len() >= WAITING_MAX {
            self.relay.wake(now);
            return;
        }
        let mut actions = Vec::new();
        self.relay.schedule(now, &mut actions);
        self.perform(actions, now);
    }

    /// Starts checks of what waits, in batches: one batch of signatures costs half of what they
    /// cost one by one, and what comes while it runs makes the next.
    pub(super) fn check_transactions(&mut self) {
        while self.checks.under_way.len() < CHECKS_MAX && !self.checks.waiting.is_empty() {
            let count = self.checks.waiting.len().min(CHECK_MAX);
            let (sources, transactions) = self.checks.waiting.drain(..count).unzip();
            let (_, height, base_fee) = self.next_rules();
            let view = self.chain.tip_view();
            let prospect = Prospect {
                view,
                height,
                base_fee,
            };
            self.begin_check(sources, transactions, Some(prospect));
        }
    }

    fn begin_check(
        &mut self,
        sources: Vec<Source>,
        transactions: Vec<Transaction>,
        prospect: Option<Prospect>,
    ) {
        let job = self.check_job(transactions, prospect);
        let job = self.run(Owner::Transactions(sources), job);
        self.checks.under_way.push_back(job);
    }

    /// A check of transactions, by themselves or for a block.
    pub(super) fn check_job(
        &self,
        transactions: Vec<Transaction>,
        prospect: Option<Prospect>,
    ) -> Job {
        Job::CheckTransactions {
            genesis: Arc::clone(self.chain.genesis()),
            genesis_id: *self.chain.genesis_id(),
            height: self.chain.tip_entry().header.height.next(),
            prospect: prospect.map(Box::new),
            transactions,
        }
    }

    pub(super) fn transactions_checked(
        &mut self,
        job: JobId,
        sources: Vec<Source>,
        checked: Result<CheckedTransactions, StateFailure>,
        now: Time,
    ) {
        self.checks.finished.insert(job, (sources, checked));
        let mut again = Vec::new();
        while let Some(first) = self.checks.under_way.front()
            && let Some((sources, checked)) = self.checks.finished.remove(first)
        {
            self.checks.under_way.pop_front();
            let checked = match checked {
                Ok(checked) => checked,
                Err(failure) => {
                    self.leave_unchecked(&sources, &failure);
                    continue;
                }
            };
            for (source, checked) in sources.into_iter().zip(checked) {
                match (source, checked) {
                    (_, Ok(checked)) => {
                        if let Source::Peer(conn) = source {
                            self.relay.checked(conn, checked.bytes as usize);
                        }
                        self.admit(source, &checked, now);
                    }
                    (_, Err(Unfit::Hopeless(checked))) => {
                        again.extend(self.refuse_unsigned(source, &checked, now));
                    }
                    // No honest peer passes on what is invalid whatever the chain.
                    (Source::Peer(conn), Err(Unfit::Faulty(fault))) => {
                        self.fault(conn, format!("a transaction is invalid: {fault}"), now);
                    }
                    (Source::Call(call), Err(Unfit::Faulty(fault))) => {
                        self.answer(call, Err(CallError::Malformed(fault.to_string())));
                    }
                }
            }
        }
        if !again.is_empty() {
            let (sources, transactions) = again.into_iter().unzip();
            self.begin_check(sources, transactions, None);
        }
    }

    /// The state can't be read, which says nothing about the transactions: the node ends.
    fn leave_unchecked(&mut self, sources: &[Source], failure: &StateFailure) {
        self.state_failed(failure);
        for source in sources {
            if let Source::Call(call) = source {
                self.answer(*call, Err(CallError::Failed(failure.to_string())));
            }
        }
    }

    /// A transaction that the block after the tip had no place for when its check began. Should
    /// the tip that came meanwhile have one, it is to be checked again, signatures and all.
    fn refuse_unsigned(
        &mut self,
        source: Source,
        checked: &CheckedTransaction,
        now: Time,
    ) -> Option<(Source, Transaction)> {
        let view = self.chain.tip_view();
        let (rules, height, base_fee) = self.next_rules();
        let rules: Rules = *rules;
        let next = Next {
            view: self.page_failures.watch(&view),
            rules: &rules,
            height,
            base_fee,
            now,
        };
        let Some(refusal) = self.mempool.refusal(&next, checked) else {
            return Some((source, checked.transaction.clone()));
        };
        if let Source::Peer(conn) = source {
            self.relay.checked(conn, checked.bytes as usize);
        }
        self.refused(source, checked, refusal, now);
        None
    }

    /// The mempool does not take a transaction, whatever its signatures.
    fn refused(
        &mut self,
        source: Source,
        checked: &CheckedTransaction,
        refusal: Refusal,
        now: Time,
    ) {
        let is_known = refusal == Refusal::Known;
        if self.mempool.get(&checked.wtxid).is_none() {
            self.relay.refuse(checked.wtxid);
        }
        match source {
            // Known from a peer, perhaps, and not in the journal yet.
            Source::Call(call) if is_known => self.accepted_again(call, checked, now),
            Source::Call(call) => self.answer(call, Err(refusal.into())),
            // The peer's chain may be another than ours for now: no fault of its.
            Source::Peer(_) => {}
        }
    }

    /// A transaction that is sound by itself: can it be mined?
    fn admit(&mut self, source: Source, checked: &Arc<CheckedTransaction>, now: Time) {
        let view = self.chain.tip_view();
        let (rules, height, base_fee) = self.next_rules();
        let rules: Rules = *rules;
        let next = Next {
            view: self.page_failures.watch(&view),
            rules: &rules,
            height,
            base_fee,
            now,
        };
        let (origin, call) = match source {
            Source::Peer(_) => (Origin::Peer, None),
            Source::Call(call) => (Origin::Caller, Some(call)),
        };
        match self.mempool.add(&next, checked, origin) {
            Ok(left) => {
                // Peers have no use for it without what its account has before it.
                self.relay.speak(&checked.sender, now);
                self.relay.accepted(checked.wtxid, now);
                if let Source::Peer(conn) = source
                    && let Some(peer) = self.peers.get_mut(&conn)
                {
                    peer.last_transaction = Some(now);
                }
                self.note_mempool_change(checked, now);
                self.publish_soon(now);
                self.admitted(call, checked, &left, now);
                self.admit_early(checked, now);
            }
            Err(refusal) => {
                // One that goes before it may still be on its way by another peer.
                if let (
                    Source::Peer(conn),
                    Refusal::Invalid(TransactionFault::Nonce { wanted, .. }),
                ) = (source, &refusal)
                {
                    let transaction = checked.transaction.clone();
                    self.early
                        .insert(conn, checked.sender, *wanted, transaction);
                }
                self.refused(source, checked, refusal, now);
            }
        }
    }

    /// The one after this, of the same account, may have come before it.
    pub(super) fn admit_early(&mut self, before: &CheckedTransaction, now: Time) {
        let next = Nonce(before.transaction.nonce.0.saturating_add(1));
        if let Some((conn, transaction)) = self.early.take(&before.sender, next) {
            // Its signatures were checked when it came.
            let checked = CheckedTransaction::new(transaction, self.chain.genesis_id());
            self.admit(Source::Peer(conn), &Arc::new(checked), now);
        }
    }

    /// A newcomer is in the mempool: what was promised is written before anybody is answered.
    fn admitted(
        &mut self,
        call: Option<CallId>,
        checked: &Arc<CheckedTransaction>,
        left: &[Left],
        now: Time,
    ) {
        for left in left.iter().filter(|left| left.why == Leaving::Room) {
            self.relay.refuse(left.checked.wtxid);
        }
        // A promise that its own account replaced goes on in what replaced it.
        let inherits = left
            .iter()
            .any(|left| left.promised && matches!(left.why, Leaving::Replaced { .. }));
        // What was promised and waited elsewhere may come back by a peer.
        let is_held = self.journal.holds(&checked.txid);
        if call.is_some() || inherits || is_held {
            self.promise(call, checked, left, now);
        } else {
            self.write_off_left(left);
        }
    }

    pub(super) fn tell(&mut self, now: Time) {
        let mut actions = Vec::new();
        let mempool = &self.mempool;
        let rate = |wtxid: &WtxId| Some(mempool.get(wtxid)?.fee_rate());
        self.relay.tell(now, rate, &mut actions);
        self.perform(actions, now);
    }

    /// Answers GET_TX: what is here in as many messages as it takes, then what is not.
    pub(super) fn give_transactions(&mut self, conn: ConnId, request: RequestId, ids: &[WtxId]) {
        let engine = self.config.genesis.rules.engine_kind();
        let limit = MessageKind::Txs.max_bytes(engine) as usize - 6;
        let (mut transactions, mut bytes, mut missing) = (Vec::new(), 0, Vec::new());
        for id in ids {
            let shown = self.mempool.get(id).filter(|_| !self.relay.is_quiet(id));
            let Some(checked) = shown.map(Arc::clone) else {
                missing.push(Hash(id.0));
                continue;
            };
            bytes += checked.bytes as usize;
            if bytes > limit {
                let transactions = std::mem::take(&mut transactions);
                self.send(
                    conn,
                    &Message::Txs {
                        request,
                        transactions,
                    },
                );
                bytes = checked.bytes as usize;
            }
            transactions.push(checked.transaction.clone());
        }
        if !transactions.is_empty() {
            self.send(
                conn,
                &Message::Txs {
                    request,
                    transactions,
                },
            );
        }
        if !missing.is_empty() {
            let lane = crate::wire::Lane::Transactions;
            self.send_in(
                conn,
                lane,
                &Message::NotFound {
                    request,
                    ids: missing,
                },
            );
        }
    }

    pub(super) fn answer(&mut self, call: CallId, reply: Result<Reply, CallError>) {
        self.outputs.push_back(Output::Answer { call, reply });
    }
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(fault) => Self::Transaction(fault),
            Refusal::Conflict { with, needed } => Self::Conflict { with, needed },
            Refusal::QueueFull => Self::QueueFull,
            Refusal::Failure(error) => Self::Failed(error.to_string()),
            Refusal::ExpiresSoon { expiry, least } => Self::ExpiresSoon { expiry, least },
            Refusal::Full { needed } => Self::MempoolFull { needed },
            // No caller is told: what is known is accepted again.
            Refusal::Known => Self::Busy,
        }
    }
}
