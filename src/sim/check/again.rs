//! Lives once more: from a copy of a node's logs, and from a recording of its inputs.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::Time;
use crate::node::{
    BlockReader, Inline, Input, Node, NodeConfig, Output, Published, Recovered, ReplayError,
    Ticket, Workbench,
};
use crate::sim::workload::{Payment, Place, Workload};
use crate::sim::{NodeIndex, World};
use crate::store::{Commits, Log, Lsn, Options, Store};
use crate::types::{Height, Nonce, Rules};

use super::finally::{is_cheap, is_late, place_of};
use super::{Checker, Violation};

/// More turns than the start of any node of a simulation needs.
const TURNS_MAX: usize = 1_000_000;

/// Starts a node on a copy of the disk of a running one, as a process would that began now, and
/// compares: no record of its blocks and promises is damaged, it shows the same tip and state, or a
/// better one, and has every transaction that it promised to keep.
#[must_use]
pub fn check_log_replay(world: &World, workload: &Workload, index: NodeIndex) -> Option<Violation> {
    let live = world.node(index)?;
    let shown = world.published(index).filter(|shown| shown.ready)?;
    let found = |what| {
        Some(Violation {
            checker: Checker::LogReplay,
            at: world.now(),
            node: Some(index),
            what,
        })
    };
    let (again, published) = match start_copy(world, index) {
        Ok(started) => started,
        Err(why) => return found(format!("a start from its logs: {why}")),
    };
    if published.work < shown.work || !again.knows_block(&shown.tip) {
        return found(format!(
            "it shows {}; a start from its logs comes to {} only",
            shown.tip, published.tip
        ));
    }
    if published.tip == shown.tip && published.state.root() != shown.state.root() {
        let (live, again) = (shown.state.root(), published.state.root());
        return found(format!("its state is {live}, from its logs it is {again}"));
    }
    let least = Rules::at(&world.config().genesis, published.header.height).base_fee_min;
    let floor = Some(published.mempool_floor).filter(|floor| *floor > least);
    let own = workload.acknowledged().filter(|one| one.by == index);
    for one in own {
        let txid = &one.payment.txid;
        let account = published.state.account(&one.payment.account);
        let nonce = account.ok().flatten().map(|account| account.nonce);
        // What a start finds too much for its room goes as it does at any other time.
        let is_owed =
            is_owed(&one.payment, nonce, published.header.height) && !is_cheap(&one.payment, floor);
        let kept = place_of(Some(live), txid) == Place::Kept && is_owed;
        if kept && place_of(Some(&again), txid) == Place::Nowhere {
            let status = again.transaction_status(txid);
            return found(format!(
                "it promised to keep transaction {txid}, of which a start from its logs says \
                 {status:?}"
            ));
        }
    }
    None
}

/// Whether a promise is still one where the nonce of its account is this and the tip has this
/// height. A nonce that is used says nothing of what used it. What has expired may wait behind one
/// that is missing, and goes as soon as it is looked at in its place.
pub(super) fn is_owed(payment: &Payment, nonce: Option<Nonce>, tip: Height) -> bool {
    nonce.is_none_or(|nonce| nonce <= payment.nonce) && !is_late(payment.expiry, tip)
}

/// Starts a node on a copy of another's disk and lets it come to its tip, alone.
fn start_copy(world: &World, index: NodeIndex) -> Result<(Node, Arc<Published>), String> {
    let copy = Arc::new(world.disk_copy(index));
    let genesis = world.config().genesis.id();
    let options = Options::production(genesis.0, 1 + index.0 as u64, world.now().as_millis())
        .with_segment_size(world.config().segment_size);
    let opened = Store::open(copy, &options);
    let (mut store, found) = opened.map_err(|error| error.to_string())?;
    check_whole(&mut store)?;
    let recovered = Recovered::read(&mut store, found.was_clean);
    let recovered = recovered.map_err(|failure| failure.to_string())?;
    let config = NodeConfig {
        peers: Vec::new(),
        mining: None,
        ..world.node_config(index).clone()
    };
    let now = world.now();
    let node = Node::open(config, recovered, [3; 32], now);
    let mut node = node.map_err(|error| error.to_string())?;
    let published = drive(&mut node, &mut store, now)?;
    Ok((node, published))
}

/// Every record of blocks and of promises is right: those that a power cut tore were cut off at the
/// start after it, before anything was written behind them.
fn check_whole(store: &mut Store) -> Result<(), String> {
    for log in [Log::Blocks, Log::Journal] {
        let damage = store.replay(log, Lsn::default(), |_, _, _| {});
        let damage = damage.map_err(|failure| failure.to_string())?;
        if let Some(range) = damage.first() {
            let (name, from, to) = (log.directory(), range.from, range.to);
            return Err(format!("{name}/ is damaged from {from} to {to}"));
        }
    }
    Ok(())
}

/// Does what a node wants done until it is ready.
fn drive(node: &mut Node, store: &mut Store, now: Time) -> Result<Arc<Published>, String> {
    let reader: Arc<dyn BlockReader> = Arc::new(store.reader());
    let mut bench = Workbench::new([7; 32], reader);
    let mut commits = Commits::new();
    let mut inputs = VecDeque::new();
    let mut published: Option<Arc<Published>> = None;
    for _ in 0..TURNS_MAX {
        while let Some(output) = node.poll_output() {
            match output {
                Output::Run { job, work } => {
                    let result = work.run(&mut bench);
                    inputs.push_back(Input::Done { job, result });
                }
                Output::Store(request) => commits.push(request),
                Output::Publish(shown) => published = Some(shown),
                _ => {}
            }
        }
        if let Some(input) = inputs.pop_front() {
            node.handle(now, input);
        } else if !commits.is_empty() {
            for completion in commits.run(store) {
                let lsns = completion.result.map_err(|failure| failure.to_string())?;
                let ticket = Ticket(completion.ticket);
                inputs.push_back(Input::Stored { ticket, lsns });
            }
        } else {
            break;
        }
    }
    let ready = published.filter(|published| published.ready);
    ready.ok_or_else(|| "it does not become ready".to_owned())
}

/// Replays what was recorded of a node, and compares its state with the live one's. Nothing where
/// the node is not recorded, or nothing happened to it since, or its disk lost blocks that it read:
/// `is_spoilt` says whether it may have.
#[must_use]
pub fn check_recording(
    world: &World,
    index: NodeIndex,
    is_spoilt: bool,
) -> Option<Result<(), Violation>> {
    let (recording, live) = world.recording(index)?;
    let mut runner = Inline::new(recording.reader());
    let replayed = recording.replay(None, &mut runner, &mut |_, _| {});
    let what = match replayed {
        Ok(replayed) if replayed.hash == live => return Some(Ok(())),
        // Nothing happened to the node since the recording began.
        Err(ReplayError::NoBase) => return None,
        // Of a record that lost its front as well nobody knows any more that a block was there.
        Err(ReplayError::Missing { .. }) if is_spoilt => return None,
        Err(_) if is_spoilt && !recording.missing().is_empty() => return None,
        Ok(replayed) => format!(
            "the replay of its recording ends in state {}, it is in {live}",
            replayed.hash
        ),
        Err(error) => format!("its recording does not replay: {error}"),
    };
    Some(Err(Violation {
        checker: Checker::RecorderReplay,
        at: world.now(),
        node: Some(index),
        what,
    }))
}
