//! The greeting.

use std::fmt;

use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::types::{BlockId, Height, Millis, NetworkAddress, Services};

/// The most bytes of a text in a message.
pub const SHORT_TEXT_BYTES_MAX: usize = 64;

/// The version of the protocol that this code speaks.
pub const PROTOCOL_VERSION: u16 = 1;

/// A few bytes for people to read. What a peer sends is shown with everything but printable ASCII
/// escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortText(Vec<u8>);

impl ShortText {
    /// The text, cut to what fits.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        Self(bytes[..bytes.len().min(SHORT_TEXT_BYTES_MAX)].to_vec())
    }

    /// The bytes as they came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl Encode for ShortText {
    fn encode(&self, out: &mut Writer) {
        out.u8(self.0.len() as u8);
        out.bytes(&self.0);
    }
}

impl Decode for ShortText {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let limit = SHORT_TEXT_BYTES_MAX as u8;
        let length = input.u8_in(0..=limit, "a text has at most 64 bytes")?;
        Ok(Self(input.bytes(usize::from(length))?.to_vec()))
    }
}

/// Abilities beyond the protocol's ground, a bit for each. A peer must understand the even bits
/// that the other side sets; odd bits it may ignore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Features(pub u64);

impl Features {
    /// None.
    pub const NONE: Self = Self(0);

    /// What both sides have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of `other` are here.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The lowest even bit set here that is not in `known`: reason to close.
    #[must_use]
    pub const fn required_beyond(self, known: Self) -> Option<u32> {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        match self.0 & EVEN & !known.0 {
            0 => None,
            beyond => Some(beyond.trailing_zeros()),
        }
    }
}

/// What the sender wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Everything.
    Full = 0,
    /// Blocks, and no transactions.
    BlockOnly = 1,
    /// To see whether the peer is there.
    Feeler = 2,
    /// Records of other peers.
    AddressFetch = 3,
    /// To hand over a transaction of its own.
    Private = 4,
}

impl Decode for Role {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match input.u8()? {
            0 => Self::Full,
            1 => Self::BlockOnly,
            2 => Self::Feeler,
            3 => Self::AddressFetch,
            4 => Self::Private,
            _ => return Err(DecodeError::Invalid("a role must be 0 to 4")),
        })
    }
}

/// The first message each way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The newest version of the protocol that the sender speaks.
    pub protocol: u16,
    /// The oldest.
    pub protocol_min: u16,
    /// What it wants of the connection.
    pub role: Role,
    /// Where it listens; 0 when it does not.
    pub listen_port: u16,
    /// What it can do.
    pub features: Features,
    /// What it offers.
    pub services: Services,
    /// The height of its best block.
    pub best_height: Height,
    /// The id of its best block.
    pub best_id: BlockId,
    /// A random number, by which a node knows a connection to itself.
    pub nonce: u64,
    /// Its half of the key of short transaction ids.
    pub reconciliation_salt: u64,
    /// Its clock.
    pub time: Millis,
    /// The receiver's address as the sender sees it.
    pub observed: NetworkAddress,
    /// The sender's software.
    pub agent: ShortText,
}

impl Hello {
    /// The version of the protocol that sender and receiver both speak, if there is one.
    #[must_use]
    pub fn common_version(&self) -> Option<u16> {
        (self.protocol_min..=self.protocol)
            .contains(&PROTOCOL_VERSION)
            .then_some(PROTOCOL_VERSION)
    }
}

impl Encode for Hello {
    fn encode(&self, out: &mut Writer) {
        out.u16(self.protocol);
        out.u16(self.protocol_min);
        out.u8(self.role as u8);
        out.u8(0);
        out.u16(self.listen_port);
        out.u64(self.features.0);
        out.u64(self.services.0);
        out.u64(self.best_height.0);
        self.best_id.encode(out);
        out.u64(self.nonce);
        out.u64(self.reconciliation_salt);
        out.u64(self.time.0);
        self.observed.encode(out);
        self.agent.encode(out);
    }
}

impl Decode for Hello {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (protocol, protocol_min) = (input.u16()?, input.u16()?);
        let role = Role::decode(input)?;
        input.zeros(1, "the byte after the role must be zero")?;
        Ok(Self {
            protocol,
            protocol_min,
            role,
            listen_port: input.u16()?,
            features: Features(input.u64()?),
            services: Services(input.u64()?),
            best_height: Height(input.u64()?),
            best_id: BlockId::decode(input)?,
            nonce: input.u64()?,
            reconciliation_salt: input.u64()?,
            time: Millis(input.u64()?),
            observed: NetworkAddress::decode(input)?,
            agent: ShortText::decode(input)?,
        })
    }
}
