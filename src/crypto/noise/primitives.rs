//! The primitives that `snow` computes the protocol with.

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use curve25519_dalek::MontgomeryPoint;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::{Zeroize, Zeroizing};

use super::{KEY_BYTES, TAG_BYTES};
use crate::crypto::hash::Sha256;

/// The public key of an X25519 secret.
pub(super) fn public_key(secret: &[u8; KEY_BYTES]) -> [u8; KEY_BYTES] {
    MontgomeryPoint::mul_base_clamped(*secret).to_bytes()
}

/// Hands out the primitives of one handshake.
pub(super) struct Primitives {
    ephemeral: Zeroizing<[u8; KEY_BYTES]>,
}

impl Primitives {
    pub(super) fn new(ephemeral: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self { ephemeral }
    }
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(EphemeralSecret(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::new(X25519::default())),
            _ => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        match choice {
            HashChoice::SHA256 => Some(Box::new(RunningHash::default())),
            _ => None,
        }
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        match choice {
            CipherChoice::ChaChaPoly => {
                let unset = ChaCha20Poly1305::new(&[0; 32].into());
                Some(Box::new(ChaChaPoly(unset)))
            }
            _ => None,
        }
    }
}

/// The one random value of a handshake, which came in from outside. A second draw fails, so that
/// no secret serves twice.
struct EphemeralSecret(Option<Zeroizing<[u8; KEY_BYTES]>>);

impl Random for EphemeralSecret {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        match self.0.take() {
            Some(secret) if dest.len() == secret.len() => {
                dest.copy_from_slice(&*secret);
                Ok(())
            }
            _ => Err(snow::Error::Rng),
        }
    }
}

/// A key pair for the exchange of RFC 7748.
#[derive(Default)]
struct X25519 {
    secret: Zeroizing<[u8; KEY_BYTES]>,
    public: [u8; KEY_BYTES],
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        KEY_BYTES
    }

    fn priv_len(&self) -> usize {
        KEY_BYTES
    }

    fn set(&mut self, privkey: &[u8]) {
        self.secret.copy_from_slice(privkey);
        self.public = public_key(&self.secret);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        rng.try_fill_bytes(&mut *self.secret)?;
        self.public = public_key(&self.secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &*self.secret
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        // The library passes a buffer with room for the longest key of any curve.
        let theirs = pubkey.first_chunk::<KEY_BYTES>().ok_or(snow::Error::Dh)?;
        let mut shared = MontgomeryPoint(*theirs).mul_clamped(*self.secret);
        // A key of small order makes the result independent of this side's secret.
        if shared.0 == [0; KEY_BYTES] {
            return Err(snow::Error::Dh);
        }
        out[..KEY_BYTES].copy_from_slice(&shared.0);
        shared.zeroize();
        Ok(())
    }
}

/// ChaCha20-Poly1305 with the nonce of the Noise specification: four zero bytes, then the count.
struct ChaChaPoly(ChaCha20Poly1305);

fn nonce_of(count: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&count.to_le_bytes());
    nonce.into()
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = ChaCha20Poly1305::new(key.into());
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let (text, rest) = out.split_at_mut(plaintext.len());
        let buffer = InOutBuf::new(plaintext, text).expect("both have the same length");
        let tag = self
            .0
            .encrypt_inout_detached(&nonce_of(nonce), authtext, buffer)
            .expect("a message is far below the cipher's 256 GiB");
        rest[..TAG_BYTES].copy_from_slice(&tag);
        plaintext.len() + TAG_BYTES
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let (text, tag) = ciphertext
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(snow::Error::Decrypt)?;
        let out = out.get_mut(..text.len()).ok_or(snow::Error::Decrypt)?;
        let buffer = InOutBuf::new(text, out).map_err(|_| snow::Error::Decrypt)?;
        self.0
            .decrypt_inout_detached(&nonce_of(nonce), authtext, buffer, &Tag::from(*tag))
            .map_err(|_| snow::Error::Decrypt)?;
        Ok(text.len())
    }
}

/// SHA-256, taken in piece by piece.
#[derive(Default)]
struct RunningHash(Sha256);

impl Hash for RunningHash {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Sha256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let hash = std::mem::take(&mut self.0).finish();
        out[..32].copy_from_slice(&hash);
    }
}
