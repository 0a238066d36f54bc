//! The picture of a clip as it is heard: waveform, speech probability and threshold, what is true and what was detected,
//! and why each turn ended. As SVG, and as a page of its own with a player.

use std::fmt::{self, Write as _};

use super::run::{Heard, LINE, segments};
use super::words::{self, clock, mistake, reason};
use crate::base::audio::{level, wav};
use crate::base::time::Samples;
use crate::config::TurnSettings;
use crate::ears::turn::TurnEvent;
use crate::ears::turn::score::{ClipScore, Found, Truth};
use crate::lab::picture::text::{Esc, clock_s};
use crate::lab::picture::{PAGE_STYLE, SCRIPT, STYLE, head};

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The clip's name.
    pub title: &'a str,
    /// Its audio at the line's rate; empty when there is none.
    pub samples: &'a [i16],
    /// By what it was heard.
    pub settings: &'a TurnSettings,
    /// What was heard.
    pub heard: &'a Heard,
    /// What is true of it, with the score, where that is known.
    pub truth: Option<(&'a Truth, &'a ClipScore)>,
    /// The truth is an estimate.
    pub estimated: bool,
}

/// Clips longer than this are drawn without a player: browsers would take seconds to open the page.
pub const MAX_AUDIO_MS: u64 = 30 * 60_000;

const WIDTH: f64 = 1_200.0;
const LEFT: f64 = 74.0;
const INNER: f64 = WIDTH - LEFT - 18.0;
const FLAG: f64 = 19.0;
const WAVE: f64 = 54.0;
const PROBABILITY: f64 = 60.0;
const BAR: f64 = 10.0;
const GAP: f64 = 5.0;
const ROW_GAP: f64 = 34.0;
/// Width of a character of the labels, on average.
const CHAR: f64 = 7.2;
/// Lanes of labels above a row; more lie over each other.
const LANES: usize = 3;

/// Classes of its own begin with `t-`: the rest is the style of a call's picture.
const OWN_STYLE: &str = "\
.call .t-true{fill:var(--ok);opacity:.8}.call .t-heard{fill:var(--caller)}.call .t-unsure{fill:var(--soft);opacity:.35}\
.call .t-p{fill:none;stroke:var(--caller);stroke-width:1.3}.call .t-p-area{fill:var(--caller);opacity:.12}\
.call .t-threshold{stroke:var(--agent);stroke-width:1.2}.call .t-stop{stroke:var(--agent);stroke-width:1;stroke-dasharray:4 3;opacity:.8}\
.call .t-silence{fill:var(--agent);opacity:.16}\
.call .end-line{stroke:var(--ok);stroke-width:1.5}.call .end-flag{fill:var(--ok)}.call .on-flag{fill:var(--bg);font-weight:600}\n";

/// A word above a row.
struct Flag {
    at_ms: u64,
    label: String,
    title: String,
    bad: bool,
}

/// The SVG picture.
pub fn svg(scene: &Scene<'_>) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail.
    let _ = draw(&mut out, scene, true);
    out
}

/// The page: the picture, a player, and every decision with its reason. It stands alone.
pub fn html(scene: &Scene<'_>) -> String {
    let mut out = String::new();
    let _ = page(&mut out, scene);
    out
}

fn page(out: &mut String, scene: &Scene<'_>) -> fmt::Result {
    head(out, &format!("{} as heard", scene.title), &format!("{STYLE}{OWN_STYLE}{PAGE_STYLE}"))?;
    write!(
        out,
        "<header>\n<h1>{}</h1>\n<p class=\"hint\">{}</p>\n</header>\n<div class=\"player\">",
        Esc(scene.title),
        Esc(&subtitle(scene))
    )?;
    if !scene.samples.is_empty() && length_ms(scene) <= MAX_AUDIO_MS {
        out.push_str(
            "<button id=\"play\" type=\"button\" class=\"primary\" aria-label=\"Play or pause\">Play</button>\n\
             <output id=\"time\">0:00.000</output>\n\
             <p class=\"hint\">Space plays, arrows move by 1 s, a click seeks.</p>\n\
             <audio id=\"audio\" preload=\"auto\" src=\"data:audio/wav;base64,",
        );
        base64_simd::STANDARD.encode_append(wav::write(LINE.rate_hz, 1, scene.samples), out);
        out.push_str("\"></audio>");
    } else {
        let why = if scene.samples.is_empty() { "No audio was kept." } else { "Too long for a player in this page." };
        write!(out, "<output id=\"time\">0:00.000</output><p class=\"hint\">{why}</p>")?;
    }
    out.push_str("</div>\n<main>\n<section class=\"picture\" aria-label=\"Picture of the clip\">\n");
    draw(out, scene, false)?;
    out.push_str("</section>\n");
    mistakes(out, scene)?;
    decisions(out, scene)?;
    write!(out, "</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n")
}

fn mistakes(out: &mut String, scene: &Scene<'_>) -> fmt::Result {
    let Some((_, score)) = scene.truth else { return Ok(()) };
    out.push_str("<section>\n<h2>Mistakes</h2>\n");
    let bad: Vec<_> = score.findings.iter().filter_map(|f| Some((f.at_ms, mistake(f)?))).collect();
    if bad.is_empty() {
        out.push_str("<p class=\"none\">None.</p>\n</section>\n");
        return Ok(());
    }
    out.push_str("<table class=\"events\"><tbody>\n");
    for (at_ms, what) in bad {
        writeln!(
            out,
            "<tr><td><button type=\"button\" data-at=\"{}\">{}</button></td><td>{}</td></tr>",
            at_ms.saturating_sub(1_000),
            clock(at_ms),
            Esc(&what)
        )?;
    }
    out.push_str("</tbody></table>\n</section>\n");
    Ok(())
}

fn decisions(out: &mut String, scene: &Scene<'_>) -> fmt::Result {
    out.push_str(
        "<section>\n<h2>Decisions</h2>\n<div class=\"scroll\"><table class=\"events\">\n<thead><tr><th>Decided</th>\
         <th>What</th><th>At</th><th>Why</th></tr></thead>\n<tbody>\n",
    );
    let mut before = None;
    for (decided, event) in &scene.heard.events {
        let ms = decided.as_ms(LINE.rate_hz);
        writeln!(
            out,
            "<tr><td><button type=\"button\" data-at=\"{ms}\">{}</button></td><td>{}</td><td>{}</td><td>{}</td></tr>",
            clock(ms),
            words::event(event),
            clock(words::event_at(event).as_ms(LINE.rate_hz)),
            Esc(&reason((*decided, event), before, scene.settings, LINE.rate_hz))
        )?;
        before = Some(event);
    }
    out.push_str("</tbody></table></div>\n</section>\n");
    Ok(())
}

fn subtitle(scene: &Scene<'_>) -> String {
    let truth = match (scene.truth, scene.estimated) {
        (None, _) => "nothing is known of what is true",
        (_, true) => "what is true is an estimate made with hindsight",
        (_, false) => "what is true is labelled",
    };
    format!("{} · {} · {truth}", clock(length_ms(scene)), words::settings(scene.settings))
}

fn length_ms(scene: &Scene<'_>) -> u64 {
    scene.heard.length.as_ms(LINE.rate_hz)
}

/// What is drawn in: the clip, and what was decided in the silence after it.
fn drawn_ms(scene: &Scene<'_>) -> u64 {
    let last = scene.heard.events.last().map_or(0, |(decided, _)| decided.as_ms(LINE.rate_hz) + 20);
    length_ms(scene).max(last).max(1_000)
}

fn row_ms(length_ms: u64) -> u64 {
    match length_ms {
        0..=5_000 => 5_000,
        5_001..=120_000 => 10_000,
        120_001..=600_000 => 20_000,
        _ => 60_000,
    }
}

fn flags(scene: &Scene<'_>) -> Vec<Flag> {
    let ms = |samples: Samples| samples.as_ms(LINE.rate_hz);
    let mut flags = Vec::new();
    let mut before = None;
    for (decided, event) in &scene.heard.events {
        if matches!(event, TurnEvent::Ended { .. }) {
            let at_ms = ms(*decided);
            let why = reason((*decided, event), before, scene.settings, LINE.rate_hz);
            let known = scene.truth.and_then(|(_, score)| {
                score.findings.iter().find_map(|f| match f.what {
                    Found::End { delay_ms } if f.at_ms == at_ms => Some((format!("end {delay_ms:+} ms"), false)),
                    Found::CutOff { left_ms } if f.at_ms == at_ms => {
                        Some((format!("cut off, {left_ms} ms left"), true))
                    }
                    _ => None,
                })
            });
            let (label, bad) = known.unwrap_or_else(|| ("end".to_owned(), false));
            flags.push(Flag { at_ms, title: format!("{label} at {}: {why}", clock(at_ms)), label, bad });
        }
        before = Some(event);
    }
    for finding in scene.truth.iter().flat_map(|(_, score)| &score.findings) {
        let label = match finding.what {
            Found::Missed => "missed end",
            Found::Lost => "lost start",
            Found::FalseStart { .. } => "false start",
            Found::End { .. } | Found::CutOff { .. } | Found::Start { .. } => continue,
        };
        let title = format!("{}: {}", clock(finding.at_ms), mistake(finding).unwrap_or_default());
        flags.push(Flag { at_ms: finding.at_ms, label: label.to_owned(), title, bad: true });
    }
    flags.sort_by_key(|flag| flag.at_ms);
    flags
}

/// A row of time and where it lies.
#[derive(Clone, Copy)]
struct Row {
    from: u64,
    to: u64,
    top: f64,
    flags: f64,
}

impl Row {
    fn x(&self, ms: u64) -> f64 {
        LEFT + (ms.saturating_sub(self.from) as f64 / (self.to - self.from) as f64) * INNER
    }

    fn part(&self, from: u64, to: u64) -> Option<(f64, f64)> {
        let (from, to) = (from.max(self.from), to.min(self.to));
        (from < to).then(|| (self.x(from), self.x(to) - self.x(from)))
    }

    fn wave(&self) -> f64 {
        self.top + self.flags
    }

    fn probability(&self) -> f64 {
        self.wave() + WAVE + GAP
    }

    fn truth(&self) -> f64 {
        self.probability() + PROBABILITY + GAP
    }

    fn detected(&self) -> f64 {
        self.truth() + BAR + 3.0
    }

    fn bottom(&self) -> f64 {
        self.detected() + BAR
    }
}

fn draw(out: &mut String, scene: &Scene<'_>, alone: bool) -> fmt::Result {
    let (length, flags) = (drawn_ms(scene), flags(scene));
    let row_ms = row_ms(length);
    let mut rows: Vec<Row> = Vec::new();
    let mut top = if alone { 104.0 } else { 36.0 };
    for n in 0..length.div_ceil(row_ms) {
        let (from, to) = (n * row_ms, (n + 1) * row_ms);
        let row = Row { from, to, top, flags: lanes(&flags, from, to) as f64 * FLAG };
        top = row.bottom() + ROW_GAP;
        rows.push(row);
    }
    write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"call\" viewBox=\"0 0 {WIDTH} {top:.0}\" role=\"img\" \
         data-left=\"{LEFT}\" data-inner=\"{INNER}\" data-length=\"{length}\" data-fine=\"1\""
    )?;
    if alone {
        write!(out, " width=\"{WIDTH}\" height=\"{top:.0}\"")?;
    }
    writeln!(out, ">\n<title>{} as heard</title>", Esc(scene.title))?;
    if alone {
        writeln!(
            out,
            "<style>{STYLE}{OWN_STYLE}</style>\n<rect class=\"bg\" width=\"100%\" height=\"100%\"/>\n\
             <text class=\"title\" x=\"20\" y=\"36\">{}</text>\n<text class=\"sub\" x=\"20\" y=\"58\">{}</text>",
            Esc(scene.title),
            Esc(&subtitle(scene))
        )?;
    }
    legend(out, if alone { 82.0 } else { 16.0 }, scene)?;
    let loudest = f32::from(level::peak(scene.samples)).max(level::FULL_SCALE / 8.0);
    for row in &rows {
        writeln!(
            out,
            "<g class=\"row\" data-from=\"{}\" data-to=\"{}\" data-top=\"{:.1}\" data-bottom=\"{:.1}\">",
            row.from,
            row.to,
            row.top,
            row.bottom()
        )?;
        tracks(out, row, scene, length, row_ms)?;
        waveform(out, row, scene, loudest)?;
        probability(out, row, scene)?;
        bars(out, row, scene)?;
        labels(out, row, &flags)?;
        out.push_str("</g>\n");
    }
    if !alone {
        out.push_str("<line id=\"cursor\" class=\"cursor\" x1=\"-9\" x2=\"-9\" y1=\"0\" y2=\"0\"/>\n");
    }
    out.push_str("</svg>\n");
    Ok(())
}

fn tracks(out: &mut String, row: &Row, scene: &Scene<'_>, length: u64, row_ms: u64) -> fmt::Result {
    let Some((x, w)) = row.part(row.from, length) else { return Ok(()) };
    let truth = if scene.estimated { "true (est.)" } else { "true" };
    for (y, h, name) in [
        (row.wave(), WAVE, "audio"),
        (row.probability(), PROBABILITY, "speech"),
        (row.truth(), BAR, truth),
        (row.detected(), BAR, "detected"),
    ] {
        writeln!(
            out,
            "<rect class=\"track\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h}\" rx=\"2\"/>\
             <text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
            LEFT - 8.0,
            y + h / 2.0 + 4.0
        )?;
    }
    let step = row_ms / 10;
    for at in (row.from..=row.to.min(length)).step_by(step as usize) {
        let x = row.x(at);
        let (top, bottom) = (row.wave(), row.bottom());
        writeln!(out, "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>")?;
        if at < row.to && at % 1_000 == 0 {
            writeln!(
                out,
                "<text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                x + 3.0,
                row.bottom() + 13.0,
                clock_s(at)
            )?;
        }
    }
    Ok(())
}

fn waveform(out: &mut String, row: &Row, scene: &Scene<'_>, loudest: f32) -> fmt::Result {
    const COLUMNS: u64 = 800;
    let middle = row.wave() + WAVE / 2.0;
    let per_ms = u64::from(LINE.rate_hz) / 1_000;
    let span = row.to - row.from;
    let column = |n: u64| {
        let at = |n: u64| ((row.from * per_ms + n * span * per_ms / COLUMNS) as usize).min(scene.samples.len());
        scene.samples.get(at(n)..at(n + 1)).filter(|piece| !piece.is_empty())
    };
    let heights: Vec<f64> = (0..COLUMNS)
        .map_while(column)
        .map(|piece| (f64::from(f32::from(level::peak(piece)) / loudest) * WAVE * 0.47).max(0.4))
        .collect();
    if heights.is_empty() {
        return Ok(());
    }
    let x = |n: usize| LEFT + (n as f64 + 0.5) * INNER / COLUMNS as f64;
    write!(out, "<path class=\"caller\" d=\"M{:.1} {middle:.1}", x(0))?;
    for (n, height) in heights.iter().enumerate() {
        write!(out, "L{:.1} {:.1}", x(n), middle - height)?;
    }
    for (n, height) in heights.iter().enumerate().rev() {
        write!(out, "L{:.1} {:.1}", x(n), middle + height)?;
    }
    out.push_str("Z\"/>\n");
    Ok(())
}

/// The probability over each step, with the line from which on it counts as speech and the one below which it ends.
fn probability(out: &mut String, row: &Row, scene: &Scene<'_>) -> fmt::Result {
    let ms = |samples: Samples| samples.as_ms(LINE.rate_hz);
    let y = |p: f32| row.probability() + PROBABILITY * (1.0 - f64::from(p.clamp(0.0, 1.0)));
    let bottom = y(0.0);
    // The silence that was waited for before each end.
    for (decided, event) in &scene.heard.events {
        if let TurnEvent::Ended { at, .. } = event
            && let Some((x, w)) = row.part(ms(*at), ms(*decided))
        {
            let top = row.probability();
            writeln!(
                out,
                "<rect class=\"t-silence\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{w:.1}\" height=\"{PROBABILITY}\"/>"
            )?;
        }
    }
    let mut path = String::new();
    let (mut from, mut ends) = (0, None);
    for step in &scene.heard.steps {
        let to = ms(step.end);
        if to > row.from && from < row.to && from < drawn_ms(scene) {
            let (x, w) = (row.x(from.max(row.from)), row.x(to.min(row.to)));
            let p = y(step.probability.as_f32());
            let head = if path.is_empty() { 'M' } else { 'L' };
            write!(path, "{head}{x:.1} {p:.1}H{w:.1}")?;
            ends = Some(w);
        }
        from = to;
    }
    if let Some(end) = ends {
        let start = path.trim_start_matches('M').split(' ').next().unwrap_or_default();
        writeln!(
            out,
            "<path class=\"t-p-area\" d=\"{path}V{bottom:.1}H{start}Z\"/><path class=\"t-p\" d=\"{path}\"/>"
        )?;
        let stop = (scene.settings.threshold - scene.settings.hysteresis).max(0.0);
        for (class, p) in [("t-threshold", scene.settings.threshold), ("t-stop", stop)] {
            let y = y(p);
            writeln!(out, "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{end:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>")?;
        }
    }
    Ok(())
}

fn bars(out: &mut String, row: &Row, scene: &Scene<'_>) -> fmt::Result {
    let mut bar = |class: &str, y: f64, from: u64, to: u64, title: &str| match row.part(from, to) {
        Some((x, w)) => writeln!(
            out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"><title>{title} {} to \
             {}</title></rect>",
            w.max(1.0),
            clock(from),
            clock(to)
        ),
        None => Ok(()),
    };
    if let Some((truth, _)) = scene.truth {
        for span in &truth.uncertain {
            bar("t-unsure", row.truth(), span.start_ms, span.end_ms, "nobody can say")?;
        }
        for span in &truth.distractors {
            bar("gap", row.truth(), span.start_ms, span.end_ms, "other sound")?;
        }
        for turn in &truth.turns {
            bar("speech", row.truth(), turn.span.start_ms, turn.span.end_ms, "turn")?;
        }
        for spoken in &truth.speech {
            bar("t-true", row.truth(), spoken.span.start_ms, spoken.span.end_ms, "speech")?;
        }
    }
    for (from, to) in segments(&scene.heard.events, scene.heard.length) {
        let ms = |samples: Samples| samples.as_ms(LINE.rate_hz);
        bar("t-heard", row.detected(), ms(from), ms(to), "detected speech")?;
    }
    Ok(())
}

fn labels(out: &mut String, row: &Row, flags: &[Flag]) -> fmt::Result {
    for (flag, lane) in placed(flags, row.from, row.to) {
        let (x, y) = (row.x(flag.at_ms), row.top + lane as f64 * FLAG);
        let (line, pill) = if flag.bad { ("cut-line", "cut") } else { ("end-line", "end-flag") };
        let w = width(&flag.label);
        let left = x.min(WIDTH - 18.0 - w);
        writeln!(
            out,
            "<g><title>{}</title><line class=\"{line}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y:.1}\" y2=\"{:.1}\"/>\
             <rect class=\"{pill}\" x=\"{left:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"16\" rx=\"3\"/>\
             <text class=\"on-flag\" x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
            Esc(&flag.title),
            row.bottom(),
            left + 6.0,
            y + 12.0,
            Esc(&flag.label)
        )?;
    }
    Ok(())
}

fn width(label: &str) -> f64 {
    label.chars().count() as f64 * CHAR + 12.0
}

/// The flags of a row, each in the first lane with room.
fn placed(flags: &[Flag], from: u64, to: u64) -> impl Iterator<Item = (&Flag, usize)> {
    let mut ends = [f64::MIN; LANES];
    flags.iter().filter(move |flag| (from..to).contains(&flag.at_ms)).map(move |flag| {
        let x = (flag.at_ms - from) as f64 / (to - from) as f64 * INNER;
        let lane = ends.iter().position(|&end| x >= end).unwrap_or(LANES - 1);
        ends[lane] = x.min(INNER - width(&flag.label)) + width(&flag.label) + 4.0;
        (flag, lane)
    })
}

fn lanes(flags: &[Flag], from: u64, to: u64) -> usize {
    placed(flags, from, to).map(|(_, lane)| lane + 1).max().unwrap_or(0)
}

fn legend(out: &mut String, y: f64, scene: &Scene<'_>) -> fmt::Result {
    out.push_str(
        "<defs><pattern id=\"gap\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><line class=\"gap-line\" x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\"/></pattern></defs>\n",
    );
    let mut x = LEFT;
    let middle = y - 4.0;
    let mut items = vec![
        ("t-p", "speech probability"),
        ("t-threshold", "threshold"),
        ("t-stop", "threshold - hysteresis"),
        ("t-silence", "silence waited for"),
        ("t-heard", "detected speech"),
    ];
    if scene.truth.is_some() {
        items.extend([("t-true", "true speech"), ("speech", "true turn"), ("gap", "other sound")]);
    }
    for (class, name) in items {
        match class {
            "t-p" | "t-threshold" | "t-stop" => writeln!(
                out,
                "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>",
                x + 18.0
            )?,
            _ => writeln!(
                out,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"18\" height=\"{BAR}\" rx=\"2\"/>",
                middle - BAR / 2.0
            )?,
        }
        writeln!(out, "<text class=\"soft\" x=\"{:.1}\" y=\"{y:.1}\">{name}</text>", x + 24.0)?;
        x += 24.0 + name.chars().count() as f64 * 6.1 + 18.0;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::audio::clip::Span;
    use crate::config::VadEngine;
    use crate::ears::turn::score::{Spoken, score};
    use crate::lab::tune::run::hear;

    #[test]
    fn a_picture_shows_ends_with_delay_cut_offs_and_why() {
        let settings = TurnSettings { engine: VadEngine::Energy, ..TurnSettings::default() };
        let mut samples = vec![0i16; 4_000 * 8];
        for (from, to) in [(500, 1_500), (2_000, 2_600)] {
            let piece = samples[from * 8..to * 8].iter_mut().enumerate();
            piece.for_each(|(i, s)| *s = if i % 40 < 20 { 6_000 } else { -6_000 });
        }
        let spoken = |start_ms, end_ms| {
            let span = Span { start_ms, end_ms };
            Spoken { span, audible: span }
        };
        let mut truth = Truth { speech: vec![spoken(500, 1_500), spoken(2_000, 2_600)], ..Truth::default() };
        truth.assume_turns(1_000);
        let heard = hear(&samples, &settings);
        let score = score(&truth, &heard.events, 8_000);
        let scene = Scene {
            title: "a <clip>",
            samples: &samples,
            settings: &settings,
            heard: &heard,
            truth: Some((&truth, &score)),
            estimated: false,
        };
        let svg = svg(&scene);
        for part in [
            "a &lt;clip&gt; as heard",
            "cut off, ",
            "end +",
            "ms of silence (silence_duration_ms)",
            "class=\"t-threshold\"",
        ] {
            assert!(svg.contains(part), "{part}\n{svg}");
        }
        assert_eq!(svg.matches("class=\"row\"").count(), 1);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        let page = html(&scene);
        assert!(page.contains("data:audio/wav;base64,UklGR") && page.contains("cut off: the turn goes on for"));
        let bare = Scene { samples: &[], truth: None, ..scene };
        assert!(html(&bare).contains("No audio was kept.") && !html(&bare).contains("Mistakes"));
    }
}
