//! Transactions that came before those of their account that go first.
//!
//! An account's transactions travel over several peers at once, so that a later one may arrive
//! before an earlier one. It is not invalid, and who announced it does not announce it again: it
//! waits here, as bytes, until the one before it is accepted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::types::{AccountId, Nonce, Transaction};

use super::{Bounded, ConnId};

/// How far ahead of its account's next nonce a transaction may be: as many may wait in the mempool.
const AHEAD_MAX: u64 = 64;
/// Bytes of all that wait. Beyond it the oldest goes: it is nobody's promise.
const BYTES_MAX: usize = 4 << 20;

type Place = (AccountId, Nonce);

/// The transactions that wait for others.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Early {
    /// Each with its number and who sent it.
    waiting: BTreeMap<Place, (u64, ConnId, Transaction)>,
    /// The same by number.
    order: BTreeMap<u64, Place>,
    next: u64,
    bytes: usize,
}

impl Early {
    /// Keeps a transaction of an account whose next nonce is `next`, unless it is too far ahead or
    /// another one has its place.
    pub fn insert(&mut self, from: ConnId, sender: AccountId, next: Nonce, late: Transaction) {
        let (place, bytes) = ((sender, late.nonce), late.encoded_len());
        let is_near = (next.0 + 1..=next.0 + AHEAD_MAX).contains(&late.nonce.0);
        if !is_near || self.waiting.contains_key(&place) {
            return;
        }
        self.waiting.insert(place, (self.next, from, late));
        self.order.insert(self.next, place);
        self.next += 1;
        self.bytes += bytes;
        while self.bytes > BYTES_MAX
            && let Some((sender, nonce)) = self.order.values().next().copied()
        {
            self.take(&sender, nonce);
        }
    }

    /// Takes the transaction of an account and nonce.
    pub fn take(&mut self, sender: &AccountId, nonce: Nonce) -> Option<(ConnId, Transaction)> {
        let (number, from, taken) = self.waiting.remove(&(*sender, nonce))?;
        self.order.remove(&number);
        self.bytes -= taken.encoded_len();
        Some((from, taken))
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The bytes of those that wait.
    #[must_use]
    pub const fn bytes(&self) -> Bounded {
        Bounded {
            what: "bytes of transactions that came early",
            held: self.bytes,
            limit: BYTES_MAX,
        }
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing::{genesis, pay, person};

    const BOB: ConnId = ConnId(1);

    fn account(number: u32) -> AccountId {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        AccountId(bytes)
    }

    fn transaction(nonce: u64) -> Transaction {
        let rich = person(1);
        pay(
            &genesis(&[&rich], 1_000),
            &rich,
            (nonce, 5),
            rich.account,
            1,
        )
    }

    #[test]
    fn each_waits_in_its_place_until_it_is_taken() {
        let (mut early, sender) = (Early::default(), account(1));
        for nonce in [3, 5, 3] {
            early.insert(BOB, sender, Nonce(2), transaction(nonce));
        }
        assert_eq!(early.len(), 2);
        assert_eq!(early.take(&sender, Nonce(4)), None);
        assert_eq!(early.take(&account(2), Nonce(3)), None);
        assert_eq!(early.take(&sender, Nonce(3)), Some((BOB, transaction(3))));
        assert_eq!(early.take(&sender, Nonce(3)), None);
        early.take(&sender, Nonce(5));
        assert!(early.is_empty() && early.order.is_empty() && early.bytes == 0);
    }

    #[test]
    fn what_is_too_far_ahead_does_not_wait_and_the_oldest_makes_room() {
        let mut early = Early::default();
        for nonce in [0, 2, 67, 1_000] {
            early.insert(BOB, account(0), Nonce(2), transaction(nonce));
        }
        assert!(early.is_empty());
        let bytes = transaction(66).encoded_len();
        let room = BYTES_MAX / bytes;
        for number in 0..room as u32 + 10 {
            early.insert(BOB, account(number), Nonce(2), transaction(66));
        }
        assert_eq!((early.len(), early.bytes), (room, room * bytes));
        assert!(early.take(&account(9), Nonce(66)).is_none());
        assert!(early.take(&account(10), Nonce(66)).is_some());
    }
}
