//! Directed scenarios of payments.

use super::*;
use crate::chain::TransactionFault;
use crate::chain::mempool::Leaving;
use crate::codec::Encode;
use crate::node::TransactionStatus;
use crate::types::Nonce;

#[test]
fn a_payment_reaches_everybody_and_is_mined_wherever_the_next_block_is_found() {
    let story = Story::new(1, &["alice"]);
    let (north, east, south) = (story.node("north"), story.node("east"), story.node("south"));
    let (alice, shop) = (story.person("alice"), story.person("shop"));
    let payment = alice.pays(&shop, 777);
    north.takes(&payment);
    south.hears_of(&payment);
    east.hears_of(&payment);
    let block = east.mines(1);
    for node in [&north, &south] {
        node.follows(block);
        assert_eq!(node.balance_of(&shop), 777);
        assert!(node.has_mined(&payment));
    }
    story.nobody_is_blamed();
}

#[test]
fn what_can_never_be_valid_is_refused_with_the_rule_and_its_numbers() {
    let story = Story::new(5, &["alice"]);
    let north = story.node("north");
    let (alice, stranger) = (story.person("alice"), story.person("stranger"));
    let account = stranger.account();
    let unknown = TransactionFault::UnknownSender { account };
    let refused = north.refuses(&stranger.pays(&alice, 1));
    assert_eq!(refused, CallError::Transaction(unknown));
    let payment = alice.pays(&stranger, 1);
    let gap = TransactionFault::Nonce {
        wanted: Nonce(0),
        found: Nonce(3),
    };
    let refused = north.refuses(&payment.clone().with_nonce(3));
    assert_eq!(refused, CallError::Transaction(gap));
    let too_much = alice.pays(&stranger, FORTUNE).with_nonce(0);
    let balance = TransactionFault::Balance {
        needed: u128::from(FORTUNE) + 5_000,
        available: Amount(FORTUNE),
    };
    assert_eq!(north.refuses(&too_much), CallError::Transaction(balance));
    let mut forged = payment.transaction().to_bytes();
    *forged.last_mut().expect("a transaction has bytes") ^= 1;
    for bytes in [forged, vec![1, 2, 3]] {
        let answer = north.is_asked(Question::SubmitTransaction(bytes));
        assert!(matches!(answer, Err(CallError::Malformed(_))), "{answer:?}");
    }
    north.takes(&payment);
    // What is known is accepted again.
    north.takes(&payment);
}

#[test]
fn a_crashed_node_comes_back_with_everything_it_acknowledged() {
    for seed in 0..6 {
        let story = Story::new(seed, &["bob"]);
        let (north, south) = (story.node("north"), story.node("south"));
        let (bob, shop) = (story.person("bob"), story.person("shop"));
        let block = north.mines(2);
        south.follows(block);
        let payment = bob.pays(&shop, 5);
        south.takes(&payment);
        // At once: no peer has heard of it.
        south.crashes();
        assert_eq!(north.whereabouts(&payment), TransactionStatus::Unknown);
        story.waits(seed);
        south.starts();
        assert!(south.knows(block), "what readers saw is in the log");
        // Nobody is told at once that it came from there.
        story.waits(50);
        assert_eq!(north.whereabouts(&payment), TransactionStatus::Unknown);
        story.waits(250);
        north.hears_of(&payment);
        let block = north.mines(1);
        south.follows(block);
        assert!(south.has_mined(&payment), "seed {seed}");
    }
}

#[test]
fn of_a_double_spend_on_both_sides_of_a_split_one_stays() {
    let story = Story::new(3, &["alice"]);
    let (north, south) = (story.node("north"), story.node("south"));
    let alice = story.person("alice");
    let (left, right) = (story.person("left"), story.person("right"));
    let common = north.mines(2);
    south.follows(common);
    story.splits_off(&[&north]);
    let payment = alice.pays(&left, 900_000_000);
    let rival = payment.redirected_to(&right);
    north.takes(&payment);
    south.takes(&rival);
    north.mines(2);
    south.mines(3);
    assert!(north.has_mined(&payment) && south.has_mined(&rival));
    story.heals();
    let agreed = story.everybody_agrees_within(120);
    assert_eq!(agreed, south.tip(), "three blocks are more work than two");
    assert_eq!(story.deepest_reorganisation(), 2);
    for node in [&north, &south] {
        assert_eq!(node.balance_of(&left), 0);
        assert_eq!(node.balance_of(&right), 900_000_000);
    }
    // North had promised the payment: it is kept until the rival is buried.
    let aside = TransactionStatus::Aside(Leaving::NonceUsed);
    assert_eq!(north.whereabouts(&payment), aside);
    story.nobody_is_blamed();
}

#[test]
fn a_reorganisation_across_a_replaced_payment_pays_once() {
    let story = Story::new(4, &["alice"]);
    let (north, south) = (story.node("north"), story.node("south"));
    let (alice, shop) = (story.person("alice"), story.person("shop"));
    let payment = alice.pays(&shop, 1_000);
    north.takes(&payment);
    south.hears_of(&payment);
    // South's side knows of a higher fee for the same, and north's does not.
    story.splits_off(&[&north]);
    let dearer = payment.clone().with_fee(20_000);
    south.takes(&dearer);
    north.mines(1);
    south.mines(2);
    assert!(north.has_mined(&payment) && south.has_mined(&dearer));
    story.heals();
    story.everybody_agrees_within(120);
    for node in [&north, &south] {
        assert_eq!(node.balance_of(&shop), 1_000, "it is paid once");
        assert_eq!(node.balance_of(&alice), FORTUNE - 21_000);
        assert!(node.has_mined(&dearer) && !node.has_mined(&payment));
    }
    // And the other way round: the branch that is left had the replacement.
    let again = alice.pays(&shop, 500);
    north.takes(&again);
    south.hears_of(&again);
    story.splits_off(&[&north]);
    let dearer = again.clone().with_fee(20_000);
    south.takes(&dearer);
    south.mines(1);
    north.mines(2);
    story.heals();
    story.everybody_agrees_within(120);
    for node in [&north, &south] {
        assert_eq!(node.balance_of(&shop), 1_500);
        assert!(node.has_mined(&again) && !node.has_mined(&dearer));
    }
    story.nobody_is_blamed();
}

#[test]
fn a_payment_of_a_lost_branch_is_mined_again() {
    let story = Story::new(6, &["alice"]);
    let (north, south) = (story.node("north"), story.node("south"));
    let (alice, shop) = (story.person("alice"), story.person("shop"));
    story.splits_off(&[&north]);
    let payment = alice.pays(&shop, 1_000);
    north.takes(&payment);
    north.mines(1);
    assert_eq!(north.balance_of(&shop), 1_000);
    south.mines(2);
    story.heals();
    story.everybody_agrees_within(120);
    assert_eq!(north.balance_of(&shop), 0);
    // It is nobody's fault: the payment waits again, here and there.
    south.hears_of(&payment);
    let block = south.mines(1);
    north.follows(block);
    assert_eq!(north.balance_of(&shop), 1_000);
}

#[test]
fn a_payment_that_expired_does_not_come_back() {
    let story = Story::new(8, &["alice"]);
    let (north, south) = (story.node("north"), story.node("south"));
    let (alice, shop) = (story.person("alice"), story.person("shop"));
    story.splits_off(&[&north]);
    // Valid up to height 12, and mined on one side at height 1.
    let payment = alice.pays(&shop, 1_000).until(12);
    north.takes(&payment);
    north.mines(2);
    assert!(north.has_mined(&payment));
    // The other side never heard of it, and is past that height.
    south.mines(12);
    story.heals();
    story.everybody_agrees_within(120);
    let expired = TransactionStatus::Gone(Leaving::Expired);
    assert_eq!(north.whereabouts(&payment), expired);
    let block = north.mines(3);
    south.follows(block);
    for node in [&north, &south] {
        assert_eq!(node.balance_of(&shop), 0);
    }
    // Its money and its nonce are there for something else.
    let other = alice.pays(&shop, 2).with_nonce(0);
    north.takes(&other);
}

#[test]
fn the_reward_of_an_orphaned_block_never_matures() {
    let story = Story::new(9, &[]);
    let (north, south) = (story.node("north"), story.node("south"));
    let (loser, winner) = (story.person("loser"), story.person("winner"));
    story.splits_off(&[&north]);
    // Long enough that the first reward can be spent on this side: three blocks.
    north.mines_for(&loser, 5);
    assert!(north.balance_of(&loser) > 0);
    south.mines_for(&winner, 6);
    story.heals();
    story.everybody_agrees_within(120);
    for node in [&north, &south] {
        assert_eq!(node.balance_of(&loser), 0);
        assert!(node.balance_of(&winner) > 0);
    }
    let block = north.mines_for(&winner, 5);
    south.follows(block);
    for node in [&north, &south] {
        assert_eq!(node.balance_of(&loser), 0);
    }
    story.nobody_is_blamed();
}

#[test]
fn a_payment_out_of_an_orphaned_reward_goes_with_it() {
    let story = Story::new(10, &["alice"]);
    let (north, south) = (story.node("north"), story.node("south"));
    let (miner, shop) = (story.person("miner"), story.person("shop"));
    story.splits_off(&[&north]);
    north.mines_for(&miner, 4);
    let payment = miner.pays(&shop, 1_000);
    north.takes(&payment);
    south.mines(5);
    story.heals();
    story.everybody_agrees_within(120);
    let status = north.whereabouts(&payment);
    assert!(
        matches!(
            status,
            TransactionStatus::Aside(_) | TransactionStatus::Gone(_)
        ),
        "{status:?}"
    );
    let block = north.mines(1);
    south.follows(block);
    assert_eq!(south.balance_of(&shop), 0);
}
