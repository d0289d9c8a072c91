//! A block's journey: from a header to the tip, and out again to peers that ask.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};
use crate::chain::{
    ATTEMPTS_MAX, Attempt, Chain, CheckedBlock, Executed, IsolatedFault, Step, TipChange,
};
use crate::codec::{Encode, Writer};
use crate::p2p::{Action, Arrival, ConnId, Room, Sync};
use crate::store::{Append, Kind, Log};
use crate::types::{BlockId, Hash, Header, Height, Rules, TxId, Uint256};
use crate::wire::message::{ANNOUNCE_HEADERS_MAX, GET_BLOCKS_MAX, RequestId};
use crate::wire::{Lane, Message, MessageKind};

use super::{
    CallError, CallId, Effect, Event, Job, Node, Output, Owner, Timer, block_record, header_of,
};

/// How many blocks may be under way or in check at once: so many small ones that workers stay busy,
/// and so many large ones that each worker has a few.
pub(super) const ROOM: Room = Room {
    blocks: 64,
    bytes: 32 << 20,
};
/// Blocks of more bytes are read from the log by a job when a peer asks for them, even when they
/// are in memory: to copy them takes longer than an event may.
const COPIED_MAX: usize = 64 << 10;
/// How many blocks a peer may have asked for in a lane and not got.
const ASKED_PER_PEER: usize = 8 * GET_BLOCKS_MAX;

/// In the place of an attempt's number: it came to an end.
pub(super) const ATTEMPT_ENDED: u8 = 0;
/// In the place of an attempt's number: the block begins a branch that somebody accepted. It may be
/// tried again, however deep its branch forks off.
pub(super) const ATTEMPT_ACCEPTED: u8 = 254;
/// In the place of an attempt's number: the block is parked.
pub(super) const ATTEMPT_PARKED: u8 = 255;

/// An Executing record.
fn attempt_record(id: &BlockId, number: u8) -> Append {
    let mut body = Writer::with_capacity(40);
    id.encode(&mut body);
    body.u8(number);
    body.bytes(&[0; 7]);
    Append::new(Log::Blocks, Kind::Executing, body.into_bytes())
}

/// Bytes of blocks that are sent to a peer before it has taken some; the last block goes beyond.
const SERVE_AHEAD: usize = 512 << 10;

/// Blocks that a peer asked for. Each lane is served by itself: blocks near the tip wait for no
/// history.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Serving {
    near_tip: Served,
    history: Served,
}

impl Serving {
    const fn lane(&mut self, lane: Lane) -> &mut Served {
        match lane {
            Lane::Bodies => &mut self.near_tip,
            _ => &mut self.history,
        }
    }
}

/// Blocks that a peer asked for in one lane, in the order it asked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Served {
    queue: VecDeque<(RequestId, BlockId)>,
    reading: bool,
    /// Bytes of blocks that were sent since there was room.
    sent: usize,
    /// The driver says when there is room again.
    awaits_room: bool,
}

/// With the best header so many blocks above the tip, moves of the tip are written down in groups.
const FAR_BEHIND: u64 = 16;
/// A group ends so long after it began.
const TIP_GROUP_SPAN: Span = Span::from_millis(100);
/// A group ends with so many bytes of blocks: what has to be executed again if the process ends.
const TIP_GROUP_BYTES: usize = 4 << 20;

/// Moves of the tip that are not written down yet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Unlogged {
    /// What left the mempool with them.
    left: Vec<TxId>,
    /// Bytes of the blocks that came into the best chain.
    bytes: usize,
}

/// What the log keeps of a move of the tip.
#[must_use]
pub fn tip_record(from: &BlockId, to: &BlockId, height: Height) -> Append {
    let mut body = Writer::with_capacity(72);
    from.encode(&mut body);
    to.encode(&mut body);
    body.u64(height.0);
    Append::new(Log::Blocks, Kind::Tip, body.into_bytes())
}

impl Node {
    /// Lets the synchronisation decide something, and carries it out.
    pub(super) fn with_sync(
        &mut self,
        now: Time,
        decide: impl FnOnce(&mut Sync, &mut Chain, &mut Vec<Action>),
    ) {
        let mut actions = Vec::new();
        decide(&mut self.sync, &mut self.chain, &mut actions);
        self.perform(actions, now);
    }

    /// Asks for blocks that are missing, as many as the node can take in.
    pub(super) fn request_blocks(&mut self, now: Time) {
        if self.ready {
            self.with_sync(now, |sync, chain, out| sync.schedule(chain, ROOM, now, out));
        }
    }

    /// A block came. Was it asked for? Then a job checks all that can be checked by itself.
    pub(super) fn block_came(&mut self, conn: ConnId, req: RequestId, bytes: Vec<u8>, now: Time) {
        let header = match header_of(&bytes) {
            Ok(header) => header,
            Err(error) => return self.fault(conn, format!("BLOCK: {error}"), now),
        };
        let id = header.id();
        let what = (&id, bytes.len());
        match self.sync.block_came(conn, req.0, what, &self.chain, now) {
            Arrival::Wanted => {}
            // A request that lapsed may still be answered: that is slow, and no fault. Of what it
            // says only the length is looked at; where a block is wanted, its check does that, and
            // finds out whether the header goes with it.
            Arrival::Spare => {
                if bytes.len() > self.block_bytes_max(&header) {
                    self.fault(conn, "BLOCK: it is longer than a block may be", now);
                }
                return;
            }
            Arrival::Unasked => {
                return self.fault(conn, "it sent a block that nobody asked for", now);
            }
            Arrival::LeftOut => {
                return self.fault(conn, "it left out a block that it was asked for", now);
            }
        }
        self.arrived.push(conn, id, bytes);
    }

    /// How many bytes a block with this header may have: those of transactions never exceed their
    /// weight.
    fn block_bytes_max(&self, header: &Header) -> usize {
        let rules = Rules::at(self.chain.genesis(), header.height);
        header.encoded_len() + size_of::<u32>() + rules.max_block_weight as usize
    }

    /// Starts checks of the blocks that came. Small ones are checked together: the signatures of
    /// one block of 20 would cost half as much again as the same in a batch of hundreds.
    pub(super) fn check_arrived(&mut self) {
        while let Some(taken) = self.arrived.take() {
            let (mut owners, mut blocks) = (Vec::new(), Vec::new());
            for (from, id, bytes) in taken {
                owners.push((from, id));
                let work = header_of(&bytes)
                    .ok()
                    .and_then(|header| self.chain.work_with(&id, &header));
                blocks.push((bytes, work.unwrap_or(Uint256::ZERO)));
            }
            let genesis = Arc::clone(self.chain.genesis());
            let rules = Box::new(self.chain.header_rules().clone());
            let genesis_id = *self.chain.genesis_id();
            let job = Job::CheckBlocks {
                genesis,
                rules,
                genesis_id,
                blocks,
            };
            self.run(Owner::Blocks(owners), job);
        }
    }

    /// Blocks were checked, each by itself. Good ones go to the log and into the tree; a bad one
    /// costs its sender the connection. Where its header covers what is wrong with it, no good
    /// block of that id exists, and the header goes; else it is asked of somebody else.
    pub(super) fn blocks_checked(
        &mut self,
        blocks: Vec<(ConnId, BlockId)>,
        checked: Vec<Result<(Arc<CheckedBlock>, Append), IsolatedFault>>,
        now: Time,
    ) {
        self.arrived.checked();
        for ((from, id), checked) in blocks.into_iter().zip(checked) {
            match checked {
                Ok((block, record)) => {
                    self.sync.taken(&id);
                    if self.chain.wants_body(&id) || self.chain.wants_again(&id) {
                        if let Some(peer) = self.peers.get_mut(&from) {
                            peer.last_block = Some(now);
                        }
                        self.store(vec![record], false, vec![Effect::Logged(id)]);
                        self.chain.add_body(block);
                    }
                }
                Err(fault) => {
                    let rule = format!("block {id} is invalid: {fault}");
                    self.fault(from, rule.clone(), now);
                    if fault.condemns_block() {
                        self.block_invalid(id, rule, now);
                    } else {
                        self.sync.refused(&id);
                    }
                }
            }
        }
        self.advance(now);
    }

    /// A block is invalid, whoever sends it.
    fn block_invalid(&mut self, id: BlockId, why: String, now: Time) {
        self.condemn(id, now);
        self.event(Event::InvalidBlock { id, why });
    }

    fn condemn(&mut self, id: BlockId, now: Time) {
        self.chain.condemn(&id);
        self.with_sync(now, |sync, chain, out| sync.invalid(&id, chain, out));
    }

    /// Execution gives something else than the block's maker got. The block is invalid here; its
    /// bytes are kept for whoever must find out which node is right.
    fn block_diverges(&mut self, id: BlockId, why: String, bytes: Option<Arc<[u8]>>, now: Time) {
        let height = self.chain.tree().height(&id).unwrap_or_default();
        self.condemn(id, now);
        self.event(Event::Divergence { id, height, why });
        if let Some(bytes) = bytes {
            self.outputs.push_back(Output::KeepEvidence { id, bytes });
        }
    }

    /// Writes a block of this node's own to the log.
    pub(super) fn store_block(&mut self, block: &CheckedBlock, durable: bool, effect: Effect) {
        // Its neighbours' records are damaged as well where this is not known: then it comes later.
        if let Some(work) = self.chain.work_with(&block.id, &block.header) {
            let record = block_record(block, &work);
            self.store(vec![record], durable, vec![effect]);
        }
    }

    /// Brings the tip towards the best branch: reads and executions that are possible now.
    pub(super) fn advance(&mut self, now: Time) {
        while self.may_execute()
            && let Some(step) = self.chain.next_step()
        {
            match step {
                Step::Begin(attempt) => self.begin(attempt),
                Step::Park(branch) => {
                    let why = format!(
                        "it has more work and would replace {} blocks; `keel rpc acceptbranch {}` \
                         takes it",
                        branch.depth, branch.tip
                    );
                    self.event(Event::Parked {
                        id: branch.first,
                        why,
                    });
                }
                Step::Read(id, lsn) => {
                    let genesis_id = *self.chain.genesis_id();
                    self.run(Owner::Body(id), Job::Read { genesis_id, lsn });
                }
                Step::Execute(execution) => {
                    self.run(Owner::Execution, Job::Execute(execution));
                }
                Step::Moved(moved) => {
                    self.reach_shown_tip();
                    self.tip_moved(&moved, now);
                }
            }
        }
        if !self.ready && (self.chain.is_settled() || self.is_held_up()) {
            self.readmit(now);
        }
    }

    /// Whether a start is as far as it comes for now. What is left to execute is better than what
    /// readers saw before, and waits for its records as long as the disk is full, or lacks a block
    /// that peers have to give again, whom nobody meets before it is ready. It is executed later,
    /// as in a node that was ready before.
    fn is_held_up(&self) -> bool {
        let lacks_space = self.disk_full && self.chain.tip() == self.logged_tip;
        lacks_space || self.may_execute() && self.chain.is_at_rest()
    }

    /// Writes down that a block is about to be executed for the first time: if that ends the
    /// process, the next start knows by what.
    fn begin(&mut self, attempt: Attempt) {
        let record = attempt_record(&attempt.id, attempt.number);
        self.store(vec![record], false, vec![Effect::Begun(attempt.id)]);
    }

    /// Sets a block aside on which every attempt ended with the process.
    pub(super) fn park_aborting(&mut self, id: BlockId) {
        self.chain.park(&id);
        let record = attempt_record(&id, ATTEMPT_PARKED);
        self.store(vec![record], false, vec![Effect::Nothing]);
        let why = format!(
            "the node ended {ATTEMPTS_MAX} times in the midst of executing it; `keel rpc \
             acceptbranch {id}` tries again"
        );
        self.event(Event::Parked { id, why });
    }

    /// Takes a parked branch back in, because somebody says so. A start that finds the branch
    /// before it is the tip's would park it again, so that the answer waits until the log has what
    /// was said.
    pub(super) fn accept_branch(&mut self, call: CallId, id: &BlockId, now: Time) {
        let Some(first) = self.chain.accept_branch(id) else {
            return self.answer(call, Err(CallError::NotFound("parked block")));
        };
        let record = attempt_record(&first, ATTEMPT_ACCEPTED);
        self.store(vec![record], true, vec![Effect::BranchAccepted(call)]);
        self.sync.changed();
        self.advance(now);
    }

    /// Has a job free what the chain no longer needs.
    pub(super) fn discard(&mut self) {
        if let Some(dropped) = self.chain.take_dropped() {
            self.run(Owner::Discard, Job::Discard(dropped));
        }
    }

    /// The log was read, its tip reached, or a better one, and the mempool is what it was: the node
    /// takes part from now on.
    pub(super) fn start(&mut self, now: Time) {
        self.ready = true;
        let entry = self.chain.tip_entry();
        let (height, tip) = (entry.header.height, self.chain.tip());
        self.event(Event::Ready { height, tip });
        if self.logged_tip != tip {
            self.log_tip(self.logged_tip, tip, height, Vec::new());
        } else if !self.waits_for_tip() {
            self.show_tip(tip);
        }
        // The record of a better tip may wait for space: what readers saw before is here.
        self.publish();
        self.timers.set_earlier(Timer::Dial, now);
        // What this start had to execute, the next one need not.
        self.timers.set(Timer::Checkpoint, now);
        if self.miner.is_some() {
            self.timers.set(Timer::Mine, now);
        }
    }

    /// A block was read back from the log, to be executed or to leave the best chain.
    pub(super) fn body_read(
        &mut self,
        id: &BlockId,
        block: Result<Arc<CheckedBlock>, String>,
        now: Time,
    ) {
        match block {
            Ok(block) => self.chain.body_read(block),
            Err(why) => self.body_damaged(id, &why),
        }
        self.advance(now);
    }

    /// A block's record is damaged: the block is written again, from memory or as peers give it.
    pub(super) fn body_damaged(&mut self, id: &BlockId, why: &str) {
        let at_hand = self.chain.body(id).map(Arc::clone);
        if !self.chain.body_damaged(id) {
            return;
        }
        let why = match at_hand {
            Some(block) => {
                self.store_block(&block, false, Effect::Logged(*id));
                format!("block {id} can't be read from blocks/: {why}; it is written again")
            }
            None => {
                self.sync.changed();
                format!("block {id} can't be read from blocks/: {why}; it is fetched again")
            }
        };
        self.event(Event::DamagedLog { why });
    }

    /// Blocks were executed. If the tip moved, everything follows it in this one step: the log,
    /// the mempool, peers, readers once it is durable, and the miner.
    pub(super) fn executed(&mut self, executed: Executed, now: Time) {
        self.count_executed(&executed, now);
        if let Some(failure) = &executed.failure {
            // The attempt came to an end: it is the disk that failed, and not the block.
            if let Some(id) = self.chain.attempt() {
                let record = attempt_record(&id, ATTEMPT_ENDED);
                self.store(vec![record], false, vec![Effect::Nothing]);
            }
            self.state_failed(failure);
        }
        // A block that was just executed is in memory, unless the plan was another meanwhile and
        // there was no room; then the log alone has it.
        let fault = executed.fault.as_ref();
        let body = fault.and_then(|(id, _)| self.chain.body(id));
        let bytes = body.map(|block| Arc::clone(&block.bytes));
        let outcome = self.chain.executed(executed);
        if let Some((id, fault)) = &outcome.invalid {
            let record = attempt_record(id, ATTEMPT_ENDED);
            self.store(vec![record], false, vec![Effect::Nothing]);
            match fault.is_divergence() {
                true => self.block_diverges(*id, fault.to_string(), bytes, now),
                false => self.block_invalid(*id, fault.to_string(), now),
            }
        }
        self.reach_shown_tip();
        if let Some(moved) = outcome.moved {
            self.tip_moved(&moved, now);
        }
        self.decide_submissions(outcome.invalid.as_ref());
        self.advance(now);
    }

    fn tip_moved(&mut self, moved: &TipChange, now: Time) {
        if !self.ready {
            // What is back in the mempool, or aside, already follows in any case.
            let left = if self.mempool.is_empty() && !self.journal.holds_any() {
                Vec::new()
            } else {
                self.mempool_follows(moved, now)
            };
            // Up to the tip that the log names this happened before, and that one is durable.
            if self.chain.work(&moved.to) > self.chain.work(&self.logged_tip) {
                self.log_tip(self.logged_tip, moved.to, moved.height, left);
            } else {
                self.write_off(&left);
            }
            return;
        }
        let left = self.mempool_follows(moved, now);
        self.note_tip(moved, left, now);
        self.relay.tip_moved();
        for block in &moved.connected {
            for checked in &block.transactions {
                self.admit_early(checked, now);
            }
        }
        self.announce(moved);
        let transactions = moved
            .connected
            .last()
            .map_or(0, |block| block.transactions.len());
        let (height, tip, disconnected) = (moved.height, moved.to, moved.depth);
        self.event(Event::TipChanged {
            height,
            tip,
            transactions,
            disconnected,
        });
        if self.miner.is_some() {
            self.timers.set(Timer::Mine, now);
        }
        self.answer_polls(now);
    }

    /// The tip moved: that is written down at once, or together with what follows soon while the
    /// node is far behind, where each record would cost a sync of the disk.
    fn note_tip(&mut self, moved: &TipChange, left: Vec<TxId>, now: Time) {
        let best = self.chain.tree().best_header();
        let best = self.chain.tree().get(&best);
        let is_behind = best.is_some_and(|best| best.header.height.0 > moved.height.0 + FAR_BEHIND);
        let bytes = moved.connected.iter().map(|block| block.bytes.len());
        let unlogged = self.unlogged.get_or_insert_default();
        unlogged.left.extend(left);
        unlogged.bytes += bytes.sum::<usize>();
        if is_behind && unlogged.bytes < TIP_GROUP_BYTES {
            self.timers.set_earlier(Timer::LogTip, now + TIP_GROUP_SPAN);
        } else {
            self.write_tip();
        }
    }

    /// Writes down how the tip moved since that was done last.
    pub(super) fn write_tip(&mut self) {
        if let Some(unlogged) = self.unlogged.take() {
            self.timers.clear(&Timer::LogTip);
            let (tip, height) = (self.chain.tip(), self.chain.tip_entry().header.height);
            self.log_tip(self.logged_tip, tip, height, unlogged.left);
        }
    }

    /// Writes down that the tip moved; readers see it when that is durable.
    /// What `left` the mempool for good is written off then.
    fn log_tip(&mut self, from: BlockId, to: BlockId, height: Height, left: Vec<TxId>) {
        self.chain.hold_state(to);
        self.logged_tip = to;
        let record = tip_record(&from, &to, height);
        self.store(vec![record], true, vec![Effect::Tip { tip: to, left }]);
    }

    /// Whether a Tip record is on its way to the disk.
    fn waits_for_tip(&self) -> bool {
        let mut effects = self.effects.values().flatten();
        effects.any(|effect| matches!(effect, Effect::Tip { .. }))
    }

    /// A tip's record is durable: readers see it from now on.
    pub(super) fn tip_stored(&mut self, tip: BlockId, left: &[TxId]) {
        self.show_tip(tip);
        self.chain.release_state(&tip);
        self.tip_is_durable(&tip, left);
    }

    /// After a start, readers go on at the tip that they were shown before. A better one, which
    /// the log has too, may have to wait for its record as long as the disk is full. Where that
    /// tip's block had to be fetched again, the log may be about to name another: readers wait for
    /// that one's record then, and for the next, so that what they see never goes back.
    fn reach_shown_tip(&mut self) {
        if self.waits_for_tip() {
            return;
        }
        let state = |tip: &BlockId| self.chain.state(tip).is_some();
        if let Some(tip) = self.unreached.take_if(|tip| state(tip)) {
            self.chain.release_state(&self.published);
            self.published = tip;
        }
    }

    fn show_tip(&mut self, tip: BlockId) {
        if let Some(before) = self.unreached.take() {
            self.chain.release_state(&before);
        }
        self.chain.hold_state(tip);
        self.chain.release_state(&self.published);
        self.published = tip;
        self.publish();
    }

    /// Tells every peer that does not have it of the new tip, with the headers that lead to it.
    pub(super) fn announce(&mut self, moved: &TipChange) {
        // By the tree and not by the blocks, of which some may have left memory.
        let mut headers: Vec<Header> = Vec::new();
        let mut next = moved.to;
        while headers.len() < ANNOUNCE_HEADERS_MAX
            && let Some(entry) = self.chain.tree().get(&next)
            && entry.header.height > moved.fork
        {
            next = entry.header.parent_id;
            headers.push(entry.header.clone());
        }
        headers.reverse();
        let conns: Vec<ConnId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.is_ready())
            .map(|(conn, _)| *conn)
            .collect();
        for conn in conns {
            if !self.sync.knows(conn, &moved.to, &self.chain) {
                self.send(
                    conn,
                    &Message::Announce {
                        headers: headers.clone(),
                    },
                );
            }
        }
    }

    /// Queues what GET_BLOCKS asks for.
    pub(super) fn give_blocks(
        &mut self,
        conn: ConnId,
        lane: Lane,
        request: RequestId,
        ids: &[BlockId],
        now: Time,
    ) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let serving = peer.serving.lane(lane);
        serving.queue.extend(ids.iter().map(|id| (request, *id)));
        if serving.queue.len() > ASKED_PER_PEER {
            self.fault(conn, "it asked for more blocks than it waits for", now);
        } else {
            self.serve(conn, lane);
        }
    }

    /// Sends a peer the blocks it asked for in a lane, in order, from memory or by a read of the
    /// log.
    fn serve(&mut self, conn: ConnId, lane: Lane) {
        while let Some(peer) = self.peers.get_mut(&conn) {
            let serving = peer.serving.lane(lane);
            if serving.reading || serving.awaits_room {
                return;
            }
            let Some((request, id)) = serving.queue.pop_front() else {
                return;
            };
            let logged = self.chain.logged_at(&id);
            let at_hand = self.chain.body(&id);
            let at_hand =
                at_hand.filter(|block| logged.is_none() || block.bytes.len() <= COPIED_MAX);
            if let Some(block) = at_hand {
                let body = Message::block_body(request, &block.bytes).into();
                self.send_block(conn, lane, body);
            } else if let Some(lsn) = logged {
                serving.reading = true;
                serving.queue.push_front((request, id));
                let job = Job::ReadToSend { request, lsn };
                self.run(Owner::Serve(conn, lane), job);
            } else {
                let ids = vec![Hash(id.0)];
                self.send_in(conn, lane, &Message::NotFound { request, ids });
            }
        }
    }

    /// Sends a block. After some of them the next waits until the peer has taken those, so that
    /// what it asks for in one message does not lie in memory all at once.
    fn send_block(&mut self, conn: ConnId, lane: Lane, bytes: Arc<[u8]>) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.bytes_out += bytes.len() as u64;
        let serving = peer.serving.lane(lane);
        serving.sent += bytes.len();
        if serving.sent >= SERVE_AHEAD {
            (serving.sent, serving.awaits_room) = (0, true);
        }
        let awaits_room = serving.awaits_room;
        let (kind, lane) = (MessageKind::Block.byte(), lane.index() as u8);
        self.outputs.push_back(Output::Send {
            conn,
            lane,
            kind,
            bytes,
        });
        if awaits_room {
            self.outputs.push_back(Output::AwaitRoom { conn });
        }
    }

    /// A peer took what it was sent.
    pub(super) fn serve_more(&mut self, conn: ConnId) {
        for lane in [Lane::Bodies, Lane::History] {
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.serving.lane(lane).awaits_room = false;
                self.serve(conn, lane);
            }
        }
    }

    /// A block that a peer asked for was read.
    pub(super) fn serve_read(&mut self, conn: ConnId, lane: Lane, body: Result<Arc<[u8]>, String>) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let serving = peer.serving.lane(lane);
        serving.reading = false;
        let Some((request, id)) = serving.queue.pop_front() else {
            return;
        };
        match body {
            Ok(body) => self.send_block(conn, lane, body),
            Err(why) => {
                serving.queue.push_front((request, id));
                self.body_damaged(&id, &why);
            }
        }
        self.serve(conn, lane);
    }

    /// A peer does not have what it was asked for.
    pub(super) fn not_found(&mut self, conn: ConnId, lane: Lane, ids: &[Hash], now: Time) {
        if lane == Lane::Transactions {
            let ids: Vec<_> = ids.iter().map(|id| id.0.into()).collect();
            self.relay.not_found(conn, &ids, now);
        } else {
            let ids: Vec<_> = ids.iter().map(|id| BlockId(id.0)).collect();
            self.with_sync(now, |sync, chain, out| {
                sync.not_found(conn, &ids, chain, now, out);
            });
        }
    }
}
