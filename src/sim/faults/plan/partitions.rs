//! Parts of the network that do not hear each other for a while.

use crate::base::{Rng, Span, Time};
use crate::sim::World;
use crate::sim::network::{Cut, CutId};

use super::{Act, FaultPlan, Mark, Over};

/// A cut that comes and goes.
pub(super) struct Flapping {
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
        self.begin(now, mark, Over::Mending(until));
        if self.rng.chance(self.manner.flapping_permille, 1_000) {
            let flapping = Flapping {
                cut,
                since: now,
                until,
                times: 0,
            };
            self.flap(world, flapping, None);
        } else {
            let id = world.cut(cut);
            self.cuts.push(id);
            self.later(until, Act::Mend(id));
        }
    }

    pub(super) fn flap(&mut self, world: &mut World, mut flapping: Flapping, holds: Option<CutId>) {
        let until = flapping.until;
        let holds = match holds {
            Some(id) => {
                self.cuts.retain(|held| *held != id);
                world.mend(id);
                None
            }
            None if world.now() >= until => return,
            None => {
                let id = world.cut(flapping.cut.clone());
                self.cuts.push(id);
                flapping.times += 1;
                if flapping.times == 2 {
                    // It came and went, and came again.
                    self.begin(flapping.since, Mark::Flapping, Over::Mending(until));
                }
                Some(id)
            }
        };
        let after = self.around(Span::from_secs(2));
        self.later(world.now() + after, Act::Flap { flapping, holds });
    }
}
