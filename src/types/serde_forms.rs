//! The serde form of values that have an encoding: their bytes. Recordings and snapshots of a
//! node use it; nothing that freezes does.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{Decode, Encode};

use super::{Block, Genesis, Header, NodeRecord, Transaction};

macro_rules! serde_by_encoding {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.to_bytes().serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = Vec::<u8>::deserialize(deserializer)?;
                Self::from_bytes(&bytes).map_err(D::Error::custom)
            }
        }
    )*};
}

serde_by_encoding!(Header, Transaction, Block, Genesis, NodeRecord);
