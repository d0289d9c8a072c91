//! `keel sim`: a world of some size, twice, simplified and whole; recordings.

use crate::running::{Folder, keel_json, text};

fn world(switches: &[&str]) -> serde_json::Value {
    let mut arguments = vec!["sim", "world10k", "--seed", "5"];
    arguments.extend(["--nodes", "300", "--duration", "3m"]);
    for set in ["world.miners=30"].iter().chain(switches) {
        arguments.extend(["--set", set]);
    }
    keel_json(&arguments)
}

#[test]
fn three_hundred_nodes_come_to_the_same_with_every_switch_and_with_none() {
    let simple = world(&[]);
    let whole = world(&[
        "switches.plain_frames=false",
        "switches.memoised_verdicts=false",
        "switches.simulated_costs=false",
    ]);
    assert_eq!(simple["event_hash"], whole["event_hash"]);
    assert_eq!(whole["switches"], serde_json::json!([]));
    assert_eq!(simple["nodes"], 300);
    assert_eq!(simple["tips"], 1, "{simple}");
    assert!(simple["blocks"].as_u64() >= Some(2), "{simple}");
    assert_eq!(simple["accepted"], simple["transactions"], "{simple}");
    assert!(
        simple["block_delay_ms"]["p99"].as_u64() < Some(5_000),
        "{simple}"
    );
}

#[test]
fn what_a_node_of_a_world_lived_through_is_told_again_from_its_recording() {
    let folder = Folder::new();
    let (world, again) = (folder.path("world"), folder.path("again"));
    let seen = keel_json(&[
        "sim",
        "first",
        "--duration",
        "2m",
        "--trace",
        "3",
        "--out",
        text(&world),
    ]);
    assert_eq!(seen["tips"], 1, "{seen}");
    let file = world.join("node.keelrec");
    let replayed = keel_json(&["replay", text(&file)]);
    let told = keel_json(&["sim", "--recording", text(&file), "--out", text(&again)]);
    assert_eq!(told["events"], replayed["last_event"], "{told}");
    // The newest block may be on its way to it.
    let behind = seen["height"].as_u64().zip(told["height"].as_u64());
    let behind = behind.map(|(world, node)| world - node);
    assert!(behind <= Some(1), "{told}");
    // Of two rivals a node knows the one that it heard of first: it looks at no other.
    let unknown = seen["transactions"]
        .as_u64()
        .zip(told["transactions"].as_u64());
    let unknown = unknown.map(|(world, node)| world - node);
    assert!(unknown <= Some(1), "{told}");
    assert!(again.join("report.svg").is_file());
    // It says which part of the node's life it is, and nothing that nobody knows of it.
    let recorded = &told["recorded"];
    assert_eq!(recorded["last_event"], replayed["last_event"], "{told}");
    assert!(
        recorded["state_hash"]
            .as_str()
            .is_some_and(|hash| hash.len() == 64)
    );
    assert!(told.get("seed").is_none() && told.get("switches").is_none());
    let nodes = std::fs::read_to_string(again.join("nodes.csv")).expect("it was written");
    assert_eq!(nodes.lines().count(), 2, "its peers are no node: {nodes}");
    // Half of it is as much of it as was asked for.
    let half = told["events"].as_u64().expect("a number") / 2;
    let until = half.to_string();
    let told = keel_json(&["sim", "--recording", text(&file), "--until", &until]);
    assert_eq!(told["events"], half, "{told}");
}

#[test]
fn a_seed_of_a_swarm_stops_at_an_event_and_a_node_of_it_is_lived_again() {
    let folder = Folder::new();
    let out = folder.path("out");
    let seed = ["sim", "swarm", "--seed", "3", "--nodes", "5"];
    let short = ["--duration", "20s", "--until"];
    let stopped = |until: &str, look: &[&str]| {
        let seen = keel_json(&[&seed[..], &short[..], &[until], look].concat());
        assert_eq!(seen["events"].to_string(), until, "{seen}");
        seen["event_hash"].clone()
    };
    let alone = stopped("3000", &[]);
    let look = ["--trace", "0", "--out", text(&out)];
    assert_eq!(
        alone,
        stopped("3000", &look),
        "who looks on changes nothing"
    );
    assert_ne!(alone, stopped("3001", &[]));
    keel_json(&["replay", text(&out.join("node.keelrec"))]);
}
