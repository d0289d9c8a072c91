//! The RPC of a running node, over sockets, by clients good and bad.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use keel::rpc::client::ClientError;
use serde_json::{Value, json};

use crate::running::{Folder, Node, Site};

fn node() -> (Folder, Site, Node) {
    let folder = Folder::new();
    let site = Site::init(folder.path("node"), &["--profile", "dev", "--name", "rpc"]);
    let node = site.run();
    (folder, site, node)
}

/// Sends bytes, says that no more come, and reads what the server says until it closes.
fn converse(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("the node listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("the node runs");
    stream.write_all(bytes).expect("the node runs");
    stream.shutdown(Shutdown::Write).expect("the node runs");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("the server closes the connection");
    String::from_utf8(answer).expect("answers are text")
}

fn cookie_header(site: &Site) -> String {
    let file = site.directory.join("rpc.cookie");
    keel::rpc::auth::Cookie::read(&file)
        .expect("the node runs")
        .header()
}

fn post(site: &Site, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST / HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Length: {}\r\n\r\n{body}",
        site.rpc_address(),
        cookie_header(site),
        body.len()
    )
}

#[test]
fn programs_are_answered() {
    let (_folder, _site, node) = node();
    let info = node.call("getblockchaininfo", json!([]));
    assert_eq!(
        (&info["chain"], &info["blocks"]),
        (&json!("rpc"), &json!(0))
    );
    let id = node.call("getbestblockhash", json!([]));
    assert_eq!(node.call("getblockhash", json!([0])), id);
    assert_eq!(node.call("getblockheader", json!([id]))["height"], json!(0));
    assert_eq!(node.call("getpeerinfo", json!([])), json!([]));
    assert_eq!(node.call("getrawmempool", json!([])), json!([]));
    let mut client = node.client();
    let calls = [
        ("getblockcount", json!([])),
        ("nothing", json!([])),
        ("uptime", json!([])),
    ];
    let results = client.call_batch(&calls).unwrap();
    assert_eq!(results[0], Ok(json!(0)));
    assert_eq!(results[1].as_ref().unwrap_err().word(), "method_not_found");
    assert!(results[2].is_ok());
    let refused = client.call("sendrawtransaction", &json!(["00"]));
    let Err(ClientError::Rpc(error)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((error.code, error.word()), (1_003, "transaction_malformed"));
    assert_eq!(client.get("/ready").unwrap().0, 200);
    assert!(
        client
            .get("/metrics")
            .unwrap()
            .1
            .contains("keel_chain_height 0\n")
    );
}

#[test]
fn requests_in_one_stream_are_answered_in_order() {
    let (_folder, site, _node) = node();
    let mut stream = String::new();
    for (id, method) in [
        (1, "getpeerinfo"),
        (2, "getblockcount"),
        (3, "getrawmempool"),
    ] {
        stream += &post(
            &site,
            &json!({ "jsonrpc": "2.0", "id": id, "method": method }),
        );
    }
    let answer = converse(site.rpc_address(), stream.as_bytes());
    let place = |id: u32| {
        answer
            .find(&format!("\"id\":{id}"))
            .expect("each has an answer")
    };
    assert!(place(1) < place(2) && place(2) < place(3), "{answer}");
}

#[test]
fn bad_requests_get_their_status_and_the_node_goes_on() {
    let (_folder, site, node) = node();
    let host = site.rpc_address();
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "stop" }).to_string();
    let length = call.len();
    let cookie = cookie_header(&site);
    for (status, request) in [
        (
            401,
            format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{call}"),
        ),
        (
            403,
            format!(
                "POST / HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example\r\nAuthorization: \
                 {cookie}\r\nContent-Length: {length}\r\n\r\n{call}"
            ),
        ),
        (
            403,
            format!(
                "POST / HTTP/1.1\r\nHost: evil.example\r\nAuthorization: \
                 {cookie}\r\nContent-Length: {length}\r\n\r\n{call}"
            ),
        ),
        (
            400,
            format!(
                "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nTransfer-Encoding: \
                 chunked\r\n\r\n0\r\n\r\n"
            ),
        ),
        (
            413,
            format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9999999\r\n\r\n"),
        ),
        (
            404,
            format!("GET /etc/passwd HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        ),
        (405, format!("BREW / HTTP/1.1\r\nHost: {host}\r\n\r\n")),
        (
            431,
            format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nX: {}\r\n\r\n",
                "x".repeat(9_000)
            ),
        ),
        (400, "\u{16}\u{3}\u{1}\u{2}\n\n\n\n".to_owned()),
    ] {
        let answer = converse(host, request.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}\n{answer}"
        );
    }
    assert_eq!(node.height(), 0);
}

#[test]
fn many_clients_do_not_shut_the_others_out() {
    let (_folder, site, node) = node();
    // More than the node serves at a time, none of which ever says a word.
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(site.rpc_address()).expect("the node listens"));
    }
    assert_eq!(node.height(), 0);
    drop(silent);
    assert_eq!(node.height(), 0);
}
