//! A script of 200 records for a store, and the model of what must be found after it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::super::scan::FRONT;
use super::*;
use crate::base::Rng;

/// The size of segments in it: every log begins several.
pub(super) const SEGMENT: u64 = 8 << 10;

/// One step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Append(Vec<Append>),
    Sync,
    Idle,
    Forget(Log, u64),
}

/// A script of the records with these numbers.
pub(super) fn script(numbers: Range<u64>) -> Vec<Step> {
    let mut rng = Rng::from_number(numbers.end);
    let mut steps = Vec::new();
    let mut number = numbers.start;
    while number < numbers.end {
        let count = (rng.below(5) + 1).min(numbers.end - number);
        let group = (0..count).map(|_| {
            number += 1;
            record(number, &mut rng)
        });
        steps.push(Step::Append(group.collect()));
        if rng.chance(1, 2) {
            steps.push(Step::Sync);
        }
        if rng.chance(1, 8) {
            steps.push(Step::Idle);
        }
        if rng.chance(1, 30) {
            steps.push(Step::Forget(Log::Blocks, rng.below(4)));
        }
        if rng.chance(1, 30) {
            steps.push(Step::Forget(Log::Journal, rng.below(4)));
        }
    }
    steps
}

/// A record that no other is like.
fn record(number: u64, rng: &mut Rng) -> Append {
    let log = Log::ALL[rng.below(4) as usize];
    let kind = match log {
        Log::Blocks if rng.chance(1, 3) => Kind::Tip,
        Log::Blocks => Kind::Block,
        Log::State => Kind::Checkpoint,
        Log::Journal => Kind::Accepted,
        _ => Kind::Vote,
    };
    let most = if rng.chance(1, 8) { 6_000 } else { 400 };
    let len = rng.below(most) as usize + 80;
    let mut body = vec![number as u8; len];
    body[..8].copy_from_slice(&number.to_le_bytes());
    Append::new(log, kind, body)
}

/// A record's body, and where it stands, if the store came to say so.
type Submitted = (Vec<u8>, Option<Lsn>);

/// What was asked of a store, what it said was done, and what must hold of what is found.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    /// Every record in its order.
    submitted: BTreeMap<Log, Vec<Submitted>>,
    /// How many of them are acknowledged.
    acked: BTreeMap<Log, usize>,
    /// The first segment that was asked to be kept.
    kept: BTreeMap<Log, u64>,
}

impl Model {
    /// Runs a script; stops at the first failure.
    pub(super) fn run(&mut self, store: &mut Store, steps: &[Step]) -> Result<(), Failure> {
        steps.iter().try_for_each(|step| self.step(store, step))
    }

    pub(super) fn step(&mut self, store: &mut Store, step: &Step) -> Result<(), Failure> {
        match step {
            Step::Append(records) => {
                let result = store.append(records);
                if let Err(Failure::Full { .. }) = result {
                    return result.map(|_| ());
                }
                let lsns = result.as_ref().map_or(&[][..], Vec::as_slice);
                for (at, record) in records.iter().enumerate() {
                    let submitted = self.submitted.entry(record.log).or_default();
                    submitted.push((record.body.clone(), lsns.get(at).copied()));
                }
                result?;
            }
            Step::Sync => {
                store.sync()?;
                for (log, submitted) in &self.submitted {
                    self.acked.insert(*log, submitted.len());
                }
            }
            Step::Idle => store.idle()?,
            Step::Forget(log, segment) => {
                let segment = (*segment).min(store.segment_of(*log, store.end(*log)));
                let kept = self.kept.entry(*log).or_default();
                *kept = segment.max(*kept);
                store.forget_before(*log, segment)?;
            }
        }
        Ok(())
    }

    /// Takes what was found as all there is: the rest was never acknowledged.
    pub(super) fn restart(&mut self, found: &Found) {
        for (log, submitted) in &mut self.submitted {
            let there = &found.0[log];
            let gone = gone(there, submitted);
            submitted.truncate(gone);
            submitted.extend(there.iter().map(|(lsn, body)| (body.clone(), Some(*lsn))));
            self.acked.insert(*log, submitted.len());
        }
    }

    /// acked is a part of found, found a part of submitted, and found is without gaps.
    pub(super) fn check(&self, found: &Found) {
        for (log, submitted) in &self.submitted {
            let there = &found.0[log];
            let gone = gone(there, submitted);
            let acked = self.acked.get(log).copied().unwrap_or(0);
            assert!(
                gone + there.len() >= acked,
                "{log:?} lost what it had acknowledged"
            );
            assert!(
                gone + there.len() <= submitted.len(),
                "{log:?} found too much"
            );
            for ((lsn, body), (sent, said)) in there.iter().zip(&submitted[gone..]) {
                assert_eq!(body, sent, "{log:?} has a hole");
                assert!(
                    said.is_none_or(|said| said == *lsn),
                    "{log:?} moved a record"
                );
            }
            if let Some((_, Some(lsn))) = submitted[..gone].last() {
                let kept = self.kept.get(log).copied().unwrap_or(0);
                assert!(lsn.get() < kept * SEGMENT, "{log:?} lost its start");
            }
        }
    }
}

/// How many of the submitted records went with forgotten segments, if anything is there.
fn gone(there: &[(Lsn, Vec<u8>)], submitted: &[Submitted]) -> usize {
    let Some((_, first)) = there.first() else {
        return 0;
    };
    let place = submitted.iter().position(|(body, _)| body == first);
    place.expect("what is found was submitted")
}

/// The records that a store shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found(pub(super) BTreeMap<Log, Vec<(Lsn, Vec<u8>)>>);

impl Found {
    pub(super) fn of(store: &mut Store) -> Self {
        let mut found = BTreeMap::new();
        for log in Log::ALL {
            let records: &mut Vec<_> = found.entry(log).or_default();
            let damage = store.replay(log, Lsn::new(0), |lsn, _, body| {
                records.push((lsn, body.to_vec()));
            });
            assert_eq!(damage, Ok(Vec::new()), "{log:?}");
            let mut whole = records.iter();
            let skimmed = store.skim(log, Lsn::new(0), |lsn, _, front| {
                let (at, body) = whole.next().expect("a skim shows no more");
                let shown = &body[..body.len().min(FRONT)];
                assert_eq!((lsn, front), (*at, shown), "{log:?}");
            });
            assert_eq!(skimmed, Ok(Vec::new()), "{log:?}");
            assert_eq!(whole.next(), None, "a skim shows no less");
        }
        Self(found)
    }
}

/// Opens what a crash left, and says what it found. It must go on working, too.
pub(super) fn open_and_check(disk: &MemoryDisk, model: &Model) -> Found {
    let (mut store, _) = Store::open(Arc::new(disk.clone()), &options(SEGMENT)).unwrap();
    let found = Found::of(&mut store);
    model.check(&found);
    drop(store);
    // The second start finds the same.
    let (mut store, recovered) = Store::open(Arc::new(disk.clone()), &options(SEGMENT)).unwrap();
    assert_eq!(recovered.notices, []);
    assert_eq!(Found::of(&mut store), found);
    found
}
