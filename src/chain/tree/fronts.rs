//! Headers of old blocks, read from the fronts of their records.
//!
//! *Owns* where they are read, and which of them can't be. *Invariants*: a front that could not be
//! read once can't be read again by this process, so that the order of reads does not matter; what
//! is said to be coming ([`Fronts::foresee`]) comes where it is read, as it came where it was
//! recorded. *Never* takes a front for another block's: the id before the header is the header's.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codec::{Decode, Reader};
use crate::store::{self, Kind, Log, Lsn};
use crate::types::{BlockId, Header, Uint256};

/// What the front of a Block record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Front {
    /// The block's id.
    pub id: BlockId,
    /// The work of its chain up to and with it. Nothing but its neighbours' says that it is right.
    pub work: Uint256,
    /// Its header.
    pub header: Header,
}

impl Front {
    /// The work of its chain up to its parent.
    #[must_use]
    pub fn work_below(&self) -> Uint256 {
        self.work.wrapping_sub(self.header.work())
    }

    /// The front of a record whose body begins with these bytes, if its id is its header's.
    #[must_use]
    pub fn of_record(body: &[u8]) -> Option<Self> {
        let (id, rest) = body.split_first_chunk()?;
        let (work, rest) = rest.split_first_chunk()?;
        let header = Header::decode(&mut Reader::new(rest)).ok()?;
        let id = BlockId(*id);
        (header.id() == id).then(|| Self {
            id,
            work: Uint256::from_le_bytes(work),
            header,
        })
    }
}

/// Where fronts are read.
pub trait FrontSource: Send + Sync {
    /// The front of the Block record at a position, if it can be read.
    fn front(&self, at: Lsn) -> Option<Front>;
}

impl FrontSource for store::Reader {
    fn front(&self, at: Lsn) -> Option<Front> {
        let record = Self::front(self, Log::Blocks, at).ok()?;
        (record.kind == Kind::Block).then(|| Front::of_record(&record.body))?
    }
}

/// Fronts as the event loop reads them, with a memory for those that can't be read.
#[derive(Clone, Default)]
pub(super) struct Fronts {
    source: Option<Arc<dyn FrontSource>>,
    /// Those that could not be read since the process began.
    known: RefCell<BTreeSet<Lsn>>,
    /// Those of `known` that the event that is handled has found, with their heights.
    found: RefCell<Vec<(Lsn, u64)>>,
    /// The heights of those whose blocks' ids are not known, because their neighbours can't be read
    /// either.
    pub(super) unnamed: BTreeSet<u64>,
    /// Those that the event before has found.
    last: Vec<Lsn>,
    /// Those that a recording has for the event that is to be handled.
    foreseen: BTreeSet<Lsn>,
}

impl Fronts {
    pub(super) fn read_from(&mut self, source: Arc<dyn FrontSource>) {
        self.source = Some(source);
    }

    /// The front at a position, which is that of the block at a height.
    pub(super) fn read(&self, at: Lsn, height: u64) -> Option<Front> {
        if self.is_unreadable(at) {
            return None;
        }
        let front = self.source.as_ref().and_then(|source| source.front(at));
        let front =
            front.filter(|front| front.header.height.0 == height && !self.foreseen.contains(&at));
        if front.is_none() {
            self.fail(at, height);
        }
        front
    }

    /// Whether the front at a position could not be read once.
    pub(super) fn is_unreadable(&self, at: Lsn) -> bool {
        self.known.borrow().contains(&at)
    }

    /// The front at a position can't be read, or is wrong.
    pub(super) fn fail(&self, at: Lsn, height: u64) {
        if self.known.borrow_mut().insert(at) {
            self.found.borrow_mut().push((at, height));
        }
    }

    /// The next event finds these unreadable, if it reads them.
    pub(super) fn foresee(&mut self, positions: Vec<Lsn>) {
        self.foreseen = positions.into_iter().collect();
    }

    /// An event begins. What was found since the one before, by somebody who looked at the node,
    /// is no part of either.
    pub(super) fn begin_event(&mut self) {
        self.last.clear();
        for (at, _) in self.found.take() {
            self.known.get_mut().remove(&at);
        }
    }

    /// The heights of those that the event found since the last call, and of those that were found
    /// before and are not named yet.
    pub(super) fn take_unnamed(&mut self) -> BTreeSet<u64> {
        let found = self.found.take();
        self.last.extend(found.iter().map(|(at, _)| *at));
        let mut heights = std::mem::take(&mut self.unnamed);
        heights.extend(found.into_iter().map(|(_, height)| height));
        heights
    }

    /// Whether the event found one since then.
    pub(super) fn has_found(&self) -> bool {
        !self.found.borrow().is_empty()
    }

    /// The event has ended.
    pub(super) fn end_event(&mut self) {
        self.foreseen.clear();
    }

    /// Those that the last event could not read.
    pub(super) fn last(&self) -> &[Lsn] {
        &self.last
    }

    /// Those that could not be read, for a snapshot.
    pub(super) fn known(&self) -> BTreeSet<Lsn> {
        self.known.borrow().clone()
    }

    /// What was read of late is no part of any event: nothing but these can't be read.
    pub(super) fn forget_found(&mut self, known: BTreeSet<Lsn>) {
        self.known = RefCell::new(known);
        self.found.take();
    }

    /// Those that a snapshot has.
    pub(super) fn restore(known: BTreeSet<Lsn>, unnamed: BTreeSet<u64>) -> Self {
        Self {
            known: RefCell::new(known),
            unnamed,
            ..Self::default()
        }
    }
}

impl fmt::Debug for Fronts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known.borrow();
        f.debug_struct("Fronts").field("known", &*known).finish()
    }
}
