use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::base::{Rng, Span};
use crate::wire::frame::{FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::wire::testing::{NOW, drain, greeted, strangers, take_all, transports};
use crate::wire::{HandshakeError, LANES};

/// A kind for each lane, whose messages may be long.
const KINDS: [(Lane, MessageKind); LANES] = [
    (Lane::Control, MessageKind::Bye),
    (Lane::Announcements, MessageKind::Announce),
    (Lane::Bodies, MessageKind::Block),
    (Lane::Transactions, MessageKind::Txs),
    (Lane::Discovery, MessageKind::Addrs),
    (Lane::History, MessageKind::Block),
];

/// Seals `text` as a frame of `from`, whatever it says.
fn seal(from: &mut Transport, text: &[u8]) -> Vec<u8> {
    let length = text.len() + TAG_BYTES;
    let mut out = frame_header(length).to_vec();
    out.resize(FRAME_HEADER_BYTES + length, 0);
    from.ciphers.seal(text, &mut out[FRAME_HEADER_BYTES..]);
    out
}

/// A segment as it stands in a frame.
fn segment(kind: u8, lane: u8, flags: u8, total: u32, bytes: &[u8]) -> Vec<u8> {
    let mut text = vec![kind, lane, flags, 0];
    text.extend(total.to_le_bytes());
    text.extend((bytes.len() as u16).to_le_bytes());
    text.extend(bytes);
    text
}

/// Cuts sealed bytes at their frames.
fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(header) = bytes.first_chunk::<4>() {
        let (frame, rest) = bytes.split_at(4 + u32::from_le_bytes(*header) as usize);
        frames.push(frame.to_vec());
        bytes = rest;
    }
    frames
}

fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng::from_number(seed);
    let piece = rng.bytes32();
    (0..length)
        .map(|place| piece[place % 31] ^ (place / 31) as u8)
        .collect()
}

#[test]
fn bytes_mean_the_same_however_they_are_cut() {
    let mut sizes: Vec<usize> = (1..=200).collect();
    sizes.extend([1_000, 16_383, 16_384, 16_404, 16_405, 40_000]);
    for from in [0, 1] {
        for size in &sizes {
            let mut sides = greeted();
            let mut wanted = Vec::new();
            for (place, (lane, kind)) in KINDS.into_iter().enumerate() {
                let length = if place < 2 { 60 } else { 4_000 * place };
                let bytes = pattern(length, place as u64);
                sides[from].send(lane, kind, bytes.clone()).unwrap();
                wanted.push((lane, bytes));
            }
            let bytes = drain(&mut sides[from]);
            let to = &mut sides[1 - from];
            for piece in bytes.chunks(*size) {
                to.receive(NOW, piece).unwrap();
            }
            let mut got: Vec<_> = take_all(to)
                .into_iter()
                .map(|message| (message.lane, message.bytes))
                .collect();
            got.sort();
            assert_eq!(got, wanted, "pieces of {size}");
        }
    }
}

#[test]
fn both_directions_rekey_after_every_1024_frames_and_by_nothing_else() {
    let mut sides = greeted();
    // One frame each way held the greetings.
    for round in 0..3_000_u32 {
        for from in [0, 1] {
            // The other direction sends one frame in three, so that their counts differ.
            if from == 1 && round % 3 > 0 {
                continue;
            }
            let bytes = round.to_le_bytes().repeat(2);
            sides[from]
                .send(Lane::Control, MessageKind::Ping, bytes.clone())
                .unwrap();
            let sealed = drain(&mut sides[from]);
            assert_eq!(frames(&sealed).len(), 1);
            sides[1 - from].receive(NOW, &sealed).unwrap();
            assert_eq!(take_all(&mut sides[1 - from])[0].bytes, bytes);
        }
    }
    let counts = sides.each_ref().map(|side| (side.sealed, side.opened));
    assert_eq!(counts, [(3_001 % 1_024, 1_001), (1_001, 3_001 % 1_024)]);
}

#[test]
fn the_key_after_1024_frames_is_another() {
    let [mut ours, mut theirs] = transports();
    // The receiving side by hand: its cipher opens 1,024 frames, and the next only after a rekey.
    let mut text = vec![0; SEGMENT_HEADER_BYTES + 8];
    ours.outgoing.skip_greetings();
    for frame in 0..=REKEY_FRAMES {
        ours.send(Lane::Control, MessageKind::Ping, vec![0; 8])
            .unwrap();
        let sealed = drain(&mut ours);
        let opened = theirs
            .ciphers
            .open(&sealed[FRAME_HEADER_BYTES..], &mut text);
        assert_eq!(opened.is_ok(), frame < REKEY_FRAMES, "frame {frame}");
        if frame == REKEY_FRAMES {
            theirs.ciphers.rekey_incoming();
            let opened = theirs
                .ciphers
                .open(&sealed[FRAME_HEADER_BYTES..], &mut text);
            assert!(opened.is_ok());
        }
    }
}

/// A stream of three frames with a message each, and many more behind them.
fn stream(from: &mut Transport) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for number in 0..3 {
        from.send(Lane::Control, MessageKind::Ping, vec![number; 8])
            .unwrap();
        all.push(drain(from));
    }
    from.send(Lane::History, MessageKind::Block, vec![3; 100_000])
        .unwrap();
    all.extend(frames(&drain(from)));
    all
}

#[test]
fn a_change_of_any_byte_closes_and_what_came_before_stands() {
    let length = stream(&mut greeted()[0])[0].len();
    for frame in 0..3 {
        for place in 0..length {
            let [mut ours, mut theirs] = greeted();
            let mut frames = stream(&mut ours);
            frames[frame][place] ^= 1 << (place % 8);
            let fault = theirs.receive(NOW, &frames.concat()).unwrap_err();
            assert!(
                matches!(fault, Fault::NotAuthentic | Fault::Frame(_)),
                "byte {place}: {fault}"
            );
            assert_eq!(theirs.receive(NOW, &[]), Err(fault));
            let got = std::iter::from_fn(|| theirs.next_message()).count();
            assert_eq!(got, frame, "messages before the fault");
            // No reply, not even what waited.
            assert!(!theirs.wants_write());
            let _ = theirs.send(Lane::Control, MessageKind::Ping, vec![0; 8]);
            assert!(drain(&mut theirs).is_empty());
        }
    }
}

#[test]
fn frames_repeated_dropped_or_out_of_order_close() {
    for order in [&[0, 0][..], &[1], &[0, 2], &[1, 0], &[0, 1, 0], &[0, 1, 1]] {
        let [mut ours, mut theirs] = greeted();
        let frames = stream(&mut ours);
        let bytes: Vec<u8> = order
            .iter()
            .flat_map(|frame| frames[*frame].clone())
            .collect();
        assert_eq!(
            theirs.receive(NOW, &bytes),
            Err(Fault::NotAuthentic),
            "{order:?}"
        );
    }
    // A frame of the other direction is none of this one.
    let [mut ours, _] = greeted();
    let own = stream(&mut ours)[0].clone();
    assert_eq!(ours.receive(NOW, &own), Err(Fault::NotAuthentic));
}

#[test]
fn a_frame_must_have_a_length_that_frames_have() {
    for (header, fits) in [
        ([0, 0, 0, 0], false),
        ([16, 0, 0, 0], false),
        ([17, 0, 0, 0], true),
        ([0x10, 0x40, 0, 0], true),
        ([0x11, 0x40, 0, 0], false),
        ([0xff, 0xff, 0xff, 0], false),
        ([17, 0, 0, 1], false),
    ] {
        let [mut ours, _] = greeted();
        for (place, byte) in header.iter().enumerate() {
            let got = ours.receive(NOW, &[*byte]);
            assert_eq!(got.is_ok(), fits || place < 3, "{header:?}");
        }
    }
}

/// What a peer says that sends these frames of segments after the greetings.
fn say(texts: &[Vec<u8>]) -> Result<(), Fault> {
    let [mut ours, mut theirs] = greeted();
    for text in texts {
        theirs.receive(NOW, &seal(&mut ours, text))?;
    }
    Ok(())
}

#[test]
fn every_rule_of_segments_is_kept() {
    let (bye, block, ping) = (0x04, 0x2e, 0x02);
    let part = |flags, total, length| segment(bye, 0, flags, total, &vec![0; length]);
    let good: &[&[Vec<u8>]] = &[
        &[part(3, 4, 4)],
        &[part(1, 4, 3), part(2, 4, 1)],
        &[part(1, 4, 1), part(0, 4, 2), part(2, 4, 1)],
        &[[part(1, 4, 3), part(2, 4, 1)].concat()],
        &[part(3, 66, 66)],
        // Lanes do not disturb each other.
        &[segment(block, 5, 1, 4_194_304, &[0; 9]), part(3, 4, 4)],
        &[
            segment(block, 5, 1, 300, &[0; 9]),
            segment(block, 2, 1, 300, &[0; 9]),
        ],
        // An unknown odd type, without bytes and with some.
        &[segment(0x05, 3, 3, 0, &[])],
        &[segment(0x99, 3, 1, 2, &[0]), segment(0x99, 3, 2, 2, &[0])],
    ];
    for texts in good {
        assert_eq!(say(texts), Ok(()), "{texts:?}");
    }
    let bad: &[&[Vec<u8>]] = &[
        // Cut short: the header, the bytes, and bytes behind the last segment.
        &[part(3, 4, 4)[..9].to_vec()],
        &[part(3, 4, 4)[..13].to_vec()],
        &[[part(3, 4, 4), vec![0]].concat()],
        // A lane, a flag, a byte that do not exist.
        &[segment(bye, 6, 3, 4, &[0; 4])],
        &[segment(bye, 0, 7, 4, &[0; 4])],
        &[{
            let mut text = part(3, 4, 4);
            text[3] = 1;
            text
        }],
        // Empty, with bytes to come.
        &[part(1, 4, 0)],
        &[part(1, 4, 3), part(0, 4, 0)],
        &[part(1, 4, 4), part(2, 4, 0)],
        // Bytes where none were announced; nothing that does not end.
        &[part(3, 0, 1)],
        &[segment(0x05, 0, 1, 0, &[])],
        // The end too early, too late, or not said.
        &[part(3, 4, 3)],
        &[part(3, 4, 5)],
        &[part(1, 4, 4)],
        &[part(1, 4, 3), part(2, 4, 2)],
        &[part(1, 4, 3), part(0, 4, 1)],
        &[part(1, 5, 3), part(2, 5, 1)],
        // A message that did not begin, or begins twice.
        &[part(0, 4, 1)],
        &[part(2, 4, 4)],
        &[part(3, 4, 4), part(2, 4, 4)],
        &[part(1, 4, 3), part(1, 4, 3)],
        &[part(1, 4, 3), part(3, 4, 4)],
        // Type or length change on the way.
        &[part(1, 4, 3), part(2, 5, 2)],
        &[part(1, 8, 3), segment(ping, 0, 2, 8, &[0; 5])],
        &[
            segment(block, 2, 1, 300, &[0; 9]),
            segment(0x21, 2, 2, 300, &[0; 291]),
        ],
    ];
    for texts in bad {
        let got = say(texts);
        assert!(matches!(got, Err(Fault::Segment(_))), "{texts:?}: {got:?}");
    }
}

#[test]
fn what_a_message_may_not_be_is_known_at_its_first_segment() {
    let first = |kind, lane, total| say(&[segment(kind, lane, 1, total, &[0])]);
    for kind in MessageKind::ALL {
        if matches!(kind, MessageKind::Hello | MessageKind::Ready) {
            assert_eq!(
                first(kind.byte(), 0, 8),
                Err(Fault::OutOfOrder(kind.byte()))
            );
            continue;
        }
        let max = kind.max_bytes(EngineKind::Work);
        for lane in Lane::ALL {
            let got = first(kind.byte(), lane as u8, max);
            if kind.lanes().contains(&lane) {
                assert_eq!(got, Ok(()));
                let kind = kind.byte();
                let total = max + 1;
                assert_eq!(
                    first(kind, lane as u8, total),
                    Err(Fault::TooLong { kind, total, max })
                );
            } else {
                assert_eq!(got, Err(Fault::WrongLane { kind, lane }));
            }
        }
    }
    assert_eq!(first(0x26, 2, 9), Err(Fault::Reserved("CMPCT")));
    assert_eq!(
        first(0x61, 1, 9),
        Err(Fault::Reserved("a message of consensus"))
    );
    assert_eq!(first(0x80, 1, 9), Err(Fault::UnknownKind(0x80)));
    let max = 4 * 1024 * 1024 + 64 * 1024;
    assert_eq!(first(0x81, 1, max), Ok(()));
    let too_long = Fault::TooLong {
        kind: 0x81,
        total: max + 1,
        max,
    };
    assert_eq!(first(0x81, 1, max + 1), Err(too_long));
}

/// A list of so many ids behind the number of a request: GET_BLOCKS, GET_TX or NOT_FOUND.
fn list(count: u8) -> Vec<u8> {
    let ids = vec![0; 32 * usize::from(count)];
    [&[0, 0, 0, 0, count, 0], &ids[..]].concat()
}

#[test]
fn an_answer_that_nobody_asked_for_closes_before_a_byte_of_it_is_kept() {
    for kind in [
        MessageKind::Headers,
        MessageKind::Block,
        MessageKind::Txs,
        MessageKind::NotFound,
    ] {
        for lane in kind.lanes() {
            let [mut ours, mut theirs] = strangers();
            let total = kind.max_bytes(EngineKind::Work);
            let text = segment(kind.byte(), *lane as u8, 1, total, &[0; 4_000]);
            let got = theirs.receive(NOW, &seal(&mut ours, &text));
            assert_eq!(got, Err(Fault::Unasked { kind, lane: *lane }));
            assert_eq!(theirs.reserved_bytes(), 0);
        }
    }
}

#[test]
fn answers_are_owed_one_by_one_and_in_the_lane_of_their_request() {
    use MessageKind::{Block, GetBlocks, GetHeaders, GetTx, Headers, NotFound, Txs};
    type Said<'a> = &'a [(MessageKind, Vec<u8>)];
    // A list of transactions says how many it has, like one of ids.
    let cases: &[(Lane, Said<'_>, Said<'_>)] = &[
        (
            Lane::History,
            &[(GetBlocks, list(2)), (GetBlocks, list(3))],
            &[
                (Block, vec![0; 300]),
                (NotFound, list(2)),
                (Block, vec![0; 300]),
                (NotFound, list(1)),
            ],
        ),
        (
            Lane::Bodies,
            &[(GetHeaders, vec![0; 40]), (GetHeaders, vec![0; 40])],
            &[(Headers, vec![0; 6]), (Headers, vec![0; 6])],
        ),
        (
            Lane::Transactions,
            &[(GetTx, list(100)), (GetTx, list(28))],
            &[(Txs, list(90)), (Txs, list(9)), (NotFound, list(29))],
        ),
    ];
    for (lane, requests, answers) in cases {
        let [mut ours, mut theirs] = strangers();
        for (kind, bytes) in *requests {
            theirs.send(*lane, *kind, bytes.clone()).unwrap();
        }
        for (kind, bytes) in *answers {
            ours.send(*lane, *kind, bytes.clone()).unwrap();
            assert_eq!(theirs.receive(NOW, &drain(&mut ours)), Ok(()));
        }
        // All were given, however late, and nothing is owed any more.
        let (kind, bytes) = answers[0].clone();
        ours.send(*lane, kind, bytes).unwrap();
        let got = theirs.receive(NOW, &drain(&mut ours));
        assert_eq!(got, Err(Fault::Unasked { kind, lane: *lane }));
    }
    // What is owed in one lane is owed in no other, and headers are no blocks.
    for (kind, lane) in [(Block, Lane::Bodies), (Headers, Lane::History)] {
        let [mut ours, mut theirs] = strangers();
        theirs.send(Lane::History, GetBlocks, list(9)).unwrap();
        ours.send(lane, kind, vec![0; 300]).unwrap();
        let got = theirs.receive(NOW, &drain(&mut ours));
        assert_eq!(got, Err(Fault::Unasked { kind, lane }));
    }
}

#[test]
fn greetings_come_first_and_once() {
    let hello = segment(0, 0, 3, 125, &[0; 125]);
    let ready = segment(1, 0, 3, 8, &[0; 8]);
    let ping = segment(2, 0, 3, 8, &[0; 8]);
    let unknown = segment(0x81, 0, 3, 0, &[]);
    let credit = segment(6, 0, 3, 8, &[5, 0, 0, 0, 1, 0, 0, 0]);
    let announce = segment(0x22, 1, 3, 2, &[0; 2]);
    let say = |texts: &[&Vec<u8>]| {
        let [mut ours, mut theirs] = transports();
        for text in texts {
            theirs.receive(NOW, &seal(&mut ours, text))?;
        }
        Ok(())
    };
    assert_eq!(
        say(&[&hello, &ready, &ping, &announce, &credit, &unknown]),
        Ok(())
    );
    for texts in [
        &[&ready][..],
        &[&ping],
        &[&unknown],
        &[&announce],
        &[&credit],
        &[&hello, &hello],
        &[&hello, &ping],
        &[&hello, &credit],
        &[&hello, &unknown],
        &[&hello, &ready, &hello],
        &[&hello, &ready, &ready],
    ] {
        assert!(matches!(say(texts), Err(Fault::OutOfOrder(_))), "{texts:?}");
    }
    // Nor does anything overtake a greeting that is cut.
    let begun = segment(0, 0, 1, 125, &[0; 100]);
    assert_eq!(say(&[&begun, &announce]), Err(Fault::OutOfOrder(0x22)));
}

#[test]
fn a_buffer_grows_with_what_comes_and_not_with_what_is_announced() {
    let [mut ours, mut theirs] = greeted();
    let total = 4_194_304;
    let mut flags = 1;
    let mut came = 0;
    for _ in 0..40 {
        let text = segment(0x2e, 5, flags, total, &[0; 10_000]);
        theirs.receive(NOW, &seal(&mut ours, &text)).unwrap();
        came += 10_000;
        flags = 0;
        assert!(
            theirs.reserved_bytes() <= 2 * came,
            "{}",
            theirs.reserved_bytes()
        );
    }
    // What is ignored is not kept at all.
    let [mut ours, mut theirs] = greeted();
    theirs
        .receive(
            NOW,
            &seal(&mut ours, &segment(0x81, 1, 1, total, &[0; 10_000])),
        )
        .unwrap();
    assert_eq!(theirs.reserved_bytes(), 0);
}

#[test]
fn a_thousand_unknown_messages_an_hour_are_ignored() {
    let [mut ours, mut theirs] = greeted();
    let unknown = segment(0x81, 1, 3, 3, &[0; 3]);
    let say = |theirs: &mut Transport, ours: &mut Transport, now| {
        theirs.receive(now, &seal(ours, &unknown))
    };
    for _ in 0..1_000 {
        assert_eq!(say(&mut theirs, &mut ours, NOW), Ok(()));
    }
    let later = NOW + Span::from_secs(36);
    for _ in 0..10 {
        assert_eq!(say(&mut theirs, &mut ours, later), Ok(()));
    }
    assert_eq!(
        say(&mut theirs, &mut ours, later),
        Err(Fault::TooManyUnknown)
    );
    assert!(theirs.next_message().is_none());
}

#[test]
fn an_urgent_message_overtakes_history_within_one_frame() {
    let [mut ours, mut theirs] = greeted();
    ours.send(Lane::History, MessageKind::Block, vec![5; 4_194_304])
        .unwrap();
    let mut before = Vec::new();
    ours.write(&mut before, 200_000);
    theirs.receive(NOW, &before).unwrap();
    for (lane, kind) in &KINDS[..2] {
        ours.send(*lane, *kind, vec![1; 60]).unwrap();
    }
    let mut next = Vec::new();
    ours.write(&mut next, 1);
    assert_eq!(frames(&next).len(), 1);
    theirs.receive(NOW, &next).unwrap();
    let got: Vec<Lane> = take_all(&mut theirs)
        .iter()
        .map(|message| message.lane)
        .collect();
    assert_eq!(got, [Lane::Control, Lane::Announcements]);
    // The frame was filled up with history.
    assert_eq!(next.len(), FRAME_HEADER_BYTES + FRAME_TEXT_MAX + TAG_BYTES);
}

#[test]
fn strict_lanes_go_in_their_order() {
    let [mut ours, mut theirs] = greeted();
    for (lane, kind) in KINDS.into_iter().rev() {
        let length = if lane <= Lane::Announcements {
            60
        } else {
            20_000
        };
        ours.send(lane, kind, vec![0; length]).unwrap();
    }
    theirs.receive(NOW, &drain(&mut ours)).unwrap();
    let got: Vec<Lane> = take_all(&mut theirs)
        .iter()
        .map(|message| message.lane)
        .collect();
    assert_eq!(got[..3], [Lane::Control, Lane::Announcements, Lane::Bodies]);
    assert_eq!(got.len(), LANES);
}

#[test]
fn the_last_lanes_share_what_is_left() {
    let [mut ours, mut theirs] = greeted();
    let queue = [
        (Lane::Transactions, MessageKind::Txs, 2, 120_000),
        (Lane::Discovery, MessageKind::Addrs, 2, 25_000),
        (Lane::History, MessageKind::Block, 1, 1_000_000),
    ];
    for (lane, kind, count, length) in queue {
        for _ in 0..count {
            ours.send(lane, kind, vec![0; length]).unwrap();
        }
    }
    // As long as all three have something to send, none gets more than a turn ahead.
    let mut waiting = queue.map(|(lane, ..)| ours.queued(lane));
    let start = waiting;
    while waiting.iter().all(|bytes| *bytes > 0) {
        let went: Vec<usize> = (0..3).map(|at| start[at] - waiting[at]).collect();
        let ahead = went.iter().max().unwrap() - went.iter().min().unwrap();
        assert!(ahead <= 2 * FRAME_TEXT_MAX, "{went:?}");
        let mut out = Vec::new();
        ours.write(&mut out, 1);
        theirs.receive(NOW, &out).unwrap();
        waiting = queue.map(|(lane, ..)| ours.queued(lane));
    }
}

#[test]
fn small_messages_share_frames() {
    let length = 150;
    let [mut ours, _] = greeted();
    for _ in 0..1_000 {
        ours.send(Lane::Transactions, MessageKind::Txs, vec![0; length])
            .unwrap();
    }
    let sealed = drain(&mut ours);
    let text = 1_000 * (length + SEGMENT_HEADER_BYTES);
    assert_eq!(frames(&sealed).len(), text.div_ceil(FRAME_TEXT_MAX));
}

#[test]
fn credit_stops_a_lane_alone_and_dealing_with_messages_sets_it_going() {
    for (lane, kind, length) in [
        (Lane::Bodies, MessageKind::Block, 1_000_000),
        (Lane::Transactions, MessageKind::Txs, 100_000),
        (Lane::Discovery, MessageKind::Addrs, 25_000),
        (Lane::History, MessageKind::Block, 1_000_000),
    ] {
        let window = lane.window().unwrap() as usize;
        let [mut ours, mut theirs] = greeted();
        let mut sent = 0;
        let mut bytes = Vec::new();
        for _ in 0..20 {
            // The queue has its own limit, so it is emptied as far as the credit goes.
            let _ = ours.send(lane, kind, vec![1; length]).map(|()| sent += 1);
            ours.write(&mut bytes, usize::MAX);
        }
        assert!(!ours.wants_write() && ours.queued(lane) > 0);
        assert_eq!(
            sent * length - ours.queued(lane),
            window,
            "exactly the window went"
        );
        theirs.receive(NOW, &bytes).unwrap();
        // Another lane still goes.
        ours.send(Lane::Control, MessageKind::Ping, vec![0; 8])
            .unwrap();
        theirs.receive(NOW, &drain(&mut ours)).unwrap();
        // Taking messages is not dealing with them.
        let messages: Vec<_> = std::iter::from_fn(|| theirs.next_message()).collect();
        assert_eq!(messages.len(), window / length + 1);
        assert!(!theirs.wants_write());
        for message in &messages {
            theirs.consumed(message.lane, message.bytes.len());
        }
        ours.receive(NOW, &drain(&mut theirs)).unwrap();
        assert!(ours.wants_write());
        let mut got = messages.len() - 1;
        while got < sent {
            theirs.receive(NOW, &drain(&mut ours)).unwrap();
            got += take_all(&mut theirs).len();
            ours.receive(NOW, &drain(&mut theirs)).unwrap();
        }
        assert_eq!(ours.queued(lane), 0);
    }
}

#[test]
fn the_greatest_message_of_a_lane_never_stops_for_credit() {
    // Small messages first, dealt with one by one, leave as much credit unreturned as there can
    // be; then the greatest message must still get through.
    for (lane, kind) in KINDS.into_iter().skip(2) {
        for small in [1, 100, 9_000] {
            let [mut ours, mut theirs] = greeted();
            for _ in 0..70 {
                ours.send(lane, kind, vec![0; small]).unwrap();
                theirs.receive(NOW, &drain(&mut ours)).unwrap();
                take_all(&mut theirs);
                ours.receive(NOW, &drain(&mut theirs)).unwrap();
            }
            let greatest = kind.max_bytes(EngineKind::Work) as usize;
            ours.send(lane, kind, vec![0; greatest]).unwrap();
            theirs.receive(NOW, &drain(&mut ours)).unwrap();
            assert_eq!(take_all(&mut theirs).len(), 1, "{lane} after {small}");
        }
    }
}

#[test]
fn more_than_the_credit_closes() {
    let [mut ours, mut theirs] = greeted();
    let mut room = Lane::Discovery.window().unwrap() as usize;
    let text = |length: usize| segment(0x11, 4, 3, length as u32, &vec![0; length]);
    while room >= 6_000 {
        theirs.receive(NOW, &seal(&mut ours, &text(6_000))).unwrap();
        room -= 6_000;
    }
    theirs.receive(NOW, &seal(&mut ours, &text(room))).unwrap();
    let more = seal(&mut ours, &text(1));
    assert_eq!(
        theirs.receive(NOW, &more),
        Err(Fault::NoCredit(Lane::Discovery))
    );
}

#[test]
fn ignored_messages_give_their_credit_back() {
    let [mut ours, mut theirs] = greeted();
    for _ in 0..50 {
        let text = segment(0x81, 4, 3, 10_000, &[0; 10_000]);
        theirs.receive(NOW, &seal(&mut ours, &text)).unwrap();
        ours.receive(NOW, &drain(&mut theirs)).unwrap();
    }
}

#[test]
fn credit_that_is_none_closes() {
    let credit = |bytes: [u8; 8]| say(&[segment(6, 0, 3, 8, &bytes)]);
    assert_eq!(credit([2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), Ok(()));
    let kind = MessageKind::Credit;
    for bytes in [
        [1, 0, 0, 0, 9, 0, 0, 0],
        [6, 0, 0, 0, 9, 0, 0, 0],
        [2, 0, 1, 0, 9, 0, 0, 0],
    ] {
        assert!(matches!(credit(bytes), Err(Fault::Message { kind: got, .. }) if got == kind));
    }
}

#[test]
fn a_queue_has_its_limit_and_takes_one_message_always() {
    let [mut ours, _] = greeted();
    ours.send(Lane::Bodies, MessageKind::Block, vec![0; 4_194_304])
        .unwrap();
    let full = QueueFull {
        lane: Lane::Bodies,
        queued: 4_194_304,
    };
    let got = ours.send(Lane::Bodies, MessageKind::Block, vec![0; 300]);
    assert_eq!(got, Err(full));
    for (lane, kind) in KINDS {
        let length = kind.max_bytes(EngineKind::Work).min(100_000) as usize;
        let accepted = (0..100_000).take_while(|_| ours.send(lane, kind, vec![0; length]).is_ok());
        let bytes = accepted.count() * length;
        assert!(bytes <= 2 * 1024 * 1024, "{lane} took {bytes}");
    }
}

#[test]
#[should_panic(expected = "HELLO goes first")]
fn this_side_keeps_the_order_of_greetings() {
    let [mut ours, _] = transports();
    let _ = ours.send(Lane::Control, MessageKind::Ping, vec![0; 8]);
}

#[test]
#[should_panic(expected = "no more is dealt with than was given out")]
fn dealing_with_more_than_came_is_a_bug() {
    let [mut ours, _] = greeted();
    ours.consumed(Lane::History, 1);
}

#[test]
fn faults_say_what_happened() {
    let fault = Fault::TooLong {
        kind: 2,
        total: 9,
        max: 8,
    };
    let text = "a message of type 0x02 announced 9 bytes where 8 are the limit";
    assert_eq!(fault.to_string(), text);
    assert_eq!(
        HandshakeError::SelfConnection.to_string(),
        "the peer is this node itself"
    );
}

/// One step of two sides that talk.
#[derive(Clone, Debug)]
enum Step {
    Send {
        from: usize,
        at: usize,
        length: usize,
    },
    Carry {
        from: usize,
        budget: usize,
        piece: usize,
    },
    Take {
        at: usize,
        count: usize,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![1..300_usize, 1..40_000_usize, 100_000..131_000_usize];
    prop_oneof![
        (0..2_usize, 0..LANES, length).prop_map(|(from, at, length)| Step::Send {
            from,
            at,
            length
        }),
        (0..2_usize, 1..200_000_usize, 1..30_000_usize).prop_map(|(from, budget, piece)| {
            Step::Carry {
                from,
                budget,
                piece,
            }
        }),
        (0..2_usize, 0..5_usize).prop_map(|(at, count)| Step::Take { at, count }),
    ]
}

fn any_text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![0..7_u8, any::<u8>()], 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Against the model that a connection is a queue for each lane and direction.
    #[test]
    fn every_lane_is_a_queue(steps in prop::collection::vec(any_step(), 1..120)) {
        let mut sides = greeted();
        let mut model: [[VecDeque<Vec<u8>>; LANES]; 2] = Default::default();
        let end = (0..400).map(|round| match round % 4 {
            0 | 1 => Step::Carry { from: round % 2, budget: usize::MAX, piece: 10_000 },
            at => Step::Take { at: at % 2, count: usize::MAX },
        });
        for (number, step) in steps.into_iter().chain(end).enumerate() {
            match step {
                Step::Send { from, at, length } => {
                    let (lane, kind) = KINDS[at];
                    let length = length.min(kind.max_bytes(EngineKind::Work) as usize);
                    let bytes = pattern(length, number as u64);
                    if sides[from].send(lane, kind, bytes.clone()).is_ok() {
                        model[from][at].push_back(bytes);
                    }
                }
                Step::Carry { from, budget, piece } => {
                    let mut out = Vec::new();
                    sides[from].write(&mut out, budget);
                    for piece in out.chunks(piece) {
                        prop_assert_eq!(sides[1 - from].receive(NOW, piece), Ok(()));
                    }
                }
                Step::Take { at, count } => {
                    for _ in 0..count {
                        let Some(message) = sides[at].next_message() else { break };
                        let wanted = model[1 - at][message.lane.index()].pop_front();
                        prop_assert_eq!(Some(&message.bytes), wanted.as_ref());
                        prop_assert_eq!(message.kind, KINDS[message.lane.index()].1);
                        sides[at].consumed(message.lane, message.bytes.len());
                    }
                }
            }
        }
        prop_assert!(model.iter().flatten().all(VecDeque::is_empty), "all of it came");
    }

    /// Whatever a peer that has the keys says, the answer is messages or a fault.
    #[test]
    fn any_text_is_segments_or_a_fault(
        texts in prop::collection::vec(any_text(), 1..8),
    ) {
        let [mut ours, mut theirs] = greeted();
        for text in texts {
            let sealed = seal(&mut ours, &text);
            if theirs.receive(NOW, &sealed).is_err() {
                break;
            }
        }
        take_all(&mut theirs);
        prop_assert!(theirs.reserved_bytes() <= 8 * 200);
    }
}
