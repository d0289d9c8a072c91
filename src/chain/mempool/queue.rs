//! One account's transactions that wait: contiguous by nonce, and cut into chunks by what they
//! pay.
//!
//! A transaction can only be mined after those of its account before it, so what counts is what a
//! run of them pays together. The chunks of a queue are the runs of greatest rate from its front
//! that weigh at most [`CHUNK_WEIGHT_MAX`]: but for that bound each pays less than the one before
//! it. A block takes whole chunks from the front of queues, and what has to go for room goes as
//! whole chunks from their ends.

use std::ops::Range;
use std::sync::Arc;

use crate::chain::CheckedTransaction;
use crate::types::{Nonce, Op};

/// A transaction that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) checked: Arc<CheckedTransaction>,
    /// Whether somebody outside was promised that it is kept.
    pub(super) promised: bool,
}

/// What an account's queue takes beside its transactions: its place in three ordered maps, of which
/// random keys fill two thirds, and its lists of transactions and chunks.
pub(super) const QUEUE_BYTES: u64 = 624;
/// What a transaction takes in the maps by its two ids, likewise.
const INDEX_BYTES: u64 = 220;
/// What an allocation takes beyond the bytes asked for.
const ALLOCATION_BYTES: u64 = 16;

impl Waiting {
    /// Its amounts and fee.
    pub(super) fn spends(&self) -> u128 {
        spends(&self.checked)
    }

    /// About how much memory it takes, with its share of every index.
    pub(super) fn memory(&self) -> u64 {
        memory_of(&self.checked)
    }
}

/// Amounts and fee of a transaction.
pub(super) fn spends(checked: &CheckedTransaction) -> u128 {
    checked.transaction.amount_sum() + u128::from(checked.transaction.fee.0)
}

/// About how much memory a transaction takes while it waits.
fn memory_of(checked: &CheckedTransaction) -> u64 {
    let transaction = &checked.transaction;
    let block = |bytes: usize| bytes as u64 + ALLOCATION_BYTES;
    let data = |op: &Op| match op {
        Op::Data(bytes) => block(bytes.len()),
        Op::Transfer { .. } => 0,
    };
    let ops = block(size_of_val(transaction.ops.as_slice()));
    let data: u64 = transaction.ops.iter().map(data).sum();
    // Keys and signatures of several: no more than they have on the wire, in two allocations.
    let auth = match transaction.auth.signatures().count() {
        1 => 0,
        signatures => block(signatures * 64) + block(16 * 32),
    };
    let expiry = if transaction.expiry.0 == 0 { 0 } else { 64 };
    block(size_of::<CheckedTransaction>() + 16) + ops + data + auth + expiry + INDEX_BYTES
}

/// The most that transactions weigh together which count as one: half of the lightest block that a
/// genesis may ask for, so that every chunk fits a block, and more than two of the largest
/// transactions.
pub(super) const CHUNK_WEIGHT_MAX: u64 = 50_000;

/// A run of transactions that are best mined together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The place after its last transaction.
    pub(super) end: usize,
    fee: u128,
    pub(super) weight: u64,
    pub(super) memory: u64,
    /// Whether one of them is promised.
    pub(super) promised: bool,
    /// What it and those before it in its queue pay at least, as [`rate`](Self::rate).
    pub(super) least_rate: u64,
}

impl Chunk {
    /// What it pays per 1,000 weight, in 1/1,000.
    pub(super) fn rate(&self) -> u64 {
        let rate = self.fee * 1_000_000 / u128::from(self.weight.max(1));
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// Whether this one pays a greater rate than `other`, compared without rounding.
    fn pays_more(&self, other: &Self) -> bool {
        self.fee * u128::from(other.weight) > other.fee * u128::from(self.weight)
    }

    fn join(&mut self, next: &Self) {
        self.end = next.end;
        self.fee += next.fee;
        self.weight += next.weight;
        self.memory += next.memory;
        self.promised |= next.promised;
    }
}

/// One account's transactions that wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    waiting: Vec<Waiting>,
    chunks: Vec<Chunk>,
    spent: u128,
    memory: u64,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Amounts and fees of all of them.
    pub(super) fn spent(&self) -> u128 {
        self.spent
    }

    /// The memory of the queue with all that is in it; nothing for an empty one.
    pub(super) fn memory(&self) -> u64 {
        if self.waiting.is_empty() {
            0
        } else {
            QUEUE_BYTES + self.memory
        }
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Waiting> {
        self.waiting.iter()
    }

    pub(super) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Where a chunk begins.
    pub(super) fn start_of(&self, chunk: usize) -> usize {
        match chunk.checked_sub(1) {
            Some(before) => self.chunks[before].end,
            None => 0,
        }
    }

    /// The chunk that a place is in.
    pub(super) fn chunk_of(&self, place: usize) -> usize {
        self.chunks.partition_point(|chunk| chunk.end <= place)
    }

    /// The place of a nonce.
    pub(super) fn place(&self, nonce: Nonce) -> Option<usize> {
        let first = self.waiting.first()?.checked.transaction.nonce;
        let place = usize::try_from(nonce.0.checked_sub(first.0)?).ok()?;
        (place < self.waiting.len()).then_some(place)
    }

    pub(super) fn at(&self, place: usize) -> Option<&Waiting> {
        self.waiting.get(place)
    }

    /// Those in a range of places.
    pub(super) fn part(&self, places: Range<usize>) -> &[Waiting] {
        &self.waiting[places]
    }

    pub(super) fn get(&self, nonce: Nonce) -> Option<&Waiting> {
        self.at(self.place(nonce)?)
    }

    /// Adds the next one. [`arrange`](Self::arrange) must follow the last change.
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.spent += waiting.spends();
        self.memory += waiting.memory();
        self.waiting.push(waiting);
    }

    /// Takes away everything from a place on.
    pub(super) fn split_off(&mut self, place: usize) -> Vec<Waiting> {
        let tail = self.waiting.split_off(place);
        for waiting in &tail {
            self.spent -= waiting.spends();
            self.memory -= waiting.memory();
        }
        tail
    }

    /// Marks the one at a place as promised.
    pub(super) fn promise(&mut self, place: usize) {
        if let Some(waiting) = self.waiting.get_mut(place) {
            waiting.promised = true;
        }
    }

    /// Takes all of them out.
    pub(super) fn into_waiting(self) -> Vec<Waiting> {
        self.waiting
    }

    /// Cuts the queue into chunks again.
    pub(super) fn arrange(&mut self) {
        self.chunks.clear();
        for (place, waiting) in self.waiting.iter().enumerate() {
            let mut last = Chunk {
                end: place + 1,
                fee: u128::from(waiting.checked.transaction.fee.0),
                weight: waiting.checked.weight.0,
                memory: waiting.memory(),
                promised: waiting.promised,
                least_rate: 0,
            };
            let is_better = |last: &Chunk, before: &Chunk| {
                last.weight + before.weight <= CHUNK_WEIGHT_MAX && last.pays_more(before)
            };
            while let Some(before) = self.chunks.pop_if(|before| is_better(&last, before)) {
                let mut joined = before;
                joined.join(&last);
                last = joined;
            }
            let before = self.chunks.last();
            let before = before.map_or(u64::MAX, |before| before.least_rate);
            last.least_rate = before.min(last.rate());
            self.chunks.push(last);
        }
    }
}
