//! What a node holds stays within its bounds.

use crate::node::Sizes;
use crate::sim::{NodeIndex, World};

use super::{Checker, Violation};

/// Jobs under way: 64 blocks in check, some of transactions, one read for each peer, and a few more
/// (`node::blocks`, `node::transactions`).
const JOBS_MAX: usize = 64 + 16 + 160;
/// Groups of records on their way to the disk. A disk that is full or slow holds them up; what the
/// node takes in meanwhile is bounded by what it asks for and by what callers bring.
const GROUPS_MAX: usize = 5_000;
/// Headers beyond those of the chain: branches, and what somebody with a hundredth of the power
/// could make. Low-work headers have no place in the tree at all (`p2p::sync`).
const HEADERS_MAX: usize = 20_000;
/// Blocks that came and were not checked yet: so many may be asked for.
const ARRIVED_MAX: usize = 128;
/// Transactions that wait for a check (`node::transactions`).
const CHECKS_MAX: usize = 20_000 + 1_024;

/// Whether something of a node is larger than it may be.
#[must_use]
pub fn check_bounds(world: &World, index: NodeIndex) -> Option<Violation> {
    let (what, found, limit) = over(&world.node(index)?.sizes())?;
    Some(Violation {
        checker: Checker::Bounds,
        at: world.now(),
        node: Some(index),
        what: format!("{found} {what}, at most {limit}"),
    })
}

/// What is too much, how much it is, and how much it may be.
fn over(sizes: &Sizes) -> Option<(&'static str, usize, usize)> {
    let Sizes {
        jobs,
        groups,
        headers,
        old_blocks: _,
        arrived,
        checks,
        mempool_memory,
        mempool_memory_max,
    } = *sizes;
    let bounds = [
        ("jobs under way", jobs, JOBS_MAX),
        ("groups of records under way", groups, GROUPS_MAX),
        ("headers", headers, HEADERS_MAX),
        ("blocks that wait for a check", arrived, ARRIVED_MAX),
        ("transactions that wait for a check", checks, CHECKS_MAX),
        ("bytes of the mempool", mempool_memory, mempool_memory_max),
    ];
    bounds.into_iter().find(|(_, found, limit)| found > limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_of_anything_is_found() {
        let most = Sizes {
            jobs: JOBS_MAX,
            groups: GROUPS_MAX,
            headers: HEADERS_MAX,
            old_blocks: 0,
            arrived: ARRIVED_MAX,
            checks: CHECKS_MAX,
            mempool_memory: 7,
            mempool_memory_max: 7,
        };
        assert_eq!(over(&most), None);
        for more in [
            |sizes: &mut Sizes| sizes.jobs += 1,
            |sizes: &mut Sizes| sizes.groups += 1,
            |sizes: &mut Sizes| sizes.headers += 1,
            |sizes: &mut Sizes| sizes.arrived += 1,
            |sizes: &mut Sizes| sizes.checks += 1,
            |sizes: &mut Sizes| sizes.mempool_memory += 1,
        ] {
            let mut sizes = most;
            more(&mut sizes);
            let (_, found, limit) = over(&sizes).expect("it is too much");
            assert_eq!(found, limit + 1);
        }
    }
}
