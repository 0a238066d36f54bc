//! Whether the agent's echo interrupts it, and whether a caller who speaks over the echo is still heard.
//!
//! `cargo run --release --example echo [-- --quick]`
//!
//! Mixes are made from the recordings in the directory `OFFHOOK_SPEECH` (8 kHz WAV; `../shared/audio/wav8k` unless
//! set), where there is one, and from `fixtures/audio`. Starts are compared with those on the same call without the agent.

mod detect;
mod mixes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use offhook::audio::{g711, wav};
use offhook::echo::{EchoGuard, discount};
use offhook::time::Samples;

use detect::{Hearing, Loudness};
use mixes::{Case, Clip, Mix, RATE_HZ};

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let speech = std::env::var_os("OFFHOOK_SPEECH").map_or(root.join("../shared/audio/wav8k"), PathBuf::from);
    let mut agents = clips(&root.join("fixtures/audio"), &["track-carla", "track-anna"]);
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
    let mixes = all(&agents, &callers, if quick { &[150] } else { &[20, 60, 150, 300, 600] });
    report("without the guard", &mixes, &mut Loudness { guarded: false });
    report("with the guard", &mixes, &mut Loudness { guarded: true });
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
    false_alone: usize,
    false_in_talk: usize,
    callers: usize,
    kept: usize,
    later_ms: Vec<i64>,
}

fn report(title: &str, mixes: &[Mix], hearing: &mut dyn Hearing) {
    let mut rows: BTreeMap<(i32, usize), Row> = BTreeMap::new();
    for mix in mixes {
        let (starts, clean) = (hearing.starts(mix, false), hearing.starts(mix, true));
        let row = rows.entry((-mix.case.level_db.unwrap_or(0), mix.case.delay_ms)).or_default();
        if mix.case.caller_db.is_none() {
            row.alone += 1;
            row.false_alone += starts.len();
        }
        let near = |starts: &[usize], from: usize, to: usize| starts.iter().copied().find(|s| (from..to).contains(s));
        for caller in &mix.callers {
            let Some(due) = near(&clean, caller.start, caller.end) else { continue };
            row.callers += 1;
            if let Some(start) = near(&starts, caller.start, caller.end) {
                row.kept += 1;
                row.later_ms.push((start as i64 - due as i64) * 1_000 / RATE_HZ as i64);
            }
        }
        let outside = |start: &&usize| !mix.callers.iter().any(|c| (c.start..c.end + RATE_HZ / 2).contains(*start));
        row.false_in_talk += if mix.callers.is_empty() { 0 } else { starts.iter().filter(outside).count() };
    }
    println!("\n{title}");
    println!("  echo dB  delay ms  echo alone  false starts  false beside talk  talk kept        %  later ms (median)");
    for ((level, delay), row) in rows {
        let Row { alone, false_alone, false_in_talk, callers, kept, mut later_ms } = row;
        later_ms.sort_unstable();
        let level = if level == 0 { "none".to_owned() } else { (-level).to_string() };
        let talk = format!("{kept}/{callers}");
        let percent = 100.0 * kept as f64 / callers.max(1) as f64;
        let later = later_ms.get(later_ms.len() / 2).map_or("-".to_owned(), i64::to_string);
        println!(
            "{level:>9}  {delay:>8}  {alone:>10}  {false_alone:>12}  {false_in_talk:>17}  {talk:>9}  {percent:>7.1}  {later:>17}"
        );
    }
}

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

fn clips(directory: &Path, names: &[&str]) -> Vec<Clip> {
    let read = |name: &&str| {
        let bytes = std::fs::read(directory.join(format!("{name}.wav"))).ok()?;
        let wav = wav::read(&bytes).ok()?;
        (wav.rate_hz as usize == RATE_HZ).then_some(Clip { samples: wav.samples })
    };
    names.iter().filter_map(read).collect()
}
