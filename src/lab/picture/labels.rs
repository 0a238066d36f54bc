//! What the picture says in words: titles, tooltips, flags and the legend.

use std::fmt::{self, Write as _};

use super::marks::Marks;
use super::media_ms;
use super::svg::{CHAR, LEFT, RING};
use super::text::{clock, shorten};
use crate::engine::Role;
use crate::report::{Line, Report};

/// A mark with words above a row.
pub(super) struct Flag {
    pub(super) at_ms: u64,
    pub(super) label: String,
    pub(super) title: String,
    pub(super) cut: bool,
}

/// Every answered turn: its number, the end of its speech (or when it was taken, if nobody listened for that) and the first of the answer that was audible on the media time
/// line, and the milliseconds between.
pub(super) fn waits(report: &Report) -> impl Iterator<Item = (u32, u64, u64, u64)> {
    report.turns.iter().filter_map(|turn| {
        let from = turn.speech_end_at_ms.or(turn.commit_at_ms)?;
        let to = turn.first_audible_at_ms.or(turn.first_heard_at_ms).or(turn.first_audio_sent_at_ms)?;
        Some((turn.turn, media_ms(report, from), media_ms(report, to), to.saturating_sub(from)))
    })
}

/// Agent and deployment.
pub(super) fn title(report: &Report) -> String {
    format!("{} · {}", report.agent, report.deployment)
}

/// When, how long, and why it ended.
pub(super) fn subtitle(report: &Report) -> String {
    let end = report.end.to_string().replace('_', " ");
    format!("{} · {} · {} · call {}", report.started, clock(report.duration_ms), shorten(&end, 80), report.call)
}

pub(super) fn tooltip(line: &Line) -> String {
    let who = if line.who == Role::Caller { "Caller" } else { "Agent" };
    let mut text = format!("{who}, {} to {}: {}", clock(line.media_at_ms), clock(line.media_end_ms), line.text);
    if !line.unheard.is_empty() {
        let _ = write!(text, " [not heard: {}]", line.unheard);
    }
    text
}

pub(super) fn flag_width(label: &str) -> f64 {
    label.chars().count() as f64 * (CHAR + 0.5) + 12.0
}

pub(super) fn flags(report: &Report) -> Vec<Flag> {
    let mut flags = Vec::new();
    let mut add = |at_ms, label: String, title: String, cut| flags.push(Flag { at_ms, label, title, cut });
    for i in &report.interruptions {
        let title = format!("Barge-in at {}: {} ms heard, {} ms not", clock(i.media_at_ms), i.heard_ms, i.unheard_ms);
        add(i.media_at_ms, "barge-in".to_owned(), title, true);
    }
    let at = |ms| media_ms(report, ms);
    for note in &report.notes {
        add(at(note.at_ms), format!("note: {}", shorten(&note.text, 28)), format!("Note: {}", note.text), false);
    }
    for tool in report.tools.iter().filter(|t| t.name != "note") {
        add(at(tool.at_ms), shorten(&tool.name, 24), format!("Tool {}: {}", tool.name, tool.output), false);
    }
    for key in &report.keys {
        add(
            at(key.at_ms),
            format!("key {}", key.digit),
            format!("Key {} at {}", key.digit, clock(at(key.at_ms))),
            false,
        );
    }
    flags.sort_by_key(|f| (f.at_ms, !f.cut));
    flags
}

/// With the marks, when the call kept them.
pub(super) fn legend(out: &mut String, y: f64, marks: Option<&Marks>) -> fmt::Result {
    let mid = y - 4.0;
    let mut x = LEFT;
    let mut item = |out: &mut String, mark: &dyn Fn(f64) -> String, name: &str| {
        let text = x + 24.0;
        let result = writeln!(out, "{}<text class=\"soft\" x=\"{text:.1}\" y=\"{y:.1}\">{name}</text>", mark(x));
        x = text + name.chars().count() as f64 * CHAR + 20.0;
        result
    };
    let bar = |class: &'static str, h: f64, r: f64| {
        move |x: f64| {
            let y = mid - h / 2.0;
            format!("<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"18\" height=\"{h}\" rx=\"{r}\"/>")
        }
    };
    let line = |class: &'static str| {
        move |x: f64| {
            let x = x + 9.0;
            format!(
                "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
                mid - 7.0,
                mid + 7.0
            )
        }
    };
    item(out, &bar("speech", 14.0, 2.0), "detected speech")?;
    item(out, &line("commit"), "turn taken")?;
    item(out, &bar("wait", 4.0, 2.0), "end of speech to answer heard")?;
    item(out, &line("cut-line"), "barge-in")?;
    item(out, &bar("ghost", 12.0, 3.0), "said, not heard")?;
    item(out, &bar("gap", 12.0, 0.0), "gap in caller audio")?;
    let Some(marks) = marks else { return Ok(()) };
    let ticks = |x: f64| {
        let ticks = [3.0, 9.0, 15.0].map(|dx| format!("M{:.1} {:.1}v6", x + dx, mid - 3.0));
        format!("<path class=\"mark\" d=\"{}\"/>", ticks.concat())
    };
    let ring = |x: f64| format!("<circle class=\"mark-cleared\" cx=\"{:.1}\" cy=\"{mid:.1}\" r=\"{RING}\"/>", x + 9.0);
    if marks.missing.is_some() && marks.drawn() == 0 {
        return item(out, &ticks, "marks: journal unreadable");
    }
    item(out, &ticks, "mark played")?;
    item(out, &ring, "mark of cleared audio")
}
