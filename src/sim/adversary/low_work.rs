//! A peer that shows long branches of next to no work.

use std::collections::BTreeMap;

use crate::base::{Span, Time};
use crate::consensus::{HeaderRules, ParentView, next_base_fee};
use crate::node::{CallError, CallId, Question, Reply};
use crate::sim::{Behaviour, Fate, Hands, Letter};
use crate::types::{AccountId, Block, BlockId, Hash, Header, Height, Millis, Rules, Seal, Uint256};
use crate::wire::message::HEADERS_MAX;
use crate::wire::{Message, MessageKind};

use super::craft::{Greeted, is, read, seal, send, send_in};

/// How long it waits before its first branch: the older the chain, the easier a branch from its
/// beginning.
const FIRST_WAIT: Span = Span::from_secs(20);
/// How often it makes more headers, and tells of them.
const PAUSE: Span = Span::from_secs(5);
/// The most headers of a branch.
const BRANCH_MAX: usize = 6_000;
/// A header that costs more than the tip's work through this is not worth its while, but for the
/// first: the next branch is cheaper.
const TIP_PARTS: u32 = 4;

/// Makes branches from genesis, or from some block of the chain, whose first header is as late as
/// nodes take it and those that follow as close to it as they may be: by the target rule that is
/// what costs least. It tells of their ends, and shows them to whoever asks.
#[derive(Clone, Debug, Default)]
pub struct LowWorkHeaderFlood {
    /// How much of what the chain's miners hash in the meantime it spends on headers, in percent.
    percent: u64,
    asked: Option<CallId>,
    base: Option<Header>,
    branch: Vec<Header>,
    /// The places of the branch's headers in it.
    places: BTreeMap<BlockId, usize>,
    branches: u64,
    /// What it can still spend.
    hashes: Uint256,
    /// Whether the branch does not go on.
    is_done: bool,
    greeted: Greeted,
}

impl LowWorkHeaderFlood {
    /// The power that it has unless another is given.
    pub const PERCENT: u64 = 25;

    /// One that has made nothing yet, of so many percent of what the chain's miners hash.
    #[must_use]
    pub fn new(percent: u64) -> Self {
        Self {
            percent,
            ..Self::default()
        }
    }

    /// Begins another branch: from genesis, or from some block below the tip, in turns.
    fn begin(&mut self, hands: &mut Hands<'_>) {
        let tip = hands
            .published
            .map_or(0, |published| published.header.height.0);
        let height = if self.branches.is_multiple_of(2) {
            0
        } else {
            hands.rng.below(tip + 1)
        };
        self.branches += 1;
        (self.base, self.branch, self.is_done) = (None, Vec::new(), false);
        self.places.clear();
        self.asked = Some(hands.call(Question::HeaderAt(Height(height))));
    }

    /// Makes more headers on the branch; says whether it can go on.
    fn grow(&mut self, hands: &mut Hands<'_>) -> bool {
        let Some(base) = &self.base else {
            return true;
        };
        let Ok(rules) = HeaderRules::new(std::sync::Arc::clone(hands.genesis)) else {
            return true;
        };
        let Some(published) = hands.published else {
            return true;
        };
        // The first header has to cost what its parent's time asks for.
        let tip = published.header.work();
        let first = tip.shift_left(TIP_PARTS.ilog2());
        let others = tip.shift_right(TIP_PARTS.ilog2());
        let salt = AccountId(hands.rng.bytes32());
        let in_pause = tip.widening_mul(PAUSE.as_millis()).0;
        let in_pause = in_pause.widening_mul(self.percent).0;
        let parts = u64::from(hands.genesis.rules.interval_ms) * 100;
        let hashes = in_pause.quotient(Uint256::from_u64(parts));
        self.hashes = self.hashes.saturating_add(hashes);
        while self.branch.len() < BRANCH_MAX {
            let parent = self.branch.last().unwrap_or(base);
            let left = (BRANCH_MAX - self.branch.len()) as u64;
            let dearest = if self.branch.is_empty() {
                first
            } else {
                others
            };
            let Some(mut header) = child(&rules, parent, (hands.now, left), (dearest, salt)) else {
                return false;
            };
            if header.work() > self.hashes {
                return true;
            }
            self.hashes = self.hashes.wrapping_sub(header.work());
            if !seal(&mut header) {
                return false;
            }
            self.places.insert(header.id(), self.branch.len());
            self.branch.push(header);
        }
        self.branch.len() < BRANCH_MAX
    }

    /// Tells of the branch's end, whose parent nobody knows: whoever hears of it asks what lies
    /// below.
    fn tell(&mut self, hands: &mut Hands<'_>) {
        let Some(last) = self.branch.last() else {
            return;
        };
        let headers = vec![last.clone()];
        for (conn, _) in self.greeted.open(hands) {
            let headers = headers.clone();
            send(hands, conn, &Message::Announce { headers });
        }
        hands.mark("low-work: told of a branch");
    }

    /// The headers that follow on the first id of a locator that the branch has.
    fn after(&self, locator: &[BlockId]) -> Option<&[Header]> {
        let base = self.base.as_ref()?.id();
        for id in locator {
            if *id == base {
                return Some(&self.branch);
            }
            if let Some(place) = self.places.get(id) {
                return Some(&self.branch[place + 1..]);
            }
        }
        None
    }
}

/// The cheapest child of a header, of an empty block, if it costs at most `dearest`; `left` more
/// are to follow on the branch. Its work is not done yet.
fn child(
    rules: &HeaderRules,
    parent: &Header,
    (now, left): (Time, u64),
    (dearest, salt): (Uint256, AccountId),
) -> Option<Header> {
    let genesis = rules.genesis();
    let at = Rules::at(genesis, parent.height.next());
    let latest = now.as_millis() + at.future_limit_ms();
    let view = ParentView::from(parent);
    let room = left * at.step_ms();
    let time = rules
        .earliest_child(&view)
        .0
        .max(latest.saturating_sub(room));
    let header = Header {
        height: parent.height.next(),
        parent_id: parent.id(),
        time: Millis(time),
        tx_root: Block::tx_root(&[]),
        state_root: Hash(salt.0),
        history_root: Hash::ZERO,
        base_fee: next_base_fee(at, parent.base_fee, 0),
        beneficiary: salt,
        parent_weight: 0,
        seal: Seal::Work {
            bits: rules.next_bits(&view),
            nonce: 0,
        },
    };
    let is_cheap = header.work() <= dearest;
    (time <= latest && is_cheap).then_some(header)
}

impl Behaviour for LowWorkHeaderFlood {
    fn name(&self) -> &'static str {
        "low-work"
    }

    fn start(&mut self, hands: &mut Hands<'_>) {
        *self = Self::new(self.percent);
        hands.wake_at(hands.now + FIRST_WAIT);
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        // A branch stays for a while when it is done: whoever hears of it asks for it first.
        if self.base.is_none() || self.is_done {
            if self.asked.is_none() {
                self.begin(hands);
            }
        } else {
            self.is_done = !self.grow(hands);
            self.tell(hands);
        }
        hands.wake_at(hands.now + PAUSE);
    }

    fn answered(&mut self, call: CallId, reply: &Result<Reply, CallError>, _: &mut Hands<'_>) {
        if self.asked.take_if(|asked| *asked == call).is_some()
            && let Ok(Reply::Header { header, .. }) = reply
        {
            self.base = Some((**header).clone());
        }
    }

    fn outgoing(&mut self, letter: &Letter<'_>, _: &mut Hands<'_>) -> Fate {
        self.greeted.look_at(letter);
        Fate::Pass
    }

    fn incoming(&mut self, letter: &Letter<'_>, hands: &mut Hands<'_>) -> Fate {
        if !is(letter, MessageKind::GetHeaders) {
            return Fate::Pass;
        }
        let Some(Message::GetHeaders {
            request,
            max,
            locator,
            ..
        }) = read(letter, hands)
        else {
            return Fate::Pass;
        };
        let Some(headers) = self.after(&locator).filter(|headers| !headers.is_empty()) else {
            return Fate::Pass;
        };
        hands.mark(if headers.len() == self.branch.len() {
            "low-work: showed headers"
        } else {
            "low-work: showed more headers"
        });
        let count = headers.len().min(usize::from(max)).min(HEADERS_MAX);
        let headers = headers[..count].to_vec();
        let message = Message::Headers { request, headers };
        send_in(hands, letter.conn, letter.lane, &message);
        Fate::Drop
    }
}
