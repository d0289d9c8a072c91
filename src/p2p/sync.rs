//! Headers first, then bodies from several peers at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};
use crate::chain::{Chain, HeaderRefusal};
use crate::types::{BlockId, Header, Height};
use crate::wire::Message;
use crate::wire::message::{HEADERS_MAX, LOCATOR_IDS_MAX, RequestId};

use super::{Action, ConnId};

/// How many blocks may be under way from one peer.
const IN_FLIGHT_PER_PEER: usize = 16;
/// How far ahead of the first missing block others are asked for.
const WINDOW: usize = 1_024;
/// How long a peer has to answer a request for headers.
const HEADERS_TIMEOUT: Span = Span::from_secs(15);
/// How long a peer has for a block before another peer is asked too.
const BLOCK_TIMEOUT: Span = Span::from_secs(5);
/// A peer that lets so many requests lapse in a row, with nothing in between, is given up.
const LAPSES_MAX: u32 = 4;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct SyncPeer {
    /// The best header it is known to have.
    best: Option<BlockId>,
    height: Height,
    headers_asked: Option<(u32, Time)>,
    in_flight: usize,
    lapses: u32,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Download {
    conn: ConnId,
    request: u32,
    deadline: Time,
}

/// Which headers and blocks are asked of whom.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sync {
    peers: BTreeMap<ConnId, SyncPeer>,
    downloads: BTreeMap<BlockId, Download>,
    /// Missing bodies of the best header's chain, the lowest first, and that header.
    queue: VecDeque<BlockId>,
    queued_for: Option<BlockId>,
    /// When to ask for headers again that were ahead of the clock.
    ask_again: Option<Time>,
    requests: u32,
}

impl Sync {
    fn next_request(&mut self) -> u32 {
        self.requests = self.requests.wrapping_add(1);
        self.requests
    }

    /// The height of the best header that a peer is known to have.
    #[must_use]
    pub fn best_height(&self, conn: ConnId) -> Height {
        self.peers
            .get(&conn)
            .map_or(Height::GENESIS, |peer| peer.height)
    }

    /// Whether a peer is known to have a block, because it told of it or of a descendant.
    #[must_use]
    pub fn knows(&self, conn: ConnId, id: &BlockId, chain: &Chain) -> bool {
        let best = self.peers.get(&conn).and_then(|peer| peer.best);
        let height = chain.tree().get(id).map(|entry| entry.header.height);
        match (best, height) {
            (Some(best), Some(height)) => chain.tree().ancestor(&best, height) == Some(*id),
            _ => false,
        }
    }

    /// A peer is ready: learn what headers it has.
    pub fn joined(
        &mut self,
        conn: ConnId,
        height: Height,
        chain: &Chain,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        self.peers.insert(
            conn,
            SyncPeer {
                height,
                ..SyncPeer::default()
            },
        );
        self.ask_headers(conn, chain.locator(), now, out);
    }

    /// A connection ended: what it was asked for is asked of others.
    pub fn left(&mut self, conn: ConnId) {
        self.peers.remove(&conn);
        self.downloads.retain(|_, download| download.conn != conn);
        self.queued_for = None;
    }

    fn ask_headers(
        &mut self,
        conn: ConnId,
        locator: Vec<BlockId>,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let req = self.next_request();
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if peer.headers_asked.is_some() {
            return;
        }
        peer.headers_asked = Some((req, now + HEADERS_TIMEOUT));
        let (request, max, stop) = (RequestId(req), HEADERS_MAX as u16, BlockId::ZERO);
        out.push(Action::Send(
            conn,
            Message::GetHeaders {
                request,
                max,
                stop,
                locator,
            },
        ));
    }

    /// Headers that were asked for.
    pub fn headers(
        &mut self,
        conn: ConnId,
        req: u32,
        headers: &[Header],
        chain: &mut Chain,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if peer.headers_asked.map(|(asked, _)| asked) != Some(req) {
            out.push(Action::Fault(
                conn,
                "it sent headers that nobody asked for".to_owned(),
            ));
            return;
        }
        (peer.headers_asked, peer.lapses) = (None, 0);
        let added = self.add(conn, headers, chain, now, out);
        if added && headers.len() == HEADERS_MAX {
            let last = headers.last().map(Header::id);
            let locator = last
                .into_iter()
                .chain(chain.locator())
                .take(LOCATOR_IDS_MAX);
            self.ask_headers(conn, locator.collect(), now, out);
        }
    }

    /// Headers of new blocks, sent unasked.
    pub fn announced(
        &mut self,
        conn: ConnId,
        headers: &[Header],
        chain: &mut Chain,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let Some(first) = headers.first() else { return };
        if chain.tree().get(&first.parent_id).is_none() {
            // It is ahead of us by more than it announced: learn what lies between.
            self.ask_headers(conn, chain.locator(), now, out);
            return;
        }
        self.add(conn, headers, chain, now, out);
    }

    /// Adds headers one after the other; says whether all are in the tree now.
    fn add(
        &mut self,
        conn: ConnId,
        headers: &[Header],
        chain: &mut Chain,
        now: Time,
        out: &mut Vec<Action>,
    ) -> bool {
        let mut previous: Option<BlockId> = None;
        for header in headers {
            if previous.is_some_and(|previous| previous != header.parent_id) {
                out.push(Action::Fault(
                    conn,
                    "headers must follow each other".to_owned(),
                ));
                return false;
            }
            match chain.add_header(header, now) {
                Ok(id) => {
                    previous = Some(id);
                    if let Some(peer) = self.peers.get_mut(&conn) {
                        peer.best = Some(id);
                        peer.height = peer.height.max(header.height);
                    }
                }
                Err(HeaderRefusal::Held { until }) => {
                    let sooner = self.ask_again.is_none_or(|at| until < at);
                    self.ask_again = if sooner { Some(until) } else { self.ask_again };
                    return false;
                }
                Err(refusal) => {
                    out.push(Action::Fault(
                        conn,
                        format!("a header is invalid: {refusal}"),
                    ));
                    return false;
                }
            }
        }
        true
    }

    /// Asks peers for missing blocks of the best header's chain, the lowest first. `room` is how
    /// many more blocks the node can take in; those `in_check` came and are not asked for again.
    pub fn schedule(
        &mut self,
        chain: &Chain,
        in_check: &BTreeSet<BlockId>,
        room: usize,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let best = chain.tree().best_header();
        if self.queued_for != Some(best) {
            let path = chain
                .tree()
                .path_from(&best, |id, _| chain.tree().is_complete(id));
            self.queue = path.into_iter().filter(|id| chain.wants_body(id)).collect();
            self.queued_for = Some(best);
        }
        while self.queue.front().is_some_and(|id| !chain.wants_body(id)) {
            self.queue.pop_front();
        }
        let mut asked: BTreeMap<ConnId, Vec<BlockId>> = BTreeMap::new();
        let mut room = room.saturating_sub(self.downloads.len());
        for id in self.queue.iter().take(WINDOW) {
            if room == 0 {
                break;
            }
            let under_way = self.downloads.contains_key(id) || in_check.contains(id);
            if under_way || !chain.wants_body(id) {
                continue;
            }
            let Some(conn) = self.choose(id, chain) else {
                continue;
            };
            let deadline = now + BLOCK_TIMEOUT;
            self.downloads.insert(
                *id,
                Download {
                    conn,
                    request: 0,
                    deadline,
                },
            );
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.in_flight += 1;
            }
            asked.entry(conn).or_default().push(*id);
            room -= 1;
        }
        for (conn, ids) in asked {
            let req = self.next_request();
            for id in &ids {
                if let Some(download) = self.downloads.get_mut(id) {
                    download.request = req;
                }
            }
            out.push(Action::Send(
                conn,
                Message::GetBlocks {
                    request: RequestId(req),
                    ids,
                },
            ));
        }
    }

    /// The peer that has a block and the least under way.
    fn choose(&self, id: &BlockId, chain: &Chain) -> Option<ConnId> {
        let height = chain.tree().get(id)?.header.height;
        let has = |peer: &SyncPeer| {
            peer.best
                .is_some_and(|best| chain.tree().ancestor(&best, height) == Some(*id))
        };
        let idle = |peer: &SyncPeer| peer.in_flight < IN_FLIGHT_PER_PEER;
        let able = self
            .peers
            .iter()
            .filter(|(_, peer)| idle(peer) && has(peer));
        able.min_by_key(|(conn, peer)| (peer.lapses, peer.in_flight, **conn))
            .map(|(conn, _)| *conn)
    }

    /// Whether a block was asked of this peer by this request; it counts as answered from now on.
    pub fn block_came(&mut self, conn: ConnId, req: u32, id: &BlockId) -> bool {
        let asked = self
            .downloads
            .get(id)
            .is_some_and(|download| download.conn == conn && download.request == req);
        if asked {
            self.downloads.remove(id);
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.in_flight = peer.in_flight.saturating_sub(1);
                peer.lapses = 0;
            }
        }
        asked
    }

    /// A peer does not have these after all: others are asked.
    pub fn not_found(&mut self, conn: ConnId, ids: &[BlockId]) {
        for id in ids {
            if self
                .downloads
                .get(id)
                .is_some_and(|download| download.conn == conn)
            {
                self.downloads.remove(id);
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.in_flight = peer.in_flight.saturating_sub(1);
                    peer.best = None;
                }
            }
        }
    }

    /// A body that failed its checks: it is wanted again, from somebody else.
    pub fn retry(&mut self) {
        self.queued_for = None;
    }

    /// Lets requests lapse whose time is over.
    pub fn expire(&mut self, chain: &Chain, now: Time, out: &mut Vec<Action>) {
        let late: Vec<_> = self
            .downloads
            .iter()
            .filter(|(_, download)| download.deadline <= now)
            .map(|(id, download)| (*id, download.conn))
            .collect();
        let mut slow = BTreeMap::new();
        for (id, conn) in late {
            self.downloads.remove(&id);
            *slow.entry(conn).or_insert(0_usize) += 1;
        }
        for (conn, count) in slow {
            let Some(peer) = self.peers.get_mut(&conn) else {
                continue;
            };
            peer.in_flight = peer.in_flight.saturating_sub(count);
            peer.lapses += 1;
            if peer.lapses >= LAPSES_MAX {
                out.push(Action::Unresponsive(conn, "blocks"));
            }
        }
        for (conn, peer) in &mut self.peers {
            if peer
                .headers_asked
                .is_some_and(|(_, deadline)| deadline <= now)
            {
                peer.headers_asked = None;
                out.push(Action::Unresponsive(*conn, "headers"));
            }
        }
        if self.ask_again.is_some_and(|at| at <= now) {
            self.ask_again = None;
            let conns: Vec<ConnId> = self.peers.keys().copied().collect();
            for conn in conns {
                self.ask_headers(conn, chain.locator(), now, out);
            }
        }
    }

    /// When [`expire`](Self::expire) has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let downloads = self.downloads.values().map(|download| download.deadline);
        let headers = self
            .peers
            .values()
            .filter_map(|peer| Some(peer.headers_asked?.1));
        downloads.chain(headers).chain(self.ask_again).min()
    }
}

#[cfg(test)]
mod tests;
