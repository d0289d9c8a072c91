//! `keel bench`: what is measured is what it says, on a chain short enough for every test run.

use crate::running::{Folder, keel_fails, keel_json, text};

#[test]
fn a_new_node_catches_up_and_its_speed_is_told() {
    let folder = Folder::new();
    let parent = folder.path("");
    let told = keel_json(&[
        "bench",
        "sync",
        "--transactions",
        "2500",
        "--dir",
        text(&parent),
    ]);
    // 40 transactions fund the 2,500 accounts that pay.
    for (name, count) in [
        ("payments", 2_500),
        ("funding", 40),
        ("transactions", 2_540),
    ] {
        assert_eq!(told[name], count, "{name}: {told}");
    }
    assert_eq!(told["signatures"], 2_540);
    assert!(told["blocks"].as_u64() >= Some(2), "{told}");
    assert!(told["bytes"].as_u64() > Some(2_500 * 164), "{told}");
    assert_eq!(told["sync"]["tip"], told["serving_tip"]);
    assert_eq!(told["sync"]["tip"].as_str().map(str::len), Some(64));
    for (group, name) in [
        ("sync", "seconds"),
        ("sync", "seconds_to_first_answer"),
        ("sync", "transactions_per_second"),
        ("sync", "cpu_us_per_transaction"),
        ("limit", "signatures_per_second"),
        ("limit", "cpu_us_per_signature"),
    ] {
        assert!(
            told[group][name].as_f64() > Some(0.0),
            "{group} {name}: {told}"
        );
    }
    let held = |name: &str| told["memory"][name].as_f64().expect("a number");
    assert!(held("empty_rss_anon_bytes") > f64::from(1 << 18), "{told}");
    assert!(held("ratio") > 1.0, "{told}");
    let ratio = held("rss_anon_bytes") / held("empty_rss_anon_bytes");
    assert!((held("ratio") - ratio).abs() < 1e-9, "{told}");
    let seconds = |group: &str| told[group]["seconds"].as_f64().expect("a number");
    let ratio = told["ratio"].as_f64().expect("a number");
    assert!(
        (ratio - seconds("limit") / seconds("sync")).abs() < 1e-9,
        "{told}"
    );
    let left = std::fs::read_dir(parent).expect("the folder is there");
    assert_eq!(left.count(), 0, "what it made is removed");
}

#[test]
fn a_busy_node_answers_and_how_soon_is_told() {
    let folder = Folder::new();
    let parent = folder.path("");
    let told = keel_json(&[
        "bench",
        "responsiveness",
        "--seconds",
        "1",
        "--dir",
        text(&parent),
    ]);
    println!("{told:#}");
    for group in ["rpc", "pings", "announcements"] {
        assert!(told[group]["answers"].as_u64() > Some(0), "{group}: {told}");
    }
    assert!(told["refused_transactions"].as_u64() > Some(0), "{told}");
    assert!(told["workers"].as_u64() > Some(0), "{told}");
    // Every announcement was answered, and what was announced became the chain.
    assert_eq!(told["announcements"]["answers"], told["announced"]);
    assert_eq!(told["height"], told["announced"]);
    let left = std::fs::read_dir(parent).expect("the folder is there");
    assert_eq!(left.count(), 0, "what it made is removed");
}

#[test]
fn starts_on_an_empty_and_on_a_long_chain_are_compared() {
    let folder = Folder::new();
    let parent = folder.path("");
    let told = keel_json(&[
        "bench",
        "start",
        "--transactions",
        "2500",
        "--blocks",
        "20",
        "--rounds",
        "2",
        "--dir",
        text(&parent),
    ]);
    println!("{told:#}");
    assert_eq!(told["payments"], 2_500);
    for chain in ["empty", "full"] {
        assert_eq!(told[chain]["starts"], 2, "{told}");
        assert!(told[chain]["median_ms"].as_f64() > Some(0.0), "{told}");
        assert!(told[chain]["rss_anon_bytes"].as_u64() > Some(1 << 18));
        let each = told[chain]["each"].as_array().expect("a list");
        assert_eq!(each.len(), 2, "{told}");
        for start in each {
            assert!(start["read_bytes"].as_u64() > Some(1_000), "{told}");
            // So few blocks are too few for a checkpoint, so that every start executes them.
            let blocks = if chain == "full" {
                told["blocks"].as_u64()
            } else {
                Some(0)
            };
            assert_eq!(start["executed_blocks"].as_u64(), blocks, "{told}");
            assert_eq!(start["blocks_above_checkpoint"].as_u64(), blocks, "{told}");
        }
    }
    assert!(told["ratio"].as_f64() > Some(0.0), "{told}");
}

#[test]
fn a_measurement_that_can_not_be_made_says_why() {
    let (code, said) = keel_fails(&["bench", "sync", "--transactions", "0"]);
    assert_eq!(code, 2, "{said}");
    let (code, said) = keel_fails(&["bench", "sync", "--dir", "/proc"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("/proc/keel-bench-"), "{said}");
}
