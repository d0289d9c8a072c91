//! Who is asked for which blocks.

use super::super::window::{WINDOW_BLOCKS, WINDOW_BYTES};
use super::*;

#[test]
fn at_most_sixteen_small_blocks_are_under_way_from_a_peer_the_lowest_first() {
    let mut story = Story::new(50, &[BOB, CAROL]);
    let asked = story.asks(0);
    assert_eq!(count(&asked), 32);
    let mut places: Vec<usize> = asked
        .iter()
        .flat_map(|(.., places)| places.clone())
        .collect();
    places.sort_unstable();
    assert_eq!(places, (0..32).collect::<Vec<_>>());
    assert!(asked.iter().all(|(.., places)| places.len() == 16));
    assert_eq!(story.asks(0), []);
}

#[test]
fn large_blocks_are_under_way_two_mebibytes_at_a_time_and_always_one() {
    let megabyte = 1 << 20;
    let weights = [
        3 * megabyte,
        megabyte / 2,
        megabyte,
        megabyte / 4,
        megabyte,
        megabyte,
        0,
    ];
    let mut story = Story::of_weights(&weights, &[BOB]);
    let first = story.asks(0);
    assert_eq!(first[0].2, [0], "one, however large");
    story.come(&first[0], 3 << 20, 10);
    // 1.75 MiB and some headers; the next would make it more than two.
    let second = story.asks(10);
    assert_eq!(second[0].2, [1, 2, 3]);
}

#[test]
fn no_more_is_under_way_than_there_is_room_and_always_one() {
    let mut story = Story::of_weights(&[1_000; 50], &[BOB, CAROL]);
    story.room = Room {
        blocks: 3,
        bytes: 10_000,
    };
    let asked = story.asks(0);
    assert_eq!(count(&asked), 3);
    let (conn, request, places) = asked[0].clone();
    for place in &places {
        assert_eq!(
            story.comes(conn, request, *place, 1_208, 10),
            Arrival::Wanted
        );
    }
    assert_eq!(story.asks(10), [], "what is in check counts");
    for place in places {
        story.is_good(place);
    }
    story.room.bytes = 2_500;
    let asked = story.asks(10);
    assert_eq!(count(&asked), 2, "by bytes");
    story.come(&asked[0], 1_208, 20);
    story.room.bytes = 1;
    assert_eq!(count(&story.asks(20)), 1, "one, where nothing is under way");
    story.leaves(BOB, 30);
    story.room.blocks = 0;
    assert_eq!(story.asks(30), [], "none, where the node says none");
}

#[test]
fn the_window_ends_after_1024_blocks_and_moves_with_what_is_here() {
    let mut story = Story::new(WINDOW_BLOCKS + 40, &[BOB, CAROL]);
    // Carol has the first block and keeps it; all others come from Bob.
    let mut open = story.asks(0);
    assert_eq!(peers_of(&open), [BOB, CAROL]);
    let carols = open.remove(1);
    let mut highest = 0;
    while let Some(asked) = open.pop() {
        highest = highest.max(*asked.2.last().unwrap());
        story.come(&asked, 208, 10);
        open.extend(story.asks(10));
    }
    assert!(carols.2.contains(&16), "{carols:?}");
    assert_eq!(highest, 16 + WINDOW_BLOCKS - 1);
    // What held the window is here: the rest follows.
    story.come(&carols, 208, 20);
    let rest = story.asks(20);
    assert_eq!(count(&rest), 24);
}

#[test]
fn what_waits_for_execution_is_in_the_window() {
    let mut story = Story::new(WINDOW_BLOCKS + 40, &[BOB]);
    story.executes = false;
    let mut came = 0;
    while let Some(asked) = story.asks(came).pop() {
        came += asked.2.len() as u64;
        story.come(&asked, 208, came);
    }
    assert_eq!(came, WINDOW_BLOCKS as u64);
    // A block more is executed, with all that wait.
    story.executes = true;
    let id = story.id(0);
    story.chain.body_for_test(&id, true);
    assert_eq!(story.asks(came)[0].2.len(), 16);
}

#[test]
fn the_window_ends_after_28_mebibytes() {
    let megabytes = 4 << 20;
    let weights = vec![3_900_000; 40];
    let story = {
        let mut story = Story::of_weights(&weights, &[BOB]);
        story.asks(0);
        story
    };
    let window = &story.sync.branches[0];
    let top = (1..=40)
        .filter(|height| window.slot(*height).is_some())
        .count() as u64;
    assert!(top * 3_900_000 >= WINDOW_BYTES);
    assert!(top * 3_900_000 < WINDOW_BYTES + megabytes);
}

#[test]
fn the_next_block_is_asked_of_the_fastest_idle_peer() {
    let mut story = Story::of_weights(&[100_000; 300], &[BOB, CAROL]);
    let first = story.asks(0);
    assert_eq!(first[0].0, BOB, "nobody is known to be faster");
    // Carol sends ten times as fast.
    let (bobs, carols) = (first[0].clone(), first[1].clone());
    for (turn, place) in carols.2.iter().enumerate() {
        let now = 110 * (turn as u64 + 1);
        assert_eq!(
            story.comes(CAROL, carols.1, *place, 1_000_000, now),
            Arrival::Wanted
        );
        story.is_good(*place);
    }
    for (turn, place) in bobs.2.iter().enumerate() {
        let now = 110 * (turn as u64 + 1);
        assert_eq!(
            story.comes(BOB, bobs.1, *place, 100_000, now),
            Arrival::Wanted
        );
        story.is_good(*place);
    }
    let next = story.asks(2_000);
    let lowest = next.iter().min_by_key(|(.., places)| places[0]).unwrap();
    assert_eq!(lowest.0, CAROL);
}

#[test]
fn not_found_moves_on_at_once_and_so_does_a_peer_that_leaves() {
    let mut story = Story::new(1, &[BOB, CAROL]);
    let id = story.id(0);
    let (first, ..) = story.asks(0).remove(0);
    let mut out = Vec::new();
    story
        .sync
        .not_found(first, &[id], &story.chain, time(0), &mut out);
    assert!(out.is_empty());
    let (second, ..) = story.asks(1).remove(0);
    assert_ne!(first, second);
    story.leaves(second, 2);
    assert_eq!(story.asks(2), [], "the first said that it does not have it");
    assert!(
        story.expire(600_000).is_empty(),
        "and owes nothing any more"
    );
}

#[test]
fn a_peer_that_tells_of_blocks_and_never_has_them_is_given_up() {
    let mut story = Story::new(40, &[BOB]);
    let mut out = Vec::new();
    for turn in 0..40 {
        let Some((conn, _, places)) = story.asks(turn).pop() else {
            break;
        };
        let ids: Vec<BlockId> = places.iter().map(|place| story.id(*place)).collect();
        story
            .sync
            .not_found(conn, &ids, &story.chain, time(0), &mut out);
        // It tells of them again.
        let (headers, chain) = (story.headers.clone(), &mut story.chain);
        story
            .sync
            .announced(BOB, &headers, chain, time(turn), &mut out);
    }
    assert!(
        matches!(
            &out[..],
            [Action::Unresponsive(BOB, "blocks that it told of"), ..]
        ),
        "{out:?}"
    );
}

#[test]
fn history_is_asked_for_in_its_lane_and_blocks_near_the_tip_wait_for_none_of_it() {
    let mut story = Story::new(18, &[BOB]);
    let asks = |story: &mut Story| {
        let mut out = Vec::new();
        story.sync.schedule(&story.chain, PLENTY, time(0), &mut out);
        match &out[..] {
            [Action::Send(BOB, lane, Message::GetBlocks { request, ids })] => {
                (*lane, request.0, ids.clone())
            }
            other => panic!("{other:?}"),
        }
    };
    let (lane, old, ids) = asks(&mut story);
    assert_eq!((lane, &ids[..]), (Lane::History, &story.ids[..16]));
    story.come(&(BOB, old, vec![0, 1]), 208, 0);
    let (lane, new, ids) = asks(&mut story);
    assert_eq!((lane, &ids[..]), (Lane::Bodies, &story.ids[16..]));
    // Each lane has its own order.
    assert_eq!(story.comes(BOB, new, 17, 208, 1), Arrival::LeftOut);
    assert_eq!(story.comes(BOB, new, 16, 208, 1), Arrival::Wanted);
    assert_eq!(story.comes(BOB, old, 3, 208, 1), Arrival::LeftOut);
    assert_eq!(story.comes(BOB, old, 2, 208, 1), Arrival::Wanted);
    assert_eq!(story.comes(BOB, new, 17, 208, 1), Arrival::Wanted);
}

#[test]
fn a_parked_branch_is_fetched_to_its_end_after_all_that_is_executed() {
    let mut story = Story::new(20, &[]);
    story.join(BOB, &story.headers.clone(), 0);
    story.executes = false;
    // The first of a branch of more work are here when it is set aside.
    for place in 0..4 {
        story.is_good(place);
    }
    story.chain.park(&story.id(0));
    let root = story.chain.tip_entry().header.clone();
    let open = headers_on(&story.chain, &root, &[0; 3], 9);
    story.add(&open);
    story.join(CAROL, &open, 0);
    story.room.blocks = 3;
    let asked = story.asks(0);
    assert_eq!(asked[0].0, CAROL);
    assert_eq!(asked[0].2, [20, 21, 22]);
    story.room.blocks = 50;
    let parked = story.asks(0);
    assert_eq!((parked[0].0, parked.len()), (BOB, 1));
    assert_eq!(parked[0].2, (4..20).collect::<Vec<_>>());
    story.come(&parked[0], 208, 10);
    assert!(story.chain.tree().is_complete(&story.id(19)));
    assert_eq!(story.chain.tree().best_candidate(), root.id());
    story.come(&asked[0], 208, 20);
    assert_eq!(story.asks(30), []);
}

#[test]
fn an_answer_counts_only_from_who_was_asked_and_by_its_request_and_in_its_turn() {
    let mut story = Story::new(3, &[BOB]);
    story.join(CAROL, &[], 0);
    let (conn, request, places) = story.asks(0).remove(0);
    assert_eq!((conn, &places[..]), (BOB, &[0, 1, 2][..]));
    assert_eq!(story.comes(CAROL, request, 0, 208, 1), Arrival::Unasked);
    assert_eq!(story.comes(BOB, request + 1, 0, 208, 1), Arrival::Unasked);
    assert_eq!(story.comes(BOB, request, 1, 208, 1), Arrival::LeftOut);
    assert_eq!(story.comes(BOB, request, 0, 208, 1), Arrival::Wanted);
    assert_eq!(story.comes(BOB, request, 0, 208, 1), Arrival::Unasked);
    let id = story.id(1);
    let mut out = Vec::new();
    story
        .sync
        .not_found(BOB, &[id], &story.chain, time(0), &mut out);
    assert_eq!(story.comes(BOB, request, 2, 208, 1), Arrival::Wanted);
}

#[test]
fn a_block_in_check_is_not_asked_for_again_unless_its_check_fails() {
    let mut story = Story::new(2, &[BOB, CAROL]);
    let asked = story.asks(0);
    assert_eq!(count(&asked), 2);
    for (conn, request, places) in &asked {
        for place in places {
            assert_eq!(
                story.comes(*conn, *request, *place, 208, 1),
                Arrival::Wanted
            );
        }
    }
    assert_eq!(story.asks(1), []);
    let id = story.id(1);
    story.sync.refused(&id);
    assert_eq!(story.asks(2)[0].2, [1]);
}

#[test]
fn a_branch_whose_blocks_are_withheld_holds_up_no_other() {
    let mut story = Story::new(20, &[BOB]);
    // Mallory's branch has more work, and she says nothing when asked for it.
    let root = story.headers[4].clone();
    let mallorys = headers_on(&story.chain, &root, &[0; 30], 7);
    story.add(&mallorys);
    story.join(DAVE, &mallorys, 0);
    let asked = story.asks(0);
    let of = |conn| asked.iter().find(|(other, ..)| *other == conn).unwrap();
    let bobs = of(BOB).clone();
    assert_eq!(count(&asked), 32);
    // The blocks that both have may be asked of either.
    let mut places: Vec<usize> = (0..20).collect();
    places.retain(|place| !of(DAVE).2.contains(place));
    let shared = of(DAVE).2.iter().filter(|place| **place < 5).count();
    story.come(&bobs, 208, 10);
    assert!(shared <= 5);
    let rest = story.asks(10);
    story.come(
        rest.iter().find(|(conn, ..)| *conn == BOB).unwrap(),
        208,
        20,
    );
    let late = story.expire(2_000);
    assert!(late.is_empty(), "{late:?}");
    for (conn, request, places) in story.asks(2_000) {
        if conn == BOB {
            story.come(&(conn, request, places), 208, 2_100);
        }
    }
    let last = story.id(19);
    assert!(story.chain.tree().is_complete(&last));
}

#[test]
fn blocks_of_an_invalid_branch_are_not_asked_for_and_its_sender_is_at_fault() {
    let mut story = Story::new(12, &[BOB, CAROL]);
    let asked = story.asks(0);
    let (conn, request, _) = asked.iter().find(|(.., p)| p.contains(&0)).unwrap().clone();
    assert_eq!(story.comes(conn, request, 0, 208, 1), Arrival::Wanted);
    story.is_good(0);
    let id = story.id(0);
    story.chain.condemn(&id);
    let mut out = Vec::new();
    story.sync.invalid(&id, &story.chain, &mut out);
    assert!(
        matches!(&out[..], [Action::Fault(at, _)] if *at == conn),
        "{out:?}"
    );
    story.leaves(conn, 2);
    assert_eq!(story.asks(2), []);
    assert_eq!(
        story.chain.tree().best_header(),
        story.chain.tree().genesis()
    );
    // Whoever tells of what follows on it now is at fault too, once.
    let other = if conn == BOB { CAROL } else { BOB };
    let last = story.headers[11..].to_vec();
    out.clear();
    story
        .sync
        .announced(other, &last, &mut story.chain, time(3), &mut out);
    assert!(
        matches!(&out[..], [Action::Fault(at, _)] if *at == other),
        "{out:?}"
    );
}

#[test]
fn a_longer_window_costs_no_more_per_event() {
    // What is looked at is counted by what is asked: with nothing new, nothing is.
    let mut story = Story::new(3_000, &[BOB]);
    assert_eq!(count(&story.asks(0)), 16);
    assert!(!story.sync.restless && !story.sync.regroup);
    assert_eq!(story.asks(1), []);
    let window = &story.sync.branches[0];
    assert!(window.slot(WINDOW_BLOCKS as u64).is_some());
    assert!(window.slot(WINDOW_BLOCKS as u64 + 1).is_none());
}

#[test]
fn silent_peers_that_came_by_themselves_hold_up_nobody_while_a_dialled_one_has_the_chain() {
    let mut story = Story::new(1_000, &[]);
    story.room = Room {
        blocks: 64,
        bytes: 32 << 20,
    };
    let headers = story.headers.clone();
    for silent in 1..=40 {
        story.join_as(Direction::Inbound, ConnId(silent), &headers, 0);
    }
    let honest = ConnId(100);
    story.join(honest, &headers, 0);
    let asked = story.asks(0);
    let lowest: Vec<usize> = (0..16).collect();
    assert_eq!(
        asked.iter().find(|(conn, ..)| *conn == honest).unwrap().2,
        lowest
    );
    assert_eq!(
        count(&asked),
        16 + 32,
        "the silent ones have half of the room"
    );
    // The honest one answers within 100 ms.
    let mut open = asked;
    let mut now = 0;
    while !story.chain.tree().is_complete(&story.id(999)) {
        now += 100;
        open.retain(|(conn, ..)| *conn == honest);
        for asked in std::mem::take(&mut open) {
            story.come(&asked, 208, now);
        }
        for action in story.expire(now) {
            let Action::Unresponsive(conn, _) = action else {
                panic!("{action:?}")
            };
            assert_ne!(conn, honest);
            story.leaves(conn, now);
        }
        open = story.asks(now);
        assert!(now < 20_000, "it comes to an end");
    }
    assert!(now < 12_000, "{now} ms");
}

#[test]
fn who_stalls_and_comes_back_is_asked_after_who_sends() {
    let mut story = Story::new(12, &[]);
    let headers = story.headers.clone();
    // Carol's blocks are small and take 100 ms each.
    story.join_as(Direction::Inbound, CAROL, &headers, 0);
    story.room.blocks = 1;
    for place in 0..10 {
        let now = 1_000 * place as u64;
        let asked = story.asks(now).remove(0);
        story.come(&asked, 208, now + 100);
    }
    story.join_as(Direction::Inbound, BOB, &headers, 20_000);
    assert_eq!(peers_of(&story.asks(20_000)), [CAROL]);
}
