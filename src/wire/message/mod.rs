//! Messages and their bytes (`docs/protocol.md`, "Messages").

mod hello;
mod kind;

use serde::{Deserialize, Serialize};

use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::types::{
    BlockId, EngineKind, Hash, Header, KademliaId, NodeRecord, RECORD_BYTES_MIN,
    STAKE_HEADER_BYTES, TRANSACTION_BYTES_MIN, Transaction, WORK_HEADER_BYTES, WtxId,
};

pub use hello::{Features, Hello, PROTOCOL_VERSION, Role, SHORT_TEXT_BYTES_MAX, ShortText};
pub use kind::{MESSAGE_BYTES_MAX, MessageKind, UnknownKind};

use super::Lane;

/// The most ids of a GET_HEADERS' locator.
pub const LOCATOR_IDS_MAX: usize = 32;
/// The most headers of a HEADERS.
pub const HEADERS_MAX: usize = 2_000;
/// The most headers of an ANNOUNCE.
pub const ANNOUNCE_HEADERS_MAX: usize = 8;
/// The most blocks asked for by one GET_BLOCKS.
pub const GET_BLOCKS_MAX: usize = 16;
/// The most ids of a NOT_FOUND.
pub const NOT_FOUND_MAX: usize = 128;
/// The most transactions of a TX_INV.
pub const TX_INV_MAX: usize = 512;
/// The most transactions asked for by one GET_TX, and the most of one TXS.
pub const GET_TX_MAX: usize = 128;
/// The most records asked for by one FIND_NODE, and the most of one NODES.
pub const NODES_MAX: usize = 16;
/// The most records of an ADDRS.
pub const ADDRS_MAX: usize = 64;

/// Ties an answer to its request: the requester chooses, the answer repeats it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RequestId(pub u32);

/// What nodes say to each other. [`MessageKind`] says what each is for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the documentation")]
pub enum Message {
    Hello(Box<Hello>),
    Ready {
        features: Features,
    },
    Ping {
        nonce: u64,
    },
    Pong {
        nonce: u64,
    },
    Bye {
        reason: u8,
        text: ShortText,
    },
    Credit {
        lane: Lane,
        bytes: u32,
    },
    FindNode {
        request: RequestId,
        want: u8,
        target: KademliaId,
    },
    Nodes {
        request: RequestId,
        records: Vec<NodeRecord>,
    },
    GetAddrs {
        request: RequestId,
    },
    Addrs {
        request: RequestId,
        records: Vec<NodeRecord>,
    },
    GetRecord {
        request: RequestId,
    },
    Record {
        request: RequestId,
        record: Box<NodeRecord>,
    },
    GetHeaders {
        request: RequestId,
        max: u16,
        stop: BlockId,
        locator: Vec<BlockId>,
    },
    Headers {
        request: RequestId,
        headers: Vec<Header>,
    },
    Announce {
        headers: Vec<Header>,
    },
    GetBlocks {
        request: RequestId,
        ids: Vec<BlockId>,
    },
    /// The block's bytes as they came: a job decodes them, off the loop.
    Block {
        request: RequestId,
        block: Vec<u8>,
    },
    /// Block ids, or wtxids in the lane of transactions.
    NotFound {
        request: RequestId,
        ids: Vec<Hash>,
    },
    TxInv {
        wtxids: Vec<WtxId>,
    },
    GetTx {
        request: RequestId,
        wtxids: Vec<WtxId>,
    },
    Txs {
        request: RequestId,
        transactions: Vec<Transaction>,
    },
    FeeFilter {
        fee: u64,
    },
}

impl Message {
    /// What kind of message it is.
    #[must_use]
    pub const fn kind(&self) -> MessageKind {
        match self {
            Self::Hello(_) => MessageKind::Hello,
            Self::Ready { .. } => MessageKind::Ready,
            Self::Ping { .. } => MessageKind::Ping,
            Self::Pong { .. } => MessageKind::Pong,
            Self::Bye { .. } => MessageKind::Bye,
            Self::Credit { .. } => MessageKind::Credit,
            Self::FindNode { .. } => MessageKind::FindNode,
            Self::Nodes { .. } => MessageKind::Nodes,
            Self::GetAddrs { .. } => MessageKind::GetAddrs,
            Self::Addrs { .. } => MessageKind::Addrs,
            Self::GetRecord { .. } => MessageKind::GetRecord,
            Self::Record { .. } => MessageKind::Record,
            Self::GetHeaders { .. } => MessageKind::GetHeaders,
            Self::Headers { .. } => MessageKind::Headers,
            Self::Announce { .. } => MessageKind::Announce,
            Self::GetBlocks { .. } => MessageKind::GetBlocks,
            Self::Block { .. } => MessageKind::Block,
            Self::NotFound { .. } => MessageKind::NotFound,
            Self::TxInv { .. } => MessageKind::TxInv,
            Self::GetTx { .. } => MessageKind::GetTx,
            Self::Txs { .. } => MessageKind::Txs,
            Self::FeeFilter { .. } => MessageKind::FeeFilter,
        }
    }

    /// Reads the message of `kind` that `bytes` are, on a chain of `engine`.
    pub fn decode(
        kind: MessageKind,
        bytes: &[u8],
        engine: EngineKind,
    ) -> Result<Self, DecodeError> {
        if bytes.len() > kind.max_bytes(engine) as usize {
            return Err(DecodeError::Invalid("longer than any message of its type"));
        }
        let mut input = Reader::new(bytes);
        let message = match kind {
            MessageKind::Hello => Self::Hello(Box::new(Hello::decode(&mut input)?)),
            MessageKind::Ready => Self::Ready {
                features: Features(input.u64()?),
            },
            MessageKind::Ping => Self::Ping {
                nonce: input.u64()?,
            },
            MessageKind::Pong => Self::Pong {
                nonce: input.u64()?,
            },
            MessageKind::Bye => Self::Bye {
                reason: input.u8()?,
                text: ShortText::decode(&mut input)?,
            },
            MessageKind::Credit => Self::decode_credit(&mut input)?,
            MessageKind::Announce => Self::Announce {
                headers: decode_headers(&mut input, ANNOUNCE_HEADERS_MAX, engine)?,
            },
            MessageKind::TxInv => Self::TxInv {
                wtxids: decode_ids(&mut input, TX_INV_MAX)?,
            },
            MessageKind::FeeFilter => Self::FeeFilter { fee: input.u64()? },
            _ => {
                let request = RequestId(input.u32()?);
                Self::decode_with_request(kind, request, &mut input, engine)?
            }
        };
        input.finish()?;
        Ok(message)
    }

    /// What follows the request id, in the kinds that begin with one.
    fn decode_with_request(
        kind: MessageKind,
        request: RequestId,
        input: &mut Reader<'_>,
        engine: EngineKind,
    ) -> Result<Self, DecodeError> {
        Ok(match kind {
            MessageKind::FindNode => Self::decode_find_node(request, input)?,
            MessageKind::Nodes => Self::Nodes {
                request,
                records: decode_records(input, NODES_MAX)?,
            },
            MessageKind::GetAddrs => Self::GetAddrs { request },
            MessageKind::Addrs => Self::Addrs {
                request,
                records: decode_records(input, ADDRS_MAX)?,
            },
            MessageKind::GetRecord => Self::GetRecord { request },
            MessageKind::Record => Self::Record {
                request,
                record: Box::new(NodeRecord::decode_with_length(input)?),
            },
            MessageKind::GetHeaders => Self::GetHeaders {
                request,
                max: input.u16_in(
                    0..=HEADERS_MAX as u16,
                    "at most 2,000 headers are asked for",
                )?,
                stop: BlockId::decode(input)?,
                locator: decode_ids(input, LOCATOR_IDS_MAX)?,
            },
            MessageKind::Headers => Self::Headers {
                request,
                headers: decode_headers(input, HEADERS_MAX, engine)?,
            },
            MessageKind::GetBlocks => Self::GetBlocks {
                request,
                ids: decode_ids(input, GET_BLOCKS_MAX)?,
            },
            MessageKind::Block => Self::decode_block(request, input, engine)?,
            MessageKind::NotFound => Self::NotFound {
                request,
                ids: decode_ids(input, NOT_FOUND_MAX)?,
            },
            MessageKind::GetTx => Self::GetTx {
                request,
                wtxids: decode_ids(input, GET_TX_MAX)?,
            },
            MessageKind::Txs => Self::Txs {
                request,
                transactions: decode_list(
                    input,
                    GET_TX_MAX,
                    TRANSACTION_BYTES_MIN,
                    Transaction::decode,
                )?,
            },
            _ => unreachable!("the kinds without a request id were dealt with"),
        })
    }

    fn decode_credit(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let lane = Lane::from_byte(input.u8()?).filter(|lane| lane.window().is_some());
        let lane = lane.ok_or(DecodeError::Invalid("credit is for lanes 2 to 5"))?;
        input.zeros(3, "the bytes after credit's lane must be zero")?;
        Ok(Self::Credit {
            lane,
            bytes: input.u32()?,
        })
    }

    fn decode_find_node(request: RequestId, input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let want = input.u8_in(0..=NODES_MAX as u8, "at most 16 records are asked for")?;
        input.zeros(3, "the bytes after the number wanted must be zero")?;
        Ok(Self::FindNode {
            request,
            want,
            target: KademliaId(input.array()?),
        })
    }

    fn decode_block(
        request: RequestId,
        input: &mut Reader<'_>,
        engine: EngineKind,
    ) -> Result<Self, DecodeError> {
        // Header and count are there in every block; the rest is for whoever decodes it.
        let least = header_bytes(engine) + 4;
        if input.remaining() < least {
            return Err(DecodeError::Incomplete);
        }
        Ok(Self::Block {
            request,
            block: input.bytes(input.remaining())?.to_vec(),
        })
    }

    /// The bytes of BLOCK, put together at once: a block is the largest thing that is sent.
    #[must_use]
    pub fn block_body(request: RequestId, block: &[u8]) -> Vec<u8> {
        let mut out = Writer::with_capacity(4 + block.len());
        out.u32(request.0);
        out.bytes(block);
        out.into_bytes()
    }

    /// The message's bytes, without its type.
    ///
    /// # Panics
    /// When a list is longer than the message's limit: whoever fills one keeps to it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        match self {
            Self::Hello(hello) => hello.encode(&mut out),
            Self::Ready { features } => out.u64(features.0),
            Self::Ping { nonce } | Self::Pong { nonce } => out.u64(*nonce),
            Self::Bye { reason, text } => {
                out.u8(*reason);
                text.encode(&mut out);
            }
            Self::Credit { lane, bytes } => {
                out.u8(*lane as u8);
                out.zeros(3);
                out.u32(*bytes);
            }
            Self::Announce { headers } => encode_list(headers, ANNOUNCE_HEADERS_MAX, &mut out),
            Self::TxInv { wtxids } => encode_list(wtxids, TX_INV_MAX, &mut out),
            Self::FeeFilter { fee } => out.u64(*fee),
            _ => self.encode_with_request(&mut out),
        }
        out.into_bytes()
    }

    /// The kinds that begin with a request id.
    fn encode_with_request(&self, out: &mut Writer) {
        let request = self.request();
        out.u32(request.expect("the kinds without were dealt with").0);
        match self {
            Self::FindNode { want, target, .. } => {
                out.u8(*want);
                out.zeros(3);
                out.bytes(&target.0);
            }
            Self::Nodes { records, .. } => encode_records(records, NODES_MAX, out),
            Self::Addrs { records, .. } => encode_records(records, ADDRS_MAX, out),
            Self::Record { record, .. } => record.encode_with_length(out),
            Self::GetHeaders {
                max, stop, locator, ..
            } => {
                out.u16(*max);
                stop.encode(out);
                encode_list(locator, LOCATOR_IDS_MAX, out);
            }
            Self::Headers { headers, .. } => encode_list(headers, HEADERS_MAX, out),
            Self::GetBlocks { ids, .. } => encode_list(ids, GET_BLOCKS_MAX, out),
            Self::Block { block, .. } => out.bytes(block),
            Self::NotFound { ids, .. } => encode_list(ids, NOT_FOUND_MAX, out),
            Self::GetTx { wtxids, .. } => encode_list(wtxids, GET_TX_MAX, out),
            Self::Txs { transactions, .. } => encode_list(transactions, GET_TX_MAX, out),
            Self::GetAddrs { .. } | Self::GetRecord { .. } => {}
            _ => unreachable!("the kinds without a request id were dealt with"),
        }
    }

    /// The request that the message is or answers, in the kinds that carry one.
    #[must_use]
    pub const fn request(&self) -> Option<RequestId> {
        match self {
            Self::FindNode { request, .. }
            | Self::Nodes { request, .. }
            | Self::GetAddrs { request }
            | Self::Addrs { request, .. }
            | Self::GetRecord { request }
            | Self::Record { request, .. }
            | Self::GetHeaders { request, .. }
            | Self::Headers { request, .. }
            | Self::GetBlocks { request, .. }
            | Self::Block { request, .. }
            | Self::NotFound { request, .. }
            | Self::GetTx { request, .. }
            | Self::Txs { request, .. } => Some(*request),
            Self::Hello(_)
            | Self::Ready { .. }
            | Self::Ping { .. }
            | Self::Pong { .. }
            | Self::Bye { .. }
            | Self::Credit { .. }
            | Self::Announce { .. }
            | Self::TxInv { .. }
            | Self::FeeFilter { .. } => None,
        }
    }
}

const fn header_bytes(engine: EngineKind) -> usize {
    match engine {
        EngineKind::Work => WORK_HEADER_BYTES,
        EngineKind::Stake => STAKE_HEADER_BYTES,
    }
}

/// A count of at most `limit` and so many items of at least `least` bytes. What is reserved is
/// bounded by the bytes that are there; a cut or damaged item is told from each other.
fn decode_list<T>(
    input: &mut Reader<'_>,
    limit: usize,
    least: usize,
    mut decode: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = input.u16_in(0..=limit as u16, "a list is longer than its limit")?;
    let count = usize::from(count);
    let mut items = Vec::with_capacity(count.min(input.remaining() / least));
    for _ in 0..count {
        items.push(decode(input)?);
    }
    Ok(items)
}

fn decode_ids<T: From<[u8; 32]>>(
    input: &mut Reader<'_>,
    limit: usize,
) -> Result<Vec<T>, DecodeError> {
    decode_list(input, limit, 32, |input| input.array().map(T::from))
}

fn decode_records(input: &mut Reader<'_>, limit: usize) -> Result<Vec<NodeRecord>, DecodeError> {
    let least = 2 + RECORD_BYTES_MIN;
    decode_list(input, limit, least, NodeRecord::decode_with_length)
}

fn decode_headers(
    input: &mut Reader<'_>,
    limit: usize,
    engine: EngineKind,
) -> Result<Vec<Header>, DecodeError> {
    let [low, high] = Header::VERSION.to_le_bytes();
    decode_list(input, limit, header_bytes(engine), |input| {
        let rule = "a header must be of version 1 and of the chain's engine";
        input.clone().constant(&[low, high, engine.byte()], rule)?;
        Header::decode(input)
    })
}

/// Asserts that a list keeps to its limit and writes its length.
fn encode_count(count: usize, limit: usize, out: &mut Writer) {
    assert!(
        count <= limit,
        "a list of {count} where {limit} is the limit"
    );
    out.u16(count as u16);
}

fn encode_list<T: Encode>(items: &[T], limit: usize, out: &mut Writer) {
    encode_count(items.len(), limit, out);
    for item in items {
        item.encode(out);
    }
}

fn encode_records(records: &[NodeRecord], limit: usize, out: &mut Writer) {
    encode_count(records.len(), limit, out);
    for record in records {
        record.encode_with_length(out);
    }
}

#[cfg(test)]
mod tests;
