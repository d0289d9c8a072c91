//! A peer that makes the network carry as many transactions as its money can pay for.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::{Rng, Span};
use crate::codec::{Decode, Encode};
use crate::sim::workload::Account;
use crate::sim::{Behaviour, Fate, Hands, Letter};
use crate::types::{AccountId, Amount, Height, Nonce, Op, Transaction, WtxId, wtxid_of};
use crate::wire::{Message, MessageKind};

use super::craft::{Greeted, is, read, send, send_in};

/// What it has, where nobody says otherwise.
const BALANCE: Amount = Amount(200_000);
/// How long it waits for its connections.
const FIRST_WAIT: Span = Span::from_secs(5);
/// How often it tells of another.
const PAUSE: Span = Span::from_millis(500);
/// Operations of each of its transactions: with 1,024 bytes each, as large as a transaction may be.
const OPS: usize = 15;
/// Transactions that it keeps to hand round.
const KEPT_MAX: usize = 256;

/// Spends one account's money on nothing but bytes: the largest transaction at the least fee, and
/// again with the least fee that replaces it, which is less than what another would cost, as long
/// as the money reaches or until a block has it.
#[derive(Clone, Debug)]
pub struct TransactionFlood {
    account: Account,
    balance: Amount,
    /// Whether every second peer is given a rival of each transaction, so that one of them at the
    /// most is ever paid for.
    rivals: bool,
    /// The nonce that is used now, with the fee that was offered last.
    offered: Option<(u64, u64)>,
    kept: VecDeque<(WtxId, Arc<[u8]>)>,
    made: u64,
    greeted: Greeted,
}

impl TransactionFlood {
    /// A flood from this account, which has so much.
    #[must_use]
    pub fn new(account: Account, balance: Amount) -> Self {
        Self {
            account,
            balance,
            rivals: false,
            offered: None,
            kept: VecDeque::new(),
            made: 0,
            greeted: Greeted::default(),
        }
    }

    /// A flood from an account that is drawn.
    #[must_use]
    pub fn drawn(rng: &Rng) -> Self {
        let account = Account::single(&mut rng.fork("flood account"));
        Self::new(account, BALANCE)
    }

    /// The same with a rival of each transaction for every second peer.
    #[cfg(test)]
    #[must_use]
    pub(crate) const fn with_rivals(mut self) -> Self {
        self.rivals = true;
        self
    }

    /// What the genesis must give it.
    #[must_use]
    pub const fn allocation(&self) -> (AccountId, Amount) {
        (self.account.id(), self.balance)
    }

    /// The next nonce and fee that its money pays for, if it pays for any: a higher fee for what
    /// waits, or the first for a new nonce.
    fn next_offer(&mut self, hands: &Hands<'_>) -> Option<(Nonce, Amount)> {
        let published = hands.published?;
        let record = published.state.account(&self.account.id()).ok()??;
        let (nonce, balance) = (record.nonce.0, record.balance.0);
        let weight = u128::from(self.account.weight(&self.ops(0)).0);
        let price = |rate: u64| (u128::from(rate) * weight).div_ceil(1_000) as u64;
        // A replacement pays more by the floor for its own bytes, and a higher rate.
        let fee = match self.offered.filter(|(used, _)| *used == nonce) {
            Some((_, fee)) => fee + price(hands.genesis.rules.base_fee_min.max(1)) + 1,
            None => price(published.next_base_fee.max(published.mempool_floor)),
        };
        if fee > balance {
            return None;
        }
        self.offered = Some((nonce, fee));
        Some((Nonce(nonce), Amount(fee)))
    }

    fn ops(&self, salt: u8) -> Vec<Op> {
        let mut bytes = vec![salt; 1_024];
        bytes[..8].copy_from_slice(&self.made.to_le_bytes());
        vec![Op::Data(bytes); OPS]
    }

    fn keep(&mut self, bytes: Vec<u8>) -> WtxId {
        let wtxid = wtxid_of(&bytes);
        if self.kept.len() >= KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back((wtxid, bytes.into()));
        wtxid
    }

    fn tell_of_another(&mut self, hands: &mut Hands<'_>) {
        let Some((nonce, fee)) = self.next_offer(hands) else {
            return;
        };
        let id = hands.genesis.id();
        let mut told = Vec::new();
        for salt in 0..=u8::from(self.rivals) {
            let (ops, forever) = (self.ops(salt), Height(0));
            let account = self.account.clone();
            let signed = account.sign(&id, nonce, fee, forever, ops, hands.rng);
            told.push(self.keep(signed.to_bytes()));
        }
        self.made += 1;
        for (conn, peer) in self.greeted.open(hands) {
            let wtxids = vec![told[peer.0 % told.len()]];
            send(hands, conn, &Message::TxInv { wtxids });
        }
        hands.mark("flood: told of a transaction");
    }
}

impl Behaviour for TransactionFlood {
    fn name(&self) -> &'static str {
        "flood"
    }

    fn start(&mut self, hands: &mut Hands<'_>) {
        hands.wake_at(hands.now + FIRST_WAIT);
    }

    fn outgoing(&mut self, letter: &Letter<'_>, _: &mut Hands<'_>) -> Fate {
        self.greeted.look_at(letter);
        Fate::Pass
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        if !self.greeted.open(hands).is_empty() {
            self.tell_of_another(hands);
        }
        hands.wake_at(hands.now + PAUSE);
    }

    fn incoming(&mut self, letter: &Letter<'_>, hands: &mut Hands<'_>) -> Fate {
        if !is(letter, MessageKind::GetTx) {
            return Fate::Pass;
        }
        let Some(Message::GetTx { request, wtxids }) = read(letter, hands) else {
            return Fate::Pass;
        };
        let own = |wtxid: &WtxId| {
            let kept = self.kept.iter().find(|(other, _)| other == wtxid)?;
            Transaction::from_bytes(&kept.1).ok()
        };
        let served: Vec<Transaction> = wtxids.iter().filter_map(own).collect();
        if served.is_empty() {
            return Fate::Pass;
        }
        for transaction in served {
            let transactions = vec![transaction];
            let message = Message::Txs {
                request,
                transactions,
            };
            send_in(hands, letter.conn, letter.lane, &message);
        }
        Fate::Drop
    }
}
