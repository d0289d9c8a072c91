//! The chain over time, and the branches it left aside.

use std::collections::BTreeMap;

use crate::sim::observe::{Branch, Fate, Observations};
use crate::sim::report::plot::Scale;
use crate::types::BlockId;

use super::{Anchor, Area, Drawing, Facts, Part, Summary, count, last_second, seconds};

/// Rows of branches that stand above one another; what needs more is not drawn.
const ROWS_MAX: usize = 9;
const ROW_HEIGHT: f64 = 17.0;
/// Blocks closer than this are drawn without dots.
const DOTS_APART: f64 = 5.0;

/// Draws it below `area`'s top; gives back how high it is.
pub(super) fn draw(
    drawing: &mut Drawing,
    area: Area,
    facts: &Facts,
    seen: &Observations,
    summary: &Summary,
) -> f64 {
    let at: BTreeMap<BlockId, f64> = seen
        .blocks()
        .iter()
        .map(|(block, ..)| (block.id, seconds(seen, block.first)))
        .collect();
    let parents: BTreeMap<BlockId, BlockId> = seen
        .blocks()
        .iter()
        .map(|(block, _, parent)| (block.id, parent))
        .collect();
    let stale = seen.blocks().side_branches();
    let open = seen.blocks().open_branches();
    let undecided: usize = open.iter().map(|branch| branch.blocks.len()).sum();
    let longest = stale.iter().map(|branch| branch.blocks.len()).max();
    let sides = stale.len() as u64;
    let stale = stale.into_iter().map(|branch| (branch, Fate::Stale));
    let open = open.into_iter().map(|branch| (branch, Fate::Open));
    let mut branches: Vec<(Branch, Fate)> = stale.chain(open).collect();
    branches.sort_by_key(|(branch, _)| branch.first);
    let scale = Scale::seconds(last_second(facts, seen), area.left, area.right() - 8.0);
    let rows = rows_of(&branches, &at, &scale);
    let used = rows.iter().flatten().max().map_or(0, |row| row + 1);
    let hidden = rows.iter().filter(|row| row.is_none()).count();
    let sub = told(summary, (sides, longest), undecided, hidden);
    let part = Part {
        title: "The chain and its side branches",
        sub: &sub,
        area,
    };
    let room = part.begin(drawing);
    let base = room.top + 22.0 + ROW_HEIGHT * used.max(1) as f64;
    let bottom = base + 16.0;
    let end = last_second(facts, seen);
    super::faults::times_axis(drawing, &scale, end, (room.top + 6.0, bottom));

    // Where a branch begins on another one.
    let mut drawn: BTreeMap<BlockId, (f64, f64)> = BTreeMap::new();
    for ((branch, fate), row) in branches.iter().zip(&rows) {
        let Some(row) = row else { continue };
        let y = base - ROW_HEIGHT * (*row as f64 + 1.0);
        let mut points = Vec::new();
        let parent = parents.get(&branch.blocks[0]);
        let root = parent.and_then(|id| drawn.get(id).copied());
        let on_chain = || {
            let first = parent.and_then(|id| at.get(id));
            (scale.at(first.copied().unwrap_or(0.0)), base)
        };
        points.push(root.unwrap_or_else(on_chain));
        points.extend(branch.blocks.iter().map(|id| (scale.at(at[id]), y)));
        let (line, dot) = match fate {
            Fate::Open => ("undecided", "open"),
            Fate::Stale | Fate::Chain => ("branch", "stale"),
        };
        drawing.polyline(line, &points);
        for (id, point) in branch.blocks.iter().zip(&points[1..]) {
            drawing.circle(dot, *point, 3.4);
            drawn.insert(*id, *point);
        }
        if branch.blocks.len() > 2 {
            let end = points[points.len() - 1];
            let text = branch.blocks.len().to_string();
            drawing.text("label", (end.0 + 7.0, end.1 + 4.5), Anchor::Start, &text);
        }
    }
    chain(drawing, seen, &scale, base);
    bottom + 36.0 - area.top
}

/// What is said of the branches: how many are aside and how long the longest of them is, and how
/// many blocks are not decided.
fn told(
    summary: &Summary,
    (sides, longest): (u64, Option<usize>),
    undecided: usize,
    hidden: usize,
) -> String {
    let mut sub = format!(
        "{} blocks by the time each was first seen. {} stale ones in {} branches above the chain",
        count(summary.blocks),
        count(summary.stale),
        count(sides)
    );
    if let Some(longest) = longest {
        sub.push_str(&format!(", the longest of {longest}"));
    }
    if undecided > 0 {
        let undecided = count(undecided as u64);
        sub.push_str(&format!(
            "; {undecided} at the end, hollow, not decided yet"
        ));
    }
    if hidden > 0 {
        sub.push_str(&format!("; {hidden} more branches do not fit here"));
    }
    sub.push('.');
    sub
}

/// The best chain as one line, its blocks as dots where there is room.
fn chain(drawing: &mut Drawing, seen: &Observations, scale: &Scale, base: f64) {
    let fates = seen.blocks().fates();
    let mut places: Vec<f64> = seen
        .blocks()
        .iter()
        .zip(&fates)
        .filter(|(_, fate)| **fate == Fate::Chain)
        .map(|((block, ..), _)| scale.at(seconds(seen, block.first)))
        .collect();
    places.sort_by(f64::total_cmp);
    let Some(last) = places.last() else { return };
    drawing.line("chain", (scale.at(0.0), base), (*last, base));
    let width = scale.at(scale.end()) - scale.at(0.0);
    if width / places.len() as f64 >= DOTS_APART {
        for x in places {
            drawing.circle("block", (x, base), 3.0);
        }
    }
}

/// The lowest row for each branch where it meets no other; nothing for what finds none.
fn rows_of(
    branches: &[(Branch, Fate)],
    at: &BTreeMap<BlockId, f64>,
    scale: &Scale,
) -> Vec<Option<usize>> {
    let mut free = [f64::NEG_INFINITY; ROWS_MAX];
    branches
        .iter()
        .map(|(branch, _)| {
            let places = branch.blocks.iter().map(|id| scale.at(at[id]));
            let (first, last) = places.fold((f64::MAX, f64::MIN), |(first, last), place| {
                (first.min(place), last.max(place))
            });
            let row = free.iter().position(|end| *end + 12.0 <= first)?;
            free[row] = last + if branch.blocks.len() > 2 { 24.0 } else { 6.0 };
            Some(row)
        })
        .collect()
}
