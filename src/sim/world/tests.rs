//! Machines as machines: what is the same twice, recordings, switches. What happens among nodes is
//! told in `sim::story`.

mod checkpoints;
mod crashes;
mod damaged_blocks;
mod old_blocks;
mod pause;

use super::*;
use crate::codec::Encode;
use crate::crypto::ed25519::SecretKey;
use crate::node::Mining;
use crate::sim::network::{Bandwidths, Matrix};
use crate::types::Millis;
use crate::types::{
    AccountId, Amount, Auth, Descriptor, EngineKind, Height, Nonce, Op, Profile, Transaction,
};

/// Somebody with a key.
struct Person {
    secret: SecretKey,
    account: AccountId,
}

fn person(seed: u8) -> Person {
    let secret = SecretKey::from_seed(&[seed; 32]);
    let account = Descriptor::Single(secret.public_key()).account_id();
    Person { secret, account }
}

fn genesis(people: &[&Person]) -> Arc<Genesis> {
    let time = Millis(1_700_000_000_000);
    let mut genesis = Profile::Dev.genesis(EngineKind::Work, "world", time);
    genesis.allocations = people
        .iter()
        .map(|person| (person.account, Amount(1_000_000_000)))
        .collect();
    genesis.allocations.sort();
    genesis.check().unwrap();
    Arc::new(genesis)
}

fn pay(genesis: &Genesis, from: &Person, nonce: u64, to: AccountId, amount: u64) -> Transaction {
    let signature = crate::crypto::ed25519::Signature([0; 64]);
    let mut transaction = Transaction {
        nonce: Nonce(nonce),
        fee: Amount(5_000),
        expiry: Height(0),
        ops: vec![Op::Transfer {
            to,
            amount: Amount(amount),
        }],
        auth: Auth::Single {
            key: from.secret.public_key(),
            signature,
        },
    };
    let signature = from.secret.sign(&transaction.txid(&genesis.id()).0);
    transaction.auth = Auth::Single {
        key: from.secret.public_key(),
        signature,
    };
    transaction
}

/// A world whose machines are all 20 ms from each other.
fn near(seed: u64, genesis: &Arc<Genesis>) -> WorldConfig {
    WorldConfig {
        network: NetworkConfig {
            matrix: Matrix::Uniform(Span::from_millis(20)),
            bandwidth: Bandwidths::Unlimited,
            slow_start: false,
            ..NetworkConfig::default()
        },
        ..WorldConfig::new(seed, Arc::clone(genesis))
    }
}

fn world(seed: u64, genesis: &Arc<Genesis>) -> World {
    World::new(near(seed, genesis))
}

fn four(world: &mut World, miners: usize) -> Vec<NodeIndex> {
    let mut nodes: Vec<NodeIndex> = Vec::new();
    for place in 0..4 {
        let mining = (place < miners).then(|| Mining {
            beneficiary: person(90 + place as u8).account,
            hashrate: Some(2_000),
        });
        let before = nodes.clone();
        nodes.push(world.add(&format!("node {place}"), &before, mining));
    }
    nodes
}

fn tip(world: &World, node: NodeIndex) -> Option<crate::types::BlockId> {
    world.published(node).map(|published| published.tip)
}

fn height(world: &World, node: NodeIndex) -> u64 {
    world
        .published(node)
        .map_or(0, |published| published.header.height.0)
}

/// Pays twice a block at `payer` until `follower` has so many blocks; gives the next nonce.
fn pay_until(
    world: &mut World,
    (from, to): (&Person, &Person),
    (payer, follower): (NodeIndex, NodeIndex),
    blocks: u64,
) -> u64 {
    let genesis = Arc::clone(&world.config.genesis);
    let mut nonce = 0;
    while height(world, follower) < blocks {
        for _ in 0..2 {
            let payment = pay(&genesis, from, nonce, to.account, 1_000 + nonce).to_bytes();
            world.call(payer, Question::SubmitTransaction(payment));
            nonce += 1;
        }
        let at = height(world, follower);
        assert!(world.run_until(Span::from_secs(120), |w| height(w, follower) > at));
    }
    nonce
}

fn agree(world: &World, nodes: &[NodeIndex]) -> bool {
    nodes
        .iter()
        .all(|node| tip(world, *node).is_some() && tip(world, *node) == tip(world, nodes[0]))
}

fn answer(world: &mut World, call: CallId) -> Result<Reply, CallError> {
    let mut reply = None;
    world.run_until(Span::from_secs(5), |_| false);
    reply = world.reply(call).or(reply);
    reply.expect("the node answers")
}

#[test]
fn the_same_seed_gives_the_same_events_and_another_seed_others() {
    let alice = person(1);
    let genesis = genesis(&[&alice]);
    let run = |seed| {
        let mut world = world(seed, &genesis);
        let nodes = four(&mut world, 3);
        world.run(Span::from_secs(30));
        (world.event_hash(), tip(&world, nodes[3]))
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_recorded_node_lives_again_event_for_event() {
    let (alice, bob) = (person(1), person(2));
    let genesis = genesis(&[&alice, &bob]);
    let mut world = world(9, &genesis);
    let nodes = four(&mut world, 4);
    world.run(Span::from_secs(20));
    // A small limit, so that snapshots are taken on the way.
    assert!(world.run_until(Span::from_secs(5), |w| w.node(nodes[1]).unwrap().is_quiet()));
    assert!(world.record(nodes[1], 200_000));
    for nonce in 0..20 {
        let payment = pay(&genesis, &bob, nonce, alice.account, 1_000 + nonce);
        world.call(
            nodes[(nonce % 4) as usize],
            Question::SubmitTransaction(payment.to_bytes()),
        );
        world.run(Span::from_secs(3));
    }
    world.cut(Cut::Pair(1, 0));
    world.run(Span::from_secs(20));
    let (recording, hash) = world.recording(nodes[1]).unwrap();
    let recording = Recording::from_bytes(&recording.to_bytes()).unwrap();
    let replay = |until| {
        let mut runner = crate::node::Inline::new(recording.reader());
        recording.replay(until, &mut runner, &mut |_, _| {})
    };
    let whole = replay(None).unwrap();
    assert_eq!(whole.hash, hash, "the replayed node is the node");
    assert!(whole.marks >= 2, "{whole:?}");
    let mut lines = 0;
    let mut tell = |_: u64, _: Time, line: &str| lines += usize::from(!line.is_empty());
    let every = Span::from_secs(10);
    let played = crate::sim::playback::play(&recording, None, every, &mut tell).unwrap();
    assert_eq!(played.replayed, whole);
    assert!(lines as u64 > whole.events.1 - whole.events.0, "{lines}");
    let height = world.published(nodes[1]).unwrap().header.height;
    assert_eq!(played.observations.blocks().heights().2, height);
    let half = u64::midpoint(whole.events.0, whole.events.1);
    let stopped = replay(Some(half)).unwrap();
    assert_eq!(stopped.events.1, half);
    assert_ne!(stopped.hash, hash);
    assert_eq!(replay(Some(half)), Ok(stopped));
}

#[test]
fn a_recording_that_was_tampered_with_is_found_out() {
    let alice = person(1);
    let genesis = genesis(&[&alice]);
    let mut world = world(2, &genesis);
    let nodes = four(&mut world, 2);
    assert!(world.run_until(Span::from_secs(5), |w| w.node(nodes[0]).unwrap().is_quiet()));
    assert!(world.record(nodes[0], 50_000));
    world.run(Span::from_secs(40));
    let (recording, _) = world.recording(nodes[0]).unwrap();
    let mut shown = Vec::new();
    let mut runner = crate::node::Inline::new(recording.reader());
    let replayed = recording.replay(None, &mut runner, &mut |event, seen| {
        use crate::node::{Entry, Shown};
        if let Shown::Entry(entry) = seen {
            shown.push((event, matches!(entry, Entry::Timeout(_))));
        }
    });
    let replayed = replayed.expect("the recording replays");
    assert!(replayed.marks > 0, "{replayed:?}");
    // A timeout less, in the midst of it, and the marks behind it no longer hold.
    let place = shown
        .iter()
        .skip(shown.len() / 2)
        .find(|(_, timeout)| *timeout)
        .unwrap()
        .0;
    let tampered = recording.without_event(place);
    let mut runner = crate::node::Inline::new(tampered.reader());
    assert!(tampered.replay(None, &mut runner, &mut |_, _| {}).is_err());
}

/// A node with much in its memory would otherwise do nothing but write it down.
#[test]
fn a_snapshot_longer_than_the_way_to_the_next_is_not_written_again_at_once() {
    const BASE_EVERY: u64 = 1_000;
    let alice = person(1);
    let genesis = genesis(&[&alice]);
    let mut world = world(2, &genesis);
    let nodes = four(&mut world, 2);
    assert!(world.run_until(Span::from_secs(5), |w| w.node(nodes[0]).unwrap().is_quiet()));
    assert!(world.record(nodes[0], BASE_EVERY));
    world.run(Span::from_secs(40));
    let (recording, _) = world.recording(nodes[0]).unwrap();
    let (mut snapshots, mut between) = (Vec::new(), 0);
    let mut runner = crate::node::Inline::new(recording.reader());
    let replayed = recording.replay(None, &mut runner, &mut |_, seen| {
        use crate::node::{Entry, Shown};
        if let Shown::Entry(entry) = seen {
            let bytes = postcard::to_extend(entry, Vec::new()).unwrap().len() as u64;
            match entry {
                Entry::Base(_) => snapshots.push(bytes),
                _ => between += bytes,
            }
        }
    });
    replayed.expect("the recording replays");
    assert!(snapshots.iter().all(|bytes| *bytes > BASE_EVERY));
    let most = 1 + between / BASE_EVERY;
    assert!((3..=most).contains(&(snapshots.len() as u64)), "{most}");
}

/// What is done in a simpler way changes nothing that happens.
#[test]
fn switches_do_not_change_what_happens() {
    let (alice, bob) = (person(1), person(2));
    let genesis = genesis(&[&alice, &bob]);
    let run = |switches: Switches| {
        let mut world = World::new(WorldConfig {
            switches,
            ..WorldConfig::new(11, Arc::clone(&genesis))
        });
        let nodes = four(&mut world, 4);
        world.run(Span::from_secs(10));
        for nonce in 0..6 {
            let payment = pay(&genesis, &bob, nonce, alice.account, 1_000 + nonce).to_bytes();
            let at = nodes[(nonce % 4) as usize];
            world.call(at, Question::SubmitTransaction(payment));
            world.run(Span::from_secs(1));
        }
        world.crash(nodes[1], Crash::Kill);
        world.run(Span::from_secs(3));
        world.start(nodes[1]);
        let cut = world.cut(Cut::Split(vec![0, 1]));
        world.run(Span::from_secs(20));
        world.mend(cut);
        world.run(Span::from_secs(20));
        assert!(height(&world, nodes[0]) > 10);
        (world.event_hash(), world.happenings())
    };
    let all = Switches::default();
    let expected = run(all);
    for (plain_frames, memoised_verdicts, simulated_costs) in [
        (false, true, true),
        (true, false, true),
        (true, true, false),
        (false, false, false),
    ] {
        let switches = Switches {
            plain_frames,
            memoised_verdicts,
            simulated_costs,
        };
        assert_eq!(run(switches), expected, "{switches:?}");
    }
}
