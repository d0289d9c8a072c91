//! Who is asked for headers, and what becomes of those that come.

use std::sync::Arc;

use super::*;
use crate::chain::{Front, FrontSource, OldBlocks, ShortId};
use crate::store::Lsn;

/// The requests for headers among actions: who, and their numbers.
fn questions(out: &[Action]) -> Vec<(ConnId, u32)> {
    let question = |action: &Action| match action {
        Action::Send(conn, _, message @ Message::GetHeaders { .. }) => {
            (*conn, message.request().unwrap().0)
        }
        other => panic!("{other:?}"),
    };
    out.iter().map(question).collect()
}

/// The lanes of requests.
fn lanes(out: &[Action]) -> Vec<Lane> {
    let lane = |action: &Action| match action {
        Action::Send(_, lane, _) => *lane,
        other => panic!("{other:?}"),
    };
    out.iter().map(lane).collect()
}

impl Story {
    fn answers(&mut self, (conn, request): (ConnId, u32), headers: &[Header]) -> Vec<Action> {
        self.answers_at(time(0), (conn, request), headers)
    }

    fn answers_at(
        &mut self,
        now: Time,
        (conn, request): (ConnId, u32),
        headers: &[Header],
    ) -> Vec<Action> {
        let mut out = Vec::new();
        self.sync
            .headers(conn, request, headers, &mut self.chain, now, &mut out);
        out
    }

    fn tells(&mut self, conn: ConnId, headers: &[Header]) -> Vec<Action> {
        let mut out = Vec::new();
        self.sync
            .announced(conn, headers, &mut self.chain, time(0), &mut out);
        out
    }

    fn meets(&mut self, conn: ConnId, height: u64, now: Time) -> Vec<Action> {
        self.meets_as(Direction::Outbound, conn, height, now)
    }

    fn meets_as(
        &mut self,
        direction: Direction,
        conn: ConnId,
        height: u64,
        now: Time,
    ) -> Vec<Action> {
        let mut out = Vec::new();
        self.sync.joined(
            conn,
            direction,
            (BlockId([9; 32]), Height(height)),
            &self.chain,
            now,
            &mut out,
        );
        out
    }

    fn leaves_at(&mut self, conn: ConnId, now: Time) {
        let mut out = Vec::new();
        self.sync.left(conn, &self.chain, now, &mut out);
    }

    /// A time at which the node's newest header is new.
    fn at_the_tip(&self) -> Time {
        let tree = self.chain.tree();
        let best = tree.get(&tree.best_header()).unwrap();
        Time::from_millis(best.header.time.0 + 10_000)
    }
}

/// The fronts of a log, but for one that the disk can't read.
struct Damaged {
    fronts: Vec<Front>,
    at: Lsn,
}

impl FrontSource for Damaged {
    fn front(&self, at: Lsn) -> Option<Front> {
        let place = usize::try_from(at.get()).ok()?;
        self.fronts.get(place).filter(|_| at != self.at).cloned()
    }
}

#[test]
fn a_peer_whose_branch_begins_at_a_block_that_the_disk_can_not_read_is_not_blamed() {
    let source = Story::new(0, &[]).chain;
    let root = source.tip_entry().header.clone();
    let headers = headers_on(&source, &root, &[0; 30], 0);
    let mut work = root.work();
    let front = |header: &Header| {
        work = work.saturating_add(header.work());
        let (id, header) = (header.id(), header.clone());
        Front { id, work, header }
    };
    let fronts: Vec<Front> = headers.iter().map(front).collect();
    let (old, new) = headers.split_at(25);
    let branch = headers_on(&source, &headers[9], &[0; 3], 1);
    let stranger = headers_on(&source, &branch[0], &[0; 3], 1);
    for (place, is_readable) in [(4, true), (9, false)] {
        let mut story = Story::new(0, &[]);
        let at = Lsn::new(place);
        let source = Damaged {
            fronts: fronts.clone(),
            at,
        };
        story.chain.read_from(Arc::new(source));
        let places = (0..24).map(|at| (Lsn::new(at as u64), ShortId::of(&fronts[at].id)));
        let above = (Lsn::new(24), fronts[24].clone());
        story
            .chain
            .restore_old(&OldBlocks::below(above, places.collect()));
        assert_eq!(old.len(), 25);
        for header in new {
            story.chain.add_header(header, time(0)).unwrap();
        }
        let out = story.meets(BOB, 100, time(0));
        let out = story.answers(questions(&out)[0], &branch);
        let known = story.chain.tree().height(&branch[2].id());
        assert_eq!(known.is_some(), is_readable);
        let blamed = out.iter().any(|action| matches!(action, Action::Fault(..)));
        assert!(!blamed, "{out:?}");
        let unreadable = story.chain.take_unreadable();
        assert_eq!(unreadable.contains(&headers[9].id()), !is_readable);
        // Who sends what follows on nothing is still to blame.
        let mut story = Story::new(0, &[]);
        let out = story.meets(BOB, 100, time(0));
        let out = story.answers(questions(&out)[0], &stranger);
        assert!(matches!(&out[..], [Action::Fault(BOB, _)]), "{out:?}");
    }
}

#[test]
fn an_answer_belongs_in_the_lane_of_its_request() {
    let mut story = Story::new(1, &[BOB]);
    let mut out = Vec::new();
    story.sync.joined(
        CAROL,
        Direction::Outbound,
        NOWHERE,
        &story.chain,
        time(0),
        &mut out,
    );
    let [Action::Send(CAROL, lane, message @ Message::GetHeaders { .. })] = &out[..] else {
        panic!("{out:?}")
    };
    let request = message.request().unwrap().0;
    let other = match lane {
        Lane::History => Lane::Bodies,
        _ => Lane::History,
    };
    assert!(story.sync.is_in_lane(CAROL, request, *lane));
    assert!(!story.sync.is_in_lane(CAROL, request, other));
    let (_, request, _) = story.asks(0).remove(0);
    assert!(story.sync.is_in_lane(BOB, request, Lane::Bodies));
    assert!(!story.sync.is_in_lane(BOB, request, Lane::History));
}

#[test]
fn one_peer_is_asked_while_all_is_old_and_the_others_say_whether_that_was_all() {
    let mut story = Story::new(0, &[]);
    let root = story.chain.tip_entry().header.clone();
    let headers = headers_on(&story.chain, &root, &[0; 3], 0);
    // The genesis block is older than a day, the third on it is not.
    let now = Time::from_millis(root.time.0 + 24 * 3_600_000 + 3_000);
    let first = story.meets(BOB, 3, now);
    assert_eq!(lanes(&first), [Lane::History]);
    let first = questions(&first);
    assert!(story.meets(CAROL, 3, now).is_empty());
    assert!(story.meets(DAVE, 3, now).is_empty());
    let then = story.answers_at(now, first[0], &headers);
    assert_eq!(lanes(&then), [Lane::Bodies, Lane::Bodies]);
    let then = questions(&then);
    let conns: Vec<ConnId> = then.iter().map(|(conn, _)| *conn).collect();
    assert_eq!(conns, [CAROL, DAVE]);
    for question in then {
        assert!(story.answers_at(now, question, &[]).is_empty());
    }
}

#[test]
fn while_all_stays_old_one_is_asked_after_the_other() {
    let mut story = Story::new(0, &[]);
    let root = story.chain.tip_entry().header.clone();
    let headers = headers_on(&story.chain, &root, &[0; 3], 0);
    let mut asked = questions(&story.meets(BOB, 0, time(0)));
    for conn in [CAROL, DAVE] {
        assert!(story.meets(conn, 0, time(0)).is_empty());
    }
    for (conn, shown) in [(BOB, 0), (CAROL, 2), (DAVE, 3)] {
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].0, conn);
        asked = questions(&story.answers(asked[0], &headers[..shown]));
    }
    assert!(asked.is_empty());
    assert_eq!(story.chain.tree().best_header(), headers[2].id());
}

#[test]
fn a_slow_first_peer_is_not_waited_for_and_a_silent_one_is_given_up() {
    let mut story = Story::new(0, &[]);
    assert_eq!(story.meets(BOB, 3, time(0)).len(), 1);
    assert!(story.meets(CAROL, 3, time(0)).is_empty());
    assert!(story.expire(4_999).is_empty());
    assert_eq!(questions(&story.expire(5_000))[0].0, CAROL);
    assert!(story.expire(16_999).is_empty());
    let late = story.expire(17_000);
    assert!(
        matches!(&late[..], [Action::Unresponsive(BOB, "headers")]),
        "{late:?}"
    );
}

#[test]
fn at_the_tip_everybody_is_asked() {
    let mut story = Story::new(3, &[]);
    let now = story.at_the_tip();
    assert_eq!(story.meets(BOB, 3, now).len(), 1);
    assert_eq!(story.meets(CAROL, 3, now).len(), 1);
}

#[test]
fn a_header_without_its_parent_is_not_kept_and_asked_for_with_what_lies_between() {
    let mut story = Story::new(5, &[]);
    let (now, headers) = (story.at_the_tip(), story.headers.clone());
    let asked = questions(&story.meets(BOB, 0, now));
    assert!(story.answers(asked[0], &[]).is_empty());
    let asked = questions(&story.tells(BOB, &headers[4..]));
    assert!(story.chain.tree().get(&headers[4].id()).is_none());
    assert!(story.answers(asked[0], &headers).is_empty());
    assert_eq!(story.chain.tree().best_header(), headers[4].id());
}

#[test]
fn an_announcement_while_headers_are_under_way_is_remembered() {
    let mut story = Story::new(5, &[]);
    let (now, headers) = (story.at_the_tip(), story.headers.clone());
    let asked = questions(&story.meets(BOB, 0, now));
    assert!(
        story.tells(BOB, &headers[4..]).is_empty(),
        "one question at a time"
    );
    let asked = questions(&story.answers(asked[0], &headers[..3]));
    assert_eq!(asked.len(), 1, "it is asked again");
    assert!(story.answers(asked[0], &headers[3..]).is_empty());
    assert_eq!(story.chain.tree().best_header(), headers[4].id());
}

#[test]
fn a_header_without_its_parent_costs_its_sender_work() {
    let mut story = Story::new(5, &[]);
    let (now, mut lazy) = (story.at_the_tip(), story.headers[4].clone());
    let asked = questions(&story.meets(BOB, 0, now));
    story.answers(asked[0], &[]);
    let rules = story.chain.header_rules().clone();
    while rules.check_isolated(&lazy).is_ok() {
        if let Seal::Work { nonce, .. } = &mut lazy.seal {
            *nonce += 1;
        }
    }
    let out = story.tells(BOB, &[lazy]);
    assert!(matches!(&out[..], [Action::Fault(BOB, _)]), "{out:?}");
}

#[test]
fn a_peer_that_tells_of_headers_and_never_gives_them_is_given_up() {
    let mut story = Story::new(3, &[]);
    let now = story.at_the_tip();
    let root = story.headers[2].clone();
    let asked = questions(&story.meets(BOB, 0, now));
    assert!(story.answers(asked[0], &[]).is_empty());
    let mut turns = 0;
    loop {
        let hidden = headers_on(&story.chain, &root, &[0; 2], turns + 1);
        let asked = questions(&story.tells(BOB, &hidden[1..]));
        let out = story.answers(asked[0], &[]);
        turns += 1;
        if !out.is_empty() {
            assert!(
                matches!(&out[..], [Action::Unresponsive(BOB, _)]),
                "{out:?}"
            );
            break;
        }
    }
    assert_eq!(turns, 9, "eight times may be a chain that changed");
}

#[test]
fn a_peer_that_lowers_its_height_is_given_up_and_does_not_hold_up_others() {
    let mut story = Story::new(0, &[]);
    let first = questions(&story.meets(BOB, 1_000_000, time(0)));
    assert!(story.meets(CAROL, 3, time(0)).is_empty());
    let root = story.chain.tip_entry().header.clone();
    let headers = headers_on(&story.chain, &root, &[0; 3], 0);
    let out = story.answers(first[0], &headers[..1]);
    assert!(
        matches!(&out[..], [Action::Unresponsive(BOB, _)]),
        "{out:?}"
    );
    let mut out = Vec::new();
    story.sync.left(BOB, &story.chain, time(1), &mut out);
    let next = questions(&out);
    assert_eq!(next[0].0, CAROL);
    assert!(story.answers(next[0], &headers[1..]).is_empty());
    assert_eq!(story.chain.tree().best_header(), headers[2].id());
}

#[test]
fn while_all_is_old_a_dialled_peer_leads_before_others_and_who_is_slow_waits() {
    let mut story = Story::new(0, &[]);
    let root = story.chain.tip_entry().header.clone();
    let headers = headers_on(&story.chain, &root, &[0; 6_000], 0);
    let start = root.time.0 + 48 * 3_600_000;
    let at = |millis| Time::from_millis(start + millis);
    let (eve, mallory) = (ConnId(1), ConnId(2));
    let inbound = Direction::Inbound;
    let eves = questions(&story.meets_as(inbound, eve, 6_000, at(0)));
    assert_eq!(eves.len(), 1);
    assert!(story.meets_as(inbound, mallory, 6_000, at(0)).is_empty());
    // Who was dialled does not wait for who was not.
    let daves = questions(&story.meets(DAVE, 6_000, at(0)));
    assert_eq!(daves.len(), 1);
    assert!(story.meets(ConnId(4), 6_000, at(0)).is_empty());
    // Eve gives what she was asked for, and then waits.
    let then = story.answers_at(at(10), eves[0], &headers[..2_000]);
    assert!(then.is_empty(), "{then:?}");
    // Dave gives an answer every 4.9 seconds: he leads for no more than seven.
    let daves = questions(&story.answers_at(at(4_900), daves[0], &headers[..2_000]));
    assert_eq!(daves[0].0, DAVE);
    let mut out = Vec::new();
    story.sync.expire(&story.chain, at(6_999), &mut out);
    assert!(out.is_empty(), "{out:?}");
    story.sync.expire(&story.chain, at(7_000), &mut out);
    let next = questions(&out);
    assert_eq!(next[0].0, ConnId(4), "the other one that was dialled");
    let then = story.answers_at(at(9_800), daves[0], &headers[2_000..4_000]);
    assert!(then.is_empty(), "{then:?}");
    // Those that were late and those that were not dialled come last.
    let led = |story: &Story| story.sync.leader.unwrap();
    let mut leaders = Vec::new();
    for _ in 0..3 {
        let conn = led(&story);
        story.leaves_at(conn, at(10_000));
        leaders.push(led(&story));
    }
    assert_eq!(leaders, [DAVE, eve, mallory]);
}

#[test]
fn a_peer_that_has_no_more_than_this_node_is_asked_for_bodies_all_the_same() {
    let mut story = Story::new(10, &[BOB]);
    let now = story.at_the_tip();
    let (tip, headers) = (story.id(6), story.headers.clone());
    // The same chain: it shows its tip. A shorter one: it has said what its tip is.
    let asked = questions(&story.meets(CAROL, 10, now));
    assert!(story.answers(asked[0], &headers[9..]).is_empty());
    assert!(story.sync.knows(CAROL, &story.id(9), &story.chain));
    let mut out = Vec::new();
    story.sync.joined(
        DAVE,
        Direction::Outbound,
        (tip, Height(7)),
        &story.chain,
        now,
        &mut out,
    );
    assert!(story.answers(questions(&out)[0], &[]).is_empty());
    assert!(story.sync.knows(DAVE, &tip, &story.chain));
    assert!(!story.sync.knows(DAVE, &story.id(7), &story.chain));
}

#[test]
fn a_peer_behind_this_node_lowers_nothing() {
    let mut story = Story::new(10, &[BOB]);
    let now = story.at_the_tip();
    // Its chain is a part of ours: it has nothing to show.
    let asked = questions(&story.meets(CAROL, 7, now));
    assert!(story.answers(asked[0], &[]).is_empty());
}

#[test]
fn full_answers_that_lead_nowhere_come_to_an_end() {
    let mut story = Story::new(2_000, &[]);
    let (now, headers) = (story.at_the_tip(), story.headers.clone());
    let asked = questions(&story.meets(BOB, 0, now));
    let asked = questions(&story.answers(asked[0], &headers));
    assert_eq!(asked.len(), 1, "a full answer may go on");
    assert!(
        story.answers(asked[0], &headers).is_empty(),
        "the same again does not"
    );
}

#[test]
fn a_held_header_is_asked_for_when_its_time_has_come_and_nobody_is_blamed() {
    let mut story = Story::new(0, &[]);
    let root = story.chain.tip_entry().header.clone();
    let headers = headers_on(&story.chain, &root, &[0; 20], 0);
    // 2 s apart; 18 s ahead of the clock is the limit.
    let now = Time::from_millis(root.time.0 + 2_000);
    let asked = questions(&story.meets(BOB, 20, now));
    assert!(story.answers_at(now, asked[0], &headers).is_empty());
    assert_eq!(story.chain.tree().best_header(), headers[9].id());
    let until = Time::from_millis(headers[10].time.0 - 18_000);
    assert_eq!(story.sync.deadline(), Some(until));
    let mut out = Vec::new();
    story.sync.expire(&story.chain, until, &mut out);
    let asked = questions(&out);
    assert!(story.answers_at(until, asked[0], &headers[10..]).is_empty());
    assert_eq!(story.chain.tree().best_header(), headers[10].id());
}

#[test]
fn a_chain_far_ahead_raises_doubts_of_the_clock_when_it_shows_its_work() {
    // None of it counts yet, so that it has too little work.
    let mut story = Story::new(0, &[]);
    story.sync.min_chain_work = Uint256::from_u64(1 << 40);
    let root = story.chain.tip_entry().header.clone();
    let mut headers = headers_on(&story.chain, &root, &[0], 0);
    let now = Time::from_millis(root.time.0 - 3_600_000);
    let asked = questions(&story.meets(BOB, 1, now));
    let said = story.answers_at(now, asked[0], &headers);
    // 2 s after the root, and 18 s ahead of the clock is the limit.
    let by = Span::from_secs(3_600 + 2 - 18);
    assert!(
        matches!(said[..], [Action::FarAhead(id, far), ..] if (id, far) == (headers[0].id(), by)),
        "{said:?}"
    );

    let rules = story.chain.header_rules().clone();
    while rules.check_isolated(&headers[0]).is_ok() {
        headers[0].base_fee += 1;
    }
    let asked = questions(&story.meets(CAROL, 1, now));
    let said = story.answers_at(now, asked[0], &headers);
    assert!(
        !said.iter().any(|it| matches!(it, Action::FarAhead(..))),
        "{said:?}"
    );
}

#[test]
fn headers_that_nobody_asked_for_or_that_follow_nothing_are_faults() {
    let mut story = Story::new(5, &[]);
    let (now, headers) = (story.at_the_tip(), story.headers.clone());
    let asked = questions(&story.meets(BOB, 0, now));
    let unasked = story.answers((BOB, asked[0].1 + 1), &headers);
    assert!(
        matches!(&unasked[..], [Action::Fault(BOB, _)]),
        "{unasked:?}"
    );
    let mut story = Story::new(5, &[]);
    let asked = questions(&story.meets(BOB, 0, now));
    let loose = story.answers(asked[0], &headers[2..]);
    assert!(matches!(&loose[..], [Action::Fault(BOB, _)]), "{loose:?}");
    assert_eq!(
        story.chain.tree().best_header(),
        story.chain.tree().genesis()
    );
}

#[test]
fn who_tells_of_the_same_again_and_again_and_never_gives_it_is_asked_nine_times() {
    let mut story = Story::new(1, &[BOB]);
    let orphan = headers_on(&story.chain, &story.headers[0].clone(), &[0; 2], 5)[1].clone();
    let mut asked = questions(&story.tells(BOB, std::slice::from_ref(&orphan)));
    for turn in 1..=9 {
        assert_eq!(asked.len(), 1, "turn {turn}");
        // Before it answers, it tells of it once more.
        let none = story.tells(BOB, std::slice::from_ref(&orphan));
        assert!(none.is_empty(), "{none:?}");
        let out = story.answers(asked[0], &[]);
        if turn == 9 {
            assert!(
                matches!(&out[..], [Action::Unresponsive(BOB, _)]),
                "{out:?}"
            );
        } else {
            asked = questions(&out);
        }
    }
}

#[test]
fn what_a_peer_tells_of_while_it_answers_is_owed_by_the_next_answer() {
    let mut story = Story::new(1, &[BOB]);
    let branch = headers_on(&story.chain, &story.headers[0].clone(), &[0; 24], 5);
    let mut asked = questions(&story.tells(BOB, &branch[1..2]));
    // Its chain grows whenever it is asked, for longer than broken words are borne: an answer has
    // what was told of before the question, and not what was told of since.
    let (mut given, mut owed) = (0, 2);
    for top in 3..23 {
        let none = story.tells(BOB, &branch[top..=top]);
        assert!(none.is_empty(), "{none:?}");
        asked = questions(&story.answers(asked[0], &branch[given..owed]));
        assert_eq!(asked.len(), 1);
        (given, owed) = (owed, top + 1);
    }
}
