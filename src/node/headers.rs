//! Headers for peers that ask: those of old blocks are read by a job.

use crate::chain::UnreadableHeader;
use crate::p2p::ConnId;
use crate::types::{BlockId, Header};
use crate::wire::message::{HEADERS_MAX, RequestId};
use crate::wire::{Lane, Message};

use super::{Job, Node, Owner};

/// How many of a peer's questions for headers are read for at a time. An honest peer has one; what
/// it asks beyond, having given one up, waits for nobody's answer.
pub(super) const READ_PER_PEER: u32 = 4;

impl Node {
    /// Answers GET_HEADERS.
    pub(super) fn give_headers(
        &mut self,
        conn: ConnId,
        lane: Lane,
        request: RequestId,
        max: u16,
        stop: &BlockId,
        locator: &[BlockId],
    ) {
        let peer = self.peers.get_mut(&conn);
        let Some(peer) = peer.filter(|peer| peer.headers_read < READ_PER_PEER) else {
            return;
        };
        let limit = usize::from(max).min(HEADERS_MAX);
        let after = self.chain.headers_after(locator, stop, limit);
        let after = match after.at_hand() {
            Ok(headers) => {
                return self.send_in(conn, lane, &Message::Headers { request, headers });
            }
            Err(after) => after,
        };
        peer.headers_read += 1;
        let owner = Owner::Headers {
            conn,
            lane,
            request,
        };
        self.run(owner, Job::ReadHeaders(Box::new(after)));
    }

    /// Old headers that a peer asked for were read.
    pub(super) fn headers_read(
        &mut self,
        (conn, lane, request): (ConnId, Lane, RequestId),
        headers: Vec<Header>,
        unreadable: Option<UnreadableHeader>,
    ) {
        if let Some(unreadable) = unreadable {
            self.chain.header_unreadable(unreadable);
        }
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.headers_read -= 1;
            self.send_in(conn, lane, &Message::Headers { request, headers });
        }
    }
}
