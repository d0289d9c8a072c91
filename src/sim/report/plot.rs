//! Scales, ticks and frames.

use super::drawing::{Anchor, Area, Drawing, Point, text_width};
use super::units::three_digits;

/// How values become places along one direction of the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    from: f64,
    to: f64,
    low: f64,
    high: f64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Linear,
    Logarithmic,
    /// Seconds, with ticks where clocks have them.
    Seconds,
}

impl Scale {
    /// From `from` at the place `low` to `to` at `high`; `to` grows to the next round value.
    pub(super) fn linear(from: f64, to: f64, low: f64, high: f64) -> Self {
        let step = round_step((to - from).max(1e-9), 5.0);
        let to = from + ((to - from).max(1e-9) / step).ceil() * step;
        Self {
            from,
            to,
            low,
            high,
            kind: Kind::Linear,
        }
    }

    /// The same for whole numbers: steps are at least 1.
    pub(super) fn counts(to: f64, low: f64, high: f64) -> Self {
        Self::linear(0.0, to.max(5.0), low, high)
    }

    pub(super) fn logarithmic(from: f64, to: f64, low: f64, high: f64) -> Self {
        Self {
            from,
            to,
            low,
            high,
            kind: Kind::Logarithmic,
        }
    }

    /// Seconds from 0 to the end of a run.
    pub(super) fn seconds(to: f64, low: f64, high: f64) -> Self {
        Self {
            from: 0.0,
            to: to.max(1e-3),
            low,
            high,
            kind: Kind::Seconds,
        }
    }

    /// Where a value stands; what is outside stands at the end.
    pub(super) fn at(&self, value: f64) -> f64 {
        let part = match self.kind {
            Kind::Linear | Kind::Seconds => (value - self.from) / (self.to - self.from),
            Kind::Logarithmic => (value / self.from).log10() / (self.to / self.from).log10(),
        };
        // A value that is no number stands at the beginning.
        self.low + (self.high - self.low) * part.clamp(0.0, 1.0).max(0.0)
    }

    pub(super) const fn end(&self) -> f64 {
        self.to
    }

    /// The values that are marked and named.
    pub(super) fn ticks(&self) -> Vec<f64> {
        match self.kind {
            Kind::Linear => steps(self.from, self.to, round_step(self.to - self.from, 5.0)),
            Kind::Seconds => steps(self.from, self.to, clock_step(self.to - self.from)),
            Kind::Logarithmic => {
                let mut ticks = Vec::new();
                let mut decade = 10_f64.powi(self.from.log10().floor() as i32);
                while decade <= self.to * 1.001 {
                    if decade >= self.from * 0.999 {
                        ticks.push(decade);
                    }
                    decade *= 10.0;
                }
                ticks
            }
        }
    }

    /// Where lines without a number stand between ticks of a logarithmic scale.
    fn minor_ticks(&self) -> Vec<f64> {
        if self.kind != Kind::Logarithmic {
            return Vec::new();
        }
        let mut minor = Vec::new();
        let mut decade = 10_f64.powi(self.from.log10().floor() as i32);
        while decade < self.to {
            let between = (2..10).map(|times| decade * f64::from(times));
            minor.extend(between.filter(|value| (self.from..=self.to).contains(value)));
            decade *= 10.0;
        }
        minor
    }
}

fn steps(from: f64, to: f64, step: f64) -> Vec<f64> {
    let count = ((to - from) / step + 1e-6).floor() as usize;
    (0..=count.min(50))
        .map(|at| from + at as f64 * step)
        .collect()
}

/// 1, 2 or 5 times a power of ten, for about so many steps.
fn round_step(range: f64, wanted: f64) -> f64 {
    let rough = range / wanted;
    let decade = 10_f64.powi(rough.log10().floor() as i32);
    let digits = [1.0, 2.0, 5.0, 10.0].into_iter();
    let step = digits
        .map(|digit| digit * decade)
        .find(|step| *step >= rough * 0.999);
    step.unwrap_or(10.0 * decade)
}

fn clock_step(range: f64) -> f64 {
    const STEPS: [f64; 21] = [
        1.0,
        2.0,
        5.0,
        10.0,
        15.0,
        30.0,
        60.0,
        120.0,
        300.0,
        600.0,
        900.0,
        1_800.0,
        3_600.0,
        7_200.0,
        14_400.0,
        21_600.0,
        43_200.0,
        86_400.0,
        172_800.0,
        604_800.0,
        2_592_000.0,
    ];
    if range < 5.0 {
        return round_step(range, 5.0);
    }
    let step = STEPS.into_iter().find(|step| range / step <= 8.5);
    step.unwrap_or_else(|| round_step(range, 8.0))
}

/// Seconds since the beginning as a clock shows them, in the unit that the axis' end asks for.
pub(super) fn clock(seconds: f64, end: f64) -> String {
    let whole = (seconds + 0.5).floor() as u64;
    if end < 120.0 {
        format!("{} s", three_digits(seconds))
    } else if end < 7_200.0 {
        if clock_step(end) < 60.0 {
            format!("{}:{:02}", whole / 60, whole % 60)
        } else {
            format!("{} min", whole / 60)
        }
    } else if whole.is_multiple_of(3_600) {
        format!("{} h", whole / 3_600)
    } else {
        format!("{}:{:02} h", whole / 3_600, whole / 60 % 60)
    }
}

/// One plot: where it stands, its scales, and what its ticks are called.
pub(super) struct Plot<'a> {
    pub area: Area,
    pub x: Scale,
    pub y: Scale,
    pub x_name: &'a str,
    pub x_text: &'a dyn Fn(f64) -> String,
    pub y_name: &'a str,
    pub y_text: &'a dyn Fn(f64) -> String,
}

impl Plot<'_> {
    /// Grid, ticks and names of the axes.
    pub(super) fn frame(&self, drawing: &mut Drawing) {
        let area = &self.area;
        for value in self.x.minor_ticks() {
            let x = self.x.at(value);
            drawing.line("minor", (x, area.top), (x, area.bottom()));
        }
        let mut free = f64::NEG_INFINITY;
        for value in self.x.ticks() {
            let (x, text) = (self.x.at(value), (self.x_text)(value));
            drawing.line("grid", (x, area.top), (x, area.bottom()));
            let half = text_width(&text, 12.0) / 2.0;
            if x - half >= free {
                drawing.text("tick", (x, area.bottom() + 17.0), Anchor::Middle, &text);
                free = x + half + 6.0;
            }
        }
        for value in self.y.ticks() {
            let y = self.y.at(value);
            drawing.line("grid", (area.left, y), (area.right(), y));
            let text = (self.y_text)(value);
            drawing.text("tick", (area.left - 7.0, y + 4.0), Anchor::End, &text);
        }
        drawing.line(
            "axis",
            (area.left, area.bottom()),
            (area.right(), area.bottom()),
        );
        let at = (area.left - 7.0, area.top - 12.0);
        drawing.text("name", at, Anchor::Start, self.y_name);
        let at = (area.right(), area.bottom() + 34.0);
        drawing.text("name", at, Anchor::End, self.x_name);
    }

    pub(super) fn at(&self, x: f64, y: f64) -> Point {
        (self.x.at(x), self.y.at(y))
    }
}

/// Places for labels beside the ends of lines: as near as can be to where they belong, `gap` apart
/// and between `top` and `bottom` as far as they fit. The order is kept.
pub(super) fn apart(wanted: &[f64], gap: f64, top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]).then(a.cmp(b)));
    let mut places = wanted.to_vec();
    let mut least = top;
    for place in &order {
        places[*place] = places[*place].max(least);
        least = places[*place] + gap;
    }
    let mut most = bottom;
    for place in order.iter().rev() {
        places[*place] = places[*place].min(most);
        most = places[*place] - gap;
    }
    places
}
