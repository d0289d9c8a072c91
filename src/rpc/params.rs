//! The parameters of a method: what they are, and how they are read.

use serde_json::{Value, json};

use crate::base::{Span, decode_hex};
use crate::node::{ConnId, PeerRef};
use crate::p2p::BanTarget;
use crate::types::{AccountId, BlockId, Height, PeerAddress, TxId, decode_address};

use super::{RpcError, nearest};

/// The most bytes of a file's name.
const NAME_MAX: usize = 100;

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole number.
    Number,
    /// 32 bytes in hexadecimal.
    Id,
    /// A block's height, or its id.
    Block,
    /// Bytes in hexadecimal.
    Hex,
    /// An account's address.
    Address,
    /// A peer.
    Peer,
    /// Who is to be banned.
    BanTarget,
    /// A connected peer.
    PeerRef,
    /// One of two words.
    AddOrRemove,
    /// A whole number, or a boolean for 0 and 1.
    Verbosity,
    /// The name of a method.
    Method,
    /// The name of a new file in a folder of the data directory.
    FileName,
    /// A text, whose form the summary tells.
    Text,
    /// A whole number, or its decimal digits for those who can't write great ones.
    Digits,
}

impl Kind {
    /// As the OpenRPC document says it.
    pub(super) fn schema(self) -> Value {
        let id = "^[0-9a-fA-F]{64}$";
        match self {
            Self::Number => json!({ "type": "integer", "minimum": 0 }),
            Self::Id => json!({ "type": "string", "pattern": id }),
            Self::FileName => json!({
                "type": "string", "pattern": "^[0-9A-Za-z_-][0-9A-Za-z._-]*$", "maxLength": NAME_MAX
            }),
            Self::Block => json!({
                "oneOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": id }]
            }),
            Self::Hex => json!({ "type": "string", "pattern": "^([0-9a-fA-F]{2})*$" }),
            Self::Address | Self::Peer | Self::BanTarget | Self::Method | Self::Text => {
                json!({ "type": "string" })
            }
            Self::PeerRef => json!({
                "oneOf": [{ "type": "integer", "minimum": 0 }, { "type": "string" }]
            }),
            Self::AddOrRemove => json!({ "type": "string", "enum": ["add", "remove"] }),
            Self::Digits => json!({
                "oneOf": [
                    { "type": "integer", "minimum": 0 },
                    { "type": "string", "pattern": "^[0-9]{1,20}$" }
                ]
            }),
            Self::Verbosity => json!({
                "oneOf": [{ "type": "integer", "enum": [0, 1] }, { "type": "boolean" }]
            }),
        }
    }
}

/// A parameter of a method.
#[derive(Clone, Copy, Debug)]
pub(super) struct Param {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) summary: &'static str,
}

/// A block, as callers name one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockRef {
    At(Height),
    Id(BlockId),
}

fn needed(param: &Param) -> RpcError {
    let text = format!("{} is missing: {}", param.name, param.summary);
    RpcError::invalid_params(text).with("parameter", param.name)
}

/// The parameters of a call, in the order of the method's table.
#[derive(Debug)]
pub(super) struct Params {
    table: &'static [Param],
    values: Vec<Value>,
}

impl Params {
    /// Brings what a caller gave, by place or by name, into the table's order.
    pub(super) fn bind(table: &'static [Param], given: Value) -> Result<Self, RpcError> {
        let mut values = match given {
            Value::Array(values) => values,
            Value::Object(mut fields) => {
                let values = table.iter().map(|param| fields.remove(param.name));
                let values = values.map(Option::unwrap_or_default).collect();
                if let Some(name) = fields.keys().next() {
                    let hint = match nearest(name, table.iter().map(|param| param.name)) {
                        Some(near) => format!("; did you mean {near}?"),
                        None => String::new(),
                    };
                    let text = format!("there is no parameter {name}{hint}");
                    return Err(RpcError::invalid_params(text).with("parameter", name.as_str()));
                }
                values
            }
            _ => Vec::new(),
        };
        if values.len() > table.len() {
            let text = format!(
                "{} parameters given, at most {} taken",
                values.len(),
                table.len()
            );
            return Err(RpcError::invalid_params(text));
        }
        values.resize(table.len(), Value::Null);
        for (param, value) in table.iter().zip(&values) {
            if param.required && value.is_null() {
                return Err(needed(param));
            }
        }
        Ok(Self { table, values })
    }

    fn wrong(&self, at: usize, rule: impl std::fmt::Display) -> RpcError {
        let name = self.table[at].name;
        RpcError::invalid_params(format!("{name}: {rule}")).with("parameter", name)
    }

    /// Whether a parameter was left out.
    pub(super) fn is_missing(&self, at: usize) -> bool {
        self.values[at].is_null()
    }

    pub(super) fn text(&self, at: usize) -> Result<&str, RpcError> {
        self.values[at]
            .as_str()
            .ok_or_else(|| self.wrong(at, "a string is needed"))
    }

    /// The error of a parameter that this call can't do without.
    pub(super) fn needed(&self, at: usize) -> RpcError {
        needed(&self.table[at])
    }

    /// A value that is read from text.
    pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        at: usize,
    ) -> Result<T, RpcError> {
        self.text(at)?
            .parse()
            .map_err(|error| self.wrong(at, error))
    }

    /// A whole number, as one or as text.
    pub(super) fn digits(&self, at: usize) -> Result<u64, RpcError> {
        let number = match &self.values[at] {
            Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok()
            }
            value => value.as_u64(),
        };
        number.ok_or_else(|| self.wrong(at, "a whole number below 2^64 is needed"))
    }

    pub(super) fn height(&self, at: usize) -> Result<Height, RpcError> {
        let number = self.values[at].as_u64();
        number
            .map(Height)
            .ok_or_else(|| self.wrong(at, "a whole number is needed"))
    }

    pub(super) fn txid(&self, at: usize) -> Result<TxId, RpcError> {
        self.parsed(at)
    }

    pub(super) fn block_id(&self, at: usize) -> Result<BlockId, RpcError> {
        self.text(at)?
            .parse()
            .map_err(|error| self.wrong(at, error))
    }

    pub(super) fn block(&self, at: usize) -> Result<BlockRef, RpcError> {
        match &self.values[at] {
            Value::String(text) => text
                .parse()
                .map(BlockRef::Id)
                .map_err(|error| self.wrong(at, error)),
            Value::Number(_) => self.height(at).map(BlockRef::At),
            _ => Err(self.wrong(at, "a height or an id is needed")),
        }
    }

    pub(super) fn bytes(&self, at: usize) -> Result<Vec<u8>, RpcError> {
        decode_hex(self.text(at)?).map_err(|error| self.wrong(at, error))
    }

    pub(super) fn account(&self, at: usize, prefix: &str) -> Result<AccountId, RpcError> {
        decode_address(prefix, self.text(at)?).map_err(|error| self.wrong(at, error))
    }

    pub(super) fn peer(&self, at: usize) -> Result<PeerAddress, RpcError> {
        self.parsed(at)
    }

    pub(super) fn ban_target(&self, at: usize) -> Result<BanTarget, RpcError> {
        self.text(at)?
            .parse()
            .map_err(|error| self.wrong(at, error))
    }

    /// A connected peer: its number, its key or its address.
    pub(super) fn peer_ref(&self, at: usize) -> Result<PeerRef, RpcError> {
        match &self.values[at] {
            Value::Number(number) => number.as_u64().map(|conn| PeerRef::Conn(ConnId(conn))),
            Value::String(text) => {
                let key = text.parse().ok().map(PeerRef::Key);
                key.or_else(|| text.parse().ok().map(PeerRef::Address))
            }
            _ => None,
        }
        .ok_or_else(|| {
            let rule = "the id of a connection, a node key, or an address with its port is needed";
            self.wrong(at, rule)
        })
    }

    /// Whether something is to be added, and not removed.
    pub(super) fn is_add(&self, at: usize) -> Result<bool, RpcError> {
        match self.text(at)? {
            "add" => Ok(true),
            "remove" => Ok(false),
            _ => Err(self.wrong(at, "\"add\" or \"remove\" is needed")),
        }
    }

    /// A number of seconds, if it was given.
    pub(super) fn seconds(&self, at: usize) -> Result<Option<Span>, RpcError> {
        /// A century: further ahead is for ever.
        const MAX: u64 = 100 * 365 * 86_400;
        if self.is_missing(at) {
            return Ok(None);
        }
        let seconds = self.values[at].as_u64().filter(|seconds| *seconds <= MAX);
        let rule = "a whole number of seconds, at most 3153600000, is needed";
        let seconds = seconds.ok_or_else(|| self.wrong(at, rule))?;
        Ok(Some(Span::from_secs(seconds)))
    }

    /// The name of a file: one that can't lead out of its folder.
    pub(super) fn file_name(&self, at: usize) -> Result<String, RpcError> {
        let name = self.text(at)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let bounded = (1..=NAME_MAX).contains(&name.len()) && !name.starts_with('.');
        if bounded && name.bytes().all(is_plain) {
            return Ok(name.to_owned());
        }
        let rule = "the plain name of a file is needed, of at most 100 letters, digits, '.', '_' \
                    and '-': the node writes into the folder recordings of its data directory and \
                    nowhere else";
        Err(self.wrong(at, rule))
    }

    /// 0 or 1, as a number or a boolean; `or` when it was left out.
    pub(super) fn verbosity(&self, at: usize, or: u64) -> Result<u64, RpcError> {
        match &self.values[at] {
            Value::Null => Ok(or),
            Value::Bool(yes) => Ok(u64::from(*yes)),
            Value::Number(number) if number.as_u64().is_some_and(|number| number <= 1) => {
                Ok(number.as_u64().unwrap_or(or))
            }
            _ => Err(self.wrong(at, "0 or 1 is needed")),
        }
    }
}
