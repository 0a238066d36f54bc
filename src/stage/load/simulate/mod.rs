//! `offhook load --simulate`: a day of calls in minutes, in virtual time and without sockets.
//!
//! Thousands of engines live at once, each with a line, a caller, a model and a carrier that are simulated around it, all
//! drawn from the seed: what the call runs by, who calls, how the model talks, and what goes wrong. What holds for every
//! call is checked as it happens; a broken promise names the seed and the call, and [`SimulateArgs::only`] runs
//! that call again and prints its trace. What memory does at the same load, early and late on the day's plateau, is judged.
//!
//! ```text
//!  arrivals ─► shard (one per thread): a heap of when each call goes on
//!                └─ call: engine ◄─► line      (sim)
//!                           ▲ ▲ └──► watch     what must hold
//!                  caller ──┘ └────► model, carrier
//! ```
//!
//! A call's number and the seed say everything about it, so it is the same with any number of threads, and alone. One call
//! in 50 is run a second time: it must go the same way, its journal must lead to the same decisions, and the same audio of
//! the model in other pieces must be decided on alike. All others stand still meanwhile, at the next look at memory.

mod again;
mod arrivals;
mod call;
mod caller;
mod carrier;
mod check;
mod crew;
mod fault;
mod memory;
mod model;
mod outcome;
mod settings;
mod shard;
mod tally;
mod temper;
#[cfg(test)]
mod tests;
mod voice;
mod words;

use std::path::PathBuf;

pub use memory::{Memory, RULE, Sample};
pub use outcome::Outcome;
pub use tally::{VIOLATIONS_MAX, Violation};

use crate::config::JournalKeep;
use arrivals::Arrivals;
use call::{Diary, Stock};
use outcome::Took;
use settings::Sounds;
use shard::Shard;
use tally::Tally;
use voice::Voice;

/// The longest run, in simulated hours: a month.
const HOURS_MAX: f64 = 31.0 * 24.0;

/// A simulated day of calls.
#[derive(Clone, Debug)]
pub struct SimulateArgs {
    /// Hours to simulate; less than a day is the same day, only quicker.
    pub hours: f64,
    /// Calls at once when most do, about.
    pub peak: u32,
    /// What everything is drawn from: the same seed, the same calls.
    pub seed: u64,
    /// Threads; `None`: as many as there are cores.
    pub threads: Option<u16>,
    /// Run only the call with this number, and print what happens in it.
    pub only: Option<u64>,
    /// Write the outcome to this file as JSON.
    pub json: Option<PathBuf>,
}

/// Simulates, and tells on standard error how far it is. The error says why nothing, or nothing more, could be done; broken
/// promises are no error but part of the outcome ([`Outcome::is_sound`]).
pub fn run(args: &SimulateArgs) -> Result<Outcome, String> {
    let outcome = match args.only {
        Some(number) => only(args, number),
        None => simulate(args, false),
    };
    if let Some(path) = &args.json {
        let mut text = serde_json::to_string_pretty(&outcome).map_err(|error| format!("no JSON: {error}"))?;
        text.push('\n');
        std::fs::write(path, text).map_err(|error| format!("{}: cannot be written: {error}", path.display()))?;
    }
    Ok(outcome)
}

fn simulate(args: &SimulateArgs, quiet: bool) -> Outcome {
    let stock = stock(args.seed);
    let threads = args.threads.map_or_else(crew::cores, usize::from);
    let arrivals = Arrivals::new(args.seed, args.hours, args.peak);
    let shard = |index| Shard::new(stock.clone(), arrivals.clone(), index as u64, threads as u64);
    let mut shards: Vec<Shard> = (0..threads).map(shard).collect();
    let base = crew::rss();
    let (samples, took) = crew::run(&mut shards, args.hours, quiet);
    let mut tally = Tally::default();
    shards.iter().for_each(|shard| tally.add(&shard.tally));
    let memory = Memory::new(base, samples);
    Outcome::new((args.seed, args.hours, args.peak, threads), tally, memory, took)
}

/// One call by its number, with its trace.
fn only(args: &SimulateArgs, number: u64) -> Outcome {
    let stock = stock(args.seed);
    let (mut ended, _) = again::alone(number, &stock, Diary::Lines(Vec::new()), JournalKeep::Off);
    let mut tally = Tally::default();
    tally.count(args.seed, number, &ended);
    if ended.broken.is_none() {
        let (same, _) = again::alone(number, &stock, Diary::Digest(again::EMPTY), JournalKeep::Off);
        if let Diary::Digest(digest) = same.diary {
            tally.again += 1;
            let at_ms = ended.lasted.as_ms();
            let broken = again::differs(number, &stock, digest);
            let told = broken.map(|what| Violation { seed: args.seed, call: number, at_ms, what });
            told.into_iter().for_each(|violation| tally.breaks(violation));
        }
    }
    let took = Took { simulated_us: ended.lasted.as_us(), ..Took::default() };
    let memory = Memory::new(0, Vec::new());
    let mut outcome = Outcome::new((args.seed, args.hours, args.peak, 1), tally, memory, took);
    if let Diary::Lines(lines) = &mut ended.diary {
        outcome.trace = std::mem::take(lines);
    }
    outcome
}

fn stock(seed: u64) -> Stock {
    Stock { seed, sounds: Sounds::new(), voice: Voice::new() }
}

pub(crate) fn hours(text: &str) -> Result<f64, String> {
    let hours: f64 = text.parse().map_err(|_| "a number of hours, such as 24 or 0.5".to_owned())?;
    let allowed = hours > 0.0 && hours <= HOURS_MAX;
    if allowed { Ok(hours) } else { Err(format!("more than 0 and at most {HOURS_MAX}")) }
}
