//! The model against hand-computed times, and against what must hold for any traffic.

use proptest::prelude::*;

use super::line::{Downlink, Speed, Uplink};
use super::*;
use crate::base::Rng;

/// A network of `nodes` nodes in which everything can be computed by hand: 50 ms each way, a
/// million bytes per second both ways.
fn plain(nodes: usize, change: impl FnOnce(&mut NetworkConfig)) -> Network {
    let mut config = NetworkConfig::even(Span::from_millis(50), 1_000_000);
    change(&mut config);
    let mut network = Network::new(config, Rng::from_number(1));
    for _ in 0..nodes {
        network.add();
    }
    network
}

/// A time, from when these tests begin.
fn millis(at: u64) -> Time {
    Time::from_millis(1_600_000_000_000 + at)
}

/// The time of arrival of a message, from its sending at `at` milliseconds on.
fn took(network: &mut Network, at: u64, flow: &mut Flow, lane: u8, bytes: u64) -> u64 {
    let arrival = network.send(millis(at), flow, lane, bytes);
    arrival.since(millis(at)).as_micros()
}

#[test]
fn a_message_takes_its_line_and_its_way() {
    let mut network = plain(3, |_| ());
    let mut flow = network.flow(0, 1);
    assert_eq!(network.send(millis(0), &mut flow, 2, 10_000), millis(60));
    // The next of the class waits for it, to whomever it goes.
    let mut other = network.flow(0, 2);
    assert_eq!(network.send(millis(0), &mut other, 2, 20_000), millis(80));
    // A line that has nothing to do does not remember.
    assert_eq!(network.send(millis(500), &mut flow, 2, 10_000), millis(560));
    assert_eq!(network.sent_bytes(0), 40_000);
    assert_eq!(network.sent_bytes(1), 0);
}

#[test]
fn the_slower_line_decides() {
    let mut network = plain(3, |config| {
        config.bandwidth = Bandwidths::Fixed {
            up: 2_000_000,
            down: 500_000,
        };
    });
    let mut flow = network.flow(0, 2);
    assert_eq!(network.send(millis(0), &mut flow, 2, 100_000), millis(250));
    // What comes from elsewhere shares the receiver's line, not the sender's.
    let mut other = network.flow(1, 2);
    // It is exact to a slot of time, of which 850 us are before the first began.
    let arrival = took(&mut network, 0, &mut other, 2, 100_000);
    assert!((450_000 - 16_384..=450_000).contains(&arrival), "{arrival}");
}

#[test]
fn a_short_way_does_not_wait_for_a_long_one() {
    let mut network = plain(3, |config| {
        config.bandwidth = Bandwidths::Fixed {
            up: 100_000,
            down: 1_000_000,
        };
    });
    // It leaves for a second, and is told to the receiver's line before it is there.
    let mut slow = network.flow(0, 2);
    assert_eq!(
        network.send(millis(0), &mut slow, 2, 100_000),
        millis(1_050)
    );
    let mut quick = network.flow(1, 2);
    assert_eq!(network.send(millis(1), &mut quick, 2, 1_000), millis(61));
}

#[test]
fn a_better_class_goes_first_and_the_worse_makes_it_good() {
    let mut network = plain(3, |_| ());
    let mut history = network.flow(0, 1);
    let mut news = network.flow(0, 2);
    assert_eq!(
        network.send(millis(0), &mut history, 5, 500_000),
        millis(550)
    );
    // One frame of 16,404 bytes is on the line; at 100 ms, 400,000 bytes are left: 24 frames and
    // 6,304 bytes.
    let arrival = took(&mut network, 100, &mut news, 0, 10_000);
    assert_eq!(arrival, 6_304 + 10_000 + 50_000);
    // What is sent in the worse class after that waits for both.
    assert_eq!(
        network.send(millis(100), &mut history, 5, 1_000),
        millis(561)
    );
    // In the class between, for what is better only, at both ends of the connection.
    let mut block = network.flow(0, 1);
    let arrival = took(&mut network, 100, &mut block, 2, 10_000);
    assert_eq!(arrival, 6_304 + 20_000 + 50_000);
}

#[test]
fn a_window_doubles_each_round_trip_and_shrinks_when_idle() {
    let mut network = plain(2, |config| {
        config.slow_start = true;
        config.bandwidth = Bandwidths::Unlimited;
    });
    let send = |network: &mut Network, at: u64, flow: &mut Flow, bytes: u64| {
        took(network, at, flow, 2, bytes) / 1_000
    };
    for (bytes, took) in [
        (1, 50),
        (14_600, 50),
        (14_601, 150),
        (43_800, 150),
        (43_801, 250),
        (102_200, 250),
        (102_201, 350),
    ] {
        let mut flow = network.flow(0, 1);
        assert_eq!(
            send(&mut network, 10, &mut flow, bytes),
            took,
            "{bytes} bytes"
        );
    }
    let mut flow = network.flow(0, 1);
    assert_eq!(send(&mut network, 10, &mut flow, 102_200), 250);
    // The window is 58,400 bytes, all of it under way until 310 ms, and then twice as much.
    assert_eq!(send(&mut network, 310, &mut flow, 116_800), 50);
    assert_eq!(
        send(&mut network, 1_310, &mut flow, 116_801),
        50,
        "after a second it is kept"
    );
    assert_eq!(
        send(&mut network, 2_311, &mut flow, 14_601),
        150,
        "after more it is not"
    );
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    let mut network = plain(2, |config| {
        config.slow_start = true;
        config.bandwidth = Bandwidths::Unlimited;
    });
    let mut flow = network.flow(0, 1);
    for step in 0..50 {
        network.send(millis(step * 100), &mut flow, 3, 1_000);
    }
    let arrival = network.send(millis(5_000), &mut flow, 2, 14_601);
    assert_eq!(arrival, millis(5_150));
}

#[test]
fn a_small_message_before_a_large_one_does_not_open_the_window() {
    let mut network = plain(2, |config| {
        config.slow_start = true;
        config.bandwidth = Bandwidths::Unlimited;
    });
    let mut flow = network.flow(0, 1);
    assert_eq!(took(&mut network, 0, &mut flow, 1, 120), 50_000);
    // The 120 bytes are acknowledged a millisecond later, the large message's a round trip later.
    assert_eq!(took(&mut network, 99, &mut flow, 2, 25_000), 150_000);
    // A window that is full opens a round trip after it was filled, whoever waits for that.
    let mut full = network.flow(0, 1);
    assert_eq!(took(&mut network, 100, &mut full, 2, 14_600), 50_000);
    assert_eq!(took(&mut network, 190, &mut full, 2, 1_000), 60_000);
}

#[test]
fn a_fast_line_and_a_short_way_never_wait_for_acknowledgements() {
    let mut network = plain(2, |config| config.slow_start = true);
    // A first window takes 14.6 ms and a round trip 100: it waits. With 5 ms each way it doesn't.
    let mut flow = network.flow(0, 1);
    assert_eq!(
        network.send(millis(0), &mut flow, 2, 14_600 * 2),
        millis(164) + Span::from_micros(600)
    );
    let mut near = plain(2, |config| {
        config.slow_start = true;
        config.matrix = Matrix::Uniform(Span::from_millis(5));
    });
    let mut flow = near.flow(0, 1);
    assert_eq!(near.send(millis(0), &mut flow, 2, 1_000_000), millis(1_005));
}

#[test]
fn what_is_lost_comes_a_round_trip_later_or_after_a_timeout() {
    let lossy = |config: &mut NetworkConfig| {
        config.loss_per_million = 20_000;
        config.bandwidth = Bandwidths::Unlimited;
    };
    let mut network = plain(2, lossy);
    let (mut on_time, mut told, mut timed_out) = (0, 0, 0);
    for round in 0..20_000_u64 {
        let mut flow = network.flow(0, 1);
        match took(
            &mut network,
            round * 10_000,
            &mut flow,
            2,
            SEGMENT_BYTES * 10,
        ) / 1_000
        {
            50 => on_time += 1,
            150 => told += 1,
            350 => timed_out += 1,
            _ => {}
        }
    }
    // 0.98^10 = 0.817; 0.98^3 of the rest have only losses that others tell of, of which some are
    // lost again.
    assert!((16_100..16_600).contains(&on_time), "{on_time}");
    assert!((2_280..2_560).contains(&told), "{told}");
    assert!((1_020..1_240).contains(&timed_out), "{timed_out}");
    assert!(on_time + told + timed_out < 20_000, "some are lost twice");
    // Of 200,000 segments one of fifty.
    let lost = network.lost_segments();
    assert!((3_750..4_250).contains(&lost), "{lost}");
}

#[test]
fn everything_behind_a_loss_waits_for_it_in_every_lane() {
    let mut network = plain(2, |config| {
        config.loss_per_million = 1;
        config.bandwidth = Bandwidths::Unlimited;
    });
    network.set_loss(300_000);
    let mut flow = network.flow(0, 1);
    let mut at = millis(0);
    let lost = loop {
        let arrival = network.send(at, &mut flow, 5, 1_000);
        if arrival > at + Span::from_millis(50) {
            break arrival;
        }
        at += Span::from_millis(1);
    };
    network.set_loss(0);
    assert_eq!(network.send(at, &mut flow, 0, 100), lost);
    let mut other = network.flow(0, 1);
    assert_eq!(
        network.send(at, &mut other, 0, 100),
        at + Span::from_millis(50)
    );
}

#[test]
fn the_backlog_is_what_did_not_leave() {
    let mut network = plain(3, |_| ());
    let mut flow = network.flow(0, 1);
    assert_eq!(network.backlog(millis(0), &flow), 0);
    network.send(millis(0), &mut flow, 5, 100_000);
    assert_eq!(network.backlog(millis(0), &flow), 100_000);
    assert_eq!(network.backlog(millis(25), &flow), 75_000);
    assert_eq!(network.room_at(millis(0), &flow, 75_000), millis(25));
    assert_eq!(network.room_at(millis(50), &flow, 75_000), millis(50));
    network.send(millis(50), &mut flow, 5, 50_000);
    assert_eq!(network.backlog(millis(50), &flow), 100_000);
    assert_eq!(network.backlog(millis(150), &flow), 0);
    assert_eq!(network.room_at(millis(50), &flow, 0), millis(150));
}

#[test]
fn a_flow_is_small() {
    assert_eq!(size_of::<Flow>(), 112);
}

#[test]
fn cuts_hold_until_they_are_mended() {
    let mut network = plain(130, |_| ());
    let passes = |network: &Network, from, to| network.passes(from, to);
    let both = |network: &Network, a, b| (passes(network, a, b), passes(network, b, a));
    for (cut, open, half, shut) in [
        (Cut::Pair(3, 1), (1, 2), None, (1, 3)),
        (Cut::OneWay { from: 1, to: 3 }, (1, 2), Some((1, 3)), (1, 3)),
        (Cut::Isolate(4), (1, 3), None, (4, 3)),
        (Cut::Split(vec![1, 2, 129]), (1, 129), None, (129, 3)),
        (Cut::Split(vec![1, 2, 129]), (5, 3), None, (2, 500)),
        (
            Cut::SplitOneWay(vec![1, 70]),
            (1, 70),
            Some((70, 3)),
            (70, 3),
        ),
    ] {
        let id = network.cut(cut.clone());
        assert_eq!(both(&network, open.0, open.1), (true, true), "{cut:?}");
        assert!(!network.was_felt(id), "{cut:?}");
        assert_eq!(
            both(&network, shut.0, shut.1),
            (false, half.is_some()),
            "{cut:?}"
        );
        assert!(network.was_felt(id), "{cut:?}");
        assert!(passes(&network, shut.0, shut.0), "a node hears itself");
        network.mend(id);
        assert_eq!(both(&network, shut.0, shut.1), (true, true), "{cut:?}");
    }
    let first = network.cut(Cut::Pair(1, 2));
    let second = network.cut(Cut::Isolate(1));
    network.mend(first);
    assert!(!network.passes(1, 2), "the other cut still holds");
    network.mend(first);
    network.mend(second);
    assert!(network.passes(1, 2));
}

#[test]
fn nodes_are_where_the_tables_say() {
    let mut network = Network::new(NetworkConfig::default(), Rng::from_number(7));
    let mut counts = [0_u32; 6];
    for _ in 0..10_000 {
        let node = network.add();
        counts[usize::from(network.place(node).region.0)] += 1;
    }
    let expected = [3_316_u32, 4_998, 90, 1_177, 224, 195];
    for (count, expected) in counts.iter().zip(expected) {
        let spread = 3 * expected.isqrt() + 1;
        assert!(count.abs_diff(expected) <= spread, "{counts:?}");
    }
    // The median of a pair's delay is that of its distribution: for Europe, half of
    // 6 ms * 2^(1 / 2.2), and between it and North America half of 119 ms * 2^(1 / 24.8).
    let mut inside = Vec::new();
    let mut across = Vec::new();
    for pair in 0..5_000 {
        let (a, b) = (2 * pair, 2 * pair + 1);
        assert_eq!(network.base_delay(a, b), network.base_delay(b, a));
        let delay = network.base_delay(a, b).as_micros();
        match (network.place(a).region.0, network.place(b).region.0) {
            (1, 1) => inside.push(delay),
            (0, 1) | (1, 0) => across.push(delay),
            _ => {}
        }
    }
    inside.sort_unstable();
    across.sort_unstable();
    let (inside, across) = (inside[inside.len() / 2], across[across.len() / 2]);
    assert!((3_950..4_300).contains(&inside), "{inside}");
    assert!((60_900..61_500).contains(&across), "{across}");
}

#[test]
fn tables_are_the_same_both_ways() {
    for matrix in [
        Matrix::SimBlock2015,
        Matrix::SimBlock2019,
        Matrix::PingTable,
    ] {
        let config = NetworkConfig {
            matrix,
            ..NetworkConfig::default()
        };
        let regions = Regions::new(&config);
        let all = regions.names().len() as u8;
        for (a, b) in (0..all).flat_map(|a| (0..all).map(move |b| (Region(a), Region(b)))) {
            let delay = regions.delay(a, b, 1 << 63);
            assert_eq!(delay, regions.delay(b, a, 1 << 63), "{a:?} {b:?}");
            assert!(delay > Span::from_micros(500), "{a:?} {b:?}: {delay}");
        }
    }
}

#[test]
fn what_no_network_can_be_is_refused() {
    for (change, says) in [
        (
            NetworkConfig {
                bandwidth: Bandwidths::Fixed { up: 0, down: 9_000 },
                ..NetworkConfig::default()
            },
            "bandwidth.fixed.up is 0; it must be 1000 to 125000000000",
        ),
        (
            NetworkConfig {
                loss_per_million: 1_000_000,
                ..NetworkConfig::default()
            },
            "loss_per_million is 1000000; it must be 0 to 300000",
        ),
    ] {
        assert_eq!(change.check().unwrap_err().to_string(), says);
    }
    let text = "matrix = \"simblock-2015\"\nbandwidth = { fixed = { up = 5000, down = 6000 } }";
    let config: NetworkConfig = toml::from_str(text).unwrap();
    assert_eq!(config.matrix, Matrix::SimBlock2015);
    let config: NetworkConfig =
        toml::from_str("matrix = { uniform = 40_000 }\nbandwidth = \"unlimited\"").unwrap();
    assert_eq!(config.matrix, Matrix::Uniform(Span::from_millis(40)));
    assert!(toml::from_str::<NetworkConfig>("speed = 3").is_err());
}

/// A message of random traffic: microseconds since the one before, flow, lane, bytes.
type Sent = (u64, usize, u8, u64);

fn traffic(most: usize) -> impl Strategy<Value = Vec<Sent>> {
    let size = prop_oneof![3 => 40_u64..600, 2 => 600_u64..40_000, 1 => 40_000_u64..1_500_000];
    let pause = prop_oneof![3 => 0_u64..2_000, 1 => 0_u64..1_500_000];
    proptest::collection::vec((pause, 0_usize..12, 0_u8..6, size), 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// In a lane of a connection nothing overtakes, nothing comes before light could bring it, and
    /// everything comes in the end, with every part of the model at work.
    #[test]
    fn lanes_keep_their_order(seed: u64, sent in traffic(150), loss in 0_u32..50_000) {
        let config = NetworkConfig { loss_per_million: loss, ..NetworkConfig::default() };
        let mut network = Network::new(config, Rng::from_number(seed));
        let nodes: Vec<usize> = (0..4).map(|_| network.add()).collect();
        let pairs = nodes.iter().flat_map(|a| nodes.iter().map(move |b| (*a, *b)));
        let mut flows: Vec<Flow> = pairs
            .filter(|(a, b)| a != b)
            .map(|(a, b)| network.flow(a, b))
            .collect();
        let mut last = vec![[Time::EPOCH; 6]; flows.len()];
        let mut now = millis(1_000);
        for (pause, flow, lane, bytes) in sent {
            now += Span::from_micros(pause);
            let arrival = network.send(now, &mut flows[flow], lane, bytes);
            let (from, to) = flows[flow].ends();
            let place = network.place(from).up.min(network.place(to).down);
            let on_line = Span::from_micros(bytes * 1_000_000 / place);
            prop_assert!(arrival >= now + network.base_delay(from, to) + on_line);
            prop_assert!(arrival >= last[flow][usize::from(lane)]);
            prop_assert!(arrival < now + Span::from_secs(3_600));
            last[flow][usize::from(lane)] = arrival;
            let left = network.room_at(now, &flows[flow], 0);
            prop_assert_eq!(network.backlog(left, &flows[flow]), 0);
            let half = network.backlog(now, &flows[flow]) / 2;
            let room = network.room_at(now, &flows[flow], half);
            prop_assert!(network.backlog(room, &flows[flow]) <= half);
        }
    }

    /// A line that takes no time keeps nothing back, in whatever order it is told.
    #[test]
    fn an_unlimited_line_takes_no_time(sent in traffic(200), early in 0_u64..5_000) {
        let mut line = Uplink::new(u64::MAX);
        let (mut now, mut latest) = (millis(1_000), millis(1_000));
        for (place, (pause, _, lane, bytes)) in sent.into_iter().enumerate() {
            now += Span::from_micros(pause);
            // Every other one was made ready a while ago.
            let ready = now - Span::from_micros(if place % 2 == 0 { early } else { 0 });
            latest = latest.max(ready);
            let took = line.put(ready, place_of(lane), bytes);
            prop_assert_eq!(took.begin, took.end);
            prop_assert!(took.begin >= ready && took.end <= latest);
        }
    }

    /// A line does what a line can: a lane by itself never has two messages at once, and all
    /// together take no less and no more than the bytes do. The best lane waits for itself and
    /// for one frame.
    #[test]
    fn a_line_out_is_worked_off(rate in 20_000_u64..20_000_000, sent in traffic(200)) {
        let speed = Speed::new(rate);
        let frame = speed.span(16_404);
        let mut line = Uplink::new(rate);
        // The same line with nothing but the best class.
        let mut alone = Uplink::new(rate);
        let mut now = millis(1_000);
        let mut ends = [now; LANES];
        let mut worked_off = now;
        for (pause, _, lane, bytes) in sent {
            now += Span::from_micros(pause);
            let lane = place_of(lane);
            let took = line.put(now, lane, bytes);
            let span = took.end.since(took.begin);
            prop_assert!(span == speed.span(bytes) || span > speed.span(bytes) && lane >= STRICT);
            prop_assert!(took.begin >= now.max(ends[lane]));
            ends[lane] = took.end;
            worked_off = now.max(worked_off) + speed.span(bytes);
            let last = (STRICT..LANES).map(|lane| line.clone().put(now, lane, 0).end).max();
            prop_assert_eq!(last, Some(worked_off));
            if lane == 0 {
                let lone = alone.put(now, lane, bytes);
                prop_assert!(took.begin >= lone.begin);
                prop_assert!(took.begin.since(lone.begin) <= frame);
            }
        }
    }

    /// With windows, too, history keeps nothing better waiting for longer than a round trip, one
    /// frame at each end and one slot of the line in.
    #[test]
    fn news_never_waits_for_history(
        sent in proptest::collection::vec((0_u64..400_000, 40_u64..1_500_000), 1..30),
        at in 0_u64..3_000_000,
        lane in 0_u8..3,
        bytes in 40_u64..14_000,
    ) {
        let tcp = |config: &mut NetworkConfig| config.slow_start = true;
        let (mut busy, mut alone) = (plain(2, tcp), plain(2, tcp));
        let (mut flow, mut lone) = (busy.flow(0, 1), alone.flow(0, 1));
        let news = millis(0) + Span::from_micros(at);
        let mut now = millis(0);
        for (pause, bytes) in sent {
            now += Span::from_micros(pause);
            if now < news {
                busy.send(now, &mut flow, 5, bytes);
            }
        }
        let first = alone.send(news, &mut lone, lane, bytes);
        let arrival = busy.send(news, &mut flow, lane, bytes);
        prop_assert!(arrival >= first);
        let most = Span::from_millis(100) + Span::from_micros(2 * 16_404 + 16_384);
        prop_assert!(arrival <= first + most, "{} later", arrival.since(first));
    }

    /// Three lanes share as a fluid does: beside a naive model in which time goes on in steps, in
    /// each of which every lane that has something sends as much as every other.
    #[test]
    fn lanes_share_evenly(
        sent in proptest::collection::vec((0_u64..3_000, 3_usize..6, 1_u64..4_000), 1..40),
    ) {
        // A byte takes a microsecond.
        let mut line = Uplink::new(1_000_000);
        let (mut now, mut left) = (millis(0), [0.0_f64; SHARED]);
        for (pause, lane, bytes) in sent {
            now += Span::from_micros(pause);
            run_fluid(&mut left, pause as f64, None);
            left[lane - STRICT] += bytes as f64;
            let took = line.put(now, lane, bytes).end.since(now).as_micros();
            let mut after = left;
            let expected = run_fluid(&mut after, f64::INFINITY, Some(lane - STRICT));
            prop_assert!((took as f64 - expected).abs() <= 45.0, "{took} for {expected}");
        }
    }

    /// What comes in whole within a window of time is no more than the line takes in then, give or
    /// take the slots at its ends.
    #[test]
    fn a_line_in_takes_what_it_can(
        rate in 20_000_u64..20_000_000,
        sent in proptest::collection::vec((0_u64..400_000, 0_u64..50_000, 40_u64..40_000), 1..120),
    ) {
        let speed = Speed::new(rate);
        let mut line = Downlink::new();
        let mut taken = Vec::new();
        for (first, spread, bytes) in sent {
            let first = 1_000_000_000 + first;
            let last = Time::from_micros(first + spread);
            let done = line.take(Time::from_micros(first), last, 1, speed.span(bytes));
            prop_assert!(done >= last);
            prop_assert!(done >= Time::from_micros(first) + speed.span(bytes));
            taken.push((first, done.as_micros(), bytes));
        }
        // Over a second of work, the ring forgets.
        let all: u64 = taken.iter().map(|(_, _, bytes)| speed.span(*bytes).as_micros()).sum();
        prop_assume!(all < 500_000);
        for (begin, _, _) in &taken {
            for (_, end, _) in &taken {
                let within = taken.iter().filter(|(first, done, _)| first >= begin && done <= end);
                let took: u64 = within.map(|(_, _, bytes)| speed.span(*bytes).as_micros()).sum();
                prop_assert!(took <= end.saturating_sub(*begin) + 2 * 16_384);
            }
        }
    }
}

/// Lets lanes send until a time has passed or a lane has nothing left; says how long that took.
fn run_fluid(left: &mut [f64; SHARED], span: f64, until: Option<usize>) -> f64 {
    let mut passed = 0.0;
    loop {
        let busy = left.iter().filter(|left| **left > 0.0);
        let (sharing, least) = busy.fold((0.0, f64::INFINITY), |(count, least), left| {
            (count + 1.0, left.min(least))
        });
        let step = (least * sharing).min(span - passed);
        if sharing == 0.0 || step <= 0.0 || until.is_some_and(|lane| left[lane] <= 0.0) {
            return passed;
        }
        for left in left.iter_mut().filter(|left| **left > 0.0) {
            *left -= step / sharing;
            if *left < 1e-6 {
                *left = 0.0;
            }
        }
        passed += step;
    }
}

/// What shares the line takes turns, and what is strict goes before all of it.
#[test]
fn discovery_and_payments_take_turns_with_history() {
    let mut network = plain(2, |_| ());
    let mut flow = network.flow(0, 1);
    assert_eq!(network.send(millis(0), &mut flow, 5, 500_000), millis(550));
    // Half the line each, and then a third. Where they come in, 10 ms of the one may stand in the
    // way of the other.
    let discovery = took(&mut network, 0, &mut flow, 4, 10_000);
    assert!((70_000..=80_000).contains(&discovery), "{discovery}");
    let payments = took(&mut network, 0, &mut flow, 3, 20_000);
    assert!((100_000..=110_000).contains(&payments), "{payments}");
    // Now 10 ms of each are over, and history has 500 ms more: all but 7,880 bytes of it frames.
    let block = took(&mut network, 30, &mut flow, 2, 10_000);
    assert_eq!(block, 7_880 + 10_000 + 50_000);
    // All of it: 541,000 bytes.
    let last = network.send(millis(30), &mut flow, 5, 1_000);
    assert_eq!(last, millis(591));
}

/// A lane has as much under way as its window says, and then a way back passes before it goes on;
/// the others go on.
#[test]
fn a_lane_waits_for_credit() {
    let mut network = plain(2, |config| config.bandwidth = Bandwidths::Unlimited);
    let mut flow = network.flow(0, 1);
    let window = u64::from(crate::wire::Lane::Transactions.window().unwrap());
    assert_eq!(
        network.send(millis(0), &mut flow, 3, window - 10),
        millis(50)
    );
    assert_eq!(network.send(millis(0), &mut flow, 3, 10), millis(50));
    assert_eq!(network.send(millis(0), &mut flow, 3, 1), millis(150));
    assert_eq!(network.send(millis(0), &mut flow, 5, window), millis(50));
    assert_eq!(network.send(millis(0), &mut flow, 4, 60_000), millis(50));
    // What was sent then is under way until its own credit is back, another 100 ms later.
    let next = network.send(millis(120), &mut flow, 3, window - 1);
    assert_eq!(next, millis(170));
    assert_eq!(network.send(millis(130), &mut flow, 3, 2), millis(270));
    assert_eq!(network.send(millis(400), &mut flow, 3, window), millis(450));
}

/// The same calls give the same times on any machine, in any build.
#[test]
fn times_are_golden() {
    let config = NetworkConfig {
        loss_per_million: 2_000,
        ..NetworkConfig::default()
    };
    let mut network = Network::new(config, Rng::from_number(42));
    for _ in 0..50 {
        network.add();
    }
    let mut flows: Vec<Flow> = (0..50)
        .map(|node| network.flow(node, if node < 5 { 9 } else { node % 5 }))
        .collect();
    let mut draw = Draw::new(3);
    let mut now = millis(0);
    let mut sum = 0_u64;
    for _ in 0..20_000 {
        now += Span::from_micros(draw.up_to(3_000));
        let flow = draw.up_to(49) as usize;
        let (lane, most) = (draw.up_to(5) as u8, 1 << draw.up_to(20));
        let bytes = 40 + draw.up_to(most);
        let arrival = network.send(now, &mut flows[flow], lane, bytes);
        sum = sum.rotate_left(5) ^ arrival.as_micros();
    }
    assert_eq!(sum, 13_600_100_140_049_144_185);
}
