//! The figures as text.

use offhook::lab::tune::corpus::{Condition, LabelledClip};

use crate::engines::Judge;
use crate::latency::Delays;
use crate::{Row, score};

pub(crate) fn print(clips: &[LabelledClip], judges: &[Judge], rows: &[Row]) {
    println!("F1 at 0.5 / area under the curve, on frames of 10 ms");
    heads(judges);
    for row in rows {
        line(&row.name, judges, |j| {
            let frames = score::Frames::of(clips, j, &row.of);
            let auc = frames.auc();
            if auc.is_nan() { format!("{:.3}", frames.f1()) } else { format!("{:.3} / {auc:.3}", frames.f1()) }
        });
    }
    line("noise taken for speech", judges, |j| percent(score::false_alarms(clips, j)));
    line("in gaps, coarse labels", judges, |j| percent(score::in_long_gaps(clips, j)));

    println!(
        "\nDelays in ms: from the first audible speech to a start, from the last to the end of the last step over 0.5"
    );
    heads(judges);
    let calls = |c: &LabelledClip| matches!(c.condition, Condition::Call | Condition::Other);
    let of = |j: &Judge, only_calls: bool| Delays::of(clips, j, |c| !only_calls || calls(c));
    for (name, only_calls) in [("calls, fixtures", true), ("all", false)] {
        line(&format!("start, {name}: p50"), judges, |j| ms(of(j, only_calls).onset(50)));
        line("  p90", judges, |j| ms(of(j, only_calls).onset(90)));
        line("  p95", judges, |j| ms(of(j, only_calls).onset(95)));
        line("  p99", judges, |j| ms(of(j, only_calls).onset(99)));
        line("  missed / of", judges, |j| {
            let delays = of(j, only_calls);
            format!("{} / {}", delays.missed, delays.onsets.len() + delays.missed)
        });
        line(&format!("end, {name}: p50"), judges, |j| ms(of(j, only_calls).offset(50)));
        line("  p90", judges, |j| ms(of(j, only_calls).offset(90)));
    }
    line("starts on distractors", judges, |j| of(j, false).on_distractors.to_string());
    line("starts elsewhere", judges, |j| of(j, false).elsewhere.to_string());
    println!();
    line("CPU, ms per second", judges, |j| j.cpu_ms_per_s.map_or_else(|| "–".to_owned(), |c| format!("{c:.2}")));
}

fn heads(judges: &[Judge]) {
    line("", judges, |j| j.name.clone());
}

fn line(name: &str, judges: &[Judge], cell: impl Fn(&Judge) -> String) {
    let cells: String = judges.iter().map(|j| format!("{:>18}", cell(j))).collect();
    println!("{name:<28}{cells}");
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |s| format!("{:.1} %", s * 100.0))
}

fn ms(delay: Option<f64>) -> String {
    delay.map_or_else(|| "–".to_owned(), |d| format!("{d:.0}"))
}
