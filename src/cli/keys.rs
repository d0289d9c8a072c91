//! `keel key`: key files.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::base::encode_hex;
use crate::crypto::ed25519::SecretKey;
use crate::types::encode_address;
use crate::wallet::{Payment, read_key, write_key};

use super::{CommandError, GENESIS_FILE, Output, directory, node_keys, read_genesis};

/// Arguments of `keel key`.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Create a key in a new file
    New(FileArgs),
    /// Show the address of a key file
    Show(FileArgs),
}

#[derive(Debug, Args)]
struct FileArgs {
    /// Key file
    file: PathBuf,
    /// Address prefix of the chain, like dkeel [default: that of the genesis in the directory]
    #[arg(long, value_name = "LETTERS")]
    prefix: Option<String>,
    /// Data directory of a node of the chain [default: $KEEL_DIR, or the current directory]
    #[arg(long, short, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl FileArgs {
    fn prefix(&self) -> Result<String, CommandError> {
        if let Some(prefix) = &self.prefix {
            let letters = prefix.bytes().all(|byte| byte.is_ascii_lowercase());
            if !letters || !(1..=8).contains(&prefix.len()) {
                return Err(CommandError::usage(
                    "--prefix: 1 to 8 letters a-z, like dkeel",
                ));
            }
            return Ok(prefix.clone());
        }
        let path = directory(self.dir.as_deref()).join(GENESIS_FILE);
        if !path.exists() {
            return Err(CommandError::usage(
                "an address belongs to a chain: name the directory of a node with --dir, or the \
                 letters that its addresses begin with with --prefix",
            ));
        }
        read_genesis(&path).map(|file| file.genesis.hrp)
    }
}

pub(super) fn key(args: &KeyArgs, output: &Output) -> Result<(), CommandError> {
    match &args.command {
        KeyCommand::New(file) => {
            let prefix = file.prefix()?;
            let key = SecretKey::from_seed(&*node_keys::random_bytes()?);
            write_key(&file.file, &key)?;
            show(file, &prefix, &key, output);
            output.note(
                "Whoever reads this file can spend what the account holds, and without it nobody \
                 can: keep a copy in a safe place.",
            );
        }
        KeyCommand::Show(file) => {
            let prefix = file.prefix()?;
            show(file, &prefix, &read_key(&file.file)?, output);
        }
    }
    Ok(())
}

fn show(file: &FileArgs, prefix: &str, key: &SecretKey, output: &Output) {
    let address = encode_address(prefix, &Payment::payer(key));
    let value = json!({
        "file": file.file.display().to_string(),
        "address": address,
        "public_key": encode_hex(&key.public_key().0),
    });
    output.print(&value, || {
        format!("{address}\nkey file {}", file.file.display())
    });
}
