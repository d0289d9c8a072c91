//! What can go wrong in the store.

use std::fmt;

use super::disk::{Cause, DiskError};
use super::record::{Log, Lsn};

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No space for another segment. Nothing was written; the same call works when space returns.
    Full {
        /// The log that can't grow.
        log: Log,
        /// How long the segment is.
        bytes: u64,
    },
    /// The record can't fit into a segment. Nothing was written.
    TooLarge {
        /// The log.
        log: Log,
        /// The bytes of the body.
        len: usize,
        /// The most a body may have.
        max: u64,
    },
    /// A write or a sync failed, so that nobody knows what the disk holds. Every later call
    /// fails with this; the process must stop, and the next start finds out.
    Broken(DiskError),
    /// The log holds what only newer code can read.
    TooNew {
        /// The log.
        log: Log,
        /// Where.
        at: Lsn,
        /// What is unknown.
        what: String,
    },
    /// The disk would not give bytes back.
    Unreadable(DiskError),
    /// What a log holds is damaged, and SUPER says from where the next start goes on. The process
    /// must stop.
    Damaged {
        /// The log.
        log: Log,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { log, bytes } => write!(
                f,
                "no space for another segment of {bytes} bytes in {}/: free some space on its \
                 disk; writing resumes by itself",
                log.directory()
            ),
            Self::TooLarge { log, len, max } => write!(
                f,
                "a record of {len} bytes does not fit into a segment of {}/, which takes at most \
                 {max}: the segment size must be set larger when the directory is made",
                log.directory()
            ),
            Self::Broken(error) => write!(
                f,
                "the disk failed ({error}): nothing more is written; check the disk, then start \
                 again"
            ),
            Self::TooNew { log, at, what } => write!(
                f,
                "{}/ holds {what} at {at}, which a newer keel wrote: use that version or later",
                log.directory()
            ),
            Self::Unreadable(error) => write!(f, "the disk failed ({error}): check the disk"),
            Self::Damaged { log } => write!(
                f,
                "{}/ is damaged and can't be used any more: check the disk, then start again; the \
                 node goes on from an older checkpoint",
                log.directory()
            ),
        }
    }
}

impl std::error::Error for Failure {}

/// Why a directory was not opened. Nothing in it was changed, unless a write failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// A call on the disk failed.
    Disk(DiskError),
    /// The directory belongs to another chain.
    OtherChain {
        /// The genesis id the directory names.
        found: [u8; 32],
        /// The genesis id that was asked for.
        wanted: [u8; 32],
    },
    /// The directory has a format, or a record, of a newer version.
    TooNew(String),
    /// SUPER is gone and its logs are not.
    NoSuper,
    /// Neither slot of SUPER is valid. It is not made again from the logs: only SUPER says how far
    /// they were acknowledged, and without that an end that was lost looks like one that was torn.
    BadSuper,
    /// A segment file stands where it does not belong.
    Misplaced {
        /// The file.
        path: String,
    },
    /// A segment that holds acknowledged records is gone, and none comes after it.
    Missing {
        /// The file.
        path: String,
    },
    /// A segment size that can't be.
    SegmentSize {
        /// The log.
        log: Log,
        /// The size.
        size: u64,
    },
}

impl From<DiskError> for OpenError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl OpenError {
    /// Whether another process has the directory.
    #[must_use]
    pub const fn is_in_use(&self) -> bool {
        matches!(self, Self::Disk(error) if matches!(error.cause, Cause::InUse(_)))
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |id: &[u8; 32]| crate::base::encode_hex(&id[..8]);
        match self {
            Self::Disk(error) => match &error.cause {
                Cause::InUse(holder) => write!(
                    f,
                    "the data directory is in use by {holder}: stop it, or choose another \
                     directory"
                ),
                Cause::Denied => {
                    write!(f, "{error}: check the owner and mode of the data directory")
                }
                Cause::NoSpace => write!(f, "{error}: free some space"),
                _ => write!(f, "{error}: check the disk"),
            },
            Self::OtherChain { found, wanted } => write!(
                f,
                "the data directory holds the chain with genesis {}.., not {}..: choose another \
                 directory or the other genesis file",
                hex(found),
                hex(wanted)
            ),
            Self::TooNew(what) => write!(
                f,
                "the data directory has {what}: use the version that wrote it, or later"
            ),
            Self::NoSuper => f.write_str(
                "the data directory has segments but no SUPER file: put the one that belongs to \
                 them back, or choose another directory and synchronise again",
            ),
            Self::BadSuper => f.write_str(
                "both copies in the file SUPER of the data directory are damaged, and nothing \
                 else says how far its logs were acknowledged; nothing was changed: check the \
                 disk, then put a whole copy of the directory back, or choose another directory \
                 and synchronise again",
            ),
            Self::Misplaced { path } => write!(
                f,
                "{path} was written for another place or another data directory: move it away \
                 and put the right file back"
            ),
            Self::Missing { path } => write!(
                f,
                "{path} is gone and holds acknowledged records: put it back, or choose another \
                 directory and synchronise again"
            ),
            Self::SegmentSize { log, size } => write!(
                f,
                "segments of {size} bytes for {}/ can't be: a multiple of 4096 from 4 KiB to \
                 1 GiB is needed",
                log.directory()
            ),
        }
    }
}

impl std::error::Error for OpenError {}
