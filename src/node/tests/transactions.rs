//! Transactions between peers: told by id, asked for once, sent to who asked.

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
