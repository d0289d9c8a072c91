//! 256-bit numbers: targets, work and their compact form.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An unsigned 256-bit number; limbs of 64 bits, the least significant first.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Uint256(pub [u64; 4]);

impl Uint256 {
    /// Zero.
    pub const ZERO: Self = Self([0; 4]);
    /// One.
    pub const ONE: Self = Self([1, 0, 0, 0]);
    /// The greatest value.
    pub const MAX: Self = Self([u64::MAX; 4]);

    /// From a small number.
    #[must_use]
    pub const fn from_u64(value: u64) -> Self {
        Self([value, 0, 0, 0])
    }

    /// From 32 bytes, the most significant first.
    #[must_use]
    pub fn from_be_bytes(bytes: &[u8; 32]) -> Self {
        let mut reversed = *bytes;
        reversed.reverse();
        Self::from_le_bytes(&reversed)
    }

    /// From 32 bytes, the least significant first.
    #[must_use]
    pub fn from_le_bytes(bytes: &[u8; 32]) -> Self {
        let mut limbs = [0; 4];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *limb = u64::from_le_bytes(*chunk);
        }
        Self(limbs)
    }

    /// As 32 bytes, the least significant first.
    #[must_use]
    pub fn to_le_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (limb, chunk) in self.0.iter().zip(bytes.as_chunks_mut::<8>().0) {
            *chunk = limb.to_le_bytes();
        }
        bytes
    }

    /// As 32 bytes, the most significant first.
    #[must_use]
    pub fn to_be_bytes(self) -> [u8; 32] {
        let mut bytes = self.to_le_bytes();
        bytes.reverse();
        bytes
    }

    /// How many bits the number has: 0 for zero.
    #[must_use]
    pub fn bits(self) -> u32 {
        (0..4)
            .rev()
            .find(|limb| self.0[*limb] != 0)
            .map_or(0, |limb| {
                64 * (limb as u32) + 64 - self.0[limb].leading_zeros()
            })
    }

    /// Bit `index`, counted from the least significant.
    fn bit(self, index: u32) -> bool {
        self.0[(index / 64) as usize] >> (index % 64) & 1 == 1
    }

    /// The sum and whether it wrapped.
    #[must_use]
    pub fn overflowing_add(self, other: Self) -> (Self, bool) {
        let (mut sum, mut carry) = ([0; 4], false);
        for (limb, (a, b)) in sum.iter_mut().zip(self.0.into_iter().zip(other.0)) {
            let (partial, first) = a.overflowing_add(b);
            let (total, second) = partial.overflowing_add(u64::from(carry));
            (*limb, carry) = (total, first | second);
        }
        (Self(sum), carry)
    }

    /// The sum, or the greatest value where it would wrap.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        match self.overflowing_add(other) {
            (sum, false) => sum,
            (_, true) => Self::MAX,
        }
    }

    /// The difference, wrapping.
    #[must_use]
    pub fn wrapping_sub(self, other: Self) -> Self {
        self.overflowing_add(other.complement())
            .0
            .overflowing_add(Self::ONE)
            .0
    }

    /// The number shifted up by `shift` bits; bits beyond 256 are lost.
    #[must_use]
    pub fn shift_left(self, shift: u32) -> Self {
        let (limbs, bits) = ((shift / 64) as usize, shift % 64);
        let limb = |index: Option<usize>| index.map_or(0, |index| self.0[index]);
        let shifted = std::array::from_fn(|index| {
            let low = limb(index.checked_sub(limbs + 1));
            let carried = if bits > 0 { low >> (64 - bits) } else { 0 };
            limb(index.checked_sub(limbs)) << bits | carried
        });
        Self(shifted)
    }

    /// The number shifted down by `shift` bits.
    #[must_use]
    pub fn shift_right(self, shift: u32) -> Self {
        let (limbs, bits) = ((shift / 64) as usize, shift % 64);
        let limb = |index: usize| self.0.get(index).copied().unwrap_or(0);
        let shifted = std::array::from_fn(|index| {
            let high = limb(index + limbs + 1);
            let carried = if bits > 0 { high << (64 - bits) } else { 0 };
            limb(index + limbs) >> bits | carried
        });
        Self(shifted)
    }

    /// Every bit inverted.
    #[must_use]
    pub fn complement(self) -> Self {
        Self(self.0.map(|limb| !limb))
    }

    /// The whole quotient; zero for a zero divisor.
    #[must_use]
    pub fn quotient(self, divisor: Self) -> Self {
        if divisor == Self::ZERO || self < divisor {
            return Self::ZERO;
        }
        // One bit less than the divisor has is less than the divisor: a step for each bit of the
        // quotient is left.
        let steps = self.bits() - (divisor.bits() - 1);
        let (mut quotient, mut rest) = (Self::ZERO, self.shift_right(steps));
        for index in (0..steps).rev() {
            let carried = rest.bit(255);
            rest = rest.shift_left(1);
            rest.0[0] |= u64::from(self.bit(index));
            if carried || rest >= divisor {
                rest = rest.wrapping_sub(divisor);
                quotient.0[(index / 64) as usize] |= 1 << (index % 64);
            }
        }
        quotient
    }

    /// The product with a small number as low and high part.
    #[must_use]
    pub fn widening_mul(self, factor: u64) -> (Self, u64) {
        let (mut product, mut carry) = ([0; 4], 0);
        for (limb, value) in product.iter_mut().zip(self.0) {
            let wide = u128::from(value) * u128::from(factor) + u128::from(carry);
            *limb = wide as u64;
            carry = (wide >> 64) as u64;
        }
        (Self(product), carry)
    }

    /// The nearest number of a floating point unit.
    #[cfg(test)]
    pub(crate) fn to_f64(self) -> f64 {
        self.0.iter().rev().fold(0.0, |sum, limb| {
            sum * 18_446_744_073_709_551_616.0 + *limb as f64
        })
    }
}

impl Ord for Uint256 {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }
}

impl PartialOrd for Uint256 {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Uint256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Hexadecimal without leading zeros, as chain work is shown everywhere.
impl fmt::Display for Uint256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = crate::base::encode_hex(&self.to_be_bytes());
        let digits = text.trim_start_matches('0');
        write!(f, "0x{}", if digits.is_empty() { "0" } else { digits })
    }
}

impl FromStr for Uint256 {
    type Err = &'static str;

    /// Reads what [`Display`](fmt::Display) writes, with or without `0x` and leading zeros.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if digits.is_empty() || digits.len() > 64 {
            return Err("must be 1 to 64 hexadecimal digits");
        }
        crate::base::decode_hex_array(&format!("{digits:0>64}"))
            .map(|bytes| Self::from_be_bytes(&bytes))
            .map_err(|_| "must be hexadecimal digits")
    }
}

/// A target in its compact form: one byte of length and three of mantissa
/// (`docs/formats.md`, header rules).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompactBits(pub u32);

impl CompactBits {
    /// The target, where the bits are its canonical form: a positive number of at most 256 bits
    /// that encodes to the same bits again. Bits of a mantissa that stand beyond 256 are lost
    /// and so never come back.
    #[must_use]
    pub fn target(self) -> Option<Uint256> {
        let (length, mantissa) = (self.0 >> 24, u64::from(self.0 & 0x007f_ffff));
        if self.0 & 0x0080_0000 != 0 {
            return None;
        }
        let mantissa = Uint256::from_u64(mantissa);
        let target = match length {
            0..=3 => mantissa.shift_right(8 * (3 - length)),
            _ => mantissa.shift_left(8 * (length - 3)),
        };
        (target != Uint256::ZERO && Self::from_target(target) == self).then_some(target)
    }

    /// The compact form of a target, which keeps its three most significant bytes (two where the
    /// top bit of the third would be set).
    #[must_use]
    pub fn from_target(target: Uint256) -> Self {
        let mut length = target.bits().div_ceil(8);
        let mut mantissa = match length {
            0..=3 => target.0[0] << (8 * (3 - length)),
            _ => target.shift_right(8 * (length - 3)).0[0],
        } as u32;
        if mantissa & 0x0080_0000 != 0 {
            mantissa >>= 8;
            length += 1;
        }
        Self(length << 24 | mantissa)
    }
}

impl fmt::Debug for CompactBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for CompactBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The hashes expected for one block under `target`: `floor(2^256 / (target + 1))`.
#[must_use]
pub fn work_of_target(target: Uint256) -> Uint256 {
    // 2^256 / (t + 1) = (2^256 - (t + 1)) / (t + 1) + 1 = !t / (t + 1) + 1.
    match target.overflowing_add(Uint256::ONE) {
        (_, true) => Uint256::ONE,
        (divisor, false) => target
            .complement()
            .quotient(divisor)
            .saturating_add(Uint256::ONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_compact_forms() {
        let target = CompactBits(0x1d00_ffff).target().unwrap();
        assert_eq!(target, Uint256::from_u64(0xffff).shift_left(208));
        assert_eq!(work_of_target(target), Uint256::from_u64(0x1_0001_0001));
        assert_eq!(work_of_target(Uint256::MAX), Uint256::ONE);
        assert_eq!(
            work_of_target(Uint256::ZERO),
            Uint256::MAX,
            "2^256 saturates"
        );
        for bad in [
            0,
            0x0100_0000,
            0x0180_0000,
            0x1d80_ffff,
            0x2100_7fff,
            0x2101_ffff,
            0x2200_00ff,
            0xff00_ffff,
            0x1e00_0fff,
            0x0400_0001,
        ] {
            assert_eq!(CompactBits(bad).target(), None, "{bad:08x}");
        }
        assert_eq!(CompactBits(0x0101_0000).target(), Some(Uint256::ONE));
        assert_eq!(
            CompactBits(0x207f_ffff).target(),
            Some(Uint256::from_u64(0x7f_ffff).shift_left(232))
        );
        assert_eq!(
            CompactBits(0x2100_ffff).target(),
            Some(Uint256::from_u64(0xffff).shift_left(240))
        );
    }

    fn wide() -> impl Strategy<Value = Uint256> {
        (any::<[u64; 4]>(), 0_u32..256).prop_map(|(limbs, shift)| Uint256(limbs).shift_right(shift))
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for value in [Uint256::ZERO, Uint256::from_u64(0xabc), Uint256::MAX] {
            assert_eq!(value.to_string().parse(), Ok(value));
        }
        let padded = format!("{:0>64}", "1f");
        assert_eq!(padded.parse(), Ok(Uint256::from_u64(31)));
        for wrong in ["", "0x", "0xg", "-1", &"1".repeat(65)] {
            assert!(wrong.parse::<Uint256>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn division_is_the_inverse_of_multiplication(a in wide(), factor in 1_u64..) {
            let (low, high) = a.widening_mul(factor);
            prop_assume!(high == 0);
            prop_assert_eq!(low.quotient(Uint256::from_u64(factor)), a);
        }

        #[test]
        fn the_quotient_is_that_of_a_division_bit_by_bit(
            a in wide(), b in wide(), down in 0_u32..256,
        ) {
            let divisor = b.shift_right(down);
            prop_assume!(divisor != Uint256::ZERO);
            let (mut quotient, mut rest) = (Uint256::ZERO, Uint256::ZERO);
            for index in (0..256).rev() {
                let carried = rest.bit(255);
                rest = rest.shift_left(1);
                rest.0[0] |= u64::from(a.bit(index));
                quotient = quotient.shift_left(1);
                if carried || rest >= divisor {
                    rest = rest.wrapping_sub(divisor);
                    quotient.0[0] |= 1;
                }
            }
            prop_assert_eq!(a.quotient(divisor), quotient);
        }

        #[test]
        fn order_agrees_with_big_endian_bytes(a in wide(), b in wide()) {
            prop_assert_eq!(a.cmp(&b), a.to_be_bytes().cmp(&b.to_be_bytes()));
            prop_assert_eq!(Uint256::from_be_bytes(&a.to_be_bytes()), a);
        }

        #[test]
        fn shifts_agree_with_doubling(a in wide(), shift in 0_u32..256) {
            let mut doubled = a;
            for _ in 0..shift { doubled = doubled.overflowing_add(doubled).0; }
            prop_assert_eq!(a.shift_left(shift), doubled);
            let shifted = a.shift_left(shift);
            prop_assert_eq!(shifted.shift_right(shift).shift_left(shift), shifted);
        }

        #[test]
        fn compact_truncates_and_is_canonical(target in wide()) {
            prop_assume!(target != Uint256::ZERO);
            let bits = CompactBits::from_target(target);
            let back = bits.target().expect("what is made from a target is canonical");
            prop_assert!(back <= target);
            prop_assert_eq!(CompactBits::from_target(back), bits);
            prop_assert_eq!(target.bits(), back.bits());
        }
    }
}
