//! Transactions by inventory: told by id, asked for once, sent to who asked.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};
use crate::types::WtxId;
use crate::wire::Message;
use crate::wire::message::{GET_TX_MAX, RequestId, TX_INV_MAX};

use super::{Action, ConnId, RecentSet};

/// How many transactions may be under way from one peer.
const IN_FLIGHT_PER_PEER: usize = 512;
/// How many ids of one peer may wait to be asked for.
const ANNOUNCED_PER_PEER: usize = 5_000;
/// How many ids may wait to be told to one peer; more than that it learns from others.
const TELL_PER_PEER: usize = 20_000;
/// How many transactions a peer is remembered to know.
const KNOWN_PER_PEER: usize = 16_000;
/// How many refused transactions are remembered, so that they are not asked for again.
const REFUSED_MAX: usize = 16_000;
/// How long a peer has before another that announced the same transaction is asked.
const TRANSACTION_TIMEOUT: Span = Span::from_secs(2);
/// How long ids wait to be told together.
pub const TELL_INTERVAL: Span = Span::from_millis(50);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct RelayPeer {
    known: RecentSet<WtxId>,
    tell: VecDeque<WtxId>,
    /// The fee per 1,000 weight below which it wants no announcements.
    fee_floor: u64,
    in_flight: usize,
    announced: usize,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Want {
    /// Who announced it and was not asked yet.
    announcers: VecDeque<ConnId>,
    /// Who was asked, and until when.
    asked: Option<(ConnId, Time)>,
}

/// Who knows, wants and is asked for which transactions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Relay {
    peers: BTreeMap<ConnId, RelayPeer>,
    wants: BTreeMap<WtxId, Want>,
    refused: RecentSet<WtxId>,
    /// What came lately, so that a late answer to a request that lapsed is no fault.
    came: RecentSet<WtxId>,
    /// Requests that lapsed: their answers are still taken, once.
    lapsed: RecentSet<(ConnId, WtxId)>,
    requests: u32,
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            peers: BTreeMap::new(),
            wants: BTreeMap::new(),
            refused: RecentSet::new(REFUSED_MAX),
            came: RecentSet::new(REFUSED_MAX),
            lapsed: RecentSet::new(REFUSED_MAX),
            requests: 0,
        }
    }
}

impl Relay {
    /// A peer is ready; it learns of what waits already.
    pub fn joined(&mut self, conn: ConnId, waiting: impl Iterator<Item = WtxId>) {
        let peer = RelayPeer {
            known: RecentSet::new(KNOWN_PER_PEER),
            tell: waiting.take(TELL_PER_PEER).collect(),
            fee_floor: 0,
            in_flight: 0,
            announced: 0,
        };
        self.peers.insert(conn, peer);
    }

    /// A connection ended: what it was asked for is asked of others.
    pub fn left(&mut self, conn: ConnId, now: Time) {
        self.peers.remove(&conn);
        for want in self.wants.values_mut() {
            want.announcers.retain(|announcer| *announcer != conn);
            if want.asked.is_some_and(|(asked, _)| asked == conn) {
                want.asked = Some((conn, now));
            }
        }
    }

    /// The least fee per 1,000 weight that a peer wants to hear of.
    pub fn fee_filter(&mut self, conn: ConnId, fee: u64) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.fee_floor = fee;
        }
    }

    /// A peer has these transactions. Those that are neither `known` nor refused are wanted.
    pub fn announced(&mut self, conn: ConnId, ids: &[WtxId], known: impl Fn(&WtxId) -> bool) {
        for id in ids {
            let Some(peer) = self.peers.get_mut(&conn) else {
                return;
            };
            peer.known.insert(*id);
            if known(id) || self.refused.contains(id) || peer.announced >= ANNOUNCED_PER_PEER {
                continue;
            }
            peer.announced += 1;
            self.wants
                .entry(*id)
                .or_default()
                .announcers
                .push_back(conn);
        }
    }

    /// Asks for what is wanted and not under way.
    pub fn schedule(&mut self, now: Time, out: &mut Vec<Action>) {
        let mut asked: BTreeMap<ConnId, Vec<WtxId>> = BTreeMap::new();
        let mut nowhere = Vec::new();
        for (id, want) in &mut self.wants {
            if let Some((conn, deadline)) = want.asked {
                if deadline > now {
                    continue;
                }
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.in_flight = peer.in_flight.saturating_sub(1);
                    self.lapsed.insert((conn, *id));
                }
                want.asked = None;
            }
            let peers = &self.peers;
            let able = want.announcers.iter().position(|conn| {
                peers
                    .get(conn)
                    .is_some_and(|peer| peer.in_flight < IN_FLIGHT_PER_PEER)
            });
            let Some(conn) = able.and_then(|place| want.announcers.remove(place)) else {
                if want.announcers.is_empty() {
                    nowhere.push(*id);
                }
                continue;
            };
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.in_flight += 1;
                peer.announced = peer.announced.saturating_sub(1);
            }
            want.asked = Some((conn, now + TRANSACTION_TIMEOUT));
            asked.entry(conn).or_default().push(*id);
        }
        for id in nowhere {
            self.wants.remove(&id);
        }
        for (conn, ids) in asked {
            for ids in ids.chunks(GET_TX_MAX) {
                self.requests = self.requests.wrapping_add(1);
                let (request, wtxids) = (RequestId(self.requests), ids.to_vec());
                out.push(Action::Send(conn, Message::GetTx { request, wtxids }));
            }
        }
    }

    /// Whether a transaction was asked of this peer, be it too slow; it counts as answered from
    /// now on.
    pub fn came(&mut self, conn: ConnId, id: &WtxId) -> bool {
        let want = self.wants.get(id);
        let asked = want.is_some_and(|want| want.asked.is_some_and(|(c, _)| c == conn));
        let late = self.lapsed.contains(&(conn, *id)) && !self.came.contains(id);
        if asked || late {
            self.settle(id);
            self.came.insert(*id);
        }
        asked || late
    }

    /// Whether a transaction came lately, or is asked of another peer since this one was slow.
    #[must_use]
    pub fn is_recent(&self, id: &WtxId) -> bool {
        self.came.contains(id) || self.wants.contains_key(id)
    }

    /// Nothing more is wanted of this transaction.
    fn settle(&mut self, id: &WtxId) {
        let Some(want) = self.wants.remove(id) else {
            return;
        };
        if let Some((conn, _)) = want.asked
            && let Some(peer) = self.peers.get_mut(&conn)
        {
            peer.in_flight = peer.in_flight.saturating_sub(1);
        }
        for announcer in &want.announcers {
            if let Some(peer) = self.peers.get_mut(announcer) {
                peer.announced = peer.announced.saturating_sub(1);
            }
        }
    }

    /// A peer does not have these after all: the next that announced them is asked.
    pub fn not_found(&mut self, conn: ConnId, ids: &[WtxId], now: Time) {
        for id in ids {
            if let Some(want) = self.wants.get_mut(id)
                && want.asked.is_some_and(|(asked, _)| asked == conn)
            {
                want.asked = Some((conn, now));
            }
        }
    }

    /// A transaction is in the mempool now: every peer that does not know it is to hear of it.
    pub fn accepted(&mut self, id: WtxId, fee_rate: u64) {
        self.settle(&id);
        for peer in self.peers.values_mut() {
            // Rates are per 1,000 weight in 1/1,000.
            let wanted = fee_rate >= peer.fee_floor.saturating_mul(1_000);
            if wanted && peer.tell.len() < TELL_PER_PEER && !peer.known.contains(&id) {
                peer.tell.push_back(id);
            }
        }
    }

    /// A transaction that can't be accepted now is not asked for again soon.
    pub fn refuse(&mut self, id: WtxId) {
        self.refused.insert(id);
    }

    /// The tip moved: what could not be accepted before may be now.
    pub fn tip_moved(&mut self) {
        self.refused.clear();
    }

    /// Tells each peer of the transactions that came since the last time.
    pub fn tell(&mut self, waiting: impl Fn(&WtxId) -> bool, out: &mut Vec<Action>) {
        for (conn, peer) in &mut self.peers {
            let mut ids = Vec::new();
            while let Some(id) = peer.tell.pop_front() {
                // Mined or replaced meanwhile, or told by the peer itself: nothing to say.
                if waiting(&id) && peer.known.insert(id) {
                    ids.push(id);
                }
            }
            for ids in ids.chunks(TX_INV_MAX) {
                out.push(Action::Send(
                    *conn,
                    Message::TxInv {
                        wtxids: ids.to_vec(),
                    },
                ));
            }
        }
    }

    /// Whether there is something to tell.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.peers.values().any(|peer| !peer.tell.is_empty())
    }

    /// When a request lapses.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.wants
            .values()
            .filter_map(|want| Some(want.asked?.1))
            .min()
    }
}

#[cfg(test)]
mod tests;
