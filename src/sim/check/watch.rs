//! Checks while a run goes: what readers of each node see, from one moment to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::node::{Event, Published};
use crate::sim::{NodeIndex, World};
use crate::types::{BlockId, Hash, Height, Rules, Uint256};

use super::{Checker, Violation, check_bounds};

/// What remains of a branch is shown after a block could not be read, and is left after that; what
/// was on its way to the disk may be shown before.
const UNREAD_CHANGES: u32 = 3;
/// More violations of one run say no more about it.
const VIOLATIONS_MAX: usize = 20;

/// What was seen of a node.
#[derive(Clone, Debug, Default)]
struct Seen {
    life: Option<u32>,
    /// What it published last in this life.
    last: Option<Arc<Published>>,
    /// Whether it was ready in this life.
    ready: bool,
    /// The greatest work of a tip that it ever showed as durable.
    work: Uint256,
    /// The tip that it showed last.
    tip: Option<BlockId>,
    /// Blocks that turned out to be invalid in this life, each of which excuses one change of the
    /// tip: the part of a branch before the block that fails may be the tip for a moment, until a
    /// block of the same work that was seen earlier takes its place.
    failed: BTreeSet<BlockId>,
    /// So many changes of the tip are excused in the same way, because a block of a branch could
    /// not be read: who tells of that does not say which.
    unread: u32,
    /// Every tip that it ever showed.
    tips: BTreeSet<BlockId>,
    /// The blocks that it found.
    own: Vec<BlockId>,
    /// The greatest floor of its mempool that it ever showed, where one had to go for room.
    floor: Option<u64>,
    /// Its disk lost bits: it may have forgotten anything.
    is_spoilt: bool,
}

impl Seen {
    /// Whether what was shown last is what remained of a branch that failed.
    fn is_remainder(&mut self, world: &World, node: NodeIndex, last: &Published) -> bool {
        let (tip, height) = (last.tip, last.header.height);
        let above = |id: &BlockId| {
            let running = world.node(node);
            running.is_some_and(|running| running.ancestor(id, height) == Some(tip))
        };
        let failed = self.failed.iter().copied().find(above);
        failed.is_some_and(|id| self.failed.remove(&id)) || self.unread > 0
    }
}

/// Looks, after every step, at every node that a step changed. What a node shows in the midst of
/// a step and takes back in the same one is not seen, neither here nor by any reader.
#[derive(Debug, Default)]
pub struct Watch {
    seen: Vec<Seen>,
    roots: BTreeMap<BlockId, Hash>,
    violations: Vec<Violation>,
    /// How many of the world's events and changes were looked at.
    events: usize,
    changes: usize,
}

impl Watch {
    /// Everything that was shown anywhere as a tip.
    pub fn tips(&self) -> impl Iterator<Item = &BlockId> {
        self.roots.keys()
    }

    /// The greatest floor that a node's mempool ever had, per 1,000 weight: none where there was
    /// always room.
    #[must_use]
    pub fn floor(&self, node: NodeIndex) -> Option<u64> {
        self.seen.get(node.0)?.floor
    }

    /// How many nodes' mempools were ever full.
    #[must_use]
    pub fn full_mempools(&self) -> u64 {
        self.seen.iter().filter(|seen| seen.floor.is_some()).count() as u64
    }

    /// What was found wrong so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Adds what another checker found.
    pub fn report(&mut self, violation: Violation) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(violation);
        }
    }

    /// From now on a node may have forgotten what it showed: its disk lost bits.
    pub fn excuse(&mut self, node: NodeIndex) {
        if let Some(seen) = self.seen.get_mut(node.0) {
            seen.is_spoilt = true;
        }
    }

    /// Looks at the honest nodes that changed since it looked last. The world keeps its events, and
    /// this is the only one to look at them in their order.
    pub fn look(&mut self, world: &World) {
        self.seen.resize_with(world.len(), Seen::default);
        for (at, node, event) in &world.events()[self.events..] {
            let (at, node, seen) = (*at, *node, &mut self.seen[node.0]);
            match event {
                Event::Mined { id, .. } => seen.own.push(*id),
                Event::InvalidBlock { id, .. } | Event::Divergence { id, .. } => {
                    seen.failed.insert(*id);
                }
                Event::DamagedLog { .. } if seen.is_spoilt => seen.unread = UNREAD_CHANGES,
                Event::DamagedLog { why } => self.violations.push(Violation {
                    checker: Checker::Directory,
                    at,
                    node: Some(node),
                    what: format!("its disk lost no bits, and it says: {why}"),
                }),
                _ => {}
            }
        }
        self.violations.truncate(VIOLATIONS_MAX);
        self.events = world.events().len();
        for place in self.changes..world.changes().len() {
            let node = world.changes()[place];
            if world.is_honest(node) {
                self.look_at(world, node);
            }
        }
        self.changes = world.changes().len();
        if let Some(node) = world.acted().filter(|node| world.is_honest(*node))
            && let Some(violation) = check_bounds(world, node)
        {
            self.report(violation);
        }
    }

    fn look_at(&mut self, world: &World, node: NodeIndex) {
        let seen = &mut self.seen[node.0];
        let published = world.published(node);
        // A life may end and the next begin between two looks.
        let life = world.is_running(node).then(|| world.life(node));
        if seen.life != life {
            (seen.life, seen.ready, seen.last) = (life, false, None);
            (seen.failed, seen.unread) = (BTreeSet::new(), 0);
        }
        let Some(published) = published else { return };
        if seen
            .last
            .as_ref()
            .is_some_and(|last| Arc::ptr_eq(last, published))
        {
            return;
        }
        let rules = Rules::at(&world.config().genesis, published.header.height);
        if published.mempool_floor > rules.base_fee_min {
            seen.floor = seen.floor.max(Some(published.mempool_floor));
        }
        let last = seen.last.replace(Arc::clone(published));
        let mut found = Vec::new();
        if let Some(last) = &last
            && published.tip != last.tip
        {
            let excused = published.work == last.work && seen.is_remainder(world, node, last);
            if published.work <= last.work && !excused {
                let (before, after) = (last.tip, published.tip);
                let what = format!("its tip went from {before} to {after}, which has no more work");
                found.push((Checker::Durability, what));
            }
            seen.unread = seen.unread.saturating_sub(1);
        }
        let limit = rules.future_limit_ms();
        let (time, clock) = (published.header.time.0, world.clock(node).as_millis());
        // A chain may begin later than a clock says it is.
        if published.header.height > Height::GENESIS && time.saturating_sub(limit) > clock {
            let what = format!(
                "it took {} of time {time}, which is more than {limit} ahead of {clock}, the \
                 latest that its clock ever said",
                published.tip
            );
            found.push((Checker::Validity, what));
        }
        if published.ready && !seen.ready {
            seen.ready = true;
            if !seen.is_spoilt {
                found.extend(restarted(seen, world, node, published));
            }
        }
        if seen.ready {
            seen.work = seen.work.max(published.work);
            seen.tip = Some(published.tip);
            seen.tips.insert(published.tip);
        }
        if last.is_none_or(|last| last.tip != published.tip) {
            found.extend(self.tip(published));
        }
        let at = world.now();
        for (checker, what) in found {
            let node = Some(node);
            self.report(Violation {
                checker,
                at,
                node,
                what,
            });
        }
    }

    fn tip(&mut self, published: &Published) -> Vec<(Checker, String)> {
        let mut found = Vec::new();
        let (tip, root) = (published.tip, published.state.root());
        let known = *self.roots.entry(tip).or_insert(root);
        if known != root || published.header.state_root != root {
            let header = published.header.state_root;
            let what = format!(
                "the state after {tip} is {root} here; elsewhere {known}, by the header {header}"
            );
            found.push((Checker::Roots, what));
        }
        let supply = published.state.supply();
        if !supply.balances() {
            found.push((Checker::Supply, format!("after {tip}: {supply:?}")));
        }
        found
    }
}

/// What a node that has read its log must still have.
fn restarted(
    seen: &Seen,
    world: &World,
    node: NodeIndex,
    published: &Published,
) -> Vec<(Checker, String)> {
    let mut found = Vec::new();
    if published.work < seen.work {
        let what = format!(
            "after its start its tip {} has less work than it had shown before",
            published.tip
        );
        found.push((Checker::Durability, what));
    }
    if published.work == seen.work
        && let Some(before) = seen.tip.filter(|before| *before != published.tip)
    {
        let what = format!(
            "after its start it shows {}, which has no more work than {before} that it showed",
            published.tip
        );
        found.push((Checker::Durability, what));
    }
    let knows = |node: NodeIndex, id: &BlockId| {
        world
            .node(node)
            .is_some_and(|running| running.knows_block(id))
    };
    if let Some(lost) = seen.tips.iter().find(|id| !knows(node, id)) {
        let what = format!("it showed {lost} as its tip, and does not know it after its start");
        found.push((Checker::Durability, what));
    }
    let others = || {
        (0..world.len())
            .map(NodeIndex)
            .filter(|other| *other != node)
    };
    let told = |id: &&BlockId| others().any(|other| knows(other, id));
    if let Some(lost) = seen.own.iter().filter(told).find(|id| !knows(node, id)) {
        let what = format!("it told others of its own block {lost}, and does not know it now");
        found.push((Checker::Durability, what));
    }
    found
}
