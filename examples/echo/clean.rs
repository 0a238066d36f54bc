//! Lines without echo: how much later a caller is heard because the guard looks for one.

use std::time::{Duration, Instant};

use super::mixes::{self, Case, Clip, RATE_HZ, UTTERANCES_MS};
use super::{detect, real, verbose};

/// Calls of the measurement, each with two callers' beginnings.
const CALLS: usize = 150;

/// A caller who begins in the last of what the agent says interrupts nothing.
const LAST_MS: usize = 150;

/// Some begin this much before the agent.
const BEFORE_MS: usize = 200;

/// Every second caller says a short word, which is over before a slow guard lets it through.
const WORD_MS: usize = 450;

/// The agent has spoken this long when the guard should know its line.
const LEARNT_MS: usize = 1_000;

/// Prints the delays from the caller's first sound to the line's clear, with the guard and without.
pub(crate) fn report(agents: &[Clip], callers: &[Clip]) {
    let mut with: Vec<Delay> = Vec::new();
    let mut without: Vec<Delay> = Vec::new();
    let mut cost = Duration::ZERO;
    for n in 0..CALLS {
        let case = Case {
            level_db: None,
            delay_ms: 0,
            caller_db: Some([6, 0, -6, -12][n / 3 % 4]),
            tail_ms: 10,
            noise_dbfs: [-55, -65, -90][n % 3],
            jump_ms: 0,
            early: false,
        };
        let (agent, caller) = (&agents[n % agents.len()], &callers[(n / agents.len() + n) % callers.len()]);
        // Spread evenly over what the agent says, in an order that has nothing to do with the clips'.
        let begin = |utterance: &std::ops::Range<usize>, step: usize| {
            utterance.start - BEFORE_MS + (n * step % CALLS) * (utterance.len() + BEFORE_MS - LAST_MS) / CALLS
        };
        let at = [begin(&UTTERANCES_MS[0], 37), begin(&UTTERANCES_MS[1], 53)];
        let word = mixes::speech_of(&caller.samples);
        let word = Clip { samples: word[..word.len().min(WORD_MS * RATE_HZ / 1_000)].to_vec() };
        let caller = if n % 2 == 0 { caller } else { &word };
        let mix = mixes::mix_at(case, agent, caller, at, n as u64 + 1);
        let begun = Instant::now();
        std::hint::black_box(detect::guard(&mix));
        cost += begun.elapsed() * RATE_HZ as u32 / mix.near.len() as u32;
        let (plain, guarded) = (real::call(&mix, false, true).held, real::call(&mix, true, false).held);
        for (caller, (at, utterance)) in mix.callers.iter().zip(at.iter().zip(&UTTERANCES_MS)) {
            let heard = |held: &[usize]| {
                let first = held.iter().find(|held| (caller.start..caller.end).contains(*held));
                first.map(|held| ((held - caller.start) * 1_000 / RATE_HZ) as u64)
            };
            let Some(due) = heard(&plain) else { continue };
            let learnt = utterance.start > UTTERANCES_MS[0].start || *at > utterance.start + LEARNT_MS;
            let late = heard(&guarded);
            if verbose() && late.is_none_or(|late| late > due + 50) {
                println!("{late:?} for {due} ms, begun at {at} ms: {:?}", mix.case);
            }
            without.push(Delay { ms: Some(due), learnt });
            with.push(Delay { ms: late, learnt });
        }
    }
    println!("                         callers   p50   p90   p95   p99  never");
    for (name, delays) in [("without the guard", &without), ("with the guard", &with)] {
        row(name, delays.iter());
        row("  in the first second", delays.iter().filter(|delay| !delay.learnt));
        row("  later", delays.iter().filter(|delay| delay.learnt));
    }
    println!("\nguard: {:?} of CPU to a second of call (mean)", cost / CALLS as u32);
}

struct Delay {
    /// `None`: the caller was not heard at all.
    ms: Option<u64>,
    /// The agent had spoken for [`LEARNT_MS`].
    learnt: bool,
}

fn row<'a>(name: &str, delays: impl Iterator<Item = &'a Delay>) {
    let mut ms: Vec<u64> = delays.map(|delay| delay.ms.unwrap_or(u64::MAX)).collect();
    ms.sort_unstable();
    let at = |percent: usize| match ms.get((ms.len() * percent).div_ceil(100).max(1) - 1) {
        None | Some(&u64::MAX) => "-".to_owned(),
        Some(ms) => ms.to_string(),
    };
    let never = ms.iter().filter(|&&ms| ms == u64::MAX).count();
    println!("{name:<24} {:>7} {:>5} {:>5} {:>5} {:>5}  {never:>5}", ms.len(), at(50), at(90), at(95), at(99));
}
