//! A disk in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::{Cause, Disk, DiskError, DiskFile, Lock};

/// The bytes of one file: what was written, and zeros from there to its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    bytes: Vec<u8>,
    size: u64,
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes were written, with what lies between them.
    pub(super) fn written(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn reserve(&mut self, size: u64) {
        self.size = self.size.max(size);
    }

    pub(super) fn cut(&mut self, size: u64) {
        self.size = self.size.min(size);
        self.bytes.truncate(self.size as usize);
    }

    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> usize {
        let count = self.size.saturating_sub(offset).min(into.len() as u64) as usize;
        let start = (offset as usize).min(self.bytes.len());
        let written = &self.bytes[start..self.bytes.len().min(start + count)];
        into[..written.len()].copy_from_slice(written);
        into[written.len()..count].fill(0);
        count
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if self.bytes.len() < end {
            if self.bytes.capacity() < end {
                // Grows by an eighth: thousands of simulated nodes hold some of these each.
                let room = end + (end / 8).clamp(4_096, 1 << 20);
                self.bytes.reserve_exact(room - self.bytes.len());
            }
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(bytes);
        self.size = self.size.max(end as u64);
    }
}

/// The names in `directory` among the paths, in their order.
pub(super) fn names_in<'a>(
    paths: impl Iterator<Item = &'a String>,
    directory: &str,
) -> Vec<String> {
    let mut names: Vec<String> = paths
        .filter_map(|path| match directory {
            "" => path.split('/').next(),
            _ => path.strip_prefix(directory)?.strip_prefix('/'),
        })
        .map(str::to_owned)
        .collect();
    names.dedup();
    names
}

type Shared = Arc<Mutex<Content>>;

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Shared>,
    locked: bool,
}

/// A disk in memory: a handle, whose clones show the same files. What was preallocated and not
/// written takes no memory. Nothing is lost before the last clone is dropped, so that a simulated
/// node that is stopped and started again finds its files.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk of its own with the same files, unlocked.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        for (path, content) in self.contents() {
            copy.put(path, content);
        }
        copy
    }

    /// Every file, and how many bytes of it were written.
    #[must_use]
    pub fn written(&self) -> Vec<(String, u64)> {
        let state = self.state.lock();
        let written = |(path, file): (&String, &Shared)| (path.clone(), file.lock().written());
        state.files.iter().map(written).collect()
    }

    /// Changes bits of one byte of a file where it lies, as age does.
    pub fn flip(&self, path: &str, offset: u64, bits: u8) -> Result<(), DiskError> {
        let file = self.find(path, "flip")?;
        let (mut content, mut byte) = (file.lock(), [0]);
        content.read(offset, &mut byte);
        content.write(offset, &[byte[0] ^ bits]);
        Ok(())
    }

    /// Every file.
    pub(super) fn contents(&self) -> Vec<(String, Content)> {
        let state = self.state.lock();
        let copied = |(path, file): (&String, &Shared)| (path.clone(), file.lock().clone());
        state.files.iter().map(copied).collect()
    }

    pub(super) fn put(&self, path: String, content: Content) {
        let file = Arc::new(Mutex::new(content));
        self.state.lock().files.insert(path, file);
    }

    fn find(&self, path: &str, call: &'static str) -> Result<Shared, DiskError> {
        let state = self.state.lock();
        let file = state.files.get(path).cloned();
        file.ok_or_else(|| DiskError::new(Cause::NotFound, call, path))
    }
}

impl Disk for MemoryDisk {
    fn lock(&self) -> Result<Lock, DiskError> {
        if std::mem::replace(&mut self.state.lock().locked, true) {
            let cause = Cause::InUse("another store in this process".to_owned());
            return Err(DiskError::new(cause, "lock", "LOCK"));
        }
        Ok(Box::new(Held(Arc::clone(&self.state))))
    }

    fn make_directory(&self, _directory: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, DiskError> {
        Ok(names_in(self.state.lock().files.keys(), directory))
    }

    fn create(&self, path: &str) -> Result<Arc<dyn DiskFile>, DiskError> {
        let mut state = self.state.lock();
        if state.files.contains_key(path) {
            return Err(DiskError::new(Cause::Exists, "create", path));
        }
        let file = Shared::default();
        state.files.insert(path.to_owned(), Arc::clone(&file));
        Ok(Arc::new(MemoryFile(file)))
    }

    fn open(&self, path: &str) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(Arc::new(MemoryFile(self.find(path, "open")?)))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let file = self.find(from, "rename")?;
        let mut state = self.state.lock();
        state.files.remove(from);
        state.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.find(path, "remove")?;
        self.state.lock().files.remove(path);
        Ok(())
    }

    fn sync_directory(&self, _directory: &str) -> Result<(), DiskError> {
        Ok(())
    }
}

struct Held(Arc<Mutex<State>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.lock().locked = false;
    }
}

struct MemoryFile(Shared);

impl DiskFile for MemoryFile {
    fn size(&self) -> Result<u64, DiskError> {
        Ok(self.0.lock().size())
    }

    fn reserve(&self, size: u64) -> Result<(), DiskError> {
        self.0.lock().reserve(size);
        Ok(())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        Ok(self.0.lock().read(offset, into))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, DiskError> {
        self.0.lock().write(offset, bytes);
        Ok(bytes.len())
    }

    fn sync(&self) -> Result<(), DiskError> {
        Ok(())
    }
}
