//! What nodes do by themselves when all is well again.

use crate::base::Span;
use crate::node::Question;
use crate::sim::check::{
    QUIET_MARGIN, REDIALLED_WITHIN, missing_link, no_common_work, not_linked, same_work,
};
use crate::sim::{Crash, NodeIndex};

use super::Run;

/// One run out of so many falls silent although all clocks are right.
const SILENT_ONE_IN: u64 = 4;

impl Run {
    /// Waits until the core is connected as its configurations say, which takes no operator.
    pub(super) fn await_links(&mut self, core: &[NodeIndex]) {
        let until = self.world.now() + REDIALLED_WITHIN;
        let mut missing = missing_link(&self.world, core);
        while missing.is_some() && self.world.now() < until {
            self.operate(core);
            self.pass(self.world.now() + Span::from_secs(1));
            if self.is_over() {
                return;
            }
            missing = missing_link(&self.world, core);
        }
        if let Some(link) = missing {
            self.watch.report(not_linked(&self.world, link));
        }
    }

    /// Nobody finds a block any more, and nodes come to the best chain all the same: those of the
    /// core, and those whose clocks are wrong, once it is late enough by them. Gives the latter.
    pub(super) fn fall_silent(&mut self, core: &[NodeIndex]) -> Vec<NodeIndex> {
        let erring = self.plan.heal_erring(&mut self.world);
        if erring.is_empty() && !self.rng.chance(1, SILENT_ONE_IN) {
            return erring;
        }
        self.world.stop_mining();
        for node in (0..self.world.len()).map(NodeIndex) {
            if !self.world.is_honest(node) && self.world.is_running(node) {
                self.world.crash(node, Crash::Kill);
            }
        }
        for node in &erring {
            for (node, peer) in [(*node, core[0]), (core[0], *node)] {
                let peer = self.world.peer_address(peer);
                self.world.call(node, Question::AddPeer(peer));
            }
        }
        let nodes = [core, &erring].concat();
        // The erring have an operator again, who finds what they parked long ago.
        self.read = 0;
        let until = self.world.now() + self.plan.clock_error_max() + QUIET_MARGIN;
        let mut agreed = false;
        while !agreed && self.world.now() < until {
            self.operate(&nodes);
            self.record_followed();
            self.run_until(Span::from_secs(1), |world| {
                agreed = same_work(world, &nodes);
                agreed
            });
            if self.is_over() {
                return erring;
            }
        }
        if !agreed {
            self.watch.report(no_common_work(&self.world, &nodes));
        }
        erring
    }
}
