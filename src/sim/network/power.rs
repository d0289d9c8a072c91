//! Powers of a number drawn from (0, 1), in integers: the tail of a Pareto distribution.
//!
//! A Pareto quantile is `scale * h^(-1/shape)`. Floating point gives it with a last bit that
//! differs between machines, so that logarithm and exponential are tables here, computed by the
//! compiler with integers, in units of 1/65,536.

/// Bits behind the point.
const FRACTION: u32 = 16;
/// Entries of each table: the error is below 0.3 %, a tenth of what jitter does.
const STEPS: usize = 256;
/// Two to more than this is beyond every cap on a delay.
const EXPONENT_MAX: u64 = 16;

/// `log2(1 + (i + 1/2) / STEPS)`.
const LOGARITHMS: [u32; STEPS] = logarithms();
/// `2^((i + 1/2) / STEPS)`.
const POWERS: [u64; STEPS] = powers();

const fn logarithms() -> [u32; STEPS] {
    let mut table = [0; STEPS];
    let mut i = 0;
    while i < STEPS {
        // Squaring doubles a logarithm: each time the square passes 2, the next bit is set.
        let mut x = (1_u128 << 32) + (((2 * i + 1) as u128) << 32) / (2 * STEPS) as u128;
        let mut bit = 0;
        while bit < FRACTION {
            x = (x * x) >> 32;
            table[i] <<= 1;
            if x >> 33 > 0 {
                x >>= 1;
                table[i] |= 1;
            }
            bit += 1;
        }
        i += 1;
    }
    table
}

const fn powers() -> [u64; STEPS] {
    let mut table = [0; STEPS];
    let mut i = 0;
    while i < STEPS {
        // The roots of 2: its square root for the first bit of the exponent, and so on.
        let exponent = 2 * i + 1;
        let mut root = 2_u128 << 60;
        let mut power = 1_u128 << 60;
        let mut bit = 2 * STEPS;
        while bit > 1 {
            bit /= 2;
            root = (root << 60).isqrt();
            if exponent & bit > 0 {
                power = (power * root) >> 60;
            }
        }
        table[i] = (power >> (60 - FRACTION)) as u64;
        i += 1;
    }
    table
}

/// `-log2(h)` in 1/65,536, where `h` is the place of `hash` among all hashes, in (0, 1].
fn depth(hash: u64) -> u64 {
    let hash = hash | 1;
    let zeros = hash.leading_zeros();
    let below_one = (hash << zeros) >> 55 & (STEPS as u64 - 1);
    (u64::from(zeros + 1) << FRACTION) - u64::from(LOGARITHMS[below_one as usize])
}

/// `scale * h^(-numerator / denominator)`, where `h` is drawn from (0, 1) by `hash`.
pub(super) fn stretched(scale: u64, hash: u64, numerator: u64, denominator: u64) -> u64 {
    let exponent = depth(hash) * numerator / denominator;
    let whole = (exponent >> FRACTION).min(EXPONENT_MAX);
    let part = exponent >> 8 & (STEPS as u64 - 1);
    ((scale * POWERS[part as usize]) << whole) >> FRACTION
}

/// A waiting time with this mean, drawn by `hash`: the gaps of a Poisson process.
pub(super) fn exponential(mean: u64, hash: u64) -> u64 {
    // The natural logarithm of 2 in 1/65,536.
    const LN_2: u64 = 45_426;
    let natural = (depth(hash) * LN_2) >> FRACTION;
    (mean * natural) >> FRACTION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_floating_point() {
        let mut hash = 0x9e37_79b9_7f4a_7c15_u64;
        for step in 0..20_000_u64 {
            hash = hash.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(step);
            let h = (hash as f64 + 0.5) / 2.0_f64.powi(64);
            for shape in [1.8_f64, 6.4, 24.8, 70.0] {
                let expected = 100_000.0 * h.powf(-1.0 / shape);
                if expected > 2_000_000.0 {
                    continue;
                }
                let got = stretched(100_000, hash, 10, (shape * 10.0) as u64) as f64;
                let off = (got - expected).abs() / expected;
                assert!(off < 0.004, "h {h} shape {shape}: {got}, not {expected}");
            }
        }
    }

    #[test]
    fn waiting_times_have_their_mean() {
        let mut hash = 3_u64;
        let mut sum = 0;
        for step in 0..100_000_u64 {
            hash = hash.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(step);
            sum += exponential(2_000_000, hash);
        }
        let mean = sum / 100_000;
        assert!((1_980_000..2_020_000).contains(&mean), "{mean}");
    }

    #[test]
    fn the_ends_of_the_hashes_stay_in_bounds() {
        assert_eq!(stretched(1_000, u64::MAX, 10, 18), 1_001);
        assert_eq!(stretched(1_000, 1 << 63, 1, 1), 1_997);
        assert_eq!(stretched(350_000, 0, 2, 3) >> 16, 555_334);
    }
}
