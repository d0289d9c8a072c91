//! What people see while they wait, on standard error so that results stay clean.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::clock;

/// How often a terminal's line changes.
const DRAWN_EVERY: Duration = Duration::from_millis(500);
/// How often a line is written where it stays.
const WRITTEN_EVERY: Duration = Duration::from_secs(10);

/// A line that changes.
pub(super) struct Line {
    is_terminal: bool,
    began: Instant,
    next: Duration,
    is_drawn: bool,
}

impl Line {
    pub(super) fn new() -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self {
            is_terminal,
            began: clock(),
            next: if is_terminal {
                DRAWN_EVERY
            } else {
                WRITTEN_EVERY
            },
            is_drawn: false,
        }
    }

    /// How long it has been.
    pub(super) fn elapsed(&self) -> Duration {
        clock().saturating_duration_since(self.began)
    }

    /// Shows how it is, if it is time to.
    pub(super) fn show(&mut self, text: impl FnOnce(Duration) -> String) {
        let elapsed = self.elapsed();
        if elapsed < self.next {
            return;
        }
        let every = if self.is_terminal {
            DRAWN_EVERY
        } else {
            WRITTEN_EVERY
        };
        self.next = elapsed + every;
        let text = text(elapsed);
        let mut out = io::stderr().lock();
        // Nobody who waits is nobody to tell.
        let _ = if self.is_terminal {
            self.is_drawn = true;
            write!(out, "\r{text}\x1b[K").and_then(|()| out.flush())
        } else {
            writeln!(out, "{text}")
        };
    }

    /// Takes the line away, before something else is written.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            let mut out = io::stderr().lock();
            let _ = write!(out, "\r\x1b[K").and_then(|()| out.flush());
        }
    }
}

/// The greatest memory that this process has had, in bytes; 0 where the system does not say.
pub(super) fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) << 10
}
