//! Where a measurement stands: its folder, its nodes' processes, and what the system says of them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::cli::devnet::plan::{Place, free_places};
use crate::cli::devnet::process::{NodeProcess, describe};
use crate::cli::{
    CONFIG_FILE, CommandError, GENESIS_FILE, NODE_KEY_FILE, new_identity, write_identity,
};
use crate::rpc::auth::{COOKIE_FILE, Cookie};
use crate::rpc::client::Client;
use crate::types::{Genesis, NodeKey, write_genesis};

/// What a tick of the processor's clock is in /proc: Linux shows hundredths of a second on every
/// architecture.
const TICK: Duration = Duration::from_millis(10);

/// A folder that goes with the measurement.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn make(parent: &Path) -> Result<Self, CommandError> {
        let path = parent.join(format!("keel-bench-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| unwritable(&path, &error))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be removed now is in nobody's way.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One node that is to be run.
pub(super) struct Site {
    pub(super) directory: PathBuf,
    pub(super) key: NodeKey,
    place: Place,
}

impl Site {
    /// The directory of a node on a new chain and that of one on a chain that is to be made, which
    /// do not know each other.
    pub(super) fn apart(folder: &Folder, genesis: &Genesis) -> Result<[Self; 2], CommandError> {
        let places = free_places(2, std::process::id() as u8).map_err(CommandError::failed)?;
        let mut places = places.into_iter();
        let mut site = |name: &str| {
            let place = places.next().expect("two places were found");
            Self::make(folder.0.join(name), place, genesis, None)
        };
        Ok([site("empty")?, site("full")?])
    }

    /// The directories of two nodes, of which the second knows the first.
    pub(super) fn pair(folder: &Folder, genesis: &Genesis) -> Result<[Self; 2], CommandError> {
        let places = free_places(2, std::process::id() as u8).map_err(CommandError::failed)?;
        let mut places = places.into_iter();
        let mut site = |name: &str, peer: Option<&Self>| {
            let place = places.next().expect("two places were found");
            Self::make(folder.0.join(name), place, genesis, peer)
        };
        let serving = site("serving", None)?;
        let fresh = site("fresh", Some(&serving))?;
        Ok([serving, fresh])
    }

    /// The directory of one node, which knows nobody.
    pub(super) fn alone(
        folder: &Folder,
        name: &str,
        genesis: &Genesis,
    ) -> Result<Self, CommandError> {
        let places = free_places(1, std::process::id() as u8).map_err(CommandError::failed)?;
        let place = places.into_iter().next().expect("one place was found");
        Self::make(folder.0.join(name), place, genesis, None)
    }

    /// Where it is reached by peers.
    pub(super) fn address(&self) -> SocketAddr {
        self.place.p2p
    }

    fn make(
        directory: PathBuf,
        place: Place,
        genesis: &Genesis,
        peer: Option<&Self>,
    ) -> Result<Self, CommandError> {
        fs::create_dir_all(&directory).map_err(|error| unwritable(&directory, &error))?;
        let identity = new_identity(genesis.id_puzzle_bits)?;
        let peers: Vec<String> = peer
            .iter()
            .map(|peer| format!("{}@{}", peer.key, peer.place.p2p))
            .collect();
        let mut config = toml::Table::new();
        config.insert("listen".into(), vec![place.p2p.to_string()].into());
        config.insert("peers".into(), peers.into());
        config.insert("rpc".into(), place.rpc.to_string().into());
        for (file, text) in [
            (CONFIG_FILE, config.to_string()),
            (GENESIS_FILE, write_genesis(genesis, &[])),
        ] {
            let path = directory.join(file);
            fs::write(&path, text).map_err(|error| unwritable(&path, &error))?;
        }
        write_identity(&directory.join(NODE_KEY_FILE), &identity)?;
        Ok(Self {
            directory,
            key: identity.key(),
            place,
        })
    }

    /// Starts the node.
    pub(super) fn start(&self) -> Result<Running<'_>, CommandError> {
        let failed = |error| CommandError::failed(format!("a node can't be started: {error}"));
        let executable = std::env::current_exe().map_err(failed)?;
        let own = std::process::id().to_string();
        let name = self.directory.to_string_lossy().into_owned();
        let arguments = ["run", "--die-with", &own, "--dir", &name].map(str::to_owned);
        let process = NodeProcess::start(&executable, arguments.to_vec(), &self.directory);
        Ok(Running {
            site: self,
            process: process.map_err(failed)?,
            client: None,
        })
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::failed(format!("{}: can't be made: {error}", path.display()))
}

/// A node that runs.
pub(super) struct Running<'a> {
    site: &'a Site,
    process: NodeProcess,
    client: Option<Client>,
}

impl Running<'_> {
    /// The id of its durable tip; nothing while it does not answer. An error when it has ended.
    pub(super) fn tip(&mut self) -> Result<Option<String>, CommandError> {
        if let Ok(Some(status)) = self.process.ended() {
            return Err(CommandError::failed(format!(
                "a node ended with {}; the last lines of its log:\n{}",
                describe(status),
                self.process.log_tail()
            )));
        }
        let answer = self.connected().and_then(|client| {
            let answer = client.call("getbestblockhash", &Value::Null);
            answer.ok()
        });
        if answer.is_none() {
            // It had no time to listen yet, or to write its cookie.
            self.client = None;
        }
        Ok(answer.and_then(|answer| answer.as_str().map(str::to_owned)))
    }

    /// Another connection to its RPC.
    pub(super) fn client(&self) -> Result<Client, CommandError> {
        let cookie = Cookie::read(&self.site.directory.join(COOKIE_FILE))?;
        Ok(Client::new(self.site.place.rpc, Some(&cookie)))
    }

    fn connected(&mut self) -> Option<&mut Client> {
        if self.client.is_none() {
            let cookie = Cookie::read(&self.site.directory.join(COOKIE_FILE)).ok()?;
            self.client = Some(Client::new(self.site.place.rpc, Some(&cookie)));
        }
        self.client.as_mut()
    }

    /// What the process has spent so far.
    pub(super) fn cpu(&self) -> Result<Duration, CommandError> {
        cpu(&self.process.id().to_string())
    }

    /// What its workers have spent so far.
    pub(super) fn workers(&self) -> Result<Workers, CommandError> {
        let path = format!("/proc/{}/task", self.process.id());
        let failed = |error| CommandError::failed(format!("{path}: {error}"));
        let mut workers = Workers::default();
        for thread in fs::read_dir(&path).map_err(failed)? {
            let thread = thread.map_err(failed)?.path();
            let name = fs::read_to_string(thread.join("comm")).unwrap_or_default();
            if name.starts_with("worker-") {
                let path = thread.join("schedstat");
                let read = fs::read_to_string(&path);
                let times = read.ok().as_deref().and_then(times_of_schedstat);
                let (ran, waited) = times.ok_or_else(|| unknown(&path))?;
                workers.count += 1;
                workers.ran += ran;
                workers.waited += waited;
            }
        }
        Ok(workers)
    }

    /// The bytes of memory that belong to the process alone and to no file.
    pub(super) fn anonymous_bytes(&self) -> Result<u64, CommandError> {
        let path = format!("/proc/{}/status", self.process.id());
        let read = fs::read_to_string(&path);
        read.ok()
            .as_deref()
            .and_then(anonymous_of_status)
            .ok_or_else(|| {
                CommandError::failed(format!(
                    "{path}: the system does not say what memory a process has"
                ))
            })
    }

    /// The bytes that the process has read so far by asking the system for them: those of its log
    /// that a start looks through, not those that it sees through a map.
    pub(super) fn read_bytes(&self) -> Result<u64, CommandError> {
        let path = format!("/proc/{}/io", self.process.id());
        let read = fs::read_to_string(&path);
        read.ok().as_deref().and_then(read_of_io).ok_or_else(|| {
            CommandError::failed(format!(
                "{path}: the system does not say what a process has read"
            ))
        })
    }

    /// What it says about its chain.
    pub(super) fn chain_info(&mut self) -> Result<ChainInfo, CommandError> {
        let info = self.client()?.call("getblockchaininfo", &Value::Null)?;
        let number = |name: &str| {
            info[name].as_u64().ok_or_else(|| {
                CommandError::failed(format!("a node's getblockchaininfo has no number {name}"))
            })
        };
        Ok(ChainInfo {
            height: number("blocks")?,
            checkpoint: number("checkpoint")?,
            executed: number("executedblocks")?,
        })
    }

    /// Asks the process to stop and waits for its end, which must be a good one.
    pub(super) fn stop(mut self) -> Result<(), CommandError> {
        let failed = |error| CommandError::failed(format!("a node can't be stopped: {error}"));
        self.process.terminate().map_err(failed)?;
        let status = self.process.wait().map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        Err(CommandError::failed(format!(
            "a node stopped with {}; the last lines of its log:\n{}",
            describe(status),
            self.process.log_tail()
        )))
    }

    /// The last lines of its log.
    pub(super) fn log_tail(&self) -> String {
        self.process.log_tail()
    }
}

/// What a node says about its chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChainInfo {
    /// The height of its tip.
    pub(super) height: u64,
    /// That of its newest checkpoint.
    pub(super) checkpoint: u64,
    /// The blocks that it has executed since its start.
    pub(super) executed: u64,
}

/// What threads that do jobs have spent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Workers {
    pub(super) count: u32,
    /// On a processor.
    pub(super) ran: Duration,
    /// With work to do, but on no processor, because others were.
    pub(super) waited: Duration,
}

/// What this process has spent so far.
pub(super) fn own_cpu() -> Result<Duration, CommandError> {
    cpu("self")
}

fn cpu(process: &str) -> Result<Duration, CommandError> {
    let path = Path::new("/proc").join(process).join("stat");
    let read = fs::read_to_string(&path);
    let spent = read.ok().as_deref().and_then(cpu_of_stat);
    spent.ok_or_else(|| unknown(&path))
}

fn unknown(path: &Path) -> CommandError {
    CommandError::failed(format!(
        "{}: the system does not say what was spent",
        path.display()
    ))
}

/// The nanoseconds that a thread ran and that it waited to run.
fn times_of_schedstat(line: &str) -> Option<(Duration, Duration)> {
    let mut times = line.split_whitespace().map(str::parse);
    let (ran, waited) = (times.next()?.ok()?, times.next()?.ok()?);
    Some((Duration::from_nanos(ran), Duration::from_nanos(waited)))
}

/// The line RssAnon of /proc/PID/status.
fn anonymous_of_status(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

/// The line rchar of /proc/PID/io.
fn read_of_io(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("rchar:"))?;
    line.trim().parse().ok()
}

/// User and system time of a line of /proc/PID/stat. The name in parentheses may hold anything.
fn cpu_of_stat(line: &str) -> Option<Duration> {
    let (_, fields) = line.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11);
    let user: u32 = times.next()?.parse().ok()?;
    let system: u32 = times.next()?.parse().ok()?;
    TICK.checked_mul(user.checked_add(system)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process_is_found_behind_any_name() {
        let line = "17 (a) b) (c) S 1 17 17 0 -1 4194304 100 0 0 0 250 31 5 6 20 0 4 0 99 1 2";
        assert_eq!(cpu_of_stat(line), Some(Duration::from_millis(2_810)));
        assert_eq!(cpu_of_stat("17 (a) S 1"), None);
        assert!(own_cpu().is_ok());
    }

    #[test]
    fn the_times_of_a_thread_are_nanoseconds() {
        let (ran, waited) = (Duration::from_micros(2_500), Duration::from_nanos(7));
        assert_eq!(times_of_schedstat("2500000 7 3\n"), Some((ran, waited)));
        assert_eq!(times_of_schedstat("2500000"), None);
    }

    #[test]
    fn anonymous_memory_is_found_among_the_rest() {
        let text = "VmRSS:\t  9000 kB\nRssAnon:\t    2048 kB\nRssFile:\t 1 kB\n";
        assert_eq!(anonymous_of_status(text), Some(2 << 20));
        assert_eq!(anonymous_of_status("VmRSS:\t  9000 kB\n"), None);
    }
}
