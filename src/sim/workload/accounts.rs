//! Accounts whose keys the simulation holds.

use crate::base::Rng;
use crate::crypto::ed25519::{PublicKey, SecretKey, Signature};
use crate::types::{
    AccountId, Amount, Auth, Descriptor, GenesisId, Height, Nonce, Op, Transaction, Weight,
};

/// An account with all its keys, derived once.
#[derive(Clone, Debug)]
pub struct Account {
    descriptor: Descriptor,
    id: AccountId,
    /// In the order of the public keys.
    secrets: Vec<SecretKey>,
}

impl Account {
    /// An account of one key, drawn.
    #[must_use]
    pub fn single(rng: &mut Rng) -> Self {
        Self::of(SecretKey::from_seed(&rng.bytes32()))
    }

    /// The account of one key.
    #[must_use]
    pub fn of(secret: SecretKey) -> Self {
        let descriptor = Descriptor::Single(secret.public_key());
        Self {
            id: descriptor.account_id(),
            descriptor,
            secrets: vec![secret],
        }
    }

    /// An account of which `threshold` of so many keys sign, drawn.
    ///
    /// # Panics
    /// When no account has so many keys.
    #[must_use]
    pub fn shared(rng: &mut Rng, threshold: u8, keys: u8) -> Self {
        assert!(
            (2..=16).contains(&keys) && (1..=keys).contains(&threshold),
            "an account has 2 to 16 keys, and 1 to all of them sign"
        );
        let secrets = (0..keys).map(|_| SecretKey::from_seed(&rng.bytes32()));
        let mut pairs: Vec<(PublicKey, SecretKey)> = secrets
            .map(|secret| (secret.public_key(), secret))
            .collect();
        pairs.sort_by_key(|(key, _)| key.0);
        let (keys, secrets) = pairs.into_iter().unzip();
        let descriptor = Descriptor::Multi { threshold, keys };
        Self {
            id: descriptor.account_id(),
            descriptor,
            secrets,
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> AccountId {
        self.id
    }

    /// How many keys sign.
    #[must_use]
    pub const fn threshold(&self) -> u8 {
        match &self.descriptor {
            Descriptor::Single(_) => 1,
            Descriptor::Multi { threshold, .. } => *threshold,
        }
    }

    /// The weight of a transaction of this account with these operations.
    #[must_use]
    pub fn weight(&self, ops: &[Op]) -> Weight {
        self.unsigned(Nonce(0), Amount(0), Height(0), ops.to_vec(), 0)
            .weight()
    }

    /// A signed transaction. Where only some of the keys sign, `rng` says which.
    #[must_use]
    pub fn sign(
        &self,
        genesis: &GenesisId,
        nonce: Nonce,
        fee: Amount,
        expiry: Height,
        ops: Vec<Op>,
        rng: &mut Rng,
    ) -> Transaction {
        let mut places: Vec<usize> = (0..self.secrets.len()).collect();
        if places.len() > 1 {
            rng.shuffle(&mut places);
        }
        places.truncate(usize::from(self.threshold()));
        places.sort_unstable();
        let signing = places.iter().fold(0, |bits, place| bits | 1_u16 << place);
        let mut transaction = self.unsigned(nonce, fee, expiry, ops, signing);
        let sighash = transaction.txid(genesis);
        let mut made = places
            .iter()
            .map(|place| self.secrets[*place].sign(sighash.as_bytes()));
        match &mut transaction.auth {
            Auth::Single { signature, .. } => {
                *signature = made.next().expect("an account of one key has one secret");
            }
            Auth::Multi { signatures, .. } => *signatures = made.collect(),
        }
        transaction
    }

    fn unsigned(
        &self,
        nonce: Nonce,
        fee: Amount,
        expiry: Height,
        ops: Vec<Op>,
        signers: u16,
    ) -> Transaction {
        let blank = Signature([0; 64]);
        let auth = match &self.descriptor {
            Descriptor::Single(key) => Auth::Single {
                key: *key,
                signature: blank,
            },
            Descriptor::Multi { threshold, keys } => Auth::Multi {
                threshold: *threshold,
                keys: keys.clone(),
                signers,
                signatures: vec![blank; usize::from(*threshold)],
            },
        };
        Transaction {
            nonce,
            fee,
            expiry,
            ops,
            auth,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Decode, Encode};
    use crate::crypto::ed25519::verify;

    #[test]
    fn what_an_account_signs_is_its_own_and_verifies() {
        let mut rng = Rng::from_number(5);
        let genesis = GenesisId([3; 32]);
        let accounts = [
            Account::single(&mut rng),
            Account::shared(&mut rng, 2, 3),
            Account::shared(&mut rng, 3, 5),
        ];
        for (account, weight) in accounts.iter().zip([200, 368, 532]) {
            let ops = vec![Op::Transfer {
                to: AccountId([9; 32]),
                amount: Amount(5),
            }];
            assert_eq!(account.weight(&ops), Weight(weight));
            let signed = account.sign(&genesis, Nonce(4), Amount(7), Height(0), ops, &mut rng);
            assert_eq!(signed.sender(), account.id());
            assert_eq!(signed.weight(), Weight(weight));
            assert_eq!(Transaction::from_bytes(&signed.to_bytes()).unwrap(), signed);
            let sighash = signed.txid(&genesis);
            assert_eq!(
                signed.auth.signatures().count(),
                usize::from(account.threshold())
            );
            for (key, signature) in signed.auth.signatures() {
                assert!(verify(&key, sighash.as_bytes(), &signature));
            }
        }
    }
}
