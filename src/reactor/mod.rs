//! The event loop of a running node.
//!
//! *Owns* the node, the sockets, the timers' clock and the signals. *Invariants*: nothing in the
//! loop blocks; every connection has its share of a turn and every buffer its cap, so that no
//! peer and no client keeps the others waiting; every input reaches the node through
//! one door, one at a time, and what the node wants is done before the next.
//! *Never* decides anything about the chain or about peers: the node does. Never writes a file or
//! does slow work: that goes to the [`LogQueue`] and the [`Workers`], which wake the loop.

mod clock;
mod events;
pub mod http;
mod outputs;
mod peer;
mod peers;
mod ports;
mod serve;
mod web;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use crate::base::{Span, Time, Timers};
use crate::node::{CloseCause, ConnId, Input, Node, Published, Recorder, Ticket};
use crate::store::Failure;
use crate::types::{GenesisId, NodeKey, NodeRecord};
use crate::wire::{Network, NodeIdentity};

pub use clock::Clock;
#[cfg(test)]
pub(crate) use ports::LooseDesk;
pub use ports::{
    BanFile, Counters, Desk, EvidenceFolder, ExchangeId, LogQueue, Logged, Queries, Query, QueryId,
    SaveId, Saved, Service, Supervisor, Workers,
};

use events::PeerLines;
use peer::PeerSocket;
use ports::Wishes;
use web::WebSocket;

/// Tokens below this are the loop's own; a connection's number is its token.
const CONNECTIONS: usize = 64;
const WAKER: Token = Token(0);
const SIGNALS: Token = Token(1);
const HTTP_LISTENER: Token = Token(2);
const PEER_LISTENERS: usize = 3;
/// The most addresses to listen on.
pub const LISTENERS_MAX: usize = CONNECTIONS - PEER_LISTENERS;
/// Events taken from the poll at once.
const EVENTS_MAX: usize = 256;
/// Results of workers and of the log taken in a turn.
const RESULTS_MAX: usize = 256;
/// How often connections are looked at for deadlines.
const SWEEP_INTERVAL: Span = Span::from_secs(1);
/// How long the loop goes on after a stop, so that clients get their answers.
const FAREWELL_TIME: Span = Span::from_millis(300);
/// How often the own record is signed anew; each is valid for a week.
const SIGN_INTERVAL: Span = Span::from_secs(24 * 3_600);

/// The loop's own timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Look for connections whose time is up.
    Sweep,
    /// Accept connections again.
    Accept,
    /// Sign the own record anew.
    Sign,
    /// Tell the supervisor.
    Supervise,
    /// The farewell is over.
    Stop,
}

/// Why the loop could not begin, or not go on.
#[derive(Debug)]
pub enum ReactorError {
    /// The system refuses what the loop can't do without.
    System {
        /// What was tried.
        call: &'static str,
        /// Why not.
        error: io::Error,
    },
    /// An address can't be listened on.
    Listen {
        /// The setting that names it.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The logs can't be written.
    Store(Failure),
}

impl fmt::Display for ReactorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { call, error } => write!(f, "{call} failed: {error}"),
            Self::Listen {
                setting,
                address,
                error,
            } => {
                write!(
                    f,
                    "{setting}: can't listen on {address}: {error}; set another {setting}, or make \
                     this one free"
                )
            }
            Self::Store(failure) => write!(f, "{failure}"),
        }
    }
}

impl std::error::Error for ReactorError {}

fn failed(call: &'static str) -> impl FnOnce(io::Error) -> ReactorError {
    move |error| ReactorError::System { call, error }
}

/// The poll that a loop waits on, made before the loop so that others get its waker.
pub struct Poller {
    poll: Poll,
    waker: Arc<Waker>,
}

impl Poller {
    /// A poll and its waker.
    pub fn new() -> Result<Self, ReactorError> {
        let poll = Poll::new().map_err(failed("epoll"))?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(failed("eventfd"))?;
        Ok(Self {
            poll,
            waker: Arc::new(waker),
        })
    }

    /// What wakes the loop from another thread.
    #[must_use]
    pub fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        let waker = Arc::clone(&self.waker);
        Arc::new(move || {
            // A waker fails when the loop is gone, and then nobody waits.
            let _ = waker.wake();
        })
    }
}

/// What a loop is told at its start.
pub struct ReactorConfig {
    /// Where peers connect to.
    pub listen: Vec<SocketAddr>,
    /// Where HTTP is served.
    pub http: Option<SocketAddr>,
    /// The names that HTTP may be called by.
    pub http_hosts: Vec<String>,
    /// The chain.
    pub network: Network,
    /// The chain's id, for the own record.
    pub genesis_id: GenesisId,
    /// The node's keys.
    pub identity: NodeIdentity,
    /// What the node says about itself.
    pub record: NodeRecord,
    /// Bytes of recording after which a new snapshot of the node is written; 0 records nothing.
    pub record_base_every: u64,
}

/// Who does what the loop does not.
pub struct Ports {
    /// The threads that do jobs.
    pub workers: Box<dyn Workers>,
    /// The thread that answers queries.
    pub queries: Box<dyn Queries>,
    /// The thread that writes the logs.
    pub log: Box<dyn LogQueue>,
    /// Who answers HTTP requests.
    pub service: Box<dyn Service>,
    /// Who keeps the bans.
    pub bans: Box<dyn BanFile>,
    /// Who keeps blocks on whose outcome nodes do not agree.
    pub evidence: Box<dyn EvidenceFolder>,
    /// Who wants to hear that the process lives.
    pub supervisor: Box<dyn Supervisor>,
}

/// The loop.
pub struct Reactor {
    poll: Poll,
    clock: Clock,
    node: Node,
    ports: Ports,
    config: ReactorConfig,
    signals: Signals,
    timers: Timers<Timer>,
    listeners: Vec<(TcpListener, SocketAddr)>,
    http_listener: Option<TcpListener>,
    peers: BTreeMap<ConnId, PeerSocket>,
    web: BTreeMap<ExchangeId, WebSocket>,
    /// Connections with something to do before the poll says anything new.
    busy_peers: BTreeSet<ConnId>,
    busy_web: BTreeSet<ExchangeId>,
    /// Inputs that came up while an output was carried out.
    inputs: VecDeque<Input>,
    published: Option<Arc<Published>>,
    recorder: Option<Recorder>,
    saves: Vec<(SaveId, String)>,
    counters: Counters,
    peer_lines: PeerLines,
    wishes: Wishes,
    next_call: u64,
    next_connection: usize,
    stopping: bool,
    failure: Option<Failure>,
    buffer: Vec<u8>,
}

impl Reactor {
    /// A loop around a node, listening already.
    pub fn new(
        poller: Poller,
        clock: Clock,
        node: Node,
        ports: Ports,
        config: ReactorConfig,
    ) -> Result<Self, ReactorError> {
        let registry = poller.poll.registry();
        let mut signals =
            Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(failed("taking signals"))?;
        registry
            .register(&mut signals, SIGNALS, Interest::READABLE)
            .map_err(failed("watching signals"))?;
        let listen = |setting, address: SocketAddr, token| {
            let listener = TcpListener::bind(address).and_then(|mut listener| {
                registry.register(&mut listener, token, Interest::READABLE)?;
                Ok(listener)
            });
            listener.map_err(|error| ReactorError::Listen {
                setting,
                address,
                error,
            })
        };
        let mut listeners = Vec::new();
        for (index, address) in config.listen.iter().take(LISTENERS_MAX).enumerate() {
            let listener = listen("listen", *address, Token(PEER_LISTENERS + index))?;
            listeners.push((listener, *address));
        }
        let http_listener = match config.http {
            Some(address) => Some(listen("rpc", address, HTTP_LISTENER)?),
            None => None,
        };
        let mut timers = Timers::default();
        timers.set(Timer::Sign, clock.now() + SIGN_INTERVAL);
        timers.set(Timer::Supervise, clock.now());
        Ok(Self {
            poll: poller.poll,
            clock,
            node,
            ports,
            config,
            signals,
            timers,
            listeners,
            http_listener,
            peers: BTreeMap::new(),
            web: BTreeMap::new(),
            busy_peers: BTreeSet::new(),
            busy_web: BTreeSet::new(),
            inputs: VecDeque::new(),
            published: None,
            recorder: None,
            saves: Vec::new(),
            counters: Counters::default(),
            peer_lines: PeerLines::new(),
            wishes: Wishes::default(),
            next_call: 0,
            next_connection: CONNECTIONS,
            stopping: false,
            failure: None,
            buffer: vec![0; 64 << 10],
        })
    }

    /// The key that peers dial.
    #[must_use]
    pub fn node_key(&self) -> NodeKey {
        self.config.identity.key()
    }

    /// Runs until a signal or a call says stop, or the logs can't be written; then ends the
    /// workers and the logs.
    pub fn run(&mut self) -> Result<(), ReactorError> {
        let ran = self.turn();
        self.ports.workers.finish();
        let finished = self.ports.log.finish();
        ran.and(finished.map_err(ReactorError::Store))
    }

    /// Turns until it is time to end.
    fn turn(&mut self) -> Result<(), ReactorError> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        // What the node wanted when it was opened.
        self.handled();
        self.run_inputs();
        loop {
            match self.poll.poll(&mut events, self.patience()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed("epoll_wait")(error)),
            }
            let begun = self.clock.passed();
            for event in &events {
                self.happened(event);
            }
            self.take_results();
            self.take_answers();
            self.take_saved();
            self.serve_busy();
            self.fire_timers();
            self.serve_busy();
            self.counters.turns += 1;
            let took = self.clock.passed().as_micros() - begun.as_micros();
            self.counters.turn_micros_max = self.counters.turn_micros_max.max(took);
            if let Some(failure) = self.failure.take() {
                return Err(ReactorError::Store(failure));
            }
            if self.stopping
                && (self.web.is_empty() || self.timers.deadline(&Timer::Stop).is_none())
            {
                return Ok(());
            }
        }
    }

    /// How long to wait when nothing happens.
    fn patience(&self) -> Option<Duration> {
        if !self.busy_peers.is_empty() || !self.busy_web.is_empty() {
            return Some(Duration::ZERO);
        }
        let deadline = match (self.node.poll_timeout(), self.timers.earliest()) {
            (Some(node), Some(own)) => node.min(own),
            (node, own) => node.or(own)?,
        };
        // Rounded up: a wait that ends just before the deadline would be followed by another.
        let span = deadline.since(self.clock.now());
        Some(Duration::from_micros(
            span.as_micros().next_multiple_of(1_000),
        ))
    }

    fn happened(&mut self, event: &Event) {
        match event.token() {
            WAKER => {}
            SIGNALS => {
                let signals: Vec<i32> = self.signals.pending().collect();
                for signal in signals {
                    match signal {
                        SIGHUP => log::info!("SIGHUP: nothing to reload; restart to reconfigure"),
                        _ => self.stop("a signal"),
                    }
                }
            }
            HTTP_LISTENER => self.accept_web(),
            Token(token) if token < CONNECTIONS => self.accept_peers(token - PEER_LISTENERS),
            Token(token) => {
                let (conn, exchange) = (ConnId(token as u64), ExchangeId(token as u64));
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.note(event);
                    self.busy_peers.insert(conn);
                } else if let Some(web) = self.web.get_mut(&exchange) {
                    web.note(event);
                    self.busy_web.insert(exchange);
                }
            }
        }
    }

    /// A number for a new connection.
    fn next_token(&mut self) -> Token {
        self.next_connection += 1;
        Token(self.next_connection)
    }

    /// Gives every connection that has something to do its share of the turn.
    fn serve_busy(&mut self) {
        for exchange in std::mem::take(&mut self.busy_web) {
            self.serve_web(exchange);
        }
        for conn in std::mem::take(&mut self.busy_peers) {
            self.serve_peer(conn);
        }
    }

    /// Takes what workers and the log have done.
    fn take_results(&mut self) {
        for _ in 0..RESULTS_MAX {
            let Some((job, result)) = self.ports.workers.take_done() else {
                break;
            };
            self.feed(Input::Done { job, result });
        }
        for _ in 0..RESULTS_MAX {
            let Some(logged) = self.ports.log.take_done() else {
                break;
            };
            let result = logged.and_then(|logged| match logged {
                Logged::DiskFull(full) => Ok(Input::DiskFull(full)),
                // A request that was refused would leave a gap between what the node did before
                // and after it: the process ends, and begins again from what the log has.
                Logged::Done(done) => Ok(Input::Stored {
                    ticket: Ticket(done.ticket),
                    lsns: done.result?,
                }),
            });
            match result {
                Ok(input) => self.feed(input),
                Err(failure) => {
                    self.failure.get_or_insert(failure);
                }
            }
        }
    }

    fn take_answers(&mut self) {
        for _ in 0..RESULTS_MAX {
            let Some((query, answer)) = self.ports.queries.take_done() else {
                break;
            };
            self.with_service(|service, desk| service.queried(query, answer, desk));
        }
        self.run_inputs();
    }

    fn take_saved(&mut self) {
        while let Some((call, result)) = self.ports.bans.take_kept() {
            self.feed(Input::BansKept { call, result });
        }
        while let Some((save, result)) = self.ports.log.take_saved() {
            self.with_service(|service, desk| service.saved(save, result, desk));
        }
    }

    /// Gives the node an input, and what comes up while it is dealt with.
    fn feed(&mut self, input: Input) {
        self.inputs.push_back(input);
        self.run_inputs();
    }

    /// The one way into the node. What it is given, it is given here and in
    /// [`fire_timers`](Self::fire_timers), in this order and with this time, and written down
    /// before.
    fn run_inputs(&mut self) {
        while let Some(input) = self.inputs.pop_front() {
            let now = self.clock.now();
            let input = match &mut self.recorder {
                Some(recorder) => recorder.input(now, input),
                None => input,
            };
            self.write_record();
            self.counters.inputs += 1;
            self.node.handle(now, input);
            self.handled();
        }
    }

    fn fire_timers(&mut self) {
        let now = self.clock.now();
        if self.node.poll_timeout().is_some_and(|at| at <= now) {
            if let Some(recorder) = &mut self.recorder {
                recorder.timeout(now);
            }
            self.write_record();
            self.node.handle_timeout(now);
            self.handled();
        }
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Sweep => self.sweep(now),
                Timer::Accept => self.accept_again(),
                Timer::Sign => self.sign_record(now),
                Timer::Supervise => self.tell_supervisor(now),
                // That it is no longer set ends the loop.
                Timer::Stop => {}
            }
        }
        self.run_inputs();
    }

    /// The node has handled something: does what it wants done, and lets the recorder look.
    fn handled(&mut self) {
        self.carry_out_all();
        match &mut self.recorder {
            Some(recorder) => recorder.handled(&self.node),
            None => self.begin_recording(),
        }
        self.save_records();
        self.write_record();
    }

    /// Begins to record at the first quiet moment.
    fn begin_recording(&mut self) {
        let every = self.config.record_base_every;
        if every > 0 && self.node.is_quiet() {
            self.recorder = Some(Recorder::start(&self.node, every));
        }
    }

    /// Hands what is recorded to the log. That is done before the node handles what it tells of,
    /// so that an input that ends the process is among it.
    fn write_record(&mut self) {
        if let Some(recorder) = &mut self.recorder
            && recorder.has_pieces()
        {
            self.ports.log.record(recorder.take());
        }
    }

    /// Writes the recordings that were asked for: up to now, with a mark at the end, so that a
    /// replay of the file is checked to its last event.
    fn save_records(&mut self) {
        if self.saves.is_empty() {
            return;
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.mark(&self.node);
            self.write_record();
        }
        for (save, name) in std::mem::take(&mut self.saves) {
            self.ports.log.save_record(save, name);
        }
    }

    fn sweep(&mut self, now: Time) {
        let late = |(conn, peer): (&ConnId, &PeerSocket)| peer.is_late(now).then_some(*conn);
        let late: Vec<ConnId> = self.peers.iter().filter_map(late).collect();
        for conn in late {
            self.lose_peer(conn, CloseCause::TimedOut);
        }
        self.sweep_web(now);
        if !self.peers.is_empty() || !self.web.is_empty() {
            self.timers.set(Timer::Sweep, now + SWEEP_INTERVAL);
        }
    }

    /// Says that the process lives. That the loop turns is seen from this being called; a loop
    /// beside logs that nobody writes is as good as one that hangs.
    fn tell_supervisor(&mut self, now: Time) {
        let Some(interval) = self.ports.supervisor.interval() else {
            return;
        };
        if self.failure.is_none() && self.ports.log.is_working() {
            self.ports.supervisor.alive(self.published.as_deref());
        }
        self.timers.set(Timer::Supervise, now + interval);
    }

    /// Begins to stop: nothing new is accepted, what was answered is sent.
    fn stop(&mut self, why: &str) {
        if self.stopping {
            return;
        }
        log::info!("stopping: {why}");
        self.stopping = true;
        self.ports.supervisor.stopping();
        self.timers.clear(&Timer::Supervise);
        self.listeners.clear();
        self.http_listener = None;
        self.timers.clear(&Timer::Accept);
        self.timers
            .set(Timer::Stop, self.clock.now() + FAREWELL_TIME);
        self.end_idle_web();
    }

    fn sign_record(&mut self, now: Time) {
        self.config.record = sign_record(
            &self.config.identity,
            &self.config.genesis_id,
            &self.config.record,
            now,
        );
        let record = self.config.record.clone();
        self.inputs.push_back(Input::Renewed { record });
        self.timers.set(Timer::Sign, now + SIGN_INTERVAL);
    }
}

/// The record with a new time and signature.
fn sign_record(
    identity: &NodeIdentity,
    genesis: &GenesisId,
    record: &NodeRecord,
    now: Time,
) -> NodeRecord {
    let content = &record.content;
    identity.sign_record(
        genesis,
        now.as_millis(),
        crate::types::Millis((now + crate::types::RECORD_LIFE_MAX).as_millis()),
        content.services,
        &content.addresses,
        content.vouch.clone(),
    )
}
