//! Which inbound connections are let in: what a stranger may cost before it proved anything.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

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
/// How long a host, or a subnet, is refused after a handshake that was not one; doubles with each
/// in a row.
const BACKOFF_MIN: Span = Span::from_secs(10);
const BACKOFF_MAX: Span = Span::from_secs(3_600);
/// How many hosts of a subnet are refused one by one. When one more fails, the subnet is refused as
/// a whole: one of IPv6 has more hosts than can be remembered.
const FAILED_PER_SUBNET: usize = 32;
/// Hosts and subnets that are remembered. What no longer counts is forgotten first; then, so that
/// those who misbehave never keep a newcomer out, one of the subnet that fills the most.
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
        match ip.to_canonical() {
            // An IPv4 address stands for itself below 2^32, where no /64 of IPv6 that is in use
            // lies.
            IpAddr::V4(ip) => Self(u128::from(ip.to_bits())),
            IpAddr::V6(ip) => Self(ip.to_bits() >> 64 << 64),
        }
    }

    fn subnet(self) -> Subnet {
        match u32::try_from(self.0) {
            Ok(bits) => Subnet(u128::from(bits >> 8)),
            Err(_) => Subnet(self.0 >> 80 << 80),
        }
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

impl Subnet {
    /// All hosts that it may have.
    fn hosts(self) -> RangeInclusive<Host> {
        match u32::try_from(self.0) {
            Ok(bits) => Host(u128::from(bits) << 8)..=Host(u128::from(bits) << 8 | 0xff),
            Err(_) => Host(self.0)..=Host(self.0 | ((1 << 80) - 1)),
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
    /// Many addresses of the subnet failed handshakes lately.
    SubnetBackingOff,
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
}

impl Refusal {
    /// The limit, for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::BackingOff => "its address failed a handshake lately",
            Self::SubnetBackingOff => "many addresses of its subnet failed a handshake lately",
            Self::AddressConnections => "its address has 3 connections already",
            Self::SubnetConnections => "its subnet has 16 connections already",
            Self::AddressRate => "its address tries more than once in 5 s",
            Self::SubnetRate => "its subnet tries more than twice a second",
            Self::GlobalRate => "more than 50 connections a second come in",
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

/// How long somebody is refused.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Wait {
    /// Failed handshakes since the last that did not.
    failures: u32,
    until: Time,
}

impl Wait {
    fn is_on(&self, now: Time) -> bool {
        now < self.until
    }

    fn lengthen(&mut self, now: Time) {
        let doubled = BACKOFF_MIN.times(1 << self.failures.min(16));
        self.until = now + doubled.min(BACKOFF_MAX);
        self.failures += 1;
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct HostState {
    attempts: TokenBucket,
    connections: usize,
    wait: Wait,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct SubnetState {
    attempts: TokenBucket,
    connections: usize,
    wait: Wait,
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
        let host = Host::of(ip);
        let subnet = host.subnet();
        self.forget(now);
        let host_state = self.hosts.get(&host).copied().unwrap_or(HostState {
            attempts: TokenBucket::new(ADDRESS_BURST, ADDRESS_INTERVAL),
            connections: 0,
            wait: Wait::default(),
        });
        let subnet_state = self.subnets.get(&subnet).copied().unwrap_or(SubnetState {
            attempts: TokenBucket::new(SUBNET_BURST, SUBNET_INTERVAL),
            connections: 0,
            wait: Wait::default(),
        });
        if let Some(refusal) = self.refusal(now, &host_state, &subnet_state) {
            return Admission::Refuse(refusal);
        }
        if self.hosts.len() >= REMEMBERED_MAX && !self.hosts.contains_key(&host) {
            self.forget_one_of_the_fullest();
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
        host_state: &HostState,
        subnet_state: &SubnetState,
    ) -> Option<Refusal> {
        if host_state.wait.is_on(now) {
            Some(Refusal::BackingOff)
        } else if subnet_state.wait.is_on(now) {
            Some(Refusal::SubnetBackingOff)
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
        let (host, subnet) = (inbound.host, inbound.subnet);
        match end {
            HandshakeEnd::Ready => {
                let host = self.hosts.get_mut(&host).map(|host| &mut host.wait);
                let subnet = self.subnets.get_mut(&subnet).map(|subnet| &mut subnet.wait);
                for wait in host.into_iter().chain(subnet) {
                    wait.failures = 0;
                }
            }
            HandshakeEnd::Failed => self.failed(now, host, subnet),
            HandshakeEnd::Lost => {}
        }
        if end != HandshakeEnd::Ready {
            self.closed(id);
        }
    }

    /// A host has to wait, or its whole subnet where too many hosts of it do already.
    fn failed(&mut self, now: Time, host: Host, subnet: Subnet) {
        let waits = |(other, state): &(&Host, &HostState)| **other != host && state.wait.is_on(now);
        let others = self.hosts.range(subnet.hosts()).filter(waits).count();
        if others < FAILED_PER_SUBNET {
            if let Some(host) = self.hosts.get_mut(&host) {
                host.wait.lengthen(now);
            }
        } else if let Some(subnet) = self.subnets.get_mut(&subnet) {
            // What failed beside others at the same time is not one more in a row.
            if !subnet.wait.is_on(now) {
                subnet.wait.lengthen(now);
            }
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
                host.connections > 0 || host.wait.is_on(now) || !host.attempts.is_full(now)
            });
        }
        if self.subnets.len() >= REMEMBERED_MAX {
            self.subnets.retain(|_, subnet| {
                subnet.connections > 0 || subnet.wait.is_on(now) || !subnet.attempts.is_full(now)
            });
        }
        if self.subnets.len() >= REMEMBERED_MAX {
            let subnets = self.subnets.iter();
            let idle = subnets.filter(|(_, subnet)| subnet.connections == 0);
            let first = idle.min_by_key(|(_, subnet)| subnet.wait.until);
            if let Some(subnet) = first.map(|(subnet, _)| *subnet) {
                self.subnets.remove(&subnet);
            }
        }
    }

    /// Makes room for another host: of the subnet that has the most without a connection, the one
    /// that would be let in first is forgotten. There is none only where all have connections,
    /// whose number the node bounds.
    fn forget_one_of_the_fullest(&mut self) {
        let idle = |(_, state): &(&Host, &HostState)| state.connections == 0;
        let mut fullest = (None, 0);
        // The hosts of a subnet stand side by side.
        let mut row = (None, 0);
        for (host, _) in self.hosts.iter().filter(idle) {
            let subnet = Some(host.subnet());
            row = (subnet, if row.0 == subnet { row.1 + 1 } else { 1 });
            if row.1 > fullest.1 {
                fullest = row;
            }
        }
        let Some(subnet) = fullest.0 else { return };
        let hosts = self.hosts.range(subnet.hosts()).filter(idle);
        let first = hosts.min_by_key(|(_, state)| state.wait.until);
        if let Some(host) = first.map(|(host, _)| *host) {
            self.hosts.remove(&host);
        }
    }
}

#[cfg(test)]
mod tests;
