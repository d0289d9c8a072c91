//! What a small protocol needs: peers, links between them, and what happens next.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use crate::base::{Rng, Span, Time};
use crate::sim::network::{Flow, Network, NetworkConfig};

/// The most connections that a node takes from others.
const INBOUND_MAX: usize = 115;

/// When a run begins.
const BEGIN: Time = Time::from_millis(1_600_000_000_000);

/// For each node, whom it connects to.
pub(super) type Outbound = Vec<Vec<usize>>;

/// Every node connects to `out` others at random.
pub(super) fn random_mesh(nodes: usize, out: usize, rng: &mut Rng) -> Outbound {
    let mut inbound = vec![0; nodes];
    let connect = |node: usize| {
        let mut peers = BTreeSet::new();
        while peers.len() < out {
            let peer = rng.below(nodes as u64) as usize;
            if peer != node && inbound[peer] < INBOUND_MAX && peers.insert(peer) {
                inbound[peer] += 1;
            }
        }
        peers.into_iter().collect()
    };
    (0..nodes).map(connect).collect()
}

/// For each node, whom it is connected with, whoever began.
pub(super) fn neighbours(outbound: &Outbound) -> Vec<Vec<usize>> {
    let mut all: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); outbound.len()];
    for (node, peers) in outbound.iter().enumerate() {
        for peer in peers {
            all[node].insert(*peer);
            all[*peer].insert(node);
        }
    }
    all.into_iter()
        .map(|peers| peers.into_iter().collect())
        .collect()
}

/// What happens at a node: something arrives from another, or from the node itself in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Happening<M> {
    at: Time,
    sequence: u64,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) what: M,
}

/// Nodes with links between them, and what is under way.
pub(super) struct Arena<M> {
    pub(super) network: Network,
    /// For each node, the peers in order and the flow to each.
    flows: Vec<Vec<(usize, Flow)>>,
    queue: BinaryHeap<Reverse<Happening<M>>>,
    sequence: u64,
    now: Time,
}

impl<M: Copy + Ord> Arena<M> {
    /// A network in which each node is connected with these.
    pub(super) fn new(config: NetworkConfig, neighbours: &[Vec<usize>], rng: &Rng) -> Self {
        let mut network = Network::new(config, rng.fork("network"));
        for _ in neighbours {
            network.add();
        }
        let flows = |(node, peers): (usize, &Vec<usize>)| {
            let flow = |peer: &usize| (*peer, network.flow(node, *peer));
            peers.iter().map(flow).collect()
        };
        Self {
            flows: neighbours.iter().enumerate().map(flows).collect(),
            network,
            queue: BinaryHeap::new(),
            sequence: 0,
            now: BEGIN,
        }
    }

    /// The node at the middle of the `run`-th of `runs` equal parts of all nodes in the order of
    /// their regions. How soon a network has something depends above all on where it begins: runs
    /// that begin in each region as often as nodes are there need to be far fewer.
    pub(super) fn origin(&self, run: u64, runs: u64) -> usize {
        let mut nodes: Vec<usize> = (0..self.network.len()).collect();
        nodes.sort_by_key(|node| self.network.place(*node).region);
        nodes[(nodes.len() as u64 * (2 * run + 1) / (2 * runs)) as usize]
    }

    /// Sends something over the connection of two nodes.
    pub(super) fn send(&mut self, from: usize, to: usize, lane: u8, bytes: u64, what: M) {
        self.send_after(Span::ZERO, from, to, lane, bytes, what);
    }

    /// Sends something when so much time was spent on it.
    pub(super) fn send_after(
        &mut self,
        work: Span,
        from: usize,
        to: usize,
        lane: u8,
        bytes: u64,
        what: M,
    ) {
        let place = self.flows[from].binary_search_by_key(&to, |(peer, _)| *peer);
        let flow = &mut self.flows[from][place.expect("only peers are told")].1;
        let at = self.network.send(self.now + work, flow, lane, bytes);
        self.push(at, from, to, what);
    }

    /// Reminds a node of something.
    pub(super) fn remind(&mut self, after: Span, node: usize, of: usize, what: M) {
        self.push(self.now + after, of, node, what);
    }

    fn push(&mut self, at: Time, from: usize, to: usize, what: M) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.queue.push(Reverse(Happening {
            at,
            sequence,
            from,
            to,
            what,
        }));
    }

    /// What happens next, and how long after the beginning.
    pub(super) fn next(&mut self) -> Option<(Span, Happening<M>)> {
        let Reverse(next) = self.queue.pop()?;
        self.now = next.at;
        Some((self.elapsed(), next))
    }

    pub(super) fn elapsed(&self) -> Span {
        self.now.since(BEGIN)
    }
}

/// Milliseconds after which a part of all nodes have it; all of them when some never do.
pub(super) fn percentile(times: &[Option<Span>], percent: usize) -> f64 {
    let mut sorted: Vec<u64> = times
        .iter()
        .map(|time| time.map_or(u64::from(u32::MAX), Span::as_micros))
        .collect();
    sorted.sort_unstable();
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted[place] as f64 / 1_000.0
}

/// The mean of figures of many networks.
pub(super) fn mean(figures: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = figures.fold((0.0, 0.0), |(count, sum), one| (count + 1.0, sum + one));
    sum / count
}
