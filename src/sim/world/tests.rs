mod checkpoints;

use super::*;
use crate::chain::TransactionFault;
use crate::codec::Encode;
use crate::crypto::ed25519::SecretKey;
use crate::node::Mining;
use crate::sim::network::{Bandwidths, Matrix};
use crate::types::Millis;
use crate::types::{
    AccountId, Amount, Auth, Descriptor, EngineKind, Height, Nonce, Op, Profile, Transaction, TxId,
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

fn balance(world: &World, node: NodeIndex, account: &AccountId) -> u64 {
    let published = world.published(node).unwrap();
    published
        .state
        .account(account)
        .unwrap()
        .map_or(0, |account| account.balance.0)
}

#[test]
fn four_nodes_mine_pay_and_agree() {
    let (alice, bob) = (person(1), person(2));
    let genesis = genesis(&[&alice, &bob]);
    let mut world = world(1, &genesis);
    let nodes = four(&mut world, 4);
    assert!(world.run_until(Span::from_secs(60), |w| height(w, nodes[0]) >= 3));
    let shop = person(3).account;
    let payment = pay(&genesis, &alice, 0, shop, 777);
    let txid: TxId = payment.txid(&genesis.id());
    let call = world.call(nodes[0], Question::SubmitTransaction(payment.to_bytes()));
    let reply = answer(&mut world, call);
    assert!(
        matches!(reply, Ok(Reply::Accepted { txid: id, .. }) if id == txid),
        "{reply:?}"
    );
    let paid = |w: &World| nodes.iter().all(|node| balance(w, *node, &shop) == 777);
    assert!(world.run_until(Span::from_secs(120), paid));
    let settled = |w: &World| agree(w, &nodes) && height(w, nodes[0]) >= 20;
    assert!(world.run_until(Span::from_secs(300), settled));
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
fn a_partition_forks_the_chain_and_its_end_joins_it() {
    let (alice, bob) = (person(1), person(2));
    let genesis = genesis(&[&alice, &bob]);
    let mut world = world(3, &genesis);
    let nodes = four(&mut world, 4);
    assert!(world.run_until(Span::from_secs(60), |w| agree(w, &nodes)
        && height(w, nodes[0]) >= 2));
    let cut = world.cut(Cut::Split(vec![0, 1]));
    // Each side takes its own spending of the same money.
    let (left, right) = (person(11).account, person(12).account);
    let pays = |to| pay(&genesis, &alice, 0, to, 900_000_000).to_bytes();
    let calls = [
        world.call(nodes[0], Question::SubmitTransaction(pays(left))),
        world.call(nodes[2], Question::SubmitTransaction(pays(right))),
    ];
    world.run(Span::from_secs(60));
    for call in calls {
        assert!(matches!(
            world.reply(call),
            Some(Ok(Reply::Accepted { .. }))
        ));
    }
    assert!(!agree(&world, &nodes), "both sides mine");
    assert_eq!(balance(&world, nodes[0], &left), 900_000_000);
    assert_eq!(balance(&world, nodes[2], &right), 900_000_000);
    world.mend(cut);
    assert!(world.run_until(Span::from_secs(300), |w| agree(w, &nodes)));
    let reorganised = world.events().iter().any(|(_, _, event)| {
        matches!(
            event,
            Event::TipChanged {
                disconnected: 2..,
                ..
            }
        )
    });
    assert!(reorganised, "one side left at least two blocks");
    let spent = |node| (balance(&world, node, &left), balance(&world, node, &right));
    let outcome = spent(nodes[0]);
    assert!(
        outcome == (900_000_000, 0) || outcome == (0, 900_000_000),
        "{outcome:?}"
    );
    assert!(nodes.iter().all(|node| spent(*node) == outcome));
}

#[test]
fn a_crashed_node_comes_back_with_everything_it_acknowledged() {
    let (alice, bob) = (person(1), person(2));
    let genesis = genesis(&[&alice, &bob]);
    for seed in 0..6 {
        let mut world = world(seed, &genesis);
        let nodes = four(&mut world, 3);
        assert!(world.run_until(Span::from_secs(60), |w| height(w, nodes[3]) >= 2));
        let shop = person(3).account;
        let payment = pay(&genesis, &bob, 0, shop, 5);
        let txid = payment.txid(&genesis.id());
        let call = world.call(nodes[3], Question::SubmitTransaction(payment.to_bytes()));
        let mut accepted = false;
        for _ in 0..2_000 {
            world.run(Span::from_micros(50));
            if let Some(reply) = world.reply(call) {
                assert!(matches!(reply, Ok(Reply::Accepted { .. })), "{reply:?}");
                accepted = true;
                break;
            }
        }
        assert!(accepted);
        let before = tip(&world, nodes[3]).unwrap();
        // At once: no peer has heard of it.
        world.crash(nodes[3], Crash::Kill);
        world.run(Span::from_millis(500 * seed));
        world.start(nodes[3]);
        assert!(world.run_until(Span::from_secs(5), |w| {
            w.published(nodes[3])
                .is_some_and(|published| published.ready)
        }));
        let node = world.node(nodes[3]).unwrap();
        assert!(node.knows_block(&before), "what readers saw is in the log");
        let paid = |w: &World| nodes.iter().all(|node| balance(w, *node, &shop) == 5);
        assert!(
            world.run_until(Span::from_secs(120), paid),
            "seed {seed}: {txid} is lost"
        );
    }
}

#[test]
fn a_newcomer_catches_up() {
    let alice = person(1);
    let genesis = genesis(&[&alice]);
    let mut world = world(5, &genesis);
    let mining = Some(Mining {
        beneficiary: alice.account,
        hashrate: Some(8_000),
    });
    let miner = world.add("miner", &[], mining);
    assert!(world.run_until(Span::from_secs(600), |w| height(w, miner) >= 60));
    let late = world.add("late", &[miner], None);
    assert!(world.run_until(Span::from_secs(10), |w| height(w, late) >= 60));
}

#[test]
fn what_can_never_be_valid_is_refused_with_the_rule_and_its_numbers() {
    let (alice, stranger) = (person(1), person(77));
    let genesis = genesis(&[&alice]);
    let mut world = world(5, &genesis);
    let node = world.add("node", &[], None);
    let submit = |world: &mut World, bytes: Vec<u8>| {
        let call = world.call(node, Question::SubmitTransaction(bytes));
        answer(world, call)
    };
    let to = stranger.account;
    let refused = submit(&mut world, pay(&genesis, &stranger, 0, to, 1).to_bytes());
    let unknown = TransactionFault::UnknownSender {
        account: stranger.account,
    };
    assert_eq!(refused, Err(CallError::Transaction(unknown)));
    let refused = submit(&mut world, pay(&genesis, &alice, 3, to, 1).to_bytes());
    let nonce = TransactionFault::Nonce {
        wanted: Nonce(0),
        found: Nonce(3),
    };
    assert_eq!(refused, Err(CallError::Transaction(nonce)));
    let refused = submit(
        &mut world,
        pay(&genesis, &alice, 0, to, 1_000_000_000).to_bytes(),
    );
    let (needed, available) = (1_000_005_000, Amount(1_000_000_000));
    let balance = TransactionFault::Balance { needed, available };
    assert_eq!(refused, Err(CallError::Transaction(balance)));
    let mut forged = pay(&genesis, &alice, 0, to, 1).to_bytes();
    *forged.last_mut().unwrap() ^= 1;
    assert!(matches!(
        submit(&mut world, forged),
        Err(CallError::Malformed(_))
    ));
    assert!(matches!(
        submit(&mut world, vec![1, 2, 3]),
        Err(CallError::Malformed(_))
    ));
    let good = pay(&genesis, &alice, 0, to, 1).to_bytes();
    let first = submit(&mut world, good.clone());
    assert!(matches!(first, Ok(Reply::Accepted { .. })));
    assert_eq!(
        submit(&mut world, good),
        first,
        "a transaction that is known is accepted again"
    );
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
