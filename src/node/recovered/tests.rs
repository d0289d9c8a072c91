//! A start that reads tables of contents finds what a look at every record finds.

use std::sync::Arc;

use proptest::prelude::*;

use super::old::Found;
use super::*;
use crate::base::Rng;
use crate::chain::testing::{genesis, headers_on, person};
use crate::codec::Encode;
use crate::store::counting::CountingDisk;
use crate::store::{Append, Disk, Faults, FaultyDisk, MemoryDisk, Options};
use crate::types::{Height, Uint256};

const SEGMENT: u64 = 4 << 10;

fn open(disk: Arc<dyn Disk>, segment: u64) -> Store {
    let options = Options::production([7; 32], 9, 1_000).with_segment_size(segment);
    Store::open(disk, &options).unwrap().0
}

fn record(header: &Header, work: Uint256, padding: usize) -> Append {
    let mut body = header.id().0.to_vec();
    body.extend(work.to_le_bytes());
    body.extend(header.to_bytes());
    body.resize(body.len() + padding, 0x5a);
    Append::new(Log::Blocks, Kind::Block, body)
}

fn tip(id: &BlockId) -> Append {
    let body = [[0; 32], id.0].concat();
    Append::new(Log::Blocks, Kind::Tip, [body, vec![0; 8]].concat())
}

/// A chain of `length` blocks, branches of it, and the work of each chain.
struct Chains {
    root: ChainState,
    blocks: Vec<(Header, Uint256)>,
    length: usize,
}

impl Chains {
    fn new(length: usize, branches: &[(usize, usize)]) -> Self {
        let genesis = genesis(&[&person(1)], 1_000);
        let root = ChainState::genesis(&genesis);
        let headers = headers_on(&genesis, &root.header, &vec![0; length], 1);
        let mut chains = Self {
            blocks: Vec::new(),
            length,
            root: root.clone(),
        };
        chains.take(headers.clone(), root.header.work());
        for (salt, (fork, length)) in branches.iter().enumerate() {
            let fork = fork % headers.len();
            let work = chains.blocks[fork].1;
            let zeros = vec![0; *length];
            let branch = headers_on(&genesis, &headers[fork], &zeros, 2 + salt as u8);
            chains.take(branch, work);
        }
        chains
    }

    fn take(&mut self, headers: Vec<Header>, mut work: Uint256) {
        for header in headers {
            work = work.saturating_add(header.work());
            self.blocks.push((header, work));
        }
    }

    /// The state after the block of the long chain at a height, as far as a start looks at it.
    fn state(&self, height: usize) -> ChainState {
        let header = self.blocks[height - 1].0.clone();
        ChainState {
            id: header.id(),
            header,
            ..self.root.clone()
        }
    }
}

/// What a look at every record says of blocks up to the parent of `second`.
type Wanted = (Vec<Lsn>, Vec<Lsn>);

fn wanted(all: &[(Lsn, Front)], second: &ChainState) -> Wanted {
    let mut id = second.header.parent_id;
    let (mut old, mut beside) = (Vec::new(), Vec::new());
    for height in (1..second.header.height.0).rev() {
        let of_height = all
            .iter()
            .filter(|(_, front)| front.header.height == Height(height));
        let (own, others): (Vec<_>, Vec<_>) = of_height.partition(|(_, front)| front.id == id);
        let (at, front) = own.last().expect("the chain is whole");
        old.push(*at);
        beside.extend(others.iter().map(|(at, _)| *at));
        id = front.header.parent_id;
    }
    old.reverse();
    beside.sort_unstable();
    (old, beside)
}

fn found(found: &Found, second: &ChainState) -> Wanted {
    let below = |(_, front): &&(Lsn, Front)| front.header.height < second.header.height;
    let blocks = found.skimmed.blocks.iter().filter(below);
    let mut beside: Vec<Lsn> = blocks.map(|(at, _)| *at).collect();
    beside.sort_unstable();
    (found.old.positions().collect(), beside)
}

proptest! {
    #[test]
    fn tables_of_contents_say_what_every_record_says(
        length in 20..90_usize,
        branches in prop::collection::vec((0..90_usize, 1..5_usize), 0..4),
        second in 2..90_usize,
        again in prop::collection::vec((any::<prop::sample::Index>(), 0..60_usize), 0..6),
        order in prop::collection::vec(0..6_usize, 120),
        paddings in prop::collection::vec(0..900_usize, 1..20),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 0..3),
    ) {
        let chains = Chains::new(length, &branches);
        let second = chains.state(2 + second % (length - 4));
        let disk = MemoryDisk::new();
        let mut store = open(Arc::new(disk.clone()), SEGMENT);
        // Branches are among the blocks of the chain, and children may come before parents.
        let mut blocks: Vec<_> = chains.blocks.iter().enumerate().collect();
        blocks.sort_by_key(|(place, (header, _))| {
            header.height.0 as usize + order[place % order.len()]
        });
        let mut records: Vec<Append> = Vec::new();
        for (place, (_, (header, work))) in blocks.iter().enumerate() {
            records.push(record(header, *work, paddings[place % paddings.len()]));
            records.push(tip(&header.id()));
        }
        for (which, place) in again {
            let (header, work) = which.get(&chains.blocks);
            records.insert(records.len() - place.min(records.len()), record(header, *work, 10));
        }
        for part in records.chunks(5) {
            store.append(part).unwrap();
        }
        store.sync().unwrap();
        drop(store);
        let mut store = open(Arc::new(disk.clone()), SEGMENT);
        let all = Skimmed::read(&mut store, Lsn::default()).unwrap();
        let truth = wanted(&all.blocks, &second);
        let newer = |skimmed: &Skimmed| {
            let newer = |(_, front): &&(Lsn, Front)| {
                front.header.height >= second.header.height && front.id != second.id
            };
            skimmed.blocks.iter().filter(newer).cloned().collect::<Vec<_>>()
        };
        let crosses = all.blocks.iter().any(|(_, front)| {
            front.header.height == second.header.height
                && front.header.parent_id != second.header.parent_id
        });
        let by_tables = old::look(&mut store, &second).unwrap();
        prop_assert_eq!(by_tables.is_none(), crosses);
        if let Some(by_tables) = &by_tables {
            prop_assert_eq!(found(by_tables, &second), truth.clone());
            prop_assert_eq!(newer(&by_tables.skimmed), newer(&all));
            prop_assert_eq!(by_tables.skimmed.tip, all.tip);
            prop_assert_eq!(by_tables.old.above().1.id, second.id);
        }
        drop(store);
        // With damage it finds the same or nothing, but blocks beside the chain may be lost.
        let end = disk.written().iter().filter(|(path, _)| path.starts_with("blocks")).count();
        for (which, bit) in flips {
            let segment = which.index(end.saturating_sub(1).max(1));
            let offset = which.index(SEGMENT as usize) as u64;
            disk.flip(&Log::Blocks.path(segment as u64), offset, 1 << bit).unwrap();
        }
        let mut store = open(Arc::new(disk.clone()), SEGMENT);
        if let Some(by_tables) = old::look(&mut store, &second).unwrap() {
            let (old, beside) = found(&by_tables, &second);
            for (height, (at, whole)) in old.iter().zip(&truth.0).enumerate() {
                // Of a block that was written twice it may be the other record.
                let is_same = all.blocks.iter().any(|(place, front)| {
                    place == at && front.header.height.0 == height as u64 + 1
                        && all.blocks.iter().any(|(it, other)| it == whole && other.id == front.id)
                });
                prop_assert!(is_same, "{height}: {at} for {whole}");
            }
            prop_assert!(beside.iter().all(|at| all.blocks.iter().any(|(it, _)| it == at)));
        }
    }
}

/// A log of `length` small blocks, of which those of the last segments are new.
fn long_log(length: usize, segment: u64) -> (MemoryDisk, Chains) {
    let chains = Chains::new(length, &[]);
    let disk = MemoryDisk::new();
    let mut store = open(Arc::new(disk.clone()), segment);
    for (header, work) in &chains.blocks {
        store
            .append(&[record(header, *work, 60), tip(&header.id())])
            .unwrap();
    }
    store.sync().unwrap();
    store.close().unwrap();
    (disk, chains)
}

#[test]
fn a_start_reads_a_tenth_of_what_every_front_is() {
    let (disk, chains) = long_log(3_000, 64 << 10);
    let second = chains.state(2_900);
    let counting = CountingDisk::over(&disk);
    let mut store = open(Arc::new(counting.clone()), 64 << 10);
    let opened = counting.bytes_read();
    let found = old::look(&mut store, &second).unwrap().unwrap();
    let by_tables = counting.bytes_read() - opened;
    assert_eq!(found.old.positions().count(), 2_899);
    let all = Skimmed::read(&mut store, Lsn::default()).unwrap();
    let by_records = counting.bytes_read() - opened - by_tables;
    assert_eq!(all.blocks.len(), chains.length);
    // 44 bytes for each old block, and at each table's begin what is read too much.
    assert!(by_tables < 3_000 * 100, "{by_tables}");
    assert!(by_tables * 5 < by_records, "{by_tables} {by_records}");
}

#[test]
fn a_table_that_the_disk_can_not_read_is_made_again_from_the_records() {
    const SEGMENT: u64 = 64 << 10;
    let (disk, chains) = long_log(1_500, SEGMENT);
    let second = chains.state(1_400);
    let look = |unreadable| {
        let faults = Faults {
            unreadable,
            ..Faults::default()
        };
        let disk = FaultyDisk::over(&disk, faults, Rng::from_number(1));
        let mut store = open(Arc::new(disk.clone()), SEGMENT);
        let found = old::look(&mut store, &second).unwrap();
        (found.map(|found| found.old), disk.hits().failed_reads)
    };
    let (whole, _) = look(None);
    assert!(whole.is_some());
    let (found, failed) = look(Some((Log::Blocks.path(2), SEGMENT - 512..SEGMENT)));
    assert!(failed > 0 && found == whole);
}

#[test]
fn what_was_decided_of_a_lower_branch_with_more_work_is_not_passed_over() {
    let chains = Chains::new(200, &[(9, 1)]);
    let second = chains.state(190);
    for (more, is_found) in [(0, true), (1, false)] {
        let disk = MemoryDisk::new();
        let mut store = open(Arc::new(disk), SEGMENT);
        let (rival, _) = &chains.blocks[200];
        let parked = [rival.id().0.to_vec(), vec![255, 0, 0, 0, 0, 0, 0, 0]].concat();
        let parked = Append::new(Log::Blocks, Kind::Executing, parked);
        for (place, (header, work)) in chains.blocks[..200].iter().enumerate() {
            let mut records = vec![record(header, *work, 60), tip(&header.id())];
            if place == 30 {
                // Its first block has as much work as the long chain up to the second checkpoint.
                let most = chains.blocks[189].1;
                let work = most.saturating_add(Uint256::from_u64(more));
                records.extend([record(rival, work, 60), parked.clone()]);
            }
            store.append(&records).unwrap();
        }
        store.sync().unwrap();
        let found = old::look(&mut store, &second).unwrap();
        assert_eq!(found.is_some(), is_found);
        let all = Skimmed::read(&mut store, Lsn::default()).unwrap();
        assert_eq!(all.parked, BTreeSet::from([rival.id()]));
    }
}

#[test]
fn a_damaged_table_is_made_again_from_the_records_and_a_lost_block_is_noticed() {
    let (disk, chains) = long_log(400, SEGMENT);
    let second = chains.state(390);
    let flip = |offset: u64| disk.flip(&Log::Blocks.path(3), offset, 1).unwrap();
    let look = || {
        let mut store = open(Arc::new(disk.clone()), SEGMENT);
        old::look(&mut store, &second).unwrap()
    };
    let whole = look().unwrap().old;
    // In the Toc's first entry: its CRC is wrong then.
    let store = open(Arc::new(disk.clone()), SEGMENT);
    let blocks = store.reader().toc(3).unwrap().unwrap();
    let toc = SEGMENT - (48 + (4 + 44 * blocks.len() as u64).next_multiple_of(8));
    let first = blocks
        .iter()
        .map(|block| u64::from(block.offset))
        .min()
        .unwrap();
    drop(store);
    flip(toc + 60);
    assert_eq!(look().unwrap().old, whole);
    // And in the header of the Toc's record.
    flip(toc + 60);
    flip(toc + 20);
    assert_eq!(look().unwrap().old, whole);
    // With it a block's header: the start looks at every record.
    flip(first + 20);
    assert!(look().is_none());
    // A block alone is where the table says, whole or not.
    flip(toc + 20);
    assert_eq!(look().unwrap().old, whole);
}

#[test]
fn a_block_beside_the_chain_is_not_taken_for_a_damaged_one_of_it() {
    let chains = Chains::new(21, &[(5, 1)]);
    let second = chains.state(11);
    let disk = MemoryDisk::new();
    let mut store = open(Arc::new(disk.clone()), 64 << 10);
    let mut of_chain = Vec::new();
    for (header, work) in &chains.blocks {
        let records = [record(header, *work, 0), tip(&header.id())];
        of_chain.push(store.append(&records).unwrap()[0]);
    }
    store.sync().unwrap();
    store.close().unwrap();
    let look = || {
        let mut store = open(Arc::new(disk.clone()), 64 << 10);
        old::look(&mut store, &second).unwrap()
    };
    let found = look().unwrap();
    assert!(found.old.positions().eq(of_chain[..10].iter().copied()));
    // A bit of the header of the block at height 7, where the branch has one, too.
    let place = of_chain[6].get() + 48 + 64 + 60;
    disk.flip(&Log::Blocks.path(0), place, 1).unwrap();
    assert!(look().is_none(), "the start looks at every record");
}
