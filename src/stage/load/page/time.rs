//! The run over time: latencies by the second, and beneath them calls, processors and memory on the same time line.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use super::plot::{Axis, line, time_step};
use super::{arrow, key};
use crate::lab::picture::text::{Esc, clock_s, shorten};
use crate::stage::load::report::{LoadReport, Second};
use crate::stage::load::words::{self, duration, ms, number};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = WIDTH - 12.0;
/// The names of the phases, above all panels.
const TOP: f64 = 24.0;
/// A panel's name and, below that, its plot.
const NAME: f64 = 30.0;
const HEIGHT: f64 = 84.0;
/// Room for the times below a group of panels.
const TIMES: f64 = 26.0;
/// Points of a line: more could not be told apart, and an hour's page stays small.
const POINTS: usize = 600;
/// A line goes on over so many points without a measurement.
const BRIDGED: usize = 5;

/// The section; nothing for a run without a second.
pub(super) fn section(out: &mut String, report: &LoadReport) -> fmt::Result {
    out.push_str("<section>\n<h2>Over time</h2>\n");
    let series = thinned(&report.series);
    if series.is_empty() {
        out.push_str("<p class=\"none\">The run was over before its first second.</p>\n</section>\n");
        return Ok(());
    }
    let each = report.series.len().div_ceil(POINTS);
    let point = if each == 1 {
        "Each point is one second".to_owned()
    } else {
        format!("Each point is {each} seconds, p99 the worst of them")
    };
    writeln!(
        out,
        "<p class=\"hint\">{point}. Latencies are on a scale of logarithms. Resting the pointer on a moment shows its figures.</p>"
    )?;
    key(
        out,
        &[
            ("l-a", "p50, target, calls up"),
            ("l-b", "p99, tester"),
            ("l-limit", "objective, or the machine's cores"),
            ("l-failed", "failures"),
        ],
    )?;
    out.push_str("<div class=\"picture\">\n");
    draw(out, report, &series)?;
    out.push_str("</div>\n");
    let missing: Vec<String> = report
        .latencies
        .iter()
        .filter(|l| !series.iter().any(|s| s.latencies.contains_key(l.key)))
        .map(|l| arrow(l.name))
        .collect();
    if !missing.is_empty() {
        writeln!(out, "<p class=\"none\">Never measured: {}.</p>", Esc(&missing.join(", ")))?;
    }
    out.push_str("</section>\n");
    Ok(())
}

/// At most [`POINTS`] points: the middle of the p50s, the worst of the p99s, the last of what only grows. Moments that are
/// none are left out.
fn thinned(series: &[Second]) -> Cow<'_, [Second]> {
    let real = |second: &Second| second.at_s.is_finite() && second.at_s >= 0.0;
    let each = series.len().div_ceil(POINTS);
    if each <= 1 && series.iter().all(real) {
        return Cow::Borrowed(series);
    }
    let real: Vec<&Second> = series.iter().filter(|second| real(second)).collect();
    Cow::Owned(real.chunks(each.max(1)).filter_map(merged).collect())
}

fn merged(seconds: &[&Second]) -> Option<Second> {
    let mut one = (*seconds.last()?).clone();
    for key in seconds.iter().flat_map(|s| s.latencies.keys().copied()) {
        let mut p50s: Vec<f64> = seconds.iter().filter_map(|s| Some(s.latencies.get(key)?[0])).collect();
        p50s.sort_by(f64::total_cmp);
        let p99 = seconds.iter().filter_map(|s| Some(s.latencies.get(key)?[1])).fold(f64::NEG_INFINITY, f64::max);
        one.latencies.insert(key, [p50s[p50s.len() / 2], p99]);
    }
    let mean = |figure: fn(&Second) -> Option<f64>| {
        let known: Vec<f64> = seconds.iter().filter_map(|s| figure(s)).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    one.calls = seconds.iter().map(|s| s.calls).max()?;
    one.target_cores = mean(|s| s.target_cores);
    one.tester_cores = mean(|s| Some(s.tester_cores))?;
    Some(one)
}

/// What a panel shows of a second.
type Figure<'a> = Box<dyn Fn(&Second) -> Option<f64> + 'a>;

/// One plot on the time line.
struct Panel<'a> {
    name: String,
    /// Class of the line and what it shows; the first has its area filled.
    lines: Vec<(&'static str, Figure<'a>)>,
    /// Of logarithms, in milliseconds, with the area between its lines filled.
    latency: bool,
    /// A value to hold against, and what it is.
    limit: Option<(f64, String)>,
    /// Whether failures are marked in it.
    failures: bool,
}

fn draw(out: &mut String, report: &LoadReport, series: &[Second]) -> fmt::Result {
    let panels = panels(report, series);
    let seconds = series.last().map_or(1.0, |last| last.at_s).max(1.0);
    let x = Axis::exact(seconds, (LEFT, RIGHT));
    let latencies = panels.iter().filter(|panel| panel.latency).count();
    let plot = |n: usize| {
        let times = if n >= latencies && latencies > 0 { TIMES } else { 0.0 };
        TOP + n as f64 * (NAME + HEIGHT) + NAME + times
    };
    let bottom = plot(panels.len().saturating_sub(1)) + HEIGHT;
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"call\" viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" \
         aria-label=\"{}\">",
        bottom + TIMES,
        Esc(&alternative(report, series, seconds))
    )?;
    phases(out, series, &x, bottom)?;
    let step = time_step(seconds);
    for n in 0..=(seconds / step) as usize {
        let at = n as f64 * step;
        let left = x.at(at);
        let label = if step < 60.0 && seconds < 120.0 { number(at) + " s" } else { clock_s((at * 1_000.0) as u64) };
        writeln!(out, "<path class=\"tick\" d=\"M{left:.1} {TOP}V{:.1}\"/>", bottom + 4.0)?;
        for base in (latencies > 0).then(|| plot(latencies - 1) + HEIGHT).into_iter().chain([bottom]) {
            let class = if left > RIGHT - 14.0 { "soft l-right" } else { "soft l-mid" };
            writeln!(out, "<text class=\"{class}\" x=\"{left:.1}\" y=\"{:.1}\">{label}</text>", base + 18.0)?;
        }
    }
    for (n, panel) in panels.iter().enumerate() {
        write_panel(out, panel, series, &x, plot(n))?;
    }
    hits(out, report, series, &x, bottom)?;
    out.push_str("</svg>\n");
    Ok(())
}

fn panels<'a>(report: &'a LoadReport, series: &[Second]) -> Vec<Panel<'a>> {
    let mut panels = Vec::new();
    for latency in report.latencies.iter().filter(|l| series.iter().any(|s| s.latencies.contains_key(l.key))) {
        let figure = |n: usize| -> Figure<'a> { Box::new(move |s| Some(s.latencies.get(latency.key)?[n])) };
        let limit = report.objectives.iter().find_map(|judged| {
            let objective = words::objective(&judged.objective)?;
            let drawn = objective.key == latency.key && matches!(objective.figure, "p50" | "p99");
            drawn.then(|| (objective.limit, shorten(&judged.objective, 60)))
        });
        panels.push(Panel {
            name: format!("{}, ms", arrow(latency.name)),
            lines: vec![("l-a", figure(0)), ("l-b", figure(1))],
            latency: true,
            limit,
            failures: false,
        });
    }
    let panel = |name: &str, lines: Vec<(&'static str, Figure<'a>)>| Panel {
        name: name.to_owned(),
        lines,
        latency: false,
        limit: None,
        failures: false,
    };
    panels.push(Panel { failures: true, ..panel("calls up", vec![("l-a", Box::new(|s| Some(s.calls as f64)))]) });
    let cores = vec![
        ("l-a", Box::new(|s: &Second| s.target_cores) as Figure<'a>),
        ("l-b", Box::new(|s: &Second| Some(s.tester_cores))),
    ];
    let used = cores.iter().flat_map(|(_, figure)| series.iter().filter_map(figure)).fold(0.0, f64::max);
    // Far above what is used, the line would only flatten the rest.
    let near = report.cores > 0 && used > report.cores as f64 / 4.0;
    let limit = near.then(|| (report.cores as f64, format!("{} in the machine", report.cores)));
    panels.push(Panel { limit, ..panel("cores in use", cores) });
    if series.iter().any(|s| s.target_mb.is_some()) {
        panels.push(panel("memory of the target, MB", vec![("l-a", Box::new(|s| s.target_mb))]));
    }
    panels
}

fn write_panel(out: &mut String, panel: &Panel<'_>, series: &[Second], x: &Axis, top: f64) -> fmt::Result {
    let values = panel.lines.iter().flat_map(|(_, figure)| series.iter().filter_map(figure));
    let values = values.chain(panel.limit.iter().map(|(limit, _)| *limit));
    let ends = (top + HEIGHT, top);
    let y = if panel.latency {
        Axis::log(values, ends)
    } else {
        Axis::linear(values.filter(|v| v.is_finite()).fold(0.0, f64::max), ends)
    };
    writeln!(out, "<text class=\"name\" x=\"{LEFT}\" y=\"{:.1}\">{}</text>", top - 8.0, Esc(&panel.name))?;
    y.grid(out, 15.0, LEFT..RIGHT)?;
    let points = |figure: &Figure<'_>| -> Vec<Option<(f64, f64)>> {
        let at = |s: &Second| figure(s).filter(|v| v.is_finite()).map(|value| (x.at(s.at_s), y.at(value)));
        series.iter().map(at).collect()
    };
    let lines: Vec<_> = panel.lines.iter().map(|(class, figure)| (*class, bridged(points(figure)))).collect();
    if panel.latency {
        // Of the same length they have the same moments: both are measured in a second, or neither is.
        if let [(_, low), (_, high)] = &lines[..]
            && low.len() == high.len()
        {
            area(out, "l-between", low, |n| high.get(n).copied().flatten().map(|(_, y)| y))?;
        }
    } else if let Some((_, first)) = lines.first() {
        area(out, "l-area", first, |_| Some(top + HEIGHT))?;
    }
    if let Some((limit, what)) = &panel.limit {
        let at = y.at(*limit);
        writeln!(
            out,
            "<path class=\"l-limit\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/>\
             <text class=\"f-limit l-right\" x=\"{RIGHT}\" y=\"{:.1}\">{}</text>",
            top - 8.0,
            Esc(what)
        )?;
    }
    for (class, points) in lines.iter().rev() {
        writeln!(out, "<path class=\"{class}\" d=\"{}\"/>", line(points.iter().copied()))?;
    }
    if panel.failures {
        let mut before = 0;
        for second in series {
            if second.failures > before {
                let at = x.at(second.at_s);
                writeln!(out, "<path class=\"l-failed\" d=\"M{at:.1} {top:.1}v{HEIGHT}\"/>")?;
            }
            before = before.max(second.failures);
        }
    }
    Ok(())
}

/// Points without those that are missing, where few are missing between two.
fn bridged(points: Vec<Option<(f64, f64)>>) -> Vec<Option<(f64, f64)>> {
    let mut out: Vec<Option<(f64, f64)>> = Vec::with_capacity(points.len());
    let mut missing = 0;
    for point in points {
        if point.is_none() {
            missing += 1;
            continue;
        }
        if missing > BRIDGED {
            out.push(None);
        }
        missing = 0;
        out.push(point);
    }
    out
}

/// What lies between a line and another: as one shape for each stretch.
fn area(out: &mut String, class: &str, low: &[Option<(f64, f64)>], high: impl Fn(usize) -> Option<f64>) -> fmt::Result {
    let mut path = String::new();
    let known: Vec<Option<(f64, f64, f64)>> =
        low.iter().enumerate().map(|(n, point)| point.and_then(|(x, y)| Some((x, y, high(n)?)))).collect();
    for stretch in known.split(Option::is_none) {
        let stretch: Vec<(f64, f64, f64)> = stretch.iter().copied().flatten().collect();
        if stretch.len() < 2 {
            continue;
        }
        for (n, (x, y, _)) in stretch.iter().enumerate() {
            write!(path, "{}{x:.1} {y:.1}", if n == 0 { 'M' } else { 'L' })?;
        }
        for (x, _, y) in stretch.iter().rev() {
            write!(path, "L{x:.1} {y:.1}")?;
        }
        path.push('Z');
    }
    if !path.is_empty() {
        writeln!(out, "<path class=\"{class}\" d=\"{path}\"/>")?;
    }
    Ok(())
}

/// Shades what is not the steady state, and names all phases that are wide enough.
fn phases(out: &mut String, series: &[Second], x: &Axis, bottom: f64) -> fmt::Result {
    let mut from = LEFT;
    let stretches: Vec<&[Second]> = series.chunk_by(|a, b| a.phase == b.phase).collect();
    for (n, stretch) in stretches.iter().enumerate() {
        let next = stretches.get(n + 1).and_then(|next| next.first());
        let to = next.map_or(RIGHT, |second| x.at(second.at_s));
        let phase = stretch.first().map_or("", |second| second.phase);
        if phase != "steady" {
            writeln!(
                out,
                "<rect class=\"l-apart\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                (to - from).max(0.0),
                bottom - TOP
            )?;
        }
        if to - from > phase.chars().count() as f64 * 7.0 {
            let middle = (from + to) / 2.0;
            writeln!(out, "<text class=\"soft l-mid\" x=\"{middle:.1}\" y=\"16\">{}</text>", Esc(phase))?;
        }
        from = to;
    }
    Ok(())
}

/// Over each moment, what was measured then: browsers show it where the pointer rests.
fn hits(out: &mut String, report: &LoadReport, series: &[Second], x: &Axis, bottom: f64) -> fmt::Result {
    let width = ((RIGHT - LEFT) / series.len() as f64).clamp(1.0, 40.0);
    for second in series {
        let mut text = format!("{} ({})\n", duration(second.at_s), second.phase);
        for latency in &report.latencies {
            if let Some([p50, p99]) = second.latencies.get(latency.key) {
                writeln!(text, "{}: p50 {} ms, p99 {} ms", arrow(latency.name), ms(*p50), ms(*p99))?;
            }
        }
        write!(
            text,
            "{}, {} so far",
            words::plural(second.calls as u64, "call"),
            words::plural(second.failures, "failure")
        )?;
        let target = second.target_cores.map(|cores| format!("\ntarget {} cores", number(cores))).unwrap_or_default();
        let memory = second.target_mb.map(|mb| format!(", {} MB", number(mb))).unwrap_or_default();
        write!(text, "{target}{memory}\ntester {} cores", number(second.tester_cores))?;
        let lines: Vec<String> = text.lines().map(|line| Esc(line).to_string()).collect();
        writeln!(
            out,
            "<rect class=\"l-hit\" x=\"{:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
            (x.at(second.at_s) - width / 2.0).clamp(LEFT, RIGHT - width),
            bottom - TOP,
            lines.join("\n")
        )?;
    }
    Ok(())
}

/// The picture in words, for those who do not see it.
fn alternative(report: &LoadReport, series: &[Second], seconds: f64) -> String {
    let mut text = format!("{} of the run", duration(seconds));
    for latency in &report.latencies {
        let measured: Vec<[f64; 2]> = series.iter().filter_map(|s| s.latencies.get(latency.key).copied()).collect();
        let least = measured.iter().map(|[p50, _]| *p50).fold(f64::INFINITY, f64::min);
        let most = measured.iter().map(|[p50, _]| *p50).fold(f64::NEG_INFINITY, f64::max);
        let worst = measured.iter().map(|[_, p99]| *p99).fold(f64::NEG_INFINITY, f64::max);
        if !measured.is_empty() {
            let name = arrow(latency.name);
            text += &format!("; {name}: p50 from {} to {} ms, p99 up to {} ms", ms(least), ms(most), ms(worst));
        }
    }
    let calls = series.iter().map(|s| s.calls).max().unwrap_or(0);
    text + &format!("; up to {}.", words::plural(calls as u64, "call"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::load::sample;

    #[test]
    fn an_hour_is_thinned_to_its_worst_moments() {
        let one = &sample::report().series[30];
        let mut series: Vec<Second> = (0..3_600).map(|n| Second { at_s: f64::from(n), ..one.clone() }).collect();
        series[1_801].latencies.insert("setup", [1.0, 777.0]);
        series[7].at_s = f64::NAN;
        let thin = thinned(&series);
        assert!(thin.len() <= POINTS && thin.iter().all(|s| s.at_s.is_finite()), "{}", thin.len());
        assert_eq!(thin.iter().filter(|s| s.latencies.get("setup").is_some_and(|l| l[1] == 777.0)).count(), 1);
        assert!((thin[9].tester_cores - one.tester_cores).abs() < 1e-9);
    }

    #[test]
    fn a_line_goes_on_over_a_short_silence_only() {
        let points = |missing: usize| {
            let mut points = vec![Some((1.0, 1.0))];
            points.resize(1 + missing, None);
            points.push(Some((2.0, 2.0)));
            line(bridged(points).into_iter())
        };
        assert_eq!(points(5), "M1.0 1.0L2.0 2.0");
        assert_eq!(points(6), "M1.0 1.0h0M2.0 2.0h0");
    }
}
