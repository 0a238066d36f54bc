//! Whether the agent's echo interrupts it, and whether a caller who speaks over the echo is still heard.
//!
//! `cargo run --release --example echo [-- --quick | --clean] [--verbose]`
//!
//! With `--clean` the line has no echo, callers cut in at any time, and what is told is how much later than without the
//! guard they are heard.
//!
//! Mixes are made from the recordings in the directory `OFFHOOK_SPEECH` (8 kHz WAV; `../shared/audio/wav8k` unless
//! set), where there is one, and from `fixtures/audio`. They are heard by the ears of a call with its default settings,
//! and starts are compared with those on the same call without the agent.

#![allow(clippy::print_stderr, clippy::print_stdout)] // at a terminal, by hand

mod clean;
mod detect;
mod mixes;
mod real;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use offhook::base::audio::{g711, wav};
use offhook::base::time::Samples;
use offhook::ears::echo::{EchoGuard, discount};

use mixes::{Case, Clip, Mix, RATE_HZ};

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let speech = std::env::var_os("OFFHOOK_SPEECH").map_or(root.join("../shared/audio/wav8k"), PathBuf::from);
    let mut agents = clips(&root.join("fixtures/audio"), &["track-carla", "anna-book"]);
    let mut callers = clips(&root.join("fixtures/audio"), &["track-ben", "ben-wait", "carla-number"]);
    let recorded = clips(&speech, &["jfk_8k", "ibm_de_nb2_8k", "ps_librivox_0870_8k", "ibm_zh_8k2_8k"]);
    if recorded.is_empty() {
        println!("no recordings in {}: set OFFHOOK_SPEECH; the fixtures alone are mixed", speech.display());
    }
    agents.extend(recorded);
    callers.extend(clips(&speech, &["libri_1088_8k", "ps_numbers_8k", "vosk_test_8k", "ps_goforward_8k"]));
    if agents.is_empty() || callers.is_empty() {
        println!("nothing to mix");
        return;
    }
    if std::env::args().any(|arg| arg == "--clean") {
        return clean::report(&agents, &callers);
    }
    let mixes = all(&agents, &callers, if quick { &[150] } else { &[20, 60, 150, 300, 600] });
    if !verbose() {
        report("without the guard", &mixes, false);
    }
    report("with the guard", &mixes, true);
    cost(&mixes);
}

fn all(agents: &[Clip], callers: &[Clip], delays_ms: &[usize]) -> Vec<Mix> {
    let mut mixes = Vec::new();
    for level_db in [None, Some(-6), Some(-12), Some(-20), Some(-30)] {
        for &delay_ms in delays_ms {
            for (i, agent) in agents.iter().enumerate() {
                for caller_db in [None, Some(6), Some(0), Some(-6)] {
                    let n = mixes.len();
                    let case = Case {
                        level_db,
                        delay_ms,
                        caller_db,
                        tail_ms: [10, 30, 60][n / 4 % 3],
                        noise_dbfs: if i % 2 == 0 { -55 } else { -65 },
                        jump_ms: if i % 4 == 3 { [60, -60, 90, -90, 40][n / 4 % 5] } else { 0 },
                        early: i % 3 == 2,
                    };
                    mixes.push(mixes::mix(case, agent, &callers[(n / 4 + n % 4) % callers.len()], n as u64 + 1));
                }
            }
        }
    }
    mixes
}

/// What a row of the table counts.
#[derive(Default)]
struct Row {
    alone: usize,
    /// Starts and interruptions on an echo alone, in the first seconds of the call and later.
    held: [usize; 2],
    last: usize,
    held_in_talk: usize,
    callers: usize,
    kept: usize,
    /// The same of those who cut into the greeting's first words.
    early: usize,
    early_kept: usize,
    later_ms: Vec<i64>,
}

fn report(title: &str, mixes: &[Mix], guarded: bool) {
    let mut rows: BTreeMap<(i32, usize), Row> = BTreeMap::new();
    for mix in mixes {
        let heard = real::call(mix, guarded, false);
        let row = rows.entry((-mix.case.level_db.unwrap_or(0), mix.case.delay_ms)).or_default();
        if mix.case.caller_db.is_none() {
            row.alone += 1;
            row.last += heard.last.len();
            heard.held.iter().for_each(|&at| row.held[usize::from(at > FIRST)] += 1);
            if guarded && verbose() {
                heard.held.iter().for_each(|at| println!("false start at {} ms: {:?}", at / 8, mix.case));
            }
            continue;
        }
        let clean = real::call(mix, false, true).held;
        let first = |starts: &[usize], from: usize, to: usize| starts.iter().copied().find(|s| (from..to).contains(s));
        for (i, caller) in mix.callers.iter().enumerate() {
            let Some(due) = first(&clean, caller.start, caller.start + IN_TIME) else { continue };
            let early = mix.case.early && i == 0;
            let start = first(&heard.held, caller.start, caller.end);
            let kept = start.is_some_and(|start| start < caller.start + IN_TIME);
            *(if early { &mut row.early } else { &mut row.callers }) += 1;
            *(if early { &mut row.early_kept } else { &mut row.kept }) += usize::from(kept);
            row.later_ms.extend(start.map(|start| (start as i64 - due as i64) * 1_000 / RATE_HZ as i64));
            if !kept && guarded && verbose() {
                println!("not kept: {start:?} for {due}, {i} of {:?}: {:?}", mix.case, heard.held);
            }
        }
        let outside = |start: &&usize| !mix.callers.iter().any(|c| (c.start..c.end + RATE_HZ / 2).contains(*start));
        row.held_in_talk += heard.held.iter().filter(outside).count();
    }
    println!("\n{title}");
    println!(
        " echo dB  delay ms | echo alone  held (in {} s, later)  for good | held beside talk  kept in time       %  \
         into greeting  later ms: median, 9 of 10",
        FIRST / RATE_HZ
    );
    let mut sum = Row::default();
    for ((level, delay), mut row) in rows {
        let level = if level == 0 { "none".to_owned() } else { (-level).to_string() };
        print_row(&format!("{level:>8}  {delay:>8}"), &mut row);
        sum.alone += row.alone;
        sum.held = [sum.held[0] + row.held[0], sum.held[1] + row.held[1]];
        sum.last += row.last;
        sum.held_in_talk += row.held_in_talk;
        sum.callers += row.callers;
        sum.kept += row.kept;
        sum.early += row.early;
        sum.early_kept += row.early_kept;
        sum.later_ms.extend(row.later_ms);
    }
    print_row("               all", &mut sum);
}

fn print_row(name: &str, row: &mut Row) {
    row.later_ms.sort_unstable();
    let later = |part: f64| row.later_ms.get((row.later_ms.len() as f64 * part) as usize).map_or(0, |&ms| ms);
    let percent = 100.0 * row.kept as f64 / row.callers.max(1) as f64;
    println!(
        "{name} | {:>10}  {:>10} {:>10}  {:>8} | {:>16}  {:>12}  {percent:>6.1}  {:>13}  {:>10} {:>10}",
        row.alone,
        row.held[0],
        row.held[1],
        row.last,
        row.held_in_talk,
        format!("{}/{}", row.kept, row.callers),
        format!("{}/{}", row.early_kept, row.early),
        later(0.5),
        later(0.9),
    );
}

/// The end of a call's beginning, in which the path becomes known.
const FIRST: usize = 3 * RATE_HZ;

/// A start this much after the caller's first sound is in time.
const IN_TIME: usize = RATE_HZ / 2;

/// The guard's time for a second of a call, least and median of the mixes.
fn cost(mixes: &[Mix]) {
    let mut times: Vec<Duration> = mixes
        .iter()
        .map(|mix| {
            let begun = Instant::now();
            std::hint::black_box(detect::guard(mix));
            begun.elapsed() * RATE_HZ as u32 / mix.near.len() as u32
        })
        .collect();
    times.sort_unstable();
    println!("\nguard: {:?} of CPU to a second of call (median; least {:?})", times[times.len() / 2], times[0]);
}

/// Whether each miss is printed, and only the guard's table.
fn verbose() -> bool {
    std::env::args().any(|arg| arg == "--verbose")
}

fn clips(directory: &Path, names: &[&str]) -> Vec<Clip> {
    let read = |name: &&str| {
        let bytes = std::fs::read(directory.join(format!("{name}.wav"))).ok()?;
        let wav = wav::read(&bytes).ok()?;
        (wav.rate_hz as usize == RATE_HZ).then_some(Clip { samples: wav.samples })
    };
    names.iter().filter_map(read).collect()
}
