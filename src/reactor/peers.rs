//! Connections with peers: how they begin, what goes over them, how they end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mio::Interest;
use mio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use zeroize::Zeroizing;

use crate::base::Span;
use crate::node::{CloseCause, CloseReason, ConnId, Input};
use crate::types::PeerAddress;
use crate::wire::{Lane, MessageKind};

use super::peer::{Own, PeerSocket};
use super::{Reactor, SWEEP_INTERVAL, Timer};

/// The most connections accepted in a turn.
const ACCEPT_MAX: usize = 64;
/// How long nothing is accepted after the system had no room for another connection.
const ACCEPT_PAUSE: Span = Span::from_millis(500);

/// Whether an error of accept is about one connection that is gone already, and not about us.
pub(super) fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

fn ephemeral() -> Result<Zeroizing<[u8; 32]>, String> {
    let mut bytes = Zeroizing::new([0; 32]);
    match getrandom::fill(&mut *bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(format!("the system gives no randomness: {error}")),
    }
}

/// Begins to connect. From `loopback`, when that is where the peer is too: there many nodes share
/// one machine, and each must be seen to come from its own address, as it is elsewhere, because
/// peers count connections by address.
fn connect(to: SocketAddr, loopback: Option<IpAddr>) -> io::Result<TcpStream> {
    let from = loopback.filter(|from| to.ip().is_loopback() && from.is_ipv4() == to.is_ipv4());
    let Some(from) = from else {
        return TcpStream::connect(to);
    };
    let family = if to.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    net::bind(&socket, &SocketAddr::new(from, 0))?;
    match net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from_std(socket.into())),
        Err(error) => Err(error.into()),
    }
}

impl Reactor {
    /// Takes the connections that wait at a listener, and the listener's next ones later.
    pub(super) fn accept_peers(&mut self, listener: usize) {
        for _ in 0..ACCEPT_MAX {
            let Some((socket, _)) = self.listeners.get(listener) else {
                return;
            };
            match socket.accept() {
                Ok((stream, from)) => self.accepted(stream, from),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => return self.pause_accepting(&error),
            }
        }
        // More may wait, and the poll has said so already.
        self.timers.set(Timer::Accept, self.clock.now());
    }

    /// The system has no file or memory left for another connection: let it recover.
    pub(super) fn pause_accepting(&mut self, error: &io::Error) {
        log::warn!("no connection can be accepted: {error}; trying again in 500 ms");
        self.timers
            .set(Timer::Accept, self.clock.now() + ACCEPT_PAUSE);
    }

    pub(super) fn accept_again(&mut self) {
        for listener in 0..self.listeners.len() {
            self.accept_peers(listener);
        }
        self.accept_web();
    }

    fn accepted(&mut self, mut stream: TcpStream, from: SocketAddr) {
        let token = self.next_token();
        let conn = ConnId(token.0 as u64);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let watched = self.poll.registry().register(&mut stream, token, interest);
        if watched.is_err() {
            return;
        }
        let _ = stream.set_nodelay(true);
        let now = self.clock.now();
        let peer = PeerSocket::accepted(stream, from, now);
        self.peers.insert(conn, peer);
        self.counters.accepted += 1;
        self.timers.set_earlier(Timer::Sweep, now + SWEEP_INTERVAL);
        self.feed(Input::Accepted { conn, from });
    }

    pub(super) fn dial(&mut self, peer: PeerAddress) {
        self.counters.dialled += 1;
        let token = self.next_token();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let from = self
            .config
            .listen
            .iter()
            .map(SocketAddr::ip)
            .find(IpAddr::is_loopback);
        let connected = connect(peer.socket, from).and_then(|mut stream| {
            self.poll
                .registry()
                .register(&mut stream, token, interest)?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => {
                let now = self.clock.now();
                let socket = PeerSocket::dialled(stream, peer.socket, peer.key, now);
                self.peers.insert(ConnId(token.0 as u64), socket);
                self.timers.set_earlier(Timer::Sweep, now + SWEEP_INTERVAL);
            }
            Err(error) => self.inputs.push_back(Input::DialFailed {
                key: peer.key,
                why: error.to_string(),
            }),
        }
    }

    /// Gives a connection its share of the turn.
    pub(super) fn serve_peer(&mut self, conn: ConnId) {
        let now = self.clock.now();
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if peer.is_before_handshake() {
            let own = Own {
                network: self.config.network,
                identity: &self.config.identity,
                record: &self.config.record,
            };
            let connected =
                ephemeral().and_then(|ephemeral| peer.begin_handshake(&own, ephemeral, now));
            if let Err(why) = connected {
                self.lose_peer(conn, CloseCause::Failed(why));
                return self.run_inputs();
            }
        }
        let reading = peer.read(now, &mut self.buffer);
        self.counters.peer_bytes_in += reading.bytes as u64;
        if let Some(record) = reading.connected {
            let (direction, address) = (peer.direction(), peer.address);
            self.feed(Input::Connected {
                conn,
                direction,
                address,
                record: *record,
            });
        }
        self.deliver(conn);
        match reading.end {
            Some(cause) => self.lose_peer(conn, cause),
            None => self.write_to_peer(conn),
        }
        self.run_inputs();
    }

    /// Gives the node the messages of a connection.
    fn deliver(&mut self, conn: ConnId) {
        while let Some(message) = self.peers.get_mut(&conn).and_then(PeerSocket::next_message) {
            let (lane, length) = (message.lane, message.bytes.len());
            self.feed(Input::Message {
                conn,
                lane: lane.index() as u8,
                kind: message.kind.byte(),
                bytes: message.bytes,
            });
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.consumed(lane, length);
            }
        }
    }

    fn write_to_peer(&mut self, conn: ConnId) {
        let now = self.clock.now();
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        match peer.write(now) {
            Ok(count) => self.counters.peer_bytes_out += count as u64,
            Err(cause) => return self.lose_peer(conn, cause),
        }
        if peer.is_over() {
            peer.shut();
            self.peers.remove(&conn);
            return;
        }
        if peer.take_room() {
            self.feed(Input::Room { conn });
        }
        if self.peers.get(&conn).is_some_and(PeerSocket::is_busy) {
            self.busy_peers.insert(conn);
        }
    }

    /// The node wants to know when little waits for a peer.
    pub(super) fn await_room(&mut self, conn: ConnId) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.await_room();
            self.busy_peers.insert(conn);
        }
    }

    pub(super) fn send_to_peer(
        &mut self,
        conn: ConnId,
        lane: Lane,
        kind: MessageKind,
        bytes: Arc<[u8]>,
    ) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if peer.send(lane, kind, bytes) {
            self.busy_peers.insert(conn);
        } else {
            self.lose_peer(conn, CloseCause::TimedOut);
        }
    }

    /// The node ends a connection.
    pub(super) fn end_peer(&mut self, conn: ConnId, why: &CloseReason) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if matches!(why, CloseReason::Fault(_)) {
            self.counters.faults += 1;
        }
        log::debug!("peer {}: closing {}: {why}", conn.0, peer.address);
        peer.end(self.clock.now());
        self.busy_peers.insert(conn);
    }

    /// A connection is lost; the node hears of it, unless it ended the connection itself.
    pub(super) fn lose_peer(&mut self, conn: ConnId, cause: CloseCause) {
        let Some(peer) = self.peers.remove(&conn) else {
            return;
        };
        peer.shut();
        if peer.is_ending() {
            return;
        }
        if matches!(cause, CloseCause::Fault(_)) {
            self.counters.faults += 1;
        }
        let input = match peer.dialled {
            Some(key) if peer.is_half_open() => Input::DialFailed {
                key,
                why: cause.to_string(),
            },
            _ => Input::Closed { conn, why: cause },
        };
        // This may be in the middle of carrying out an output: the node hears of it after.
        self.inputs.push_back(input);
    }
}
