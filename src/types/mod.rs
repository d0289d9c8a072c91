//! The values a chain is made of, their bytes, and the checks that need nothing else.
//!
//! *Owns* no state. *Invariants*: every value has one encoding (`docs/formats.md` gives each byte);
//! what is reserved for later is refused by name. *Never* looks at the chain: whether a value fits
//! its context is decided by `consensus` and `chain`.

mod address;
mod block;
mod endpoint;
mod genesis;
pub mod genesis_toml;
pub mod history;
mod ids;
mod numbers;
pub mod proof;
mod record;
mod serde_forms;
pub mod state;
#[cfg(test)]
pub(crate) mod strategies;
#[cfg(test)]
mod tests;
pub mod transaction;
mod uint256;

pub use address::{AddressError, NodeKey, decode_address, encode_address};
pub use block::{
    BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, BLOCK_WEIGHT_MAX, Block, Certificate, CertificateKind,
    HEADER_COMMON_BYTES, Header, NONCE_OFFSET, ParentCertificate, STAKE_HEADER_BYTES, Seal,
    TIME_OFFSET, WORK_HEADER_BYTES,
};
pub use endpoint::{NetworkAddress, NetworkKind, PeerAddress, PeerAddressError};
pub use genesis::{EngineRules, Genesis, GenesisError, GenesisValidator, Profile, Reward, Rules};
pub use genesis_toml::{GenesisFile, GenesisFileError, parse_genesis, write_genesis};
pub use history::{Entry, History, HistoryPath};
pub use ids::{AccountId, BlockId, GenesisId, Hash, TxId, WtxId};
pub use numbers::{Amount, EngineKind, Height, MAX_SUPPLY, Millis, Nonce, Weight};
pub use record::{
    KademliaId, NodeId, NodeRecord, RECORD_ADDRESSES_MAX, RECORD_BYTES_MAX, RECORD_BYTES_MIN,
    RECORD_LIFE_MAX, RecordContent, RecordValidity, Services, Vouch,
};
pub use transaction::{
    Auth, Descriptor, Op, TRANSACTION_BYTES_MAX, TRANSACTION_BYTES_MIN, Transaction,
    TransactionIds, ids_of_many, wtxid_of,
};
pub use uint256::{CompactBits, Uint256, work_of_target};
