//! The `keel` program: arguments in, an exit code out.

use std::io::Write;
use std::process::ExitCode;

use keel::app;
use keel::cli::{self, Cli, CommandError, Next};

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "keel: {error}");
            ExitCode::from(error.code as u8)
        }
    }
}

fn run(cli: Cli) -> Result<(), CommandError> {
    match cli::execute(cli)? {
        Next::Done => Ok(()),
        Next::Run(config) => app::run(&config),
    }
}
