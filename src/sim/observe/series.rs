//! How a world changed over its time.

use crate::base::{Span, Time};
use crate::types::Height;

use super::traffic::Volume;

/// What only the world knows at the time of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// How many events the world has had.
    pub events: u64,
    /// How many nodes run.
    pub running: u32,
    /// How many connections there are.
    pub connections: u64,
}

/// The state of a world at a time. Numbers of what happened are totals since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Time,
    /// What the world says.
    pub gauges: Gauges,
    /// The least, the middle and the greatest height of tips.
    pub heights: (Height, Height, Height),
    /// The same of the number of transactions in mempools.
    pub mempools: (u32, u32, u32),
    /// How many different tips nodes had.
    pub tips: u32,
    /// How many blocks had appeared.
    pub blocks: u64,
    /// How many transactions had appeared.
    pub transactions: u64,
    /// How many transactions had been promised to users.
    pub accepted: u64,
    /// What had been sent.
    pub sent: Volume,
}

/// How many samples are kept; when there are more, every second one goes and the interval doubles.
const SAMPLES_MAX: usize = 2_048;

/// Samples at equal intervals.
#[derive(Clone, Debug)]
pub struct Series {
    began: Time,
    interval: Span,
    due: Time,
    samples: Vec<Sample>,
}

impl Series {
    pub(super) fn new(began: Time, interval: Span) -> Self {
        let interval = interval.max(Span::from_micros(1));
        Self {
            began,
            interval,
            due: began + interval,
            samples: Vec::new(),
        }
    }

    #[inline]
    pub(super) const fn due(&self) -> Time {
        self.due
    }

    /// Leaves out the last sample if it is of this time: things went on since.
    pub(super) fn forget(&mut self, at: Time) {
        self.samples.pop_if(|last| last.at == at);
    }

    pub(super) fn push(&mut self, sample: Sample) {
        let at = sample.at;
        self.samples.push(sample);
        if self.samples.len() >= SAMPLES_MAX {
            let mut place = 0;
            self.samples.retain(|_| {
                place += 1;
                place % 2 == 0
            });
            self.interval = self.interval.times(2);
        }
        // The next multiple: a world that was quiet for long has one sample of that time.
        let passed = at.since(self.began).as_micros() / self.interval.as_micros();
        self.due = self.began + self.interval.times(passed + 1);
    }

    /// The interval now: it doubles in runs that are long.
    #[must_use]
    pub const fn interval(&self) -> Span {
        self.interval
    }

    /// The samples, oldest first.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }
}
