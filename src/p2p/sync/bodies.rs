//! Which blocks are asked of whom.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::Time;
use crate::chain::Chain;
use crate::chain::tree::Verdict;
use crate::types::{BlockId, Height};
use crate::wire::message::{GET_BLOCKS_MAX, RequestId};
use crate::wire::{Lane, Message};

use super::window::{Branch, Slot};
use super::{Action, ConnId, Direction, Due, Sync, SyncPeer};

/// How many blocks may be under way from one peer: enough small ones that a line of 100 ms is in
/// use all the time.
pub(super) const IN_FLIGHT_MAX: usize = GET_BLOCKS_MAX;
/// How many bytes of blocks may be under way from one peer, unless it is one block: more than
/// that fill no line better, and come late when the peer turns out to be slow.
pub(super) const IN_FLIGHT_BYTES_MAX: u64 = 2 << 20;
/// How many answers of "not found" in a row a peer may give for blocks that it told of. An honest
/// one gives some when its disk is damaged.
const NOT_FOUND_MAX: u32 = 16;
/// How many blocks it is remembered of who sent them: as many as wait for their execution.
pub(super) const SENDERS_MAX: usize = 2 * super::window::WINDOW_BLOCKS;

/// How much the node takes in at once: what is asked for and has not come counts, and what came
/// and is being checked. What waits for execution is bounded by the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// In blocks.
    pub blocks: usize,
    /// In bytes.
    pub bytes: u64,
}

/// What a block that came is to the synchronisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It was asked for and is wanted: check it, and say [`Sync::refused`] if it fails.
    Wanted,
    /// It was asked for, and came from somebody else meanwhile.
    Spare,
    /// Nobody asked this peer for it.
    Unasked,
    /// It was asked for another one before this in the same lane, where answers come in the order
    /// of requests.
    LeftOut,
}

/// A block that a peer was asked for and has not sent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Ask {
    pub(super) request: u32,
    pub(super) lane: Lane,
    pub(super) id: BlockId,
    pub(super) bytes: u64,
    pub(super) at: Time,
    /// Whether others may be asked for it too, or sent it already.
    pub(super) lapsed: bool,
}

/// A block that somebody is being asked for, and that this node waits for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct UnderWay {
    pub(super) conn: ConnId,
    pub(super) height: u64,
    pub(super) bytes: u64,
    pub(super) at: Time,
}

/// A block that came and is being checked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct InCheck {
    height: u64,
    bytes: u64,
}

/// How much of the room some peers have.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    blocks: usize,
    bytes: u64,
}

impl Share {
    /// Whether a block more is within half of the room: one always is.
    const fn is_within_half(self, room: Room, bytes: u64) -> bool {
        let fits = self.blocks < room.blocks / 2 && self.bytes + bytes <= room.bytes / 2;
        fits || self.blocks == 0
    }

    const fn add(&mut self, bytes: u64) {
        self.blocks += 1;
        self.bytes += bytes;
    }
}

/// What is asked of whom in one go.
pub(super) type Asked = BTreeMap<(ConnId, Lane), Vec<BlockId>>;

/// Who sent which block lately.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Senders {
    by_block: BTreeMap<BlockId, (ConnId, u64)>,
    by_age: BTreeMap<u64, BlockId>,
    next: u64,
}

impl Senders {
    pub(super) fn len(&self) -> usize {
        self.by_block.len()
    }

    fn add(&mut self, id: BlockId, conn: ConnId) {
        self.take(&id);
        self.next += 1;
        self.by_block.insert(id, (conn, self.next));
        self.by_age.insert(self.next, id);
        if self.by_age.len() > SENDERS_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_block.remove(&oldest);
        }
    }

    pub(super) fn take(&mut self, id: &BlockId) -> Option<ConnId> {
        let (conn, age) = self.by_block.remove(id)?;
        self.by_age.remove(&age);
        Some(conn)
    }
}

impl Sync {
    /// Asks peers for missing blocks: of the branch with the most work first and of parked ones
    /// last, of each the lowest first, each of the best peer that has it and is idle: who holds up
    /// nobody, whom we dialled, who is fastest. `room` is how much may be under way and in check,
    /// of which inbound peers have half where a dialled one has the branch too. Costs next to
    /// nothing when nothing changed since the last call.
    pub fn schedule(&mut self, chain: &Chain, room: Room, now: Time, out: &mut Vec<Action>) {
        self.follow(chain);
        let candidate = chain.tree().get(&self.candidate);
        let height = candidate.map_or(0, |entry| entry.header.height.0);
        let waits = self.candidate != chain.tip();
        for branch in &mut self.branches {
            let executing = waits && branch.has(height, &self.candidate);
            self.restless |= branch.slide(chain, executing);
        }
        if self.restless || room != self.room {
            (self.restless, self.room) = (false, room);
            self.assign(chain, room, now, out);
        }
        self.watch_fronts(now);
    }

    /// Brings the branches up to date with what peers have and what is here.
    fn follow(&mut self, chain: &Chain) {
        let tree = chain.tree();
        let candidate = tree.best_candidate();
        let Some(here) = tree.get(&candidate).map(|entry| entry.work) else {
            return;
        };
        if candidate != self.candidate {
            // Where less is here than before, what was not worth fetching may be now.
            let before = tree.get(&self.candidate).map(|entry| entry.work);
            self.regroup |= before.is_none_or(|before| before > here);
            self.candidate = candidate;
            self.branches
                .retain(|branch| tree.get(&branch.goal()).is_some_and(|e| e.work > here));
        }
        if !std::mem::take(&mut self.regroup) {
            return;
        }
        self.restless = true;
        // What each peer has, the most work first. A branch that another one contains is not one
        // of its own.
        let mut heads: BTreeMap<BlockId, Vec<ConnId>> = BTreeMap::new();
        for (conn, peer) in &self.peers {
            if let Some(best) = peer.best {
                heads.entry(best).or_default().push(*conn);
            }
        }
        let mut ahead: Vec<_> = heads
            .keys()
            .filter_map(|id| Some((tree.get(id)?, *id)))
            .filter(|(entry, _)| entry.work > here && entry.verdict != Verdict::Invalid)
            .map(|(entry, id)| {
                // A parked branch is stored for whoever accepts it, after all that is executed.
                let open = entry.verdict == Verdict::Open;
                (open, entry.work, entry.header.height, id)
            })
            .collect();
        ahead.sort_by(|a, b| b.cmp(a));
        let mut goals: Vec<BlockId> = Vec::new();
        for (.., height, id) in ahead {
            let contained = |goal: &BlockId| tree.ancestor(goal, height) == Some(id);
            if !goals.iter().any(contained) {
                goals.push(id);
            }
        }
        let mut before = std::mem::take(&mut self.branches);
        for goal in goals {
            let same = before
                .iter()
                .position(|old| tree.fork(&old.goal(), &goal) == Some(old.goal()));
            let mut branch = match same {
                Some(place) => {
                    let mut branch = before.swap_remove(place);
                    branch.lengthen(goal, tree);
                    branch
                }
                None => self.new_branch(goal, chain),
            };
            let mut reach = BTreeMap::new();
            for (head, conns) in &heads {
                let fork = tree.fork(head, &goal).and_then(|id| tree.get(&id));
                let height = fork.map_or(0, |entry| entry.header.height.0);
                reach.extend(conns.iter().map(|conn| (*conn, height)));
            }
            branch.set_reach(reach);
            self.branches.push(branch);
        }
    }

    /// A branch whose blocks nobody is asked for yet, but for those that others contain.
    fn new_branch(&self, goal: BlockId, chain: &Chain) -> Branch {
        let mut branch = Branch::new(goal, chain.tree());
        branch.slide(chain, false);
        for (id, under_way) in &self.under_way {
            branch.asked(under_way.height, id);
        }
        // What is being checked came, though the tree does not know it yet.
        for (id, came) in &self.in_check {
            branch.came(came.height, id);
        }
        branch
    }

    /// Who may be asked for something, the best first.
    fn idle(&self) -> Vec<ConnId> {
        let idle = self.peers.iter().filter(|(_, peer)| peer.is_idle());
        let rank = |(conn, peer): (&ConnId, &SyncPeer)| {
            let slowness = u64::MAX - peer.rate.bytes_per_second();
            (peer.rank(), slowness, *conn)
        };
        let mut ranked: Vec<_> = idle.map(rank).collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(.., conn)| conn).collect()
    }

    /// What inbound peers are being asked for.
    fn asked_of_inbound(&self) -> Share {
        let mut share = Share::default();
        for under_way in self.under_way.values() {
            let peer = self.peers.get(&under_way.conn);
            if peer.is_some_and(|peer| peer.direction == Direction::Inbound) {
                share.add(under_way.bytes);
            }
        }
        share
    }

    /// Whether a peer that this node dialled, and that is not known to say nothing, has a block of
    /// a branch.
    fn has_dialled(&self, branch: &Branch, height: u64) -> bool {
        let mut peers = self.peers.iter();
        peers.any(|(conn, peer)| {
            let is_dialled = peer.direction == Direction::Outbound && peer.stalled.is_none();
            is_dialled && branch.reaches(*conn, height)
        })
    }

    fn assign(&mut self, chain: &Chain, room: Room, now: Time, out: &mut Vec<Action>) {
        let mut asked = Asked::new();
        let idle = self.idle();
        let mut inbound = self.asked_of_inbound();
        for place in 0..self.branches.len() {
            let (mut from, lane) = (0, self.branches[place].lane());
            while let Some(height) = self.branches[place].next_wanted(from) {
                from = height + 1;
                let Some(slot) = self.branches[place].slot(height) else {
                    break;
                };
                if self.under_way.contains_key(&slot.id) {
                    // Another branch has it too.
                    self.branches[place].asked(height, &slot.id);
                    continue;
                }
                if !chain.wants_body(&slot.id) {
                    self.branches[place].came(height, &slot.id);
                    continue;
                }
                if !self.fits(room, slot.bytes) {
                    break;
                }
                let branch = &self.branches[place];
                let spares_inbound =
                    inbound.is_within_half(room, slot.bytes) || !self.has_dialled(branch, height);
                let able: Vec<_> = idle
                    .iter()
                    .filter(|conn| branch.reaches(**conn, height))
                    .filter_map(|conn| Some((*conn, self.peers.get(conn)?)))
                    .filter(|(_, peer)| peer.takes(slot.bytes))
                    .filter(|(_, peer)| spares_inbound || peer.direction == Direction::Outbound)
                    .collect();
                if able.is_empty() {
                    // Fewer peers have what is higher up.
                    break;
                }
                let asked_before = |peer: &SyncPeer| peer.asks.iter().any(|ask| ask.id == slot.id);
                let best = able.into_iter().find(|(_, peer)| !asked_before(peer));
                let Some((conn, peer)) = best else {
                    continue;
                };
                if peer.direction == Direction::Inbound {
                    inbound.add(slot.bytes);
                }
                self.ask(conn, lane, slot, height, now);
                asked.entry((conn, lane)).or_default().push(slot.id);
            }
        }
        self.ask_again(chain, (room, &idle), now, &mut asked);
        for ((conn, lane), ids) in asked {
            let request = self.next_request();
            if let Some(peer) = self.peers.get_mut(&conn) {
                for ask in &mut peer.asks {
                    if ask.request == 0 && ask.lane == lane {
                        ask.request = request;
                    }
                }
            }
            let request = RequestId(request);
            let message = Message::GetBlocks { request, ids };
            out.push(Action::Send(conn, lane, message));
        }
    }

    /// Whether a block of so many bytes may be asked for, besides what is under way and in check:
    /// one always may.
    pub(super) fn fits(&self, room: Room, bytes: u64) -> bool {
        let blocks = self.under_way.len() + self.in_check.len();
        let taken = self.under_way_bytes + self.in_check_bytes;
        let fits = blocks < room.blocks && taken + bytes <= room.bytes;
        fits || (blocks == 0 && room.blocks > 0 && room.bytes > 0)
    }

    /// Notes that a peer is asked for a block; the number of the request follows.
    pub(super) fn ask(&mut self, conn: ConnId, lane: Lane, slot: Slot, height: u64, now: Time) {
        let (at, Slot { id, bytes }) = (now, slot);
        if let Some(peer) = self.peers.get_mut(&conn) {
            if peer.asks.is_empty() {
                peer.rate.begin(now);
                peer.heard = now;
            }
            peer.asks.push(Ask {
                request: 0,
                lane,
                id,
                bytes,
                at,
                lapsed: false,
            });
            peer.asked_bytes += bytes;
        }
        let under_way = UnderWay {
            conn,
            height,
            bytes,
            at,
        };
        self.under_way.insert(id, under_way);
        self.under_way_bytes += bytes;
        for branch in &mut self.branches {
            branch.asked(height, &id);
        }
        self.watch_peer(conn);
    }

    /// A block came: is it an answer, and is it of use?
    pub fn block_came(
        &mut self,
        conn: ConnId,
        request: u32,
        (id, bytes): (&BlockId, usize),
        chain: &Chain,
        now: Time,
    ) -> Arrival {
        let bytes = bytes as u64;
        let asks = self.peers.get(&conn).map(|peer| &peer.asks[..]);
        let asks = asks.unwrap_or_default();
        let is_it = |ask: &Ask| ask.id == *id && ask.request == request;
        let Some(place) = asks.iter().position(is_it) else {
            return Arrival::Unasked;
        };
        let (before, lane) = (&asks[..place], asks[place].lane);
        if before.iter().any(|ask| ask.lane == lane) {
            return Arrival::LeftOut;
        }
        let Some(ask) = self.take_ask(conn, is_it) else {
            return Arrival::Unasked;
        };
        self.last_heard = now;
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.rate.received(bytes, now);
            (peer.heard, peer.stalled, peer.not_found) = (now, None, 0);
            if !ask.lapsed {
                peer.late = peer.late.saturating_sub(1);
            }
        }
        self.due.clear(&Due::Stalled(conn));
        self.watch_peer(conn);
        self.received_bytes = self.received_bytes.saturating_add(bytes);
        if ask.lapsed {
            self.spare_bytes = self.spare_bytes.saturating_sub(ask.bytes);
        }
        let height = chain.tree().height(id);
        let is_wanted = chain.wants_body(id) || chain.wants_again(id);
        let Some(height) = height.filter(|_| is_wanted && !self.in_check.contains_key(id)) else {
            // Nobody spends the budget by sending more than was asked for.
            self.spare_bytes = self.spare_bytes.saturating_add(bytes.min(ask.bytes));
            return Arrival::Spare;
        };
        if let Some(other) = self.end_under_way(id)
            && other.conn != conn
        {
            self.lapse(other.conn, id);
        }
        for branch in &mut self.branches {
            branch.came(height.0, id);
        }
        let height = height.0;
        self.in_check.insert(*id, InCheck { height, bytes });
        self.in_check_bytes += bytes;
        self.senders.add(*id, conn);
        self.be_less_patient();
        Arrival::Wanted
    }

    /// A block that came and passed its checks, or is not needed any more.
    pub fn taken(&mut self, id: &BlockId) {
        self.end_check(id);
        self.forget_lacks(id);
    }

    fn end_check(&mut self, id: &BlockId) -> Option<InCheck> {
        let came = self.in_check.remove(id)?;
        self.in_check_bytes -= came.bytes;
        self.restless = true;
        Some(came)
    }

    /// A block that came is not the block of its id: it is wanted again, from somebody else.
    pub fn refused(&mut self, id: &BlockId) {
        self.senders.take(id);
        if let Some(came) = self.end_check(id) {
            self.want(id, came.height);
        }
    }

    /// A block is invalid: whoever sent it is at fault, and nobody is asked for what follows it.
    pub fn invalid(&mut self, id: &BlockId, chain: &Chain, out: &mut Vec<Action>) {
        self.end_check(id);
        if let Some(conn) = self.senders.take(id)
            && self.peers.contains_key(&conn)
        {
            let rule = format!("it sent block {id}, which is invalid");
            out.push(Action::Fault(conn, rule));
        }
        for peer in self.peers.values_mut() {
            peer.best = peer.best.and_then(|best| last_valid(chain, best));
        }
        self.changed();
    }

    /// A peer does not have these after all: others are asked.
    pub fn not_found(
        &mut self,
        conn: ConnId,
        ids: &[BlockId],
        chain: &Chain,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        for id in ids {
            let Some(ask) = self.take_ask(conn, |ask| ask.id == *id) else {
                continue;
            };
            if ask.lapsed {
                self.spare_bytes = self.spare_bytes.saturating_sub(ask.bytes);
            } else {
                self.release(id);
            }
            if chain.wants_again(id) {
                self.lacks(conn, id, now);
                continue;
            }
            let Some(peer) = self.peers.get_mut(&conn) else {
                return;
            };
            // It has nothing above either, then.
            if let (Some(entry), Some(best)) = (chain.tree().get(id), peer.best)
                && chain.tree().ancestor(&best, entry.header.height) == Some(*id)
            {
                peer.best = Some(entry.header.parent_id);
                self.regroup = true;
            }
            peer.not_found += 1;
            if peer.not_found > NOT_FOUND_MAX {
                out.push(Action::Unresponsive(conn, "blocks that it told of"));
                return;
            }
        }
        // That was an answer: the time for the next begins, if one is due.
        self.watch_peer(conn);
    }

    /// The tree changed by other means than what is told here: look at everything again.
    pub fn changed(&mut self) {
        self.branches.clear();
        self.regroup = true;
    }

    /// Gives up on everything that a peer was asked for, because it left.
    pub(super) fn release_all(&mut self, asks: &[Ask]) {
        for ask in asks {
            if ask.lapsed {
                self.spare_bytes = self.spare_bytes.saturating_sub(ask.bytes);
            } else {
                self.release(&ask.id);
            }
        }
    }

    /// Marks what a peer was asked for as of no more than doubtful use: it may come, and others
    /// may be asked too.
    pub(super) fn lapse(&mut self, conn: ConnId, id: &BlockId) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        for ask in peer
            .asks
            .iter_mut()
            .filter(|ask| ask.id == *id && !ask.lapsed)
        {
            ask.lapsed = true;
            self.spare_bytes = self.spare_bytes.saturating_add(ask.bytes);
        }
    }

    /// Nobody is being asked for a block any more: it is wanted.
    pub(super) fn release(&mut self, id: &BlockId) {
        if let Some(under_way) = self.end_under_way(id) {
            self.want(id, under_way.height);
        }
    }

    fn want(&mut self, id: &BlockId, height: u64) {
        for branch in &mut self.branches {
            branch.want(height, id);
        }
        self.restless = true;
    }

    fn end_under_way(&mut self, id: &BlockId) -> Option<UnderWay> {
        let under_way = self.under_way.remove(id)?;
        self.under_way_bytes -= under_way.bytes;
        Some(under_way)
    }

    fn take_ask(&mut self, conn: ConnId, is_it: impl FnMut(&Ask) -> bool) -> Option<Ask> {
        let peer = self.peers.get_mut(&conn)?;
        let place = peer.asks.iter().position(is_it)?;
        let ask = peer.asks.remove(place);
        peer.asked_bytes -= ask.bytes;
        self.restless = true;
        Some(ask)
    }
}

/// The highest block at or below `id` that nothing speaks against.
fn last_valid(chain: &Chain, id: BlockId) -> Option<BlockId> {
    let tree = chain.tree();
    let invalid = |id: &BlockId| {
        tree.get(id)
            .is_none_or(|entry| entry.verdict == Verdict::Invalid)
    };
    if !invalid(&id) {
        return Some(id);
    }
    let (mut valid, mut bad) = (0, tree.get(&id)?.header.height.0);
    while valid + 1 < bad {
        let middle = valid + (bad - valid) / 2;
        if tree
            .ancestor(&id, Height(middle))
            .is_none_or(|id| invalid(&id))
        {
            bad = middle;
        } else {
            valid = middle;
        }
    }
    tree.ancestor(&id, Height(valid))
}
