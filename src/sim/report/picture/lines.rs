//! How the world changed: heights, mempools, forks, events and bytes over time.

use crate::sim::observe::{Fate, Observations, Sample};
use crate::sim::report::plot::{Plot, Scale, apart};
use crate::sim::report::units::{rough, three_digits};

use super::{
    Anchor, Area, Drawing, Facts, Part, Summary, clock, count, counted_nodes, last_second, seconds,
    share,
};

/// A value over time with its least and greatest around it.
type Band = (f64, f64, f64);

/// Room to the right of a plot for the names of its lines.
const NAMES: f64 = 96.0;

struct Quantity<'a> {
    title: &'a str,
    sub: &'a str,
    y_name: &'a str,
    y_text: &'a dyn Fn(f64) -> String,
    whole: bool,
}

pub(super) fn heights(drawing: &mut Drawing, area: Area, facts: &Facts, seen: &Observations) {
    let quantity = Quantity {
        title: "Height",
        sub: &format!(
            "The tips of all {}: lowest, middle, highest.",
            counted_nodes(seen)
        ),
        y_name: "blocks",
        y_text: &whole,
        whole: true,
    };
    let value = |sample: &Sample| {
        let (least, middle, most) = sample.heights;
        (least.0 as f64, middle.0 as f64, most.0 as f64)
    };
    banded(drawing, area, facts, seen, &quantity, &value);
}

pub(super) fn mempools(drawing: &mut Drawing, area: Area, facts: &Facts, seen: &Observations) {
    let quantity = Quantity {
        title: "Mempools",
        sub: &format!(
            "Transactions that wait: fewest, middle, most of all {}.",
            counted_nodes(seen)
        ),
        y_name: "transactions",
        y_text: &whole,
        whole: true,
    };
    let value = |sample: &Sample| {
        let (least, middle, most) = sample.mempools;
        (f64::from(least), f64::from(middle), f64::from(most))
    };
    banded(drawing, area, facts, seen, &quantity, &value);
}

pub(super) fn tips(drawing: &mut Drawing, area: Area, facts: &Facts, seen: &Observations) {
    let quantity = Quantity {
        title: "Different tips at one time",
        sub: "1 where all agree; it rises for as long as a block travels or the network is split.",
        y_name: "tips",
        y_text: &whole,
        whole: true,
    };
    let value = |sample: &Sample| [f64::from(sample.tips); 3].into();
    banded(drawing, area, facts, seen, &quantity, &value);
}

pub(super) fn events(drawing: &mut Drawing, area: Area, facts: &Facts, seen: &Observations) {
    let quantity = Quantity {
        title: "Events",
        sub: "How much there was to do for each second of the world.",
        y_name: "events per simulated second",
        y_text: &rough,
        whole: false,
    };
    let total = |sample: &Sample| sample.gauges.events as f64;
    rate(drawing, area, facts, seen, &quantity, &total);
}

pub(super) fn sent(drawing: &mut Drawing, area: Area, facts: &Facts, seen: &Observations) {
    // Ticks are round numbers of the unit that the mean is told in.
    let total = seen.traffic().total().bytes as f64;
    let mean = total / last_second(facts, seen);
    let units = [(1.0, "B"), (1_024.0, "KiB"), (1_048_576.0, "MiB")];
    let unit = units.into_iter().rev().find(|(unit, _)| mean >= *unit);
    let (unit, name) = unit.unwrap_or(units[0]);
    let quantity = Quantity {
        title: "Bytes on the lines",
        sub: "What all nodes together sent.",
        y_name: &format!("{name} per simulated second"),
        y_text: &three_digits,
        whole: false,
    };
    let total = |sample: &Sample| sample.sent.bytes as f64 / unit;
    rate(drawing, area, facts, seen, &quantity, &total);
}

fn whole(value: f64) -> String {
    count(value as u64)
}

fn plot<'a>(
    drawing: &mut Drawing,
    area: Area,
    end: f64,
    most: f64,
    quantity: &'a Quantity<'a>,
    x_text: &'a dyn Fn(f64) -> String,
) -> Plot<'a> {
    let part = Part {
        title: quantity.title,
        sub: quantity.sub,
        area,
    };
    let area = part.begin(drawing).inside(58.0, 28.0, NAMES, 24.0);
    let y = if quantity.whole {
        Scale::counts(most, area.bottom(), area.top)
    } else {
        Scale::linear(0.0, most.max(1.0), area.bottom(), area.top)
    };
    let plot = Plot {
        area,
        x: Scale::seconds(end, area.left, area.right()),
        y,
        x_name: "",
        x_text,
        y_name: quantity.y_name,
        y_text: quantity.y_text,
    };
    plot.frame(drawing);
    plot
}

fn banded(
    drawing: &mut Drawing,
    area: Area,
    facts: &Facts,
    seen: &Observations,
    quantity: &Quantity<'_>,
    value: &dyn Fn(&Sample) -> Band,
) {
    let end = last_second(facts, seen);
    let samples = seen.series().samples();
    let most = samples
        .iter()
        .map(|sample| value(sample).2)
        .fold(0.0, f64::max);
    let x_text = |at: f64| clock(at, end);
    let plot = plot(drawing, area, end, most, quantity, &x_text);
    let time = |sample: &Sample| seconds(seen, sample.at);
    let mut edge: Vec<(f64, f64)> = samples
        .iter()
        .map(|sample| plot.at(time(sample), value(sample).2))
        .collect();
    let low = samples.iter().rev();
    edge.extend(low.map(|sample| plot.at(time(sample), value(sample).0)));
    drawing.polygon("band", &edge);
    let line: Vec<(f64, f64)> = samples
        .iter()
        .map(|sample| plot.at(time(sample), value(sample).1))
        .collect();
    drawing.polyline("line", &line);
    let Some(last) = samples.last() else { return };
    let (least, middle, most) = value(last);
    let names = if least < most {
        vec![("most", most), ("middle", middle), ("least", least)]
    } else {
        vec![("now", middle)]
    };
    label(drawing, &plot, &names, quantity.y_text);
}

/// Names at the right end of a plot.
fn label(
    drawing: &mut Drawing,
    plot: &Plot<'_>,
    names: &[(&str, f64)],
    text: &dyn Fn(f64) -> String,
) {
    // Most stands above least also where they are equal.
    let wanted: Vec<f64> = names
        .iter()
        .zip(0..)
        .map(|((_, value), at)| plot.y.at(*value) + f64::from(at) * 1e-6)
        .collect();
    let places = apart(&wanted, 14.0, plot.area.top + 4.0, plot.area.bottom());
    for ((name, value), y) in names.iter().zip(places) {
        let text = format!("{name} {}", text(*value));
        let at = (plot.area.right() + 7.0, y + 4.5);
        drawing.text("label", at, Anchor::Start, &text);
    }
}

/// Steps of a rate: of more, only the noise would be seen.
const STEPS_MAX: usize = 180;

/// What a total gained per second between samples.
fn rate(
    drawing: &mut Drawing,
    area: Area,
    facts: &Facts,
    seen: &Observations,
    quantity: &Quantity<'_>,
    total: &dyn Fn(&Sample) -> f64,
) {
    let end = last_second(facts, seen);
    let mut rates = Vec::new();
    let mut before = (0.0, 0.0);
    let samples = seen.series().samples();
    let every = samples.len().div_ceil(STEPS_MAX).max(1);
    for sample in samples.iter().skip(every - 1).step_by(every) {
        let now = (seconds(seen, sample.at), total(sample));
        if now.0 > before.0 {
            let rate = (now.1 - before.1) / (now.0 - before.0);
            rates.push((before.0, rate));
            rates.push((now.0, rate));
        }
        before = now;
    }
    let most = rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
    let x_text = |at: f64| clock(at, end);
    let plot = plot(drawing, area, end, most, quantity, &x_text);
    let mut edge: Vec<(f64, f64)> = rates.iter().map(|(at, rate)| plot.at(*at, *rate)).collect();
    if let (Some(first), Some(last)) = (rates.first(), rates.last()) {
        let mean = before.1 / before.0.max(1e-9);
        let ends = [plot.at(last.0, 0.0), plot.at(first.0, 0.0)];
        drawing.polyline("line", &edge);
        edge.extend(ends);
        drawing.polygon("area", &edge);
        label(drawing, &plot, &[("mean", mean)], quantity.y_text);
    }
}

/// How many parts the run has in the histogram of blocks.
const PARTS: usize = 24;

pub(super) fn stale(
    drawing: &mut Drawing,
    area: Area,
    facts: &Facts,
    seen: &Observations,
    summary: &Summary,
) {
    let end = last_second(facts, seen);
    let mut parts = [(0_u32, 0_u32, 0_u32); PARTS];
    for ((block, ..), fate) in seen.blocks().iter().zip(seen.blocks().fates()) {
        let part = (seconds(seen, block.first) / end * PARTS as f64) as usize;
        let part = &mut parts[part.min(PARTS - 1)];
        match fate {
            Fate::Stale => part.1 += 1,
            Fate::Chain => part.0 += 1,
            Fate::Open => part.2 += 1,
        }
    }
    let deepest = summary.reorganisations.len();
    let sub = format!(
        "Grey on the chain, dark orange stale: {} of {} ({}); hollow not decided yet. {}",
        summary.stale,
        summary.blocks,
        share(summary.stale, summary.blocks),
        match deepest {
            0 => "There was no reorganisation.".to_owned(),
            1 => "The deepest reorganisation left 1 block.".to_owned(),
            deepest => format!("The deepest reorganisation left {deepest} blocks."),
        }
    );
    let quantity = Quantity {
        title: "Forks",
        sub: &sub,
        y_name: "blocks by when they were first seen",
        y_text: &whole,
        whole: true,
    };
    let sums = parts
        .iter()
        .map(|(chain, stale, open)| chain + stale + open);
    let most = sums.max();
    let x_text = |at: f64| clock(at, end);
    let most = f64::from(most.unwrap_or(0));
    let plot = plot(drawing, area, end, most, &quantity, &x_text);
    let width = plot.area.width / PARTS as f64;
    for (part, (chain, stale, open)) in parts.iter().enumerate() {
        let left = plot.area.left + width * part as f64 + 1.0;
        let mut bar = |class: &str, from: u32, to: u32| {
            if to > from {
                let top = plot.y.at(f64::from(to));
                let height = plot.y.at(f64::from(from)) - top;
                let area = Area {
                    left,
                    top,
                    width: width - 2.0,
                    height,
                };
                drawing.rectangle(class, area);
            }
        };
        bar("bar-chain", 0, *chain);
        bar("bar-stale", *chain, chain + stale);
        bar("bar-open", chain + stale, chain + stale + open);
    }
}
