//! Checkpoints on disks that fail, and which of them are kept.

use std::collections::BTreeSet;

use super::*;
use crate::base::Rng;
use crate::chain::testing::{Made, Maker, Person, genesis, pay, person};
use crate::chain::{Executed, Execution};
use crate::store::{Disk, Faults, FaultyDisk, Keep, MemoryDisk, OpenError, Options, Store};
use crate::types::state::StateKey;
use crate::types::{Genesis, Height};

/// Small enough that a checkpoint fills several.
const SEGMENT: u64 = 16 << 10;
const PEOPLE: u8 = 60;
const BLOCKS: u64 = 16;
const INTERVAL: u64 = 2;

/// A chain of payments, each block with some.
struct Story {
    genesis: Arc<Genesis>,
    blocks: Vec<Made>,
}

impl Story {
    fn new() -> Self {
        let people: Vec<Person> = (1..=PEOPLE).map(person).collect();
        let genesis = genesis(&people.iter().collect::<Vec<_>>(), 1_000_000_000);
        let maker = Maker::new(&genesis);
        let mut rng = Rng::from_number(1);
        let mut nonces = vec![0; people.len()];
        let mut blocks: Vec<Made> = Vec::new();
        for _ in 0..BLOCKS {
            let mut transactions = Vec::new();
            for _ in 0..6 {
                let from = rng.below(people.len() as u64) as usize;
                // Some to people who have no account yet.
                let to = person(rng.below(120) as u8 + 1).account;
                let payment = pay(&genesis, &people[from], (nonces[from], 5_000), to, 1_000);
                nonces[from] += 1;
                transactions.push(payment);
            }
            let parent = blocks
                .last()
                .map_or_else(|| maker.root(), |made| made.state.clone());
            blocks.push(maker.child(&parent, people[0].account, &transactions));
        }
        Self { genesis, blocks }
    }

    /// Executes everything from `state` on, with a checkpoint every few blocks. Gives the height
    /// of the last that is complete.
    fn live(&self, store: &mut Store, state: ChainState, kept: Kept) -> (u64, Option<Stop>) {
        self.live_watched(store, state, kept, &mut |_| {})
    }

    /// The same; `watch` is told when the disk's pages are about to count, and when the block
    /// after that was executed on them.
    fn live_watched(
        &self,
        store: &mut Store,
        state: ChainState,
        kept: Kept,
        watch: &mut dyn FnMut(Swap),
    ) -> (u64, Option<Stop>) {
        let mut life = Life {
            store,
            state,
            kept,
            complete: 0,
            watch,
        };
        for made in &self.blocks[life.state.header.height.0 as usize..] {
            if let Err(stop) = life.block(&self.genesis, made) {
                return (life.complete, Some(stop));
            }
            assert_eq!(life.state.ledger.root(), made.state.ledger.root());
        }
        (life.complete, None)
    }

    /// Checks that a state is the one that executing from the genesis block gives, to the last
    /// record.
    fn assert_is(&self, state: &ChainState) {
        let height = state.header.height.0;
        assert!(height >= 1, "a checkpoint is of a block that was executed");
        let wanted = &self.blocks[height as usize - 1].state;
        assert_eq!(state.id, wanted.id);
        assert_eq!(state.weight, wanted.weight);
        assert_eq!(state.history, wanted.history);
        assert_eq!(state.ledger.root(), wanted.ledger.root());
        assert_eq!(state.ledger.supply(), wanted.ledger.supply());
        let accounts = (1..=130).map(|seed| StateKey::Account(person(seed).account));
        let rewards = (1..=height).map(|height| StateKey::Immature(Height(height)));
        for key in accounts.chain(rewards).chain([StateKey::Supply]) {
            assert_eq!(state.ledger.record(&key), wanted.ledger.record(&key));
        }
    }
}

/// How far a swap of pages is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swap {
    /// All pages are on the disk, and nothing says so yet.
    Begins,
    /// The next block was executed.
    Used,
}

/// Why a life ended.
type Stop = Box<dyn std::error::Error>;

struct Life<'a> {
    store: &'a mut Store,
    state: ChainState,
    kept: Kept,
    /// The height of the last complete checkpoint.
    complete: u64,
    watch: &'a mut dyn FnMut(Swap),
}

impl Life<'_> {
    fn block(&mut self, genesis: &Arc<Genesis>, made: &Made) -> Result<(), Stop> {
        let execution = Execution {
            genesis: Arc::clone(genesis),
            base: self.state.clone(),
            undos: Vec::new(),
            blocks: vec![Arc::clone(&made.checked)],
        };
        let Executed {
            mut states,
            fault,
            failure,
            ..
        } = execution.run();
        assert_eq!(
            fault, None,
            "a page that can't be read is no fault of a block"
        );
        let Some((state, _)) = states.pop() else {
            let at = failure.map_or(Lsn::default(), |failure| failure.at);
            let why = super::super::state::PageFailure::NoSource;
            return Err(PageError { at, why }.into());
        };
        self.state = state;
        (self.watch)(Swap::Used);
        if self.state.header.height.0.is_multiple_of(INTERVAL) {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), Stop> {
        let layout = self.store.layout(Log::State);
        let mut writer = CheckpointWriter::new(self.state.clone(), layout, &self.kept);
        while !writer.is_done() {
            let records = writer.step()?;
            let lsns = self.store.append(&records)?;
            assert!(records.is_empty() || lsns.last() == writer.last().as_ref());
        }
        self.store.sync()?;
        (self.watch)(Swap::Begins);
        let written = writer.finish(&self.kept);
        let at = self.store.append(&[written.record])?[0];
        assert_eq!(at, written.kept.checkpoints()[0].at);
        self.store.sync()?;
        self.store.set_checkpoint(at)?;
        self.kept = written.kept;
        self.complete = self.state.header.height.0;
        let needed = self.kept.segments(&written.layout);
        self.store.keep_only(Log::State, &needed)?;
        let tree = self.state.ledger.tree_mut();
        let used = tree
            .live()
            .segments()
            .chain(written.pages.live().segments());
        let used: BTreeSet<u64> = used.map(|(segment, _)| segment).collect();
        let reader = self.store.reader().holding(Log::State, used.into_iter());
        written.pages.swap([(&mut *tree, Arc::new(reader?) as _)]);
        assert_eq!(tree.changed_bytes(), 0, "nothing is left in memory");
        Ok(())
    }
}

fn open(disk: Arc<dyn Disk>) -> Result<Store, OpenError> {
    let options = Options::production([7; 32], 9, 1_000).with_segment_size(SEGMENT);
    Store::open(disk, &options).map(|(store, _)| store)
}

/// The checkpoints that a start finds, and their states, the newest first.
fn found(store: &Store) -> (Kept, Vec<ChainState>) {
    let Some(newest) = store.checkpoint() else {
        return (Kept::default(), Vec::new());
    };
    let reader = store.reader();
    let first = Checkpoint::read(&reader, newest).unwrap();
    let (mut kept, mut states) = (Vec::new(), Vec::new());
    for at in [&[newest], first.older.as_slice()].concat() {
        let checkpoint = Checkpoint::read(&reader, at).unwrap();
        states.push(checkpoint.open(&reader).unwrap());
        kept.push(KeptCheckpoint::new(at, &checkpoint));
    }
    (Kept::of(kept), states)
}

#[test]
fn a_crash_at_any_call_leaves_complete_checkpoints_to_go_on_from() {
    let story = Story::new();
    let root = ChainState::genesis(&story.genesis);
    let run = |disk: &FaultyDisk| match open(Arc::new(disk.clone())) {
        Ok(mut store) => story.live(&mut store, root.clone(), Kept::default()),
        Err(_) => (0, None),
    };
    let faulty = |call| {
        let faults = Faults {
            crash_at: call,
            ..Faults::default()
        };
        FaultyDisk::over(
            &MemoryDisk::new(),
            faults,
            Rng::from_number(call.unwrap_or(0)),
        )
    };
    let whole = faulty(None);
    let (complete, stop) = run(&whole);
    assert_eq!((complete, stop.is_none()), (BLOCKS, true));
    let calls = whole.calls();
    assert!(calls > 100, "{calls}");
    let (mut went_on, mut none) = (0, 0);
    for call in 0..calls {
        let disk = faulty(Some(call));
        let (complete, _) = run(&disk);
        // Nothing survives, and one of the other ways.
        for keep in [Keep::Nothing, Keep::ALL[call as usize % Keep::ALL.len()]] {
            let after = disk.crash(keep);
            let mut store = open(Arc::new(after)).unwrap();
            let (kept, states) = found(&store);
            let newest = states.first().map_or(0, |state| state.header.height.0);
            assert!(
                newest >= complete,
                "call {call}: a complete checkpoint is lost"
            );
            states.iter().for_each(|state| story.assert_is(state));
            // The rest is executed again, with checkpoints, to the same end.
            let state = states.first().unwrap_or(&root).clone();
            let (_, stop) = story.live(&mut store, state, kept);
            assert!(stop.is_none(), "call {call}: {stop:?}");
            let (_, states) = found(&store);
            states.iter().for_each(|state| story.assert_is(state));
            assert_eq!(states[0].header.height.0, BLOCKS);
            if newest > 0 { went_on += 1 } else { none += 1 }
        }
    }
    assert!(went_on > 100 && none > 10, "{went_on} {none}");
}

#[test]
fn a_kill_in_the_midst_of_a_swap_of_pages_loses_nothing_of_the_state() {
    let story = Story::new();
    let root = ChainState::genesis(&story.genesis);
    let faulty = |crash_at: Option<u64>| {
        let faults = Faults {
            crash_at,
            ..Faults::default()
        };
        let rng = Rng::from_number(crash_at.unwrap_or(0));
        FaultyDisk::over(&MemoryDisk::new(), faults, rng)
    };
    // Every call from the record of a checkpoint to the last of the block that reads what was
    // swapped: the record, SUPER, segments that go, pages.
    let (whole, mut calls, mut begun) = (faulty(None), BTreeSet::new(), None);
    let mut store = open(Arc::new(whole.clone())).unwrap();
    let (complete, stop) =
        story.live_watched(&mut store, root.clone(), Kept::default(), &mut |swap| {
            let now = whole.calls();
            match swap {
                Swap::Begins => begun = Some(now),
                Swap::Used => calls.extend(begun.take().unwrap_or(now)..now),
            }
        });
    assert_eq!((complete, stop.is_none()), (BLOCKS, true));
    assert!(calls.len() >= 30, "{calls:?}");
    for call in calls {
        let disk = faulty(Some(call));
        let mut store = open(Arc::new(disk.clone())).unwrap();
        let (complete, stop) = story.live(&mut store, root.clone(), Kept::default());
        assert!(stop.is_some(), "call {call}");
        drop(store);
        for keep in Keep::ALL {
            let mut store = open(Arc::new(disk.crash(keep))).unwrap();
            let (kept, states) = found(&store);
            let state = states.first().unwrap_or(&root).clone();
            let height = state.header.height.0;
            assert!(
                height == complete || height == complete + INTERVAL,
                "call {call}, {keep:?}: {height}, and {complete} was complete"
            );
            states.iter().for_each(|state| story.assert_is(state));
            let (complete, stop) = story.live(&mut store, state, kept);
            assert!(stop.is_none(), "call {call}, {keep:?}: {stop:?}");
            assert_eq!(complete, BLOCKS);
        }
    }
}

#[test]
fn a_record_that_is_damaged_or_another_is_refused() {
    let story = Story::new();
    let disk = MemoryDisk::new();
    let mut store = open(Arc::new(disk)).unwrap();
    let root = ChainState::genesis(&story.genesis);
    story.live(&mut store, root, Kept::default());
    let at = store.checkpoint().unwrap();
    let reader = store.reader();
    let record = reader.read(Log::State, at).unwrap();
    let checkpoint = Checkpoint::from_bytes(&record.body).unwrap();
    assert_eq!(checkpoint.to_record().body, record.body);
    for end in 0..record.body.len() {
        let cut = Checkpoint::from_bytes(&record.body[..end]);
        assert_eq!(cut, Err(DecodeError::Incomplete), "{end}");
    }
    let mut longer = record.body.clone();
    longer.push(0);
    assert!(Checkpoint::from_bytes(&longer).is_err());
    let (root, _) = checkpoint.root.unwrap();
    assert_eq!(
        Checkpoint::read(&reader, root),
        Err(CheckpointError::Other { at: root })
    );
    // A checkpoint under the header of another block has another root hash.
    let mut other = checkpoint.clone();
    other.header = story.blocks[2].header.clone();
    assert!(other.open(&reader).is_err());
    let mut rng = Rng::from_number(5);
    for _ in 0..2_000 {
        let mut bytes = record.body.clone();
        let place = rng.below(bytes.len() as u64) as usize;
        bytes[place] ^= 1 << rng.below(8);
        // Whatever it says, it ends nothing.
        let _ = Checkpoint::from_bytes(&bytes).map(|checkpoint| checkpoint.open(&reader));
    }
}

/// The record's own part: what the header, the supply and the history are is in formats.md.
#[test]
fn a_checkpoint_has_these_bytes() {
    let story = Story::new();
    let state = &story.blocks[1].state;
    let live =
        super::super::state::Live::of(0x1_0000, [(3, 0x200), (7, 0x1_0000)].into_iter().collect());
    let checkpoint = Checkpoint {
        header: state.header.clone(),
        weight: 0x0102_0304,
        root: Some((Lsn::new(0x0a0b), 0)),
        supply: *state.ledger.supply(),
        history: state.history.clone(),
        older: vec![Lsn::new(0x99), Lsn::new(0x77)],
        live,
    };
    let bytes = checkpoint.to_record().body;
    let hex = crate::base::encode_hex(&bytes);
    let head = "0100020004030201\
                0b0a000000000000\
                0000010000000000";
    let tail = "9900000000000000\
                7700000000000000\
                02000000\
                03000000000000000002000000000000\
                07000000000000000000010000000000";
    assert!(hex.starts_with(head), "{hex}");
    assert!(hex.ends_with(tail), "{hex}");
    // Three blocks are in two mountains.
    let middle = 204 + 57 + 8 + 2 * 80;
    assert_eq!(bytes.len(), 24 + middle + 16 + 4 + 32);
    assert_eq!(Checkpoint::from_bytes(&bytes), Ok(checkpoint));
}

#[test]
fn the_newest_two_stay_and_older_ones_at_doubling_distances() {
    let segment_size = 1 << 20;
    let mut kept = Kept::default();
    for number in 1..=2_000_u64 {
        let live = super::super::state::Live::of(segment_size, [(0, segment_size)].into());
        kept = kept.beside(Height(number * 1_000), &live);
        kept.add(KeptCheckpoint {
            at: Lsn::new(number * 100),
            id: crate::types::BlockId::ZERO,
            height: Height(number * 1_000),
            segments: vec![(0, segment_size)],
        });
        let ago: Vec<u64> = kept
            .checkpoints()
            .iter()
            .map(|kept| number - kept.height.0 / 1_000)
            .collect();
        assert_eq!(ago[..2.min(ago.len())], [0, 1][..2.min(ago.len())]);
        assert!(ago.len() as u32 <= 2 * number.ilog2() + 3, "{ago:?}");
        for pair in ago.windows(2).skip(1) {
            assert!(pair[1] <= 4 * pair[0], "{number}: {ago:?} has a gap");
        }
        assert_eq!(*ago.last().unwrap(), number - 1, "the first stays: {ago:?}");
    }
}

#[test]
fn the_oldest_go_first_when_the_log_takes_too_much() {
    let segment_size = 1 << 20;
    let mut kept = Kept::default();
    for number in 1..=200_u64 {
        // Each is written anew and shares nothing with the one before.
        let used = [(number, segment_size / 2)];
        let live = super::super::state::Live::of(segment_size, used.into());
        kept = kept.beside(Height(number), &live);
        kept.add(KeptCheckpoint {
            at: Lsn::new(number * segment_size),
            id: crate::types::BlockId::ZERO,
            height: Height(number),
            segments: used.to_vec(),
        });
        assert!(kept.checkpoints().len() <= 4, "four segments and no more");
        assert!(number == 1 || kept.checkpoints().len() >= 2);
        assert_eq!(kept.checkpoints()[0].height, Height(number));
    }
    let layout = Layout::new(segment_size, Lsn::new(201 * segment_size));
    let needed = kept.segments(&layout);
    assert!(needed.len() <= 4 && needed.contains(&200), "{needed:?}");
    // What refers to damaged bytes is written behind them.
    kept.drop_from(Lsn::new(200 * segment_size));
    assert_eq!(kept.checkpoints()[0].height, Height(199));
    kept.drop_from(Lsn::new(0));
    assert_eq!(kept.checkpoints(), []);
}
