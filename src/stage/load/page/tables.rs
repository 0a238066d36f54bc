//! The tables of a page.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::arrow;
use crate::lab::picture::text::Esc;
use crate::stage::load::report::{Latency, LoadReport, ProcessReport};
use crate::stage::load::words::{self, NONE, grouped, maybe_ms, ms, number};

/// Every latency, below each the floor's.
pub(super) fn latencies(out: &mut String, report: &LoadReport) -> fmt::Result {
    out.push_str("<section>\n<h2>Latencies</h2>\n<p class=\"hint\">Milliseconds, in the steady state.</p>\n");
    open(out, "wide", &["", "count", "p50", "p90", "p99", "p99.9", "max"])?;
    let floor = report.floor.as_ref().map_or(&[][..], |floor| &floor.latencies);
    for latency in &report.latencies {
        latency_row(out, "", &arrow(latency.name), latency)?;
        if let Some(floor) = floor.iter().find(|floor| floor.key == latency.key) {
            latency_row(out, " class=\"floor\"", "floor", floor)?;
        }
    }
    close(out)
}

fn latency_row(out: &mut String, class: &str, name: &str, latency: &Latency) -> fmt::Result {
    write!(out, "<tr{class}><td>{}</td><td>{}</td>", Esc(name), grouped(latency.count))?;
    for value in [latency.p50, latency.p90, latency.p99, latency.p999, latency.max] {
        write!(out, "<td>{}</td>", maybe_ms(value))?;
    }
    out.push_str("</tr>\n");
    Ok(())
}

/// What target, tester and floor took of the machine, and the ratios to the floor.
pub(super) fn processes(out: &mut String, report: &LoadReport) -> fmt::Result {
    out.push_str("<section>\n<h2>Processor and memory</h2>\n");
    let heads = ["", "CPU ms per call and second", "cores", "idle MB", "peak MB", "early MB", "late MB", "kB per call"];
    open(out, "wide", &heads)?;
    let mut row = |name: &str, process: Option<ProcessReport>| {
        let figures = process.map(|p| {
            let [early, late] = p.settled_mb;
            [p.cpu_ms_per_call_second, p.cores, p.idle_mb, p.peak_mb, early, late, p.kb_per_call].map(number)
        });
        write!(out, "<tr><td>{name}</td>")?;
        for figure in figures.unwrap_or_else(|| [(); 7].map(|()| NONE.to_owned())) {
            write!(out, "<td>{figure}</td>")?;
        }
        out.push_str("</tr>\n");
        Ok(())
    };
    row("target", report.process)?;
    row("tester", Some(report.tester))?;
    if let Some(floor) = &report.floor {
        row("floor", floor.process)?;
    }
    close(out)?;
    let Some(floor) = report.floor.as_ref().filter(|floor| !floor.ratios.is_empty()) else { return Ok(()) };
    let ratio =
        |(key, ratio): (&String, &f64)| (arrow(&words::ratio(key, &report.latencies)), format!("{} ×", ms(*ratio)));
    pairs(out, "Compared with the floor", &floor.ratios.iter().map(ratio).collect::<Vec<_>>())
}

/// Kinds and how often each was.
pub(super) fn counts(out: &mut String, title: &str, none: &str, all: &BTreeMap<String, u64>) -> fmt::Result {
    if all.is_empty() {
        return writeln!(out, "<section>\n<h2>{title}</h2>\n<p class=\"none\">{}</p>\n</section>", Esc(none));
    }
    let rows: Vec<(String, String)> = all.iter().map(|(kind, n)| (words::kind(kind), grouped(*n))).collect();
    pairs(out, title, &rows)
}

/// Names and figures.
pub(super) fn pairs(out: &mut String, title: &str, rows: &[(impl AsRef<str>, String)]) -> fmt::Result {
    write!(out, "<section>\n<h2>{title}</h2>\n<div class=\"scroll\"><table class=\"wide pairs\">\n<tbody>\n")?;
    for (name, value) in rows {
        writeln!(out, "<tr><td>{}</td><td>{}</td></tr>", Esc(name.as_ref()), Esc(value))?;
    }
    close(out)
}

/// Up to a table's first row; a table that is too wide for the screen scrolls by itself.
pub(super) fn open(out: &mut String, class: &str, heads: &[&str]) -> fmt::Result {
    write!(out, "<div class=\"scroll\"><table class=\"{class}\">\n<thead><tr>")?;
    for head in heads {
        write!(out, "<th scope=\"col\">{}</th>", Esc(head))?;
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    Ok(())
}

/// The end of a table and of its section.
pub(super) fn close(out: &mut String) -> fmt::Result {
    out.push_str("</tbody>\n</table></div>\n</section>\n");
    Ok(())
}
