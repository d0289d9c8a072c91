//! A bounded memory of what was seen lately.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The last items put in: at least `half`, at most twice as many. Two generations: when the new
/// one is full it becomes the old one, and the old one is forgotten.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecentSet<T: Ord> {
    half: usize,
    new: BTreeSet<T>,
    old: BTreeSet<T>,
}

impl<T: Ord> RecentSet<T> {
    /// An empty set that remembers at least the last `half` items.
    #[must_use]
    pub fn new(half: usize) -> Self {
        Self {
            half: half.max(1),
            new: BTreeSet::new(),
            old: BTreeSet::new(),
        }
    }

    /// Whether the item is remembered.
    #[must_use]
    pub fn contains(&self, item: &T) -> bool {
        self.new.contains(item) || self.old.contains(item)
    }

    /// Remembers the item; says whether it was not remembered before.
    pub fn insert(&mut self, item: T) -> bool {
        if self.contains(&item) {
            return false;
        }
        if self.new.len() >= self.half {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(item)
    }

    /// How many items are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.new.len() + self.old.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.old.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.new.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_half_is_always_remembered_and_never_more_than_twice_that() {
        let mut set = RecentSet::new(10);
        for item in 0..1_000_u32 {
            assert!(set.insert(item));
            assert!(!set.insert(item));
            assert!((item.saturating_sub(9)..=item).all(|recent| set.contains(&recent)));
            assert!(set.new.len() + set.old.len() <= 20);
        }
        assert!(!set.contains(&900));
    }
}
