//! SHA-256 of many messages at once, and the search for a nonce.
//!
//! One compression is a chain of dependent instructions that leaves a core mostly idle, so some
//! messages in step take little longer than one. *Owns* the choice of instructions.
//! *Invariants*: each result is the one that [`hash`](super::hash) gives for the message alone,
//! on every machine.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod constants;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod sha_ni;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::hash::Sha256;
use constants::INITIAL;

/// The most messages that any backend takes in step.
const WIDEST: usize = 16;

/// Messages of more blocks than this are hashed alone, which keeps the buffers at 32 KiB: what
/// lanes gain comes from short messages.
const MOST_BLOCKS: usize = 32;

/// The chaining value of a compression.
type State = [u32; 8];

/// The input of a compression.
type Block = [u8; 64];

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

/// The instructions to use.
#[derive(Clone, Copy, Debug, Default)]
struct Backend {
    #[cfg(target_arch = "x86_64")]
    sha_ni: Option<lanes::ShaNi>,
    #[cfg(target_arch = "x86_64")]
    avx512: Option<lanes::Avx512>,
}

impl Backend {
    /// The best of this machine.
    fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let sha_ni = lanes::ShaNi::detect();
            // AMD's SHA unit starts an instruction in every cycle and beats its vectors; Intel's
            // needs two or three. SSE4a tells them apart: only AMD has it.
            let fast_sha = sha_ni.is_some() && std::is_x86_feature_detected!("sse4a");
            let avx512 = lanes::Avx512::detect().filter(|_| !fast_sha);
            Self { sha_ni, avx512 }
        }
        #[cfg(not(target_arch = "x86_64"))]
        Self::default()
    }

    fn name(self) -> &'static str {
        #[cfg(target_arch = "x86_64")]
        match (self.avx512, self.sha_ni) {
            (Some(_), Some(_)) => return "avx512 x16, sha-ni x4",
            (Some(_), None) => return "avx512 x16",
            (None, Some(_)) => return "sha-ni x4",
            (None, None) => {}
        }
        "sha2"
    }

    /// Hashes at most [`WIDEST`] lanes, of equally many blocks each, from the chaining value
    /// `initial` on.
    fn hash(self, initial: &State, lanes: &[&[Block]], finish: Finish, digests: &mut [[u8; 32]]) {
        assert_eq!(lanes.len(), digests.len(), "a digest for each lane");
        #[cfg(target_arch = "x86_64")]
        {
            // Sixteen in step take as long as two times four, however many of them are wanted.
            let enough = if self.sha_ni.is_some() { 9 } else { 2 };
            if let Some(avx512) = self.avx512
                && lanes.len() >= enough
            {
                avx512.hash(initial, filled(lanes), finish, digests);
                return;
            }
            if let Some(sha_ni) = self.sha_ni {
                for (lanes, digests) in lanes.chunks(4).zip(digests.chunks_mut(4)) {
                    // One or two are done sooner one after the other.
                    if lanes.len() > 2 {
                        sha_ni.hash(initial, filled(lanes), finish, digests);
                    } else {
                        hash_in_turn(initial, lanes, finish, digests);
                    }
                }
                return;
            }
        }
        hash_in_turn(initial, lanes, finish, digests);
    }
}

/// As [`Backend::hash`], one lane after the other.
fn hash_in_turn(initial: &State, lanes: &[&[Block]], finish: Finish, digests: &mut [[u8; 32]]) {
    for (lane, digest) in lanes.iter().zip(digests) {
        *digest = scalar::hash(initial, lane, finish);
    }
}

/// `lanes` and, where some are missing, the first one again.
#[cfg(target_arch = "x86_64")]
fn filled<'a, const N: usize>(lanes: &[&'a [Block]]) -> [&'a [Block]; N] {
    std::array::from_fn(|lane| *lanes.get(lane).unwrap_or(&lanes[0]))
}

/// Which code hashes many messages on this machine.
#[must_use]
pub fn backend() -> &'static str {
    Backend::detect().name()
}

/// The SHA-256 of `prefix` and each of `messages`, all of one length: nodes of trees.
#[must_use]
pub fn hash_many<const N: usize>(prefix: &[u8], messages: &[[u8; N]]) -> Vec<[u8; 32]> {
    if prefix.is_empty()
        && N == size_of::<Block>()
        && let (blocks, []) = messages.as_flattened().as_chunks()
    {
        return hash_blocks(Backend::detect(), blocks);
    }
    hash_equal(Backend::detect(), prefix, messages)
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
    let mut hashes = vec![[0; 32]; messages.len()];
    for (group, hashes) in messages.chunks(WIDEST).zip(hashes.chunks_mut(WIDEST)) {
        let mut lanes: [&[Block]; WIDEST] = [&[]; WIDEST];
        for (lane, message) in lanes.iter_mut().zip(group) {
            *lane = std::slice::from_ref(message);
        }
        backend.hash(&INITIAL, &lanes[..group.len()], Finish::Padding64, hashes);
    }
    hashes
}

/// Messages of one length: prefix and padding are written once, into every lane's buffer.
fn hash_equal<const N: usize>(
    backend: Backend,
    prefix: &[u8],
    messages: &[[u8; N]],
) -> Vec<[u8; 32]> {
    let count = block_count(prefix.len() + N);
    if count > MOST_BLOCKS {
        let alone = |message: &[u8; N]| hash_alone(prefix, message);
        return messages.iter().map(alone).collect();
    }
    let mut buffer = vec![[0; 64]; messages.len().min(WIDEST) * count];
    for lane in buffer.chunks_exact_mut(count) {
        pad(lane, prefix, &[0; N]);
    }
    let mut hashes = vec![[0; 32]; messages.len()];
    for (group, hashes) in messages.chunks(WIDEST).zip(hashes.chunks_mut(WIDEST)) {
        for (lane, message) in buffer.chunks_exact_mut(count).zip(group) {
            lane.as_flattened_mut()[prefix.len()..][..N].copy_from_slice(message);
        }
        hash_buffer(backend, &buffer[..group.len() * count], hashes);
    }
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
        if count > MOST_BLOCKS {
            for &at in equal {
                hashes[at] = hash_alone(prefix, messages[at]);
            }
            continue;
        }
        for group in equal.chunks(WIDEST) {
            buffer.resize(group.len() * count, [0; 64]);
            for (lane, &at) in buffer.chunks_exact_mut(count).zip(group) {
                pad(lane, prefix, messages[at]);
            }
            let mut digests = [[0; 32]; WIDEST];
            hash_buffer(backend, &buffer, &mut digests[..group.len()]);
            for (&at, digest) in group.iter().zip(digests) {
                hashes[at] = digest;
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
    scalar::compress(&mut midstate, common);
    let mut tails = [[0; 64]; WIDEST];
    for tail in &mut tails {
        tail[..12].copy_from_slice(&header[192..]);
        tail[12] = 0x80;
        tail[56..].copy_from_slice(&(204_u64 * 8).to_be_bytes());
    }
    let mut ids = [[0; 32]; WIDEST];
    let mut first = nonces.start;
    while first < nonces.end {
        for (tail, by) in tails.iter_mut().zip(0..) {
            // A lane beyond the last nonce is computed and not looked at.
            tail[4..12].copy_from_slice(&first.wrapping_add(by).to_le_bytes());
        }
        let lanes = tails.each_ref().map(std::slice::from_ref);
        backend.hash(&midstate, &lanes, Finish::Again, &mut ids);
        for (nonce, id) in (first..nonces.end).zip(&ids) {
            if id <= target {
                return Some(nonce);
            }
        }
        first = first.saturating_add(WIDEST as u64);
    }
    None
}

/// Hashes the lanes of a buffer that holds them one behind the other.
fn hash_buffer(backend: Backend, buffer: &[Block], digests: &mut [[u8; 32]]) {
    let mut lanes: [&[Block]; WIDEST] = [&[]; WIDEST];
    let count = buffer.len() / digests.len();
    for (lane, blocks) in lanes.iter_mut().zip(buffer.chunks_exact(count)) {
        *lane = blocks;
    }
    backend.hash(&INITIAL, &lanes[..digests.len()], Finish::None, digests);
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

fn hash_alone(prefix: &[u8], message: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::with_domain(prefix);
    hash.update(message);
    hash.finish()
}
