//! The directory of a node that does not run.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use crate::disk::RealDisk;
use crate::store::{Options, Store};
use crate::types::GenesisId;

use super::{CommandError, random_bytes};

/// Opens the store of a directory, unless a running node has it.
pub(super) fn open_store(
    directory: &Path,
    genesis: &GenesisId,
) -> Result<Option<Store>, CommandError> {
    let failed = |error: &dyn Display| failed(directory, error);
    let disk = RealDisk::open(directory).map_err(|error| failed(&error))?;
    // A directory whose node never ran is made by this, and keeps this secret.
    let secret = random_bytes()?;
    let dir_id = u64::from_le_bytes(*secret.first_chunk().expect("32 bytes hold 8"));
    let options = Options::production(genesis.0, dir_id, 0);
    match Store::open(Arc::new(disk), &options) {
        Ok((store, _)) => Ok(Some(store)),
        Err(error) if error.is_in_use() => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}

/// Lets `look` look at the store of a directory, unless a running node has it: None then. The
/// directory is left as its node left it.
pub(super) fn with_store<T>(
    directory: &Path,
    genesis: &GenesisId,
    look: impl FnOnce(&mut Store) -> Result<T, CommandError>,
) -> Result<Option<T>, CommandError> {
    let Some(mut store) = open_store(directory, genesis)? else {
        return Ok(None);
    };
    let seen = look(&mut store);
    let left = store.leave();
    left.map_err(|failure| failed(directory, &failure))?;
    seen.map(Some)
}

fn failed(directory: &Path, error: &dyn Display) -> CommandError {
    CommandError::failed(format!("{}: {error}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Append, Kind, Log};

    #[test]
    fn a_look_at_a_stopped_node_leaves_its_end_as_it_was() {
        let directory = std::env::temp_dir().join(format!("keel-stopped-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let genesis = GenesisId([7; 32]);
        let options = Options::production(genesis.0, 1, 0).with_segment_size(64 << 10);
        let open = || {
            let disk = RealDisk::open(&directory).unwrap();
            Store::open(Arc::new(disk), &options).unwrap()
        };
        let look = || {
            let seen = with_store(&directory, &genesis, |store| Ok(store.end(Log::Blocks)));
            assert!(seen.unwrap().is_some());
        };
        for was_clean in [true, false, true] {
            let (mut store, _) = open();
            assert!(
                with_store(&directory, &genesis, |_| Ok(()))
                    .unwrap()
                    .is_none()
            );
            let record = Append::new(Log::Blocks, Kind::Block, vec![3; 500]);
            store.append(&[record]).unwrap();
            store.sync().unwrap();
            if was_clean {
                store.close().unwrap();
            } else {
                drop(store);
            }
            look();
            let refused = with_store(&directory, &genesis, |_| {
                Err::<(), _>(CommandError::failed("no"))
            });
            assert!(refused.is_err());
            let (store, found) = open();
            assert_eq!(found.was_clean, was_clean);
            store.leave().unwrap();
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
