//! Writing a tree to the state log, and letting go of what was written.
//!
//! A [`PageCursor`] walks a clone of a tree, which nobody changes, and makes records of the pages
//! that the log lacks, children before parents. A parent names its children by positions that are
//! not written yet: the [`Layout`] of the log says where they will stand. When all of it is
//! durable, [`Written`] swaps each page that a tree still shares with the clone for its position.
//!
//! Pages travel: those that are still in use in a segment of which little is, are written again
//! with everything above them, so that the segment can go.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use crate::store::{Append, Kind, Layout, Log, Lsn, record_size};
use crate::types::state::KeyHash;

use super::StateTree;
use super::bytes::Head;
use super::live::Live;
use super::page::{InnerPage, ROOT_NODE, Ref, Stored, level, node_prefix, prefix, slots};
use super::source::PageError;
use super::write::load_page;
use super::written::{Moved, Placed, Written};

/// How many bytes of pages one step makes: a few milliseconds of a worker's time.
pub const STEP_BYTES: u64 = 1 << 20;
/// How many bytes of a segment one step searches for pages in use.
const SCAN_BYTES: u64 = 8 << 20;

/// An inner page whose children are being written.
struct Frame {
    page: Arc<InnerPage>,
    /// Where the log has it, if it does.
    old: Option<Stored>,
    key: KeyHash,
    depth: usize,
    /// The next of its 16 places.
    slot: usize,
    refs: [Option<Stored>; 16],
    moved: Vec<Lsn>,
}

/// Pages that are to be written again.
#[derive(Debug, Default)]
struct Travellers {
    /// The segments that they stand in.
    segments: BTreeSet<u64>,
    /// Where the search goes on.
    search: Option<Lsn>,
    /// Where they belong: a key of each one's place, and its depth.
    places: BTreeMap<KeyHash, usize>,
}

impl Travellers {
    /// Whether one of them is below the place at `depth` on the way to `key`.
    fn below(&self, key: &KeyHash, depth: usize) -> bool {
        let from = prefix(key, depth);
        let here = self.places.range(from..);
        let mut here = here.take_while(|(place, _)| place.shared_bits(&from) >= depth);
        here.any(|(_, of)| *of > depth)
    }
}

/// A walk over a clone of a tree that makes records of its pages, step by step.
pub struct PageCursor {
    tree: StateTree,
    layout: Layout,
    travellers: Travellers,
    begun: bool,
    frames: Vec<Frame>,
    root: Option<Stored>,
    placed: BTreeMap<usize, Placed>,
    moved: BTreeMap<Lsn, Moved>,
    live: Live,
    bytes: u64,
    last: Option<Lsn>,
}

impl fmt::Debug for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageCursor({} bytes made)", self.bytes)
    }
}

impl PageCursor {
    /// Begins to write `tree` where `layout` says that the log goes on. The pages in use of the
    /// segments in `sparse` are written as well.
    #[must_use]
    pub fn new(tree: StateTree, layout: Layout, sparse: BTreeSet<u64>) -> Self {
        let mut live = tree.live.clone();
        if live.segment_size() == 0 {
            live = Live::new(layout.segment_size());
        }
        let first = sparse.first().map(|segment| layout.first_of(*segment));
        Self {
            tree,
            layout,
            travellers: Travellers {
                segments: sparse,
                search: first,
                places: BTreeMap::new(),
            },
            begun: false,
            frames: Vec::new(),
            root: None,
            placed: BTreeMap::new(),
            moved: BTreeMap::new(),
            live,
            bytes: 0,
            last: None,
        }
    }

    /// Whether every page has its record.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.begun && self.frames.is_empty()
    }

    /// Where the log goes on behind the records made so far.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where the last record stands that was made.
    #[must_use]
    pub const fn last(&self) -> Option<Lsn> {
        self.last
    }

    /// What the records made so far take in the log.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the next records, about a mebibyte of them, to be appended to the state log in their
    /// order and with nothing between. After an error the cursor is of no more use.
    pub fn step(&mut self) -> Result<Vec<Append>, PageError> {
        self.step_of(STEP_BYTES)
    }

    /// Makes the next records, as many as it takes to have so many bytes.
    pub(super) fn step_of(&mut self, bytes: u64) -> Result<Vec<Append>, PageError> {
        if let Some(from) = self.travellers.search {
            self.search(from)?;
            return Ok(Vec::new());
        }
        let (mut records, made) = (Vec::new(), self.bytes);
        if !self.begun {
            self.begun = true;
            let root = self.tree.root.clone();
            let key = KeyHash([0; 32]);
            self.root = self.visit(&root, &key, 0, &mut records)?;
        }
        while self.bytes - made < bytes {
            let Some(frame) = self.frames.last_mut() else {
                break;
            };
            if frame.slot == frame.refs.len() {
                self.leave(&mut records);
                continue;
            }
            let slot = frame.slot;
            frame.slot += 1;
            let below = frame.page.refs[slot].clone();
            if !matches!(below, Ref::Empty) {
                let node = node_at(&frame.page, slot);
                let (key, depth) = node_prefix(&frame.key, frame.depth, node);
                let stored = self.visit(&below, &key, depth, &mut records)?;
                self.deliver(slot, stored, &below);
            }
        }
        Ok(records)
    }

    /// Looks at a page: gives where it stands when that is settled; else its children come first.
    fn visit(
        &mut self,
        below: &Ref,
        key: &KeyHash,
        depth: usize,
        records: &mut Vec<Append>,
    ) -> Result<Option<Stored>, PageError> {
        let (page, old) = match below {
            Ref::Disk(stored) if self.stays(*stored, key, depth) => return Ok(Some(*stored)),
            Ref::Disk(stored) => {
                let (page, _) = load_page(&self.tree.source, *stored, key, depth)?;
                (page, Some(*stored))
            }
            other => (other.clone(), None),
        };
        match page {
            Ref::Leaf(page) => {
                let count = page.len() as u8;
                let stored = self.write(page.to_bytes(depth), count, records);
                self.note(
                    Arc::as_ptr(&page) as usize,
                    old,
                    stored,
                    page.size(),
                    Vec::new(),
                );
                Ok(Some(stored))
            }
            Ref::Inner(page) => {
                self.frames.push(Frame {
                    page,
                    old,
                    key: *key,
                    depth,
                    slot: 0,
                    refs: [None; 16],
                    moved: Vec::new(),
                });
                Ok(None)
            }
            Ref::Empty | Ref::Disk(_) => Ok(None),
        }
    }

    /// Whether a page of the log stays where it is.
    fn stays(&self, stored: Stored, key: &KeyHash, depth: usize) -> bool {
        let travellers = &self.travellers;
        let segment = self.live.segment_of(stored.at);
        !travellers.segments.contains(&segment)
            && (stored.is_leaf() || !travellers.below(key, depth))
    }

    /// Tells the page above where one of its children stands.
    fn deliver(&mut self, slot: usize, stored: Option<Stored>, child: &Ref) {
        let Some(stored) = stored else {
            // Its own frame is above this one now, and will tell.
            return;
        };
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        frame.refs[slot] = Some(stored);
        if let Ref::Disk(old) = child
            && *old != stored
        {
            frame.moved.push(old.at);
        }
    }

    /// Writes the innermost page that has all its children.
    fn leave(&mut self, records: &mut Vec<Append>) {
        let Some(frame) = self.frames.pop() else {
            return;
        };
        let bytes = frame.page.to_bytes(&frame.key, frame.depth, &frame.refs);
        let size = record_size(bytes.len());
        let stored = self.write(bytes, 0, records);
        let address = Arc::as_ptr(&frame.page) as usize;
        self.note(address, frame.old, stored, size, frame.moved);
        match self.frames.last() {
            Some(above) => {
                let (slot, child) = (above.slot - 1, above.page.refs[above.slot - 1].clone());
                self.deliver(slot, Some(stored), &child);
            }
            None => self.root = Some(stored),
        }
    }

    fn write(&mut self, bytes: Vec<u8>, count: u8, records: &mut Vec<Append>) -> Stored {
        let at = self.layout.place(bytes.len());
        let size = record_size(bytes.len());
        self.live.add(at, size);
        self.bytes += size;
        self.last = Some(at);
        records.push(Append::new(Log::State, Kind::Page, bytes));
        Stored { at, records: count }
    }

    /// Remembers where a page was written, for [`Written`].
    fn note(
        &mut self,
        address: usize,
        old: Option<Stored>,
        to: Stored,
        size: u64,
        below: Vec<Lsn>,
    ) {
        let to = Placed { stored: to, size };
        match old {
            None => {
                self.placed.insert(address, to);
            }
            Some(old) => {
                self.live.remove(old.at, size);
                let moved = Moved {
                    to,
                    old_size: size,
                    below,
                };
                self.moved.insert(old.at, moved);
            }
        }
    }

    /// Searches a part of the sparse segments for pages that are in use.
    fn search(&mut self, from: Lsn) -> Result<(), PageError> {
        let segment = self.live.segment_of(from);
        let mut heads = Vec::new();
        let next = self.tree.source.scan(from, SCAN_BYTES, &mut |at, bytes| {
            heads.extend(Head::read(bytes).map(|head| (at, head)));
        })?;
        for (at, head) in heads {
            if self.tree.refers_to(at, &head)? {
                let depth = self.travellers.places.entry(head.key).or_default();
                *depth = head.depth.max(*depth);
            }
        }
        let after = (Bound::Excluded(segment), Bound::Unbounded);
        let first_of_next = || {
            let next = self.travellers.segments.range(after).next()?;
            Some(self.layout.first_of(*next))
        };
        self.travellers.search = next.or_else(first_of_next);
        Ok(())
    }

    /// What came of it, once every page has its record.
    #[must_use]
    pub fn finish(self) -> Written {
        assert!(self.is_done(), "pages are left to write");
        Written {
            root: self.root,
            live: self.live,
            placed: self.placed,
            moved: self.moved,
            tree: self.tree,
        }
    }
}

/// The node of a page that the page in one of its places stands at.
fn node_at(page: &InnerPage, slot: usize) -> usize {
    let mut nodes = (ROOT_NODE + 1..super::page::SLOT_NODES)
        .filter(|node| page.leaves.contains(*node) && slots(*node).start == slot);
    nodes.next().unwrap_or(super::page::SLOT_NODES + slot)
}

impl StateTree {
    /// Whether a page with this head, whose record stands at `at`, is one of this tree.
    fn refers_to(&self, at: Lsn, head: &Head) -> Result<bool, PageError> {
        let mut below = self.root.clone();
        let mut depth = 0;
        loop {
            match &below {
                Ref::Disk(stored) if stored.at == at => return Ok(depth == head.depth),
                Ref::Disk(stored) if stored.is_leaf() || depth >= head.depth => return Ok(false),
                Ref::Disk(stored) => {
                    below = load_page(&self.source, *stored, &head.key, depth)?.0;
                }
                Ref::Inner(_) if depth >= head.depth => return Ok(false),
                Ref::Inner(page) => {
                    let node = page.node_of(&head.key, depth);
                    depth += level(node);
                    let next = page.refs[slots(node).start].clone();
                    below = next;
                }
                Ref::Empty | Ref::Leaf(_) => return Ok(false),
            }
        }
    }
}
