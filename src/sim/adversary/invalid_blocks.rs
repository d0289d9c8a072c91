//! A miner that does real work on blocks that break a rule.

use std::collections::BTreeMap;

use crate::base::{Rng, Span};
use crate::codec::{Decode, Encode};
use crate::node::{CallError, CallId, ConnId, Question, Reply};
use crate::sim::workload::Account;
use crate::sim::{Behaviour, Fate, Hands, Letter};
use crate::types::{
    AccountId, Amount, Auth, Block, BlockId, Hash, Header, Height, Nonce, Op, Seal, Transaction,
};
use crate::wire::{Message, MessageKind};

use super::craft::{Greeted, block, is, read, seal, send, send_in};

/// How long it waits between two blocks.
const PAUSE: Span = Span::from_secs(7);
/// Blocks of its own that it remembers, to serve them.
const KEPT_MAX: usize = 16;

/// The rule that a block breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// The state root is not that of the state after it.
    StateRoot,
    /// A signature is wrong.
    Signature,
    /// A transaction spends what its account does not have.
    Overspending,
    /// The transactions weigh more than a block may.
    TooHeavy,
    /// The header's root is not that of the transactions.
    TxRoot,
    /// The block is good, and goes to half of the peers with another body.
    TwoBodies,
}

impl Flaw {
    /// Every flaw.
    pub const ALL: [Self; 6] = [
        Self::StateRoot,
        Self::Signature,
        Self::Overspending,
        Self::TooHeavy,
        Self::TxRoot,
        Self::TwoBodies,
    ];

    const fn mark(self) -> &'static str {
        match self {
            Self::StateRoot => "invalid block: state root",
            Self::Signature => "invalid block: signature",
            Self::Overspending => "invalid block: overspending",
            Self::TooHeavy => "invalid block: too heavy",
            Self::TxRoot => "invalid block: root of transactions",
            Self::TwoBodies => "invalid block: two bodies of one header",
        }
    }
}

/// Makes one block after the other, each with the next of its flaws.
#[derive(Clone, Debug)]
pub struct InvalidBlockMiner {
    flaws: Vec<Flaw>,
    made: usize,
    /// The call for a template, and what the block is to be.
    asked: Option<(CallId, Flaw)>,
    /// Bodies that its node does not have.
    blocks: BTreeMap<BlockId, Vec<u8>>,
    /// Its good blocks, which half of its peers get with another body.
    doubled: Vec<BlockId>,
    greeted: Greeted,
}

impl InvalidBlockMiner {
    /// A miner of blocks with these flaws in turn.
    #[must_use]
    pub fn of(flaws: Vec<Flaw>) -> Self {
        Self {
            flaws,
            made: 0,
            asked: None,
            blocks: BTreeMap::new(),
            doubled: Vec::new(),
            greeted: Greeted::default(),
        }
    }

    /// Makes the block of a template's parent that has this flaw, and tells of it.
    fn make(&mut self, mut header: Header, flaw: Flaw, hands: &mut Hands<'_>) {
        let transactions = match flaw {
            Flaw::StateRoot | Flaw::TxRoot | Flaw::TwoBodies => Vec::new(),
            Flaw::Signature => vec![forged(hands, 200)],
            Flaw::Overspending => vec![unfunded(hands)],
            Flaw::TooHeavy => too_many(hands),
        };
        let wtxids: Vec<_> = transactions.iter().map(Transaction::wtxid).collect();
        header.tx_root = match flaw {
            Flaw::TxRoot => Hash(hands.rng.bytes32()),
            _ => Block::tx_root(&wtxids),
        };
        // Without the rewards and the transactions the root can't be right: it is not even tried.
        header.state_root = Hash(hands.rng.bytes32());
        if !seal(&mut header) {
            return;
        }
        hands.mark(flaw.mark());
        if self.blocks.len() >= KEPT_MAX {
            self.blocks.pop_first();
        }
        self.blocks
            .insert(header.id(), block(&header, transactions));
        let message = Message::Announce {
            headers: vec![header],
        };
        for (conn, _) in self.greeted.open(hands) {
            send(hands, conn, &message);
        }
    }

    /// A good block, brought to its own node, which tells of it.
    fn make_good(&mut self, template: crate::node::WorkTemplate, hands: &mut Hands<'_>) {
        let mut header = template.header;
        if !seal(&mut header) {
            return;
        }
        let Seal::Work { nonce, .. } = header.seal else {
            return;
        };
        if self.doubled.len() >= KEPT_MAX {
            self.doubled.remove(0);
        }
        self.doubled.push(header.id());
        hands.call(Question::SubmitWork {
            template: template.id,
            nonce,
            time: None,
        });
    }

    /// Gives a block of its own to whoever asks, and has none of the others that are asked for
    /// with it.
    fn serve(&self, conn: ConnId, lane: u8, message: &Message, hands: &mut Hands<'_>) -> Fate {
        let Message::GetBlocks { request, ids } = message else {
            return Fate::Pass;
        };
        if !ids.iter().any(|id| self.blocks.contains_key(id)) {
            return Fate::Pass;
        }
        for id in ids {
            let request = *request;
            let message = match self.blocks.get(id) {
                Some(bytes) => Message::Block {
                    request,
                    block: bytes.clone(),
                },
                None => Message::NotFound {
                    request,
                    ids: vec![Hash(id.0)],
                },
            };
            send_in(hands, conn, lane, &message);
        }
        Fate::Drop
    }
}

impl Behaviour for InvalidBlockMiner {
    fn name(&self) -> &'static str {
        "invalid-blocks"
    }

    fn start(&mut self, hands: &mut Hands<'_>) {
        self.asked = None;
        hands.wake_at(hands.now + PAUSE);
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        if let Some(flaw) = self.flaws.get(self.made % self.flaws.len().max(1)) {
            let question = Question::Template {
                beneficiary: AccountId([0x66; 32]),
                after: None,
            };
            self.asked = Some((hands.call(question), *flaw));
            self.made += 1;
        }
        hands.wake_at(hands.now + PAUSE);
    }

    fn answered(&mut self, call: CallId, reply: &Result<Reply, CallError>, hands: &mut Hands<'_>) {
        let Some((_, flaw)) = self.asked.take_if(|(asked, _)| *asked == call) else {
            return;
        };
        let Ok(Reply::Template(template)) = reply else {
            return;
        };
        match flaw {
            Flaw::TwoBodies => self.make_good((**template).clone(), hands),
            _ => self.make(template.header.clone(), flaw, hands),
        }
    }

    fn incoming(&mut self, letter: &Letter<'_>, hands: &mut Hands<'_>) -> Fate {
        if !is(letter, MessageKind::GetBlocks) {
            return Fate::Pass;
        }
        match read(letter, hands) {
            Some(message) => self.serve(letter.conn, letter.lane, &message, hands),
            None => Fate::Pass,
        }
    }

    fn outgoing(&mut self, letter: &Letter<'_>, hands: &mut Hands<'_>) -> Fate {
        self.greeted.look_at(letter);
        if !is(letter, MessageKind::Block)
            || letter.peer.0.is_multiple_of(2)
            || self.doubled.is_empty()
        {
            return Fate::Pass;
        }
        let Some(Message::Block { request, block }) = read(letter, hands) else {
            return Fate::Pass;
        };
        let Ok(mut body) = Block::from_bytes(&block) else {
            return Fate::Pass;
        };
        if !self.doubled.contains(&body.header.id()) {
            return Fate::Pass;
        }
        body.transactions.push(forged(hands, 200));
        hands.mark(Flaw::TwoBodies.mark());
        let block = body.to_bytes();
        let message = Message::Block { request, block };
        send_in(hands, letter.conn, letter.lane, &message);
        Fate::Drop
    }
}

/// A transaction of nobody's, whose signature is wrong.
fn forged(hands: &mut Hands<'_>, data: usize) -> Transaction {
    let mut forged = signed(hands, vec![Op::Data(vec![0x2a; data])]);
    if let Auth::Single { signature, .. } = &mut forged.auth {
        signature.0[0] ^= 1;
    }
    forged
}

/// A transaction that is sound by itself, of an account that has nothing.
fn unfunded(hands: &mut Hands<'_>) -> Transaction {
    let pay = Op::Transfer {
        to: AccountId([7; 32]),
        amount: Amount(1_000_000),
    };
    signed(hands, vec![pay])
}

fn signed(hands: &mut Hands<'_>, ops: Vec<Op>) -> Transaction {
    let account = Account::single(hands.rng);
    let (fee, forever) = (Amount(1_000_000), Height(0));
    let id = hands.genesis.id();
    let mut rng: Rng = hands.rng.fork("signers");
    account.sign(&id, Nonce(0), fee, forever, ops, &mut rng)
}

/// Transactions that weigh more together than a block may, and are few in bytes: one that is
/// repeated, because weight is looked at first.
fn too_many(hands: &mut Hands<'_>) -> Vec<Transaction> {
    let op = Op::Data(vec![0x2a; 1_000]);
    let one = signed(hands, vec![op; 8]);
    let limit = u64::from(hands.genesis.rules.max_block_weight);
    let count = limit / one.weight().0 + 1;
    vec![one; count as usize]
}
