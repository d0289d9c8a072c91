//! Bans and connections, as operators handle them.

use super::*;
use crate::base::Span;
use crate::node::{ConnId, PeerRef};
use crate::p2p::{Ban, BanTarget, Discouraged};

#[test]
fn bans_are_asked_of_the_node_and_shown() {
    let mut caller = Caller::new(None);
    let target: BanTarget = "10.1.0.0/16".parse().unwrap();
    let day = Span::from_secs(86_400);
    for (params, question) in [
        (json!(["10.1.2.3/16", "add"]), Question::Ban(target, day)),
        (json!(["10.1.2.3/16", "add", 0]), Question::Ban(target, day)),
        (
            json!({ "target": "10.1.0.0/16", "command": "add", "bantime": 60 }),
            Question::Ban(target, Span::from_secs(60)),
        ),
        (json!(["10.1.0.0/16", "remove"]), Question::Unban(target)),
    ] {
        caller.start("setban", params);
        caller.reply(&question, Ok(Reply::Done));
        assert_eq!(caller.answer()["result"], Value::Null);
    }
    for (params, wrong) in [
        (json!(["10.1.0.0/33", "add"]), "target"),
        (json!(["10.1.0.0/16", "ban"]), "command"),
        (json!(["10.1.0.0/16", "add", -1]), "bantime"),
        (json!(["10.1.0.0/16", "add", 3_153_600_001_u64]), "bantime"),
    ] {
        let error = caller.call("setban", params).unwrap_err();
        assert_eq!(error.data["parameter"], json!(wrong));
    }
    caller.start("listbanned", json!([]));
    let ban = Ban {
        target,
        since: Time::from_millis(1_000),
        until: Time::from_millis(61_000),
    };
    caller.reply(&Question::Bans, Ok(Reply::Bans(vec![ban])));
    let bans = caller.answer();
    assert_eq!(
        bans["result"],
        json!([{
            "target": "10.1.0.0/16", "banned_until": 61, "ban_created": 1,
            "ban_duration": 60, "time_remaining": 56,
        }])
    );
}

#[test]
fn a_peer_is_added_and_removed() {
    let mut caller = Caller::new(None);
    let peer: crate::types::PeerAddress = format!("{}@10.1.2.3:5335", NodeKey([3; 32]))
        .parse()
        .unwrap();
    let named = peer.to_string();
    for (params, question) in [
        (json!([named]), Question::AddPeer(peer)),
        (json!([named, "add"]), Question::AddPeer(peer)),
        (json!([named, "remove"]), Question::RemovePeer(peer.key)),
    ] {
        caller.start("addnode", params);
        caller.reply(&question, Ok(Reply::Done));
        assert_eq!(caller.answer()["result"], Value::Null);
    }
    let error = caller
        .call("addnode", json!([named, "onetry"]))
        .unwrap_err();
    assert_eq!(error.data["parameter"], json!("command"));
}

#[test]
fn who_broke_a_rule_is_shown_with_it() {
    let mut caller = Caller::new(None);
    caller.start("listdiscouraged", json!([]));
    let peer = Discouraged {
        target: "10.1.2.3".parse().unwrap(),
        until: Time::from_millis(61_000),
        rule: "it greeted twice".to_owned(),
    };
    caller.reply(&Question::Discouraged, Ok(Reply::Discouraged(vec![peer])));
    assert_eq!(
        caller.answer()["result"],
        json!([{
            "target": "10.1.2.3", "rule": "it greeted twice", "until": 61, "time_remaining": 56,
        }])
    );
}

#[test]
fn a_peer_is_disconnected_by_number_key_or_address() {
    let mut caller = Caller::new(None);
    let key = NodeKey([3; 32]);
    for (named, peer) in [
        (json!(70), PeerRef::Conn(ConnId(70))),
        (json!(key.to_string()), PeerRef::Key(key)),
        (
            json!("10.1.2.3:5335"),
            PeerRef::Address("10.1.2.3:5335".parse().unwrap()),
        ),
    ] {
        caller.start("disconnectnode", json!([named]));
        caller.reply(&Question::Disconnect(peer), Ok(Reply::Done));
        assert_eq!(caller.answer()["result"], Value::Null);
    }
    for named in [json!("bob"), json!(true), json!(-1)] {
        let error = caller.call("disconnectnode", json!([named])).unwrap_err();
        assert_eq!(error.data["parameter"], json!("peer"));
    }
}
