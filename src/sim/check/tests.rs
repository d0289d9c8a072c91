//! The checkers that look at several nodes at once, each with something to find and without.

use std::sync::Arc;

use super::*;
use crate::chain::testing::{genesis, pay, person};
use crate::node::Mining;
use crate::sim::network::Cut;
use crate::sim::workload::{Payment, PaymentKind};
use crate::sim::{Crash, Damage, DiskKind, WorldConfig};
use crate::types::{AccountId, EngineKind, Millis, Nonce, Profile};

/// Two nodes, the second of which dials the first, which mines.
fn pair() -> (World, [NodeIndex; 2]) {
    let time = Millis(1_700_000_000_000);
    let genesis = Profile::Dev.genesis(EngineKind::Work, "checks", time);
    let config = WorldConfig {
        disks: DiskKind::Faulty,
        ..WorldConfig::new(9, Arc::new(genesis))
    };
    let mut world = World::new(config);
    let mining = Mining {
        beneficiary: AccountId([1; 32]),
        hashrate: Some(4_000),
    };
    let miner = world.add("miner", &[], Some(mining));
    let other = world.add("other", &[miner], None);
    (world, [miner, other])
}

/// Beside a look at every node after every step.
#[test]
fn whose_life_or_view_changes_is_told() {
    let (mut world, nodes) = pair();
    let seen = |world: &World| {
        nodes.map(|node| {
            let shown = world.published(node).map(Arc::as_ptr);
            (world.is_running(node), world.life(node), shown)
        })
    };
    let (mut before, mut told, mut changed) = (seen(&world), world.changes().len(), 0);
    assert!(nodes.iter().all(|node| world.changes().contains(node)));
    for step in 0..20_000 {
        match step {
            5_000 => world.crash(nodes[1], Crash::Kill),
            10_000 => world.start(nodes[1]),
            _ => assert!(world.step()),
        }
        let now = seen(&world);
        for (place, node) in nodes.iter().enumerate() {
            let is_told = world.changes()[told..].contains(node);
            assert!(is_told || now[place] == before[place], "{node:?} at {step}");
            changed += u32::from(now[place] != before[place]);
        }
        (before, told) = (now, world.changes().len());
    }
    assert!(changed > 100, "{changed}");
}

#[test]
fn a_link_is_missing_while_its_other_end_is_away() {
    let (mut world, nodes) = pair();
    world.run(Span::from_secs(5));
    assert_eq!(missing_link(&world, &nodes), None);
    world.crash(nodes[0], Crash::Kill);
    world.run(Span::from_secs(1));
    let missing = Some((nodes[1], nodes[0]));
    assert_eq!(missing_link(&world, &nodes), missing);
    assert_eq!(missing_link(&world, &nodes[1..]), None);
    world.start(nodes[0]);
    world.run(REDIALLED_WITHIN);
    assert_eq!(missing_link(&world, &nodes), None);
}

#[test]
fn nodes_come_to_the_same_work_in_silence_unless_they_are_apart() {
    let (mut world, nodes) = pair();
    world.run(Span::from_secs(20));
    let cut = world.cut(Cut::Split(vec![1]));
    world.run(Span::from_secs(20));
    world.stop_mining();
    world.run(Span::from_secs(2));
    let height = |world: &World, node: NodeIndex| world.published(node).unwrap().header.height;
    let before = height(&world, nodes[0]);
    assert!(!same_work(&world, &nodes));
    world.mend(cut);
    world.run(QUIET_MARGIN);
    assert!(same_work(&world, &nodes));
    assert_eq!(height(&world, nodes[1]), before);
}

#[test]
fn a_promise_is_owed_until_its_nonce_is_used_or_it_has_expired() {
    let someone = person(1);
    let genesis = genesis(&[&someone], 1_000);
    let mut transaction = pay(&genesis, &someone, (3, 10), someone.account, 1);
    transaction.expiry = Height(40);
    let kind = PaymentKind::Plain;
    let payment = Payment::new(&transaction, kind, &genesis.id(), Time::EPOCH);
    let owed = |nonce: Option<u64>, tip| again::is_owed(&payment, nonce.map(Nonce), Height(tip));
    for nonce in [None, Some(0), Some(3)] {
        assert!(owed(nonce, 39) && !owed(nonce, 40), "{nonce:?}");
    }
    assert!(!owed(Some(4), 39));
}

#[test]
fn logs_are_whole_after_a_power_cut_and_not_after_a_bit_turned() {
    let (mut world, nodes) = pair();
    let nobody = crate::sim::workload::WorkloadOptions {
        accounts: 0,
        shared_accounts: 0,
        ..Default::default()
    };
    let mut rng = crate::base::Rng::from_number(3);
    let workload = crate::sim::workload::Workload::new(nobody, &rng);
    world.run(Span::from_secs(30));
    world.crash(nodes[0], Crash::PowerCut(crate::store::Keep::Sectors));
    world.start(nodes[0]);
    world.run(Span::from_secs(5));
    assert_eq!(check_log_replay(&world, &workload, nodes[0]), None);
    let flips = std::iter::repeat_with(|| world.damage(nodes[0], Damage::Bit, &mut rng));
    assert!(flips.take(600).all(|flipped| flipped));
    let found = check_log_replay(&world, &workload, nodes[0]);
    assert!(found.is_some_and(|found| found.checker == Checker::LogReplay));
}
