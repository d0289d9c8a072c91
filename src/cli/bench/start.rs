//! `keel bench start`: how long a node takes to its first answer, and what memory it holds when it
//! has nothing to do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::chain::ChainState;
use crate::cli::stopped::open_store;
use crate::node::CheckpointInterval;

use super::super::{CommandError, Output};
use super::place::{Folder, Site};
use super::rest::wait_until_idle;
use super::{chain, clock, mebibytes, pause};

/// How often a node that starts is asked: short beside what is measured.
const LOOK_EVERY: Duration = Duration::from_micros(500);
/// A node that shows another tip for so long will not get there.
const PATIENCE: Duration = Duration::from_secs(300);

/// What one start came to.
#[derive(Clone, Copy, Debug)]
struct Start {
    /// From the start of the process to its first answer with the whole chain.
    span: Duration,
    /// The anonymous memory of the process when it had nothing to do.
    held: u64,
    /// What it had read by then.
    read: u64,
    /// The blocks that it had executed by then.
    executed: u64,
    /// The blocks above its newest checkpoint then: what the next start executes.
    above: u64,
}

/// What the starts of one node came to.
#[derive(Debug, Default)]
struct Starts(Vec<Start>);

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    payments: u32,
    blocks: u64,
    empty: Starts,
    full: Starts,
}

/// Makes a chain, and starts nodes on it and on an empty one in turns.
pub(super) fn measure(
    parent: &Path,
    (payments, empty_blocks): (u32, u32),
    rounds: u32,
    output: &Output,
) -> Result<Measured, CommandError> {
    let folder = Folder::make(parent)?;
    let genesis = Arc::new(chain::genesis_of(payments, empty_blocks));
    let root = ChainState::genesis(&genesis).id.to_string();
    let [empty, full] = Site::apart(&folder, &genesis)?;
    output.note(&format!(
        "making a chain of {payments} payments and {empty_blocks} empty blocks .."
    ));
    let made = {
        let store = open_store(&full.directory, &genesis.id())?;
        let mut store =
            store.ok_or_else(|| CommandError::failed("another process has the new directory"))?;
        let made = chain::make_long(&genesis, payments, empty_blocks, &mut store, &|| Ok(()))?;
        let closed = store.close();
        closed.map_err(|failure| CommandError::failed(failure.to_string()))?;
        made
    };
    let tip = made.tip.to_string();
    let mut measured = Measured {
        payments,
        blocks: made.blocks,
        empty: Starts::default(),
        full: Starts::default(),
    };
    // The first start of each executes and writes what every later one finds.
    output.note("starting each node for the first time ..");
    start(&empty, &root, false)?;
    start(
        &full,
        &tip,
        made.bytes > CheckpointInterval::default().quiet_bytes,
    )?;
    for round in 1..=rounds {
        output.note(&format!("starting each node, {round} of {rounds} .."));
        measured.empty.0.push(start(&empty, &root, false)?);
        measured.full.0.push(start(&full, &tip, false)?);
    }
    Ok(measured)
}

/// Starts a node, waits until it shows its tip and then until it has nothing to do, and stops it.
/// Where `keeps`, it is given time to make a checkpoint of its tip.
fn start(site: &Site, tip: &str, keeps: bool) -> Result<Start, CommandError> {
    let begun = clock();
    let mut node = site.start()?;
    while node.tip()?.as_deref() != Some(tip) {
        if begun.elapsed() > PATIENCE {
            return Err(CommandError::failed(format!(
                "a node does not come to its tip; the last lines of its log:\n{}",
                node.log_tail()
            )));
        }
        pause(LOOK_EVERY);
    }
    let span = begun.elapsed();
    let chain = wait_until_idle(&mut node, keeps)?;
    let start = Start {
        span,
        held: node.anonymous_bytes()?,
        read: node.read_bytes()?,
        executed: chain.executed,
        above: chain.height.saturating_sub(chain.checkpoint),
    };
    node.stop()?;
    Ok(start)
}

impl Start {
    fn to_json(self) -> Value {
        json!({
            "ms": millis(self.span),
            "rss_anon_bytes": self.held,
            "read_bytes": self.read,
            "executed_blocks": self.executed,
            "blocks_above_checkpoint": self.above,
        })
    }

    fn to_text(self) -> String {
        format!(
            "{:>9.1} ms, {:>6.1} MiB of anonymous memory, {:>6.1} MiB read, {} blocks executed, {} \
             above the newest checkpoint",
            millis(self.span),
            mebibytes(self.held),
            mebibytes(self.read),
            self.executed,
            self.above
        )
    }
}

impl Starts {
    fn median(&self) -> Duration {
        let mut sorted: Vec<Duration> = self.0.iter().map(|start| start.span).collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    fn shortest(&self) -> Duration {
        let spans = self.0.iter().map(|start| start.span);
        spans.min().unwrap_or_default()
    }

    fn most_bytes(&self) -> u64 {
        self.0.iter().map(|start| start.held).max().unwrap_or(0)
    }

    fn to_json(&self) -> Value {
        let each: Vec<Value> = self.0.iter().map(|start| start.to_json()).collect();
        json!({
            "starts": self.0.len(),
            "median_ms": millis(self.median()),
            "shortest_ms": millis(self.shortest()),
            "rss_anon_bytes": self.most_bytes(),
            "each": each,
        })
    }

    fn to_text(&self) -> String {
        let lines = self
            .0
            .iter()
            .map(|start| format!("\n  {}", start.to_text()));
        format!(
            "{:>9.1} ms in the middle of {} starts, {:>9.1} ms at best, {:>6.1} MiB of anonymous \
             memory at most{}",
            millis(self.median()),
            self.0.len(),
            millis(self.shortest()),
            mebibytes(self.most_bytes()),
            lines.collect::<String>()
        )
    }
}

impl Measured {
    /// How many times the start of an empty chain that of the long one takes.
    fn ratio(&self) -> f64 {
        self.full.median().as_secs_f64() / self.empty.median().as_secs_f64()
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "payments": self.payments,
            "blocks": self.blocks,
            "empty": self.empty.to_json(),
            "full": self.full.to_json(),
            "ratio": self.ratio(),
        })
    }

    pub(super) fn to_text(&self) -> String {
        format!(
            "from the start of a process to its first answer with its whole chain\n\
             empty chain         {}\n\
             {:>7} payments    {}\n\
             ratio               {:>9.2}",
            self.empty.to_text(),
            self.payments,
            self.full.to_text(),
            self.ratio()
        )
    }
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
