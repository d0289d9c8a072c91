//! Blocks to bytes and back.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use keel::codec::{Decode, Encode};
use keel::types::Block;

use super::data;

pub(super) fn bench(criterion: &mut Criterion) {
    let genesis = data::genesis();
    let block = data::block(&genesis, data::payments(&genesis));
    let bytes = block.to_bytes();
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("limit: copy the bytes of the block", |bencher| {
        bencher.iter(|| black_box(&bytes).clone());
    });
    group.bench_function("decode a block of 2,000", |bencher| {
        bencher.iter(|| Block::from_bytes(black_box(&bytes)));
    });
    group.bench_function("encode a block of 2,000", |bencher| {
        bencher.iter(|| black_box(&block).to_bytes());
    });
    group.finish();
}
