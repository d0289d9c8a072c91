//! Cheap random numbers, and which segments are lost.
//!
//! A world sends a hundred million messages. SHA-256 for each would cost more than everything
//! else about them, so a stream seeded from the world's [`Rng`](crate::base::Rng) by one draw is
//! stretched with SplitMix64 (Steele, Lea and Flood 2014), of which nobody can be the adversary.

/// The odd number by which SplitMix64 counts: 2^64 divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads every bit of `value` over the result.
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A number that belongs to two nodes, whichever is named first.
pub(super) const fn pair_hash(key: u64, a: usize, b: usize) -> u64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    let pair = (high as u64) << 32 | low as u64;
    mix(mix(pair.wrapping_add(STEP)) ^ key)
}

/// A stream of numbers.
#[derive(Clone, Debug)]
pub(super) struct Draw(u64);

impl Draw {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number of 0 to `most`. For bounds under 2^32, as delays in microseconds are, none is
    /// favoured by more than 1 in 2^32.
    pub(super) fn up_to(&mut self, most: u64) -> u64 {
        let wide = u128::from(self.next()) * (u128::from(most) + 1);
        (wide >> 64) as u64
    }
}

/// Which of all segments of a network are lost: each with the same probability.
#[derive(Clone, Debug)]
pub(super) struct Losses {
    draw: Draw,
    per_million: u32,
    /// How many segments pass until one is lost. It is drawn when one was, so that a message
    /// without a loss costs a subtraction.
    until_next: u64,
    /// How many were lost so far, each once.
    pub(super) count: u64,
}

/// A segment comes through at the latest after so many repetitions; with three of ten lost, one of
/// 1,500 would take more.
const REPEATS_MAX: usize = 6;

/// The segments of one message that were lost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lost {
    repeats: u32,
    /// For each number of times that a segment was lost, from one on, one more than the segments
    /// of the message that follow the last such segment; 0 where there is none. A segment before
    /// it that was lost as often does not hold the message up longer.
    last: [u32; REPEATS_MAX],
}

impl Lost {
    /// How many segments were sent once more, those lost repeatedly as often.
    pub(super) const fn repeats(&self) -> u64 {
        self.repeats as u64
    }

    /// Those that may hold the message up longest: how many segments follow each, and how often
    /// it was lost.
    pub(super) fn each(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        let times = (1..).zip(&self.last);
        times.filter_map(|(times, after)| Some((u64::from(after.checked_sub(1)?), times)))
    }
}

impl Losses {
    pub(super) fn new(per_million: u32, seed: u64) -> Self {
        let mut losses = Self {
            draw: Draw::new(seed),
            per_million,
            until_next: u64::MAX,
            count: 0,
        };
        losses.set(per_million);
        losses
    }

    pub(super) fn set(&mut self, per_million: u32) {
        self.per_million = per_million;
        self.until_next = self.gap();
    }

    /// Which of the next `segments` segments are lost.
    pub(super) fn among(&mut self, segments: u64) -> Lost {
        let mut lost = Lost::default();
        let mut left = segments;
        while self.until_next < left {
            left -= self.until_next + 1;
            let mut times = 1;
            while times < REPEATS_MAX && self.hits() {
                times += 1;
            }
            lost.last[times - 1] = u32::try_from(left).unwrap_or(u32::MAX).saturating_add(1);
            lost.repeats += times as u32;
            self.count += 1;
            self.until_next = self.gap();
        }
        self.until_next -= left;
        lost
    }

    fn hits(&mut self) -> bool {
        self.draw.up_to(999_999) < u64::from(self.per_million)
    }

    /// How many segments pass until the next is lost. It takes as many draws, one per segment
    /// that will be sent: a logarithm would take one, and its last bit differs between machines.
    fn gap(&mut self) -> u64 {
        if self.per_million == 0 {
            return u64::MAX;
        }
        let mut passed = 0;
        while !self.hits() {
            passed += 1;
        }
        passed
    }
}
