//! What a machine's loop and its cores need for what they do, in virtual time.
//!
//! The numbers were measured from this code on one core of a server by `keel sim --costs`, in
//! release builds, and rounded. They are constants, because a run must be the same everywhere.

use crate::base::Span;
use crate::node::{Input, Job};

/// Firing the timers that are due.
pub(super) const TIMEOUT: Span = Span::from_micros(2);
/// Opening a frame and handing on a small message.
const MESSAGE: u64 = 4;
/// Opening and copying 1,024 bytes of a message.
const MESSAGE_KIB: u64 = 1;
/// A handshake, at either end.
const HANDSHAKE: u64 = 190;
/// Any other input.
const INPUT: u64 = 5;
/// Checking a signature within a batch, with what is around it.
const SIGNATURE: u64 = 22;
/// Decoding and hashing 1,024 bytes of a block.
const BLOCK_KIB: u64 = 6;
/// Executing or assembling a transaction.
const EXECUTION: u64 = 9;
/// What every job costs besides.
const JOB: u64 = 8;
/// Hashes that a core tries in a microsecond.
const HASHES: u64 = 10;
/// Reading a block, and pages of a checkpoint's step.
const READ: u64 = 40;
const PAGES: u64 = 900;
/// The bytes of a payment in a block.
const PAYMENT_BYTES: u64 = 164;

/// What the loop needs for an input.
#[must_use]
pub(super) fn input(input: &Input) -> Span {
    Span::from_micros(match input {
        Input::Message { bytes, .. } => MESSAGE + MESSAGE_KIB * (bytes.len() as u64 / 1_024),
        Input::Connected { .. } => HANDSHAKE,
        _ => INPUT,
    })
}

/// What a core needs for a job.
#[must_use]
pub(super) fn job(work: &Job) -> Span {
    let micros = match work {
        Job::Search { count, .. } => count / HASHES,
        Job::CheckBlocks { blocks, .. } => blocks
            .iter()
            .map(|(bytes, _)| check(bytes.len() as u64))
            .sum(),
        Job::CheckTransactions { transactions, .. } => SIGNATURE * transactions.len() as u64,
        Job::CheckProposal { bytes, .. } => 2 * check(bytes.len() as u64),
        Job::Execute(execution) => execution
            .blocks
            .iter()
            .map(|block| EXECUTION * block.transactions.len() as u64)
            .sum(),
        Job::Assemble(_) => 400,
        Job::Read { .. } | Job::ReadToSend { .. } => READ,
        Job::Checkpoint { .. } | Job::Release { .. } => PAGES,
        Job::Discard(_) => 0,
    };
    Span::from_micros(JOB + micros)
}

fn check(bytes: u64) -> u64 {
    BLOCK_KIB * (bytes / 1_024) + SIGNATURE * (bytes / PAYMENT_BYTES)
}
