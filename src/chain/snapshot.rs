//! The chain as a value that names blocks and holds no state.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::types::{BlockId, Genesis};

use super::import::{Attempts, Repair};
use super::states::States;
use super::tree::{FrontSource, Tree};
use super::{Chain, ChainState, CheckedBlock, Execution, read_back};

/// A chain without its states and blocks, which follow from the blocks' bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChainSnapshot {
    pub(super) tree: Tree,
    pub(super) tip: BlockId,
    pub(super) states: VecDeque<BlockId>,
    pub(super) undos: VecDeque<BlockId>,
    pub(super) bases: Vec<BlockId>,
    pub(super) bodies: VecDeque<BlockId>,
    pub(super) indexed: VecDeque<BlockId>,
    /// For the hash of a node that is busy; in a quiet moment nothing is read or executed.
    pub(super) reading: BTreeSet<BlockId>,
    pub(super) damaged: BTreeMap<BlockId, Repair>,
    pub(super) executing: bool,
    pub(super) plan: Option<(BlockId, Vec<BlockId>)>,
    pub(super) attempts: Attempts,
    pub(super) accepted: BTreeSet<BlockId>,
    /// The root after the tip, so that a hash of the chain covers every account.
    pub(super) state_root: crate::types::Hash,
}

/// Why a snapshot can't be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// The genesis's engine is not built.
    Engine,
    /// A block that it names was not given, or its bytes are damaged.
    MissingBlock(BlockId),
    /// A block does not execute to the state that its header names.
    WrongState(BlockId),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine => f.write_str("the chain's consensus engine is not part of this program"),
            Self::MissingBlock(id) => write!(f, "block {id} is missing or damaged"),
            Self::WrongState(id) => write!(f, "block {id} does not execute as its header says"),
        }
    }
}

impl std::error::Error for RestoreError {}

/// The bytes of blocks, by id.
pub(super) type BlockSource<'a> = &'a dyn Fn(&BlockId) -> Option<Arc<[u8]>>;

impl Chain {
    /// Restores the chain of a quiet moment: reads the bodies that were in memory, and computes
    /// the states that were, from the genesis block on. The headers of old blocks are in `fronts`.
    pub fn restore_snapshot(
        genesis: Arc<Genesis>,
        mut snapshot: ChainSnapshot,
        block: BlockSource<'_>,
        fronts: Arc<dyn FrontSource>,
    ) -> Result<Self, RestoreError> {
        snapshot.tree.restore_from(fronts);
        let mut chain = Self::new(Arc::clone(&genesis)).map_err(|_| RestoreError::Engine)?;
        let genesis_id = genesis.id();
        let read = |id: &BlockId| -> Result<Arc<CheckedBlock>, RestoreError> {
            let bytes = block(id).ok_or(RestoreError::MissingBlock(*id))?;
            let read = read_back(&genesis_id, &bytes);
            read.map(Arc::new)
                .map_err(|_| RestoreError::MissingBlock(*id))
        };
        let root = chain.tip_state().clone();
        let mut known: BTreeMap<BlockId, ChainState> = BTreeMap::from([(root.id, root.clone())]);
        let mut undos = BTreeMap::new();
        // Each state and each way back by itself, from the nearest that is known; the states of
        // one branch come after the other.
        let named = snapshot.undos.iter().chain(&snapshot.states);
        for id in named.chain(&snapshot.bases) {
            let (mut path, mut at) = (Vec::new(), *id);
            while !known.contains_key(&at) {
                path.push(at);
                at = match snapshot.tree.get(&at) {
                    Some(entry) => entry.header.parent_id,
                    // Its record was damaged, and the block is there from elsewhere.
                    None => read(&at)?.header.parent_id,
                };
            }
            for id in path.into_iter().rev() {
                let block = read(&id)?;
                let base = known.get(&block.header.parent_id);
                let base = base
                    .ok_or(RestoreError::MissingBlock(block.header.parent_id))?
                    .clone();
                let execution = Execution {
                    genesis: Arc::clone(&genesis),
                    base,
                    undos: Vec::new(),
                    blocks: vec![block],
                };
                let (state, undo) = execution
                    .run()
                    .states
                    .pop()
                    .ok_or(RestoreError::WrongState(id))?;
                known.insert(id, state);
                undos.insert(id, undo);
            }
        }
        let mut states = States::new(root);
        states.keep_bases(&snapshot.bases);
        for id in &snapshot.bases {
            if let Some(state) = known.get(id) {
                states.add_base(state.clone());
            }
        }
        for id in &snapshot.undos {
            states.restore_undo(*id, undos.get(id).map(Arc::clone));
        }
        for id in &snapshot.states {
            states.restore(*id, known.remove(id));
        }
        let bodies = snapshot
            .bodies
            .iter()
            .map(read)
            .collect::<Result<Vec<_>, _>>()?;
        // Of these nothing but the ids of their transactions is kept.
        let indexed = snapshot
            .indexed
            .iter()
            .map(|id| read(id).map(|block| (*id, Arc::clone(block.places()))))
            .collect::<Result<Vec<_>, _>>()?;
        chain.adopt(snapshot, states, bodies, indexed);
        Ok(chain)
    }
}
