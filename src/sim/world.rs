//! The world: nodes, links and the queue of what happens next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::base::{Rng, Span, Time};
use crate::crypto::ed25519::SecretKey;
use crate::crypto::hash::Sha256;
use crate::node::{
    BlockReader, CallError, CallId, CheckpointInterval, CloseCause, ConnId, Direction, Event,
    Input, Job, Mining, Node, NodeConfig, Output, Published, Question, Recorder, Recording,
    Recovered, Reply, Ticket, Workbench,
};
use crate::p2p::BanList;
use crate::store::{Commits, Disk, Failure, MemoryDisk, Options, Request, Store};
use crate::types::{
    Genesis, Hash, Millis, NodeKey, NodeRecord, PeerAddress, RecordContent, Services,
};

/// A node of the world, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeIndex(pub usize);

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// Everything random in it comes from this.
    pub seed: u64,
    /// The chain.
    pub genesis: Arc<Genesis>,
    /// One-way delay of every link.
    pub latency: Span,
    /// How long records take to be durable.
    pub sync_time: Span,
    /// When nodes make checkpoints.
    pub checkpoints: CheckpointInterval,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
struct End {
    node: usize,
    conn: ConnId,
}

enum Happening {
    Timeout(usize),
    Input {
        node: usize,
        life: u32,
        input: Box<Input>,
    },
    Commit {
        node: usize,
        life: u32,
    },
    /// A dial reaches the other side.
    Arrive {
        from: usize,
        life: u32,
        peer: PeerAddress,
    },
}

struct Machine {
    name: String,
    config: NodeConfig,
    key: NodeKey,
    disk: MemoryDisk,
    running: Option<Running>,
    /// Counts starts, so that what was under way before a crash does not arrive after it.
    life: u32,
}

struct Running {
    node: Node,
    store: Store,
    commits: Commits,
    bench: Workbench,
    connections: BTreeMap<ConnId, End>,
    published: Option<Arc<Published>>,
    timeout: Option<Time>,
    recorder: Option<Recorder>,
    pieces: Vec<Vec<u8>>,
}

/// A network in virtual time.
pub struct World {
    config: WorldConfig,
    rng: Rng,
    now: Time,
    machines: Vec<Machine>,
    queue: BTreeMap<(Time, u64), Happening>,
    sequence: u64,
    next_conn: u64,
    next_call: u64,
    replies: BTreeMap<CallId, Result<Reply, CallError>>,
    events: Vec<(Time, NodeIndex, Event)>,
    trace: Sha256,
    /// Pairs of nodes whose link is cut.
    cut: BTreeSet<(usize, usize)>,
}

impl World {
    /// An empty world, a second after its chain begins.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        Self {
            rng: Rng::from_number(config.seed),
            now: Time::from_millis(config.genesis.time.0) + Span::from_secs(1),
            config,
            machines: Vec::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            next_conn: 0,
            next_call: 0,
            replies: BTreeMap::new(),
            events: Vec::new(),
            trace: Sha256::new(),
            cut: BTreeSet::new(),
        }
    }

    /// Adds a node that dials `peers`, and starts it.
    pub fn add(&mut self, name: &str, peers: &[NodeIndex], mining: Option<Mining>) -> NodeIndex {
        let index = self.machines.len();
        let mut secrets = self.rng.fork(name);
        let identity = SecretKey::from_seed(&secrets.bytes32());
        let key = NodeKey(secrets.bytes32());
        let content = RecordContent {
            seq: 1,
            expires: Millis(self.now.as_millis() + 86_400_000),
            services: Services::FULL_BLOCKS,
            key,
            addresses: Vec::new(),
            vouch: None,
        };
        let genesis = Arc::clone(&self.config.genesis);
        let peer = |peer: &NodeIndex| PeerAddress {
            key: self.machines[peer.0].key,
            socket: address(peer.0),
        };
        let config = NodeConfig {
            record: NodeRecord::sign(content, &genesis.id(), &identity),
            genesis,
            peers: peers.iter().map(peer).collect(),
            listen_port: address(index).port(),
            mining,
            inbound_max: 125,
            bans: BanList::default(),
            checkpoints: self.config.checkpoints,
            min_chain_work: crate::types::Uint256::ZERO,
        };
        let (name, disk) = (name.to_owned(), MemoryDisk::new());
        self.machines.push(Machine {
            name,
            config,
            key,
            disk,
            running: None,
            life: 0,
        });
        self.start(NodeIndex(index));
        NodeIndex(index)
    }

    /// Starts a node on what its disk has.
    ///
    /// # Panics
    /// When its disk can't be opened: a disk in memory has no faults.
    pub fn start(&mut self, index: NodeIndex) {
        let machine = &mut self.machines[index.0];
        let genesis_id = self.config.genesis.id();
        let options = Options::production(genesis_id.0, 1 + index.0 as u64, self.now.as_millis())
            .with_segment_size(8 << 20);
        let disk: Arc<dyn Disk> = Arc::new(machine.disk.clone());
        let (mut store, found) = Store::open(disk, &options).expect("a disk in memory opens");
        let recovered =
            Recovered::read(&mut store, found.was_clean).expect("a disk in memory is read");
        machine.life += 1;
        let seed = self
            .rng
            .fork(&format!("{} {}", machine.name, machine.life))
            .bytes32();
        let node = Node::open(machine.config.clone(), recovered, seed, self.now);
        let node = node.expect("the world's genesis has an engine");
        let reader: Arc<dyn BlockReader> = Arc::new(store.reader());
        machine.running = Some(Running {
            node,
            store,
            commits: Commits::new(),
            bench: Workbench::new([7; 32], reader),
            connections: BTreeMap::new(),
            published: None,
            timeout: None,
            recorder: None,
            pieces: Vec::new(),
        });
        self.drain(index.0);
    }

    /// Ends a node as a power cut would: what was not stored is gone.
    pub fn crash(&mut self, index: NodeIndex) {
        let Some(running) = self.machines[index.0].running.take() else {
            return;
        };
        for end in running.connections.values() {
            self.schedule_close(*end);
        }
    }

    /// Begins to record a node, with a new snapshot after `base_every` bytes. The node must be
    /// quiet; says whether it is.
    pub fn record(&mut self, index: NodeIndex, base_every: u64) -> bool {
        let running = self.machines[index.0].running.as_mut();
        let Some(running) = running.filter(|running| running.node.is_quiet()) else {
            return false;
        };
        running.recorder = Some(Recorder::start(&mut running.node, base_every));
        true
    }

    /// What was recorded of a running node so far, and the hash of its state now.
    #[must_use]
    pub fn recording(&self, index: NodeIndex) -> Option<(Recording, Hash)> {
        let running = self.machines[index.0].running.as_ref()?;
        let mut blocks = BTreeMap::new();
        for lsn in running.node.logged_blocks() {
            let bytes = running.store.reader().read_block(lsn);
            blocks.extend(bytes.map(|bytes| (lsn, bytes)));
        }
        let pieces = running.pieces.iter().map(Vec::as_slice);
        Some((
            Recording::of_pieces(pieces, blocks),
            running.node.state_hash(),
        ))
    }

    /// Whether a node runs.
    #[must_use]
    pub fn is_running(&self, index: NodeIndex) -> bool {
        self.machines[index.0].running.is_some()
    }

    /// Cuts the link between two nodes; connections over it end.
    pub fn cut(&mut self, a: NodeIndex, b: NodeIndex) {
        self.cut.insert((a.0.min(b.0), a.0.max(b.0)));
        for (near, far) in [(a.0, b.0), (b.0, a.0)] {
            let Some(running) = &mut self.machines[near].running else {
                continue;
            };
            let ends: Vec<ConnId> = running
                .connections
                .iter()
                .filter(|(_, end)| end.node == far)
                .map(|(conn, _)| *conn)
                .collect();
            for conn in ends {
                self.schedule_close(End { node: near, conn });
            }
        }
    }

    /// Mends the link between two nodes.
    pub fn mend(&mut self, a: NodeIndex, b: NodeIndex) {
        self.cut.remove(&(a.0.min(b.0), a.0.max(b.0)));
    }

    /// The time in the world.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// What readers of a node see, while it runs.
    #[must_use]
    pub fn published(&self, index: NodeIndex) -> Option<&Arc<Published>> {
        self.machines[index.0].running.as_ref()?.published.as_ref()
    }

    /// A running node, to look at.
    #[must_use]
    pub fn node(&self, index: NodeIndex) -> Option<&Node> {
        Some(&self.machines[index.0].running.as_ref()?.node)
    }

    /// Everything nodes reported.
    #[must_use]
    pub fn events(&self) -> &[(Time, NodeIndex, Event)] {
        &self.events
    }

    /// The hash of everything that happened, in order.
    #[must_use]
    pub fn event_hash(&self) -> [u8; 32] {
        self.trace.clone().finish()
    }

    /// Asks a node something; [`reply`](Self::reply) has the answer when it comes.
    pub fn call(&mut self, index: NodeIndex, question: Question) -> CallId {
        self.next_call += 1;
        let call = CallId(self.next_call);
        let life = self.machines[index.0].life;
        self.push(
            self.now,
            Happening::Input {
                node: index.0,
                life,
                input: Box::new(Input::Called { call, question }),
            },
        );
        call
    }

    /// The answer to a call, once.
    pub fn reply(&mut self, call: CallId) -> Option<Result<Reply, CallError>> {
        self.replies.remove(&call)
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Span) {
        let end = self.now + span;
        while self
            .queue
            .first_key_value()
            .is_some_and(|((at, _), _)| *at <= end)
        {
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until something holds, at most `limit`; says whether it does.
    pub fn run_until(&mut self, limit: Span, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !holds(self) {
            if self
                .queue
                .first_key_value()
                .is_none_or(|((at, _), _)| *at > end)
            {
                self.now = end;
                return holds(self);
            }
            self.step();
        }
        true
    }

    fn push(&mut self, at: Time, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), happening);
    }

    /// One thing happens.
    fn step(&mut self) {
        let Some(((at, sequence), happening)) = self.queue.pop_first() else {
            return;
        };
        self.now = self.now.max(at);
        self.trace.update(&at.as_micros().to_le_bytes());
        self.trace.update(&sequence.to_le_bytes());
        match happening {
            Happening::Timeout(node) => {
                if let Some(running) = &mut self.machines[node].running
                    && running.timeout.take_if(|timeout| *timeout <= at).is_some()
                {
                    if let Some(recorder) = &mut running.recorder {
                        recorder.timeout(self.now);
                    }
                    running.node.handle_timeout(self.now);
                    self.drain(node);
                    self.recorded(node);
                }
            }
            Happening::Input { node, life, input } => self.feed(node, life, *input),
            Happening::Commit { node, life } => self.commit(node, life),
            Happening::Arrive { from, life, peer } => self.arrive(from, life, peer),
        }
    }

    fn feed(&mut self, node: usize, life: u32, input: Input) {
        let machine = &mut self.machines[node];
        let Some(running) = machine.running.as_mut().filter(|_| machine.life == life) else {
            return;
        };
        match &input {
            Input::Message {
                conn, kind, bytes, ..
            } => {
                if !running.connections.contains_key(conn) {
                    return;
                }
                self.trace.update(&[*kind]);
                self.trace.update(bytes);
            }
            Input::Room { conn } if !running.connections.contains_key(conn) => return,
            Input::Closed { conn, .. } if running.connections.remove(conn).is_none() => return,
            _ => {}
        }
        let input = match &mut running.recorder {
            Some(recorder) => recorder.input(self.now, input),
            None => input,
        };
        running.node.handle(self.now, input);
        self.drain(node);
        self.recorded(node);
    }

    fn recorded(&mut self, node: usize) {
        if let Some(running) = &mut self.machines[node].running
            && let Some(recorder) = &mut running.recorder
        {
            recorder.handled(&mut running.node);
            running.pieces.extend(recorder.take());
        }
    }

    fn commit(&mut self, node: usize, life: u32) {
        let machine = &mut self.machines[node];
        let Some(running) = machine.running.as_mut().filter(|_| machine.life == life) else {
            return;
        };
        let completions = running.commits.run(&mut running.store);
        if !running.commits.is_empty() {
            let at = self.now + self.config.sync_time;
            self.push(at, Happening::Commit { node, life });
        }
        for completion in completions {
            let lsns = match completion.result {
                Ok(lsns) => lsns,
                // The process ends by itself; somebody starts it again.
                Err(Failure::Damaged { .. }) => return self.crash(NodeIndex(node)),
                Err(failure) => panic!("a disk in memory does not fail: {failure}"),
            };
            self.feed(
                node,
                life,
                Input::Stored {
                    ticket: Ticket(completion.ticket),
                    lsns,
                },
            );
        }
    }

    /// A dial reached the other side: both have a connection, or the dialler an error.
    fn arrive(&mut self, from: usize, life: u32, peer: PeerAddress) {
        if self.machines[from].running.is_none() || self.machines[from].life != life {
            return;
        }
        let to = self
            .machines
            .iter()
            .position(|machine| machine.key == peer.key);
        let open = to.filter(|to| {
            self.machines[*to].running.is_some()
                && !self.cut.contains(&(from.min(*to), from.max(*to)))
        });
        let Some(to) = open else {
            let input = Input::DialFailed {
                key: peer.key,
                why: "nobody answers".to_owned(),
            };
            self.feed(from, life, input);
            return;
        };
        let near = End {
            node: from,
            conn: self.new_conn(),
        };
        let far = End {
            node: to,
            conn: self.new_conn(),
        };
        let address = address(from);
        let there = self.machines[to].life;
        for (end, other) in [(near, far), (far, near)] {
            if let Some(running) = &mut self.machines[end.node].running {
                running.connections.insert(end.conn, other);
            }
        }
        self.feed(
            to,
            there,
            Input::Accepted {
                conn: far.conn,
                from: address,
            },
        );
        let still = |world: &Self| {
            let running = world.machines[to].running.as_ref();
            running.is_some_and(|running| running.connections.contains_key(&far.conn))
        };
        if !still(self) {
            return;
        }
        let record = self.machines[from].config.record.clone();
        let direction = Direction::Inbound;
        self.feed(
            to,
            there,
            Input::Connected {
                conn: far.conn,
                direction,
                address,
                record,
            },
        );
        let record = self.machines[to].config.record.clone();
        let (direction, address) = (Direction::Outbound, peer.socket);
        self.feed(
            from,
            life,
            Input::Connected {
                conn: near.conn,
                direction,
                address,
                record,
            },
        );
    }

    fn new_conn(&mut self) -> ConnId {
        self.next_conn += 1;
        ConnId(self.next_conn)
    }

    /// Tells one end of a connection that the other is gone.
    fn schedule_close(&mut self, end: End) {
        let life = self.machines[end.node].life;
        let input = Box::new(Input::Closed {
            conn: end.conn,
            why: CloseCause::Remote,
        });
        let at = self.now + self.config.latency;
        self.push(
            at,
            Happening::Input {
                node: end.node,
                life,
                input,
            },
        );
    }

    /// Carries out everything a node wants done.
    fn drain(&mut self, node: usize) {
        loop {
            let Some(running) = &mut self.machines[node].running else {
                return;
            };
            let Some(output) = running.node.poll_output() else {
                break;
            };
            self.perform(node, output);
        }
        let Some(running) = &mut self.machines[node].running else {
            return;
        };
        let next = running.node.poll_timeout();
        if let Some(at) = next
            && running.timeout.is_none_or(|set| at < set)
        {
            running.timeout = Some(at);
            self.push(at.max(self.now), Happening::Timeout(node));
        }
    }

    fn perform(&mut self, node: usize, output: Output) {
        let life = self.machines[node].life;
        let latency = self.config.latency;
        match output {
            Output::Dial(peer) => {
                // Three legs: connect, answer, and the initiator's last message.
                let at = self.now + latency.times(3);
                self.push(
                    at,
                    Happening::Arrive {
                        from: node,
                        life,
                        peer,
                    },
                );
            }
            Output::Send {
                conn,
                lane,
                kind,
                bytes,
            } => {
                let running = self.machines[node].running.as_ref();
                let Some(end) = running.and_then(|running| running.connections.get(&conn)) else {
                    return;
                };
                let (end, bytes) = (*end, bytes.to_vec());
                let input = Box::new(Input::Message {
                    conn: end.conn,
                    lane,
                    kind,
                    bytes,
                });
                let life = self.machines[end.node].life;
                self.push(
                    self.now + latency,
                    Happening::Input {
                        node: end.node,
                        life,
                        input,
                    },
                );
            }
            Output::AwaitRoom { conn } => {
                // Lines have no limit here: what was sent is gone.
                let input = Box::new(Input::Room { conn });
                self.push(self.now, Happening::Input { node, life, input });
            }
            Output::Close { conn, .. } => {
                let running = self.machines[node].running.as_mut();
                if let Some(end) = running.and_then(|running| running.connections.remove(&conn)) {
                    self.schedule_close(end);
                }
            }
            Output::Store(request) => self.store(node, life, request),
            Output::Run { job, work } => self.work(node, life, job, work),
            Output::Publish(published) => {
                if let Some(running) = &mut self.machines[node].running {
                    running.published = Some(published);
                }
            }
            Output::Answer { call, reply } => {
                self.replies.insert(call, reply);
            }
            Output::KeepBans { call, .. } => {
                let result = Ok(());
                let input = Box::new(Input::BansKept { call, result });
                self.push(self.now, Happening::Input { node, life, input });
            }
            Output::Event(event) => self.events.push((self.now, NodeIndex(node), event)),
        }
    }

    fn store(&mut self, node: usize, life: u32, request: Request) {
        let Some(running) = &mut self.machines[node].running else {
            return;
        };
        let idle = running.commits.is_empty();
        running.commits.push(request);
        if idle {
            let at = self.now + self.config.sync_time;
            self.push(at, Happening::Commit { node, life });
        }
    }

    /// Does a job now; its result arrives after what such work takes.
    fn work(&mut self, node: usize, life: u32, job: crate::node::JobId, work: Job) {
        let cost = match &work {
            // A search takes as long as its hashes at the rate it was given: the slice itself.
            Job::Search { .. } => Span::from_millis(50),
            Job::CheckBlocks { blocks, .. } => {
                let bytes: usize = blocks.iter().map(|(bytes, _)| bytes.len()).sum();
                Span::from_micros(200 + bytes as u64 / 16)
            }
            Job::CheckTransactions { transactions, .. } => {
                Span::from_micros(50 + 15 * transactions.len() as u64)
            }
            Job::CheckProposal { bytes, .. } => {
                Span::from_millis(2) + Span::from_micros(bytes.len() as u64 / 16)
            }
            Job::Execute(_) | Job::Assemble(_) | Job::Checkpoint { .. } | Job::Release { .. } => {
                Span::from_millis(2)
            }
            Job::Read { .. } | Job::ReadToSend { .. } | Job::Discard(_) => Span::from_micros(100),
        };
        let Some(running) = &mut self.machines[node].running else {
            return;
        };
        let result = work.run(&mut running.bench);
        let input = Box::new(Input::Done { job, result });
        self.push(self.now + cost, Happening::Input { node, life, input });
    }
}

/// Each node has its own address, in its own /16.
fn address(node: usize) -> SocketAddr {
    let [high, low] = (node as u16).to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10 + high, low, 0, 1)), 9_700)
}

#[cfg(test)]
mod tests;
