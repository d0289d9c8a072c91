//! The files of a report.

use std::fs;
use std::io;
use std::path::Path;

use crate::cli::CommandError;
use crate::sim::report::Report;

/// The picture.
const PICTURE: &str = "report.svg";
/// The numbers that matter most.
const SUMMARY: &str = "summary.json";
/// What the traced node lived through.
pub(super) const RECORDING: &str = "node.keelrec";

/// Makes the folder, which may be there if it is empty.
pub(super) fn make(folder: &Path) -> Result<(), CommandError> {
    let failed = |error: io::Error| {
        let folder = folder.display();
        CommandError::failed(format!("the folder {folder} can't be made: {error}"))
    };
    fs::create_dir_all(folder).map_err(failed)?;
    if fs::read_dir(folder).map_err(failed)?.next().is_some() {
        let folder = folder.display();
        return Err(CommandError::usage(format!(
            "{folder} has files in it; name a new folder, so that no older report is mixed in"
        )));
    }
    Ok(())
}

/// Writes everything that a run says.
pub(super) fn write(folder: &Path, report: &Report<'_>) -> Result<(), CommandError> {
    let summary = serde_json::to_string_pretty(&report.summary());
    let summary = summary.expect("a summary has text keys only") + "\n";
    put(folder, SUMMARY, summary.as_bytes())?;
    put(folder, PICTURE, report.svg().as_bytes())?;
    for (name, text) in report.csv() {
        put(folder, name, text.as_bytes())?;
    }
    Ok(())
}

/// Writes one file.
pub(super) fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), CommandError> {
    let path = folder.join(name);
    fs::write(&path, bytes).map_err(|error| {
        CommandError::failed(format!("{} can't be written: {error}", path.display()))
    })
}
