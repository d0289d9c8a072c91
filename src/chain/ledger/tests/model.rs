//! A ledger of plain maps, written from the rules alone.

use std::collections::{BTreeMap, BTreeSet};

use jmt::Sha256Jmt;
use jmt::mock::MockTreeStore;

use super::*;
use crate::base::Rng;

#[derive(Clone, Default)]
struct Model {
    accounts: BTreeMap<AccountId, (u128, u64)>,
    immature: BTreeMap<u64, (AccountId, u128)>,
    issued: u128,
    burned: u128,
    height: u64,
}

impl Model {
    /// Executes a block; what is wrong leaves a model that nobody may use.
    fn block(
        &mut self,
        rules: &Rules,
        context: &BlockContext,
        transactions: &[Transaction],
    ) -> Result<(), usize> {
        self.height += 1;
        let height = self.height;
        if height > u64::from(rules.maturity)
            && let Some((who, amount)) = self.immature.remove(&(height - u64::from(rules.maturity)))
        {
            self.accounts.entry(who).or_default().0 += amount;
        }
        let mut tips = 0;
        for (index, transaction) in transactions.iter().enumerate() {
            tips += self.transaction(rules, context, transaction).ok_or(index)?;
        }
        let Reward::Constant { initial } = rules.reward else {
            panic!("the test's rules have a constant reward")
        };
        let reward = u128::from(initial).min(u128::from(MAX_SUPPLY) - self.issued);
        self.issued += reward;
        if reward + tips > 0 {
            self.immature
                .insert(height, (context.beneficiary, reward + tips));
        }
        Ok(())
    }

    /// The tip of a valid transaction.
    fn transaction(
        &mut self,
        rules: &Rules,
        context: &BlockContext,
        transaction: &Transaction,
    ) -> Option<u128> {
        let sender = transaction.sender();
        let (balance, nonce) = *self.accounts.get(&sender)?;
        let fee = u128::from(transaction.fee.0);
        let expired = transaction.expiry.0 != 0 && transaction.expiry.0 < self.height;
        let covered = transaction.amount_sum() + fee <= balance;
        if nonce != transaction.nonce.0 || expired || !covered {
            return None;
        }
        let mut price = u128::from(context.base_fee) * u128::from(transaction.weight().0);
        price = price / 1_000 + u128::from(price % 1_000 > 0);
        self.accounts.insert(sender, (balance - fee, nonce + 1));
        for op in &transaction.ops {
            if let Op::Transfer { to, amount } = op {
                let amount = u128::from(amount.0);
                self.accounts.get_mut(&sender)?.0 -= amount;
                if !self.accounts.contains_key(to) {
                    price += u128::from(rules.account_fee);
                }
                self.accounts.entry(*to).or_default().0 += amount;
            }
        }
        self.burned += price.min(fee);
        fee.checked_sub(price)
    }

    fn supply(&self) -> SupplyRecord {
        let sum = |amounts: Vec<u128>| u64::try_from(amounts.iter().sum::<u128>()).unwrap();
        SupplyRecord {
            issued: sum(vec![self.issued]),
            burned: sum(vec![self.burned]),
            accounts: sum(self
                .accounts
                .values()
                .map(|(balance, _)| *balance)
                .collect()),
            immature: sum(self.immature.values().map(|(_, amount)| *amount).collect()),
            ..SupplyRecord::default()
        }
    }

    /// The root that crate `jmt` gives to the records.
    fn root(&self) -> Hash {
        let mut records = vec![(StateKey::Supply.hash(), self.supply().to_bytes())];
        for (id, (balance, nonce)) in &self.accounts {
            let mut value = vec![1];
            value.extend(u64::try_from(*balance).unwrap().to_le_bytes());
            value.extend(nonce.to_le_bytes());
            records.push((StateKey::Account(*id).hash(), value));
        }
        for (height, (who, amount)) in &self.immature {
            let mut value = vec![4];
            value.extend(who.0);
            value.extend(u64::try_from(*amount).unwrap().to_le_bytes());
            records.push((StateKey::Immature(Height(*height)).hash(), value));
        }
        let store = MockTreeStore::default();
        let pairs = records
            .into_iter()
            .map(|(key, value)| (jmt::KeyHash(key.0), Some(value)));
        let (root, _) = Sha256Jmt::new(&store).put_value_set(pairs, 0).unwrap();
        Hash(root.0)
    }
}

/// A transaction that is valid more often than not, around the limits of the rules.
fn random_transaction(rng: &mut Rng, model: &Model, next: &mut BTreeMap<u8, u64>) -> Transaction {
    let from = rng.below(8) as u8;
    let (balance, nonce) = model
        .accounts
        .get(&person(from))
        .copied()
        .unwrap_or_default();
    let nonce = next.entry(from).or_insert(nonce);
    let ops: Vec<Op> = (0..rng.below(4) + 1)
        .map(|_| match rng.below(6) {
            0 => Op::Data(vec![1; rng.below(60) as usize + 1]),
            1 => pay(person(rng.below(250) as u8), 1),
            2 => pay(
                person(rng.below(12) as u8),
                rng.below(balance as u64 + 2) + 1,
            ),
            _ => pay(person(rng.below(12) as u8), rng.below(2_000) + 1),
        })
        .collect();
    let mut transaction = transaction(from, *nonce, 0, ops);
    let paid: BTreeSet<_> = transaction
        .ops
        .iter()
        .filter_map(|op| match op {
            Op::Transfer { to, .. } if !model.accounts.contains_key(to) => Some(*to),
            _ => None,
        })
        .collect();
    let price = transaction.weight().0 + ACCOUNT_FEE * paid.len() as u64;
    transaction.fee = Amount(match rng.below(12) {
        0 => price - 1,
        1 => price + rng.below(500),
        2 => rng.below(price * 2),
        _ => price,
    });
    match rng.below(30) {
        0 => transaction.nonce.0 = rng.below(5),
        1 => transaction.expiry = Height(model.height + rng.below(3)),
        _ => *nonce += 1,
    }
    transaction
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_blocks_do_what_the_model_does(seed: u64) {
        let mut rng = Rng::from_number(seed);
        let rules = rules();
        let allocations: BTreeMap<_, _> = (0..6)
            .map(|number| (person(number), rng.below(60_000) + 1))
            .collect();
        let allocations: Vec<_> = allocations.into_iter().collect();
        let mut ledger = Ledger::genesis(&genesis(&allocations));
        let mut model = Model::default();
        for (account, amount) in &allocations {
            model.accounts.insert(*account, (u128::from(*amount), 0));
            model.issued += u128::from(*amount);
        }
        let (mut valid, mut invalid) = (0, 0);
        for _ in 0..25 {
            assert_eq!(ledger.root(), model.root());
            assert_eq!(*ledger.supply(), model.supply());
            let context = BlockContext {
                beneficiary: person(rng.below(9) as u8),
                ..context(&ledger)
            };
            let mut next = BTreeMap::new();
            let candidates: Vec<_> = (0..rng.below(12))
                .map(|_| random_transaction(&mut rng, &model, &mut next))
                .collect();
            // The whole block, which one bad transaction makes invalid.
            let mut whole = model.clone();
            let wanted = whole.block(&rules, &context, &candidates);
            let found = ledger.execute(&rules, &context, &candidates);
            match (wanted, found) {
                (Ok(()), Ok((after, _))) => prop_assert_eq!(after.root(), whole.root()),
                (
                    Err(index),
                    Err(ExecutionError::Fault(BlockFault::Transaction { index: found, .. })),
                ) => {
                    prop_assert_eq!(found, index);
                    invalid += 1;
                }
                (wanted, found) => prop_assert!(false, "{wanted:?} but {found:?}"),
            }
            // What assembly makes of it: the model takes one transaction more at a time.
            let (after, chosen) = ledger.select(&rules, &context, &candidates).unwrap();
            let mut kept: Vec<usize> = Vec::new();
            for index in 0..candidates.len() {
                let block: Vec<_> = kept
                    .iter()
                    .chain([&index])
                    .map(|index| candidates[*index].clone())
                    .collect();
                if model.clone().block(&rules, &context, &block).is_ok() {
                    kept.push(index);
                }
            }
            prop_assert_eq!(&chosen, &kept);
            let block: Vec<_> = kept.iter().map(|index| candidates[*index].clone()).collect();
            prop_assert_eq!(model.block(&rules, &context, &block), Ok(()));
            valid += kept.len();
            ledger = after;
        }
        // The generator reaches both sides.
        prop_assert!(valid > 10 && invalid > 0, "{valid} valid, {invalid} invalid blocks");
    }
}
