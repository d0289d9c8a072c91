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
