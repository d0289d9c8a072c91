//! `keel db`: a node's blocks as a file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::base::{counted, decode_hex};
use crate::chain::ChainState;
use crate::codec::{Decode, Encode, Reader};
use crate::node::{BlockReader, Recovered};
use crate::rpc::client::Client;
use crate::store::{self, Lsn, Store};
use crate::types::{BlockId, Genesis, Header};
use crate::wallet::KeyFileError;

use super::stopped::with_store;
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
    /// Write the genesis and every block of a node's best chain to a new file; the node may be
    /// running or stopped
    Export {
        /// The file, which must not exist
        file: PathBuf,
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// Where the blocks come from.
enum Source {
    /// A running node, asked by height; the id of the block before the next.
    Running(Box<Client>, BlockId),
    /// The log of one that does not run: where the blocks from height 1 stand.
    Stopped(store::Reader, Vec<Lsn>),
}

pub(super) fn db(args: &DbArgs, output: &Output) -> Result<(), CommandError> {
    let DbCommand::Export { file, node } = &args.command;
    let directory = node.directory();
    let genesis = read_genesis(&directory.join(GENESIS_FILE))?.genesis;
    let stopped = with_store(&directory, &genesis.id(), |store| {
        let first = ChainState::genesis(&genesis).id;
        let places = best_chain(store, &first)
            .map_err(|what| CommandError::failed(format!("{}: {what}", directory.display())))?;
        let tip = places.len() as u64;
        Ok((Source::Stopped(store.reader(), places), tip))
    })?;
    let (mut source, tip) = match stopped {
        Some(stopped) => stopped,
        None => running(node.client()?, &genesis)?,
    };
    let created = OpenOptions::new().write(true).create_new(true).open(file);
    let target = created.map_err(|error| cannot_write(file, &error))?;
    let written = export(&mut source, &genesis, tip, target, file);
    if written.is_err() {
        // Half an export would be taken for a whole one.
        let _ = fs::remove_file(file);
    }
    written?;
    output.print(
        &json!({ "blocks": tip, "file": file.display().to_string() }),
        || {
            let blocks = counted(tip, "block");
            format!("wrote the genesis and {blocks} to {}", file.display())
        },
    );
    Ok(())
}

fn cannot_write(file: &Path, error: &io::Error) -> CommandError {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return KeyFileError::Exists(file.to_owned()).into();
    }
    CommandError::failed(format!("{}: can't be written: {error}", file.display()))
}

/// A running node as a source, and the height of its tip.
fn running(mut client: Client, genesis: &Genesis) -> Result<(Source, u64), CommandError> {
    let chain = client.call("getblockchaininfo", &Value::Null)?;
    if chain["genesis_id"].as_str() != Some(&genesis.id().to_string()) {
        return Err(CommandError::config(
            "the node runs on another chain than the genesis in the directory says",
        ));
    }
    let first = chain["genesis_block"]
        .as_str()
        .and_then(|id| id.parse().ok());
    let (Some(tip), Some(first)) = (chain["blocks"].as_u64(), first) else {
        return Err(CommandError::failed(
            "the node describes its chain incompletely",
        ));
    };
    Ok((Source::Running(Box::new(client), first), tip))
}

/// Where the blocks from height 1 to the tip stand in a log. All of them, or it is an error: half a
/// chain would be taken for a whole one.
fn best_chain(store: &mut Store, genesis_block: &BlockId) -> Result<Vec<Lsn>, String> {
    let (blocks, tip) = Recovered::every_block(store).map_err(|failure| failure.to_string())?;
    let by_id: BTreeMap<BlockId, (Lsn, BlockId)> = blocks
        .iter()
        .map(|(lsn, header)| (header.id(), (*lsn, header.parent_id)))
        .collect();
    let mut places = Vec::new();
    // Below height 1 is the genesis block, which no log holds.
    let mut next = tip.unwrap_or(*genesis_block);
    while next != *genesis_block {
        let Some((lsn, parent)) = by_id.get(&next) else {
            return Err(format!(
                "block {next} of the best chain, {} below the tip, can't be read; run the node, \
                 which fetches it again, and then export",
                places.len()
            ));
        };
        places.push(*lsn);
        next = *parent;
    }
    places.reverse();
    Ok(places)
}

impl Source {
    /// The bytes of the block at a height; heights are asked for in order.
    fn block(&mut self, height: u64) -> Result<Vec<u8>, CommandError> {
        match self {
            Self::Stopped(reader, places) => {
                let bytes = reader.read_block(places[height as usize - 1]);
                bytes
                    .map(|bytes| bytes.to_vec())
                    .map_err(CommandError::failed)
            }
            Self::Running(client, parent) => {
                let hex = client.call("getblock", &json!([height, 0]))?;
                let bytes = hex.as_str().and_then(|hex| decode_hex(hex).ok());
                let bytes = bytes.ok_or_else(|| CommandError::failed("the node gives no block"))?;
                let header = Header::decode(&mut Reader::new(&bytes)).map_err(|error| {
                    CommandError::failed(format!("the node's block at height {height}: {error}"))
                })?;
                if header.parent_id != *parent {
                    return Err(CommandError::failed(format!(
                        "the node changed to another branch below height {height}; run this again"
                    )));
                }
                *parent = header.id();
                Ok(bytes)
            }
        }
    }
}

fn export(
    source: &mut Source,
    genesis: &Genesis,
    tip: u64,
    target: File,
    file: &Path,
) -> Result<(), CommandError> {
    let failed = |error: io::Error| cannot_write(file, &error);
    let mut target = BufWriter::new(target);
    target.write_all(EXPORT_MAGIC).map_err(failed)?;
    write_part(&mut target, &genesis.to_bytes()).map_err(failed)?;
    for height in 1..=tip {
        let bytes = source.block(height)?;
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
