//! Recordings of a running node: where their parts stand in the logs, and how a file is made of
//! them while the logs go on.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::cli::{RecordingWriter, WrittenRecording};
use crate::node::LoggedBlock;
use crate::node::recording::Stream;
use crate::reactor::Saved;
use crate::store::{Log, Lsn, ReadError, Reader};

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

/// Makes a file of a recording, without the blocks that can't be read. One block at a time is in
/// memory, and the stream, which is no longer than the record log.
pub(super) fn save(places: &Places, reader: &Reader, file: &Path) -> Result<Saved, SaveError> {
    // What the record log forgets while the blocks are written is in memory by then.
    let mut stream = Stream::default();
    for at in &places.pieces {
        match reader.read(Log::Record, *at) {
            Ok(record) => stream.add(&record.body),
            // Its segment was used again meanwhile: the recording begins after it.
            Err(ReadError::Gone) => stream.interrupt(),
            Err(error) => return Err(SaveError::Piece(error)),
        }
    }
    if stream.bytes().is_empty() {
        return Err(SaveError::Nothing);
    }
    let written = write(places, reader, file, &stream).map_err(SaveError::File)?;
    let WrittenRecording { bytes, missing } = written;
    Ok(Saved { bytes, missing })
}

fn write(
    places: &Places,
    reader: &Reader,
    file: &Path,
    stream: &Stream,
) -> io::Result<WrittenRecording> {
    if let Some(folder) = file.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut writer = RecordingWriter::create(file)?;
    let blocks: BTreeSet<Lsn> = places.blocks.iter().copied().collect();
    for at in blocks {
        match LoggedBlock::read(reader, at) {
            Ok(block) => writer.block(at, &block)?,
            Err(front) => writer.missing(at, front),
        }
    }
    writer.finish(stream)
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
