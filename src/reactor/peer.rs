//! One connection with a peer: a socket, and the handshake or transport over it.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use mio::event::Event;
use mio::net::TcpStream;
use zeroize::Zeroizing;

use crate::base::{Span, Time};
use crate::node::{CloseCause, Direction};
use crate::types::{NodeKey, NodeRecord};
use crate::wire::{
    Handshake, LANES, Lane, MessageKind, Network, NodeIdentity, Received, Transport,
};

/// How long a connection may take to be made.
const CONNECT_TIME: Span = Span::from_secs(5);
/// How long a handshake may take.
const HANDSHAKE_TIME: Span = Span::from_secs(5);
/// How long bytes may wait for a peer that takes none, or gives no credit for them.
const STALL_TIME: Span = Span::from_secs(60);
/// How long a connection that ends may take to send what was queued.
const FAREWELL_TIME: Span = Span::from_secs(2);
/// The most bytes read from a peer before others have their turn.
const READ_BYTES_MAX: usize = 64 << 10;
/// The most bytes written to a peer before others have their turn.
const WRITE_BYTES_MAX: usize = 256 << 10;
/// Bytes sealed at a time: what is sealed can't be overtaken by what is urgent.
const SEAL_BYTES: usize = 64 << 10;
/// While so many bytes wait for a peer, what it asks for is not looked at: the answers would only
/// wait as well. Everything else of it is, its credit among that.
const WAITING_BYTES_SOFT: usize = 1 << 20;
/// The node goes on to serve blocks when fewer bytes wait. It sends as many and one block more
/// before it asks again, which is less than the hard limit.
const WAITING_BYTES_ROOM: usize = 512 << 10;
/// A peer that has so many bytes waiting is closed: it asks without reading.
const WAITING_BYTES_HARD: usize = 5 << 20;
/// Bytes of a peer's requests that are put off, before nothing more is read from it: twice what a
/// peer has reason to have under way.
const HELD_BYTES_MAX: usize = 512 << 10;
/// As is one that has so many messages waiting, however small.
const WAITING_COUNT_MAX: usize = 1 << 16;

/// What this node shows to the peers it meets.
pub(super) struct Own<'a> {
    pub(super) network: Network,
    pub(super) identity: &'a NodeIdentity,
    pub(super) record: &'a NodeRecord,
}

enum Stage {
    /// The connection is being made.
    Connecting(NodeKey),
    /// The peer made it, and the node has not refused it.
    Accepted,
    /// The handshake is under way.
    Shaking(Box<Handshake>),
    /// Messages go.
    Open(Box<Transport>),
    /// Nothing more is read; what was queued is sent.
    Ending(Option<Box<Transport>>),
}

/// A lane's messages that the transport was not given yet.
type Waiting = VecDeque<(MessageKind, Arc<[u8]>)>;

/// What came of reading.
#[derive(Default)]
pub(super) struct Reading {
    /// The handshake is complete, with this peer.
    pub(super) connected: Option<Box<NodeRecord>>,
    /// The connection is at its end; messages that came before it can still be taken.
    pub(super) end: Option<CloseCause>,
    /// How many bytes came.
    pub(super) bytes: usize,
}

/// A connection with a peer.
pub(super) struct PeerSocket {
    stream: TcpStream,
    /// The peer's end.
    pub(super) address: SocketAddr,
    /// Whom we dialled; None when the peer opened the connection.
    pub(super) dialled: Option<NodeKey>,
    stage: Stage,
    sealed: Vec<u8>,
    written: usize,
    /// Messages that the transport has no room for yet.
    waiting: [Waiting; LANES],
    waiting_bytes: usize,
    waiting_count: usize,
    /// Requests that are put off until fewer bytes wait.
    held: VecDeque<Received>,
    held_bytes: usize,
    /// The node wants to know when there is room.
    awaits_room: bool,
    /// The socket may have bytes for us.
    readable: bool,
    /// The socket may take bytes.
    writable: bool,
    deadline: Option<Time>,
}

impl PeerSocket {
    /// A connection that the peer opened.
    pub(super) fn accepted(stream: TcpStream, address: SocketAddr, now: Time) -> Self {
        Self::new(stream, address, None, Stage::Accepted, now + HANDSHAKE_TIME)
    }

    /// A connection that is being made.
    pub(super) fn dialled(stream: TcpStream, address: SocketAddr, key: NodeKey, now: Time) -> Self {
        let stage = Stage::Connecting(key);
        Self::new(stream, address, Some(key), stage, now + CONNECT_TIME)
    }

    fn new(
        stream: TcpStream,
        address: SocketAddr,
        dialled: Option<NodeKey>,
        stage: Stage,
        deadline: Time,
    ) -> Self {
        Self {
            stream,
            address,
            dialled,
            stage,
            sealed: Vec::new(),
            written: 0,
            waiting: Default::default(),
            waiting_bytes: 0,
            waiting_count: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            awaits_room: false,
            readable: false,
            writable: false,
            deadline: Some(deadline),
        }
    }

    /// Who opened the connection.
    pub(super) const fn direction(&self) -> Direction {
        if self.dialled.is_some() {
            Direction::Outbound
        } else {
            Direction::Inbound
        }
    }

    /// Whether the handshake has not begun.
    pub(super) const fn is_before_handshake(&self) -> bool {
        matches!(self.stage, Stage::Connecting(_) | Stage::Accepted)
    }

    /// Whether the peer's key is not proved yet.
    pub(super) const fn is_half_open(&self) -> bool {
        self.is_before_handshake() || matches!(self.stage, Stage::Shaking(_))
    }

    /// Takes what the poll says about the socket.
    pub(super) fn note(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_error();
    }

    /// Whether there is something to do before the poll says anything new.
    pub(super) fn is_busy(&self) -> bool {
        (self.readable && self.may_read())
            || (self.writable && self.wants_write())
            || (!self.held.is_empty() && self.takes_requests())
            || self.has_awaited_room()
    }

    /// Whether what the peer asks for is looked at.
    fn takes_requests(&self) -> bool {
        self.queued() < WAITING_BYTES_SOFT
    }

    fn has_awaited_room(&self) -> bool {
        self.awaits_room && self.queued() < WAITING_BYTES_ROOM
    }

    /// The node waits until there is room.
    pub(super) const fn await_room(&mut self) {
        self.awaits_room = true;
    }

    /// Whether there is the room that the node waits for; says so once.
    pub(super) fn take_room(&mut self) -> bool {
        let has_room = self.has_awaited_room();
        self.awaits_room &= !has_room;
        has_room
    }

    fn may_read(&self) -> bool {
        match self.stage {
            Stage::Shaking(_) => true,
            // Credit, pings and answers come however much waits, so that two honest peers never
            // wait for each other; only who asks for ever more is not heard.
            Stage::Open(_) => self.held_bytes < HELD_BYTES_MAX,
            Stage::Connecting(_) | Stage::Accepted | Stage::Ending(_) => false,
        }
    }

    /// Begins the handshake, if the connection is made. For one that the peer made this comes only
    /// when the node let it in: keys cost more than a refusal.
    pub(super) fn begin_handshake(
        &mut self,
        own: &Own<'_>,
        ephemeral: Zeroizing<[u8; 32]>,
        now: Time,
    ) -> Result<(), String> {
        let key = match self.stage {
            Stage::Connecting(key) => key,
            Stage::Accepted => {
                let shake = Handshake::respond(own.network, own.identity, own.record, ephemeral);
                self.stage = Stage::Shaking(Box::new(shake));
                return Ok(());
            }
            _ => return Ok(()),
        };
        if let Ok(Some(error)) | Err(error) = self.stream.take_error() {
            return Err(error.to_string());
        }
        match self.stream.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
        let _ = self.stream.set_nodelay(true);
        let shake = Handshake::initiate(own.network, own.identity, own.record, &key, ephemeral)
            .map_err(|error| error.to_string())?;
        self.stage = Stage::Shaking(Box::new(shake));
        self.deadline = Some(now + HANDSHAKE_TIME);
        Ok(())
    }

    /// Reads what the socket gives, up to this turn's share.
    pub(super) fn read(&mut self, now: Time, buffer: &mut [u8]) -> Reading {
        let mut reading = Reading::default();
        while self.readable && self.may_read() && reading.bytes < READ_BYTES_MAX {
            match self.stream.read(buffer) {
                Ok(0) => {
                    self.readable = false;
                    reading.end = Some(CloseCause::Remote);
                }
                Ok(count) => {
                    reading.bytes += count;
                    self.take(now, &buffer[..count], &mut reading);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    reading.end = Some(CloseCause::Failed(error.to_string()));
                }
            }
            if reading.end.is_some() {
                break;
            }
        }
        reading
    }

    fn take(&mut self, now: Time, mut bytes: &[u8], reading: &mut Reading) {
        if let Stage::Shaking(handshake) = &mut self.stage {
            match handshake.receive(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => {
                    reading.end = Some(CloseCause::Fault(error.to_string()));
                    return;
                }
            }
            if !handshake.is_finished() {
                return;
            }
            let ended = std::mem::replace(&mut self.stage, Stage::Ending(None));
            let Stage::Shaking(handshake) = ended else {
                unreachable!("the stage was looked at above");
            };
            let (transport, record) = handshake.into_transport();
            self.stage = Stage::Open(Box::new(transport));
            self.deadline = None;
            reading.connected = Some(Box::new(record));
        }
        if let Stage::Open(transport) = &mut self.stage
            && let Err(fault) = transport.receive(now, bytes)
        {
            reading.end = Some(CloseCause::Fault(fault.to_string()));
        }
    }

    /// The next whole message. While much waits for the peer, its requests are put off.
    pub(super) fn next_message(&mut self) -> Option<Received> {
        if self.takes_requests()
            && let Some(message) = self.held.pop_front()
        {
            self.held_bytes -= message.bytes.len();
            return Some(message);
        }
        let puts_off = !self.takes_requests();
        let Stage::Open(transport) = &mut self.stage else {
            return None;
        };
        loop {
            let message = transport.next_message()?;
            if !(puts_off && message.kind.is_request()) {
                return Some(message);
            }
            self.held_bytes += message.bytes.len();
            self.held.push_back(message);
        }
    }

    /// So many bytes of messages of a lane were dealt with.
    pub(super) fn consumed(&mut self, lane: Lane, bytes: usize) {
        if let Stage::Open(transport) = &mut self.stage {
            transport.consumed(lane, bytes);
        }
    }

    /// Queues a message. Says false when so much waits that the connection is to be closed.
    #[must_use]
    pub(super) fn send(&mut self, lane: Lane, kind: MessageKind, bytes: Arc<[u8]>) -> bool {
        if !matches!(self.stage, Stage::Open(_)) {
            return true;
        }
        self.waiting_bytes += bytes.len();
        self.waiting_count += 1;
        self.waiting[lane.index()].push_back((kind, bytes));
        self.move_waiting();
        self.waiting_count <= 1
            || (self.queued() <= WAITING_BYTES_HARD && self.waiting_count <= WAITING_COUNT_MAX)
    }

    /// Gives the transport more when it has little: what it holds is copied, what waits here is
    /// shared by all the peers it goes to.
    fn move_waiting(&mut self) {
        let (Stage::Open(transport) | Stage::Ending(Some(transport))) = &mut self.stage else {
            return;
        };
        for lane in Lane::ALL {
            let waiting = &mut self.waiting[lane.index()];
            while let Some((kind, bytes)) = waiting.front() {
                let has_some = transport.queued(lane) >= SEAL_BYTES;
                if has_some || transport.send(lane, *kind, bytes.to_vec()).is_err() {
                    break;
                }
                self.waiting_bytes -= bytes.len();
                self.waiting_count -= 1;
                waiting.pop_front();
            }
        }
    }

    /// Bytes that wait for the peer.
    fn queued(&self) -> usize {
        let in_lanes = match &self.stage {
            Stage::Open(transport) => Lane::ALL.iter().map(|lane| transport.queued(*lane)).sum(),
            _ => 0,
        };
        self.waiting_bytes + in_lanes
    }

    fn wants_write(&self) -> bool {
        self.written < self.sealed.len()
            || match &self.stage {
                Stage::Connecting(_) | Stage::Accepted | Stage::Ending(None) => false,
                Stage::Shaking(handshake) => handshake.wants_write(),
                Stage::Open(transport) | Stage::Ending(Some(transport)) => transport.wants_write(),
            }
    }

    /// Writes what the socket takes, up to this turn's share; says how many bytes it took.
    pub(super) fn write(&mut self, now: Time) -> Result<usize, CloseCause> {
        let mut total = 0;
        while self.writable && total < WRITE_BYTES_MAX && self.wants_write() {
            if self.written == self.sealed.len() {
                self.seal();
                if self.sealed.is_empty() {
                    break;
                }
            }
            match self.stream.write(&self.sealed[self.written..]) {
                Ok(0) => return Err(CloseCause::Remote),
                Ok(count) => {
                    self.written += count;
                    total += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CloseCause::Failed(error.to_string())),
            }
        }
        if !self.is_half_open() && !matches!(self.stage, Stage::Ending(_)) {
            // The time to stall begins anew with every byte that the peer takes.
            if self.written == self.sealed.len() && self.queued() == 0 {
                self.deadline = None;
            } else if total > 0 || self.deadline.is_none() {
                self.deadline = Some(now + STALL_TIME);
            }
        }
        Ok(total)
    }

    fn seal(&mut self) {
        self.sealed.clear();
        self.written = 0;
        match &mut self.stage {
            Stage::Connecting(_) | Stage::Accepted | Stage::Ending(None) => {}
            Stage::Shaking(handshake) => handshake.write(&mut self.sealed),
            Stage::Open(transport) | Stage::Ending(Some(transport)) => {
                transport.write(&mut self.sealed, SEAL_BYTES);
            }
        }
        if self.sealed.is_empty() {
            // What a busy moment needed is given back.
            self.sealed.shrink_to(0);
        }
        self.move_waiting();
    }

    /// Ends the connection once what was queued is sent.
    pub(super) fn end(&mut self, now: Time) {
        let stage = std::mem::replace(&mut self.stage, Stage::Ending(None));
        if let Stage::Open(transport) | Stage::Ending(Some(transport)) = stage {
            self.stage = Stage::Ending(Some(transport));
        }
        self.deadline = Some(now + FAREWELL_TIME);
    }

    /// Whether the connection has ended and nothing is left to send.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Ending(_)) && !self.wants_write()
    }

    /// Whether this side has ended the connection.
    pub(super) const fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Ending(_))
    }

    /// Whether its time is up.
    pub(super) fn is_late(&self, now: Time) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Closes the socket.
    pub(super) fn shut(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests;
