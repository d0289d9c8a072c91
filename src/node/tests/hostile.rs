//! Peers that lie: what they say two ways, what they keep back, what they make up. Each costs
//! Alice nothing but the connection, and others nothing at all.

use super::*;
use crate::types::Hash;

impl Alice {
    fn is_blamed(&self, peer: Peer) -> bool {
        let held = self.node.discouragement.of_key(&peer.key, self.now);
        held.is_some()
    }

    fn expect_blamed(&self, peer: Peer, rule: &str) {
        self.expect_closed(peer, rule);
        assert!(self.is_blamed(peer));
    }

    fn expect_well_thought_of(&self, peer: Peer) {
        self.expect_open(peer);
        assert!(!self.is_blamed(peer));
    }

    /// Two valid blocks of one height.
    fn rivals(&self) -> [Made; 2] {
        let (root, maker) = (self.maker.root(), &self.maker);
        [91, 92].map(|who| maker.child(&root, person(who).account, &[]))
    }
}

#[test]
fn a_peer_that_answers_two_ways_is_believed_in_neither_before_its_work_counts() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    let [one, other] = alice.rivals();
    alice.connect(bob);
    alice.connect(carol);
    // It tells Alice of one tip and then of another of the same work: the first stays.
    alice.gets_block(bob, &one);
    alice.receive(bob, announce(&[&other]));
    assert_eq!(alice.node.chain.tip(), one.id);
    alice.expect_well_thought_of(bob);
    // Whoever has more work is followed, whatever Bob says.
    let next = alice.block_on(&other);
    alice.receive(carol, announce(&[&other, &next]));
    alice.give_all(carol, &[&other, &next]);
    assert_eq!(alice.node.chain.tip(), next.id);
    alice.expect_well_thought_of(carol);
    alice.expect_well_thought_of(bob);
}

impl Alice {
    /// Lets a peer answer everything that it is asked about these blocks.
    fn give_all(&mut self, peer: Peer, blocks: &[&Made]) {
        while let Some(message) = self.sent.get_mut(&peer.conn).and_then(VecDeque::pop_front) {
            let Message::GetBlocks { request, ids } = message else {
                continue;
            };
            for id in ids {
                let made = blocks.iter().find(|made| made.id == id);
                if let Some(made) = made {
                    self.receive(peer, block(request, made));
                }
            }
        }
    }
}

#[test]
fn a_peer_that_lowers_its_height_keeps_nobody_from_the_chain() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    alice.meet(bob);
    let Message::Hello(mut proud) = hello(bob) else {
        unreachable!()
    };
    proud.best_height = Height(1_000_000);
    alice.receive(bob, Message::Hello(proud));
    alice.receive(bob, ready());
    alice.sent.clear();
    alice.connect(carol);
    let first = alice.first_block();
    alice.gets_block(carol, &first);
    assert_eq!(alice.node.chain.tip(), first.id);
    // That it never shows such a chain is slowness at worst.
    alice.wait(Span::from_secs(30));
    assert!(!alice.is_blamed(bob));
}

#[test]
fn a_peer_that_tells_of_a_block_and_keeps_it_back_is_not_waited_for() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    let first = alice.first_block();
    alice.meets_tellers([bob, carol], &first);
    for _ in 0..200 {
        alice.wait(Span::from_millis(100));
        alice.give_all(carol, &[&first]);
    }
    assert_eq!(alice.node.chain.tip(), first.id);
    alice.expect_well_thought_of(carol);
    assert!(!alice.is_blamed(bob), "who is slow is not at fault");
}

#[test]
fn whoever_makes_up_a_body_for_a_valid_header_is_blamed_and_the_block_comes_from_another() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    let payment = alice.pays(0, 7);
    let (root, who) = (alice.maker.root(), person(91).account);
    let good = alice.maker.child(&root, who, &[payment]);
    let mut bad = good.clone();
    *bad.bytes.last_mut().unwrap() ^= 1;
    alice.meets_tellers([bob, carol], &good);
    alice.give_all(bob, &[&bad]);
    alice.expect_blamed(bob, "is invalid");
    alice.give_all(carol, &[&good]);
    alice.expect_well_thought_of(carol);
    assert_eq!(alice.node.chain.tip(), good.id);
}

#[test]
fn whoever_sends_a_block_that_fails_in_its_place_is_blamed_and_who_told_of_it_is_not() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    let (root, who) = (alice.maker.root(), person(91).account);
    let wrong = |header: &mut Header| header.state_root = Hash([5; 32]);
    let bad = alice.maker.child_with(&root, who, &[], wrong);
    alice.meets_tellers([bob, carol], &bad);
    alice.give_all(bob, &[&bad]);
    alice.expect_blamed(bob, "is invalid");
    alice.expect_well_thought_of(carol);
    let good = alice.first_block();
    alice.receive(carol, announce(&[&good]));
    alice.give_all(carol, &[&good]);
    assert_eq!(alice.node.chain.tip(), good.id);
}

#[test]
fn an_invalid_header_and_an_invalid_transaction_are_blamed() {
    let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
    let (root, who) = (alice.maker.root(), person(91).account);
    let wrong = |header: &mut Header| header.base_fee += 1;
    let bad = alice.maker.child_with(&root, who, &[], wrong);
    alice.connect(bob);
    alice.receive(bob, announce(&[&bad]));
    alice.expect_blamed(bob, "a header is invalid");

    let mut forged = alice.pays(0, 7);
    if let crate::types::Auth::Single { signature, .. } = &mut forged.auth {
        signature.0[3] ^= 1;
    }
    alice.connect(carol);
    alice.receive(carol, inventory(&forged));
    let asked = alice.expect_sent(carol, |m| matches!(m, Message::GetTx { .. }));
    alice.receive(carol, txs(asked.request().unwrap(), &forged));
    alice.expect_blamed(carol, "a transaction is invalid");
}

#[test]
fn a_transaction_that_only_does_not_fit_here_is_nobodys_fault() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    // Of an account that Alice's chain does not have, and with a nonce that is too far ahead.
    let stranger = pay(
        &alice.maker.genesis,
        &person(77),
        (0, 5_000),
        rich().account,
        1,
    );
    let early = alice.pays(9, 1);
    alice.connect(bob);
    for transaction in [stranger, early] {
        alice.receive(bob, inventory(&transaction));
        let asked = alice.expect_sent(bob, |m| matches!(m, Message::GetTx { .. }));
        alice.receive(bob, txs(asked.request().unwrap(), &transaction));
        alice.expect_well_thought_of(bob);
    }
    assert!(alice.node.mempool.is_empty());
}
