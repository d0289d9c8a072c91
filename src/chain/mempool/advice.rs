//! What to pay: how much weight waits at which rate, and what that means for the next blocks.

use crate::consensus::next_base_fee;
use crate::types::Rules;

use super::Mempool;

/// Classes of rates: exact below 16, then eight for each doubling.
const CLASSES: usize = 16 + 60 * 8;
/// The most blocks that advice looks ahead.
pub const ADVICE_BLOCKS_MAX: u32 = 100;

/// The weight that waits, by what its chunk pays.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    weights: Box<[u64; CLASSES]>,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            weights: Box::new([0; CLASSES]),
        }
    }
}

fn class_of(rate: u64) -> usize {
    if rate < 16 {
        return rate as usize;
    }
    let power = rate.ilog2();
    let eighth = (rate >> (power - 3)) & 7;
    16 + (power as usize - 4) * 8 + eighth as usize
}

/// The greatest rate of a class.
fn top_of(class: usize) -> u64 {
    match class.checked_sub(16) {
        None => class as u64,
        Some(above) => {
            let (power, eighth) = (above / 8 + 4, (above % 8) as u64);
            let width = 1_u64 << (power - 3);
            (8 + eighth) * width + (width - 1)
        }
    }
}

impl Rates {
    pub(super) fn add(&mut self, rate: u64, weight: u64) {
        self.weights[class_of(rate)] += weight;
    }

    pub(super) fn remove(&mut self, rate: u64, weight: u64) {
        self.weights[class_of(rate)] -= weight;
    }
}

/// What to pay, per 1,000 weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeAdvice {
    /// What the next block burns, exactly.
    pub next_base_fee: u64,
    /// The least that the mempool takes from newcomers.
    pub floor: u64,
    /// What gets in: see [`Mempool::advise`].
    pub rate: u64,
    /// Within how many blocks.
    pub blocks: u32,
}

impl Mempool {
    /// What to pay to be in one of the next `blocks` blocks, at most [`ADVICE_BLOCKS_MAX`], when
    /// the next one burns `base_fee`. Who pays it can be in each of them, however full those
    /// before it are, and is in one of them if nothing comes that pays more.
    #[must_use]
    pub fn advise(&self, rules: &Rules, base_fee: u64, floor: u64, blocks: u32) -> FeeAdvice {
        let blocks = blocks.clamp(1, ADVICE_BLOCKS_MAX);
        let most = rules.max_block_weight;
        let mut waiting = self.rates.weights.clone();
        let (mut projected, mut fullest) = (base_fee, base_fee);
        let mut best = u64::MAX;
        for block in 0..blocks {
            let (mut room, mut marginal) = (u64::from(most), projected);
            for class in (0..CLASSES).rev() {
                let rate = top_of(class) / 1_000;
                if waiting[class] == 0 || rate < projected {
                    continue;
                }
                let taken = waiting[class].min(room);
                waiting[class] -= taken;
                room -= taken;
                if room == 0 {
                    // It must pay more than what just found room, or found none.
                    marginal = marginal.max(rate + 1);
                    break;
                }
            }
            best = best.min(marginal);
            let weight = most - u32::try_from(room).unwrap_or(most);
            projected = next_base_fee(rules, projected, weight);
            if block + 1 < blocks {
                fullest = next_base_fee(rules, fullest, most);
            }
        }
        FeeAdvice {
            next_base_fee: base_fee,
            floor,
            rate: best.max(fullest).max(floor),
            blocks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_class_is_a_narrow_range_of_rates(rate in any::<u64>(), shift in 0..64_u32) {
            let rate = rate >> shift;
            let class = class_of(rate);
            prop_assert!(class < CLASSES);
            prop_assert!(rate <= top_of(class));
            prop_assert!(class == 0 || rate > top_of(class - 1));
            prop_assert!(top_of(class) - rate <= rate / 8);
        }
    }
}
