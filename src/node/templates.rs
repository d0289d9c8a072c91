//! Templates for miners outside: made on demand on the executed tip, remembered for a while, and
//! for those who ask again sent when there is something better.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};
use crate::chain::{Assembly, CheckedTransaction, Mempool, StateFailure, Template};
use crate::consensus::{ParentView, next_base_fee};
use crate::types::{
    AccountId, Amount, BlockId, GenesisId, Hash, Header, Millis, Rules, Seal, Transaction, WtxId,
};

use super::work::{LongPollId, TemplateId, WorkTemplate};
use super::{CallError, CallId, Job, Node, Owner, Reply, Timer};

/// How long a template is remembered: work on an older one is lost anyway on any chain whose
/// miners ask as often as they should.
const LIFE: Span = Span::from_secs(120);
/// How many templates are remembered. They share the transactions of the block they were made of,
/// and differ in time.
const ISSUED_MAX: usize = 64;
/// How many bytes of transactions the remembered blocks may have together, but for the newest.
const BYTES_MAX: u64 = 32 << 20;
/// A block that was assembled so recently is given to whoever asks, whatever has come since.
const REFRESH: Span = Span::from_millis(1_000);
/// How many calls may wait for a block to be assembled.
const WAITING_MAX: usize = 256;
/// How many calls may wait for something better than they have: a quarter of the connections that
/// the RPC serves.
const POLLS_MAX: usize = 64;
/// How long such a call waits at most: less than the minute after which clients and what stands
/// between give up.
const POLL_TIME: Span = Span::from_secs(50);
/// A block is better by enough when its tips have grown by this part of what the last one pays.
const GROWTH: u64 = 10;

/// A block without its work, as it was assembled.
#[derive(Clone, Debug)]
struct Assembled {
    template: Arc<Template>,
    seen: Seen,
    made: Time,
}

/// How far the mempool had come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// How many transactions were accepted.
    changes: u64,
    /// The sum of their tips.
    offered: u64,
}

/// A template that was given out.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Issued {
    id: TemplateId,
    /// Of which assembled block.
    number: u64,
    time: Millis,
    until: Time,
}

/// A call that waits for something better.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Poll {
    beneficiary: AccountId,
    after: LongPollId,
    /// How much the mempool must have been offered.
    wanted: u64,
    until: Time,
}

/// What templates a node has given out, and who waits for one.
#[derive(Debug, Default)]
pub(super) struct Templates {
    assembled: BTreeMap<u64, Assembled>,
    book: Book,
}

/// The part of it that has a form by itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Book {
    /// The oldest first.
    issued: VecDeque<Issued>,
    next_number: u64,
    waiting: Vec<(CallId, AccountId)>,
    assembling: bool,
    polls: BTreeMap<CallId, Poll>,
    /// The least that a poll still waits for the mempool to be offered.
    wanted_least: Option<u64>,
    seen: Seen,
}

/// The form of [`Templates`] in a snapshot: transactions by name, and those of them that the
/// mempool does not have any more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TemplatesSnapshot {
    assembled: Vec<AssembledSnapshot>,
    transactions: Vec<Transaction>,
    book: Book,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct AssembledSnapshot {
    number: u64,
    header: Header,
    transactions: Vec<WtxId>,
    reward: Amount,
    tips: Amount,
    seen: Seen,
    made: Time,
}

impl Templates {
    pub(super) fn snapshot(&self, mempool: &Mempool) -> TemplatesSnapshot {
        let mut elsewhere = BTreeMap::new();
        let mut assembled = Vec::new();
        for (number, block) in &self.assembled {
            let transactions = &block.template.transactions;
            for checked in transactions {
                if mempool.get(&checked.wtxid).is_none() {
                    elsewhere.insert(checked.wtxid, checked.transaction.clone());
                }
            }
            assembled.push(AssembledSnapshot {
                number: *number,
                header: block.template.header.clone(),
                transactions: transactions.iter().map(|checked| checked.wtxid).collect(),
                reward: block.template.reward,
                tips: block.template.tips,
                seen: block.seen,
                made: block.made,
            });
        }
        TemplatesSnapshot {
            assembled,
            transactions: elsewhere.into_values().collect(),
            book: self.book.clone(),
        }
    }

    pub(super) fn restore(
        snapshot: TemplatesSnapshot,
        mempool: &Mempool,
        genesis_id: &GenesisId,
    ) -> Self {
        let checked = |transaction| Arc::new(CheckedTransaction::new(transaction, genesis_id));
        let elsewhere = snapshot.transactions.into_iter().map(checked);
        let elsewhere: BTreeMap<WtxId, _> = elsewhere.map(|own| (own.wtxid, own)).collect();
        let find = |wtxid: &WtxId| elsewhere.get(wtxid).or_else(|| mempool.get(wtxid)).cloned();
        let restored = |block: AssembledSnapshot| {
            let transactions: Option<Vec<_>> = block.transactions.iter().map(find).collect();
            let template = Template {
                header: block.header,
                transactions: transactions?,
                reward: block.reward,
                tips: block.tips,
            };
            let (seen, made) = (block.seen, block.made);
            let assembled = Assembled {
                template: Arc::new(template),
                seen,
                made,
            };
            Some((block.number, assembled))
        };
        Self {
            assembled: snapshot
                .assembled
                .into_iter()
                .filter_map(restored)
                .collect(),
            book: snapshot.book,
        }
    }

    /// The newest block that was assembled for somebody on this parent.
    fn newest(&self, parent: &BlockId, beneficiary: &AccountId) -> Option<(u64, &Assembled)> {
        let fits =
            |header: &Header| header.parent_id == *parent && header.beneficiary == *beneficiary;
        let mut blocks = self.assembled.iter().rev();
        blocks
            .find(|(_, block)| fits(&block.template.header))
            .map(|(number, block)| (*number, block))
    }

    /// When a poll is to be answered, as things stand.
    fn due(&self, poll: &Poll, tip: &BlockId, now: Time) -> Time {
        let offered = self.book.seen.offered;
        // A poll that has seen more than was ever offered is from before a restart.
        if poll.after.tip != *tip || poll.after.offered > offered {
            return now;
        }
        if offered < poll.wanted {
            return poll.until;
        }
        let newest = self.newest(tip, &poll.beneficiary);
        newest
            .map_or(now, |(_, block)| block.made + REFRESH)
            .min(poll.until)
    }

    /// Forgets what is too old or too much.
    fn trim(&mut self, now: Time) {
        let issued = &mut self.book.issued;
        while issued.len() > ISSUED_MAX || issued.front().is_some_and(|old| old.until <= now) {
            issued.pop_front();
        }
        let used = |number: &u64| issued.iter().any(|issued| issued.number == *number);
        self.assembled.retain(|number, _| used(number));
        let bytes = |block: &Assembled| -> u64 {
            let transactions = block.template.transactions.iter();
            transactions.map(|checked| u64::from(checked.bytes)).sum()
        };
        let mut sum: u64 = self.assembled.values().map(bytes).sum();
        while sum > BYTES_MAX && self.assembled.len() > 1 {
            if let Some((number, block)) = self.assembled.pop_first() {
                sum -= bytes(&block);
                self.book.issued.retain(|issued| issued.number != number);
            }
        }
    }

    /// The block of a template that is still remembered, with the time it was given out with.
    pub(super) fn find(&self, id: &TemplateId, now: Time) -> Option<(&Template, Millis)> {
        let mut issued = self.book.issued.iter();
        let issued = issued.find(|issued| issued.id == *id && issued.until > now)?;
        let block = self.assembled.get(&issued.number)?;
        Some((&block.template, issued.time))
    }
}

impl Node {
    /// Somebody wants a block to mine for `beneficiary`: at once, or when there is something
    /// better than what was seen `after`.
    pub(super) fn template_asked(
        &mut self,
        call: CallId,
        beneficiary: AccountId,
        after: Option<LongPollId>,
        now: Time,
    ) {
        if let Err(refusal) = self.takes_blocks() {
            return self.answer(call, Err(refusal));
        }
        let Some(after) = after else {
            return self.want_template(call, beneficiary, now);
        };
        if self.templates.book.polls.len() >= POLLS_MAX {
            return self.answer(call, Err(CallError::Busy));
        }
        let height = self.chain.tip_entry().header.height.next();
        let scheduled = Rules::at(&self.config.genesis, height).reward.at(height);
        let newest = self.templates.newest(&self.chain.tip(), &beneficiary);
        let pays = newest.map_or(scheduled, |(_, block)| {
            block
                .template
                .reward
                .0
                .saturating_add(block.template.tips.0)
        });
        let poll = Poll {
            beneficiary,
            after,
            wanted: after.offered.saturating_add((pays / GROWTH).max(1)),
            until: now + POLL_TIME,
        };
        self.templates.book.polls.insert(call, poll);
        self.answer_polls(now);
    }

    /// Whoever asked may have gone: a poll gives its place free, and is answered with what there
    /// is, as if its time were up.
    pub(super) fn call_left(&mut self, call: CallId, now: Time) {
        if let Some(poll) = self.templates.book.polls.remove(&call) {
            self.want_template(call, poll.beneficiary, now);
        }
    }

    /// Answers the polls that are due, and sets the timer for the others.
    pub(super) fn answer_polls(&mut self, now: Time) {
        let tip = self.chain.tip();
        let (mut due, mut next, mut least) = (Vec::new(), None, None);
        for (call, poll) in &self.templates.book.polls {
            let at = self.templates.due(poll, &tip, now);
            if at <= now {
                due.push((*call, poll.beneficiary));
                continue;
            }
            next = Some(next.map_or(at, |next: Time| next.min(at)));
            if self.templates.book.seen.offered < poll.wanted {
                least = Some(least.map_or(poll.wanted, |least: u64| least.min(poll.wanted)));
            }
        }
        self.templates.book.wanted_least = least;
        match next {
            Some(at) => self.timers.set(Timer::Templates, at),
            None => {
                self.timers.clear(&Timer::Templates);
            }
        }
        for (call, beneficiary) in due {
            self.templates.book.polls.remove(&call);
            self.want_template(call, beneficiary, now);
        }
    }

    /// The mempool has taken a transaction: templates can be better now.
    pub(super) fn note_mempool_change(&mut self, checked: &CheckedTransaction, now: Time) {
        let (_, _, base_fee) = self.next_rules();
        let burned = u128::from(base_fee) * u128::from(checked.weight.0);
        let burned = u64::try_from(burned.div_ceil(1_000)).unwrap_or(u64::MAX);
        let tip = checked.transaction.fee.0.saturating_sub(burned);
        let book = &mut self.templates.book;
        book.seen.changes += 1;
        book.seen.offered = book.seen.offered.saturating_add(tip);
        if book
            .wanted_least
            .is_some_and(|wanted| wanted <= book.seen.offered)
        {
            self.timers.set_earlier(Timer::Templates, now);
        }
        self.note_miner_is_stale();
    }

    /// Gives a call a template, now or when one is assembled.
    fn want_template(&mut self, call: CallId, beneficiary: AccountId, now: Time) {
        let newest = self.templates.newest(&self.chain.tip(), &beneficiary);
        let seen = self.templates.book.seen;
        let fresh = newest.filter(|(_, block)| block.seen == seen || now < block.made + REFRESH);
        if let Some((number, _)) = fresh {
            self.issue(call, number, now);
        } else if self.templates.book.waiting.len() >= WAITING_MAX {
            self.answer(call, Err(CallError::Busy));
        } else {
            self.templates.book.waiting.push((call, beneficiary));
            self.assemble_for_callers(now);
        }
    }

    /// Starts the assembly that the first of those who wait needs. One at a time: it keeps one
    /// worker busy, and the others stay free for blocks.
    fn assemble_for_callers(&mut self, now: Time) {
        let book = &mut self.templates.book;
        let Some((_, beneficiary)) = book.waiting.first().copied() else {
            return;
        };
        if std::mem::replace(&mut book.assembling, true) {
            return;
        }
        let seen = book.seen;
        let assembly = self.assembly(beneficiary, now);
        let parent = assembly.base.id;
        let owner = Owner::CallerAssembly { parent, seen };
        self.run(owner, Job::Assemble(Box::new(assembly)));
    }

    /// A block was assembled for miners outside.
    pub(super) fn assembled_for_callers(
        &mut self,
        parent: BlockId,
        seen: Seen,
        assembled: Result<Box<Template>, StateFailure>,
        now: Time,
    ) {
        self.templates.book.assembling = false;
        let template = match assembled {
            Ok(template) => Arc::<Template>::from(template),
            Err(error) => {
                self.state_failed(&error);
                for (call, _) in std::mem::take(&mut self.templates.book.waiting) {
                    self.answer(call, Err(CallError::Failed(error.to_string())));
                }
                return;
            }
        };
        // When the tip has moved meanwhile, nobody is given a block on the old one.
        if parent == self.chain.tip() {
            let beneficiary = template.header.beneficiary;
            let number = self.templates.book.next_number;
            self.templates.book.next_number += 1;
            let block = Assembled {
                template,
                seen,
                made: now,
            };
            self.templates.assembled.insert(number, block);
            let waiting = std::mem::take(&mut self.templates.book.waiting);
            for (call, whose) in waiting {
                if whose == beneficiary {
                    self.issue(call, number, now);
                } else {
                    self.templates.book.waiting.push((call, whose));
                }
            }
        }
        self.assemble_for_callers(now);
    }

    /// Gives a call a template of an assembled block.
    fn issue(&mut self, call: CallId, number: u64, now: Time) {
        let Some(block) = self.templates.assembled.get(&number) else {
            return self.answer(call, Err(CallError::Busy));
        };
        let template = &block.template;
        let mut header = template.header.clone();
        let Some(parent) = self.chain.tree().get(&header.parent_id) else {
            // It was the tip long ago, and its record is damaged.
            return self.answer(call, Err(CallError::Busy));
        };
        let parent = &parent.header;
        let rules = Rules::at(&self.config.genesis, header.height);
        header.time = mining_time(parent, rules, now);
        let id = TemplateId::of(&header);
        let reply = WorkTemplate {
            id,
            target: self
                .chain
                .header_rules()
                .check_target(&header)
                .expect("the target rule gives targets"),
            earliest: self
                .chain
                .header_rules()
                .earliest_child(&ParentView::from(parent)),
            latest: Millis(now.as_millis().saturating_add(rules.future_limit_ms())),
            expires: LIFE,
            poll: LongPollId {
                tip: header.parent_id,
                offered: block.seen.offered,
            },
            block: Arc::clone(template),
            weight: template.weight(),
            reward: template.reward,
            tips: template.tips,
            header,
        };
        let issued = &mut self.templates.book.issued;
        issued.retain(|issued| issued.id != id);
        issued.push_back(Issued {
            id,
            number,
            time: reply.header.time,
            until: now + LIFE,
        });
        self.templates.trim(now);
        self.answer(call, Ok(Reply::Template(Box::new(reply))));
    }

    /// Everything that assembling a block on the tip needs. The tip is executed: nothing is ever
    /// built on a header alone.
    pub(super) fn assembly(&self, beneficiary: AccountId, now: Time) -> Assembly {
        let base = self.chain.tip_state().clone();
        let parent = &base.header;
        let height = parent.height.next();
        let rules = Rules::at(&self.config.genesis, height);
        let header = Header {
            height,
            parent_id: base.id,
            time: mining_time(parent, rules, now),
            tx_root: Hash::ZERO,
            state_root: Hash::ZERO,
            history_root: Hash::ZERO,
            base_fee: next_base_fee(rules, parent.base_fee, base.weight),
            beneficiary,
            parent_weight: base.weight,
            seal: Seal::Work {
                bits: self.chain.header_rules().next_bits(&parent.into()),
                nonce: 0,
            },
        };
        let limit = u64::from(rules.max_block_weight);
        Assembly {
            genesis: Arc::clone(&self.config.genesis),
            candidates: self.mempool.candidates(limit, header.base_fee),
            base,
            header,
        }
    }
}

/// The time of a new block: now, and no earlier than its parent allows. On a chain that is ahead
/// of the clock that is ahead of the clock, too; such a block is held until it is due.
pub(super) fn mining_time(parent: &Header, rules: &Rules, now: Time) -> Millis {
    let earliest = parent.time.0.saturating_add(rules.step_ms());
    Millis(now.as_millis().max(earliest))
}
