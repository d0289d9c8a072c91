//! Inputs and outputs in one line each, for people who follow a node event by event.

use std::fmt;

use crate::wire::MessageKind;

use super::{Input, Output};

/// A message's type by its name, where it has one.
struct Kind(u8);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match MessageKind::from_byte(self.0) {
            Ok(kind) => write!(f, "{kind}"),
            Err(_) => write!(f, "{:#04x}", self.0),
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { conn, from } => write!(f, "peer {} dials from {from}", conn.0),
            Self::Connected {
                conn, direction, ..
            } => write!(f, "peer {} is connected, {direction:?}", conn.0),
            Self::DialFailed { key, why } => write!(f, "dial of {key} failed: {why}"),
            Self::Message {
                conn,
                lane,
                kind,
                bytes,
            } => write!(
                f,
                "{} of {} bytes in lane {lane} from peer {}",
                Kind(*kind),
                bytes.len(),
                conn.0
            ),
            Self::Closed { conn, why } => write!(f, "peer {} is gone: {why}", conn.0),
            Self::Room { conn } => write!(f, "room for more to peer {}", conn.0),
            Self::Stored { ticket, lsns } => {
                write!(f, "ticket {}: {} records stored", ticket.0, lsns.len())
            }
            Self::DiskFull(true) => f.write_str("the disk is full"),
            Self::DiskFull(false) => f.write_str("the disk has space again"),
            Self::Called { call, question } => write!(f, "call {}: {question:?}", call.0),
            Self::Renewed { .. } => f.write_str("the node's record is renewed"),
            Self::BansKept { call, .. } => write!(f, "call {}: bans are kept", call.0),
            Self::CallerLeft { call } => write!(f, "call {}: the caller left", call.0),
            Self::Done { job, .. } => write!(f, "job {} is done", job.0),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(peer) => write!(f, "dial {}", peer.socket),
            Self::Send {
                conn,
                lane,
                kind,
                bytes,
            } => write!(
                f,
                "send {} of {} bytes in lane {lane} to peer {}",
                Kind(*kind),
                bytes.len(),
                conn.0
            ),
            Self::AwaitRoom { conn } => write!(f, "await room to peer {}", conn.0),
            Self::Close { conn, why } => write!(f, "close peer {}: {why:?}", conn.0),
            Self::Store(request) => write!(
                f,
                "store {} records, ticket {}{}",
                request.records.len(),
                request.ticket,
                if request.sync { ", durably" } else { "" }
            ),
            Self::Run { job, work } => write!(f, "run job {}: {work}", job.0),
            Self::Publish(published) => write!(
                f,
                "publish height {}, tip {}",
                published.header.height, published.tip
            ),
            Self::Answer { call, reply } => match reply {
                Ok(_) => write!(f, "answer call {}", call.0),
                Err(error) => write!(f, "refuse call {}: {error}", call.0),
            },
            Self::KeepBans { call, .. } => write!(f, "call {}: keep bans", call.0),
            Self::KeepEvidence { id, .. } => write!(f, "keep block {id} as evidence"),
            Self::Event(event) => write!(f, "report {event:?}"),
        }
    }
}
