//! The least rate that the mempool takes: it rises when something had to go for room, and fades.

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};
use crate::types::Rules;

/// How often the floor fades a little.
const TICK: Span = Span::from_secs(60);
/// What is left of 65,536 after one tick, 65,536 * 2^(-1/720): it halves in twelve hours. In half
/// of that when less than half of the room is taken, and in a quarter when less than a quarter
/// is: then it is out of date.
const LEFT_AFTER_TICK: u128 = 65_473;
/// Ticks after which nothing is left of any rate.
const GONE_AFTER: u64 = 64 * 720;

/// A rate that newcomers must pay, per 1,000 weight in 1/1,000, beyond what the rules ask for.
///
/// Without it, whoever's transactions went for room could send them again and again, and make the
/// network carry what is never paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Floor {
    rate: u64,
    /// Up to when it has faded.
    at: Time,
}

/// The step by which what comes must pay more than what went: the least that any relay costs.
pub(super) fn step(rules: &Rules) -> u64 {
    rules.base_fee_min.max(1).saturating_mul(1_000)
}

impl Floor {
    /// The floor now, with so much of the room taken.
    pub(super) fn at(&self, now: Time, taken: u64, limit: u64) -> Self {
        let ticks = now.since(self.at).as_micros() / TICK.as_micros();
        if self.rate == 0 || ticks == 0 {
            return *self;
        }
        let speed = match taken {
            taken if taken < limit / 4 => 4,
            taken if taken < limit / 2 => 2,
            _ => 1,
        };
        Self {
            rate: faded(self.rate, ticks.saturating_mul(speed)),
            at: self.at + TICK.times(ticks),
        }
    }

    /// The least rate, at least what the rules ask for in any block. One that has faded to less
    /// than half a step is gone.
    pub(super) fn rate(&self, rules: &Rules) -> u64 {
        let least = rules.base_fee_min.saturating_mul(1_000);
        if self.rate < step(rules) / 2 {
            least
        } else {
            self.rate.max(least)
        }
    }

    /// Something that pays `rate` went or was refused for room.
    pub(super) fn raise(&mut self, rate: u64, rules: &Rules, now: Time) {
        let raised = rate.saturating_add(step(rules));
        if raised > self.rate {
            *self = Self {
                rate: raised,
                at: now,
            };
        }
    }
}

/// Tick by tick, so that it makes no difference how often anybody looks. Each takes one at least.
fn faded(rate: u64, ticks: u64) -> u64 {
    let mut rate = u128::from(rate);
    for _ in 0..ticks.min(GONE_AFTER) {
        rate = (rate * LEFT_AFTER_TICK) >> 16;
    }
    // It never grows, so it fits.
    rate as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing::{genesis, person};

    const HOUR: Span = Span::from_secs(3_600);

    #[test]
    fn it_halves_in_twelve_hours_and_faster_where_there_is_room() {
        let rules = genesis(&[&person(1)], 1).rules;
        let start = Time::from_millis(5_000);
        let mut floor = Floor::default();
        assert_eq!(floor.rate(&rules), 100_000, "what any block asks for");
        floor.raise(6_300_000, &rules, start);
        assert_eq!(floor.rate(&rules), 6_400_000);
        for (taken, hours) in [(100, 12), (50, 12), (49, 6), (25, 6), (24, 3), (0, 3)] {
            for part in [1, 3] {
                let later = floor.at(start + HOUR.times(hours / part), taken, 100);
                let wanted = 6_400_000.0 * 0.5_f64.powf(1.0 / part as f64);
                let off = later.rate(&rules) as f64 / wanted;
                assert!((0.999..1.001).contains(&off), "{taken} of 100 taken: {off}");
            }
        }
        let end = floor.at(start + HOUR.times(24 * 365), 100, 100);
        assert_eq!(end.rate(&rules), 100_000);
    }

    #[test]
    fn how_often_it_is_looked_at_makes_no_difference() {
        let rules = genesis(&[&person(1)], 1).rules;
        let start = Time::from_millis(77);
        let mut often = Floor::default();
        often.raise(9_999_999, &rules, start);
        let once = often;
        let mut now = start;
        for _ in 0..2_000 {
            now += Span::from_secs(37);
            often = often.at(now, 80, 100);
        }
        assert_eq!(often, once.at(now, 80, 100));
    }
}
