//! The node's own miner: a template that follows the tip and the mempool, and slices of nonces.
//!
//! One search is under way at a time, so that one worker at most is busy with it, and each is a
//! slice that lasts no longer than [`SLICE`]: what else there is to do waits no longer than that.
//! Between slices the node rests for a moment, in which a snapshot of it can be taken.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};
use crate::chain::{CheckedTransaction, Template};
use crate::types::{Amount, BlockId, GenesisId, Header, Rules, Seal, Transaction};

use super::submission::Brought;
use super::templates::mining_time;
use super::{Event, Job, Mining, Node, Owner, Timer};

/// How long one search lasts at most, and how often one begins at a set rate.
const SLICE: Span = Span::from_millis(50);
/// How long a full slice is meant to last, so that one on a busy machine does not last too long.
const SLICE_AIM: Span = Span::from_millis(40);
/// How long a miner without a set rate rests between slices.
const REST: Span = Span::from_millis(1);
/// The hashes of the first slice, about a millisecond of them.
const FIRST_SLICE: u64 = 10_000;
/// The least hashes of a slice; a machine that needs longer for them is not one to mine on.
const LEAST_SLICE: u64 = 1_000;
/// How often the template takes in new transactions.
const REFRESH: Span = Span::from_millis(1_000);

/// The state of the miner.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Miner {
    mining: Mining,
    /// Has a form of its own in a snapshot: [`TemplateSnapshot`].
    #[serde(skip)]
    template: Option<Template>,
    /// What the search under way is on, where a newer template has taken its place.
    #[serde(skip)]
    before: Option<Template>,
    made: Time,
    /// Whether the mempool has changed since the template was made.
    stale: bool,
    assembling: bool,
    /// The search under way: how many nonces, and since when.
    searching: Option<(u64, Time)>,
    nonce: u64,
    /// Up to when the hashes of the set rate are spent.
    spent: Time,
    /// How many hashes a slice may have, by how long the last ones took.
    slice: u64,
}

/// The form of a miner's template in a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TemplateSnapshot {
    header: Header,
    transactions: Vec<Transaction>,
    reward: Amount,
    tips: Amount,
}

impl Miner {
    pub(super) fn new(mining: Mining, now: Time) -> Self {
        Self {
            mining,
            template: None,
            before: None,
            made: now,
            stale: false,
            assembling: false,
            searching: None,
            nonce: 0,
            spent: now,
            slice: FIRST_SLICE,
        }
    }

    /// The block that is being mined, as a snapshot holds it.
    pub(super) fn template_snapshot(&self) -> Option<TemplateSnapshot> {
        let template = self.template.as_ref()?;
        let transactions = template.transactions.iter();
        Some(TemplateSnapshot {
            header: template.header.clone(),
            transactions: transactions.map(|own| own.transaction.clone()).collect(),
            reward: template.reward,
            tips: template.tips,
        })
    }

    /// Goes on with the block of a snapshot.
    pub(super) fn restore_template(&mut self, mined: TemplateSnapshot, genesis_id: &GenesisId) {
        let transactions = mined.transactions.into_iter();
        let checked = |own| Arc::new(CheckedTransaction::new(own, genesis_id));
        self.template = Some(Template {
            header: mined.header,
            transactions: transactions.map(checked).collect(),
            reward: mined.reward,
            tips: mined.tips,
        });
    }

    /// How many hashes may be tried now, and up to when the set rate is spent by them. What was
    /// not searched in time is not made up for, so that a node that was busy or stopped does not
    /// hash faster afterwards than its rate; but for the part of a hash that is left over, without
    /// which a miner of 39 hashes a second would try 20.
    fn allowed(&self, now: Time) -> (u64, Time) {
        let Some(rate) = self.mining.hashrate else {
            return (self.slice, now);
        };
        let (rate, second) = (u128::from(rate.max(1)), 1_000_000);
        let span = |hashes: u128| {
            let micros = (hashes * second).div_ceil(rate);
            Span::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
        };
        let since = now.since(self.spent).min(SLICE.times(2) + span(1));
        let hashes = rate * u128::from(since.as_micros()) / second;
        if hashes > u128::from(self.slice) {
            return (self.slice, now);
        }
        let left = since.as_micros().saturating_sub(span(hashes).as_micros());
        (hashes as u64, now - Span::from_micros(left))
    }

    /// Learns from a search how many hashes fit a slice.
    fn learn(&mut self, count: u64, took: Span) {
        let fit = u128::from(count) * u128::from(SLICE_AIM.as_micros());
        let fit = fit / u128::from(took.as_micros().max(1));
        let fit = u64::try_from(fit).unwrap_or(u64::MAX);
        // A slice that was not full says nothing about how many more there might have been.
        if fit < self.slice || count == self.slice {
            let (half, twice) = (self.slice / 2, self.slice.saturating_mul(2));
            self.slice = fit.clamp(half, twice).max(LEAST_SLICE);
        }
    }
}

impl Node {
    /// The mempool changed: the next template differs.
    pub(super) fn note_miner_is_stale(&mut self) {
        if let Some(miner) = &mut self.miner {
            miner.stale = true;
        }
    }

    /// Does what is due: a new template, or the next slice of nonces on the one there is.
    pub(super) fn mine(&mut self, now: Time) {
        if self.disk_full {
            // A block found now could not be kept.
            self.timers.set(Timer::Mine, now + REFRESH);
            return;
        }
        let tip = self.chain.tip();
        let Some(miner) = &mut self.miner else { return };
        self.timers.set(Timer::Mine, now + SLICE);
        let current = miner.template.as_ref().map(|t| t.header.parent_id) == Some(tip);
        if !current {
            miner.template = None;
        }
        // A block that is on its way, or held because it is ahead of the clock, is to be the next:
        // another beside it would be work for nothing.
        if self.submissions.has_child_of(&tip) {
            return;
        }
        let refresh = miner.stale && now >= miner.made + REFRESH;
        if !miner.assembling && (!current || refresh) {
            (miner.assembling, miner.stale, miner.made) = (true, false, now);
            let beneficiary = miner.mining.beneficiary;
            let assembly = self.assembly(beneficiary, now);
            self.run(
                Owner::Assembly { parent: tip },
                Job::Assemble(Box::new(assembly)),
            );
        }
        self.search(now);
    }

    pub(super) fn assembled(&mut self, parent: BlockId, template: Template, now: Time) {
        let tip = self.chain.tip();
        let start = self.rng.next_u64();
        let Some(miner) = &mut self.miner else { return };
        miner.assembling = false;
        if parent == tip && !self.submissions.has_child_of(&tip) {
            let before = miner.template.replace(template);
            // Only the first that a search is followed by is what it is on.
            if miner.searching.is_some() && miner.before.is_none() {
                miner.before = before;
            }
            miner.nonce = start;
            self.search(now);
        }
    }

    /// Tries the next nonces.
    fn search(&mut self, now: Time) {
        let parent = self.chain.tip_entry().header.clone();
        let Some(miner) = &mut self.miner else { return };
        let (count, spent) = miner.allowed(now);
        let Some(template) = &mut miner.template else {
            return;
        };
        let current = template.header.parent_id == self.chain.tip();
        if miner.searching.is_some() || !current || count == 0 {
            return;
        }
        (miner.spent, miner.searching) = (spent, Some((count, now)));
        let rules = Rules::at(&self.config.genesis, template.header.height);
        template.header.time = mining_time(&parent, rules, now);
        let header = Box::new(template.header.clone());
        let start = miner.nonce;
        miner.nonce = start.wrapping_add(count);
        let owner = Owner::Search {
            header: header.clone(),
        };
        let job = Job::Search {
            header,
            start,
            count,
        };
        self.run(owner, job);
    }

    pub(super) fn searched(&mut self, mut header: Header, nonce: Option<u64>, now: Time) {
        let Some(miner) = &mut self.miner else { return };
        if let Some((count, since)) = miner.searching.take() {
            miner.learn(count, now.since(since));
        }
        let before = miner.before.take();
        if miner.mining.hashrate.is_none() {
            self.timers.set_earlier(Timer::Mine, now + REST);
        }
        // Nothing found: the timer starts the next slice, and between slices the node is quiet.
        let Some(found) = nonce else { return };
        let is_it = |template: &Template| {
            let own = &template.header;
            (own.parent_id, own.tx_root) == (header.parent_id, header.tx_root)
        };
        let newest = miner.template.take_if(|newest| is_it(newest));
        let Some(template) = newest.or(before.filter(is_it)) else {
            return;
        };
        // The next is made when this block is the tip.
        miner.template = None;
        if let Seal::Work { nonce, .. } = &mut header.seal {
            *nonce = found;
        }
        let (id, height) = (header.id(), header.height);
        self.event(Event::Mined { height, id });
        let block = Brought::Assembled(Box::new(template.block(header.clone())));
        self.bring(None, &header, block, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_rate_is_kept_and_nothing_is_made_up_for() {
        for rate in [1, 7, 19, 20, 33, 39, 1_000, 12_345] {
            let mut now = Time::from_millis(1_700_000_000_000);
            let mining = Mining {
                beneficiary: crate::types::AccountId([1; 32]),
                hashrate: Some(rate),
            };
            let mut miner = Miner::new(mining, now);
            let (mut tried, began) = (0, now);
            let mut take = |miner: &mut Miner, now| {
                let (count, spent) = miner.allowed(now);
                if count > 0 {
                    miner.spent = spent;
                    tried += count;
                }
                tried
            };
            // Slices, and other reasons to look in between.
            for step in 0..4_000_u64 {
                now += Span::from_millis([50, 23, 27, 50][(step % 4) as usize]);
                take(&mut miner, now);
            }
            let passed = now.since(began).as_millis();
            let tried = take(&mut miner, now);
            let wanted = rate * passed / 1_000;
            // Time is in whole microseconds.
            let off = tried.abs_diff(wanted);
            assert!(off <= 1 + wanted / 10_000, "{tried} of {wanted} at {rate}");
            let after = take(&mut miner, now + Span::from_secs(100));
            assert!(after - tried <= 1 + rate / 10, "{rate}: {}", after - tried);
        }
    }
}
