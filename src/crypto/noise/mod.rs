//! The handshake `Noise_XK_25519_ChaChaPoly_SHA256` and the ciphers it leaves behind.
//!
//! *Owns* the primitives that the `snow` crate is given: X25519 over the curve library that also
//! checks signatures, ChaCha20-Poly1305, SHA-256. *Invariants*: a handshake is a function of its
//! arguments, the ephemeral secret among them, so that it replays; a shared secret of all zeros,
//! which only a key of small order gives, fails the handshake; a message that is not authentic
//! gives no plaintext. *Never* draws randomness, and never uses an ephemeral secret twice.

mod primitives;

use std::fmt;

use zeroize::Zeroizing;

use primitives::Primitives;

/// The whole name of the protocol, which is part of what both sides hash.
const PROTOCOL: &str = "Noise_XK_25519_ChaChaPoly_SHA256";
/// Bytes of the tag that every sealed message ends with.
pub const TAG_BYTES: usize = 16;
/// Bytes of an X25519 key.
const KEY_BYTES: usize = 32;
/// Bytes of a handshake message beyond its payload, by its place: an ephemeral key and a tag,
/// the same, a sealed static key and a tag.
const OVERHEAD: [usize; 3] = [
    KEY_BYTES + TAG_BYTES,
    KEY_BYTES + TAG_BYTES,
    KEY_BYTES + TAG_BYTES + TAG_BYTES,
];

/// An X25519 secret key. It is wiped when dropped and shows itself to no log.
#[derive(Clone)]
pub struct StaticSecret(Zeroizing<[u8; KEY_BYTES]>);

impl StaticSecret {
    /// The key of 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(*seed))
    }

    /// The seed, for a key store.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        self.0.clone()
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> [u8; KEY_BYTES] {
        primitives::public_key(&self.0)
    }
}

impl fmt::Debug for StaticSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticSecret")
    }
}

/// The message is not authentic: it was damaged, made with other keys, or for another chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAuthentic;

impl fmt::Display for NotAuthentic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message is not authentic")
    }
}

impl std::error::Error for NotAuthentic {}

/// A handshake under way: three messages, the first by the initiator.
pub struct NoiseHandshake {
    state: Box<snow::HandshakeState>,
    /// How many messages were written or read.
    messages: usize,
}

impl NoiseHandshake {
    /// The side that dials and knows whom: `remote` is the responder's public key.
    #[must_use]
    pub fn initiator(
        secret: &StaticSecret,
        remote: &[u8; KEY_BYTES],
        prologue: &[u8],
        ephemeral: Zeroizing<[u8; KEY_BYTES]>,
    ) -> Self {
        Self::new(secret, Some(remote), prologue, ephemeral)
    }

    /// The side that was dialled, and learns from the third message by whom.
    #[must_use]
    pub fn responder(
        secret: &StaticSecret,
        prologue: &[u8],
        ephemeral: Zeroizing<[u8; KEY_BYTES]>,
    ) -> Self {
        Self::new(secret, None, prologue, ephemeral)
    }

    fn new(
        secret: &StaticSecret,
        remote: Option<&[u8; KEY_BYTES]>,
        prologue: &[u8],
        ephemeral: Zeroizing<[u8; KEY_BYTES]>,
    ) -> Self {
        let build = || {
            let protocol = PROTOCOL.parse()?;
            let primitives = Box::new(Primitives::new(ephemeral));
            let builder = snow::Builder::with_resolver(protocol, primitives)
                .local_private_key(&*secret.0)?
                .prologue(prologue)?;
            match remote {
                Some(remote) => builder.remote_public_key(remote)?.build_initiator(),
                None => builder.build_responder(),
            }
        };
        let state = build().expect("every part that the protocol's name asks for is there");
        Self {
            state: Box::new(state),
            messages: 0,
        }
    }

    /// Bytes of the next message beyond its payload.
    #[must_use]
    pub fn overhead(&self) -> usize {
        OVERHEAD[self.messages]
    }

    /// The next message, with `payload` sealed in it.
    ///
    /// # Panics
    /// When it is the other side's turn.
    pub fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, NotAuthentic> {
        assert!(
            self.state.is_my_turn(),
            "the next message is the other side's"
        );
        let mut message = vec![0; self.overhead() + payload.len()];
        // What can fail is the exchange with a key of small order that the other side sent.
        let length = self
            .state
            .write_message(payload, &mut message)
            .map_err(|_| NotAuthentic)?;
        assert_eq!(length, message.len(), "the overhead of a message is fixed");
        self.messages += 1;
        Ok(message)
    }

    /// The payload of the other side's next message.
    ///
    /// # Panics
    /// When it is this side's turn.
    pub fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, NotAuthentic> {
        assert!(
            !self.state.is_my_turn(),
            "the next message is this side's own"
        );
        let room = message
            .len()
            .checked_sub(self.overhead())
            .ok_or(NotAuthentic)?;
        let mut payload = vec![0; room];
        let length = self
            .state
            .read_message(message, &mut payload)
            .map_err(|_| NotAuthentic)?;
        assert_eq!(length, payload.len(), "the overhead of a message is fixed");
        self.messages += 1;
        Ok(payload)
    }

    /// How many messages were written or read.
    #[must_use]
    pub const fn messages(&self) -> usize {
        self.messages
    }

    /// Whether all three messages went.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state.is_handshake_finished()
    }

    /// The other side's static key, once it is known.
    #[must_use]
    pub fn remote_key(&self) -> Option<[u8; KEY_BYTES]> {
        self.state.get_remote_static()?.try_into().ok()
    }

    /// A hash over everything that both sides sent.
    #[must_use]
    pub fn hash(&self) -> &[u8] {
        self.state.get_handshake_hash()
    }

    /// The ciphers for what follows.
    ///
    /// # Panics
    /// When the handshake is not finished.
    #[must_use]
    pub fn into_ciphers(self) -> Ciphers {
        let state = self.state.into_transport_mode();
        Ciphers(Box::new(state.expect("the handshake is finished")))
    }
}

impl fmt::Debug for NoiseHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoiseHandshake(after message {})", self.messages)
    }
}

/// One cipher for each direction, with the count of messages as nonce and no associated data.
pub struct Ciphers(Box<snow::TransportState>);

impl Ciphers {
    /// Seals `plaintext` into `out`, which must be exactly [`TAG_BYTES`] longer.
    ///
    /// # Panics
    /// When `out` has another length, or after 2^64 - 1 messages, which no connection lives to.
    pub fn seal(&mut self, plaintext: &[u8], out: &mut [u8]) {
        assert_eq!(out.len(), plaintext.len() + TAG_BYTES, "room for the tag");
        let sealed = self.0.write_message(plaintext, out);
        sealed.expect("a frame is far below the greatest message and the count far below 2^64");
    }

    /// Opens `message` into `out`, which must be exactly [`TAG_BYTES`] shorter.
    ///
    /// # Panics
    /// When `out` has another length.
    pub fn open(&mut self, message: &[u8], out: &mut [u8]) -> Result<(), NotAuthentic> {
        assert_eq!(message.len(), out.len() + TAG_BYTES, "room for the text");
        let opened = self.0.read_message(message, out);
        opened.map(|_| ()).map_err(|_| NotAuthentic)
    }

    /// Replaces the key of what this side sends; the count goes on.
    pub fn rekey_outgoing(&mut self) {
        self.0.rekey_outgoing();
    }

    /// Replaces the key of what this side receives; the count goes on.
    pub fn rekey_incoming(&mut self) {
        self.0.rekey_incoming();
    }
}

impl fmt::Debug for Ciphers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ciphers")
    }
}

#[cfg(test)]
mod tests;
