//! The composition root: what a configuration names is opened, given to each other, and run.
//!
//! The only place that knows every part. Straight down: genesis, keys, log, node, threads, loop.

mod bans;
mod evidence;
mod files;
mod log_sink;
mod open_files;
mod panic;
mod ports;
mod recording;
mod service_manager;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::available_parallelism;

use rustix::io::Errno;

use crate::base::Time;
use crate::chain::{ChainState, VerifiedCache};
use crate::cli::{
    self, CommandError, Config, ExitCode, GENESIS_FILE, MineSetting, NODE_KEY_FILE,
    RECORDINGS_FOLDER, RpcAuth, random_bytes,
};
use crate::disk::RealDisk;
use crate::node::{
    BlockReader, CheckpointInterval, Mining, Node, NodeConfig, Recovered, Workbench,
};
use crate::reactor::{Clock, LISTENERS_MAX, Poller, Ports, Reactor, ReactorConfig, ReactorError};
use crate::rpc::auth::{COOKIE_FILE, Cookie, RPC_ADDRESS_FILE};
use crate::rpc::{Facts, RpcService};
use crate::store::{Log, OpenError, Options, Store};
use crate::types::{
    Genesis, GenesisId, Millis, NetworkAddress, NodeRecord, PeerAddress, RECORD_LIFE_MAX, Services,
    decode_address,
};
use crate::wire::{Network, NodeIdentity};

use bans::BanPort;
use evidence::EvidencePort;
use ports::{LogPort, QueryPort, WorkerPort};
use recording::Places;
use service_manager::ServiceManager;

/// Runs a node until it is told to stop.
pub fn run(config: &Config) -> Result<(), CommandError> {
    log_sink::start(config.log);
    panic::let_the_log_end();
    open_files::allow(config)?;
    let clock = Clock::start();
    let now = clock.now();
    let file = cli::read_genesis(&config.directory.join(GENESIS_FILE))?;
    let genesis = Arc::new(file.genesis);
    let genesis_id = genesis.id();
    let identity = cli::read_identity(&config.directory.join(NODE_KEY_FILE))?;
    let record = own_record(config, &identity, &genesis_id, now);
    let node_config = node_config(config, &genesis, file.seeds, &record)?;

    let mut supervisor = ServiceManager::from_environment();
    supervisor.opening();
    let poller = Poller::new().map_err(of_reactor)?;
    let (mut store, was_clean, segment) = open_store(config, &genesis, &genesis_id, now)?;
    // Of four segments the oldest goes: a snapshot in each leaves at least three to replay.
    let record_base_every = if config.record { segment } else { 0 };
    let recovered = Recovered::read(&mut store, was_clean).map_err(|failure| {
        CommandError::failed(format!("{}: {failure}", config.directory.display()))
    })?;
    let places = Places::new(recovered.positions());
    let reader: Arc<dyn BlockReader> = Arc::new(store.reader());
    let threads = |error| CommandError::failed(format!("threads can't be started: {error}"));
    // From here on a start that comes to nothing leaves the log as it was.
    let recordings = config.directory.join(RECORDINGS_FOLDER);
    let log = LogPort::start(store, places, recordings, poller.waker()).map_err(threads)?;
    let node = Node::open(node_config, recovered, *random_bytes()?, now).map_err(|error| {
        CommandError::config(format!("{}: engine: {error}", genesis_path(config)))
    })?;

    let mut benches = Vec::new();
    let verified = Arc::<VerifiedCache>::default();
    for _ in 0..worker_count(config) {
        let (reader, verified) = (Arc::clone(&reader), Arc::clone(&verified));
        benches.push(Workbench::sharing(*random_bytes()?, reader, verified));
    }
    let workers = WorkerPort::start(benches, &poller.waker()).map_err(threads)?;
    let queries = QueryPort::start(&poller.waker()).map_err(threads)?;

    let facts = Facts {
        genesis_block: ChainState::genesis(&genesis).id,
        genesis_id,
        node_key: identity.key(),
        node_id: identity.id(),
        listen: config.listen.clone(),
        agent: cli::version_line(),
        started: now,
        genesis: Arc::clone(&genesis),
    };
    let cookie = cookie(config)?;
    let shown = Shown::write(config)?;
    let ports = Ports {
        workers: Box::new(workers),
        queries: Box::new(queries),
        log: Box::new(log),
        service: Box::new(RpcService::new(facts, cookie)),
        bans: Box::new(BanPort::new(&config.directory, poller.waker())),
        evidence: Box::new(EvidencePort::new(&config.directory)),
        supervisor: Box::new(supervisor),
    };
    let reactor_config = ReactorConfig {
        listen: config.listen.clone(),
        http: config.rpc,
        http_hosts: config.rpc_hosts.clone(),
        network: Network {
            genesis: genesis_id,
            engine: genesis.rules.engine_kind(),
            puzzle_bits: genesis.id_puzzle_bits,
        },
        genesis_id,
        identity,
        record,
        record_base_every,
    };
    let mut reactor =
        Reactor::new(poller, clock, node, ports, reactor_config).map_err(of_reactor)?;
    greet(config, &genesis, &genesis_id, reactor.node_key());
    reactor.run().map_err(of_reactor)?;
    drop(shown);
    log::info!("stopped cleanly");
    Ok(())
}

fn genesis_path(config: &Config) -> String {
    config.directory.join(GENESIS_FILE).display().to_string()
}

fn greet(config: &Config, genesis: &Genesis, id: &GenesisId, key: crate::types::NodeKey) {
    log::info!("{} on chain {} ({id})", cli::version_line(), genesis.name);
    for address in &config.listen {
        log::info!("peers reach this node as {key}@{address}");
    }
    if let Some(rpc) = config.rpc {
        log::info!("the RPC is at http://{rpc}/");
    }
}

/// What the node says about itself, signed: its addresses for a week.
fn own_record(
    config: &Config,
    identity: &NodeIdentity,
    genesis: &GenesisId,
    now: Time,
) -> NodeRecord {
    let told = if config.advertise.is_empty() {
        &config.listen
    } else {
        &config.advertise
    };
    let named = |address: &&SocketAddr| !address.ip().is_unspecified();
    let addresses: Vec<NetworkAddress> = told
        .iter()
        .filter(named)
        .filter_map(|it| NetworkAddress::from_socket(*it))
        .collect();
    let expires = Millis((now + RECORD_LIFE_MAX).as_millis());
    let services = Services::FULL_BLOCKS;
    identity.sign_record(
        genesis,
        now.as_millis(),
        expires,
        services,
        &addresses,
        None,
    )
}

fn node_config(
    config: &Config,
    genesis: &Arc<Genesis>,
    seeds: Vec<PeerAddress>,
    record: &NodeRecord,
) -> Result<NodeConfig, CommandError> {
    if config.listen.len() > LISTENERS_MAX {
        let text = format!("listen: at most {LISTENERS_MAX} addresses");
        return Err(CommandError::config(text));
    }
    let mining = match &config.mine {
        None => None,
        Some(MineSetting {
            address,
            setting,
            code,
        }) => {
            let beneficiary = decode_address(&genesis.hrp, address).map_err(|error| {
                CommandError::new(*code, format!("{setting}: \"{address}\": {error}"))
            })?;
            Some(Mining {
                beneficiary,
                hashrate: config.hashrate,
            })
        }
    };
    // The genesis names some peers to begin with; the own address is among them on a seed.
    let mut peers = config.peers.clone();
    peers.extend(
        seeds
            .into_iter()
            .filter(|seed| seed.key != record.content.key),
    );
    Ok(NodeConfig {
        genesis: Arc::clone(genesis),
        record: record.clone(),
        peers,
        listen_port: config.listen.first().map_or(0, SocketAddr::port),
        mining,
        inbound_max: config.inbound,
        mempool_limit: config.mempool_bytes,
        bans: bans::read(&config.directory)?,
        checkpoints: CheckpointInterval::default(),
        min_chain_work: config.min_chain_work,
    })
}

fn open_store(
    config: &Config,
    genesis: &Genesis,
    id: &GenesisId,
    now: Time,
) -> Result<(Store, bool, u64), CommandError> {
    let directory = config.directory.display();
    let secret = random_bytes()?;
    let dir_id = u64::from_le_bytes(*secret.first_chunk().expect("32 bytes hold 8"));
    let mut options = Options::production(id.0, dir_id, now.as_millis());
    if let Some(size) = config.segment_bytes {
        let needed = segment_bytes_min(genesis);
        if size < needed {
            return Err(CommandError::config(format!(
                "segment_bytes: {size} is too small for this chain's blocks; at least {needed}"
            )));
        }
        options = options.with_segment_size(size);
    }
    let disk = RealDisk::open(&config.directory)
        .map_err(|error| CommandError::failed(format!("{directory}: {error}")))?;
    let opened = Store::open(Arc::new(disk.clone()), &options);
    let (store, recovered) = opened.map_err(|error| {
        let code = match error {
            OpenError::OtherChain { .. } | OpenError::SegmentSize { .. } | OpenError::TooNew(_) => {
                ExitCode::Config
            }
            _ => ExitCode::Failed,
        };
        CommandError::new(code, format!("{directory}: {error}"))
    })?;
    for notice in &recovered.notices {
        log::warn!("{directory}: {notice}");
    }
    if !recovered.is_new && !recovered.was_clean {
        log::info!("the last process did not end as it should; nothing acknowledged is lost");
        // It may have been a bad sector that ended it.
        disk.show_nothing();
    }
    let segment = options.segment_sizes[Log::Record as usize];
    Ok((store, recovered.was_clean, segment))
}

/// A segment holds the greatest block of the chain and what surrounds it.
fn segment_bytes_min(genesis: &Genesis) -> u64 {
    (u64::from(genesis.rules.max_block_weight) + 64 * 1_024).next_multiple_of(4_096)
}

fn worker_count(config: &Config) -> usize {
    match config.workers {
        0 => available_parallelism().map_or(1, usize::from),
        count => count,
    }
}

fn cookie(config: &Config) -> Result<Option<Cookie>, CommandError> {
    if config.rpc.is_none() || config.rpc_auth == RpcAuth::None {
        return Ok(None);
    }
    let cookie = Cookie::from_random(&*random_bytes()?);
    cookie.write(&config.directory)?;
    Ok(Some(cookie))
}

/// What callers on this machine find in the directory: the cookie and the address of the RPC. They
/// go with the process, however it ends by itself: of one that is gone they open nothing.
struct Shown<'a>(&'a Config);

impl<'a> Shown<'a> {
    /// Writes the address that is used, which need not be the file's. An earlier process's goes.
    fn write(config: &'a Config) -> Result<Self, CommandError> {
        let shown = Self(config);
        let path = config.directory.join(RPC_ADDRESS_FILE);
        let written = match config.rpc {
            Some(rpc) => std::fs::write(&path, format!("{rpc}\n")),
            None => match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        };
        written.map_err(|error| {
            CommandError::failed(format!("{}: can't be written: {error}", path.display()))
        })?;
        Ok(shown)
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        for file in [COOKIE_FILE, RPC_ADDRESS_FILE] {
            let _ = std::fs::remove_file(self.0.directory.join(file));
        }
    }
}

fn of_reactor(error: ReactorError) -> CommandError {
    let code = match &error {
        ReactorError::Listen { error, .. } if !passes(error) => ExitCode::Config,
        ReactorError::Listen { .. } | ReactorError::System { .. } | ReactorError::Store(_) => {
            ExitCode::Failed
        }
    };
    CommandError::new(code, error.to_string())
}

/// Whether an address may be free to listen on at another time, with nothing set anew: another
/// process has it, the network has not given it yet, or the system lacks something.
fn passes(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrInUse, AddrNotAvailable, OutOfMemory};
    const OUT_OF_FILES: [i32; 2] = [Errno::MFILE.raw_os_error(), Errno::NFILE.raw_os_error()];
    matches!(error.kind(), AddrInUse | AddrNotAvailable | OutOfMemory)
        || matches!(error.raw_os_error(), Some(code) if OUT_OF_FILES.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_time_mends_is_a_wrong_configuration() {
        let code = |errno: Errno| {
            let error = io::Error::from(errno);
            let (setting, address) = ("listen", SocketAddr::from(([127, 0, 0, 1], 5335)));
            let listen = ReactorError::Listen {
                setting,
                address,
                error,
            };
            of_reactor(listen).code
        };
        for passing in [
            Errno::ADDRINUSE,
            Errno::ADDRNOTAVAIL,
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
        ] {
            assert_eq!(code(passing), ExitCode::Failed, "{passing}");
        }
        for lasting in [Errno::ACCESS, Errno::PERM, Errno::INVAL, Errno::AFNOSUPPORT] {
            assert_eq!(code(lasting), ExitCode::Config, "{lasting}");
        }
    }
}
