//! A node as a value: what its state hash is the hash of, and what a recording begins with.
//!
//! A snapshot names blocks by id and does not hold states: whoever restores a node gives the
//! blocks, and the states are computed again. A node can be restored from a snapshot of a quiet
//! moment, when no job and no record is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Rng, Time, Timers};
use crate::chain::mempool::MempoolSnapshot;
use crate::chain::{
    Chain, ChainSnapshot, CheckedTransaction, FrontSource, Mempool, PageFailures, RestoreError,
    StateFailure,
};
use crate::crypto::hash::sha256;
use crate::p2p::{BanList, ConnId, Discouragement, Early, Relay, Sync};
use crate::types::{AccountId, BlockId, Hash, NodeKey, Transaction};
use crate::wire::ConnectionLimits;

use super::arrived::Arrived;
use super::blocks::Unlogged;
use super::checkpoints::{CheckpointWork, Checkpoints};
use super::journal::Journal;
use super::mining::{Miner, TemplateSnapshot};
use super::peers::{Dial, Peer};
use super::submission::Submissions;
use super::templates::{Templates, TemplatesSnapshot};
use super::transactions::{Checks, Source};
use super::{Node, NodeConfig, Timer};

/// Everything that a node's behaviour from now on depends on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    config: NodeConfig,
    chain: ChainSnapshot,
    mempool: MempoolSnapshot,
    sync: Sync,
    relay: Relay,
    peers: BTreeMap<ConnId, Peer>,
    limits: ConnectionLimits,
    dials: BTreeMap<NodeKey, Dial>,
    addresses: BTreeMap<ConnId, SocketAddr>,
    discouragement: Discouragement,
    bans: BanList,
    newest_header: BlockId,
    waiting: Vec<(Source, Transaction)>,
    early: Early,
    miner: Option<Miner>,
    mined: Option<TemplateSnapshot>,
    checkpoints: Checkpoints,
    templates: TemplatesSnapshot,
    submissions: Submissions,
    timers: Timers<Timer>,
    rng: ([u8; 32], u64),
    published: BlockId,
    unreached: Option<BlockId>,
    logged_tip: BlockId,
    unlogged: Option<Unlogged>,
    ready: bool,
    disk_full: bool,
    told_far_ahead: Option<Time>,
    journal: Journal,
    /// What the journal keeps in memory.
    kept: Vec<Transaction>,
    floor: u64,
    next_job: u64,
    next_ticket: u64,
    events: u64,
    done: Hash,
    unreadable: BTreeMap<AccountId, StateFailure>,
    /// What is under way, for the hash alone; empty in a quiet moment.
    under_way: Vec<String>,
}

impl Node {
    /// The node as a value.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let jobs = self
            .jobs
            .iter()
            .map(|(job, owner)| format!("{job:?} {owner:?}"));
        let effects = self
            .effects
            .iter()
            .map(|(ticket, effects)| format!("{ticket} {effects:?}"));
        let keeping = self.keeping.iter().map(|call| format!("bans {call:?}"));
        Snapshot {
            config: self.config.clone(),
            chain: self.chain.snapshot(),
            mempool: self.mempool.snapshot(),
            sync: self.sync.clone(),
            relay: self.relay.clone(),
            peers: self.peers.clone(),
            limits: self.limits.clone(),
            dials: self.dials.clone(),
            addresses: self.addresses.clone(),
            discouragement: self.discouragement.clone(),
            bans: self.bans.clone(),
            newest_header: self.newest_header,
            waiting: self.checks.waiting().cloned().collect(),
            early: self.early.clone(),
            miner: self.miner.clone(),
            mined: self.miner.as_ref().and_then(Miner::template_snapshot),
            checkpoints: self.checkpoints.clone(),
            templates: self.templates.snapshot(&self.mempool),
            submissions: self.submissions.clone(),
            timers: self.timers.clone(),
            rng: self.rng.state(),
            published: self.published,
            unreached: self.unreached,
            logged_tip: self.logged_tip,
            unlogged: self.unlogged.clone(),
            ready: self.ready,
            disk_full: self.disk_full,
            told_far_ahead: self.told_far_ahead,
            journal: self.journal.clone(),
            kept: self
                .journal
                .kept()
                .map(|checked| checked.transaction.clone())
                .collect(),
            floor: self.floor,
            next_job: self.next_job,
            next_ticket: self.next_ticket,
            events: self.events,
            done: self.outputs_done,
            unreadable: self.page_failures.known(),
            under_way: jobs
                .chain(effects)
                .chain(keeping)
                .chain(self.arrived.names())
                .chain(self.checks.finished())
                .collect(),
        }
    }

    /// The hash of the node's whole state: two nodes with the same hash do the same from now on.
    /// It costs as much as there is state, so it is for recordings and tests.
    #[must_use]
    pub fn state_hash(&self) -> Hash {
        self.snapshot().hash()
    }

    /// Whether nothing is under way, so that a snapshot of this moment can be restored.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.jobs.is_empty()
            && self.effects.is_empty()
            && self.keeping.is_empty()
            && self.outputs.is_empty()
    }

    /// The node of a snapshot of a quiet moment. `block` gives the bytes of blocks by id, `fronts`
    /// what the records of old ones begin with.
    pub fn restore(
        snapshot: Snapshot,
        block: &dyn Fn(&BlockId) -> Option<Arc<[u8]>>,
        fronts: Arc<dyn FrontSource>,
    ) -> Result<Self, RestoreError> {
        let genesis = Arc::clone(&snapshot.config.genesis);
        let of_chain = snapshot.chain;
        let mut chain = Chain::restore_snapshot(Arc::clone(&genesis), of_chain, block, fronts)?;
        chain.set_reach(snapshot.config.checkpoints.cheap_reach());
        chain.hold_state(snapshot.published);
        if let Some(tip) = snapshot.unreached {
            chain.hold_state(tip);
        }
        let genesis_id = genesis.id();
        let mempool = Mempool::restore(snapshot.mempool, &genesis_id);
        let mut journal = snapshot.journal;
        for transaction in snapshot.kept {
            journal.restore_kept(Arc::new(CheckedTransaction::new(transaction, &genesis_id)));
        }
        let mut miner = snapshot.miner;
        if let (Some(miner), Some(mined)) = (&mut miner, snapshot.mined) {
            miner.restore_template(mined, &genesis_id);
        }
        let templates = Templates::restore(snapshot.templates, &mempool, &genesis_id);
        Ok(Self {
            config: snapshot.config,
            chain,
            mempool,
            sync: snapshot.sync,
            relay: snapshot.relay,
            peers: snapshot.peers,
            limits: snapshot.limits,
            dials: snapshot.dials,
            addresses: snapshot.addresses,
            discouragement: snapshot.discouragement,
            bans: snapshot.bans,
            keeping: BTreeSet::new(),
            newest_header: snapshot.newest_header,
            checks: Checks::of_waiting(snapshot.waiting),
            early: snapshot.early,
            miner,
            templates,
            submissions: snapshot.submissions,
            jobs: BTreeMap::new(),
            effects: BTreeMap::new(),
            checkpoints: snapshot.checkpoints,
            checkpoint_work: CheckpointWork::default(),
            timers: snapshot.timers,
            rng: Rng::from_state(snapshot.rng.0, snapshot.rng.1),
            outputs: std::collections::VecDeque::new(),
            arrived: Arrived::default(),
            published: snapshot.published,
            unreached: snapshot.unreached,
            logged_tip: snapshot.logged_tip,
            unlogged: snapshot.unlogged,
            ready: snapshot.ready,
            disk_full: snapshot.disk_full,
            told_far_ahead: snapshot.told_far_ahead,
            journal,
            floor: snapshot.floor,
            next_job: snapshot.next_job,
            next_ticket: snapshot.next_ticket,
            events: snapshot.events,
            outputs_done: snapshot.done,
            page_failures: PageFailures::restore(snapshot.unreadable),
        })
    }

    /// How many inputs and timeouts the node has handled.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }
}

impl Snapshot {
    /// The hash of the state that it is of.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash(sha256(&self.to_bytes()))
    }

    /// How many events the node had handled.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The snapshot's bytes, in the form that recordings hold.
    ///
    /// # Panics
    /// Never: every part has a form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("every part of a snapshot has a form")
    }
}
