//! Points from bytes, by the strict reading that the rule of acceptance asks for.

use curve25519_dalek::{EdwardsPoint, edwards::CompressedEdwardsY};

use super::PublicKey;

/// The point of a canonical encoding; nothing when the bytes are not one.
pub(super) fn decompress(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    if !is_canonical(bytes) {
        return None;
    }
    CompressedEdwardsY(*bytes).decompress()
}

/// The point of a key that may sign: canonical and not of small order, under which anyone could
/// sign for anyone.
pub(super) fn decompress_key(key: &PublicKey) -> Option<EdwardsPoint> {
    decompress(&key.0).filter(|point| !point.is_small_order())
}

/// Whether `y < p = 2^255 - 19`, and the sign bit is 0 where `x = 0`, which is where `y` is 1 or
/// -1. Decompression reduces `y` and ignores the sign of 0, so it would let both through.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    let negative = high & 0x80 != 0;
    if high & 0x7f == 0x7f && middle.iter().all(|byte| *byte == 0xff) {
        // p ends in 0xed: from there on y is not reduced, and 0xec ends p - 1, which is -1.
        return *low < 0xec || (*low == 0xec && !negative);
    }
    let is_one = high & 0x7f == 0 && middle.iter().all(|byte| *byte == 0) && *low == 1;
    !(is_one && negative)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use curve25519_dalek::constants::EIGHT_TORSION;

    /// Canonical means: what comes back from compression.
    fn agrees(bytes: &[u8; 32]) -> bool {
        let round_trip = CompressedEdwardsY(*bytes)
            .decompress()
            .filter(|point| point.compress().as_bytes() == bytes);
        decompress(bytes) == round_trip
    }

    #[test]
    fn canonical_is_what_compression_gives_back() {
        let mut rng = Rng::from_number(1);
        for _ in 0..200 {
            assert!(agrees(&rng.bytes32()));
        }
        // All encodings near 0, 1, -1, p and 2^255, with both signs.
        for low in 0..=255 {
            for (fill, high) in [(0, 0), (0, 0x80), (0xff, 0x7f), (0xff, 0xff)] {
                let mut bytes = [fill; 32];
                bytes[0] = low;
                bytes[31] = high;
                assert!(agrees(&bytes), "{bytes:x?}");
            }
        }
    }

    #[test]
    fn no_point_of_small_order_is_a_key() {
        for point in EIGHT_TORSION {
            let bytes = point.compress().to_bytes();
            assert_eq!(decompress(&bytes), Some(point));
            assert_eq!(decompress_key(&PublicKey(bytes)), None);
        }
    }
}
