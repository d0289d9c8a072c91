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
    assert_eq!(
        tree.add_header(id, header, Uint256::from_u64(work)),
        Placement::Added
    );
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

/// What a tree answers, whichever way its blocks are kept.
fn answers(tree: &Tree, blocks: &[BlockId]) -> String {
    let of_block = |id: &BlockId| {
        let entry = tree.get(id).map(|entry| {
            let Entry { work, body, .. } = entry;
            (*work, *body, entry.verdict, entry.executed, entry.complete)
        });
        let height = tree.get(id).map_or(0, |entry| entry.header.height.0);
        let ancestors = [0, height / 3, height.saturating_sub(1), height]
            .map(|height| tree.ancestor(id, Height(height)));
        let children: Vec<_> = tree.children(id).collect();
        let other = blocks[usize::from(id.0[9]) % blocks.len()];
        let fork = (tree.fork(id, &other), tree.is_better(id, &other));
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
    let all = || blocks.iter().map(|id| (id, tree.get(id).unwrap()));
    let candidates = all().filter(|(_, entry)| entry.complete && entry.verdict == Verdict::Open);
    let best = candidates.max_by_key(|(id, entry)| (entry.work, Reverse(entry.arrival), **id));
    let open = all().filter(|(_, entry)| entry.verdict == Verdict::Open);
    let header = open.max_by_key(|(id, entry)| (entry.work, Reverse(entry.header_arrival), **id));
    let id = |found: Option<(&BlockId, &Entry)>| found.map_or(tree.genesis(), |(id, _)| *id);
    (id(best), id(header))
}

proptest::proptest! {
    #[test]
    fn where_blocks_are_kept_changes_no_answer(
        steps in proptest::collection::vec((0..12_u8, proptest::prelude::any::<u16>()), 1..160),
    ) {
        let root = header(BlockId::ZERO, 0, 0);
        let mut tree = Tree::new(root.clone(), Uint256::ONE);
        let mut plain = Tree::new(root, Uint256::ONE);
        let mut blocks = vec![tree.genesis()];
        for (number, (step, place)) in steps.into_iter().enumerate() {
            let near_the_end = usize::from(place) % blocks.len().min(4);
            let any = blocks[usize::from(place) % blocks.len()];
            let late = blocks[blocks.len() - 1 - near_the_end];
            if step == 0 {
                // The one thing that the other tree is not told.
                tree.keep_by_height(&any);
            }
            for tree in [&mut tree, &mut plain] {
                match step {
                    0 => {}
                    1..=5 => {
                        let parent = if step == 5 { any } else { late };
                        let id = add(tree, parent, number as u64, 1 + u64::from(place % 2));
                        if place % 8 > 0 {
                            tree.body_arrived(&id);
                        }
                        if !blocks.contains(&id) {
                            blocks.push(id);
                        }
                    }
                    6 => tree.body_arrived(&any),
                    7 => tree.body_logged(&any, Lsn::new(number as u64)),
                    8 if place % 4 == 0 && any != tree.genesis() => tree.invalidate(&any),
                    8 => tree.prefer(&any),
                    9 if any != tree.genesis() => tree.park(&any),
                    9 => tree.executed(&any),
                    10 => {
                        tree.unpark(&any);
                    }
                    _ if any != tree.genesis() => tree.body_lost(&any),
                    _ => tree.executed(&late),
                }
            }
            proptest::prop_assert_eq!(answers(&tree, &blocks), answers(&plain, &blocks));
            let best = (tree.best_candidate(), tree.best_header());
            proptest::prop_assert_eq!(best, best_of_all(&tree, &blocks));
        }
        let form = postcard::to_allocvec(&tree).unwrap();
        let again: Tree = postcard::from_bytes(&form).unwrap();
        proptest::prop_assert_eq!(answers(&again, &blocks), answers(&tree, &blocks));
        proptest::prop_assert_eq!(postcard::to_allocvec(&again).unwrap(), form);
    }
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
        assert_eq!(trunk.get(id).unwrap().header.height, Height(height as u64));
        assert_eq!(trunk.next(id), ids.get(height + 1).copied());
    }
    assert!(trunk.get(&BlockId([7; 32])).is_none() || ids.contains(&BlockId([7; 32])));
    assert_eq!(trunk.at(600), None);
    assert_eq!(trunk.len(), trunk.entries().count());
}
