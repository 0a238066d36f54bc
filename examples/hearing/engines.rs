//! Who judges: our engines and their parts, and others' probabilities from a file.

use std::path::Path;
use std::time::Instant;

use offhook::base::audio::resample;
use offhook::ears::vad::doubler::Doubler;
use offhook::ears::vad::silero::{Branch, Silero};
use offhook::ears::vad::{Vad, VadEngine};
use offhook::lab::tune::corpus::LabelledClip;

use crate::{RATE_HZ, Steps};

/// Runs per clip; the quickest counts.
const RUNS: usize = 5;
/// Silence after each clip, so that its last step is whole.
const TAIL: usize = 512;

/// What was heard up to a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    /// The step's end.
    pub end_ms: f64,
    /// That there is speech.
    pub probability: f32,
}

/// An engine and what it heard.
pub(crate) struct Judge {
    pub name: String,
    pub steps: Steps,
    /// None where it was not run here.
    pub cpu_ms_per_s: Option<f64>,
}

/// Our engines and the networks that the default is made of, on all clips.
pub(crate) fn ours(clips: &[LabelledClip]) -> Vec<Judge> {
    let by_vad = |engine| move |audio: &[i16], out: &mut Vec<Heard>| vad(engine, audio, out);
    vec![
        run("default", clips, by_vad(VadEngine::Silero)),
        run("Silero 8k", clips, |audio, out| network(Branch::Khz8, audio, out)),
        run("Silero 16k", clips, |audio, out| {
            let mut doubled = vec![0; 2 * audio.len()];
            Doubler::default().process(audio, &mut doubled);
            network(Branch::Khz16, &doubled, out);
        }),
        // As it is usually fed: by a steep filter, without delay.
        run("Silero 16k steep", clips, |audio, out| {
            network(Branch::Khz16, &resample::convert(audio, RATE_HZ, 16_000), out);
        }),
        run("earshot", clips, by_vad(VadEngine::Earshot)),
        run("energy", clips, by_vad(VadEngine::Energy)),
    ]
}

/// Judges from a file of lines `judge,clip,step_ms,probabilities separated by blanks`.
pub(crate) fn others(path: &Path, clips: &[LabelledClip]) -> Vec<Judge> {
    let mut judges: Vec<Judge> = Vec::new();
    let Ok(text) = std::fs::read_to_string(path) else { return judges };
    for line in text.lines() {
        let mut fields = line.splitn(4, ',');
        let (Some(name), Some(clip), Some(step_ms), Some(values)) =
            (fields.next(), fields.next(), fields.next().and_then(|s| s.parse::<f64>().ok()), fields.next())
        else {
            continue;
        };
        let steps = values.split_whitespace().filter_map(|v| v.parse().ok()).enumerate();
        let steps = steps.map(|(n, probability)| Heard { end_ms: (n + 1) as f64 * step_ms, probability }).collect();
        let judge = match judges.iter_mut().find(|j| j.name == name) {
            Some(judge) => judge,
            None => {
                judges.push(Judge { name: name.to_owned(), steps: Steps::new(), cpu_ms_per_s: None });
                let last = judges.len() - 1;
                &mut judges[last]
            }
        };
        judge.steps.insert(clip.to_owned(), steps);
    }
    judges.retain(|j| {
        let missing = clips.iter().filter(|c| !j.steps.contains_key(&c.name)).count();
        if missing > 0 {
            eprintln!("{} is left out: {} has nothing of {missing} clips; write it again", j.name, path.display());
        }
        missing == 0
    });
    judges
}

pub(crate) fn run(name: &str, clips: &[LabelledClip], hear: impl Fn(&[i16], &mut Vec<Heard>)) -> Judge {
    let (mut steps, mut seconds, mut audio_seconds) = (Steps::new(), 0.0, 0.0);
    let mut out = Vec::new();
    for clip in clips {
        let mut audio = clip.samples.clone();
        audio.resize(audio.len() + TAIL, 0);
        let mut quickest = f64::INFINITY;
        for _ in 0..RUNS {
            out.clear();
            let begun = Instant::now();
            hear(&audio, &mut out);
            quickest = quickest.min(begun.elapsed().as_secs_f64());
        }
        seconds += quickest;
        audio_seconds += audio.len() as f64 / f64::from(RATE_HZ);
        steps.insert(clip.name.clone(), out.clone());
    }
    Judge { name: name.to_owned(), steps, cpu_ms_per_s: Some(seconds * 1_000.0 / audio_seconds) }
}

fn vad(engine: VadEngine, audio: &[i16], out: &mut Vec<Heard>) {
    let mut vad = Vad::new(engine, RATE_HZ);
    for frame in audio.chunks(RATE_HZ as usize / 50) {
        vad.process(frame, |s| {
            let end_ms = s.end.0 as f64 * 1_000.0 / f64::from(RATE_HZ);
            out.push(Heard { end_ms, probability: s.probability.as_f32() });
        });
    }
}

fn network(branch: Branch, audio: &[i16], out: &mut Vec<Heard>) {
    let mut silero = Silero::new(branch);
    for frame in audio.chunks_exact(branch.step()) {
        let probability = silero.step(frame);
        out.push(Heard { end_ms: (out.len() + 1) as f64 * 32.0, probability });
    }
}
