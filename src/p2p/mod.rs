//! Decisions about peers: whom to ask for headers and blocks, whom to tell of transactions.
//!
//! *Owns* what is known of each peer and every request under way. *Invariants*: what is asked of
//! a peer has a deadline, and what a peer sends without being asked is either cheap to judge or a
//! fault; every set that a peer can grow has a bound. *Never* touches a socket or a clock: time
//! comes as an argument, and what is to be sent goes out as an [`Action`].

pub mod bans;
mod discouragement;
mod early;
pub mod eviction;
mod recent;
pub mod relay;
pub mod sync;

pub use bans::{Ban, BanList, BanTarget};
pub use discouragement::{Discouraged, Discouragement};
pub use early::Early;
pub use recent::RecentSet;
pub use relay::Relay;
pub use sync::{Arrival, Room, Sync};

use serde::{Deserialize, Serialize};

use crate::base::Span;
use crate::types::BlockId;
use crate::wire::{Lane, Message};

/// A connection, by a number that the driver chooses and never uses again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnId(pub u64);

/// Something that others can make grow, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounded {
    /// What it is, in the plural.
    pub what: &'static str,
    /// How much of it there is.
    pub held: usize,
    /// How much of it there may be.
    pub limit: usize,
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Direction {
    /// The peer did.
    Inbound,
    /// This node did.
    Outbound,
}

/// What a decision comes to.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send a message in a lane.
    Send(ConnId, Lane, Message),
    /// The peer broke a rule: close the connection. The text names the rule.
    Fault(ConnId, String),
    /// The peer does not answer: close the connection. The text names what was asked.
    Unresponsive(ConnId, &'static str),
    /// The header that shows its own work must wait, and for so much longer than clocks differ
    /// that this node's may be wrong.
    FarAhead(BlockId, Span),
}
