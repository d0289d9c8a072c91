//! Chains for tests: people with money, and blocks that cost next to no work.

use std::sync::Arc;

use crate::codec::Encode;
use crate::consensus::{HeaderRules, next_base_fee};
use crate::crypto::ed25519::{SecretKey, Signature};
use crate::crypto::sha256::search;
use crate::types::{
    AccountId, Amount, Auth, Block, BlockId, CompactBits, Descriptor, EngineKind, EngineRules,
    Genesis, Hash, Header, Height, Millis, Nonce, Op, Profile, Rules, Seal, Transaction, Weight,
};

use super::{Assembly, ChainState, CheckedBlock, CheckedTransaction, Execution, TransactionPlaces};

/// Somebody with a key.
pub(crate) struct Person {
    pub(crate) secret: SecretKey,
    pub(crate) account: AccountId,
}

pub(crate) fn person(seed: u8) -> Person {
    let secret = SecretKey::from_seed(&[seed; 32]);
    let account = Descriptor::Single(secret.public_key()).account_id();
    Person { secret, account }
}

/// A chain of which two hashes make a block, on which each of `people` has `balance`.
pub(crate) fn genesis(people: &[&Person], balance: u64) -> Arc<Genesis> {
    let time = Millis(1_700_000_000_000);
    let mut genesis = Profile::Dev.genesis(EngineKind::Work, "testing", time);
    if let EngineRules::Work {
        pow_bits,
        pow_limit,
        ..
    } = &mut genesis.rules.engine
    {
        (*pow_bits, *pow_limit) = (CompactBits(0x207f_ffff), CompactBits(0x207f_ffff));
    }
    let share = |person: &&Person| (person.account, Amount(balance));
    genesis.allocations = people.iter().map(share).collect();
    genesis.allocations.sort();
    genesis.check().unwrap();
    Arc::new(genesis)
}

/// A payment, signed.
pub(crate) fn pay(
    genesis: &Genesis,
    from: &Person,
    (nonce, fee): (u64, u64),
    to: AccountId,
    amount: u64,
) -> Transaction {
    let amount = Amount(amount);
    sign(
        genesis,
        from,
        (nonce, fee),
        vec![Op::Transfer { to, amount }],
    )
}

/// A transaction that does not expire, signed.
pub(crate) fn sign(
    genesis: &Genesis,
    from: &Person,
    (nonce, fee): (u64, u64),
    ops: Vec<Op>,
) -> Transaction {
    let key = from.secret.public_key();
    let mut transaction = Transaction {
        nonce: Nonce(nonce),
        fee: Amount(fee),
        expiry: Height(0),
        ops,
        auth: Auth::Single {
            key,
            signature: Signature([0; 64]),
        },
    };
    let signature = from.secret.sign(&transaction.txid(&genesis.id()).0);
    transaction.auth = Auth::Single { key, signature };
    transaction
}

/// A block that was made, with the state after it.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) id: BlockId,
    pub(crate) header: Header,
    pub(crate) checked: Arc<CheckedBlock>,
    pub(crate) bytes: Vec<u8>,
    /// The parent's when the block is invalid.
    pub(crate) state: ChainState,
}

/// Makes blocks.
pub(crate) struct Maker {
    pub(crate) genesis: Arc<Genesis>,
    rules: HeaderRules,
}

impl Maker {
    pub(crate) fn new(genesis: &Arc<Genesis>) -> Self {
        Self {
            genesis: Arc::clone(genesis),
            rules: HeaderRules::new(Arc::clone(genesis)).unwrap(),
        }
    }

    pub(crate) fn root(&self) -> ChainState {
        ChainState::genesis(&self.genesis)
    }

    /// The header of a child of `parent` one interval later, without roots and work.
    fn header(&self, parent: &ChainState, beneficiary: AccountId) -> Header {
        let height = parent.header.height.next();
        let rules = Rules::at(&self.genesis, height);
        Header {
            height,
            parent_id: parent.id,
            time: Millis(parent.header.time.0 + u64::from(rules.interval_ms)),
            tx_root: Hash::ZERO,
            state_root: Hash::ZERO,
            history_root: Hash::ZERO,
            base_fee: next_base_fee(rules, parent.header.base_fee, parent.weight),
            beneficiary,
            parent_weight: parent.weight,
            seal: Seal::Work {
                bits: self.rules.next_bits(&(&parent.header).into()),
                nonce: 0,
            },
        }
    }

    /// A valid child of `parent` with those of `transactions` that can be in it.
    pub(crate) fn child(
        &self,
        parent: &ChainState,
        beneficiary: AccountId,
        transactions: &[Transaction],
    ) -> Made {
        self.child_with(parent, beneficiary, transactions, |_| {})
    }

    /// The same, with a header that `change` has changed before the work was done on it.
    pub(crate) fn child_with(
        &self,
        parent: &ChainState,
        beneficiary: AccountId,
        transactions: &[Transaction],
        change: impl FnOnce(&mut Header),
    ) -> Made {
        let id = self.genesis.id();
        let checked = |t: &Transaction| Arc::new(CheckedTransaction::new(t.clone(), &id));
        let assembly = Assembly {
            genesis: Arc::clone(&self.genesis),
            base: parent.clone(),
            header: self.header(parent, beneficiary),
            candidates: transactions.iter().map(checked).collect(),
        };
        let template = assembly.run().unwrap();
        let mut header = template.header;
        change(&mut header);
        seal(&mut header);
        self.finish(parent, header, template.transactions)
    }

    fn finish(
        &self,
        parent: &ChainState,
        header: Header,
        transactions: Vec<Arc<CheckedTransaction>>,
    ) -> Made {
        let plain = transactions.iter().map(|t| t.transaction.clone()).collect();
        let block = Block {
            header: header.clone(),
            transactions: plain,
            certificate: None,
        };
        let bytes = block.to_bytes();
        let id = header.id();
        let checked = Arc::new(CheckedBlock {
            id,
            weight: Weight(transactions.iter().map(|t| t.weight.0).sum()),
            header: header.clone(),
            transactions,
            bytes: bytes.clone().into(),
            places: TransactionPlaces::default(),
        });
        let execution = Execution {
            genesis: Arc::clone(&self.genesis),
            base: parent.clone(),
            undos: Vec::new(),
            blocks: vec![Arc::clone(&checked)],
        };
        let mut states = execution.run().states;
        Made {
            id,
            header,
            checked,
            bytes,
            state: states
                .pop()
                .map_or_else(|| parent.clone(), |(state, _)| state),
        }
    }

    /// `count` empty blocks, one on the other.
    pub(crate) fn branch(&self, from: &ChainState, who: AccountId, count: usize) -> Vec<Made> {
        let mut made: Vec<Made> = Vec::new();
        for _ in 0..count {
            let parent = made.last().map_or(from, |last| &last.state);
            made.push(self.child(parent, who, &[]));
        }
        made
    }
}

/// Does the work that the header's own bits ask for.
pub(crate) fn seal(header: &mut Header) {
    let Seal::Work { bits, .. } = header.seal else {
        return;
    };
    let bytes = header.to_bytes();
    let target = bits.target().unwrap().to_be_bytes();
    let found = search(bytes.first_chunk().unwrap(), 0..1 << 24, &target).unwrap();
    if let Seal::Work { nonce, .. } = &mut header.seal {
        *nonce = found;
    }
}

/// Headers of empty blocks that follow on `parent`, one interval apart. `weights` says what each
/// claims of its parent; `salt` makes branches differ. Their states are nobody's: a block of such
/// a header is invalid when it is executed, and not before.
pub(crate) fn headers_on(
    genesis: &Arc<Genesis>,
    parent: &Header,
    weights: &[u32],
    salt: u8,
) -> Vec<Header> {
    let rules = HeaderRules::new(Arc::clone(genesis)).unwrap();
    let mut made: Vec<Header> = Vec::new();
    for weight in weights {
        let parent = made.last().unwrap_or(parent);
        let height = parent.height.next();
        let at = Rules::at(genesis, height);
        let mut header = Header {
            height,
            parent_id: parent.id(),
            time: Millis(parent.time.0 + u64::from(at.interval_ms)),
            tx_root: Block::tx_root(&[]),
            state_root: Hash([salt; 32]),
            history_root: Hash::ZERO,
            base_fee: next_base_fee(at, parent.base_fee, *weight),
            beneficiary: AccountId::ZERO,
            parent_weight: *weight,
            seal: Seal::Work {
                bits: rules.next_bits(&parent.into()),
                nonce: 0,
            },
        };
        seal(&mut header);
        made.push(header);
    }
    made
}
