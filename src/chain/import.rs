//! The one owner of chain state: how headers and blocks come in, and how the tip moves.
//!
//! A block's way in, each step behind a cheaper one:
//!
//! 1. its header is checked by itself and against its parent ([`Chain::add_header`]), and has a
//!    place in the tree from then on;
//! 2. its body is asked for, arrives, and a job checks it by itself ([`super::check_block`]);
//! 3. it goes to the log and counts as arrived ([`Chain::add_body`]): now its branch may be the
//!    one with the most work;
//! 4. if it is, [`Chain::next_step`] gives the job that executes what lies between the nearest
//!    known state and it, on a clone of that state;
//! 5. [`Chain::executed`] takes the new states and, once the branch has more work than the tip,
//!    moves the tip in one step: ledger, best chain and transaction index. A branch that fails
//!    leaves the tip as it was.

mod attempts;
mod best;
mod bodies;
mod damaged;
mod headers;
mod old;
mod places;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::sync::Arc;

use crate::base::Time;
use crate::consensus::{HeaderRules, UnsupportedEngine};
use crate::store::Lsn;
use crate::types::{BlockId, Genesis, GenesisId, Header, Height, Uint256};

use super::execute::{ChainState, ContextFault, Executed, Execution};
use super::refusal::HeaderRefusal;
use super::states::{Dropped, Route, STATES_MAX, States};
use super::tree::{Body, Entry, FrontSource, OldBlocks, Tree, Verdict};
use super::{ChainSnapshot, CheckedBlock, SortedPlaces, StateView};

pub(super) use attempts::Attempts;
pub(super) use damaged::Repair;

pub use attempts::{ATTEMPTS_MAX, Attempt};
pub use headers::{HeadersAfter, UnreadableHeader};

/// How many blocks below the tip a state may be from which a branch is executed again without
/// being asked, unless [`Chain::set_reach`] says otherwise: two intervals of checkpoints. A branch
/// that needs more is parked.
const CHEAP_REACH: u64 = 2_000;
/// How many bytes of blocks that leave the best chain are read back, so that their transactions
/// return to the mempool, which holds no more; and how many of those that enter it are kept for it
/// until the tip moves. What is not among them the mempool has to find out from the state.
const MOVING_BYTES_MAX: usize = 64 << 20;
/// How many blocks one execution job takes: enough to keep a worker busy, few enough that a new
/// best branch does not wait.
const RUN_BLOCKS_MAX: usize = 16;
/// How many bytes of blocks one execution job takes.
const RUN_BYTES_MAX: usize = 8 << 20;
/// How many blocks are read ahead of execution from the log.
pub const READS_MAX: usize = 8;
/// How many transactions of the best chain can be looked up by their id.
const INDEXED_TRANSACTIONS_MAX: usize = 200_000;
/// How many blocks are looked through for one, so that it takes less than a millisecond.
const INDEXED_BLOCKS_MAX: usize = 8_192;

/// What the chain wants done next.
#[derive(Debug)]
pub enum Step {
    /// Write down that this block is about to be executed for the first time, and then call
    /// [`Chain::begun`].
    Begin(Attempt),
    /// The branch with the most work is set aside: it forks off too deep.
    Park(ParkedBranch),
    /// Read a block from the log; [`Chain::body_read`] takes it.
    Read(BlockId, Lsn),
    /// Execute blocks; [`Chain::executed`] takes the result.
    Execute(Box<Execution>),
    /// The tip moved without an execution: the state after the best block was at hand.
    Moved(Box<TipChange>),
}

/// A branch that has the most work and is not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedBranch {
    /// Its first block.
    pub first: BlockId,
    /// Its tip.
    pub tip: BlockId,
    /// How many blocks of the best chain it would replace.
    pub depth: u64,
}

/// How the tip moved.
#[derive(Clone, Debug)]
pub struct TipChange {
    /// The tip before.
    pub from: BlockId,
    /// The tip now.
    pub to: BlockId,
    /// The height of the tip now.
    pub height: Height,
    /// The height of the highest block that both have.
    pub fork: Height,
    /// How many blocks left the best chain.
    pub depth: u64,
    /// The blocks that left the best chain, the highest first, as far as they are in memory.
    pub disconnected: Vec<Arc<CheckedBlock>>,
    /// The blocks that entered it, the lowest first, as far as they are in memory.
    pub connected: Vec<Arc<CheckedBlock>>,
    /// Whether both are whole: they are not where a record is damaged, or there is too much.
    pub is_whole: bool,
}

/// What came of an execution.
#[derive(Debug)]
pub struct Outcome {
    /// How the tip moved, if it did.
    pub moved: Option<TipChange>,
    /// The block that turned out to be invalid.
    pub invalid: Option<(BlockId, ContextFault)>,
}

/// The chain: every branch, the best one, and the states at its top.
pub struct Chain {
    genesis: Arc<Genesis>,
    genesis_id: GenesisId,
    rules: HeaderRules,
    tree: Tree,
    tip: BlockId,
    /// The best chain by height, above what the tree has of it as logged blocks: those are all in
    /// the best chain.
    best: Vec<BlockId>,
    states: States,
    bodies: BTreeMap<BlockId, Arc<CheckedBlock>>,
    body_order: VecDeque<BlockId>,
    body_bytes: usize,
    reading: BTreeSet<BlockId>,
    /// Blocks whose records can't be read.
    damaged: BTreeMap<BlockId, Repair>,
    executing: bool,
    /// The branch being executed: its tip and what is still ahead, the next block last.
    plan: Option<(BlockId, Vec<BlockId>)>,
    /// Attempts on blocks that were not executed before.
    attempts: Attempts,
    /// The first blocks of deep branches that somebody accepted.
    accepted: BTreeSet<BlockId>,
    /// Where recent transactions of the best chain are.
    indexed: VecDeque<(BlockId, SortedPlaces)>,
    indexed_transactions: usize,
    /// What is to be dropped elsewhere.
    dropped: Dropped,
    /// How many blocks below the tip a state may be that is executed from without being asked.
    reach: u64,
}

impl Chain {
    /// The chain of a genesis, at its genesis block.
    pub fn new(genesis: Arc<Genesis>) -> Result<Self, UnsupportedEngine> {
        Self::from_state(Arc::clone(&genesis), ChainState::genesis(&genesis))
    }

    /// The chain of a genesis, at its genesis block, whose state is at hand: many nodes of one
    /// process can share the memory of what they begin with.
    ///
    /// # Panics
    /// When the state is not that of the genesis block.
    pub fn from_state(genesis: Arc<Genesis>, state: ChainState) -> Result<Self, UnsupportedEngine> {
        let rules = HeaderRules::new(Arc::clone(&genesis))?;
        let genesis_id = genesis.id();
        let is_own = state.header.parent_id.0 == genesis_id.0;
        assert!(is_own, "a chain begins with its genesis block");
        let tree = Tree::new(state.header.clone(), state.header.work());
        Ok(Self {
            rules,
            genesis_id,
            genesis,
            tip: state.id,
            best: vec![state.id],
            tree,
            states: States::new(state),
            bodies: BTreeMap::new(),
            body_order: VecDeque::new(),
            body_bytes: 0,
            reading: BTreeSet::new(),
            damaged: BTreeMap::new(),
            executing: false,
            plan: None,
            attempts: Attempts::default(),
            accepted: BTreeSet::new(),
            indexed: VecDeque::new(),
            indexed_transactions: 0,
            dropped: Dropped::default(),
            reach: CHEAP_REACH,
        })
    }

    /// How many blocks below the tip a state may be from which a branch is executed again without
    /// being asked.
    pub fn set_reach(&mut self, blocks: u64) {
        self.reach = blocks;
        self.tree.set_reach(blocks);
    }

    /// The rules of its headers.
    #[must_use]
    pub const fn header_rules(&self) -> &HeaderRules {
        &self.rules
    }

    /// The chain's parameters.
    #[must_use]
    pub const fn genesis(&self) -> &Arc<Genesis> {
        &self.genesis
    }

    /// Which chain this is.
    #[must_use]
    pub const fn genesis_id(&self) -> &GenesisId {
        &self.genesis_id
    }

    /// Every branch.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The tip's id.
    #[must_use]
    pub const fn tip(&self) -> BlockId {
        self.tip
    }

    /// The tip's place in the tree.
    ///
    /// # Panics
    /// Never: the tip is in the tree.
    #[must_use]
    pub fn tip_entry(&self) -> &Entry {
        let tip = self.tree.in_memory(&self.tip);
        tip.expect("the tip is in the tree, and what is logged lies below it")
    }

    /// The state after the tip.
    #[must_use]
    pub fn tip_state(&self) -> &ChainState {
        self.state(&self.tip)
            .expect("the tip's state is never dropped")
    }

    /// Accounts and supply after the tip, for readers.
    #[must_use]
    pub fn tip_view(&self) -> StateView {
        let state = self.tip_state();
        state.ledger.view(state.id)
    }

    /// The state after a block, if it is among the newest.
    #[must_use]
    pub fn state(&self, id: &BlockId) -> Option<&ChainState> {
        self.states.get(id)
    }

    /// Begins at the state of a checkpoint whose block is in the tree. Says whether that could be
    /// done: its header may have to be read from the log.
    pub fn begin_at(&mut self, state: ChainState) -> bool {
        if !self.tree.make_top(&state.id) {
            return false;
        }
        self.best = self.above_logged(&state.id);
        for id in &self.best {
            self.tree.executed(id);
        }
        self.tip = state.id;
        self.states.restore(state.id, Some(state.clone()));
        self.states.add_base(state);
        true
    }

    /// The chain of a block, above what is logged of it.
    fn above_logged(&self, id: &BlockId) -> Vec<BlockId> {
        let logged = self.tree.logged_len();
        let below = |_: &BlockId, entry: &Entry| entry.header.height.0 < logged;
        self.tree.path_in_memory(id, below)
    }

    /// Whether an execution is under way.
    #[must_use]
    pub const fn is_executing(&self) -> bool {
        self.executing
    }

    /// Every state at hand.
    #[must_use]
    pub fn states(&self) -> Vec<ChainState> {
        self.states.all().cloned().collect()
    }

    /// Takes states that were at hand and have less in memory now.
    pub fn replace_states(&mut self, states: Vec<ChainState>) {
        for state in states {
            self.states.replace(state);
        }
    }

    /// Takes the state of a checkpoint, to which deep branches can go back.
    pub fn add_base(&mut self, state: ChainState) {
        self.states.add_base(state);
    }

    /// Lets the states of all checkpoints go but of these blocks'.
    pub fn keep_bases(&mut self, kept: &[BlockId]) {
        self.states.keep_bases(kept);
    }

    /// Keeps the state after a block at hand until it is [released](Self::release_state).
    pub fn hold_state(&mut self, id: BlockId) {
        self.states.hold(id);
    }

    /// Lets a state go that was held.
    pub fn release_state(&mut self, id: &BlockId) {
        self.states.release(id);
    }

    /// Checks a header, the cheapest check first, and gives it its place in the tree.
    pub fn add_header(&mut self, header: &Header, now: Time) -> Result<BlockId, HeaderRefusal> {
        let id = header.id();
        if self.tree.height(&id).is_some() {
            let entry = self.tree.in_memory(&id);
            return match entry.map(|entry| entry.verdict) {
                Some(Verdict::Invalid) => Err(HeaderRefusal::InvalidAncestor(id)),
                Some(Verdict::Open | Verdict::Parked) | None => Ok(id),
            };
        }
        // Its own work comes first, so that whoever sends headers has paid for each.
        self.rules
            .check_isolated_as(header, id)
            .map_err(HeaderRefusal::Fault)?;
        self.check_place(header, now)?;
        match self.tree.add_header(id, header.clone(), header.work()) {
            true => Ok(id),
            false => Err(self.lacks_parent(header)),
        }
    }

    /// Checks a header beside its parent, which must be in the tree, and by the clock; not its
    /// work.
    pub fn check_place(&self, header: &Header, now: Time) -> Result<(), HeaderRefusal> {
        let parent = self.tree.get(&header.parent_id);
        let parent = parent.ok_or_else(|| self.lacks_parent(header))?;
        if parent.verdict == Verdict::Invalid {
            return Err(HeaderRefusal::InvalidAncestor(header.parent_id));
        }
        let parent = (&parent.header).into();
        self.rules
            .check_in_context(header, &parent)
            .map_err(HeaderRefusal::Fault)?;
        // The local clock comes last: it is no rule of the chain.
        match self.rules.held_until(header, now) {
            Some(until) => Err(HeaderRefusal::Held { until }),
            None => Ok(()),
        }
    }

    /// Why a header's parent is not here.
    fn lacks_parent(&self, header: &Header) -> HeaderRefusal {
        let parent = header.parent_id;
        let below = header.height.0.checked_sub(1);
        match below.is_some_and(|below| self.tree.may_be_logged(&parent, Height(below))) {
            true => HeaderRefusal::UnreadableParent(parent),
            false => HeaderRefusal::UnknownParent(parent),
        }
    }

    /// Whether a block's body is wanted, be it parked: its header is in the tree, its body is not.
    #[must_use]
    pub fn wants_body(&self, id: &BlockId) -> bool {
        self.tree
            .in_memory(id)
            .is_some_and(|entry| entry.body == Body::Missing && entry.verdict != Verdict::Invalid)
    }

    /// Takes a block that passed its isolated checks and whose header is in the tree.
    pub fn add_body(&mut self, block: Arc<CheckedBlock>) {
        self.tree.body_arrived(&block.id);
        if let Some(repair) = self.damaged.get_mut(&block.id) {
            *repair = Repair::Arrived;
        }
        self.keep_body(block);
    }

    /// A block is invalid by itself: neither it nor what follows on it is wanted any more.
    pub fn condemn(&mut self, id: &BlockId) {
        self.tree.invalidate(id);
        self.plan = None;
    }

    /// Takes a block of the log at start: header and position, without its body.
    pub fn restore(&mut self, header: &Header, lsn: Lsn) -> Result<(), HeaderRefusal> {
        // It passed the check of a clock before it was logged. The clock of this life may be behind
        // that one, and what was shown stays all the same.
        let id = self.add_header(header, Time::from_micros(u64::MAX))?;
        self.tree.body_arrived(&id);
        self.tree.body_logged(&id, lsn);
        Ok(())
    }

    /// Makes the tip that the log names the first seen of its work.
    pub fn prefer(&mut self, tip: &BlockId) {
        self.tree.prefer(tip);
        // It was the tip, so it and all below it are valid.
        for id in self.tree.path_in_memory(tip, |_, entry| entry.executed) {
            self.tree.executed(&id);
        }
    }

    /// Notes where in the log a block is; its body may leave memory from now on.
    pub fn logged(&mut self, id: &BlockId, lsn: Lsn) {
        self.tree.body_logged(id, lsn);
        self.damaged.remove(id);
        self.trim_bodies();
    }

    /// Whether the tip is the best branch: nothing is left to execute.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.tree.best_candidate() == self.tip
    }

    /// Whether nothing is under way that leads to the best branch, once [`Self::next_step`] gave
    /// nothing: what it takes has to come from others.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        !self.executing && !self.attempts.beginning && self.reading.is_empty()
    }

    /// A block's body, if it is in memory.
    #[must_use]
    pub fn body(&self, id: &BlockId) -> Option<&Arc<CheckedBlock>> {
        self.bodies.get(id)
    }

    /// What is no longer needed, to be dropped where that may take its time.
    #[must_use]
    pub fn take_dropped(&mut self) -> Option<Dropped> {
        let dropped = mem::take(&mut self.dropped);
        (!dropped.is_empty()).then_some(dropped)
    }

    /// What to do next to bring the tip to the best branch, if anything. Ask again after each
    /// change: several reads may be under way, and one execution.
    pub fn next_step(&mut self) -> Option<Step> {
        let goal = self.tree.best_candidate();
        if goal == self.tip || self.executing || self.attempts.beginning {
            return None;
        }
        let planned = self.plan.as_ref().map(|(planned, _)| *planned);
        if planned != Some(goal) {
            let Some(route) = self.route(&goal, self.is_accepted(&goal)) else {
                return Some(Step::Park(self.park_branch(&goal)));
            };
            let mut ahead = route.ahead;
            ahead.reverse();
            self.plan = Some((goal, ahead));
        }
        if let Some(read) = self.next_read() {
            return Some(read);
        }
        if self
            .plan
            .as_ref()
            .is_some_and(|(_, ahead)| ahead.is_empty())
        {
            // As where a start has a checkpoint on a branch that the log's newest tip is not of.
            let moves = self.tree.is_better(&goal, &self.tip);
            let moves = moves && self.leaving_bodies_are_here(&goal);
            return moves.then(|| Step::Moved(Box::new(self.move_to_state(goal))));
        }
        let blocks = self.next_run();
        // The blocks that would leave the best chain are read back first: their transactions
        // return to the mempool in the same step.
        let first = blocks.first()?.header.parent_id;
        if !self.leaving_bodies_are_here(&goal) {
            return None;
        }
        let unproved = |block: &&Arc<CheckedBlock>| !self.was_executed(&block.id);
        if let Some(block) = blocks.iter().find(unproved)
            && let Some(attempt) = self.attempts.begin(block.id)
        {
            return Some(Step::Begin(attempt));
        }
        let Some(Route { base, undos, ahead }) = self.route(&first, self.is_accepted(&goal)) else {
            // The tip went on while blocks were read, and what was within reach no longer is.
            return Some(Step::Park(self.park_branch(&goal)));
        };
        if !ahead.is_empty() {
            // The state that the plan began with is gone: it begins further below.
            self.plan = None;
            return self.next_step();
        }
        self.executing = true;
        Some(Step::Execute(Box::new(Execution {
            genesis: Arc::clone(&self.genesis),
            base,
            undos,
            blocks,
        })))
    }

    /// The way to the state after a block. One that is not within cheap reach counts where `deep`.
    fn route(&self, to: &BlockId, deep: bool) -> Option<Route> {
        let top = self.top();
        self.states
            .route(&self.tree, &self.tip, to, &self.genesis, |base| {
                deep || top.saturating_sub(base.0) <= self.reach
            })
    }

    /// Whether somebody accepted the branch of `goal`, however deep it forks off.
    fn is_accepted(&self, goal: &BlockId) -> bool {
        // What is not in memory is in the best chain.
        let is_below = |(id, first): (&BlockId, &Entry)| {
            let ancestor = self.tree.ancestor(goal, first.header.height);
            ancestor == Some(*id) && !self.in_best_chain(id)
        };
        let accepted = self.accepted.iter();
        let mut accepted = accepted.filter_map(|id| Some((id, self.tree.in_memory(id)?)));
        accepted.any(is_below)
    }

    /// Sets the branch of `goal` aside.
    fn park_branch(&mut self, goal: &BlockId) -> ParkedBranch {
        let branch = self
            .tree
            .path_in_memory(goal, |id, _| self.in_best_chain(id));
        let first = *branch.first().unwrap_or(goal);
        let depth = self.top() - self.fork_height(goal);
        self.tree.park(&first);
        self.plan = None;
        ParkedBranch {
            first,
            tip: *goal,
            depth,
        }
    }

    /// Sets a block aside whose execution never came to an end, with all that follows on it.
    pub fn park(&mut self, id: &BlockId) {
        self.tree.park(id);
        self.plan = None;
    }

    /// Takes a parked branch back in, however deep it forks off: somebody said so. Gives its
    /// first block; none when `id` is not parked.
    pub fn accept_branch(&mut self, id: &BlockId) -> Option<BlockId> {
        let first = self.tree.unpark(id)?;
        self.accepted.insert(first);
        self.attempts.forget(&first);
        Some(first)
    }

    /// Takes note that these begin branches that somebody accepted before a restart.
    pub fn restore_accepted(&mut self, first: &[BlockId]) {
        self.accepted.extend(first);
    }

    fn was_executed(&self, id: &BlockId) -> bool {
        match self.tree.in_memory(id) {
            Some(entry) => entry.executed,
            None => self.tree.height(id).is_some(),
        }
    }

    /// The next blocks of the plan whose bodies are in memory, as many as one job takes.
    fn next_run(&self) -> Vec<Arc<CheckedBlock>> {
        let (mut blocks, mut bytes) = (Vec::new(), 0);
        let Some((_, ahead)) = &self.plan else {
            return blocks;
        };
        for id in ahead.iter().rev().take(RUN_BLOCKS_MAX) {
            let Some(block) = self.bodies.get(id) else {
                break;
            };
            bytes += block.bytes.len();
            let alone = self.attempts.is_suspect(id);
            if !blocks.is_empty() && (alone || bytes > RUN_BYTES_MAX) {
                break;
            }
            blocks.push(Arc::clone(block));
            if alone {
                break;
            }
        }
        blocks
    }

    /// Whether the blocks that would leave the best chain are in memory, as many as matter and can
    /// be read: what a damaged one had can't be given back.
    fn leaving_bodies_are_here(&self, goal: &BlockId) -> bool {
        let mut bytes = 0;
        for id in self.leaving(goal) {
            match self.bodies.get(&id) {
                Some(block) => bytes += block.bytes.len(),
                None if self.logged_at(&id).is_none() => {}
                None => return bytes > MOVING_BYTES_MAX,
            }
        }
        true
    }

    /// The blocks of the plan that are executed and not yet of the best chain, the lowest first, as
    /// many as the mempool will want to see.
    fn joining(&self, goal: &BlockId, next: Option<&BlockId>) -> Vec<BlockId> {
        let top = next.unwrap_or(goal);
        let mut path = self
            .tree
            .path_in_memory(top, |id, _| self.in_best_chain(id));
        if next.is_some() {
            path.pop();
        }
        let mut bytes = 0;
        let fits = |id: &BlockId| {
            bytes += self.bodies.get(id).map_or(0, |block| block.bytes.len());
            bytes <= MOVING_BYTES_MAX
        };
        path.into_iter().take_while(fits).collect()
    }

    /// The next block of the plan that must be read from the log.
    fn next_read(&mut self) -> Option<Step> {
        let (goal, ahead) = self.plan.as_ref()?;
        let needed = ahead.iter().rev().take(READS_MAX).copied();
        let mut bytes = 0;
        let within = self.leaving(goal).take_while(|id| {
            bytes += self.bodies.get(id).map_or(0, |block| block.bytes.len());
            bytes <= MOVING_BYTES_MAX
        });
        let needed: Vec<_> = needed.chain(within).collect();
        for id in needed {
            if self.reading.len() >= READS_MAX {
                break;
            }
            if self.bodies.contains_key(&id) || self.reading.contains(&id) {
                continue;
            }
            if let Some(lsn) = self.logged_at(&id) {
                self.reading.insert(id);
                return Some(Step::Read(id, lsn));
            }
        }
        None
    }

    /// Takes a block that was read from the log.
    pub fn body_read(&mut self, block: Arc<CheckedBlock>) {
        self.reading.remove(&block.id);
        self.keep_body(block);
    }

    /// Takes the result of an execution, and moves the tip if the branch is better now.
    pub fn executed(&mut self, executed: Executed) -> Outcome {
        self.executing = false;
        let reached = executed.states.last().map(|(state, _)| state.id);
        for (state, undo) in executed.states {
            if let Some((_, ahead)) = &mut self.plan
                && ahead.last() == Some(&state.id)
            {
                ahead.pop();
            }
            self.tree.executed(&state.id);
            self.attempts.succeeded(&state.id);
            self.states.add(state, undo, &mut self.dropped);
        }
        self.attempts.begun = None;
        if let Some((id, _)) = &executed.fault {
            self.tree.invalidate(id);
            self.plan = None;
        }
        let moved = reached
            .filter(|reached| self.tree.is_better(reached, &self.tip))
            .map(|reached| self.move_tip(reached));
        self.trim_states();
        self.trim_bodies();
        Outcome {
            moved,
            invalid: executed.fault,
        }
    }

    /// Moves the tip to a block whose state is at hand: every block up to it was executed once.
    fn move_to_state(&mut self, to: BlockId) -> TipChange {
        let joining = self
            .tree
            .path_in_memory(&to, |id, _| self.in_best_chain(id));
        for id in joining {
            self.tree.executed(&id);
        }
        // A checkpoint may go; the tip's state stays.
        let state = self.states.get(&to).cloned();
        self.states.restore(to, state);
        let moved = self.move_tip(to);
        self.trim_states();
        self.trim_bodies();
        moved
    }

    fn move_tip(&mut self, to: BlockId) -> TipChange {
        let from = self.tip;
        let shared = self.fork_height(&to) + 1;
        let leaving: Vec<BlockId> = self.leaving(&to).collect();
        let body = |id: &BlockId| self.bodies.get(id).map(Arc::clone);
        let disconnected: Vec<_> = leaving.iter().filter_map(body).collect();
        let joining = self
            .tree
            .path_in_memory(&to, |id, _| self.in_best_chain(id));
        let connected: Vec<_> = joining.iter().filter_map(body).collect();
        let left = self.top() + 1 - shared;
        let is_whole = (disconnected.len() as u64, connected.len()) == (left, joining.len());
        if shared < self.tree.logged_len() {
            // What leaves is judged like any branch from now on.
            let is_there = self.tree.make_top(&to);
            debug_assert!(is_there, "it was executed, and is in memory");
            let tree = &self.tree;
            self.damaged.retain(|id, _| tree.height(id).is_some());
            self.best.clear();
        } else {
            let kept = shared - self.tree.logged_len();
            self.best.truncate(kept as usize);
        }
        self.best.extend(joining);
        self.tip = to;
        for id in &leaving {
            self.unindex(id);
        }
        self.damaged_left(&leaving);
        for block in &connected {
            self.index_block(block);
        }
        let height = Height(self.top());
        TipChange {
            from,
            to,
            height,
            fork: Height(shared - 1),
            depth: left,
            disconnected,
            connected,
            is_whole,
        }
    }

    fn trim_states(&mut self) {
        let next = self.plan.as_ref().and_then(|(_, ahead)| ahead.last());
        let base = next.and_then(|id| self.tree.place(id));
        let base = base.map_or(self.tip, |(_, parent)| parent);
        // The newest are for readers, who are not interested in what the next run leaves behind.
        let most = if self.is_settled() { STATES_MAX } else { 0 };
        self.states.trim(most, &[self.tip, base], &mut self.dropped);
    }

    /// The chain as a value, without states and blocks.
    #[must_use]
    pub fn snapshot(&self) -> ChainSnapshot {
        ChainSnapshot {
            tree: self.tree.clone(),
            tip: self.tip,
            states: self.states.order().clone(),
            undos: self.states.undo_order().clone(),
            bases: self.states.bases().collect(),
            bodies: self.body_order.clone(),
            indexed: self.indexed.iter().map(|(id, _)| *id).collect(),
            reading: self.reading.clone(),
            damaged: self.damaged.clone(),
            executing: self.executing,
            plan: self.plan.clone(),
            attempts: self.attempts.clone(),
            accepted: self.accepted.clone(),
            state_root: self.tip_state().ledger.root(),
        }
    }

    /// Becomes the chain of a snapshot, given what it does not hold.
    pub(super) fn adopt(
        &mut self,
        snapshot: ChainSnapshot,
        states: States,
        bodies: Vec<Arc<CheckedBlock>>,
        indexed: Vec<(BlockId, SortedPlaces)>,
    ) {
        self.tree = snapshot.tree;
        // What was read to restore it is no part of its life.
        self.tree.begin_event();
        (self.tip, self.plan) = (snapshot.tip, snapshot.plan);
        self.best = self.above_logged(&self.tip);
        (self.attempts, self.accepted) = (snapshot.attempts, snapshot.accepted);
        self.damaged = snapshot.damaged;
        self.states = states;
        for block in bodies {
            self.body_bytes += block.bytes.len();
            self.body_order.push_back(block.id);
            self.bodies.insert(block.id, block);
        }
        for (id, places) in indexed {
            self.index_places(id, places);
        }
    }

    /// The work of a block's chain.
    #[must_use]
    pub fn work(&self, id: &BlockId) -> Uint256 {
        self.tree.get(id).map_or(Uint256::ZERO, |entry| entry.work)
    }
}

#[cfg(test)]
mod tests;
