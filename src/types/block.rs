//! Headers, blocks and the certificates that stake blocks carry.

use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::crypto::ed25519::Signature;
use crate::crypto::hash::sha256d;
use crate::crypto::merkle;

use super::transaction::SIGNATURE_WEIGHT;
use super::{
    AccountId, BlockId, CompactBits, EngineKind, Hash, Height, Millis, TRANSACTION_BYTES_MIN,
    Transaction, Uint256, Weight, WtxId, work_of_target,
};

/// No genesis allows a greater block weight, so that a block fits a message of 4 MiB.
pub const BLOCK_WEIGHT_MAX: u32 = 4_100_000;
/// More transactions than this can't be within the greatest block weight.
pub const BLOCK_TRANSACTIONS_MAX: u32 =
    BLOCK_WEIGHT_MAX / (TRANSACTION_BYTES_MIN as u32 + SIGNATURE_WEIGHT as u32);
/// Bytes of the part that headers of both engines share: three blocks of SHA-256, so that a miner
/// keeps one midstate.
pub const HEADER_COMMON_BYTES: usize = 192;
/// Bytes of a proof-of-work header.
pub const WORK_HEADER_BYTES: usize = 204;
/// Bytes of a proof-of-stake header.
pub const STAKE_HEADER_BYTES: usize = 266;
/// Where the time stands in a header.
pub const TIME_OFFSET: usize = 44;
/// Where the nonce stands in a proof-of-work header.
pub const NONCE_OFFSET: usize = 196;
/// No block's encoding has more bytes: header, count, transactions, certificate of 256 signers.
pub const BLOCK_BYTES_MAX: usize =
    STAKE_HEADER_BYTES + 4 + BLOCK_WEIGHT_MAX as usize + 89 + 64 * 256;

/// What only one engine's headers carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seal {
    /// Proof of work.
    Work {
        /// The target that the block's id must not exceed.
        bits: CompactBits,
        /// What miners vary.
        nonce: u64,
    },
    /// Proof of stake.
    Stake {
        /// Which validator set decides.
        epoch: u64,
        /// The proposer's place in that set.
        proposer: u16,
        /// The Merkle root of the next epoch's validators.
        next_validators_root: Hash,
        /// Who signed the parent's certificate; bit i is validator i.
        parent_bitmap: [u8; 32],
    },
}

/// A block's header: all that a node needs to check a chain's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Distance from genesis.
    pub height: Height,
    /// The block before; the genesis id for the genesis block.
    pub parent_id: BlockId,
    /// When its maker says it was made.
    pub time: Millis,
    /// The Merkle root over the wtxids of its transactions.
    pub tx_root: Hash,
    /// The root of the state after it.
    pub state_root: Hash,
    /// The root of the range over all its ancestors.
    pub history_root: Hash,
    /// What 1,000 weight must pay, burned.
    pub base_fee: u64,
    /// Who receives reward and tips.
    pub beneficiary: AccountId,
    /// The sum of the parent's transaction weights, so that headers alone check `base_fee`.
    pub parent_weight: u32,
    /// The engine's part.
    pub seal: Seal,
}

impl Header {
    /// The version of every header.
    pub const VERSION: u16 = 1;

    /// The double SHA-256 of the header's bytes.
    #[must_use]
    pub fn id(&self) -> BlockId {
        BlockId(sha256d(&self.to_bytes()))
    }

    /// The hashes expected to find it: its own part of the chain's work. None with proof of
    /// stake, and none where `bits` are no canonical target, which no valid header has.
    #[must_use]
    pub fn work(&self) -> Uint256 {
        match self.seal {
            Seal::Work { bits, .. } => bits.target().map_or(Uint256::ZERO, work_of_target),
            Seal::Stake { .. } => Uint256::ZERO,
        }
    }

    /// Whose rules the header follows.
    #[must_use]
    pub const fn engine(&self) -> EngineKind {
        match self.seal {
            Seal::Work { .. } => EngineKind::Work,
            Seal::Stake { .. } => EngineKind::Stake,
        }
    }

    /// How many bytes its encoding has.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        match self.engine() {
            EngineKind::Work => WORK_HEADER_BYTES,
            EngineKind::Stake => STAKE_HEADER_BYTES,
        }
    }
}

impl Encode for Header {
    fn encode(&self, out: &mut Writer) {
        out.u16(Self::VERSION);
        out.u8(self.engine().byte());
        out.u8(0);
        out.u64(self.height.0);
        self.parent_id.encode(out);
        out.u64(self.time.0);
        self.tx_root.encode(out);
        self.state_root.encode(out);
        self.history_root.encode(out);
        out.u64(self.base_fee);
        self.beneficiary.encode(out);
        out.u32(self.parent_weight);
        match &self.seal {
            Seal::Work { bits, nonce } => {
                out.u32(bits.0);
                out.u64(*nonce);
            }
            Seal::Stake {
                epoch,
                proposer,
                next_validators_root,
                parent_bitmap,
            } => {
                out.u64(*epoch);
                out.u16(*proposer);
                next_validators_root.encode(out);
                out.bytes(parent_bitmap);
            }
        }
    }
}

impl Decode for Header {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.constant(&Self::VERSION.to_le_bytes(), "a header's version must be 1")?;
        let engine = input.u8_in(1..=2, "a header's engine must be 1 (work) or 2 (stake)")?;
        input.zeros(1, "a header's flags must be zero")?;
        Ok(Self {
            height: Height(input.u64()?),
            parent_id: BlockId::decode(input)?,
            time: Millis(input.u64()?),
            tx_root: Hash::decode(input)?,
            state_root: Hash::decode(input)?,
            history_root: Hash::decode(input)?,
            base_fee: input.u64()?,
            beneficiary: AccountId::decode(input)?,
            parent_weight: input.u32()?,
            seal: if engine == EngineKind::Work.byte() {
                Seal::Work {
                    bits: CompactBits(input.u32()?),
                    nonce: input.u64()?,
                }
            } else {
                Seal::Stake {
                    epoch: input.u64()?,
                    proposer: input.u16()?,
                    next_validators_root: Hash::decode(input)?,
                    parent_bitmap: input.array()?,
                }
            },
        })
    }
}

/// What validators agreed on by signing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateKind {
    /// The block may be built on.
    Notarize = 1,
    /// The view ended without a block.
    Nullify = 2,
    /// The block is final.
    Finalize = 3,
}

/// The signatures of a quorum of validators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What they agreed on.
    pub kind: CertificateKind,
    /// The epoch whose validators signed.
    pub epoch: u64,
    /// The view they signed in.
    pub view: u64,
    /// The view of the block's parent.
    pub parent_view: u64,
    /// The block, zero where none is meant.
    pub block_id: BlockId,
    /// Who signed; bit i is validator i of the epoch.
    pub bitmap: [u8; 32],
    /// Their signatures, in the order of their places.
    pub signatures: Vec<Signature>,
}

fn bits_of(bitmap: &[u8; 32]) -> usize {
    bitmap.iter().map(|byte| byte.count_ones() as usize).sum()
}

impl Encode for Certificate {
    fn encode(&self, out: &mut Writer) {
        out.u8(self.kind as u8);
        out.u64(self.epoch);
        out.u64(self.view);
        out.u64(self.parent_view);
        self.block_id.encode(out);
        out.bytes(&self.bitmap);
        for signature in &self.signatures {
            out.bytes(&signature.0);
        }
    }
}

impl Decode for Certificate {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = match input.u8()? {
            1 => CertificateKind::Notarize,
            2 => CertificateKind::Nullify,
            3 => CertificateKind::Finalize,
            _ => {
                return Err(DecodeError::Invalid(
                    "a certificate's kind must be 1, 2 or 3",
                ));
            }
        };
        let (epoch, view, parent_view) = (input.u64()?, input.u64()?, input.u64()?);
        let block_id = BlockId::decode(input)?;
        let bitmap = input.array()?;
        // At most 256 bits are set, so at most 16 KiB are allocated, and only if they are there.
        let count = bits_of(&bitmap);
        input.expect_items(count, 64)?;
        let signatures = (0..count)
            .map(|_| input.array().map(Signature))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            kind,
            epoch,
            view,
            parent_view,
            block_id,
            bitmap,
            signatures,
        })
    }
}

/// How a stake block ends: the certificate of its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParentCertificate {
    /// The parent is the genesis block, which nobody signed: 89 zero bytes.
    Genesis,
    /// A quorum notarized or finalized the parent.
    Signed(Certificate),
}

impl Encode for ParentCertificate {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Genesis => out.zeros(89),
            Self::Signed(certificate) => certificate.encode(out),
        }
    }
}

impl Decode for ParentCertificate {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.rest().first() {
            Some(0) => {
                input.zeros(
                    89,
                    "the certificate of the genesis block must be 89 zero bytes",
                )?;
                Ok(Self::Genesis)
            }
            Some(2) => Err(DecodeError::Invalid(
                "a nullification does not certify a parent",
            )),
            _ => Certificate::decode(input).map(Self::Signed),
        }
    }
}

/// A block: header, transactions and, with proof of stake, the parent's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What the block's id covers.
    pub header: Header,
    /// In the order they are executed.
    pub transactions: Vec<Transaction>,
    /// Present exactly in stake blocks; a witness that no id covers.
    pub certificate: Option<ParentCertificate>,
}

impl Block {
    /// The root over the wtxids, as the header must carry it.
    #[must_use]
    pub fn tx_root(wtxids: &[WtxId]) -> Hash {
        Hash(merkle::root(wtxids))
    }

    /// The sum of the transactions' weights.
    #[must_use]
    pub fn weight(&self) -> Weight {
        Weight(
            self.transactions
                .iter()
                .map(|transaction| transaction.weight().0)
                .sum(),
        )
    }
}

impl Encode for Block {
    fn encode(&self, out: &mut Writer) {
        self.header.encode(out);
        out.u32(self.transactions.len() as u32);
        for transaction in &self.transactions {
            transaction.encode(out);
        }
        if let Some(certificate) = &self.certificate {
            certificate.encode(out);
        }
    }
}

impl Decode for Block {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let header = Header::decode(input)?;
        let rule = "a block has more transactions than any block weight allows";
        let count = input.u32_in(0..=BLOCK_TRANSACTIONS_MAX, rule)? as usize;
        // A first transaction cut short is still told from a damaged one, so allocation is
        // bounded by what the bytes can hold instead of refused.
        let room = input.remaining() / TRANSACTION_BYTES_MIN;
        let mut transactions = Vec::with_capacity(count.min(room));
        for _ in 0..count {
            transactions.push(Transaction::decode(input)?);
        }
        let certificate = match header.engine() {
            EngineKind::Work => None,
            EngineKind::Stake => Some(ParentCertificate::decode(input)?),
        };
        Ok(Self {
            header,
            transactions,
            certificate,
        })
    }
}
