//! What goes when the memory is full: the chunks at the ends of queues that pay least, and last
//! of all those that somebody outside was promised.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::Time;
use crate::chain::CheckedTransaction;
use crate::types::AccountId;

use super::queue::QUEUE_BYTES;
use super::{End, Leaving, Left, Mempool, Next};

/// What has to go.
#[derive(Debug, Default)]
pub(super) struct Victims {
    /// How many of an account's transactions stay.
    kept: BTreeMap<AccountId, usize>,
    /// The greatest rate of a chunk that goes.
    rate: u64,
}

impl Mempool {
    /// Lets the floor fade up to now; before anything changes how much room is taken.
    pub(super) fn fade(&mut self, now: Time) {
        self.floor = self.floor.at(now, self.memory, self.limit);
    }

    /// What has to go so that so much memory is free again, cheapest first, up to `most`. Nothing
    /// where even that is not enough.
    fn plan(&self, mut excess: u64, most: Option<End>) -> Option<Victims> {
        let mut victims = Victims::default();
        let mut ends = self.ends.iter().copied().peekable();
        // Chunks that become ends when those behind them go.
        let mut revealed: BTreeSet<(End, usize)> = BTreeSet::new();
        while excess > 0 {
            let first = ends.peek().copied();
            let hidden = revealed.first().map(|(end, _)| *end);
            let end = match (first, hidden) {
                (Some(first), Some(hidden)) => first.min(hidden),
                (first, hidden) => first.or(hidden)?,
            };
            if most.is_some_and(|most| end >= most) {
                return None;
            }
            let queue = self.queues.get(&end.account)?;
            let chunk = if Some(end) == hidden {
                revealed.pop_first()?.1
            } else {
                ends.next();
                queue.chunks().len() - 1
            };
            let kept = queue.start_of(chunk);
            let freed = queue.chunks()[chunk].memory + if kept == 0 { QUEUE_BYTES } else { 0 };
            excess = excess.saturating_sub(freed);
            victims.kept.insert(end.account, kept);
            victims.rate = victims.rate.max(end.rate);
            if let Some(before) = chunk.checked_sub(1) {
                let revealed_end = End {
                    promised: queue.chunks()[before].promised,
                    rate: queue.chunks()[before].least_rate,
                    account: end.account,
                };
                revealed.insert((revealed_end, before));
            }
        }
        Some(victims)
    }

    /// What has to go for a newcomer that stands in its queue already: only what pays less. Where
    /// that is not enough, the rate below which nobody need try, if there is one.
    pub(super) fn plan_room(&self, newcomer: &CheckedTransaction) -> Result<Victims, Option<u64>> {
        if self.memory <= self.limit {
            return Ok(Victims::default());
        }
        const STANDS: &str = "the newcomer stands in its queue";
        let queue = self.queues.get(&newcomer.sender).expect(STANDS);
        let place = queue.place(newcomer.transaction.nonce).expect(STANDS);
        let chunk = queue.chunks()[queue.chunk_of(place)];
        let own = End {
            promised: chunk.promised,
            rate: chunk.least_rate,
            account: AccountId([0; 32]),
        };
        self.plan(self.memory - self.limit, Some(own))
            .ok_or_else(|| {
                // The floor rises to what others pay, not to what one offers in vain.
                let mut others = self.ends.range(own..);
                let pays_more = others
                    .any(|end| end.promised == own.promised && end.account != newcomer.sender);
                pays_more.then_some(own.rate)
            })
    }

    /// The rate of what would have to go for a newcomer that takes so much memory.
    pub(super) fn rate_of_room(&self, memory: u64) -> u64 {
        let excess = (self.memory + memory).saturating_sub(self.limit);
        self.plan(excess, None)
            .map_or(u64::MAX, |victims| victims.rate)
    }

    /// Lets go what was planned.
    pub(super) fn make_room(&mut self, victims: &Victims, next: &Next<'_>) -> Vec<Left> {
        let mut left = Vec::new();
        for (account, kept) in &victims.kept {
            let mut queue = self.take(account);
            for waiting in queue.split_off(*kept) {
                self.unindex(&waiting.checked);
                left.push(Left::new(waiting, Leaving::Room));
            }
            self.put(*account, queue);
        }
        if !left.is_empty() {
            self.floor.raise(victims.rate, next.rules, next.now);
        }
        left
    }

    /// Lets go what is too much, whatever it is: after blocks gave transactions back.
    pub(super) fn trim(&mut self, next: &Next<'_>) -> Vec<Left> {
        let excess = self.memory.saturating_sub(self.limit);
        let victims = self.plan(excess, None).unwrap_or_default();
        self.make_room(&victims, next)
    }
}
