//! How blocks and transactions spread: what share of the nodes had one after what time.

use crate::sim::observe::{Curve, Observations, median};
use crate::sim::report::plot::{Plot, Scale};
use crate::sim::report::units::three_digits;

use super::{
    Anchor, Area, Drawing, Facts, Part, Point, SETTLE, Summary, count, counted_nodes, span,
    text_width,
};

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
    draw(drawing, &part, &curves, REFERENCES, counted_nodes(seen));
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
    draw(drawing, &part, &curves, &[], counted_nodes(seen));
}

fn draw(
    drawing: &mut Drawing,
    part: &Part<'_>,
    curves: &[Curve],
    references: &[Reference],
    nodes: &str,
) {
    let share = format!("share of {nodes}");
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
        y_name: &share,
        y_text: &|percent| format!("{percent} %"),
    };
    plot.frame(drawing);
    let every = curves.len().div_ceil(CURVES_MAX).max(1);
    for curve in curves.iter().step_by(every) {
        drawing.polyline("one", &points(&plot, curve));
    }
    let (mut lines, mut taken) = (Vec::new(), Vec::new());
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
        taken.push(Label::new(at, Anchor::Start, reference.name));
        lines.push(points);
    }
    let curve = points(&plot, &middle);
    drawing.polyline("middle", &curve);
    lines.push(curve);
    for percent in [50, 90] {
        let Some(delay) = middle[percent] else {
            continue;
        };
        let at = plot.at(delay.span().as_micros() as f64 / 1e3, percent as f64);
        drawing.circle("dot", at, 4.5);
        let text = format!("{percent} % in {}", span(delay.span()));
        let label = beside(area, at, &text, &lines, &taken);
        drawing.text("strong", label.at, label.anchor, &text);
        taken.push(label);
    }
    if curves.is_empty() {
        let at = (area.left + area.width / 2.0, area.top + area.height / 2.0);
        drawing.text("label", at, Anchor::Middle, "nothing spread");
    }
}

/// A text at its place, with the room that it takes.
struct Label {
    at: Point,
    anchor: Anchor,
    room: Area,
}

impl Label {
    fn new(at: Point, anchor: Anchor, text: &str) -> Self {
        let width = text_width(text, 13.0);
        let left = match anchor {
            Anchor::Start => at.0,
            Anchor::Middle => at.0 - width / 2.0,
            Anchor::End => at.0 - width,
        };
        let room = Area {
            left,
            top: at.1 - 11.0,
            width,
            height: 14.0,
        };
        Self { at, anchor, room }
    }

    fn meets(&self, other: &Self) -> bool {
        let (a, b) = (&self.room, &other.room);
        let beside = a.right() < b.left || b.right() < a.left;
        !(beside || a.bottom() < b.top || b.bottom() < a.top)
    }

    /// Whether a line goes through it.
    fn is_crossed(&self, line: &[Point]) -> bool {
        line.windows(2).any(|ends| {
            let (from, to) = (ends[0], ends[1]);
            let steps = ((to.0 - from.0).abs() + (to.1 - from.1).abs())
                .ceil()
                .max(1.0);
            (0..=steps as u32).any(|step| {
                let part = f64::from(step) / steps;
                let x = from.0 + (to.0 - from.0) * part;
                let y = from.1 + (to.1 - from.1) * part;
                let room = &self.room;
                (room.left..=room.right()).contains(&x) && (room.top..=room.bottom()).contains(&y)
            })
        })
    }
}

/// A label of a point, on whichever side of it no line and no other label stands. To the left of a
/// curve that rises is free, as is below it on its right.
fn beside(area: Area, at: Point, text: &str, lines: &[Vec<Point>], taken: &[Label]) -> Label {
    let left = |y: f64| Label::new((at.0 - 9.0, at.1 + y), Anchor::End, text);
    let right = |y: f64| Label::new((at.0 + 9.0, at.1 + y), Anchor::Start, text);
    let sides = [-5.0, 15.0, 33.0, -23.0, 51.0, 69.0].into_iter();
    let mut tried = sides.flat_map(|y| [left(y), right(y)]);
    let is_free = |label: &Label| {
        let room = &label.room;
        let is_within = room.left >= area.left
            && room.right() <= area.right()
            && room.top >= area.top - 12.0
            && room.bottom() <= area.bottom();
        is_within
            && !taken.iter().any(|other| label.meets(other))
            && !lines.iter().any(|line| label.is_crossed(line))
    };
    let free = tried.find(is_free);
    free.unwrap_or_else(|| {
        if at.0 - area.left > 120.0 {
            left(-5.0)
        } else {
            right(15.0)
        }
    })
}

/// Milliseconds: whole decades around the middle's first tenth and everybody's last.
fn delays_scale(middle: &Curve, curves: &[Curve], references: &[Reference], area: Area) -> Scale {
    let millis = |curve: &Curve, percent: usize| {
        curve[percent].map(|delay| delay.span().as_micros() as f64 / 1e3)
    };
    let first = millis(middle, 10).unwrap_or(10.0).clamp(1.0, 1_000.0);
    let from = if first < 15.0 { 1.0 } else { 10.0 };
    // As far as any was seen to spread: what stood beyond the end would be drawn at it.
    let reached = |curve: &Curve| {
        (0..curve.len())
            .rev()
            .find_map(|percent| millis(curve, percent))
    };
    let far = curves.iter().filter_map(reached);
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
