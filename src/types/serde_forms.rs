//! The serde form of values that have an encoding: their bytes. Recordings and snapshots of a
//! node use it; nothing that freezes does. Bytes are given in one go: serde goes through a list of
//! numbers one by one, which took most of the time of a snapshot.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{Decode, Encode};

use super::{Block, Genesis, Header, NodeRecord, Transaction};

macro_rules! serde_by_encoding {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.to_bytes())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Decoded;

                impl Visitor<'_> for Decoded {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("the bytes of an encoding")
                    }

                    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<$name, E> {
                        <$name>::from_bytes(bytes).map_err(E::custom)
                    }
                }

                deserializer.deserialize_bytes(Decoded)
            }
        }
    )*};
}

serde_by_encoding!(Header, Transaction, Block, Genesis, NodeRecord);

/// Reads 32 bytes.
pub(super) struct Whole;

impl Visitor<'_> for Whole {
    type Value = [u8; 32];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("32 bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<[u8; 32], E> {
        bytes.try_into().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{BlockId, EngineKind, Millis, Profile};

    #[test]
    fn a_form_is_the_bytes_with_their_number_before_them() {
        let id = BlockId([7; 32]);
        let form = postcard::to_allocvec(&id).unwrap();
        assert_eq!(form, [&[32][..], &id.0].concat());
        assert_eq!(postcard::from_bytes::<BlockId>(&form), Ok(id));
        let short = postcard::to_allocvec(&[7_u8; 31][..]).unwrap();
        assert!(postcard::from_bytes::<BlockId>(&short).is_err());

        let genesis = Profile::Dev.genesis(EngineKind::Work, "forms", Millis(5));
        let form = postcard::to_allocvec(&genesis).unwrap();
        // That of a list of numbers is the same, and is made one by one.
        assert_eq!(form, postcard::to_allocvec(&genesis.to_bytes()).unwrap());
        let again: Genesis = postcard::from_bytes(&form).unwrap();
        assert_eq!(again.id(), genesis.id());
        let cut = postcard::to_allocvec(&genesis.to_bytes()[1..]).unwrap();
        assert!(postcard::from_bytes::<Genesis>(&cut).is_err());
    }
}
