//! Four compressions in step by the SHA instructions of x86-64.
#![expect(
    unsafe_code,
    reason = "functions that use instructions beyond the baseline are unsafe to enter"
)]

#[cfg(not(target_arch = "x86_64"))]
pub(super) use absent::ShaNi;
#[cfg(target_arch = "x86_64")]
pub(super) use x86::ShaNi;

#[cfg(not(target_arch = "x86_64"))]
mod absent {
    use super::super::{Block, Finish, LANES, State};

    /// Proof that the machine has the instructions, of which there is none.
    #[derive(Clone, Copy)]
    pub(in super::super) enum ShaNi {}

    impl ShaNi {
        pub(in super::super) fn detect() -> Option<Self> {
            None
        }

        pub(in super::super) fn compress(
            self,
            _: [State; LANES],
            _: [&[Block]; LANES],
            _: Finish,
        ) -> [State; LANES] {
            match self {}
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_cvtsi128_si64,
        _mm_extract_epi64, _mm_set_epi8, _mm_set_epi32, _mm_set_epi64x, _mm_sha256msg1_epu32,
        _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
    };

    use super::super::{Block, Finish, INITIAL, LANES, State};

    /// The constants of the rounds (FIPS 180-4, 4.2.2).
    const K: [u32; 64] = [
        0x428a_2f98,
        0x7137_4491,
        0xb5c0_fbcf,
        0xe9b5_dba5,
        0x3956_c25b,
        0x59f1_11f1,
        0x923f_82a4,
        0xab1c_5ed5,
        0xd807_aa98,
        0x1283_5b01,
        0x2431_85be,
        0x550c_7dc3,
        0x72be_5d74,
        0x80de_b1fe,
        0x9bdc_06a7,
        0xc19b_f174,
        0xe49b_69c1,
        0xefbe_4786,
        0x0fc1_9dc6,
        0x240c_a1cc,
        0x2de9_2c6f,
        0x4a74_84aa,
        0x5cb0_a9dc,
        0x76f9_88da,
        0x983e_5152,
        0xa831_c66d,
        0xb003_27c8,
        0xbf59_7fc7,
        0xc6e0_0bf3,
        0xd5a7_9147,
        0x06ca_6351,
        0x1429_2967,
        0x27b7_0a85,
        0x2e1b_2138,
        0x4d2c_6dfc,
        0x5338_0d13,
        0x650a_7354,
        0x766a_0abb,
        0x81c2_c92e,
        0x9272_2c85,
        0xa2bf_e8a1,
        0xa81a_664b,
        0xc24b_8b70,
        0xc76c_51a3,
        0xd192_e819,
        0xd699_0624,
        0xf40e_3585,
        0x106a_a070,
        0x19a4_c116,
        0x1e37_6c08,
        0x2748_774c,
        0x34b0_bcb5,
        0x391c_0cb3,
        0x4ed8_aa4a,
        0x5b9c_ca4f,
        0x682e_6ff3,
        0x748f_82ee,
        0x78a5_636f,
        0x84c8_7814,
        0x8cc7_0208,
        0x90be_fffa,
        0xa450_6ceb,
        0xbef9_a3f7,
        0xc671_78f2,
    ];

    /// The words of the padding of a 64-byte message, expanded, with the constants added.
    const PADDING_64: [u32; 64] = {
        let mut words = [0_u32; 64];
        words[0] = 0x8000_0000;
        words[15] = 512;
        let mut at = 16;
        while at < 64 {
            let (x, y) = (words[at - 15], words[at - 2]);
            let small0 = x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3);
            let small1 = y.rotate_right(17) ^ y.rotate_right(19) ^ (y >> 10);
            words[at] = words[at - 16]
                .wrapping_add(small0)
                .wrapping_add(words[at - 7])
                .wrapping_add(small1);
            at += 1;
        }
        let mut at = 0;
        while at < 64 {
            words[at] = words[at].wrapping_add(K[at]);
            at += 1;
        }
        words
    };

    /// Proof that the machine has the instructions.
    #[derive(Clone, Copy)]
    pub(in super::super) struct ShaNi(());

    impl ShaNi {
        pub(in super::super) fn detect() -> Option<Self> {
            let detected = std::is_x86_feature_detected!("sha")
                && std::is_x86_feature_detected!("sse4.1")
                && std::is_x86_feature_detected!("ssse3");
            detected.then_some(Self(()))
        }

        /// As [`super::super::Backend::compress`].
        pub(in super::super) fn compress(
            self,
            states: [State; LANES],
            blocks: [&[Block]; LANES],
            finish: Finish,
        ) -> [State; LANES] {
            // SAFETY: a value of this type exists only where all features that the function is
            // compiled for were detected.
            unsafe { compress(states, blocks, finish) }
        }
    }

    /// A state as the instructions want it: the words F, E, B, A and H, G, D, C from the lowest.
    type Packed = [__m128i; 2];

    /// Four groups of four words of the message schedule, the last ones made.
    type Window = [__m128i; 4];

    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn compress(
        states: [State; LANES],
        blocks: [&[Block]; LANES],
        finish: Finish,
    ) -> [State; LANES] {
        let count = blocks[0].len();
        assert!(
            blocks.iter().all(|lane| lane.len() == count),
            "lanes go in step"
        );
        let mut packed = states.map(|state| pack(state));
        for at in 0..count {
            rounds(&mut packed, blocks.map(|lane| load(&lane[at])));
        }
        match finish {
            Finish::None => {}
            Finish::Padding64 => padding_rounds(&mut packed),
            Finish::Again => {
                let windows = packed.map(|state| second_message(state));
                packed = [pack(INITIAL); LANES];
                rounds(&mut packed, windows);
            }
        }
        packed.map(|state| unpack(state))
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
                let [oldest, next, third, last] = [0, 1, 2, 3].map(|by| window[(I + by) % 4]);
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
    fn pack(state: State) -> Packed {
        let [a, b, c, d, e, f, g, h] = state.map(u32::cast_signed);
        [_mm_set_epi32(a, b, e, f), _mm_set_epi32(c, d, g, h)]
    }

    /// The words A to D and E to H, each from the lowest.
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    #[inline]
    fn in_order([abef, cdgh]: Packed) -> [__m128i; 2] {
        let abef = _mm_shuffle_epi32(abef, 0x1b);
        let ghcd = _mm_shuffle_epi32(cdgh, 0xb1);
        [
            _mm_blend_epi16(abef, ghcd, 0xf0),
            _mm_alignr_epi8(ghcd, abef, 8),
        ]
    }

    #[target_feature(enable = "sha,sse4.1,ssse3")]
    #[inline]
    fn unpack(state: Packed) -> State {
        let [abcd, efgh] = in_order(state);
        let halves = [
            _mm_cvtsi128_si64(abcd),
            _mm_extract_epi64(abcd, 1),
            _mm_cvtsi128_si64(efgh),
            _mm_extract_epi64(efgh, 1),
        ];
        let mut words = [0; 8];
        for (pair, half) in words.chunks_exact_mut(2).zip(halves) {
            pair[0] = half as u32;
            pair[1] = (half >> 32) as u32;
        }
        words
    }

    /// The words of a block, which are big-endian.
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    #[inline]
    fn load(block: &Block) -> Window {
        let swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
        let (halves, _) = block.as_chunks::<8>();
        let half = |at: usize| i64::from_le_bytes(halves[at]);
        let quarter = |at: usize| {
            let bytes = _mm_set_epi64x(half(2 * at + 1), half(2 * at));
            _mm_shuffle_epi8(bytes, swap)
        };
        [quarter(0), quarter(1), quarter(2), quarter(3)]
    }

    /// The one block of a message that is the 32 bytes of `state`.
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    #[inline]
    fn second_message(state: Packed) -> Window {
        let [abcd, efgh] = in_order(state);
        let end_bit = _mm_set_epi32(0, 0, 0, i32::MIN);
        let length = _mm_set_epi32(256, 0, 0, 0);
        [abcd, efgh, end_bit, length]
    }
}
