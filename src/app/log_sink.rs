//! The log: one line for each thing said, to standard error.

use std::io::Write;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use log::{Level, LevelFilter, Log, Metadata, Record};

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

/// A time since 1970 as people write it: 2026-08-23T09:10:11.123Z.
fn utc(since_1970: Duration) -> String {
    let (seconds, millis) = (since_1970.as_secs(), since_1970.subsec_millis());
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, so that the day of a leap year is the last (Hinnant, "chrono-
    // Compatible Low-Level Date Algorithms", civil_from_days).
    let day = day + 719_468;
    let era = day / 146_097;
    let day_of_era = day % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day_of_month:02}T{:02}:{:02}:{:02}.{millis:03}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_do() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_700_000_000, "2023-11-14T22:13:20.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(Duration::from_secs(seconds)), text);
        }
        assert_eq!(
            utc(Duration::from_millis(1_007)),
            "1970-01-01T00:00:01.007Z"
        );
    }
}
