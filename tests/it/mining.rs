//! A miner outside: work from a running node, nonces of its own, and blocks brought back.

use std::process::{Command, Stdio};

use keel::base::{decode_hex, encode_hex};
use keel::crypto::sha256::search;
use keel::rpc::client::ClientError;
use serde_json::{Value, json};

use crate::running::{Folder, Node, Site, keel_json, text};

/// The wallet's address on a new chain, which nothing is known of there.
fn address(folder: &Folder) -> String {
    let key = folder.path("miner.key");
    let made = keel_json(&["key", "new", "--prefix", "dkeel", text(&key)]);
    made["address"]
        .as_str()
        .expect("a key has an address")
        .into()
}

fn text_of<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().expect("the field is text")
}

/// The block of a template, with its work done.
fn solved_block(template: &Value) -> String {
    let mut block = decode_hex(text_of(template, "block_hex")).expect("it is hex");
    let offset = template["nonce_offset"].as_u64().expect("a place") as usize;
    block[offset..offset + 8].copy_from_slice(&solve(template).to_le_bytes());
    encode_hex(&block)
}

/// Finds the nonce that the template's header needs.
fn solve(template: &Value) -> u64 {
    let header = decode_hex(text_of(template, "header_hex")).expect("it is hex");
    let target = decode_hex(text_of(template, "target")).expect("it is hex");
    let header = header.as_slice().try_into().expect("a work header");
    let target = target.as_slice().try_into().expect("a target");
    search(header, 0..u64::MAX, target).expect("a target can be met")
}

fn refusal(node: &Node, method: &str, params: Value) -> String {
    match node.client().call(method, &params) {
        Err(ClientError::Rpc(error)) => error.word().to_owned(),
        other => panic!("{method} {params}: {other:?}"),
    }
}

#[test]
fn a_miner_outside_mines_over_the_rpc() {
    let folder = Folder::new();
    let site = Site::init(folder.path("node"), &["--profile", "dev", "--name", "work"]);
    let node = site.run();
    let address = address(&folder);
    let template = node.call("getblocktemplate", json!({ "address": address }));
    assert_eq!(template["height"], 1);
    assert_eq!(template["nonce_offset"], 196);

    // Whoever asks for something better waits until there is.
    let longpollid = text_of(&template, "longpollid");
    let poll = Command::new(env!("CARGO_BIN_EXE_keel"))
        .args(["rpc", "--dir", site.dir(), "getblocktemplate"])
        .args([
            format!("address={address}"),
            format!("longpollid={longpollid}"),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program can be started");

    let nonce = solve(&template);
    let work = json!({ "template_id": template["template_id"], "nonce": nonce });
    let mined = node.call("submitwork", work.clone());
    assert_eq!(
        (&mined["status"], &mined["height"]),
        (&json!("accepted"), &json!(1))
    );
    assert_eq!(node.call("getbestblockhash", json!([])), mined["hash"]);
    assert_eq!(node.call("submitwork", work)["status"], "duplicate");

    let polled = poll.wait_with_output().expect("the client ends");
    let next: Value = serde_json::from_slice(&polled.stdout).expect("it prints the answer");
    assert_eq!(next["previousblockhash"], mined["hash"]);
    assert_eq!(next["height"], 2);

    let unknown = json!({ "template_id": "w0011223344556677", "nonce": 1 });
    assert_eq!(refusal(&node, "submitwork", unknown), "unknown-work");
    let late = json!({
        "template_id": next["template_id"],
        "nonce": 0,
        "time": next["maxtime"].as_u64().expect("a time") + 60_000,
    });
    // Without its work nothing else about a block is of interest.
    assert_eq!(refusal(&node, "submitwork", late), "high-hash");

    let proposal = format!("{}00000000", text_of(&next, "header_hex"));
    let propose = |data: &str| json!({ "mode": "proposal", "data": data });
    assert_eq!(
        node.call("getblocktemplate", propose(&proposal)),
        Value::Null
    );
    let mut bad = decode_hex(&proposal).expect("it is hex");
    bad[84] ^= 1;
    let judged = node.call("getblocktemplate", propose(&encode_hex(&bad)));
    assert_eq!(judged, "bad-state-root");
    assert_eq!(
        refusal(&node, "submitblock", json!([proposal])),
        "high-hash"
    );

    // The same chain elsewhere takes the block as it was mined here.
    let block = node.call("getblock", json!([1, 0]));
    let genesis = site.genesis();
    let other = ["--genesis", text(&genesis)];
    let other = Site::init(folder.path("other"), &other).run();
    let brought = other.call("submitblock", json!([block]));
    assert_eq!(
        (&brought["status"], &brought["hash"]),
        (&json!("accepted"), &mined["hash"])
    );
    assert_eq!(other.height(), 1);
}

#[test]
fn a_block_with_a_payment_is_proposed_submitted_and_proved_over_the_rpc() {
    let folder = Folder::new();
    let (key, payee) = (folder.path("payer.key"), address(&folder));
    let payer = keel_json(&["key", "new", "--prefix", "dkeel", text(&key)]);
    let allocation = format!("{}=10", text_of(&payer, "address"));
    let site = Site::init(
        folder.path("node"),
        &["--name", "work", "--allocate", &allocation],
    );
    let node = site.run();
    let pay = ["send", "--dir", site.dir(), "--key", text(&key)];
    let paid = keel_json(&[&pay[..], &["--to", &payee, "--amount", "1.5"]].concat());
    let txid = text_of(&paid, "txid").to_owned();

    let wanted = json!({ "address": payee, "block": 1 });
    let template = node.call("getblocktemplate", wanted);
    assert_eq!(template["transactions"], 1);
    let unsolved = json!({ "mode": "proposal", "data": template["block_hex"] });
    assert_eq!(node.call("getblocktemplate", unsolved), Value::Null);
    assert_eq!(
        refusal(&node, "gettxproof", json!([txid])),
        "not_found",
        "nothing is proved before it is in a block"
    );
    let mined = node.call("submitblock", json!([solved_block(&template)]));
    assert_eq!(mined["status"], "accepted");
    let status = node.call("gettransactionstatus", json!([txid]));
    assert_eq!(
        (&status["status"], &status["block"]),
        (&json!("included"), &mined["hash"])
    );

    let proof = node.call("gettxproof", json!([txid]));
    assert_eq!(proof["header"], mined["hash"]);
    assert_eq!(refusal(&node, "gettxproof", json!([txid, 0])), "not_found");
    // Who names the block gets the proof from any node that has it, however long it runs.
    let genesis = site.genesis();
    let other = Site::init(folder.path("other"), &["--genesis", text(&genesis)]);
    let block = node.call("getblock", json!([1, 0]));
    let elsewhere = other.run();
    elsewhere.call("submitblock", json!([block]));
    for node in [node, elsewhere] {
        for block in [json!(1), mined["hash"].clone()] {
            assert_eq!(node.call("gettxproof", json!([txid, block])), proof);
        }
    }
}
