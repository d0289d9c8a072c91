//! Where the nodes of a devnet stand, whom each dials, and how hard its blocks are to find.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use crate::cli::{DEFAULT_PORT, DEFAULT_RPC_PORT};
use crate::types::{CompactBits, Uint256};

/// The most nodes of a devnet: their addresses are 127.10.b.1 to 127.73.b.1.
pub(super) const NODES_MAX: i64 = 64;

/// Where one node listens and whom it dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Place {
    /// For peers.
    pub(in crate::cli) p2p: SocketAddr,
    /// For the RPC.
    pub(in crate::cli) rpc: SocketAddr,
    /// The nodes it dials, by number from 0.
    pub(super) dials: Vec<usize>,
}

/// The places of `nodes` nodes on the `b`-th set of addresses. Each node has a /16 of its own, so
/// that no rule on how many peers come from one network has to be switched off.
fn places(nodes: usize, b: u8) -> Vec<Place> {
    (0..nodes)
        .map(|node| {
            let address = IpAddr::V4(Ipv4Addr::new(127, 10 + node as u8, b, 1));
            Place {
                p2p: SocketAddr::new(address, DEFAULT_PORT),
                rpc: SocketAddr::new(address, DEFAULT_RPC_PORT),
                dials: dials(node, nodes),
            }
        })
        .collect()
}

/// Whom a node dials: its successor on a ring, and from the first half of the ring also the node
/// opposite. Every pair is dialled from one side only.
fn dials(node: usize, nodes: usize) -> Vec<usize> {
    let mut dials = Vec::new();
    let successor = (node + 1) % nodes;
    // With two nodes the ring is one edge.
    if nodes > 2 || node < successor {
        dials.push(successor);
    }
    if nodes > 3 && node < nodes / 2 {
        dials.push(node + nodes / 2);
    }
    dials
}

/// The nodes that a node is connected with; with nobody else there, itself.
pub(super) fn neighbours(places: &[&Place], node: usize) -> BTreeSet<usize> {
    let dialled = places[node].dials.iter().copied();
    let by = |other: &usize| places[*other].dials.contains(&node);
    let mut found: BTreeSet<usize> = dialled.chain((0..places.len()).filter(by)).collect();
    if found.is_empty() {
        found.insert(node);
    }
    found
}

/// Places whose ports nobody listens on. The search begins at `first`, so that two devnets started
/// at the same moment look at different addresses.
pub(in crate::cli) fn free_places(nodes: usize, first: u8) -> Result<Vec<Place>, String> {
    let mut obstacle = String::new();
    for step in 0..=u8::MAX {
        let places = places(nodes, first.wrapping_add(step));
        let taken = places
            .iter()
            .flat_map(|place| [place.p2p, place.rpc])
            .find_map(|address| {
                TcpListener::bind(address)
                    .err()
                    .map(|error| (address, error))
            });
        match taken {
            None => return Ok(places),
            Some((address, error)) => obstacle = format!("{address}: {error}"),
        }
    }
    Err(format!(
        "no addresses for the nodes are free ({obstacle}); a devnet needs the addresses \
         127.10.x.1 to 127.73.x.1, which Linux has without any setting up"
    ))
}

/// The target that makes all nodes together find a block every `interval_ms` on average.
pub(super) fn target_for(nodes: usize, hashrate: u64, interval_ms: u32) -> CompactBits {
    let hashes = (nodes as u64)
        .saturating_mul(hashrate)
        .saturating_mul(u64::from(interval_ms))
        / 1_000;
    let everything = Uint256::ZERO.complement();
    CompactBits::from_target(everything.quotient(Uint256::from_u64(hashes.max(2))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::work_of_target;

    #[test]
    fn every_network_is_connected_and_dials_no_pair_twice() {
        for nodes in 1..=NODES_MAX as usize {
            let mut pairs = BTreeSet::new();
            let mut reached = BTreeSet::from([0]);
            for node in 0..nodes {
                for other in dials(node, nodes) {
                    assert!(other < nodes && other != node);
                    assert!(
                        pairs.insert((node.min(other), node.max(other))),
                        "{node}-{other}"
                    );
                }
            }
            while let Some((a, b)) = pairs
                .iter()
                .copied()
                .find(|(a, b)| reached.contains(a) != reached.contains(b))
            {
                reached.extend([a, b]);
            }
            assert_eq!(reached.len(), nodes, "{nodes} nodes");
        }
    }

    #[test]
    fn a_node_is_cut_off_by_those_around_it() {
        let around = |nodes, node| {
            let places = places(nodes, 7);
            neighbours(&places.iter().collect::<Vec<_>>(), node)
        };
        assert_eq!(around(1, 0), BTreeSet::from([0]));
        assert_eq!(around(2, 1), BTreeSet::from([0]));
        assert_eq!(around(3, 1), BTreeSet::from([0, 2]));
        assert_eq!(around(8, 0), BTreeSet::from([1, 4, 7]));
        assert_eq!(around(8, 5), BTreeSet::from([1, 4, 6]));
    }

    #[test]
    fn four_nodes_stand_in_four_networks() {
        let places = places(4, 7);
        assert_eq!(places[3].p2p.to_string(), "127.13.7.1:5335");
        assert_eq!(places[3].rpc.to_string(), "127.13.7.1:5336");
        let last = self::places(NODES_MAX as usize, 7).pop().unwrap();
        assert_eq!(last.p2p.to_string(), "127.73.7.1:5335");
    }

    #[test]
    fn taken_ports_are_passed_over() {
        // Somewhere in the search a listener stands; the next set is taken instead.
        let first = free_places(2, 200).unwrap();
        let holder = TcpListener::bind(first[1].rpc).unwrap();
        let second = free_places(2, 200).unwrap();
        assert_ne!(first[1].rpc, second[1].rpc);
        drop(holder);
    }

    #[test]
    fn the_target_follows_the_hash_rate() {
        // The profile's own target is meant for four miners of 2,000 hashes a second.
        for (nodes, hashrate) in [(4, 2_000), (1, 2_000), (64, 50_000), (1, 1)] {
            let bits = target_for(nodes, hashrate, 2_000);
            let hashes = work_of_target(bits.target().unwrap()).to_f64();
            let wanted = (nodes as f64 * hashrate as f64 * 2.0).max(2.0);
            assert!(
                (hashes / wanted - 1.0).abs() < 0.01,
                "{hashes} for {wanted}"
            );
        }
    }
}
