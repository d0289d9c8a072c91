//! How often what goes wrong, and how those numbers are drawn for a seed.

use serde::{Deserialize, Serialize};

use crate::base::{Rng, Span};
use crate::sim::unfit::{Unfit, within};

/// The least time from one fault to the next: nobody would live between them.
const EVERY_MIN: Span = Span::from_millis(1);
/// How long nodes that leave are away in the mean, at least: five blocks of the slowest chain.
const AWAY_MIN: Span = Span::from_secs(20);
/// The most time between faults, and of one: longer than any run.
const PACE_MAX: Span = Span::from_secs(100 * 365 * 86_400);

/// How often a fault comes, and how long it lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    /// The mean time from one to the next, anywhere in the network; 0 for never.
    pub every: Span,
    /// The mean time that it lasts.
    pub lasts: Span,
}

impl Pace {
    /// A pace.
    #[must_use]
    pub const fn new(every: Span, lasts: Span) -> Self {
        Self { every, lasts }
    }

    /// The same, for so long at least: a node notices a full disk only when a segment is full too.
    fn lasting(self, least: Span) -> Self {
        Self {
            lasts: self.lasts.max(least),
            ..self
        }
    }

    /// The same, for long: what is drawn between nothing and two minutes becomes 20 s to
    /// two minutes.
    fn away(self) -> Self {
        let lasts = AWAY_MIN + Span::from_micros(self.lasts.as_micros() / 4 * 3);
        let never = self.every == Span::ZERO;
        Self {
            lasts: if never { self.lasts } else { lasts },
            ..self
        }
    }

    /// Never, as often as not; else anything from rare to relentless.
    fn draw(rng: &mut Rng, lasts_max: Span) -> Self {
        if rng.chance(1, 2) {
            return Self::default();
        }
        Self {
            every: anywhere(rng, Span::from_millis(700), Span::from_secs(180)),
            lasts: anywhere(rng, Span::from_millis(2), lasts_max),
        }
    }
}

/// A span between two, each factor of two as likely as any other.
fn anywhere(rng: &mut Rng, least: Span, most: Span) -> Span {
    let doublings = (most.as_micros() / least.as_micros().max(1)).max(1).ilog2();
    let low = least.as_micros() << rng.below(u64::from(doublings) + 1);
    Span::from_micros(low + rng.below(low))
}

/// What goes wrong in a run, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultOptions {
    /// Processes are killed, and start again after a while.
    pub kill: Pace,
    /// The power goes at a node.
    pub power_cut: Pace,
    /// The power goes at all nodes at once.
    pub blackout: Pace,
    /// Processes are stopped and go on.
    pub pause: Pace,
    /// Bits of a disk turn, of a minority of nodes.
    pub bit_flip: Pace,
    /// Bytes of a disk can't be read for a while, of the same minority.
    pub unreadable: Pace,
    /// A write is lost or goes elsewhere, of the same minority.
    pub strayed_write: Pace,
    /// Segments lose their end or go altogether, of the same minority.
    pub lost_segment: Pace,
    /// A disk is full.
    pub disk_full: Pace,
    /// A disk takes part of what it is given.
    pub short_writes: Pace,
    /// A disk takes long to sync.
    pub slow_disk: Pace,
    /// A disk fails to sync.
    pub failing_sync: Pace,
    /// Part of the network does not hear another part.
    pub partition: Pace,
    /// Nodes leave and come back.
    pub leave: Pace,
    /// Clocks are set anew between two lives of a process.
    pub clock_jump: Pace,
    /// How many in 1,000 nodes have a clock that is off, within what the rules bear.
    pub skewed_permille: u32,
    /// How many in 1,000 nodes have a clock that is off by more than that.
    pub wrong_clock_permille: u32,
    /// How many in 1,000 nodes have a disk that may lose bits.
    pub frail_permille: u32,
    /// How many in 1,000 nodes join late.
    pub late_permille: u32,
}

impl FaultOptions {
    /// Whether things can go wrong like this.
    ///
    /// # Errors
    /// The first value that is out of its bounds.
    pub fn check(&self) -> Result<(), Unfit> {
        for (fault, share) in [
            ("skewed_permille", self.skewed_permille),
            ("wrong_clock_permille", self.wrong_clock_permille),
            ("frail_permille", self.frail_permille),
            ("late_permille", self.late_permille),
        ] {
            within(fault, share.into(), 0, 1_000)?;
        }
        let most = PACE_MAX.as_micros();
        for (fault, pace) in [
            ("kill", self.kill),
            ("power_cut", self.power_cut),
            ("blackout", self.blackout),
            ("pause", self.pause),
            ("bit_flip", self.bit_flip),
            ("unreadable", self.unreadable),
            ("strayed_write", self.strayed_write),
            ("lost_segment", self.lost_segment),
            ("disk_full", self.disk_full),
            ("short_writes", self.short_writes),
            ("slow_disk", self.slow_disk),
            ("failing_sync", self.failing_sync),
            ("partition", self.partition),
            ("leave", self.leave),
            ("clock_jump", self.clock_jump),
        ] {
            let (every, lasts) = (pace.every.as_micros(), pace.lasts.as_micros());
            if every > 0 {
                let least = EVERY_MIN.as_micros();
                within(&format!("{fault}.every (us)"), every, least, most)?;
            }
            within(&format!("{fault}.lasts (us)"), lasts, 0, most)?;
        }
        Ok(())
    }

    /// Those of a seed: any of them may be zero, and any of them harsh. What all of them at once
    /// would hide, some seed has by itself.
    #[must_use]
    pub fn draw(rng: &mut Rng) -> Self {
        let short = Span::from_secs(4);
        let long = Span::from_secs(40);
        let mut some = |most: u64| {
            let none = rng.chance(1, 2);
            if none { 0 } else { rng.below(most + 1) as u32 }
        };
        Self {
            skewed_permille: some(700),
            wrong_clock_permille: some(150),
            frail_permille: some(250),
            late_permille: some(300),
            kill: Pace::draw(rng, short),
            power_cut: Pace::draw(rng, short),
            blackout: Pace {
                every: Pace::draw(rng, short).every.times(8),
                lasts: short,
            },
            pause: Pace::draw(rng, long),
            bit_flip: Pace::draw(rng, short),
            unreadable: Pace::draw(rng, long),
            strayed_write: Pace::draw(rng, short),
            lost_segment: Pace::draw(rng, short),
            disk_full: Pace::draw(rng, long).lasting(Span::from_secs(10)),
            short_writes: Pace::draw(rng, short),
            slow_disk: Pace::draw(rng, long),
            failing_sync: Pace::draw(rng, short),
            partition: Pace::draw(rng, long),
            leave: Pace::draw(rng, long.times(2)).away(),
            clock_jump: Pace::draw(rng, short),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_and_many_faults_are_left_out() {
        let drawn: Vec<_> = (0..200)
            .map(|seed| FaultOptions::draw(&mut Rng::from_number(seed)))
            .collect();
        assert!(drawn.iter().all(|options| options.check().is_ok()));
        let never = |of: fn(&FaultOptions) -> Pace| {
            let never = drawn
                .iter()
                .filter(|options| of(options).every == Span::ZERO);
            never.count()
        };
        for of in [
            |o: &FaultOptions| o.kill,
            |o: &FaultOptions| o.blackout,
            |o: &FaultOptions| o.partition,
            |o: &FaultOptions| o.failing_sync,
        ] {
            assert!((60..140).contains(&never(of)), "{}", never(of));
        }
        assert!(drawn.iter().any(|o| o.kill.every > Span::from_secs(60)));
        assert!(
            drawn
                .iter()
                .any(|o| { o.kill.every > Span::ZERO && o.kill.every < Span::from_secs(2) })
        );
    }

    #[test]
    fn options_are_read_as_they_were_written() {
        let options = FaultOptions::draw(&mut Rng::from_number(3));
        let text = toml::to_string(&options).unwrap();
        assert_eq!(toml::from_str::<FaultOptions>(&text).unwrap(), options);
        assert!(toml::from_str::<FaultOptions>("kil = 3").is_err());
    }
}
