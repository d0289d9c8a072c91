//! Crashes in the midst of a group of records.

use super::*;
use crate::node::TransactionStatus;
use crate::store::{Hits, Keep};

/// A node on a disk that can fail, and two payments of which it has acknowledged the first.
fn acknowledged(seed: u64) -> (World, NodeIndex, [Transaction; 2]) {
    let (alice, bob) = (person(1), person(2));
    let genesis = genesis(&[&alice]);
    let mut world = World::new(WorldConfig {
        disks: DiskKind::Faulty,
        ..near(seed, &genesis)
    });
    let node = world.add("node", &[], None);
    world.run(Span::from_secs(1));
    let payments = [0, 1].map(|nonce| pay(&genesis, &alice, nonce, bob.account, 7));
    let call = world.call(node, Question::SubmitTransaction(payments[0].to_bytes()));
    let accepted = answer(&mut world, call);
    assert!(matches!(accepted, Ok(Reply::Accepted { .. })));
    (world, node, payments)
}

fn waits(world: &mut World, node: NodeIndex, payment: &Transaction) -> bool {
    let txid = payment.txid(&world.config.genesis.id());
    let call = world.call(node, Question::Transaction(txid));
    let waiting = Ok(Reply::Transaction(TransactionStatus::Waiting));
    answer(world, call) == waiting
}

#[test]
fn a_crash_in_the_midst_of_a_group_tears_it_and_loses_nothing_acknowledged() {
    let mut hits = Hits::default();
    for seed in 0..4 {
        for how in Keep::ALL
            .map(Crash::PowerCut)
            .into_iter()
            .chain([Crash::Kill])
        {
            for calls in 0..4 {
                let (mut world, node, [first, second]) = acknowledged(seed);
                world.crash_in_write(node, how, calls);
                let call = world.call(node, Question::SubmitTransaction(second.to_bytes()));
                world.run(Span::from_secs(5));
                assert!(!world.is_running(node), "{how:?} {calls}");
                assert!(world.reply(call).is_none(), "{how:?} {calls}");
                hits = hits.and(world.disk_hits(node).disk);
                world.start(node);
                world.run(Span::from_secs(1));
                assert!(waits(&mut world, node, &first), "{how:?} {calls}");
                // All calls of a group make it durable, whoever heard of that.
                let came = waits(&mut world, node, &second);
                assert!(came || calls < 3, "{how:?} {calls}");
                assert!(!came || calls > 0, "{how:?} {calls}");
            }
        }
    }
    let became = [hits.lost_writes, hits.torn_writes, hits.kept_writes];
    assert!(became.iter().all(|times| *times > 0), "{became:?}");
}

#[test]
fn a_machine_that_is_spared_goes_on() {
    let (mut world, node, [_, second]) = acknowledged(1);
    world.crash_in_write(node, Crash::Kill, 0);
    world.spare(node);
    let call = world.call(node, Question::SubmitTransaction(second.to_bytes()));
    let accepted = answer(&mut world, call);
    assert!(matches!(accepted, Ok(Reply::Accepted { .. })));
    assert!(world.is_running(node));
}
