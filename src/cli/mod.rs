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
mod recording_file;
mod replay;
mod run;
mod sim;
mod stopped;
mod version;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::rpc::auth::{COOKIE_FILE, Cookie, RPC_ADDRESS_FILE};
use crate::rpc::client::Client;

pub use config::{
    CONFIG_FILE, Config, DEFAULT_PORT, DEFAULT_RPC_PORT, GENESIS_FILE, KEYS, Key, Layers,
    MineSetting, RpcAuth,
};
pub use failure::{CommandError, ExitCode};
pub use init::read_genesis;
pub use node_keys::{NODE_KEY_FILE, new_identity, random_bytes, read_identity, write_identity};
pub use output::Output;
pub use recording_file::{RECORDINGS_FOLDER, RecordingWriter, WrittenRecording};
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
    /// Create a node's directory: genesis, configuration, keys
    Init(init::InitArgs),
    /// Run a network of nodes on this machine, with miners and payments
    Devnet(devnet::DevnetArgs),
    /// Run a node until it is stopped
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
    /// Create and show key files
    Key(keys::KeyArgs),
    /// Call any RPC method of a running node
    Rpc(ask::RpcArgs),
    /// Export a node's blocks
    Db(export::DbArgs),
    /// Measure keel on this machine
    Bench(bench::BenchArgs),
    /// Simulate a network of nodes in one process, from a seed
    Sim(sim::SimArgs),
    /// Save a node's recording
    Record(replay::RecordArgs),
    /// Re-execute a recording
    Replay(replay::ReplayArgs),
    /// Verify a proof without a node
    VerifyProof(proof::VerifyProofArgs),
    /// Show the version, and which signature and hash code this machine uses
    Version,
}

/// Which node to ask.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// Data directory of the node [default: $KEEL_DIR, or the current directory]
    #[arg(long, short, value_name = "DIR", global = true)]
    dir: Option<PathBuf>,
    /// Address of the node's RPC [default: where the node of the directory serves it]
    #[arg(long, value_name = "ADDRESS:PORT", global = true)]
    rpc: Option<String>,
    /// Cookie file of the node [default: rpc.cookie in the directory]
    #[arg(long, value_name = "FILE", global = true)]
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
        let used = directory.join(RPC_ADDRESS_FILE);
        if let Ok(address) = std::fs::read_to_string(&used) {
            // The flags of a running node may have named another address than its keel.toml.
            layers.add_only("rpc", &used, address.trim());
        }
        match run::read_config_file(&directory)? {
            Some((path, text)) => layers.add_file(&path, &text)?,
            None if layers.has("rpc") => {}
            None => {
                let remedy = "name a node's directory with --dir, or its address with --rpc";
                return Err(run::no_node(&directory, remedy));
            }
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

/// Reads a command line. Help and the version are printed here, and end the process.
pub fn parse<T: Into<OsString> + Clone>(
    words: impl IntoIterator<Item = T>,
) -> Result<Cli, CommandError> {
    use clap::error::ErrorKind::{
        DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion,
    };
    Cli::try_parse_from(words).map_err(|error| match error.kind() {
        DisplayHelp | DisplayVersion | DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        _ => CommandError::usage(one_line(&error.render().to_string())),
    })
}

/// What is wrong with a command line and what to do, from paragraphs of which the first says the
/// one and the next may be a tip.
fn one_line(text: &str) -> String {
    let joined = |paragraph: &str| paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut paragraphs = text.split("\n\n").map(joined);
    let what = paragraphs.next().unwrap_or_default();
    let what = what.strip_prefix("error: ").unwrap_or(&what).to_owned();
    let tip = paragraphs.find_map(|text| text.strip_prefix("tip: ").map(str::to_owned));
    format!(
        "{what}; {}",
        tip.as_deref().unwrap_or("--help shows what there is")
    )
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

    #[test]
    fn a_wrong_command_line_is_told_in_one_line() {
        for (words, said) in [
            (&["keel", "init"][..], &["--name <NAME>", "--help"][..]),
            (
                &["keel", "run", "--listn", "x"],
                &["'--listn'", "argument exists: '--listen'"],
            ),
            (
                &["keel", "init", "--profile", "x"],
                &["'x'", "main, test, dev, consortium"],
            ),
            (&["keel", "fly"], &["'fly'"]),
            (
                &["keel", "sim", "x", "--seeds", "2..1"],
                &["the first is greater"],
            ),
        ] {
            let error = parse(words).expect_err("it makes no sense");
            assert_eq!(error.code, ExitCode::Usage);
            let message = error.message;
            assert!(
                !message.contains('\n') && !message.starts_with("error"),
                "{message}"
            );
            assert!(said.iter().all(|part| message.contains(part)), "{message}");
        }
    }

    #[test]
    fn options_of_peers_stand_on_either_side_of_its_subcommand() {
        for words in [
            ["keel", "peers", "--json", "--dir", "d", "bans"],
            ["keel", "peers", "bans", "--json", "--dir", "d"],
            ["keel", "--json", "peers", "--dir", "d", "bans"],
        ] {
            let cli = parse(words).expect("it makes sense");
            let Command::Peers(peers) = cli.command else {
                panic!("{words:?} is about peers");
            };
            assert!(cli.json);
            assert_eq!(peers.directory(), std::path::Path::new("d"));
        }
        let add = ["keel", "peers", "--add", "k@127.0.0.1:1", "bans"];
        let cli = parse(add).expect("clap lets it pass");
        let error = execute(cli).expect_err("what is asked for is not clear");
        assert_eq!(error.code, ExitCode::Usage, "{error}");
    }

    #[test]
    fn help_of_run_names_the_defaults() {
        let mut command = Cli::command();
        let run = command.find_subcommand_mut("run").expect("it is there");
        let help = run.render_help().to_string();
        for Key { name, default, .. } in KEYS {
            let shown = default.trim_matches(['[', ']', '"']);
            let line = format!("[default: {shown}]");
            assert!(shown.is_empty() || help.contains(&line), "{name}: {help}");
        }
    }
}
