//! What a node's loop needs for what it is told: the mean over what one lived through.
//!
//! A node of a small and busy network is recorded, and its recording is replayed. From one entry
//! to the next, the production node handles it and gives what it wants done; jobs are left out.
//! Decoding the entry is in it, as encoding it is in production, whose recorder is always on.

use std::time::{Duration, Instant};

use crate::base::Span;
use crate::cli::CommandError;
use crate::node::{Entry, Inline, Input, Recording, Shown};
use crate::sim::NodeIndex;
use crate::sim::scenario::{Run, Scenario};

use super::super::clock;
use super::ROUNDS;

/// What the node lives through: it mines, and every type of message comes.
const SCENARIO: &str = "
[world]
nodes = 12
dials = 4
miners = 12
duration = \"10m\"
[chain]
interval = \"10s\"
[workload]
rate = 2.0
";

/// Nanoseconds for each.
pub(super) struct Life {
    pub(super) timeout: u64,
    pub(super) message: u64,
    pub(super) input: u64,
}

/// What an entry is.
#[derive(Clone, Copy)]
enum Part {
    Timeout,
    Message,
    Input,
}

pub(super) fn measure() -> Result<Life, CommandError> {
    let recording = record()?;
    let mut least = [u64::MAX; 3];
    for _ in 0..ROUNDS {
        for (least, mean) in least.iter_mut().zip(live(&recording)?) {
            *least = mean.min(*least);
        }
    }
    let [timeout, message, input] = least;
    Ok(Life {
        timeout,
        message,
        input,
    })
}

fn record() -> Result<Recording, CommandError> {
    let failed = |why: &dyn std::fmt::Display| CommandError::failed(why.to_string());
    let scenario = Scenario::read("life", SCENARIO, &[]).map_err(|error| failed(&error))?;
    let mut run = Run::new(&scenario, 1);
    // A node is recorded once it is quiet.
    run.advance(Span::from_secs(5), u64::MAX);
    run.follow(NodeIndex(0), Box::new(|_, _, _| ()));
    while run.advance(Span::from_secs(5), u64::MAX) {}
    let file = run.finish().recording;
    let file = file.ok_or_else(|| failed(&"a node of ten minutes was never quiet"))?;
    Recording::from_bytes(&file).map_err(|error| failed(&error))
}

/// Replays it: the mean of each part.
fn live(recording: &Recording) -> Result<[u64; 3], CommandError> {
    let mut spent = [(Duration::ZERO, 0_u64); 3];
    let mut open: Option<(Part, Instant)> = None;
    let mut watch = |_: u64, shown: Shown<'_>| match shown {
        Shown::Entry(entry) => {
            let now = clock();
            if let Some((part, begun)) = open.take() {
                let (time, count) = &mut spent[part as usize];
                (*time, *count) = (*time + now.duration_since(begun), *count + 1);
            }
            open = part_of(entry).map(|part| (part, clock()));
        }
        // Until here it was the job's.
        Shown::Result(_) => {
            if let Some((_, begun)) = &mut open {
                *begun = clock();
            }
        }
        Shown::Output(_) => {}
    };
    let mut runner = Inline::new(recording.reader());
    let replayed = recording.replay(None, &mut runner, &mut watch);
    replayed.map_err(|error| CommandError::failed(error.to_string()))?;
    Ok(spent.map(|(time, count)| time.as_nanos() as u64 / count.max(1)))
}

fn part_of(entry: &Entry) -> Option<Part> {
    match entry {
        Entry::Timeout(_) => Some(Part::Timeout),
        Entry::Input(_, Input::Message { .. }) => Some(Part::Message),
        Entry::Input(..) | Entry::Done(..) => Some(Part::Input),
        Entry::Base(_) | Entry::Mark(..) | Entry::Unreadable(_) => None,
    }
}
