//! When each node saw something that spreads.

use std::collections::{BTreeMap, VecDeque};

use crate::base::{Span, Time};

/// How long after its origin a node saw something: units of 100 us in 32 bits, so that a block of
/// 10,000 nodes takes 40 KB; the greatest one is four days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delay(u32);

impl Delay {
    const UNIT_MICROS: u64 = 100;
    const NEVER: Self = Self(u32::MAX);

    fn of(span: Span) -> Self {
        let units = span.as_micros() / Self::UNIT_MICROS;
        Self(u32::try_from(units).map_or(u32::MAX - 1, |units| units.min(u32::MAX - 1)))
    }

    /// As a span, in steps of 100 us.
    #[must_use]
    pub fn span(self) -> Span {
        Span::from_micros(u64::from(self.0) * Self::UNIT_MICROS)
    }
}

/// After what delay 0, 1, .. 100 of 100 nodes had it; nothing where so many never did.
pub type Curve = [Option<Delay>; 101];

#[derive(Clone, Debug)]
enum Detail {
    /// Of each node.
    Nodes(Vec<Delay>),
    /// What was kept of them.
    Curve(Box<Curve>),
}

/// Something that spreads: where it began, and who had it when.
#[derive(Clone, Debug)]
pub struct Sighting<Id> {
    /// What it is.
    pub id: Id,
    /// When the first node had it; when it was made, where none ever did.
    pub first: Time,
    /// That node; who made it, where none ever had it.
    pub origin: usize,
    /// How many nodes have had it.
    pub reached: u32,
    detail: Detail,
}

impl<Id> Sighting<Id> {
    /// How it spread over so many nodes.
    #[must_use]
    pub fn curve(&self, nodes: usize) -> Curve {
        match &self.detail {
            Detail::Curve(curve) => **curve,
            Detail::Nodes(delays) => curve(delays, nodes),
        }
    }

    /// The delays of the nodes that had it, in order; nothing where only quantiles were kept.
    #[must_use]
    pub fn delays(&self) -> Option<Vec<Delay>> {
        match &self.detail {
            Detail::Curve(_) => None,
            Detail::Nodes(delays) => Some(reached(delays)),
        }
    }
}

fn reached(delays: &[Delay]) -> Vec<Delay> {
    let mut reached: Vec<Delay> = delays.to_vec();
    reached.retain(|delay| *delay != Delay::NEVER);
    reached.sort_unstable();
    reached
}

/// The delay after which a share of `nodes` had it is that of the last node of the share.
fn curve(delays: &[Delay], nodes: usize) -> Curve {
    let reached = reached(delays);
    let nodes = nodes.max(reached.len());
    std::array::from_fn(|percent| {
        let needed = (nodes * percent).div_ceil(100).max(1);
        reached.get(needed - 1).copied()
    })
}

/// Everything of a kind that spread, oldest first.
#[derive(Clone, Debug)]
pub struct Sightings<Id> {
    /// How many nodes there are to spread over; a node's number may be beyond it.
    nodes: usize,
    /// Where each stands, counted from the first one ever.
    places: BTreeMap<Id, u64>,
    entries: VecDeque<Sighting<Id>>,
    /// How many of the oldest were dropped from `entries`.
    forgotten: u64,
    /// Those before this place were reduced to their curves.
    reduced: u64,
    /// The most bytes of nodes' delays.
    detail_bytes_max: usize,
    entries_max: usize,
    /// An array of a reduced one, for the next new one.
    spare: Option<Vec<Delay>>,
}

impl<Id: Copy + Ord> Sightings<Id> {
    /// Of so many nodes, within these bounds: the bytes of nodes' delays, and what is known by id.
    #[must_use]
    pub fn new(nodes: usize, detail_bytes_max: usize, entries_max: usize) -> Self {
        Self {
            nodes,
            places: BTreeMap::new(),
            entries: VecDeque::new(),
            forgotten: 0,
            reduced: 0,
            detail_bytes_max,
            entries_max,
            spare: None,
        }
    }

    /// There are at least so many nodes.
    pub(super) fn admit(&mut self, nodes: usize) {
        self.nodes = self.nodes.max(nodes);
    }

    /// A node has it now; says at which place it stands, and whether this is news of that node.
    /// What was forgotten is not begun anew as long as it is in `places`, and what is only a curve
    /// stays as it is.
    pub(super) fn seen(&mut self, now: Time, node: usize, id: Id) -> (u64, bool) {
        if let Some(place) = self.places.get(&id) {
            return (*place, self.seen_again(now, node, *place));
        }
        let place = self.made(now, node, id);
        (place, self.seen_again(now, node, place))
    }

    /// It is there, though no node that counts has it; says at which place it stands.
    pub(super) fn made(&mut self, now: Time, by: usize, id: Id) -> u64 {
        if let Some(place) = self.places.get(&id) {
            return *place;
        }
        let place = self.forgotten + self.entries.len() as u64;
        self.places.insert(id, place);
        let mut delays = self.spare.take().unwrap_or_default();
        delays.clear();
        delays.resize(self.nodes, Delay::NEVER);
        self.entries.push_back(Sighting {
            id,
            first: now,
            origin: by,
            reached: 0,
            detail: Detail::Nodes(delays),
        });
        self.keep_bounds();
        place
    }

    fn seen_again(&mut self, now: Time, node: usize, place: u64) -> bool {
        let Some(entry) = place
            .checked_sub(self.forgotten)
            .and_then(|at| self.entries.get_mut(usize::try_from(at).ok()?))
        else {
            return false;
        };
        let Detail::Nodes(delays) = &mut entry.detail else {
            return false;
        };
        if node >= delays.len() {
            delays.resize(node + 1, Delay::NEVER);
        }
        let news = delays[node] == Delay::NEVER;
        if news {
            if entry.reached == 0 {
                entry.first = now;
                entry.origin = node;
            }
            delays[node] = Delay::of(now.since(entry.first));
            entry.reached += 1;
        }
        news
    }

    fn keep_bounds(&mut self) {
        let newest = self.forgotten + self.entries.len() as u64;
        let detailed_max = self.detail_bytes_max / (self.nodes.max(1) * size_of::<Delay>());
        if newest - self.reduced.max(self.forgotten) > detailed_max.max(1) as u64 {
            let at = self.reduced.max(self.forgotten);
            let entry = &mut self.entries[(at - self.forgotten) as usize];
            if let Detail::Nodes(delays) = &mut entry.detail {
                let kept = Box::new(curve(delays, self.nodes));
                self.spare = Some(std::mem::take(delays));
                entry.detail = Detail::Curve(kept);
            }
            self.reduced = at + 1;
        }
        if self.entries.len() > self.entries_max
            && let Some(entry) = self.entries.pop_front()
        {
            self.places.remove(&entry.id);
            self.forgotten += 1;
            if let Detail::Nodes(delays) = entry.detail {
                self.spare = Some(delays);
            }
        }
    }

    /// What is known of one of them.
    #[must_use]
    pub fn get(&self, id: &Id) -> Option<&Sighting<Id>> {
        self.at(*self.places.get(id)?)
    }

    pub(super) fn place(&self, id: &Id) -> Option<u64> {
        self.places.get(id).copied()
    }

    pub(super) fn at(&self, place: u64) -> Option<&Sighting<Id>> {
        let at = place.checked_sub(self.forgotten)?;
        self.entries.get(usize::try_from(at).ok()?)
    }

    /// Those that are known, in the order in which they first appeared.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Sighting<Id>> {
        self.entries.iter()
    }

    /// How many there ever were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.forgotten + self.entries.len() as u64
    }

    /// How many nodes there are.
    #[must_use]
    pub const fn nodes(&self) -> usize {
        self.nodes
    }

    /// How many of the oldest are known by their quantiles alone: sightings after that time are
    /// not in them.
    #[must_use]
    pub fn reduced(&self) -> u64 {
        self.reduced.saturating_sub(self.forgotten)
    }

    /// How many of the oldest are not known at all any more.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The curves of all that had `settle` of time before `end`: what is younger is still on its
    /// way, and would count against how far things spread.
    #[must_use]
    pub fn curves(&self, end: Time, settle: Span) -> Vec<Curve> {
        if self.nodes < 2 {
            // Nothing spreads.
            return Vec::new();
        }
        let old = self
            .entries
            .iter()
            .filter(|entry| entry.reached > 0 && entry.first + settle <= end);
        old.map(|entry| entry.curve(self.nodes)).collect()
    }
}

/// The middle of several curves, quantile by quantile; something never reached counts as last.
#[must_use]
pub fn median(curves: &[Curve]) -> Curve {
    std::array::from_fn(|percent| {
        let mut at: Vec<Option<Delay>> = curves.iter().map(|curve| curve[percent]).collect();
        at.sort_unstable_by_key(|delay| delay.map_or(u32::MAX, |delay| delay.0));
        *at.get(at.len() / 2)?
    })
}
