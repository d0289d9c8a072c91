//! Many signatures at once: one multiplication of many points in place of many of two.

use curve25519_dalek::{
    EdwardsPoint, Scalar,
    constants::ED25519_BASEPOINT_POINT,
    traits::{IsIdentity, VartimeMultiscalarMul},
};

use super::{Equation, PublicKey, Signature, point};
use crate::crypto::hash::{Sha256, domain, sha256_parts};

/// The largest of the small groups. Up to here the curve library interleaves all points in tables
/// that fit the first-level cache.
const SMALL: usize = 16;

/// The smallest of the large groups. From here on the library sorts points into buckets; between
/// the two, a signature costs up to a fifth more than in groups of [`SMALL`].
const LARGE: usize = 128;

/// The largest group. Its points and buckets stay in the second-level cache of a core and in
/// memory that the allocator has at hand; four times as many gain nothing.
const LARGEST: usize = 256;

/// One signature to check.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Who is said to have signed.
    pub key: PublicKey,
    /// What is said to be signed.
    pub message: &'a [u8],
    /// The signature.
    pub signature: Signature,
}

/// Keys decompressed lately, which a fifth of the work on a signature goes into.
///
/// It holds points of keys that may sign and nothing else, each a function of its key, so that a
/// verdict is the same with any content. Every key has one place, which the newest of those that
/// share it takes: whoever grinds keys that share one makes them cost what they would cost without
/// a cache.
#[derive(Clone, Debug)]
pub struct KeyCache {
    keys: usize,
    /// Made with the first key, so that whoever verifies nothing needs no memory for it.
    places: Vec<Option<(PublicKey, EdwardsPoint)>>,
}

impl KeyCache {
    /// An empty cache for at most `keys` keys of about 200 bytes each.
    #[must_use]
    pub const fn new(keys: usize) -> Self {
        Self {
            keys: if keys == 0 { 1 } else { keys },
            places: Vec::new(),
        }
    }

    /// How many keys it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.iter().flatten().count()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The point of `key`, when it may sign.
    pub(super) fn point(&mut self, key: &PublicKey) -> Option<EdwardsPoint> {
        if self.places.is_empty() {
            self.places = vec![None; self.keys];
        }
        // The first bytes of a key are as good as random, unless somebody chose them.
        let first = u64::from_le_bytes(*key.0.first_chunk().expect("32 bytes begin with 8"));
        let place = &mut self.places[(first % self.keys as u64) as usize];
        match place {
            Some((held, point)) if held == key => Some(*point),
            _ => {
                let point = point::decompress_key(key)?;
                *place = Some((*key, point));
                Some(point)
            }
        }
    }
}

/// Checks `items`, each with the verdict that [`verify`](super::verify) gives, in their order.
///
/// `secret` must be fresh and unknown to whoever made the signatures: with the items it seeds the
/// weights under which bad signatures can't cancel each other out, except with a chance of about
/// 2^-125. It has no other effect.
#[must_use]
pub fn verify_batch(items: &[Item<'_>], cache: &mut KeyCache, secret: &[u8; 32]) -> Vec<bool> {
    let mut verdicts = vec![false; items.len()];
    let weights = weights(items, secret);
    // Even parts, so that none but the only one is smaller than half of the largest.
    let parts = items.len().div_ceil(LARGEST).max(1);
    let size = items.len().div_ceil(parts).max(1);
    for start in (0..items.len()).step_by(size) {
        let end = items.len().min(start + size);
        let mut terms = Vec::with_capacity(end - start);
        for at in start..end {
            let Item {
                key,
                message,
                signature,
            } = &items[at];
            let equation = cache
                .point(key)
                .and_then(|point| Equation::new(key, point, message, signature));
            if let Some(equation) = equation {
                terms.push(Term {
                    at,
                    by: *key,
                    weight: weights[at],
                    equation,
                });
            }
        }
        settle(&terms, &mut verdicts);
    }
    verdicts
}

/// An equation and its weight in the sum.
struct Term {
    at: usize,
    by: PublicKey,
    weight: Scalar,
    equation: Equation,
}

/// Marks the terms that hold, in groups of sizes that are cheap, and finds those that do not by
/// dividing each group that fails.
fn settle(terms: &[Term], verdicts: &mut [bool]) {
    let cheap_together = (2..=SMALL).contains(&terms.len()) || terms.len() >= LARGE;
    if cheap_together && hold_together(terms) {
        for term in terms {
            verdicts[term.at] = true;
        }
    } else if terms.len() <= SMALL {
        for term in terms {
            verdicts[term.at] = term.equation.holds();
        }
    } else if terms.len() >= 2 * LARGE {
        let (left, right) = terms.split_at(terms.len() / 2);
        settle(left, verdicts);
        settle(right, verdicts);
    } else {
        for group in terms.chunks(SMALL) {
            settle(group, verdicts);
        }
    }
}

/// Whether the weighted sum of all equations holds: `[8](sum zR + sum zkA - (sum zs)B) = 0`, with
/// the terms of one key in one product.
fn hold_together(terms: &[Term]) -> bool {
    let mut by_key: Vec<&Term> = terms.iter().collect();
    by_key.sort_unstable_by_key(|term| term.by);
    let mut scalars = Vec::with_capacity(2 * terms.len() + 1);
    let mut points = Vec::with_capacity(2 * terms.len() + 1);
    let mut of_base = Scalar::ZERO;
    for same_key in by_key.chunk_by(|left, right| left.by == right.by) {
        let mut of_key = Scalar::ZERO;
        for Term {
            weight, equation, ..
        } in same_key
        {
            of_key += weight * equation.k;
            of_base -= weight * equation.s;
            // The weight stays positive here, where half the bits make it half the work.
            scalars.push(*weight);
            points.push(equation.r);
        }
        scalars.push(of_key);
        points.push(same_key[0].equation.key);
    }
    scalars.push(of_base);
    points.push(ED25519_BASEPOINT_POINT);
    EdwardsPoint::vartime_multiscalar_mul(&scalars, &points)
        .mul_by_cofactor()
        .is_identity()
}

/// A weight of 128 bits for each item, from all of them and the secret.
fn weights(items: &[Item<'_>], secret: &[u8; 32]) -> Vec<Scalar> {
    let mut seed = Sha256::with_domain(domain::BATCH);
    seed.update(secret);
    seed.update(&(items.len() as u64).to_le_bytes());
    for item in items {
        seed.update(&item.key.0);
        seed.update(&item.signature.0);
        seed.update(&(item.message.len() as u64).to_le_bytes());
        seed.update(item.message);
    }
    let seed = seed.finish();
    let mut weights = Vec::with_capacity(items.len() + 1);
    for counter in 0..items.len().div_ceil(2) as u64 {
        let block = sha256_parts(&[&seed, &counter.to_le_bytes()]);
        let (halves, _) = block.as_chunks::<16>();
        weights.extend(
            halves
                .iter()
                .map(|half| Scalar::from(u128::from_le_bytes(*half))),
        );
    }
    weights.truncate(items.len());
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_128_bits_and_depend_on_everything() {
        let item = |key, message, signature| Item {
            key: PublicKey([key; 32]),
            message,
            signature: Signature([signature; 64]),
        };
        let items = [
            item(1, b"ab".as_slice(), 2),
            item(3, b"c", 4),
            item(5, b"", 6),
        ];
        let base = weights(&items, &[0; 32]);
        assert_eq!(base.len(), 3);
        for weight in &base {
            assert_eq!(weight.as_bytes()[16..], [0; 16]);
            assert_eq!(base.iter().filter(|other| *other == weight).count(), 1);
        }
        let mut others = vec![
            weights(&items, &[1; 32]),
            weights(&items[..2], &[0; 32]),
            // The same bytes with another border between two messages.
            weights(&[item(1, b"a", 2), item(3, b"bc", 4), items[2]], &[0; 32]),
        ];
        for at in 0..3 {
            let mut other_key = items;
            other_key[at].key = PublicKey([7; 32]);
            let mut other_signature = items;
            other_signature[at].signature = Signature([7; 64]);
            others.extend([other_key, other_signature].map(|items| weights(&items, &[0; 32])));
        }
        for other in others {
            assert!(other.iter().zip(&base).all(|(left, right)| left != right));
        }
    }

    #[test]
    fn the_cache_gives_the_point_of_the_key_that_is_asked_for() {
        let keys: Vec<_> = (1..=9_u8)
            .map(|seed| super::super::SecretKey::from_seed(&[seed; 32]).public_key())
            .collect();
        let mut cache = KeyCache::new(4);
        assert!(cache.is_empty());
        for key in keys.iter().chain(keys.iter().rev()) {
            // The second time it comes from the cache.
            for _ in 0..2 {
                assert_eq!(cache.point(key), point::decompress_key(key));
            }
            let held = cache.places.iter().flatten().any(|(held, _)| held == key);
            assert!(held && cache.len() <= 4);
        }
    }
}
