//! What a measurement came to, for people and for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::limit::{Limit, THREADS};
use super::mebibytes;

/// What the number does not say.
const LEAVES_OUT: &str = "the line between two machines (both processes share this one's cores), \
                          other peers, transactions of more than one signature, senders that come \
                          again, and a state larger than this chain's";

/// What a synchronisation came to.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) payments: u64,
    pub(super) funding: u64,
    pub(super) signatures: u64,
    pub(super) blocks: u64,
    pub(super) bytes: u64,
    /// From the start of the process to its durable tip.
    pub(super) wall: Duration,
    /// To its first answer.
    pub(super) started: Duration,
    pub(super) cpu: Duration,
    pub(super) serving_cpu: Duration,
    pub(super) limit: Limit,
    pub(super) tips: [String; 2],
    pub(super) memory: Memory,
}

/// Memory that belongs to a process alone and to no file, of nodes that have nothing to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Of the node that caught up.
    pub(super) synchronised: u64,
    /// The blocks above its newest checkpoint, whose pages are in memory.
    pub(super) above: u64,
    /// Of a node on the same chain that has no block.
    pub(super) empty: u64,
}

impl Memory {
    fn ratio(&self) -> f64 {
        self.synchronised as f64 / self.empty as f64
    }

    fn to_json(self) -> Value {
        json!({
            "rss_anon_bytes": self.synchronised,
            "blocks_above_checkpoint": self.above,
            "empty_rss_anon_bytes": self.empty,
            "ratio": self.ratio(),
        })
    }
}

impl Measured {
    fn transactions(&self) -> u64 {
        self.payments + self.funding
    }

    /// How much of the speed of nothing but signatures is reached.
    fn ratio(&self) -> f64 {
        self.limit.wall.as_secs_f64() / self.wall.as_secs_f64()
    }

    pub(super) fn to_json(&self) -> Value {
        let (synced, limit) = (self.transactions(), &self.limit);
        json!({
            "transactions": self.transactions(),
            "payments": self.payments,
            "funding": self.funding,
            "signatures": self.signatures,
            "blocks": self.blocks,
            "bytes": self.bytes,
            "sync": {
                "seconds": self.wall.as_secs_f64(),
                "seconds_to_first_answer": self.started.as_secs_f64(),
                "transactions_per_second": per_second(synced, self.wall),
                "cpu_seconds": self.cpu.as_secs_f64(),
                "cpu_us_per_transaction": micros_each(self.cpu, synced),
                "serving_cpu_us_per_transaction": micros_each(self.serving_cpu, synced),
                "tip": self.tips[1],
            },
            "limit": {
                "threads": THREADS,
                "batch": limit.batch,
                "seconds": limit.wall.as_secs_f64(),
                "signatures_per_second": per_second(self.signatures, limit.wall),
                "cpu_us_per_signature": micros_each(limit.cpu, self.signatures),
            },
            "ratio": self.ratio(),
            "memory": self.memory.to_json(),
            "serving_tip": self.tips[0],
            "leaves_out": LEAVES_OUT,
        })
    }

    pub(super) fn to_text(&self) -> String {
        let (synced, limit) = (self.transactions(), &self.limit);
        format!(
            "synchronised {synced} transactions in {blocks} blocks of {bytes} bytes: {payments} \
             payments by as many accounts to new ones, {funding} to fund them\n\
             keel      {sync:>9.0} tx/s   {cpu:>6.2} us of processor time each   {seconds:.3} s \
             from start to durable tip\n\
             limit     {most:>9.0} tx/s   {least:>6.2} us of processor time each   {THREADS} \
             threads verify the same signatures in batches of {batch}\n\
             ratio     {ratio:>9.2}\n\
             serving   {serving:>16.2} us of processor time for each transaction, on the same \
             cores\n\
             memory    {held:>16.1} MiB anonymous, {above} blocks above its checkpoint; an empty \
             node {empty:.1} MiB\n\
             left out: {LEAVES_OUT}",
            blocks = self.blocks,
            bytes = self.bytes,
            payments = self.payments,
            funding = self.funding,
            sync = per_second(synced, self.wall),
            cpu = micros_each(self.cpu, synced),
            seconds = self.wall.as_secs_f64(),
            most = per_second(self.signatures, limit.wall),
            least = micros_each(limit.cpu, self.signatures),
            batch = limit.batch,
            ratio = self.ratio(),
            serving = micros_each(self.serving_cpu, synced),
            held = mebibytes(self.memory.synchronised),
            above = self.memory.above,
            empty = mebibytes(self.memory.empty),
        )
    }
}

fn per_second(count: u64, span: Duration) -> f64 {
    count as f64 / span.as_secs_f64()
}

fn micros_each(span: Duration, count: u64) -> f64 {
    span.as_secs_f64() * 1e6 / count as f64
}
