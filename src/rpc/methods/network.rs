//! Methods about peers.

use serde_json::{Value, json};

use crate::node::{Direction, PeerInfo, Question, Reply};

use super::super::RpcError;
use super::super::params::Params;
use super::{Outcome, View, unexpected};

type Ran = Result<Outcome, RpcError>;

pub(super) fn add_node(_: &mut View<'_>, params: &Params) -> Ran {
    let question = Question::AddPeer(params.peer(0)?);
    Ok(Outcome::ask(question, |_, reply| match reply {
        Reply::Done => Ok(Value::Null).into(),
        other => unexpected(&other),
    }))
}

pub(super) fn get_network_info(view: &mut View<'_>, _: &Params) -> Ran {
    let published = view.published()?;
    let facts = view.facts;
    let listen: Vec<String> = facts.listen.iter().map(ToString::to_string).collect();
    let peer_address = facts
        .listen
        .first()
        .map(|socket| format!("{}@{socket}", facts.node_key));
    Ok(Outcome::Done(Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "subversion": facts.agent,
        "protocolversion": 1,
        "node_key": facts.node_key.to_string(),
        "node_id": facts.node_id.to_string(),
        "peer_address": peer_address,
        "localaddresses": listen,
        "connections": published.peers,
    }))))
}

pub(super) fn get_peer_info(_: &mut View<'_>, _: &Params) -> Ran {
    Ok(Outcome::ask(Question::Peers, |_, reply| match reply {
        Reply::Peers(peers) => Ok(peers.iter().map(peer_json).collect()).into(),
        other => unexpected(&other),
    }))
}

fn peer_json(peer: &PeerInfo) -> Value {
    // No ping was answered yet: no time, rather than none.
    let ping = (peer.ping_micros > 0).then_some(peer.ping_micros as f64 / 1e6);
    json!({
        "id": peer.conn.0,
        "addr": peer.address.to_string(),
        "key": peer.key.to_string(),
        "inbound": peer.direction == Direction::Inbound,
        "conntime": peer.since.as_millis() / 1_000,
        "pingtime": ping,
        "subver": peer.agent,
        "synced_headers": peer.best_height.0,
    })
}
