//! Stories of one node: what peers and people say to it, and what it does.
//!
//! `Alice` is a production node. Work is done inline; records are stored only when a story says
//! [`Alice::store_done`], and time passes only when it says [`Alice::wait`].

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::chain::mempool::MEMORY_DEFAULT;
use crate::chain::testing::{self, Made, Maker, Person, pay, person};
use crate::chain::{Executed, Front, FrontSource, StateFailure, read_back};
use crate::codec::Encode;
use crate::crypto::ed25519::SecretKey;
use crate::store::{Commits, Disk, Kind, Log, Options, Store};
use crate::types::{
    EngineKind, Millis, NetworkAddress, RecordContent, Services, Transaction, Uint256,
};
use crate::wire::message::{Features, Hello, PROTOCOL_VERSION, RequestId, Role, ShortText};
use crate::wire::{Lane, MessageKind};

mod admission;
mod attempts;
mod blocks;
mod checkpoints;
mod greeting;
mod hostile;
mod journal;
mod known_bugs;
mod known_bugs_headers;
mod mining;
mod promises;
mod sync;
mod transactions;

/// Another node, as far as Alice sees it.
#[derive(Clone, Copy, Debug)]
struct Peer {
    conn: ConnId,
    key: NodeKey,
    address: SocketAddr,
    direction: Direction,
}

/// A peer that connects to Alice, from its own corner of the network.
fn peer(number: u8) -> Peer {
    Peer {
        conn: ConnId(u64::from(number)),
        key: NodeKey([number; 32]),
        address: SocketAddr::from(([10, number, 0, 1], 40_000)),
        direction: Direction::Inbound,
    }
}

/// Alice's own key, in the middle of all keys.
const OWN_KEY: NodeKey = NodeKey([100; 32]);

struct NoLog;

impl FrontSource for NoLog {
    fn front(&self, _: Lsn) -> Option<Front> {
        None
    }
}

impl BlockReader for NoLog {
    fn read_block(&self, lsn: Lsn) -> Result<Arc<[u8]>, String> {
        Err(format!("reads of {lsn} are done by the story"))
    }
}

struct Alice {
    node: Node,
    maker: Maker,
    now: Time,
    bench: Workbench,
    log: BTreeMap<Lsn, Arc<[u8]>>,
    sent: BTreeMap<ConnId, VecDeque<Message>>,
    /// The lane of each request, in which its answer comes.
    lanes: BTreeMap<(ConnId, RequestId), Lane>,
    closed: BTreeMap<ConnId, CloseReason>,
    unstored: VecDeque<Request>,
    answers: BTreeMap<CallId, Result<Reply, CallError>>,
    published: Option<Arc<Published>>,
    events: Vec<Event>,
    dialled: Vec<PeerAddress>,
    awaited: Vec<ConnId>,
    ban_files: Vec<String>,
    /// Blocks to be kept as evidence.
    evidence: Vec<(BlockId, Arc<[u8]>)>,
    records: u64,
    calls: u64,
    /// A real store, where the story has one.
    store: Option<(Store, Commits)>,
    /// The disk has no space, not even for what no story is about.
    full: bool,
    /// The store failed: the machine stopped.
    stopped: bool,
    /// The state can't be read: executions fail.
    damaged: bool,
    /// The block whose record can't be read.
    lost: Option<Lsn>,
    /// What searches found, where the story lets their results wait.
    searched: Option<Vec<Input>>,
    /// Checks of transactions take their time: what came of them, where they do.
    late: Option<Vec<Input>>,
}

/// Somebody with money in every story.
fn rich() -> Person {
    person(1)
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
    let identity = SecretKey::from_seed(&key.0);
    NodeRecord::sign(content, &genesis.id(), &identity)
}

impl Alice {
    /// A node that starts on an empty log, 100 seconds after its chain began.
    fn new() -> Self {
        Self::with(None)
    }

    fn miner() -> Self {
        Self::with(Some(Mining {
            beneficiary: person(90).account,
            hashrate: Some(1_000),
        }))
    }

    fn with(mining: Option<Mining>) -> Self {
        Self::configured(|config| config.mining = mining)
    }

    fn configured(change: impl FnOnce(&mut NodeConfig)) -> Self {
        let genesis = testing::genesis(&[&rich()], 1_000_000_000);
        let mut alice = Self::new_on(&genesis, change, Recovered::default(), None);
        alice.drain();
        alice
    }

    /// A node that starts on what a disk has, and stores everything there.
    fn on_disk(genesis: &Arc<Genesis>, disk: impl Disk + 'static) -> Self {
        let options = Options::production(genesis.id().0, 7, 1).with_segment_size(1 << 20);
        let (store, _) = Store::open(Arc::new(disk), &options).unwrap();
        Self::on_store(genesis, store)
    }

    /// A node that starts on what a real store has, and stores everything there.
    fn on_store(genesis: &Arc<Genesis>, mut store: Store) -> Self {
        let recovered = Recovered::read(&mut store, false).unwrap();
        let mut alice = Self::new_on(genesis, |_| {}, recovered, Some((store, Commits::new())));
        alice.drain();
        alice
    }

    fn new_on(
        genesis: &Arc<Genesis>,
        change: impl FnOnce(&mut NodeConfig),
        recovered: Recovered,
        store: Option<(Store, Commits)>,
    ) -> Self {
        let now = Time::from_millis(genesis.time.0) + Span::from_secs(100);
        let mut config = NodeConfig {
            record: record(genesis, OWN_KEY),
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
        change(&mut config);
        let node = Node::open(config, recovered, [9; 32], now).unwrap();
        let reader: Arc<dyn BlockReader> = match &store {
            Some((store, _)) => Arc::new(store.reader()),
            None => Arc::new(NoLog),
        };
        Self {
            node,
            maker: Maker::new(genesis),
            now,
            bench: Workbench::new([7; 32], reader),
            log: BTreeMap::new(),
            sent: BTreeMap::new(),
            lanes: BTreeMap::new(),
            closed: BTreeMap::new(),
            unstored: VecDeque::new(),
            answers: BTreeMap::new(),
            published: None,
            events: Vec::new(),
            dialled: Vec::new(),
            awaited: Vec::new(),
            ban_files: Vec::new(),
            evidence: Vec::new(),
            records: 0,
            calls: 0,
            store,
            full: false,
            stopped: false,
            damaged: false,
            lost: None,
            searched: None,
            late: None,
        }
    }

    /// Something happens, and everything that follows from it at once.
    fn happens(&mut self, input: Input) {
        self.node.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        let mut done = VecDeque::new();
        loop {
            while let Some(output) = self.node.poll_output() {
                self.output(output, &mut done);
            }
            let Some(input) = done.pop_front() else { break };
            self.node.handle(self.now, input);
        }
    }

    fn output(&mut self, output: Output, done: &mut VecDeque<Input>) {
        match output {
            Output::Send {
                conn,
                lane,
                kind,
                bytes,
            } => {
                assert!(!self.closed.contains_key(&conn), "{conn:?} is closed");
                let kind = MessageKind::from_byte(kind).unwrap();
                let message = Message::decode(kind, &bytes, EngineKind::Work).unwrap();
                if let (Some(request), Some(lane)) = (message.request(), Lane::from_byte(lane)) {
                    self.lanes.insert((conn, request), lane);
                }
                self.sent.entry(conn).or_default().push_back(message);
            }
            Output::AwaitRoom { conn } => self.awaited.push(conn),
            Output::Close { conn, why } => {
                assert!(self.closed.insert(conn, why).is_none(), "closed twice");
            }
            // That an execution begins is no promise, and no story is about the disk's part in it.
            Output::Store(request) if begins_execution(&request) && !self.full => {
                self.records += 1;
                done.push_back(Input::Stored {
                    ticket: Ticket(request.ticket),
                    lsns: vec![Lsn::new(self.records)],
                });
            }
            Output::Store(request) => {
                let accepts = request.records.iter().any(|it| it.kind == Kind::Accepted);
                // Whoever asks for it once it is stored is answered at once.
                assert!(request.sync || !accepts, "what is accepted is durable");
                self.unstored.push_back(request);
            }
            Output::Run { job, work } => {
                let is_search = matches!(work, Job::Search { .. });
                let is_check = matches!(work, Job::CheckTransactions { .. });
                let result = match work {
                    Job::Read { lsn, .. } if self.lost == Some(lsn) => {
                        JobResult::Read(Err("no whole record stands there".to_owned()))
                    }
                    Job::Read { genesis_id, lsn } => {
                        let block = read_back(&genesis_id, &self.logged(lsn));
                        JobResult::Read(Ok(Arc::new(block.unwrap())))
                    }
                    Job::ReadToSend { request, lsn } => {
                        let body = Message::block_body(request, &self.logged(lsn));
                        JobResult::ToSend(Ok(body.into()))
                    }
                    Job::Execute(_) if self.damaged => unreadable(),
                    work => work.run(&mut self.bench),
                };
                let input = Input::Done { job, result };
                match (&mut self.searched, &mut self.late) {
                    (Some(searched), _) if is_search => searched.push(input),
                    (_, Some(late)) if is_check => late.push(input),
                    _ => done.push_back(input),
                }
            }
            Output::Publish(published) => self.published = Some(published),
            Output::Answer { call, reply } => {
                assert!(self.answers.insert(call, reply).is_none(), "answered twice");
            }
            Output::Event(event) => self.events.push(event),
            Output::KeepBans { call, text } => {
                self.ban_files.push(text.to_string());
                let result = Ok(());
                done.push_back(Input::BansKept { call, result });
            }
            Output::KeepEvidence { id, bytes } => self.evidence.push((id, bytes)),
            Output::Dial(peer) => self.dialled.push(peer),
        }
    }

    /// A block that the disk has.
    fn logged(&self, lsn: Lsn) -> Arc<[u8]> {
        match &self.store {
            Some((store, _)) => store.reader().read_block(lsn).unwrap(),
            None => Arc::clone(&self.log[&lsn]),
        }
    }

    /// The oldest group of records is on the disk.
    fn store_next(&mut self) {
        let request = self
            .unstored
            .pop_front()
            .expect("nothing waits for the disk");
        let mut lsns = Vec::new();
        for record in request.records {
            self.records += 1;
            let lsn = Lsn::new(self.records);
            lsns.push(lsn);
            if (record.log, record.kind) == (Log::Blocks, Kind::Block) {
                let block = record.body[BLOCK_RECORD_PREFIX..].into();
                self.log.insert(lsn, block);
            }
        }
        let ticket = Ticket(request.ticket);
        self.happens(Input::Stored { ticket, lsns });
    }

    /// Everything that waits for the disk, and what follows from it, is on the disk.
    fn store_done(&mut self) {
        while !self.unstored.is_empty() && !self.stopped {
            if self.store.is_some() {
                self.store_really();
            } else {
                self.store_next();
            }
        }
    }

    /// Everything that waits goes to the real store in one group.
    fn store_really(&mut self) {
        let Some((store, commits)) = &mut self.store else {
            return;
        };
        self.unstored
            .drain(..)
            .for_each(|request| commits.push(request));
        let mut done = Vec::new();
        while !commits.is_empty() {
            done.extend(commits.run(store));
        }
        for completion in done {
            let ticket = Ticket(completion.ticket);
            match completion.result {
                Ok(lsns) => self.happens(Input::Stored { ticket, lsns }),
                Err(_) => {
                    self.stopped = true;
                    return;
                }
            }
        }
    }

    /// Time passes; timers fire on the way.
    fn wait(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.node.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// A connection from `peer` whose handshake is complete; nothing was said yet but HELLO.
    fn meet(&mut self, peer: Peer) {
        if peer.direction == Direction::Inbound {
            self.happens(Input::Accepted {
                conn: peer.conn,
                from: peer.address,
            });
        }
        self.shake_hands(peer);
    }

    fn shake_hands(&mut self, peer: Peer) {
        let record = record(&self.maker.genesis, peer.key);
        self.happens(Input::Connected {
            conn: peer.conn,
            direction: peer.direction,
            address: peer.address,
            record,
        });
    }

    /// A connection with `peer` that is ready, and on which nothing is under way: the peer has no
    /// headers that Alice lacks.
    fn connect(&mut self, peer: Peer) {
        self.meet(peer);
        self.expect_sent(peer, |m| matches!(m, Message::Hello(_)));
        self.receive(peer, hello(peer));
        self.expect_sent(peer, |m| matches!(m, Message::Ready { .. }));
        self.receive(peer, ready());
        let request = self.expect_get_headers(peer);
        let headers = Vec::new();
        self.receive(peer, Message::Headers { request, headers });
    }

    /// Connections with peers that all announce a block, of which one is asked for it.
    fn meets_tellers(&mut self, peers: [Peer; 2], made: &Made) {
        for peer in peers {
            self.connect(peer);
        }
        for peer in peers {
            self.receive(peer, announce(&[made]));
        }
    }

    fn receive(&mut self, from: Peer, message: Message) {
        let lanes = message.kind().lanes();
        let asked = message.request().map(|request| (from.conn, request));
        let asked = asked.and_then(|asked| self.lanes.get(&asked)).copied();
        let lane = asked
            .filter(|lane| lanes.contains(lane))
            .unwrap_or(lanes[0]);
        self.receive_in(from, lane, message);
    }

    fn receive_in(&mut self, from: Peer, lane: Lane, message: Message) {
        let (kind, bytes) = (message.kind().byte(), message.encode());
        self.receive_raw(from, lane, kind, bytes);
    }

    fn receive_raw(&mut self, from: Peer, lane: Lane, kind: u8, bytes: Vec<u8>) {
        assert!(
            !self.closed.contains_key(&from.conn),
            "the story goes on after the end"
        );
        self.happens(Input::Message {
            conn: from.conn,
            lane: lane.index() as u8,
            kind,
            bytes,
        });
    }

    /// The next message to `peer`, which must be of this sort.
    fn expect_sent(&mut self, peer: Peer, sort: impl FnOnce(&Message) -> bool) -> Message {
        let message = self.sent.get_mut(&peer.conn).and_then(VecDeque::pop_front);
        let message = message.expect("a message is expected and none was sent");
        assert!(sort(&message), "another message was sent: {message:?}");
        message
    }

    fn expect_get_headers(&mut self, peer: Peer) -> RequestId {
        let asked = self.expect_sent(peer, |m| matches!(m, Message::GetHeaders { .. }));
        asked.request().unwrap()
    }

    /// A request for exactly these blocks.
    fn expect_get_blocks(&mut self, peer: Peer, blocks: &[&Made]) -> RequestId {
        let wanted: Vec<BlockId> = blocks.iter().map(|made| made.id).collect();
        let asked = self.expect_sent(
            peer,
            |m| matches!(m, Message::GetBlocks { ids, .. } if *ids == wanted),
        );
        asked.request().unwrap()
    }

    fn expect_silence(&self, peer: Peer) {
        let queue = self.sent.get(&peer.conn);
        assert!(queue.is_none_or(VecDeque::is_empty), "{queue:?}");
        assert!(!self.closed.contains_key(&peer.conn), "{:?}", self.closed);
    }

    /// The connection was closed, for a reason whose text has `rule`.
    fn expect_closed(&self, peer: Peer, rule: &str) {
        let why = self.closed.get(&peer.conn).expect("the connection is open");
        assert!(why.to_string().contains(rule), "{why}");
    }

    fn expect_open(&self, peer: Peer) {
        let why = self.closed.get(&peer.conn);
        assert!(why.is_none(), "{why:?}");
    }

    /// Somebody outside asks.
    fn ask(&mut self, question: Question) -> CallId {
        self.calls += 1;
        let call = CallId(self.calls);
        self.happens(Input::Called { call, question });
        call
    }

    fn submit(&mut self, transaction: &Transaction) -> CallId {
        self.ask(Question::SubmitTransaction(transaction.to_bytes()))
    }

    /// Where a transaction stands.
    fn status(&mut self, transaction: &Transaction) -> TransactionStatus {
        let txid = transaction.txid(&self.maker.genesis.id());
        let call = self.ask(Question::Transaction(txid));
        match &self.answers[&call] {
            Ok(Reply::Transaction(status)) => status.clone(),
            other => panic!("{other:?} is no status"),
        }
    }

    /// What readers see as the tip.
    fn tip(&self) -> BlockId {
        self.published.as_ref().unwrap().tip
    }

    /// A valid block on `parent`.
    fn block_on(&self, parent: &Made) -> Made {
        self.maker.child(&parent.state, person(91).account, &[])
    }

    /// A valid block on the genesis block.
    fn first_block(&self) -> Made {
        self.maker
            .child(&self.maker.root(), person(91).account, &[])
    }

    /// Lets `from` announce a block and give it when it is asked for.
    fn gets_block(&mut self, from: Peer, made: &Made) {
        self.gets_blocks(from, &[made]);
    }

    /// Lets `from` announce blocks and give them when it is asked for all of them at once.
    fn gets_blocks(&mut self, from: Peer, blocks: &[&Made]) {
        self.receive(from, announce(blocks));
        let request = self.expect_get_blocks(from, blocks);
        for made in blocks {
            self.receive(from, block(request, made));
        }
        self.expect_open(from);
    }

    /// What a start finds in the log of a node whose readers were shown `tip`.
    fn recovered(&self, tip: &Made) -> Recovered {
        let header = |(lsn, bytes): (&Lsn, &Arc<[u8]>)| (*lsn, header_of(bytes).unwrap());
        Recovered {
            blocks: self.log.iter().map(header).collect(),
            tip: Some(tip.id),
            ..Recovered::default()
        }
    }

    /// The node starts again on what it finds.
    fn starts_on(&mut self, recovered: Recovered) {
        let config = self.node.config.clone();
        self.node = Node::open(config, recovered, [5; 32], self.now).unwrap();
        self.published = None;
        self.drain();
    }

    fn pays(&self, nonce: u64, amount: u64) -> Transaction {
        pay(
            &self.maker.genesis,
            &rich(),
            (nonce, 5_000),
            person(2).account,
            amount,
        )
    }
}

/// What comes of an execution on a state that can't be read.
fn unreadable() -> JobResult {
    JobResult::Executed(Executed {
        states: Vec::new(),
        fault: None,
        failure: Some(StateFailure {
            at: Lsn::new(5),
            why: "a page is damaged".to_owned(),
        }),
        changed: 0,
    })
}

fn begins_execution(request: &Request) -> bool {
    let kinds = request.records.iter().map(|record| record.kind);
    kinds.eq([Kind::Executing])
}

fn hello(peer: Peer) -> Message {
    Message::Hello(Box::new(Hello {
        protocol: PROTOCOL_VERSION,
        protocol_min: PROTOCOL_VERSION,
        role: Role::Full,
        listen_port: 0,
        features: Features::NONE,
        services: Services::FULL_BLOCKS,
        best_height: Height::GENESIS,
        best_id: BlockId::ZERO,
        nonce: peer.conn.0,
        reconciliation_salt: 0,
        time: Millis(0),
        observed: NetworkAddress::from_socket(SocketAddr::from(([10, 0, 0, 1], 9_700))).unwrap(),
        agent: ShortText::new("bob"),
    }))
}

const fn ready() -> Message {
    Message::Ready {
        features: Features::NONE,
    }
}

fn announce(blocks: &[&Made]) -> Message {
    let headers = blocks.iter().map(|made| made.header.clone()).collect();
    Message::Announce { headers }
}

fn block(request: RequestId, made: &Made) -> Message {
    let block = made.bytes.clone();
    Message::Block { request, block }
}

fn txs(request: RequestId, transaction: &Transaction) -> Message {
    let transactions = vec![transaction.clone()];
    Message::Txs {
        request,
        transactions,
    }
}

fn inventory(transaction: &Transaction) -> Message {
    Message::TxInv {
        wtxids: vec![transaction.wtxid()],
    }
}
