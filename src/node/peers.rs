//! From connection to READY, and what keeps a connection alive.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};
use crate::codec::DecodeError;
use crate::p2p::{ConnId, Direction};
use crate::types::{
    EngineKind, Millis, NetworkAddress, NodeKey, NodeRecord, PeerAddress, Services,
};
use crate::wire::message::{Features, Hello, PROTOCOL_VERSION, Role, ShortText, UnknownKind};
use crate::wire::{Admission, ConnectionId, HandshakeEnd, Lane, Message, MessageKind};

use super::blocks::Serving;
use super::{CloseCause, CloseReason, Event, Node, Output, Timer};

/// What this node calls itself to peers.
const AGENT: &str = concat!("keel/", env!("CARGO_PKG_VERSION"));
/// The abilities that this node knows, beyond the ground: none yet.
const FEATURES: Features = Features::NONE;
/// How long after the handshake a peer has to be ready.
const GREETING_TIMEOUT: Span = Span::from_secs(5);
/// How often a quiet peer is asked whether it is there.
const PING_INTERVAL: Span = Span::from_secs(60);
/// How long it has to answer.
const PONG_TIMEOUT: Span = Span::from_secs(20);
/// The first wait after a dial that failed; it doubles up to the greatest.
const DIAL_WAIT_FIRST: Span = Span::from_millis(500);
const DIAL_WAIT_MOST: Span = Span::from_secs(30);
/// Unknown odd messages that a peer may send in an hour: "it's OK to be odd" (BOLT 1), within
/// reason.
const ODD_PER_HOUR: u32 = 1_000;

/// A peer that the node is to be connected with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Dial {
    pub(super) peer: PeerAddress,
    pub(super) next: Time,
    wait: Span,
    pub(super) under_way: bool,
}

impl Dial {
    pub(super) fn new(peer: PeerAddress, now: Time) -> Self {
        Self {
            peer,
            next: now,
            wait: DIAL_WAIT_FIRST,
            under_way: false,
        }
    }

    /// Of the peers that a node begins with.
    pub(super) fn all(peers: &[PeerAddress], now: Time) -> BTreeMap<NodeKey, Self> {
        let dial = |peer: &PeerAddress| (peer.key, Self::new(*peer, now));
        peers.iter().map(dial).collect()
    }
}

/// How far the greeting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Stage {
    /// Its HELLO is awaited.
    Hello,
    /// Its READY is awaited.
    Ready,
    /// Everything may be said.
    Talking,
}

/// A connection whose handshake is complete.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Peer {
    pub(super) key: NodeKey,
    pub(super) address: SocketAddr,
    pub(super) direction: Direction,
    pub(super) since: Time,
    stage: Stage,
    pub(super) agent: String,
    #[serde(with = "greeting")]
    hello: Option<Hello>,
    nonce: u64,
    pinged: Option<(u64, Time)>,
    pub(super) ping_micros: u64,
    /// The least of its round trips.
    pub(super) ping_min: Option<Span>,
    /// When it brought a transaction that was new and good.
    pub(super) last_transaction: Option<Time>,
    /// When it brought a block that was new and good.
    pub(super) last_block: Option<Time>,
    /// Bytes of its messages, and of those to it.
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    odd: (Time, u32),
    pub(super) serving: Serving,
    /// How many of its questions for headers wait for a read.
    pub(super) headers_read: u32,
}

impl Peer {
    pub(super) fn is_ready(&self) -> bool {
        self.stage == Stage::Talking
    }
}

impl Node {
    /// Somebody wants to connect: look at the limits before anything is spent on a handshake.
    pub(super) fn accepted(&mut self, conn: ConnId, from: SocketAddr, now: Time) {
        let close = |node: &mut Self, conn, limit: &'static str| {
            let why = CloseReason::Refused(limit);
            node.outputs.push_back(Output::Close { conn, why });
        };
        if let Some(why) = self.refusal_of_address(from.ip(), now) {
            return close(self, conn, why);
        }
        match self.limits.admit(now, ConnectionId(conn.0), from.ip()) {
            Admission::Accept => {}
            Admission::AcceptAndClose(other) => {
                let other = ConnId(other.0);
                if self.peers.contains_key(&other) {
                    let why = CloseReason::Refused("a newcomer needs the room");
                    self.drop_peer(other, why, now);
                } else {
                    self.addresses.remove(&other);
                    close(self, other, "a newcomer needs the room");
                }
            }
            Admission::Refuse(refusal) => return close(self, conn, refusal.text()),
        }
        self.addresses.insert(conn, from);
        self.watch_handshakes(now);
    }

    /// Sets the timer of the handshake that must end first.
    fn watch_handshakes(&mut self, now: Time) {
        match self.limits.next_deadline() {
            Some(at) => self.timers.set(Timer::Handshakes, at.max(now)),
            None => {
                self.timers.clear(&Timer::Handshakes);
            }
        }
    }

    /// Closes connections whose handshake takes too long.
    pub(super) fn handshakes_late(&mut self, now: Time) {
        while let Some(late) = self.limits.take_overdue(now) {
            let conn = ConnId(late.0);
            if self.peers.contains_key(&conn) {
                self.drop_peer(conn, CloseReason::Unresponsive("greeting"), now);
            } else if self.addresses.remove(&conn).is_some() {
                let why = CloseReason::Unresponsive("handshake");
                self.outputs.push_back(Output::Close { conn, why });
            }
        }
        self.watch_handshakes(now);
    }

    /// A peer has proved who it is.
    pub(super) fn connected(
        &mut self,
        conn: ConnId,
        direction: Direction,
        address: SocketAddr,
        record: &NodeRecord,
        now: Time,
    ) {
        let key = record.content.key;
        if direction == Direction::Outbound
            && let Some(dial) = self.dials.get_mut(&key)
        {
            dial.under_way = false;
        }
        self.addresses.insert(conn, address);
        let banned = self.bans.of_key(&key, now);
        if banned.or(self.bans.of_address(address.ip(), now)).is_some() {
            self.refuse(conn, CloseReason::Refused("it is banned"));
            return;
        }
        if key == self.config.record.content.key {
            self.dials.remove(&key);
            self.refuse(conn, CloseReason::OwnNode);
            return;
        }
        if let Some(other) = self.connection_to(&key) {
            // Two nodes that dial each other at once must drop the same of two connections: the
            // one that the smaller key dialled stays. Of two in the same direction the newer is
            // the living one.
            let own = self.config.record.content.key;
            let dialler = |direction| {
                if direction == Direction::Outbound {
                    own
                } else {
                    key
                }
            };
            let older = self.peers.get(&other).map(|peer| peer.direction);
            if older.is_some_and(|older| older != direction && dialler(older) < dialler(direction))
            {
                self.refuse(conn, CloseReason::Duplicate);
                return;
            }
            self.drop_peer(other, CloseReason::Duplicate, now);
        }
        if direction == Direction::Inbound
            && let Err(why) = self.make_room(&key, now)
        {
            self.refuse(conn, CloseReason::Refused(why));
            return;
        }
        let nonce = self.rng.next_u64();
        let peer = Peer {
            key,
            address,
            direction,
            since: now,
            stage: Stage::Hello,
            agent: String::new(),
            hello: None,
            nonce,
            pinged: None,
            ping_micros: 0,
            ping_min: None,
            last_transaction: None,
            last_block: None,
            bytes_in: 0,
            bytes_out: 0,
            odd: (now, 0),
            serving: Serving::default(),
            headers_read: 0,
        };
        self.peers.insert(conn, peer);
        self.timers
            .set(Timer::Greeting(conn), now + GREETING_TIMEOUT);
        self.send_hello(conn, address, nonce, now);
    }

    pub(super) fn connection_to(&self, key: &NodeKey) -> Option<ConnId> {
        self.peers
            .iter()
            .find(|(_, peer)| peer.key == *key)
            .map(|(conn, _)| *conn)
    }

    fn send_hello(&mut self, conn: ConnId, address: SocketAddr, nonce: u64, now: Time) {
        let tip = self.chain.tip_entry();
        let unknown = SocketAddr::new(address.ip(), 1);
        let observed = NetworkAddress::from_socket(address)
            .or_else(|| NetworkAddress::from_socket(unknown))
            .expect("every IP address has a form on the wire");
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            protocol_min: PROTOCOL_VERSION,
            role: Role::Full,
            listen_port: self.config.listen_port,
            features: FEATURES,
            services: Services::FULL_BLOCKS,
            best_height: tip.header.height,
            best_id: self.chain.tip(),
            nonce,
            reconciliation_salt: self.rng.next_u64(),
            time: Millis(now.as_millis()),
            observed,
            agent: ShortText::new(AGENT),
        };
        self.send(conn, &Message::Hello(Box::new(hello)));
    }

    /// A message of a peer: what it is decides who deals with it.
    pub(super) fn message(&mut self, conn: ConnId, lane: u8, kind: u8, bytes: &[u8], now: Time) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            // It was closed in the same turn.
            return;
        };
        peer.bytes_in += bytes.len() as u64;
        let engine = self.config.genesis.rules.engine_kind();
        match read(kind, bytes, engine) {
            Ok(Some(message)) => self.dispatch(conn, lane, message, now),
            Ok(None) => self.odd_message(conn, now),
            Err(rule) => self.fault(conn, rule, now),
        }
    }

    fn dispatch(&mut self, conn: ConnId, lane: u8, message: Message, now: Time) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let lane = Lane::from_byte(lane).unwrap_or(Lane::Control);
        match (peer.stage, message) {
            (Stage::Hello, Message::Hello(hello)) => self.hello(conn, *hello, now),
            (Stage::Ready, Message::Ready { features }) => self.greeted(conn, features, now),
            (_, Message::Bye { reason, text }) => {
                let why = format!("it said goodbye ({reason}): {text}");
                self.forget_peer(conn, why, now);
                let why = CloseReason::Goodbye;
                self.outputs.push_back(Output::Close { conn, why });
            }
            (Stage::Talking, message) => self.talk(conn, lane, message, now),
            (Stage::Hello, _) => self.fault(conn, "its first message is not HELLO", now),
            (Stage::Ready, _) => self.fault(conn, "its second message is not READY", now),
        }
    }

    /// A message of a peer that is ready.
    fn talk(&mut self, conn: ConnId, lane: Lane, message: Message, now: Time) {
        let answers = match &message {
            Message::Headers { request, .. } | Message::Block { request, .. } => Some(request),
            // Those of lane 3 are about transactions.
            Message::NotFound { request, .. } if lane != Lane::Transactions => Some(request),
            _ => None,
        };
        if answers.is_some_and(|request| !self.sync.is_in_lane(conn, request.0, lane)) {
            return self.fault(
                conn,
                "it answered in another lane than it was asked in",
                now,
            );
        }
        match message {
            Message::Ping { nonce } => self.send(conn, &Message::Pong { nonce }),
            Message::Pong { nonce } => self.pong(conn, nonce, now),
            Message::FindNode { request, .. } => {
                // This node keeps no table of nodes, and says so by an empty answer.
                self.send(
                    conn,
                    &Message::Nodes {
                        request,
                        records: Vec::new(),
                    },
                );
            }
            Message::GetAddrs { request } => {
                self.send(
                    conn,
                    &Message::Addrs {
                        request,
                        records: Vec::new(),
                    },
                );
            }
            Message::GetRecord { request } => {
                let record = Box::new(self.config.record.clone());
                self.send(conn, &Message::Record { request, record });
            }
            Message::GetHeaders {
                request,
                max,
                stop,
                locator,
            } => {
                self.give_headers(conn, lane, request, max, &stop, &locator);
            }
            Message::Headers { request, headers } => {
                self.with_sync(now, |sync, chain, out| {
                    sync.headers(conn, request.0, &headers, chain, now, out);
                });
            }
            Message::Announce { headers } => {
                self.with_sync(now, |sync, chain, out| {
                    sync.announced(conn, &headers, chain, now, out);
                });
            }
            Message::GetBlocks { request, ids } => {
                self.give_blocks(conn, lane, request, &ids, now);
            }
            Message::Block { request, block } => self.block_came(conn, request, block, now),
            Message::NotFound { ids, .. } => self.not_found(conn, lane, &ids, now),
            Message::TxInv { wtxids } => self.inventory(conn, &wtxids, now),
            Message::GetTx { request, wtxids } => self.give_transactions(conn, request, &wtxids),
            Message::Txs { transactions, .. } => self.transactions_came(conn, transactions, now),
            Message::FeeFilter { fee } => self.relay.fee_filter(conn, fee),
            Message::Nodes { .. } | Message::Addrs { .. } | Message::Record { .. } => {
                self.fault(conn, "it answered what nobody asked", now);
            }
            Message::Hello(_) | Message::Ready { .. } => {
                self.fault(conn, "it greeted twice", now);
            }
            Message::Bye { .. } | Message::Credit { .. } => {}
        }
    }

    fn hello(&mut self, conn: ConnId, hello: Hello, now: Time) {
        let own = self.peers.values().any(|peer| peer.nonce == hello.nonce);
        if own {
            self.drop_peer(conn, CloseReason::OwnNode, now);
        } else if hello.common_version().is_none() {
            let how = "it speaks no version of the protocol that this node speaks".to_owned();
            self.drop_peer(conn, CloseReason::Incompatible(how), now);
        } else if let Some(bit) = hello.features.required_beyond(FEATURES) {
            let how = format!("it needs feature {bit}, which this node lacks");
            self.drop_peer(conn, CloseReason::Incompatible(how), now);
        } else if let Some(peer) = self.peers.get_mut(&conn) {
            peer.stage = Stage::Ready;
            peer.agent = hello.agent.to_string();
            let features = hello.features.and(FEATURES);
            peer.hello = Some(hello);
            self.send(conn, &Message::Ready { features });
        }
    }

    fn greeted(&mut self, conn: ConnId, features: Features, now: Time) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let Some(hello) = peer.hello.take() else {
            return;
        };
        if features != hello.features.and(FEATURES) {
            self.fault(
                conn,
                "its READY names other features than both sides have",
                now,
            );
            return;
        }
        peer.stage = Stage::Talking;
        let (address, direction) = (peer.address, peer.direction);
        self.limits
            .handshake_ended(now, ConnectionId(conn.0), HandshakeEnd::Ready);
        self.timers.clear(&Timer::Greeting(conn));
        self.timers.set(Timer::Ping(conn), now + PING_INTERVAL);
        self.event(Event::PeerReady {
            conn,
            address,
            direction,
        });
        let tip = (hello.best_id, hello.best_height);
        self.with_sync(now, |sync, chain, out| {
            sync.joined(conn, direction, tip, chain, now, out);
        });
        // The best paying first, and each account's in their order.
        let waiting = self.mempool.best_first().map(|checked| checked.wtxid);
        self.relay.joined(conn, direction, waiting, now);
        self.publish_soon(now);
    }

    pub(super) fn publish_soon(&mut self, now: Time) {
        self.timers
            .set_earlier(Timer::Publish, now + Span::from_millis(100));
    }

    pub(super) fn greeting_late(&mut self, conn: ConnId, now: Time) {
        self.drop_peer(conn, CloseReason::Unresponsive("greeting"), now);
    }

    pub(super) fn ping(&mut self, conn: ConnId, now: Time) {
        let nonce = self.rng.next_u64();
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.pinged = Some((nonce, now));
            self.send(conn, &Message::Ping { nonce });
            self.timers.set(Timer::Pong(conn), now + PONG_TIMEOUT);
        }
    }

    fn pong(&mut self, conn: ConnId, nonce: u64, now: Time) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        match peer.pinged.take() {
            Some((asked, at)) if asked == nonce => {
                let ping = now.since(at);
                peer.ping_micros = ping.as_micros();
                peer.ping_min = Some(peer.ping_min.map_or(ping, |least| least.min(ping)));
                self.timers.clear(&Timer::Pong(conn));
                self.timers.set(Timer::Ping(conn), now + PING_INTERVAL);
            }
            _ => self.fault(conn, "it answered a ping that nobody sent", now),
        }
    }

    pub(super) fn pong_late(&mut self, conn: ConnId, now: Time) {
        self.drop_peer(conn, CloseReason::Unresponsive("ping"), now);
    }

    fn odd_message(&mut self, conn: ConnId, now: Time) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if now.since(peer.odd.0) >= Span::from_secs(3_600) {
            peer.odd = (now, 0);
        }
        peer.odd.1 += 1;
        if peer.odd.1 > ODD_PER_HOUR {
            self.fault(
                conn,
                "it sent more than 1,000 unknown messages in an hour",
                now,
            );
        }
    }

    /// Closes the connection of a peer that broke a rule.
    pub(super) fn fault(&mut self, conn: ConnId, rule: impl Into<String>, now: Time) {
        self.drop_peer(conn, CloseReason::Fault(rule.into()), now);
    }

    /// Closes a connection that did not become a peer.
    pub(super) fn refuse(&mut self, conn: ConnId, why: CloseReason) {
        self.addresses.remove(&conn);
        self.limits.closed(ConnectionId(conn.0));
        self.outputs.push_back(Output::Close { conn, why });
    }

    /// Closes a peer's connection.
    pub(super) fn drop_peer(&mut self, conn: ConnId, why: CloseReason, now: Time) {
        if self.peers.contains_key(&conn) {
            if matches!(why, CloseReason::Fault(_) | CloseReason::Unresponsive(_)) {
                // Where the greeting was not over, its address must wait.
                let talking = self.peers.get(&conn).is_some_and(Peer::is_ready);
                if !talking {
                    let id = ConnectionId(conn.0);
                    self.limits.handshake_ended(now, id, HandshakeEnd::Failed);
                }
            }
            if let CloseReason::Fault(rule) = &why {
                self.discourage(conn, rule, now);
            }
            self.forget_peer(conn, why.to_string(), now);
            self.outputs.push_back(Output::Close { conn, why });
        }
    }

    /// A connection ended by itself.
    pub(super) fn closed(&mut self, conn: ConnId, why: &CloseCause, now: Time) {
        if self.peers.contains_key(&conn) {
            if let CloseCause::Fault(rule) = why {
                self.discourage(conn, rule, now);
            }
            self.forget_peer(conn, why.to_string(), now);
        } else if self.addresses.remove(&conn).is_some() {
            let end = match why {
                CloseCause::Remote | CloseCause::Failed(_) => HandshakeEnd::Lost,
                CloseCause::Fault(_) | CloseCause::TimedOut => HandshakeEnd::Failed,
            };
            self.limits.handshake_ended(now, ConnectionId(conn.0), end);
        }
    }

    fn forget_peer(&mut self, conn: ConnId, why: String, now: Time) {
        let Some(peer) = self.peers.remove(&conn) else {
            return;
        };
        self.addresses.remove(&conn);
        self.limits.closed(ConnectionId(conn.0));
        for timer in [Timer::Greeting(conn), Timer::Ping(conn), Timer::Pong(conn)] {
            self.timers.clear(&timer);
        }
        self.with_sync(now, |sync, chain, out| sync.left(conn, chain, now, out));
        self.relay.left(conn, now);
        if let Some(dial) = self.dials.get_mut(&peer.key) {
            // One that closes before it is ready is dialled ever more rarely, like one that is not
            // there.
            dial.under_way = false;
            if peer.is_ready() {
                dial.wait = DIAL_WAIT_FIRST;
            }
            dial.next = now + dial.wait;
            dial.wait = dial.wait.times(2).min(DIAL_WAIT_MOST);
            self.timers.set_earlier(Timer::Dial, dial.next);
        }
        self.event(Event::PeerGone {
            conn,
            address: peer.address,
            why,
        });
        self.publish_soon(now);
    }

    /// Wants to be connected with a peer from now on.
    pub(super) fn add_dial(&mut self, peer: PeerAddress, now: Time) {
        self.dials
            .entry(peer.key)
            .or_insert_with(|| Dial::new(peer, now));
        self.timers.set_earlier(Timer::Dial, now);
    }

    /// Dials every peer that is due and not connected.
    pub(super) fn dial(&mut self, now: Time) {
        let mut next: Option<Time> = None;
        let keys: Vec<NodeKey> = self.dials.keys().copied().collect();
        for key in keys {
            let is_connected = self.connection_to(&key).is_some();
            let Some(dial) = self.dials.get(&key).filter(|dial| !dial.under_way) else {
                continue;
            };
            if is_connected {
                continue;
            }
            let due = self
                .not_dialled_until(&dial.peer, now)
                .map_or(dial.next, |until| until.max(dial.next));
            if due > now {
                next = Some(next.map_or(due, |at| at.min(due)));
            } else if let Some(dial) = self.dials.get_mut(&key) {
                dial.under_way = true;
                self.outputs.push_back(Output::Dial(dial.peer));
            }
        }
        if let Some(at) = next {
            self.timers.set_earlier(Timer::Dial, at);
        }
    }

    pub(super) fn dial_failed(&mut self, key: &NodeKey, why: String, now: Time) {
        let Some(dial) = self.dials.get_mut(key) else {
            return;
        };
        dial.under_way = false;
        dial.next = now + dial.wait;
        dial.wait = dial.wait.times(2).min(DIAL_WAIT_MOST);
        let peer = dial.peer;
        self.timers.set_earlier(Timer::Dial, dial.next);
        self.event(Event::DialFailed { peer, why });
    }
}

/// Reads a message; nothing for an unknown odd type.
fn read(kind: u8, bytes: &[u8], engine: EngineKind) -> Result<Option<Message>, String> {
    let kind = match MessageKind::from_byte(kind) {
        Ok(kind) => kind,
        Err(UnknownKind::Odd) => return Ok(None),
        Err(UnknownKind::Reserved(name)) => return Err(format!("{name} is not negotiated")),
        Err(UnknownKind::Even) => return Err(format!("unknown message type {kind:#04x}")),
    };
    match Message::decode(kind, bytes, engine) {
        Ok(message) => Ok(Some(message)),
        Err(DecodeError::Incomplete) => Err(format!("{} ends too early", kind.name())),
        Err(error) => Err(format!("{}: {error}", kind.name())),
    }
}

/// The serde form of a greeting that waits for READY: its bytes.
mod greeting {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::codec::{Decode, Encode};
    use crate::wire::message::Hello;

    pub(super) fn serialize<S: Serializer>(
        hello: &Option<Hello>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        hello.as_ref().map(Encode::to_bytes).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Hello>, D::Error> {
        let bytes = Option::<Vec<u8>>::deserialize(deserializer)?;
        bytes
            .map(|bytes| Hello::from_bytes(&bytes).map_err(D::Error::custom))
            .transpose()
    }
}
