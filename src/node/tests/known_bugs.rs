//! Bugs that other chains had and paid for, one test each, as far as they need a whole node. Those
//! of the ledger are in `chain/ledger/tests/known_bugs.rs`.

use super::*;
use crate::chain::TransactionFault;
use crate::types::{Amount, Block, Op};

/// The bytes of a block with other transactions under the same header.
fn with_body(made: &Made, change: impl FnOnce(&mut Vec<Transaction>)) -> Vec<u8> {
    let transactions = &made.checked.transactions;
    let mut body = transactions.iter().map(|c| c.transaction.clone()).collect();
    change(&mut body);
    let block = Block {
        header: made.header.clone(),
        transactions: body,
        certificate: None,
    };
    block.to_bytes()
}

/// Bitcoin, May 2012: whoever sent a good block with a changed body made a node remember the
/// block as invalid, and take no other.
#[test]
fn cve_2012_2459_mutated_body_does_not_poison_the_header() {
    let changes: [fn(&mut Vec<Transaction>); 5] = [
        |body| body.extend_from_within(2..),
        |body| body.extend_from_within(..),
        |body| body.truncate(2),
        |body| body.swap(0, 1),
        Vec::clear,
    ];
    for change in changes {
        let (mut alice, bob, carol) = (Alice::new(), peer(2), peer(3));
        let payments: Vec<Transaction> = (0..3).map(|nonce| alice.pays(nonce, 7)).collect();
        let made = alice
            .maker
            .child(&alice.maker.root(), person(91).account, &payments);
        alice.connect(bob);
        alice.connect(carol);
        alice.receive(bob, announce(&[&made]));
        let request = alice.expect_get_blocks(bob, &[&made]);
        alice.receive(carol, announce(&[&made]));
        let block = with_body(&made, change);
        alice.receive(bob, Message::Block { request, block });
        alice.expect_closed(bob, "is invalid");
        // The next who has it is asked for it, and it is taken.
        let request = alice.expect_get_blocks(carol, &[&made]);
        alice.receive(carol, super::block(request, &made));
        alice.expect_open(carol);
        assert_eq!(alice.node.chain.tip(), made.id);
    }
}

/// Bitcoin, August 2010, at the door of the mempool: over RPC and from a peer.
#[test]
fn cve_2010_5139_value_overflow_is_refused_at_every_door() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    let genesis = Arc::clone(&alice.maker.genesis);
    let to = person(2).account;
    let mut overflow = alice.pays(0, 7);
    let amount = Amount(u64::MAX);
    overflow.ops = vec![Op::Transfer { to, amount }; 2];
    let signature = rich().secret.sign(&overflow.txid(&genesis.id()).0);
    let key = rich().secret.public_key();
    overflow.auth = crate::types::Auth::Single { key, signature };
    alice.connect(bob);
    alice.gets_transaction(bob, &overflow);
    assert!(alice.node.mempool.is_empty());
    let call = alice.submit(&overflow);
    let needed = 2 * u128::from(u64::MAX) + 5_000;
    let available = Amount(1_000_000_000);
    let refused = TransactionFault::Balance { needed, available };
    assert_eq!(alice.answers[&call], Err(CallError::Transaction(refused)));
    // Nor do many that overflow together get in: a queue is summed in 128 bits.
    let large = pay(&genesis, &rich(), (0, 5_000), to, 999_000_000);
    let call = alice.submit(&large);
    alice.store_done();
    assert!(alice.answers[&call].is_ok());
    let more = pay(&genesis, &rich(), (1, 5_000), to, u64::MAX - 999_000_000);
    let call = alice.submit(&more);
    assert!(matches!(
        alice.answers[&call],
        Err(CallError::Transaction(TransactionFault::Balance { .. }))
    ));
}
