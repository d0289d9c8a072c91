//! Parts of the network that do not hear each other for a while.

use crate::base::{Rng, Span, Time};
use crate::sim::World;
use crate::sim::network::{Cut, CutId};

use super::{Act, FaultPlan, Mark, Over};

/// The number of a partition: of one cut, or of one that comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Partition(u32);

/// A cut that comes and goes.
pub(super) struct Flapping {
    partition: Partition,
    cut: Cut,
    since: Time,
    until: Time,
    /// How often it came.
    times: u32,
}

impl FaultPlan {
    pub(super) fn partition(&mut self, world: &mut World, lasts: Span) {
        if world.len() < 3 {
            return;
        }
        let all = world.len() as u64;
        let one = self.rng.below(all) as usize;
        let side = |rng: &mut Rng| {
            let mut nodes: Vec<usize> = (0..world.len()).collect();
            rng.shuffle(&mut nodes);
            // The size is uniform, so that even halves are as likely as lonely ones.
            nodes.truncate(1 + rng.below(all - 1) as usize);
            nodes
        };
        let cuts = self.manner.cuts;
        let mut drawn = self.rng.below(cuts.iter().sum());
        let kind = cuts.iter().position(|weight| {
            let is_it = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            is_it
        });
        let (mark, cut) = match kind.unwrap_or(0) {
            0 => (Mark::Split, Cut::Split(side(&mut self.rng))),
            1 => (Mark::SplitOneWay, Cut::SplitOneWay(side(&mut self.rng))),
            2 => (Mark::Isolated, Cut::Isolate(one)),
            _ => {
                let other = (one + 1 + self.rng.below(all - 1) as usize) % world.len();
                (
                    Mark::PairOneWay,
                    Cut::OneWay {
                        from: one,
                        to: other,
                    },
                )
            }
        };
        let (now, until) = (world.now(), world.now() + lasts);
        let partition = Partition(self.partitions);
        self.partitions += 1;
        self.begin(now, mark, Over::Mending(until, partition));
        if self.rng.chance(self.manner.flapping_permille, 1_000) {
            let flapping = Flapping {
                partition,
                cut,
                since: now,
                until,
                times: 0,
            };
            self.flap(world, flapping, None);
        } else {
            let id = world.cut(cut);
            self.cuts.push((id, partition));
            self.later(until, Act::Mend(id));
        }
    }

    /// Notes which of the partitions have kept anything from passing.
    pub(super) fn feel_cuts(&mut self, world: &World) {
        let felt = self.cuts.iter().filter(|(cut, _)| world.was_felt(*cut));
        self.felt.extend(felt.map(|(_, partition)| *partition));
    }

    pub(super) fn mend(&mut self, world: &mut World, cut: CutId) {
        self.feel_cuts(world);
        self.cuts.retain(|(held, _)| *held != cut);
        world.mend(cut);
    }

    pub(super) fn flap(&mut self, world: &mut World, mut flapping: Flapping, holds: Option<CutId>) {
        let until = flapping.until;
        let holds = match holds {
            Some(id) => {
                self.mend(world, id);
                None
            }
            None if world.now() >= until => return,
            None => {
                let id = world.cut(flapping.cut.clone());
                self.cuts.push((id, flapping.partition));
                flapping.times += 1;
                if flapping.times == 2 {
                    // It came and went, and came again.
                    let over = Over::Mending(until, flapping.partition);
                    self.begin(flapping.since, Mark::Flapping, over);
                }
                Some(id)
            }
        };
        let after = self.around(Span::from_secs(2));
        self.later(world.now() + after, Act::Flap { flapping, holds });
    }
}
