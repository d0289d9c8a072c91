//! Transactions between peers: told by id, asked for once, sent to who asked.

use super::super::transactions::{CHECK_MAX, CHECKS_MAX, Checks, Source, WAITING_MAX};
use super::*;
use crate::types::{Auth, Hash};

impl Alice {
    /// A request for exactly this transaction.
    fn expect_get_tx(&mut self, peer: Peer, transaction: &Transaction) -> RequestId {
        let wanted = vec![transaction.wtxid()];
        let asked = self.expect_sent(
            peer,
            |m| matches!(m, Message::GetTx { wtxids, .. } if *wtxids == wanted),
        );
        asked.request().unwrap()
    }

    /// Lets `from` tell of a transaction and give it when it is asked for.
    pub(super) fn gets_transaction(&mut self, from: Peer, transaction: &Transaction) {
        self.receive(from, inventory(transaction));
        let request = self.expect_get_tx(from, transaction);
        self.receive(from, txs(request, transaction));
        self.expect_open(from);
    }
}

#[test]
fn a_transaction_goes_on_to_everybody_but_its_bringer() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    let payment = alice.pays(0, 7);
    alice.connect(bob);
    alice.connect(carol);
    alice.gets_transaction(bob, &payment);
    alice.expect_silence(carol);
    alice.wait(Span::from_millis(50));
    alice.expect_sent(carol, |m| *m == inventory(&payment));
    alice.expect_silence(bob);
    let (request, stranger) = (RequestId(4), WtxId([8; 32]));
    let wtxids = vec![stranger, payment.wtxid()];
    alice.receive(carol, Message::GetTx { request, wtxids });
    alice.expect_sent(carol, |m| *m == txs(request, &payment));
    let ids = vec![Hash(stranger.0)];
    alice.expect_sent(carol, |m| *m == Message::NotFound { request, ids });
}

#[test]
fn transactions_of_an_account_may_come_in_any_order() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    let payments: Vec<_> = (0..4).map(|nonce| alice.pays(nonce, 7)).collect();
    alice.connect(bob);
    alice.connect(carol);
    for late in [3, 1, 2] {
        alice.gets_transaction(bob, &payments[late]);
    }
    assert!(alice.node.mempool.is_empty());
    // They are neither forgotten nor asked for again.
    alice.receive(carol, inventory(&payments[2]));
    alice.expect_silence(carol);
    alice.gets_transaction(carol, &payments[0]);
    assert_eq!(alice.node.mempool.len(), 4);
    assert!(alice.node.early.is_empty());
}

#[test]
fn a_block_can_bring_what_an_early_transaction_waits_for() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let (first, second) = (alice.pays(0, 7), alice.pays(1, 7));
    alice.connect(bob);
    alice.gets_transaction(bob, &second);
    let (root, who) = (alice.maker.root(), person(91).account);
    let made = alice.maker.child(&root, who, &[first]);
    alice.gets_block(bob, &made);
    assert!(alice.node.mempool.get(&second.wtxid()).is_some());
}

#[test]
fn a_newcomer_learns_of_what_waits() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let payment = alice.pays(0, 7);
    alice.submit(&payment);
    alice.connect(bob);
    alice.wait(Span::from_millis(50));
    alice.expect_sent(bob, |m| *m == inventory(&payment));
}

#[test]
fn transactions_that_nobody_asked_for_close() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let payment = alice.pays(0, 7);
    alice.connect(bob);
    alice.receive(bob, txs(RequestId(1), &payment));
    alice.expect_closed(bob, "it sent a transaction that nobody asked for");
    assert!(alice.node.mempool.is_empty());
}

#[test]
fn a_transaction_with_a_bad_signature_closes() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let mut forged = alice.pays(0, 7);
    if let Auth::Single { signature, .. } = &mut forged.auth {
        signature.0[3] ^= 1;
    }
    alice.connect(bob);
    alice.receive(bob, inventory(&forged));
    let request = alice.expect_get_tx(bob, &forged);
    alice.receive(bob, txs(request, &forged));
    alice.expect_closed(bob, "a transaction is invalid");
    assert!(alice.node.mempool.is_empty());
}

#[test]
fn no_signature_is_verified_of_what_has_no_place() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    let waits = alice.pays(0, 7);
    alice.gets_transaction(bob, &waits);
    assert_eq!(alice.bench.signatures_verified(), 1);
    let genesis = Arc::clone(&alice.maker.genesis);
    let pays = |from: &Person, terms, amount| pay(&genesis, from, terms, person(2).account, amount);
    let mut other_bytes = waits.clone();
    if let Auth::Single { signature, .. } = &mut other_bytes.auth {
        signature.0[3] ^= 1;
    }
    let vain = [
        pays(&person(50), (0, 5_000), 1),
        pays(&rich(), (1, 5_000), 2_000_000_000),
        pays(&rich(), (65, 5_000), 1),
        pays(&rich(), (1, 1), 1),
        pays(&rich(), (0, 5_001), 1),
        other_bytes.clone(),
    ];
    for transaction in &vain {
        alice.gets_transaction(bob, transaction);
        let call = alice.submit(transaction);
        alice.store_done();
        let is_known = transaction.txid(&genesis.id()) == waits.txid(&genesis.id());
        assert_eq!(alice.answers[&call].is_ok(), is_known, "{transaction:?}");
    }
    assert_eq!(alice.node.mempool.len(), 1);
    // Nor when no queue says what an account's nonce is.
    let (root, who) = (alice.maker.root(), person(91).account);
    let made = alice.maker.child(&root, who, std::slice::from_ref(&waits));
    alice.gets_block(bob, &made);
    assert!(alice.node.mempool.is_empty());
    let before = alice.bench.signatures_verified();
    for vain in [
        waits,
        pays(&rich(), (0, 9_000), 1),
        pays(&rich(), (66, 5_000), 1),
    ] {
        alice.gets_transaction(bob, &vain);
        let call = alice.submit(&vain);
        assert!(alice.answers[&call].is_err(), "{vain:?}");
    }
    assert_eq!((before, alice.bench.signatures_verified()), (1, 1));
    // One that has a place, or may have one soon, is verified.
    for (nonce, verified) in [(65, 2), (1, 3)] {
        alice.gets_transaction(bob, &pays(&rich(), (nonce, 5_000), 1));
        assert_eq!(alice.bench.signatures_verified(), verified);
    }
}

#[test]
fn what_finds_a_place_while_it_is_checked_is_checked_again_with_its_signatures() {
    for forge in [false, true] {
        let (mut alice, bob) = (Alice::new(), peer(2));
        alice.connect(bob);
        let mut payment = pay(
            &alice.maker.genesis,
            &person(2),
            (0, 5_000),
            person(3).account,
            1,
        );
        if forge && let Auth::Single { signature, .. } = &mut payment.auth {
            signature.0[3] ^= 1;
        }
        alice.late = Some(Vec::new());
        let call = alice.submit(&payment);
        let (root, who) = (alice.maker.root(), person(91).account);
        let made = alice.maker.child(&root, who, &[alice.pays(0, 1_000_000)]);
        alice.gets_block(bob, &made);
        let verified = alice.bench.signatures_verified();
        for late in alice.late.take().unwrap() {
            alice.happens(late);
        }
        alice.store_done();
        assert_eq!(alice.bench.signatures_verified(), verified + 1);
        assert_eq!(alice.answers[&call].is_ok(), !forge);
        assert_eq!(alice.node.mempool.is_empty(), forge);
    }
}

#[test]
fn the_next_who_told_of_it_is_asked_after_two_seconds() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    let payment = alice.pays(0, 7);
    alice.connect(bob);
    alice.connect(carol);
    alice.receive(bob, inventory(&payment));
    alice.receive(carol, inventory(&payment));
    let late = alice.expect_get_tx(bob, &payment);
    alice.wait(Span::from_millis(1_999));
    alice.expect_silence(carol);
    alice.wait(Span::from_millis(1));
    let request = alice.expect_get_tx(carol, &payment);
    alice.receive(carol, txs(request, &payment));
    assert!(alice.node.mempool.get(&payment.wtxid()).is_some());
    alice.receive(bob, txs(late, &payment));
    alice.expect_open(bob);
}

#[test]
fn a_late_answer_of_the_only_one_who_has_it_is_taken() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let payment = alice.pays(0, 7);
    alice.connect(bob);
    alice.receive(bob, inventory(&payment));
    let late = alice.expect_get_tx(bob, &payment);
    alice.wait(Span::from_secs(3));
    alice.expect_silence(bob);
    alice.receive(bob, txs(late, &payment));
    alice.expect_open(bob);
    assert!(alice.node.mempool.get(&payment.wtxid()).is_some());
}

#[test]
fn not_found_moves_on_at_once() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    let payment = alice.pays(0, 7);
    alice.connect(bob);
    alice.connect(carol);
    alice.receive(bob, inventory(&payment));
    alice.receive(carol, inventory(&payment));
    let request = alice.expect_get_tx(bob, &payment);
    let ids = vec![Hash(payment.wtxid().0)];
    alice.receive_in(bob, Lane::Transactions, Message::NotFound { request, ids });
    alice.expect_get_tx(carol, &payment);
    alice.expect_silence(bob);
}

#[test]
fn who_leaves_is_not_waited_for() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    let payment = alice.pays(0, 7);
    alice.connect(bob);
    alice.connect(carol);
    alice.receive(bob, inventory(&payment));
    alice.receive(carol, inventory(&payment));
    alice.expect_get_tx(bob, &payment);
    let why = CloseCause::Remote;
    alice.happens(Input::Closed {
        conn: bob.conn,
        why,
    });
    alice.expect_get_tx(carol, &payment);
}

#[test]
fn what_is_announced_while_too_many_wait_is_asked_for_later() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    let payment = alice.pays(0, 7);
    alice.connect(bob);
    alice.connect(carol);
    // They have no place, so that no signature need be verified.
    let vain = pay(
        &alice.maker.genesis,
        &rich(),
        (65, 5_000),
        person(2).account,
        7,
    );
    let vain = (Source::Peer(carol.conn), vain);
    let waiting = vec![vain; WAITING_MAX + CHECKS_MAX * CHECK_MAX];
    alice.node.checks = Checks::of_waiting(waiting);
    alice.late = Some(Vec::new());
    alice.receive(bob, inventory(&payment));
    assert_eq!(alice.node.checks.waiting().len(), WAITING_MAX);
    alice.wait(Span::from_secs(1));
    alice.expect_silence(bob);
    // A check ends, the next begins, and there is room.
    let late = alice.late.as_mut().unwrap().remove(0);
    alice.happens(late);
    alice.expect_get_tx(bob, &payment);
}

#[test]
fn a_peer_hears_of_nothing_below_its_fee_filter() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    let payment = alice.pays(0, 7);
    let rate = 5_000 * 1_000 / payment.weight().0;
    alice.connect(bob);
    alice.connect(carol);
    alice.receive(bob, Message::FeeFilter { fee: rate + 1 });
    alice.receive(carol, Message::FeeFilter { fee: rate });
    alice.submit(&payment);
    alice.wait(Span::from_millis(50));
    alice.expect_silence(bob);
    alice.expect_sent(carol, |m| *m == inventory(&payment));
}
