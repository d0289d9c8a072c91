//! 32-byte identifiers, each its own type, shown and ordered in byte order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::{HexError, decode_hex_array, encode_hex};
use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};

use super::serde_forms;

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// All bytes zero.
            pub const ZERO: Self = Self([0; 32]);

            /// The 32 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&encode_hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), encode_hex(&self.0[..6]))
            }
        }

        impl FromStr for $name {
            type Err = HexError;

            fn from_str(text: &str) -> Result<Self, HexError> {
                decode_hex_array(text).map(Self)
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Writer) {
                out.bytes(&self.0);
            }
        }

        impl Decode for $name {
            fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                input.array().map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_bytes(serde_forms::Whole).map(Self)
            }
        }
    )*};
}

identifiers! {
    /// A digest whose meaning the field's name gives: a root, a hash of a node.
    Hash;
    /// The double SHA-256 of a block's header.
    BlockId;
    /// What a signer of a transaction signs; the same whatever the signatures. For people,
    /// receipts and conflicts of one account and nonce.
    TxId;
    /// The identity of a transaction's bytes, signatures included: what inventories, requests
    /// and caches are keyed by.
    WtxId;
    /// The hash of an account's descriptor.
    AccountId;
    /// The hash of a chain's parameters and allocations: which chain this is.
    GenesisId;
}
