//! The file that holds a node's keys.

use std::path::Path;

use zeroize::Zeroizing;

use crate::base::{Rng, encode_hex};
use crate::wallet::{KeyFileError, read_secret_file, secret_field, write_secret_file};
use crate::wire::NodeIdentity;

use super::CommandError;

/// The file of a data directory that holds the node's keys.
pub const NODE_KEY_FILE: &str = "node.key";

/// A new identity whose id solves the chain's puzzle.
pub fn new_identity(puzzle_bits: u8) -> Result<NodeIdentity, CommandError> {
    let mut rng = Rng::from_seed(*random_bytes()?);
    Ok(NodeIdentity::generate(&mut rng, puzzle_bits))
}

/// Makes the file that holds an identity.
pub fn write_identity(path: &Path, identity: &NodeIdentity) -> Result<(), KeyFileError> {
    let signing = Zeroizing::new(encode_hex(&*identity.signing().seed()));
    let transport = Zeroizing::new(encode_hex(&*identity.transport().seed()));
    let text = Zeroizing::new(format!(
        "# The secret keys of a keel node: whoever reads this file can pose as the node.\n\
         signing = \"{}\"\ntransport = \"{}\"\n",
        *signing, *transport
    ));
    write_secret_file(path, &text)
}

/// The identity in a file.
pub fn read_identity(path: &Path) -> Result<NodeIdentity, KeyFileError> {
    let text = read_secret_file(path)?;
    let signing = secret_field(path, &text, "signing")?;
    let transport = secret_field(path, &text, "transport")?;
    Ok(NodeIdentity::from_seeds(&signing, &transport))
}

/// 32 bytes from the system's source of randomness.
pub fn random_bytes() -> Result<Zeroizing<[u8; 32]>, CommandError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).map_err(|error| {
        CommandError::failed(format!("the system gives no randomness for keys: {error}"))
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_comes_back_from_its_file() {
        let path = std::env::temp_dir().join(format!("keel-node-keys-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let identity = new_identity(4).unwrap();
        assert!(identity.id().solves_puzzle(4));
        write_identity(&path, &identity).unwrap();
        let read = read_identity(&path).unwrap();
        assert_eq!((read.key(), read.id()), (identity.key(), identity.id()));
        std::fs::remove_file(&path).unwrap();
    }
}
