//! What short words over the agent come to: which stop it, and how long it is held meanwhile.
//!
//! `cargo run --release --example remarks` says words by espeak-ng, cuts short words and noises out of `fixtures/audio` and
//! `../shared/audio`, and plays each over an agent who speaks, to whole calls in virtual time: the server's own ears, the engine,
//! and a model whose transcripts take 150 to 700 ms. What is missing on this machine is said and left out. Then the same without
//! transcripts, by several lengths from which on speech interrupts; and digits that are dictated with pauses, to a model that
//! answers each.
#![allow(clippy::print_stderr, clippy::print_stdout)] // at a terminal, by hand

mod call;
mod sounds;

use std::process::ExitCode;

use call::{Call, Model, settings};
use offhook::base::audio::g711;
use offhook::base::time::CallTime;
use offhook::engine::CallEvent;
use sounds::{Kind, Sound};

/// The rate of a phone line.
const RATE_HZ: u32 = 8_000;
/// Before a sound the agent has been heard for this long, and for a part of a step more.
const BEFORE_MS: u64 = 2_000;
const LEADS_MS: [u64; 1] = [7];
const AFTER_MS: u64 = 3_000;
const WORDS_MS: [u64; 4] = [150, 300, 500, 700];
const LENGTHS_MS: [u32; 6] = [250, 350, 400, 450, 550, 700];
const DIGITS: [&str; 11] = ["zero", "seven", "four", "three", "two", "one", "two", "three", "four", "five", "six"];

/// What became of one sound.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    heard: bool,
    stops: bool,
    /// The longest time that the agent was held.
    held_ms: u64,
    cleared_ms: usize,
    /// What the ears took for speech of it.
    voiced_ms: u64,
}

#[derive(Debug, Default)]
struct Tally {
    sounds: usize,
    heard: usize,
    stops: usize,
    held_ms: Vec<u64>,
    cleared: usize,
}

fn main() -> ExitCode {
    let (sounds, missing) = sounds::all();
    missing.iter().for_each(|what| eprintln!("left out: {what}"));
    let quiet = !std::env::args().any(|word| word == "--each");
    let mut fine = true;
    println!("OVER THE AGENT, BY WHEN THE TRANSCRIPT IS THERE\n");
    println!(
        "{:<28} {:>6} {:>6} {:>6} {:>8} {:>10} {:>10} {:>8}",
        "", "sounds", "heard", "stop", "share", "held, p50", "held, max", "cleared"
    );
    for words_ms in WORDS_MS {
        for (name, kind, real) in [
            ("commands, synthetic", Kind::Command, false),
            ("short words, recorded", Kind::Command, true),
            ("remarks, synthetic", Kind::Remark, false),
            ("remarks, recorded", Kind::Remark, true),
            ("coughs, clicks, breaths", Kind::Noise, true),
        ] {
            let of = sounds.iter().filter(|sound| (sound.kind, sound.real) == (kind, real));
            let tally = tally(of, 200, Some(words_ms), None, quiet);
            fine &= print(&format!("{name}, {words_ms} ms"), &tally, kind);
        }
        println!();
    }
    println!("WITHOUT TRANSCRIPTS: SHARE THAT STOPS THE AGENT, BY untranscribed_interruption_ms\n");
    println!("{:>6} {:>10} {:>10} {:>10} {:>10}", "ms", "commands", "recorded", "remarks", "noises");
    for length_ms in LENGTHS_MS {
        let share = |kind, real: Option<bool>| {
            let of = sounds.iter().filter(|s| s.kind == kind && real.is_none_or(|real| s.real == real));
            let tally = tally(of, 200, None, Some(length_ms), true);
            format!("{} of {}", tally.stops, tally.sounds)
        };
        let (commands, recorded) = (share(Kind::Command, Some(false)), share(Kind::Command, Some(true)));
        let (remarks, noises) = (share(Kind::Remark, None), share(Kind::Noise, None));
        println!("{length_ms:>6} {commands:>10} {recorded:>10} {remarks:>10} {noises:>10}");
    }
    println!("\nDICTATED DIGITS, LOST OF {}\n", DIGITS.len());
    println!("{:>8} {:>8} {:>14} {:>14}", "pause", "silence", "transcribed", "untranscribed");
    for pause_ms in [400, 500, 600, 700, 800, 900, 1_000] {
        for silence_ms in [200, 500] {
            let lost = |words_ms| dictate(pause_ms, silence_ms, words_ms, quiet);
            match (lost(Some(400)), lost(None)) {
                (Some(with), Some(without)) => {
                    fine &= with + without == 0;
                    println!("{pause_ms:>8} {silence_ms:>8} {with:>14} {without:>14}");
                }
                _ => println!("{pause_ms:>8} {silence_ms:>8} left out: no espeak-ng"),
            }
        }
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tally<'a>(
    sounds: impl Iterator<Item = &'a Sound>,
    silence_ms: u32,
    words_ms: Option<u64>,
    length_ms: Option<u32>,
    quiet: bool,
) -> Tally {
    let mut tally = Tally::default();
    for sound in sounds {
        for lead_ms in LEADS_MS {
            let outcome = over_agent(sound, lead_ms, silence_ms, words_ms, length_ms);
            tally.sounds += 1;
            tally.heard += usize::from(outcome.heard);
            tally.stops += usize::from(outcome.stops);
            tally.cleared += usize::from(outcome.cleared_ms > 0);
            tally.held_ms.extend((outcome.held_ms > 0).then_some(outcome.held_ms));
            if !quiet {
                let ms = sound.samples.len() / 8;
                println!("  {:<40} {ms:>5} ms  {outcome:?}", sound.name);
            }
        }
    }
    tally.held_ms.sort_unstable();
    tally
}

/// Prints a row; whether it is as it has to be.
fn print(name: &str, tally: &Tally, kind: Kind) -> bool {
    if tally.sounds == 0 {
        return true;
    }
    let share = tally.stops as f64 * 100.0 / tally.sounds as f64;
    let max = tally.held_ms.last().copied().unwrap_or_default();
    let median = tally.held_ms.get(tally.held_ms.len() / 2).copied().unwrap_or_default();
    let Tally { sounds, heard, stops, cleared, .. } = tally;
    println!("{name:<28} {sounds:>6} {heard:>6} {stops:>6} {share:>7.1}% {median:>10} {max:>10} {cleared:>8}");
    max <= 1_000 && if kind == Kind::Command { share >= 95.0 } else { share <= 10.0 }
}

fn over_agent(sound: &Sound, lead_ms: u64, silence_ms: u32, words_ms: Option<u64>, length_ms: Option<u32>) -> Outcome {
    let mut settings = settings(silence_ms);
    settings.transcribed = words_ms.is_some();
    if let Some(length_ms) = length_ms {
        settings.false_interruptions.untranscribed_ms = length_ms;
    }
    let mut call = Call::new(settings, Model { words_ms, answers_ms: 0, answer_ms: 0 });
    call.silence(500);
    call.agent_speaks(20_000);
    call.silence(BEFORE_MS + lead_ms);
    let from = call.events(0).len();
    call.words(&sound.words);
    call.hear(&sound.samples);
    call.silence(AFTER_MS);
    let mut outcome = Outcome { cleared_ms: call.cleared_ms(), ..Outcome::default() };
    let (mut held, mut began_ms): (Option<CallTime>, u64) = (None, 0);
    for (at, event) in call.events(from) {
        match event {
            CallEvent::SpeechStarted { media_ms, .. } => {
                outcome.heard = true;
                began_ms = *media_ms;
            }
            CallEvent::SpeechPaused { media_ms } => outcome.voiced_ms += media_ms.saturating_sub(began_ms),
            CallEvent::AgentHeld { .. } => held = Some(*at),
            CallEvent::AgentResumed { .. } | CallEvent::BargeIn { .. } => {
                let ms = held.take().map_or(0, |since| at.ms_since(since));
                outcome.held_ms = outcome.held_ms.max(ms);
                outcome.stops |= matches!(event, CallEvent::BargeIn { .. });
            }
            _ => {}
        }
    }
    if held.is_some() || outcome.stops == call.is_heard() {
        eprintln!("{}: the agent is neither stopped nor heard", sound.name);
    }
    outcome
}

/// How many digits the model was never given in a commit; `None`: they cannot be said here.
fn dictate(pause_ms: u64, silence_ms: u32, words_ms: Option<u64>, quiet: bool) -> Option<usize> {
    let mut settings = settings(silence_ms);
    settings.transcribed = words_ms.is_some();
    let mut call = Call::new(settings, Model { words_ms, answers_ms: 400, answer_ms: 1_500 });
    call.silence(1_000);
    let mut said = Vec::new();
    for digit in DIGITS {
        let samples = sounds::spoken(digit, "en-us", "165")?;
        call.words(digit);
        call.hear(&samples);
        call.silence(pause_ms);
        let mut bytes = Vec::new();
        g711::encode_ulaw(&samples, &mut bytes);
        let third = bytes.len() / 3;
        said.push(bytes[third..(2 * third).min(third + 480)].to_vec());
    }
    call.silence(4_000);
    let lost: Vec<usize> = (0..said.len()).filter(|&digit| !call.committed(&said[digit])).collect();
    if !quiet && !lost.is_empty() {
        println!("  lost: {lost:?} of {DIGITS:?}");
        call.events(0).iter().for_each(|(at, event)| println!("  {:>6} {event}", at.as_us() / 1_000));
    }
    Some(lost.len())
}
