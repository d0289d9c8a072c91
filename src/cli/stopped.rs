//! The directory of a node that does not run.

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
    let failed = |error: &dyn std::fmt::Display| {
        CommandError::failed(format!("{}: {error}", directory.display()))
    };
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
