//! `keel sim`: thousands of nodes in this process, from a seed.
//!
//! *Owns* how a scenario is found and told, the threads that run many seeds, and the files of a
//! report. *Invariants*: what a run shows besides its wall time and memory is a function of the
//! scenario, the keys that were set and the seed; the command that a failure prints runs the same
//! world again. *Never* decides anything about a world.

mod files;
mod many;
mod one;
mod progress;
mod recorded;

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use crate::sim::ladder::{self, Rungs};
use crate::sim::scenario::{EMBEDDED, Scenario, read_span};

use super::output::columns;
use super::{CommandError, ExitCode, Output};

/// Arguments of `keel sim`.
#[derive(Debug, Args)]
pub(super) struct SimArgs {
    /// Scenario file, or the name of a built-in scenario
    #[arg(value_name = "SCENARIO", required_unless_present_any = ["list", "ladder", "recording"])]
    scenario: Option<String>,
    /// Seed of everything random [default: the scenario's]
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run all these seeds, including the last, and report those that fail
    #[arg(long, value_name = "A..B", value_parser = read_seeds)]
    seeds: Option<(u64, u64)>,
    /// Number of seeds to run at once [default: one per core]
    #[arg(long, value_name = "J", requires = "seeds",
        value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: Option<u32>,
    /// Number of nodes
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// Override a key of the scenario, like `network.slow_start=false`; may be given more than once
    #[arg(long, value_name = "KEY=VALUE", value_parser = read_setting)]
    set: Vec<(String, String)>,
    /// Duration in virtual time, like `10m`
    #[arg(long, value_name = "SPAN", value_parser = read_duration)]
    duration: Option<String>,
    /// Write a plot, the data of every series and the summary to this new folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print this node's inputs and outputs; with --out, also record it for `keel replay`
    #[arg(long, value_name = "NODE", conflicts_with = "seeds")]
    trace: Option<usize>,
    /// Stop after this many events
    #[arg(long, value_name = "EVENT", conflicts_with = "seeds")]
    until: Option<u64>,
    /// Play a node's recording as a simulation of one node; takes `--until`, `--out` and
    /// `--trace 0`
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "scenario", "list", "ladder", "seed", "seeds", "nodes", "set", "duration"])]
    recording: Option<PathBuf>,
    /// List the built-in scenarios
    #[arg(long, conflicts_with_all = [
        "scenario", "seed", "seeds", "nodes", "set", "duration", "out", "trace", "until"])]
    list: bool,
    /// Compare the network model with published figures; takes a minute or two
    #[arg(long, conflicts_with_all = [
        "scenario", "list", "seed", "seeds", "nodes", "set", "duration", "out", "trace", "until"])]
    ladder: bool,
}

/// So many seeds nobody waits for.
const SEEDS_MAX: u64 = 1_000_000_000;

/// `1..1000`, the last one too.
fn read_seeds(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("\"{text}\" is no range of seeds; write it like 1..1000");
    let (first, last) = text.split_once("..").ok_or_else(wrong)?;
    let first: u64 = first.parse().map_err(|_| wrong())?;
    let last: u64 = last.parse().map_err(|_| wrong())?;
    if first > last {
        return Err(format!(
            "{first}..{last} has no seed: the first is greater than the last"
        ));
    }
    if last - first >= SEEDS_MAX {
        return Err(format!(
            "{first}..{last} has more than {SEEDS_MAX} seeds; name fewer"
        ));
    }
    Ok((first, last))
}

fn read_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("\"{text}\" sets nothing; write it like world.nodes=50"))?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

fn read_duration(text: &str) -> Result<String, String> {
    read_span(text).map_or_else(
        || {
            Err(format!(
                "\"{text}\" is no span of time; write it like 90s, 10m or 2h"
            ))
        },
        |_| Ok(text.to_owned()),
    )
}

/// Runs a scenario.
pub(super) fn sim(args: &SimArgs, output: &Output) -> Result<(), CommandError> {
    if args.list {
        return list(output);
    }
    if args.ladder {
        return climb(output);
    }
    if let Some(path) = &args.recording {
        return recorded::play(path, args, output);
    }
    let name = args.scenario.as_deref().unwrap_or_default();
    let scenario = read(name, args)?;
    match args.seeds {
        Some(seeds) => many::run(args, &scenario, seeds, output),
        None => one::run(args, &scenario, output),
    }
}

fn list(output: &Output) -> Result<(), CommandError> {
    let mut rows = Vec::new();
    for (name, text) in EMBEDDED {
        let scenario = Scenario::read(name, text, &[])
            .map_err(|error| CommandError::config(format!("{name}: {error}")))?;
        rows.push(vec![name.to_owned(), scenario.about().to_owned()]);
    }
    let names: Vec<_> = rows
        .iter()
        .map(|row| json!({"name": row[0], "about": row[1]}))
        .collect();
    output.print(&json!(names), || columns(&rows));
    Ok(())
}

fn climb(output: &Output) -> Result<(), CommandError> {
    let rungs = ladder::climb(Rungs::Full);
    let values = rungs.iter().map(|rung| {
        json!({
            "name": rung.name,
            "source": rung.source,
            "unit": rung.unit,
            "expected": rung.expected,
            "got": rung.got,
            "passed": rung.passed(),
        })
    });
    let values: Vec<_> = values.collect();
    output.print(&json!(values), || ladder::Table(&rungs).to_string());
    let missed = rungs.iter().filter(|rung| !rung.passed()).count();
    if missed > 0 {
        let message = format!("{missed} of {} figures are missed", rungs.len());
        return Err(CommandError::new(ExitCode::Violated, message));
    }
    Ok(())
}

/// What was set on the command line, as keys and values.
fn settings(args: &SimArgs) -> Vec<(String, String)> {
    let mut set = args.set.clone();
    if let Some(nodes) = args.nodes {
        set.push(("world.nodes".to_owned(), nodes.to_string()));
    }
    if let Some(duration) = &args.duration {
        set.push(("world.duration".to_owned(), duration.clone()));
    }
    set
}

fn read(name: &str, args: &SimArgs) -> Result<Scenario, CommandError> {
    let path = PathBuf::from(name);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => match Scenario::embedded(name) {
            Some(text) => text.to_owned(),
            None => {
                let names: Vec<&str> = EMBEDDED.iter().map(|(name, _)| *name).collect();
                return Err(CommandError::usage(format!(
                    "{name}: {error}; without a file there are the scenarios {}",
                    names.join(", ")
                )));
            }
        },
    };
    let stem = path.file_stem().map(|stem| stem.to_string_lossy());
    let stem = stem.map_or_else(|| name.to_owned(), |stem| stem.into_owned());
    Scenario::read(&stem, &text, &settings(args)).map_err(|error| {
        // What reads well without the options is wrong by them.
        let code = match Scenario::read(&stem, &text, &[]) {
            Ok(_) => ExitCode::Usage,
            Err(_) => ExitCode::Config,
        };
        CommandError::new(code, format!("{name}: {error}"))
    })
}

/// The command that runs a seed again.
fn command(args: &SimArgs, seed: u64) -> String {
    let scenario = quoted(args.scenario.as_deref().unwrap_or_default());
    let mut command = format!("keel sim {scenario} --seed {seed}");
    for (key, value) in settings(args) {
        command.push_str(&format!(" --set {}", quoted(&format!("{key}={value}"))));
    }
    command
}

/// A word of a command line as a shell takes it, in quotes where it has to be.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-=/:,+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "people are told how long they waited, and how far it is while they wait"
)]
fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
