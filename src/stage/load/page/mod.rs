//! The pages of a load test: `report.html`, and the page of a search for the highest number of calls.
//!
//! They stand alone: nothing is fetched and no script runs. What was measured is drawn over time and by percentile, and
//! stands in tables below, so that nothing is told by a picture alone.

mod capacity;
mod percentiles;
mod plot;
mod tables;
mod time;

use std::fmt::{self, Write as _};

use super::report::{Latency, LoadReport};
use super::words::{self, NONE, grouped, maybe_ms, number};
use crate::lab::picture::text::Esc;
use crate::lab::picture::{PAGE_STYLE, STYLE, head};

pub use capacity::capacity;

/// The look of what only these pages have.
const OWN_STYLE: &str = include_str!("load.css");

/// The page of one load test.
pub fn load(report: &LoadReport) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_load(&mut out, report);
    out
}

fn write_load(out: &mut String, report: &LoadReport) -> fmt::Result {
    begin(out, &title(report))?;
    verdict(out, report)?;
    facts(out, report)?;
    out.push_str("</header>\n<main>\n");
    body(out, report)?;
    out.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

fn title(report: &LoadReport) -> String {
    let calls = words::plural(report.load.calls as u64, "call");
    match report.target.kind.as_str() {
        "" => format!("Load test: {calls}"),
        kind => format!("Load test: {calls} against {kind}"),
    }
}

/// All up to the heading, within the page's header.
fn begin(out: &mut String, title: &str) -> fmt::Result {
    head(out, title, &format!("{STYLE}{PAGE_STYLE}{OWN_STYLE}"))?;
    writeln!(out, "<header>\n<h1>{}</h1>", Esc(title))
}

fn verdict(out: &mut String, report: &LoadReport) -> fmt::Result {
    let verdict = words::verdict(report);
    let class = match verdict.held {
        Some(true) => "verdict held",
        Some(false) => "verdict broken",
        None => "verdict",
    };
    writeln!(out, "<p class=\"{class}\">{}</p>", Esc(&verdict.text))
}

fn facts(out: &mut String, report: &LoadReport) -> fmt::Result {
    let load = &report.load;
    let phases = [load.ramp_s, load.steady_s, load.ramp_down_s].map(words::duration).join(", ");
    let or_none = |text: &str| if text.is_empty() { NONE.to_owned() } else { text.to_owned() };
    out.push_str("<dl class=\"facts\">\n");
    for (name, value) in [
        ("Started", or_none(&report.started)),
        ("Target", or_none(&report.target.name)),
        ("Process", report.target.pid.map_or_else(|| "not known".to_owned(), |pid| pid.to_string())),
        ("Cores of the machine", report.cores.to_string()),
        ("Ramp, steady, down", phases),
    ] {
        writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", Esc(&value))?;
    }
    out.push_str("</dl>\n");
    Ok(())
}

/// All of one test below its header.
fn body(out: &mut String, report: &LoadReport) -> fmt::Result {
    key_numbers(out, report)?;
    objectives(out, report)?;
    time::section(out, report)?;
    percentiles::section(out, report)?;
    tables::latencies(out, report)?;
    tables::processes(out, report)?;
    out.push_str("<div class=\"columns\">\n<div>\n");
    tables::counts(out, "Failures", "Nothing failed.", &report.failures)?;
    tables::counts(out, "Bad callers", "No caller misbehaved.", &report.hostile)?;
    tables::pairs(out, "Calls", &words::calls(&report.calls))?;
    out.push_str("</div>\n<div>\n");
    tables::pairs(out, "Audio", &words::audio(&report.audio))?;
    out.push_str("</div>\n</div>\n");
    what_was_done(out, report)?;
    meanings(out, report)
}

fn key_numbers(out: &mut String, report: &LoadReport) -> fmt::Result {
    let calls = &report.calls;
    let mut cards = vec![
        ("Calls at once".to_owned(), grouped(calls.peak as u64), format!("{} placed", grouped(calls.placed))),
        (
            "Failures".to_owned(),
            grouped(report.failures.values().sum()),
            format!("{} calls failed, {} refused", grouped(calls.failed), grouped(calls.refused)),
        ),
    ];
    for key in ["caller_to_model", "model_to_caller", "speech_to_clear", "turn_to_audio"] {
        if let Some(latency) = words::latency(&report.latencies, key) {
            let value = format!("{} ms", maybe_ms(latency.p50));
            cards.push((arrow(latency.name), value, format!("p50; p99 {} ms", maybe_ms(latency.p99))));
        }
    }
    if let Some(process) = &report.process {
        let cpu = format!("{} ms", number(process.cpu_ms_per_call_second));
        cards.push(("CPU per call and second".to_owned(), cpu, format!("{} cores in all", number(process.cores))));
        let memory = format!("{} kB", number(process.kb_per_call));
        cards.push(("Memory per call".to_owned(), memory, format!("{} MB at most", number(process.peak_mb))));
    }
    let audio = &report.audio;
    let lost = format!("{}, {} ms lost", words::plural(audio.model_frames_lost, "frame"), grouped(audio.agent_lost_ms));
    cards.push(("Gaps heard".to_owned(), grouped(audio.gaps), lost));
    write_cards(out, &cards)
}

/// Cards of a name, a figure and what else there is to it.
fn write_cards(out: &mut String, cards: &[(String, String, String)]) -> fmt::Result {
    out.push_str("<dl class=\"cards\">\n");
    for (name, value, more) in cards {
        writeln!(out, "<div><dt>{}</dt><dd>{}</dd><dd class=\"hint\">{}</dd></div>", Esc(name), Esc(value), Esc(more))?;
    }
    out.push_str("</dl>\n");
    Ok(())
}

fn objectives(out: &mut String, report: &LoadReport) -> fmt::Result {
    out.push_str("<section>\n<h2>Objectives</h2>\n");
    if report.objectives.is_empty() {
        out.push_str("<p class=\"none\">None was set.</p>\n</section>\n");
        return Ok(());
    }
    out.push_str(
        "<div class=\"scroll\"><table class=\"words\">\n<thead><tr><th scope=\"col\">Objective</th><th scope=\"col\">Measured</th>\
         <th scope=\"col\"></th></tr></thead>\n<tbody>\n",
    );
    for judged in &report.objectives {
        let (class, word) = if judged.held { ("ok", "held") } else { ("bad", "NOT held") };
        writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"{class}\">{word}</td></tr>",
            Esc(&judged.objective),
            Esc(&words::measured(judged))
        )?;
    }
    out.push_str("</tbody>\n</table></div>\n</section>\n");
    Ok(())
}

fn what_was_done(out: &mut String, report: &LoadReport) -> fmt::Result {
    out.push_str("<section>\n<h2>The load</h2>\n");
    if !report.command.is_empty() {
        writeln!(out, "<pre><code>{}</code></pre>", Esc(&report.command))?;
    }
    let load = words::load(&report.load);
    definitions(out, load.iter().map(|(name, value)| ((*name).to_owned(), value.clone())))?;
    out.push_str("</section>\n");
    Ok(())
}

fn meanings(out: &mut String, report: &LoadReport) -> fmt::Result {
    const OTHERS: [(&str, &str); 7] = [
        (
            "p50, p90, p99, p99.9",
            "Half, 90, 99 and 99.9 percent of the measurements in the steady state were at most this.",
        ),
        (
            "CPU per call and second",
            "Processor time that the process took for one second of one call, over the steady state.",
        ),
        ("cores", "Processors in use, on average; callers and model share the machine with a local target."),
        (
            "memory per call",
            "Resident memory at the end of the steady state beyond that before the first call, per call.",
        ),
        (
            "early, late MB",
            "Resident memory in the first and in the last fifth of the steady state: a leak tells them apart.",
        ),
        ("gap", "A silence that a caller heard within a reply because its audio came late."),
        ("floor", "A minimal bridge that passes audio through and does nothing else, under the same load."),
    ];
    out.push_str("<section>\n<h2>What the figures mean</h2>\n");
    let measured = report.latencies.iter().map(|Latency { name, meaning, .. }| (arrow(name), (*meaning).to_owned()));
    let others = OTHERS.iter().map(|(name, meaning)| ((*name).to_owned(), (*meaning).to_owned()));
    definitions(out, measured.chain(others))?;
    out.push_str("</section>\n");
    Ok(())
}

fn definitions(out: &mut String, all: impl Iterator<Item = (String, String)>) -> fmt::Result {
    out.push_str("<dl class=\"meanings\">\n");
    for (name, value) in all {
        writeln!(out, "<dt>{}</dt><dd>{}</dd>", Esc(&name), Esc(&value))?;
    }
    out.push_str("</dl>\n");
    Ok(())
}

/// What lines of which class are.
fn key(out: &mut String, lines: &[(&str, &str)]) -> fmt::Result {
    out.push_str("<p class=\"key\">");
    for (class, what) in lines {
        write!(
            out,
            "<span><svg width=\"26\" height=\"10\" viewBox=\"0 0 26 10\" aria-hidden=\"true\">\
             <path class=\"{class}\" d=\"M1 5H25\"/></svg>{}</span> ",
            Esc(what)
        )?;
    }
    out.push_str("</p>\n");
    Ok(())
}

/// A latency's name as it is printed well.
fn arrow(name: &str) -> String {
    name.replace("->", "→")
}

#[cfg(test)]
mod tests;
