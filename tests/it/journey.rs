//! One payment, from a key file to the logs of two nodes, and out again as proofs.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::support::{Running, error_of, free_address, fresh_folder, json_of, keel};

/// Hashes per second at which one miner of a dev chain finds a block about every half second.
const HASHRATE: &str = "30000";

/// Two nodes of one chain: the first takes payments, the second mines.
struct Pair {
    folder: PathBuf,
    payer: String,
}

impl Pair {
    fn make(name: &str) -> Self {
        let folder = fresh_folder(name);
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        let mut pair = Self {
            folder,
            payer: String::new(),
        };
        let key = json_of(
            keel()
                .args(["key", "new", "--prefix", "dkeel"])
                .arg(pair.path("payer.key")),
        );
        pair.payer = text(&key, "address");
        let first = json_of(
            keel()
                .args(["init", "--name", "journey", "--listen", &free_address(101)])
                .args(["--rpc", &free_address(101)])
                .args(["--allocate", &format!("{}=1000", pair.payer), "--dir"])
                .arg(pair.path("first")),
        );
        json_of(
            keel()
                .args([
                    "init",
                    "--listen",
                    &free_address(102),
                    "--rpc",
                    &free_address(102),
                ])
                .args(["--peers", &text(&first, "peer"), "--mine", &pair.payer])
                .args(["--hashrate", HASHRATE, "--genesis"])
                .arg(pair.path("first/genesis.toml"))
                .arg("--dir")
                .arg(pair.path("second")),
        );
        pair
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn start(&self, node: &str) -> Running {
        Running::start(&self.path(node), &["--segment-bytes", "8388608"])
    }

    fn rpc(&self, node: &str, words: &[&str]) -> Value {
        json_of(
            keel()
                .arg("rpc")
                .args(words)
                .arg("--dir")
                .arg(self.path(node)),
        )
    }

    /// Pays at the first node and waits until the payment is in a block.
    fn pay(&self, to: &str, amount: &str) -> String {
        let sent = json_of(
            keel()
                .args(["send", "--to", to, "--amount", amount, "--wait", "--key"])
                .arg(self.path("payer.key"))
                .arg("--dir")
                .arg(self.path("first")),
        );
        text(&sent, "txid")
    }
}

fn text(value: &Value, name: &str) -> String {
    let text = value[name].as_str();
    text.unwrap_or_else(|| panic!("{name}: {value}")).to_owned()
}

/// An account of nobody's.
const PAYEE: &str = "dkeel1daxfdatj5pq4eqxdz9dw63aznggacph7dr06mxp2vtg35uhes79qxv8d5d";

#[test]
fn a_payment_travels_is_mined_and_survives_kill_9_of_both_nodes() {
    let pair = Pair::make("journey");
    let (mut first, second) = (pair.start("first"), pair.start("second"));
    let txid = pair.pay(PAYEE, "12.5");
    let included = pair.rpc("first", &["gettransactionstatus", &txid]);
    assert_eq!(included["status"], "included", "{included}");
    let account = pair.rpc("first", &["getaccount", PAYEE]);
    assert_eq!(account["balance"], "1250000000", "{account}");
    // What the first node has, it has from the second: it does not mine.
    first.wait_for(&format!("block {}", text(&included, "block")));
    first.kill();
    second.kill();

    let first = Running::start(&pair.path("first"), &[]);
    let second = Running::start(&pair.path("second"), &["--mine", "off"]);
    for node in ["first", "second"] {
        let status = pair.rpc(node, &["gettransactionstatus", &txid]);
        assert_eq!(status["block"], included["block"], "{node}: {status}");
        let account = pair.rpc(node, &["getaccount", PAYEE]);
        assert_eq!(account["balance"], "1250000000", "{node}: {account}");
    }
    check_in_python(&pair, &txid);
    first.kill();
    second.kill();
    std::fs::remove_dir_all(&pair.folder).expect("nobody uses it any more");
}

/// Exports the chain and proofs of the payment and of the payee's balance, and has them checked
/// by the program and by a reader that knows nothing but the documents.
fn check_in_python(pair: &Pair, txid: &str) {
    let export = pair.path("chain.export");
    json_of(
        keel()
            .args(["db", "export"])
            .arg(&export)
            .arg("--dir")
            .arg(pair.path("second")),
    );
    let mut reader = Command::new("python3");
    reader
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reader/keel_reader.py"))
        .arg(&export);
    for (name, words) in [
        ("payment.proof", ["gettxproof", txid]),
        ("balance.proof", ["getaccountproof", PAYEE]),
    ] {
        let answer = pair.rpc("second", &words);
        let file = pair.path(name);
        let proof = keel::base::decode_hex(&text(&answer, "proof")).expect("it is hexadecimal");
        std::fs::write(&file, proof).expect("the file can be written");
        let header = text(&answer, "header");
        json_of(
            keel()
                .arg("verify-proof")
                .arg(&file)
                .args(["--header", &header]),
        );
        let other = "00".repeat(32);
        let refused = keel()
            .arg("verify-proof")
            .arg(&file)
            .args(["--header", &other])
            .output();
        let refused = refused.expect("keel runs");
        assert_eq!(refused.status.code(), Some(4), "{}", error_of(&refused));
        reader.arg(&file);
    }
    let read = reader.output().expect("Python 3 runs");
    assert!(read.status.success(), "{}", error_of(&read));
    let said = String::from_utf8_lossy(&read.stdout).into_owned();
    assert_eq!(
        said.lines()
            .filter(|line| line.contains(".proof: "))
            .count(),
        2,
        "{said}"
    );
}
