//! Seeded randomness.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A stream of random values that is a function of its seed: SHA-256 in counter mode.
///
/// A node holds one, seeded by its driver, and gives every part its own [`fork`](Self::fork) by
/// name, so that a draw added to one part leaves the others' streams as they were. The stream
/// can't be predicted from its output, so a peer that sees nonces learns nothing about choices.
#[derive(Clone, Serialize, Deserialize)]
pub struct Rng {
    key: [u8; 32],
    counter: u64,
}

impl fmt::Debug for Rng {
    /// How far it is; its key is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rng(after {} draws)", self.counter)
    }
}

impl Rng {
    /// The stream of `seed`.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self {
            key: seed,
            counter: 0,
        }
    }

    /// The stream of a number, for tests and simulations.
    #[must_use]
    pub fn from_number(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self::from_seed(key)
    }

    /// The stream at a place given by [`state`](Self::state).
    #[must_use]
    pub fn from_state(key: [u8; 32], counter: u64) -> Self {
        Self { key, counter }
    }

    /// Where the stream is: its key and how many values it has given.
    #[must_use]
    pub fn state(&self) -> ([u8; 32], u64) {
        (self.key, self.counter)
    }

    /// An independent stream for the part called `name`. It does not advance this one.
    #[must_use]
    pub fn fork(&self, name: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"keel/rng/fork");
        hash.update(self.key);
        hash.update(name.as_bytes());
        Self::from_seed(hash.finalize().into())
    }

    /// 32 random bytes.
    pub fn bytes32(&mut self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(self.counter.to_le_bytes());
        self.counter += 1;
        hash.finalize().into()
    }

    /// A random number.
    pub fn next_u64(&mut self) -> u64 {
        let bytes = self.bytes32();
        let mut low = [0; 8];
        low.copy_from_slice(&bytes[..8]);
        u64::from_le_bytes(low)
    }

    /// A random number below `bound`, without bias.
    ///
    /// # Panics
    /// When `bound` is 0: there is no such number.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below zero");
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(bound);
            let low = wide as u64;
            // Lemire's rejection: the low halves under 2^64 mod bound are the biased ones.
            if low >= bound.wrapping_neg() % bound {
                return (wide >> 64) as u64;
            }
        }
    }

    /// True with probability `numerator / denominator`.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// Puts `items` in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_do_not_disturb_their_parent() {
        let mut alone = Rng::from_number(7);
        let mut parent = Rng::from_number(7);
        let mut child = parent.fork("relay");
        child.next_u64();
        assert_eq!(alone.next_u64(), parent.next_u64());
        assert_ne!(
            Rng::from_number(7).fork("a").next_u64(),
            parent.fork("b").next_u64()
        );
    }

    #[test]
    fn below_reaches_every_value_and_none_beyond() {
        let mut rng = Rng::from_number(1);
        let mut seen = [0_u32; 6];
        for _ in 0..6_000 {
            seen[rng.below(6) as usize] += 1;
        }
        assert!(
            seen.iter().all(|count| (800..1_200).contains(count)),
            "{seen:?}"
        );
    }
}
