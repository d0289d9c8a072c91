//! Blocks between their arrival and their check: how they are put together, so that small blocks
//! do not pay the price of small batches of signatures and large ones do not wait for each other.

use std::collections::VecDeque;

use crate::p2p::ConnId;
use crate::types::BlockId;

/// How many checks are begun however little there is to check, so that two cores have work and
/// some at hand. What comes meanwhile makes larger ones.
const CHECKS_UNDER_WAY: usize = 3;
/// So many bytes of blocks are checked in one go: about 800 signatures. Batches of more gain
/// nothing, and what is urgent waits for the end of a check.
const CHECK_BYTES: usize = 128 << 10;

/// Blocks that came and wait for a check. Their number is bounded by that of the requests.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    waiting: VecDeque<(ConnId, BlockId, Vec<u8>)>,
    bytes: usize,
    /// How many checks are under way.
    checks: usize,
}

impl Arrived {
    /// A block came.
    pub(super) fn push(&mut self, from: ConnId, id: BlockId, bytes: Vec<u8>) {
        self.bytes += bytes.len();
        self.waiting.push_back((from, id, bytes));
    }

    /// The blocks of the next check, when it is time for one.
    pub(super) fn take(&mut self) -> Option<Vec<(ConnId, BlockId, Vec<u8>)>> {
        if self.waiting.is_empty() || (self.checks >= CHECKS_UNDER_WAY && self.bytes < CHECK_BYTES)
        {
            return None;
        }
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < CHECK_BYTES
            && let Some(next) = self.waiting.pop_front()
        {
            bytes += next.2.len();
            taken.push(next);
        }
        self.bytes -= bytes;
        self.checks += 1;
        Some(taken)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// A check ended.
    pub(super) fn checked(&mut self) {
        self.checks -= 1;
    }

    /// What waits, for the hash of the node's state.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let waiting = self.waiting.iter();
        waiting.map(|(from, id, _)| format!("block {id} of {from:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(taken: Option<Vec<(ConnId, BlockId, Vec<u8>)>>) -> Option<Vec<usize>> {
        taken.map(|taken| taken.iter().map(|(.., bytes)| bytes.len()).collect())
    }

    #[test]
    fn what_comes_while_checks_are_under_way_is_checked_together() {
        let mut arrived = Arrived::default();
        let came = |arrived: &mut Arrived, bytes: usize| {
            arrived.push(ConnId(1), BlockId::ZERO, vec![0; bytes]);
        };
        assert_eq!(sizes(arrived.take()), None);
        for _ in 0..CHECKS_UNDER_WAY {
            came(&mut arrived, 100);
            assert_eq!(sizes(arrived.take()), Some(vec![100]));
        }
        for _ in 0..3 {
            came(&mut arrived, 100);
            assert_eq!(sizes(arrived.take()), None);
        }
        assert_eq!(arrived.names().count(), 3);
        arrived.checked();
        assert_eq!(sizes(arrived.take()), Some(vec![100; 3]));
        assert_eq!(arrived.bytes, 0);
        // A large one waits for nobody, and takes along what came before it.
        came(&mut arrived, 1);
        came(&mut arrived, 2 * CHECK_BYTES);
        came(&mut arrived, CHECK_BYTES);
        assert_eq!(sizes(arrived.take()), Some(vec![1, 2 * CHECK_BYTES]));
        assert_eq!(sizes(arrived.take()), Some(vec![CHECK_BYTES]));
        assert_eq!(sizes(arrived.take()), None);
    }
}
