//! One node's process: started, killed, paused and stopped for real.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// What a node writes to its standard error goes here, in its directory.
const LOG_NAME: &str = "node.log";
/// How much of the log is shown when a node ends by itself.
const LOG_TAIL_BYTES: u64 = 2_000;

/// A node's process.
pub(in crate::cli) struct NodeProcess {
    executable: PathBuf,
    arguments: Vec<String>,
    directory: PathBuf,
    child: Child,
}

impl NodeProcess {
    /// Starts `executable arguments`; its log goes to a file in `directory`.
    pub(in crate::cli) fn start(
        executable: &Path,
        arguments: Vec<String>,
        directory: &Path,
    ) -> io::Result<Self> {
        Ok(Self {
            child: spawn(executable, &arguments, directory)?,
            executable: executable.to_owned(),
            arguments,
            directory: directory.to_owned(),
        })
    }

    /// Kills the process as `kill -9` does and starts it again at once.
    pub(super) fn kill_and_restart(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = spawn(&self.executable, &self.arguments, &self.directory)?;
        Ok(())
    }

    /// Stops the process's clock, so to say: it keeps its sockets and does nothing.
    pub(super) fn pause(&mut self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a paused process go on.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks the process to stop.
    pub(in crate::cli) fn terminate(&mut self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// The number of the process.
    pub(in crate::cli) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How the process ended, if it did.
    pub(in crate::cli) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for the end of the process.
    pub(in crate::cli) fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// The last lines of the node's log.
    pub(in crate::cli) fn log_tail(&self) -> String {
        read_tail(&self.directory.join(LOG_NAME)).unwrap_or_default()
    }

    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        // The number is the child's until its end is taken note of; then it may be anybody's.
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = Pid::from_child(&self.child);
        match kill_process(pid, signal) {
            Ok(()) => Ok(()),
            // It has ended already.
            Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Whatever ends the devnet, no node outlives it. An error means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(executable: &Path, arguments: &[String], directory: &Path) -> io::Result<Child> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join(LOG_NAME))?;
    let mut command = Command::new(executable);
    // What the environment says to an operator's own node is not meant for these.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KEEL_") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C in the terminal is for the devnet, which stops its nodes one by one.
        .process_group(0)
        .spawn()
}

fn read_tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(8)..].join("\n"))
}

/// How a process ended, in words.
pub(in crate::cli) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown end".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, directory: &Path) -> NodeProcess {
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        NodeProcess::start(Path::new("/bin/sh"), arguments, directory).unwrap()
    }

    #[test]
    fn a_process_that_ends_by_itself_is_described_with_its_log() {
        let directory = std::env::temp_dir().join(format!("keel-process-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut process = shell("echo first; echo second >&2; exit 3", &directory);
        let status = process.child.wait().unwrap();
        assert_eq!(describe(status), "exit code 3");
        assert_eq!(process.log_tail(), "first\nsecond");
        assert_eq!(process.ended().unwrap(), Some(status));
        process.terminate().unwrap();

        // One that reads would end at once: it has nothing to read.
        let mut process = shell("exec sleep 600", &directory);
        let first = process.child.id();
        process.kill_and_restart().unwrap();
        assert_ne!(process.child.id(), first);
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        let killed = process.ended().unwrap();
        assert_eq!(killed.map(describe).as_deref(), Some("signal 9"));
        std::fs::remove_dir_all(directory).unwrap();
    }
}
