//! One seed, watched.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;

use crate::base::{Span, Time};
use crate::cli::{CommandError, ExitCode, Output};
use crate::sim::report::{Report, count, share, span};
use crate::sim::scenario::{Outcome, Progress, Run, Scenario, run_swarm};
use crate::sim::swarm::Look;
use crate::sim::{NodeIndex, Tell, swarm};

use super::progress::{Line, peak_memory};
use super::{SimArgs, command, files};

/// Slices in which a run goes, so that it can be told how far it is.
const SLICES: u64 = 1_000;
/// The width of the summary.
const WIDTH: usize = 100;

pub(super) fn run(
    args: &SimArgs,
    scenario: &Scenario,
    output: &Output,
) -> Result<(), CommandError> {
    if let Some(folder) = &args.out {
        files::make(folder)?;
    }
    let seed = args.seed.unwrap_or_else(|| scenario.seed());
    let line = Rc::new(RefCell::new(Line::new()));
    let tell = args
        .trace
        .map(|node| teller(node, scenario.machines(), *output))
        .transpose()?;
    let mut outcome = if scenario.is_swarm() {
        run_drawn(args, scenario, seed, tell, &line)
    } else {
        run_in_slices(args, scenario, seed, tell, &mut line.borrow_mut())
    };
    outcome.facts.wall = Span::from_micros(micros(line.borrow().elapsed()));
    outcome.facts.memory = peak_memory();
    outcome.facts.command = command(args, seed);
    if let (Some(folder), Some(bytes)) = (&args.out, &outcome.recording) {
        files::put(folder, files::RECORDING, bytes)?;
    }
    tell_outcome(args, &outcome, output)?;
    match (&args.out, args.trace, &outcome.recording) {
        (Some(_), Some(node), None) => Err(CommandError::failed(format!(
            "node {node} does not run at the end, or was never quiet enough to be recorded; stop \
             at another event"
        ))),
        _ => Ok(()),
    }
}

/// Runs a seed of a swarm.
fn run_drawn(
    args: &SimArgs,
    scenario: &Scenario,
    seed: u64,
    tell: Option<(NodeIndex, Tell)>,
    line: &Rc<RefCell<Line>>,
) -> Outcome {
    let shown = Rc::clone(line);
    let show = move |progress: &swarm::Progress| {
        (shown.borrow_mut()).show(|elapsed| drawn_progress(progress, elapsed));
    };
    let look = Look {
        follow: tell,
        until: args.until,
        progress: args.trace.is_none().then(|| Box::new(show) as _),
    };
    let outcome = run_swarm(scenario, seed, look);
    line.borrow_mut().clear();
    outcome
}

fn run_in_slices(
    args: &SimArgs,
    scenario: &Scenario,
    seed: u64,
    tell: Option<(NodeIndex, Tell)>,
    line: &mut Line,
) -> Outcome {
    let mut run = Run::new(scenario, seed);
    if let Some((node, tell)) = tell {
        run.follow(node, tell);
    }
    let slice = Span::from_micros((scenario.duration().as_micros() / SLICES).max(1_000));
    while run.advance(slice, args.until.unwrap_or(u64::MAX)) {
        if args.trace.is_none() {
            line.show(|elapsed| progress(&run.progress(), Span::from_micros(micros(elapsed))));
        }
    }
    line.clear();
    run.finish()
}

/// Tells everything that a node is told and wants done: the number of the event, the time in
/// milliseconds since the first one, which.
pub(super) fn teller(
    node: usize,
    nodes: usize,
    output: Output,
) -> Result<(NodeIndex, Tell), CommandError> {
    if node >= nodes {
        let last = nodes - 1;
        return Err(CommandError::usage(format!(
            "there is no node {node} to trace; they are 0 to {last}"
        )));
    }
    let mut began = None;
    let tell = Box::new(move |event: u64, at: Time, line: &str| {
        let micros = at.since(*began.get_or_insert(at)).as_micros();
        let (millis, part) = (micros / 1_000, micros % 1_000);
        let line = format!("{event:>9} {millis:>8}.{part:03}  {line}");
        if output.is_json() {
            // Standard output has the one value that programs read.
            let _ = writeln!(std::io::stderr(), "{line}");
        } else {
            output.note(&line);
        }
    });
    Ok((NodeIndex(node), tell))
}

pub(super) fn micros(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

fn progress(progress: &Progress, elapsed: Span) -> String {
    let (passed, whole) = (progress.passed.as_micros(), progress.whole.as_micros());
    let left = u128::from(elapsed.as_micros()) * u128::from(whole.saturating_sub(passed));
    let left = left / u128::from(passed.max(1));
    let left = Span::from_micros(u64::try_from(left).unwrap_or(u64::MAX));
    format!(
        "{} of {} ({}), height {}, {} events; {} so far, {} to go",
        span(progress.passed),
        span(progress.whole),
        share(passed, whole),
        progress.height,
        count(progress.events),
        span(elapsed),
        span(left)
    )
}

/// How far a seed of a swarm is. How long all takes is not known before it is well again.
fn drawn_progress(progress: &swarm::Progress, elapsed: Duration) -> String {
    let (passed, safety) = (progress.passed, progress.safety);
    let phase = if passed < safety {
        format!("{} of {} with faults", span(passed), span(safety))
    } else {
        format!("{}, all is well again", span(passed))
    };
    format!(
        "{phase}, height {}, {} events; {} so far",
        progress.height,
        count(progress.events),
        span(Span::from_micros(micros(elapsed)))
    )
}

fn tell_outcome(args: &SimArgs, outcome: &Outcome, output: &Output) -> Result<(), CommandError> {
    tell_report(args, Report::new(&outcome.facts, &outcome.seen), output)
}

/// Writes what was asked for, and says whether anything was wrong.
pub(super) fn tell_report(
    args: &SimArgs,
    report: Report<'_>,
    output: &Output,
) -> Result<(), CommandError> {
    let summary = report.summary();
    if let Some(folder) = &args.out {
        files::write(folder, &report)?;
    }
    output.print(&json!(summary), || summary.to_text(WIDTH));
    if summary.violations.is_empty() {
        return Ok(());
    }
    Err(CommandError::new(
        ExitCode::Violated,
        format!(
            "{} violations; again with: {}",
            summary.violations.len(),
            summary.command
        ),
    ))
}
