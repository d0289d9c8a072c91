//! Blocks that are sound but for one rule.
//!
//! Whatever else a node checks of such a block is right, its state root too: it is that of a node
//! which does not know the rule. So whoever skips the check takes the block.

use std::sync::Arc;

use crate::base::{Rng, Time};
use crate::chain::ledger::BlockContext;
use crate::consensus::{meets_target, next_base_fee};
use crate::node::Published;
use crate::sim::adversary::craft::seal;
use crate::sim::workload::Account;
use crate::types::state::AccountRecord;
use crate::types::{
    AccountId, Amount, Auth, Block, CompactBits, EngineRules, Genesis, Hash, Header, Height,
    Millis, Nonce, Op, Reward, Rules, Seal, Transaction,
};

use super::Flaw;

/// Bits above every limit: no chain may have so easy a target.
const TOO_EASY: CompactBits = CompactBits(0x2100_ffff);
/// Data ops of a transaction of a heavy block, which is as large as one may be, and of one that
/// has more bytes than any may.
const HEAVY_OPS: usize = 15;
const LONG_OPS: usize = 17;
/// The bytes that a transaction anchors which does nothing else.
const NOTE_BYTES: usize = 200;

/// What there is to build on.
pub(super) struct Ground<'a> {
    pub(super) genesis: &'a Arc<Genesis>,
    /// The parent, and the state after it.
    pub(super) parent: &'a Published,
    /// The header of a template on this parent.
    pub(super) header: Header,
    /// An account that has money.
    pub(super) purse: &'a Account,
    pub(super) rng: &'a mut Rng,
    pub(super) now: Time,
}

/// What a block has, and what a node that does not know the rule makes of it.
struct Body {
    transactions: Vec<Transaction>,
    /// What such a node executes.
    executed: Vec<Transaction>,
    /// By which rules.
    rules: Rules,
    /// At which base fee.
    base_fee: u64,
}

impl Ground<'_> {
    /// Makes a block that has this flaw, and does its work; none where this chain can have no such
    /// block now, or the purse is empty.
    pub(super) fn forge(mut self, flaw: Flaw) -> Option<(Header, Vec<Transaction>)> {
        self.spoil(flaw)?;
        let body = self.body(flaw)?;
        let context = BlockContext {
            height: self.parent.header.height.next(),
            base_fee: body.base_fee,
            beneficiary: self.header.beneficiary,
        };
        let before = self.parent.state.ledger();
        let executed = before.execute(&body.rules, &context, &body.executed);
        let (after, _) = executed.ok()?;
        let wtxids: Vec<_> = body.transactions.iter().map(Transaction::wtxid).collect();
        self.header.state_root = after.root();
        self.header.tx_root = Block::tx_root(&wtxids);
        match flaw {
            Flaw::StateRoot => self.header.state_root = Hash(self.rng.bytes32()),
            Flaw::TxRoot => self.header.tx_root = Hash(self.rng.bytes32()),
            _ => {}
        }
        let is_done = match flaw {
            Flaw::Work => fall_short(&mut self.header),
            _ => seal(&mut self.header),
        };
        is_done.then_some((self.header, body.transactions))
    }

    fn rules(&self) -> Rules {
        *Rules::at(self.genesis, self.header.height)
    }

    /// What is wrong with the header itself.
    fn spoil(&mut self, flaw: Flaw) -> Option<()> {
        let (rules, parent) = (self.rules(), &self.parent.header);
        let header = &mut self.header;
        match flaw {
            Flaw::Height => header.height = header.height.next(),
            Flaw::EarlyTime => header.time = Millis(parent.time.0 + rules.step_ms() - 1),
            Flaw::LateTime => {
                let ahead = rules.future_limit_ms() + u64::from(rules.interval_ms);
                header.time = Millis(self.now.as_millis() + ahead);
            }
            Flaw::Bits => self.change_bits()?,
            Flaw::EasyBits => self.set_bits(TOO_EASY),
            Flaw::BaseFee => header.base_fee += 1,
            Flaw::ParentWeight => {
                let weight = &mut header.parent_weight;
                *weight = weight.checked_sub(1).unwrap_or(rules.max_block_weight);
                header.base_fee = next_base_fee(&rules, parent.base_fee, *weight);
            }
            Flaw::HistoryRoot => header.history_root = Hash(self.rng.bytes32()),
            _ => {}
        }
        Some(())
    }

    /// Halves the work, where the limit leaves room for that, and doubles it where it does not.
    fn change_bits(&mut self) -> Option<()> {
        let EngineRules::Work { pow_limit, .. } = self.genesis.rules.engine else {
            return None;
        };
        let Seal::Work { bits, .. } = self.header.seal else {
            return None;
        };
        let target = bits.target()?;
        let easier = target.shift_left(1);
        let is_allowed = easier > target && easier <= pow_limit.target()?;
        let other = if is_allowed {
            easier
        } else {
            target.shift_right(1)
        };
        self.set_bits(CompactBits::from_target(other));
        Some(())
    }

    const fn set_bits(&mut self, other: CompactBits) {
        if let Seal::Work { bits, .. } = &mut self.header.seal {
            *bits = other;
        }
    }

    /// What the block has beside its header.
    fn body(&mut self, flaw: Flaw) -> Option<Body> {
        match flaw {
            Flaw::Reward => {
                let mut body = self.sound(Vec::new());
                let initial = body.rules.reward.at(self.header.height) + 1;
                body.rules.reward = Reward::Constant { initial };
                Some(body)
            }
            Flaw::Signature | Flaw::TxRoot => {
                let mut one = self.note(0, Height(0))?;
                if let Auth::Single { signature, .. } = &mut one.auth
                    && flaw == Flaw::Signature
                {
                    signature.0[0] ^= 1;
                }
                Some(self.sound(vec![one]))
            }
            Flaw::UnknownSender => self.of_nobody(),
            Flaw::Nonce | Flaw::Twice | Flaw::Expired => self.untimely(flaw),
            Flaw::Overspending => self.overspent(),
            Flaw::Fee | Flaw::AccountFee => self.underpaid(flaw),
            Flaw::TooHeavy | Flaw::LongTransaction => self.oversized(flaw),
            _ => Some(self.sound(Vec::new())),
        }
    }

    /// A body of which every node executes the same.
    fn sound(&self, transactions: Vec<Transaction>) -> Body {
        Body {
            executed: transactions.clone(),
            transactions,
            rules: self.rules(),
            base_fee: self.header.base_fee,
        }
    }

    fn record(&self) -> Option<AccountRecord> {
        self.parent.state.account(&self.purse.id()).ok()?
    }

    /// What a transaction of these operations has to pay that creates so many accounts.
    fn price(&self, ops: &[Op], created: u64) -> Option<u64> {
        let weight = u128::from(self.purse.weight(ops).0);
        let burned = (u128::from(self.header.base_fee) * weight).div_ceil(1_000);
        let accounts = self.rules().account_fee.checked_mul(created)?;
        u64::try_from(burned).ok()?.checked_add(accounts)
    }

    /// A transaction of the purse, so many after its next.
    fn sign(&mut self, ahead: u64, fee: u64, expiry: Height, ops: Vec<Op>) -> Option<Transaction> {
        let nonce = Nonce(self.record()?.nonce.0 + ahead);
        let id = self.genesis.id();
        let signed = self
            .purse
            .sign(&id, nonce, Amount(fee), expiry, ops, self.rng);
        Some(signed)
    }

    /// A sound transaction that anchors bytes.
    fn note(&mut self, ahead: u64, expiry: Height) -> Option<Transaction> {
        let ops = note();
        let fee = self.price(&ops, 0)?;
        self.sign(ahead, fee, expiry, ops)
    }

    /// A transaction of an account that does not exist. It could not pay either, so that a node
    /// that skips the check can do no better than pass it over.
    fn of_nobody(&mut self) -> Option<Body> {
        let (nobody, fee) = (Account::single(self.rng), self.price(&note(), 0)?);
        let (id, forever) = (self.genesis.id(), Height(0));
        let one = nobody.sign(&id, Nonce(0), Amount(fee), forever, note(), self.rng);
        let mut body = self.sound(vec![one]);
        body.executed.clear();
        Some(body)
    }

    /// A transaction that leaves out a nonce, comes twice, or is too late. Without the check it is
    /// executed as if it were its account's next.
    fn untimely(&mut self, flaw: Flaw) -> Option<Body> {
        let forever = Height(0);
        let due = self.note(0, forever)?;
        let last = self.parent.header.height;
        let (transactions, executed) = match flaw {
            Flaw::Nonce => (vec![self.note(1, forever)?], vec![due]),
            Flaw::Twice => {
                let again = self.note(1, forever)?;
                (vec![due.clone(), due.clone()], vec![due, again])
            }
            // At height 0 it would never expire.
            _ if last == forever => return None,
            _ => (vec![self.note(0, last)?], vec![due]),
        };
        let mut body = self.sound(transactions);
        body.executed = executed;
        Some(body)
    }

    /// A payment of all there is with a fee on top. Money can't be made: without the check no more
    /// is moved than there is.
    fn overspent(&mut self) -> Option<Body> {
        let (to, balance) = (Account::single(self.rng).id(), self.record()?.balance.0);
        let fee = self.price(&[transfer(to, balance)], 1)?;
        let rest = balance.checked_sub(fee)?;
        let too_much = self.sign(0, fee, Height(0), vec![transfer(to, balance)])?;
        let all = self.sign(0, fee, Height(0), vec![transfer(to, rest)])?;
        let mut body = self.sound(vec![too_much]);
        body.executed = vec![all];
        Some(body)
    }

    /// A fee that is one unit too low, or that pays for one of two new accounts. Without the check
    /// all of it is burned, which a base fee brings about that asks for no less.
    fn underpaid(&mut self, flaw: Flaw) -> Option<Body> {
        let mut somebody = || Account::single(self.rng).id();
        let ops = match flaw {
            Flaw::AccountFee => vec![transfer(somebody(), 1), transfer(somebody(), 1)],
            _ => note(),
        };
        let fee = match flaw {
            Flaw::AccountFee if self.rules().account_fee > 0 => self.price(&ops, 1)?,
            Flaw::AccountFee => return None,
            _ => self.price(&ops, 0)?.checked_sub(1)?,
        };
        let weight = u128::from(self.purse.weight(&ops).0);
        let one = self.sign(0, fee, Height(0), ops)?;
        let mut body = self.sound(vec![one]);
        body.base_fee = u64::try_from(u128::from(fee) * 1_000 / weight).ok()?;
        body.rules.account_fee = 0;
        Some(body)
    }

    /// Transactions that weigh more together than a block may, or one that has more bytes than
    /// any may.
    fn oversized(&mut self, flaw: Flaw) -> Option<Body> {
        let rules = self.rules();
        let op = Op::Data(vec![0x2a; usize::from(rules.max_data)]);
        let (ops, count) = match flaw {
            Flaw::TooHeavy => {
                let ops = vec![op; HEAVY_OPS.min(usize::from(rules.max_ops))];
                let weight = self.purse.weight(&ops).0;
                (ops, u64::from(rules.max_block_weight) / weight + 1)
            }
            _ => (vec![op; LONG_OPS], 1),
        };
        let fee = self.price(&ops, 0)?;
        let mut transactions = Vec::new();
        for ahead in 0..count {
            transactions.push(self.sign(ahead, fee, Height(0), ops.clone())?);
        }
        let mut body = self.sound(transactions);
        body.rules.max_block_weight = u32::MAX;
        Some(body)
    }
}

fn note() -> Vec<Op> {
    vec![Op::Data(vec![0x2a; NOTE_BYTES])]
}

const fn transfer(to: AccountId, amount: u64) -> Op {
    let amount = Amount(amount);
    Op::Transfer { to, amount }
}

/// Gives a header a nonce that does not do its work.
fn fall_short(header: &mut Header) -> bool {
    let Seal::Work { bits, .. } = header.seal else {
        return false;
    };
    let Some(target) = bits.target() else {
        return false;
    };
    while meets_target(&header.id(), target) {
        if let Seal::Work { nonce, .. } = &mut header.seal {
            *nonce += 1;
        }
    }
    true
}
