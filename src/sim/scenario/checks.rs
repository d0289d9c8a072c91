//! What must hold at the end of a scenario that asks for it.

use std::sync::Arc;

use crate::base::Rng;
use crate::sim::check::{CONVERGES_WITHIN, Finally, Watch, agree, no_agreement};
use crate::sim::workload::Workload;
use crate::sim::{NodeIndex, World};
use crate::types::Height;

/// Waits until all honest nodes are on one chain, and asks whether what they hold is right.
pub(super) fn check(
    world: &mut World,
    watch: &mut Watch,
    workload: Option<&mut Workload>,
    seed: u64,
) {
    let nodes = (0..world.len()).map(NodeIndex);
    let honest: Vec<NodeIndex> = nodes.filter(|node| world.is_honest(*node)).collect();
    let goal = goal(world, &honest);
    let agreed = world.run_until(CONVERGES_WITHIN, |world| {
        watch.look(world);
        agree(world, &honest, goal)
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
        watch.report(no_agreement(world, &honest, goal));
    }
}

/// What they have to come to: more than anybody shows, where somebody mines.
fn goal(world: &World, nodes: &[NodeIndex]) -> Height {
    let shown = nodes.iter().filter_map(|node| world.published(*node));
    let highest = shown.map(|shown| shown.header.height).max();
    let highest = highest.unwrap_or(Height::GENESIS);
    let mined = nodes.iter().any(|node| {
        let config = world.node_config(*node);
        config.mining.is_some() && world.is_running(*node)
    });
    if mined { highest.next() } else { highest }
}

fn nobody_pays() -> crate::sim::workload::WorkloadOptions {
    crate::sim::workload::WorkloadOptions {
        rate: 0.0,
        accounts: 0,
        shared_accounts: 0,
        ..Default::default()
    }
}
