//! Blocks and headers: what comes unasked, what is invalid, what is held back, what is served.

use super::*;
use crate::types::{CompactBits, Hash, Seal};

impl Alice {
    /// A transaction of 15 kB.
    fn anchors(&self, nonce: u64) -> Transaction {
        let mut transaction = self.pays(nonce, 1);
        transaction.fee = crate::types::Amount(200_000);
        transaction.ops = vec![crate::types::Op::Data(vec![7; 1_024]); 15];
        let signature = rich()
            .secret
            .sign(&transaction.txid(&self.maker.genesis.id()).0);
        if let crate::types::Auth::Single { signature: at, .. } = &mut transaction.auth {
            *at = signature;
        }
        transaction
    }
}

#[test]
fn blocks_come_to_the_tip_and_readers_see_it_when_its_record_is_stored() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let genesis = alice.tip();
    let first = alice.first_block();
    alice.connect(bob);
    alice.gets_block(bob, &first);
    assert_eq!(alice.node.chain.tip(), first.id);
    assert_eq!(alice.tip(), genesis, "not before the Tip record is stored");
    // The block itself goes to the disk first, then the tip.
    alice.store_next();
    assert_eq!(alice.tip(), genesis);
    alice.store_next();
    assert_eq!(alice.tip(), first.id);
    assert!(alice.unstored.is_empty());
}

#[test]
fn a_new_tip_is_announced_to_everybody_but_those_who_have_it() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    let first = alice.first_block();
    alice.connect(bob);
    alice.connect(carol);
    alice.gets_block(bob, &first);
    alice.expect_silence(bob);
    alice.expect_sent(carol, |m| *m == announce(&[&first]));
}

#[test]
fn a_block_that_nobody_asked_for_closes() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let first = alice.first_block();
    alice.connect(bob);
    alice.receive(bob, block(RequestId(1), &first));
    alice.expect_closed(bob, "it sent a block that nobody asked for");
    assert!(!alice.node.knows_block(&first.id));
}

#[test]
fn headers_that_nobody_asked_for_close() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    let (request, headers) = (RequestId(1), Vec::new());
    alice.receive(bob, Message::Headers { request, headers });
    alice.expect_closed(bob, "it sent headers that nobody asked for");
}

#[test]
fn an_answer_in_another_lane_than_it_was_asked_in_closes() {
    let first = Alice::new().first_block();
    for is_block in [true, false] {
        let (mut alice, bob) = (Alice::new(), peer(2));
        alice.connect(bob);
        alice.receive(bob, announce(&[&first]));
        let request = alice.expect_get_blocks(bob, &[&first]);
        let ids = vec![Hash(first.id.0)];
        let answer = match is_block {
            true => block(request, &first),
            false => Message::NotFound { request, ids },
        };
        // A new block is asked for in lane 2.
        alice.receive_in(bob, Lane::History, answer);
        alice.expect_closed(bob, "it answered in another lane than it was asked in");
        assert!(!alice.node.knows_block(&first.id));
    }
}

#[test]
fn answers_to_questions_that_this_node_never_asks_close() {
    let request = RequestId(0);
    let nodes = Message::Nodes {
        request,
        records: Vec::new(),
    };
    let addrs = Message::Addrs {
        request,
        records: Vec::new(),
    };
    for answer in [nodes, addrs] {
        let (mut alice, bob) = (Alice::new(), peer(2));
        alice.connect(bob);
        alice.receive(bob, answer);
        alice.expect_closed(bob, "it answered what nobody asked");
    }
}

#[test]
fn an_answer_that_is_longer_than_a_block_may_be_closes_even_when_it_comes_too_late() {
    for beyond in [0, 1] {
        let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
        let first = alice.first_block();
        alice.meets_tellers([bob, carol], &first);
        let late = alice.expect_get_blocks(bob, &[&first]);
        alice.wait(Span::from_secs(2));
        let request = alice.expect_get_blocks(carol, &[&first]);
        alice.receive(carol, block(request, &first));
        let mut lie = first.header.to_bytes();
        let weight = alice.maker.genesis.rules.max_block_weight as usize;
        lie.resize(lie.len() + 4 + weight + beyond, 0);
        let (request, block) = (late, lie);
        alice.receive(bob, Message::Block { request, block });
        match beyond {
            0 => alice.expect_open(bob),
            _ => alice.expect_closed(bob, "it is longer than a block may be"),
        }
    }
}

#[test]
fn a_stalled_block_is_asked_elsewhere_and_taken_when_it_comes_late() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    let first = alice.first_block();
    alice.meets_tellers([bob, carol], &first);
    let late = alice.expect_get_blocks(bob, &[&first]);
    alice.wait(Span::from_millis(1_999));
    alice.expect_silence(carol);
    alice.wait(Span::from_millis(1));
    let request = alice.expect_get_blocks(carol, &[&first]);
    alice.receive(bob, block(late, &first));
    assert_eq!(alice.node.chain.tip(), first.id, "it is taken");
    alice.receive(carol, block(request, &first));
    alice.expect_open(bob);
    alice.expect_open(carol);
    alice.receive(carol, block(request, &first));
    alice.expect_closed(carol, "it sent a block that nobody asked for");
}

#[test]
fn an_invalid_header_closes_and_names_the_rule() {
    type Change = fn(&mut Header);
    let stories: [(Change, &str); 5] = [
        (
            |header| {
                let nonce = 0;
                let bits = CompactBits(0x207f_fffe);
                header.seal = Seal::Work { bits, nonce };
            },
            "the target rule gives",
        ),
        (
            |header| header.time = Millis(header.time.0 - 2_000 + 32),
            "after its parent at least",
        ),
        (
            |header| header.height = Height(2),
            "after its parent it must be 1",
        ),
        (|header| header.base_fee += 1, "the fee rule gives"),
        (
            |header| header.parent_weight = 4_000_001,
            "more than a block's limit",
        ),
    ];
    for (change, rule) in stories {
        let (mut alice, bob) = (Alice::new(), peer(2));
        alice.connect(bob);
        let who = person(91).account;
        let bad = alice
            .maker
            .child_with(&alice.maker.root(), who, &[], change);
        alice.receive(bob, announce(&[&bad]));
        alice.expect_closed(bob, rule);
    }
}

#[test]
fn a_header_whose_time_is_the_least_step_after_its_parents_is_good() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    let (root, who) = (alice.maker.root(), person(91).account);
    let least = |header: &mut Header| header.time = Millis(header.time.0 - 2_000 + 33);
    let first = alice.maker.child_with(&root, who, &[], least);
    alice.gets_block(bob, &first);
    assert_eq!(alice.node.chain.tip(), first.id);
}

#[test]
fn a_header_without_its_work_closes() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    let mut lazy = alice.first_block();
    // Every other nonce would do: the first that does not.
    while Uint256::from_be_bytes(&lazy.header.id().0) <= CompactBits(0x207f_ffff).target().unwrap()
    {
        if let Seal::Work { nonce, .. } = &mut lazy.header.seal {
            *nonce += 1;
        }
    }
    alice.receive(bob, announce(&[&lazy]));
    alice.expect_closed(bob, "is above the target");
}

#[test]
fn headers_that_do_not_follow_each_other_close() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    let first = alice.first_block();
    let second = alice.block_on(&first);
    let third = alice.block_on(&second);
    alice.receive(bob, announce(&[&first, &third]));
    alice.expect_closed(bob, "headers must follow each other");
}

#[test]
fn a_header_ahead_of_the_clock_is_held_blames_nobody_and_is_asked_for_again() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    let (root, who) = (alice.maker.root(), person(91).account);
    // Alice's clock is at 100 s; 18 s ahead of it is the limit.
    let ahead = |header: &mut Header| header.time = Millis(1_700_000_000_000 + 123_000);
    let early = alice.maker.child_with(&root, who, &[], ahead);
    alice.receive(bob, announce(&[&early]));
    alice.expect_silence(bob);
    alice.wait(Span::from_millis(4_999));
    alice.expect_silence(bob);
    alice.wait(Span::from_millis(1));
    let request = alice.expect_get_headers(bob);
    let headers = vec![early.header.clone()];
    alice.receive(bob, Message::Headers { request, headers });
    let request = alice.expect_get_blocks(bob, &[&early]);
    alice.receive(bob, block(request, &early));
    assert_eq!(alice.node.chain.tip(), early.id);
}

#[test]
fn a_header_far_ahead_makes_the_node_doubt_its_clock_now_and_then() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    let (root, who) = (alice.maker.root(), person(91).account);
    // Alice's clock is at 100 s; beyond 18 s ahead of it headers wait.
    let at =
        |millis: u64| move |header: &mut Header| header.time = Millis(1_700_000_000_000 + millis);
    let near = alice.maker.child_with(&root, who, &[], at(178_000));
    let far = alice.maker.child_with(&root, who, &[], at(8 * 3_600_000));
    let doubts = |alice: &mut Alice| -> Vec<(BlockId, Span)> {
        let events = std::mem::take(&mut alice.events);
        let doubt = |event| match event {
            Event::FarAhead { id, by } => Some((id, by)),
            _ => None,
        };
        events.into_iter().filter_map(doubt).collect()
    };
    alice.receive(bob, announce(&[&near]));
    assert_eq!(doubts(&mut alice), [], "it waits for no more than a minute");
    let wait = 8 * 3_600 - 118;
    alice.receive(bob, announce(&[&far]));
    assert_eq!(doubts(&mut alice), [(far.id, Span::from_secs(wait))]);
    alice.receive(bob, announce(&[&far]));
    assert_eq!(doubts(&mut alice), [], "it was told a moment ago");
    // That it was told is part of the node, or a replay would tell it again.
    let told = alice.node.snapshot();
    alice.node.told_far_ahead = None;
    assert_ne!(alice.node.snapshot().hash(), told.hash());
    alice.node.told_far_ahead = Some(alice.now);
    alice.now += Span::from_secs(600);
    alice.receive(bob, announce(&[&far]));
    assert_eq!(doubts(&mut alice), [(far.id, Span::from_secs(wait - 600))]);
    alice.expect_open(bob);
}

#[test]
fn a_peer_that_does_not_answer_for_headers_is_closed() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.meet(bob);
    alice.receive(bob, hello(bob));
    alice.receive(bob, ready());
    alice.wait(Span::from_millis(16_999));
    alice.expect_open(bob);
    alice.wait(Span::from_millis(1));
    alice.expect_closed(bob, "did not answer: headers");
}

#[test]
fn a_block_with_a_bad_signature_costs_its_sender_and_others_go_on_without_it() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    let payment = alice.pays(0, 7);
    let good = alice
        .maker
        .child(&alice.maker.root(), person(91).account, &[payment]);
    // The id covers the wtxids by the transaction root, and these cover signatures: whoever
    // makes such a block has done the work on it.
    let (root, who) = (alice.maker.root(), person(91).account);
    let mut forged = alice.pays(0, 8);
    if let crate::types::Auth::Single { signature, .. } = &mut forged.auth {
        signature.0[3] ^= 1;
    }
    let bad = alice.maker.child(&root, who, &[forged]);
    assert_eq!(bad.checked.transactions.len(), 1);
    for conn in [bob, carol] {
        alice.connect(conn);
    }
    alice.receive(bob, announce(&[&bad]));
    let request = alice.expect_get_blocks(bob, &[&bad]);
    alice.receive(bob, block(request, &bad));
    alice.expect_closed(bob, "is invalid");
    // The header covers the signature: nobody is asked for that block again.
    alice.expect_silence(carol);
    alice.gets_block(carol, &good);
    assert_eq!(alice.node.chain.tip(), good.id);
}

#[test]
fn a_block_that_was_damaged_on_the_way_is_fetched_from_another_peer() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    let payment = alice.pays(0, 7);
    let good = alice
        .maker
        .child(&alice.maker.root(), person(91).account, &[payment]);
    let mut damaged = good.clone();
    *damaged.bytes.last_mut().unwrap() ^= 1;
    alice.meets_tellers([bob, carol], &good);
    let request = alice.expect_get_blocks(bob, &[&good]);
    alice.receive(bob, block(request, &damaged));
    alice.expect_closed(bob, "is invalid");
    let request = alice.expect_get_blocks(carol, &[&good]);
    alice.receive(carol, block(request, &good));
    alice.expect_open(carol);
    assert_eq!(alice.node.chain.tip(), good.id);
}

#[test]
fn a_block_with_a_wrong_state_root_is_invalid_and_the_tip_does_not_move() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let genesis = alice.tip();
    let (root, who) = (alice.maker.root(), person(91).account);
    let wrong = |header: &mut Header| header.state_root = Hash([5; 32]);
    let bad = alice.maker.child_with(&root, who, &[], wrong);
    let computed = alice.maker.child(&root, who, &[]).header.state_root;
    let dave = peer(4);
    for conn in [bob, dave] {
        alice.connect(conn);
        alice.receive(conn, announce(&[&bad]));
    }
    let request = alice.expect_get_blocks(bob, &[&bad]);
    alice.receive(bob, block(request, &bad));
    alice.expect_closed(bob, "which is invalid");
    alice.expect_silence(dave);
    alice.store_done();
    assert_eq!((alice.node.chain.tip(), alice.tip()), (genesis, genesis));
    let told = alice.events.iter().any(|event| {
        matches!(
            event,
            Event::Divergence { id, height: Height(1), why }
                if *id == bad.id
                    && why.contains(&bad.header.state_root.to_string())
                    && why.contains(&computed.to_string())
        )
    });
    assert!(told, "{:?}", alice.events);
    // Its bytes are kept, and whoever asks for it gets them.
    assert_eq!(alice.evidence.len(), 1);
    assert_eq!(alice.evidence[0].0, bad.id);
    assert_eq!(*alice.evidence[0].1, *bad.bytes);
    let call = alice.ask(Question::Block(bad.id));
    match &alice.answers[&call] {
        Ok(Reply::Block {
            bytes,
            in_best_chain: false,
            ..
        }) => assert_eq!(**bytes, *bad.bytes),
        other => panic!("{other:?}"),
    }
    // Whoever builds on it is at fault, and a good block in its place is taken.
    let child = alice.maker.child_with(&bad.state, who, &[], |header| {
        (header.parent_id, header.height) = (bad.id, Height(2));
        header.time = Millis(bad.header.time.0 + 2_000);
    });
    alice.receive(dave, announce(&[&child]));
    alice.expect_closed(dave, "is invalid");
    let (carol, good) = (peer(3), alice.first_block());
    alice.connect(carol);
    alice.gets_block(carol, &good);
    assert_eq!(alice.node.chain.tip(), good.id);
}

#[test]
fn a_block_that_breaks_a_rule_in_its_place_is_no_divergence() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let wrong = |header: &mut Header| header.history_root = Hash([5; 32]);
    let root = alice.maker.root();
    let bad = alice
        .maker
        .child_with(&root, person(91).account, &[], wrong);
    alice.connect(bob);
    alice.receive(bob, announce(&[&bad]));
    let request = alice.expect_get_blocks(bob, &[&bad]);
    alice.receive(bob, block(request, &bad));
    alice.expect_closed(bob, "which is invalid");
    let told = |event: &Event| matches!(event, Event::InvalidBlock { id, .. } if *id == bad.id);
    assert!(alice.events.iter().any(told), "{:?}", alice.events);
    assert!(alice.evidence.is_empty());
}

#[test]
fn a_block_of_our_own_is_not_announced_before_it_is_stored() {
    let (mut alice, bob) = (Alice::miner(), peer(2));
    let genesis = alice.tip();
    alice.connect(bob);
    for _ in 0..50 {
        alice.wait(Span::from_millis(100));
    }
    let mined = alice.events.iter().find_map(|event| match event {
        Event::Mined { id, .. } => Some(*id),
        _ => None,
    });
    let mined = mined.expect("a hundred hashes find a block");
    alice.expect_silence(bob);
    assert_eq!(alice.node.chain.tip(), genesis);
    alice.receive(
        bob,
        Message::GetBlocks {
            request: RequestId(5),
            ids: vec![mined],
        },
    );
    alice.expect_sent(bob, |m| matches!(m, Message::NotFound { .. }));
    alice.store_next();
    let told = alice.expect_sent(bob, |m| matches!(m, Message::Announce { .. }));
    let Message::Announce { headers } = told else {
        unreachable!()
    };
    assert_eq!(headers.iter().map(Header::id).collect::<Vec<_>>(), [mined]);
}

#[test]
fn blocks_are_served_in_the_order_asked_and_what_is_not_here_is_said_so() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let first = alice.first_block();
    let second = alice.block_on(&first);
    alice.connect(bob);
    alice.gets_block(bob, &first);
    alice.gets_block(bob, &second);
    alice.store_done();
    let (request, unknown) = (RequestId(77), BlockId([3; 32]));
    let ids = vec![second.id, unknown, first.id];
    alice.receive_in(bob, Lane::History, Message::GetBlocks { request, ids });
    alice.expect_sent(bob, |m| *m == block(request, &second));
    let ids = vec![Hash(unknown.0)];
    alice.expect_sent(bob, |m| *m == Message::NotFound { request, ids });
    alice.expect_sent(bob, |m| *m == block(request, &first));
    alice.expect_silence(bob);
}

#[test]
fn blocks_are_served_as_fast_as_the_peer_takes_them() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    // Each is more than is sent ahead.
    let mut blocks: Vec<Made> = Vec::new();
    for block in 0..3 {
        let great: Vec<Transaction> = (0..40).map(|n| alice.anchors(40 * block + n)).collect();
        let root = alice.maker.root();
        let parent = blocks.last().map_or(&root, |made| &made.state);
        let made = alice.maker.child(parent, person(91).account, &great);
        assert!(made.bytes.len() > 600_000);
        blocks.push(made);
    }
    for made in &blocks {
        alice.gets_block(bob, made);
    }
    alice.store_done();
    let (request, ids) = (RequestId(77), blocks.iter().map(|made| made.id).collect());
    let before = alice.node.peers[&bob.conn].bytes_out;
    alice.receive_in(bob, Lane::History, Message::GetBlocks { request, ids });
    for made in &blocks {
        alice.expect_sent(bob, |m| *m == block(request, made));
        alice.expect_silence(bob);
        assert_eq!(alice.awaited.pop(), Some(bob.conn));
        alice.happens(Input::Room { conn: bob.conn });
    }
    let bytes: u64 = blocks.iter().map(|made| 4 + made.bytes.len() as u64).sum();
    assert_eq!(alice.node.peers[&bob.conn].bytes_out - before, bytes);
    alice.expect_silence(bob);
    assert!(alice.awaited.is_empty());
}

#[test]
fn a_block_near_the_tip_is_served_while_history_waits() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    // More than is sent ahead.
    let great: Vec<Transaction> = (0..40).map(|n| alice.anchors(n)).collect();
    let root = alice.maker.root();
    let old = alice.maker.child(&root, person(91).account, &great);
    let new = alice.block_on(&old);
    for made in [&old, &new] {
        alice.gets_block(bob, made);
    }
    alice.store_done();
    let asks = |number, ids| Message::GetBlocks {
        request: RequestId(number),
        ids,
    };
    alice.receive_in(bob, Lane::History, asks(1, vec![old.id, old.id, new.id]));
    alice.expect_sent(bob, |m| *m == block(RequestId(1), &old));
    alice.expect_silence(bob);
    alice.receive_in(bob, Lane::Bodies, asks(2, vec![new.id]));
    alice.expect_sent(bob, |m| *m == block(RequestId(2), &new));
    // What waited goes on when there is room.
    alice.happens(Input::Room { conn: bob.conn });
    alice.expect_sent(bob, |m| *m == block(RequestId(1), &old));
    alice.expect_silence(bob);
    alice.happens(Input::Room { conn: bob.conn });
    alice.expect_sent(bob, |m| *m == block(RequestId(1), &new));
}

#[test]
fn far_behind_the_tip_is_written_down_in_groups_and_at_its_end_at_once() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let genesis = alice.tip();
    let blocks = alice
        .maker
        .branch(&alice.maker.root(), person(91).account, 40);
    alice.meet(bob);
    alice.expect_sent(bob, |m| matches!(m, Message::Hello(_)));
    alice.receive(bob, hello(bob));
    alice.expect_sent(bob, |m| matches!(m, Message::Ready { .. }));
    alice.receive(bob, ready());
    let request = alice.expect_get_headers(bob);
    let headers = blocks.iter().map(|made| made.header.clone()).collect();
    alice.receive(bob, Message::Headers { request, headers });
    // The places in the chain that the records of the tip name, in their order.
    let logged = |alice: &mut Alice| -> Vec<Option<usize>> {
        let requests = alice.unstored.iter().filter(|request| request.sync);
        let bodies = requests.flat_map(|request| &request.records);
        let tips = bodies.filter(|record| record.kind == Kind::Tip);
        let place = |record: &Append| blocks.iter().position(|b| b.id.0 == record.body[32..64]);
        let places = tips.map(place).collect();
        alice.store_done();
        places
    };
    let give = |alice: &mut Alice, count: usize| {
        let asked: Vec<Message> = alice.sent.get_mut(&bob.conn).unwrap().drain(..).collect();
        let mut given = 0;
        for message in asked {
            let Message::GetBlocks { request, ids } = message else {
                continue;
            };
            for id in ids {
                let made = blocks.iter().find(|made| made.id == id).unwrap();
                alice.receive(bob, block(request, made));
                given += 1;
            }
        }
        assert!(given >= count, "{given}");
    };
    give(&mut alice, 16);
    assert_eq!(alice.node.chain.tip(), blocks[15].id);
    assert_eq!(logged(&mut alice), []);
    assert_eq!(alice.tip(), genesis, "readers see what is durable");
    alice.wait(Span::from_millis(100));
    assert_eq!(logged(&mut alice), [Some(15)]);
    assert_eq!(alice.tip(), blocks[15].id);
    while alice.node.chain.tip() != blocks[39].id {
        give(&mut alice, 1);
    }
    let expected: Vec<_> = (23..40).map(Some).collect();
    assert_eq!(logged(&mut alice), expected);
    assert_eq!(alice.tip(), blocks[39].id);
}

#[test]
fn headers_are_served_after_the_last_shared_block() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let first = alice.first_block();
    let second = alice.block_on(&first);
    let third = alice.block_on(&second);
    alice.connect(bob);
    for made in [&first, &second, &third] {
        alice.gets_block(bob, made);
    }
    let mut asks = |max, stop, locator: Vec<BlockId>| {
        let request = RequestId(8);
        alice.receive(
            bob,
            Message::GetHeaders {
                request,
                max,
                stop,
                locator,
            },
        );
        match alice.expect_sent(bob, |m| matches!(m, Message::Headers { .. })) {
            Message::Headers { headers, .. } => headers.iter().map(Header::id).collect::<Vec<_>>(),
            _ => unreachable!(),
        }
    };
    let stranger = BlockId([9; 32]);
    assert_eq!(
        asks(10, BlockId::ZERO, vec![stranger, first.id]),
        [second.id, third.id]
    );
    assert_eq!(asks(1, BlockId::ZERO, vec![first.id]), [second.id]);
    assert_eq!(asks(10, second.id, vec![stranger]), [first.id, second.id]);
    assert_eq!(asks(10, BlockId::ZERO, vec![third.id]), []);
}

#[test]
fn a_longer_branch_takes_over_and_what_it_left_waits_again() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let payment = alice.pays(0, 7);
    let (root, who) = (alice.maker.root(), person(91).account);
    let old = alice
        .maker
        .child(&root, who, std::slice::from_ref(&payment));
    alice.connect(bob);
    alice.gets_block(bob, &old);
    alice.store_done();
    assert!(alice.node.mempool.is_empty());
    let new = alice.maker.branch(&root, person(92).account, 2);
    let new: Vec<&Made> = new.iter().collect();
    alice.receive(bob, announce(&new));
    let request = alice.expect_get_blocks(bob, &new);
    for made in &new {
        alice.receive(bob, block(request, made));
    }
    alice.store_done();
    assert_eq!(alice.tip(), new[1].id);
    assert!(alice.node.mempool.get(&payment.wtxid()).is_some());
}

#[test]
fn what_a_reorganisation_brings_is_shown_when_its_tip_is_durable() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let payments = [alice.pays(0, 7), alice.pays(0, 8)];
    let (root, who) = (alice.maker.root(), person(91).account);
    let [old, new] = [0, 1].map(|one| alice.maker.child(&root, who, &payments[one..=one]));
    let top = alice.block_on(&new);
    alice.connect(bob);
    alice.gets_block(bob, &old);
    alice.store_done();
    alice.gets_blocks(bob, &[&new, &top]);
    assert_eq!(alice.node.chain.tip(), top.id);
    for is_durable in [false, true] {
        assert_eq!(alice.tip(), if is_durable { top.id } else { old.id });
        let (shown, other) = if is_durable {
            (&new, &old)
        } else {
            (&old, &new)
        };
        for (made, wanted) in [(shown, true), (other, false)] {
            for question in [Question::Block(made.id), Question::Header(made.id)] {
                let call = alice.ask(question);
                let (Ok(Reply::Block {
                    in_best_chain,
                    work_below,
                    ..
                })
                | Ok(Reply::Header {
                    in_best_chain,
                    work_below,
                    ..
                })) = alice.answers[&call]
                else {
                    panic!("{:?}", alice.answers[&call])
                };
                assert_eq!(in_best_chain, wanted);
                assert_eq!(work_below, Some(root.header.work()), "both are first");
            }
        }
        for question in [Question::BlockAt(Height(1)), Question::HeaderAt(Height(1))] {
            let call = alice.ask(question);
            let (Ok(Reply::Block { id, .. }) | Ok(Reply::Header { id, .. })) = alice.answers[&call]
            else {
                panic!("{:?}", alice.answers[&call])
            };
            assert_eq!(id, shown.id);
        }
        let above = alice.ask(Question::HeaderAt(Height(2)));
        assert_eq!(alice.answers[&above].is_ok(), is_durable);
        let is_in = |status| matches!(status, TransactionStatus::Included { .. });
        assert_eq!(is_in(alice.status(&payments[1])), is_durable);
        alice.store_done();
    }
}

/// Bodies come from several peers at once, and each is logged when it comes: a child may stand
/// before its parent in the log.
#[test]
fn blocks_that_were_logged_before_their_parents_are_there_after_a_restart() {
    let alice = Alice::new();
    let first = alice.first_block();
    let chain = [first.clone(), alice.block_on(&first)];
    let rival = alice
        .maker
        .child(&alice.maker.root(), person(92).account, &[]);
    let [second, first, rival] =
        [&chain[1], &chain[0], &rival].map(|made| Arc::clone(&made.checked));
    for blocks in [[&second, &first, &rival], [&second, &rival, &first]] {
        let blocks = blocks.iter().zip([8, 16, 24]);
        let blocks = blocks.map(|(block, lsn)| (Lsn::new(lsn), block.header.clone()));
        let recovered = Recovered {
            blocks: blocks.collect(),
            tip: Some(second.id),
            ..Recovered::default()
        };
        let config = alice.node.config.clone();
        let node = Node::open(config, recovered, [5; 32], alice.now).unwrap();
        assert!(
            [&second, &first, &rival]
                .iter()
                .all(|it| node.knows_block(&it.id))
        );
        assert_eq!(node.chain.tree().best_candidate(), second.id);
    }
}

/// The log may have more than the tip that readers were shown: its record was not durable yet.
#[test]
fn after_a_restart_readers_go_on_where_they_were_until_something_better_is_durable() {
    let mut alice = Alice::new();
    let first = alice.first_block();
    let second = alice.block_on(&first);
    for made in [&first, &second] {
        assert!(alice.submits_block(made).is_ok());
    }
    alice.starts_on(alice.recovered(&first));
    assert_eq!(alice.node.chain.tip(), second.id);
    // The disk is full just now: whatever is shown anew, it is not the state of the start.
    alice.happens(Input::DiskFull(true));
    assert_eq!(alice.tip(), first.id);
    assert!(alice.published.as_ref().unwrap().ready);
    alice.happens(Input::DiskFull(false));
    alice.store_done();
    assert_eq!(alice.tip(), second.id);
}

/// Of a long branch some blocks may have left memory before the tip moves to it.
#[test]
fn the_headers_of_a_new_tip_follow_each_other_whatever_is_in_memory() {
    let mut alice = Alice::new();
    let branch = alice
        .maker
        .branch(&alice.maker.root(), person(91).account, 4);
    for made in &branch {
        assert!(alice.submits_block(made).is_ok());
    }
    let bob = peer(2);
    alice.connect(bob);
    let block = |place: usize| Arc::clone(&branch[place].checked);
    let moved = crate::chain::TipChange {
        from: branch[0].id,
        to: branch[3].id,
        height: Height(4),
        fork: Height(1),
        depth: 0,
        disconnected: Vec::new(),
        connected: vec![block(1), block(3)],
        is_whole: false,
    };
    alice.node.announce(&moved);
    alice.drain();
    let wanted: Vec<_> = branch[1..].iter().map(|it| it.header.clone()).collect();
    alice.expect_sent(
        bob,
        |message| matches!(message, Message::Announce { headers } if *headers == wanted),
    );
}

/// The block of the tip that readers were shown is damaged: the start goes on below it, and that is
/// on its way to the disk when a peer gives the block again.
#[test]
fn what_readers_see_does_not_go_back_when_a_lost_tip_comes_before_its_parent_is_written_down() {
    let mut alice = Alice::new();
    let first = alice.first_block();
    let second = alice.block_on(&first);
    for made in [&first, &second] {
        assert!(alice.submits_block(made).is_ok());
    }
    alice.lost = alice.log.keys().next_back().copied();
    alice.starts_on(alice.recovered(&second));
    assert_eq!(alice.node.chain.tip(), first.id);
    let bob = peer(2);
    alice.connect(bob);
    alice.receive(bob, announce(&[&first, &second]));
    let request = alice.expect_get_blocks(bob, &[&second]);
    alice.receive(bob, block(request, &second));
    assert_eq!(alice.node.chain.tip(), second.id);
    let height = |alice: &Alice| alice.published.as_ref().unwrap().header.height;
    alice.wait(Span::from_secs(1));
    let mut shown = vec![height(&alice)];
    while !alice.unstored.is_empty() {
        alice.store_next();
        shown.push(height(&alice));
    }
    assert!(shown.is_sorted(), "{shown:?}");
    assert_eq!(alice.tip(), second.id);
    assert!(alice.published.as_ref().unwrap().ready);
}

/// What the log has beyond the tip that readers were shown may have to wait for space before it is
/// executed: the record that a block is tried first is the first thing that a full disk refuses.
#[test]
fn a_start_on_a_full_disk_is_ready_where_readers_were_and_executes_the_rest_when_there_is_space() {
    let mut alice = Alice::new();
    let payment = alice.pays(0, 7);
    let first = alice.first_block();
    let who = person(91).account;
    let second = alice
        .maker
        .child(&first.state, who, std::slice::from_ref(&payment));
    for made in [&first, &second] {
        assert!(alice.submits_block(made).is_ok());
    }
    let mut recovered = alice.recovered(&first);
    recovered.journal.accepted = vec![(Lsn::new(1), payment.clone())];
    (alice.full, alice.events) = (true, Vec::new());
    alice.starts_on(recovered);
    assert!(alice.published.as_ref().is_none_or(|shown| !shown.ready));
    alice.happens(Input::DiskFull(true));
    assert!(alice.published.as_ref().unwrap().ready);
    assert_eq!(alice.tip(), first.id);
    assert_eq!(alice.status(&payment), TransactionStatus::Waiting);
    alice.full = false;
    alice.happens(Input::DiskFull(false));
    alice.store_done();
    assert_eq!(alice.tip(), second.id);
    let status = alice.status(&payment);
    assert!(matches!(status, TransactionStatus::Included { .. }));
    let starts = |event: &&Event| matches!(event, Event::Ready { .. });
    assert_eq!(alice.events.iter().filter(starts).count(), 1);
}
