//! Payments that must be mined: one at each node of the core when all is well, which pays more than
//! anybody else.

use std::collections::BTreeMap;

use crate::base::Rng;
use crate::codec::Encode;
use crate::node::{CallId, Question, Reply, TransactionStatus};
use crate::sim::check::{Checker, Violation};
use crate::sim::workload::Account;
use crate::sim::{NodeIndex, World};
use crate::types::{AccountId, Amount, GenesisId, Height, Nonce, Op, TxId};

/// What each payer has in the genesis, and which part of it is the fee: more than whatever else is
/// paid by accounts of a swarm.
const BALANCE: u64 = 10_000_000_000;
const FEE: u64 = BALANCE / 2;

/// The payers, one for each node.
pub(super) struct Probes {
    payers: Vec<Account>,
    /// What was paid at which node, and whether that said that it accepted it.
    sent: BTreeMap<NodeIndex, Probe>,
}

/// A payment at one node.
struct Probe {
    txid: TxId,
    bytes: Vec<u8>,
    call: Option<CallId>,
    is_accepted: bool,
}

impl Probes {
    /// Payers for so many nodes, by a stream of their own: nothing else that is drawn is another
    /// for them.
    pub(super) fn new(nodes: usize, rng: &Rng) -> Self {
        let mut rng = rng.fork("probes");
        Self {
            payers: (0..nodes).map(|_| Account::single(&mut rng)).collect(),
            sent: BTreeMap::new(),
        }
    }

    /// What the genesis gives them.
    pub(super) fn allocations(&self) -> impl Iterator<Item = (AccountId, Amount)> + '_ {
        self.payers
            .iter()
            .map(|payer| (payer.id(), Amount(BALANCE)))
    }

    /// Hands each of these nodes a payment, again where it was not taken.
    pub(super) fn send(&mut self, world: &mut World, core: &[NodeIndex], genesis: &GenesisId) {
        for node in core {
            let Some(payer) = self.payers.get(node.0) else {
                continue;
            };
            let probe = self
                .sent
                .entry(*node)
                .or_insert_with(|| Probe::new(payer, genesis));
            if let Some(reply) = probe.call.and_then(|call| world.reply(call)) {
                probe.call = None;
                probe.is_accepted |= matches!(reply, Ok(Reply::Accepted { .. }));
            }
            if !probe.is_accepted && probe.call.is_none() {
                let question = Question::SubmitTransaction(probe.bytes.clone());
                probe.call = Some(world.call(*node, question));
            }
        }
    }

    /// Whether each of the core has all payments of the core in its chain.
    pub(super) fn are_mined(&self, world: &World, core: &[NodeIndex]) -> bool {
        self.missing(world, core).is_none()
    }

    /// A payment that is not in the chain of a node of the core.
    pub(super) fn violation(&self, world: &World, core: &[NodeIndex]) -> Option<Violation> {
        let (node, at, probe) = self.missing(world, core)?;
        let said = if probe.is_accepted {
            "accepted"
        } else {
            "did not accept"
        };
        let status = world.node(at).map(|it| it.transaction_status(&probe.txid));
        Some(Violation {
            checker: Checker::Liveness,
            at: world.now(),
            node: Some(node),
            what: format!(
                "transaction {}, which it {said} when all was well and which pays more than any \
                 other, is not in the chain of node {}: {status:?}",
                probe.txid, at.0
            ),
        })
    }

    fn missing(&self, world: &World, core: &[NodeIndex]) -> Option<(NodeIndex, NodeIndex, &Probe)> {
        let sent = self.sent.iter();
        let pairs = sent.flat_map(|(node, probe)| core.iter().map(move |at| (*node, *at, probe)));
        let mut missing = pairs.filter(|(_, at, probe)| {
            let status = world.node(*at).map(|it| it.transaction_status(&probe.txid));
            !matches!(status, Some(Ok(TransactionStatus::Included { .. })))
        });
        missing.next()
    }
}

impl Probe {
    fn new(payer: &Account, genesis: &GenesisId) -> Self {
        let op = Op::Transfer {
            to: payer.id(),
            amount: Amount(1),
        };
        // One key signs, so that nothing is drawn.
        let mut rng = Rng::from_number(0);
        let (nonce, fee, never) = (Nonce(0), Amount(FEE), Height(0));
        let transaction = payer.sign(genesis, nonce, fee, never, vec![op], &mut rng);
        Self {
            txid: transaction.txid(genesis),
            bytes: transaction.to_bytes(),
            call: None,
            is_accepted: false,
        }
    }
}
