//! Who was connected with whom: nodes on a ring, region by region.

use std::f64::consts::TAU;

use crate::sim::report::drawing::number;

use super::{Anchor, Area, Drawing, Facts, Part, count};

/// Nodes and links beyond these are left out evenly.
const NODES_MAX: usize = 400;
const LINKS_MAX: usize = 1_500;
/// Rows of nodes, so that many fit.
const ROW_NODES: usize = 140;

/// The width of a letter, at most, and the height of two lines of text.
const LETTER: f64 = 8.0;
const TWO_LINES: f64 = 30.0;

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
    let radius = (room.height / 2.0 - 34.0).min(room.width / 2.0 - 120.0);
    let places = places(facts, &shown);
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
    names(drawing, facts, &places, centre, radius);
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

/// The regions' names outside of the ring.
fn names(drawing: &mut Drawing, facts: &Facts, places: &[Place], centre: (f64, f64), radius: f64) {
    let mut taken: Vec<(f64, f64, f64)> = Vec::new();
    for (region, name) in facts.regions.iter().enumerate() {
        let angles = places.iter().filter(|place| place.region == region);
        let angles: Vec<f64> = angles.map(|place| place.angle).collect();
        let (Some(first), Some(last)) = (angles.first(), angles.last()) else {
            continue;
        };
        let angle = (first + last) / 2.0;
        let anchor = match angle.cos() {
            x if x > 0.2 => Anchor::Start,
            x if x < -0.2 => Anchor::End,
            _ => Anchor::Middle,
        };
        let of_region = facts.region_of.iter();
        let nodes = of_region.filter(|of| usize::from(**of) == region).count();
        let nodes = match nodes {
            1 => "1 node".to_owned(),
            nodes => format!("{} nodes", count(nodes as u64)),
        };
        // Two lines, both outside of the ring, and further out where another region's stand.
        let width = LETTER * name.len().max(nodes.len()) as f64;
        let place = |out: f64| {
            let radius = radius + 16.0 + out;
            let x = centre.0 + radius * angle.cos();
            (x, centre.1 + radius * angle.sin() + 7.0 * angle.sin())
        };
        let left = |x: f64| match anchor {
            Anchor::Start => x,
            Anchor::Middle => x - width / 2.0,
            Anchor::End => x - width,
        };
        let is_free = |at: (f64, f64)| {
            let (from, to) = (left(at.0), left(at.0) + width);
            let apart = |(other_from, other_to, y): &(f64, f64, f64)| {
                to < *other_from || from > *other_to || (at.1 - y).abs() > TWO_LINES
            };
            taken.iter().all(apart)
        };
        let mut tried = (0..6).map(|step| place(f64::from(step) * 12.0));
        let at = tried.find(|at| is_free(*at)).unwrap_or_else(|| place(0.0));
        taken.push((left(at.0), left(at.0) + width, at.1));
        let y = at.1;
        drawing.text("strong", (at.0, y - 2.0), anchor, name);
        drawing.text("tick", (at.0, y + 13.0), anchor, &nodes);
    }
}
