//! Checks of blocks: verdicts of each alone, whatever stands beside it and whatever is known.

use super::*;
use crate::chain::testing::{Made, Maker, Person, genesis, pay, person};
use crate::crypto::ed25519::Signature;
use crate::types::Auth;

const BALANCE: u64 = 1_000_000;

struct Place {
    genesis: Arc<Genesis>,
    rules: HeaderRules,
    maker: Maker,
    people: Vec<Person>,
    bench: SignatureBench,
}

impl Place {
    fn new() -> Self {
        let people: Vec<Person> = (1..=20).map(person).collect();
        let genesis = genesis(&people.iter().collect::<Vec<_>>(), BALANCE);
        Self {
            rules: HeaderRules::new(Arc::clone(&genesis)).unwrap(),
            maker: Maker::new(&genesis),
            people,
            bench: SignatureBench::new([7; 32], Arc::default()),
            genesis,
        }
    }

    /// One payment of each of these people.
    fn payments(&self, people: std::ops::Range<usize>) -> Vec<Transaction> {
        let to = self.people[0].account;
        let payers = self.people[people].iter();
        payers
            .map(|payer| pay(&self.genesis, payer, (0, 500), to, 7))
            .collect()
    }

    fn block(&self, transactions: &[Transaction]) -> Made {
        let made = self
            .maker
            .child(&self.maker.root(), self.people[0].account, transactions);
        assert_eq!(made.checked.transactions.len(), transactions.len());
        made
    }

    fn check(&mut self, blocks: &[&Made]) -> Vec<Result<CheckedBlock, IsolatedFault>> {
        let blocks: Vec<Arc<[u8]>> = blocks.iter().map(|it| it.bytes.clone().into()).collect();
        let id = self.genesis.id();
        check_blocks(&self.genesis, &self.rules, &id, &blocks, &mut self.bench)
    }

    /// Has transactions checked as the mempool does.
    fn admit(&mut self, transactions: &[Transaction]) -> Vec<bool> {
        let id = self.genesis.id();
        let rules = &self.genesis.rules;
        let transactions = transactions.to_vec();
        let checked = check_transactions(&id, rules, None, transactions, &mut self.bench);
        checked.unwrap().iter().map(Result::is_ok).collect()
    }
}

/// The same transaction with a signature that is not accepted: its txid stays, its wtxid does not.
fn spoilt(transaction: &Transaction) -> Transaction {
    let mut spoilt = transaction.clone();
    if let Auth::Single { signature, .. } = &mut spoilt.auth {
        let mut bytes = signature.0;
        bytes[40] ^= 1;
        *signature = Signature(bytes);
    }
    spoilt
}

#[test]
fn known_txid_with_bad_signature_in_block_is_rejected_with_warm_cache() {
    let mut place = Place::new();
    let good = place.payments(1..6);
    assert_eq!(place.admit(&good), [true; 5]);
    let mut bad = good.clone();
    bad[3] = spoilt(&good[3]);
    let txid = good[3].txid(&place.genesis.id());
    assert_eq!(bad[3].txid(&place.genesis.id()), txid);
    let block = place.block(&bad);
    let count = place.bench.count;
    let verdict = place.check(&[&block]).pop().unwrap();
    assert_eq!(verdict.err(), Some(IsolatedFault::Signature { txid }));
    assert_eq!(
        place.bench.count,
        count + 1,
        "its own signature is verified"
    );
    // Nothing was learnt of the bad one: it is refused as often as it comes.
    assert_eq!(place.admit(&[bad[3].clone()]), [false]);
    let verdict = place.check(&[&block]).pop().unwrap();
    assert_eq!(verdict.err(), Some(IsolatedFault::Signature { txid }));
}

#[test]
fn known_transactions_in_block_are_not_verified_again_with_warm_cache() {
    let mut place = Place::new();
    let transactions = place.payments(1..11);
    assert_eq!(place.admit(&transactions[..6]), [true; 6]);
    let block = place.block(&transactions);
    let count = place.bench.count;
    let verdict = place.check(&[&block]).pop().unwrap().unwrap();
    assert_eq!(place.bench.count, count + 4, "those that never waited are");
    // The result is the one of a bench that knows nothing, whole.
    let mut cold = Place::new();
    let alone = cold.check(&[&block]).pop().unwrap().unwrap();
    assert_eq!(cold.bench.count, 10);
    assert_eq!((verdict.id, verdict.weight), (alone.id, alone.weight));
    assert_eq!(verdict.transactions, alone.transactions);
    assert_eq!(verdict.transactions, block.checked.transactions);
}

#[test]
fn each_of_several_blocks_has_its_own_verdict() {
    let mut place = Place::new();
    let empty = place.block(&[]);
    let good = place.block(&place.payments(1..8));
    let mut transactions = place.payments(8..12);
    transactions[1] = spoilt(&transactions[1]);
    transactions[2] = spoilt(&transactions[2]);
    let bad = place.block(&transactions);
    let mut short = place.block(&place.payments(12..13));
    short.bytes.pop();
    let mut other_root = place.block(&place.payments(13..14));
    let last = other_root.bytes.len() - 1;
    other_root.bytes[last] ^= 1;
    let also_good = place.block(&place.payments(14..20));

    let blocks = [&bad, &empty, &short, &good, &other_root, &also_good];
    let together = place.check(&blocks);
    assert_eq!(
        place.bench.count,
        7 + 4 + 6,
        "what has no form has no signatures"
    );
    let faults: Vec<_> = together
        .iter()
        .map(|it| it.as_ref().err().cloned())
        .collect();
    let txid = transactions[1].txid(&place.genesis.id());
    assert_eq!(faults[0], Some(IsolatedFault::Signature { txid }));
    assert_eq!(
        faults[2],
        Some(IsolatedFault::Malformed(DecodeError::Incomplete))
    );
    assert!(matches!(faults[4], Some(IsolatedFault::TxRoot { .. })));
    assert_eq!([&faults[1], &faults[3], &faults[5]], [&None; 3]);
    for (verdict, block) in together.iter().zip(blocks) {
        let mut alone = Place::new().check(&[block]);
        match (verdict, alone.pop().unwrap()) {
            (Ok(found), Ok(wanted)) => assert_eq!(found.transactions, wanted.transactions),
            (found, wanted) => {
                assert_eq!(found.as_ref().err(), wanted.as_ref().err());
            }
        }
    }
}

#[test]
fn a_transaction_that_is_too_large_is_told_before_its_signature() {
    let mut place = Place::new();
    let mut transactions = place.payments(1..5);
    transactions[1].ops = vec![Op::Data(vec![1; 1_024]); 17];
    transactions[2] = spoilt(&transactions[2]);
    let id = place.genesis.id();
    let rules = place.genesis.rules;
    let all = transactions.clone();
    let checked = check_transactions(&id, &rules, None, all, &mut place.bench).unwrap();
    let fault = |it: &Result<_, Unfit>| match it {
        Err(Unfit::Faulty(fault)) => Some(fault.clone()),
        _ => None,
    };
    let faults: Vec<_> = checked.iter().map(fault).collect();
    assert_eq!([&faults[0], &faults[3]], [&None; 2]);
    assert!(matches!(
        faults[1],
        Some(IsolatedFault::TransactionBytes { .. })
    ));
    let txid = transactions[2].txid(&id);
    assert_eq!(faults[2], Some(IsolatedFault::Signature { txid }));
    assert_eq!(place.bench.count, 3);
    for (checked, transaction) in checked.into_iter().zip(transactions) {
        if let Ok(checked) = checked {
            assert_eq!(*checked, CheckedTransaction::new(transaction, &id));
        }
    }
}

/// What is exactly as much as the rules allow is allowed, and the least more is not.
#[test]
fn limits_of_a_block_and_of_its_transactions_are_exact() {
    let place = Place::new();
    let id = place.genesis.id();
    let mut transactions = place.payments(1..4);
    transactions[1].ops = vec![Op::Data(vec![1; 700]), Op::Data(vec![2; 650])];
    let wtxids: Vec<WtxId> = transactions.iter().map(Transaction::wtxid).collect();
    let mut header = place.block(&[]).header;
    header.tx_root = Block::tx_root(&wtxids);
    let block = Block {
        header,
        transactions,
        certificate: None,
    };
    let weight = block.weight();
    let bytes = block.transactions[1].to_bytes().len();
    let check = |change: &dyn Fn(&mut Rules)| {
        let mut genesis = (*place.genesis).clone();
        change(&mut genesis.rules);
        let body = derive(block.clone(), &id, &block.to_bytes().into());
        check_body(&genesis, body).map(|_| ())
    };
    let limit = u32::try_from(weight.0).unwrap();
    assert_eq!(check(&|rules| rules.max_block_weight = limit), Ok(()));
    let fault = IsolatedFault::BlockWeight {
        weight,
        limit: limit - 1,
    };
    assert_eq!(
        check(&|rules| rules.max_block_weight = limit - 1),
        Err(fault)
    );
    let limit = u32::try_from(bytes).unwrap();
    assert_eq!(check(&|rules| rules.max_tx_bytes = limit), Ok(()));
    let fault = IsolatedFault::TransactionBytes {
        bytes,
        limit: limit - 1,
    };
    assert_eq!(check(&|rules| rules.max_tx_bytes = limit - 1), Err(fault));
    assert_eq!(check(&|rules| rules.max_ops = 2), Ok(()));
    let fault = IsolatedFault::Ops { ops: 2, limit: 1 };
    assert_eq!(check(&|rules| rules.max_ops = 1), Err(fault));
    assert_eq!(check(&|rules| rules.max_data = 700), Ok(()));
    let fault = IsolatedFault::Data {
        bytes: 700,
        limit: 699,
    };
    assert_eq!(check(&|rules| rules.max_data = 699), Err(fault));
}

/// Blocks stay in memory for a while, so that room for more than they have counts.
#[test]
fn a_checked_block_has_room_for_what_it_holds() {
    let mut place = Place::new();
    let made = place.block(&place.payments(1..20));
    let id = place.genesis.id();
    let checked = place.check(&[&made]).remove(0).unwrap();
    let read = read_back(&id, &made.bytes.clone().into()).unwrap();
    for block in [checked, read] {
        assert_eq!(block.transactions.len(), 19);
        assert_eq!(block.transactions.capacity(), 19);
        let ops = block.transactions.iter().map(|it| &it.transaction.ops);
        ops.for_each(|ops| assert_eq!(ops.capacity(), ops.len()));
    }
}
