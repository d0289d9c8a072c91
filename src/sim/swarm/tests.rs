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
