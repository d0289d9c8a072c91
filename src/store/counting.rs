//! A disk that counts what is read of it, for tests of what an opening costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::{Disk, DiskError, DiskFile, Lock};
use super::memory::MemoryDisk;

/// A disk in memory, and how many bytes were read of its files. Clones count together.
#[derive(Clone)]
pub(crate) struct CountingDisk {
    disk: MemoryDisk,
    read: Arc<AtomicU64>,
}

impl CountingDisk {
    /// Counts what is read of these files from now on.
    pub(crate) fn over(disk: &MemoryDisk) -> Self {
        Self {
            disk: disk.clone(),
            read: Arc::default(),
        }
    }

    /// How many bytes were read.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    fn counted(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let read = Arc::clone(&self.read);
        Arc::new(CountingFile { file, read })
    }
}

struct CountingFile {
    file: Arc<dyn DiskFile>,
    read: Arc<AtomicU64>,
}

impl Disk for CountingDisk {
    fn lock(&self) -> Result<Lock, DiskError> {
        self.disk.lock()
    }

    fn make_directory(&self, directory: &str) -> Result<(), DiskError> {
        self.disk.make_directory(directory)
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, DiskError> {
        self.disk.list(directory)
    }

    fn create(&self, path: &str) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(self.counted(self.disk.create(path)?))
    }

    fn open(&self, path: &str) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(self.counted(self.disk.open(path)?))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.disk.remove(path)
    }

    fn sync_directory(&self, directory: &str) -> Result<(), DiskError> {
        self.disk.sync_directory(directory)
    }
}

impl DiskFile for CountingFile {
    fn size(&self) -> Result<u64, DiskError> {
        self.file.size()
    }

    fn reserve(&self, size: u64) -> Result<(), DiskError> {
        self.file.reserve(size)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let count = self.file.read_at(offset, into)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, DiskError> {
        self.file.write_at(offset, bytes)
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.file.sync()
    }
}
