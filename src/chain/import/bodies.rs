//! The blocks that are in memory.
//!
//! *Owns* which of them stay. *Invariants*: one that the log lacks stays, and so do those that are
//! executed next; the rest is bounded in bytes, the oldest go first. *Never* reads the log.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::types::BlockId;

use super::{Chain, CheckedBlock, RUN_BLOCKS_MAX};

/// How many bytes of blocks stay in memory while some wait for execution. They take nearly three
/// times as much of it. What is fetched ahead fits in (`p2p::sync`), so that none has to be read
/// back before it is executed.
pub(super) const BODIES_BYTES_MAX: usize = 32 << 20;
/// How many when none waits: the newest blocks, for peers that ask and for a reorganisation of one
/// or two. Others are read from the log.
pub(super) const SETTLED_BODIES_BYTES_MAX: usize = 4 << 20;

impl Chain {
    /// Drops a body as if others had taken its room.
    #[cfg(test)]
    pub(crate) fn forget_body(&mut self, id: &BlockId) {
        if let Some(block) = self.bodies.remove(id) {
            self.body_order.retain(|other| other != id);
            self.body_bytes -= block.bytes.len();
        }
    }

    pub(super) fn keep_body(&mut self, block: Arc<CheckedBlock>) {
        let (id, bytes) = (block.id, block.bytes.len());
        if self.bodies.insert(id, block).is_none() {
            self.body_order.push_back(id);
            self.body_bytes += bytes;
        }
        self.trim_bodies();
    }

    /// Drops the bodies that came first, except those that are nowhere else or needed next.
    pub(super) fn trim_bodies(&mut self) {
        let most = if self.is_settled() {
            SETTLED_BODIES_BYTES_MAX
        } else {
            BODIES_BYTES_MAX
        };
        if self.body_bytes <= most {
            return;
        }
        let pinned: BTreeSet<BlockId> = match &self.plan {
            Some((goal, ahead)) => {
                let next = ahead.iter().rev().take(RUN_BLOCKS_MAX).copied();
                let joining = self.joining(goal, ahead.last());
                next.chain(self.leaving(goal)).chain(joining).collect()
            }
            None => BTreeSet::new(),
        };
        let mut passes = self.body_order.len();
        while self.body_bytes > most && passes > 0 {
            passes -= 1;
            let Some(id) = self.body_order.pop_front() else {
                break;
            };
            if self.logged_at(&id).is_none() || pinned.contains(&id) {
                self.body_order.push_back(id);
            } else if let Some(block) = self.bodies.remove(&id) {
                self.body_bytes -= block.bytes.len();
                self.dropped.bodies.push(block);
            }
        }
    }
}
