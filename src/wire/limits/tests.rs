use super::*;

const START: Time = Time::from_millis(1_000_000);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Limits and a counter that numbers connections.
struct World {
    limits: ConnectionLimits,
    now: Time,
    next: u64,
}

impl World {
    fn new() -> Self {
        Self {
            limits: ConnectionLimits::new(),
            now: START,
            next: 0,
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now += Span::from_millis(millis);
    }

    fn admit(&mut self, from: &str) -> (ConnectionId, Admission) {
        let id = ConnectionId(self.next);
        self.next += 1;
        (id, self.limits.admit(self.now, id, ip(from)))
    }

    /// An attempt that is accepted and ends so.
    fn finish(&mut self, from: &str, end: HandshakeEnd) -> ConnectionId {
        let (id, admission) = self.admit(from);
        assert_eq!(admission, Admission::Accept);
        self.limits.handshake_ended(self.now, id, end);
        id
    }

    fn refused(&mut self, from: &str, wanted: Refusal) {
        assert_eq!(self.admit(from).1, Admission::Refuse(wanted));
    }
}

#[test]
fn an_address_has_four_attempts_and_one_more_every_five_seconds() {
    let mut world = World::new();
    for _ in 0..4 {
        world.finish("10.0.0.1", HandshakeEnd::Lost);
    }
    world.refused("10.0.0.1", Refusal::AddressRate);
    world.wait(4_999);
    world.refused("10.0.0.1", Refusal::AddressRate);
    world.wait(1);
    world.finish("10.0.0.1", HandshakeEnd::Lost);
    world.refused("10.0.0.1", Refusal::AddressRate);
    world.finish("10.0.0.2", HandshakeEnd::Lost);
}

#[test]
fn an_address_has_three_connections_and_a_subnet_sixteen() {
    let mut world = World::new();
    let first = world.finish("10.0.0.1", HandshakeEnd::Ready);
    world.finish("10.0.0.1", HandshakeEnd::Ready);
    world.admit("10.0.0.1");
    world.refused("10.0.0.1", Refusal::AddressConnections);
    world.limits.closed(first);
    assert_eq!(world.admit("10.0.0.1").1, Admission::Accept);
    for host in 2..15 {
        world.wait(500);
        world.finish(&format!("10.0.0.{host}"), HandshakeEnd::Ready);
    }
    world.refused("10.0.0.99", Refusal::SubnetConnections);
    assert_eq!(world.limits.connections(), 16);
    world.finish("10.0.1.99", HandshakeEnd::Ready);
}

#[test]
fn a_subnet_has_sixteen_attempts_and_two_more_a_second() {
    let mut world = World::new();
    for host in 0..16 {
        world.finish(&format!("10.0.0.{host}"), HandshakeEnd::Lost);
    }
    world.refused("10.0.0.77", Refusal::SubnetRate);
    world.wait(500);
    world.finish("10.0.0.77", HandshakeEnd::Lost);
    world.refused("10.0.0.78", Refusal::SubnetRate);
}

#[test]
fn ipv6_counts_by_64_and_by_48() {
    let mut world = World::new();
    for host in 0..4 {
        world.finish(&format!("2001:db8:1:2::{host}"), HandshakeEnd::Lost);
    }
    world.refused("2001:db8:1:2:ffff::9", Refusal::AddressRate);
    for net in 3..15 {
        world.finish(&format!("2001:db8:1:{net}::1"), HandshakeEnd::Lost);
    }
    world.refused("2001:db8:1:ff::1", Refusal::SubnetRate);
    world.finish("2001:db8:2::1", HandshakeEnd::Lost);
    // An IPv4 address in IPv6 clothes is the same host.
    for _ in 0..4 {
        world.finish("::ffff:10.0.0.1", HandshakeEnd::Lost);
    }
    world.refused("10.0.0.1", Refusal::AddressRate);
}

#[test]
fn fifty_a_second_come_in_and_who_is_refused_costs_nobody_else() {
    let mut world = World::new();
    for _ in 0..4 {
        world.finish("10.9.9.9", HandshakeEnd::Lost);
    }
    for _ in 0..1_000 {
        world.refused("10.9.9.9", Refusal::AddressRate);
    }
    for net in 0..46 {
        world.finish(&format!("10.{net}.0.1"), HandshakeEnd::Lost);
    }
    world.refused("10.77.0.1", Refusal::GlobalRate);
    world.wait(20);
    world.finish("10.77.0.1", HandshakeEnd::Lost);
    world.refused("10.78.0.1", Refusal::GlobalRate);
}

#[test]
fn a_handshake_has_five_seconds_and_then_its_address_waits() {
    let mut world = World::new();
    let (slow, _) = world.admit("10.0.0.1");
    world.wait(1_000);
    let (later, _) = world.admit("10.0.1.1");
    let ready = world.finish("10.0.2.1", HandshakeEnd::Ready);
    assert_eq!(world.limits.half_open(), 2);
    assert_eq!(
        world.limits.next_deadline(),
        Some(START + HANDSHAKE_DEADLINE)
    );
    world.wait(3_999);
    assert_eq!(world.limits.take_overdue(world.now), None);
    world.wait(1);
    assert_eq!(world.limits.take_overdue(world.now), Some(slow));
    assert_eq!(world.limits.take_overdue(world.now), None);
    world.refused("10.0.0.1", Refusal::BackingOff);
    world.wait(1_000);
    assert_eq!(world.limits.take_overdue(world.now), Some(later));
    assert_eq!(world.limits.next_deadline(), None);
    assert_eq!(world.limits.half_open(), 0);
    assert_eq!(world.limits.connections(), 1);
    world.limits.closed(ready);
    world.limits.closed(ready);
    assert_eq!(world.limits.connections(), 0);
}

#[test]
fn waiting_doubles_up_to_an_hour_and_ends_with_a_good_handshake() {
    let mut world = World::new();
    for wait in [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600] {
        world.finish("10.0.0.1", HandshakeEnd::Failed);
        world.wait(wait * 1_000 - 1);
        world.refused("10.0.0.1", Refusal::BackingOff);
        world.wait(1);
    }
    world.finish("10.0.0.1", HandshakeEnd::Ready);
    world.finish("10.0.0.1", HandshakeEnd::Failed);
    world.wait(10_000);
    world.finish("10.0.0.1", HandshakeEnd::Lost);
}

#[test]
fn when_half_open_connections_run_out_the_crowd_pays() {
    let mut world = World::new();
    // Ten hosts of one subnet, then one each of 54 others.
    let mut crowd = Vec::new();
    for host in 0..10 {
        crowd.push(world.admit(&format!("10.0.0.{host}")).0);
        world.wait(20);
    }
    for net in 1..=54 {
        assert_eq!(world.admit(&format!("10.{net}.0.1")).1, Admission::Accept);
        world.wait(20);
    }
    assert_eq!(world.limits.half_open(), HALF_OPEN_MAX);
    let (_, admission) = world.admit("10.99.0.1");
    assert_eq!(admission, Admission::AcceptAndClose(crowd.pop().unwrap()));
    let (_, admission) = world.admit("10.98.0.1");
    assert_eq!(admission, Admission::AcceptAndClose(crowd.pop().unwrap()));
    assert_eq!(world.limits.half_open(), HALF_OPEN_MAX);
}

#[test]
fn a_node_killed_every_five_seconds_is_let_in_for_ever() {
    let mut world = World::new();
    let mut open = None;
    for round in 0..1_000 {
        if let Some(id) = open.take() {
            world.limits.closed(id);
        }
        // Every third time it is killed in the middle of the handshake and tries once more.
        if round % 3 == 0 && round < 9 {
            world.finish("127.3.4.1", HandshakeEnd::Lost);
        }
        open = Some(world.finish("127.3.4.1", HandshakeEnd::Ready));
        world.wait(5_000);
    }
}

/// A host that fails for the eleventh time, so that it waits an hour.
fn fail_badly(world: &mut World, from: &str) -> Admission {
    let (id, admission) = world.admit(from);
    if admission == Admission::Accept {
        let host = world.limits.hosts.get_mut(&Host::of(ip(from)));
        host.unwrap().wait.failures = 10;
        let now = world.now;
        world.limits.handshake_ended(now, id, HandshakeEnd::Failed);
    }
    world.wait(20);
    admission
}

#[test]
fn memory_is_bounded_and_who_misbehaves_keeps_no_newcomer_out() {
    let mut world = World::new();
    let lone = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        format!("{}.{b}.{c}.1", 11 + a)
    };
    let neighbours = ["192.168.7.1", "192.168.7.2", "192.168.7.3"];
    for from in neighbours {
        fail_badly(&mut world, from);
    }
    let mut number = 0;
    while world.limits.hosts.len() < REMEMBERED_MAX {
        assert_eq!(fail_badly(&mut world, &lone(number)), Admission::Accept);
        number += 1;
    }
    world.wait(60_000);
    world.finish("10.0.0.1", HandshakeEnd::Ready);
    assert_eq!(world.limits.hosts.len(), REMEMBERED_MAX);
    // One of the three neighbours was forgotten, and nobody else.
    world.refused("192.168.7.2", Refusal::BackingOff);
    world.refused("192.168.7.3", Refusal::BackingOff);
    for number in [0, 1, number - 1] {
        world.refused(&lone(number), Refusal::BackingOff);
    }
    world.finish("192.168.7.1", HandshakeEnd::Lost);
    world.wait(3_600_000);
    world.finish("10.0.0.2", HandshakeEnd::Ready);
    assert_eq!(world.limits.hosts.len(), 2);
}

#[test]
fn subnets_without_end_of_hosts_wait_as_a_whole() {
    let mut world = World::new();
    let mut accepted = 0;
    for number in 0..8_192 {
        for subnet in ["2001:db8:1", "2001:db8:2"] {
            let admission = fail_badly(&mut world, &format!("{subnet}:{number:x}::1"));
            accepted += usize::from(admission == Admission::Accept);
        }
    }
    // A failure of the subnet comes after 10 s, 20 s and so on, and all took 328 s.
    let most = 2 * (FAILED_PER_SUBNET + 6 + SUBNET_BURST as usize);
    assert!(accepted <= most, "{accepted}");
    assert!(world.limits.hosts.len() <= most);
    let new = |subnet| format!("{subnet}:ffff::1");
    world.refused(&new("2001:db8:1"), Refusal::SubnetBackingOff);
    world.finish("10.0.0.1", HandshakeEnd::Ready);
    world.finish("2001:db8:3::1", HandshakeEnd::Ready);
    // It ends, and a good handshake ends the doubling.
    world.wait(3_600_000);
    world.finish(&new("2001:db8:1"), HandshakeEnd::Ready);
    let subnet = Host::of(ip("2001:db8:1::")).subnet();
    assert_eq!(world.limits.subnets[&subnet].wait.failures, 0);
}
