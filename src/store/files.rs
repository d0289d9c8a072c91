//! The segment files of a directory, shared by the writer and its readers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::disk::{Disk, DiskError, DiskFile};
use super::ends::segment_of;
use super::record::Log;
use super::scan::Shape;

/// How many files of one log are kept open for readers. A file that is written to stays open in
/// its writer, so that no error of a sync is lost with a handle.
const OPEN_FILES: usize = 64;

/// The files, and what every record of a log must agree with.
///
/// A lock is held for as long as it takes to clone one pointer: readers on other threads need a
/// file while the writer goes on.
pub(super) struct Files {
    disk: Arc<dyn Disk>,
    shapes: [Shape; Log::COUNT],
    open: [Mutex<BTreeMap<u64, Arc<dyn DiskFile>>>; Log::COUNT],
    /// Bytes below these were written and will not be again: what readers may look at.
    ends: [AtomicU64; Log::COUNT],
}

impl Files {
    pub(super) fn new(disk: Arc<dyn Disk>, shapes: [Shape; Log::COUNT]) -> Self {
        Self {
            disk,
            shapes,
            open: Default::default(),
            ends: Default::default(),
        }
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(super) fn shape(&self, log: Log) -> Shape {
        self.shapes[log.number()]
    }

    /// Where what readers may look at ends.
    pub(super) fn end(&self, log: Log) -> u64 {
        self.ends[log.number()].load(Ordering::Acquire)
    }

    /// Lets readers look at what was written up to `end`.
    pub(super) fn publish(&self, log: Log, end: u64) {
        self.ends[log.number()].store(end, Ordering::Release);
    }

    /// The file of a segment.
    pub(super) fn get(&self, log: Log, segment: u64) -> Result<Arc<dyn DiskFile>, DiskError> {
        if let Some(file) = self.open[log.number()].lock().get(&segment) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&log.path(segment))?;
        self.put(log, segment, &file);
        Ok(file)
    }

    /// Keeps a file at hand.
    pub(super) fn put(&self, log: Log, segment: u64, file: &Arc<dyn DiskFile>) {
        let mut open = self.open[log.number()].lock();
        open.insert(segment, Arc::clone(file));
        if open.len() > OPEN_FILES {
            open.pop_first();
        }
    }

    /// Lets go of the file of a segment; readers that hold it go on.
    pub(super) fn forget(&self, log: Log, segment: u64) {
        self.open[log.number()].lock().remove(&segment);
    }

    /// The segments of a log that are there, in order.
    pub(super) fn segments(&self, log: Log) -> Result<Vec<u64>, DiskError> {
        let names = self.disk.list(log.directory())?;
        let mut segments: Vec<u64> = names.iter().filter_map(|name| segment_of(name)).collect();
        segments.sort_unstable();
        Ok(segments)
    }

    /// Lets go of the files below a segment; readers that hold one go on.
    pub(super) fn forget_before(&self, log: Log, segment: u64) {
        let mut open = self.open[log.number()].lock();
        *open = open.split_off(&segment);
    }

    /// Lets go of the files from a segment on, which are about to be made anew.
    pub(super) fn forget_from(&self, log: Log, segment: u64) {
        self.open[log.number()].lock().split_off(&segment);
    }
}
