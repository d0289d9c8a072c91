//! Peers as operators meet them: bans that outlive the process, and a node without a file left.

use std::fs;
use std::net::TcpStream;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::running::{Folder, Site, keel_fails, keel_json, text};

#[test]
fn a_ban_closes_at_once_holds_over_a_restart_and_can_be_lifted() {
    let folder = Folder::new();
    let alice_site = Site::init(
        folder.path("alice"),
        &["--profile", "dev", "--name", "bans"],
    );
    let genesis = alice_site.genesis();
    let of_bob = ["--genesis", text(&genesis), "--peers", &alice_site.peer];
    let bob_site = Site::init(folder.path("bob"), &of_bob);
    let mut alice = alice_site.run();
    let mut bob = bob_site.run();
    alice.wait_for(": ready at ");
    bob.wait_for(": ready at ");
    let peers = alice.call("getpeerinfo", json!([]));
    let bob_here = &peers[0];
    assert_eq!(bob_here["inbound"], json!(true));
    assert_eq!(bob_here["discouraged"], json!(false));
    assert!(bob_here["bytesrecv"].as_u64() > Some(0), "{bob_here}");
    let key = bob_here["key"].as_str().expect("a key is text").to_owned();

    let dir = ["--dir", alice_site.dir()];
    keel_json(&[&["peers", "ban", &key, "--seconds", "5000"], &dir[..]].concat());
    bob.wait_for(": gone from ");
    assert_eq!(alice.call("getpeerinfo", json!([])), json!([]));

    // It is killed, not stopped: the ban was in its file before it was promised.
    drop(alice);
    let mut alice = alice_site.run();
    alice.wait_for("refused: it is banned");
    let bans = keel_json(&[&["peers", "bans"], &dir[..]].concat());
    assert_eq!(bans[0]["target"], json!(key));
    assert_eq!(bans[0]["ban_duration"], json!(5_000));
    keel_json(&[&["peers", "unban", &key], &dir[..]].concat());
    alice.wait_for(": ready at ");
    let (code, error) = keel_fails(&[&["peers", "unban", &key], &dir[..]].concat());
    assert_eq!(
        (code, error.contains("there is no such ban")),
        (4, true),
        "{error}"
    );

    // And by a call: the connection alone.
    let addr = alice.call("getpeerinfo", json!([]))[0]["addr"].clone();
    alice.call("disconnectnode", json!([addr]));
    alice.wait_for("the operator disconnected it");
    alice.wait_for(": ready at ");
}

#[test]
fn a_file_of_bans_that_can_not_be_read_is_named_with_its_line() {
    let folder = Folder::new();
    let site = Site::init(folder.path("node"), &["--profile", "dev", "--name", "bans"]);
    let file = site.directory.join("bans");
    fs::write(&file, "# by hand\n10.1.0.0/99 5 5\n").expect("the folder is there");
    let (code, error) = keel_fails(&["run", "--dir", site.dir()]);
    assert_eq!(code, 78, "{error}");
    assert!(error.contains("bans: line 2: \"10.1.0.0/99\""), "{error}");
}

#[test]
fn a_node_without_a_file_left_accepts_again_when_it_has_some() {
    let folder = Folder::new();
    let site = Site::init(
        folder.path("node"),
        &["--profile", "dev", "--name", "files"],
    );
    // It writes nothing down, so that it needs no file of its own later, which it could not do
    // without.
    let mut node = site.run_with(&["--record", "off"], &[]);
    assert_eq!(node.height(), 0);
    let pid = i32::try_from(node.process_id()).ok();
    let pid = pid.and_then(Pid::from_raw).expect("it runs");
    let open = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()));
    let open = open.expect("it is ours").count() as u64;
    let limit = |files: Option<u64>| Rlimit {
        current: files,
        maximum: files,
    };
    prlimit(Some(pid), Resource::Nofile, limit(Some(open + 4))).expect("it is ours");
    let clients: Vec<TcpStream> = (0..16)
        .map(|_| TcpStream::connect(site.rpc_address()).expect("the system queues them"))
        .collect();
    node.wait_for("no connection can be accepted");
    // The clients go, the files are back, and whoever waited in the queue is let in.
    drop(clients);
    assert_eq!(node.height(), 0);
}
