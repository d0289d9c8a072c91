use super::*;

#[test]
fn every_rung_that_has_a_bar_is_reached() {
    let results = climb(Rungs::Quick);
    let missed: Vec<&RungResult> = results.iter().filter(|rung| !rung.passed()).collect();
    assert!(missed.is_empty(), "\n{}", Table(&results));
    assert!(results.len() > 40, "{}", results.len());
}

#[test]
fn a_figure_beyond_its_bar_is_a_miss() {
    let rung = RungResult {
        name: "a rung".to_owned(),
        source: "by hand",
        unit: "ms",
        expected: 200.0,
        got: 220.0,
        bar: Bar::Within(100),
    };
    assert!(rung.passed());
    let low = RungResult { got: 179.0, ..rung };
    assert!(!low.passed());
    let table = Table(&[low]).to_string();
    assert!(
        table.contains("| a rung | by hand | 200 ms | 179 | 10 % | MISSED |"),
        "{table}"
    );
}
