//! How blocks and transactions spread: what share of the nodes had one after what time.

use crate::sim::observe::{Curve, Observations, median};
use crate::sim::report::plot::{Plot, Scale};
use crate::sim::report::units::three_digits;

use super::{Anchor, Area, Drawing, Facts, Part, SETTLE, Summary, count, span};

/// Curves beyond it are left out evenly: more would be one surface.
const CURVES_MAX: usize = 150;

/// What others measured on a real network: its name, and after how many seconds a share of the
/// nodes, in percent, had a block.
struct Reference {
    name: &'static str,
    points: &'static [(f64, f64)],
}

/// Bitcoin's measurements of March 2014 (bitcoinstats.com, 2014-03-24) before compact blocks, and
/// of 2021 with them (Fechner et al., SAC 2022: the median, and 5 % later than 15 s).
const REFERENCES: &[Reference] = &[
    Reference {
        name: "Bitcoin 2014",
        points: &[(50.0, 3.3), (90.0, 13.5), (95.0, 25.0), (99.0, 100.0)],
    },
    Reference {
        name: "Bitcoin 2021",
        points: &[(50.0, 0.454), (95.0, 15.0)],
    },
];

pub(super) fn blocks(
    drawing: &mut Drawing,
    area: Area,
    facts: &Facts,
    seen: &Observations,
    summary: &Summary,
) {
    let curves = seen.blocks().sightings().curves(facts.end, SETTLE);
    let sub = format!(
        "Each of {} blocks faint, their middle bold; dashed what was measured on Bitcoin.",
        count(summary.block_delay_ms.of as u64)
    );
    let part = Part {
        title: "How blocks spread",
        sub: &sub,
        area,
    };
    draw(drawing, &part, &curves, REFERENCES);
}

pub(super) fn transactions(
    drawing: &mut Drawing,
    area: Area,
    facts: &Facts,
    seen: &Observations,
    summary: &Summary,
) {
    let curves = seen.transactions().curves(facts.end, SETTLE);
    let sub = format!(
        "From the first mempool on; each of {} transactions faint, their middle bold.",
        count(summary.transaction_delay_ms.of as u64)
    );
    let part = Part {
        title: "How transactions spread",
        sub: &sub,
        area,
    };
    draw(drawing, &part, &curves, &[]);
}

fn draw(drawing: &mut Drawing, part: &Part<'_>, curves: &[Curve], references: &[Reference]) {
    let room = part.begin(drawing);
    let area = room.inside(48.0, 28.0, 14.0, 42.0);
    let middle = median(curves);
    let plot = Plot {
        area,
        x: delays_scale(&middle, curves, references, area),
        y: Scale::linear(0.0, 100.0, area.bottom(), area.top),
        x_name: "after it was first seen anywhere",
        x_text: &|millis| match millis {
            millis if millis >= 1e3 => format!("{} s", three_digits(millis / 1e3)),
            millis => format!("{} ms", three_digits(millis)),
        },
        y_name: "share of nodes",
        y_text: &|percent| format!("{percent} %"),
    };
    plot.frame(drawing);
    let every = curves.len().div_ceil(CURVES_MAX).max(1);
    for curve in curves.iter().step_by(every) {
        drawing.polyline("one", &points(&plot, curve));
    }
    for reference in references {
        let points: Vec<_> = reference
            .points
            .iter()
            .map(|(percent, seconds)| plot.at(seconds * 1e3, *percent))
            .collect();
        drawing.polyline("reference", &points);
        for point in &points {
            drawing.circle("reference-dot", *point, 3.5);
        }
        let at = (points[0].0 + 6.0, points[0].1 + 19.0);
        drawing.text("reference-text", at, Anchor::Start, reference.name);
    }
    drawing.polyline("middle", &points(&plot, &middle));
    for percent in [50, 90] {
        let Some(delay) = middle[percent] else {
            continue;
        };
        let at = plot.at(delay.span().as_micros() as f64 / 1e3, percent as f64);
        drawing.circle("dot", at, 4.5);
        let text = format!("{percent} % in {}", span(delay.span()));
        // To the left of the curve is free; near the axis, to its right.
        if at.0 - area.left > 120.0 {
            drawing.text("strong", (at.0 - 9.0, at.1 - 5.0), Anchor::End, &text);
        } else {
            drawing.text("strong", (at.0 + 9.0, at.1 + 15.0), Anchor::Start, &text);
        }
    }
    if curves.is_empty() {
        let at = (area.left + area.width / 2.0, area.top + area.height / 2.0);
        drawing.text("label", at, Anchor::Middle, "nothing spread");
    }
}

/// Milliseconds: whole decades around the middle's first tenth and everybody's last.
fn delays_scale(middle: &Curve, curves: &[Curve], references: &[Reference], area: Area) -> Scale {
    let millis = |curve: &Curve, percent: usize| {
        curve[percent].map(|delay| delay.span().as_micros() as f64 / 1e3)
    };
    let first = millis(middle, 10).unwrap_or(10.0).clamp(1.0, 1_000.0);
    let from = if first < 15.0 { 1.0 } else { 10.0 };
    let far = curves.iter().filter_map(|curve| millis(curve, 95));
    let told = references.iter().flat_map(|reference| reference.points);
    let told = told.map(|(_, seconds)| seconds * 1e3);
    let last = far.chain(told).fold(1_000.0, f64::max).min(1e7);
    let mut to = 1_000.0;
    while to < last * 0.999 {
        to *= 10.0;
    }
    Scale::logarithmic(from, to, area.left, area.right())
}

fn points(plot: &Plot<'_>, curve: &Curve) -> Vec<(f64, f64)> {
    let reached = curve.iter().enumerate().filter_map(|(percent, delay)| {
        let millis = (*delay)?.span().as_micros() as f64 / 1e3;
        Some(plot.at(millis.max(1e-3), percent as f64))
    });
    let mut points: Vec<(f64, f64)> = reached.collect();
    // Of steps straight up only the ends are needed.
    let mut at = 1;
    while at + 1 < points.len() {
        let same = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).abs() < 0.05;
        if same(points[at - 1], points[at]) && same(points[at], points[at + 1]) {
            points.remove(at);
        } else {
            at += 1;
        }
    }
    points
}
