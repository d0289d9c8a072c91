use super::drawing::{Anchor, Area, Drawing, escaped, text_width};
use super::plot::{Plot, Scale, apart, clock};
use super::units::rough;
use super::*;
use crate::base::Rng;
use crate::sim::observe::{Gauges, Mark};
use crate::types::{BlockId, Height, WtxId};
use crate::wire::MessageKind;

const MARKS: [&str; 9] = [
    "clock jump",
    "crash",
    "disk full",
    "link cut",
    "partition",
    "restart",
    "slow disk",
    "torn write",
    "bit flip",
];

fn id(number: u64) -> BlockId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    BlockId(id)
}

/// A run that never was: blocks and transactions that spread, forks, faults, messages.
fn made_up(nodes: usize, seconds: u64, stale_every: u64) -> (Facts, Observations) {
    let began = Time::from_millis(1_700_000_000_000);
    let at = |millis: u64| began + Span::from_millis(millis);
    let mut rng = Rng::from_number(nodes as u64);
    let mut seen = Observations::new(began, nodes, Span::from_secs(10));
    let mut tip = 0;
    let mut next = 1;
    for second in 1..=seconds {
        if second % 20 == 0 {
            let fork = second % (20 * stale_every) == 0;
            for (block, behind) in [(next, 0), (next + 1, 200)]
                .iter()
                .take(1 + usize::from(fork))
            {
                let height = Height(second / 20);
                for node in 0..nodes {
                    let delay = behind + rng.below(40) + rng.below(200) * rng.below(6);
                    let now = at(second * 1_000 + if node == 0 { *behind } else { delay });
                    seen.block_seen(now, node, id(*block), id(tip), height);
                }
            }
            for node in 0..nodes {
                seen.tip(
                    node,
                    id(next),
                    Height(second / 20),
                    u64::from(fork && node % 3 == 0),
                );
            }
            tip = next;
            next += 2;
        }
        if second % 7 == 0 {
            let mut wtxid = [0; 32];
            wtxid[..8].copy_from_slice(&second.to_be_bytes());
            for node in 0..nodes {
                let now = at(second * 1_000 + rng.below(1 + 900 * u64::from(node > 0)));
                seen.transaction_seen(now, node, WtxId(wtxid));
            }
            seen.accepted();
        }
        for _ in 0..nodes.min(300) {
            let kind = MessageKind::ALL[rng.below(22) as usize].byte();
            let (from, to) = (rng.below(nodes as u64), rng.below(nodes as u64));
            let bytes = rng.below(1 + u64::from(kind) * 40);
            seen.message(from as usize, to as usize, kind, bytes);
            seen.mempool(from as usize, rng.below(20 + second % 40) as usize);
        }
        if second % 11 == 0 {
            let mark = Mark(MARKS[rng.below(9) as usize]);
            let until = at(second * 1_000 + rng.below(60_000) * u64::from(mark.0 == "partition"));
            seen.mark_span(
                at(second * 1_000),
                until.max(at(second * 1_000)),
                mark,
                Some(0),
            );
        }
        let gauges = Gauges {
            events: second * nodes as u64 * 30 + rng.below(500),
            running: nodes as u32,
            connections: nodes as u64 * 8,
        };
        seen.sample(at(second * 1_000), gauges);
    }
    (made_up_facts(nodes, at(seconds * 1_000)), seen)
}

fn made_up_facts(nodes: usize, end: Time) -> Facts {
    let regions = [
        "North America",
        "Europe",
        "South America",
        "Asia-Pacific",
        "Japan",
        "Australia",
    ];
    Facts {
        scenario: "made up".to_owned(),
        about: "Blocks and transactions of a world that never was.".to_owned(),
        seed: 7,
        options: vec![("world.nodes".to_owned(), nodes.to_string())],
        switches: Some(Switches {
            plain_frames: true,
            memoised_verdicts: false,
            simulated_costs: false,
        }),
        recorded: None,
        nodes,
        end,
        wall: Span::from_millis(48_321),
        events: 360_000,
        event_hash: [0x5a; 32],
        memory: nodes as u64 * 900_000,
        regions: regions.map(str::to_owned).to_vec(),
        region_of: (0..nodes)
            .map(|node| [0, 1, 1, 0, 3, 1, 2, 4, 5, 1][node % 10])
            .collect(),
        links: (0..nodes as u32)
            .flat_map(|node| {
                (1..5).map(move |step| (node, (node + step * step * 7) % nodes as u32))
            })
            .collect(),
        marks: vec![("parked", 2)],
        is_checked: true,
        violations: Vec::new(),
        command: "keel sim swarm.toml --seed 7".to_owned(),
    }
}

/// The texts of a picture with the boxes that they fill about.
fn texts(svg: &str) -> Vec<(String, f64, f64, f64)> {
    let attribute = |element: &str, name: &str| {
        let begin = element.find(&format!(" {name}=\""))? + name.len() + 3;
        let end = begin + element[begin..].find('"')?;
        Some(element[begin..end].to_owned())
    };
    let elements = svg.lines().filter(|line| line.starts_with("<text"));
    elements
        .map(|element| {
            let number = |name| attribute(element, name).and_then(|text| text.parse::<f64>().ok());
            let (x, y) = (number("x").expect("x"), number("y").expect("y"));
            let begin = element.find('>').expect("a tag") + 1;
            let text = &element[begin..element.rfind("</text>").expect("an end")];
            let class = attribute(element, "class").unwrap_or_default();
            let size = match class.as_str() {
                "head" => 24.0,
                "value" => 20.0,
                "title" => 16.0,
                "" => 13.0,
                _ => 12.3,
            };
            let width = text_width(text, size);
            let left = match attribute(element, "text-anchor").as_deref() {
                Some("middle") => x - width / 2.0,
                Some("end") => x - width,
                _ => x,
            };
            (text.to_owned(), left, left + width, y)
        })
        .collect()
}

fn assert_legible(svg: &str) {
    let texts = texts(svg);
    assert!(texts.len() > 60, "a page has texts");
    for (at, (a, a_left, a_right, a_y)) in texts.iter().enumerate() {
        assert!(
            *a_left >= 0.0 && *a_right <= 1_230.0,
            "{a:?} leaves the page"
        );
        for (b, b_left, b_right, b_y) in &texts[at + 1..] {
            let apart = a_right <= b_left || b_right <= a_left || (a_y - b_y).abs() > 10.5;
            assert!(
                apart,
                "{a:?} and {b:?} stand on each other at {a_left},{a_y}"
            );
        }
    }
}

/// Every tag is closed in order, and no character stands where XML forbids it.
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some(begin) = rest.find('<') {
        assert!(
            !rest[..begin].contains('>'),
            "a bare > in {:?}",
            &rest[..begin]
        );
        let end = begin + rest[begin..].find('>').expect("a tag ends");
        let tag = &rest[begin + 1..end];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().expect("a name"));
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?} are not closed");
}

#[test]
fn pictures_of_small_and_large_worlds_are_legible() {
    for (nodes, seconds, stale_every) in [(20, 600, 3), (1_000, 3_600, 9), (3, 30, 1)] {
        let (facts, seen) = made_up(nodes, seconds, stale_every);
        let svg = Report::new(&facts, &seen).svg();
        assert_well_formed(&svg);
        assert_legible(&svg);
        assert!(
            !svg.contains("NaN") && !svg.contains("inf"),
            "a number is none"
        );
    }
}

#[test]
fn a_world_where_nothing_happened_has_a_picture_and_a_table() {
    let seen = Observations::new(Time::EPOCH, 0, Span::from_secs(1));
    let facts = Facts::default();
    let report = Report::new(&facts, &seen);
    assert_well_formed(&report.svg());
    assert!(report.summary().to_text(80).contains("nothing was checked"));
    assert!(
        report
            .csv()
            .iter()
            .all(|(_, text)| text.lines().count() >= 1)
    );
}

#[test]
fn names_from_outside_are_text_in_the_picture() {
    let (mut facts, seen) = made_up(3, 30, 1);
    facts.scenario = "<script>&\"\0".to_owned();
    facts.regions[0] = "a <b> & c".to_owned();
    facts.violations = vec!["<svg onload=\"x\">".to_owned()];
    let svg = Report::new(&facts, &seen).svg();
    assert_well_formed(&svg);
    assert!(svg.contains("a &lt;b&gt; &amp; c"));
    assert!(!svg.contains("<script") && !svg.contains("<svg onload"));
    assert_eq!(escaped("a\u{1}b\nc"), "a\u{fffd}b c");
}

/// The bytes of a plot with both kinds of scales: whoever changes how plots look sees it here.
#[test]
fn a_small_plot_is_drawn_as_it_always_was() {
    let mut drawing = Drawing::new();
    let area = Area {
        left: 40.0,
        top: 20.0,
        width: 200.0,
        height: 100.0,
    };
    let plot = Plot {
        area,
        x: Scale::logarithmic(10.0, 1_000.0, area.left, area.right()),
        y: Scale::linear(0.0, 90.0, area.bottom(), area.top),
        x_name: "ms",
        x_text: &|value| format!("{value}"),
        y_name: "% <of> nodes",
        y_text: &|value| format!("{value} %"),
    };
    plot.frame(&mut drawing);
    drawing.polyline(
        "one",
        &[
            plot.at(10.0, 0.0),
            plot.at(100.0, 50.0),
            plot.at(1e9, 100.0),
        ],
    );
    drawing.polyline("one", &[plot.at(10.0, 0.0)]);
    let svg = drawing.finish(260.0, 160.0, "a & b", "");
    let kept: Vec<&str> = svg
        .lines()
        .filter(|line| !line.contains("\"minor\""))
        .collect();
    let minor = svg
        .lines()
        .filter(|line| line.contains("\"minor\""))
        .count();
    assert_eq!(minor, 16, "eight values between two decades");
    assert_eq!(
        kept.join("\n"),
        include_str!("golden_plot.svg").trim_end(),
        "got:\n{}",
        kept.join("\n")
    );
}

#[test]
fn labels_are_moved_apart_and_keep_their_order() {
    assert_eq!(
        apart(&[10.0, 10.0, 90.0], 14.0, 0.0, 100.0),
        [10.0, 24.0, 90.0]
    );
    assert_eq!(apart(&[99.0, 98.0], 14.0, 0.0, 100.0), [100.0, 86.0]);
    assert_eq!(apart(&[], 14.0, 0.0, 100.0), [] as [f64; 0]);
}

#[test]
fn numbers_read_as_people_write_them() {
    assert_eq!(bytes(1_023), "1023 B");
    assert_eq!(bytes(1_536), "1.5 KiB");
    assert_eq!(bytes(10 << 20), "10 MiB");
    assert_eq!(bytes(1_020 << 10), "1 MiB");
    assert_eq!(count(0), "0");
    assert_eq!(count(1_234_567), "1,234,567");
    assert_eq!(span(Span::from_micros(312_400)), "312 ms");
    assert_eq!(span(Span::from_millis(4_060)), "4.06 s");
    assert_eq!(span(Span::from_secs(125)), "2 min 05 s");
    assert_eq!(span(Span::from_secs(600)), "10 min");
    assert_eq!(span(Span::from_secs(3_600 * 3 + 120)), "3 h 02 min");
    assert_eq!(rough(9_999.0), "10 k");
    assert_eq!(rough(108e6), "108 M");
    assert_eq!(rough(12.26), "12.3");
    assert_eq!(share(3, 214), "1.4 %");
    assert_eq!(share(0, 0), "-");
    assert_eq!(clock(90.0, 600.0), "1 min");
    assert_eq!(clock(30.0, 100.0), "30 s");
    assert_eq!(clock(5_400.0, 8_000.0), "1:30 h");
}

#[test]
fn the_summary_counts_what_was_seen() {
    let (mut facts, seen) = made_up(20, 600, 3);
    let summary = Report::new(&facts, &seen).summary();
    // A block each 20 s; a second one beside each third.
    assert_eq!(
        (summary.height, summary.blocks, summary.stale),
        (30, 40, 10)
    );
    assert_eq!(
        (summary.tips, summary.transactions, summary.accepted),
        (1, 85, 85)
    );
    assert_eq!(summary.reorganisations, [7 * 10]);
    assert_eq!(summary.switches, Some(vec!["plain frames"]));
    assert!(
        summary.marks.contains(&("parked", 2)),
        "{:?}",
        summary.marks
    );
    let spread = summary.block_delay_ms;
    assert!(
        spread.p50 < spread.p90 && spread.p90 < spread.p99,
        "{spread:?}"
    );
    let text = summary.to_text(100);
    assert!(text.contains("40, 10 of them stale (25 %)"), "{text}");
    assert!(
        text.contains("simplified") || text.contains("plain frames"),
        "{text}"
    );
    assert!(text.ends_with("no violation"), "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );

    facts.violations = vec!["node 3 lost a transaction".to_owned()];
    let text = Report::new(&facts, &seen).summary().to_text(100);
    assert!(
        text.ends_with("again: keel sim swarm.toml --seed 7"),
        "{text}"
    );
}

#[test]
fn files_of_numbers_have_a_row_for_each_thing() {
    let (mut facts, seen) = made_up(20, 600, 3);
    facts.regions[1] = "a, \"b\"".to_owned();
    let files = Report::new(&facts, &seen).csv();
    let file = |name: &str| {
        let (_, text) = files.iter().find(|(of, _)| *of == name).expect("the file");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(file("blocks.csv").len(), 1 + 40);
    assert_eq!(file("transactions.csv").len(), 1 + 85);
    assert_eq!(file("nodes.csv").len(), 1 + 20);
    assert_eq!(file("links.csv").len(), 1 + 80);
    assert_eq!(file("series.csv").len(), 1 + 60);
    for name in ["blocks.csv", "transactions.csv", "series.csv", "marks.csv"] {
        let lines = file(name);
        let columns = lines[0].split(',').count();
        assert!(
            lines.iter().all(|line| line.split(',').count() == columns),
            "{name}"
        );
    }
    assert!(file("nodes.csv")[2].starts_with("1,\"a, \"\"b\"\"\","));
    assert_eq!(file("blocks.csv")[1].split(',').nth(3), Some("chain"));
    let stale = file("blocks.csv")
        .iter()
        .filter(|line| line.contains(",stale,"))
        .count();
    assert_eq!(stale, 10);
}

#[test]
fn an_anchor_is_said_only_where_it_is_not_the_beginning() {
    let mut drawing = Drawing::new();
    drawing.text("a", (1.0, 2.0), Anchor::Start, "x");
    drawing.text("b", (1.04, -0.01), Anchor::Middle, "y");
    let svg = drawing.finish(10.0, 10.0, "", "");
    assert!(svg.contains("<text class=\"a\" x=\"1\" y=\"2\">x</text>"));
    assert!(svg.contains("<text class=\"b\" x=\"1\" y=\"0\" text-anchor=\"middle\">y</text>"));
}

/// Twenty nodes, and what each of them had when, in milliseconds.
fn spread(blocks: &[&[u64]], transactions: &[&[u64]]) -> String {
    let began = Time::from_millis(1_700_000_000_000);
    let mut seen = Observations::new(began, 20, Span::from_secs(1));
    for (block, delays) in (1..).zip(blocks) {
        for (node, delay) in delays.iter().enumerate() {
            let now = began + Span::from_millis(*delay);
            seen.block_seen(now, node, id(block), id(block - 1), Height(block));
            seen.tip(node, id(block), Height(block), 0);
        }
    }
    for (transaction, delays) in (1..).zip(transactions) {
        for (node, delay) in delays.iter().enumerate() {
            let now = began + Span::from_millis(*delay);
            seen.transaction_seen(now, node, WtxId([transaction; 32]));
        }
    }
    let facts = made_up_facts(20, began + Span::from_secs(600));
    Report::new(&facts, &seen).svg()
}

#[test]
fn the_axis_of_what_spread_reaches_as_far_as_any_of_it() {
    let most: Vec<u64> = (0..16).map(|node| node * 2_000).collect();
    let ticks = |svg: &str| svg.matches(">100 s</text>").count();
    // The measurements beside the blocks reach that far by themselves.
    assert_eq!(ticks(&spread(&[], &[])), 1);
    assert_eq!(ticks(&spread(&[], &[&most])), 2, "80 % had it after 30 s");
}

/// The points of the lines of a class.
fn lines(svg: &str, class: &str) -> Vec<Vec<(f64, f64)>> {
    let begin = format!("<polyline class=\"{class}\" points=\"");
    let lines = svg.lines().filter_map(|line| line.strip_prefix(&begin));
    lines
        .map(|line| {
            let points = line.split('"').next().expect("an end").split(' ');
            let number = |text: &str| text.parse::<f64>().expect("a number");
            points
                .map(|point| point.split_once(',').expect("two"))
                .map(|(x, y)| (number(x), number(y)))
                .collect()
        })
        .collect()
}

#[test]
fn a_label_of_the_middle_stands_on_no_measurement() {
    // Beside Bitcoin's nodes of 2014, of which nine of ten had a block after 13.5 s.
    for late in [9_000, 14_000, 15_000, 18_000, 30_000] {
        let block: Vec<u64> = (0..20).map(|node| late * node / 17).collect();
        let svg = spread(&[&block], &[]);
        let texts = texts(&svg);
        let label = texts.iter().find(|(text, ..)| text.starts_with("90 % in "));
        let (_, left, right, y) = label.expect("it is there");
        for line in lines(&svg, "reference") {
            for ends in line.windows(2) {
                let steps = 500;
                for step in 0..=steps {
                    let part = f64::from(step) / f64::from(steps);
                    let x = ends[0].0 + (ends[1].0 - ends[0].0) * part;
                    let at = ends[0].1 + (ends[1].1 - ends[0].1) * part;
                    let on_it = (*left..=*right).contains(&x) && (y - 9.0..=*y).contains(&at);
                    assert!(!on_it, "{late}: a line goes through the label at {x},{at}");
                }
            }
        }
    }
}

#[test]
fn names_of_many_regions_stay_in_their_part_and_apart() {
    let (mut facts, seen) = made_up(200, 60, 9);
    let regions = [
        "us-east",
        "eu-central",
        "ap-southeast",
        "eu-south",
        "me-central",
    ];
    facts.regions = (0..33)
        .map(|at| format!("{}-{at}", regions[at % 5]))
        .collect();
    facts.region_of = (0..200).map(|node| (node * 7 % 33) as u8).collect();
    let svg = Report::new(&facts, &seen).svg();
    assert_legible(&svg);
    let texts = texts(&svg);
    let is_name = |text: &&(String, f64, f64, f64)| regions.iter().any(|it| text.0.starts_with(it));
    let names: Vec<_> = texts.iter().filter(is_name).collect();
    assert_eq!(names.len(), 33);
    for (at, (name, left, right, y)) in names.iter().enumerate() {
        assert!(
            *left >= 36.0 && *right <= 36.0 + 560.0,
            "{name} leaves its part"
        );
        for (other, other_left, other_right, other_y) in &names[at + 1..] {
            let beside = *right + 8.0 <= *other_left || *other_right + 8.0 <= *left;
            assert!(
                beside || (y - other_y).abs() > 12.0,
                "{name} and {other} read as one"
            );
        }
    }
}

#[test]
fn blocks_above_the_tip_of_most_are_not_drawn_on_the_chain() {
    let all: Vec<u64> = (0..20).map(|node| node * 10).collect();
    let svg = spread(&[&all, &[30_000, 30_010]], &[]);
    let heights = |class: &str| {
        let circles = svg
            .lines()
            .filter(|line| line.starts_with(&format!("<circle class=\"{class}\"")));
        let y = |line: &str| {
            let begin = line.find("cy=\"").expect("a place") + 4;
            line[begin..]
                .split('"')
                .next()
                .expect("an end")
                .parse::<f64>()
                .expect("a number")
        };
        circles.map(y).collect::<Vec<_>>()
    };
    let (chain, open) = (heights("block"), heights("open"));
    assert_eq!((chain.len(), open.len()), (1, 1));
    assert!(open[0] < chain[0] - 10.0, "it stands above the chain");
    assert!(svg.contains("1 at the end, hollow, not decided yet"));
    // In however many lines.
    let told: Vec<String> = texts(&svg).into_iter().map(|(text, ..)| text).collect();
    assert!(told.join(" ").contains("There was no reorganisation."));
}

#[test]
fn a_recording_says_which_part_of_a_life_it_is_and_nothing_that_is_not_known() {
    let (mut facts, seen) = made_up(3, 30, 1);
    facts.switches = None;
    facts.recorded = Some(Recorded {
        first_event: 12,
        last_event: 345,
        state_hash: "ab".repeat(32),
    });
    let report = Report::new(&facts, &seen);
    let (text, svg) = (report.summary().to_text(200), report.svg());
    for told in [&text, &svg] {
        assert!(
            told.contains("events 12 to 345, to the state abab"),
            "{told}"
        );
        assert!(
            !told.contains("seed 7,") && !told.contains(", seed") && !told.contains("encrypted")
        );
    }
    let value = serde_json::to_value(report.summary()).expect("text keys");
    assert_eq!(value["recorded"]["last_event"], 345);
    assert!(value.get("seed").is_none() && value.get("switches").is_none());
}
