use super::*;
use crate::chain::testing::{Made, Maker, genesis, person};

const BOB: ConnId = ConnId(1);
const CAROL: ConnId = ConnId(2);

/// A chain that knows the headers of `count` blocks that both peers have, and no body.
struct Story {
    sync: Sync,
    chain: Chain,
    blocks: Vec<Made>,
}

fn time(millis: u64) -> Time {
    Time::from_millis(1_800_000_000_000 + millis)
}

impl Story {
    fn new(count: usize) -> Self {
        let genesis = genesis(&[], 0);
        let maker = Maker::new(&genesis);
        let blocks = maker.branch(&maker.root(), person(9).account, count);
        let mut chain = Chain::new(genesis).unwrap();
        let mut sync = Sync::default();
        let headers: Vec<Header> = blocks.iter().map(|made| made.header.clone()).collect();
        for conn in [BOB, CAROL] {
            let mut out = Vec::new();
            sync.joined(conn, Height(0), &chain, time(0), &mut out);
            let [Action::Send(_, message)] = &out[..] else {
                panic!("{out:?}")
            };
            let request = message.request().unwrap().0;
            out.clear();
            sync.headers(conn, request, &headers, &mut chain, time(0), &mut out);
            assert!(out.is_empty(), "{out:?}");
        }
        Self {
            sync,
            chain,
            blocks,
        }
    }

    /// Who is asked for which blocks, by their places.
    fn asks(&mut self, room: usize, millis: u64) -> Vec<(ConnId, u32, Vec<usize>)> {
        let mut out = Vec::new();
        self.sync
            .schedule(&self.chain, &BTreeSet::new(), room, time(millis), &mut out);
        let place = |id: &BlockId| self.blocks.iter().position(|made| made.id == *id).unwrap();
        let ask = |action| match action {
            Action::Send(conn, Message::GetBlocks { request, ids }) => {
                (conn, request.0, ids.iter().map(place).collect())
            }
            other => panic!("{other:?}"),
        };
        out.into_iter().map(ask).collect()
    }

    fn expire(&mut self, millis: u64) -> Vec<Action> {
        let mut out = Vec::new();
        self.sync.expire(&self.chain, time(millis), &mut out);
        out
    }
}

#[test]
fn at_most_sixteen_blocks_are_under_way_from_a_peer_and_no_more_than_there_is_room() {
    let mut story = Story::new(50);
    assert_eq!(
        story
            .asks(3, 0)
            .iter()
            .map(|(.., ids)| ids.len())
            .sum::<usize>(),
        3
    );
    let rest = story.asks(100, 0);
    assert_eq!(rest.iter().map(|(.., ids)| ids.len()).sum::<usize>(), 29);
    assert!(
        story
            .sync
            .peers
            .values()
            .all(|peer| peer.in_flight == IN_FLIGHT_PER_PEER)
    );
    assert_eq!(story.asks(100, 0), []);
    // The lowest first, each of one peer.
    let asked: BTreeSet<BlockId> = story.sync.downloads.keys().copied().collect();
    let lowest: BTreeSet<BlockId> = story.blocks[..32].iter().map(|made| made.id).collect();
    assert_eq!(asked, lowest);
}

#[test]
fn a_stalled_block_is_asked_elsewhere_after_five_seconds() {
    let mut story = Story::new(1);
    let (first, request, _) = story.asks(9, 0).remove(0);
    assert_eq!(story.sync.deadline(), Some(time(5_000)));
    story.expire(4_999);
    assert_eq!(story.asks(9, 4_999), []);
    assert!(story.expire(5_000).is_empty());
    let (second, ..) = story.asks(9, 5_000).remove(0);
    assert_ne!(first, second);
    let id = story.blocks[0].id;
    assert!(
        !story.sync.block_came(first, request, &id),
        "its request lapsed"
    );
    assert_eq!(story.sync.peers[&first].in_flight, 0);
    assert_eq!(story.sync.peers[&second].in_flight, 1);
}

#[test]
fn a_peer_that_lets_four_requests_lapse_in_a_row_is_given_up() {
    let mut story = Story::new(1);
    story.sync.left(CAROL);
    for lapse in 1..=4 {
        assert_eq!(story.asks(9, lapse * 5_000).len(), 1);
        let actions = story.expire((lapse + 1) * 5_000);
        let given_up = matches!(&actions[..], [Action::Unresponsive(BOB, "blocks")]);
        assert_eq!(given_up, lapse == 4, "{actions:?}");
    }
}

#[test]
fn not_found_moves_on_at_once_and_so_does_a_peer_that_leaves() {
    let mut story = Story::new(1);
    let id = story.blocks[0].id;
    let (first, ..) = story.asks(9, 0).remove(0);
    story.sync.not_found(first, &[id]);
    let (second, ..) = story.asks(9, 1).remove(0);
    assert_ne!(first, second);
    story.sync.left(second);
    assert_eq!(
        story.asks(9, 2),
        [],
        "the first said that it does not have it"
    );
}

#[test]
fn an_answer_counts_only_from_who_was_asked_and_by_its_request() {
    let mut story = Story::new(1);
    let id = story.blocks[0].id;
    let (conn, request, _) = story.asks(9, 0).remove(0);
    let other = if conn == BOB { CAROL } else { BOB };
    assert!(!story.sync.block_came(other, request, &id));
    assert!(!story.sync.block_came(conn, request + 1, &id));
    assert!(story.sync.block_came(conn, request, &id));
    assert!(!story.sync.block_came(conn, request, &id));
}

#[test]
fn a_block_in_check_is_not_asked_for_again() {
    let mut story = Story::new(2);
    let asked = story.asks(9, 0);
    for (conn, request, places) in asked {
        for place in places {
            let id = story.blocks[place].id;
            assert!(story.sync.block_came(conn, request, &id));
        }
    }
    let in_check: BTreeSet<BlockId> = story.blocks.iter().map(|made| made.id).collect();
    let mut out = Vec::new();
    story
        .sync
        .schedule(&story.chain, &in_check, 9, time(1), &mut out);
    assert!(out.is_empty(), "{out:?}");
    assert_eq!(story.asks(9, 1).len(), 2, "unless its check failed");
}
