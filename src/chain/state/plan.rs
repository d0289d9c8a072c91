//! Hashing what changed, many nodes at a time.
//!
//! After a block's writes the nodes to hash again are collected in one walk, each with the nodes
//! it waits for. Then they are hashed in rounds, a round being all whose children are known, and a
//! second walk of the same pages in the same order puts the results in their places.

use std::sync::Arc;

use crate::types::Hash;
use crate::types::state::{PLACEHOLDER, inner_hashes};

use super::Cost;
use super::page::{
    Fork, InnerPage, LeafPage, NODES, Nodes, ROOT_NODE, Record, Ref, SLOT_NODES, level, slots,
};

const CHANGED: &str = "a page that changed is in memory";

/// The hash of a subtree, or which of the planned ones it will be.
#[derive(Clone, Copy)]
pub(super) enum Operand {
    /// It is this.
    Known(Hash),
    /// It is the hash with this number, computed in this round.
    Planned { number: u32, round: u32 },
}

/// Where a result goes in a page: the node of an inner page, or the record of a leaf page and the
/// depth of the subtree.
struct Place {
    at: u8,
    depth: u16,
    hash: Operand,
}

/// Nodes to hash.
pub(super) struct Plan {
    /// The children of each node, as far as they are known.
    children: Vec<[u8; 64]>,
    /// The node that waits for each one: twice its number, plus 1 where it is the right child.
    waiting: Vec<Option<u32>>,
    /// The nodes of each round.
    rounds: Vec<Vec<u32>>,
    /// Where the results go, page by page in the order of the walk.
    places: Vec<Place>,
    /// How many of the places each page has.
    pages: Vec<u8>,
}

/// Nodes to hash for each record written, as many as there are in a tree of some 100,000 records:
/// room for them from the start, because to grow means to copy all that is planned.
const NODES_PER_WRITE: usize = 6;

impl Plan {
    /// An empty plan for an application of so many writes.
    pub(super) fn for_writes(writes: usize) -> Self {
        let nodes = writes * NODES_PER_WRITE;
        Self {
            children: Vec::with_capacity(nodes),
            waiting: Vec::with_capacity(nodes),
            rounds: Vec::new(),
            places: Vec::with_capacity(nodes),
            pages: Vec::with_capacity(writes),
        }
    }

    /// Plans the hash of an inner node.
    fn node(&mut self, left: Operand, right: Operand) -> Operand {
        let number = self.children.len() as u32;
        let mut children = [0; 64];
        let mut round = 0;
        for (side, child) in [left, right].into_iter().enumerate() {
            match child {
                Operand::Known(hash) => children[side * 32..][..32].copy_from_slice(&hash.0),
                Operand::Planned {
                    number: child,
                    round: of_child,
                } => {
                    self.waiting[child as usize] = Some(number * 2 + side as u32);
                    round = round.max(of_child + 1);
                }
            }
        }
        self.children.push(children);
        self.waiting.push(None);
        if self.rounds.len() <= round as usize {
            self.rounds.push(Vec::new());
        }
        self.rounds[round as usize].push(number);
        Operand::Planned { number, round }
    }

    /// Plans the hash of the subtree at `depth` below a reference of which something changed.
    pub(super) fn collect(&mut self, below: &mut Ref, depth: usize) -> Operand {
        match below {
            Ref::Empty => Operand::Known(PLACEHOLDER),
            Ref::Leaf(page) => self.leaf_page(page, depth),
            Ref::Inner(page) => self.inner_page(Arc::make_mut(page), depth),
            Ref::Disk(_) => unreachable!("{CHANGED}"),
        }
    }

    fn inner_page(&mut self, page: &mut InnerPage, depth: usize) -> Operand {
        let mut hashes: [Option<Operand>; NODES] = [None; NODES];
        for node in pages_below(page) {
            let below = &mut page.refs[slots(node).start];
            hashes[node] = Some(self.collect(below, depth + level(node)));
        }
        let first = self.places.len();
        for node in (ROOT_NODE..NODES).rev() {
            if !page.stale.contains(node) {
                continue;
            }
            let hash = match hashes[node] {
                Some(hash) => hash,
                None if !page.is_occupied(node) => Operand::Known(PLACEHOLDER),
                None => {
                    let child = |node: usize| {
                        hashes[node].unwrap_or_else(|| Operand::Known(*page.hash(node)))
                    };
                    self.node(child(node * 2), child(node * 2 + 1))
                }
            };
            hashes[node] = Some(hash);
            if node != ROOT_NODE {
                self.places.push(Place {
                    at: node as u8,
                    depth: 0,
                    hash,
                });
            }
        }
        self.pages.push((self.places.len() - first) as u8);
        hashes[ROOT_NODE].expect("a page of which something changed has a stale root")
    }

    fn leaf_page(&mut self, page: &LeafPage, depth: usize) -> Operand {
        let first = self.places.len();
        let hash = self.subtree(&page.records, 0, depth);
        self.pages.push((self.places.len() - first) as u8);
        hash
    }

    /// Plans the hash of the subtree at `depth` of some records of a leaf page, of which the first
    /// is number `base`.
    fn subtree(&mut self, records: &[Record], base: usize, depth: usize) -> Operand {
        let [first, .., last] = records else {
            return Operand::Known(records[0].leaf);
        };
        let forks_at = first.key.shared_bits(&last.key);
        let right = records.partition_point(|record| !record.key.bit(forks_at));
        let touched = records.iter().any(|record| record.touched);
        // A stored hash that is lifted less far than needed is lifted further from there.
        let (mut hash, from) = match records[right].fork {
            Some(fork) if !touched && usize::from(fork.depth) == depth => {
                return Operand::Known(fork.hash);
            }
            Some(fork) if !touched && usize::from(fork.depth) > depth => {
                (Operand::Known(fork.hash), usize::from(fork.depth))
            }
            _ => {
                let left = self.subtree(&records[..right], base, forks_at + 1);
                let right = self.subtree(&records[right..], base + right, forks_at + 1);
                (self.node(left, right), forks_at)
            }
        };
        let empty = Operand::Known(PLACEHOLDER);
        for lifted in (depth..from).rev() {
            hash = if first.key.bit(lifted) {
                self.node(empty, hash)
            } else {
                self.node(hash, empty)
            };
        }
        self.places.push(Place {
            at: (base + right) as u8,
            depth: depth as u16,
            hash,
        });
        hash
    }

    /// Hashes what was planned.
    pub(super) fn compute(self, cost: &mut Cost) -> Hashes {
        let Self {
            mut children,
            waiting,
            rounds,
            places,
            pages,
        } = self;
        let mut hashes = vec![Hash::ZERO; children.len()];
        cost.hashes += children.len() as u64;
        let mut batch = Vec::new();
        for round in rounds {
            batch.clear();
            batch.extend(round.iter().map(|number| children[*number as usize]));
            for (number, hash) in round.into_iter().zip(inner_hashes(&batch)) {
                if let Some(waiting) = waiting[number as usize] {
                    let side = (waiting % 2) as usize * 32;
                    children[(waiting / 2) as usize][side..][..32].copy_from_slice(&hash.0);
                }
                hashes[number as usize] = hash;
            }
        }
        Hashes {
            hashes,
            places,
            pages,
        }
    }
}

/// The nodes of a page that other pages stand at in which something changed.
fn pages_below(page: &InnerPage) -> impl Iterator<Item = usize> + use<> {
    let (stale, leaves): (Nodes, Nodes) = (page.stale, page.leaves);
    let inner: [bool; 16] = std::array::from_fn(|slot| matches!(page.refs[slot], Ref::Inner(_)));
    (ROOT_NODE + 1..NODES).filter(move |node| {
        let is_inner = *node >= SLOT_NODES && inner[node - SLOT_NODES];
        stale.contains(*node) && (leaves.contains(*node) || is_inner)
    })
}

fn next_count(pages: &mut std::slice::Iter<'_, u8>) -> usize {
    usize::from(*pages.next().expect("both walks meet the same pages"))
}

/// The results of a plan.
pub(super) struct Hashes {
    hashes: Vec<Hash>,
    places: Vec<Place>,
    pages: Vec<u8>,
}

impl Hashes {
    /// The hash that an operand stood for.
    pub(super) fn resolve(&self, operand: Operand) -> Hash {
        match operand {
            Operand::Known(hash) => hash,
            Operand::Planned { number, .. } => self.hashes[number as usize],
        }
    }

    /// Puts the results in their places below the reference that the plan was collected from.
    pub(super) fn store(&self, below: &mut Ref) {
        let mut places = self.places.iter();
        let mut pages = self.pages.iter();
        self.store_below(below, &mut places, &mut pages);
    }

    fn store_below(
        &self,
        below: &mut Ref,
        places: &mut std::slice::Iter<'_, Place>,
        pages: &mut std::slice::Iter<'_, u8>,
    ) {
        match below {
            Ref::Empty => {}
            Ref::Disk(_) => unreachable!("{CHANGED}"),
            Ref::Leaf(page) => {
                let page = Arc::make_mut(page);
                for place in places.by_ref().take(next_count(pages)) {
                    page.records[usize::from(place.at)].fork = Some(Fork {
                        depth: place.depth,
                        hash: self.resolve(place.hash),
                    });
                }
                for record in &mut page.records {
                    record.touched = false;
                }
            }
            Ref::Inner(page) => {
                let page = Arc::make_mut(page);
                for node in pages_below(page) {
                    self.store_below(&mut page.refs[slots(node).start], places, pages);
                }
                for place in places.by_ref().take(next_count(pages)) {
                    page.set_hash(usize::from(place.at), self.resolve(place.hash));
                }
                page.stale = Nodes::default();
            }
        }
    }
}
