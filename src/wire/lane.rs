//! Lanes: what keeps a vote from waiting behind history.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a message waits. Each lane has one message under way at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// Greetings, pings, credit.
    Control = 0,
    /// New headers; later chunks and votes.
    Announcements = 1,
    /// Blocks near the tip.
    Bodies = 2,
    /// Transactions.
    Transactions = 3,
    /// Peers and their records.
    Discovery = 4,
    /// Old blocks and headers; later snapshots.
    History = 5,
}

/// How many lanes there are.
pub const LANES: usize = 6;

impl Lane {
    /// Every lane, the most urgent first.
    pub const ALL: [Self; LANES] = [
        Self::Control,
        Self::Announcements,
        Self::Bodies,
        Self::Transactions,
        Self::Discovery,
        Self::History,
    ];

    /// The lane of a byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// The lane's place in [`ALL`](Self::ALL).
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// How many bytes of messages may be under way before the receiver has dealt with some; the
    /// first two lanes, whose messages are small, have no such limit. It is the greatest message
    /// of the lane and some more, so that credit that is owed never keeps one from its end.
    #[must_use]
    pub const fn window(self) -> Option<u32> {
        match self {
            Self::Control | Self::Announcements => None,
            Self::Bodies | Self::History => Some(4 * 1024 * 1024 + 64 * 1024),
            Self::Transactions => Some(256 * 1024),
            Self::Discovery => Some(64 * 1024),
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Control => "control",
            Self::Announcements => "announcements",
            Self::Bodies => "bodies",
            Self::Transactions => "transactions",
            Self::Discovery => "discovery",
            Self::History => "history",
        })
    }
}
