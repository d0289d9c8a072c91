//! Trees whose pages the disk holds, and how they get there.

use std::collections::BTreeSet;

use super::*;
use crate::store::{Append, Disk as _, Log, MemoryDisk, Options, ReadError, Reader, Store};

/// A state log on a disk in memory.
struct Disk {
    disk: MemoryDisk,
    store: Store,
}

impl Disk {
    fn new(segment_size: u64) -> Self {
        let disk = MemoryDisk::new();
        let store = open(&disk, segment_size);
        Self { disk, store }
    }

    fn append(&mut self, records: &[Append], cursor: &PageCursor) {
        self.store.append(records).unwrap();
        assert_eq!(
            self.store.end(Log::State),
            cursor.layout().end(),
            "records stand where they were to stand"
        );
    }

    /// Writes all of a tree, a few pages at a time.
    fn write(&mut self, tree: &StateTree, sparse: &[u64]) -> Written {
        let sparse = sparse.iter().copied().collect();
        let layout = self.store.layout(Log::State);
        let mut cursor = PageCursor::new(tree.clone(), layout, sparse);
        while !cursor.is_done() {
            let records = cursor.step_of(5_000).unwrap();
            self.append(&records, &cursor);
        }
        self.store.sync().unwrap();
        cursor.finish()
    }

    /// A reader that holds the segments of a tree.
    fn pages(&self, live: &Live) -> Arc<Reader> {
        let segments = live.segments().map(|(segment, _)| segment);
        let reader = self.store.reader();
        Arc::new(reader.holding(Log::State, segments).unwrap())
    }

    /// Writes all of a tree and lets it go of its pages.
    fn save(&mut self, tree: &mut StateTree) -> Written {
        let written = self.write(tree, &[]);
        let pages = self.pages(written.live());
        written.swap([(tree, pages as _)]);
        written
    }
}

fn open(disk: &MemoryDisk, segment_size: u64) -> Store {
    let options = Options::production([7; 32], 9, 1_000).with_segment_size(segment_size);
    Store::open(Arc::new(disk.clone()), &options).unwrap().0
}

/// A block's writes: to records that are there, to new ones, and removals.
fn random_writes(rng: &mut Rng, keys: u64) -> Writes {
    let mut writes = Writes::new();
    for _ in 0..rng.below(30) + 1 {
        let value = (!rng.chance(1, 4)).then(|| value(rng));
        writes.insert(number_key(rng.below(keys)), value);
    }
    writes
}

fn of_numbers(count: u64) -> (StateTree, Records) {
    let records: Records = (0..count)
        .map(|number| (number_key(number), vec![1; 17]))
        .collect();
    let writes = records
        .iter()
        .map(|(key, value)| (*key, Some(value.clone())));
    let mut tree = StateTree::new();
    tree.apply(&writes.collect()).unwrap();
    (tree, records)
}

#[test]
fn a_tree_on_the_disk_is_the_same_tree() {
    for count in [0, 1, 16, 17, 300, 3_000] {
        let mut disk = Disk::new(64 << 10);
        let (tree, mut records) = of_numbers(count);
        let mut saved = tree.clone();
        let written = disk.save(&mut saved);
        assert_eq!(saved.changed_bytes(), 0);
        assert_eq!(saved.live(), written.live());
        assert_is(&tree, &records);
        assert_is(&saved, &records);
        let pages = disk.pages(written.live());
        let opened = StateTree::open(tree.root(), written.root(), written.live().clone(), pages);
        let mut opened = opened.unwrap();
        for number in 0..50 {
            let key = number_key(number * count / 40);
            assert_proves(&opened, &records, &key);
            assert_eq!(opened.prove(&key), tree.prove(&key));
        }
        // Both go on to the same roots, and only one of them read a page.
        let mut rng = Rng::from_number(count);
        let mut tree = tree;
        for _ in 0..20 {
            let writes = random_writes(&mut rng, count + 20);
            let before = records.clone();
            change(&mut records, &writes);
            let applied = opened.apply(&writes).unwrap();
            assert_eq!(tree.apply(&writes).unwrap(), applied);
            assert_is(&opened, &records);
            // The way back leads back, and forth again.
            let mut back = opened.clone();
            back.apply(&applied.before.into_iter().collect()).unwrap();
            assert_is(&back, &before);
        }
    }
}

/// The inner pages of a tree that are in memory, by their addresses.
fn inner_pages(tree: &StateTree) -> BTreeSet<usize> {
    fn collect(below: &Ref, pages: &mut BTreeSet<usize>) {
        if let Ref::Inner(page) = below {
            pages.insert(Arc::as_ptr(page) as usize);
            page.refs.iter().for_each(|below| collect(below, pages));
        }
    }
    let mut pages = BTreeSet::new();
    collect(&tree.root, &mut pages);
    pages
}

#[test]
fn what_trees_share_they_share_after_they_let_go_of_pages() {
    let mut disk = Disk::new(64 << 10);
    let (tree, records) = of_numbers(3_000);
    let written = disk.write(&tree, &[]);
    let next = |tree: &StateTree, records: &Records, numbers: std::ops::Range<u64>| {
        let (mut tree, mut records) = (tree.clone(), records.clone());
        let writes = numbers.map(|number| (number_key(number), Some(vec![2; 17])));
        let writes: Writes = writes.collect();
        change(&mut records, &writes);
        tree.apply(&writes).unwrap();
        (tree, records)
    };
    let (mut first, of_first) = next(&tree, &records, 0..100);
    let (mut second, of_second) = next(&first, &of_first, 100..101);
    let on_disk = inner_pages(&tree);
    let own = |trees: [&StateTree; 2]| {
        let [mut all, others] = trees.map(inner_pages);
        all.extend(others);
        all.difference(&on_disk).count()
    };
    let before = own([&first, &second]);
    let pages = disk.pages(written.live());
    written.swap([
        (&mut first, Arc::clone(&pages) as _),
        (&mut second, pages as _),
    ]);
    assert_eq!(own([&first, &second]), before);
    assert!(inner_pages(&first).is_disjoint(&on_disk));
    assert_is(&first, &of_first);
    assert_is(&second, &of_second);
}

#[test]
fn leaf_pages_have_room_for_what_they_hold() {
    fn check(below: &Ref) -> usize {
        match below {
            Ref::Leaf(page) => {
                assert_eq!(page.records.capacity(), page.records.len());
                assert_eq!(page.values.capacity(), page.values.len());
                1
            }
            Ref::Inner(page) => page.refs.iter().map(check).sum(),
            Ref::Empty | Ref::Disk(_) => 0,
        }
    }
    let (mut tree, _) = of_numbers(3_000);
    assert!(check(&tree.root) > 180);
    for number in 0..1_000 {
        // The first half is there.
        let key = number_key(2_500 + number);
        let writes = Writes::from([(key, Some(vec![3; 17]))]);
        tree.apply(&writes).unwrap();
    }
    assert!(check(&tree.root) > 200);
}

#[test]
fn a_root_page_with_another_hash_is_refused() {
    let mut disk = Disk::new(64 << 10);
    for count in [10, 100] {
        let (tree, _) = of_numbers(count);
        let written = disk.write(&tree, &[]);
        let live = written.live().clone();
        let open = |hash, root| {
            let pages = disk.pages(&live);
            StateTree::open(hash, root, live.clone(), pages)
        };
        assert!(open(tree.root(), written.root()).is_ok());
        assert!(open(PLACEHOLDER, written.root()).is_err());
        assert!(open(tree.root(), None).is_err());
        let (at, records) = written.root().unwrap();
        assert!(open(tree.root(), Some((at, records + 1))).is_err());
    }
}

/// A checkpoint is begun at every block of a random run; each is written while blocks go on, and
/// those that nobody is ahead of are swapped in. Whatever is frozen stays what it was.
#[test]
fn a_tree_frozen_at_any_block_is_written_while_blocks_go_on() {
    for seed in 0..6 {
        let mut rng = Rng::from_number(seed);
        let mut disk = Disk::new(16 << 10);
        let (mut tree, mut records) = of_numbers(200);
        let mut history = Vec::new();
        for block in 0..40 {
            let frozen = (tree.clone(), records.clone());
            let sparse: BTreeSet<u64> = tree
                .live()
                .segments()
                .filter(|(_, bytes)| *bytes < 8 << 10)
                .map(|(segment, _)| segment)
                .collect();
            let layout = disk.store.layout(Log::State);
            let mut cursor = PageCursor::new(tree.clone(), layout, sparse);
            let abandon = rng.chance(1, 5);
            while !cursor.is_done() {
                let made = cursor.step_of(rng.below(9_000)).unwrap();
                disk.append(&made, &cursor);
                if rng.chance(1, 3) {
                    let writes = random_writes(&mut rng, 400);
                    change(&mut records, &writes);
                    tree.apply(&writes).unwrap();
                }
                if abandon && rng.chance(1, 2) {
                    break;
                }
            }
            if !cursor.is_done() {
                // As if the process had ended: the next one begins behind what was written.
                continue;
            }
            disk.store.sync().unwrap();
            let written = cursor.finish();
            let pages = disk.pages(written.live());
            let opened = StateTree::open(
                frozen.0.root(),
                written.root(),
                written.live().clone(),
                pages.clone(),
            );
            assert_is(&opened.unwrap(), &frozen.1);
            written.swap([(&mut tree, pages as _)]);
            assert_is(&tree, &records);
            assert_is(&frozen.0, &frozen.1);
            let needed: BTreeSet<u64> = written.live().segments().map(|(s, _)| s).collect();
            disk.store.keep_only(Log::State, &needed).unwrap();
            assert_is(&tree, &records);
            history.push((block, frozen));
        }
        // Views of long ago hold what they need, though their segments are gone.
        for (_, (tree, records)) in &history {
            assert_is(tree, records);
        }
        assert!(history.len() > 20);
        assert!(
            !disk
                .disk
                .list("state")
                .unwrap()
                .contains(&"00000000.seg".to_owned())
        );
    }
}

#[test]
fn pages_travel_out_of_a_sparse_segment_and_a_held_view_reads_on() {
    let mut disk = Disk::new(64 << 10);
    let (mut tree, records) = of_numbers(2_000);
    disk.save(&mut tree);
    let view = tree.clone();
    let before: Vec<(u64, u64)> = tree.live().segments().collect();
    assert!(before.len() > 4);
    // Another branch goes on from before the travelling, as a reorganisation would.
    let (mut branch, mut on_branch) = (tree.clone(), records.clone());
    let writes = random_writes(&mut Rng::from_number(1), 2_000);
    change(&mut on_branch, &writes);
    branch.apply(&writes).unwrap();

    let sparse = before[1].0;
    let written = disk.write(&tree, &[sparse]);
    let grown = written.live().total() - tree.live().total();
    assert_eq!(grown, 0, "what travelled is in use once");
    assert!(
        written
            .live()
            .segments()
            .all(|(segment, _)| segment != sparse)
    );
    let pages = disk.pages(written.live());
    written.swap([(&mut tree, pages as _)]);
    let segments: BTreeSet<u64> = tree.live().segments().map(|(segment, _)| segment).collect();
    assert!(!segments.contains(&sparse));
    let all = before
        .iter()
        .map(|(segment, _)| *segment)
        .chain(segments.iter().copied());
    let reader = disk.store.reader().holding(Log::State, all).unwrap();
    written.swap([(&mut branch, Arc::new(reader) as _)]);

    disk.store.keep_only(Log::State, &segments).unwrap();
    assert!(
        !disk
            .disk
            .list("state")
            .unwrap()
            .contains(&format!("{sparse:08x}.seg"))
    );
    assert_eq!(
        disk.store
            .reader()
            .read(Log::State, disk.store.layout(Log::State).first_of(sparse)),
        Err(ReadError::Gone)
    );
    assert_is(&tree, &records);
    assert_is(&view, &records);
    assert_is(&branch, &on_branch);
    // The travelled tree alone finds everything after a restart.
    let (root, live) = (written.root(), written.live().clone());
    let hash = tree.root();
    drop((tree, view, branch, written));
    let Disk { disk, store } = disk;
    drop(store);
    let store = open(&disk, 64 << 10);
    let disk = Disk { disk, store };
    let tree = StateTree::open(hash, root, live.clone(), disk.pages(&live)).unwrap();
    assert_is(&tree, &records);
}

#[test]
fn a_ground_prefix_is_written_and_read_like_any_other() {
    let mut disk = Disk::new(256 << 10);
    let mut rng = Rng::from_number(4);
    let mut key = || {
        let mut key = [0x5a; 32];
        key[16..].copy_from_slice(&rng.bytes32()[16..]);
        KeyHash(key)
    };
    let keys: BTreeSet<KeyHash> = (0..10_000).map(|_| key()).collect();
    let mut records: Records = keys.iter().map(|key| (*key, vec![1; 17])).collect();
    let writes = records
        .iter()
        .map(|(key, value)| (*key, Some(value.clone())));
    let mut tree = StateTree::new();
    tree.apply(&writes.collect()).unwrap();
    disk.save(&mut tree);
    assert_is(&tree, &records);
    for step in 0..3 {
        let writes: Writes = keys
            .iter()
            .enumerate()
            .filter(|(at, _)| at % 97 == step)
            .map(|(at, key)| (*key, (at % 2 == 0).then(|| vec![2; 17])))
            .collect();
        change(&mut records, &writes);
        let cost = tree.apply(&writes).unwrap().cost;
        // 32 pages lead to the fork at bit 128, and no more than that is added by grinding.
        assert!(cost.pages <= 32 + 6 * writes.len() as u64, "{cost:?}");
        disk.save(&mut tree);
        assert_eq!(tree.changed_bytes(), 0);
    }
    assert_is(&tree, &records);
    assert_proves(&tree, &records, keys.first().unwrap());
}

/// A source that lies: it changes bytes of pages, or shows other pages.
struct Liar {
    reader: Reader,
    pages: Vec<Lsn>,
    seed: u64,
    per_mille: u64,
}

impl PageSource for Liar {
    fn show(&self, at: Lsn, show: &mut dyn FnMut(&[u8])) -> Result<(), ReadError> {
        let mut rng = Rng::from_number(self.seed ^ at.get());
        let lies = rng.below(1_000) < self.per_mille;
        let other = self.pages[rng.below(self.pages.len() as u64) as usize];
        let at = if lies && rng.chance(1, 4) { other } else { at };
        self.reader.show(at, &mut |bytes| {
            let mut bytes = bytes.to_vec();
            if lies {
                match rng.below(3) {
                    0 => bytes.truncate(rng.below(bytes.len() as u64) as usize),
                    _ => {
                        for _ in 0..rng.below(3) + 1 {
                            let head = rng.chance(1, 2);
                            let room = if head { 60 } else { bytes.len() };
                            let at = rng.below(room.min(bytes.len()) as u64) as usize;
                            bytes[at] ^= 1 << rng.below(8);
                        }
                    }
                }
            }
            show(&bytes);
        })
    }

    fn scan(
        &self,
        from: Lsn,
        bytes: u64,
        see: &mut dyn FnMut(Lsn, &[u8]),
    ) -> Result<Option<Lsn>, ReadError> {
        self.reader.scan(from, bytes, see)
    }
}

/// Neither a lookup nor a write nor a checkpoint trusts bytes because their checksum is right, and
/// a failed write leaves the tree as it was.
#[test]
fn pages_that_lie_are_failures_and_never_end_the_process() {
    let mut disk = Disk::new(64 << 10);
    let (mut tree, records) = of_numbers(1_500);
    let written = disk.save(&mut tree);
    let mut pages = Vec::new();
    let reader = disk.store.reader();
    for (segment, _) in written.live().segments() {
        let from = disk.store.layout(Log::State).first_of(segment);
        reader
            .scan(from, 64 << 10, &mut |at, _| pages.push(at))
            .unwrap();
    }
    let (mut failed, mut held) = (0, 0);
    for seed in 0..400 {
        let mut rng = Rng::from_number(seed);
        let liar = Liar {
            reader: reader.clone(),
            pages: pages.clone(),
            seed,
            per_mille: [5, 50, 1_000][seed as usize % 3],
        };
        let opened = StateTree::open(
            tree.root(),
            written.root(),
            written.live().clone(),
            Arc::new(liar),
        );
        let Ok(mut opened) = opened else {
            failed += 1;
            continue;
        };
        for _ in 0..5 {
            let key = number_key(rng.below(2_000));
            let _ = opened.get(&key);
            let _ = opened.prove(&key);
            let before = opened.root();
            let writes = random_writes(&mut rng, 1_600);
            if opened.apply(&writes).is_err() {
                assert_eq!(opened.root(), before);
                failed += 1;
            } else {
                held += 1;
            }
        }
        let sparse: BTreeSet<u64> = written.live().segments().map(|(s, _)| s).take(2).collect();
        let mut cursor = PageCursor::new(opened, disk.store.layout(Log::State), sparse);
        while !cursor.is_done() {
            if cursor.step().is_err() {
                break;
            }
        }
    }
    assert!(failed > 100 && held > 100, "{failed} {held}");
    assert_is(&tree, &records);
}

#[test]
fn a_page_that_is_gone_is_a_failure() {
    let mut disk = Disk::new(64 << 10);
    let (mut tree, records) = of_numbers(1_500);
    let written = disk.write(&tree, &[]);
    // Nobody holds the segments.
    written.swap([(&mut tree, Arc::new(disk.store.reader()) as _)]);
    assert_is(&tree, &records);
    disk.store.keep_only(Log::State, &BTreeSet::new()).unwrap();
    let lost = (0..1_500).find_map(|number| tree.get(&number_key(number)).err());
    let error = lost.expect("most segments are gone");
    assert_eq!(error.why, PageFailure::Unreadable(ReadError::Gone));
    assert!(error.to_string().contains("no longer kept"), "{error}");
    let writes = (0..1_500).map(|number| (number_key(number), Some(vec![3; 17])));
    let root = tree.root();
    assert!(tree.apply(&writes.collect()).is_err());
    assert_eq!(tree.root(), root);
    // A tree that was never on a disk has nothing to read.
    assert!(StateTree::new().get(&number_key(1)).is_ok());
}
