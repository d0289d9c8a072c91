//! Who is to be connected with whom.

use std::collections::BTreeSet;

use crate::base::Span;
use crate::sim::{NodeIndex, World};

use super::{Checker, Violation};

/// How long nodes may take to be connected with the peers of their configuration when all is well:
/// a silence is noticed after 80 seconds, and who is not there is dialled again after 30 at most.
pub const REDIALLED_WITHIN: Span = Span::from_secs(150);

/// A node of these that is not connected with one of them that its configuration names, and that
/// one.
#[must_use]
pub fn missing_link(world: &World, nodes: &[NodeIndex]) -> Option<(NodeIndex, NodeIndex)> {
    let links = world.links().into_iter();
    let links: BTreeSet<(usize, usize)> = links
        .flat_map(|(a, b)| [(a as usize, b as usize), (b as usize, a as usize)])
        .collect();
    let wanted = nodes.iter().flat_map(|node| {
        let peers = &world.node_config(*node).peers;
        let named = |other: &&NodeIndex| peers.iter().any(|peer| peer.key == world.key(**other));
        nodes.iter().filter(named).map(|other| (*node, *other))
    });
    let mut wanted = wanted.filter(|(node, other)| node != other);
    wanted.find(|(node, other)| !links.contains(&(node.0, other.0)))
}

/// That two nodes are not connected.
#[must_use]
pub fn not_linked(world: &World, (node, other): (NodeIndex, NodeIndex)) -> Violation {
    Violation {
        checker: Checker::Links,
        at: world.now(),
        node: Some(node),
        what: format!(
            "it has no connection with node {} of its configuration, {REDIALLED_WITHIN} after all \
             was well",
            other.0
        ),
    }
}
