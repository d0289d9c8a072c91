use super::requests::{
    ANNOUNCED_AT_FIRST, ANNOUNCED_PER_PEER, IN_FLIGHT_BYTES, INBOUND_DELAY, WANTS_MAX,
};
use super::*;

mod model;

const ALICE: ConnId = ConnId(1);
const BOB: ConnId = ConnId(2);
/// The only one that this node dialled, where there is one.
const OLGA: ConnId = ConnId(3);

fn id(number: u32) -> WtxId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    WtxId(bytes)
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn empty() -> Relay {
    Relay::new(10, Rng::from_number(1))
}

/// Two peers that dialled this node.
fn relay() -> Relay {
    let mut relay = empty();
    for conn in [ALICE, BOB] {
        relay.joined(conn, Direction::Inbound, std::iter::empty(), at(0));
    }
    relay
}

fn with_outbound() -> Relay {
    let mut relay = relay();
    relay.joined(OLGA, Direction::Outbound, std::iter::empty(), at(0));
    relay
}

/// Who is asked for which transactions now.
fn asks(relay: &mut Relay, millis: u64) -> Vec<(ConnId, Vec<WtxId>)> {
    let mut out = Vec::new();
    relay.schedule(at(millis), &mut out);
    let ask = |action| match action {
        Action::Send(conn, _, Message::GetTx { wtxids, .. }) => (conn, wtxids),
        other => panic!("{other:?}"),
    };
    out.into_iter().map(ask).collect()
}

fn announce(relay: &mut Relay, conn: ConnId, millis: u64, ids: &[WtxId]) {
    relay.announced(conn, ids, at(millis), |_| false);
}

/// Who is told what, from now until nothing is left to be told.
fn told(relay: &mut Relay) -> Vec<(ConnId, Message)> {
    let mut out = Vec::new();
    while let Some(at) = relay.tell_deadline() {
        relay.tell(at, |_| Some(1_000_000), &mut out);
    }
    let sent = |action| match action {
        Action::Send(conn, _, message) => (conn, message),
        other => panic!("{other:?}"),
    };
    out.into_iter().map(sent).collect()
}

fn inventory(ids: &[WtxId]) -> Message {
    let wtxids = ids.to_vec();
    Message::TxInv { wtxids }
}

#[test]
fn each_announcer_is_asked_in_turn_two_seconds_apart() {
    let mut relay = relay();
    announce(&mut relay, BOB, 0, &[id(1)]);
    announce(&mut relay, ALICE, 0, &[id(1)]);
    assert_eq!(asks(&mut relay, 0), [(BOB, vec![id(1)])]);
    assert_eq!(relay.deadline(), Some(at(2_000)));
    assert_eq!(asks(&mut relay, 1_999), []);
    assert_eq!(asks(&mut relay, 2_000), [(ALICE, vec![id(1)])]);
    assert_eq!(asks(&mut relay, 4_000), []);
    assert_eq!(relay.deadline(), None, "nobody is left to be asked");
}

#[test]
fn who_dialled_us_waits_for_whom_we_dialled() {
    let mut relay = with_outbound();
    announce(&mut relay, BOB, 0, &[id(1), id(2)]);
    assert_eq!(asks(&mut relay, 0), []);
    assert_eq!(relay.deadline(), Some(at(200)));
    announce(&mut relay, OLGA, 199, &[id(1)]);
    assert_eq!(asks(&mut relay, 199), [(OLGA, vec![id(1)])]);
    assert_eq!(asks(&mut relay, 200), [(BOB, vec![id(2)])]);
    // The one that had to wait is the next after it.
    assert_eq!(asks(&mut relay, 2_199), [(BOB, vec![id(1)])]);
}

#[test]
fn not_found_moves_on_at_once() {
    let mut relay = relay();
    announce(&mut relay, BOB, 0, &[id(1)]);
    announce(&mut relay, ALICE, 0, &[id(1)]);
    asks(&mut relay, 0);
    relay.not_found(ALICE, &[id(1)], at(1));
    assert_eq!(asks(&mut relay, 1), [], "only who was asked can say so");
    relay.not_found(BOB, &[id(1)], at(1));
    assert_eq!(asks(&mut relay, 1), [(ALICE, vec![id(1)])]);
}

#[test]
fn a_late_answer_is_taken_once() {
    let mut relay = relay();
    announce(&mut relay, BOB, 0, &[id(1)]);
    asks(&mut relay, 0);
    asks(&mut relay, 2_000);
    let came = |relay: &mut Relay, conn| relay.came(conn, &id(1), 200, at(2_001));
    assert_eq!(came(&mut relay, ALICE), Arrival::Unasked);
    assert_eq!(came(&mut relay, BOB), Arrival::Wanted);
    assert_eq!(came(&mut relay, BOB), Arrival::Surplus);
}

#[test]
fn a_late_answer_frees_the_peer_that_was_asked_instead_and_its_own_is_no_fault() {
    let mut relay = relay();
    announce(&mut relay, BOB, 0, &[id(1)]);
    announce(&mut relay, ALICE, 0, &[id(1)]);
    asks(&mut relay, 0);
    asks(&mut relay, 2_000);
    assert_eq!(relay.came(BOB, &id(1), 200, at(2_001)), Arrival::Wanted);
    assert_eq!(relay.requests.counts(ALICE), (0, 0, 0, 0));
    assert_eq!(relay.deadline(), None);
    assert_eq!(relay.came(ALICE, &id(1), 200, at(2_002)), Arrival::Surplus);
}

#[test]
fn an_answer_to_what_came_another_way_meanwhile_is_no_fault() {
    let mut relay = relay();
    announce(&mut relay, BOB, 0, &[id(1)]);
    asks(&mut relay, 0);
    // Somebody outside brings it, and a block takes it before the answer is here.
    relay.accepted(id(1), at(1));
    assert_ne!(relay.came(BOB, &id(1), 200, at(2)), Arrival::Unasked);
}

#[test]
fn what_is_asked_of_a_peer_is_bounded_in_bytes() {
    let mut relay = relay();
    let many: Vec<WtxId> = (0..20_000).map(id).collect();
    announce(&mut relay, BOB, 0, &many);
    let asked = asks(&mut relay, 0);
    assert!(asked.iter().all(|(_, ids)| ids.len() <= GET_TX_MAX));
    let asked: Vec<WtxId> = asked.into_iter().flat_map(|(_, ids)| ids).collect();
    assert_eq!(
        asked[..],
        many[..4_096],
        "of 256 bytes each, as far as is known"
    );
    assert_eq!(asks(&mut relay, 0), []);
    // Another peer's announcements are not hindered.
    announce(&mut relay, ALICE, 0, &[id(30_000)]);
    assert_eq!(asks(&mut relay, 0), [(ALICE, vec![id(30_000)])]);
    // They turn out to be of 8 KiB: what came counts until it is checked, and then fewer are
    // asked for.
    let kept = |relay: &mut Relay, id| relay.came(BOB, id, 8_192, at(1)) == Arrival::Wanted;
    let taken = asked.iter().filter(|id| kept(&mut relay, id)).count();
    assert_eq!(
        taken as u64,
        2 * IN_FLIGHT_BYTES / 8_192,
        "the rest is dropped"
    );
    assert_eq!(asks(&mut relay, 1), []);
    relay.checked(BOB, taken * 8_192);
    let asked: usize = asks(&mut relay, 1).iter().map(|(_, ids)| ids.len()).sum();
    assert!((127..=140).contains(&asked), "{asked}");
}

#[test]
fn great_answers_that_come_late_leave_no_room_that_is_not_there() {
    let mut relay = relay();
    let many: Vec<WtxId> = (0..4_096).map(id).collect();
    announce(&mut relay, BOB, 0, &many);
    asks(&mut relay, 0);
    assert_eq!(asks(&mut relay, 2_000), [], "all have lapsed");
    // Something waits to be asked for while great answers come, and nothing is scheduled.
    announce(&mut relay, BOB, 2_000, &[id(9_000)]);
    for id in &many {
        relay.came(BOB, id, 16_384, at(2_000));
    }
    assert_eq!(asks(&mut relay, 2_000), []);
    relay.checked(BOB, 2 << 20);
    assert_eq!(asks(&mut relay, 2_000), [(BOB, vec![id(9_000)])]);
}

#[test]
fn a_transaction_greater_than_the_cap_is_still_asked_for() {
    let mut relay = relay();
    announce(&mut relay, BOB, 0, &[id(1)]);
    asks(&mut relay, 0);
    relay.came(BOB, &id(1), 100 << 20, at(0));
    announce(&mut relay, BOB, 0, &[id(2), id(3)]);
    assert_eq!(asks(&mut relay, 0), [(BOB, vec![id(2)])]);
}

#[test]
fn who_lets_thousands_lapse_is_asked_for_nothing_more_until_it_answers() {
    let mut relay = relay();
    let many: Vec<WtxId> = (0..30_000).map(id).collect();
    announce(&mut relay, BOB, 0, &many);
    let mut asked = Vec::new();
    for turn in 0..10 {
        let ids = asks(&mut relay, turn * 2_000).into_iter();
        asked.extend(ids.flat_map(|(_, ids)| ids));
    }
    assert_eq!(asked.len(), 2 * 4_096);
    assert!(relay.is_slow(BOB));
    // Every one of its answers is still known for one.
    for id in &asked[..4_000] {
        assert_eq!(relay.came(BOB, id, 200, at(20_000)), Arrival::Wanted);
    }
    relay.checked(BOB, 4_000 * 200);
    assert!(asks(&mut relay, 20_000).is_empty(), "the rest was let go");
    announce(&mut relay, BOB, 20_000, &many);
    assert!(!asks(&mut relay, 20_000).is_empty());
}

#[test]
fn what_a_silent_peer_announced_is_let_go() {
    let mut relay = relay();
    let many: Vec<WtxId> = (0..64 << 10).map(id).collect();
    announce(&mut relay, BOB, 0, &many);
    assert_eq!(relay.requests.wants(), ANNOUNCED_AT_FIRST);
    // Alice has some of them too, and is asked for those.
    announce(&mut relay, ALICE, 0, &many[9_000..9_010]);
    let mut asked_of_alice = 0;
    for turn in 0..4 {
        for (conn, ids) in asks(&mut relay, turn * 2_000) {
            if conn == ALICE {
                asked_of_alice += ids.len();
                for id in ids {
                    relay.came(ALICE, &id, 200, at(turn * 2_000));
                }
            }
        }
    }
    assert_eq!(asked_of_alice, 10);
    assert_eq!((relay.requests.wants(), relay.deadline()), (0, None));
    assert_eq!(relay.requests.counts(BOB), (0, 0, 0, 0));
    // Nor is it heard again before it answers.
    announce(&mut relay, BOB, 9_000, &many[20_000..]);
    assert_eq!(relay.requests.wants(), 0);
    assert_eq!(relay.came(BOB, &many[0], 200, at(9_000)), Arrival::Wanted);
    announce(&mut relay, BOB, 9_000, &many[20_000..]);
    assert_eq!(relay.requests.wants(), many.len() - 20_000);
}

#[test]
fn a_peer_that_lets_requests_lapse_comes_after_the_others() {
    let mut relay = relay();
    announce(&mut relay, ALICE, 0, &[id(1)]);
    asks(&mut relay, 0);
    asks(&mut relay, 2_000);
    for conn in [ALICE, BOB] {
        announce(&mut relay, conn, 2_000, &[id(2)]);
    }
    assert_eq!(asks(&mut relay, 2_000), [(BOB, vec![id(2)])]);
    // An answer in time makes up for it.
    announce(&mut relay, ALICE, 2_000, &[id(3)]);
    asks(&mut relay, 2_000);
    relay.came(ALICE, &id(3), 200, at(2_001));
    for conn in [ALICE, BOB] {
        announce(&mut relay, conn, 2_001, &[id(4)]);
    }
    assert_eq!(asks(&mut relay, 2_001), [(ALICE, vec![id(4)])]);
}

#[test]
fn what_a_peer_can_grow_has_a_bound_and_keeps_nobody_else_out() {
    let mut relay = relay();
    for conn in [4, 5, 6] {
        relay.joined(ConnId(conn), Direction::Inbound, std::iter::empty(), at(0));
    }
    let many: Vec<WtxId> = (0..400_000).map(id).collect();
    for (index, conn) in [BOB, ConnId(4), ConnId(5), ConnId(6)]
        .into_iter()
        .enumerate()
    {
        announce(&mut relay, conn, 0, &many[index * 100_000..][..100_000]);
        assert!(relay.requests.counts(conn).2 <= ANNOUNCED_PER_PEER);
    }
    assert!(relay.requests.wants() <= 2 * WANTS_MAX);
    announce(&mut relay, ALICE, 0, &[id(500_000)]);
    assert!(asks(&mut relay, 0).contains(&(ALICE, vec![id(500_000)])));
    for number in 0..30_000 {
        relay.accepted(id(600_000 + number), at(0));
    }
    let waits = |peer: &Listener| peer.tell.len() == TELL_PER_PEER;
    assert!(relay.peers.values().all(waits));
}

#[test]
fn counts_return_to_nothing_however_a_transaction_comes() {
    let mut relay = with_outbound();
    let many: Vec<WtxId> = (0..6_000).map(id).collect();
    for conn in [BOB, OLGA, ALICE] {
        announce(&mut relay, conn, 0, &many);
    }
    asks(&mut relay, 0);
    // A third of them is not asked for yet when somebody outside brings all of them.
    for id in &many {
        relay.accepted(*id, at(0));
    }
    assert_eq!((relay.requests.wants(), relay.deadline()), (0, None));
    for conn in [BOB, OLGA, ALICE] {
        assert_eq!(relay.requests.counts(conn), (0, 0, 0, 0));
    }
}

#[test]
fn what_was_refused_is_not_asked_for_until_the_tip_moves() {
    let mut relay = relay();
    relay.refuse(id(1));
    announce(&mut relay, BOB, 0, &[id(1)]);
    assert_eq!(asks(&mut relay, 0), []);
    relay.tip_moved();
    announce(&mut relay, BOB, 0, &[id(1)]);
    assert_eq!(asks(&mut relay, 0), [(BOB, vec![id(1)])]);
    // It came before, and is looked at again all the same.
    assert_eq!(relay.came(BOB, &id(1), 200, at(1)), Arrival::Wanted);
    relay.refuse(id(1));
    relay.tip_moved();
    announce(&mut relay, BOB, 1, &[id(1)]);
    asks(&mut relay, 1);
    assert_eq!(relay.came(BOB, &id(1), 200, at(2)), Arrival::Wanted);
}

#[test]
fn a_peer_is_told_in_batches_and_only_of_what_it_does_not_know() {
    let mut relay = relay();
    announce(&mut relay, ALICE, 0, &[id(2)]);
    for number in 1..=3 {
        relay.accepted(id(number), at(0));
    }
    let mut told = told(&mut relay);
    told.sort_by_key(|(conn, _)| *conn);
    assert_eq!(
        told,
        [
            (ALICE, inventory(&[id(1), id(3)])),
            (BOB, inventory(&[id(1), id(2), id(3)])),
        ]
    );
    relay.accepted(id(3), at(100));
    assert_eq!(relay.tell_deadline(), None, "both know it");
}

#[test]
fn batches_go_at_random_moments_of_their_own() {
    let mut relay = empty();
    for conn in 0..40 {
        relay.joined(ConnId(conn), Direction::Inbound, std::iter::empty(), at(0));
    }
    relay.accepted(id(1), at(1_000));
    let mut moments = BTreeSet::new();
    while let Some(moment) = relay.tell_deadline() {
        assert!(moment > at(1_000) && moment <= at(1_000) + TELL_WAIT_MAX);
        moments.insert(moment);
        let mut out = Vec::new();
        relay.tell(moment, |_| Some(0), &mut out);
        assert!(!out.is_empty());
    }
    assert!(moments.len() > 35, "{moments:?}");
}

#[test]
fn a_peer_hears_of_nothing_below_its_filter_nor_of_what_left() {
    let mut relay = relay();
    relay.fee_filter(BOB, 5);
    for number in 1..=3 {
        relay.accepted(id(number), at(0));
    }
    let mut out = Vec::new();
    let rate =
        |wtxid: &WtxId| (*wtxid != id(3)).then_some(if *wtxid == id(1) { 5_000 } else { 4_999 });
    relay.tell(at(50), rate, &mut out);
    let sent = |to| {
        let ids = out.iter().filter_map(|action| match action {
            Action::Send(conn, _, Message::TxInv { wtxids }) if *conn == to => Some(wtxids.clone()),
            _ => None,
        });
        ids.flatten().collect::<Vec<_>>()
    };
    assert_eq!(sent(BOB), [id(1)]);
    assert_eq!(sent(ALICE), [id(1), id(2)]);
}

#[test]
fn peers_hear_of_our_floor_when_it_changes_by_much() {
    let mut relay = relay();
    let filters = |relay: &mut Relay, floor| {
        relay.set_fee_floor(floor, at(0));
        let fees = told(relay).into_iter().map(|(_, message)| match message {
            Message::FeeFilter { fee } => fee,
            other => panic!("{other:?}"),
        });
        fees.collect::<Vec<_>>()
    };
    assert!(
        filters(&mut relay, 10).is_empty(),
        "everybody takes no less"
    );
    assert_eq!(filters(&mut relay, 100), [100, 100]);
    assert!(filters(&mut relay, 112).is_empty());
    assert_eq!(filters(&mut relay, 113), [113, 113]);
    relay.joined(OLGA, Direction::Outbound, std::iter::empty(), at(0));
    assert_eq!(told(&mut relay), [(OLGA, Message::FeeFilter { fee: 113 })]);
    assert_eq!(filters(&mut relay, 9), [10, 10, 10]);
}

const ALICES: AccountId = AccountId([1; 32]);
const BOBS: AccountId = AccountId([2; 32]);

#[test]
fn what_came_from_the_journal_is_told_of_after_minutes() {
    let mut relay = relay();
    for number in 0..3 {
        relay.readmitted(ALICES, id(9 - number), at(0));
    }
    let ids = [id(9), id(8), id(7)];
    assert!(ids.iter().all(|id| relay.is_quiet(id)));
    relay.joined(OLGA, Direction::Outbound, ids.into_iter(), at(0));
    let end = relay.tell_deadline().unwrap();
    assert!((at(60_000)..at(300_000)).contains(&end), "{end:?}");
    let told = told(&mut relay);
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|(_, message)| *message == inventory(&ids)));
    assert!(!ids.iter().any(|id| relay.is_quiet(id)));
}

#[test]
fn what_came_from_the_journal_is_told_of_when_a_peer_tells_of_it() {
    let mut relay = relay();
    // Before the journal was read and after.
    relay.announced(BOB, &[id(1)], at(0), |_| false);
    relay.readmitted(ALICES, id(1), at(0));
    relay.readmitted(BOBS, id(2), at(0));
    relay.readmitted(BOBS, id(3), at(0));
    let (mut out, soon) = (Vec::new(), at(50));
    relay.tell(soon, |_| Some(1_000_000), &mut out);
    let [Action::Send(ALICE, _, message)] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(*message, inventory(&[id(1)]));
    assert_eq!(asks(&mut relay, 50), []);
    // What stands before it goes with it, and the newest of its account ends the silence too.
    relay.announced(BOB, &[id(3)], soon, |_| true);
    assert_eq!(
        relay.tell_deadline().map(|at| at <= soon + TELL_WAIT_MAX),
        Some(true)
    );
    let told = told(&mut relay);
    assert!(
        told.contains(&(ALICE, inventory(&[id(2), id(3)]))),
        "{told:?}"
    );
    assert!(told.contains(&(BOB, inventory(&[id(2)]))), "{told:?}");
    assert_eq!(relay.tell_deadline(), None);
}

#[test]
fn each_accounts_silence_has_its_own_end() {
    let mut relay = relay();
    for account in 0..40 {
        relay.readmitted(AccountId([account; 32]), id(u32::from(account)), at(0));
    }
    let mut ends = BTreeSet::new();
    while let Some(end) = relay.quiet.deadline() {
        assert!((at(60_000)..at(300_000)).contains(&end));
        ends.insert(end);
        relay.tell(end, |_| Some(0), &mut Vec::new());
    }
    assert_eq!(ends.len(), 40);
}

#[test]
fn a_great_mempool_is_told_bit_by_bit() {
    let mut relay = empty();
    relay.joined(BOB, Direction::Inbound, (0..30_000).map(id), at(0));
    let mut out = Vec::new();
    relay.tell(relay.tell_deadline().unwrap(), |_| Some(0), &mut out);
    assert_eq!(out.len() * TX_INV_MAX, TELL_AT_ONCE);
    let rest: usize = told(&mut relay).len();
    assert_eq!(
        (out.len() + rest) * TX_INV_MAX,
        20_000_usize.next_multiple_of(TX_INV_MAX)
    );
}
