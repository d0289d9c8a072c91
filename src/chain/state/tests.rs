//! The tree against crate `jmt`, and against the definition of its root.

mod disk;
mod format;

use jmt::Sha256Jmt;
use jmt::mock::MockTreeStore;
use jmt::storage::TreeWriter;
use proptest::prelude::*;

use super::page::{InnerPage, LEAF_RECORDS_MAX, ROOT_NODE, Ref, level, node_prefix, slots};
use super::*;
use crate::base::Rng;
use crate::crypto::hash::sha256;
use crate::types::state::{inner_hash, leaf_hash, value_hash};

type Records = BTreeMap<KeyHash, Vec<u8>>;
type Writes = BTreeMap<KeyHash, Option<Vec<u8>>>;

/// The root by its definition: nothing is stored, nothing is shared.
fn defined_root<V: AsRef<[u8]>>(records: &[(KeyHash, V)], depth: usize) -> Hash {
    match records {
        [] => PLACEHOLDER,
        [(key, value)] => leaf_hash(key, &value_hash(value.as_ref())),
        _ => {
            let right = records.partition_point(|(key, _)| !key.bit(depth));
            let (left, right) = records.split_at(right);
            inner_hash(
                &defined_root(left, depth + 1),
                &defined_root(right, depth + 1),
            )
        }
    }
}

fn listed(records: &Records) -> Vec<(KeyHash, Vec<u8>)> {
    let pairs = records.iter();
    pairs.map(|(key, value)| (*key, value.clone())).collect()
}

fn change(records: &mut Records, writes: &Writes) {
    for (key, value) in writes {
        match value {
            Some(value) => records.insert(*key, value.clone()),
            None => records.remove(key),
        };
    }
}

type Listed = (Vec<(KeyHash, Vec<u8>)>, Hash);

/// A walk over everything that a tree has, in memory or on the disk.
struct Check<'a> {
    tree: &'a StateTree,
    /// What the pages in memory would take in the log.
    changed: u64,
    /// What those on the disk take.
    live: BTreeMap<u64, u64>,
}

impl Check<'_> {
    /// Checks what must hold of a subtree between two applications; gives its records and its
    /// hash.
    fn check(&mut self, below: &Ref, key: &KeyHash, depth: usize) -> Listed {
        match below {
            Ref::Empty => (Vec::new(), PLACEHOLDER),
            Ref::Leaf(page) => {
                self.changed += page.size();
                assert!((1..=LEAF_RECORDS_MAX).contains(&page.len()));
                assert!(page.records.iter().all(|record| !record.touched));
                let all = 0..page.len();
                let records: Vec<_> = all
                    .map(|at| (page.records[at].key, page.value(at).to_vec()))
                    .collect();
                let root = defined_root(&records, depth);
                (records, root)
            }
            Ref::Inner(page) => {
                self.changed += bytes::INNER_SIZE;
                let (records, root) = self.check_node(page, ROOT_NODE, key, depth);
                assert!(records.len() > LEAF_RECORDS_MAX);
                (records, root)
            }
            Ref::Disk(stored) => {
                let loaded = write::load_page(&self.tree.source, *stored, key, depth);
                let (page, size) = loaded.unwrap();
                let segment = self.tree.live.segment_of(stored.at);
                *self.live.entry(segment).or_default() += size;
                let changed = self.changed;
                let found = self.check(&page, key, depth);
                self.changed = changed;
                found
            }
        }
    }

    fn check_node(&mut self, page: &InnerPage, node: usize, key: &KeyHash, depth: usize) -> Listed {
        assert!(!page.stale.contains(node));
        let slot = slots(node).start;
        let (records, hash) = if page.leaves.contains(node) || level(node) == 4 {
            let others = &page.refs[slots(node)][1..];
            assert!(others.iter().all(|other| matches!(other, Ref::Empty)));
            let below = &page.refs[slot];
            let is_leaf = !matches!(below, Ref::Empty) && below.few().is_some();
            assert_eq!(page.leaves.contains(node), is_leaf);
            let (key, depth) = node_prefix(key, depth - level(node), node);
            self.check(below, &key, depth)
        } else if page.is_occupied(node) {
            let (mut records, left) = self.check_node(page, node * 2, key, depth + 1);
            let (others, right) = self.check_node(page, node * 2 + 1, key, depth + 1);
            records.extend(others);
            assert!(
                records.len() > LEAF_RECORDS_MAX,
                "few records belong in one page"
            );
            (records, inner_hash(&left, &right))
        } else {
            (Vec::new(), PLACEHOLDER)
        };
        if node != ROOT_NODE {
            assert_eq!(*page.hash(node), hash, "node {node}");
        }
        (records, hash)
    }
}

fn assert_is(tree: &StateTree, records: &Records) {
    let mut check = Check {
        tree,
        changed: 0,
        live: BTreeMap::new(),
    };
    let (found, root) = check.check(&tree.root, &KeyHash([0; 32]), 0);
    assert_eq!(found, listed(records));
    assert_eq!(tree.root(), root);
    assert_eq!(root, defined_root(&found, 0));
    assert_eq!(tree.changed_bytes(), check.changed);
    assert_eq!(
        tree.live().segments().collect::<BTreeMap<_, _>>(),
        check.live
    );
}

/// The root that an outside proof leads to.
fn root_of(path: &Path, key: &KeyHash) -> Hash {
    let depth = path.siblings.len();
    let bottom = match &path.outcome {
        Outcome::Present(value) => leaf_hash(key, &value_hash(value)),
        Outcome::Empty => PLACEHOLDER,
        Outcome::OtherLeaf { key: other, value } => {
            assert!(other != key && other.shared_bits(key) >= depth);
            leaf_hash(other, value)
        }
    };
    let levels = path.siblings.iter().zip((0..depth).rev());
    levels.fold(bottom, |hash, (sibling, depth)| {
        if key.bit(depth) {
            inner_hash(sibling, &hash)
        } else {
            inner_hash(&hash, sibling)
        }
    })
}

fn assert_proves(tree: &StateTree, records: &Records, key: &KeyHash) {
    let path = tree.prove(key).unwrap();
    assert_eq!(root_of(&path, key), tree.root());
    match records.get(key) {
        Some(value) => {
            assert_eq!(path.outcome, Outcome::Present(value.clone()));
            assert_eq!(tree.get(key), Ok(Some(value.clone())));
        }
        None => {
            assert!(!matches!(path.outcome, Outcome::Present(_)));
            assert_eq!(tree.get(key), Ok(None));
        }
    }
}

/// Crate `jmt` with the records of one version after the other.
#[derive(Default)]
struct Oracle {
    store: MockTreeStore,
    version: u64,
}

impl Oracle {
    fn apply(&mut self, writes: &Writes) -> Hash {
        let pairs = writes.iter();
        let pairs = pairs.map(|(key, value)| (jmt::KeyHash(key.0), value.clone()));
        let tree = Sha256Jmt::new(&self.store);
        let (root, batch) = tree.put_value_set(pairs, self.version).unwrap();
        self.store.write_node_batch(&batch.node_batch).unwrap();
        self.version += 1;
        Hash(root.0)
    }
}

fn number_key(number: u64) -> KeyHash {
    KeyHash(sha256(&number.to_le_bytes()))
}

fn value(rng: &mut Rng) -> Vec<u8> {
    let length = [17, 17, 17, 41, 57, 9, 86][rng.below(7) as usize];
    rng.bytes32().into_iter().cycle().take(length).collect()
}

/// Keys that share all but a few bits: what somebody gets who grinds keys on purpose.
fn ground_key(rng: &mut Rng) -> KeyHash {
    let mut key = [0x5a; 32];
    for _ in 0..rng.below(4) {
        let bit = [
            3, 4, 5, 80, 81, 82, 83, 84, 85, 130, 131, 200, 253, 254, 255,
        ];
        let bit: usize = bit[rng.below(15) as usize];
        key[bit / 8] ^= 0x80 >> (bit % 8);
    }
    KeyHash(key)
}

#[test]
fn published_vectors() {
    let mut tree = StateTree::new();
    let mut put = |key: &[u8], value: &[u8]| {
        tree.apply(&BTreeMap::from([(
            KeyHash(sha256(key)),
            Some(value.to_vec()),
        )]))
        .unwrap();
        tree.root().to_string()
    };
    assert_eq!(
        StateTree::new().root().to_string(),
        "5350415253455f4d45524b4c455f504c414345484f4c4445525f484153485f5f"
    );
    assert_eq!(
        put(b"hello", b"world"),
        "6b97115f56e533f2fd443f7e76e4d1ff94d34e6b2e233f2dbdf5cfd1ec39a30c"
    );
    assert_eq!(
        put(b"goodbye", b"world"),
        "e1e1e220d4b4a9611a9a09dbcee964b4a6c3a40f6f4dee265ad45cf64568790b"
    );
}

#[test]
fn thousands_of_keys_give_the_roots_of_jmt() {
    let mut rng = Rng::from_number(1);
    let (mut tree, mut oracle, mut records) = (StateTree::new(), Oracle::default(), Records::new());
    // Grows to about 4,000 records, then shrinks to nothing.
    for step in 0..60 {
        let mut writes = Writes::new();
        for _ in 0..rng.below(250) + 1 {
            let key = number_key(rng.below(5_000));
            let remove = rng.chance(if step < 40 { 1 } else { 9 }, 10);
            // The oracle has no removal of what is not there.
            if !remove {
                writes.insert(key, Some(value(&mut rng)));
            } else if records.contains_key(&key) {
                writes.insert(key, None);
            }
        }
        if step == 59 {
            writes = records.keys().map(|key| (*key, None)).collect();
        }
        change(&mut records, &writes);
        tree.apply(&writes).unwrap();
        assert_eq!(tree.root(), oracle.apply(&writes), "step {step}");
        assert_is(&tree, &records);
        for _ in 0..50 {
            assert_proves(&tree, &records, &number_key(rng.below(6_000)));
        }
    }
    assert_eq!(tree.root(), PLACEHOLDER);
}

#[test]
fn ground_keys_give_the_roots_of_jmt() {
    let mut rng = Rng::from_number(2);
    let (mut tree, mut oracle, mut records) = (StateTree::new(), Oracle::default(), Records::new());
    for step in 0..80 {
        let mut writes = Writes::new();
        for _ in 0..rng.below(20) + 1 {
            let key = ground_key(&mut rng);
            if step % 20 < 12 {
                writes.insert(key, Some(value(&mut rng)));
            } else if records.contains_key(&key) {
                writes.insert(key, None);
            }
        }
        change(&mut records, &writes);
        tree.apply(&writes).unwrap();
        if !writes.is_empty() {
            assert_eq!(tree.root(), oracle.apply(&writes), "step {step}");
        }
        assert_is(&tree, &records);
        for _ in 0..20 {
            assert_proves(&tree, &records, &ground_key(&mut rng));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Removals of what is not there, small batches around the limits of pages, old clones.
    #[test]
    fn any_writes_give_the_defined_root(
        seed: u64,
        steps in prop::collection::vec((1_usize..40, 0_u64..11, any::<bool>()), 1..30),
    ) {
        let mut rng = Rng::from_number(seed);
        let (mut tree, mut records) = (StateTree::new(), Records::new());
        let mut before = Vec::new();
        for (count, removals, ground) in steps {
            let writes: Writes = (0..count)
                .map(|_| {
                    let key = if ground { ground_key(&mut rng) } else { number_key(rng.below(60)) };
                    let remove = rng.chance(removals, 10);
                    (key, (!remove).then(|| value(&mut rng)))
                })
                .collect();
            before.push((tree.clone(), records.clone()));
            change(&mut records, &writes);
            tree.apply(&writes).unwrap();
            assert_is(&tree, &records);
            let key = if ground { ground_key(&mut rng) } else { number_key(rng.below(60)) };
            assert_proves(&tree, &records, &key);
        }
        for (tree, records) in before {
            assert_is(&tree, &records);
        }
    }
}

#[test]
fn writing_what_is_there_changes_nothing() {
    let mut rng = Rng::from_number(3);
    let writes: Writes = (0..500)
        .map(|number| (number_key(number), Some(value(&mut rng))))
        .collect();
    let mut tree = StateTree::new();
    tree.apply(&writes).unwrap();
    let root = tree.root();
    tree.apply(&writes).unwrap();
    assert_eq!(tree.root(), root);
    assert_eq!(tree.apply(&Writes::new()).unwrap(), Applied::default());
}

/// What 1,000 writes cost in a tree of `size` records: to records that are there, or to new ones.
fn cost_of_a_thousand(size: u64, fresh: bool) -> Cost {
    let record = |number| (number_key(number), Some(vec![1; 17]));
    let mut tree = StateTree::new();
    tree.apply(&(0..size).map(record).collect()).unwrap();
    let mut rng = Rng::from_number(size);
    let mut writes = Writes::new();
    while writes.len() < 1_000 {
        let number = if fresh {
            size + writes.len() as u64
        } else {
            rng.below(size)
        };
        writes.insert(number_key(number), Some(vec![2; 17]));
    }
    tree.apply(&writes).unwrap().cost
}

#[test]
fn the_cost_of_a_block_does_not_grow_with_what_exists() {
    for fresh in [false, true] {
        let small = cost_of_a_thousand(10_000, fresh);
        let large = cost_of_a_thousand(100_000, fresh);
        assert!(large.hashes * 2 <= small.hashes * 3, "{small:?} {large:?}");
        assert!(large.hashes <= 24 * 1_000, "{large:?}");
        // In the small tree a thousand writes meet most of the pages there are, so that its pages
        // are no measure for those of the large one.
        assert!(large.pages <= 3 * 1_000, "{large:?}");
    }
}
