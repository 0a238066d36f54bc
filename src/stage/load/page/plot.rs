//! Axes, lines and their labels.

use std::fmt::{self, Write as _};
use std::ops::Range;

use crate::stage::load::words::{ms, number};

/// Decades that an axis of logarithms spans at most: a wild value does not flatten the rest.
const DECADES: i32 = 8;

/// Where values lie along a side of a plot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// The values at both ends; of logarithms both are positive.
    lo: f64,
    hi: f64,
    /// Where the ends lie in the picture.
    from: f64,
    to: f64,
    log: bool,
}

impl Axis {
    /// From nothing to what is `most`, and as far beyond it as the next round number is.
    pub(super) fn linear(most: f64, (from, to): (f64, f64)) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let step = round_up(most / 4.0);
        Axis { lo: 0.0, hi: (most / step - 1e-9).ceil() * step, from, to, log: false }
    }

    /// From nothing to exactly this.
    pub(super) fn exact(hi: f64, (from, to): (f64, f64)) -> Self {
        Axis { lo: 0.0, hi, from, to, log: false }
    }

    /// Logarithms of all these values, from a round number to a round number.
    pub(super) fn log(values: impl Iterator<Item = f64>, (from, to): (f64, f64)) -> Self {
        let (mut lo, mut hi) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|v| v.is_finite() && *v > 0.0) {
            (lo, hi) = (lo.min(value), hi.max(value));
        }
        if lo > hi {
            (lo, hi) = (1.0, 10.0);
        }
        let hi = round_up(hi.clamp(1e-3, 1e9));
        let lo = round_down(lo.clamp(hi * 10_f64.powi(-DECADES), hi));
        // Less than a decade would make hills of nothing.
        let lo = if hi / lo < 9.99 { round_down(hi / 10.0 * 1.000_001) } else { lo };
        Axis { lo, hi, from, to, log: true }
    }

    /// Where a value lies: what is beyond the ends lies at them.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(self.lo) / self.lo).ln() / (self.hi / self.lo).ln()
        } else {
            (value - self.lo) / (self.hi - self.lo)
        };
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        self.from + share * (self.to - self.from)
    }

    /// Lines across a plot that is so wide, at round values of this upright axis, with their labels at its left.
    pub(super) fn grid(&self, out: &mut String, apart: f64, Range { start, end }: Range<f64>) -> fmt::Result {
        for (value, label) in self.ticks(apart) {
            let at = self.at(value);
            writeln!(
                out,
                "<path class=\"tick\" d=\"M{start} {at:.1}H{end}\"/><text class=\"soft l-right\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
                start - 7.0,
                at + 4.0
            )?;
        }
        Ok(())
    }

    /// Round values along it with their labels, at least so far `apart` in the picture.
    pub(super) fn ticks(&self, apart: f64) -> Vec<(f64, String)> {
        let length = (self.to - self.from).abs();
        if !self.log {
            let step = round_up(self.hi * apart / length);
            let count = (self.hi / step + 1e-9) as usize;
            return (0..=count).map(|n| n as f64 * step).map(|value| (value, number(value))).collect();
        }
        let decades = (self.hi / self.lo).log10();
        let decade = length / decades;
        // Powers of ten, and 2 and 5 times them where there is room: those are 0.3 of a decade from the next, or more.
        let leading = [&[1.0, 2.0, 5.0][..], &[1.0]][usize::from(decade * 0.3 < apart)];
        let every = if leading.len() == 1 { (apart / decade).ceil().max(1.0) as usize } else { 1 };
        let powers = self.lo.log10().floor() as i32..=self.hi.log10().ceil() as i32;
        let values = powers.step_by(every).flat_map(|power| leading.iter().map(move |l| l * 10_f64.powi(power)));
        let within = values.filter(|v| (self.lo * 0.999..=self.hi * 1.001).contains(v));
        within.map(|value| (value, short(value))).collect()
    }
}

/// A line through points; `None` interrupts it. A point alone becomes a dot, as the style's round ends draw it.
pub(super) fn line(points: impl Iterator<Item = Option<(f64, f64)>>) -> String {
    let mut out = String::new();
    let mut stretch = 0;
    for point in points.chain([None]) {
        let Some((x, y)) = point else {
            if stretch == 1 {
                out.push_str("h0");
            }
            stretch = 0;
            continue;
        };
        // Writing to a string cannot fail.
        let _ = write!(out, "{}{x:.1} {y:.1}", if stretch == 0 { 'M' } else { 'L' });
        stretch += 1;
    }
    out
}

/// Milliseconds that are a round number, without noughts at their end.
pub(super) fn short(value: f64) -> String {
    let text = ms(value);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Seconds between ticks of a time axis.
pub(super) fn time_step(seconds: f64) -> f64 {
    const STEPS: [f64; 12] = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0];
    STEPS.into_iter().find(|step| seconds / step <= 12.0).unwrap_or_else(|| round_up(seconds / 12.0))
}

/// The next of 1, 2 and 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|l| l * power).find(|v| *v >= value * 0.999_999).unwrap_or(value)
}

fn round_down(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0].into_iter().map(|l| l * power).find(|v| *v <= value * 1.000_001).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis, apart: f64) -> Vec<String> {
        axis.ticks(apart).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn axes_end_at_round_numbers() {
        let linear = |most| Axis::linear(most, (100.0, 0.0));
        assert_eq!(labels(linear(0.62), 15.0), ["0", "0.20", "0.40", "0.60", "0.80"]);
        assert_eq!(labels(linear(200.0), 20.0), ["0", "50", "100", "150", "200"]);
        assert_eq!(labels(linear(f64::NAN), 40.0), ["0", "0.50", "1"]);
        let log = |values: &[f64]| Axis::log(values.iter().copied(), (100.0, 0.0));
        assert_eq!(labels(log(&[0.13, 1.7]), 15.0), ["0.1", "0.2", "0.5", "1", "2"]);
        assert_eq!(labels(log(&[0.013, 1_700.0, f64::NAN, -3.0]), 15.0), ["0.01", "0.1", "1", "10", "100", "1,000"]);
        assert_eq!(labels(log(&[]), 15.0), ["1", "2", "5", "10"]);
        assert_eq!(labels(log(&[40.0]), 15.0), ["5", "10", "20", "50"]);
        assert_eq!(log(&[0.1, 10.0]).at(1.0), 50.0);
        assert_eq!((log(&[1.0, 10.0]).at(-5.0), log(&[1.0, 10.0]).at(f64::NAN)), (100.0, 100.0));
    }

    #[test]
    fn labels_do_not_lie_over_each_other() {
        for (least, most) in [(0.09, 20.0), (0.1, 10.0), (1.0, 1.0), (3.0, 900.0), (1e-300, 1e300)] {
            let axis = Axis::log([least, most].into_iter(), (84.0, 0.0));
            let heights: Vec<f64> = axis.ticks(15.0).iter().map(|(value, _)| axis.at(*value)).collect();
            assert!(heights.len() > 1, "{least} to {most}: {heights:?}");
            assert!(heights.windows(2).all(|pair| pair[0] - pair[1] >= 15.0), "{least} to {most}: {heights:?}");
        }
    }

    #[test]
    fn lines_are_interrupted_where_nothing_was_measured() {
        let points = [None, Some((1.0, 2.0)), None, None, Some((3.0, 4.0)), Some((5.0, 6.0)), None, Some((7.0, 8.0))];
        assert_eq!(line(points.into_iter()), "M1.0 2.0h0M3.0 4.0L5.0 6.0M7.0 8.0h0");
        assert_eq!(line([None, None].into_iter()), "");
    }
}
