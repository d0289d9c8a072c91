//! Files that hold secrets.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::base::{decode_hex_array, encode_hex};
use crate::crypto::ed25519::SecretKey;

/// No file with a key is longer.
const FILE_BYTES_MAX: u64 = 4_096;
/// What a key file begins with.
const KEY_FILE_TEXT: &str = "\
# A secret key of keel: whoever reads this file can spend what the account holds, and without it
# nobody can. Keep a copy in a safe place.
";

/// Why a key file could not be read or made.
#[derive(Debug)]
pub enum KeyFileError {
    /// It is there already.
    Exists(PathBuf),
    /// The system refuses.
    Io {
        /// What was tried.
        call: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Others can read it.
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A line is missing or wrong.
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line's name.
        field: &'static str,
        /// What must hold.
        rule: String,
    },
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => write!(
                f,
                "{}: the file is there already and is not overwritten; name another file",
                path.display()
            ),
            Self::Io { call, path, error } => {
                write!(f, "{}: {call} failed: {error}", path.display())
            }
            Self::Open { path, mode } => write!(
                f,
                "{0}: others may read this secret (mode {mode:03o}); run: chmod 600 {0}",
                path.display()
            ),
            Self::Malformed { path, field, rule } => {
                write!(f, "{}: {field}: {rule}", path.display())
            }
        }
    }
}

impl std::error::Error for KeyFileError {}

/// Makes a file with a secret in it, durable and readable by its owner alone. A file that is
/// there already stays as it is.
pub fn write_secret_file(path: &Path, text: &str) -> Result<(), KeyFileError> {
    write_new_file(path, 0o600, text.as_bytes()).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.to_owned()),
        _ => KeyFileError::Io {
            call: "write",
            path: path.to_owned(),
            error,
        },
    })
}

/// Makes a file with these permissions and bytes: durable, or not at all. A file that is there
/// already stays as it is.
pub fn write_new_file(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    make_file(path, mode, |file| file.write_all(bytes))
}

fn make_file(
    path: &Path,
    mode: u32,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    let filled = fill(&mut file)
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_parent(path));
    filled.inspect_err(|_| {
        // Half a file would be taken for a whole one, or stand in the way of the next try.
        let _ = fs::remove_file(path);
    })
}

/// Makes the name of a file durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// The text of a file with a secret in it, which must not be readable by others.
pub fn read_secret_file(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let failed = |call| {
        move |error| KeyFileError::Io {
            call,
            path: path.to_owned(),
            error,
        }
    };
    let file = File::open(path).map_err(failed("open"))?;
    let metadata = file.metadata().map_err(failed("stat"))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX as usize));
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(failed("read"))?;
    Ok(text)
}

/// Makes a key file for a key.
pub fn write_key(path: &Path, key: &SecretKey) -> Result<(), KeyFileError> {
    let seed = Zeroizing::new(encode_hex(&*key.seed()));
    let text = Zeroizing::new(format!("{KEY_FILE_TEXT}seed = \"{}\"\n", *seed));
    write_secret_file(path, &text)
}

/// The key in a key file.
pub fn read_key(path: &Path) -> Result<SecretKey, KeyFileError> {
    let text = read_secret_file(path)?;
    secret_field(path, &text, "seed").map(|seed| SecretKey::from_seed(&seed))
}

/// The 32 bytes that the line `field = "<64 hex digits>"` gives. The files are TOML, but are read
/// without a parser, which would leave copies of the secret in memory.
pub(crate) fn secret_field(
    path: &Path,
    text: &str,
    field: &'static str,
) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let malformed = |rule: String| KeyFileError::Malformed {
        path: path.to_owned(),
        field,
        rule,
    };
    let value_of = |line: &'static str| {
        move |text: &str| -> Option<String> {
            let (name, value) = text.split_once('=')?;
            let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
            (name.trim() == line).then(|| value.to_owned())
        }
    };
    let mut values = text.lines().filter_map(value_of(field)).map(Zeroizing::new);
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(malformed(format!(
            "the file must have one line {field} = \"<64 hex digits>\"; restore it from a copy"
        )));
    };
    decode_hex_array(&value)
        .map(Zeroizing::new)
        .map_err(|error| malformed(format!("{error}; restore the file from a copy")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("keel-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn a_file_that_could_not_be_written_is_not_in_the_way_of_the_next_try() {
        let folder = folder("half-file");
        let path = folder.join("a.key");
        let full = make_file(&path, 0o600, |file| {
            file.write_all(b"hal")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(!path.exists());
        write_new_file(&path, 0o600, b"whole").unwrap();
        let again = write_new_file(&path, 0o600, b"other").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_key_comes_back_from_its_file() {
        let folder = folder("key-file");
        let path = folder.join("a.key");
        let key = SecretKey::from_seed(&[7; 32]);
        write_key(&path, &key).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(read_key(&path).unwrap().seed(), key.seed());
        let other = SecretKey::from_seed(&[8; 32]);
        assert!(matches!(
            write_key(&path, &other),
            Err(KeyFileError::Exists(_))
        ));
        assert_eq!(read_key(&path).unwrap().seed(), key.seed());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = read_key(&path).unwrap_err().to_string();
        assert!(
            error.contains("mode 640") && error.contains("chmod 600"),
            "{error}"
        );
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_damaged_key_file_says_what_is_wrong_and_not_the_secret() {
        let good = "07".repeat(32);
        let path = Path::new("a.key");
        assert!(secret_field(path, &format!("# x\nseed = \"{good}\"\n"), "seed").is_ok());
        for text in [
            String::new(),
            format!("seed = {good}"),
            format!("seed = \"{good}"),
            format!("seed = \"{good}\"\nseed = \"{good}\""),
            format!("seed = \"{}\"", &good[1..]),
            format!("seed = \"{}x\"", &good[1..]),
        ] {
            let error = secret_field(path, &text, "seed").unwrap_err().to_string();
            assert!(
                error.starts_with("a.key: seed: ") && !error.contains("0707"),
                "{error}"
            );
        }
    }
}
