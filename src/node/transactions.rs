//! A transaction's journey: from whoever brings it to the mempool, and on to the peers.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::Time;
use crate::chain::mempool::Refusal;
use crate::chain::{CheckedTransaction, IsolatedFault};
use crate::codec::{Decode, DecodeError, Encode};
use crate::p2p::ConnId;
use crate::p2p::relay::Arrival;
use crate::store::{Append, Kind, Log};
use crate::types::{Hash, Rules, Transaction, WtxId, wtxid_of};
use crate::wire::message::RequestId;
use crate::wire::{Message, MessageKind};

use super::{CallError, CallId, Effect, Job, Node, Output, Owner, Reply};

/// How many transactions one check takes: the signature batch of a job of a few milliseconds.
const CHECK_MAX: usize = 512;
/// How many checks are under way at once.
const CHECKS_MAX: usize = 2;
/// How many transactions may wait for a check. Peers are not asked for more than that, and callers
/// are told to come again.
const WAITING_MAX: usize = 20_000;

/// Who brought a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Source {
    /// A peer.
    Peer(ConnId),
    /// Somebody outside, who waits for an answer.
    Call(CallId),
    /// The node's own journal, where it was accepted before a restart.
    Journal,
}

/// Transactions that wait for a job to check them.
#[derive(Debug, Default)]
pub(super) struct Checks {
    waiting: VecDeque<(Source, Transaction)>,
    under_way: usize,
}

impl Checks {
    /// What waits for a check.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &(Source, Transaction)> {
        self.waiting.iter()
    }

    /// Checks of which none is under way.
    pub(super) fn of_waiting(waiting: Vec<(Source, Transaction)>) -> Self {
        Self {
            waiting: waiting.into(),
            under_way: 0,
        }
    }
}

impl Node {
    /// Somebody outside brings a transaction.
    pub(super) fn submit(&mut self, call: CallId, bytes: &[u8]) {
        let refusal = if !self.ready {
            CallError::Starting
        } else if self.disk_full {
            CallError::DiskFull
        } else if self.checks.waiting.len() >= WAITING_MAX {
            CallError::Busy
        } else {
            match Transaction::from_bytes(bytes) {
                Ok(transaction) => {
                    self.checks
                        .waiting
                        .push_back((Source::Call(call), transaction));
                    return;
                }
                Err(error) => CallError::Malformed(match error {
                    DecodeError::Incomplete => "the bytes end too early".to_owned(),
                    DecodeError::Invalid(rule) => rule.to_owned(),
                }),
            }
        };
        self.answer(call, Err(refusal));
    }

    /// Brings back what was accepted before a restart.
    pub(super) fn readmit_journal(&mut self) {
        for bytes in std::mem::take(&mut self.journal) {
            // What no longer decodes was accepted under other rules.
            if let Ok(transaction) = Transaction::from_bytes(&bytes) {
                self.checks
                    .waiting
                    .push_back((Source::Journal, transaction));
            }
        }
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
                Arrival::Wanted => self
                    .checks
                    .waiting
                    .push_back((Source::Peer(conn), transaction)),
                Arrival::Surplus => {}
                Arrival::Unasked => {
                    self.fault(conn, "it sent a transaction that nobody asked for", now);
                    return;
                }
            }
        }
    }

    /// A peer tells which transactions it has.
    pub(super) fn inventory(&mut self, conn: ConnId, wtxids: &[WtxId], now: Time) {
        if self.ready && self.checks.waiting.len() < WAITING_MAX {
            let mempool = &self.mempool;
            self.relay
                .announced(conn, wtxids, now, |wtxid| mempool.get(wtxid).is_some());
        }
    }

    pub(super) fn request_transactions(&mut self, now: Time) {
        let mut actions = Vec::new();
        self.relay.schedule(now, &mut actions);
        self.perform(actions, now);
    }

    /// Starts checks of what waits, in batches: one batch of signatures costs half of what they
    /// cost one by one, and what comes while it runs makes the next.
    pub(super) fn check_transactions(&mut self) {
        while self.checks.under_way < CHECKS_MAX && !self.checks.waiting.is_empty() {
            let count = self.checks.waiting.len().min(CHECK_MAX);
            let (sources, transactions) = self.checks.waiting.drain(..count).unzip();
            self.checks.under_way += 1;
            let height = self.chain.tip_entry().header.height.next();
            let genesis = Arc::clone(self.chain.genesis());
            let genesis_id = *self.chain.genesis_id();
            let job = Job::CheckTransactions {
                genesis,
                genesis_id,
                height,
                transactions,
            };
            self.run(Owner::Transactions(sources), job);
        }
    }

    pub(super) fn transactions_checked(
        &mut self,
        sources: Vec<Source>,
        checked: Vec<Result<Arc<CheckedTransaction>, IsolatedFault>>,
        now: Time,
    ) {
        self.checks.under_way -= 1;
        for (source, checked) in sources.into_iter().zip(checked) {
            match checked {
                Ok(checked) => {
                    if let Source::Peer(conn) = source {
                        self.relay.checked(conn, checked.bytes as usize);
                    }
                    self.admit(source, &checked, now);
                }
                Err(fault) => match source {
                    // No honest peer passes on what is invalid whatever the chain.
                    Source::Peer(conn) => {
                        self.fault(conn, format!("a transaction is invalid: {fault}"), now);
                    }
                    Source::Call(call) => {
                        self.answer(call, Err(CallError::Malformed(fault.to_string())));
                    }
                    Source::Journal => {}
                },
            }
        }
    }

    /// A transaction that is sound by itself: can it be mined?
    fn admit(&mut self, source: Source, checked: &Arc<CheckedTransaction>, now: Time) {
        let view = self.chain.tip_view();
        let (rules, height, base_fee) = self.next_rules();
        let rules: Rules = *rules;
        let admitted = self.mempool.add(&view, &rules, (height, base_fee), checked);
        let wtxid = checked.wtxid;
        match admitted {
            Ok(replaced) => {
                self.forget_transactions(&replaced.into_iter().collect::<Vec<_>>());
                self.relay.accepted(wtxid, now);
                if let Source::Peer(conn) = source
                    && let Some(peer) = self.peers.get_mut(&conn)
                {
                    peer.last_transaction = Some(now);
                }
                self.note_mempool_change(checked, now);
                self.publish_soon(now);
                if let Source::Call(call) = source {
                    self.promise(call, checked, now);
                } else if source == Source::Journal {
                    self.journaled.insert(wtxid);
                }
            }
            Err(Refusal::Known) => {
                if let Source::Call(call) = source {
                    // Known from a peer, perhaps, and not in the journal yet.
                    self.promise_known(call, checked, now);
                }
            }
            Err(refusal) => {
                self.relay.refuse(wtxid);
                match source {
                    Source::Call(call) => self.answer(call, Err(refusal.into())),
                    // It was mined, or its account spent elsewhere: the journal may forget it.
                    Source::Journal => self.write_gone(&[wtxid]),
                    // The peer's chain may be another than ours for now.
                    Source::Peer(_) => {}
                }
            }
        }
    }

    /// Answers for a transaction that waits already, as soon as the journal has it.
    fn promise_known(&mut self, call: CallId, checked: &CheckedTransaction, now: Time) {
        let (txid, wtxid) = (checked.txid, checked.wtxid);
        let held = self.mempool.wtxid_of(&txid).unwrap_or(wtxid);
        if self.journaled.contains(&held) && !self.promising.contains(&held) {
            self.answer(call, Ok(Reply::Accepted { txid, wtxid: held }));
        } else if let Some(held) = self.mempool.get(&held).map(Arc::clone) {
            // A second record beside one on its way is rare, and is read as one.
            self.promise(call, &held, now);
        }
    }

    /// The promise is kept before it is made: the answer waits for the journal.
    fn promise(&mut self, call: CallId, checked: &CheckedTransaction, now: Time) {
        let (txid, wtxid) = (checked.txid, checked.wtxid);
        let mut body = now.as_micros().to_le_bytes().to_vec();
        body.extend(checked.transaction.to_bytes());
        let record = Append::new(Log::Journal, Kind::Accepted, body);
        self.journaled.insert(wtxid);
        self.promising.insert(wtxid);
        let effect = Effect::Accepted { call, txid, wtxid };
        self.store(vec![record], true, vec![effect]);
    }

    /// Transactions left the mempool for good, and not by a block.
    pub(super) fn forget_transactions(&mut self, gone: &[WtxId]) {
        let journaled: Vec<WtxId> = gone
            .iter()
            .filter(|wtxid| self.journaled.remove(wtxid))
            .copied()
            .collect();
        self.write_gone(&journaled);
    }

    fn write_gone(&mut self, gone: &[WtxId]) {
        if gone.is_empty() {
            return;
        }
        let record = |wtxid: &WtxId| Append::new(Log::Journal, Kind::Gone, wtxid.0.to_vec());
        let records: Vec<Append> = gone.iter().map(record).collect();
        let effects = records.iter().map(|_| Effect::Nothing).collect();
        self.store(records, false, effects);
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
            let Some(checked) = self.mempool.get(id).map(Arc::clone) else {
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
            // `Known` is no refusal to a caller; a full pool names its floor.
            Refusal::Known | Refusal::Full => Self::MempoolFull,
        }
    }
}
