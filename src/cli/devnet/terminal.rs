//! Where a devnet shows itself: a table drawn over itself on a terminal, lines elsewhere.

use std::io::{self, IsTerminal, Write};

use crate::base::Span;

use super::screen::{self, View};

/// How often the table is drawn.
const DRAW_EVERY: Span = Span::from_millis(250);
/// How often a line is written.
const LINE_EVERY: Span = Span::from_millis(1_000);

/// What is shown and when it was.
pub(super) struct Terminal {
    mode: Mode,
    next: Span,
    /// The first payment was shown.
    first_shown: bool,
}

enum Mode {
    /// Drawn over the so many lines that were drawn last.
    Table(usize),
    Lines,
    Silent,
}

impl Terminal {
    /// A table on a terminal, lines elsewhere, nothing for programs.
    pub(super) fn new(json: bool) -> Self {
        let mode = if json {
            Mode::Silent
        } else if io::stdout().is_terminal() {
            Mode::Table(0)
        } else {
            Mode::Lines
        };
        Self {
            mode,
            next: Span::ZERO,
            first_shown: false,
        }
    }

    /// Shows a moment, if it is time to.
    pub(super) fn show(&mut self, view: &View<'_>) {
        if view.elapsed < self.next {
            return;
        }
        let (every, text) = match &mut self.mode {
            Mode::Silent => return,
            Mode::Table(drawn) => {
                let lines = screen::table(view);
                // Up over the old table, then each line anew with what stood behind it erased.
                let mut text = match *drawn {
                    0 => String::new(),
                    drawn => format!("\x1b[{drawn}A"),
                };
                *drawn = lines.len();
                for line in lines {
                    text += &format!("\r{line}\x1b[K\n");
                }
                (DRAW_EVERY, text)
            }
            Mode::Lines => {
                let mut text = screen::line(view) + "\n";
                if let Some(paid) = view.first.filter(|_| !self.first_shown) {
                    self.first_shown = true;
                    text += &format!("first payment: {}\n", screen::payment(view.hrp, paid));
                }
                (LINE_EVERY, text)
            }
        };
        self.next = view.elapsed + every;
        let mut out = io::stdout().lock();
        // A reader that went away, as `head` does, is no reason to stop the nodes.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
