//! Every rule of execution by name, and the ledger against a model that knows no tree.

use proptest::prelude::*;

use super::*;
use crate::chain::state::Outcome;
use crate::crypto::ed25519::{PublicKey, Signature};
use crate::types::proof::{Proof, Proved};
use crate::types::state::{ImmatureRecord, leaf_hash, value_hash};
use crate::types::{
    Amount, Auth, CompactBits, Descriptor, EngineRules, MAX_SUPPLY, Millis, Op, Profile, Reward,
    Seal,
};

mod known_bugs;
mod model;

const MINER: AccountId = AccountId([0xee; 32]);
const ACCOUNT_FEE: u64 = 1_000;
/// What a transfer to one account costs at a base fee of 1,000.
const TRANSFER: u64 = 200;

fn person(number: u8) -> AccountId {
    Descriptor::Single(PublicKey([number; 32])).account_id()
}

fn pay(to: AccountId, amount: u64) -> Op {
    Op::Transfer {
        to,
        amount: Amount(amount),
    }
}

fn transaction(from: u8, nonce: u64, fee: u64, ops: Vec<Op>) -> Transaction {
    Transaction {
        nonce: Nonce(nonce),
        fee: Amount(fee),
        expiry: Height(0),
        ops,
        auth: Auth::Single {
            key: PublicKey([from; 32]),
            signature: Signature([0; 64]),
        },
    }
}

fn rules() -> Rules {
    Rules {
        engine: EngineRules::Work {
            half_life_ms: 576_000,
            pow_bits: CompactBits(0x1f04_0000),
            pow_limit: CompactBits(0x207f_ffff),
        },
        interval_ms: 2_000,
        max_block_weight: 100_000,
        max_tx_bytes: 16_384,
        max_ops: 64,
        max_data: 1_024,
        base_fee_initial: 1_000,
        base_fee_min: 100,
        account_fee: ACCOUNT_FEE,
        reward: Reward::Constant { initial: 5_000 },
        maturity: 3,
    }
}

fn genesis(allocations: &[(AccountId, u64)]) -> Genesis {
    let mut allocations: Vec<_> = allocations
        .iter()
        .map(|(account, amount)| (*account, Amount(*amount)))
        .collect();
    allocations.sort_unstable();
    let genesis = Genesis {
        profile: Profile::Dev,
        name: "test".into(),
        hrp: "dkeel".into(),
        time: Millis(0),
        decimals: 8,
        id_puzzle_bits: 0,
        rules: rules(),
        operators: Vec::new(),
        validators: Vec::new(),
        allocations,
    };
    assert_eq!(genesis.check(), Ok(()));
    genesis
}

/// A ledger where persons 1 and 2 have a million each.
fn ledger() -> Ledger {
    Ledger::genesis(&genesis(&[(person(1), 1_000_000), (person(2), 1_000_000)]))
}

fn context(ledger: &Ledger) -> BlockContext {
    BlockContext {
        height: ledger.height().next(),
        base_fee: 1_000,
        beneficiary: MINER,
    }
}

fn execute(ledger: &Ledger, transactions: &[Transaction]) -> Result<Ledger, BlockFault> {
    let executed = only_fault(ledger.execute(&rules(), &context(ledger), transactions));
    executed.map(|(after, inverse)| {
        let before = after.unwind(std::iter::once(&inverse)).unwrap();
        assert_eq!(
            (before.root(), before.supply()),
            (ledger.root(), ledger.supply())
        );
        after
    })
}

/// A ledger that was never on a disk always finds its pages.
fn only_fault<T, F: std::fmt::Debug>(result: Result<T, ExecutionError<F>>) -> Result<T, F> {
    result.map_err(|error| match error {
        ExecutionError::Fault(fault) => fault,
        ExecutionError::Failure(error) => panic!("{error}"),
    })
}

/// The fault of the last of `transactions`, which admission must name too if it is the only one.
fn fault(ledger: &Ledger, transactions: &[Transaction]) -> TransactionFault {
    let last = transactions.len() - 1;
    let BlockFault::Transaction { index, fault } = execute(ledger, transactions).unwrap_err()
    else {
        panic!("the block and not a transaction is at fault");
    };
    assert_eq!(index, last);
    assert!(execute(ledger, &transactions[..last]).is_ok());
    if let [only] = transactions {
        assert_eq!(admit(ledger, only), Err(fault));
    }
    fault
}

fn admit(ledger: &Ledger, transaction: &Transaction) -> Result<Charge, TransactionFault> {
    let view = ledger.view(BlockId::ZERO);
    let height = ledger.height().next();
    only_fault(check_transaction(
        &view,
        &rules(),
        height,
        1_000,
        &Ahead::default(),
        transaction,
    ))
}

fn balance(ledger: &Ledger, id: AccountId) -> u64 {
    ledger
        .account(&id)
        .unwrap()
        .map_or(0, |account| account.balance.0)
}

fn empty_blocks(ledger: &Ledger, count: u64) -> Ledger {
    (0..count).fold(ledger.clone(), |ledger, _| execute(&ledger, &[]).unwrap())
}

#[test]
fn the_genesis_ledger_is_its_allocations_and_the_supply() {
    let id = "6f4c96f572a0415c80cd115aed47a29a11dc06fe68dfad982a62d11a72f9878a";
    let account: AccountId = id.parse().unwrap();
    let ledger = Ledger::genesis(&genesis(&[(account, 1_000)]));
    let supply = SupplyRecord {
        issued: 1_000,
        accounts: 1_000,
        ..SupplyRecord::default()
    };
    assert_eq!(
        ledger.record(&StateKey::Supply).unwrap(),
        Some(Record::Supply(supply))
    );
    assert_eq!(ledger.supply(), &supply);
    // Both keys of this golden account and of the supply begin with a known bit.
    let leaf = |key: StateKey, value: &[u8]| leaf_hash(&key.hash(), &value_hash(value));
    let account_leaf = leaf(
        StateKey::Account(account),
        &[1, 0xe8, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    let supply_leaf = leaf(StateKey::Supply, &supply.to_bytes());
    assert_ne!(account_leaf, supply_leaf);
    let path = ledger
        .tree
        .prove(&StateKey::Account(account).hash())
        .unwrap();
    assert!(matches!(path.outcome, Outcome::Present(_)));
    assert_eq!(path.siblings[0], supply_leaf);
    assert_eq!(Ledger::genesis(&genesis(&[])).supply().issued, 0);
}

#[test]
fn a_transfer_moves_money_burns_the_price_and_tips_the_rest() {
    let before = ledger();
    let after = execute(
        &before,
        &[transaction(1, 0, TRANSFER + 30, vec![pay(person(2), 500)])],
    )
    .unwrap();
    assert_eq!(balance(&after, person(1)), 1_000_000 - 500 - TRANSFER - 30);
    assert_eq!(balance(&after, person(2)), 1_000_500);
    assert_eq!(after.account(&person(1)).unwrap().unwrap().nonce, Nonce(1));
    assert_eq!(after.account(&person(2)).unwrap().unwrap().nonce, Nonce(0));
    assert_eq!(after.supply().burned, TRANSFER);
    let earned = ImmatureRecord {
        beneficiary: MINER,
        amount: Amount(5_030),
    };
    let record = after.record(&StateKey::Immature(Height(1))).unwrap();
    assert_eq!(record, Some(Record::Immature(earned)));
    assert_eq!(after.supply().immature, 5_030);
    // The ledger before is as it was.
    assert_eq!(before.root(), ledger().root());
    assert_eq!(balance(&before, person(1)), 1_000_000);
}

#[test]
fn the_sender_must_exist() {
    let stranger = transaction(9, 0, TRANSFER, vec![pay(person(2), 1)]);
    let account = person(9);
    assert_eq!(
        fault(&ledger(), std::slice::from_ref(&stranger)),
        TransactionFault::UnknownSender { account }
    );
    // It may exist since an earlier transaction of the block, and spend what that one paid.
    let price = ACCOUNT_FEE + TRANSFER;
    let gift = transaction(1, 0, price, vec![pay(account, TRANSFER + 1)]);
    let after = execute(&ledger(), &[gift.clone(), stranger.clone()]).unwrap();
    assert_eq!(balance(&after, account), 0);
    assert_eq!(balance(&after, person(2)), 1_000_001);
    let less = transaction(1, 0, price, vec![pay(account, TRANSFER)]);
    assert_eq!(
        fault(&ledger(), &[less, stranger.clone()]),
        TransactionFault::Balance {
            needed: u128::from(TRANSFER) + 1,
            available: Amount(TRANSFER)
        }
    );
    // Not since a later one.
    let BlockFault::Transaction { index: 0, .. } =
        execute(&ledger(), &[stranger, gift]).unwrap_err()
    else {
        panic!("order counts");
    };
}

#[test]
fn the_nonce_is_the_number_of_transactions_made() {
    let first = transaction(1, 0, TRANSFER, vec![pay(person(2), 1)]);
    let second = transaction(1, 1, TRANSFER, vec![pay(person(2), 1)]);
    let wrong = |wanted, found| TransactionFault::Nonce {
        wanted: Nonce(wanted),
        found: Nonce(found),
    };
    assert_eq!(fault(&ledger(), std::slice::from_ref(&second)), wrong(0, 1));
    assert_eq!(
        fault(&ledger(), &[first.clone(), first.clone()]),
        wrong(1, 0)
    );
    let after = execute(&ledger(), &[first.clone(), second]).unwrap();
    assert_eq!(after.account(&person(1)).unwrap().unwrap().nonce, Nonce(2));
    assert_eq!(fault(&after, &[first]), wrong(2, 0));
}

#[test]
fn the_last_nonce_is_never_used() {
    let with_nonce = |nonce| {
        let mut ledger = ledger();
        let record = AccountRecord {
            balance: Amount(1_000_000),
            nonce: Nonce(nonce),
        };
        let key = StateKey::Account(person(1)).hash();
        ledger
            .tree
            .apply(&BTreeMap::from([(key, Some(record.to_bytes()))]))
            .unwrap();
        ledger
    };
    let last = u64::MAX - 1;
    let after = execute(
        &with_nonce(last),
        &[transaction(1, last, TRANSFER, vec![pay(person(2), 1)])],
    );
    assert_eq!(
        after.unwrap().account(&person(1)).unwrap().unwrap().nonce,
        Nonce(u64::MAX)
    );
    let beyond = transaction(1, u64::MAX, TRANSFER, vec![pay(person(2), 1)]);
    assert_eq!(
        fault(&with_nonce(u64::MAX), &[beyond]),
        TransactionFault::NonceExhausted
    );
}

#[test]
fn expiry_is_the_last_valid_height() {
    let ledger = empty_blocks(&ledger(), 4);
    let with_expiry = |expiry| Transaction {
        expiry: Height(expiry),
        ..transaction(1, 0, TRANSFER, vec![pay(person(2), 1)])
    };
    for expiry in [0, 5, 6, u64::MAX] {
        assert!(execute(&ledger, &[with_expiry(expiry)]).is_ok(), "{expiry}");
        assert!(admit(&ledger, &with_expiry(expiry)).is_ok(), "{expiry}");
    }
    for expiry in [1, 4] {
        assert_eq!(
            fault(&ledger, &[with_expiry(expiry)]),
            TransactionFault::Expired {
                expiry: Height(expiry),
                height: Height(5)
            }
        );
    }
}

#[test]
fn amounts_and_fee_are_covered_before_the_first_op() {
    let all = 1_000_000 - TRANSFER;
    let exact = transaction(1, 0, TRANSFER, vec![pay(person(2), all)]);
    let after = execute(&ledger(), &[exact]).unwrap();
    assert_eq!(balance(&after, person(1)), 0);
    let over = transaction(1, 0, TRANSFER, vec![pay(person(2), all + 1)]);
    let refused = |needed| TransactionFault::Balance {
        needed,
        available: Amount(1_000_000),
    };
    assert_eq!(fault(&ledger(), &[over]), refused(1_000_001));
    // What comes back by paying oneself does not count.
    let own = transaction(
        1,
        0,
        1_000,
        vec![pay(person(1), 999_000), pay(person(1), 1)],
    );
    assert_eq!(fault(&ledger(), &[own]), refused(1_000_001));
    // No sum wraps.
    let huge = transaction(1, 0, u64::MAX, vec![pay(person(2), u64::MAX); 64]);
    assert_eq!(
        fault(&ledger(), &[huge]),
        refused(65 * u128::from(u64::MAX))
    );
}

#[test]
fn paying_oneself_costs_the_fee() {
    let own = transaction(1, 0, TRANSFER, vec![pay(person(1), 999_000)]);
    let after = execute(&ledger(), &[own]).unwrap();
    assert_eq!(balance(&after, person(1)), 1_000_000 - TRANSFER);
}

#[test]
fn data_changes_nothing_but_costs_its_weight() {
    let anchor = |fee| transaction(1, 0, fee, vec![Op::Data(vec![7; 32])]);
    assert_eq!(anchor(0).weight(), Weight(194));
    let after = execute(&ledger(), &[anchor(194)]).unwrap();
    assert_eq!(balance(&after, person(1)), 1_000_000 - 194);
    let refused = TransactionFault::Fee {
        needed: 194,
        paid: Amount(193),
    };
    assert_eq!(fault(&ledger(), &[anchor(193)]), refused);
}

#[test]
fn the_price_of_weight_is_rounded_up_for_each_transaction() {
    let ledger = ledger();
    let rules = rules();
    let mut context = context(&ledger);
    // 200 weight: 0.2, 1 and 1.2 units.
    for (base_fee, price) in [(0, 0), (1, 1), (5, 1), (6, 2)] {
        context.base_fee = base_fee;
        let paying = |fee| [transaction(1, 0, fee, vec![pay(person(2), 1)])];
        let (after, _) = ledger.execute(&rules, &context, &paying(price)).unwrap();
        assert_eq!(after.supply().burned, price);
        if price > 0 {
            assert!(
                ledger
                    .execute(&rules, &context, &paying(price - 1))
                    .is_err()
            );
        }
    }
    // A base fee that no fee can pay is no overflow.
    context.base_fee = u64::MAX;
    let paying = [transaction(1, 0, 1, vec![pay(person(2), 1)])];
    let needed = (u128::from(u64::MAX) * 200).div_ceil(1_000);
    let fault = TransactionFault::Fee {
        needed,
        paid: Amount(1),
    };
    let refused = BlockFault::Transaction { index: 0, fault };
    assert_eq!(
        ledger.execute(&rules, &context, &paying).unwrap_err(),
        ExecutionError::Fault(refused)
    );
}

#[test]
fn a_created_account_is_charged_once() {
    let (new, other) = (person(7), person(8));
    // Paid twice in one transaction: created once.
    let ops = vec![pay(new, 1), pay(person(2), 1), pay(new, 2), pay(other, 3)];
    let weight = transaction(1, 0, 0, ops.clone()).weight().0;
    let price = weight + 2 * ACCOUNT_FEE;
    let after = execute(&ledger(), &[transaction(1, 0, price, ops.clone())]).unwrap();
    assert_eq!(after.supply().burned, price);
    assert_eq!((balance(&after, new), balance(&after, other)), (3, 3));
    let short = transaction(1, 0, price - 1, ops.clone());
    let refused = TransactionFault::Fee {
        needed: u128::from(price),
        paid: Amount(price - 1),
    };
    assert_eq!(fault(&ledger(), &[short]), refused);
    // Created by an earlier transaction of the block: not charged again, the rest is a tip.
    let first = transaction(2, 0, price, ops.clone());
    let after = execute(&ledger(), &[first, transaction(1, 0, price, ops)]).unwrap();
    assert_eq!(after.supply().burned, price + weight);
    assert_eq!(after.supply().immature, 5_000 + 2 * ACCOUNT_FEE);
}

#[test]
fn one_failing_transaction_fails_the_block() {
    let before = ledger();
    let good = transaction(1, 0, TRANSFER, vec![pay(person(2), 5)]);
    let bad = transaction(2, 0, TRANSFER - 1, vec![pay(person(1), 5)]);
    let fault = TransactionFault::Fee {
        needed: u128::from(TRANSFER),
        paid: Amount(TRANSFER - 1),
    };
    assert_eq!(
        execute(&before, &[good, bad]).unwrap_err(),
        BlockFault::Transaction { index: 1, fault }
    );
    assert_eq!(before.root(), ledger().root());
}

#[test]
fn a_block_weighs_no_more_than_the_limit() {
    let before = ledger();
    let transfers: Vec<_> = (0..501)
        .map(|nonce| transaction(1, nonce, TRANSFER, vec![pay(person(2), 1)]))
        .collect();
    assert!(execute(&before, &transfers[..500]).is_ok());
    let refused = BlockFault::Weight {
        weight: 100_200,
        limit: 100_000,
    };
    assert_eq!(execute(&before, &transfers).unwrap_err(), refused);
    let (after, chosen) = before
        .select(&rules(), &context(&before), &transfers)
        .unwrap();
    assert_eq!(chosen, (0..500).collect::<Vec<_>>());
    assert_eq!(
        after.root(),
        execute(&before, &transfers[..500]).unwrap().root()
    );
}

#[test]
fn a_block_stands_on_the_one_before() {
    let before = ledger();
    let mut context = context(&before);
    for found in [0, 2] {
        context.height = Height(found);
        let refused = BlockFault::Height {
            wanted: Height(1),
            found: Height(found),
        };
        let none: &[Transaction] = &[];
        assert_eq!(
            before.execute(&rules(), &context, none).unwrap_err(),
            ExecutionError::Fault(refused)
        );
    }
}

#[test]
fn a_reward_can_be_spent_after_maturity() {
    // Block 1's reward is credited by block 1 + 3, before its transactions.
    let before = empty_blocks(&ledger(), 3);
    assert_eq!(before.account(&MINER).unwrap(), None);
    assert_eq!(before.supply().immature, 15_000);
    let beneficiary = person(9);
    let mine = |ledger: &Ledger, transactions: &[Transaction]| {
        let context = BlockContext {
            beneficiary,
            ..context(ledger)
        };
        ledger
            .execute(&rules(), &context, transactions)
            .map(|(after, _)| after)
    };
    let mut ledger = ledger();
    for height in 1..=3 {
        let spend = transaction(9, 0, TRANSFER, vec![pay(person(1), 1)]);
        assert!(mine(&ledger, &[spend]).is_err(), "spent at height {height}");
        ledger = mine(&ledger, &[]).unwrap();
    }
    let spend = transaction(9, 0, TRANSFER, vec![pay(person(1), 5_000 - TRANSFER)]);
    let after = mine(&ledger, &[spend]).unwrap();
    // The account was created free.
    assert_eq!(
        after.account(&beneficiary).unwrap().unwrap().nonce,
        Nonce(1)
    );
    assert_eq!(balance(&after, beneficiary), 0);
    assert_eq!(after.supply().burned, TRANSFER);
    assert_eq!(after.record(&StateKey::Immature(Height(1))).unwrap(), None);
    assert!(
        after
            .record(&StateKey::Immature(Height(2)))
            .unwrap()
            .is_some()
    );
    assert_eq!(after.supply().immature, 15_000);
}

#[test]
fn the_reward_ends_where_the_supply_does() {
    for (allocated, rewards) in [
        (MAX_SUPPLY - 7_000, [5_000, 2_000, 0]),
        (MAX_SUPPLY - 5_000, [5_000, 0, 0]),
        (MAX_SUPPLY, [0, 0, 0]),
    ] {
        let mut ledger = Ledger::genesis(&genesis(&[(person(1), allocated)]));
        for (height, reward) in (1..).zip(rewards) {
            ledger = execute(&ledger, &[]).unwrap();
            let record = ledger.record(&StateKey::Immature(Height(height))).unwrap();
            let earned = ImmatureRecord {
                beneficiary: MINER,
                amount: Amount(reward),
            };
            assert_eq!(record, (reward > 0).then_some(Record::Immature(earned)));
        }
        assert_eq!(ledger.supply().issued, MAX_SUPPLY);
    }
    // Tips are paid all the same.
    let ledger = Ledger::genesis(&genesis(&[(person(1), MAX_SUPPLY)]));
    let all = MAX_SUPPLY - TRANSFER - 9;
    let tip = transaction(1, 0, TRANSFER + 9, vec![pay(person(1), all)]);
    assert_eq!(execute(&ledger, &[tip]).unwrap().supply().immature, 9);
}

#[test]
fn sums_that_do_not_balance_make_the_block_invalid() {
    let mut ledger = ledger();
    ledger.supply.accounts += 1;
    let refused = BlockFault::Supply {
        held: 2_000_001 + 5_000,
        issued: 2_005_000,
        burned: 0,
    };
    assert_eq!(execute(&ledger, &[]).unwrap_err(), refused);
}

#[test]
fn stake_rules_are_refused_by_name() {
    let ledger = ledger();
    let mut rules = rules();
    rules.engine = EngineRules::Stake {
        proposer_bp: 0,
        epoch_blocks: 1,
        unbonding_epochs: 0,
        unbonding_ms: 0,
        trust_ms: 0,
        min_stake: 0,
        delta_ms: 1,
        window_views: 1,
        max_validators: 1,
        churn_bp: 0,
        slash_bp: 0,
        reporter_bp: 0,
        heartbeat_ms: 0,
    };
    let none: &[Transaction] = &[];
    let refused = ledger.execute(&rules, &context(&ledger), none);
    assert_eq!(
        refused.unwrap_err(),
        ExecutionError::Fault(BlockFault::StakeReserved)
    );
}

#[test]
fn what_waits_ahead_counts_as_done() {
    let view = ledger().view(BlockId::ZERO);
    let admit = |transactions, spent, next: &Transaction| {
        let ahead = Ahead {
            transactions,
            spent,
        };
        only_fault(check_transaction(
            &view,
            &rules(),
            Height(1),
            1_000,
            &ahead,
            next,
        ))
    };
    let third = transaction(1, 2, TRANSFER + 7, vec![pay(person(2), 1_000)]);
    let charge = Charge {
        burned: Amount(TRANSFER),
        tip: Amount(7),
    };
    let rest = u128::from(1_000_000 - 1_000 - TRANSFER - 7);
    assert_eq!(admit(2, rest, &third), Ok(charge));
    for (spent, available) in [(rest + 1, 1_206), (u128::MAX, 0)] {
        let refused = TransactionFault::Balance {
            needed: u128::from(1_000 + TRANSFER + 7),
            available: Amount(available),
        };
        assert_eq!(admit(2, spent, &third), Err(refused));
    }
    for (transactions, wanted) in [(1, Nonce(1)), (3, Nonce(3))] {
        let refused = TransactionFault::Nonce {
            wanted,
            found: Nonce(2),
        };
        assert_eq!(admit(transactions, 0, &third), Err(refused));
    }
    let last = transaction(1, u64::MAX, TRANSFER, vec![pay(person(2), 1)]);
    assert_eq!(
        admit(u64::MAX, 0, &last),
        Err(TransactionFault::NonceExhausted)
    );
}

#[test]
fn assembly_skips_what_is_not_valid() {
    let before = ledger();
    let candidates = [
        transaction(1, 0, TRANSFER, vec![pay(person(2), 1)]),
        transaction(1, 0, TRANSFER, vec![pay(person(2), 2)]),
        transaction(9, 0, TRANSFER, vec![pay(person(2), 1)]),
        transaction(2, 0, TRANSFER + ACCOUNT_FEE, vec![pay(person(9), 500)]),
        transaction(9, 0, TRANSFER, vec![pay(person(2), 1)]),
        transaction(1, 2, TRANSFER, vec![pay(person(2), 1)]),
        transaction(1, 1, TRANSFER, vec![pay(person(2), 1)]),
    ];
    let (after, chosen) = before
        .select(&rules(), &context(&before), &candidates)
        .unwrap();
    assert_eq!(chosen, [0, 3, 4, 6]);
    let block: Vec<_> = chosen
        .iter()
        .map(|index| candidates[*index].clone())
        .collect();
    assert_eq!(after.root(), execute(&before, &block).unwrap().root());
    assert_eq!(after.height(), Height(1));
}

#[test]
fn a_view_stays_as_it_is() {
    let before = ledger();
    let view = before.view(BlockId([3; 32]));
    let after = execute(
        &before,
        &[transaction(1, 0, TRANSFER, vec![pay(person(2), 1)])],
    )
    .unwrap();
    assert_ne!(after.root(), view.root());
    assert_eq!(view.block_id(), BlockId([3; 32]));
    assert_eq!(view.height(), Height(0));
    assert_eq!(
        view.account(&person(2)).unwrap().unwrap().balance,
        Amount(1_000_000)
    );
    assert_eq!(view.account(&person(9)).unwrap(), None);
    assert_eq!(view.supply().issued, 2_000_000);
    assert_eq!(view.record(&StateKey::Immature(Height(1))).unwrap(), None);
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    shared(&view);
}

#[test]
fn a_view_proves_what_is_there_and_what_is_not() {
    let allocations: Vec<_> = (0..100).map(|number| (person(number), 1_000)).collect();
    let ledger = execute(&Ledger::genesis(&genesis(&allocations)), &[]).unwrap();
    let header = Header {
        height: Height(1),
        parent_id: BlockId::ZERO,
        time: Millis(0),
        tx_root: Hash::ZERO,
        state_root: ledger.root(),
        history_root: Hash::ZERO,
        base_fee: 1_000,
        beneficiary: MINER,
        parent_weight: 0,
        seal: Seal::Work {
            bits: CompactBits(0x207f_ffff),
            nonce: 0,
        },
    };
    let id = header.id();
    let view = ledger.view(id);
    let accounts = (0..200).map(|number| StateKey::Account(person(number)));
    let others = [
        StateKey::Supply,
        StateKey::Immature(Height(1)),
        StateKey::Immature(Height(2)),
    ];
    let mut absent = 0;
    for key in accounts.chain(others) {
        let proof = view.prove(&header, key).unwrap();
        let record = view.record(&key).unwrap();
        absent += u32::from(record.is_none());
        let height = Height(1);
        assert_eq!(
            proof.verify(&id),
            Ok(Proved::State {
                key,
                record,
                height
            })
        );
        let proof = Proof::State(Box::new(proof));
        assert_eq!(Proof::from_bytes(&proof.to_bytes()), Ok(proof));
    }
    assert_eq!(absent, 101);
}

#[test]
fn faults_name_the_rule_and_both_numbers() {
    let fault = TransactionFault::Fee {
        needed: 1_200,
        paid: Amount(200),
    };
    assert_eq!(
        BlockFault::Transaction { index: 4, fault }.to_string(),
        "transaction 4: the fee is 200, at least 1200 is needed"
    );
}
