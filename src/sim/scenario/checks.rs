//! What must hold at the end of a scenario that asks for it.

use std::sync::Arc;

use crate::base::{Rng, Span};
use crate::sim::check::{Checker, Finally, Violation, Watch};
use crate::sim::workload::Workload;
use crate::sim::{NodeIndex, World};

/// How long the honest nodes may take to come to one tip when all is well again: lost peers are
/// dialled again after 30 seconds at most, headers asked elsewhere after 15, a silence noticed
/// after 80.
const AGREE_WITHIN: Span = Span::from_secs(400);

/// Waits until all honest nodes show one tip, and asks whether what they hold is right.
pub(super) fn check(
    world: &mut World,
    watch: &mut Watch,
    workload: Option<&mut Workload>,
    seed: u64,
) -> Vec<String> {
    let nodes = (0..world.len()).map(NodeIndex);
    let honest: Vec<NodeIndex> = nodes.filter(|node| world.is_honest(*node)).collect();
    let agreed = world.run_until(AGREE_WITHIN, |world| {
        watch.look(world);
        let shown = |node: &NodeIndex| {
            let shown = world.published(*node).filter(|shown| shown.ready);
            shown.map(|shown| shown.tip)
        };
        let first = honest.first().and_then(shown);
        first.is_some() && honest.iter().all(|node| shown(node) == first)
    });
    if agreed {
        // Someone who paid nothing has nothing to lose.
        let mut nobody = Workload::new(nobody_pays(), &Rng::from_number(seed));
        let workload = workload.unwrap_or(&mut nobody);
        workload.collect(world);
        let genesis = Arc::clone(&world.config().genesis);
        let mut finally = Finally::new(world, watch, &honest, genesis);
        finally.check_validity();
        finally.check_state();
        finally.check_acknowledged(workload, |_| false);
    } else {
        watch.report(Violation {
            checker: Checker::Agreement,
            at: world.now(),
            node: None,
            what: format!(
                "the {} honest nodes did not come to one tip in {AGREE_WITHIN}",
                honest.len()
            ),
        });
    }
    watch.violations().iter().map(ToString::to_string).collect()
}

fn nobody_pays() -> crate::sim::workload::WorkloadOptions {
    crate::sim::workload::WorkloadOptions {
        rate: 0.0,
        accounts: 0,
        shared_accounts: 0,
        ..Default::default()
    }
}
