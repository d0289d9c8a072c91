//! A block on its way into the ledger: what its transactions change is kept beside the state, and
//! written to it in one go at the end.

use std::ops::Range;

use crate::codec::Encode;
use crate::types::state::{
    AccountRecord, ImmatureRecord, KeyHash, StateKey, SupplyRecord, account_keys,
};
use crate::types::{
    AccountId, Amount, EngineKind, Height, MAX_SUPPLY, Nonce, Op, Rules, Transaction, Weight,
};

use super::super::state::PageError;
use super::{
    BlockContext, BlockFault, Executable, ExecutionError, Inverse, Ledger, StateView,
    TransactionFault, read_record,
};

const NO_MORE_THAN_ISSUED: &str = "no sum of money exceeds what was issued, which is below 2^63";

/// Where the check of a transaction finds accounts.
pub trait Accounts {
    /// The account `id`, which the transaction names in this place: its sender first, then those
    /// it pays in their order.
    fn account(&self, place: usize, id: &AccountId) -> Result<Option<AccountRecord>, PageError>;
}

impl Accounts for StateView {
    fn account(&self, _: usize, id: &AccountId) -> Result<Option<AccountRecord>, PageError> {
        Self::account(self, id)
    }
}

/// What becomes of a valid transaction's fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// What its weight and the accounts it creates burn.
    pub burned: Amount,
    /// The rest, for the block's beneficiary.
    pub tip: Amount,
}

/// What waits to be executed before a transaction, of the same account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// How many transactions.
    pub transactions: u64,
    /// Their amounts and fees, or those of everything that must stay covered besides.
    pub spent: u128,
}

impl Ahead {
    /// The account as it will be then; none where it will have no transaction left to make.
    fn leave(&self, account: AccountRecord) -> Option<AccountRecord> {
        let spent = u64::try_from(self.spent).unwrap_or(u64::MAX);
        Some(AccountRecord {
            balance: Amount(account.balance.0.saturating_sub(spent)),
            nonce: Nonce(account.nonce.0.checked_add(self.transactions)?),
        })
    }
}

/// Whether the transaction could be executed at `height` on the state of `view` after what is
/// ahead of it; what it would cost. Sizes and signatures are checked elsewhere, since they need no
/// state.
pub fn check_transaction(
    view: &impl Accounts,
    rules: &Rules,
    height: Height,
    base_fee: u64,
    ahead: &Ahead,
    transaction: &impl Executable,
) -> Result<Charge, ExecutionError<TransactionFault>> {
    check(view, rules, height, base_fee, ahead, transaction).map(|(charge, ..)| charge)
}

/// Those whom a transaction pays, one after the other.
fn payees(transaction: &Transaction) -> impl Iterator<Item = &AccountId> {
    transaction.ops.iter().filter_map(|op| match op {
        Op::Transfer { to, .. } => Some(to),
        Op::Data(_) => None,
    })
}

/// The price of the weight, rounded up for each transaction, and of the accounts that do not
/// exist yet, each counted where it is paid first.
pub fn fee_needed(
    accounts: &impl Accounts,
    rules: &Rules,
    base_fee: u64,
    transaction: &Transaction,
    weight: Weight,
) -> Result<u128, PageError> {
    let mut created: Vec<&AccountId> = Vec::new();
    for (to, place) in payees(transaction).zip(1..) {
        if accounts.account(place, to)?.is_none() && !created.contains(&to) {
            created.push(to);
        }
    }
    let base_part = (u128::from(base_fee) * u128::from(weight.0)).div_ceil(1_000);
    Ok(base_part + u128::from(rules.account_fee) * created.len() as u128)
}

/// The one check of a transaction against a state, for admission, assembly and execution alike.
/// Gives the charge, and the sender's account.
fn check(
    accounts: &impl Accounts,
    rules: &Rules,
    height: Height,
    base_fee: u64,
    ahead: &Ahead,
    executable: &impl Executable,
) -> Result<(Charge, AccountRecord), ExecutionError<TransactionFault>> {
    const fn fault<T>(fault: TransactionFault) -> Result<T, ExecutionError<TransactionFault>> {
        Err(ExecutionError::Fault(fault))
    }
    let transaction = executable.transaction();
    let sender = executable.sender();
    let Some(account) = accounts.account(0, &sender)? else {
        return fault(TransactionFault::UnknownSender { account: sender });
    };
    let Some(account) = ahead.leave(account) else {
        return fault(TransactionFault::NonceExhausted);
    };
    let (wanted, found) = (account.nonce, transaction.nonce);
    if found != wanted {
        return fault(TransactionFault::Nonce { wanted, found });
    }
    if found == Nonce(u64::MAX) {
        return fault(TransactionFault::NonceExhausted);
    }
    let expiry = transaction.expiry;
    if expiry != Height(0) && height > expiry {
        return fault(TransactionFault::Expired { expiry, height });
    }
    let (paid, available) = (transaction.fee, account.balance);
    let needed = transaction.amount_sum() + u128::from(paid.0);
    if needed > u128::from(available.0) {
        return fault(TransactionFault::Balance { needed, available });
    }
    let needed = fee_needed(accounts, rules, base_fee, transaction, executable.weight())?;
    let burned = match u64::try_from(needed) {
        Ok(burned) if burned <= paid.0 => burned,
        _ => return fault(TransactionFault::Fee { needed, paid }),
    };
    let charge = Charge {
        burned: Amount(burned),
        tip: Amount(paid.0 - burned),
    };
    Ok((charge, account))
}

/// An account that the block names.
struct Touched {
    key: KeyHash,
    before: Option<AccountRecord>,
    after: Option<AccountRecord>,
}

/// A block that is being executed.
///
/// All accounts that its transactions name are looked up before the first is executed, so that
/// their keys are hashed side by side, the state is read in its own order, and from there on an
/// account is found by its number.
pub(super) struct Draft<'a, T> {
    ledger: &'a Ledger,
    rules: &'a Rules,
    context: BlockContext,
    transactions: &'a [T],
    /// The accounts, each once, in the order of their keys.
    touched: Vec<Touched>,
    /// The accounts that are named, by number: for each transaction its sender, then those it
    /// pays.
    named: Vec<u32>,
    /// Where in `named` each transaction begins, and the last one ends.
    begins: Vec<usize>,
    /// The reward that this block makes spendable.
    matured: Option<(Height, ImmatureRecord)>,
    weight: u64,
    burned: u64,
    tips: u64,
}

/// The accounts that a transaction of a draft names.
struct Named<'a> {
    touched: &'a [Touched],
    numbers: &'a [u32],
}

impl Accounts for Named<'_> {
    fn account(&self, place: usize, _: &AccountId) -> Result<Option<AccountRecord>, PageError> {
        Ok(self.touched[self.numbers[place] as usize].after)
    }
}

/// Looks accounts up: gives each once, in the order of keys, and the number of each of `ids`.
fn look_up(ledger: &Ledger, ids: &[AccountId]) -> Result<(Vec<Touched>, Vec<u32>), PageError> {
    let keys = account_keys(ids);
    let prefix = |key: &KeyHash| u64::from_be_bytes(*key.0.first_chunk().expect("of 32 bytes"));
    // Comparing numbers is cheap, and as good as always enough.
    let mut order: Vec<(u64, u32)> = keys.iter().map(prefix).zip(0..).collect();
    order.sort_unstable_by(|left, right| {
        let keys = || keys[left.1 as usize].cmp(&keys[right.1 as usize]);
        left.0.cmp(&right.0).then_with(keys)
    });
    let mut touched: Vec<Touched> = Vec::with_capacity(ids.len());
    let mut numbers = vec![0; ids.len()];
    for (_, at) in order {
        let key = keys[at as usize];
        if touched.last().is_none_or(|last| last.key != key) {
            let before = ledger.account_at(&key)?;
            touched.push(Touched {
                key,
                before,
                after: before,
            });
        }
        numbers[at as usize] = touched.len() as u32 - 1;
    }
    Ok((touched, numbers))
}

impl<'a, T: Executable> Draft<'a, T> {
    /// Begins a block of `transactions`, or of some of them, on `ledger`: a reward that is old
    /// enough is credited before anything else, so that the block's transactions can spend it.
    pub(super) fn open(
        ledger: &'a Ledger,
        rules: &'a Rules,
        context: &BlockContext,
        transactions: &'a [T],
    ) -> Result<Self, ExecutionError<BlockFault>> {
        let (wanted, found) = (ledger.height.next(), context.height);
        if wanted != found {
            return Err(ExecutionError::Fault(BlockFault::Height { wanted, found }));
        }
        if rules.engine_kind() == EngineKind::Stake {
            return Err(ExecutionError::Fault(BlockFault::StakeReserved));
        }
        let (mut ids, mut begins) = (Vec::new(), vec![0]);
        for transaction in transactions {
            ids.push(transaction.sender());
            ids.extend(payees(transaction.transaction()));
            begins.push(ids.len());
        }
        // The genesis block has no reward: the first one that can be old enough is block 1's.
        let earned = found.0.saturating_sub(u64::from(rules.maturity));
        let matured = match earned {
            0 => None,
            _ => matured_reward(ledger, Height(earned))?,
        };
        ids.extend(matured.iter().map(|(_, reward)| reward.beneficiary));
        let (touched, named) = look_up(ledger, &ids)?;
        let mut draft = Self {
            ledger,
            rules,
            context: *context,
            transactions,
            touched,
            named,
            begins,
            matured,
            weight: 0,
            burned: 0,
            tips: 0,
        };
        if let (Some((_, reward)), Some(beneficiary)) = (&draft.matured, draft.named.last()) {
            let (beneficiary, amount) = (*beneficiary, reward.amount);
            draft.credit(beneficiary, amount);
        }
        Ok(draft)
    }

    fn credit(&mut self, number: u32, amount: Amount) {
        let account = &mut self.touched[number as usize].after;
        let account = account.get_or_insert_default();
        account.balance = account
            .balance
            .checked_add(amount)
            .expect(NO_MORE_THAN_ISSUED);
    }

    fn debit(&mut self, number: u32, amount: Amount) {
        const COVERED: &str = "amounts and fee are covered before the first op";
        let account = self.touched[number as usize].after.as_mut();
        let account = account.expect(COVERED);
        account.balance = account.balance.checked_sub(amount).expect(COVERED);
    }

    /// What a transaction names, in `named`.
    fn places(&self, index: usize) -> Range<usize> {
        self.begins[index]..self.begins[index + 1]
    }

    /// What further transactions may weigh.
    pub(super) fn room(&self) -> Weight {
        Weight(u64::from(self.rules.max_block_weight) - self.weight)
    }

    /// Why there is no room for a transaction of this weight.
    pub(super) fn too_heavy(&self, more: Weight) -> BlockFault {
        BlockFault::Weight {
            weight: self.weight.saturating_add(more.0),
            limit: self.rules.max_block_weight,
        }
    }

    /// Executes the transaction with this index. It changes nothing where it is invalid.
    pub(super) fn push(&mut self, index: usize) -> Result<(), ExecutionError<TransactionFault>> {
        let executable = &self.transactions[index];
        let places = self.places(index);
        let (rules, context) = (self.rules, &self.context);
        let named = Named {
            touched: &self.touched,
            numbers: &self.named[places.clone()],
        };
        let ahead = Ahead::default();
        let (height, base_fee) = (context.height, context.base_fee);
        let (charge, account) = check(&named, rules, height, base_fee, &ahead, executable)?;
        let transaction = executable.transaction();
        // The check covers fee, nonce and amounts: from here on nothing can fail.
        let sender = self.named[places.start];
        self.touched[sender as usize].after = Some(AccountRecord {
            balance: Amount(account.balance.0 - transaction.fee.0),
            nonce: Nonce(account.nonce.0 + 1),
        });
        let mut payees = places.skip(1);
        for op in &transaction.ops {
            if let Op::Transfer { amount, .. } = op
                && let Some(place) = payees.next()
            {
                self.debit(sender, *amount);
                self.credit(self.named[place], *amount);
            }
        }
        self.weight += executable.weight().0;
        self.burned += charge.burned.0;
        self.tips += charge.tip.0;
        Ok(())
    }

    /// Ends the block: pays its reward, writes everything to the state and checks the sums.
    pub(super) fn close(self) -> Result<(Ledger, Inverse), ExecutionError<BlockFault>> {
        let (height, mut supply) = (self.context.height, self.ledger.supply);
        let reward = self.rules.reward.at(height).min(MAX_SUPPLY - supply.issued);
        let earned = ImmatureRecord {
            beneficiary: self.context.beneficiary,
            amount: Amount(reward.checked_add(self.tips).expect(NO_MORE_THAN_ISSUED)),
        };
        let mut changes = Changes::default();
        if let Some((height, record)) = self.matured {
            changes.immature.0 += u128::from(record.amount.0);
            changes
                .writes
                .push((StateKey::Immature(height).hash(), None));
        }
        if earned.amount > Amount(0) {
            changes.immature.1 += u128::from(earned.amount.0);
            let key = StateKey::Immature(height).hash();
            changes.writes.push((key, Some(earned.to_bytes())));
        }
        for touched in &self.touched {
            changes.account(touched);
        }
        supply.issued += reward;
        supply.burned += self.burned;
        changes.sum_up(&mut supply).map_err(ExecutionError::Fault)?;
        let supply_key = StateKey::Supply.hash();
        changes.writes.push((supply_key, Some(supply.to_bytes())));
        let mut tree = self.ledger.tree.clone();
        let applied = tree.apply(&changes.writes.into_iter().collect())?;
        let inverse = Inverse {
            writes: applied.before,
            supply: self.ledger.supply,
            height: self.ledger.height,
        };
        let ledger = Ledger {
            tree,
            supply,
            height,
        };
        Ok((ledger, inverse))
    }
}

/// The reward of a block that is old enough now, unless it had none.
fn matured_reward(
    ledger: &Ledger,
    earned: Height,
) -> Result<Option<(Height, ImmatureRecord)>, PageError> {
    let key = StateKey::Immature(earned).hash();
    let record = ledger.tree.read(&key, read_record::<ImmatureRecord>)?;
    Ok(record.map(|record| (earned, record)))
}

/// The records that a block writes, and what was in them before and after: what the sums of the
/// supply follow, whatever code decided on the writes.
#[derive(Default)]
struct Changes {
    writes: Vec<(KeyHash, Option<Vec<u8>>)>,
    accounts: (u128, u128),
    immature: (u128, u128),
}

impl Changes {
    fn account(&mut self, touched: &Touched) {
        let Some(after) = touched.after else {
            return;
        };
        if touched.before != Some(after) {
            let before = touched.before.unwrap_or_default();
            self.accounts.0 += u128::from(before.balance.0);
            self.accounts.1 += u128::from(after.balance.0);
            self.writes.push((touched.key, Some(after.to_bytes())));
        }
    }

    fn sum_up(&self, supply: &mut SupplyRecord) -> Result<(), BlockFault> {
        let sums = [
            (&mut supply.accounts, self.accounts),
            (&mut supply.immature, self.immature),
        ];
        let mut held = 0;
        let mut in_range = true;
        for (sum, (before, after)) in sums {
            let changed = (u128::from(*sum) + after).checked_sub(before);
            let changed = changed.and_then(|sum| u64::try_from(sum).ok());
            in_range &= changed.is_some();
            *sum = changed.unwrap_or(u64::MAX);
        }
        for sum in [
            supply.accounts,
            supply.immature,
            supply.stakes,
            supply.pending,
            supply.pool,
        ] {
            held += u128::from(sum);
        }
        if in_range && supply.balances() {
            Ok(())
        } else {
            Err(BlockFault::Supply {
                held,
                issued: supply.issued,
                burned: supply.burned,
            })
        }
    }
}
