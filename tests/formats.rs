//! The formats from outside: a chain and proofs that were made in Python have to be what the
//! ledger here computes, and a reader in Python has to agree with both.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is missing"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use keel::chain::ledger::{BlockContext, Ledger};
use keel::codec::{Decode, Encode, Reader};
use keel::consensus::{HeaderRules, ParentView, genesis_header, validators_root};
use keel::crypto::ed25519::{self, PublicKey};
use keel::types::proof::{Proof, Proved, StateAnswer};
use keel::types::{
    AccountId, Amount, Block, Entry, Genesis, GenesisValidator, Header, History, Transaction,
    Weight, WtxId,
};
use serde_json::Value;

const EXPORT: &[u8] = include_bytes!("vectors/golden/chain.export");

fn golden() -> Value {
    serde_json::from_str(include_str!("vectors/golden/golden.json")).unwrap()
}

/// Genesis and blocks of the golden chain.
fn chain() -> (Genesis, Vec<Block>) {
    let mut input = Reader::new(EXPORT);
    input.constant(b"KEELEXP1", "magic").unwrap();
    let length = input.u32().unwrap() as usize;
    let genesis = Genesis::from_bytes(input.bytes(length).unwrap()).unwrap();
    let mut blocks = Vec::new();
    while input.remaining() > 0 {
        let length = input.u32().unwrap() as usize;
        blocks.push(Block::from_bytes(input.bytes(length).unwrap()).unwrap());
    }
    (genesis, blocks)
}

#[test]
fn the_golden_chain_keeps_every_rule_of_headers() {
    let golden = golden();
    let (genesis, blocks) = chain();
    assert_eq!(genesis.id().to_string(), golden["chain"]["genesis_id"]);
    let rules = HeaderRules::new(genesis.clone().into()).unwrap();
    let mut parent = genesis_header(&genesis, Ledger::genesis(&genesis).root());
    let (mut history, mut weight) = (History::new(), Weight(0));
    for (height, block) in blocks.iter().enumerate() {
        assert_eq!(parent.id().to_string(), golden["chain"]["ids"][height]);
        assert_eq!(parent.history_root, history.root());
        history.push(Entry::of_header(&parent));
        let header = &block.header;
        assert_eq!(header.parent_id, parent.id());
        assert_eq!(rules.check_isolated(header), Ok(()));
        let view = ParentView::from(&parent);
        assert_eq!(rules.check_in_context(header, &view), Ok(()));
        assert_eq!(u64::from(header.parent_weight), weight.0);
        let wtxids: Vec<WtxId> = block.transactions.iter().map(Transaction::wtxid).collect();
        assert_eq!(header.tx_root, Block::tx_root(&wtxids));
        for transaction in &block.transactions {
            let message = transaction.txid(&genesis.id());
            for (key, signature) in transaction.auth.signatures() {
                assert!(ed25519::verify(&key, message.as_bytes(), &signature));
            }
        }
        (parent, weight) = (header.clone(), block.weight());
    }
    assert_eq!(blocks.len(), 6);
    assert_eq!(parent.id().to_string(), golden["chain"]["ids"][6]);
}

#[test]
fn the_golden_chain_is_executed_to_the_same_state_roots() {
    let golden = golden();
    let (genesis, blocks) = chain();
    let mut ledger = Ledger::genesis(&genesis);
    assert_eq!(ledger.root().to_string(), golden["chain"]["state_roots"][0]);
    for block in &blocks {
        let context = BlockContext::of(&block.header);
        let executed = ledger.execute(&genesis.rules, &context, &block.transactions);
        let (after, _) =
            executed.unwrap_or_else(|fault| panic!("block {}: {fault}", context.height));
        ledger = after;
        assert_eq!(
            ledger.root(),
            block.header.state_root,
            "block {}",
            context.height
        );
    }
    let tip: &Header = &blocks[5].header;
    // The ledger makes the very bytes of the proofs that were made in Python.
    for name in ["account", "immature", "supply", "empty", "other"] {
        let bytes = std::fs::read(vectors(&format!("golden/state-{name}.proof"))).unwrap();
        let Proof::State(wanted) = Proof::from_bytes(&bytes).unwrap() else {
            panic!("{name} is a state proof");
        };
        let made = ledger.view(tip.id()).prove(tip, wanted.key).unwrap();
        assert_eq!(
            Proof::State(Box::new(made.clone())).to_bytes(),
            bytes,
            "{name}"
        );
        let present = matches!(made.answer, StateAnswer::Present(_));
        let proved = made.verify(&tip.id());
        assert!(matches!(proved, Ok(Proved::State { record, .. }) if record.is_some() == present));
    }
}

#[test]
fn the_root_over_validators() {
    let validators: Vec<GenesisValidator> = [(7, 0), (9, 1)]
        .into_iter()
        .map(|(first, more)| GenesisValidator {
            consensus_key: PublicKey(std::array::from_fn(|at| first + at as u8)),
            account: AccountId(std::array::from_fn(|at| first + 1 + at as u8)),
            stake: Amount(100_000_000_000 + more),
        })
        .collect();
    let wanted = &golden()["validators_root"];
    assert_eq!(validators_root(&validators).to_string(), *wanted);
}

fn vectors(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(name)
}

#[test]
fn a_reader_in_python_agrees() {
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reader/keel_reader.py");
    let run = Command::new("python3")
        .arg(reader)
        .arg("--self-check")
        .output()
        .expect("python3 is needed: install it with the system's packages");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let errors = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{said}{errors}");
    let (_, blocks) = chain();
    assert!(said.contains(&blocks[5].header.id().to_string()), "{said}");
}

#[test]
fn the_golden_files_are_what_their_script_writes() {
    let folder = std::env::temp_dir().join(format!("keel-golden-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let script = folder.join("make.py");
    std::fs::copy(vectors("golden/make.py"), &script).unwrap();
    let run = Command::new("python3").arg(&script).output().unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let read = |folder: &Path| -> BTreeMap<_, Vec<u8>> {
        let files = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
        let files = files.filter(|file| file.file_type().is_ok_and(|kind| kind.is_file()));
        files
            .map(|file| (file.file_name(), std::fs::read(file.path()).unwrap()))
            .collect()
    };
    let (made, kept) = (read(&folder), read(&vectors("golden")));
    std::fs::remove_dir_all(&folder).unwrap();
    for (name, bytes) in &made {
        assert!(kept.get(name) == Some(bytes), "{} is stale", name.display());
    }
    assert_eq!(made.len(), kept.len());
}
