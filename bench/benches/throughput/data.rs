//! Payments and blocks as a busy chain has them.

use std::sync::Arc;

use keel::chain::{Assembly, ChainState, CheckedTransaction};
use keel::codec::Encode;
use keel::consensus::next_base_fee;
use keel::crypto::ed25519::{Item, SecretKey};
use keel::crypto::{hash, sha256};
use keel::types::{
    AccountId, Amount, Auth, Block, CompactBits, EngineKind, EngineRules, Genesis, GenesisId, Hash,
    Header, Height, Millis, Nonce, Profile, Rules, Seal, Transaction, TxId,
};
use keel::wallet::{Payment, least_fee};

/// As many transactions as fit a tenth of the greatest block.
pub(crate) const TRANSACTIONS: usize = 2_000;
/// A block of so easy a target takes two hashes.
const EASY: CompactBits = CompactBits(0x207f_ffff);

pub(crate) fn account(number: u64) -> AccountId {
    AccountId(hash::sha256(&number.to_le_bytes()))
}

fn key(number: usize) -> SecretKey {
    SecretKey::from_seed(&hash::sha256_parts(&[b"bench", &number.to_le_bytes()]))
}

/// A chain on which every payer has an account from the beginning.
pub(crate) fn genesis() -> Arc<Genesis> {
    let mut genesis = Profile::Dev.genesis(EngineKind::Work, "bench", Millis(1_000_000));
    if let EngineRules::Work {
        pow_bits,
        pow_limit,
        ..
    } = &mut genesis.rules.engine
    {
        (*pow_bits, *pow_limit) = (EASY, EASY);
    }
    let payer = |number| (Payment::payer(&key(number)), Amount(1 << 40));
    genesis.allocations = (0..TRANSACTIONS).map(payer).collect();
    genesis.allocations.sort_unstable();
    Arc::new(genesis)
}

/// A payment of each payer to a new account.
pub(crate) fn payments(genesis: &Genesis) -> Vec<Transaction> {
    let (id, rules) = (genesis.id(), &genesis.rules);
    let payment = |number| {
        let payment = Payment {
            nonce: Nonce(0),
            fee: least_fee(rules.base_fee_initial, 0, rules.account_fee, true),
            expiry: Height(0),
            to: account(number as u64),
            amount: Amount(1_000),
        };
        payment.sign(&key(number), &id)
    };
    (0..TRANSACTIONS).map(payment).collect()
}

/// Each payment's signed message.
pub(crate) fn messages(payments: &[Transaction], genesis: &GenesisId) -> Vec<TxId> {
    payments.iter().map(|it| it.txid(genesis)).collect()
}

/// The signatures of payments, each of one key.
pub(crate) fn items<'a>(payments: &[Transaction], messages: &'a [TxId]) -> Vec<Item<'a>> {
    let item = |(payment, message): (&Transaction, &'a TxId)| match &payment.auth {
        Auth::Single { key, signature } => Item {
            key: *key,
            message: message.as_bytes(),
            signature: *signature,
        },
        Auth::Multi { .. } => unreachable!("a payer has one key"),
    };
    payments.iter().zip(messages).map(item).collect()
}

/// The first block of the chain, with these payments.
pub(crate) fn block(genesis: &Arc<Genesis>, payments: Vec<Transaction>) -> Block {
    let base = ChainState::genesis(genesis);
    let rules = Rules::at(genesis, Height(1));
    let header = Header {
        height: Height(1),
        parent_id: base.id,
        time: Millis(base.header.time.0 + u64::from(rules.interval_ms)),
        tx_root: Hash::ZERO,
        state_root: Hash::ZERO,
        history_root: Hash::ZERO,
        base_fee: next_base_fee(rules, base.header.base_fee, base.weight),
        beneficiary: account(u64::MAX),
        parent_weight: base.weight,
        seal: Seal::Work {
            bits: EASY,
            nonce: 0,
        },
    };
    let (id, count) = (genesis.id(), payments.len());
    let checked = |transaction| Arc::new(CheckedTransaction::new(transaction, &id));
    let assembly = Assembly {
        genesis: Arc::clone(genesis),
        base,
        header,
        candidates: payments.into_iter().map(checked).collect(),
    };
    let template = assembly.run().expect("a state in memory");
    assert_eq!(template.transactions.len(), count, "all are valid");
    let mut header = template.header;
    let bytes = header.to_bytes();
    let bytes = bytes.first_chunk().expect("a work header has 204 bytes");
    let target = EASY.target().expect("it is canonical").to_be_bytes();
    let nonce = sha256::search(bytes, 0..1 << 20, &target).expect("one hash of two is enough");
    header.seal = Seal::Work { bits: EASY, nonce };
    let plain = template.transactions.iter();
    Block {
        header,
        transactions: plain.map(|it| it.transaction.clone()).collect(),
        certificate: None,
    }
}
