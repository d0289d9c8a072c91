use parking_lot::Mutex;

use super::*;
use crate::types::{AccountId, CompactBits, Hash, Millis, Seal};

fn header(parent: BlockId, height: u64, nonce: u64) -> Header {
    Header {
        height: Height(height),
        parent_id: parent,
        time: Millis(height),
        tx_root: Hash::ZERO,
        state_root: Hash::ZERO,
        history_root: Hash::ZERO,
        base_fee: 0,
        beneficiary: AccountId::ZERO,
        parent_weight: 0,
        seal: Seal::Work {
            bits: CompactBits(0x207f_ffff),
            nonce,
        },
    }
}

fn add(tree: &mut Tree, parent: BlockId, nonce: u64, work: u64) -> BlockId {
    let height = tree.get(&parent).unwrap().header.height.0 + 1;
    let header = header(parent, height, nonce);
    let id = header.id();
    assert!(tree.add_header(id, header, Uint256::from_u64(work)));
    id
}

#[test]
fn the_most_work_wins_and_then_the_first_seen_body() {
    let mut tree = Tree::new(header(BlockId::ZERO, 0, 0), Uint256::ONE);
    let genesis = tree.genesis();
    let a = add(&mut tree, genesis, 1, 2);
    let b = add(&mut tree, genesis, 2, 2);
    assert_eq!((tree.best_header(), tree.best_candidate()), (a, genesis));
    tree.body_arrived(&b);
    tree.body_arrived(&a);
    assert_eq!(
        tree.best_candidate(),
        b,
        "of equal work the body that came first"
    );
    let a2 = add(&mut tree, a, 3, 1);
    assert_eq!((tree.best_header(), tree.best_candidate()), (a2, b));
    tree.body_arrived(&a2);
    assert_eq!(tree.best_candidate(), a2);
    assert_eq!(tree.ancestor(&a2, Height(1)), Some(a));
    assert_eq!(tree.path_from(&a2, |id, _| *id == genesis), [a, a2]);
}

#[test]
fn bodies_may_come_before_their_parents() {
    let mut tree = Tree::new(header(BlockId::ZERO, 0, 0), Uint256::ONE);
    let genesis = tree.genesis();
    let a = add(&mut tree, genesis, 1, 1);
    let b = add(&mut tree, a, 2, 1);
    let c = add(&mut tree, b, 3, 1);
    tree.body_arrived(&c);
    tree.body_arrived(&b);
    assert_eq!(tree.best_candidate(), genesis);
    tree.body_arrived(&a);
    assert_eq!(tree.best_candidate(), c);
}

#[test]
fn a_lost_body_is_missing_until_it_comes_again() {
    let mut tree = Tree::new(header(BlockId::ZERO, 0, 0), Uint256::ONE);
    let genesis = tree.genesis();
    let a = add(&mut tree, genesis, 1, 1);
    let b = add(&mut tree, a, 2, 1);
    for id in [a, b] {
        tree.body_arrived(&id);
    }
    assert_eq!(tree.best_candidate(), b);
    tree.body_lost(&a);
    assert_eq!(tree.best_candidate(), genesis);
    assert!(!tree.is_complete(&b));
    tree.body_arrived(&a);
    assert_eq!(tree.best_candidate(), b);
}

#[test]
fn ancestors_and_forks_are_found_in_few_steps_and_are_those_of_a_walk() {
    let mut tree = Tree::new(header(BlockId::ZERO, 0, 0), Uint256::ONE);
    let mut blocks = vec![tree.genesis()];
    for place in 0..1_500_u64 {
        // Mostly one long chain, with branches of all lengths.
        let last = blocks.len() - 1;
        let parent = if place % 97 == 96 {
            last * 7 / 11
        } else {
            last
        };
        let parent = blocks[parent];
        blocks.push(add(&mut tree, parent, place + 1, 1));
    }
    let path = |id: &BlockId| tree.path_from(id, |_, _| false);
    for (a, b) in [
        (1_500, 3),
        (1_500, 1_499),
        (97, 1_200),
        (640, 641),
        (1_000, 1_100),
    ] {
        let (left, right) = (path(&blocks[a]), path(&blocks[b]));
        for (height, id) in left.iter().enumerate() {
            assert_eq!(tree.ancestor(&blocks[a], Height(height as u64)), Some(*id));
        }
        assert_eq!(tree.ancestor(&blocks[a], Height(left.len() as u64)), None);
        let shared = left.iter().zip(&right).take_while(|(l, r)| l == r).last();
        assert_eq!(
            tree.fork(&blocks[a], &blocks[b]).as_ref(),
            shared.map(|(l, _)| l)
        );
    }
}

#[test]
fn a_walk_down_takes_logarithmic_steps() {
    let steps = |mut at: u64, height: u64| {
        let mut count = 0;
        while at > height {
            let (skip, next) = (skip_height(at), skip_height(at - 1));
            let long = skip == height || (skip > height && !(next + 2 < skip && next >= height));
            at = if long { skip } else { at - 1 };
            count += 1;
        }
        count
    };
    let most = (0..1_000_000)
        .step_by(997)
        .map(|height| steps(1_000_000, height))
        .max();
    assert!(most < Some(120), "{most:?}");
}

#[test]
fn an_invalid_block_takes_its_descendants_along() {
    let mut tree = Tree::new(header(BlockId::ZERO, 0, 0), Uint256::ONE);
    let genesis = tree.genesis();
    let a = add(&mut tree, genesis, 1, 5);
    let b = add(&mut tree, a, 2, 5);
    let other = add(&mut tree, genesis, 3, 1);
    for id in [a, b, other] {
        tree.body_arrived(&id);
    }
    tree.invalidate(&a);
    assert_eq!((tree.best_header(), tree.best_candidate()), (other, other));
    let late = add(&mut tree, b, 4, 50);
    tree.body_arrived(&late);
    assert_eq!((tree.best_header(), tree.best_candidate()), (other, other));
}

/// What a tree answers, whichever way its blocks are kept; which of two is better of those from a
/// height on.
fn answers(tree: &Tree, blocks: &[BlockId], asked_from: u64) -> String {
    let of_block = |id: &BlockId| {
        let entry = tree.get(id).map(|entry| {
            let Entry { work, body, .. } = entry.as_ref();
            let where_it_is = (tree.body(id) == Some(*body), tree.is_complete(id));
            let known = (entry.verdict, entry.executed, entry.complete);
            let below = work.wrapping_sub(entry.header.work());
            assert_eq!(tree.work_below(id), Some(below));
            (*work, *body, where_it_is, known, entry.header.clone())
        });
        let height = tree.height(id).map_or(u64::MAX, |height| height.0);
        let ancestors = [0, height / 3, height.saturating_sub(1), height]
            .map(|height| tree.ancestor(id, Height(height)));
        let children: Vec<_> = tree.children(id).collect();
        let other = blocks[usize::from(id.0[9]) % blocks.len()];
        // Of old blocks nobody asks which came first.
        let in_memory = |id| tree.height(id).is_some_and(|height| height.0 >= asked_from);
        let is_better = (in_memory(id) && in_memory(&other)).then(|| tree.is_better(id, &other));
        let fork = (tree.fork(id, &other), is_better);
        format!("{entry:?} {ancestors:?} {children:?} {fork:?}")
    };
    let blocks: Vec<_> = blocks.iter().map(of_block).collect();
    let leaves: BTreeSet<_> = tree.leaves().map(|(id, _)| *id).collect();
    let mut logged: Vec<_> = tree.logged().collect();
    logged.sort();
    let best = (tree.best_header(), tree.best_candidate(), tree.count());
    format!("{best:?} {leaves:?} {logged:?} {blocks:?}")
}

/// The best block and the best header, found among all.
fn best_of_all(tree: &Tree, blocks: &[BlockId]) -> (BlockId, BlockId) {
    let entry = |id| tree.get(id).unwrap().into_owned();
    let all = || blocks.iter().map(|id| (id, entry(id)));
    let candidates = all().filter(|(_, entry)| entry.complete && entry.verdict == Verdict::Open);
    let best = candidates.max_by_key(|(id, entry)| (entry.work, Reverse(entry.arrival), **id));
    let open = all().filter(|(_, entry)| entry.verdict == Verdict::Open);
    let header = open.max_by_key(|(id, entry)| (entry.work, Reverse(entry.header_arrival), **id));
    let id = |found: Option<(&BlockId, Entry)>| found.map_or(tree.genesis(), |(id, _)| *id);
    (id(best), id(header))
}

/// Records of blocks, as far as they can be read.
#[derive(Default)]
struct Records(Mutex<BTreeMap<Lsn, Front>>);

impl FrontSource for Records {
    fn front(&self, at: Lsn) -> Option<Front> {
        self.0.lock().get(&at).cloned()
    }
}

impl Records {
    fn write(&self, at: Lsn, id: BlockId, tree: &Tree) {
        let entry = tree.get(&id).unwrap();
        let (work, header) = (entry.work, entry.header.clone());
        self.0.lock().insert(at, Front { id, work, header });
    }
}

/// Adds a block of one of two weights that its header says.
fn add_own(tree: &mut Tree, parent: BlockId, nonce: u64, heavy: bool) -> BlockId {
    let height = tree.height(&parent).unwrap().0 + 1;
    let bits = CompactBits(if heavy { 0x203f_ffff } else { 0x207f_ffff });
    let header = Header {
        seal: Seal::Work { bits, nonce },
        ..header(parent, height, nonce)
    };
    let (id, work) = (header.id(), header.work());
    assert!(tree.add_header(id, header, work));
    id
}

/// The same block of a tree and of one that has every block in memory.
struct Two {
    tree: Tree,
    plain: Tree,
    records: Arc<Records>,
    blocks: Vec<BlockId>,
    written: u64,
}

impl Two {
    /// Trees of which one keeps eight blocks by id, and makes two at a time logged ones.
    fn new() -> Self {
        let root = Header {
            seal: Seal::Work {
                bits: CompactBits(0x207f_ffff),
                nonce: 0,
            },
            ..header(BlockId::ZERO, 0, 0)
        };
        let mut tree = Tree::new(root.clone(), root.work());
        let records = Arc::<Records>::default();
        tree.set_reach(16);
        tree.read_from(Arc::clone(&records) as Arc<dyn FrontSource>);
        Self {
            blocks: vec![tree.genesis()],
            plain: Tree::new(root.clone(), root.work()),
            tree,
            records,
            written: 0,
        }
    }

    fn both(&mut self, change: impl Fn(&mut Tree)) {
        change(&mut self.tree);
        change(&mut self.plain);
    }

    fn add(&mut self, parent: BlockId, heavy: bool) -> BlockId {
        let nonce = self.blocks.len() as u64;
        let id = add_own(&mut self.plain, parent, nonce, heavy);
        assert_eq!(add_own(&mut self.tree, parent, nonce, heavy), id);
        self.blocks.push(id);
        id
    }

    fn write(&mut self, id: BlockId) {
        if id == self.tree.genesis() {
            return;
        }
        self.written += 1;
        let at = Lsn::new(self.written * 8);
        self.records.write(at, id, &self.plain);
        self.both(|tree| tree.body_logged(&id, at));
    }

    /// A block and its ancestors are here and executed, as far as nothing speaks against them.
    fn mature(&mut self, id: BlockId) {
        for id in self.plain.path_from(&id, |_, _| false) {
            let entry = self.plain.get(&id).unwrap().into_owned();
            if entry.verdict != Verdict::Open {
                break;
            }
            self.both(|tree| tree.body_arrived(&id));
            if !matches!(entry.body, Body::Logged(_)) {
                self.write(id);
            }
            self.both(|tree| tree.executed(&id));
        }
    }

    /// Makes old blocks logged ones, as far as there are such and the one above them stays.
    fn log(&mut self) {
        while let Some((height, _)) = self.tree.next_to_log(Height(u64::MAX)) {
            let above = self.tree.trunk.at(height.0 + 1);
            let above = above.and_then(|above| self.plain.get(&above));
            if !above.is_some_and(|above| above.is_candidate()) {
                break;
            }
            self.tree.log_next();
        }
    }

    /// Whether what becomes of a block says something of logged ones.
    fn is_settled(&self, id: &BlockId) -> bool {
        self.tree.height(id).unwrap().0 <= self.tree.logged_len()
    }

    fn agree(&self, asked_from: u64) {
        let answers = |tree| answers(tree, &self.blocks, asked_from);
        assert_eq!(answers(&self.tree), answers(&self.plain));
    }
}

proptest::proptest! {
    #[test]
    fn where_blocks_are_kept_changes_no_answer(
        steps in proptest::collection::vec((0..14_u8, proptest::prelude::any::<u16>()), 1..160),
    ) {
        let mut two = Two::new();
        for (step, place) in steps {
            let near_the_end = usize::from(place) % two.blocks.len().min(4);
            let any = two.blocks[usize::from(place) % two.blocks.len()];
            let late = two.blocks[two.blocks.len() - 1 - near_the_end];
            let may_go = !two.is_settled(&any);
            match step {
                // What the other tree is not told.
                0 => two.tree.keep_by_height(&any),
                1 => two.log(),
                2..=6 => {
                    let parent = if step == 6 { any } else { late };
                    let id = two.add(parent, place % 2 == 0);
                    if place % 8 > 0 {
                        two.both(|tree| tree.body_arrived(&id));
                    }
                }
                7 => two.both(|tree| tree.body_arrived(&any)),
                8 => two.write(any),
                9 if place % 4 == 0 && may_go => two.both(|tree| tree.invalidate(&any)),
                9 if may_go => two.both(|tree| tree.prefer(&any)),
                10 if may_go => two.both(|tree| tree.park(&any)),
                10 => two.both(|tree| tree.executed(&any)),
                11 => two.both(|tree| { tree.unpark(&any); }),
                12 if may_go => two.both(|tree| tree.body_lost(&any)),
                _ => two.mature(late),
            }
            two.agree(two.tree.logged_len());
            let best = (two.tree.best_candidate(), two.tree.best_header());
            proptest::prop_assert_eq!(best, best_of_all(&two.tree, &two.blocks));
        }
        let form = postcard::to_allocvec(&two.tree).unwrap();
        let mut again: Tree = postcard::from_bytes(&form).unwrap();
        again.restore_from(Arc::clone(&two.records) as Arc<dyn FrontSource>);
        proptest::prop_assert_eq!(postcard::to_allocvec(&again).unwrap(), form);
        two.tree = again;
        two.agree(two.tree.logged_len());
    }

    #[test]
    fn what_is_logged_comes_back_when_another_branch_is_the_best(
        trunk in 20..60_usize,
        fork in 0..60_usize,
        branch in 1..30_usize,
        forks_of_old in proptest::collection::vec(0..40_usize, 0..4),
        damaged in proptest::option::of(1..40_u64),
    ) {
        let mut two = Two::new();
        let mut top = two.tree.genesis();
        for _ in 0..trunk {
            top = two.add(top, false);
        }
        two.mature(top);
        two.log();
        let logged = two.tree.logged_len();
        proptest::prop_assert!(logged as usize + 16 >= trunk);
        for parent in forks_of_old {
            two.add(two.blocks[parent % trunk], false);
        }
        let fork = fork % trunk;
        let mut other = two.blocks[fork];
        for _ in 0..branch {
            other = two.add(other, false);
        }
        two.agree(logged);
        let damaged = damaged.filter(|height| *height < logged && *height > fork as u64);
        if let Some(damaged) = damaged {
            let at = two.tree.trunk.logged.position(damaged).unwrap();
            two.records.0.lock().remove(&at);
        }
        proptest::prop_assert!(two.tree.make_top(&other));
        let kept = two.tree.logged_len();
        proptest::prop_assert!(kept <= fork as u64 + 1 || kept == logged);
        if damaged.is_none() {
            two.agree(u64::MAX);
            return Ok(());
        }
        // What follows on the damaged one is forgotten, and nothing else.
        let above_damage = |id: &BlockId| damaged.is_some_and(|damaged| {
            let ancestor = two.plain.ancestor(id, Height(damaged));
            ancestor == Some(two.blocks[damaged as usize])
        });
        for id in &two.blocks {
            let lies_between = two.plain.ancestor(id, Height(fork as u64 + 1)).is_some_and(|child| {
                child == two.blocks[fork + 1]
            });
            if above_damage(id) {
                proptest::prop_assert_eq!(two.tree.height(id), None);
            } else if !lies_between {
                proptest::prop_assert_eq!(two.tree.height(id), two.plain.height(id));
            }
        }
        for id in two.tree.entries.keys() {
            proptest::prop_assert!(two.tree.ancestor(id, Height(0)) == Some(two.tree.genesis()));
        }
        let best = two.tree.in_memory(&two.tree.best_header());
        proptest::prop_assert!(best.is_some());
    }
}

/// A chain of 40 blocks, of which the lower ones are logged.
fn logged_chain() -> Two {
    let mut two = Two::new();
    let mut top = two.tree.genesis();
    for _ in 0..40 {
        top = two.add(top, false);
    }
    two.mature(top);
    two.log();
    assert!(two.tree.logged_len() >= 24, "{}", two.tree.logged_len());
    two
}

#[test]
fn a_damaged_record_hides_a_header_and_nothing_else_until_it_is_written_again() {
    let mut two = logged_chain();
    let (id, child) = (two.blocks[10], two.blocks[11]);
    let Some(Body::Logged(at)) = two.tree.body(&id) else {
        panic!("it is logged");
    };
    let good = two.records.0.lock().remove(&at).unwrap();
    assert!(two.tree.get(&id).is_none());
    assert_eq!(two.tree.work_below(&id), None);
    assert_eq!(two.tree.height(&id), Some(Height(10)));
    assert!(two.tree.is_complete(&id) && two.tree.body(&id) == Some(Body::Logged(at)));
    let top = *two.blocks.last().unwrap();
    assert_eq!(two.tree.ancestor(&top, Height(10)), Some(id));
    assert_eq!(two.tree.children(&two.blocks[9].clone()).next(), Some(id));
    // The neighbours' work is vouched for by their other neighbours.
    assert!(two.tree.get(&child).is_some() && two.tree.get(&two.blocks[9]).is_some());
    let late = header(id, 11, 999);
    assert!(!two.tree.add_header(late.id(), late, Uint256::ONE));
    // It is told of once, and again by no later event.
    assert_eq!(two.tree.take_unreadable(), [id]);
    assert_eq!(two.tree.unreadable(), [at]);
    two.tree.end_event();
    two.tree.begin_event();
    assert!(two.tree.get(&id).is_none());
    assert_eq!(two.tree.take_unreadable(), []);
    two.tree.end_event();
    // What could not be read once is not read again by this process: it is written elsewhere.
    two.records.0.lock().insert(at, good);
    assert!(two.tree.get(&id).is_none());
    two.write(id);
    two.agree(two.tree.logged_len());
}

#[test]
fn the_ids_of_two_damaged_neighbours_are_known_as_far_as_records_say_them() {
    let mut two = logged_chain();
    let positions = [10, 11].map(|height| two.tree.trunk.logged.position(height).unwrap());
    for at in positions {
        two.records.0.lock().remove(&at);
    }
    let (lower, upper) = (two.blocks[10], two.blocks[11]);
    assert_eq!(two.tree.height(&upper), Some(Height(11)));
    assert_eq!(
        two.tree.height(&lower),
        None,
        "nothing but the damaged ones names it"
    );
    assert_eq!(two.tree.take_unreadable(), [upper]);
    // The upper one comes again; then the lower one is known, and told of.
    two.write(upper);
    two.tree.begin_event();
    assert_eq!(two.tree.height(&lower), Some(Height(10)));
    assert_eq!(two.tree.take_unreadable(), [lower]);
    assert_eq!(two.tree.take_unreadable(), []);
    two.write(lower);
    two.agree(two.tree.logged_len());
}

#[test]
fn a_chain_that_begins_again_takes_all_back_or_forgets_what_is_damaged() {
    for is_damaged in [false, true] {
        let mut two = logged_chain();
        if is_damaged {
            let at = two.tree.trunk.logged.position(10).unwrap();
            two.records.0.lock().remove(&at);
        }
        let genesis = two.tree.genesis();
        assert!(two.tree.make_top(&genesis));
        assert_eq!(two.tree.logged_len(), 1);
        if is_damaged {
            assert_eq!((two.tree.count(), two.tree.best_header()), (1, genesis));
        } else {
            two.agree(u64::MAX);
        }
        assert_eq!(two.tree.ancestor(&genesis, Height(0)), Some(genesis));
    }
}

#[test]
fn work_that_a_neighbour_contradicts_is_damage() {
    let mut two = logged_chain();
    let id = two.blocks[10];
    let at = two.tree.trunk.logged.position(10).unwrap();
    two.records.0.lock().get_mut(&at).unwrap().work = Uint256::ONE;
    assert!(two.tree.get(&id).is_none());
    for near in [9, 11] {
        let near = two.blocks[near];
        let work = two.tree.get(&near).unwrap().work;
        assert_eq!(work, two.plain.get(&near).unwrap().work);
    }
    assert_eq!(two.tree.take_unreadable(), [id]);
}

#[test]
fn what_is_foreseen_can_not_be_read_and_what_somebody_else_read_is_no_part_of_an_event() {
    let mut two = logged_chain();
    let (id, other) = (two.blocks[10], two.blocks[15]);
    let at = two.tree.trunk.logged.position(10).unwrap();
    two.tree.foresee_unreadable(vec![at]);
    two.tree.begin_event();
    assert!(two.tree.get(&id).is_none());
    assert_eq!(two.tree.take_unreadable(), [id]);
    two.tree.end_event();
    let elsewhere = two.tree.trunk.logged.position(15).unwrap();
    let record = two.records.0.lock().remove(&elsewhere).unwrap();
    assert!(two.tree.get(&other).is_none());
    two.tree.begin_event();
    two.records.0.lock().insert(elsewhere, record);
    assert!(two.tree.get(&other).is_some());
    assert_eq!(two.tree.take_unreadable(), []);
}

#[test]
fn an_old_block_takes_sixteen_bytes_and_three_in_a_snapshot() {
    let blocks = 20_000_u64;
    let root = header(BlockId::ZERO, 0, 0);
    let mut tree = Tree::new(root.clone(), root.work());
    let empty = postcard::to_allocvec(&tree).unwrap().len();
    let id = |height: u64| header(BlockId::ZERO, height, 7).id();
    let found = (1..blocks).map(|height| (Lsn::new(height * 568), ShortId::of(&id(height))));
    let header = header(id(blocks - 1), blocks, 7);
    let (id, work) = (header.id(), header.work());
    let above = (Lsn::new(blocks * 568), Front { id, work, header });
    tree.begin_with(&OldBlocks::below(above, found.collect()));
    assert_eq!(
        (tree.logged_len(), tree.count() as u64),
        (blocks, blocks + 1)
    );
    let taken = tree.trunk.logged.bytes();
    assert!(taken <= 18 * blocks as usize, "{taken}");
    let form = postcard::to_allocvec(&tree).unwrap().len() - empty;
    assert!(form <= 3 * blocks as usize, "{form}");
}

#[test]
fn blocks_with_alike_ids_are_told_apart() {
    let mut trunk = Trunk::default();
    let mut ids = Vec::new();
    let mut parent = BlockId::ZERO;
    for height in 0..600_u64 {
        let mut entry = Tree::new(header(parent, height, 0), Uint256::ONE);
        let entry = entry.entries.pop_first().unwrap().1;
        // Nothing but the first byte tells most of them apart.
        let mut id = [7; 32];
        (id[0], id[1]) = (height as u8, (height >> 8) as u8);
        parent = BlockId(id);
        trunk.push(parent, entry);
        ids.push(parent);
    }
    for (height, id) in ids.iter().enumerate() {
        assert_eq!(trunk.at(height as u64), Some(*id));
        assert_eq!(
            trunk.get(id).unwrap().as_ref().header.height,
            Height(height as u64)
        );
        assert_eq!(trunk.next(id), ids.get(height + 1).copied());
    }
    assert!(trunk.get(&BlockId([7; 32])).is_none() || ids.contains(&BlockId([7; 32])));
    assert_eq!(trunk.at(600), None);
    assert_eq!(trunk.len(), trunk.entries().count() as u64);
}
