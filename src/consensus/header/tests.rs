use super::*;
use crate::codec::Encode;
use crate::types::Profile;
use proptest::prelude::*;

fn genesis(profile: Profile) -> Genesis {
    profile.genesis(EngineKind::Work, "unit", Millis(1_700_000_000_000))
}

fn rules(genesis: Genesis) -> HeaderRules {
    HeaderRules::new(Arc::new(genesis)).unwrap()
}

/// A child that keeps every rule of context, `late` ms after the earliest time.
fn child(rules: &HeaderRules, parent: &Header, weight: u32, late: u64) -> Header {
    let view = ParentView::from(parent);
    let base_fee = next_base_fee(&rules.genesis.rules, parent.base_fee, weight);
    Header {
        height: parent.height.next(),
        parent_id: parent.id(),
        time: Millis(rules.earliest_child(&view).0 + late),
        base_fee,
        parent_weight: weight,
        seal: Seal::Work {
            bits: rules.next_bits(&view),
            nonce: 0,
        },
        ..parent.clone()
    }
}

#[test]
fn the_target_rule_from_genesis_in_milliseconds() {
    let table = include_str!("../../../tests/vectors/asert/milliseconds");
    let mut base = genesis(Profile::Dev);
    for line in table.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| fields[at].parse::<u64>().unwrap();
        let bits = |at: usize| CompactBits(u32::from_str_radix(fields[at], 16).unwrap());
        base.time = Millis(number(4));
        base.rules.interval_ms = number(0) as u32;
        base.rules.engine = EngineRules::Work {
            half_life_ms: number(1),
            pow_bits: bits(2),
            pow_limit: bits(3),
        };
        let parent = ParentView {
            height: Height(number(5)),
            time: Millis(number(6)),
            base_fee: 0,
        };
        assert_eq!(rules(base.clone()).next_bits(&parent), bits(7), "{line}");
    }
    assert_eq!(table.lines().count(), 600);
}

#[test]
fn block_1_has_the_bits_of_the_genesis() {
    for profile in [
        Profile::Main,
        Profile::Test,
        Profile::Dev,
        Profile::Consortium,
    ] {
        let genesis = genesis(profile);
        let header = genesis_header(&genesis, Hash::ZERO);
        let Seal::Work { bits, .. } = header.seal else {
            panic!("{profile:?} is work");
        };
        assert_eq!(rules(genesis).next_bits(&ParentView::from(&header)), bits);
    }
}

#[test]
fn the_genesis_header_is_as_the_formats_say() {
    let genesis = genesis(Profile::Dev);
    let header = genesis_header(&genesis, Hash([9; 32]));
    assert_eq!(header.parent_id.0, genesis.id().0);
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(header.tx_root.to_string(), empty);
    let history = "183764d85eb162a25dbaf7aa4c8f838e026a73f87e1df44b747d6a81c792da37";
    assert_eq!(header.history_root.to_string(), history);
    assert_eq!((header.base_fee, header.parent_weight), (1_000, 0));
    assert_eq!(header.to_bytes().len(), 204);

    let mut stake = Profile::Dev.genesis(EngineKind::Stake, "unit", Millis(5));
    let validator = GenesisValidator {
        consensus_key: crate::crypto::ed25519::PublicKey([1; 32]),
        account: AccountId([2; 32]),
        stake: crate::types::Amount(3),
    };
    stake.validators.push(validator);
    let Seal::Stake {
        next_validators_root,
        epoch: 0,
        proposer: 0,
        parent_bitmap: [0, ..],
    } = genesis_header(&stake, Hash::ZERO).seal
    else {
        panic!("a stake genesis has a stake header");
    };
    let leaf = [&[1; 32][..], &[2; 32], &3_u64.to_le_bytes()].concat();
    assert_eq!(next_validators_root.0, merkle::leaf_hash(&leaf));
}

#[test]
fn a_stake_genesis_is_refused_with_a_reason() {
    let stake = Profile::Dev.genesis(EngineKind::Stake, "unit", Millis(5));
    let refused = HeaderRules::new(Arc::new(stake)).unwrap_err();
    assert_eq!(refused, UnsupportedEngine(EngineKind::Stake));
    assert!(refused.to_string().contains("proof of stake"));
}

#[test]
fn isolated_checks() {
    let mut easy = genesis(Profile::Dev);
    let limit_bits = CompactBits(0x207f_ffff);
    easy.rules.engine = EngineRules::Work {
        half_life_ms: 576_000,
        pow_bits: limit_bits,
        pow_limit: limit_bits,
    };
    let rules = rules(easy);
    let mut header = genesis_header(rules.genesis(), Hash::ZERO);
    let target = limit_bits.target().unwrap();
    // Every second nonce meets the easiest target: the first byte of the id is below 0x80.
    let (mut met, mut missed) = (0, 0);
    for nonce in 0..64 {
        header.seal = Seal::Work {
            bits: limit_bits,
            nonce,
        };
        let id = header.id();
        let verdict = rules.check_isolated(&header);
        if id.0[0] < 0x7f {
            assert_eq!(verdict, Ok(()));
            met += 1;
        } else if id.0[0] >= 0x80 {
            assert_eq!(verdict, Err(HeaderFault::ProofOfWork { id, target }));
            missed += 1;
        }
    }
    assert!(met > 10 && missed > 10);

    let with = |bits| Header {
        seal: Seal::Work { bits, nonce: 0 },
        ..header.clone()
    };
    let found = CompactBits(0x2100_7fff);
    let verdict = rules.check_isolated(&with(found));
    assert_eq!(verdict, Err(HeaderFault::BitsNotCanonical { found }));
    let hard = CompactBits(0x1d00_ffff);
    let verdict = rules.check_isolated(&with(hard));
    assert!(matches!(verdict, Err(HeaderFault::ProofOfWork { .. })));
}

#[test]
fn isolated_checks_know_engine_and_limit() {
    let rules = rules(genesis(Profile::Main));
    let mut header = genesis_header(rules.genesis(), Hash::ZERO);
    let found = CompactBits(0x1f00_ffff);
    header.seal = Seal::Work {
        bits: found,
        nonce: 0,
    };
    let limit = CompactBits(0x1e00_ffff);
    let verdict = rules.check_isolated(&header);
    assert_eq!(verdict, Err(HeaderFault::TargetAboveLimit { found, limit }));
    header.seal = Seal::Stake {
        epoch: 0,
        proposer: 0,
        next_validators_root: Hash::ZERO,
        parent_bitmap: [0; 32],
    };
    let wrong_engine = Err(HeaderFault::Engine {
        wanted: EngineKind::Work,
        found: EngineKind::Stake,
    });
    assert_eq!(rules.check_isolated(&header), wrong_engine);
}

#[test]
fn the_id_is_read_with_its_first_byte_as_the_most_significant() {
    let mut id = BlockId([0xff; 32]);
    id.0[0] = 0;
    let target = Uint256::MAX.shift_right(8);
    assert!(meets_target(&id, target));
    assert!(!meets_target(&id, target.wrapping_sub(Uint256::ONE)));
}

#[test]
fn every_rule_of_context_names_both_numbers() {
    let rules = rules(genesis(Profile::Dev));
    let parent = genesis_header(rules.genesis(), Hash::ZERO);
    let view = ParentView::from(&parent);
    let good = child(&rules, &parent, 0, 0);
    assert_eq!(rules.check_in_context(&good, &view), Ok(()));
    let verdict = |change: &dyn Fn(&mut Header)| {
        let mut header = good.clone();
        change(&mut header);
        rules.check_in_context(&header, &view).unwrap_err()
    };

    let fault = HeaderFault::Height {
        wanted: Height(1),
        found: Height(2),
    };
    assert_eq!(verdict(&|header| header.height = Height(2)), fault);
    // The step of the dev profile is 33 ms.
    let earliest = Millis(parent.time.0 + 33);
    let found = Millis(earliest.0 - 1);
    let fault = HeaderFault::TimeTooEarly { earliest, found };
    assert_eq!(verdict(&|header| header.time = found), fault);
    let mut full = good.clone();
    full.parent_weight = 4_000_000;
    full.base_fee = next_base_fee(&genesis(Profile::Dev).rules, parent.base_fee, 4_000_000);
    assert_eq!(rules.check_in_context(&full, &view), Ok(()));
    let fault = HeaderFault::ParentWeight {
        limit: 4_000_000,
        found: 4_000_001,
    };
    assert_eq!(verdict(&|header| header.parent_weight = 4_000_001), fault);
    let fault = HeaderFault::BaseFee {
        wanted: 875,
        found: 876,
    };
    assert_eq!(verdict(&|header| header.base_fee = 876), fault);
    let found = CompactBits(0x1f04_0001);
    let fault = HeaderFault::Bits {
        wanted: CompactBits(0x1f04_0000),
        found,
    };
    let change = |header: &mut Header| {
        header.seal = Seal::Work {
            bits: found,
            nonce: 0,
        };
    };
    assert_eq!(verdict(&change), fault);
    assert_eq!(
        fault.to_string(),
        "the bits are 1f040001, the target rule gives 1f040000"
    );
}

#[test]
fn nothing_follows_the_last_height_or_time() {
    let rules = rules(genesis(Profile::Dev));
    let mut parent = genesis_header(rules.genesis(), Hash::ZERO);
    parent.height = Height(u64::MAX);
    let header = child(&rules, &parent, 0, 0);
    let fault = rules.check_in_context(&header, &ParentView::from(&parent));
    assert!(matches!(fault, Err(HeaderFault::Height { .. })));
    parent.height = Height(5);
    parent.time = Millis(u64::MAX - 20);
    let header = child(&rules, &parent, 0, 0);
    assert_eq!(header.time, Millis(u64::MAX));
    let fault = rules.check_in_context(&header, &ParentView::from(&parent));
    assert!(matches!(fault, Err(HeaderFault::TimeTooEarly { .. })));
}

#[test]
fn a_block_from_the_future_is_held_and_not_blamed() {
    let rules = rules(genesis(Profile::Dev));
    let mut header = genesis_header(rules.genesis(), Hash::ZERO);
    header.time = Millis(1_000_000);
    // The future limit of the dev profile is 18 s.
    let ready = Time::from_millis(982_000);
    assert_eq!(rules.held_until(&header, ready), None);
    let before = Time::from_micros(ready.as_micros() - 1);
    assert_eq!(rules.held_until(&header, before), Some(ready));
    header.time = Millis(u64::MAX);
    assert!(rules.held_until(&header, ready).is_some());
}

#[test]
fn the_base_fee_moves_by_an_eighth_at_most() {
    let rules = genesis(Profile::Main).rules;
    for (fee, weight, wanted) in [
        (1_000, 0, 875),
        (1_000, 2_000_000, 1_000),
        (1_000, 4_000_000, 1_125),
        (1_000, 2_000_001, 1_001),
        (1_000, 1_999_999, 1_000),
        (1_000, 3_000_000, 1_062),
        (100, 0, 100),
        (7, 4_000_000, 8),
        (u64::MAX, 4_000_000, u64::MAX),
    ] {
        assert_eq!(next_base_fee(&rules, fee, weight), wanted, "{fee} {weight}");
    }
    let free = genesis(Profile::Consortium).rules;
    assert_eq!(next_base_fee(&free, 0, 4_000_000), 0);
}

proptest! {
    #[test]
    fn chains_of_children_keep_the_rules(
        steps in proptest::collection::vec((0_u32..=4_000_000, 0_u64..20_000), 1..40),
    ) {
        let rules = rules(genesis(Profile::Dev));
        let mut parent = genesis_header(rules.genesis(), Hash::ZERO);
        for (weight, late) in steps {
            let header = child(&rules, &parent, weight, late);
            let view = ParentView::from(&parent);
            prop_assert_eq!(rules.check_in_context(&header, &view), Ok(()));
            prop_assert!(header.base_fee >= 100);
            parent = header;
        }
    }
}
