//! The configuration of a node: a flag wins over an environment variable, that over `keel.toml`,
//! that over the default.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::{Table, Value};

use crate::chain::mempool::MEMORY_DEFAULT;
use crate::rpc::nearest;
use crate::types::{PeerAddress, Uint256};

use super::{CommandError, ExitCode};

/// The file of a data directory that holds the configuration.
pub const CONFIG_FILE: &str = "keel.toml";
/// The file of a data directory that holds the chain's parameters.
pub const GENESIS_FILE: &str = "genesis.toml";
/// What the names of environment variables begin with.
const ENVIRONMENT_PREFIX: &str = "KEEL_";
/// The port for peers, unless another is configured.
pub const DEFAULT_PORT: u16 = 5335;
/// The port for the RPC, unless another is configured.
pub const DEFAULT_RPC_PORT: u16 = 5336;

/// The most inbound connections that can be asked for: each may cost megabytes.
const INBOUND_MAX: usize = 1_000;

/// The least and the most memory of the mempool that can be asked for, in bytes. In less, hardly
/// more would wait than what the next block takes, on a chain of the heaviest blocks.
const MEMPOOL_BYTES: RangeInclusive<u64> = 16 << 20..=64 << 30;

/// Something that can be configured.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in the file.
    pub name: &'static str,
    /// What holds without it, as it stands in the file; empty where no value says that.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

impl Key {
    /// The key of a name.
    ///
    /// # Panics
    /// When there is none: flags are named after keys.
    #[must_use]
    pub fn named(name: &str) -> &'static Self {
        KEYS.iter()
            .find(|key| key.name == name)
            .expect("every flag is named after a setting")
    }

    /// What `--help` says about the flag of this name.
    #[must_use]
    pub fn help(name: &str) -> String {
        let key = Self::named(name);
        match key.default.trim_matches(['[', ']', '"']) {
            "" => key.meaning.to_owned(),
            default => format!("{} [default: {default}]", key.meaning),
        }
    }
}

const fn key(name: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key {
        name,
        default,
        meaning,
    }
}

/// What can be configured: for messages, the help of flags, and the file that `keel init` writes.
pub const KEYS: &[Key] = &[
    key(
        "listen",
        "[\"127.0.0.1:5335\"]",
        "Addresses to listen on for peers; an empty list for none",
    ),
    key(
        "advertise",
        "[]",
        "Addresses to announce to peers; those of listen when empty",
    ),
    key(
        "peers",
        "[]",
        "Peers to stay connected with: keelnode1..@ADDRESS:PORT",
    ),
    key("inbound", "125", "Maximum number of inbound peers"),
    key(
        "mempool_bytes",
        "268435456",
        "Memory for transactions that wait, in bytes",
    ),
    key(
        "rpc",
        "\"127.0.0.1:5336\"",
        "Address of the RPC; \"off\" for none",
    ),
    key(
        "rpc_auth",
        "\"cookie\"",
        "Who may call the RPC: \"cookie\" for holders of the cookie, \"none\" for everybody \
         (loopback only)",
    ),
    key(
        "rpc_hosts",
        "[]",
        "Host names accepted in RPC requests, besides addresses and localhost",
    ),
    key(
        "mine",
        "\"off\"",
        "Address that receives the mining rewards; \"off\" to not mine",
    ),
    key(
        "hashrate",
        "",
        "Hashes to try per second; unset, as many as one worker can",
    ),
    key("workers", "0", "Worker threads; 0 for one per core"),
    key(
        "segment_bytes",
        "",
        "Segment size of the logs in bytes, for a new directory; unset, the production sizes",
    ),
    key(
        "min_chain_work",
        "\"0\"",
        "Minimum chainwork of a chain to follow, in hexadecimal",
    ),
    key(
        "record",
        "\"on\"",
        "Keep the node's last inputs for keel replay: \"on\" or \"off\"",
    ),
    key(
        "log",
        "\"info\"",
        "Log level: error, warn, info, debug or trace",
    ),
];

/// Whether callers of the RPC must show the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RpcAuth {
    /// They must.
    Cookie,
    /// Everybody who reaches the port may call.
    None,
}

/// Whom mining is to pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MineSetting {
    /// The address.
    pub address: String,
    /// How the setting is called where it was given, for messages.
    pub setting: String,
    /// How the process ends if the address turns out to be wrong.
    pub code: ExitCode,
}

impl MineSetting {
    fn read(setting: &Setting<'_>) -> Result<Option<Self>, CommandError> {
        let address = setting.text()?;
        Ok((address != "off").then(|| Self {
            address: address.to_owned(),
            setting: setting.to_string(),
            code: setting.code(),
        }))
    }
}

/// What a node is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The data directory.
    pub directory: PathBuf,
    /// Where peers connect to.
    pub listen: Vec<SocketAddr>,
    /// Where peers are told to connect to; when empty, `listen`.
    pub advertise: Vec<SocketAddr>,
    /// Whom to stay connected with.
    pub peers: Vec<PeerAddress>,
    /// How many of those who connect may stay.
    pub inbound: usize,
    /// The memory that transactions may take that wait, in bytes.
    pub mempool_bytes: u64,
    /// Where the RPC is.
    pub rpc: Option<SocketAddr>,
    /// Who may call it.
    pub rpc_auth: RpcAuth,
    /// By which names.
    pub rpc_hosts: Vec<String>,
    /// The address that mining pays, read when the chain is known.
    pub mine: Option<MineSetting>,
    /// Hashes to try per second.
    pub hashrate: Option<u64>,
    /// Threads for slow work; 0 for one per core.
    pub workers: usize,
    /// Bytes of a log's segment; None for the production sizes.
    pub segment_bytes: Option<u64>,
    /// The work below which no chain is kept.
    pub min_chain_work: Uint256,
    /// Whether inputs are recorded.
    pub record: bool,
    /// How much to say.
    pub log: log::LevelFilter,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Flag,
    Environment,
    File(PathBuf),
}

/// A value with its origin, for messages.
struct Setting<'a> {
    key: &'a str,
    origin: &'a Origin,
    value: &'a Value,
}

impl fmt::Display for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::Flag => write!(f, "--{}", self.key.replace('_', "-")),
            Origin::Environment => {
                write!(f, "{ENVIRONMENT_PREFIX}{}", self.key.to_ascii_uppercase())
            }
            Origin::File(path) => write!(f, "{}: {}", path.display(), self.key),
        }
    }
}

impl Setting<'_> {
    /// What a wrong value is: a flag stands on the command line, all else is configuration.
    const fn code(&self) -> ExitCode {
        match self.origin {
            Origin::Flag => ExitCode::Usage,
            Origin::Environment | Origin::File(_) => ExitCode::Config,
        }
    }

    fn wrong(&self, rule: impl fmt::Display) -> CommandError {
        CommandError::new(self.code(), format!("{self}: {rule}"))
    }

    fn text(&self) -> Result<&str, CommandError> {
        self.value
            .as_str()
            .ok_or_else(|| self.wrong(format!("{} must be text in quotes", self.value)))
    }

    /// A number. Flags and environment variables give it as text.
    fn number(&self) -> Result<u64, CommandError> {
        let number = match self.value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::String(text) if !matches!(self.origin, Origin::File(_)) => text.parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| self.wrong(format!("{} must be a whole number", self.value)))
    }

    /// A list. Flags and environment variables give it with commas, and one text is a list too.
    fn list(&self) -> Result<Vec<&str>, CommandError> {
        let wrong = || self.wrong(format!("{} must be a list of texts in quotes", self.value));
        match self.value {
            Value::String(text) if text.is_empty() => Ok(Vec::new()),
            Value::String(text) => Ok(text.split(',').map(str::trim).collect()),
            Value::Array(items) => items
                .iter()
                .map(|item| item.as_str().ok_or_else(wrong))
                .collect(),
            _ => Err(wrong()),
        }
    }

    fn parse_each<T: FromStr<Err: fmt::Display>>(&self) -> Result<Vec<T>, CommandError> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|error| self.wrong(format!("\"{text}\": {error}")))
        };
        self.list()?.into_iter().map(parse).collect()
    }

    fn sockets(&self) -> Result<Vec<SocketAddr>, CommandError> {
        let parse = |text: &str| parse_socket(text).map_err(|rule| self.wrong(rule));
        self.list()?.into_iter().map(parse).collect()
    }
}

fn parse_socket(text: &str) -> Result<SocketAddr, String> {
    let socket: SocketAddr = text.parse().map_err(|_| {
        format!("\"{text}\" must be an address and a port, like 127.0.0.1:5335 or [::1]:5335")
    })?;
    // Others are told of it before it is bound.
    match socket.port() {
        0 => Err(format!("\"{text}\" must have a port from 1 to 65535")),
        _ => Ok(socket),
    }
}

/// Every setting that somebody gave.
#[derive(Clone, Debug, Default)]
pub struct Layers(BTreeMap<&'static str, (Origin, Value)>);

impl Layers {
    /// Adds the settings of a file; those that are there already stay.
    pub fn add_file(&mut self, path: &Path, text: &str) -> Result<(), CommandError> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            let message = error.message();
            CommandError::config(format!("{}: line {line}: {message}", path.display()))
        })?;
        for (name, value) in table {
            let Some(key) = known_key(&name) else {
                let hint = nearest(&name, KEYS.iter().map(|key| key.name));
                return Err(CommandError::config(format!(
                    "{}: {name}: there is no such setting; {}",
                    path.display(),
                    hint.map_or_else(
                        || "docs/cli.md lists them all".to_owned(),
                        |key| format!("did you mean {key}?")
                    )
                )));
            };
            self.0
                .entry(key)
                .or_insert_with(|| (Origin::File(path.to_owned()), value));
        }
        Ok(())
    }

    /// Adds the settings of environment variables; those that are there already stay. Variables
    /// with our prefix that name no setting may be meant for something else.
    pub fn add_environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        for (name, value) in variables {
            let key = name
                .strip_prefix(ENVIRONMENT_PREFIX)
                .and_then(|name| known_key(&name.to_ascii_lowercase()));
            if let Some(key) = key {
                self.0
                    .entry(key)
                    .or_insert((Origin::Environment, Value::String(value)));
            }
        }
    }

    /// Adds a flag, if it was given.
    ///
    /// # Panics
    /// When there is no such setting: flags are named after settings.
    pub fn add_flag(&mut self, key: &str, value: Option<String>) {
        let key = Key::named(key).name;
        if let Some(value) = value {
            self.0.insert(key, (Origin::Flag, Value::String(value)));
        }
    }

    /// Adds the one setting that a file holds; one that is there already stays.
    ///
    /// # Panics
    /// When there is no such setting.
    pub fn add_only(&mut self, key: &str, path: &Path, value: &str) {
        let key = Key::named(key).name;
        let setting = || (Origin::File(path.to_owned()), Value::from(value));
        self.0.entry(key).or_insert_with(setting);
    }

    /// Whether somebody gave this setting.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    fn get(&self, key: &'static str) -> Option<Setting<'_>> {
        let (origin, value) = self.0.get(key)?;
        Some(Setting { key, origin, value })
    }

    /// The configuration that the settings make for a directory.
    pub fn config(&self, directory: &Path) -> Result<Config, CommandError> {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut config = Config {
            directory: directory.to_owned(),
            listen: vec![loopback(DEFAULT_PORT)],
            advertise: Vec::new(),
            peers: Vec::new(),
            inbound: 125,
            mempool_bytes: MEMORY_DEFAULT,
            rpc: Some(loopback(DEFAULT_RPC_PORT)),
            rpc_auth: RpcAuth::Cookie,
            rpc_hosts: Vec::new(),
            mine: None,
            hashrate: None,
            workers: 0,
            segment_bytes: None,
            min_chain_work: Uint256::ZERO,
            record: true,
            log: log::LevelFilter::Info,
        };
        if let Some(setting) = self.get("listen") {
            config.listen = setting.sockets()?;
        }
        if let Some(setting) = self.get("advertise") {
            config.advertise = setting.sockets()?;
        }
        if let Some(setting) = self.get("peers") {
            config.peers = setting.parse_each()?;
        }
        self.memory(&mut config)?;
        self.rpc(&mut config)?;
        if let Some(setting) = self.get("mine") {
            config.mine = MineSetting::read(&setting)?;
        }
        if let Some(setting) = self.get("hashrate") {
            let rate = setting.number()?;
            if rate == 0 {
                return Err(
                    setting.wrong("at least 1 hash per second; set mine to \"off\" to stop")
                );
            }
            config.hashrate = Some(rate);
        }
        if let Some(setting) = self.get("workers") {
            let number = setting.number()?;
            let number = usize::try_from(number).ok().filter(|number| *number <= 256);
            config.workers = number.ok_or_else(|| setting.wrong("at most 256 threads"))?;
        }
        if let Some(setting) = self.get("segment_bytes") {
            let number = setting.number()?;
            if !(1 << 16..=1 << 30).contains(&number) || number % 4_096 != 0 {
                return Err(setting.wrong("a multiple of 4096 from 65536 to 1073741824"));
            }
            config.segment_bytes = Some(number);
        }
        if let Some(setting) = self.get("min_chain_work") {
            let work = setting.text()?.parse();
            config.min_chain_work = work.map_err(|rule: &str| setting.wrong(rule))?;
        }
        if let Some(setting) = self.get("record") {
            config.record = match setting.text()? {
                "on" => true,
                "off" => false,
                _ => return Err(setting.wrong("must be \"on\" or \"off\"")),
            };
        }
        if let Some(setting) = self.get("log") {
            let level = setting.text()?.parse();
            config.log =
                level.map_err(|_| setting.wrong("must be error, warn, info, debug or trace"))?;
        }
        Ok(config)
    }

    /// What bounds the memory of a node.
    fn memory(&self, config: &mut Config) -> Result<(), CommandError> {
        if let Some(setting) = self.get("inbound") {
            let number = usize::try_from(setting.number()?).ok();
            let number = number.filter(|number| *number <= INBOUND_MAX);
            config.inbound = number
                .ok_or_else(|| setting.wrong(format!("at most {INBOUND_MAX} connections")))?;
        }
        if let Some(setting) = self.get("mempool_bytes") {
            let number = setting.number()?;
            if !MEMPOOL_BYTES.contains(&number) {
                let (least, most) = (MEMPOOL_BYTES.start(), MEMPOOL_BYTES.end());
                return Err(setting.wrong(format!("from {least} to {most} bytes")));
            }
            config.mempool_bytes = number;
        }
        Ok(())
    }

    fn rpc(&self, config: &mut Config) -> Result<(), CommandError> {
        if let Some(setting) = self.get("rpc_hosts") {
            config.rpc_hosts = setting.list()?.into_iter().map(str::to_owned).collect();
        }
        if let Some(setting) = self.get("rpc_auth") {
            config.rpc_auth = match setting.text()? {
                "cookie" => RpcAuth::Cookie,
                "none" => RpcAuth::None,
                _ => return Err(setting.wrong("must be \"cookie\" or \"none\"")),
            };
        }
        let Some(setting) = self.get("rpc") else {
            return Ok(());
        };
        config.rpc = match setting.text()? {
            "off" => None,
            text => Some(parse_socket(text).map_err(|rule| setting.wrong(rule))?),
        };
        match config.rpc {
            Some(rpc) if !rpc.ip().is_loopback() && config.rpc_auth == RpcAuth::None => {
                Err(setting.wrong(format!(
                    "{rpc} is open to other machines and rpc_auth is \"none\"; \
                     set rpc_auth to \"cookie\", or rpc to a 127.0.0.1 address"
                )))
            }
            _ => Ok(()),
        }
    }
}

fn known_key(name: &str) -> Option<&'static str> {
    KEYS.iter().map(|key| key.name).find(|key| *key == name)
}

/// The line that a place in a text is on, counted from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config, CommandError> {
        let mut layers = Layers::default();
        layers.add_file(Path::new("keel.toml"), text)?;
        layers.config(Path::new("d"))
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        let config = config("").unwrap();
        assert_eq!(config.listen, ["127.0.0.1:5335".parse().unwrap()]);
        assert_eq!(config.rpc, Some("127.0.0.1:5336".parse().unwrap()));
        assert!(config.mine.is_none());
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let variables = [
            ("KEEL_HASHRATE", "5"),
            ("KEEL_WORKERS", "6"),
            ("KEEL_OTHER", "x"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut layers = Layers::default();
        layers.add_flag("workers", Some("7".into()));
        layers.add_flag("log", None);
        layers.add_environment(variables.into_iter());
        let text = "hashrate = 1\nworkers = 1\nlog = \"debug\"\n";
        layers.add_file(Path::new("keel.toml"), text).unwrap();
        let config = layers.config(Path::new("d")).unwrap();
        assert_eq!((config.workers, config.hashrate), (7, Some(5)));
        assert_eq!(config.log, log::LevelFilter::Debug);
    }

    #[test]
    fn lists_are_read_from_all_layers() {
        let two = ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()];
        assert_eq!(
            config("listen = [\"127.0.0.1:1\", \"[::1]:2\"]")
                .unwrap()
                .listen,
            two
        );
        assert_eq!(config("listen = []").unwrap().listen, []);
        let mut layers = Layers::default();
        layers.add_flag("listen", Some("127.0.0.1:1, [::1]:2".into()));
        assert_eq!(layers.config(Path::new("d")).unwrap().listen, two);
    }

    #[test]
    fn a_wrong_setting_is_named_with_its_file_and_a_remedy() {
        for (text, parts) in [
            (
                "lisen = []",
                &["keel.toml: lisen: there is no such", "did you mean listen?"][..],
            ),
            (
                "qqqqqqqq = 1",
                &["qqqqqqqq: there is no such setting; docs/cli.md lists"],
            ),
            ("listen = [", &["keel.toml: line 1: "]),
            ("log = \"info\"\nlog = \"info\"", &["keel.toml: line 2: "]),
            (
                "listen = \"localhost\"",
                &["keel.toml: listen: ", "like 127.0.0.1:5335"],
            ),
            ("listen = [1]", &["keel.toml: listen: ", "list of texts"]),
            (
                "rpc = 5336",
                &["keel.toml: rpc: 5336 must be text in quotes"],
            ),
            (
                "peers = [\"x@1.2.3.4:1\"]",
                &["keel.toml: peers: \"x@1.2.3.4:1\": "],
            ),
            (
                "hashrate = -1",
                &["keel.toml: hashrate: -1 must be a whole number"],
            ),
            (
                "hashrate = \"5\"",
                &["keel.toml: hashrate: \"5\" must be a whole number"],
            ),
            ("hashrate = 0", &["at least 1"]),
            (
                "listen = [\"127.0.0.1:0\"]",
                &["keel.toml: listen: \"127.0.0.1:0\" must have a port from 1 to 65535"],
            ),
            (
                "rpc = \"[::1]:0\"",
                &["keel.toml: rpc: \"[::1]:0\" must have"],
            ),
            (
                "inbound = 1001",
                &["keel.toml: inbound: at most 1000 connections"],
            ),
            (
                "mempool_bytes = 16777215",
                &["keel.toml: mempool_bytes: from 16777216 to 68719476736 bytes"],
            ),
            ("workers = 257", &["keel.toml: workers: at most 256"]),
            (
                "segment_bytes = 1",
                &["keel.toml: segment_bytes: a multiple"],
            ),
            (
                "min_chain_work = \"0xwork\"",
                &["keel.toml: min_chain_work: must be hexadecimal"],
            ),
            ("log = \"loud\"", &["keel.toml: log: must be error"]),
            ("rpc_auth = \"no\"", &["keel.toml: rpc_auth: must be"]),
            (
                "rpc_auth = \"none\"\nrpc = \"0.0.0.0:1\"",
                &[
                    "keel.toml: rpc: 0.0.0.0:1 is open to other machines",
                    "set rpc_auth",
                ],
            ),
        ] {
            let error = config(text).expect_err(text);
            assert_eq!(error.code, ExitCode::Config);
            for part in parts {
                assert!(error.message.contains(part), "{text}: {error}");
            }
            assert!(!error.message.contains('\n'), "one line: {error}");
        }
    }

    #[test]
    fn a_wrong_flag_or_variable_is_named_too() {
        let mut layers = Layers::default();
        layers.add_flag("segment_bytes", Some("x".into()));
        let error = layers.config(Path::new("d")).unwrap_err();
        assert!(error.message.starts_with("--segment-bytes: "), "{error}");
        assert_eq!(error.code, ExitCode::Usage);
        let mut layers = Layers::default();
        layers.add_environment([("KEEL_RPC".to_owned(), "x".to_owned())].into_iter());
        let error = layers.config(Path::new("d")).unwrap_err();
        assert!(error.message.starts_with("KEEL_RPC: "), "{error}");
        assert_eq!(error.code, ExitCode::Config);
    }

    #[test]
    fn every_setting_is_read() {
        for Key { name: key, .. } in KEYS {
            let wrong = config(&format!("{key} = 1.5")).unwrap_err();
            assert!(
                wrong.message.starts_with(&format!("keel.toml: {key}: ")),
                "{wrong}"
            );
        }
    }

    #[test]
    fn docs_name_every_setting_with_its_default() {
        let docs = include_str!("../../docs/cli.md");
        for Key { name, default, .. } in KEYS {
            let row = match *default {
                "" => format!("| `{name}` | "),
                default => format!("| `{name}` | `{default}` | "),
            };
            assert!(docs.contains(&row), "docs/cli.md lacks {row}");
        }
    }
}
