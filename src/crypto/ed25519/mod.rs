//! Ed25519 signatures, accepted by one rule however they are checked.
//!
//! *Owns* the rule (`docs/formats.md`, "Signatures"; Algorithm 2 of "Taming the many EdDSAs"): a
//! signature `R | s` of message `M` by key `A` is accepted exactly when
//!
//! 1. `s < L`, the order of the base point `B`;
//! 2. `A` and `R` are canonical encodings of points: `y < p`, and the sign bit is 0 where `x = 0`;
//! 3. `A` is not of small order;
//! 4. `[8](sB - R - kA) = 0` with `k = SHA-512(R | A | M)`.
//!
//! *Invariants*: the first three are checks per signature and the fourth is linear once torsion
//! is cleared, so that a batch accepts what its members would be accepted as alone. The checks of
//! curve libraries differ between single and batch, and in consensus that splits a chain:
//! `ed25519-dalek` holds keys and signs here, and verifies nothing.

mod batch;
mod point;
#[cfg(test)]
mod tests;

use std::fmt;

use curve25519_dalek::{EdwardsPoint, Scalar, traits::IsIdentity};
use ed25519_dalek::Signer;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use crate::base::encode_hex;

pub use batch::{Item, KeyCache, verify_batch};

/// The 32 bytes of a public key. That they are a point is checked when a signature is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", encode_hex(&self.0))
    }
}

/// The 64 bytes of a signature, `R | s`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    fn r(&self) -> &[u8; 32] {
        self.0.first_chunk().expect("64 bytes begin with 32")
    }

    fn s(&self) -> &[u8; 32] {
        self.0.last_chunk().expect("64 bytes end with 32")
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", encode_hex(&self.0))
    }
}

/// A secret key. It is wiped when dropped and shows itself to no log.
#[derive(Clone)]
pub struct SecretKey(ed25519_dalek::SigningKey);

impl SecretKey {
    /// The key that grows from `seed`, the secret key of RFC 8032.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The seed, for a key store.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`, which everywhere in keel is a hash.
    #[must_use]
    pub fn sign(&self, message: &[u8; 32]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {:?})", self.public_key())
    }
}

/// Whether `signature` is one of `message` by `key`, by the rule of this module.
#[must_use]
pub fn verify(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    point::decompress_key(key)
        .and_then(|point| Equation::new(key, point, message, signature))
        .is_some_and(|equation| equation.holds())
}

/// A signature that passed the checks on its encoding: what remains is the equation.
struct Equation {
    key: EdwardsPoint,
    r: EdwardsPoint,
    s: Scalar,
    k: Scalar,
}

impl Equation {
    /// The equation of a signature by `key`, which is `point`; nothing when `s` or `R` is not
    /// canonical.
    fn new(
        key: &PublicKey,
        point: EdwardsPoint,
        message: &[u8],
        signature: &Signature,
    ) -> Option<Self> {
        let s = Option::from(Scalar::from_canonical_bytes(*signature.s()))?;
        let r = point::decompress(signature.r())?;
        let mut hash = Sha512::new();
        hash.update(signature.r());
        hash.update(key.0);
        hash.update(message);
        let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
        Some(Self {
            key: point,
            r,
            s,
            k,
        })
    }

    /// Whether `[8](sB - R - kA) = 0`.
    fn holds(&self) -> bool {
        let wanted =
            EdwardsPoint::vartime_double_scalar_mul_basepoint(&self.k, &-self.key, &self.s);
        (wanted - self.r).mul_by_cofactor().is_identity()
    }
}

/// Which code of the curve library this machine runs.
#[must_use]
pub fn backend() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        // The library's own choice: AVX-512 where it is compiled in, by this cfg or because the
        // target has the instructions anyway, then AVX2.
        let compiled = cfg!(any(
            curve25519_dalek_backend = "avx512",
            all(target_feature = "avx512ifma", target_feature = "avx512vl")
        ));
        if compiled
            && std::is_x86_feature_detected!("avx512ifma")
            && std::is_x86_feature_detected!("avx512vl")
        {
            return "avx512ifma";
        }
        if std::is_x86_feature_detected!("avx2") {
            return "avx2";
        }
    }
    "serial"
}
