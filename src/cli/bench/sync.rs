//! `keel bench sync`: a new node catches up with another one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cli::stopped::open_store;
use crate::node::CheckpointInterval;
use crate::types::Genesis;

use super::super::{CommandError, Output};
use super::limit::{self, Limit};
use super::place::{Folder, Running, Site};
use super::report::{Measured, Memory};
use super::rest::wait_until_idle;
use super::{ASK_EVERY, chain, clock, pause};

/// A node whose tip does not move for so long will not get there.
const PATIENCE: Duration = Duration::from_secs(120);

/// Makes the chain, lets one process serve it and another one catch up, and verifies the same
/// signatures on two threads before and after that.
pub(super) fn measure(
    parent: &Path,
    payments: u32,
    output: &Output,
) -> Result<Measured, CommandError> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let taken = signal_hook::flag::register(signal, Arc::clone(&interrupted));
        taken.map_err(|error| {
            CommandError::failed(format!("signal {signal} can't be handled: {error}"))
        })?;
    }
    let check_interrupted = || {
        if interrupted.load(Ordering::Relaxed) {
            return Err(CommandError::failed("interrupted: nothing was measured"));
        }
        Ok(())
    };
    let folder = Folder::make(parent)?;
    let genesis = Arc::new(chain::genesis(payments));
    let [serving, fresh] = Site::pair(&folder, &genesis)?;
    output.note(&format!("making a chain of {payments} payments .."));
    let made = {
        let store = open_store(&serving.directory, &genesis.id())?;
        let mut store =
            store.ok_or_else(|| CommandError::failed("another process has the new directory"))?;
        let made = chain::make(&genesis, payments, &mut store, &check_interrupted)?;
        let closed = store.close();
        closed.map_err(|failure| CommandError::failed(failure.to_string()))?;
        made
    };
    let tip = made.tip.to_string();

    output.note("starting the node that serves it ..");
    let mut serving = serving.start()?;
    wait_for(&mut serving, &tip, &check_interrupted)?;
    output.note("verifying its signatures on two threads ..");
    let batch = limit::best_batch(&made.signatures)?;
    let before = limit::measure(&made.signatures, batch)?;
    output.note("letting a new node catch up ..");
    let served = serving.cpu()?;
    let begun = clock();
    let mut fresh = fresh.start()?;
    let answered = wait_for(&mut fresh, &tip, &check_interrupted)?;
    let wall = begun.elapsed();
    let (cpu, serving_cpu) = (fresh.cpu()?, serving.cpu()?.saturating_sub(served));
    let after = limit::measure(&made.signatures, batch)?;
    let tips = [serving.tip()?, fresh.tip()?].map(Option::unwrap_or_default);
    output.note("waiting until it has nothing to do ..");
    let keeps = made.bytes > CheckpointInterval::default().quiet_bytes;
    let chain = wait_until_idle(&mut fresh, keeps)?;
    let synchronised = fresh.anonymous_bytes()?;
    // The empty node takes the place of these, which another measurement can't have.
    fresh.stop()?;
    serving.stop()?;
    let memory = Memory {
        synchronised,
        above: chain.height.saturating_sub(chain.checkpoint),
        empty: memory_of_empty(&folder, &genesis)?,
    };
    Ok(Measured {
        payments: u64::from(payments),
        funding: made.funding,
        signatures: made.signatures.len() as u64,
        blocks: made.blocks,
        bytes: made.bytes,
        wall,
        started: answered.duration_since(begun),
        cpu,
        serving_cpu,
        // Other work on the machine weighs on both in the same way when they stand close together.
        limit: Limit {
            batch,
            wall: (before.wall + after.wall) / 2,
            cpu: (before.cpu + after.cpu) / 2,
        },
        tips,
        memory,
    })
}

/// What a node on a new chain holds when it has nothing to do.
fn memory_of_empty(folder: &Folder, genesis: &Genesis) -> Result<u64, CommandError> {
    let site = Site::alone(folder, "empty", genesis)?;
    let mut node = site.start()?;
    let begun = clock();
    while node.tip()?.is_none() && begun.elapsed() < PATIENCE {
        pause(ASK_EVERY);
    }
    wait_until_idle(&mut node, false)?;
    node.anonymous_bytes()
}

/// Waits until a node shows this tip as durable; says when it first answered.
fn wait_for(
    node: &mut Running<'_>,
    tip: &str,
    check_interrupted: &dyn Fn() -> Result<(), CommandError>,
) -> Result<Instant, CommandError> {
    let (mut answered, mut moved, mut last) = (None, clock(), None);
    loop {
        check_interrupted()?;
        let seen = node.tip()?;
        if seen.is_some() && answered.is_none() {
            answered = Some(clock());
        }
        if let (Some(at), Some(tip)) = (answered, seen.as_deref().filter(|seen| *seen == tip)) {
            log::debug!("the tip is {tip}");
            return Ok(at);
        }
        if seen != last {
            (moved, last) = (clock(), seen);
        } else if moved.elapsed() > PATIENCE {
            return Err(CommandError::failed(format!(
                "a node's tip has not moved for {} s; the last lines of its log:\n{}",
                PATIENCE.as_secs(),
                node.log_tail()
            )));
        }
        pause(ASK_EVERY);
    }
}
