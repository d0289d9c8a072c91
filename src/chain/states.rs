//! The states that are at hand, and the ways back from them.
//!
//! *Owns* the states after the newest blocks, the inverses of the blocks below them, and the bases
//! that lie deeper. *Invariants*: the state after the tip is at hand, so are those that somebody
//! holds; the rest is bounded in number and bytes, the oldest go first. *Never* computes a state:
//! a job does, from what [`States::route`] names.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::types::{BlockId, Genesis, Height};

use super::execute::Undo;
use super::tree::Tree;
use super::{ChainState, CheckedBlock};

/// How many of the newest states are at hand for readers and proofs, once nothing is left to
/// execute.
pub(super) const STATES_MAX: usize = 8;
/// How many blocks can be undone. Zebra raised the same bound from 99 to 1,000 against lasting
/// splits.
pub(super) const UNDOS_MAX: usize = 1_000;
/// How many bytes of inverses are kept, which is some hundred full blocks.
const UNDO_BYTES_MAX: usize = 64 << 20;

/// How to come to the state after a block.
#[derive(Debug)]
pub(super) struct Route {
    /// The state to begin at.
    pub(super) base: ChainState,
    /// The blocks to undo from there, the newest first.
    pub(super) undos: Vec<Arc<Undo>>,
    /// The blocks to execute then, in order of height.
    pub(super) ahead: Vec<BlockId>,
}

/// What is no longer needed. To free a state, an inverse or a block means to free thousands of
/// pieces of memory, which takes longer than an event of the node may.
#[derive(Debug, Default)]
pub struct Dropped {
    pub(super) states: Vec<ChainState>,
    pub(super) undos: Vec<Arc<Undo>>,
    pub(super) bodies: Vec<Arc<CheckedBlock>>,
}

impl Dropped {
    pub(super) const fn is_empty(&self) -> bool {
        self.states.is_empty() && self.undos.is_empty() && self.bodies.is_empty()
    }
}

/// The states at hand.
#[derive(Debug)]
pub(super) struct States {
    /// The genesis block, whose state is made anew when it is needed.
    genesis: BlockId,
    /// States that stay until they are let go: those of the checkpoints that are kept, and as long
    /// as there is none the genesis block's.
    bases: BTreeMap<(Height, BlockId), ChainState>,
    recent: BTreeMap<BlockId, ChainState>,
    order: VecDeque<BlockId>,
    undos: BTreeMap<BlockId, Arc<Undo>>,
    undo_order: VecDeque<BlockId>,
    undo_bytes: usize,
    /// How often each state is held.
    held: BTreeMap<BlockId, u32>,
}

impl States {
    pub(super) fn new(genesis: ChainState) -> Self {
        Self {
            genesis: genesis.id,
            bases: BTreeMap::from([((genesis.header.height, genesis.id), genesis)]),
            recent: BTreeMap::new(),
            order: VecDeque::new(),
            undos: BTreeMap::new(),
            undo_order: VecDeque::new(),
            undo_bytes: 0,
            held: BTreeMap::new(),
        }
    }

    /// The state after a block, if it is at hand.
    pub(super) fn get(&self, id: &BlockId) -> Option<&ChainState> {
        self.recent.get(id).or_else(|| self.base(id))
    }

    /// Every state at hand.
    pub(super) fn all(&self) -> impl Iterator<Item = &ChainState> {
        self.recent.values().chain(self.bases.values())
    }

    /// The blocks whose states are bases.
    pub(super) fn bases(&self) -> impl Iterator<Item = BlockId> {
        self.bases.values().map(|state| state.id)
    }

    /// Puts a state in the place of the same one with more of it in memory.
    pub(super) fn replace(&mut self, state: ChainState) {
        if let Some(recent) = self.recent.get_mut(&state.id) {
            *recent = state.clone();
        }
        if let Some(base) = self.bases.get_mut(&(state.header.height, state.id)) {
            *base = state;
        }
    }

    /// Takes the state of a checkpoint.
    pub(super) fn add_base(&mut self, state: ChainState) {
        self.bases.insert((state.header.height, state.id), state);
    }

    /// Lets the bases go that are not among these.
    pub(super) fn keep_bases(&mut self, kept: &[BlockId]) {
        self.bases.retain(|(_, id), _| kept.contains(id));
    }

    /// Keeps a state until [`release`](Self::release) is called as often.
    pub(super) fn hold(&mut self, id: BlockId) {
        *self.held.entry(id).or_default() += 1;
    }

    pub(super) fn release(&mut self, id: &BlockId) {
        if let Some(count) = self.held.get_mut(id) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(id);
            }
        }
    }

    /// Takes a new state, and the way back from it.
    pub(super) fn add(&mut self, state: ChainState, undo: Arc<Undo>, dropped: &mut Dropped) {
        let id = state.id;
        self.restore(id, Some(state));
        self.restore_undo(id, Some(undo));
        while self.undos.len() > UNDOS_MAX || self.undo_bytes > UNDO_BYTES_MAX {
            let Some(oldest) = self.undo_order.pop_front() else {
                break;
            };
            if let Some(undo) = self.undos.remove(&oldest) {
                self.undo_bytes -= undo.bytes();
                dropped.undos.push(undo);
            }
        }
    }

    /// Puts a state back in its place.
    pub(super) fn restore(&mut self, id: BlockId, state: Option<ChainState>) {
        if let Some(state) = state
            && self.recent.insert(id, state).is_none()
        {
            self.order.push_back(id);
        }
    }

    /// Puts a way back in its place.
    pub(super) fn restore_undo(&mut self, id: BlockId, undo: Option<Arc<Undo>>) {
        let Some(undo) = undo else {
            return;
        };
        self.undo_bytes += undo.bytes();
        if let Some(old) = self.undos.insert(id, undo) {
            self.undo_bytes -= old.bytes();
        } else {
            self.undo_order.push_back(id);
        }
    }

    /// Lets the oldest states go beyond `most`, except those that are held and those of `needed`.
    pub(super) fn trim(&mut self, most: usize, needed: &[BlockId], dropped: &mut Dropped) {
        let mut passes = self.order.len();
        while self.recent.len() > most && passes > 0 {
            passes -= 1;
            let Some(id) = self.order.pop_front() else {
                break;
            };
            if needed.contains(&id) || self.held.contains_key(&id) {
                self.order.push_back(id);
            } else {
                dropped.states.extend(self.recent.remove(&id));
            }
        }
    }

    /// The way to the state after `goal` that executes the fewest blocks: from a state at hand, or
    /// back from `tip`. Bases count only where `deep` says so, because everything between them and
    /// the goal is executed again.
    pub(super) fn route(
        &self,
        tree: &Tree,
        tip: &BlockId,
        goal: &BlockId,
        genesis: &Genesis,
        deep: impl Fn(Height) -> bool,
    ) -> Option<Route> {
        let (mut ahead, mut undos) = (Vec::new(), Vec::new());
        let (mut at, mut back) = (*goal, Some(*tip));
        let (base, undos) = loop {
            if let Some(state) = self.recent.get(&at) {
                break (state.clone(), Vec::new());
            }
            let (height, parent) = tree.place(&at)?;
            let base = self.base(&at).filter(|_| deep(height));
            if let Some(state) = base {
                break (state.clone(), Vec::new());
            }
            if at == self.genesis && deep(Height::GENESIS) {
                break (ChainState::genesis(genesis), Vec::new());
            }
            while let Some(above) = back
                && tree.height(&above)? > height
            {
                let undo = self.undos.get(&above);
                undos.extend(undo.map(Arc::clone));
                back = undo.map(|undo| undo.parent());
            }
            if back == Some(at) {
                break (self.get(tip)?.clone(), undos);
            }
            ahead.push(at);
            at = parent;
        };
        ahead.reverse();
        Some(Route { base, undos, ahead })
    }

    fn base(&self, id: &BlockId) -> Option<&ChainState> {
        self.bases.values().find(|state| state.id == *id)
    }

    /// The blocks whose states are at hand, the oldest first.
    pub(super) const fn order(&self) -> &VecDeque<BlockId> {
        &self.order
    }

    /// The blocks that can be undone, the oldest first.
    pub(super) const fn undo_order(&self) -> &VecDeque<BlockId> {
        &self.undo_order
    }
}
