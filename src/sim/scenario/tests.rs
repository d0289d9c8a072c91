use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::sim::NodeIndex;

fn wrong(text: &str) -> String {
    Scenario::read("test", text, &[])
        .expect_err("it is wrong")
        .to_string()
}

fn set(text: &str, key: &str, value: &str) -> Result<Scenario, ScenarioError> {
    Scenario::read("test", text, &[(key.to_owned(), value.to_owned())])
}

#[test]
fn every_embedded_scenario_says_what_it_is_about() {
    for (name, text) in EMBEDDED {
        let scenario = Scenario::read(name, text, &[]);
        let scenario = scenario.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!scenario.about().is_empty(), "{name}");
        assert!(text.starts_with('#'), "{name} begins with its comment");
        assert!(
            text.contains(&format!("keel sim {name}")),
            "{name} says how it is run"
        );
    }
}

#[test]
fn every_file_of_the_repository_is_in_the_binary() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/scenarios");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .expect("the scenarios")
        .map(|entry| {
            entry
                .expect("a file")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    files.sort();
    let mut names: Vec<String> = EMBEDDED
        .iter()
        .map(|(name, _)| format!("{name}.toml"))
        .collect();
    names.sort();
    assert_eq!(files, names);
}

#[test]
fn an_unknown_key_is_named_with_those_that_are_known() {
    let error = wrong("[world]\nnode = 3");
    assert!(
        error.starts_with("world.node: unknown field `node`"),
        "{error}"
    );
    assert!(error.contains("`nodes`"), "{error}");
    let error = wrong("[network]\nslow = true");
    assert!(error.starts_with("network.slow: unknown field"), "{error}");
    let error = wrong("[network.bandwidth.fixed]\nup = 5\ndown = 6\nmiddle = 7");
    assert!(error.starts_with("network.bandwidth"), "{error}");
    let error = wrong("[wrld]\nnodes = 3");
    assert!(
        error.starts_with("wrld: there is no such section"),
        "{error}"
    );
    assert!(error.contains("world"), "{error}");
    let error = wrong("[[at]]\ntime = \"1s\"\ndo = \"explode\"\nnodes = [1]");
    assert!(error.starts_with("at[0]"), "{error}");
    assert!(error.contains("`power-cut`"), "{error}");
    let error = wrong("[[at]]\ndo = \"kill\"\nnodes = [1]");
    assert_eq!(error, "at[0]: missing field `time`");
    let error = wrong("[network.bandwidth.fixed]\nup = 5000");
    assert_eq!(error, "network.bandwidth.fixed: missing field `down`");
    assert!(wrong("[world\n").contains("line 1"), "the line is told");
}

#[test]
fn a_value_out_of_its_bounds_is_named_with_them() {
    assert_eq!(
        wrong("[world]\nnodes = 0"),
        "world.nodes: is 0; it must be 1 to 60000"
    );
    let error = wrong("[world]\nduration = 600");
    assert!(error.starts_with("world.duration"), "{error}");
    let error = wrong("[world]\nduration = \"ten minutes\"");
    assert!(error.contains("\"90s\""), "{error}");
    let error = wrong("[network]\nloss_per_million = 999999");
    assert!(
        error.starts_with("network.loss_per_million: is 999999"),
        "{error}"
    );
    let error = wrong("[world]\nnodes = 3\n[[at]]\ntime = \"1s\"\ndo = \"kill\"\nnodes = [3]");
    assert_eq!(error, "at[0].nodes: there is no node 3; they are 0 to 2");
    let error = wrong("[[at]]\ntime = \"1s\"\ndo = \"kill\"");
    assert!(error.starts_with("at[0].nodes: give either"), "{error}");
    let error = wrong("[chain]\nmax_block_weight = 1");
    assert!(error.starts_with("chain"), "{error}");
}

#[test]
fn values_that_would_hang_or_break_a_run_are_named_with_their_bounds() {
    for (text, start) in [
        (
            "swarm = true\n[world]\nnodes = 3",
            "world.nodes: is 3; it must be 4 ",
        ),
        ("[world]\nsync = \"100000000h\"", "world.sync (us): is "),
        (
            "[world]\nduration = \"1000000d\"",
            "world.duration (ms): is ",
        ),
        (
            "[workload]\nbalance = 9223372036854775807",
            "workload.balance: is ",
        ),
        (
            "[chain]\nmax_block_weight = 2000000",
            "chain.max_block_weight: is 2000000; it must be 0 to 1044480",
        ),
        (
            "[world]\nsegment_bytes = 65536",
            "world.segment_bytes: is 65536",
        ),
        ("[workload]\nbalance = 0", "workload.balance: is 0"),
        (
            "swarm = true\n[workload]\nbalance = 9223372036854775807",
            "workload.balance: is ",
        ),
        ("[workload]\nrate = inf", "workload.rate: is inf"),
        ("[workload]\nrate = nan", "workload.rate: is NaN"),
        ("[workload]\nrate = 1e300", "workload.rate: is 1"),
        ("[workload]\nrate = -1", "workload.rate: is -1"),
        (
            "[workload]\nfresh = 5000",
            "workload.fresh: is 5000; it must be 0 to 1000",
        ),
        (
            "[workload]\naccounts = 4000000000",
            "workload.accounts: is ",
        ),
        ("[workload]\ndata_bytes = 20000", "workload.data_bytes: is "),
        (
            "swarm = true\n[faults]\nlate_permille = 5000",
            "faults.late_permille: is 5000",
        ),
        (
            "swarm = true\n[faults]\nkill = { every = \"1us\" }",
            "faults.kill.every (us): is 1",
        ),
        (
            "swarm = true\n[faults]\nkill = { every = \"1s\", lasts = \"1000000d\" }",
            "faults.kill.lasts (us): is ",
        ),
        (
            "[[adversary]]\nkind = \"selfish\"\npercent = 0",
            "adversary[0].percent: is 0",
        ),
    ] {
        let error = wrong(text);
        assert!(error.starts_with(start), "{text}: {error}");
    }
    let error = wrong("[[adversary]]\nkind = \"flood\"\npercent = 20");
    let begins = "adversary[0].percent: flood makes no use of power";
    assert!(
        error.starts_with(begins) && error.contains("selfish"),
        "{error}"
    );
    for sound in ["[workload]", "[workload]\nrate = 0", "[workload]\nrate = 5"] {
        Scenario::read("test", sound, &[]).expect("it is right");
    }
}

/// The greatest balances of which there can be a chain, and the smallest swarm.
#[test]
fn what_is_just_within_its_bounds_runs() {
    let most = crate::types::MAX_SUPPLY / 2 / 5;
    let text = format!(
        "{SMALL}[workload]\naccounts = 5\nshared_accounts = 0\nbalance = {most}\n\
         [[adversary]]\nkind = \"flood\"\ncount = 2\n"
    );
    let scenario = Scenario::read("test", &text, &[]).expect("it is right");
    assert!(run_to_end(&scenario, 1).seen.blocks().count() > 5);
    let text = "swarm = true\n[world]\nnodes = 4\nduration = \"1s\"\n[faults]";
    let scenario = Scenario::read("test", text, &[]).expect("it is right");
    let adversaries = |seed| {
        let outcome = run_to_end(&scenario, seed);
        assert_eq!(outcome.facts.nodes, 4);
        outcome.facts.violations
    };
    for seed in 0..8 {
        assert_eq!(adversaries(seed), [] as [String; 0], "seed {seed}");
    }
}

#[test]
fn what_a_file_is_called_changes_nothing_that_happens() {
    let hash = |name: &str| {
        let scenario = Scenario::read(name, SMALL, &[]).expect("any name will do");
        let outcome = run_to_end(&scenario, 1);
        assert_eq!(outcome.facts.scenario, name);
        outcome.facts.event_hash
    };
    assert_eq!(
        hash("first"),
        hash("My_own scenario, with a name that is rather long")
    );
}

#[test]
fn a_key_can_be_set_from_outside() {
    let text = "[world]\nnodes = 3\n[[at]]\ntime = \"1s\"\ndo = \"kill\"\nnodes = [0]";
    let nodes = set(text, "world.nodes", "9").expect("a number");
    assert_eq!(nodes.world.nodes, 9);
    let duration = set(text, "world.duration", "90s").expect("a text without quotes");
    assert_eq!(duration.duration(), Span::from_secs(90));
    let delay = set(text, "network.matrix", "{ uniform = \"20ms\" }").expect("a table");
    let uniform = crate::sim::network::Matrix::Uniform(Span::from_millis(20));
    assert_eq!(delay.network.matrix, uniform);
    let moved = set(text, "at.0.time", "5s").expect("an item of a list");
    assert_eq!(moved.steps.len(), 1);
    assert!(set(text, "at.1.time", "5s").is_err());
    assert!(set(text, "world.nodes.more", "5").is_err());
    assert!(set(text, "world.nodez", "5").is_err());
    assert!(set(text, "", "5").is_err());
}

#[test]
fn spans_have_units() {
    for (text, micros) in [
        ("7us", 7),
        ("1.5s", 1_500_000),
        ("250 ms", 250_000),
        ("10m", 600_000_000),
        ("0.25h", 900_000_000),
        ("1d", 86_400_000_000),
    ] {
        assert_eq!(read_span(text), Some(Span::from_micros(micros)), "{text}");
    }
    for text in [
        "",
        "5",
        "s",
        "-5s",
        "5 minutes",
        "1.s.",
        "99999999999999999999d",
        "1e3s",
    ] {
        assert_eq!(read_span(text), None, "{text}");
    }
}

#[test]
fn miners_together_find_a_block_per_interval() {
    for (miners, interval) in [(1, "1s"), (5, "10s"), (50, "60s"), (1, "1h")] {
        let text =
            format!("[world]\nnodes = 50\nminers = {miners}\n[chain]\ninterval = \"{interval}\"");
        let scenario = Scenario::read("test", &text, &[]).expect("it is right");
        let hashes = scenario.hashrate() * miners * u64::from(scenario.interval_ms()) / 1_000;
        assert_eq!(hashes, scenario.hashes());
        assert!(
            scenario.hashrate().is_multiple_of(HASHRATE_STEP),
            "slices have whole hashes"
        );
        assert!(hashes >= HASHES_LEAST);
        // The target's first 64 bits, times the hashes, are about 2^64.
        let CompactBits(bits) = scenario.target();
        let (exponent, mantissa) = (bits >> 24, u128::from(bits & 0xff_ffff));
        let first = mantissa << (8 * (exponent - 3) - 192);
        let whole = first * u128::from(hashes);
        assert!(whole.abs_diff(1 << 64) < 1 << 50, "{bits:#x} for {hashes}");
    }
}

#[test]
fn nodes_dial_by_their_topology() {
    let peers = |topology: &str, place| {
        let text = format!("[world]\nnodes = 5\nminers = 0\ndials = 2\ntopology = \"{topology}\"");
        let scenario = Scenario::read("test", &text, &[]).expect("it is right");
        scenario.peers(place, &mut Rng::from_number(3))
    };
    for topology in ["line", "ring", "star", "complete", "random"] {
        assert!(peers(topology, 0).is_empty(), "{topology}");
        assert_eq!(peers(topology, 1), [0], "{topology}");
    }
    assert_eq!(peers("line", 4), [3]);
    assert_eq!(peers("ring", 4), [3, 0]);
    assert_eq!(peers("star", 4), [0]);
    assert_eq!(peers("complete", 4), [0, 1, 2, 3]);
    let random = peers("random", 4);
    assert!(random.len() == 2 && random[0] != random[1] && random.iter().all(|peer| *peer < 4));
}

#[test]
fn adversaries_are_added_and_the_honest_are_checked() {
    let text = format!(
        "check = true\n{SMALL}[workload]\nrate = 1.0\naccounts = 5\nshared_accounts = 2\n\
         [[adversary]]\nkind = \"silent\"\ncount = 2\n\
         [[adversary]]\nkind = \"selfish\"\npercent = 20\n"
    );
    let scenario = Scenario::read("test", &text, &[]).expect("it is right");
    let outcome = run_to_end(&scenario, 1);
    assert_eq!(outcome.facts.nodes, 7);
    assert!(outcome.facts.is_checked);
    assert!(
        outcome.facts.violations.is_empty(),
        "{:?}",
        outcome.facts.violations
    );
    assert!(outcome.seen.transactions().count() > 5);
    let error = wrong("[[adversary]]\nkind = \"evil\"");
    assert!(
        error.starts_with("adversary[0]") && error.contains("selfish"),
        "{error}"
    );
}

const SMALL: &str = "[world]\nnodes = 4\nminers = 2\nduration = \"30s\"\n\
    [chain]\ninterval = \"2s\"\n[network]\nmatrix = { uniform = \"20ms\" }\n";

#[test]
fn a_run_is_told_by_its_file_and_seed() {
    let scenario = Scenario::read("test", SMALL, &[]).expect("it is right");
    let once = |seed, slice| {
        let mut run = Run::new(&scenario, seed);
        while run.advance(slice, u64::MAX) {}
        let outcome = run.finish();
        (
            outcome.facts.event_hash,
            outcome.facts.events,
            outcome.seen.blocks().count(),
        )
    };
    let whole = once(3, Span::from_secs(100));
    assert_eq!(whole, once(3, Span::from_millis(7)), "whatever the slices");
    assert_ne!(whole.0, once(4, Span::from_secs(100)).0);
    assert!(whole.2 >= 5, "blocks are found: {}", whole.2);
}

#[test]
fn what_the_author_wrote_happens_at_its_time_and_ends() {
    let text = format!(
        "{SMALL}[[at]]\ntime = \"5s\"\ndo = \"split\"\nnodes = [0, 1]\nlasts = \"10s\"\n\
         [[at]]\ntime = \"6s\"\ndo = \"power-cut\"\nnodes = [2]\nlasts = \"3s\"\n\
         [[at]]\ntime = \"8s\"\ndo = \"slow-disk\"\npercent = 50\n"
    );
    let scenario = Scenario::read("test", &text, &[]).expect("it is right");
    let outcome = run_to_end(&scenario, 1);
    let line = outcome.seen.time_line();
    let times: Vec<(u64, u64, &str, Option<u32>)> = line
        .times()
        .iter()
        .map(|mark| {
            let since = |at: crate::base::Time| at.since(outcome.seen.began()).as_millis();
            (since(mark.from), since(mark.until), mark.mark.0, mark.node)
        })
        .collect();
    assert!(times.contains(&(5_000, 15_000, "split", None)), "{times:?}");
    assert!(
        times.contains(&(6_000, 9_000, "power-cut", Some(2))),
        "{times:?}"
    );
    let slow = times.iter().filter(|(from, until, mark, _)| {
        (8_000..16_000).contains(from) && (*until, *mark) == (30_000, "slow-disk")
    });
    assert_eq!(
        slow.count(),
        2,
        "half of four nodes, until the end: {times:?}"
    );
    let heights = outcome.seen.blocks().heights();
    assert!(
        heights.2.0 - heights.0.0 <= 2,
        "the sides came together: {heights:?}"
    );
}

#[test]
fn a_followed_node_is_told_of_and_its_recording_replays() {
    let scenario = Scenario::read("test", SMALL, &[]).expect("it is right");
    let mut run = Run::new(&scenario, 1);
    let told = Rc::new(Cell::new((0, 0)));
    let tell = Rc::clone(&told);
    run.follow(
        NodeIndex(2),
        Box::new(move |_, _, line| {
            let (inputs, outputs) = tell.get();
            let is_input = line.starts_with("<-");
            tell.set((inputs + u32::from(is_input), outputs + u32::from(!is_input)));
        }),
    );
    while run.advance(Span::from_secs(1), u64::MAX) {}
    let (inputs, outputs) = told.get();
    assert!(inputs > 20 && outputs > 20, "{inputs} {outputs}");
    let outcome = run.finish();
    let alone = run_to_end(&scenario, 1).facts.event_hash;
    assert_eq!(
        outcome.facts.event_hash, alone,
        "who looks on changes nothing"
    );
    let bytes = outcome.recording.expect("it was quiet at some time");
    let recording = crate::node::Recording::from_bytes(&bytes).expect("a recording");
    let mut runner = crate::node::Inline::new(recording.reader());
    let replayed = recording.replay(None, &mut runner, &mut |_, _| {});
    assert!(replayed.is_ok(), "{:?}", replayed.err());
}

#[test]
fn a_run_stops_at_an_event() {
    let scenario = Scenario::read("test", SMALL, &[]).expect("it is right");
    let mut run = Run::new(&scenario, 1);
    while run.advance(Span::from_secs(1), 500) {}
    assert_eq!(run.progress().events, 500);
    assert!(run.progress().passed < scenario.duration());
}

#[test]
fn a_swarm_leaves_to_the_seed_what_its_file_does_not_say() {
    let text = "swarm = true\n[world]\nnodes = 5\nduration = \"5s\"\n\
                [faults]\nkill = { every = \"2s\", lasts = \"1s\" }";
    let scenario = Scenario::read("test", text, &[]).expect("it is right");
    let faults = scenario.faults.clone().expect("they are given");
    assert_eq!(faults.kill.every, Span::from_secs(2));
    assert!(
        scenario.expected_marks().is_empty(),
        "only kills are asked for"
    );
    let outcome = run_to_end(&scenario, 3);
    assert_eq!((outcome.facts.nodes, outcome.facts.seed), (5, 3));
    assert!(
        outcome.facts.violations.is_empty(),
        "{:?}",
        outcome.facts.violations
    );
    assert!(outcome.seen.blocks().count() > 0);
    let samples = outcome.seen.series().samples();
    let last = samples.last().expect("there are some");
    assert_eq!(
        (last.at, last.heights),
        (outcome.facts.end, outcome.seen.blocks().heights())
    );
    assert!(samples[1].at.since(samples[0].at) < Span::from_secs(3));
    assert_eq!(
        outcome.facts.event_hash,
        run_to_end(&scenario, 3).facts.event_hash
    );

    let drawn = Scenario::read("test", "swarm = true", &[]).expect("it is right");
    assert_eq!(drawn.expected_marks(), expected_marks(None));
    // What a switch that is set rules out is not waited for; what it brings is.
    let set = "swarm = true\n[switches]\nplain_frames = true\nsimulated_costs = false";
    let set = Scenario::read("test", set, &[]).expect("it is right");
    let (all, expected) = (expected_marks(None), set.expected_marks());
    let missing: Vec<_> = all.iter().filter(|mark| !expected.contains(mark)).collect();
    assert_eq!(missing, [&"sealed-frames", &"own-verdicts"]);
    let error = wrong("swarm = true\n[chain]\ninterval = \"1s\"");
    assert!(error.starts_with("chain: is drawn"), "{error}");
    let error = wrong("swarm = true\n[world]\nminers = 1");
    assert!(error.starts_with("world.miners"), "{error}");
    let error = wrong("swarm = true\n[faults]\nkill = { evry = \"1s\" }");
    assert!(error.starts_with("faults.kill.evry"), "{error}");
    let error = wrong("[faults]\nkill = { every = \"1s\" }");
    assert!(error.contains("swarm = true"), "{error}");
}
