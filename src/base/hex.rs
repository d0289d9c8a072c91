//! Lower-case hexadecimal text.

use std::fmt;

/// Why text is not the hexadecimal form of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HexError {
    /// An odd number of digits.
    OddLength(usize),
    /// The character at this place is no hexadecimal digit.
    NotADigit(usize),
    /// So many bytes were wanted, so many are there.
    WrongLength {
        /// Bytes wanted.
        wanted: usize,
        /// Bytes found.
        found: usize,
    },
}

impl fmt::Display for HexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OddLength(digits) => write!(f, "{digits} hex digits: an even number is needed"),
            Self::NotADigit(at) => write!(f, "character {} is not a hex digit", at + 1),
            Self::WrongLength { wanted, found } => {
                write!(
                    f,
                    "{} hex digits are needed, {} given",
                    wanted * 2,
                    found * 2
                )
            }
        }
    }
}

impl std::error::Error for HexError {}

/// The hexadecimal form of `bytes`.
#[must_use]
pub fn encode_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The bytes of hexadecimal `text`, in either case.
pub fn decode_hex(text: &str) -> Result<Vec<u8>, HexError> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return Err(HexError::OddLength(digits.len()));
    }
    let digit = |at: usize| match digits[at] {
        byte @ b'0'..=b'9' => Ok(byte - b'0'),
        byte @ b'a'..=b'f' => Ok(byte - b'a' + 10),
        byte @ b'A'..=b'F' => Ok(byte - b'A' + 10),
        _ => Err(HexError::NotADigit(at)),
    };
    (0..digits.len())
        .step_by(2)
        .map(|at| Ok(digit(at)? << 4 | digit(at + 1)?))
        .collect()
}

/// The `N` bytes of hexadecimal `text`.
pub fn decode_hex_array<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let bytes = decode_hex(text)?;
    let found = bytes.len();
    bytes
        .try_into()
        .map_err(|_| HexError::WrongLength { wanted: N, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_there_and_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(decode_hex(&encode_hex(&bytes)), Ok(bytes));
        assert_eq!(decode_hex_array::<2>("AbCd"), Ok([0xab, 0xcd]));
        assert_eq!(decode_hex("abc"), Err(HexError::OddLength(3)));
        assert_eq!(decode_hex("0g"), Err(HexError::NotADigit(1)));
        let wrong = HexError::WrongLength {
            wanted: 2,
            found: 1,
        };
        assert_eq!(decode_hex_array::<2>("ab"), Err(wrong));
    }
}
