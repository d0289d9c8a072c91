//! A node under a service manager: what it tells, and how it ends when it has much to do.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::running::{Folder, Site, keel_json, text};

/// What a service manager hears next. The wait is only bounded so that a test that fails ends.
fn hear(ear: &UnixDatagram) -> String {
    let mut buffer = [0; 1_024];
    let count = ear.recv(&mut buffer).expect("the node gives signs of life");
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

/// Hears until a message has this line.
fn hear_line(ear: &UnixDatagram, line: &str) {
    while !hear(ear).lines().any(|said| said == line) {}
}

#[test]
fn a_service_manager_hears_of_start_life_and_stop() {
    let folder = Folder::new();
    let ear = UnixDatagram::bind(folder.path("notify")).expect("a test can make a socket");
    ear.set_read_timeout(Some(Duration::from_secs(60)))
        .expect("it is a socket");
    let site = Site::init(folder.path("node"), &["--name", "service"]);
    let notify = folder.path("notify");
    let environment = [
        ("NOTIFY_SOCKET", text(&notify)),
        ("WATCHDOG_USEC", "300000"),
    ];
    let node = site.run_with(&[], &environment);
    assert!(hear(&ear).starts_with("EXTEND_TIMEOUT_USEC="));
    let ready = loop {
        let said = hear(&ear);
        if said.contains("READY=1") {
            break said;
        }
        assert!(said.contains("EXTEND_TIMEOUT_USEC="), "{said}");
    };
    assert!(ready.contains("STATUS=height 0, 0 peers, 0 transactions wait"));
    // It is ready: the RPC answers.
    assert_eq!(node.height(), 0);
    for _ in 0..3 {
        assert_eq!(hear(&ear), "WATCHDOG=1", "nothing is new");
    }
    node.signal(Signal::TERM);
    hear_line(&ear, "STOPPING=1");
    let (status, said) = node.wait();
    assert_eq!(status.code(), Some(0), "{said}");
}

/// Workers that search for blocks, a log that writes them, clients that ask all the time: the
/// process still ends by itself, before it would end itself with code 1.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "clients that wait for answers need threads"
)]
fn a_signal_stops_a_busy_node_cleanly_too() {
    let folder = Folder::new();
    let key = folder.path("a.key");
    let made = keel_json(&["key", "new", text(&key), "--prefix", "dkeel"]);
    let address = made["address"].as_str().expect("a key has an address");
    let site = Site::init(
        folder.path("node"),
        &[
            "--name",
            "busy",
            "--mine",
            address,
            "--hashrate",
            "10000000",
        ],
    );
    let mut node = site.run();
    node.wait_for("mined block");
    let asking: Vec<_> = (0..2)
        .map(|_| {
            let mut client = node.client();
            let ask = move || {
                let mut answers = 0_u32;
                while client.call("getblockchaininfo", &json!([])).is_ok() {
                    answers += 1;
                }
                answers
            };
            std::thread::spawn(ask)
        })
        .collect();
    node.wait_for("mined block");
    node.signal(Signal::TERM);
    let (status, said) = node.wait();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("stopped cleanly"), "{said}");
    for thread in asking {
        assert!(thread.join().expect("a client does not panic") > 0);
    }
    // It was a good end also for the log.
    let node = site.run();
    assert!(
        !node.said.contains("did not end as it should"),
        "{}",
        node.said
    );
}
