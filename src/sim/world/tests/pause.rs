//! Loops that are stopped for a while.

use super::*;

/// Four connected nodes of which the first mines.
fn busy(seed: u64) -> (World, Vec<NodeIndex>) {
    let genesis = genesis(&[&person(1)]);
    let mut world = world(seed, &genesis);
    let nodes = four(&mut world, 1);
    world.run(Span::from_secs(30));
    assert!(
        height(&world, nodes[0]) > 0,
        "there are blocks to be told of"
    );
    (world, nodes)
}

#[test]
fn a_stopped_loop_does_nothing_until_it_goes_on() {
    let (mut world, nodes) = busy(1);
    let before = (world.state_hash(nodes[3]), height(&world, nodes[0]));
    world.pause(nodes[3], Span::from_secs(100));
    world.run(Span::from_secs(60));
    assert_eq!(world.state_hash(nodes[3]), before.0);
    assert!(height(&world, nodes[0]) > before.1);
    assert!(!agree(&world, &nodes));
    // It had 40 s more to stop.
    world.go_on(nodes[3]);
    assert!(world.run_until(Span::from_secs(20), |world| agree(world, &nodes)));
}

#[test]
fn what_a_stopped_process_was_told_is_lost_with_it() {
    let (mut world, nodes) = busy(2);
    world.pause(nodes[3], Span::from_secs(200));
    world.run(Span::from_secs(20));
    // Its peers still write to it: nothing that it would answer may keep the next process waiting.
    world.crash(nodes[3], Crash::Kill);
    world.start(nodes[3]);
    let is_linked = |world: &World| {
        let ends = world.links().into_iter().filter(|(a, b)| {
            let three = nodes[3].0 as u32;
            *a == three || *b == three
        });
        ends.count() == 3
    };
    assert!(
        world.run_until(Span::from_secs(20), |world| is_linked(world)
            && agree(world, &nodes))
    );
}
