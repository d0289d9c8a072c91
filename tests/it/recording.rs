//! A running node saves what it lived through, and the file lives it again.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use keel::rpc::auth::{COOKIE_FILE, Cookie};
use keel::rpc::client::Client;
use serde_json::{Value, json};

/// How often a node is asked whether it is so far.
const ASK_INTERVAL: Duration = Duration::from_millis(100);
/// How often it is asked before that counts as never.
const ASKED_MAX: u32 = 600;

fn keel(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keel"))
        .args(arguments)
        .output()
        .expect("the program can be run")
}

fn keel_json(arguments: &[&str]) -> Value {
    let output = keel(&[&["--json"], arguments].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

/// A mining node in a process of its own; it ends, and its directory goes, with this value.
struct Mining {
    directory: PathBuf,
    rpc: SocketAddr,
    process: Child,
}

impl Mining {
    fn start(name: &str) -> Self {
        let folder = format!("{name}-{}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        fs::create_dir_all(&directory).expect("a folder can be made");
        let text = directory.to_str().expect("the path is text");
        let key_file = format!("{text}/miner.key");
        let key = keel_json(&["key", "new", &key_file, "--prefix", "dkeel"]);
        let address = key["address"].as_str().expect("a key has an address");
        // Ports that are free while both are held; nobody else is likely to take them at once.
        let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port is free"));
        let [listen, rpc] = held
            .each_ref()
            .map(|it| it.local_addr().expect("it is bound"));
        drop(held);
        let (listen, rpc_text) = (listen.to_string(), rpc.to_string());
        keel_json(&[
            "init",
            "--name",
            "recorded",
            "--dir",
            text,
            "--listen",
            &listen,
            "--rpc",
            &rpc_text,
            "--mine",
            address,
            "--hashrate",
            "100000",
        ]);
        let process = Self::run(&directory);
        Self {
            directory,
            rpc,
            process,
        }
    }

    fn run(directory: &Path) -> Child {
        let log = fs::File::create(directory.join("stderr")).expect("a file can be made");
        Command::new(env!("CARGO_BIN_EXE_keel"))
            .args(["run", "--record", "on", "--dir"])
            .arg(directory)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program can be run")
    }

    fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// Waits until the node's chain has this height.
    #[expect(clippy::disallowed_methods, reason = "another process needs its time")]
    fn wait_for_height(&self, height: u64) {
        for _ in 0..ASKED_MAX {
            let cookie = Cookie::read(&self.directory.join(COOKIE_FILE)).ok();
            let mut client = Client::new(self.rpc, cookie.as_ref());
            let count = client.call("getblockcount", &json!([])).ok();
            if count
                .and_then(|count| count.as_u64())
                .is_some_and(|count| count >= height)
            {
                return;
            }
            std::thread::sleep(ASK_INTERVAL);
        }
        let log = fs::read_to_string(self.directory.join("stderr")).unwrap_or_default();
        panic!("the node does not come to height {height}:\n{log}");
    }
}

impl Drop for Mining {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The size of a file that nobody but its owner may touch.
fn private_file_len(path: &str) -> u64 {
    let metadata = fs::metadata(path).expect("the file is there");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{path}");
    metadata.len()
}

#[test]
fn a_running_node_saves_a_recording_that_replays() {
    let mut node = Mining::start("recording");
    node.wait_for_height(2);
    let (directory, first, second) = (node.path(""), node.path("1.rec"), node.path("2.rec"));
    let saved = keel_json(&["record", "save", &first, "--dir", &directory]);
    assert_eq!(
        saved,
        json!({ "file": first, "bytes": private_file_len(&first), "missing": [] })
    );
    let replayed = keel_json(&["replay", &first]);
    let events = replayed["last_event"]
        .as_u64()
        .expect("a replay counts events");
    assert!(events > 0, "{replayed}");

    // A file that is there stays as it is.
    let bytes = fs::read(&first).expect("the file can be read");
    let refused = keel(&["record", "save", &first, "--dir", &directory]);
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("File exists"), "{text}");
    assert!(fs::read(&first).expect("the file can be read") == bytes);

    // The node writes into its directory and nowhere else; what is taken out is not left there.
    let inside = |name: &str| node.directory.join("recordings").join(name);
    let left = fs::read_dir(inside("")).expect("the folder is there");
    assert_eq!(left.count(), 0);
    let outside = node.path("outside.rec");
    let refused = keel(&["rpc", "saverecord", &outside, "--dir", &directory]);
    assert_eq!(refused.status.code(), Some(4));
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("nowhere else"), "{text}");
    assert!(!Path::new(&outside).exists());
    let saved = keel_json(&["rpc", "saverecord", "mine.rec", "--dir", &directory]);
    let mine = inside("mine.rec").display().to_string();
    assert_eq!(saved["bytes"], json!(private_file_len(&mine)));
    keel_json(&["replay", &mine]);
    let refused = keel(&["rpc", "saverecord", "mine.rec", "--dir", &directory]);
    assert_eq!(refused.status.code(), Some(4), "it is there");

    // The node goes on, and what it lives through meanwhile is in the next file.
    let height = keel_json(&["rpc", "getblockcount", "--dir", &directory]);
    node.wait_for_height(height.as_u64().expect("a height") + 1);
    keel_json(&["record", "save", &second, "--dir", &directory]);
    let replayed = keel_json(&["replay", &second, "--workers", "2"]);
    assert!(
        replayed["last_event"].as_u64() > Some(events),
        "{replayed} after {events}"
    );

    // A killed one leaves its recording in its directory.
    node.kill();
    let third = node.path("3.rec");
    let saved = keel_json(&["record", "save", &third, "--dir", &directory]);
    assert_eq!(saved["bytes"], json!(private_file_len(&third)));
    assert!(keel_json(&["replay", &third])["last_event"].as_u64() > Some(events));

    // So does the one after it, of which the first one's end is no part.
    node.process = Mining::run(&node.directory);
    node.wait_for_height(1);
    let height = keel_json(&["rpc", "getblockcount", "--dir", &directory]);
    node.wait_for_height(height.as_u64().expect("a height") + 2);
    node.kill();
    let fourth = node.path("4.rec");
    keel_json(&["record", "save", &fourth, "--dir", &directory]);
    let replayed = keel_json(&["replay", &fourth]);
    assert!(replayed["last_event"].as_u64() > Some(0), "{replayed}");
}
