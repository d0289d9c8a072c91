//! A miner with most of the work that chooses its times freely.

use std::sync::Arc;

use crate::base::{Span, Time};
use crate::consensus::{HeaderRules, ParentView};
use crate::node::{CallError, CallId, Question, Reply};
use crate::sim::workload::arrivals::Arrivals;
use crate::sim::{Behaviour, Hands};
use crate::types::{AccountId, CompactBits, Height, Millis, Rules, Seal, work_of_target};

use super::craft::seal;

/// How far ahead the greedy strategy looks.
const LOOKAHEAD: u64 = 8;
/// After so many blocks of the earliest times the saw-tooth jumps to the latest.
const TOOTH: u64 = 72;

/// How a miner chooses a block's time between the earliest that its parent allows and the latest
/// that nodes take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeStrategy {
    /// Always the earliest.
    Earliest,
    /// Always the latest.
    Latest,
    /// The one and the other in turns.
    Alternating,
    /// The earliest for long, so that the chain's time falls behind, then the latest.
    SawTooth,
    /// The one of several after which the next blocks cost least, whatever comes after them.
    Greedy,
}

impl TimeStrategy {
    /// Every strategy.
    pub const ALL: [Self; 5] = [
        Self::Earliest,
        Self::Latest,
        Self::Alternating,
        Self::SawTooth,
        Self::Greedy,
    ];

    /// The time of a child of `parent` that is found `now`; none while every time that the parent
    /// allows is later than nodes take. `pace` is the time from block to block.
    #[must_use]
    pub fn choose(
        self,
        rules: &HeaderRules,
        parent: &ParentView,
        now: Time,
        pace: Span,
    ) -> Option<Millis> {
        let earliest = rules.earliest_child(parent);
        let latest = latest(rules, parent.height.next(), now);
        if earliest > latest {
            return None;
        }
        let height = parent.height.0 + 1;
        let is_late = match self {
            Self::Earliest => false,
            Self::Latest => true,
            Self::Alternating => height.is_multiple_of(2),
            Self::SawTooth => height.is_multiple_of(TOOTH),
            Self::Greedy => return Some(greedy(rules, (earliest, latest), parent, now, pace)),
        };
        Some(if is_late { latest } else { earliest })
    }
}

/// The latest time that a node whose clock shows `now` takes in a header of this height.
fn latest(rules: &HeaderRules, height: Height, now: Time) -> Millis {
    let limit = Rules::at(rules.genesis(), height).future_limit_ms();
    Millis(now.as_millis() + limit)
}

/// Of five times from the earliest to the latest, the one after which the next blocks cost least
/// by the better of the two simplest ways to go on.
fn greedy(
    rules: &HeaderRules,
    (earliest, latest): (Millis, Millis),
    parent: &ParentView,
    now: Time,
    pace: Span,
) -> Millis {
    let span = latest.0 - earliest.0;
    let candidates = (0..4).map(|part| Millis(earliest.0 + span / 4 * part));
    let cost = |time: &Millis| {
        let child = ParentView {
            height: parent.height.next(),
            time: *time,
            base_fee: parent.base_fee,
        };
        let ways = [TimeStrategy::Earliest, TimeStrategy::Latest];
        let costs = ways.map(|way| cost_of_next(rules, child, way, now, pace));
        costs.into_iter().min().unwrap_or(u128::MAX)
    };
    // Of equals the latest, which leaves most room.
    let best = candidates
        .chain([latest])
        .min_by_key(|time| (cost(time), u64::MAX - time.0));
    best.unwrap_or(latest)
}

/// The work of the next blocks after `parent`, found at this pace from `now` on.
fn cost_of_next(
    rules: &HeaderRules,
    mut parent: ParentView,
    way: TimeStrategy,
    mut now: Time,
    pace: Span,
) -> u128 {
    let mut sum = 0;
    for _ in 0..LOOKAHEAD {
        now += pace;
        sum += u128::from(expected_hashes(rules.next_bits(&parent)));
        let Some(time) = way.choose(rules, &parent, now, pace) else {
            continue;
        };
        (parent.height, parent.time) = (parent.height.next(), time);
    }
    sum
}

/// The hashes that a block of these bits costs, where that is a number of 64 bits.
fn expected_hashes(bits: CompactBits) -> u64 {
    let work = bits
        .target()
        .map(work_of_target)
        .map(|work| work.to_le_bytes());
    let Some(work) = work else {
        return u64::MAX;
    };
    let (low, high) = work.split_at(8);
    match (low.try_into(), high.iter().all(|byte| *byte == 0)) {
        (Ok(low), true) => u64::from_le_bytes(low),
        _ => u64::MAX,
    }
}

/// A miner with most of the work, which chooses its blocks' times. It finds them as often as
/// one of its power does, and asks for a template when it finds one: how long it has looked for a
/// nonce says nothing about how long it goes on looking.
#[derive(Clone, Debug)]
pub struct TimeTwister {
    strategy: TimeStrategy,
    /// What it hashes, in percent of what the chain's miners do when it comes.
    percent: u64,
    /// What a block cost when it came: what the chain's miners hash in an interval.
    first_cost: Option<u64>,
    asked: Option<CallId>,
}

impl TimeTwister {
    /// The power that it has unless another is given: two thirds of all.
    pub const PERCENT: u64 = 200;

    /// A miner that chooses its times like this, of so many percent of what the chain's miners
    /// hash.
    #[must_use]
    pub const fn new(strategy: TimeStrategy, percent: u64) -> Self {
        Self {
            strategy,
            percent,
            first_cost: None,
            asked: None,
        }
    }

    /// Is woken when it finds its next block.
    fn wake_when_found(&mut self, hands: &mut Hands<'_>) {
        let interval = Self::pace(hands).as_millis() as f64 / 1_000.0;
        let cost = next_cost(hands);
        self.first_cost = self.first_cost.or(cost);
        let eased = match (self.first_cost, cost) {
            (Some(first), Some(cost)) => first as f64 / cost as f64,
            _ => 1.0,
        };
        // Products and quotients of IEEE 754, which are the same everywhere.
        let power = self.percent as f64 / 100.0;
        let found = Arrivals::at_rate(power * eased / interval);
        let gap = found.gap(hands.rng);
        hands.wake_at(hands.now + gap);
    }

    fn pace(hands: &Hands<'_>) -> Span {
        Span::from_millis(u64::from(hands.genesis.rules.interval_ms))
    }
}

/// The hashes that the next block costs, if its node shows a tip.
fn next_cost(hands: &Hands<'_>) -> Option<u64> {
    let rules = HeaderRules::new(Arc::clone(hands.genesis)).ok()?;
    let tip = ParentView::from(&hands.published?.header);
    Some(expected_hashes(rules.next_bits(&tip)))
}

impl Behaviour for TimeTwister {
    fn name(&self) -> &'static str {
        "time-twister"
    }

    fn start(&mut self, hands: &mut Hands<'_>) {
        self.asked = None;
        self.wake_when_found(hands);
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        let question = Question::Template {
            beneficiary: AccountId([0x71; 32]),
            after: None,
        };
        self.asked = Some(hands.call(question));
        self.wake_when_found(hands);
    }

    fn answered(&mut self, call: CallId, reply: &Result<Reply, CallError>, hands: &mut Hands<'_>) {
        let Ok(Reply::Template(template)) = reply else {
            return;
        };
        if self.asked.take_if(|asked| *asked == call).is_none() {
            return;
        }
        let Ok(rules) = HeaderRules::new(Arc::clone(hands.genesis)) else {
            return;
        };
        let Some(tip) = hands
            .published
            .filter(|tip| tip.tip == template.header.parent_id)
        else {
            return;
        };
        let parent = ParentView::from(&tip.header);
        let chosen = self
            .strategy
            .choose(&rules, &parent, hands.now, Self::pace(hands));
        let Some(time) = chosen else {
            return;
        };
        let mut header = template.header.clone();
        header.time = time;
        if !seal(&mut header) {
            return;
        }
        if let Seal::Work { nonce, .. } = header.seal {
            hands.mark("time-twister: chose a block's time");
            hands.call(Question::SubmitWork {
                template: template.id,
                nonce,
                time: Some(time),
            });
        }
    }
}

#[cfg(test)]
mod tests;
