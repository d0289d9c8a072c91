//! What the loop says in the log.

use log::{Level, log};

use crate::base::{Span, Time, counted};
use crate::node::{Direction, Event};

/// Lines about peers that may be written at once. Beyond them one may be each interval: whoever
/// connects and leaves again and again would fill the disk with what is said of it.
const PEER_LINES: u64 = 100;
const PEER_LINE_INTERVAL: Span = Span::from_secs(1);

/// How many lines about peers may be written.
#[derive(Debug)]
pub(super) struct PeerLines {
    /// When as many may be as at first.
    full_at: Time,
    left_out: u64,
}

impl PeerLines {
    pub(super) const fn new() -> Self {
        Self {
            full_at: Time::EPOCH,
            left_out: 0,
        }
    }

    /// Whether a line may be written now, and then how many were left out before it.
    fn take(&mut self, now: Time) -> Option<u64> {
        if self.full_at.since(now) + PEER_LINE_INTERVAL > PEER_LINE_INTERVAL.times(PEER_LINES) {
            self.left_out += 1;
            return None;
        }
        self.full_at = self.full_at.max(now) + PEER_LINE_INTERVAL;
        Some(std::mem::take(&mut self.left_out))
    }
}

const fn is_about_a_peer(event: &Event) -> bool {
    matches!(
        event,
        Event::PeerReady { .. }
            | Event::PeerGone { .. }
            | Event::PeerDiscouraged { .. }
            | Event::DialFailed { .. }
    )
}

/// Writes an event of the node to the log, unless it is one about a peer too many.
pub(super) fn write(event: &Event, lines: &mut PeerLines, now: Time) {
    if is_about_a_peer(event) {
        match lines.take(now) {
            None => return,
            Some(0) => {}
            Some(count) => log!(
                Level::Info,
                "{count} lines about peers were left out, which came faster than one a second"
            ),
        }
    }
    write_line(event);
}

fn write_line(event: &Event) {
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
        Event::Divergence { id, height, why } => log!(
            Level::Error,
            "block {id} at height {height} diverges: {why}; it is invalid here, and either its \
             maker or this node does not execute as it is written: compare the versions of both, \
             and see docs/operations.md, \"When nodes differ\""
        ),
        Event::InvalidBlock { id, why } => log!(Level::Warn, "block {id} is invalid: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_peers_come_once_a_second_in_the_long_run() {
        let (mut lines, start) = (PeerLines::new(), Time::from_millis(1_000_000));
        for _ in 0..PEER_LINES {
            assert_eq!(lines.take(start), Some(0));
        }
        for _ in 0..50 {
            assert_eq!(lines.take(start), None);
        }
        assert_eq!(lines.take(start + Span::from_millis(999)), None);
        let later = start + Span::from_secs(1);
        assert_eq!(lines.take(later), Some(51));
        assert_eq!(lines.take(later), None);
        let much_later = later + Span::from_secs(1_000);
        assert_eq!(lines.take(much_later), Some(1));
        assert_eq!(lines.take(much_later), Some(0));
    }
}
