//! What waits, the best paying chunks first, without a look at those that are not wanted.

use std::cmp::Reverse;
use std::collections::{BTreeSet, btree_set};
use std::iter::Peekable;
use std::sync::Arc;

use crate::chain::CheckedTransaction;
use crate::types::AccountId;

use super::Mempool;
use super::queue::{Queue, Waiting};

/// How many chunks in a row may turn out too heavy for what is left of a block before it counts as
/// full: what pays less is hardly worth the search.
const MISFITS_MAX: usize = 1_000;

/// The first chunk of a queue, in the order of what it pays.
pub(super) type Front = (u64, Reverse<AccountId>);

/// Chunks, the best paying first; of a queue the next one when the one before was taken.
struct Heads<'a> {
    pool: &'a Mempool,
    fronts: Peekable<std::iter::Rev<btree_set::Iter<'a, Front>>>,
    /// The next chunks of queues whose first ones were taken.
    next: BTreeSet<(u64, Reverse<AccountId>, usize)>,
    /// How many chunks were looked at.
    seen: usize,
}

/// A chunk of a queue.
#[derive(Clone, Copy)]
struct Head<'a> {
    account: AccountId,
    queue: &'a Queue,
    chunk: usize,
}

impl<'a> Head<'a> {
    fn waiting(&self) -> &'a [Waiting] {
        let places = self.queue.start_of(self.chunk)..self.queue.chunks()[self.chunk].end;
        self.queue.part(places)
    }

    fn rate(&self) -> u64 {
        self.queue.chunks()[self.chunk].rate()
    }
}

impl<'a> Heads<'a> {
    fn of(pool: &'a Mempool) -> Self {
        Self {
            pool,
            fronts: pool.fronts.iter().rev().peekable(),
            next: BTreeSet::new(),
            seen: 0,
        }
    }

    fn next(&mut self) -> Option<Head<'a>> {
        self.seen += 1;
        let front = self
            .fronts
            .peek()
            .map(|(rate, account)| (*rate, *account, 0));
        let (_, Reverse(account), chunk) = if front > self.next.last().copied() {
            self.fronts.next();
            front?
        } else {
            self.next.pop_last()?
        };
        let queue = self.pool.queues.get(&account)?;
        Some(Head {
            account,
            queue,
            chunk,
        })
    }

    /// A chunk was taken: the one behind it is free.
    fn taken(&mut self, head: &Head<'_>) {
        let chunk = head.chunk + 1;
        if let Some(behind) = head.queue.chunks().get(chunk) {
            self.next
                .insert((behind.rate(), Reverse(head.account), chunk));
        }
    }
}

impl Mempool {
    /// What waits, the best paying chunks first, and each account's in order.
    pub fn best_first(&self) -> impl Iterator<Item = &Arc<CheckedTransaction>> {
        let mut heads = Heads::of(self);
        let chunks = std::iter::from_fn(move || {
            let head = heads.next()?;
            heads.taken(&head);
            Some(head.waiting())
        });
        chunks.flatten().map(|waiting| &waiting.checked)
    }

    /// Transactions for a block that burns `base_fee`, until they weigh `limit`: the best paying
    /// chunks first, and each account's in order. What does not fit, or can't pay the base fee, is
    /// left out with all that its account has behind it.
    #[must_use]
    pub fn candidates(&self, limit: u64, base_fee: u64) -> Vec<Arc<CheckedTransaction>> {
        self.choose(limit, base_fee).0
    }

    /// The candidates, and how many chunks were looked at for them.
    pub(super) fn choose(
        &self,
        limit: u64,
        base_fee: u64,
    ) -> (Vec<Arc<CheckedTransaction>>, usize) {
        let pays = |waiting: &&Waiting| {
            let fee = u128::from(waiting.checked.transaction.fee.0);
            fee * 1_000 >= u128::from(base_fee) * u128::from(waiting.checked.weight.0)
        };
        let mut heads = Heads::of(self);
        let (mut chosen, mut weight, mut misfits) = (Vec::new(), 0, 0);
        while let Some(head) = heads.next() {
            // The first of a chunk pays no more than all of it, and those that follow pay less.
            if head.rate() < base_fee.saturating_mul(1_000) || misfits == MISFITS_MAX {
                break;
            }
            if weight + head.queue.chunks()[head.chunk].weight > limit {
                misfits += 1;
                continue;
            }
            misfits = 0;
            let taken = chosen.len();
            for waiting in head.waiting().iter().take_while(pays) {
                weight += waiting.checked.weight.0;
                chosen.push(Arc::clone(&waiting.checked));
            }
            if chosen.len() - taken == head.waiting().len() {
                heads.taken(&head);
            }
        }
        (chosen, heads.seen)
    }
}
