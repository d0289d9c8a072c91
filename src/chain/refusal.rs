//! Why a header has no place in the chain.

use std::fmt;

use crate::base::Time;
use crate::consensus::HeaderFault;
use crate::types::BlockId;

/// Why a header can't be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderRefusal {
    /// Its parent is not known.
    UnknownParent(BlockId),
    /// Its parent is an old block whose record can't be read: blame the disk.
    UnreadableParent(BlockId),
    /// It, or an ancestor, is invalid.
    InvalidAncestor(BlockId),
    /// It breaks a rule.
    Fault(HeaderFault),
    /// It is too far ahead of this node's clock, which may be wrong: hold it, blame nobody.
    Held {
        /// When it may be looked at again.
        until: Time,
    },
}

impl fmt::Display for HeaderRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownParent(id) => write!(f, "its parent {id} is not known"),
            Self::UnreadableParent(id) => write!(f, "the record of its parent {id} is damaged"),
            Self::InvalidAncestor(id) => write!(f, "its ancestor {id} is invalid"),
            Self::Fault(fault) => write!(f, "{fault}"),
            Self::Held { until } => {
                write!(f, "it is ahead of the clock until {}", until.as_millis())
            }
        }
    }
}

impl std::error::Error for HeaderRefusal {}
