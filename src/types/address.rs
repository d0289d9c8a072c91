//! The text forms of accounts and node keys: bech32m, which catches every typing slip of up to
//! three characters.

use std::fmt;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use serde::{Deserialize, Serialize};

use super::AccountId;

/// The prefix of a node key's text form.
pub(super) const NODE_KEY_PREFIX: &str = "keelnode";

/// Why text is not an address or key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// The text is no bech32m string, or its checksum says that a character is wrong.
    Damaged,
    /// It is one, for another chain or purpose.
    WrongPrefix {
        /// The prefix needed.
        wanted: String,
        /// The prefix found.
        found: String,
    },
    /// It is one, of something else than 32 bytes.
    WrongLength(usize),
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => f.write_str("a character is wrong or missing; copy it again"),
            Self::WrongPrefix { wanted, found } => {
                write!(
                    f,
                    "it begins with \"{found}1\", but here it must begin with \"{wanted}1\""
                )
            }
            Self::WrongLength(bytes) => write!(f, "it holds {bytes} bytes where 32 are needed"),
        }
    }
}

impl std::error::Error for AddressError {}

fn encode(prefix: &str, bytes: &[u8; 32]) -> String {
    let hrp = Hrp::parse(prefix).expect("genesis checks that a prefix is 1 to 8 letters");
    bech32::encode::<Bech32m>(hrp, bytes).expect("32 bytes fit a bech32m string")
}

fn decode(prefix: &str, text: &str) -> Result<[u8; 32], AddressError> {
    let parsed = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| AddressError::Damaged)?;
    let found = parsed.hrp().to_lowercase();
    if found != prefix {
        return Err(AddressError::WrongPrefix {
            wanted: prefix.to_owned(),
            found,
        });
    }
    let bytes: Vec<u8> = parsed.byte_iter().collect();
    let length = bytes.len();
    bytes
        .try_into()
        .map_err(|_| AddressError::WrongLength(length))
}

/// The address of an account on the chain whose genesis names `hrp`.
#[must_use]
pub fn encode_address(hrp: &str, account: &AccountId) -> String {
    encode(hrp, account.as_bytes())
}

/// The account of an address on the chain whose genesis names `hrp`.
pub fn decode_address(hrp: &str, text: &str) -> Result<AccountId, AddressError> {
    decode(hrp, text).map(AccountId)
}

/// A node's static x25519 public key: what a peer string begins with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeKey(pub [u8; 32]);

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(NODE_KEY_PREFIX, &self.0))
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for NodeKey {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        decode(NODE_KEY_PREFIX, text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::decode_hex_array;

    #[test]
    fn golden_texts() {
        let account = AccountId(
            decode_hex_array("6f4c96f572a0415c80cd115aed47a29a11dc06fe68dfad982a62d11a72f9878a")
                .unwrap(),
        );
        let text = "dkeel1daxfdatj5pq4eqxdz9dw63aznggacph7dr06mxp2vtg35uhes79qxv8d5d";
        assert_eq!(encode_address("dkeel", &account), text);
        assert_eq!(decode_address("dkeel", text), Ok(account));
        let key = NodeKey(std::array::from_fn(|byte| byte as u8));
        let text = "keelnode1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0svfjl2q";
        assert_eq!(key.to_string(), text);
        assert_eq!(text.parse(), Ok(key));
    }

    #[test]
    fn a_wrong_text_says_what_is_wrong() {
        let text = encode_address("keel", &AccountId([7; 32]));
        assert!(text.len() == 63 && text.starts_with("keel1"));
        let wrong = AddressError::WrongPrefix {
            wanted: "dkeel".into(),
            found: "keel".into(),
        };
        assert_eq!(decode_address("dkeel", &text), Err(wrong));
        for at in 5..text.len() {
            let mut typo = text.clone().into_bytes();
            typo[at] = if typo[at] == b'q' { b'p' } else { b'q' };
            let typo = String::from_utf8(typo).unwrap();
            assert_eq!(
                decode_address("keel", &typo),
                Err(AddressError::Damaged),
                "{typo}"
            );
        }
        assert_eq!(decode_address("keel", ""), Err(AddressError::Damaged));
    }
}
