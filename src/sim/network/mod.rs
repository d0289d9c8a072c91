//! The links between nodes: how long bytes take from one to another, and which pairs are cut off.
//!
//! *Owns* where each node is, how fast its line is and what is under way on it, and the rules that
//! cut nodes off. *Invariants*: the same configuration, seed and calls give the same times on any
//! machine, because nothing here is computed in floating point; messages of one lane of a
//! connection arrive in the order in which they were sent; nothing arrives before the delay of its
//! pair. *Never* decides what a message is or schedules anything: its caller has the queue of
//! what happens next.
//!
//! The model is described in docs/simulator.md, "Links", with what it leaves out.

mod config;
mod cuts;
mod draw;
mod flow;
mod line;
mod ping;
mod power;
mod regions;

pub use config::{Bandwidths, Matrix, NetworkConfig};
pub use cuts::{Cut, CutId};
pub use flow::Flow;
pub use regions::{Place, Region};

use crate::base::{Rng, Span, Time};
use crate::wire::LANES;

use cuts::Cuts;
use draw::{Draw, Losses, pair_hash};
use flow::{SEGMENT_BYTES, Windows};
use line::{Downlink, Speed, Uplink};
use regions::Regions;

/// Lanes that go before all others, the first of them first, as `wire` has it: control,
/// announcements, and blocks near the tip.
const STRICT: usize = 3;
/// Lanes that share what those leave: transactions, discovery, history.
const SHARED: usize = LANES - STRICT;

/// What is sent in a lane that there is not is refused by who gets it; until then it is as little
/// urgent as anything.
const fn place_of(lane: u8) -> usize {
    let lane = lane as usize;
    if lane < LANES { lane } else { LANES - 1 }
}

/// One node's line, as it is needed for each message that the node sends.
#[derive(Clone, Debug)]
struct Station {
    up: Uplink,
    /// Bytes that were put on the line, those of lost segments twice.
    sent: u64,
}

/// A waiting time with this mean, of which each draw is as likely as any other: the gaps of a
/// Poisson process, the same on any machine. The mean is at most a day.
#[must_use]
pub fn exponential(mean: Span, draw: u64) -> Span {
    Span::from_micros(power::exponential(mean.as_micros(), draw))
}

/// Every link of a world.
#[derive(Clone, Debug)]
pub struct Network {
    config: NetworkConfig,
    regions: Regions,
    windows: Windows,
    /// Places of nodes are drawn from this.
    places: Rng,
    /// What the delay of a pair depends on besides the two nodes.
    pairs: u64,
    jitter: Draw,
    losses: Losses,
    // What every message needs of both nodes is kept apart from what it needs of one, and in few
    // bytes: with thousands of nodes, a message costs what it finds outside the cache.
    where_at: Vec<Place>,
    down_speeds: Vec<Speed>,
    stations: Vec<Station>,
    downs: Vec<Downlink>,
    cuts: Cuts,
}

impl Network {
    /// A network without nodes.
    ///
    /// # Panics
    /// When the configuration is not [fit](NetworkConfig::check): whoever reads one from outside
    /// checks it first.
    #[must_use]
    pub fn new(config: NetworkConfig, rng: Rng) -> Self {
        config
            .check()
            .expect("a network is made of what was checked");
        let losses = Losses::new(config.loss_per_million, rng.fork("losses").next_u64());
        Self {
            regions: Regions::new(&config),
            windows: Windows::new(&config),
            pairs: rng.fork("pairs").next_u64(),
            jitter: Draw::new(rng.fork("jitter").next_u64()),
            losses,
            places: rng.fork("places"),
            where_at: Vec::new(),
            down_speeds: Vec::new(),
            stations: Vec::new(),
            downs: Vec::new(),
            cuts: Cuts::default(),
            config,
        }
    }

    /// The next node, numbered from 0: draws where it is and how fast its line is.
    pub fn add(&mut self) -> usize {
        let region = self.regions.draw(&mut self.places);
        let (up, down) = self.regions.line(&self.config.bandwidth, region);
        self.where_at.push(Place { region, up, down });
        self.down_speeds.push(Speed::new(down));
        self.downs.push(Downlink::new());
        self.stations.push(Station {
            up: Uplink::new(up),
            sent: 0,
        });
        self.stations.len() - 1
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stations.len()
    }

    /// Whether there is no node yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stations.is_empty()
    }

    /// Where a node is.
    #[must_use]
    pub fn place(&self, node: usize) -> &Place {
        &self.where_at[node]
    }

    /// How many segments were lost so far, each once.
    #[must_use]
    pub const fn lost_segments(&self) -> u64 {
        self.losses.count
    }

    /// The names of the regions, by their numbers.
    #[must_use]
    pub fn region_names(&self) -> &'static [&'static str] {
        self.regions.names()
    }

    /// The least time from one node to another, the same both ways and all the time.
    #[must_use]
    pub fn base_delay(&self, a: usize, b: usize) -> Span {
        let hash = pair_hash(self.pairs, a, b);
        let (from, to) = (self.where_at[a].region, self.where_at[b].region);
        self.regions.delay(from, to, hash)
    }

    /// A new connection's direction from one node to another.
    #[must_use]
    pub fn flow(&self, from: usize, to: usize) -> Flow {
        Flow::new(from, to, self.windows)
    }

    /// When the last byte of a message that is sent now arrives.
    ///
    /// It waits for what the flow and both nodes' lines have under way, and they have it under
    /// way from now on. Calls come in the order of `now`.
    pub fn send(&mut self, now: Time, flow: &mut Flow, lane: u8, bytes: u64) -> Time {
        let lane = place_of(lane);
        let (from, to) = flow.ends();
        let delay = self.delay_now(from, to);
        let segments = bytes.div_ceil(SEGMENT_BYTES).max(1);
        let lost = self.losses.among(segments);

        let sender = &mut self.stations[from];
        let on_line = bytes + lost.repeats() * SEGMENT_BYTES;
        sender.sent += on_line;
        let speed = sender.up.speed();
        let took = sender.up.put(now, lane, on_line);
        let left = if self.config.slow_start {
            flow.leave(self.windows, lane, took, bytes, delay.times(2), speed)
        } else {
            took.end
        };
        let left = flow.spend_credit(lane, took.begin, left, bytes, delay, speed);
        flow.queue(now, left, bytes);

        let span = self.down_speeds[to].span(bytes);
        let arrival = self.downs[to].take(took.begin + delay, left + delay, lane, span);
        flow.arrive(lane, arrival, &lost, delay.times(2), speed)
    }

    /// How many bytes of a flow have not left the sender's line yet.
    #[must_use]
    pub fn backlog(&self, now: Time, flow: &Flow) -> u64 {
        flow.backlog(now)
    }

    /// When no more than `bytes` of a flow will wait for the sender's line, if nothing is added:
    /// `now` where that is so already.
    #[must_use]
    pub fn room_at(&self, now: Time, flow: &Flow, bytes: u64) -> Time {
        flow.room_at(now, bytes)
    }

    /// How many bytes a node put on its line so far, repetitions included.
    #[must_use]
    pub fn sent_bytes(&self, node: usize) -> u64 {
        self.stations[node].sent
    }

    /// Sets how many of a million segments are lost from now on.
    ///
    /// # Panics
    /// When it is more than [`NetworkConfig::check`] lets through.
    #[cfg(test)]
    pub(crate) fn set_loss(&mut self, per_million: u32) {
        self.config.loss_per_million = per_million;
        self.config.check().expect("a loss that a network can have");
        self.losses.set(per_million);
    }

    /// Cuts nodes off from each other, until it is mended.
    pub fn cut(&mut self, cut: Cut) -> CutId {
        self.cuts.add(&cut)
    }

    /// Ends a cut; one that is over already stays so.
    pub fn mend(&mut self, id: CutId) {
        self.cuts.remove(id);
    }

    /// Whether a cut that holds has kept anything from passing.
    #[must_use]
    pub fn was_felt(&self, id: CutId) -> bool {
        self.cuts.was_felt(id)
    }

    /// Whether anything comes through from one node to another: whether no cut forbids it.
    #[must_use]
    pub fn passes(&self, from: usize, to: usize) -> bool {
        self.cuts.pass(from, to)
    }

    /// The delay of a pair with this message's jitter on top.
    fn delay_now(&mut self, from: usize, to: usize) -> Span {
        let base = self.base_delay(from, to).as_micros();
        let most = base * u64::from(self.config.jitter_permille) / 1_000;
        Span::from_micros(base + self.jitter.up_to(most))
    }
}

#[cfg(test)]
mod tests;
