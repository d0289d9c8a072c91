//! Tree nodes, ids and proofs of work.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use keel::codec::Encode;
use keel::crypto::{hash, merkle, sha256};

use super::data;

/// Hashes of a try of mining.
const NONCES: u64 = 10_000;

pub(super) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hashing");
    let nodes: Vec<[u8; 64]> = (0..4_096_u32).map(|number| [number as u8; 64]).collect();
    group.throughput(Throughput::Elements(nodes.len() as u64));
    // The limit is what one stream of the crate sha2 does; streams side by side pass it.
    group.bench_function("limit: 4,096 tree nodes, one at a time", |bencher| {
        let hash_all = || {
            let hashes = nodes.iter().map(|node| hash::sha256(black_box(node)));
            hashes.fold(0, |sum, hash| sum ^ hash[0])
        };
        bencher.iter(hash_all);
    });
    group.bench_function("4,096 tree nodes, side by side", |bencher| {
        bencher.iter(|| sha256::hash_many(&[], black_box(&nodes)));
    });

    let ids: Vec<[u8; 32]> = (0..data::TRANSACTIONS as u64)
        .map(|number| data::account(number).0)
        .collect();
    group.throughput(Throughput::Elements(ids.len() as u64));
    group.bench_function(
        "limit: as many hashes of 65 bytes, one at a time",
        |bencher| {
            let nodes = vec![[7_u8; 65]; 2 * ids.len() - 1];
            bencher.iter(|| {
                let hashes = nodes.iter().map(|node| hash::sha256(black_box(node)));
                hashes.fold(0, |sum, hash| sum ^ hash[0])
            });
        },
    );
    group.bench_function("Merkle root of 2,000 ids", |bencher| {
        bencher.iter(|| merkle::root(black_box(&ids)));
    });

    let genesis = data::genesis();
    let header = data::block(&genesis, data::payments(&genesis)).header;
    let sealed: [u8; 204] = header
        .to_bytes()
        .try_into()
        .expect("a work header has 204 bytes");
    group.throughput(Throughput::Elements(NONCES));
    group.bench_function(
        "limit: double hashes of headers, one at a time",
        |bencher| {
            bencher.iter(|| {
                let mut header = sealed;
                (0..NONCES).fold(0, |sum, nonce| {
                    header[196..].copy_from_slice(&nonce.to_le_bytes());
                    sum ^ hash::sha256d(black_box(&header))[0]
                })
            });
        },
    );
    group.bench_function("mining", |bencher| {
        bencher.iter(|| sha256::search(black_box(&sealed), 0..NONCES, &[0; 32]));
    });
    group.finish();
}
