//! Who is cut off from whom.

use std::cell::Cell;
use std::collections::BTreeMap;

/// Nodes that don't hear others, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Two nodes from each other.
    Pair(usize, usize),
    /// Nothing comes from one to the other; the other way is open.
    OneWay {
        /// Who isn't heard.
        from: usize,
        /// Who doesn't hear it.
        to: usize,
    },
    /// One node from all.
    Isolate(usize),
    /// These nodes from all others, also from those that are added later.
    Split(Vec<usize>),
    /// Nothing comes from these nodes to the others; they hear the others.
    SplitOneWay(Vec<usize>),
}

/// The name of a cut that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CutId(u64);

/// One cut, as it is asked about.
#[derive(Clone, Debug)]
enum Rule {
    Pair(usize, usize),
    OneWay(usize, usize),
    Isolate(usize),
    Split(Side),
    SplitOneWay(Side),
}

impl Rule {
    fn passes(&self, from: usize, to: usize) -> bool {
        match self {
            Self::Pair(a, b) => (from, to) != (*a, *b) && (from, to) != (*b, *a),
            Self::OneWay(a, b) => (from, to) != (*a, *b),
            Self::Isolate(node) => from != *node && to != *node,
            Self::Split(side) => side.has(from) == side.has(to),
            Self::SplitOneWay(side) => !side.has(from) || side.has(to),
        }
    }
}

/// A set of nodes, one bit for each.
#[derive(Clone, Debug, Default)]
struct Side(Vec<u64>);

impl Side {
    fn of(nodes: &[usize]) -> Self {
        let words = nodes.iter().max().map_or(0, |most| most / 64 + 1);
        let mut bits = vec![0; words];
        for node in nodes {
            bits[node / 64] |= 1 << (node % 64);
        }
        Self(bits)
    }

    fn has(&self, node: usize) -> bool {
        let word = self.0.get(node / 64);
        word.is_some_and(|word| word >> (node % 64) & 1 == 1)
    }
}

/// A cut that holds.
#[derive(Clone, Debug)]
struct Holding {
    rule: Rule,
    /// Whether anything wanted to pass that it forbids.
    was_felt: Cell<bool>,
}

impl Holding {
    fn passes(&self, from: usize, to: usize) -> bool {
        let passes = self.rule.passes(from, to);
        if !passes {
            self.was_felt.set(true);
        }
        passes
    }
}

/// The cuts that hold now.
#[derive(Clone, Debug, Default)]
pub(super) struct Cuts {
    holding: BTreeMap<CutId, Holding>,
    next: u64,
}

impl Cuts {
    pub(super) fn add(&mut self, cut: &Cut) -> CutId {
        let rule = match cut {
            Cut::Pair(a, b) => Rule::Pair(*a, *b),
            Cut::OneWay { from, to } => Rule::OneWay(*from, *to),
            Cut::Isolate(node) => Rule::Isolate(*node),
            Cut::Split(nodes) => Rule::Split(Side::of(nodes)),
            Cut::SplitOneWay(nodes) => Rule::SplitOneWay(Side::of(nodes)),
        };
        let id = CutId(self.next);
        self.next += 1;
        let was_felt = Cell::new(false);
        self.holding.insert(id, Holding { rule, was_felt });
        id
    }

    pub(super) fn remove(&mut self, id: CutId) {
        self.holding.remove(&id);
    }

    /// Whether a cut that holds has kept anything from passing.
    pub(super) fn was_felt(&self, id: CutId) -> bool {
        let holding = self.holding.get(&id);
        holding.is_some_and(|holding| holding.was_felt.get())
    }

    /// Whether no cut stands between them; a node always hears itself.
    pub(super) fn pass(&self, from: usize, to: usize) -> bool {
        from == to || self.holding.values().all(|cut| cut.passes(from, to))
    }
}
