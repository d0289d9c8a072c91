//! What nodes come to when no block is found any more.
//!
//! While blocks are found, each of them makes up for what was missed before: who is told of it asks
//! for all that leads there. Only in silence it shows whether nodes come to the best chain by
//! themselves.

use crate::base::Span;
use crate::sim::{NodeIndex, World};
use crate::types::Uint256;

use super::{Violation, disagreement};

/// How much longer nodes may take to have the best chain than until its last header is due by the
/// slowest of their clocks.
pub const QUIET_MARGIN: Span = Span::from_secs(150);

/// Whether all of these nodes are ready at tips of the same work: of two of the same work, a node
/// keeps the one it saw first.
#[must_use]
pub fn same_work(world: &World, nodes: &[NodeIndex]) -> bool {
    let work = |node: &NodeIndex| -> Option<Uint256> {
        let shown = world.published(*node).filter(|shown| shown.ready)?;
        Some(shown.work)
    };
    let first = nodes.first().and_then(work);
    first.is_some() && nodes.iter().all(|node| work(node) == first)
}

/// That nodes differ in silence, with what each of them shows.
#[must_use]
pub fn no_common_work(world: &World, nodes: &[NodeIndex]) -> Violation {
    disagreement(world, nodes, "no common work in silence")
}
