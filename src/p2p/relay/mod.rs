//! Transactions by inventory: told by id, asked for once, sent to who asked.
//!
//! *Owns* what each peer knows of transactions, what it is to be told, and who is asked for what.
//! *Invariants*: what a peer sends is bounded in bytes before it is asked for; what a peer
//! announces, or is to be told, has a count; no event costs more than the announcements it is
//! about, each in logarithmic time. *Never* judges a transaction.

mod quiet;
mod requests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::base::{Rng, Span, Time};
use crate::types::{AccountId, WtxId};
use crate::wire::message::{GET_TX_MAX, RequestId, TX_INV_MAX};
use crate::wire::{Lane, Message};

use super::{Action, Bounded, ConnId, Direction, RecentSet};
use quiet::Quiet;
use requests::{Requests, Tag};

pub use requests::Arrival;

/// How many ids may wait to be told to one peer; more than that it learns from others.
const TELL_PER_PEER: usize = 20_000;
/// How many ids a peer is told at once: half of what its lane has room for.
const TELL_AT_ONCE: usize = 8 * TX_INV_MAX;
/// How many transactions a peer is remembered to know, at least: 64 Ki of 8 bytes at most.
const KNOWN_PER_PEER: usize = 32 << 10;
/// How many refused transactions are remembered, so that they are not asked for again.
const REFUSED_MAX: usize = 16_000;
/// The longest that ids wait to be told together. Each batch waits a random part of it, so that
/// who hears of a transaction first says little about where it came from.
pub const TELL_WAIT_MAX: Span = Span::from_millis(50);
/// How long this node tells nobody of an account's transactions that it brought back from its
/// journal, unless a peer tells of them: at least the first, less than the second.
const QUIET_MIN: Span = Span::from_secs(60);
const QUIET_MAX: Span = Span::from_secs(300);

/// What one peer knows and is to hear of.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Listener {
    known: RecentSet<Tag>,
    tell: VecDeque<WtxId>,
    /// When it is told.
    tell_at: Option<Time>,
    /// The fee per 1,000 weight below which it wants no announcements.
    fee_floor: u64,
    /// The one that it was told of last.
    told_floor: u64,
}

/// Who knows, wants and is asked for which transactions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Relay {
    peers: BTreeMap<ConnId, Listener>,
    tell_at: BTreeSet<(Time, ConnId)>,
    requests: Requests,
    quiet: Quiet,
    refused: RecentSet<WtxId>,
    /// The fee per 1,000 weight that this node takes at least.
    fee_floor: u64,
    /// What everybody on the chain takes at least.
    fee_least: u64,
    next_request: u32,
    rng: Rng,
}

impl Relay {
    /// Nobody to relay to yet. No node takes less than `fee_least` per 1,000 weight.
    #[must_use]
    pub fn new(fee_least: u64, rng: Rng) -> Self {
        Self {
            peers: BTreeMap::new(),
            tell_at: BTreeSet::new(),
            requests: Requests::new(REFUSED_MAX),
            quiet: Quiet::default(),
            refused: RecentSet::new(REFUSED_MAX),
            fee_floor: fee_least,
            fee_least,
            next_request: 0,
            rng,
        }
    }

    /// What it holds of what peers announced and are to be told: of the peer that has the most.
    #[must_use]
    pub fn sizes(&self) -> [Bounded; 7] {
        let tell = self.peers.values().map(|peer| peer.tell.len()).max();
        let known = self.peers.values().map(|peer| peer.known.len()).max();
        let [wanted, announced, lapsed, unchecked] = self.requests.sizes();
        let refused = (
            "transactions that were refused and are remembered",
            self.refused.len(),
            2 * REFUSED_MAX,
        );
        let tell = (
            "ids that one peer is to be told",
            tell.unwrap_or(0),
            TELL_PER_PEER,
        );
        let known = (
            "transactions that one peer knows",
            known.unwrap_or(0),
            2 * KNOWN_PER_PEER,
        );
        [wanted, announced, lapsed, unchecked, refused, tell, known]
            .map(|(what, held, limit)| Bounded { what, held, limit })
    }

    /// A peer is ready; it learns of what waits already, in this order, but of nothing that this
    /// node is [quiet](Self::readmitted) about.
    pub fn joined(
        &mut self,
        conn: ConnId,
        direction: Direction,
        waiting: impl Iterator<Item = WtxId>,
        now: Time,
    ) {
        let waiting = waiting.filter(|id| !self.quiet.contains(id));
        let peer = Listener {
            known: RecentSet::new(KNOWN_PER_PEER),
            tell: waiting.take(TELL_PER_PEER).collect(),
            tell_at: None,
            fee_floor: 0,
            told_floor: self.fee_least,
        };
        let has_news = !peer.tell.is_empty() || peer.told_floor != self.fee_floor;
        self.peers.insert(conn, peer);
        self.requests.joined(conn, direction);
        if has_news {
            self.tell_soon(conn, now);
        }
    }

    /// A connection ended: what it was asked for is asked of others.
    pub fn left(&mut self, conn: ConnId, now: Time) {
        if let Some(at) = self.peers.remove(&conn).and_then(|peer| peer.tell_at) {
            self.tell_at.remove(&(at, conn));
        }
        self.requests.left(conn, now);
    }

    /// The least fee per 1,000 weight that a peer wants to hear of.
    pub fn fee_filter(&mut self, conn: ConnId, fee: u64) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.fee_floor = fee;
        }
    }

    /// The least fee per 1,000 weight that a peer said it wants to hear of.
    #[must_use]
    pub fn fee_floor_of(&self, conn: ConnId) -> u64 {
        self.peers.get(&conn).map_or(0, |peer| peer.fee_floor)
    }

    /// The least fee per 1,000 weight that this node takes is this now. Peers are told when it
    /// changed by more than an eighth, or back to what everybody takes.
    pub fn set_fee_floor(&mut self, floor: u64, now: Time) {
        let floor = floor.max(self.fee_least);
        let small = self.fee_floor.abs_diff(floor) <= self.fee_floor / 8;
        if floor == self.fee_floor || small && floor != self.fee_least {
            return;
        }
        self.fee_floor = floor;
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            self.tell_soon(conn, now);
        }
    }

    /// A peer has these transactions. Those that are neither `known` nor refused are wanted.
    pub fn announced(
        &mut self,
        conn: ConnId,
        ids: &[WtxId],
        now: Time,
        known: impl Fn(&WtxId) -> bool,
    ) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let mut heard = BTreeSet::new();
        for id in ids {
            peer.known.insert(Tag::from(id));
            heard.extend(self.quiet.account_of(id));
            if !known(id) && !self.refused.contains(id) {
                self.requests.announced(conn, id, now);
            }
        }
        for account in heard {
            self.speak(&account, now);
        }
    }

    /// Lets time pass while nothing may be asked for: what was asked for lapses.
    pub fn wake(&mut self, now: Time) {
        self.requests.wake(now);
    }

    /// Asks for what is wanted and not under way.
    pub fn schedule(&mut self, now: Time, out: &mut Vec<Action>) {
        for (conn, ids) in self.requests.schedule(now) {
            for ids in ids.chunks(GET_TX_MAX) {
                self.next_request = self.next_request.wrapping_add(1);
                let (request, wtxids) = (RequestId(self.next_request), ids.to_vec());
                let message = Message::GetTx { request, wtxids };
                out.push(Action::Send(conn, Lane::Transactions, message));
            }
        }
    }

    /// A transaction of so many bytes came from a peer; it counts as answered from now on, be it
    /// too late.
    pub fn came(&mut self, conn: ConnId, id: &WtxId, bytes: usize, now: Time) -> Arrival {
        self.requests.came(conn, id, bytes as u64, now)
    }

    /// A transaction that [`came`](Self::came) was looked at: there is room for others.
    pub fn checked(&mut self, conn: ConnId, bytes: usize) {
        self.requests.checked(conn, bytes as u64);
    }

    /// A peer does not have these after all: the next that announced them is asked.
    pub fn not_found(&mut self, conn: ConnId, ids: &[WtxId], now: Time) {
        for id in ids {
            self.requests.not_found(conn, id, now);
        }
    }

    /// A transaction of `account` is in the mempool again, from the journal. Nobody hears of it,
    /// and [nobody is to be given it](Self::is_quiet), until a peer tells of it or some random
    /// minutes passed.
    pub fn readmitted(&mut self, account: AccountId, id: WtxId, now: Time) {
        let heard = self.requests.wants_it(&id);
        let rng = &mut self.rng;
        self.quiet.add(account, id, || {
            let spare = QUIET_MAX.as_micros() - QUIET_MIN.as_micros();
            now + QUIET_MIN + Span::from_micros(rng.below(spare))
        });
        if heard {
            self.speak(&account, now);
        } else {
            // What is in the mempool is wanted of nobody.
            self.requests.settle(&id);
        }
    }

    /// Whether this node does not show that it has this transaction.
    #[must_use]
    pub fn is_quiet(&self, id: &WtxId) -> bool {
        self.quiet.contains(id)
    }

    /// Ends the silence about an account's transactions: they go to everybody, in their order.
    pub fn speak(&mut self, account: &AccountId, now: Time) {
        for id in self.quiet.take(account) {
            self.spread(id, now);
        }
    }

    /// A transaction is in the mempool now: every peer that does not know it is to hear of it.
    pub fn accepted(&mut self, id: WtxId, now: Time) {
        match self.quiet.account_of(&id) {
            Some(account) => self.speak(&account, now),
            None => self.spread(id, now),
        }
    }

    fn spread(&mut self, id: WtxId, now: Time) {
        self.requests.settle(&id);
        let tag = Tag::from(&id);
        let mut news = Vec::new();
        for (conn, peer) in &mut self.peers {
            if peer.tell.len() < TELL_PER_PEER && !peer.known.contains(&tag) {
                peer.tell.push_back(id);
                if peer.tell_at.is_none() {
                    news.push(*conn);
                }
            }
        }
        for conn in news {
            self.tell_soon(conn, now);
        }
    }

    /// A transaction that can't be accepted now is not asked for again soon.
    pub fn refuse(&mut self, id: WtxId) {
        self.requests.settle(&id);
        self.refused.insert(id);
    }

    /// The tip moved: what could not be accepted before may be now.
    pub fn tip_moved(&mut self) {
        self.refused.clear();
    }

    fn tell_soon(&mut self, conn: ConnId, now: Time) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if peer.tell_at.is_none() {
            let wait = Span::from_micros(1 + self.rng.below(TELL_WAIT_MAX.as_micros()));
            peer.tell_at = Some(now + wait);
            self.tell_at.insert((now + wait, conn));
        }
    }

    /// Tells peers that are due of the transactions that came since the last time. `waiting` gives
    /// the fee rate, per 1,000 weight in 1/1,000, of a transaction that still waits.
    pub fn tell(
        &mut self,
        now: Time,
        waiting: impl Fn(&WtxId) -> Option<u64>,
        out: &mut Vec<Action>,
    ) {
        while let Some(account) = self.quiet.due(now) {
            self.speak(&account, now);
        }
        while let Some((at, conn)) = self.tell_at.first().copied().filter(|(at, _)| *at <= now) {
            self.tell_at.remove(&(at, conn));
            let Some(peer) = self.peers.get_mut(&conn) else {
                continue;
            };
            peer.tell_at = None;
            if peer.told_floor != self.fee_floor {
                peer.told_floor = self.fee_floor;
                let fee = self.fee_floor;
                out.push(Action::Send(
                    conn,
                    Lane::Control,
                    Message::FeeFilter { fee },
                ));
            }
            let ids = peer.news(&waiting);
            for wtxids in ids.chunks(TX_INV_MAX).map(<[WtxId]>::to_vec) {
                let message = Message::TxInv { wtxids };
                out.push(Action::Send(conn, Lane::Transactions, message));
            }
            if !peer.tell.is_empty() {
                self.tell_soon(conn, now);
            }
        }
    }

    /// When peers are to be told something.
    #[must_use]
    pub fn tell_deadline(&self) -> Option<Time> {
        let tell = self.tell_at.first().map(|(at, _)| *at);
        tell.into_iter().chain(self.quiet.deadline()).min()
    }

    /// When something may be asked for although nothing else happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.requests.deadline()
    }

    /// Whether a peer lets requests lapse, more than it answers.
    #[must_use]
    pub fn is_slow(&self, conn: ConnId) -> bool {
        self.requests.is_slow(conn)
    }
}

impl Listener {
    /// Takes what the peer is to be told now.
    fn news(&mut self, waiting: impl Fn(&WtxId) -> Option<u64>) -> Vec<WtxId> {
        let mut ids = Vec::new();
        while ids.len() < TELL_AT_ONCE
            && let Some(id) = self.tell.pop_front()
        {
            // Mined or replaced meanwhile, told by the peer itself, or of no interest to it.
            let wanted = self.fee_floor.saturating_mul(1_000);
            if waiting(&id).is_some_and(|rate| rate >= wanted) && self.known.insert(Tag::from(&id))
            {
                ids.push(id);
            }
        }
        ids
    }
}

#[cfg(test)]
mod tests;
