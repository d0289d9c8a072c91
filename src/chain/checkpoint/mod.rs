//! Checkpoints: complete states in the state log, from which a start goes on.
//!
//! *Owns* the record that names one, how one is made while blocks are executed, and which of them
//! are kept. *Invariants*: a checkpoint is named only when every page below it is durable; what a
//! kept checkpoint refers to is never dropped; nothing that is done here costs more the more
//! accounts exist. *Never* writes or syncs: it makes records, and says which segments may go.
//!
//! One is made of a clone of the ledger, so that execution goes on meanwhile
//! ([`CheckpointWriter`]). When its record is durable, [`Written`] lets the ledger go of
//! what the log has now.
//!
//! *Format*: `docs/storage.md`, "Checkpoint".

mod kept;
mod record;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::codec::{Decode, DecodeError};
use crate::store::{Append, Kind, Layout, Log, Lsn, ReadError, Reader};

use super::ChainState;
use super::state::{PageCursor, PageError, PageSource, Written};

pub use kept::{Kept, KeptCheckpoint};
pub use record::Checkpoint;

/// Writes the state after a block to the state log, step by step.
#[derive(Debug)]
pub struct CheckpointWriter {
    state: ChainState,
    cursor: PageCursor,
}

/// A state that the log has whole but for the record that names it.
#[derive(Debug)]
pub struct WrittenState {
    /// The record to append next, when its pages are durable.
    pub record: Append,
    /// What is kept from then on, this checkpoint the first of it.
    pub kept: Kept,
    /// Where the log goes on behind the record.
    pub layout: Layout,
    /// Where its pages stand.
    pub pages: Written,
}

impl CheckpointWriter {
    /// Begins a checkpoint of a state where `layout` says that the state log goes on, beside those
    /// of `kept`.
    #[must_use]
    pub fn new(state: ChainState, layout: Layout, kept: &Kept) -> Self {
        let tree = state.ledger.tree().clone();
        let mut sparse = kept::sparse(tree.live(), &layout);
        // A state that was long out of sight may be all that still holds a dropped segment.
        let there = kept.segments(&layout);
        let writing = layout.segment_of(layout.end());
        let used = tree.live().segments().map(|(segment, _)| segment);
        sparse.extend(used.filter(|segment| *segment < writing && !there.contains(segment)));
        let cursor = PageCursor::new(tree, layout, sparse);
        Self { state, cursor }
    }

    /// The next records, about a mebibyte of them; none while pages are searched that travel.
    pub fn step(&mut self) -> Result<Vec<Append>, PageError> {
        self.cursor.step()
    }

    /// Whether every page has its record.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.cursor.is_done()
    }

    /// Where the state log goes on behind the records made so far.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        self.cursor.layout()
    }

    /// Where the last record stands that was made.
    #[must_use]
    pub const fn last(&self) -> Option<Lsn> {
        self.cursor.last()
    }

    /// What the records made so far take in the log.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.cursor.bytes()
    }

    /// The record that names the state, beside those of `kept` that stay.
    ///
    /// # Panics
    /// When pages are left to write.
    #[must_use]
    pub fn finish(self, kept: &Kept) -> WrittenState {
        let mut layout = *self.cursor.layout();
        let pages = self.cursor.finish();
        let mut kept = kept.beside(self.state.header.height, pages.live());
        let checkpoint = Checkpoint::of(&self.state, &pages, kept.positions());
        let record = checkpoint.to_record();
        let at = layout.place(record.body.len());
        kept.add(KeptCheckpoint::new(at, &checkpoint));
        WrittenState {
            record,
            kept,
            layout,
            pages,
        }
    }
}

impl Checkpoint {
    /// The checkpoint as a record of the state log.
    #[must_use]
    pub fn to_record(&self) -> Append {
        use crate::codec::Encode;
        Append::new(Log::State, Kind::Checkpoint, self.to_bytes())
    }

    /// Reads the checkpoint whose record stands at `at`.
    pub fn read(reader: &Reader, at: Lsn) -> Result<Self, CheckpointError> {
        let record = reader
            .read(Log::State, at)
            .map_err(|why| CheckpointError::Unreadable { at, why })?;
        if record.kind != Kind::Checkpoint {
            return Err(CheckpointError::Other { at });
        }
        let checkpoint = Self::from_bytes(&record.body);
        checkpoint.map_err(|why| CheckpointError::Malformed { at, why })
    }

    /// The state that the checkpoint names. Its segments stay readable for as long as the state or
    /// a clone of it is there.
    pub fn open(&self, reader: &Reader) -> Result<ChainState, PageError> {
        let error = |why| PageError {
            at: self.root.map_or(Lsn::default(), |(at, _)| at),
            why: super::state::PageFailure::Unreadable(why),
        };
        let pages = reader.holding(Log::State, self.live.segments().map(|(segment, _)| segment));
        self.state(Arc::new(pages.map_err(error)?) as Arc<dyn PageSource>)
    }
}

/// Why a checkpoint can't be used. An older one can, or the chain is executed from its genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointError {
    /// Its record can't be read.
    Unreadable {
        /// Where it should stand.
        at: Lsn,
        /// Why not.
        why: ReadError,
    },
    /// Another record stands there.
    Other {
        /// Where.
        at: Lsn,
    },
    /// Its bytes are no checkpoint.
    Malformed {
        /// Where it stands.
        at: Lsn,
        /// What is wrong.
        why: DecodeError,
    },
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { at, why } => write!(f, "the checkpoint at {at}: {why}"),
            Self::Other { at } => write!(f, "the record at {at} of the state log is no checkpoint"),
            Self::Malformed { at, why } => write!(f, "the checkpoint at {at}: {why}"),
        }
    }
}

impl std::error::Error for CheckpointError {}
