//! Four hashes in step by the SHA instructions of x86-64.
//!
//! A round instruction waits for the one before it; four independent chains keep the unit busy.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_set_epi8, _mm_set_epi32,
    _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
    _mm_shuffle_epi8, _mm_shuffle_epi32,
};

use super::constants::{INITIAL, K, PADDING_64};
use super::lanes::{bytes_of_pair, load_16};
use super::{Block, Finish, State};

/// How many hashes go in step.
pub(super) const LANES: usize = 4;

/// A state as the instructions want it: the words F, E, B, A and H, G, D, C from the lowest.
type Packed = [__m128i; 2];

/// Four groups of four words of the message schedule, the last ones made.
type Window = [__m128i; 4];

/// Hashes four lanes, of which those beyond `digests` stand in for missing ones; see
/// [`super::Backend::hash`].
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(super) fn hash(
    initial: &State,
    lanes: [&[Block]; LANES],
    finish: Finish,
    digests: &mut [[u8; 32]],
) {
    let count = lanes[0].len();
    assert!(
        lanes.iter().all(|lane| lane.len() == count),
        "lanes go in step"
    );
    let mut states = [pack(initial); LANES];
    let mut windows = [[_mm_setzero_si128(); 4]; LANES];
    for at in 0..count {
        for (window, lane) in windows.iter_mut().zip(lanes) {
            *window = load(&lane[at]);
        }
        rounds(&mut states, windows);
    }
    match finish {
        Finish::None => {}
        Finish::Padding64 => padding_rounds(&mut states),
        Finish::Again => {
            for (window, state) in windows.iter_mut().zip(&states) {
                *window = second_message(state);
            }
            states = [pack(&INITIAL); LANES];
            rounds(&mut states, windows);
        }
    }
    for (digest, state) in digests.iter_mut().zip(&states) {
        let [abcd, efgh] = in_order(state);
        *digest = bytes_of_pair([swap(abcd), swap(efgh)]);
    }
}

/// One block in each lane.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn rounds(states: &mut [Packed; LANES], mut windows: [Window; LANES]) {
    let before = *states;
    group::<0>(states, &mut windows);
    group::<1>(states, &mut windows);
    group::<2>(states, &mut windows);
    group::<3>(states, &mut windows);
    group::<4>(states, &mut windows);
    group::<5>(states, &mut windows);
    group::<6>(states, &mut windows);
    group::<7>(states, &mut windows);
    group::<8>(states, &mut windows);
    group::<9>(states, &mut windows);
    group::<10>(states, &mut windows);
    group::<11>(states, &mut windows);
    group::<12>(states, &mut windows);
    group::<13>(states, &mut windows);
    group::<14>(states, &mut windows);
    group::<15>(states, &mut windows);
    add(states, &before);
}

/// Rounds `4 I` to `4 I + 3` in each lane.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn group<const I: usize>(states: &mut [Packed; LANES], windows: &mut [Window; LANES]) {
    for (state, window) in states.iter_mut().zip(windows) {
        if I >= 4 {
            // The words 16, 15, 7 and 2 places back, by four.
            let [oldest, next] = [window[I % 4], window[(I + 1) % 4]];
            let [third, last] = [window[(I + 2) % 4], window[(I + 3) % 4]];
            let back_7 = _mm_alignr_epi8(last, third, 4);
            let sum = _mm_add_epi32(_mm_sha256msg1_epu32(oldest, next), back_7);
            window[I % 4] = _mm_sha256msg2_epu32(sum, last);
        }
        four_rounds(state, _mm_add_epi32(window[I % 4], words(&K, I)));
    }
}

/// The block of padding after 64 bytes in each lane.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn padding_rounds(states: &mut [Packed; LANES]) {
    let before = *states;
    for at in 0..16 {
        for state in states.iter_mut() {
            four_rounds(state, words(&PADDING_64, at));
        }
    }
    add(states, &before);
}

/// Four rounds, with words that have their constants added.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn four_rounds([abef, cdgh]: &mut Packed, words: __m128i) {
    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, words);
    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(words, 0x0e));
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn add(states: &mut [Packed; LANES], before: &[Packed; LANES]) {
    for (state, before) in states.iter_mut().zip(before) {
        state[0] = _mm_add_epi32(state[0], before[0]);
        state[1] = _mm_add_epi32(state[1], before[1]);
    }
}

/// The words `4 at` to `4 at + 3` of a table.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn words(table: &[u32; 64], at: usize) -> __m128i {
    let word = |by: usize| table[4 * at + by].cast_signed();
    _mm_set_epi32(word(3), word(2), word(1), word(0))
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn pack(state: &State) -> Packed {
    let [a, b, c, d, e, f, g, h] = state.map(u32::cast_signed);
    [_mm_set_epi32(a, b, e, f), _mm_set_epi32(c, d, g, h)]
}

/// The words A to D and E to H, each from the lowest.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn in_order([abef, cdgh]: &Packed) -> [__m128i; 2] {
    let abef = _mm_shuffle_epi32(*abef, 0x1b);
    let ghcd = _mm_shuffle_epi32(*cdgh, 0xb1);
    [
        _mm_blend_epi16(abef, ghcd, 0xf0),
        _mm_alignr_epi8(ghcd, abef, 8),
    ]
}

/// Turns the bytes of each word around: words are big-endian outside.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn swap(words: __m128i) -> __m128i {
    let order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    _mm_shuffle_epi8(words, order)
}

/// The words of a block.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn load(block: &Block) -> Window {
    let mut window = [_mm_setzero_si128(); 4];
    for (words, bytes) in window.iter_mut().zip(block.as_chunks().0) {
        *words = swap(load_16(bytes));
    }
    window
}

/// The one block of a message that is the 32 bytes of `state`.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn second_message(state: &Packed) -> Window {
    let [abcd, efgh] = in_order(state);
    let end_bit = _mm_set_epi32(0, 0, 0, i32::MIN);
    let length = _mm_set_epi32(256, 0, 0, 0);
    [abcd, efgh, end_bit, length]
}
