//! Chains of which most is in the log alone: starts, peers, damage and recordings.

use super::damaged_blocks::{get, start_recorded, told};
use super::*;
use crate::codec::{Decode, Reader};
use crate::node::{Node, Recovered};
use crate::store::{Log, Options, Store};
use crate::types::{BlockId, Header};

const SEGMENT: u64 = 16 << 10;

/// Two nodes with a chain of some length, checkpoints every four blocks and small segments.
fn story(seed: u64, length: u64) -> (World, [NodeIndex; 2]) {
    let genesis = genesis(&[&person(1)]);
    let mut world = World::new(WorldConfig {
        checkpoints: CheckpointInterval {
            blocks: 4,
            ..CheckpointInterval::default()
        },
        segment_size: SEGMENT,
        ..near(seed, &genesis)
    });
    let mining = Some(Mining {
        beneficiary: person(90).account,
        hashrate: Some(16_000),
    });
    let first = world.add("first", &[], mining);
    let second = world.add("second", &[first], None);
    let long = |w: &World| height(w, second) >= length;
    assert!(world.run_until(Span::from_secs(600 * length), long));
    (world, [first, second])
}

fn restart(world: &mut World, node: NodeIndex) {
    world.crash(node, Crash::Kill);
    world.start(node);
    let up = |w: &World| w.published(node).is_some_and(|published| published.ready);
    assert!(world.run_until(Span::from_secs(5), up));
}

/// Every block of a node's chain up to a height.
fn blocks(world: &mut World, node: NodeIndex, top: u64) -> Vec<Vec<u8>> {
    let block = |height| get(world, node, Height(height)).expect("it has the block");
    (1..=top).map(block).collect()
}

fn id_of(block: &[u8]) -> BlockId {
    Header::decode(&mut Reader::new(block)).unwrap().id()
}

/// How many headers a node has in memory, and how many blocks it knows by their positions.
fn headers(world: &World, node: NodeIndex) -> (usize, usize) {
    let sizes = world.node(node).unwrap().sizes();
    (sizes.headers, sizes.old_blocks)
}

/// Changes a bit of the header of a block's newest record on the disk of a node.
fn damage_header(world: &World, node: NodeIndex, id: &BlockId) {
    let mut places = Vec::new();
    for segment in 0.. {
        let Ok(file) = world.disk(node).open(&Log::Blocks.path(segment)) else {
            break;
        };
        let mut bytes = vec![0; SEGMENT as usize];
        file.read_at(0, &mut bytes).unwrap();
        // The id stands in front of the work and the block's bytes; a Tip and a Toc have it too.
        let begins = |at: &usize| {
            let block = bytes.get(at + 64..).unwrap_or_default();
            bytes[*at..].starts_with(&id.0)
                && Header::decode(&mut Reader::new(block)).is_ok_and(|header| header.id() == *id)
        };
        places.extend(
            (0..bytes.len())
                .filter(begins)
                .map(|at| (segment, at + 64 + 60)),
        );
    }
    let (segment, place) = *places.last().expect("the disk has the block");
    let file = world.disk(node).open(&Log::Blocks.path(segment)).unwrap();
    let mut byte = [0];
    file.read_at(place as u64, &mut byte).unwrap();
    file.write_at(place as u64, &[byte[0] ^ 0x10]).unwrap();
}

#[test]
fn a_long_chain_takes_few_headers_in_memory_and_is_served_whole_after_a_restart() {
    let (mut world, [first, second]) = story(1, 150);
    let (in_memory, old) = headers(&world, second);
    assert!(in_memory < 50 && old > 100, "{in_memory} {old}");
    let top = height(&world, second);
    let all = blocks(&mut world, second, top);
    restart(&mut world, second);
    let (in_memory, old) = headers(&world, second);
    assert!(in_memory < 50 && old > 100, "{in_memory} {old}");
    assert!(blocks(&mut world, second, top) == all);
    // Who has nobody else gets all of it, headers and bodies.
    world.crash(first, Crash::Kill);
    let third = world.add("third", &[second], None);
    assert!(world.run_until(Span::from_secs(120), |w| height(w, third) >= top));
    assert!(blocks(&mut world, third, top) == all);
    assert_eq!(told(&world, second), 0);
}

#[test]
fn a_start_by_tables_of_contents_is_the_start_by_every_record() {
    let (mut world, [_, second]) = story(2, 120);
    let tip = world.published(second).unwrap().tip;
    world.crash(second, Crash::Kill);
    let open = |tables: bool| {
        let genesis = world.config().genesis.id();
        let options = Options::production(genesis.0, 7, 0).with_segment_size(SEGMENT);
        let copy = Arc::new(world.disk_copy(second));
        let mut store = Store::open(copy, &options).unwrap().0;
        let mut recovered = Recovered::read(&mut store, true).unwrap();
        assert!(recovered.old.is_some(), "tables of contents were enough");
        if !tables {
            let (blocks, tip) = Recovered::every_block(&mut store).unwrap();
            (recovered.blocks, recovered.tip, recovered.old) = (blocks, tip, None);
        }
        let config = world.node_config(second).clone();
        Node::open(config, recovered, [3; 32], world.now()).unwrap()
    };
    let (by_tables, by_records) = (open(true), open(false));
    assert!(by_tables.sizes().headers < 50 && by_tables.sizes().old_blocks > 80);
    assert_eq!(by_records.sizes().old_blocks, 0);
    let count = |node: &Node| node.sizes().headers + node.sizes().old_blocks;
    assert_eq!(count(&by_tables), count(&by_records));
    for height in (0..).map(Height) {
        let id = by_records.ancestor(&tip, height);
        assert_eq!(by_tables.ancestor(&tip, height), id);
        let Some(id) = id else { break };
        assert!(by_tables.knows_block(&id));
        for other in [0, height.0 / 2, height.0] {
            let (one, two) = (&by_tables, &by_records);
            let other = Height(other);
            assert_eq!(one.ancestor(&id, other), two.ancestor(&id, other));
        }
    }
    let logged = |node: &Node| {
        let mut logged: Vec<_> = node.logged_blocks().collect();
        logged.sort_unstable();
        logged
    };
    assert_eq!(logged(&by_tables), logged(&by_records));
}

#[test]
fn a_damaged_header_of_an_old_block_is_fetched_again() {
    let (mut world, [first, second]) = story(3, 100);
    let at = Height(20);
    let block = get(&mut world, first, at).unwrap();
    let id = id_of(&block);
    let header = |world: &mut World| {
        let call = world.call(second, Question::Header(id));
        answer(world, call)
    };
    assert!(header(&mut world).is_ok());
    world.crash(second, Crash::Kill);
    damage_header(&world, second, &id);
    world.start(second);
    let up = |w: &World| w.published(second).is_some_and(|published| published.ready);
    assert!(world.run_until(Span::from_secs(5), up));
    assert_eq!(told(&world, second), 0, "nobody asked for it yet");
    let error = header(&mut world).unwrap_err();
    assert!(error.to_string().contains("fetched again"), "{error}");
    assert_eq!(told(&world, second), 1);
    world.run(Span::from_secs(5));
    assert!(header(&mut world).is_ok());
    assert_eq!(get(&mut world, second, at).as_ref(), Ok(&block));
    for _ in 0..2 {
        restart(&mut world, second);
        assert!(header(&mut world).is_ok());
        assert_eq!(get(&mut world, second, at).as_ref(), Ok(&block));
    }
    assert_eq!(told(&world, second), 1);
}

#[test]
fn a_peer_that_asks_for_headers_behind_a_damaged_one_gets_them_when_it_is_mended() {
    let (mut world, [_, second]) = story(4, 100);
    let ids = [30, 31, 60].map(|at| id_of(&get(&mut world, second, Height(at)).unwrap()));
    world.crash(second, Crash::Kill);
    for id in ids {
        damage_header(&world, second, &id);
    }
    world.start(second);
    let third = world.add("third", &[second], None);
    let goal = height(&world, second).max(100);
    assert!(world.run_until(Span::from_secs(1_200), |w| height(w, third) >= goal));
    let all = blocks(&mut world, second, goal);
    assert!(blocks(&mut world, third, goal) == all);
}

#[test]
fn a_recording_replays_across_blocks_that_become_old_and_damage_of_old_ones() {
    let (mut world, [_, second]) = story(5, 60);
    let before = get(&mut world, second, Height(15)).unwrap();
    let other = get(&mut world, second, Height(25)).unwrap();
    world.crash(second, Crash::Kill);
    damage_header(&world, second, &id_of(&before));
    damage_header(&world, second, &id_of(&other));
    start_recorded(&mut world, second);
    let (_, old) = headers(&world, second);
    assert!(old > 30);
    let call = world.call(second, Question::Header(id_of(&before)));
    assert!(answer(&mut world, call).is_err());
    // Of the other one a job finds out that reads headers for a peer.
    let third = world.add("third", &[second], None);
    let goal = height(&world, second) + 40;
    assert!(world.run_until(Span::from_secs(24_000), |w| height(w, second) >= goal));
    assert!(headers(&world, second).1 > old + 30);
    assert_eq!(told(&world, second), 2);
    assert!(world.run_until(Span::from_secs(1_200), |w| height(w, third) >= goal));
    assert_eq!(get(&mut world, second, Height(15)), Ok(before));
    assert_eq!(get(&mut world, second, Height(25)), Ok(other));
    let (recording, hash) = world.recording(second).unwrap();
    let recording = Recording::from_bytes(&recording.to_bytes()).unwrap();
    let mut runner = crate::node::Inline::new(recording.reader());
    let replayed = recording.replay(None, &mut runner, &mut |_, _| {}).unwrap();
    assert_eq!(replayed.hash, hash);
}
