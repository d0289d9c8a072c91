//! Who may stay: discouragement, the operator's bans, and slots.
//!
//! A peer that breaks a rule is closed and discouraged: its key and its address, for a day. It is
//! known by its key as soon as it has proved one, and by its address only before; so of several
//! nodes behind one address only the one at fault is treated as such. What follows is little, and
//! the same for every peer, whoever named it and wherever it is: this node does not dial a
//! discouraged key; a connection from a discouraged address is refused before its handshake only
//! when slots are scarce; and where all are taken, a discouraged key gets none and is the first to
//! lose one.

use std::net::IpAddr;

use crate::base::{Span, Time};
use crate::p2p::eviction::{self, Candidate};
use crate::p2p::{BanTarget, ConnId, Direction};
use crate::types::{NodeKey, PeerAddress};

use super::{CallError, CallId, CloseReason, Event, Node, Output, Peer, PeerRef, Reply, Timer};

/// With no new header for so many block intervals the tip counts as stale.
const STALE_INTERVALS: u64 = 6;
/// But not before so long.
const STALE_MIN: Span = Span::from_secs(90);

impl Node {
    /// Why a connection from here is not even let shake hands.
    pub(super) fn refusal_of_address(&self, ip: IpAddr, now: Time) -> Option<&'static str> {
        if self.bans.of_address(ip, now).is_some() {
            return Some("its address is banned");
        }
        let is_scarce = self.inbound() + 1 >= self.config.inbound_max;
        (is_scarce && self.discouragement.has_address(ip, now))
            .then_some("somebody at its address broke a rule, and slots are scarce")
    }

    /// Inbound connections whose handshake is complete.
    fn inbound(&self) -> usize {
        let inbound = |peer: &&Peer| peer.direction == Direction::Inbound;
        self.peers.values().filter(inbound).count()
    }

    /// Makes room for an inbound connection of this key; says why there is none.
    pub(super) fn make_room(&mut self, key: &NodeKey, now: Time) -> Result<(), &'static str> {
        if self.inbound() < self.config.inbound_max {
            return Ok(());
        }
        if self.discouragement.of_key(key, now).is_some() {
            return Err("it broke a rule lately, and every slot is taken");
        }
        let candidates = self.candidates(now);
        let Some(conn) = eviction::choose(candidates) else {
            return Err("every slot is taken by a peer that is worth more");
        };
        self.drop_peer(conn, CloseReason::Refused("a newcomer needs the slot"), now);
        Ok(())
    }

    fn candidates(&self, now: Time) -> Vec<Candidate> {
        // A fork does not depend on how far the stream is: the secret stays the same.
        let secret = self.rng.fork("networks").bytes32();
        let candidate = |(conn, peer): (&ConnId, &Peer)| Candidate {
            conn: *conn,
            since: peer.since,
            network: eviction::keyed_network(&secret, peer.address.ip()),
            ping_min: peer.ping_min,
            last_transaction: peer.last_transaction,
            last_block: peer.last_block,
            is_discouraged: self.discouragement.of_key(&peer.key, now).is_some(),
            is_slow: self.relay.is_slow(*conn),
        };
        let peers = self.peers.iter();
        peers
            .filter(|(_, peer)| peer.direction == Direction::Inbound)
            .map(candidate)
            .collect()
    }

    /// The peer of this connection broke a rule.
    pub(super) fn discourage(&mut self, conn: ConnId, rule: &str, now: Time) {
        let Some(peer) = self.peers.get(&conn) else {
            return;
        };
        let (key, address) = (peer.key, peer.address);
        self.discouragement.discourage(key, address.ip(), rule, now);
        let rule = rule.to_owned();
        self.event(Event::PeerDiscouraged { key, address, rule });
    }

    /// Until when a peer is not dialled, if it is not now.
    pub(super) fn not_dialled_until(&self, peer: &PeerAddress, now: Time) -> Option<Time> {
        let discouraged = self.discouragement.of_key(&peer.key, now);
        let ends = [
            discouraged.map(|(_, until)| until),
            self.bans.of_key(&peer.key, now),
            self.bans.of_address(peer.socket.ip(), now),
        ];
        ends.into_iter().flatten().max()
    }

    /// Bans somebody, closes the connections that are meant, and has the list written.
    pub(super) fn ban(&mut self, call: CallId, target: BanTarget, span: Span, now: Time) {
        if self.bans.insert(target, now, now + span).is_err() {
            return self.answer(call, Err(CallError::BansFull));
        }
        let meant = self.peers.iter();
        let meant = meant.filter(|(_, peer)| target.is(&peer.key, peer.address.ip()));
        for conn in meant.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            self.drop_peer(conn, CloseReason::Refused("the operator banned it"), now);
        }
        if let BanTarget::Addresses(range) = target {
            let half_open = self.addresses.iter();
            let half_open = half_open.filter(|(_, address)| range.contains(address.ip()));
            for conn in half_open.map(|(conn, _)| *conn).collect::<Vec<_>>() {
                self.refuse(conn, CloseReason::Refused("the operator banned it"));
            }
        }
        self.keep_bans(call, now);
    }

    /// Ends a ban, and forgets what is held against the same peer.
    pub(super) fn unban(&mut self, call: CallId, target: BanTarget, now: Time) {
        let was_banned = self.bans.remove(&target);
        let before = self.discouragement.len();
        self.discouragement.forgive(&target);
        if !was_banned && self.discouragement.len() == before {
            return self.answer(call, Err(CallError::NotFound("ban")));
        }
        self.timers.set_earlier(Timer::Dial, now);
        self.keep_bans(call, now);
    }

    /// Ends all bans, and forgets what is held against anybody.
    pub(super) fn clear_bans(&mut self, call: CallId, now: Time) {
        self.bans.clear();
        self.discouragement.forgive_all();
        self.timers.set_earlier(Timer::Dial, now);
        self.keep_bans(call, now);
    }

    fn keep_bans(&mut self, call: CallId, now: Time) {
        self.keeping.insert(call);
        let text = self.bans.text(now).into();
        self.outputs.push_back(Output::KeepBans { call, text });
    }

    /// The list is in its file, or could not be written.
    pub(super) fn bans_kept(&mut self, call: CallId, result: Result<(), String>) {
        if self.keeping.remove(&call) {
            let reply = result.map(|()| Reply::Done);
            self.answer(call, reply.map_err(CallError::NotKept));
        }
    }

    /// Closes connections that the operator names.
    pub(super) fn disconnect(&mut self, peer: &PeerRef, now: Time) -> Result<Reply, CallError> {
        let meant = |(conn, it): (&ConnId, &Peer)| {
            let is_meant = match peer {
                PeerRef::Conn(named) => named == conn,
                PeerRef::Key(key) => *key == it.key,
                PeerRef::Address(address) => *address == it.address,
            };
            is_meant.then_some(*conn)
        };
        let conns: Vec<ConnId> = self.peers.iter().filter_map(meant).collect();
        if conns.is_empty() {
            return Err(CallError::NotFound("connected peer"));
        }
        for conn in conns {
            let why = CloseReason::Refused("the operator disconnected it");
            self.drop_peer(conn, why, now);
        }
        Ok(Reply::Done)
    }

    /// How long the tip may stay as it is.
    fn stale_after(&self) -> Span {
        let interval = Span::from_millis(self.config.genesis.rules.interval_ms.into());
        interval.times(STALE_INTERVALS).max(STALE_MIN)
    }

    /// Looks whether a header came that is better than those before.
    pub(super) fn watch_tip(&mut self, now: Time) {
        let best = self.chain.tree().best_header();
        if self.newest_header != best {
            self.newest_header = best;
            self.timers.set(Timer::Stale, now + self.stale_after());
        }
    }

    /// No new header for long: perhaps nobody finds one, perhaps those we are connected with keep
    /// them from us. The peer that waits longest for its next dial is tried now.
    pub(super) fn tip_is_stale(&mut self, now: Time) {
        self.timers.set(Timer::Stale, now + self.stale_after());
        let waiting = self.dials.iter().filter(|(key, dial)| {
            !dial.under_way
                && self.connection_to(key).is_none()
                && self.not_dialled_until(&dial.peer, now).is_none()
        });
        let first = waiting.map(|(key, dial)| (dial.next, *key)).min();
        if let Some((_, key)) = first
            && let Some(dial) = self.dials.get_mut(&key)
        {
            dial.next = now;
            self.dial(now);
        }
    }
}
