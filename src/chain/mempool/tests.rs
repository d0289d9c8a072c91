use super::*;
use crate::chain::ChainState;
use crate::chain::testing::{Made, Maker, Person, genesis, pay, person};
use crate::types::Genesis;
use proptest::prelude::*;

const BALANCE: u64 = 1_000_000;

fn checked(genesis: &Genesis, transaction: crate::types::Transaction) -> Arc<CheckedTransaction> {
    Arc::new(CheckedTransaction::new(transaction, &genesis.id()))
}

fn spends(checked: &CheckedTransaction) -> u128 {
    checked.transaction.amount_sum() + u128::from(checked.transaction.fee.0)
}

/// A tip and the mempool that follows it.
struct Story {
    maker: Maker,
    people: Vec<Person>,
    pool: Mempool,
    tip: Vec<Made>,
}

impl Story {
    fn new() -> Self {
        let people: Vec<Person> = (1..=4).map(person).collect();
        // The last one has nothing, and gets into money by blocks alone.
        let genesis = genesis(&people[..3].iter().collect::<Vec<_>>(), BALANCE);
        Self {
            maker: Maker::new(&genesis),
            people,
            pool: Mempool::default(),
            tip: Vec::new(),
        }
    }

    fn state(&self) -> ChainState {
        self.tip
            .last()
            .map_or_else(|| self.maker.root(), |made| made.state.clone())
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

    fn add(&mut self, checked: &Arc<CheckedTransaction>) -> Result<Option<WtxId>, Refusal> {
        let state = self.state();
        let rules = self.maker.genesis.rules;
        let next = (state.header.height.next(), rules.base_fee_min);
        self.pool.add(&self.view(), &rules, next, checked)
    }

    /// Leaves `back` blocks for one more empty ones, or takes one block with what waits.
    fn reorganise(&mut self, back: usize) -> Removed {
        let back = back.min(self.tip.len());
        let kept = self.tip.len() - back;
        let left: Vec<Made> = self.tip.split_off(kept).into_iter().rev().collect();
        let state = self.state();
        let came = if back == 0 {
            let takes: Vec<_> = self
                .pool
                .candidates(4_000_000)
                .iter()
                .map(|c| c.transaction.clone())
                .collect();
            vec![self.maker.child(&state, person(90).account, &takes)]
        } else {
            self.maker.branch(&state, person(91).account, back + 1)
        };
        self.tip.extend(came.iter().cloned());
        let bodies = |made: &[Made]| {
            made.iter()
                .map(|m| Arc::clone(&m.checked))
                .collect::<Vec<_>>()
        };
        let next = self.state().header.height.next();
        let (view, rules) = (self.view(), self.maker.genesis.rules);
        self.pool
            .follow(&view, &rules, next, &bodies(&left), &bodies(&came))
    }

    /// The invariants, read off the queues from outside.
    fn check(&self) -> Result<(), TestCaseError> {
        let view = self.view();
        let (mut count, mut bytes) = (0, 0);
        for (account, queue) in &self.pool.queues {
            let record = view.account(account).unwrap();
            prop_assert!(record.is_some(), "a queue of nobody");
            let record = record.unwrap();
            prop_assert!(!queue.is_empty() && queue.len() <= QUEUE_MAX);
            let nonces: Vec<u64> = queue.keys().map(|nonce| nonce.0).collect();
            let wanted: Vec<u64> = (record.nonce.0..).take(queue.len()).collect();
            prop_assert_eq!(nonces, wanted, "a gap");
            let spent: u128 = queue.values().map(|c| spends(c)).sum();
            prop_assert!(
                spent <= u128::from(record.balance.0),
                "{} of {}",
                spent,
                record.balance.0
            );
            count += queue.len();
            for (nonce, checked) in queue {
                bytes += u64::from(checked.bytes);
                prop_assert_eq!(
                    self.pool.by_wtxid.get(&checked.wtxid),
                    Some(&(*account, *nonce))
                );
                prop_assert_eq!(self.pool.wtxid_of(&checked.txid), Some(checked.wtxid));
            }
        }
        prop_assert_eq!(
            (self.pool.len(), self.pool.by_txid.len(), self.pool.bytes()),
            (count, count, bytes)
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
                    let view = story.view();
                    let next = story.pool.next_nonce(&view, &account).unwrap();
                    let next = next.map_or(0, |nonce| nonce.0);
                    // The next nonce, one that waits already, or one after a gap.
                    let nonce = (next + 1).saturating_sub(ahead);
                    let payment = story.payment(from, nonce, fee, to, amount);
                    let before = story.pool.len();
                    match story.add(&payment) {
                        Ok(replaced) => {
                            prop_assert!(nonce <= next, "a gap was let in");
                            prop_assert_eq!(replaced.is_some(), nonce < next);
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
                        prop_assert!(waits || mined || removed.gone.contains(&wtxid));
                    }
                    for wtxid in &removed.gone {
                        prop_assert!(story.pool.get(wtxid).is_none());
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
                let waiting = story.pool.queues.get(&person.account).map_or(0, BTreeMap::len);
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
        let all = story.pool.candidates(u64::MAX);
        prop_assert_eq!(all.len(), story.pool.len());
        let mut next = [0; 3];
        for checked in &all {
            // The naive rule: of every account's next transaction, none pays more.
            let place = story.people.iter().position(|p| p.account == checked.sender).unwrap();
            for (other, person) in story.people[..3].iter().enumerate() {
                let head =
                    story.pool.queues.get(&person.account).and_then(|q| q.get(&Nonce(next[other])));
                prop_assert!(head.is_none_or(|head| head.fee_rate() <= checked.fee_rate()));
            }
            prop_assert_eq!(checked.transaction.nonce.0, next[place]);
            next[place] += 1;
        }
        let some = story.pool.candidates(limit);
        let weight: u64 = some.iter().map(|c| c.weight.0).sum();
        prop_assert!(weight <= limit);
        let least = story.pool.iter().map(|c| c.weight.0).max().unwrap_or(0);
        prop_assert!(some.len() == all.len() || weight + least > limit, "there was room");
    }
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
    assert_eq!(removed.gone, [spending.wtxid]);
    assert!(
        story.pool.get(&gift.wtxid).is_some(),
        "it waits to be mined again"
    );
}

#[test]
fn sixty_four_transactions_of_an_account_wait_and_no_more() {
    let mut story = Story::new();
    for nonce in 0..64 {
        let payment = story.payment(0, nonce, 400, 1, 1);
        assert_eq!(story.add(&payment), Ok(None));
    }
    let payment = story.payment(0, 64, 400, 1, 1);
    assert_eq!(story.add(&payment), Err(Refusal::QueueFull));
    let better = story.payment(0, 63, 4_000, 1, 1);
    assert!(
        matches!(story.add(&better), Ok(Some(_))),
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
    assert_eq!(story.add(&enough), Ok(Some(old.wtxid)));
    assert!(story.pool.get(&old.wtxid).is_none());
}
