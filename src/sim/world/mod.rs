//! The world: machines, the lines between them, and the queue of what happens next.
//!
//! *Owns* virtual time and everything in it. *Invariants*: the same configuration and the same
//! calls give the same happenings in the same order, and so the same [`World::event_hash`], on any
//! machine, in debug and release, whatever the [`Switches`]. *Never* changes what a node does: a
//! machine has the production [`Node`], [`Store`] and [`Commits`].
//!
//! A machine is a serial server: its loop handles one input after the other, each for what it
//! costs, and what comes meanwhile waits in the process, and is lost with it; so do its workers'
//! cores with jobs, and its disk with groups of records. What a node sends, dials, starts or
//! stores goes when its loop is done with the input and with what is sent before it. What it
//! closes, answers and shows to readers counts from the moment at which the loop got to the input,
//! too early by what the input costs: so nothing has to be queued for it.
//!
//! Each file holds one part: `machines` their lives, `connections` from dial to close, `outputs`
//! what nodes want done, `jobs` their slow work, `stops` processes that stand still.

mod connections;
mod jobs;
mod machines;
mod outputs;
mod stops;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Rng, Span, Time};
use crate::chain::ChainState;
use crate::chain::mempool::MEMORY_DEFAULT;
use crate::crypto::hash::Sha256;
use crate::node::{
    CallError, CallId, CheckpointInterval, CloseCause, Event, Input, LoggedBlock, Node, Published,
    Question, Recording, Reply,
};
use crate::types::{Genesis, Hash, NodeKey, PeerAddress};

use super::behaviour::{Hands, Order};
use super::costs::Costs;
use super::memo::Memo;
use super::network::{Cut, CutId, Network, NetworkConfig};
use super::observe::{Gauges, Mark, Observations};
use super::queue::Queue;

pub use machines::{ClockError, Crash, Damage, DiskHits, DiskKind, DiskTrouble};

use connections::{Connection, Side};
use machines::Machine;

/// A node of the world, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeIndex(pub usize);

/// What is done in a simpler way than on real machines, so that thousands of nodes fit one. None
/// of them changes what happens: the same world without them has the same event hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Switches {
    /// Messages go as they are. Without it each goes through the production transports of both
    /// ends, which shook hands before.
    pub plain_frames: bool,
    /// What one node found out about a block or a transaction by itself, others take over.
    /// Without it every node verifies everything.
    pub memoised_verdicts: bool,
    /// Jobs are done inline when they begin. Without it they are done by threads beside the loop,
    /// as in production. In both cases they end when their simulated time has passed.
    pub simulated_costs: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            plain_frames: true,
            memoised_verdicts: true,
            simulated_costs: true,
        }
    }
}

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// Everything random in it comes from this.
    pub seed: u64,
    /// The chain.
    pub genesis: Arc<Genesis>,
    /// The lines between the machines.
    pub network: NetworkConfig,
    /// How long a group of records takes to be durable.
    pub sync_time: Span,
    /// How much memory their mempools may take, in bytes.
    pub mempool_limit: u64,
    /// When nodes make checkpoints.
    pub checkpoints: CheckpointInterval,
    /// The size of their logs' segments, in bytes.
    pub segment_size: u64,
    /// How many cores a machine has for jobs, from 1 to 4.
    pub cores: u8,
    /// What their loops and cores need for what they do.
    pub costs: Costs,
    /// Their disks.
    pub disks: DiskKind,
    /// What is done in a simpler way.
    pub switches: Switches,
    /// How often the world's series take a sample.
    pub sample_every: Span,
    /// Whether [`World::events`] has everything that nodes report.
    pub keep_events: bool,
    /// How long after a process ended by itself a supervisor starts it again, if it does.
    pub restart_after: Option<Span>,
}

impl WorldConfig {
    /// A world as most tests want it.
    #[must_use]
    pub fn new(seed: u64, genesis: Arc<Genesis>) -> Self {
        Self {
            seed,
            genesis,
            network: NetworkConfig::default(),
            sync_time: Span::from_millis(1),
            mempool_limit: MEMORY_DEFAULT,
            checkpoints: CheckpointInterval::default(),
            segment_size: 8 << 20,
            cores: 2,
            costs: Costs::default(),
            disks: DiskKind::Plain,
            switches: Switches::default(),
            sample_every: Span::from_secs(10),
            keep_events: true,
            restart_after: Some(Span::from_secs(1)),
        }
    }
}

/// What can happen.
enum Happening {
    /// A timer of a node may be due.
    Timeout { node: u32, life: u32 },
    /// A message arrives at one end of a connection.
    Deliver {
        connection: u32,
        to: Side,
        lane: u8,
        kind: u8,
        bytes: Arc<[u8]>,
    },
    /// A node's loop gets to what waits for it.
    Turn { node: u32, life: u32 },
    /// Anything else that a node is told.
    Input {
        node: u32,
        life: u32,
        input: Box<Input>,
    },
    /// A job should be done now.
    Finished {
        node: u32,
        life: u32,
        job: Box<jobs::UnderWay>,
    },
    /// A process that was stopped goes on.
    GoOn { node: u32, life: u32 },
    /// A group of records goes to the disk.
    Commit { node: u32, life: u32 },
    /// Nothing went to the disk for a while.
    Idle { node: u32, life: u32 },
    /// A dial reaches the other side.
    Accept { connection: u32 },
    /// The handshake is complete at one end.
    Shaken { connection: u32, at: Side },
    /// One end hears that the other is gone.
    Closed { connection: u32, to: Side },
    /// Bytes may have waited too long at one end.
    Stalled { connection: u32, at: Side },
    /// Few bytes may wait at one end.
    Room { connection: u32, at: Side },
    /// A behaviour wanted to be woken.
    Wake { node: u32, life: u32 },
    /// A supervisor starts a process again.
    Restart { node: u32, life: u32 },
}

/// A network in virtual time.
pub struct World {
    config: WorldConfig,
    rng: Rng,
    now: Time,
    machines: Vec<Machine>,
    by_key: BTreeMap<NodeKey, u32>,
    network: Network,
    /// By number; none for those that are over.
    connections: Vec<Option<Box<Connection>>>,
    /// Connections with messages that a cut keeps from going.
    held_up: BTreeSet<u32>,
    queue: Queue<Happening>,
    memo: Memo,
    /// What every machine's chain begins with, in memory once.
    first_state: ChainState,
    threads: Option<jobs::Threads>,
    next_call: u64,
    replies: BTreeMap<CallId, Result<Reply, CallError>>,
    /// Calls of behaviours, and whose they are.
    own_calls: BTreeMap<CallId, u32>,
    events: Vec<(Time, NodeIndex, Event)>,
    /// Whose life or view changed, in order, where events are kept.
    changes: Vec<NodeIndex>,
    /// Whose loop did something last.
    acted: Option<NodeIndex>,
    observations: Observations,
    trace: Sha256,
    happenings: u64,
    followed: Option<Followed>,
    /// Whether no search finds anything any more.
    is_barren: bool,
}

/// A node whose inputs and outputs are told.
struct Followed {
    node: usize,
    tell: Tell,
}

/// What is told of a node: the number of the happening, the time of the world, and one line.
pub type Tell = Box<dyn FnMut(u64, Time, &str)>;

impl World {
    /// An empty world, a second after its chain begins.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        let rng = Rng::from_number(config.seed);
        let now = Time::from_millis(config.genesis.time.0) + Span::from_secs(1);
        let observations = Observations::new(now, 0, config.sample_every);
        let threads = (!config.switches.simulated_costs).then(jobs::Threads::start);
        Self {
            network: Network::new(config.network.clone(), rng.fork("network")),
            rng,
            now,
            first_state: ChainState::genesis(&config.genesis),
            config,
            machines: Vec::new(),
            by_key: BTreeMap::new(),
            connections: Vec::new(),
            held_up: BTreeSet::new(),
            queue: Queue::default(),
            memo: Memo::default(),
            threads,
            next_call: 0,
            replies: BTreeMap::new(),
            own_calls: BTreeMap::new(),
            events: Vec::new(),
            changes: Vec::new(),
            acted: None,
            observations,
            trace: Sha256::new(),
            happenings: 0,
            followed: None,
            is_barren: false,
        }
    }

    /// From now on whoever searches for a block finds none.
    pub fn stop_mining(&mut self) {
        self.is_barren = true;
    }

    /// From now on tells every input of one node (`<-`) and what the node wants done (`->`).
    pub fn follow(&mut self, node: NodeIndex, tell: Tell) {
        self.followed = Some(Followed { node: node.0, tell });
    }

    fn tell(&mut self, node: usize, arrow: &str, what: &dyn std::fmt::Display) {
        if let Some(followed) = self.followed.as_mut().filter(|it| it.node == node) {
            let line = format!("{arrow} {what}");
            (followed.tell)(self.happenings, self.now, &line);
        }
    }

    /// The hash of a running node's whole state.
    #[must_use]
    pub fn state_hash(&self, index: NodeIndex) -> Option<Hash> {
        Some(self.node(index)?.state_hash())
    }

    /// What the world is made of.
    #[must_use]
    pub const fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// How many machines there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.machines.len()
    }

    /// Whether there is no machine.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.machines.is_empty()
    }

    /// The time in the world.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// The lines between the machines.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// What readers of a node see, while it runs.
    #[must_use]
    pub fn published(&self, index: NodeIndex) -> Option<&Arc<Published>> {
        let running = self.machines[index.0].running.as_ref()?;
        running.published.as_ref()
    }

    /// A running node, to look at.
    #[must_use]
    pub fn node(&self, index: NodeIndex) -> Option<&Node> {
        Some(&self.machines[index.0].running.as_ref()?.node)
    }

    /// How others dial a machine.
    #[must_use]
    pub fn peer_address(&self, index: NodeIndex) -> PeerAddress {
        PeerAddress {
            key: self.machines[index.0].identity.key(),
            socket: address(index.0),
        }
    }

    /// Everything nodes reported, if that is kept.
    #[must_use]
    pub fn events(&self) -> &[(Time, NodeIndex, Event)] {
        &self.events
    }

    /// Whose process began, ended or showed something new to readers, in order, if events are kept.
    #[must_use]
    pub fn changes(&self) -> &[NodeIndex] {
        &self.changes
    }

    /// Whose loop did something last: what another node holds did not change since.
    #[must_use]
    pub const fn acted(&self) -> Option<NodeIndex> {
        self.acted
    }

    fn changed(&mut self, node: usize) {
        if self.config.keep_events {
            self.changes.push(NodeIndex(node));
        }
    }

    /// What was counted.
    #[must_use]
    pub const fn observations(&self) -> &Observations {
        &self.observations
    }

    /// Leaves a mark in the report, about a node or about all of them.
    pub fn mark(&mut self, mark: &'static str, node: Option<NodeIndex>) {
        let node = node.map(|node| node.0);
        self.observations.mark(self.now, Mark(mark), node);
    }

    /// The same for what lasts, when it ends.
    pub fn mark_since(&mut self, from: Time, mark: &'static str, node: Option<NodeIndex>) {
        self.mark_span(from, self.now, mark, node);
    }

    /// The same for what ended at `until`.
    pub fn mark_span(
        &mut self,
        from: Time,
        until: Time,
        mark: &'static str,
        node: Option<NodeIndex>,
    ) {
        let node = node.map(|node| node.0);
        self.observations.mark_span(from, until, Mark(mark), node);
    }

    /// The hash of everything that happened, in order.
    #[must_use]
    pub fn event_hash(&self) -> [u8; 32] {
        self.trace.clone().finish()
    }

    /// How many things happened.
    #[must_use]
    pub const fn happenings(&self) -> u64 {
        self.happenings
    }

    /// What was recorded of a running node so far, and the hash of its state now. A block that
    /// can't be read any more is named as missing.
    #[must_use]
    pub fn recording(&self, index: NodeIndex) -> Option<(Recording, Hash)> {
        let running = self.machines[index.0].running.as_ref()?;
        let (mut blocks, mut missing) = (BTreeMap::new(), BTreeMap::new());
        for lsn in running.node.logged_blocks() {
            match LoggedBlock::read(&*running.reader, lsn) {
                Ok(block) => drop(blocks.insert(lsn, block)),
                Err(front) => drop(missing.insert(lsn, front)),
            }
        }
        // Of damaged records that were written again elsewhere, the headers may have been read.
        for lsn in &running.places {
            if let Err(Some(front)) = LoggedBlock::read(&*running.reader, *lsn) {
                missing.insert(*lsn, Some(front));
            }
        }
        let pieces = running.pieces.iter().map(Vec::as_slice);
        Some((
            Recording::of_pieces(pieces, blocks, missing),
            running.node.state_hash(),
        ))
    }

    /// Cuts lines. What is sent over them waits, as TCP would try it again and again.
    pub fn cut(&mut self, cut: Cut) -> CutId {
        self.network.cut(cut)
    }

    /// Whether a cut that holds has kept anything from passing.
    #[must_use]
    pub fn was_felt(&self, cut: CutId) -> bool {
        self.network.was_felt(cut)
    }

    /// Mends what a cut did; what waited goes now.
    pub fn mend(&mut self, cut: CutId) {
        self.network.mend(cut);
        self.resume();
    }

    /// Asks a node something; [`reply`](Self::reply) has the answer when it comes.
    pub fn call(&mut self, index: NodeIndex, question: Question) -> CallId {
        self.next_call += 1;
        let call = CallId(self.next_call);
        self.ask(index.0, call, question);
        call
    }

    fn ask(&mut self, node: usize, call: CallId, question: Question) {
        let life = self.machines[node].life;
        let input = Box::new(Input::Called { call, question });
        let node = node as u32;
        self.queue
            .push(self.now, Happening::Input { node, life, input });
    }

    /// The answer to a call, once.
    pub fn reply(&mut self, call: CallId) -> Option<Result<Reply, CallError>> {
        self.replies.remove(&call)
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Span) {
        let end = self.now + span;
        while self.queue.next_at().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until something holds, at most `limit`; says whether it does.
    pub fn run_until(&mut self, limit: Span, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !holds(self) {
            if self.queue.next_at().is_none_or(|at| at > end) {
                self.now = end;
                return holds(self);
            }
            self.step();
        }
        true
    }

    /// One thing happens; says whether there was one.
    pub fn step(&mut self) -> bool {
        let Some((at, number, happening)) = self.queue.pop() else {
            return false;
        };
        self.now = self.now.max(at);
        self.happenings += 1;
        if self.now >= self.observations.sample_due() {
            self.sample();
        }
        let mut head = [0; 16];
        head[..8].copy_from_slice(&at.as_micros().to_le_bytes());
        head[8..].copy_from_slice(&number.to_le_bytes());
        self.trace.update(&head);
        match happening {
            Happening::Timeout { node, life } => self.timeout(node as usize, life, at),
            Happening::Turn { node, life } => self.turn(node as usize, life),
            Happening::Deliver {
                connection,
                to,
                lane,
                kind,
                bytes,
            } => self.deliver(connection, to, lane, kind, &bytes),
            Happening::Input { node, life, input } => self.feed(node as usize, life, *input),
            Happening::Finished { node, life, job } => self.finished(node as usize, life, *job),
            Happening::GoOn { node, life } => self.resume_process(node as usize, life),
            Happening::Commit { node, life } => self.commit(node as usize, life),
            Happening::Idle { node, life } => self.idle(node as usize, life),
            Happening::Accept { connection } => self.accept(connection),
            Happening::Shaken { connection, at } => self.shaken(connection, at),
            Happening::Closed { connection, to } => self.closed(connection, to),
            Happening::Stalled { connection, at } => self.stalled(connection, at),
            Happening::Room { connection, at } => self.look_for_room(connection, at),
            Happening::Wake { node, life } => self.wake(node as usize, life),
            Happening::Restart { node, life } => self.restart(node as usize, life),
        }
        true
    }

    fn sample(&mut self) {
        self.observations.sample(self.now, self.gauges());
    }

    /// Takes the last sample of the series: this is how it ends.
    pub fn end_series(&mut self) {
        self.observations.end(self.now, self.gauges());
    }

    fn gauges(&self) -> Gauges {
        let is_running = |machine: &&Machine| machine.running.is_some();
        Gauges {
            events: self.happenings,
            running: self.machines.iter().filter(is_running).count() as u32,
            connections: self.connections.iter().flatten().count() as u64,
        }
    }

    /// Gives a node an input, when its loop gets to it.
    fn feed(&mut self, node: usize, life: u32, input: Input) {
        let machine = &mut self.machines[node];
        let Some(running) = machine.running.as_mut().filter(|_| machine.life == life) else {
            return;
        };
        if running.awaits_turn || running.loop_free > self.now {
            running.inbox.push_back(input);
            self.await_turn(node);
        } else {
            self.handle(node, input);
        }
    }

    /// Lets a node's loop get to what waits when it is free.
    fn await_turn(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        if let Some(running) = machine.running.as_mut().filter(|it| !it.awaits_turn) {
            running.awaits_turn = true;
            let (node, life) = (node as u32, machine.life);
            let at = running.loop_free.max(self.now);
            self.queue.push(at, Happening::Turn { node, life });
        }
    }

    /// A node's loop gets to what waits: timers that are due come first.
    fn turn(&mut self, node: usize, life: u32) {
        let machine = &mut self.machines[node];
        let Some(running) = machine.running.as_mut().filter(|_| machine.life == life) else {
            return;
        };
        running.awaits_turn = false;
        if running.loop_free > self.now {
            return self.await_turn(node);
        }
        if running.timers_due(self.now) {
            self.fire_timers(node);
        } else if let Some(input) = running.inbox.pop_front() {
            self.handle(node, input);
        }
        let running = self.machines[node].running.as_ref();
        if running.is_some_and(|running| !running.inbox.is_empty()) {
            self.await_turn(node);
        }
    }

    /// A node handles an input now: its loop is free.
    fn handle(&mut self, node: usize, input: Input) {
        self.tell(node, "<-", &input);
        let Some(running) = &mut self.machines[node].running else {
            return;
        };
        let cost = self.config.costs.input(&input);
        let at = running.clock.of_world(self.now);
        let input = match &mut running.recorder {
            Some(recorder) => recorder.input(at, input),
            None => input,
        };
        running.node.handle(at, input);
        running.loop_free = self.now + cost;
        self.drain(node);
    }

    fn timeout(&mut self, node: usize, life: u32, at: Time) {
        let machine = &mut self.machines[node];
        let Some(running) = machine.running.as_mut().filter(|_| machine.life == life) else {
            return;
        };
        // Only the one that was set last counts: the others were for something that came sooner.
        if running.timeout != Some(at) {
            return;
        }
        running.timeout = None;
        if running.loop_free > self.now {
            self.await_turn(node);
        } else if running.timers_due(self.now) {
            self.fire_timers(node);
        } else {
            self.drain(node);
        }
    }

    fn fire_timers(&mut self, node: usize) {
        let Some(running) = &mut self.machines[node].running else {
            return;
        };
        let due = running.clock.of_world(self.now);
        if let Some(recorder) = &mut running.recorder {
            recorder.timeout(due);
        }
        running.node.handle_timeout(due);
        running.loop_free = self.now + self.config.costs.timeout();
        self.tell(node, "<-", &"timers");
        self.drain(node);
    }

    /// Carries out everything a node wants done, and sets its next timeout.
    fn drain(&mut self, node: usize) {
        self.acted = Some(NodeIndex(node));
        loop {
            let Some(running) = &mut self.machines[node].running else {
                return;
            };
            let Some(output) = running.node.poll_output() else {
                break;
            };
            let at = running.loop_free.max(self.now);
            self.tell(node, "->", &output);
            self.perform(node, at, output);
        }
        let life = self.machines[node].life;
        let Some(running) = &mut self.machines[node].running else {
            return;
        };
        if let Some(recorder) = &mut running.recorder {
            recorder.handled(&running.node);
            running.pieces.extend(recorder.take());
        }
        let Some(next) = running.node.poll_timeout() else {
            return;
        };
        let next = running.clock.to_world(next).max(self.now);
        if running.timeout.is_none_or(|set| next < set) {
            running.timeout = Some(next);
            let node = node as u32;
            self.queue.push(next, Happening::Timeout { node, life });
        }
    }

    /// Lets a machine's behaviour do something, and does what it wants.
    fn behave<T>(
        &mut self,
        node: usize,
        act: impl FnOnce(&mut dyn super::Behaviour, &mut Hands<'_>) -> T,
    ) -> Option<T> {
        let mut behaviour = self.machines[node].behaviour.take()?;
        let connections = self.connections_of(node);
        let machine = &mut self.machines[node];
        let life = machine.life;
        let published = machine.running.as_ref()?.published.clone();
        let mut hands = Hands {
            now: self.now,
            rng: &mut machine.rng,
            genesis: &self.config.genesis,
            published: published.as_ref(),
            connections: &connections,
            orders: Vec::new(),
            next_call: &mut self.next_call,
        };
        let result = act(&mut *behaviour, &mut hands);
        let orders = hands.orders;
        machine.behaviour = Some(behaviour);
        for order in orders {
            self.obey(node, life, order);
        }
        Some(result)
    }

    fn obey(&mut self, node: usize, life: u32, order: Order) {
        match order {
            Order::Send {
                conn,
                lane,
                kind,
                bytes,
            } => self.send(self.now, conn, lane, kind, bytes.into()),
            Order::Call { call, question } => {
                self.own_calls.insert(call, node as u32);
                self.ask(node, call, *question);
            }
            Order::WakeAt(at) => {
                let node = node as u32;
                self.queue.push(at, Happening::Wake { node, life });
            }
            Order::Close(conn) => {
                let (number, side) = connections::of_conn(conn);
                if self.end(number, side) {
                    let why = CloseCause::Failed("given up by its own side".to_owned());
                    self.feed(node, life, Input::Closed { conn, why });
                }
            }
            Order::Mark(mark) => self.mark(mark, Some(NodeIndex(node))),
        }
    }

    fn wake(&mut self, node: usize, life: u32) {
        if self.machines[node].life == life {
            self.behave(node, |behaviour, hands| behaviour.wake(hands));
        }
    }
}

/// Each machine has its own address, in its own /16.
fn address(node: usize) -> SocketAddr {
    let first = 11 + (node >> 8) as u8;
    let ip = Ipv4Addr::new(first, node as u8, 0, 1);
    SocketAddr::new(IpAddr::V4(ip), 9_700)
}

#[cfg(test)]
mod tests;
