//! What a node finds in its log at start.

use std::collections::{BTreeMap, BTreeSet};

use crate::chain::checkpoint::Checkpoint;
use crate::chain::{Attempt, ChainState, Kept, KeptCheckpoint};
use crate::codec::{Decode, Reader};
use crate::store::{Failure, Kind, Layout, Log, Lsn, Reader as LogReader, Store};
use crate::types::{BlockId, Header, Transaction, WtxId, wtxid_of};

use super::BLOCK_RECORD_PREFIX;
use super::blocks::{ATTEMPT_ENDED, ATTEMPT_PARKED};

/// An Accepted record's body begins with the time it was received.
const ACCEPTED_PREFIX: usize = 8;

/// What a node found in its log.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Every block of the block log, in its order.
    pub blocks: Vec<(Lsn, Header)>,
    /// The tip that the log names last.
    pub tip: Option<BlockId>,
    /// An attempt to execute a block that never came to an end.
    pub unfinished: Option<Attempt>,
    /// Blocks that were parked because every attempt on them ended with the process.
    pub parked: Vec<BlockId>,
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
    /// Reads the logs of a store that was opened. Of blocks the headers alone are read: damage in
    /// their transactions is found when they are executed or asked for.
    /// `was_clean` says whether the last process ended as it should: then it left nothing
    /// unfinished on its own account.
    pub fn read(store: &mut Store, was_clean: bool) -> Result<Self, Failure> {
        let (mut blocks, mut tip) = (Vec::new(), None);
        let (mut unfinished, mut parked) = (None, BTreeSet::new());
        store.skim(Log::Blocks, Lsn::default(), |lsn, kind, body| match kind {
            Kind::Block => blocks.extend(header_at_front(body).map(|header| (lsn, header))),
            Kind::Tip => {
                let to = body.get(32..64).and_then(|to| to.try_into().ok());
                tip = to.map(BlockId).or(tip);
                unfinished = None;
            }
            Kind::Executing => {
                let Some((id, rest)) = body
                    .split_first_chunk()
                    .map(|(id, rest)| (BlockId(*id), rest))
                else {
                    return;
                };
                unfinished = None;
                match rest.first() {
                    Some(&ATTEMPT_ENDED) => {
                        parked.remove(&id);
                    }
                    Some(&ATTEMPT_PARKED) => {
                        parked.insert(id);
                    }
                    Some(&number) => unfinished = Some(Attempt { id, number }),
                    None => {}
                }
            }
            _ => {}
        })?;
        let journal = JournalFound::read(store)?;
        let checkpoints = Checkpoints::find(store);
        Ok(Self {
            kept: Kept::of(checkpoints.kept),
            states: checkpoints.states,
            layout: Some(store.layout(Log::State)),
            damaged: checkpoints.damaged,
            blocks,
            tip,
            unfinished: unfinished.filter(|_| !was_clean),
            parked: parked.into_iter().collect(),
            journal,
            genesis: None,
        })
    }
}

/// The header of a block, of whose record the front is shown. The id before it says whether it is
/// whole: nothing else was checked.
fn header_at_front(front: &[u8]) -> Option<Header> {
    let header = Header::decode(&mut Reader::new(front.get(BLOCK_RECORD_PREFIX..)?)).ok()?;
    front.starts_with(&header.id().0).then_some(header)
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
