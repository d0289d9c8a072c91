//! The mempool against one that is built anew from everything it was ever given.

use super::*;
use crate::base::Rng;
use crate::chain::testing::pay;
use crate::types::Transaction;

/// What a naive mempool knows: the transactions that wait or come back, in no order at all.
#[derive(Default)]
struct Naive {
    known: Vec<Arc<CheckedTransaction>>,
}

impl Naive {
    /// What waits of `known` on a state: of every account, nonce by nonce, the best paying
    /// transaction that has not expired, that pays for the accounts that it would create, and that
    /// the money left covers.
    fn rebuild(&mut self, view: &StateView, rules: &Rules, next: Height) {
        let is_new = |to: &AccountId| matches!(view.account(to), Ok(None));
        let pays_enough = |c: &CheckedTransaction| {
            let payees = c.transaction.ops.iter().filter_map(|op| match op {
                Op::Transfer { to, .. } => Some(*to),
                Op::Data(_) => None,
            });
            let created = payees.filter(is_new).collect::<BTreeSet<_>>().len() as u64;
            let weight = (rules.base_fee_min * c.weight.0).div_ceil(1_000);
            c.transaction.fee.0 >= weight + rules.account_fee * created
        };
        let mut kept = Vec::new();
        let senders: BTreeSet<AccountId> = self.known.iter().map(|c| c.sender).collect();
        for sender in senders {
            let Ok(Some(record)) = view.account(&sender) else {
                continue;
            };
            let (mut nonce, mut left) = (record.nonce.0, u128::from(record.balance.0));
            loop {
                let of_nonce = self.known.iter().filter(|c| {
                    let transaction = &c.transaction;
                    let valid = transaction.expiry.0 == 0 || transaction.expiry >= next;
                    let pays = spends(c) <= left && pays_enough(c);
                    c.sender == sender && transaction.nonce.0 == nonce && valid && pays
                });
                let Some(best) = of_nonce.max_by_key(|c| c.fee_rate()) else {
                    break;
                };
                left -= spends(best);
                nonce += 1;
                kept.push(Arc::clone(best));
            }
        }
        self.known = kept;
    }

    fn txids(&self) -> BTreeSet<TxId> {
        self.known.iter().map(|c| c.txid).collect()
    }
}

/// A transaction of somebody, at or near the nonce that is due, with any rate and perhaps an end.
fn random_payment(story: &Story, rng: &mut Rng, number: usize) -> Transaction {
    let from = rng.below(4) as usize;
    let account = story.people[from].account;
    let next = story.next_nonce(&account);
    let nonce = (next.map_or(0, |nonce| nonce.0) + rng.below(3) / 2).saturating_sub(rng.below(4));
    // No two pay the same rate, and not all pay for an account.
    let most = if rng.chance(1, 2) { 20 } else { 400 };
    let fee = 300 + rng.below(most) * 100 + number as u64;
    let to = story.people[rng.below(4) as usize].account;
    let amount = 1 + rng.below(300_000);
    let genesis = &story.maker.genesis;
    let mut payment = pay(genesis, &story.people[from], (nonce, fee), to, amount);
    if rng.chance(1, 3) {
        payment.expiry = Height(story.state().header.height.0 + 10 + rng.below(4));
    }
    payment
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_chain_does_the_mempool_is_what_building_it_anew_gives(seed: u64) {
        let mut rng = Rng::from_number(seed);
        let mut story = Story::new();
        let mut naive = Naive::default();
        // Everything that was ever made, for blocks of others: with transactions that this
        // mempool never had, or replaced.
        let mut made: Vec<Transaction> = Vec::new();
        for _ in 0..60 {
            if rng.chance(3, 4) {
                let payment = random_payment(&story, &mut rng, made.len());
                let payment = checked(&story.maker.genesis, payment);
                made.push(payment.transaction.clone());
                if let Ok(left) = story.add(&payment) {
                    for left in left {
                        naive.known.retain(|c| c.txid != left.checked.txid);
                    }
                    naive.known.push(payment);
                }
            } else {
                let back = if rng.chance(1, 2) { 0 } else { rng.below(5) as usize };
                let back = back.min(story.tip.len());
                let came = back + 1 + rng.below(3) as usize * rng.below(3) as usize;
                made.sort_by_key(|t| t.nonce);
                rng.shuffle(&mut made);
                made.sort_by_key(|t| t.nonce);
                let take: Vec<Transaction> =
                    made.iter().filter(|_| rng.chance(1, 2)).cloned().collect();
                let followed = story.switch(back, came, &take);
                for block in &story.left {
                    naive.known.extend(block.checked.transactions.iter().cloned());
                }
                let mined: BTreeSet<TxId> = story.tip[story.tip.len() - came..]
                    .iter()
                    .flat_map(|block| block.checked.transactions.iter().map(|c| c.txid))
                    .collect();
                naive.known.retain(|c| !mined.contains(&c.txid));
                let before = naive.txids();
                let rules = story.maker.genesis.rules;
                naive.rebuild(&story.view(), &rules, story.state().header.height.next());
                let lost: BTreeSet<TxId> = before.difference(&naive.txids()).copied().collect();
                let left: BTreeSet<TxId> =
                    followed.left.iter().map(|left| left.checked.txid).collect();
                prop_assert_eq!(left, lost, "what left is told of, and nothing else");
            }
            let waiting: BTreeSet<TxId> = story.pool.iter().map(|c| c.txid).collect();
            prop_assert_eq!(waiting, naive.txids());
            story.check()?;
        }
    }
}
