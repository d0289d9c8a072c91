//! Transactions: what an account asks the chain to do, and its signatures.

use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::crypto::ed25519::{PublicKey, Signature};
use crate::crypto::hash::{domain, sha256_parts};
use crate::crypto::sha256::hash_slices;

use super::{AccountId, Amount, GenesisId, Height, Nonce, TxId, Weight, WtxId};

/// The most operations that any chain allows in a transaction.
pub const OPS_MAX: usize = 64;
/// The most bytes that any chain allows in one Data operation.
pub const DATA_BYTES_MAX: usize = 1_024;
/// The most keys an m-of-n account has.
pub const KEYS_MAX: usize = 16;
/// The most bytes that any chain allows in a transaction.
pub const TRANSACTION_BYTES_MAX: usize = 16_384;
/// The fewest bytes of a transaction: one Data operation of one byte, one signature.
pub const TRANSACTION_BYTES_MIN: usize = 26 + 4 + 97;
/// What a signature weighs beyond its bytes, so that a signature's CPU and a recipient's state
/// work cost about the same per weight.
pub const SIGNATURE_WEIGHT: u64 = 36;

/// One thing a transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Pays `amount` to an account, which is created if it does not exist.
    Transfer {
        /// Who receives.
        to: AccountId,
        /// How much, more than zero.
        amount: Amount,
    },
    /// Anchors 1 to 1,024 bytes in the chain.
    Data(Vec<u8>),
}

/// Who a transaction is from, and the proof: the last part of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// One key and its signature.
    Single {
        /// The account's key.
        key: PublicKey,
        /// Over the sighash.
        signature: Signature,
    },
    /// Any `threshold` of several keys.
    Multi {
        /// How many signatures the account needs.
        threshold: u8,
        /// 2 to 16 keys in ascending order.
        keys: Vec<PublicKey>,
        /// Which keys signed; bit 0 is the first.
        signers: u16,
        /// `threshold` signatures over the sighash, in the order of their keys.
        signatures: Vec<Signature>,
    },
}

/// The part of an authorisation that names the account: what the account id is the hash of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Descriptor {
    /// One key.
    Single(PublicKey),
    /// `threshold` of several keys in ascending order.
    Multi {
        /// How many signatures the account needs.
        threshold: u8,
        /// 2 to 16 keys in ascending order.
        keys: Vec<PublicKey>,
    },
}

/// A transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// How many transactions the sender made before this one.
    pub nonce: Nonce,
    /// All that the sender pays beyond the amounts, part of it burned.
    pub fee: Amount,
    /// The last height it is valid at; 0 means that it never expires.
    pub expiry: Height,
    /// 1 to 64 operations, executed in order, all or none.
    pub ops: Vec<Op>,
    /// Who it is from.
    pub auth: Auth,
}

impl Descriptor {
    /// The account of this descriptor.
    #[must_use]
    pub fn account_id(&self) -> AccountId {
        AccountId(sha256_parts(&[domain::ACCOUNT, &self.to_bytes()]))
    }
}

impl Encode for Descriptor {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Single(key) => {
                out.u8(0);
                out.bytes(&key.0);
            }
            Self::Multi { threshold, keys } => encode_multi(*threshold, keys, out),
        }
    }
}

impl Decode for Descriptor {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match decode_auth_kind(input)? {
            0 => Ok(Self::Single(PublicKey(input.array()?))),
            _ => decode_multi(input).map(|(threshold, keys)| Self::Multi { threshold, keys }),
        }
    }
}

fn encode_multi(threshold: u8, keys: &[PublicKey], out: &mut Writer) {
    out.u8(1);
    out.u8(threshold);
    out.u8(keys.len() as u8);
    for key in keys {
        out.bytes(&key.0);
    }
}

fn decode_auth_kind(input: &mut Reader<'_>) -> Result<u8, DecodeError> {
    match input.u8()? {
        kind @ 0..=1 => Ok(kind),
        2 => Err(DecodeError::Invalid(
            "auth kind 2 (account with a policy) is reserved",
        )),
        3 => Err(DecodeError::Invalid("auth kind 3 (pool) is reserved")),
        _ => Err(DecodeError::Invalid("unknown auth kind")),
    }
}

/// Threshold and keys of an m-of-n descriptor, after its kind byte.
fn decode_multi(input: &mut Reader<'_>) -> Result<(u8, Vec<PublicKey>), DecodeError> {
    let limit = KEYS_MAX as u8;
    let threshold = input.u8_in(1..=limit, "an m-of-n account needs 1 to 16 signatures")?;
    let least = threshold.max(2);
    let count = input.u8_in(
        least..=limit,
        "an m-of-n account has 2 to 16 keys and m <= n",
    )?;
    // 16 keys at the most, and each is read before the next is asked for: no other bound needed.
    let mut keys: Vec<PublicKey> = Vec::with_capacity(usize::from(count));
    for followers in (0..u64::from(count)).rev() {
        let previous = keys.last().map(|key| &key.0);
        let rule = "keys of an m-of-n account must ascend";
        keys.push(PublicKey(input.ascending(previous, followers, rule)?));
    }
    Ok((threshold, keys))
}

/// The bitmap of signers: `threshold` bits, all below `keys`.
fn decode_signers(input: &mut Reader<'_>, keys: usize, threshold: u8) -> Result<u16, DecodeError> {
    const RULE: DecodeError =
        DecodeError::Invalid("the signer bitmap must have m bits, all of the account's keys");
    let allowed = ((1_u32 << keys) - 1) as u16;
    let threshold = u32::from(threshold);
    if let [low] = *input.rest() {
        let low = u16::from(low);
        let room = (allowed >> 8).count_ones();
        let fits = low & !allowed == 0
            && low.count_ones() <= threshold
            && threshold - low.count_ones() <= room;
        return Err(if fits { DecodeError::Incomplete } else { RULE });
    }
    let signers = input.u16()?;
    if signers & !allowed == 0 && signers.count_ones() == threshold {
        Ok(signers)
    } else {
        Err(RULE)
    }
}

impl Auth {
    /// The part that names the account.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        match self {
            Self::Single { key, .. } => Descriptor::Single(*key),
            Self::Multi {
                threshold, keys, ..
            } => Descriptor::Multi {
                threshold: *threshold,
                keys: keys.clone(),
            },
        }
    }

    /// Every signature with the key that made it.
    pub fn signatures(&self) -> impl Iterator<Item = (PublicKey, Signature)> + '_ {
        let (keys, signers, signatures): (&[PublicKey], u16, &[Signature]) = match self {
            Self::Single { key, signature } => (
                std::slice::from_ref(key),
                1,
                std::slice::from_ref(signature),
            ),
            Self::Multi {
                keys,
                signers,
                signatures,
                ..
            } => (keys, *signers, signatures),
        };
        let signing = keys
            .iter()
            .enumerate()
            .filter(move |(at, _)| signers >> at & 1 == 1);
        signing.map(|(_, key)| *key).zip(signatures.iter().copied())
    }

    /// How many signatures there are.
    #[must_use]
    pub fn signature_count(&self) -> usize {
        match self {
            Self::Single { .. } => 1,
            Self::Multi { signatures, .. } => signatures.len(),
        }
    }
}

impl Encode for Auth {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Single { key, signature } => {
                out.u8(0);
                out.bytes(&key.0);
                out.bytes(&signature.0);
            }
            Self::Multi {
                threshold,
                keys,
                signers,
                signatures,
            } => {
                encode_multi(*threshold, keys, out);
                out.u16(*signers);
                for signature in signatures {
                    out.bytes(&signature.0);
                }
            }
        }
    }
}

impl Decode for Auth {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if decode_auth_kind(input)? == 0 {
            let key = PublicKey(input.array()?);
            return Ok(Self::Single {
                key,
                signature: Signature(input.array()?),
            });
        }
        let (threshold, keys) = decode_multi(input)?;
        let signers = decode_signers(input, keys.len(), threshold)?;
        let signatures = (0..threshold)
            .map(|_| input.array().map(Signature))
            .collect::<Result<Vec<_>, DecodeError>>()?;
        Ok(Self::Multi {
            threshold,
            keys,
            signers,
            signatures,
        })
    }
}

impl Encode for Op {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Transfer { to, amount } => {
                out.u8(0x01);
                to.encode(out);
                out.u64(amount.0);
            }
            Self::Data(bytes) => {
                out.u8(0x02);
                out.u16(bytes.len() as u16);
                out.bytes(bytes);
            }
        }
    }
}

impl Decode for Op {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            0x01 => {
                let to = AccountId::decode(input)?;
                let amount = input.u64_in(1..=u64::MAX, "a transfer's amount must be positive")?;
                Ok(Self::Transfer {
                    to,
                    amount: Amount(amount),
                })
            }
            0x02 => {
                let limit = DATA_BYTES_MAX as u16;
                let length = input.u16_in(1..=limit, "data must be 1 to 1,024 bytes long")?;
                Ok(Self::Data(input.bytes(usize::from(length))?.to_vec()))
            }
            0x03 => Err(DecodeError::Invalid("op 0x03 (SetPolicy) is reserved")),
            0x10 => Err(DecodeError::Invalid("op 0x10 (Bond) is reserved")),
            0x11 => Err(DecodeError::Invalid("op 0x11 (Unbond) is reserved")),
            0x12 => Err(DecodeError::Invalid("op 0x12 (Register) is reserved")),
            0x13 => Err(DecodeError::Invalid("op 0x13 (RotateKey) is reserved")),
            0x14 => Err(DecodeError::Invalid("op 0x14 (Unjail) is reserved")),
            0x15..=0x1f => Err(DecodeError::Invalid(
                "ops 0x15 to 0x1f (staking) are reserved",
            )),
            0x20 => Err(DecodeError::Invalid("op 0x20 (Evidence) is reserved")),
            0x40..=0x4f => Err(DecodeError::Invalid("ops 0x40 to 0x4f (pool) are reserved")),
            _ => Err(DecodeError::Invalid("unknown op")),
        }
    }
}

impl Transaction {
    /// The version byte of every transaction.
    pub const VERSION: u8 = 1;

    fn encode_body(&self, out: &mut Writer) {
        out.u8(Self::VERSION);
        out.u64(self.nonce.0);
        out.u64(self.fee.0);
        out.u64(self.expiry.0);
        out.u8(self.ops.len() as u8);
        for op in &self.ops {
            op.encode(out);
        }
    }

    /// What the signers sign on the chain of `genesis`; also the transaction's id for people.
    #[must_use]
    pub fn txid(&self, genesis: &GenesisId) -> TxId {
        let mut signed = Writer::with_capacity(160);
        self.encode_body(&mut signed);
        self.auth.descriptor().encode(&mut signed);
        TxId(sha256_parts(&[
            domain::TRANSACTION,
            genesis.as_bytes(),
            signed.as_slice(),
        ]))
    }

    /// The identity of the transaction's bytes.
    #[must_use]
    pub fn wtxid(&self) -> WtxId {
        wtxid_of(&self.to_bytes())
    }

    /// Whose transaction it is.
    #[must_use]
    pub fn sender(&self) -> AccountId {
        self.auth.descriptor().account_id()
    }

    /// How many bytes its encoding has.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let ops: usize = self
            .ops
            .iter()
            .map(|op| match op {
                Op::Transfer { .. } => 41,
                Op::Data(bytes) => 3 + bytes.len(),
            })
            .sum();
        let auth = match &self.auth {
            Auth::Single { .. } => 97,
            Auth::Multi {
                keys, signatures, ..
            } => 5 + 32 * keys.len() + 64 * signatures.len(),
        };
        26 + ops + auth
    }

    /// What it counts against a block's limit and pays the base fee for.
    #[must_use]
    pub fn weight(&self) -> Weight {
        let signatures = self.auth.signature_count() as u64;
        Weight(self.encoded_len() as u64 + SIGNATURE_WEIGHT * signatures)
    }

    /// How many of its first bytes are signed: all but signatures and the bitmap before them.
    fn signed_len(&self) -> usize {
        let unsigned = match &self.auth {
            Auth::Single { .. } => 64,
            Auth::Multi { signatures, .. } => 2 + 64 * signatures.len(),
        };
        self.encoded_len() - unsigned
    }

    /// How many of the bytes that are signed name the account: the last of them.
    fn descriptor_len(&self) -> usize {
        match &self.auth {
            Auth::Single { .. } => 33,
            Auth::Multi { keys, .. } => 3 + 32 * keys.len(),
        }
    }

    /// The sum of the amounts it transfers.
    #[must_use]
    pub fn amount_sum(&self) -> u128 {
        self.ops
            .iter()
            .map(|op| match op {
                Op::Transfer { amount, .. } => u128::from(amount.0),
                Op::Data(_) => 0,
            })
            .sum()
    }
}

/// What the bytes of a transaction are hashed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionIds {
    /// What is signed, and the id for people.
    pub txid: TxId,
    /// The identity of the bytes.
    pub wtxid: WtxId,
    /// Whose it is.
    pub sender: AccountId,
}

/// The ids of many transactions, hashed side by side. `bytes` is where the encoding of the first
/// begins, and the others follow.
///
/// # Panics
/// When the bytes end before the transactions.
#[must_use]
pub fn ids_of_many(
    genesis: &GenesisId,
    transactions: &[Transaction],
    bytes: &[u8],
) -> Vec<TransactionIds> {
    let mut rest = bytes;
    let (mut whole, mut signed, mut descriptors) = (
        Vec::with_capacity(transactions.len()),
        Vec::with_capacity(transactions.len()),
        Vec::with_capacity(transactions.len()),
    );
    for transaction in transactions {
        let (own, others) = rest.split_at(transaction.encoded_len());
        let end = transaction.signed_len();
        whole.push(own);
        signed.push(&own[..end]);
        descriptors.push(&own[end - transaction.descriptor_len()..end]);
        rest = others;
    }
    let txids = hash_slices(&[domain::TRANSACTION, genesis.as_bytes()].concat(), &signed);
    let wtxids = hash_slices(domain::WITNESS_TRANSACTION, &whole);
    let senders = hash_slices(domain::ACCOUNT, &descriptors);
    let ids = txids.into_iter().zip(wtxids).zip(senders);
    ids.map(|((txid, wtxid), sender)| TransactionIds {
        txid: TxId(txid),
        wtxid: WtxId(wtxid),
        sender: AccountId(sender),
    })
    .collect()
}

/// The identity of a transaction's bytes.
#[must_use]
pub fn wtxid_of(bytes: &[u8]) -> WtxId {
    WtxId(sha256_parts(&[domain::WITNESS_TRANSACTION, bytes]))
}

impl Encode for Transaction {
    fn encode(&self, out: &mut Writer) {
        self.encode_body(out);
        self.auth.encode(out);
    }
}

impl Decode for Transaction {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.constant(&[Self::VERSION], "a transaction's version must be 1")?;
        let nonce = Nonce(input.u64()?);
        let fee = Amount(input.u64()?);
        let expiry = Height(input.u64()?);
        let count = input.u8_in(1..=OPS_MAX as u8, "a transaction has 1 to 64 ops")?;
        // Room for no more than there are, of which the first may be all there are: most have one,
        // and of each that is kept the room is kept.
        let mut ops = Vec::with_capacity(1);
        for _ in 0..count {
            ops.push(Op::decode(input)?);
        }
        ops.shrink_to_fit();
        Ok(Self {
            nonce,
            fee,
            expiry,
            ops,
            auth: Auth::decode(input)?,
        })
    }
}
