//! What is demanded of a target, as `KEY.STATISTIC <= NUMBER` or `KEY <= NUMBER`.

use std::fmt;
use std::str::FromStr;

use crate::stage::load::report::{Judged, Latency, LoadReport};
use crate::stage::load::tally::Key;

/// Something that must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    what: What,
    /// In milliseconds, percent or pieces, as the figure is.
    limit: f64,
    /// A run that has no such figure is not judged by it; otherwise what was not measured did not hold.
    if_measured: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    /// A statistic of a latency.
    Latency(Key, Statistic),
    Figure(Figure),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Statistic {
    P50,
    P90,
    P99,
    P999,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    FailedPercent,
    RefusedPercent,
    LostPercent,
    Gaps,
    Cores,
    CpuMs,
    KbPerCall,
}

const STATISTICS: [(&str, Statistic); 5] = [
    ("p50", Statistic::P50),
    ("p90", Statistic::P90),
    ("p99", Statistic::P99),
    ("p999", Statistic::P999),
    ("max", Statistic::Max),
];
const FIGURES: [(&str, Figure); 7] = [
    ("failed_percent", Figure::FailedPercent),
    ("refused_percent", Figure::RefusedPercent),
    ("lost_percent", Figure::LostPercent),
    ("gaps_percent", Figure::Gaps),
    ("cores", Figure::Cores),
    ("cpu_ms", Figure::CpuMs),
    ("kb_per_call", Figure::KbPerCall),
];

/// What holds unless something else is demanded: nothing is lost, no caller is turned away, and a leg is not slower than
/// a frame is long. Legs can be demanded only where the built-in model is at the far end, and where `own_ears` hear the
/// caller, one who cuts in is heard soon.
pub fn defaults(with_model: bool, own_ears: bool) -> Vec<Objective> {
    let latency = |key, limit| Objective { what: What::Latency(key, Statistic::P99), limit, if_measured: false };
    let figure = |figure, limit| Objective { what: What::Figure(figure), limit, if_measured: false };
    let mut all = Vec::new();
    if with_model {
        all.push(latency(Key::CallerToModel, 20.0));
        all.push(latency(Key::ModelToCaller, 20.0));
    }
    if own_ears {
        // A short run may be without a barge-in.
        all.push(Objective { if_measured: true, ..latency(Key::SpeechToClear, 150.0) });
    }
    all.push(figure(Figure::FailedPercent, 0.0));
    all.push(figure(Figure::RefusedPercent, 0.0));
    all.push(figure(Figure::LostPercent, 0.0));
    all.push(figure(Figure::Gaps, 0.1));
    all
}

impl Objective {
    /// Whether a run met it; `None`: the run has no such figure and need not have one.
    pub fn judge(&self, report: &LoadReport) -> Option<Judged> {
        let value = self.value(report);
        let held = value.is_some_and(|value| value <= self.limit);
        (value.is_some() || !self.if_measured).then(|| Judged { objective: self.to_string(), value, held })
    }

    fn value(&self, report: &LoadReport) -> Option<f64> {
        let calls = report.calls;
        let percent = |n: u64, of: u64| (of > 0).then(|| 100.0 * n as f64 / of as f64);
        match &self.what {
            What::Latency(key, statistic) => {
                let of = |latency: &Latency| match statistic {
                    Statistic::P50 => latency.p50,
                    Statistic::P90 => latency.p90,
                    Statistic::P99 => latency.p99,
                    Statistic::P999 => latency.p999,
                    Statistic::Max => latency.max,
                };
                report.latencies.iter().find(|latency| latency.key == key.key()).and_then(of)
            }
            What::Figure(Figure::FailedPercent) => percent(calls.failed, calls.placed),
            What::Figure(Figure::RefusedPercent) => percent(calls.refused, calls.placed),
            What::Figure(Figure::LostPercent) => {
                let audio = report.audio;
                let lost = audio.caller_frames_refused + audio.model_frames_lost + audio.agent_lost_ms / 20;
                percent(lost, audio.caller_frames + audio.agent_messages)
            }
            What::Figure(Figure::Gaps) => percent(report.audio.gaps, report.audio.agent_messages),
            What::Figure(Figure::Cores) => report.process.map(|process| process.cores),
            What::Figure(Figure::CpuMs) => report.process.map(|process| process.cpu_ms_per_call_second),
            What::Figure(Figure::KbPerCall) => report.process.map(|process| process.kb_per_call),
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Latency(key, statistic) => {
                let name = STATISTICS.iter().find(|(_, s)| s == statistic).map_or("", |(name, _)| name);
                write!(f, "{}.{name}", key.key())?;
            }
            What::Figure(figure) => {
                f.write_str(FIGURES.iter().find(|(_, other)| other == figure).map_or("", |(name, _)| name))?;
            }
        }
        write!(f, " <= {}", self.limit)
    }
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, limit) = text
            .split_once("<=")
            .ok_or_else(|| format!("'{text}' has no <=: write it like caller_to_model.p99<=20"))?;
        let limit = limit.trim();
        let number = limit.parse::<f64>().ok().filter(|limit| limit.is_finite() && *limit >= 0.0);
        let limit = number.ok_or_else(|| format!("'{limit}' is not a number of 0 or more"))?;
        let name = name.trim();
        if let Some((_, figure)) = FIGURES.iter().find(|(known, _)| *known == name) {
            return Ok(Objective { what: What::Figure(*figure), limit, if_measured: false });
        }
        let (key, statistic) = name.split_once('.').unwrap_or((name, ""));
        let statistic = STATISTICS.iter().find(|(known, _)| *known == statistic);
        match (Key::ALL.iter().find(|known| known.key() == key), statistic) {
            (Some(key), Some((_, statistic))) => {
                Ok(Objective { what: What::Latency(*key, *statistic), limit, if_measured: false })
            }
            _ => Err(format!(
                "'{name}' is not known: a latency ({}) with .p50, .p90, .p99, .p999 or .max, in milliseconds; or {}",
                Key::ALL.map(Key::key).join(", "),
                FIGURES.map(|(name, _)| name).join(", ")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::load::report::CallCounts;

    #[test]
    fn objectives_are_read_written_and_judged() {
        for text in ["caller_to_model.p99 <= 20", "failed_percent <= 0.5", "turn_to_audio.max <= 900"] {
            assert_eq!(text.parse::<Objective>().unwrap().to_string(), text);
        }
        for (text, why) in [
            ("p99<20", "no <="),
            ("x.p99<=1", "not known"),
            ("setup<=1", "not known"),
            ("setup.p99<=x", "not a number"),
        ] {
            assert!(text.parse::<Objective>().unwrap_err().contains(why), "{text}");
        }
        let leg = Latency { key: "caller_to_model", p99: Some(3.0), ..Latency::default() };
        let calls = CallCounts { placed: 200, failed: 1, ..CallCounts::default() };
        let report = LoadReport { latencies: vec![leg], calls, ..LoadReport::default() };
        let judge = |text: &str| text.parse::<Objective>().unwrap().judge(&report).unwrap();
        assert!(judge("caller_to_model.p99<=3").held);
        assert!(!judge("caller_to_model.p99<=2.9").held);
        assert!(!judge("failed_percent<=0.4").held && judge("failed_percent<=0.5").held);
        assert_eq!((judge("setup.p50<=9").held, judge("setup.p50<=9").value), (false, None), "what was not measured");
    }

    #[test]
    fn own_ears_hear_a_caller_who_cuts_in_within_150_ms() {
        let demanded = |report: &LoadReport, own_ears| {
            let judged = defaults(true, own_ears).into_iter().filter_map(|objective| objective.judge(report));
            judged.filter(|judged| judged.objective.starts_with("speech_to_clear")).collect::<Vec<_>>()
        };
        let late = Latency { key: "speech_to_clear", p99: Some(150.5), ..Latency::default() };
        let late = LoadReport { latencies: vec![late], ..LoadReport::default() };
        assert!(demanded(&late, false).is_empty());
        assert!(demanded(&LoadReport::default(), true).is_empty(), "nobody cut in");
        let judged = demanded(&late, true);
        assert_eq!(judged[0].objective, "speech_to_clear.p99 <= 150");
        assert!(!judged[0].held);
    }
}
