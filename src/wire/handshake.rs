//! How a connection begins: each side proves its key and shows its record.

use std::fmt;

use zeroize::Zeroizing;

use crate::codec::{DecodeError, Reader, Writer};
use crate::crypto::hash::domain;
use crate::crypto::noise::{NoiseHandshake, NotAuthentic};
use crate::types::{EngineKind, GenesisId, NodeId, NodeKey, NodeRecord};

use super::{NodeIdentity, Transport};

/// Bytes of the message that the initiator begins with.
pub const FIRST_BYTES: usize = 48;
/// Bytes of the responder's answer.
pub const SECOND_BYTES: usize = 496;
/// Bytes of the message that the initiator ends with.
pub const THIRD_BYTES: usize = 512;
/// Bytes of the payload of the second and third: a record, padded so that its length tells
/// nothing.
const PAYLOAD_BYTES: usize = 448;

/// What both sides must agree on before a byte goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The chain: a peer of another one can't read a word.
    pub genesis: GenesisId,
    /// The chain's engine.
    pub engine: EngineKind,
    /// How much work a node id of this chain takes.
    pub puzzle_bits: u8,
}

/// Why a handshake failed. The connection closes without a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// A message is not authentic: the peer has another key or another chain, or is no node.
    NotAuthentic,
    /// What the peer proved its key with is no record.
    Record(DecodeError),
    /// The record names another key than the one that was proved.
    OtherKey,
    /// The peer is this node.
    SelfConnection,
    /// The record's id does not solve the puzzle of this chain.
    Puzzle,
    /// The record's signature is not its id's, or for another chain.
    Signature,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAuthentic => f.write_str(
                "the handshake is not authentic: the peer has another key or another chain; \
                 compare the key in its peer string and the genesis of both",
            ),
            Self::Record(error) => write!(f, "the peer's record: {error}"),
            Self::OtherKey => f.write_str("the peer's record names another key than it proved"),
            Self::SelfConnection => f.write_str("the peer is this node itself"),
            Self::Puzzle => f.write_str("the peer's id does not solve this chain's puzzle"),
            Self::Signature => f.write_str("the peer's record is not signed by its id"),
        }
    }
}

impl std::error::Error for HandshakeError {}

impl From<NotAuthentic> for HandshakeError {
    fn from(_: NotAuthentic) -> Self {
        Self::NotAuthentic
    }
}

/// A handshake under way.
///
/// Give it what the socket gives by [`receive`](Self::receive), give the socket what
/// [`write`](Self::write) gives, and when it [`is_finished`](Self::is_finished) turn it into the
/// connection's [`Transport`]. How long it may take is for its owner to say.
#[derive(Debug)]
pub struct Handshake {
    network: Network,
    noise: NoiseHandshake,
    own: NodeId,
    /// This side's record as a payload.
    payload: Vec<u8>,
    /// The part of the peer's next message that came.
    partial: Vec<u8>,
    /// What is to be written.
    out: Vec<u8>,
    peer: Option<NodeRecord>,
    error: Option<HandshakeError>,
}

impl Handshake {
    /// The side that dials `remote`. `ephemeral` is random, for this handshake alone.
    pub fn initiate(
        network: Network,
        identity: &NodeIdentity,
        record: &NodeRecord,
        remote: &NodeKey,
        ephemeral: Zeroizing<[u8; 32]>,
    ) -> Result<Self, HandshakeError> {
        let prologue = prologue(&network);
        let noise =
            NoiseHandshake::initiator(identity.transport(), &remote.0, &prologue, ephemeral);
        let mut handshake = Self::new(network, identity, record, noise);
        handshake.out = handshake.noise.write(b"")?;
        Ok(handshake)
    }

    /// The side that was dialled. `ephemeral` is random, for this handshake alone.
    #[must_use]
    pub fn respond(
        network: Network,
        identity: &NodeIdentity,
        record: &NodeRecord,
        ephemeral: Zeroizing<[u8; 32]>,
    ) -> Self {
        let noise = NoiseHandshake::responder(identity.transport(), &prologue(&network), ephemeral);
        Self::new(network, identity, record, noise)
    }

    fn new(
        network: Network,
        identity: &NodeIdentity,
        record: &NodeRecord,
        noise: NoiseHandshake,
    ) -> Self {
        assert!(
            record.id == identity.id() && record.content.key == identity.key(),
            "a node shows its own record"
        );
        let mut payload = Writer::with_capacity(PAYLOAD_BYTES);
        record.encode_with_length(&mut payload);
        payload.zeros(PAYLOAD_BYTES - payload.len());
        Self {
            network,
            noise,
            own: record.id,
            payload: payload.into_bytes(),
            partial: Vec::new(),
            out: Vec::new(),
            peer: None,
            error: None,
        }
    }

    /// Takes bytes that came from the peer, cut anywhere, and says how many belong to the
    /// handshake: the rest is the transport's. After an error every later call gives the same.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<usize, HandshakeError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let result = self.receive_messages(bytes);
        if let Err(error) = &result {
            self.error = Some(error.clone());
            self.out.clear();
        }
        result
    }

    fn receive_messages(&mut self, bytes: &[u8]) -> Result<usize, HandshakeError> {
        let mut taken = 0;
        while let Some(wanted) = self.next_bytes() {
            let missing = wanted - self.partial.len();
            let rest = &bytes[taken..];
            let part = &rest[..missing.min(rest.len())];
            self.partial.extend_from_slice(part);
            taken += part.len();
            if self.partial.len() < wanted {
                break;
            }
            let message = std::mem::take(&mut self.partial);
            let payload = self.noise.read(&message)?;
            if wanted == FIRST_BYTES {
                self.out = self.noise.write(&self.payload)?;
                continue;
            }
            self.peer = Some(self.check_record(&payload)?);
            if wanted == SECOND_BYTES {
                self.out = self.noise.write(&self.payload)?;
            }
        }
        Ok(taken)
    }

    /// How many bytes the peer's next message has; none when the peer has said all.
    fn next_bytes(&self) -> Option<usize> {
        let next = [FIRST_BYTES, SECOND_BYTES, THIRD_BYTES];
        next.get(self.noise.messages()).copied()
    }

    /// Reads the peer's record and checks, cheapest first, that it is a record of the key that was
    /// proved. That it may be expired is no fault here: its key is in use.
    fn check_record(&self, payload: &[u8]) -> Result<NodeRecord, HandshakeError> {
        let mut input = Reader::new(payload);
        let record = NodeRecord::decode_with_length(&mut input)
            .and_then(|record| {
                let rule = "a handshake's record must be padded with zeros";
                input.zeros(input.remaining(), rule)?;
                Ok(record)
            })
            .map_err(HandshakeError::Record)?;
        if self.noise.remote_key() != Some(record.content.key.0) {
            return Err(HandshakeError::OtherKey);
        }
        if record.id == self.own {
            return Err(HandshakeError::SelfConnection);
        }
        if !record.id.solves_puzzle(self.network.puzzle_bits) {
            return Err(HandshakeError::Puzzle);
        }
        if !record.verify(&self.network.genesis) {
            return Err(HandshakeError::Signature);
        }
        Ok(record)
    }

    /// Appends what is to be written to `out`.
    pub fn write(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.out);
    }

    /// Whether [`write`](Self::write) would write something.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        !self.out.is_empty()
    }

    /// Whether the peer proved its key and this side has nothing left to say but what is to be
    /// written.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.error.is_none() && self.peer.is_some() && self.noise.is_finished()
    }

    /// The transport, which writes what the handshake did not, and the peer's record.
    ///
    /// # Panics
    /// When the handshake is not finished.
    #[must_use]
    pub fn into_transport(self) -> (Transport, NodeRecord) {
        assert!(self.is_finished(), "the handshake is not finished");
        let record = self.peer.expect("a finished handshake has a peer");
        let ciphers = self.noise.into_ciphers();
        let transport = Transport::new(self.network.engine, ciphers, self.out);
        (transport, record)
    }
}

/// Lets two handshakes in one process come to their end: the transports of who dialled and of who
/// was dialled, on which nothing was said yet.
pub fn shake_hands(
    mut initiator: Handshake,
    mut responder: Handshake,
) -> Result<[Transport; 2], HandshakeError> {
    let mut bytes = Vec::new();
    while initiator.wants_write() || responder.wants_write() {
        bytes.clear();
        initiator.write(&mut bytes);
        responder.receive(&bytes)?;
        bytes.clear();
        responder.write(&mut bytes);
        initiator.receive(&bytes)?;
    }
    Ok([initiator.into_transport().0, responder.into_transport().0])
}

fn prologue(network: &Network) -> Vec<u8> {
    [domain::TRANSPORT, network.genesis.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
