//! What must hold at the end of a scenario that asks for it.

use std::sync::Arc;

use crate::base::Rng;
use crate::sim::check::{CONVERGES_WITHIN, Finally, Watch, common_tip, no_common_tip};
use crate::sim::workload::Workload;
use crate::sim::{NodeIndex, World};

/// Waits until all honest nodes show one tip, and asks whether what they hold is right.
pub(super) fn check(
    world: &mut World,
    watch: &mut Watch,
    workload: Option<&mut Workload>,
    seed: u64,
) -> Vec<String> {
    let nodes = (0..world.len()).map(NodeIndex);
    let honest: Vec<NodeIndex> = nodes.filter(|node| world.is_honest(*node)).collect();
    let agreed = world.run_until(CONVERGES_WITHIN, |world| {
        watch.look(world);
        common_tip(world, &honest).is_some()
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
        watch.report(no_common_tip(world, &honest));
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
