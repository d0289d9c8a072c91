//! Blocks that break a rule, one rule at a time.

use super::*;

/// Who the miner of invalid blocks mines for.
const ROGUE: AccountId = AccountId([0x66; 32]);

/// A scene of one kind of invalid blocks: as much power as the honest have makes them.
fn scene(flaw: Flaw, nodes: usize) -> Scene {
    let adversary = InvalidBlockMiner::of(vec![flaw], &Rng::from_number(3)).with_percent(50);
    let genesis = genesis(&[(MINERS, Amount(1)), adversary.allocation()], |_| {});
    Scene::with(genesis, nodes, Box::new(adversary))
}

/// The same after a while, with what must hold in all of them.
fn invalid(flaw: Flaw) -> Scene {
    let mut scene = scene(flaw, 3);
    scene.run(30);
    scene.assert_agreement(8);
    scene.assert_honest_unharmed();
    assert!(scene.fired(flaw.mark()) > 0, "{flaw:?}");
    scene
}

/// Why blocks were found to be invalid, by honest nodes.
fn condemned(scene: &Scene) -> Vec<&str> {
    let mut found = Vec::new();
    for (_, node, event) in scene.world.events() {
        if let Event::InvalidBlock { why, .. } | Event::Divergence { why, .. } = event
            && scene.honest.contains(node)
        {
            found.push(why.as_str());
        }
    }
    found
}

/// What an honest node says of a block, and whether it needs the body for that: the rule that is
/// broken, because all others are kept.
const fn reason(flaw: Flaw) -> Option<(&'static str, bool)> {
    Some(match flaw {
        Flaw::Work => ("is above the target", false),
        Flaw::EasyBits => ("easier than the limit", false),
        Flaw::Bits => ("the target rule gives", false),
        Flaw::Height => ("after its parent it must be", false),
        Flaw::EarlyTime => ("after its parent at least", false),
        Flaw::BaseFee => ("the fee rule gives", false),
        Flaw::ParentWeight => ("but the parent weighs", true),
        Flaw::HistoryRoot => ("the ancestors give", true),
        Flaw::StateRoot | Flaw::Reward => ("execution gives", true),
        Flaw::TooHeavy => ("the block weighs", true),
        Flaw::LongTransaction => ("the transaction has", true),
        Flaw::Signature => ("a signature of transaction", true),
        Flaw::UnknownSender => ("does not exist", true),
        Flaw::Nonce => ("transaction 0: the nonce is", true),
        Flaw::Twice => ("transaction 1: the nonce is", true),
        Flaw::Expired => ("the transaction expired", true),
        Flaw::Overspending => ("amounts and fee are", true),
        Flaw::Fee | Flaw::AccountFee => ("transaction 0: the fee is", true),
        // Nothing is held against the block.
        Flaw::LateTime | Flaw::TxRoot | Flaw::TwoBodies => return None,
    })
}

#[test]
fn a_block_that_breaks_a_rule_is_nobodys_and_costs_its_sender_the_connection() {
    for flaw in Flaw::ALL {
        let Some((rule, has_body)) = reason(flaw) else {
            continue;
        };
        let scene = invalid(flaw);
        // Its blocks are known to be invalid, and why, and nothing was ever built on one.
        let condemned = condemned(&scene);
        if has_body {
            scene.assert_discouraged_for(&["is invalid"]);
            assert!(!condemned.is_empty(), "{flaw:?}");
        } else {
            scene.assert_discouraged_for(&[rule]);
        }
        for why in condemned {
            assert!(has_body && why.contains(rule), "{flaw:?}: {why}");
        }
        for node in &scene.honest {
            assert_eq!(scene.balance(*node, ROGUE), 0, "{flaw:?}");
        }
    }
}

#[test]
fn a_block_ahead_of_the_clock_waits_and_blames_nobody() {
    let mut scene = scene(Flaw::LateTime, 3);
    let limit = scene.world.config().genesis.rules.future_limit_ms();
    let honest = scene.honest.clone();
    let early = scene.world.run_until(Span::from_secs(60), |world| {
        let now = world.now().as_millis();
        honest.iter().any(|node| {
            let tip = world.published(*node);
            tip.is_some_and(|tip| tip.header.time.0 > now + limit)
        })
    });
    assert!(!early, "a tip is ahead of its time");
    assert!(scene.fired(Flaw::LateTime.mark()) > 3);
    scene.assert_agreement(15);
    scene.assert_honest_unharmed();
    assert!(!scene.is_blamed());
    assert_eq!(condemned(&scene), Vec::<&str>::new());
}

#[test]
fn a_body_that_is_not_its_headers_says_nothing_against_the_header() {
    let scene = invalid(Flaw::TxRoot);
    scene.assert_discouraged_for(&["root"]);
    assert_eq!(condemned(&scene), Vec::<&str>::new());
    // Where one half gets another body, the other half has the block, and all take it from them.
    let mut scene = self::scene(Flaw::TwoBodies, 5);
    scene.run(60);
    scene.assert_agreement(20);
    scene.assert_honest_unharmed();
    scene.assert_discouraged_for(&["root"]);
    assert_eq!(condemned(&scene), Vec::<&str>::new());
    for node in &scene.honest {
        let paid = scene.balance(*node, ROGUE);
        assert!(paid > 0, "{node:?} has its good blocks");
    }
}
