//! What a devnet came to, for people and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::base::Span;

use super::load::Counts;
use super::screen::seconds;

/// What was done until somebody stopped it, for programs.
pub(super) fn stopped_json(span: Span, counts: Counts) -> Value {
    json!({
        "seconds": span.as_micros() as f64 / 1e6,
        "payments": {
            "made": counts.made,
            "accepted": counts.accepted,
            "included": counts.included,
            "refused": counts.refused,
        },
    })
}

/// The same in words.
pub(super) fn stopped_text(span: Span, counts: Counts) -> String {
    format!(
        "stopped after {} s: {} payments accepted, {} in blocks, {} refused",
        seconds(span),
        counts.accepted,
        counts.included,
        counts.refused
    )
}

/// The end of one node.
#[derive(Clone, Debug, Serialize)]
pub(super) struct NodeReport {
    pub(super) node: usize,
    pub(super) address: String,
    pub(super) height: u64,
    pub(super) tip: String,
    pub(super) peers: u64,
    pub(super) mempool: u64,
    /// Payments that it accepted over RPC.
    pub(super) accepted: u64,
    pub(super) restarts: u32,
    /// How often its tip went to another branch.
    pub(super) reorganisations: u64,
    /// The blocks that left its chain in that.
    pub(super) disconnected_blocks: u64,
}

/// What became of the payments.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PaymentReport {
    pub(super) made: u64,
    /// Payments that could not be made in time because every payer waited for a block.
    pub(super) missed: u64,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) refusals: BTreeMap<String, u64>,
    /// Requests without an answer; their payments were sent again.
    pub(super) unanswered: u64,
    /// Accepted payments in the chain of every node.
    pub(super) in_chain: usize,
    /// Accepted payments that wait in a mempool.
    pub(super) waiting: usize,
    /// Accepted payments that are nowhere.
    pub(super) lost: Vec<String>,
    /// Payments that stand in the chain more than once.
    pub(super) repeated: Vec<String>,
    pub(super) median_seconds: Option<f64>,
    pub(super) p99_seconds: Option<f64>,
}

/// The outcome of a devnet that ended by itself.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// Whether the tips agree and nothing was lost.
    pub(super) ok: bool,
    /// What is wrong, for people.
    pub(super) problems: Vec<String>,
    pub(super) seconds: f64,
    pub(super) tips_agree: bool,
    /// Those of all nodes.
    pub(super) reorganisations: u64,
    /// Those of all nodes.
    pub(super) disconnected_blocks: u64,
    pub(super) kills: u32,
    pub(super) pauses: u32,
    /// Seconds from the start to the first payment in a block.
    pub(super) first_payment_seconds: Option<f64>,
    pub(super) nodes: Vec<NodeReport>,
    pub(super) payments: PaymentReport,
}

impl Report {
    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("a report has string keys and finite numbers only")
    }

    /// The report in words.
    pub(super) fn to_text(&self) -> String {
        let mut lines = Vec::new();
        for node in &self.nodes {
            lines.push(format!(
                "node {} at height {}, tip {:.16}, {} waiting, {} accepted, {} restarts, {} \
                 reorganisations that left {} blocks",
                node.node,
                node.height,
                node.tip,
                node.mempool,
                node.accepted,
                node.restarts,
                node.reorganisations,
                node.disconnected_blocks
            ));
        }
        let paid = &self.payments;
        lines.push(format!(
            "{} payments accepted: {} in the chain, {} waiting, {} lost; {} refused",
            paid.accepted,
            paid.in_chain,
            paid.waiting,
            paid.lost.len(),
            paid.refused
        ));
        for (reason, times) in &paid.refusals {
            lines.push(format!("refused {times} times: {reason}"));
        }
        if self.ok {
            lines.push("all tips agree and no accepted payment is lost".to_owned());
        } else {
            lines.extend(
                self.problems
                    .iter()
                    .map(|problem| format!("problem: {problem}")),
            );
        }
        lines.join("\n")
    }
}
