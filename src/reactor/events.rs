//! What the loop says in the log.

use log::{Level, log};

use crate::base::counted;
use crate::node::{Direction, Event};

/// Writes an event of the node to the log.
pub(super) fn write(event: &Event) {
    match event {
        Event::Ready { height, tip } => {
            log!(Level::Info, "the log is read: height {height}, tip {tip}");
        }
        Event::TipChanged {
            height,
            tip,
            transactions,
            disconnected: 0,
        } => log!(
            Level::Info,
            "height {height}: block {tip}, {}",
            counted(*transactions as u64, "transaction")
        ),
        Event::TipChanged {
            height,
            tip,
            transactions,
            disconnected,
        } => log!(
            Level::Info,
            "height {height}: block {tip}, {}; left {} of another branch",
            counted(*transactions as u64, "transaction"),
            counted(*disconnected, "block")
        ),
        Event::Checkpoint { height, id } => {
            log!(
                Level::Info,
                "checkpoint at height {height}: a start goes on from block {id}"
            );
        }
        Event::Mined { height, id } => log!(Level::Info, "mined block {id} at height {height}"),
        Event::PeerReady {
            conn,
            address,
            direction,
        } => {
            let way = match direction {
                Direction::Inbound => "inbound",
                Direction::Outbound => "outbound",
            };
            log!(Level::Info, "peer {}: ready at {address}, {way}", conn.0);
        }
        Event::PeerGone { conn, address, why } => {
            log!(Level::Info, "peer {}: gone from {address}: {why}", conn.0);
        }
        Event::PeerDiscouraged { key, address, rule } => {
            log!(Level::Warn, "peer {key} at {address} broke a rule: {rule}");
        }
        Event::DialFailed { peer, why } => {
            log!(Level::Info, "peer at {}: not reached: {why}", peer.socket);
        }
        Event::DamagedLog { why } => log!(Level::Error, "{why}"),
        Event::DiskFull(true) => log!(
            Level::Error,
            "the disk is full: nothing new is taken in until there is space"
        ),
        Event::DiskFull(false) => log!(Level::Info, "there is space on the disk again"),
        Event::FarAhead { id, by } => log!(
            Level::Warn,
            "header {id} waits: its time is {by} further ahead of this machine's clock than may \
             be; the clock of this machine may be wrong"
        ),
        Event::Parked { id, why } => log!(Level::Warn, "block {id} is set aside: {why}"),
        Event::InvalidBlock { id, why } => log!(Level::Warn, "block {id} is invalid: {why}"),
    }
}
