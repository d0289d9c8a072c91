//! SHA-256, the one hash function of keel outside Ed25519.

use sha2::Digest;

/// What every hash of keel's own begins with, so that no two kinds of preimage share a hash.
pub mod domain {
    /// Account ids, over the descriptor of the account's keys.
    pub const ACCOUNT: &[u8] = b"keel/acct/1";
    /// The hash that a transaction's signatures sign, which is also its txid.
    pub const TRANSACTION: &[u8] = b"keel/tx/1";
    /// The wtxid, over all bytes of a transaction.
    pub const WITNESS_TRANSACTION: &[u8] = b"keel/wtx/1";
    /// The genesis id.
    pub const GENESIS: &[u8] = b"keel/genesis/1";
    /// Keys of the state tree.
    pub const STATE_KEY: &[u8] = b"keel/state/1";
    /// Inner nodes of the history tree.
    pub const HISTORY_NODE: &[u8] = b"keel/mmr/node/1";
    /// The root of the history tree, over its peaks.
    pub const HISTORY_ROOT: &[u8] = b"keel/mmr/root/1";
    /// The prologue of the transport.
    pub const TRANSPORT: &[u8] = b"keel/p2p/1";
    /// What a node signs in its record.
    pub const RECORD: &[u8] = b"keel/record/1";
    /// What a validator or operator signs for a record.
    pub const VOUCH: &[u8] = b"keel/vouch/1";
    /// Kademlia ids.
    pub const KADEMLIA: &[u8] = b"keel/kad/1";
    /// The puzzle on node ids.
    pub const PUZZLE: &[u8] = b"keel/puzzle/1";
    /// What a validator signs in a vote.
    pub const VOTE: &[u8] = b"keel/vote/1";
    /// The proof of possession of a consensus key.
    pub const POSSESSION: &[u8] = b"keel/pop/1";
    /// The seed that leaders are drawn from.
    pub const LEADER_SEED: &[u8] = b"keel/seed/1";
    /// The weights of batch verification.
    pub const BATCH: &[u8] = b"keel/batch/1";
}

/// The SHA-256 of bytes that come piece by piece.
#[derive(Clone, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// The hash of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A hash that has taken in `domain`.
    #[must_use]
    pub fn with_domain(domain: &[u8]) -> Self {
        let mut hash = Self::new();
        hash.update(domain);
        hash
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of everything taken in.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// The SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}

/// The SHA-256 of the SHA-256 of `bytes`: block ids.
#[must_use]
pub fn sha256d(bytes: &[u8]) -> [u8; 32] {
    sha256(&sha256(bytes))
}

/// The SHA-256 of `parts` one behind the other.
#[must_use]
pub fn sha256_parts(parts: &[&[u8]]) -> [u8; 32] {
    hash_domain(b"", parts)
}

/// The SHA-256 of `domain` and then `parts`, one behind the other with nothing between.
#[must_use]
pub fn hash_domain(domain: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::with_domain(domain);
    for part in parts {
        hash.update(part);
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::encode_hex;

    #[test]
    fn published_values() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(encode_hex(&sha256(b"")), empty);
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(encode_hex(&sha256(b"abc")), abc);
        let hello_twice = "9595c9df90075148eb06860365df33584b75bff782a510c6cd4883a419833d50";
        assert_eq!(encode_hex(&sha256d(b"hello")), hello_twice);
    }

    #[test]
    fn an_account_id_is_a_hash_with_a_domain() {
        // The account of the single key 00 01 .. 1f: auth kind 0, then the key.
        let key: Vec<u8> = (0..32).collect();
        let id = "6f4c96f572a0415c80cd115aed47a29a11dc06fe68dfad982a62d11a72f9878a";
        assert_eq!(encode_hex(&hash_domain(domain::ACCOUNT, &[&[0], &key])), id);
        let mut streamed = Sha256::with_domain(domain::ACCOUNT);
        streamed.update(&[0]);
        streamed.update(&key);
        assert_eq!(encode_hex(&streamed.finish()), id);
    }

    #[test]
    fn parts_are_concatenated() {
        assert_eq!(sha256_parts(&[b"a", b"", b"bc"]), sha256(b"abc"));
    }
}
