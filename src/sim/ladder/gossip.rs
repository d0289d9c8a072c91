//! A mesh into which every node pushes whole messages, as gossipsub does.
//!
//! The published figures are those that gossipsub's author printed for his simulator
//! (github.com/vyzo/gerbil-simsub, README): 100 nodes that know 20 others each, a mesh of degree 6,
//! delays of 10 to 150 ms; gossip beside the mesh is left out here.

use std::collections::BTreeSet;

use crate::base::{Rng, Span};
use crate::sim::network::{Bandwidths, Matrix, NetworkConfig};

use super::arena::{Arena, mean, neighbours, random_mesh};
use super::{Bar, RungResult, Rungs};

const SIMSUB: &str = "vyzo/gerbil-simsub";
/// Peers that a node knows, and those that it wants in its mesh.
const KNOWN: usize = 20;
const DEGREE: usize = 6;

/// Each node in turn adds peers that it knows until it has as many as it wants; those may then
/// have more.
fn mesh(nodes: usize, rng: &mut Rng) -> Vec<Vec<usize>> {
    let known = neighbours(&random_mesh(nodes, KNOWN, rng));
    let mut mesh: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); nodes];
    for node in 0..nodes {
        let mut others = known[node].clone();
        rng.shuffle(&mut others);
        for peer in others {
            if mesh[node].len() >= DEGREE {
                break;
            }
            mesh[node].insert(peer);
            mesh[peer].insert(node);
        }
    }
    mesh.into_iter()
        .map(|peers| peers.into_iter().collect())
        .collect()
}

/// Copies sent for each node that has the message, and the parts of nodes that have it after each
/// of these times.
fn run(nodes: usize, seed: u64, by: &[Span]) -> (f64, Vec<f64>) {
    let mut rng = Rng::from_number(seed);
    let peers = mesh(nodes, &mut rng);
    let config = NetworkConfig {
        matrix: Matrix::Spread(Span::from_millis(10), Span::from_millis(150)),
        bandwidth: Bandwidths::Unlimited,
        slow_start: false,
        ..NetworkConfig::default()
    };
    let mut arena = Arena::new(config, &peers, &rng);
    let mut has: Vec<Option<Span>> = vec![None; nodes];
    let mut copies = 0.0;
    has[0] = Some(Span::ZERO);
    let mut tell = |arena: &mut Arena<()>, node: usize, but: usize| {
        for peer in peers[node].iter().filter(|peer| **peer != but) {
            copies += 1.0;
            arena.send(node, *peer, 1, 1_000, ());
        }
    };
    tell(&mut arena, 0, 0);
    while let Some((now, next)) = arena.next() {
        if has[next.to].is_none() {
            has[next.to] = Some(now);
            tell(&mut arena, next.to, next.from);
        }
    }
    let reached = has.iter().flatten().count() as f64;
    let part = |by: &Span| {
        let early = has.iter().flatten().filter(|time| *time <= by).count();
        100.0 * early as f64 / nodes as f64
    };
    (copies / reached, by.iter().map(part).collect())
}

pub(super) fn climb(rungs: Rungs) -> Vec<RungResult> {
    let mut results = Vec::new();
    let by: Vec<Span> = (1..=4)
        .map(|hundreds| Span::from_millis(hundreds * 100))
        .collect();
    // A small mesh differs from the next: ten times the seeds of others.
    let small: Vec<_> = (0..rungs.seeds() * 10)
        .map(|seed| run(100, seed, &by))
        .collect();
    let large: Vec<_> = (0..rungs.seeds())
        .map(|seed| run(1_000, seed, &by))
        .collect();
    let mut rung = |name: String, source, unit, expected, got, bar| {
        results.push(RungResult {
            name,
            source,
            unit,
            expected,
            got,
            bar,
        });
    };
    // 6,280 messages brought 1,000 deliveries.
    for (nodes, runs, expected) in [(100, &small, 6_280.0 / 1_000.0), (1_000, &large, 6.3)] {
        let copies = mean(runs.iter().map(|(copies, _)| *copies));
        let name = format!("mesh of degree 6, for each of {nodes} nodes");
        rung(name, SIMSUB, "copies", expected, copies, Bar::Within(50));
    }
    let apart = "threads in real time there, and a jitter that is not said";
    for (place, (expected, bar)) in [
        (15.6, Bar::Apart(apart)),
        (87.8, Bar::Within(100)),
        (99.0, Bar::Within(20)),
    ]
    .into_iter()
    .enumerate()
    {
        let part = mean(small.iter().map(|(_, parts)| parts[place]));
        let name = format!("mesh of degree 6, of 100 nodes within {}", by[place]);
        rung(name, SIMSUB, "%", expected, part, bar);
    }
    let part = mean(large.iter().map(|(_, parts)| parts[3]));
    let name = "mesh of degree 6, of 1,000 nodes within 400 ms".to_owned();
    rung(name, SIMSUB, "%", 99.0, part, Bar::Within(20));
    results
}
