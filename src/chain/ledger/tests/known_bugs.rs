//! Bugs that other chains had and paid for, one test each, as far as they concern the ledger. Those
//! that need a whole node are in `node/tests/known_bugs.rs`.

use std::collections::BTreeSet;

use super::*;
use crate::chain::state::PageCursor;
use crate::consensus::{HeaderRules, genesis_header, next_base_fee};
use crate::store::counting::CountingDisk;
use crate::store::{Log, MemoryDisk, Options, Store};
use crate::types::proof::TxProof;
use crate::types::{Block, EngineKind, WtxId, strategies};

/// Both ways into a block come to the same verdict.
fn verdict(ledger: &Ledger, transaction: &Transaction) -> Result<(), TransactionFault> {
    let block = execute(ledger, std::slice::from_ref(transaction));
    let in_block = match block {
        Ok(_) => Ok(()),
        Err(BlockFault::Transaction { fault, .. }) => Err(fault),
        Err(other) => panic!("{other}"),
    };
    let admitted = admit(ledger, transaction).map(|_| ());
    assert_eq!(admitted, in_block);
    let candidates = std::slice::from_ref(transaction);
    let (selected, chosen) = ledger
        .select(&rules(), &context(ledger), candidates)
        .unwrap();
    assert_eq!(chosen.len(), usize::from(in_block.is_ok()));
    let taken = if in_block.is_ok() { candidates } else { &[] };
    assert_eq!(selected.root(), execute(ledger, taken).unwrap().root());
    in_block
}

fn block_of(ledger: &Ledger, transaction: &Transaction) -> Option<Ledger> {
    execute(ledger, std::slice::from_ref(transaction)).ok()
}

/// Bitcoin, August 2010: two outputs whose sum overflowed made 184 billion coins.
#[test]
fn cve_2010_5139_value_overflow() {
    let ledger = ledger();
    let most = u64::MAX;
    for amounts in [
        vec![most, most],
        // Sums that wrap around to little or to nothing.
        vec![most, 1],
        vec![most, 2],
        vec![1 << 63, 1 << 63],
        vec![1 << 63, 1 << 63, 5],
        vec![most; 64],
    ] {
        let ops: Vec<Op> = amounts
            .iter()
            .map(|amount| pay(person(2), *amount))
            .collect();
        let sum: u128 = amounts.iter().map(|amount| u128::from(*amount)).sum();
        let transfer = transaction(1, 0, 50_000, ops);
        let needed = sum + 50_000;
        let available = Amount(1_000_000);
        assert_eq!(
            verdict(&ledger, &transfer),
            Err(TransactionFault::Balance { needed, available })
        );
    }
    // The same with the fee as one of the summands.
    let needed = u128::from(most) + 5;
    let available = Amount(1_000_000);
    let transfer = transaction(1, 0, most - 4, vec![pay(person(2), 9)]);
    assert_eq!(
        verdict(&ledger, &transfer),
        Err(TransactionFault::Balance { needed, available })
    );
}

/// Bitcoin, September 2018: an input twice in one transaction was counted twice.
#[test]
fn cve_2018_17144_duplicate_spend() {
    let ledger = ledger();
    let wanted = |wanted, found| TransactionFault::Nonce {
        wanted: Nonce(wanted),
        found: Nonce(found),
    };
    let once = transaction(1, 0, TRANSFER, vec![pay(person(2), 600_000)]);
    assert_eq!(fault(&ledger, &[once.clone(), once.clone()]), wanted(1, 0));
    let other = transaction(1, 0, TRANSFER + 1, vec![pay(person(2), 1)]);
    assert_eq!(fault(&ledger, &[once.clone(), other]), wanted(1, 0));
    let second = transaction(1, 1, TRANSFER, vec![pay(person(2), 600_000)]);
    assert!(matches!(
        fault(&ledger, &[once, second]),
        TransactionFault::Balance { .. }
    ));
    // 64 ops that drain one balance: to the last unit, and by one too many.
    let fee = transaction(1, 0, 0, vec![pay(person(2), 1); 64]).weight().0;
    let (each, rest) = ((1_000_000 - fee) / 64, (1_000_000 - fee) % 64);
    let drain = |last: u64| {
        let mut ops = vec![pay(person(2), each); 63];
        ops.push(pay(person(2), each + last));
        transaction(1, 0, fee, ops)
    };
    assert_eq!(verdict(&ledger, &drain(rest)), Ok(()));
    let after = block_of(&ledger, &drain(rest)).unwrap();
    assert_eq!(
        (balance(&after, person(1)), balance(&after, person(2))),
        (0, 2_000_000 - fee)
    );
    assert!(matches!(
        verdict(&ledger, &drain(rest + 1)),
        Err(TransactionFault::Balance { .. })
    ));
    // What an op pays to the payer itself is no money to be covered by.
    let own = transaction(
        1,
        0,
        1_000,
        vec![pay(person(1), 999_000), pay(person(2), 1)],
    );
    assert!(matches!(
        verdict(&ledger, &own),
        Err(TransactionFault::Balance { .. })
    ));
}

/// Bitcoin, 2012 (BIP 30): two transactions of the same id, the later of which hid the earlier.
#[test]
fn bip30_duplicate_txid() {
    let genesis = genesis(&[(person(1), 1_000_000), (person(2), 1_000_000)]);
    let start = Ledger::genesis(&genesis);
    // Money goes to and fro, so that all is as it was; no id may come again.
    let there = transaction(1, 0, TRANSFER, vec![pay(person(2), 500)]);
    let back = transaction(2, 0, TRANSFER, vec![pay(person(1), 500 + TRANSFER)]);
    let after = execute(&start, &[there.clone(), back]).unwrap();
    assert_eq!(balance(&after, person(1)), balance(&start, person(1)));
    assert!(matches!(
        verdict(&after, &there),
        Err(TransactionFault::Nonce { .. })
    ));
    let again = transaction(1, 1, TRANSFER, vec![pay(person(2), 500)]);
    assert_ne!(again.txid(&genesis.id()), there.txid(&genesis.id()));
    assert_eq!(verdict(&after, &again), Ok(()));
    // An account that was emptied keeps its count.
    let all = transaction(1, 1, TRANSFER, vec![pay(person(2), 1_000_000 - TRANSFER)]);
    let empty = execute(&after, &[all]).unwrap();
    assert_eq!(empty.account(&person(1)).unwrap().unwrap().nonce, Nonce(2));
    // Rewards of equal blocks are told apart by their height.
    let two = empty_blocks(&start, 2);
    let reward = |height| two.record(&StateKey::Immature(Height(height))).unwrap();
    assert!(reward(1).is_some() && reward(2).is_some());
    assert_ne!(
        StateKey::Immature(Height(1)).hash(),
        StateKey::Immature(Height(2)).hash()
    );
}

/// Bitcoin, May 2012: transactions of the tail twice gave the same root as once, and the block was
/// remembered as invalid.
#[test]
fn cve_2012_2459_merkle_duplicate_tail() {
    let ids: Vec<WtxId> = (1..=24).map(|number| WtxId([number; 32])).collect();
    let mut roots = BTreeSet::new();
    let mut lists = 0;
    for count in 0..=ids.len() {
        for tail in 0..=count {
            let mut list = ids[..count].to_vec();
            list.extend_from_within(count - tail..);
            roots.insert(Block::tx_root(&list));
            lists += 1;
        }
    }
    assert_eq!(roots.len(), lists, "no two lists have the same root");
    // Nor is an inner node taken for a leaf.
    let pair = crate::crypto::merkle::root(&[ids[0], ids[1]]);
    assert_ne!(Block::tx_root(&[WtxId(pair)]), Block::tx_root(&ids[..2]));
}

/// Payments of person 1 to account after account, as many as a block has room for.
fn fullest_block(first_nonce: u64) -> Vec<Transaction> {
    let (mut transactions, mut weight, mut number) = (Vec::new(), 0, 0_u32);
    loop {
        let ops = (0..64).map(|_| {
            number += 1;
            pay(numbered(number), 1)
        });
        let nonce = first_nonce + transactions.len() as u64;
        let next = transaction(1, nonce, 2_900, ops.collect());
        weight += next.weight().0;
        if weight > 4_000_000 {
            return transactions;
        }
        transactions.push(next);
    }
}

fn numbered(number: u32) -> AccountId {
    let mut account = [7; 32];
    account[..4].copy_from_slice(&number.to_le_bytes());
    AccountId(account)
}

/// The same ledger, of which nothing is in memory.
fn on_disk(ledger: &Ledger) -> (Ledger, CountingDisk) {
    let disk = CountingDisk::over(&MemoryDisk::new());
    let options = Options::production([7; 32], 9, 0).with_segment_size(1 << 20);
    let (mut store, _) = Store::open(Arc::new(disk.clone()), &options).unwrap();
    let layout = store.layout(Log::State);
    let mut cursor = PageCursor::new(ledger.tree.clone(), layout, BTreeSet::new());
    while !cursor.is_done() {
        store.append(&cursor.step().unwrap()).unwrap();
    }
    store.sync().unwrap();
    let written = cursor.finish();
    let segments = written.live().segments().map(|(segment, _)| segment);
    let pages = store.reader().holding(Log::State, segments).unwrap();
    let tree = written.tree(Arc::new(pages));
    let ledger = Ledger {
        tree,
        ..ledger.clone()
    };
    (ledger, disk)
}

/// Bitcoin, March 2013: blocks within all rules asked for more locks than the database had, and
/// whoever had another database took them.
#[test]
fn cve_2013_3220_block_that_touches_the_most_accounts_in_memory_or_on_disk() {
    let rules = Rules {
        max_block_weight: 4_000_000,
        account_fee: 1,
        ..rules()
    };
    let mut genesis = genesis(&[(person(1), 1 << 50)]);
    genesis.rules = rules;
    let ledger = Ledger::genesis(&genesis);
    // The first block makes the accounts, the second changes each.
    let first = fullest_block(0);
    let made = first.len() as u32 * 64;
    assert!(made > 90_000, "{made}");
    let (after, _) = ledger.execute(&rules, &context(&ledger), &first).unwrap();
    assert!(after.supply().balances());
    assert_eq!(balance(&after, numbered(made)), 1);
    let mut second = fullest_block(first.len() as u64);
    let (stored, disk) = on_disk(&after);
    assert_eq!(stored.root(), after.root());
    let read = disk.bytes_read();
    let context = context(&after);
    let in_memory = after.execute(&rules, &context, &second).unwrap().0;
    assert_eq!(disk.bytes_read(), read);
    let (from_disk, inverse) = stored.execute(&rules, &context, &second).unwrap();
    // A record has more than its 32 bytes of a key and 32 of a hash.
    assert!(disk.bytes_read() - read > u64::from(made) * 64);
    assert_eq!(from_disk.root(), in_memory.root());
    assert_eq!(from_disk.supply(), in_memory.supply());
    for number in [1, made / 2, made] {
        assert_eq!(balance(&from_disk, numbered(number)), 2);
    }
    let before = from_disk.unwind(std::iter::once(&inverse)).unwrap();
    assert_eq!(before.root(), after.root());
    // One more is one too many, wherever the accounts are.
    let nonce = 2 * first.len() as u64;
    second.push(transaction(1, nonce, 2_900, vec![pay(person(2), 1); 64]));
    for ledger in [&after, &stored] {
        assert!(matches!(
            ledger.execute(&rules, &context, &second),
            Err(ExecutionError::Fault(BlockFault::Weight { .. }))
        ));
    }
}

/// Solana, June 2022: a durable-nonce transaction that failed used its nonce, and could be run
/// twice.
#[test]
fn solana_2022_failed_transaction_leaves_no_side_effect() {
    let start = ledger();
    let good = transaction(2, 0, TRANSFER, vec![pay(person(1), 10)]);
    let fails = [
        transaction(1, 0, TRANSFER - 1, vec![pay(person(2), 1)]),
        transaction(
            1,
            0,
            TRANSFER,
            vec![pay(person(2), 1), pay(person(2), 999_999)],
        ),
        transaction(1, 0, TRANSFER, vec![pay(person(99), 1)]),
        transaction(1, 1, TRANSFER, vec![pay(person(2), 1)]),
        Transaction {
            expiry: Height(1),
            ..transaction(1, 7, TRANSFER, vec![pay(person(2), 1)])
        },
    ];
    let without = execute(&start, std::slice::from_ref(&good)).unwrap();
    for failing in fails {
        assert!(execute(&start, &[good.clone(), failing.clone()]).is_err());
        assert_eq!(start.root(), ledger().root(), "the ledger is as it was");
        let candidates = [failing.clone(), good.clone(), failing.clone(), failing];
        let (with, chosen) = start
            .select(&rules(), &context(&start), &candidates)
            .unwrap();
        assert_eq!(chosen, [1]);
        assert_eq!(with.root(), without.root());
        assert_eq!(with.account(&person(1)).unwrap().unwrap().nonce, Nonce(0));
    }
}

/// CometBFT, ASA-2025-002: a part whose index was not that of its proof.
#[test]
fn asa_2025_002_index_and_proof_do_not_match() {
    let rules = rules();
    let genesis = genesis(&[(person(1), 1)]);
    for count in 1..=9_u32 {
        let transactions: Vec<Transaction> = (0..count)
            .map(|nonce| transaction(1, u64::from(nonce), 1, vec![pay(person(2), 1)]))
            .collect();
        let mut header = genesis_header(&genesis, Hash::ZERO);
        header.base_fee = rules.base_fee_min;
        let wtxids: Vec<WtxId> = transactions.iter().map(Transaction::wtxid).collect();
        header.tx_root = Block::tx_root(&wtxids);
        for index in 0..count {
            let proof = TxProof::new(header.clone(), &transactions, index).unwrap();
            assert!(proof.verify(&header.id()).is_ok());
            for other in (0..count + 2).filter(|other| *other != index) {
                let moved = TxProof {
                    index: other,
                    ..proof.clone()
                };
                assert!(
                    moved.verify(&header.id()).is_err(),
                    "{index} shown as {other} of {count}"
                );
                if let Some(transaction) = transactions.get(other as usize) {
                    let transaction = transaction.clone();
                    let swapped = TxProof {
                        transaction,
                        ..proof.clone()
                    };
                    assert!(swapped.verify(&header.id()).is_err());
                }
            }
            for other in (0..count + 9).filter(|other| *other != count) {
                let resized = TxProof {
                    count: other,
                    ..proof.clone()
                };
                let shown = resized.verify(&header.id());
                // A path may fit trees of several sizes; what it shows is the same then.
                assert!(shown.is_err() || shown == proof.verify(&header.id()));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Ethereum, autumn 2016: operations that cost their sender little and every node much. Here
    /// whatever a transaction makes a node do is paid for by weight, of which a block has so much:
    /// a signature by 100, an account that is touched by 40, a byte by 1.
    #[test]
    fn shanghai_2016_work_that_nobody_pays_for(transaction in strategies::transaction()) {
        let signatures = transaction.auth.signature_count() as u64;
        let mut touched = BTreeSet::from([transaction.sender()]);
        let mut data = 0;
        for op in &transaction.ops {
            match op {
                Op::Transfer { to, .. } => {
                    touched.insert(*to);
                }
                Op::Data(bytes) => data += bytes.len() as u64,
            }
        }
        let payees = touched.len() as u64 - 1;
        let weight = transaction.weight().0;
        prop_assert!(weight >= 100 * signatures + 40 * payees + data);
        prop_assert!(weight >= transaction.encoded_len() as u64);
    }

    /// CometBFT, ASA-2024-001: parameters that passed their check and stopped the chain.
    #[test]
    fn asa_2024_001_parameters_that_halt(genesis in strategies::genesis(), weight in 0..=100_u32) {
        prop_assume!(genesis.rules.engine_kind() == EngineKind::Work);
        prop_assert_eq!(genesis.check(), Ok(()));
        let mut genesis = genesis;
        // A chain that begins at the end of time has none left; everybody sees that it has not
        // begun.
        genesis.time.0 /= 2;
        let genesis = Arc::new(genesis);
        let header_rules = HeaderRules::new(Arc::clone(&genesis)).unwrap();
        let rules = genesis.rules;
        let mut ledger = Ledger::genesis(&genesis);
        let mut parent = genesis_header(&genesis, ledger.root());
        let parent_weight = (u64::from(rules.max_block_weight) * u64::from(weight) / 100) as u32;
        for number in 0..20_u32 {
            let height = parent.height.next();
            let mut header = parent.clone();
            header.height = height;
            header.parent_id = parent.id();
            let span = rules.step_ms().max(u64::from(rules.interval_ms) * u64::from(number % 3));
            header.time = Millis(parent.time.0.saturating_add(span));
            header.parent_weight = if number == 0 { 0 } else { parent_weight };
            header.base_fee = next_base_fee(&rules, parent.base_fee, header.parent_weight);
            prop_assert!(header.base_fee >= rules.base_fee_min);
            let bits = header_rules.next_bits(&(&parent).into());
            prop_assert!(bits.target().is_some(), "a target that a hash can meet");
            header.seal = Seal::Work { bits, nonce: 0 };
            let fits = header_rules.check_in_context(&header, &(&parent).into());
            prop_assert!(
                fits.is_ok() || header.time <= parent.time,
                "{:?}", fits
            );
            let context = BlockContext {
                height,
                base_fee: header.base_fee,
                beneficiary: MINER,
            };
            let after = ledger.execute::<Transaction>(&rules, &context, &[]);
            prop_assert!(after.is_ok(), "{:?}", after.err());
            ledger = after.unwrap().0;
            prop_assert!(ledger.supply().balances());
            parent = header;
        }
    }
}
