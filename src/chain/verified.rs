//! Which transactions' signatures were verified before, so that a block of transactions that
//! waited in the mempool costs no signature again.
//!
//! *Owns* a table of bounded size that the benches of one process share. *Invariants*: it holds
//! identities of bytes whose signatures were accepted on a chain, and nothing else. A wtxid covers
//! every byte of a transaction, its signatures included, and with the chain all that a verdict
//! depends on: the verdict on what is here is known, and what is not here is verified. So no
//! result of a job depends on what the table holds, in whichever order threads come to it, and it
//! is no part of a node's state. *Never* takes a txid, which does not cover signatures.

use parking_lot::RwLock;

use crate::types::{GenesisId, WtxId};

/// How many transactions it remembers, in 4 MiB: six times those of the greatest block.
const PLACES: usize = 1 << 17;
/// How many places a transaction may be in.
const WAYS: usize = 4;

/// The verified transactions of a process.
#[derive(Debug, Default)]
pub struct VerifiedCache {
    /// Groups of [`WAYS`] places, zero where nothing is; made with the first transaction.
    places: RwLock<Vec<Tag>>,
}

/// A transaction on a chain.
type Tag = [u8; 32];

const NOTHING: Tag = [0; 32];

/// The same bytes are another transaction on another chain, signed for neither or one of them.
/// Two hashes stand beside each other here, so that to find another pair with the same sum means
/// to find a transaction of a given wtxid.
fn tag(genesis: &GenesisId, wtxid: &WtxId) -> Tag {
    let mut tag = wtxid.0;
    for (byte, of_genesis) in tag.iter_mut().zip(genesis.0) {
        *byte ^= of_genesis;
    }
    tag
}

/// The first of the places that a transaction may be in, and which of them it takes when all are
/// taken. Whoever grinds wtxids that share places makes their own transactions cost more.
fn place(tag: &Tag) -> (usize, usize) {
    let [low, _, _, high] = tag.as_chunks::<8>().0 else {
        unreachable!("32 bytes are four times 8");
    };
    let group = u64::from_le_bytes(*low) as usize % (PLACES / WAYS);
    (group * WAYS, u64::from_le_bytes(*high) as usize % WAYS)
}

impl VerifiedCache {
    /// Which of `wtxids` are known to have good signatures on a chain.
    #[must_use]
    pub fn known<'a>(
        &self,
        genesis: &GenesisId,
        wtxids: impl Iterator<Item = &'a WtxId>,
    ) -> Vec<bool> {
        let places = self.places.read();
        wtxids
            .map(|wtxid| {
                let tag = tag(genesis, wtxid);
                let (first, _) = place(&tag);
                let group = places.get(first..first + WAYS);
                tag != NOTHING && group.is_some_and(|group| group.contains(&tag))
            })
            .collect()
    }

    /// Remembers transactions whose signatures were accepted on a chain.
    pub fn add<'a>(&self, genesis: &GenesisId, wtxids: impl Iterator<Item = &'a WtxId>) {
        let mut places = self.places.write();
        for wtxid in wtxids {
            if places.is_empty() {
                *places = vec![NOTHING; PLACES];
            }
            let tag = tag(genesis, wtxid);
            let (first, last_choice) = place(&tag);
            let group = &mut places[first..first + WAYS];
            if !group.contains(&tag) {
                let free = group.iter().position(|held| *held == NOTHING);
                group[free.unwrap_or(last_choice)] = tag;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::sha256;

    fn wtxids(count: u32) -> Vec<WtxId> {
        (0..count)
            .map(|number| WtxId(sha256(&number.to_le_bytes())))
            .collect()
    }

    #[test]
    fn it_knows_what_was_added_on_that_chain_and_nothing_else() {
        let (cache, wtxids) = (VerifiedCache::default(), wtxids(3_000));
        let (here, elsewhere) = (GenesisId([1; 32]), GenesisId([2; 32]));
        assert_eq!(cache.known(&here, wtxids.iter()), vec![false; 3_000]);
        cache.add(&here, wtxids[..1_000].iter());
        cache.add(&here, wtxids[500..1_500].iter());
        let known = cache.known(&here, wtxids.iter());
        assert!(known[..1_500].iter().all(|known| *known));
        assert!(!known[1_500..].contains(&true));
        assert!(!cache.known(&elsewhere, wtxids.iter()).contains(&true));
        // The tag of nothing is that of no transaction.
        assert_eq!(cache.known(&here, [WtxId(here.0)].iter()), vec![false]);
    }

    #[test]
    fn it_forgets_and_does_not_grow() {
        let (cache, genesis) = (VerifiedCache::default(), GenesisId::ZERO);
        let wtxids = wtxids(3 * PLACES as u32);
        cache.add(&genesis, wtxids.iter());
        assert_eq!(cache.places.read().len(), PLACES);
        let known = cache.known(&genesis, wtxids.iter());
        let known = known.into_iter().filter(|known| *known).count();
        assert!((PLACES * 9 / 10..=PLACES).contains(&known), "{known}");
        // The newest are there, but for those that took each other's place.
        let newest = cache.known(&genesis, wtxids[wtxids.len() - 1_000..].iter());
        assert!(newest.into_iter().filter(|known| *known).count() > 980);
    }
}
