//! Blocks that break a rule, one rule at a time.

use super::*;

/// A scene of one kind of invalid blocks, after two minutes, with what must hold in all of them.
fn invalid(flaw: Flaw) -> Scene {
    let adversary = Box::new(InvalidBlockMiner::of(vec![flaw]));
    let mut scene = Scene::with(genesis(&[(MINERS, Amount(1))], |_| {}), 5, adversary);
    scene.run(120);
    scene.assert_agreement(40);
    scene.assert_honest_unharmed();
    scene
}

#[test]
fn a_block_whose_body_breaks_a_rule_is_nobodys_and_costs_its_sender_the_connection() {
    for (flaw, rule) in [
        (Flaw::StateRoot, "state_root is"),
        (Flaw::Signature, "a signature of transaction"),
        (Flaw::Overspending, "the sender's account"),
        (Flaw::TooHeavy, "the block weighs"),
    ] {
        let scene = invalid(flaw);
        scene.assert_discouraged_for(&["is invalid"]);
        // Its blocks are known to be invalid, and why, and nothing was ever built on one.
        let mut condemned = 0;
        for (_, _, event) in scene.world.events() {
            if let Event::InvalidBlock { why, .. } = event {
                assert!(why.contains(rule), "{flaw:?}: {why}");
                condemned += 1;
            }
        }
        assert!(condemned >= 3, "{flaw:?}: {condemned}");
        let rogue = AccountId([0x66; 32]);
        for node in &scene.honest {
            assert_eq!(scene.balance(*node, rogue), 0, "{flaw:?}");
        }
    }
}

#[test]
fn a_body_that_is_not_its_headers_says_nothing_against_the_header() {
    let scene = invalid(Flaw::TxRoot);
    scene.assert_discouraged_for(&["root"]);
    let condemned = |event: &Event| matches!(event, Event::InvalidBlock { .. });
    let events = scene.world.events();
    assert!(!events.iter().any(|(_, _, event)| condemned(event)));
    // Where one half gets another body, the other half has the block, and all take it from them.
    let scene = invalid(Flaw::TwoBodies);
    scene.assert_discouraged_for(&["root"]);
    let events = scene.world.events();
    assert!(!events.iter().any(|(_, _, event)| condemned(event)));
    for node in &scene.honest {
        let paid = scene.balance(*node, AccountId([0x66; 32]));
        assert!(paid > 0, "{node:?} has its good blocks");
    }
}
