//! How long answers took.

use std::time::Duration;

use serde_json::{Value, json};

/// What was promised.
const PROMISE: Duration = Duration::from_millis(50);

/// The times of many answers.
#[derive(Debug, Default)]
pub(super) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(super) fn add(&mut self, span: Duration) {
        self.0.push(span);
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that so many of a thousand answers did not take longer than.
    fn per_mille(&self, part: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let place = (sorted.len() * part).div_ceil(1_000).max(1) - 1;
        sorted.get(place).copied().unwrap_or_default()
    }

    fn late(&self) -> usize {
        self.0.iter().filter(|span| **span > PROMISE).count()
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "answers": self.count(),
            "median_ms": millis(self.per_mille(500)),
            "p99_ms": millis(self.per_mille(990)),
            "max_ms": millis(self.per_mille(1_000)),
            "over_50_ms": self.late(),
        })
    }

    pub(super) fn to_text(&self) -> String {
        format!(
            "{:>7} answers   median {:>7.2} ms   99 of 100 within {:>7.2} ms   all within {:>7.2} \
             ms   {} took over 50 ms",
            self.count(),
            millis(self.per_mille(500)),
            millis(self.per_mille(990)),
            millis(self.per_mille(1_000)),
            self.late()
        )
    }
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_answers_are_counted_from_the_fastest() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.to_json()["max_ms"], 0.0);
        for number in (1..=200).rev() {
            latencies.add(Duration::from_millis(number));
        }
        let told = latencies.to_json();
        assert_eq!(told["answers"], 200);
        assert_eq!(told["median_ms"], 100.0);
        assert_eq!(told["p99_ms"], 198.0);
        assert_eq!(told["max_ms"], 200.0);
        assert_eq!(told["over_50_ms"], 150);
    }
}
