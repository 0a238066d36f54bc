//! Percentile curves: how high each latency climbs for the few that have it worst.

use std::fmt::{self, Write as _};

use super::plot::{Axis, line};
use super::{arrow, key};
use crate::lab::picture::text::Esc;
use crate::stage::load::report::{Latency, LoadReport};
use crate::stage::load::words::maybe_ms;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 218.0;
const LEFT: f64 = 48.0;
/// Where the greatest value is drawn, which no percentile has.
const MAX: f64 = WIDTH - 14.0;
/// The last percentile of the axis.
const RIGHT: f64 = MAX - 38.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = HEIGHT - 22.0;
/// Percentiles with a tick, each further out by a decade but for the first two.
const TICKS: [(f64, &str); 6] =
    [(0.0, "0"), (50.0, "50"), (90.0, "90"), (99.0, "99"), (99.9, "99.9"), (99.99, "99.99")];

/// The section: a plot for each latency that has a curve.
pub(super) fn section(out: &mut String, report: &LoadReport) -> fmt::Result {
    out.push_str("<section>\n<h2>Percentiles</h2>\n");
    let floor = report.floor.as_ref().map_or(&[][..], |floor| &floor.latencies);
    let with_curve: Vec<&Latency> = report.latencies.iter().filter(|l| points(l).next().is_some()).collect();
    if with_curve.is_empty() {
        out.push_str("<p class=\"none\">Nothing was measured in the steady state.</p>\n</section>\n");
        return Ok(());
    }
    out.push_str(
        "<p class=\"hint\">Milliseconds, on a scale of logarithms, that so many percent of the steady state's measurements \
         stay below. Each decade to the right is ten times as rare.</p>\n",
    );
    if with_curve.iter().any(|latency| of(floor, latency.key).is_some()) {
        key(out, &[("l-a", "target"), ("l-floor", "floor: the minimal bridge under the same load")])?;
    }
    out.push_str("<div class=\"grid\">\n");
    for latency in with_curve {
        figure(out, latency, of(floor, latency.key))?;
    }
    out.push_str("</div>\n</section>\n");
    Ok(())
}

fn of<'a>(floor: &'a [Latency], key: &str) -> Option<&'a Latency> {
    floor.iter().find(|latency| latency.key == key && points(latency).next().is_some())
}

/// The points of a curve that are values.
fn points(latency: &Latency) -> impl Iterator<Item = (f64, f64)> + '_ {
    latency.curve.iter().copied().filter(|(percentile, ms)| (0.0..=100.0).contains(percentile) && ms.is_finite())
}

fn figure(out: &mut String, latency: &Latency, floor: Option<&Latency>) -> fmt::Result {
    let both = || [Some(latency), floor].into_iter().flatten();
    let y = Axis::log(both().flat_map(points).map(|(_, ms)| ms), (BOTTOM, TOP));
    let deepest = both().flat_map(points).map(|(p, _)| p).filter(|p| *p < 100.0).fold(99.9, f64::max);
    let decades = decades(deepest).min(5.0);
    let x = |percentile: f64| match percentile {
        100.0 => MAX,
        p => LEFT + (decades_within(p, decades) / decades) * (RIGHT - LEFT),
    };
    let described = |l: &Latency| {
        format!(
            "p50 {}, p90 {}, p99 {}, p99.9 {}, at most {} ms",
            maybe_ms(l.p50),
            maybe_ms(l.p90),
            maybe_ms(l.p99),
            maybe_ms(l.p999),
            maybe_ms(l.max)
        )
    };
    let name = arrow(latency.name);
    let mut alternative = format!("{name}: {}", described(latency));
    if let Some(floor) = floor {
        alternative += &format!("; floor: {}", described(floor));
    }
    writeln!(
        out,
        "<figure><figcaption>{}</figcaption>\n<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"call\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        Esc(&name),
        Esc(&alternative)
    )?;
    y.grid(out, 17.0, LEFT..MAX)?;
    let within = TICKS.iter().copied().filter(|(p, _)| *p <= deepest + 1e-9);
    for (percentile, label) in within.chain([(100.0, "max")]) {
        let at = x(percentile);
        writeln!(
            out,
            "<path class=\"tick\" d=\"M{at:.1} {TOP}V{BOTTOM}\"/><text class=\"soft l-mid\" x=\"{at:.1}\" y=\"{:.1}\">{label}</text>",
            HEIGHT - 5.0
        )?;
    }
    for (class, latency) in [("l-floor", floor), ("l-a", Some(latency))] {
        if let Some(latency) = latency {
            let at = |(percentile, ms)| Some((x(percentile), y.at(ms)));
            writeln!(out, "<path class=\"{class}\" d=\"{}\"/>", line(points(latency).map(at)))?;
        }
    }
    out.push_str("</svg></figure>\n");
    Ok(())
}

/// How many times rarer by ten what lies above a percentile is.
fn decades(percentile: f64) -> f64 {
    -(1.0 - percentile / 100.0).log10()
}

fn decades_within(percentile: f64, most: f64) -> f64 {
    decades(percentile).clamp(0.0, most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::load::sample;

    #[test]
    fn a_curve_and_its_floor_lie_on_the_same_axes() {
        let mut out = String::new();
        section(&mut out, &sample::report()).unwrap();
        assert_eq!(out.matches("<path class=\"l-a\" d=\"M48.0 ").count(), 7);
        assert_eq!(out.matches("<path class=\"l-floor\" d=\"M48.0 ").count(), 4);
        assert_eq!(out.matches(">99.99</text>").count(), 7);
        // The same share of a decade apart.
        assert!((decades(50.0) - 0.301).abs() < 0.001 && (decades(99.9) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn curves_without_values_are_not_drawn() {
        let mut report = sample::report();
        for latency in &mut report.latencies {
            latency.curve = vec![(f64::NAN, 1.0), (50.0, f64::NAN), (101.0, 2.0)];
        }
        let mut out = String::new();
        section(&mut out, &report).unwrap();
        assert!(out.contains("Nothing was measured") && !out.contains("<svg"), "{out}");
    }
}
