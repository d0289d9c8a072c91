//! The journal: which transactions somebody outside was promised to be kept, where the journal
//! holds them, and which of its segments still matter.
//!
//! *Invariants*: a transaction that was promised is held by a durable record from before the
//! answer until it is buried in the chain or has left for good; what its account has before it is
//! held with it, since it is worth nothing without. A segment is forgotten only when nothing in it
//! is held there: what waits long moves to the end first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::chain::CheckedTransaction;
use crate::chain::mempool::Leaving;
use crate::p2p::Bounded;
use crate::store::Lsn;
use crate::types::{Height, Transaction, TxId, WtxId};

use super::JournalFound;

/// How deep a block must be before the journal forgets what it has of it, and how long a
/// transaction that can't be mined for now is kept aside. Until then a reorganisation may bring
/// any of it back.
pub(super) const KEPT_DEPTH: u64 = 100;
/// How many mined transactions are kept in mind at most; the deepest go first.
const KEPT_MAX: usize = 200_000;
/// How many bytes of mined transactions are kept in memory, so that a reorganisation brings them
/// back even where the block that had them can't be read: of the deepest none.
const COPIES_BYTES_MAX: u64 = 16 << 20;
/// How many transactions are kept aside at most.
const ASIDE_MAX: usize = 10_000;
/// Of how many transactions that left it is remembered why.
const DEPARTED_MAX: usize = 10_000;
/// How many bytes of records move at once.
const MOVE_BYTES_MAX: u64 = 256 << 10;
/// A record takes so many bytes more than its transaction: its header, a time, and padding.
const RECORD_EXTRA: u64 = 48 + 8 + 7;

/// Where a transaction is that was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Place {
    /// In the mempool.
    Waiting,
    /// In the block at this height of the best chain.
    Mined(Height),
    /// In neither since the tip had this height: it can't be mined for now.
    Aside(Height, Leaving),
    /// It left for good; the record of that waits for the tip's.
    Leaving,
}

/// A transaction that was promised.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Held {
    wtxid: WtxId,
    /// Where its newest stored record stands.
    at: Option<Lsn>,
    bytes: u32,
    place: Place,
}

/// What the journal holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Journal {
    /// How long its segments are; 0 where nothing is known of them, and nothing forgotten.
    segment: u64,
    /// The first segment that is kept, as far as was asked for.
    first: u64,
    /// The newest record that is stored.
    end: Lsn,
    held: BTreeMap<TxId, Held>,
    /// Where the records stand that still count.
    records: BTreeSet<(Lsn, TxId)>,
    /// Their bytes together.
    live: u64,
    /// What is mined or aside, by the height since when.
    since: BTreeMap<Height, BTreeSet<TxId>>,
    mined: usize,
    /// What was found at the start and is not in the mempool yet, each account's in order.
    found: VecDeque<(Lsn, Transaction)>,
    /// Whether records are on their way to the end.
    moving: bool,
    #[serde(skip)]
    aside: BTreeMap<TxId, Arc<CheckedTransaction>>,
    /// What is mined, by the height of its block.
    #[serde(skip)]
    copies: BTreeMap<(Height, TxId), Arc<CheckedTransaction>>,
    copies_bytes: u64,
    departed: BTreeMap<TxId, Leaving>,
    departures: VecDeque<TxId>,
}

/// What a journal says of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// It is kept, but can't be mined for now.
    Aside(Leaving),
    /// It left for good.
    Gone(Leaving),
}

impl Journal {
    /// The journal as it was found at a start.
    pub(super) fn found(found: JournalFound) -> Self {
        Self {
            segment: found.segment_size,
            first: found.first_segment,
            end: found.end,
            found: found.accepted.into(),
            ..Self::default()
        }
    }

    /// Takes the next transactions that were found at the start.
    pub(super) fn take_found(&mut self, count: usize) -> Vec<(Lsn, Transaction)> {
        let count = count.min(self.found.len());
        self.found.drain(..count).collect()
    }

    /// A transaction is to be held; its record is on its way.
    pub(super) fn hold(&mut self, checked: &CheckedTransaction) {
        let txid = checked.txid;
        self.departed.remove(&txid);
        self.move_to(&txid, Place::Waiting);
        let held = self.held.entry(txid).or_insert(Held {
            wtxid: checked.wtxid,
            at: None,
            bytes: checked.bytes,
            place: Place::Waiting,
        });
        if held.wtxid != checked.wtxid {
            // The bytes that wait are others than those that were promised, with other
            // signatures: from now on these count.
            held.wtxid = checked.wtxid;
            let at = held.at.take();
            self.drop_record(at, &txid);
        }
    }

    fn drop_record(&mut self, at: Option<Lsn>, txid: &TxId) {
        let bytes = self.held.get(txid).map_or(0, |held| held.bytes);
        if at.is_some_and(|at| self.records.remove(&(at, *txid))) {
            self.live -= u64::from(bytes) + RECORD_EXTRA;
        }
    }

    /// A record of the journal is stored.
    pub(super) fn stored(&mut self, at: Lsn) {
        self.end = self.end.max(at);
    }

    /// The record of a transaction is stored.
    pub(super) fn stored_accepted(&mut self, txid: &TxId, wtxid: &WtxId, at: Lsn) {
        self.stored(at);
        let Some(held) = self.held.get_mut(txid).filter(|held| held.wtxid == *wtxid) else {
            return;
        };
        let old = held.at.replace(at);
        self.drop_record(old, txid);
        let bytes = self.held.get(txid).map_or(0, |held| held.bytes);
        if self.records.insert((at, *txid)) {
            self.live += u64::from(bytes) + RECORD_EXTRA;
        }
    }

    /// Whether any transaction is held.
    pub(super) fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether a transaction is held, be its record stored or on its way.
    pub(super) fn holds(&self, txid: &TxId) -> bool {
        self.held.contains_key(txid)
    }

    /// Whether a transaction that is held left for good, and that is not written yet.
    pub(super) fn is_leaving(&self, txid: &TxId) -> bool {
        let held = self.held.get(txid);
        held.is_some_and(|held| held.place == Place::Leaving)
    }

    /// Whether a stored record holds a transaction.
    pub(super) fn has_stored(&self, txid: &TxId) -> bool {
        self.held.get(txid).is_some_and(|held| held.at.is_some())
    }

    /// A transaction that is held is in the mempool.
    pub(super) fn waits(&mut self, txid: &TxId) {
        self.move_to(txid, Place::Waiting);
    }

    /// A block of the best chain has a transaction.
    pub(super) fn mined(&mut self, checked: &Arc<CheckedTransaction>, height: Height) {
        let txid = checked.txid;
        if !self.holds(&txid) {
            return;
        }
        self.move_to(&txid, Place::Mined(height));
        self.copies_bytes += u64::from(checked.bytes);
        self.copies.insert((height, txid), Arc::clone(checked));
        while self.copies_bytes > COPIES_BYTES_MAX {
            let Some((_, deepest)) = self.copies.pop_first() else {
                break;
            };
            self.copies_bytes -= u64::from(deepest.bytes);
        }
    }

    /// What blocks above a height had, the lowest first.
    pub(super) fn mined_above(&self, height: Height) -> Vec<Arc<CheckedTransaction>> {
        let above = (height.next(), TxId([0; 32]))..;
        let mined = self.copies.range(above);
        mined.map(|(_, checked)| Arc::clone(checked)).collect()
    }

    /// A transaction that is held left the mempool, and is kept until it can be mined again.
    pub(super) fn set_aside(
        &mut self,
        checked: &Arc<CheckedTransaction>,
        why: Leaving,
        height: Height,
    ) {
        let txid = checked.txid;
        let since = match self.held.get(&txid).map(|held| held.place) {
            Some(Place::Aside(since, _)) => since,
            Some(_) => height,
            None => return,
        };
        if self.aside.len() >= ASIDE_MAX && !self.aside.contains_key(&txid) {
            self.leaves(&txid, why);
            return;
        }
        self.move_to(&txid, Place::Aside(since, why));
        self.aside.insert(txid, Arc::clone(checked));
    }

    /// A transaction that is held left for good.
    pub(super) fn leaves(&mut self, txid: &TxId, why: Leaving) {
        if self.holds(txid) {
            self.move_to(txid, Place::Leaving);
            self.note_departure(*txid, why);
        }
    }

    fn move_to(&mut self, txid: &TxId, place: Place) {
        let Some(held) = self.held.get_mut(txid) else {
            return;
        };
        let old = std::mem::replace(&mut held.place, place);
        for (place, enters) in [(old, false), (place, true)] {
            let height = match place {
                Place::Mined(height) => {
                    if enters {
                        self.mined += 1;
                    } else {
                        self.mined -= 1;
                        let copy = self.copies.remove(&(height, *txid));
                        self.copies_bytes -= copy.map_or(0, |copy| u64::from(copy.bytes));
                    }
                    height
                }
                Place::Aside(height, _) => height,
                Place::Waiting | Place::Leaving => continue,
            };
            let at_height = self.since.entry(height).or_default();
            if enters {
                at_height.insert(*txid);
            } else {
                at_height.remove(txid);
            }
            if at_height.is_empty() {
                self.since.remove(&height);
            }
        }
        if !matches!(place, Place::Aside(..)) {
            self.aside.remove(txid);
        }
    }

    /// Forgets a transaction that left, unless it came back meanwhile; gives what the record of
    /// its leaving names.
    pub(super) fn release_left(&mut self, txid: &TxId) -> Option<WtxId> {
        match self.held.get(txid)?.place {
            Place::Leaving => self.release(txid),
            _ => None,
        }
    }

    /// Forgets a transaction; gives what the record of its leaving names.
    pub(super) fn release(&mut self, txid: &TxId) -> Option<WtxId> {
        self.move_to(txid, Place::Leaving);
        let at = self.held.get(txid)?.at;
        self.drop_record(at, txid);
        self.held.remove(txid).map(|held| held.wtxid)
    }

    /// The tip that is durable has this height: what is deep enough below it is forgotten. Gives
    /// what was aside for so long that it is given up.
    pub(super) fn bury(&mut self, tip: Height) -> Vec<TxId> {
        let mut given_up = Vec::new();
        while let Some((height, txids)) = self.since.first_key_value() {
            let deep = height.0.saturating_add(KEPT_DEPTH) <= tip.0;
            if !deep && self.mined <= KEPT_MAX {
                break;
            }
            let aside = |held: &Held| match held.place {
                Place::Aside(_, why) => Some(why),
                _ => None,
            };
            let mut kept = 0;
            for txid in txids.clone() {
                match self.held.get(&txid).and_then(aside) {
                    Some(why) if deep => {
                        self.leaves(&txid, why);
                        given_up.push(txid);
                    }
                    Some(_) => kept += 1,
                    None => {
                        self.release(&txid);
                    }
                }
            }
            if kept > 0 {
                // Too many are mined, and here is nothing more to forget.
                break;
            }
        }
        given_up
    }

    /// What is kept aside.
    pub(super) fn aside(&self) -> Vec<Arc<CheckedTransaction>> {
        self.aside.values().map(Arc::clone).collect()
    }

    /// Every transaction that is in memory here, as a snapshot holds it.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Arc<CheckedTransaction>> {
        self.aside.values().chain(self.copies.values())
    }

    /// Puts back what a snapshot has of it.
    pub(super) fn restore_kept(&mut self, checked: Arc<CheckedTransaction>) {
        match self.held.get(&checked.txid).map(|held| held.place) {
            Some(Place::Mined(height)) => {
                self.copies.insert((height, checked.txid), checked);
            }
            _ => {
                self.aside.insert(checked.txid, checked);
            }
        }
    }

    fn note_departure(&mut self, txid: TxId, why: Leaving) {
        if self.departed.insert(txid, why).is_none() {
            self.departures.push_back(txid);
        }
        while self.departures.len() > DEPARTED_MAX {
            let oldest = self.departures.pop_front();
            oldest.and_then(|oldest| self.departed.remove(&oldest));
        }
    }

    /// What is known of a transaction that is neither in the mempool nor in a block.
    pub(super) fn whereabouts(&self, txid: &TxId) -> Option<Whereabouts> {
        match self.held.get(txid).map(|held| held.place) {
            Some(Place::Aside(_, why)) => Some(Whereabouts::Aside(why)),
            // A block took it, and the blocks that are remembered begin above.
            Some(Place::Mined(_)) => Some(Whereabouts::Gone(Leaving::NonceUsed)),
            Some(Place::Waiting | Place::Leaving) | None => {
                self.departed.get(txid).copied().map(Whereabouts::Gone)
            }
        }
    }

    /// The first segment to keep, when there are others before it that nobody asked to forget.
    pub(super) fn forgettable(&mut self) -> Option<u64> {
        let oldest = self.records.first().map_or(self.end, |(at, _)| *at);
        let first = oldest.get().checked_div(self.segment)?;
        if first <= self.first || !self.found.is_empty() {
            return None;
        }
        self.first = first;
        Some(first)
    }

    /// Transactions whose records stand in the oldest segment and should move to the end, because
    /// more than half of what is kept counts no longer. Only what waits moves: the rest is
    /// forgotten by itself.
    pub(super) fn begin_move(&mut self) -> Vec<TxId> {
        let kept = self.end.get().saturating_sub(self.first * self.segment);
        if self.segment == 0 || self.moving || kept <= 2 * self.live + 3 * self.segment {
            return Vec::new();
        }
        let end = Lsn::new((self.first + 1) * self.segment);
        let (mut moves, mut bytes) = (Vec::new(), 0);
        for (_, txid) in self.records.iter().take_while(|(at, _)| *at < end) {
            let Some(held) = self.held.get(txid) else {
                continue;
            };
            if matches!(held.place, Place::Waiting | Place::Aside(..)) {
                bytes += u64::from(held.bytes) + RECORD_EXTRA;
                if bytes > MOVE_BYTES_MAX && !moves.is_empty() {
                    break;
                }
                moves.push(*txid);
            }
        }
        self.moving = !moves.is_empty();
        moves
    }

    /// The records that moved are stored.
    pub(super) fn moved(&mut self) {
        self.moving = false;
    }

    /// A transaction that is kept aside.
    pub(super) fn get_aside(&self, txid: &TxId) -> Option<&Arc<CheckedTransaction>> {
        self.aside.get(txid)
    }

    /// What it keeps besides what waits in the mempool. More are mined than it keeps in mind only
    /// until the tip is durable, by the transactions of the blocks that came since.
    pub(super) fn sizes(&self) -> [Bounded; 3] {
        let copies = usize::try_from(self.copies_bytes).unwrap_or(usize::MAX);
        [
            (
                "bytes of mined transactions that were promised",
                copies,
                COPIES_BYTES_MAX as usize,
            ),
            (
                "promised transactions that are kept aside",
                self.aside.len(),
                ASIDE_MAX,
            ),
            (
                "departures of promised transactions",
                self.departed.len().max(self.departures.len()),
                DEPARTED_MAX,
            ),
        ]
        .map(|(what, held, limit)| Bounded { what, held, limit })
    }

    /// How many transactions are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}
