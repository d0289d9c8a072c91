//! Methods about peers.

use serde_json::{Value, json};

use crate::base::{Span, Time};
use crate::node::{Direction, PeerInfo, Question, Reply};
use crate::p2p::Ban;

use super::super::RpcError;
use super::super::params::Params;
use super::{Outcome, View, unexpected};

type Ran = Result<Outcome, RpcError>;

/// How long a ban holds unless the caller says otherwise.
const BAN_TIME: Span = Span::from_secs(24 * 3_600);

pub(super) fn add_node(_: &mut View<'_>, params: &Params) -> Ran {
    let peer = params.peer(0)?;
    done(if params.is_missing(1) || params.is_add(1)? {
        Question::AddPeer(peer)
    } else {
        Question::RemovePeer(peer.key)
    })
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

/// Asks for something that has no answer but that it is done.
fn done(question: Question) -> Ran {
    Ok(Outcome::ask(question, |_, reply| match reply {
        Reply::Done => Ok(Value::Null).into(),
        other => unexpected(&other),
    }))
}

pub(super) fn set_ban(_: &mut View<'_>, params: &Params) -> Ran {
    let target = params.ban_target(0)?;
    let span = params.seconds(2)?.filter(|span| *span > Span::ZERO);
    done(if params.is_add(1)? {
        Question::Ban(target, span.unwrap_or(BAN_TIME))
    } else {
        Question::Unban(target)
    })
}

pub(super) fn clear_banned(_: &mut View<'_>, _: &Params) -> Ran {
    done(Question::ClearBans)
}

pub(super) fn disconnect_node(_: &mut View<'_>, params: &Params) -> Ran {
    done(Question::Disconnect(params.peer_ref(0)?))
}

pub(super) fn list_banned(_: &mut View<'_>, _: &Params) -> Ran {
    Ok(Outcome::ask(Question::Bans, |view, reply| match reply {
        Reply::Bans(bans) => {
            let now = view.now;
            Ok(bans.iter().map(|ban| ban_json(ban, now)).collect()).into()
        }
        other => unexpected(&other),
    }))
}

fn ban_json(ban: &Ban, now: Time) -> Value {
    let seconds = |time: Time| time.as_millis() / 1_000;
    json!({
        "target": ban.target.to_string(),
        "banned_until": seconds(ban.until),
        "ban_created": seconds(ban.since),
        "ban_duration": ban.until.since(ban.since).as_millis() / 1_000,
        "time_remaining": ban.until.since(now).as_millis() / 1_000,
    })
}

pub(super) fn list_discouraged(_: &mut View<'_>, _: &Params) -> Ran {
    let question = Question::Discouraged;
    Ok(Outcome::ask(question, |view, reply| match reply {
        Reply::Discouraged(peers) => {
            let now = view.now;
            let peers = peers.iter().map(|peer| {
                json!({
                    "target": peer.target.to_string(),
                    "rule": peer.rule,
                    "until": peer.until.as_millis() / 1_000,
                    "time_remaining": peer.until.since(now).as_millis() / 1_000,
                })
            });
            Ok(peers.collect()).into()
        }
        other => unexpected(&other),
    }))
}

fn peer_json(peer: &PeerInfo) -> Value {
    // No ping was answered yet: no time, rather than none.
    let ping = (peer.ping_micros > 0).then_some(peer.ping_micros as f64 / 1e6);
    let least = peer.ping_min.map(|ping| ping.as_micros() as f64 / 1e6);
    let last = |time: Option<Time>| time.map(|time| time.as_millis() / 1_000);
    json!({
        "id": peer.conn.0,
        "addr": peer.address.to_string(),
        "key": peer.key.to_string(),
        "inbound": peer.direction == Direction::Inbound,
        "conntime": peer.since.as_millis() / 1_000,
        "pingtime": ping,
        "minping": least,
        "subver": peer.agent,
        "synced_headers": peer.best_height.0,
        "bytesrecv": peer.bytes.0,
        "bytessent": peer.bytes.1,
        "last_transaction": last(peer.last_new.0),
        "last_block": last(peer.last_new.1),
        "inflight": peer.blocks_in_flight,
        "minfeefilter": peer.fee_filter.to_string(),
        "discouraged": peer.is_discouraged,
        "slow": peer.is_slow,
    })
}
