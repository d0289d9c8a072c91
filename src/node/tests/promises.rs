//! Promises to people outside: an answer is given when it can be kept.

use super::super::journal::KEPT_DEPTH;
use super::*;
use crate::base::Rng;
use crate::chain::mempool::Leaving;
use crate::store::{Faults, FaultyDisk, Keep, MemoryDisk};

#[test]
fn a_transaction_is_accepted_only_when_its_record_is_stored() {
    let mut alice = Alice::new();
    let payment = alice.pays(0, 7);
    let call = alice.submit(&payment);
    assert!(alice.node.mempool.get(&payment.wtxid()).is_some());
    assert!(alice.answers.is_empty(), "the record is on its way");
    let request = &alice.unstored[0];
    assert!(request.sync);
    assert_eq!(request.records[0].kind, Kind::Accepted);
    assert_eq!(request.records[0].body[8..], payment.to_bytes());
    alice.store_done();
    let accepted = Ok(Reply::Accepted {
        txid: payment.txid(&alice.maker.genesis.id()),
        wtxid: payment.wtxid(),
    });
    assert_eq!(alice.answers[&call], accepted);
}

#[test]
fn a_second_asker_for_the_same_transaction_waits_for_the_record_too() {
    let mut alice = Alice::new();
    let payment = alice.pays(0, 7);
    let first = alice.submit(&payment);
    let second = alice.submit(&payment);
    assert!(alice.answers.is_empty(), "{:?}", alice.answers);
    alice.store_done();
    assert!(alice.answers[&first].is_ok());
    assert_eq!(alice.answers[&first], alice.answers[&second]);
    // Once it is stored nothing more need be written.
    let third = alice.submit(&payment);
    assert!(alice.unstored.is_empty());
    assert_eq!(alice.answers[&first], alice.answers[&third]);
}

#[test]
fn what_a_peer_brought_is_written_before_it_is_promised_to_somebody_outside() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let payment = alice.pays(0, 7);
    alice.connect(bob);
    alice.gets_transaction(bob, &payment);
    assert!(alice.unstored.is_empty(), "nobody was promised anything");
    let call = alice.submit(&payment);
    assert!(alice.answers.is_empty());
    alice.store_done();
    assert!(alice.answers[&call].is_ok());
}

#[test]
fn a_promise_that_was_mined_is_kept_in_mind_until_it_is_buried() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let payment = alice.pays(0, 7);
    alice.submit(&payment);
    alice.store_done();
    alice.connect(bob);
    let (root, who) = (alice.maker.root(), person(91).account);
    let mut tip = alice.maker.child(&root, who, &[payment]);
    for depth in 0..=KEPT_DEPTH {
        // Blocks are not ahead of the clock.
        alice.now += Span::from_secs(2);
        alice.gets_block(bob, &tip);
        assert_eq!(
            alice.node.journal.len(),
            1,
            "depth {depth}, its record is on its way"
        );
        alice.store_done();
        assert_eq!(alice.node.journal.len(), usize::from(depth < KEPT_DEPTH));
        tip = alice.block_on(&tip);
    }
    assert!(
        alice.unstored.is_empty(),
        "what was mined is not written off"
    );
}

#[test]
fn a_transaction_that_is_replaced_is_written_off_behind_what_replaces_it() {
    let mut alice = Alice::new();
    let poor = alice.pays(0, 7);
    let genesis = Arc::clone(&alice.maker.genesis);
    let rich = pay(&genesis, &rich(), (0, 50_000), person(2).account, 7);
    alice.submit(&poor);
    alice.store_done();
    let call = alice.submit(&rich);
    assert_eq!(alice.unstored.len(), 1, "in one go");
    let records = &alice.unstored[0].records;
    let kinds: Vec<Kind> = records.iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [Kind::Accepted, Kind::Gone]);
    assert_eq!(records[1].body, poor.wtxid().0);
    alice.store_done();
    assert!(alice.answers[&call].is_ok());
    let by = rich.txid(&genesis.id());
    let status = alice.status(&poor);
    assert_eq!(status, TransactionStatus::Gone(Leaving::Replaced { by }));
}

#[test]
fn a_promise_goes_on_in_what_a_peer_brings_to_replace_it() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let poor = alice.pays(0, 7);
    let genesis = Arc::clone(&alice.maker.genesis);
    let rich = pay(&genesis, &rich(), (0, 50_000), person(2).account, 7);
    alice.submit(&poor);
    alice.store_done();
    alice.connect(bob);
    alice.gets_transaction(bob, &rich);
    let records = &alice.unstored[0].records;
    assert_eq!(records[0].body[8..], rich.to_bytes());
    assert_eq!(records[1].kind, Kind::Gone);
}

#[test]
fn what_a_promise_goes_on_in_survives_a_power_cut_once_it_is_answered_for() {
    let genesis = Alice::new().maker.genesis;
    let disk = FaultyDisk::over(&MemoryDisk::new(), Faults::default(), Rng::from_number(1));
    let (mut alice, bob) = (Alice::on_disk(&genesis, disk.clone()), peer(2));
    let poor = alice.pays(0, 7);
    let rich = pay(&genesis, &rich(), (0, 50_000), person(2).account, 7);
    alice.submit(&poor);
    alice.store_done();
    alice.connect(bob);
    alice.gets_transaction(bob, &rich);
    alice.store_done();
    let call = alice.submit(&rich);
    assert!(alice.answers[&call].is_ok(), "its record is stored");
    let mut alice = Alice::on_disk(&genesis, disk.crash(Keep::Nothing));
    alice.store_done();
    assert_eq!(alice.status(&rich), TransactionStatus::Waiting);
}

#[test]
fn what_returns_before_a_promised_one_is_durable_before_it_is_answered_for() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let (first, second) = (alice.pays(0, 7), alice.pays(1, 8));
    alice.connect(bob);
    let (root, who) = (alice.maker.root(), person(91).account);
    let taking = alice.maker.child(&root, who, std::slice::from_ref(&first));
    alice.gets_block(bob, &taking);
    alice.submit(&second);
    alice.store_done();
    let branch = alice.maker.branch(&root, person(92).account, 2);
    alice.gets_blocks(bob, &[&branch[0], &branch[1]]);
    assert_eq!(alice.node.chain.tip(), branch[1].id);
    let holds_first = |request: &&Request| {
        let mut records = request.records.iter();
        records.any(|it| it.kind == Kind::Accepted && it.body[8..] == first.to_bytes())
    };
    let request = alice.unstored.iter().find(holds_first).unwrap();
    assert!(request.sync);
}

#[test]
fn what_an_account_has_before_a_promised_one_is_held_with_it() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let (first, second) = (alice.pays(0, 7), alice.pays(1, 8));
    alice.connect(bob);
    alice.gets_transaction(bob, &first);
    assert!(alice.unstored.is_empty());
    let call = alice.submit(&second);
    let records = &alice.unstored[0].records;
    let held: Vec<&[u8]> = records.iter().map(|record| &record.body[8..]).collect();
    assert_eq!(held, [first.to_bytes(), second.to_bytes()]);
    assert!(alice.answers.is_empty());
    alice.store_done();
    assert!(alice.answers[&call].is_ok());
}

#[test]
fn a_refusal_is_answered_at_once_and_nothing_is_written() {
    let mut alice = Alice::new();
    let payment = alice.pays(3, 7);
    let call = alice.submit(&payment);
    let refused = &alice.answers[&call];
    assert!(
        matches!(refused, Err(CallError::Transaction(_))),
        "{refused:?}"
    );
    let call = alice.ask(Question::SubmitTransaction(vec![1, 2]));
    assert!(matches!(alice.answers[&call], Err(CallError::Malformed(_))));
    assert!(alice.unstored.is_empty());
}

#[test]
fn a_full_disk_takes_nothing_in_and_serves_what_there_is() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let first = alice.first_block();
    alice.connect(bob);
    alice.gets_block(bob, &first);
    alice.store_done();
    alice.happens(Input::DiskFull(true));
    // A peer's news is heard, and asked for later.
    let second = alice.block_on(&first);
    alice.receive(bob, announce(&[&second]));
    alice.expect_silence(bob);
    let payment = alice.pays(0, 5);
    let call = alice.submit(&payment);
    assert_eq!(alice.answers[&call], Err(CallError::DiskFull));
    let call = alice.ask(Question::Block(first.id));
    assert!(alice.answers[&call].is_ok());
    let published = alice.published.as_ref().unwrap();
    assert!(published.disk_full);
    alice.happens(Input::DiskFull(false));
    let request = alice.expect_get_blocks(bob, &[&second]);
    alice.receive(bob, block(request, &second));
    assert_eq!(alice.node.chain.tip(), second.id);
}

#[test]
fn checks_that_end_in_another_order_let_transactions_in_in_theirs() {
    let mut alice = Alice::new();
    let (first, second) = (alice.pays(0, 7), alice.pays(1, 8));
    let (mut jobs, mut calls) = (Vec::new(), Vec::new());
    for payment in [&first, &second] {
        calls.push(CallId(jobs.len() as u64));
        let question = Question::SubmitTransaction(payment.to_bytes());
        let call = *calls.last().unwrap();
        alice
            .node
            .handle(alice.now, Input::Called { call, question });
        while let Some(output) = alice.node.poll_output() {
            if let Output::Run { job, work } = output {
                jobs.push((job, work));
            }
        }
    }
    assert_eq!(jobs.len(), 2, "both are checked at once");
    for (job, work) in jobs.into_iter().rev() {
        let result = work.run(&mut alice.bench);
        alice.node.handle(alice.now, Input::Done { job, result });
        alice.drain();
    }
    alice.store_done();
    assert!(calls.iter().all(|call| alice.answers[call].is_ok()));
}

#[test]
fn what_a_reorganisation_makes_invalid_is_kept_and_returns_with_the_money() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let genesis = Arc::clone(&alice.maker.genesis);
    let poor = person(2);
    let gift = alice.pays(0, 50_000);
    let spending = pay(&genesis, &poor, (0, 5_000), person(3).account, 10_000);
    alice.connect(bob);
    let (root, who) = (alice.maker.root(), person(91).account);
    let with_gift = alice.maker.child(&root, who, std::slice::from_ref(&gift));
    alice.gets_block(bob, &with_gift);
    let call = alice.submit(&spending);
    alice.store_done();
    assert!(alice.answers[&call].is_ok());
    // Another branch without the gift: the spending can't be mined now.
    let branch = alice.maker.branch(&root, person(92).account, 2);
    alice.gets_blocks(bob, &[&branch[0], &branch[1]]);
    assert_eq!(alice.node.chain.tip(), branch[1].id);
    alice.store_done();
    assert_eq!(
        alice.status(&spending),
        TransactionStatus::Aside(Leaving::Balance)
    );
    assert_eq!(
        alice.status(&gift),
        TransactionStatus::Waiting,
        "a block gave it back"
    );
    // The gift is mined again, and the spending waits for the next block by itself.
    let again = alice.maker.child(&branch[1].state, who, &[gift]);
    alice.gets_block(bob, &again);
    alice.store_done();
    assert_eq!(alice.status(&spending), TransactionStatus::Waiting);
    let last = alice
        .maker
        .child(&again.state, who, std::slice::from_ref(&spending));
    alice.gets_block(bob, &last);
    alice.store_done();
    let status = alice.status(&spending);
    assert!(
        matches!(status, TransactionStatus::Included { .. }),
        "{status:?}"
    );
}

#[test]
fn a_promise_to_pay_an_account_that_is_lost_is_kept_and_returns_with_the_account() {
    let people: Vec<Person> = (1..=2).map(person).collect();
    let genesis = testing::genesis(&people.iter().collect::<Vec<_>>(), 1_000_000_000);
    let (disk, bob, poor) = (MemoryDisk::new(), peer(2), person(3).account);
    let mut alice = Alice::on_disk(&genesis, disk.clone());
    alice.connect(bob);
    // The gift creates the account, so that the promise need not.
    let gift = pay(&genesis, &people[0], (0, 5_000), poor, 50_000);
    let rival = pay(&genesis, &people[0], (0, 6_000), people[1].account, 8);
    let promised = pay(&genesis, &people[1], (0, 500), poor, 7);
    let (root, who) = (alice.maker.root(), person(91).account);
    let with_gift = alice.maker.child(&root, who, &[gift]);
    alice.gets_block(bob, &with_gift);
    let call = alice.submit(&promised);
    alice.store_done();
    assert!(alice.answers[&call].is_ok());
    // A heavier branch spends the nonce of the gift on something else.
    let with_rival = alice.maker.child(&root, who, &[rival]);
    let next = alice.block_on(&with_rival);
    alice.gets_blocks(bob, &[&with_rival, &next]);
    alice.store_done();
    assert_eq!(alice.node.chain.tip(), next.id);
    let aside = TransactionStatus::Aside(Leaving::AccountFee);
    assert_eq!(alice.status(&promised), aside);
    // It comes back neither with the next block nor with a restart, but when the account exists.
    let empty = alice.block_on(&next);
    let gift = pay(&genesis, &people[0], (1, 5_000), poor, 50_000);
    let again = alice.maker.child(&empty.state, who, &[gift]);
    let last = std::slice::from_ref(&promised);
    let last = alice.maker.child(&again.state, who, last);
    alice.gets_block(bob, &empty);
    alice.store_done();
    assert_eq!(alice.status(&promised), aside);
    drop(alice);
    let mut alice = Alice::on_disk(&genesis, disk.clone());
    alice.store_done();
    assert_eq!(alice.node.chain.tip(), empty.id);
    assert_eq!(alice.status(&promised), aside);
    alice.connect(bob);
    alice.gets_block(bob, &again);
    alice.store_done();
    assert_eq!(alice.status(&promised), TransactionStatus::Waiting);
    alice.gets_block(bob, &last);
    alice.store_done();
    let status = alice.status(&promised);
    assert!(
        matches!(status, TransactionStatus::Included { .. }),
        "{status:?}"
    );
}

#[test]
fn a_promise_whose_block_is_lost_returns_when_that_block_leaves() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    let (promised, next) = (alice.pays(0, 7), alice.pays(1, 8));
    let call = alice.submit(&promised);
    alice.store_done();
    assert!(alice.answers[&call].is_ok());
    let (root, who) = (alice.maker.root(), person(91).account);
    let taking = alice
        .maker
        .child(&root, who, std::slice::from_ref(&promised));
    alice.gets_block(bob, &taking);
    alice.store_done();
    let call = alice.submit(&next);
    alice.store_done();
    assert!(alice.answers[&call].is_ok());
    // Nobody can say any more what the block had: its record is damaged, and memory has let it go.
    alice.node.chain.forget_body(&taking.id);
    assert!(alice.node.chain.body_damaged(&taking.id));
    let branch = alice.maker.branch(&root, person(92).account, 2);
    alice.gets_blocks(bob, &[&branch[0], &branch[1]]);
    alice.store_done();
    assert_eq!(alice.node.chain.tip(), branch[1].id);
    for transaction in [&promised, &next] {
        assert_eq!(alice.status(transaction), TransactionStatus::Waiting);
    }
    // The next block can have both.
    let both = [promised, next];
    let last = alice.maker.child(&branch[1].state, who, &both);
    assert_eq!(last.checked.transactions.len(), 2);
    alice.gets_block(bob, &last);
    alice.store_done();
    for transaction in &both {
        let status = alice.status(transaction);
        assert!(matches!(status, TransactionStatus::Included { .. }));
    }
}

#[test]
fn a_promise_whose_nonce_a_rival_took_returns_after_a_restart_and_a_reorganisation() {
    let people: Vec<Person> = (1..=2).map(person).collect();
    let genesis = testing::genesis(&people.iter().collect::<Vec<_>>(), 1_000_000_000);
    let (disk, bob) = (MemoryDisk::new(), peer(2));
    let mut alice = Alice::on_disk(&genesis, disk.clone());
    alice.connect(bob);
    let promised = pay(&genesis, &people[0], (0, 5_000), person(3).account, 7);
    // It pays less, so that the promised one goes before it where both may.
    let rival = pay(&genesis, &people[0], (0, 2_000), people[1].account, 8);
    let call = alice.submit(&promised);
    alice.store_done();
    assert!(alice.answers[&call].is_ok());
    let (root, who) = (alice.maker.root(), person(91).account);
    let with_rival = alice.maker.child(&root, who, &[rival]);
    alice.gets_block(bob, &with_rival);
    alice.store_done();
    let aside = TransactionStatus::Aside(Leaving::NonceUsed);
    assert_eq!(alice.status(&promised), aside);
    let branch = alice.maker.branch(&root, person(92).account, 2);
    drop(alice);
    let mut alice = Alice::on_disk(&genesis, disk.clone());
    alice.store_done();
    assert_eq!(alice.node.chain.tip(), with_rival.id);
    assert_eq!(alice.status(&promised), aside);
    alice.connect(bob);
    alice.gets_blocks(bob, &[&branch[0], &branch[1]]);
    alice.store_done();
    assert_eq!(alice.node.chain.tip(), branch[1].id);
    // Both are good now, and each knows of the other by its nonce.
    let status = alice.status(&promised);
    assert_eq!(
        status,
        TransactionStatus::Waiting,
        "nothing promised is lost"
    );
}

/// A reorganisation brings back a rival that nobody was promised and that pays more than what was
/// promised, which gives way: the rival is promised in its place, whatever happens next.
#[test]
fn what_a_reorganisation_puts_in_the_place_of_a_promise_is_promised() {
    let people: Vec<Person> = (1..=2).map(person).collect();
    let genesis = testing::genesis(&people.iter().collect::<Vec<_>>(), 1_000_000_000);
    let (disk, bob) = (MemoryDisk::new(), peer(2));
    let mut alice = Alice::on_disk(&genesis, disk.clone());
    alice.connect(bob);
    let promised = pay(&genesis, &people[0], (0, 5_000), person(3).account, 7);
    let rival = pay(&genesis, &people[0], (0, 9_000), people[1].account, 8);
    let call = alice.submit(&promised);
    alice.store_done();
    assert!(alice.answers[&call].is_ok());
    let (root, who) = (alice.maker.root(), person(91).account);
    let with_rival = alice.maker.child(&root, who, std::slice::from_ref(&rival));
    alice.gets_block(bob, &with_rival);
    alice.store_done();
    let branch = alice.maker.branch(&root, person(92).account, 2);
    alice.gets_blocks(bob, &[&branch[0], &branch[1]]);
    alice.store_done();
    assert_eq!(alice.node.chain.tip(), branch[1].id);
    let by = rival.txid(&genesis.id());
    let gone = TransactionStatus::Gone(Leaving::Replaced { by });
    assert_eq!(alice.status(&promised), gone);
    assert_eq!(alice.status(&rival), TransactionStatus::Waiting);
    drop(alice);
    let mut alice = Alice::on_disk(&genesis, disk.clone());
    alice.store_done();
    assert_eq!(alice.node.chain.tip(), branch[1].id);
    assert_eq!(alice.status(&rival), TransactionStatus::Waiting);
}

/// Two promises wait for money that a lost block brought. Their account sends less in the place of
/// the first, and a peer brings the second.
#[test]
fn what_waited_elsewhere_is_still_promised_when_a_peer_brings_it() {
    let people: Vec<Person> = (1..=2).map(person).collect();
    let genesis = testing::genesis(&people.iter().collect::<Vec<_>>(), 1_000_000);
    let (disk, bob, to) = (MemoryDisk::new(), peer(2), people[0].account);
    let mut alice = Alice::on_disk(&genesis, disk.clone());
    alice.connect(bob);
    let gift = pay(&genesis, &people[0], (0, 5_000), people[1].account, 500_000);
    let great = pay(&genesis, &people[1], (0, 5_000), to, 1_200_000);
    let small = pay(&genesis, &people[1], (0, 5_000), to, 7);
    let second = pay(&genesis, &people[1], (1, 5_000), to, 8);
    let (root, who) = (alice.maker.root(), person(91).account);
    let with_gift = alice.maker.child(&root, who, &[gift]);
    alice.gets_block(bob, &with_gift);
    alice.submit(&great);
    let call = alice.submit(&second);
    alice.store_done();
    assert!(alice.answers[&call].is_ok());
    let rival = pay(&genesis, &people[0], (0, 5_000), person(3).account, 600_000);
    let with_rival = alice.maker.child(&root, who, &[rival]);
    let next = alice.block_on(&with_rival);
    alice.gets_blocks(bob, &[&with_rival, &next]);
    alice.store_done();
    for (payment, why) in [(&great, Leaving::Balance), (&second, Leaving::Stranded)] {
        assert_eq!(alice.status(payment), TransactionStatus::Aside(why));
    }
    alice.gets_transaction(bob, &small);
    alice.gets_transaction(bob, &second);
    alice.store_done();
    let txid = second.txid(&genesis.id());
    let again = alice.node.mempool.promise(&txid);
    assert!(again.is_empty(), "it is promised as it was: {again:?}");
    // So is the one that it needs before it, and both are there after a restart.
    drop(alice);
    let mut alice = Alice::on_disk(&genesis, disk);
    alice.store_done();
    for payment in [&small, &second] {
        assert_eq!(alice.status(payment), TransactionStatus::Waiting);
    }
}

#[test]
fn what_goes_for_room_is_written_off_and_told_of_and_peers_hear_the_floor() {
    let people: Vec<Person> = (1..=3).map(person).collect();
    let genesis = testing::genesis(&people.iter().collect::<Vec<_>>(), 1_000_000_000);
    let mut alice = Alice::new_on(&genesis, |_| {}, Recovered::default(), None);
    alice.drain();
    let bob = peer(2);
    let by = |who: usize, fee| pay(&genesis, &people[who], (0, fee), people[0].account, 7);
    let (cheap, dear) = (by(0, 3_000), by(1, 5_000));
    alice.connect(bob);
    let mut calls = vec![alice.submit(&cheap)];
    let room = alice.node.mempool.memory();
    alice.node.mempool = Mempool::with_limit(room);
    calls.push(alice.submit(&cheap));
    alice.store_done();
    assert!(calls.iter().all(|call| alice.answers[call].is_ok()));
    let call = alice.submit(&dear);
    let records = &alice.unstored[0].records;
    let kinds: Vec<Kind> = records.iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [Kind::Accepted, Kind::Gone], "before the answer");
    alice.store_done();
    assert!(alice.answers[&call].is_ok());
    assert_eq!(alice.status(&cheap), TransactionStatus::Gone(Leaving::Room));
    assert_eq!(alice.status(&dear), TransactionStatus::Waiting);
    // Its owner learns what gets past the floor, and then what would find room.
    let call = alice.submit(&cheap);
    assert_eq!(
        alice.answers[&call],
        Err(CallError::MempoolFull { needed: 3_020 })
    );
    let call = alice.submit(&by(2, 4_000));
    assert_eq!(
        alice.answers[&call],
        Err(CallError::MempoolFull { needed: 5_020 })
    );
    // Peers are told.
    alice.wait(Span::from_secs(1));
    let floors: Vec<u64> = alice.sent[&bob.conn]
        .iter()
        .filter_map(|message| match message {
            Message::FeeFilter { fee } => Some(*fee),
            _ => None,
        })
        .collect();
    assert_eq!(floors, [20_100], "what was refused last, and a step");
}
