//! Payments.

use crate::crypto::ed25519::{SecretKey, Signature};
use crate::types::{
    AccountId, Amount, Auth, Descriptor, GenesisId, Height, Nonce, Op, Transaction,
};

/// A payment by an account of one key, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The payer's transactions so far.
    pub nonce: Nonce,
    /// All that the payer gives beyond the amount.
    pub fee: Amount,
    /// The last height at which it may be included; 0 for any.
    pub expiry: Height,
    /// Who receives.
    pub to: AccountId,
    /// How much.
    pub amount: Amount,
}

impl Payment {
    /// The account that pays when `key` signs.
    #[must_use]
    pub fn payer(key: &SecretKey) -> AccountId {
        Descriptor::Single(key.public_key()).account_id()
    }

    /// The payment as a transaction on the chain of `genesis`, signed by `key`.
    #[must_use]
    pub fn sign(&self, key: &SecretKey, genesis: &GenesisId) -> Transaction {
        let mut transaction = Transaction {
            nonce: self.nonce,
            fee: self.fee,
            expiry: self.expiry,
            ops: vec![Op::Transfer {
                to: self.to,
                amount: self.amount,
            }],
            auth: Auth::Single {
                key: key.public_key(),
                signature: Signature([0; 64]),
            },
        };
        // What is signed names the key and not the signature, so it is known before.
        let sighash = transaction.txid(genesis);
        transaction.auth = Auth::Single {
            key: key.public_key(),
            signature: key.sign(sighash.as_bytes()),
        };
        transaction
    }
}

/// The weight of a payment by one key to one account.
const PAYMENT_WEIGHT: u64 = 200;

/// The least fee of a payment at a base fee, with room for the base fee to rise for `blocks` full
/// blocks in a row, and what creating the payee's account burns if it is new.
#[must_use]
pub fn least_fee(base_fee: u64, blocks: u32, account_fee: u64, creates: bool) -> Amount {
    let mut base_fee = u128::from(base_fee);
    if base_fee > 0 {
        for _ in 0..blocks {
            base_fee += (base_fee / 8).max(1);
        }
    }
    let base = (base_fee * u128::from(PAYMENT_WEIGHT)).div_ceil(1_000);
    let account = if creates { u128::from(account_fee) } else { 0 };
    Amount(u64::try_from(base + account).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::ed25519::verify;

    #[test]
    fn a_signed_payment_is_one_by_the_payer_on_this_chain_only() {
        let key = SecretKey::from_seed(&[7; 32]);
        let payment = Payment {
            nonce: Nonce(3),
            fee: Amount(200),
            expiry: Height(0),
            to: AccountId([9; 32]),
            amount: Amount(5),
        };
        let genesis = GenesisId([1; 32]);
        let signed = payment.sign(&key, &genesis);
        assert_eq!(signed.sender(), Payment::payer(&key));
        assert_eq!(signed.weight().0, PAYMENT_WEIGHT);
        let (by, signature) = signed.auth.signatures().next().unwrap();
        assert!(verify(&by, signed.txid(&genesis).as_bytes(), &signature));
        let elsewhere = signed.txid(&GenesisId([2; 32]));
        assert!(!verify(&by, elsewhere.as_bytes(), &signature));
    }

    #[test]
    fn the_least_fee_follows_the_rule() {
        assert_eq!(least_fee(1_000, 0, 10_000, false), Amount(200));
        assert_eq!(least_fee(1_000, 1, 10_000, true), Amount(225 + 10_000));
        assert_eq!(least_fee(1, 0, 0, false), Amount(1));
        assert_eq!(least_fee(0, 5, 0, true), Amount(0));
        assert_eq!(least_fee(u64::MAX, 99, 1, true), Amount(u64::MAX));
    }
}
