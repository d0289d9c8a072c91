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
//! A page is in memory or on the disk. One that was made or changed since the last checkpoint is
//! in memory; a [`PageCursor`] writes those to the state log while the tree lives on, and then
//! [`Written`] lets go of them. What only the disk holds is read where a walk comes to it, and a
//! page that can't be read is a [`PageError`]: it says nothing about a block or a peer.

mod bytes;
mod cursor;
mod live;
mod page;
mod plan;
mod proof;
mod source;
mod write;
mod written;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::Lsn;
use crate::types::Hash;
use crate::types::state::{KeyHash, PLACEHOLDER};

pub use cursor::{PageCursor, STEP_BYTES};
pub use live::Live;
pub use proof::{Outcome, Path};
pub use source::{PageError, PageFailure, PageSource};
pub use written::Written;

use bytes::{Found, look_up};
use page::{Ref, Stored};
use plan::Plan;
use source::Source;
use write::Writing;

/// The values that keys had before they were written to; none where there was none. Written
/// again, they bring the tree back to where it was.
pub type Before = Vec<(KeyHash, Option<Vec<u8>>)>;

/// What an application of writes cost: the measure of how the tree grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// How many hashes were computed, those of the values among them.
    pub hashes: u64,
    /// How many pages were changed or made.
    pub pages: u64,
}

/// What came of an application of writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// What it cost.
    pub cost: Cost,
    /// The way back.
    pub before: Before,
}

/// The records of the state under their root hash. A clone costs nothing and stays as it is.
#[derive(Clone, Debug)]
pub struct StateTree {
    root: Ref,
    hash: Hash,
    source: Source,
    /// What the pages on the disk take there.
    live: Live,
    /// What the pages in memory would take there.
    changed: u64,
}

impl Default for StateTree {
    fn default() -> Self {
        Self::new()
    }
}

impl StateTree {
    /// The tree without records.
    #[must_use]
    pub fn new() -> Self {
        Self {
            root: Ref::Empty,
            hash: PLACEHOLDER,
            source: Source::none(),
            live: Live::default(),
            changed: 0,
        }
    }

    /// The tree with this root hash that a state log has. Its root page stands at `root`, with so
    /// many records if it is a leaf page; an empty tree has none. That page is read, and must have
    /// the hash; those below it are read when they are needed.
    pub fn open(
        hash: Hash,
        root: Option<(Lsn, u8)>,
        live: Live,
        pages: Arc<dyn PageSource>,
    ) -> Result<Self, PageError> {
        let source = Source::of(pages);
        let root = root.map(|(at, records)| Stored { at, records });
        let found = proof::root_hash(&source, root)?;
        if found != hash {
            return Err(PageError {
                at: root.map_or(Lsn::new(0), |root| root.at),
                why: PageFailure::Malformed("it has another root hash"),
            });
        }
        Ok(Self {
            root: root.map_or(Ref::Empty, Ref::Disk),
            hash,
            source,
            live,
            changed: 0,
        })
    }

    /// The root hash.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.hash
    }

    /// What the pages in memory would take in the state log. It depends on what was written since
    /// a checkpoint, and on nothing else.
    #[must_use]
    pub const fn changed_bytes(&self) -> u64 {
        self.changed
    }

    /// What the pages on the disk take there, segment by segment.
    #[must_use]
    pub const fn live(&self) -> &Live {
        &self.live
    }

    /// The value under `key`.
    pub fn get(&self, key: &KeyHash) -> Result<Option<Vec<u8>>, PageError> {
        self.read(key, |value| Ok(value.to_vec()))
    }

    /// What `read` makes of the value under `key`. That it makes nothing of it is a failure of the
    /// page: what the chain wrote can be read.
    pub fn read<T>(
        &self,
        key: &KeyHash,
        read: impl Fn(&[u8]) -> Result<T, &'static str>,
    ) -> Result<Option<T>, PageError> {
        let mut below = &self.root;
        let mut depth = 0;
        loop {
            match below {
                Ref::Empty => return Ok(None),
                Ref::Leaf(page) => {
                    let value = page.get(key).map(read).transpose();
                    return value.map_err(PageError::in_memory);
                }
                Ref::Inner(page) => {
                    let node = page.node_of(key, depth);
                    below = &page.refs[page::slots(node).start];
                    depth += page::level(node);
                }
                Ref::Disk(stored) => return self.read_from_disk(*stored, key, depth, read),
            }
        }
    }

    fn read_from_disk<T>(
        &self,
        mut stored: Stored,
        key: &KeyHash,
        mut depth: usize,
        read: impl Fn(&[u8]) -> Result<T, &'static str>,
    ) -> Result<Option<T>, PageError> {
        loop {
            let look_up = |bytes: &[u8]| look_up(bytes, stored, key, depth, &read);
            match self.source.page(stored.at, look_up)? {
                Found::Nothing => return Ok(None),
                Found::Value(value) => return Ok(Some(value)),
                Found::Below { node, page } => {
                    depth += page::level(node);
                    stored = page;
                }
            }
        }
    }

    /// Puts the values of `writes`, removes where there is none, and computes the new root. After
    /// an error the tree is as it was.
    pub fn apply(
        &mut self,
        writes: &BTreeMap<KeyHash, Option<Vec<u8>>>,
    ) -> Result<Applied, PageError> {
        let mut cost = Cost::default();
        let writes = write::prepare(writes, &mut cost);
        let mut root = self.root.clone();
        let mut walk = Writing {
            source: &self.source,
            cost,
            changed: self.changed,
            live: self.live.clone(),
            before: Vec::with_capacity(writes.len()),
        };
        if !writes.is_empty() {
            write::write_slot(&mut root, 0, &writes, &mut walk)?;
            let mut plan = Plan::for_writes(writes.len());
            let planned = plan.collect(&mut root, 0);
            let hashes = plan.compute(&mut walk.cost);
            self.hash = hashes.resolve(planned);
            hashes.store(&mut root);
        }
        let Writing {
            cost,
            changed,
            live,
            before,
            ..
        } = walk;
        (self.root, self.changed, self.live) = (root, changed, live);
        Ok(Applied { cost, before })
    }

    /// What shows which value is under `key`, or that there is none.
    pub fn prove(&self, key: &KeyHash) -> Result<Path, PageError> {
        proof::prove(&self.source, &self.root, key)
    }
}
