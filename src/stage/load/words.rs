//! A load test's figures in words: what the table and the page have in common.

use super::report::{AudioCounts, CallCounts, CapacityReport, Judged, Latency, LoadReport, LoadShape, Trial};

/// What stands where nothing was measured.
pub(crate) const NONE: &str = "–";

/// The keys of the two ways through the target.
pub(crate) const LEGS: [&str; 2] = ["caller_to_model", "model_to_caller"];

/// Objectives that did not hold and are named in a verdict; the table has all of them.
const NAMED: usize = 3;

/// What became of a test, in one sentence.
pub(crate) struct Verdict {
    /// Whether every objective held; `None`: there was nothing to judge or nothing to judge by.
    pub(crate) held: Option<bool>,
    /// The sentence.
    pub(crate) text: String,
}

/// The verdict on a test.
pub(crate) fn verdict(report: &LoadReport) -> Verdict {
    if report.calls.placed == 0 {
        return Verdict { held: None, text: "Nothing was tested: no call was placed.".to_owned() };
    }
    let with = format!("with {} at once", plural(report.load.calls as u64, "call"));
    let failures = match report.failures.values().sum::<u64>() {
        0 => "nothing failed".to_owned(),
        n => plural(n, "failure"),
    };
    let all = report.objectives.len();
    let broken: Vec<&Judged> = report.objectives.iter().filter(|judged| !judged.held).collect();
    if all == 0 {
        return Verdict { held: None, text: format!("Measured {with}: {failures}. No objective was set.") };
    }
    if broken.is_empty() {
        let objectives = match all {
            1 => "The objective".to_owned(),
            2 => "Both objectives".to_owned(),
            _ => format!("All {all} objectives"),
        };
        return Verdict { held: Some(true), text: format!("{objectives} held {with}: {failures}.") };
    }
    let mut named: Vec<String> =
        broken.iter().take(NAMED).map(|judged| format!("{} (was {})", judged.objective, measured(judged))).collect();
    if broken.len() > NAMED {
        named.push(format!("and {} more", broken.len() - NAMED));
    }
    let text = format!("{} of {all} objectives did NOT hold {with}, {failures}: {}.", broken.len(), named.join(", "));
    Verdict { held: Some(false), text }
}

/// The verdict on a search.
pub(crate) fn capacity(report: &CapacityReport) -> String {
    let limit = match &report.limited_by {
        Some(objective) => format!("limited by {objective}"),
        None => "the search ended at its limit".to_owned(),
    };
    let Some(trial) = best(report) else { return "Nothing was tried.".to_owned() };
    if report.calls == 0 {
        return format!("No number of calls that was tried held; {limit}.");
    }
    let alone = match (report.calls_per_target_core, &trial.report.process) {
        (Some(per), Some(process)) => {
            format!(" (target alone used {} cores: {} per core)", number(process.cores), number(per))
        }
        _ => String::new(),
    };
    format!(
        "{} on {} = {} per core{alone}; {limit}.",
        plural(report.calls as u64, "call"),
        plural(trial.report.cores as u64, "core"),
        number(report.calls_per_core)
    )
}

/// The trial to look at: the one with the most calls that held or, where none did, the one with the fewest.
pub(crate) fn best(report: &CapacityReport) -> Option<&Trial> {
    let held = report.trials.iter().rev().find(|trial| trial.held && trial.calls == report.calls);
    held.or_else(|| report.trials.iter().min_by_key(|trial| trial.calls))
}

/// The first objective that a trial did not meet.
pub(crate) fn broken(trial: &Trial) -> Option<&Judged> {
    trial.report.objectives.iter().find(|judged| !judged.held)
}

/// The latency of this key, where something was measured.
pub(crate) fn latency<'a>(all: &'a [Latency], key: &str) -> Option<&'a Latency> {
    all.iter().find(|latency| latency.key == key && latency.count > 0)
}

/// An objective of the form `key.p99 <= 20`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Objective<'a> {
    /// What is measured.
    pub(crate) key: &'a str,
    /// Which figure of it; empty when it has only one.
    pub(crate) figure: &'a str,
    /// What it is held against.
    pub(crate) limit: f64,
}

/// An objective's parts; `None` where it has another form, and can only be shown as written.
pub(crate) fn objective(written: &str) -> Option<Objective<'_>> {
    let at = written.find(['<', '>', '='])?;
    let (what, limit) = written.split_at(at);
    let limit = limit.trim_start_matches(['<', '>', '=']).trim().trim_end_matches("ms").trim_end().parse().ok()?;
    let what = what.trim();
    let (key, figure) = what.rsplit_once('.').unwrap_or((what, ""));
    Some(Objective { key, figure, limit })
}

/// What was measured for an objective.
pub(crate) fn measured(judged: &Judged) -> String {
    let Some(value) = judged.value.filter(|value| value.is_finite()) else { return "not measured".to_owned() };
    match objective(&judged.objective) {
        Some(o) if o.figure.starts_with('p') || o.figure == "max" => format!("{} ms", ms(value)),
        _ => number(value),
    }
}

/// Calls by how they went.
pub(crate) fn calls(calls: &CallCounts) -> [(&'static str, String); 7] {
    [
        ("placed", grouped(calls.placed)),
        ("connected", grouped(calls.connected)),
        ("refused", grouped(calls.refused)),
        ("failed", grouped(calls.failed)),
        ("completed", grouped(calls.completed)),
        ("most at once", grouped(calls.peak as u64)),
        ("call-seconds", number(calls.call_seconds)),
    ]
}

/// Audio at both ends.
pub(crate) fn audio(audio: &AudioCounts) -> [(&'static str, String); 8] {
    [
        ("caller frames sent", grouped(audio.caller_frames)),
        ("caller frames the target did not take in time", grouped(audio.caller_frames_refused)),
        ("caller frames known at the model", grouped(audio.model_frames)),
        ("caller frames lost before the model", grouped(audio.model_frames_lost)),
        ("agent audio messages received", grouped(audio.agent_messages)),
        ("agent audio lost, ms", grouped(audio.agent_lost_ms)),
        ("gaps heard within a reply", grouped(audio.gaps)),
        ("gaps together, ms", grouped(audio.gap_ms)),
    ]
}

/// What the callers did, by name.
pub(crate) fn load(load: &LoadShape) -> [(&'static str, String); 9] {
    let clips = if load.clips.is_empty() { NONE.to_owned() } else { load.clips.join(", ") };
    [
        ("Calls", format!("{} at once, each of {}", grouped(load.calls as u64), range(load.call_s))),
        (
            "Phases",
            format!(
                "ramp {}, steady {}, down {}",
                duration(load.ramp_s),
                duration(load.steady_s),
                duration(load.ramp_down_s)
            ),
        ),
        ("Thinking", format!("callers {}, model {} ms", range(load.think_s), load.model_think_ms)),
        ("Barge-ins", format!("{} % of turns", load.barge_in_percent)),
        ("Early hang-ups", format!("{} % of calls", load.hang_up_percent)),
        ("Bad callers", format!("{} %", load.bad_percent)),
        ("Clips", clips),
        ("Seed", load.seed.to_string()),
        ("In all", duration(load.ramp_s + load.steady_s + load.ramp_down_s)),
    ]
}

/// What a ratio to the floor is of.
pub(crate) fn ratio(key: &str, latencies: &[Latency]) -> String {
    match key {
        "cpu" => "CPU per call and second".to_owned(),
        "memory" => "memory per call".to_owned(),
        _ => {
            let (leg, figure) = key.rsplit_once('.').unwrap_or((key, ""));
            let name = latencies.iter().find(|l| l.key == leg).map_or(leg, |l| l.name);
            format!("{name} {figure}").trim_end().to_owned()
        }
    }
}

/// A kind of failure as words.
pub(crate) fn kind(kind: &str) -> String {
    kind.replace('_', " ")
}

/// Milliseconds with the digits that say something.
pub(crate) fn ms(value: f64) -> String {
    match value.abs() {
        v if !v.is_finite() => NONE.to_owned(),
        0.0 => "0".to_owned(),
        v if v < 0.0995 => format!("{value:.3}"),
        v if v < 9.995 => format!("{value:.2}"),
        v if v < 99.95 => format!("{value:.1}"),
        _ => number(value.round()),
    }
}

/// Milliseconds, or a sign that nothing was measured.
pub(crate) fn maybe_ms(value: Option<f64>) -> String {
    value.map_or_else(|| NONE.to_owned(), ms)
}

/// Cores, megabytes and the like: whole where they are large.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        v if !v.is_finite() => NONE.to_owned(),
        v if (999.5..1e15).contains(&v) => {
            let sign = if value < 0.0 { "-" } else { "" };
            format!("{sign}{}", grouped(v.round() as u64))
        }
        v if v >= 99.95 || v.fract() == 0.0 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A count with its thousands apart.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A length of time given in seconds.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return NONE.to_owned();
    }
    if seconds < 120.0 {
        let text = format!("{seconds:.1}");
        return format!("{} s", text.trim_end_matches(".0"));
    }
    let whole = seconds.round() as u64;
    let parts = [(whole / 3_600, "h"), (whole / 60 % 60, "min"), (whole % 60, "s")];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n} {unit}")).collect();
    parts.join(" ")
}

/// A range of seconds.
fn range([from, to]: [f64; 2]) -> String {
    if from == to { duration(from) } else { format!("{} to {}", duration(from), duration(to)) }
}

/// So many of these.
pub(crate) fn plural(n: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::load::sample;

    #[test]
    fn figures_have_the_digits_that_say_something() {
        let said = [f64::NAN, 0.0, 0.0432, 0.123, 4.567, 42.42, 312.6, f64::INFINITY].map(ms);
        assert_eq!(said, ["–", "0", "0.043", "0.12", "4.57", "42.4", "313", "–"]);
        let said = [0.62, 2.0, 41.26, 812.4, 12_345.6, -1_234.0, f64::NAN].map(number);
        assert_eq!(said, ["0.62", "2", "41.3", "812", "12,346", "-1,234", "–"]);
        assert_eq!([7, 999, 1_000, 1_234_567].map(grouped), ["7", "999", "1,000", "1,234,567"]);
        let said = [0.0, 1.5, 90.0, 120.0, 3_905.0, f64::NAN].map(duration);
        assert_eq!(said, ["0 s", "1.5 s", "90 s", "2 min", "1 h 5 min 5 s", "–"]);
    }

    #[test]
    fn objectives_are_taken_apart() {
        let parts = |written| objective(written).map(|o| (o.key, o.figure, o.limit));
        assert_eq!(parts("caller_to_model.p99 <= 20"), Some(("caller_to_model", "p99", 20.0)));
        assert_eq!(parts("setup.max<5 ms"), Some(("setup", "max", 5.0)));
        assert_eq!(parts("failures <= 0"), Some(("failures", "", 0.0)));
        assert_eq!((parts("something else"), parts("x <= y")), (None, None));
    }

    #[test]
    fn verdicts_say_what_did_not_hold() {
        let mut report = sample::report();
        let said = verdict(&report);
        assert_eq!(said.held, Some(false));
        assert_eq!(
            said.text,
            "1 of 4 objectives did NOT hold with 200 calls at once, 5 failures: speech_to_clear.p50 <= 80 (was 96.2 ms)."
        );
        for judged in &mut report.objectives {
            judged.held = false;
        }
        assert!(verdict(&report).text.ends_with("and 1 more."));
        report.objectives.truncate(1);
        report.objectives[0].held = true;
        report.failures.clear();
        let said = verdict(&report);
        assert_eq!(said.held, Some(true));
        assert_eq!(said.text, "The objective held with 200 calls at once: nothing failed.");
        let nothing = verdict(&LoadReport::default());
        assert_eq!((nothing.held, nothing.text.as_str()), (None, "Nothing was tested: no call was placed."));
    }

    #[test]
    fn capacity_is_said_for_the_machine_and_for_the_target() {
        let mut report = sample::capacity();
        assert_eq!(
            capacity(&report),
            "500 calls on 2 cores = 250 per core (target alone used 0.81 cores: 617 per core); limited by \
             caller_to_model.p99 <= 20."
        );
        assert_eq!(best(&report).map(|trial| trial.calls), Some(500));
        (report.calls, report.limited_by) = (0, None);
        assert_eq!(capacity(&report), "No number of calls that was tried held; the search ended at its limit.");
        assert_eq!(best(&report).map(|trial| trial.calls), Some(200));
        assert_eq!(capacity(&CapacityReport::default()), "Nothing was tried.");
    }
}
