use super::*;
use crate::sim::check::{Checker, Violation};
use crate::sim::observe::MarkAt;
use crate::sim::{Crash, DiskTrouble};

/// Six nodes that write much.
const BUSY: &str = "[world]\nnodes = 6\nminers = 2\nduration = \"60s\"\nsegment_bytes = 131072\n\
    [chain]\ninterval = \"2s\"\n[network]\nmatrix = { uniform = \"20ms\" }\n\
    [workload]\nrate = 8.0\naccounts = 30\nshared_accounts = 0\nat_first = 500\ndata = 900\n\
    data_bytes = 4000\n";

fn step(time: u64, deed: &str, node: usize, lasts: u64) -> String {
    format!("[[at]]\ntime = \"{time}s\"\ndo = \"{deed}\"\nnodes = [{node}]\nlasts = \"{lasts}s\"\n")
}

fn begun(text: &str) -> Run {
    let scenario = Scenario::read("test", text, &[]).expect("it is right");
    Run::new(&scenario, 1)
}

fn run_to(run: &mut Run, secs: u64) {
    while run.progress().passed < Span::from_secs(secs) {
        run.advance(Span::from_secs(1), u64::MAX);
    }
}

/// The marks with the seconds between which each was so.
fn marks(outcome: &Outcome) -> Vec<(&'static str, u64, u64)> {
    let since = |at: Time| at.since(outcome.seen.began()).as_millis().div_ceil(1_000);
    let of = |mark: &MarkAt| (mark.mark.0, since(mark.from), since(mark.until));
    outcome.seen.time_line().times().iter().map(of).collect()
}

#[test]
fn every_deed_is_done_and_undone_and_breaks_no_promise() {
    let mut text = format!("check = true\n{BUSY}");
    for (time, deed, node, lasts) in [
        (8, "disk-full", 0, 12),
        (10, "kill", 1, 4),
        (12, "power-cut", 2, 4),
        (14, "pause", 3, 4),
        (20, "slow-disk", 4, 10),
        (25, "split", 5, 5),
        (32, "split-one-way", 1, 5),
        (40, "isolate", 2, 5),
    ] {
        text.push_str(&step(time, deed, node, lasts));
    }
    let mut run = begun(&text);
    run_to(&mut run, 19);
    // Whatever its process came to on the full disk, nobody tries again to start it.
    let node = NodeIndex(0);
    run.world.crash(node, Crash::Kill);
    run_to(&mut run, 21);
    assert!(run.world.is_running(node), "its disk has room again");
    run_to(&mut run, 60);
    let outcome = run.finish();
    assert!(outcome.facts.is_checked);
    let violations = &outcome.facts.violations;
    assert!(violations.is_empty(), "{violations:?}");
    let marks = marks(&outcome);
    for mark in [
        ("kill", 10, 14),
        ("power-cut", 12, 16),
        ("pause", 14, 18),
        ("split", 25, 30),
        ("split-one-way", 32, 37),
        ("isolated", 40, 45),
    ] {
        assert!(marks.contains(&mark), "{mark:?}: {marks:?}");
    }
    // These begin when something hits them.
    for (name, begins, ends) in [("disk-full", 8, 20), ("slow-disk", 20, 30)] {
        let is_it = |(mark, from, until): &(&str, u64, u64)| {
            *mark == name && (begins..begins + 5).contains(from) && *until == ends
        };
        assert!(marks.iter().any(is_it), "{name}: {marks:?}");
    }
    assert_eq!(marks.len(), 8);
}

#[test]
fn a_step_that_ends_leaves_what_another_still_does() {
    let mut text = BUSY.to_owned();
    for (time, deed, node, lasts) in [
        (5, "kill", 0, 10),
        (8, "power-cut", 0, 20),
        (5, "disk-full", 1, 4),
        (10, "kill", 2, 10),
        (12, "disk-full", 2, 3),
        (20, "pause", 3, 20),
        (25, "kill", 3, 5),
    ] {
        text.push_str(&step(time, deed, node, lasts));
    }
    text.push_str("[[at]]\ntime = \"2s\"\ndo = \"slow-disk\"\nnodes = [1]\n");
    let mut run = begun(&text);
    run_to(&mut run, 11);
    let slow = |run: &Run| run.world.disk_hits(NodeIndex(1)).slow;
    let before = slow(&run);
    run_to(&mut run, 16);
    assert!(slow(&run) > before, "the disk is slow to the end");
    for node in [0, 2] {
        let node = NodeIndex(node);
        assert!(!run.world.is_running(node), "{node:?} is held down");
        assert_eq!(run.world.life(node), 1);
    }
    run_to(&mut run, 29);
    for node in [0, 2] {
        assert!(run.world.is_running(NodeIndex(node)));
    }
    let outcome = run_to_its_end(run);
    let marks = marks(&outcome);
    for mark in [
        ("kill", 5, 15),
        ("power-cut", 8, 28),
        ("pause", 20, 25),
        ("kill", 25, 30),
    ] {
        assert!(marks.contains(&mark), "{mark:?}: {marks:?}");
    }
    let slow = marks.iter().find(|(mark, ..)| *mark == "slow-disk");
    assert!(slow.is_some_and(|(_, _, until)| *until == 60), "{marks:?}");
    // That of a node that was down has hit nothing.
    let full = marks.iter().filter(|(mark, ..)| *mark == "disk-full");
    assert!(full.count() <= 1, "{marks:?}");
}

fn run_to_its_end(mut run: Run) -> Outcome {
    run_to(&mut run, 60);
    run.finish()
}

/// A process that ended over its disk, and is killed, is not started by its supervisor.
#[test]
fn a_supervisor_starts_nothing_that_a_step_keeps_down() {
    // Disks fail only where a step says that some may.
    let begin = || begun(&format!("{BUSY}{}", step(50, "disk-full", 1, 1)));
    let node = NodeIndex(0);
    let life_after = |is_killed: bool| {
        let mut run = begin();
        run_to(&mut run, 5);
        let failing = DiskTrouble {
            sync_fails: true,
            ..DiskTrouble::default()
        };
        run.world.trouble(node, failing);
        while run.world.is_running(node) && run.progress().passed < Span::from_secs(30) {
            run.advance(Span::from_millis(10), u64::MAX);
        }
        assert!(!run.world.is_running(node), "its disk failed");
        run.world.trouble(node, DiskTrouble::default());
        if is_killed {
            run.world.crash(node, Crash::Kill);
        }
        run.advance(Span::from_secs(5), u64::MAX);
        run.world.life(node)
    };
    assert_eq!(life_after(false), 2);
    assert_eq!(life_after(true), 1);
}

#[test]
fn a_run_that_is_stopped_tells_what_was_found_until_then() {
    let text = format!("check = true\n{BUSY}");
    let stopped = |found: bool| {
        let mut run = begun(&text);
        run_to(&mut run, 5);
        if found {
            run.watch.report(Violation {
                checker: Checker::Bounds,
                at: run.world.now(),
                node: None,
                what: "something".to_owned(),
            });
        }
        run.finish().facts
    };
    let found = stopped(true);
    assert_eq!(found.violations.len(), 1);
    assert!(found.is_checked);
    let nothing = stopped(false);
    assert!(nothing.violations.is_empty());
    assert!(!nothing.is_checked, "most was not asked");
}

#[test]
fn the_power_of_an_adversary_is_what_its_percent_says() {
    let of = |kind: &str, percent: u64| {
        let text = format!(
            "[world]\nnodes = 4\nminers = 2\nduration = \"200s\"\n[chain]\ninterval = \"2s\"\n\
             [[adversary]]\nkind = \"{kind}\"\npercent = {percent}\n"
        );
        let mut run = begun(&text);
        let mines = run.world.node_config(NodeIndex(4)).mining.is_some();
        assert_eq!(mines, kind == "selfish", "its behaviour makes its blocks");
        while run.advance(Span::from_secs(200), u64::MAX) {}
        let counts = run.world.observations().time_line().counts();
        let of_kind = counts
            .iter()
            .filter(|(mark, _)| mark.0.starts_with("invalid block") || mark.0.starts_with("time-"));
        of_kind.map(|(_, times)| *times).sum::<u64>()
    };
    let (little, much) = (of("invalid-blocks", 10), of("invalid-blocks", 100));
    assert!((2..25).contains(&little), "a tenth of 100 blocks: {little}");
    assert!((60..150).contains(&much), "as many as are found: {much}");
    let (little, much) = (of("time-twister", 20), of("time-twister", 200));
    assert!(4 * little < much, "{little} of {much}");
    of("selfish", 20);
}
