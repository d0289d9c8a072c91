//! What messages there are: their types, lanes and greatest lengths.

use std::fmt;

use crate::types::EngineKind;
use crate::wire::Lane;

/// The type byte of a message that this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageKind {
    /// The first message each way: who, what version, what tip.
    Hello = 0x00,
    /// The second: the features that both sides have.
    Ready = 0x01,
    /// Asks for a [`Pong`](Self::Pong).
    Ping = 0x02,
    /// Answers a [`Ping`](Self::Ping).
    Pong = 0x03,
    /// Says why the sender is about to close.
    Bye = 0x04,
    /// Room for more bytes in a lane.
    Credit = 0x06,
    /// Asks for the records nearest to a place in the table.
    FindNode = 0x10,
    /// Answers a [`FindNode`](Self::FindNode).
    Nodes = 0x11,
    /// Asks for records to dial.
    GetAddrs = 0x12,
    /// Answers a [`GetAddrs`](Self::GetAddrs).
    Addrs = 0x13,
    /// Asks for the peer's own record.
    GetRecord = 0x14,
    /// Answers a [`GetRecord`](Self::GetRecord).
    Record = 0x15,
    /// Asks for headers behind a known block.
    GetHeaders = 0x20,
    /// Answers a [`GetHeaders`](Self::GetHeaders).
    Headers = 0x21,
    /// New headers, unasked.
    Announce = 0x22,
    /// Asks for blocks.
    GetBlocks = 0x2c,
    /// One block of those asked for.
    Block = 0x2e,
    /// What was asked for and is not there.
    NotFound = 0x30,
    /// Transactions that the sender has.
    TxInv = 0x40,
    /// Asks for transactions.
    GetTx = 0x42,
    /// Answers a [`GetTx`](Self::GetTx).
    Txs = 0x44,
    /// The least fee of transactions the sender wants to hear of.
    FeeFilter = 0x4e,
}

/// Why a type byte is no [`MessageKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownKind {
    /// It has a meaning that this version does not speak; its feature was not negotiated.
    Reserved(&'static str),
    /// It may be ignored: odd types say nothing that a peer must understand.
    Odd,
    /// It may not be ignored.
    Even,
}

/// No message of any type is longer.
pub const MESSAGE_BYTES_MAX: u32 = 4 * 1024 * 1024 + 64 * 1024;

impl MessageKind {
    /// Every kind, by type byte.
    pub const ALL: [Self; 22] = [
        Self::Hello,
        Self::Ready,
        Self::Ping,
        Self::Pong,
        Self::Bye,
        Self::Credit,
        Self::FindNode,
        Self::Nodes,
        Self::GetAddrs,
        Self::Addrs,
        Self::GetRecord,
        Self::Record,
        Self::GetHeaders,
        Self::Headers,
        Self::Announce,
        Self::GetBlocks,
        Self::Block,
        Self::NotFound,
        Self::TxInv,
        Self::GetTx,
        Self::Txs,
        Self::FeeFilter,
    ];

    /// The type byte.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// The kind of a type byte.
    pub fn from_byte(byte: u8) -> Result<Self, UnknownKind> {
        if let Some(kind) = Self::ALL.into_iter().find(|kind| kind.byte() == byte) {
            return Ok(kind);
        }
        Err(match byte {
            0x24 => UnknownKind::Reserved("CMPCT_MODE"),
            0x26 => UnknownKind::Reserved("CMPCT"),
            0x28 => UnknownKind::Reserved("GET_BLOCK_TXN"),
            0x2a => UnknownKind::Reserved("BLOCK_TXN"),
            0x32 => UnknownKind::Reserved("CHUNK"),
            0x34 => UnknownKind::Reserved("GET_CHUNKS"),
            0x46 => UnknownKind::Reserved("STEM_TX"),
            0x48 => UnknownKind::Reserved("RECON_REQ"),
            0x4a => UnknownKind::Reserved("RECON_SYMS"),
            0x4c => UnknownKind::Reserved("RECON_DONE"),
            0x50 => UnknownKind::Reserved("GET_SNAP"),
            0x52 => UnknownKind::Reserved("SNAP_MANIFEST"),
            0x54 => UnknownKind::Reserved("GET_SNAP_CHUNK"),
            0x56 => UnknownKind::Reserved("SNAP_CHUNK"),
            0x60..=0x7f => UnknownKind::Reserved("a message of consensus"),
            _ if byte % 2 == 1 => UnknownKind::Odd,
            _ => UnknownKind::Even,
        })
    }

    /// The lanes it may come in. Where there are several, an answer goes in its request's.
    #[must_use]
    pub const fn lanes(self) -> &'static [Lane] {
        match self {
            Self::Hello
            | Self::Ready
            | Self::Ping
            | Self::Pong
            | Self::Bye
            | Self::Credit
            | Self::FeeFilter => &[Lane::Control],
            Self::Announce => &[Lane::Announcements],
            Self::FindNode
            | Self::Nodes
            | Self::GetAddrs
            | Self::Addrs
            | Self::GetRecord
            | Self::Record => &[Lane::Discovery],
            Self::TxInv | Self::GetTx | Self::Txs => &[Lane::Transactions],
            Self::GetHeaders | Self::Headers | Self::GetBlocks | Self::Block => {
                &[Lane::Bodies, Lane::History]
            }
            Self::NotFound => &[Lane::Bodies, Lane::Transactions, Lane::History],
        }
    }

    /// Whether it asks for an answer that may be greater than itself. PING does not.
    #[must_use]
    pub const fn is_request(self) -> bool {
        matches!(
            self,
            Self::FindNode
                | Self::GetAddrs
                | Self::GetRecord
                | Self::GetHeaders
                | Self::GetBlocks
                | Self::GetTx
        )
    }

    /// The most bytes of such a message on a chain of `engine`.
    #[must_use]
    pub const fn max_bytes(self, engine: EngineKind) -> u32 {
        match self {
            Self::Hello => 189,
            Self::Ready | Self::Ping | Self::Pong | Self::Credit | Self::FeeFilter => 8,
            Self::Bye => 66,
            Self::FindNode => 40,
            Self::Nodes => 6_502,
            Self::Addrs => 25_990,
            Self::GetAddrs | Self::GetRecord => 4,
            Self::Record => 410,
            Self::GetHeaders => 1_064,
            Self::Headers => match engine {
                EngineKind::Work => 408_006,
                EngineKind::Stake => 532_006,
            },
            Self::Announce => 2_130,
            Self::GetBlocks => 518,
            Self::Block => 4_194_304,
            Self::NotFound | Self::GetTx => 4_102,
            Self::TxInv => 16_386,
            Self::Txs => 131_072,
        }
    }

    /// The name in capitals, as in the documentation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "HELLO",
            Self::Ready => "READY",
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::Bye => "BYE",
            Self::Credit => "CREDIT",
            Self::FindNode => "FIND_NODE",
            Self::Nodes => "NODES",
            Self::GetAddrs => "GET_ADDRS",
            Self::Addrs => "ADDRS",
            Self::GetRecord => "GET_RECORD",
            Self::Record => "RECORD",
            Self::GetHeaders => "GET_HEADERS",
            Self::Headers => "HEADERS",
            Self::Announce => "ANNOUNCE",
            Self::GetBlocks => "GET_BLOCKS",
            Self::Block => "BLOCK",
            Self::NotFound => "NOT_FOUND",
            Self::TxInv => "TX_INV",
            Self::GetTx => "GET_TX",
            Self::Txs => "TXS",
            Self::FeeFilter => "FEE_FILTER",
        }
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
