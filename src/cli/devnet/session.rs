//! A running devnet: the one loop that decides. It owns everything that changes; threads tell it
//! what they hear from the nodes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::base::{Rng, Span, Time};
use crate::types::{BlockId, Height, TxId};

use super::audit::{self, Finding};
use super::chain::BestChain;
use super::client::{ClientError, Left};
use super::load::{Counts, Load, Payment};
use super::node::Node;
use super::plan::{self, Place};
use super::process::{self, NodeProcess};
use super::report::{PaymentReport, Report};
use super::screen::{Row, View};
use super::threads::{Connect, Event, Threads, clock};

/// How long the loop waits for news before it looks at the clock.
const TICK: Duration = Duration::from_millis(20);
/// How long the first start of all nodes may take.
const START_WITHIN: Span = Span::from_secs(60);
/// How long the nodes may take to agree when the load has ended.
const SETTLE_WITHIN: Span = Span::from_secs(60);
/// How often the settled devnet is looked over until it is right.
const AUDIT_EVERY: Span = Span::from_millis(500);
/// How often chaos strikes.
const CHAOS_EVERY: Span = Span::from_secs(5);
/// How long paused nodes are paused: two blocks, and less than the time between two strikes.
const PAUSE_FOR: Span = Span::from_secs(4);
/// How long a node may take to stop when asked to.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// One connection carries about this many payments a second, each acknowledged from disk.
const PAYMENTS_PER_CONNECTION: u32 = 50;
/// The most connections for payments to one node.
const CONNECTIONS_MAX: u32 = 8;

/// What is done to the nodes while they work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Chaos {
    /// Kill a process with SIGKILL and start it again at once.
    Kill,
    /// Isolate a node for four seconds by stopping its neighbours with SIGSTOP; afterwards its
    /// blocks meet theirs.
    Pause,
}

/// What a session is to do.
pub(super) struct Settings {
    /// What stands above the table.
    pub(super) title: String,
    /// What stands below it while payments go on.
    pub(super) notice: String,
    pub(super) hrp: String,
    pub(super) genesis: BlockId,
    pub(super) genesis_parent: BlockId,
    pub(super) tps: u32,
    pub(super) duration: Option<Span>,
    pub(super) chaos: Vec<Chaos>,
    pub(super) seed: u64,
}

/// How a session ended.
pub(super) enum Ending {
    /// Its duration is over, and the nodes were looked over.
    Complete(Box<Report>),
    /// Somebody wanted it to stop, after this time and what was paid in it.
    Interrupted(Span, Counts),
}

enum Phase {
    Starting,
    Paying { since: Time },
    Settling { since: Time, next_audit: Time },
}

/// A running devnet.
pub(super) struct Session {
    settings: Settings,
    began: Instant,
    nodes: Vec<Node>,
    load: Load,
    events: Receiver<Event>,
    /// Asks the follower to read the blocks up to a node's tip.
    follow: Sender<(usize, BlockId)>,
    following: bool,
    followed: (Height, BlockId),
    phase: Phase,
    rng: Rng,
    next_strike: Time,
    strikes: usize,
    kills: u32,
    pauses: u32,
    /// The node that the next payment is for.
    turn: usize,
    threads: Threads,
}

impl Session {
    /// A session with nodes whose processes run.
    pub(super) fn new(
        settings: Settings,
        load: Load,
        nodes: Vec<(Place, NodeProcess, Connect)>,
    ) -> Self {
        let (mut threads, events) = Threads::new();
        let connections = settings.tps / nodes.len() as u32 / PAYMENTS_PER_CONNECTION + 1;
        let connects = nodes.iter().map(|node| Arc::clone(&node.2)).collect();
        let chain = BestChain::new(settings.genesis, settings.genesis_parent);
        let follow = threads.follow(chain, connects);
        let attend = |(number, (place, process, connect))| {
            let payments = threads.attend(number, &connect, connections.min(CONNECTIONS_MAX));
            Node::new(place, process, connect, payments)
        };
        let nodes = nodes.into_iter().enumerate().map(attend).collect();
        Self {
            began: clock(),
            nodes,
            load,
            events,
            follow,
            following: false,
            followed: (Height::GENESIS, settings.genesis),
            phase: Phase::Starting,
            rng: Rng::from_number(settings.seed).fork("devnet chaos"),
            next_strike: Time::EPOCH,
            strikes: 0,
            kills: 0,
            pauses: 0,
            turn: 0,
            threads,
            settings,
        }
    }

    /// Time since the session began.
    fn now(&self) -> Time {
        Time::EPOCH + Span::from_micros(self.began.elapsed().as_micros() as u64)
    }

    /// Goes on until the duration is over or `interrupted` is set, and stops the nodes then.
    pub(super) fn run(
        mut self,
        interrupted: &AtomicBool,
        show: &mut dyn FnMut(&View<'_>),
    ) -> Result<Ending, String> {
        let mut report = loop {
            self.take_events();
            self.check_processes()?;
            self.follow_best();
            if interrupted.load(Ordering::Relaxed) {
                break None;
            }
            if let Some(report) = self.advance()? {
                break Some(report);
            }
            self.show(show);
        };
        self.show(show);
        let so_far = (self.now().since(Time::EPOCH), self.load.counts());
        let problems = self.shut_down();
        match &mut report {
            Some(report) => report.problems.extend(problems),
            None if !problems.is_empty() => return Err(problems.join("\n")),
            None => {}
        }
        Ok(match report {
            None => Ending::Interrupted(so_far.0, so_far.1),
            Some(mut report) => {
                report.ok = report.problems.is_empty();
                Ending::Complete(Box::new(report))
            }
        })
    }

    fn take_events(&mut self) {
        match self.events.recv_timeout(TICK) {
            Ok(event) => self.take(event),
            Err(RecvTimeoutError::Timeout) => return,
            Err(RecvTimeoutError::Disconnected) => {
                unreachable!("the follower lives as long as the session asks it")
            }
        }
        while let Ok(event) = self.events.try_recv() {
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Status { node, status } => self.nodes[node].heard(status.ok()),
            Event::Answer {
                node,
                txid,
                outcome,
            } => match outcome {
                Ok(()) => {
                    self.load.accepted(txid);
                    self.nodes[node].accepted(now);
                }
                Err(ClientError::Refused(why)) => self.load.refused(txid, &why, now),
                Err(ClientError::Unanswered(_)) => self.load.unanswered(txid, now),
            },
            Event::Followed(step) => {
                self.following = false;
                let Some(step) = step else { return };
                for link in &step.left {
                    self.load.disconnected(&link.txids, now);
                }
                for link in step.joined.iter().rev() {
                    self.load.connected(link.height, &link.txids, now);
                }
                if let Some(tip) = step.joined.first() {
                    self.followed = (tip.height, tip.id);
                }
            }
        }
    }

    /// A node that ends by itself ends the session.
    fn check_processes(&mut self) -> Result<(), String> {
        for (number, node) in self.nodes.iter_mut().enumerate() {
            let ended = node.process.ended();
            if let Some(status) = ended.map_err(|error| failed("look after", number, &error))? {
                return Err(format!(
                    "node {} ended by itself with {}; the last lines of its log:\n{}",
                    number + 1,
                    process::describe(status),
                    node.process.log_tail()
                ));
            }
        }
        Ok(())
    }

    /// Has new blocks read when there are some.
    fn follow_best(&mut self) {
        if self.following {
            return;
        }
        let ready = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.is_ready());
        let tips = ready.filter_map(|(number, node)| Some((node.status.as_ref()?, number)));
        let Some((best, number)) = tips.max_by_key(|(status, _)| status.height) else {
            return;
        };
        let (height, tip) = self.followed;
        // Of two tips at one height the first seen is kept until all nodes have the other.
        if best.height > height || (best.tip != tip && self.tips_agree()) {
            self.following = self.follow.try_send((number, best.tip)).is_ok();
        }
    }

    fn tips_agree(&self) -> bool {
        let tips: BTreeSet<Option<BlockId>> = self
            .nodes
            .iter()
            .map(|node| node.status.as_ref().map(|status| status.tip))
            .collect();
        tips.len() == 1 && self.nodes.iter().all(Node::is_ready)
    }

    /// Does what is due in this phase; gives the report when everything is done.
    fn advance(&mut self) -> Result<Option<Report>, String> {
        let now = self.now();
        match self.phase {
            Phase::Starting => {
                if self.nodes.iter().all(Node::is_ready) {
                    self.phase = Phase::Paying { since: now };
                    self.next_strike = now + CHAOS_EVERY;
                } else if now.since(Time::EPOCH) > START_WITHIN {
                    return Err(self.no_start());
                }
            }
            Phase::Paying { since } => {
                self.pay(now, now.since(since));
                self.strike(now)?;
                if self
                    .settings
                    .duration
                    .is_some_and(|span| now.since(since) >= span)
                {
                    self.resume(Time::from_micros(u64::MAX))?;
                    self.phase = Phase::Settling {
                        since: now,
                        next_audit: now,
                    };
                }
            }
            Phase::Settling { since, next_audit } => {
                self.pay_again(now);
                let over = now.since(since) >= SETTLE_WITHIN;
                let settled = self.tips_agree() && self.load.open() == 0;
                if over || (settled && now >= next_audit) {
                    let finding = self.audit();
                    if over || finding.as_ref().is_ok_and(Finding::is_good) {
                        return Ok(Some(self.report(finding)));
                    }
                    let next_audit = self.now() + AUDIT_EVERY;
                    self.phase = Phase::Settling { since, next_audit };
                }
            }
        }
        Ok(None)
    }

    fn no_start(&self) -> String {
        let mut text = String::from("these nodes did not start:");
        for (number, node) in self.nodes.iter().enumerate() {
            if !node.is_ready() {
                text.push_str(&format!(
                    "\nnode {}: {}",
                    number + 1,
                    node.process.log_tail()
                ));
            }
        }
        text
    }

    /// Makes the payments that are due, each at the next node that can take it.
    fn pay(&mut self, now: Time, paying: Span) {
        self.pay_again(now);
        for _ in 0..self.load.due(paying) {
            let Some(node) = self.next_node() else { return };
            let base_fee = self.nodes[node]
                .status
                .as_ref()
                .map_or(0, |status| status.base_fee);
            let Some(payment) = self.load.make(now, base_fee) else {
                return;
            };
            self.send(node, payment, now);
        }
    }

    /// Sends payments again that got no answer.
    fn pay_again(&mut self, now: Time) {
        while let Some(node) = self.next_node() {
            let Some(payment) = self.load.retry(now) else {
                return;
            };
            self.send(node, payment, now);
        }
    }

    fn send(&mut self, node: usize, payment: Payment, now: Time) {
        let txid = payment.txid;
        if self.nodes[node].payments.try_send(payment).is_err() {
            self.load.unanswered(txid, now);
        }
    }

    /// The next node that is ready, not behind, and has room for a payment.
    fn next_node(&mut self) -> Option<usize> {
        let best = self
            .nodes
            .iter()
            .filter_map(|node| Some(node.status.as_ref()?.height.0))
            .max();
        let count = self.nodes.len();
        let mut order = (0..count).map(|step| (self.turn + step) % count);
        let found = order.find(|number| {
            let node = &self.nodes[*number];
            let height = node.status.as_ref().map(|status| status.height.0 + 1);
            node.is_ready() && height >= best && !node.payments.is_full()
        })?;
        self.turn = found + 1;
        Some(found)
    }

    /// Does the next thing that chaos has in store, when it is time.
    fn strike(&mut self, now: Time) -> Result<(), String> {
        self.resume(now)?;
        if self.settings.chaos.is_empty() || now < self.next_strike {
            return Ok(());
        }
        self.next_strike = now + CHAOS_EVERY;
        let chaos = self.settings.chaos[self.strikes % self.settings.chaos.len()];
        self.strikes += 1;
        let victim = self.rng.below(self.nodes.len() as u64) as usize;
        let done = match chaos {
            Chaos::Kill => {
                self.kills += 1;
                self.nodes[victim].kill_and_restart()
            }
            Chaos::Pause => {
                self.pauses += 1;
                let places: Vec<&Place> = self.nodes.iter().map(|node| &node.place).collect();
                let around = plan::neighbours(&places, victim);
                let mut paused = around
                    .into_iter()
                    .map(|node| self.nodes[node].pause(now + PAUSE_FOR));
                paused.try_for_each(|done| done)
            }
        };
        done.map_err(|error| failed("strike", victim, &error))
    }

    /// Lets nodes go on whose pause is over.
    fn resume(&mut self, now: Time) -> Result<(), String> {
        for (number, node) in self.nodes.iter_mut().enumerate() {
            node.resume(now)
                .map_err(|error| failed("resume", number, &error))?;
        }
        Ok(())
    }

    /// Asks every node for everything it has.
    fn audit(&self) -> Result<Finding, String> {
        let mut holdings = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let mut client = (node.connect)(Duration::from_secs(10));
            let holding = audit::holding(&mut client, self.settings.genesis)
                .map_err(|error| format!("node {}: {error}", number + 1))?;
            holdings.push(holding);
        }
        Ok(audit::judge(&holdings, &self.load.promised().collect()))
    }

    fn report(&self, finding: Result<Finding, String>) -> Report {
        let mut problems = Vec::new();
        let finding = finding.unwrap_or_else(|problem| {
            problems.push(problem);
            Finding::default()
        });
        if problems.is_empty() && !finding.tips_agree {
            problems.push("the nodes have different tips".to_owned());
        }
        if !finding.lost.is_empty() {
            problems.push(format!("{} accepted payments are lost", finding.lost.len()));
        }
        if !finding.repeated.is_empty() {
            problems.push(format!(
                "{} payments were made twice",
                finding.repeated.len()
            ));
        }
        if self.load.open() > 0 {
            problems.push(format!("{} payments have no answer", self.load.open()));
        }
        let counts = self.load.counts();
        if counts.accepted == 0 && self.settings.tps > 0 {
            problems.push("no payment was accepted".to_owned());
        }
        let mut left = Left::default();
        self.nodes.iter().for_each(|node| left += node.left.total());
        let seconds = |span: Span| span.as_micros() as f64 / 1e6;
        let hex = |txids: &[TxId]| txids.iter().map(TxId::to_string).collect();
        Report {
            ok: problems.is_empty(),
            problems,
            seconds: seconds(self.now().since(Time::EPOCH)),
            tips_agree: finding.tips_agree,
            reorganisations: left.reorganisations,
            disconnected_blocks: left.blocks,
            kills: self.kills,
            pauses: self.pauses,
            first_payment_seconds: self
                .load
                .first()
                .map(|paid| seconds(paid.included.since(Time::EPOCH))),
            nodes: self
                .nodes
                .iter()
                .enumerate()
                .map(|(at, node)| node.report(at))
                .collect(),
            payments: PaymentReport {
                made: counts.made,
                missed: counts.missed,
                accepted: counts.accepted,
                refused: counts.refused,
                refusals: self.load.reasons().clone(),
                unanswered: counts.unanswered,
                in_chain: finding.in_chain,
                waiting: finding.waiting,
                lost: hex(&finding.lost),
                repeated: hex(&finding.repeated),
                median_seconds: self.load.latency(50).map(seconds),
                p99_seconds: self.load.latency(99).map(seconds),
            },
        }
    }

    fn show(&mut self, show: &mut dyn FnMut(&View<'_>)) {
        let now = self.now();
        let rows: Vec<Row> = self.nodes.iter_mut().map(|node| node.row(now)).collect();
        let notice = match self.phase {
            Phase::Starting => "the nodes start",
            Phase::Paying { .. } => &self.settings.notice,
            Phase::Settling { .. } => "the payments are over; the nodes come to an agreement",
        };
        show(&View {
            title: &self.settings.title,
            hrp: &self.settings.hrp,
            elapsed: now.since(Time::EPOCH),
            rows: &rows,
            counts: self.load.counts(),
            median: self.load.latency(50),
            first: self.load.first(),
            latest: self.load.latest(),
            notice,
        });
    }

    /// Stops threads and nodes; says what did not stop as it should.
    fn shut_down(mut self) -> Vec<String> {
        self.threads.stop();
        let deadline = clock() + STOP_WITHIN;
        for node in &mut self.nodes {
            // A process that can't be signalled has ended, which the wait below notices.
            let _ = node.process.resume();
            let _ = node.process.terminate();
        }
        let nodes = self.nodes.iter_mut().enumerate();
        let mut problems: Vec<String> = nodes
            .filter_map(|(number, node)| node.end(number, deadline))
            .collect();
        let Self {
            nodes,
            follow,
            threads,
            events,
            ..
        } = self;
        drop((nodes, follow, events));
        if !threads.join() {
            problems.push("a thread of the devnet panicked".to_owned());
        }
        problems
    }
}

fn failed(what: &str, number: usize, error: &std::io::Error) -> String {
    format!("could not {what} node {}: {error}", number + 1)
}
