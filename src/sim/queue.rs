//! What happens next: a queue by time, and by order of arrival within one time.
//!
//! A network of thousands of nodes has a million happenings waiting, most of them within the next
//! seconds. They lie in a ring of buckets of one millisecond, which are put in order when their
//! time comes; what is further away lies in a tree.

use std::collections::BTreeMap;

use crate::base::Time;

/// Buckets of the ring, one for each millisecond from now on.
const RING: u64 = 8_192;

/// One thing that waits: its time in microseconds, its number, and itself.
type Waiting<T> = (u64, u64, T);

/// A queue by time. What is pushed first comes first among those of one time.
#[derive(Debug)]
pub(super) struct Queue<T> {
    sequence: u64,
    /// The millisecond of `current`.
    millisecond: u64,
    /// What happens in this millisecond, the next one last.
    current: Vec<Waiting<T>>,
    /// What happens in the milliseconds after it, each in the place of its remainder.
    ring: Vec<Vec<Waiting<T>>>,
    in_ring: usize,
    far: BTreeMap<(u64, u64), T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let mut ring = Vec::new();
        ring.resize_with(RING as usize, Vec::new);
        Self {
            sequence: 0,
            millisecond: 0,
            current: Vec::new(),
            ring,
            in_ring: 0,
            far: BTreeMap::new(),
        }
    }
}

impl<T> Queue<T> {
    /// Adds something that happens at `at`, or at once if that is over.
    pub(super) fn push(&mut self, at: Time, item: T) {
        self.sequence += 1;
        let waiting = (at.as_micros(), self.sequence, item);
        let millisecond = waiting.0 / 1_000;
        if millisecond <= self.millisecond {
            let place = (waiting.0, waiting.1);
            let behind = self
                .current
                .partition_point(|(at, sequence, _)| (*at, *sequence) > place);
            self.current.insert(behind, waiting);
        } else if millisecond < self.millisecond + RING {
            self.ring[(millisecond % RING) as usize].push(waiting);
            self.in_ring += 1;
        } else {
            self.far.insert((waiting.0, waiting.1), waiting.2);
        }
    }

    /// When the next thing happens.
    pub(super) fn next_at(&mut self) -> Option<Time> {
        self.turn();
        self.current.last().map(|(at, _, _)| Time::from_micros(*at))
    }

    /// Takes the next thing, with its time and its number.
    pub(super) fn pop(&mut self) -> Option<(Time, u64, T)> {
        self.turn();
        let (at, sequence, item) = self.current.pop()?;
        Some((Time::from_micros(at), sequence, item))
    }

    /// How many things wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.current.len() + self.in_ring + self.far.len()
    }

    /// Whether nothing waits.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Goes on to the next millisecond in which something happens.
    fn turn(&mut self) {
        while self.current.is_empty() {
            let far = self.far.first_key_value().map(|((at, _), _)| at / 1_000);
            match far {
                None if self.in_ring == 0 => return,
                Some(far) if self.in_ring == 0 => self.millisecond = far,
                _ => self.millisecond += 1,
            }
            // What came nearer moves into the ring, or is next.
            while let Some(entry) = self.far.first_entry()
                && entry.key().0 / 1_000 < self.millisecond + RING
            {
                let (at, sequence) = *entry.key();
                let waiting = (at, sequence, entry.remove());
                self.ring[(at / 1_000 % RING) as usize].push(waiting);
                self.in_ring += 1;
            }
            let bucket = &mut self.ring[(self.millisecond % RING) as usize];
            if !bucket.is_empty() {
                // The bucket takes the room of the one that was used up.
                std::mem::swap(&mut self.current, bucket);
                self.in_ring -= self.current.len();
                self.current
                    .sort_unstable_by_key(|(at, sequence, _)| std::cmp::Reverse((*at, *sequence)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn things_come_in_the_order_of_a_tree() {
        let (mut queue, mut tree) = (Queue::default(), BTreeMap::new());
        let mut rng = Rng::from_number(4);
        let (mut now, mut number) = (0, 0);
        for _ in 0..60_000 {
            if rng.chance(4, 7) {
                let reach = [0, 10, 900, 20_000, 5_000_000, 9_000_000, 80_000_000];
                let reach = reach[rng.below(7) as usize];
                let at = now + rng.below(1 + reach);
                number += 1;
                queue.push(Time::from_micros(at), number);
                tree.insert((at, number), number);
            } else {
                let wanted = tree.pop_first().map(|((at, _), item)| (at, item));
                let next = queue.next_at().map(Time::as_micros);
                assert_eq!(next, wanted.map(|(at, _)| at));
                let found = queue.pop().map(|(at, _, item)| (at.as_micros(), item));
                assert_eq!(found, wanted);
                now = wanted.map_or(now, |(at, _)| at);
            }
            assert_eq!(queue.len(), tree.len());
        }
    }

    #[test]
    fn what_is_late_comes_at_once() {
        let mut queue = Queue::default();
        queue.push(Time::from_millis(50_000), 'b');
        assert_eq!(queue.pop().unwrap().2, 'b');
        queue.push(Time::from_millis(60_000), 'd');
        queue.push(Time::from_millis(1), 'c');
        assert_eq!(queue.pop().unwrap().2, 'c');
        assert_eq!(queue.pop().unwrap().2, 'd');
        assert!(queue.pop().is_none() && queue.is_empty());
    }
}
