//! The file of a recording while it is written.
//!
//! *Owns* the file. *Invariants*: only its owner may read it, since it holds what peers and callers
//! sent; it is a recording only once all of it is on the disk; where that fails, it is removed.
//! *Never* holds more than one block. The form is that of [`crate::node::recording`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::chain::Front;
use crate::node::LoggedBlock;
use crate::node::recording::{
    FileBytes, HEAD_LEN, Missing, Stream, after_blocks, before_block, head,
};
use crate::store::Lsn;

/// The folder of a data directory to which a running node writes recordings.
pub const RECORDINGS_FOLDER: &str = "recordings";

/// A new file that only its owner may read.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// Writes a recording to a new file.
pub struct RecordingWriter {
    path: PathBuf,
    file: BufWriter<File>,
    blocks: u64,
    bytes: u64,
    missing: Missing,
    is_whole: bool,
}

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRecording {
    /// How many bytes it has.
    pub bytes: u64,
    /// Where blocks stand that could not be read: it lacks them.
    pub missing: Vec<Lsn>,
}

impl RecordingWriter {
    /// Begins a file, which must not be there.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut writer = Self {
            file: BufWriter::new(create_private(path)?),
            path: path.to_owned(),
            blocks: 0,
            bytes: 0,
            missing: Missing::new(),
            is_whole: false,
        };
        // Half a recording must not be taken for a whole one: its head is written last.
        writer.write(&[0; HEAD_LEN])?;
        Ok(writer)
    }

    /// Adds the next block of the log.
    pub fn block(&mut self, at: Lsn, block: &LoggedBlock) -> io::Result<()> {
        self.blocks += 1;
        self.write(&before_block(at, block))?;
        self.write(block.bytes())
    }

    /// Notes a block that can't be read, with what can be read of its record.
    pub fn missing(&mut self, at: Lsn, front: Option<Box<Front>>) {
        self.missing.insert(at, front);
    }

    /// Ends the file: it is on the disk when this returns.
    pub fn finish(mut self, stream: &Stream) -> io::Result<WrittenRecording> {
        let missing = after_blocks(&self.missing);
        self.write(&missing)?;
        self.write(stream.bytes())?;
        self.file.rewind()?;
        self.file.write_all(&head(self.blocks))?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        self.is_whole = true;
        Ok(WrittenRecording {
            bytes: self.bytes,
            missing: self.missing.keys().copied().collect(),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

impl Drop for RecordingWriter {
    fn drop(&mut self) {
        if !self.is_whole {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A recording's file, whose blocks are read when they are needed.
pub(super) struct RecordingFile {
    file: File,
    len: u64,
}

impl RecordingFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }
}

impl FileBytes for RecordingFile {
    fn size(&self) -> u64 {
        self.len
    }

    fn read(&self, at: u64, len: u64) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; usize::try_from(len).map_err(|error| error.to_string())?];
        let read = self.file.read_exact_at(&mut bytes, at);
        read.map(|()| bytes).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::node::Recording;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("keel-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn block(at: u8) -> (Lsn, LoggedBlock) {
        let body = vec![at; 5_000 + usize::from(at)];
        (Lsn::new(u64::from(at) * 6_000), LoggedBlock::for_test(body))
    }

    #[test]
    fn a_file_that_is_written_block_by_block_is_the_recording_s() {
        let folder = Folder::new("recording-file");
        let path = folder.0.join("a.rec");
        let mut writer = RecordingWriter::create(&path).unwrap();
        for at in 1..=20 {
            let (at, block) = block(at);
            let whole = fs::read(&path).unwrap();
            assert!(Recording::from_bytes(&whole).is_err(), "it is not whole");
            writer.block(at, &block).unwrap();
            assert_eq!(block.holders(), 1, "nobody holds a block that was written");
        }
        let mut stream = Stream::default();
        let pieces: [&[u8]; 4] = [&[2, 1], &[0, 9], &[2, 3, 4], &[0, 5]];
        pieces.iter().for_each(|piece| stream.add(piece));
        writer.missing(Lsn::new(7), None);
        let written = writer.finish(&stream).unwrap();

        let missing = BTreeMap::from([(Lsn::new(7), None)]);
        let blocks = (1..=20).map(block).collect();
        let whole = Recording::of_pieces(pieces.into_iter(), blocks, missing).to_bytes();
        assert!(fs::read(&path).unwrap() == whole);
        let (bytes, missing) = (whole.len() as u64, vec![Lsn::new(7)]);
        assert_eq!(written, WrittenRecording { bytes, missing });
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = RecordingFile::open(&path).unwrap();
        let read = Recording::open(std::sync::Arc::new(read)).unwrap();
        assert!(read.to_bytes() == whole);
    }

    #[test]
    fn what_is_not_finished_is_removed_and_what_is_there_stays() {
        let folder = Folder::new("recording-file-removed");
        let path = folder.0.join("a.rec");
        let mut writer = RecordingWriter::create(&path).unwrap();
        let (at, block) = block(1);
        writer.block(at, &block).unwrap();
        assert!(path.exists());
        drop(writer);
        assert!(!path.exists());
        fs::write(&path, "mine").unwrap();
        assert!(RecordingWriter::create(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
