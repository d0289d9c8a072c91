//! Who is asked for headers, and what becomes of those that come.

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};
use crate::chain::{Chain, HeaderRefusal};
use crate::crypto::hash::sha256_parts;
use crate::types::{BlockId, Header, Uint256};
use crate::wire::message::{HEADERS_MAX, LOCATOR_IDS_MAX, RequestId};
use crate::wire::{Lane, Message};

use super::presync::{Next, Presync, Walk};
use super::{Action, ConnId, Direction, Due, Sync, SyncPeer};

/// How long a peer has to answer a request for headers: 15 s, and 1 ms for each that may come.
pub(super) const HEADERS_TIMEOUT: Span = Span::from_millis(15_000 + HEADERS_MAX as u64);
/// While this node's best header is older than this, it asks one peer for headers at a time: all
/// have the same, and a whole chain of them from everybody is a waste of lines.
const BEHIND: Span = Span::from_secs(24 * 3_600);
/// How long that one peer may take for an answer before another one is asked as well.
const LEADER_PATIENCE: Span = Span::from_secs(5);
/// How much more time each full answer is worth: who sends fewer than 1,000 headers a second leads
/// no longer than those 5 seconds allow, however regular its answers are.
const LEADER_ANSWER: Span = Span::from_secs(2);
/// How often a peer may tell of headers and, asked for what lies below them, not give them, or give
/// a chain of too little work. An honest one does when its chain changes in between, and while it
/// has not learned a better one.
const BROKEN_WORDS_MAX: u32 = 8;

/// How many blocks' work a chain may lack beside the tip and its headers are still kept as they
/// come: branches of that length are nothing out of the ordinary.
const NEAR_BLOCKS: u64 = 144;
/// How much longer than this a header waits for its time where the clock of this node is doubted.
/// One that is to wait for less has come soon enough.
const FAR_AHEAD: Span = Span::from_secs(60);
/// How long a peer may have nothing but a chain of too little work: enough to learn the better one
/// from this node.
pub(super) const LITTLE_WORK_TIMEOUT: Span = Span::from_secs(20 * 60);

/// A request for headers that is under way.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) request: u32,
    pub(super) lane: Lane,
    /// The height that answers have come to: the next one must come higher, or it is the last.
    reached: u64,
}

/// What came of headers.
enum Taken {
    /// All are in the tree.
    All,
    /// Those up to one that is ahead of the clock are, or none because what they follow on can't
    /// be read from the disk.
    Held,
    /// None is, because the chain that ends with them has too little work to be kept.
    TooLittle,
    /// The peer broke a rule.
    Faulty,
}

impl Sync {
    /// A peer is ready: learn what headers it has.
    pub(super) fn first_question(
        &mut self,
        conn: ConnId,
        chain: &Chain,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        if is_behind(chain, now) {
            let direction = |conn| self.peers.get(&conn).map(|peer| peer.direction);
            let is_dialled = direction(conn) == Some(Direction::Outbound);
            let leader = self.leader.and_then(direction);
            // A peer that this node chose does not wait for one that chose this node.
            if leader.is_some_and(|leader| leader == Direction::Outbound || !is_dialled) {
                self.waiting.insert(conn);
                return;
            }
            self.leader = Some(conn);
        }
        self.ask_headers(conn, None, chain, now, out);
    }

    /// Asks for headers: those that follow on the best header's chain, or on `last`.
    fn ask_headers(
        &mut self,
        conn: ConnId,
        last: Option<(BlockId, u64)>,
        chain: &Chain,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let request = self.next_request();
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if peer.question.is_some() {
            peer.again = true;
            return;
        }
        peer.owed = peer.told;
        let reached = last.map_or(0, |(_, height)| height);
        // Thousands of headers are history, and wait for what is new.
        let lane = if last.is_some() || is_behind(chain, now) {
            Lane::History
        } else {
            Lane::Bodies
        };
        peer.question = Some(Question {
            request,
            lane,
            reached,
        });
        self.due.set(Due::Headers(conn), now + HEADERS_TIMEOUT);
        if self.leader == Some(conn) {
            let before = self.due.deadline(&Due::Leader).filter(|_| last.is_some());
            let most = now + LEADER_PATIENCE;
            let at = before.map_or(most, |before| most.min(before + LEADER_ANSWER));
            self.due.set(Due::Leader, at);
        }
        // From the best header's parent on, so that a peer that has the same says so.
        let top = usize::from(chain.tree().best_header() != chain.tree().genesis());
        let below = last.map(|(id, _)| id);
        let locator = below
            .into_iter()
            .chain(chain.locator().into_iter().skip(top));
        let message = Message::GetHeaders {
            request: RequestId(request),
            max: HEADERS_MAX as u16,
            stop: BlockId::ZERO,
            locator: locator.take(LOCATOR_IDS_MAX).collect(),
        };
        out.push(Action::Send(conn, lane, message));
    }

    /// Headers that were asked for.
    pub fn headers(
        &mut self,
        conn: ConnId,
        request: u32,
        headers: &[Header],
        chain: &mut Chain,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let Some(question) = peer.question.take_if(|asked| asked.request == request) else {
            let rule = "it sent headers that nobody asked for";
            out.push(Action::Fault(conn, rule.to_owned()));
            return;
        };
        self.due.clear(&Due::Headers(conn));
        if let Some(presync) = peer.presync.take() {
            self.go_on(conn, presync, headers, chain, now, out);
            return;
        }
        let more = headers.len() == HEADERS_MAX;
        match self.take_in(conn, headers, chain, now, out) {
            Taken::All => {
                let last = headers.last().map(|last| (last.id(), last.height.0));
                let last = last.filter(|(_, height)| more && *height > question.reached);
                match last {
                    // Another one leads, because this one was slow: it waits like the others.
                    Some(_)
                        if is_behind(chain, now) && self.leader.is_some_and(|it| it != conn) =>
                    {
                        self.waiting.insert(conn);
                    }
                    Some(last) => self.ask_headers(conn, Some(last), chain, now, out),
                    None => self.answered(conn, true, chain, now, out),
                }
            }
            Taken::Held => self.answered(conn, false, chain, now, out),
            Taken::TooLittle if more => self.begin_presync(conn, headers, chain, now, out),
            Taken::TooLittle => {
                doubt_clock(headers, chain, now, out);
                self.too_little(conn, chain, now, out);
            }
            Taken::Faulty => {}
        }
    }

    /// The work that a chain must have for its headers to be kept as they come.
    fn needed_work(&self, chain: &Chain) -> Uint256 {
        let tip = chain.tip_entry();
        let near = match tip.header.work().widening_mul(NEAR_BLOCKS) {
            (near, 0) if near < tip.work => tip.work.wrapping_sub(near),
            _ => Uint256::ZERO,
        };
        near.max(self.min_chain_work)
    }

    /// A chain of which these are the first headers has too little work so far, and goes on.
    fn begin_presync(
        &mut self,
        conn: ConnId,
        headers: &[Header],
        chain: &mut Chain,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let start = headers.first().and_then(|first| {
            let entry = chain.tree().get(&first.parent_id)?;
            Some(Walk::from(first.parent_id, &entry))
        });
        let Some(start) = start else { return };
        self.presyncs += 1;
        let secret = sha256_parts(&[&self.secret, &self.presyncs.to_le_bytes()]);
        let presync = Presync::new(start, self.needed_work(chain), secret);
        self.go_on(conn, Box::new(presync), headers, chain, now, out);
    }

    /// More headers of a chain that has not shown enough work yet.
    fn go_on(
        &mut self,
        conn: ConnId,
        mut presync: Box<Presync>,
        headers: &[Header],
        chain: &mut Chain,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let more = headers.len() == HEADERS_MAX;
        match presync.take_in(headers, more, chain, now) {
            Ok(Next::Ask(id, height)) => {
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.presync = Some(presync);
                }
                self.ask_headers(conn, Some((id, height.0)), chain, now, out);
            }
            Ok(Next::Enough(id, height)) => {
                self.shown(conn, Some(id), chain);
                self.ask_headers(conn, Some((id, height.0)), chain, now, out);
            }
            Ok(Next::TooLittle) => {
                doubt_clock(headers, chain, now, out);
                self.too_little(conn, chain, now, out);
            }
            // It may be its chain that changed: nobody is to blame.
            Ok(Next::Another) => out.push(Action::Unresponsive(conn, "headers it had shown")),
            Err(HeaderRefusal::UnreadableParent(_)) => {
                self.answered(conn, false, chain, now, out);
            }
            Err(refusal) => {
                let rule = format!("a header is invalid: {refusal}");
                out.push(Action::Fault(conn, rule));
            }
        }
    }

    /// A peer's chain ends and has too little work. It may be one that learns the better chain
    /// from this node, so it has some time for that; and it is not asked again before, unless it
    /// tells of a height that this node has not. Each chain that it told of counts, so that nobody
    /// has this node check one branch of easy headers after the other by showing a good one, or
    /// great heights, in between.
    fn too_little(&mut self, conn: ConnId, chain: &Chain, now: Time, out: &mut Vec<Action>) {
        self.due
            .set_earlier(Due::LittleWork(conn), now + LITTLE_WORK_TIMEOUT);
        let peer = self.peers.get(&conn);
        if peer.is_some_and(|peer| peer.told.is_some()) && self.breaks_its_word(conn, out) {
            return;
        }
        self.answered(conn, false, chain, now, out);
    }

    /// A peer told of headers that it did not give, or that are worth nothing. Says whether that
    /// was once too often.
    fn breaks_its_word(&mut self, conn: ConnId, out: &mut Vec<Action>) -> bool {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return false;
        };
        peer.broken_words += 1;
        let too_often = peer.broken_words > BROKEN_WORDS_MAX;
        if too_often {
            out.push(Action::Unresponsive(conn, "headers that it told of"));
        }
        too_often
    }

    /// A peer has said all it has to say about its headers for now; `whole` if there was nothing
    /// among them that this node put off.
    fn answered(
        &mut self,
        conn: ConnId,
        whole: bool,
        chain: &Chain,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let tree = chain.tree();
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let told = peer.told.take();
        // What it told of since it was asked may have come too late for this answer.
        let owed = peer.owed.take();
        let again = std::mem::take(&mut peer.again);
        if let Some((id, height)) = peer.claimed.take_if(|_| whole) {
            let ours = tree.get(&tree.best_header());
            if let Some(tip) = tree.get(&id) {
                if tip.header.height != height {
                    let rule = "it greeted with a height that is not its tip's";
                    out.push(Action::Fault(conn, rule.to_owned()));
                    return;
                }
                // It has nothing to show where this node has more.
                self.shown(conn, Some(id), chain);
            } else if ours.is_some_and(|ours| height > ours.header.height) {
                // It said that its chain is higher than any it has shown.
                out.push(Action::Unresponsive(conn, "headers that it told of"));
                return;
            }
        }
        let is_broken = whole && owed.is_some_and(|id| tree.height(&id).is_none());
        if is_broken && self.breaks_its_word(conn, out) {
            return;
        }
        if again {
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.told = told;
            }
            self.ask_headers(conn, None, chain, now, out);
        }
        if self.leader != Some(conn) {
            return;
        }
        if is_behind(chain, now) {
            // That can't be all there is: the next one.
            self.next_leader(chain, now, out);
        } else {
            self.leader = None;
            self.due.clear(&Due::Leader);
            // The others say whether that was all.
            for conn in std::mem::take(&mut self.waiting) {
                self.ask_headers(conn, None, chain, now, out);
            }
        }
    }

    /// The peer that is asked for headers is slow: another one is asked as well, if there is one.
    pub(super) fn leader_late(&mut self, chain: &Chain, now: Time, out: &mut Vec<Action>) {
        let leader = self.leader.filter(|_| !self.waiting.is_empty());
        if let Some(peer) = leader.and_then(|conn| self.peers.get_mut(&conn)) {
            peer.was_late();
        }
        self.next_leader(chain, now, out);
    }

    /// The peer that is asked for headers is gone or slow, or has none: another one is asked.
    pub(super) fn next_leader(&mut self, chain: &Chain, now: Time, out: &mut Vec<Action>) {
        self.due.clear(&Due::Leader);
        let rank = |conn: &ConnId| (self.peers.get(conn).map(SyncPeer::rank), *conn);
        self.leader = self.waiting.iter().map(rank).min().map(|(_, conn)| conn);
        if let Some(conn) = self.leader {
            self.waiting.remove(&conn);
        }
        if let Some(conn) = self.leader {
            self.ask_headers(conn, None, chain, now, out);
        }
    }

    /// Headers of new blocks, sent unasked.
    pub fn announced(
        &mut self,
        conn: ConnId,
        headers: &[Header],
        chain: &mut Chain,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let (Some(first), Some(last)) = (headers.first(), headers.last()) else {
            return;
        };
        if chain.tree().get(&first.parent_id).is_some() {
            self.take_in(conn, headers, chain, now, out);
            return;
        }
        // It is ahead of us by more than it announced: learn what lies between. Its own work
        // comes first, so that whoever makes this node ask has paid for it.
        if let Err(fault) = chain.header_rules().check_isolated(first) {
            let rule = format!("a header is invalid: {fault}");
            out.push(Action::Fault(conn, rule));
            return;
        }
        let tree = chain.tree();
        let best = tree.get(&tree.best_header());
        let is_higher = best.is_none_or(|best| last.height > best.header.height);
        if self.due.deadline(&Due::LittleWork(conn)).is_some() && !is_higher {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.told = Some(last.id());
        }
        if !self.waiting.contains(&conn) {
            self.ask_headers(conn, None, chain, now, out);
        }
    }

    /// A header was put off until its time has come.
    pub(super) fn held_due(
        &mut self,
        conn: ConnId,
        chain: &Chain,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        self.ask_headers(conn, None, chain, now, out);
    }

    /// Adds headers to the tree, one after the other.
    fn take_in(
        &mut self,
        conn: ConnId,
        headers: &[Header],
        chain: &mut Chain,
        now: Time,
        out: &mut Vec<Action>,
    ) -> Taken {
        let follows = |pair: &[Header]| pair[0].id() == pair[1].parent_id;
        if !headers.windows(2).all(follows) {
            let rule = "headers must follow each other";
            out.push(Action::Fault(conn, rule.to_owned()));
            return Taken::Faulty;
        }
        if !self.is_enough(headers, chain, now) {
            return Taken::TooLittle;
        }
        let mut previous: Option<BlockId> = None;
        for header in headers {
            match chain.add_header(header, now) {
                Ok(id) => previous = Some(id),
                Err(HeaderRefusal::Held { until }) => {
                    self.shown(conn, previous, chain);
                    self.due.set_earlier(Due::Held(conn), until);
                    doubt_clock(std::slice::from_ref(header), chain, now, out);
                    return Taken::Held;
                }
                // It is fetched again, and the peer asked when it tells of more.
                Err(HeaderRefusal::UnreadableParent(_)) => return Taken::Held,
                Err(refusal) => {
                    let rule = format!("a header is invalid: {refusal}");
                    out.push(Action::Fault(conn, rule));
                    return Taken::Faulty;
                }
            }
        }
        self.shown(conn, previous, chain);
        Taken::All
    }

    /// Whether the chain that ends with these headers has enough work for them to be kept, or
    /// they are known. A header that breaks a rule is kept by nobody and is found out later.
    fn is_enough(&self, headers: &[Header], chain: &Chain, now: Time) -> bool {
        let (Some(first), Some(last)) = (headers.first(), headers.last()) else {
            return true;
        };
        let Some(parent) = chain.tree().get(&first.parent_id) else {
            return true;
        };
        if chain.tree().get(&last.id()).is_some() {
            return true;
        }
        let needed = self.needed_work(chain);
        if parent.work >= needed {
            return true;
        }
        // What they claim counts only once it is checked.
        let mut walk = Walk::from(first.parent_id, &parent);
        for header in headers {
            match walk.step(header, chain.header_rules(), now) {
                Ok(()) => {}
                Err(HeaderRefusal::Held { .. }) => break,
                Err(_) => return walk.work >= needed,
            }
        }
        walk.work >= needed
    }

    /// A peer has shown that it has this header, and so that it has what is below.
    fn shown(&mut self, conn: ConnId, last: Option<BlockId>, chain: &Chain) {
        let needed = self.needed_work(chain);
        let (tree, Some(peer)) = (chain.tree(), self.peers.get_mut(&conn)) else {
            return;
        };
        let Some((id, entry)) = last.and_then(|id| Some((id, tree.get(&id)?))) else {
            return;
        };
        // An old header of a good chain is no better chain than one of little work.
        if entry.work >= needed {
            self.due.clear(&Due::LittleWork(conn));
        }
        let before = peer.best.and_then(|best| tree.get(&best));
        if before.is_none_or(|before| entry.work > before.work) {
            (peer.best, peer.height) = (Some(id), entry.header.height);
            // Where nothing is missing, what a peer has of it changes nothing.
            let here = tree.get(&tree.best_candidate());
            let is_ahead = here.is_none_or(|here| entry.work > here.work);
            self.regroup |= is_ahead || !self.branches.is_empty();
            self.restless |= chain.wanted_again().next().is_some();
        }
    }
}

/// Whether this node's headers are so old that it can't be at the tip.
fn is_behind(chain: &Chain, now: Time) -> bool {
    let tree = chain.tree();
    let best = tree.get(&tree.best_header());
    best.is_some_and(|best| Time::from_millis(best.header.time.0) + BEHIND < now)
}

/// Doubts the own clock where one of these headers is to wait for long. It has cost whoever made it
/// some work.
fn doubt_clock(headers: &[Header], chain: &Chain, now: Time, out: &mut Vec<Action>) {
    let rules = chain.header_rules();
    let far = headers.iter().find_map(|header| {
        let by = rules.held_until(header, now)?.since(now);
        (by > FAR_AHEAD).then_some((header, by))
    });
    if let Some((header, by)) = far
        && rules.check_isolated(header).is_ok()
    {
        out.push(Action::FarAhead(header.id(), by));
    }
}
