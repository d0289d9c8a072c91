//! Which peer is asked for which transaction, and when the next one is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};
use crate::types::WtxId;

use super::super::{ConnId, Direction, RecentSet};

/// How many bytes of transactions may be under way from one peer, or here and not checked yet.
pub(super) const IN_FLIGHT_BYTES: u64 = 1 << 20;
/// Beyond this a peer's transactions are dropped: it sends greater ones than it did before, faster
/// than they can be checked.
const UNCHECKED_BYTES_MAX: u64 = 2 * IN_FLIGHT_BYTES;
/// How many ids of one peer may wait to be asked for. Each costs some 45 bytes in the sets that it
/// stands in, and what nobody else announced some 150 more.
pub(super) const ANNOUNCED_PER_PEER: usize = 64 << 10;
/// The same of a peer that has answered nothing yet: what it tells a newcomer of comes all at once,
/// before the first answers can.
pub(super) const ANNOUNCED_AT_FIRST: usize = super::TELL_PER_PEER;
/// How many transactions may be wanted at a time. Beyond it a peer that announced its share of
/// these adds no more, so that it can't keep others from being heard: there are never more than
/// twice as many.
pub(super) const WANTS_MAX: usize = 128 << 10;
/// How long a peer has before another that announced the same transaction is asked.
const TIMEOUT: Span = Span::from_secs(2);
/// How long a transaction that only peers who dialled us announced waits for one that we dialled:
/// those are harder to choose for an attacker who wants to be the one who answers, or does not.
pub(super) const INBOUND_DELAY: Span = Span::from_millis(200);
/// Requests that a peer may have let lapse and may still answer. One that owes so many is asked
/// for nothing more until it answers some; so a late answer is always known for what it is. What
/// it announced is let go, and nothing that it announces is taken until then: it would be kept for
/// nothing, and keep what others announce from being heard.
const LAPSED_MAX: usize = 8 << 10;
/// The size that a transaction is thought to have before the peer sent any.
const SIZE_FIRST: u64 = 256;
/// The smallest that it is ever thought to have, which bounds how many are asked for at once.
const SIZE_MIN: u64 = 128;
/// How many of its lapses count against a peer: one that lets requests lapse comes after those
/// that do not, until it has answered as many others.
const SLOW_MAX: u32 = 64;
/// With so many it is called slow.
const SLOW_MARK: u32 = 8;

/// What a transaction is remembered by where a mistake costs only who made two that agree in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Tag(u64);

impl From<&WtxId> for Tag {
    fn from(id: &WtxId) -> Self {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&id.0[..8]);
        Self(u64::from_le_bytes(bytes))
    }
}

/// A wanted transaction, by a number that ascends in the order of the first announcements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Number(u64);

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Announcer {
    conn: ConnId,
    /// From when on it may be asked.
    ready_at: Time,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Asked {
    conn: ConnId,
    until: Time,
    /// What the request counts for.
    bytes: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Want {
    id: WtxId,
    /// Who announced it and was not asked yet, in the order of the announcements.
    announcers: Vec<Announcer>,
    asked: Option<Asked>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Answerer {
    direction: Direction,
    /// What it announced and was not asked for.
    announced: BTreeSet<Number>,
    /// Those of them that nobody is asked for and that it may be asked for now.
    ready: BTreeSet<Number>,
    /// What it is asked for.
    asked: BTreeSet<Number>,
    /// What it was asked for in vain so far.
    lapsed: BTreeSet<Tag>,
    in_flight: u64,
    /// Bytes that came and are not checked yet.
    unchecked: u64,
    /// The mean size of what it sends, of late.
    size: u64,
    slow: u32,
    /// Whether it ever gave what it was asked for.
    has_answered: bool,
}

impl Answerer {
    fn has_room(&self) -> bool {
        let bytes = self.in_flight + self.unchecked;
        self.may_answer() && (bytes == 0 || bytes + self.size <= IN_FLIGHT_BYTES)
    }

    /// Whether it owes so few answers that it may be asked for more.
    fn may_answer(&self) -> bool {
        self.lapsed.len() < LAPSED_MAX
    }

    /// Whether one more of its announcements is taken.
    fn is_heard(&self) -> bool {
        let most = if self.has_answered {
            ANNOUNCED_PER_PEER
        } else {
            ANNOUNCED_AT_FIRST
        };
        self.may_answer() && self.announced.len() + self.asked.len() < most
    }
}

/// What a transaction that came is to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It was asked for: check it, and say so by [`checked`](super::Relay::checked).
    Wanted,
    /// It was asked for and is of no use any more.
    Surplus,
    /// It was never asked of this peer.
    Unasked,
}

/// Who announced what, and who is asked.
///
/// Each announcement that was not asked for is in one of three places: among `delays` until it may
/// be asked for, in its peer's `ready` set, or nowhere while somebody else is asked. So every step
/// touches the announcements of one transaction or of one peer, each in logarithmic time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Requests {
    peers: BTreeMap<ConnId, Answerer>,
    outbound: usize,
    numbers: BTreeMap<WtxId, Number>,
    wants: BTreeMap<Number, Want>,
    delays: BTreeSet<(Time, Number, ConnId)>,
    deadlines: BTreeSet<(Time, Number)>,
    /// Peers that may be asked for something now.
    able: BTreeSet<ConnId>,
    next: Number,
    /// What came lately, so that it is not checked twice.
    came: RecentSet<Tag>,
}

impl Requests {
    pub(super) fn new(remembered: usize) -> Self {
        Self {
            peers: BTreeMap::new(),
            outbound: 0,
            numbers: BTreeMap::new(),
            wants: BTreeMap::new(),
            delays: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            able: BTreeSet::new(),
            next: Number::default(),
            came: RecentSet::new(remembered),
        }
    }

    pub(super) fn joined(&mut self, conn: ConnId, direction: Direction) {
        self.outbound += usize::from(direction == Direction::Outbound);
        let peer = Answerer {
            direction,
            announced: BTreeSet::new(),
            ready: BTreeSet::new(),
            asked: BTreeSet::new(),
            lapsed: BTreeSet::new(),
            in_flight: 0,
            unchecked: 0,
            size: SIZE_FIRST,
            slow: 0,
            has_answered: false,
        };
        self.peers.insert(conn, peer);
    }

    pub(super) fn left(&mut self, conn: ConnId, now: Time) {
        let Some(peer) = self.peers.remove(&conn) else {
            return;
        };
        self.outbound -= usize::from(peer.direction == Direction::Outbound);
        self.able.remove(&conn);
        self.take_back(conn, &peer.announced);
        for number in peer.asked {
            self.release(number, now);
        }
    }

    /// What a peer announced is not to be asked of it.
    fn take_back(&mut self, conn: ConnId, announced: &BTreeSet<Number>) {
        for &number in announced {
            let Some(want) = self.wants.get_mut(&number) else {
                continue;
            };
            want.announcers.retain(|announcer| {
                if announcer.conn == conn {
                    self.delays.remove(&(announcer.ready_at, number, conn));
                }
                announcer.conn != conn
            });
            if want.announcers.is_empty() && want.asked.is_none() {
                self.drop_want(number);
            }
        }
    }

    /// A request lapsed. Where too many have, what else the peer announced is let go.
    fn lapse(&mut self, conn: ConnId, id: &WtxId) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.lapsed.insert(Tag::from(id));
        if !peer.may_answer() {
            let announced = std::mem::take(&mut peer.announced);
            peer.ready.clear();
            self.take_back(conn, &announced);
            self.look_at(conn);
        }
    }

    /// A peer has this transaction.
    pub(super) fn announced(&mut self, conn: ConnId, id: &WtxId, now: Time) {
        let share = WANTS_MAX / self.peers.len().max(1);
        let has_outbound = self.outbound > 0;
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let count = peer.announced.len() + peer.asked.len();
        let number = match self.numbers.get(id) {
            Some(number) => *number,
            None if self.wants.len() >= WANTS_MAX && count >= share => return,
            None => self.next,
        };
        if !peer.is_heard() || peer.asked.contains(&number) || !peer.announced.insert(number) {
            return;
        }
        if number == self.next {
            self.next.0 += 1;
            self.numbers.insert(*id, number);
            let want = Want {
                id: *id,
                announcers: Vec::new(),
                asked: None,
            };
            self.wants.insert(number, want);
        }
        let waits = peer.direction == Direction::Inbound && has_outbound;
        let ready_at = if waits { now + INBOUND_DELAY } else { now };
        let want = self.wants.get_mut(&number).expect("it has a number");
        want.announcers.push(Announcer { conn, ready_at });
        if waits {
            self.delays.insert((ready_at, number, conn));
        } else if want.asked.is_none() {
            peer.ready.insert(number);
            self.look_at(conn);
        }
    }

    /// Keeps the set of peers that may be asked.
    fn look_at(&mut self, conn: ConnId) {
        let able = self
            .peers
            .get(&conn)
            .is_some_and(|peer| !peer.ready.is_empty() && peer.has_room());
        if able {
            self.able.insert(conn);
        } else {
            self.able.remove(&conn);
        }
    }

    /// Lets pass what waited for the time: delays that are over, requests that lapse.
    pub(super) fn wake(&mut self, now: Time) {
        while let Some((_, number, conn)) = self.delays.pop_first_if_due(now) {
            let is_free = self
                .wants
                .get(&number)
                .is_some_and(|want| want.asked.is_none());
            if let Some(peer) = self.peers.get_mut(&conn).filter(|_| is_free) {
                peer.ready.insert(number);
                self.look_at(conn);
            }
        }
        while let Some((_, number)) = self.deadlines.pop_first_if_due(now) {
            let Some(want) = self.wants.get(&number) else {
                continue;
            };
            let (id, asked) = (want.id, want.asked);
            self.release(number, now);
            if let Some(Asked { conn, .. }) = asked {
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.slow = (peer.slow + 1).min(SLOW_MAX);
                }
                self.lapse(conn, &id);
            }
        }
    }

    /// Who was asked does not answer, or not in time: the others may be asked.
    fn release(&mut self, number: Number, now: Time) {
        let Some(want) = self.wants.get_mut(&number) else {
            return;
        };
        if let Some(asked) = want.asked.take() {
            self.deadlines.remove(&(asked.until, number));
            if let Some(peer) = self.peers.get_mut(&asked.conn) {
                peer.in_flight -= asked.bytes;
                peer.asked.remove(&number);
            }
            self.look_at(asked.conn);
        }
        let Some(want) = self.wants.get(&number) else {
            return;
        };
        if want.announcers.is_empty() {
            self.drop_want(number);
            return;
        }
        let ready = want.announcers.iter().filter(|it| it.ready_at <= now);
        for conn in ready.map(|it| it.conn).collect::<Vec<_>>() {
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.ready.insert(number);
            }
            self.look_at(conn);
        }
    }

    fn drop_want(&mut self, number: Number) {
        if let Some(want) = self.wants.remove(&number) {
            self.numbers.remove(&want.id);
        }
    }

    /// Gives what is to be asked of whom now, as far as peers have room, and counts it as asked.
    pub(super) fn schedule(&mut self, now: Time) -> BTreeMap<ConnId, Vec<WtxId>> {
        self.wake(now);
        let mut asks: BTreeMap<ConnId, Vec<WtxId>> = BTreeMap::new();
        while let Some(able) = self.able.first().copied() {
            let number = self.peers.get(&able).and_then(|peer| peer.ready.first());
            let number = *number.expect("a peer that may be asked has something ready");
            let (conn, id) = self.ask_best(number, now);
            asks.entry(conn).or_default().push(id);
        }
        asks
    }

    /// Asks the best of those that announced a transaction: who does not let requests lapse, whom
    /// we dialled, who announced it first.
    fn ask_best(&mut self, number: Number, now: Time) -> (ConnId, WtxId) {
        let want = self
            .wants
            .get_mut(&number)
            .expect("what is ready is wanted");
        let rank = |(place, it): &(usize, &Announcer)| {
            let peer = self.peers.get(&it.conn)?;
            let able = it.ready_at <= now && peer.has_room();
            let inbound = peer.direction == Direction::Inbound;
            able.then_some((peer.slow, inbound, *place))
        };
        let announcers = want.announcers.iter().enumerate();
        let best = announcers.filter_map(|it| rank(&it)).min();
        let (_, _, place) = best.expect("one of them has room");
        let Announcer { conn, .. } = want.announcers.remove(place);
        for other in &want.announcers {
            if let Some(peer) = self.peers.get_mut(&other.conn)
                && peer.ready.remove(&number)
                && peer.ready.is_empty()
            {
                self.able.remove(&other.conn);
            }
        }
        let id = want.id;
        let until = now + TIMEOUT;
        let peer = self.peers.get_mut(&conn).expect("it was found above");
        let bytes = peer.size;
        want.asked = Some(Asked { conn, until, bytes });
        peer.in_flight += bytes;
        peer.ready.remove(&number);
        peer.announced.remove(&number);
        peer.asked.insert(number);
        self.deadlines.insert((until, number));
        self.look_at(conn);
        (conn, id)
    }

    /// A transaction of so many bytes came from a peer; it counts as answered from now on.
    pub(super) fn came(&mut self, conn: ConnId, id: &WtxId, bytes: u64, now: Time) -> Arrival {
        let tag = Tag::from(id);
        let number = self.numbers.get(id).copied();
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Arrival::Unasked;
        };
        let asked = number.filter(|number| peer.asked.contains(number));
        if asked.is_none() && !peer.lapsed.remove(&tag) {
            let known = self.came.contains(&tag);
            return if known {
                Arrival::Surplus
            } else {
                Arrival::Unasked
            };
        }
        peer.size = ((peer.size * 7 + bytes) / 8).max(SIZE_MIN);
        peer.has_answered = true;
        if asked.is_some() {
            peer.slow = peer.slow.saturating_sub(1);
        }
        if peer.unchecked + bytes > UNCHECKED_BYTES_MAX {
            // Whoever else announced it is asked.
            match asked {
                Some(number) => self.release(number, now),
                None => self.look_at(conn),
            }
            return Arrival::Surplus;
        }
        // What was asked for again, because it may be valid now, is looked at again.
        let is_wanted = self.came.insert(tag) || asked.is_some();
        if is_wanted {
            peer.unchecked += bytes;
        }
        if let Some(number) = number {
            // Whoever is asked instead, because this one was slow, may still answer.
            self.settle_number(number, Some(conn));
        }
        self.look_at(conn);
        if is_wanted {
            Arrival::Wanted
        } else {
            Arrival::Surplus
        }
    }

    /// Bytes of a peer's transactions were checked.
    pub(super) fn checked(&mut self, conn: ConnId, bytes: u64) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.unchecked = peer.unchecked.saturating_sub(bytes);
        }
        self.look_at(conn);
    }

    /// A peer does not have this transaction after all.
    pub(super) fn not_found(&mut self, conn: ConnId, id: &WtxId, now: Time) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.lapsed.remove(&Tag::from(id));
        let number = self.numbers.get(id).copied();
        match number.filter(|number| peer.asked.contains(number)) {
            Some(number) => self.release(number, now),
            None => self.look_at(conn),
        }
    }

    /// Whether some peer announced this transaction, and it did not come.
    pub(super) fn wants_it(&self, id: &WtxId) -> bool {
        self.numbers.contains_key(id)
    }

    /// Nothing more is wanted of this transaction.
    pub(super) fn settle(&mut self, id: &WtxId) {
        if let Some(number) = self.numbers.get(id).copied() {
            self.settle_number(number, None);
        }
    }

    fn settle_number(&mut self, number: Number, answered: Option<ConnId>) {
        let Some(want) = self.wants.get(&number).cloned() else {
            return;
        };
        self.drop_want(number);
        for announcer in &want.announcers {
            let conn = announcer.conn;
            self.delays.remove(&(announcer.ready_at, number, conn));
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.announced.remove(&number);
                peer.ready.remove(&number);
            }
            self.look_at(conn);
        }
        let Some(asked) = want.asked else { return };
        self.deadlines.remove(&(asked.until, number));
        if let Some(peer) = self.peers.get_mut(&asked.conn) {
            peer.asked.remove(&number);
            peer.in_flight -= asked.bytes;
            if answered != Some(asked.conn) {
                self.lapse(asked.conn, &want.id);
            }
        }
        self.look_at(asked.conn);
    }

    /// Whether a peer lets requests lapse, more than it answers.
    pub(super) fn is_slow(&self, conn: ConnId) -> bool {
        self.peers
            .get(&conn)
            .is_some_and(|peer| peer.slow >= SLOW_MARK)
    }

    /// When [`schedule`](Self::schedule) has something to do although nothing else happens.
    pub(super) fn deadline(&self) -> Option<Time> {
        let delay = self.delays.first().map(|(at, ..)| *at);
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        match (delay, deadline) {
            (Some(delay), Some(deadline)) => Some(delay.min(deadline)),
            (one, other) => one.or(other),
        }
    }
}

/// Sets that are ordered by time first.
trait Due {
    type Item;
    fn pop_first_if_due(&mut self, now: Time) -> Option<Self::Item>;
}

impl Due for BTreeSet<(Time, Number, ConnId)> {
    type Item = (Time, Number, ConnId);
    fn pop_first_if_due(&mut self, now: Time) -> Option<Self::Item> {
        self.first()
            .is_some_and(|(at, ..)| *at <= now)
            .then(|| self.pop_first())?
    }
}

impl Due for BTreeSet<(Time, Number)> {
    type Item = (Time, Number);
    fn pop_first_if_due(&mut self, now: Time) -> Option<Self::Item> {
        self.first()
            .is_some_and(|(at, _)| *at <= now)
            .then(|| self.pop_first())?
    }
}

impl Requests {
    /// What is wanted, and of the peer that has the most of each: what it announced, what it may
    /// still answer, and what came of it and is not checked.
    pub(super) fn sizes(&self) -> [(&'static str, usize, usize); 4] {
        let most = |count: fn(&Answerer) -> usize| self.peers.values().map(count).max();
        let unchecked = most(|peer| usize::try_from(peer.unchecked).unwrap_or(usize::MAX));
        [
            (
                "transactions that are wanted",
                self.wants.len(),
                2 * WANTS_MAX,
            ),
            (
                "transactions that one peer announced",
                most(|peer| peer.announced.len()).unwrap_or(0),
                ANNOUNCED_PER_PEER,
            ),
            (
                // It is asked for no more, and what it is asked for then may lapse too.
                "requests that one peer let lapse",
                most(|peer| peer.lapsed.len()).unwrap_or(0),
                LAPSED_MAX + (IN_FLIGHT_BYTES / SIZE_MIN) as usize,
            ),
            (
                "bytes of one peer that are not checked",
                unchecked.unwrap_or(0),
                UNCHECKED_BYTES_MAX as usize,
            ),
        ]
    }
}

#[cfg(test)]
impl Requests {
    /// Bytes under way and counts of a peer: under way, not checked, announced, asked.
    pub(super) fn counts(&self, conn: ConnId) -> (u64, u64, usize, usize) {
        let peer = &self.peers[&conn];
        let (announced, asked) = (peer.announced.len(), peer.asked.len());
        (peer.in_flight, peer.unchecked, announced, asked)
    }

    pub(super) fn wants(&self) -> usize {
        assert_eq!(self.wants.len(), self.numbers.len());
        self.wants.len()
    }
}
