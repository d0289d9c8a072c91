//! Numbers as people read them.

use crate::base::Span;

/// Bytes, in the binary unit that leaves at least one digit before the point.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_024.0;
    let mut unit = 0;
    while value >= 1_000.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    format!("{} {}", three_digits(value), UNITS[unit])
}

/// A whole number with a comma at each thousand.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A span: milliseconds below a second, then seconds, minutes and seconds, hours and minutes.
#[must_use]
pub fn span(span: Span) -> String {
    let micros = span.as_micros();
    let seconds = (micros + 500_000) / 1_000_000;
    let two = |whole: u64, unit: &str, part: u64, smaller: &str| {
        if part == 0 {
            format!("{whole} {unit}")
        } else {
            format!("{whole} {unit} {part:02} {smaller}")
        }
    };
    match micros {
        0..=999 => format!("{micros} us"),
        1_000..=999_499 => format!("{} ms", three_digits(micros as f64 / 1e3)),
        999_500..=119_499_999 => format!("{} s", three_digits(micros as f64 / 1e6)),
        119_500_000..=3_599_499_999 => two(seconds / 60, "min", seconds % 60, "s"),
        _ => two(seconds / 3_600, "h", seconds / 60 % 60, "min"),
    }
}

/// A number in three digits, with k, M or G for thousands of it.
#[must_use]
pub(super) fn rough(value: f64) -> String {
    let units = [(1e9, " G"), (1e6, " M"), (1e4, " k")];
    let unit = units.into_iter().find(|(unit, _)| value >= unit * 0.9995);
    match unit {
        Some((1e4, name)) => three_digits(value / 1e3) + name,
        Some((unit, name)) => three_digits(value / unit) + name,
        None => three_digits(value),
    }
}

/// A part of a whole, in percent; a dash where there is no whole.
#[must_use]
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{} %", three_digits(100.0 * part as f64 / whole as f64))
}

/// Three digits that say something, and no zeros behind a point.
pub(super) fn three_digits(value: f64) -> String {
    let places = match value {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.places$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}
