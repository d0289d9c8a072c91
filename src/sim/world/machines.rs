//! Machines: their lives, their disks and their clocks.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::base::{Rng, Span, Time};
use crate::node::{
    BlockReader, Input, Mining, Node, NodeConfig, Published, Recorder, Recovered, Workbench,
};
use crate::p2p::BanList;
use crate::store::{
    Commits, Disk, DiskError, Faults, FaultyDisk, Hits, Keep, Lsn, MemoryDisk, Options, Store,
};
use crate::types::{Millis, NodeKey, NodeRecord, Services, Uint256};
use crate::wire::NodeIdentity;

use super::stops::Stopped;
use super::{Happening, NodeIndex, World, address};
use crate::sim::Behaviour;

/// How many bytes can't be read at once: a physical sector.
const SECTORS_LOST: u64 = 4_096;
/// How long a machine's record is good.
const RECORD_LIFE: u64 = 400 * 86_400_000;

/// What disks the machines of a world have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskKind {
    /// What is written is there for good, and nothing fails.
    Plain,
    /// Disks that fail when they are told to, and that lose what was not synced in a power cut.
    Faulty,
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed. The system keeps what it wrote, and tells its peers that it is gone.
    Kill,
    /// The machine has no power any more. What was not synced survives in this way, if the disk is
    /// a [`DiskKind::Faulty`] one, and peers hear nothing.
    PowerCut(Keep),
}

/// What is wrong with a disk for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskTrouble {
    /// It has no space.
    pub no_space: bool,
    /// Writes take a part of their bytes.
    pub short_writes: bool,
    /// The next sync fails, and with it the process.
    pub sync_fails: bool,
    /// How much longer a group of records takes.
    pub slow: Span,
}

/// What happens to the bytes of a disk at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A bit of a file turns.
    Bit,
    /// Some bytes of a file can't be read from now on.
    Unreadable,
    /// The next write never comes to the disk, and nothing says so.
    LostWrite,
    /// The next write comes to another place of its file.
    MisdirectedWrite,
    /// A segment loses its end; of a machine that does not run.
    CutSegment,
    /// A segment goes; of a machine that does not run.
    LostSegment,
}

/// How often troubles of a machine's disk took effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskHits {
    /// What the disk counted.
    pub disk: Hits,
    /// Groups of records that took longer.
    pub slow: u64,
}

/// A disk that is there between lives.
enum MachineDisk {
    Plain(MemoryDisk),
    Faulty(FaultyDisk),
}

impl MachineDisk {
    fn new(kind: DiskKind, rng: Rng) -> Self {
        match kind {
            DiskKind::Plain => Self::Plain(MemoryDisk::new()),
            DiskKind::Faulty => {
                Self::Faulty(FaultyDisk::over(&MemoryDisk::new(), Faults::default(), rng))
            }
        }
    }

    fn handle(&self) -> Arc<dyn Disk> {
        match self {
            Self::Plain(disk) => Arc::new(disk.clone()),
            Self::Faulty(disk) => Arc::new(disk.clone()),
        }
    }

    fn written(&self) -> Vec<(String, u64)> {
        match self {
            Self::Plain(disk) => disk.written(),
            Self::Faulty(disk) => disk.written(),
        }
    }

    fn flip(&self, path: &str, offset: u64, bits: u8) -> Result<(), DiskError> {
        match self {
            Self::Plain(disk) => disk.flip(path, offset, bits),
            Self::Faulty(disk) => disk.flip(path, offset, bits),
        }
    }
}

/// How a machine's clock errs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockError {
    /// By how many microseconds it is ahead of the world's when a process reads it.
    pub skew_micros: i64,
    /// By how many millionths it runs faster than the world's.
    pub drift_ppm: i32,
}

/// A clock as a process has one: what the machine's clock says at its start, and from then on what
/// has passed, as its oscillator counts it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NodeClock {
    /// When the process began, in the world's time.
    since: Time,
    error: ClockError,
}

const MILLION: u64 = 1_000_000;

impl NodeClock {
    /// What the clock says at a time of the world.
    pub(super) fn of_world(&self, at: Time) -> Time {
        let rate = MILLION.saturating_add_signed(i64::from(self.error.drift_ppm));
        let passed = u128::from(at.since(self.since).as_micros()) * u128::from(rate);
        let passed = u64::try_from(passed / u128::from(MILLION)).unwrap_or(u64::MAX);
        let base = self
            .since
            .as_micros()
            .saturating_add_signed(self.error.skew_micros);
        Time::from_micros(base.saturating_add(passed))
    }

    /// The first time of the world at which the clock says `at`, or later.
    pub(super) fn to_world(self, at: Time) -> Time {
        let rate = MILLION.saturating_add_signed(i64::from(self.error.drift_ppm));
        let base = self
            .since
            .as_micros()
            .saturating_add_signed(self.error.skew_micros);
        let passed = u128::from(at.as_micros().saturating_sub(base)) * u128::from(MILLION);
        let passed = passed.div_ceil(u128::from(rate.max(1)));
        self.since + Span::from_micros(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

/// A machine, running or not.
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) config: NodeConfig,
    pub(super) identity: NodeIdentity,
    disk: MachineDisk,
    trouble: DiskTrouble,
    /// What can't be read of it.
    unreadable: Option<(String, Range<u64>)>,
    /// What earlier forms of the disk counted.
    hits: DiskHits,
    pub(super) running: Option<Box<Running>>,
    /// How it crashes in the midst of the next group of records, after how many calls to its disk.
    doom: Option<(Crash, u64)>,
    /// Counts starts, so that what was under way before a crash does not arrive after it.
    pub(super) life: u32,
    /// Whether its peers can hear that a process of it is not there.
    pub(super) has_power: bool,
    refused: Option<String>,
    /// Whether a supervisor starts it again, because its process ended by itself.
    is_supervised: bool,
    /// How its clock errs for whoever reads it next.
    clock: ClockError,
    /// The latest time that any process which ended read from it.
    clock_read: Time,
    pub(super) behaviour: Option<Box<dyn Behaviour>>,
    is_honest: bool,
    /// The randomness of its behaviour.
    pub(super) rng: Rng,
}

/// A process.
pub(super) struct Running {
    pub(super) node: Node,
    pub(super) store: Store,
    pub(super) commits: Commits,
    pub(super) reader: Arc<dyn BlockReader>,
    /// What its jobs keep, where nodes share nothing.
    pub(super) bench: Option<Box<Workbench>>,
    pub(super) clock: NodeClock,
    /// When its loop is done with what it does, or is let go on.
    pub(super) loop_free: Time,
    /// What waits for its loop.
    pub(super) inbox: VecDeque<Input>,
    /// What waits for it to go on, while it is stopped.
    pub(super) stopped: Option<Box<Stopped>>,
    /// How long it was stopped until now, all in all.
    pub(super) stood: Span,
    /// Whether its loop will get to what waits by itself.
    pub(super) awaits_turn: bool,
    /// When each of its cores is done with what it does.
    pub(super) cores_free: [Time; 4],
    /// Whether the node was told that the disk is full.
    pub(super) is_full: bool,
    pub(super) published: Option<Arc<Published>>,
    /// Blocks of old branches that its tip left since readers saw one.
    pub(super) left: u64,
    pub(super) timeout: Option<Time>,
    pub(super) recorder: Option<Recorder>,
    pub(super) pieces: Vec<Vec<u8>>,
    /// Where its blocks stood when the recording began, and what was written since.
    pub(super) places: Vec<Lsn>,
    /// Its connections, by number.
    pub(super) connections: Vec<u32>,
}

impl Running {
    /// Whether the node has timers that are due at a time of the world.
    pub(super) fn timers_due(&self, now: Time) -> bool {
        let due = self.clock.of_world(now);
        self.node.poll_timeout().is_some_and(|set| set <= due)
    }
}

impl World {
    /// Adds a node that dials `peers`, and starts it.
    pub fn add(&mut self, name: &str, peers: &[NodeIndex], mining: Option<Mining>) -> NodeIndex {
        self.add_with_clock(name, peers, mining, ClockError::default())
    }

    /// The same for a node whose clock errs from its first moment on.
    pub fn add_with_clock(
        &mut self,
        name: &str,
        peers: &[NodeIndex],
        mining: Option<Mining>,
        clock: ClockError,
    ) -> NodeIndex {
        self.add_machine(name, peers, mining, clock, None)
    }

    /// Adds a dishonest machine, and starts it.
    pub fn add_behaving(
        &mut self,
        name: &str,
        peers: &[NodeIndex],
        mining: Option<Mining>,
        behaviour: Box<dyn Behaviour>,
    ) -> NodeIndex {
        self.add_machine(name, peers, mining, ClockError::default(), Some(behaviour))
    }

    fn add_machine(
        &mut self,
        name: &str,
        peers: &[NodeIndex],
        mining: Option<Mining>,
        clock: ClockError,
        behaviour: Option<Box<dyn Behaviour>>,
    ) -> NodeIndex {
        let index = self.machines.len();
        let mut secrets = self.rng.fork(&format!("machine {index} {name}"));
        let genesis = Arc::clone(&self.config.genesis);
        let identity = NodeIdentity::generate(&mut secrets, genesis.id_puzzle_bits);
        let expires = Millis(self.now.as_millis() + RECORD_LIFE);
        let services = Services::FULL_BLOCKS;
        let record = identity.sign_record(&genesis.id(), 1, expires, services, &[], None);
        let config = NodeConfig {
            record,
            genesis,
            peers: peers.iter().map(|peer| self.peer_address(*peer)).collect(),
            listen_port: address(index).port(),
            mining,
            inbound_max: 125,
            mempool_limit: self.config.mempool_limit,
            bans: BanList::default(),
            checkpoints: self.config.checkpoints,
            min_chain_work: Uint256::ZERO,
        };
        let place = self.network.add();
        assert!(
            place == index,
            "the network counts machines as the world does"
        );
        self.observations.admit(index, behaviour.is_none());
        self.by_key.insert(identity.key(), index as u32);
        self.machines.push(Machine {
            name: name.to_owned(),
            config,
            identity,
            disk: MachineDisk::new(self.config.disks, secrets.fork("disk")),
            trouble: DiskTrouble::default(),
            unreadable: None,
            hits: DiskHits::default(),
            running: None,
            doom: None,
            life: 0,
            has_power: true,
            refused: None,
            is_supervised: false,
            clock,
            clock_read: Time::default(),
            is_honest: behaviour.is_none(),
            behaviour,
            rng: secrets.fork("behaviour"),
        });
        self.start(NodeIndex(index));
        NodeIndex(index)
    }

    /// Starts a node on what its disk has. When its directory does not open,
    /// [`refused`](Self::refused) says why.
    ///
    /// # Panics
    /// When the world's genesis names an engine that there is not.
    pub fn start(&mut self, index: NodeIndex) {
        let now = self.now;
        let machine = &mut self.machines[index.0];
        if machine.running.is_some() {
            return;
        }
        machine.life += 1;
        machine.has_power = true;
        let clock = NodeClock {
            since: now,
            error: machine.clock,
        };
        let options = Options::production(
            self.config.genesis.id().0,
            1 + index.0 as u64,
            now.as_millis(),
        )
        .with_segment_size(self.config.segment_size);
        let opened = Store::open(machine.disk.handle(), &options)
            .map_err(|error| error.to_string())
            .and_then(|(mut store, found)| {
                let recovered = Recovered::read(&mut store, found.was_clean);
                let recovered = recovered.map_err(|failure| failure.to_string())?;
                Ok((store, recovered))
            });
        let (store, mut recovered) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                machine.refused = Some(why);
                return;
            }
        };
        machine.refused = None;
        recovered.genesis = Some(self.first_state.clone());
        let seed = self
            .rng
            .fork(&format!("{} {} {}", index.0, machine.name, machine.life))
            .bytes32();
        let at = clock.of_world(now);
        let node = Node::open(machine.config.clone(), recovered, seed, at);
        let node = node.expect("the world's genesis has an engine");
        let reader: Arc<dyn BlockReader> = Arc::new(store.reader());
        let bench = (!self.config.switches.memoised_verdicts)
            .then(|| Box::new(Workbench::new([7; 32], Arc::clone(&reader))));
        machine.running = Some(Box::new(Running {
            node,
            store,
            commits: Commits::new(),
            reader,
            bench,
            clock,
            loop_free: now,
            inbox: VecDeque::new(),
            stopped: None,
            stood: Span::ZERO,
            awaits_turn: false,
            cores_free: [now; 4],
            is_full: false,
            published: None,
            left: 0,
            timeout: None,
            recorder: None,
            pieces: Vec::new(),
            places: Vec::new(),
            connections: Vec::new(),
        }));
        self.changed(index.0);
        self.drain(index.0);
        self.behave(index.0, |behaviour, hands| behaviour.start(hands));
    }

    /// Ends a node's life.
    pub fn crash(&mut self, index: NodeIndex, how: Crash) {
        let machine = &mut self.machines[index.0];
        machine.doom = None;
        let is_heard = how == Crash::Kill;
        machine.has_power &= is_heard;
        // Nobody starts again what somebody keeps down.
        machine.is_supervised = false;
        let Some(running) = machine.running.take() else {
            return;
        };
        let read = running.clock.of_world(self.now);
        machine.clock_read = machine.clock_read.max(read);
        let connections = running.connections.clone();
        // The process lets go of its files before the next one opens them.
        drop(running);
        self.changed(index.0);
        let machine = &mut self.machines[index.0];
        if let MachineDisk::Faulty(disk) = &machine.disk {
            let keep = match how {
                Crash::Kill => Keep::Everything,
                Crash::PowerCut(keep) => keep,
            };
            let life = machine.life;
            let left = disk.crash(keep);
            machine.hits.disk = machine.hits.disk.and(disk.hits());
            let rng = self.rng.fork(&format!("disk {} {life}", index.0));
            machine.disk = MachineDisk::Faulty(FaultyDisk::over(&left, Faults::default(), rng));
            // Neither a full disk nor a bad one gets better because a process ends.
            self.set_faults(index, Faults::default());
        }
        for number in connections {
            self.abandon(number, index.0, is_heard);
        }
    }

    /// Lets a machine that runs crash in the midst of the next group of records that it writes,
    /// when its disk was called so many times, and nobody was told of any of it.
    pub fn crash_in_write(&mut self, index: NodeIndex, how: Crash, calls: u64) {
        let machine = &mut self.machines[index.0];
        machine.doom = machine.running.is_some().then_some((how, calls));
    }

    /// Takes back a crash that waits for a group of records.
    pub fn spare(&mut self, index: NodeIndex) {
        self.machines[index.0].doom = None;
    }

    /// A group of records is being written, in the midst of which a machine may have to crash: says
    /// whether it did.
    pub(super) fn crash_writing(&mut self, node: usize) -> bool {
        let machine = &mut self.machines[node];
        let Some((how, calls)) = machine.doom.take() else {
            return false;
        };
        if let MachineDisk::Faulty(disk) = &machine.disk {
            let crash_at = Some(disk.calls() + calls);
            let more = Faults::default();
            self.set_faults(NodeIndex(node), Faults { crash_at, ..more });
        }
        if let Some(running) = &mut self.machines[node].running {
            // Whoever would be told of what came of it is gone.
            running.commits.run(&mut running.store);
        }
        self.crash(NodeIndex(node), how);
        true
    }

    /// A process ended by itself, because its disk failed; a supervisor may start it again.
    pub(super) fn process_ended(&mut self, node: usize) {
        let life = self.machines[node].life;
        self.crash(NodeIndex(node), Crash::Kill);
        if let Some(after) = self.config.restart_after {
            self.machines[node].is_supervised = true;
            let node = node as u32;
            self.queue
                .push(self.now + after, Happening::Restart { node, life });
        }
    }

    pub(super) fn restart(&mut self, node: usize, life: u32) {
        let machine = &self.machines[node];
        if machine.life == life && machine.is_supervised && machine.running.is_none() {
            self.start(NodeIndex(node));
        }
    }

    /// Gives a machine that does not run an empty disk.
    pub fn wipe(&mut self, index: NodeIndex) {
        let machine = &mut self.machines[index.0];
        if machine.running.is_none() {
            let rng = self
                .rng
                .fork(&format!("new disk {} {}", index.0, machine.life));
            if let MachineDisk::Faulty(disk) = &machine.disk {
                machine.hits.disk = machine.hits.disk.and(disk.hits());
            }
            machine.disk = MachineDisk::new(self.config.disks, rng);
            (machine.refused, machine.unreadable) = (None, None);
        }
    }

    /// Sets what is wrong with a machine's disk from now on. A [`DiskKind::Plain`] one can only be
    /// slow.
    pub fn trouble(&mut self, index: NodeIndex, trouble: DiskTrouble) {
        self.machines[index.0].trouble = trouble;
        self.set_faults(index, Faults::default());
    }

    /// Lets a disk fail by its troubles, and by `more` once.
    fn set_faults(&self, index: NodeIndex, more: Faults) {
        let machine = &self.machines[index.0];
        if let MachineDisk::Faulty(disk) = &machine.disk {
            let calls = disk.calls();
            disk.set_faults(Faults {
                no_space: machine.trouble.no_space.then_some(calls..u64::MAX),
                short_writes: machine.trouble.short_writes,
                next_sync_fails: machine.trouble.sync_fails,
                unreadable: machine.unreadable.clone(),
                ..more
            });
        }
    }

    /// How often troubles of a machine's disk took effect so far.
    #[must_use]
    pub fn disk_hits(&self, index: NodeIndex) -> DiskHits {
        let machine = &self.machines[index.0];
        let mut hits = machine.hits;
        if let MachineDisk::Faulty(disk) = &machine.disk {
            hits.disk = hits.disk.and(disk.hits());
        }
        hits
    }

    /// How long a group of records takes on a machine's disk now.
    pub(super) fn sync_time(&mut self, node: usize) -> Span {
        let machine = &mut self.machines[node];
        machine.hits.slow += u64::from(machine.trouble.slow > Span::ZERO);
        self.config.sync_time + machine.trouble.slow
    }

    /// Damages what is on a machine's disk; says whether there was anything to damage.
    pub fn damage(&mut self, index: NodeIndex, damage: Damage, rng: &mut Rng) -> bool {
        let disk = &self.machines[index.0].disk;
        let files = disk.written().into_iter();
        let is_segment = |path: &str| path.ends_with(".seg");
        let files = files.filter(|(path, bytes)| {
            let all = !matches!(damage, Damage::CutSegment | Damage::LostSegment);
            *bytes > 0 && (all || is_segment(path))
        });
        let files: Vec<(String, u64)> = files.collect();
        let total: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        if total == 0 {
            return false;
        }
        let mut place = rng.below(total);
        let mut found = files.into_iter();
        let hit = found.find_map(|(path, bytes)| {
            if place < bytes {
                return Some(path);
            }
            place -= bytes;
            None
        });
        let path = hit.expect("the place is below the sum of all");
        let is_off = self.machines[index.0].running.is_none();
        match (damage, disk) {
            (Damage::Bit, disk) => disk.flip(&path, place, 1 << rng.below(8)).is_ok(),
            (Damage::LostSegment, MachineDisk::Faulty(disk)) if is_off => {
                let directory = path.split('/').next().unwrap_or_default();
                disk.remove(&path).is_ok() && disk.sync_directory(directory).is_ok()
            }
            (Damage::CutSegment, MachineDisk::Faulty(disk)) if is_off => {
                disk.cut(&path, place).is_ok()
            }
            (Damage::Unreadable, MachineDisk::Faulty(_)) => {
                let first = place / SECTORS_LOST * SECTORS_LOST;
                let range = first..first + SECTORS_LOST;
                self.machines[index.0].unreadable = Some((path, range));
                self.set_faults(index, Faults::default());
                true
            }
            (Damage::LostWrite, MachineDisk::Faulty(_)) => {
                let more = Faults {
                    next_write_lost: true,
                    ..Faults::default()
                };
                self.set_faults(index, more);
                true
            }
            (Damage::MisdirectedWrite, MachineDisk::Faulty(_)) => {
                let more = Faults {
                    next_write_misdirected: Some(512 << rng.below(10)),
                    ..Faults::default()
                };
                self.set_faults(index, more);
                true
            }
            _ => false,
        }
    }

    /// Everything on a machine's disk can be read again.
    pub fn make_readable(&mut self, index: NodeIndex) {
        self.machines[index.0].unreadable = None;
        self.set_faults(index, Faults::default());
    }

    /// Changes how a machine's clock errs. It counts from the next start, because a process reads
    /// the clock once and then counts what passes.
    pub fn set_clock(&mut self, index: NodeIndex, clock: ClockError) {
        self.machines[index.0].clock = clock;
    }

    /// The latest time that any process of a machine has had from its clock.
    #[must_use]
    pub fn clock(&self, index: NodeIndex) -> Time {
        let machine = &self.machines[index.0];
        let running = machine.running.as_ref();
        let now = running.map(|running| running.clock.of_world(self.now));
        now.map_or(machine.clock_read, |now| now.max(machine.clock_read))
    }

    /// Whether a node runs.
    #[must_use]
    pub fn is_running(&self, index: NodeIndex) -> bool {
        self.machines[index.0].running.is_some()
    }

    /// Why a machine's directory did not open at its last start, if it did not.
    #[must_use]
    pub fn refused(&self, index: NodeIndex) -> Option<&str> {
        self.machines[index.0].refused.as_deref()
    }

    /// Whether a machine is what it seems to be.
    #[must_use]
    pub fn is_honest(&self, index: NodeIndex) -> bool {
        self.machines[index.0].is_honest
    }

    /// What a machine is called.
    #[must_use]
    pub fn name(&self, index: NodeIndex) -> &str {
        &self.machines[index.0].name
    }

    /// A machine's key.
    #[must_use]
    pub fn key(&self, index: NodeIndex) -> NodeKey {
        self.machines[index.0].identity.key()
    }

    /// How often a machine was started.
    #[must_use]
    pub fn life(&self, index: NodeIndex) -> u32 {
        self.machines[index.0].life
    }

    /// A machine's disk, for a checker that opens a copy of it or a test that damages it.
    #[must_use]
    pub fn disk(&self, index: NodeIndex) -> Arc<dyn Disk> {
        self.machines[index.0].disk.handle()
    }

    /// A copy of a machine's disk as a process that is started now would find it.
    #[must_use]
    pub fn disk_copy(&self, index: NodeIndex) -> MemoryDisk {
        match &self.machines[index.0].disk {
            MachineDisk::Plain(disk) => disk.copy(),
            MachineDisk::Faulty(disk) => disk.copy(),
        }
    }

    /// What a node is told at its start.
    #[must_use]
    pub fn node_config(&self, index: NodeIndex) -> &NodeConfig {
        &self.machines[index.0].config
    }

    /// What a machine shows to its peers.
    pub(super) fn record_of(&self, node: usize) -> NodeRecord {
        self.machines[node].config.record.clone()
    }

    /// Begins to record a node, with a new snapshot after `base_every` bytes. The node must be
    /// quiet; says whether it is.
    pub fn record(&mut self, index: NodeIndex, base_every: u64) -> bool {
        let running = self.machines[index.0].running.as_mut();
        let Some(running) = running.filter(|running| running.node.is_quiet()) else {
            return false;
        };
        running.pieces.clear();
        running.places = running.node.logged_blocks().collect();
        running.recorder = Some(Recorder::start(&running.node, base_every));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_run_there_and_back() {
        for drift_ppm in [-500_000, -200, 0, 1, 300, 2_000_000] {
            for skew in [-7_200_000_000, 0, 3] {
                let clock = NodeClock {
                    since: Time::from_millis(1_700_000_000_000),
                    error: ClockError {
                        skew_micros: skew,
                        drift_ppm,
                    },
                };
                for passed in [0, 1, 999, 60_000_000, 3_600_000_001] {
                    let world = clock.since + Span::from_micros(passed);
                    let said = clock.of_world(world);
                    let back = clock.to_world(said);
                    assert!(back <= world && clock.of_world(back) >= said);
                }
            }
        }
    }
}
