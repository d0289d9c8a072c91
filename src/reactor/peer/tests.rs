//! Two ends of a connection over loopback, each with its own idea of the time.

use std::net::TcpListener;

use rustix::net::sockopt;

use super::*;
use crate::types::{EngineKind, GenesisId, Millis, Services};

const NETWORK: Network = Network {
    genesis: GenesisId([9; 32]),
    engine: EngineKind::Work,
    puzzle_bits: 0,
};
const START: Time = Time::from_millis(1_700_000_000_000);
/// So little is under way in the system that a test can fill it.
const SYSTEM_BUFFER: usize = 16 << 10;
/// How often an end is served before that counts as for ever: the system may take a moment to
/// hand bytes from one socket to the other.
const PATIENCE: usize = 2_000_000;
/// How often in a row nothing moves before that counts as the end of it.
const QUIET: usize = 10_000;

fn after(seconds: u64) -> Time {
    START + Span::from_secs(seconds)
}

fn identity(number: u8) -> (NodeIdentity, NodeRecord) {
    let identity = NodeIdentity::from_seeds(&[number; 32], &[number + 100; 32]);
    let expires = Millis(1_700_000_600_000);
    let services = Services::FULL_BLOCKS;
    let record = identity.sign_record(&NETWORK.genesis, 1, expires, services, &[], None);
    (identity, record)
}

fn own((identity, record): &(NodeIdentity, NodeRecord)) -> Own<'_> {
    Own {
        network: NETWORK,
        identity,
        record,
    }
}

/// Two connected sockets: of who dialled, and of who listened.
fn streams() -> [std::net::TcpStream; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialled = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let streams = [dialled, accepted];
    for stream in &streams {
        stream.set_nonblocking(true).unwrap();
        sockopt::set_socket_send_buffer_size(stream, SYSTEM_BUFFER).unwrap();
        sockopt::set_socket_recv_buffer_size(stream, SYSTEM_BUFFER).unwrap();
    }
    streams
}

fn accepted(stream: std::net::TcpStream) -> PeerSocket {
    let address = stream.peer_addr().unwrap();
    let stream = TcpStream::from_std(stream);
    let mut end = PeerSocket::accepted(stream, address, START);
    assert!(end.is_before_handshake() && !end.is_busy());
    let ephemeral = Zeroizing::new([4; 32]);
    let begun = end.begin_handshake(&own(&identity(2)), ephemeral, START);
    begun.unwrap();
    end
}

/// What a turn of the loop does for an end.
fn serve(end: &mut PeerSocket, now: Time) -> Reading {
    let mut buffer = vec![0; 64 << 10];
    (end.readable, end.writable) = (true, true);
    let reading = end.read(now, &mut buffer);
    end.write(now).unwrap();
    reading
}

/// Bob dialled Alice; both are ready to talk.
struct Pair {
    alice: PeerSocket,
    bob: PeerSocket,
}

impl Pair {
    fn new() -> Self {
        let [dialled, listened] = streams();
        let address = dialled.peer_addr().unwrap();
        let (alice_identity, bob_identity) = (identity(2), identity(1));
        let key = alice_identity.0.key();
        let mut bob = PeerSocket::dialled(TcpStream::from_std(dialled), address, key, START);
        let ephemeral = Zeroizing::new([3; 32]);
        bob.begin_handshake(&own(&bob_identity), ephemeral, START)
            .unwrap();
        let mut alice = accepted(listened);
        let (mut met, mut tries) = (0, 0);
        while met < 2 {
            for end in [&mut bob, &mut alice] {
                met += usize::from(serve(end, START).connected.is_some());
            }
            tries += 1;
            assert!(tries < PATIENCE, "they never shake hands");
        }
        let mut pair = Self { alice, bob };
        for (kind, length) in [(MessageKind::Hello, 125), (MessageKind::Ready, 8)] {
            for end in [&mut pair.alice, &mut pair.bob] {
                assert!(end.send(Lane::Control, kind, vec![0; length].into()));
            }
        }
        for _ in 0..2 {
            pair.expect_at_alice();
            pair.expect_at_bob();
        }
        // Blocks come only when they were asked for.
        let request = [[0; 4].as_slice(), &[16, 0], &[0; 16 * 32]].concat();
        let asked = pair
            .bob
            .send(Lane::Bodies, MessageKind::GetBlocks, request.into());
        assert!(asked);
        pair.expect_at_alice();
        pair
    }

    fn expect_at_alice(&mut self) -> MessageKind {
        expect(&mut self.bob, &mut self.alice)
    }

    fn expect_at_bob(&mut self) -> MessageKind {
        expect(&mut self.alice, &mut self.bob)
    }

    /// Alice sends a block; says false when Bob is to be closed.
    fn send_block(&mut self, bytes: usize) -> bool {
        let block = vec![0; bytes].into();
        self.alice.send(Lane::Bodies, MessageKind::Block, block)
    }

    /// Alice writes until the system takes no more for long; says how much it took.
    fn fill(&mut self, now: Time) -> usize {
        let (mut total, mut quiet) = (0, 0);
        while quiet < QUIET {
            self.alice.writable = true;
            let wrote = self.alice.write(now).unwrap();
            total += wrote;
            quiet = if wrote == 0 { quiet + 1 } else { 0 };
        }
        total
    }

    /// Bob takes everything that Alice has for him.
    fn drain(&mut self, now: Time) {
        for _ in 0..PATIENCE {
            serve(&mut self.alice, now);
            serve(&mut self.bob, now);
            while let Some(message) = self.bob.next_message() {
                self.bob.consumed(message.lane, message.bytes.len());
            }
            if self.alice.queued() == 0 && self.alice.written == self.alice.sealed.len() {
                return;
            }
        }
        panic!("{} bytes wait for ever", self.alice.queued());
    }
}

/// Serves both ends until `to` has a message, which it deals with.
fn expect(from: &mut PeerSocket, to: &mut PeerSocket) -> MessageKind {
    for _ in 0..PATIENCE {
        serve(from, START);
        serve(to, START);
        if let Some(message) = to.next_message() {
            to.consumed(message.lane, message.bytes.len());
            return message.kind;
        }
    }
    panic!("no message comes");
}

#[test]
fn a_handshake_has_five_seconds_however_slowly_its_bytes_come() {
    let [mut dialled, listened] = streams();
    let mut alice = accepted(listened);
    let mut came = 0;
    for _ in 0..PATIENCE {
        if came == 0 {
            let _ = dialled.write(&[1; 20]).unwrap();
        }
        came += serve(&mut alice, after(4)).bytes;
        if came > 0 {
            break;
        }
    }
    assert!(came > 0 && alice.is_half_open());
    assert!(!alice.is_late(Time::from_millis(1_700_000_004_999)));
    assert!(alice.is_late(after(5)));
}

#[test]
fn a_connection_that_is_made_has_five_seconds_and_its_handshake_five_more() {
    let [dialled, _listened] = streams();
    let address = dialled.peer_addr().unwrap();
    let key = identity(2).0.key();
    let mut bob = PeerSocket::dialled(TcpStream::from_std(dialled), address, key, START);
    assert!(bob.is_before_handshake() && bob.is_late(after(5)));
    let ephemeral = Zeroizing::new([3; 32]);
    bob.begin_handshake(&own(&identity(1)), ephemeral, after(3))
        .unwrap();
    assert!(!bob.is_before_handshake() && !bob.is_late(after(7)) && bob.is_late(after(8)));
}

#[test]
fn an_open_connection_with_nothing_to_say_is_never_late() {
    let mut pair = Pair::new();
    pair.drain(START);
    assert!(!pair.alice.is_late(after(1_000_000)));
}

#[test]
fn who_takes_no_byte_for_a_minute_is_late_and_every_byte_gives_a_minute_more() {
    let mut pair = Pair::new();
    assert!(pair.send_block(4 << 20));
    pair.fill(after(10));
    assert!(!pair.alice.is_late(after(69)));
    assert!(pair.alice.is_late(after(70)));
    // Trying again is no progress, unless the system found room after all.
    let end = if pair.fill(after(40)) == 0 { 70 } else { 100 };
    assert!(!pair.alice.is_late(after(end - 1)) && pair.alice.is_late(after(end)));
    for _ in 0..PATIENCE {
        pair.bob.readable = true;
        let mut buffer = vec![0; 64 << 10];
        pair.bob.read(after(50), &mut buffer);
        pair.alice.writable = true;
        if pair.alice.write(after(50)).unwrap() > 0 {
            break;
        }
    }
    assert!(!pair.alice.is_late(after(109)) && pair.alice.is_late(after(110)));
    pair.drain(after(60));
    assert!(!pair.alice.is_late(after(1_000_000)));
}

#[test]
fn who_reads_but_gives_no_credit_for_a_minute_is_late_too() {
    let mut pair = Pair::new();
    // More than the lane's window, and Bob deals with none of it.
    assert!(pair.send_block(4 << 20) && pair.send_block(512 << 10));
    let window = Lane::Bodies.window().unwrap() as usize;
    let left = (4 << 20) + (512 << 10) - window;
    let mut tries = 0;
    while pair.alice.queued() > left || pair.alice.written < pair.alice.sealed.len() {
        serve(&mut pair.alice, after(10));
        serve(&mut pair.bob, after(10));
        tries += 1;
        assert!(tries < PATIENCE, "the window is not used");
    }
    assert_eq!(pair.alice.queued(), left);
    assert!(!pair.alice.is_late(after(69)) && pair.alice.is_late(after(70)));
    pair.drain(after(50));
    assert!(!pair.alice.is_late(after(1_000_000)));
}

#[test]
fn requests_of_who_does_not_read_are_put_off_and_nothing_else_is() {
    let mut pair = Pair::new();
    assert!(pair.send_block(2 << 20));
    pair.fill(START);
    assert!(pair.alice.queued() >= WAITING_BYTES_SOFT);
    for (lane, kind, length) in [
        (Lane::History, MessageKind::GetBlocks, 38),
        (Lane::Transactions, MessageKind::GetTx, 38),
        (Lane::Control, MessageKind::Pong, 8),
        (Lane::Announcements, MessageKind::Announce, 2),
    ] {
        assert!(pair.bob.send(lane, kind, vec![0; length].into()));
    }
    let mut kinds = Vec::new();
    for _ in 0..PATIENCE {
        pair.bob.writable = true;
        pair.bob.write(START).unwrap();
        pair.alice.readable = true;
        pair.alice.read(START, &mut vec![0; 64 << 10]);
        kinds.extend(std::iter::from_fn(|| pair.alice.next_message()).map(|it| it.kind));
        if pair.alice.held.len() == 2 {
            break;
        }
    }
    assert_eq!(kinds, [MessageKind::Pong, MessageKind::Announce]);
    assert!(!pair.alice.is_busy() || pair.alice.writable);
    pair.drain(START);
    assert!(pair.alice.is_busy(), "there are requests to be looked at");
    let late = std::iter::from_fn(|| pair.alice.next_message());
    let late: std::collections::BTreeSet<MessageKind> = late.map(|it| it.kind).collect();
    assert_eq!(late, [MessageKind::GetTx, MessageKind::GetBlocks].into());
    assert_eq!(pair.alice.held_bytes, 0);
}

#[test]
fn who_asks_for_ever_more_without_reading_is_not_read_from() {
    let mut pair = Pair::new();
    assert!(pair.send_block(2 << 20));
    pair.fill(START);
    for _ in 0..2_000 {
        let request = vec![0; 518].into();
        assert!(
            pair.bob
                .send(Lane::History, MessageKind::GetBlocks, request)
        );
    }
    let mut tries = 0;
    while pair.alice.may_read() {
        pair.bob.writable = true;
        pair.bob.write(START).unwrap();
        pair.alice.readable = true;
        pair.alice.read(START, &mut vec![0; 64 << 10]);
        assert!(pair.alice.next_message().is_none());
        tries += 1;
        assert!(tries < PATIENCE, "all of them are read");
    }
    let held = pair.alice.held_bytes;
    assert!((HELD_BYTES_MAX..HELD_BYTES_MAX + 2 * READ_BYTES_MAX).contains(&held));
    // When Bob reads, all of them are looked at.
    let mut answered = 0;
    for _ in 0..PATIENCE {
        serve(&mut pair.alice, START);
        serve(&mut pair.bob, START);
        while let Some(message) = pair.bob.next_message() {
            pair.bob.consumed(message.lane, message.bytes.len());
        }
        while let Some(message) = pair.alice.next_message() {
            pair.alice.consumed(message.lane, message.bytes.len());
            answered += 1;
        }
        if answered == 2_000 {
            return;
        }
    }
    panic!("{answered} requests were looked at");
}

#[test]
fn who_lets_five_megabytes_wait_is_closed_and_one_great_message_is_not_too_much() {
    let mut pair = Pair::new();
    assert!(pair.send_block(4 << 20));
    assert!(pair.send_block(900 << 10));
    assert!(!pair.send_block(200 << 10));
    // As is one for whom too many small ones wait.
    let mut pair = Pair::new();
    let mut sends = 0;
    while pair
        .alice
        .send(Lane::Control, MessageKind::Pong, vec![0; 8].into())
    {
        sends += 1;
        assert!(sends < 2 * WAITING_COUNT_MAX);
    }
    assert!(sends > WAITING_COUNT_MAX);
}

#[test]
fn room_is_told_once_when_little_waits() {
    let mut pair = Pair::new();
    assert!(pair.send_block(1 << 20));
    pair.fill(START);
    pair.alice.await_room();
    assert!(!pair.alice.take_room());
    pair.drain(START);
    assert!(pair.alice.is_busy());
    assert!(pair.alice.take_room());
    assert!(!pair.alice.take_room() && !pair.alice.is_busy());
}
