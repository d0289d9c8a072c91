//! Pages and what they hold.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::store::Lsn;
use crate::types::Hash;
use crate::types::state::{KeyHash, PLACEHOLDER};

/// How many bits of a key hash an inner page spans.
pub(super) const SPAN: usize = 4;
/// The most records of a leaf page.
pub(super) const LEAF_RECORDS_MAX: usize = 16;
/// The node of an inner page that is its root. The children of node `n` are `2n` and `2n + 1`.
pub(super) const ROOT_NODE: usize = 1;
/// The first of the 16 nodes that have no children in their page: one for each reference.
pub(super) const SLOT_NODES: usize = 16;
/// One more than the greatest node.
pub(super) const NODES: usize = 32;

/// A page that the state log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// Where its record stands.
    pub(super) at: Lsn,
    /// How many records a leaf page has, so that two of them are joined without reading those
    /// that stay apart; 0 for an inner page.
    pub(super) records: u8,
}

impl Stored {
    pub(super) const fn is_leaf(self) -> bool {
        self.records > 0
    }
}

/// What is below a place of the tree.
#[derive(Clone)]
pub(super) enum Ref {
    /// No record.
    Empty,
    /// 1 to 16 records, in memory.
    Leaf(Arc<LeafPage>),
    /// More records, in memory.
    Inner(Arc<InnerPage>),
    /// A page that only the disk holds.
    Disk(Stored),
}

impl Ref {
    /// How many records are below, where that is no more than a leaf page has.
    pub(super) fn few(&self) -> Option<usize> {
        match self {
            Self::Empty => Some(0),
            Self::Leaf(page) => Some(page.len()),
            Self::Disk(stored) if stored.is_leaf() => Some(usize::from(stored.records)),
            Self::Inner(_) | Self::Disk(_) => None,
        }
    }
}

impl fmt::Debug for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Leaf(page) => write!(f, "Leaf({} records)", page.records.len()),
            Self::Inner(_) => f.write_str("Inner"),
            Self::Disk(stored) => write!(f, "Disk({}, {} records)", stored.at, stored.records),
        }
    }
}

/// A set of nodes of an inner page, bit by bit.
#[derive(Clone, Copy, Default)]
pub(super) struct Nodes(u32);

impl Nodes {
    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    pub(super) const fn contains(self, node: usize) -> bool {
        self.0 >> node & 1 == 1
    }

    pub(super) fn insert(&mut self, node: usize) {
        self.0 |= 1 << node;
    }

    pub(super) fn remove(&mut self, node: usize) {
        self.0 &= !(1 << node);
    }

    pub(super) fn remove_all(&mut self, nodes: Self) {
        self.0 &= !nodes.0;
    }

    /// Everything below `node` within its page.
    pub(super) const fn below(node: usize) -> Self {
        let mut set = 0;
        let (mut first, mut count) = (node * 2, 2);
        while first < NODES {
            set |= ((1_u64 << count) - 1) << first;
            first *= 2;
            count *= 2;
        }
        Self(set as u32)
    }
}

/// Four bits of the key hash.
#[derive(Clone)]
pub(super) struct InnerPage {
    /// The hashes of the nodes but the root, from node 2 on.
    hashes: [Hash; 30],
    /// What is below the page. A leaf page that covers several of the 16 places stands in the
    /// first of them.
    pub(super) refs: [Ref; 16],
    /// The nodes that leaf pages stand at.
    pub(super) leaves: Nodes,
    /// The nodes whose hash is to be computed again, within one application.
    pub(super) stale: Nodes,
}

/// How many bits below its page's root a node is.
pub(super) const fn level(node: usize) -> usize {
    node.ilog2() as usize
}

/// The references below a node.
pub(super) const fn slots(node: usize) -> Range<usize> {
    let below = SPAN - level(node);
    (node << below) - SLOT_NODES..((node + 1) << below) - SLOT_NODES
}

/// The node under which `key` is looked for in a page whose root is at `depth`: one that a leaf
/// page stands at, or one without children.
pub(super) fn node_of(leaves: Nodes, key: &KeyHash, depth: usize) -> usize {
    let mut node = ROOT_NODE;
    let mut depth = depth;
    while node < SLOT_NODES && !leaves.contains(node) {
        node = node * 2 + usize::from(key.bit(depth));
        depth += 1;
    }
    node
}

/// The key that begins with the first `depth` bits of `key`, with zeros behind them.
pub(super) fn prefix(key: &KeyHash, depth: usize) -> KeyHash {
    let mut bytes = [0; 32];
    bytes[..depth / 8].copy_from_slice(&key.0[..depth / 8]);
    if !depth.is_multiple_of(8) {
        bytes[depth / 8] = key.0[depth / 8] & !(0xff >> (depth % 8));
    }
    KeyHash(bytes)
}

/// Where the subtree of a node of the page at `depth` begins, of which `key` is any.
pub(super) fn node_prefix(key: &KeyHash, depth: usize, node: usize) -> (KeyHash, usize) {
    let below = level(node);
    let mut prefix = prefix(key, depth);
    for bit in 0..below {
        if node >> (below - 1 - bit) & 1 == 1 {
            let at = depth + bit;
            prefix.0[at / 8] |= 0x80 >> (at % 8);
        }
    }
    (prefix, depth + below)
}

impl InnerPage {
    pub(super) fn new() -> Self {
        Self {
            hashes: [PLACEHOLDER; 30],
            refs: [const { Ref::Empty }; 16],
            leaves: Nodes::default(),
            stale: Nodes::default(),
        }
    }

    /// The hashes of the nodes from node 2 on.
    pub(super) const fn hashes(&self) -> &[Hash; 30] {
        &self.hashes
    }

    /// The hash of a node that is not the root.
    pub(super) const fn hash(&self, node: usize) -> &Hash {
        &self.hashes[node - 2]
    }

    pub(super) fn set_hash(&mut self, node: usize, hash: Hash) {
        self.hashes[node - 2] = hash;
    }

    /// The node under which `key` is looked for: that of a leaf page, or of a reference. The
    /// page's root is at `depth`.
    pub(super) fn node_of(&self, key: &KeyHash, depth: usize) -> usize {
        node_of(self.leaves, key, depth)
    }

    /// What is below the page on the way to `key`.
    pub(super) fn below(&self, key: &KeyHash, depth: usize) -> &Ref {
        &self.refs[slots(self.node_of(key, depth)).start]
    }

    /// Whether any record is below `node`.
    pub(super) fn is_occupied(&self, node: usize) -> bool {
        let below = &self.refs[slots(node)];
        below.iter().any(|below| !matches!(below, Ref::Empty))
    }
}

/// A record of a leaf page.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Where it is in the tree.
    pub(super) key: KeyHash,
    /// The hash of its leaf.
    pub(super) leaf: Hash,
    /// The hash of the subtree that forks between the record before and this one, lifted to below
    /// the next fork; none before it is computed first. Every fork of the page stands between
    /// exactly two neighbours, so that each has its place.
    pub(super) fork: Option<Fork>,
    /// Whether the record is new or changed, or stands beside a removed one, within one
    /// application.
    pub(super) touched: bool,
    /// Where its value ends in the page's bytes.
    pub(super) end: u32,
}

/// The hash of a subtree of several records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fork {
    /// The depth of its root.
    pub(super) depth: u16,
    pub(super) hash: Hash,
}

/// A few records in ascending order, and their values one behind the other.
#[derive(Clone, Debug, Default)]
pub(super) struct LeafPage {
    pub(super) records: Vec<Record>,
    pub(super) values: Vec<u8>,
}

impl LeafPage {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    fn find(&self, key: &KeyHash) -> Result<usize, usize> {
        self.records.binary_search_by(|record| record.key.cmp(key))
    }

    fn value_range(&self, at: usize) -> Range<usize> {
        let start = at
            .checked_sub(1)
            .map_or(0, |before| self.records[before].end);
        start as usize..self.records[at].end as usize
    }

    /// The value of a record.
    pub(super) fn value(&self, at: usize) -> &[u8] {
        &self.values[self.value_range(at)]
    }

    pub(super) fn get(&self, key: &KeyHash) -> Option<&[u8]> {
        self.find(key).ok().map(|at| self.value(at))
    }

    /// Replaces the bytes of a value and moves those behind it.
    fn set_value(&mut self, at: usize, value: &[u8]) {
        let range = self.value_range(at);
        if range.len() == value.len() {
            self.values[range].copy_from_slice(value);
            return;
        }
        let moved = |end: u32| end - range.len() as u32 + value.len() as u32;
        for record in &mut self.records[at..] {
            record.end = moved(record.end);
        }
        self.values.splice(range, value.iter().copied());
    }

    /// Makes room for the new ones among records that are about to be put, and for no more: most
    /// pages get one now and then, and to double their room would leave half of it empty.
    pub(super) fn reserve<'a>(&mut self, puts: impl Iterator<Item = (&'a KeyHash, &'a [u8])>) {
        let (mut records, mut values) = (0, 0);
        for (_, value) in puts.filter(|(key, _)| self.find(key).is_err()) {
            records += 1;
            values += value.len();
        }
        self.records.reserve_exact(records);
        self.values.reserve_exact(values);
    }

    /// Puts a record whose leaf has the hash `leaf`; gives the value that it had.
    pub(super) fn put(&mut self, key: KeyHash, leaf: Hash, value: &[u8]) -> Option<Vec<u8>> {
        let mut before = None;
        let at = match self.find(&key) {
            Ok(at) => {
                before = Some(self.value(at).to_vec());
                let record = &mut self.records[at];
                if record.leaf == leaf {
                    return before;
                }
                record.leaf = leaf;
                record.touched = true;
                at
            }
            Err(at) => {
                let end = at
                    .checked_sub(1)
                    .map_or(0, |before| self.records[before].end);
                let record = Record {
                    key,
                    leaf,
                    fork: None,
                    touched: true,
                    end,
                };
                self.records.insert(at, record);
                at
            }
        };
        self.set_value(at, value);
        before
    }

    /// Removes the record of `key`, if there is one; gives the value that it had.
    pub(super) fn remove(&mut self, key: &KeyHash) -> Option<Vec<u8>> {
        let at = self.find(key).ok()?;
        let before = self.value(at).to_vec();
        self.set_value(at, &[]);
        self.records.remove(at);
        // A subtree that had the removed record and has others left has one of its neighbours.
        for neighbour in [at.checked_sub(1), Some(at)].into_iter().flatten() {
            if let Some(record) = self.records.get_mut(neighbour) {
                record.touched = true;
            }
        }
        Some(before)
    }

    /// Parts the records by the bit of their keys at `depth`.
    pub(super) fn split(mut self, depth: usize) -> (Self, Self) {
        let at = self
            .records
            .partition_point(|record| !record.key.bit(depth));
        let base = at
            .checked_sub(1)
            .map_or(0, |before| self.records[before].end);
        let mut right = Self {
            records: self.records.split_off(at),
            values: self.values.split_off(base as usize),
        };
        for record in &mut right.records {
            record.end -= base;
        }
        self.records.shrink_to_fit();
        self.values.shrink_to_fit();
        (self, right)
    }

    /// Takes in the records of `right`, which all stand behind its own.
    pub(super) fn append(&mut self, right: &Self) {
        let base = self.values.len() as u32;
        let first = self.records.len();
        self.records.reserve_exact(right.records.len());
        self.records.extend(right.records.iter().cloned());
        for record in &mut self.records[first..] {
            record.end += base;
        }
        if let Some(record) = self.records.get_mut(first) {
            // What forks here is now another subtree.
            record.fork = None;
        }
        self.values.reserve_exact(right.values.len());
        self.values.extend_from_slice(&right.values);
    }
}
