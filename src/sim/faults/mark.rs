//! Names of what went wrong in a run, so that a report can say which of it never did.

use std::collections::BTreeMap;

macro_rules! marks {
    ($($(#[$doc:meta])* $variant:ident $name:literal;)*) => {
        /// Something that happened to a world. Every fault that fires leaves its mark, and so do
        /// the rare situations that faults are there to bring about: one that no seed of a
        /// thousand reaches is a defect of the swarm.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mark {
            $($(#[$doc])* $variant,)*
        }

        impl Mark {
            /// Every mark.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// What reports call it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

marks! {
    /// A process was killed; what it had written is there.
    Kill "kill";
    /// A process was killed in the midst of a group of records, of which a part was written.
    KillInWrite "kill-in-write";
    /// A process was killed again and again, each time soon after its start.
    CrashLoop "crash-loop";
    /// The power went, and changed nothing of what was on the disk or on its way there.
    PowerCut "power-cut";
    /// The power went; of writes that were not synced nothing is left.
    PowerCutNothing "power-cut-nothing";
    /// The power went; all writes are left, also those that were not synced.
    PowerCutEverything "power-cut-everything";
    /// The power went; the first writes to each file are left, and one of the last is torn.
    PowerCutPrefix "power-cut-prefix";
    /// The power went; any sectors of writes are left, of one of them some and not all.
    PowerCutSectors "power-cut-sectors";
    /// The power went; any writes are left: some and not all, or in another order.
    PowerCutReordered "power-cut-reordered";
    /// The power went everywhere at once.
    Blackout "blackout";
    /// A process was stopped and went on later.
    Pause "pause";
    /// A bit of a disk turned.
    BitFlip "bit-flip";
    /// Bytes of a disk could not be read when they were wanted.
    Unreadable "unreadable";
    /// A write never came to its disk, or came to a wrong place, and nothing said so.
    StrayedWrite "strayed-write";
    /// While a process was down, its disk lost the end of a segment.
    CutSegment "cut-segment";
    /// While a process was down, its disk lost a segment.
    LostSegment "lost-segment";
    /// A disk had no space when some was wanted.
    DiskFull "disk-full";
    /// A disk took part of what it was given.
    ShortWrites "short-writes";
    /// A disk took long to sync.
    SlowDisk "slow-disk";
    /// A disk failed to sync.
    FailingSync "failing-sync";
    /// A segment was lost on the lines.
    Loss "loss";
    /// Messages went through the transports of both ends.
    SealedFrames "sealed-frames";
    /// Every node reached its own verdicts.
    OwnVerdicts "own-verdicts";
    /// Threads did the jobs, beside the loop.
    Threads "threads";
    /// The network fell in two.
    Split "split";
    /// One side of a split was not heard by the other.
    SplitOneWay "split-one-way";
    /// A node was cut off from all others.
    Isolated "isolated";
    /// One node did not hear another.
    PairOneWay "pair-one-way";
    /// A cut was mended, and came again.
    Flapping "flapping";
    /// A node's clock is off, by no more than the rules bear.
    ClockSkew "clock-skew";
    /// A node's clock runs too fast or too slow.
    ClockDrift "clock-drift";
    /// A node's clock is off by more than the rules bear.
    ClockWrong "clock-wrong";
    /// A process began whose machine's clock had been set anew.
    ClockJump "clock-jump";
    /// A node was away for long.
    Leave "leave";
    /// A node came late and had everything to fetch.
    Join "join";
    /// A process ended by itself.
    Ended "ended";
    /// A directory did not open.
    Refused "refused";
    /// An operator gave a node an empty disk.
    Wiped "wiped";
    /// A node told of damage in its logs.
    Damaged "damaged-log";
    /// A node noticed that its disk is full.
    FullSeen "disk-full-noticed";
    /// A node parked a branch.
    Parked "parked";
    /// A node left at least one block for a better branch.
    Reorganised "reorganised";
    /// A node left at least four blocks for a better branch.
    ReorganisedDeep "reorganised-deep";
    /// A node made a checkpoint.
    Checkpoint "checkpoint";
    /// A node found a block invalid.
    InvalidBlock "invalid-block";
    /// A node discouraged a peer.
    Discouraged "discouraged";
    /// A promised transaction was replaced by its account.
    Replaced "replaced";
    /// A promised transaction lost its nonce to the other of two that were made at once.
    DoubleSpent "double-spent";
    /// A promised transaction expired.
    Expired "expired";
    /// A node's mempool was full: something had to go or was refused for room.
    MempoolFull "mempool-full";
    /// A promised transaction had to go for room, or one before it.
    Evicted "evicted";
    /// The recording of a node was replayed.
    Replayed "replayed";
}

/// How often each mark was left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    counts: BTreeMap<&'static str, u64>,
}

impl Marks {
    /// Leaves a mark.
    pub fn add(&mut self, mark: Mark) {
        self.add_named(mark.name(), 1);
    }

    /// Leaves a mark of somebody else so often, as adversaries do.
    pub fn add_named(&mut self, name: &'static str, times: u64) {
        *self.counts.entry(name).or_default() += times;
    }

    /// Takes in what another run left.
    pub fn join(&mut self, other: &Self) {
        for (name, times) in &other.counts {
            self.add_named(name, *times);
        }
    }

    /// Each mark that was left, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.counts.iter().map(|(name, times)| (*name, *times))
    }

    /// Marks of [`Mark::ALL`] that were never left.
    pub fn missing(&self) -> impl Iterator<Item = Mark> + '_ {
        let all = Mark::ALL.iter().copied();
        all.filter(|mark| !self.counts.contains_key(mark.name()))
    }
}
