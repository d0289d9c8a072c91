//! `keel init`: the directory of a node.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::types::{
    AccountId, Amount, EngineKind, Genesis, GenesisFile, Millis, Profile, decode_address,
    parse_genesis, write_genesis,
};
use crate::wallet::{parse_amount, write_new_file};
use crate::wire::NodeIdentity;

use super::{
    CONFIG_FILE, CommandError, DEFAULT_PORT, GENESIS_FILE, KEYS, Key, Layers, NODE_KEY_FILE,
    Output, new_identity, write_identity,
};

/// The name of a profile.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ProfileName {
    /// A public chain
    Main,
    /// A public test chain
    Test,
    /// A chain on one machine
    #[default]
    Dev,
    /// A chain of known members
    Consortium,
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        match name {
            ProfileName::Main => Self::Main,
            ProfileName::Test => Self::Test,
            ProfileName::Dev => Self::Dev,
            ProfileName::Consortium => Self::Consortium,
        }
    }
}

/// Arguments of `keel init`.
#[derive(Debug, Default, Args)]
pub(super) struct InitArgs {
    /// Join the chain of this genesis file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["profile", "name", "allocate"])]
    genesis: Option<PathBuf>,
    /// Kind of the new chain
    #[arg(long, value_enum, default_value = "dev")]
    profile: ProfileName,
    /// Name of the new chain: 1 to 16 of a-z, 0-9 and -
    #[arg(long, required_unless_present = "genesis")]
    name: Option<String>,
    /// Give an account of the new chain an initial balance, like 1.5; may be given more than once
    #[arg(long, value_name = "ADDRESS=AMOUNT")]
    allocate: Vec<String>,
    /// Directory to create [default: the chain's name]
    #[arg(long, short, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[arg(long, value_name = "ADDRESS:PORT,..", help = Key::help("listen"))]
    listen: Option<String>,
    #[arg(long, value_name = "KEY@ADDRESS:PORT,..", help = Key::help("peers"))]
    peers: Option<String>,
    #[arg(long, value_name = "ADDRESS:PORT", help = Key::help("rpc"))]
    rpc: Option<String>,
    #[arg(long, value_name = "ADDRESS", help = Key::help("mine"))]
    mine: Option<String>,
    #[arg(long, value_name = "N", help = Key::help("hashrate"))]
    hashrate: Option<String>,
}

/// The genesis in a file, and the peers it names.
pub fn read_genesis(path: &Path) -> Result<GenesisFile, CommandError> {
    let text = fs::read_to_string(path).map_err(|error| {
        CommandError::config(format!(
            "{}: the genesis can't be read: {error}; keel init makes one",
            path.display()
        ))
    })?;
    parse_genesis(&text)
        .map_err(|error| CommandError::config(format!("{}: {error}", path.display())))
}

pub(super) fn init(args: &InitArgs, output: &Output) -> Result<(), CommandError> {
    let file = match &args.genesis {
        Some(path) => read_genesis(path)?,
        None => GenesisFile {
            genesis: new_genesis(args)?,
            seeds: Vec::new(),
        },
    };
    let genesis = &file.genesis;
    let directory = args
        .dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(&genesis.name));
    let config = config_text(args);
    check_config(args, &config, &directory, genesis)?;
    for file in [GENESIS_FILE, CONFIG_FILE, NODE_KEY_FILE] {
        let path = directory.join(file);
        if path.exists() {
            return Err(CommandError::failed(format!(
                "{}: the file is there already and is not overwritten; name another directory \
                 with --dir",
                path.display()
            )));
        }
    }
    let identity = new_identity(genesis.id_puzzle_bits)?;
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory);
    made.map_err(|error| {
        CommandError::failed(format!("{}: can't be made: {error}", directory.display()))
    })?;
    let genesis_text = write_genesis(genesis, &file.seeds);
    write_files(&directory, &identity, &genesis_text, &config)?;
    let listen = args
        .listen
        .clone()
        .unwrap_or_else(|| format!("127.0.0.1:{DEFAULT_PORT}"));
    let address = listen
        .split(',')
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    let peer = format!("{}@{address}", identity.key());
    let value = json!({
        "directory": directory.display().to_string(),
        "chain": genesis.name,
        "genesis_id": genesis.id().to_string(),
        "hrp": genesis.hrp,
        "node_key": identity.key().to_string(),
        "peer": peer,
    });
    output.print(&value, || {
        format!(
            "made {0}\nchain {1} ({2})\nother nodes reach this one as {peer}\nstart it with: keel \
             run --dir {0}",
            directory.display(),
            genesis.name,
            genesis.id(),
        )
    });
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a chain begins when it is made")]
fn new_genesis(args: &InitArgs) -> Result<Genesis, CommandError> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let profile = Profile::from(args.profile);
    let name = args.name.as_deref().unwrap_or_default();
    let mut genesis = profile.genesis(EngineKind::Work, name, Millis(millis));
    let mut allocations: BTreeMap<AccountId, Amount> = BTreeMap::new();
    for text in &args.allocate {
        let wrong = |rule: String| CommandError::usage(format!("--allocate {text}: {rule}"));
        let (address, amount) = text
            .split_once('=')
            .ok_or_else(|| wrong("write ADDRESS=AMOUNT".to_owned()))?;
        let account = decode_address(&genesis.hrp, address)
            .map_err(|error| wrong(format!("the address: {error}")))?;
        let amount = parse_amount(amount, genesis.decimals)
            .map_err(|error| wrong(format!("the amount: {error}")))?;
        if allocations.insert(account, amount).is_some() {
            return Err(wrong("this account has an amount already".to_owned()));
        }
    }
    genesis.allocations = allocations.into_iter().collect();
    genesis
        .check()
        .map_err(|error| CommandError::usage(format!("the new genesis: {error}")))?;
    Ok(genesis)
}

/// The configuration file: every setting with its meaning, those that were given set.
fn config_text(args: &InitArgs) -> String {
    let given = |key: &str| match key {
        "listen" => args.listen.as_ref(),
        "peers" => args.peers.as_ref(),
        "rpc" => args.rpc.as_ref(),
        "mine" => args.mine.as_ref(),
        "hashrate" => args.hashrate.as_ref(),
        _ => None,
    };
    let mut text = String::from(
        "# The configuration of a keel node. What is commented out shows the default.\n",
    );
    for Key {
        name: key,
        default,
        meaning,
    } in KEYS
    {
        text += &format!("\n# {meaning}\n");
        match given(key) {
            None if default.is_empty() => text += &format!("# {key} = NUMBER\n"),
            None => text += &format!("# {key} = {default}\n"),
            Some(value) if matches!(*key, "listen" | "peers") => {
                let items = value.split(',').map(|item| toml::Value::from(item.trim()));
                text += &format!("{key} = {}\n", toml::Value::Array(items.collect()));
            }
            Some(value) if *key == "hashrate" => text += &format!("{key} = {value}\n"),
            Some(value) => text += &format!("{key} = {}\n", toml::Value::from(value.as_str())),
        }
    }
    text
}

/// What was given must be what `keel run` takes.
fn check_config(
    args: &InitArgs,
    text: &str,
    directory: &Path,
    genesis: &Genesis,
) -> Result<(), CommandError> {
    let mut layers = Layers::default();
    layers.add_flag("listen", args.listen.clone());
    layers.add_flag("peers", args.peers.clone());
    layers.add_flag("rpc", args.rpc.clone());
    layers.add_flag("hashrate", args.hashrate.clone());
    layers
        .config(directory)
        .map_err(|error| CommandError::usage(error.message))?;
    if let Some(address) = &args.mine {
        decode_address(&genesis.hrp, address)
            .map_err(|error| CommandError::usage(format!("--mine {address}: {error}")))?;
    }
    let mut layers = Layers::default();
    layers.add_file(&directory.join(CONFIG_FILE), text)?;
    layers.config(directory).map(|_| ())
}

/// Makes the files of a directory: all of them, or none, which would stand in the way of the next
/// try.
fn write_files(
    directory: &Path,
    identity: &NodeIdentity,
    genesis: &str,
    config: &str,
) -> Result<(), CommandError> {
    let mut made = Vec::new();
    let mut write = || {
        let path = directory.join(NODE_KEY_FILE);
        write_identity(&path, identity)?;
        made.push(path);
        for (file, text) in [(GENESIS_FILE, genesis), (CONFIG_FILE, config)] {
            let path = directory.join(file);
            write_new_file(&path, 0o644, text.as_bytes()).map_err(|error| {
                CommandError::failed(format!("{}: can't be made: {error}", path.display()))
            })?;
            made.push(path);
        }
        Ok(())
    };
    let written = write();
    if written.is_err() {
        for path in &made {
            let _ = fs::remove_file(path);
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_made_whole_leaves_nothing_in_the_way() {
        let directory = std::env::temp_dir().join(format!("keel-init-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        let files = || {
            let names = fs::read_dir(&directory).unwrap();
            let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.collect::<std::collections::BTreeSet<_>>()
        };
        let identity = new_identity(0).unwrap();
        fs::write(directory.join(CONFIG_FILE), "other").unwrap();
        assert!(write_files(&directory, &identity, "genesis", "config").is_err());
        assert_eq!(files(), [CONFIG_FILE.to_owned()].into());
        fs::remove_file(directory.join(CONFIG_FILE)).unwrap();
        write_files(&directory, &identity, "genesis", "config").unwrap();
        let all = [NODE_KEY_FILE, GENESIS_FILE, CONFIG_FILE].map(str::to_owned);
        assert_eq!(files(), all.into());
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn the_file_that_is_made_sets_what_was_given_and_explains_the_rest() {
        let args = InitArgs {
            name: Some("x".into()),
            listen: Some("127.0.0.1:1, [::1]:2".into()),
            rpc: Some("off".into()),
            mine: Some("a\"b".into()),
            hashrate: Some("77".into()),
            ..InitArgs::default()
        };
        let text = config_text(&args);
        let mut layers = Layers::default();
        layers.add_file(Path::new("keel.toml"), &text).unwrap();
        let config = layers.config(Path::new("d")).unwrap();
        assert_eq!(config.listen.len(), 2);
        assert_eq!((config.rpc, config.hashrate), (None, Some(77)));
        assert_eq!(config.mine.expect("it is set").address, "a\"b");
        for Key { name, meaning, .. } in KEYS {
            assert!(
                text.contains(meaning) && text.contains(&format!("{name} =")),
                "{name}"
            );
        }
    }

    #[test]
    fn the_file_that_is_made_is_edited_by_uncommenting() {
        let text = config_text(&InitArgs::default());
        let uncomment = |line: &str| -> Option<String> {
            let setting = line.strip_prefix("# ")?;
            let (name, value) = setting.split_once(" = ")?;
            let key = KEYS.iter().find(|key| key.name == name)?;
            assert_eq!(value == "NUMBER", key.default.is_empty(), "{line}");
            (value != "NUMBER").then(|| setting.to_owned())
        };
        let settings: Vec<String> = text.lines().filter_map(uncomment).collect();
        assert_eq!(settings.len(), KEYS.len() - 2);
        let mut layers = Layers::default();
        let file = settings.join("\n");
        layers.add_file(Path::new("keel.toml"), &file).unwrap();
        let default = Layers::default().config(Path::new("d")).unwrap();
        assert_eq!(layers.config(Path::new("d")).unwrap(), default);
    }
}
