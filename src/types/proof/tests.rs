use super::*;
use crate::codec::{Decode, DecodeError};

macro_rules! golden {
    ($($name:literal),* $(,)?) => {
        [$((
            $name,
            include_bytes!(concat!("../../../tests/vectors/golden/", $name, ".proof")).as_slice(),
        )),*]
    };
}

/// The proofs of `tests/vectors/golden`, made in Python under the last header of `chain.export`.
const GOLDEN: [(&str, &[u8]); 16] = golden![
    "transaction-0",
    "transaction-1",
    "transaction-2",
    "transaction-3",
    "transaction-4",
    "state-account",
    "state-immature",
    "state-supply",
    "state-empty",
    "state-other",
    "history-0",
    "history-1",
    "history-2",
    "history-3",
    "history-4",
    "history-5",
];

fn golden(name: &str) -> Proof {
    let (_, bytes) = GOLDEN.iter().find(|(found, _)| *found == name).unwrap();
    Proof::from_bytes(bytes).unwrap()
}

fn trusted() -> BlockId {
    golden("history-0").header().id()
}

#[test]
fn golden_proofs_are_read_written_and_hold() {
    for (name, bytes) in GOLDEN {
        let proof = Proof::from_bytes(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(proof.to_bytes(), bytes, "{name}");
        let proved = proof.verify(&trusted());
        assert!(proved.is_ok(), "{name}: {proved:?}");
        for cut in 0..bytes.len() {
            let got = Proof::from_bytes(&bytes[..cut]);
            assert_eq!(got, Err(DecodeError::Incomplete), "{name} cut to {cut}");
        }
    }
}

#[test]
fn they_show_what_they_say() {
    let Ok(Proved::State { record, .. }) = golden("state-immature").verify(&trusted()) else {
        panic!("an immature record is there");
    };
    assert!(matches!(record, Some(Record::Immature(record)) if record.amount.0 >= 5_000_000_000));
    let Ok(Proved::State { record, .. }) = golden("state-supply").verify(&trusted()) else {
        panic!("the supply is there");
    };
    assert!(matches!(record, Some(Record::Supply(supply)) if supply.balances()));
    for absent in ["state-empty", "state-other"] {
        let Ok(Proved::State { record: None, .. }) = golden(absent).verify(&trusted()) else {
            panic!("{absent}");
        };
    }
    let Ok(Proved::Ancestor { height, .. }) = golden("history-4").verify(&trusted()) else {
        panic!("block 4 is an ancestor");
    };
    assert_eq!(height, Height(4));
}

#[test]
fn no_flipped_bit_proves_anything_else() {
    for (name, bytes) in GOLDEN {
        let wanted = golden(name).verify(&trusted()).unwrap();
        let absent = matches!(wanted, Proved::State { record: None, .. });
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.to_vec();
                flipped[at] ^= 1 << bit;
                let found = Proof::from_bytes(&flipped).map(|proof| proof.verify(&trusted()));
                let Ok(Ok(found)) = found else { continue };
                // The count of transactions only directs the path: another one of the same shape
                // leads from the same transaction to the same root, and is nothing that the
                // proof shows. And where nothing is, there are no records of other keys either.
                let rest = at - 4 - 204;
                let count = name.starts_with("transaction") && rest < 4 && found == wanted;
                let no_other = matches!(found, Proved::State { record: None, .. });
                let other_key = absent && (2..34).contains(&rest) && no_other;
                assert!(
                    count || other_key,
                    "{name}: byte {at}, bit {bit}: {found:?}"
                );
            }
        }
    }
}

#[test]
fn another_header_is_not_the_trusted_one() {
    let proof = golden("transaction-0");
    let other = BlockId([1; 32]);
    let fault = ProofFault::OtherHeader {
        trusted: other,
        found: proof.header().id(),
    };
    assert_eq!(proof.verify(&other), Err(fault));
}

#[test]
fn an_existing_record_cannot_be_denied() {
    let Proof::State(proof) = golden("state-account") else {
        panic!("a state proof");
    };
    let StateAnswer::Present(record) = &proof.answer else {
        panic!("it is present");
    };
    let own = StateAnswer::Other {
        key: proof.key.hash(),
        value: value_hash(&record.to_bytes()),
    };
    let mut denied = proof.clone();
    denied.answer = own;
    let fault = ProofFault::OtherLeaf {
        depth: proof.siblings.len(),
        shared: 256,
    };
    assert_eq!(denied.verify(&trusted()), Err(fault));
    // A leaf that stands elsewhere says nothing about this place.
    let mut key = proof.key.hash();
    key.0[0] ^= 0x80;
    denied.answer = StateAnswer::Other {
        key,
        value: Hash::ZERO,
    };
    let fault = ProofFault::OtherLeaf {
        depth: proof.siblings.len(),
        shared: 0,
    };
    assert_eq!(denied.verify(&trusted()), Err(fault));
    denied.answer = StateAnswer::Empty;
    let fault = denied.verify(&trusted());
    assert!(matches!(fault, Err(ProofFault::Root { .. })));
}

#[test]
fn made_transaction_proofs_hold_for_every_place() {
    let Proof::Transaction(golden) = golden("transaction-0") else {
        panic!("a transaction proof");
    };
    for count in 1..20_u32 {
        let transactions: Vec<Transaction> = (0..count)
            .map(|nonce| {
                let mut transaction = golden.transaction.clone();
                transaction.nonce.0 = nonce.into();
                transaction
            })
            .collect();
        let wtxids: Vec<WtxId> = transactions.iter().map(Transaction::wtxid).collect();
        let header = Header {
            tx_root: Hash(merkle::root(&wtxids)),
            ..golden.header.clone()
        };
        for index in 0..count {
            let proof = TxProof::new(header.clone(), &transactions, index).unwrap();
            let proof = Proof::Transaction(Box::new(proof));
            let read = Proof::from_bytes(&proof.to_bytes());
            assert_eq!(read.as_ref(), Ok(&proof));
            let proved = proof.verify(&header.id());
            assert!(matches!(proved, Ok(Proved::Transaction { wtxid, .. })
                if wtxid == wtxids[index as usize]));
        }
        assert_eq!(TxProof::new(header, &transactions, count), None);
    }
}

#[test]
fn bytes_with_another_valid_form_are_refused() {
    let base = golden("state-supply").to_bytes();
    // Version, kind, engine, zero, header, table, key length, key, result, value length, value.
    let levels_at = 4 + 204 + 1 + 1 + 2 + 1 + 2 + 57;
    let levels = usize::from(base[levels_at]);
    assert!((1..8).contains(&levels) && base[levels_at + 1] == 0);
    let mut stray = base.clone();
    stray[levels_at + 2] |= 1 << levels;
    stray.extend([7; 32]);
    let refused = |bytes: &[u8], rule: &str| match Proof::from_bytes(bytes) {
        Err(DecodeError::Invalid(found)) => assert!(found.contains(rule), "{found}"),
        other => panic!("{rule}: {other:?}"),
    };
    refused(&stray, "beyond the proof's levels");
    let mut shown = base.clone();
    let first = levels_at + 2 + 32;
    shown[first..first + 32].copy_from_slice(&PLACEHOLDER.0);
    refused(&shown, "empty subtree");
    let mut table = base.clone();
    table[4 + 204] = 2;
    refused(&table, "reserved");
    let mut engine = base;
    engine[2] = 2;
    refused(&engine, "engine");
    let mut depth = golden("transaction-0").to_bytes();
    depth[4 + 204 + 8] += 1;
    refused(&depth, "as long as its leaf is deep");
    let mut history = golden("history-0").to_bytes();
    history[4 + 204 + 4] = 200;
    refused(&history, "lower than the descendant");
}
