//! The command line.
//!
//! *Owns* the tree of commands (`docs/cli.md`), the configuration and its layers, the files that
//! `keel init` makes. *Invariants*: every command has a form for people and, with `--json`, one
//! for programs: a single JSON value on standard output; errors go to standard error as one line
//! that names what was wrong and what to do; the exit code tells scripts the kind
//! ([`ExitCode`]).
//! *Never* runs a node: [`execute`] gives back the configuration of one, and the composition root
//! does.

mod ask;
mod bench;
mod config;
mod devnet;
mod export;
mod failure;
mod init;
mod keys;
mod money;
mod node_keys;
mod output;
mod proof;
mod replay;
mod run;
mod sim;
mod stopped;
mod version;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::rpc::auth::{COOKIE_FILE, Cookie};
use crate::rpc::client::Client;

pub use config::{
    CONFIG_FILE, Config, DEFAULT_PORT, DEFAULT_RPC_PORT, GENESIS_FILE, KEYS, Layers, RpcAuth,
};
pub use failure::{CommandError, ExitCode};
pub use init::read_genesis;
pub use node_keys::{NODE_KEY_FILE, new_identity, random_bytes, read_identity, write_identity};
pub use output::Output;
pub use version::{version_json, version_line};

/// A peer-to-peer blockchain node.
#[derive(Debug, Parser)]
#[command(
    name = "keel",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Print one JSON value instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
enum Command {
    /// Make the directory of a node: genesis, configuration, keys
    Init(init::InitArgs),
    /// Run a network of nodes on this machine, with miners and payments
    Devnet(devnet::DevnetArgs),
    /// Run a node until it is told to stop
    Run(run::RunArgs),
    /// Show a running node's tip, peers and mempool
    Status(ask::StatusArgs),
    /// Show a running node's peers
    Peers(ask::PeersArgs),
    /// Show a block: the tip, or one by height or id
    Block(ask::BlockArgs),
    /// Show an account's balance
    Account(ask::AccountArgs),
    /// Pay from the account of a key file
    Send(money::SendArgs),
    /// Make and show key files
    Key(keys::KeyArgs),
    /// Call any method of a running node
    Rpc(ask::RpcArgs),
    /// Work on a node's blocks
    Db(export::DbArgs),
    /// Measure how fast keel is here, beside what limits it
    Bench(bench::BenchArgs),
    /// Run thousands of nodes in this process, from a seed
    Sim(sim::SimArgs),
    /// Save what a node lived through
    Record(replay::RecordArgs),
    /// Let a recorded node live again
    Replay(replay::ReplayArgs),
    /// Check a proof without a node
    VerifyProof(proof::VerifyProofArgs),
    /// Show the version and what it runs on
    Version,
}

/// Which node to ask.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// The node's data directory [default: $KEEL_DIR, or the current directory]
    #[arg(long, short, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The address of the node's RPC [default: what the directory's keel.toml says]
    #[arg(long, value_name = "ADDRESS:PORT")]
    rpc: Option<String>,
    /// The file with the node's cookie [default: rpc.cookie in the directory]
    #[arg(long, value_name = "FILE")]
    cookie: Option<PathBuf>,
}

impl NodeArgs {
    /// The data directory.
    fn directory(&self) -> PathBuf {
        directory(self.dir.as_deref())
    }

    /// A client of the node's RPC.
    fn client(&self) -> Result<Client, CommandError> {
        let directory = self.directory();
        let mut layers = Layers::default();
        layers.add_flag("rpc", self.rpc.clone());
        layers.add_environment(run::environment());
        if let Some((path, text)) = run::read_config_file(&directory)? {
            layers.add_file(&path, &text)?;
        }
        let config = layers.config(&directory)?;
        let Some(address) = config.rpc else {
            return Err(CommandError::config(
                "the node's RPC is off; set rpc in its keel.toml, or name an address with --rpc",
            ));
        };
        let path = self
            .cookie
            .clone()
            .unwrap_or_else(|| directory.join(COOKIE_FILE));
        // Without a cookie file the node may still run elsewhere and need none: it will say.
        let cookie = match (self.cookie.is_some() || path.exists()).then(|| Cookie::read(&path)) {
            Some(cookie) => Some(cookie?),
            None => None,
        };
        Ok(Client::new(address, cookie.as_ref()))
    }
}

/// The directory that was named, or the one from the environment, or the current one.
fn directory(named: Option<&std::path::Path>) -> PathBuf {
    named
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("KEEL_DIR").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("."))
}

/// What is left to do after a command.
#[derive(Debug)]
pub enum Next {
    /// Nothing.
    Done,
    /// Run this node.
    Run(Box<Config>),
}

/// Carries out a command.
pub fn execute(cli: Cli) -> Result<Next, CommandError> {
    let output = Output::new(cli.json);
    match cli.command {
        Command::Init(args) => init::init(&args, &output)?,
        Command::Devnet(args) => devnet::devnet(&args, &output)?,
        Command::Run(args) => return run::config(&args).map(Box::new).map(Next::Run),
        Command::Status(args) => ask::status(&args, &output)?,
        Command::Peers(args) => ask::peers(&args, &output)?,
        Command::Block(args) => ask::block(&args, &output)?,
        Command::Account(args) => ask::account(&args, &output)?,
        Command::Send(args) => money::send(&args, &output)?,
        Command::Key(args) => keys::key(&args, &output)?,
        Command::Rpc(args) => ask::rpc(&args, &output)?,
        Command::Db(args) => export::db(&args, &output)?,
        Command::Bench(args) => bench::bench(&args, &output)?,
        Command::Sim(args) => sim::sim(&args, &output)?,
        Command::Record(args) => replay::record(&args, &output)?,
        Command::Replay(args) => replay::replay(&args, &output)?,
        Command::VerifyProof(args) => proof::verify_proof(&args, &output)?,
        Command::Version => output.print(&version_json(), version::version_text),
    }
    Ok(Next::Done)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }
}
