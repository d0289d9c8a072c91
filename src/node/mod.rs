//! The node: every decision, behind one door.
//!
//! *Owns* the chain, the mempool, what is known of peers, the requests under way, the timers.
//! *Invariants*: a node is a function of its configuration, what it found in its log, its seed and
//! its inputs, in their order: same inputs, same outputs and same [`Node::state_hash`], on any
//! machine and with any number of workers. *Never* touches a socket, a file, a clock or a thread.
//!
//! The door has four parts, as in quinn's protocol core: [`Node::handle`] takes what happened,
//! [`Node::handle_timeout`] fires the timers that are due, [`Node::poll_timeout`] says when the
//! next is, and [`Node::poll_output`] gives what is to be done. A driver calls the last until it
//! gives nothing after each of the first two.
//!
//! # The map
//!
//! What comes in and goes out, and the work between:
//!
//! * `io`: inputs, outputs, questions and replies; `calls`: how those from outside are answered
//! * `job`: slow work as values; `trace`: inputs and outputs in one line each
//!
//! Journeys, each from its beginning to its end:
//!
//! * `peers`: a connection, up to READY and for as long as it lives; `admission`: who may stay
//! * `blocks`: a block, from its header to the tip; `arrived`: between its arrival and its check;
//!   `headers`: old headers for peers that ask
//! * `transactions`: a transaction, from whoever brings it to mempool and relay
//! * `promises`: what was acknowledged, until it is buried or gone; `journal`: the records of that
//! * `mining`: the node's own miner; `templates` and `work`: what miners outside are given;
//!   `submission`: blocks that they and people bring
//! * `checkpoints`: the state, from being due to be written to a start that goes on from it
//!
//! The node as a whole:
//!
//! * `recovered`: what a start finds in the log
//! * `snapshot`: a node as a value, and its hash; `recorder`: its inputs written down, and replayed
//! * `sizes`: how much it holds of what others can make it hold

mod admission;
mod arrived;
mod blocks;
mod calls;
mod checkpoints;
mod headers;
mod io;
mod job;
mod journal;
mod mining;
mod peers;
mod promises;
mod recorder;
mod recovered;
mod sizes;
mod snapshot;
mod submission;
mod templates;
mod trace;
mod transactions;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Rng, Span, Time, Timers};
use crate::chain::{ATTEMPTS_MAX, Chain, CheckedBlock, Mempool, PageFailures};
use crate::codec::{Decode, DecodeError, Reader};
use crate::consensus::UnsupportedEngine;
use crate::p2p::{Action, BanList, Discouragement, Early, Relay, Sync};
use crate::store::{Append, Lsn, Request, Upkeep};
use crate::types::{
    AccountId, BlockId, Genesis, Hash, Header, Height, NodeKey, NodeRecord, PeerAddress, Rules,
    TxId, Uint256, WtxId,
};
use crate::wire::message::RequestId;
use crate::wire::{ConnectionLimits, Lane, Message};

pub use crate::p2p::{Bounded, ConnId, Direction};
pub use blocks::tip_record;
pub use checkpoints::CheckpointInterval;
pub use io::{
    BranchStatus, CallError, CallId, ChainTip, CloseCause, CloseReason, Event, Input, JobId,
    MempoolInfo, Output, PeerInfo, PeerRef, Published, Question, Reply, Ticket, TransactionStatus,
};
pub use job::{
    BLOCK_RECORD_PREFIX, BlockReader, CheckedTransactions, Job, JobResult, Workbench, block_record,
};

pub use recorder::file as recording;
pub use recorder::{
    Entry, Inline, LoggedBlock, Recorder, Recording, ReplayError, Replayed, Runner, Shown,
    Unreadable,
};
pub use recovered::{FoundBlocks, FoundLog, JournalFound, Recovered};
pub use sizes::Sizes;
pub use snapshot::Snapshot;
pub use work::{BlockRefusal, LongPollId, Submitted, TemplateId, WorkTemplate};

use arrived::Arrived;
use blocks::Unlogged;
use checkpoints::{CheckpointWork, Checkpoints};
use journal::Journal;
use mining::Miner;
use peers::{Dial, Peer};
use submission::Submissions;
use templates::{Seen, Templates};
use transactions::Checks;

/// What a node is told at its start, once and for all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeConfig {
    /// The chain.
    pub genesis: Arc<Genesis>,
    /// What the node says about itself, signed.
    pub record: NodeRecord,
    /// Peers to be connected with for as long as the node runs.
    pub peers: Vec<PeerAddress>,
    /// The port that peers may connect to; 0 for none.
    pub listen_port: u16,
    /// Whom to mine for and how fast, if at all.
    pub mining: Option<Mining>,
    /// How many peers that dialled this node may stay connected.
    pub inbound_max: usize,
    /// Whom the node does not talk to, as the file says.
    pub bans: BanList,
    /// How much memory the transactions that wait may take, in bytes, with their indexes.
    pub mempool_limit: u64,
    /// When checkpoints are due.
    pub checkpoints: CheckpointInterval,
    /// The work below which no chain is kept: what the chain is known to have had. With it a node
    /// that starts from nothing can't be filled with headers that cost little.
    pub min_chain_work: Uint256,
}

/// How a node mines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mining {
    /// Who receives reward and tips.
    pub beneficiary: AccountId,
    /// Hashes to try per second; none for as many as one worker can.
    pub hashrate: Option<u64>,
}

/// The names of timers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Timer {
    /// A handshake must have ended by now.
    Handshakes,
    /// Dial peers that are due.
    Dial,
    /// A peer must be ready by now.
    Greeting(ConnId),
    /// Ask a peer whether it is there.
    Ping(ConnId),
    /// A peer must have answered the last ping by now.
    Pong(ConnId),
    /// A request for headers or blocks lapses.
    Sync,
    /// Tell peers of new transactions.
    Tell,
    /// A request for transactions lapses.
    Relay,
    /// Mine the next slice.
    Mine,
    /// Show readers the newest counts.
    Publish,
    /// A better header should have come by now.
    Stale,
    /// Nothing was executed for a while.
    Checkpoint,
    /// Answer miners that wait for something better.
    Templates,
    /// Take up blocks that were ahead of the clock.
    Held,
    /// Write down how the tip moved.
    LogTip,
}

/// What a job was for.
#[derive(Clone, Debug)]
enum Owner {
    /// Checking blocks, each with the peer that sent it.
    Blocks(Vec<(ConnId, BlockId)>),
    /// Checking transactions, with who waits for each.
    Transactions(Vec<transactions::Source>),
    /// Checking transactions of the journal, by where their records stand.
    Readmission(Vec<Lsn>),
    /// Bringing the tip to the best branch.
    Execution,
    /// Reading a block to execute it.
    Body(BlockId),
    /// Freeing what is no longer needed.
    Discard,
    /// Reading a block that a peer asked for in a lane.
    Serve(ConnId, Lane),
    /// Reading headers that a peer asked for in a lane, with the number of its request.
    Headers {
        conn: ConnId,
        lane: Lane,
        request: RequestId,
    },
    /// Reading a block that somebody outside asked for.
    Call { call: CallId, id: BlockId },
    /// Checking a block that somebody outside brought.
    Brought(BlockId),
    /// Checking a block that is only proposed.
    Proposal(CallId),
    /// Assembling a block to mine.
    Assembly { parent: BlockId },
    /// Assembling a block for miners outside.
    CallerAssembly { parent: BlockId, seen: Seen },
    /// Trying nonces on this header.
    Search { header: Box<Header> },
    /// Making records of a checkpoint's pages.
    Checkpoint,
    /// Letting states go of a checkpoint's pages.
    Release,
}

/// What waits for records to be durable.
#[derive(Clone, Debug)]
enum Effect {
    /// The block's body may leave memory.
    Logged(BlockId),
    /// A block that was brought here, or made here, may be seen.
    Own(Arc<CheckedBlock>),
    /// Readers may see this tip; what left the mempool with it is written off.
    Tip { tip: BlockId, left: Vec<TxId> },
    /// The block may be executed for the first time.
    Begun(BlockId),
    /// The journal holds a transaction: tell who asked, if somebody did.
    Accepted {
        call: Option<CallId>,
        txid: TxId,
        wtxid: WtxId,
    },
    /// The log knows that somebody accepted a branch: tell who did.
    BranchAccepted(CallId),
    /// Pages of a checkpoint are in the log, the last of them here.
    Pages { last: Lsn },
    /// The checkpoint whose record stands here is complete.
    Checkpoint { at: Lsn },
    /// Transactions moved to the journal's end.
    Moved { txid: TxId, wtxid: WtxId },
    /// Nothing but the journal's end.
    Journaled,
    /// Nothing.
    Nothing,
}

/// How often it is told that headers are far ahead of the clock.
const FAR_AHEAD_INTERVAL: Span = Span::from_secs(600);

const ONE_WRITER: &str = "records of the state log stand where pages refer to them";

/// A node.
pub struct Node {
    config: NodeConfig,
    chain: Chain,
    mempool: Mempool,
    sync: Sync,
    relay: Relay,
    peers: BTreeMap<ConnId, Peer>,
    limits: ConnectionLimits,
    dials: BTreeMap<NodeKey, Dial>,
    addresses: BTreeMap<ConnId, SocketAddr>,
    discouragement: Discouragement,
    bans: BanList,
    /// Calls that are answered when the list of bans is in its file.
    keeping: BTreeSet<CallId>,
    /// The best header when it last changed.
    newest_header: BlockId,
    checks: Checks,
    /// Transactions whose account lacks the one before.
    early: Early,
    miner: Option<Miner>,
    templates: Templates,
    submissions: Submissions,
    jobs: BTreeMap<JobId, Owner>,
    effects: BTreeMap<u64, Vec<Effect>>,
    checkpoints: Checkpoints,
    checkpoint_work: CheckpointWork,
    timers: Timers<Timer>,
    rng: Rng,
    outputs: VecDeque<Output>,
    /// Blocks that came and wait for a worker that checks them.
    arrived: Arrived,
    /// The tip that readers may see: its Tip record is durable. Its state is held.
    published: BlockId,
    /// The tip that readers saw before this start, until it or a better one is shown.
    unreached: Option<BlockId>,
    /// The tip that the newest Tip record names, durable or not.
    logged_tip: BlockId,
    /// How the tip moved since.
    unlogged: Option<Unlogged>,
    /// Whether the log was read and the tip that it names was reached.
    ready: bool,
    /// Whether the disk has no space: records wait, so nothing new is taken in.
    disk_full: bool,
    /// When it was last told that a header is far ahead of the clock.
    told_far_ahead: Option<Time>,
    journal: Journal,
    /// What the mempool takes at least, per 1,000 weight.
    floor: u64,
    next_job: u64,
    next_ticket: u64,
    /// How many inputs and timeouts were handled.
    events: u64,
    /// The hash of every output so far, in order: part of the state, so that a replay whose
    /// outputs differ in nothing but their order is found out.
    outputs_done: Hash,
    page_failures: PageFailures,
}

impl Node {
    /// A node as it starts: it knows its log's blocks and has executed none.
    pub fn open(
        mut config: NodeConfig,
        mut recovered: Recovered,
        seed: [u8; 32],
        now: Time,
    ) -> Result<Self, UnsupportedEngine> {
        let genesis = Arc::clone(&config.genesis);
        let mut chain = match recovered.genesis.take() {
            Some(state) => Chain::from_state(genesis, state)?,
            None => Chain::new(genesis)?,
        };
        chain.set_reach(config.checkpoints.cheap_reach());
        recovered.restore_blocks(&mut chain);
        let logged_tip = recovered.tip.unwrap_or(chain.tip());
        chain.prefer(&logged_tip);
        checkpoints::begin(&mut chain, &logged_tip, &recovered.kept, recovered.states);
        for id in &recovered.parked {
            chain.park(id);
        }
        chain.restore_accepted(&recovered.accepted);
        chain.hold_state(chain.tip());
        let shown = Some(logged_tip).filter(|tip| *tip != chain.tip());
        let unreached = shown.filter(|tip| chain.tree().is_complete(tip));
        if let Some(tip) = unreached {
            chain.hold_state(tip);
        }
        let rng = Rng::from_seed(seed);
        let secret = rng.fork("sync").bytes32();
        let mut node = Self {
            dials: Dial::all(&config.peers, now),
            published: chain.tip(),
            unreached,
            logged_tip,
            chain,
            mempool: Mempool::with_limit(config.mempool_limit),
            sync: Sync::new(secret, config.min_chain_work),
            relay: Relay::new(config.genesis.rules.base_fee_min, rng.fork("relay")),
            peers: BTreeMap::new(),
            limits: ConnectionLimits::new(),
            addresses: BTreeMap::new(),
            discouragement: Discouragement::default(),
            bans: std::mem::take(&mut config.bans),
            keeping: BTreeSet::new(),
            newest_header: BlockId::ZERO,
            checks: Checks::default(),
            early: Early::default(),
            miner: config.mining.map(|mining| Miner::new(mining, now)),
            templates: Templates::default(),
            submissions: Submissions::default(),
            jobs: BTreeMap::new(),
            effects: BTreeMap::new(),
            checkpoints: Checkpoints::new(recovered.kept, recovered.layout),
            checkpoint_work: CheckpointWork::default(),
            timers: Timers::default(),
            rng,
            outputs: VecDeque::new(),
            arrived: Arrived::default(),
            unlogged: None,
            ready: false,
            disk_full: false,
            told_far_ahead: None,
            journal: Journal::found(recovered.journal),
            floor: config.genesis.rules.base_fee_min,
            next_job: 0,
            next_ticket: 0,
            events: 0,
            outputs_done: Hash::ZERO,
            page_failures: PageFailures::default(),
            config,
        };
        for why in recovered.damaged {
            node.event(Event::DamagedLog { why });
        }
        match recovered.unfinished {
            Some(attempt) if attempt.number >= ATTEMPTS_MAX => node.park_aborting(attempt.id),
            Some(attempt) => node.chain.suspect(attempt),
            None => {}
        }
        node.publish();
        node.advance(now);
        node.mend_headers();
        Ok(node)
    }

    /// Takes something that happened.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.begin_event();
        match input {
            Input::Accepted { conn, from } => self.accepted(conn, from, now),
            Input::Connected {
                conn,
                direction,
                address,
                record,
            } => {
                self.connected(conn, direction, address, &record, now);
            }
            Input::DialFailed { key, why } => self.dial_failed(&key, why, now),
            Input::Message {
                conn,
                lane,
                kind,
                bytes,
            } => {
                self.message(conn, lane, kind, &bytes, now);
            }
            Input::Room { conn } => self.serve_more(conn),
            Input::Closed { conn, why } => self.closed(conn, &why, now),
            Input::Stored { ticket, lsns } => self.stored(ticket, &lsns, now),
            Input::Done { job, result } => self.done(job, result, now),
            Input::DiskFull(full) => self.disk_full(full, now),
            Input::Called { call, question } => self.called(call, question, now),
            Input::Renewed { record } => self.config.record = record,
            Input::BansKept { call, result } => self.bans_kept(call, result),
            Input::CallerLeft { call } => self.call_left(call, now),
        }
        self.settle(now);
    }

    /// Fires every timer that is due; a call too early does nothing.
    pub fn handle_timeout(&mut self, now: Time) {
        self.begin_event();
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Handshakes => self.handshakes_late(now),
                Timer::Dial => self.dial(now),
                Timer::Greeting(conn) => self.greeting_late(conn, now),
                Timer::Ping(conn) => self.ping(conn, now),
                Timer::Pong(conn) => self.pong_late(conn, now),
                Timer::Sync => self.with_sync(now, |sync, chain, out| sync.expire(chain, now, out)),
                Timer::Tell => self.tell(now),
                Timer::Relay => {}
                Timer::Mine => self.mine(now),
                Timer::Publish => self.publish(),
                Timer::Stale => self.tip_is_stale(now),
                Timer::Checkpoint => self.quiet(),
                Timer::Templates => self.answer_polls(now),
                Timer::Held => self.take_up_held(now),
                Timer::LogTip => self.write_tip(),
            }
        }
        self.settle(now);
    }

    fn begin_event(&mut self) {
        self.events += 1;
        self.chain.begin_event();
    }

    /// What the last event could not read, for a recording.
    #[must_use]
    pub fn unreadable(&self) -> Unreadable {
        Unreadable {
            accounts: self.page_failures.last().to_vec(),
            headers: self.chain.tree().unreadable().to_vec(),
        }
    }

    /// The next event finds this unreadable, as it did where it was recorded.
    pub fn foresee_unreadable(&mut self, unreadable: Unreadable) {
        self.page_failures.foresee(unreadable.accounts);
        self.chain.foresee_unreadable(unreadable.headers);
    }

    /// Old blocks whose headers could not be read are written again.
    fn mend_headers(&mut self) {
        loop {
            let damaged = self.chain.take_unreadable();
            if damaged.is_empty() {
                break;
            }
            for id in damaged {
                self.body_damaged(&id, "its header is damaged");
            }
        }
        self.chain.end_event();
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.earliest()
    }

    /// The next thing to be done.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front()?;
        self.outputs_done = output.chain(&self.outputs_done);
        Some(output)
    }

    /// Whether a block is known here, with its transactions.
    #[must_use]
    pub fn knows_block(&self, id: &BlockId) -> bool {
        self.chain.tree().is_complete(id)
    }

    /// Blocks of the best chain whose records are damaged: somebody has to give them again.
    pub fn blocks_wanted_again(&self) -> impl Iterator<Item = &BlockId> {
        self.chain.wanted_again()
    }

    /// The ancestor of a block at this height: itself at its own.
    #[must_use]
    pub fn ancestor(&self, id: &BlockId, height: Height) -> Option<BlockId> {
        self.chain.tree().ancestor(id, height)
    }

    /// Where in the log the blocks are that this node knows.
    pub fn logged_blocks(&self) -> impl Iterator<Item = Lsn> {
        self.chain.tree().logged()
    }

    /// What every event ends with: requests that became possible, timers that moved.
    fn settle(&mut self, now: Time) {
        if let Some(failure) = self.page_failures.end_event() {
            self.state_failed(&failure);
        }
        self.watch_tip(now);
        self.make_checkpoint();
        self.let_headers_go();
        self.check_transactions();
        self.check_arrived();
        self.discard();
        if !self.disk_full {
            self.request_blocks(now);
        }
        self.request_transactions(now);
        self.floor = self.mempool.floor(&self.config.genesis.rules, now);
        self.relay.set_fee_floor(self.floor, now);
        for (timer, deadline) in [
            (Timer::Sync, self.sync.deadline()),
            (Timer::Relay, self.relay.deadline()),
            (Timer::Tell, self.relay.tell_deadline()),
        ] {
            match deadline {
                Some(at) => self.timers.set(timer, at.max(now + Span::from_millis(1))),
                None => {
                    self.timers.clear(&timer);
                }
            }
        }
        self.mend_headers();
    }

    /// Carries out what a sub-machine decided.
    fn perform(&mut self, actions: Vec<Action>, now: Time) {
        for action in actions {
            match action {
                Action::Send(conn, lane, message) => self.send_in(conn, lane, &message),
                Action::Fault(conn, rule) => self.fault(conn, rule, now),
                Action::Unresponsive(conn, what) => {
                    self.drop_peer(conn, CloseReason::Unresponsive(what), now);
                }
                Action::FarAhead(id, by) => self.far_ahead(id, by, now),
            }
        }
    }

    /// Starts a job.
    fn run(&mut self, owner: Owner, work: Job) -> JobId {
        self.next_job += 1;
        let job = JobId(self.next_job);
        self.jobs.insert(job, owner);
        self.outputs.push_back(Output::Run { job, work });
        job
    }

    fn done(&mut self, job: JobId, result: JobResult, now: Time) {
        let owner = self
            .jobs
            .remove(&job)
            .expect("a driver answers each job once");
        match (owner, result) {
            (Owner::Blocks(blocks), JobResult::Blocks(checked)) => {
                self.blocks_checked(blocks, checked, now);
            }
            (Owner::Transactions(sources), JobResult::Transactions(checked)) => {
                self.transactions_checked(job, sources, checked, now);
            }
            (Owner::Readmission(lsns), JobResult::Transactions(checked)) => {
                self.readmitted(&lsns, checked, now);
            }
            (Owner::Execution, JobResult::Executed(executed)) => self.executed(executed, now),
            (Owner::Body(id), JobResult::Read(block)) => self.body_read(&id, block, now),
            (Owner::Serve(conn, lane), JobResult::ToSend(body)) => {
                self.serve_read(conn, lane, body);
            }
            (
                Owner::Headers {
                    conn,
                    lane,
                    request,
                },
                JobResult::Headers(headers, unreadable),
            ) => self.headers_read((conn, lane, request), headers, unreadable),
            (Owner::Discard, JobResult::Discarded) => {}
            (Owner::Call { call, id }, JobResult::Read(block)) => {
                self.call_read(call, id, block);
            }
            (Owner::Brought(id), JobResult::Blocks(mut checked)) => {
                let checked = checked.pop().expect("one verdict for one block");
                self.brought_checked(id, checked.map(|(block, _)| block), now);
            }
            (Owner::Proposal(call), JobResult::Proposal(verdict)) => {
                self.proposal_checked(call, verdict);
            }
            (Owner::CallerAssembly { parent, seen }, JobResult::Assembled(assembled)) => {
                self.assembled_for_callers(parent, seen, assembled, now);
            }
            (Owner::Assembly { parent }, JobResult::Assembled(Ok(template))) => {
                self.assembled(parent, *template, now);
            }
            (Owner::Assembly { .. }, JobResult::Assembled(Err(error))) => {
                self.state_failed(&error);
            }
            (Owner::Search { header }, JobResult::Found(nonce)) => {
                self.searched(*header, nonce, now);
            }
            (Owner::Checkpoint, JobResult::Checkpoint(step)) => self.pages_made(step),
            (Owner::Release, JobResult::Released(released)) => self.pages_released(released, now),
            (owner, result) => panic!("{owner:?} was answered by {result:?}"),
        }
    }

    /// Appends records; `effects` follow, one for each record, when they are stored.
    fn store(&mut self, records: Vec<Append>, durable: bool, effects: Vec<Effect>) {
        debug_assert_eq!(records.len(), effects.len());
        self.request(records, durable, None, effects);
    }

    fn request(
        &mut self,
        records: Vec<Append>,
        sync: bool,
        then: Option<Upkeep>,
        effects: Vec<Effect>,
    ) {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.effects.insert(ticket, effects);
        self.outputs.push_back(Output::Store(Request {
            ticket,
            records,
            sync,
            then,
        }));
    }

    fn stored(&mut self, ticket: Ticket, lsns: &[Lsn], now: Time) {
        let effects = self
            .effects
            .remove(&ticket.0)
            .expect("a driver answers each ticket once");
        for (effect, lsn) in effects.into_iter().zip(lsns) {
            match effect {
                Effect::Logged(id) => self.chain.logged(&id, *lsn),
                Effect::Own(block) => {
                    let id = block.id;
                    self.brought_stored(block, now);
                    self.chain.logged(&id, *lsn);
                }
                Effect::Tip { tip, left } => self.tip_stored(tip, &left),
                Effect::Begun(id) => self.chain.begun(id),
                Effect::Accepted { call, txid, wtxid } => {
                    self.journal.stored_accepted(&txid, &wtxid, *lsn);
                    if let Some(call) = call {
                        self.promised(call, txid, wtxid);
                    }
                }
                Effect::BranchAccepted(call) => self.answer(call, Ok(Reply::Done)),
                Effect::Pages { last } => {
                    assert!(*lsn == last, "{ONE_WRITER}");
                    self.pages_stored();
                }
                Effect::Checkpoint { at } => {
                    assert!(*lsn == at, "{ONE_WRITER}");
                    self.checkpoint_stored();
                }
                Effect::Moved { txid, wtxid } => {
                    self.journal.stored_accepted(&txid, &wtxid, *lsn);
                    self.journal.moved();
                }
                Effect::Journaled => self.journal.stored(*lsn),
                Effect::Nothing => {}
            }
        }
        self.decide_submissions(None);
        self.trim_journal(now);
        self.advance(now);
    }

    /// The disk has no space for what is to be written, or has some again. Meanwhile the node
    /// serves what it has and takes in nothing that would have to wait for the disk.
    fn disk_full(&mut self, full: bool, now: Time) {
        self.disk_full = full;
        self.event(Event::DiskFull(full));
        self.advance(now);
        self.publish();
    }

    /// A header is so far ahead that the clock may be wrong: says so, unless it was said lately.
    fn far_ahead(&mut self, id: BlockId, by: Span, now: Time) {
        let told = self.told_far_ahead;
        if told.is_none_or(|told| now.since(told) >= FAR_AHEAD_INTERVAL) {
            self.told_far_ahead = Some(now);
            self.event(Event::FarAhead { id, by });
        }
    }

    fn send(&mut self, conn: ConnId, message: &Message) {
        let lane = message.kind().lanes()[0];
        self.send_in(conn, lane, message);
    }

    fn send_in(&mut self, conn: ConnId, lane: Lane, message: &Message) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            let (kind, lane) = (message.kind().byte(), lane.index() as u8);
            let bytes: Arc<[u8]> = message.encode().into();
            peer.bytes_out += bytes.len() as u64;
            self.outputs.push_back(Output::Send {
                conn,
                lane,
                kind,
                bytes,
            });
        }
    }

    /// The rules for the block after the tip, its height and its base fee.
    fn next_rules(&self) -> (&Rules, Height, u64) {
        let tip = self.chain.tip_state();
        let height = tip.header.height.next();
        let rules = Rules::at(&self.config.genesis, height);
        (
            rules,
            height,
            crate::consensus::next_base_fee(rules, tip.header.base_fee, tip.weight),
        )
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Shows readers the newest tip whose record is durable, and the counts of now.
    fn publish(&mut self) {
        // The state of a durable tip is held.
        let Some(state) = self.chain.state(&self.published) else {
            return;
        };
        let published = Published {
            // Readers are not shown less than they were shown before.
            ready: self.ready && self.unreached.is_none(),
            disk_full: self.disk_full,
            tip: state.id,
            header: state.header.clone(),
            work: self.chain.work(&state.id),
            state: state.ledger.view(state.id),
            best_header: self
                .chain
                .tree()
                .get(&self.chain.tree().best_header())
                .map_or(Height::GENESIS, |entry| entry.header.height),
            checkpoint: self.checkpoints.newest(),
            executed: self.checkpoints.executed,
            peers: self.peers.values().filter(|peer| peer.is_ready()).count(),
            mempool_count: self.mempool.len(),
            mempool_bytes: self.mempool.bytes(),
            mempool_memory: self.mempool.memory(),
            mempool_limit: self.mempool.limit(),
            mempool_floor: self.floor,
            next_base_fee: crate::consensus::next_base_fee(
                Rules::at(&self.config.genesis, state.header.height.next()),
                state.header.base_fee,
                state.weight,
            ),
        };
        self.outputs.push_back(Output::Publish(Arc::new(published)));
    }
}

/// Reads a header from the front of a block's bytes.
fn header_of(bytes: &[u8]) -> Result<Header, DecodeError> {
    Header::decode(&mut Reader::new(bytes))
}

#[cfg(test)]
mod tests;
