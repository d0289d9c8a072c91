//! The rules of admission one by one, and the mempool against models that know no index.

use super::queue::{CHUNK_WEIGHT_MAX, Chunk, spends};
use super::*;
use crate::chain::testing::{Made, Maker, Person, genesis, pay, person, sign};
use crate::chain::{ChainState, PageFailures, StateView};
use crate::types::{Genesis, Op, Transaction};
use proptest::prelude::*;

mod model;
mod relay;
mod room;

const BALANCE: u64 = 1_000_000;

fn checked(genesis: &Genesis, transaction: Transaction) -> Arc<CheckedTransaction> {
    Arc::new(CheckedTransaction::new(transaction, &genesis.id()))
}

/// When every story happens.
const NOW: Time = Time::from_millis(1_700_000_000_000);

/// A tip and the mempool that follows it.
struct Story {
    maker: Maker,
    people: Vec<Person>,
    pool: Mempool,
    tip: Vec<Made>,
    /// The blocks that the last switch left.
    left: Vec<Made>,
    /// What somebody was promised and that waits elsewhere to become valid again.
    aside: Vec<Arc<CheckedTransaction>>,
}

impl Story {
    fn new() -> Self {
        // The last one has nothing, and gets into money by blocks alone.
        let genesis = genesis(&[&person(1), &person(2), &person(3)], BALANCE);
        Self::on(&genesis, 4)
    }

    /// A story of so many people, each of whom has so much.
    fn of(people: u8, balance: u64) -> Self {
        let crowd: Vec<Person> = (1..=people).map(person).collect();
        let genesis = genesis(&crowd.iter().collect::<Vec<_>>(), balance);
        Self::on(&genesis, people)
    }

    fn on(genesis: &Arc<Genesis>, people: u8) -> Self {
        Self {
            maker: Maker::new(genesis),
            people: (1..=people).map(person).collect(),
            pool: Mempool::default(),
            tip: Vec::new(),
            left: Vec::new(),
            aside: Vec::new(),
        }
    }

    fn state(&self) -> ChainState {
        self.tip
            .last()
            .map_or_else(|| self.maker.root(), |made| made.state.clone())
    }

    /// The nonce that the account's next transaction needs.
    fn next_nonce(&self, account: &AccountId) -> Option<Nonce> {
        let (view, failures) = (self.view(), PageFailures::default());
        let nonce = self.pool.next_nonce(failures.watch(&view), account);
        nonce.unwrap()
    }

    fn view(&self) -> StateView {
        let state = self.state();
        state.ledger.view(state.id)
    }

    fn payment(
        &self,
        from: usize,
        nonce: u64,
        fee: u64,
        to: usize,
        amount: u64,
    ) -> Arc<CheckedTransaction> {
        let to = self.people[to].account;
        let payment = pay(
            &self.maker.genesis,
            &self.people[from],
            (nonce, fee),
            to,
            amount,
        );
        checked(&self.maker.genesis, payment)
    }

    fn add(&mut self, checked: &Arc<CheckedTransaction>) -> Result<Vec<Left>, Refusal> {
        self.add_from(checked, Origin::Peer)
    }

    fn add_from(
        &mut self,
        checked: &Arc<CheckedTransaction>,
        origin: Origin,
    ) -> Result<Vec<Left>, Refusal> {
        let rules = self.maker.genesis.rules;
        let (view, failures) = (self.view(), PageFailures::default());
        let next = Next {
            view: failures.watch(&view),
            rules: &rules,
            height: self.state().header.height.next(),
            base_fee: rules.base_fee_min,
            now: NOW,
        };
        self.pool.add(&next, checked, origin)
    }

    /// Leaves `back` blocks for one more empty ones, or takes one block with what waits.
    fn reorganise(&mut self, back: usize) -> Followed {
        let back = back.min(self.tip.len());
        if back == 0 {
            let candidates = self.pool.candidates(4_000_000, 0);
            let takes: Vec<_> = candidates.iter().map(|c| c.transaction.clone()).collect();
            self.switch(0, 1, &takes)
        } else {
            self.switch(back, back + 1, &[])
        }
    }

    /// Leaves `back` blocks for `came` others, the first of which has what can be of `takes`.
    fn switch(&mut self, back: usize, came: usize, takes: &[Transaction]) -> Followed {
        let kept = self.tip.len() - back;
        self.left = self.tip.split_off(kept).into_iter().rev().collect();
        for place in 0..came {
            let takes = if place == 0 { takes } else { &[] };
            // Two branches never have the same block.
            let miner = person(90 + u8::from(back > 0)).account;
            let made = self.maker.child(&self.state(), miner, takes);
            self.tip.push(made);
        }
        let bodies = |made: &[Made]| {
            made.iter()
                .map(|m| Arc::clone(&m.checked))
                .collect::<Vec<_>>()
        };
        // Rewards of the blocks that are left were made by people who have no transactions.
        let moved = TipMove {
            disconnected: &bodies(&self.left),
            connected: &bodies(&self.tip[kept..]),
            matured: &[],
            is_whole: true,
        };
        let rules = self.maker.genesis.rules;
        let (view, failures) = (self.view(), PageFailures::default());
        let next = Next {
            view: failures.watch(&view),
            rules: &rules,
            height: self.state().header.height.next(),
            base_fee: 0,
            now: NOW,
        };
        let promised = |txid: &TxId| self.aside.iter().any(|checked| checked.txid == *txid);
        self.pool.follow(&next, &moved, &self.aside, &promised)
    }

    /// The invariants, read off the queues from outside.
    fn check(&self) -> Result<(), TestCaseError> {
        let view = self.view();
        let (mut count, mut bytes, mut memory) = (0, 0, 0);
        for (account, queue) in &self.pool.queues {
            let record = view.account(account).unwrap();
            prop_assert!(record.is_some(), "a queue of nobody");
            let record = record.unwrap();
            prop_assert!(!queue.is_empty());
            let nonces: Vec<u64> = queue
                .iter()
                .map(|waiting| waiting.checked.transaction.nonce.0)
                .collect();
            let wanted: Vec<u64> = (record.nonce.0..).take(queue.len()).collect();
            prop_assert_eq!(nonces, wanted, "a gap");
            let spent: u128 = queue.iter().map(|waiting| spends(&waiting.checked)).sum();
            prop_assert_eq!(spent, queue.spent());
            prop_assert!(
                spent <= u128::from(record.balance.0),
                "{} of {}",
                spent,
                record.balance.0
            );
            count += queue.len();
            memory += queue.memory();
            for waiting in queue.iter() {
                let checked = &waiting.checked;
                bytes += u64::from(checked.bytes);
                let place = (*account, checked.transaction.nonce);
                prop_assert_eq!(self.pool.by_wtxid.get(&checked.wtxid), Some(&place));
                prop_assert_eq!(self.pool.by_txid.get(&checked.txid), Some(&checked.wtxid));
            }
            let rates: Vec<u64> = queue.chunks().iter().map(Chunk::rate).collect();
            prop_assert!(rates.is_sorted_by(|a, b| a >= b), "{:?}", rates);
            prop_assert_eq!(queue.chunks().last().unwrap().end, queue.len());
        }
        prop_assert_eq!(
            (self.pool.len(), self.pool.by_txid.len(), self.pool.bytes()),
            (count, count, bytes)
        );
        prop_assert_eq!(self.pool.memory(), memory);
        prop_assert!(memory <= self.pool.limit());
        prop_assert_eq!(self.pool.ends.len(), self.pool.queues.len());
        let restored = Mempool::restore(self.pool.snapshot(), &self.maker.genesis.id());
        prop_assert_eq!(
            format!("{:?}", restored.ends),
            format!("{:?}", self.pool.ends)
        );
        prop_assert_eq!(
            (restored.memory(), restored.limit()),
            (memory, self.pool.limit())
        );
        Ok(())
    }

    /// How many of an account's transactions can be mined one after the other, of all that the
    /// story knows, by the naive rule.
    fn minable(&self, known: &[Arc<CheckedTransaction>], account: &AccountId) -> usize {
        let Some(record) = self.view().account(account).unwrap() else {
            return 0;
        };
        let (mut nonce, mut left) = (record.nonce.0, u128::from(record.balance.0));
        let start = nonce;
        // One transaction per nonce was ever made, so there is no choice among them.
        while let Some(next) = known
            .iter()
            .find(|c| c.sender == *account && c.transaction.nonce.0 == nonce)
        {
            let Some(rest) = left.checked_sub(spends(next)) else {
                break;
            };
            (nonce, left) = (nonce + 1, rest);
        }
        (nonce - start) as usize
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pay {
        from: usize,
        to: usize,
        ahead: u64,
        fee: u64,
        amount: u64,
    },
    Reorganise {
        back: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let pay = (
        0..4_usize,
        0..4_usize,
        0..3_u64,
        300..9_000_u64,
        0..400_000_u64,
    )
        .prop_map(|(from, to, ahead, fee, amount)| Step::Pay {
            from,
            to,
            ahead,
            fee,
            amount,
        });
    prop_oneof![4 => pay, 1 => (0..4_usize).prop_map(|back| Step::Reorganise { back })]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn queues_have_no_gaps_and_never_spend_more_than_there_is(
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        let mut story = Story::new();
        for step in steps {
            match step {
                Step::Pay { from, to, ahead, fee, amount } => {
                    let account = story.people[from].account;
                    let next = story.next_nonce(&account).map_or(0, |nonce| nonce.0);
                    // The next nonce, one that waits already, or one after a gap.
                    let nonce = (next + 1).saturating_sub(ahead);
                    let payment = story.payment(from, nonce, fee, to, amount);
                    let before = story.pool.len();
                    match story.add(&payment) {
                        Ok(replaced) => {
                            prop_assert!(nonce <= next, "a gap was let in");
                            prop_assert_eq!(!replaced.is_empty(), nonce < next);
                            prop_assert!(story.pool.get(&payment.wtxid).is_some());
                        }
                        Err(_) => prop_assert_eq!(story.pool.len(), before),
                    }
                }
                Step::Reorganise { back } => {
                    let before: BTreeSet<WtxId> = story.pool.by_wtxid.keys().copied().collect();
                    let removed = story.reorganise(back);
                    // What is gone is gone, and nothing leaves in silence but by a block.
                    let took = &story.tip.last().unwrap().checked.transactions;
                    for wtxid in before {
                        let waits = story.pool.get(&wtxid).is_some();
                        let mined = took.iter().any(|c| c.wtxid == wtxid);
                        let left = removed.left.iter().any(|left| left.checked.wtxid == wtxid);
                        prop_assert!(waits || mined || left);
                    }
                    for left in &removed.left {
                        prop_assert!(story.pool.get(&left.checked.wtxid).is_none());
                    }
                    for back in &removed.returned {
                        prop_assert!(story.pool.get(&back.wtxid).is_some());
                    }
                }
            }
            story.check()?;
        }
    }

    #[test]
    fn after_any_reorganisation_what_can_be_mined_waits_and_nothing_else(
        payments in proptest::collection::vec((0..3_usize, 0..3_usize, 0..90_000_u64), 1..30),
        moves in proptest::collection::vec((1..8_usize, 0..4_usize), 1..6),
    ) {
        // All recipients exist and no transaction is replaced, so that money and nonces decide.
        let mut story = Story::new();
        let mut known = Vec::new();
        let mut nonces = [0; 3];
        let mut payments = payments.into_iter();
        for (count, back) in moves {
            for (from, to, amount) in payments.by_ref().take(count) {
                let payment = story.payment(from, nonces[from], 5_000, to, amount);
                if story.add(&payment).is_ok() {
                    nonces[from] += 1;
                    known.push(payment);
                }
            }
            story.reorganise(back);
            story.check()?;
            for (place, person) in story.people[..3].iter().enumerate() {
                let waiting = story.pool.queues.get(&person.account).map_or(0, Queue::len);
                prop_assert_eq!(waiting, story.minable(&known, &person.account), "{}", place);
                // What no longer waits is made anew under its nonce.
                let start = story.view().account(&person.account).unwrap().unwrap().nonce.0;
                nonces[place] = start + waiting as u64;
                let last = nonces[place];
                let stays = |c: &Arc<CheckedTransaction>| c.transaction.nonce.0 < last;
                known.retain(|c| c.sender != person.account || stays(c));
            }
        }
    }

    #[test]
    fn candidates_pay_best_first_in_order_of_nonces_and_within_the_weight(
        payments in proptest::collection::vec((0..3_usize, 300..9_000_u64), 0..60),
        limit in 0..30_000_u64,
    ) {
        let mut story = Story::new();
        let mut nonces = [0; 3];
        for (from, fee) in payments {
            let payment = story.payment(from, nonces[from], fee, 0, 1);
            if story.add(&payment).is_ok() {
                nonces[from] += 1;
            }
        }
        let all = story.pool.candidates(u64::MAX, 0);
        prop_assert_eq!(all.len(), story.pool.len());
        prop_assert!(all.iter().eq(story.pool.best_first()));
        // The naive rule: of every account's best run of next transactions none pays more than the
        // run that was taken.
        let queues: Vec<Vec<_>> = story.people[..3].iter().map(|person| {
            let queue = story.pool.queues.get(&person.account);
            queue.into_iter().flat_map(Queue::iter).map(|w| Arc::clone(&w.checked)).collect()
        }).collect();
        let best_run = |rest: &[Arc<CheckedTransaction>]| {
            let (mut fee, mut weight, mut best) = (0_u64, 0_u64, (0, 0));
            for (count, checked) in rest.iter().enumerate() {
                fee += checked.transaction.fee.0;
                weight += checked.weight.0;
                if weight > CHUNK_WEIGHT_MAX {
                    break;
                }
                best = best.max((fee * 1_000_000 / weight, count + 1));
            }
            best
        };
        let mut next = [0; 3];
        let mut at = 0;
        while at < all.len() {
            let place = story.people.iter().position(|p| p.account == all[at].sender).unwrap();
            let (rate, count) = best_run(&queues[place][next[place]..]);
            for other in 0..3 {
                prop_assert!(best_run(&queues[other][next[other]..]).0 <= rate);
            }
            for checked in &all[at..at + count] {
                prop_assert_eq!(checked.txid, queues[place][next[place]].txid);
                next[place] += 1;
            }
            at += count;
        }
        let some = story.pool.candidates(limit, 0);
        let weight: u64 = some.iter().map(|c| c.weight.0).sum();
        prop_assert!(weight <= limit);
        let chunks = story.pool.queues.values().flat_map(Queue::chunks);
        let most = chunks.map(|chunk| chunk.weight).max().unwrap_or(0);
        prop_assert!(some.len() == all.len() || weight + most > limit, "there was room");
    }
}

#[test]
fn a_block_is_filled_without_a_look_at_what_it_has_no_room_for() {
    let mut story = Story::of(200, BALANCE);
    for from in 0..200 {
        for nonce in 0..2 {
            let fee = 5_000 + 10 * from as u64 - nonce;
            let payment = story.payment(from, nonce, fee, 0, 1);
            story.add(&payment).unwrap();
        }
    }
    let weight = story.payment(0, 0, 5_000, 0, 1).weight.0;
    for (room, most) in [(10, 30), (20, 40), (100, 120)] {
        // Who has room for so many is given them, and who asks for the best likewise.
        let (chosen, _) = story.pool.choose(room * weight, 0);
        assert_eq!(chosen.len() as u64, room);
        assert!(
            chosen
                .iter()
                .eq(story.pool.best_first().take(room as usize))
        );
        // A base fee that few can pay ends the search, whatever waits besides.
        let base_fee = chosen[room as usize - 2].fee_rate() / 1_000;
        let (paying, seen) = story.pool.choose(u64::MAX, base_fee);
        assert!(paying.len() as u64 >= room - 1, "{}", paying.len());
        assert!(seen <= most, "{seen} chunks for {room} transactions");
    }
}

/// On a chain of the lightest blocks an account's transactions may weigh more together than a
/// block takes. They are mined one part after the other, and keep nobody out of blocks.
#[test]
fn a_run_of_rising_fees_that_no_block_can_take_whole_is_mined_in_parts() {
    const BLOCK: u64 = 100_000;
    let mut story = Story::of(100, u64::from(u32::MAX));
    let rising: Vec<_> = (0..7)
        .map(|nonce| {
            let ops = vec![Op::Data(vec![7; 1_000]); 15];
            let fee = 10_000_000 + 100_000 * nonce;
            let transaction = sign(&story.maker.genesis, &story.people[0], (nonce, fee), ops);
            checked(&story.maker.genesis, transaction)
        })
        .collect();
    let weight: u64 = rising.iter().map(|it| it.weight.0).sum();
    assert!(weight > BLOCK, "{weight}");
    for transaction in &rising {
        story.add(transaction).unwrap();
    }
    let honest = story.payment(1, 0, 5_000, 2, 1);
    story.add(&honest).unwrap();
    let mut first = story.pool.candidates(BLOCK, 0);
    assert_eq!(
        first.pop().unwrap().txid,
        honest.txid,
        "there is room for it"
    );
    assert!(first.len() >= 3, "{}", first.len());
    assert!(first.iter().eq(&rising[..first.len()]));
    // What is behind the cheaper part goes for room as if it paid no more than that.
    let queue = &story.pool.queues[&story.people[0].account];
    let rates: Vec<_> = queue.chunks().iter().map(Chunk::rate).collect();
    assert!(rates.len() > 1 && rates.is_sorted(), "{rates:?}");
    let end = story
        .pool
        .ends
        .iter()
        .find(|end| end.account == story.people[0].account);
    assert_eq!(end.unwrap().rate, rates[0]);
}

#[test]
fn money_that_a_lost_block_brought_is_not_spent() {
    let mut story = Story::new();
    // The fourth person lives on one payment.
    let gift = story.payment(0, 0, 5_000, 3, 500_000);
    story.add(&gift).unwrap();
    story.reorganise(0);
    let spending = story.payment(3, 0, 5_000, 1, 400_000);
    story.add(&spending).unwrap();
    let removed = story.reorganise(1);
    let left: Vec<_> = removed
        .left
        .iter()
        .map(|l| (l.checked.txid, l.why))
        .collect();
    assert_eq!(left, [(spending.txid, Leaving::Balance)]);
    let returned: Vec<_> = removed.returned.iter().map(|c| c.txid).collect();
    assert_eq!(returned, [gift.txid]);
    assert!(
        story.pool.get(&gift.wtxid).is_some(),
        "it waits to be mined again"
    );
}

#[test]
fn an_account_that_left_with_a_lost_block_must_be_paid_for() {
    let mut story = Story::new();
    // The fourth person has no account before the gift.
    let account_fee = story.maker.genesis.rules.account_fee;
    let gift = story.payment(0, 0, 5_000, 3, 500_000);
    story.add(&gift).unwrap();
    story.reorganise(0);
    let cheap = story.payment(1, 0, account_fee, 3, 7);
    let behind = story.payment(1, 1, 5_000, 2, 7);
    let enough = story.payment(2, 0, account_fee + 100, 3, 7);
    for payment in [&cheap, &behind, &enough] {
        story.add(payment).unwrap();
    }
    let followed = story.reorganise(1);
    let left = followed.left.iter().map(|l| (l.checked.txid, l.why));
    let wanted = [
        (cheap.txid, Leaving::AccountFee),
        (behind.txid, Leaving::Stranded),
    ];
    assert_eq!(left.collect::<Vec<_>>(), wanted);
    let waiting: BTreeSet<_> = story.pool.iter().map(|c| c.txid).collect();
    assert_eq!(waiting, BTreeSet::from([gift.txid, enough.txid]));
    // A block takes all that waits, and the sender's next transaction finds its nonce free.
    let (before, made) = (story.pool.len(), story.payment(1, 0, 5_000, 2, 8));
    assert_eq!(story.add(&made), Ok(Vec::new()));
    story.reorganise(0);
    let block = &story.tip.last().unwrap().checked;
    assert_eq!(block.transactions.len(), before + 1);
    assert!(story.pool.is_empty());
}

#[test]
fn what_returns_is_not_lost_where_another_of_its_account_expires() {
    let mut story = Story::new();
    let first = story.payment(0, 0, 5_000, 1, 7);
    story.add(&first).unwrap();
    story.reorganise(0);
    let genesis = &story.maker.genesis;
    let mut second = pay(
        genesis,
        &story.people[0],
        (1, 5_000),
        story.people[1].account,
        7,
    );
    second.expiry = Height(1 + EXPIRY_AHEAD_MIN);
    let second = checked(genesis, second);
    story.add(&second).unwrap();
    // The branch is so long that the second can be in no block above it.
    let followed = story.switch(1, 1 + EXPIRY_AHEAD_MIN as usize, &[]);
    let left: Vec<_> = followed
        .left
        .iter()
        .map(|l| (l.checked.txid, l.why))
        .collect();
    assert_eq!(left, [(second.txid, Leaving::Expired)]);
    let waiting: Vec<_> = story.pool.iter().map(|c| c.txid).collect();
    assert_eq!(waiting, [first.txid]);
}

#[test]
fn what_expired_is_said_to_whatever_is_missing_before_it() {
    let mut story = Story::new();
    // The fourth person has no account before the gift, and again none when its block is lost.
    let gift = story.payment(0, 0, 5_000, 3, 500_000);
    story.add(&gift).unwrap();
    story.reorganise(0);
    let account_fee = story.maker.genesis.rules.account_fee;
    let cheap = story.payment(1, 0, account_fee, 3, 7);
    let genesis = &story.maker.genesis;
    let (sender, to) = (&story.people[1], story.people[2].account);
    let mut behind = pay(genesis, sender, (1, 5_000), to, 7);
    behind.expiry = Height(1 + EXPIRY_AHEAD_MIN);
    let behind = checked(genesis, behind);
    story.add(&cheap).unwrap();
    story.add(&behind).unwrap();
    let followed = story.switch(1, 1 + EXPIRY_AHEAD_MIN as usize, &[]);
    let left = followed.left.iter().map(|l| (l.checked.txid, l.why));
    let wanted = [
        (cheap.txid, Leaving::AccountFee),
        (behind.txid, Leaving::Expired),
    ];
    assert_eq!(left.collect::<Vec<_>>(), wanted);
}

#[test]
fn sixty_four_transactions_of_an_account_wait_and_no_more() {
    let mut story = Story::new();
    for nonce in 0..64 {
        let payment = story.payment(0, nonce, 400, 1, 1);
        assert_eq!(story.add(&payment), Ok(Vec::new()));
    }
    let payment = story.payment(0, 64, 400, 1, 1);
    assert_eq!(story.add(&payment), Err(Refusal::QueueFull));
    let better = story.payment(0, 63, 4_000, 1, 1);
    assert!(
        matches!(story.add(&better).as_deref(), Ok([_])),
        "one in place of another is no more"
    );
}

#[test]
fn a_replacement_pays_for_its_own_relay_too() {
    let mut story = Story::new();
    let old = story.payment(0, 0, 5_000, 1, 7);
    story.add(&old).unwrap();
    assert_eq!(story.add(&old), Err(Refusal::Known));
    let needed = 5_000 + story.maker.genesis.rules.base_fee_min * old.weight.0 / 1_000;
    let almost = story.payment(0, 0, needed - 1, 1, 7);
    let (with, refused) = (old.txid, story.add(&almost));
    assert_eq!(refused, Err(Refusal::Conflict { with, needed }));
    let enough = story.payment(0, 0, needed, 1, 7);
    let left = story.add(&enough).unwrap();
    assert_eq!(left.len(), 1);
    let by = enough.txid;
    assert_eq!(
        (left[0].checked.txid, left[0].why),
        (old.txid, Leaving::Replaced { by })
    );
    assert!(story.pool.get(&old.wtxid).is_none());
}
