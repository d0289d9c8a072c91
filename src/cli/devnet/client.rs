//! What a devnet asks its nodes over their RPC, as values.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::base::{decode_hex, encode_hex};
use crate::codec::Decode;
use crate::rpc::auth::{COOKIE_FILE, Cookie};
use crate::rpc::client;
use crate::types::{Block, BlockId, GenesisId, Height, TxId};

use super::chain::Link;

/// A question came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClientError {
    /// The node refused, for the reason that this stable word names.
    Refused(String),
    /// No answer came, or none that makes sense.
    Unanswered(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) | Self::Unanswered(why) => f.write_str(why),
        }
    }
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) height: Height,
    pub(super) tip: BlockId,
    pub(super) base_fee: u64,
    pub(super) peers: u64,
    pub(super) waiting: u64,
    pub(super) left: Left,
    /// Seconds since the process began: less than before when it is another one.
    pub(super) uptime: u64,
}

/// What a node's best chain left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// How often its tip went to another branch.
    pub(super) reorganisations: u64,
    /// The blocks that left the chain in that.
    pub(super) blocks: u64,
}

impl std::ops::AddAssign for Left {
    fn add_assign(&mut self, other: Self) {
        self.reorganisations += other.reorganisations;
        self.blocks += other.blocks;
    }
}

/// A client of one node, through all of the node's processes: each has a cookie of its own.
pub(super) struct Client {
    address: SocketAddr,
    directory: PathBuf,
    genesis_id: GenesisId,
    timeout: Duration,
    connection: Option<client::Client>,
}

impl Client {
    /// A client of the node at `address` that runs on `directory`.
    pub(super) fn new(
        address: SocketAddr,
        directory: PathBuf,
        genesis_id: GenesisId,
        timeout: Duration,
    ) -> Self {
        Self {
            address,
            directory,
            genesis_id,
            timeout,
            connection: None,
        }
    }

    /// How the node is.
    pub(super) fn status(&mut self) -> Result<Status, ClientError> {
        let methods = [
            "getblockchaininfo",
            "getnetworkinfo",
            "getmempoolinfo",
            "uptime",
        ];
        let calls = methods.map(|method| (method, Value::Null));
        let answers = self.exchange(|connection| connection.call_batch(&calls))?;
        let answers: Result<Vec<Value>, _> = answers.into_iter().collect();
        let answers = answers.map_err(|error| ClientError::Refused(error.word().to_owned()))?;
        let [chain, network, mempool, uptime] = &answers[..] else {
            return Err(senseless("an answer to each call", &Value::Array(answers)));
        };
        Ok(Status {
            height: Height(number(chain, "blocks")?),
            tip: identifier(&chain["bestblockhash"])?,
            base_fee: number(chain, "base_fee")?,
            peers: number(network, "connections")?,
            waiting: number(mempool, "size")?,
            left: Left {
                reorganisations: number(chain, "reorganisations")?,
                blocks: number(chain, "disconnectedblocks")?,
            },
            uptime: uptime
                .as_u64()
                .ok_or_else(|| senseless("a number of seconds", uptime))?,
        })
    }

    /// Has the node accept a transaction.
    pub(super) fn pay(&mut self, transaction: &[u8]) -> Result<(), ClientError> {
        self.call("sendrawtransaction", &json!([encode_hex(transaction)]))
            .map(drop)
    }

    /// A block of the node.
    pub(super) fn block(&mut self, id: BlockId) -> Result<Link, ClientError> {
        let answer = self.call("getblock", &json!([id.to_string(), 0]))?;
        let bytes = answer.as_str().and_then(|text| decode_hex(text).ok());
        let block = bytes.and_then(|bytes| Block::from_bytes(&bytes).ok());
        let block = block.ok_or_else(|| senseless("a block", &answer))?;
        if block.header.id() != id {
            return Err(senseless("the block that was asked for", &answer));
        }
        let txids = block
            .transactions
            .iter()
            .map(|transaction| transaction.txid(&self.genesis_id));
        Ok(Link {
            id,
            parent: block.header.parent_id,
            height: block.header.height,
            txids: txids.collect(),
        })
    }

    /// What waits in the node's mempool.
    pub(super) fn mempool(&mut self) -> Result<Vec<TxId>, ClientError> {
        let answer = self.call("getrawmempool", &json!([]))?;
        let txids = answer
            .as_array()
            .ok_or_else(|| senseless("a list", &answer))?;
        txids.iter().map(identifier).collect()
    }

    fn call(&mut self, method: &str, params: &Value) -> Result<Value, ClientError> {
        self.exchange(|connection| connection.call(method, params))
    }

    fn exchange<T>(
        &mut self,
        ask: impl FnOnce(&mut client::Client) -> Result<T, client::ClientError>,
    ) -> Result<T, ClientError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        match ask(&mut connection) {
            Ok(answer) => {
                self.connection = Some(connection);
                Ok(answer)
            }
            Err(client::ClientError::Rpc(error)) => {
                self.connection = Some(connection);
                Err(ClientError::Refused(error.word().to_owned()))
            }
            // The next call reads the cookie again: the process may be another one by then.
            Err(error) => Err(ClientError::Unanswered(error.to_string())),
        }
    }

    fn connect(&self) -> Result<client::Client, ClientError> {
        let cookie = Cookie::read(&self.directory.join(COOKIE_FILE))
            .map_err(|error| ClientError::Unanswered(error.to_string()))?;
        Ok(client::Client::new(self.address, Some(&cookie)).with_answer_time(self.timeout))
    }
}

fn senseless(wanted: &str, answer: &Value) -> ClientError {
    let mut text = answer.to_string();
    text.truncate(200);
    ClientError::Unanswered(format!("the node's answer is not {wanted}: {text}"))
}

fn number(answer: &Value, name: &'static str) -> Result<u64, ClientError> {
    let value = &answer[name];
    // Amounts stand in texts, so that no reader rounds them.
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    number.ok_or_else(|| senseless(name, answer))
}

fn identifier<T: std::str::FromStr>(value: &Value) -> Result<T, ClientError> {
    let parsed = value.as_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| senseless("an id", value))
}
