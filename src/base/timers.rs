//! A table of named timers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Time;

/// At most one deadline for each name. The owner asks for the [`earliest`](Self::earliest), and
/// takes what is [`due`](Self::take_due) in order of time and then of name, so that two runs fire
/// the same timers in the same order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "N: Ord + Deserialize<'de>"))]
pub struct Timers<N> {
    by_name: BTreeMap<N, Time>,
    by_time: BTreeSet<(Time, N)>,
}

impl<N: Ord + Clone> Default for Timers<N> {
    fn default() -> Self {
        Self {
            by_name: BTreeMap::new(),
            by_time: BTreeSet::new(),
        }
    }
}

impl<N: Ord + Clone> Timers<N> {
    /// Sets the timer, moving it if it was set. One that is set to that time already costs a look
    /// and no more.
    pub fn set(&mut self, name: N, at: Time) {
        match self.by_name.get_mut(&name) {
            Some(old) if *old == at => return,
            Some(old) => {
                let old = std::mem::replace(old, at);
                self.by_time.remove(&(old, name.clone()));
            }
            None => {
                self.by_name.insert(name.clone(), at);
            }
        }
        self.by_time.insert((at, name));
    }

    /// Sets the timer unless it is set to an earlier time already.
    pub fn set_earlier(&mut self, name: N, at: Time) {
        if self.deadline(&name).is_none_or(|old| at < old) {
            self.set(name, at);
        }
    }

    /// Clears the timer; says whether it was set.
    pub fn clear(&mut self, name: &N) -> bool {
        match self.by_name.remove(name) {
            Some(at) => self.by_time.remove(&(at, name.clone())),
            None => false,
        }
    }

    /// When the timer fires, if it is set.
    #[must_use]
    pub fn deadline(&self, name: &N) -> Option<Time> {
        self.by_name.get(name).copied()
    }

    /// The earliest deadline.
    #[must_use]
    pub fn earliest(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes one timer that is due at `now`.
    pub fn take_due(&mut self, now: Time) -> Option<N> {
        let (at, _) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let (_, name) = self.by_time.pop_first()?;
        self.by_name.remove(&name);
        Some(name)
    }

    /// Every set timer, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&N, Time)> {
        self.by_name.iter().map(|(name, at)| (name, *at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_order_of_time_then_name() {
        let mut timers = Timers::default();
        timers.set("b", Time::from_micros(5));
        timers.set("a", Time::from_micros(5));
        timers.set("c", Time::from_micros(9));
        timers.set("c", Time::from_micros(1));
        timers.set_earlier("a", Time::from_micros(7));
        timers.set("a", Time::from_micros(5));
        assert_eq!(timers.earliest(), Some(Time::from_micros(1)));
        assert_eq!(timers.take_due(Time::from_micros(0)), None);
        let fired: Vec<_> = std::iter::from_fn(|| timers.take_due(Time::from_micros(5))).collect();
        assert_eq!(fired, ["c", "a", "b"]);
        assert_eq!(timers.earliest(), None);
    }

    #[test]
    fn a_cleared_timer_does_not_fire() {
        let mut timers = Timers::default();
        timers.set(1, Time::from_micros(1));
        assert!(timers.clear(&1));
        assert!(!timers.clear(&1));
        assert_eq!(timers.take_due(Time::from_micros(9)), None);
    }
}
