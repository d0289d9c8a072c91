//! The threads that ask the nodes, and the clock that all of a devnet goes by.
//!
//! One thread watches each node, a few bring payments to each, one reads new blocks. A thread asks
//! one thing at a time, waits for the answer, and tells the loop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::types::{BlockId, TxId};

use super::chain::{BestChain, Link};
use super::client::{Client, ClientError, Status};
use super::load::Payment;

/// How often a node is asked how it is.
const STATUS_EVERY: Duration = Duration::from_millis(250);
/// How long a node may take to say how it is.
const STATUS_WITHIN: Duration = Duration::from_secs(1);
/// How long a node may take to accept a payment or to give a block.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// What the loop has not taken note of yet; the threads wait when it is more.
const EVENTS_MAX: usize = 4_096;
/// Payments queued for one node; what finds no place there is made later.
const QUEUE_MAX: usize = 64;

/// Makes connections to a node's RPC.
pub(super) type Connect = Arc<dyn Fn(Duration) -> Client + Send + Sync>;

/// What the threads tell the loop.
pub(super) enum Event {
    /// How a node is.
    Status {
        node: usize,
        status: Result<Status, ClientError>,
    },
    /// What a node said to a payment.
    Answer {
        node: usize,
        txid: TxId,
        outcome: Result<(), ClientError>,
    },
    /// The blocks that were asked for; nothing when the node stopped answering meanwhile.
    Followed(Option<Step>),
}

/// How the best chain changed.
pub(super) struct Step {
    /// From the old tip down.
    pub(super) left: Vec<Link>,
    /// From the new tip down.
    pub(super) joined: Vec<Link>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a devnet watches real processes in real time"
)]
pub(super) fn clock() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "waiting is all that the thread does then"
)]
pub(super) fn pause_thread(span: Duration) {
    std::thread::sleep(span);
}

/// The threads of a devnet.
pub(super) struct Threads {
    to_loop: Sender<Event>,
    stop: Arc<AtomicBool>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    /// No threads yet, and where they will tell what they hear.
    pub(super) fn new() -> (Self, Receiver<Event>) {
        let (to_loop, events) = bounded(EVENTS_MAX);
        let threads = Self {
            to_loop,
            stop: Arc::default(),
            handles: Vec::new(),
        };
        (threads, events)
    }

    /// Watches a node and brings payments to it over so many connections.
    pub(super) fn attend(
        &mut self,
        node: usize,
        connect: &Connect,
        connections: u32,
    ) -> Sender<Payment> {
        let (payments, queue) = bounded(QUEUE_MAX);
        let (watched, to_loop) = (Arc::clone(connect), self.to_loop.clone());
        let stop = Arc::clone(&self.stop);
        self.start(move || watch(node, &watched, &to_loop, &stop));
        for _ in 0..connections {
            let (connect, to_loop) = (Arc::clone(connect), self.to_loop.clone());
            let queue = queue.clone();
            self.start(move || pay(node, &connect, &queue, &to_loop));
        }
        payments
    }

    /// Reads the blocks down from each tip that is asked for, at the node that has it.
    pub(super) fn follow(
        &mut self,
        chain: BestChain,
        connects: Vec<Connect>,
    ) -> Sender<(usize, BlockId)> {
        let (requests, queue) = bounded(1);
        let to_loop = self.to_loop.clone();
        self.start(move || follow_chain(chain, &connects, &queue, &to_loop));
        requests
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a devnet asks its nodes side by side"
    )]
    fn start(&mut self, work: impl FnOnce() + Send + 'static) {
        self.handles.push(std::thread::spawn(work));
    }

    /// Tells all threads to end. They do when their queues are gone and nobody listens.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for the end of all threads; says whether it was a good one.
    pub(super) fn join(self) -> bool {
        let ends: Vec<_> = self.handles.into_iter().map(JoinHandle::join).collect();
        ends.iter().all(Result::is_ok)
    }
}

/// Asks a node how it is, again and again.
fn watch(node: usize, connect: &Connect, to_loop: &Sender<Event>, stop: &AtomicBool) {
    let mut client = connect(STATUS_WITHIN);
    while !stop.load(Ordering::Relaxed) {
        let status = client.status();
        if to_loop.send(Event::Status { node, status }).is_err() {
            return;
        }
        pause_thread(STATUS_EVERY);
    }
}

/// Brings payments to a node, one at a time.
fn pay(node: usize, connect: &Connect, queue: &Receiver<Payment>, to_loop: &Sender<Event>) {
    let mut client = connect(ANSWER_WITHIN);
    for payment in queue {
        let outcome = client.pay(&payment.bytes);
        if to_loop
            .send(Event::Answer {
                node,
                txid: payment.txid,
                outcome,
            })
            .is_err()
        {
            return;
        }
    }
}

/// Reads the blocks of new best chains.
fn follow_chain(
    mut chain: BestChain,
    connects: &[Connect],
    requests: &Receiver<(usize, BlockId)>,
    to_loop: &Sender<Event>,
) {
    let mut clients: BTreeMap<usize, Client> = BTreeMap::new();
    for (node, tip) in requests {
        let connect = || connects[node](ANSWER_WITHIN);
        let client = clients.entry(node).or_insert_with(connect);
        let step = read_branch(&chain, client, tip).map(|joined| Step {
            left: chain.switch(&joined),
            joined,
        });
        if to_loop.send(Event::Followed(step)).is_err() {
            return;
        }
    }
}

/// The blocks from `tip` down to a child of a known block; nothing when the node stops answering
/// meanwhile.
fn read_branch(chain: &BestChain, client: &mut Client, tip: BlockId) -> Option<Vec<Link>> {
    let mut branch = Vec::new();
    let mut next = tip;
    while !chain.knows(&next) {
        let link = client.block(next).ok()?;
        next = link.parent;
        branch.push(link);
    }
    Some(branch)
}
