//! Bugs that other nodes had with headers and time, each as a story of ours.

use super::mining::{STEP, miner, solve};
use super::*;
use crate::types::Hash;

/// Bitcoin, July 2015 (BIP 66): pools mined on headers whose blocks they had not looked at, and
/// when one was invalid half of the hash rate built on it.
#[test]
fn bip66_no_template_is_ever_built_on_a_block_that_was_not_executed() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    let genesis = alice.tip();
    let old = alice.template();
    let beneficiary = miner();
    let after = Some(old.poll);
    let poll = alice.ask(Question::Template { beneficiary, after });
    let (root, who) = (alice.maker.root(), person(91).account);
    let wrong = |header: &mut Header| header.state_root = Hash::ZERO;
    let bad = alice.maker.child_with(&root, who, &[], wrong);
    let on_bad = alice.maker.child_with(&bad.state, who, &[], |header| {
        header.parent_id = bad.id;
        header.height = Height(2);
        header.time.0 += 2_000;
        header.base_fee = 766;
    });
    alice.receive(bob, announce(&[&bad, &on_bad]));
    let tree = alice.node.chain.tree();
    assert_eq!(tree.best_header(), on_bad.id, "its work is done");
    alice.wait(Span::from_secs(2));
    assert_eq!(alice.template().header.parent_id, genesis);
    assert!(!alice.answers.contains_key(&poll), "a header is no new tip");
    let request = alice.expect_get_blocks(bob, &[&bad, &on_bad]);
    alice.receive(bob, block(request, &bad));
    alice.store_done();
    assert_eq!(alice.node.chain.tree().best_header(), genesis);
    let template = alice.template();
    assert_eq!(template.header.parent_id, genesis);
    let call = alice.submits_work(&template, solve(&template, template.header.time), None);
    assert_eq!(alice.outcome(call), Ok(Submitted::Accepted));
}

/// Graft and others: once a chain was ahead of the clock, pools were given a template that the
/// node itself then refused as too new, and mined it again and again.
#[test]
fn graft_stuck_template_a_chain_at_the_future_limit_goes_on_with_the_clock() {
    let mut alice = Alice::new();
    let begun = alice.now;
    for height in 1..=60 {
        let template = alice.template();
        // A miner that always writes the latest time there is.
        let time = template.latest.max(template.header.time);
        let call = alice.submits_work(&template, solve(&template, time), Some(time));
        match alice.outcome(call) {
            Ok(Submitted::Accepted) => {}
            Ok(Submitted::Held { until }) => {
                assert!(until.since(alice.now) <= STEP, "no longer than a step");
                let before = alice.tip();
                alice.wait(until.since(alice.now));
                alice.store_done();
                assert_ne!(alice.tip(), before, "it is taken when it is due");
            }
            other => panic!("block {height}: {other:?}"),
        }
        assert_eq!(alice.node.chain.tip_entry().header.height, Height(height));
    }
    // The first block took the whole limit, and each one since waited for its step.
    assert_eq!(alice.now.since(begun), STEP.times(59));
}

/// Zcash and others: after a restart a node preferred another of two branches with equal work,
/// and miners that restarted split the chain again.
#[test]
fn of_two_branches_with_equal_work_the_first_seen_stays_the_tip_across_restarts() {
    for reverse in [false, true] {
        let mut alice = Alice::new();
        let (root, who) = (alice.maker.root(), person(92).account);
        let first = alice.first_block();
        let rival = alice.maker.child(&root, who, &[]);
        assert_eq!(alice.submits_block(&first), Ok(Submitted::Accepted));
        assert_eq!(alice.submits_block(&rival), Ok(Submitted::SideBranch));
        let mut recovered = alice.recovered(&first);
        assert_eq!(recovered.blocks.len(), 2);
        if reverse {
            // As if the bodies had come in the other order.
            recovered.blocks.reverse();
        }
        alice.starts_on(recovered);
        assert_eq!(alice.node.chain.tip(), first.id);
        assert_eq!(alice.tip(), first.id);
        let on_rival = alice.block_on(&rival);
        assert_eq!(alice.submits_block(&on_rival), Ok(Submitted::Accepted));
    }
}
