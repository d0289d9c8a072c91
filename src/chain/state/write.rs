//! Changing records, and keeping the division into pages.
//!
//! A page that only the disk holds is read where a write goes through it, or where its few records
//! join those beside it. From then on it is one in memory, and its bytes on the disk are dead for
//! this tree.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use crate::types::Hash;
use crate::types::state::{KeyHash, leaf_hashes, value_hashes};

use super::bytes::{INNER_SIZE, read_page};
use super::live::Live;
use super::page::{
    InnerPage, LEAF_RECORDS_MAX, LeafPage, Nodes, ROOT_NODE, Ref, SLOT_NODES, Stored, level,
    node_prefix, slots,
};
use super::source::{PageError, Source};
use super::{Before, Cost};

/// One change: a value and the hash of its leaf, or nothing to remove what is there.
pub(super) struct Write<'a> {
    key: KeyHash,
    value: Option<(&'a [u8], Hash)>,
}

/// Hashes all leaves in one batch, because no leaf depends on where it stands.
pub(super) fn prepare<'a>(
    writes: &'a BTreeMap<KeyHash, Option<Vec<u8>>>,
    cost: &mut Cost,
) -> Vec<Write<'a>> {
    let values: Vec<&[u8]> = writes.values().flatten().map(Vec::as_slice).collect();
    let keys = writes
        .iter()
        .filter(|(_, value)| value.is_some())
        .map(|(key, _)| key);
    let leaves = keys.zip(value_hashes(&values)).map(|(key, value)| {
        let mut leaf = [0; 64];
        leaf[..32].copy_from_slice(&key.0);
        leaf[32..].copy_from_slice(&value.0);
        leaf
    });
    let leaves = leaf_hashes(&leaves.collect::<Vec<_>>());
    cost.hashes += 2 * leaves.len() as u64;
    let mut leaves = leaves.into_iter();
    let prepared = writes.iter().map(|(key, value)| Write {
        key: *key,
        value: value
            .as_deref()
            .zip(value.as_ref().and_then(|_| leaves.next())),
    });
    prepared.collect()
}

/// One application of writes to a tree.
pub(super) struct Writing<'a> {
    pub(super) source: &'a Source,
    pub(super) cost: Cost,
    /// What the pages in memory would take in the log.
    pub(super) changed: u64,
    /// The bytes on the disk that the tree still refers to.
    pub(super) live: Live,
    /// The values that the written keys had.
    pub(super) before: Before,
}

impl Writing<'_> {
    /// Reads a page that only the disk holds. It is at `depth` on the way to `key`.
    fn load(&mut self, below: &mut Ref, key: &KeyHash, depth: usize) -> Result<(), PageError> {
        let Ref::Disk(stored) = *below else {
            return Ok(());
        };
        let (page, size) = load_page(self.source, stored, key, depth)?;
        self.live.remove(stored.at, size);
        self.changed += size;
        *below = page;
        Ok(())
    }

    fn write_records(&mut self, page: &mut LeafPage, writes: &[Write<'_>]) {
        self.changed -= page_size(page);
        let puts = writes.iter();
        page.reserve(puts.filter_map(|write| Some((&write.key, write.value?.0))));
        for write in writes {
            let before = match write.value {
                Some((value, leaf)) => page.put(write.key, leaf, value),
                None => page.remove(&write.key),
            };
            self.before.push((write.key, before));
        }
        self.changed += page_size(page);
    }
}

/// What a leaf page takes in the log; one without records is about to go.
fn page_size(page: &LeafPage) -> u64 {
    if page.len() == 0 { 0 } else { page.size() }
}

/// A page that only the disk holds, and what its record takes in the log.
pub(super) fn load_page(
    source: &Source,
    stored: Stored,
    key: &KeyHash,
    depth: usize,
) -> Result<(Ref, u64), PageError> {
    let page = source.page(stored.at, |bytes| read_page(bytes, stored, key, depth))?;
    let size = match &page {
        Ref::Leaf(page) => page.size(),
        _ => INNER_SIZE,
    };
    Ok((page, size))
}

/// Writes below a reference at `depth` that has no inner page above it in its four bits: one of a
/// page's 16, or the tree's root.
pub(super) fn write_slot(
    below: &mut Ref,
    depth: usize,
    writes: &[Write<'_>],
    walk: &mut Writing<'_>,
) -> Result<(), PageError> {
    if let Some(first) = writes.first() {
        walk.load(below, &first.key, depth)?;
    }
    if let Ref::Inner(page) = below {
        walk.cost.pages += 1;
        let page = Arc::make_mut(page);
        write_node(page, ROOT_NODE, depth, writes, walk)?;
        if !page.is_occupied(ROOT_NODE) || page.leaves.contains(ROOT_NODE) {
            // So few records are left that they need no inner page.
            *below = mem::replace(&mut page.refs[0], Ref::Empty);
            walk.changed -= INNER_SIZE;
        }
        return Ok(());
    }
    write_leaf(below, depth, writes, walk)?;
    if let Some(records) = take_overfull(below, walk) {
        walk.cost.pages += 1;
        walk.changed += INNER_SIZE;
        let mut page = InnerPage::new();
        place(&mut page, ROOT_NODE, depth, records, walk);
        *below = Ref::Inner(Arc::new(page));
    }
    Ok(())
}

/// Writes to the leaf page of a place that has one or nothing, however many records it gets.
fn write_leaf(
    below: &mut Ref,
    depth: usize,
    writes: &[Write<'_>],
    walk: &mut Writing<'_>,
) -> Result<(), PageError> {
    walk.cost.pages += 1;
    if let Some(first) = writes.first() {
        walk.load(below, &first.key, depth)?;
    }
    if let Ref::Empty = below {
        *below = Ref::Leaf(Arc::default());
    }
    if let Ref::Leaf(page) = below {
        let page = Arc::make_mut(page);
        walk.write_records(page, writes);
        if page.len() == 0 {
            *below = Ref::Empty;
        }
    }
    Ok(())
}

/// Takes away a leaf page that has more records than it may.
fn take_overfull(below: &mut Ref, walk: &mut Writing<'_>) -> Option<LeafPage> {
    match below {
        Ref::Leaf(page) if page.len() > LEAF_RECORDS_MAX => {
            let page = mem::take(Arc::make_mut(page));
            walk.changed -= page.size();
            *below = Ref::Empty;
            Some(page)
        }
        _ => None,
    }
}

/// Writes below a node of an inner page. The node is at `depth`.
fn write_node(
    page: &mut InnerPage,
    node: usize,
    depth: usize,
    writes: &[Write<'_>],
    walk: &mut Writing<'_>,
) -> Result<(), PageError> {
    let Some(first) = writes.first() else {
        return Ok(());
    };
    page.stale.insert(node);
    let slot = slots(node).start;
    let is_leaf = page.leaves.contains(node);
    if is_leaf || !page.is_occupied(node) {
        write_leaf(&mut page.refs[slot], depth, writes, walk)?;
        settle(page, node, depth, walk);
    } else if node >= SLOT_NODES {
        write_slot(&mut page.refs[slot], depth, writes, walk)?;
        settle(page, node, depth, walk);
    } else {
        let right = writes.partition_point(|write| !write.key.bit(depth));
        write_node(page, node * 2, depth + 1, &writes[..right], walk)?;
        write_node(page, node * 2 + 1, depth + 1, &writes[right..], walk)?;
        join(page, node, &first.key, depth, walk)?;
    }
    Ok(())
}

/// Brings the division into pages in order where `node`'s first reference was written to.
fn settle(page: &mut InnerPage, node: usize, depth: usize, walk: &mut Writing<'_>) {
    let slot = slots(node).start;
    if let Some(records) = take_overfull(&mut page.refs[slot], walk) {
        place(page, node, depth, records, walk);
    } else if let Ref::Leaf(_) = page.refs[slot] {
        page.leaves.insert(node);
    } else {
        page.leaves.remove(node);
    }
}

/// Puts records below a node at `depth` that has none.
fn place(
    page: &mut InnerPage,
    node: usize,
    depth: usize,
    records: LeafPage,
    walk: &mut Writing<'_>,
) {
    page.leaves.remove(node);
    page.stale.insert(node);
    let slot = slots(node).start;
    if records.len() == 0 {
        return;
    }
    if records.len() <= LEAF_RECORDS_MAX {
        walk.cost.pages += 1;
        walk.changed += records.size();
        page.leaves.insert(node);
        page.refs[slot] = Ref::Leaf(Arc::new(records));
    } else if node < SLOT_NODES {
        let (left, right) = records.split(depth);
        place(page, node * 2, depth + 1, left, walk);
        place(page, node * 2 + 1, depth + 1, right, walk);
    } else {
        walk.cost.pages += 1;
        walk.changed += INNER_SIZE;
        let mut inner = InnerPage::new();
        place(&mut inner, ROOT_NODE, depth, records, walk);
        page.refs[slot] = Ref::Inner(Arc::new(inner));
    }
}

/// Makes one leaf page of the children of `node` where their records fit into one. The node is at
/// `depth` on the way to `key`.
fn join(
    page: &mut InnerPage,
    node: usize,
    key: &KeyHash,
    depth: usize,
    walk: &mut Writing<'_>,
) -> Result<(), PageError> {
    let few = |page: &InnerPage, node: usize| {
        if page.leaves.contains(node) {
            page.refs[slots(node).start].few()
        } else {
            (!page.is_occupied(node)).then_some(0)
        }
    };
    let children = [node * 2, node * 2 + 1];
    let [Some(in_left), Some(in_right)] = children.map(|child| few(page, child)) else {
        return Ok(());
    };
    if in_left + in_right > LEAF_RECORDS_MAX {
        return Ok(());
    }
    // What stays of them stands at another node from now on.
    for child in children {
        let (key, depth) = node_prefix(key, depth - level(node), child);
        walk.load(&mut page.refs[slots(child).start], &key, depth)?;
    }
    let [left, right] = children;
    page.leaves.remove_all(Nodes::below(node));
    page.stale.remove_all(Nodes::below(node));
    let right = mem::replace(&mut page.refs[slots(right).start], Ref::Empty);
    let left = &mut page.refs[slots(left).start];
    match (&mut *left, right) {
        (Ref::Leaf(left), Ref::Leaf(right)) => {
            walk.changed -= left.size() + right.size();
            let left = Arc::make_mut(left);
            left.append(&right);
            walk.changed += left.size();
        }
        (Ref::Empty, right) => *left = right,
        _ => {}
    }
    if page.is_occupied(node) {
        page.leaves.insert(node);
    }
    Ok(())
}
