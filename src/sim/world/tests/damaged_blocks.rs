//! Old blocks whose records are damaged: told of, fetched again, and there from then on.

use super::*;
use crate::codec::{Decode, Reader};
use crate::store::Log;
use crate::types::{BlockId, Header};

pub(super) fn get(
    world: &mut World,
    node: NodeIndex,
    height: Height,
) -> Result<Vec<u8>, CallError> {
    let call = world.call(node, Question::BlockAt(height));
    match answer(world, call) {
        Ok(Reply::Block { bytes, .. }) => Ok(bytes.to_vec()),
        Ok(other) => panic!("{other:?} is no block"),
        Err(error) => Err(error),
    }
}

/// Changes a bit of the last transaction of a block on a machine's disk. The front of each block's
/// record is read at every start: this is behind it.
pub(super) fn damage(world: &World, node: NodeIndex, id: &BlockId) {
    let file = world.disk(node).open(&Log::Blocks.path(0)).unwrap();
    let mut bytes = vec![0; 1 << 20];
    file.read_at(0, &mut bytes).unwrap();
    // The id stands in front of the work and the block's bytes.
    let begins = |at: &usize| {
        let block = bytes.get(at + 64..).unwrap_or_default();
        bytes[*at..].starts_with(&id.0)
            && Header::decode(&mut Reader::new(block)).is_ok_and(|header| header.id() == *id)
    };
    let at = (0..bytes.len())
        .find(begins)
        .expect("the disk has the block");
    let place = at + 64 + 204 + 4 + 2 * 164 - 20;
    file.write_at(place as u64, &[bytes[place] ^ 0x10]).unwrap();
}

/// How often a node told of damage.
pub(super) fn told(world: &World, node: NodeIndex) -> usize {
    let events = world.events().iter().filter(|(_, of, _)| *of == node);
    let damage = events.filter(|(_, _, event)| matches!(event, Event::DamagedLog { .. }));
    damage.count()
}

/// A block that is old when a story begins: below the newest checkpoint.
struct Old {
    height: Height,
    bytes: Vec<u8>,
}

/// Two nodes with a chain whose old block is damaged at the second, which is not running.
fn story(seed: u64) -> (World, [NodeIndex; 2], Old) {
    let (alice, bob) = (person(1), person(2));
    let genesis = genesis(&[&alice, &bob]);
    let mut world = World::new(WorldConfig {
        checkpoints: CheckpointInterval {
            blocks: 4,
            ..CheckpointInterval::default()
        },
        ..near(seed, &genesis)
    });
    let mining = Some(Mining {
        beneficiary: person(90).account,
        hashrate: Some(16_000),
    });
    let first = world.add("first", &[], mining);
    let second = world.add("second", &[first], None);
    pay_until(&mut world, (&bob, &alice), (first, second), 12);
    // A shorter one would be read whole at the start.
    let old = (1..=8).map(Height).find_map(|height| {
        let bytes = get(&mut world, second, height).unwrap();
        (bytes.len() >= 204 + 4 + 2 * 164).then_some(Old { height, bytes })
    });
    let old = old.expect("two payments are in one block");
    let id = Header::decode(&mut Reader::new(&old.bytes)).unwrap().id();
    world.crash(second, Crash::Kill);
    damage(&world, second, &id);
    (world, [first, second], old)
}

#[test]
fn a_damaged_block_is_fetched_from_a_peer_served_and_still_there_after_a_restart() {
    let (mut world, [first, second], old) = story(1);
    world.start(second);
    let up = |w: &World| w.published(second).is_some_and(|published| published.ready);
    assert!(world.run_until(Span::from_secs(5), up));
    assert_eq!(told(&world, second), 0, "nobody asked for it yet");
    let error = get(&mut world, second, old.height).unwrap_err();
    assert!(error.to_string().contains("fetched again"), "{error}");
    assert_eq!(told(&world, second), 1);
    assert_eq!(get(&mut world, second, old.height).as_ref(), Ok(&old.bytes));
    // It is in the log again, not only in memory.
    for _ in 0..2 {
        world.crash(second, Crash::Kill);
        world.start(second);
        assert!(world.run_until(Span::from_secs(5), up));
        assert_eq!(get(&mut world, second, old.height).as_ref(), Ok(&old.bytes));
    }
    assert_eq!(told(&world, second), 1);
    // Who catches up from it gets all of it.
    world.crash(first, Crash::Kill);
    let third = world.add("third", &[second], None);
    let goal = height(&world, second);
    assert!(world.run_until(Span::from_secs(60), |w| height(w, third) >= goal));
    assert_eq!(get(&mut world, third, old.height).as_ref(), Ok(&old.bytes));
}

#[test]
fn what_a_peer_asks_for_is_found_damaged_and_fetched_from_another() {
    let (mut world, [first, second], old) = story(2);
    world.start(second);
    let third = world.add("third", &[second], None);
    // The third knows nobody but the second, which first has to get the block itself.
    let goal = height(&world, second).max(12);
    assert!(world.run_until(Span::from_secs(120), |w| height(w, third) >= goal));
    assert_eq!(get(&mut world, third, old.height).as_ref(), Ok(&old.bytes));
    assert_eq!(told(&world, second), 1);
    let _ = first;
}

#[test]
fn a_node_that_is_alone_says_so_once_and_waits() {
    let (mut world, [first, second], old) = story(3);
    world.crash(first, Crash::Kill);
    world.start(second);
    let up = |w: &World| w.published(second).is_some_and(|published| published.ready);
    assert!(world.run_until(Span::from_secs(5), up));
    let before = world.published(second).unwrap().tip;
    for _ in 0..5 {
        assert!(get(&mut world, second, old.height).is_err());
    }
    assert_eq!(told(&world, second), 1);
    let quiet = world.happenings();
    world.run(Span::from_secs(600));
    // It dials the one that is away, and does nothing else.
    assert!(
        world.happenings() - quiet < 2_000,
        "{}",
        world.happenings() - quiet
    );
    assert_eq!(
        world.published(second).unwrap().tip,
        before,
        "it is where it was"
    );
    // And goes on, and gets the block, when the other is back.
    world.start(first);
    let tip = height(&world, second);
    assert!(world.run_until(Span::from_secs(120), |w| height(w, second) > tip + 2));
    assert!(get(&mut world, second, old.height).is_ok());
}

/// Starts a node and records it from its first quiet moment on.
pub(super) fn start_recorded(world: &mut World, node: NodeIndex) {
    world.start(node);
    let quiet = |w: &World| w.node(node).is_some_and(Node::is_quiet);
    let up = |w: &World| w.published(node).is_some_and(|published| published.ready);
    assert!(world.run_until(Span::from_secs(5), |w| up(w) && quiet(w)));
    assert!(world.record(node, 1 << 30));
}

#[test]
fn a_recording_of_a_repair_replays() {
    let (mut world, [_, second], old) = story(4);
    start_recorded(&mut world, second);
    assert!(get(&mut world, second, old.height).is_err());
    assert_eq!(get(&mut world, second, old.height).as_ref(), Ok(&old.bytes));
    world.run(Span::from_secs(30));
    let (recording, hash) = world.recording(second).unwrap();
    let mut runner = crate::node::Inline::new(recording.reader());
    let replayed = recording.replay(None, &mut runner, &mut |_, _| {}).unwrap();
    assert_eq!(replayed.hash, hash);
}

#[test]
fn a_replay_that_needs_a_block_which_its_file_lacks_says_so() {
    use crate::node::ReplayError;
    let (mut world, [_, second], old) = story(5);
    start_recorded(&mut world, second);
    // The damaged block is mended, so that the recording has all of them; another one is read.
    assert!(get(&mut world, second, old.height).is_err());
    let other = get(&mut world, second, Height(old.height.0 + 1)).unwrap();
    let other = Header::decode(&mut Reader::new(&other)).unwrap().id();
    world.run(Span::from_secs(10));
    let (recording, _) = world.recording(second).unwrap();
    let mended = recording.missing();
    assert_eq!(mended.len(), 1, "where the damaged block stood");
    let lacking = recording.with_damaged_record(&other).to_bytes();
    let lacking = Recording::from_bytes(&lacking).unwrap();
    let missing = lacking.missing();
    let at = missing.iter().find(|at| !mended.contains(at)).unwrap();
    let mut runner = crate::node::Inline::new(lacking.reader());
    let error = lacking
        .replay(None, &mut runner, &mut |_, _| {})
        .unwrap_err();
    assert!(matches!(error, ReplayError::Missing { .. }), "{error}");
    assert!(error.to_string().contains(&at.to_string()), "{error}");
}
