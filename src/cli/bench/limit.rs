//! What limits synchronisation: two threads that do nothing but verify the same signatures.

use std::thread;
use std::time::Duration;

use crate::crypto::ed25519::{Item, KeyCache, verify_batch};

use super::super::CommandError;
use super::chain::Signed;
use super::clock;
use super::place::own_cpu;

/// A node on two cores verifies on both.
pub(super) const THREADS: usize = 2;
/// The sizes of batches that are tried.
const BATCHES: [usize; 4] = [128, 256, 512, 1_024];
/// How many signatures each size is tried on.
const TRIED: usize = 8_192;
/// No account pays twice, so that a cache of keys would only cost.
const CACHED_KEYS: usize = 1;

/// How long nothing but the signatures take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// The size of a batch.
    pub(super) batch: usize,
    /// From the start of the threads to the end of both.
    pub(super) wall: Duration,
    /// What both spent.
    pub(super) cpu: Duration,
}

/// The size of batches that is fastest here.
pub(super) fn best_batch(signatures: &[Signed]) -> Result<usize, CommandError> {
    let tried = &signatures[..signatures.len().min(TRIED)];
    let mut best = (Duration::MAX, BATCHES[0]);
    for batch in BATCHES {
        let begun = clock();
        verify(tried, batch)?;
        best = best.min((begun.elapsed(), batch));
    }
    Ok(best.1)
}

/// Verifies all signatures on two threads, each half of them.
pub(super) fn measure(signatures: &[Signed], batch: usize) -> Result<Limit, CommandError> {
    let (begun, before) = (clock(), own_cpu()?);
    let share = signatures.len().div_ceil(THREADS).max(1);
    let verified = thread::scope(|scope| {
        let threads: Vec<_> = signatures
            .chunks(share)
            .map(|part| scope.spawn(move || verify(part, batch)))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|result| result.expect("a verification does not panic"))
            .collect::<Result<Vec<()>, _>>()
    });
    verified?;
    Ok(Limit {
        batch,
        wall: begun.elapsed(),
        cpu: own_cpu()?.saturating_sub(before),
    })
}

fn verify(signatures: &[Signed], batch: usize) -> Result<(), CommandError> {
    let mut cache = KeyCache::new(CACHED_KEYS);
    let mut items = Vec::with_capacity(batch);
    // Even batches, so that none is smaller than the rest.
    let count = signatures.len().div_ceil(batch).max(1);
    let size = signatures.len().div_ceil(count).max(1);
    for part in signatures.chunks(size) {
        items.clear();
        items.extend(part.iter().map(|signed| Item {
            key: signed.key,
            message: &signed.message.0,
            signature: signed.signature,
        }));
        // The weights of a batch need not be secret where nobody attacks.
        if verify_batch(&items, &mut cache, &[7; 32]).contains(&false) {
            return Err(CommandError::failed(
                "a signature of the chain is not accepted",
            ));
        }
    }
    Ok(())
}
