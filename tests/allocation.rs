//! What a decoder sets aside is bounded by the bytes it was given, not by the counts they claim.
//! By itself in one process, because it watches how much address space the process ever had.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is missing"
)]

use keel::codec::{Decode, Encode};
use keel::types::proof::Proof;
use keel::types::{Block, Certificate, Genesis, Header, History, Transaction};
use keel::types::{EngineKind, Millis, Profile};

/// The greatest size that the address space of this process ever had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmPeak"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Inputs of at most a few hundred bytes that claim as much as their fields can.
fn claims() -> Vec<Vec<u8>> {
    let genesis = Profile::Dev.genesis(EngineKind::Work, "claims", Millis(1));
    let mut lists = genesis.to_bytes();
    lists[176..178].copy_from_slice(&[0xff; 2]);
    lists[180..184].copy_from_slice(&[0xff; 4]);
    let mut allocations = genesis.to_bytes();
    allocations[180..184].copy_from_slice(&[0xff; 4]);
    let golden = include_bytes!("vectors/golden/chain.export");
    let mut block = golden[12 + 184 + 2 * 32 + 3 * 40 + 4..][..204].to_vec();
    assert!(
        Header::from_bytes(&block).is_ok(),
        "the first block's header"
    );
    // 25,153 transactions: the most that any block weight allows.
    block.extend(25_153_u32.to_le_bytes());
    let mut transaction = vec![1; 25];
    transaction.push(64);
    transaction.extend([2, 0, 4]);
    let mut certificate = vec![1; 57];
    certificate.extend([0xff; 32]);
    let history = [&(u64::MAX - 1).to_le_bytes()[..], &[1; 300]].concat();
    let mut proof = include_bytes!("vectors/golden/state-empty.proof").to_vec();
    let levels = 4 + 204 + 1 + 1 + 32 + 1;
    proof[levels..levels + 2].copy_from_slice(&256_u16.to_le_bytes());
    proof[levels + 2..levels + 34].fill(0xff);
    vec![
        lists,
        allocations,
        block,
        transaction,
        certificate,
        history,
        proof,
    ]
}

#[test]
fn claims_set_nothing_aside() {
    let claims = claims();
    let decode = |bytes: &[u8]| {
        let _ = Genesis::from_bytes(bytes);
        let _ = Block::from_bytes(bytes);
        let _ = Transaction::from_bytes(bytes);
        let _ = Certificate::from_bytes(bytes);
        let _ = History::from_bytes(bytes);
        let _ = Proof::from_bytes(bytes);
    };
    decode(&claims[0]);
    let before = peak();
    for bytes in &claims {
        assert!(bytes.len() < 1_000);
        decode(bytes);
    }
    let grown = peak() - before;
    assert!(
        grown < 512,
        "decoding small inputs took {grown} KiB of address space"
    );
}
