//! Files of a data directory that are written whole.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::wallet::write_new_file;

/// Puts a file with these bytes, for its owner alone, at a name of a folder, so that a crash
/// leaves what stood there or the whole of it. Half a file is called `new` until then; one that a
/// crash has left goes.
pub(super) fn put(folder: &Path, name: &str, new: &str, bytes: &[u8]) -> io::Result<()> {
    let new = folder.join(new);
    match fs::remove_file(&new) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    write_new_file(&new, 0o600, bytes)?;
    fs::rename(&new, folder.join(name)).inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_for_its_owner_and_a_write_that_fails_leaves_no_other() {
        let folder = std::env::temp_dir().join(format!("keel-files-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let (path, new) = (folder.join("bans"), folder.join("bans.new"));
        fs::write(&new, "what a crash left").unwrap();
        for text in ["one", "two"] {
            put(&folder, "bans", "bans.new", text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            assert!(!new.exists());
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(put(&folder, "bans", "bans.new", b"three").is_err());
        assert!(!new.exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
