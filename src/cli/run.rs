//! `keel run`: which node to run.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::{CONFIG_FILE, CommandError, Config, Layers, directory};

/// Flags of `keel run`. Each wins over the environment variable `KEEL_..` and over `keel.toml`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The node's data directory [default: $KEEL_DIR, or the current directory]
    #[arg(long, short, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Listen for peers here; several with commas
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Tell peers to connect here instead of where the node listens
    #[arg(long, value_name = "ADDRESS:PORT")]
    advertise: Option<String>,
    /// Stay connected with these peers; several with commas
    #[arg(long, value_name = "KEY@ADDRESS:PORT")]
    peers: Option<String>,
    /// Let so many peers that connect to this node stay connected
    #[arg(long, value_name = "N")]
    inbound: Option<String>,
    /// Serve the RPC here, or "off"
    #[arg(long, value_name = "ADDRESS:PORT")]
    rpc: Option<String>,
    /// "cookie", or "none" to let in everybody who reaches the RPC
    #[arg(long, value_name = "HOW")]
    rpc_auth: Option<String>,
    /// Names that the RPC may be called by; several with commas
    #[arg(long, value_name = "NAME")]
    rpc_hosts: Option<String>,
    /// Mine for this address, or "off"
    #[arg(long, value_name = "ADDRESS")]
    mine: Option<String>,
    /// Hashes to try per second; without it as many as one worker can
    #[arg(long, value_name = "N")]
    hashrate: Option<String>,
    /// Threads for slow work; 0 for one per core
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// Bytes of a segment of the logs, for a new directory
    #[arg(long, value_name = "N")]
    segment_bytes: Option<String>,
    /// The least chainwork of a chain to follow, in hexadecimal digits
    #[arg(long, value_name = "WORK")]
    min_chain_work: Option<String>,
    /// "on" to keep the last inputs for keel replay, "off" to not
    #[arg(long, value_name = "WHETHER")]
    record: Option<String>,
    /// How much to say: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// Die with the process of this number, which started this one
    #[arg(long, value_name = "PID", hide = true)]
    die_with: Option<i32>,
}

/// Has this process killed when the one that started it ends, however that ends. It must still be
/// there.
fn die_with(parent: i32) -> Result<(), CommandError> {
    let failed = |why: String| CommandError::failed(format!("--die-with {parent}: {why}"));
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| failed(error.to_string()))?;
    match getppid() {
        Some(pid) if pid.as_raw_nonzero().get() == parent => Ok(()),
        _ => Err(failed(
            "this process was started by another, or that one has ended".into(),
        )),
    }
}

/// The environment variables that are text.
pub(super) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The configuration file of a directory, if there is one.
pub(super) fn read_config_file(
    directory: &Path,
) -> Result<Option<(PathBuf, String)>, CommandError> {
    let path = directory.join(CONFIG_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CommandError::config(format!(
            "{}: can't be read: {error}",
            path.display()
        ))),
    }
}

/// The configuration of the node to run.
pub(super) fn config(args: &RunArgs) -> Result<Config, CommandError> {
    args.die_with.map_or(Ok(()), die_with)?;
    let directory = directory(args.dir.as_deref());
    let mut layers = Layers::default();
    for (key, value) in [
        ("listen", &args.listen),
        ("advertise", &args.advertise),
        ("peers", &args.peers),
        ("inbound", &args.inbound),
        ("rpc", &args.rpc),
        ("rpc_auth", &args.rpc_auth),
        ("rpc_hosts", &args.rpc_hosts),
        ("mine", &args.mine),
        ("hashrate", &args.hashrate),
        ("workers", &args.workers),
        ("segment_bytes", &args.segment_bytes),
        ("min_chain_work", &args.min_chain_work),
        ("record", &args.record),
        ("log", &args.log),
    ] {
        layers.add_flag(key, value.clone());
    }
    layers.add_environment(environment());
    let Some((path, text)) = read_config_file(&directory)? else {
        return Err(CommandError::config(format!(
            "{}: there is no node here; make one with keel init --dir {0}",
            directory.display()
        )));
    };
    layers.add_file(&path, &text)?;
    layers.config(&directory)
}
