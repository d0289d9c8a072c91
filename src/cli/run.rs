//! `keel run`: which node to run.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::{CONFIG_FILE, CommandError, Config, Key, Layers, directory};

/// Flags of `keel run`. Each wins over the environment variable `KEEL_..` and over `keel.toml`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The node's data directory [default: $KEEL_DIR, or the current directory]
    #[arg(long, short, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[arg(long, value_name = "ADDRESS:PORT,..", help = Key::help("listen"))]
    listen: Option<String>,
    #[arg(long, value_name = "ADDRESS:PORT,..", help = Key::help("advertise"))]
    advertise: Option<String>,
    #[arg(long, value_name = "KEY@ADDRESS:PORT,..", help = Key::help("peers"))]
    peers: Option<String>,
    #[arg(long, value_name = "N", help = Key::help("inbound"))]
    inbound: Option<String>,
    #[arg(long, value_name = "N", help = Key::help("mempool_bytes"))]
    mempool_bytes: Option<String>,
    #[arg(long, value_name = "ADDRESS:PORT", help = Key::help("rpc"))]
    rpc: Option<String>,
    #[arg(long, value_name = "cookie|none", help = Key::help("rpc_auth"))]
    rpc_auth: Option<String>,
    #[arg(long, value_name = "NAME,..", help = Key::help("rpc_hosts"))]
    rpc_hosts: Option<String>,
    #[arg(long, value_name = "ADDRESS", help = Key::help("mine"))]
    mine: Option<String>,
    #[arg(long, value_name = "N", help = Key::help("hashrate"))]
    hashrate: Option<String>,
    #[arg(long, value_name = "N", help = Key::help("workers"))]
    workers: Option<String>,
    #[arg(long, value_name = "N", help = Key::help("segment_bytes"))]
    segment_bytes: Option<String>,
    #[arg(long, value_name = "WORK", help = Key::help("min_chain_work"))]
    min_chain_work: Option<String>,
    #[arg(long, value_name = "on|off", help = Key::help("record"))]
    record: Option<String>,
    #[arg(long, value_name = "LEVEL", help = Key::help("log"))]
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

/// The error of a directory that is no node's, and what to do.
pub(super) fn no_node(directory: &Path, remedy: &str) -> CommandError {
    CommandError::config(format!(
        "{}: there is no node here; {remedy}",
        directory.display()
    ))
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
        ("mempool_bytes", &args.mempool_bytes),
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
        return Err(no_node(&directory, "make one with keel init"));
    };
    layers.add_file(&path, &text)?;
    layers.config(&directory)
}
