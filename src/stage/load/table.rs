//! What a load test found, as text for a terminal, and a line per second for a pipe.

use super::report::{CapacityReport, Judged, Latency, LoadReport, LoadShape, ProcessReport, Second, Trial};
use super::words::{self, LEGS, NONE, grouped, maybe_ms, number};
use crate::lab::picture::text::{shorten, wrap};
use crate::lab::tune::table::{Align, Table};

/// Columns of text that go into a line.
const WIDTH: usize = 100;
/// Columns of a line's name.
const NAME: usize = 16;
/// Columns of a cell whose words come from elsewhere.
const CELL: usize = 56;

/// All of a load test, its verdict last.
pub fn load(report: &LoadReport) -> String {
    let mut out = head(report);
    section(&mut out, latencies("latency, ms", &report.latencies));
    if let Some(floor) = report.floor.as_ref().filter(|floor| !floor.latencies.is_empty()) {
        section(&mut out, latencies("floor, ms", &floor.latencies));
    }
    section(&mut out, pairs(["calls", ""], words::calls(&report.calls)));
    section(&mut out, pairs(["audio", ""], words::audio(&report.audio)));
    if report.failures.is_empty() {
        out += "\nfailures        none\n";
    } else {
        section(&mut out, pairs(["failures", "times"], report.failures.iter().map(counted)));
    }
    if !report.hostile.is_empty() {
        section(&mut out, pairs(["bad callers", "times"], report.hostile.iter().map(counted)));
    }
    section(&mut out, processes(report));
    if let Some(floor) = report.floor.as_ref().filter(|floor| !floor.ratios.is_empty()) {
        let ratio =
            |(key, value): (&String, &f64)| (words::ratio(key, &report.latencies), format!("{} x", words::ms(*value)));
        section(&mut out, pairs(["to the floor", ""], floor.ratios.iter().map(ratio)));
    }
    if !report.objectives.is_empty() {
        section(&mut out, objectives(&report.objectives));
    }
    out.push('\n');
    for line in lines(&words::verdict(report).text, WIDTH) {
        out += &format!("{line}\n");
    }
    out
}

/// A search for the highest number of calls: a row for each that was tried, and what it came to.
pub fn capacity(report: &CapacityReport) -> String {
    let right = |name| (name, Align::Right);
    let mut table = Table::new(&[
        right("calls"),
        ("", Align::Left),
        right("target cores"),
        right("tester cores"),
        right("caller->model p99"),
        right("model->caller p99"),
        ("failed first", Align::Left),
    ]);
    for trial in &report.trials {
        let p99 = |key| maybe_ms(words::latency(&trial.report.latencies, key).and_then(|latency| latency.p99));
        let first = match words::broken(trial) {
            Some(judged) => shorten(&plain(&format!("{} (was {})", judged.objective, words::measured(judged))), CELL),
            None if trial.held => String::new(),
            None => "not measured".to_owned(),
        };
        table.row([
            grouped(trial.calls as u64),
            if trial.held { "held" } else { "NOT held" }.to_owned(),
            trial.report.process.map_or_else(|| NONE.to_owned(), |process| number(process.cores)),
            number(trial.report.tester.cores),
            p99(LEGS[0]),
            p99(LEGS[1]),
            first,
        ]);
    }
    let mut out = table.text();
    out.push('\n');
    for line in lines(&words::capacity(report), WIDTH) {
        out += &format!("{line}\n");
    }
    out
}

/// A number of calls that was just tried, as a line without its end.
pub fn trial(trial: &Trial) -> String {
    let p99 = |key| maybe_ms(words::latency(&trial.report.latencies, key).and_then(|latency| latency.p99));
    let first = words::broken(trial)
        .map_or_else(String::new, |judged| format!("  {} (was {})", plain(&judged.objective), words::measured(judged)));
    format!(
        "{:>6} calls  {:<8}  p99 caller->model {} ms, model->caller {} ms{first}",
        grouped(trial.calls as u64),
        if trial.held { "held" } else { "NOT held" },
        p99(LEGS[0]),
        p99(LEGS[1]),
    )
}

/// One second of a run that goes on, as a line without its end. All lines of a run have their figures in the same columns.
pub fn live(second: &Second, total: &LoadShape) -> String {
    let leg = |key| match second.latencies.get(key) {
        Some([p50, p99]) => format!("{:>6} /{:>6}", words::ms(*p50), words::ms(*p99)),
        None => format!("{NONE:>6} /{NONE:>6}"),
    };
    let all = total.ramp_s + total.steady_s + total.ramp_down_s;
    let target = second.target_cores.map_or_else(|| NONE.to_owned(), number);
    let calls = total.calls.to_string();
    format!(
        "{:>5.0}/{all:.0} s  {:<6}  {:>width$}/{calls} calls  caller->model {}  model->caller {} ms  {:>4} failed  \
         cores {target:>5} +{:>5}",
        second.at_s,
        second.phase,
        second.calls,
        leg(LEGS[0]),
        leg(LEGS[1]),
        second.failures,
        number(second.tester_cores),
        width = calls.len(),
    )
}

fn head(report: &LoadReport) -> String {
    let mut out = String::new();
    let target = &report.target;
    let pid = target.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let load = words::load(&report.load).map(|(name, value)| (name.to_lowercase(), value));
    let first = [
        ("load test", report.started.clone()),
        ("target", format!("{}: {}{pid}", target.kind, target.name)),
        ("cores", format!("{}, which callers and model share with a local target", report.cores)),
        ("command", report.command.clone()),
    ];
    let load = load.iter().map(|(name, value)| (name.as_str(), value.clone()));
    for (name, value) in first.into_iter().chain(load) {
        for (n, line) in lines(&value, WIDTH - NAME).iter().enumerate() {
            out += format!("{:<NAME$}{line}", if n == 0 { name } else { "" }).trim_end();
            out.push('\n');
        }
    }
    out
}

fn section(out: &mut String, table: Table) {
    out.push('\n');
    out.push_str(&table.text());
}

fn latencies(title: &str, all: &[Latency]) -> Table {
    let right = |name| (name, Align::Right);
    let mut table = Table::new(&[
        (title, Align::Left),
        right("count"),
        right("p50"),
        right("p90"),
        right("p99"),
        right("p99.9"),
        right("max"),
    ]);
    for latency in all {
        let Latency { p50, p90, p99, p999, max, .. } = *latency;
        let cells = [shorten(&plain(latency.name), CELL), grouped(latency.count)];
        table.row(cells.into_iter().chain([p50, p90, p99, p999, max].map(maybe_ms)));
    }
    table
}

fn processes(report: &LoadReport) -> Table {
    let right = |name| (name, Align::Right);
    let mut table = Table::new(&[
        ("process", Align::Left),
        right("CPU ms/call/s"),
        right("cores"),
        right("idle MB"),
        right("peak MB"),
        right("early MB"),
        right("late MB"),
        right("kB/call"),
    ]);
    let mut row = |name: &str, process: Option<ProcessReport>| {
        let figures = process.map(|p| {
            let [early, late] = p.settled_mb;
            [p.cpu_ms_per_call_second, p.cores, p.idle_mb, p.peak_mb, early, late, p.kb_per_call].map(number)
        });
        let figures = figures.unwrap_or_else(|| [(); 7].map(|()| NONE.to_owned()));
        table.row([name.to_owned()].into_iter().chain(figures));
    };
    row("target", report.process);
    row("tester", Some(report.tester));
    if let Some(floor) = &report.floor {
        row("floor", floor.process);
    }
    table
}

fn objectives(all: &[Judged]) -> Table {
    let mut table = Table::new(&[("objective", Align::Left), ("", Align::Left), ("measured", Align::Right)]);
    for judged in all {
        table.row([
            shorten(&plain(&judged.objective), CELL),
            if judged.held { "held" } else { "NOT held" }.to_owned(),
            words::measured(judged),
        ]);
    }
    table
}

fn pairs(head: [&str; 2], rows: impl IntoIterator<Item = (impl Into<String>, String)>) -> Table {
    let mut table = Table::new(&[(head[0], Align::Left), (head[1], Align::Right)]);
    for (name, value) in rows {
        table.row([shorten(&plain(&name.into()), CELL), value]);
    }
    table
}

fn counted((kind, times): (&String, &u64)) -> (String, String) {
    (words::kind(kind), grouped(*times))
}

/// Text of others without what moves a terminal's cursor or changes its colours.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Text as lines of at most so many columns; a word that is longer has a line to itself. There is at least one line.
fn lines(text: &str, width: usize) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = plain(text);
    loop {
        let (mut lines, left) = wrap(&rest, width, usize::MAX);
        out.append(&mut lines);
        let (word, after) = left.split_once(' ').unwrap_or((&left, ""));
        if word.is_empty() {
            break;
        }
        out.push(word.to_owned());
        rest = after.to_owned();
    }
    if out.is_empty() {
        out.push(NONE.to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::load::sample;

    /// The lines of the table whose heading begins so.
    fn table<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
        let lines: Vec<&str> = text.lines().skip_while(|line| !line.starts_with(heading)).collect();
        assert!(!lines.is_empty(), "{heading} is missing:\n{text}");
        lines.into_iter().take_while(|line| !line.is_empty()).collect()
    }

    #[test]
    fn all_rows_of_a_table_are_as_wide_as_each_other() {
        let text = load(&sample::report());
        for heading in ["latency, ms", "floor, ms", "audio", "failures", "bad callers  times", "process", "objective"] {
            let rows = table(&text, heading);
            // A heading without a name for its numbers ends earlier.
            let widths: Vec<usize> = rows.iter().skip(1).map(|row| row.chars().count()).collect();
            assert!(
                widths.len() > 1 && widths.iter().all(|&width| width == widths[0]),
                "{heading}:\n{}",
                rows.join("\n")
            );
        }
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    }

    #[test]
    fn every_latency_has_its_row_and_what_was_not_measured_a_dash() {
        let mut report = sample::report();
        report.latencies[5] = Latency { name: "turn -> audio", key: "turn_to_audio", ..Latency::default() };
        let text = load(&report);
        let rows = table(&text, "latency, ms");
        assert_eq!(rows.len(), 1 + report.latencies.len());
        let words = |row: &str| row.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (row, latency) in rows[1..].iter().zip(&report.latencies) {
            assert!(row.starts_with(latency.name), "{row}");
        }
        assert_eq!(words(rows[0]), ["latency,", "ms", "count", "p50", "p90", "p99", "p99.9", "max"]);
        assert_eq!(words(rows[2]), ["caller", "->", "model", "61,234", "0.14", "0.22", "0.42", "1.12", "4.34"]);
        assert_eq!(words(rows[6]), ["turn", "->", "audio", "0", "–", "–", "–", "–", "–"]);
    }

    #[test]
    fn the_rest_of_a_test_is_told() {
        let text = load(&sample::report());
        for part in [
            "\ntarget          offhook: local VAD, recording and journal on (pid 4242)\n",
            "\nphases          ramp 10 s, steady 60 s, down 8 s\n",
            "\ncommand         offhook load --calls 200",
            "no answer",
            "huge frame",
            "CPU per call and second  1.21 x\n",
            "caller -> model p50      1.25 x\n",
            "speech_to_clear.p50 <= 80  NOT held   96.2 ms\n",
            "caller_to_model.p99 <= 20  held       0.42 ms\n",
        ] {
            assert!(text.contains(part), "{part:?} is missing:\n{text}");
        }
        assert_eq!(table(&text, "process").len(), 4);
        assert!(text.lines().rev().take(2).any(|line| line.starts_with("1 of 4 objectives did NOT hold")), "{text}");
    }

    #[test]
    fn a_test_of_nothing_can_be_told() {
        let text = load(&LoadReport::default());
        assert!(
            text.contains("\nfailures        none\n") && !text.contains("objective  ") && !text.contains("NaN"),
            "{text}"
        );
        assert!(text.ends_with("\nNothing was tested: no call was placed.\n"));
        let mut odd = sample::report();
        odd.tester.cores = f64::NAN;
        odd.latencies[0].p50 = Some(f64::INFINITY);
        odd.command = format!("\u{1b}[31m {}", "x".repeat(300));
        let text = load(&odd);
        assert!(!text.contains("NaN") && !text.contains("inf") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn every_trial_of_a_search_has_a_line() {
        let text = capacity(&sample::capacity());
        let rows: Vec<&str> = text.lines().collect();
        assert!(rows[1].starts_with("  200  held") && rows[1].ends_with("0.60               0.36"), "{text}");
        assert!(rows[4].contains("NOT held") && rows[4].ends_with("caller_to_model.p99 <= 20 (was 41.0 ms)"), "{text}");
        assert!(text.contains("\n500 calls on 2 cores = 250 per core (target alone used 0.81 cores: 617 per core);"));
        assert!(capacity(&CapacityReport::default()).ends_with("\nNothing was tried.\n"));
    }

    #[test]
    fn lines_of_a_run_have_their_figures_in_the_same_columns() {
        let report = sample::report();
        let all: Vec<String> = report.series.iter().map(|second| live(second, &report.load)).collect();
        assert_eq!(
            all[12],
            "   12/78 s  steady  200/200 calls  caller->model   0.17 /  0.52  model->caller   0.15 /  0.45 ms     0 failed  \
             cores  0.42 + 0.27"
        );
        assert!(all[0].contains("  0/200 calls  caller->model      – /     –  model->caller"), "{}", all[0]);
        assert!(all.iter().all(|line| line.chars().count() == all[0].chars().count()), "{all:#?}");
    }
}
