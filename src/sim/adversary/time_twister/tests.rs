//! What all hash power and free timestamps are worth, by the header rules alone.

use super::*;
use crate::base::Rng;
use crate::sim::workload::arrivals::Arrivals;
use crate::types::{Amount, BlockId, EngineKind, EngineRules, Genesis, Hash, Header, Profile};

const BLOCKS: u64 = 10_000;
const INTERVAL: Span = Span::from_secs(60);
const MILLION: u128 = 1_000_000;

/// A chain with the times of the main profile whose target has room above the first.
fn rules() -> HeaderRules {
    let time = Millis(1_700_000_000_000);
    let mut genesis: Genesis = Profile::Main.genesis(EngineKind::Work, "times", time);
    if let EngineRules::Work { pow_limit, .. } = &mut genesis.rules.engine {
        *pow_limit = CompactBits(0x207f_ffff);
    }
    genesis.allocations = vec![(AccountId([1; 32]), Amount(1))];
    genesis.check().unwrap();
    assert_eq!(u64::from(genesis.rules.interval_ms), INTERVAL.as_millis());
    HeaderRules::new(Arc::new(genesis)).unwrap()
}

/// When the blocks of a miner are found: it has all hash power there is, and uses it as it likes.
#[derive(Clone, Copy, Debug)]
enum Pace {
    OnSchedule,
    TwiceAsFast,
    Slower,
    /// Eight blocks in a minute, then nothing for seven.
    Bursts,
    /// As many blocks as are due in a half-life, one in a second, then none for a half-life.
    Stalls,
    /// As chance has it.
    Poisson,
}

impl Pace {
    const ALL: [Self; 6] = [
        Self::OnSchedule,
        Self::TwiceAsFast,
        Self::Slower,
        Self::Bursts,
        Self::Stalls,
        Self::Poisson,
    ];

    fn gap(self, height: u64, rng: &mut Rng) -> Span {
        let second = Span::from_secs(1);
        match self {
            Self::OnSchedule => INTERVAL,
            Self::TwiceAsFast => second.times(30),
            Self::Slower => second.times(66),
            Self::Bursts if height.is_multiple_of(8) => second.times(60 * 8 - 7),
            Self::Stalls if height.is_multiple_of(288) => second.times(60 * 288 - 287),
            Self::Bursts | Self::Stalls => second,
            Self::Poisson => Arrivals::at_rate(1.0 / 60.0).gap(rng),
        }
    }
}

/// The work of a miner's blocks beside that of true times.
struct Outcome {
    /// Of all blocks together, in parts per million.
    whole: u128,
    /// Of the worst beginning of the chain.
    worst: u128,
}

/// Lets a miner find 10,000 blocks and choose their times. What the schedule asks for at a moment
/// is what the target rule gives where the parent carries the time at which it was found.
fn mine(rules: &HeaderRules, strategy: TimeStrategy, pace: Pace) -> Outcome {
    let mut rng = Rng::from_number(5);
    let genesis = rules.genesis();
    let mut parent = ParentView {
        height: Height::GENESIS,
        time: genesis.time,
        base_fee: genesis.rules.base_fee_initial,
    };
    let mut now = Time::from_millis(genesis.time.0);
    let (mut paid, mut scheduled) = (0_u128, 0_u128);
    let mut worst = MILLION;
    for height in 1..=BLOCKS {
        let bits = rules.next_bits(&parent);
        let truthful = ParentView {
            time: Millis(now.as_millis()),
            ..parent
        };
        paid += u128::from(expected_hashes(bits));
        scheduled += u128::from(expected_hashes(rules.next_bits(&truthful)));
        worst = worst.min(paid * MILLION / scheduled);
        now += pace.gap(height, &mut rng);
        let time = loop {
            match strategy.choose(rules, &parent, now, INTERVAL) {
                Some(time) => break time,
                // Every time that there is would be too late: the block waits to be told of.
                None => now += Span::from_millis(100),
            }
        };
        let header = Header {
            height: Height(height),
            parent_id: BlockId::ZERO,
            time,
            tx_root: Hash::ZERO,
            state_root: Hash::ZERO,
            history_root: Hash::ZERO,
            base_fee: crate::consensus::next_base_fee(&genesis.rules, parent.base_fee, 0),
            beneficiary: AccountId::ZERO,
            parent_weight: 0,
            seal: Seal::Work { bits, nonce: 0 },
        };
        // It keeps to every rule of times that there is.
        assert_eq!(rules.check_in_context(&header, &parent), Ok(()));
        assert_eq!(rules.held_until(&header, now), None);
        parent = ParentView::from(&header);
    }
    Outcome {
        whole: paid * MILLION / scheduled,
        worst,
    }
}

#[test]
fn chosen_times_never_save_more_than_two_and_a_fifth_percent_of_the_work() {
    let rules = rules();
    let mut worst = (MILLION, String::new());
    for strategy in TimeStrategy::ALL {
        for pace in Pace::ALL {
            let outcome = mine(&rules, strategy, pace);
            let name = format!("{strategy:?} {pace:?}");
            let share = outcome.worst.min(outcome.whole);
            println!("{name}: {share} millionths");
            assert!(share >= 978_000, "{name}: {share} millionths");
            if share < worst.0 {
                worst = (share, name);
            }
            match strategy {
                TimeStrategy::Earliest | TimeStrategy::SawTooth | TimeStrategy::Alternating => {}
                // The limit on future times is a 32nd of the half-life: 2^(-1/32) is 97.857 %.
                TimeStrategy::Latest | TimeStrategy::Greedy => {
                    assert!(outcome.whole < 979_500, "{strategy:?} {pace:?}");
                }
            }
        }
    }
    // The figure of docs/simulator.md: 2.15 % at the most.
    assert!(
        (978_500..978_600).contains(&worst.0),
        "{} {}",
        worst.0,
        worst.1
    );
}

#[test]
fn a_chain_that_is_ahead_of_the_clock_makes_its_miner_wait() {
    let rules = rules();
    let genesis = rules.genesis();
    let limit = genesis.rules.future_limit_ms();
    let parent = ParentView {
        height: Height(5),
        time: Millis(genesis.time.0 + limit),
        base_fee: 1_000,
    };
    for strategy in TimeStrategy::ALL {
        let now = Time::from_millis(genesis.time.0);
        assert_eq!(strategy.choose(&rules, &parent, now, INTERVAL), None);
        let later = now + Span::from_millis(genesis.rules.step_ms());
        let time = strategy.choose(&rules, &parent, later, INTERVAL);
        assert_eq!(time, Some(rules.earliest_child(&parent)), "{strategy:?}");
    }
}
