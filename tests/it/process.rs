//! Starting, stopping, refusing: what an operator sees of a process.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use crate::running::{Folder, Node, Site, free_address, keel_fails, keel_json, text};

/// A new key, and its address on a dev chain.
fn new_key(folder: &Folder, name: &str) -> (String, String) {
    let file = text(&folder.path(name)).to_owned();
    let made = keel_json(&["key", "new", &file, "--prefix", "dkeel"]);
    (
        file,
        made["address"]
            .as_str()
            .expect("a key has an address")
            .to_owned(),
    )
}

fn site(folder: &Folder) -> Site {
    Site::init(folder.path("node"), &["--profile", "dev", "--name", "it"])
}

fn stop(node: Node) -> String {
    node.signal(Signal::TERM);
    let (status, said) = node.wait();
    assert_eq!(status.code(), Some(0), "{said}");
    said
}

/// A stop that takes longer than was promised is ended by the process itself, with code 1.
#[test]
fn a_signal_stops_a_node_cleanly_and_soon() {
    let folder = Folder::new();
    let site = site(&folder);
    for signal in [Signal::TERM, Signal::INT] {
        let node = site.run();
        assert_eq!(node.height(), 0);
        // It is no reason to stop.
        node.signal(Signal::HUP);
        assert_eq!(node.height(), 0);
        node.signal(signal);
        let (status, said) = node.wait();
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(said.contains("stopped cleanly"), "{said}");
        assert!(!said.contains("did not end as it should"), "{said}");
        assert!(!site.directory.join("rpc.cookie").exists());
    }
}

#[test]
fn the_rpc_stops_a_node_after_its_answer() {
    let folder = Folder::new();
    let site = site(&folder);
    let node = site.run();
    assert_eq!(node.call("stop", json!([])), json!("the node is stopping"));
    assert_eq!(node.wait().0.code(), Some(0));
}

#[test]
fn a_directory_has_one_process() {
    let folder = Folder::new();
    let site = site(&folder);
    let node = site.run();
    let (code, said) = keel_fails(&["run", "--dir", site.dir()]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("is in use by process"), "{said}");
    assert_eq!(node.height(), 0, "the first goes on");
}

#[test]
fn an_address_has_one_process() {
    let folder = Folder::new();
    let site = site(&folder);
    let _node = site.run();
    let other = Site::init(folder.path("other"), &["--name", "other"]);
    for (flag, port) in [("--listen", 5335), ("--rpc", 5336)] {
        let taken = format!("{}:{port}", site.address);
        let (code, said) = keel_fails(&["run", "--dir", other.dir(), flag, &taken]);
        assert_eq!(code, 1, "it may be free later: {said}");
        assert!(said.contains(&format!("can't listen on {taken}")), "{said}");
        assert!(said.contains(&flag[2..]), "it names the setting: {said}");
    }
    // Of the addresses of documentation (RFC 5737), so that no machine has it.
    let absent = ["--listen", "192.0.2.1:5335", "--rpc", "off"];
    let (code, said) = keel_fails(&[&["run", "--dir", other.dir()], &absent[..]].concat());
    assert_eq!(code, 1, "the network may give it yet: {said}");
}

/// A shell gives 1,024 open files at first, and some give less than a node needs.
#[test]
fn a_node_asks_the_system_for_the_files_that_it_may_open() {
    let folder = Folder::new();
    let site = site(&folder);
    for (inbound, wanted) in [("1000", 1_768), ("10", 778)] {
        let mut shell = Command::new("sh");
        let lowered = "ulimit -Sn 100 && exec \"$0\" \"$@\"";
        let keel = env!("CARGO_BIN_EXE_keel");
        shell.args(["-c", lowered, keel, "run", "--inbound", inbound]);
        let node = site.run_by(shell);
        let limits = format!("/proc/{}/limits", node.process_id());
        let limits = fs::read_to_string(limits).expect("a running process has limits");
        let files = limits.lines().find(|line| line.contains("open files"));
        let soft = files.and_then(|line| line.split_whitespace().nth(3));
        assert_eq!(soft, Some(wanted.to_string().as_str()), "{limits}");
        stop(node);
    }
}

#[test]
fn a_directory_of_another_chain_is_refused() {
    let folder = Folder::new();
    let site = site(&folder);
    stop(site.run());
    let other = Site::init(folder.path("other"), &["--name", "other"]);
    fs::copy(other.genesis(), site.genesis()).unwrap();
    let (code, said) = keel_fails(&["run", "--dir", site.dir()]);
    assert_eq!(code, 78, "{said}");
    assert!(
        said.contains("another chain") || said.contains("chain"),
        "{said}"
    );
}

/// Runs a node whose file was changed by `change`, which must be refused as configuration.
fn refused(file: &str, change: impl FnOnce(&Path), parts: &[&str]) {
    let folder = Folder::new();
    let site = site(&folder);
    change(&site.directory.join(file));
    let (code, said) = keel_fails(&["run", "--dir", site.dir()]);
    assert_eq!(code, 78, "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    assert_eq!(said.trim().lines().count(), 1, "one message: {said}");
}

fn append(line: &'static str) -> impl FnOnce(&Path) {
    move |path| {
        let mut text = fs::read_to_string(path).expect("a test can change its files");
        text.push_str(line);
        fs::write(path, text).expect("a test can change its files");
    }
}

fn replace(from: &'static str, to: &'static str) -> impl FnOnce(&Path) {
    move |path| {
        let text = fs::read_to_string(path).expect("a test can change its files");
        assert!(text.contains(from));
        fs::write(path, text.replacen(from, to, 1)).expect("a test can change its files");
    }
}

#[test]
fn a_wrong_file_is_named_with_its_field() {
    refused(
        "keel.toml",
        append("\nhashrat = 5\n"),
        &["keel.toml: hashrat: ", "did you mean hashrate?"],
    );
    refused(
        "keel.toml",
        append("\nhashrate = \"x\"\n"),
        &["keel.toml: hashrate: "],
    );
    refused(
        "keel.toml",
        append("\nmine = \"dkeel1x\"\n"),
        &["mine: ", "copy it again"],
    );
    refused(
        "keel.toml",
        append("\npeers = [\"x\"]\n"),
        &["keel.toml: peers: ", "KEY@HOST:PORT"],
    );
    refused(
        "keel.toml",
        append("\nsegment_bytes = 65536\n"),
        &["segment_bytes: ", "at least"],
    );
    refused(
        "keel.toml",
        |path| fs::remove_file(path).unwrap(),
        &["keel init"],
    );
    refused(
        "genesis.toml",
        replace("interval_ms", "intervall_ms"),
        &["genesis.toml: intervall_ms"],
    );
    refused(
        "genesis.toml",
        replace("interval_ms = 2000", "interval_ms = 0"),
        &["genesis.toml: interval_ms"],
    );
    refused(
        "genesis.toml",
        replace("\"work\"", "\"wark\""),
        &["genesis.toml: engine"],
    );
    refused(
        "genesis.toml",
        |path| fs::remove_file(path).unwrap(),
        &["genesis.toml: "],
    );
    refused(
        "node.key",
        replace("signing", "singing"),
        &["node.key: signing: "],
    );
    refused(
        "node.key",
        |path| fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap(),
        &["node.key: ", "mode 644", "chmod 600"],
    );
}

#[test]
fn commands_say_by_their_exit_code_what_kind_of_failure_it_was() {
    let folder = Folder::new();
    let (key, address) = new_key(&folder, "a.key");
    let site = site(&folder);
    assert_eq!(keel_fails(&["stat"]).0, 2);
    assert_eq!(
        keel_fails(&["init", "--name", "UPPER", "--dir", text(&folder.path("u"))]).0,
        2
    );
    let (code, said) = keel_fails(&["status", "--dir", site.dir()]);
    assert_eq!(code, 3, "{said}");
    assert!(
        said.contains("no node answers at") && said.contains("keel run"),
        "{said}"
    );
    assert_eq!(
        keel_fails(&["key", "new", &key, "--prefix", "dkeel"]).0,
        1,
        "never over a key"
    );
    assert_eq!(
        keel_fails(&["init", "--name", "it", "--dir", site.dir()]).0,
        1
    );
    let _node = site.run();
    let pay = [
        "send",
        "--key",
        &key,
        "--to",
        &address,
        "--dir",
        site.dir(),
        "--amount",
    ];
    let with = |amount: &'static str| [&pay[..], &[amount]].concat();
    let (code, said) = keel_fails(&with("1"));
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("has no account yet"), "{said}");
    let (code, said) = keel_fails(&with("1.123456789"));
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("8 digits after the point"), "{said}");
}

#[test]
fn an_accepted_payment_survives_kill_9() {
    let folder = Folder::new();
    let (key, address) = new_key(&folder, "a.key");
    let (_, payee) = new_key(&folder, "b.key");
    let allocation = format!("{address}=10");
    let site = Site::init(
        folder.path("node"),
        &["--name", "kill", "--allocate", &allocation],
    );
    let node = site.run();
    let pay = [
        "send",
        "--key",
        &key,
        "--to",
        &payee,
        "--amount",
        "1.5",
        "--dir",
        site.dir(),
    ];
    let txid = keel_json(&pay)["txid"]
        .as_str()
        .expect("it has an id")
        .to_owned();
    node.signal(Signal::KILL);
    assert_eq!(node.wait().0.code(), None);
    let node = site.run();
    // The journal's signatures are verified again, by a worker, before it waits as it did.
    let waits = |_: &u32| {
        let status = node.call("gettransactionstatus", json!([txid]));
        status["status"] == json!("waiting")
    };
    assert!(
        (0..20_000).any(|ask| waits(&ask)),
        "the payment is lost:\n{}",
        node.said
    );
    stop(node);
}

#[test]
fn a_payment_goes_from_one_process_into_a_block_of_another() {
    let folder = Folder::new();
    let (key, address) = new_key(&folder, "a.key");
    let (_, payee) = new_key(&folder, "b.key");
    let allocation = format!("{address}=10");
    let mining = [
        "--name",
        "pair",
        "--allocate",
        &allocation,
        "--mine",
        &address,
    ];
    let mining = [&mining[..], &["--hashrate", "1000000"]].concat();
    let miner = Site::init(folder.path("miner"), &mining);
    let genesis = miner.genesis();
    let joining = ["--genesis", text(&genesis), "--peers", &miner.peer];
    let other = Site::init(folder.path("other"), &joining);
    let mut first = miner.run();
    let mut second = other.run();
    second.wait_for("ready at");
    first.wait_for(&format!("ready at {}:", other.address));
    let pay = [
        "send", "--key", &key, "--to", &payee, "--amount", "1.5", "--wait",
    ];
    let paid = keel_json(&[&pay[..], &["--dir", other.dir()]].concat());
    assert_eq!(paid["status"]["status"], json!("included"), "{paid}");
    // The block came from the miner, and its proof holds under its header's id.
    let txid = paid["txid"].as_str().expect("it has an id");
    let proof = second.call("gettxproof", json!([txid]));
    let file = folder.path("proof");
    fs::write(&file, proof["proof"].as_str().expect("a proof is hex")).unwrap();
    let header = proof["header"].as_str().expect("a header has an id");
    let proved = keel_json(&["verify-proof", text(&file), "--header", header]);
    assert_eq!(proved["height"], paid["status"]["height"]);
    let (code, said) = keel_fails(&["verify-proof", text(&file), "--header", &"0".repeat(64)]);
    assert_eq!(code, 4, "{said}");
    let account = second.call("getaccount", json!([payee]));
    assert_eq!(account["balance"], json!("150000000"));
    stop(first);
    let export = |name: &str| {
        let file = folder.path(name);
        keel_json(&["db", "export", text(&file), "--dir", other.dir()]);
        fs::read(&file).unwrap()
    };
    // With the miner gone the chain stands still: the node and its log tell the same.
    let told = export("told.exp");
    assert!(told.starts_with(b"KEELEXP1"));
    stop(second);
    assert_eq!(export("read.exp"), told);
    let (code, said) = keel_fails(&[
        "db",
        "export",
        text(&folder.path("read.exp")),
        "--dir",
        other.dir(),
    ]);
    assert_eq!(code, 1, "{said}");
    assert_eq!(
        fs::read(folder.path("read.exp")).unwrap(),
        told,
        "a file that is there stays"
    );
    // Half a chain is no export.
    let segment = other.directory.join("blocks/00000000.seg");
    let mut log = fs::read(&segment).unwrap();
    let length = |at: usize| u32::from_le_bytes(told[at..at + 4].try_into().unwrap()) as usize;
    let at = 12 + length(8);
    let first = &told[at + 4..at + 4 + length(at)];
    let place = log.windows(first.len()).position(|it| it == first);
    log[place.expect("the log has the first block") + 9] ^= 1;
    fs::write(&segment, log).unwrap();
    let file = folder.path("half.exp");
    let (code, said) = keel_fails(&["db", "export", text(&file), "--dir", other.dir()]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("can't be read; run the node"), "{said}");
    assert!(!file.exists(), "nothing is left of it");
}

#[test]
fn strangers_at_the_door_do_not_disturb_a_node() {
    let folder = Folder::new();
    let site = site(&folder);
    let mut node = site.run();
    let door = format!("{}:5335", site.address);
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 48],
        &[0xff; 100_000],
        b"",
    ] {
        let mut stream = TcpStream::connect(&door).unwrap();
        // The node may have closed the connection before all of it was taken.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "a stranger gets no word");
    }
    assert_eq!(node.height(), 0);
    assert_eq!(node.call("getpeerinfo", json!([])), json!([]));
    // One who proves another key than the one that was dialled is no peer either.
    let wrong = Site::init(folder.path("wrong"), &["--genesis", text(&site.genesis())]);
    let key = wrong.peer.split('@').next().unwrap().to_owned();
    node.call("addnode", json!([format!("{key}@{door}")]));
    node.wait_for("not reached");
    assert_eq!(node.call("getpeerinfo", json!([])), json!([]));
}

#[test]
fn a_node_is_asked_where_it_serves_and_nobody_else_is() {
    let folder = Folder::new();
    let site = Site::init(folder.path("node"), &["--name", "where"]);
    let used = site.directory.join("rpc.address");
    let elsewhere = format!("{}:5336", free_address());
    let node = site.run_with(&["--rpc", &elsewhere], &[]);
    assert_eq!(
        keel_json(&["status", "--dir", site.dir()])["chain"]["chain"],
        json!("where")
    );
    assert_eq!(fs::read_to_string(&used).unwrap().trim(), elsewhere);
    node.signal(Signal::TERM);
    assert_eq!(node.wait().0.code(), Some(0));
    assert!(!used.exists());
    // With the directory mistyped, the node that has the default port is not asked.
    let (code, said) = keel_fails(&["status", "--dir", "nowhere"]);
    assert_eq!(code, 78, "{said}");
    assert!(
        said.starts_with("keel: nowhere: there is no node here; "),
        "{said}"
    );
}

#[test]
fn a_start_that_fails_says_why_and_leaves_nothing_behind() {
    let folder = Folder::new();
    let site = Site::init(folder.path("node"), &["--name", "fails"]);
    let (code, said) = keel_fails(&["run", "--dir", site.dir(), "--mine", "foo"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("keel: --mine: \"foo\": "), "{said}");
    for (option, value) in [("--listen", "nonsense"), ("--log", "loud")] {
        let (code, said) = keel_fails(&["run", "--dir", site.dir(), option, value]);
        assert_eq!(code, 2, "{said}");
        assert!(said.starts_with(&format!("keel: {option}: ")), "{said}");
    }
    // A file is wrong whatever stands beside it on the command line.
    let scenario = folder.path("wrong.toml");
    fs::write(&scenario, "about = 5\n").expect("the folder is there");
    let (code, said) = keel_fails(&["sim", text(&scenario), "--nodes", "5"]);
    assert_eq!(code, 78, "{said}");

    let taken = TcpListener::bind((site.address.as_str(), 5335)).expect("it is free");
    let (code, said) = keel_fails(&["run", "--dir", site.dir()]);
    assert_eq!(code, 1, "{said}");
    for file in ["rpc.cookie", "rpc.address"] {
        assert!(
            !site.directory.join(file).exists(),
            "{file} was left behind"
        );
    }
    drop(taken);

    fs::remove_file(site.directory.join("node.key")).expect("it is there");
    let (code, said) = keel_fails(&["run", "--dir", site.dir()]);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("node.key"), "{said}");
}
