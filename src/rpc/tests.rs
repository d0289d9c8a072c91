//! Calls as programs make them, without a loop: a desk, a chain of one block, and the node's
//! replies given by hand.

use std::sync::Arc;

use serde_json::{Value, json};

use super::auth::Cookie;
use super::methods::METHODS;
use super::{Facts, RpcError, RpcService};
use crate::base::{Time, decode_hex, encode_hex};
use crate::chain::mempool::{FeeAdvice, Leaving};
use crate::chain::{ChainState, TransactionFault};
use crate::codec::{Decode, Encode};
use crate::crypto::ed25519::SecretKey;
use crate::node::{CallError, Published, Question, Reply, TransactionStatus};
use crate::reactor::http::{HttpRequest, Method, Status};
use crate::reactor::{ExchangeId, LooseDesk, Saved, Service};
use crate::store::Lsn;
use crate::types::proof::{Proof, Proved};
use crate::types::{
    AccountId, Amount, Block, BlockId, EngineKind, Genesis, Height, Millis, NodeId, NodeKey, Nonce,
    Op, Profile, TxId, Uint256, WtxId, encode_address,
};
use crate::wallet::Payment;

mod network;

const EXCHANGE: ExchangeId = ExchangeId(9);

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

fn genesis() -> Genesis {
    let mut genesis = Profile::Dev.genesis(EngineKind::Work, "rpc", Millis(1_000));
    genesis.allocations = vec![(Payment::payer(&key()), Amount(500))];
    genesis
}

struct Caller {
    service: RpcService,
    desk: LooseDesk,
}

impl Caller {
    fn new(cookie: Option<Cookie>) -> Self {
        let genesis = genesis();
        let state = ChainState::genesis(&genesis);
        let mut desk = LooseDesk::default();
        desk.published = Some(Arc::new(Published {
            ready: true,
            disk_full: false,
            tip: state.id,
            header: state.header.clone(),
            work: Uint256::ONE,
            state: state.ledger.view(state.id),
            best_header: Height(0),
            checkpoint: Height(0),
            executed: 0,
            peers: 0,
            mempool_count: 0,
            mempool_bytes: 0,
            mempool_memory: 0,
            mempool_limit: 1 << 28,
            mempool_floor: 100,
            next_base_fee: 875,
        }));
        let facts = Facts {
            genesis_id: genesis.id(),
            genesis_block: state.id,
            genesis: Arc::new(genesis),
            node_key: NodeKey([1; 32]),
            node_id: NodeId([2; 32]),
            listen: vec!["127.0.0.1:5335".parse().unwrap()],
            agent: "keel/test".into(),
            started: Time::EPOCH,
        };
        let service = RpcService::new(facts, cookie);
        Self { service, desk }
    }

    fn request(&mut self, method: Method, path: &str, authorization: Option<String>, body: &str) {
        let request = HttpRequest {
            method,
            path: path.into(),
            authorization,
            body: body.as_bytes().to_vec(),
        };
        self.service
            .request(EXCHANGE, request, &mut self.desk.desk());
    }

    fn post(&mut self, body: &Value) {
        self.request(Method::Post, "/", None, &body.to_string());
    }

    /// The one answer that is there, when queries are done.
    fn response(&mut self) -> (Status, String) {
        for (query, work) in self.desk.take_queries() {
            self.service.queried(query, work(), &mut self.desk.desk());
        }
        let mut responses = self.desk.take_responses();
        assert_eq!(responses.len(), 1, "one answer for one request");
        let (exchange, response) = responses.remove(0);
        assert_eq!(exchange, EXCHANGE);
        (response.status, String::from_utf8(response.body).unwrap())
    }

    fn answer(&mut self) -> Value {
        let (status, body) = self.response();
        assert_eq!(status, Status::Ok, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    fn start(&mut self, method: &str, params: Value) {
        self.post(&json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }));
    }

    /// The result of a call that needs no node.
    fn call(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
        self.start(method, params);
        let answer = self.answer();
        assert_eq!(answer["id"], json!(1));
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(RpcError::from_json(&answer["error"]).unwrap()),
        }
    }

    /// The node replies to its one open question.
    fn reply(&mut self, wanted: &Question, reply: Result<Reply, CallError>) {
        let questions = self.desk.take_questions();
        assert_eq!(questions.len(), 1);
        assert_eq!(questions[0].1, *wanted);
        self.service
            .answered(questions[0].0, reply, &mut self.desk.desk());
    }

    fn address(&self) -> String {
        encode_address("dkeel", &Payment::payer(&key()))
    }
}

#[test]
fn reads_come_from_what_is_published() {
    let mut caller = Caller::new(None);
    let address = caller.address();
    assert_eq!(caller.call("getblockcount", json!([])), Ok(json!(0)));
    let info = caller.call("getblockchaininfo", Value::Null).unwrap();
    assert_eq!(
        (&info["chain"], &info["hrp"], &info["decimals"]),
        (&json!("rpc"), &json!("dkeel"), &json!(8))
    );
    let account = caller.call("getaccount", json!([address])).unwrap();
    assert_eq!(
        (&account["balance"], &account["exists"]),
        (&json!("500"), &json!(true))
    );
    let stranger = encode_address("dkeel", &AccountId([9; 32]));
    let account = caller
        .call("getaccount", json!({ "address": stranger }))
        .unwrap();
    assert_eq!(
        (&account["balance"], &account["exists"]),
        (&json!("0"), &json!(false))
    );
    let supply = caller.call("getsupply", json!([])).unwrap();
    assert_eq!(
        (&supply["issued"], &supply["accounts"]),
        (&json!("500"), &json!("500"))
    );
    assert!(
        caller.desk.take_questions().is_empty(),
        "the node was not asked"
    );
}

#[test]
fn before_the_log_is_read_calls_say_so() {
    let mut caller = Caller::new(None);
    caller.desk.published = None;
    let error = caller.call("getblockcount", json!([])).unwrap_err();
    assert_eq!((error.code, error.word()), (1_005, "starting"));
    caller.request(Method::Get, "/ready", None, "");
    assert_eq!(caller.response().0, Status::Unavailable);
}

#[test]
fn an_account_proof_verifies_under_the_tip() {
    let mut caller = Caller::new(None);
    let stranger = encode_address("dkeel", &AccountId([9; 32]));
    for (address, is_there) in [(caller.address(), true), (stranger, false)] {
        let answer = caller.call("getaccountproof", json!([address])).unwrap();
        let bytes = decode_hex(answer["proof"].as_str().unwrap()).unwrap();
        let header: BlockId = answer["header"].as_str().unwrap().parse().unwrap();
        match Proof::from_bytes(&bytes).unwrap().verify(&header).unwrap() {
            Proved::State { record, .. } => assert_eq!(record.is_some(), is_there),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn wrong_calls_name_what_is_wrong() {
    let mut caller = Caller::new(None);
    let address = caller.address();
    let main_net = encode_address("keel", &AccountId([9; 32]));
    for (method, params, code, part) in [
        (
            "getblokcount",
            json!([]),
            -32_601,
            "did you mean getblockcount?",
        ),
        ("nothing", json!([]), -32_601, "help lists them all"),
        (
            "getblockcount",
            json!([1]),
            -32_602,
            "1 parameters given, at most 0",
        ),
        ("getaccount", json!([]), -32_602, "address is missing"),
        (
            "getaccount",
            json!([5]),
            -32_602,
            "address: a string is needed",
        ),
        (
            "getaccount",
            json!([main_net]),
            -32_602,
            "must begin with \"dkeel1\"",
        ),
        (
            "getaccount",
            json!({ "adress": address }),
            -32_602,
            "did you mean address?",
        ),
        (
            "getblockhash",
            json!([-1]),
            -32_602,
            "height: a whole number",
        ),
        (
            "getblockhash",
            json!(["1"]),
            -32_602,
            "height: a whole number",
        ),
        ("getblock", json!(["zz"]), -32_602, "block: "),
        ("getblock", json!([0, 2]), -32_602, "verbosity: 0 or 1"),
        (
            "sendrawtransaction",
            json!(["abc"]),
            -32_602,
            "transaction: 3 hex digits",
        ),
        (
            "addnode",
            json!(["127.0.0.1:1"]),
            -32_602,
            "peer: a peer is written KEY@HOST:PORT",
        ),
    ] {
        let error = caller.call(method, params.clone()).expect_err(method);
        assert_eq!(error.code, code, "{method} {params}: {error}");
        assert!(error.message.contains(part), "{method} {params}: {error}");
    }
    let error = caller.call("getaccount", json!([5])).unwrap_err();
    assert_eq!(error.data["parameter"], json!("address"));
}

#[test]
fn a_block_is_asked_of_the_node_and_shown() {
    let mut caller = Caller::new(None);
    let state = ChainState::genesis(&genesis());
    let block = Block {
        header: state.header.clone(),
        transactions: Vec::new(),
        certificate: None,
    };
    let bytes: Arc<[u8]> = block.to_bytes().into();
    let reply = || Reply::Block {
        id: state.id,
        bytes: Arc::clone(&bytes),
        in_best_chain: true,
        work_below: Some(Uint256::ZERO),
    };
    caller.start("getblock", json!([0, 0]));
    assert!(
        caller.desk.take_responses().is_empty(),
        "it waits for the node"
    );
    caller.reply(&Question::BlockAt(Height(0)), Ok(reply()));
    assert_eq!(caller.answer()["result"], json!(encode_hex(&bytes)));
    caller.start("getblock", json!([state.id.to_string()]));
    caller.reply(&Question::Block(state.id), Ok(reply()));
    let shown = caller.answer()["result"].clone();
    assert_eq!(shown["hash"], json!(state.id.to_string()));
    let info = caller.call("getblockchaininfo", json!([])).unwrap();
    let finality = json!({ "kind": "work", "depth": 1, "work": info["chainwork"] });
    assert_eq!(shown["finality"], finality);
    caller.start("getblock", json!([7]));
    caller.reply(
        &Question::BlockAt(Height(7)),
        Err(CallError::NotFound("height")),
    );
    assert_eq!(caller.answer()["error"]["data"]["code"], json!("not_found"));
}

/// Every key that stands in a value, at any depth.
fn keys_of(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| keys_of(item, into)),
        Value::Object(fields) => {
            for (key, value) in fields {
                into.push(key.clone());
                keys_of(value, into);
            }
        }
        _ => {}
    }
}

#[test]
fn every_field_of_a_block_and_of_the_supply_is_documented() {
    let mut caller = Caller::new(None);
    let genesis = genesis();
    let state = ChainState::genesis(&genesis);
    let to = AccountId([9; 32]);
    let transaction = Payment {
        nonce: Nonce(0),
        fee: Amount(1),
        expiry: Height(0),
        to,
        amount: Amount(2),
    }
    .sign(&key(), &genesis.id());
    let mut anchored = transaction.clone();
    anchored.ops.push(Op::Data(vec![7; 32]));
    let block = Block {
        header: state.header.clone(),
        transactions: vec![transaction, anchored],
        certificate: None,
    };
    caller.start("getblock", json!([0]));
    let reply = Reply::Block {
        id: state.id,
        bytes: block.to_bytes().into(),
        in_best_chain: true,
        work_below: Some(Uint256::ZERO),
    };
    caller.reply(&Question::BlockAt(Height(0)), Ok(reply));
    let shown = caller.answer()["result"].clone();
    assert_eq!(shown["tx"][1]["ops"][1]["op"], json!("data"));
    caller.start("getblockheader", json!([0]));
    let reply = Reply::Header {
        id: state.id,
        header: Box::new(state.header.clone()),
        in_best_chain: false,
        work_below: Some(Uint256::ZERO),
    };
    caller.reply(&Question::HeaderAt(Height(0)), Ok(reply));
    let header = caller.answer()["result"].clone();
    assert_eq!(header["finality"], Value::Null);
    let supply = caller.call("getsupply", json!([])).unwrap();

    let docs = include_str!("../../docs/rpc.md");
    let about = |name: &str| METHODS.iter().find(|method| method.name == name).unwrap();
    for (method, answer) in [
        ("getblock", shown),
        ("getblockheader", header),
        ("getsupply", supply),
    ] {
        let mut keys = Vec::new();
        keys_of(&answer, &mut keys);
        assert!(keys.len() > 8, "{method}: {answer}");
        for key in keys {
            assert!(
                docs.contains(&format!("`{key}`")),
                "docs/rpc.md lacks {key} of {method}"
            );
        }
        for key in answer.as_object().unwrap().keys() {
            let result = about(method).result;
            let words = &mut result.split(|c: char| !c.is_alphanumeric() && c != '_');
            assert!(
                words.any(|word| word == key),
                "rpc.discover lacks {key} of {method}"
            );
        }
    }
}

#[test]
fn a_transaction_proof_takes_two_questions() {
    let mut caller = Caller::new(None);
    let payment = Payment {
        nonce: Nonce(0),
        fee: Amount(1),
        expiry: Height(0),
        to: AccountId([9; 32]),
        amount: Amount(1),
    };
    let transactions = vec![payment.sign(&key(), &genesis().id())];
    let mut header = ChainState::genesis(&genesis()).header;
    header.tx_root = Block::tx_root(&[transactions[0].wtxid()]);
    let (block, txid) = (header.id(), transactions[0].txid(&genesis().id()));
    caller.start("gettxproof", json!([txid.to_string()]));
    let included = TransactionStatus::Included {
        block,
        height: Height(0),
        index: 0,
        work_below: Some(Uint256::ZERO),
    };
    caller.reply(
        &Question::Transaction(txid),
        Ok(Reply::Transaction(included)),
    );
    let bytes = Block {
        header,
        transactions: transactions.clone(),
        certificate: None,
    };
    let reply = Reply::Block {
        id: block,
        bytes: bytes.to_bytes().into(),
        in_best_chain: true,
        work_below: Some(Uint256::ZERO),
    };
    caller.reply(&Question::Block(block), Ok(reply));
    let answer = caller.answer();
    let proof = decode_hex(answer["result"]["proof"].as_str().unwrap()).unwrap();
    match Proof::from_bytes(&proof).unwrap().verify(&block).unwrap() {
        Proved::Transaction { wtxid, .. } => assert_eq!(wtxid, transactions[0].wtxid()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refused_transaction_names_the_rule_and_both_numbers() {
    let mut caller = Caller::new(None);
    caller.start("sendrawtransaction", json!(["00"]));
    let fault = TransactionFault::Fee {
        needed: 200,
        paid: Amount(10),
    };
    let question = Question::SubmitTransaction(vec![0]);
    caller.reply(&question, Err(CallError::Transaction(fault)));
    let error = caller.answer()["error"].clone();
    assert_eq!(error["code"], json!(1_002));
    assert_eq!(
        error["data"],
        json!({ "code": "fee", "needed": "200", "paid": "10" })
    );
    let text = error["message"].as_str().unwrap();
    assert!(text.contains("200") && text.contains("10"), "{text}");
}

#[test]
fn a_batch_is_answered_in_order_when_its_last_call_is() {
    let mut caller = Caller::new(None);
    let call = |id: Value, method: &str| json!({ "jsonrpc": "2.0", "id": id, "method": method });
    caller.post(&json!([
        call(json!("a"), "getrawmempool"),
        { "jsonrpc": "2.0", "method": "getblockcount" },
        call(json!(2), "getblockcount"),
        5,
        call(Value::Null, "nothing"),
    ]));
    assert!(
        caller.desk.take_responses().is_empty(),
        "one call waits for the node"
    );
    let mempool = crate::node::MempoolInfo {
        transactions: vec![TxId([3; 32])],
        bytes: 1,
    };
    caller.reply(&Question::Mempool, Ok(Reply::Mempool(mempool)));
    let answer = caller.answer();
    let answers = answer.as_array().unwrap();
    assert_eq!(answers.len(), 4, "a notification has no answer");
    assert_eq!(answers[0]["id"], json!("a"));
    assert_eq!(answers[0]["result"], json!(["03".repeat(32)]));
    assert_eq!(
        (&answers[1]["id"], &answers[1]["result"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(answers[2]["error"]["code"], json!(-32_600));
    assert_eq!(
        (&answers[3]["id"], &answers[3]["error"]["code"]),
        (&Value::Null, &json!(-32_601))
    );
    caller.post(&json!([{ "jsonrpc": "2.0", "method": "getblockcount" }]));
    assert_eq!(caller.response().0, Status::NoContent);
}

#[test]
fn a_batch_has_a_cap_on_its_answers() {
    let mut caller = Caller::new(None);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "getblock", "params": [0, 0] });
    caller.post(&json!([call, call]));
    let bytes: Arc<[u8]> = vec![0; 1_500_000].into();
    for (id, question) in caller.desk.take_questions() {
        assert_eq!(question, Question::BlockAt(Height(0)));
        let reply = Reply::Block {
            id: BlockId::ZERO,
            bytes: Arc::clone(&bytes),
            in_best_chain: true,
            work_below: None,
        };
        caller
            .service
            .answered(id, Ok(reply), &mut caller.desk.desk());
    }
    let answer = caller.answer();
    assert_eq!(answer[0]["result"].as_str().map(str::len), Some(3_000_000));
    assert_eq!(
        answer[1]["error"]["data"]["code"],
        json!("answer_too_large")
    );
}

#[test]
fn a_client_that_went_away_is_forgotten() {
    let mut caller = Caller::new(None);
    caller.start("getpeerinfo", json!([]));
    caller.service.gone(EXCHANGE, &mut caller.desk.desk());
    caller.reply(&Question::Peers, Ok(Reply::Peers(Vec::new())));
    assert!(caller.desk.take_responses().is_empty());
}

#[test]
fn the_node_hears_of_a_client_that_left_what_it_waits_for() {
    let mut caller = Caller::new(None);
    let address = encode_address("dkeel", &AccountId([3; 32]));
    let longpollid = "ab".repeat(40);
    caller.start("getblocktemplate", json!([address, longpollid]));
    let questions = caller.desk.take_questions();
    let [
        (
            call,
            Question::Template {
                after: Some(after), ..
            },
        ),
    ] = &questions[..]
    else {
        panic!("a poll is asked: {questions:?}");
    };
    assert_eq!(after.tip, BlockId([0xab; 32]));
    caller.service.left(EXCHANGE, &mut caller.desk.desk());
    assert_eq!(caller.desk.take_left(), [*call]);
    // It may only have no more to say: the answer still goes to it.
    let busy = Err(CallError::Busy);
    caller
        .service
        .answered(*call, busy, &mut caller.desk.desk());
    assert_eq!(caller.desk.take_responses().len(), 1);
}

#[test]
fn calls_of_miners_are_read_strictly() {
    let mut caller = Caller::new(None);
    let address = encode_address("dkeel", &AccountId([3; 32]));
    let id = "w0011223344556677";
    for (method, params, parameter) in [
        ("getblocktemplate", json!({}), "address"),
        ("getblocktemplate", json!({ "mode": "x" }), "mode"),
        ("getblocktemplate", json!({ "mode": "proposal" }), "data"),
        ("getblocktemplate", json!([address, "ab"]), "longpollid"),
        ("submitwork", json!([id]), "nonce"),
        ("submitwork", json!(["00", 1]), "template_id"),
        ("submitwork", json!([id, -1]), "nonce"),
        ("submitwork", json!([id, "+1"]), "nonce"),
        ("submitwork", json!([id, "18446744073709551616"]), "nonce"),
        ("submitwork", json!([id, 1, "soon"]), "time"),
        ("submitblock", json!(["0"]), "block"),
    ] {
        let error = caller.call(method, params.clone()).unwrap_err();
        assert_eq!(error.word(), "invalid_params", "{method} {params}");
        assert_eq!(error.data["parameter"], parameter, "{method} {params}");
    }
    let greatest = json!([id, u64::MAX.to_string(), 5]);
    caller.start("submitwork", greatest);
    let questions = caller.desk.take_questions();
    let [
        (
            _,
            Question::SubmitWork {
                nonce: u64::MAX,
                time: Some(Millis(5)),
                ..
            },
        ),
    ] = &questions[..]
    else {
        panic!("{questions:?}");
    };
}

#[test]
fn too_many_calls_are_put_off() {
    let mut caller = Caller::new(None);
    let batch = vec![json!({ "jsonrpc": "2.0", "id": 1, "method": "getpeerinfo" }); 100];
    for _ in 0..41 {
        caller.post(&json!(batch));
    }
    assert!(caller.desk.take_responses().is_empty());
    caller.post(&json!(batch));
    assert_eq!(caller.response().0, Status::TooManyRequests);
}

#[test]
fn only_the_cookie_lets_in() {
    let cookie = Cookie::from_random(&[5; 32]);
    let header = cookie.header();
    let mut caller = Caller::new(Some(cookie));
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "stop" }).to_string();
    for authorization in [None, Some("Basic eDp5".to_owned())] {
        caller.request(Method::Post, "/", authorization, &body);
        assert_eq!(caller.response().0, Status::Unauthorized);
    }
    assert!(!caller.desk.wants_stop());
    caller.request(Method::Post, "/", Some(header), &body);
    assert_eq!(caller.response().0, Status::Ok);
    assert!(caller.desk.wants_stop());
    for path in ["/healthy", "/ready", "/metrics"] {
        caller.request(Method::Get, path, None, "");
        assert_eq!(caller.response().0, Status::Ok, "{path} is open");
    }
    caller.request(Method::Get, "/", None, "");
    assert_eq!(caller.response().0, Status::MethodNotAllowed);
    caller.request(Method::Get, "/secret", None, "");
    assert_eq!(caller.response().0, Status::NotFound);
}

#[test]
fn the_table_is_in_order_and_described_everywhere() {
    assert!(METHODS.windows(2).all(|pair| pair[0].name < pair[1].name));
    let mut caller = Caller::new(None);
    let document = caller.call("rpc.discover", json!([])).unwrap();
    let help = caller.call("help", json!([])).unwrap();
    let docs = include_str!("../../docs/rpc.md");
    for (at, method) in METHODS.iter().enumerate() {
        assert_eq!(document["methods"][at]["name"], json!(method.name));
        assert!(
            help.as_str().unwrap().contains(method.summary),
            "{}",
            method.name
        );
        let usage = format!("`{}", method.name);
        assert!(
            docs.contains(&usage),
            "docs/rpc.md does not know {}",
            method.name
        );
    }
    let help = caller.call("help", json!(["getblock"])).unwrap();
    assert!(
        help.as_str()
            .unwrap()
            .starts_with("getblock block [verbosity]"),
        "{help}"
    );
}

#[test]
fn metrics_are_lines_that_monitoring_reads() {
    let mut caller = Caller::new(None);
    caller.request(Method::Get, "/metrics", None, "");
    let (_, text) = caller.response();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.split_once(' ').expect(line);
        assert!(
            name.starts_with("keel_") || name.starts_with("process_"),
            "{line}"
        );
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(text.contains(&format!("# TYPE {name} ")), "{line}");
    }
    assert!(text.contains("keel_chain_height 0\n"));
}

#[test]
fn an_accepted_transaction_is_answered_by_its_id() {
    let mut caller = Caller::new(None);
    caller.start("sendrawtransaction", json!({ "transaction": "0102" }));
    let accepted = Reply::Accepted {
        txid: TxId([4; 32]),
        wtxid: WtxId([5; 32]),
    };
    caller.reply(&Question::SubmitTransaction(vec![1, 2]), Ok(accepted));
    assert_eq!(caller.answer()["result"], json!("04".repeat(32)));
}

#[test]
fn a_recording_is_answered_when_its_file_is_there() {
    let mut caller = Caller::new(None);
    let long = "a".repeat(101);
    let outside = [
        "/there/a.rec",
        "../a.rec",
        "a/b",
        "..",
        ".",
        ".hidden",
        "",
        "a\0",
        &long,
    ];
    for outside in outside {
        let error = caller.call("saverecord", json!([outside])).unwrap_err();
        assert!(error.message.contains("nowhere else"), "{error}");
        assert!(caller.desk.take_saves().is_empty(), "{outside}");
    }
    let saved = Saved {
        bytes: 7,
        missing: vec![Lsn::new(160)],
    };
    for (result, wanted) in [
        (Ok(saved), json!(7)),
        (Err("no room".to_owned()), Value::Null),
    ] {
        caller.start("saverecord", json!(["a.rec"]));
        let saves = caller.desk.take_saves();
        assert_eq!(saves.len(), 1);
        assert_eq!(saves[0].1, "a.rec");
        assert!(caller.desk.take_responses().is_empty());
        let failed = result.is_err();
        caller
            .service
            .saved(saves[0].0, result, &mut caller.desk.desk());
        let answer = caller.answer();
        assert_eq!(answer["result"]["bytes"], wanted);
        let missing = if failed { Value::Null } else { json!([160]) };
        assert_eq!(answer["result"]["missing"], missing);
        assert_eq!(answer["error"]["data"]["code"] == json!("failed"), failed);
    }
}

#[test]
fn one_recording_is_saved_at_a_time() {
    let mut caller = Caller::new(None);
    let save = |id: u8| {
        let params = [format!("{id}.rec")];
        json!({ "jsonrpc": "2.0", "id": id, "method": "saverecord", "params": params })
    };
    caller.post(&json!([save(1), save(2)]));
    let saves = caller.desk.take_saves();
    assert_eq!(saves.len(), 1);
    caller
        .service
        .saved(saves[0].0, Ok(Saved::default()), &mut caller.desk.desk());
    let answers = caller.answer();
    assert_eq!(answers[0]["result"]["bytes"], json!(0));
    assert_eq!(answers[1]["error"]["data"]["code"], json!("busy"));
    caller.start("saverecord", json!(["3.rec"]));
    assert_eq!(caller.desk.take_saves().len(), 1);
}

#[test]
fn an_accepted_transaction_that_left_says_so_with_the_reason() {
    let (txid, by) = (TxId([5; 32]), TxId([6; 32]));
    for (status, wanted) in [
        (TransactionStatus::Unknown, json!({ "status": "unknown" })),
        (TransactionStatus::Waiting, json!({ "status": "waiting" })),
        (
            TransactionStatus::Gone(Leaving::Room),
            json!({ "status": "gone", "reason": "evicted" }),
        ),
        (
            TransactionStatus::Gone(Leaving::Replaced { by }),
            json!({ "status": "gone", "reason": "replaced", "replaced_by": by.to_string() }),
        ),
        (
            TransactionStatus::Aside(Leaving::Balance),
            json!({ "status": "aside", "reason": "balance" }),
        ),
    ] {
        let mut caller = Caller::new(None);
        caller.start("gettransactionstatus", json!([txid.to_string()]));
        let reply = Reply::Transaction(status);
        caller.reply(&Question::Transaction(txid), Ok(reply));
        let mut wanted = wanted;
        wanted["txid"] = txid.to_string().into();
        assert_eq!(caller.answer()["result"], wanted);
    }
}

#[test]
fn finality_is_a_depth_and_the_work_from_the_block_to_the_tip() {
    let mut caller = Caller::new(None);
    let mut tip = Published::clone(caller.desk.published.as_ref().unwrap());
    tip.header.height = Height(9);
    tip.work = Uint256::from_u64(0x2_0000);
    caller.desk.published = Some(Arc::new(tip));
    let digits = |work: u64| format!("{work:064x}");
    for (height, below, depth, work) in [
        (9, Some(0x1_fffe), 1, Some(digits(2))),
        (4, Some(0x1_0000), 6, Some(digits(0x1_0000))),
        (0, Some(0), 10, Some(digits(0x2_0000))),
        // The record that has the work is damaged.
        (4, None, 6, None),
    ] {
        let txid = TxId([5; 32]);
        caller.start("gettransactionstatus", json!([txid.to_string()]));
        let status = TransactionStatus::Included {
            block: BlockId([7; 32]),
            height: Height(height),
            index: 0,
            work_below: below.map(Uint256::from_u64),
        };
        let reply = Reply::Transaction(status);
        caller.reply(&Question::Transaction(txid), Ok(reply));
        let wanted = json!({ "kind": "work", "depth": depth, "work": work });
        assert_eq!(caller.answer()["result"]["finality"], wanted);
    }
}

#[test]
fn fee_advice_is_for_one_to_a_hundred_blocks() {
    let mut caller = Caller::new(None);
    caller.start("estimatesmartfee", json!({ "conf_target": 6 }));
    let advice = FeeAdvice {
        next_base_fee: 875,
        floor: 100,
        rate: 1_577,
        blocks: 6,
    };
    caller.reply(&Question::FeeAdvice(6), Ok(Reply::FeeAdvice(advice)));
    let wanted = json!({
        "feerate": "1577", "blocks": 6, "next_base_fee": "875", "mempoolminfee": "100",
    });
    assert_eq!(caller.answer()["result"], wanted);
    for target in [0, 101, 1_u64 << 40] {
        caller.start("estimatesmartfee", json!([target]));
        let error = caller.answer()["error"].clone();
        assert_eq!(error["data"]["parameter"], json!("conf_target"));
    }
}
