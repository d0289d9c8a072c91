//! `keel sim`: a world of some size, twice, with jobs done inline and by threads.

use crate::running::keel_json;

fn world(switch: &str) -> serde_json::Value {
    keel_json(&[
        "sim",
        "world10k",
        "--nodes",
        "300",
        "--duration",
        "3m",
        "--set",
        "world.miners=30",
        "--set",
        switch,
    ])
}

#[test]
fn three_hundred_nodes_come_to_the_same_however_their_jobs_are_done() {
    let inline = world("switches.simulated_costs=true");
    let threads = world("switches.simulated_costs=false");
    assert_eq!(inline["event_hash"], threads["event_hash"]);
    assert_eq!(inline["nodes"], 300);
    assert_eq!(inline["tips"], 1, "{inline}");
    assert!(inline["blocks"].as_u64() >= Some(2), "{inline}");
    assert_eq!(inline["accepted"], inline["transactions"], "{inline}");
    assert!(
        inline["block_delay_ms"]["p99"].as_u64() < Some(5_000),
        "{inline}"
    );
}
