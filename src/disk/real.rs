//! A directory of the file system.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock, fstatvfs};
use rustix::io::Errno;

use super::map::Map;
use crate::store::{Cause, Disk, DiskError, DiskFile, Lock};

/// A data directory.
#[derive(Clone, Debug)]
pub struct RealDisk {
    directory: PathBuf,
    /// Whether files may be shown as memory.
    shows: Arc<AtomicBool>,
}

impl RealDisk {
    /// The directory of that path, made if it is not there.
    pub fn open(directory: &Path) -> Result<Self, DiskError> {
        let disk = Self {
            directory: directory.to_owned(),
            shows: Arc::new(AtomicBool::new(true)),
        };
        make_directory(directory, true).map_err(|error| disk.error(error, "make directory", ""))?;
        Ok(disk)
    }

    /// From now on shows no file as memory, so that everything is read by calls. A bad sector under
    /// memory ends the process, and would end the next one as well; a call that meets it fails.
    pub fn show_nothing(&self) {
        self.shows.store(false, Ordering::Relaxed);
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    fn error(&self, error: impl Into<io::Error>, call: &'static str, path: &str) -> DiskError {
        disk_error(&error.into(), call, &self.path(path))
    }

    fn file(
        &self,
        call: &'static str,
        path: &str,
        is_new: bool,
    ) -> Result<Arc<dyn DiskFile>, DiskError> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(is_new)
            .mode(0o600)
            .open(self.path(path));
        Ok(Arc::new(RealFile {
            file: opened.map_err(|error| self.error(error, call, path))?,
            path: self.path(path),
            shows: Arc::clone(&self.shows),
            map: OnceLock::new(),
        }))
    }
}

fn make_directory(path: &Path, with_parents: bool) -> io::Result<()> {
    let made = DirBuilder::new()
        .mode(0o700)
        .recursive(with_parents)
        .create(path);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
}

fn disk_error(error: &io::Error, call: &'static str, path: &Path) -> DiskError {
    let cause = match error.kind() {
        io::ErrorKind::NotFound => Cause::NotFound,
        io::ErrorKind::AlreadyExists => Cause::Exists,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Cause::NoSpace,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Cause::Denied,
        _ => Cause::Other(error.to_string()),
    };
    DiskError::new(cause, call, &path.display().to_string())
}

impl Disk for RealDisk {
    fn lock(&self) -> Result<Lock, DiskError> {
        const LOCK: &str = "LOCK";
        let error = |error: io::Error| self.error(error, "lock", LOCK);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path(LOCK))
            .map_err(error)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // The number is for people: without it the refusal stands all the same.
                let _ = file.take(20).read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    number => format!("process {number}"),
                };
                let path = self.path(LOCK).display().to_string();
                return Err(DiskError::new(Cause::InUse(holder), "lock", &path));
            }
            Err(other) => return Err(error(other.into())),
        }
        // A full disk must not keep a node from starting that would only read.
        let _ = write_holder(&mut file);
        Ok(Box::new(file))
    }

    fn make_directory(&self, directory: &str) -> Result<(), DiskError> {
        make_directory(&self.path(directory), false)
            .map_err(|error| self.error(error, "make directory", directory))
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, DiskError> {
        let error = |error: io::Error| self.error(error, "list", directory);
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(directory)).map_err(error)? {
            // The store makes no name that is not text.
            names.extend(entry.map_err(error)?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, path: &str) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.file("create", path, true)
    }

    fn open(&self, path: &str) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.file("open", path, false)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        fs::rename(self.path(from), self.path(to))
            .map_err(|error| self.error(error, "rename", from))
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        fs::remove_file(self.path(path)).map_err(|error| self.error(error, "remove", path))
    }

    fn sync_directory(&self, directory: &str) -> Result<(), DiskError> {
        File::open(self.path(directory))
            .and_then(|directory| directory.sync_all())
            .map_err(|error| self.error(error, "sync directory", directory))
    }
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

struct RealFile {
    file: File,
    path: PathBuf,
    shows: Arc<AtomicBool>,
    /// Made when it is first looked at; None when the system would not.
    map: OnceLock<Option<Map>>,
}

impl RealFile {
    fn error(&self, error: impl Into<io::Error>, call: &'static str) -> DiskError {
        disk_error(&error.into(), call, &self.path)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Whether the file system has so many bytes to give, as far as it says. A try that finds out
    /// would take what there is from everybody else for as long as it lasts.
    fn has_space(&self, bytes: u64) -> bool {
        match fstatvfs(&self.file) {
            // One that has no blocks at all does not count them.
            Ok(there) if there.f_blocks > 0 => {
                there.f_bavail.saturating_mul(there.f_frsize) >= bytes
            }
            _ => true,
        }
    }

    /// Writes zeros where the file system can't reserve space by itself.
    fn fill(&self, size: u64) -> io::Result<()> {
        let zeros = vec![0; 1 << 20];
        let mut at = self.len()?;
        while at < size {
            let len = zeros.len().min((size - at) as usize);
            self.file.write_all_at(&zeros[..len], at)?;
            at += len as u64;
        }
        Ok(())
    }
}

impl DiskFile for RealFile {
    fn size(&self) -> Result<u64, DiskError> {
        self.len().map_err(|error| self.error(error, "size"))
    }

    fn reserve(&self, size: u64) -> Result<(), DiskError> {
        let more = size.saturating_sub(self.size()?);
        if more == 0 {
            return Ok(());
        }
        if !self.has_space(more) {
            return Err(self.error(Errno::NOSPC, "reserve"));
        }
        match fallocate(&self.file, FallocateFlags::empty(), 0, size) {
            Err(Errno::OPNOTSUPP) => self
                .fill(size)
                .map_err(|error| self.error(error, "reserve")),
            other => other.map_err(|error| self.error(error, "reserve")),
        }
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        again(|| self.file.read_at(into, offset)).map_err(|error| self.error(error, "read"))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, DiskError> {
        again(|| self.file.write_at(bytes, offset)).map_err(|error| self.error(error, "write"))
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.file
            .sync_data()
            .map_err(|error| self.error(error, "sync"))
    }

    fn view(&self, offset: u64, len: usize) -> Option<&[u8]> {
        if !self.shows.load(Ordering::Relaxed) {
            return None;
        }
        let map = self.map.get_or_init(|| Map::of(&self.file).ok());
        map.as_ref()?.slice(offset, len)
    }
}

/// Makes a call again that a signal cut short.
fn again(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
