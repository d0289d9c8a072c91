//! The target rule aserti3-2d: the target follows how far the chain is ahead of its schedule or
//! behind it, doubling for each half-life that it is behind.

use crate::types::Uint256;

/// How far a chain is from its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drift {
    /// How much time has passed since the anchor's parent.
    pub elapsed: i128,
    /// How much time the blocks since then should have taken.
    pub scheduled: i128,
}

/// The target of the next block: `anchor * 2^(drift / half_life)` by a cubic approximation in
/// integers, rounded down and kept within 1 and `limit`. Times and half-life are in one unit,
/// whichever it is.
#[must_use]
pub fn asert(anchor: Uint256, drift: Drift, half_life: u64, limit: Uint256) -> Uint256 {
    // 64 bits of time and 32 of interval times 65 of height leave room for the 16 of the fraction.
    // Division truncates towards zero, as the official vectors want.
    let exponent = (drift.elapsed - drift.scheduled) * 65_536 / i128::from(half_life.max(1));
    let (shift, fraction) = (exponent >> 16, (exponent & 0xffff) as u128);
    let cubic = 195_766_423_245_049 * fraction
        + 971_821_376 * fraction * fraction
        + 5_127 * fraction * fraction * fraction
        + (1 << 47);
    let factor = 65_536 + (cubic >> 48) as u64;
    scale(anchor, factor, shift - 16)
        .unwrap_or(limit)
        .clamp(Uint256::ONE, limit)
}

/// `anchor * factor * 2^shift`, rounded down; nothing when it needs more than 256 bits.
fn scale(anchor: Uint256, factor: u64, shift: i128) -> Option<Uint256> {
    let (low, high) = anchor.widening_mul(factor);
    let bits = if high == 0 {
        low.bits()
    } else {
        256 + high.ilog2() + 1
    };
    let scaled_bits = i128::from(bits) + shift;
    if scaled_bits > 256 {
        return None;
    }
    if scaled_bits <= 0 {
        return Some(Uint256::ZERO);
    }
    // From here on the shift is at most 256 upwards and 320 downwards.
    let amount = shift.unsigned_abs() as u32;
    if shift >= 0 {
        return Some(low.shift_left(amount));
    }
    let high = Uint256::from_u64(high);
    let upper = if amount >= 256 {
        high.shift_right(amount - 256)
    } else {
        high.shift_left(256 - amount)
    };
    // The two parts share no bit, so that the sum can't carry.
    Some(low.shift_right(amount).saturating_add(upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::CompactBits;
    use proptest::prelude::*;

    const RUNS: [&str; 10] = [
        include_str!("../../tests/vectors/asert/run01"),
        include_str!("../../tests/vectors/asert/run02"),
        include_str!("../../tests/vectors/asert/run03"),
        include_str!("../../tests/vectors/asert/run04"),
        include_str!("../../tests/vectors/asert/run05"),
        include_str!("../../tests/vectors/asert/run06"),
        include_str!("../../tests/vectors/asert/run07"),
        include_str!("../../tests/vectors/asert/run08"),
        include_str!("../../tests/vectors/asert/run09"),
        include_str!("../../tests/vectors/asert/run10"),
    ];

    fn bits(text: &str) -> CompactBits {
        CompactBits(u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap())
    }

    /// The value of `key` in the head of a run.
    fn head<'a>(run: &'a str, key: &str) -> &'a str {
        let line = run.lines().find(|line| line.contains(key)).unwrap();
        line.rsplit(": ").next().unwrap().trim()
    }

    #[test]
    fn all_official_vectors() {
        let limit = CompactBits(0x1d00_ffff).target().unwrap();
        let mut blocks = 0;
        for run in RUNS {
            let anchor = bits(head(run, "anchor nBits")).target().unwrap();
            let anchor_height: i128 = head(run, "anchor height").parse().unwrap();
            let parent_time: i128 = head(run, "anchor ancestor time").parse().unwrap();
            for line in run
                .lines()
                .filter(|line| !line.starts_with('#') && !line.is_empty())
            {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let [_, height, time, wanted] = fields[..] else {
                    panic!("{line}");
                };
                let drift = Drift {
                    elapsed: time.parse::<i128>().unwrap() - parent_time,
                    scheduled: 600 * (height.parse::<i128>().unwrap() - anchor_height + 1),
                };
                let target = asert(anchor, drift, 172_800, limit);
                let found = CompactBits::from_target(target);
                assert_eq!(found, bits(wanted), "{}: {line}", head(run, "description"));
                blocks += 1;
            }
        }
        assert_eq!(blocks, 3_000);
    }

    fn on_time(late: i128) -> Drift {
        Drift {
            elapsed: late,
            scheduled: 0,
        }
    }

    proptest! {
        #[test]
        fn whole_half_lives_double_and_halve_exactly(
            limbs in any::<[u64; 4]>(),
            shift in 0_u32..256,
            half_lives in -300_i128..300,
            half_life in 32_u64..,
        ) {
            let anchor = Uint256(limbs).shift_right(shift).clamp(Uint256::ONE, Uint256::MAX);
            let drift = on_time(half_lives * i128::from(half_life));
            let found = asert(anchor, drift, half_life, Uint256::MAX);
            let amount = half_lives.unsigned_abs() as u32;
            let wanted = if half_lives < 0 {
                anchor.shift_right(amount)
            } else if anchor.bits() + amount > 256 {
                Uint256::MAX
            } else {
                anchor.shift_left(amount)
            };
            prop_assert_eq!(found, wanted.clamp(Uint256::ONE, Uint256::MAX));
        }

        #[test]
        fn a_later_block_never_makes_the_next_one_harder(
            mantissa in 1_u64..,
            shift in 0_u32..192,
            late in -10_000_000_i128..10_000_000,
            more in 0_i128..1_000_000,
            half_life in 32_u64..1_000_000,
        ) {
            let anchor = Uint256::from_u64(mantissa).shift_left(shift);
            let early = asert(anchor, on_time(late), half_life, Uint256::MAX);
            let later = asert(anchor, on_time(late + more), half_life, Uint256::MAX);
            prop_assert!(early <= later);
        }
    }

    #[test]
    fn the_greatest_drifts_stay_within_bounds() {
        let limit = CompactBits(0x207f_ffff).target().unwrap();
        let anchor = CompactBits(0x1f04_0000).target().unwrap();
        let most = Drift {
            elapsed: i128::from(u64::MAX) + (1 << 32),
            scheduled: 0,
        };
        assert_eq!(asert(anchor, most, 32, limit), limit);
        let least = Drift {
            elapsed: -i128::from(u64::MAX),
            scheduled: i128::from(u32::MAX) * (1 << 64),
        };
        assert_eq!(asert(anchor, least, 32, limit), Uint256::ONE);
    }
}
