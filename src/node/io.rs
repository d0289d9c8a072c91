//! What goes into a node and what comes out: values, and nothing else.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};
use crc32c::{crc32c, crc32c_append};

use crate::chain::mempool::{FeeAdvice, Leaving};
use crate::chain::{StateView, TransactionFault};
use crate::crypto::hash::sha256_parts;
use crate::p2p::bans::BANS_MAX;
use crate::p2p::{Ban, BanTarget, ConnId, Direction, Discouraged};
use crate::store::{Log, Lsn, Request};
use crate::types::{
    AccountId, BlockId, Hash, Header, Height, Millis, NodeKey, NodeRecord, Nonce, PeerAddress,
    TxId, Uint256, WtxId,
};

use super::job::{Job, JobResult};
use super::work::{BlockRefusal, LongPollId, Submitted, TemplateId, WorkTemplate};

/// A job, by a number that the node chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u64);

/// A group of records on its way to the disk, by a number that the node chooses; numbers ascend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// A question or request from outside, by a number that the driver chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId(pub u64);

/// Everything that can happen to a node.
///
/// The recorder writes inputs down by their serde form, except `Done`: what came of a job is
/// recorded by the job's number, and a replay does the job again.
#[derive(Debug, Serialize, Deserialize)]
pub enum Input {
    /// Somebody opened a connection; its handshake has not begun. The node refuses it by
    /// [`Output::Close`] or lets it be.
    Accepted {
        /// The new connection.
        conn: ConnId,
        /// Where it comes from.
        from: SocketAddr,
    },
    /// The handshake of a connection is complete: the peer has proved the key of this record.
    Connected {
        /// The connection; for an inbound one the number of its `Accepted`.
        conn: ConnId,
        /// Who opened it.
        direction: Direction,
        /// The peer's end.
        address: SocketAddr,
        /// Who the peer is.
        record: NodeRecord,
    },
    /// A dial of [`Output::Dial`] did not come to a complete handshake.
    DialFailed {
        /// The key of the peer that was dialled.
        key: NodeKey,
        /// Why, for people.
        why: String,
    },
    /// A whole message arrived.
    Message {
        /// From whom.
        conn: ConnId,
        /// In which lane.
        lane: u8,
        /// Its type.
        kind: u8,
        /// Its body.
        #[serde(with = "whole")]
        bytes: Vec<u8>,
    },
    /// A connection ended without the node's wish; no more input names it. Also given for an
    /// `Accepted` connection whose handshake failed.
    Closed {
        /// Which one.
        conn: ConnId,
        /// Why.
        why: CloseCause,
    },
    /// Little waits for a peer any more; answers [`Output::AwaitRoom`].
    Room {
        /// Which one.
        conn: ConnId,
    },
    /// Records of [`Output::Store`] are in the log, and durable where that was asked for.
    Stored {
        /// The group.
        ticket: Ticket,
        /// Where each record of the group stands.
        lsns: Vec<Lsn>,
    },
    /// The disk has no space for the log, or has some again: what is to be written waits.
    DiskFull(bool),
    /// Somebody outside asks for something.
    Called {
        /// Whom to answer.
        call: CallId,
        /// What is asked.
        question: Question,
    },
    /// This node's record was signed anew.
    Renewed {
        /// The new one.
        record: NodeRecord,
    },
    /// The list of [`Output::KeepBans`] is in its file, or could not be written.
    BansKept {
        /// For whom.
        call: CallId,
        /// Why not.
        result: Result<(), String>,
    },
    /// Whoever asked may have gone. A call that waits for something to happen does not wait any
    /// more; it is answered all the same, since its caller may only have no more to say.
    CallerLeft {
        /// The call.
        call: CallId,
    },
    /// A job of [`Output::Run`] is done.
    // It stands last, because serde counts variants that are skipped when it writes and not when
    // it reads.
    #[serde(skip)]
    Done {
        /// Which one.
        job: JobId,
        /// What came of it.
        result: JobResult,
    },
}

/// How a connection came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseCause {
    /// The peer closed it.
    Remote,
    /// The operating system reported an error, named here.
    Failed(String),
    /// The peer broke the transport's rules, named here: a forged frame, an overlong message.
    Fault(String),
    /// The handshake was not complete in time, or what waits for the peer did not move.
    TimedOut,
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote => f.write_str("the peer closed the connection"),
            Self::Failed(error) => f.write_str(error),
            Self::Fault(rule) => write!(f, "the peer broke a rule: {rule}"),
            Self::TimedOut => f.write_str("the peer was too slow"),
        }
    }
}

/// Everything a node asks of its driver.
#[derive(Debug)]
pub enum Output {
    /// Connect to a peer and shake hands; answered by `Connected` or `DialFailed`.
    Dial(PeerAddress),
    /// Send a message.
    Send {
        /// To whom.
        conn: ConnId,
        /// In which lane.
        lane: u8,
        /// Its type.
        kind: u8,
        /// Its body.
        bytes: Arc<[u8]>,
    },
    /// Say when little of what was sent waits for a peer; answered by [`Input::Room`], unless the
    /// connection ends.
    AwaitRoom {
        /// Which one.
        conn: ConnId,
    },
    /// End a connection after what was sent before is on its way; no input names it afterwards.
    Close {
        /// Which one.
        conn: ConnId,
        /// Why, for the log.
        why: CloseReason,
    },
    /// Append records to the logs, in the order of these outputs; answered by [`Input::Stored`].
    Store(Request),
    /// Do a piece of slow work; answered by [`Input::Done`], in any order.
    Run {
        /// The job's number.
        job: JobId,
        /// The work, a pure function of its value (and of the log, for reads).
        work: Job,
    },
    /// What readers outside see from now on. Everything in it is durable.
    Publish(Arc<Published>),
    /// The answer to a call.
    Answer {
        /// Whose.
        call: CallId,
        /// What came of it.
        reply: Result<Reply, CallError>,
    },
    /// Keep the list of bans in a file for the next start; answered by [`Input::BansKept`].
    KeepBans {
        /// For whom.
        call: CallId,
        /// The file's text.
        text: Arc<str>,
    },
    /// Keep the bytes of a block on whose outcome nodes do not agree, for people to look at; not
    /// answered. There may be many: whoever keeps them sets a bound.
    KeepEvidence {
        /// Which block.
        id: BlockId,
        /// Its wire bytes.
        bytes: Arc<[u8]>,
    },
    /// Something that people may want to read in the log.
    Event(Event),
}

impl Output {
    /// The hash of this output after those that gave `before`. Bodies count by their checksum:
    /// it is there to find differences, not to resist anybody.
    #[must_use]
    pub fn chain(&self, before: &Hash) -> Hash {
        let (tag, numbers, body): (u8, [u64; 2], u32) = match self {
            Self::Dial(peer) => (1, [0, 0], crc32c(&peer.key.0)),
            Self::Send {
                conn,
                lane,
                kind,
                bytes,
            } => (
                2,
                [conn.0, u64::from(*lane) << 8 | u64::from(*kind)],
                crc32c(bytes),
            ),
            Self::Close { conn, why } => (3, [conn.0, 0], crc32c(why.to_string().as_bytes())),
            Self::Store(request) => {
                // A replay has no state log, and so no pages for it.
                let bodies = request.records.iter();
                let bodies = bodies.filter(|record| record.log != Log::State);
                let sum = bodies.fold(0, |sum, record| crc32c_append(sum, &record.body));
                (4, [request.ticket, u64::from(request.sync)], sum)
            }
            Self::Run { job, work } => (5, [job.0, 0], crc32c(work.name().as_bytes())),
            Self::Publish(published) => {
                (7, [published.header.height.0, 0], crc32c(&published.tip.0))
            }
            Self::Answer { call, reply } => (8, [call.0, u64::from(reply.is_ok())], 0),
            Self::AwaitRoom { conn } => (11, [conn.0, 0], 0),
            Self::KeepBans { call, text } => (10, [call.0, 0], crc32c(text.as_bytes())),
            Self::KeepEvidence { id, bytes } => (12, [bytes.len() as u64, 0], crc32c(&id.0)),
            Self::Event(event) => (9, [0, 0], crc32c(format!("{event:?}").as_bytes())),
        };
        let [first, second] = numbers.map(u64::to_le_bytes);
        Hash(sha256_parts(&[
            before.as_ref(),
            &[tag],
            &first,
            &second,
            &body.to_le_bytes(),
        ]))
    }
}

/// Why the node ends a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer broke a rule of the protocol; the text names it.
    Fault(String),
    /// More connections than the limits allow, or the operator does not want it; the text says
    /// which.
    Refused(&'static str),
    /// The peer speaks another language; the text says how.
    Incompatible(String),
    /// The peer ended the conversation.
    Goodbye,
    /// The peer is this node itself.
    OwnNode,
    /// Another connection to the same peer stays.
    Duplicate,
    /// The peer did not answer in time; the text names what.
    Unresponsive(&'static str),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(rule) => write!(f, "the peer broke a rule: {rule}"),
            Self::Refused(limit) => write!(f, "refused: {limit}"),
            Self::Incompatible(how) => f.write_str(how),
            Self::Goodbye => f.write_str("it said goodbye"),
            Self::OwnNode => f.write_str("the peer is this node itself"),
            Self::Duplicate => f.write_str("another connection to this peer stays"),
            Self::Unresponsive(what) => write!(f, "the peer did not answer: {what}"),
        }
    }
}

/// A question or request from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Accept a transaction, given by its bytes; answered when its journal record is durable.
    SubmitTransaction(Vec<u8>),
    /// The bytes of a block.
    Block(BlockId),
    /// The bytes of the block at a height of the best chain.
    BlockAt(Height),
    /// The id and header of the block at a height of the best chain.
    HeaderAt(Height),
    /// The header of a block.
    Header(BlockId),
    /// The nonce of an account's next transaction, with what waits already.
    NextNonce(AccountId),
    /// Which block of the best chain has a transaction, and its bytes, or whether it waits.
    Transaction(TxId),
    /// The connected peers.
    Peers,
    /// What the mempool holds.
    Mempool,
    /// What to pay to be in one of so many next blocks.
    FeeAdvice(u32),
    /// Connect to this peer from now on.
    AddPeer(PeerAddress),
    /// Don't connect to the peer of this key any more; what connection there is stays.
    RemovePeer(NodeKey),
    /// The end of every branch.
    ChainTips,
    /// Take a parked branch back in.
    AcceptBranch(BlockId),
    /// Don't talk to somebody for so long; answered when that is in its file.
    Ban(BanTarget, Span),
    /// Talk to somebody again; answered when that is in its file.
    Unban(BanTarget),
    /// Talk to everybody again; answered when that is in its file.
    ClearBans,
    /// Whom the node does not talk to.
    Bans,
    /// Who broke a rule lately.
    Discouraged,
    /// Close the connections of a peer.
    Disconnect(PeerRef),
    /// Work for a miner.
    Template {
        /// Who is to receive reward and tips.
        beneficiary: AccountId,
        /// What the miner has: the answer waits until there is something better.
        after: Option<LongPollId>,
    },
    /// A nonce for a template; answered when it is decided what becomes of the block.
    SubmitWork {
        /// Which.
        template: TemplateId,
        /// The nonce.
        nonce: u64,
        /// The header's time, where it is not the template's.
        time: Option<Millis>,
    },
    /// Take a block, given by its bytes; answered when it is decided what becomes of it.
    SubmitBlock(Vec<u8>),
    /// Whether a child of the tip, given by its bytes, would be valid if its work were done.
    ProposeBlock(Vec<u8>),
}

/// A connected peer, as people name one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerRef {
    /// By the number of its connection.
    Conn(ConnId),
    /// By its key.
    Key(NodeKey),
    /// By its end of the connection.
    Address(SocketAddr),
}

/// What came of a [`Question`].
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The transaction was accepted, or is known already.
    Accepted {
        /// Its id for people.
        txid: TxId,
        /// The identity of its bytes.
        wtxid: WtxId,
    },
    /// A block, and whether it is in the best chain.
    Block {
        /// Its id.
        id: BlockId,
        /// The block as it travels.
        bytes: Arc<[u8]>,
        /// Whether it is in the chain of the tip that readers see.
        in_best_chain: bool,
        /// The work of its chain up to its parent, unless its record can't be read.
        work_below: Option<Uint256>,
    },
    /// An account's next nonce.
    Nonce(Nonce),
    /// A header.
    Header {
        /// The block's id.
        id: BlockId,
        /// Its header.
        header: Box<Header>,
        /// Whether it is in the chain of the tip that readers see.
        in_best_chain: bool,
        /// The work of its chain up to its parent, unless its record can't be read.
        work_below: Option<Uint256>,
    },
    /// Where a transaction stands.
    Transaction(TransactionStatus),
    /// The connected peers.
    Peers(Vec<PeerInfo>),
    /// Whom the node does not talk to.
    Bans(Vec<Ban>),
    /// Who broke a rule lately, the latest first.
    Discouraged(Vec<Discouraged>),
    /// What the mempool holds.
    Mempool(MempoolInfo),
    /// The end of every branch, the best first.
    ChainTips(Vec<ChainTip>),
    /// Work for a miner.
    Template(Box<WorkTemplate>),
    /// What became of a block that was brought.
    Submitted {
        /// The block.
        id: BlockId,
        /// Its height.
        height: Height,
        /// What became of it.
        outcome: Submitted,
    },
    /// Whether a proposed block would be valid.
    Proposed(Result<(), BlockRefusal>),
    /// What to pay.
    FeeAdvice(FeeAdvice),
    /// Done.
    Done,
}

/// The end of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainTip {
    /// Its block.
    pub id: BlockId,
    /// The block's height.
    pub height: Height,
    /// How many blocks the branch has that the best chain has not.
    pub branch_length: u64,
    /// What the node makes of it.
    pub status: BranchStatus,
}

/// What the node makes of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BranchStatus {
    /// It is the best chain.
    Active,
    /// All of it is valid, and another has more work or came first.
    ValidFork,
    /// All blocks are here; not all were executed.
    ValidHeaders,
    /// Not all blocks are here.
    HeadersOnly,
    /// It is set aside.
    Parked,
    /// A block of it is invalid.
    Invalid,
}

/// Where a transaction stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// It waits in the mempool.
    Waiting,
    /// It is in this block of the best chain.
    Included {
        /// The block.
        block: BlockId,
        /// The block's height.
        height: Height,
        /// Its place in the block.
        index: u32,
        /// The work of the chain up to the block's parent, unless the block's record can't be read.
        work_below: Option<Uint256>,
    },
    /// It was accepted here, can't be mined for now, and is kept until it can be or is given up.
    Aside(Leaving),
    /// It was accepted here and left without being mined here.
    Gone(Leaving),
    /// It is in none of the blocks that the node remembers, nor in the mempool.
    Unknown,
}

/// One connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// The connection's number.
    pub conn: ConnId,
    /// The key that the peer proved.
    pub key: NodeKey,
    /// Its end of the connection.
    pub address: SocketAddr,
    /// Who opened the connection.
    pub direction: Direction,
    /// When.
    pub since: Time,
    /// What it calls itself; empty before its HELLO.
    pub agent: String,
    /// The height of the best block it is known to have.
    pub best_height: Height,
    /// The last round trip of a ping, in microseconds; 0 before the first.
    pub ping_micros: u64,
    /// The least of them.
    pub ping_min: Option<Span>,
    /// Bytes of messages from it, and to it.
    pub bytes: (u64, u64),
    /// When it brought a transaction, and a block, that was new and good.
    pub last_new: (Option<Time>, Option<Time>),
    /// How many blocks it is being asked for.
    pub blocks_in_flight: usize,
    /// Whether it broke a rule lately.
    pub is_discouraged: bool,
    /// Whether it lets requests for transactions lapse.
    pub is_slow: bool,
    /// The least fee per 1,000 weight that it wants to hear of.
    pub fee_filter: u64,
}

/// What the mempool holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MempoolInfo {
    /// Every transaction in it.
    pub transactions: Vec<TxId>,
    /// Their bytes together.
    pub bytes: u64,
}

/// What readers outside see: a moment of the node, all of it durable. Readers never wait for the
/// node; they look at the newest of these.
#[derive(Clone, Debug)]
pub struct Published {
    /// Whether the node has read its log.
    pub ready: bool,
    /// Whether the disk is full, so that nothing new is taken in.
    pub disk_full: bool,
    /// The tip.
    pub tip: BlockId,
    /// The tip's header.
    pub header: Header,
    /// The work of the tip's chain.
    pub work: Uint256,
    /// Accounts and supply after the tip.
    pub state: StateView,
    /// The height of the best header known, which is ahead of the tip during synchronisation.
    pub best_header: Height,
    /// The height of the newest checkpoint: what is above it a start executes again. The genesis
    /// block's as long as there is none.
    pub checkpoint: Height,
    /// How many blocks this node has executed since it was opened.
    pub executed: u64,
    /// How many peers are ready to talk.
    pub peers: usize,
    /// How many transactions wait.
    pub mempool_count: usize,
    /// Their bytes.
    pub mempool_bytes: u64,
    /// The memory that they take.
    pub mempool_memory: u64,
    /// The memory that they may take.
    pub mempool_limit: u64,
    /// The least fee per 1,000 weight that the mempool takes, as peers are told.
    pub mempool_floor: u64,
    /// What the block after the tip burns per 1,000 weight.
    pub next_base_fee: u64,
}

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The transaction can't be valid; the rule and its numbers.
    Transaction(TransactionFault),
    /// The bytes are no transaction; the field and its rule.
    Malformed(String),
    /// Another transaction of the same account and nonce waits.
    Conflict {
        /// The transaction that waits.
        with: TxId,
        /// The fee, in base units, that would replace it.
        needed: u64,
    },
    /// As many transactions of the account wait as may.
    QueueFull,
    /// The transaction expires too soon to be passed on.
    ExpiresSoon {
        /// The last height at which it may be mined.
        expiry: Height,
        /// The earliest that is taken.
        least: Height,
    },
    /// There is no room for what pays so little.
    MempoolFull {
        /// The fee, in base units, that would find room now.
        needed: u64,
    },
    /// The transaction was taken, and left again before the answer.
    Gone(Leaving),
    /// The block is not taken, for this reason.
    Block(BlockRefusal),
    /// There is no such thing here; the text says what.
    NotFound(&'static str),
    /// The node is still reading its log.
    Starting,
    /// Too much waits already; ask again later.
    Busy,
    /// This machine failed; the text says how.
    Failed(String),
    /// Nothing can be written now.
    DiskFull,
    /// The list of bans has as many entries as it may have.
    BansFull,
    /// The bans hold, but only until the node stops: the reason why they can't be written.
    NotKept(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transaction(fault) => write!(f, "{fault}"),
            Self::Malformed(rule) => write!(f, "these bytes are no transaction: {rule}"),
            Self::Conflict { with, needed } => write!(
                f,
                "transaction {with} of the same account and nonce waits; a fee of {needed} base \
                 units replaces it"
            ),
            Self::QueueFull => f.write_str(
                "64 transactions of this account wait already; send more when some are mined",
            ),
            Self::ExpiresSoon { expiry, least } => write!(
                f,
                "the transaction expires after height {expiry}; to be passed on it must be valid \
                 up to {least} at least, or for ever"
            ),
            Self::MempoolFull { needed } => write!(
                f,
                "the mempool is full of transactions that pay more; a fee of {needed} base units \
                 finds room"
            ),
            Self::Gone(why) => write!(f, "the transaction was taken and left again: {why}"),
            Self::Block(refusal) => write!(f, "{refusal}"),
            Self::NotFound(what) => write!(f, "there is no such {what}"),
            Self::Starting => f.write_str("the node is still reading its log; ask again soon"),
            Self::DiskFull => {
                f.write_str("the node's disk is full; free some space, and it goes on by itself")
            }
            Self::Busy => f.write_str("too many requests wait already; ask again soon"),
            Self::Failed(why) => write!(f, "the node can't read its state: {why}"),
            Self::BansFull => write!(f, "there are {BANS_MAX} bans already; lift some"),
            Self::NotKept(why) => write!(
                f,
                "the bans hold until the node stops, and were not written: {why}"
            ),
        }
    }
}

/// Something that people may want to read in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The node has read its log and is at its tip.
    Ready {
        /// The tip's height.
        height: Height,
        /// The tip.
        tip: BlockId,
    },
    /// The tip moved.
    TipChanged {
        /// The new tip's height.
        height: Height,
        /// The new tip.
        tip: BlockId,
        /// How many transactions it has.
        transactions: usize,
        /// How many blocks of the old branch were left.
        disconnected: u64,
    },
    /// A start goes on from here.
    Checkpoint {
        /// The block's height.
        height: Height,
        /// The block.
        id: BlockId,
    },
    /// This node found a block.
    Mined {
        /// Its height.
        height: Height,
        /// Its id.
        id: BlockId,
    },
    /// A peer is ready to talk.
    PeerReady {
        /// The connection.
        conn: ConnId,
        /// Its end.
        address: SocketAddr,
        /// Who opened the connection.
        direction: Direction,
    },
    /// A connection ended.
    PeerGone {
        /// The connection.
        conn: ConnId,
        /// Its end.
        address: SocketAddr,
        /// Why.
        why: String,
    },
    /// A peer broke a rule; it is not dialled for a day, and loses its slot first.
    PeerDiscouraged {
        /// Its key.
        key: NodeKey,
        /// Its end.
        address: SocketAddr,
        /// The rule.
        rule: String,
    },
    /// A peer could not be reached.
    DialFailed {
        /// Whom.
        peer: PeerAddress,
        /// Why.
        why: String,
    },
    /// A block or a page of the state can't be read from its log.
    DamagedLog {
        /// Where and why.
        why: String,
    },
    /// The disk has no space for the log, or has some again.
    DiskFull(bool),
    /// A header waits that is much further ahead of the clock than the rules allow: the clock may
    /// be wrong. Told now and then, not for each.
    FarAhead {
        /// Which.
        id: BlockId,
        /// How much further.
        by: Span,
    },
    /// A block and what follows on it are set aside and not executed: somebody should look.
    Parked {
        /// The first block of the branch.
        id: BlockId,
        /// Why, and what to do.
        why: String,
    },
    /// Executing a block gives something else than its header says, or than the rules can give:
    /// its maker or this node does not execute as it is written. Here the block is invalid.
    Divergence {
        /// Which.
        id: BlockId,
        /// Its height.
        height: Height,
        /// What was to come out, and what did.
        why: String,
    },
    /// A block turned out to be invalid.
    InvalidBlock {
        /// Which.
        id: BlockId,
        /// The rule and its numbers.
        why: String,
    },
}

/// Bytes in one go. Their form is that of a list of numbers, which serde goes through one by one.
mod whole {
    use std::fmt;

    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        from.deserialize_byte_buf(Whole)
    }

    struct Whole;

    impl Visitor<'_> for Whole {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }
    }
}
