//! The keys of a devnet and the genesis that funds them.

use crate::crypto::ed25519::SecretKey;
use crate::crypto::hash::sha256_parts;
use crate::types::{
    AccountId, Amount, Descriptor, EngineKind, EngineRules, Genesis, Millis, Profile,
};

use super::plan;

/// The fewest payers, so that payments are spread over accounts as on a real chain.
const PAYERS_MIN: usize = 1_000;
/// Payers for each payment per second: a payer makes its next payment when its last one is in a
/// block, which takes 20 seconds only when something is wrong.
const PAYERS_PER_TPS: usize = 20;

const FAUCET_AMOUNT: u64 = 1_000_000_000_000_000_000;
/// Enough for a payer to go on for weeks without being paid.
const PAYER_AMOUNT: u64 = 10_000_000_000_000;

/// A key and its account.
pub(super) struct Account {
    pub(super) key: SecretKey,
    pub(super) id: AccountId,
}

/// The account of a role, the same for the same seed.
fn account(seed: u64, role: &str, number: usize) -> Account {
    let number = number as u64;
    let secret = sha256_parts(&[
        b"keel devnet ",
        role.as_bytes(),
        &seed.to_le_bytes(),
        &number.to_le_bytes(),
    ]);
    let key = SecretKey::from_seed(&secret);
    let id = Descriptor::Single(key.public_key()).account_id();
    Account { key, id }
}

/// The account that people may pay from.
pub(super) fn faucet(seed: u64) -> Account {
    account(seed, "faucet", 0)
}

/// The account that a node's block rewards go to.
pub(super) fn miner(seed: u64, node: usize) -> Account {
    account(seed, "miner", node)
}

/// As many payers as payments at `tps` need.
pub(super) fn payers(seed: u64, tps: u32) -> Vec<Account> {
    let count = PAYERS_MIN.max(PAYERS_PER_TPS * tps as usize);
    (0..count)
        .map(|number| account(seed, "payer", number))
        .collect()
}

/// The chain's beginning: the dev profile, with a target for these miners.
pub(super) fn genesis(
    nodes: usize,
    hashrate: u64,
    time: Millis,
    faucet: &Account,
    payers: &[Account],
) -> Genesis {
    let mut genesis = Profile::Dev.genesis(EngineKind::Work, "devnet", time);
    let interval_ms = genesis.rules.interval_ms;
    if let EngineRules::Work {
        pow_bits,
        pow_limit,
        ..
    } = &mut genesis.rules.engine
    {
        let wanted = plan::target_for(nodes, hashrate, interval_ms);
        *pow_bits = if wanted.target() > pow_limit.target() {
            *pow_limit
        } else {
            wanted
        };
    }
    let payers = payers.iter().map(|payer| (payer.id, Amount(PAYER_AMOUNT)));
    genesis.allocations = payers.chain([(faucet.id, Amount(FAUCET_AMOUNT))]).collect();
    genesis.allocations.sort_unstable();
    genesis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_genesis_keeps_its_rules() {
        for (nodes, hashrate, tps) in [(1, 1, 0), (4, 2_000, 50), (64, 100_000, 100)] {
            let payers = payers(7, tps);
            let genesis = genesis(nodes, hashrate, Millis(1), &faucet(7), &payers);
            assert_eq!(genesis.check(), Ok(()));
            assert!(payers.len() >= PAYERS_MIN && payers.len() >= 20 * tps as usize);
            assert_eq!(genesis.allocations.len(), payers.len() + 1);
        }
    }

    #[test]
    fn keys_follow_the_seed() {
        assert_eq!(faucet(1).id, faucet(1).id);
        assert_ne!(faucet(1).id, faucet(2).id);
        assert_ne!(miner(1, 0).id, miner(1, 1).id);
        assert_ne!(payers(1, 1)[0].id, miner(1, 0).id);
    }
}
