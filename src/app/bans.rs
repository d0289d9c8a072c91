//! The file of the operator's bans: read at the start, written anew with each change.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::cli::CommandError;
use crate::node::CallId;
use crate::p2p::BanList;
use crate::reactor::BanFile;

use super::files;
use super::ports::Wake;

/// The file of a data directory that holds the bans.
const BANS_FILE: &str = "bans";
/// The same while it is written.
const NEW_FILE: &str = "bans.new";

/// The bans of a directory; none where there is no file.
pub(super) fn read(directory: &Path) -> Result<BanList, CommandError> {
    let path = directory.join(BANS_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BanList::default()),
        Err(error) => {
            let text = format!("{}: can't be read: {error}", path.display());
            return Err(CommandError::config(text));
        }
    };
    text.parse().map_err(|error| {
        let path = path.display();
        CommandError::config(format!("{path}: {error}; mend the line or remove the file"))
    })
}

/// What came of a write, and whose it was.
type Kept = (Vec<CallId>, Result<(), String>);

/// Writes the list on a thread, one list at a time: what comes meanwhile waits, and only the
/// newest list of those that wait is written.
pub(super) struct BanPort {
    directory: PathBuf,
    wake: Wake,
    is_writing: bool,
    waiting: Option<(Vec<CallId>, Arc<str>)>,
    results: (Sender<Kept>, Receiver<Kept>),
    kept: VecDeque<(CallId, Result<(), String>)>,
}

impl BanPort {
    pub(super) fn new(directory: &Path, wake: Wake) -> Self {
        Self {
            directory: directory.to_owned(),
            wake,
            is_writing: false,
            waiting: None,
            results: unbounded(),
            kept: VecDeque::new(),
        }
    }

    fn begin(&mut self) {
        let Some((calls, text)) = self.waiting.take_if(|_| !self.is_writing) else {
            return;
        };
        self.is_writing = true;
        let (directory, wake) = (self.directory.clone(), Arc::clone(&self.wake));
        let (sender, waiting) = (self.results.0.clone(), calls.clone());
        let work = move || {
            let result = files::put(&directory, BANS_FILE, NEW_FILE, text.as_bytes());
            let result = result.map_err(|error| error.to_string());
            // Nobody listens once the loop has ended.
            let _ = sender.send((calls, result));
            wake();
        };
        let thread = std::thread::Builder::new().name("bans".to_owned());
        if let Err(error) = thread.spawn(work) {
            let text = format!("a thread can't be started: {error}");
            let _ = self.results.0.send((waiting, Err(text)));
            (self.wake)();
        }
    }
}

impl BanFile for BanPort {
    fn keep(&mut self, call: CallId, text: Arc<str>) {
        let mut calls = self
            .waiting
            .take()
            .map_or_else(Vec::new, |(calls, _)| calls);
        calls.push(call);
        self.waiting = Some((calls, text));
        self.begin();
    }

    fn take_kept(&mut self) -> Option<(CallId, Result<(), String>)> {
        while let Ok((calls, result)) = self.results.1.try_recv() {
            self.is_writing = false;
            let kept = calls.into_iter().map(|call| (call, result.clone()));
            self.kept.extend(kept);
            self.begin();
        }
        self.kept.pop_front()
    }
}
