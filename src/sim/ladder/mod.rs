//! Validation: small protocols over the production model of links, against known figures.
//!
//! *Owns* the rungs: a protocol, what it should come to and where that is published or computed.
//! *Invariants*: the same rungs give the same figures on any machine. *Never* runs a node: what is
//! judged here is the [`network`](super::network) under it.
//!
//! docs/simulator.md, "Validation", has the table that a full climb printed.

mod arena;
mod blocks;
mod exact;
mod gossip;
mod transactions;

use std::fmt;

/// How far to climb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rungs {
    /// A thousand nodes and few seeds: seconds, for tests.
    Quick,
    /// All of it: a minute or two.
    Full,
}

impl Rungs {
    /// How many networks a figure is the mean of.
    const fn seeds(self) -> u64 {
        match self {
            Self::Quick => 8,
            Self::Full => 40,
        }
    }

    /// How near a mean must come, in 1/1,000: that of few networks, half as near.
    const fn within(self, permille: u32) -> Bar {
        match self {
            Self::Quick => Bar::Within(2 * permille),
            Self::Full => Bar::Within(permille),
        }
    }
}

/// How near a figure must come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// To this part of what is expected, in 1/1,000.
    Within(u32),
    /// It isn't reached, for a reason.
    Apart(&'static str),
}

/// What one rung came to.
#[derive(Clone, Debug, PartialEq)]
pub struct RungResult {
    /// What was run.
    pub name: String,
    /// Where the figure is from.
    pub source: &'static str,
    /// What the figures are of.
    pub unit: &'static str,
    /// The known figure.
    pub expected: f64,
    /// This network's.
    pub got: f64,
    /// How near it must come.
    pub bar: Bar,
}

impl RungResult {
    /// Whether the figure is as near as it must be; one that stands apart is judged by its reader.
    #[must_use]
    pub fn passed(&self) -> bool {
        match self.bar {
            Bar::Within(permille) => {
                (self.got - self.expected).abs() * 1_000.0 <= self.expected * f64::from(permille)
            }
            Bar::Apart(_) => true,
        }
    }
}

/// Runs the rungs, the simplest first.
#[must_use]
pub fn climb(rungs: Rungs) -> Vec<RungResult> {
    let mut results = exact::climb();
    results.extend(blocks::climb(rungs));
    results.extend(transactions::climb(rungs));
    results.extend(gossip::climb(rungs));
    results
}

/// Results as a table of Markdown.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(pub &'a [RungResult]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| rung | source | expected | got | may differ | |")?;
        writeln!(f, "|---|---|---:|---:|---:|---|")?;
        for rung in self.0 {
            let digits = if rung.expected < 100.0 { 2 } else { 0 };
            let (may, verdict) = match rung.bar {
                Bar::Within(permille) => {
                    let verdict = if rung.passed() { "reached" } else { "MISSED" };
                    (format!("{} %", f64::from(permille) / 10.0), verdict)
                }
                Bar::Apart(why) => ("-".to_owned(), why),
            };
            writeln!(
                f,
                "| {} | {} | {:.digits$} {} | {:.digits$} | {may} | {verdict} |",
                rung.name, rung.source, rung.expected, rung.unit, rung.got
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
