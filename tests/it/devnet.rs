//! `keel devnet`: real processes, killed for real.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::support::{fresh_folder, keel, parse};

/// The processes whose command line names `folder`.
fn processes_in(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy();
    let entries = fs::read_dir("/proc").expect("the tests run on Linux");
    let lines = entries.filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(" run ") && line.contains(&*folder))
        .collect()
}

#[test]
fn killed_nodes_agree_and_lose_no_accepted_payment() {
    let folder = fresh_folder("devnet-chaos");
    let arguments = "--nodes 3 --tps 30 --duration 11s --json --chaos kill,pause --seed 3";
    let output = keel()
        .arg("devnet")
        .args(arguments.split(' '))
        .arg("--dir")
        .arg(&folder)
        .output()
        .expect("keel runs");
    let report = parse(&output);
    assert!(output.status.success(), "{report}");
    assert_eq!(report["problems"], Value::Array(Vec::new()));
    assert_eq!(
        (&report["kills"], &report["pauses"]),
        (&1.into(), &1.into())
    );
    let paid = &report["payments"];
    let count = |name: &str| {
        paid[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name}: {report}"))
    };
    assert!(count("accepted") > 100, "{report}");
    assert_eq!(
        count("in_chain") + count("waiting"),
        count("accepted"),
        "{report}"
    );
    let nodes = report["nodes"].as_array().expect("a list of nodes");
    assert_eq!(nodes.len(), 3);
    assert!(
        nodes.iter().all(|node| node["tip"] == nodes[0]["tip"]),
        "{report}"
    );
    for counted in ["reorganisations", "disconnected_blocks"] {
        let of_nodes: u64 = nodes.iter().filter_map(|node| node[counted].as_u64()).sum();
        assert_eq!(report[counted], of_nodes, "{counted}: {report}");
    }
    assert_eq!(processes_in(&folder), Vec::<String>::new());
    fs::remove_dir_all(folder).expect("the folder was kept, because it was named");
}

type OutputLines = Lines<BufReader<ChildStdout>>;

/// A devnet of two nodes whose first payment is in a block. What it goes on to print must be kept
/// from going nowhere.
fn start_until_paid(folder: &Path) -> (Child, OutputLines) {
    let mut devnet = keel()
        .args(["devnet", "--nodes", "2", "--tps", "5", "--dir"])
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("keel runs");
    let output = devnet.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(output).lines();
    let is_paid = |line: String| line.starts_with("first payment: ");
    let seconds = lines.by_ref().map_while(Result::ok).position(is_paid);
    assert!(
        seconds.is_some_and(|seconds| seconds < 60),
        "no payment within a minute"
    );
    (devnet, lines)
}

#[test]
fn an_interrupted_devnet_stops_its_nodes_and_is_no_failure() {
    let folder = fresh_folder("devnet-interrupt");
    let (mut devnet, lines) = start_until_paid(&folder);
    assert_eq!(processes_in(&folder).len(), 2);
    kill_process(Pid::from_child(&devnet), Signal::INT).expect("the devnet runs");
    let status = devnet.wait().expect("the devnet ends");
    assert!(status.success(), "{status}");
    let said: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(
        said.iter().any(|line| line.starts_with("stopped after ")),
        "{said:?}"
    );
    assert_eq!(processes_in(&folder), Vec::<String>::new());
    fs::remove_dir_all(folder).expect("the folder was kept, because it was named");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the system needs its time")]
fn no_node_outlives_a_devnet_that_is_killed() {
    let folder = fresh_folder("devnet-orphans");
    let (mut devnet, _lines) = start_until_paid(&folder);
    assert_eq!(processes_in(&folder).len(), 2);
    devnet.kill().expect("the devnet runs");
    devnet.wait().expect("the devnet ends");
    for _ in 0..500 {
        if processes_in(&folder).is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(processes_in(&folder), Vec::<String>::new());
    fs::remove_dir_all(folder).expect("the folder was kept, because it was named");
}

#[test]
fn a_folder_in_use_is_refused_by_name() {
    let folder = fresh_folder("devnet-full");
    fs::create_dir_all(folder.join("something")).expect("the folder can be made");
    let output = keel().args(["devnet", "--dir"]).arg(&folder).output();
    let output = output.expect("keel runs");
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        message.contains("not empty") && message.contains("--dir"),
        "{message}"
    );
}
