//! Promises to people outside: an answer is given when it can be kept.

use super::*;

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
fn a_promise_that_was_mined_is_not_kept_in_mind_for_ever() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let payment = alice.pays(0, 7);
    alice.submit(&payment);
    alice.store_done();
    alice.connect(bob);
    let (root, who) = (alice.maker.root(), person(91).account);
    let mined = alice.maker.child(&root, who, &[payment]);
    alice.gets_block(bob, &mined);
    alice.store_done();
    assert!(alice.node.journaled.is_empty());
}

#[test]
fn a_transaction_that_is_replaced_is_written_off() {
    let mut alice = Alice::new();
    let poor = alice.pays(0, 7);
    let genesis = Arc::clone(&alice.maker.genesis);
    let rich = pay(&genesis, &rich(), (0, 50_000), person(2).account, 7);
    alice.submit(&poor);
    alice.store_done();
    let call = alice.submit(&rich);
    let kinds: Vec<Kind> = alice
        .unstored
        .iter()
        .map(|request| request.records[0].kind)
        .collect();
    assert_eq!(kinds, [Kind::Gone, Kind::Accepted]);
    assert_eq!(alice.unstored[0].records[0].body, poor.wtxid().0);
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
