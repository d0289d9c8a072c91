//! Faults by themselves: what a machine lives with after each.

use std::sync::Arc;

use super::*;
use crate::base::{Rng, Span};
use crate::node::Mining;
use crate::sim::swarm::{SwarmOptions, run};
use crate::sim::{DiskKind, NodeIndex, World, WorldConfig};
use crate::types::{AccountId, EngineKind, Millis, Profile};

const INTERVAL: Span = Span::from_secs(2);

/// A miner in a world of its own whose faults are these.
fn one(options: FaultOptions, seed: u64) -> (World, FaultPlan, NodeIndex) {
    let time = Millis(1_700_000_000_000);
    let genesis = Profile::Dev.genesis(EngineKind::Work, "faults", time);
    let config = WorldConfig {
        disks: DiskKind::Faulty,
        ..WorldConfig::new(4, Arc::new(genesis))
    };
    let mut world = World::new(config);
    let rng = Rng::from_number(seed);
    let mut plan = FaultPlan::new(options, rng, INTERVAL, world.now());
    let mining = Mining {
        beneficiary: AccountId([1; 32]),
        hashrate: Some(20_000),
    };
    let node = plan.admit(&mut world, "one", &[], Some(mining), true);
    (world, plan, node)
}

fn pass(world: &mut World, plan: &mut FaultPlan, span: Span) {
    let end = world.now() + span;
    while world.now() < end {
        let next = plan.next_due().unwrap_or(end).min(end);
        world.run(next.since(world.now()));
        plan.act(world);
    }
}

fn fired(world: &World, mark: Mark) -> u64 {
    let counts = world.observations().time_line().counts();
    let found = counts.iter().find(|(name, _)| name.0 == mark.name());
    found.map_or(0, |(_, times)| *times)
}

/// By how many milliseconds the clock of a machine is ahead.
fn ahead(world: &World, node: NodeIndex) -> i64 {
    world.clock(node).as_millis() as i64 - world.now().as_millis() as i64
}

#[test]
fn a_clock_errs_from_the_first_start_on_and_the_blocks_with_it() {
    let options = FaultOptions {
        wrong_clock_permille: 1_000,
        ..FaultOptions::default()
    };
    // Some are behind, and mine nothing before the chain begins by them.
    let mut drawn = (0..20).map(|seed| one(options.clone(), seed));
    let (mut world, mut plan, node) = drawn
        .find(|(world, _, node)| ahead(world, *node) > 0)
        .expect("some are ahead");
    plan.finish(&mut world);
    assert_eq!(fired(&world, Mark::ClockWrong), 1);
    let off = ahead(&world, node);
    assert!(off >= 10 * INTERVAL.as_millis() as i64, "{off}");
    world.run(Span::from_secs(30));
    assert_eq!(ahead(&world, node), off);
    let tip = world.published(node).unwrap();
    assert!(tip.header.height.0 > 3);
    assert!(tip.header.time.0 > world.now().as_millis());
}

#[test]
fn a_clock_jumps_between_two_lives() {
    let options = FaultOptions {
        clock_jump: Pace::new(Span::from_secs(10), Span::from_secs(1)),
        ..FaultOptions::default()
    };
    let (mut world, mut plan, node) = one(options, 11);
    assert_eq!(ahead(&world, node), 0);
    pass(&mut world, &mut plan, Span::from_secs(200));
    let jumps = fired(&world, Mark::ClockJump);
    assert!(jumps > 5, "{jumps}");
    assert_eq!(u64::from(world.life(node)), 1 + jumps);
    assert!(ahead(&world, node).unsigned_abs() <= 2 * INTERVAL.as_millis());
    assert_ne!(ahead(&world, node), 0);
}

#[test]
fn marks_of_what_lasts_have_both_times() {
    let options = FaultOptions {
        kill: Pace::new(Span::from_secs(20), Span::from_secs(2)),
        pause: Pace::new(Span::from_secs(20), Span::from_secs(2)),
        slow_disk: Pace::new(Span::from_secs(20), Span::from_secs(4)),
        partition: Pace::new(Span::from_secs(20), Span::from_secs(4)),
        skewed_permille: 1_000,
        ..FaultOptions::default()
    };
    let (mut world, mut plan, node) = one(options, 3);
    for name in ["two", "three"] {
        plan.admit(&mut world, name, &[node], None, true);
    }
    let began = world.now();
    pass(&mut world, &mut plan, Span::from_secs(300));
    plan.finish(&mut world);
    plan.finish(&mut world);
    let lasted = |mark: Mark| {
        let times = world.observations().time_line().times().iter();
        let mut found = Vec::new();
        for at in times.filter(|at| at.mark.0 == mark.name()) {
            assert!(at.from >= began && at.until <= world.now());
            found.push(at.until.since(at.from));
        }
        let most = found.iter().copied().max();
        (found.len(), most.unwrap_or(Span::ZERO))
    };
    for (mark, most) in [
        (Mark::Kill, Span::from_secs(4)),
        (Mark::Pause, Span::from_secs(4)),
        (Mark::SlowDisk, Span::from_secs(8)),
        (Mark::Split, Span::from_secs(8)),
    ] {
        let (times, longest) = lasted(mark);
        assert!(times > 0, "{mark:?}");
        assert!(
            longest > Span::from_millis(200) && longest <= most,
            "{mark:?}: {longest}"
        );
    }
    assert_eq!(lasted(Mark::ClockSkew), (3, Span::from_secs(300)));
}

#[test]
fn skewed_clocks_change_what_happens_where_nobody_is_started_again() {
    let options = |skewed_permille| SwarmOptions {
        nodes: 4,
        safety: Span::from_secs(20),
        faults: Some(FaultOptions {
            skewed_permille,
            ..FaultOptions::default()
        }),
        ..SwarmOptions::default()
    };
    let (right, skewed) = (run(3, &options(0)), run(3, &options(1_000)));
    assert_ne!(right.event_hash, skewed.event_hash);
    assert!(right.violations.is_empty() && skewed.violations.is_empty());
    let is_skewed = |(name, times)| name == Mark::ClockSkew.name() && times >= 3;
    assert!(skewed.marks.iter().any(is_skewed));
    assert!(!right.marks.iter().any(is_skewed));
}

#[test]
fn crashes_that_wait_for_a_write_do_what_they_are_named_for() {
    let crashes = [
        Mark::KillInWrite,
        Mark::PowerCutNothing,
        Mark::PowerCutEverything,
        Mark::PowerCutPrefix,
        Mark::PowerCutSectors,
    ];
    let mut times = [0; 5];
    for seed in 0..16 {
        let often = Pace::new(Span::from_secs(2), Span::from_secs(2));
        let options = FaultOptions {
            kill: often,
            power_cut: often,
            ..FaultOptions::default()
        };
        let (mut world, mut plan, node) = one(options, seed);
        pass(&mut world, &mut plan, Span::from_secs(200));
        plan.finish(&mut world);
        for (times, mark) in times.iter_mut().zip(crashes) {
            *times += fired(&world, mark);
        }
        // Who was to crash and had nothing to write goes on.
        assert!(plan.refusals().is_empty());
        assert!(world.life(node) > 20);
    }
    assert!(times.iter().all(|times| *times > 0), "{times:?}");
}

#[test]
fn a_cut_leaves_a_mark_only_where_something_came_up_against_it() {
    let cuts = [
        Mark::Split,
        Mark::SplitOneWay,
        Mark::Isolated,
        Mark::PairOneWay,
        Mark::Flapping,
    ];
    for knows_others in [false, true] {
        let options = FaultOptions {
            partition: Pace::new(Span::from_secs(4), Span::from_secs(8)),
            ..FaultOptions::default()
        };
        let (mut world, mut plan, node) = one(options, 5);
        let peers: &[NodeIndex] = if knows_others { &[node] } else { &[] };
        for name in ["two", "three"] {
            plan.admit(&mut world, name, peers, None, true);
        }
        pass(&mut world, &mut plan, Span::from_secs(200));
        plan.finish(&mut world);
        let times: u64 = cuts.iter().map(|mark| fired(&world, *mark)).sum();
        assert_eq!(times > 0, knows_others, "{times}");
    }
}

#[test]
fn a_cut_flaps_only_where_it_comes_again() {
    let flapped = |lasts| {
        let options = FaultOptions {
            partition: Pace::new(Span::from_secs(4), lasts),
            ..FaultOptions::default()
        };
        let all = (0..3).map(|seed| {
            let (mut world, mut plan, node) = one(options.clone(), seed);
            for name in ["two", "three"] {
                plan.admit(&mut world, name, &[node], None, true);
            }
            pass(&mut world, &mut plan, Span::from_secs(40));
            plan.finish(&mut world);
            fired(&world, Mark::Flapping)
        });
        all.sum::<u64>()
    };
    assert_eq!(
        flapped(Span::from_micros(1)),
        0,
        "each was over before it came again"
    );
    assert!(flapped(Span::from_secs(20)) > 0);
}

#[test]
fn whoever_leaves_is_away_for_several_intervals_of_blocks() {
    let options = FaultOptions {
        leave: Pace::new(Span::from_secs(15), Span::from_millis(2)),
        ..FaultOptions::default()
    };
    let (mut world, mut plan, _) = one(options, 3);
    pass(&mut world, &mut plan, Span::from_secs(120));
    let times = world.observations().time_line().times().iter();
    let left = times.filter(|at| at.mark.0 == Mark::Leave.name());
    let away: Vec<Span> = left.map(|at| at.until.since(at.from)).collect();
    assert!(away.len() > 1);
    assert!(
        away.iter().all(|span| *span >= INTERVAL.times(5)),
        "{away:?}"
    );
    for seed in 0..100 {
        let drawn = FaultOptions::draw(&mut Rng::from_number(seed)).leave;
        let is_long = (Span::from_secs(20)..=Span::from_secs(120)).contains(&drawn.lasts);
        assert!(drawn.every == Span::ZERO || is_long, "{drawn:?}");
    }
}
