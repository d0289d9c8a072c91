//! When the next of many independent people acts: a Poisson process in whole numbers.

use crate::base::{Rng, Span};

/// The gaps between arrivals, exponentially distributed about a mean.
///
/// The draw is von Neumann's (Various techniques used in connection with random digits, 1951): it
/// compares whole numbers and takes no logarithm, so that it is the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrivals {
    /// The mean gap in microseconds; 0 where nothing ever arrives.
    mean: u64,
}

/// Arrivals more often than this would be one for every microsecond.
const RATE_MAX: f64 = 1_000_000.0;

impl Arrivals {
    /// So many arrivals a second on average; none where that is no positive number.
    #[must_use]
    pub fn at_rate(per_second: f64) -> Self {
        let mean = if per_second > 0.0 {
            // One division of two numbers, which IEEE 754 rounds the same everywhere.
            (1_000_000.0 / per_second.min(RATE_MAX)) as u64
        } else {
            0
        };
        Self { mean }
    }

    /// Whether nothing ever arrives.
    #[must_use]
    pub const fn is_never(&self) -> bool {
        self.mean == 0
    }

    /// The time to the next arrival: at least a microsecond.
    #[must_use]
    pub fn gap(&self, rng: &mut Rng) -> Span {
        let mut whole = 0_u64;
        loop {
            let first = rng.next_u64() >> 32;
            let (mut last, mut length) = (first, 1_u32);
            loop {
                let next = rng.next_u64() >> 32;
                if next >= last {
                    break;
                }
                (last, length) = (next, length + 1);
            }
            // A falling run of odd length keeps its first number; of even length it is another
            // whole mean of waiting, and a new try.
            if length % 2 == 1 {
                let units = u128::from(whole) << 32 | u128::from(first);
                let micros = (units * u128::from(self.mean)) >> 32;
                return Span::from_micros(u64::try_from(micros).unwrap_or(u64::MAX).max(1));
            }
            whole += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_exponential_about_their_mean() {
        let arrivals = Arrivals::at_rate(4.0);
        let mut rng = Rng::from_number(3);
        let gaps: Vec<u64> = (0..20_000)
            .map(|_| arrivals.gap(&mut rng).as_micros())
            .collect();
        let mean = gaps.iter().sum::<u64>() / 20_000;
        assert!((245_000..255_000).contains(&mean), "{mean}");
        // Of an exponential, 36.8 % are longer than the mean and 5.0 % longer than three of it.
        let longer = |than: u64| gaps.iter().filter(|gap| **gap > than).count();
        assert!(
            (7_150..7_560).contains(&longer(250_000)),
            "{}",
            longer(250_000)
        );
        assert!(
            (900..1_100).contains(&longer(750_000)),
            "{}",
            longer(750_000)
        );
    }

    #[test]
    fn nothing_arrives_at_no_rate() {
        for rate in [0.0, -1.0, f64::NAN] {
            assert!(Arrivals::at_rate(rate).is_never());
        }
        assert!(!Arrivals::at_rate(f64::INFINITY).is_never());
    }
}
