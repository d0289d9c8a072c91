//! What stands between a dishonest machine's production node and its links.
//!
//! An adversary is a production node with somebody around it who sees what it sends and receives,
//! holds some of it back, and says things of its own. So every adversary can do what an honest
//! node can, and its lies are about as little or as much as its type decides.

use std::sync::Arc;

use crate::base::{Rng, Time};
use crate::node::{CallError, CallId, ConnId, Published, Question, Reply};
use crate::types::Genesis;

use super::NodeIndex;

/// What a dishonest machine does besides what its node does.
pub trait Behaviour {
    /// Its name, as scenarios and reports have it.
    fn name(&self) -> &'static str;

    /// The machine starts.
    fn start(&mut self, hands: &mut Hands<'_>) {
        let _ = hands;
    }

    /// A connection is complete.
    fn connected(&mut self, conn: ConnId, peer: NodeIndex, hands: &mut Hands<'_>) {
        let _ = (conn, peer, hands);
    }

    /// Its node sends something.
    fn outgoing(&mut self, letter: &Letter<'_>, hands: &mut Hands<'_>) -> Fate {
        let _ = (letter, hands);
        Fate::Pass
    }

    /// Something arrives for its node.
    fn incoming(&mut self, letter: &Letter<'_>, hands: &mut Hands<'_>) -> Fate {
        let _ = (letter, hands);
        Fate::Pass
    }

    /// Its node answers a call of [`Hands::call`].
    fn answered(&mut self, call: CallId, reply: &Result<Reply, CallError>, hands: &mut Hands<'_>) {
        let _ = (call, reply, hands);
    }

    /// A time of [`Hands::wake_at`] has come.
    fn wake(&mut self, hands: &mut Hands<'_>) {
        let _ = hands;
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes its way.
    Pass,
    /// It is gone.
    Drop,
}

/// A message on its way.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// The machine's connection.
    pub conn: ConnId,
    /// Who is at the other end.
    pub peer: NodeIndex,
    /// Its lane.
    pub lane: u8,
    /// Its type.
    pub kind: u8,
    /// Its body.
    pub bytes: &'a [u8],
}

/// What a behaviour wants done.
#[derive(Debug)]
pub(super) enum Order {
    Send {
        conn: ConnId,
        lane: u8,
        kind: u8,
        bytes: Vec<u8>,
    },
    Call {
        call: CallId,
        question: Box<Question>,
    },
    WakeAt(Time),
    Close(ConnId),
    Mark(&'static str),
}

/// What a behaviour sees and can do.
pub struct Hands<'a> {
    /// The time in the world.
    pub now: Time,
    /// Its randomness.
    pub rng: &'a mut Rng,
    /// The chain's parameters.
    pub genesis: &'a Arc<Genesis>,
    /// What readers of its node see.
    pub published: Option<&'a Arc<Published>>,
    /// Its complete connections, and who is at their other ends.
    pub connections: &'a [(ConnId, NodeIndex)],
    pub(super) orders: Vec<Order>,
    pub(super) next_call: &'a mut u64,
}

impl Hands<'_> {
    /// Sends a message of its own.
    pub fn send(&mut self, conn: ConnId, lane: u8, kind: u8, bytes: Vec<u8>) {
        self.orders.push(Order::Send {
            conn,
            lane,
            kind,
            bytes,
        });
    }

    /// Asks its node something, which [`Behaviour::answered`] is told the answer of.
    pub fn call(&mut self, question: Question) -> CallId {
        *self.next_call += 1;
        let call = CallId(*self.next_call);
        let question = Box::new(question);
        self.orders.push(Order::Call { call, question });
        call
    }

    /// Is woken at `at`.
    pub fn wake_at(&mut self, at: Time) {
        self.orders.push(Order::WakeAt(at));
    }

    /// Closes a connection.
    pub fn close(&mut self, conn: ConnId) {
        self.orders.push(Order::Close(conn));
    }

    /// Leaves a mark in the report: it did what it is there for.
    pub fn mark(&mut self, mark: &'static str) {
        self.orders.push(Order::Mark(mark));
    }
}
