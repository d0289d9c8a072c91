//! What a machine's loop and its cores need for what they do, in virtual time.
//!
//! The numbers are constants, because a run must be the same everywhere. `keel bench costs`
//! measures them from the real code and writes them to `costs.toml`, which every world has unless
//! it is told others.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::base::Span;
use crate::node::{Input, Job};

/// The bytes of a one-output payment in a block, by which a block's signatures are estimated.
const PAYMENT_BYTES: u64 = 164;

/// The table: nanoseconds, but for the speed of hashing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// Firing the timers that are due.
    pub timeout: u64,
    /// Opening a small message's frame, handing it on and dealing with it.
    pub message: u64,
    /// The same of each further 1,024 bytes.
    pub message_kib: u64,
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
    /// Assembling a block.
    pub assembly: u64,
    /// What every job costs besides.
    pub job: u64,
    /// How many nonces a core tries.
    pub hashes_per_millisecond: u64,
    /// Reading a block.
    pub read: u64,
    /// A step of a checkpoint.
    pub pages: u64,
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

    /// What a core needs for a job.
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
            Job::Checkpoint { .. } | Job::Release { .. } => self.pages,
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
