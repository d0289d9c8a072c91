//! Processes that end from one moment to the next, and start again.

use crate::base::{Span, Time};
use crate::sim::{Crash, NodeIndex, World};
use crate::store::{Hits, Keep};

use super::{Act, CRASH_LOOP_LIFE, CRASH_LOOP_PAUSE, FaultPlan, Mark, Over, leave};

/// How many calls to its disk a machine comes to in a group of records before it crashes, and one
/// more: those of a group for two logs, and more than all of a group for one.
const WRITE_CALLS: u64 = 4;

/// A crash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doomed {
    how: Crash,
    since: Time,
    /// What had happened to the writes of the machine's disk before.
    hits: Hits,
}

impl Doomed {
    fn new(world: &World, node: NodeIndex, how: Crash) -> Self {
        Self {
            how,
            since: world.now(),
            hits: world.disk_hits(node).disk,
        }
    }

    /// The mark of what it did to writes that were not synced. Often there were none.
    fn mark(&self, world: &World, node: NodeIndex) -> Mark {
        let (before, after) = (self.hits, world.disk_hits(node).disk);
        let was_kept = after.kept_writes > before.kept_writes;
        let was_lost = after.lost_writes > before.lost_writes;
        let was_torn = after.torn_writes > before.torn_writes;
        let came_early = after.reordered_writes > before.reordered_writes || (was_kept && was_lost);
        match self.how {
            Crash::Kill if was_kept => Mark::KillInWrite,
            Crash::Kill => Mark::Kill,
            Crash::PowerCut(Keep::Nothing) if was_lost => Mark::PowerCutNothing,
            Crash::PowerCut(Keep::Everything) if was_kept => Mark::PowerCutEverything,
            Crash::PowerCut(Keep::Prefix) if was_torn => Mark::PowerCutPrefix,
            Crash::PowerCut(Keep::Sectors) if was_torn => Mark::PowerCutSectors,
            Crash::PowerCut(Keep::Reordered) if came_early => Mark::PowerCutReordered,
            Crash::PowerCut(_) => Mark::PowerCut,
        }
    }
}

impl FaultPlan {
    pub(super) fn kill(&mut self, world: &mut World, node: NodeIndex, lasts: Span) {
        self.crash(world, node, Crash::Kill, lasts);
    }

    pub(super) fn power_cut(&mut self, world: &mut World, node: NodeIndex, lasts: Span) {
        let keep = Keep::ALL[self.rng.below(Keep::ALL.len() as u64) as usize];
        self.crash(world, node, Crash::PowerCut(keep), lasts);
    }

    /// A machine crashes at once, or in the midst of the next group of records that it writes: by
    /// chance hardly any crash would find one under way.
    fn crash(&mut self, world: &mut World, node: NodeIndex, how: Crash, lasts: Span) {
        let doomed = Doomed::new(world, node, how);
        if self.writes.chance(self.manner.in_write_permille, 1_000) {
            world.crash_in_write(node, how, self.writes.below(WRITE_CALLS));
            self.doomed.insert(node, doomed);
            self.conditions.entry(node).or_default().is_down = true;
            self.later(world.now() + lasts, Act::Start(node));
        } else {
            self.down(world, node, how, lasts);
            let mark = doomed.mark(world, node);
            self.begin(doomed.since, mark, Over::Start(node));
        }
    }

    pub(super) fn down(&mut self, world: &mut World, node: NodeIndex, how: Crash, lasts: Span) {
        world.crash(node, how);
        self.doomed.remove(&node);
        self.end(
            world,
            |over| matches!(over, Over::GoOn(of, _) if *of == node),
        );
        self.conditions.entry(node).or_default().is_down = true;
        self.later(world.now() + lasts, Act::Start(node));
    }

    /// Kills a process soon after each of its starts, so that some kill may hit what it does then.
    pub(super) fn crash_loop(&mut self, world: &mut World, node: NodeIndex, left: u64) {
        if !world.is_running(node) {
            self.start(world, node);
        } else if left > 0 {
            world.crash(node, Crash::Kill);
            // What would have ended it in its next write did not.
            self.doomed.remove(&node);
            self.conditions.entry(node).or_default().is_down = true;
        }
        let after = self.around(if world.is_running(node) {
            CRASH_LOOP_LIFE
        } else {
            CRASH_LOOP_PAUSE
        });
        let refused = world.refused(node).is_some();
        if !refused && (!world.is_running(node) || left > 0) {
            let left = left.saturating_sub(u64::from(world.is_running(node)));
            self.later(world.now() + after, Act::Loop { node, left });
        } else {
            self.end(world, |over| *over == Over::Loop(node));
        }
    }

    pub(super) fn start(&mut self, world: &mut World, node: NodeIndex) {
        world.spare(node);
        if let Some(doomed) = self.doomed.remove(&node)
            && !world.is_running(node)
        {
            let mark = doomed.mark(world, node);
            self.begin(doomed.since, mark, Over::Start(node));
        }
        let condition = self.conditions.entry(node).or_default();
        condition.is_down = false;
        if !world.is_running(node) {
            world.start(node);
            if std::mem::take(&mut condition.has_jumped) {
                leave(world, Mark::ClockJump, node);
            }
        }
        self.end(world, |over| *over == Over::Start(node));
    }
}
