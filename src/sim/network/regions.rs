//! Where nodes are, how far the places are from each other, and how fast lines are there.
//!
//! The tables of the two SimBlock matrices are those of SimBlock's `NetworkConfiguration.java`
//! (Aoki et al., "SimBlock: A Blockchain Network Simulator", 2019; Apache-2.0), measured between
//! nodes of Bitcoin.

use crate::base::{Rng, Span};

use super::ping;
use super::power::stretched;
use super::{Bandwidths, Matrix, NetworkConfig};

/// A region, by its number in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Region(pub u8);

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The region.
    pub region: Region,
    /// Bytes per second from it; `u64::MAX` where there is no limit.
    pub up: u64,
    /// Bytes per second to it.
    pub down: u64,
}

const SIX: usize = 6;
const NAMES: [&str; SIX] = [
    "North America",
    "Europe",
    "South America",
    "Asia-Pacific",
    "Japan",
    "Australia",
];
/// Milliseconds between regions.
const DELAYS_2019: [[u16; SIX]; SIX] = [
    [32, 124, 184, 198, 151, 189],
    [124, 11, 227, 237, 252, 294],
    [184, 227, 88, 325, 301, 322],
    [198, 237, 325, 85, 58, 198],
    [151, 252, 301, 58, 12, 126],
    [189, 294, 322, 198, 126, 16],
];
const DELAYS_2015: [[u16; SIX]; SIX] = [
    [36, 119, 255, 310, 154, 208],
    [119, 12, 221, 242, 266, 350],
    [255, 221, 137, 347, 256, 269],
    [310, 242, 347, 99, 172, 278],
    [154, 266, 256, 172, 9, 163],
    [208, 350, 269, 278, 163, 22],
];
/// Of 10,000 nodes.
const SHARES_2019: [u64; SIX] = [3_316, 4_998, 90, 1_177, 224, 195];
const SHARES_2015: [u64; SIX] = [3_869, 5_159, 113, 574, 119, 166];
/// Bytes per second: 19.2, 20.7, 5.8, 15.7, 10.2 and 11.3 Mbit/s.
const UP_2019: [u64; SIX] = [
    2_400_000, 2_587_500, 725_000, 1_962_500, 1_275_000, 1_412_500,
];
/// Bytes per second: 52, 40, 18, 22.8, 22.8 and 29.9 Mbit/s.
const DOWN_2019: [u64; SIX] = [
    6_500_000, 5_000_000, 2_250_000, 2_850_000, 2_850_000, 3_737_500,
];
/// Bytes per second: 4.7, 8.1, 1.8, 5.3, 3.4 and 5.2 Mbit/s.
const UP_2015: [u64; SIX] = [587_500, 1_012_500, 225_000, 662_500, 425_000, 650_000];
/// Bytes per second: 25, 24, 6.5, 10, 17.5 and 14 Mbit/s.
const DOWN_2015: [u64; SIX] = [
    3_125_000, 3_000_000, 812_500, 1_250_000, 2_187_500, 1_750_000,
];
/// Bytes per second of a gigabit, which a small machine of a cloud has.
const CLOUD: u64 = 125_000_000;

/// The Pareto tail of a pair ends here: SimBlock's has no end, and one pair of a million would
/// have a delay of minutes.
const DELAY_MAX: u64 = 2_000_000;
/// A pair's part of a delay of the cloud's table: up to a quarter more, for what lies between the
/// node and where the table was measured.
const LAST_MILE_PARTS: u64 = 4;

/// Tables made ready for a configuration.
#[derive(Clone, Debug)]
pub(super) struct Regions {
    matrix: Matrix,
    share_permille: u64,
}

impl Regions {
    pub(super) const fn new(config: &NetworkConfig) -> Self {
        Self {
            matrix: config.matrix,
            share_permille: config.one_way_permille as u64,
        }
    }

    pub(super) const fn names(&self) -> &'static [&'static str] {
        match self.matrix {
            Matrix::PingTable => &ping::NAMES,
            _ => &NAMES,
        }
    }

    /// Where the next node is.
    pub(super) fn draw(&self, rng: &mut Rng) -> Region {
        let shares = match self.matrix {
            Matrix::PingTable => return Region(rng.below(ping::NAMES.len() as u64) as u8),
            Matrix::SimBlock2015 => &SHARES_2015,
            Matrix::SimBlock2019 | Matrix::Uniform(_) | Matrix::Spread(..) => &SHARES_2019,
        };
        let mut place = rng.below(shares.iter().sum());
        let mut region = 0;
        while place >= shares[region] {
            place -= shares[region];
            region += 1;
        }
        Region(region as u8)
    }

    /// How fast a line is, up and down.
    pub(super) fn line(&self, bandwidth: &Bandwidths, region: Region) -> (u64, u64) {
        match bandwidth {
            Bandwidths::ByRegion => {
                let region = usize::from(region.0);
                match self.matrix {
                    Matrix::PingTable => (CLOUD, CLOUD),
                    Matrix::SimBlock2015 => (UP_2015[region], DOWN_2015[region]),
                    _ => (UP_2019[region], DOWN_2019[region]),
                }
            }
            Bandwidths::Fixed { up, down } => (*up, *down),
            Bandwidths::Unlimited => (u64::MAX, u64::MAX),
        }
    }

    /// The delay of one way between two nodes, whose pair has a hash.
    pub(super) fn delay(&self, a: Region, b: Region, hash: u64) -> Span {
        let (a, b) = (usize::from(a.0), usize::from(b.0));
        let table = match self.matrix {
            Matrix::Uniform(delay) => return delay,
            Matrix::Spread(least, most) => {
                let (least, most) = (least.as_micros(), most.as_micros());
                least + (((most - least) * (hash >> 32)) >> 32)
            }
            Matrix::SimBlock2019 => self.pareto(DELAYS_2019[a][b], hash),
            Matrix::SimBlock2015 => self.pareto(DELAYS_2015[a][b], hash),
            Matrix::PingTable => {
                let delay = ping::round_trip(a, b) * self.share_permille / 1_000;
                delay + (((delay / LAST_MILE_PARTS) * (hash >> 32)) >> 32)
            }
        };
        Span::from_micros(table)
    }

    /// SimBlock's distribution: of a table's `m` milliseconds, a Pareto quantile with the scale
    /// `m - 5` and the shape `m / 5`. Below 1.5, which no table comes to, the shape is 1.5.
    fn pareto(&self, millis: u16, hash: u64) -> u64 {
        let millis = u64::from(millis);
        let scale = (millis.saturating_sub(5)).max(1) * self.share_permille;
        stretched(scale, hash, 10, (millis * 2).max(15)).min(DELAY_MAX)
    }
}
