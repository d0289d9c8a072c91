//! Ways from a record up to the root.

use crate::types::Hash;
use crate::types::state::{KeyHash, PLACEHOLDER, inner_hash, value_hash};

use super::page::{InnerPage, LeafPage, ROOT_NODE, Record, Ref, SPAN, Stored};
use super::source::{PageError, Source};
use super::write::load_page;

/// What stands where a key is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The record, with this value.
    Present(Vec<u8>),
    /// Nothing: the key has no record.
    Empty,
    /// The leaf of another record: the key has none.
    OtherLeaf {
        /// Where the other record belongs.
        key: KeyHash,
        /// The hash of its value.
        value: Hash,
    },
}

/// The way from what stands in a key's place up to the root (`docs/formats.md`, "Proofs").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// What stands there.
    pub outcome: Outcome,
    /// The sibling at each level, from there up to the root.
    pub siblings: Vec<Hash>,
}

pub(super) fn prove(source: &Source, root: &Ref, key: &KeyHash) -> Result<Path, PageError> {
    let mut siblings = Vec::new();
    let mut below = root.clone();
    let mut depth = 0;
    let outcome = loop {
        match &below {
            Ref::Empty => break Outcome::Empty,
            Ref::Leaf(page) => break in_leaf_page(page, siblings.len(), key, &mut siblings),
            Ref::Inner(page) => {
                in_inner_page(page, depth, key, &mut siblings);
                let next = page.below(key, depth).clone();
                depth += SPAN;
                below = next;
            }
            // A leaf page may stand above the next four bits.
            Ref::Disk(stored) => {
                below = load_page(source, *stored, key, siblings.len())?.0;
            }
        }
    };
    siblings.reverse();
    Ok(Path { outcome, siblings })
}

/// The siblings on the way through an inner page, down to a leaf page, a reference, or the node
/// under which nothing is.
fn in_inner_page(page: &InnerPage, depth: usize, key: &KeyHash, siblings: &mut Vec<Hash>) {
    let wanted = page.node_of(key, depth);
    let mut node = ROOT_NODE;
    for depth in depth.. {
        if node == wanted || !page.is_occupied(node) {
            return;
        }
        node = node * 2 + usize::from(key.bit(depth));
        siblings.push(*page.hash(node ^ 1));
    }
}

fn in_leaf_page(page: &LeafPage, depth: usize, key: &KeyHash, siblings: &mut Vec<Hash>) -> Outcome {
    let mut records: &[Record] = &page.records;
    let mut first = 0;
    let mut depth = depth;
    while let [head, .., last] = records {
        let forks_at = head.key.shared_bits(&last.key);
        let leaves_at = head.key.shared_bits(key).min(forks_at);
        siblings.extend((depth..leaves_at).map(|_| PLACEHOLDER));
        if leaves_at < forks_at {
            siblings.push(subtree(records, leaves_at + 1));
            return Outcome::Empty;
        }
        let (left, right) = records.split_at(fork(records, forks_at));
        depth = forks_at + 1;
        let sibling;
        if key.bit(forks_at) {
            (records, sibling) = (right, left);
            first += left.len();
        } else {
            (records, sibling) = (left, right);
        }
        siblings.push(stored(sibling));
    }
    let value = page.value(first);
    if records[0].key == *key {
        Outcome::Present(value.to_vec())
    } else {
        Outcome::OtherLeaf {
            key: records[0].key,
            value: value_hash(value),
        }
    }
}

/// How many of the records stand left of their fork.
fn fork(records: &[Record], depth: usize) -> usize {
    records.partition_point(|record| !record.key.bit(depth))
}

/// The hash of records that are all that is on one side of a fork, as their page has it.
fn stored(records: &[Record]) -> Hash {
    let [first, .., last] = records else {
        return records[0].leaf;
    };
    let right = fork(records, first.key.shared_bits(&last.key));
    let stored = records[right].fork.as_ref();
    stored
        .expect("every fork is hashed when writes are applied")
        .hash
}

/// The hash of several records as a subtree at `depth`, which is above their fork.
fn subtree(records: &[Record], depth: usize) -> Hash {
    let key = &records[0].key;
    let forks_at = key.shared_bits(&records[records.len() - 1].key);
    let (left, right) = records.split_at(fork(records, forks_at));
    let forked = inner_hash(&stored(left), &stored(right));
    (depth..forks_at).rev().fold(forked, |hash, depth| {
        if key.bit(depth) {
            inner_hash(&PLACEHOLDER, &hash)
        } else {
            inner_hash(&hash, &PLACEHOLDER)
        }
    })
}

/// The hash of a tree's root page, as far as the page has the hashes below it.
pub(super) fn root_hash(source: &Source, root: Option<Stored>) -> Result<Hash, PageError> {
    let Some(root) = root else {
        return Ok(PLACEHOLDER);
    };
    let any = KeyHash([0; 32]);
    Ok(match load_page(source, root, &any, 0)?.0 {
        Ref::Inner(page) => inner_hash(page.hash(ROOT_NODE * 2), page.hash(ROOT_NODE * 2 + 1)),
        Ref::Leaf(page) => stored(&page.records),
        Ref::Empty | Ref::Disk(_) => PLACEHOLDER,
    })
}
