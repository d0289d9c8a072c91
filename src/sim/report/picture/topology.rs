//! Who was connected with whom: nodes on a ring, region by region.

use std::f64::consts::TAU;

use crate::sim::report::drawing::number;
use crate::sim::report::plot::apart;

use super::{Anchor, Area, Drawing, Facts, Part, Point, count, text_width};

/// Nodes and links beyond these are left out evenly.
const NODES_MAX: usize = 400;
const LINKS_MAX: usize = 1_500;
/// Rows of nodes, so that many fit.
const ROW_NODES: usize = 140;

/// The height of two lines of text, and of one.
const TWO_LINES: f64 = 31.0;
const ONE_LINE: f64 = 14.0;

struct Place {
    node: u32,
    region: usize,
    angle: f64,
    row: usize,
}

pub(super) fn draw(drawing: &mut Drawing, area: Area, facts: &Facts) {
    let shown = shown_nodes(facts);
    let links: Vec<(u32, u32)> = facts
        .links
        .iter()
        .filter(|(a, b)| shown.binary_search(a).is_ok() && shown.binary_search(b).is_ok())
        .copied()
        .collect();
    let every = links.len().div_ceil(LINKS_MAX).max(1);
    let drawn_links = links.len().div_ceil(every);
    let sub = format!(
        "{} of {} nodes by region, {} of {} connections, as they were in the end.",
        count(shown.len() as u64),
        count(facts.nodes as u64),
        count(drawn_links as u64),
        count(facts.links.len() as u64)
    );
    let part = Part {
        title: "Who was connected",
        sub: &sub,
        area,
    };
    let room = part.begin(drawing);
    let centre = (
        room.left + room.width / 2.0,
        room.top + room.height / 2.0 + 4.0,
    );
    let places = places(facts, &shown);
    let regions = region_names(facts, &places);
    // The widest name fits beside the ring, whichever form it has.
    let widths = regions
        .iter()
        .map(|name| text_width(&name.one_line(), 13.0));
    let beside = widths.fold(0.0, f64::max) + 20.0;
    let radius = (room.height / 2.0 - 34.0).min(room.width / 2.0 - beside);
    let radius = radius.max(60.0);
    let rows = places.iter().map(|place| place.row).max().unwrap_or(0) + 1;
    let point = |place: &Place| {
        let radius = radius - 9.0 * (rows - 1 - place.row) as f64;
        (
            centre.0 + radius * place.angle.cos(),
            centre.1 + radius * place.angle.sin(),
        )
    };
    let find = |node: u32| places.iter().find(|place| place.node == node);
    for (a, b) in links.iter().step_by(every) {
        let (Some(a), Some(b)) = (find(*a), find(*b)) else {
            continue;
        };
        let (from, to) = (point(a), point(b));
        // A curve towards the middle keeps neighbours' links off the ring.
        let bend = |a: f64, b: f64, centre: f64| (a + b) / 2.0 * 0.45 + centre * 0.55;
        let (x, y) = (bend(from.0, to.0, centre.0), bend(from.1, to.1, centre.1));
        let path = format!(
            "M{},{} Q{},{} {},{}",
            number(from.0),
            number(from.1),
            number(x),
            number(y),
            number(to.0),
            number(to.1)
        );
        drawing.path("link", &path);
    }
    let size = if places.len() > 120 { 3.4 } else { 5.5 };
    for place in &places {
        let class = format!("node r{}", place.region % 8);
        drawing.circle(&class, point(place), size);
    }
    names(drawing, &regions, room, centre, radius);
}

fn shown_nodes(facts: &Facts) -> Vec<u32> {
    let every = facts.nodes.div_ceil(NODES_MAX).max(1);
    let nodes = u32::try_from(facts.nodes).unwrap_or(u32::MAX);
    (0..nodes).step_by(every).collect()
}

fn region_of(facts: &Facts, node: u32) -> usize {
    let region = facts.region_of.get(node as usize);
    region.map_or(0, |region| usize::from(*region))
}

fn regions(facts: &Facts) -> usize {
    let greatest = facts.region_of.iter().max();
    greatest.map_or(1, |region| usize::from(*region) + 1)
}

/// Each region has a part of the ring as large as its part of the nodes, with gaps between.
fn places(facts: &Facts, shown: &[u32]) -> Vec<Place> {
    let mut by_region: Vec<Vec<u32>> = vec![Vec::new(); regions(facts)];
    for node in shown {
        by_region[region_of(facts, *node)].push(*node);
    }
    let used = by_region.iter().filter(|nodes| !nodes.is_empty()).count();
    let gap = if used > 1 { 0.09 } else { 0.0 };
    let rows = shown.len().div_ceil(ROW_NODES).max(1);
    let each = (TAU - gap * used as f64) / shown.len().max(1) as f64;
    let mut angle = -TAU / 4.0;
    let mut places = Vec::with_capacity(shown.len());
    for (region, nodes) in by_region.iter().enumerate() {
        for (at, node) in nodes.iter().enumerate() {
            places.push(Place {
                node: *node,
                region,
                angle: angle + each * (at as f64 + 0.5),
                row: at % rows,
            });
        }
        if !nodes.is_empty() {
            angle += each * nodes.len() as f64 + gap;
        }
    }
    places
}

/// A region's name beside the ring.
struct Name<'a> {
    region: &'a str,
    nodes: String,
    /// Where its nodes are, in the middle.
    angle: f64,
}

impl Name<'_> {
    fn one_line(&self) -> String {
        format!("{}: {}", self.region, self.nodes)
    }
}

fn region_names<'a>(facts: &'a Facts, places: &[Place]) -> Vec<Name<'a>> {
    let mut names = Vec::new();
    for (region, name) in facts.regions.iter().enumerate() {
        let angles = places.iter().filter(|place| place.region == region);
        let angles: Vec<f64> = angles.map(|place| place.angle).collect();
        let (Some(first), Some(last)) = (angles.first(), angles.last()) else {
            continue;
        };
        let of_region = facts.region_of.iter();
        let nodes = of_region.filter(|of| usize::from(**of) == region).count();
        names.push(Name {
            region: name,
            nodes: count(nodes as u64),
            angle: (first + last) / 2.0,
        });
    }
    names
}

/// Writes the regions' names outside of the ring: those of its right half in a column on the right,
/// one below the other, and the others on the left. Where there are many, each has one line.
fn names(drawing: &mut Drawing, names: &[Name<'_>], room: Area, centre: Point, radius: f64) {
    for is_right in [true, false] {
        let side = names
            .iter()
            .filter(|name| (name.angle.cos() >= 0.0) == is_right);
        let side: Vec<&Name<'_>> = side.collect();
        let has_two_lines = side.len() as f64 * TWO_LINES <= room.height;
        let (gap, below) = if has_two_lines {
            (TWO_LINES, 17.0)
        } else {
            (ONE_LINE, 4.0)
        };
        let around = radius + 16.0;
        let wanted = side.iter().map(|name| centre.1 + around * name.angle.sin());
        let wanted: Vec<f64> = wanted.collect();
        let (top, bottom) = (room.top + 12.0, room.bottom() - below);
        for (name, y) in side.iter().zip(apart(&wanted, gap, top, bottom)) {
            // As near as the ring is at the height of the text.
            let (above, under) = (y - 12.0 - centre.1, y + below - centre.1);
            let nearest = if above * under <= 0.0 {
                0.0
            } else {
                above.abs().min(under.abs())
            };
            let out = (around * around - nearest * nearest)
                .max(0.0)
                .sqrt()
                .max(8.0);
            let (x, anchor) = if is_right {
                (centre.0 + out, Anchor::Start)
            } else {
                (centre.0 - out, Anchor::End)
            };
            let edge = radius + 6.0;
            let from = (
                centre.0 + edge * name.angle.cos(),
                centre.1 + edge * name.angle.sin(),
            );
            let to = (if is_right { x - 3.0 } else { x + 3.0 }, y - 5.0);
            drawing.line("leader", from, to);
            if has_two_lines {
                let nodes = match name.nodes.as_str() {
                    "1" => "1 node".to_owned(),
                    nodes => format!("{nodes} nodes"),
                };
                drawing.text("strong", (x, y - 2.0), anchor, name.region);
                drawing.text("tick", (x, y + 13.0), anchor, &nodes);
            } else {
                drawing.text("strong", (x, y), anchor, &name.one_line());
            }
        }
    }
}
