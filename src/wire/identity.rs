//! The secrets of a node.

use crate::base::Rng;
use crate::crypto::ed25519::SecretKey;
use crate::crypto::noise::StaticSecret;
use crate::types::{
    GenesisId, Millis, NetworkAddress, NodeId, NodeKey, NodeRecord, RecordContent, Services, Vouch,
};

/// Who a node is: the key that signs its record and the key that its transport proves.
///
/// They are two keys, bound to each other by the record alone, because one key for two purposes
/// makes each depend on the other's safety.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    signing: SecretKey,
    transport: StaticSecret,
}

impl NodeIdentity {
    /// The identity of two seeds of 32 random bytes: of the signing key and the transport key.
    #[must_use]
    pub fn from_seeds(signing: &[u8; 32], transport: &[u8; 32]) -> Self {
        Self {
            signing: SecretKey::from_seed(signing),
            transport: StaticSecret::from_seed(transport),
        }
    }

    /// A new identity whose id solves the puzzle of `puzzle_bits`: 2^bits keys are tried.
    #[must_use]
    pub fn generate(rng: &mut Rng, puzzle_bits: u8) -> Self {
        let signing = loop {
            let secret = SecretKey::from_seed(&rng.bytes32());
            if NodeId(secret.public_key().0).solves_puzzle(puzzle_bits) {
                break secret;
            }
        };
        Self {
            signing,
            transport: StaticSecret::from_seed(&rng.bytes32()),
        }
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        NodeId(self.signing.public_key().0)
    }

    /// The key that peers dial.
    #[must_use]
    pub fn key(&self) -> NodeKey {
        NodeKey(self.transport.public_key())
    }

    /// The signing key, for a key store.
    #[must_use]
    pub const fn signing(&self) -> &SecretKey {
        &self.signing
    }

    /// The transport key, for a key store and for handshakes.
    #[must_use]
    pub const fn transport(&self) -> &StaticSecret {
        &self.transport
    }

    /// The node's record with these contents. `addresses` may come in any order; of several on one
    /// network the first in byte order is kept, and at most four in all.
    #[must_use]
    pub fn sign_record(
        &self,
        genesis: &GenesisId,
        seq: u64,
        expires: Millis,
        services: Services,
        addresses: &[NetworkAddress],
        vouch: Option<Vouch>,
    ) -> NodeRecord {
        let mut addresses = addresses.to_vec();
        addresses.sort_unstable();
        addresses.dedup_by_key(|address| address.kind);
        addresses.truncate(crate::types::RECORD_ADDRESSES_MAX);
        let content = RecordContent {
            seq,
            expires,
            services,
            key: self.key(),
            addresses,
            vouch,
        };
        NodeRecord::sign(content, genesis, &self.signing)
    }
}
