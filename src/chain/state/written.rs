//! Letting trees go of the pages that the state log has.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::Lsn;

use super::StateTree;
use super::live::Live;
use super::page::{InnerPage, Ref, Stored};
use super::source::{PageSource, Source};

/// Where a page in memory was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) stored: Stored,
    pub(super) size: u64,
}

/// Where a page of the log was written again.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    pub(super) to: Placed,
    /// What its old record takes.
    pub(super) old_size: u64,
    /// The old positions of the pages below it that moved as well.
    pub(super) below: Vec<Lsn>,
}

/// A tree that the state log has whole.
#[derive(Debug)]
pub struct Written {
    pub(super) root: Option<Stored>,
    pub(super) live: Live,
    /// Pages that were in memory, by their address: it is theirs for as long as `tree` holds them.
    pub(super) placed: BTreeMap<usize, Placed>,
    /// Pages that travelled, by their old positions.
    pub(super) moved: BTreeMap<Lsn, Moved>,
    pub(super) tree: StateTree,
}

/// Inner pages that were swapped, each with what stands in its place, by its address: that is its
/// own for as long as it is held here.
type Swapped = BTreeMap<usize, [Arc<InnerPage>; 2]>;

impl Written {
    /// Where the root page stands, and how many records it has if it is a leaf page; nothing of an
    /// empty tree.
    #[must_use]
    pub fn root(&self) -> Option<(Lsn, u8)> {
        self.root.map(|root| (root.at, root.records))
    }

    /// The bytes of the log that the tree uses.
    #[must_use]
    pub const fn live(&self) -> &Live {
        &self.live
    }

    /// The tree as the log has it, with nothing in memory.
    #[must_use]
    pub fn tree(&self, pages: Arc<dyn PageSource>) -> StateTree {
        let mut tree = self.tree.clone();
        self.swap([(&mut tree, pages)]);
        tree
    }

    /// Lets trees go of every page that the log has now. To be called when it is durable; the
    /// pages beside each tree must show what was written, and what the tree referred to before.
    /// What the trees shared they share afterwards.
    pub fn swap<'a>(
        &self,
        trees: impl IntoIterator<Item = (&'a mut StateTree, Arc<dyn PageSource>)>,
    ) {
        let mut swapped = Swapped::new();
        for (tree, pages) in trees {
            let mut live = tree.live.clone();
            if live.segment_size() == 0 {
                live = Live::new(self.live.segment_size());
            }
            let root = self.swap_below(&tree.root, &mut swapped, &mut live, &mut tree.changed);
            if let Some(root) = root {
                tree.root = root;
            }
            tree.live = live;
            tree.source = Source::of(pages);
        }
    }

    /// What a reference is to be from now on, if not what it is. Every tree is walked, because its
    /// bytes are counted; what one before it shares is not made twice.
    fn swap_below(
        &self,
        below: &Ref,
        swapped: &mut Swapped,
        live: &mut Live,
        changed: &mut u64,
    ) -> Option<Ref> {
        match below {
            Ref::Empty => None,
            Ref::Disk(stored) => {
                let moved = self.moved.get(&stored.at)?;
                self.count_moved(stored.at, moved, live);
                Some(Ref::Disk(moved.to.stored))
            }
            Ref::Leaf(page) => {
                let placed = self.placed.get(&(Arc::as_ptr(page) as usize))?;
                self.count_placed(below, live, changed);
                Some(Ref::Disk(placed.stored))
            }
            Ref::Inner(page) => {
                let address = Arc::as_ptr(page) as usize;
                if let Some(placed) = self.placed.get(&address) {
                    self.count_placed(below, live, changed);
                    return Some(Ref::Disk(placed.stored));
                }
                let before = swapped.get(&address).map(|[_, new]| Arc::clone(new));
                let mut made: Option<Arc<InnerPage>> = None;
                for slot in 0..page.refs.len() {
                    let new = self.swap_below(&page.refs[slot], swapped, live, changed);
                    if let Some(new) = new.filter(|_| before.is_none()) {
                        let page = made.get_or_insert_with(|| Arc::clone(page));
                        Arc::make_mut(page).refs[slot] = new;
                    }
                }
                if let Some(new) = &made {
                    swapped.insert(address, [Arc::clone(page), Arc::clone(new)]);
                }
                before.or(made).map(Ref::Inner)
            }
        }
    }

    /// Counts a page that leaves memory, and everything below it, as bytes of the log.
    fn count_placed(&self, below: &Ref, live: &mut Live, changed: &mut u64) {
        match below {
            Ref::Empty => {}
            Ref::Disk(stored) => {
                if let Some(moved) = self.moved.get(&stored.at) {
                    self.count_moved(stored.at, moved, live);
                }
            }
            Ref::Leaf(page) => self.count(Arc::as_ptr(page) as usize, live, changed),
            Ref::Inner(page) => {
                self.count(Arc::as_ptr(page) as usize, live, changed);
                for below in &page.refs {
                    self.count_placed(below, live, changed);
                }
            }
        }
    }

    fn count(&self, address: usize, live: &mut Live, changed: &mut u64) {
        if let Some(placed) = self.placed.get(&address) {
            live.add(placed.stored.at, placed.size);
            *changed -= placed.size;
        }
    }

    fn count_moved(&self, old: Lsn, moved: &Moved, live: &mut Live) {
        live.remove(old, moved.old_size);
        live.add(moved.to.stored.at, moved.to.size);
        for below in &moved.below {
            if let Some(moved) = self.moved.get(below) {
                self.count_moved(*below, moved, live);
            }
        }
    }
}
