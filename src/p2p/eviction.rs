//! Whose inbound connection makes room for a newcomer's.
//!
//! Every newcomer is let in as far as the handshake, so that holding slots keeps nobody out. Then
//! one goes. What an attacker would have to be good at to stay is protected first: to come from
//! networks it can't choose (they are hashed with a secret), to be near, to bring new transactions
//! and blocks early, to have been here long. Of the rest, a discouraged one goes first, then one
//! that is slow, then the youngest of the network that has the most.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::base::{Span, Time};
use crate::crypto::hash::sha256_parts;

use super::ConnId;

/// Protected for the secret order of their networks.
const BY_NETWORK: usize = 4;
/// Protected for the least round trip.
const BY_PING: usize = 8;
/// Protected for the latest transaction that was new here.
const BY_TRANSACTION: usize = 4;
/// Protected for the latest block that was new here.
const BY_BLOCK: usize = 4;

/// The network of an address (its /16, or /32 in IPv6) under a secret, so that nobody can choose
/// addresses for their place in the order.
#[must_use]
pub fn keyed_network(secret: &[u8; 32], ip: IpAddr) -> u64 {
    let (tag, bits) = match ip.to_canonical() {
        IpAddr::V4(ip) => (4, ip.to_bits() >> 16),
        IpAddr::V6(ip) => (6, (ip.to_bits() >> 96) as u32),
    };
    let hash = sha256_parts(&[b"keel/network", secret, &[tag], &bits.to_le_bytes()]);
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(first)
}

/// An inbound connection that could go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which one.
    pub conn: ConnId,
    /// When it was made.
    pub since: Time,
    /// Its network by [`keyed_network`].
    pub network: u64,
    /// The least round trip of a ping, once there was one.
    pub ping_min: Option<Span>,
    /// When it brought a transaction that was new and good.
    pub last_transaction: Option<Time>,
    /// When it brought a block that was new and good.
    pub last_block: Option<Time>,
    /// Whether the peer broke a rule lately.
    pub is_discouraged: bool,
    /// Whether it lets requests lapse.
    pub is_slow: bool,
}

/// The one that goes; none when all are protected.
#[must_use]
pub fn choose(mut candidates: Vec<Candidate>) -> Option<ConnId> {
    protect(&mut candidates, BY_NETWORK, |it| it.network);
    protect(&mut candidates, BY_PING, |it| {
        it.ping_min.map_or(0, |ping| u64::MAX - ping.as_micros())
    });
    protect(&mut candidates, BY_TRANSACTION, |it| it.last_transaction);
    protect(&mut candidates, BY_BLOCK, |it| it.last_block);
    let half = candidates.len() / 2;
    protect(&mut candidates, half, |it| Reverse(it.since));
    for first in [
        |it: &Candidate| it.is_discouraged,
        |it: &Candidate| it.is_slow,
    ] {
        if candidates.iter().any(first) {
            candidates.retain(first);
        }
    }
    let mut networks: BTreeMap<u64, Vec<&Candidate>> = BTreeMap::new();
    for candidate in &candidates {
        networks
            .entry(candidate.network)
            .or_default()
            .push(candidate);
    }
    let youngest = |members: Vec<&Candidate>| {
        let count = members.len();
        let youngest = members.iter().map(|it| (it.since, it.conn)).max();
        youngest.map(|(since, conn)| (count, since, conn))
    };
    let crowd = networks.into_values().filter_map(youngest).max();
    crowd.map(|(.., conn)| conn)
}

/// Takes out the `count` best by this measure; of equals the older connections.
fn protect<K: Ord>(
    candidates: &mut Vec<Candidate>,
    count: usize,
    measure: impl Fn(&Candidate) -> K,
) {
    candidates.sort_by_key(|it| (measure(it), Reverse((it.since, it.conn))));
    candidates.truncate(candidates.len().saturating_sub(count));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections of one network each, all alike, the later the higher the number.
    fn alike(count: u64) -> Vec<Candidate> {
        let one = |number| Candidate {
            conn: ConnId(number),
            since: Time::from_millis(number),
            network: number,
            ping_min: None,
            last_transaction: None,
            last_block: None,
            is_discouraged: false,
            is_slow: false,
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn the_few_are_all_protected() {
        assert_eq!(choose(Vec::new()), None);
        assert_eq!(choose(alike(20)), None);
        assert!(choose(alike(21)).is_some());
    }

    #[test]
    fn who_is_good_at_something_stays_whoever_else_comes() {
        // 40 who do nothing, from one network, and 20 who are each good at one thing.
        let mut all = alike(60);
        for candidate in &mut all[..40] {
            candidate.network = 0;
        }
        for (index, candidate) in all[40..].iter_mut().enumerate() {
            candidate.network = 1;
            let number = index as u64;
            match index {
                0..4 => candidate.network = 100 + number,
                4..12 => candidate.ping_min = Some(Span::from_millis(number)),
                12..16 => candidate.last_transaction = Some(Time::from_millis(number)),
                _ => candidate.last_block = Some(Time::from_millis(number)),
            }
        }
        // All of the 40 go, one after the other, down to the half that was here the longest.
        let mut gone = Vec::new();
        while let Some(conn) = choose(all.clone()) {
            assert!(conn.0 < 40, "{conn:?} went after {gone:?}");
            all.retain(|it| it.conn != conn);
            gone.push(conn.0);
            if gone.len() == 40 {
                break;
            }
        }
        assert_eq!(gone, (0..40).rev().collect::<Vec<_>>());
    }

    #[test]
    fn the_youngest_of_the_network_with_the_most_goes() {
        let mut all = alike(60);
        // Beyond the 20 that are protected by their order the older half stays as well.
        for candidate in &mut all[45..55] {
            candidate.network = 7;
        }
        assert_eq!(choose(all), Some(ConnId(54)));
    }

    #[test]
    fn of_the_unprotected_the_discouraged_go_first_and_then_the_slow() {
        let mut all = alike(60);
        all[50].is_slow = true;
        assert_eq!(choose(all.clone()), Some(ConnId(50)));
        all[52].is_discouraged = true;
        assert_eq!(choose(all.clone()), Some(ConnId(52)));
        // A discouraged one that is needed is kept, as long as there are others.
        all[52].last_block = Some(Time::from_millis(1));
        assert_eq!(choose(all), Some(ConnId(50)));
    }

    #[test]
    fn networks_are_those_of_sixteen_and_thirtytwo_bits() {
        let network = |secret: u8, text: &str| keyed_network(&[secret; 32], text.parse().unwrap());
        assert_eq!(network(1, "10.1.2.3"), network(1, "10.1.9.9"));
        assert_eq!(network(1, "10.1.2.3"), network(1, "::ffff:10.1.0.0"));
        assert_ne!(network(1, "10.1.2.3"), network(1, "10.2.2.3"));
        assert_ne!(network(1, "10.1.2.3"), network(2, "10.1.2.3"));
        assert_eq!(network(1, "2001:db8::1"), network(1, "2001:db8:ffff::1"));
        assert_ne!(network(1, "2001:db8::1"), network(1, "2001:db9::1"));
        assert_ne!(network(1, "0.1.0.0"), network(1, "0:1::"));
    }
}
