//! Reorganisations: every way between two branches leads to the state that the blocks give.

use proptest::prelude::*;

use super::bodies::{BODIES_BYTES_MAX, SETTLED_BODIES_BYTES_MAX};
use super::*;
use crate::chain::testing::{Made, Maker, Person, genesis, headers_on, pay, person};
use crate::types::{AccountId, Transaction};

const NOW: Time = Time::from_micros(u64::MAX);

/// No log.
struct NoFronts;

impl FrontSource for NoFronts {
    fn front(&self, _: Lsn) -> Option<crate::chain::Front> {
        None
    }
}

/// A chain and somebody who makes blocks for it.
struct Story {
    chain: Chain,
    maker: Maker,
    rich: Person,
    /// How many blocks were executed, and how many undone.
    executed: usize,
    undone: usize,
    parked: Vec<ParkedBranch>,
    begun: Vec<Attempt>,
}

impl Story {
    fn new() -> Self {
        let rich = person(1);
        let genesis = genesis(&[&rich], 1_000_000_000_000);
        Self {
            chain: Chain::new(Arc::clone(&genesis)).unwrap(),
            maker: Maker::new(&genesis),
            rich,
            executed: 0,
            undone: 0,
            parked: Vec::new(),
            begun: Vec::new(),
        }
    }

    /// The blocks come, header and body, and everything that follows is done.
    fn receives(&mut self, blocks: &[Made]) {
        for (place, made) in blocks.iter().enumerate() {
            self.chain.add_header(&made.header, NOW).unwrap();
            self.chain.add_body(Arc::clone(&made.checked));
            self.chain.logged(&made.id, Lsn::new(place as u64));
        }
        self.advances();
    }

    fn advances(&mut self) {
        while let Some(step) = self.chain.next_step() {
            match step {
                Step::Begin(attempt) => {
                    self.begun.push(attempt);
                    self.chain.begun(attempt.id);
                }
                Step::Park(branch) => self.parked.push(branch),
                Step::Read(..) => panic!("all of it is in memory"),
                Step::Execute(execution) => {
                    self.executed += execution.blocks.len();
                    self.undone += execution.undos.len();
                    let outcome = self.chain.executed(execution.run());
                    assert_eq!(outcome.invalid, None);
                }
                Step::Moved(moved) => assert_eq!(moved.to, self.chain.tip()),
            }
        }
    }

    /// A payment that differs with `salt`.
    fn payment(&self, nonce: u64, salt: u8) -> Transaction {
        let genesis = &self.maker.genesis;
        let to = person(100 + salt % 20).account;
        let amount = u64::from(salt) + 1;
        pay(genesis, &self.rich, (nonce, 5_000), to, amount)
    }

    fn branch_of_payments(&self, from: &ChainState, salts: &[u8]) -> Vec<Made> {
        let mut made: Vec<Made> = Vec::new();
        for salt in salts {
            let parent = made.last().map_or(from, |last| &last.state);
            let nonce = parent
                .ledger
                .account(&self.rich.account)
                .unwrap()
                .unwrap()
                .nonce
                .0;
            let payment = self.payment(nonce, *salt);
            let who: AccountId = person(200).account;
            made.push(self.maker.child(parent, who, &[payment]));
        }
        made
    }

    fn is_at(&self, made: &Made) {
        assert_eq!(self.chain.tip(), made.id);
        let state = self.chain.tip_state();
        assert_eq!(state.ledger.root(), made.header.state_root);
        assert_eq!(state.ledger.supply(), made.state.ledger.supply());
        assert_eq!(state.history.root(), made.state.history.root());
    }
}

/// A start may find its checkpoint on a branch that the log's newest tip is not of, because the
/// records of the tips above were lost.
#[test]
fn the_best_block_is_the_tip_at_once_where_its_state_is_at_hand() {
    let mut story = Story::new();
    let root = story.maker.root();
    let low = story.branch_of_payments(&root, &[1; 3]);
    story.receives(&low);
    let high = story.branch_of_payments(&root, &[2; 5]);
    story.chain.add_base(high[4].state.clone());
    story.executed = 0;
    story.receives(&high);
    story.is_at(&high[4]);
    assert_eq!(story.executed, 0);
    assert!(story.chain.is_settled());
    // The checkpoint may go, and the chain goes on.
    story.chain.keep_bases(&[]);
    let next = story.branch_of_payments(&high[4].state, &[3; 2]);
    story.receives(&next);
    story.is_at(&next[1]);
    assert_eq!(story.executed, 2);
}

#[test]
fn a_damaged_block_does_not_keep_its_branch_from_being_left() {
    let mut story = Story::new();
    let root = story.maker.root();
    let low = story.branch_of_payments(&root, &[1; 3]);
    story.receives(&low);
    for made in &low {
        story.chain.bodies.remove(&made.id);
    }
    let high = story.branch_of_payments(&root, &[2; 4]);
    for made in &high {
        story.chain.add_header(&made.header, NOW).unwrap();
        story.chain.add_body(Arc::clone(&made.checked));
    }
    // What leaves is read back, and one block of it can't be.
    let mut read = Vec::new();
    while let Some(Step::Read(id, _)) = story.chain.next_step() {
        read.push(id);
    }
    read.sort_unstable();
    let mut wanted: Vec<BlockId> = low.iter().map(|made| made.id).collect();
    wanted.sort_unstable();
    assert_eq!(read, wanted);
    for made in [&low[0], &low[2]] {
        story.chain.body_read(Arc::clone(&made.checked));
    }
    assert!(story.chain.body_damaged(&low[1].id));
    story.advances();
    story.is_at(&high[3]);
    let txid = low[2].checked.transactions[0].txid;
    assert_eq!(story.chain.find_transaction(&txid), None);
    // On a branch that is left it is missing like any other block.
    assert!(!story.chain.wants_again(&low[1].id) && story.chain.wants_body(&low[1].id));
    assert!(!story.chain.tree().is_complete(&low[2].id));
}

#[test]
fn a_reorganisation_of_several_runs_shows_every_block_that_entered() {
    let mut story = Story::new();
    let root = story.maker.root();
    let first = story.branch_of_payments(&root, &[1; 40]);
    story.receives(&first);
    // As if other blocks filled the memory: only what is needed stays.
    story.chain.body_bytes += BODIES_BYTES_MAX;
    let rival = story.branch_of_payments(&root, &[2; 41]);
    for (place, made) in rival.iter().enumerate() {
        story.chain.add_header(&made.header, NOW).unwrap();
        story.chain.add_body(Arc::clone(&made.checked));
        story.chain.logged(&made.id, Lsn::new(place as u64));
    }
    let of = |id: &BlockId| {
        let all = first.iter().chain(&rival).map(|made| &made.checked);
        Arc::clone(all.into_iter().find(|checked| checked.id == *id).unwrap())
    };
    let mut moves = Vec::new();
    while let Some(step) = story.chain.next_step() {
        match step {
            Step::Begin(attempt) => story.chain.begun(attempt.id),
            Step::Read(id, _) => story.chain.body_read(of(&id)),
            Step::Execute(execution) => {
                moves.extend(story.chain.executed(execution.run()).moved);
                story.chain.trim_bodies();
            }
            step => panic!("{step:?}"),
        }
    }
    let [moved] = &moves[..] else {
        panic!("the tip moves once")
    };
    assert!(moved.is_whole);
    assert_eq!((moved.fork, moved.depth), (Height(0), 40));
    let ids = |blocks: &[Arc<CheckedBlock>]| blocks.iter().map(|it| it.id).collect::<Vec<_>>();
    let made = |blocks: &[Made]| blocks.iter().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!(ids(&moved.connected), made(&rival));
    let mut left = made(&first);
    left.reverse();
    assert_eq!(ids(&moved.disconnected), left);
}

#[test]
fn a_damaged_block_of_the_best_chain_takes_nothing_from_what_stands_on_it() {
    let mut story = Story::new();
    let root = story.maker.root();
    let first = story.branch_of_payments(&root, &[1; 4]);
    story.receives(&first);
    let rival = story.branch_of_payments(&root, &[2; 4]);
    story.receives(&rival);
    story.chain.bodies.remove(&first[1].id);
    assert!(story.chain.body_damaged(&first[1].id));
    assert!(!story.chain.body_damaged(&first[1].id), "that is no news");
    assert_eq!(story.chain.logged_at(&first[1].id), None);
    assert!(story.chain.is_settled());
    // What is mined here becomes the tip.
    let next = story.branch_of_payments(&first[3].state, &[3; 1]);
    story.receives(&next);
    story.is_at(&next[0]);
    // It comes again, and the rival of equal work is still the one that was seen later.
    assert!(story.chain.wants_again(&first[1].id));
    story.chain.add_body(Arc::clone(&first[1].checked));
    assert!(
        !story.chain.wants_again(&first[1].id),
        "it is on its way to the log"
    );
    assert_eq!(story.chain.logged_at(&first[1].id), None);
    story.chain.logged(&first[1].id, Lsn::new(77));
    assert_eq!(story.chain.logged_at(&first[1].id), Some(Lsn::new(77)));
    assert!(story.chain.tree().is_better(&first[3].id, &rival[3].id));
    story.is_at(&next[0]);
}

#[test]
fn a_reorganisation_goes_back_and_executes_nothing_below_the_fork() {
    let mut story = Story::new();
    let root = story.maker.root();
    let trunk = story.branch_of_payments(&root, &[1; 30]);
    story.receives(&trunk);
    let fork = &trunk[9].state;
    let other = story.branch_of_payments(fork, &[7; 21]);
    (story.executed, story.undone) = (0, 0);
    story.receives(&other);
    story.is_at(other.last().unwrap());
    assert_eq!((story.executed, story.undone), (21, 20));
    // And back again, when the old tip's state is gone.
    for _ in 0..10 {
        let tip = story.chain.tip_state().clone();
        let next = story.branch_of_payments(&tip, &[8]);
        story.receives(&next);
    }
    let more = story.branch_of_payments(&trunk[29].state, &[2; 12]);
    (story.executed, story.undone) = (0, 0);
    story.receives(&more);
    story.is_at(more.last().unwrap());
    assert_eq!((story.executed, story.undone), (32, 31));
    assert!(story.chain.states.order().len() <= 8 + RUN_BLOCKS_MAX);
}

#[test]
fn chains_that_share_their_first_state_go_on_each_by_itself() {
    let mut story = Story::new();
    let root = story.maker.root();
    let genesis = Arc::clone(&story.maker.genesis);
    let mut other = Story::new();
    other.chain = Chain::from_state(Arc::clone(&genesis), root.clone()).unwrap();
    story.chain = Chain::from_state(genesis, root.clone()).unwrap();
    let (one, two) = (
        story.branch_of_payments(&root, &[1; 3]),
        story.branch_of_payments(&root, &[2; 4]),
    );
    story.receives(&one);
    other.receives(&two);
    story.is_at(&one[2]);
    other.is_at(&two[3]);
    story.receives(&two);
    story.is_at(&two[3]);
}

#[test]
fn a_branch_beyond_cheap_reach_is_parked_until_somebody_accepts_it() {
    let mut story = Story::new();
    let (root, who) = (story.maker.root(), person(3).account);
    let trunk = story.maker.branch(&root, who, CHEAP_REACH as usize + 1);
    for part in trunk.chunks(RUN_BLOCKS_MAX) {
        story.receives(part);
    }
    let tip = trunk.last().unwrap();
    story.is_at(tip);
    let other = story
        .maker
        .branch(&root, person(4).account, trunk.len() + 1);
    story.receives(&other);
    story.is_at(tip);
    let [parked] = story.parked[..] else {
        panic!("{:?}", story.parked)
    };
    assert_eq!(
        (parked.first, parked.tip),
        (other[0].id, other.last().unwrap().id)
    );
    assert_eq!(parked.depth, trunk.len() as u64);
    // What follows on it is parked with it, and the old chain goes on.
    let later = story.maker.child(&other.last().unwrap().state, who, &[]);
    story.receives(std::slice::from_ref(&later));
    let next = story.maker.child(&tip.state, who, &[]);
    story.receives(std::slice::from_ref(&next));
    story.is_at(&next);
    assert_eq!(
        story.chain.accept_branch(&next.id),
        None,
        "it is not parked"
    );
    assert_eq!(story.chain.accept_branch(&later.id), Some(other[0].id));
    story.advances();
    story.is_at(&later);
}

#[test]
fn a_branch_below_the_inverses_and_within_reach_is_executed_from_a_base() {
    let mut story = Story::new();
    let (root, who) = (story.maker.root(), person(3).account);
    let depth = super::super::states::UNDOS_MAX + 10;
    let trunk = story.maker.branch(&root, who, depth);
    for part in trunk.chunks(RUN_BLOCKS_MAX) {
        story.receives(part);
    }
    let other = story
        .maker
        .branch(&trunk[4].state, person(4).account, depth - 4);
    (story.executed, story.undone) = (0, 0);
    story.receives(&other);
    story.is_at(other.last().unwrap());
    assert_eq!((story.executed, story.undone), (5 + other.len(), 0));
    assert!(story.parked.is_empty());
}

#[test]
fn a_long_chain_is_found_by_height_and_by_id_and_is_the_same_as_a_value() {
    let mut story = Story::new();
    let (genesis, root) = (Arc::clone(&story.maker.genesis), story.maker.root());
    let headers = headers_on(&genesis, &root.header, &[0; 1_300], 1);
    let dead = headers_on(&genesis, &headers[99], &[0; 5], 2);
    for (place, header) in headers.iter().chain(&dead).enumerate() {
        story.chain.restore(header, Lsn::new(place as u64)).unwrap();
    }
    let form = postcard::to_allocvec(&story.chain.snapshot()).unwrap();
    let snapshot = postcard::from_bytes(&form).unwrap();
    let fronts = Arc::new(NoFronts);
    let again = Chain::restore_snapshot(genesis, snapshot, &|_| None, fronts).unwrap();
    assert_eq!(postcard::to_allocvec(&again.snapshot()).unwrap(), form);
    for chain in [story.chain, again] {
        finds_all(chain, &headers, &dead);
    }
}

/// Checks what a chain says of its headers, all but the last thousand of them kept by height, and
/// of a branch.
fn finds_all(mut chain: Chain, headers: &[Header], branch: &[Header]) {
    let ids: Vec<BlockId> = headers.iter().map(Header::id).collect();
    let (tip, dead) = (ids[1_299], branch[4].id());
    chain.body_for_test(&tip, true);
    // 64 at a time and one more, up to 1,024 below the best.
    assert_eq!(chain.tree.kept_by_height(), 4 * 65);
    assert_eq!(chain.tree.count(), 1_306);
    for (header, id) in headers.iter().zip(&ids) {
        assert_eq!(chain.at(header.height), Some(*id));
        assert_eq!(chain.tree.ancestor(&tip, header.height), Some(*id));
        assert_eq!(
            chain
                .tree
                .get(id)
                .map(|entry| entry.header.clone())
                .as_ref(),
            Some(header)
        );
        assert!(chain.in_best_chain(id) && chain.logged_at(id).is_some());
    }
    assert_eq!(chain.tree.fork(&dead, &tip), Some(ids[99]));
    assert_eq!(chain.tree.fork(&ids[9], &dead), Some(ids[9]));
    let leaves: BTreeSet<BlockId> = chain.tree.leaves().map(|(id, _)| *id).collect();
    assert_eq!(leaves, BTreeSet::from([tip, dead]));
    let after = chain.headers_after(&[dead, ids[49]], &BlockId::ZERO, 300);
    assert_eq!(after.at_hand().unwrap(), headers[50..350]);
    assert!(chain.locator().iter().all(|id| chain.in_best_chain(id)));
}

/// Records of blocks.
#[derive(Default)]
struct Records(parking_lot::Mutex<BTreeMap<Lsn, crate::chain::Front>>);

impl FrontSource for Records {
    fn front(&self, at: Lsn) -> Option<crate::chain::Front> {
        self.0.lock().get(&at).cloned()
    }
}

impl Records {
    /// The blocks come, each has its own record, and everything that follows is done.
    fn takes(&self, story: &mut Story, blocks: &[Made]) {
        for made in blocks {
            story.chain.add_header(&made.header, NOW).unwrap();
            story.chain.add_body(Arc::clone(&made.checked));
            let at = Lsn::new(8 + 8 * self.0.lock().len() as u64);
            let (id, header) = (made.id, made.header.clone());
            let work = story.chain.work(&id);
            let front = crate::chain::Front { id, work, header };
            self.0.lock().insert(at, front);
            story.chain.logged(&made.id, at);
        }
        story.advances();
    }
}

/// A chain that executes branches within eight blocks of its tip, and its records.
fn shallow_story() -> (Story, Arc<Records>) {
    let mut story = Story::new();
    let records = Arc::<Records>::default();
    story.chain.set_reach(8);
    story
        .chain
        .read_from(Arc::clone(&records) as Arc<dyn FrontSource>);
    (story, records)
}

fn let_all_go(chain: &mut Chain) {
    for _ in 0..100 {
        chain.let_headers_go(Height(u64::MAX));
    }
}

#[test]
fn old_headers_are_read_by_whoever_is_given_their_places_and_damage_ends_them() {
    let (mut story, records) = shallow_story();
    let (root, who) = (story.maker.root(), person(3).account);
    let trunk = story.maker.branch(&root, who, 40);
    records.takes(&mut story, &trunk);
    let_all_go(&mut story.chain);
    let old = story.chain.tree.logged_len();
    let all: Vec<Header> = trunk.iter().map(|made| made.header.clone()).collect();
    let at = story.chain.logged_at(&trunk[20].id).unwrap();
    let lost = records.0.lock().remove(&at).unwrap();
    story.chain.begin_event();
    let after = |chain: &Chain| chain.headers_after(&[], &BlockId::ZERO, 38);
    let asked = after(&story.chain);
    assert_eq!(asked.to_read() as u64, old - 1);
    assert_eq!(story.chain.take_unreadable(), [], "nothing was read");
    let (headers, unreadable) = asked.read(&*records);
    assert_eq!(headers, all[..20]);
    let unreadable = unreadable.unwrap();
    let found = (unreadable.at, unreadable.height, unreadable.read);
    assert_eq!(found, (at, Height(21), 20));
    story.chain.header_unreadable(unreadable);
    assert_eq!(story.chain.take_unreadable(), [lost.id]);
    // It is told of no more until it is logged again; what was said of another place is old news.
    assert_eq!(
        after(&story.chain).read(&*records),
        (all[..20].to_vec(), None)
    );
    let again = Lsn::new(1 << 20);
    records.0.lock().insert(again, lost);
    story.chain.logged(&trunk[20].id, again);
    story.chain.header_unreadable(unreadable);
    assert_eq!(story.chain.take_unreadable(), []);
    assert_eq!(
        after(&story.chain).read(&*records),
        (all[..38].to_vec(), None)
    );
    // What is in memory is at hand.
    let near = story
        .chain
        .headers_after(&[trunk[36].id], &BlockId::ZERO, 2);
    assert_eq!(near.at_hand().unwrap(), all[37..39]);
}

#[test]
fn the_best_chain_is_left_below_what_is_in_the_log_alone_and_taken_back() {
    let (mut story, records) = shallow_story();
    let (root, who) = (story.maker.root(), person(3).account);
    let trunk = story.maker.branch(&root, who, 40);
    records.takes(&mut story, &trunk);
    let_all_go(&mut story.chain);
    let old = story.chain.tree.logged_len();
    assert!((25..=33).contains(&old), "{old}");
    for made in &trunk {
        assert!(story.chain.in_best_chain(&made.id));
        assert_eq!(story.chain.at(made.header.height), Some(made.id));
        assert_eq!(
            story.chain.header_at(made.header.height).as_ref(),
            Some(&made.header)
        );
    }
    let all: Vec<Header> = trunk.iter().map(|made| made.header.clone()).collect();
    let after = |chain: &Chain, from: usize, stop: usize| {
        let after = chain.headers_after(&[trunk[from].id], &trunk[stop].id, 100);
        let (headers, unreadable) = after.read(&*records);
        assert_eq!(unreadable, None);
        headers
    };
    assert_eq!(after(&story.chain, 2, 39), all[3..]);
    assert_eq!(after(&story.chain, 2, 20), all[3..21]);
    // What is not told of is not looked up. A place below the first one bounds nothing.
    let look_up = |stop: usize| {
        let chain = &story.chain;
        chain.headers_after(&[trunk[2].id], &trunk[stop].id, 2_000)
    };
    assert_eq!(look_up(3).to_read(), 1);
    assert_eq!(look_up(2).to_read() as u64, old - 4);
    assert_eq!(look_up(39).to_read() as u64, old - 4);
    let other = story.maker.branch(&trunk[9].state, person(4).account, 35);
    records.takes(&mut story, &other);
    story.is_at(&other[34]);
    assert_eq!(story.chain.tree.logged_len(), 11);
    assert!(!story.chain.in_best_chain(&trunk[10].id) && story.chain.in_best_chain(&trunk[9].id));
    assert!(story.chain.tree.is_complete(&trunk[39].id));
    let next = story.maker.branch(&other[34].state, person(4).account, 1);
    records.takes(&mut story, &next);
    let_all_go(&mut story.chain);
    assert!(story.chain.tree.logged_len() > 25);
    // And back.
    let more = story.maker.branch(&trunk[39].state, who, 8);
    records.takes(&mut story, &more);
    story.is_at(&more[7]);
    assert!(trunk.iter().all(|made| story.chain.in_best_chain(&made.id)));
    assert_eq!(after(&story.chain, 2, 39), all[3..]);
}

#[test]
fn a_damaged_record_does_not_keep_the_best_chain_from_being_left() {
    let (mut story, records) = shallow_story();
    let (root, who) = (story.maker.root(), person(3).account);
    let trunk = story.maker.branch(&root, who, 40);
    records.takes(&mut story, &trunk);
    let_all_go(&mut story.chain);
    let (damaged, at) = (trunk[14].id, story.chain.logged_at(&trunk[14].id).unwrap());
    records.0.lock().remove(&at);
    assert_eq!(story.chain.header_at(Height(15)), None);
    assert_eq!(story.chain.take_unreadable(), [damaged]);
    // It is wanted again, and its work is known by its neighbours.
    story.chain.bodies.remove(&damaged);
    assert!(story.chain.body_damaged(&damaged) && story.chain.wants_again(&damaged));
    assert!(story.chain.can_take_again(&damaged, Height(15)));
    let work = story.chain.work_with(&damaged, &trunk[14].header);
    assert_eq!(
        work,
        Some(
            records.0.lock()[&Lsn::new(at.get() - 8)]
                .work
                .saturating_add(trunk[14].header.work())
        )
    );
    let other = story.maker.branch(&trunk[9].state, person(4).account, 35);
    records.takes(&mut story, &other);
    story.is_at(&other[34]);
    // What stood on the damaged one is not known any more, and what is below it is.
    assert!(story.chain.tree.in_memory(&trunk[13].id).is_none());
    assert_eq!(story.chain.tree.height(&trunk[20].id), None);
    assert_eq!(story.chain.wanted_again().count(), 0);
    assert_eq!(
        after_genesis(&story.chain, &records),
        trunk[..10]
            .iter()
            .chain(&other)
            .map(|made| made.id)
            .collect::<Vec<_>>()
    );
}

fn after_genesis(chain: &Chain, records: &Records) -> Vec<BlockId> {
    let after = chain.headers_after(&[], &BlockId::ZERO, 1_000);
    let (headers, _) = after.read(records);
    headers.iter().map(Header::id).collect()
}

#[test]
fn a_branch_that_fails_leaves_everything_as_it_was() {
    let mut story = Story::new();
    let root = story.maker.root();
    let trunk = story.branch_of_payments(&root, &[1; 5]);
    story.receives(&trunk);
    let other = story.branch_of_payments(&trunk[1].state, &[9; 3]);
    let parent = &other.last().unwrap().state;
    let lie = |header: &mut Header| header.state_root.0[0] ^= 1;
    let bad = story.maker.child_with(parent, person(3).account, &[], lie);
    // A branch of four, invalid at its end, that would replace three.
    for made in other.iter().chain([&bad]) {
        story.chain.add_header(&made.header, NOW).unwrap();
    }
    let before = story.chain.tip_state().ledger.root();
    // Its last block comes first, so that it becomes a candidate as a whole.
    for made in [&bad].into_iter().chain(other.iter().rev()) {
        story.chain.add_body(Arc::clone(&made.checked));
    }
    let mut invalid = None;
    while let Some(step) = story.chain.next_step() {
        match step {
            Step::Begin(attempt) => story.chain.begun(attempt.id),
            Step::Execute(execution) => {
                let outcome = story.chain.executed(execution.run());
                invalid = outcome.invalid.map(|(id, _)| id).or(invalid);
                if outcome.moved.is_none() {
                    assert_eq!(story.chain.tip(), trunk[4].id);
                    assert_eq!(story.chain.tip_state().ledger.root(), before);
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(invalid, Some(bad.id));
}

#[test]
fn a_block_is_attempted_once_and_a_suspect_by_itself() {
    let mut story = Story::new();
    let (root, who) = (story.maker.root(), person(3).account);
    let blocks = story.maker.branch(&root, who, 4);
    let suspect = Attempt {
        id: blocks[0].id,
        number: 1,
    };
    story.chain.suspect(suspect);
    story.receives(&blocks);
    let attempts: Vec<_> = story.begun.iter().map(|a| (a.id, a.number)).collect();
    let wanted: Vec<_> = blocks.iter().map(|made| (made.id, 2)).collect();
    assert_eq!(attempts, wanted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Branches grow anywhere, in any order; the tip's state is always that of its blocks.
    #[test]
    fn any_order_of_branches_ends_at_the_state_of_the_best(
        parts in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..8)),
            1..8,
        ),
    ) {
        let mut story = Story::new();
        let mut all: Vec<Made> = Vec::new();
        let mut best: Option<Made> = None;
        for (from, salts) in parts {
            let root = story.maker.root();
            let places = all.len() + 1;
            let parent = match from.index(places) {
                0 => &root,
                place => &all[place - 1].state,
            };
            let branch = story.branch_of_payments(parent, &salts);
            story.receives(&branch);
            for made in branch {
                let known = all.iter().any(|other| other.id == made.id);
                let height = best.as_ref().map_or(0, |best| best.header.height.0);
                if !known && made.header.height.0 > height {
                    best = Some(made.clone());
                }
                all.push(made);
            }
            story.is_at(best.as_ref().unwrap());
        }
    }
}

impl Chain {
    /// A block's body is here, and everything that became the best branch by it is executed,
    /// as far as the tree goes.
    pub(crate) fn body_for_test(&mut self, id: &BlockId, execute: bool) {
        self.tree.body_arrived(id);
        let goal = self.tree.best_candidate();
        if execute && goal != self.tip {
            let kept = self.best.len() - self.leaving(&goal).count();
            let joining = self.tree.path_from(&goal, |id, _| self.in_best_chain(id));
            self.best.truncate(kept);
            self.best.extend(joining);
            self.tip = goal;
        }
    }
}

#[test]
fn what_waits_for_execution_stays_in_memory_and_little_of_what_was_executed() {
    let mut story = Story::new();
    let root = story.maker.root();
    let mut blocks = story.branch_of_payments(&root, &[1; 30]);
    for made in &mut blocks {
        // As if it had so many transactions.
        made.checked = Arc::new(CheckedBlock {
            bytes: vec![0; 1 << 20].into(),
            ..CheckedBlock::clone(&made.checked)
        });
    }
    // None of them is read back: the story would not know how.
    story.receives(&blocks);
    story.is_at(&blocks[29]);
    assert_eq!(story.chain.body_bytes, SETTLED_BODIES_BYTES_MAX);
    let here = blocks
        .iter()
        .map(|made| story.chain.body(&made.id).is_some());
    assert_eq!(here.rev().take_while(|here| *here).count(), 4, "the newest");
}

#[test]
fn while_blocks_wait_only_the_state_that_they_follow_on_is_kept() {
    let mut story = Story::new();
    let root = story.maker.root();
    let blocks = story.branch_of_payments(&root, &[1; 30]);
    for (place, made) in blocks.iter().enumerate() {
        story.chain.add_header(&made.header, NOW).unwrap();
        story.chain.add_body(Arc::clone(&made.checked));
        story.chain.logged(&made.id, Lsn::new(place as u64));
    }
    let Some(Step::Begin(attempt)) = story.chain.next_step() else {
        panic!("an attempt is written down");
    };
    story.chain.begun(attempt.id);
    let Some(Step::Execute(execution)) = story.chain.next_step() else {
        panic!("they are there");
    };
    story.chain.executed(execution.run());
    assert!(!story.chain.is_settled());
    assert_eq!(
        story.chain.states.order().iter().collect::<Vec<_>>(),
        [&story.chain.tip()]
    );
    story.advances();
    assert!(story.chain.is_settled());
    assert_eq!(story.chain.states.order().len(), STATES_MAX);
}

/// A branch that forks off among blocks that are in the log alone, where what leads to it has to
/// come again: meanwhile the state that it goes on from must stay.
#[test]
fn an_accepted_branch_that_waits_for_a_block_goes_on_from_where_it_stopped() {
    let (mut story, records) = shallow_story();
    let (root, who) = (story.maker.root(), person(3).account);
    let trunk = story
        .maker
        .branch(&root, who, super::super::states::UNDOS_MAX + 40);
    for part in trunk.chunks(RUN_BLOCKS_MAX) {
        records.takes(&mut story, part);
    }
    for _ in 0..10 {
        let_all_go(&mut story.chain);
    }
    assert!(story.chain.tree.in_memory(&trunk[20].id).is_none());
    let length = trunk.len() - 19;
    let other = story
        .maker
        .branch(&trunk[19].state, person(4).account, length);
    records.takes(&mut story, &other);
    story.is_at(trunk.last().unwrap());
    let damaged = &trunk[10];
    let lacking = story.chain.bodies.remove(&damaged.id);
    let accepted = story.chain.accept_branch(&other[0].id);
    assert_eq!(accepted, Some(other[0].id));
    let executed = story.executed;
    loop {
        match story.chain.next_step() {
            Some(Step::Read(id, _)) => {
                let made = trunk.iter().find(|made| made.id == id).unwrap();
                if id == damaged.id && lacking.is_some() {
                    assert!(story.chain.body_damaged(&id));
                } else {
                    story.chain.body_read(Arc::clone(&made.checked));
                }
            }
            Some(Step::Execute(execution)) => {
                story.executed += execution.blocks.len();
                assert_eq!(story.chain.executed(execution.run()).invalid, None);
            }
            Some(step) => panic!("{step:?}"),
            None => break,
        }
    }
    assert!(story.chain.is_at_rest() && !story.chain.is_settled());
    assert_eq!(story.executed - executed, 10, "those below it");
    records.takes(&mut story, std::slice::from_ref(damaged));
    story.is_at(other.last().unwrap());
    let all = 20 + other.len();
    assert_eq!(story.executed - executed, all, "none of them twice");
}
