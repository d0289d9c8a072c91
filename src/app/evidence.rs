//! Blocks on whose outcome nodes do not agree, each kept in a file of its own: whoever must find
//! out which node is right needs their bytes, and peers that refuse a block do not serve it.
//!
//! Owns the folder `divergence/` of a data directory, where a file is called as its block's id and
//! has the block's bytes as they travel, header first.
//!
//! *Invariants*: a file is whole, whenever the process ends; there are never more than sixteen.
//! *Never* reads one again, takes one away, or keeps the event loop waiting.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::reactor::EvidenceFolder;
use crate::types::BlockId;

use super::files;

/// The folder of a data directory that holds them.
const FOLDER: &str = "divergence";
/// How many are kept. Nodes that do not agree once do not agree on anything that follows, so that
/// the first ones say it all; and whoever makes blocks to fill disks has to work for each.
const FILES_MAX: usize = 16;
/// The name of a file that is half written.
const NEW_FILE: &str = "new";

/// What came of keeping a block.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    /// It is in this file now.
    Here(PathBuf),
    /// It was there already.
    Already,
    /// There are as many as are kept.
    Full(PathBuf),
}

/// Keeps the bytes of a block, so that a crash leaves the whole file or none.
fn keep(directory: &Path, id: &BlockId, bytes: &[u8]) -> io::Result<Kept> {
    let folder = directory.join(FOLDER);
    let made = DirBuilder::new().mode(0o700).create(&folder);
    if let Err(error) = made
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    let path = folder.join(id.to_string());
    if path.exists() {
        return Ok(Kept::Already);
    }
    let mut count = 0;
    for entry in fs::read_dir(&folder)? {
        count += usize::from(entry?.file_name() != NEW_FILE);
    }
    if count >= FILES_MAX {
        return Ok(Kept::Full(folder));
    }
    files::put(&folder, &id.to_string(), NEW_FILE, bytes)?;
    fs::File::open(directory)?.sync_all()?;
    Ok(Kept::Here(path))
}

/// Writes them, one at a time.
pub(super) struct EvidencePort {
    directory: PathBuf,
    writing: Option<std::thread::JoinHandle<()>>,
}

impl EvidencePort {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            writing: None,
        }
    }
}

impl EvidenceFolder for EvidencePort {
    fn keep(&mut self, id: BlockId, bytes: Arc<[u8]>) {
        let directory = self.directory.clone();
        let before = self.writing.take();
        let work = move || {
            if let Some(before) = before {
                // One that panicked has said so.
                let _ = before.join();
            }
            match keep(&directory, &id, &bytes) {
                Ok(Kept::Here(path)) => {
                    log::error!(
                        "block {id}, on which nodes differ, is kept in {}",
                        path.display()
                    );
                }
                Ok(Kept::Already) => {}
                Ok(Kept::Full(folder)) => log::error!(
                    "block {id}, on which nodes differ, is not kept: {} has {FILES_MAX} of them; \
                     move them away",
                    folder.display()
                ),
                Err(error) => {
                    log::error!("block {id}, on which nodes differ, can't be kept: {error}");
                }
            }
        };
        let thread = std::thread::Builder::new().name("evidence".to_owned());
        match thread.spawn(work) {
            Ok(thread) => self.writing = Some(thread),
            Err(error) => log::error!("block {id} can't be kept: no thread starts: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn so_many_blocks_are_kept_for_their_owner_alone() {
        let name = format!("keel-evidence-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        let folder = directory.join(FOLDER);
        let count = || {
            let names = fs::read_dir(&folder)
                .unwrap()
                .map(|it| it.unwrap().file_name());
            names.filter(|name| name != NEW_FILE).count()
        };
        for number in 0..FILES_MAX as u8 {
            let id = BlockId([number; 32]);
            let path = folder.join(id.to_string());
            let kept = keep(&directory, &id, &[number, 1, 2]).unwrap();
            assert_eq!(kept, Kept::Here(path.clone()));
            assert_eq!(fs::read(&path).unwrap(), [number, 1, 2]);
            let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&path), mode(&folder)), (0o600, 0o700));
            // The same once more, and what a crash left.
            assert_eq!(keep(&directory, &id, &[9]).unwrap(), Kept::Already);
            fs::write(folder.join(NEW_FILE), "half").unwrap();
        }
        let more = BlockId([0xff; 32]);
        let full = Kept::Full(folder.clone());
        assert_eq!(keep(&directory, &more, &[1]).unwrap(), full);
        assert_eq!(count(), FILES_MAX, "what is half written is none of them");
        fs::remove_file(folder.join(BlockId([3; 32]).to_string())).unwrap();
        let path = folder.join(more.to_string());
        assert_eq!(keep(&directory, &more, &[1]).unwrap(), Kept::Here(path));
        assert_eq!(keep(&directory, &BlockId([0xfe; 32]), &[1]).unwrap(), full);
        fs::remove_dir_all(&directory).unwrap();
    }
}
