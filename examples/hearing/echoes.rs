//! The agent's echo through the whole call: the mixes of the echo example, with the line's own playing.

#[allow(dead_code, reason = "a module of two examples")]
#[path = "../echo/mixes.rs"]
mod mixes;

use std::collections::BTreeMap;

use offhook::audio::g711;
use offhook::config::NoiseReduction;
use offhook::tune::corpus::LabelledClip;
use offhook::turn::score::percentile;
use serde_json::{Value, json};

use crate::calls::{Call, FRAME, FRAME_MS, LINE_MS, settings};
use crate::live::{cell, head, line, say};
use mixes::{Case, Clip, Mix};

const AGENTS: [&str; 6] =
    ["track-carla", "track-anna", "jfk_8k", "ibm_de_nb2_8k", "ps_librivox_0870_8k", "ibm_zh_8k2_8k"];
const CALLERS: [&str; 7] =
    ["track-ben", "ben-wait", "carla-number", "libri_1088_8k", "ps_numbers_8k", "vosk_test_8k", "ps_goforward_8k"];
const LEVELS_DB: [Option<i32>; 5] = [None, Some(-6), Some(-12), Some(-20), Some(-30)];
const DELAYS_MS: [usize; 3] = [20, 150, 600];
/// Samples in a millisecond.
const PER_MS: usize = mixes::RATE_HZ / 1_000;
/// The mixes say when they were told of an utterance: this much before it is heard.
const TOLD_AHEAD: usize = 200 * PER_MS;
/// Echo is or is not, in pieces of this length.
const PIECE_MS: usize = 5;
/// Labels are this exact.
const EARLY_MS: u64 = 40;

#[derive(Default)]
struct Row {
    alone: usize,
    cleared: usize,
    finals: usize,
    callers: usize,
    kept: usize,
    beside: usize,
    ms: Vec<i64>,
    later_ms: Vec<i64>,
}

/// Prints how often the agent is interrupted by its echo, and how many callers over the echo are heard.
pub(crate) fn echo(clips: &[LabelledClip], noise_reduction: NoiseReduction, as_json: bool) -> Value {
    let named = |names: &[&str]| -> Vec<Clip> {
        let find = |name: &&str| clips.iter().find(|c| c.name == *name || format!("{}_8k", c.name) == *name);
        names.iter().filter_map(find).map(|c| Clip { samples: c.samples.clone() }).collect()
    };
    let (agents, callers) = (named(&AGENTS), named(&CALLERS));
    say(
        as_json,
        &format!(
            "\nEcho: {} agents, {} callers; callers are those who clear the line without echo",
            agents.len(),
            callers.len()
        ),
    );
    say(
        as_json,
        &head(&[
            "echo alone",
            "cleared",
            "for good",
            "callers",
            "kept",
            "%",
            "false beside",
            "p50 ms",
            "p99 ms",
            "later p50",
        ]),
    );
    let mut rows: BTreeMap<(i32, usize), Row> = BTreeMap::new();
    let mut n = 0;
    for level_db in LEVELS_DB {
        for delay_ms in DELAYS_MS {
            for (i, agent) in agents.iter().enumerate() {
                for caller_db in [None, Some(6), Some(0), Some(-6)] {
                    let (tail_ms, noise_dbfs) = ([10, 30, 60][n / 4 % 3], if i % 2 == 0 { -55 } else { -65 });
                    let case = Case { level_db, delay_ms, caller_db, tail_ms, noise_dbfs, jump_ms: 0 };
                    let mix = mixes::mix(case, agent, &callers[(n / 4 + n % 4) % callers.len()], n as u64 + 1);
                    n += 1;
                    // Without echo its delay is the same.
                    let delay_ms = if level_db.is_some() { delay_ms } else { 0 };
                    one(&mix, noise_reduction, rows.entry((-level_db.unwrap_or(0), delay_ms)).or_default());
                }
            }
        }
    }
    let mut out = serde_json::Map::new();
    for ((level, delay_ms), row) in rows {
        let name = if level == 0 { "no echo".to_owned() } else { format!("-{level} dB, {delay_ms} ms") };
        let percent = 100.0 * row.kept as f64 / row.callers.max(1) as f64;
        let counts = [row.alone, row.cleared, row.finals, row.callers, row.kept].map(|n| n.to_string());
        let (p50, p99) = (percentile(&row.ms, 50.0), percentile(&row.ms, 99.0));
        let later = percentile(&row.later_ms, 50.0);
        let cells = [format!("{percent:.1}"), row.beside.to_string(), cell(p50), cell(p99), cell(later)];
        say(as_json, &line(&name, &[&counts[..], &cells[..]].concat()));
        let body = json!({
            "echo_alone": row.alone, "cleared": row.cleared, "for_good": row.finals, "callers": row.callers,
            "kept": row.kept, "false_beside": row.beside, "p50": p50, "p99": p99, "later_p50": later,
        });
        out.insert(name, body);
    }
    Value::Object(out)
}

fn one(mix: &Mix, noise_reduction: NoiseReduction, row: &mut Row) {
    let call = run(mix, noise_reduction, true);
    if mix.case.caller_db.is_none() {
        row.alone += 1;
        let seen = call.since(0);
        row.cleared += call.clears_ms().count();
        row.finals += seen.finals;
        return;
    }
    let clean = run(mix, noise_reduction, false);
    let span = |caller: &std::ops::Range<usize>| ((caller.start / PER_MS) as u64, (caller.end / PER_MS) as u64);
    for caller in &mix.callers {
        let (start, end) = span(caller);
        let first = |call: &Call| call.clears_ms().find(|at| at + EARLY_MS >= start && *at <= end);
        let Some(due) = first(&clean) else { continue };
        row.callers += 1;
        if let Some(at) = first(&call) {
            row.kept += 1;
            row.ms.push(at as i64 - start as i64);
            row.later_ms.push(at as i64 - due as i64);
        }
    }
    let beside =
        |at: &u64| !mix.callers.iter().map(span).any(|(start, end)| (start..end + 500).contains(&(at + EARLY_MS)));
    row.beside += call.clears_ms().filter(beside).count();
}

/// The call: there is echo of what the line really plays.
fn run(mix: &Mix, noise_reduction: NoiseReduction, echoes: bool) -> Call {
    let mut call = Call::begin(settings(200, noise_reduction));
    let utterances = utterances(mix);
    let mut next = utterances.iter().peekable();
    let mut frame = [0i16; FRAME];
    for (n, clean) in mix.clean.chunks_exact(FRAME).enumerate() {
        let now_ms = call.now_ms();
        if let Some((_, audio)) = next.next_if(|(begin_ms, _)| now_ms + LINE_MS >= *begin_ms) {
            call.agent_speaks(audio);
        }
        frame.copy_from_slice(clean);
        for piece in 0..FRAME_MS as usize / PIECE_MS {
            let at_ms = now_ms + (piece * PIECE_MS) as u64;
            let heard = at_ms.checked_sub(mix.case.delay_ms as u64).is_some_and(|at| call.agent_is_heard(at));
            let range = piece * PIECE_MS * PER_MS..(piece + 1) * PIECE_MS * PER_MS;
            if echoes && heard {
                let near = &mix.near[n * FRAME..];
                frame[range.clone()].copy_from_slice(&near[range]);
            }
        }
        call.frame(&frame);
    }
    call
}

/// What the agent says, and from when on it is heard.
fn utterances(mix: &Mix) -> Vec<(u64, Vec<i16>)> {
    let mut utterances: Vec<(u64, Vec<i16>)> = Vec::new();
    let mut end = None;
    for told in &mix.far {
        let at = told.when + TOLD_AHEAD;
        if end != Some(at) {
            utterances.push(((at / PER_MS) as u64, Vec::new()));
        }
        if let Some((_, audio)) = utterances.last_mut() {
            audio.extend_from_slice(&told.samples);
        }
        end = Some(at + told.samples.len());
    }
    utterances
}
