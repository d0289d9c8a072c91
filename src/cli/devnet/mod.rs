//! `keel devnet`: a network of real processes on this machine, with miners and payments, to look
//! at and to mistreat.
//!
//! *Owns* the processes it starts and a directory of its own. *Invariants*: it says that all is
//! well only when every node has the same tip and every payment that a node accepted is in the
//! chain or in a mempool. *Never* reaches beyond the addresses 127.x.y.1, nor writes outside its
//! directory.

mod accounts;
mod audit;
mod chain;
mod client;
mod load;
mod node;
pub(super) mod plan;
pub(super) mod process;
mod report;
mod screen;
mod session;
mod setup;
mod terminal;
mod threads;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::base::Span;

use super::{CommandError, Output};

use session::{Chaos, Ending, Session};
use setup::Setup;
use terminal::Terminal;

/// Arguments of `keel devnet`.
#[derive(Debug, Args)]
pub(super) struct DevnetArgs {
    /// Number of nodes
    #[arg(long, short, default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..=plan::NODES_MAX))]
    nodes: u16,
    /// Payments per second
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=5_000))]
    tps: u32,
    /// Stop after this time, like 30s, 5m or 1h, and check the result [default: run until Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    duration: Option<Span>,
    /// Disturb a node every 5 s; several values with commas take turns
    #[arg(long, value_enum, value_delimiter = ',')]
    chaos: Vec<Chaos>,
    /// Hashes per second of each node; the block interval is 2 s at any rate
    #[arg(long, value_name = "N", default_value_t = 2_000,
        value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    hashrate: u64,
    /// Seed of keys, payments and chaos
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Create the nodes' directories here and keep them [default: a temporary directory]
    #[arg(long, short, value_name = "DIR")]
    dir: Option<std::path::PathBuf>,
    /// Keep the temporary directory
    #[arg(long)]
    keep: bool,
}

/// A time like 30s, 5m or 1h; a number alone counts seconds.
fn parse_span(text: &str) -> Result<Span, String> {
    let digits = text.trim_end_matches(['s', 'm', 'h']);
    let factor = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err("write a time like 30s, 5m or 1h".to_owned()),
    };
    match digits.parse::<u64>() {
        Ok(number @ 1..=1_000_000) => Ok(Span::from_secs(number * factor)),
        _ => Err("write a time like 30s, 5m or 1h".to_owned()),
    }
}

pub(super) fn devnet(args: &DevnetArgs, output: &Output) -> Result<(), CommandError> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(|error| {
            CommandError::failed(format!("signal {signal} can't be handled: {error}"))
        })?;
    }
    let setup = Setup::make(args)?;
    let nodes = setup.start_nodes()?;
    let session = Session::new(setup.settings(args), setup.load(args), nodes);
    let mut terminal = Terminal::new(output.is_json());
    let ending = session.run(&interrupted, &mut |view| terminal.show(view));
    let good = match &ending {
        Ok(Ending::Complete(report)) => report.ok,
        Ok(Ending::Interrupted(..)) => true,
        Err(_) => false,
    };
    let kept = setup.clean_up(good && !args.keep);
    match ending {
        Err(problem) => Err(CommandError::failed(format!("{problem}\n{kept}"))),
        Ok(Ending::Interrupted(span, counts)) => {
            if args.duration.is_some() {
                let message = "interrupted before its end: nothing was looked over";
                return Err(CommandError::failed(format!("{message}\n{kept}")));
            }
            let text = || format!("{}\n{kept}", report::stopped_text(span, counts));
            output.print(&report::stopped_json(span, counts), text);
            Ok(())
        }
        Ok(Ending::Complete(report)) => {
            output.print(&report.to_json(), || {
                format!("{}\n{kept}", report.to_text())
            });
            if report.ok {
                return Ok(());
            }
            Err(CommandError::failed(report.problems.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(parse_span("30s"), Ok(Span::from_secs(30)));
        assert_eq!(parse_span("45"), Ok(Span::from_secs(45)));
        assert_eq!(parse_span("5m"), Ok(Span::from_secs(300)));
        assert_eq!(parse_span("2h"), Ok(Span::from_secs(7_200)));
        for wrong in ["", "s", "0s", "-1s", "1.5s", "1ms", "5d", "99999999h"] {
            assert!(parse_span(wrong).is_err(), "{wrong}");
        }
    }
}
