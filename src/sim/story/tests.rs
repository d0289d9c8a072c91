//! Directed scenarios of consensus and synchronisation.

use super::*;
use crate::codec::{Decode, Encode};
use crate::sim::{Fate, Hands, Letter};
use crate::types::Block;
use crate::wire::{Message, MessageKind};

#[test]
fn a_split_forks_the_chain_and_its_end_joins_it() {
    let story = Story::new(3, &[]);
    let (north, west) = (story.node("north"), story.node("west"));
    let (south, east) = (story.node("south"), story.node("east"));
    let common = north.mines(2);
    for node in [&west, &south, &east] {
        node.follows(common);
    }
    story.splits_off(&[&north, &west]);
    let left = north.mines(2);
    west.follows(left);
    let right = south.mines(3);
    east.follows(right);
    assert_eq!((west.tip(), south.tip()), (left, right));
    story.heals();
    assert_eq!(story.everybody_agrees_within(120), right);
    assert_eq!(story.deepest_reorganisation(), 2);
    story.nobody_is_blamed();
}

#[test]
fn of_two_branches_of_the_same_work_each_keeps_the_one_it_saw_first() {
    let story = Story::new(13, &[]);
    let (north, south) = (story.node("north"), story.node("south"));
    story.splits_off(&[&north]);
    let (left, right) = (north.mines(1), south.mines(1));
    story.heals();
    story.waits(60);
    assert_eq!((north.tip(), south.tip()), (left, right));
    assert!(north.knows(right) && south.knows(left));
    // The next block decides.
    let block = south.mines(1);
    north.follows(block);
    assert_eq!(story.deepest_reorganisation(), 1);
}

#[test]
fn a_newcomer_catches_up() {
    let story = Story::new(5, &[]);
    let north = story.node("north");
    let tip = north.mines(60);
    let late = story.node("late");
    late.follows(tip);
    assert_eq!(late.height(), 60);
}

#[test]
fn a_late_joiner_during_a_split_follows_one_side_and_then_the_better() {
    let story = Story::new(11, &[]);
    let (north, south) = (story.node("north"), story.node("south"));
    let common = north.mines(3);
    south.follows(common);
    story.splits_off_with_a_newcomer(&[&north]);
    let left = north.mines(4);
    let right = south.mines(6);
    let late = story.node("late");
    late.follows(left);
    assert!(!late.knows(right));
    story.heals();
    late.follows(right);
    assert_eq!(story.everybody_agrees_within(120), right);
    assert_eq!(story.deepest_reorganisation(), 4);
    story.nobody_is_blamed();
}

#[test]
fn a_crash_in_the_midst_of_a_reorganisation_is_made_good() {
    for after_ms in [0, 20, 40, 60, 80] {
        let story = Story::new(12, &[]);
        let (north, south) = (story.node("north"), story.node("south"));
        story.splits_off(&[&north]);
        north.mines(3);
        let right = south.mines(20);
        story.heals();
        // Both know of each other again when the connection has caught up.
        let moment = Span::from_millis(after_ms);
        story.stage.borrow_mut().world.run(moment);
        north.crashes();
        story.waits(1);
        north.starts();
        north.follows(right);
    }
}

#[test]
fn a_block_ahead_of_the_clock_is_held_and_not_blamed() {
    let story = Story::new(14, &[]);
    let (north, south) = (story.node("north"), story.node("south"));
    let common = north.mines(1);
    south.follows(common);
    // The future limit of the dev profile is 18 s.
    north.crashes();
    north.has_a_clock_that_is_fast_by(30);
    north.starts();
    story.waits(10);
    let block = north.mines(1);
    let ahead = north.header_of(block).time.0 - north.now().0;
    assert!((28_000..=31_000).contains(&ahead), "{ahead} ms");
    story.waits(5);
    assert_eq!(south.tip(), common, "it is 7 s too early for south");
    story.nobody_is_blamed();
    assert_eq!(south.partings_with(&north).len(), 1, "that of the restart");
    south.follows(block);
    let ahead = north.header_of(block).time.0.saturating_sub(north.now().0);
    assert!((15_000..=18_000).contains(&ahead), "{ahead} ms");
    story.nobody_is_blamed();
}

/// A relay that greets with the height it has, and has nothing when it is asked.
struct Lowering;

impl Behaviour for Lowering {
    fn name(&self) -> &'static str {
        "lowering"
    }

    fn outgoing(&mut self, letter: &Letter<'_>, hands: &mut Hands<'_>) -> Fate {
        let engine = EngineKind::Work;
        if letter.kind != MessageKind::Headers.byte() {
            return Fate::Pass;
        }
        let message = Message::decode(MessageKind::Headers, letter.bytes, engine);
        let Ok(Message::Headers { request, .. }) = message else {
            return Fate::Pass;
        };
        let headers = Vec::new();
        let none = Message::Headers { request, headers };
        hands.send(letter.conn, letter.lane, letter.kind, none.encode());
        Fate::Drop
    }
}

#[test]
fn a_peer_that_lowers_its_height_is_let_go() {
    let story = Story::new(15, &[]);
    let north = story.node("north");
    let liar = story.villain("liar", &[&north], Box::new(Lowering));
    let tip = north.mines(20);
    liar.follows(tip);
    // Somebody new hears of 20 blocks from the liar, who then has none.
    let south = story.node_beside("south", &[&liar]);
    story.waits(10);
    assert_eq!(south.height(), 0);
    let partings = south.partings_with(&liar);
    assert!(!partings.is_empty());
    for why in &partings {
        assert!(why.contains("headers that it told of"), "{why}");
    }
    assert_eq!(south.blames(&liar), Vec::<String>::new());
    // Nothing of it stands in the way of an honest chain.
    let east = story.node_beside("east", &[&north, &south]);
    east.follows(tip);
    south.follows(tip);
}

/// A relay that gives blocks with another body.
struct Spoiling;

impl Behaviour for Spoiling {
    fn name(&self) -> &'static str {
        "spoiling"
    }

    fn outgoing(&mut self, letter: &Letter<'_>, hands: &mut Hands<'_>) -> Fate {
        if letter.kind != MessageKind::Block.byte() {
            return Fate::Pass;
        }
        let message = Message::decode(MessageKind::Block, letter.bytes, EngineKind::Work);
        let Ok(Message::Block { request, block }) = message else {
            return Fate::Pass;
        };
        let mut block = Block::from_bytes(&block).expect("its node gives blocks");
        block.transactions.clear();
        let block = block.to_bytes();
        let other = Message::Block { request, block };
        hands.send(letter.conn, letter.lane, letter.kind, other.encode());
        Fate::Drop
    }
}

#[test]
fn an_invalid_body_of_a_valid_header_says_nothing_against_the_header() {
    let story = Story::new(16, &["alice"]);
    let north = story.node("north");
    let liar = story.villain("liar", &[&north], Box::new(Spoiling));
    let south = story.node_beside("south", &[&liar]);
    let (alice, shop) = (story.person("alice"), story.person("shop"));
    let payment = alice.pays(&shop, 5);
    north.takes(&payment);
    let block = north.mines(1);
    story.waits(5);
    // South has the header, and nobody who gives it the body.
    assert!(south.knows(block));
    assert_eq!(south.height(), 0);
    let blames = south.blames(&liar);
    assert!(!blames.is_empty());
    for rule in &blames {
        assert!(
            rule.contains("is invalid") && rule.contains("root"),
            "{rule}"
        );
    }
    // From somebody honest it takes the same block.
    let east = story.node_beside("east", &[&north, &south]);
    east.follows(block);
    south.follows(block);
    assert_eq!(south.balance_of(&shop), 5);
}

#[test]
fn the_same_story_is_told_the_same_way_twice() {
    let tell = |seed| {
        let story = Story::new(seed, &["alice"]);
        let (north, south) = (story.node("north"), story.node("south"));
        let (alice, shop) = (story.person("alice"), story.person("shop"));
        north.takes(&alice.pays(&shop, 5));
        let block = south.mines(2);
        north.follows(block);
        let hash = story.stage.borrow().world.event_hash();
        (hash, block, story.genesis().id())
    };
    assert_eq!(tell(1), tell(1));
    assert_ne!(tell(1).0, tell(2).0);
}
