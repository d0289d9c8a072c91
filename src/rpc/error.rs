//! Errors of the JSON-RPC protocol.

use std::fmt;

use serde_json::{Value, json};

use crate::chain::mempool::Leaving;
use crate::chain::state::PageError;
use crate::chain::{IsolatedFault, TransactionFault};
use crate::consensus::HeaderFault;
use crate::node::{BlockRefusal, CallError};

/// Why a call was refused, as the caller sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    /// A number: the protocol's own below -32,000, the node's from 1,001.
    pub code: i64,
    /// One sentence for people.
    pub message: String,
    /// `{"code": "..", ..}`: a stable word for programs, and the numbers it speaks of.
    pub data: Value,
}

impl RpcError {
    fn new(code: i64, word: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: json!({ "code": word }),
        }
    }

    /// The body is no JSON.
    pub fn parse(message: impl Into<String>) -> Self {
        Self::new(-32_700, "parse_error", message)
    }

    /// The JSON is no call.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(-32_600, "invalid_request", message)
    }

    /// There is no such method.
    pub fn method_not_found(message: impl Into<String>) -> Self {
        Self::new(-32_601, "method_not_found", message)
    }

    /// A parameter is missing, too many, or not what it should be.
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(-32_602, "invalid_params", message)
    }

    /// The node broke its own rules.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(-32_603, "internal_error", message)
    }

    /// There is no such thing here.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(1_001, "not_found", message)
    }

    /// A transaction that can't be valid; `word` names the rule.
    pub fn rejected(word: &'static str, message: impl Into<String>) -> Self {
        Self::new(1_002, word, message)
    }

    /// Bytes that are no transaction.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(1_003, "transaction_malformed", message)
    }

    /// There is no room for the transaction; `word` says where.
    pub fn no_room(word: &'static str, message: impl Into<String>) -> Self {
        Self::new(1_004, word, message)
    }

    /// The node has not read its log yet.
    pub fn starting(message: impl Into<String>) -> Self {
        Self::new(1_005, "starting", message)
    }

    /// Too much waits already.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(1_006, "busy", message)
    }

    /// Something about the machine failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(1_007, "failed", message)
    }

    /// The answer would be longer than answers may be.
    pub fn answer_too_large(message: impl Into<String>) -> Self {
        Self::new(1_008, "answer_too_large", message)
    }

    /// A block that is not taken; `word` names the rule.
    pub fn block_rejected(word: &'static str, message: impl Into<String>) -> Self {
        Self::new(1_009, word, message)
    }

    /// With a number or text that the error speaks of.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data[name] = value.into();
        self
    }

    /// The stable word for programs.
    #[must_use]
    pub fn word(&self) -> &str {
        self.data["code"].as_str().unwrap_or_default()
    }

    /// As it stands in an answer.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "code": self.code, "message": self.message, "data": self.data })
    }

    /// The error of an answer, if it has the form of one.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            code: value.get("code")?.as_i64()?,
            message: value.get("message")?.as_str()?.to_owned(),
            data: value.get("data").cloned().unwrap_or(Value::Null),
        })
    }
}

impl From<CallError> for RpcError {
    fn from(error: CallError) -> Self {
        let text = error.to_string();
        match error {
            CallError::Transaction(fault) => of_transaction(&fault, text),
            CallError::Malformed(_) => Self::malformed(text),
            CallError::Conflict { with, needed } => Self::rejected("conflict", text)
                .with("with", with.to_string())
                .with("needed", needed.to_string()),
            CallError::QueueFull => Self::no_room("account_queue_full", text),
            CallError::DiskFull => Self::no_room("disk_full", text),
            CallError::MempoolFull { needed } => {
                Self::no_room("mempool_full", text).with("needed", needed.to_string())
            }
            CallError::ExpiresSoon { expiry, least } => Self::rejected("expires_soon", text)
                .with("expiry", expiry.0)
                .with("least", least.0),
            CallError::Gone(why) => Self::no_room("gone", text).with("reason", reason(&why)),
            CallError::Block(refusal) => of_block(&refusal, text),
            CallError::NotFound(_) => Self::not_found(text),
            CallError::Starting => Self::starting(text),
            CallError::Busy => Self::busy(text),
            CallError::Failed(_) => Self::failed(text),
            CallError::BansFull => Self::no_room("bans_full", text),
            CallError::NotKept(_) => Self::failed(text),
        }
    }
}

/// Why an accepted transaction is not in the mempool, as a word for programs.
pub(super) fn reason(why: &Leaving) -> &'static str {
    match why {
        Leaving::Replaced { .. } => "replaced",
        Leaving::Room => "evicted",
        Leaving::Expired => "expired",
        Leaving::NonceUsed => "nonce_used",
        Leaving::Balance => "balance",
        Leaving::AccountFee => "account_fee",
        Leaving::Stranded => "stranded",
    }
}

impl From<PageError> for RpcError {
    fn from(error: PageError) -> Self {
        CallError::Failed(error.to_string()).into()
    }
}

/// The rule that a transaction breaks, with both its numbers.
fn of_transaction(fault: &TransactionFault, text: String) -> RpcError {
    let rejected = |word| RpcError::rejected(word, text.clone());
    match fault {
        TransactionFault::UnknownSender { account } => {
            rejected("unknown_sender").with("account_id", account.to_string())
        }
        TransactionFault::Nonce { wanted, found } => rejected("nonce")
            .with("wanted", wanted.0)
            .with("found", found.0),
        TransactionFault::NonceExhausted => rejected("nonce_exhausted"),
        TransactionFault::Expired { expiry, height } => rejected("expired")
            .with("expiry", expiry.0)
            .with("height", height.0),
        TransactionFault::Balance { needed, available } => rejected("balance")
            .with("needed", needed.to_string())
            .with("available", available.to_string()),
        TransactionFault::Fee { needed, paid } => rejected("fee")
            .with("needed", needed.to_string())
            .with("paid", paid.to_string()),
    }
}

/// The rule that a block breaks; of times with both numbers.
fn of_block(refusal: &BlockRefusal, text: String) -> RpcError {
    let rejected = RpcError::block_rejected(refusal.word(), text);
    match refusal {
        BlockRefusal::TimeTooNew { latest, found } => {
            rejected.with("latest", latest.0).with("found", found.0)
        }
        BlockRefusal::Isolated(IsolatedFault::Header(HeaderFault::TimeTooEarly {
            earliest,
            found,
        })) => rejected.with("earliest", earliest.0).with("found", found.0),
        _ => rejected,
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RpcError {}
