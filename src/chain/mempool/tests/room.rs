//! What goes when there is no room, and what that costs who comes after.

use super::*;
use crate::base::{Rng, Span};
use crate::chain::mempool::queue::QUEUE_BYTES;

/// A mempool with room for so many plain payments of as many accounts.
fn with_room(story: &mut Story, payments: u64) {
    let one = story.payment(0, 0, 5_000, 1, 1);
    story.add(&one).unwrap();
    story.pool = Mempool::with_limit(story.pool.memory() * payments);
}

fn txids(left: &[Left]) -> Vec<TxId> {
    left.iter().map(|left| left.checked.txid).collect()
}

#[test]
fn the_cheapest_goes_and_the_newcomer_only_where_it_is_the_cheapest() {
    let mut story = Story::of(6, BALANCE);
    with_room(&mut story, 4);
    let fees = [5_000, 2_000, 4_000, 3_000];
    let first: Vec<_> = (0..4)
        .map(|who| story.payment(who, 0, fees[who], 0, 1))
        .collect();
    for payment in &first {
        assert_eq!(story.add(payment), Ok(Vec::new()));
    }
    let poor = story.payment(4, 0, 2_000, 0, 1);
    let Err(Refusal::Full { needed }) = story.add(&poor) else {
        panic!("there is no room for what pays no more");
    };
    // By a step of 100 for its weight of 200.
    assert_eq!(needed, 2_020);
    assert_eq!(story.pool.len(), 4);
    let short = story.payment(4, 0, needed - 1, 0, 1);
    assert!(matches!(story.add(&short), Err(Refusal::Full { .. })));
    let better = story.payment(4, 0, needed, 0, 1);
    let left = story.add(&better).unwrap();
    assert_eq!(txids(&left), [first[1].txid]);
    assert_eq!(left[0].why, Leaving::Room);
    story.check().unwrap();
    // Who lost his place must pay more than who took it from him, and a step.
    let rules = story.maker.genesis.rules;
    assert_eq!(story.pool.floor(&rules, NOW), 10_100);
    let again = story.payment(1, 0, 2_019, 0, 1);
    assert_eq!(story.add(&again), Err(Refusal::Full { needed: 2_020 }));
    assert_eq!(
        story
            .pool
            .floor(&rules, NOW + Span::from_secs(12 * 3_600))
            .div_ceil(100),
        51
    );
}

#[test]
fn what_nobody_was_promised_goes_before_what_somebody_was() {
    let mut story = Story::of(6, BALANCE);
    with_room(&mut story, 3);
    let promised = story.payment(0, 0, 1_000, 0, 1);
    let (rich, richer) = (
        story.payment(1, 0, 8_000, 0, 1),
        story.payment(2, 0, 9_000, 0, 1),
    );
    story.add_from(&promised, Origin::Caller).unwrap();
    story.add(&rich).unwrap();
    story.add(&richer).unwrap();
    let more = story.payment(3, 0, 1_500, 0, 1);
    let left = story.add_from(&more, Origin::Caller).unwrap();
    assert_eq!(txids(&left), [rich.txid]);
    // The floor is that of what went, for callers too.
    let low = story.payment(4, 0, 1_600, 0, 1);
    assert!(matches!(
        story.add_from(&low, Origin::Caller),
        Err(Refusal::Full { .. })
    ));
    let last = story.payment(4, 0, 8_020, 0, 1);
    assert_eq!(
        txids(&story.add_from(&last, Origin::Caller).unwrap()),
        [richer.txid]
    );
    // Only promised ones are left: for a peer's there is no room, whatever it offers, and its
    // offer makes nobody else pay more.
    let rules = story.maker.genesis.rules;
    let floor = story.pool.floor(&rules, NOW);
    let offer = story.payment(5, 0, 900_000, 0, 1);
    assert!(matches!(story.add(&offer), Err(Refusal::Full { .. })));
    assert_eq!(story.pool.floor(&rules, NOW), floor);
    let left = story.add_from(&offer, Origin::Caller).unwrap();
    assert_eq!(txids(&left), [promised.txid]);
    assert!(left[0].promised);
    story.check().unwrap();
}

/// A block gives back a rival of what somebody was promised, and there is room for one.
#[test]
fn what_takes_the_place_of_a_promise_is_kept_as_the_promise_was() {
    let mut story = Story::of(3, BALANCE);
    let promised = story.payment(0, 0, 1_000, 0, 1);
    let (rival, richer) = (
        story.payment(0, 0, 2_000, 1, 1),
        story.payment(1, 0, 9_000, 0, 1),
    );
    story.switch(0, 1, std::slice::from_ref(&rival.transaction));
    story.add(&richer).unwrap();
    story.pool.limit = story.pool.memory();
    story.aside.push(Arc::clone(&promised));
    let followed = story.switch(1, 2, &[]);
    let by = rival.txid;
    let left = followed
        .left
        .iter()
        .map(|left| (left.checked.txid, left.why));
    let wanted = [
        (promised.txid, Leaving::Replaced { by }),
        (richer.txid, Leaving::Room),
    ];
    assert_eq!(left.collect::<Vec<_>>(), wanted);
    assert!(story.pool.get(&rival.wtxid).is_some());
    story.check().unwrap();
}

/// A transaction that peers brought turns out to be one that somebody was promised.
#[test]
fn a_promise_that_returns_to_what_waits_already_is_kept_as_one() {
    let mut story = Story::of(3, BALANCE);
    let promised = story.payment(0, 0, 1_000, 0, 1);
    let richer = story.payment(1, 0, 9_000, 0, 1);
    story.add(&promised).unwrap();
    story.add(&richer).unwrap();
    story.aside.push(Arc::clone(&promised));
    story.pool.limit = story.pool.memory() - 1;
    let followed = story.switch(0, 1, &[]);
    assert_eq!(txids(&followed.left), [richer.txid]);
    assert_eq!(story.pool.promise(&promised.txid), []);
}

#[test]
fn a_rich_child_keeps_its_poor_parent_and_a_poor_child_goes_alone() {
    let mut story = Story::of(4, BALANCE);
    let (parent, child) = (
        story.payment(0, 0, 300, 0, 1),
        story.payment(0, 1, 9_000, 0, 1),
    );
    let (head, tail) = (
        story.payment(1, 0, 5_000, 0, 1),
        story.payment(1, 1, 1_000, 0, 1),
    );
    for payment in [&parent, &child, &head, &tail] {
        story.add(payment).unwrap();
    }
    // As much room as one of several takes.
    story.pool.limit = story.pool.memory() + QUEUE_BYTES;
    let newcomer = story.payment(2, 0, 2_000, 0, 1);
    let left = story.add(&newcomer).unwrap();
    assert_eq!(txids(&left), [tail.txid], "together the others pay more");
    story.check().unwrap();
    assert!(story.pool.get(&parent.wtxid).is_some());
    let best = story.pool.candidates(400, 0);
    let best: Vec<_> = best.iter().map(|c| c.txid).collect();
    assert_eq!(
        best,
        [head.txid, newcomer.txid],
        "the two do not fit together"
    );
}

#[test]
fn a_replacement_that_needs_the_money_of_what_is_behind_pays_for_all_of_it() {
    let mut story = Story::new();
    let amounts = [300_000, 300_000, 300_000];
    let old: Vec<_> = (0..3)
        .map(|nonce| story.payment(0, nonce, 2_000, 1, amounts[nonce as usize]))
        .collect();
    for payment in &old {
        story.add(payment).unwrap();
    }
    // 600,000 and the first one's place leave no room for the third.
    let needed = 4_000 + 20;
    let almost = story.payment(0, 0, needed - 1, 1, 600_000);
    let with = old[0].txid;
    assert_eq!(story.add(&almost), Err(Refusal::Conflict { with, needed }));
    let enough = story.payment(0, 0, needed, 1, 600_000);
    let left = story.add(&enough).unwrap();
    let mut gone = txids(&left);
    gone.sort();
    let mut wanted = vec![old[0].txid, old[2].txid];
    wanted.sort();
    assert_eq!(gone, wanted);
    story.check().unwrap();
    assert!(story.pool.get(&old[1].wtxid).is_some());
}

#[test]
fn what_expires_within_ten_blocks_is_not_carried_around() {
    let mut story = Story::new();
    let tip = story.state().header.height.0;
    let with_expiry = |story: &Story, expiry| {
        let mut payment = story.payment(0, 0, 5_000, 1, 1).transaction.clone();
        payment.expiry = Height(expiry);
        checked(&story.maker.genesis, payment)
    };
    let (expiry, least) = (Height(tip + 9), Height(tip + 10));
    let soon = with_expiry(&story, expiry.0);
    assert_eq!(
        story.add(&soon),
        Err(Refusal::ExpiresSoon { expiry, least })
    );
    let in_time = with_expiry(&story, least.0);
    assert_eq!(story.add(&in_time), Ok(Vec::new()));
    // It waits as long as it may be mined, and not one block longer.
    for _ in 0..9 {
        story.switch(0, 1, &[]);
        assert!(story.pool.get(&in_time.wtxid).is_some());
    }
    let followed = story.switch(0, 1, &[]);
    assert_eq!(txids(&followed.left), [in_time.txid]);
    assert_eq!(followed.left[0].why, Leaving::Expired);
    story.check().unwrap();
}

#[test]
fn advice_is_the_base_fee_when_nothing_waits_and_more_than_what_waits_when_much_does() {
    let mut story = Story::of(40, BALANCE);
    let mut rules = story.maker.genesis.rules;
    let advise = |story: &Story, rules: &Rules, blocks| {
        story
            .pool
            .advise(rules, 1_000, story.pool.floor(rules, NOW), blocks)
            .rate
    };
    assert_eq!(advise(&story, &rules, 1), 1_000);
    // It stays valid when the block before it is full.
    assert_eq!(advise(&story, &rules, 2), 1_125);
    assert!(advise(&story, &rules, 6) < 1_000 * 2);
    // 40 payments of weight 200 at rates from 20,000 to 59,000; a block takes ten of them.
    rules.max_block_weight = 2_000;
    for who in 0..40 {
        let payment = story.payment(who, 0, 4_000 + 200 * who as u64, 0, 1);
        story.add(&payment).unwrap();
    }
    for (blocks, passed) in [(1, 50_000), (2, 40_000), (3, 30_000)] {
        let rate = advise(&story, &rules, blocks);
        let (low, high) = (passed, passed * 9 / 8 + 1_000);
        assert!((low..=high).contains(&rate), "{rate} for {blocks} blocks");
    }
    // Once all of it is taken there is room again.
    assert!(advise(&story, &rules, 6) < 5_000);
}

/// An account's transactions, with whether each is promised.
type Line = Vec<(Arc<CheckedTransaction>, bool)>;

/// Lets go what pays least until the rest fits, by looking at every suffix of every line; nothing
/// when that is the newcomer.
fn naive_room(
    lines: &mut BTreeMap<AccountId, Line>,
    limit: u64,
    newcomer: &TxId,
) -> Option<BTreeSet<TxId>> {
    let memory = |line: &Line| {
        let mut queue = Queue::default();
        for (checked, promised) in line {
            queue.push(Waiting {
                checked: Arc::clone(checked),
                promised: *promised,
            });
        }
        queue.memory()
    };
    let mut gone = BTreeSet::new();
    while lines.values().map(memory).sum::<u64>() > limit {
        let worst_suffix = |line: &Line| {
            let rate = |start: &usize| {
                let fee: u64 = line[*start..]
                    .iter()
                    .map(|(c, _)| c.transaction.fee.0)
                    .sum();
                let weight: u64 = line[*start..].iter().map(|(c, _)| c.weight.0).sum();
                fee * 1_000_000 / weight
            };
            let start = (0..line.len()).rev().min_by_key(rate)?;
            let promised = line[start..].iter().any(|(_, promised)| *promised);
            Some((promised, rate(&start), start))
        };
        let worst = lines
            .iter()
            .filter_map(|(account, line)| {
                let (promised, rate, start) = worst_suffix(line)?;
                // Of the same rate, the account decides.
                Some((promised, rate, *account, start))
            })
            .min();
        let (.., account, start) = worst?;
        for (checked, _) in lines.get_mut(&account)?.split_off(start) {
            gone.insert(checked.txid);
        }
        if gone.contains(newcomer) {
            return None;
        }
    }
    Some(gone)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_goes_for_room_is_what_the_naive_rule_lets_go(seed: u64) {
        let mut rng = Rng::from_number(seed);
        let mut story = Story::of(12, BALANCE);
        with_room(&mut story, 8);
        for number in 0..80 {
            let from = rng.below(12) as usize;
            let account = story.people[from].account;
            let next = story.next_nonce(&account).unwrap().0;
            let fee = 300 + rng.below(90) * 100 + number;
            let payment = story.payment(from, next, fee, 0, 1);
            let origin = if rng.chance(1, 4) { Origin::Caller } else { Origin::Peer };
            let mut lines: BTreeMap<AccountId, Line> = BTreeMap::new();
            for (account, queue) in &story.pool.queues {
                let line = queue.iter().map(|w| (Arc::clone(&w.checked), w.promised)).collect();
                lines.insert(*account, line);
            }
            let newcomer = (Arc::clone(&payment), origin == Origin::Caller);
            lines.entry(account).or_default().push(newcomer);
            let rules = story.maker.genesis.rules;
            let below = payment.fee_rate() < story.pool.floor.rate(&rules);
            let wanted = naive_room(&mut lines, story.pool.limit(), &payment.txid);
            match story.add_from(&payment, origin) {
                Ok(left) => {
                    let left: BTreeSet<TxId> = txids(&left).into_iter().collect();
                    prop_assert_eq!(Some(left), wanted);
                }
                Err(Refusal::Full { .. }) => prop_assert!(below || wanted.is_none()),
                Err(refusal) => prop_assert!(false, "{:?}", refusal),
            }
            story.check()?;
        }
    }
}
