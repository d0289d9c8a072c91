//! Node records: what a node says about itself, signed.

use std::fmt;

use crate::base::{Span, Time, encode_hex};
use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::crypto::ed25519::{self, PublicKey, SecretKey, Signature};
use crate::crypto::hash::{domain, sha256_parts};

use super::{GenesisId, Millis, NetworkAddress, NetworkKind, NodeKey};

/// The most addresses of a record: one on each network but one.
pub const RECORD_ADDRESSES_MAX: usize = 4;
/// The fewest bytes of a record: no address, nobody vouches.
pub const RECORD_BYTES_MIN: usize = 156;
/// The most bytes of a record.
pub const RECORD_BYTES_MAX: usize =
    RECORD_BYTES_MIN + RECORD_ADDRESSES_MAX * NetworkAddress::BYTES + VOUCH_BYTES;
/// No record is valid for longer than this from when it is seen.
pub const RECORD_LIFE_MAX: Span = Span::from_secs(7 * 24 * 3_600);
/// Bytes of a vouch.
const VOUCH_BYTES: usize = 104;

/// What a node offers: a bit for each service. Bits that this version does not know are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Services(pub u64);

impl Services {
    /// It serves every block.
    pub const FULL_BLOCKS: Self = Self(1);
    /// It serves recent blocks.
    pub const PRUNED: Self = Self(1 << 1);
    /// It serves snapshots of the state.
    pub const SNAPSHOTS: Self = Self(1 << 2);
    /// It votes.
    pub const VALIDATOR: Self = Self(1 << 3);

    /// Whether everything in `other` is offered.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What either offers.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Who a node is: its Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 32]);

impl NodeId {
    /// Where the node stands in the Kademlia table.
    #[must_use]
    pub fn kademlia_id(&self) -> KademliaId {
        KademliaId(sha256_parts(&[domain::KADEMLIA, &self.0]))
    }

    /// Whether the id took work to find: its puzzle hash begins with `bits` zero bits.
    #[must_use]
    pub fn solves_puzzle(&self, bits: u8) -> bool {
        let hash = sha256_parts(&[domain::PUZZLE, &self.0]);
        let (whole, part) = (usize::from(bits / 8), bits % 8);
        // 255 bits at most, so that `whole` is at most 31.
        hash[..whole].iter().all(|byte| *byte == 0)
            && hash[whole].leading_zeros() >= u32::from(part)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode_hex(&self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({})", encode_hex(&self.0[..6]))
    }
}

/// A place in the Kademlia table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KademliaId(pub [u8; 32]);

/// A validator's or operator's word for a node, which gives it a reserved slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouch {
    /// Whose word it is. Whether that key may vouch is for the chain to say.
    pub key: PublicKey,
    /// Until when it holds.
    pub expires: Millis,
    /// Over the domain, the genesis id, the node's id and `expires`.
    pub signature: Signature,
}

impl Vouch {
    fn message(genesis: &GenesisId, id: &NodeId, expires: Millis) -> [u8; 32] {
        let expires = expires.0.to_le_bytes();
        sha256_parts(&[domain::VOUCH, genesis.as_bytes(), &id.0, &expires])
    }

    /// Vouches for the node `id`.
    #[must_use]
    pub fn sign(genesis: &GenesisId, id: &NodeId, expires: Millis, secret: &SecretKey) -> Self {
        Self {
            key: secret.public_key(),
            expires,
            signature: secret.sign(&Self::message(genesis, id, expires)),
        }
    }

    /// Whether the key really signed this for the node `id` on this chain.
    #[must_use]
    pub fn verify(&self, genesis: &GenesisId, id: &NodeId) -> bool {
        let message = Self::message(genesis, id, self.expires);
        ed25519::verify(&self.key, &message, &self.signature)
    }
}

impl Encode for Vouch {
    fn encode(&self, out: &mut Writer) {
        out.bytes(&self.key.0);
        out.u64(self.expires.0);
        out.bytes(&self.signature.0);
    }
}

impl Decode for Vouch {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            key: PublicKey(input.array()?),
            expires: Millis(input.u64()?),
            signature: Signature(input.array()?),
        })
    }
}

/// What a node signs about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordContent {
    /// Of two records of a node, the one with the higher number holds.
    pub seq: u64,
    /// Until when it may be stored and passed on.
    pub expires: Millis,
    /// What the node offers.
    pub services: Services,
    /// The key that its transport proves.
    pub key: NodeKey,
    /// At most four, ascending by kind, one of each.
    pub addresses: Vec<NetworkAddress>,
    /// Who vouches for it.
    pub vouch: Option<Vouch>,
}

/// A node's word about itself: content, id and signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// What it says.
    pub content: RecordContent,
    /// Who says so.
    pub id: NodeId,
    /// By the id's key, over the domain, the genesis id and everything before it.
    pub signature: Signature,
}

/// How a record stands in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordValidity {
    /// It may be stored and passed on.
    Current,
    /// It is past its time: good for a handshake, whose key was just proved, and for nothing else.
    Expired,
    /// It claims a longer life than any record has.
    TooFarAhead,
}

impl NodeRecord {
    /// The version byte of every record.
    pub const VERSION: u8 = 1;

    /// Signs `content` on the chain of `genesis`.
    #[must_use]
    pub fn sign(content: RecordContent, genesis: &GenesisId, secret: &SecretKey) -> Self {
        let mut record = Self {
            content,
            id: NodeId(secret.public_key().0),
            signature: Signature([0; 64]),
        };
        record.signature = secret.sign(&record.message(genesis));
        record
    }

    /// Whether the id's key really signed this on the chain of `genesis`.
    #[must_use]
    pub fn verify(&self, genesis: &GenesisId) -> bool {
        ed25519::verify(
            &PublicKey(self.id.0),
            &self.message(genesis),
            &self.signature,
        )
    }

    /// How the record stands at `now`.
    #[must_use]
    pub fn validity(&self, now: Time) -> RecordValidity {
        let expires = Time::from_millis(self.content.expires.0);
        if expires <= now {
            RecordValidity::Expired
        } else if expires > now + RECORD_LIFE_MAX {
            RecordValidity::TooFarAhead
        } else {
            RecordValidity::Current
        }
    }

    /// Bytes of the encoding.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        RECORD_BYTES_MIN
            + self.content.addresses.len() * NetworkAddress::BYTES
            + self.content.vouch.iter().len() * VOUCH_BYTES
    }

    /// Reads a record with its length before it, as messages carry them. The length says how many
    /// addresses and vouches there are, because no two such pairs give the same.
    pub fn decode_with_length(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const RULE: &str = "no record has this length";
        let lengths = (0..=RECORD_ADDRESSES_MAX).flat_map(|addresses| {
            [0, 1].map(|vouches| {
                let length =
                    RECORD_BYTES_MIN + addresses * NetworkAddress::BYTES + vouches * VOUCH_BYTES;
                ((length as u16).to_le_bytes(), addresses, vouches)
            })
        });
        let rest = input.rest();
        let given = &rest[..rest.len().min(2)];
        let (length, addresses, vouches) = lengths
            .into_iter()
            .find(|(length, ..)| length.starts_with(given))
            .ok_or(DecodeError::Invalid(RULE))?;
        input.constant(&length, RULE)?;
        let shape = [Self::VERSION, addresses as u8, vouches as u8];
        input
            .clone()
            .constant(&shape, "a record does not fit its length")?;
        Self::decode(input)
    }

    /// Writes the record with its length before it.
    pub fn encode_with_length(&self, out: &mut Writer) {
        out.u16(self.encoded_len() as u16);
        self.encode(out);
    }

    fn encode_before_signature(&self, out: &mut Writer) {
        let content = &self.content;
        out.u8(Self::VERSION);
        out.u8(content.addresses.len() as u8);
        out.u8(content.vouch.iter().len() as u8);
        out.u8(0);
        out.u64(content.seq);
        out.u64(content.expires.0);
        out.u64(content.services.0);
        out.bytes(&self.id.0);
        out.bytes(&content.key.0);
        for address in &content.addresses {
            address.encode(out);
        }
        if let Some(vouch) = &content.vouch {
            vouch.encode(out);
        }
    }

    fn message(&self, genesis: &GenesisId) -> [u8; 32] {
        let mut signed = Writer::with_capacity(RECORD_BYTES_MAX);
        self.encode_before_signature(&mut signed);
        sha256_parts(&[domain::RECORD, genesis.as_bytes(), signed.as_slice()])
    }
}

/// Reads `count` addresses, ascending by kind.
fn decode_addresses(
    count: usize,
    input: &mut Reader<'_>,
) -> Result<Vec<NetworkAddress>, DecodeError> {
    let mut addresses = Vec::with_capacity(count);
    // The kinds that may still come; enough must be left for the addresses that follow.
    let mut kinds = &NetworkKind::ALL[..];
    for left in (0..count).rev() {
        let byte = input.u8()?;
        let place = kinds[..kinds.len() - left]
            .iter()
            .position(|kind| *kind as u8 == byte)
            .ok_or(DecodeError::Invalid(
                "a record's addresses must be of known kinds, ascending, one of each",
            ))?;
        addresses.push(NetworkAddress::decode_after_kind(kinds[place], input)?);
        kinds = &kinds[place + 1..];
    }
    Ok(addresses)
}

impl Encode for NodeRecord {
    fn encode(&self, out: &mut Writer) {
        self.encode_before_signature(out);
        out.bytes(&self.signature.0);
    }
}

impl Decode for NodeRecord {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.constant(&[Self::VERSION], "a record's version must be 1")?;
        let limit = RECORD_ADDRESSES_MAX as u8;
        let addresses = input.u8_in(0..=limit, "a record has at most 4 addresses")?;
        let vouches = input.u8_in(0..=1, "at most one key vouches for a node")?;
        input.zeros(1, "the fourth byte of a record must be zero")?;
        let seq = input.u64()?;
        let expires = Millis(input.u64()?);
        let services = Services(input.u64()?);
        let id = NodeId(input.array()?);
        let key = NodeKey(input.array()?);
        let addresses = decode_addresses(usize::from(addresses), input)?;
        let vouch = match vouches {
            0 => None,
            _ => Some(Vouch::decode(input)?),
        };
        Ok(Self {
            content: RecordContent {
                seq,
                expires,
                services,
                key,
                addresses,
                vouch,
            },
            id,
            signature: Signature(input.array()?),
        })
    }
}

#[cfg(test)]
mod tests;
