//! The lanes one after the other: the safe twin, and the code of machines without the
//! instructions.

use sha2::block_api::compress256;

use super::{Block, Finish, INITIAL, LANES, State, to_bytes};

/// As [`super::Backend::compress`].
pub(super) fn compress(
    mut states: [State; LANES],
    blocks: [&[Block]; LANES],
    finish: Finish,
) -> [State; LANES] {
    for (state, blocks) in states.iter_mut().zip(blocks) {
        compress_one(state, blocks);
        match finish {
            Finish::None => {}
            Finish::Padding64 => compress_one(state, &[padding(&[], 64)]),
            Finish::Again => {
                let second = padding(&to_bytes(*state), 32);
                *state = INITIAL;
                compress_one(state, &[second]);
            }
        }
    }
    states
}

/// Compresses `blocks` into `state`.
pub(super) fn compress_one(state: &mut State, blocks: &[Block]) {
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
