//! Commands that ask a running node and show its answer.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::base::{counted, utc};
use crate::rpc::client::{Client, ClientError};
use crate::types::{Amount, BlockId};
use crate::wallet::format_amount;

use super::output::columns;
use super::{CommandError, NodeArgs, Output};

/// Arguments of `keel status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    node: NodeArgs,
}

/// Arguments of `keel peers`.
#[derive(Debug, Args)]
pub(super) struct PeersArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Connect to this peer and stay connected
    #[arg(long, value_name = "KEY@ADDRESS:PORT")]
    add: Option<String>,
    /// Stop dialling this peer; an open connection stays
    #[arg(long, value_name = "KEY@ADDRESS:PORT", conflicts_with = "add")]
    remove: Option<String>,
    #[command(subcommand)]
    change: Option<PeersCommand>,
}

#[cfg(test)]
impl PeersArgs {
    /// The directory of the node that is asked.
    pub(super) fn directory(&self) -> std::path::PathBuf {
        self.node.directory()
    }
}

/// What can be done about peers.
#[derive(Debug, Subcommand)]
enum PeersCommand {
    /// Ban a node key, an address or a range of addresses, and close its connections
    Ban {
        /// Node key, address, or range like 10.1.0.0/16
        target: String,
        /// Duration of the ban [default: a day]
        #[arg(long, value_name = "N")]
        seconds: Option<u64>,
    },
    /// Lift a ban
    Unban {
        /// Node key, address, or range like 10.1.0.0/16
        target: String,
    },
    /// List the bans
    Bans,
    /// List the peers that broke a rule in the last day
    Discouraged,
    /// Close the connections of a peer
    Disconnect {
        /// The connection's id, the peer's key, or its address with the port
        peer: String,
    },
}

fn change_peers(
    command: &PeersCommand,
    client: &mut Client,
    output: &Output,
) -> Result<(), CommandError> {
    match command {
        PeersCommand::Ban { target, seconds } => {
            let params = json!([target, "add", seconds]);
            client.call("setban", &params)?;
            let text = || format!("the node does not talk to {target}");
            output.print(&json!({ "banned": target }), text);
        }
        PeersCommand::Unban { target } => {
            client.call("setban", &json!([target, "remove"]))?;
            let text = || format!("the node talks to {target} again");
            output.print(&json!({ "unbanned": target }), text);
        }
        PeersCommand::Bans => {
            let bans = client.call("listbanned", &Value::Null)?;
            output.print(&bans, || {
                let mut rows = vec![vec!["who".to_owned(), "seconds left".to_owned()]];
                for ban in bans.as_array().into_iter().flatten() {
                    rows.push(vec![
                        text_of(&ban["target"]),
                        text_of(&ban["time_remaining"]),
                    ]);
                }
                if rows.len() == 1 {
                    return "nobody is banned".to_owned();
                }
                columns(&rows)
            });
        }
        PeersCommand::Discouraged => {
            let peers = client.call("listdiscouraged", &Value::Null)?;
            output.print(&peers, || {
                let head = ["who", "seconds left", "rule"].map(str::to_owned);
                let mut rows = vec![head.to_vec()];
                for peer in peers.as_array().into_iter().flatten() {
                    let row = ["target", "time_remaining", "rule"];
                    rows.push(row.iter().map(|name| text_of(&peer[*name])).collect());
                }
                if rows.len() == 1 {
                    return "nobody broke a rule".to_owned();
                }
                columns(&rows)
            });
        }
        PeersCommand::Disconnect { peer } => {
            let named = peer
                .parse::<u64>()
                .map_or_else(|_| json!(peer), |conn| json!(conn));
            client.call("disconnectnode", &json!([named]))?;
            let text = || format!("{peer} is disconnected");
            output.print(&json!({ "disconnected": peer }), text);
        }
    }
    Ok(())
}

/// Arguments of `keel block`.
#[derive(Debug, Args)]
pub(super) struct BlockArgs {
    /// Height or id of the block [default: the tip]
    block: Option<String>,
    #[command(flatten)]
    node: NodeArgs,
}

/// Arguments of `keel account`.
#[derive(Debug, Args)]
pub(super) struct AccountArgs {
    /// Address of the account
    address: String,
    #[command(flatten)]
    node: NodeArgs,
}

/// Arguments of `keel rpc`.
#[derive(Debug, Args)]
pub(super) struct RpcArgs {
    /// Name of the method; `keel rpc help` lists them all
    method: String,
    /// Parameters in order, or all as name=value; what is not JSON is taken as text
    params: Vec<String>,
    #[command(flatten)]
    node: NodeArgs,
}

/// How this chain writes amounts.
#[derive(Clone, Debug)]
pub(super) struct ChainFacts {
    pub(super) name: String,
    pub(super) genesis_id: String,
    pub(super) prefix: String,
    pub(super) decimals: u8,
    pub(super) account_fee: u64,
}

impl ChainFacts {
    pub(super) fn ask(client: &mut Client) -> Result<Self, CommandError> {
        let info = client.call("getblockchaininfo", &Value::Null)?;
        let text = |name: &str| info[name].as_str().map(str::to_owned);
        let amount = |name: &str| info[name].as_str()?.parse().ok();
        let read = || {
            Some(Self {
                name: text("chain")?,
                genesis_id: text("genesis_id")?,
                prefix: text("hrp")?,
                decimals: u8::try_from(info["decimals"].as_u64()?).ok()?,
                account_fee: amount("account_fee")?,
            })
        };
        read().ok_or_else(|| CommandError::failed("the node describes its chain incompletely"))
    }

    pub(super) fn amount(&self, amount: Amount) -> String {
        format_amount(amount, self.decimals)
    }
}

fn text_of(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn status(args: &StatusArgs, output: &Output) -> Result<(), CommandError> {
    let mut client = args.node.client()?;
    let methods = [
        "getblockchaininfo",
        "getnetworkinfo",
        "getmempoolinfo",
        "uptime",
    ];
    let calls = methods.map(|method| (method, Value::Null));
    let answers: Result<Vec<Value>, _> = client.call_batch(&calls)?.into_iter().collect();
    let answers = answers.map_err(ClientError::Rpc)?;
    let [chain, network, mempool, uptime] = &answers[..] else {
        return Err(CommandError::failed(
            "the node answered a part of the calls",
        ));
    };
    let value = json!({
        "chain": chain, "network": network, "mempool": mempool, "uptime": uptime,
    });
    output.print(&value, || {
        let row = |name: &str, text: String| vec![name.to_owned(), text];
        let synced = match (chain["blocks"].as_u64(), chain["headers"].as_u64()) {
            (Some(blocks), Some(headers)) if headers > blocks => {
                format!(" of {headers}, synchronising")
            }
            _ => String::new(),
        };
        columns(&[
            row(
                "chain",
                format!(
                    "{} ({})",
                    text_of(&chain["chain"]),
                    text_of(&chain["genesis_id"])
                ),
            ),
            row("height", format!("{}{synced}", chain["blocks"])),
            row("tip", text_of(&chain["bestblockhash"])),
            row("peers", text_of(&network["connections"])),
            row(
                "mempool",
                format!(
                    "{}, {} bytes",
                    counted(mempool["size"].as_u64().unwrap_or_default(), "transaction"),
                    mempool["bytes"]
                ),
            ),
            row(
                "base fee",
                format!("{} per 1,000 weight", text_of(&chain["next_base_fee"])),
            ),
            row("node", text_of(&network["peer_address"])),
            row("version", text_of(&network["subversion"])),
            row("up", format!("{uptime} s")),
        ])
    });
    Ok(())
}

pub(super) fn peers(args: &PeersArgs, output: &Output) -> Result<(), CommandError> {
    if args.change.is_some() && (args.add.is_some() || args.remove.is_some()) {
        return Err(CommandError::usage(
            "--add and --remove do not go with a subcommand; run one after the other",
        ));
    }
    let mut client = args.node.client()?;
    if let Some(command) = &args.change {
        return change_peers(command, &mut client, output);
    }
    if let Some(peer) = &args.add {
        client.call("addnode", &json!([peer]))?;
        output.print(&json!({ "added": peer }), || {
            format!("the node stays connected with {peer}")
        });
        return Ok(());
    }
    if let Some(peer) = &args.remove {
        client.call("addnode", &json!([peer, "remove"]))?;
        output.print(&json!({ "removed": peer }), || {
            format!("the node does not dial {peer} any more")
        });
        return Ok(());
    }
    let peers = client.call("getpeerinfo", &Value::Null)?;
    output.print(&peers, || {
        let head = ["address", "direction", "height", "ping", "agent", "key"].map(str::to_owned);
        let mut rows = vec![head.to_vec()];
        for peer in peers.as_array().into_iter().flatten() {
            let inbound = peer["inbound"].as_bool() == Some(true);
            let ping = peer["pingtime"].as_f64().map_or_else(
                || "-".to_owned(),
                |seconds| format!("{:.1} ms", seconds * 1_000.0),
            );
            rows.push(vec![
                text_of(&peer["addr"]),
                if inbound { "inbound" } else { "outbound" }.to_owned(),
                text_of(&peer["synced_headers"]),
                ping,
                text_of(&peer["subver"]),
                text_of(&peer["key"]),
            ]);
        }
        if rows.len() == 1 {
            return "no peers are connected".to_owned();
        }
        columns(&rows)
    });
    Ok(())
}

/// The block that a word names, as a parameter.
fn block_named(word: &str) -> Result<Value, CommandError> {
    if let Ok(height) = word.parse::<u64>() {
        return Ok(json!(height));
    }
    match word.parse::<BlockId>() {
        Ok(id) => Ok(json!(id.to_string())),
        Err(_) => Err(CommandError::usage(format!(
            "\"{word}\" is neither a height nor a block id (64 hexadecimal digits)"
        ))),
    }
}

/// The work that was done for a block and those above it, in as few digits as it needs.
fn work_of(work: &Value) -> String {
    match work.as_str().map(|digits| digits.trim_start_matches('0')) {
        None => "unknown".to_owned(),
        Some("") => "0".to_owned(),
        Some(digits) => format!("0x{digits}"),
    }
}

pub(super) fn block(args: &BlockArgs, output: &Output) -> Result<(), CommandError> {
    let named = args.block.as_deref().map(block_named).transpose()?;
    let mut client = args.node.client()?;
    let which = match named {
        None => client.call("getbestblockhash", &Value::Null)?,
        Some(block) => block,
    };
    let facts = ChainFacts::ask(&mut client)?;
    let block = client.call("getblock", &json!([which, 1]))?;
    output.print(&block, || {
        let row = |name: &str, text: String| vec![name.to_owned(), text];
        let mut rows = vec![
            row("block", text_of(&block["hash"])),
            row("height", text_of(&block["height"])),
            row(
                "depth",
                match &block["finality"] {
                    Value::Null => "not in the best chain".to_owned(),
                    finality => text_of(&finality["depth"]),
                },
            ),
            row(
                "time",
                block["time"].as_u64().map_or_else(
                    || text_of(&block["time"]),
                    |time| utc(Duration::from_millis(time)),
                ),
            ),
            row("parent", text_of(&block["previousblockhash"])),
            row("miner", text_of(&block["beneficiary"])),
            row("weight", text_of(&block["weight"])),
            row("transactions", text_of(&block["nTx"])),
        ];
        if let Some(work) = block["finality"].get("work") {
            rows.insert(3, row("work", work_of(work)));
        }
        for transaction in block["tx"].as_array().into_iter().flatten() {
            rows.push(row("", describe(transaction, &facts)));
        }
        columns(&rows)
    });
    Ok(())
}

/// A transaction in one line.
fn describe(transaction: &Value, facts: &ChainFacts) -> String {
    let ops = transaction["ops"].as_array().map_or(&[][..], Vec::as_slice);
    let parts: Vec<String> = ops
        .iter()
        .map(|op| match op["op"].as_str() {
            Some("transfer") => {
                let units = op["amount"].as_str().and_then(|text| text.parse().ok());
                let amount =
                    units.map_or_else(|| "?".to_owned(), |units| facts.amount(Amount(units)));
                format!("{amount} to {}", text_of(&op["to"]))
            }
            _ => text_of(&op["op"]),
        })
        .collect();
    format!(
        "{} from {}: {}",
        text_of(&transaction["txid"]),
        text_of(&transaction["from"]),
        parts.join(", ")
    )
}

pub(super) fn account(args: &AccountArgs, output: &Output) -> Result<(), CommandError> {
    let mut client = args.node.client()?;
    let facts = ChainFacts::ask(&mut client)?;
    let account = client.call("getaccount", &json!([args.address]))?;
    output.print(&account, || {
        if account["exists"].as_bool() == Some(false) {
            return "there is no such account yet; the first payment to it makes it".to_owned();
        }
        let units = account["balance"]
            .as_str()
            .and_then(|text| text.parse().ok());
        let balance = units.map_or_else(|| "?".to_owned(), |units| facts.amount(Amount(units)));
        let made = account["nonce"].as_u64().unwrap_or_default();
        format!("balance {balance}, {} made", counted(made, "transaction"))
    });
    Ok(())
}

/// Parameters from words: all of them `name=value`, or none.
fn params_of(words: &[String]) -> Value {
    let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let named: Option<serde_json::Map<String, Value>> = words
        .iter()
        .map(|word| {
            let (name, text) = word.split_once('=')?;
            is_name(name).then(|| (name.to_owned(), value(text)))
        })
        .collect();
    match named {
        _ if words.is_empty() => Value::Null,
        Some(named) => Value::Object(named),
        None => words.iter().map(|word| value(word)).collect(),
    }
}

pub(super) fn rpc(args: &RpcArgs, output: &Output) -> Result<(), CommandError> {
    let result = args
        .node
        .client()?
        .call(&args.method, &params_of(&args.params))?;
    output.print(&result, || match &result {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_else(|_| other.to_string()),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_named_by_its_height_or_id() {
        let id = "0a".repeat(32);
        assert_eq!(block_named("17").unwrap(), json!(17));
        assert_eq!(block_named(&id).unwrap(), json!(id));
        for word in ["xyz", "", "-1", &id[1..]] {
            let error = block_named(word).unwrap_err();
            let said = "is neither a height nor a block id (64 hexadecimal digits)";
            assert_eq!(error.message, format!("\"{word}\" {said}"));
        }
    }

    #[test]
    fn words_become_parameters() {
        let params = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            params_of(&words)
        };
        assert_eq!(params(&[]), Value::Null);
        assert_eq!(params(&["5", "abc", "true"]), json!([5, "abc", true]));
        assert_eq!(
            params(&["height=5", "name=abc"]),
            json!({ "height": 5, "name": "abc" })
        );
        assert_eq!(params(&["5", "a=b"]), json!([5, "a=b"]));
        assert_eq!(
            params(&["keelnode1x@1.2.3.4:5"]),
            json!(["keelnode1x@1.2.3.4:5"])
        );
    }
}
