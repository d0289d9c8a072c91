//! What a run says to people: a table for the terminal, a file of numbers for each series, and one
//! picture.
//!
//! *Owns* how the numbers of [`Observations`] are put together, named and drawn. *Invariants*: the
//! same observations and facts give the same bytes, the wall time aside; text from outside (names
//! of scenarios, nodes and files) is escaped where it is drawn; nothing is drawn whose unit is not
//! beside it; what was left out of a picture is said in it. *Never* writes a file: it gives texts
//! to the command, which does.

mod csv;
mod drawing;
mod picture;
mod plot;
mod summary;
mod units;

use serde::Serialize;

use crate::base::{Span, Time};

use super::observe::Observations;
use super::{Switches, World};

pub use summary::{Quantiles, Summary};
pub use units::{bytes, count, share, span};

/// The switches' names, and whether they were on.
#[must_use]
pub const fn named(switches: Switches) -> [(&'static str, bool); 3] {
    [
        ("plain frames", switches.plain_frames),
        ("memoised verdicts", switches.memoised_verdicts),
        ("simulated costs", switches.simulated_costs),
    ]
}

/// The part of a node's life that a recording has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// The number of its first event.
    pub first_event: u64,
    /// That of its last one.
    pub last_event: u64,
    /// The hash of the node's state after it.
    pub state_hash: String,
}

impl Recorded {
    /// In words.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (first, last) = (self.first_event, self.last_event);
        format!("events {first} to {last}, to the state {}", self.state_hash)
    }
}

/// What a report says about a run besides what the run saw.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The scenario's name.
    pub scenario: String,
    /// What it is about, in one sentence.
    pub about: String,
    /// Everything random came from it.
    pub seed: u64,
    /// What was set besides the file: key paths and values.
    pub options: Vec<(String, String)>,
    /// What was simplified; nothing where that is not known.
    pub switches: Option<Switches>,
    /// Which part of a node's life it was, where it is a recording.
    pub recorded: Option<Recorded>,
    /// How many nodes the world had.
    pub nodes: usize,
    /// When it ended, in its own time.
    pub end: Time,
    /// How long a person waited.
    pub wall: Span,
    /// How many events there were.
    pub events: u64,
    /// The hash of them all.
    pub event_hash: [u8; 32],
    /// The greatest memory of the process, in bytes; 0 where it is not known.
    pub memory: u64,
    /// The names of the regions.
    pub regions: Vec<String>,
    /// The region of each node.
    pub region_of: Vec<u8>,
    /// Which nodes were connected in the end, each pair once.
    pub links: Vec<(u32, u32)>,
    /// How often what fired that has no time of its own.
    pub marks: Vec<(&'static str, u64)>,
    /// Whether checkers asked.
    pub is_checked: bool,
    /// What the checkers found.
    pub violations: Vec<String>,
    /// The command that runs it again.
    pub command: String,
}

impl Facts {
    /// What a world itself says; the rest is its driver's to add.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let network = world.network();
        let regions = network.region_names().iter();
        let region_of = (0..world.len()).map(|node| network.place(node).region.0);
        Self {
            seed: world.config().seed,
            switches: Some(world.config().switches),
            nodes: world.len(),
            end: world.now(),
            events: world.happenings(),
            event_hash: world.event_hash(),
            regions: regions.map(|name| (*name).to_owned()).collect(),
            region_of: region_of.collect(),
            links: world.links(),
            ..Self::default()
        }
    }
}

/// What spreads and is younger than this when a run ends is still on its way, and is left out of
/// what is said about spreading.
pub const SETTLE: Span = Span::from_secs(30);

/// A run, to be told.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    facts: &'a Facts,
    seen: &'a Observations,
}

impl<'a> Report<'a> {
    /// Of a run.
    #[must_use]
    pub const fn new(facts: &'a Facts, seen: &'a Observations) -> Self {
        Self { facts, seen }
    }

    /// The numbers that matter most.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::of(self.facts, self.seen)
    }

    /// The files of numbers: their names and texts.
    #[must_use]
    pub fn csv(&self) -> Vec<(&'static str, String)> {
        csv::files(self.facts, self.seen)
    }

    /// The picture.
    #[must_use]
    pub fn svg(&self) -> String {
        picture::page(self.facts, self.seen, &self.summary())
    }
}

#[cfg(test)]
mod tests;
