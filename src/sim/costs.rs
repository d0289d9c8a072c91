//! What a machine's loop and its cores need for what they do, in virtual time.
//!
//! The numbers are constants, because a run must be the same everywhere. `keel bench costs`
//! measures them from the real code and writes them to `costs.toml`, which every world has unless
//! it is told others. What is charged for an input or a job follows from them here:
//! docs/simulator.md, "Costs", says how.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::base::Span;
use crate::node::{Input, Job, JobResult};

/// The bytes of a one-output payment in a block, by which a block's signatures are estimated.
const PAYMENT_BYTES: u64 = 164;

/// The table: nanoseconds, but for the speed of hashing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// Firing the timers that are due.
    pub timeout: u64,
    /// Opening a small message's frame and dealing with the message.
    pub message: u64,
    /// Opening each further 1,024 bytes of one.
    pub message_kib: u64,
    /// Cutting a small message that is sent into frames and sealing them.
    pub send: u64,
    /// The same of each further 1,024 bytes.
    pub send_kib: u64,
    /// A handshake, at either end.
    pub handshake: u64,
    /// Any other input.
    pub input: u64,
    /// Checking a one-output payment with its signature, within a batch.
    pub signature: u64,
    /// Checking 1,024 bytes of a block whose transactions' signatures are known to be good.
    pub block_kib: u64,
    /// Executing a transaction.
    pub execution: u64,
    /// Assembling a small block.
    pub assembly: u64,
    /// Handing a job to a core and its result back.
    pub job: u64,
    /// How many nonces a core tries.
    pub hashes_per_millisecond: u64,
    /// Reading an empty block from the log.
    pub read: u64,
    /// Reading 1,024 bytes of a block, to send them.
    pub read_kib: u64,
    /// Reading 1,024 bytes of a block and taking its transactions from them, to execute them.
    pub parse_kib: u64,
    /// Making the records of a checkpoint of a single page.
    pub pages: u64,
    /// Making 1,024 bytes of records of pages.
    pub pages_kib: u64,
    /// Letting a state go of the pages that a checkpoint has.
    pub release: u64,
}

impl Default for Costs {
    fn default() -> Self {
        static STORED: LazyLock<Costs> =
            LazyLock::new(|| Costs::of_toml(include_str!("costs.toml")).expect("it is tested"));
        *STORED
    }
}

impl Costs {
    /// The table that a file has.
    pub fn of_toml(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// What the loop needs for the timers that are due.
    pub(super) const fn timeout(&self) -> Span {
        span(self.timeout)
    }

    /// What the loop needs for an input.
    pub(super) fn input(&self, input: &Input) -> Span {
        span(match input {
            Input::Message { bytes, .. } => {
                self.message + self.message_kib * (bytes.len() as u64 / 1_024)
            }
            Input::Connected { .. } => self.handshake,
            _ => self.input,
        })
    }

    /// What the loop needs to send a message of so many bytes.
    pub(super) const fn send(&self, bytes: usize) -> Span {
        span(self.send + self.send_kib * (bytes as u64 / 1_024))
    }

    /// Whether what a job costs goes with what comes of it: how much is read or written is not
    /// known before.
    pub(super) const fn goes_with_result(work: &Job) -> bool {
        matches!(
            work,
            Job::Read { .. } | Job::ReadToSend { .. } | Job::Checkpoint { .. }
        )
    }

    /// What a core needs for that part of a job.
    pub(super) fn result(&self, result: &JobResult) -> Span {
        span(match result {
            JobResult::ToSend(Ok(bytes)) => self.read_kib * (bytes.len() as u64 / 1_024),
            JobResult::Read(Ok(block)) => self.parse_kib * (block.bytes.len() as u64 / 1_024),
            JobResult::Checkpoint(Ok(step)) => {
                let bytes = step.records.iter().map(|record| record.body.len() as u64);
                self.pages_kib * (bytes.sum::<u64>() / 1_024)
            }
            _ => 0,
        })
    }

    /// What a core needs for a job, as far as its value says.
    pub(super) fn job(&self, work: &Job) -> Span {
        let nanos = match work {
            Job::Search { count, .. } => count * 1_000_000 / self.hashes_per_millisecond.max(1),
            Job::CheckBlocks { blocks, .. } => {
                let check = |(bytes, _): &(Vec<u8>, _)| self.check(bytes.len() as u64);
                blocks.iter().map(check).sum()
            }
            Job::CheckTransactions { transactions, .. } => {
                self.signature * transactions.len() as u64
            }
            Job::CheckProposal { bytes, .. } => 2 * self.check(bytes.len() as u64),
            Job::Execute(execution) => {
                let transactions = execution.blocks.iter().map(|it| it.transactions.len());
                self.execution * transactions.sum::<usize>() as u64
            }
            Job::Assemble(_) => self.assembly,
            Job::Read { .. } | Job::ReadToSend { .. } => self.read,
            Job::ReadHeaders(after) => self.read * after.to_read() as u64,
            Job::Checkpoint { .. } => self.pages,
            Job::Release { .. } => self.release,
            Job::Discard(_) => 0,
        };
        span(self.job + nanos)
    }

    /// A block whose transactions were not seen before.
    const fn check(&self, bytes: u64) -> u64 {
        self.block_kib * (bytes / 1_024) + self.signature * (bytes / PAYMENT_BYTES)
    }
}

const fn span(nanos: u64) -> Span {
    Span::from_micros(nanos.div_ceil(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_table_is_one() {
        let costs = Costs::of_toml(include_str!("costs.toml")).unwrap();
        assert_eq!(costs, Costs::default());
        assert!(costs.hashes_per_millisecond > 0);
        let unknown = Costs::of_toml("timeouts = 3").unwrap_err();
        assert!(unknown.contains("timeouts"), "{unknown}");
    }
}
