//! What is counted while a world runs: who saw which block and transaction when, what went over
//! the lines, who stood on which tip, and which faults fired. What dishonest nodes have, or say
//! that they have, is no part of it but for the blocks that they make: a share of nodes is one of
//! the honest.
//!
//! *Owns* every number of a run that a report shows. *Invariants*: nothing here is read by the
//! world, so a run is the same with and without it; in the steady state recording a message, a
//! sighting or a mark allocates nothing; memory is bounded whatever the run does, and what was left
//! out for it is counted ([`Sightings::reduced`], [`Sightings::forgotten`],
//! [`TimeLine::left_out`]). *Never* decides anything, and never knows a clock but the world's.

mod blocks;
mod marks;
mod series;
mod sightings;
mod traffic;

pub use blocks::{BlockPlace, Blocks, Branch, Fate};
pub use marks::{Mark, MarkAt, TimeLine};
pub use series::{Gauges, Sample, Series};
pub use sightings::{Curve, Delay, Sighting, Sightings, median};
pub use traffic::{NodeTraffic, Traffic, Volume};

use std::collections::BTreeSet;

use crate::base::{Span, Time};
use crate::node::JobResult;
use crate::types::{BlockId, Height, WtxId};

/// The memory that the delays of each node take, for blocks and again for transactions: 1,600
/// blocks of 10,000 nodes. What is older than that is kept as its quantiles.
const DETAIL_BYTES_MAX: usize = 64 << 20;

/// How many blocks, and how many transactions, are known by their ids: a day of a chain with a
/// block per second. The oldest are forgotten beyond it.
const ENTRIES_MAX: usize = 1 << 16;

/// What a world saw.
#[derive(Clone, Debug)]
pub struct Observations {
    began: Time,
    traffic: Traffic,
    blocks: Blocks,
    transactions: Sightings<WtxId>,
    series: Series,
    time_line: TimeLine,
    accepted: u64,
    /// How many transactions the mempool of each honest node has.
    mempools: Vec<Option<u32>>,
    honest: usize,
    dishonest: BTreeSet<usize>,
    /// How many reorganisations left so many blocks: the place is the number of blocks, the last
    /// one stands for all that are deeper.
    reorganisations: [u64; REORGANISATION_DEPTHS],
}

/// The depths of reorganisations that are told apart.
const REORGANISATION_DEPTHS: usize = 33;

impl Observations {
    /// Of a world of `nodes` honest nodes that begins at `began`, with a sample every `interval`.
    #[must_use]
    pub fn new(began: Time, nodes: usize, interval: Span) -> Self {
        Self {
            began,
            traffic: Traffic::new(nodes),
            blocks: Blocks::new(nodes, DETAIL_BYTES_MAX, ENTRIES_MAX),
            transactions: Sightings::new(nodes, DETAIL_BYTES_MAX, ENTRIES_MAX),
            series: Series::new(began, interval),
            time_line: TimeLine::default(),
            accepted: 0,
            mempools: vec![Some(0); nodes],
            honest: nodes,
            dishonest: BTreeSet::new(),
            reorganisations: [0; REORGANISATION_DEPTHS],
        }
    }

    /// The world has another node. A share of nodes is one of all honest ones that there ever were.
    pub fn admit(&mut self, node: usize, is_honest: bool) {
        self.traffic.admit(node + 1);
        if is_honest {
            self.honest += 1;
            self.blocks.admit(self.honest);
            self.transactions.admit(self.honest);
            self.mempool(node, 0);
        } else {
            self.dishonest.insert(node);
        }
    }

    /// Whether what a node has is counted.
    #[must_use]
    pub fn is_honest(&self, node: usize) -> bool {
        !self.dishonest.contains(&node)
    }

    /// How many dishonest nodes there are.
    #[must_use]
    pub fn dishonest(&self) -> usize {
        self.dishonest.len()
    }

    /// A message of type `kind` and so many bytes on the line was sent.
    #[inline]
    pub fn message(&mut self, from: usize, to: usize, kind: u8, bytes: u64) {
        self.traffic.message(from, to, kind, bytes);
    }

    /// A node sent a message to somebody who is not counted.
    pub fn sent(&mut self, from: usize, kind: u8, bytes: u64) {
        self.traffic.sent(from, kind, bytes);
    }

    /// Somebody who is not counted sent so many bytes to a node.
    pub fn received(&mut self, to: usize, bytes: u64) {
        self.traffic.received(to, bytes);
    }

    /// A node has executed a block, or made it. The first node anywhere is its origin. A block
    /// that a node came to without showing its parent first, as in a reorganisation, brings the
    /// parent with it.
    pub fn block_seen(
        &mut self,
        now: Time,
        node: usize,
        id: BlockId,
        parent: BlockId,
        height: Height,
    ) {
        // Every node has the genesis block from its beginning: it never spreads.
        if height == Height::GENESIS {
            return;
        }
        if self.is_honest(node) {
            self.blocks.seen(now, node, id, parent, height);
        } else {
            self.blocks.made(now, node, id, parent, height);
        }
    }

    /// A node has taken a transaction into its mempool, or had it from its own users.
    pub fn transaction_seen(&mut self, now: Time, node: usize, wtxid: WtxId) {
        if self.is_honest(node) {
            self.transactions.seen(now, node, wtxid);
        }
    }

    /// A node's job is done: the transactions that it found to be good go on to the mempool.
    pub fn job_done(&mut self, now: Time, node: usize, result: &JobResult) {
        if let JobResult::Transactions(Ok(verdicts)) = result {
            for checked in verdicts.iter().flatten() {
                self.transaction_seen(now, node, checked.wtxid);
            }
        }
    }

    /// A node's tip moved, leaving so many blocks of its old branch.
    pub fn tip(&mut self, node: usize, id: BlockId, height: Height, left: u64) {
        if !self.is_honest(node) {
            return;
        }
        self.blocks.tip(node, id, height);
        if left > 0 {
            let depth = usize::try_from(left).unwrap_or(usize::MAX);
            self.reorganisations[depth.min(REORGANISATION_DEPTHS - 1)] += 1;
        }
    }

    /// A node promised one of its users that it keeps a transaction.
    pub fn accepted(&mut self) {
        self.accepted += 1;
    }

    /// A node's mempool has so many transactions now.
    #[inline]
    pub fn mempool(&mut self, node: usize, transactions: usize) {
        if !self.is_honest(node) {
            return;
        }
        if node >= self.mempools.len() {
            self.mempools.resize(node + 1, None);
        }
        self.mempools[node] = Some(u32::try_from(transactions).unwrap_or(u32::MAX));
    }

    /// Something that a report counts by its name happened, to a node or to all of them.
    pub fn mark(&mut self, now: Time, mark: Mark, node: Option<usize>) {
        self.time_line.add(now, now, mark, node);
    }

    /// The same for what lasts, told when its end is known.
    pub fn mark_span(&mut self, from: Time, until: Time, mark: Mark, node: Option<usize>) {
        self.time_line.add(from, until, mark, node);
    }

    /// When the next sample is due.
    #[inline]
    #[must_use]
    pub fn sample_due(&self) -> Time {
        self.series.due()
    }

    /// Takes a sample; does nothing before it is due.
    pub fn sample(&mut self, now: Time, gauges: Gauges) {
        if now >= self.series.due() {
            self.take_sample(now, gauges);
        }
    }

    /// Takes the last sample: the world ends now.
    pub fn end(&mut self, now: Time, gauges: Gauges) {
        self.series.forget(now);
        self.take_sample(now, gauges);
    }

    fn take_sample(&mut self, now: Time, gauges: Gauges) {
        let heights = self.blocks.heights();
        let mempools = middle(self.mempools.iter().flatten().copied().collect());
        self.series.push(Sample {
            at: now,
            gauges,
            heights,
            mempools,
            tips: self.blocks.distinct_tips(),
            blocks: self.blocks.count(),
            transactions: self.transactions.count(),
            accepted: self.accepted,
            sent: self.traffic.total(),
        });
    }

    /// When the world began.
    #[must_use]
    pub const fn began(&self) -> Time {
        self.began
    }

    /// What went over the lines.
    #[must_use]
    pub const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Every block, and the tree of them.
    #[must_use]
    pub const fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// Every transaction.
    #[must_use]
    pub const fn transactions(&self) -> &Sightings<WtxId> {
        &self.transactions
    }

    /// The samples.
    #[must_use]
    pub const fn series(&self) -> &Series {
        &self.series
    }

    /// What happened to the world.
    #[must_use]
    pub const fn time_line(&self) -> &TimeLine {
        &self.time_line
    }

    /// How many transactions were promised to users.
    #[must_use]
    pub const fn accepted_count(&self) -> u64 {
        self.accepted
    }

    /// How many reorganisations left 1, 2, .. blocks; the last one stands for all deeper ones.
    #[must_use]
    pub fn reorganisations(&self) -> &[u64] {
        &self.reorganisations[1..]
    }
}

/// The least, the middle and the greatest of some values; zeros of none.
fn middle(mut values: Vec<u32>) -> (u32, u32, u32) {
    if values.is_empty() {
        return (0, 0, 0);
    }
    values.sort_unstable();
    (
        values[0],
        values[values.len() / 2],
        values[values.len() - 1],
    )
}

#[cfg(test)]
mod tests;
