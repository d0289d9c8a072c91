//! The chain that is synchronised: many accounts are funded, then each pays a new account once.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::Time;
use crate::chain::{
    Assembly, Chain, ChainState, CheckedBlock, CheckedTransaction, Execution, TransactionPlaces,
};
use crate::codec::Encode;
use crate::consensus::{HeaderRules, next_base_fee};
use crate::crypto::ed25519::{PublicKey, SecretKey, Signature};
use crate::crypto::hash::sha256_parts;
use crate::crypto::sha256::search;
use crate::node::{block_record, tip_record};
use crate::store::{Failure, MemoryDisk, Options, Store};
use crate::types::{
    AccountId, Amount, Auth, Block, BlockId, CompactBits, EngineKind, EngineRules, Genesis,
    GenesisId, Hash, Header, Height, Millis, Nonce, Op, Profile, Rules, Seal, Transaction, TxId,
    Weight,
};
use crate::wallet::{Payment, least_fee};

use super::super::CommandError;

/// What a block weighs at most: 2,000 payments.
const BLOCK_WEIGHT: u64 = 400_000;
/// A block of so easy a target takes two hashes.
const EASY: CompactBits = CompactBits(0x207f_ffff);
/// What each account pays.
const AMOUNT: Amount = Amount(1_000);

/// One signature of the chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed {
    pub(super) key: PublicKey,
    pub(super) message: TxId,
    pub(super) signature: Signature,
}

/// What was made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) tip: BlockId,
    pub(super) blocks: u64,
    /// Transactions that fund accounts; the rest are the payments.
    pub(super) funding: u64,
    /// The bytes of the blocks as they travel.
    pub(super) bytes: u64,
    /// Every signature, in the order of the chain.
    pub(super) signatures: Vec<Signed>,
}

/// The key of the account with this number. Number 0 funds the others.
fn secret_key(number: u32) -> SecretKey {
    SecretKey::from_seed(&sha256_parts(&[b"keel bench key ", &number.to_le_bytes()]))
}

/// An account that nobody has seen before.
fn payee(number: u32) -> AccountId {
    AccountId(sha256_parts(&[b"keel bench payee ", &number.to_le_bytes()]))
}

/// The chain's beginning: the dev profile with an easy target, early enough that the blocks that
/// follow every interval lie in the past.
pub(super) fn genesis(payments: u32) -> Genesis {
    genesis_of(payments, 0)
}

/// The same for a chain that goes on with so many empty blocks.
pub(super) fn genesis_of(payments: u32, empty_blocks: u32) -> Genesis {
    // Funding blocks included, there is less than one block for every 500 payments.
    let blocks = 100 + u64::from(payments) / 500 + u64::from(empty_blocks);
    let mut genesis = Profile::Dev.genesis(EngineKind::Work, "bench", Millis(0));
    let span = blocks * u64::from(genesis.rules.interval_ms);
    genesis.time = Millis(now().0.saturating_sub(span));
    if let EngineRules::Work {
        pow_bits,
        pow_limit,
        ..
    } = &mut genesis.rules.engine
    {
        (*pow_bits, *pow_limit) = (EASY, EASY);
    }
    genesis.allocations = vec![(Payment::payer(&secret_key(0)), Amount(1 << 62))];
    genesis
}

#[expect(
    clippy::disallowed_methods,
    reason = "the blocks must not lie in the future of the nodes"
)]
fn now() -> Millis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock that stands before 1970 is wrong for the nodes as well.
    Millis(now.map_or(0, |now| now.as_millis() as u64))
}

/// The transactions in their order: the funding ones, then the payments.
fn transactions(genesis: &Genesis, payments: u32) -> impl Iterator<Item = Transaction> {
    let (id, rules) = (genesis.id(), genesis.rules);
    // Blocks stay below half the limit, so that the base fee only falls.
    let fee = least_fee(rules.base_fee_initial, 0, rules.account_fee, true);
    let keys: Arc<Vec<SecretKey>> = Arc::new((1..=payments).map(secret_key).collect());
    let funder = secret_key(0);
    let per_transaction = usize::from(rules.max_ops);
    let funded = Arc::clone(&keys);
    let funding = (0..keys.len().div_ceil(per_transaction)).map(move |number| {
        let begin = number * per_transaction;
        let end = funded.len().min(begin + per_transaction);
        let to = funded[begin..end].iter().map(Payment::payer);
        let ops = to.map(|to| Op::Transfer {
            to,
            amount: Amount(AMOUNT.0 + fee.0),
        });
        // Each op is cheaper than a payment, which has a signature of its own.
        let fee = Amount(fee.0 * (end - begin) as u64);
        sign(ops.collect(), Nonce(number as u64), fee, &funder, &id)
    });
    let pay = move |number: u32| {
        let payment = Payment {
            nonce: Nonce(0),
            fee,
            expiry: Height(0),
            to: payee(number),
            amount: AMOUNT,
        };
        payment.sign(&keys[number as usize], &id)
    };
    funding.chain((0..payments).map(pay))
}

fn sign(
    ops: Vec<Op>,
    nonce: Nonce,
    fee: Amount,
    key: &SecretKey,
    genesis: &GenesisId,
) -> Transaction {
    let mut transaction = Transaction {
        nonce,
        fee,
        expiry: Height(0),
        ops,
        auth: Auth::Single {
            key: key.public_key(),
            signature: Signature([0; 64]),
        },
    };
    let message = transaction.txid(genesis);
    transaction.auth = Auth::Single {
        key: key.public_key(),
        signature: key.sign(&message.0),
    };
    transaction
}

/// Makes the chain by the node's own means and writes it to a store as a node does.
/// `check_interrupted` is asked after every block of payments.
pub(super) fn make(
    genesis: &Arc<Genesis>,
    payments: u32,
    store: &mut Store,
    check_interrupted: &dyn Fn() -> Result<(), CommandError>,
) -> Result<Made, CommandError> {
    make_long(genesis, payments, 0, store, check_interrupted)
}

/// The same, going on with so many empty blocks.
pub(super) fn make_long(
    genesis: &Arc<Genesis>,
    payments: u32,
    empty_blocks: u32,
    store: &mut Store,
    check_interrupted: &dyn Fn() -> Result<(), CommandError>,
) -> Result<Made, CommandError> {
    let mut maker = Maker::new(genesis, store)?;
    let root = maker.state.id;
    let (mut block, mut weight) = (Vec::new(), 0);
    for transaction in transactions(genesis, payments) {
        let checked = CheckedTransaction::new(transaction, maker.chain.genesis_id());
        if weight + checked.weight.0 > BLOCK_WEIGHT {
            maker.append(std::mem::take(&mut block))?;
            check_interrupted()?;
            weight = 0;
        }
        weight += checked.weight.0;
        block.push(Arc::new(checked));
    }
    maker.append(block)?;
    for _ in 0..empty_blocks {
        maker.append(Vec::new())?;
    }
    let mut made = maker.made;
    let tip = tip_record(&root, &made.tip, Height(made.blocks));
    store.append(&[tip]).map_err(of_store)?;
    store.sync().map_err(of_store)?;
    made.funding = made.signatures.len() as u64 - u64::from(payments);
    Ok(made)
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn of_store(failure: Failure) -> CommandError {
    CommandError::failed(failure.to_string())
}

/// The first blocks of a chain, without transactions, for a peer to tell of.
pub(super) fn empty_blocks(
    genesis: &Arc<Genesis>,
    count: u32,
) -> Result<Vec<Arc<CheckedBlock>>, CommandError> {
    // No node reads what is written here.
    let options = Options::production(genesis.id().0, 1, 0).with_segment_size(1 << 20);
    let opened = Store::open(Arc::new(MemoryDisk::new()), &options);
    let (mut store, _) = opened.map_err(|error| CommandError::failed(error.to_string()))?;
    let mut maker = Maker::new(genesis, &mut store)?;
    (0..count).map(|_| maker.append(Vec::new())).collect()
}

/// A block of payments and what it stands on.
pub(super) struct Sample {
    pub(super) genesis: Arc<Genesis>,
    pub(super) rules: HeaderRules,
    /// The state after its parent.
    pub(super) parent: ChainState,
    pub(super) block: Arc<CheckedBlock>,
}

/// A block of so many payments, on a chain that funded their senders.
pub(super) fn sample(payments: u32) -> Result<Sample, CommandError> {
    let genesis = Arc::new(genesis(payments));
    let options = Options::production(genesis.id().0, 1, 0).with_segment_size(8 << 20);
    let opened = Store::open(Arc::new(MemoryDisk::new()), &options);
    let (mut store, _) = opened.map_err(|error| CommandError::failed(error.to_string()))?;
    let mut maker = Maker::new(&genesis, &mut store)?;
    let all: Vec<_> = transactions(&genesis, payments)
        .map(|it| Arc::new(CheckedTransaction::new(it, maker.chain.genesis_id())))
        .collect();
    let (funding, paying) = all.split_at(all.len() - payments as usize);
    maker.append(funding.to_vec())?;
    let parent = maker.state.clone();
    let block = maker.append(paying.to_vec())?;
    let rules = maker.chain.header_rules().clone();
    Ok(Sample {
        genesis,
        rules,
        parent,
        block,
    })
}

/// Makes blocks and writes them down.
struct Maker<'a> {
    genesis: Arc<Genesis>,
    chain: Chain,
    state: ChainState,
    store: &'a mut Store,
    made: Made,
}

impl<'a> Maker<'a> {
    fn new(genesis: &Arc<Genesis>, store: &'a mut Store) -> Result<Self, CommandError> {
        let chain = Chain::new(Arc::clone(genesis))
            .map_err(|error| CommandError::failed(error.to_string()))?;
        let state = chain.tip_state().clone();
        Ok(Self {
            genesis: Arc::clone(genesis),
            made: Made {
                tip: state.id,
                blocks: 0,
                funding: 0,
                bytes: 0,
                signatures: Vec::new(),
            },
            chain,
            state,
            store,
        })
    }

    /// Appends a block of these transactions to the chain and to the store.
    fn append(
        &mut self,
        candidates: Vec<Arc<CheckedTransaction>>,
    ) -> Result<Arc<CheckedBlock>, CommandError> {
        let count = candidates.len();
        let assembly = Assembly {
            genesis: Arc::clone(&self.genesis),
            base: self.state.clone(),
            header: self.header(),
            candidates,
        };
        let template = assembly.run().expect("a state in memory can be read");
        assert_eq!(template.transactions.len(), count, "every payment is valid");
        let (mut header, transactions) = (template.header, template.transactions);
        seal(&mut header);
        // Its own header must pass the checks that peers make.
        let far = Time::from_micros(u64::MAX);
        let added = self.chain.add_header(&header, far);
        let id = added.map_err(|error| CommandError::failed(format!("a block is bad: {error}")))?;
        let block = Arc::new(checked_block(id, header, transactions));
        let record = block_record(&block, &self.chain.work(&id));
        self.store.append(&[record]).map_err(of_store)?;
        self.note(&block);
        let execution = Execution {
            genesis: Arc::clone(&self.genesis),
            base: self.state.clone(),
            undos: Vec::new(),
            blocks: vec![Arc::clone(&block)],
        };
        let executed = execution.run();
        if let Some((_, fault)) = executed.fault {
            return Err(CommandError::failed(format!("a block is bad: {fault}")));
        }
        let (state, _) = executed
            .states
            .into_iter()
            .next_back()
            .expect("one block was executed");
        self.state = state;
        Ok(block)
    }

    fn header(&self) -> Header {
        let parent = &self.state.header;
        let height = parent.height.next();
        let rules = Rules::at(&self.genesis, height);
        Header {
            height,
            parent_id: self.state.id,
            time: Millis(parent.time.0 + u64::from(rules.interval_ms)),
            tx_root: Hash::ZERO,
            state_root: Hash::ZERO,
            history_root: Hash::ZERO,
            base_fee: next_base_fee(rules, parent.base_fee, self.state.weight),
            beneficiary: payee(u32::MAX),
            parent_weight: self.state.weight,
            seal: Seal::Work {
                bits: self.chain.header_rules().next_bits(&parent.into()),
                nonce: 0,
            },
        }
    }

    fn note(&mut self, block: &CheckedBlock) {
        self.made.tip = block.id;
        self.made.blocks += 1;
        self.made.bytes += block.bytes.len() as u64;
        for checked in &block.transactions {
            let signed = |(key, signature)| Signed {
                key,
                message: checked.txid,
                signature,
            };
            let signatures = checked.transaction.auth.signatures().map(signed);
            self.made.signatures.extend(signatures);
        }
    }
}

/// Does the little work that the header asks for.
fn seal(header: &mut Header) {
    let Seal::Work { bits, nonce } = &mut header.seal else {
        return;
    };
    let target = bits
        .target()
        .expect("the bits follow the rules")
        .to_be_bytes();
    *nonce = 0;
    let bytes = header.to_bytes();
    let bytes = bytes.first_chunk().expect("a work header has 204 bytes");
    let found = search(bytes, 0..1 << 20, &target).expect("one hash of two meets the target");
    if let Seal::Work { nonce, .. } = &mut header.seal {
        *nonce = found;
    }
}

fn checked_block(
    id: BlockId,
    header: Header,
    transactions: Vec<Arc<CheckedTransaction>>,
) -> CheckedBlock {
    let plain = transactions.iter().map(|it| it.transaction.clone());
    let block = Block {
        header: header.clone(),
        transactions: plain.collect(),
        certificate: None,
    };
    CheckedBlock {
        id,
        header,
        weight: Weight(transactions.iter().map(|it| it.weight.0).sum()),
        transactions,
        bytes: block.to_bytes().into(),
        places: TransactionPlaces::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_has_every_payment_and_its_signature_once() {
        let genesis = Arc::new(genesis(150));
        assert_eq!(genesis.check(), Ok(()));
        let options = Options::production(genesis.id().0, 7, 0).with_segment_size(1 << 20);
        let (mut store, _) = Store::open(Arc::new(MemoryDisk::new()), &options).unwrap();
        let made = make(&genesis, 150, &mut store, &|| Ok(())).unwrap();
        assert_eq!(
            (made.funding, made.signatures.len(), made.blocks),
            (3, 153, 1)
        );
        let mut messages: Vec<_> = made.signatures.iter().map(|it| it.message).collect();
        messages.sort_unstable();
        messages.dedup();
        assert_eq!(messages.len(), 153);
    }
}
