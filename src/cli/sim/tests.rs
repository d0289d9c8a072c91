use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    sim: SimArgs,
}

fn args(line: &[&str]) -> SimArgs {
    let line = std::iter::once("sim").chain(line.iter().copied());
    Line::try_parse_from(line).expect("a sound line").sim
}

fn wrong(line: &[&str]) -> String {
    let line = std::iter::once("sim").chain(line.iter().copied());
    Line::try_parse_from(line)
        .expect_err("no sound line")
        .to_string()
}

#[test]
fn every_embedded_scenario_reads_and_is_found_by_its_name() {
    for (name, _) in EMBEDDED {
        let read = read(name, &args(&[name])).expect("it reads");
        assert_eq!(read.name(), name);
        assert!(read.about().ends_with('.'), "{name} says what it is about");
        let with_ending = format!("{name}.toml");
        assert!(super::read(&with_ending, &args(&[name])).is_ok());
    }
}

#[test]
fn a_command_line_that_makes_no_sense_says_why() {
    assert!(wrong(&["first", "--seeds", "5..2"]).contains("greater than the last"));
    assert!(wrong(&["first", "--seeds", "5"]).contains("1..1000"));
    assert!(wrong(&["first", "--set", "nodes"]).contains("world.nodes=50"));
    assert!(wrong(&["first", "--duration", "soon"]).contains("10m"));
    assert!(wrong(&["first", "--seed", "1", "--seeds", "1..2"]).contains("cannot be used"));
    assert!(wrong(&["first", "--seeds", "0..18446744073709551615"]).contains("name fewer"));
    args(&[
        "first",
        "--seeds",
        "18446744073709551614..18446744073709551615",
    ]);
    for option in ["--ladder", "--list"] {
        for other in [
            ["--nodes", "3"],
            ["--seed", "3"],
            ["--seeds", "1..3"],
            ["--set", "a=b"],
            ["--out", "x"],
            ["--duration", "1m"],
            ["--trace", "0"],
            ["--until", "9"],
        ] {
            let error = wrong(&[&[option], &other[..]].concat());
            assert!(error.contains("cannot be used"), "{error}");
        }
    }
    assert!(wrong(&["--list", "--ladder"]).contains("cannot be used"));
    for (option, value) in [("--nodes", "0"), ("--set", "world.nodes=few")] {
        let line = args(&["swarm", option, value]);
        let error = read("swarm", &line).expect_err("there is no such world");
        assert_eq!(error.code, ExitCode::Usage, "{error}");
        assert!(error.message.starts_with("swarm: world.nodes: "), "{error}");
    }
    let error = read("nowhere", &args(&["nowhere"])).expect_err("there is none");
    assert!(error.message.contains("first"), "{error}");
}

#[test]
fn the_command_of_a_failure_sets_what_was_set() {
    let args = args(&[
        "swarm.toml",
        "--nodes",
        "7",
        "--set",
        "network.matrix={ uniform = 5 }",
        "--duration",
        "10m",
    ]);
    assert_eq!(
        command(&args, 42),
        "keel sim swarm.toml --seed 42 --set 'network.matrix={ uniform = 5 }' \
         --set world.nodes=7 --set world.duration=10m"
    );
}

#[test]
fn the_command_of_a_failure_is_one_that_a_shell_takes() {
    let args = args(&["my dir/it's.toml", "--set", "world.nodes=5"]);
    assert_eq!(
        command(&args, 1),
        "keel sim 'my dir/it'\\''s.toml' --seed 1 --set world.nodes=5"
    );
}

#[test]
fn every_machine_of_a_scenario_can_be_traced() {
    let scenario = read("adversaries", &args(&["adversaries"])).expect("it reads");
    let last = scenario.machines() - 1;
    assert!(last > scenario.nodes());
    let output = Output::new(false);
    assert!(one::teller(last, scenario.machines(), output).is_ok());
    assert!(one::teller(last + 1, scenario.machines(), output).is_err());
}
