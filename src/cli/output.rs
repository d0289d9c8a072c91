//! What commands print.

use std::io::Write;

use serde_json::Value;

/// Where a command's result goes: standard output, as text or as JSON.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Output for people, or for programs.
    #[must_use]
    pub const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether programs read it.
    #[must_use]
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a result: the JSON value, or the text.
    pub fn print(&self, value: &Value, text: impl FnOnce() -> String) {
        if self.json {
            line(&value.to_string());
        } else {
            line(&text());
        }
    }

    /// Prints a line that people see while they wait; programs don't.
    pub fn note(&self, text: &str) {
        if !self.json {
            line(text);
        }
    }
}

fn line(text: &str) {
    // A reader that went away, as `head` does, is no failure of the command.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Text in columns, each as wide as its widest cell.
#[must_use]
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
