//! A recording of the flight recorder, opened in the simulator: the same node, event for event,
//! and the same counts and pictures as those of a world.

use crate::base::{Span, Time};
use crate::crypto::hash::Sha256;
use crate::node::{
    Entry, Event, Inline, Input, Output, Recording, ReplayError, Replayed, Reply, Shown,
};
use crate::types::BlockId;
use crate::wire::frames_bytes;

use super::observe::{Gauges, Observations};

/// The place of the node that was recorded.
const NODE: usize = 0;

/// A recording that was played.
#[derive(Debug)]
pub struct Playback {
    /// How far the replay came, and to which state.
    pub replayed: Replayed,
    /// What was counted of the node. What its peers sent is what it received.
    pub observations: Observations,
    /// The hash of everything that was told, in order.
    pub event_hash: [u8; 32],
    /// When it began, by the node's clock.
    pub began: Time,
    /// When it ended.
    pub ended: Time,
}

/// Plays a recording to its end, or up to event number `until`. `tell` is told every input and
/// output in one line with the event's number and the node's time.
pub fn play(
    recording: &Recording,
    until: Option<u64>,
    sample_every: Span,
    tell: &mut dyn FnMut(u64, Time, &str),
) -> Result<Playback, ReplayError> {
    let mut counted: Option<Observations> = None;
    let (mut began, mut now, mut reached) = (None, Time::EPOCH, Reached::default());
    let mut trace = Sha256::new();
    let mut tell = |event: u64, at: Time, line: &str| {
        trace.update(&event.to_le_bytes());
        trace.update(&at.as_micros().to_le_bytes());
        trace.update(line.as_bytes());
        tell(event, at, line);
    };
    let mut watch = |event: u64, seen: Shown<'_>| {
        if let Shown::Entry(entry) = &seen {
            now = time_of(entry).unwrap_or(now);
        }
        if now == Time::EPOCH {
            return;
        }
        let first = *began.get_or_insert(now);
        let observations = counted.get_or_insert_with(|| Observations::new(first, 1, sample_every));
        match &seen {
            Shown::Entry(Entry::Input(_, input)) => {
                if let Input::Message { bytes, .. } = input {
                    observations.received(NODE, frames_bytes(bytes.len() as u64));
                }
                tell(event, now, &format!("<- {input}"));
            }
            Shown::Entry(Entry::Timeout(_)) => tell(event, now, "<- timers"),
            Shown::Entry(Entry::Done(_, job, _)) => {
                tell(event, now, &format!("<- job {} is done", job.0));
            }
            Shown::Entry(Entry::Base(_) | Entry::Mark(..) | Entry::Unreadable(_)) => {}
            Shown::Result(result) => observations.job_done(now, NODE, result),
            Shown::Output(output) => {
                tell(event, now, &format!("-> {output}"));
                count(observations, now, output, &mut reached);
            }
        }
        let gauges = Gauges {
            events: event,
            running: 1,
            ..Gauges::default()
        };
        observations.sample(now, gauges);
    };
    let mut runner = Inline::new(recording.reader());
    let replayed = recording.replay(until, &mut runner, &mut watch)?;
    let began = began.unwrap_or(now);
    if let Some(observations) = &mut counted {
        let gauges = Gauges {
            events: replayed.events.1,
            running: 1,
            ..Gauges::default()
        };
        observations.end(now, gauges);
    }
    Ok(Playback {
        replayed,
        observations: counted.unwrap_or_else(|| Observations::new(began, 1, sample_every)),
        event_hash: trace.finish(),
        began,
        ended: now,
    })
}

fn time_of(entry: &Entry) -> Option<Time> {
    match entry {
        Entry::Input(now, _) | Entry::Timeout(now) | Entry::Done(now, ..) => Some(*now),
        Entry::Base(_) | Entry::Mark(..) | Entry::Unreadable(_) => None,
    }
}

/// What readers saw last.
#[derive(Default)]
struct Reached {
    tip: Option<BlockId>,
    /// Blocks of old branches that were left since.
    left: u64,
}

fn count(observations: &mut Observations, now: Time, output: &Output, reached: &mut Reached) {
    match output {
        Output::Send { kind, bytes, .. } => {
            observations.sent(NODE, *kind, frames_bytes(bytes.len() as u64));
        }
        Output::Publish(published) => {
            observations.mempool(NODE, published.mempool_count);
            if reached.tip.replace(published.tip) != Some(published.tip) {
                let (id, header) = (published.tip, &published.header);
                observations.block_seen(now, NODE, id, header.parent_id, header.height);
                let left = std::mem::take(&mut reached.left);
                observations.tip(NODE, id, header.height, left);
            }
        }
        Output::Answer {
            reply: Ok(Reply::Accepted { .. }),
            ..
        } => observations.accepted(),
        Output::Event(Event::TipChanged { disconnected, .. }) => reached.left += disconnected,
        _ => {}
    }
}
