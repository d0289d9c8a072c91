//! The way in of blocks that people outside bring, and of this node's own.
//!
//! 1. Its header is checked beside its parent and by the clock, its work included; a block that is
//!    early because its parent left it no choice is held, and taken up again when it is due;
//! 2. a job checks all that can be checked by itself, as for a block of a peer; one that this node
//!    assembled consists of what was checked before;
//! 3. it goes to the log, and nobody sees it before it is durable there;
//! 4. it joins the tree where blocks of peers do. Whoever brought it is answered when the chain
//!    has decided about it and that is durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};
use crate::chain::tree::{Body, Verdict};
use crate::chain::{CheckedBlock, ContextFault, HeaderRefusal, IsolatedFault, StateFailure};
use crate::consensus::ParentView;
use crate::p2p::Bounded;
use crate::types::{BlockId, Header, Millis, Rules, Seal};

use super::work::{BlockRefusal, Submitted, TemplateId};
use super::{CallError, CallId, Effect, Job, Node, Owner, Reply, Timer, header_of};

/// How many blocks may be on this way at once: each has cost its work, but bodies have up to
/// 4 MiB.
pub(super) const PENDING_MAX: usize = 8;
/// How many blocks are held until they are due.
const HELD_MAX: usize = 8;

/// What whoever brings a block is told when the state can't be read.
const UNDECIDED: &str = "the block is not decided about, because the node's state is damaged and \
                         the node ends; ask for it again after its next start";

/// A block on its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pending {
    parent: BlockId,
    /// Who wants to know what becomes of it.
    calls: Vec<CallId>,
    /// Whether its record is in the log.
    durable: bool,
}

/// A block that is ahead of the clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Held {
    id: BlockId,
    parent: BlockId,
    due: Time,
    bytes: Vec<u8>,
}

/// The blocks that were brought and are not decided about.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Submissions {
    pending: BTreeMap<BlockId, Pending>,
    held: Vec<Held>,
}

impl Submissions {
    /// How many blocks are on their way here.
    pub(super) fn sizes(&self) -> [Bounded; 2] {
        [
            ("blocks that were brought", self.pending.len(), PENDING_MAX),
            (
                "blocks that are held until they are due",
                self.held.len(),
                HELD_MAX,
            ),
        ]
        .map(|(what, held, limit)| Bounded { what, held, limit })
    }

    /// Whether a child of this block is on its way: another would compete with it.
    pub(super) fn has_child_of(&self, parent: &BlockId) -> bool {
        let pending = self.pending.values().map(|pending| &pending.parent);
        let held = self.held.iter().map(|held| &held.parent);
        pending.chain(held).any(|found| found == parent)
    }
}

/// A block as it is brought.
pub(super) enum Brought {
    /// Bytes that nobody has looked at.
    Bytes(Vec<u8>),
    /// A block of transactions that were checked one by one.
    Assembled(Box<CheckedBlock>),
}

impl Node {
    /// Somebody brings a block.
    pub(super) fn block_submitted(&mut self, call: CallId, bytes: Vec<u8>, now: Time) {
        if let Err(refusal) = self.takes_blocks() {
            return self.answer(call, Err(refusal));
        }
        match header_of(&bytes) {
            Ok(header) => self.bring(Some(call), &header, Brought::Bytes(bytes), now),
            Err(error) => {
                let fault = IsolatedFault::Malformed(error);
                self.refuse_block(&[call], &BlockRefusal::Isolated(fault));
            }
        }
    }

    /// Whether a block can be decided about, and kept, now.
    pub(super) fn takes_blocks(&self) -> Result<(), CallError> {
        if !self.ready {
            Err(CallError::Starting)
        } else if self.checkpoints.is_broken() {
            Err(CallError::Failed(UNDECIDED.to_owned()))
        } else if self.disk_full {
            Err(CallError::DiskFull)
        } else {
            Ok(())
        }
    }

    /// Nothing more is executed in this process: whoever waits for a decision about a block is
    /// told so.
    pub(super) fn leave_undecided(&mut self, failure: &StateFailure) {
        for pending in std::mem::take(&mut self.submissions.pending).into_values() {
            for call in pending.calls {
                let why = format!("{UNDECIDED}: {}", failure.why);
                self.answer(call, Err(CallError::Failed(why)));
            }
        }
    }

    /// Somebody has found a nonce for a template.
    pub(super) fn work_submitted(
        &mut self,
        call: CallId,
        id: TemplateId,
        (found, time): (u64, Option<Millis>),
        now: Time,
    ) {
        if let Err(refusal) = self.takes_blocks() {
            return self.answer(call, Err(refusal));
        }
        let Some((template, issued)) = self.templates.find(&id, now) else {
            return self.refuse_block(&[call], &BlockRefusal::UnknownWork(id));
        };
        let mut header = template.header.clone();
        header.time = time.unwrap_or(issued);
        if let Seal::Work { nonce, .. } = &mut header.seal {
            *nonce = found;
        }
        // The block is put together when its work is done, and not for whoever claims so.
        if let Err(fault) = self.chain.header_rules().check_isolated(&header) {
            return self.refuse_block(&[call], &fault.into());
        }
        let block = Brought::Assembled(Box::new(template.block(header.clone())));
        self.bring(Some(call), &header, block, now);
    }

    /// A block begins its way; `call` is told what becomes of it.
    pub(super) fn bring(
        &mut self,
        call: Option<CallId>,
        header: &Header,
        block: Brought,
        now: Time,
    ) {
        let id = header.id();
        if let Some(pending) = self.submissions.pending.get_mut(&id) {
            pending.calls.extend(call);
            return;
        }
        let calls: Vec<CallId> = call.into_iter().collect();
        if let Some(entry) = self.chain.tree().get(&id) {
            if entry.verdict == Verdict::Invalid {
                return self.refuse_block(&calls, &BlockRefusal::DuplicateInvalid(id));
            }
            if entry.body != Body::Missing {
                return self.tell_submitted(&calls, header, Submitted::Duplicate);
            }
        }
        match self.check_brought(header, now) {
            Ok(()) => {}
            Err(Stop::Refused(refusal)) => return self.refuse_block(&calls, &refusal),
            Err(Stop::Early(until)) => {
                let bytes = match block {
                    Brought::Bytes(bytes) => bytes,
                    Brought::Assembled(block) => block.bytes.to_vec(),
                };
                return self.hold(&calls, header, bytes, until);
            }
        }
        if self.submissions.pending.len() >= PENDING_MAX {
            for call in calls {
                self.answer(call, Err(CallError::Busy));
            }
            return;
        }
        let parent = header.parent_id;
        let pending = Pending {
            parent,
            calls,
            durable: false,
        };
        self.submissions.pending.insert(id, pending);
        match block {
            Brought::Assembled(block) => self.brought_checked(id, Ok(Arc::new(*block)), now),
            Brought::Bytes(bytes) => {
                let work = self.chain.work(&parent).saturating_add(header.work());
                let job = Job::CheckBlocks {
                    genesis: Arc::clone(self.chain.genesis()),
                    rules: Box::new(self.chain.header_rules().clone()),
                    genesis_id: *self.chain.genesis_id(),
                    blocks: vec![(bytes, work)],
                };
                self.run(Owner::Brought(id), job);
            }
        }
    }

    /// The rules of a header that is brought: its work, its place, and the clock.
    fn check_brought(&self, header: &Header, now: Time) -> Result<(), Stop> {
        let rules = self.chain.header_rules();
        rules
            .check_isolated(header)
            .map_err(|fault| Stop::Refused(fault.into()))?;
        self.chain
            .check_place(header, now)
            .map_err(|refusal| self.stopped_by(header, refusal, now))
    }

    /// A block that is early is held when its time is the earliest that its parent allows, so that
    /// nobody could have made it otherwise; else its maker chose a time that is too late.
    fn stopped_by(&self, header: &Header, refusal: HeaderRefusal, now: Time) -> Stop {
        let until = match refusal {
            HeaderRefusal::UnknownParent(id) | HeaderRefusal::UnreadableParent(id) => {
                return BlockRefusal::UnknownParent(id).into();
            }
            HeaderRefusal::InvalidAncestor(id) => return BlockRefusal::InvalidAncestor(id).into(),
            HeaderRefusal::Fault(fault) => return BlockRefusal::from(fault).into(),
            HeaderRefusal::Held { until } => until,
        };
        let parent = self.chain.tree().get(&header.parent_id);
        let earliest = parent.map(|parent| {
            let parent = ParentView::from(&parent.header);
            self.chain.header_rules().earliest_child(&parent)
        });
        if earliest == Some(header.time) {
            return Stop::Early(until);
        }
        let limit = Rules::at(&self.config.genesis, header.height).future_limit_ms();
        let latest = Millis(now.as_millis().saturating_add(limit));
        let found = header.time;
        BlockRefusal::TimeTooNew { latest, found }.into()
    }

    fn hold(&mut self, calls: &[CallId], header: &Header, bytes: Vec<u8>, until: Time) {
        let id = header.id();
        let held = &mut self.submissions.held;
        if held.iter().all(|held| held.id != id) {
            if held.len() >= HELD_MAX {
                for call in calls {
                    self.answer(*call, Err(CallError::Busy));
                }
                return;
            }
            held.push(Held {
                id,
                parent: header.parent_id,
                due: until,
                bytes,
            });
            self.timers.set_earlier(Timer::Held, until);
        }
        self.tell_submitted(calls, header, Submitted::Held { until });
    }

    /// Takes up the blocks that are not ahead of the clock any more.
    pub(super) fn take_up_held(&mut self, now: Time) {
        if self.disk_full {
            // They could not be kept; there may be room again soon.
            self.timers.set(Timer::Held, now + Span::from_secs(1));
            return;
        }
        let held = std::mem::take(&mut self.submissions.held);
        let (due, early): (Vec<_>, Vec<_>) = held.into_iter().partition(|held| held.due <= now);
        if let Some(next) = early.iter().map(|held| held.due).min() {
            self.timers.set(Timer::Held, next);
        }
        self.submissions.held = early;
        for held in due {
            let header = header_of(&held.bytes).expect("its header was read before it was held");
            self.bring(None, &header, Brought::Bytes(held.bytes), now);
        }
    }

    /// A block that was brought was checked by itself: a good one goes to the log.
    pub(super) fn brought_checked(
        &mut self,
        id: BlockId,
        checked: Result<Arc<CheckedBlock>, IsolatedFault>,
        now: Time,
    ) {
        let block = match checked {
            Ok(block) => block,
            Err(fault) => return self.drop_pending(&id, &BlockRefusal::Isolated(fault)),
        };
        // Its place was looked at before the job; its parent can have turned out invalid since.
        if let Err(refusal) = self.chain.add_header(&block.header, now) {
            let Stop::Refused(refusal) = self.stopped_by(&block.header, refusal, now) else {
                return self
                    .drop_pending(&id, &BlockRefusal::UnknownParent(block.header.parent_id));
            };
            return self.drop_pending(&id, &refusal);
        }
        self.store_block(&block, true, Effect::Own(Arc::clone(&block)));
    }

    /// A block that was brought is in the log: from now on it may be seen.
    pub(super) fn brought_stored(&mut self, block: Arc<CheckedBlock>, now: Time) {
        if let Some(pending) = self.submissions.pending.get_mut(&block.id) {
            pending.durable = true;
        }
        self.chain.add_body(block);
        self.advance(now);
    }

    fn drop_pending(&mut self, id: &BlockId, refusal: &BlockRefusal) {
        if let Some(pending) = self.submissions.pending.remove(id) {
            self.refuse_block(&pending.calls, refusal);
        }
    }

    /// Answers for every block about which the chain has decided. `invalid` is what an execution
    /// found just now.
    pub(super) fn decide_submissions(&mut self, invalid: Option<&(BlockId, ContextFault)>) {
        if self.submissions.pending.is_empty() {
            return;
        }
        let durable = self.submissions.pending.iter();
        let durable = durable.filter(|(_, pending)| pending.durable);
        let ids: Vec<BlockId> = durable.map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(decision) = self.decision(&id, invalid)
                && let Some(pending) = self.submissions.pending.remove(&id)
            {
                match (decision, self.chain.tree().get(&id)) {
                    (Ok(outcome), Some(entry)) => {
                        let header = entry.header.clone();
                        self.tell_submitted(&pending.calls, &header, outcome);
                    }
                    (Ok(_), None) => {}
                    (Err(refusal), _) => self.refuse_block(&pending.calls, &refusal),
                }
            }
        }
    }

    /// What the chain has decided about a block, if it has.
    fn decision(
        &self,
        id: &BlockId,
        invalid: Option<&(BlockId, ContextFault)>,
    ) -> Option<Result<Submitted, BlockRefusal>> {
        let tree = self.chain.tree();
        let entry = tree.get(id)?;
        if entry.verdict == Verdict::Invalid {
            return Some(Err(match invalid {
                Some((found, fault)) if found == id => BlockRefusal::Context(fault.clone()),
                _ => BlockRefusal::InvalidAncestor(entry.header.parent_id),
            }));
        }
        if self.chain.in_best_chain(id) {
            return self.is_shown(id).then_some(Ok(Submitted::Accepted));
        }
        if !tree.is_complete(id) {
            return Some(Ok(Submitted::Inconclusive));
        }
        let is_next = tree.is_better(id, &self.chain.tip()) && !self.chain.is_settled();
        (!is_next).then_some(Ok(Submitted::SideBranch))
    }

    fn tell_submitted(&mut self, calls: &[CallId], header: &Header, outcome: Submitted) {
        let (id, height) = (header.id(), header.height);
        for call in calls {
            let reply = Reply::Submitted {
                id,
                height,
                outcome,
            };
            self.answer(*call, Ok(reply));
        }
    }

    fn refuse_block(&mut self, calls: &[CallId], refusal: &BlockRefusal) {
        for call in calls {
            self.answer(*call, Err(CallError::Block(refusal.clone())));
        }
    }

    /// Somebody asks whether a block would be valid if its work were done. It must be a child of
    /// the tip; a job checks the rest.
    pub(super) fn block_proposed(&mut self, call: CallId, bytes: Vec<u8>, now: Time) {
        if !self.ready {
            return self.answer(call, Err(CallError::Starting));
        }
        let is_proposal = |owner: &&Owner| matches!(owner, Owner::Proposal(_));
        let under_way = self.jobs.values().filter(is_proposal).count();
        match self.check_proposed(&bytes, now) {
            Ok(()) if under_way >= PENDING_MAX => self.answer(call, Err(CallError::Busy)),
            Ok(()) => {
                let job = Job::CheckProposal {
                    rules: Box::new(self.chain.header_rules().clone()),
                    genesis_id: *self.chain.genesis_id(),
                    base: Box::new(self.chain.tip_state().clone()),
                    bytes: bytes.into(),
                };
                self.run(Owner::Proposal(call), job);
            }
            Err(refusal) => self.answer(call, Ok(Reply::Proposed(Err(refusal)))),
        }
    }

    fn check_proposed(&self, bytes: &[u8], now: Time) -> Result<(), BlockRefusal> {
        let header = header_of(bytes)
            .map_err(|error| BlockRefusal::Isolated(IsolatedFault::Malformed(error)))?;
        let tip = self.chain.tip();
        if header.parent_id != tip {
            return Err(BlockRefusal::NotOnTip { tip });
        }
        self.chain.header_rules().check_target(&header)?;
        match self.chain.check_place(&header, now) {
            Ok(()) => Ok(()),
            Err(refusal) => match self.stopped_by(&header, refusal, now) {
                // Its time is the earliest there can be: it would be held, and taken later.
                Stop::Early(_) => Ok(()),
                Stop::Refused(refusal) => Err(refusal),
            },
        }
    }

    pub(super) fn proposal_checked(
        &mut self,
        call: CallId,
        verdict: Result<Result<(), BlockRefusal>, StateFailure>,
    ) {
        match verdict {
            Ok(verdict) => self.answer(call, Ok(Reply::Proposed(verdict))),
            Err(error) => {
                self.state_failed(&error);
                self.answer(call, Err(CallError::Failed(error.to_string())));
            }
        }
    }
}

/// Why a block goes no further now.
enum Stop {
    Refused(BlockRefusal),
    /// It is ahead of the clock until then, by no fault of its maker's.
    Early(Time),
}

impl From<BlockRefusal> for Stop {
    fn from(refusal: BlockRefusal) -> Self {
        Self::Refused(refusal)
    }
}
