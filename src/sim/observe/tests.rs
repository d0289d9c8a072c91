use super::*;
use crate::base::Rng;

fn at(millis: u64) -> Time {
    Time::from_millis(1_000_000 + millis)
}

fn id(number: u64) -> BlockId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    BlockId(id)
}

fn observations(nodes: usize) -> Observations {
    Observations::new(at(0), nodes, Span::from_secs(1))
}

/// A node executes a block and moves its tip there.
fn connect(seen: &mut Observations, millis: u64, node: usize, block: (u64, u64, u64), left: u64) {
    let (number, parent, height) = block;
    seen.block_seen(at(millis), node, id(number), id(parent), Height(height));
    seen.tip(node, id(number), Height(height), left);
}

fn millis(curve: &Curve, percent: usize) -> Option<u64> {
    curve[percent].map(|delay| delay.span().as_millis())
}

#[test]
fn a_curve_is_the_nodes_delays_in_order() {
    let mut seen = observations(4);
    for (millis, node) in [(0, 2), (300, 0), (100, 3)] {
        connect(&mut seen, millis, node, (1, 0, 1), 0);
    }
    // A second time is no news.
    connect(&mut seen, 900, 3, (1, 0, 1), 0);
    let block = seen.blocks().sightings().get(&id(1)).expect("it was seen");
    assert_eq!((block.origin, block.first, block.reached), (2, at(0), 3));
    let curve = block.curve(4);
    assert_eq!(millis(&curve, 0), Some(0));
    assert_eq!(millis(&curve, 25), Some(0));
    assert_eq!(millis(&curve, 26), Some(100));
    assert_eq!(millis(&curve, 50), Some(100));
    assert_eq!(millis(&curve, 75), Some(300));
    assert_eq!(millis(&curve, 76), None, "one of four never had it");
    for node in 4..8 {
        seen.admit(node, true);
    }
    let of_eight = seen.blocks().sightings().curves(at(100), Span::ZERO);
    assert_eq!(
        millis(&of_eight[0], 38),
        None,
        "nor did four that came later"
    );
}

#[test]
fn what_dishonest_nodes_have_is_not_counted() {
    let mut seen = observations(0);
    for (node, is_honest) in [(0, false), (1, true), (2, false), (3, true)] {
        seen.admit(node, is_honest);
    }
    for (millis, node) in [(0, 0), (100, 3), (200, 2), (300, 1)] {
        connect(&mut seen, millis, node, (1, 0, 1), 0);
        seen.transaction_seen(at(millis), node, WtxId([7; 32]));
        seen.mempool(node, node + 1);
    }
    connect(&mut seen, 400, 2, (2, 1, 2), 1);
    let block = seen.blocks().sightings().get(&id(1)).expect("it was seen");
    assert_eq!((block.origin, block.first, block.reached), (3, at(100), 2));
    assert_eq!(
        millis(&block.curve(seen.blocks().sightings().nodes()), 100),
        Some(200)
    );
    let transaction = seen.transactions().iter().next().expect("it was seen");
    assert_eq!((transaction.origin, transaction.reached), (3, 2));
    assert_eq!(
        (seen.blocks().count(), seen.blocks().distinct_tips()),
        (2, 1)
    );
    let withheld = seen.blocks().sightings().get(&id(2)).expect("it was made");
    assert_eq!(
        (withheld.origin, withheld.first, withheld.reached),
        (2, at(400), 0)
    );
    assert_eq!(
        seen.blocks().sightings().curves(at(900), Span::ZERO).len(),
        1
    );
    assert_eq!(seen.blocks().heights().2, Height(1));
    assert!(seen.reorganisations().iter().all(|times| *times == 0));
    seen.end(at(500), Gauges::default());
    assert_eq!(
        seen.series().samples().last().expect("a sample").mempools,
        (2, 4, 4)
    );
    assert_eq!(seen.dishonest(), 2);
    assert!(seen.is_honest(1) && !seen.is_honest(2));
    // Two withheld blocks are published at once.
    seen.block_seen(at(600), 2, id(3), id(2), Height(3));
    connect(&mut seen, 700, 1, (3, 2, 3), 0);
    for block in [2, 3] {
        let block = seen
            .blocks()
            .sightings()
            .get(&id(block))
            .expect("it was seen");
        assert_eq!((block.origin, block.first, block.reached), (1, at(700), 1));
    }
}

#[test]
fn the_median_of_curves_counts_what_never_arrived_as_last() {
    let mut seen = observations(2);
    for (block, delay) in [(1, Some(10)), (2, Some(30)), (3, None)] {
        connect(&mut seen, 0, 0, (block, 0, 1), 0);
        if let Some(delay) = delay {
            connect(&mut seen, delay, 1, (block, 0, 1), 0);
        }
    }
    let curves = seen.blocks().sightings().curves(at(100), Span::ZERO);
    assert_eq!(millis(&median(&curves), 100), Some(30));
    assert_eq!(median(&[])[50], None);
    let none = seen.blocks().sightings().curves(at(0), Span::from_secs(1));
    assert!(none.is_empty(), "all were younger than a second");
}

#[test]
fn a_block_brings_the_branch_below_it() {
    let mut seen = observations(2);
    for block in [(1, 0, 1), (2, 1, 2), (3, 2, 3)] {
        connect(&mut seen, block.2 * 10, 0, block, 0);
    }
    connect(&mut seen, 100, 1, (3, 2, 3), 0);
    let reached = seen.blocks().iter().map(|(block, ..)| block.reached);
    assert_eq!(reached.collect::<Vec<_>>(), [2, 2, 2]);
    let first = seen.blocks().sightings().get(&id(1)).expect("it was seen");
    assert_eq!(millis(&first.curve(2), 100), Some(90));
}

#[test]
fn the_chain_is_where_most_nodes_stand_and_the_rest_is_stale_or_open() {
    let mut seen = observations(3);
    // 1 <- 2 <- 5, beside it 3 <- 4 on 1; 6 on 5 has come to one node only.
    for block in [(1, 0, 1), (2, 1, 2)] {
        connect(&mut seen, 0, 0, block, 0);
    }
    for block in [(1, 0, 1), (3, 1, 2), (4, 3, 3)] {
        connect(&mut seen, 5, 1, block, 0);
    }
    assert_eq!(seen.blocks().distinct_tips(), 2);
    assert_eq!(
        seen.blocks().heights(),
        (Height(2), Height(3), Height(3)),
        "the third node has shown no tip"
    );
    connect(&mut seen, 10, 0, (5, 2, 3), 0);
    connect(&mut seen, 20, 2, (5, 2, 3), 0);
    connect(&mut seen, 30, 1, (5, 2, 3), 2);
    connect(&mut seen, 40, 1, (6, 5, 4), 0);
    assert_eq!(seen.blocks().best(), Some(id(5)));
    assert_eq!(
        seen.blocks().fates(),
        [
            Fate::Chain,
            Fate::Chain,
            Fate::Stale,
            Fate::Stale,
            Fate::Chain,
            Fate::Open
        ]
    );
    assert_eq!(
        seen.blocks().side_branches(),
        [Branch {
            height: Height(2),
            blocks: vec![id(3), id(4)],
            first: at(5),
        }]
    );
    assert_eq!(seen.reorganisations()[..3], [0, 1, 0]);
}

/// Bounds of four detailed blocks and eight known ones, against lists without bounds.
#[test]
fn what_is_beyond_the_bounds_is_reduced_then_forgotten_and_counted() {
    let (nodes, blocks) = (300, 20_u64);
    let mut rng = Rng::from_number(1);
    let mut bounded = Blocks::new(nodes, 4 * nodes * 4, 8);
    let mut whole = Blocks::new(nodes, usize::MAX, usize::MAX);
    for block in 1..=blocks {
        for node in 0..nodes {
            let now = at(block * 10_000 + if node == 0 { 0 } else { rng.below(5_000) });
            for tree in [&mut bounded, &mut whole] {
                tree.seen(now, node, id(block), id(block - 1), Height(block));
                tree.tip(node, id(block), Height(block));
            }
        }
        assert_eq!(bounded.distinct_tips(), 1);
        assert_eq!(
            bounded.heights(),
            (Height(block), Height(block), Height(block))
        );
    }
    let kept = bounded.sightings();
    assert_eq!(
        (kept.count(), kept.forgotten(), kept.reduced()),
        (20, 12, 4)
    );
    for (block, full) in kept.iter().zip(whole.sightings().iter().skip(12)) {
        assert_eq!(block.id, full.id);
        assert_eq!(block.curve(nodes), full.curve(nodes));
        assert_eq!(full.delays().map(|delays| delays.len()), Some(nodes));
    }
    let detailed = kept.iter().map(|block| block.delays().is_some());
    assert_eq!(detailed.filter(|detailed| *detailed).count(), 4);
    assert_eq!(bounded.fates(), [Fate::Chain; 8]);
}

#[test]
fn a_node_on_a_forgotten_tip_counts_by_its_height_alone() {
    let mut blocks = Blocks::new(2, usize::MAX, 2);
    for node in [0, 1] {
        blocks.seen(at(0), node, id(1), id(0), Height(1));
        blocks.tip(node, id(1), Height(1));
    }
    for block in 2..=4 {
        blocks.seen(at(block), 0, id(block), id(block - 1), Height(block));
        blocks.tip(0, id(block), Height(block));
    }
    assert_eq!(blocks.distinct_tips(), 1);
    assert_eq!(blocks.heights(), (Height(1), Height(4), Height(4)));
    blocks.tip(1, id(4), Height(4));
    assert_eq!(blocks.heights(), (Height(4), Height(4), Height(4)));
    assert_eq!(blocks.distinct_tips(), 1);
}

#[test]
fn a_long_run_has_fewer_samples_at_longer_intervals() {
    let mut seen = observations(3);
    seen.mempool(1, 7);
    seen.message(0, 2, 0x2e, 100);
    seen.message(2, 0, 0x2e, 20);
    for second in 1..5_000_u64 {
        if at(second * 1_000) >= seen.sample_due() {
            seen.sample(at(second * 1_000), Gauges::default());
        }
    }
    let series = seen.series();
    assert_eq!(series.interval(), Span::from_secs(4));
    let samples = series.samples();
    assert!((1_000..2_048).contains(&samples.len()), "{}", samples.len());
    let gaps = samples.windows(2).map(|pair| pair[1].at.since(pair[0].at));
    assert!(gaps.into_iter().all(|gap| gap == Span::from_secs(4)));
    let last = samples.last().expect("there are samples");
    assert_eq!(last.mempools, (0, 0, 7));
    assert_eq!((last.sent.messages, last.sent.bytes), (2, 120));
    let kinds: Vec<(u8, Volume)> = seen.traffic().kinds().collect();
    assert_eq!(kinds, [(0x2e, last.sent)]);
    assert_eq!(
        seen.traffic().nodes()[0],
        NodeTraffic {
            sent: 100,
            received: 20
        }
    );
}

#[test]
fn marks_are_counted_beyond_those_whose_time_is_kept() {
    let mut seen = observations(1);
    for number in 0..70_000 {
        seen.mark(at(number), Mark("crash"), Some(0));
    }
    seen.mark_span(at(3), at(9), Mark("partition"), None);
    let line = seen.time_line();
    assert_eq!(line.counts()[&Mark("crash")], 70_000);
    assert_eq!(line.counts()[&Mark("partition")], 1);
    assert_eq!(line.times().len() as u64 + line.left_out(), 70_001);
}

#[test]
fn the_last_sample_is_that_of_the_end() {
    let mut seen = observations(1);
    let gauges = Gauges::default();
    seen.sample(at(1_000), gauges);
    connect(&mut seen, 1_400, 0, (1, 0, 1), 0);
    seen.end(at(1_500), gauges);
    let samples = seen.series().samples();
    let told: Vec<_> = samples.iter().map(|it| (it.at, it.heights.1)).collect();
    assert_eq!(told, [(at(1_000), Height(0)), (at(1_500), Height(1))]);
    // What happened at that moment after its sample counts too.
    connect(&mut seen, 1_500, 0, (2, 1, 2), 0);
    seen.end(at(1_500), gauges);
    let last = seen.series().samples().last().map(|it| it.heights.1);
    assert_eq!((seen.series().samples().len(), last), (2, Some(Height(2))));
}
