//! How much the parts of a node do in a second: `make bench`, or `cargo bench -p keel-bench NAME`.
//!
//! Each group measures the part that a journey of a block or transaction spends its time in, on
//! data of the size and shape it has there, and reports bytes or elements per second. Beside each
//! stands its limit, on the same data in the same run: what the part can't do without, and nothing
//! else. The distance between the two is what there is to gain; `docs/development.md` tells how to
//! read it.

mod block;
mod codec;
mod data;
mod hashing;
mod log;
mod signatures;
mod state;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    benches,
    codec::bench,
    hashing::bench,
    signatures::bench,
    log::bench,
    state::bench,
    block::bench
);
criterion_main!(benches);
