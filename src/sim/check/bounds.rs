//! What a node holds stays within its bounds.

use crate::node::{Bounded, Sizes};
use crate::sim::{NodeIndex, World};

use super::{Checker, Violation};

/// Groups of records on their way to the disk, which takes all that wait with each sync. The
/// slowest disk of a swarm takes 10.24 s, so that what is made in twice that waits: 10 payments a
/// second, and a record each of a block, its attempt, its tip and a checkpoint for each of the 600
/// blocks that a run may have, when a node fetches them all at once. Half of 5,000 is left for
/// chance. A full disk adds nothing: its node takes nothing in.
const GROUPS_MAX: usize = 5_000;
/// So many times more blocks than the rules' interval asks for are found at most, with adversaries
/// and by chance.
const POWER: u64 = 4;
/// Headers beyond these: what is found while the target is still that of the genesis, and branches
/// near the tip, which are kept as they come (`p2p::sync` keeps no others of little work).
const HEADERS_MORE: u64 = 2_000;

/// Whether something of a node is larger than it may be.
#[must_use]
pub fn check_bounds(world: &World, index: NodeIndex) -> Option<Violation> {
    let genesis = &world.config().genesis;
    let passed = world.now().as_millis().saturating_sub(genesis.time.0);
    let headers = headers_max(passed, u64::from(genesis.rules.interval_ms));
    let over = over(&world.node(index)?.sizes(), headers)?;
    let Bounded { what, held, limit } = over;
    Some(Violation {
        checker: Checker::Bounds,
        at: world.now(),
        node: Some(index),
        what: format!("{held} {what}, at most {limit}"),
    })
}

/// How many headers all power together comes to in a time.
fn headers_max(passed_ms: u64, interval_ms: u64) -> usize {
    let found = POWER * (passed_ms / interval_ms.max(1));
    usize::try_from(found + HEADERS_MORE).unwrap_or(usize::MAX)
}

/// What is too much.
fn over(sizes: &Sizes, headers_max: usize) -> Option<Bounded> {
    let of_the_world = [
        ("groups of records under way", sizes.groups, GROUPS_MAX),
        ("headers", sizes.headers, headers_max),
    ];
    let of_the_world = of_the_world.map(|(what, held, limit)| Bounded { what, held, limit });
    let mut all = sizes.bounded.iter().copied().chain(of_the_world);
    all.find(|it| it.held > it.limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_of_anything_is_found() {
        let bounded = |what| Bounded {
            what,
            held: 7,
            limit: 7,
        };
        let most = Sizes {
            headers: 300,
            groups: GROUPS_MAX,
            bounded: vec![bounded("jobs"), bounded("ids")],
            ..Sizes::default()
        };
        assert_eq!(over(&most, 300), None);
        for more in [
            |sizes: &mut Sizes| sizes.groups += 1,
            |sizes: &mut Sizes| sizes.headers += 1,
            |sizes: &mut Sizes| sizes.bounded[0].held += 1,
            |sizes: &mut Sizes| sizes.bounded[1].held += 1,
        ] {
            let mut sizes = most.clone();
            more(&mut sizes);
            let over = over(&sizes, 300).expect("it is too much");
            assert_eq!(over.held, over.limit + 1);
        }
        assert_eq!(headers_max(10_000, 1_000), 2_040);
    }
}
