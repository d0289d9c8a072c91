//! What the simulator's machines need for what they do, measured from the real code.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::base::{Rng, Span, Time};
use crate::chain::{Assembly, Execution, SignatureBench, check_blocks, check_transactions};
use crate::crypto::sha256::search;
use crate::sim::network::{Bandwidths, NetworkConfig};
use crate::sim::{Costs, NodeIndex, World, WorldConfig};
use crate::types::{EngineKind, Genesis, Height, Millis, Profile, Rules, Services, Transaction};
use crate::wire::{Handshake, Lane, MessageKind, Network, NodeIdentity, Transport, shake_hands};

use super::super::CommandError;
use super::chain::{Sample, sample};
use super::clock;

/// Each measurement is the least of so many: what else a machine does only adds.
const ROUNDS: usize = 7;
/// Payments of the block that is measured.
const PAYMENTS: u32 = 1_024;
const KIB: usize = 1_024;

/// The table that is stored and the one of this machine.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) here: Costs,
}

impl Measured {
    /// The file that [`Costs::of_toml`] reads.
    pub(super) fn to_toml(&self) -> String {
        let head = "# What a node's loop and cores need for what they do, in nanoseconds, as \
                    `keel bench costs --write`\n# measured it from the code beside this file in a \
                    release build on one core of a server.\n";
        let table = toml::to_string(&self.here).expect("numbers have a form");
        format!("{head}{table}")
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "stored": Costs::default(), "here": self.here })
    }

    pub(super) fn to_text(&self) -> String {
        let (stored, here) = (json!(Costs::default()), json!(self.here));
        let mut text = format!("{:<24}{:>14}{:>14}\n", "nanoseconds for", "stored", "here");
        for (name, value) in stored.as_object().into_iter().flatten() {
            let (value, here) = (value.to_string(), here[name].to_string());
            text += &format!("{name:<24}{value:>14}{here:>14}\n");
        }
        text + "hashes_per_millisecond is a speed. The simulator uses what is stored."
    }
}

/// Measures everything on this core.
pub(super) fn measure() -> Result<Measured, CommandError> {
    let sample = sample(PAYMENTS)?;
    let message = message_cost(64);
    let long = message_cost(KIB * 64);
    let (loop_input, loop_timeout) = loop_costs();
    let block = block_cost(&sample);
    let signature = signature_cost(&sample);
    let execution = execution_cost(&sample);
    let assembly = assembly_cost(&sample);
    let transactions = u64::from(PAYMENTS);
    let kib = sample.block.bytes.len() as u64 / KIB as u64;
    Ok(Measured {
        here: Costs {
            timeout: loop_timeout,
            // A message is opened, and then it is an input like others.
            message: message + loop_input,
            message_kib: long.saturating_sub(message) / 63,
            handshake: handshake_cost(),
            input: loop_input,
            signature: signature / transactions,
            block_kib: block / kib.max(1),
            execution: execution / transactions,
            assembly,
            job: 2 * loop_input,
            hashes_per_millisecond: hashing_speed(),
            read: block / 4,
            pages: execution,
        },
    })
}

/// The least of several times, in nanoseconds.
fn least(mut act: impl FnMut() -> Duration) -> u64 {
    let times = (0..ROUNDS).map(|_| act());
    times.min().map_or(0, |time| time.as_nanos() as u64)
}

fn signature_cost(sample: &Sample) -> u64 {
    let rules = Rules::at(&sample.genesis, Height(1));
    let id = sample.genesis.id();
    let plain = sample.block.transactions.iter();
    let all: Vec<Transaction> = plain.map(|it| it.transaction.clone()).collect();
    least(|| {
        // A bench that has seen nothing, as for transactions that nobody has seen.
        let mut bench = SignatureBench::new([3; 32], Arc::default());
        let transactions = all.clone();
        let begun = clock();
        let checked = check_transactions(&id, rules, None, transactions, &mut bench);
        let took = begun.elapsed();
        let checked = checked.expect("no state is read");
        assert!(checked.iter().all(Result::is_ok), "payments are good");
        took
    })
}

fn block_cost(sample: &Sample) -> u64 {
    let id = sample.genesis.id();
    let mut bench = SignatureBench::new([3; 32], Arc::default());
    let blocks = [Arc::clone(&sample.block.bytes)];
    // A node knows the signatures of most of a block's transactions before it comes.
    let plain = sample.block.transactions.iter();
    let all = plain.map(|it| it.transaction.clone()).collect();
    let rules = Rules::at(&sample.genesis, Height(1));
    let known = check_transactions(&id, rules, None, all, &mut bench);
    let known = known.expect("no state is read");
    assert!(known.iter().all(Result::is_ok), "payments are good");
    least(|| {
        let begun = clock();
        let checked = check_blocks(&sample.genesis, &sample.rules, &id, &blocks, &mut bench);
        let took = begun.elapsed();
        assert!(checked.iter().all(Result::is_ok), "the block is good");
        took
    })
}

fn execution_cost(sample: &Sample) -> u64 {
    least(|| {
        let execution = Execution {
            genesis: Arc::clone(&sample.genesis),
            base: sample.parent.clone(),
            undos: Vec::new(),
            blocks: vec![Arc::clone(&sample.block)],
        };
        let begun = clock();
        let executed = execution.run();
        let took = begun.elapsed();
        assert!(executed.fault.is_none(), "the block is good");
        took
    })
}

fn assembly_cost(sample: &Sample) -> u64 {
    least(|| {
        let assembly = Assembly {
            genesis: Arc::clone(&sample.genesis),
            base: sample.parent.clone(),
            header: sample.block.header.clone(),
            // A small block, as most are: execution has its own price.
            candidates: sample.block.transactions[..16].to_vec(),
        };
        let begun = clock();
        let template = assembly.run();
        let took = begun.elapsed();
        assert!(template.is_ok(), "a state in memory can be read");
        took
    })
}

fn hashing_speed() -> u64 {
    const HASHES: u64 = 200_000;
    let header = [7; 204];
    let nanos = least(|| {
        let begun = clock();
        // No hash is zero, so that all are tried.
        let found = search(&header, 0..HASHES, &[0; 32]);
        let took = begun.elapsed();
        assert!(found.is_none(), "no hash is below zero");
        took
    });
    HASHES * 1_000_000 / nanos.max(1)
}

/// Two ends that shook hands.
fn shake(identities: &[NodeIdentity; 2]) -> [Transport; 2] {
    let genesis = chain();
    let network = Network {
        genesis: genesis.id(),
        engine: EngineKind::Work,
        puzzle_bits: 0,
    };
    let [near, far] = identities;
    let record = |identity: &NodeIdentity| {
        let expires = Millis(u64::MAX);
        identity.sign_record(&genesis.id(), 1, expires, Services::FULL_BLOCKS, &[], None)
    };
    let key = |byte| Zeroizing::new([byte; 32]);
    let first = Handshake::initiate(network, near, &record(near), &far.key(), key(1));
    let second = Handshake::respond(network, far, &record(far), key(2));
    shake_hands(first.expect("the key is one"), second).expect("both know each other")
}

fn identities() -> [NodeIdentity; 2] {
    [1, 2].map(|seed| NodeIdentity::generate(&mut Rng::from_number(seed), 0))
}

/// What either end of a handshake costs.
fn handshake_cost() -> u64 {
    let identities = identities();
    least(|| {
        let begun = clock();
        let ends = shake(&identities);
        let took = begun.elapsed();
        drop(ends);
        took
    }) / 2
}

/// What it costs to open a message of so many bytes.
fn message_cost(length: usize) -> u64 {
    const MESSAGES: u32 = 64;
    let [mut near, mut far] = shake(&identities());
    let now = Time::from_millis(1);
    // Greetings come first.
    for kind in [MessageKind::Hello, MessageKind::Ready] {
        pass(&mut near, &mut far, now, Lane::Control, kind, 4);
        pass(&mut far, &mut near, now, Lane::Control, kind, 4);
    }
    let lane = Lane::Transactions;
    least(|| {
        let all =
            (0..MESSAGES).map(|_| pass(&mut near, &mut far, now, lane, MessageKind::Txs, length));
        all.sum()
    }) / u64::from(MESSAGES)
}

/// Sends one message; how long its receiver was busy.
fn pass(
    from: &mut Transport,
    to: &mut Transport,
    now: Time,
    lane: Lane,
    kind: MessageKind,
    length: usize,
) -> Duration {
    let sent = from.send(lane, kind, vec![5; length]);
    sent.expect("nothing else is queued");
    let mut sealed = Vec::new();
    from.write(&mut sealed, usize::MAX);
    let begun = clock();
    to.receive(now, &sealed).expect("what was sealed opens");
    let message = to.next_message().expect("the message is whole");
    let took = begun.elapsed();
    to.consumed(message.lane, message.bytes.len());
    sealed.clear();
    to.write(&mut sealed, usize::MAX);
    from.receive(now, &sealed).expect("credit opens");
    took
}

fn chain() -> Arc<Genesis> {
    Arc::new(Profile::Dev.genesis(EngineKind::Work, "costs", Millis(1_700_000_000_000)))
}

/// What a node's loop needs for an input and for a timeout: what a world of machines without jobs
/// takes for everything that happens in it.
fn loop_costs() -> (u64, u64) {
    let nanos = least(|| {
        let mut world = World::new(WorldConfig {
            network: NetworkConfig {
                bandwidth: Bandwidths::Unlimited,
                ..NetworkConfig::default()
            },
            keep_events: false,
            ..WorldConfig::new(1, chain())
        });
        for place in 0..16 {
            let peers: Vec<NodeIndex> = (0..place).map(NodeIndex).collect();
            world.add("machine", &peers, None);
        }
        world.run(Span::from_secs(20));
        let before = world.happenings();
        let begun = clock();
        // Pings, answers and the timers between them.
        world.run(Span::from_secs(1_200));
        let took = begun.elapsed();
        took / u32::try_from(world.happenings() - before).unwrap_or(u32::MAX)
    });
    (nanos, nanos)
}
