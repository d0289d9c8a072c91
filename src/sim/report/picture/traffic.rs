//! What a node sent, by the type of messages.

use crate::sim::observe::{Observations, Volume};
use crate::sim::report::csv::kind_name;

use super::{Anchor, Area, Drawing, Part, bytes, count, share, text_width};

/// Types beyond it are one bar.
const BARS_MAX: usize = 11;

pub(super) fn draw(drawing: &mut Drawing, area: Area, seen: &Observations) {
    let nodes = seen.traffic().nodes();
    let mut sent: Vec<u64> = nodes.iter().map(|node| node.sent).collect();
    let mut received: Vec<u64> = nodes.iter().map(|node| node.received).collect();
    sent.sort_unstable();
    received.sort_unstable();
    let quantile = |values: &[u64], percent: usize| {
        let at = values.len().saturating_sub(1) * percent / 100;
        bytes(values.get(at).copied().unwrap_or(0))
    };
    let sub = format!(
        "Mean of all nodes. The middle node sent {} and received {}; of 100 nodes, 90 sent {} to \
         {}.",
        quantile(&sent, 50),
        quantile(&received, 50),
        quantile(&sent, 5),
        quantile(&sent, 95)
    );
    let part = Part {
        title: "Bytes that a node sent",
        sub: &sub,
        area,
    };
    let room = part.begin(drawing).inside(0.0, 14.0, 0.0, 0.0);
    let bars = bars(seen);
    let count_nodes = nodes.len().max(1) as u64;
    let total = seen.traffic().total().bytes;
    let names = bars.iter().map(|(name, _)| text_width(name, 13.0));
    let names = names.fold(60.0, f64::max);
    let texts = 220.0;
    let most = bars.iter().map(|(_, volume)| volume.bytes).max();
    let most = most.unwrap_or(1).max(1) as f64;
    let row = (room.height / bars.len().max(1) as f64).min(34.0);
    for (at, (name, volume)) in bars.iter().enumerate() {
        let middle = room.top + row * (at as f64 + 0.5);
        let left = room.left + names + 10.0;
        drawing.text("", (left - 10.0, middle + 4.5), Anchor::End, name);
        let width = (room.width - names - 10.0 - texts) * volume.bytes as f64 / most;
        let bar = Area {
            left,
            top: middle - row * 0.34,
            width: width.max(0.8),
            height: row * 0.68,
        };
        drawing.rectangle("bar", bar);
        let text = format!(
            "{}, {} in {} messages",
            bytes(volume.bytes / count_nodes),
            share(volume.bytes, total),
            count(volume.messages / count_nodes)
        );
        drawing.text(
            "sub",
            (bar.right() + 7.0, middle + 4.5),
            Anchor::Start,
            &text,
        );
    }
    if bars.is_empty() {
        let at = (room.left + room.width / 2.0, room.top + room.height / 2.0);
        drawing.text("label", at, Anchor::Middle, "nothing was sent");
    }
}

/// The types, most bytes first; the rest together.
fn bars(seen: &Observations) -> Vec<(String, Volume)> {
    let kinds = seen.traffic().kinds();
    let mut bars: Vec<(String, Volume)> = kinds
        .map(|(kind, volume)| (kind_name(kind), volume))
        .collect();
    bars.sort_by_key(|(_, volume)| std::cmp::Reverse(volume.bytes));
    if bars.len() > BARS_MAX {
        let rest = bars.split_off(BARS_MAX - 1);
        let together = Volume {
            messages: rest.iter().map(|(_, volume)| volume.messages).sum(),
            bytes: rest.iter().map(|(_, volume)| volume.bytes).sum(),
        };
        bars.push((format!("{} others", rest.len()), together));
    }
    bars
}
