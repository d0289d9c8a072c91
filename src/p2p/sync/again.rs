//! Blocks that were here and whose records are damaged: they are asked for again, one by one.
//!
//! They belong to no branch that is fetched, because their branch is here, and nothing waits for
//! them. A peer that lacks one may have a damaged disk as well: it has the rest of its chain all
//! the same, and is asked again later.

use crate::base::{Span, Time};
use crate::chain::Chain;
use crate::types::{BlockId, Height};
use crate::wire::Lane;

use super::bodies::Asked;
use super::window::{Slot, size_at_most};
use super::{ConnId, Due, Room, Sync};

/// After this a peer is asked again for a block that it lacked: it may have got it from others.
const LACKED_SPAN: Span = Span::from_secs(600);

impl Sync {
    /// Asks for the blocks that are wanted again, each the first peer of `idle` that has its
    /// chain and did not say that it lacks it.
    pub(super) fn ask_again(
        &mut self,
        chain: &Chain,
        (room, idle): (Room, &[ConnId]),
        now: Time,
        asked: &mut Asked,
    ) {
        for id in chain.wanted_again() {
            let Some(height) = chain.tree().height(id) else {
                continue;
            };
            if self.under_way.contains_key(id) || self.in_check.contains_key(id) {
                continue;
            }
            let child = chain.at(height.next()).and_then(|id| chain.tree().get(&id));
            let own = || chain.tree().get(id);
            let Some(near) = child
                .or_else(own)
                .filter(|_| chain.can_take_again(id, height))
            else {
                // Its neighbours are damaged as well, and come first.
                continue;
            };
            let weight = near.header.parent_weight;
            let slot = Slot {
                id: *id,
                bytes: size_at_most(weight),
            };
            if !self.fits(room, slot.bytes) {
                return;
            }
            let able = |conn: &ConnId| self.has_again(*conn, slot, height, chain, now);
            let Some(conn) = idle.iter().copied().find(able) else {
                continue;
            };
            self.ask(conn, Lane::History, slot, height.0, now);
            asked.entry((conn, Lane::History)).or_default().push(*id);
        }
    }

    /// Whether a peer may be asked for a block that is wanted again.
    fn has_again(
        &self,
        conn: ConnId,
        slot: Slot,
        height: Height,
        chain: &Chain,
        now: Time,
    ) -> bool {
        let Some(peer) = self.peers.get(&conn) else {
            return false;
        };
        let lacked = peer.lacks.get(&slot.id);
        let best = peer.best.as_ref();
        peer.takes(slot.bytes)
            && peer.asks.iter().all(|ask| ask.id != slot.id)
            && lacked.is_none_or(|at| now.since(*at) >= LACKED_SPAN)
            && best.and_then(|best| chain.tree().ancestor(best, height)) == Some(slot.id)
    }

    /// A peer lacks a block that is wanted again.
    pub(super) fn lacks(&mut self, conn: ConnId, id: &BlockId, now: Time) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.lacks.insert(*id, now);
            self.due.set_earlier(Due::Again, now + LACKED_SPAN);
        }
    }

    /// A block is here again.
    pub(super) fn forget_lacks(&mut self, id: &BlockId) {
        for peer in self.peers.values_mut() {
            peer.lacks.remove(id);
        }
    }

    /// Some that lacked a block are asked again.
    pub(super) fn again_due(&mut self, now: Time) {
        self.restless = true;
        let lacks = self.peers.values().flat_map(|peer| peer.lacks.values());
        let next = lacks.map(|at| *at + LACKED_SPAN).filter(|at| *at > now);
        if let Some(at) = next.min() {
            self.due.set_earlier(Due::Again, at);
        }
    }
}
