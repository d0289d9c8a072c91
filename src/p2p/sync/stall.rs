//! Peers that are slow, and peers that say nothing.
//!
//! A slow peer is no bad peer. What it was asked for stays asked for, and is taken whenever it
//! comes; but it holds nobody up: what others wait for is asked of others too, within a budget.
//! Only a peer that says nothing at all while others do is given up, and nobody is to blame.

use crate::base::{Span, Time};
use crate::chain::Chain;
use crate::types::{BlockId, Rules};

use super::{Action, ConnId, Due, Sync};

/// How long the block that holds up all others may be under way before another peer is asked too.
pub(super) const STALL: Span = Span::from_secs(2);
/// How long a peer that stalls may then say nothing before it is given up: at first, and at most.
/// The time doubles with each that is given up, because it may be this node's line that is slow,
/// and shrinks by [`PATIENCE_DECAY`] with every block that comes.
const PATIENCE_LEAST: Span = STALL;
const PATIENCE_MOST: Span = Span::from_secs(64);
const PATIENCE_DECAY: (u64, u64) = (17, 20);
/// How often a window that can't move is looked at again.
const RETRY: Span = Span::from_millis(500);
/// How long a peer that was asked for blocks may say nothing, whatever others do: an interval of
/// blocks, and half of one more for every other peer that sends blocks at the same time, within
/// these bounds.
const SILENCE_LEAST: Span = Span::from_secs(10);
const SILENCE_MOST: Span = Span::from_secs(600);
/// A peer may be as slow as this, in bytes per second, and is not late: a largest block takes two
/// minutes.
const SLOWEST: u64 = 32 << 10;
/// Bytes that may be asked for twice: two of the largest blocks, and a tenth of all that came. What
/// holds up others is not bound by it.
const SPARE_BYTES: u64 = 8 << 20;
const SPARE_SHARE: u64 = 10;
/// Beyond the budget a block that holds up others is asked of one more peer when all copies of it
/// that are under way could have come at this rate, in bytes per second: a line that is full of
/// copies of a large block is not filled with more of them.
const COPIES_RATE: u64 = 256 << 10;

impl Sync {
    /// Sets the timer for the blocks that hold up others.
    pub(super) fn watch_fronts(&mut self, now: Time) {
        let fronts = self.branches.iter().filter_map(|branch| {
            let under_way = self.under_way.get(&branch.front()?.id)?;
            let due = under_way.at + STALL;
            Some(if due <= now { now + RETRY } else { due })
        });
        match fronts.min() {
            // A timer that is due is not put off by whatever happens before it fires.
            Some(at) => self.due.set_earlier(Due::Front, at),
            None => {
                self.due.clear(&Due::Front);
            }
        }
    }

    /// Blocks that hold up others were looked at long enough: others are asked for them.
    pub(super) fn fronts_late(&mut self, now: Time) {
        let late: Vec<_> = self
            .branches
            .iter()
            .filter_map(|branch| {
                let front = branch.front()?;
                let under_way = self.under_way.get(&front.id)?;
                let late = now.since(under_way.at) >= STALL;
                late.then_some((under_way.conn, front.id))
            })
            .collect();
        for (conn, front) in late {
            self.lapse_front(conn, &front, now);
            let Some(peer) = self.peers.get_mut(&conn) else {
                continue;
            };
            let silent = now.since(peer.heard) >= STALL;
            if !silent {
                // It is slow, or its line is: it goes on with the rest.
                continue;
            }
            if peer.stalled.is_none() {
                peer.stalled = Some(now);
                let span = self.patience + transfer(peer.asked_bytes, SLOWEST);
                self.due.set(Due::Stalled(conn), now + span);
            }
            let asks: Vec<_> = peer.asks.iter().map(|ask| ask.id).collect();
            for id in asks {
                self.lapse_within_budget(conn, &id);
            }
        }
    }

    /// Lets others be asked for a block that holds up others. Whoever has spent the budget delays
    /// that for a large block and prevents it for none.
    fn lapse_front(&mut self, conn: ConnId, id: &BlockId, now: Time) {
        let Some(under_way) = self.under_way.get(id).copied() else {
            return;
        };
        let asks = self.peers.values().flat_map(|peer| &peer.asks);
        let copies = asks.filter(|ask| ask.id == *id).count() as u64;
        let span = transfer(copies.saturating_mul(under_way.bytes), COPIES_RATE);
        if !self.has_budget(under_way.bytes) && now.since(under_way.at) < span {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.was_late();
        }
        self.lapse(conn, id);
        self.release(id);
    }

    /// Whether so many bytes more may be asked for twice.
    fn has_budget(&self, bytes: u64) -> bool {
        let budget = SPARE_BYTES.saturating_add(self.received_bytes / SPARE_SHARE);
        self.spare_bytes.saturating_add(bytes) <= budget
    }

    /// Lets others be asked for what this peer is being asked for, if the budget allows.
    fn lapse_within_budget(&mut self, conn: ConnId, id: &BlockId) {
        let Some(under_way) = self.under_way.get(id).filter(|u| u.conn == conn) else {
            return;
        };
        if self.has_budget(under_way.bytes) {
            self.lapse(conn, id);
            self.release(id);
        }
    }

    /// A peer has stalled for as long as patience goes. If others sent blocks meanwhile, the line
    /// is not at fault: it is given up.
    pub(super) fn stalled_late(&mut self, conn: ConnId, now: Time, out: &mut Vec<Action>) {
        let since = self.peers.get(&conn).and_then(|peer| peer.stalled);
        let Some(since) = since else { return };
        if self.last_heard > since {
            self.patience = self.patience.times(2).min(PATIENCE_MOST);
            out.push(Action::Unresponsive(conn, "blocks"));
        } else {
            self.due.set(Due::Stalled(conn), now + self.patience);
        }
    }

    /// A block came.
    pub(super) fn be_less_patient(&mut self) {
        let (part, whole) = PATIENCE_DECAY;
        let less = Span::from_micros(self.patience.as_micros() / whole * part);
        self.patience = less.max(PATIENCE_LEAST);
    }

    /// Sets the time by which a peer that is asked for blocks must have sent one.
    pub(super) fn watch_peer(&mut self, conn: ConnId) {
        let busy = self.peers.values().filter(|peer| !peer.asks.is_empty());
        let others = (busy.count() as u64).saturating_sub(1);
        let due = self.peers.get(&conn).and_then(|peer| {
            let next = peer.asks.first()?;
            let span = self.interval + Span::from_micros(self.interval.as_micros() / 2 * others);
            let span = span.max(SILENCE_LEAST).min(SILENCE_MOST);
            Some(peer.heard.max(next.at) + span + transfer(next.bytes, SLOWEST))
        });
        match due {
            Some(at) => self.due.set(Due::Blocks(conn), at),
            None => {
                self.due.clear(&Due::Blocks(conn));
            }
        }
    }

    /// The longest time between two blocks, for a peer that says nothing.
    pub(super) fn learn_interval(&mut self, chain: &Chain) {
        let rules = Rules::at(chain.genesis(), chain.tip_entry().header.height);
        self.interval = Span::from_millis(u64::from(rules.interval_ms));
    }

    pub(super) const fn patience_at_first() -> Span {
        PATIENCE_LEAST
    }
}

/// How long a transfer takes at a rate in bytes per second.
const fn transfer(bytes: u64, rate: u64) -> Span {
    Span::from_micros(bytes.saturating_mul(1_000_000) / rate)
}
