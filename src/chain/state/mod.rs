//! The state tree: a map from key hashes to values with a root hash over all of it.
//!
//! *Owns* the pages. One structure is index, commitment and snapshot at once: a persistent tree of
//! shared pages, where a change copies the pages it touches and nothing else. A clone is a copy of
//! one pointer and of the root hash, and never changes afterwards.
//!
//! *Format*: the root is that of `docs/formats.md`, "State tree", a sparse Merkle tree in which
//! lone leaves are lifted. The division into pages shows nowhere outside:
//!
//! * an **inner page** spans four bits of the key hash: 16 references to what is below, and the 30
//!   hashes of the nodes between them and its own root, whose hash is kept by what refers to it;
//! * a **leaf page** holds at most 16 records of any table, each with the hash of its leaf. It may
//!   stand at any bit depth, and one record too many splits it by the next bit.
//!
//! *Invariants*: a subtree is a leaf page exactly when it has 1 to 16 records, so that the pages
//! are a function of the records; between two calls of [`StateTree::apply`] every stored hash is
//! true. *Never* recomputes a hash whose records are as before: the cost of a block is that of
//! the records it writes and of the pages above them, whatever else exists.
//!
//! A reference names nothing or a page in memory. A page that only the disk holds would be a
//! third case of it, resolved where the pages are walked (`Ref` in `page.rs`).

mod page;
mod plan;
mod proof;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::types::Hash;
use crate::types::state::{KeyHash, PLACEHOLDER};

pub use proof::{Outcome, Path};

use page::Ref;
use plan::Plan;

/// What an application of writes cost: the measure of how the tree grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// How many hashes were computed, those of the values among them.
    pub hashes: u64,
    /// How many pages were changed or made.
    pub pages: u64,
}

/// The records of the state under their root hash. A clone costs nothing and stays as it is.
#[derive(Clone, Debug)]
pub struct StateTree {
    root: Ref,
    hash: Hash,
}

impl Default for StateTree {
    fn default() -> Self {
        Self::new()
    }
}

impl StateTree {
    /// The tree without records.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            root: Ref::Empty,
            hash: PLACEHOLDER,
        }
    }

    /// The root hash.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.hash
    }

    /// The value under `key`.
    #[must_use]
    pub fn get(&self, key: &KeyHash) -> Option<&[u8]> {
        let mut reference = &self.root;
        let mut depth = 0;
        loop {
            match reference {
                Ref::Empty => return None,
                Ref::Leaf(page) => return page.get(key),
                Ref::Inner(page) => {
                    reference = page.below(key, depth);
                    depth += page::SPAN;
                }
            }
        }
    }

    /// Puts the values of `writes`, removes where there is none, and computes the new root.
    pub fn apply(&mut self, writes: &BTreeMap<KeyHash, Option<Vec<u8>>>) -> Cost {
        let mut cost = Cost::default();
        let writes = write::prepare(writes, &mut cost);
        if writes.is_empty() {
            return cost;
        }
        write::write_slot(&mut self.root, 0, &writes, &mut cost);
        let mut plan = Plan::default();
        let root = plan.collect(&mut self.root, 0);
        let hashes = plan.compute(&mut cost);
        self.hash = hashes.resolve(root);
        hashes.store(&mut self.root);
        cost
    }

    /// What shows which value is under `key`, or that there is none.
    #[must_use]
    pub fn prove(&self, key: &KeyHash) -> Path {
        proof::prove(&self.root, key)
    }
}
