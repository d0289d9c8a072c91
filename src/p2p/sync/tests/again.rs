//! Blocks whose records are damaged: asked for again, of whom, and how often.

use super::*;

/// A node that has and executed all of `count` blocks.
fn complete(count: usize, peers: &[ConnId]) -> Story {
    let mut story = Story::new(count, peers);
    loop {
        let asked = story.asks(0);
        if asked.is_empty() {
            break;
        }
        for asked in &asked {
            story.come(asked, 208, 0);
        }
    }
    assert!((0..count).all(|place| story.chain.in_best_chain(&story.id(place))));
    story
}

/// It is found out that these can't be read.
fn damage(story: &mut Story, places: &[usize]) {
    for place in places {
        let id = story.id(*place);
        assert!(story.chain.body_damaged(&id));
        story.sync.changed();
    }
}

fn lacks(story: &mut Story, conn: ConnId, place: usize, millis: u64) {
    let (id, mut out) = (story.id(place), Vec::new());
    let now = time(millis);
    story
        .sync
        .not_found(conn, &[id], &story.chain, now, &mut out);
    assert!(out.is_empty(), "{out:?}");
}

#[test]
fn a_damaged_block_is_asked_of_one_who_has_it_and_of_nobody_when_it_came() {
    let mut story = complete(40, &[BOB]);
    let headers = story.headers[..20].to_vec();
    story.join(CAROL, &headers, 0);
    damage(&mut story, &[5, 30]);
    assert_eq!(
        story.chain.tree().best_candidate(),
        story.id(39),
        "all stand"
    );
    let mut asked = story.asks(1);
    asked.sort();
    // What is above Carol's chain is asked of Bob.
    let places: Vec<usize> = asked.iter().flat_map(|(.., p)| p.clone()).collect();
    assert_eq!(count(&asked), 2, "{asked:?}");
    assert!(places.contains(&5) && places.contains(&30), "{asked:?}");
    let of_30 = asked.iter().find(|(.., p)| p.contains(&30)).unwrap();
    assert_eq!(of_30.0, BOB);
    assert_eq!(story.asks(2), [], "once");
    for (conn, request, mut places) in asked {
        // They come in the order asked.
        for place in places.drain(..) {
            let arrival = story.comes(conn, request, place, 208, 3);
            assert_eq!(arrival, Arrival::Wanted);
            assert_eq!(story.asks(3), [], "it is in check");
            let id = story.id(place);
            story.sync.taken(&id);
            story.chain.logged(&id, crate::store::Lsn::new(9));
        }
    }
    assert_eq!(story.asks(4), []);
    assert_eq!(story.chain.wanted_again().count(), 0);
}

#[test]
fn who_lacks_it_too_is_asked_again_much_later_and_keeps_its_good_name() {
    let mut story = complete(40, &[BOB, CAROL]);
    let damaged: Vec<usize> = (0..34).collect();
    damage(&mut story, &damaged);
    // More of them than a peer may lack of what it told of.
    let mut refused = 0;
    for turn in 1.. {
        let asked = story.asks(turn);
        if asked.is_empty() {
            break;
        }
        for (conn, _, places) in asked {
            for place in places {
                refused += 1;
                lacks(&mut story, conn, place, turn);
            }
        }
    }
    assert_eq!(refused, 2 * damaged.len(), "each was asked once for each");
    // Bob and Carol are still known to have the chain that they showed.
    let tip = story.id(39);
    assert!(
        [BOB, CAROL]
            .iter()
            .all(|conn| story.sync.knows(*conn, &tip, &story.chain))
    );
    // And after ten minutes somebody is asked again.
    assert!(story.expire(599_000).is_empty());
    assert_eq!(story.asks(599_000), []);
    assert!(story.expire(601_000).is_empty());
    assert_eq!(count(&story.asks(601_000)), 32);
}

#[test]
fn nobody_who_is_there_means_that_nothing_is_done() {
    let mut story = complete(40, &[BOB]);
    story.leaves(BOB, 1);
    damage(&mut story, &[7]);
    assert_eq!(story.asks(2), []);
    assert_eq!(story.sync.deadline(), None);
    // Who comes is asked.
    story.join(CAROL, &story.headers.clone(), 3);
    let asked = story.asks(3);
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].0, &asked[0].2[..]), (CAROL, &[7][..]));
}
