//! Changing records, and keeping the division into pages.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use crate::types::Hash;
use crate::types::state::{KeyHash, leaf_hashes, value_hashes};

use super::Cost;
use super::page::{
    InnerPage, LEAF_RECORDS_MAX, LeafPage, Nodes, ROOT_NODE, Ref, SLOT_NODES, slots,
};

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

impl LeafPage {
    fn write(&mut self, writes: &[Write<'_>]) {
        for write in writes {
            match write.value {
                Some((value, leaf)) => self.put(write.key, leaf, value),
                None => self.remove(&write.key),
            }
        }
    }
}

/// Writes below a reference at `depth` that has no inner page above it in its four bits: one of a
/// page's 16, or the tree's root.
pub(super) fn write_slot(below: &mut Ref, depth: usize, writes: &[Write<'_>], cost: &mut Cost) {
    if let Ref::Inner(page) = below {
        cost.pages += 1;
        let page = Arc::make_mut(page);
        write_node(page, ROOT_NODE, depth, writes, cost);
        if !page.is_occupied(ROOT_NODE) || page.leaves.contains(ROOT_NODE) {
            // So few records are left that they need no inner page.
            *below = mem::replace(&mut page.refs[0], Ref::Empty);
        }
        return;
    }
    write_leaf(below, writes, cost);
    if let Some(records) = take_overfull(below) {
        cost.pages += 1;
        let mut page = InnerPage::new();
        place(&mut page, ROOT_NODE, depth, records, cost);
        *below = Ref::Inner(Arc::new(page));
    }
}

/// Writes to the leaf page of a place that has one or nothing, however many records it gets.
fn write_leaf(below: &mut Ref, writes: &[Write<'_>], cost: &mut Cost) {
    cost.pages += 1;
    if let Ref::Empty = below {
        *below = Ref::Leaf(Arc::default());
    }
    if let Ref::Leaf(page) = below {
        let page = Arc::make_mut(page);
        page.write(writes);
        if page.len() == 0 {
            *below = Ref::Empty;
        }
    }
}

/// Takes away a leaf page that has more records than it may.
fn take_overfull(below: &mut Ref) -> Option<LeafPage> {
    match below {
        Ref::Leaf(page) if page.len() > LEAF_RECORDS_MAX => {
            let page = mem::take(Arc::make_mut(page));
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
    cost: &mut Cost,
) {
    if writes.is_empty() {
        return;
    }
    page.stale.insert(node);
    let slot = slots(node).start;
    let is_leaf = page.leaves.contains(node);
    if is_leaf || !page.is_occupied(node) {
        write_leaf(&mut page.refs[slot], writes, cost);
        settle(page, node, depth, cost);
    } else if node >= SLOT_NODES {
        write_slot(&mut page.refs[slot], depth, writes, cost);
        settle(page, node, depth, cost);
    } else {
        let right = writes.partition_point(|write| !write.key.bit(depth));
        write_node(page, node * 2, depth + 1, &writes[..right], cost);
        write_node(page, node * 2 + 1, depth + 1, &writes[right..], cost);
        join(page, node);
    }
}

/// Brings the division into pages in order where `node`'s first reference was written to.
fn settle(page: &mut InnerPage, node: usize, depth: usize, cost: &mut Cost) {
    let slot = slots(node).start;
    if let Some(records) = take_overfull(&mut page.refs[slot]) {
        place(page, node, depth, records, cost);
    } else if let Ref::Leaf(_) = page.refs[slot] {
        page.leaves.insert(node);
    } else {
        page.leaves.remove(node);
    }
}

/// Puts records below a node at `depth` that has none.
fn place(page: &mut InnerPage, node: usize, depth: usize, records: LeafPage, cost: &mut Cost) {
    page.leaves.remove(node);
    page.stale.insert(node);
    let slot = slots(node).start;
    if records.len() == 0 {
        return;
    }
    if records.len() <= LEAF_RECORDS_MAX {
        cost.pages += 1;
        page.leaves.insert(node);
        page.refs[slot] = Ref::Leaf(Arc::new(records));
    } else if node < SLOT_NODES {
        let (left, right) = records.split(depth);
        place(page, node * 2, depth + 1, left, cost);
        place(page, node * 2 + 1, depth + 1, right, cost);
    } else {
        cost.pages += 1;
        let mut inner = InnerPage::new();
        place(&mut inner, ROOT_NODE, depth, records, cost);
        page.refs[slot] = Ref::Inner(Arc::new(inner));
    }
}

/// Makes one leaf page of the children of `node` where their records fit into one.
fn join(page: &mut InnerPage, node: usize) {
    let few = |page: &InnerPage, node: usize| match &page.refs[slots(node).start] {
        Ref::Leaf(leaf) if page.leaves.contains(node) => Some(leaf.len()),
        _ if page.is_occupied(node) => None,
        _ => Some(0),
    };
    let (left, right) = (node * 2, node * 2 + 1);
    let (Some(in_left), Some(in_right)) = (few(page, left), few(page, right)) else {
        return;
    };
    if in_left + in_right > LEAF_RECORDS_MAX {
        return;
    }
    page.leaves.remove_all(Nodes::below(node));
    page.stale.remove_all(Nodes::below(node));
    let right = mem::replace(&mut page.refs[slots(right).start], Ref::Empty);
    let left = &mut page.refs[slots(left).start];
    match (&mut *left, right) {
        (Ref::Leaf(left), Ref::Leaf(right)) => Arc::make_mut(left).append(&right),
        (Ref::Empty, right) => *left = right,
        _ => {}
    }
    if page.is_occupied(node) {
        page.leaves.insert(node);
    }
}
