//! Payments from many accounts: what people do to a network while other things happen to it.
//!
//! *Owns* the accounts' keys, what each account did, and what became of each payment by the answers
//! of the nodes. *Invariants*: the same options and the same [`Rng`] make the same payments in a
//! world that behaves the same; every payment that was ever handed to a node is remembered, so that
//! whatever stands in a chain in its place is known to be its owner's own doing. *Never* reads more
//! of a node than its owner could: what it publishes and what it answers.
//!
//! Payments arrive as a Poisson process ([`arrivals`]), each at a random honest node that runs. Who
//! pays, and how, is drawn: from one key or from m of n, to somebody known or to a new account
//! (which pays in its turn when it has its money), once or again with a higher fee, with an expiry,
//! as data, or twice at once to two nodes; and some try what no node may take ([`Swindle`]).
//!
//! An actor of a world is asked for its [`next_at`](Workload::next_at) and its
//! [`act`](Workload::act) is called when that time has come.

pub mod accounts;
pub mod arrivals;
mod book;
mod cheats;
mod options;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Rng, Span, Time};
use crate::chain::{StateView, TransactionFault};
use crate::node::{CallError, CallId, Published, Question, Reply};
use crate::types::{AccountId, Amount, Genesis, Height, Nonce, Op, Transaction, TxId, Weight};

use super::{NodeIndex, World};

pub use accounts::Account;
pub use book::{
    Acknowledged, Excuses, Facts, Payment, PaymentKind, Place, Standing, WorkloadCounts,
};
pub use cheats::{Cheat, Swindle};
pub use options::WorkloadOptions;

use arrivals::Arrivals;
use book::Book;
use cheats::Swindles;

/// How many nodes are tried for one that is there to be asked.
const TRIES_MAX: u32 = 16;
/// How many payments of one account may wait: beyond that its owner waits for blocks.
const WAITING_MAX: usize = 12;
/// How long an answer may take: a node that was killed never gives one.
const ANSWER_WITHIN: Span = Span::from_secs(600);
/// How many new accounts pay in their turn, for each that was there from the beginning.
const NEWCOMERS_PER_ACCOUNT: usize = 2;
/// Blocks that a payment with an expiry has, at least and beyond that at most.
const EXPIRY_BLOCKS: (u64, u64) = (11, 20);
/// The bytes that one op of a transaction anchors at most: every profile allows more.
const DATA_OP_BYTES: usize = 256;
/// Accounts that one payment may create, and one payment out of so many creates several.
const CREATED_MAX: u64 = 4;
const SEVERAL_ONE_IN: u64 = 4;

/// One replacement out of so many pays somebody else than what it replaces.
const REDIRECTED_ONE_IN: u64 = 2;

/// One who pays.
struct Payer {
    account: Account,
    /// The nonce of its next payment, as far as it knows.
    next: u64,
}

/// A payment that a node was asked to take.
struct Asked {
    payment: Arc<Payment>,
    payer: usize,
    node: NodeIndex,
    at: Time,
}

/// What a payer sees of the chain through one node.
struct Sight {
    node: NodeIndex,
    state: StateView,
    height: Height,
    /// What a payment should pay per 1,000 weight to be taken.
    rate: u64,
    nonce: u64,
    balance: u64,
}

/// All payers of a world, and what they did.
pub struct Workload {
    options: WorkloadOptions,
    rng: Rng,
    arrivals: Arrivals,
    /// When the next payment is due; none before the first look at the clock.
    next_at: Option<Time>,
    payers: Vec<Payer>,
    /// New accounts that were paid and have not paid.
    newcomers: Vec<Account>,
    calls: BTreeMap<CallId, Asked>,
    book: Book,
    swindles: Swindles,
}

impl Workload {
    /// Payers by these options, all with keys of `rng`.
    #[must_use]
    pub fn new(options: WorkloadOptions, rng: &Rng) -> Self {
        let mut keys = rng.fork("workload keys");
        let single = (0..options.accounts).map(|_| Account::single(&mut keys));
        let mut accounts: Vec<Account> = single.collect();
        for number in 0..options.shared_accounts {
            let (threshold, of) = if number % 2 == 0 { (2, 3) } else { (3, 5) };
            accounts.push(Account::shared(&mut keys, threshold, of));
        }
        let payer = |account| Payer { account, next: 0 };
        Self {
            arrivals: Arrivals::at_rate(options.rate),
            rng: rng.fork("workload"),
            next_at: None,
            payers: accounts.into_iter().map(payer).collect(),
            newcomers: Vec::new(),
            calls: BTreeMap::new(),
            book: Book::default(),
            swindles: Swindles::default(),
            options,
        }
    }

    /// What the genesis of a world must give the payers, in no order.
    pub fn allocations(&self) -> impl Iterator<Item = (AccountId, Amount)> + '_ {
        let balance = Amount(self.options.balance);
        self.payers
            .iter()
            .map(move |payer| (payer.account.id(), balance))
    }

    /// Puts the payers' money into a genesis, beside what is in it already.
    pub fn fund(&self, genesis: &mut Genesis) {
        genesis.allocations.extend(self.allocations());
        genesis.allocations.sort();
    }

    /// When [`act`](Self::act) is to be called next; none when nobody ever pays.
    #[must_use]
    pub fn next_at(&self) -> Option<Time> {
        if self.payers.is_empty() || self.arrivals.is_never() {
            return None;
        }
        Some(self.next_at.unwrap_or(Time::EPOCH))
    }

    /// Takes the answers that came, and makes the payments that are due.
    pub fn act(&mut self, world: &mut World) {
        self.collect(world);
        if self.payers.is_empty() || self.arrivals.is_never() {
            return;
        }
        let now = world.now();
        // The first payment comes a gap after the first look at the clock.
        let mut due = match self.next_at {
            Some(due) => due,
            None => now + self.arrivals.gap(&mut self.rng),
        };
        while due <= now {
            self.pay(world);
            due += self.arrivals.gap(&mut self.rng);
        }
        self.next_at = Some(due);
    }

    /// Takes the answers that came: also to be called when a run is over.
    pub fn collect(&mut self, world: &mut World) {
        let now = world.now();
        self.swindles.collect(world);
        let mut answered = Vec::new();
        for call in self.calls.keys() {
            if let Some(reply) = world.reply(*call) {
                answered.push((*call, reply));
            }
        }
        for (call, reply) in answered {
            if let Some(asked) = self.calls.remove(&call) {
                self.answered(asked, reply, now);
            }
        }
        let before = self.calls.len();
        self.calls
            .retain(|_, asked| now.since(asked.at) < ANSWER_WITHIN);
        self.book.counts.unanswered += (before - self.calls.len()) as u64;
    }

    /// Every payment that a node said it accepted, with every node that said so.
    pub fn acknowledged(&self) -> impl Iterator<Item = &Acknowledged> {
        self.book.acknowledged.iter()
    }

    /// Payments that break a rule and that a node said it accepted.
    #[must_use]
    pub fn fallen_for(&self) -> &[Swindle] {
        self.swindles.fallen_for()
    }

    /// What became of an acknowledged payment by what the node that acknowledged it shows after a
    /// while of peace: `facts` of its account, and the `place` of each transaction. Only
    /// [`Standing::Lost`] is a broken promise.
    #[must_use]
    pub fn standing(
        &self,
        acknowledged: &Acknowledged,
        facts: &Facts,
        place: &dyn Fn(&TxId) -> Place,
        excuses: &Excuses<'_>,
    ) -> Standing {
        self.book.standing(acknowledged, facts, place, excuses)
    }

    /// Every payment of an account and nonce that a node may have: one of them at the most is ever
    /// in a chain.
    #[must_use]
    pub fn rivals(&self, account: &AccountId, nonce: Nonce) -> &[Arc<Payment>] {
        self.book.at(account, nonce.0)
    }

    /// What was done so far.
    #[must_use]
    pub const fn counts(&self) -> &WorkloadCounts {
        &self.book.counts
    }

    /// A payment is due: somebody makes one, somewhere.
    fn pay(&mut self, world: &mut World) {
        let first = self.at_first(world);
        let Some((node, published)) = first.or_else(|| self.somewhere(world, None)) else {
            self.book.counts.missed += 1;
            return;
        };
        let rules = world.config().genesis.rules;
        let (state, height) = (published.state.clone(), published.header.height);
        let rate = published.next_base_fee.max(published.mempool_floor);
        self.admit_newcomer(&state);
        let payer = self.rng.below(self.payers.len() as u64) as usize;
        let id = self.payers[payer].account.id();
        let Ok(Some(record)) = state.account(&id) else {
            self.book.counts.missed += 1;
            return;
        };
        let sight = Sight {
            node,
            state,
            height,
            rate,
            nonce: record.nonce.0,
            balance: record.balance.0,
        };
        let made = self.draw_payment(payer, &sight, rules.account_fee, world);
        if !made {
            self.book.counts.missed += 1;
        }
    }

    /// The first node, as often as options say, if it is honest, runs and is ready.
    fn at_first(&mut self, world: &World) -> Option<(NodeIndex, Arc<Published>)> {
        let share = u64::from(self.options.at_first);
        if share == 0 || world.is_empty() || !self.rng.chance(share, 1_000) {
            return None;
        }
        let first = NodeIndex(0);
        let shown = world.published(first).filter(|shown| shown.ready);
        let shown = shown.filter(|_| world.is_honest(first))?;
        Some((first, Arc::clone(shown)))
    }

    /// One of the honest nodes that run and are ready, at random.
    fn somewhere(
        &mut self,
        world: &World,
        besides: Option<NodeIndex>,
    ) -> Option<(NodeIndex, Arc<Published>)> {
        let nodes = world.len() as u64;
        for _ in 0..TRIES_MAX {
            let node = NodeIndex(self.rng.below(nodes.max(1)) as usize);
            if nodes == 0 || !world.is_honest(node) || Some(node) == besides {
                continue;
            }
            if let Some(published) = world.published(node)
                && published.ready
            {
                return Some((node, Arc::clone(published)));
            }
        }
        None
    }

    /// A new account whose money is there begins to pay.
    fn admit_newcomer(&mut self, state: &StateView) {
        let limit = (1 + NEWCOMERS_PER_ACCOUNT)
            * (self.options.accounts + self.options.shared_accounts) as usize;
        if self.newcomers.is_empty() || self.payers.len() >= limit {
            return;
        }
        let place = self.rng.below(self.newcomers.len() as u64) as usize;
        if let Ok(Some(_)) = state.account(&self.newcomers[place].id()) {
            let account = self.newcomers.swap_remove(place);
            self.payers.push(Payer { account, next: 0 });
        }
    }

    /// Draws what a payer does, and does it; says whether it can.
    fn draw_payment(
        &mut self,
        payer: usize,
        sight: &Sight,
        account_fee: u64,
        world: &mut World,
    ) -> bool {
        let options = self.options;
        let id = self.payers[payer].account.id();
        let next = &mut self.payers[payer].next;
        *next = (*next).max(sight.nonce);
        let waiting = (*next - sight.nonce) as usize;
        if options.cheats > 0 && self.rng.chance(options.cheats.into(), 1_000) {
            let account = &self.payers[payer].account;
            let free = waiting == 0;
            if free {
                let rng = &mut self.rng;
                self.swindles.attempt(account, sight, rng, world);
            }
            return free;
        }
        let draw = self.rng.below(1_000) as u32;
        if draw < options.replacements {
            return waiting > 0 && self.replace(payer, sight, world);
        }
        let draw = draw - options.replacements;
        let spent = self.book.spent_from(&id, sight.nonce);
        let free = u128::from(sight.balance).saturating_sub(spent);
        let (ops, kind) = self.draw_ops(payer, free, account_fee, sight.rate);
        if waiting >= WAITING_MAX || ops.is_empty() {
            return false;
        }
        let twice = draw < options.double_spends;
        let expires = draw.saturating_sub(options.double_spends) < options.expiring && !twice;
        let (least, more) = EXPIRY_BLOCKS;
        let expiry = if expires {
            Height(sight.height.0 + least + self.rng.below(more))
        } else {
            Height(0)
        };
        let nonce = Nonce(self.payers[payer].next);
        let kind = match () {
            () if twice => PaymentKind::DoubleSpend,
            () if expires => PaymentKind::Expiring,
            () => kind,
        };
        let fee = self.draw_fee(payer, &ops, account_fee, sight);
        self.payers[payer].next += 1;
        let genesis = Arc::clone(&world.config().genesis);
        let account = &self.payers[payer].account;
        let first = account.sign(
            &genesis.id(),
            nonce,
            fee,
            expiry,
            ops.clone(),
            &mut self.rng,
        );
        self.ask(payer, first, kind, sight.node, world);
        if twice {
            // The same money to somebody else, at another place, before either can hear of it.
            let elsewhere = self.somewhere(world, Some(sight.node));
            let node = elsewhere.map_or(sight.node, |(node, _)| node);
            let other = self.draw_known(payer);
            let ops = redirected(&ops, other, 1);
            let account = &self.payers[payer].account;
            let second = account.sign(&genesis.id(), nonce, fee, expiry, ops, &mut self.rng);
            self.ask(payer, second, kind, node, world);
        }
        true
    }

    /// What a payment does: nothing when its payer has no money left.
    fn draw_ops(
        &mut self,
        payer: usize,
        free: u128,
        account_fee: u64,
        rate: u64,
    ) -> (Vec<Op>, PaymentKind) {
        // What every payment keeps back for its fee, with room for the largest kind.
        let weights = 4 + u128::from(self.options.data_bytes) / 500;
        let created = u128::from(CREATED_MAX) * u128::from(account_fee);
        let reserve = created + weights * u128::from(rate) + 2_000;
        let Some(free) = free.checked_sub(reserve).filter(|free| *free > 8) else {
            return (Vec::new(), PaymentKind::Plain);
        };
        let most = u64::try_from(free / 8).unwrap_or(u64::MAX);
        let draw = self.rng.below(1_000) as u32;
        if draw < self.options.data {
            let most = u64::from(self.options.data_bytes);
            let length = 1 + self.rng.below(most.max(1)) as usize;
            let mut bytes = Vec::with_capacity(length + 31);
            while bytes.len() < length {
                bytes.extend(self.rng.bytes32());
            }
            bytes.truncate(length);
            let ops = bytes.chunks(DATA_OP_BYTES);
            let ops = ops.map(|bytes| Op::Data(bytes.to_vec())).collect();
            return (ops, PaymentKind::Data);
        }
        let amount = Amount(1 + self.rng.below(most));
        if draw.saturating_sub(self.options.data) < self.options.fresh {
            let several = self.rng.chance(1, SEVERAL_ONE_IN);
            let count = if several {
                2 + self.rng.below(CREATED_MAX - 1)
            } else {
                1
            };
            // Together they get no more than one would.
            let amount = Amount((amount.0 / count).max(1));
            let fresh = (0..count).map(|_| Op::Transfer {
                to: self.draw_fresh(),
                amount,
            });
            return (fresh.collect(), PaymentKind::Fresh);
        }
        let to = self.draw_known(payer);
        (vec![Op::Transfer { to, amount }], PaymentKind::Plain)
    }

    /// Somebody new, who may pay later.
    fn draw_fresh(&mut self) -> AccountId {
        let account = Account::single(&mut self.rng);
        let to = account.id();
        if self.newcomers.len() < NEWCOMERS_PER_ACCOUNT * self.payers.len() {
            self.newcomers.push(account);
        }
        to
    }

    /// Somebody who pays too, and not the payer itself unless it is alone.
    fn draw_known(&mut self, payer: usize) -> AccountId {
        let others = self.payers.len() as u64 - 1;
        let step = 1 + self.rng.below(others.max(1)) as usize;
        let to = (payer + step) % self.payers.len();
        self.payers[to].account.id()
    }

    /// A fee that is enough while the base fee rises for some blocks, and a tip.
    fn draw_fee(&mut self, payer: usize, ops: &[Op], account_fee: u64, sight: &Sight) -> Amount {
        let weight = self.payers[payer].account.weight(ops);
        let is_new = |op: &Op| match op {
            Op::Transfer { to, .. } => matches!(sight.state.account(to), Ok(None)),
            Op::Data(_) => false,
        };
        let created = ops.iter().filter(|op| is_new(op)).count() as u64;
        let tip = self.rng.below(1 + sight.rate);
        let fee = base_part(sight.rate + sight.rate / 2, weight) + account_fee * created + tip;
        Amount(fee)
    }

    /// Pays a higher fee for what waits already, or pays somebody else in its place: one of the two
    /// is ever mined.
    fn replace(&mut self, payer: usize, sight: &Sight, world: &mut World) -> bool {
        let id = self.payers[payer].account.id();
        let waiting = self.payers[payer].next - sight.nonce;
        let nonce = Nonce(sight.nonce + self.rng.below(waiting));
        let Some(old) = self.book.latest(&id, nonce) else {
            return false;
        };
        let weight = self.payers[payer].account.weight(&old.ops);
        let more = base_part(sight.rate, weight) + self.rng.below(1 + old.fee.0);
        let fee = Amount(old.fee.0 + 1 + more);
        let spends = u128::from(fee.0) + old.amount_sum();
        let others = self.book.spent_from(&id, sight.nonce) - old.spends();
        if spends + others > u128::from(sight.balance) {
            return false;
        }
        let genesis = Arc::clone(&world.config().genesis);
        let other = self.draw_known(payer);
        let elsewhere = redirected(&old.ops, other, 0);
        let (ops, kind) = if elsewhere != old.ops && self.rng.chance(1, REDIRECTED_ONE_IN) {
            (elsewhere, PaymentKind::Redirected)
        } else {
            (old.ops.clone(), PaymentKind::Replacement)
        };
        let (expiry, account) = (old.expiry, &self.payers[payer].account);
        let transaction = account.sign(&genesis.id(), nonce, fee, expiry, ops, &mut self.rng);
        self.ask(payer, transaction, kind, sight.node, world);
        true
    }

    fn ask(
        &mut self,
        payer: usize,
        transaction: Transaction,
        kind: PaymentKind,
        node: NodeIndex,
        world: &mut World,
    ) {
        let at = world.now();
        let payment = Arc::new(Payment::new(
            &transaction,
            kind,
            &world.config().genesis.id(),
            at,
        ));
        let call = world.call(node, Question::SubmitTransaction(payment.bytes.to_vec()));
        self.book.made(&payment);
        let asked = Asked {
            payment,
            payer,
            node,
            at,
        };
        self.calls.insert(call, asked);
    }

    fn answered(&mut self, asked: Asked, reply: Result<Reply, CallError>, now: Time) {
        let Asked {
            payment,
            payer,
            node,
            at,
        } = asked;
        match reply {
            Ok(_) => self.book.accepted(Acknowledged {
                payment,
                by: node,
                asked: at,
                at: now,
            }),
            Err(error) => {
                if let CallError::Transaction(TransactionFault::Nonce { wanted, .. }) = error {
                    // One before it was lost on its way, or somebody else is further already.
                    self.payers[payer].next = wanted.0;
                }
                self.book.refused(&payment, &error);
            }
        }
    }
}

/// What operations do when somebody else gets what they pay, and so much more each.
fn redirected(ops: &[Op], to: AccountId, more: u64) -> Vec<Op> {
    let redirect = |op: &Op| match op {
        Op::Transfer { amount, .. } => Op::Transfer {
            to,
            amount: Amount(amount.0 + more),
        },
        Op::Data(bytes) => Op::Data(bytes.clone()),
    };
    ops.iter().map(redirect).collect()
}

/// What a payment of this weight burns at a base fee.
fn base_part(rate: u64, weight: Weight) -> u64 {
    let part = (u128::from(rate) * u128::from(weight.0)).div_ceil(1_000);
    u64::try_from(part).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
