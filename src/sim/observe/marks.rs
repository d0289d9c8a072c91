//! What happened to a world: faults and turns of the plan, by name.

use std::collections::BTreeMap;

use crate::base::Time;

/// The name of something that a report counts, as `crash` or `partition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub &'static str);

/// A mark at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkAt {
    /// When it began.
    pub from: Time,
    /// When it ended: the same for what does not last.
    pub until: Time,
    /// What it was.
    pub mark: Mark,
    /// To which node, where it was one.
    pub node: Option<u32>,
}

/// How many marks keep their time: a picture of more could not be read. All are counted.
const TIMES_MAX: usize = 1 << 16;

/// Every mark.
#[derive(Clone, Debug, Default)]
pub struct TimeLine {
    counts: BTreeMap<Mark, u64>,
    times: Vec<MarkAt>,
    left_out: u64,
}

impl TimeLine {
    pub(super) fn add(&mut self, from: Time, until: Time, mark: Mark, node: Option<usize>) {
        *self.counts.entry(mark).or_default() += 1;
        if self.times.len() < TIMES_MAX {
            self.times.push(MarkAt {
                from,
                until,
                mark,
                node: node.map(|node| u32::try_from(node).unwrap_or(u32::MAX)),
            });
        } else {
            self.left_out += 1;
        }
    }

    /// How often each fired.
    #[must_use]
    pub const fn counts(&self) -> &BTreeMap<Mark, u64> {
        &self.counts
    }

    /// The marks whose time is known, in the order in which they were told.
    #[must_use]
    pub fn times(&self) -> &[MarkAt] {
        &self.times
    }

    /// How many are counted without their time.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }
}
