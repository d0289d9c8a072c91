//! SHA-256 of many messages at once, and the search for a nonce.
//!
//! One compression is a chain of dependent instructions that leaves a core mostly idle, so four
//! messages in step take little longer than one. *Invariants*: each result is the one that
//! [`hash`](super::hash) gives for the message alone, on every machine.

mod lanes;
mod scalar;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::hash::{Sha256, sha256d};

/// How many messages go in step.
const LANES: usize = 4;

/// Messages of more blocks than this are hashed alone, which keeps the buffers small: what lanes
/// gain comes from short messages.
const MOST_BLOCKS: usize = 64;

/// The chaining value of a compression.
type State = [u32; 8];

/// The input of a compression.
type Block = [u8; 64];

/// The chaining value that every hash starts from (FIPS 180-4, 5.3.3).
const INITIAL: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// What follows the last block that the caller gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    /// Nothing.
    None,
    /// The padding of a message of 64 bytes, a block that is always the same.
    Padding64,
    /// A second hash, over the 32 bytes that the first one ends in.
    Again,
}

/// The code that this machine can run.
#[derive(Clone, Copy)]
enum Backend {
    ShaNi(lanes::ShaNi),
    Scalar,
}

impl Backend {
    fn detect() -> Self {
        lanes::ShaNi::detect().map_or(Self::Scalar, Self::ShaNi)
    }

    /// Compresses the blocks of each lane, of which all have equally many, into its state.
    fn compress(
        self,
        states: [State; LANES],
        blocks: [&[Block]; LANES],
        finish: Finish,
    ) -> [State; LANES] {
        match self {
            Self::ShaNi(lanes) => lanes.compress(states, blocks, finish),
            Self::Scalar => scalar::compress(states, blocks, finish),
        }
    }
}

/// Which code hashes many messages on this machine.
#[must_use]
pub fn backend() -> &'static str {
    match Backend::detect() {
        Backend::ShaNi(_) => "sha-ni x4",
        Backend::Scalar => "sha2",
    }
}

/// The SHA-256 of `prefix` and each of `messages`, all of one length: nodes of trees.
#[must_use]
pub fn hash_many<const N: usize>(prefix: &[u8], messages: &[[u8; N]]) -> Vec<[u8; 32]> {
    let blocks: Option<&[Block]> = match messages.as_flattened().as_chunks() {
        (blocks, []) if N == 64 && prefix.is_empty() => Some(blocks),
        _ => None,
    };
    match blocks {
        Some(blocks) => hash_blocks(Backend::detect(), blocks),
        None => hash_equal(Backend::detect(), prefix, messages, Finish::None),
    }
}

/// The SHA-256 of the SHA-256 of each of `messages`: ids of headers.
#[must_use]
pub fn double_hash_many<const N: usize>(messages: &[[u8; N]]) -> Vec<[u8; 32]> {
    hash_equal(Backend::detect(), &[], messages, Finish::Again)
}

/// The SHA-256 of `prefix` and each of `messages`, of any lengths: ids of transactions.
#[must_use]
pub fn hash_slices(prefix: &[u8], messages: &[&[u8]]) -> Vec<[u8; 32]> {
    hash_unequal(Backend::detect(), prefix, messages)
}

/// The first of `nonces` with which a work header's id, read as a big-endian number, is at most
/// `target`. The nonce in `header` is ignored (`docs/formats.md`, "Header, ids, block").
#[must_use]
pub fn search(header: &[u8; 204], nonces: Range<u64>, target: &[u8; 32]) -> Option<u64> {
    search_with(Backend::detect(), header, nonces, target)
}

/// Messages of exactly one block, which need no copying.
fn hash_blocks(backend: Backend, messages: &[Block]) -> Vec<[u8; 32]> {
    let mut hashes = Vec::with_capacity(messages.len());
    let (groups, rest) = messages.as_chunks::<LANES>();
    for group in groups {
        let blocks = group.each_ref().map(std::slice::from_ref);
        let states = backend.compress([INITIAL; LANES], blocks, Finish::Padding64);
        hashes.extend(states.map(to_bytes));
    }
    hashes.extend(rest.iter().map(|message| super::hash::sha256(message)));
    hashes
}

/// Messages of one length: prefix and padding are written once, into every lane's buffer.
fn hash_equal<const N: usize>(
    backend: Backend,
    prefix: &[u8],
    messages: &[[u8; N]],
    finish: Finish,
) -> Vec<[u8; 32]> {
    let alone = |message: &[u8; N]| match finish {
        Finish::Again => sha256d(message),
        _ => hash_alone(prefix, message),
    };
    let count = block_count(prefix.len() + N);
    if count > MOST_BLOCKS || messages.len() < LANES {
        return messages.iter().map(alone).collect();
    }
    let mut buffer = vec![[0; 64]; LANES * count];
    for lane in buffer.chunks_exact_mut(count) {
        pad(lane, prefix, &[0; N]);
    }
    let mut hashes = Vec::with_capacity(messages.len());
    let (groups, rest) = messages.as_chunks::<LANES>();
    for group in groups {
        for (lane, message) in buffer.chunks_exact_mut(count).zip(group) {
            lane.as_flattened_mut()[prefix.len()..][..N].copy_from_slice(message);
        }
        let states = backend.compress([INITIAL; LANES], split(&buffer), finish);
        hashes.extend(states.map(to_bytes));
    }
    hashes.extend(rest.iter().map(alone));
    hashes
}

/// Messages of any length: those of as many blocks go in step.
fn hash_unequal(backend: Backend, prefix: &[u8], messages: &[&[u8]]) -> Vec<[u8; 32]> {
    let count_of = |at: &usize| block_count(prefix.len() + messages[*at].len());
    let mut order: Vec<usize> = (0..messages.len()).collect();
    order.sort_by_key(count_of);
    let mut hashes = vec![[0; 32]; messages.len()];
    let mut buffer = Vec::new();
    for equal in order.chunk_by(|left, right| count_of(left) == count_of(right)) {
        let count = count_of(&equal[0]);
        for group in equal.chunks(LANES) {
            if group.len() < LANES || count > MOST_BLOCKS {
                for &at in group {
                    hashes[at] = hash_alone(prefix, messages[at]);
                }
                continue;
            }
            buffer.resize(LANES * count, [0; 64]);
            for (lane, &at) in buffer.chunks_exact_mut(count).zip(group) {
                pad(lane, prefix, messages[at]);
            }
            let states = backend.compress([INITIAL; LANES], split(&buffer), Finish::None);
            for (&at, state) in group.iter().zip(states) {
                hashes[at] = to_bytes(state);
            }
        }
    }
    hashes
}

fn search_with(
    backend: Backend,
    header: &[u8; 204],
    nonces: Range<u64>,
    target: &[u8; 32],
) -> Option<u64> {
    // The three blocks before the seal are the same for all nonces.
    let (common, _) = header.as_chunks::<64>();
    let mut midstate = INITIAL;
    scalar::compress_one(&mut midstate, common);
    let mut tails = [[0; 64]; LANES];
    for tail in &mut tails {
        tail[..12].copy_from_slice(&header[192..]);
        tail[12] = 0x80;
        tail[56..].copy_from_slice(&(204_u64 * 8).to_be_bytes());
    }
    let (target, _) = target.as_chunks::<4>();
    let mut first = nonces.start;
    while first < nonces.end {
        for (tail, by) in tails.iter_mut().zip(0..) {
            // A lane beyond the last nonce is computed and not looked at.
            tail[4..12].copy_from_slice(&first.wrapping_add(by).to_le_bytes());
        }
        let blocks = tails.each_ref().map(std::slice::from_ref);
        let ids = backend.compress([midstate; LANES], blocks, Finish::Again);
        for (nonce, id) in (first..nonces.end).zip(ids) {
            if id
                .iter()
                .map(|word| word.to_be_bytes())
                .le(target.iter().copied())
            {
                return Some(nonce);
            }
        }
        first = first.saturating_add(LANES as u64);
    }
    None
}

/// How many blocks a message of `length` bytes takes with its padding: a bit, zeros and the
/// length in 8 bytes.
const fn block_count(length: usize) -> usize {
    (length + 9).div_ceil(64)
}

/// Fills `lane` with the padded blocks of `prefix` and `message`, which it has the length for.
fn pad(lane: &mut [Block], prefix: &[u8], message: &[u8]) {
    let bytes = lane.as_flattened_mut();
    let length = prefix.len() + message.len();
    bytes[..prefix.len()].copy_from_slice(prefix);
    bytes[prefix.len()..length].copy_from_slice(message);
    bytes[length] = 0x80;
    bytes[length + 1..].fill(0);
    let end = bytes.len();
    bytes[end - 8..].copy_from_slice(&(length as u64 * 8).to_be_bytes());
}

/// The lanes of a buffer that holds them one behind the other.
fn split(buffer: &[Block]) -> [&[Block]; LANES] {
    let count = buffer.len() / LANES;
    std::array::from_fn(|lane| &buffer[lane * count..][..count])
}

fn hash_alone(prefix: &[u8], message: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::with_domain(prefix);
    hash.update(message);
    hash.finish()
}

fn to_bytes(state: State) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(state) {
        chunk.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}
