//! A file as memory.

#![expect(
    unsafe_code,
    reason = "a mapped file is memory that no reference of this process guards"
)]

use std::fs::File;
use std::io;

use memmap2::{MmapOptions, MmapRaw};

/// A read-only map of a file that is never shrunk.
pub(super) struct Map(MmapRaw);

impl Map {
    /// Maps the whole file as long as it is now. What is beyond that is not shown.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        MmapOptions::new()
            .len(len)
            .map_raw_read_only(file)
            .map(Self)
    }

    /// A range of bytes that were written and are never written again; None outside the file.
    pub(super) fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let offset = usize::try_from(offset).ok()?;
        if offset.checked_add(len)? > self.0.len() {
            return None;
        }
        let start = self.0.as_ptr().wrapping_add(offset);
        // SAFETY: the range lies within the map, which lives as long as `self`. Nobody changes
        // these bytes while they are borrowed: the store shows a range only below the end of what
        // it has written, it never writes there again, and the directory is locked against other
        // processes of this program.
        Some(unsafe { std::slice::from_raw_parts(start, len) })
    }
}
