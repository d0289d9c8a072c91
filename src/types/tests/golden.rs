//! The bytes and hashes of `tests/vectors/golden/golden.json`, which a Python script made that
//! shares no code with the crate.

use serde_json::Value;

use crate::base::{decode_hex, encode_hex};
use crate::codec::{Decode, DecodeError, Encode};
use crate::crypto::ed25519::{PublicKey, Signature};
use crate::types::{
    AccountId, Amount, Auth, Block, BlockId, Certificate, CertificateKind, CompactBits, EngineKind,
    GenesisId, GenesisValidator, Hash, Header, Height, Millis, NONCE_OFFSET, Nonce, Op,
    ParentCertificate, Profile, Seal, Transaction, Weight,
};

fn golden() -> Value {
    let text = include_str!("../../../tests/vectors/golden/golden.json");
    serde_json::from_str(text).unwrap()
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).unwrap().as_str().unwrap()
}

/// Bytes that count up from `first`.
fn pattern<const N: usize>(first: usize) -> [u8; N] {
    std::array::from_fn(|at| (first + at) as u8)
}

fn key(first: usize) -> PublicKey {
    PublicKey(pattern(first))
}

fn transfer(first: usize, amount: u64) -> Op {
    Op::Transfer {
        to: AccountId(pattern(first)),
        amount: Amount(amount),
    }
}

fn transactions() -> Vec<(&'static str, Transaction)> {
    let single = Auth::Single {
        key: key(0),
        signature: Signature(pattern(0x80)),
    };
    let make = |nonce, fee, expiry, ops, auth| Transaction {
        nonce: Nonce(nonce),
        fee: Amount(fee),
        expiry: Height(expiry),
        ops,
        auth,
    };
    let payees = (0..64).map(|at| transfer(at, at as u64 + 1)).collect();
    let two_of_three = Auth::Multi {
        threshold: 2,
        keys: (0..3).map(key).collect(),
        signers: 0b101,
        signatures: vec![Signature(pattern(0x80)), Signature(pattern(0x81))],
    };
    let all_sixteen = Auth::Multi {
        threshold: 16,
        keys: (0..16).map(key).collect(),
        signers: 0xffff,
        signatures: (0..16).map(|at| Signature(pattern(at))).collect(),
    };
    let anchor = Op::Data(pattern::<32>(0x60).to_vec());
    let both = vec![Op::Data(vec![0]), transfer(0x40, u64::MAX)];
    vec![
        (
            "transfer",
            make(7, 1_400, 0, vec![transfer(0x40, 5_000)], single.clone()),
        ),
        (
            "two_of_three",
            make(0, 1_400, 900, vec![transfer(0x40, 1)], two_of_three),
        ),
        (
            "sixty_four_payees",
            make(u64::MAX - 1, 99_999, 12, payees, single.clone()),
        ),
        ("data", make(1, 200, 0, vec![anchor], single)),
        (
            "sixteen_of_sixteen",
            make(3, u64::MAX, u64::MAX, both, all_sixteen),
        ),
    ]
}

fn header(seal: Seal) -> Header {
    Header {
        height: Height(9),
        parent_id: BlockId(pattern(1)),
        time: Millis(1_700_000_000_000),
        tx_root: Hash(pattern(2)),
        state_root: Hash(pattern(3)),
        history_root: Hash(pattern(4)),
        base_fee: 1_000,
        beneficiary: AccountId(pattern(5)),
        parent_weight: 200,
        seal,
    }
}

fn work_header() -> Header {
    header(Seal::Work {
        bits: CompactBits(0x1f04_0000),
        nonce: 0x0102_0304_0506_0708,
    })
}

/// Validators 0, 1 and 3.
fn bitmap() -> [u8; 32] {
    let mut bitmap = [0; 32];
    bitmap[0] = 0b1011;
    bitmap
}

fn stake_header() -> Header {
    header(Seal::Stake {
        epoch: 3,
        proposer: 2,
        next_validators_root: Hash(pattern(6)),
        parent_bitmap: bitmap(),
    })
}

fn certificate() -> Certificate {
    Certificate {
        kind: CertificateKind::Notarize,
        epoch: 3,
        view: 40,
        parent_view: 39,
        block_id: BlockId(pattern(1)),
        bitmap: bitmap(),
        signatures: (0..3).map(|at| Signature(pattern(at))).collect(),
    }
}

/// Checks that a value and its bytes are each other's.
fn same<T: Encode + Decode + PartialEq + std::fmt::Debug>(value: &T, hex: &str) {
    assert_eq!(encode_hex(&value.to_bytes()), hex);
    assert_eq!(T::from_bytes(&decode_hex(hex).unwrap()).as_ref(), Ok(value));
}

#[test]
fn transactions_have_the_bytes_ids_and_weights_of_the_formats() {
    let golden = golden();
    let genesis: GenesisId = text(&golden, "/chain/genesis_id").parse().unwrap();
    let sizes = [(164, 200), (296, 368), (2_747, 2_783), (158, 194)];
    for (at, (name, transaction)) in transactions().iter().enumerate() {
        let wanted = &golden["transactions"][name];
        same(transaction, text(wanted, "/bytes"));
        let (size, weight) = (transaction.encoded_len(), transaction.weight().0);
        assert_eq!(size, transaction.to_bytes().len(), "{name}");
        assert_eq!(wanted["size"], size, "{name}");
        assert_eq!(wanted["weight"], weight, "{name}");
        if let Some(stated) = sizes.get(at) {
            assert_eq!((size, weight), *stated, "{name}");
        }
        let ids = [
            transaction.sender().to_string(),
            transaction.wtxid().to_string(),
            transaction.txid(&genesis).to_string(),
        ];
        assert_eq!(
            ids,
            ["/account", "/wtxid", "/txid"].map(|id| text(wanted, id))
        );
    }
}

#[test]
fn headers_of_both_engines_and_their_ids() {
    let golden = golden();
    for (name, header, size) in [("work", work_header(), 204), ("stake", stake_header(), 266)] {
        let wanted = &golden["headers"][name];
        same(&header, text(wanted, "/bytes"));
        assert_eq!(header.to_bytes().len(), size);
        assert_eq!(header.id().to_string(), text(wanted, "/id"));
    }
    let nonce_at = &work_header().to_bytes()[NONCE_OFFSET..];
    assert_eq!(nonce_at, 0x0102_0304_0506_0708_u64.to_le_bytes());
}

#[test]
fn blocks_and_the_certificate() {
    let golden = golden();
    same(&certificate(), text(&golden, "/certificate"));
    assert_eq!(
        certificate().to_bytes().len(),
        281,
        "the one of 4 validators"
    );
    let transactions = vec![transactions()[0].1.clone()];
    let work = Block {
        header: work_header(),
        transactions: transactions.clone(),
        certificate: None,
    };
    same(&work, text(&golden, "/blocks/work"));
    assert_eq!(work.weight(), Weight(200));
    let stake = Block {
        header: stake_header(),
        transactions,
        certificate: Some(ParentCertificate::Signed(certificate())),
    };
    same(&stake, text(&golden, "/blocks/stake"));
    let first = Block {
        header: stake_header(),
        transactions: Vec::new(),
        certificate: Some(ParentCertificate::Genesis),
    };
    same(&first, text(&golden, "/blocks/stake_after_genesis"));
}

#[test]
fn the_genesis_of_every_profile_and_engine() {
    let golden = golden();
    let validators: Vec<GenesisValidator> = [(7, 0), (9, 1)]
        .into_iter()
        .map(|(first, more)| GenesisValidator {
            consensus_key: key(first),
            account: AccountId(pattern(first + 1)),
            stake: Amount(100_000_000_000 + more),
        })
        .collect();
    for profile in [
        Profile::Main,
        Profile::Test,
        Profile::Dev,
        Profile::Consortium,
    ] {
        for (engine, name) in [(EngineKind::Work, "work"), (EngineKind::Stake, "stake")] {
            let mut genesis = profile.genesis(engine, "golden", Millis(1_700_000_000_000));
            genesis.operators = vec![key(2), key(3)];
            if engine == EngineKind::Stake {
                genesis.validators.clone_from(&validators);
            }
            let accounts = [(11, 1_000_000_000_000_000), (12, 1)];
            genesis.allocations = accounts
                .map(|(first, amount)| (AccountId(pattern(first)), Amount(amount)))
                .to_vec();
            assert_eq!(genesis.check(), Ok(()));
            let wanted = &golden["genesis"][format!("{}_{name}", profile.name())];
            same(&genesis, text(wanted, "/bytes"));
            assert_eq!(genesis.id().to_string(), text(wanted, "/id"));
        }
    }
}

#[test]
fn reserved_kinds_are_refused_by_name() {
    let refused = |bytes: &[u8], name: &str| match Transaction::from_bytes(bytes) {
        Err(DecodeError::Invalid(rule)) => {
            assert!(rule.contains(name) && rule.contains("reserved"), "{rule}");
        }
        other => panic!("{name}: {other:?}"),
    };
    let good = transactions()[0].1.to_bytes();
    let (op_at, auth_at) = (26, 26 + 41);
    let ops = [
        (0x03, "SetPolicy"),
        (0x10, "Bond"),
        (0x11, "Unbond"),
        (0x12, "Register"),
        (0x13, "RotateKey"),
        (0x14, "Unjail"),
        (0x15, "staking"),
        (0x1f, "staking"),
        (0x20, "Evidence"),
        (0x40, "pool"),
        (0x4f, "pool"),
    ];
    for (op, name) in ops {
        let mut bytes = good.clone();
        bytes[op_at] = op;
        refused(&bytes, name);
    }
    for (kind, name) in [(2, "policy"), (3, "pool")] {
        let mut bytes = good.clone();
        bytes[auth_at] = kind;
        refused(&bytes, name);
    }
    for (at, byte, rule) in [
        (op_at, 0, "unknown op"),
        (op_at, 0x50, "unknown op"),
        (auth_at, 4, "unknown auth kind"),
        (0, 2, "a transaction's version must be 1"),
    ] {
        let mut bytes = good.clone();
        bytes[at] = byte;
        let invalid = Err(DecodeError::Invalid(rule));
        assert_eq!(Transaction::from_bytes(&bytes), invalid);
    }
}
