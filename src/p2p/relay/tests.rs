use super::*;

const ALICE: ConnId = ConnId(1);
const BOB: ConnId = ConnId(2);

fn id(number: u32) -> WtxId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    WtxId(bytes)
}

fn relay() -> Relay {
    let mut relay = Relay::default();
    for conn in [ALICE, BOB] {
        relay.joined(conn, std::iter::empty());
    }
    relay
}

/// Who is asked for which transactions now.
fn asks(relay: &mut Relay, millis: u64) -> Vec<(ConnId, Vec<WtxId>)> {
    let mut out = Vec::new();
    relay.schedule(Time::from_millis(millis), &mut out);
    let ask = |action| match action {
        Action::Send(conn, Message::GetTx { wtxids, .. }) => (conn, wtxids),
        other => panic!("{other:?}"),
    };
    out.into_iter().map(ask).collect()
}

fn announce(relay: &mut Relay, conn: ConnId, ids: &[WtxId]) {
    relay.announced(conn, ids, |_| false);
}

#[test]
fn each_announcer_is_asked_in_turn_two_seconds_apart() {
    let mut relay = relay();
    announce(&mut relay, BOB, &[id(1)]);
    announce(&mut relay, ALICE, &[id(1)]);
    assert_eq!(asks(&mut relay, 0), [(BOB, vec![id(1)])]);
    assert_eq!(relay.deadline(), Some(Time::from_millis(2_000)));
    assert_eq!(asks(&mut relay, 1_999), []);
    assert_eq!(asks(&mut relay, 2_000), [(ALICE, vec![id(1)])]);
    assert_eq!(asks(&mut relay, 4_000), []);
    assert_eq!(relay.deadline(), None, "nobody is left to be asked");
}

#[test]
fn not_found_moves_on_at_once() {
    let mut relay = relay();
    announce(&mut relay, BOB, &[id(1)]);
    announce(&mut relay, ALICE, &[id(1)]);
    asks(&mut relay, 0);
    relay.not_found(ALICE, &[id(1)], Time::from_millis(1));
    assert_eq!(asks(&mut relay, 1), [], "only who was asked can say so");
    relay.not_found(BOB, &[id(1)], Time::from_millis(1));
    assert_eq!(asks(&mut relay, 1), [(ALICE, vec![id(1)])]);
}

#[test]
fn a_late_answer_is_taken_once() {
    let mut relay = relay();
    announce(&mut relay, BOB, &[id(1)]);
    asks(&mut relay, 0);
    asks(&mut relay, 2_000);
    assert!(!relay.came(ALICE, &id(1)), "it was never asked");
    assert!(relay.came(BOB, &id(1)));
    assert!(!relay.came(BOB, &id(1)));
    assert!(relay.is_recent(&id(1)));
}

#[test]
fn a_late_answer_frees_the_peer_that_was_asked_instead() {
    let mut relay = relay();
    announce(&mut relay, BOB, &[id(1)]);
    announce(&mut relay, ALICE, &[id(1)]);
    asks(&mut relay, 0);
    asks(&mut relay, 2_000);
    assert!(relay.came(BOB, &id(1)));
    assert!(relay.peers.values().all(|peer| peer.in_flight == 0));
    assert_eq!(relay.deadline(), None);
}

#[test]
fn what_a_peer_can_grow_has_a_bound() {
    let mut relay = relay();
    let many: Vec<WtxId> = (0..20_000).map(id).collect();
    announce(&mut relay, BOB, &many);
    assert_eq!(relay.wants.len(), ANNOUNCED_PER_PEER);
    let asked = asks(&mut relay, 0);
    assert!(asked.iter().all(|(_, ids)| ids.len() <= GET_TX_MAX));
    let count: usize = asked.iter().map(|(_, ids)| ids.len()).sum();
    assert_eq!(count, IN_FLIGHT_PER_PEER);
    assert_eq!(asks(&mut relay, 0), []);
    // Another peer's announcements are not hindered.
    announce(&mut relay, ALICE, &[id(30_000)]);
    assert_eq!(asks(&mut relay, 0), [(ALICE, vec![id(30_000)])]);
    for number in 0..30_000 {
        relay.accepted(id(40_000 + number), 1_000);
    }
    assert!(
        relay
            .peers
            .values()
            .all(|peer| peer.tell.len() == TELL_PER_PEER)
    );
}

#[test]
fn counts_return_to_nothing_however_a_transaction_comes() {
    let mut relay = relay();
    let many: Vec<WtxId> = (0..1_000).map(id).collect();
    announce(&mut relay, BOB, &many);
    asks(&mut relay, 0);
    // Half of them are not asked for yet when somebody outside brings all of them.
    for id in &many {
        relay.accepted(*id, 0);
    }
    assert!(relay.wants.is_empty());
    let bob = &relay.peers[&BOB];
    assert_eq!((bob.in_flight, bob.announced), (0, 0));
}

#[test]
fn what_was_refused_is_not_asked_for_until_the_tip_moves() {
    let mut relay = relay();
    relay.refuse(id(1));
    announce(&mut relay, BOB, &[id(1)]);
    assert_eq!(asks(&mut relay, 0), []);
    relay.tip_moved();
    announce(&mut relay, BOB, &[id(1)]);
    assert_eq!(asks(&mut relay, 0), [(BOB, vec![id(1)])]);
}
