//! What the store asks of a disk.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Holds the directory for one owner until it is dropped.
pub type Lock = Box<dyn Any + Send + Sync>;

/// A directory of files, named by relative paths such as `blocks/00000000.seg`.
///
/// Every call blocks until it is done: the log thread makes them in production, the simulator
/// inline. A name that was made, changed or taken away is durable once
/// [`sync_directory`](Self::sync_directory) of its directory has returned; the bytes of a file
/// once [`DiskFile::sync`] of the handle they were written through has.
pub trait Disk: Send + Sync {
    /// Takes the whole directory for this owner, or says who has it.
    fn lock(&self) -> Result<Lock, DiskError>;
    /// Makes a directory unless it is there.
    fn make_directory(&self, directory: &str) -> Result<(), DiskError>;
    /// The names in a directory, in order.
    fn list(&self, directory: &str) -> Result<Vec<String>, DiskError>;
    /// Makes a new empty file; one of that name must not be there.
    fn create(&self, path: &str) -> Result<Arc<dyn DiskFile>, DiskError>;
    /// Opens a file for reading and writing.
    fn open(&self, path: &str) -> Result<Arc<dyn DiskFile>, DiskError>;
    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError>;
    /// Takes a name away. Handles that are open go on reading the bytes.
    fn remove(&self, path: &str) -> Result<(), DiskError>;
    /// Makes the names of a directory durable; `""` is the top.
    fn sync_directory(&self, directory: &str) -> Result<(), DiskError>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// How many bytes it has.
    fn size(&self) -> Result<u64, DiskError>;
    /// Makes it `size` bytes long, zero where nothing was written, with the space reserved so
    /// that a later write within it can't find the disk full. Never makes it shorter.
    fn reserve(&self, size: u64) -> Result<(), DiskError>;
    /// Reads some bytes; fewer than asked for at the end, none beyond it.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, DiskError>;
    /// Writes some of the bytes, at least one, and says how many.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, DiskError>;
    /// Makes every byte written so far durable. After an error nothing is known about them.
    fn sync(&self) -> Result<(), DiskError>;
    /// A range as memory, where the disk can give it. Only for bytes that were written and are
    /// never written again. A bad sector under it kills the process, so what must survive one
    /// uses [`read_at`](Self::read_at).
    fn view(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let _ = (offset, len);
        None
    }
}

/// A call on the disk that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskError {
    /// Why.
    pub cause: Cause,
    /// Which call.
    pub call: &'static str,
    /// On what.
    pub path: String,
}

/// Why a call on the disk failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is nothing of that name.
    NotFound,
    /// There is something of that name already.
    Exists,
    /// The disk is full.
    NoSpace,
    /// The directory or file does not belong to this user, or is read-only.
    Denied,
    /// Another process holds the directory; the text says which.
    InUse(String),
    /// Anything else, in the system's words.
    Other(String),
}

impl DiskError {
    /// An error of `call` on `path`.
    #[must_use]
    pub fn new(cause: Cause, call: &'static str, path: &str) -> Self {
        Self {
            cause,
            call,
            path: path.to_owned(),
        }
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.call, self.path)?;
        match &self.cause {
            Cause::NotFound => f.write_str("there is no such file"),
            Cause::Exists => f.write_str("it is there already"),
            Cause::NoSpace => f.write_str("no space is left on the disk"),
            Cause::Denied => f.write_str("permission denied or read-only"),
            Cause::InUse(holder) => write!(f, "in use by {holder}"),
            Cause::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for DiskError {}

/// Writes all of `bytes`, going on after short writes.
pub(super) fn write_all(file: &dyn DiskFile, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
    let mut done = 0;
    while done < bytes.len() {
        let count = file.write_at(offset + done as u64, &bytes[done..])?;
        if count == 0 {
            let cause = Cause::Other("the disk took no byte and gave no reason".to_owned());
            return Err(DiskError::new(cause, "write", "a file"));
        }
        done += count;
    }
    Ok(())
}

/// Fills `into`, going on after short reads; says how many bytes the file had for it.
pub(super) fn read_full(
    file: &dyn DiskFile,
    offset: u64,
    into: &mut [u8],
) -> Result<usize, DiskError> {
    let mut done = 0;
    while done < into.len() {
        match file.read_at(offset + done as u64, &mut into[done..])? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}
