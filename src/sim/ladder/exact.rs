//! Cases of two and three nodes, computed by hand.

use crate::base::{Rng, Span, Time};
use crate::sim::network::{Bandwidths, Flow, Network, NetworkConfig};

use super::blocks::Relay;
use super::{Bar, RungResult};

const HAND: &str = "by hand";

/// 50 ms each way, a million bytes per second both ways.
fn plain() -> NetworkConfig {
    NetworkConfig::even(Span::from_millis(50), 1_000_000)
}

fn rung(name: &str, expected: f64, got: Span) -> RungResult {
    RungResult {
        name: name.to_owned(),
        source: HAND,
        unit: "ms",
        expected,
        got: got.as_micros() as f64 / 1_000.0,
        bar: Bar::Within(1),
    }
}

pub(super) fn climb() -> Vec<RungResult> {
    let mut results = chain();
    results.extend(star());
    results.push(overtaking());
    results.push(loss());
    results
}

/// The first node tells the second, which tells the third: announced, asked for, sent.
fn chain() -> Vec<RungResult> {
    let peers = [vec![1], vec![0, 2], vec![1]];
    let run = |network| {
        let relay = Relay::whole(network, 0, 100_000);
        let times = relay.run_on(&peers);
        [times[1], times[2]].map(|time| time.unwrap_or_default())
    };
    // 5 ms to look, 120 bytes there, 2 ms to glance, 60 bytes back, 100,000 there.
    let hop = 5.0 + 50.12 + 2.0 + 50.06 + 150.0;
    let [second, third] = run(plain());
    let mut results = vec![
        rung("a chain of three, 100 KB, the second", hop, second),
        rung("a chain of three, 100 KB, the third", 2.0 * hop, third),
    ];
    // Windows of 14,600, 29,200 and 58,400 bytes take two more round trips; nothing takes time on
    // a line.
    let [second, third] = run(NetworkConfig {
        bandwidth: Bandwidths::Unlimited,
        slow_start: true,
        ..plain()
    });
    let hop = 5.0 + 50.0 + 2.0 + 50.0 + 250.0;
    results.push(rung(
        "the same with slow start and no line, the second",
        hop,
        second,
    ));
    results.push(rung(
        "the same with slow start and no line, the third",
        2.0 * hop,
        third,
    ));
    results
}

/// One node serves two, whose requests meet at its line.
fn star() -> Vec<RungResult> {
    let peers = [vec![1, 2], vec![0], vec![0]];
    let relay = Relay::whole(plain(), 0, 100_000);
    let times = relay.run_on(&peers);
    let first = 5.0 + 50.12 + 2.0 + 50.06 + 150.0;
    vec![
        rung(
            "one serves two, 100 KB, the first",
            first,
            times[1].unwrap_or_default(),
        ),
        // The second announcement left 0.12 ms later, but its block waits 100 ms for the first.
        rung(
            "one serves two, 100 KB, the second",
            first + 100.0,
            times[2].unwrap_or_default(),
        ),
    ]
}

/// A megabyte of history is under way; a block of 100 KB to the same peer passes it.
fn overtaking() -> RungResult {
    let mut network = Network::new(plain(), Rng::from_number(1));
    let (from, to) = (network.add(), network.add());
    let mut flow = network.flow(from, to);
    let begin = Time::from_millis(1_600_000_000_000);
    network.send(begin, &mut flow, 5, 1_000_000);
    let arrival = network.send(begin, &mut flow, 2, 100_000);
    // Of 60 whole frames of 16,404 bytes and one of 15,760, the short one counts as the first.
    rung(
        "100 KB past 1 MB of history on one connection",
        165.76,
        arrival.since(begin),
    )
}

/// A segment by itself, of which one of ten is lost: after a timeout of a round trip and 200 ms it
/// comes again, then after twice as long.
fn loss() -> RungResult {
    let config = NetworkConfig {
        loss_per_million: 100_000,
        bandwidth: Bandwidths::Unlimited,
        ..plain()
    };
    let mut network = Network::new(config, Rng::from_number(1));
    let (from, to) = (network.add(), network.add());
    let mut sum = 0;
    let runs = 40_000;
    for run in 0..runs {
        let mut flow: Flow = network.flow(from, to);
        let at = Time::from_millis(1_600_000_000_000 + run * 60_000);
        sum += network.send(at, &mut flow, 3, 250).since(at).as_micros();
    }
    // 50 + 300 * sum of 0.9 * 0.1^k * (2^k - 1) for k from 1 to 5, and 0.1^6 * 63.
    let expected = 50.0 + 300.0 * (0.09 + 0.027 + 0.0063 + 0.00135 + 0.000_279 + 0.000_063);
    RungResult {
        bar: Bar::Within(20),
        ..rung(
            "a segment of which one of ten is lost, mean of 40,000",
            expected,
            Span::from_micros(sum / runs),
        )
    }
}
