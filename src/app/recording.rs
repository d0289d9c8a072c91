//! Recordings of a running node: where their parts stand in the logs, and how a file is made of
//! them while the logs go on.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::path::Path;

use crate::node::{LoggedBlock, Recording};
use crate::reactor::Saved;
use crate::store::{Log, Lsn, ReadError, Reader};
use crate::wallet::write_new_file;

/// Whether a snapshot begins with a piece: its first byte says so.
pub(super) fn begins(piece: &[u8]) -> bool {
    piece.first().is_some_and(|begins| *begins != 0)
}

/// Where the parts of a recording stand.
#[derive(Clone, Debug)]
pub(super) struct Places {
    blocks: Vec<Lsn>,
    pieces: VecDeque<Lsn>,
    /// How many of the pieces stand before the newest snapshot.
    before_newest: usize,
}

impl Places {
    /// The places of a node that found these blocks in its log.
    pub(super) fn new(blocks: impl Iterator<Item = Lsn>) -> Self {
        Self {
            blocks: blocks.collect(),
            pieces: VecDeque::new(),
            before_newest: 0,
        }
    }

    pub(super) fn add_block(&mut self, at: Lsn) {
        self.blocks.push(at);
    }

    /// Forgets the pieces so far: what follows does not join them.
    pub(super) fn interrupt(&mut self) {
        self.pieces.clear();
        self.before_newest = 0;
    }

    /// Adds a piece. When a snapshot begins with it, what stands before the snapshot before is
    /// forgotten, so that a file holds at least one whole interval and the list has a bound.
    pub(super) fn add_piece(&mut self, at: Lsn, begins: bool) {
        if begins {
            self.pieces.drain(..self.before_newest);
            self.before_newest = self.pieces.len();
        }
        self.pieces.push_back(at);
    }
}

/// Why no file was made.
#[derive(Debug)]
pub(super) enum SaveError {
    /// Nothing is recorded yet.
    Nothing,
    /// A piece can't be read.
    Piece(ReadError),
    /// The file can't be written.
    File(io::Error),
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str(
                "nothing is recorded yet: a recording begins with the first quiet moment",
            ),
            Self::Piece(error) => write!(f, "the recording can't be read: {error}"),
            Self::File(error) => write!(f, "the file can't be written: {error}"),
        }
    }
}

/// Makes a file of a recording, without the blocks that can't be read.
pub(super) fn save(places: &Places, reader: &Reader, file: &Path) -> Result<Saved, SaveError> {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    for at in &places.pieces {
        match reader.read(Log::Record, *at) {
            Ok(record) => pieces.push(record.body),
            // Its segment was used again meanwhile: the recording begins after it.
            Err(ReadError::Gone) => pieces.clear(),
            Err(error) => return Err(SaveError::Piece(error)),
        }
    }
    if !pieces.iter().any(|piece| begins(piece)) {
        return Err(SaveError::Nothing);
    }
    let (mut blocks, mut missing) = (BTreeMap::new(), BTreeMap::new());
    for at in &places.blocks {
        match LoggedBlock::read(reader, *at) {
            Ok(block) => drop(blocks.insert(*at, block)),
            Err(front) => drop(missing.insert(*at, front)),
        }
    }
    let damaged = missing.keys().copied().collect();
    let pieces = pieces.iter().map(Vec::as_slice);
    let bytes = Recording::of_pieces(pieces, blocks, missing).to_bytes();
    write_new_file(file, 0o600, &bytes).map_err(SaveError::File)?;
    Ok(Saved {
        bytes: bytes.len() as u64,
        missing: damaged,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_pieces_holds_two_snapshots_at_most() {
        let mut places = Places::new([Lsn::new(8)].into_iter());
        for at in 0..40_u64 {
            places.add_piece(Lsn::new(at), at % 10 == 0);
        }
        let kept: Vec<u64> = places.pieces.iter().map(|at| at.get()).collect();
        assert_eq!(kept, (20..40).collect::<Vec<_>>());
        assert_eq!(places.before_newest, 10);
    }
}
