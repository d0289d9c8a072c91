//! How much a node holds of what others can make it hold.

use crate::chain::READS_MAX;
use crate::p2p::Bounded;

use super::blocks::ROOM;
use super::headers::READ_PER_PEER;
use super::submission::PENDING_MAX;
use super::transactions::{CHECKS_MAX, Source, WAITING_MAX};
use super::{Node, Owner};

/// Jobs of which there is one at a time: an execution, a reading of the journal, a template to
/// mine, a search, a step of a checkpoint and the release of its pages.
const SINGLE_JOBS: usize = 6;
/// What is read for a peer at a time: a block in each of two lanes, and headers.
const READS_PER_PEER: usize = 2 + READ_PER_PEER as usize;

/// How much a node holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Headers of all branches that are in memory. How many there may be goes with the work that
    /// was done for them.
    pub headers: usize,
    /// Old blocks of which the place in the log is in memory.
    pub old_blocks: usize,
    /// Groups of records on their way to the disk. How many there may be goes with the disk.
    pub groups: usize,
    /// Bytes of memory that the mempool takes.
    pub mempool_memory: usize,
    /// What has a bound of the node's own.
    pub bounded: Vec<Bounded>,
}

impl Node {
    /// How much it holds now.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let old_blocks = self.chain.tree().logged_len() as usize;
        let mempool_memory = bytes(self.mempool.memory());
        let of_callers = |it: &&(Source, _)| matches!(it.0, Source::Call(_));
        let own = [
            (
                "jobs of its own and for peers",
                self.own_jobs(),
                self.own_jobs_max(),
            ),
            (
                "blocks that wait for a check",
                self.arrived.len(),
                ROOM.blocks,
            ),
            (
                // Those of peers are bounded in bytes, peer by peer.
                "transactions of callers that wait for a check",
                self.checks.waiting().filter(of_callers).count(),
                WAITING_MAX,
            ),
            (
                "bytes of the mempool",
                mempool_memory,
                bytes(self.mempool.limit()),
            ),
        ];
        let own = own.map(|(what, held, limit)| Bounded { what, held, limit });
        let mut bounded = Vec::with_capacity(20);
        bounded.extend(own);
        bounded.extend(self.submissions.sizes());
        bounded.extend(self.journal.sizes());
        bounded.extend(self.sync.sizes());
        bounded.extend(self.relay.sizes());
        bounded.push(self.early.bytes());
        Sizes {
            headers: self.chain.tree().count() - old_blocks,
            old_blocks,
            groups: self.effects.len(),
            mempool_memory,
            bounded,
        }
    }

    /// Jobs but those that somebody outside asked for, whose number is theirs to bound, and those
    /// that free what was held.
    fn own_jobs(&self) -> usize {
        let is_own = |owner: &&Owner| {
            !matches!(
                owner,
                Owner::Call { .. }
                    | Owner::Proposal(_)
                    | Owner::CallerAssembly { .. }
                    | Owner::Discard
            )
        };
        self.jobs.values().filter(is_own).count()
    }

    fn own_jobs_max(&self) -> usize {
        let for_peers = ROOM.blocks + CHECKS_MAX + READS_PER_PEER * self.peers_max();
        for_peers + READS_MAX + PENDING_MAX + SINGLE_JOBS
    }

    /// Peers that may be connected, those that this node dials included.
    fn peers_max(&self) -> usize {
        self.config.inbound_max + self.dials.len()
    }
}
