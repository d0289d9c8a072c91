//! The one clock.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

use crate::base::{Span, Time};

/// How far the system's clock may be ahead of the node's time. Beyond it the machine slept, or its
/// clock was set, and the node's time follows.
const AHEAD_MAX: Span = Span::from_secs(1);
/// How far it may be behind before somebody is told.
const BEHIND_MAX: Span = Span::from_secs(5);

/// Time as the node is told it: the system's clock when the process began, and from then on what
/// has passed, so that it never goes back. What passes while a machine sleeps is not counted by
/// the system, and a clock may be set at any time: where the system's clock is ahead, time jumps
/// forward to it.
#[derive(Clone, Debug)]
pub struct Clock {
    begun: Instant,
    kept: Cell<Kept>,
}

/// What is remembered from one reading to the next.
#[derive(Clone, Copy, Debug)]
struct Kept {
    /// The node's time less what has passed since the process began.
    base: Time,
    /// Whether it was said that the system's clock is behind.
    told_behind: bool,
}

/// What a reading shows beside the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notice {
    /// Time jumped forward.
    Forward(Span),
    /// The system's clock says something earlier than the node's time, which does not follow.
    Behind { system: Time, own: Time },
}

impl Kept {
    /// The time when the system's clock says `system` and so much has passed since the process
    /// began.
    fn read(&mut self, system: Time, passed: Span) -> (Time, Option<Notice>) {
        let own = self.base + passed;
        let (ahead, behind) = (system.since(own), own.since(system));
        if ahead > AHEAD_MAX {
            self.base += ahead;
            self.told_behind = false;
            return (self.base + passed, Some(Notice::Forward(ahead)));
        }
        let newly_behind = behind > BEHIND_MAX && !self.told_behind;
        // Told once, until it was right again.
        self.told_behind = (self.told_behind || newly_behind) && behind > AHEAD_MAX;
        (own, newly_behind.then_some(Notice::Behind { system, own }))
    }
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub fn start() -> Self {
        Self {
            begun: Instant::now(),
            kept: Cell::new(Kept {
                base: system_time(),
                told_behind: false,
            }),
        }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Time {
        let mut kept = self.kept.get();
        let (now, notice) = kept.read(system_time(), self.passed());
        self.kept.set(kept);
        match notice {
            None => {}
            Some(Notice::Forward(by)) => log::warn!(
                "the system's clock went forward by {by}: the machine slept, or its clock was set; \
                 the node's time follows it"
            ),
            Some(Notice::Behind { system, own }) => log::warn!(
                "the system's clock says {} ms since 1970, which is {} before the node's time, {} \
                 ms: it was set back; the node's time never goes back, so if the system's clock is \
                 right now, restart the node",
                system.as_millis(),
                own.since(system),
                own.as_millis()
            ),
        }
        now
    }

    /// How much has passed since the clock started, but for what the machine slept: for measuring
    /// how long something takes.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub fn passed(&self) -> Span {
        let passed = Instant::now().duration_since(self.begun);
        Span::from_micros(u64::try_from(passed.as_micros()).unwrap_or(u64::MAX))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
fn system_time() -> Time {
    let since_1970 = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Time::from_micros(u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn began_at(millis: u64) -> Kept {
        Kept {
            base: Time::from_millis(millis),
            told_behind: false,
        }
    }

    /// Reads the clock at each (system's clock, time passed), in milliseconds: the node's time.
    fn read(kept: &mut Kept, readings: &[(u64, u64)]) -> Vec<(u64, Option<Notice>)> {
        let mut all = Vec::new();
        for (system, passed) in readings {
            let (now, notice) = kept.read(Time::from_millis(*system), Span::from_millis(*passed));
            all.push((now.as_millis(), notice));
        }
        all
    }

    #[test]
    fn time_follows_the_system_over_a_sleep_and_a_step_forward() {
        let mut kept = began_at(HOUR);
        let told = |millis| Some(Notice::Forward(Span::from_millis(millis)));
        assert_eq!(
            read(
                &mut kept,
                &[
                    (HOUR, 0),
                    // What an adjustment moves is not worth a jump.
                    (HOUR + 2_000, 1_000),
                    // Eight hours of sleep, in which nothing passed.
                    (9 * HOUR + 3_001, 2_000),
                    (9 * HOUR + 4_001, 3_000),
                    // Set right by 1,001 ms.
                    (9 * HOUR + 6_002, 4_000),
                ]
            ),
            [
                (HOUR, None),
                (HOUR + 1_000, None),
                (9 * HOUR + 3_001, told(8 * HOUR + 1_001)),
                (9 * HOUR + 4_001, None),
                (9 * HOUR + 6_002, told(1_001)),
            ]
        );
    }

    #[test]
    fn time_never_goes_back_and_that_the_system_is_behind_is_told_once() {
        let mut kept = began_at(2 * HOUR);
        let behind = |system, own| {
            let (system, own) = (Time::from_millis(system), Time::from_millis(own));
            Some(Notice::Behind { system, own })
        };
        assert_eq!(
            read(
                &mut kept,
                &[
                    (2 * HOUR - 5_000, 0),
                    (HOUR, 1_000),
                    (HOUR + 1_000, 2_000),
                    // It slept for an hour and is behind as before.
                    (2 * HOUR - 4_000, 3_000),
                    // It was right in between: that it is behind again is news.
                    (2 * HOUR + 4_000, 4_000),
                    (HOUR, 5_000),
                ]
            ),
            [
                (2 * HOUR, None),
                (2 * HOUR + 1_000, behind(HOUR, 2 * HOUR + 1_000)),
                (2 * HOUR + 2_000, None),
                (2 * HOUR + 3_000, None),
                (2 * HOUR + 4_000, None),
                (2 * HOUR + 5_000, behind(HOUR, 2 * HOUR + 5_000)),
            ]
        );
    }

    #[test]
    fn no_readings_make_time_go_back() {
        let (mut kept, mut last) = (began_at(HOUR), 0);
        let mut state = 1_u64;
        for passed in (0..20_000).step_by(7) {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let system = HOUR + (state >> 40) % 60_000;
            let (now, _) = kept.read(Time::from_millis(system), Span::from_millis(passed));
            assert!(now.as_millis() >= last, "{} after {last}", now.as_millis());
            assert!(now + AHEAD_MAX >= Time::from_millis(system));
            last = now.as_millis();
        }
    }

    #[test]
    fn a_clock_shows_the_system_s_time() {
        let clock = Clock::start();
        let (before, now, after) = (system_time(), clock.now(), clock.now());
        assert!(now <= after);
        assert!(now.since(before).max(before.since(now)) <= BEHIND_MAX);
    }
}
