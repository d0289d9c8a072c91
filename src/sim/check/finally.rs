//! Checks at the end of a run, on a core of nodes that was healed and came to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::Span;
use crate::codec::{Decode, DecodeError, Reader};
use crate::node::{CallError, CallId, Node, Question, Reply, TransactionStatus};
use crate::sim::workload::{
    Acknowledged, Excuses, Facts, Payment, PaymentKind, Place, Standing, Workload,
};
use crate::sim::{NodeIndex, World};
use crate::types::{AccountId, BlockId, Genesis, Header, Height, Op, Rules, Transaction, TxId};

use super::{Checker, Included, Reference, Violation, Watch};

/// How long an honest node may take to answer a call at the end: nothing else is going on.
const ANSWER_WITHIN: Span = Span::from_secs(20);
/// How many calls are under way at once.
const CALLS_MAX: usize = 64;

/// What became of transactions that were acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// In the best chain.
    pub included: u64,
    /// The other of two that were made at once, of one account and nonce, is in the best chain.
    pub conflicting: u64,
    /// Too late for any block.
    pub expired: u64,
    /// One that its account made to replace it is in the best chain, or waits.
    pub replaced: u64,
    /// It, or one before it, paid too little to keep its room in the mempool.
    pub evicted: u64,
    /// In the mempool, or kept aside, at the node that answered for it.
    pub waiting: u64,
    /// Whoever answered for it lost its disk, or is not part of the core.
    pub excused: u64,
}

/// The checks at the end.
pub struct Finally<'a> {
    world: &'a mut World,
    watch: &'a mut Watch,
    core: &'a [NodeIndex],
    reference: Reference,
    /// After how many happenings of the world it asks no more.
    until: u64,
}

impl<'a> Finally<'a> {
    /// Checks of this core, whose nodes stand on one chain.
    #[must_use]
    pub fn new(
        world: &'a mut World,
        watch: &'a mut Watch,
        core: &'a [NodeIndex],
        genesis: Arc<Genesis>,
    ) -> Self {
        Self {
            world,
            watch,
            core,
            reference: Reference::new(genesis),
            until: u64::MAX,
        }
    }

    /// Asks no more after so many happenings of the world, and checks nothing from then on.
    #[must_use]
    pub const fn until(mut self, event: u64) -> Self {
        self.until = event;
        self
    }

    const fn is_over(&self) -> bool {
        self.world.happenings() >= self.until
    }

    fn violation(&mut self, checker: Checker, node: Option<NodeIndex>, what: String) {
        let at = self.world.now();
        self.watch.report(Violation {
            checker,
            at,
            node,
            what,
        });
    }

    /// Asks questions, each of one node, and gives the answers in their order. Whoever `must`
    /// answer and does not in time is at fault; else the rest of the questions goes unasked.
    fn ask(
        &mut self,
        questions: Vec<(NodeIndex, Question)>,
        must: bool,
    ) -> Vec<Result<Reply, CallError>> {
        let mut replies = Vec::with_capacity(questions.len());
        let mut questions = questions.into_iter().peekable();
        while questions.peek().is_some() {
            let some: Vec<_> = questions.by_ref().take(CALLS_MAX).collect();
            let calls: Vec<(NodeIndex, CallId)> = some
                .into_iter()
                .map(|(node, question)| (node, self.world.call(node, question)))
                .collect();
            let until = self.world.now() + ANSWER_WITHIN;
            for (node, call) in calls {
                let reply = loop {
                    if let Some(reply) = self.world.reply(call) {
                        break reply;
                    }
                    if self.is_over() {
                        break Err(CallError::Busy);
                    }
                    if self.world.now() >= until && !must {
                        return replies;
                    }
                    if self.world.now() >= until {
                        self.violation(Checker::Liveness, Some(node), "it does not answer".into());
                        break Err(CallError::Busy);
                    }
                    self.world.step();
                    self.watch.look(self.world);
                };
                replies.push(reply);
            }
        }
        replies
    }

    /// Every block that was ever the tip of an honest node, and what it stands on, is valid by
    /// the reference. The core is asked first, and then every other honest node that runs; blocks
    /// that none of them has were those of machines that are off or lost their disks.
    pub fn check_validity(&mut self) {
        let others = (0..self.world.len()).map(NodeIndex);
        let others = others.filter(|node| self.world.is_honest(*node) && !self.core.contains(node));
        let honest: Vec<NodeIndex> = self.core.iter().copied().chain(others).collect();
        let tips = self.watch.tips().copied();
        let mut missing: Vec<BlockId> = tips.filter(|id| !self.reference.knows(id)).collect();
        let mut found: BTreeMap<(u64, BlockId), Vec<u8>> = BTreeMap::new();
        while !missing.is_empty() {
            let mut parents = Vec::new();
            // Who has a block may be unable to read it: then the next one is asked.
            for node in &honest {
                let holds = |id: &&BlockId| {
                    let running = self.world.node(*node);
                    running.is_some_and(|running| running.knows_block(id))
                };
                let held = missing.iter().filter(holds);
                let questions = held.map(|id| (*node, Question::Block(*id))).collect();
                let replies = self.ask(questions, self.core.contains(node));
                if self.is_over() {
                    return;
                }
                for reply in replies {
                    let Ok(Reply::Block { id, bytes, .. }) = reply else {
                        continue;
                    };
                    let Ok(header) = header_of(&bytes) else {
                        continue;
                    };
                    parents.push(header.parent_id);
                    missing.retain(|other| *other != id);
                    found.insert((header.height.0, id), bytes.to_vec());
                }
            }
            parents.sort_unstable();
            parents.dedup();
            let known = |id: &BlockId| found.keys().any(|(_, other)| other == id);
            parents.retain(|id| !known(id) && !self.reference.knows(id));
            missing = parents;
        }
        for ((height, id), bytes) in found {
            // Below a dead branch a block may be on damaged disks alone; nothing that stands on it
            // can be judged then.
            let parent = header_of(&bytes).map(|header| header.parent_id);
            let is_cut_off = parent.is_ok_and(|parent| !self.reference.knows(&parent));
            if height > 0
                && !is_cut_off
                && let Err(rule) = self.reference.add(&bytes)
            {
                let what = format!("block {id} at height {height} was a tip: {rule}");
                self.violation(Checker::Validity, None, what);
                return;
            }
        }
    }

    /// Every account and the supply at every node of the core are those of the reference.
    pub fn check_state(&mut self) {
        if self.is_over() {
            return;
        }
        for node in self.core {
            let Some(published) = self.world.published(*node).cloned() else {
                continue;
            };
            let tip = published.tip;
            let Some(wanted) = self.reference.supply(&tip) else {
                continue;
            };
            if wanted != *published.state.supply() {
                let found = published.state.supply();
                let what = format!("after {tip}: {found:?}, by the blocks {wanted:?}");
                self.violation(Checker::Supply, Some(*node), what);
            }
            let accounts = self.reference.accounts(&tip).into_iter().flatten();
            let wrong = accounts.map(|(id, (balance, nonce))| {
                let account = published.state.account(id);
                let found = account.map(|it| it.map(|it| (it.balance.0, it.nonce.0)));
                (*id, (*balance, *nonce), found)
            });
            let wrong = wrong.filter(|(_, wanted, found)| *found != Ok(Some(*wanted)));
            let wrong: Vec<_> = wrong.take(1).collect();
            for (id, wanted, found) in wrong {
                let what = format!("account {id} after {tip}: {found:?}, by the blocks {wanted:?}");
                self.violation(Checker::Supply, Some(*node), what);
            }
        }
    }

    /// Nothing acknowledged is lost. `excused` says whose promises are void.
    pub fn check_acknowledged(
        &mut self,
        workload: &Workload,
        excused: impl Fn(NodeIndex) -> bool,
    ) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for swindle in workload.fallen_for() {
            let what = format!(
                "it accepted transaction {} at {} ms, which no block may have ({})",
                swindle.txid,
                swindle.at.as_millis(),
                swindle.cheat
            );
            self.violation(Checker::Validity, Some(swindle.node), what);
        }
        // Each node's promises by its own chain, which may be some blocks ahead of others'; those
        // of nodes that are not of the core by the first one's.
        let chains = self.tips();
        if self.is_over() {
            return outcomes;
        }
        let unjudged = chains.iter().find(|(_, tip)| !self.reference.knows(tip));
        if let Some((node, tip)) = unjudged {
            let what = format!("its tip {tip} stands on blocks that nobody could give");
            self.violation(Checker::Validity, Some(*node), what);
            return outcomes;
        }
        let tips: BTreeSet<BlockId> = chains.values().copied().collect();
        let tips: BTreeMap<BlockId, Chain> = tips
            .into_iter()
            .map(|tip| (tip, Chain::of(&self.reference, &tip)))
            .collect();
        let Some(first) = chains.values().next() else {
            return outcomes;
        };
        let rules = self.world.config().genesis.rules;
        for one in workload.acknowledged() {
            let Chain {
                height,
                included,
                accounts,
            } = &tips[chains.get(&one.by).unwrap_or(first)];
            let height = *height;
            let payment = &one.payment;
            let (account, nonce) = (payment.account, payment.nonce.0);
            match included.get(&(account, nonce)) {
                Some(txid) if *txid == payment.txid => outcomes.included += 1,
                Some(rival) if replaces(workload, payment, rival) => outcomes.replaced += 1,
                Some(_) => outcomes.conflicting += 1,
                None if is_late(payment.expiry, height) => outcomes.expired += 1,
                None if excused(one.by) => outcomes.excused += 1,
                None => {
                    let (balance, nonce) = accounts.get(&account).copied().unwrap_or_default();
                    let facts = Facts {
                        height,
                        nonce,
                        balance,
                    };
                    let is_short = |of: &Payment| is_short(of, accounts, &rules);
                    let node = self.world.node(one.by);
                    let place = |txid: &TxId| place_of(node, txid);
                    let floor = self.watch.floor(one.by);
                    let excuses = Excuses {
                        is_short: &is_short,
                        is_cheap: &|of| is_cheap(of, floor),
                        is_void: &excused,
                    };
                    let standing = workload.standing(one, &facts, &place, &excuses);
                    self.look_after(one, &facts, standing, &mut outcomes);
                }
            }
        }
        outcomes
    }

    /// The tip of each node of the core. Blocks that were mined while nodes were asked are looked
    /// at first.
    fn tips(&mut self) -> BTreeMap<NodeIndex, BlockId> {
        let mut looked_for = BTreeSet::new();
        loop {
            let shown = self.core.iter().filter_map(|node| {
                let published = self.world.published(*node)?;
                Some((*node, published.tip))
            });
            let tips: BTreeMap<NodeIndex, BlockId> = shown.collect();
            let mut is_new = |id: &BlockId| !self.reference.knows(id) && looked_for.insert(*id);
            if !tips.values().any(&mut is_new) || self.is_over() {
                return tips;
            }
            self.check_validity();
        }
    }

    /// What became of a promised payment that is not in the chain.
    fn look_after(
        &mut self,
        one: &Acknowledged,
        facts: &Facts,
        standing: Standing,
        outcomes: &mut Outcomes,
    ) {
        let world = &*self.world;
        match standing {
            // The reference has every transaction of the chain, and not this one.
            Standing::Included | Standing::Lost => {
                let payment = &one.payment;
                let status = world
                    .node(one.by)
                    .map(|node| node.transaction_status(&payment.txid));
                let what = format!(
                    "it acknowledged transaction {} ({:?} of account {}, nonce {}) at {} ms, which \
                     is in no block up to the tip at height {}, where the account has {} and nonce \
                     {}; the node says {status:?}",
                    payment.txid,
                    payment.kind,
                    payment.account,
                    payment.nonce,
                    one.at.as_millis(),
                    facts.height,
                    facts.balance,
                    facts.nonce,
                );
                self.violation(Checker::Acknowledged, Some(one.by), what);
            }
            Standing::Expired => outcomes.expired += 1,
            Standing::Replaced => outcomes.replaced += 1,
            Standing::Evicted => outcomes.evicted += 1,
            Standing::Kept | Standing::Stranded | Standing::Unfunded => outcomes.waiting += 1,
        }
    }
}

/// Whether `rival` was made to take the place of a payment, and not beside it.
fn replaces(workload: &Workload, payment: &Payment, rival: &TxId) -> bool {
    let rivals = workload.rivals(&payment.account, payment.nonce);
    let rival = rivals.iter().find(|made| made.txid == *rival);
    rival.is_some_and(|rival| {
        let is_meant = matches!(
            rival.kind,
            PaymentKind::Replacement | PaymentKind::Redirected
        );
        is_meant && rival.fee > payment.fee
    })
}

/// What the reference says of the chain that ends with a tip.
struct Chain {
    height: Height,
    included: Included,
    accounts: BTreeMap<AccountId, (u64, u64)>,
}

impl Chain {
    fn of(reference: &Reference, tip: &BlockId) -> Self {
        Self {
            height: reference.height(tip).unwrap_or(Height::GENESIS),
            included: reference.included(tip),
            accounts: reference.accounts(tip).cloned().unwrap_or_default(),
        }
    }
}

/// Whether what expires with a height can be in no block after a tip of another.
pub(super) fn is_late(expiry: Height, tip: Height) -> bool {
    expiry != Height(0) && tip >= expiry
}

/// Where a node has a transaction.
pub(super) fn place_of(node: Option<&Node>, txid: &TxId) -> Place {
    match node.map(|node| node.transaction_status(txid)) {
        Some(Ok(TransactionStatus::Included { .. })) => Place::Included,
        Some(Ok(TransactionStatus::Waiting | TransactionStatus::Aside(_))) => Place::Kept,
        _ => Place::Nowhere,
    }
}

/// Whether a payment is too cheap for the accounts that it would create, however little blocks
/// burn: a reorganisation may have taken an account that was there when it was made.
fn is_short(payment: &Payment, accounts: &BTreeMap<AccountId, (u64, u64)>, rules: &Rules) -> bool {
    let payees = payment.ops.iter().filter_map(|op| match op {
        Op::Transfer { to, .. } => Some(to),
        Op::Data(_) => None,
    });
    let created: BTreeSet<_> = payees.filter(|to| !accounts.contains_key(*to)).collect();
    let Ok(transaction) = Transaction::from_bytes(&payment.bytes) else {
        return false;
    };
    let weight = u128::from(rules.base_fee_min) * u128::from(transaction.weight().0);
    let created = u128::from(rules.account_fee) * created.len() as u128;
    u128::from(payment.fee.0) < weight.div_ceil(1_000) + created
}

/// Whether a payment pays no more than what was paid where one had to go for room, by the greatest
/// floor that a node showed after that. It may have faded a little before it was shown.
pub(super) fn is_cheap(payment: &Payment, floor: Option<u64>) -> bool {
    let (Some(floor), Ok(transaction)) = (floor, Transaction::from_bytes(&payment.bytes)) else {
        return false;
    };
    let floor = u128::from(floor) + u128::from(floor / 50);
    u128::from(payment.fee.0) * 1_000 <= floor * u128::from(transaction.weight().0)
}

fn header_of(bytes: &[u8]) -> Result<Header, DecodeError> {
    Header::decode(&mut Reader::new(bytes))
}

#[cfg(test)]
mod tests;
