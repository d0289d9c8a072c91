//! What a node costs that has little to do: `cargo bench -p keel-bench --bench node_event`.
//!
//! A simulation runs thousands of production nodes in one process, so the time and the allocations
//! of each event count, and so does the memory of a node and of each of its connections. A node of
//! 16 peers is fed with the events of a quiet network; jobs and records are done between the
//! events and not counted.

#[expect(
    dead_code,
    reason = "the payments and blocks of the other measurements"
)]
#[path = "throughput/data.rs"]
mod data;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keel::base::{Span, Time};
use keel::chain::mempool::MEMORY_DEFAULT;
use keel::chain::{ChainState, Front, FrontSource};
use keel::codec::Encode;
use keel::crypto::ed25519::SecretKey;
use keel::node::{
    BlockReader, CheckpointInterval, ConnId, Direction, Input, Node, NodeConfig, Output, Question,
    Recovered, Ticket, Workbench,
};
use keel::p2p::BanList;
use keel::store::Lsn;
use keel::types::{
    BlockId, Genesis, Height, Millis, NetworkAddress, NodeKey, NodeRecord, RecordContent, Services,
    Uint256, WtxId,
};
use keel::wire::message::{Features, Hello, PROTOCOL_VERSION, RequestId, Role, ShortText};
use keel::wire::{Message, MessageKind};

/// The connections of a node.
const PEERS: u64 = 16;
/// How many events of each kind are fed.
const EVENTS: u64 = 1_500;

/// How many nodes share what is said of one: the system gives memory by pages.
const NODES: u64 = 100;

/// The anonymous memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() << 10
}

/// Nothing is ever read.
struct NoLog;

impl FrontSource for NoLog {
    fn front(&self, _: Lsn) -> Option<Front> {
        None
    }
}

impl BlockReader for NoLog {
    fn read_block(&self, lsn: Lsn) -> Result<Arc<[u8]>, String> {
        Err(format!("there is no log, and nothing at {lsn}"))
    }
}

/// What events of one kind cost.
#[derive(Default)]
struct Cost {
    events: u64,
    time: Duration,
}

/// A node and the world around it.
struct World {
    node: Node,
    bench: Workbench,
    now: Time,
    lsn: u64,
    /// What was sent since this was looked at last.
    sent: Vec<(ConnId, Message)>,
    /// Events that were fed without being asked for, by their kind.
    jobs: Cost,
    timers: Cost,
}

impl World {
    fn new(genesis: &Arc<Genesis>, state: &ChainState) -> Self {
        let now = Time::from_millis(genesis.time.0) + Span::from_secs(100_000);
        let config = NodeConfig {
            record: record(genesis, NodeKey([100; 32])),
            genesis: Arc::clone(genesis),
            peers: Vec::new(),
            listen_port: 9_700,
            mining: None,
            inbound_max: 125,
            mempool_limit: MEMORY_DEFAULT,
            bans: BanList::default(),
            checkpoints: CheckpointInterval::default(),
            min_chain_work: Uint256::ZERO,
        };
        let recovered = Recovered {
            genesis: Some(state.clone()),
            ..Recovered::default()
        };
        let node = Node::open(config, recovered, [9; 32], now);
        let mut world = Self {
            node: node.expect("the chain is one of work"),
            bench: Workbench::new([7; 32], Arc::new(NoLog)),
            now,
            lsn: 0,
            sent: Vec::new(),
            jobs: Cost::default(),
            timers: Cost::default(),
        };
        world.follow();
        world
    }

    /// Takes the node's outputs, and what a driver would answer at once.
    fn outputs(&mut self) -> Vec<Input> {
        let mut answers = Vec::new();
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Send {
                    conn, kind, bytes, ..
                } => {
                    let kind = MessageKind::from_byte(kind).expect("a kind that there is");
                    let engine = keel::types::EngineKind::Work;
                    let message = Message::decode(kind, &bytes, engine);
                    self.sent.push((conn, message.expect("a message")));
                }
                Output::Store(request) => {
                    let lsn = |_| {
                        self.lsn += 1;
                        Lsn::new(self.lsn)
                    };
                    let lsns = request.records.iter().map(lsn).collect();
                    let ticket = Ticket(request.ticket);
                    answers.push(Input::Stored { ticket, lsns });
                }
                Output::Run { job, work } => {
                    let result = work.run(&mut self.bench);
                    answers.push(Input::Done { job, result });
                }
                Output::Close { why, .. } => panic!("{why}"),
                _ => {}
            }
        }
        answers
    }

    /// Everything that follows from the last event.
    fn follow(&mut self) {
        let mut cost = std::mem::take(&mut self.jobs);
        let mut answers = self.outputs();
        while !answers.is_empty() {
            let before = std::mem::take(&mut answers);
            for input in before {
                answers.extend(self.event(input, &mut cost));
            }
        }
        self.jobs = cost;
    }

    /// Feeds one event and takes its outputs, which is what is measured.
    fn event(&mut self, input: Input, cost: &mut Cost) -> Vec<Input> {
        self.measure(cost, |node, now| node.handle(now, input))
    }

    #[expect(clippy::disallowed_methods, reason = "what an event takes is measured")]
    fn measure(&mut self, cost: &mut Cost, event: impl FnOnce(&mut Node, Time)) -> Vec<Input> {
        let start = Instant::now();
        event(&mut self.node, self.now);
        let due = self.node.poll_timeout();
        cost.time += start.elapsed();
        cost.events += 1;
        std::hint::black_box(due);
        self.outputs()
    }

    /// Time passes; timers fire on the way.
    fn wait(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let mut cost = std::mem::take(&mut self.timers);
            let answers = self.measure(&mut cost, Node::handle_timeout);
            self.timers = cost;
            assert!(answers.is_empty(), "a quiet node");
            self.answer_pings();
        }
        self.now = end;
    }

    fn answer_pings(&mut self) {
        for (conn, message) in std::mem::take(&mut self.sent) {
            match message {
                Message::Ping { nonce } => {
                    self.receive(conn, &Message::Pong { nonce }, &mut Cost::default());
                }
                message => self.sent.push((conn, message)),
            }
        }
    }

    fn receive(&mut self, conn: ConnId, message: &Message, cost: &mut Cost) {
        let input = Input::Message {
            conn,
            lane: message.kind().lanes()[0].index() as u8,
            kind: message.kind().byte(),
            bytes: message.encode(),
        };
        let answers = self.event(input, cost);
        let mut jobs = std::mem::take(&mut self.jobs);
        for input in answers {
            let more = self.event(input, &mut jobs);
            assert!(more.is_empty(), "one job follows at most");
        }
        self.jobs = jobs;
    }

    fn connect(&mut self, number: u64, genesis: &Genesis) {
        let conn = ConnId(number);
        let key = NodeKey([number as u8; 32]);
        let address = SocketAddr::from(([10, number as u8, 0, 1], 40_000));
        let direction = if number.is_multiple_of(2) {
            let from = address;
            self.node.handle(self.now, Input::Accepted { conn, from });
            Direction::Inbound
        } else {
            Direction::Outbound
        };
        let record = record(genesis, key);
        let connected = Input::Connected {
            conn,
            direction,
            address,
            record,
        };
        self.node.handle(self.now, connected);
        self.follow();
        let features = Features::NONE;
        for message in [hello(number), Message::Ready { features }] {
            self.receive(conn, &message, &mut Cost::default());
        }
        let sent = std::mem::take(&mut self.sent);
        let asked = sent.iter().find_map(|(_, message)| match message {
            Message::GetHeaders { request, .. } => Some(*request),
            _ => None,
        });
        if let Some(request) = asked {
            let headers = Vec::new();
            let headers = Message::Headers { request, headers };
            self.receive(conn, &headers, &mut Cost::default());
        }
        self.wait(Span::from_secs(4));
    }
}

fn record(genesis: &Genesis, key: NodeKey) -> NodeRecord {
    let content = RecordContent {
        seq: 1,
        expires: Millis(u64::MAX / 2),
        services: Services::FULL_BLOCKS,
        key,
        addresses: Vec::new(),
        vouch: None,
    };
    NodeRecord::sign(content, &genesis.id(), &SecretKey::from_seed(&key.0))
}

fn hello(number: u64) -> Message {
    let observed = SocketAddr::from(([10, 0, 0, 1], 9_700));
    Message::Hello(Box::new(Hello {
        protocol: PROTOCOL_VERSION,
        protocol_min: PROTOCOL_VERSION,
        role: Role::Full,
        listen_port: 0,
        features: Features::NONE,
        services: Services::FULL_BLOCKS,
        best_height: Height::GENESIS,
        best_id: BlockId::ZERO,
        nonce: number,
        reconciliation_salt: 0,
        time: Millis(0),
        observed: NetworkAddress::from_socket(observed).expect("an address"),
        agent: ShortText::new("bench"),
    }))
}

fn wtxid(number: u64) -> WtxId {
    keel::crypto::hash::sha256(&number.to_le_bytes()).into()
}

#[expect(clippy::print_stdout, reason = "a table is what it is for")]
fn show(name: &str, cost: &Cost) {
    let events = cost.events.max(1);
    let nanos = cost.time.as_nanos() as u64 / events;
    println!("{name:<44} {nanos:>7} ns");
}

#[expect(clippy::print_stdout, reason = "a table is what it is for")]
fn memory(what: &str, bytes: u64) {
    println!("{what:<44} {bytes:>7} bytes");
}

#[expect(clippy::too_many_lines, reason = "one kind of event after the other")]
fn main() {
    let genesis = data::genesis();
    let payments = data::payments(&genesis);
    let block = data::block(&genesis, Vec::new());

    let before = resident();
    let state = ChainState::genesis(&genesis);
    memory(
        "the first state, of 2,000 accounts, shared",
        resident() - before,
    );
    let before = resident();
    let new = |_| World::new(&genesis, &state);
    let mut worlds: Vec<World> = (0..NODES).map(new).collect();
    let alone = resident();
    memory("a node", (alone - before) / NODES);
    for world in &mut worlds {
        for number in 1..=PEERS {
            world.connect(number, &genesis);
        }
        world.wait(Span::from_secs(200));
    }
    memory("a peer", (resident() - alone) / NODES / PEERS);
    let mut world = worlds.pop().expect("there are many");

    let call = keel::node::CallId(1);
    let question = Question::SubmitBlock(block.to_bytes());
    world
        .node
        .handle(world.now, Input::Called { call, question });
    world.follow();
    world.sent.clear();
    let peers = (1..=PEERS).map(ConnId).cycle();

    let mut pings = Cost::default();
    for (number, conn) in (0..EVENTS).zip(peers.clone()) {
        let ping = Message::Ping { nonce: number };
        world.receive(conn, &ping, &mut pings);
    }
    show("PING", &pings);
    world.sent.clear();

    let headers = vec![block.header.clone()];
    let announce = Message::Announce { headers };
    let mut announced = Cost::default();
    for (_, conn) in (0..EVENTS).zip(peers.clone()) {
        world.receive(conn, &announce, &mut announced);
    }
    show("ANNOUNCE of a known block", &announced);
    assert!(world.sent.is_empty(), "nothing was asked: it is known");

    let (mut unknown, mut again, mut answers) = Default::default();
    for (number, conn) in (0..EVENTS).zip(peers.clone()) {
        let wtxids = vec![wtxid(number)];
        let inventory = Message::TxInv { wtxids };
        world.receive(conn, &inventory, &mut unknown);
        let other = ConnId(conn.0 % PEERS + 1);
        world.receive(other, &inventory, &mut again);
        world.wait(Span::from_millis(300));
        for (conn, message) in std::mem::take(&mut world.sent) {
            if let Message::GetTx { request, wtxids } = message {
                let ids = wtxids.iter().map(|id| keel::types::Hash(id.0)).collect();
                let missing = Message::NotFound { request, ids };
                world.receive(conn, &missing, &mut answers);
            }
        }
        world.answer_pings();
    }
    show("TX_INV of an unknown transaction", &unknown);
    show("TX_INV of one that somebody is asked for", &again);
    show("NOT_FOUND of a transaction", &answers);
    let (mut first, mut came, mut known) = Default::default();
    world.jobs = Cost::default();
    for (payment, conn) in payments.iter().zip(peers.clone()).take(EVENTS as usize) {
        let wtxids = vec![payment.wtxid()];
        let inventory = Message::TxInv { wtxids };
        world.receive(conn, &inventory, &mut first);
        world.wait(Span::from_millis(300));
        let sent = std::mem::take(&mut world.sent);
        let request = sent.iter().find_map(|(_, message)| message.request());
        let transactions = vec![payment.clone()];
        let request = request.unwrap_or(RequestId(0));
        let transactions = Message::Txs {
            request,
            transactions,
        };
        world.receive(conn, &transactions, &mut came);
        world.wait(Span::from_millis(300));
        world.sent.clear();
        for step in 1..PEERS {
            let other = ConnId((conn.0 + step - 1) % PEERS + 1);
            world.receive(other, &inventory, &mut known);
        }
    }
    show("TXS of a new transaction", &came);
    show("its check is done", &world.jobs);
    show("TX_INV of a known transaction", &known);
    world.timers = Cost::default();
    for _ in 0..EVENTS / PEERS {
        world.wait(Span::from_secs(61));
    }
    show("a timer, mostly of a PING", &world.timers);
}
