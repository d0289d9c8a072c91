//! The numbers that matter most, for a terminal and for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::base::{Span, encode_hex};
use crate::sim::observe::{Curve, Fate, Observations, median};

use super::units::{bytes, count, share, span, three_digits};
use super::{Facts, Recorded, SETTLE, named};

/// Quantiles of delays in milliseconds; nothing where so many nodes were never reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// Of how many it is the middle.
    pub of: usize,
    /// Half of the nodes.
    pub p50: Option<u64>,
    /// Nine of ten.
    pub p90: Option<u64>,
    /// 95 of a hundred.
    pub p95: Option<u64>,
    /// 99 of a hundred.
    pub p99: Option<u64>,
}

impl Quantiles {
    /// Of the middle of several curves.
    #[must_use]
    pub fn of(curves: &[Curve]) -> Self {
        let middle = median(curves);
        let at = |percent: usize| middle[percent].map(|delay| delay.span().as_millis());
        Self {
            of: curves.len(),
            p50: at(50),
            p90: at(90),
            p95: at(95),
            p99: at(99),
        }
    }

    fn text(&self) -> String {
        let one = |millis: Option<u64>| {
            millis.map_or("never".to_owned(), |millis| span(Span::from_millis(millis)))
        };
        if self.of == 0 {
            return "none".to_owned();
        }
        format!(
            "50 % of nodes after {}, 90 % {}, 95 % {}, 99 % {}",
            one(self.p50),
            one(self.p90),
            one(self.p95),
            one(self.p99)
        )
    }
}

/// A run in a few numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The scenario's name.
    pub scenario: String,
    /// The seed; a recording has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Which part of a node's life it was, where it is a recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Recorded>,
    /// What was set besides the file.
    pub options: Vec<(String, String)>,
    /// What was simplified; nothing where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switches: Option<Vec<&'static str>>,
    /// How many nodes.
    pub nodes: usize,
    /// How many of them are dishonest: what blocks, transactions and tips they have is not counted.
    pub dishonest: usize,
    /// The time that passed in the world.
    pub virtual_ms: u64,
    /// The time that passed outside.
    pub wall_ms: u64,
    /// How many events.
    pub events: u64,
    /// The hash of all events.
    pub event_hash: String,
    /// The greatest memory of the process; 0 where it is not known.
    pub memory_bytes: u64,
    /// The middle height in the end.
    pub height: u64,
    /// The number of different tips in the end.
    pub tips: u32,
    /// How many blocks appeared.
    pub blocks: u64,
    /// How many of them another one took the place of.
    pub stale: u64,
    /// How many reorganisations left 1, 2, .. blocks.
    pub reorganisations: Vec<u64>,
    /// How blocks spread.
    pub block_delay_ms: Quantiles,
    /// How many transactions appeared.
    pub transactions: u64,
    /// How transactions spread.
    pub transaction_delay_ms: Quantiles,
    /// How many transactions were promised to users.
    pub accepted: u64,
    /// Messages sent by all nodes.
    pub messages: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// The middle of what nodes sent.
    pub node_sent_bytes: u64,
    /// How often each mark fired.
    pub marks: Vec<(&'static str, u64)>,
    /// Whether checkers asked.
    pub is_checked: bool,
    /// What the checkers found.
    pub violations: Vec<String>,
    /// The command that runs it again.
    pub command: String,
}

impl Summary {
    pub(super) fn of(facts: &Facts, seen: &Observations) -> Self {
        let fates = seen.blocks().fates();
        let stale = fates.iter().filter(|fate| **fate == Fate::Stale).count();
        let mut reorganisations = seen.reorganisations().to_vec();
        while reorganisations.last() == Some(&0) {
            reorganisations.pop();
        }
        let mut sent: Vec<u64> = seen
            .traffic()
            .nodes()
            .iter()
            .map(|node| node.sent)
            .collect();
        sent.sort_unstable();
        let timed = seen.time_line().counts().iter();
        let mut marks: BTreeMap<&'static str, u64> = facts.marks.iter().copied().collect();
        marks.extend(timed.map(|(mark, times)| (mark.0, *times)));
        let switches = facts.switches.map(|switches| {
            let on = named(switches).into_iter().filter(|(_, on)| *on);
            on.map(|(name, _)| name).collect()
        });
        Self {
            scenario: facts.scenario.clone(),
            seed: facts.recorded.is_none().then_some(facts.seed),
            recorded: facts.recorded.clone(),
            options: facts.options.clone(),
            switches,
            nodes: facts.nodes,
            dishonest: seen.dishonest(),
            virtual_ms: facts.end.since(seen.began()).as_millis(),
            wall_ms: facts.wall.as_millis(),
            events: facts.events,
            event_hash: encode_hex(&facts.event_hash),
            memory_bytes: facts.memory,
            height: seen.blocks().heights().1.0,
            tips: seen.blocks().distinct_tips(),
            blocks: seen.blocks().count(),
            stale: stale as u64,
            reorganisations,
            block_delay_ms: Quantiles::of(&seen.blocks().sightings().curves(facts.end, SETTLE)),
            transactions: seen.transactions().count(),
            transaction_delay_ms: Quantiles::of(&seen.transactions().curves(facts.end, SETTLE)),
            accepted: seen.accepted_count(),
            messages: seen.traffic().total().messages,
            sent_bytes: seen.traffic().total().bytes,
            node_sent_bytes: sent.get(sent.len() / 2).copied().unwrap_or(0),
            marks: marks.into_iter().collect(),
            is_checked: facts.is_checked,
            violations: facts.violations.clone(),
            command: facts.command.clone(),
        }
    }

    /// What was simplified, in words, where that is known.
    pub(super) fn switches_text(&self) -> Option<String> {
        let switches = self.switches.as_ref()?;
        if switches.is_empty() {
            let none = "nothing: frames are encrypted, each node verifies for itself, jobs run on \
                        threads";
            return Some(none.to_owned());
        }
        Some(switches.join(", "))
    }

    /// What ran.
    pub(super) fn name_text(&self) -> String {
        match self.seed {
            Some(seed) => format!("{}, seed {seed}", self.scenario),
            None => self.scenario.clone(),
        }
    }

    fn nodes_text(&self) -> String {
        let nodes = count(self.nodes as u64);
        match self.dishonest {
            0 => nodes,
            dishonest => format!(
                "{nodes}, {} of them dishonest; heights, tips and spread are those of the others",
                count(dishonest as u64)
            ),
        }
    }

    fn speed_text(&self) -> String {
        let wall = Span::from_millis(self.wall_ms);
        let factor = three_digits(self.virtual_ms as f64 / self.wall_ms.max(1) as f64);
        let rate = self.events * 1_000 / self.wall_ms.max(1);
        format!(
            "{} in {} ({factor} times as fast), {} events, {} per second",
            span(Span::from_millis(self.virtual_ms)),
            span(wall),
            count(self.events),
            count(rate)
        )
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![("scenario", self.name_text()), ("nodes", self.nodes_text())];
        if let Some(recorded) = &self.recorded {
            rows.push(("recorded", recorded.to_text()));
        }
        if let Some(switches) = self.switches_text() {
            rows.push(("simplified", switches));
        }
        rows.push(("time", self.speed_text()));
        if !self.options.is_empty() {
            let set = self
                .options
                .iter()
                .map(|(key, value)| format!("{key}={value}"));
            rows.insert(1, ("set", set.collect::<Vec<_>>().join(" ")));
        }
        if self.memory_bytes > 0 {
            let each = self.memory_bytes / self.nodes.max(1) as u64;
            let text = format!("{}, {} per node", bytes(self.memory_bytes), bytes(each));
            rows.push(("memory", text));
        }
        let tips = match self.tips {
            1 => "one tip".to_owned(),
            tips => format!("{tips} different tips"),
        };
        rows.push(("height", format!("{}, {tips}", count(self.height))));
        let stale = format!(
            "{}, {} of them stale ({})",
            count(self.blocks),
            self.stale,
            share(self.stale, self.blocks)
        );
        rows.push(("blocks", stale));
        let depths = self.reorganisations.iter().zip(1..);
        let depths: Vec<String> = depths
            .filter(|(times, _)| **times > 0)
            .map(|(times, depth)| format!("{depth} deep {} times", count(*times)))
            .collect();
        let depths = match depths.as_slice() {
            [] => "none".to_owned(),
            depths => depths.join(", "),
        };
        rows.push(("reorganised", depths));
        rows.push(("block spread", self.block_delay_ms.text()));
        let text = format!(
            "{}, {} accepted for users",
            count(self.transactions),
            count(self.accepted)
        );
        rows.push(("transactions", text));
        rows.push(("their spread", self.transaction_delay_ms.text()));
        let text = format!(
            "{} messages, {}; a node sent {}",
            count(self.messages),
            bytes(self.sent_bytes),
            bytes(self.node_sent_bytes)
        );
        rows.push(("traffic", text));
        let marks = self
            .marks
            .iter()
            .map(|(mark, times)| format!("{mark} {times}"));
        let marks = match marks.collect::<Vec<_>>() {
            marks if marks.is_empty() => "none".to_owned(),
            marks => marks.join(", "),
        };
        rows.push(("marks", marks));
        rows.push(("event hash", self.event_hash.clone()));
        rows
    }

    /// The table, its lines at most about `width` characters long.
    #[must_use]
    pub fn to_text(&self, width: usize) -> String {
        let rows = self.rows();
        let names = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value) in &rows {
            let room = width.saturating_sub(names + 2).max(30);
            for (at, line) in wrapped(value, room).iter().enumerate() {
                let name = if at == 0 { name } else { "" };
                let _ = writeln!(text, "{name:names$}  {line}");
            }
        }
        if !self.is_checked {
            text.push_str("nothing was checked\n");
        } else if self.violations.is_empty() {
            text.push_str("no violation\n");
        } else {
            let _ = writeln!(text, "{} VIOLATIONS", self.violations.len());
            for violation in &self.violations {
                let _ = writeln!(text, "  {violation}");
            }
            let _ = writeln!(text, "again: {}", self.command);
        }
        text.pop();
        text
    }
}

/// Lines of at most `room` characters, broken at blanks; a longer word stands alone.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a first line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
