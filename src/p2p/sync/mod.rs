//! Headers first, then bodies from several peers at once.
//!
//! *Owns* what is known of each peer's chain, every request for headers and blocks that is under
//! way, and the timers of both. *Invariants*: a peer is asked for nothing that it did not tell of;
//! no header is kept whose parent is not in the tree; what a peer was asked for is taken whenever
//! it comes; each event costs as much as it moves, however long the window is. *Never* blames a
//! peer for being slow: [`Action::Unresponsive`] ends a connection and nothing more, and
//! [`Action::Fault`] is for what no honest peer sends.
//!
//! `headers` asks for headers and puts them into the tree, by way of `presync` where a chain has
//! not shown that it has enough work to be kept. `bodies` asks for the blocks of every
//! branch that has more work than what is here, each as far as its `window` goes, and `again` for
//! those whose records are damaged. `stall` deals with peers that are slow. Whoever tells of a
//! branch and withholds its blocks therefore holds up that branch and no other.

mod again;
mod bodies;
mod headers;
mod presync;
mod rate;
mod stall;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time, Timers};
use crate::chain::Chain;
use crate::types::{BlockId, Height, Uint256};
use crate::wire::Lane;

use super::{Action, Bounded, ConnId, Direction};

pub use bodies::{Arrival, Room};
use bodies::{Ask, IN_FLIGHT_BYTES_MAX, IN_FLIGHT_MAX, InCheck, SENDERS_MAX, Senders, UnderWay};
use headers::Question;
use presync::Presync;
use rate::Rate;
use window::Branch;

/// The names of timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Due {
    /// A peer must have answered a request for headers.
    Headers(ConnId),
    /// The one peer that is asked for headers is slow.
    Leader,
    /// A peer has had no chain of enough work for long.
    LittleWork(ConnId),
    /// A header that a peer told of is no longer ahead of the clock.
    Held(ConnId),
    /// A block that holds up others is late.
    Front,
    /// A peer that stalls has stalled for long.
    Stalled(ConnId),
    /// A peer must have sent a block.
    Blocks(ConnId),
    /// Who lacked a block that is wanted again may have it by now.
    Again,
}

/// How late an inbound peer counts that has sent nothing yet: whoever stalls and comes back is
/// asked after those that sent what they were asked for.
const LATE_AT_FIRST: u32 = 2;
/// How late a peer counts at most: so many blocks in time make up for everything.
const LATE_MAX: u32 = 8;

/// A peer as the synchronisation sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SyncPeer {
    direction: Direction,
    /// How often it held others up, less what it sent in time since.
    late: u32,
    /// The header with the most work that it has shown.
    best: Option<BlockId>,
    /// The height of its chain, as far as known.
    height: Height,
    /// What it said of its tip when it greeted, until it has shown its headers.
    claimed: Option<(BlockId, Height)>,
    question: Option<Question>,
    /// Its chain, while it has not shown enough work to be kept.
    presync: Option<Box<Presync>>,
    /// Whether to ask for headers again when it has answered.
    again: bool,
    /// A header that it told of and whose parent is not known.
    told: Option<BlockId>,
    /// What it had told of when it was asked, and so owes.
    owed: Option<BlockId>,
    broken_words: u32,
    /// What it is being asked for, in the order of the requests, which is that of the answers.
    asks: Vec<Ask>,
    asked_bytes: u64,
    rate: Rate,
    /// When it last sent a block, or was first asked after it had sent all.
    heard: Time,
    /// Since when it holds others up and says nothing.
    stalled: Option<Time>,
    not_found: u32,
    /// Blocks that were wanted again and that it lacks too, and when it said so.
    lacks: BTreeMap<BlockId, Time>,
}

impl SyncPeer {
    /// Peers of lower rank are asked first: those that hold nobody up, and of those the ones that
    /// this node chose.
    fn rank(&self) -> (u32, bool) {
        (self.late, self.direction == Direction::Inbound)
    }

    /// It held others up.
    fn was_late(&mut self) {
        self.late = (self.late + 1).min(LATE_MAX);
    }

    fn is_idle(&self) -> bool {
        self.stalled.is_none() && self.takes(0)
    }

    /// Whether it may be asked for a block of so many bytes.
    fn takes(&self, bytes: u64) -> bool {
        self.asks.is_empty()
            || (self.asks.len() < IN_FLIGHT_MAX && self.asked_bytes + bytes <= IN_FLIGHT_BYTES_MAX)
    }
}

/// Which headers and blocks are asked of whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sync {
    /// What commitments to headers are salted with.
    secret: [u8; 32],
    presyncs: u64,
    /// The work below which no chain is kept.
    min_chain_work: Uint256,
    peers: BTreeMap<ConnId, SyncPeer>,
    /// The one peer that is asked for headers while all are old, and those that wait for it.
    leader: Option<ConnId>,
    waiting: BTreeSet<ConnId>,
    /// Branches with more work than what is here, the one with the most first, parked ones last.
    branches: Vec<Branch>,
    /// The best block whose chain is here, when the branches were last looked at.
    candidate: BlockId,
    /// Whether the branches are no longer those of what peers have.
    regroup: bool,
    /// Whether somebody may be asked for something, as far as is known.
    restless: bool,
    /// The room there was for blocks.
    room: Room,
    under_way: BTreeMap<BlockId, UnderWay>,
    under_way_bytes: u64,
    /// Blocks that came and are being checked.
    in_check: BTreeMap<BlockId, InCheck>,
    in_check_bytes: u64,
    senders: Senders,
    /// When any peer last sent a block.
    last_heard: Time,
    received_bytes: u64,
    /// Bytes that came for nothing, or that may.
    spare_bytes: u64,
    patience: Span,
    /// The time between two blocks.
    interval: Span,
    due: Timers<Due>,
    requests: u32,
}

impl Sync {
    /// Nothing is known of anybody. `secret` is known to nobody outside; a chain with less than
    /// `min_chain_work` is not kept.
    #[must_use]
    pub fn new(secret: [u8; 32], min_chain_work: Uint256) -> Self {
        Self {
            secret,
            presyncs: 0,
            min_chain_work,
            peers: BTreeMap::new(),
            leader: None,
            waiting: BTreeSet::new(),
            branches: Vec::new(),
            candidate: BlockId::ZERO,
            regroup: false,
            restless: false,
            room: Room {
                blocks: 0,
                bytes: 0,
            },
            under_way: BTreeMap::new(),
            under_way_bytes: 0,
            in_check: BTreeMap::new(),
            in_check_bytes: 0,
            senders: Senders::default(),
            last_heard: Time::EPOCH,
            received_bytes: 0,
            spare_bytes: 0,
            patience: Self::patience_at_first(),
            interval: Span::ZERO,
            due: Timers::default(),
            requests: 0,
        }
    }

    /// What it holds of what peers sent and are asked for.
    #[must_use]
    pub fn sizes(&self) -> [Bounded; 3] {
        let passes = self.peers.values().filter_map(|peer| peer.presync.as_ref());
        let memory = passes.fold((0, 0), |(held, limit), it| {
            (held + it.memory(), limit + it.memory_max())
        });
        let asked = self.peers.values().map(|peer| peer.asks.len()).max();
        [
            ("bytes of chains of too little work", memory.0, memory.1),
            (
                "blocks that one peer is asked for",
                asked.unwrap_or(0),
                IN_FLIGHT_MAX,
            ),
            (
                "senders of blocks that are remembered",
                self.senders.len(),
                SENDERS_MAX,
            ),
        ]
        .map(|(what, held, limit)| Bounded { what, held, limit })
    }

    fn next_request(&mut self) -> u32 {
        // 0 is the number of what has none yet.
        self.requests = self.requests.wrapping_add(1).max(1);
        self.requests
    }

    /// The height of a peer's chain, as far as known.
    #[must_use]
    pub fn best_height(&self, conn: ConnId) -> Height {
        self.peers
            .get(&conn)
            .map_or(Height::GENESIS, |peer| peer.height)
    }

    /// How many blocks a peer is being asked for.
    #[must_use]
    pub fn asked(&self, conn: ConnId) -> usize {
        self.peers.get(&conn).map_or(0, |peer| peer.asks.len())
    }

    /// Whether an answer of a peer came in the lane of its request, where that is known.
    #[must_use]
    pub fn is_in_lane(&self, conn: ConnId, request: u32, lane: Lane) -> bool {
        let Some(peer) = self.peers.get(&conn) else {
            return true;
        };
        let question = peer.question.iter().map(|it| (it.request, it.lane));
        let asks = peer.asks.iter().map(|it| (it.request, it.lane));
        let mut known = question.chain(asks).filter(|(asked, _)| *asked == request);
        known.all(|(_, asked)| asked == lane)
    }

    /// Whether a peer is known to have a block, because it told of it or of a descendant.
    #[must_use]
    pub fn knows(&self, conn: ConnId, id: &BlockId, chain: &Chain) -> bool {
        let best = self.peers.get(&conn).and_then(|peer| peer.best);
        let height = chain.tree().height(id);
        match (best, height) {
            (Some(best), Some(height)) => chain.tree().ancestor(&best, height) == Some(*id),
            _ => false,
        }
    }

    /// A peer is ready: learn what headers it has. `tip` and `height` are what it says of its
    /// chain.
    pub fn joined(
        &mut self,
        conn: ConnId,
        direction: Direction,
        (tip, height): (BlockId, Height),
        chain: &Chain,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let peer = SyncPeer {
            direction,
            late: match direction {
                Direction::Inbound => LATE_AT_FIRST,
                Direction::Outbound => 0,
            },
            best: None,
            height,
            claimed: Some((tip, height)),
            question: None,
            presync: None,
            again: false,
            told: None,
            owed: None,
            broken_words: 0,
            asks: Vec::new(),
            asked_bytes: 0,
            rate: Rate::unknown(),
            heard: now,
            stalled: None,
            not_found: 0,
            lacks: BTreeMap::new(),
        };
        self.peers.insert(conn, peer);
        self.learn_interval(chain);
        self.first_question(conn, chain, now, out);
    }

    /// A connection ended: what it was asked for is asked of others.
    pub fn left(&mut self, conn: ConnId, chain: &Chain, now: Time, out: &mut Vec<Action>) {
        let Some(peer) = self.peers.remove(&conn) else {
            return;
        };
        for due in [
            Due::Headers(conn),
            Due::LittleWork(conn),
            Due::Held(conn),
            Due::Stalled(conn),
            Due::Blocks(conn),
        ] {
            self.due.clear(&due);
        }
        self.release_all(&peer.asks);
        self.regroup = true;
        self.waiting.remove(&conn);
        if self.leader == Some(conn) {
            self.next_leader(chain, now, out);
        }
    }

    /// Lets requests lapse whose time is over.
    pub fn expire(&mut self, chain: &Chain, now: Time, out: &mut Vec<Action>) {
        while let Some(due) = self.due.take_due(now) {
            match due {
                Due::Headers(conn) => out.push(Action::Unresponsive(conn, "headers")),
                Due::LittleWork(conn) => {
                    out.push(Action::Unresponsive(conn, "a chain of enough work"));
                }
                Due::Leader => self.leader_late(chain, now, out),
                Due::Held(conn) => self.held_due(conn, chain, now, out),
                Due::Front => self.fronts_late(now),
                Due::Stalled(conn) => self.stalled_late(conn, now, out),
                Due::Blocks(conn) => out.push(Action::Unresponsive(conn, "blocks")),
                Due::Again => self.again_due(now),
            }
        }
    }

    /// How many bytes are kept for peers whose chains have not shown enough work.
    #[cfg(test)]
    fn presync_memory(&self) -> usize {
        let kept = self.peers.values().filter_map(|peer| peer.presync.as_ref());
        kept.map(|presync| presync.memory()).sum()
    }

    /// When [`expire`](Self::expire) has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.due.earliest()
    }
}

#[cfg(test)]
mod tests;
