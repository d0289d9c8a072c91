use proptest::prelude::*;

use super::*;
use crate::types::{AccountId, strategies};

const MINIMAL: &str = "profile = \"dev\"\nname = \"mine\"\ntime = 1700000000000\n";

fn error(text: &str) -> String {
    parse_genesis(text).unwrap_err().to_string()
}

fn with(lines: &str) -> String {
    format!("{MINIMAL}{lines}\n")
}

#[test]
fn a_profile_gives_every_default() {
    let file = parse_genesis(MINIMAL).unwrap();
    let wanted = Profile::Dev.genesis(EngineKind::Work, "mine", Millis(1_700_000_000_000));
    assert_eq!(file.genesis, wanted);
    assert_eq!(file.seeds, []);
}

#[test]
fn fields_lists_and_seeds_are_read_in_any_order() {
    let (rich, poor) = (AccountId([9; 32]), AccountId([3; 32]));
    let [rich_text, poor_text] = [rich, poor].map(|account| encode_address("dkeel", &account));
    let node = crate::types::NodeKey([5; 32]);
    let (high, low) = ("bb".repeat(32), "aa".repeat(32));
    let text = with(&format!(
        "maturity = 9\npow_bits = \"207fffff\"\nbase_fee_initial = \"18446744073709551615\"\n\
         reward_kind = \"tail\"\nreward_interval = 10\nreward_tail = 7\n\
         operators = [\"{high}\", \"{low}\"]\n\
         [[allocations]]\naccount = \"{rich_text}\"\namount = 5_000\n\
         [[allocations]]\namount = 1\naccount = \"{poor_text}\"\n\
         [network]\nseeds = [\"{node}@127.0.0.1:4000\"]\n[upgrades]\n"
    ));
    let file = parse_genesis(&text).unwrap();
    let genesis = &file.genesis;
    assert_eq!(
        genesis.allocations,
        [(poor, Amount(1)), (rich, Amount(5_000))]
    );
    assert_eq!(
        genesis
            .operators
            .iter()
            .map(|key| key.0[0])
            .collect::<Vec<_>>(),
        [0xaa, 0xbb]
    );
    assert_eq!(
        (genesis.rules.maturity, genesis.rules.base_fee_initial),
        (9, u64::MAX)
    );
    let tail = Reward::Tail {
        initial: 5_000_000_000,
        interval: 10,
        tail: 7,
    };
    assert_eq!(genesis.rules.reward, tail);
    let [seed] = file.seeds[..] else {
        panic!("one seed")
    };
    assert_eq!(seed.key, node);
    let without = text.split("[network]").next().unwrap();
    assert_eq!(parse_genesis(without).unwrap().genesis.id(), genesis.id());
}

#[test]
fn every_error_names_field_and_remedy() {
    let account = encode_address("keel", &AccountId([1; 32]));
    let dev = encode_address("dkeel", &AccountId([1; 32]));
    let twice = format!("[[allocations]]\naccount = \"{dev}\"\namount = 1\n").repeat(2);
    let foreign = format!("[[allocations]]\naccount = \"{account}\"\namount = 1");
    let misspelt = format!("[[allocations]]\naccount = \"{dev}\"\namont = 1\namount = 1");
    for (lines, field, says) in [
        ("maturty = 3", "maturty: ", "did you mean \"maturity\"?"),
        ("zzzzzzzzzz = 3", "zzzzzzzzzz: ", "fields are profile, "),
        ("maturity = 0", "maturity: ", "at least 1"),
        ("maturity = -1", "maturity: ", "-1 is negative"),
        ("maturity = 4294967296", "maturity: ", "at most 4294967295"),
        ("maturity = 1.5", "maturity: ", "whole number, not float"),
        ("maturity = \"many\"", "maturity: ", "digits only"),
        ("decimals = 256", "decimals: ", "at most 255"),
        ("engine = \"luck\"", "engine: ", "choose one"),
        (
            "pow_bits = \"1f04\"",
            "pow_bits: ",
            "write it like \"1f00ffff\"",
        ),
        ("pow_bits = \"1f000001\"", "pow_bits: ", "canonical"),
        (
            "min_stake = 5",
            "min_stake: ",
            "engine = \"work\"; remove the line",
        ),
        (
            "reward_tail = 5",
            "reward_tail: ",
            "\"constant\" does not use it",
        ),
        (
            "reward_kind = \"halving\"",
            "reward_interval: ",
            "is missing",
        ),
        ("operators = [\"aa\"]", "operators[0]: ", "64 hex digits"),
        ("operators = 5", "operators: ", "a list"),
        (&twice, "allocations: ", "twice; remove one"),
        (&foreign, "allocations[0].account: ", "begins with dkeel1"),
        (
            &misspelt,
            "allocations[0].amont: ",
            "did you mean \"amount\"?",
        ),
        (
            "[network]\nseeds = [\"x\"]",
            "network.seeds[0]: ",
            "keelnode1..@",
        ),
        (
            "[network]\nseed = []",
            "network.seed: ",
            "did you mean \"seeds\"?",
        ),
        (
            "[upgrades]\nsoon = 100",
            "upgrades.soon: ",
            "run a version that has it",
        ),
        ("maturity = ", "the file: ", "line 4"),
    ] {
        let said = error(&with(lines));
        assert!(
            said.starts_with(field) && said.contains(says),
            "{lines}\n{said}"
        );
    }
    assert!(error("").starts_with("profile: is missing; add profile = "));
    assert!(error("profile = \"dev\"\ntime = 1").starts_with("name: is missing; add it"));
    assert!(error("profile = \"dev\"\nname = \"a\"").starts_with("time: is missing; add it"));
    let stake = error("profile = \"consortium\"\nname = \"a\"\ntime = 1\npow_bits = \"207fffff\"");
    assert!(stake.starts_with("pow_bits: is no field of a chain with engine = \"stake\""));
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(genesis in strategies::genesis(), port in 1_u16..) {
        let seed = PeerAddress {
            key: crate::types::NodeKey([port as u8; 32]),
            socket: ([127, 0, 0, 1], port).into(),
        };
        let text = write_genesis(&genesis, &[seed]);
        let file = parse_genesis(&text).map_err(|error| {
            TestCaseError::fail(format!("{error}\n{text}"))
        })?;
        prop_assert_eq!(file.genesis, genesis);
        prop_assert_eq!(file.seeds, [seed]);
    }

    #[test]
    fn no_text_panics(text in "[a-z_=\\[\\]\". 0-9\n-]{0,200}") {
        let _ = parse_genesis(&text);
        let _ = parse_genesis(&with(&text));
    }
}
