//! Checkpoints of running nodes, and starts that go on from them.

use super::*;
use crate::codec::{Decode, Reader};
use crate::store::{Log, Lsn};
use crate::types::{BlockId, Header};

/// Checkpoints every few blocks.
fn often(seed: u64, genesis: &Arc<Genesis>, blocks: u64) -> World {
    World::new(WorldConfig {
        checkpoints: CheckpointInterval {
            blocks,
            ..CheckpointInterval::default()
        },
        ..near(seed, genesis)
    })
}

/// The heights of the checkpoints that a node made.
fn checkpoints(world: &World, node: NodeIndex) -> Vec<u64> {
    let events = world.events().iter().filter(|(_, of, _)| *of == node);
    let height = |event: &Event| match event {
        Event::Checkpoint { height, .. } => Some(height.0),
        _ => None,
    };
    events.filter_map(|(_, _, event)| height(event)).collect()
}

fn damage_events(world: &World, node: NodeIndex) -> usize {
    let events = world.events().iter().filter(|(_, of, _)| *of == node);
    let damage = events.filter(|(_, _, event)| matches!(event, Event::DamagedLog { .. }));
    damage.count()
}

fn is_ready(world: &World, node: NodeIndex) -> bool {
    world
        .published(node)
        .is_some_and(|published| published.ready)
}

fn mining_for(person: &Person) -> Option<Mining> {
    Some(Mining {
        beneficiary: person.account,
        hashrate: Some(16_000),
    })
}

/// Changes a byte in the midst of a record of the state log.
fn damage(world: &World, node: NodeIndex, at: Lsn) {
    let path = Log::State.path(at.get() / SEGMENT);
    let file = world.disk(node).open(&path).unwrap();
    let offset = at.get() % SEGMENT + 60;
    let mut byte = [0];
    file.read_at(offset, &mut byte).unwrap();
    file.write_at(offset, &[byte[0] ^ 0x40]).unwrap();
}

const SEGMENT: u64 = 8 << 20;

#[test]
fn a_start_goes_on_from_the_newest_checkpoint() {
    let alice = person(1);
    let genesis = genesis(&[&alice]);
    let mut world = often(1, &genesis, 7);
    let node = world.add("node", &[], mining_for(&alice));
    assert!(world.run_until(Span::from_secs(600), |w| height(w, node) >= 40));
    let made = checkpoints(&world, node);
    assert!(made.len() >= 4, "{made:?}");
    assert!(
        made.windows(2).all(|pair| pair[1] - pair[0] <= 9),
        "{made:?}"
    );
    let before = world.published(node).unwrap().clone();
    world.crash(node, Crash::Kill);
    world.start(node);
    // What readers see at once is the checkpoint: nothing below it is executed.
    let newest = *made.last().unwrap();
    assert_eq!(height(&world, node), newest);
    assert!(world.run_until(Span::from_secs(1), |w| is_ready(w, node)));
    assert!(height(&world, node) >= before.header.height.0);
    let here = world.node(node).unwrap();
    assert!(here.knows_block(&before.tip));
    // It goes on, and makes the next ones.
    assert!(world.run_until(Span::from_secs(300), |w| height(w, node) >= 60));
    assert!(*checkpoints(&world, node).last().unwrap() > newest);
    assert_eq!(damage_events(&world, node), 0);
}

#[test]
fn nodes_killed_again_and_again_agree_and_lose_nothing() {
    let (alice, bob) = (person(1), person(2));
    let genesis = genesis(&[&alice, &bob]);
    for seed in 0..3 {
        let mut world = often(seed, &genesis, 3);
        let nodes = four(&mut world, 3);
        let mut rng = Rng::from_number(seed);
        let mut paid = 0;
        for round in 0..12 {
            let payment = pay(&genesis, &bob, round, alice.account, 10 + round);
            let call = world.call(nodes[3], Question::SubmitTransaction(payment.to_bytes()));
            let reply = answer(&mut world, call);
            assert!(matches!(reply, Ok(Reply::Accepted { .. })), "{reply:?}");
            paid += 10 + round;
            let victim = nodes[rng.below(4) as usize];
            world.run(Span::from_micros(rng.below(8_000_000)));
            let before = tip(&world, victim).unwrap();
            world.crash(victim, Crash::Kill);
            world.start(victim);
            assert!(world.run_until(Span::from_secs(5), |w| is_ready(w, victim)));
            let knows = world.node(victim).unwrap().knows_block(&before);
            assert!(knows, "what readers saw is in the log");
        }
        let _ = paid;
        assert!(world.run_until(Span::from_secs(120), |w| agree(w, &nodes)));
        let all: usize = nodes
            .iter()
            .map(|node| checkpoints(&world, *node).len())
            .sum();
        assert!(all > 20, "{all}");
        assert!(nodes.iter().all(|node| damage_events(&world, *node) == 0));
    }
}

#[test]
fn a_recording_replays_past_checkpoints_and_after_a_start_from_one() {
    let (alice, bob) = (person(1), person(2));
    let genesis = genesis(&[&alice, &bob]);
    let mut world = often(9, &genesis, 4);
    let nodes = four(&mut world, 4);
    world.run(Span::from_secs(20));
    for restarted in [false, true] {
        if restarted {
            world.crash(nodes[1], Crash::Kill);
            world.start(nodes[1]);
            assert!(world.run_until(Span::from_secs(5), |w| is_ready(w, nodes[1])));
        }
        assert!(world.run_until(Span::from_secs(5), |w| w.node(nodes[1]).unwrap().is_quiet()));
        assert!(world.record(nodes[1], 100_000));
        let made = checkpoints(&world, nodes[1]).len();
        for nonce in 0..10 {
            let nonce = nonce + if restarted { 10 } else { 0 };
            let payment = pay(&genesis, &bob, nonce, alice.account, 1_000 + nonce);
            world.call(nodes[0], Question::SubmitTransaction(payment.to_bytes()));
            world.run(Span::from_secs(3));
        }
        assert!(checkpoints(&world, nodes[1]).len() >= made + 2);
        let (recording, hash) = world.recording(nodes[1]).unwrap();
        let mut runner = crate::node::Inline::new(recording.reader());
        let replayed = recording.replay(None, &mut runner, &mut |_, _| {}).unwrap();
        assert_eq!(replayed.hash, hash, "restarted: {restarted}");
    }
}

#[test]
fn a_damaged_checkpoint_means_an_older_one() {
    let alice = person(1);
    let genesis = genesis(&[&alice]);
    let mut world = often(2, &genesis, 6);
    let node = world.add("node", &[], mining_for(&alice));
    assert!(world.run_until(Span::from_secs(600), |w| height(w, node) >= 30));
    let made = checkpoints(&world, node);
    let before = world.published(node).unwrap().clone();
    let named = world.machines[node.0]
        .running
        .as_ref()
        .unwrap()
        .store
        .checkpoint();
    world.crash(node, Crash::Kill);
    damage(&world, node, named.unwrap());
    world.start(node);
    assert_eq!(damage_events(&world, node), 1);
    assert_eq!(height(&world, node), made[made.len() - 2]);
    assert!(world.run_until(Span::from_secs(5), |w| is_ready(w, node)));
    assert!(world.node(node).unwrap().knows_block(&before.tip));
    assert!(height(&world, node) >= before.header.height.0);
    // The next one is as good as any.
    let made = checkpoints(&world, node).len();
    assert!(world.run_until(Span::from_secs(600), |w| checkpoints(w, node).len() > made));
    world.crash(node, Crash::Kill);
    world.start(node);
    assert_eq!(damage_events(&world, node), 1);
    assert_eq!(
        height(&world, node),
        *checkpoints(&world, node).last().unwrap()
    );
}

/// Kills a node, damages the leaf pages of its newest checkpoint and of those before it, and starts
/// it again.
fn start_with_damaged_leaves(world: &mut World, node: NodeIndex) {
    let store = &world.machines[node.0].running.as_ref().unwrap().store;
    let named = store.checkpoint().unwrap();
    let (mut pages, from) = (Vec::new(), store.layout(Log::State).first_of(0));
    let reader = store.reader();
    let see = |at, kind, body: &[u8]| {
        if kind == crate::store::Kind::Page && body[1] == 1 && at < named {
            pages.push(at);
        }
    };
    reader.walk(Log::State, from, u64::MAX, see).unwrap();
    world.crash(node, Crash::Kill);
    for page in pages {
        damage(world, node, page);
    }
    world.start(node);
}

/// A genesis block with so many accounts that its state has several pages.
fn crowd() -> (Vec<Person>, Arc<Genesis>) {
    let people: Vec<Person> = (1..40).map(person).collect();
    let genesis = genesis(&people.iter().collect::<Vec<_>>());
    (people, genesis)
}

/// A page below the root is read only when it is needed: then the process ends, and the next start
/// goes on from before the damage.
#[test]
fn a_damaged_page_stops_execution_and_the_next_start_goes_back() {
    let (people, genesis) = crowd();
    let mut world = often(3, &genesis, 6);
    let node = world.add("node", &[], mining_for(&people[0]));
    assert!(world.run_until(Span::from_secs(600), |w| height(w, node) >= 20));
    let before = world.published(node).unwrap().clone();
    start_with_damaged_leaves(&mut world, node);
    let stopped = |w: &World| damage_events(w, node) > 0;
    assert!(world.run_until(Span::from_secs(60), stopped));
    world.run(Span::from_secs(1));
    assert!(!world.is_running(node), "the process ends by itself");
    // The root of every checkpoint can be read, so each start finds one damaged and goes farther
    // back, at the end to the genesis block.
    let mut starts = 0;
    while !world.is_running(node) {
        starts += 1;
        assert!(starts <= 10, "each start goes farther back");
        world.start(node);
        world.run(Span::from_secs(10));
    }
    assert!(height(&world, node) >= before.header.height.0);
    assert!(world.node(node).unwrap().knows_block(&before.tip));
}

/// Whole files of the state log can be lost, by hand or by a file system: each start goes on from
/// what is whole, if need be from the genesis block, and nothing that was executed is lost.
#[test]
fn a_state_log_without_some_of_its_files_is_made_again() {
    let (people, genesis) = crowd();
    let mut world = World::new(WorldConfig {
        segment_size: 16 << 10,
        checkpoints: CheckpointInterval {
            blocks: 4,
            ..CheckpointInterval::default()
        },
        ..near(5, &genesis)
    });
    let node = world.add("node", &[], mining_for(&people[0]));
    let mut wanted = 40;
    let mut begun = Vec::new();
    for lost in ["newest", "oldest", "all"] {
        let reached = |w: &World| height(w, node) >= wanted && is_ready(w, node);
        assert!(world.run_until(Span::from_secs(900), reached));
        let before = world.published(node).unwrap().clone();
        let store = &world.machines[node.0].running.as_ref().unwrap().store;
        let written = store.layout(Log::State).segment_of(store.end(Log::State));
        world.crash(node, Crash::Kill);
        let disk = world.disk(node);
        let names = disk.list("state").unwrap();
        let of_written = names
            .iter()
            .position(|name| *name == format!("{written:08x}.seg"));
        let gone = match lost {
            "newest" => of_written.unwrap()..names.len(),
            "oldest" => 0..1,
            _ => 0..names.len(),
        };
        for name in &names[gone] {
            disk.remove(&format!("state/{name}")).unwrap();
        }
        let damage = damage_events(&world, node);
        world.start(node);
        begun.push((
            height(&world, node),
            *checkpoints(&world, node).last().unwrap(),
        ));
        // A page that is needed later may be gone as well; then the node goes farther back.
        let mut starts = 0;
        world.run(Span::from_secs(10));
        while !world.is_running(node) {
            starts += 1;
            assert!(starts <= 10, "{lost}: each start goes farther back");
            world.start(node);
            world.run(Span::from_secs(10));
        }
        assert!(damage_events(&world, node) > damage, "{lost}: it is said");
        assert!(world.node(node).unwrap().knows_block(&before.tip), "{lost}");
        assert!(height(&world, node) >= before.header.height.0, "{lost}");
        wanted = height(&world, node) + 20;
    }
    let (from, newest) = begun[0];
    assert!(0 < from && from < newest, "an older checkpoint: {begun:?}");
    assert_eq!(begun[2].0, 0, "{begun:?}");
    // What is made now is as good as any.
    assert!(world.run_until(Span::from_secs(900), |w| height(w, node) >= wanted));
    let damage = damage_events(&world, node);
    world.crash(node, Crash::Kill);
    world.start(node);
    assert_eq!(
        height(&world, node),
        *checkpoints(&world, node).last().unwrap()
    );
    assert_eq!(damage_events(&world, node), damage);
}

/// The mempool reads accounts where no job does: a page that can't be read then is damage as well,
/// and the recording tells of it to a replay, which has all pages in memory.
#[test]
fn a_damaged_page_that_the_mempool_needs_is_found_out_and_recorded() {
    let (people, genesis) = crowd();
    let mut world = often(4, &genesis, 6);
    let miner = world.add("miner", &[], mining_for(&people[0]));
    let node = world.add("node", &[miner], None);
    // The newest checkpoint is the tip's, so that a start executes nothing.
    let is_kept = |w: &World| checkpoints(w, node).last() == Some(&height(w, node));
    assert!(
        world.run_until(Span::from_secs(600), |w| height(w, node) >= 20
            && is_kept(w))
    );
    world.crash(miner, Crash::Kill);
    start_with_damaged_leaves(&mut world, node);
    let quiet = |w: &World| w.node(node).is_some_and(Node::is_quiet) && is_ready(w, node);
    assert!(world.run_until(Span::from_secs(10), quiet));
    assert!(world.record(node, 1_000_000));
    let payment = pay(&genesis, &people[7], 0, people[0].account, 1_000).to_bytes();
    let call = world.call(node, Question::SubmitTransaction(payment.clone()));
    let found = |w: &World| damage_events(w, node) > 0;
    assert!(world.run_until(Span::from_secs(10), found));
    let (recording, hash) = world.recording(node).unwrap();
    let mut runner = crate::node::Inline::new(recording.reader());
    let replayed = recording.replay(None, &mut runner, &mut |_, _| {}).unwrap();
    assert_eq!(replayed.hash, hash);
    world.run(Span::from_secs(1));
    assert!(matches!(world.reply(call), Some(Err(CallError::Failed(_)))));
    assert!(!world.is_running(node), "the process ends by itself");
    // Its next starts go back as far as they must.
    let mut starts = 0;
    while !world.is_running(node) {
        starts += 1;
        assert!(starts <= 10, "each start goes farther back");
        world.start(node);
        world.run(Span::from_secs(10));
        let call = world.call(node, Question::SubmitTransaction(payment.clone()));
        world.run(Span::from_secs(2));
        let taken = matches!(world.reply(call), Some(Ok(Reply::Accepted { .. })));
        assert_eq!(taken, world.is_running(node));
    }
}

fn in_best_chain(world: &mut World, node: NodeIndex, id: BlockId) -> bool {
    let call = world.call(node, Question::Header(id));
    match answer(world, call) {
        Ok(Reply::Header { in_best_chain, .. }) => in_best_chain,
        other => panic!("{other:?}"),
    }
}

/// Both sides of a split make checkpoints. The side that loses has some on a dead branch: they are
/// kept, no start goes on from them, and what is below the fork serves.
#[test]
fn a_checkpoint_on_a_dead_branch_is_passed_over() {
    let alice = person(1);
    let genesis = genesis(&[&alice]);
    let mut passed_over = 0;
    // Which side loses, and by how much, is chance: the first seeds that come to it are enough.
    for seed in 0..20 {
        if passed_over > 0 {
            break;
        }
        // Each side makes the checkpoint of height 24 alone. The loser executes fewer than 12
        // blocks from there to the end of the split, so that it makes no other.
        let mut world = often(seed, &genesis, 12);
        let nodes = four(&mut world, 4);
        assert!(world.run_until(Span::from_secs(120), |w| height(w, nodes[0]) >= 20));
        let cut = world.cut(Cut::Split(vec![0, 1]));
        let passed = |w: &World, node| checkpoints(w, node).last() >= Some(&24);
        let both = |w: &World| [nodes[0], nodes[2]].iter().all(|node| passed(w, *node));
        assert!(world.run_until(Span::from_secs(300), both));
        let sides = [nodes[0], nodes[2]].map(|node| tip(&world, node).unwrap());
        world.mend(cut);
        assert!(world.run_until(Span::from_secs(300), |w| agree(w, &nodes)));
        let best = tip(&world, nodes[0]).unwrap();
        for (node, side) in [(nodes[0], sides[0]), (nodes[2], sides[1])] {
            let lost = !in_best_chain(&mut world, node, side);
            let made = checkpoints(&world, node);
            world.crash(node, Crash::Kill);
            world.start(node);
            let begun = tip(&world, node).unwrap();
            if lost && height(&world, node) < *made.last().unwrap() {
                passed_over += 1;
            }
            assert!(world.run_until(Span::from_secs(5), |w| is_ready(w, node)));
            let led_to_tip = in_best_chain(&mut world, node, begun);
            assert!(led_to_tip, "a start goes on from the best chain");
            assert!(world.node(node).unwrap().knows_block(&best));
        }
        assert!(world.run_until(Span::from_secs(300), |w| agree(w, &nodes)));
    }
    assert!(passed_over > 0, "no start met a dead branch");
}

/// A restart loses the inverses, so that a fork far below is within reach of old checkpoints only.
#[test]
fn a_branch_beyond_two_intervals_of_checkpoints_is_parked_until_its_operator_accepts_it() {
    let alice = person(1);
    let genesis = genesis(&[&alice]);
    let mut world = often(5, &genesis, 4);
    let weak = Mining {
        beneficiary: person(2).account,
        hashrate: Some(8_000),
    };
    let small = world.add("small", &[], Some(weak));
    let large = world.add("large", &[small], mining_for(&alice));
    let both = [small, large];
    assert!(world.run_until(Span::from_secs(60), |w| height(w, small) >= 3));
    let cut = world.cut(Cut::Isolate(small.0));
    let fork = height(&world, small);
    let deep = |w: &World| height(w, small) >= fork + 20 && height(w, large) > height(w, small);
    assert!(world.run_until(Span::from_secs(600), deep));
    world.crash(small, Crash::Kill);
    world.start(small);
    world.mend(cut);
    let parked = |w: &World| {
        w.events().iter().find_map(|(_, node, event)| match event {
            Event::Parked { id, .. } if *node == small => Some(*id),
            _ => None,
        })
    };
    assert!(world.run_until(Span::from_secs(120), |w| parked(w).is_some()));
    let branch = parked(&world).unwrap();
    let before = height(&world, small);
    world.run(Span::from_secs(30));
    assert!(!agree(&world, &both), "nothing of it is executed");
    assert!(height(&world, small) > before, "its own chain goes on");
    let call = world.call(small, Question::AcceptBranch(branch));
    assert!(matches!(answer(&mut world, call), Ok(Reply::Done)));
    assert!(world.run_until(Span::from_secs(60), |w| agree(w, &both)));
}

/// What leads to an accepted branch are blocks of the best chain, and one of them is damaged: a
/// node that is started then has to meet peers who give it again.
#[test]
fn a_start_that_lacks_a_block_for_an_accepted_branch_gets_it_from_its_peers() {
    let (alice, bob) = (person(1), person(3));
    let genesis = genesis(&[&alice, &bob]);
    let mut world = often(6, &genesis, 4);
    let weak = Mining {
        beneficiary: person(2).account,
        hashrate: Some(8_000),
    };
    let large = world.add("large", &[], mining_for(&alice));
    let small = world.add("small", &[large], Some(weak));
    let both = [small, large];
    let nonce = pay_until(&mut world, (&bob, &alice), (large, small), 9);
    let fork = height(&world, small);
    let cut = world.cut(Cut::Isolate(small.0));
    let deep = |w: &World| height(w, small) >= fork + 20 && height(w, large) > height(w, small);
    assert!(world.run_until(Span::from_secs(600), deep));
    world.crash(small, Crash::Kill);
    world.start(small);
    world.mend(cut);
    let parked = |w: &World, after: usize| {
        w.events()[after..]
            .iter()
            .find_map(|(_, node, event)| match event {
                Event::Parked { id, .. } if *node == small => Some(*id),
                _ => None,
            })
    };
    assert!(world.run_until(Span::from_secs(120), |w| parked(w, 0).is_some()));
    // A payment that waits makes the start take a while.
    let payment = pay(&genesis, &bob, nonce, alice.account, 1).to_bytes();
    let call = world.call(small, Question::SubmitTransaction(payment));
    assert!(matches!(
        answer(&mut world, call),
        Ok(Reply::Accepted { .. })
    ));
    world.crash(small, Crash::Kill);
    let below: Vec<BlockId> = (1..fork)
        .map(|height| {
            let bytes = damaged_blocks::get(&mut world, large, Height(height)).unwrap();
            let id = Header::decode(&mut Reader::new(&bytes)).unwrap().id();
            if bytes.len() >= 204 + 4 + 2 * 164 {
                damaged_blocks::damage(&world, small, &id);
            }
            id
        })
        .collect();
    assert!(!below.is_empty());
    // It is accepted before the start has come to its end.
    let before = world.events().len();
    world.start(small);
    assert!(world.run_until(Span::from_secs(60), |w| parked(w, before).is_some()));
    let branch = parked(&world, before).unwrap();
    assert!(!is_ready(&world, small));
    let call = world.call(small, Question::AcceptBranch(branch));
    assert!(matches!(answer(&mut world, call), Ok(Reply::Done)));
    assert!(damage_events(&world, small) > 0, "a block is missing");
    assert!(world.run_until(Span::from_secs(120), |w| agree(w, &both)));
}
