//! The import of a block: what is checked by itself, and its execution.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput};
use keel::chain::{Chain, ChainState, Execution, SignatureBench, check_block};
use keel::codec::Encode;
use keel::crypto::ed25519::{KeyCache, verify_batch};

use super::data;

pub(super) fn bench(criterion: &mut Criterion) {
    let genesis = data::genesis();
    let genesis_id = genesis.id();
    let payments = data::payments(&genesis);
    let messages = data::messages(&payments, &genesis_id);
    let items = data::items(&payments, &messages);
    let bytes: Arc<[u8]> = data::block(&genesis, payments.clone()).to_bytes().into();
    let chain = Chain::new(Arc::clone(&genesis)).expect("the genesis is good");
    let rules = chain.header_rules();
    let check = || {
        // A new bench each time: no signature and no key was seen before.
        let mut bench = SignatureBench::new([9; 32], Arc::default());
        check_block(&genesis, rules, &genesis_id, black_box(&bytes), &mut bench)
            .expect("the block is good")
    };
    let block = Arc::new(check());
    let execution = || Execution {
        genesis: Arc::clone(&genesis),
        base: ChainState::genesis(&genesis),
        undos: Vec::new(),
        blocks: vec![Arc::clone(&block)],
    };
    assert!(execution().run().fault.is_none(), "the block is valid");

    let mut group = criterion.benchmark_group("block import");
    group.throughput(Throughput::Elements(data::TRANSACTIONS as u64));
    group.bench_function("limit: its signatures, and nothing else", |bencher| {
        let cache = || KeyCache::new(1);
        let check = |mut cache| verify_batch(&items, &mut cache, &[9; 32]);
        bencher.iter_batched(cache, check, BatchSize::SmallInput);
    });
    group.bench_function("check a block of 2,000 by itself", |bencher| {
        bencher.iter(check);
    });
    group.bench_function("execute a block of 2,000, to new accounts", |bencher| {
        let run = |execution: Execution| execution.run();
        bencher.iter_batched(execution, run, BatchSize::LargeInput);
    });
    group.finish();
}
