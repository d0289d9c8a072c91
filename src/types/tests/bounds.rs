//! The ends of what a genesis may say: the last value that is good, and the first that is not.

use crate::types::{EngineKind, EngineRules, Genesis, Millis, Profile};

type Change = fn(&mut Genesis, u64);

fn refused(genesis: &Genesis) -> Option<&'static str> {
    genesis.check().err().map(|error| error.field)
}

#[test]
fn every_bound_of_a_genesis_is_exact() {
    let bounds: [(&str, Change, u64, u64); 9] = [
        ("max_block_weight", weight, 100_000, 99_999),
        ("max_block_weight", weight, 4_100_000, 4_100_001),
        (
            "max_tx_bytes",
            |g, to| g.rules.max_tx_bytes = to as u32,
            1_024,
            1_023,
        ),
        (
            "max_tx_bytes",
            |g, to| g.rules.max_tx_bytes = to as u32,
            16_384,
            16_385,
        ),
        ("max_ops", |g, to| g.rules.max_ops = to as u16, 1, 0),
        ("max_ops", |g, to| g.rules.max_ops = to as u16, 64, 65),
        ("max_data", |g, to| g.rules.max_data = to as u16, 1, 0),
        (
            "max_data",
            |g, to| g.rules.max_data = to as u16,
            1_024,
            1_025,
        ),
        ("half_life_ms", half_life, 32, 31),
    ];
    for (field, change, good, bad) in bounds {
        let mut genesis = Profile::Dev.genesis(EngineKind::Work, "unit", Millis(5));
        change(&mut genesis, good);
        assert_eq!(refused(&genesis), None, "{field} {good}");
        change(&mut genesis, bad);
        assert_eq!(refused(&genesis), Some(field), "{bad}");
    }
}

fn weight(genesis: &mut Genesis, to: u64) {
    genesis.rules.max_block_weight = to as u32;
}

fn half_life(genesis: &mut Genesis, to: u64) {
    if let EngineRules::Work { half_life_ms, .. } = &mut genesis.rules.engine {
        *half_life_ms = to;
    }
}

/// An address must not be taken for the key of a node, nor that for an address.
#[test]
fn addresses_have_another_prefix_than_the_keys_of_nodes() {
    let mut genesis = Profile::Dev.genesis(EngineKind::Work, "unit", Millis(5));
    for (hrp, expected) in [
        ("keelnodf", None),
        ("k", None),
        ("keelnode", Some("hrp")),
        ("", Some("hrp")),
        ("keelnodes", Some("hrp")),
        ("Keel", Some("hrp")),
    ] {
        genesis.hrp = hrp.to_owned();
        assert_eq!(refused(&genesis), expected, "{hrp:?}");
    }
}

/// Sixty blocks may share the time of one, and never all of them the same millisecond.
#[test]
fn the_least_step_between_blocks_is_a_sixtieth_of_the_interval_and_a_millisecond() {
    let mut rules = Profile::Dev
        .genesis(EngineKind::Work, "unit", Millis(5))
        .rules;
    for (interval, step) in [
        (1, 1),
        (59, 1),
        (60, 1),
        (119, 1),
        (120, 2),
        (60_000, 1_000),
    ] {
        rules.interval_ms = interval;
        assert_eq!(rules.step_ms(), step, "{interval}");
    }
}
