//! How fast a peer sends bodies.

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};

/// What a peer counts for before it has sent anything: like a middling one, so that it is tried
/// while there is work left over by the fastest.
const UNKNOWN: u64 = 256 << 10;
/// A measurement takes at least this long: blocks that come in one burst tell nothing.
const SPAN_LEAST: Span = Span::from_millis(100);

/// Bytes per second, as an average in which the last eight measurements or so count.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Rate {
    average: u64,
    bytes: u64,
    since: Time,
}

impl Rate {
    pub(super) const fn unknown() -> Self {
        Self {
            average: UNKNOWN,
            bytes: 0,
            since: Time::EPOCH,
        }
    }

    /// The peer was idle, and is asked for something now.
    pub(super) const fn begin(&mut self, now: Time) {
        (self.bytes, self.since) = (0, now);
    }

    /// Something came that it was asked for.
    pub(super) fn received(&mut self, bytes: u64, now: Time) {
        self.bytes = self.bytes.saturating_add(bytes);
        let span = now.since(self.since);
        if span >= SPAN_LEAST {
            let measured = u128::from(self.bytes) * 1_000_000 / u128::from(span.as_micros());
            let measured = u64::try_from(measured).unwrap_or(u64::MAX);
            self.average = self.average - self.average / 8 + measured / 8;
            self.begin(now);
        }
    }

    pub(super) const fn bytes_per_second(self) -> u64 {
        self.average
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_follows_what_comes_and_bursts_count_once() {
        let mut rate = Rate::unknown();
        let mut now = Time::from_millis(1_000);
        rate.begin(now);
        for _ in 0..100 {
            for _ in 0..10 {
                rate.received(10_000, now);
            }
            now += Span::from_millis(500);
            rate.received(0, now);
        }
        let found = rate.bytes_per_second();
        assert!((195_000..205_000).contains(&found), "{found}");
        // Time in which nothing was asked does not count.
        now += Span::from_secs(1_000);
        rate.begin(now);
        now += Span::from_millis(500);
        rate.received(100_000, now);
        let found = rate.bytes_per_second();
        assert!((195_000..205_000).contains(&found), "{found}");
    }

    #[test]
    fn no_amount_overflows() {
        let mut rate = Rate::unknown();
        rate.begin(Time::EPOCH);
        for millis in [100, 200, 300] {
            rate.received(u64::MAX, Time::from_millis(millis));
        }
        assert!(rate.bytes_per_second() > 1 << 60);
    }
}
