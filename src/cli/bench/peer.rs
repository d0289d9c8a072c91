//! A peer of a measured node: the node's own wire code over a blocking socket.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::{Span, Time};
use crate::chain::ChainState;
use crate::cli::{CommandError, new_identity, random_bytes};
use crate::types::{Genesis, Height, Millis, NetworkAddress, Services};
use crate::wire::message::{Features, Hello, PROTOCOL_VERSION, Role, ShortText};
use crate::wire::{Handshake, Lane, Message, MessageKind, Network, Received, Transport};

use super::place::Site;

/// How long the node may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes read at once.
const BUFFER: usize = 64 << 10;
/// How long the peer's record is good for.
const RECORD_LIFE: Span = Span::from_secs(24 * 3_600);

/// A connection with a node that is through its greetings.
pub(super) struct Peer {
    stream: TcpStream,
    transport: Transport,
    genesis: Arc<Genesis>,
}

impl Peer {
    /// Connects to a running node and greets it, as one that has no block yet.
    pub(super) fn connect(site: &Site, genesis: &Arc<Genesis>) -> Result<Self, CommandError> {
        let (stream, transport) = shake_hands(site, genesis)?;
        let mut peer = Self {
            stream,
            transport,
            genesis: Arc::clone(genesis),
        };
        let observed = peer.stream.local_addr().map_err(|error| lost(&error))?;
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            protocol_min: PROTOCOL_VERSION,
            role: Role::Full,
            listen_port: 0,
            features: Features::NONE,
            services: Services::FULL_BLOCKS,
            best_height: Height::GENESIS,
            best_id: ChainState::genesis(genesis).id,
            nonce: u64::from(std::process::id()),
            reconciliation_salt: 0,
            time: Millis(now().as_millis()),
            observed: NetworkAddress::from_socket(observed)
                .ok_or_else(|| lost(&"the connection has no address"))?,
            agent: ShortText::new("keel bench"),
        };
        peer.send(Lane::Control, &Message::Hello(Box::new(hello)))?;
        let ready = Message::Ready {
            features: Features::NONE,
        };
        for expected in [MessageKind::Hello, MessageKind::Ready] {
            let came = peer.receive(PATIENCE)?;
            if came.as_ref().map(|(_, message)| message.kind()) != Some(expected) {
                return Err(lost(&format!("{came:?} came where {expected} was due")));
            }
            if expected == MessageKind::Hello {
                peer.send(Lane::Control, &ready)?;
            }
        }
        Ok(peer)
    }

    /// Sends a message.
    pub(super) fn send(&mut self, lane: Lane, message: &Message) -> Result<(), CommandError> {
        let sent = self.transport.send(lane, message.kind(), message.encode());
        sent.map_err(|_| lost(&"it takes no more"))?;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), CommandError> {
        let mut out = Vec::new();
        self.transport.write(&mut out, usize::MAX);
        self.stream.write_all(&out).map_err(|error| lost(&error))
    }

    /// The next message and its lane; nothing when none comes within `patience`.
    pub(super) fn receive(
        &mut self,
        patience: Duration,
    ) -> Result<Option<(Lane, Message)>, CommandError> {
        let mut buffer = vec![0; BUFFER];
        loop {
            if let Some(Received { lane, kind, bytes }) = self.transport.next_message() {
                self.transport.consumed(lane, bytes.len());
                self.flush()?;
                let engine = self.genesis.rules.engine_kind();
                let read = Message::decode(kind, &bytes, engine);
                return read
                    .map(|message| Some((lane, message)))
                    .map_err(|error| lost(&error));
            }
            // A time of zero would mean to wait for ever.
            let patience = patience.max(Duration::from_micros(1));
            let limited = self.stream.set_read_timeout(Some(patience));
            limited.map_err(|error| lost(&error))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(lost(&"it closed the connection")),
                Ok(count) => {
                    let taken = self.transport.receive(now(), &buffer[..count]);
                    taken.map_err(|fault| lost(&fault))?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(lost(&error)),
            }
        }
    }
}

fn shake_hands(site: &Site, genesis: &Genesis) -> Result<(TcpStream, Transport), CommandError> {
    let network = Network {
        genesis: genesis.id(),
        engine: genesis.rules.engine_kind(),
        puzzle_bits: genesis.id_puzzle_bits,
    };
    let identity = new_identity(genesis.id_puzzle_bits)?;
    let expires = Millis((now() + RECORD_LIFE).as_millis());
    let services = Services::FULL_BLOCKS;
    let record = identity.sign_record(&network.genesis, 1, expires, services, &[], None);
    let mut stream = TcpStream::connect(site.address()).map_err(|error| lost(&error))?;
    let made = stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
    made.map_err(|error| lost(&error))?;
    let ephemeral = random_bytes()?;
    let mut handshake = Handshake::initiate(network, &identity, &record, &site.key, ephemeral)
        .map_err(|error| lost(&error))?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let mut out = Vec::new();
        handshake.write(&mut out);
        stream.write_all(&out).map_err(|error| lost(&error))?;
        if handshake.is_finished() {
            return Ok((stream, handshake.into_transport().0));
        }
        let count = stream.read(&mut buffer).map_err(|error| lost(&error))?;
        let taken = handshake.receive(&buffer[..count]);
        // The node says nothing more before it has the end of the handshake.
        if count == 0 || taken.map_err(|error| lost(&error))? < count {
            return Err(lost(&"it closed the connection"));
        }
    }
}

fn lost(why: &dyn std::fmt::Display) -> CommandError {
    CommandError::failed(format!("the connection with the node broke: {why}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "records and greetings carry the time of day"
)]
fn now() -> Time {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    Time::from_micros(since_1970.map_or(0, |span| span.as_micros() as u64))
}
