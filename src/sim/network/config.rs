//! What a network is made of, as scenario files say it.

use serde::{Deserialize, Serialize};

use crate::base::Span;
use crate::sim::unfit::{Unfit, within};

/// The slowest line, in bytes per second: with less, a greatest message would take over an hour.
const RATE_MIN: u64 = 1_000;
/// The fastest line that is not [`Bandwidths::Unlimited`], a terabit per second.
const RATE_MAX: u64 = 125_000_000_000;
/// Jitter beyond a delay's tenfold is an outage, for which there are cuts.
const JITTER_MAX: u32 = 10_000;
/// With more of its segments lost, a connection of TCP ends.
const LOSS_MAX: u32 = 300_000;
/// The largest first window, that of a line over which nothing waits.
const WINDOW_MAX: u32 = 4 * 1024 * 1024;
/// No table holds a delay to be multiplied by more.
const SHARE_MAX: u32 = 10_000;
/// The longest uniform delay.
const DELAY_MAX: Span = Span::from_secs(60);

/// How long messages take and how fast lines are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// How far nodes are from each other.
    pub matrix: Matrix,
    /// Which share of a table's value, in 1/1,000, is the delay of one way. The tables hold round
    /// trips (500); `SimBlock` takes its own for one way (1,000).
    pub one_way_permille: u32,
    /// How much later than its pair's delay a message may come, in 1/1,000 of the delay.
    pub jitter_permille: u32,
    /// How fast the lines are.
    pub bandwidth: Bandwidths,
    /// Whether connections begin slowly, as those of TCP do.
    pub slow_start: bool,
    /// How many bytes a connection may have under way when it begins: ten segments of 1,460
    /// (RFC 6928).
    pub initial_window: u32,
    /// Whether a connection begins slowly again after a second without a message (RFC 5681,
    /// section 4.1); operators switch it off with `net.ipv4.tcp_slow_start_after_idle=0`.
    pub idle_reset: bool,
    /// How many of a million segments are lost.
    pub loss_per_million: u32,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            matrix: Matrix::SimBlock2019,
            one_way_permille: 500,
            jitter_permille: 60,
            bandwidth: Bandwidths::ByRegion,
            slow_start: true,
            initial_window: 14_600,
            idle_reset: true,
            loss_per_million: 0,
        }
    }
}

impl NetworkConfig {
    /// A network in which everything can be computed by hand: the same delay of one way for every
    /// pair, the same bytes per second both ways for every node, and nothing left to chance.
    #[must_use]
    pub fn even(delay: Span, rate: u64) -> Self {
        Self {
            matrix: Matrix::Uniform(delay),
            jitter_permille: 0,
            bandwidth: Bandwidths::Fixed {
                up: rate,
                down: rate,
            },
            slow_start: false,
            ..Self::default()
        }
    }
}

/// How far nodes are from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Matrix {
    /// Six regions of Bitcoin's nodes in 2019, with a Pareto tail for each pair.
    #[serde(rename = "simblock-2019")]
    SimBlock2019,
    /// The same in 2015.
    #[serde(rename = "simblock-2015")]
    SimBlock2015,
    /// The same delay of one way for every pair, in microseconds.
    #[serde(rename = "uniform")]
    Uniform(Span),
    /// A delay of one way for each pair, any between two, in microseconds.
    #[serde(rename = "spread")]
    Spread(Span, Span),
    /// Nodes in 33 regions of a cloud, each as likely, with medians measured between them.
    #[serde(rename = "ping-table")]
    PingTable,
}

/// How fast the lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Bandwidths {
    /// As usual where the node is; those of a [`Matrix::PingTable`] have a gigabit.
    ByRegion,
    /// The same for all, in bytes per second.
    Fixed {
        /// From the node.
        up: u64,
        /// To it.
        down: u64,
    },
    /// Bytes take no time.
    Unlimited,
}

impl NetworkConfig {
    /// Whether there can be such a network.
    ///
    /// # Errors
    /// The first value that is out of its bounds.
    pub fn check(&self) -> Result<(), Unfit> {
        let share = u64::from(self.one_way_permille);
        within("one_way_permille", share, 1, u64::from(SHARE_MAX))?;
        let jitter = u64::from(self.jitter_permille);
        within("jitter_permille", jitter, 0, u64::from(JITTER_MAX))?;
        let loss = u64::from(self.loss_per_million);
        within("loss_per_million", loss, 0, u64::from(LOSS_MAX))?;
        let window = u64::from(self.initial_window);
        within("initial_window", window, 1_460, u64::from(WINDOW_MAX))?;
        if let Bandwidths::Fixed { up, down } = self.bandwidth {
            within("bandwidth.fixed.up", up, RATE_MIN, RATE_MAX)?;
            within("bandwidth.fixed.down", down, RATE_MIN, RATE_MAX)?;
        }
        if let Matrix::Uniform(delay) = self.matrix {
            let micros = delay.as_micros();
            within("matrix.uniform", micros, 0, DELAY_MAX.as_micros())?;
        }
        if let Matrix::Spread(least, most) = self.matrix {
            let (least, most) = (least.as_micros(), most.as_micros());
            within("matrix.spread[0]", least, 0, most)?;
            within("matrix.spread[1]", most, 0, DELAY_MAX.as_micros())?;
        }
        Ok(())
    }
}
