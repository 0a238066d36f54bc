//! The page of a search for the highest number of calls: what each number did to both legs and to the processors.

use std::fmt::{self, Write as _};

use super::plot::{Axis, line, short};
use super::tables::{close, open};
use super::{arrow, begin, body, key, write_cards};
use crate::lab::picture::text::Esc;
use crate::stage::load::report::{CapacityReport, Trial};
use crate::stage::load::words::{self, LEGS, NONE, grouped, maybe_ms, ms, number};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = WIDTH - 18.0;
/// The plot of latencies, and below it that of processors.
const LATENCY: (f64, f64) = (34.0, 264.0);
const CORES: (f64, f64) = (304.0, 414.0);
const HEIGHT: f64 = 452.0;
/// Classes of lines and of marks, in the order of what is drawn.
const CLASSES: [(&str, &str); 3] = [("l-a", "f-a"), ("l-b", "f-b"), ("l-c", "f-c")];

/// The page of a search, and below it that of the best trial.
pub fn capacity(report: &CapacityReport) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut out, report);
    out
}

fn write_page(out: &mut String, report: &CapacityReport) -> fmt::Result {
    begin(out, &format!("Capacity: {}", words::plural(report.calls as u64, "call")))?;
    let class = if report.calls > 0 { "verdict held" } else { "verdict broken" };
    let class = if report.trials.is_empty() { "verdict" } else { class };
    writeln!(out, "<p class=\"{class}\">{}</p>\n</header>\n<main>", Esc(&words::capacity(report)))?;
    if let Some(best) = words::best(report) {
        cards(out, report, best)?;
        curves(out, report)?;
        trials(out, report)?;
        let which = if best.held { "The best trial" } else { "The smallest trial" };
        writeln!(out, "<h2 class=\"part\">{which}: {}</h2>", words::plural(best.calls as u64, "call"))?;
        super::verdict(out, &best.report)?;
        super::facts(out, &best.report)?;
        body(out, &best.report)?;
    }
    out.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

fn cards(out: &mut String, report: &CapacityReport, best: &Trial) -> fmt::Result {
    let cores = best.report.process.map_or_else(|| NONE.to_owned(), |process| number(process.cores));
    let alone = report.calls_per_target_core.map_or_else(|| NONE.to_owned(), number);
    let limit = report.limited_by.clone().unwrap_or_else(|| "none that was reached".to_owned());
    write_cards(
        out,
        &[
            ("Calls".to_owned(), grouped(report.calls as u64), format!("the limit: {limit}")),
            (
                "Per core of the machine".to_owned(),
                number(report.calls_per_core),
                format!("{}, shared with callers and model", words::plural(best.report.cores as u64, "core")),
            ),
            ("Per core of the target".to_owned(), alone, format!("{cores} cores in use by it")),
        ],
    )
}

/// The latencies that are drawn: both legs, and what the limit is of.
fn drawn(report: &CapacityReport) -> Vec<&str> {
    let mut keys = LEGS.to_vec();
    let limit = report.limited_by.as_deref().and_then(words::objective);
    if let Some(objective) = limit.filter(|objective| !keys.contains(&objective.key)) {
        keys.push(objective.key);
    }
    keys
}

/// Values that p99s of what is drawn are held against.
fn limits(report: &CapacityReport, keys: &[&str]) -> Vec<f64> {
    let all = report.trials.iter().flat_map(|trial| &trial.report.objectives);
    let of_keys = all.filter_map(|judged| words::objective(&judged.objective));
    let of_keys = of_keys.filter(|objective| keys.contains(&objective.key) && objective.figure == "p99");
    let mut limits: Vec<f64> = of_keys.map(|objective| objective.limit).filter(|limit| limit.is_finite()).collect();
    limits.sort_by(f64::total_cmp);
    limits.dedup();
    limits
}

fn p99(trial: &Trial, key: &str) -> Option<f64> {
    words::latency(&trial.report.latencies, key)?.p99.filter(|ms| ms.is_finite())
}

/// What is drawn of a trial, and the height of its mark.
type Figure<'a> = Box<dyn Fn(&Trial) -> Option<f64> + 'a>;

fn curves(out: &mut String, report: &CapacityReport) -> fmt::Result {
    let mut trials: Vec<&Trial> = report.trials.iter().collect();
    trials.sort_by_key(|trial| trial.calls);
    let keys = drawn(report);
    let limits = limits(report, &keys);
    let name = |key: &str| {
        let named = trials.iter().flat_map(|trial| &trial.report.latencies).find(|latency| latency.key == key);
        named.map_or_else(|| words::kind(key), |latency| arrow(latency.name))
    };
    out.push_str("<section>\n<h2>By the number of calls</h2>\n");
    let names: Vec<String> = keys.iter().map(|key| format!("{} p99", name(key))).collect();
    let mut lines: Vec<(&str, &str)> =
        CLASSES.iter().map(|(class, _)| *class).zip(names.iter().map(String::as_str)).collect();
    lines.push(("l-limit", "objective, or the machine's cores"));
    key(out, &lines)?;
    out.push_str("<p class=\"hint\">A full dot: every objective held. A cross: one did not.</p>\n");
    let spoken: Vec<String> = trials
        .iter()
        .map(|trial| {
            let state = if trial.held { "held" } else { "did not hold" };
            let figures: Vec<String> =
                keys.iter().map(|key| format!("{} p99 {} ms", name(key), maybe_ms(p99(trial, key)))).collect();
            format!("{} {state}: {}", words::plural(trial.calls as u64, "call"), figures.join(", "))
        })
        .collect();
    writeln!(
        out,
        "<div class=\"picture\"><svg xmlns=\"http://www.w3.org/2000/svg\" class=\"call\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         role=\"img\" aria-label=\"{}\">",
        Esc(&spoken.join("; "))
    )?;
    let most = trials.last().map_or(0, |trial| trial.calls);
    let x = Axis::linear(most as f64, (LEFT, RIGHT));
    for (value, label) in x.ticks(90.0) {
        let at = x.at(value);
        for (top, bottom) in [LATENCY, CORES] {
            writeln!(out, "<path class=\"tick\" d=\"M{at:.1} {top}V{bottom}\"/>")?;
        }
        writeln!(out, "<text class=\"soft l-mid\" x=\"{at:.1}\" y=\"{:.1}\">{label}</text>", CORES.1 + 18.0)?;
    }
    writeln!(out, "<text class=\"soft l-right\" x=\"{RIGHT}\" y=\"{:.1}\">calls at once</text>", CORES.1 + 34.0)?;
    if report.calls > 0 {
        let at = x.at(report.calls as f64);
        writeln!(
            out,
            "<path class=\"l-most\" d=\"M{at:.1} {}V{}\"/><text class=\"f-c l-mid\" x=\"{:.1}\" y=\"{:.1}\">{} held</text>",
            LATENCY.0,
            CORES.1,
            at.clamp(LEFT + 110.0, RIGHT - 44.0),
            LATENCY.0 - 6.0,
            words::plural(report.calls as u64, "call")
        )?;
    }
    let measured = trials.iter().flat_map(|trial| keys.iter().filter_map(|key| p99(trial, key)));
    let y = Axis::log(measured.chain(limits.iter().copied()), (LATENCY.1, LATENCY.0));
    axis(out, &y, "p99, ms", LATENCY.0)?;
    for limit in &limits {
        limit_line(out, &y, *limit, &format!("{} ms", short(*limit)), false)?;
    }
    for (key, classes) in keys.iter().zip(CLASSES) {
        let figure: Figure<'_> = Box::new(|trial| p99(trial, key));
        curve(out, &trials, (&x, &y), classes, &name(key), " ms", &figure)?;
    }
    let cores: [(&str, Figure<'_>); 2] = [
        ("target's cores", Box::new(|trial| Some(trial.report.process?.cores).filter(|cores| cores.is_finite()))),
        ("tester's cores", Box::new(|trial| Some(trial.report.tester.cores).filter(|cores| cores.is_finite()))),
    ];
    let machine = trials.iter().map(|trial| trial.report.cores as f64).fold(0.0, f64::max);
    let used = cores.iter().flat_map(|(_, figure)| trials.iter().filter_map(|trial| figure(trial)));
    let y = Axis::linear(used.fold(machine, f64::max), (CORES.1, CORES.0));
    axis(out, &y, "cores in use: target, tester", CORES.0)?;
    limit_line(out, &y, machine, &format!("{} in the machine", number(machine)), true)?;
    for ((name, figure), classes) in cores.iter().zip(CLASSES) {
        curve(out, &trials, (&x, &y), classes, name, "", figure)?;
    }
    out.push_str("</svg></div>\n</section>\n");
    Ok(())
}

fn axis(out: &mut String, y: &Axis, name: &str, top: f64) -> fmt::Result {
    writeln!(out, "<text class=\"name\" x=\"{LEFT}\" y=\"{:.1}\">{name}</text>", top - 10.0)?;
    y.grid(out, 18.0, LEFT..RIGHT)
}

/// A line across, with what it is at its left or its right end.
fn limit_line(out: &mut String, y: &Axis, value: f64, what: &str, right: bool) -> fmt::Result {
    let (x, class) = if right { (RIGHT, "f-limit l-right") } else { (LEFT + 6.0, "f-limit") };
    let at = y.at(value);
    writeln!(
        out,
        "<path class=\"l-limit\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/><text class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
        at - 5.0,
        Esc(what)
    )
}

/// A line through all trials, and a mark on each.
fn curve(
    out: &mut String,
    trials: &[&Trial],
    (x, y): (&Axis, &Axis),
    (line_class, mark_class): (&str, &str),
    name: &str,
    unit: &str,
    figure: &Figure<'_>,
) -> fmt::Result {
    let point = |trial: &Trial| Some((x.at(trial.calls as f64), y.at(figure(trial)?)));
    writeln!(out, "<path class=\"{line_class}\" d=\"{}\"/>", line(trials.iter().map(|trial| point(trial))))?;
    for trial in trials {
        let (Some((x, y)), Some(value)) = (point(trial), figure(trial)) else { continue };
        let state = if trial.held { "held" } else { "NOT held" };
        let text = format!("{}, {state}: {name} {}{unit}", words::plural(trial.calls as u64, "call"), ms(value));
        let text = Esc(&text);
        if trial.held {
            writeln!(
                out,
                "<circle class=\"{mark_class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"><title>{text}</title></circle>"
            )?;
        } else {
            let (left, top) = (x - 5.0, y - 5.0);
            writeln!(
                out,
                "<path class=\"{line_class}\" d=\"M{left:.1} {top:.1}l10 10m0 -10l-10 10\"><title>{text}</title></path>"
            )?;
        }
    }
    Ok(())
}

fn trials(out: &mut String, report: &CapacityReport) -> fmt::Result {
    out.push_str("<section>\n<h2>What was tried</h2>\n<p class=\"hint\">In this order; p99 in milliseconds.</p>\n");
    let heads =
        ["Calls", "", "Caller → model p99", "Model → caller p99", "Target cores", "Tester cores", "Failed first"];
    open(out, "wide words", &heads)?;
    for trial in &report.trials {
        let (class, word) = if trial.held { ("ok", "held") } else { ("bad", "NOT held") };
        let first =
            words::broken(trial).map(|judged| format!("{} (was {})", judged.objective, words::measured(judged)));
        let cells = [
            maybe_ms(p99(trial, LEGS[0])),
            maybe_ms(p99(trial, LEGS[1])),
            trial.report.process.map_or_else(|| NONE.to_owned(), |process| number(process.cores)),
            number(trial.report.tester.cores),
        ];
        writeln!(
            out,
            "<tr><td>{}</td><td class=\"{class}\">{word}</td><td>{}</td><td>{}</td></tr>",
            grouped(trial.calls as u64),
            cells.join("</td><td>"),
            Esc(&first.unwrap_or_default())
        )?;
    }
    close(out)
}
