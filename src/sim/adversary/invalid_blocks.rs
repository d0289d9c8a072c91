//! A miner that does real work on blocks that break a rule.

mod forge;

use std::collections::BTreeMap;

use crate::base::Rng;
use crate::codec::{Decode, Encode};
use crate::node::{CallError, CallId, ConnId, Question, Reply};
use crate::sim::workload::Account;
use crate::sim::workload::arrivals::Arrivals;
use crate::sim::{Behaviour, Fate, Hands, Letter};
use crate::types::{AccountId, Amount, Block, BlockId, Hash, Header, Height, Nonce, Op, Seal};
use crate::wire::{Message, MessageKind};

use super::craft::{Greeted, block, is, read, seal, send, send_in};
use forge::Ground;

/// What it has, where nobody says otherwise: enough for a block of the heaviest transactions.
const BALANCE: Amount = Amount(1_000_000_000);
/// Who it mines for.
const BENEFICIARY: AccountId = AccountId([0x66; 32]);
/// Blocks of its own that it remembers, to serve them.
const KEPT_MAX: usize = 16;
/// Its power, where nobody says otherwise: a twelfth of what the chain's miners hash, as that of
/// other adversaries that mine in a swarm.
const POWER: (u64, u64) = (1, 12);

/// The rule that a block breaks. But for it the block is sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// The id is above the target.
    Work,
    /// The target is easier than the chain ever allows.
    EasyBits,
    /// The target is not what the target rule gives.
    Bits,
    /// The height leaves one out.
    Height,
    /// The time is a step after the parent's, less a millisecond.
    EarlyTime,
    /// The time is ahead of all clocks by more than nodes bear: they hold the block back, and
    /// blame nobody.
    LateTime,
    /// The base fee is not what the fee rule gives.
    BaseFee,
    /// The weight of the parent is not what it weighs.
    ParentWeight,
    /// The root over all ancestors is none of them.
    HistoryRoot,
    /// The state root is that of nothing.
    StateRoot,
    /// The state root is that of a reward which is one unit too high.
    Reward,
    /// The header's root is not that of the transactions.
    TxRoot,
    /// The block is good, and goes to half of the peers with another body.
    TwoBodies,
    /// The transactions weigh more than a block may.
    TooHeavy,
    /// A transaction has more bytes than one may.
    LongTransaction,
    /// A signature is wrong.
    Signature,
    /// A transaction is that of an account which does not exist.
    UnknownSender,
    /// A transaction leaves out a nonce.
    Nonce,
    /// The same transaction is in it twice.
    Twice,
    /// A transaction has expired with the parent.
    Expired,
    /// A transaction spends more than its account has.
    Overspending,
    /// A transaction pays less than the base fee.
    Fee,
    /// A transaction creates two accounts and pays for one.
    AccountFee,
}

impl Flaw {
    /// Every flaw.
    pub const ALL: [Self; 23] = [
        Self::Work,
        Self::EasyBits,
        Self::Bits,
        Self::Height,
        Self::EarlyTime,
        Self::LateTime,
        Self::BaseFee,
        Self::ParentWeight,
        Self::HistoryRoot,
        Self::StateRoot,
        Self::Reward,
        Self::TxRoot,
        Self::TwoBodies,
        Self::TooHeavy,
        Self::LongTransaction,
        Self::Signature,
        Self::UnknownSender,
        Self::Nonce,
        Self::Twice,
        Self::Expired,
        Self::Overspending,
        Self::Fee,
        Self::AccountFee,
    ];

    /// The mark of a block that has it.
    #[must_use]
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Work => "invalid block: work not done",
            Self::EasyBits => "invalid block: target above the limit",
            Self::Bits => "invalid block: another target",
            Self::Height => "invalid block: height",
            Self::EarlyTime => "invalid block: too early",
            Self::LateTime => "invalid block: ahead of the clock",
            Self::BaseFee => "invalid block: base fee",
            Self::ParentWeight => "invalid block: weight of the parent",
            Self::HistoryRoot => "invalid block: root of the history",
            Self::StateRoot => "invalid block: state root",
            Self::Reward => "invalid block: reward",
            Self::TxRoot => "invalid block: root of transactions",
            Self::TwoBodies => "invalid block: two bodies of one header",
            Self::TooHeavy => "invalid block: too heavy",
            Self::LongTransaction => "invalid block: long transaction",
            Self::Signature => "invalid block: signature",
            Self::UnknownSender => "invalid block: unknown sender",
            Self::Nonce => "invalid block: nonce",
            Self::Twice => "invalid block: a transaction twice",
            Self::Expired => "invalid block: expired",
            Self::Overspending => "invalid block: overspending",
            Self::Fee => "invalid block: fee",
            Self::AccountFee => "invalid block: an account not paid for",
        }
    }
}

/// Makes one block after the other, each with the next of its flaws, as often as a miner of its
/// power finds one. It takes the template of that moment: how long a miner looks for a nonce says
/// nothing about how long it goes on looking, so that it does not matter what it looked at before.
#[derive(Clone, Debug)]
pub struct InvalidBlockMiner {
    flaws: Vec<Flaw>,
    /// The account that its blocks' transactions are of.
    purse: Account,
    /// Which part of what the chain's miners hash it has: so many of so many.
    power: (u64, u64),
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
    /// A miner of blocks with these flaws in turn, whose purse is drawn.
    #[must_use]
    pub fn of(flaws: Vec<Flaw>, rng: &Rng) -> Self {
        Self {
            flaws,
            purse: Account::single(&mut rng.fork("purse of invalid blocks")),
            power: POWER,
            made: 0,
            asked: None,
            blocks: BTreeMap::new(),
            doubled: Vec::new(),
            greeted: Greeted::default(),
        }
    }

    /// A miner of all flaws in an order that is drawn.
    #[must_use]
    pub fn drawn(rng: &Rng) -> Self {
        let mut flaws = Flaw::ALL.to_vec();
        rng.fork("flaws").shuffle(&mut flaws);
        Self::of(flaws, rng)
    }

    /// The same with so many percent of what the chain's miners hash.
    #[must_use]
    pub const fn with_percent(mut self, percent: u64) -> Self {
        self.power = (percent, 100);
        self
    }

    /// What the genesis must give it.
    #[must_use]
    pub const fn allocation(&self) -> (AccountId, Amount) {
        (self.purse.id(), BALANCE)
    }

    /// Is woken when it finds its next block: as often as the chain's miners, who find one in an
    /// interval, by its part of their power.
    fn wake_when_found(&self, hands: &mut Hands<'_>) {
        let (part, whole) = self.power;
        let interval = u64::from(hands.genesis.rules.interval_ms) * whole;
        let found = Arrivals::at_rate((1_000 * part) as f64 / interval as f64);
        let gap = found.gap(hands.rng);
        hands.wake_at(hands.now + gap);
    }

    /// Makes the block of a template's parent that has this flaw, and tells of it.
    fn make(&mut self, header: Header, flaw: Flaw, hands: &mut Hands<'_>) {
        let tip = hands.published.filter(|tip| tip.tip == header.parent_id);
        let Some(parent) = tip else {
            return;
        };
        let ground = Ground {
            genesis: hands.genesis,
            parent,
            header,
            purse: &self.purse,
            now: hands.now,
            rng: hands.rng,
        };
        let Some((header, transactions)) = ground.forge(flaw) else {
            return;
        };
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
        self.wake_when_found(hands);
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        if let Some(flaw) = self.flaws.get(self.made % self.flaws.len().max(1)) {
            let question = Question::Template {
                beneficiary: BENEFICIARY,
                after: None,
            };
            self.asked = Some((hands.call(question), *flaw));
            self.made += 1;
        }
        self.wake_when_found(hands);
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
        // Of nobody, as whoever looks at it would see; but it is not what the header is of.
        let (id, nobody) = (hands.genesis.id(), Account::single(hands.rng));
        let ops = vec![Op::Data(vec![0x2a; 200])];
        let other = nobody.sign(&id, Nonce(0), Amount(0), Height(0), ops, hands.rng);
        body.transactions.push(other);
        hands.mark(Flaw::TwoBodies.mark());
        let block = body.to_bytes();
        let message = Message::Block { request, block };
        send_in(hands, letter.conn, letter.lane, &message);
        Fate::Drop
    }
}
