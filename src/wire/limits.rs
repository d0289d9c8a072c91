//! Which inbound connections are let in: what a stranger may cost before it proved anything.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};

use super::bucket::TokenBucket;

/// Connections that may be between accept and READY at once.
const HALF_OPEN_MAX: usize = 64;
/// How long a connection may take from accept to READY.
pub const HANDSHAKE_DEADLINE: Span = Span::from_secs(5);
/// Inbound connections of one address at once.
const PER_ADDRESS_MAX: usize = 3;
/// Inbound connections of one subnet at once.
const PER_SUBNET_MAX: usize = 16;
/// Attempts that an address may make at once, and how long each takes to come back. A node that
/// is killed and started every five seconds stays within.
const ADDRESS_BURST: u32 = 4;
const ADDRESS_INTERVAL: Span = Span::from_secs(5);
/// The same of a subnet.
const SUBNET_BURST: u32 = 16;
const SUBNET_INTERVAL: Span = Span::from_millis(500);
/// The same of everybody: at 0.7 ms a handshake, 3.5 percent of a core.
const GLOBAL_BURST: u32 = 50;
const GLOBAL_INTERVAL: Span = Span::from_millis(20);
/// How long an address is refused after a handshake that was not one; doubles with each in a row.
const BACKOFF_MIN: Span = Span::from_secs(10);
const BACKOFF_MAX: Span = Span::from_secs(3_600);
/// Addresses and subnets that are remembered. What no longer counts is forgotten first; then,
/// rather than to forget who misbehaved, newcomers are refused.
const REMEMBERED_MAX: usize = 8_192;

/// A connection, as its owner numbers it: later ones have greater numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionId(pub u64);

/// Who counts as one: an IPv4 address, or the /64 of an IPv6 address, which one host has all of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Host(u128);

impl Host {
    /// The host of an address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        host_and_subnet(ip).0
    }

    /// Its first address, and how many bits of it all its addresses share.
    #[must_use]
    pub fn range(self) -> (IpAddr, u8) {
        match u32::try_from(self.0) {
            Ok(bits) => (IpAddr::V4(bits.into()), 32),
            Err(_) => (IpAddr::V6(self.0.into()), 64),
        }
    }
}

/// The neighbourhood of a host: its /24, or /48 in IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Subnet(u128);

fn host_and_subnet(ip: IpAddr) -> (Host, Subnet) {
    match ip.to_canonical() {
        // An IPv4 address stands for itself below 2^32, where no /64 of IPv6 that is in use lies.
        IpAddr::V4(ip) => {
            let bits = u128::from(ip.to_bits());
            (Host(bits), Subnet(bits >> 8))
        }
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            (Host(bits >> 64 << 64), Subnet(bits >> 80 << 80))
        }
    }
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Begin the handshake.
    Accept,
    /// Begin it, and close this half-open connection, whose neighbourhood holds the most.
    AcceptAndClose(ConnectionId),
    /// Close at once, without a byte.
    Refuse(Refusal),
}

/// Why an attempt is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The address failed a handshake lately.
    BackingOff,
    /// The address has its share of connections.
    AddressConnections,
    /// The subnet has its share of connections.
    SubnetConnections,
    /// The address tries too often.
    AddressRate,
    /// The subnet tries too often.
    SubnetRate,
    /// Too many try.
    GlobalRate,
    /// More addresses misbehave than can be remembered.
    Memory,
}

impl Refusal {
    /// The limit, for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::BackingOff => "its address failed a handshake lately",
            Self::AddressConnections => "its address has 3 connections already",
            Self::SubnetConnections => "its subnet has 16 connections already",
            Self::AddressRate => "its address tries more than once in 5 s",
            Self::SubnetRate => "its subnet tries more than twice a second",
            Self::GlobalRate => "more than 50 connections a second come in",
            Self::Memory => "too many addresses misbehave",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeEnd {
    /// Both sides are READY.
    Ready,
    /// The peer broke the protocol or the deadline: its address must wait.
    Failed,
    /// The connection was lost or closed from this side: nobody is to blame. A node that is
    /// killed in the middle may come back at once.
    Lost,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct HostState {
    attempts: TokenBucket,
    connections: usize,
    /// Failed handshakes since the last that did not.
    failures: u32,
    refused_until: Time,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct SubnetState {
    attempts: TokenBucket,
    connections: usize,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Inbound {
    host: Host,
    subnet: Subnet,
    /// When its handshake must have ended; none once it did.
    deadline: Option<Time>,
}

/// Counts inbound connections and attempts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConnectionLimits {
    hosts: BTreeMap<Host, HostState>,
    subnets: BTreeMap<Subnet, SubnetState>,
    connections: BTreeMap<ConnectionId, Inbound>,
    half_open: usize,
    attempts: TokenBucket,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self::new()
    }
}

impl ConnectionLimits {
    /// No connection yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hosts: BTreeMap::new(),
            subnets: BTreeMap::new(),
            connections: BTreeMap::new(),
            half_open: 0,
            attempts: TokenBucket::new(GLOBAL_BURST, GLOBAL_INTERVAL),
        }
    }

    /// A connection came in from `ip`. An attempt that is refused costs the rate of nobody else.
    ///
    /// # Panics
    /// When `id` is that of a connection that is open.
    pub fn admit(&mut self, now: Time, id: ConnectionId, ip: IpAddr) -> Admission {
        assert!(!self.connections.contains_key(&id), "{id:?} is in use");
        let (host, subnet) = host_and_subnet(ip);
        self.forget(now);
        let host_state = self.hosts.get(&host).copied().unwrap_or(HostState {
            attempts: TokenBucket::new(ADDRESS_BURST, ADDRESS_INTERVAL),
            connections: 0,
            failures: 0,
            refused_until: Time::EPOCH,
        });
        let subnet_state = self.subnets.get(&subnet).copied().unwrap_or(SubnetState {
            attempts: TokenBucket::new(SUBNET_BURST, SUBNET_INTERVAL),
            connections: 0,
        });
        if let Some(refusal) = self.refusal(now, host, &host_state, &subnet_state) {
            return Admission::Refuse(refusal);
        }
        let host_state = self.hosts.entry(host).or_insert(host_state);
        host_state.attempts.take(now);
        host_state.connections += 1;
        let subnet_state = self.subnets.entry(subnet).or_insert(subnet_state);
        subnet_state.attempts.take(now);
        subnet_state.connections += 1;
        self.attempts.take(now);
        let crowded = (self.half_open >= HALF_OPEN_MAX).then(|| self.newest_of_the_most_crowded());
        let inbound = Inbound {
            host,
            subnet,
            deadline: Some(now + HANDSHAKE_DEADLINE),
        };
        self.connections.insert(id, inbound);
        self.half_open += 1;
        match crowded.flatten() {
            None => Admission::Accept,
            Some(other) => {
                self.closed(other);
                Admission::AcceptAndClose(other)
            }
        }
    }

    fn refusal(
        &self,
        now: Time,
        host: Host,
        host_state: &HostState,
        subnet_state: &SubnetState,
    ) -> Option<Refusal> {
        if now < host_state.refused_until {
            Some(Refusal::BackingOff)
        } else if host_state.connections >= PER_ADDRESS_MAX {
            Some(Refusal::AddressConnections)
        } else if subnet_state.connections >= PER_SUBNET_MAX {
            Some(Refusal::SubnetConnections)
        } else if !host_state.attempts.would_give(now) {
            Some(Refusal::AddressRate)
        } else if !subnet_state.attempts.would_give(now) {
            Some(Refusal::SubnetRate)
        } else if !self.attempts.would_give(now) {
            Some(Refusal::GlobalRate)
        } else if self.hosts.len() >= REMEMBERED_MAX && !self.hosts.contains_key(&host) {
            Some(Refusal::Memory)
        } else {
            None
        }
    }

    /// The handshake of `id` ended. What failed or was lost is closed by that; a connection that
    /// this does not know, because it was closed already, changes nothing.
    pub fn handshake_ended(&mut self, now: Time, id: ConnectionId, end: HandshakeEnd) {
        let Some(inbound) = self.connections.get_mut(&id) else {
            return;
        };
        if end == HandshakeEnd::Ready && inbound.deadline.take().is_some() {
            self.half_open -= 1;
        }
        if let Some(host) = self.hosts.get_mut(&inbound.host) {
            match end {
                HandshakeEnd::Ready => host.failures = 0,
                HandshakeEnd::Failed => {
                    let doubled = BACKOFF_MIN.times(1 << host.failures.min(16));
                    host.refused_until = now + doubled.min(BACKOFF_MAX);
                    host.failures += 1;
                }
                HandshakeEnd::Lost => {}
            }
        }
        if end != HandshakeEnd::Ready {
            self.closed(id);
        }
    }

    /// The connection `id` is gone.
    pub fn closed(&mut self, id: ConnectionId) {
        let Some(inbound) = self.connections.remove(&id) else {
            return;
        };
        if inbound.deadline.is_some() {
            self.half_open -= 1;
        }
        if let Some(host) = self.hosts.get_mut(&inbound.host) {
            host.connections -= 1;
        }
        if let Some(subnet) = self.subnets.get_mut(&inbound.subnet) {
            subnet.connections -= 1;
        }
    }

    /// When the first handshake must have ended.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let deadlines = self
            .connections
            .values()
            .filter_map(|inbound| inbound.deadline);
        deadlines.min()
    }

    /// Takes one connection whose handshake is past its deadline: close it. Its address must wait.
    pub fn take_overdue(&mut self, now: Time) -> Option<ConnectionId> {
        let is_overdue = |inbound: &Inbound| inbound.deadline.is_some_and(|at| at <= now);
        let mut connections = self.connections.iter();
        let id = *connections.find(|(_, inbound)| is_overdue(inbound))?.0;
        self.handshake_ended(now, id, HandshakeEnd::Failed);
        Some(id)
    }

    /// How many handshakes are under way.
    #[must_use]
    pub const fn half_open(&self) -> usize {
        self.half_open
    }

    /// How many inbound connections there are, those half open included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    fn newest_of_the_most_crowded(&self) -> Option<ConnectionId> {
        let mut crowds: BTreeMap<Subnet, (usize, ConnectionId)> = BTreeMap::new();
        for (id, inbound) in &self.connections {
            if inbound.deadline.is_some() {
                let crowd = crowds.entry(inbound.subnet).or_insert((0, *id));
                *crowd = (crowd.0 + 1, *id);
            }
        }
        crowds.into_values().max().map(|(_, newest)| newest)
    }

    /// Drops what no longer counts, once there is much of it.
    fn forget(&mut self, now: Time) {
        // Going through all of them is worth it only for an attempt that may be accepted.
        if !self.attempts.would_give(now) {
            return;
        }
        if self.hosts.len() >= REMEMBERED_MAX {
            self.hosts.retain(|_, host| {
                host.connections > 0 || now < host.refused_until || !host.attempts.is_full(now)
            });
        }
        if self.subnets.len() >= REMEMBERED_MAX {
            self.subnets
                .retain(|_, subnet| subnet.connections > 0 || !subnet.attempts.is_full(now));
        }
    }
}

#[cfg(test)]
mod tests;
