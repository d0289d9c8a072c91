//! The best chain as a devnet follows it: which payments are in it now.

use std::collections::BTreeMap;

use crate::types::{BlockId, Height, TxId};

/// Blocks below the tip that are remembered. No devnet reorganises deeper; one that did would be
/// noticed, because the walk back finds no block it knows.
pub(super) const REMEMBERED: usize = 200;

/// A block as far as payments go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) id: BlockId,
    pub(super) parent: BlockId,
    pub(super) height: Height,
    pub(super) txids: Vec<TxId>,
}

/// The last blocks of the best chain.
pub(super) struct BestChain {
    links: BTreeMap<Height, Link>,
}

impl BestChain {
    /// The chain of a genesis block.
    pub(super) fn new(genesis: BlockId, parent: BlockId) -> Self {
        let link = Link {
            id: genesis,
            parent,
            height: Height::GENESIS,
            txids: Vec::new(),
        };
        Self {
            links: BTreeMap::from([(link.height, link)]),
        }
    }

    pub(super) fn knows(&self, id: &BlockId) -> bool {
        self.links.values().any(|link| link.id == *id)
    }

    /// Takes the blocks of a new best chain, from the tip back to a child of a known block. Gives
    /// the blocks that left the chain, from the old tip down.
    pub(super) fn switch(&mut self, branch: &[Link]) -> Vec<Link> {
        let Some(lowest) = branch.last() else {
            return Vec::new();
        };
        let mut left: Vec<Link> = self.links.split_off(&lowest.height).into_values().collect();
        left.reverse();
        for link in branch {
            self.links.insert(link.height, link.clone());
        }
        while self.links.len() > REMEMBERED {
            self.links.pop_first();
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(id: u8, parent: u8, height: u64) -> Link {
        Link {
            id: BlockId([id; 32]),
            parent: BlockId([parent; 32]),
            height: Height(height),
            txids: vec![TxId([id; 32])],
        }
    }

    #[test]
    fn a_branch_replaces_what_stood_above_its_root() {
        let mut chain = BestChain::new(BlockId([0; 32]), BlockId([99; 32]));
        assert_eq!(chain.switch(&[link(2, 1, 2), link(1, 0, 1)]), []);
        let left = chain.switch(&[link(5, 4, 3), link(4, 1, 2)]);
        assert_eq!(left, [link(2, 1, 2)]);
        assert_eq!(chain.links[&Height(3)].id, BlockId([5; 32]));
        assert!(chain.knows(&BlockId([1; 32])) && !chain.knows(&BlockId([2; 32])));
        assert_eq!(chain.switch(&[]), []);
    }

    #[test]
    fn old_blocks_are_forgotten() {
        let mut chain = BestChain::new(BlockId([0; 32]), BlockId([99; 32]));
        for height in 1..=300_u64 {
            let (id, parent) = (height as u8, (height - 1) as u8);
            chain.switch(&[link(id, parent, height)]);
        }
        assert_eq!(chain.links.len(), REMEMBERED);
        assert_eq!(chain.links.keys().next_back(), Some(&Height(300)));
    }
}
