//! The laws of encoding, for every type: one value, one encoding; a strict prefix is Incomplete
//! and nothing else is; no other bytes mean the same.

use std::fmt::Debug;

use proptest::prelude::*;

use crate::codec::{Decode, DecodeError, Encode};
use crate::types::proof::Proof;
use crate::types::state::Record;
use crate::types::{
    Auth, Block, Certificate, Descriptor, Entry, Genesis, GenesisId, Header, History, Op,
    ParentCertificate, Transaction, ids_of_many, strategies,
};

fn incomplete<T: Decode + Debug + PartialEq>(bytes: &[u8]) -> bool {
    T::from_bytes(bytes) == Err(DecodeError::Incomplete)
}

/// Whether the bytes begin a value as far as their own reader can tell: a byte exists that they
/// can go on with. That holding for every Incomplete input means that each can be completed, as
/// no value is endless.
fn goes_on<T: Decode + Debug + PartialEq>(bytes: &[u8], likely: u8) -> bool {
    let mut longer = bytes.to_vec();
    longer.push(likely);
    std::iter::once(likely).chain(0..=255).any(|next| {
        *longer.last_mut().expect("a byte was pushed") = next;
        !matches!(T::from_bytes(&longer), Err(DecodeError::Invalid(_)))
    })
}

/// Checks the laws on `value`; each of `damages` is a place and what its byte becomes.
fn laws<T>(value: &T, damages: &[(usize, u8)]) -> Result<(), TestCaseError>
where
    T: Encode + Decode + PartialEq + Debug,
{
    let bytes = value.to_bytes();
    let read = T::from_bytes(&bytes);
    prop_assert_eq!(read.as_ref(), Ok(value));
    // Long values are cut at every place of their first and last bytes, and at some between.
    let ends = (0..bytes.len().min(300)).chain(bytes.len().saturating_sub(100)..bytes.len());
    let between = damages.iter().map(|(at, _)| at % bytes.len());
    for cut in ends.chain(between) {
        prop_assert!(
            incomplete::<T>(&bytes[..cut]),
            "cut to {} of {}",
            cut,
            bytes.len()
        );
    }
    for more in [0, 1, 0xff] {
        let longer = [bytes.as_slice(), &[more]].concat();
        let got = T::from_bytes(&longer);
        prop_assert!(matches!(got, Err(DecodeError::Invalid(_))), "{:?}", got);
    }
    for (at, byte) in damages {
        let at = at % bytes.len();
        let mut damaged = bytes.clone();
        damaged[at] = if bytes[at] == *byte { !byte } else { *byte };
        match T::from_bytes(&damaged) {
            Ok(other) => {
                prop_assert_ne!(&other, value);
                prop_assert_eq!(other.to_bytes(), damaged);
            }
            Err(DecodeError::Incomplete) => prop_assert!(goes_on::<T>(&damaged, 0)),
            // Where reading fails is in the damaged field or later.
            Err(DecodeError::Invalid(_)) => {
                for cut in at + 1..(at + 40).min(damaged.len()) {
                    let front = &damaged[..cut];
                    if incomplete::<T>(front) {
                        prop_assert!(goes_on::<T>(front, damaged[cut]), "{} cut to {}", at, cut);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Places to damage, and bytes that are likely to stand at a limit.
fn damages() -> impl Strategy<Value = Vec<(usize, u8)>> {
    let byte = prop_oneof![any::<u8>(), Just(0), Just(1), Just(0xff), Just(0x80)];
    proptest::collection::vec((any::<usize>(), byte), 12)
}

macro_rules! laws {
    ($($name:ident: $type:ty = $strategy:expr;)*) => {
        proptest! {$(
            #[test]
            fn $name(value in $strategy, damages in damages()) {
                laws::<$type>(&value, &damages)?;
            }
        )*}
    };
}

laws! {
    ops: Op = strategies::op();
    auths: Auth = strategies::auth();
    descriptors: Descriptor = strategies::auth().prop_map(|auth| auth.descriptor());
    transactions: Transaction = strategies::transaction();
    headers: Header = strategies::header();
    certificates: Certificate = strategies::certificate();
    parent_certificates: ParentCertificate =
        strategies::certificate().prop_map(ParentCertificate::Signed);
    blocks: Block = strategies::block();
    entries: Entry = strategies::entry();
    histories: History = strategies::history();
    records: Record = strategies::record();
    proofs: Proof = strategies::proof();
    genesis: Genesis = strategies::genesis();
}

proptest! {
    #[test]
    fn every_genesis_of_the_strategy_passes_its_check(genesis in strategies::genesis()) {
        prop_assert_eq!(genesis.check(), Ok(()));
    }
}

proptest! {
    #[test]
    fn ids_side_by_side_are_those_of_each_alone(
        transactions in proptest::collection::vec(strategies::transaction(), 0..20),
        genesis in strategies::bytes32(),
        behind in proptest::collection::vec(any::<u8>(), 0..3),
    ) {
        let genesis = GenesisId(genesis);
        let mut bytes: Vec<u8> = transactions.iter().flat_map(Encode::to_bytes).collect();
        bytes.extend(behind);
        let ids = ids_of_many(&genesis, &transactions, &bytes);
        prop_assert_eq!(ids.len(), transactions.len());
        for (ids, transaction) in ids.iter().zip(&transactions) {
            prop_assert_eq!(ids.txid, transaction.txid(&genesis));
            prop_assert_eq!(ids.wtxid, transaction.wtxid());
            prop_assert_eq!(ids.sender, transaction.sender());
        }
    }
}

#[test]
fn the_certificate_of_genesis_is_89_zeros() {
    let bytes = ParentCertificate::Genesis.to_bytes();
    assert_eq!(bytes, [0; 89]);
    laws(&ParentCertificate::Genesis, &[(0, 1), (0, 2), (88, 9)]).unwrap();
}
