//! The append-only logs of a directory.
//!
//! *Owns* the trait [`Disk`] and everything in a data directory: the file `SUPER`, the segments of
//! five logs, the quarantine. Records are (kind, bytes); what the bytes mean is for the layers
//! above.
//!
//! *Invariants*: what was acknowledged (a [`Store::sync`] returned after its append) is found
//! again after any crash; what is found again is a prefix of what was appended; a record that is
//! shown has both its checksums right, stands where it says, in the directory it was written for.
//! A torn end that was never acknowledged is cut off, and kept aside; damage in what was
//! acknowledged is never cut, but stepped over and recorded. After one error of a write or a sync
//! nothing more is written.
//!
//! *Never* starts a thread, reads a clock, or shrinks a file; never overwrites a byte that was
//! acknowledged, except with itself.
//!
//! *Format*: `docs/storage.md`.

mod append;
mod commits;
#[cfg(test)]
pub(crate) mod counting;
mod disk;
mod ends;
mod failure;
mod faulty;
mod files;
mod layout;
mod memory;
mod reader;
mod record;
mod recovery;
mod replay;
mod scan;
mod superblock;
mod writer;

pub use append::{Append, Store};
pub use commits::{Commits, Completion, Request, Upkeep};
pub use disk::{Cause, Disk, DiskError, DiskFile, Lock};
pub use failure::{Failure, OpenError};
pub use faulty::{Faults, FaultyDisk, Hits, Keep};
pub use layout::Layout;
pub use memory::MemoryDisk;
pub use reader::{ReadError, Reader, Record};
pub use record::{Kind, Log, Lsn, TocEntry, record_size};
pub use recovery::{Notice, Options, Recovered};
pub use replay::BadRange;

#[cfg(test)]
mod tests;
