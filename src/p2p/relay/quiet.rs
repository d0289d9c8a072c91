//! Transactions that this node brought back from its journal and does not tell of yet.
//!
//! The journal holds what people brought to this node and to no other. Who connects after a start
//! and hears of just these learns who sent them. So they wait until a peer tells of them, as most
//! do soon whose nodes heard of them before, or for a time that says nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::Time;
use crate::types::{AccountId, WtxId};

/// An account's transactions, in their order: peers have no use for one without those before it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    until: Time,
    ids: Vec<WtxId>,
}

/// What is not told of, by account. It is no more than what the mempool took back at the start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Quiet {
    rows: BTreeMap<AccountId, Row>,
    accounts: BTreeMap<WtxId, AccountId>,
    ends: BTreeSet<(Time, AccountId)>,
}

impl Quiet {
    /// Keeps quiet about a transaction until `until`, or as long as about those before it.
    pub(super) fn add(&mut self, account: AccountId, id: WtxId, until: impl FnOnce() -> Time) {
        let row = self.rows.entry(account).or_insert_with(|| {
            let until = until();
            self.ends.insert((until, account));
            let ids = Vec::new();
            Row { until, ids }
        });
        row.ids.push(id);
        self.accounts.insert(id, account);
    }

    pub(super) fn contains(&self, id: &WtxId) -> bool {
        self.accounts.contains_key(id)
    }

    /// The account that this node keeps quiet about for a transaction.
    pub(super) fn account_of(&self, id: &WtxId) -> Option<AccountId> {
        self.accounts.get(id).copied()
    }

    /// Ends the silence about an account.
    pub(super) fn take(&mut self, account: &AccountId) -> Vec<WtxId> {
        let Some(Row { until, ids }) = self.rows.remove(account) else {
            return Vec::new();
        };
        self.ends.remove(&(until, *account));
        for id in &ids {
            self.accounts.remove(id);
        }
        ids
    }

    /// An account whose time is over.
    pub(super) fn due(&self, now: Time) -> Option<AccountId> {
        let (_, account) = self.ends.first().filter(|(until, _)| *until <= now)?;
        Some(*account)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.ends.first().map(|(until, _)| *until)
    }
}
