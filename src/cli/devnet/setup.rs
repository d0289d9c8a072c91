//! What stands before a devnet runs: addresses, the genesis, a directory for each node.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::chain::ledger::Ledger;
use crate::cli::{
    CONFIG_FILE, CommandError, GENESIS_FILE, NODE_KEY_FILE, new_identity, write_identity,
};
use crate::consensus::genesis_header;
use crate::types::{Genesis, Millis, encode_address, write_genesis};
use crate::wallet::write_key;

use super::DevnetArgs;
use super::accounts::{self, Account};
use super::client::Client;
use super::load::Load;
use super::plan::{self, Place};
use super::process::NodeProcess;
use super::session::Settings;
use super::threads::Connect;

/// The key of the account that people pay from.
const FAUCET_KEY_FILE: &str = "faucet.key";
/// Segments just large enough for the greatest block, because each log takes the room of two.
const SEGMENT_BYTES: u64 = 8 << 20;

/// A devnet that is ready to start.
pub(super) struct Setup {
    directory: PathBuf,
    /// Whether somebody named the directory, so that it stays.
    named: bool,
    places: Vec<Place>,
    genesis: Genesis,
}

impl Setup {
    /// Finds addresses and writes every node's files.
    pub(super) fn make(args: &DevnetArgs) -> Result<Self, CommandError> {
        let number = std::process::id();
        let places = plan::free_places(usize::from(args.nodes), number as u8)
            .map_err(CommandError::failed)?;
        let temporary = || std::env::temp_dir().join(format!("keel-devnet-{number}"));
        let directory = args.dir.clone().unwrap_or_else(temporary);
        if fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(CommandError::usage(format!(
                "{}: the directory is not empty; remove it, or name another with --dir",
                directory.display()
            )));
        }
        let faucet = accounts::faucet(args.seed);
        let payers = accounts::payers(args.seed, args.tps);
        let genesis = accounts::genesis(places.len(), args.hashrate, now(), &faucet, &payers);
        let setup = Self {
            directory,
            named: args.dir.is_some(),
            places,
            genesis,
        };
        setup.write_files(args, &faucet)?;
        Ok(setup)
    }

    fn node_directory(&self, node: usize) -> PathBuf {
        self.directory.join(format!("node{}", node + 1))
    }

    fn write_files(&self, args: &DevnetArgs, faucet: &Account) -> Result<(), CommandError> {
        let identities = self
            .places
            .iter()
            .map(|_| new_identity(self.genesis.id_puzzle_bits))
            .collect::<Result<Vec<_>, _>>()?;
        let genesis = write_genesis(&self.genesis, &[]);
        for (node, place) in self.places.iter().enumerate() {
            let directory = self.node_directory(node);
            fs::create_dir_all(&directory).map_err(|error| unwritable(&directory, &error))?;
            let peer =
                |other: &usize| format!("{}@{}", identities[*other].key(), self.places[*other].p2p);
            let miner = accounts::miner(args.seed, node);
            let config = node_config(
                place,
                &place.dials.iter().map(peer).collect::<Vec<_>>(),
                &encode_address(&self.genesis.hrp, &miner.id),
                args.hashrate,
            );
            write(&directory.join(CONFIG_FILE), &config)?;
            write(&directory.join(GENESIS_FILE), &genesis)?;
            write_identity(&directory.join(NODE_KEY_FILE), &identities[node])?;
        }
        Ok(write_key(
            &self.directory.join(FAUCET_KEY_FILE),
            &faucet.key,
        )?)
    }

    /// Starts every node.
    pub(super) fn start_nodes(&self) -> Result<Vec<(Place, NodeProcess, Connect)>, CommandError> {
        let failed = |error| CommandError::failed(format!("a node can't be started: {error}"));
        let executable = std::env::current_exe().map_err(failed)?;
        let genesis_id = self.genesis.id();
        let mut nodes = Vec::new();
        for (node, place) in self.places.iter().enumerate() {
            let directory = self.node_directory(node);
            // Were the devnet killed, its nodes would go on unseen.
            let own = std::process::id().to_string();
            let name = directory.to_string_lossy().into_owned();
            let arguments = ["run", "--die-with", &own, "--dir", &name].map(str::to_owned);
            let process =
                NodeProcess::start(&executable, arguments.to_vec(), &directory).map_err(failed)?;
            let address = place.rpc;
            let connect: Connect = Arc::new(move |timeout: Duration| {
                Client::new(address, directory.clone(), genesis_id, timeout)
            });
            nodes.push((place.clone(), process, connect));
        }
        Ok(nodes)
    }

    /// What the session is to do.
    pub(super) fn settings(&self, args: &DevnetArgs) -> Settings {
        let header = genesis_header(&self.genesis, Ledger::genesis(&self.genesis).root());
        let nodes = match args.nodes {
            1 => "1 node".to_owned(),
            nodes => format!("{nodes} nodes"),
        };
        Settings {
            title: format!(
                "keel devnet: {nodes}, {} payments/s, a block every {} s",
                args.tps,
                f64::from(self.genesis.rules.interval_ms) / 1e3
            ),
            notice: format!("Ctrl-C stops it; files are in {}", self.directory.display()),
            hrp: self.genesis.hrp.clone(),
            genesis: header.id(),
            genesis_parent: header.parent_id,
            tps: args.tps,
            duration: args.duration,
            chaos: args.chaos.clone(),
            seed: args.seed,
        }
    }

    /// The payments that are to be made.
    pub(super) fn load(&self, args: &DevnetArgs) -> Load {
        let payers = accounts::payers(args.seed, args.tps);
        Load::new(self.genesis.id(), args.tps, args.seed, payers)
    }

    /// Removes the directory, unless somebody named it; says what is left.
    pub(super) fn clean_up(&self, remove: bool) -> String {
        let directory = self.directory.display();
        if !remove || self.named {
            return format!("the nodes' files are in {directory}");
        }
        match fs::remove_dir_all(&self.directory) {
            Ok(()) => "the nodes' files are removed; --keep keeps them".to_owned(),
            Err(error) => format!("{directory}: can't be removed: {error}"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a chain begins when it is made")]
fn now() -> Millis {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock that stands before 1970 is wrong for every node alike.
    Millis(now.map_or(0, |now| now.as_millis() as u64))
}

/// The configuration of a node.
fn node_config(place: &Place, peers: &[String], miner: &str, hashrate: u64) -> String {
    let mut config = toml::Table::new();
    config.insert("listen".into(), vec![place.p2p.to_string()].into());
    config.insert("peers".into(), peers.to_vec().into());
    config.insert("rpc".into(), place.rpc.to_string().into());
    config.insert("mine".into(), miner.into());
    config.insert("hashrate".into(), (hashrate as i64).into());
    config.insert("segment_bytes".into(), (SEGMENT_BYTES as i64).into());
    config.to_string()
}

fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    fs::write(path, text).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::failed(format!("{}: can't be made: {error}", path.display()))
}
