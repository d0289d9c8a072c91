//! The log: one line for each thing said, to standard error.

use std::io::Write;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::base::utc;

/// Writes lines to standard error: for the journal with its level in front, for people with the
/// time and the level.
struct Sink {
    /// Whether standard error goes to the journal, which has its own clock.
    to_journal: bool,
}

static SINK: OnceLock<Sink> = OnceLock::new();

/// Starts the log.
pub(super) fn start(level: LevelFilter) {
    let sink = SINK.get_or_init(|| Sink {
        to_journal: std::env::var_os("JOURNAL_STREAM").is_some(),
    });
    // It fails when a log runs already: then that one goes on.
    let _ = log::set_logger(sink);
    log::set_max_level(level);
}

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        // What other crates say about sockets at these levels is of no use to an operator.
        let ours = record.target().starts_with("keel");
        if !self.enabled(record.metadata()) || !(ours || record.level() <= Level::Warn) {
            return;
        }
        let line = if self.to_journal {
            format!("<{}>{}\n", priority(record.level()), record.args())
        } else {
            let now = now();
            format!("{} {:5} {}\n", utc(now), record.level(), record.args())
        };
        // Nobody reads the log: there is nobody to tell.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

/// The journal's number of a level (sd-daemon(3)).
const fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "lines of the log carry the time of day"
)]
fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
