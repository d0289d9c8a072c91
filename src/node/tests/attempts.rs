//! Blocks whose execution ends the process, and kills that only look like it.

use std::collections::BTreeSet;

use super::*;
use crate::chain::Attempt;
use crate::store::{
    Append, Commits, Disk, Faults, FaultyDisk, Keep, MemoryDisk, OpenError, Options, Store,
};

/// One life of a node on a disk, and when it is killed.
struct Life {
    node: Node,
    store: Store,
    commits: Commits,
    bench: Workbench,
    parked: Vec<BlockId>,
    answers: Vec<Result<Reply, CallError>>,
    /// The attempt that the life before left unfinished.
    unfinished: Option<Attempt>,
    /// The state can't be read.
    damaged: bool,
}

enum End {
    Killed,
    Idle,
    /// It ended by itself.
    Stopped,
}

impl Life {
    fn start(genesis: &Arc<Genesis>, disk: &MemoryDisk) -> Self {
        let interval = CheckpointInterval::default();
        Self::start_on(genesis, Arc::new(disk.clone()), interval).unwrap()
    }

    /// A start that the disk may not survive.
    fn start_on(
        genesis: &Arc<Genesis>,
        disk: Arc<dyn Disk>,
        checkpoints: CheckpointInterval,
    ) -> Result<Self, OpenError> {
        let now = Time::from_millis(genesis.time.0) + Span::from_secs(100_000);
        let options = Options::production(genesis.id().0, 1, 0).with_segment_size(8 << 20);
        let (mut store, found) = Store::open(disk, &options)?;
        let recovered = Recovered::read(&mut store, found.was_clean).unwrap();
        let unfinished = recovered.unfinished;
        let config = NodeConfig {
            record: record(genesis, OWN_KEY),
            genesis: Arc::clone(genesis),
            peers: Vec::new(),
            listen_port: 0,
            mining: None,
            inbound_max: 125,
            mempool_limit: MEMORY_DEFAULT,
            bans: BanList::default(),
            checkpoints,
            min_chain_work: Uint256::ZERO,
        };
        let reader: Arc<dyn BlockReader> = Arc::new(store.reader());
        Ok(Self {
            node: Node::open(config, recovered, [9; 32], now).unwrap(),
            store,
            commits: Commits::new(),
            bench: Workbench::new([7; 32], reader),
            parked: Vec::new(),
            answers: Vec::new(),
            unfinished,
            damaged: false,
        })
    }

    /// Lives until nothing is left to do, or until `kills` says so of an execution that is about
    /// to run. What was written stays: the machine goes on.
    fn run(&mut self, mut kills: impl FnMut(&crate::chain::Execution) -> bool) -> End {
        let now = Time::from_millis(0);
        let mut done = VecDeque::new();
        loop {
            while let Some(output) = self.node.poll_output() {
                match output {
                    Output::Store(request) => self.commits.push(request),
                    Output::Run { job, work } => {
                        if let Job::Execute(execution) = &work
                            && kills(execution)
                        {
                            return End::Killed;
                        }
                        let result = match work {
                            Job::Execute(_) if self.damaged => unreadable(),
                            work => work.run(&mut self.bench),
                        };
                        done.push_back(Input::Done { job, result });
                    }
                    Output::Event(Event::Parked { id, .. }) => self.parked.push(id),
                    Output::Answer { reply, .. } => self.answers.push(reply),
                    _ => {}
                }
            }
            for completion in self.commits.run(&mut self.store) {
                let ticket = Ticket(completion.ticket);
                match completion.result {
                    Ok(lsns) => done.push_back(Input::Stored { ticket, lsns }),
                    Err(_) => return End::Stopped,
                }
            }
            match done.pop_front() {
                Some(input) => self.node.handle(now, input),
                None => return End::Idle,
            }
        }
    }
}

/// A disk whose log has these blocks, received and never executed.
fn disk_with(genesis: &Arc<Genesis>, blocks: &[Made]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    receive(genesis, &disk, blocks);
    disk
}

/// A process receives blocks and ends before it executes one. The first follows on the genesis
/// block.
fn receive(genesis: &Arc<Genesis>, disk: &MemoryDisk, blocks: &[Made]) {
    let options = Options::production(genesis.id().0, 1, 0).with_segment_size(8 << 20);
    let (mut store, _) = Store::open(Arc::new(disk.clone()), &options).unwrap();
    let mut work = Maker::new(genesis).root().header.work();
    let records = blocks.iter().map(|made| {
        work = work.saturating_add(made.header.work());
        let mut body = made.id.0.to_vec();
        body.extend_from_slice(&work.to_le_bytes());
        body.extend_from_slice(&made.bytes);
        Append::new(Log::Blocks, Kind::Block, body)
    });
    store.append(&records.collect::<Vec<_>>()).unwrap();
    store.sync().unwrap();
}

fn chain_of(count: usize) -> (Arc<Genesis>, Vec<Made>) {
    let genesis = testing::genesis(&[&rich()], 1_000_000_000);
    let maker = Maker::new(&genesis);
    let blocks = maker.branch(&maker.root(), person(91).account, count);
    (genesis, blocks)
}

#[test]
fn a_block_that_ends_the_process_is_parked_at_the_fourth_start() {
    // The block is the first of a run in one story, and in the midst of one in the other.
    for place in [0, 20, 25] {
        let (genesis, blocks) = chain_of(40);
        let disk = disk_with(&genesis, &blocks);
        let bad = blocks[place].id;
        let aborts = |run: &crate::chain::Execution| run.blocks.iter().any(|b| b.id == bad);
        for start in 1..=3 {
            let mut life = Life::start(&genesis, &disk);
            assert!(matches!(life.run(aborts), End::Killed), "start {start}");
            assert_eq!(life.parked, [], "start {start}");
        }
        let mut life = Life::start(&genesis, &disk);
        assert!(matches!(life.run(aborts), End::Idle));
        assert_eq!(life.parked, [bad]);
        assert_eq!(life.node.chain.tip(), blocks[place].header.parent_id);
        drop(life);
        // It stays aside at later starts, and without a new alarm.
        let mut life = Life::start(&genesis, &disk);
        assert!(matches!(life.run(aborts), End::Idle));
        assert_eq!(life.parked, []);
        assert_eq!(life.node.chain.tip(), blocks[place].header.parent_id);
        // Somebody who repaired the cause has it tried again.
        let (call, question) = (CallId(1), Question::AcceptBranch(blocks[39].id));
        life.node
            .handle(Time::from_millis(0), Input::Called { call, question });
        assert!(matches!(life.run(|_| false), End::Idle));
        assert_eq!(life.node.chain.tip(), blocks[39].id);
        drop(life);
        let mut life = Life::start(&genesis, &disk);
        assert!(matches!(life.run(|_| false), End::Idle));
        assert_eq!(
            (life.node.chain.tip(), life.parked),
            (blocks[39].id, vec![])
        );
    }
}

#[test]
fn a_thousand_kills_during_execution_of_good_blocks_park_nothing() {
    let mut rng = Rng::from_seed([3; 32]);
    let (genesis, blocks) = chain_of(60);
    let (mut disk, mut kills, mut executed) = (disk_with(&genesis, &blocks), 0, BTreeSet::new());
    while kills < 1_000 {
        let mut life = Life::start(&genesis, &disk);
        // A life comes further by at least one run before it is killed in the next.
        let (mut fresh, lives_for) = (0, 2 + rng.below(4));
        let end = life.run(|run| {
            let is_new = run.blocks.iter().any(|block| executed.insert(block.id));
            fresh += u64::from(is_new);
            fresh == lives_for
        });
        assert_eq!(life.parked, [], "after {kills} kills");
        match end {
            End::Stopped => panic!("the disk is good"),
            End::Killed => kills += 1,
            End::Idle => {
                assert_eq!(life.node.chain.tip(), blocks[59].id);
                disk = disk_with(&genesis, &blocks);
                executed.clear();
            }
        }
    }
}

/// A disk on which the machine stops before a call that changes something.
fn crashing(disk: &MemoryDisk, call: u64) -> FaultyDisk {
    let faults = Faults {
        crash_at: Some(call),
        ..Faults::default()
    };
    FaultyDisk::over(disk, faults, Rng::from_number(call))
}

#[test]
fn kills_at_every_call_of_the_disk_while_good_blocks_are_executed_park_nothing() {
    let interval = CheckpointInterval::default();
    let (genesis, blocks) = chain_of(40);
    let disk = disk_with(&genesis, &blocks);
    let start = |disk: &FaultyDisk| Life::start_on(&genesis, Arc::new(disk.clone()), interval);
    let whole = crashing(&disk, u64::MAX);
    assert!(matches!(start(&whole).unwrap().run(|_| false), End::Idle));
    let calls = whole.calls();
    let mut rng = Rng::from_seed([4; 32]);
    let (mut kills, mut unfinished, mut between) = (0, 0, 0);
    for call in 0..calls {
        // A process that is killed leaves what it wrote; of a machine that stops the disk has some.
        for keep in Keep::ALL {
            let mut disk = disk.copy();
            // A block is set aside after three attempts in a row: these are two.
            for at in [call, rng.below(calls)] {
                let faulty = crashing(&disk, at);
                if let Ok(mut life) = start(&faulty) {
                    let mut begun = 0_u64;
                    let end = life.run(|_| {
                        begun += 1;
                        false
                    });
                    assert_eq!(life.parked, [], "call {call}, {keep:?}");
                    // It was executed, and its Tip record was on its way.
                    let stopped = matches!(end, End::Stopped) && begun > 0;
                    between += u64::from(stopped && !life.node.chain.is_executing());
                }
                kills += 1;
                disk = faulty.crash(keep);
            }
            let mut life = Life::start(&genesis, &disk);
            unfinished += u64::from(life.unfinished.is_some());
            assert!(matches!(life.run(|_| false), End::Idle));
            assert_eq!(life.parked, [], "call {call}, {keep:?}");
            assert_eq!(life.node.chain.tip(), blocks[39].id);
        }
    }
    assert!(kills > 200 && between > 20 && unfinished > 10);
}

#[test]
fn an_accepted_branch_stays_so_whenever_the_process_ends_or_nobody_was_told() {
    let interval = CheckpointInterval {
        blocks: 4,
        ..CheckpointInterval::default()
    };
    let (genesis, blocks) = chain_of(40);
    let maker = Maker::new(&genesis);
    let mut rival = blocks[..3].to_vec();
    rival.extend(maker.branch(&blocks[2].state, person(92).account, 38));
    let (old, new) = (blocks[39].id, rival[40].id);
    let disk = disk_with(&genesis, &blocks);
    let start = |disk: Arc<dyn Disk>| Life::start_on(&genesis, disk, interval);
    let mut life = start(Arc::new(disk.clone())).unwrap();
    assert!(matches!(life.run(|_| false), End::Idle));
    assert_eq!(life.node.chain.tip(), old);
    drop(life);
    receive(&genesis, &disk, &rival);

    // A life in which the branch is accepted: whether somebody was told so.
    let accept = |disk: Arc<dyn Disk>| {
        let Ok(mut life) = start(disk) else {
            return false;
        };
        if matches!(life.run(|_| false), End::Stopped) {
            return false;
        }
        assert_eq!(
            (life.node.chain.tip(), &*life.parked),
            (old, &[rival[3].id][..])
        );
        let (call, question) = (CallId(1), Question::AcceptBranch(new));
        let now = Time::from_millis(0);
        life.node.handle(now, Input::Called { call, question });
        life.run(|_| false);
        let told = life.answers == [Ok(Reply::Done)];
        assert_eq!(told, !life.answers.is_empty());
        told
    };
    let whole = crashing(&disk, u64::MAX);
    assert!(accept(Arc::new(whole.clone())));
    let (calls, mut held, mut switched) = (whole.calls(), 0, 0);
    for call in 0..=calls {
        for keep in [Keep::Nothing, Keep::Everything, Keep::Reordered] {
            let faulty = crashing(&disk, call);
            let told = accept(Arc::new(faulty.clone()));
            let disk = faulty.crash(keep);
            let mut life = start(Arc::new(disk.clone())).unwrap();
            switched += u64::from(life.node.logged_tip == new);
            assert!(matches!(life.run(|_| false), End::Idle));
            let tip = life.node.chain.tip();
            assert!(tip == new || (tip == old && !told), "call {call}, {keep:?}");
            assert_eq!(
                tip == old,
                life.parked == [rival[3].id],
                "{:?}",
                life.parked
            );
            held += u64::from(tip == new);
            drop(life);
            // And so at the start after it.
            let mut life = start(Arc::new(disk)).unwrap();
            assert!(matches!(life.run(|_| false), End::Idle));
            assert_eq!(life.node.chain.tip(), tip);
        }
    }
    assert!(switched > 2 && held > switched + 5 && held < 3 * calls);
}

#[test]
fn an_invalid_block_is_no_unfinished_attempt() {
    let (genesis, mut blocks) = chain_of(5);
    let maker = Maker::new(&genesis);
    let lie = |header: &mut Header| header.state_root.0[0] ^= 1;
    let parent = blocks.last().unwrap().state.clone();
    blocks.push(maker.child_with(&parent, person(91).account, &[], lie));
    let disk = disk_with(&genesis, &blocks);
    for _ in 0..6 {
        let mut life = Life::start(&genesis, &disk);
        assert!(matches!(life.run(|_| false), End::Idle));
        assert_eq!((life.node.chain.tip(), life.parked), (blocks[4].id, vec![]));
    }
}

#[test]
fn a_disk_that_fails_is_no_fault_of_the_block_that_is_executed() {
    let (genesis, blocks) = chain_of(5);
    let disk = disk_with(&genesis, &blocks);
    for _ in 0..5 {
        let mut life = Life::start(&genesis, &disk);
        life.damaged = true;
        assert!(matches!(life.run(|_| false), End::Stopped));
        assert_eq!(life.parked, []);
    }
    let mut life = Life::start(&genesis, &disk);
    assert!(matches!(life.run(|_| false), End::Idle));
    assert_eq!((life.node.chain.tip(), life.parked), (blocks[4].id, vec![]));
}
