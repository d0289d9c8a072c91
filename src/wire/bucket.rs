//! A rate with a burst.

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};

/// Lets `burst` through at once and one per `interval` in the long run. It keeps one number: when
/// it would be full again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct TokenBucket {
    burst: u32,
    interval: Span,
    full_at: Time,
}

impl TokenBucket {
    /// A full one.
    pub(super) const fn new(burst: u32, interval: Span) -> Self {
        Self {
            burst,
            interval,
            full_at: Time::EPOCH,
        }
    }

    /// Whether one would be let through at `now`.
    pub(super) fn would_give(&self, now: Time) -> bool {
        // What is missing from full, one more included, must not exceed the burst.
        self.full_at.since(now) + self.interval <= self.interval.times(u64::from(self.burst))
    }

    /// Lets one through, or says that none is left.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let gives = self.would_give(now);
        if gives {
            self.full_at = self.full_at.max(now) + self.interval;
        }
        gives
    }

    /// Whether nothing that it let through still counts at `now`.
    pub(super) fn is_full(&self, now: Time) -> bool {
        self.full_at <= now
    }
}
