//! A node among peers of all manners, in virtual time: whatever most of them do, it ends with the
//! chain of the honest one.

use super::*;
use crate::base::Rng;
use crate::chain::testing::headers_on;
use crate::types::WORK_HEADER_BYTES;

/// What a peer has of a block.
#[derive(Clone)]
struct Held {
    id: BlockId,
    header: Header,
    bytes: Vec<u8>,
}

impl Held {
    fn empty(header: Header) -> Self {
        let bytes = [&header.to_bytes()[..], &[0; 4]].concat();
        let id = header.id();
        Self { id, header, bytes }
    }

    fn made(made: &Made) -> Self {
        let (id, header, bytes) = (made.id, made.header.clone(), made.bytes.clone());
        Self { id, header, bytes }
    }
}

/// How a peer behaves when it is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// As it should, with a line of so many bytes per second.
    Honest(u64),
    /// It gives headers, and says nothing when it is asked for blocks.
    Withholds,
    /// It says nothing at all when it is asked.
    Silent,
    /// It gives headers, and says that it has none of the blocks.
    NotFound,
    /// It gives headers, and other bytes than those of the blocks.
    Damages,
    /// It gives the first block of each request and none of the others.
    LeavesOut,
    /// It says that its chain is higher than it is.
    Boasts,
    /// It shows one chain when it is asked for headers first, and another one later.
    TwoFaced,
    /// It sends what nobody asked for.
    Unasked,
}

struct Actor {
    peer: Peer,
    manner: Manner,
    chain: Vec<Held>,
    /// The other chain of a peer with two faces.
    other: Vec<Held>,
    /// When its line is free again.
    free: Time,
    questions: u32,
    /// When it comes back after it was closed.
    returns: Option<Time>,
}

const LATENCY: Span = Span::from_millis(30);

impl Actor {
    fn new(number: u8, manner: Manner, chain: &[Held]) -> Self {
        Self {
            peer: peer(number),
            manner,
            chain: chain.to_vec(),
            other: Vec::new(),
            free: Time::EPOCH,
            questions: 0,
            returns: None,
        }
    }

    fn height(&self) -> Height {
        let claimed = if self.manner == Manner::Boasts {
            1_000
        } else {
            0
        };
        Height(self.chain.len() as u64 + claimed)
    }

    /// What it answers, and when the answer is there.
    fn answer(&mut self, message: &Message, now: Time) -> Vec<(Time, Message)> {
        let answers = match message {
            Message::Hello(_) => {
                let Message::Hello(mut hello) = hello(self.peer) else {
                    unreachable!()
                };
                hello.best_height = self.height();
                hello.best_id = self.chain.last().unwrap().id;
                vec![Message::Hello(hello)]
            }
            Message::Ready { .. } => vec![ready()],
            Message::Ping { nonce } => vec![Message::Pong { nonce: *nonce }],
            Message::GetHeaders {
                request, locator, ..
            } => self.headers(*request, locator),
            Message::GetBlocks { request, ids } => self.blocks(*request, ids),
            _ => Vec::new(),
        };
        let rate = match self.manner {
            Manner::Honest(rate) => rate,
            _ => 1 << 20,
        };
        let mut timed = Vec::new();
        for answer in answers {
            let micros = answer.encode().len() as u64 * 1_000_000 / rate;
            self.free = self.free.max(now) + Span::from_micros(micros);
            timed.push((self.free + LATENCY, answer));
        }
        timed
    }

    fn headers(&mut self, request: RequestId, locator: &[BlockId]) -> Vec<Message> {
        self.questions += 1;
        if self.manner == Manner::Silent {
            return Vec::new();
        }
        let chain = if self.manner == Manner::TwoFaced && self.questions.is_multiple_of(2) {
            &self.other
        } else {
            &self.chain
        };
        let known = |id: &BlockId| chain.iter().position(|held| held.id == *id);
        let start = locator.iter().find_map(known).map_or(0, |place| place + 1);
        let headers = chain[start..].iter().take(2_000);
        let headers = headers.map(|held| held.header.clone()).collect();
        let mut answers = vec![Message::Headers { request, headers }];
        if self.manner == Manner::Unasked {
            let block = self.chain[0].bytes.clone();
            answers.push(Message::Block { request, block });
        }
        answers
    }

    fn blocks(&self, request: RequestId, ids: &[BlockId]) -> Vec<Message> {
        let held = |id: &BlockId| {
            let both = self.chain.iter().chain(&self.other);
            both.into_iter().find(|held| held.id == *id)
        };
        let answer = |id: &BlockId| match held(id) {
            Some(held) => {
                let mut block = held.bytes.clone();
                if self.manner == Manner::Damages {
                    // One transaction less or more than there are.
                    let count = WORK_HEADER_BYTES;
                    block[count] ^= 1;
                }
                Message::Block { request, block }
            }
            None => {
                let ids = vec![Hash(id.0)];
                Message::NotFound { request, ids }
            }
        };
        match self.manner {
            Manner::Withholds | Manner::Silent => Vec::new(),
            Manner::NotFound => {
                let ids = ids.iter().map(|id| Hash(id.0)).collect();
                vec![Message::NotFound { request, ids }]
            }
            Manner::LeavesOut => ids.iter().step_by(2).map(answer).collect(),
            _ => ids.iter().map(answer).collect(),
        }
    }
}

/// Alice and her peers.
struct Crowd {
    alice: Alice,
    actors: Vec<Actor>,
    /// What arrives when, from whom, over which connection.
    arriving: BTreeMap<(Time, u64), (usize, ConnId, Message)>,
    sequence: u64,
    next_conn: u64,
}

impl Crowd {
    /// `behind` is how much older than the clock the last block of `chain` is.
    fn new(alice: Alice, chain: &[Held], behind: Span) -> Self {
        let mut crowd = Self {
            alice,
            actors: Vec::new(),
            arriving: BTreeMap::new(),
            sequence: 0,
            next_conn: 1_000,
        };
        let last = chain.last().unwrap().header.time;
        crowd.alice.now = Time::from_millis(last.0) + behind;
        crowd
    }

    fn add(&mut self, actor: Actor) {
        self.actors.push(actor);
        self.connect(self.actors.len() - 1);
    }

    fn connect(&mut self, place: usize) {
        self.next_conn += 1;
        let actor = &mut self.actors[place];
        actor.returns = None;
        actor.peer.conn = ConnId(self.next_conn);
        let peer = actor.peer;
        self.alice.meet(peer);
        self.follow();
    }

    /// Whatever Alice did last has its consequences.
    fn follow(&mut self) {
        self.alice.store_done();
        let now = self.alice.now;
        for (place, actor) in self.actors.iter_mut().enumerate() {
            let conn = actor.peer.conn;
            while let Some(message) = self.alice.sent.get_mut(&conn).and_then(VecDeque::pop_front) {
                for (at, answer) in actor.answer(&message, now) {
                    self.sequence += 1;
                    let arrival = (place, conn, answer);
                    self.arriving.insert((at, self.sequence), arrival);
                }
            }
            if self.alice.closed.contains_key(&conn) && actor.returns.is_none() {
                actor.returns = Some(now + Span::from_secs(20));
            }
        }
    }

    /// Lets time pass until Alice has this tip, at most so long; says how long it took.
    fn until_tip(&mut self, tip: BlockId, limit: Span) -> Option<Span> {
        let (begin, end) = (self.alice.now, self.alice.now + limit);
        while self.alice.node.chain.tip() != tip {
            let arrival = self.arriving.keys().next().map(|(at, _)| *at);
            let timeout = self.alice.node.poll_timeout();
            let returns = self.actors.iter().filter_map(|actor| actor.returns).min();
            let next = [arrival, timeout, returns].into_iter().flatten().min()?;
            if next > end {
                return None;
            }
            self.alice.now = self.alice.now.max(next);
            let now = self.alice.now;
            if arrival == Some(next) {
                let (_, (place, conn, message)) = self.arriving.pop_first().unwrap();
                let peer = self.actors[place].peer;
                if peer.conn == conn && !self.alice.closed.contains_key(&conn) {
                    self.alice.receive(peer, message);
                }
            } else if timeout == Some(next) {
                self.alice.node.handle_timeout(now);
                self.alice.drain();
            } else if let Some(place) = (0..self.actors.len())
                .find(|place| self.actors[*place].returns.is_some_and(|at| at <= now))
            {
                self.connect(place);
            }
            self.follow();
        }
        Some(self.alice.now.since(begin))
    }

    fn why_closed(&self, place: usize) -> Option<&CloseReason> {
        self.alice.closed.get(&self.actors[place].peer.conn)
    }
}

/// A node that knows nothing, and a chain of `count` blocks.
fn story(count: usize) -> (Alice, Vec<Held>) {
    let alice = Alice::new();
    let (root, who) = (alice.maker.root(), person(91).account);
    let chain = alice.maker.branch(&root, who, count);
    let chain = chain.iter().map(Held::made).collect();
    (alice, chain)
}

/// A branch that forks off `chain` after `height` blocks; its blocks are invalid once executed.
fn branch(alice: &Alice, chain: &[Held], height: usize, count: usize, salt: u8) -> Vec<Held> {
    let parent = &chain[height - 1].header;
    let headers = headers_on(&alice.maker.genesis, parent, &vec![0; count], salt);
    let branch = headers.into_iter().map(Held::empty);
    chain[..height].iter().cloned().chain(branch).collect()
}

const LIMIT: Span = Span::from_secs(600);

#[test]
fn one_honest_peer_brings_the_chain_whatever_seven_others_do() {
    let (_, chain) = story(300);
    let manners = [
        Manner::Withholds,
        Manner::Silent,
        Manner::NotFound,
        Manner::Damages,
        Manner::LeavesOut,
        Manner::Boasts,
        Manner::TwoFaced,
        Manner::Unasked,
    ];
    for seed in 0..12 {
        let mut rng = Rng::from_number(seed);
        let alice = Alice::new();
        let longer = branch(&alice, &chain, 200, 150, 7);
        let behind = if seed % 2 == 0 { 10 } else { 200_000 };
        let mut crowd = Crowd::new(alice, &chain, Span::from_secs(behind));
        let honest = rng.below(8) as u8;
        for number in 0..8 {
            let mut manner = manners[rng.below(manners.len() as u64) as usize];
            if number == honest {
                manner = Manner::Honest(50_000 + rng.below(1_000_000));
            }
            let mut actor = Actor::new(number + 2, manner, &chain);
            if manner == Manner::TwoFaced {
                actor.other = longer.clone();
            }
            crowd.add(actor);
        }
        let took = crowd.until_tip(chain[299].id, LIMIT);
        assert!(
            took.is_some(),
            "seed {seed}: {:?}",
            crowd.alice.node.chain.tip_entry()
        );
        let place = usize::from(honest);
        assert_eq!(crowd.why_closed(place), None, "seed {seed}");
    }
}

#[test]
fn a_branch_with_more_work_whose_blocks_are_withheld_holds_up_nobody() {
    let (alice, chain) = story(200);
    let longer = branch(&alice, &chain, 50, 200, 7);
    let mut crowd = Crowd::new(alice, &chain, Span::from_secs(200_000));
    crowd.add(Actor::new(2, Manner::Withholds, &longer));
    crowd.add(Actor::new(3, Manner::Honest(1 << 20), &chain));
    let took = crowd.until_tip(chain[199].id, LIMIT).unwrap();
    assert!(took < Span::from_secs(20), "{took}");
    assert_eq!(crowd.why_closed(1), None);
}

#[test]
fn a_peer_that_answers_two_ways_holds_up_nobody() {
    for behind in [10, 200_000] {
        let (alice, chain) = story(200);
        let mut crowd = Crowd::new(alice, &chain, Span::from_secs(behind));
        let mut liar = Actor::new(2, Manner::TwoFaced, &chain[..150]);
        liar.other = branch(&crowd.alice, &chain, 20, 300, 7);
        crowd.add(liar);
        crowd.add(Actor::new(3, Manner::Honest(1 << 20), &chain));
        let took = crowd.until_tip(chain[199].id, LIMIT).unwrap();
        assert!(took < Span::from_secs(30), "{took}");
        assert_eq!(crowd.why_closed(1), None);
    }
}

#[test]
fn bodies_that_are_not_those_of_their_headers_cost_their_sender_and_no_one_else() {
    let (alice, chain) = story(100);
    let mut crowd = Crowd::new(alice, &chain, Span::from_secs(10));
    crowd.add(Actor::new(2, Manner::Damages, &chain));
    crowd.add(Actor::new(3, Manner::Honest(1 << 20), &chain));
    let took = crowd.until_tip(chain[99].id, LIMIT).unwrap();
    assert!(took < Span::from_secs(10), "{took}");
    assert!(matches!(crowd.why_closed(0), Some(CloseReason::Fault(_))));
    assert_eq!(crowd.why_closed(1), None);
}

#[test]
fn an_invalid_branch_with_more_work_costs_its_sender_and_no_one_else() {
    let (alice, chain) = story(200);
    let longer = branch(&alice, &chain, 50, 200, 7);
    let mut crowd = Crowd::new(alice, &chain, Span::from_secs(200_000));
    // It does as it should with an invalid chain.
    crowd.add(Actor::new(2, Manner::Honest(1 << 20), &longer));
    crowd.add(Actor::new(3, Manner::Honest(1 << 20), &chain));
    let took = crowd.until_tip(chain[199].id, LIMIT).unwrap();
    assert!(took < Span::from_secs(60), "{took}");
    assert!(matches!(crowd.why_closed(0), Some(CloseReason::Fault(_))));
    assert_eq!(crowd.why_closed(1), None);
    let tree = crowd.alice.node.chain.tree();
    assert_eq!(
        tree.best_header(),
        chain[199].id,
        "nobody asks for what follows on it"
    );
}

#[test]
fn several_honest_peers_share_the_work_and_the_slow_one_stays() {
    let (alice, chain) = story(600);
    let mut crowd = Crowd::new(alice, &chain, Span::from_secs(10));
    // 208 bytes each: the slow one sends five blocks in a second, 16 in three.
    crowd.add(Actor::new(2, Manner::Honest(1_000), &chain));
    crowd.add(Actor::new(3, Manner::Honest(100_000), &chain));
    crowd.add(Actor::new(4, Manner::Honest(100_000), &chain));
    let took = crowd.until_tip(chain[599].id, Span::from_secs(20));
    assert!(took.is_some());
    for place in 0..3 {
        assert_eq!(crowd.why_closed(place), None);
    }
}
