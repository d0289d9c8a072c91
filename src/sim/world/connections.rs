//! Connections: from a dial over the handshake and messages to the end.
//!
//! A message is handed to the [`Network`](crate::sim::network::Network) as a whole, with the bytes
//! that its frames have, and arrives when its last byte does. Without the switch for plain frames
//! it then goes through the production transports of both ends, in the order of arrival.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::base::{Span, Time};
use crate::node::{CloseCause, ConnId, Direction, Input};
use crate::sim::behaviour::{Fate, Letter};
use crate::sim::network::Flow;
use crate::types::PeerAddress;
use crate::wire::{
    Fault, Gate, Handshake, Lane, MessageKind, Network as Chain, Transport, frames_bytes, items_of,
    shake_hands,
};

use super::{Happening, NodeIndex, World, address};

/// How long a dial waits for an answer, as the reactor does.
const CONNECT_TIME: Span = Span::from_secs(5);
/// How long bytes may wait for a peer that takes none.
const STALL_TIME: Span = Span::from_secs(60);
/// There is room for more when fewer bytes wait.
const ROOM_BYTES: u64 = 512 << 10;
/// A peer that has so many bytes waiting is closed.
const WAITING_BYTES_HARD: u64 = 5 << 20;
/// The bytes of a handshake on the line, with what TCP needs for it.
const HANDSHAKE_BYTES: u64 = 600;

/// An end of a connection: 0 for who dialled, 1 for who was dialled.
pub(super) type Side = u8;

/// The end of a connection that a node knows by this number.
pub(super) const fn of_conn(conn: ConnId) -> (u32, Side) {
    ((conn.0 >> 1) as u32, (conn.0 & 1) as Side)
}

const fn conn_of(number: u32, side: Side) -> ConnId {
    ConnId((number as u64) << 1 | side as u64)
}

const fn other(side: Side) -> usize {
    1 - side as usize
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its node does not know of it, or was only asked whether it may be.
    Shaking,
    /// The handshake is complete at this end.
    Open,
    /// It is over at this end.
    Over,
}

struct End {
    node: u32,
    life: u32,
    stage: Stage,
    /// What it sends.
    flow: Flow,
    /// What decides about messages that arrive here.
    gate: Gate,
    /// Messages that a cut keeps from going.
    waiting: Vec<(u8, u8, Arc<[u8]>)>,
    waiting_bytes: u64,
    /// Since when they wait.
    stalled: Option<Time>,
    /// Whether the other end is to hear of this end's end when the cut is mended.
    owes_end: bool,
    /// When the last thing that it sent arrives.
    last_arrival: Time,
    /// When the last thing in one of the first two lanes does.
    urgent_arrival: Time,
}

/// Two ends and what is between them.
pub(super) struct Connection {
    ends: [End; 2],
    transports: Option<Box<[Transport; 2]>>,
}

impl World {
    /// Which nodes are connected now: each pair once, the one that dialled first.
    #[must_use]
    pub fn links(&self) -> Vec<(u32, u32)> {
        let connections = self.connections.iter().flatten();
        let open = connections.filter(|it| it.ends.iter().all(|end| end.stage == Stage::Open));
        open.map(|it| (it.ends[0].node, it.ends[1].node)).collect()
    }

    /// A node dials.
    pub(super) fn dial(&mut self, at: Time, from: usize, peer: PeerAddress) {
        let life = self.machines[from].life;
        let Some(to) = self.by_key.get(&peer.key).map(|to| *to as usize) else {
            return self.dial_fails(at + CONNECT_TIME, from, life, &peer);
        };
        if !self.is_open_way(from, to) {
            return self.dial_fails(at + CONNECT_TIME, from, life, &peer);
        }
        let engine = self.config.genesis.rules.engine_kind();
        let end = |world: &Self, node: usize, to: usize| End {
            node: node as u32,
            life: world.machines[node].life,
            stage: Stage::Shaking,
            flow: world.network.flow(node, to),
            gate: Gate::new(engine),
            waiting: Vec::new(),
            waiting_bytes: 0,
            stalled: None,
            owes_end: false,
            last_arrival: at,
            urgent_arrival: at,
        };
        let ends = [end(self, from, to), end(self, to, from)];
        let number = self.connections.len() as u32;
        self.connections.push(Some(Box::new(Connection {
            ends,
            transports: None,
        })));
        if let Some(running) = &mut self.machines[from].running {
            running.connections.push(number);
        }
        // SYN, its answer, and the first message of the handshake behind the third leg.
        let legs = self.network.base_delay(from, to).times(3);
        self.queue
            .push(at + legs, Happening::Accept { connection: number });
    }

    fn is_open_way(&self, a: usize, b: usize) -> bool {
        self.network.passes(a, b) && self.network.passes(b, a)
    }

    fn dial_fails(&mut self, at: Time, from: usize, life: u32, peer: &PeerAddress) {
        let why = "nobody answers".to_owned();
        let input = Box::new(Input::DialFailed { key: peer.key, why });
        let node = from as u32;
        self.queue.push(at, Happening::Input { node, life, input });
    }

    /// The dial of a connection comes to nothing.
    fn give_up(&mut self, number: u32, after: Span) {
        let Some(connection) = self.connections[number as usize].take() else {
            return;
        };
        let [from, to] = &connection.ends;
        let peer = self.peer_address(NodeIndex(to.node as usize));
        let (node, life) = (from.node as usize, from.life);
        self.forget(number, node);
        self.forget(number, to.node as usize);
        self.dial_fails(self.now + after, node, life, &peer);
    }

    fn forget(&mut self, number: u32, node: usize) {
        if let Some(running) = &mut self.machines[node].running {
            running.connections.retain(|other| *other != number);
        }
    }

    /// A dial reaches the other side.
    pub(super) fn accept(&mut self, number: u32) {
        let Some(connection) = &mut self.connections[number as usize] else {
            return;
        };
        let (from, to) = (
            connection.ends[0].node as usize,
            connection.ends[1].node as usize,
        );
        let delay = self.network.base_delay(from, to);
        let is_open = self.network.passes(from, to) && self.network.passes(to, from);
        let machine = &mut self.machines[to];
        let Some(running) = &mut machine.running else {
            // A machine that is there says that no process is.
            let after = if machine.has_power {
                delay
            } else {
                CONNECT_TIME
            };
            return self.give_up(number, after);
        };
        if running.loop_free > self.now + CONNECT_TIME || !is_open {
            return self.give_up(number, CONNECT_TIME);
        }
        if running.loop_free > self.now {
            let free = running.loop_free;
            let happening = Happening::Accept { connection: number };
            return self.queue.push(free, happening);
        }
        running.connections.push(number);
        connection.ends[1].life = machine.life;
        let conn = conn_of(number, 1);
        let from = address(from);
        self.handle(to, Input::Accepted { conn, from });
        match &self.connections[number as usize] {
            Some(connection) if connection.ends[1].stage == Stage::Shaking => {
                let at = self.now + delay;
                let happening = Happening::Shaken {
                    connection: number,
                    at: 0,
                };
                self.queue.push(at, happening);
            }
            _ => self.give_up(number, delay),
        }
    }

    /// The handshake is complete at one end.
    pub(super) fn shaken(&mut self, number: u32, side: Side) {
        let Some(connection) = &mut self.connections[number as usize] else {
            return;
        };
        let there = connection.ends[other(side)].node as usize;
        let end = &mut connection.ends[side as usize];
        if end.stage != Stage::Shaking {
            return;
        }
        end.stage = Stage::Open;
        let (here, life) = (end.node as usize, end.life);
        if side == 0 {
            let third = self.now + self.network.base_delay(here, there);
            // What follows on the third message comes behind it.
            (end.last_arrival, end.urgent_arrival) = (third, third);
            let both = &mut connection.ends;
            for end in both.iter_mut() {
                let _ = self
                    .network
                    .send(self.now, &mut end.flow, 0, HANDSHAKE_BYTES);
            }
            let happening = Happening::Shaken {
                connection: number,
                at: 1,
            };
            self.queue.push(third, happening);
            if !self.config.switches.plain_frames {
                self.shake_hands(number);
            }
        }
        let conn = conn_of(number, side);
        let (direction, address) = match side {
            0 => (Direction::Outbound, address(there)),
            _ => (Direction::Inbound, address(there)),
        };
        let record = self.record_of(there);
        let input = Input::Connected {
            conn,
            direction,
            address,
            record,
        };
        self.feed(here, life, input);
        self.behave(here, |behaviour, hands| {
            behaviour.connected(conn, NodeIndex(there), hands);
        });
    }

    /// The production handshake, whose keys follow from the connection's number.
    fn shake_hands(&mut self, number: u32) {
        let Some(connection) = &mut self.connections[number as usize] else {
            return;
        };
        let genesis = &self.config.genesis;
        let chain = Chain {
            genesis: genesis.id(),
            engine: genesis.rules.engine_kind(),
            puzzle_bits: genesis.id_puzzle_bits,
        };
        let mut keys = self.rng.fork(&format!("handshake {number}"));
        let mut key = || Zeroizing::new(keys.bytes32());
        let [near, far] = &connection.ends;
        let (near, far) = (
            &self.machines[near.node as usize],
            &self.machines[far.node as usize],
        );
        let (ours, theirs) = (&near.config.record, &far.config.record);
        let dialled = far.identity.key();
        let first = Handshake::initiate(chain, &near.identity, ours, &dialled, key());
        let second = Handshake::respond(chain, &far.identity, theirs, key());
        let transports = shake_hands(first.expect("a machine's key is a key"), second);
        let transports = transports.expect("machines know each other");
        connection.transports = Some(Box::new(transports));
    }

    /// A node, or its behaviour, sends a message.
    pub(super) fn send(&mut self, at: Time, conn: ConnId, lane: u8, kind: u8, bytes: Arc<[u8]>) {
        let (number, side) = of_conn(conn);
        let Some(Some(connection)) = self.connections.get_mut(number as usize) else {
            return;
        };
        let to = connection.ends[other(side)].node as usize;
        let end = &mut connection.ends[side as usize];
        if end.stage != Stage::Open {
            return;
        }
        if let (Some(lane), Ok(kind)) = (Lane::from_byte(lane), MessageKind::from_byte(kind)) {
            end.gate.asked(lane, kind, items_of(kind, &bytes));
        }
        if !end.waiting.is_empty() || !self.network.passes(end.node as usize, to) {
            if end.stalled.is_none() {
                end.stalled = Some(at);
                self.held_up.insert(number);
                let happening = Happening::Stalled {
                    connection: number,
                    at: side,
                };
                self.queue.push(at + STALL_TIME, happening);
            }
            end.waiting_bytes += bytes.len() as u64;
            end.waiting.push((lane, kind, bytes));
            if end.waiting_bytes > WAITING_BYTES_HARD {
                self.time_out(number, side);
            }
            return;
        }
        self.transmit(at, number, side, lane, kind, bytes);
    }

    fn transmit(
        &mut self,
        at: Time,
        number: u32,
        side: Side,
        lane: u8,
        kind: u8,
        bytes: Arc<[u8]>,
    ) {
        let Some(connection) = &mut self.connections[number as usize] else {
            return;
        };
        let to = connection.ends[other(side)].node as usize;
        let end = &mut connection.ends[side as usize];
        let size = frames_bytes(bytes.len() as u64);
        self.observations.message(end.node as usize, to, kind, size);
        let arrival = self.network.send(at, &mut end.flow, lane, size);
        // Nothing comes before the handshake is complete there, and nothing overtakes what is most
        // urgent: READY is the last of its kind, and everything else comes behind it.
        let arrival = arrival.max(end.urgent_arrival);
        if lane <= Lane::Announcements as u8 {
            end.urgent_arrival = arrival;
        }
        end.last_arrival = end.last_arrival.max(arrival);
        let backlog = self.network.backlog(at, &end.flow);
        let happening = Happening::Deliver {
            connection: number,
            to: 1 - side,
            lane,
            kind,
            bytes,
        };
        self.queue.push(arrival, happening);
        if backlog > WAITING_BYTES_HARD {
            self.time_out(number, side);
        }
    }

    /// A message arrives.
    pub(super) fn deliver(&mut self, number: u32, to: Side, lane: u8, kind: u8, bytes: &[u8]) {
        let now = self.now;
        self.trace.update(&[kind, lane]);
        self.trace.update(bytes);
        let Some(connection) = &mut self.connections[number as usize] else {
            return;
        };
        let from = connection.ends[other(to)].node as usize;
        let end = &mut connection.ends[to as usize];
        let (node, life) = (end.node as usize, end.life);
        if end.stage != Stage::Open {
            // A machine that has lost its connections says so to who still has one.
            let machine = &self.machines[node];
            let knows = machine.running.is_some() && machine.life != life;
            if knows && connection.ends[other(to)].stage == Stage::Open {
                self.tell_end(number, 1 - to);
            }
            return;
        }
        let known = Lane::from_byte(lane)
            .ok_or_else(|| "a lane must be 0 to 5".to_owned())
            .and_then(|lane| {
                let known = pass(&mut end.gate, now, lane, kind, bytes);
                let known = known.map_err(|fault| fault.to_string())?;
                match &mut connection.transports {
                    Some(transports) if known => through(transports, now, to, lane, kind, bytes)
                        .map_err(|fault| fault.to_string())?,
                    _ => {}
                }
                Ok(known)
            });
        match known {
            Ok(false) => return,
            Ok(true) => {}
            Err(rule) => {
                connection.transports = None;
                let conn = conn_of(number, to);
                if self.end(number, to) {
                    let why = CloseCause::Fault(rule);
                    self.feed(node, life, Input::Closed { conn, why });
                }
                return;
            }
        }
        let conn = conn_of(number, to);
        let letter = Letter {
            conn,
            peer: NodeIndex(from),
            lane,
            kind,
            bytes,
        };
        let fate = self.behave(node, |behaviour, hands| behaviour.incoming(&letter, hands));
        if fate != Some(Fate::Drop) {
            let bytes = bytes.to_vec();
            let input = Input::Message {
                conn,
                lane,
                kind,
                bytes,
            };
            self.feed(node, life, input);
        }
    }

    /// One end is over: nothing of it counts any more, and the other hears of it behind what was
    /// sent. Says whether it was not over before.
    pub(super) fn end(&mut self, number: u32, side: Side) -> bool {
        let Some(Some(connection)) = self.connections.get_mut(number as usize) else {
            return false;
        };
        let end = &mut connection.ends[side as usize];
        if end.stage == Stage::Over {
            return false;
        }
        let was_open = end.stage == Stage::Open;
        end.stage = Stage::Over;
        end.waiting = Vec::new();
        end.stalled = None;
        let node = end.node as usize;
        let both_over = connection.ends.iter().all(|end| end.stage == Stage::Over);
        self.forget(number, node);
        if both_over {
            self.connections[number as usize] = None;
            self.held_up.remove(&number);
        } else if was_open {
            self.tell_end(number, 1 - side);
        }
        true
    }

    /// Lets one end hear that the other is gone.
    fn tell_end(&mut self, number: u32, to: Side) {
        let Some(connection) = &mut self.connections[number as usize] else {
            return;
        };
        let there = connection.ends[to as usize].node as usize;
        let gone = &mut connection.ends[other(to)];
        let here = gone.node as usize;
        if self.network.passes(here, there) {
            let delay = self.network.base_delay(here, there);
            let at = (self.now + delay).max(gone.last_arrival);
            let happening = Happening::Closed {
                connection: number,
                to,
            };
            self.queue.push(at, happening);
        } else {
            gone.owes_end = true;
            self.held_up.insert(number);
        }
    }

    /// One end hears that the other is gone.
    pub(super) fn closed(&mut self, number: u32, to: Side) {
        let Some(connection) = &self.connections[number as usize] else {
            return;
        };
        let end = &connection.ends[to as usize];
        let (node, life, stage) = (end.node as usize, end.life, end.stage);
        if stage == Stage::Shaking && to == 0 {
            return self.give_up(number, Span::ZERO);
        }
        if self.end(number, to) {
            let (conn, why) = (conn_of(number, to), CloseCause::Remote);
            self.feed(node, life, Input::Closed { conn, why });
        }
    }

    /// Bytes may have waited too long at one end.
    pub(super) fn stalled(&mut self, number: u32, side: Side) {
        let Some(connection) = &self.connections[number as usize] else {
            return;
        };
        let since = connection.ends[side as usize].stalled;
        match since {
            Some(since) if self.now.since(since) >= STALL_TIME => self.time_out(number, side),
            Some(since) => {
                let happening = Happening::Stalled {
                    connection: number,
                    at: side,
                };
                self.queue.push(since + STALL_TIME, happening);
            }
            None => {}
        }
    }

    fn time_out(&mut self, number: u32, side: Side) {
        let Some(connection) = &self.connections[number as usize] else {
            return;
        };
        let end = &connection.ends[side as usize];
        let (node, life) = (end.node, end.life);
        if self.end(number, side) {
            let (conn, why) = (conn_of(number, side), CloseCause::TimedOut);
            let input = Box::new(Input::Closed { conn, why });
            self.queue
                .push(self.now, Happening::Input { node, life, input });
        }
    }

    /// A node wants to know when little waits for a peer.
    pub(super) fn look_for_room(&mut self, number: u32, side: Side) {
        let Some(Some(connection)) = self.connections.get(number as usize) else {
            return;
        };
        let end = &connection.ends[side as usize];
        if end.stage != Stage::Open {
            return;
        }
        let backlog = self.network.backlog(self.now, &end.flow) + end.waiting_bytes;
        let (node, life) = (end.node as usize, end.life);
        if backlog <= ROOM_BYTES {
            let conn = conn_of(number, side);
            return self.feed(node, life, Input::Room { conn });
        }
        let room = self.network.room_at(self.now, &end.flow, ROOM_BYTES);
        let at = room.max(self.now + Span::from_millis(1));
        let happening = Happening::Room {
            connection: number,
            at: side,
        };
        self.queue.push(at, happening);
    }

    /// A process of a connection is gone.
    pub(super) fn abandon(&mut self, number: u32, node: usize, is_heard: bool) {
        let Some(connection) = &mut self.connections[number as usize] else {
            return;
        };
        let side: Side = if connection.ends[0].node as usize == node {
            0
        } else {
            1
        };
        if connection.ends[side as usize].stage == Stage::Shaking && side == 0 {
            // Nobody waits for what became of the dial.
            let there = connection.ends[1].node as usize;
            let (life, conn) = (connection.ends[1].life, conn_of(number, 1));
            let knew = connection.ends[1].stage == Stage::Shaking
                && self.machines[there]
                    .running
                    .as_ref()
                    .is_some_and(|running| running.connections.contains(&number));
            self.connections[number as usize] = None;
            self.forget(number, there);
            if knew {
                let why = CloseCause::Remote;
                let (node, input) = (there as u32, Box::new(Input::Closed { conn, why }));
                self.queue
                    .push(self.now, Happening::Input { node, life, input });
            }
            return;
        }
        if is_heard {
            self.end(number, side);
            return;
        }
        let end = &mut connection.ends[side as usize];
        end.stage = Stage::Over;
        (end.waiting, end.stalled) = (Vec::new(), None);
        if connection.ends.iter().all(|end| end.stage == Stage::Over) {
            self.connections[number as usize] = None;
            self.held_up.remove(&number);
        }
    }

    /// What a cut kept from going goes, where the way is open again.
    pub(super) fn resume(&mut self) {
        for number in self.held_up.clone() {
            let mut is_held = false;
            for side in [0, 1] {
                let Some(connection) = &mut self.connections[number as usize] else {
                    break;
                };
                let there = connection.ends[other(side)].node as usize;
                let end = &mut connection.ends[side as usize];
                let waits = end.owes_end || !end.waiting.is_empty();
                if waits && !self.network.passes(end.node as usize, there) {
                    is_held = true;
                    continue;
                }
                let waiting = std::mem::take(&mut end.waiting);
                (end.waiting_bytes, end.stalled) = (0, None);
                let owes_end = std::mem::take(&mut end.owes_end);
                for (lane, kind, bytes) in waiting {
                    self.transmit(self.now, number, side, lane, kind, bytes);
                }
                if owes_end {
                    self.tell_end(number, 1 - side);
                }
            }
            if !is_held {
                self.held_up.remove(&number);
            }
        }
    }

    /// A machine's complete connections.
    pub(super) fn connections_of(&self, node: usize) -> Vec<(ConnId, NodeIndex)> {
        let Some(running) = &self.machines[node].running else {
            return Vec::new();
        };
        let complete = |number: &u32| {
            let connection = self.connections[*number as usize].as_ref()?;
            let side: Side = if connection.ends[0].node as usize == node {
                0
            } else {
                1
            };
            let peer = NodeIndex(connection.ends[other(side)].node as usize);
            let is_open = connection.ends[side as usize].stage == Stage::Open;
            is_open.then(|| (conn_of(*number, side), peer))
        };
        running.connections.iter().filter_map(complete).collect()
    }

    /// Who is at the other end of a connection.
    pub(super) fn peer_of(&self, conn: ConnId) -> Option<NodeIndex> {
        let (number, side) = of_conn(conn);
        let connection = self.connections.get(number as usize)?.as_ref()?;
        Some(NodeIndex(connection.ends[other(side)].node as usize))
    }
}

/// Takes a message through the gate of the end where it arrives; says whether it is of a kind that
/// is known.
fn pass(gate: &mut Gate, now: Time, lane: Lane, kind: u8, bytes: &[u8]) -> Result<bool, Fault> {
    let Some(kind) = gate.begin(now, kind, lane, bytes.len() as u32)? else {
        return Ok(false);
    };
    gate.end(lane, Some(kind), items_of(kind, bytes));
    Ok(true)
}

/// Takes a message through the transports of both ends. A transport hears of a request when that
/// arrives, so what a behaviour answers before it is asked is a fault here, although the gate knew
/// of the request already.
fn through(
    transports: &mut [Transport; 2],
    now: Time,
    to: Side,
    lane: Lane,
    kind: u8,
    bytes: &[u8],
) -> Result<(), Fault> {
    let Ok(kind) = MessageKind::from_byte(kind) else {
        unreachable!("the gate took it");
    };
    let [near, far] = transports;
    let (sender, receiver) = if to == 1 { (near, far) } else { (far, near) };
    sender
        .send(lane, kind, bytes.to_vec())
        .expect("the line was empty");
    let mut sealed = Vec::new();
    while sender.wants_write() || receiver.wants_write() {
        sealed.clear();
        sender.write(&mut sealed, usize::MAX);
        receiver.receive(now, &sealed)?;
        while let Some(received) = receiver.next_message() {
            assert!(
                received.kind == kind && received.lane == lane && received.bytes == bytes,
                "what arrives is what was sent"
            );
            receiver.consumed(lane, bytes.len());
        }
        sealed.clear();
        receiver.write(&mut sealed, usize::MAX);
        sender.receive(now, &sealed).expect("credit opens");
    }
    Ok(())
}
