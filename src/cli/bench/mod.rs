//! `keel bench`: how fast this machine's keel is, beside what limits it.
//!
//! *Owns* the processes it starts and a directory that goes with it. *Invariants*: a measurement
//! and its limit are taken in the same run, on the same data, so that their ratio means the same
//! on a slow or busy machine; what is measured is production: processes of this very program, over
//! sockets, with nothing switched off. *Never* touches a node that it did not start.

mod chain;
mod costs;
mod flood;
mod latency;
mod limit;
mod peer;
mod place;
mod report;
mod responsiveness;
mod rest;
mod start;
mod sync;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use super::{CommandError, Output};

/// Arguments of `keel bench`.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Sync a new node from another one, and compare with verifying the signatures alone
    Sync(SyncArgs),
    /// Start a node on an empty chain and on a long one, and compare
    Start(StartArgs),
    /// Measure response times of a node whose workers are all busy
    Responsiveness(ResponsivenessArgs),
    /// Measure the costs of jobs and messages that the simulator assumes
    Costs(CostsArgs),
}

/// Arguments of `keel bench costs`.
#[derive(Debug, Args)]
struct CostsArgs {
    /// Write the costs to this file, in the simulator's format
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Arguments of `keel bench sync`.
#[derive(Debug, Args)]
struct SyncArgs {
    /// Number of payments in the chain, each by an account of its own to a new one
    #[arg(long, value_name = "N", default_value_t = 60_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    transactions: u32,
    /// Create the nodes' directories in a temporary folder here [default: the system's folder for
    /// temporary files]
    #[arg(long, short, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Arguments of `keel bench start`.
#[derive(Debug, Args)]
struct StartArgs {
    /// Number of payments in the long chain, each by an account of its own to a new one
    #[arg(long, value_name = "N", default_value_t = 300_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    transactions: u32,
    /// Number of empty blocks after them
    #[arg(long, value_name = "N", default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    blocks: u32,
    /// Number of starts of each node
    #[arg(long, value_name = "N", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Create the nodes' directories in a temporary folder here [default: the system's folder for
    /// temporary files]
    #[arg(long, short, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Arguments of `keel bench responsiveness`.
#[derive(Debug, Args)]
struct ResponsivenessArgs {
    /// Duration in seconds
    #[arg(long, value_name = "N", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Create the node's directory in a temporary folder here [default: the system's folder for
    /// temporary files]
    #[arg(long, short, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// How often a node is asked while it is waited for: often beside what is measured, and next to
/// no work.
const ASK_EVERY: Duration = Duration::from_millis(5);

pub(super) fn bench(args: &BenchArgs, output: &Output) -> Result<(), CommandError> {
    match &args.command {
        BenchCommand::Sync(args) => {
            let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
            let measured = sync::measure(&parent, args.transactions, output)?;
            output.print(&measured.to_json(), || measured.to_text());
        }
        BenchCommand::Start(args) => {
            let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
            let length = (args.transactions, args.blocks);
            let measured = start::measure(&parent, length, args.rounds, output)?;
            output.print(&measured.to_json(), || measured.to_text());
        }
        BenchCommand::Responsiveness(args) => {
            let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
            let span = Duration::from_secs(u64::from(args.seconds));
            let measured = responsiveness::measure(&parent, span, output)?;
            output.print(&measured.to_json(), || measured.to_text());
        }
        BenchCommand::Costs(args) => {
            let measured = costs::measure()?;
            output.print(&measured.to_json(), || measured.to_text());
            if let Some(path) = &args.write {
                std::fs::write(path, measured.to_toml()).map_err(|error| {
                    CommandError::failed(format!("{} can't be written: {error}", path.display()))
                })?;
            }
        }
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "waiting is all that is to be done meanwhile"
)]
fn pause(span: Duration) {
    std::thread::sleep(span);
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured is how long things take"
)]
fn clock() -> Instant {
    Instant::now()
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
