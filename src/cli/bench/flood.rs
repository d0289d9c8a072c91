//! Work for all workers: transactions of sixteen signatures, of which the last is wrong. Each is
//! refused, so that there is no end of them, and no sooner than its signatures are verified.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::base::encode_hex;
use crate::cli::CommandError;
use crate::codec::Encode;
use crate::crypto::ed25519::{PublicKey, SecretKey, Signature};
use crate::crypto::hash::sha256_parts;
use crate::rpc::client::{Client, ClientError};
use crate::types::{
    AccountId, Amount, Auth, Descriptor, GenesisId, Height, Nonce, Op, Transaction,
};

/// The most signatures that an account can ask for.
const SIGNERS: u8 = 16;
/// Transactions handed over at once.
const AT_ONCE: usize = 96;
/// What they would pay, far more than is asked.
const FEE: Amount = Amount(1_000_000);

/// What the account of the flood holds.
pub(super) const BALANCE: Amount = Amount(1 << 40);

/// The keys in their order.
fn keys() -> Vec<SecretKey> {
    let key = |number: u8| SecretKey::from_seed(&sha256_parts(&[b"keel bench signer ", &[number]]));
    let mut keys: Vec<SecretKey> = (0..SIGNERS).map(key).collect();
    keys.sort_by_key(SecretKey::public_key);
    keys
}

fn public_keys() -> Vec<PublicKey> {
    keys().iter().map(SecretKey::public_key).collect()
}

/// The account that the flood comes from.
pub(super) fn account() -> AccountId {
    let descriptor = Descriptor::Multi {
        threshold: SIGNERS,
        keys: public_keys(),
    };
    descriptor.account_id()
}

/// The transaction with all its signatures, each good.
fn transaction(genesis: &GenesisId) -> Transaction {
    let mut transaction = Transaction {
        nonce: Nonce(0),
        fee: FEE,
        expiry: Height(0),
        ops: vec![Op::Transfer {
            to: account(),
            amount: Amount(1),
        }],
        auth: Auth::Multi {
            threshold: SIGNERS,
            keys: public_keys(),
            signers: u16::MAX,
            signatures: vec![Signature([0; 64]); usize::from(SIGNERS)],
        },
    };
    let message = transaction.txid(genesis);
    if let Auth::Multi { signatures, .. } = &mut transaction.auth {
        let sign = |key: &SecretKey| key.sign(&message.0);
        *signatures = keys().iter().map(sign).collect();
    }
    transaction
}

/// The bytes of the `number`-th transaction in hex: the low half of the last signature's number
/// is another in each.
fn spoilt(bytes: &[u8], number: u64) -> String {
    let mut bytes = bytes.to_vec();
    // The last signature ends the transaction: 32 bytes of a point, 32 of a number.
    let at = bytes.len() - 32;
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
    encode_hex(&bytes)
}

/// Hands over transactions until `stop` is set, and gives how many were refused for their
/// signatures. `thread` of `threads` tries others than the rest.
pub(super) fn flood(
    mut client: Client,
    genesis: &GenesisId,
    (thread, threads): (u64, u64),
    stop: &AtomicBool,
) -> Result<u64, CommandError> {
    let bytes = transaction(genesis).to_bytes();
    let (mut number, mut refused) = (thread, 0);
    while !stop.load(Ordering::Relaxed) {
        let mut calls: Vec<(&str, Value)> = Vec::with_capacity(AT_ONCE);
        for _ in 0..AT_ONCE {
            calls.push(("sendrawtransaction", json!([spoilt(&bytes, number)])));
            number += threads;
        }
        let answers = client.call_batch(&calls).map_err(|error| failed(&error))?;
        for answer in answers {
            let said = match answer {
                Ok(answer) => format!("accepted: {answer}"),
                Err(error) => error.to_string(),
            };
            if !said.contains("signature") {
                return Err(CommandError::failed(format!(
                    "a transaction with a wrong signature was answered: {said}"
                )));
            }
            refused += 1;
        }
    }
    Ok(refused)
}

fn failed(error: &ClientError) -> CommandError {
    CommandError::failed(format!("the flood ended: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Decode;
    use crate::crypto::ed25519::verify;

    #[test]
    fn only_the_last_signature_is_wrong() {
        let genesis = GenesisId([7; 32]);
        let good = transaction(&genesis);
        let message = good.txid(&genesis);
        let spoilt = crate::base::decode_hex(&spoilt(&good.to_bytes(), 5)).unwrap();
        let spoilt = Transaction::from_bytes(&spoilt).unwrap();
        assert_eq!(spoilt.txid(&genesis), message);
        assert_eq!(spoilt.sender(), account());
        let verdicts = |transaction: &Transaction| -> Vec<bool> {
            let of = transaction.auth.signatures();
            of.map(|(key, signature)| verify(&key, &message.0, &signature))
                .collect()
        };
        assert_eq!(verdicts(&good), [true; 16]);
        assert_eq!(verdicts(&spoilt)[..15], [true; 15]);
        assert!(!verdicts(&spoilt)[15]);
    }
}
