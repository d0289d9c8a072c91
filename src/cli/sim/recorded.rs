//! A recording of a real node, told as a world of one.

use std::path::Path;
use std::sync::Arc;

use crate::base::{Span, Time};
use crate::cli::recording_file::RecordingFile;
use crate::cli::{CommandError, Output};
use crate::node::Recording;
use crate::sim::playback;
use crate::sim::report::{Facts, Recorded, Report};

use super::progress::{Line, peak_memory};
use super::{SimArgs, files, one, quoted};

/// How often the series take a sample.
const SAMPLE_EVERY: Span = Span::from_secs(1);

pub(super) fn play(path: &Path, args: &SimArgs, output: &Output) -> Result<(), CommandError> {
    let shown = path.display();
    let failed = |error: &dyn std::fmt::Display| CommandError::failed(format!("{shown}: {error}"));
    let file = RecordingFile::open(path).map_err(|error| failed(&error))?;
    let recording = Recording::open(Arc::new(file)).map_err(|error| failed(&error))?;
    if let Some(folder) = &args.out {
        files::make(folder)?;
    }
    let line = Line::new();
    let teller = args.trace.map(|node| one::teller(node, 1, *output));
    let mut teller = teller.transpose()?.map(|(_, tell)| tell);
    let mut tell = |event: u64, at: Time, line: &str| {
        if let Some(tell) = &mut teller {
            tell(event, at, line);
        }
    };
    let played = playback::play(&recording, args.until, SAMPLE_EVERY, &mut tell);
    let played = played.map_err(|error| failed(&error))?;
    let ((first, last), hash) = (played.replayed.events, played.replayed.hash);
    let facts = Facts {
        scenario: "recording".to_owned(),
        about: "What a node lived through, event for event.".to_owned(),
        // A recording does not say what the node's driver did in a simpler way.
        switches: None,
        recorded: Some(Recorded {
            first_event: first,
            last_event: last,
            state_hash: hash.to_string(),
        }),
        nodes: 1,
        end: played.ended,
        wall: Span::from_micros(one::micros(line.elapsed())),
        events: last - first,
        event_hash: played.event_hash,
        memory: peak_memory(),
        command: format!("keel sim --recording {}", quoted(&shown.to_string())),
        ..Facts::default()
    };
    one::tell_report(args, Report::new(&facts, &played.observations), output)
}
