//! Mining at a set rate: a template that follows the tip and the mempool, and slices of nonces.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};
use crate::chain::{Assembly, CheckedBlock, Template};
use crate::codec::Encode;
use crate::consensus::next_base_fee;
use crate::types::{Block, BlockId, Hash, Header, Millis, Rules, Seal, Weight};

use super::{Effect, Event, Job, JobId, Mining, Node, Output, Owner, Timer};

/// How long one search lasts at the set rate.
const SLICE: Span = Span::from_millis(100);
/// How often the template takes in new transactions.
const REFRESH: Span = Span::from_millis(1_000);

/// The state of the miner.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Miner {
    mining: Mining,
    #[serde(skip)]
    template: Option<Template>,
    made: Time,
    /// Whether the mempool has changed since the template was made.
    stale: bool,
    assembling: bool,
    searching: Option<JobId>,
    nonce: u64,
    /// Up to when the hashes of the set rate are spent.
    spent: Time,
}

impl Miner {
    pub(super) fn new(mining: Mining, now: Time) -> Self {
        Self {
            mining,
            template: None,
            made: now,
            stale: false,
            assembling: false,
            searching: None,
            nonce: 0,
            spent: now,
        }
    }

    /// The header that is being mined on.
    pub(super) fn template_header(&self) -> Option<&Header> {
        self.template.as_ref().map(|template| &template.header)
    }

    /// Lets the next slice begin with a new template.
    pub(super) fn drop_template(&mut self) {
        self.template = None;
    }
}

impl Node {
    /// The mempool changed: the next template differs.
    pub(super) fn note_mempool_change(&mut self) {
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
        let current = miner
            .template
            .as_ref()
            .is_some_and(|t| t.header.parent_id == tip);
        if !current {
            miner.template = None;
            if let Some(job) = miner.searching {
                self.outputs.push_back(Output::Abandon(job));
            }
        }
        let refresh = miner.stale && now >= miner.made + REFRESH;
        if !miner.assembling && (!current || refresh) {
            self.assemble(now);
        }
        self.search(now);
        self.timers.set(Timer::Mine, now + SLICE);
    }

    fn assemble(&mut self, now: Time) {
        let base = self.chain.tip_state().clone();
        let parent = &base.header;
        let Some(miner) = &mut self.miner else { return };
        let rules = Rules::at(&self.config.genesis, parent.height.next());
        let header = Header {
            height: parent.height.next(),
            parent_id: base.id,
            time: mining_time(parent, rules, now),
            tx_root: Hash::ZERO,
            state_root: Hash::ZERO,
            history_root: Hash::ZERO,
            base_fee: next_base_fee(rules, parent.base_fee, base.weight),
            beneficiary: miner.mining.beneficiary,
            parent_weight: base.weight,
            seal: Seal::Work {
                bits: self.chain.header_rules().next_bits(&parent.into()),
                nonce: 0,
            },
        };
        let candidates = self.mempool.candidates(u64::from(rules.max_block_weight));
        (miner.assembling, miner.stale, miner.made) = (true, false, now);
        let genesis = Arc::clone(&self.config.genesis);
        let owner = Owner::Assembly { parent: base.id };
        let assembly = Assembly {
            genesis,
            base,
            header,
            candidates,
        };
        self.run(owner, Job::Assemble(Box::new(assembly)));
    }

    pub(super) fn assembled(&mut self, parent: BlockId, template: Template, now: Time) {
        let tip = self.chain.tip();
        let start = self.rng.next_u64();
        let Some(miner) = &mut self.miner else { return };
        miner.assembling = false;
        if parent == tip {
            miner.template = Some(template);
            miner.nonce = start;
            self.search(now);
        }
    }

    /// Tries the nonces that the set rate allows by now.
    fn search(&mut self, now: Time) {
        let parent = self.chain.tip_entry().header.clone();
        let Some(miner) = &mut self.miner else { return };
        let Some(template) = &mut miner.template else {
            return;
        };
        if miner.searching.is_some() || template.header.parent_id != self.chain.tip() {
            return;
        }
        // What was not searched in time is not made up for, so that a node that was busy or
        // stopped does not hash faster afterwards than its rate.
        let span = now.since(miner.spent).min(SLICE.times(2));
        let hashes = u128::from(miner.mining.hashrate) * u128::from(span.as_micros()) / 1_000_000;
        let Ok(count @ 1..) = u64::try_from(hashes) else {
            return;
        };
        miner.spent = now;
        let rules = Rules::at(&self.config.genesis, template.header.height);
        template.header.time = mining_time(&parent, rules, now);
        let header = Box::new(template.header.clone());
        let start = miner.nonce;
        miner.nonce = start.wrapping_add(count);
        let owner = Owner::Search {
            header: header.clone(),
        };
        let job = self.run(
            owner,
            Job::Search {
                header,
                start,
                count,
            },
        );
        if let Some(miner) = &mut self.miner {
            miner.searching = Some(job);
        }
    }

    pub(super) fn searched(&mut self, mut header: Header, nonce: Option<u64>, now: Time) {
        let Some(miner) = &mut self.miner else { return };
        miner.searching = None;
        // Nothing found: the timer starts the next slice, and between slices the node is quiet.
        let Some(found) = nonce else { return };
        let template = miner
            .template
            .take_if(|t| t.header.parent_id == header.parent_id);
        let Some(template) = template else { return };
        if let Seal::Work { nonce, .. } = &mut header.seal {
            *nonce = found;
        }
        // The template may have been refreshed since the search began: its header then differs.
        if header.tx_root != template.header.tx_root {
            miner.template = Some(template);
            return;
        }
        self.found(header, template, now);
    }

    /// A block of our own: it goes to the log first, and is seen when it is durable there.
    fn found(&mut self, header: Header, template: Template, now: Time) {
        let transactions = template.transactions;
        let plain = transactions
            .iter()
            .map(|checked| checked.transaction.clone())
            .collect();
        let block = Block {
            header: header.clone(),
            transactions: plain,
            certificate: None,
        };
        let weight = Weight(transactions.iter().map(|checked| checked.weight.0).sum());
        let (id, height) = (header.id(), header.height);
        if self.chain.add_header(&header, now).is_err() {
            return;
        }
        let bytes = block.to_bytes().into();
        let block = Arc::new(CheckedBlock {
            id,
            header,
            transactions,
            weight,
            bytes,
        });
        self.event(Event::Mined { height, id });
        self.store_block(&block, true, Effect::Own(Arc::clone(&block)));
    }

    pub(super) fn own_block_stored(&mut self, block: Arc<CheckedBlock>, now: Time) {
        self.chain.add_body(block);
        self.advance(now);
    }
}

/// The time of a new block: now, and no earlier than its parent allows.
fn mining_time(parent: &Header, rules: &Rules, now: Time) -> Millis {
    Millis(
        now.as_millis()
            .max(parent.time.0.saturating_add(rules.step_ms())),
    )
}
