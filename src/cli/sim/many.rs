//! Many seeds, on as many threads as there are cores.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crossbeam_channel::{Sender, bounded};
use serde_json::{Value, json};

use crate::base::Span;
use crate::cli::{CommandError, ExitCode, Output};
use crate::sim::report::{Report, count, named, span};
use crate::sim::scenario::{Outcome, Scenario, run_to_end};

use super::progress::Line;
use super::{SimArgs, command, files};

/// In so many seeds every mark that is expected must fire: a fault that never happens tests
/// nothing.
const SEEDS_OF_ALL_MARKS: u64 = 1_000;

/// What became of a seed.
struct Told {
    seed: u64,
    /// What was wrong with it; nothing where all held.
    violations: Vec<String>,
    marks: Vec<(&'static str, u64)>,
    /// The switches, and whether they were on; nothing where it panicked.
    switches: Vec<(&'static str, bool)>,
    events: u64,
    passed: Span,
    /// The whole of it, if it failed and is wanted.
    outcome: Option<Box<Outcome>>,
}

/// What is known of the seeds so far.
#[derive(Default)]
struct Tally {
    done: u64,
    failed: Vec<(u64, Vec<String>)>,
    /// How often each mark fired, and in how many seeds.
    marks: BTreeMap<&'static str, (u64, u64)>,
    /// In how many seeds each switch was on.
    switches: BTreeMap<&'static str, u64>,
    events: u64,
    passed: u64,
}

pub(super) fn run(
    args: &SimArgs,
    scenario: &Scenario,
    (first, last): (u64, u64),
    output: &Output,
) -> Result<(), CommandError> {
    if let Some(folder) = &args.out {
        files::make(folder)?;
    }
    let jobs = args.jobs.map_or_else(
        || thread::available_parallelism().map_or(1, std::num::NonZero::get),
        |jobs| jobs as usize,
    );
    let whole = last - first + 1;
    let begun = AtomicU64::new(0);
    let mut tally = Tally::default();
    let mut line = Line::new();
    let keep = args.out.is_some();
    name_seeds_of_panics(args);
    let (tell, told) = bounded(jobs);
    thread::scope(|scope| {
        for _ in 0..jobs {
            let (tell, begun) = (tell.clone(), &begun);
            scope.spawn(move || work(scenario, begun, (first, whole), keep, &tell));
        }
        drop(tell);
        for told in told {
            let failed = !told.violations.is_empty();
            if failed {
                line.clear();
                output.note(&failure(args, &told));
            }
            if let (Some(folder), Some(outcome)) = (&args.out, &told.outcome) {
                let folder = folder.join(format!("seed-{}", told.seed));
                files::make(&folder)?;
                files::write(&folder, &Report::new(&outcome.facts, &outcome.seen))?;
            }
            tally.add(told);
            let (done, failed) = (tally.done, tally.failed.len());
            line.show(|_| format!("{done} of {whole} seeds, {failed} failed"));
        }
        Ok::<(), CommandError>(())
    })?;
    line.clear();
    let elapsed = Span::from_micros(line.elapsed().as_micros() as u64);
    let never = never_fired(scenario, &tally);
    let value = tally.to_json(args, &never, elapsed);
    output.print(&value, || tally.to_text(&never, elapsed));
    if tally.failed.is_empty() && !never.is_empty() && whole >= SEEDS_OF_ALL_MARKS {
        let message = format!("never fired in {whole} seeds: {}", never.join(", "));
        return Err(CommandError::new(ExitCode::Violated, message));
    }
    if tally.failed.is_empty() {
        return Ok(());
    }
    Err(CommandError::new(
        ExitCode::Violated,
        format!("{} of {whole} seeds failed", tally.failed.len()),
    ))
}

thread_local! {
    /// The seed that a thread runs.
    static SEED: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

/// A panic is a bug that a seed found. Where it ends the process (a release build's does), the
/// command that runs that seed again is told before.
fn name_seeds_of_panics(args: &SimArgs) {
    let before = std::panic::take_hook();
    let prefix = command(args, 0);
    std::panic::set_hook(Box::new(move |info| {
        if let Some(seed) = SEED.get() {
            use std::io::Write;
            let again = prefix.replacen(" --seed 0", &format!(" --seed {seed}"), 1);
            let _ = writeln!(
                std::io::stderr(),
                "seed {seed} panicked; again with: {again}"
            );
        }
        before(info);
    }));
}

/// Runs seeds until none is left, and tells of each.
fn work(
    scenario: &Scenario,
    begun: &AtomicU64,
    (first, whole): (u64, u64),
    keep: bool,
    tell: &Sender<Told>,
) {
    loop {
        let place = begun.fetch_add(1, Ordering::Relaxed);
        if place >= whole {
            return;
        }
        let seed = first + place;
        SEED.set(Some(seed));
        let ran = catch_unwind(AssertUnwindSafe(|| run_to_end(scenario, seed)));
        SEED.set(None);
        let told = match ran {
            Ok(outcome) => Told {
                seed,
                violations: outcome.facts.violations.clone(),
                marks: marks(&outcome),
                switches: outcome
                    .facts
                    .switches
                    .map_or(Vec::new(), |it| named(it).to_vec()),
                events: outcome.facts.events,
                passed: outcome.facts.end.since(outcome.seen.began()),
                outcome: (keep && !outcome.facts.violations.is_empty()).then(|| Box::new(outcome)),
            },
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                Told {
                    seed,
                    violations: vec![format!("panic: {}", text.unwrap_or("without a message"))],
                    marks: Vec::new(),
                    switches: Vec::new(),
                    events: 0,
                    passed: Span::ZERO,
                    outcome: None,
                }
            }
        };
        if tell.send(told).is_err() {
            return;
        }
    }
}

fn marks(outcome: &Outcome) -> Vec<(&'static str, u64)> {
    Report::new(&outcome.facts, &outcome.seen).summary().marks
}

/// Marks that the scenario's faults should leave and no seed did.
fn never_fired(scenario: &Scenario, tally: &Tally) -> Vec<&'static str> {
    let mut expected = scenario.expected_marks();
    let fired = |mark: &str| {
        let begins = |found: &&str| found.starts_with(mark);
        tally.marks.contains_key(mark) || (mark.ends_with(':') && tally.marks.keys().any(begins))
    };
    expected.retain(|mark| !fired(mark));
    expected
}

fn failure(args: &SimArgs, told: &Told) -> String {
    let first = told.violations.first().map_or("", String::as_str);
    let more = match told.violations.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    format!(
        "seed {}: {first}{more}\n  again: {}",
        told.seed,
        command(args, told.seed)
    )
}

impl Tally {
    fn add(&mut self, told: Told) {
        self.done += 1;
        self.events += told.events;
        self.passed += told.passed.as_micros();
        for (mark, times) in told.marks {
            let (all, seeds) = self.marks.entry(mark).or_default();
            *all += times;
            *seeds += 1;
        }
        for (switch, is_on) in told.switches {
            *self.switches.entry(switch).or_default() += u64::from(is_on);
        }
        if !told.violations.is_empty() {
            self.failed.push((told.seed, told.violations));
            self.failed.sort();
        }
    }

    fn to_json(&self, args: &SimArgs, never: &[&'static str], elapsed: Span) -> Value {
        let failed: Vec<Value> = self
            .failed
            .iter()
            .map(|(seed, violations)| {
                json!({"seed": seed, "violations": violations, "command": command(args, *seed)})
            })
            .collect();
        let marks: BTreeMap<_, _> = self
            .marks
            .iter()
            .map(|(mark, (times, seeds))| (*mark, json!({"times": times, "seeds": seeds})))
            .collect();
        json!({
            "seeds": self.done,
            "failed": failed,
            "events": self.events,
            "virtual_ms": self.passed / 1_000,
            "wall_ms": elapsed.as_millis(),
            "simplified": self.switches,
            "marks": marks,
            "never_fired": never,
        })
    }

    fn to_text(&self, never: &[&'static str], elapsed: Span) -> String {
        let marks = self.marks.iter().map(|(mark, (times, seeds))| {
            vec![
                (*mark).to_owned(),
                count(*times),
                format!("in {} seeds", count(*seeds)),
            ]
        });
        let marks: Vec<Vec<String>> = marks.collect();
        let mut text = format!(
            "{} seeds, {} failed; {} of virtual time, {} events, in {}\n",
            count(self.done),
            self.failed.len(),
            span(Span::from_micros(self.passed)),
            count(self.events),
            span(elapsed)
        );
        let switches = self.switches.iter();
        let switches: Vec<String> = switches
            .map(|(switch, seeds)| format!("{switch} in {}", count(*seeds)))
            .collect();
        if !switches.is_empty() {
            text.push_str(&format!("simplified: {}\n", switches.join(", ")));
        }
        if !marks.is_empty() {
            text.push_str("marks that fired:\n");
            for line in super::columns(&marks).lines() {
                text.push_str(&format!("  {line}\n"));
            }
        }
        if !never.is_empty() {
            text.push_str(&format!("never fired: {}\n", never.join(", ")));
        }
        for (seed, violations) in &self.failed {
            text.push_str(&format!("seed {seed} failed: {}\n", violations[0]));
        }
        text.pop();
        text
    }
}
