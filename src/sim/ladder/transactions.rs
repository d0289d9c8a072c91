//! Relay of one transaction: told to all, or to a few, with sets reconciled beside it.
//!
//! The figures are those of a prototype with the same protocols over delays alone, of half of
//! SimBlock's table: means of 40 networks of 1,000 nodes.

use std::collections::BTreeSet;

use crate::base::{Rng, Span};
use crate::sim::network::{Bandwidths, NetworkConfig, exponential};

use super::arena::{Arena, mean, neighbours, percentile, random_mesh};
use super::{Bar, RungResult, Rungs};

const LANE: u8 = 3;
/// Bytes of an announcement or request, of a transaction, and of a set's sketch.
const ID_BYTES: u64 = 36;
const TRANSACTION_BYTES: u64 = 250;
const SKETCH_BYTES: u64 = 60;
/// How long a node waits for what it asked for before it asks another.
const ASK_AGAIN: Span = Span::from_secs(2);
/// The longest that announcements are held back where no timer does.
const BATCH: u64 = 50_000;
/// After a minute, whoever has nothing gets nothing.
const END: Span = Span::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Message {
    /// It is time to announce to a peer.
    Due,
    Announce,
    Ask,
    Transaction,
    /// It is time to compare with a peer.
    Compare,
    Sketch {
        has: bool,
    },
    Difference {
        has: bool,
    },
}

/// Why fewer announcements are made here after sets were compared.
const AT_ONCE: &str = "the model compares sets in an instant, and counts what is on its way anyway";

/// One way of relaying transactions.
#[derive(Clone, Copy, Debug)]
struct Relay {
    out: usize,
    /// Mean times between announcements to a peer that this node chose, and to all others; none
    /// means a batch.
    timers: Option<(Span, Span)>,
    /// How many of the chosen peers are told at once, and of 1,000 of the others.
    fan_out: usize,
    fan_in: u64,
    /// How often sets are compared with each chosen peer.
    compare: Option<Span>,
}

/// What one run came to.
struct Run {
    times: Vec<Option<Span>>,
    announcements: u64,
}

struct Running<'a> {
    relay: Relay,
    rng: Rng,
    arena: Arena<Message>,
    outbound: &'a [Vec<usize>],
    inbound: Vec<Vec<usize>>,
    /// Pairs of which the first knows that the second has it.
    knows: BTreeSet<(usize, usize)>,
    asked: Vec<Option<Span>>,
    run: Run,
}

impl Relay {
    fn run(self, nodes: usize, run: u64, runs: u64) -> Run {
        let mut rng = Rng::from_number(run);
        let outbound = random_mesh(nodes, self.out, &mut rng);
        let mut inbound = vec![Vec::new(); nodes];
        for (node, peers) in outbound.iter().enumerate() {
            peers.iter().for_each(|peer| inbound[*peer].push(node));
        }
        let config = NetworkConfig {
            bandwidth: Bandwidths::Unlimited,
            slow_start: false,
            ..NetworkConfig::default()
        };
        let mut running = Running {
            relay: self,
            arena: Arena::new(config, &neighbours(&outbound), &rng),
            rng,
            outbound: &outbound,
            inbound,
            knows: BTreeSet::new(),
            asked: vec![None; nodes],
            run: Run {
                times: vec![None; nodes],
                announcements: 0,
            },
        };
        let origin = running.arena.origin(run, runs);
        running.go(origin);
        running.run
    }
}

impl Running<'_> {
    fn go(&mut self, origin: usize) {
        self.has(origin, Span::ZERO);
        if let Some(every) = self.relay.compare {
            for (node, peers) in self.outbound.iter().enumerate() {
                for peer in peers {
                    let phase = Span::from_micros(self.rng.below(every.as_micros()));
                    self.arena.remind(phase, node, *peer, Message::Compare);
                }
            }
        }
        let mut missing = self.run.times.len() - 1;
        while let Some((now, next)) = self.arena.next() {
            if now > END || missing == 0 && self.relay.compare.is_some() {
                break;
            }
            let before = self.run.times[next.to].is_none();
            self.happens(now, next.from, next.to, next.what);
            missing -= usize::from(before && self.run.times[next.to].is_some());
        }
    }

    fn happens(&mut self, now: Span, from: usize, to: usize, what: Message) {
        match what {
            Message::Due => self.announce(to, from),
            Message::Announce => {
                let waits = self.asked[to].is_some_and(|asked| now < asked + ASK_AGAIN);
                if self.run.times[to].is_none() && !waits {
                    self.asked[to] = Some(now);
                    self.arena.send(to, from, LANE, ID_BYTES, Message::Ask);
                }
            }
            Message::Ask => {
                let check = Span::from_millis(1);
                let bytes = TRANSACTION_BYTES;
                self.arena
                    .send_after(check, to, from, LANE, bytes, Message::Transaction);
            }
            Message::Transaction if self.run.times[to].is_none() => self.has(to, now),
            Message::Transaction => {}
            Message::Compare => {
                if let Some(every) = self.relay.compare {
                    self.arena.remind(every, to, from, Message::Compare);
                }
                if !self.knows.contains(&(to, from)) {
                    let has = self.run.times[to].is_some();
                    self.arena
                        .send(to, from, LANE, SKETCH_BYTES, Message::Sketch { has });
                }
            }
            Message::Sketch { has } => {
                let mine = self.run.times[to].is_some();
                if has && mine {
                    self.both_know(from, to);
                } else if has || mine {
                    let answer = Message::Difference { has: mine };
                    self.arena.send(to, from, LANE, SKETCH_BYTES, answer);
                }
            }
            Message::Difference { has } => {
                let mine = self.run.times[to].is_some();
                if mine && !has {
                    self.announce(to, from);
                } else if has && !mine {
                    self.both_know(from, to);
                    self.run.announcements += 1;
                    self.happens(now, from, to, Message::Announce);
                }
            }
        }
    }

    fn both_know(&mut self, one: usize, other: usize) {
        self.knows.insert((one, other));
        self.knows.insert((other, one));
    }

    fn announce(&mut self, from: usize, to: usize) {
        if !self.knows.contains(&(from, to)) {
            self.both_know(from, to);
            self.run.announcements += 1;
            self.arena.send(from, to, LANE, ID_BYTES, Message::Announce);
        }
    }

    /// A node has it: it will tell some of its peers.
    fn has(&mut self, node: usize, now: Span) {
        self.run.times[node] = Some(now);
        let mut chosen = self.outbound[node].clone();
        self.rng.shuffle(&mut chosen);
        let shared = self
            .relay
            .timers
            .map(|(_, all)| exponential(all, self.rng.next_u64()));
        for peer in chosen.into_iter().take(self.relay.fan_out) {
            let own = self.relay.timers.map(|(each, _)| each);
            let wait = match own {
                Some(mean) => exponential(mean, self.rng.next_u64()),
                None => Span::from_micros(self.rng.below(BATCH)),
            };
            self.arena.remind(wait, node, peer, Message::Due);
        }
        for place in 0..self.inbound[node].len() {
            if self.rng.chance(self.relay.fan_in, 1_000) {
                let wait = shared.unwrap_or_else(|| Span::from_micros(self.rng.below(BATCH)));
                self.arena
                    .remind(wait, node, self.inbound[node][place], Message::Due);
            }
        }
    }
}

pub(super) fn climb(rungs: Rungs) -> Vec<RungResult> {
    let flood = |out, timers: Option<(u64, u64)>| Relay {
        out,
        timers: timers.map(|(each, all)| (Span::from_millis(each), Span::from_millis(all))),
        fan_out: usize::MAX,
        fan_in: 1_000,
        compare: None,
    };
    let fan = |timers, fan_out, compare| Relay {
        fan_out,
        fan_in: 100,
        compare: Some(Span::from_secs(compare)),
        ..flood(12, timers)
    };
    // Percentiles 50 and 95, and announcements for each node.
    let rows = [
        (
            "told to all of 10, batches of 50 ms",
            flood(10, None),
            [247.0, 488.0, 9.95],
        ),
        (
            "told to all of 8, timers 2 and 5 s",
            flood(8, Some((2_000, 5_000))),
            [2_482.0, 3_267.0, 7.97],
        ),
        (
            "told to all of 12, timers 0.2 and 0.5 s",
            flood(12, Some((200, 500))),
            [438.0, 728.0, 11.93],
        ),
        (
            "told to 1, sets every 2 s, timers",
            fan(Some((200, 500)), 1, 2),
            [1_111.0, 1_533.0, 3.27],
        ),
        (
            "told to 2, sets every 1 s, timers",
            fan(Some((200, 500)), 2, 1),
            [732.0, 1_106.0, 4.43],
        ),
        (
            "told to 2, sets every 1 s, batches",
            fan(None, 2, 1),
            [485.0, 807.0, 4.59],
        ),
    ];
    let mut results = Vec::new();
    for (name, relay, expected) in rows {
        // Where a transaction begins matters more than where a block does: twice as many.
        let seeds = 2 * rungs.seeds();
        let runs: Vec<Run> = (0..seeds).map(|run| relay.run(1_000, run, seeds)).collect();
        let time = |percent| mean(runs.iter().map(|run| percentile(&run.times, percent)));
        let told = mean(runs.iter().map(|run| run.announcements as f64 / 1_000.0));
        let announced = match relay.compare {
            Some(_) => Bar::Apart(AT_ONCE),
            None => rungs.within(50),
        };
        for (what, unit, expected, got, bar) in [
            ("p50", "ms", expected[0], time(50), rungs.within(100)),
            ("p95", "ms", expected[1], time(95), rungs.within(100)),
            (
                "announcements per node",
                "each",
                expected[2],
                told,
                announced,
            ),
        ] {
            results.push(RungResult {
                name: format!("{name}, {what}"),
                source: "model",
                unit,
                expected,
                got,
                bar,
            });
        }
    }
    results
}
