//! Connections: how they begin, what they must keep to, how they end.

use super::*;

#[test]
fn hello_then_ready_then_everything() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.meet(bob);
    alice.expect_sent(bob, |m| matches!(m, Message::Hello(_)));
    alice.expect_silence(bob);
    alice.receive(bob, hello(bob));
    alice.expect_sent(bob, |m| *m == ready());
    alice.expect_silence(bob);
    alice.receive(bob, ready());
    alice.expect_get_headers(bob);
    alice.receive(bob, Message::Ping { nonce: 5 });
    alice.expect_sent(bob, |m| *m == Message::Pong { nonce: 5 });
    alice.expect_silence(bob);
}

#[test]
fn every_other_order_closes_and_names_the_rule() {
    let ping = Message::Ping { nonce: 1 };
    let bob = peer(2);
    let stories = [
        (vec![ready()], "its first message is not HELLO"),
        (vec![ping.clone()], "its first message is not HELLO"),
        (vec![hello(bob), ping], "its second message is not READY"),
        (
            vec![hello(bob), hello(bob)],
            "its second message is not READY",
        ),
        (vec![hello(bob), ready(), hello(bob)], "it greeted twice"),
        (vec![hello(bob), ready(), ready()], "it greeted twice"),
    ];
    for (messages, rule) in stories {
        let mut alice = Alice::new();
        alice.meet(bob);
        for message in messages {
            alice.expect_open(bob);
            alice.receive(bob, message);
        }
        alice.expect_closed(bob, rule);
    }
}

#[test]
fn a_hello_that_does_not_fit_closes_and_says_why() {
    let bob = peer(2);
    let change = |change: fn(&mut Hello)| {
        let mut alice = Alice::new();
        alice.meet(bob);
        let Message::Hello(mut hello) = hello(bob) else {
            unreachable!()
        };
        change(&mut hello);
        alice.receive(bob, Message::Hello(hello));
        alice
    };
    let other_version = change(|hello| (hello.protocol_min, hello.protocol) = (2, 3));
    other_version.expect_closed(bob, "no version of the protocol");
    change(|hello| hello.features = Features(4)).expect_closed(bob, "it needs feature 2");
    change(|hello| hello.features = Features(8)).expect_open(bob);
}

#[test]
fn a_ready_with_features_that_nobody_has_closes() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.meet(bob);
    alice.receive(bob, hello(bob));
    let features = Features(2);
    alice.receive(bob, Message::Ready { features });
    alice.expect_closed(bob, "its READY names other features than both sides have");
}

#[test]
fn who_does_not_greet_within_five_seconds_is_closed() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.meet(bob);
    alice.wait(Span::from_millis(4_999));
    alice.expect_open(bob);
    alice.wait(Span::from_millis(1));
    alice.expect_closed(bob, "did not answer: greeting");
}

#[test]
fn a_ping_that_is_not_answered_for_twenty_seconds_closes() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    alice.wait(Span::from_secs(60));
    let ping = alice.expect_sent(bob, |m| matches!(m, Message::Ping { .. }));
    let Message::Ping { nonce } = ping else {
        unreachable!()
    };
    alice.wait(Span::from_millis(19_999));
    alice.receive(bob, Message::Pong { nonce });
    alice.wait(Span::from_secs(60));
    alice.expect_sent(bob, |m| matches!(m, Message::Ping { .. }));
    alice.wait(Span::from_millis(19_999));
    alice.expect_open(bob);
    alice.wait(Span::from_millis(1));
    alice.expect_closed(bob, "did not answer: ping");
}

#[test]
fn a_pong_to_no_ping_closes_and_so_does_a_second_one() {
    let bob = peer(2);
    let mut alice = Alice::new();
    alice.connect(bob);
    alice.receive(bob, Message::Pong { nonce: 1 });
    alice.expect_closed(bob, "it answered a ping that nobody sent");

    let mut alice = Alice::new();
    alice.connect(bob);
    alice.wait(Span::from_secs(60));
    let ping = alice.expect_sent(bob, |m| matches!(m, Message::Ping { .. }));
    let Message::Ping { nonce } = ping else {
        unreachable!()
    };
    alice.receive(bob, Message::Pong { nonce });
    alice.expect_open(bob);
    alice.receive(bob, Message::Pong { nonce });
    alice.expect_closed(bob, "it answered a ping that nobody sent");
}

#[test]
fn of_two_nodes_that_dial_each_other_the_smaller_keys_connection_stays() {
    let both = |key: u8| {
        let mut alice = Alice::new();
        let bob = Peer {
            key: NodeKey([key; 32]),
            ..peer(2)
        };
        let dialled = Peer {
            conn: ConnId(50),
            direction: Direction::Outbound,
            ..bob
        };
        alice.connect(bob);
        alice.meet(dialled);
        let theirs = (alice, bob, dialled);
        let mut alice = Alice::new();
        alice.connect(dialled);
        alice.meet(bob);
        [theirs, (alice, bob, dialled)]
    };
    for (alice, theirs, ours) in both(OWN_KEY.0[0] - 1) {
        alice.expect_closed(ours, "another connection to this peer stays");
        alice.expect_open(theirs);
    }
    for (alice, theirs, ours) in both(OWN_KEY.0[0] + 1) {
        alice.expect_closed(theirs, "another connection to this peer stays");
        alice.expect_open(ours);
    }
}

#[test]
fn a_peer_that_comes_again_is_alive_in_its_newer_connection() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let again = Peer {
        conn: ConnId(51),
        ..bob
    };
    alice.connect(bob);
    alice.connect(again);
    alice.expect_closed(bob, "another connection to this peer stays");
    alice.expect_open(again);
}

#[test]
fn a_connection_to_itself_closes() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let mirror = Peer {
        key: OWN_KEY,
        ..bob
    };
    alice.meet(mirror);
    alice.expect_closed(mirror, "this node itself");

    // The same behind another key, as when two nodes share a seed: its own nonce comes back.
    let mut alice = Alice::new();
    alice.meet(bob);
    let hello = alice.expect_sent(bob, |m| matches!(m, Message::Hello(_)));
    alice.receive(bob, hello);
    alice.expect_closed(bob, "this node itself");
}

#[test]
fn a_thousand_unknown_odd_messages_an_hour_are_ignored_and_one_more_closes() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let odd = |alice: &mut Alice| alice.receive_raw(bob, Lane::Control, 0x81, vec![1, 2, 3]);
    alice.connect(bob);
    for _ in 0..1_000 {
        odd(&mut alice);
    }
    alice.expect_silence(bob);
    odd(&mut alice);
    alice.expect_closed(bob, "more than 1,000 unknown messages in an hour");
}

#[test]
fn messages_that_must_be_understood_close_by_name() {
    let stories: [(u8, &str); 3] = [
        (0x26, "CMPCT is not negotiated"),
        (0x60, "a message of consensus is not negotiated"),
        (0x82, "unknown message type 0x82"),
    ];
    for (kind, rule) in stories {
        let (mut alice, bob) = (Alice::new(), peer(2));
        alice.connect(bob);
        alice.receive_raw(bob, Lane::Control, kind, Vec::new());
        alice.expect_closed(bob, rule);
    }
}

#[test]
fn a_message_that_is_cut_or_too_long_closes() {
    for (bytes, rule) in [(vec![0; 7], "PING ends too early"), (vec![0; 9], "PING: ")] {
        let (mut alice, bob) = (Alice::new(), peer(2));
        alice.connect(bob);
        alice.receive_raw(bob, Lane::Control, MessageKind::Ping.byte(), bytes);
        alice.expect_closed(bob, rule);
    }
}

#[test]
fn the_fourth_connection_of_one_address_is_refused() {
    let mut alice = Alice::new();
    let from = peer(2).address;
    let knock = |alice: &mut Alice, conn| {
        alice.happens(Input::Accepted {
            conn: ConnId(conn),
            from,
        });
        Peer {
            conn: ConnId(conn),
            ..peer(2)
        }
    };
    let first = knock(&mut alice, 11);
    alice.expect_open(first);
    for conn in [12, 13] {
        let other = knock(&mut alice, conn);
        alice.expect_open(other);
    }
    let fourth = knock(&mut alice, 14);
    alice.expect_closed(fourth, "its address has 3 connections already");
    // Room that is given back can be had again.
    let why = CloseCause::Remote;
    alice.happens(Input::Closed {
        conn: first.conn,
        why,
    });
    let fifth = knock(&mut alice, 15);
    alice.expect_open(fifth);
}

#[test]
fn goodbye_ends_the_connection() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    let text = ShortText::new("going home");
    alice.receive(bob, Message::Bye { reason: 1, text });
    alice.expect_closed(bob, "it said goodbye");
}
