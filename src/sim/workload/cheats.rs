//! Payments that break a rule: what no node may take, be it asked ever so politely.

use std::collections::BTreeMap;
use std::fmt;

use crate::base::{Rng, Time};
use crate::node::{CallId, Question, Reply};
use crate::sim::{NodeIndex, World};
use crate::types::{Amount, Auth, Height, MAX_SUPPLY, Nonce, Op, Transaction, TxId};

use super::{ANSWER_WITHIN, Account, Sight};

/// The rule that a payment breaks. Each is sound but for it, and whoever does not look at it makes
/// a block of it that no other software takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cheat {
    /// A signature is not the account's.
    Forged,
    /// The next block is the first that it is not valid in any more.
    Late,
    /// It pays two new accounts, and for one of them.
    Short,
    /// It spends what nobody has.
    Overspent,
}

impl Cheat {
    pub(super) const ALL: [Self; 4] = [Self::Forged, Self::Late, Self::Short, Self::Overspent];

    pub(super) const fn mark(self) -> &'static str {
        match self {
            Self::Forged => "cheat: a forged signature",
            Self::Late => "cheat: too late",
            Self::Short => "cheat: an account not paid for",
            Self::Overspent => "cheat: more than there is",
        }
    }
}

impl fmt::Display for Cheat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mark())
    }
}

/// A payment that breaks a rule, and whom it was brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swindle {
    /// What is wrong with it.
    pub cheat: Cheat,
    /// Its id.
    pub txid: TxId,
    /// The node that was asked to take it.
    pub node: NodeIndex,
    /// When.
    pub at: Time,
}

/// Swindles, and which of them a node fell for.
#[derive(Debug, Default)]
pub(super) struct Swindles {
    calls: BTreeMap<CallId, Swindle>,
    fallen_for: Vec<Swindle>,
}

impl Swindles {
    /// Those that a node said it accepted.
    pub(super) fn fallen_for(&self) -> &[Swindle] {
        &self.fallen_for
    }

    /// Brings a payment that breaks a rule to the node that `sight` is through.
    pub(super) fn attempt(
        &mut self,
        account: &Account,
        sight: &Sight,
        rng: &mut Rng,
        world: &mut World,
    ) {
        let cheat = Cheat::ALL[rng.below(Cheat::ALL.len() as u64) as usize];
        let genesis = world.config().genesis.id();
        let account_fee = world.config().genesis.rules.account_fee;
        let mut pay = |amount: u64| Op::Transfer {
            to: Account::single(rng).id(),
            amount: Amount(amount),
        };
        let ops = match cheat {
            Cheat::Forged | Cheat::Late => vec![pay(1)],
            Cheat::Short => vec![pay(1), pay(1)],
            Cheat::Overspent => vec![pay(MAX_SUPPLY)],
        };
        let burned = super::base_part(sight.rate.saturating_mul(2), account.weight(&ops));
        let fee = match cheat {
            // Whatever the base fee is, less than both accounts together.
            Cheat::Short => (2 * account_fee).saturating_sub(1),
            _ => burned + account_fee,
        };
        let expiry = match cheat {
            Cheat::Late if sight.height == Height(0) => return,
            Cheat::Late => sight.height,
            _ => Height(0),
        };
        let (nonce, fee) = (Nonce(sight.nonce), Amount(fee));
        let mut transaction = account.sign(&genesis, nonce, fee, expiry, ops, rng);
        if cheat == Cheat::Forged {
            forge(&mut transaction);
        }
        let swindle = Swindle {
            cheat,
            txid: transaction.txid(&genesis),
            node: sight.node,
            at: world.now(),
        };
        world.mark(cheat.mark(), Some(sight.node));
        let bytes = crate::codec::Encode::to_bytes(&transaction);
        let call = world.call(sight.node, Question::SubmitTransaction(bytes));
        self.calls.insert(call, swindle);
    }

    /// Takes the answers that came.
    pub(super) fn collect(&mut self, world: &mut World) {
        let (now, mut fallen_for) = (world.now(), Vec::new());
        self.calls.retain(|call, swindle| {
            let reply = world.reply(*call);
            if let Some(Ok(Reply::Accepted { .. })) = reply {
                fallen_for.push(*swindle);
            }
            reply.is_none() && now.since(swindle.at) < ANSWER_WITHIN
        });
        self.fallen_for.extend(fallen_for);
    }
}

fn forge(transaction: &mut Transaction) {
    match &mut transaction.auth {
        Auth::Single { signature, .. } => signature.0[0] ^= 1,
        Auth::Multi { signatures, .. } => {
            if let Some(last) = signatures.last_mut() {
                last.0[0] ^= 1;
            }
        }
    }
}
