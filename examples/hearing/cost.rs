//! What hearing a call costs, part by part.

use std::hint::black_box;
use std::time::Instant;

use offhook::base::audio::{AudioFormat, g711};
use offhook::base::time::{CallTime, Samples};
use offhook::config::{NoiseReduction, VadEngine};
use offhook::ears::hearing::{Hearing, HearingSettings};
use offhook::ears::vad::Probability;
use offhook::engine::{CallEngine, CallerEvent, Input, ModelEvent};
use offhook::lab::tune::corpus::LabelledClip;
use serde_json::{Value, json};

use crate::RATE_HZ;
use crate::calls::{FRAME, FRAME_MS, Trial, agent_audio, settings};
use crate::engines::{Heard, Judge, run};
use crate::live::{head, line, say};

/// Seconds of a call that are timed at once; the quickest of as many counts.
const STRETCH_S: usize = 2;
const STRETCHES: usize = 40;

/// What is timed.
const PARTS: [(&str, Part); 7] = [
    ("detection", Part::ears(false, false, NoiseReduction::None)),
    ("echo guard, silent agent", Part::ears(true, false, NoiseReduction::None)),
    ("echo guard, agent speaks", Part::ears(true, true, NoiseReduction::None)),
    ("near_field, silent agent", Part::ears(true, false, NoiseReduction::NearField)),
    ("far_field, silent agent", Part::ears(true, false, NoiseReduction::FarField)),
    ("all, agent speaks", Part::ears(true, true, NoiseReduction::NearField)),
    ("turns and engine", Part::Engine),
];

#[derive(Clone, Copy)]
enum Part {
    Ears {
        settings: HearingSettings,
        agent: bool,
    },
    /// A whole call but for the ears, which are told.
    Engine,
}

impl Part {
    const fn ears(echo_guard: bool, agent: bool, noise_reduction: NoiseReduction) -> Part {
        let settings = HearingSettings { engine: Some(VadEngine::Silero), echo_guard, noise_reduction };
        Part::Ears { settings, agent }
    }
}

/// The table, timed.
pub(crate) fn cost(clips: &[LabelledClip], as_json: bool) -> Value {
    say(as_json, "\nCost, in ms of CPU to a second of call (least and median of 40 stretches of 2 s)");
    say(as_json, &head(&["least", "median"]));
    let mut out = serde_json::Map::new();
    for (name, part) in PARTS {
        let mut ms = Vec::new();
        let mut begun = Instant::now();
        let mut stretch = |_| {
            ms.push(begun.elapsed().as_secs_f64() * 1_000.0 / STRETCH_S as f64);
            begun = Instant::now();
        };
        drive(part, clips, STRETCHES * STRETCH_S, &mut stretch);
        // The first unpacks the network.
        ms.remove(0);
        ms.sort_by(f64::total_cmp);
        say(as_json, &line(name, &[format!("{:.2}", ms[0]), format!("{:.2}", ms[ms.len() / 2])]));
        out.insert(name.to_owned(), json!({ "least": ms[0], "median": ms[ms.len() / 2] }));
    }
    Value::Object(out)
}

/// Runs one part for so many seconds and nothing else: for a profiler that counts instructions. Answers its name.
pub(crate) fn alone(clips: &[LabelledClip], part: usize, seconds: usize) -> Option<&'static str> {
    let (name, part) = PARTS.get(part)?;
    drive(*part, clips, seconds, &mut |_| {});
    Some(name)
}

fn drive(part: Part, clips: &[LabelledClip], seconds: usize, stretch: &mut dyn FnMut(usize)) {
    // All of what callers say, over and over: half of it is speech.
    let calls = clips.iter().filter(|c| c.name.starts_with("track-") || c.name.starts_with("open-call"));
    let caller: Vec<i16> = calls.flat_map(|c| c.samples.iter().copied()).collect();
    let agent = agent_audio(clips, "", 60_000);
    if caller.is_empty() || agent.is_empty() {
        return;
    }
    let coded = |audio: &[i16]| {
        let mut codes = Vec::new();
        g711::encode_ulaw(audio, &mut codes);
        codes
    };
    let (caller, agent_codes) = (coded(&caller), coded(&agent));
    let frames = caller.chunks_exact(FRAME).cycle().take(seconds * 1_000 / FRAME_MS as usize);
    let agent_frames = agent_codes.chunks_exact(FRAME).cycle();
    let per_stretch = STRETCH_S * 1_000 / FRAME_MS as usize;
    match part {
        Part::Ears { settings, agent } => {
            let mut ears = Hearing::new(settings, AudioFormat::PHONE);
            for (n, (frame, said)) in frames.zip(agent_frames).enumerate() {
                let at = Samples((n * FRAME) as u64);
                if agent {
                    ears.played(at + Samples(2 * FRAME as u64), said);
                }
                ears.take(at, frame);
                while let Some(step) = ears.poll() {
                    black_box(step);
                }
                if (n + 1) % per_stretch == 0 {
                    stretch(n);
                }
            }
        }
        Part::Engine => {
            let trial = Trial {
                noise_reduction: NoiseReduction::None,
                echo_guard: true,
                greeting: false,
                level_margin_db: None,
                as_json: false,
            };
            let mut engine = CallEngine::told(settings(200, trial).into());
            let mut now = CallTime::ZERO;
            engine.handle(now, Input::Model(ModelEvent::Ready { session: "session".into(), turns: None }));
            engine.handle(now, Input::Caller(CallerEvent::Started));
            for (n, frame) in frames.enumerate() {
                // A second of speech, a second of silence.
                let speech = n / 50 % 2 == 0;
                let probability = Probability::from_per_mille(if speech { 950 } else { 10 });
                engine.tell_from_now_on(probability, if speech { -25 } else { -60 });
                now = now.plus_ms(FRAME_MS);
                engine.handle(now, Input::Caller(CallerEvent::Audio { at_ms: n as u64 * FRAME_MS, payload: frame }));
                while let Some(action) = engine.poll_action() {
                    black_box(&action);
                }
                if (n + 1) % per_stretch == 0 {
                    stretch(n);
                }
            }
        }
    }
}

/// Our ears as a call has them, by each noise reduction, as judges of the tables of frames.
pub(crate) fn ears(clips: &[LabelledClip]) -> Vec<Judge> {
    let by = |noise_reduction| {
        move |audio: &[i16], out: &mut Vec<Heard>| {
            let settings = HearingSettings { engine: Some(VadEngine::Silero), echo_guard: true, noise_reduction };
            let mut ears = Hearing::new(settings, AudioFormat::PHONE);
            let mut payload = Vec::with_capacity(FRAME);
            for (n, frame) in audio.chunks(FRAME).enumerate() {
                payload.clear();
                g711::encode_ulaw(frame, &mut payload);
                ears.take(Samples((n * FRAME) as u64), &payload);
                while let Some(step) = ears.poll() {
                    let end_ms = step.end.0 as f64 * 1_000.0 / f64::from(RATE_HZ);
                    out.push(Heard { end_ms, probability: step.probability.as_f32() });
                }
            }
        }
    };
    vec![
        run("none", clips, by(NoiseReduction::None)),
        run("near_field", clips, by(NoiseReduction::NearField)),
        run("far_field", clips, by(NoiseReduction::FarField)),
    ]
}
