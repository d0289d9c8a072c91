//! Promises to people outside: what was acknowledged is kept, whatever happens to the process or
//! the chain, until it is buried in blocks or can't be mined any more.
//!
//! The journal's records come in an order such that any prefix of them keeps every promise: the
//! record of what replaces a transaction stands before that of its leaving, and what leaves with a
//! new tip is written off when the tip's own record is durable.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::Time;
use crate::chain::mempool::{Followed, Leaving, Left, Next, TipMove};
use crate::chain::{CheckedTransaction, StateFailure, TipChange};
use crate::codec::Encode;
use crate::store::{Append, Kind, Log, Lsn, Upkeep};
use crate::types::{AccountId, BlockId, Height, Rules, Transaction, TxId, WtxId};

use super::journal::Whereabouts;
use super::{CallError, CallId, CheckedTransactions, Effect, Node, Owner, Reply};

/// How many transactions of the journal one check takes at the start.
const READMIT_MAX: usize = 512;

impl Node {
    /// Holds a transaction of the mempool for somebody outside, and what its account has before
    /// it; writes off what left for it. The answer waits for the journal.
    pub(super) fn promise(
        &mut self,
        call: Option<CallId>,
        checked: &Arc<CheckedTransaction>,
        left: &[Left],
        now: Time,
    ) {
        let mut held = self.mempool.promise(&checked.txid);
        if held.last().is_none_or(|last| last.txid != checked.txid) {
            held.push(Arc::clone(checked));
        }
        let mut records = Vec::new();
        let mut effects = Vec::new();
        for checked in held {
            let (txid, wtxid) = (checked.txid, checked.wtxid);
            self.journal.hold(&checked);
            records.push(accepted_record(&checked, now));
            let call = None;
            effects.push(Effect::Accepted { call, txid, wtxid });
        }
        if let Some(Effect::Accepted { call: last, .. }) = effects.last_mut() {
            *last = call;
        }
        for record in self.leaving_records(left) {
            records.push(record);
            effects.push(Effect::Journaled);
        }
        // Whoever asks for it later is answered at once, so that it is durable whoever brought it.
        self.store(records, true, effects);
    }

    /// Answers for a transaction that waits already, as soon as the journal has it.
    pub(super) fn accepted_again(&mut self, call: CallId, checked: &CheckedTransaction, now: Time) {
        let txid = checked.txid;
        let Some(held) = self.mempool.get_txid(&txid).map(Arc::clone) else {
            return;
        };
        if self.journal.has_stored(&txid) {
            let wtxid = held.wtxid;
            self.answer(call, Ok(Reply::Accepted { txid, wtxid }));
        } else {
            // A second record beside one on its way is rare, and is read as one.
            self.promise(Some(call), &held, &[], now);
        }
    }

    /// The journal holds a transaction: whoever brought it is told, unless it left meanwhile.
    pub(super) fn promised(&mut self, call: CallId, txid: TxId, wtxid: WtxId) {
        let kept = self.journal.holds(&txid) && !self.journal.is_leaving(&txid);
        let reply = match self.journal.whereabouts(&txid) {
            Some(Whereabouts::Gone(why)) if !kept => Err(CallError::Gone(why)),
            _ => Ok(Reply::Accepted { txid, wtxid }),
        };
        self.answer(call, reply);
    }

    fn leaving_records(&mut self, left: &[Left]) -> Vec<Append> {
        let mut records = Vec::new();
        for left in left {
            let txid = &left.checked.txid;
            self.journal.leaves(txid, left.why);
            records.extend(self.journal.release_left(txid).as_ref().map(gone_record));
        }
        records
    }

    /// Transactions left the mempool for good for a newcomer that nobody was promised.
    pub(super) fn write_off_left(&mut self, left: &[Left]) {
        let records = self.leaving_records(left);
        self.write_off_records(records);
    }

    /// Transactions of the journal left for good.
    pub(super) fn write_off(&mut self, txids: &[TxId]) {
        let gone = txids
            .iter()
            .filter_map(|txid| self.journal.release_left(txid));
        let records = gone.map(|wtxid| gone_record(&wtxid)).collect();
        self.write_off_records(records);
    }

    fn write_off_records(&mut self, records: Vec<Append>) {
        if !records.is_empty() {
            let effects = records.iter().map(|_| Effect::Journaled).collect();
            self.store(records, false, effects);
        }
    }

    /// The mempool follows a new tip. Gives what is to be written off when that tip is durable.
    pub(super) fn mempool_follows(&mut self, moved: &TipChange, now: Time) -> Vec<TxId> {
        let view = self.chain.tip_view();
        let height = moved.height.next();
        let rules: Rules = *Rules::at(&self.config.genesis, height);
        let next = Next {
            view: self.page_failures.watch(&view),
            rules: &rules,
            height,
            base_fee: 0,
            now,
        };
        let tip_move = TipMove {
            disconnected: &moved.disconnected,
            connected: &moved.connected,
            matured: &self.lost_rewards(moved),
            is_whole: moved.is_whole,
        };
        let mut aside = self.journal.aside();
        if !moved.is_whole {
            // The blocks that left and can't be looked at may have had these.
            aside.extend(self.journal.mined_above(moved.fork));
        }
        let journal = &self.journal;
        let followed = self
            .mempool
            .follow(&next, &tip_move, &aside, &|txid| journal.holds(txid));
        for block in &moved.connected {
            for checked in &block.transactions {
                self.journal.mined(checked, block.header.height);
            }
        }
        let left = self.file_away(&followed, moved.height, now);
        self.pass_on_returned(&followed.returned, now);
        left
    }

    /// Whose rewards the blocks that left the best chain had made spendable.
    fn lost_rewards(&self, moved: &TipChange) -> Vec<AccountId> {
        let maturity = u64::from(self.config.genesis.rules.maturity);
        let earned = |height: Height| {
            let at = Height(height.0.checked_sub(maturity)?);
            let left = moved.disconnected.iter().map(|block| &block.header);
            let header = left.into_iter().find(|header| header.height == at);
            match header {
                Some(header) => Some(header.beneficiary),
                // Where the record is damaged, what was bought with the reward is found to lack it
                // when its turn comes.
                None => Some(self.chain.header_at(at)?.beneficiary),
            }
        };
        let heights = moved.disconnected.iter().map(|block| block.header.height);
        heights.filter_map(earned).collect()
    }

    /// Notes what became of promised transactions with a new tip. What a later tip may bring back
    /// is kept aside, and what replaced one is promised in its place; gives the others, which are
    /// written off when this tip is durable.
    fn file_away(&mut self, followed: &Followed, tip: Height, now: Time) -> Vec<TxId> {
        let (mut gone, mut heirs) = (Vec::new(), BTreeSet::new());
        for checked in &followed.returned {
            self.journal.waits(&checked.txid);
        }
        for left in &followed.left {
            let txid = left.checked.txid;
            if !self.journal.holds(&txid) {
                continue;
            }
            match left.why {
                Leaving::Balance | Leaving::AccountFee | Leaving::Stranded | Leaving::NonceUsed => {
                    let block = self.chain.find_transaction(&txid);
                    match block.and_then(|(block, _)| self.chain.tree().height(&block)) {
                        Some(height) => self.journal.mined(&left.checked, height),
                        None => self.journal.set_aside(&left.checked, left.why, tip),
                    }
                }
                Leaving::Room | Leaving::Expired | Leaving::Replaced { .. } => {
                    self.journal.leaves(&txid, left.why);
                }
            }
            if let Leaving::Replaced { by } = left.why {
                heirs.insert(by);
            }
            if self.journal.is_leaving(&txid) {
                gone.push(txid);
            }
        }
        for heir in heirs {
            let waiting = self.mempool.get_txid(&heir).map(Arc::clone);
            if let Some(checked) = waiting.filter(|_| !self.journal.holds(&heir)) {
                self.promise(None, &checked, &[], now);
            }
        }
        gone
    }

    /// Transactions are in the mempool again: peers may not have them.
    fn pass_on_returned(&mut self, returned: &[Arc<CheckedTransaction>], now: Time) {
        for checked in returned {
            self.relay.accepted(checked.wtxid, now);
        }
        let senders = returned.iter().map(|checked| checked.sender);
        self.hold_before_promises(&senders.collect(), now);
    }

    /// Transactions that a promised one of their account now stands behind are held as it is.
    fn hold_before_promises(&mut self, senders: &BTreeSet<AccountId>, now: Time) {
        for sender in senders {
            let last = self.mempool.needs_promise(sender);
            let last = last.and_then(|txid| self.mempool.get_txid(&txid).map(Arc::clone));
            if let Some(last) = last {
                self.promise(None, &last, &[], now);
            }
        }
    }

    /// A tip is durable: what left with it is written off, and what is buried deep enough below
    /// it the journal forgets.
    pub(super) fn tip_is_durable(&mut self, tip: &BlockId, left: &[TxId]) {
        let height = self.chain.tree().height(tip);
        let given_up = height.map_or_else(Vec::new, |height| self.journal.bury(height));
        self.write_off(left);
        self.write_off(&given_up);
    }

    /// Keeps the journal short: moves what waits long to its end, and forgets segments in which
    /// nothing is held any more.
    pub(super) fn trim_journal(&mut self, now: Time) {
        if !self.ready {
            return;
        }
        let moves = self.journal.begin_move();
        let (mut records, mut effects) = (Vec::new(), Vec::new());
        for txid in moves {
            let waiting = self.mempool.get_txid(&txid);
            if let Some(checked) = waiting.or_else(|| self.journal.get_aside(&txid)) {
                let wtxid = checked.wtxid;
                records.push(accepted_record(checked, now));
                effects.push(Effect::Moved { txid, wtxid });
            }
        }
        if !records.is_empty() {
            self.store(records, true, effects);
        }
        if let Some(first_kept) = self.journal.forgettable() {
            let log = Log::Journal;
            let forget = Upkeep::Forget { log, first_kept };
            self.request(Vec::new(), false, Some(forget), Vec::new());
        }
    }

    /// Brings back what was accepted before a restart, each account's in order; the node is ready
    /// when all of it was looked at.
    pub(super) fn readmit(&mut self, now: Time) {
        let mut owners = self.jobs.values();
        if owners.any(|owner| matches!(owner, Owner::Readmission(_))) {
            return;
        }
        let mut found = self.journal.take_found(READMIT_MAX);
        while !found.is_empty() {
            found = self.pass_over_mined(found);
            if !found.is_empty() {
                let (lsns, transactions) = found.into_iter().unzip();
                // What was promised waits, whatever the state says of it now.
                let job = self.check_job(transactions, None);
                self.run(Owner::Readmission(lsns), job);
                return;
            }
            found = self.journal.take_found(READMIT_MAX);
        }
        self.start(now);
    }

    /// Most of what the journal holds was mined before the restart: its nonce is used. Where no
    /// block that is remembered has it, an older one does, or a rival took its nonce: then it is
    /// kept aside, because a reorganisation that the rival leaves with would bring it back.
    fn pass_over_mined(&mut self, found: Vec<(Lsn, Transaction)>) -> Vec<(Lsn, Transaction)> {
        let view = self.chain.tip_view();
        let accounts = self.page_failures.watch(&view);
        let tip = view.height();
        let (mut open, mut gone) = (Vec::new(), Vec::new());
        for (lsn, transaction) in found {
            let account = accounts.account(&transaction.sender()).ok().flatten();
            if account.is_none_or(|account| account.nonce <= transaction.nonce) {
                open.push((lsn, transaction));
                continue;
            }
            let checked = CheckedTransaction::new(transaction, self.chain.genesis_id());
            let (txid, wtxid) = (checked.txid, checked.wtxid);
            let block = self.chain.find_transaction(&txid);
            let height = block.and_then(|(block, _)| self.chain.tree().height(&block));
            self.journal.hold(&checked);
            self.journal.stored_accepted(&txid, &wtxid, lsn);
            let checked = Arc::new(checked);
            match height {
                Some(height) => self.journal.mined(&checked, height),
                None => self.journal.set_aside(&checked, Leaving::NonceUsed, tip),
            }
            if self.journal.is_leaving(&txid) {
                gone.push(txid);
            }
        }
        self.write_off(&gone);
        open
    }

    pub(super) fn readmitted(
        &mut self,
        lsns: &[Lsn],
        checked: Result<CheckedTransactions, StateFailure>,
        now: Time,
    ) {
        let checked = checked.expect("no state is read in a check that no block is named for");
        let mut sound = Vec::new();
        for (lsn, checked) in lsns.iter().zip(checked) {
            // What is unsound was accepted under other rules: nothing can keep it.
            if let Ok(checked) = checked {
                self.journal.hold(&checked);
                let (txid, wtxid) = (checked.txid, checked.wtxid);
                self.journal.stored_accepted(&txid, &wtxid, *lsn);
                sound.push(checked);
            }
        }
        let view = self.chain.tip_view();
        let (rules, height, _) = self.next_rules();
        let rules: Rules = *rules;
        let next = Next {
            view: self.page_failures.watch(&view),
            rules: &rules,
            height,
            base_fee: 0,
            now,
        };
        let senders = sound.iter().map(|checked| checked.sender).collect();
        let followed = self.mempool.readmit(&next, sound);
        let left = self.file_away(&followed, self.chain.tip_entry().header.height, now);
        self.write_off(&left);
        self.hold_before_promises(&senders, now);
        for checked in &followed.returned {
            self.note_mempool_change(checked, now);
            self.relay.readmitted(checked.sender, checked.wtxid, now);
        }
        self.advance(now);
    }
}

fn accepted_record(checked: &CheckedTransaction, now: Time) -> Append {
    let mut body = now.as_micros().to_le_bytes().to_vec();
    body.extend(checked.transaction.to_bytes());
    Append::new(Log::Journal, Kind::Accepted, body)
}

fn gone_record(wtxid: &WtxId) -> Append {
    Append::new(Log::Journal, Kind::Gone, wtxid.0.to_vec())
}
