//! One call for a reader.

use offhook::report::Report;
use offhook::store::{CallRow, CallState};

use super::super::Failure;
use super::{length, when};

/// The call's report as JSON.
pub(super) fn json(call: &CallRow) -> Result<String, Failure> {
    let text = call.report.as_deref().ok_or_else(|| format!("{} has no report: {}", call.id, state(call)))?;
    let report: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    serde_json::to_string_pretty(&report).map(|text| text + "\n").map_err(|error| error.to_string())
}

/// Head, conversation, tools, end.
pub(super) fn text(call: &CallRow) -> String {
    let mut text = head(call);
    let report: Option<Report> = call.report.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let Some(report) = report else { return text + "\n" + &state(call) + "\n" };
    let mut rows: Vec<(u64, [String; 2])> = Vec::new();
    for line in &report.lines {
        let mut said = if line.text.is_empty() { "(no words)".to_owned() } else { line.text.clone() };
        if !line.unheard.is_empty() {
            said += &format!(" | not heard: {}", line.unheard);
        }
        rows.push((line.at_ms, [line.who.to_string(), said]));
    }
    rows.extend(report.keys.iter().map(|key| (key.at_ms, ["key".to_owned(), key.digit.to_string()])));
    rows.extend(report.notes.iter().map(|note| (note.at_ms, ["note".to_owned(), note.text.clone()])));
    rows.extend(
        report.tools.iter().map(|tool| (tool.at_ms, ["tool".to_owned(), format!("{}: {}", tool.name, tool.output)])),
    );
    rows.sort_by_key(|(at_ms, _)| *at_ms);
    let lines: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(at_ms, [who, said])| vec![format!("{:>7}", length(at_ms as i64)), who, said.replace('\n', " ")])
        .collect();
    if !lines.is_empty() {
        text += "\n";
        text += &columns(&lines);
    }
    text += &latencies(&report);
    if let Some(analysis) = &call.analysis {
        text += &format!("\nanalysis  {analysis}\n");
    }
    text + &format!("\nended after {}: {}\n", length(report.duration_ms as i64), report.end)
}

/// What the caller waited for each answer, and for what; empty when nothing was answered.
fn latencies(report: &Report) -> String {
    let ms = |ms: Option<u64>| ms.map_or("-".to_owned(), |ms| ms.to_string());
    let mut rows = Vec::new();
    for turn in report.turns.iter().filter(|turn| turn.latency.waited_ms.is_some()) {
        let parts = turn.latency.parts();
        if rows.is_empty() {
            let names = ["turn", "waited ms"].into_iter().chain(parts.iter().map(|(name, _)| *name));
            rows.push(names.map(str::to_owned).collect::<Vec<_>>());
        }
        let cells = [turn.turn.to_string(), ms(turn.latency.waited_ms)].into_iter();
        rows.push(cells.chain(parts.iter().map(|(_, part)| ms(*part))).collect());
    }
    if rows.is_empty() { String::new() } else { format!("\n{}", columns(&rows)) }
}

fn head(call: &CallRow) -> String {
    let number = |number: &Option<String>| number.clone().unwrap_or_else(|| "unknown".to_owned());
    let mut rows = vec![
        ("call", call.id.clone()),
        ("carrier's", call.carrier_call.clone()),
        ("started", format!("{} UTC", when(call.started_ms))),
        (call.direction.name(), format!("{} to {}", number(&call.from_number), number(&call.to_number))),
        ("answered by", format!("{} of {}, revision {}", call.agent, call.deployment, call.revision)),
    ];
    if let (Some(turns), Some(interruptions)) = (call.turns, call.interruptions) {
        rows.push(("turns", format!("{turns}, {interruptions} interruptions")));
    }
    if call.cost_micros > 0 {
        rows.push(("cost", format!("{:.4}", call.cost_micros as f64 / 1e6)));
    }
    if call.recording {
        rows.push(("recording", format!("calls/{}/recording.wav", call.id)));
    }
    columns(&rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect::<Vec<_>>())
}

fn state(call: &CallRow) -> String {
    match call.state {
        CallState::Running => "it goes on".to_owned(),
        CallState::Ended => "its report cannot be read".to_owned(),
        CallState::Lost => "its server was gone before it ended; what was recorded is in its folder".to_owned(),
    }
}

/// Rows in aligned columns, two spaces between them.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let line: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
        text += line.trim_end();
        text.push('\n');
    }
    text
}
