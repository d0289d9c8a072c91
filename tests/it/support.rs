//! The `keel` program, as tests run it.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::Value;

/// A command of the program that the tests were built with.
pub(crate) fn keel() -> Command {
    Command::new(env!("CARGO_BIN_EXE_keel"))
}

/// A folder that is not there yet.
pub(crate) fn fresh_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    folder
}

/// An address of the network 127.`second`/16 on which nobody listens.
pub(crate) fn free_address(second: u8) -> String {
    let bound = TcpListener::bind((format!("127.{second}.0.1").as_str(), 0));
    let address = bound.and_then(|listener| listener.local_addr());
    address.expect("the tests run on Linux").to_string()
}

/// What a command that must succeed printed as JSON.
pub(crate) fn json_of(command: &mut Command) -> Value {
    let output = command.arg("--json").output().expect("keel runs");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        error_of(&output)
    );
    parse(&output)
}

/// The JSON value that a command printed.
pub(crate) fn parse(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", error_of(output)))
}

/// What a command wrote about its failure.
pub(crate) fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A running node.
pub(crate) struct Running {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Running {
    /// Starts the node of a directory and waits until it has read its log.
    pub(crate) fn start(directory: &Path, flags: &[&str]) -> Self {
        let mut command = keel();
        command.arg("run").arg("--dir").arg(directory).args(flags);
        let child = command.stderr(Stdio::piped()).spawn();
        let mut child = child.expect("keel runs");
        let log = child.stderr.take().expect("it is piped");
        let log = BufReader::new(log).lines();
        let mut node = Self { child, log };
        node.wait_for("the log is read");
        node
    }

    /// Waits until the node logs a line that contains `text`, and gives that line.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let mut seen = String::new();
        loop {
            let line = match self.log.next() {
                Some(Ok(line)) => line,
                end => panic!("the log ended ({end:?}) without {text:?}:\n{seen}"),
            };
            if line.contains(text) {
                return line;
            }
            seen += &line;
            seen.push('\n');
        }
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failed test leaves no process behind; one that has ended can't be killed again.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
