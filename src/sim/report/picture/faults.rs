//! What happened to the world, and when: a row for each kind of mark.

use std::collections::{BTreeMap, BTreeSet};

use crate::sim::observe::{Mark, MarkAt, Observations};
use crate::sim::report::plot::Scale;

use super::{Anchor, Area, Drawing, Facts, Part, clock, count, last_second, seconds, text_width};

/// Rows beyond it are named without their times.
const ROWS_MAX: usize = 45;
const ROW_HEIGHT: f64 = 21.0;

/// Draws it below `area`'s top; gives back how high it is.
pub(super) fn draw(drawing: &mut Drawing, area: Area, facts: &Facts, seen: &Observations) -> f64 {
    let counts = seen.time_line().counts();
    let sub = if counts.is_empty() {
        "No fault and no turn of a plan was marked in this run.".to_owned()
    } else {
        let total: u64 = counts.values().sum();
        format!(
            "{} marks of {} kinds; a line is one moment, a bar lasts.",
            count(total),
            counts.len()
        )
    };
    let part = Part {
        title: "What happened to the world",
        sub: &sub,
        area,
    };
    let room = part.begin(drawing);
    if counts.is_empty() {
        return room.top - area.top;
    }
    let mut times: BTreeMap<Mark, Vec<&MarkAt>> = BTreeMap::new();
    for mark in seen.time_line().times() {
        times.entry(mark.mark).or_default().push(mark);
    }
    let label = |mark: &Mark, times: u64| format!("{}  {}", mark.0, count(times));
    let labels = counts
        .iter()
        .map(|(mark, times)| text_width(&label(mark, *times), 13.0));
    let labels = labels.fold(0.0, f64::max).min(420.0) + 12.0;
    let end = last_second(facts, seen);
    let scale = Scale::seconds(end, area.left + labels, area.right() - 8.0);
    let top = room.top + 4.0;
    let rows = counts.len().min(ROWS_MAX);
    let bottom = top + ROW_HEIGHT * rows as f64;
    for row in (0..rows).step_by(2) {
        let stripe = Area {
            left: area.left,
            top: top + ROW_HEIGHT * row as f64,
            width: area.width,
            height: ROW_HEIGHT,
        };
        drawing.rectangle("row", stripe);
    }
    times_axis(drawing, &scale, end, (top, bottom));
    for (row, (mark, fired)) in counts.iter().take(rows).enumerate() {
        let middle = top + ROW_HEIGHT * (row as f64 + 0.5);
        let at = (area.left + labels - 12.0, middle + 4.5);
        drawing.text("", at, Anchor::End, &label(mark, *fired));
        let of_kind = times.get(mark).map_or(&[][..], Vec::as_slice);
        draw_row(drawing, seen, &scale, of_kind, middle);
    }
    bottom + 36.0 - area.top
}

fn draw_row(
    drawing: &mut Drawing,
    seen: &Observations,
    scale: &Scale,
    marks: &[&MarkAt],
    middle: f64,
) {
    // What falls on the same half pixel is one line: it would look the same.
    let mut drawn = BTreeSet::new();
    for mark in marks {
        let from = scale.at(seconds(seen, mark.from));
        let until = scale.at(seconds(seen, mark.until));
        if !drawn.insert(((from * 2.0) as i64, (until * 2.0) as i64)) {
            continue;
        }
        if until - from > 1.5 {
            let bar = Area {
                left: from,
                top: middle - 6.5,
                width: until - from,
                height: 13.0,
            };
            drawing.rectangle("lasting", bar);
        } else {
            drawing.line("fault", (from, middle - 6.5), (from, middle + 6.5));
        }
    }
}

/// The times of the world below a part that is as wide as the page.
pub(super) fn times_axis(
    drawing: &mut Drawing,
    scale: &Scale,
    end: f64,
    (top, bottom): (f64, f64),
) {
    for value in scale.ticks() {
        let x = scale.at(value);
        drawing.line("grid", (x, top), (x, bottom));
        drawing.text(
            "tick",
            (x, bottom + 16.0),
            Anchor::Middle,
            &clock(value, end),
        );
    }
    drawing.line("axis", (scale.at(0.0), bottom), (scale.at(end), bottom));
}
