//! The last question to a devnet: do all nodes have one chain, and is every payment that a node
//! accepted in it, or waiting in a mempool?

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{BlockId, Height, TxId};

use super::chain::Link;
use super::client::{Client, ClientError};

/// What one node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) tip: BlockId,
    pub(super) height: Height,
    /// The transactions of its best chain, with how often each stands there.
    pub(super) chain: BTreeMap<TxId, u32>,
    pub(super) mempool: BTreeSet<TxId>,
}

/// What the nodes have together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Finding {
    /// Whether all nodes have the same tip.
    pub(super) tips_agree: bool,
    /// Accepted payments in the chain of every node.
    pub(super) in_chain: usize,
    /// Accepted payments in no chain, but in some mempool.
    pub(super) waiting: usize,
    /// Accepted payments that are nowhere.
    pub(super) lost: Vec<TxId>,
    /// Transactions that stand in a chain more than once.
    pub(super) repeated: Vec<TxId>,
}

impl Finding {
    /// Whether nothing is wrong.
    pub(super) fn is_good(&self) -> bool {
        self.tips_agree && self.lost.is_empty() && self.repeated.is_empty()
    }
}

/// Judges what the nodes have by what they promised.
pub(super) fn judge(holdings: &[Holding], promised: &BTreeSet<TxId>) -> Finding {
    let tips: BTreeSet<BlockId> = holdings.iter().map(|holding| holding.tip).collect();
    let mut finding = Finding {
        tips_agree: tips.len() == 1,
        ..Finding::default()
    };
    for txid in promised {
        if holdings
            .iter()
            .all(|holding| holding.chain.contains_key(txid))
        {
            finding.in_chain += 1;
        } else if holdings
            .iter()
            .any(|holding| holding.mempool.contains(txid))
        {
            finding.waiting += 1;
        } else {
            finding.lost.push(*txid);
        }
    }
    let repeated: BTreeSet<TxId> = holdings
        .iter()
        .flat_map(|holding| &holding.chain)
        .filter(|(_, times)| **times > 1)
        .map(|(txid, _)| *txid)
        .collect();
    finding.repeated = repeated.into_iter().collect();
    finding
}

/// Everything a node has. The mempool is asked for first, so that a payment that moves into a
/// block meanwhile is seen in both and not in neither.
pub(super) fn holding(client: &mut Client, genesis: BlockId) -> Result<Holding, ClientError> {
    let mempool = client.mempool()?.into_iter().collect();
    let status = client.status()?;
    let mut chain = BTreeMap::new();
    let mut next = status.tip;
    while next != genesis {
        let Link { parent, txids, .. } = client.block(next)?;
        for txid in txids {
            *chain.entry(txid).or_default() += 1;
        }
        next = parent;
    }
    Ok(Holding {
        tip: status.tip,
        height: status.height,
        chain,
        mempool,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txid(number: u8) -> TxId {
        TxId([number; 32])
    }

    fn holding(tip: u8, chain: &[u8], mempool: &[u8]) -> Holding {
        let mut times = BTreeMap::new();
        for number in chain {
            *times.entry(txid(*number)).or_default() += 1;
        }
        Holding {
            tip: BlockId([tip; 32]),
            height: Height(1),
            chain: times,
            mempool: mempool.iter().map(|number| txid(*number)).collect(),
        }
    }

    fn judge_all(holdings: &[Holding], promised: &[u8]) -> Finding {
        judge(
            holdings,
            &promised.iter().map(|number| txid(*number)).collect(),
        )
    }

    #[test]
    fn payments_in_chain_or_mempool_are_kept_promises() {
        let finding = judge_all(
            &[holding(1, &[1, 2, 9], &[3]), holding(1, &[1, 2, 9], &[])],
            &[1, 2, 3],
        );
        assert!(finding.is_good());
        assert_eq!((finding.in_chain, finding.waiting), (2, 1));
    }

    #[test]
    fn a_payment_that_is_nowhere_is_lost() {
        let finding = judge_all(&[holding(1, &[1], &[]), holding(1, &[1], &[])], &[1, 4]);
        assert_eq!(finding.lost, [txid(4)]);
        assert!(!finding.is_good());
    }

    #[test]
    fn a_payment_that_one_chain_lacks_is_not_in_the_chain() {
        let finding = judge_all(&[holding(1, &[1], &[]), holding(2, &[], &[])], &[1]);
        assert!(!finding.tips_agree && !finding.is_good());
        assert_eq!(finding.lost, [txid(1)]);
    }

    #[test]
    fn a_payment_twice_in_a_chain_is_wrong() {
        let finding = judge_all(&[holding(1, &[1, 1], &[])], &[1]);
        assert_eq!(finding.repeated, [txid(1)]);
        assert!(!finding.is_good());
    }
}
