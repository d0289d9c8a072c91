//! The door to the instructions beyond the baseline of x86-64.
//!
//! The kernels behind it are safe functions for machines that have certain instructions; what is
//! unsafe is to enter them, and to move vectors from and to memory.
#![expect(
    unsafe_code,
    reason = "entering a function compiled for more instructions is unsafe, as are vector loads"
)]

use std::arch::x86_64::{__m128i, __m256i, __m512i, _mm_loadu_si128, _mm512_loadu_si512};

use super::{Block, Finish, State, avx512, sha_ni};

/// Proof that the machine has the SHA instructions.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShaNi(());

impl ShaNi {
    pub(super) fn detect() -> Option<Self> {
        let detected = std::is_x86_feature_detected!("sha")
            && std::is_x86_feature_detected!("sse4.1")
            && std::is_x86_feature_detected!("ssse3");
        detected.then_some(Self(()))
    }

    /// Hashes four lanes; see [`super::Backend::hash`].
    pub(super) fn hash(
        self,
        initial: &State,
        lanes: [&[Block]; sha_ni::LANES],
        finish: Finish,
        digests: &mut [[u8; 32]],
    ) {
        // SAFETY: a value of this type exists only where all features that the function is
        // compiled for were detected.
        unsafe { sha_ni::hash(initial, lanes, finish, digests) }
    }
}

/// Proof that the machine has the AVX-512 instructions for words and bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        let detected =
            std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512bw");
        detected.then_some(Self(()))
    }

    /// Hashes sixteen lanes; see [`super::Backend::hash`].
    pub(super) fn hash(
        self,
        initial: &State,
        lanes: [&[Block]; avx512::LANES],
        finish: Finish,
        digests: &mut [[u8; 32]],
    ) {
        // SAFETY: a value of this type exists only where all features that the function is
        // compiled for were detected.
        unsafe { avx512::hash(initial, lanes, finish, digests) }
    }
}

/// The bytes of a quarter of a block.
#[target_feature(enable = "sse2")]
#[inline]
pub(super) fn load_16(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the 16 bytes behind the reference may be read, at any alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// The bytes of a block.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn load_64(bytes: &Block) -> __m512i {
    // SAFETY: the 64 bytes behind the reference may be read, at any alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// The bytes of two vectors, one behind the other.
#[target_feature(enable = "sse2")]
#[inline]
pub(super) fn bytes_of_pair(pair: [__m128i; 2]) -> [u8; 32] {
    // SAFETY: both types are 32 bytes in which every pattern of bits is a value.
    unsafe { std::mem::transmute::<[__m128i; 2], [u8; 32]>(pair) }
}

/// The bytes of a vector.
#[target_feature(enable = "avx")]
#[inline]
pub(super) fn bytes_of(vector: __m256i) -> [u8; 32] {
    // SAFETY: both types are 32 bytes in which every pattern of bits is a value.
    unsafe { std::mem::transmute::<__m256i, [u8; 32]>(vector) }
}
