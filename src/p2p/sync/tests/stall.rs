//! Slow and silent peers.

use super::*;

#[test]
fn a_block_that_holds_up_others_is_asked_elsewhere_after_two_seconds_and_taken_late() {
    let mut story = Story::new(1, &[BOB, CAROL]);
    let (first, request, _) = story.asks(0).remove(0);
    assert_eq!(story.sync.deadline(), Some(time(2_000)));
    assert!(story.expire(1_999).is_empty());
    assert_eq!(story.asks(1_999), []);
    assert!(story.expire(2_000).is_empty(), "nobody is closed for that");
    let (second, other, _) = story.asks(2_000).remove(0);
    assert_ne!(first, second);
    // The first one sends it after all, before the second does.
    assert_eq!(story.comes(first, request, 0, 208, 2_100), Arrival::Wanted);
    story.is_good(0);
    assert_eq!(story.comes(second, other, 0, 208, 2_200), Arrival::Spare);
    assert!(story.sync.peers.values().all(|peer| peer.asks.is_empty()));
}

#[test]
fn all_that_a_silent_peer_was_asked_for_goes_to_others_and_it_is_given_up_when_they_answer() {
    let mut story = Story::new(40, &[BOB, CAROL]);
    let asked = story.asks(0);
    let (silent, asked_of_silent) = (asked[0].0, asked[0].2.clone());
    story.come(&asked[1], 208, 100);
    let more = story.asks(100);
    assert_eq!(peers_of(&more), [asked[1].0]);
    story.come(&more[0], 208, 200);
    assert_eq!(story.asks(200), []);
    assert!(story.expire(2_000).is_empty());
    let again = story.asks(2_000);
    assert_eq!(again[0].2, asked_of_silent);
    // The others answer: it was not the line.
    story.come(&again[0], 208, 2_050);
    let closed = story.expire(4_500);
    assert!(
        matches!(&closed[..], [Action::Unresponsive(conn, "blocks")] if *conn == silent),
        "{closed:?}"
    );
    assert_eq!(
        story.sync.patience,
        Span::from_secs(4),
        "the next has longer"
    );
    let last = story.id(39);
    assert!(story.chain.tree().is_complete(&last));
}

#[test]
fn nobody_is_given_up_while_all_are_silent() {
    let mut story = Story::new(64, &[BOB, CAROL]);
    let asked = story.asks(0);
    for millis in (0..9_900).step_by(100) {
        assert!(story.expire(millis).is_empty());
        story.asks(millis);
    }
    // The line comes back, and everything is taken.
    for (conn, request, places) in asked {
        for place in places {
            let arrival = story.comes(conn, request, place, 208, 9_950);
            assert_eq!(arrival, Arrival::Wanted, "block {place}");
            story.is_good(place);
        }
    }
    assert!(story.expire(11_000).is_empty());
}

#[test]
fn a_slow_peer_with_large_blocks_is_late_with_none_of_them() {
    // One block of 3.9 MB in 60 seconds, one after the other, and nobody else has them.
    let weights = [3_900_000; 5];
    let mut story = Story::of_weights(&weights, &[BOB]);
    let mut now = 0;
    for _ in 0..5 {
        let asked = story.asks(now);
        assert_eq!(count(&asked), 1);
        for _ in 0..600 {
            now += 100;
            assert!(story.expire(now).is_empty());
            assert_eq!(story.asks(now), []);
        }
        story.come(&asked[0], 3_900_000, now);
    }
    let last = story.id(4);
    assert!(story.chain.tree().is_complete(&last));
}

#[test]
fn a_peer_that_delivers_slowly_keeps_what_it_was_asked_for_but_what_holds_up_others() {
    let mut story = Story::new(32, &[BOB, CAROL]);
    let asked = story.asks(0);
    let (slow, fast) = (asked[0].clone(), asked[1].clone());
    story.come(&fast, 208, 10);
    let mut twice = 0;
    for (turn, place) in slow.2.iter().enumerate() {
        let now = 1_500 * (turn as u64 + 1);
        for millis in (now - 1_500..now).step_by(100) {
            assert!(story.expire(millis).is_empty());
            for (conn, request, places) in story.asks(millis) {
                assert_eq!(conn, fast.0);
                twice += places.len();
                story.come(&(conn, request, places), 208, millis + 1);
            }
        }
        let arrival = story.comes(slow.0, slow.1, *place, 208, now);
        assert_ne!(arrival, Arrival::Unasked);
        if arrival == Arrival::Wanted {
            story.is_good(*place);
        }
    }
    assert!(twice >= 1, "nobody waits for it");
    let last = story.id(31);
    assert!(story.chain.tree().is_complete(&last));
    assert!(story.sync.peers.contains_key(&slow.0));
}

#[test]
fn no_more_than_a_tenth_is_asked_for_twice() {
    // Bob answers nothing, and is there again whenever he was closed.
    let mut story = Story::of_weights(&[1_000_000; 400], &[BOB, CAROL]);
    let (mut now, mut received) = (0, 0_u64);
    let last = story.id(399);
    while !story.chain.tree().is_complete(&last) {
        now += 100;
        assert!(now < 100_000, "it comes to an end");
        for (conn, request, places) in story.asks(now) {
            if conn == CAROL {
                received += 1_000_208 * places.len() as u64;
                story.come(&(conn, request, places), 1_000_208, now);
            }
        }
        let budget = (8 << 20) + received / 10;
        assert!(
            story.sync.spare_bytes <= budget,
            "{}",
            story.sync.spare_bytes
        );
        for action in story.expire(now) {
            assert!(matches!(action, Action::Unresponsive(BOB, _)), "{action:?}");
            story.leaves(BOB, now);
            story.join(BOB, &story.headers.clone(), now);
        }
    }
}

#[test]
fn patience_doubles_to_64_seconds_and_shrinks_with_every_block() {
    let mut story = Story::new(200, &[CAROL]);
    let mut now = 0;
    let mut waited = Vec::new();
    for turn in 0..7 {
        let silent = ConnId(100 + turn);
        story.join(silent, &story.headers.clone(), now);
        story.sync.peers.get_mut(&silent).unwrap().stalled = Some(time(now));
        story.sync.last_heard = time(now + 1);
        let before = story.sync.patience;
        let mut out = Vec::new();
        story.sync.stalled_late(silent, time(now + 2), &mut out);
        assert!(matches!(&out[..], [Action::Unresponsive(..)]));
        waited.push(before.as_millis() / 1_000);
        now += 10;
    }
    assert_eq!(waited, [2, 4, 8, 16, 32, 64, 64]);
    for _ in 0..10 {
        story.sync.be_less_patient();
    }
    let after = story.sync.patience.as_millis();
    assert!((12_000..13_000).contains(&after), "{after}: 64 s x 0.85^10");
    for _ in 0..100 {
        story.sync.be_less_patient();
    }
    assert_eq!(story.sync.patience, Span::from_secs(2));
}

#[test]
fn near_the_tip_a_peer_has_an_interval_and_at_least_ten_seconds() {
    let mut story = Story::new(1, &[BOB]);
    story.asks(0);
    assert!(story.expire(9_999).is_empty());
    let closed = story.expire(10_100);
    assert!(
        matches!(&closed[..], [Action::Unresponsive(BOB, "blocks")]),
        "{closed:?}"
    );
}

#[test]
fn nobody_spends_the_budget_for_what_holds_up_others() {
    let peers: Vec<ConnId> = (1..=8).map(ConnId).collect();
    let mut story = Story::new(4, &peers);
    // One new block after the other.
    story.room.blocks = 1;
    for place in 0..3 {
        let now = 10_000 * place as u64;
        let late = story.asks(now).remove(0);
        assert_eq!(late.2, [place]);
        assert!(story.expire(now + 2_000).is_empty());
        let second = story.asks(now + 2_000).remove(0);
        assert_eq!(second.2, [place]);
        // The block comes, and then a lie in its place that is as long as a message may be.
        story.come(&second, 208, now + 2_010);
        let arrival = story.comes(late.0, late.1, place, 4 << 20, now + 2_020);
        assert_eq!(arrival, Arrival::Spare);
        assert_eq!(story.sync.spare_bytes, 208 * (place as u64 + 1));
    }
    let silent = story.asks(30_000).remove(0);
    assert!(story.expire(32_000).is_empty());
    let second = story.asks(32_000).remove(0);
    assert_ne!(second.0, silent.0);
    story.come(&second, 208, 32_010);
    // Nor does it matter that it is spent.
    let mut story = Story::new(1, &[BOB, CAROL]);
    story.asks(0);
    story.sync.spare_bytes = u64::MAX / 2;
    assert!(story.expire(2_000).is_empty());
    assert_eq!(count(&story.asks(2_000)), 1);
}

#[test]
fn a_line_that_is_full_of_copies_of_a_large_block_is_filled_with_few_more() {
    let peers: Vec<ConnId> = (1..=8).map(ConnId).collect();
    let mut story = Story::of_weights(&[3_900_000; 2], &peers);
    let mut asked_at = Vec::new();
    for millis in (0..110_000).step_by(500) {
        story.expire(millis);
        let asked = story.asks(millis);
        if asked.iter().any(|(.., places)| places.contains(&0)) {
            asked_at.push(millis);
        }
    }
    // Two by the budget, and then when three copies and four could have come.
    assert_eq!(asked_at, [0, 2_000, 4_000, 49_000, 109_000]);
}

#[test]
fn who_holds_others_up_is_asked_last_until_it_has_made_up_for_it() {
    let mut story = Story::new(28, &[BOB, CAROL]);
    story.room.blocks = 1;
    let late = story.asks(0).remove(0);
    assert_eq!(late.0, BOB);
    assert!(story.expire(2_000).is_empty());
    let second = story.asks(2_000).remove(0);
    story.come(&second, 208, 2_010);
    assert_eq!(
        story.comes(BOB, late.1, 0, 208, 2_020),
        Arrival::Spare,
        "late, and no fault"
    );
    for place in 1..10 {
        let now = 10_000 * place as u64;
        let asked = story.asks(now).remove(0);
        assert_eq!(asked.0, CAROL, "whatever Carol's rate");
        story.come(&asked, 208, now + 200);
    }
    // Once Carol has as much to do as may be, he shows that he can be in time.
    story.room.blocks = 17;
    let asked = story.asks(200_000);
    assert_eq!(peers_of(&asked), [BOB, CAROL]);
    assert_eq!(asked[0].2, [26]);
    story.come(&asked[0], 208, 200_010);
    story.come(&asked[1], 208, 204_000);
    assert_eq!(
        peers_of(&story.asks(204_000)),
        [BOB],
        "he is the faster one"
    );
}
