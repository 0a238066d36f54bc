//! What the demo tells at its end: latencies per turn, the two legs, and where the folder is.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::report::{Latency, Report};
use crate::stage::phone::{PhoneReport, legs};
use crate::stage::rehearsal;

/// A pause in the model's sending after which its next audio begins a reply.
const REPLY_GAP: Duration = Duration::from_millis(300);
/// Longer is no way through the server but a mistaken identity.
const LONGEST: Duration = Duration::from_secs(2);

/// How long audio took from one end's send to the other end's receipt, in microseconds, sorted.
pub(super) struct Legs {
    caller_to_model_us: Vec<u64>,
    model_to_caller_us: Vec<u64>,
}

impl Legs {
    /// From the stamps that both ends took on the same clock.
    pub(super) fn measure(phone: &PhoneReport, model: &rehearsal::Probe) -> Legs {
        Legs {
            caller_to_model_us: sorted(legs::caller_to_model(&phone.sent, &model.heard(), LONGEST)),
            model_to_caller_us: sorted(legs::model_to_caller(&model.sent(), &phone.received, REPLY_GAP)),
        }
    }

    pub(super) fn json(&self) -> Value {
        let leg = |sorted: &[u64]| json!({ "count": sorted.len(), "p50": at(sorted, 50), "p99": at(sorted, 99), "max": sorted.last() });
        json!({ "caller_to_model": leg(&self.caller_to_model_us), "model_to_caller": leg(&self.model_to_caller_us) })
    }
}

/// All of it, as it is printed.
pub(super) fn text(
    report: &Report,
    phone: &PhoneReport,
    legs: &Legs,
    silence_ms: u32,
    folder: &Path,
    took: Duration,
) -> String {
    let mut out = String::new();
    let mut say = |text: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{text}");
    };
    say(format_args!("\nLatency per turn, in milliseconds from the caller's last speech to the answer's first sound"));
    say(format_args!("  turn    waited =  silence  decision  response  model audio    queue     line"));
    for turn in &report.turns {
        let cell = |ms: Option<u64>| ms.map_or("-".to_owned(), |ms| ms.to_string());
        let Latency { waited_ms, silence_ms, decision_ms, response_ms, model_audio_ms, queue_ms, line_ms } =
            turn.latency;
        say(format_args!(
            "  {:>4}  {:>8}   {:>8}  {:>8}  {:>8}  {:>11}  {:>7}  {:>7}",
            turn.turn,
            cell(waited_ms),
            cell(silence_ms),
            cell(decision_ms),
            cell(response_ms),
            cell(model_audio_ms),
            cell(queue_ms),
            cell(line_ms),
        ));
    }
    say(format_args!(
        "  (the server's own ears wait for {silence_ms} ms of silence; until the response and its audio the model thinks)"
    ));
    say(format_args!("\nLegs through the server, from one socket's send to the other's receipt"));
    say(format_args!(
        "  (of the caller, what is passed on as it comes: the model is sent speech only, and the beginning of each turn"
    ));
    say(format_args!(
        "  waits until it is certain to be one; of the model, the first audio of each reply: the rest is paced)"
    ));
    say(format_args!("  leg                 count       p50       p99       max"));
    for (name, sorted) in [("caller -> model", &legs.caller_to_model_us), ("model -> caller", &legs.model_to_caller_us)]
    {
        let cell = |us: Option<u64>| us.map_or("-".to_owned(), |us| format!("{:.2} ms", us as f64 / 1_000.0));
        let (p50, p99, max) = (cell(at(sorted, 50)), cell(at(sorted, 99)), cell(sorted.last().copied()));
        say(format_args!("  {name:<17} {:>7}  {p50:>8}  {p99:>8}  {max:>8}", sorted.len()));
    }
    if cfg!(debug_assertions) {
        say(format_args!(
            "  This is a development build, which is compiled soonest and optimised least: the program that is served with\n  \
             (`./dev release`) takes some tenths of a millisecond."
        ));
    }
    let seconds = report.duration_ms as f64 / 1_000.0;
    say(format_args!(
        "\nThe call lasted {seconds:.1} s, had {} turns, {} barge-in, {} note; it ended by {}.",
        report.turns.len(),
        report.interruptions.len(),
        report.notes.len(),
        report.end
    ));
    say(format_args!(
        "The caller heard {} ms of agent audio in {} spans; {} ms were cleared before being heard.",
        phone.heard.iter().map(|h| h.to_ms() - h.from_ms()).sum::<u64>(),
        phone.heard.len(),
        phone.clears.iter().map(|c| c.dropped_ms).sum::<u64>(),
    ));
    let folder = folder.display();
    say(format_args!("\n{folder} holds the call ({:.0} s in all):", took.as_secs_f64()));
    say(format_args!("  call.html      open it in a browser: both waveforms, turns, what was heard, with a player"));
    say(format_args!("  call.svg       the same picture alone"));
    say(format_args!("  recording.wav  stereo, caller left, agent right"));
    say(format_args!("  report.json    everything in numbers"));
    say(format_args!(
        "  journal        the call's inputs: try `offhook replay {folder}` and `offhook verify {folder}`"
    ));
    out
}

/// A percentile of a sorted list, the nearest rank.
fn at(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

fn sorted(passed: Vec<(Instant, Duration)>) -> Vec<u64> {
    let mut us: Vec<u64> = passed.iter().map(|(_, took)| took.as_micros() as u64).collect();
    us.sort_unstable();
    us
}
