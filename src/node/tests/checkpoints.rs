//! When checkpoints begin. The disk is as slow as a story says.

use super::*;
use crate::store::{MemoryDisk, Options};

/// A node that makes a checkpoint after so many blocks, and of whatever there is when it is quiet.
fn alice_of(blocks: u64) -> Alice {
    alice_with(|config| {
        config.checkpoints.blocks = blocks;
        config.checkpoints.quiet_bytes = 1;
    })
}

/// A node on a disk in memory that stores what the story says when it says so.
fn alice_with(change: impl FnOnce(&mut NodeConfig)) -> Alice {
    let genesis = testing::genesis(&[&rich()], 1_000_000_000);
    let options = Options::production(genesis.id().0, 7, 1).with_segment_size(64 << 10);
    let (mut store, _) = Store::open(Arc::new(MemoryDisk::new()), &options).unwrap();
    let recovered = Recovered::read(&mut store, false).unwrap();
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
fn execution_waits_for_a_slow_disk_when_twice_the_changed_bytes_are_in_memory() {
    const CHANGED: u64 = 4 << 10;
    let mut alice = alice_with(|config| config.checkpoints.changed_bytes = CHANGED);
    let bob = peer(2);
    alice.connect(bob);
    // Each block pays ten people who had nothing before.
    let (mut parent, mut blocks) = (alice.maker.root(), Vec::new());
    for block in 0..20_u8 {
        let pays = |one: u8| {
            let nonce = u64::from(block) * 10 + u64::from(one);
            let to = person(30 + block * 10 + one).account;
            pay(&alice.maker.genesis, &rich(), (nonce, 5_000), to, 1)
        };
        let payments: Vec<Transaction> = (0..10).map(pays).collect();
        let made = alice.maker.child(&parent, person(29).account, &payments);
        assert_eq!(made.checked.transactions.len(), 10);
        parent = made.state.clone();
        blocks.push(made);
    }
    for block in &blocks {
        alice.gets_block(bob, block);
    }
    let (tip, last) = (alice.node.chain.tip_entry().header.height, Height(20));
    assert!(tip < last, "it came to {tip:?} and did not wait");
    assert!(!alice.node.may_execute());
    // It waited no earlier than it should, and no later than a run of blocks.
    let changed = alice.node.checkpoints.changed;
    assert!((2 * CHANGED..6 * CHANGED).contains(&changed), "{changed}");
    alice.store_done();
    assert_eq!(alice.node.chain.tip_entry().header.height, last);
    assert!(alice.node.may_execute());
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
