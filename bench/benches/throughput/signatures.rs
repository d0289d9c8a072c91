//! Signatures alone and in batches.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul;
use keel::crypto::ed25519::{Item, KeyCache, verify, verify_batch};
use keel::crypto::hash::sha256_parts;

use super::data;

/// The sizes that the node uses, and a whole block.
const SIZES: [usize; 3] = [16, 128, 2_000];

pub(super) fn bench(criterion: &mut Criterion) {
    let genesis = data::genesis();
    let payments = data::payments(&genesis);
    let messages = data::messages(&payments, &genesis.id());
    let items = data::items(&payments, &messages);
    let mut group = criterion.benchmark_group("signatures");
    for count in SIZES {
        group.throughput(Throughput::Elements(count as u64));
        // A batch is one product of as many keys and points, and of the base point; the points
        // are decompressed and everything is hashed besides.
        let (scalars, points) = terms(2 * count + 1);
        group.bench_function(
            format!("limit: the product of a batch of {count}"),
            |bencher| {
                let product =
                    || EdwardsPoint::vartime_multiscalar_mul(&scalars, black_box(&points));
                bencher.iter(product);
            },
        );
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
    let (scalars, points) = terms(2);
    group.bench_function("limit: the product of one alone", |bencher| {
        bencher.iter(|| {
            let (point, scalar) = (black_box(&points[0]), &scalars[0]);
            EdwardsPoint::vartime_double_scalar_mul_basepoint(scalar, point, &scalars[1])
        });
    });
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

/// Numbers and points for a product: half the numbers of 128 bits, as the weights of a batch are.
fn terms(count: usize) -> (Vec<Scalar>, Vec<EdwardsPoint>) {
    let scalar = |number: usize| {
        let mut bytes = sha256_parts(&[b"bench", &number.to_le_bytes()]);
        if number.is_multiple_of(2) {
            bytes[16..].fill(0);
        }
        Scalar::from_bytes_mod_order(bytes)
    };
    let scalars: Vec<Scalar> = (0..count).map(scalar).collect();
    let points = scalars
        .iter()
        .map(|scalar| ED25519_BASEPOINT_POINT * scalar);
    (scalars.clone(), points.collect())
}
