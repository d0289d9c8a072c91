//! Processes of `keel` for tests: each in its own folder and on its own loopback address.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use keel::rpc::auth::{COOKIE_FILE, Cookie};
use keel::rpc::client::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder of a test, which goes with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("keel-it-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a test can make its folder");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An address of this machine on which nobody listens at 5335 and 5336.
pub(crate) fn free_address() -> String {
    loop {
        let number = NEXT
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(std::process::id());
        let [_, _, a, b] = number.to_be_bytes();
        let address = format!("127.{}.{b}.1", 100 + a % 100);
        let free = |port: u16| TcpListener::bind((address.as_str(), port)).is_ok();
        if free(5335) && free(5336) {
            return address;
        }
    }
}

/// Runs a command to its end.
pub(crate) fn keel(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keel"))
        .args(arguments)
        .env_remove("KEEL_DIR")
        .output()
        .expect("the program can be started")
}

/// Runs a command that must succeed, and reads the JSON it prints.
pub(crate) fn keel_json(arguments: &[&str]) -> Value {
    let output = keel(&[arguments, &["--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).expect("with --json a command prints JSON")
}

/// Runs a command that must fail, and gives its exit code and what it says.
pub(crate) fn keel_fails(arguments: &[&str]) -> (i32, String) {
    let output = keel(arguments);
    let code = output.status.code().expect("it ends by itself");
    assert_ne!(code, 0, "{arguments:?} must fail");
    (code, String::from_utf8_lossy(&output.stderr).into_owned())
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// A node's directory, made by `keel init`.
pub(crate) struct Site {
    pub(crate) directory: PathBuf,
    pub(crate) address: String,
    pub(crate) peer: String,
}

impl Site {
    /// Makes the directory of a node, of a new chain or of the one of `genesis`.
    pub(crate) fn init(directory: PathBuf, more: &[&str]) -> Self {
        let address = free_address();
        let (listen, rpc) = (format!("{address}:5335"), format!("{address}:5336"));
        let arguments = [
            "init",
            "--dir",
            text(&directory),
            "--listen",
            &listen,
            "--rpc",
            &rpc,
        ];
        let made = keel_json(&[&arguments, more].concat());
        let peer = made["peer"]
            .as_str()
            .expect("init names the peer string")
            .to_owned();
        Self {
            directory,
            address,
            peer,
        }
    }

    pub(crate) fn dir(&self) -> &str {
        text(&self.directory)
    }

    pub(crate) fn genesis(&self) -> PathBuf {
        self.directory.join("genesis.toml")
    }

    pub(crate) fn rpc_address(&self) -> SocketAddr {
        format!("{}:5336", self.address)
            .parse()
            .expect("it is an address")
    }

    /// Starts the node, and waits until it has read its log.
    pub(crate) fn run(&self) -> Node {
        self.run_with(&[], &[])
    }

    /// Starts the node with more flags and environment variables, and waits as [`Self::run`].
    pub(crate) fn run_with(&self, flags: &[&str], environment: &[(&str, &str)]) -> Node {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keel"));
        command
            .arg("run")
            .args(flags)
            .envs(environment.iter().copied());
        self.run_by(command)
    }

    /// Starts the node by a command to which what it needs is added, and waits as [`Self::run`].
    pub(crate) fn run_by(&self, mut command: Command) -> Node {
        let mut child = command
            .args(["--dir", self.dir(), "--log", "debug"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let stderr = child.stderr.take().expect("it is piped");
        let mut node = Node {
            child,
            log: BufReader::new(stderr),
            said: String::new(),
            rpc: self.rpc_address(),
            cookie: self.directory.join(COOKIE_FILE),
        };
        node.wait_for("the log is read");
        node
    }
}

/// A running node. It is killed when it is dropped.
pub(crate) struct Node {
    child: Child,
    log: BufReader<ChildStderr>,
    pub(crate) said: String,
    rpc: SocketAddr,
    cookie: PathBuf,
}

impl Node {
    /// Reads the log until a line with `part` comes; everything said so far is kept.
    pub(crate) fn wait_for(&mut self, part: &str) {
        loop {
            let begin = self.said.len();
            let count = self.log.read_line(&mut self.said).expect("the log is text");
            assert_ne!(count, 0, "the node ended without {part:?}:\n{}", self.said);
            if self.said[begin..].contains(part) {
                return;
            }
        }
    }

    pub(crate) fn client(&self) -> Client {
        let cookie = Cookie::read(&self.cookie).expect("a running node has a cookie");
        Client::new(self.rpc, Some(&cookie))
    }

    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        let called = self.client().call(method, &params);
        called.unwrap_or_else(|error| panic!("{method} {params}: {error}\n{}", self.said))
    }

    pub(crate) fn height(&self) -> u64 {
        self.call("getblockcount", json!([]))
            .as_u64()
            .expect("a height is a number")
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("it has a process id"), signal).expect("it can be signalled");
    }

    /// Waits for the end, and reads the rest of the log.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let mut said = std::mem::take(&mut self.said);
        while self.log.read_line(&mut said).expect("the log is text") > 0 {}
        (self.child.wait().expect("it can be waited for"), said)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
