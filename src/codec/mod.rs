//! Bytes to values and back: fixed-width little-endian, one valid encoding for each value.
//!
//! *Invariants*: [`Decode`] gives [`DecodeError::Incomplete`] exactly when its input is a strict
//! prefix of the encoding of some value, and `Invalid` for everything else that is wrong; a
//! decoder allocates no more than a small multiple of the bytes it was given, because counts are
//! checked against their limit and against the bytes that remain before anything is allocated.
//! *Never* does I/O, recurses, or panics on any input.
//!
//! To keep the first invariant, a field whose values are constrained is read with the reader of
//! that constraint ([`Reader::u32_in`], [`Reader::constant`], [`Reader::ascending`], ..): a field
//! cut short is Invalid when no completion of it would be valid.

mod reader;
mod writer;

pub use reader::Reader;
pub use writer::Writer;

use std::fmt;

/// Why bytes are not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes are a strict prefix of some value: more are needed.
    Incomplete,
    /// No value begins with these bytes. The text names the field and the rule.
    Invalid(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => f.write_str("the bytes end too early"),
            Self::Invalid(rule) => f.write_str(rule),
        }
    }
}

impl std::error::Error for DecodeError {}

/// A value with an encoding.
pub trait Encode {
    /// Appends the encoding.
    fn encode(&self, out: &mut Writer);

    /// The encoding by itself.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.encode(&mut out);
        out.into_bytes()
    }
}

/// A value that can be read from its encoding.
pub trait Decode: Sized {
    /// Reads one value and leaves the reader behind it.
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads the value that `bytes` are the whole encoding of.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let value = Self::decode(&mut input)?;
        input.finish()?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
