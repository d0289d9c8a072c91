//! Slow work as values: what workers run on threads, the simulator inline, and a replay again.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::chain::state::PageSource;
use crate::chain::{
    Assembly, ChainState, CheckedBlock, CheckedTransaction, CheckpointWriter, Dropped, Executed,
    Execution, FrontSource, HeadersAfter, IsolatedFault, Kept, Prospect, SignatureBench,
    StateFailure, Template, Unfit, UnreadableHeader, VerifiedCache, WrittenState, check_blocks,
    check_proposal, check_transactions, read_back,
};
use crate::codec::{Encode, Writer};
use crate::consensus::HeaderRules;
use crate::crypto::sha256::search;
use crate::store::{Append, Kind, Layout, Log, Lsn, Reader};
use crate::types::{
    CompactBits, Genesis, GenesisId, Header, Height, Rules, Seal, Transaction, Uint256,
};
use crate::wire::Message;
use crate::wire::message::RequestId;

use super::work::BlockRefusal;

/// Blocks as the log has them.
pub trait BlockReader: FrontSource {
    /// The wire bytes of the block whose record is at `lsn`, or why they can't be read.
    fn read_block(&self, lsn: Lsn) -> Result<Arc<[u8]>, String>;

    /// Pages of the state log, with these segments held, or why there are none.
    fn pages(&self, segments: &BTreeSet<u64>) -> Result<Arc<dyn PageSource>, String> {
        let _ = segments;
        Err("there is no state log here".to_owned())
    }
}

/// A Block record's body begins with the block's id and the work of its chain.
pub const BLOCK_RECORD_PREFIX: usize = 32 + 32;

impl BlockReader for Reader {
    fn read_block(&self, lsn: Lsn) -> Result<Arc<[u8]>, String> {
        let record = self
            .read(Log::Blocks, lsn)
            .map_err(|error| error.to_string())?;
        match (record.kind, record.body.get(BLOCK_RECORD_PREFIX..)) {
            (Kind::Block, Some(bytes)) => Ok(bytes.into()),
            _ => Err(format!("the record at {lsn} of the block log is no block")),
        }
    }

    fn pages(&self, segments: &BTreeSet<u64>) -> Result<Arc<dyn PageSource>, String> {
        let pages = self.holding(Log::State, segments.iter().copied());
        let pages = pages.map_err(|error| error.to_string())?;
        Ok(Arc::new(pages))
    }
}

/// What the log keeps of a block whose chain has this much work.
#[must_use]
pub fn block_record(block: &CheckedBlock, work: &Uint256) -> Append {
    let mut body = Writer::with_capacity(BLOCK_RECORD_PREFIX + block.bytes.len());
    block.id.encode(&mut body);
    body.bytes(&work.to_le_bytes());
    body.bytes(&block.bytes);
    Append::new(Log::Blocks, Kind::Block, body.into_bytes())
}

/// Where a worker does jobs: what it keeps from one to the next, and the log it reads.
pub struct Workbench {
    signatures: SignatureBench,
    reader: Arc<dyn BlockReader>,
}

impl Workbench {
    /// A workbench. `secret` is fresh randomness that weighs signatures in a batch; no result
    /// depends on it.
    #[must_use]
    pub fn new(secret: [u8; 32], reader: Arc<dyn BlockReader>) -> Self {
        Self::sharing(secret, reader, Arc::default())
    }

    /// How many signatures were verified here.
    #[cfg(test)]
    pub(crate) const fn signatures_verified(&self) -> usize {
        self.signatures.count
    }

    /// From now on its jobs read this log.
    pub fn read_from(&mut self, reader: Arc<dyn BlockReader>) {
        self.reader = reader;
    }

    /// A workbench of several that tell each other which transactions were verified. No result
    /// depends on that either.
    #[must_use]
    pub fn sharing(
        secret: [u8; 32],
        reader: Arc<dyn BlockReader>,
        verified: Arc<VerifiedCache>,
    ) -> Self {
        Self {
            signatures: SignatureBench::new(secret, verified),
            reader,
        }
    }
}

/// A piece of slow work. A function of its value, and for `Read` of the log.
#[derive(Debug)]
pub enum Job {
    /// Check blocks, each by itself.
    CheckBlocks {
        /// The chain's parameters.
        genesis: Arc<Genesis>,
        /// The rules of its headers.
        rules: Box<HeaderRules>,
        /// The chain.
        genesis_id: GenesisId,
        /// The blocks as they came, each with the work of its chain.
        blocks: Vec<(Vec<u8>, Uint256)>,
    },
    /// Check transactions: by themselves, and whether the next block has a place for them.
    CheckTransactions {
        /// The chain's parameters.
        genesis: Arc<Genesis>,
        /// The chain.
        genesis_id: GenesisId,
        /// The height they would be mined at.
        height: Height,
        /// The block that they would be in; none where they are wanted in any case.
        prospect: Option<Box<Prospect>>,
        /// The transactions.
        transactions: Vec<Transaction>,
    },
    /// Check a block whose work nobody has done yet, by itself and on the state of its parent.
    CheckProposal {
        /// The rules of its header.
        rules: Box<HeaderRules>,
        /// The chain.
        genesis_id: GenesisId,
        /// The state after its parent.
        base: Box<ChainState>,
        /// The block.
        bytes: Arc<[u8]>,
    },
    /// Execute blocks on a state.
    Execute(Box<Execution>),
    /// Assemble a block.
    Assemble(Box<Assembly>),
    /// Try nonces.
    Search {
        /// The header, whose nonce is varied.
        header: Box<Header>,
        /// The first nonce.
        start: u64,
        /// How many.
        count: u64,
    },
    /// Free what is no longer needed.
    Discard(Dropped),
    /// Read a block from the log as a peer is sent it, with the number of its request.
    ReadToSend {
        /// The number of the request.
        request: RequestId,
        /// Where the block's record stands.
        lsn: Lsn,
    },
    /// Read headers of old blocks from the log.
    ReadHeaders(Box<HeadersAfter>),
    /// Read a block from the log.
    Read {
        /// The chain.
        genesis_id: GenesisId,
        /// Where its record stands.
        lsn: Lsn,
    },
    /// Make records of the next pages of a checkpoint.
    Checkpoint {
        /// What makes them; none in a replay, which takes what was measured.
        writer: Option<Box<CheckpointWriter>>,
        /// The checkpoints that are kept so far.
        kept: Kept,
    },
    /// Let states go of the pages that a checkpoint has.
    Release {
        /// The checkpoint; none in a replay, which has every page in memory.
        written: Option<Box<WrittenState>>,
        /// The states, the tip's first.
        states: Vec<ChainState>,
        /// The state that the checkpoint is of.
        base: Box<ChainState>,
    },
}

/// What came of a check of transactions, one verdict for each.
pub type CheckedTransactions = Vec<Result<Arc<CheckedTransaction>, Unfit>>;

/// What came of a [`Job`].
#[derive(Debug)]
pub enum JobResult {
    /// Of `CheckBlocks`, in the same order: good ones with what the log keeps of them.
    Blocks(Vec<Result<(Arc<CheckedBlock>, Append), IsolatedFault>>),
    /// Of `CheckTransactions`, in the same order.
    Transactions(Result<CheckedTransactions, StateFailure>),
    /// Of `CheckProposal`.
    Proposal(Result<Result<(), BlockRefusal>, StateFailure>),
    /// Of `Execute`.
    Executed(Executed),
    /// Of `Assemble`.
    Assembled(Result<Box<Template>, StateFailure>),
    /// Of `Search`: a nonce that meets the target, if one of those tried does.
    Found(Option<u64>),
    /// Of `Discard`.
    Discarded,
    /// Of `ReadToSend`: the body of a BLOCK message.
    ToSend(Result<Arc<[u8]>, String>),
    /// Of `ReadHeaders`: as many as could be read, and what could not.
    Headers(Vec<Header>, Option<UnreadableHeader>),
    /// Of `Read`.
    Read(Result<Arc<CheckedBlock>, String>),
    /// Of `Checkpoint`.
    Checkpoint(Result<CheckpointStep, StateFailure>),
    /// Of `Release`.
    Released(Released),
}

/// What came of a step of a checkpoint.
#[derive(Debug, Default)]
pub struct CheckpointStep {
    /// What the node decides by.
    pub made: Made,
    /// The records to append, and what goes on from there; nothing in a replay.
    pub records: Vec<Append>,
    /// What makes the next ones, while some are left.
    pub writer: Option<Box<CheckpointWriter>>,
    /// The checkpoint, when none is left.
    pub written: Option<Box<WrittenState>>,
}

/// What a step of a checkpoint made, as far as the node decides by it. It depends on what is in
/// memory and what on the disk, so a recording has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// How many records.
    pub records: u32,
    /// Where the last of them will stand, if there are any.
    pub last: Option<Lsn>,
    /// Where the state log goes on behind them.
    pub layout: Layout,
    /// When all pages have their records: what is kept from then on.
    pub kept: Option<Kept>,
}

/// States that let go of pages.
#[derive(Debug)]
pub struct Released {
    /// The states, with less in memory than they had.
    pub states: Vec<ChainState>,
    /// The state of the checkpoint.
    pub base: Box<ChainState>,
    /// What the first of the states has in memory that the disk lacks, in bytes.
    pub changed: u64,
}

/// What a result says of this machine rather than of the job's value. A recording has it, and a
/// replay takes it from there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measured {
    /// Nothing.
    #[default]
    Nothing,
    /// How many blocks were executed before a page could not be read, if one could not, and what
    /// the last state has in memory.
    Executed {
        /// The bytes in memory that the disk lacks.
        changed: u64,
        /// How many blocks, and why the next was not, in the case of a failure.
        failure: Option<(u32, StateFailure)>,
    },
    /// A step of a checkpoint.
    Checkpoint(Result<Made, StateFailure>),
    /// What the tip's state still has in memory that the disk lacks, in bytes.
    Released(u64),
    /// A state can't be read.
    Unreadable(StateFailure),
    /// A block can't be read, and why.
    Damaged(String),
    /// A header can't be read.
    UnreadableHeader(UnreadableHeader),
}

impl JobResult {
    /// What a recording must have of it.
    #[must_use]
    pub fn measured(&self) -> Measured {
        match self {
            Self::Executed(executed) => Measured::Executed {
                changed: executed.changed,
                failure: executed
                    .failure
                    .as_ref()
                    .map(|why| (executed.states.len() as u32, why.clone())),
            },
            Self::Checkpoint(Ok(step)) => Measured::Checkpoint(Ok(step.made.clone())),
            Self::Checkpoint(Err(why)) => Measured::Checkpoint(Err(why.clone())),
            Self::Assembled(Err(why)) | Self::Proposal(Err(why)) | Self::Transactions(Err(why)) => {
                Measured::Unreadable(why.clone())
            }
            Self::Released(released) => Measured::Released(released.changed),
            Self::Read(Err(why)) | Self::ToSend(Err(why)) => Measured::Damaged(why.clone()),
            Self::Headers(_, Some(unreadable)) => Measured::UnreadableHeader(*unreadable),
            _ => Measured::Nothing,
        }
    }

    /// Why a block or a header could not be read, if one could not.
    #[must_use]
    pub fn unread(&self) -> Option<&str> {
        match self {
            Self::Read(Err(why)) | Self::ToSend(Err(why)) => Some(why),
            Self::Headers(_, Some(_)) => Some("the header of an old block can't be read"),
            _ => None,
        }
    }

    /// The result as it was where it was recorded.
    #[must_use]
    pub fn as_measured(self, measured: Measured) -> Self {
        match (self, measured) {
            (Self::Executed(mut executed), Measured::Executed { changed, failure }) => {
                executed.changed = changed;
                if let Some((states, why)) = failure {
                    executed.states.truncate(states as usize);
                    (executed.fault, executed.failure) = (None, Some(why));
                }
                Self::Executed(executed)
            }
            (Self::Checkpoint(_), Measured::Checkpoint(made)) => {
                Self::Checkpoint(made.map(|made| CheckpointStep {
                    made,
                    records: Vec::new(),
                    writer: None,
                    written: None,
                }))
            }
            (Self::Released(released), Measured::Released(changed)) => Self::Released(Released {
                changed,
                ..released
            }),
            (Self::Assembled(_), Measured::Unreadable(why)) => Self::Assembled(Err(why)),
            (Self::Proposal(_), Measured::Unreadable(why)) => Self::Proposal(Err(why)),
            (Self::Transactions(_), Measured::Unreadable(why)) => Self::Transactions(Err(why)),
            (Self::Headers(mut headers, _), Measured::UnreadableHeader(unreadable)) => {
                headers.truncate(unreadable.read as usize);
                Self::Headers(headers, Some(unreadable))
            }
            (Self::Read(_), Measured::Damaged(why)) => Self::Read(Err(why)),
            (Self::ToSend(_), Measured::Damaged(why)) => Self::ToSend(Err(why)),
            (result, _) => result,
        }
    }
}

impl Job {
    /// What kind of work it is, for logs and the cost tables of the simulator.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CheckBlocks { .. } => "check-blocks",
            Self::CheckTransactions { .. } => "check-transactions",
            Self::CheckProposal { .. } => "check-proposal",
            Self::Execute(_) => "execute",
            Self::Assemble(_) => "assemble",
            Self::Search { .. } => "search",
            Self::Discard(_) => "discard",
            Self::ReadToSend { .. } => "read-to-send",
            Self::ReadHeaders(_) => "read-headers",
            Self::Read { .. } => "read",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Release { .. } => "release",
        }
    }

    /// Whether it goes before work of the other kind that waits. Executions do, because each waits
    /// for the one before and all that was checked waits for them; and what takes little time or
    /// is waited for by somebody; and what frees memory, of which a synchronisation would leave a
    /// gigabyte behind checks of blocks. These fill the cores with what is left of them.
    #[must_use]
    pub const fn is_urgent(&self) -> bool {
        !matches!(
            self,
            Self::CheckBlocks { .. }
                | Self::Search { .. }
                | Self::ReadToSend { .. }
                | Self::ReadHeaders(_)
        )
    }

    /// Does the work.
    #[must_use]
    pub fn run(self, bench: &mut Workbench) -> JobResult {
        match self {
            Self::CheckBlocks {
                genesis,
                rules,
                genesis_id,
                blocks,
            } => {
                let bench = &mut bench.signatures;
                let (blocks, works): (Vec<Arc<[u8]>>, Vec<Uint256>) = blocks
                    .into_iter()
                    .map(|(bytes, work)| (Arc::from(bytes), work))
                    .unzip();
                let checked = check_blocks(&genesis, &rules, &genesis_id, &blocks, bench);
                let with_record = |(checked, work): (Result<CheckedBlock, _>, Uint256)| {
                    checked.map(|block| {
                        let record = block_record(&block, &work);
                        (Arc::new(block), record)
                    })
                };
                JobResult::Blocks(checked.into_iter().zip(works).map(with_record).collect())
            }
            Self::CheckTransactions {
                genesis,
                genesis_id,
                height,
                prospect,
                transactions,
            } => {
                let rules = Rules::at(&genesis, height);
                let bench = &mut bench.signatures;
                let prospect = prospect.as_deref();
                let checked = check_transactions(&genesis_id, rules, prospect, transactions, bench);
                JobResult::Transactions(checked.map_err(StateFailure::from))
            }
            Self::CheckProposal {
                rules,
                genesis_id,
                base,
                bytes,
            } => {
                let bench = &mut bench.signatures;
                JobResult::Proposal(propose(&rules, &genesis_id, *base, &bytes, bench))
            }
            Self::Execute(execution) => JobResult::Executed(execution.run()),
            Self::Assemble(assembly) => {
                let template = assembly.run().map(Box::new);
                JobResult::Assembled(template.map_err(StateFailure::from))
            }
            Self::Search {
                header,
                start,
                count,
            } => JobResult::Found(search_header(&header, start, count)),
            Self::Discard(dropped) => {
                drop(dropped);
                JobResult::Discarded
            }
            Self::ReadHeaders(after) => {
                let (headers, unreadable) = after.read(&*bench.reader);
                JobResult::Headers(headers, unreadable)
            }
            Self::ReadToSend { request, lsn } => {
                let block = bench.reader.read_block(lsn);
                JobResult::ToSend(block.map(|block| Message::block_body(request, &block).into()))
            }
            Self::Read { genesis_id, lsn } => {
                JobResult::Read(bench.reader.read_block(lsn).and_then(|bytes| {
                    let block = read_back(&genesis_id, &bytes);
                    block
                        .map(Arc::new)
                        .map_err(|error| format!("the block at {lsn}: {error}"))
                }))
            }
            Self::Checkpoint { writer, kept } => JobResult::Checkpoint(write_pages(writer, &kept)),
            Self::Release {
                written,
                states,
                base,
            } => JobResult::Released(release(written.as_deref(), states, base, &*bench.reader)),
        }
    }
}

/// The next step of a checkpoint.
fn write_pages(
    writer: Option<Box<CheckpointWriter>>,
    kept: &Kept,
) -> Result<CheckpointStep, StateFailure> {
    let Some(mut writer) = writer else {
        // A replay: what is to be made here was recorded.
        return Ok(CheckpointStep::default());
    };
    let records = writer.step()?;
    let made = Made {
        records: records.len() as u32,
        last: writer.last().filter(|_| !records.is_empty()),
        layout: *writer.layout(),
        kept: None,
    };
    if !writer.is_done() {
        return Ok(CheckpointStep {
            made,
            records,
            writer: Some(writer),
            written: None,
        });
    }
    let written = Box::new(writer.finish(kept));
    Ok(CheckpointStep {
        made: Made {
            layout: written.layout,
            kept: Some(written.kept.clone()),
            ..made
        },
        records,
        writer: None,
        written: Some(written),
    })
}

/// Lets states go of what a checkpoint has. A state that refers to dropped segments, which it
/// holds itself, stays as it is: it is an old one and goes soon.
fn release(
    written: Option<&WrittenState>,
    mut states: Vec<ChainState>,
    mut base: Box<ChainState>,
    reader: &dyn BlockReader,
) -> Released {
    if let Some(WrittenState { pages, .. }) = written {
        let trees = states.iter_mut().chain([&mut *base]);
        pages.swap(trees.filter_map(|state| {
            let tree = state.ledger.tree_mut();
            let used = tree.live().segments().chain(pages.live().segments());
            let segments: BTreeSet<u64> = used.map(|(segment, _)| segment).collect();
            let source = reader.pages(&segments).ok()?;
            Some((tree, source))
        }));
    }
    let tip = states.first();
    Released {
        changed: tip.map_or(0, |tip| tip.ledger.tree().changed_bytes()),
        states,
        base,
    }
}

fn propose(
    rules: &HeaderRules,
    genesis_id: &GenesisId,
    base: ChainState,
    bytes: &Arc<[u8]>,
    bench: &mut SignatureBench,
) -> Result<Result<(), BlockRefusal>, StateFailure> {
    let genesis = Arc::clone(rules.genesis());
    let block = match check_proposal(&genesis, rules, genesis_id, bytes, bench) {
        Ok(block) => block,
        Err(fault) => return Ok(Err(BlockRefusal::Isolated(fault))),
    };
    let execution = Execution {
        genesis,
        base,
        undos: Vec::new(),
        blocks: vec![Arc::new(block)],
    };
    let executed = execution.run();
    match (executed.failure, executed.fault) {
        (Some(error), _) => Err(error),
        (None, Some((_, fault))) => Ok(Err(BlockRefusal::Context(fault))),
        (None, None) => Ok(Ok(())),
    }
}

fn search_header(header: &Header, start: u64, count: u64) -> Option<u64> {
    let Seal::Work { bits, .. } = header.seal else {
        return None;
    };
    let target = CompactBits::target(bits)?;
    let bytes = header.to_bytes();
    let bytes = bytes.first_chunk().expect("a work header has 204 bytes");
    search(
        bytes,
        start..start.saturating_add(count),
        &target.to_be_bytes(),
    )
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
