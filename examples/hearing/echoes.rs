//! The agent's echo through the whole call: the mixes of the echo example, with the line's own playing.

#[path = "../echo/mixes.rs"]
mod mixes;

use std::collections::BTreeMap;

use offhook::base::audio::g711;
use offhook::ears::turn::score::percentile;
use offhook::lab::tune::corpus::LabelledClip;
use serde_json::{Value, json};

use crate::calls::{Call, FRAME, LINE_MS, Trial, settings};
use crate::live::{cell, head, line, say};
use mixes::{Case, Clip, Mix};

const AGENTS: [&str; 6] =
    ["track-carla", "anna-book", "jfk_8k", "ibm_de_nb2_8k", "ps_librivox_0870_8k", "ibm_zh_8k2_8k"];
const CALLERS: [&str; 7] =
    ["track-ben", "ben-wait", "carla-number", "libri_1088_8k", "ps_numbers_8k", "vosk_test_8k", "ps_goforward_8k"];
const LEVELS_DB: [Option<i32>; 5] = [None, Some(-6), Some(-12), Some(-20), Some(-30)];
const DELAYS_MS: [usize; 3] = [20, 150, 600];
/// Samples in a millisecond.
const PER_MS: usize = mixes::RATE_HZ / 1_000;
/// The mixes say when they were told of an utterance: this much before it is heard.
const TOLD_AHEAD: usize = 200 * PER_MS;
/// Labels are this exact.
const EARLY_MS: u64 = 40;

#[derive(Default)]
struct Row {
    alone: usize,
    spoiled: usize,
    cleared: usize,
    finals: usize,
    callers: usize,
    kept: usize,
    beside: usize,
    ms: Vec<i64>,
    later_ms: Vec<i64>,
}

/// Prints how often the agent is interrupted by its echo, and how many callers over the echo are heard.
pub(crate) fn echo(clips: &[LabelledClip], trial: Trial) -> Value {
    let named = |names: &[&str]| -> Vec<Clip> {
        let find = |name: &&str| clips.iter().find(|c| c.name == *name || format!("{}_8k", c.name) == *name);
        names.iter().filter_map(find).map(|c| Clip { samples: c.samples.clone() }).collect()
    };
    let (agents, callers) = (named(&AGENTS), named(&CALLERS));
    say(
        trial.as_json,
        &format!(
            "\nEcho: {} agents, {} callers; callers are those who clear the line without echo and guard",
            agents.len(),
            callers.len()
        ),
    );
    say(
        trial.as_json,
        &head(&[
            "echo alone",
            "interrupted",
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
                    let case = Case { level_db, delay_ms, caller_db, tail_ms, noise_dbfs, jump_ms: 0, early: false };
                    let mix = mixes::mix(case, agent, &callers[(n / 4 + n % 4) % callers.len()], n as u64 + 1);
                    n += 1;
                    // Without echo its delay is the same.
                    let delay_ms = if level_db.is_some() { delay_ms } else { 0 };
                    one(&mix, trial, rows.entry((-level_db.unwrap_or(0), delay_ms)).or_default());
                }
            }
        }
    }
    let mut out = serde_json::Map::new();
    for ((level, delay_ms), row) in rows {
        let name = if level == 0 { "no echo".to_owned() } else { format!("-{level} dB, {delay_ms} ms") };
        let percent = 100.0 * row.kept as f64 / row.callers.max(1) as f64;
        let counts = [row.alone, row.spoiled, row.cleared, row.finals, row.callers, row.kept].map(|n| n.to_string());
        let (p50, p99) = (percentile(&row.ms, 50.0), percentile(&row.ms, 99.0));
        let later = percentile(&row.later_ms, 50.0);
        let cells = [format!("{percent:.1}"), row.beside.to_string(), cell(p50), cell(p99), cell(later)];
        say(trial.as_json, &line(&name, &[&counts[..], &cells[..]].concat()));
        let body = json!({
            "echo_alone": row.alone, "interrupted": row.spoiled, "cleared": row.cleared, "for_good": row.finals, "callers": row.callers,
            "kept": row.kept, "false_beside": row.beside, "p50": p50, "p99": p99, "later_p50": later,
        });
        out.insert(name, body);
    }
    Value::Object(out)
}

fn one(mix: &Mix, trial: Trial, row: &mut Row) {
    let call = run(mix, trial, true);
    if mix.case.caller_db.is_none() {
        row.alone += 1;
        let seen = call.since(0);
        row.cleared += call.clears_ms().count();
        row.spoiled += usize::from(call.clears_ms().count() > 0);
        row.finals += seen.finals;
        return;
    }
    let clean = run(mix, Trial { echo_guard: false, ..trial }, false);
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
fn run(mix: &Mix, trial: Trial, echoes: bool) -> Call {
    let mut call = Call::begin(settings(200, trial));
    let utterances = utterances(mix);
    let mut next = utterances.iter().peekable();
    let gain = mix.case.level_db.filter(|_| echoes).map_or(0.0, |db| 10f32.powf(db as f32 / 20.0));
    let response: Vec<f32> = response(mix.case.tail_ms).into_iter().map(|h| gain * h).collect();
    let (mut heard, mut frame, mut linear) = (vec![0.0f32; response.len() - 1], [0i16; FRAME], Vec::new());
    for clean in mix.clean.chunks_exact(FRAME) {
        let now_ms = call.now_ms();
        if let Some((_, audio)) = next.next_if(|(begin_ms, _)| now_ms + LINE_MS >= *begin_ms) {
            call.agent_speaks(audio);
        }
        frame.copy_from_slice(clean);
        if gain > 0.0 {
            linear.clear();
            if let Some(at_ms) = now_ms.checked_sub(mix.case.delay_ms as u64) {
                let played = call.agent_audio(at_ms);
                g711::decode_ulaw(&played[..played.len().min(FRAME)], &mut linear);
            }
            linear.resize(FRAME, 0);
            heard.drain(..heard.len() + 1 - response.len());
            heard.extend(linear.iter().map(|&s| f32::from(s)));
            for (out, past) in frame.iter_mut().zip(heard.windows(response.len())) {
                let echo: f32 = past.iter().rev().zip(&response).map(|(s, h)| s * h).sum();
                *out = (f32::from(*out) + echo).round() as i16;
            }
        }
        call.frame(&frame);
    }
    call
}

/// As in the mixes: the direct sound and a tail that has decayed by 60 dB after `tail_ms`; unit energy.
fn response(tail_ms: usize) -> Vec<f32> {
    let taps = tail_ms * PER_MS;
    let mut seed = tail_ms as u32 + 1;
    let mut uniform = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut response: Vec<f32> = (0..=taps)
        .map(|k| 0.35 * (0..12).map(|_| uniform()).sum::<f32>() * (-6.9 * k as f32 / taps as f32).exp())
        .collect();
    response[0] = 1.0;
    let energy: f32 = response.iter().map(|h| h * h).sum();
    response.iter_mut().for_each(|h| *h /= energy.sqrt());
    response
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
