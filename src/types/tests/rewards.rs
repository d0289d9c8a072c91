//! Reward schedules at their edges: the first block, the borders of intervals, and where shifts
//! would leave nothing.

use crate::types::{Height, MAX_SUPPLY, Reward};

fn at(reward: Reward, heights: &[u64]) -> Vec<u64> {
    heights.iter().map(|h| reward.at(Height(*h))).collect()
}

#[test]
fn no_schedule_rewards_the_genesis_block() {
    let (initial, interval, tail) = (50, 10, 3);
    for reward in [
        Reward::None,
        Reward::Constant { initial },
        Reward::Halving { initial, interval },
        Reward::Tail {
            initial,
            interval,
            tail,
        },
    ] {
        assert_eq!(reward.at(Height::GENESIS), 0);
    }
}

#[test]
fn none_and_constant_are_what_they_say_for_ever() {
    let ends = [1, 2, u64::MAX];
    assert_eq!(at(Reward::None, &ends), [0, 0, 0]);
    assert_eq!(at(Reward::Constant { initial: 7 }, &ends), [7, 7, 7]);
}

#[test]
fn the_reward_halves_after_each_interval_and_ends_after_sixty_four() {
    let interval = 2_102_400;
    let halving = Reward::Halving {
        initial: 5_000_000_000,
        interval,
    };
    assert_eq!(
        at(
            halving,
            &[1, interval, interval + 1, 2 * interval, 2 * interval + 1]
        ),
        [
            5_000_000_000,
            5_000_000_000,
            2_500_000_000,
            2_500_000_000,
            1_250_000_000
        ]
    );
    // Shifts by 63 and by 64: the second would be no shift at all on most machines.
    let long = Reward::Halving {
        initial: u64::MAX,
        interval: 1,
    };
    assert_eq!(
        at(long, &[1, 2, 64, 65, 66, u64::MAX]),
        [u64::MAX, u64::MAX / 2, 1, 0, 0, 0]
    );
    let wide = Reward::Halving {
        initial: 9,
        interval: u64::MAX,
    };
    assert_eq!(at(wide, &[1, u64::MAX]), [9, 9]);
}

#[test]
fn a_tail_takes_over_where_halving_falls_below_it() {
    let tail = Reward::Tail {
        initial: 100,
        interval: 10,
        tail: 30,
    };
    assert_eq!(
        at(tail, &[1, 10, 11, 20, 21, 1_000, u64::MAX]),
        [100, 100, 50, 50, 30, 30, 30]
    );
    // A tail above the initial reward holds from the first block.
    let high = Reward::Tail {
        initial: 1,
        interval: 10,
        tail: 30,
    };
    assert_eq!(at(high, &[1, 11]), [30, 30]);
}

#[test]
fn the_supply_of_the_main_profile_is_what_its_schedule_sums_to() {
    let (initial, interval) = (5_000_000_000_u64, 2_102_400_u64);
    let reward = Reward::Halving { initial, interval };
    let sum: u64 = (0..64)
        .map(|period| interval * reward.at(Height(period * interval + 1)))
        .sum();
    // A little less than 210,240,000 coins: what the halvings round off is never created.
    assert!(
        sum < 21_024_000_000_000_000 && sum > 21_023_999_900_000_000,
        "{sum}"
    );
    assert!(sum < MAX_SUPPLY);
}
