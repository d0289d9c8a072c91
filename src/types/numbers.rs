//! Numbers with a meaning.

use std::fmt;

use serde::{Deserialize, Serialize};

/// No chain ever issues more base units than this.
pub const MAX_SUPPLY: u64 = (1 << 63) - 1;

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($type:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(Serialize, Deserialize)]
        pub struct $name(pub $type);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

numbers! {
    /// An amount of money in base units.
    Amount(u64);
    /// A block's distance from the genesis block.
    Height(u64);
    /// What a transaction or block costs the network: its bytes and 36 for each signature.
    Weight(u64);
    /// Milliseconds since 1970, as headers carry them.
    Millis(u64);
    /// How many transactions an account has made.
    Nonce(u64);
}

impl Height {
    /// The height of the genesis block.
    pub const GENESIS: Self = Self(0);

    /// The height of a child.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Amount {
    /// The sum, unless it overflows.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, unless it is negative.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

/// The consensus engine of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineKind {
    /// Proof of work.
    Work = 1,
    /// Proof of stake.
    Stake = 2,
}

impl EngineKind {
    /// The byte that names the engine in headers, genesis and proofs.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// The engine of a byte.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Work),
            2 => Some(Self::Stake),
            _ => None,
        }
    }
}
