//! One thing that a call does, over and over, for a tool that counts instructions. `./dev count` runs it.
//!
//! `cargo run --release --example steps` lists the steps; `… -- STEP TIMES` does one so many times. Only what runs inside
//! [`counted`] is meant to be counted; two runs of different length tell the cost of one more, without that of the first.

#![allow(clippy::print_stderr, clippy::print_stdout)] // at a terminal, by hand

#[path = "../../benches/hot/call/mod.rs"]
mod call;

use std::process::ExitCode;

use call::{Call, Sent};

/// Each step, and how often the shorter and the longer run do it. The caller says the same 80 frames over and over, in which
/// the detection's steps come out even: what is done more in the longer run is whole rounds of them.
const STEPS: [(&str, u32, u32); 6] = [
    ("caller_frame", 400, 2_000),
    ("caller_frame_local", 400, 1_200),
    ("model_delta", 50, 250),
    ("agent_second", 8, 40),
    ("agent_second_local", 8, 24),
    ("barge_in", 5, 25),
];

const SPEECH_STARTED: &str =
    r#"{"type":"input_audio_buffer.speech_started","event_id":"event_4","item_id":"item_2","audio_start_ms":400}"#;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            for (name, fewer, more) in STEPS {
                println!("{name} {fewer} {more}");
            }
            ExitCode::SUCCESS
        }
        [name, times] => match times.parse().map_err(|_| format!("'{times}' is no number of times")) {
            Ok(times) => report(run(name, times)),
            Err(error) => report(Err(error)),
        },
        _ => report(Err("give the name of a step and how many times, or nothing for a list".to_owned())),
    }
}

fn report(done: Result<(), String>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("steps: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, times: u32) -> Result<(), String> {
    let works = match name {
        "caller_frame" => again(times, Call::provider(), Call::frame),
        "caller_frame_local" => again(times, Call::local(), Call::frame),
        "model_delta" => again(times, Call::provider().speaking(), Call::delta_to_mark),
        "agent_second" => again(times, Call::provider().speaking(), Call::second),
        "agent_second_local" => again(times, Call::local().speaking(), Call::second),
        "barge_in" => {
            let mut clears = 0;
            for _ in 0..times {
                let mut call = Call::provider().speaking();
                counted(|| call.model(SPEECH_STARTED));
                clears += call.sent().clears;
            }
            clears >= u64::from(times)
        }
        _ => return Err(format!("there is no step '{name}'")),
    };
    // A step of which nothing comes would look like a wonder of speed.
    if works { Ok(()) } else { Err(format!("nothing came of '{name}'")) }
}

fn again(times: u32, mut call: Call, step: impl Fn(&mut Call)) -> bool {
    for _ in 0..times {
        counted(|| step(&mut call));
    }
    call.sent() != Sent::default()
}

/// The counting tool is told to count in here only.
#[inline(never)]
fn counted<T>(step: impl FnOnce() -> T) -> T {
    step()
}
