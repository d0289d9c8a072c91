//! The fuzz targets over their committed seeds, and over seeds with a few bytes changed.

use std::fs;
use std::path::Path;

use keel::base::Rng;

#[expect(
    unreachable_pub,
    reason = "the fuzz package needs these functions public"
)]
#[path = "../../fuzz/src/lib.rs"]
mod bodies;

use bodies::TARGETS;

/// How many damaged forms of each seed are tried; a fuzzer tries millions.
const DAMAGED_FORMS: u64 = 100;

fn fuzz_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz"))
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = fuzz_folder().join("seeds").join(target);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    paths.sort();
    let read = |path| fs::read(path).expect("a seed can be read");
    paths.iter().map(read).collect()
}

#[test]
fn every_seed_passes() {
    for (name, run) in TARGETS {
        let seeds = seeds(name);
        assert!(seeds.len() > 3, "{name} has few seeds");
        for seed in seeds {
            run(&seed);
        }
    }
}

#[test]
fn damaged_seeds_pass() {
    for (name, run) in TARGETS {
        let mut rng = Rng::from_number(1).fork(name);
        for seed in seeds(name) {
            for _ in 0..DAMAGED_FORMS {
                let mut bytes = seed.clone();
                for _ in 0..=rng.below(3) {
                    damage(&mut bytes, &mut rng);
                }
                run(&bytes);
            }
        }
    }
}

/// Changes, removes, repeats or adds some bytes.
fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.below(bytes.len() as u64 + 1) as usize;
    let count = (1 + rng.below(8) as usize).min(bytes.len() - at);
    match rng.below(5) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..at + count)),
        2 => {
            let repeated = bytes[at..at + count].to_vec();
            bytes.splice(at..at, repeated);
        }
        3 => bytes.insert(at, rng.below(256) as u8),
        _ if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
        _ => bytes.push(0xff),
    }
}

#[test]
fn the_fuzz_package_has_every_target() {
    let manifest = fs::read_to_string(fuzz_folder().join("Cargo.toml")).expect("it is there");
    for (name, _) in TARGETS {
        let path = format!("path = \"targets/{name}.rs\"");
        assert!(manifest.contains(&path), "fuzz/Cargo.toml lacks {name}");
        let target = fs::read_to_string(fuzz_folder().join(format!("targets/{name}.rs")));
        assert!(target.is_ok_and(|text| text.contains(&format!("keel_fuzz::{name}(bytes)"))));
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}
