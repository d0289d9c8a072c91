use super::*;
use crate::base::{Rng, Time};
use crate::node::Mining;
use crate::sim::WorldConfig;
use crate::sim::check::CONVERGES_WITHIN;
use crate::sim::workload::{Account, WorkloadOptions};
use crate::types::{AccountId, Amount, EngineKind, GenesisId, Millis, Nonce, Profile};

const CORE: [NodeIndex; 1] = [NodeIndex(0)];

/// A miner at work.
fn mined() -> (World, Watch, Arc<Genesis>) {
    let time = Millis(1_700_000_000_000);
    let genesis = Arc::new(Profile::Dev.genesis(EngineKind::Work, "world", time));
    let mut world = World::new(WorldConfig::new(1, Arc::clone(&genesis)));
    let mining = Mining {
        beneficiary: AccountId([9; 32]),
        hashrate: Some(20_000),
    };
    world.add("miner", &[], Some(mining));
    let mut watch = Watch::default();
    assert!(world.run_until(CONVERGES_WITHIN, |world| {
        watch.look(world);
        height(world) > Some(Height(3))
    }));
    (world, watch, genesis)
}

fn height(world: &World) -> Option<Height> {
    world.published(CORE[0]).map(|tip| tip.header.height)
}

#[test]
fn a_supply_that_is_not_what_the_blocks_say_is_found() {
    let (mut world, mut watch, genesis) = mined();
    world.stop_mining();
    world.run_until(Span::from_secs(1), |world| {
        watch.look(world);
        false
    });
    let tip = world.published(CORE[0]).expect("it runs").tip;
    let mut finally = Finally::new(&mut world, &mut watch, &CORE, genesis);
    finally.check_validity();
    finally.check_state();
    assert!(finally.watch.violations().is_empty());
    finally.reference.misjudge(&tip);
    finally.check_state();
    let found: Vec<Checker> = watch.violations().iter().map(|it| it.checker).collect();
    assert_eq!(found, [Checker::Supply]);
}

/// A chain of short intervals goes on while its nodes are asked.
#[test]
fn promises_are_looked_up_in_the_blocks_that_came_meanwhile_too() {
    let (mut world, mut watch, genesis) = mined();
    let options = WorkloadOptions {
        rate: 0.0,
        accounts: 0,
        shared_accounts: 0,
        ..WorkloadOptions::default()
    };
    let workload = Workload::new(options, &Rng::from_number(1));
    let mut finally = Finally::new(&mut world, &mut watch, &CORE, genesis);
    finally.check_validity();
    let before = height(finally.world);
    while height(finally.world) == before {
        finally.world.step();
        finally.watch.look(finally.world);
    }
    finally.check_acknowledged(&workload, |_| false);
    let tip = finally.world.published(CORE[0]).expect("it runs").tip;
    assert!(finally.reference.knows(&tip));
    assert!(watch.violations().is_empty(), "{:?}", watch.violations());
}

/// What had to go for room is no broken promise; the same without a full mempool is one.
#[test]
fn a_promise_that_went_for_room_is_excused_by_what_was_paid_for_room() {
    let payment = |fee| {
        let account = Account::single(&mut Rng::from_number(1));
        let (genesis, never) = (GenesisId([1; 32]), Height(0));
        let op = Op::Data(vec![7; 8]);
        let mut rng = Rng::from_number(2);
        let signed = account.sign(&genesis, Nonce(0), Amount(fee), never, vec![op], &mut rng);
        (
            signed.weight().0,
            Payment::new(&signed, PaymentKind::Data, &genesis, Time::EPOCH),
        )
    };
    let (weight, _) = payment(0);
    // The floor is per 1,000 weight, and what is a fiftieth above it may have gone too.
    let (floor, most) = (Some(10_000), 10_200 * weight / 1_000);
    assert!(is_cheap(&payment(most).1, floor));
    assert!(!is_cheap(&payment(most + 1).1, floor));
    assert!(!is_cheap(&payment(0).1, None), "there was always room");
}
