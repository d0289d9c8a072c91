use super::*;

fn without_violations(seed: u64, options: &SwarmOptions) -> Verdict {
    let verdict = run(seed, options);
    let violations: Vec<String> = verdict
        .violations
        .iter()
        .map(Violation::to_string)
        .collect();
    assert!(
        violations.is_empty(),
        "seed {seed}: {}",
        violations.join("\n")
    );
    verdict
}

#[test]
fn twenty_seeds_hold() {
    let options = SwarmOptions {
        nodes: 8,
        safety: Span::from_secs(60),
        ..SwarmOptions::default()
    };
    let mut marks = Marks::default();
    let mut included = 0;
    for seed in 0..20 {
        let verdict = without_violations(seed, &options);
        marks.join(&verdict.marks);
        included += verdict.outcomes.included;
    }
    assert!(included > 100, "payments were made: {included}");
    for mark in [Mark::Kill, Mark::Blackout, Mark::Split, Mark::Reorganised] {
        let fired = marks.iter().any(|(name, _)| name == mark.name());
        assert!(fired, "{} never fired", mark.name());
    }
}

#[test]
fn the_same_seed_gives_the_same_events() {
    let options = SwarmOptions {
        nodes: 6,
        safety: Span::from_secs(30),
        ..SwarmOptions::default()
    };
    let once = |seed| {
        let verdict = run(seed, &options);
        (verdict.event_hash, verdict.happenings, verdict.marks)
    };
    assert_eq!(once(5), once(5));
    assert_ne!(once(5).0, once(6).0);
}

/// What is simpler in most runs hides nothing: with faults and adversaries too, each message goes
/// through both transports, each node verifies everything and threads do the jobs, and what
/// happens is the same.
#[test]
fn switches_do_not_change_what_happens_to_a_swarm() {
    for seed in [5, 12, 17] {
        let once = |is_simple| {
            let options = SwarmOptions {
                nodes: 6,
                safety: Span::from_secs(30),
                switches: Some(Switches {
                    plain_frames: is_simple,
                    memoised_verdicts: is_simple,
                    simulated_costs: is_simple,
                }),
                ..SwarmOptions::default()
            };
            let verdict = without_violations(seed, &options);
            let by_threads = verdict
                .marks
                .iter()
                .any(|(name, _)| name == Mark::Threads.name());
            assert_ne!(by_threads, is_simple);
            (verdict.event_hash, verdict.happenings, verdict.outcomes)
        };
        assert_eq!(once(true), once(false), "seed {seed}");
    }
}

#[test]
fn a_seed_is_stopped_at_an_event_and_a_node_of_it_is_followed_and_recorded() {
    use crate::node::{Inline, Recording};

    let options = SwarmOptions {
        nodes: 6,
        safety: Span::from_secs(30),
        ..SwarmOptions::default()
    };
    let look = |until| {
        let tell: Tell = Box::new(|_, _, _| {});
        Look {
            follow: Some((NodeIndex(0), tell)),
            until,
            progress: Some(Box::new(|_| {})),
        }
    };
    let whole = run(5, &options);
    let followed = run_under(5, &options, look(None));
    assert!(!followed.is_stopped);
    assert_eq!(
        (followed.event_hash, followed.marks),
        (whole.event_hash, whole.marks),
        "who looks on changes nothing"
    );
    // In the midst of the faults, while the core comes to one chain, and among the last questions.
    for until in [
        whole.happenings / 4,
        whole.happenings * 3 / 4,
        whole.happenings - 5,
    ] {
        let part = run_under(5, &options, look(Some(until)));
        assert!(part.is_stopped);
        assert_eq!(part.happenings, until);
        assert!(part.violations.is_empty(), "{:?}", part.violations);
        let again = run_under(5, &options, look(Some(until)));
        assert_eq!(part.event_hash, again.event_hash);
        if let Some(bytes) = part.recording {
            let recording = Recording::from_bytes(&bytes).unwrap();
            let mut runner = Inline::new(recording.reader());
            let replayed = recording.replay(None, &mut runner, &mut |_, _| {});
            assert!(replayed.is_ok(), "{replayed:?}");
        }
    }
    assert!(followed.recording.is_some());
}

#[test]
fn every_flaw_of_a_block_is_expected_by_itself() {
    let expected = expected_marks(None);
    for flaw in Flaw::ALL {
        assert!(expected.contains(&flaw.mark()), "{flaw:?}");
    }
    assert!(
        !expected.contains(&"invalid block:"),
        "any of them would do"
    );
    assert!(expected.contains(&"silent:"));
}
