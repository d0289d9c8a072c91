//! When checkpoints begin. The disk is as slow as a story says.

use super::*;
use crate::store::{MemoryDisk, Options};

/// A node that makes a checkpoint after so many blocks, and of whatever there is when it is quiet.
fn alice_of(blocks: u64) -> Alice {
    let genesis = testing::genesis(&[&rich()], 1_000_000_000);
    let options = Options::production(genesis.id().0, 7, 1).with_segment_size(64 << 10);
    let (mut store, _) = Store::open(Arc::new(MemoryDisk::new()), &options).unwrap();
    let recovered = Recovered::read(&mut store, false).unwrap();
    let change = |config: &mut NodeConfig| {
        config.checkpoints.blocks = blocks;
        config.checkpoints.quiet_bytes = 1;
    };
    let store = Some((store, Commits::new()));
    let mut alice = Alice::new_on(&genesis, change, recovered, store);
    alice.drain();
    alice.store_done();
    alice
}

impl Alice {
    /// The heights of the checkpoints so far.
    fn checkpoints(&self) -> Vec<u64> {
        let height = |event: &Event| match event {
            Event::Checkpoint { height, .. } => Some(height.0),
            _ => None,
        };
        self.events.iter().filter_map(height).collect()
    }
}

/// So many blocks, each on the one before.
fn chain(alice: &Alice, count: usize) -> Vec<Made> {
    let mut blocks = vec![alice.first_block()];
    while blocks.len() < count {
        blocks.push(alice.block_on(&blocks[blocks.len() - 1]));
    }
    blocks
}

#[test]
fn what_comes_while_a_checkpoint_is_made_has_its_own_when_the_node_is_quiet() {
    let (mut alice, bob) = (alice_of(2), peer(2));
    alice.connect(bob);
    let blocks = chain(&alice, 3);
    for block in &blocks {
        alice.gets_block(bob, block);
    }
    // The second block makes one due, whose pages are still on their way to the disk when the node
    // has had nothing to do for long.
    assert_eq!(alice.node.chain.tip(), blocks[2].id);
    alice.wait(Span::from_secs(10));
    assert!(alice.checkpoints().is_empty(), "the disk has nothing yet");
    alice.store_done();
    assert_eq!(alice.checkpoints(), [2, 3]);
    let shown = alice.published.as_ref().unwrap();
    assert_eq!((shown.checkpoint, shown.executed), (Height(3), 3));
    // There is nothing more to do.
    alice.wait(Span::from_secs(600));
    alice.store_done();
    assert_eq!(alice.checkpoints(), [2, 3]);
}

#[test]
fn a_checkpoint_for_which_the_disk_had_no_space_is_made_when_there_is_some() {
    let (mut alice, bob) = (alice_of(1_000), peer(2));
    alice.connect(bob);
    let blocks = chain(&alice, 1);
    alice.gets_block(bob, &blocks[0]);
    alice.happens(Input::DiskFull(true));
    alice.wait(Span::from_secs(10));
    alice.store_done();
    assert!(alice.checkpoints().is_empty());
    alice.happens(Input::DiskFull(false));
    alice.store_done();
    assert_eq!(alice.checkpoints(), [1]);
}
