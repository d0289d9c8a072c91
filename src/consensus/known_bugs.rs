//! Bugs that other chains had in their rules of headers, each as a test of ours.

use std::sync::Arc;

use super::{HeaderFault, HeaderRules, ParentView, genesis_header, next_base_fee};
use crate::base::{Rng, Time};
use crate::types::{
    CompactBits, EngineKind, EngineRules, Genesis, Hash, Header, Millis, Profile, Seal,
    work_of_target,
};

const GENESIS_TIME: u64 = 1_700_000_000_000;
const BLOCKS: u64 = 10_000;

fn genesis(profile: Profile) -> Genesis {
    profile.genesis(EngineKind::Work, "unit", Millis(GENESIS_TIME))
}

fn target(bits: CompactBits) -> f64 {
    bits.target().unwrap().to_f64()
}

/// Between which times a miner may choose, the clock, and which block it is.
struct Choice {
    earliest: u64,
    latest: u64,
    now: u64,
    height: u64,
}

/// How a miner writes the time.
type Strategy = fn(&Choice, &mut Rng) -> u64;

/// What a miner with all the hash rate needed for its chain.
struct Run {
    /// By the clock, in ms.
    took: f64,
    /// By how much the target of some block was easier than the schedule's at that moment.
    easing: f64,
}

/// Mines a chain of headers by the real rules, with `rate` times the hash rate of the anchor. The
/// miner writes the time of a block when it has found it, which is more freedom than it has.
fn mine(profile: Profile, rate: f64, seed: u64, strategy: Strategy) -> Run {
    let rules = HeaderRules::new(Arc::new(genesis(profile))).unwrap();
    let genesis = Arc::clone(rules.genesis());
    let EngineRules::Work { pow_bits, .. } = genesis.rules.engine else {
        panic!("the genesis is of work");
    };
    let interval = f64::from(genesis.rules.interval_ms);
    let per_ms = rate * work_of_target(pow_bits.target().unwrap()).to_f64() / interval;
    let limit = genesis.rules.future_limit_ms();
    let mut rng = Rng::from_number(seed);
    let mut parent = genesis_header(&genesis, Hash::ZERO);
    let (mut clock, mut easing) = (GENESIS_TIME as f64, 1.0_f64);
    for height in 1..=BLOCKS {
        let view = ParentView::from(&parent);
        let bits = rules.next_bits(&view);
        let on_time = ParentView {
            time: Millis(clock as u64),
            ..view
        };
        easing = easing.max(target(bits) / target(rules.next_bits(&on_time)));
        clock += work_of_target(bits.target().unwrap()).to_f64() / per_ms;
        let earliest = rules.earliest_child(&view).0;
        // On a chain as far ahead of the clock as it may be, even the earliest time is too early.
        clock = clock.max(earliest.saturating_sub(limit) as f64);
        let choice = Choice {
            earliest,
            latest: clock as u64 + limit,
            now: clock as u64,
            height,
        };
        let time = strategy(&choice, &mut rng).clamp(earliest, choice.latest);
        let header = Header {
            height: parent.height.next(),
            parent_id: parent.id(),
            time: Millis(time),
            base_fee: next_base_fee(&genesis.rules, parent.base_fee, 0),
            parent_weight: 0,
            seal: Seal::Work { bits, nonce: 0 },
            ..parent.clone()
        };
        assert_eq!(rules.check_in_context(&header, &view), Ok(()));
        assert_eq!(
            rules.held_until(&header, Time::from_millis(choice.now)),
            None
        );
        parent = header;
    }
    let took = clock - GENESIS_TIME as f64;
    Run { took, easing }
}

fn honest(choice: &Choice, _: &mut Rng) -> u64 {
    choice.now
}

/// What the attacker gains by its times is bounded: no target is ever easier by more than 2.2 %
/// than the schedule's at that moment, and the whole chain takes as long as an honest one of the
/// same hash rate, but for the future limit.
fn gains_nothing(seeds: u64, strategy: Strategy) {
    for (profile, rate) in [
        (Profile::Main, 1.0),
        (Profile::Dev, 1.0),
        (Profile::Dev, 0.5),
        (Profile::Dev, 20.0),
    ] {
        let rules = genesis(profile).rules;
        let (limit, interval) = (rules.future_limit_ms(), u64::from(rules.interval_ms));
        let wanted = mine(profile, rate, 0, honest);
        assert!(wanted.easing <= 1.0001, "{}", wanted.easing);
        for seed in 0..seeds {
            let found = mine(profile, rate, seed, strategy);
            assert!(
                found.easing < 1.0222,
                "{profile:?} {rate}: {}",
                found.easing
            );
            let least = wanted.took - (limit + 2 * interval) as f64;
            assert!(
                found.took >= least,
                "{profile:?} {rate}: {} ms, an honest chain needs {} ms",
                found.took,
                wanted.took
            );
        }
    }
}

/// Bitcoin, 2011: with times held back all through a period and one far ahead at its end, the
/// difficulty falls without bound.
#[test]
fn timewarp_with_times_held_back_and_one_jump_gains_nothing() {
    gains_nothing(1, |choice, _| match choice.height % 2_016 {
        0 => choice.latest,
        _ => choice.earliest,
    });
}

/// Murch and Zawy, 2024: the jump stands in the midst of a period and is taken back at its end,
/// which a limit on time going backwards between periods does not stop.
#[test]
fn murch_zawy_with_two_jumps_in_a_period_gains_nothing() {
    gains_nothing(1, |choice, _| match choice.height % 2_016 {
        1_000..=1_007 | 2_015 => choice.latest,
        _ => choice.earliest,
    });
}

/// Verge, April 2018: every other block an hour or more back, so that the algorithm saw a slow
/// chain.
#[test]
fn verge_with_times_to_and_fro_gains_nothing() {
    gains_nothing(1, |choice, _| match choice.height % 2 {
        0 => choice.latest,
        _ => choice.earliest,
    });
}

/// LWMA coins, 2018: times at the greatest step forward throughout the window drained a coin's
/// difficulty to 1/100,000 within hours.
#[test]
fn lwma_timespan_with_times_as_far_ahead_as_they_may_be_gains_nothing() {
    gains_nothing(1, |choice, _| choice.latest);
}

/// And no pattern that nobody has thought of: any time, each time anew, in long and short waves.
#[test]
fn times_chosen_at_random_gain_nothing() {
    gains_nothing(2, |choice, rng| {
        let room = choice.latest.saturating_sub(choice.earliest);
        choice.earliest + rng.below(room + 1)
    });
    gains_nothing(2, |choice, rng| match rng.below(100) {
        0 => choice.latest,
        1..=10 => choice.now,
        _ => choice.earliest,
    });
}

/// Several chains took an `nBits` that is no target, or took one target in several forms.
#[test]
fn nbits_that_are_zero_negative_too_great_or_not_the_shortest_are_refused() {
    let rules = HeaderRules::new(Arc::new(genesis(Profile::Dev))).unwrap();
    let header = genesis_header(rules.genesis(), Hash::ZERO);
    let verdict = |found: CompactBits| {
        let seal = Seal::Work {
            bits: found,
            nonce: 0,
        };
        rules.check_isolated(&Header {
            seal,
            ..header.clone()
        })
    };
    for (found, why) in [
        (0x0000_0000, "zero"),
        (0x1f00_0000, "zero with a length"),
        (0x0100_3456, "zero after the shift"),
        (0x1f84_0000, "negative"),
        (0x0180_0000, "negative zero"),
        (0xff04_0000, "beyond 256 bits"),
        (0x2300_0001, "beyond 256 bits by one"),
        (0x2104_0000, "beyond 256 bits within its length"),
        (0x2000_0400, "not the shortest"),
        (0x2100_7fff, "not the shortest, with the top bit free"),
        (0x0400_0001, "not the shortest, of a small number"),
    ] {
        let found = CompactBits(found);
        let refused = Err(HeaderFault::BitsNotCanonical { found });
        assert_eq!(verdict(found), refused, "{found}: {why}");
    }
    // One more than the easiest that the genesis allows.
    let (found, limit) = (CompactBits(0x2100_8000), CompactBits(0x207f_ffff));
    let refused = Err(HeaderFault::TargetAboveLimit { found, limit });
    assert_eq!(verdict(found), refused);
}
