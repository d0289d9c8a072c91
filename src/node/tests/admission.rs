//! Who may stay: those who break rules, those who are slow, those whom the operator bans.

use super::*;
use crate::p2p::{Ban, BanTarget};

const DAY: Span = Span::from_secs(86_400);

/// A peer that this node dialled.
fn dialled(number: u8) -> Peer {
    Peer {
        direction: Direction::Outbound,
        ..peer(number)
    }
}

fn again(peer: Peer, conn: u64) -> Peer {
    let conn = ConnId(conn);
    Peer { conn, ..peer }
}

impl Alice {
    /// Alice is told to stay connected with a peer, and is.
    fn dials(&mut self, peer: Peer) {
        let (key, socket) = (peer.key, peer.address);
        self.ask(Question::AddPeer(PeerAddress { key, socket }));
        self.expect_dial(peer);
        self.connect(peer);
    }

    fn expect_dial(&mut self, peer: Peer) {
        self.wait(Span::from_secs(1));
        let keys: Vec<_> = self.dialled.drain(..).map(|it| it.key).collect();
        assert_eq!(keys, [peer.key]);
    }

    fn expect_no_dial(&self) {
        assert!(self.dialled.is_empty(), "{:?}", self.dialled);
    }

    fn breaks_a_rule(&mut self, peer: Peer) {
        self.receive(peer, ready());
        self.expect_closed(peer, "it greeted twice");
    }

    /// A connection that goes no further than being accepted.
    fn knocks(&mut self, peer: Peer) {
        let (conn, from) = (peer.conn, peer.address);
        self.happens(Input::Accepted { conn, from });
    }

    fn is_discouraged(&self, peer: Peer) -> bool {
        let key = self.node.discouragement.of_key(&peer.key, self.now);
        key.is_some()
    }

    fn ban(&mut self, target: BanTarget, span: Span) {
        let call = self.ask(Question::Ban(target, span));
        assert_eq!(self.answers[&call], Ok(Reply::Done));
    }

    fn bans(&mut self) -> Vec<Ban> {
        let call = self.ask(Question::Bans);
        match &self.answers[&call] {
            Ok(Reply::Bans(bans)) => bans.clone(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn who_broke_a_rule_is_not_dialled_for_a_day() {
    let (mut alice, bob) = (Alice::new(), dialled(2));
    alice.dials(bob);
    alice.breaks_a_rule(bob);
    let told = alice.events.iter().any(|event| {
        matches!(event, Event::PeerDiscouraged { key, rule, .. }
            if *key == bob.key && rule == "it greeted twice")
    });
    assert!(told, "{:?}", alice.events);
    // That the operator names it again changes nothing.
    let (key, socket) = (bob.key, bob.address);
    alice.ask(Question::AddPeer(PeerAddress { key, socket }));
    alice.wait(Span::from_secs(86_399));
    alice.expect_no_dial();
    alice.expect_dial(bob);
}

#[test]
fn who_is_slow_or_incompatible_or_leaves_is_dialled_again_soon() {
    type Story = fn(&mut Alice, Peer);
    let stories: [(Story, &str); 3] = [
        (
            |alice, _| alice.wait(Span::from_secs(80)),
            "did not answer: ping",
        ),
        (
            |alice, bob| {
                let text = ShortText::new("x");
                alice.receive(bob, Message::Bye { reason: 1, text });
            },
            "it said goodbye",
        ),
        (
            |alice, bob| {
                let why = CloseReason::Incompatible("it is from the future".to_owned());
                alice.node.drop_peer(bob.conn, why, alice.now);
                alice.drain();
            },
            "from the future",
        ),
    ];
    for (story, end) in stories {
        let (mut alice, bob) = (Alice::new(), dialled(2));
        alice.dials(bob);
        story(&mut alice, bob);
        alice.expect_closed(bob, end);
        assert!(!alice.is_discouraged(bob));
        alice.expect_dial(bob);
    }
}

#[test]
fn an_incompatible_peer_is_dialled_ever_more_rarely() {
    let (mut alice, bob) = (Alice::new(), dialled(2));
    let (key, socket) = (bob.key, bob.address);
    alice.ask(Question::AddPeer(PeerAddress { key, socket }));
    for conn in 60..64 {
        let bob = again(bob, conn);
        alice.meet(bob);
        let Message::Hello(mut hello) = hello(bob) else {
            unreachable!()
        };
        hello.features = Features(4);
        alice.receive(bob, Message::Hello(hello));
        alice.expect_closed(bob, "it needs feature 2");
    }
    alice.dialled.clear();
    alice.wait(Span::from_millis(3_999));
    alice.expect_no_dial();
    alice.wait(Span::from_millis(1));
    assert_eq!(alice.dialled.len(), 1);
    assert!(!alice.is_discouraged(bob));
}

#[test]
fn a_breach_of_the_transport_counts_as_well() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    let why = CloseCause::Fault("a frame is not authentic".to_owned());
    let conn = bob.conn;
    alice.happens(Input::Closed { conn, why });
    assert!(alice.is_discouraged(bob));
}

#[test]
fn of_several_nodes_behind_one_address_only_the_one_at_fault_is_discouraged() {
    let mut alice = Alice::new();
    let address = SocketAddr::from(([127, 0, 0, 1], 40_000));
    let [bob, carol, dora] = [2, 3, 4].map(|number| Peer {
        address,
        ..peer(number)
    });
    alice.connect(bob);
    alice.connect(carol);
    alice.breaks_a_rule(bob);
    alice.expect_open(carol);
    alice.connect(dora);
    alice.expect_open(dora);
    assert!(alice.is_discouraged(bob) && !alice.is_discouraged(dora));
    // And it is discouraged wherever it comes from.
    let elsewhere = SocketAddr::from(([10, 77, 0, 1], 40_000));
    let moved = Peer {
        address: elsewhere,
        ..again(bob, 60)
    };
    alice.connect(moved);
    assert!(alice.is_discouraged(moved));
}

#[test]
fn while_there_is_room_the_discouraged_may_come_and_when_slots_are_scarce_not() {
    let mut alice = Alice::configured(|config| config.inbound_max = 3);
    let bob = peer(2);
    alice.connect(bob);
    alice.breaks_a_rule(bob);
    let back = again(bob, 60);
    alice.connect(back);
    alice.expect_open(back);
    // The last slot is not for somebody from there.
    alice.connect(peer(3));
    let third = again(bob, 61);
    alice.knocks(third);
    alice.expect_closed(third, "slots are scarce");
    let stranger = peer(4);
    alice.knocks(stranger);
    alice.expect_open(stranger);
}

#[test]
fn a_newcomer_takes_the_slot_of_the_youngest_of_the_most_crowded_network() {
    let mut alice = Alice::configured(|config| config.inbound_max = 40);
    for number in 1..=30 {
        alice.connect(peer(number));
        alice.wait(Span::from_millis(200));
    }
    let crowd = |number: u8| Peer {
        address: SocketAddr::from(([10, 200, number, 1], 40_000)),
        ..peer(number)
    };
    for number in 31..=40 {
        alice.connect(crowd(number));
        alice.wait(Span::from_millis(200));
    }
    assert!(alice.closed.is_empty(), "{:?}", alice.closed);
    let newcomer = peer(41);
    alice.connect(newcomer);
    alice.expect_closed(crowd(40), "a newcomer needs the slot");
    assert_eq!(alice.closed.len(), 1);
    // Whoever broke a rule gets no slot of anybody.
    let bad = again(peer(1), 60);
    alice.breaks_a_rule(peer(1));
    alice.connect(peer(42));
    alice.meet(Peer {
        address: SocketAddr::from(([10, 99, 0, 1], 40_000)),
        ..bad
    });
    alice.expect_closed(bad, "it broke a rule lately, and every slot is taken");
    assert_eq!(alice.closed.len(), 3);
}

#[test]
fn who_is_worth_something_is_not_evicted() {
    let mut alice = Alice::configured(|config| config.inbound_max = 40);
    for number in 1..=40 {
        alice.connect(peer(number));
        alice.wait(Span::from_millis(100));
    }
    // The three youngest bring a block, a transaction, and a quick answer to a ping.
    let (first, payment) = (alice.first_block(), alice.pays(0, 7));
    alice.gets_transaction(peer(39), &payment);
    alice.gets_block(peer(40), &first);
    alice.wait(Span::from_secs(60));
    for number in 1..=40 {
        let pings = alice.sent.remove(&peer(number).conn).unwrap_or_default();
        let ping = pings.into_iter().find_map(|message| match message {
            Message::Ping { nonce } => Some(nonce),
            _ => None,
        });
        if number == 38 {
            let nonce = ping.expect("it is asked each minute");
            alice.receive(peer(38), Message::Pong { nonce });
        }
    }
    alice.connect(peer(41));
    for number in [38, 39, 40] {
        alice.expect_open(peer(number));
    }
    assert_eq!(alice.closed.len(), 1, "{:?}", alice.closed);
}

#[test]
fn a_banned_key_is_closed_at_once_and_can_not_come_back_from_anywhere() {
    let (mut alice, bob, carol) = (Alice::new(), dialled(2), peer(3));
    alice.dials(bob);
    alice.connect(carol);
    let target = BanTarget::Key(bob.key);
    alice.ban(target, DAY);
    alice.expect_closed(bob, "the operator banned it");
    alice.expect_open(carol);
    let inbound = Peer {
        address: SocketAddr::from(([10, 77, 0, 1], 40_000)),
        direction: Direction::Inbound,
        ..again(bob, 60)
    };
    alice.meet(inbound);
    alice.expect_closed(inbound, "it is banned");
    alice.wait(Span::from_secs(86_000));
    alice.expect_no_dial();
    assert_eq!(alice.bans().len(), 1);
    // The operator thinks better of it.
    let call = alice.ask(Question::Unban(target));
    assert_eq!(alice.answers[&call], Ok(Reply::Done));
    alice.expect_dial(bob);
    assert_eq!(alice.bans(), []);
    let call = alice.ask(Question::Unban(target));
    assert_eq!(alice.answers[&call], Err(CallError::NotFound("ban")));
}

#[test]
fn a_banned_range_is_refused_before_the_handshake_until_the_ban_is_over() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    alice.connect(bob);
    alice.connect(carol);
    let half_open = again(bob, 59);
    alice.knocks(half_open);
    alice.ban("10.2.0.0/16".parse().unwrap(), Span::from_secs(100));
    alice.expect_closed(bob, "the operator banned it");
    alice.expect_closed(half_open, "the operator banned it");
    alice.expect_open(carol);
    let knock = again(bob, 60);
    alice.knocks(knock);
    alice.expect_closed(knock, "its address is banned");
    alice.wait(Span::from_secs(100));
    let back = again(bob, 61);
    alice.connect(back);
    alice.expect_open(back);
}

#[test]
fn bans_are_in_the_file_before_they_are_promised_and_hold_after_a_restart() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.ban("10.2.0.0/16".parse().unwrap(), DAY);
    let file = alice.ban_files.pop().expect("the list was written");
    let bans: BanList = file.parse().unwrap();
    let mut alice = Alice::configured(|config| config.bans = bans);
    alice.knocks(bob);
    alice.expect_closed(bob, "its address is banned");
    let call = alice.ask(Question::ClearBans);
    assert_eq!(alice.answers[&call], Ok(Reply::Done));
    let file = alice.ban_files.pop().expect("the list was written");
    assert_eq!(file.parse(), Ok(BanList::default()));

    // Not written is not promised.
    let target = "10.2.0.0/16".parse().unwrap();
    let (call, question) = (CallId(99), Question::Ban(target, DAY));
    alice
        .node
        .handle(alice.now, Input::Called { call, question });
    let kept = std::iter::from_fn(|| alice.node.poll_output());
    assert_eq!(
        kept.filter(|it| matches!(it, Output::KeepBans { .. }))
            .count(),
        1
    );
    assert!(!alice.node.is_quiet());
    let result = Err("no space".to_owned());
    alice.happens(Input::BansKept { call, result });
    let error = alice.answers[&call].clone().unwrap_err();
    assert!(error.to_string().contains("no space"), "{error}");
    let knock = again(bob, 60);
    alice.knocks(knock);
    alice.expect_closed(knock, "its address is banned");
}

#[test]
fn what_is_held_against_peers_is_part_of_the_state() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    alice.breaks_a_rule(bob);
    alice.ban("10.9.0.0/16".parse().unwrap(), DAY);
    let snapshot = alice.node.snapshot();
    let bytes = snapshot.to_bytes();
    let snapshot: Snapshot = postcard::from_bytes(&bytes).unwrap();
    let none = |_: &BlockId| None;
    let restored = Node::restore(snapshot, &none, Arc::new(NoLog)).expect("nothing is under way");
    assert_eq!(restored.state_hash(), alice.node.state_hash());
    let before = alice.node.state_hash();
    alice.node = restored;
    let knock = Peer {
        address: SocketAddr::from(([10, 9, 0, 1], 40_000)),
        ..again(bob, 60)
    };
    alice.knocks(knock);
    alice.expect_closed(knock, "its address is banned");
    let call = alice.ask(Question::Unban(BanTarget::Key(bob.key)));
    assert_eq!(alice.answers[&call], Ok(Reply::Done), "it is forgiven");
    assert!(!alice.is_discouraged(bob));
    assert_ne!(alice.node.state_hash(), before);
}

#[test]
fn the_operator_disconnects_by_number_key_or_address() {
    let bob = peer(2);
    for named in [
        PeerRef::Conn(bob.conn),
        PeerRef::Key(bob.key),
        PeerRef::Address(bob.address),
    ] {
        let (mut alice, carol) = (Alice::new(), peer(3));
        alice.connect(bob);
        alice.connect(carol);
        let call = alice.ask(Question::Disconnect(named.clone()));
        assert_eq!(alice.answers[&call], Ok(Reply::Done));
        alice.expect_closed(bob, "the operator disconnected it");
        alice.expect_open(carol);
        let call = alice.ask(Question::Disconnect(named));
        let nobody = CallError::NotFound("connected peer");
        assert_eq!(alice.answers[&call], Err(nobody));
        alice.connect(again(bob, 60));
    }
}

#[test]
fn who_is_removed_is_not_dialled_again_and_stays_connected() {
    let (mut alice, bob) = (Alice::new(), dialled(2));
    alice.dials(bob);
    let call = alice.ask(Question::RemovePeer(bob.key));
    assert_eq!(alice.answers[&call], Ok(Reply::Done));
    alice.expect_open(bob);
    let call = alice.ask(Question::RemovePeer(bob.key));
    assert_eq!(alice.answers[&call], Err(CallError::NotFound("added peer")));
    let (conn, why) = (bob.conn, CloseCause::Remote);
    alice.happens(Input::Closed { conn, why });
    alice.wait(DAY);
    alice.expect_no_dial();
}

#[test]
fn who_broke_a_rule_is_told_of_with_the_rule_and_can_be_forgiven() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    alice.breaks_a_rule(bob);
    let discouraged = |alice: &mut Alice| {
        let call = alice.ask(Question::Discouraged);
        match &alice.answers[&call] {
            Ok(Reply::Discouraged(peers)) => peers.clone(),
            other => panic!("{other:?}"),
        }
    };
    let both = discouraged(&mut alice);
    let named: Vec<String> = both.iter().map(|one| one.target.to_string()).collect();
    assert_eq!(named, [bob.address.ip().to_string(), bob.key.to_string()]);
    assert!(both.iter().all(|one| one.rule == "it greeted twice"));
    for one in both {
        alice.ask(Question::Unban(one.target));
    }
    assert_eq!(discouraged(&mut alice), []);
}

#[test]
fn a_stale_tip_has_one_more_peer_tried() {
    let (mut alice, bob) = (Alice::new(), dialled(2));
    let (key, socket) = (bob.key, bob.address);
    alice.ask(Question::AddPeer(PeerAddress { key, socket }));
    // Nobody is there; the waits between dials have grown to half a minute.
    let (start, mut dials) = (alice.now, Vec::new());
    for _ in 0..3_000 {
        alice.wait(Span::from_millis(100));
        for _ in alice.dialled.drain(..).collect::<Vec<_>>() {
            dials.push(alice.now);
            let why = "nobody answers".to_owned();
            alice.happens(Input::DialFailed { key, why });
        }
    }
    let gaps: Vec<u64> = dials
        .windows(2)
        .map(|at| at[1].since(at[0]).as_millis())
        .collect();
    assert!(gaps.starts_with(&[500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000]));
    assert!(dials.contains(&(start + Span::from_secs(90))), "{dials:?}");
}

#[test]
fn a_renewed_record_is_the_one_that_peers_get() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    let mut content = record(&alice.maker.genesis, OWN_KEY).content;
    content.seq = 2;
    let identity = SecretKey::from_seed(&OWN_KEY.0);
    let renewed = NodeRecord::sign(content, &alice.maker.genesis.id(), &identity);
    let before = alice.node.state_hash();
    let record = renewed.clone();
    alice.happens(Input::Renewed { record });
    assert_ne!(alice.node.state_hash(), before);
    let request = RequestId(9);
    alice.receive(bob, Message::GetRecord { request });
    let record = Box::new(renewed);
    alice.expect_sent(bob, |m| *m == Message::Record { request, record });
}
