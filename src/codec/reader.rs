//! A cursor over bytes that come from outside.

use std::ops::RangeInclusive;

use super::DecodeError;

/// Reads fields from the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    whole: &'a [u8],
    at: usize,
}

/// The readers of one integer type: as it is, and constrained to a range.
macro_rules! integers {
    ($($(#[$doc:meta])* $plain:ident, $(#[$doc_in:meta])* $constrained:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        pub fn $plain(&mut self) -> Result<$type, DecodeError> {
            Ok(<$type>::from_le_bytes(self.array()?))
        }

        $(#[$doc_in])*
        pub fn $constrained(
            &mut self,
            range: RangeInclusive<$type>,
            rule: &'static str,
        ) -> Result<$type, DecodeError> {
            const WIDTH: usize = size_of::<$type>();
            let rest = self.rest();
            if rest.len() < WIDTH {
                let mut low = [0; WIDTH];
                low[..rest.len()].copy_from_slice(rest);
                let (low, bits) = (u128::from(<$type>::from_le_bytes(low)), rest.len() * 8);
                // The smallest value from the start of the range on that ends in these low bytes.
                let (start, step) = (u128::from(*range.start()), 1_u128 << bits);
                let first = low + (start.saturating_sub(low)).div_ceil(step) * step;
                return Err(if first <= u128::from(*range.end()) {
                    DecodeError::Incomplete
                } else {
                    DecodeError::Invalid(rule)
                });
            }
            let value = self.$plain()?;
            if range.contains(&value) { Ok(value) } else { Err(DecodeError::Invalid(rule)) }
        }
    )*};
}

impl<'a> Reader<'a> {
    /// A reader at the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            whole: bytes,
            at: 0,
        }
    }

    /// The bytes not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        &self.whole[self.at..]
    }

    /// How many bytes are not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.whole.len() - self.at
    }

    /// How many bytes were read.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// The bytes read since `start`, a former [`position`](Self::position).
    #[must_use]
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.whole[start..self.at]
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let bytes = self.rest().get(..count).ok_or(DecodeError::Incomplete)?;
        self.at += count;
        Ok(bytes)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self
            .rest()
            .first_chunk::<N>()
            .ok_or(DecodeError::Incomplete)?;
        self.at += N;
        Ok(*bytes)
    }

    integers! {
        /// A byte.
        u8,
        /// A byte within `range`, else `rule`.
        u8_in: u8;
        /// Two bytes.
        u16,
        /// Two bytes, a number within `range`, else `rule`.
        u16_in: u16;
        /// Four bytes.
        u32,
        /// Four bytes, a number within `range`, else `rule`.
        u32_in: u32;
        /// Eight bytes.
        u64,
        /// Eight bytes, a number within `range`, else `rule`.
        u64_in: u64;
    }

    /// Exactly `wanted`, else `rule`.
    pub fn constant(&mut self, wanted: &[u8], rule: &'static str) -> Result<(), DecodeError> {
        let rest = self.rest();
        let shared = rest.len().min(wanted.len());
        if rest[..shared] != wanted[..shared] {
            return Err(DecodeError::Invalid(rule));
        }
        self.bytes(wanted.len()).map(|_| ())
    }

    /// `count` zero bytes, else `rule`.
    pub fn zeros(&mut self, count: usize, rule: &'static str) -> Result<(), DecodeError> {
        let rest = self.rest();
        let shared = rest.len().min(count);
        if rest[..shared].iter().any(|byte| *byte != 0) {
            return Err(DecodeError::Invalid(rule));
        }
        self.bytes(count).map(|_| ())
    }

    /// `N` bytes that stand after `previous` in byte order and leave room for `followers` more
    /// behind them, else `rule`: the next key of a set.
    pub fn ascending<const N: usize>(
        &mut self,
        previous: Option<&[u8; N]>,
        followers: u64,
        rule: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let after = |key: &[u8; N]| previous.is_none_or(|previous| key > previous);
        let mut last = [0xff; N];
        if let Some(tail) = last.last_chunk_mut::<8>() {
            *tail = (u64::MAX - followers).to_be_bytes();
        }
        let rest = self.rest();
        if rest.len() < N {
            // The greatest key that begins with what is there.
            let mut greatest = [0xff; N];
            greatest[..rest.len()].copy_from_slice(rest);
            greatest = greatest.min(last);
            return Err(if greatest.starts_with(rest) && after(&greatest) {
                DecodeError::Incomplete
            } else {
                DecodeError::Invalid(rule)
            });
        }
        let key = self.array()?;
        if after(&key) && key <= last {
            Ok(key)
        } else {
            Err(DecodeError::Invalid(rule))
        }
    }

    /// Checks that `count` items of at least `min_item` bytes can follow, so that the caller may
    /// allocate for them.
    pub fn expect_items(&self, count: usize, min_item: usize) -> Result<(), DecodeError> {
        match count.checked_mul(min_item) {
            Some(bytes) if bytes <= self.remaining() => Ok(()),
            _ => Err(DecodeError::Incomplete),
        }
    }

    /// Checks that nothing is left.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.remaining() == 0 {
            Ok(())
        } else {
            Err(DecodeError::Invalid("trailing bytes"))
        }
    }
}
