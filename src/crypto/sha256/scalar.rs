//! One hash after the other: the safe twin, and the code of machines without the instructions.

use sha2::block_api::compress256;

use super::{Block, Finish, State, constants::INITIAL};

/// Hashes one lane; see [`super::Backend::hash`].
pub(super) fn hash(initial: &State, blocks: &[Block], finish: Finish) -> [u8; 32] {
    let mut state = *initial;
    compress(&mut state, blocks);
    match finish {
        Finish::None => {}
        Finish::Padding64 => compress(&mut state, &[padding(&[], 64)]),
        Finish::Again => {
            let second = padding(&digest(state), 32);
            state = INITIAL;
            compress(&mut state, &[second]);
        }
    }
    digest(state)
}

/// Compresses `blocks` into `state`.
pub(super) fn compress(state: &mut State, blocks: &[Block]) {
    compress256(state, blocks);
}

/// The last block of a message of `length` bytes, of which it holds `bytes`.
fn padding(bytes: &[u8], length: u64) -> Block {
    let mut block = [0; 64];
    block[..bytes.len()].copy_from_slice(bytes);
    block[bytes.len()] = 0x80;
    block[56..].copy_from_slice(&(length * 8).to_be_bytes());
    block
}

fn digest(state: State) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(state) {
        chunk.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}
