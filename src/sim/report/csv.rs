//! Numbers for other programs: one file of comma-separated values for each series.

use std::fmt::Write;

use crate::sim::observe::{Curve, Fate, Observations, Sighting};
use crate::wire::MessageKind;

use super::Facts;

/// The quantiles that are written, in percent.
const PERCENTS: [usize; 13] = [0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100];

pub(super) fn files(facts: &Facts, seen: &Observations) -> Vec<(&'static str, String)> {
    vec![
        ("blocks.csv", blocks(seen)),
        ("transactions.csv", transactions(seen)),
        ("series.csv", series(seen)),
        ("messages.csv", messages(seen)),
        ("nodes.csv", nodes(facts, seen)),
        ("links.csv", links(facts)),
        ("marks.csv", marks(seen)),
        ("reorganisations.csv", reorganisations(seen)),
    ]
}

fn quantile_names() -> String {
    let names = PERCENTS.iter().map(|percent| format!("p{percent}_ms"));
    names.collect::<Vec<_>>().join(",")
}

fn quantiles(curve: &Curve) -> String {
    let delays = PERCENTS.iter().map(|percent| {
        let delay = curve[*percent].map(|delay| delay.span().as_micros() as f64 / 1e3);
        delay.map_or(String::new(), |millis| format!("{millis:.1}"))
    });
    delays.collect::<Vec<_>>().join(",")
}

fn first_ms<Id>(seen: &Observations, sighting: &Sighting<Id>) -> u64 {
    sighting.first.since(seen.began()).as_millis()
}

fn blocks(seen: &Observations) -> String {
    let nodes = seen.blocks().sightings().nodes();
    let mut text = format!(
        "id,height,parent,fate,first_ms,origin,reached,{}\n",
        quantile_names()
    );
    for ((block, height, parent), fate) in seen.blocks().iter().zip(seen.blocks().fates()) {
        let fate = match fate {
            Fate::Chain => "chain",
            Fate::Stale => "stale",
            Fate::Open => "open",
        };
        let _ = writeln!(
            text,
            "{},{height},{parent},{fate},{},{},{},{}",
            block.id,
            first_ms(seen, block),
            block.origin,
            block.reached,
            quantiles(&block.curve(nodes))
        );
    }
    text
}

fn transactions(seen: &Observations) -> String {
    let nodes = seen.transactions().nodes();
    let mut text = format!("wtxid,first_ms,origin,reached,{}\n", quantile_names());
    for transaction in seen.transactions().iter() {
        let _ = writeln!(
            text,
            "{},{},{},{},{}",
            transaction.id,
            first_ms(seen, transaction),
            transaction.origin,
            transaction.reached,
            quantiles(&transaction.curve(nodes))
        );
    }
    text
}

fn series(seen: &Observations) -> String {
    let mut text = "time_ms,events,running,connections,height_min,height_median,height_max,\
                    mempool_min,mempool_median,mempool_max,tips,blocks,transactions,\
                    accepted,messages,sent_bytes\n"
        .to_owned();
    for sample in seen.series().samples() {
        let (heights, mempools) = (sample.heights, sample.mempools);
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
            sample.at.since(seen.began()).as_millis(),
            sample.gauges.events,
            sample.gauges.running,
            sample.gauges.connections,
            heights.0,
            heights.1,
            heights.2,
            mempools.0,
            mempools.1,
            mempools.2,
            sample.tips,
            sample.blocks,
            sample.transactions,
            sample.accepted,
            sample.sent.messages,
            sample.sent.bytes
        );
    }
    text
}

/// The name of a type of messages.
pub(super) fn kind_name(kind: u8) -> String {
    MessageKind::from_byte(kind).map_or_else(
        |_| format!("{kind:#04x}"),
        |kind| kind.name().to_lowercase().replace('_', " "),
    )
}

fn messages(seen: &Observations) -> String {
    let mut text = "type,name,messages,bytes\n".to_owned();
    for (kind, volume) in seen.traffic().kinds() {
        let name = kind_name(kind);
        let _ = writeln!(text, "{kind},{name},{},{}", volume.messages, volume.bytes);
    }
    text
}

fn nodes(facts: &Facts, seen: &Observations) -> String {
    let mut text = "node,region,is_honest,sent_bytes,received_bytes\n".to_owned();
    for (node, traffic) in seen.traffic().nodes().iter().enumerate() {
        let region = facts.region_of.get(node).map(|region| usize::from(*region));
        let region = region.and_then(|region| facts.regions.get(region));
        let region = region.map_or("", String::as_str);
        let _ = writeln!(
            text,
            "{node},{},{},{},{}",
            quoted(region),
            seen.is_honest(node),
            traffic.sent,
            traffic.received
        );
    }
    text
}

fn links(facts: &Facts) -> String {
    let mut text = "node,peer\n".to_owned();
    for (node, peer) in &facts.links {
        let _ = writeln!(text, "{node},{peer}");
    }
    text
}

fn marks(seen: &Observations) -> String {
    let mut text = "from_ms,until_ms,mark,node\n".to_owned();
    for mark in seen.time_line().times() {
        let node = mark.node.map_or(String::new(), |node| node.to_string());
        let _ = writeln!(
            text,
            "{},{},{},{node}",
            mark.from.since(seen.began()).as_millis(),
            mark.until.since(seen.began()).as_millis(),
            quoted(mark.mark.0)
        );
    }
    text
}

fn reorganisations(seen: &Observations) -> String {
    let mut text = "blocks_left,times\n".to_owned();
    for (depth, times) in (1..).zip(seen.reorganisations()) {
        let _ = writeln!(text, "{depth},{times}");
    }
    text
}

/// A field, in quotes where it has to be (RFC 4180).
pub(super) fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}
