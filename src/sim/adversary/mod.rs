//! Machines that do not keep to the rules, as named types.
//!
//! *Owns* what each of them does besides what its production node does. *Invariants*: an adversary
//! has no more than an honest node of its own, its links, its money, and work that is charged as
//! time: it has a block when a miner of its power would have found one, though looking for the
//! nonce takes no virtual time then. What it draws comes from its own [`Rng`], so that the same
//! seed gives the same attack. *Never* reaches into another machine.
//!
//! What each does, and what must hold beside it, is in docs/simulator.md, "Adversaries"; `tests`
//! has a test of each.

mod craft;
mod garbage;
mod invalid_blocks;
mod low_work;
mod selfish;
mod silent;
mod time_twister;
mod transaction_flood;
mod two_faced;
mod withholding;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::Rng;
use crate::types::{AccountId, Amount};

use super::Behaviour;

pub use garbage::GarbageSender;
pub use invalid_blocks::{Flaw, InvalidBlockMiner};
pub use low_work::LowWorkHeaderFlood;
pub use selfish::SelfishMiner;
pub use silent::Silent;
pub use time_twister::{TimeStrategy, TimeTwister};
pub use transaction_flood::TransactionFlood;
pub use two_faced::TwoFacedHeight;
pub use withholding::WithholdingRelay;

/// The kinds of adversaries, by the names that scenario files use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum AdversaryKind {
    /// [`Silent`].
    Silent,
    /// [`GarbageSender`].
    GarbageSender,
    /// [`InvalidBlockMiner`].
    InvalidBlockMiner,
    /// [`SelfishMiner`].
    SelfishMiner,
    /// [`WithholdingRelay`].
    WithholdingRelay,
    /// [`LowWorkHeaderFlood`].
    LowWorkHeaderFlood,
    /// [`TransactionFlood`].
    TransactionFlood,
    /// [`TwoFacedHeight`].
    TwoFacedHeight,
    /// [`TimeTwister`].
    TimeTwister,
}

/// A text is not the name of an adversary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAdversary(pub String);

impl fmt::Display for UnknownAdversary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no adversary \"{}\"; there are", self.0)?;
        for (place, kind) in AdversaryKind::ALL.iter().enumerate() {
            write!(f, "{} {kind}", if place == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownAdversary {}

impl AdversaryKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Silent,
        Self::GarbageSender,
        Self::InvalidBlockMiner,
        Self::SelfishMiner,
        Self::WithholdingRelay,
        Self::LowWorkHeaderFlood,
        Self::TransactionFlood,
        Self::TwoFacedHeight,
        Self::TimeTwister,
    ];

    /// Its name in scenario files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::GarbageSender => "garbage",
            Self::InvalidBlockMiner => "invalid-blocks",
            Self::SelfishMiner => "selfish",
            Self::WithholdingRelay => "withholding",
            Self::LowWorkHeaderFlood => "low-work",
            Self::TransactionFlood => "flood",
            Self::TwoFacedHeight => "two-faced",
            Self::TimeTwister => "time-twister",
        }
    }

    /// Whether its node has to mine for it to do anything: what it withholds is its own.
    #[must_use]
    pub const fn needs_mining(self) -> bool {
        matches!(self, Self::SelfishMiner)
    }

    /// Whether there is a power that it works with.
    #[must_use]
    pub const fn has_power(self) -> bool {
        matches!(
            self,
            Self::InvalidBlockMiner
                | Self::SelfishMiner
                | Self::LowWorkHeaderFlood
                | Self::TimeTwister
        )
    }

    /// What the genesis must give it, where it needs money: the account that a
    /// [`behaviour`] of the same stream spends from.
    #[must_use]
    pub fn allocation(self, rng: &Rng) -> Option<(AccountId, Amount)> {
        match self {
            Self::TransactionFlood => Some(TransactionFlood::drawn(rng).allocation()),
            Self::InvalidBlockMiner => Some(InvalidBlockMiner::drawn(rng).allocation()),
            _ => None,
        }
    }
}

/// An adversary of this kind, whose choices come from `rng`, and whose power is so many percent of
/// what the chain's miners hash, where it is given and the kind has one. That of a selfish miner is
/// its node's.
#[must_use]
pub fn behaviour(kind: AdversaryKind, percent: Option<u64>, rng: &Rng) -> Box<dyn Behaviour> {
    match kind {
        AdversaryKind::Silent => Box::new(Silent),
        AdversaryKind::GarbageSender => Box::new(GarbageSender::new()),
        AdversaryKind::InvalidBlockMiner => {
            let miner = InvalidBlockMiner::drawn(rng);
            Box::new(match percent {
                Some(percent) => miner.with_percent(percent),
                None => miner,
            })
        }
        AdversaryKind::SelfishMiner => Box::new(SelfishMiner::new()),
        AdversaryKind::WithholdingRelay => Box::new(WithholdingRelay::new()),
        AdversaryKind::LowWorkHeaderFlood => {
            let percent = percent.unwrap_or(LowWorkHeaderFlood::PERCENT);
            Box::new(LowWorkHeaderFlood::new(percent))
        }
        AdversaryKind::TransactionFlood => Box::new(TransactionFlood::drawn(rng)),
        AdversaryKind::TwoFacedHeight => Box::new(TwoFacedHeight::new()),
        AdversaryKind::TimeTwister => {
            let place = rng
                .fork("time strategy")
                .below(TimeStrategy::ALL.len() as u64);
            let strategy = TimeStrategy::ALL[place as usize];
            let percent = percent.unwrap_or(TimeTwister::PERCENT);
            Box::new(TimeTwister::new(strategy, percent))
        }
    }
}

impl fmt::Display for AdversaryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AdversaryKind {
    type Err = UnknownAdversary;

    fn from_str(text: &str) -> Result<Self, UnknownAdversary> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == text);
        kind.ok_or_else(|| UnknownAdversary(text.to_owned()))
    }
}

impl From<AdversaryKind> for &'static str {
    fn from(kind: AdversaryKind) -> Self {
        kind.name()
    }
}

impl TryFrom<String> for AdversaryKind {
    type Error = UnknownAdversary;

    fn try_from(text: String) -> Result<Self, UnknownAdversary> {
        text.parse()
    }
}

#[cfg(test)]
mod tests;
