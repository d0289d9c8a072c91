//! What a block costs in hashes and pages as the accounts grow: `cargo bench -p keel-bench --bench
//! growth`. It measures by counting, so that it says the same on any machine, and fails when a
//! bound does not hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use keel::chain::state::{Cost, PageCursor, StateTree};
use keel::crypto::hash;
use keel::store::{Log, MemoryDisk, Options, Store};
use keel::types::state::KeyHash;

/// Accounts that exist, ten times as many from one to the next.
const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];
/// Accounts that a block touches.
const TOUCHED: u64 = 1_000;
/// Ten times the accounts may cost so many times as much.
const RATIO_MAX: f64 = 1.5;
/// The most hashes for one touched account.
const HASHES_MAX: u64 = 24;

fn record(number: u64, value: u8) -> (KeyHash, Option<Vec<u8>>) {
    let key = KeyHash(hash::sha256(&number.to_le_bytes()));
    (key, Some(vec![value; 17]))
}

/// What a thousand writes cost, and what a checkpoint of them writes, in bytes; in a tree of `size`
/// accounts that the disk has whole.
fn touch(size: u64) -> (Cost, u64) {
    let mut tree = StateTree::new();
    let all: BTreeMap<_, _> = (0..size).map(|number| record(number, 1)).collect();
    tree.apply(&all).expect("a tree in memory");
    let options = Options::production([7; 32], 1, 1).with_segment_size(64 << 20);
    let opened = Store::open(Arc::new(MemoryDisk::new()), &options);
    let (mut store, _) = opened.expect("a disk in memory opens");
    checkpoint(&mut tree, &mut store);
    assert_eq!(tree.changed_bytes(), 0, "the disk has everything");
    let step = size / TOUCHED;
    let touched = (0..TOUCHED).map(|number| record(number * step, 2));
    let applied = tree.apply(&touched.collect()).expect("the pages are there");
    (applied.cost, checkpoint(&mut tree, &mut store))
}

/// Writes a tree to the disk; gives how many bytes that took.
fn checkpoint(tree: &mut StateTree, store: &mut Store) -> u64 {
    let layout = store.layout(Log::State);
    let mut cursor = PageCursor::new(tree.clone(), layout, Default::default());
    while !cursor.is_done() {
        let records = cursor.step().expect("the pages are there");
        store.append(&records).expect("a disk in memory has room");
    }
    let bytes = cursor.bytes();
    let pages = Arc::new(store.reader());
    cursor.finish().swap([(tree, pages as _)]);
    bytes
}

#[expect(clippy::print_stdout, reason = "a table is what it is for")]
fn main() {
    println!("{TOUCHED} accounts touched of   hashes    pages   checkpoint bytes");
    let mut before: Option<[f64; 3]> = None;
    for size in SIZES {
        let (cost, bytes) = touch(size);
        println!(
            "{size:>24} {:>8} {:>8} {bytes:>18}",
            cost.hashes, cost.pages
        );
        assert!(cost.hashes <= HASHES_MAX * TOUCHED, "{cost:?}");
        let now = [cost.hashes as f64, cost.pages as f64, bytes as f64];
        if let Some(before) = before {
            let exponents = [0, 1, 2].map(|at| (now[at] / before[at]).log10());
            let [hashes, pages, bytes] = exponents.map(|exponent| format!("{exponent:.3}"));
            println!("                exponent {hashes:>8} {pages:>8} {bytes:>18}");
            // In the smallest tree a thousand writes meet most of the pages there are.
            if size == SIZES[2] {
                assert!(
                    now[0] <= RATIO_MAX * before[0],
                    "hashes: {now:?} {before:?}"
                );
                assert!(now[1] <= RATIO_MAX * before[1], "pages: {now:?} {before:?}");
            }
        }
        before = Some(now);
    }
}
