//! The rules of blocks once more, naively, over bytes: what no node may differ from.
//!
//! It shares with the node what has vectors or tables of others behind it: decoding, hashing, the
//! verification of one signature, the rule of targets, the schedule of rewards, the weight of a
//! transaction and the peaks of the history. It shares nothing with the pipeline it checks: neither
//! batches nor caches, neither the state tree nor the ledger. Every account stands in one map, and
//! the root of the state is computed from all of it after each block (`docs/formats.md`, "Executing
//! a block").

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::{Decode, Encode};
use crate::consensus::{Drift, asert, genesis_header};
use crate::crypto::{ed25519, merkle};
use crate::types::history::Entry;
use crate::types::state::{
    AccountRecord, ImmatureRecord, KeyHash, PLACEHOLDER, StateKey, SupplyRecord, inner_hash,
    leaf_hash, value_hash,
};
use crate::types::{
    AccountId, Amount, Block, BlockId, CompactBits, EngineRules, Genesis, GenesisId, Hash, Header,
    Height, History, MAX_SUPPLY, Nonce, Op, Rules, Seal, Transaction, TxId, Uint256,
};

/// The state after a block.
#[derive(Clone, Debug)]
struct After {
    header: Header,
    weight: u64,
    accounts: BTreeMap<AccountId, (u64, u64)>,
    immature: BTreeMap<u64, (AccountId, u64)>,
    issued: u64,
    burned: u64,
    history: History,
    /// Who sent which nonce by which transaction, on the way here.
    spent: Arc<Spent>,
}

/// The transactions of one block, and those of the blocks before it.
#[derive(Debug, Default)]
struct Spent {
    before: Option<Arc<Self>>,
    here: BTreeMap<(AccountId, u64), TxId>,
}

impl Drop for Spent {
    /// One block after the other: a long chain of them would overflow the stack.
    fn drop(&mut self) {
        let mut next = self.before.take();
        while let Some(mut spent) = next.and_then(Arc::into_inner) {
            next = spent.before.take();
        }
    }
}

/// What the reference knows of a chain: the state after each block that it was shown.
#[derive(Debug)]
pub struct Reference {
    genesis: Arc<Genesis>,
    id: GenesisId,
    after: BTreeMap<BlockId, Arc<After>>,
}

/// The transactions of a chain by account and nonce.
pub type Included = BTreeMap<(AccountId, u64), TxId>;

impl Reference {
    /// The chain at its genesis block.
    #[must_use]
    pub fn new(genesis: Arc<Genesis>) -> Self {
        let allocations = genesis.allocations.iter();
        let accounts = allocations.map(|(account, amount)| (*account, (amount.0, 0)));
        let mut after = After {
            header: genesis_header(&genesis, Hash::ZERO),
            weight: 0,
            accounts: accounts.collect(),
            immature: BTreeMap::new(),
            issued: genesis.allocations.iter().map(|(_, amount)| amount.0).sum(),
            burned: 0,
            history: History::new(),
            spent: Arc::default(),
        };
        after.header.state_root = after.root();
        after.history.push(Entry::of_header(&after.header));
        let first = after.header.id();
        Self {
            id: genesis.id(),
            genesis,
            after: BTreeMap::from([(first, Arc::new(after))]),
        }
    }

    /// Whether a block was found valid.
    #[must_use]
    pub fn knows(&self, id: &BlockId) -> bool {
        self.after.contains_key(id)
    }

    /// The height of a block.
    #[must_use]
    pub fn height(&self, id: &BlockId) -> Option<Height> {
        self.after.get(id).map(|after| after.header.height)
    }

    /// The transactions of the chain that ends with a block.
    #[must_use]
    pub fn included(&self, tip: &BlockId) -> Included {
        let mut included = Included::new();
        let mut next = self.after.get(tip).map(|after| &after.spent);
        while let Some(spent) = next {
            included.extend(spent.here.iter().map(|(key, id)| (*key, *id)));
            next = spent.before.as_ref();
        }
        included
    }

    /// How many accounts there are after a block, and what they and the sums of the supply are.
    #[must_use]
    pub fn supply(&self, tip: &BlockId) -> Option<SupplyRecord> {
        self.after.get(tip).map(|after| after.supply())
    }

    /// Counts a base unit less as issued up to a block, so that a checker has something to find.
    #[cfg(test)]
    pub(super) fn misjudge(&mut self, tip: &BlockId) {
        let after = self.after.get_mut(tip).expect("the block was found valid");
        Arc::make_mut(after).issued -= 1;
    }

    /// Every account after a block.
    #[must_use]
    pub fn accounts(&self, tip: &BlockId) -> Option<&BTreeMap<AccountId, (u64, u64)>> {
        self.after.get(tip).map(|after| &after.accounts)
    }

    /// Takes the next block of some branch. Says which rule it breaks, if it breaks one.
    pub fn add(&mut self, bytes: &[u8]) -> Result<BlockId, String> {
        let block =
            Block::from_bytes(bytes).map_err(|error| format!("it does not decode: {error}"))?;
        let id = block.header.id();
        if self.knows(&id) {
            return Ok(id);
        }
        let parent = self.after.get(&block.header.parent_id);
        let parent = Arc::clone(parent.ok_or("its parent was not shown before it")?);
        self.check_header(&block.header, &parent)?;
        let after = self.execute(&block, &parent)?;
        self.after.insert(id, Arc::new(after));
        Ok(id)
    }

    fn check_header(&self, header: &Header, parent: &After) -> Result<(), String> {
        let rules: &Rules = &self.genesis.rules;
        let (
            EngineRules::Work {
                half_life_ms,
                pow_bits,
                pow_limit,
            },
            Seal::Work { bits, .. },
        ) = (rules.engine, &header.seal)
        else {
            return Err("it is no block of proof of work".to_owned());
        };
        let above = &parent.header;
        expect("height", above.height.0 + 1, header.height.0)?;
        let step = u64::from(rules.interval_ms / 60).max(1);
        if header.time.0 < above.time.0 + step {
            return Err(format!(
                "time {} is less than {step} after its parent's",
                header.time
            ));
        }
        expect(
            "parent_weight",
            parent.weight,
            u64::from(header.parent_weight),
        )?;
        expect(
            "base_fee",
            base_fee(rules, above.base_fee, parent.weight),
            header.base_fee,
        )?;
        let interval = i128::from(rules.interval_ms);
        let drift = Drift {
            elapsed: i128::from(above.time.0) - (i128::from(self.genesis.time.0) - interval),
            scheduled: interval * i128::from(header.height.0),
        };
        let easiest = |bits: CompactBits| bits.target().unwrap_or(Uint256::ZERO);
        let target = asert(easiest(pow_bits), drift, half_life_ms, easiest(pow_limit));
        expect("bits", CompactBits::from_target(target), *bits)?;
        let target = easiest(*bits);
        let id = header.id();
        if Uint256::from_be_bytes(&id.0) > target {
            return Err(format!("its id {id} is above the target {target}"));
        }
        expect("history_root", parent.history.root(), header.history_root)
    }

    fn execute(&self, block: &Block, parent: &After) -> Result<After, String> {
        let rules = &self.genesis.rules;
        let header = &block.header;
        let wtxids: Vec<_> = block.transactions.iter().map(Transaction::wtxid).collect();
        expect("tx_root", Hash(tree_hash(&wtxids)), header.tx_root)?;
        let mut after = parent.clone();
        after.spent = Arc::new(Spent {
            before: Some(Arc::clone(&parent.spent)),
            here: BTreeMap::new(),
        });
        let height = header.height.0;
        if height > u64::from(rules.maturity)
            && let Some((to, amount)) = after.immature.remove(&(height - u64::from(rules.maturity)))
        {
            after.accounts.entry(to).or_default().0 += amount;
        }
        after.weight = 0;
        let (mut tips, mut spent) = (0, BTreeMap::new());
        for transaction in &block.transactions {
            let tip = self.apply(&mut after, header, transaction);
            tips +=
                tip.map_err(|rule| format!("transaction {}: {rule}", self.txid(transaction)))?;
            let key = (transaction.sender(), transaction.nonce.0);
            spent.insert(key, self.txid(transaction));
            after.weight += transaction.weight().0;
        }
        if after.weight > u64::from(rules.max_block_weight) {
            return Err(format!("its weight is {}", after.weight));
        }
        if let Some(last) = Arc::get_mut(&mut after.spent) {
            last.here = spent;
        }
        let reward = rules
            .reward
            .at(Height(height))
            .min(MAX_SUPPLY - after.issued);
        after.issued += reward;
        if reward + tips > 0 {
            after
                .immature
                .insert(height, (header.beneficiary, reward + tips));
        }
        if !after.supply().balances() {
            return Err(format!("the supply does not balance: {:?}", after.supply()));
        }
        expect("state_root", after.root(), header.state_root)?;
        after.header = header.clone();
        after.history.push(Entry::of_header(header));
        Ok(after)
    }

    fn txid(&self, transaction: &Transaction) -> TxId {
        transaction.txid(&self.id)
    }

    /// Applies a transaction, and gives what it leaves to the block's maker.
    fn apply(
        &self,
        after: &mut After,
        header: &Header,
        transaction: &Transaction,
    ) -> Result<u64, String> {
        let rules = &self.genesis.rules;
        let sizes = transaction.encoded_len() <= rules.max_tx_bytes as usize
            && transaction.ops.len() <= usize::from(rules.max_ops);
        let data = transaction.ops.iter().all(|op| match op {
            Op::Data(data) => data.len() <= usize::from(rules.max_data),
            Op::Transfer { .. } => true,
        });
        if !sizes || !data {
            return Err("it is too large".to_owned());
        }
        let message = self.txid(transaction).0;
        for (key, signature) in transaction.auth.signatures() {
            if !ed25519::verify(&key, &message, &signature) {
                return Err("a signature is wrong".to_owned());
            }
        }
        let sender = transaction.auth.descriptor().account_id();
        let account = after.accounts.get(&sender).copied();
        let (balance, nonce) = account.ok_or("its account does not exist")?;
        expect("nonce", nonce, transaction.nonce.0)?;
        if transaction.expiry.0 != 0 && header.height > transaction.expiry {
            return Err(format!("it expired at {}", transaction.expiry));
        }
        let fee = u128::from(transaction.fee.0);
        let amounts: u128 = transaction
            .ops
            .iter()
            .map(|op| match op {
                Op::Transfer { amount, .. } => u128::from(amount.0),
                Op::Data(_) => 0,
            })
            .sum();
        if amounts + fee > u128::from(balance) {
            return Err(format!("it spends {amounts} and {fee} of {balance}"));
        }
        let weight = transaction.encoded_len() + 36 * transaction.auth.signature_count();
        let mut burned = (u128::from(header.base_fee) * weight as u128).div_ceil(1_000);
        after
            .accounts
            .insert(sender, (balance - transaction.fee.0, nonce + 1));
        for op in &transaction.ops {
            let Op::Transfer { to, amount } = op else {
                continue;
            };
            if let Some((balance, _)) = after.accounts.get_mut(&sender) {
                *balance -= amount.0;
            }
            if !after.accounts.contains_key(to) {
                burned += u128::from(rules.account_fee);
            }
            after.accounts.entry(*to).or_default().0 += amount.0;
        }
        if burned > fee {
            return Err(format!("it pays {fee} of {burned}"));
        }
        // It is at most the fee, which has 64 bits.
        after.burned += burned as u64;
        Ok(transaction.fee.0 - burned as u64)
    }
}

impl After {
    fn supply(&self) -> SupplyRecord {
        SupplyRecord {
            issued: self.issued,
            burned: self.burned,
            accounts: self.accounts.values().map(|(balance, _)| balance).sum(),
            immature: self.immature.values().map(|(_, amount)| amount).sum(),
            ..SupplyRecord::default()
        }
    }

    /// The root over every record, from nothing.
    fn root(&self) -> Hash {
        let mut leaves: Vec<(KeyHash, Hash)> = Vec::new();
        let mut add = |key: StateKey, value: Vec<u8>| {
            let key = key.hash();
            leaves.push((key, leaf_hash(&key, &value_hash(&value))));
        };
        for (account, (balance, nonce)) in &self.accounts {
            let (balance, nonce) = (Amount(*balance), Nonce(*nonce));
            add(
                StateKey::Account(*account),
                AccountRecord { balance, nonce }.to_bytes(),
            );
        }
        for (height, (beneficiary, amount)) in &self.immature {
            let (beneficiary, amount) = (*beneficiary, Amount(*amount));
            let record = ImmatureRecord {
                beneficiary,
                amount,
            };
            add(StateKey::Immature(Height(*height)), record.to_bytes());
        }
        add(StateKey::Supply, self.supply().to_bytes());
        leaves.sort_unstable();
        state_root(&leaves, 0)
    }
}

/// The root over leaves that share their first `depth` bits.
fn state_root(leaves: &[(KeyHash, Hash)], depth: usize) -> Hash {
    match leaves {
        [] => PLACEHOLDER,
        [(_, leaf)] => *leaf,
        _ => {
            let split = leaves.partition_point(|(key, _)| !key.bit(depth));
            let (left, right) = leaves.split_at(split);
            inner_hash(&state_root(left, depth + 1), &state_root(right, depth + 1))
        }
    }
}

/// The hash of RFC 6962, by its definition.
fn tree_hash<T: AsRef<[u8]>>(leaves: &[T]) -> [u8; 32] {
    match leaves {
        [] => merkle::empty_root(),
        [leaf] => merkle::leaf_hash(leaf.as_ref()),
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            merkle::node_hash(&tree_hash(left), &tree_hash(right))
        }
    }
}

/// EIP-1559's rule with this chain's bounds.
fn base_fee(rules: &Rules, fee: u64, weight: u64) -> u64 {
    let half = u128::from(rules.max_block_weight / 2);
    let (fee, weight) = (u128::from(fee), u128::from(weight));
    let next = if rules.base_fee_initial == 0 {
        0
    } else if weight > half {
        fee + (fee * (weight - half) / half / 8).max(1)
    } else if weight < half {
        (fee - fee * (half - weight) / half / 8).max(u128::from(rules.base_fee_min))
    } else {
        fee
    };
    u64::try_from(next).unwrap_or(u64::MAX)
}

fn expect<T: PartialEq + std::fmt::Display>(what: &str, wanted: T, found: T) -> Result<(), String> {
    if wanted == found {
        return Ok(());
    }
    Err(format!("its {what} is {found}, the rules give {wanted}"))
}
