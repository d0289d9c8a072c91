//! The records of the state and the hashes that commit to them (`docs/formats.md`, "State tree").
//!
//! The state is a set of records, each in a table under a key. A record's place in the sparse
//! Merkle tree is the hash of table and key, and its value begins with the table's byte, so that
//! a leaf names its table wherever it is met. The tree itself is `chain`'s; here is what a
//! verifier of proofs needs too.

use std::fmt;

use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::crypto::hash::{domain, sha256, sha256_parts};
use crate::crypto::sha256::{hash_many, hash_slices};

use super::{AccountId, Amount, Hash, Height, Nonce};

/// What stands for a subtree without leaves, the root of the empty state among them.
pub const PLACEHOLDER: Hash = Hash(*b"SPARSE_MERKLE_PLACEHOLDER_HASH__");
/// What the hash of every leaf begins with.
const LEAF: &[u8] = b"JMT::LeafNode";
/// What the hash of every inner node begins with. The spelling is that of the tree's first
/// implementation, whose published vectors it has to reproduce.
const INNER: &[u8] = b"JMT::IntrnalNode";

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Balances and nonces by account.
    Account = 1,
    /// Reserved: stakes, bonded and unbonding.
    Stake = 2,
    /// Reserved: validators.
    Validator = 3,
    /// Rewards that can't be spent yet, by the height they were earned at.
    Immature = 4,
    /// Totals of the whole state, by number.
    Param = 5,
    /// Reserved: outputs of the pool.
    PoolOutput = 6,
    /// Reserved: spent marks of the pool.
    KeyImage = 7,
    /// Reserved: totals of the pool.
    PoolTotal = 8,
    /// Reserved: offences that were punished.
    Evidence = 9,
}

impl Table {
    /// The byte that names the table in keys and values.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// The table of a byte, also where it is reserved.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Account,
            2 => Self::Stake,
            3 => Self::Validator,
            4 => Self::Immature,
            5 => Self::Param,
            6 => Self::PoolOutput,
            7 => Self::KeyImage,
            8 => Self::PoolTotal,
            9 => Self::Evidence,
            _ => return None,
        })
    }
}

/// The place of a record in the state tree: the hash of its table and key.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Bit `depth`, the most significant bit of the first byte being bit 0: which child of an
    /// inner node at that depth the record is under.
    #[must_use]
    pub const fn bit(&self, depth: usize) -> bool {
        self.0[depth / 8] >> (7 - depth % 8) & 1 == 1
    }

    /// How many leading bits are those of `other`: 256 when the two are equal.
    #[must_use]
    pub fn shared_bits(&self, other: &Self) -> usize {
        let differing = self.0.iter().zip(&other.0).position(|(a, b)| a != b);
        differing.map_or(256, |at| {
            at * 8 + (self.0[at] ^ other.0[at]).leading_zeros() as usize
        })
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({})", crate::base::encode_hex(&self.0[..6]))
    }
}

/// Which record of the state is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateKey {
    /// The account of this id.
    Account(AccountId),
    /// The reward of the block at this height.
    Immature(Height),
    /// The sums over all money.
    Supply,
}

/// The number of the supply record among the params.
const SUPPLY_PARAM: u16 = 1;

impl StateKey {
    /// The table it is in.
    #[must_use]
    pub const fn table(&self) -> Table {
        match self {
            Self::Account(_) => Table::Account,
            Self::Immature(_) => Table::Immature,
            Self::Supply => Table::Param,
        }
    }

    /// The key within the table, as bytes.
    #[must_use]
    pub fn key_bytes(&self) -> Vec<u8> {
        match self {
            Self::Account(id) => id.0.to_vec(),
            Self::Immature(height) => height.0.to_le_bytes().to_vec(),
            Self::Supply => SUPPLY_PARAM.to_le_bytes().to_vec(),
        }
    }

    /// Its place in the state tree.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        match self {
            Self::Account(id) => key_hash(Table::Account, &id.0),
            Self::Immature(height) => key_hash(Table::Immature, &height.0.to_le_bytes()),
            Self::Supply => key_hash(Table::Param, &SUPPLY_PARAM.to_le_bytes()),
        }
    }
}

/// The place of the record under `key` in `table`.
#[must_use]
pub fn key_hash(table: Table, key: &[u8]) -> KeyHash {
    KeyHash(sha256_parts(&[domain::STATE_KEY, &[table.byte()], key]))
}

/// The places of accounts, hashed side by side.
#[must_use]
pub fn account_keys(ids: &[AccountId]) -> Vec<KeyHash> {
    let message = |id: &AccountId| {
        let mut message = [Table::Account.byte(); 33];
        message[1..].copy_from_slice(&id.0);
        message
    };
    let messages: Vec<_> = ids.iter().map(message).collect();
    let hashes = hash_many(domain::STATE_KEY, &messages);
    hashes.into_iter().map(KeyHash).collect()
}

/// The hash of a record's value, which its leaf covers.
#[must_use]
pub fn value_hash(value: &[u8]) -> Hash {
    Hash(sha256(value))
}

/// The hash of the leaf of a record, from the hash of its value.
#[must_use]
pub fn leaf_hash(key: &KeyHash, value: &Hash) -> Hash {
    Hash(sha256_parts(&[LEAF, &key.0, &value.0]))
}

/// The hash of an inner node over its children.
#[must_use]
pub fn inner_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(sha256_parts(&[INNER, &left.0, &right.0]))
}

/// [`value_hash`] of many values.
#[must_use]
pub fn value_hashes(values: &[&[u8]]) -> Vec<Hash> {
    hash_slices(b"", values).into_iter().map(Hash).collect()
}

/// [`leaf_hash`] of many leaves, each the hashes of a key and of a value.
#[must_use]
pub fn leaf_hashes(leaves: &[[u8; 64]]) -> Vec<Hash> {
    hash_many(LEAF, leaves).into_iter().map(Hash).collect()
}

/// [`inner_hash`] of many nodes, each the hashes of its children.
#[must_use]
pub fn inner_hashes(nodes: &[[u8; 64]]) -> Vec<Hash> {
    hash_many(INNER, nodes).into_iter().map(Hash).collect()
}

/// An account: 17 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountRecord {
    /// What it can spend.
    pub balance: Amount,
    /// How many transactions it has made.
    pub nonce: Nonce,
}

/// A reward that can't be spent yet: 41 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImmatureRecord {
    /// Who will receive it.
    pub beneficiary: AccountId,
    /// Reward and tips.
    pub amount: Amount,
}

/// Where all money is: 57 bytes. After every block
/// `accounts + stakes + immature + pending + pool = issued - burned`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SupplyRecord {
    /// Everything ever created, by the genesis and by rewards.
    pub issued: u64,
    /// Everything ever destroyed.
    pub burned: u64,
    /// The sum of all balances.
    pub accounts: u64,
    /// The sum of all stakes.
    pub stakes: u64,
    /// The sum of all immature rewards.
    pub immature: u64,
    /// The sum of what validators earned in the running epoch.
    pub pending: u64,
    /// The sum of what is in the pools.
    pub pool: u64,
}

impl SupplyRecord {
    /// Whether the money that is somewhere is the money that was issued and not burned.
    #[must_use]
    pub fn balances(&self) -> bool {
        let held = [
            self.accounts,
            self.stakes,
            self.immature,
            self.pending,
            self.pool,
        ];
        let held: u128 = held.into_iter().map(u128::from).sum();
        u128::from(self.issued) == held + u128::from(self.burned)
    }
}

impl Encode for AccountRecord {
    fn encode(&self, out: &mut Writer) {
        out.u8(Table::Account.byte());
        out.u64(self.balance.0);
        out.u64(self.nonce.0);
    }
}

impl Decode for AccountRecord {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.constant(&[Table::Account.byte()], "an account record begins with 1")?;
        Ok(Self {
            balance: Amount(input.u64()?),
            nonce: Nonce(input.u64()?),
        })
    }
}

impl Encode for ImmatureRecord {
    fn encode(&self, out: &mut Writer) {
        out.u8(Table::Immature.byte());
        self.beneficiary.encode(out);
        out.u64(self.amount.0);
    }
}

impl Decode for ImmatureRecord {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.constant(
            &[Table::Immature.byte()],
            "an immature record begins with 4",
        )?;
        Ok(Self {
            beneficiary: AccountId::decode(input)?,
            amount: Amount(input.u64()?),
        })
    }
}

impl Encode for SupplyRecord {
    fn encode(&self, out: &mut Writer) {
        out.u8(Table::Param.byte());
        out.u64(self.issued);
        out.u64(self.burned);
        out.u64(self.accounts);
        out.u64(self.stakes);
        out.u64(self.immature);
        out.u64(self.pending);
        out.u64(self.pool);
    }
}

impl Decode for SupplyRecord {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.constant(&[Table::Param.byte()], "the supply record begins with 5")?;
        Ok(Self {
            issued: input.u64()?,
            burned: input.u64()?,
            accounts: input.u64()?,
            stakes: input.u64()?,
            immature: input.u64()?,
            pending: input.u64()?,
            pool: input.u64()?,
        })
    }
}

/// The value of a record of any table. A value names its table but not its key; of the params
/// only the supply exists so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// In the table of accounts.
    Account(AccountRecord),
    /// In the table of immature rewards.
    Immature(ImmatureRecord),
    /// The supply, in the table of params.
    Supply(SupplyRecord),
}

impl Encode for Record {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Account(record) => record.encode(out),
            Self::Immature(record) => record.encode(out),
            Self::Supply(record) => record.encode(out),
        }
    }
}

impl Decode for Record {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let table = *input.rest().first().ok_or(DecodeError::Incomplete)?;
        match Table::from_byte(table) {
            Some(Table::Account) => AccountRecord::decode(input).map(Self::Account),
            Some(Table::Immature) => ImmatureRecord::decode(input).map(Self::Immature),
            Some(Table::Param) => SupplyRecord::decode(input).map(Self::Supply),
            Some(Table::Stake) => Err(DecodeError::Invalid("table 2 (stake) is reserved")),
            Some(Table::Validator) => Err(DecodeError::Invalid("table 3 (validator) is reserved")),
            Some(Table::PoolOutput) => {
                Err(DecodeError::Invalid("table 6 (pool output) is reserved"))
            }
            Some(Table::KeyImage) => Err(DecodeError::Invalid("table 7 (key image) is reserved")),
            Some(Table::PoolTotal) => Err(DecodeError::Invalid("table 8 (pool total) is reserved")),
            Some(Table::Evidence) => Err(DecodeError::Invalid("table 9 (evidence) is reserved")),
            None => Err(DecodeError::Invalid("unknown table")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden_account() -> StateKey {
        let id = "6f4c96f572a0415c80cd115aed47a29a11dc06fe68dfad982a62d11a72f9878a";
        StateKey::Account(id.parse().unwrap())
    }

    #[test]
    fn golden_key_and_root_of_one_account() {
        let key = golden_account().hash();
        let wanted = "06beb73cd3d42cd4c97f23d4162800c4b5b4bb113b012581605175fbe1c33917";
        assert_eq!(Hash(key.0).to_string(), wanted);
        let record = AccountRecord {
            balance: Amount(1_000),
            nonce: Nonce(0),
        };
        let root = leaf_hash(&key, &value_hash(&record.to_bytes()));
        let wanted = "59f66282f0c157babcef3ff155ee48b9436391ba3ff73600d9a84a09e8867e2c";
        assert_eq!(root.to_string(), wanted);
    }

    #[test]
    fn the_hash_of_a_key_is_that_of_its_table_and_bytes() {
        let keys = [
            golden_account(),
            StateKey::Immature(Height(0x0102)),
            StateKey::Supply,
        ];
        for key in keys {
            assert_eq!(key.hash(), key_hash(key.table(), &key.key_bytes()));
        }
        assert_eq!(keys[1].key_bytes(), [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(keys[2].key_bytes(), [1, 0]);
    }

    #[test]
    fn sizes_and_first_bytes() {
        let beneficiary = AccountId([7; 32]);
        let amount = Amount(5);
        let records = [
            (Record::Account(AccountRecord::default()), 1, 17),
            (
                Record::Immature(ImmatureRecord {
                    beneficiary,
                    amount,
                }),
                4,
                41,
            ),
            (Record::Supply(SupplyRecord::default()), 5, 57),
        ];
        for (record, first, size) in records {
            let bytes = record.to_bytes();
            assert_eq!((bytes[0], bytes.len()), (first, size));
            assert_eq!(Record::from_bytes(&bytes), Ok(record));
        }
    }

    #[test]
    fn reserved_tables_are_refused_by_name() {
        for (byte, name) in [
            (2, "stake"),
            (3, "validator"),
            (6, "pool output"),
            (7, "key image"),
            (8, "pool total"),
            (9, "evidence"),
        ] {
            let Err(DecodeError::Invalid(rule)) = Record::from_bytes(&[byte]) else {
                panic!("table {byte} is accepted");
            };
            assert!(
                rule.contains(name) && rule.contains("reserved"),
                "{byte}: {rule}"
            );
        }
        let unknown = Err(DecodeError::Invalid("unknown table"));
        assert_eq!(Record::from_bytes(&[0]), unknown);
        assert_eq!(Record::from_bytes(&[10]), unknown);
    }

    #[test]
    fn bits_are_counted_from_the_most_significant() {
        let mut bytes = [0; 32];
        bytes[0] = 0x40;
        bytes[31] = 1;
        let key = KeyHash(bytes);
        let set: Vec<usize> = (0..256).filter(|depth| key.bit(*depth)).collect();
        assert_eq!(set, [1, 255]);
        assert_eq!(key.shared_bits(&key), 256);
        assert_eq!(key.shared_bits(&KeyHash([0; 32])), 1);
        bytes[31] = 0;
        assert_eq!(key.shared_bits(&KeyHash(bytes)), 255);
    }

    #[test]
    fn many_hashes_are_those_of_each() {
        let bytes: Vec<u8> = (0..=255).collect();
        let values: Vec<&[u8]> = (0..40).map(|length| &bytes[length..length * 2]).collect();
        let each: Vec<Hash> = values.iter().map(|value| value_hash(value)).collect();
        assert_eq!(value_hashes(&values), each);
        let pairs: Vec<[u8; 64]> = (0..40)
            .map(|at| *bytes[at..].first_chunk().unwrap())
            .collect();
        let halves = |pair: &[u8; 64]| {
            let half = |at: usize| *pair[at..].first_chunk::<32>().unwrap();
            (half(0), half(32))
        };
        for (at, pair) in pairs.iter().enumerate() {
            let (left, right) = halves(pair);
            assert_eq!(
                inner_hashes(&pairs)[at],
                inner_hash(&Hash(left), &Hash(right))
            );
            assert_eq!(
                leaf_hashes(&pairs)[at],
                leaf_hash(&KeyHash(left), &Hash(right))
            );
        }
    }

    #[test]
    fn money_that_is_nowhere_or_twice_does_not_balance() {
        let supply = SupplyRecord {
            issued: 28,
            burned: 7,
            accounts: 1,
            stakes: 2,
            immature: 3,
            pending: 4,
            pool: 11,
        };
        assert!(supply.balances());
        assert!(
            !SupplyRecord {
                pending: 5,
                ..supply
            }
            .balances()
        );
        assert!(
            !SupplyRecord {
                burned: 6,
                ..supply
            }
            .balances()
        );
    }
}
