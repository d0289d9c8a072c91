//! The tree of accounts.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use keel::chain::state::StateTree;
use keel::codec::Encode;
use keel::crypto::sha256;
use keel::types::state::{AccountRecord, KeyHash, StateKey};
use keel::types::{Amount, Nonce};

use super::data::account;

/// The accounts of the state.
const ACCOUNTS: u64 = 100_000;
/// The accounts that a block touches.
const TOUCHED: u64 = 1_000;

type Records = BTreeMap<KeyHash, Option<Vec<u8>>>;

fn record(number: u64, nonce: u64) -> (KeyHash, Option<Vec<u8>>) {
    let record = AccountRecord {
        balance: Amount(1_000_000),
        nonce: Nonce(nonce),
    };
    let key = StateKey::Account(account(number)).hash();
    (key, Some(record.to_bytes()))
}

/// The bits of a key hash before `depth`.
fn prefix(key: &KeyHash, depth: usize) -> Vec<u8> {
    let mut bytes = key.0[..depth.div_ceil(8)].to_vec();
    if let (Some(last), left @ 1..) = (bytes.last_mut(), depth % 8) {
        *last &= 0xff << (8 - left);
    }
    bytes
}

/// How many inner nodes stand above touched accounts: each has to be hashed again.
fn inner_nodes(all: &Records, touched: &Records) -> usize {
    let mut count = 0;
    for depth in 0..64 {
        let mut seen = BTreeSet::new();
        let mut shared = BTreeSet::new();
        for key in all.keys() {
            let prefix = prefix(key, depth);
            if !seen.insert(prefix.clone()) {
                shared.insert(prefix);
            }
        }
        let above = touched.keys().map(|key| prefix(key, depth));
        let above: BTreeSet<_> = above.filter(|prefix| shared.contains(prefix)).collect();
        if above.is_empty() {
            break;
        }
        count += above.len();
    }
    count
}

pub(super) fn bench(criterion: &mut Criterion) {
    let all: Records = (0..ACCOUNTS).map(|number| record(number, 0)).collect();
    let mut tree = StateTree::new();
    tree.apply(&all).expect("a tree in memory");
    let step = ACCOUNTS / TOUCHED;
    let touched: Records = (0..TOUCHED)
        .map(|number| record(number * step, 1))
        .collect();
    let mut group = criterion.benchmark_group("state");
    group.throughput(Throughput::Elements(TOUCHED));
    let inner = vec![[7_u8; 64]; inner_nodes(&all, &touched)];
    let leaves = vec![[7_u8; 64]; touched.len()];
    let values = vec![[7_u8; 17]; touched.len()];
    let name = format!(
        "limit: the {} hashes of that",
        inner.len() + 2 * leaves.len()
    );
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            (
                sha256::hash_many(b"JMT::IntrnalNode", black_box(&inner)),
                sha256::hash_many(b"JMT::LeafNode", black_box(&leaves)),
                sha256::hash_many(&[], black_box(&values)),
            )
        });
    });
    group.bench_function("write 1,000 of 100,000 accounts", |bencher| {
        let write = |mut tree: StateTree| {
            tree.apply(&touched).expect("a tree in memory");
            tree
        };
        bencher.iter_batched(|| tree.clone(), write, BatchSize::LargeInput);
    });
    group.throughput(Throughput::Elements(1));
    let key = StateKey::Account(account(77)).hash();
    group.bench_function("read an account", |bencher| {
        bencher.iter(|| tree.get(black_box(&key)));
    });
    group.bench_function("prove an account", |bencher| {
        bencher.iter(|| tree.prove(black_box(&key)));
    });
    group.finish();
}
