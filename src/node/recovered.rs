//! What a node finds in its log at start.

mod old;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::chain::checkpoint::Checkpoint;
use crate::chain::{
    Attempt, Chain, ChainState, Front, FrontSource, Kept, KeptCheckpoint, OldBlocks,
};
use crate::codec::Decode;
use crate::store::{Failure, Kind, Layout, Log, Lsn, Reader as LogReader, Store};
use crate::types::{BlockId, Header, Transaction, WtxId, wtxid_of};

use super::blocks::{ATTEMPT_ACCEPTED, ATTEMPT_ENDED, ATTEMPT_PARKED};

/// An Accepted record's body begins with the time it was received.
const ACCEPTED_PREFIX: usize = 8;

/// Headers of blocks, and where these stand in the log.
pub type FoundBlocks = Vec<(Lsn, Header)>;

/// What a node found in its log.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The blocks of the block log, in its order, but for the old ones.
    pub blocks: FoundBlocks,
    /// Old blocks of the best chain that were not read.
    pub old: Option<OldBlocks>,
    /// The log, of which the headers of old blocks are read when they are needed.
    pub log: Option<FoundLog>,
    /// The tip that the log names last.
    pub tip: Option<BlockId>,
    /// An attempt to execute a block that never came to an end.
    pub unfinished: Option<Attempt>,
    /// Blocks that were parked because every attempt on them ended with the process.
    pub parked: Vec<BlockId>,
    /// The first blocks of branches that somebody accepted, however deep they fork off.
    pub accepted: Vec<BlockId>,
    /// What the journal holds.
    pub journal: JournalFound,
    /// The checkpoints that are kept and can be used.
    pub kept: Kept,
    /// Their states, the newest first.
    pub states: Vec<ChainState>,
    /// Where the state log goes on.
    pub layout: Option<Layout>,
    /// Why checkpoints that are kept can't be used.
    pub damaged: Vec<String>,
    /// The state after the genesis block, where the driver has it: nodes of one process share its
    /// memory then, and none makes it.
    pub genesis: Option<ChainState>,
}

/// A log of blocks that was found.
#[derive(Clone)]
pub struct FoundLog(pub Arc<dyn FrontSource>);

impl fmt::Debug for FoundLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FoundLog")
    }
}

/// What a node found in its journal.
#[derive(Clone, Debug, Default)]
pub struct JournalFound {
    /// Accepted transactions that did not leave for good, with where their newest records stand:
    /// each account's in the order of their nonces.
    pub accepted: Vec<(Lsn, Transaction)>,
    /// How long the journal's segments are.
    pub segment_size: u64,
    /// The first segment that is kept.
    pub first_segment: u64,
    /// Where the next record will stand, or a little before it.
    pub end: Lsn,
}

impl JournalFound {
    fn read(store: &mut Store) -> Result<Self, Failure> {
        let (segment_size, end) = (store.segment_size(Log::Journal), store.end(Log::Journal));
        let first_segment = store.first_segment(Log::Journal);
        let mut accepted: BTreeMap<WtxId, (Lsn, Transaction)> = BTreeMap::new();
        store.replay(Log::Journal, Lsn::default(), |lsn, kind, body| match kind {
            Kind::Accepted => {
                let bytes = body.get(ACCEPTED_PREFIX..).unwrap_or_default();
                // What no longer decodes was accepted under other rules.
                if let Ok(transaction) = Transaction::from_bytes(bytes) {
                    accepted.insert(wtxid_of(bytes), (lsn, transaction));
                }
            }
            Kind::Gone => {
                let wtxid = body.try_into().ok().map(|bytes: [u8; 32]| bytes.into());
                wtxid.and_then(|wtxid: WtxId| accepted.remove(&wtxid));
            }
            _ => {}
        })?;
        let mut accepted: Vec<_> = accepted.into_values().collect();
        accepted.sort_by_cached_key(|(lsn, transaction)| {
            (transaction.sender(), transaction.nonce, *lsn)
        });
        Ok(Self {
            accepted,
            segment_size,
            first_segment,
            end,
        })
    }
}

impl Recovered {
    /// Reads the logs of a store that was opened. Of old blocks the tables of contents are read
    /// where they suffice, of others the headers: damage in their transactions is found when they
    /// are executed or asked for. `was_clean` says whether the last process ended as it should:
    /// then it left nothing unfinished on its own account.
    pub fn read(store: &mut Store, was_clean: bool) -> Result<Self, Failure> {
        let checkpoints = Checkpoints::find(store);
        let found = match checkpoints.states.get(1) {
            Some(second) => old::look(store, second)?,
            None => None,
        };
        let (old, skimmed) = match found {
            Some(found) => (Some(found.old), found.skimmed),
            None => (None, Skimmed::read(store, Lsn::default())?),
        };
        let journal = JournalFound::read(store)?;
        let header = |(at, front): (Lsn, Front)| (at, front.header);
        Ok(Self {
            kept: Kept::of(checkpoints.kept),
            states: checkpoints.states,
            layout: Some(store.layout(Log::State)),
            damaged: checkpoints.damaged,
            blocks: skimmed.blocks.into_iter().map(header).collect(),
            old,
            log: Some(FoundLog(Arc::new(store.reader()))),
            tip: skimmed.tip,
            unfinished: skimmed.unfinished.filter(|_| !was_clean),
            parked: skimmed.parked.into_iter().collect(),
            accepted: skimmed.accepted.into_iter().collect(),
            journal,
            genesis: None,
        })
    }

    /// Every block of the block log of which as much as the header can be read, in its order, and
    /// the tip that the log names last.
    pub fn every_block(store: &mut Store) -> Result<(FoundBlocks, Option<BlockId>), Failure> {
        let skimmed = Skimmed::read(store, Lsn::default())?;
        let header = |(at, front): (Lsn, Front)| (at, front.header);
        Ok((
            skimmed.blocks.into_iter().map(header).collect(),
            skimmed.tip,
        ))
    }

    /// Gives a chain that has nothing yet the blocks.
    pub(super) fn restore_blocks(&mut self, chain: &mut Chain) {
        if let Some(FoundLog(source)) = self.log.take() {
            chain.read_from(source);
        }
        if let Some(old) = self.old.take() {
            chain.restore_old(&old);
        }
        let mut blocks = std::mem::take(&mut self.blocks);
        // Bodies are logged as they come, and a child's may come before its parent's. Of one
        // height the first logged stays the first seen.
        blocks.sort_by_key(|(_, header)| header.height);
        for (lsn, header) in &blocks {
            // A header that no longer passes was written under other rules: it stays aside.
            let _ = chain.restore(header, *lsn);
        }
    }

    /// Where the blocks stand.
    pub fn positions(&self) -> impl Iterator<Item = Lsn> {
        let old = self.old.iter();
        let old = old.flat_map(|old| old.positions().chain([old.above().0]));
        old.chain(self.blocks.iter().map(|(at, _)| *at))
    }
}

/// What the records of the block log say, from one on.
#[derive(Default)]
struct Skimmed {
    blocks: Vec<(Lsn, Front)>,
    /// Whether some records may be of blocks that are not among these, because they are damaged.
    lacks_blocks: bool,
    tip: Option<BlockId>,
    unfinished: Option<Attempt>,
    parked: BTreeSet<BlockId>,
    accepted: BTreeSet<BlockId>,
}

impl Skimmed {
    /// Looks at the records from the begin of a segment on: of a block at as much as its header.
    /// The id before it says whether that is whole: nothing else is checked.
    fn read(store: &mut Store, from: Lsn) -> Result<Self, Failure> {
        let mut skimmed = Self::default();
        let damage = store.skim(Log::Blocks, from, |lsn, kind, body| match kind {
            Kind::Block => match Front::of_record(body) {
                Some(front) => skimmed.blocks.push((lsn, front)),
                None => skimmed.lacks_blocks = true,
            },
            Kind::Tip => {
                let to = body.get(32..64).and_then(|to| to.try_into().ok());
                skimmed.tip = to.map(BlockId).or(skimmed.tip);
                skimmed.unfinished = None;
            }
            Kind::Executing => skimmed.attempt(body),
            _ => {}
        })?;
        skimmed.lacks_blocks |= !damage.is_empty();
        Ok(skimmed)
    }

    /// An Executing record.
    fn attempt(&mut self, body: &[u8]) {
        let Some((id, rest)) = body.split_first_chunk() else {
            return;
        };
        let id = BlockId(*id);
        if rest.first() == Some(&ATTEMPT_ACCEPTED) {
            // It says nothing of what is being executed meanwhile.
            self.parked.remove(&id);
            self.accepted.insert(id);
            self.unfinished.take_if(|attempt| attempt.id == id);
            return;
        }
        self.unfinished = None;
        match rest.first() {
            Some(&ATTEMPT_ENDED) => {
                self.parked.remove(&id);
            }
            Some(&ATTEMPT_PARKED) => {
                self.parked.insert(id);
            }
            Some(&number) => self.unfinished = Some(Attempt { id, number }),
            None => {}
        }
    }
}

/// What the state log has.
#[derive(Default)]
struct Checkpoints {
    kept: Vec<KeptCheckpoint>,
    states: Vec<ChainState>,
    damaged: Vec<String>,
}

impl Checkpoints {
    /// The checkpoints that SUPER's names, and itself. When its record is damaged, those that can
    /// be found: the newest that can be used and whatever is older.
    fn find(store: &Store) -> Self {
        let mut found = Self::default();
        let Some(newest) = store.checkpoint() else {
            return found;
        };
        let reader = store.reader();
        let positions = match Checkpoint::read(&reader, newest) {
            Ok(checkpoint) => [&[newest], checkpoint.older.as_slice()].concat(),
            Err(error) => {
                found.damaged.push(error.to_string());
                positions(store, &reader, newest)
            }
        };
        for at in positions {
            found.take(&reader, at);
        }
        found
    }

    fn take(&mut self, reader: &LogReader, at: Lsn) {
        let checkpoint = Checkpoint::read(reader, at).map_err(|error| error.to_string());
        let opened = checkpoint.and_then(|checkpoint| {
            let state = checkpoint.open(reader).map_err(|error| error.to_string())?;
            Ok((KeptCheckpoint::new(at, &checkpoint), state))
        });
        match opened {
            Ok((kept, state)) => {
                self.kept.push(kept);
                self.states.push(state);
            }
            Err(why) => self.damaged.push(why),
        }
    }
}

/// Where records of checkpoints stand below a position, the newest first.
fn positions(store: &Store, reader: &LogReader, below: Lsn) -> Vec<Lsn> {
    let layout = store.layout(Log::State);
    let mut positions = Vec::new();
    for segment in 0..=layout.segment_of(below) {
        // A segment that is gone has none.
        let _ = reader.walk(
            Log::State,
            layout.first_of(segment),
            u64::MAX,
            |at, kind, _| {
                if kind == Kind::Checkpoint && at < below {
                    positions.push(at);
                }
            },
        );
    }
    positions.reverse();
    positions
}

#[cfg(test)]
mod tests;
