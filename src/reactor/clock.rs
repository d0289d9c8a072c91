//! The one clock.

use std::time::{Duration, Instant, SystemTime};

use crate::base::Time;

/// Time as the node is told it: the system's clock when the process began, and from then on what
/// has passed, so that it never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Time,
    begun: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub fn start() -> Self {
        let since_1970 = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            base: Time::from_micros(u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX)),
            begun: Instant::now(),
        }
    }

    /// The time now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub fn now(&self) -> Time {
        let passed = Instant::now().duration_since(self.begun);
        let micros = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        Time::from_micros(self.base.as_micros().saturating_add(micros))
    }
}
