//! `keel db`: a node's blocks as a file.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::base::decode_hex;
use crate::codec::{Decode, Encode, Reader};
use crate::rpc::client::Client;
use crate::types::{BlockId, Genesis, Header};

use super::{CommandError, GENESIS_FILE, NodeArgs, Output, read_genesis};

/// What an export begins with. Then come the genesis and the blocks from height 1, each with its
/// length before it as a little-endian u32.
const EXPORT_MAGIC: &[u8; 8] = b"KEELEXP1";

/// Arguments of `keel db`.
#[derive(Debug, Args)]
pub(super) struct DbArgs {
    #[command(subcommand)]
    command: DbCommand,
}

#[derive(Debug, Subcommand)]
enum DbCommand {
    /// Write the genesis and every block of a running node's best chain to a new file
    Export {
        /// The file, which must not be there
        file: PathBuf,
        #[command(flatten)]
        node: NodeArgs,
    },
}

pub(super) fn db(args: &DbArgs, output: &Output) -> Result<(), CommandError> {
    let DbCommand::Export { file, node } = &args.command;
    let genesis = read_genesis(&node.directory().join(GENESIS_FILE))?.genesis;
    let mut client = node.client()?;
    let chain = client.call("getblockchaininfo", &Value::Null)?;
    if chain["genesis_id"].as_str() != Some(&genesis.id().to_string()) {
        return Err(CommandError::config(
            "the node runs on another chain than the genesis in the directory says",
        ));
    }
    let (Some(tip), Some(first)) = (chain["blocks"].as_u64(), chain["genesis_block"].as_str())
    else {
        return Err(CommandError::failed(
            "the node describes its chain incompletely",
        ));
    };
    let first: BlockId = first
        .parse()
        .map_err(|_| CommandError::failed("the node gives no id of block 0"))?;
    let written = export(&mut client, &genesis, first, tip, file);
    if written.is_err() {
        // Half an export would be taken for a whole one.
        let _ = std::fs::remove_file(file);
    }
    written?;
    output.print(
        &json!({ "blocks": tip, "file": file.display().to_string() }),
        || format!("wrote the genesis and {tip} blocks to {}", file.display()),
    );
    Ok(())
}

fn export(
    client: &mut Client,
    genesis: &Genesis,
    mut parent: BlockId,
    tip: u64,
    file: &Path,
) -> Result<(), CommandError> {
    let failed = |error: io::Error| {
        CommandError::failed(format!("{}: can't be written: {error}", file.display()))
    };
    let target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file)
        .map_err(failed)?;
    let mut target = BufWriter::new(target);
    target.write_all(EXPORT_MAGIC).map_err(failed)?;
    write_part(&mut target, &genesis.to_bytes()).map_err(failed)?;
    for height in 1..=tip {
        let hex = client.call("getblock", &json!([height, 0]))?;
        let bytes = hex.as_str().and_then(|hex| decode_hex(hex).ok());
        let bytes = bytes.ok_or_else(|| CommandError::failed("the node gives no block"))?;
        let header = Header::decode(&mut Reader::new(&bytes)).map_err(|error| {
            CommandError::failed(format!("the node's block at height {height}: {error}"))
        })?;
        if header.parent_id != parent {
            return Err(CommandError::failed(format!(
                "the node changed to another branch below height {height}; run this again"
            )));
        }
        parent = header.id();
        write_part(&mut target, &bytes).map_err(failed)?;
    }
    let target = target
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    target.sync_all().map_err(failed)
}

fn write_part(target: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).expect("genesis and blocks are shorter than 4 GiB");
    target.write_all(&length.to_le_bytes())?;
    target.write_all(bytes)
}
