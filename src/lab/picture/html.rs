//! The page: the picture with a player, the conversation, and how soon each turn was answered.
//!
//! It stands alone: nothing is fetched, and its policy allows no script and no style but its own.

use std::fmt::{self, Write as _};

use super::labels::title;
use super::marks::Marks;
use super::media_ms;
use super::svg::{self, STYLE};
use super::text::{Esc, clock};
use super::wave::Peaks;
use crate::engine::Role;
use crate::report::{Report, Turn};

/// The recording as the page has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audio {
    /// The call was not recorded.
    None,
    /// It is too large to be embedded; the page says so.
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// The WAV file.
    Wav(Vec<u8>),
}

/// `call.html`.
pub fn page(report: &Report, peaks: Option<&Peaks>, marks: Option<&Marks>, audio: &Audio) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut out, report, peaks, marks, audio);
    out
}

/// The look of a page around its picture.
pub(crate) const PAGE_STYLE: &str = include_str!("page.css");
/// Its player: what a click on the picture, a button or a key does.
pub(crate) const SCRIPT: &str = include_str!("page.js");

/// All of a page up to its body. Nothing runs or is shown in it but this style and [`SCRIPT`].
pub(crate) fn head(out: &mut String, title: &str, style: &str) -> fmt::Result {
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; media-src data:; \
         style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{}</title>\n<style>{style}</style>\n</head>\n<body>\n",
        source_hash(style),
        source_hash(SCRIPT),
        Esc(title)
    )
}

fn write_page(
    out: &mut String,
    report: &Report,
    peaks: Option<&Peaks>,
    marks: Option<&Marks>,
    audio: &Audio,
) -> fmt::Result {
    head(out, &format!("{} · {}", title(report), report.call), &format!("{STYLE}{PAGE_STYLE}"))?;
    header(out, report)?;
    player(out, audio)?;
    out.push_str("<main>\n<section class=\"picture\" aria-label=\"Picture of the call\">\n");
    svg::draw(out, report, peaks, marks, false);
    out.push_str("</section>\n<div class=\"columns\">\n");
    conversation(out, report)?;
    out.push_str("<div>\n");
    latencies(out, report)?;
    events(out, report)?;
    numbers(out, report)?;
    write!(out, "</div>\n</div>\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n")
}

fn header(out: &mut String, report: &Report) -> fmt::Result {
    write!(out, "<header>\n<h1>{}</h1>\n<dl class=\"facts\">\n", Esc(&title(report)))?;
    let ready = match (report.model_ready_at_ms, report.media_start_at_ms) {
        (Some(ms), _) => format!("{ms} ms after the webhook"),
        (None, _) => "never".to_owned(),
    };
    let end = report.end.to_string().replace('_', " ");
    let recording = match &report.recording {
        None => "none".to_owned(),
        Some(r) => match r.missing_from_ms {
            Some(ms) => format!("incomplete from {} on", clock(ms)),
            None => "complete".to_owned(),
        },
    };
    for (name, value) in [
        ("Started", report.started.as_str()),
        ("Duration", &clock(report.duration_ms)),
        ("Ended", &end),
        ("Turns", &report.turns.len().to_string()),
        ("Barge-ins", &report.interruptions.len().to_string()),
        ("Model ready", &ready),
        ("Recording", &recording),
        ("Call", &report.call),
    ] {
        writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", Esc(value))?;
    }
    out.push_str("</dl>\n</header>\n");
    Ok(())
}

fn player(out: &mut String, audio: &Audio) -> fmt::Result {
    match audio {
        Audio::Wav(bytes) => {
            out.push_str(
                "<div class=\"player\" id=\"player\">\n\
                 <button id=\"play\" type=\"button\" class=\"primary\" aria-label=\"Play or pause\">Play</button>\n\
                 <output id=\"time\">0:00.0</output>\n\
                 <button id=\"caller\" type=\"button\" aria-pressed=\"true\">Caller</button>\n\
                 <button id=\"agent\" type=\"button\" aria-pressed=\"true\">Agent</button>\n\
                 <button id=\"rate\" type=\"button\" aria-label=\"Speed\">1×</button>\n\
                 <p class=\"hint\">Space plays, arrows move by 2 s (with Shift 10 s), a click seeks.</p>\n\
                 <audio id=\"audio\" preload=\"auto\" src=\"data:audio/wav;base64,",
            );
            base64_simd::STANDARD.encode_append(bytes, out);
            out.push_str("\"></audio>\n</div>\n");
            Ok(())
        }
        Audio::TooLarge { bytes } => writeln!(
            out,
            "<div class=\"player\"><output id=\"time\">0:00.0</output><p class=\"hint\">The recording has {} MiB, more than \
             this page embeds. It is in recording.wav beside it.</p></div>",
            bytes >> 20
        ),
        Audio::None => writeln!(
            out,
            "<div class=\"player\"><output id=\"time\">0:00.0</output><p class=\"hint\">This call has no recording.</p></div>"
        ),
    }
}

fn conversation(out: &mut String, report: &Report) -> fmt::Result {
    out.push_str("<section>\n<h2>Conversation</h2>\n");
    if report.lines.is_empty() {
        out.push_str("<p class=\"none\">Nothing was said.</p>\n");
    }
    out.push_str("<ol class=\"lines\">\n");
    for line in &report.lines {
        let (class, who) = match line.who {
            Role::Caller => ("caller", "Caller"),
            Role::Agent => ("agent", "Agent"),
            Role::System => ("system", "System"),
        };
        write!(
            out,
            "<li class=\"{class}\"><button type=\"button\" data-at=\"{}\" data-end=\"{}\"><time>{}</time><b>{who}</b><span>{}",
            line.media_at_ms,
            line.media_end_ms,
            clock(line.media_at_ms),
            Esc(&line.text)
        )?;
        if line.text.is_empty() && line.unheard.is_empty() {
            out.push_str("<i>no transcript</i>");
        }
        if !line.unheard.is_empty() {
            let space = if line.text.is_empty() { "" } else { " " };
            write!(out, "{space}<del title=\"not heard\">{}</del>", Esc(&line.unheard))?;
        }
        out.push_str("</span></button></li>\n");
    }
    out.push_str("</ol>\n</section>\n");
    Ok(())
}

/// A stage of an answer: its name and its moment.
type Stage = (&'static str, fn(&Turn) -> Option<u64>);

/// The stages of an answer, in order.
const STAGES: [Stage; 5] = [
    ("end decided", |t| t.stop_decided_at_ms),
    ("turn taken", |t| t.commit_at_ms),
    ("model audio", |t| t.first_model_audio_at_ms),
    ("sent", |t| t.first_audio_sent_at_ms),
    ("audible", |t| t.first_audible_at_ms.or(t.first_heard_at_ms)),
];

fn latencies(out: &mut String, report: &Report) -> fmt::Result {
    out.push_str("<section>\n<h2>How soon turns were answered</h2>\n");
    let since_end =
        |turn: &Turn, (_, at): Stage| Some(at(turn)?.saturating_sub(turn.speech_end_at_ms.or(turn.commit_at_ms)?));
    let last = |turn: &Turn| STAGES.into_iter().rev().find_map(|s| since_end(turn, s));
    let longest = report.turns.iter().filter_map(last).max().unwrap_or(0);
    if longest == 0 {
        out.push_str("<p class=\"none\">No turn was answered.</p>\n</section>\n");
        return Ok(());
    }
    let mut heard: Vec<u64> = report.turns.iter().filter_map(|t| since_end(t, STAGES[STAGES.len() - 1])).collect();
    heard.sort_unstable();
    out.push_str(
        "<p class=\"hint\">Milliseconds after the end of the caller's speech, or after the turn was taken if that \
         is not known.",
    );
    if let (Some(median), Some(worst)) = (heard.get(heard.len() / 2), heard.last()) {
        write!(out, " Audible after {median} ms in the middle, {worst} ms at worst.")?;
    }
    out.push_str("</p>\n<div class=\"scroll\"><table class=\"stages\">\n<thead><tr><th>Turn</th><th>speech ended</th>");
    for (stage, (name, _)) in STAGES.iter().enumerate() {
        write!(out, "<th class=\"head{stage}\">{name}</th>")?;
    }
    out.push_str("<th class=\"bars\"></th></tr></thead>\n<tbody>\n");
    for turn in &report.turns {
        let end = turn.speech_end_at_ms.map(|ms| media_ms(report, ms));
        write!(out, "<tr><td>{}</td><td>", turn.turn)?;
        match end {
            Some(ms) => write!(out, "<button type=\"button\" data-at=\"{ms}\">{}</button>", clock(ms))?,
            None => out.push('–'),
        }
        out.push_str("</td>");
        for stage in STAGES {
            match since_end(turn, stage) {
                Some(ms) => write!(out, "<td>{ms}</td>")?,
                None => out.push_str("<td>–</td>"),
            }
        }
        out.push_str(
            "<td class=\"bars\"><svg viewBox=\"0 0 120 10\" width=\"120\" height=\"10\" aria-hidden=\"true\">",
        );
        let mut from = 0;
        for (n, stage) in STAGES.into_iter().enumerate() {
            if let Some(to) = since_end(turn, stage).filter(|&ms| ms > from) {
                let scale = |ms: u64| ms as f64 * 120.0 / longest as f64;
                write!(
                    out,
                    "<rect class=\"stage{n}\" x=\"{:.1}\" y=\"1\" width=\"{:.1}\" height=\"8\"><title>{}: {to} ms</title></rect>",
                    scale(from),
                    scale(to - from),
                    stage.0
                )?;
                from = to;
            }
        }
        out.push_str("</svg></td></tr>\n");
    }
    out.push_str("</tbody>\n</table></div>\n</section>\n");
    Ok(())
}

/// Everything with a moment that is neither a line nor a turn.
fn events(out: &mut String, report: &Report) -> fmt::Result {
    let at = |ms| media_ms(report, ms);
    let mut events: Vec<(u64, &str, String)> = Vec::new();
    for i in &report.interruptions {
        let text = format!("{} ms of the agent's words were heard, {} ms were not", i.heard_ms, i.unheard_ms);
        events.push((i.media_at_ms, "barge-in", text));
    }
    events.extend(report.notes.iter().map(|n| (at(n.at_ms), "note", n.text.clone())));
    events.extend(report.tools.iter().map(|t| (at(t.at_ms), "tool", format!("{}: {}", t.name, t.output))));
    events.extend(report.keys.iter().map(|k| (at(k.at_ms), "key", k.digit.to_string())));
    events.extend(report.gaps.iter().map(|g| (g.media_at_ms, "gap", format!("{} ms without caller audio", g.ms))));
    if events.is_empty() {
        return Ok(());
    }
    events.sort();
    out.push_str("<section>\n<h2>Events</h2>\n<table class=\"events\">\n<tbody>\n");
    for (ms, kind, text) in &events {
        writeln!(
            out,
            "<tr><td><button type=\"button\" data-at=\"{ms}\">{}</button></td><td class=\"{kind}\">{kind}</td><td>{}</td></tr>",
            clock(*ms),
            Esc(text)
        )?;
    }
    out.push_str("</tbody>\n</table>\n</section>\n");
    Ok(())
}

fn numbers(out: &mut String, report: &Report) -> fmt::Result {
    out.push_str("<section>\n<details>\n<summary>Counters and usage</summary>\n<table class=\"events\">\n<tbody>\n");
    let u = report.usage;
    for (name, value) in [
        ("input tokens", u.input_tokens),
        ("of these audio", u.input_audio_tokens),
        ("of these cached", u.cached_tokens),
        ("output tokens", u.output_tokens),
        ("of these audio", u.output_audio_tokens),
    ] {
        writeln!(out, "<tr><td>{name}</td><td>{value}</td></tr>")?;
    }
    for (name, value) in &report.counters {
        writeln!(out, "<tr><td>{}</td><td>{value}</td></tr>", Esc(name))?;
    }
    writeln!(out, "<tr><td>configuration</td><td>{}</td></tr>", Esc(&report.revision))?;
    if let Some(error) = report.recording.as_ref().and_then(|r| r.error.as_deref()) {
        writeln!(out, "<tr><td>recording</td><td>{}</td></tr>", Esc(error))?;
    }
    out.push_str("</tbody>\n</table>\n</details>\n</section>\n");
    Ok(())
}

/// How a policy names an inline script or style: by its SHA-256.
fn source_hash(source: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, source.as_bytes());
    format!("sha256-{}", base64_simd::STANDARD.encode_to_string(digest.as_ref()))
}
