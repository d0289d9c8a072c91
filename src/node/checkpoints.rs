//! A checkpoint's journey: from being due to a start that goes on from it.
//!
//! 1. One is due after so many blocks, so many bytes of them, or so many bytes of changed pages,
//!    and when nothing has happened for a while that a start would have to do again.
//! 2. Jobs make records of the pages of a clone of the tip's state, about a mebibyte each. Each
//!    step's records are on their way to the disk before the next begins. Blocks are executed
//!    meanwhile, but only until the changed pages take twice what makes a checkpoint due.
//! 3. When every page is durable, the record follows that names the checkpoint, and when that is
//!    durable, SUPER; then the segments go that no kept checkpoint needs.
//! 4. When no execution is under way, a job lets every state at hand go of the pages that the disk
//!    has now. Execution waits for it.
//!
//! What is in memory and what on the disk decides nothing but by numbers that are part of results
//! (`Measured`), so that a replay, which has everything in memory, decides the same.

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};
use crate::chain::{
    Chain, ChainState, CheckpointWriter, Executed, Kept, StateFailure, WrittenState,
};
use crate::store::{Append, Layout, Request, Upkeep};
use crate::types::{BlockId, Height};

use super::job::{CheckpointStep, Released};
use super::{Effect, Event, Job, Node, Output, Owner, Timer};

/// What a block has beside its transactions.
const HEADER_BYTES: u64 = 204;

/// When checkpoints are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointInterval {
    /// After so many blocks.
    pub blocks: u64,
    /// After so many bytes of blocks: what a start may have to execute again.
    pub block_bytes: u64,
    /// At so many bytes of changed pages; at twice as many execution waits.
    pub changed_bytes: u64,
    /// When nothing was executed for so long, and that many bytes of blocks or pages are there.
    pub quiet: Span,
    /// The least that is worth a checkpoint then.
    pub quiet_bytes: u64,
}

impl Default for CheckpointInterval {
    fn default() -> Self {
        Self {
            blocks: 1_000,
            block_bytes: 64 << 20,
            changed_bytes: 64 << 20,
            quiet: Span::from_secs(2),
            quiet_bytes: 2 << 20,
        }
    }
}

impl CheckpointInterval {
    /// How many blocks below the tip a state may be from which a branch is executed without being
    /// asked: the two newest checkpoints are that far away at most.
    pub(super) const fn cheap_reach(&self) -> u64 {
        self.blocks.saturating_mul(2)
    }
}

/// Where the making of a checkpoint stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// None is made.
    #[default]
    Idle,
    /// Pages are written.
    Pages,
    /// The record that names it is written.
    Naming,
    /// It is durable; states let go of its pages when no execution is under way.
    Durable,
    /// They do.
    Releasing,
    /// The state can't be read: nothing is executed on it, and no checkpoint made of it.
    Broken,
}

/// The checkpoints of a node, and how far the next one is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Checkpoints {
    kept: Kept,
    /// Where the state log goes on; none where there is no such log.
    layout: Option<Layout>,
    stage: Stage,
    /// Blocks executed since the node was opened.
    pub(super) executed: u64,
    /// Blocks executed since the block of the last one.
    blocks: u64,
    /// What they weigh, which is nearly their bytes.
    weight: u64,
    /// What the tip's state has in memory that the disk lacks, in bytes.
    pub(super) changed: u64,
    /// Whether nothing was executed for a while. It stays so until something is or a checkpoint
    /// begins: one that can't begin at once (another is being made, the disk is full) begins later.
    quiet: bool,
    /// What is kept when the one being made is named.
    next: Option<Kept>,
}

/// What a checkpoint that is being made consists of. A quiet node has none of it, so that it is no
/// part of a snapshot; a replay has the state alone.
#[derive(Debug, Default)]
pub(super) struct CheckpointWork {
    state: Option<Box<ChainState>>,
    writer: Option<Box<CheckpointWriter>>,
    written: Option<Box<WrittenState>>,
}

impl Checkpoints {
    /// Those of a log that goes on at `layout`.
    pub(super) fn new(kept: Kept, layout: Option<Layout>) -> Self {
        Self {
            kept,
            layout,
            ..Self::default()
        }
    }

    /// The height of the newest one that a start can go on from.
    pub(super) fn newest(&self) -> Height {
        let newest = self.kept.checkpoints().first();
        newest.map_or(Height::GENESIS, |newest| newest.height)
    }

    /// Blocks below this height are needed by nothing that the two newest checkpoints do not
    /// have: there is none where these may be the only ones that can be read.
    fn far_below(&self) -> Option<Height> {
        let second = self.kept.checkpoints().get(1)?;
        Some(Height(second.height.0.checked_sub(1)?))
    }

    fn is_due(&self, interval: &CheckpointInterval) -> bool {
        self.blocks >= interval.blocks
            || self.weight >= interval.block_bytes
            || self.changed >= interval.changed_bytes
    }

    /// Whether there is time for one now, and enough that a start would have to do again.
    fn is_worth_it(&self, interval: &CheckpointInterval) -> bool {
        let least = interval.quiet_bytes;
        self.quiet && (self.weight >= least || self.changed >= least)
    }

    /// Whether the state can't be read, so that the process ends.
    pub(super) fn is_broken(&self) -> bool {
        self.stage == Stage::Broken
    }

    /// Whether execution waits: for a checkpoint to take what is changed out of memory, or for
    /// states to let go of it.
    fn hold_execution(&self, interval: &CheckpointInterval) -> bool {
        match self.stage {
            Stage::Idle => false,
            Stage::Pages | Stage::Naming => self.changed >= 2 * interval.changed_bytes,
            Stage::Durable | Stage::Releasing => true,
            Stage::Broken => true,
        }
    }
}

/// Lets a chain begin at the newest checkpoint that leads to the tip that the log names. Those of
/// other branches stay usable.
pub(super) fn begin(chain: &mut Chain, tip: &BlockId, kept: &Kept, states: Vec<ChainState>) {
    let leads_to_tip = |chain: &Chain, state: &ChainState| {
        chain.tree().ancestor(tip, state.header.height) == Some(state.id)
    };
    let mut begun = false;
    for state in states {
        if chain.tree().height(&state.id).is_none() {
            continue;
        }
        if !begun && leads_to_tip(chain, &state) {
            begun = chain.begin_at(state);
        } else {
            chain.add_base(state);
        }
    }
    if !begun {
        chain.begin_at_genesis();
    } else {
        let kept: Vec<BlockId> = kept.checkpoints().iter().map(|kept| kept.id).collect();
        chain.keep_bases(&kept);
    }
}

impl Node {
    /// Whether blocks may be executed now.
    pub(super) fn may_execute(&self) -> bool {
        !self.checkpoints.hold_execution(&self.config.checkpoints)
    }

    /// Blocks were executed: a checkpoint comes nearer.
    pub(super) fn count_executed(&mut self, executed: &Executed, now: Time) {
        let weight = |(state, _): &(ChainState, _)| HEADER_BYTES + u64::from(state.weight);
        let blocks = executed.states.len() as u64;
        self.checkpoints.executed += blocks;
        self.checkpoints.blocks += blocks;
        self.checkpoints.weight += executed.states.iter().map(weight).sum::<u64>();
        self.checkpoints.changed = executed.changed;
        self.checkpoints.quiet = false;
        self.timers
            .set(Timer::Checkpoint, now + self.config.checkpoints.quiet);
    }

    /// Nothing was executed for a while.
    pub(super) const fn quiet(&mut self) {
        self.checkpoints.quiet = true;
    }

    /// Does what is due: begins a checkpoint, or lets states go of what one has.
    pub(super) fn make_checkpoint(&mut self) {
        let (checkpoints, interval) = (&self.checkpoints, &self.config.checkpoints);
        match checkpoints.stage {
            Stage::Idle
                if checkpoints.is_due(interval)
                    || checkpoints.is_worth_it(interval) && self.chain.is_settled() =>
            {
                self.begin_checkpoint();
            }
            Stage::Durable if !self.chain.is_executing() => self.release_pages(),
            _ => {}
        }
    }

    /// Keeps of old blocks where they stand in the log, a few at an event.
    pub(super) fn let_headers_go(&mut self) {
        if let Some(limit) = self.checkpoints.far_below() {
            self.chain.let_headers_go(limit);
        }
    }

    fn begin_checkpoint(&mut self) {
        let Some(layout) = self.checkpoints.layout.filter(|_| !self.disk_full) else {
            return;
        };
        // A start goes on from a checkpoint that leads to the tip that the log names.
        self.write_tip();
        let state = self.chain.tip_state().clone();
        let writer = CheckpointWriter::new(state.clone(), layout, &self.checkpoints.kept);
        (self.checkpoints.blocks, self.checkpoints.weight) = (0, 0);
        self.checkpoints.quiet = false;
        self.checkpoints.stage = Stage::Pages;
        self.checkpoint_work = CheckpointWork {
            state: Some(Box::new(state)),
            writer: Some(Box::new(writer)),
            written: None,
        };
        self.next_pages();
    }

    fn next_pages(&mut self) {
        let work = Job::Checkpoint {
            writer: self.checkpoint_work.writer.take(),
            kept: self.checkpoints.kept.clone(),
        };
        self.run(Owner::Checkpoint, work);
    }

    /// A step was made: its records go to the log, and the next step begins when they are there.
    pub(super) fn pages_made(&mut self, step: Result<CheckpointStep, StateFailure>) {
        let step = match step {
            Ok(_) if self.checkpoints.stage == Stage::Broken => return,
            Ok(step) => step,
            Err(failure) => return self.state_failed(&failure),
        };
        self.checkpoints.layout = Some(step.made.layout);
        self.checkpoints.next = step.made.kept;
        self.checkpoint_work.writer = step.writer;
        self.checkpoint_work.written = step.written;
        match step.made.last {
            Some(last) => {
                let effect = Effect::Pages { last };
                let durable = self.checkpoints.next.is_some();
                self.store_state(step.records, step.made.records, effect, durable, None);
            }
            None => self.pages_stored(),
        }
    }

    /// Every record made so far is in the log.
    pub(super) fn pages_stored(&mut self) {
        if self.checkpoints.stage == Stage::Broken {
            return;
        }
        let Some(next) = &self.checkpoints.next else {
            return self.next_pages();
        };
        let (Some(newest), Some(layout)) = (next.checkpoints().first(), self.checkpoints.layout)
        else {
            return;
        };
        self.checkpoints.stage = Stage::Naming;
        let effect = Effect::Checkpoint { at: newest.at };
        let needed = next.segments(&layout);
        let record = self.checkpoint_work.written.as_ref();
        let records = record.map(|written| written.record.clone());
        let then = Some(Upkeep::Checkpoint { needed });
        self.store_state(records.into_iter().collect(), 1, effect, true, then);
    }

    /// The checkpoint is durable, and a start goes on from it.
    pub(super) fn checkpoint_stored(&mut self) {
        if let Some(next) = self.checkpoints.next.take() {
            self.checkpoints.kept = next;
        }
        if self.checkpoints.stage != Stage::Broken {
            self.checkpoints.stage = Stage::Durable;
        }
        let newest = self.checkpoints.kept.checkpoints().first();
        if let Some((height, id)) = newest.map(|newest| (newest.height, newest.id)) {
            self.event(Event::Checkpoint { height, id });
        }
    }

    fn release_pages(&mut self) {
        let Some(base) = self.checkpoint_work.state.take() else {
            return;
        };
        self.checkpoints.stage = Stage::Releasing;
        let tip = self.chain.tip();
        let mut states = vec![self.chain.tip_state().clone()];
        let others = self.chain.states().into_iter();
        states.extend(others.filter(|state| state.id != tip));
        let work = Job::Release {
            written: self.checkpoint_work.written.take(),
            states,
            base,
        };
        self.run(Owner::Release, work);
    }

    /// The states at hand have less in memory now.
    pub(super) fn pages_released(&mut self, released: Released, now: Time) {
        if self.checkpoints.stage == Stage::Releasing {
            self.checkpoints.stage = Stage::Idle;
        }
        self.checkpoints.changed = released.changed;
        self.chain.replace_states(released.states);
        self.chain.add_base(*released.base);
        let kept = self.checkpoints.kept.checkpoints();
        let kept: Vec<BlockId> = kept.iter().map(|kept| kept.id).collect();
        self.chain.keep_bases(&kept);
        self.publish();
        self.advance(now);
    }

    /// The state can't be read, so that nothing can be executed on it. Checkpoints that may refer
    /// to what is damaged are used no more; the process ends when that is durable, and its next
    /// start goes on from an older one, or from the genesis block.
    pub(super) fn state_failed(&mut self, failure: &StateFailure) {
        if self.checkpoints.stage == Stage::Broken {
            return;
        }
        let why = failure.to_string();
        self.event(Event::DamagedLog { why });
        self.checkpoints.stage = Stage::Broken;
        self.leave_undecided(failure);
        self.checkpoints.kept.drop_from(failure.at);
        let newest = self.checkpoints.kept.checkpoints().first();
        let to = newest.map(|newest| newest.at);
        self.next_ticket += 1;
        self.effects.insert(self.next_ticket, Vec::new());
        self.outputs.push_back(Output::Store(Request {
            ticket: self.next_ticket,
            records: Vec::new(),
            sync: true,
            then: Some(Upkeep::GoBack { to }),
        }));
    }

    /// Appends `count` records to the state log, which a replay does not have. The last of them
    /// has the effect.
    fn store_state(
        &mut self,
        records: Vec<Append>,
        count: u32,
        effect: Effect,
        sync: bool,
        then: Option<Upkeep>,
    ) {
        self.next_ticket += 1;
        let mut effects = vec![Effect::Nothing; count.saturating_sub(1) as usize];
        effects.push(effect);
        self.effects.insert(self.next_ticket, effects);
        self.outputs.push_back(Output::Store(Request {
            ticket: self.next_ticket,
            records,
            sync,
            then,
        }));
    }
}
