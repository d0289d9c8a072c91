//! How much the parts of a node do in a second: `make bench`, or `cargo bench -p keel-bench NAME`.
//!
//! Each group measures the part that a journey of a block or transaction spends its time in, on
//! data of the size and shape it has there, and reports bytes or elements per second.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use keel::chain::state::StateTree;
use keel::codec::{Decode, Encode};
use keel::crypto::ed25519::{Item, KeyCache, SecretKey, verify, verify_batch};
use keel::crypto::{hash, merkle, sha256};
use keel::store::{Append, Kind, Log, MemoryDisk, Options, Store};
use keel::types::state::{AccountRecord, KeyHash, StateKey};
use keel::types::{
    AccountId, Amount, Block, BlockId, CompactBits, GenesisId, Hash, Header, Height, Millis, Nonce,
    Seal, Transaction,
};
use keel::wallet::Payment;

/// As many transactions as fit a tenth of the greatest block.
const TRANSACTIONS: usize = 2_000;
/// The accounts of the state that updates are measured on.
const ACCOUNTS: u64 = 100_000;
/// The accounts that a block touches.
const TOUCHED: u64 = 1_000;

fn account(number: u64) -> AccountId {
    AccountId(hash::sha256(&number.to_le_bytes()))
}

fn payments() -> Vec<Transaction> {
    let genesis = GenesisId([7; 32]);
    let payment = |number: u64| {
        let key = SecretKey::from_seed(&account(number).0);
        let payment = Payment {
            nonce: Nonce(number),
            fee: Amount(300),
            expiry: Height(0),
            to: account(number + 1),
            amount: Amount(1_000),
        };
        payment.sign(&key, &genesis)
    };
    (0..TRANSACTIONS as u64).map(payment).collect()
}

fn header() -> Header {
    Header {
        height: Height(1),
        parent_id: BlockId([1; 32]),
        time: Millis(1),
        tx_root: Hash([2; 32]),
        state_root: Hash([3; 32]),
        history_root: Hash([4; 32]),
        base_fee: 1_000,
        beneficiary: account(0),
        parent_weight: 0,
        seal: Seal::Work {
            bits: CompactBits(0x1f04_0000),
            nonce: 0,
        },
    }
}

fn codec(criterion: &mut Criterion) {
    let block = Block {
        header: header(),
        transactions: payments(),
        certificate: None,
    };
    let bytes = block.to_bytes();
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("decode a block of 2,000", |bencher| {
        bencher.iter(|| Block::from_bytes(black_box(&bytes)));
    });
    group.bench_function("encode a block of 2,000", |bencher| {
        bencher.iter(|| black_box(&block).to_bytes());
    });
    group.finish();
}

fn hashing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hashing");
    let megabyte = vec![7; 1 << 20];
    group.throughput(Throughput::Bytes(1 << 20));
    group.bench_function("one message of 1 MiB", |bencher| {
        bencher.iter(|| hash::sha256(black_box(&megabyte)));
    });
    let nodes: Vec<[u8; 64]> = (0..4_096_u32).map(|number| [number as u8; 64]).collect();
    group.throughput(Throughput::Elements(nodes.len() as u64));
    group.bench_function("4,096 tree nodes, one at a time", |bencher| {
        bencher.iter(|| {
            nodes
                .iter()
                .map(|node| hash::sha256(node))
                .fold(0, |sum, hash| sum ^ hash[0])
        });
    });
    group.bench_function("4,096 tree nodes, side by side", |bencher| {
        bencher.iter(|| sha256::hash_many(&[], black_box(&nodes)));
    });
    let ids: Vec<[u8; 32]> = (0..TRANSACTIONS as u64)
        .map(|number| account(number).0)
        .collect();
    group.throughput(Throughput::Elements(ids.len() as u64));
    group.bench_function("Merkle root of 2,000 ids", |bencher| {
        bencher.iter(|| merkle::root(black_box(&ids)));
    });
    let sealed: [u8; 204] = header()
        .to_bytes()
        .try_into()
        .expect("a work header has 204 bytes");
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("mining", |bencher| {
        bencher.iter(|| sha256::search(black_box(&sealed), 0..10_000, &[0; 32]));
    });
    group.finish();
}

fn signatures(criterion: &mut Criterion) {
    let genesis = GenesisId([7; 32]);
    let transactions = payments();
    let messages: Vec<_> = transactions
        .iter()
        .map(|payment| payment.txid(&genesis))
        .collect();
    let items: Vec<Item<'_>> = transactions
        .iter()
        .zip(&messages)
        .flat_map(|(payment, message)| {
            let message = message.as_bytes();
            payment.auth.signatures().map(move |(key, signature)| Item {
                key,
                message,
                signature,
            })
        })
        .collect();
    let mut group = criterion.benchmark_group("signatures");
    for count in [16, 128, 2_000] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("a batch of {count}, new keys"), |bencher| {
            let cache = || KeyCache::new(4_096);
            let check = |mut cache| verify_batch(&items[..count], &mut cache, &[9; 32]);
            bencher.iter_batched(cache, check, BatchSize::SmallInput);
        });
    }
    group.bench_function("a batch of 2,000, known keys", |bencher| {
        let mut cache = KeyCache::new(8_192);
        let verdicts = verify_batch(&items, &mut cache, &[9; 32]);
        assert!(verdicts.iter().all(|good| *good));
        bencher.iter(|| verify_batch(&items, &mut cache, &[9; 32]));
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("one alone", |bencher| {
        let Item {
            key,
            message,
            signature,
        } = items[0];
        bencher.iter(|| verify(black_box(&key), message, &signature));
    });
    group.finish();
}

fn log(criterion: &mut Criterion) {
    const RECORDS: usize = 1_000;
    let records: Vec<Append> = (0..RECORDS)
        .map(|number| Append::new(Log::Blocks, Kind::Block, vec![number as u8; 1_024]))
        .collect();
    let open = || {
        let options = Options::production([7; 32], 5, 1).with_segment_size(16 << 20);
        let opened = Store::open(Arc::new(MemoryDisk::new()), &options);
        opened.expect("an empty disk in memory opens").0
    };
    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::Bytes((RECORDS * 1_024) as u64));
    // Without a disk: what framing, checksums and copying cost.
    group.bench_function("append 1,000 records of 1 KiB in memory", |bencher| {
        let append = |mut store: Store| store.append(&records).map(|lsns| (lsns, store));
        bencher.iter_batched(open, append, BatchSize::LargeInput);
    });
    group.finish();
}

fn record(number: u64, nonce: u64) -> (KeyHash, Option<Vec<u8>>) {
    let record = AccountRecord {
        balance: Amount(1_000_000),
        nonce: Nonce(nonce),
    };
    (
        StateKey::Account(account(number)).hash(),
        Some(record.to_bytes()),
    )
}

fn state(criterion: &mut Criterion) {
    let all: BTreeMap<_, _> = (0..ACCOUNTS).map(|number| record(number, 0)).collect();
    let mut tree = StateTree::new();
    tree.apply(&all).expect("a tree in memory");
    let step = ACCOUNTS / TOUCHED;
    let touched: BTreeMap<_, _> = (0..TOUCHED)
        .map(|number| record(number * step, 1))
        .collect();
    let mut group = criterion.benchmark_group("state");
    group.throughput(Throughput::Elements(TOUCHED));
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
        bencher.iter(|| tree.get(black_box(&key)))
    });
    group.bench_function("prove an account", |bencher| {
        bencher.iter(|| tree.prove(black_box(&key)));
    });
    group.finish();
}

criterion_group!(benches, codec, hashing, signatures, log, state);
criterion_main!(benches);
