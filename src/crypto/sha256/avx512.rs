//! Sixteen hashes in step by the AVX-512 instructions of x86-64: one word of each in a vector.

use std::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_castsi512_si256, _mm512_ror_epi32, _mm512_set_epi8,
    _mm512_set1_epi32, _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_shuffle_i32x4,
    _mm512_srli_epi32, _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::constants::{INITIAL, K, PADDING_64};
use super::lanes::{bytes_of, load_64};
use super::{Block, Finish, State};

/// How many hashes go in step.
pub(super) const LANES: usize = 16;

/// The bit by bit functions of three words, as the table of their values.
const XOR: i32 = 0x96;
const CHOOSE: i32 = 0xca;
const MAJORITY: i32 = 0xe8;

/// Hashes sixteen lanes, of which those beyond `digests` stand in for missing ones; see
/// [`super::Backend::hash`].
#[target_feature(enable = "avx512f,avx512bw")]
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
    let mut state = everywhere(initial);
    for at in 0..count {
        let mut rows = [_mm512_setzero_si512(); LANES];
        for (row, lane) in rows.iter_mut().zip(lanes) {
            *row = swap(load_64(&lane[at]));
        }
        rounds(&mut state, transpose(&rows));
    }
    match finish {
        Finish::None => {}
        Finish::Padding64 => padding_rounds(&mut state),
        Finish::Again => {
            let message = second_message(&state);
            state = everywhere(&INITIAL);
            rounds(&mut state, message);
        }
    }
    let mut columns = [_mm512_setzero_si512(); LANES];
    columns[..8].copy_from_slice(&state);
    for (digest, row) in digests.iter_mut().zip(transpose(&columns)) {
        *digest = bytes_of(_mm512_castsi512_si256(swap(row)));
    }
}

/// The same state in every lane.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn everywhere(state: &State) -> [__m512i; 8] {
    let mut words = [_mm512_setzero_si512(); 8];
    for (vector, word) in words.iter_mut().zip(state) {
        *vector = same(*word);
    }
    words
}

/// One block in each lane.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn rounds(state: &mut [__m512i; 8], mut window: [__m512i; 16]) {
    let before = *state;
    let (constants, _) = K.as_chunks::<16>();
    sixteen_rounds::<false>(state, &mut window, &constants[0]);
    for constants in &constants[1..] {
        sixteen_rounds::<true>(state, &mut window, constants);
    }
    add(state, &before);
}

/// Sixteen rounds, after which the words of the state are back in their places.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn sixteen_rounds<const EXPAND: bool>(
    state: &mut [__m512i; 8],
    window: &mut [__m512i; 16],
    constants: &[u32; 16],
) {
    expand_and_round::<0, EXPAND>(state, window, constants);
    expand_and_round::<1, EXPAND>(state, window, constants);
    expand_and_round::<2, EXPAND>(state, window, constants);
    expand_and_round::<3, EXPAND>(state, window, constants);
    expand_and_round::<4, EXPAND>(state, window, constants);
    expand_and_round::<5, EXPAND>(state, window, constants);
    expand_and_round::<6, EXPAND>(state, window, constants);
    expand_and_round::<7, EXPAND>(state, window, constants);
    expand_and_round::<8, EXPAND>(state, window, constants);
    expand_and_round::<9, EXPAND>(state, window, constants);
    expand_and_round::<10, EXPAND>(state, window, constants);
    expand_and_round::<11, EXPAND>(state, window, constants);
    expand_and_round::<12, EXPAND>(state, window, constants);
    expand_and_round::<13, EXPAND>(state, window, constants);
    expand_and_round::<14, EXPAND>(state, window, constants);
    expand_and_round::<15, EXPAND>(state, window, constants);
}

/// Round `I` of sixteen; beyond the first sixteen it makes its word of the schedule.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn expand_and_round<const I: usize, const EXPAND: bool>(
    state: &mut [__m512i; 8],
    window: &mut [__m512i; 16],
    constants: &[u32; 16],
) {
    if EXPAND {
        let (back_15, back_2) = (window[(I + 1) % 16], window[(I + 14) % 16]);
        let small_0 = _mm512_ternarylogic_epi32::<XOR>(
            _mm512_ror_epi32::<7>(back_15),
            _mm512_ror_epi32::<18>(back_15),
            _mm512_srli_epi32::<3>(back_15),
        );
        let small_1 = _mm512_ternarylogic_epi32::<XOR>(
            _mm512_ror_epi32::<17>(back_2),
            _mm512_ror_epi32::<19>(back_2),
            _mm512_srli_epi32::<10>(back_2),
        );
        let sum = _mm512_add_epi32(window[I], small_0);
        window[I] = _mm512_add_epi32(sum, _mm512_add_epi32(window[(I + 9) % 16], small_1));
    }
    round::<I>(state, _mm512_add_epi32(window[I], same(constants[I])));
}

/// The block of padding after 64 bytes in each lane.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn padding_rounds(state: &mut [__m512i; 8]) {
    let before = *state;
    let (groups, _) = PADDING_64.as_chunks::<8>();
    for words in groups {
        round::<0>(state, same(words[0]));
        round::<1>(state, same(words[1]));
        round::<2>(state, same(words[2]));
        round::<3>(state, same(words[3]));
        round::<4>(state, same(words[4]));
        round::<5>(state, same(words[5]));
        round::<6>(state, same(words[6]));
        round::<7>(state, same(words[7]));
    }
    add(state, &before);
}

/// Round `I`, with a word that has its constant added. The words of the state stay where they
/// are and change their roles, back by one place in every round.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn round<const I: usize>(state: &mut [__m512i; 8], word: __m512i) {
    const { assert!(I < 16, "rounds go in sixteens") };
    let place = |role: usize| (role + 16 - I) % 8;
    let [a, b, c] = [state[place(0)], state[place(1)], state[place(2)]];
    let [e, f, g] = [state[place(4)], state[place(5)], state[place(6)]];
    let (d, h) = (state[place(3)], state[place(7)]);
    let big_1 = _mm512_ternarylogic_epi32::<XOR>(
        _mm512_ror_epi32::<6>(e),
        _mm512_ror_epi32::<11>(e),
        _mm512_ror_epi32::<25>(e),
    );
    let choice = _mm512_ternarylogic_epi32::<CHOOSE>(e, f, g);
    let sum = _mm512_add_epi32(_mm512_add_epi32(h, word), _mm512_add_epi32(big_1, choice));
    let big_0 = _mm512_ternarylogic_epi32::<XOR>(
        _mm512_ror_epi32::<2>(a),
        _mm512_ror_epi32::<13>(a),
        _mm512_ror_epi32::<22>(a),
    );
    let majority = _mm512_ternarylogic_epi32::<MAJORITY>(a, b, c);
    state[place(3)] = _mm512_add_epi32(d, sum);
    state[place(7)] = _mm512_add_epi32(sum, _mm512_add_epi32(big_0, majority));
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn add(state: &mut [__m512i; 8], before: &[__m512i; 8]) {
    for (word, before) in state.iter_mut().zip(before) {
        *word = _mm512_add_epi32(*word, *before);
    }
}

/// The same word in every lane.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn same(word: u32) -> __m512i {
    _mm512_set1_epi32(word.cast_signed())
}

/// Turns the bytes of each word around: words are big-endian outside.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn swap(words: __m512i) -> __m512i {
    #[rustfmt::skip]
    let order = _mm512_set_epi8(
        12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3,
        12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3,
        12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3,
        12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3,
    );
    _mm512_shuffle_epi8(words, order)
}

/// Row `i`, column `j` to row `j`, column `i`.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn transpose(rows: &[__m512i; 16]) -> [__m512i; 16] {
    // In each four rows: columns 4q + j for all four q, by j.
    let mut quarters = [[_mm512_setzero_si512(); 4]; 4];
    let (by_four, _) = rows.as_chunks::<4>();
    for (quarter, [first, second, third, fourth]) in quarters.iter_mut().zip(by_four) {
        let low_front = _mm512_unpacklo_epi32(*first, *second);
        let high_front = _mm512_unpackhi_epi32(*first, *second);
        let low_back = _mm512_unpacklo_epi32(*third, *fourth);
        let high_back = _mm512_unpackhi_epi32(*third, *fourth);
        *quarter = [
            _mm512_unpacklo_epi64(low_front, low_back),
            _mm512_unpackhi_epi64(low_front, low_back),
            _mm512_unpacklo_epi64(high_front, high_back),
            _mm512_unpackhi_epi64(high_front, high_back),
        ];
    }
    // Then the sixteens of bytes of four such rows.
    let [first, second, third, fourth] = quarters;
    let mut columns = [_mm512_setzero_si512(); 16];
    for j in 0..4 {
        let even_front = _mm512_shuffle_i32x4::<0x88>(first[j], second[j]);
        let even_back = _mm512_shuffle_i32x4::<0x88>(third[j], fourth[j]);
        let odd_front = _mm512_shuffle_i32x4::<0xdd>(first[j], second[j]);
        let odd_back = _mm512_shuffle_i32x4::<0xdd>(third[j], fourth[j]);
        columns[j] = _mm512_shuffle_i32x4::<0x88>(even_front, even_back);
        columns[4 + j] = _mm512_shuffle_i32x4::<0x88>(odd_front, odd_back);
        columns[8 + j] = _mm512_shuffle_i32x4::<0xdd>(even_front, even_back);
        columns[12 + j] = _mm512_shuffle_i32x4::<0xdd>(odd_front, odd_back);
    }
    columns
}

/// In each lane the one block of a message that is the 32 bytes of its state.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn second_message(state: &[__m512i; 8]) -> [__m512i; 16] {
    let mut message = [_mm512_setzero_si512(); 16];
    message[..8].copy_from_slice(state);
    message[8] = same(0x8000_0000);
    message[15] = same(256);
    message
}
