//! How much is paid, and how.

use serde::{Deserialize, Serialize};

use crate::base::Rng;
use crate::sim::unfit::{Unfit, within, within_real};
use crate::types::MAX_SUPPLY;

/// Payments a second: more than a thousand nodes could take.
const RATE_MAX: u64 = 100_000;
/// Accounts of a kind: each takes a derived key before a run begins.
const ACCOUNTS_MAX: u64 = 1_000_000;
/// The money that accounts may have together: what is left of a chain's is for rewards, and for
/// adversaries that need some.
const MONEY_MAX: u64 = MAX_SUPPLY / 2;
/// Bytes that a transaction anchors: it must hold its signatures as well.
const DATA_BYTES_MAX: u64 = 12_000;

/// How much is paid, by whom, and how. Shares are in thousandths of all payments.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkloadOptions {
    /// Payments a second of virtual time, over all nodes together.
    pub rate: f64,
    /// Accounts of one key.
    pub accounts: u32,
    /// Accounts of several keys: 2 of 3 and 3 of 5 in turns.
    pub shared_accounts: u32,
    /// What each account has in the genesis, in base units.
    pub balance: u64,
    /// Payments to an account that does not exist, which pays in its turn later.
    pub fresh: u32,
    /// Transactions that anchor bytes and pay nobody.
    pub data: u32,
    /// Payments that replace one of the same account and nonce by paying more, half of them to
    /// somebody else.
    pub replacements: u32,
    /// Payments that expire within a few blocks more than nodes ask for.
    pub expiring: u32,
    /// Payments that are made twice at once, at two nodes, to two payees.
    pub double_spends: u32,
    /// Payments that break a rule, which no node may take.
    pub cheats: u32,
    /// Payments that are brought to the first node; the others go anywhere.
    pub at_first: u32,
    /// How many bytes a transaction anchors at most.
    pub data_bytes: u32,
}

impl Default for WorkloadOptions {
    /// A little of everything, for a network of some dozens of nodes.
    fn default() -> Self {
        Self {
            rate: 1.0,
            accounts: 200,
            shared_accounts: 40,
            balance: 1_000_000_000,
            fresh: 150,
            data: 50,
            replacements: 80,
            expiring: 80,
            double_spends: 40,
            cheats: 0,
            at_first: 0,
            data_bytes: 256,
        }
    }
}

impl WorkloadOptions {
    /// Whether somebody can pay like this.
    ///
    /// # Errors
    /// The first value that is out of its bounds.
    pub fn check(&self) -> Result<(), Unfit> {
        within_real("rate", self.rate, 0, RATE_MAX)?;
        within("accounts", self.accounts.into(), 0, ACCOUNTS_MAX)?;
        let shared = u64::from(self.shared_accounts);
        within("shared_accounts", shared, 0, ACCOUNTS_MAX)?;
        let all = u64::from(self.accounts) + shared;
        within("balance", self.balance, 1, MONEY_MAX / all.max(1))?;
        for (share, value) in [
            ("fresh", self.fresh),
            ("data", self.data),
            ("replacements", self.replacements),
            ("expiring", self.expiring),
            ("double_spends", self.double_spends),
            ("cheats", self.cheats),
            ("at_first", self.at_first),
        ] {
            within(share, value.into(), 0, 1_000)?;
        }
        within("data_bytes", self.data_bytes.into(), 1, DATA_BYTES_MAX)
    }

    /// Options drawn for one seed of a swarm: each is sometimes nothing and sometimes a lot.
    #[must_use]
    pub fn draw(rng: &mut Rng) -> Self {
        let mut share = |most: u64| match rng.below(4) {
            0 => 0,
            _ => rng.below(most + 1) as u32,
        };
        let (fresh, data) = (share(500), share(300));
        let (replacements, expiring, double_spends) = (share(300), share(300), share(300));
        let cheats = share(60);
        // Thousandths of a payment a second: from one in a hundred seconds to ten in one.
        let mut thousandths = match rng.below(3) {
            0 => 10 + rng.below(190),
            1 => 200 + rng.below(1_800),
            _ => 2_000 + rng.below(8_000),
        };
        // So many large ones at one node that its journal grows by many segments.
        let is_heavy = rng.chance(1, 8);
        let (at_first, data_bytes) = if is_heavy { (800, 6_000) } else { (0, 256) };
        let data = if is_heavy { 300 + data } else { data };
        if is_heavy {
            thousandths = thousandths.max(5_000);
        }
        Self {
            rate: thousandths as f64 / 1_000.0,
            accounts: 1 + rng.below(60) as u32,
            shared_accounts: rng.below(20) as u32,
            balance: [200_000, 10_000_000, 1_000_000_000][rng.below(3) as usize],
            fresh,
            data,
            replacements,
            expiring,
            double_spends,
            cheats,
            at_first,
            data_bytes,
        }
    }
}
