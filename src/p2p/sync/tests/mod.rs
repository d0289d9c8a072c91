//! Stories of the synchronisation alone: what it asks of whom, on chains of headers that cost next
//! to no work.

use super::*;
use crate::chain::testing::{self, genesis};
use crate::consensus::HeaderRules;
use crate::types::{CompactBits, Header, Millis, Seal};
use crate::wire::{Lane, Message};

mod again;
mod bodies;
mod headers;
mod presync;
mod stall;

/// What a peer greets with that knows nothing.
const NOWHERE: (BlockId, Height) = (BlockId::ZERO, Height(0));
const BOB: ConnId = ConnId(1);
const CAROL: ConnId = ConnId(2);
const DAVE: ConnId = ConnId(3);

fn time(millis: u64) -> Time {
    Time::from_millis(1_800_000_000_000 + millis)
}

fn headers_on(chain: &Chain, parent: &Header, weights: &[u32], salt: u8) -> Vec<Header> {
    testing::headers_on(chain.genesis(), parent, weights, salt)
}

/// What a request for blocks looks like in a story: who, its number, and places in the chain.
type Asked = (ConnId, u32, Vec<usize>);

/// A node that knows headers and has no body, and its peers.
struct Story {
    sync: Sync,
    chain: Chain,
    headers: Vec<Header>,
    ids: Vec<BlockId>,
    room: Room,
    /// Whether blocks that came are executed.
    executes: bool,
}

const PLENTY: Room = Room {
    blocks: usize::MAX,
    bytes: u64::MAX,
};

impl Story {
    /// `count` small blocks, which all `peers` have.
    fn new(count: usize, peers: &[ConnId]) -> Self {
        Self::of_weights(&vec![0; count], peers)
    }

    /// A chain of blocks with these weights.
    fn of_weights(weights: &[u32], peers: &[ConnId]) -> Self {
        let chain = Chain::new(genesis(&[], 0)).unwrap();
        let root = chain.tip_entry().header.clone();
        // Each header tells of its parent's weight.
        let parents: Vec<u32> = std::iter::once(0)
            .chain(weights.iter().copied())
            .take(weights.len())
            .collect();
        let headers = headers_on(&chain, &root, &parents, 0);
        let mut story = Self {
            sync: Sync::new([3; 32], Uint256::ZERO),
            chain,
            ids: headers.iter().map(Header::id).collect(),
            headers,
            room: PLENTY,
            executes: true,
        };
        for conn in peers {
            story.join(*conn, &story.headers.clone(), 0);
        }
        story
    }

    /// A peer comes and shows headers.
    fn join(&mut self, conn: ConnId, headers: &[Header], millis: u64) {
        self.join_as(Direction::Outbound, conn, headers, millis);
    }

    fn join_as(&mut self, direction: Direction, conn: ConnId, headers: &[Header], millis: u64) {
        let mut out = Vec::new();
        let chain = &mut self.chain;
        self.sync
            .joined(conn, direction, NOWHERE, chain, time(millis), &mut out);
        for part in headers
            .chunks(2_000)
            .chain(headers.is_empty().then_some(headers))
        {
            let [Action::Send(_, _, message)] = &out[..] else {
                panic!("{out:?}")
            };
            let request = message.request().unwrap().0;
            out.clear();
            self.sync
                .headers(conn, request, part, chain, time(millis), &mut out);
        }
        assert!(out.is_empty(), "{out:?}");
    }

    /// More blocks that the story can name.
    fn add(&mut self, headers: &[Header]) {
        self.headers.extend_from_slice(headers);
        self.ids.extend(headers.iter().map(Header::id));
    }

    fn id(&self, place: usize) -> BlockId {
        self.ids[place]
    }

    /// Who is asked for which blocks, by their places.
    fn asks(&mut self, millis: u64) -> Vec<Asked> {
        let mut out = Vec::new();
        let room = self.room;
        self.sync
            .schedule(&self.chain, room, time(millis), &mut out);
        let place = |id: &BlockId| self.ids.iter().position(|other| other == id).unwrap();
        let ask = |action| match action {
            Action::Send(conn, _, Message::GetBlocks { request, ids }) => {
                (conn, request.0, ids.iter().map(place).collect())
            }
            other => panic!("{other:?}"),
        };
        out.into_iter().map(ask).collect()
    }

    /// Blocks come, and are good.
    fn come(&mut self, (conn, request, places): &Asked, bytes: usize, millis: u64) {
        for place in places {
            let arrival = self.comes(*conn, *request, *place, bytes, millis);
            assert_eq!(arrival, Arrival::Wanted, "block {place}");
            self.is_good(*place);
        }
    }

    /// A block comes.
    fn comes(
        &mut self,
        conn: ConnId,
        request: u32,
        place: usize,
        bytes: usize,
        millis: u64,
    ) -> Arrival {
        let id = self.id(place);
        self.sync
            .block_came(conn, request, (&id, bytes), &self.chain, time(millis))
    }

    /// A block that came is in the tree.
    fn is_good(&mut self, place: usize) {
        let id = self.id(place);
        self.sync.taken(&id);
        self.chain.body_for_test(&id, self.executes);
    }

    fn expire(&mut self, millis: u64) -> Vec<Action> {
        let mut out = Vec::new();
        self.sync.expire(&self.chain, time(millis), &mut out);
        out
    }

    /// The connection ends.
    fn leaves(&mut self, conn: ConnId, millis: u64) {
        let mut out = Vec::new();
        self.sync.left(conn, &self.chain, time(millis), &mut out);
        assert!(out.is_empty(), "{out:?}");
    }
}

/// How many blocks these requests are for.
fn count(asked: &[Asked]) -> usize {
    asked.iter().map(|(.., places)| places.len()).sum()
}

/// The peers of these requests.
fn peers_of(asked: &[Asked]) -> Vec<ConnId> {
    asked.iter().map(|(conn, ..)| *conn).collect()
}

#[test]
fn bits_of_the_stories_are_the_easiest() {
    let story = Story::new(3, &[]);
    let Seal::Work { bits, .. } = story.headers[2].seal else {
        unreachable!()
    };
    assert_eq!(bits, CompactBits(0x207f_ffff));
}
