//! The methods: a table, from which calls are served, and the help and the OpenRPC document made.

mod chain;
mod mining;
mod network;
pub(super) mod server;
mod transactions;

use std::sync::Arc;

use serde_json::Value;

use crate::base::Time;
use crate::node::{CallError, Published, Question, Reply};
use crate::reactor::Counters;
use crate::types::{AccountId, encode_address};

use super::params::{Kind, Param, Params};
use super::{Facts, RpcError};

/// What a method sees of the node.
pub(super) struct View<'a> {
    pub(super) facts: &'a Facts,
    pub(super) published: Option<&'a Arc<Published>>,
    pub(super) counters: &'a Counters,
    pub(super) now: Time,
    pub(super) is_recording: bool,
    /// Set by a method that stops the process.
    pub(super) stop: bool,
}

impl View<'_> {
    /// The newest moment of the node.
    pub(super) fn published(&self) -> Result<&Published, RpcError> {
        match self.published {
            Some(published) => Ok(published),
            None => Err(CallError::Starting.into()),
        }
    }

    pub(super) fn address(&self, account: &AccountId) -> String {
        encode_address(&self.facts.genesis.hrp, account)
    }
}

/// What goes on when the node has replied.
pub(super) type Next = Box<dyn FnOnce(&mut View<'_>, Reply) -> Outcome>;

/// What comes of a call.
pub(super) enum Outcome {
    /// Its answer.
    Done(Result<Value, RpcError>),
    /// The node is to be asked; then it goes on.
    Ask(Question, Next),
    /// Its answer takes too long for the loop.
    Query(Query),
    /// The recording is to be written to this file.
    Save(String),
}

impl Outcome {
    /// Asks the node.
    fn ask(question: Question, next: impl FnOnce(&mut View<'_>, Reply) -> Self + 'static) -> Self {
        Self::Ask(question, Box::new(next))
    }
}

/// What answers a query.
type Answer = dyn FnOnce(&View<'_>) -> Result<Value, RpcError> + Send;

/// What is read, hashed or put into words beside the loop.
pub(super) struct Query {
    /// About how much it keeps in memory until it is answered.
    pub(super) bytes: usize,
    /// What answers it, from what is published when the call comes so far.
    pub(super) run: Box<Answer>,
}

impl Query {
    /// What every query keeps: its call, and the pages that are published.
    const BYTES: usize = 1_024;

    /// A query that keeps so many bytes of its own.
    fn with(
        bytes: usize,
        run: impl FnOnce(&View<'_>) -> Result<Value, RpcError> + Send + 'static,
    ) -> Outcome {
        let bytes = bytes + Self::BYTES;
        let run = Box::new(run);
        Outcome::Query(Self { bytes, run })
    }
}

impl From<Result<Value, RpcError>> for Outcome {
    fn from(result: Result<Value, RpcError>) -> Self {
        Self::Done(result)
    }
}

/// The node has answered something else than it was asked.
fn unexpected(reply: &Reply) -> Outcome {
    Outcome::Done(Err(RpcError::internal(format!(
        "the node answered {reply:?}"
    ))))
}

/// A method.
pub(super) struct Method {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) params: &'static [Param],
    /// What the result is.
    pub(super) result: &'static str,
    pub(super) run: fn(&mut View<'_>, &Params) -> Result<Outcome, RpcError>,
}

/// Shorthand of the table below.
const fn required(name: &'static str, kind: Kind, summary: &'static str) -> Param {
    Param {
        name,
        kind,
        required: true,
        summary,
    }
}

const fn optional(name: &'static str, kind: Kind, summary: &'static str) -> Param {
    Param {
        name,
        kind,
        required: false,
        summary,
    }
}

const BLOCK: Param = required(
    "block",
    Kind::Block,
    "the block's height in the best chain, or id",
);
const ADDRESS: Param = required("address", Kind::Address, "the account's address");
const TXID: Param = required("txid", Kind::Id, "the transaction's id");

/// Every method, by name.
pub(super) const METHODS: &[Method] = &[
    Method {
        name: "acceptbranch",
        summary: "Takes a branch back in that was set aside, however deep it forks off.",
        params: &[required(
            "block",
            Kind::Id,
            "the id of a block of the branch",
        )],
        result: "null",
        run: chain::accept_branch,
    },
    Method {
        name: "addnode",
        summary: "Connects to a peer, and stays connected with it while the node runs.",
        params: &[
            required("peer", Kind::Peer, "the peer: KEY@ADDRESS:PORT"),
            optional(
                "command",
                Kind::Text,
                "add, which is the default, or remove: dial it no more",
            ),
        ],
        result: "null",
        run: network::add_node,
    },
    Method {
        name: "clearbanned",
        summary: "Talks to everybody again, and forgets who broke a rule.",
        params: &[],
        result: "null",
        run: network::clear_banned,
    },
    Method {
        name: "disconnectnode",
        summary: "Closes the connections of a peer; one that the node stays connected with is \
                  dialled again.",
        params: &[required(
            "peer",
            Kind::PeerRef,
            "the connection's id, the peer's key, or its address with the port",
        )],
        result: "null",
        run: network::disconnect_node,
    },
    Method {
        name: "estimatesmartfee",
        summary: "What to pay to be in one of the next blocks, in base units per 1,000 weight.",
        params: &[required(
            "conf_target",
            Kind::Number,
            "within how many blocks, 1 to 100",
        )],
        result: "object: feerate, blocks, next_base_fee, mempoolminfee",
        run: transactions::estimate_smart_fee,
    },
    Method {
        name: "getaccount",
        summary: "What an account holds after the tip.",
        params: &[ADDRESS],
        result: "object: address, account_id, exists, balance (base units), nonce, height, block",
        run: chain::get_account,
    },
    Method {
        name: "getaccountproof",
        summary: "A proof of an account's record, or of its absence, under the tip's header.",
        params: &[ADDRESS],
        result: "object: proof (hex of a StateProof), header (its id), height",
        run: chain::get_account_proof,
    },
    Method {
        name: "getbestblockhash",
        summary: "The id of the tip.",
        params: &[],
        result: "string: the id",
        run: chain::get_best_block_hash,
    },
    Method {
        name: "getblock",
        summary: "A block.",
        params: &[
            BLOCK,
            optional(
                "verbosity",
                Kind::Verbosity,
                "0: its bytes in hex; 1: an object",
            ),
        ],
        result: "object: hash, height, version, previousblockhash, time (ms), tx_root, state_root, \
                 history_root, base_fee, beneficiary, parent_weight, bits, nonce, finality, \
                 weight, nTx, tx (of each txid, wtxid, from, auth, nonce, fee, expiry, size, \
                 weight, ops); string with verbosity 0",
        run: chain::get_block,
    },
    Method {
        name: "getblockchaininfo",
        summary: "The chain and its tip.",
        params: &[],
        result: "object",
        run: chain::get_blockchain_info,
    },
    Method {
        name: "getblockcount",
        summary: "The height of the tip.",
        params: &[],
        result: "integer",
        run: chain::get_block_count,
    },
    Method {
        name: "getblockhash",
        summary: "The id of the block at a height of the best chain.",
        params: &[required("height", Kind::Number, "the height")],
        result: "string: the id",
        run: chain::get_block_hash,
    },
    Method {
        name: "getblockheader",
        summary: "A block's header.",
        params: &[
            BLOCK,
            optional(
                "verbose",
                Kind::Verbosity,
                "0: its bytes in hex; 1: an object",
            ),
        ],
        result: "object: hash, height, version, previousblockhash, time (ms), tx_root, state_root, \
                 history_root, base_fee, beneficiary, parent_weight, bits, nonce, finality; string \
                 with verbose 0",
        run: chain::get_block_header,
    },
    Method {
        name: "getblocktemplate",
        summary: "Work for a miner: the header of a block on the tip, which lacks the nonce. With \
                  mode proposal: whether a block would be valid if its work were done.",
        params: &[
            optional(
                "address",
                Kind::Address,
                "who receives reward and tips; not needed for a proposal",
            ),
            optional(
                "longpollid",
                Kind::Text,
                "what the last template gave: the answer waits for something better",
            ),
            optional(
                "mode",
                Kind::Text,
                "template, which is the default, or proposal",
            ),
            optional("data", Kind::Hex, "the bytes of the proposed block"),
            optional(
                "block",
                Kind::Verbosity,
                "1: with the bytes of the template's block, which lacks the nonce",
            ),
        ],
        result: "object, or with mode proposal null or the reason as a string",
        run: mining::get_block_template,
    },
    Method {
        name: "getchaintips",
        summary: "The end of every branch, the best chain's first.",
        params: &[],
        result: "array of objects: height, hash, branchlen, status",
        run: chain::get_chain_tips,
    },
    Method {
        name: "getmempoolinfo",
        summary: "How much waits in the mempool.",
        params: &[],
        result: "object: size, bytes, usage, maxmempool, mempoolminfee (base units per 1,000 \
                 weight)",
        run: transactions::get_mempool_info,
    },
    Method {
        name: "getnetworkinfo",
        summary: "This node in the network.",
        params: &[],
        result: "object",
        run: network::get_network_info,
    },
    Method {
        name: "getnextnonce",
        summary: "The nonce of an account's next transaction, after those that wait.",
        params: &[ADDRESS],
        result: "integer",
        run: transactions::get_next_nonce,
    },
    Method {
        name: "getpeerinfo",
        summary: "The connected peers.",
        params: &[],
        result: "array of objects",
        run: network::get_peer_info,
    },
    Method {
        name: "getrawmempool",
        summary: "The transactions that wait.",
        params: &[],
        result: "array of ids",
        run: transactions::get_raw_mempool,
    },
    Method {
        name: "getsupply",
        summary: "Where all money is after the tip, in base units.",
        params: &[],
        result: "object: issued, burned, accounts, stakes, immature, pending, pool, height, block",
        run: chain::get_supply,
    },
    Method {
        name: "gettransactionstatus",
        summary: "Where a transaction stands: waiting, included, aside, gone or unknown.",
        params: &[TXID],
        result: "object: txid, status; included: block, height, index, finality; aside or gone: \
                 reason",
        run: transactions::get_transaction_status,
    },
    Method {
        name: "gettxproof",
        summary: "A proof that a transaction is in its block of the best chain.",
        params: &[
            TXID,
            optional(
                "block",
                Kind::Block,
                "the block's height or id, for a transaction that is not among the newest",
            ),
        ],
        result: "object: proof (hex of a TxProof), header (its id), height",
        run: transactions::get_tx_proof,
    },
    Method {
        name: "help",
        summary: "The methods, or one of them.",
        params: &[optional("method", Kind::Method, "the method")],
        result: "string",
        run: server::help,
    },
    Method {
        name: "listbanned",
        summary: "Whom the node does not talk to.",
        params: &[],
        result: "array of objects: target, banned_until, ban_created, ban_duration, time_remaining",
        run: network::list_banned,
    },
    Method {
        name: "listdiscouraged",
        summary: "Who broke a rule in the last day, the latest first.",
        params: &[],
        result: "array of objects: target, rule, until, time_remaining",
        run: network::list_discouraged,
    },
    Method {
        name: "rpc.discover",
        summary: "This interface as an OpenRPC document.",
        params: &[],
        result: "object",
        run: server::discover,
    },
    Method {
        name: "saverecord",
        summary: "Writes what the node recorded of itself to a new file, for keel replay.",
        params: &[required(
            "file",
            Kind::FileName,
            "the file's name in the folder recordings of the data directory; it must not be there",
        )],
        result: "object: file, bytes, missing",
        run: server::save_record,
    },
    Method {
        name: "sendrawtransaction",
        summary: "Accepts a transaction; answered when it is durable here.",
        params: &[required(
            "transaction",
            Kind::Hex,
            "the transaction's bytes",
        )],
        result: "string: its id",
        run: transactions::send_raw_transaction,
    },
    Method {
        name: "setban",
        summary: "Bans a node key, an address or a range of addresses, or lifts the ban.",
        params: &[
            required(
                "target",
                Kind::BanTarget,
                "the key, the address, or a range like 10.1.0.0/16",
            ),
            required("command", Kind::AddOrRemove, "\"add\" or \"remove\""),
            optional(
                "bantime",
                Kind::Number,
                "for how many seconds; a day unless said otherwise",
            ),
        ],
        result: "null, when the list is written",
        run: network::set_ban,
    },
    Method {
        name: "stop",
        summary: "Stops the node.",
        params: &[],
        result: "string",
        run: server::stop,
    },
    Method {
        name: "submitblock",
        summary: "Takes a block; answered when it is decided and durable what becomes of it.",
        params: &[required("block", Kind::Hex, "the block's bytes")],
        result: "object: status, hash, height",
        run: mining::submit_block,
    },
    Method {
        name: "submitwork",
        summary: "Completes a template; answered when it is decided and durable what becomes of \
                  the block.",
        params: &[
            required("template_id", Kind::Text, "the template's name"),
            required("nonce", Kind::Digits, "the nonce"),
            optional(
                "time",
                Kind::Number,
                "the header's time in ms, where it is not the template's",
            ),
        ],
        result: "object: status, hash, height",
        run: mining::submit_work,
    },
    Method {
        name: "uptime",
        summary: "How many seconds the node has run.",
        params: &[],
        result: "integer",
        run: server::uptime,
    },
];

/// The method of a name.
pub(super) fn find(name: &str) -> Option<&'static Method> {
    let at = METHODS
        .binary_search_by(|method| method.name.cmp(name))
        .ok()?;
    METHODS.get(at)
}
