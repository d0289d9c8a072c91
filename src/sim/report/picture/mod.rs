//! The picture of a run: one page, its parts from what spreads to what went wrong.

mod faults;
mod lines;
mod spread;
mod topology;
mod traffic;
mod tree;

use crate::base::{Span, Time};
use crate::sim::observe::Observations;

use super::drawing::{Anchor, Area, Drawing, Point, text_width};
use super::plot::clock;
use super::summary::Summary;
use super::units::{bytes, count, rough, share, span};
use super::{Facts, SETTLE};

/// Wide enough for two plots side by side on a screen, and still readable on paper across.
const PAGE_WIDTH: f64 = 1_240.0;
const MARGIN: f64 = 36.0;
const BETWEEN: f64 = 48.0;

/// Colours that people who do not see all of them still tell apart (Okabe and Ito, 2008), ordered
/// so that neighbours differ in brightness too. Everything is legible without a style sheet of
/// the reader's.
const STYLE: &str = "\
text{font-family:Helvetica,Arial,'DejaVu Sans',sans-serif;fill:#1d2733;font-size:13px}\
.page{fill:#fff}\
.head{font-size:24px;font-weight:bold}\
.title{font-size:16px;font-weight:bold}\
.sub,.fact{font-size:12.5px;fill:#4d5965}\
.tick,.name{font-size:12px;fill:#4d5965}\
.label{font-size:12.5px;paint-order:stroke;stroke:#fff;stroke-width:3.5px;stroke-linejoin:round}\
.strong{font-size:12.5px;font-weight:bold;paint-order:stroke;stroke:#fff;stroke-width:3.5px}\
.value{font-size:20px;font-weight:bold}\
.bad{fill:#a3320b}\
.hash{font-family:'DejaVu Sans Mono',monospace;font-size:12px;fill:#4d5965}\
.grid{stroke:#e2e6ea}.minor{stroke:#f0f2f4}.axis{stroke:#8a96a3}\
.rule{stroke:#c9d0d7}\
.one{fill:none;stroke:#0072b2;stroke-opacity:.13}\
.middle{fill:none;stroke:#00507d;stroke-width:2.6}\
.dot{fill:#00507d;stroke:#fff;stroke-width:1.5}\
.reference{fill:none;stroke:#b34a00;stroke-width:1.8;stroke-dasharray:6 4}\
.reference-dot{fill:#fff;stroke:#b34a00;stroke-width:1.8}\
.reference-text{font-size:12.5px;fill:#963e00;paint-order:stroke;stroke:#fff;stroke-width:3.5px}\
.band{fill:#0072b2;fill-opacity:.16}\
.line{fill:none;stroke:#00507d;stroke-width:1.8}\
.area{fill:#56b4e9;fill-opacity:.45}\
.bar{fill:#3d7fb0}.bar-chain{fill:#b9c3cd}.bar-stale{fill:#c8500a}\
.chain{fill:none;stroke:#6b7885;stroke-width:2}.block{fill:#6b7885}\
.branch{fill:none;stroke:#c8500a;stroke-width:1.8}.stale{fill:#c8500a}\
.open{fill:#fff;stroke:#6b7885;stroke-width:1.5}.bar-open{fill:#fff;stroke:#6b7885}\
.undecided{fill:none;stroke:#6b7885;stroke-width:1.5;stroke-dasharray:3 3}\
.leader{stroke:#c9d0d7;stroke-width:.8}\
.fault{stroke:#a3320b;stroke-width:1.4;stroke-opacity:.75}.lasting{fill:#d55e00;fill-opacity:.5}\
.row{fill:#f5f7f8}\
.link{fill:none;stroke:#5f6c78;stroke-opacity:.17;stroke-width:.8}\
.node{stroke:#fff;stroke-width:.7}\
.r0{fill:#2b2d6e}.r1{fill:#e69f00}.r2{fill:#a03b00}.r3{fill:#56b4e9}.r4{fill:#007a5a}\
.r5{fill:#d98cb3}.r6{fill:#0072b2}.r7{fill:#9aa5b1}";

/// A part of the page: its name, what is said below, and the room for it.
struct Part<'a> {
    title: &'a str,
    sub: &'a str,
    area: Area,
}

impl Part<'_> {
    /// Writes the name; gives back the room that is left.
    fn begin(&self, drawing: &mut Drawing) -> Area {
        let Area { left, top, .. } = self.area;
        drawing.text("title", (left, top + 14.0), Anchor::Start, self.title);
        let lines = lines_of(self.sub, 12.5, self.area.width);
        for (at, line) in lines.iter().enumerate() {
            let y = top + 34.0 + 17.0 * at as f64;
            drawing.text("sub", (left, y), Anchor::Start, line);
        }
        self.area
            .inside(0.0, 34.0 + 17.0 * lines.len() as f64, 0.0, 0.0)
    }
}

/// A text in lines that are no wider than `width`.
fn lines_of(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if text_width(line, size) + text_width(word, size) + 4.0 <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Seconds since the world began.
fn seconds(seen: &Observations, at: Time) -> f64 {
    at.since(seen.began()).as_micros() as f64 / 1e6
}

/// The last second that a picture shows.
fn last_second(facts: &Facts, seen: &Observations) -> f64 {
    seconds(seen, facts.end).max(1e-3)
}

/// The page.
pub(super) fn page(facts: &Facts, seen: &Observations, summary: &Summary) -> String {
    let mut drawing = Drawing::new();
    let width = PAGE_WIDTH - 2.0 * MARGIN;
    let column = (width - BETWEEN) / 2.0;
    let second = MARGIN + column + BETWEEN;
    let mut top = head(&mut drawing, facts, seen, summary);
    let half = |left: f64, top: f64, height: f64| Area {
        left,
        top,
        width: column,
        height,
    };
    let whole = |top: f64, height: f64| Area {
        left: MARGIN,
        top,
        width,
        height,
    };

    spread::blocks(&mut drawing, half(MARGIN, top, 400.0), facts, seen, summary);
    spread::transactions(&mut drawing, half(second, top, 400.0), facts, seen, summary);
    top += 430.0;

    topology::draw(&mut drawing, half(MARGIN, top, 480.0), facts);
    traffic::draw(&mut drawing, half(second, top, 480.0), seen);
    top += 510.0;

    top += tree::draw(&mut drawing, whole(top, 0.0), facts, seen, summary) + 30.0;
    top += faults::draw(&mut drawing, whole(top, 0.0), facts, seen) + 30.0;

    lines::heights(&mut drawing, half(MARGIN, top, 290.0), facts, seen);
    lines::stale(&mut drawing, half(second, top, 290.0), facts, seen, summary);
    top += 320.0;
    lines::mempools(&mut drawing, half(MARGIN, top, 290.0), facts, seen);
    lines::tips(&mut drawing, half(second, top, 290.0), facts, seen);
    top += 320.0;
    lines::events(&mut drawing, half(MARGIN, top, 290.0), facts, seen);
    lines::sent(&mut drawing, half(second, top, 290.0), facts, seen);
    top += 320.0;

    let bottom = foot(&mut drawing, top, facts, seen);
    let title = match &facts.recorded {
        Some(_) => "keel sim of a recording".to_owned(),
        None => format!("keel sim {} with seed {}", facts.scenario, facts.seed),
    };
    drawing.finish(PAGE_WIDTH, bottom + 16.0, &title, STYLE)
}

/// What ran, and the numbers that matter most; gives back where it ends.
fn head(drawing: &mut Drawing, facts: &Facts, seen: &Observations, summary: &Summary) -> f64 {
    let text = summary.name_text();
    drawing.text("head", (MARGIN, 58.0), Anchor::Start, &text);
    let width = PAGE_WIDTH - 2.0 * MARGIN;
    let mut y = 84.0;
    let mut facts_lines = vec![facts.about.clone()];
    let options = facts
        .options
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    let options: Vec<String> = options.collect();
    if !options.is_empty() {
        facts_lines.push(format!("Set besides the file: {}", options.join(" ")));
    }
    if let Some(recorded) = &summary.recorded {
        facts_lines.push(format!("{}.", recorded.to_text()));
    }
    if let Some(switches) = summary.switches_text() {
        facts_lines.push(format!("Simplified: {switches}."));
    }
    for text in &facts_lines {
        for line in lines_of(text, 13.0, width) {
            drawing.text("fact", (MARGIN, y), Anchor::Start, &line);
            y += 18.0;
        }
    }
    y += 8.0;
    drawing.line("rule", (MARGIN, y), (PAGE_WIDTH - MARGIN, y));
    let tiles = tiles(facts, seen, summary);
    // Each is as wide as its text, and what is left of the line is shared.
    let widths: Vec<f64> = tiles
        .iter()
        .map(|(value, name)| (text_width(value, 20.0) * 1.06).max(text_width(name, 12.5)))
        .collect();
    let between = (width - widths.iter().sum::<f64>()) / (tiles.len() - 1) as f64;
    let mut x = MARGIN;
    for (at, ((value, name), own)) in tiles.iter().zip(widths).enumerate() {
        let bad = at + 1 == tiles.len() && !facts.violations.is_empty();
        let class = if bad { "value bad" } else { "value" };
        drawing.text(class, (x, y + 34.0), Anchor::Start, value);
        drawing.text("sub", (x, y + 53.0), Anchor::Start, name);
        x += own + between;
    }
    y += 70.0;
    drawing.line("rule", (MARGIN, y), (PAGE_WIDTH - MARGIN, y));
    for violation in facts.violations.iter().take(8) {
        for line in lines_of(violation, 13.0, width) {
            y += 19.0;
            drawing.text("bad", (MARGIN, y), Anchor::Start, &line);
        }
    }
    y + 34.0
}

/// Those of whom blocks, transactions and tips are told.
fn counted_nodes(seen: &Observations) -> &'static str {
    match seen.dishonest() {
        0 => "nodes",
        _ => "honest nodes",
    }
}

fn tiles(facts: &Facts, seen: &Observations, summary: &Summary) -> Vec<(String, String)> {
    let quantile = |millis: Option<u64>| {
        millis.map_or("never".to_owned(), |millis| span(Span::from_millis(millis)))
    };
    let blocks = &summary.block_delay_ms;
    let spread = if blocks.of == 0 {
        "-".to_owned()
    } else {
        quantile(blocks.p90)
    };
    let nodes = match summary.dishonest {
        0 => "nodes".to_owned(),
        dishonest => format!("nodes, {} dishonest", count(dishonest as u64)),
    };
    let violations = facts.violations.len();
    vec![
        (count(facts.nodes as u64), nodes),
        (
            span(Span::from_millis(summary.virtual_ms)),
            format!("simulated in {}", span(facts.wall)),
        ),
        (
            count(summary.blocks),
            format!("blocks, {} stale", share(summary.stale, summary.blocks)),
        ),
        (spread, format!("block at 90 % of {}", counted_nodes(seen))),
        (count(summary.transactions), "transactions".to_owned()),
        (bytes(summary.node_sent_bytes), "sent by a node".to_owned()),
        (rough(facts.events as f64), "events".to_owned()),
        (
            match violations {
                0 if facts.is_checked => "none".to_owned(),
                0 => "-".to_owned(),
                violations => violations.to_string(),
            },
            if !facts.is_checked {
                "nothing checked"
            } else if violations == 1 {
                "violation"
            } else {
                "violations"
            }
            .to_owned(),
        ),
    ]
}

/// How to have it again, and what is not in the pictures; gives back where it ends.
fn foot(drawing: &mut Drawing, top: f64, facts: &Facts, seen: &Observations) -> f64 {
    drawing.line(
        "rule",
        (MARGIN, top - 14.0),
        (PAGE_WIDTH - MARGIN, top - 14.0),
    );
    let hash = crate::base::encode_hex(&facts.event_hash);
    let mut y = top + 4.0;
    for line in lines_of(&facts.command, 12.0, PAGE_WIDTH - 2.0 * MARGIN - 60.0) {
        drawing.text("hash", (MARGIN, y), Anchor::Start, &line);
        y += 17.0;
    }
    let text = format!("event hash {hash}");
    drawing.text("hash", (MARGIN, y), Anchor::Start, &text);
    y += 19.0;
    let left = left_out(seen);
    if !left.is_empty() {
        drawing.text("sub", (MARGIN, y), Anchor::Start, &left);
        y += 19.0;
    }
    y
}

/// What the bounds on memory left out.
fn left_out(seen: &Observations) -> String {
    let (blocks, transactions) = (seen.blocks().sightings(), seen.transactions());
    let left = [
        (blocks.reduced(), "blocks are kept as quantiles"),
        (blocks.forgotten(), "blocks are not kept"),
        (transactions.reduced(), "transactions are kept as quantiles"),
        (transactions.forgotten(), "transactions are not kept"),
        (
            seen.time_line().left_out(),
            "marks are counted without their time",
        ),
    ];
    let left = left.iter().filter(|(number, _)| *number > 0);
    let left: Vec<String> = left
        .map(|(number, what)| format!("{} {what}", count(*number)))
        .collect();
    if left.is_empty() {
        return String::new();
    }
    format!(
        "Left out to bound memory, oldest first: {}.",
        left.join(", ")
    )
}
