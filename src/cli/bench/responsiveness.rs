//! `keel bench responsiveness`: a node with all its workers busy answers pings, announcements of
//! blocks and the RPC.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::chain::CheckedBlock;
use crate::rpc::client::Client;
use crate::types::{BlockId, Genesis, Header};
use crate::wire::message::HEADERS_MAX;
use crate::wire::{Lane, Message};

use super::super::{CommandError, Output};
use super::latency::Latencies;
use super::peer::Peer;
use super::place::{Folder, Running, Site, Workers};
use super::{ASK_EVERY, chain, clock, flood, pause};

/// How often a block is announced, at most: the next one when the one before was asked for.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(100);
const PING_EVERY: Duration = Duration::from_millis(20);
/// Connections that hand over work. Each has a batch under way: together they are more than two
/// checks take, so that the next is full when one ends.
const FLOODS: u64 = 12;
/// How long the node may take for what is under way in the end.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is asked over the RPC, each answered by the loop without a worker.
const METHODS: [&str; 4] = [
    "getblockcount",
    "getblockchaininfo",
    "getpeerinfo",
    "getmempoolinfo",
];

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    span: Duration,
    /// What the workers spent in that time.
    workers: Workers,
    refused: u64,
    rpc: Latencies,
    peer: OfPeer,
    /// The height that the node came to.
    height: u64,
}

/// What a peer measured.
#[derive(Debug, Default)]
struct OfPeer {
    pings: Latencies,
    announced: u64,
    /// From the announcement of a block to the request for it.
    announcements: Latencies,
}

/// Measures for this long.
pub(super) fn measure(
    parent: &Path,
    span: Duration,
    output: &Output,
) -> Result<Measured, CommandError> {
    let folder = Folder::make(parent)?;
    let count = span.as_millis().div_ceil(ANNOUNCE_EVERY.as_millis()) as u32 + 1;
    // Room for the blocks between the genesis and now.
    let mut genesis = chain::genesis(count * 500);
    genesis.allocations.push((flood::account(), flood::BALANCE));
    genesis.allocations.sort_unstable();
    let genesis = Arc::new(genesis);
    let blocks = chain::empty_blocks(&genesis, count)?;
    let site = Site::alone(&folder, "node", &genesis)?;
    let mut node = site.start()?;
    let begun = clock();
    while node.tip()?.is_none() {
        if begun.elapsed() > PATIENCE {
            return Err(CommandError::failed(format!(
                "the node does not start; the last lines of its log:\n{}",
                node.log_tail()
            )));
        }
        pause(ASK_EVERY);
    }
    let peer = Peer::connect(&site, &genesis)?;
    output.note("keeping all workers busy ..");
    let measured = watch(&mut node, peer, &genesis, &blocks, span)?;
    node.stop()?;
    Ok(measured)
}

/// Keeps the workers busy, and asks the node meanwhile.
fn watch(
    node: &mut Running<'_>,
    peer: Peer,
    genesis: &Genesis,
    blocks: &[Arc<CheckedBlock>],
    span: Duration,
) -> Result<Measured, CommandError> {
    let stop = AtomicBool::new(false);
    let genesis_id = genesis.id();
    let clients = (0..=FLOODS).map(|_| node.client());
    let mut clients: VecDeque<Client> = clients.collect::<Result<_, _>>()?;
    let asking = clients.pop_front().expect("there is one more than floods");
    let before = node.workers()?;
    let (flooded, rpc, of_peer, spent) = thread::scope(|scope| {
        let floods: Vec<_> = clients
            .into_iter()
            .zip(0..)
            .map(|(client, number)| {
                let client = client.with_answer_time(PATIENCE);
                let stop = &stop;
                let genesis_id = &genesis_id;
                scope.spawn(move || flood::flood(client, genesis_id, (number, FLOODS), stop))
            })
            .collect();
        let calls = scope.spawn(|| call(asking, &stop));
        let ran = talk(peer, genesis, blocks, span);
        let spent = node.workers();
        stop.store(true, Ordering::Relaxed);
        let flooded: Result<u64, CommandError> = floods
            .into_iter()
            .map(|flood| flood.join().expect("a flood does not panic"))
            .sum();
        let rpc = calls.join().expect("a caller does not panic");
        (flooded, rpc, ran, spent)
    });
    // What broke the connection is told by its peer, and the rest follows from it.
    let (of_peer, mut peer) = of_peer?;
    let measured = Measured {
        span,
        workers: {
            let spent = spent?;
            Workers {
                ran: spent.ran.saturating_sub(before.ran),
                waited: spent.waited.saturating_sub(before.waited),
                ..spent
            }
        },
        refused: flooded?,
        rpc: rpc?,
        height: 0,
        peer: of_peer,
    };
    let height = settle(node, &mut peer, measured.peer.announced)?;
    Ok(Measured { height, ..measured })
}

/// Asks over the RPC, one question at a time.
fn call(mut client: Client, stop: &AtomicBool) -> Result<Latencies, CommandError> {
    let mut latencies = Latencies::default();
    for method in METHODS.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let begun = clock();
        let answer = client.call(method, &Value::Null);
        answer.map_err(|error| CommandError::failed(format!("{method}: {error}")))?;
        latencies.add(begun.elapsed());
        pause(ASK_EVERY);
    }
    Ok(latencies)
}

/// A peer that tells of its blocks one by one, and gives what it is asked for.
struct Talk<'a> {
    peer: Peer,
    genesis: BlockId,
    blocks: &'a [Arc<CheckedBlock>],
    ping: Option<(u64, Instant)>,
    announced: Option<Instant>,
    measured: OfPeer,
}

/// Pings and announces for as long as `span`, and until what is under way is answered.
fn talk<'a>(
    peer: Peer,
    genesis: &Genesis,
    blocks: &'a [Arc<CheckedBlock>],
    span: Duration,
) -> Result<(OfPeer, Talk<'a>), CommandError> {
    let mut talk = Talk {
        peer,
        genesis: crate::chain::ChainState::genesis(genesis).id,
        blocks,
        ping: None,
        announced: None,
        measured: OfPeer::default(),
    };
    let begun = clock();
    let (mut next_ping, mut next_block) = (Duration::ZERO, Duration::ZERO);
    loop {
        let now = begun.elapsed();
        let is_over = now >= span;
        if is_over && talk.ping.is_none() && talk.announced.is_none() {
            return Ok((std::mem::take(&mut talk.measured), talk));
        }
        if now > span + PATIENCE {
            return Err(CommandError::failed(
                "a ping or an announcement has no answer within a minute",
            ));
        }
        if !is_over && now >= next_ping && talk.ping.is_none() {
            next_ping = now + PING_EVERY;
            talk.send_ping()?;
        }
        if !is_over && now >= next_block && talk.announced.is_none() {
            next_block = now + ANNOUNCE_EVERY;
            talk.announce()?;
        }
        let next = next_ping.min(next_block).saturating_sub(begun.elapsed());
        talk.hear(next.clamp(Duration::from_millis(1), PING_EVERY))?;
    }
}

impl Talk<'_> {
    fn send_ping(&mut self) -> Result<(), CommandError> {
        let nonce = self.measured.pings.count() as u64;
        self.ping = Some((nonce, clock()));
        self.peer.send(Lane::Control, &Message::Ping { nonce })
    }

    fn announce(&mut self) -> Result<(), CommandError> {
        let Some(block) = self.blocks.get(self.measured.announced as usize) else {
            return Ok(());
        };
        self.measured.announced += 1;
        self.announced = Some(clock());
        let headers = vec![block.header.clone()];
        self.peer
            .send(Lane::Announcements, &Message::Announce { headers })
    }

    /// Takes what the node says within `patience`, and answers it.
    fn hear(&mut self, patience: Duration) -> Result<(), CommandError> {
        let Some((lane, message)) = self.peer.receive(patience)? else {
            return Ok(());
        };
        match message {
            Message::Ping { nonce } => self.peer.send(lane, &Message::Pong { nonce }),
            Message::Pong { nonce } => {
                if let Some((_, at)) = self.ping.take_if(|(sent, _)| *sent == nonce) {
                    self.measured.pings.add(at.elapsed());
                }
                Ok(())
            }
            Message::GetBlocks { request, ids } => {
                for id in ids {
                    self.note_request(&id);
                    let Some(block) = self.told().iter().find(|block| block.id == id) else {
                        return Err(CommandError::failed("a block nobody told of is asked for"));
                    };
                    let block = block.bytes.to_vec();
                    self.peer.send(lane, &Message::Block { request, block })?;
                }
                Ok(())
            }
            Message::GetHeaders {
                request, locator, ..
            } => {
                let headers = self.headers_after(&locator);
                self.peer.send(lane, &Message::Headers { request, headers })
            }
            _ => Ok(()),
        }
    }

    /// The blocks that were announced.
    fn told(&self) -> &[Arc<CheckedBlock>] {
        &self.blocks[..self.measured.announced as usize]
    }

    /// Takes note that the block announced last is asked for.
    fn note_request(&mut self, id: &BlockId) {
        if self.told().last().is_some_and(|block| block.id == *id)
            && let Some(at) = self.announced.take()
        {
            self.measured.announcements.add(at.elapsed());
        }
    }

    /// The headers that follow the first id of a locator that is known here.
    fn headers_after(&self, locator: &[BlockId]) -> Vec<Header> {
        let height = |id: &BlockId| match *id == self.genesis {
            true => Some(0),
            false => self
                .told()
                .iter()
                .position(|it| it.id == *id)
                .map(|at| at + 1),
        };
        let from = locator.iter().find_map(height).unwrap_or(0);
        let headers = self.told()[from..].iter().map(|it| it.header.clone());
        headers.take(HEADERS_MAX).collect()
    }
}

/// Lets the node take in what it was told of, and gives the height that it comes to.
fn settle(node: &Running<'_>, talk: &mut Talk<'_>, announced: u64) -> Result<u64, CommandError> {
    let mut client = node.client()?;
    let begun = clock();
    loop {
        let height = client
            .call("getblockcount", &Value::Null)
            .ok()
            .and_then(|height| height.as_u64())
            .unwrap_or(0);
        if height >= announced || begun.elapsed() > PATIENCE {
            return Ok(height);
        }
        talk.hear(PING_EVERY)?;
    }
}

impl Measured {
    /// How much of the workers' time this was.
    fn share(&self, time: Duration) -> f64 {
        time.as_secs_f64() / (self.span.as_secs_f64() * f64::from(self.workers.count))
    }

    /// How much of their time the workers had work to do.
    fn busy(&self) -> f64 {
        self.share(self.workers.ran + self.workers.waited)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "seconds": self.span.as_secs_f64(),
            "workers": self.workers.count,
            "workers_busy": self.busy(),
            "workers_on_processor": self.share(self.workers.ran),
            "refused_transactions": self.refused,
            "rpc": self.rpc.to_json(),
            "pings": self.peer.pings.to_json(),
            "announcements": self.peer.announcements.to_json(),
            "announced": self.peer.announced,
            "height": self.height,
        })
    }

    pub(super) fn to_text(&self) -> String {
        format!(
            "{} workers for {} s, {:.0} % of that with work to do and {:.0} % on a processor: {} \
             transactions of 16 signatures verified and refused\n\
             rpc           {}\n\
             ping          {}\n\
             announcement  {}\n\
             of {} blocks announced the node has {}",
            self.workers.count,
            self.span.as_secs_f64(),
            self.busy() * 100.0,
            self.share(self.workers.ran) * 100.0,
            self.refused,
            self.rpc.to_text(),
            self.peer.pings.to_text(),
            self.peer.announcements.to_text(),
            self.peer.announced,
            self.height
        )
    }
}
