//! The picture: rows of time, each with the caller above the axis and the agent below.

use std::fmt::{self, Write as _};

use super::labels::{Flag, flag_width, flags, legend, subtitle, title, tooltip, waits};
use super::marks::Marks;
use super::text::{Esc, clock, clock_s, shorten, wrap};
use super::wave::Peaks;
use super::{length_ms, media_ms};
use crate::engine::Role;
use crate::report::Report;

const WIDTH: f64 = 1_200.0;
pub(super) const LEFT: f64 = 64.0;
const RIGHT: f64 = 18.0;
const INNER: f64 = WIDTH - LEFT - RIGHT;
const WAVE: f64 = 46.0;
const AXIS: f64 = 24.0;
const FLAG: f64 = 19.0;
const ROW_GAP: f64 = 22.0;
const LINE: f64 = 14.0;
/// Height of a mark's tick, and radius of the ring of a mark whose audio was cleared.
const MARK: f64 = 6.0;
pub(super) const RING: f64 = 3.0;
/// Room for the words after a wait and beside the call's end.
const WAIT_TEXT: f64 = 56.0;
const END_TEXT: f64 = 220.0;
/// Less than this is cut off at the end of nearly every line, by the marks' spacing.
const UNHEARD_MS: u64 = 200;
/// Width of a character of the labels, on average; text is cut by it, since no font can be measured here.
pub(super) const CHAR: f64 = 6.1;

/// `call.svg`: the picture with its title.
pub fn picture(report: &Report, peaks: Option<&Peaks>, marks: Option<&Marks>) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    draw(&mut out, report, peaks, marks, true);
    out
}

/// The colours of picture and page. Light and dark; the two sides differ in place and hue, never by hue alone.
pub(crate) const STYLE: &str = "\
:root{--bg:#fff;--ink:#1c2430;--soft:#667085;--rule:#e3e7ee;--track:#f6f7f9;--caller:#2563c9;--agent:#b8690b;\
--cut:#d3204a;--ok:#14804a;--chip-caller:#e6eefb;--chip-agent:#fbf0df;--flag:#eef0f4}\
@media(prefers-color-scheme:dark){:root{--bg:#12161c;--ink:#e7ebf1;--soft:#98a2b3;--rule:#2b323d;--track:#1a2028;\
--caller:#6ea4ff;--agent:#f0a94a;--cut:#ff5c7f;--ok:#4cc38a;--chip-caller:#1d2c47;--chip-agent:#3a2b14;--flag:#262d38}}\
.call{font:11px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;fill:var(--ink)}\
.call .bg{fill:var(--bg)}.call .track{fill:var(--track)}.call .soft{fill:var(--soft)}\
.call .title{font-size:20px;font-weight:650}.call .sub{font-size:13px;fill:var(--soft)}\
.call .tick{stroke:var(--rule);stroke-width:1}.call .zero{stroke:var(--rule);stroke-width:1}\
.call .caller{fill:var(--caller)}.call .agent{fill:var(--agent)}.call .who{font-weight:600}\
.call .speech{fill:var(--caller);opacity:.14}.call .commit{stroke:var(--caller);stroke-width:1.5}\
.call .chip-caller{fill:var(--chip-caller)}.call .chip-agent{fill:var(--chip-agent)}\
.call .ghost{fill:none;stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3}\
.call .unheard{fill:var(--soft);text-decoration:line-through}\
.call .wait{fill:var(--ok);opacity:.85}.call .wait-text{fill:var(--ok);font-weight:600}\
.call .cut-line{stroke:var(--cut);stroke-width:2}.call .cut{fill:var(--cut)}.call .cut-text{fill:var(--bg);font-weight:600}\
.call .flag{fill:var(--flag)}.call .stem{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 2}\
.call .gap-line{stroke:var(--cut);stroke-width:1.5;opacity:.55}.call .gap{fill:url(#gap)}\
.call .mark{stroke:var(--agent);stroke-width:1;opacity:.75}.call .mark-cleared{fill:var(--bg);stroke:var(--cut);stroke-width:1.5}\
.call .heard{fill:none;stroke:var(--ok);stroke-width:1.2}.call .threshold{stroke:var(--ok);stroke-width:1;stroke-dasharray:1 4}\
.call .end{stroke:var(--ink);stroke-width:1.5}\
.call .cursor{stroke:var(--ink);stroke-width:1.5}\n";

/// The `<svg>` element; with its own style and title when it stands alone.
pub(super) fn draw(out: &mut String, report: &Report, peaks: Option<&Peaks>, marks: Option<&Marks>, alone: bool) {
    // Writing to a string cannot fail.
    let _ = Picture::new(report, peaks, marks).write(out, alone);
}

/// How the time line is cut into rows: short calls in detail, an hour on a page that can still be scrolled.
fn row_ms(length_ms: u64) -> u64 {
    match length_ms {
        0..=60_000 => 10_000,
        60_001..=120_000 => 20_000,
        120_001..=600_000 => 30_000,
        600_001..=1_800_000 => 60_000,
        _ => (length_ms / 30).next_multiple_of(60_000).max(120_000),
    }
}

struct Picture<'a> {
    report: &'a Report,
    peaks: Option<&'a Peaks>,
    marks: Option<&'a Marks>,
    length_ms: u64,
    row_ms: u64,
    chip_lines: usize,
    /// What each line has still to say in later rows.
    rests: Vec<String>,
    flags: Vec<Flag>,
}

/// A row: its time and where it lies.
#[derive(Clone, Copy)]
struct Row {
    from: u64,
    to: u64,
    px_per_ms: f64,
    top: f64,
    flags_h: f64,
    chips_h: f64,
}

impl Row {
    fn x(&self, ms: u64) -> f64 {
        LEFT + ms.saturating_sub(self.from) as f64 * self.px_per_ms
    }

    /// The part of a stretch that lies in this row, as x and width.
    fn part(&self, from: u64, to: u64) -> Option<(f64, f64)> {
        let (from, to) = (from.max(self.from), to.min(self.to));
        (from < to).then(|| (self.x(from), (to - from) as f64 * self.px_per_ms))
    }

    fn holds(&self, ms: u64) -> bool {
        (self.from..self.to).contains(&ms)
    }

    fn caller_y(&self) -> f64 {
        self.top + self.flags_h + self.chips_h
    }

    fn axis_y(&self) -> f64 {
        self.caller_y() + WAVE
    }

    fn agent_y(&self) -> f64 {
        self.axis_y() + AXIS
    }

    fn bottom(&self) -> f64 {
        self.agent_y() + WAVE + self.chips_h
    }
}

impl<'a> Picture<'a> {
    fn new(report: &'a Report, peaks: Option<&'a Peaks>, marks: Option<&'a Marks>) -> Self {
        let length_ms = length_ms(report, peaks);
        let row_ms = row_ms(length_ms);
        Picture {
            report,
            peaks,
            marks,
            length_ms,
            row_ms,
            chip_lines: if row_ms >= 30_000 { 3 } else { 2 },
            rests: report.lines.iter().map(|l| l.text.clone()).collect(),
            flags: flags(report),
        }
    }

    fn write(mut self, out: &mut String, alone: bool) -> fmt::Result {
        let head = if alone { 112.0 } else { 40.0 };
        let mut rows = Vec::new();
        let mut top = head;
        for n in 0..self.length_ms.div_ceil(self.row_ms) {
            let (from, to) = (n * self.row_ms, (n + 1) * self.row_ms);
            let lanes = self.flag_lanes(from, to);
            let row = Row {
                from,
                to,
                px_per_ms: INNER / self.row_ms as f64,
                top,
                flags_h: lanes as f64 * FLAG,
                chips_h: self.chip_lines as f64 * LINE + 10.0,
            };
            top = row.bottom() + ROW_GAP;
            rows.push(row);
        }
        let height = top;
        write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"call\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" \
             data-left=\"{LEFT}\" data-inner=\"{INNER}\" data-length=\"{}\"",
            self.length_ms
        )?;
        if alone {
            write!(out, " width=\"{WIDTH}\" height=\"{height:.0}\"")?;
        }
        writeln!(out, ">\n<title>{}</title>", Esc(&title(self.report)))?;
        if alone {
            writeln!(out, "<style>{STYLE}</style>")?;
            writeln!(out, "<rect class=\"bg\" width=\"100%\" height=\"100%\"/>")?;
            writeln!(out, "<text class=\"title\" x=\"20\" y=\"38\">{}</text>", Esc(&title(self.report)))?;
            writeln!(out, "<text class=\"sub\" x=\"20\" y=\"60\">{}</text>", Esc(&subtitle(self.report)))?;
        }
        out.push_str(
            "<defs><pattern id=\"gap\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate(45)\"><line class=\"gap-line\" x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\"/></pattern></defs>\n",
        );
        legend(out, if alone { 86.0 } else { 16.0 }, self.marks)?;
        if let Some(marks) = self.marks {
            if marks.drawn() < marks.came_back {
                let (drawn, all) = (marks.drawn(), marks.came_back);
                writeln!(out, "<!-- {all} marks came back, {drawn} of them, evenly spread, are drawn -->")?;
            }
            if let Some(why) = &marks.missing {
                // Two dashes would end a comment.
                writeln!(out, "<!-- marks are missing: {} -->", Esc(&why.replace('-', " ")))?;
            }
        }
        for row in &rows {
            self.row(out, row)?;
        }
        if !alone {
            out.push_str("<line id=\"cursor\" class=\"cursor\" x1=\"-9\" x2=\"-9\" y1=\"0\" y2=\"0\"/>\n");
        }
        out.push_str("</svg>\n");
        Ok(())
    }

    fn row(&mut self, out: &mut String, row: &Row) -> fmt::Result {
        let (top, bottom) = (row.top, row.bottom());
        writeln!(
            out,
            "<g class=\"row\" data-from=\"{}\" data-to=\"{}\" data-top=\"{top:.1}\" data-bottom=\"{bottom:.1}\">",
            row.from, row.to
        )?;
        self.tracks(out, row)?;
        self.gaps(out, row)?;
        self.turns(out, row)?;
        self.wave(out, row, Role::Caller)?;
        self.wave(out, row, Role::Agent)?;
        self.heard(out, row)?;
        self.waits(out, row)?;
        // Before the words, so that no line runs through them.
        self.flags(out, row)?;
        self.marks(out, row)?;
        self.chips(out, row)?;
        self.end(out, row)?;
        out.push_str("</g>\n");
        Ok(())
    }

    fn tracks(&self, out: &mut String, row: &Row) -> fmt::Result {
        let Some((x, w)) = row.part(row.from, self.length_ms) else { return Ok(()) };
        for y in [row.caller_y(), row.agent_y()] {
            writeln!(
                out,
                "<rect class=\"track\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{WAVE}\" rx=\"3\"/>"
            )?;
        }
        for (y, class, name) in [(row.caller_y(), "caller", "Caller"), (row.agent_y(), "agent", "Agent")] {
            let y = y + WAVE / 2.0 + 4.0;
            writeln!(
                out,
                "<text class=\"who {class}\" x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{name}</text>",
                LEFT - 10.0
            )?;
        }
        // Ten or twelve ticks, every second one with its time where it would be crowded.
        let step = self.row_ms / if self.row_ms.is_multiple_of(12_000) { 12 } else { 10 };
        let mut at = row.from;
        while at <= row.to.min(self.length_ms) {
            let x = row.x(at);
            writeln!(
                out,
                "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
                row.caller_y(),
                row.agent_y() + WAVE
            )?;
            if at < row.to && !self.axis_taken(row, x + 4.0) {
                let y = row.axis_y() + 16.0;
                writeln!(out, "<text class=\"soft\" x=\"{:.1}\" y=\"{y:.1}\">{}</text>", x + 4.0, clock_s(at))?;
            }
            at += step;
        }
        Ok(())
    }

    fn gaps(&self, out: &mut String, row: &Row) -> fmt::Result {
        for gap in &self.report.gaps {
            if let Some((x, w)) = row.part(gap.media_at_ms, gap.media_at_ms.saturating_add(gap.ms)) {
                writeln!(
                    out,
                    "<rect class=\"gap\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{WAVE}\"><title>No caller audio \
                     for {} ms at {}</title></rect>",
                    row.caller_y(),
                    w.max(1.0),
                    gap.ms,
                    clock(gap.media_at_ms)
                )?;
            }
        }
        Ok(())
    }

    /// Where the caller was found to speak, and when the turn was taken.
    fn turns(&self, out: &mut String, row: &Row) -> fmt::Result {
        let at = |ms: u64| media_ms(self.report, ms);
        for turn in &self.report.turns {
            if let (Some(from), Some(to)) = (turn.speech_start_at_ms, turn.speech_end_at_ms)
                && let Some((x, w)) = row.part(at(from), at(to))
            {
                writeln!(
                    out,
                    "<rect class=\"speech\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{w:.1}\" height=\"{WAVE}\"><title>Turn {}: speech \
                     {} to {}</title></rect>",
                    row.caller_y(),
                    turn.turn,
                    clock(at(from)),
                    clock(at(to))
                )?;
            }
            if let Some(commit) = turn.commit_at_ms.map(at).filter(|&ms| row.holds(ms)) {
                let (x, y) = (row.x(commit), row.caller_y());
                writeln!(
                    out,
                    "<path class=\"commit\" fill=\"none\" d=\"M{x:.1} {y:.1}V{:.1}\"><title>Turn {} taken at {}</title></path>",
                    y + WAVE,
                    turn.turn,
                    clock(commit)
                )?;
            }
        }
        Ok(())
    }

    fn wave(&self, out: &mut String, row: &Row, who: Role) -> fmt::Result {
        let (class, top) = if who == Role::Caller { ("caller", row.caller_y()) } else { ("agent", row.agent_y()) };
        let middle = top + WAVE / 2.0;
        let Some(peaks) = self.peaks else {
            // Without a recording: blocks where something was said.
            for line in self.report.lines.iter().filter(|l| l.who == who) {
                if let Some((x, w)) = row.part(line.media_at_ms, line.media_end_ms) {
                    let y = middle - 4.0;
                    writeln!(
                        out,
                        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"8\" rx=\"4\"/>"
                    )?;
                }
            }
            return Ok(());
        };
        let side = if who == Role::Caller { &peaks.caller } else { &peaks.agent };
        // Quiet calls are drawn larger, but noise alone is not blown up to look like speech.
        let gain = 0.94 / side.iter().fold(0.25, |m: f32, &p| m.max(p));
        let first = (row.from as f64 / peaks.column_ms).floor() as usize;
        let last = ((row.to as f64 / peaks.column_ms).ceil() as usize).min(side.len());
        let Some(columns) = side.get(first..last).filter(|c| !c.is_empty()) else { return Ok(()) };
        let x_of = |i: usize| {
            let ms = ((first + i) as f64 + 0.5) * peaks.column_ms - row.from as f64;
            LEFT + (ms * row.px_per_ms).clamp(0.0, INNER)
        };
        write!(out, "<path class=\"{class}\" d=\"M{:.1} {middle:.1}", x_of(0))?;
        let half = |p: f32| (f64::from(p * gain) * WAVE / 2.0).max(0.4);
        for (i, &peak) in columns.iter().enumerate() {
            write!(out, "L{:.1} {:.1}", x_of(i), middle - half(peak))?;
        }
        for (i, &peak) in columns.iter().enumerate().rev() {
            write!(out, "L{:.1} {:.1}", x_of(i), middle + half(peak))?;
        }
        out.push_str("Z\"/>\n");
        Ok(())
    }

    /// What was said, in boxes as wide as it took; and behind it what the caller did not hear.
    fn chips(&mut self, out: &mut String, row: &Row) -> fmt::Result {
        let report = self.report;
        for (i, line) in report.lines.iter().enumerate() {
            let (class, y) = match line.who {
                Role::Caller => ("chip-caller", row.top + row.flags_h + 2.0),
                Role::Agent => ("chip-agent", row.agent_y() + WAVE + 4.0),
                Role::System => continue,
            };
            if let Some((x, w)) = row.part(line.media_at_ms, line.media_end_ms) {
                let last = line.media_end_ms <= row.to;
                let text = std::mem::take(&mut self.rests[i]);
                self.rests[i] = self.chip(out, row, (x, y, w), class, "", &tooltip(line), &text, last)?;
            }
            if line.unheard.is_empty() && line.received_ms <= line.heard_ms.saturating_add(UNHEARD_MS) {
                continue;
            }
            // As long as it would have been, up to the agent's next words.
            let next =
                report.lines[i + 1..].iter().find(|l| l.who == line.who).map_or(self.length_ms, |l| l.media_at_ms);
            let would_end = line.media_end_ms.saturating_add(line.received_ms.saturating_sub(line.heard_ms));
            let end = would_end.min(next.saturating_sub(self.row_ms / 200)).min(row.to).min(self.length_ms);
            if row.holds(line.media_end_ms)
                && let Some((x, w)) = row.part(line.media_end_ms, end)
            {
                let place = (x + 2.0, y, w - 2.0);
                self.chip(out, row, place, "ghost", "unheard", &tooltip(line), &line.unheard, true)?;
            }
        }
        Ok(())
    }

    /// One box; answers the words that did not fit and may go on in the next row.
    #[allow(clippy::too_many_arguments)] // a drawing call: place, look, words
    fn chip(
        &self,
        out: &mut String,
        row: &Row,
        (x, y, w): (f64, f64, f64),
        class: &str,
        text_class: &str,
        tooltip: &str,
        text: &str,
        last: bool,
    ) -> Result<String, fmt::Error> {
        let h = row.chips_h - 6.0;
        let w = w.max(2.0);
        write!(
            out,
            "<g><title>{}</title><rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"4\"/>",
            Esc(tooltip)
        )?;
        let width = ((w - 10.0) / CHAR).max(0.0) as usize;
        let (mut lines, mut rest) = wrap(text, width, self.chip_lines);
        if last && !rest.is_empty() && width >= 3 {
            let all = match lines.pop() {
                Some(line) => format!("{line} {rest}"),
                None => std::mem::take(&mut rest),
            };
            lines.push(shorten(&all, width));
            rest.clear();
        }
        if lines.is_empty() && width >= 1 {
            // Nobody wrote the words down, they were told in the row before, or a word is too long.
            lines.push("…".to_owned());
        }
        let first = y + h / 2.0 + 4.0 - (lines.len().saturating_sub(1)) as f64 * LINE / 2.0;
        for (n, line) in lines.iter().enumerate() {
            let class = if text_class.is_empty() { String::new() } else { format!(" class=\"{text_class}\"") };
            write!(out, "<text{class} x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 5.0, first + n as f64 * LINE, Esc(line))?;
        }
        out.push_str("</g>\n");
        Ok(rest)
    }

    /// From the end of the caller's speech to the first of the answer that was heard.
    fn waits(&self, out: &mut String, row: &Row) -> fmt::Result {
        for (turn, from, to, ms) in waits(self.report) {
            let Some((x, w)) = row.part(from, to) else { continue };
            let y = row.axis_y() + AXIS / 2.0;
            write!(
                out,
                "<g><title>Turn {turn}: answered {ms} ms after the end of speech</title>\
                 <rect class=\"wait\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{w:.1}\" height=\"4\" rx=\"2\"/>",
                y - 2.0
            )?;
            if row.holds(to) {
                let (x, anchor) = if x + w + WAIT_TEXT > WIDTH { (x - 5.0, "end") } else { (x + w + 5.0, "start") };
                write!(
                    out,
                    "<text class=\"wait-text\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{ms} ms</text>",
                    y + 4.0
                )?;
            }
            out.push_str("</g>\n");
        }
        Ok(())
    }

    /// Whether the words of a tick at `x` would lie over something else on the axis.
    fn axis_taken(&self, row: &Row, x: f64) -> bool {
        let over = |from: f64, to: f64| x + 32.0 > from && x < to;
        let ends = (row.from..=row.to).contains(&self.length_ms).then(|| row.x(self.length_ms));
        ends.is_some_and(|end| if end > WIDTH - END_TEXT { over(end - END_TEXT, end) } else { over(end, WIDTH) })
            || waits(self.report).any(|(_, from, to, _)| {
                row.part(from, to).is_some_and(|(left, w)| {
                    let text = if row.holds(to) { WAIT_TEXT } else { 4.0 };
                    if left + w + text > WIDTH {
                        over(left - text, left + w)
                    } else {
                        over(left - 4.0, left + w + text)
                    }
                })
            })
    }

    fn flags(&self, out: &mut String, row: &Row) -> fmt::Result {
        let lanes = row.flags_h / FLAG;
        for (flag, lane) in self.placed(row.from, row.to) {
            let (x, y) = (row.x(flag.at_ms), row.top + lane.min(lanes - 1.0) * FLAG);
            let (line, pill, text) = if flag.cut { ("cut-line", "cut", "cut-text") } else { ("stem", "flag", "") };
            let bottom = if flag.cut { row.agent_y() + WAVE } else { row.axis_y() };
            let w = flag_width(&flag.label);
            let left = x.min(WIDTH - RIGHT - w);
            writeln!(
                out,
                "<g><title>{}</title><line class=\"{line}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y:.1}\" y2=\"{bottom:.1}\"/>\
                 <rect class=\"{pill}\" x=\"{left:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"16\" rx=\"3\"/>\
                 <text class=\"{text}\" x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
                Esc(&flag.title),
                left + 6.0,
                y + 12.0,
                Esc(&flag.label)
            )?;
        }
        Ok(())
    }

    /// The marks that came back, along the lower edge of the agent's lane. Those of cleared audio come back all at once,
    /// so the ones that would lie over each other are one ring.
    /// How likely the caller spoke, over the waveform, and what that was held against.
    fn heard(&self, out: &mut String, row: &Row) -> fmt::Result {
        let Some(curve) = self.marks.and_then(|marks| marks.heard.as_ref()) else { return Ok(()) };
        let top = row.caller_y();
        let Some((x, w)) = row.part(row.from, self.length_ms) else { return Ok(()) };
        for (name, at) in [("threshold: speech from", curve.threshold), ("a pause below", curve.stop_below)] {
            let y = top + WAVE * (1.0 - f64::from(at));
            writeln!(
                out,
                "<line class=\"threshold\" x1=\"{x:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"><title>{name} \
                 {at:.2}</title></line>",
                x + w
            )?;
        }
        let y = top + WAVE / 2.0 + 17.0;
        writeln!(
            out,
            "<text class=\"soft\" x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\">p(speech)</text>",
            LEFT - 4.0
        )?;
        curve.write(out, top, WAVE, |ms| {
            let ms = media_ms(self.report, ms);
            row.holds(ms).then(|| row.x(ms))
        })
    }

    fn marks(&self, out: &mut String, row: &Row) -> fmt::Result {
        let Some(marks) = self.marks else { return Ok(()) };
        let at = |ms: &u64| media_ms(self.report, *ms).min(self.length_ms);
        let edge = row.agent_y() + WAVE;
        let mut first = true;
        for ms in marks.played_ms.iter().map(at).filter(|&ms| row.holds(ms)) {
            let head = if first { "<path class=\"mark\" d=\"" } else { "" };
            write!(out, "{head}M{:.1} {:.1}v{MARK}", row.x(ms), edge - MARK / 2.0)?;
            first = false;
        }
        if !first {
            out.push_str("\"><title>Marks: the line had played up to there</title></path>\n");
        }
        let mut cleared = marks.cleared_ms.iter().map(at).filter(|&ms| row.holds(ms)).peekable();
        while let Some(ms) = cleared.next() {
            let mut count = 1;
            while cleared.next_if(|&next| row.x(next) - row.x(ms) < MARK).is_some() {
                count += 1;
            }
            let what = if count == 1 { "A mark".to_owned() } else { format!("{count} marks") };
            writeln!(
                out,
                "<circle class=\"mark-cleared\" cx=\"{:.1}\" cy=\"{edge:.1}\" r=\"{RING}\"><title>{what} of cleared audio, back at \
                 {}</title></circle>",
                row.x(ms),
                clock(ms)
            )?;
        }
        Ok(())
    }

    fn end(&self, out: &mut String, row: &Row) -> fmt::Result {
        if !(row.from < self.length_ms && self.length_ms <= row.to) {
            return Ok(());
        }
        let x = row.x(self.length_ms);
        let why = shorten(&self.report.end.to_string().replace('_', " "), 40);
        let (anchor, tx) = if x > WIDTH - END_TEXT { ("end", x - 6.0) } else { ("start", x + 7.0) };
        let y = row.axis_y() + 16.0;
        writeln!(
            out,
            "<line class=\"end\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <text class=\"who\" x=\"{tx:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
            row.caller_y(),
            row.agent_y() + WAVE,
            Esc(&why)
        )
    }

    fn flag_lanes(&self, from: u64, to: u64) -> usize {
        self.placed(from, to).map(|(_, lane)| lane as usize + 1).max().unwrap_or(0).min(3)
    }

    /// The flags of a row, each in the first lane with room; beyond three lanes they lie over each other.
    fn placed(&self, from: u64, to: u64) -> impl Iterator<Item = (&Flag, f64)> {
        let px_per_ms = INNER / self.row_ms as f64;
        let mut ends = [f64::MIN; 3];
        self.flags.iter().filter(move |f| (from..to).contains(&f.at_ms)).map(move |flag| {
            let x = (flag.at_ms - from) as f64 * px_per_ms;
            let lane = ends.iter().position(|&end| x >= end).unwrap_or(2);
            ends[lane] = x + flag_width(&flag.label) + 4.0;
            (flag, lane as f64)
        })
    }
}
