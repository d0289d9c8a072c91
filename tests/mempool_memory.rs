//! What the mempool says that its transactions take is what they take. By itself in one process,
//! because it watches the memory of the process.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is missing"
)]

use std::sync::Arc;

use keel::base::Time;
use keel::chain::ledger::Ledger;
use keel::chain::mempool::{Mempool, Next, Origin};
use keel::chain::{CheckedTransaction, PageFailures};
use keel::crypto::ed25519::{PublicKey, Signature};
use keel::types::{
    AccountId, Amount, Auth, BlockId, Descriptor, EngineKind, Height, Millis, Nonce, Op, Profile,
    Transaction,
};

/// The anonymous memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("RssAnon"))
        .unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes << 10
}

/// The key of somebody; no signature is looked at here.
fn key(number: u32) -> PublicKey {
    let mut key = [0x5a; 32];
    key[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_le_bytes());
    PublicKey(key)
}

#[test]
fn the_mempool_counts_its_memory_honestly() {
    const PEOPLE: u32 = 20_000;
    let mut genesis = Profile::Dev.genesis(EngineKind::Work, "memory", Millis(1));
    let account = |number| Descriptor::Single(key(number)).account_id();
    genesis.allocations = (0..PEOPLE)
        .map(|number| (account(number), Amount(1_000_000_000)))
        .collect();
    genesis.allocations.sort();
    let (genesis_id, rules) = (genesis.id(), genesis.rules);
    let view = Ledger::genesis(&genesis).view(BlockId::ZERO);
    // One in four is a chain of eight, one in eight carries data, one in 16 pays many.
    let transaction = |number: u32, nonce: u64| {
        let ops = match number % 16 {
            0 => vec![
                Op::Transfer {
                    to: AccountId([1; 32]),
                    amount: Amount(1),
                };
                20
            ],
            1 | 2 => vec![Op::Data(vec![7; 200])],
            _ => vec![Op::Transfer {
                to: account(0),
                amount: Amount(1),
            }],
        };
        Transaction {
            nonce: Nonce(nonce),
            fee: Amount(100_000 + u64::from(number)),
            expiry: Height(if number.is_multiple_of(3) { 100 } else { 0 }),
            ops,
            auth: Auth::Single {
                key: key(number),
                signature: Signature([3; 64]),
            },
        }
    };
    let failures = PageFailures::default();
    let next = Next {
        view: failures.watch(&view),
        rules: &rules,
        height: Height(1),
        base_fee: 1_000,
        now: Time::from_millis(1),
    };
    let mut mempool = Mempool::default();
    let before = resident();
    for number in 0..PEOPLE {
        let nonces = if number % 4 == 3 { 8 } else { 1 };
        for nonce in 0..nonces {
            let checked = CheckedTransaction::new(transaction(number, nonce), &genesis_id);
            mempool
                .add(&next, &Arc::new(checked), Origin::Peer)
                .unwrap();
        }
    }
    let taken = resident() - before;
    let counted = mempool.memory();
    assert!(mempool.len() > 50_000);
    assert!(
        counted >= taken && counted <= taken * 3 / 2,
        "{} transactions take {taken} bytes and count as {counted}",
        mempool.len()
    );
}
