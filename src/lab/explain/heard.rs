//! What our own ears heard around a moment, how long it lasted, and which setting would have decided otherwise.

use std::fmt::Write as _;

use serde::Serialize;

use super::rules::field;
use crate::base::time::{CallTime, Samples};
use crate::config::{CallSettings, TurnDetection, TurnSettings};
use crate::ears::vad;
use crate::ears::vad::step_ms;

/// Steps that are shown before the moment, and as many after it.
const SHOWN: usize = 12;
/// The longest silence that can be set to end a turn.
const LONGEST_SILENCE_MS: u64 = 2_000;

/// The steps of a whole call, as the journal keeps them.
#[derive(Debug, Default)]
pub(super) struct Steps(Vec<Heard>);

#[derive(Clone, Copy, Debug)]
struct Heard {
    at: CallTime,
    /// Where it ends on the media time line.
    media: Samples,
    per_mille: u16,
    level_db: i8,
}

/// What was heard around a moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hearing {
    /// `turn_detection.threshold`: from here on a step is speech.
    pub threshold: f32,
    /// The threshold less `turn_detection.hysteresis`: running speech pauses below this.
    pub stop_below: f32,
    /// The steps around it.
    pub steps: Vec<Step>,
    /// How long what was heard there lasted, in words.
    pub lasted: String,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// When it was heard.
    pub at_ms: u64,
    /// Where it ends on the media time line, which is the recording's.
    pub media_ms: u64,
    /// Speech probability, 0–1.
    pub probability: f32,
    /// RMS level in dBFS.
    pub level_db: i8,
}

impl Steps {
    /// The next step.
    pub(super) fn push(&mut self, at: CallTime, step: vad::Step, media: Samples) {
        let (per_mille, level_db) = (step.probability.per_mille(), step.level_db);
        self.0.push(Heard { at, media, per_mille, level_db });
    }

    /// What was heard around `moment`; `None` when our own ears did not decide.
    pub(super) fn around(&self, moment: CallTime, settings: &CallSettings) -> Option<Hearing> {
        let (turn, limits) = limits(settings)?;
        let rate_hz = settings.format.rate_hz;
        let next = self.0.partition_point(|step| step.at <= moment);
        let here = next.checked_sub(1)?;
        let shown = &self.0[next.saturating_sub(SHOWN)..self.0.len().min(next + SHOWN)];
        let speech = self.0[here].per_mille >= limits.stop;
        let same = |step: &Heard| (step.per_mille >= limits.stop) == speech;
        let from = self.0[..here].iter().rposition(|step| !same(step)).map_or(Samples::ZERO, |i| self.0[i].media);
        let last = self.0[here..].iter().take_while(|step| same(step)).last().map_or(from, |step| step.media);
        let ms = last.saturating_sub(from).as_ms(rate_hz);
        let stretch = format!(
            "media {} to {}, {ms} ms",
            CallTime::from_ms(from.as_ms(rate_hz)),
            CallTime::from_ms(last.as_ms(rate_hz))
        );
        let stop = per_cent(limits.stop);
        let lasted = if speech {
            format!("{stop} or more from {stretch}; a start needs {} ms at {}", turn.min_speech_ms, turn.threshold)
        } else {
            format!("below {stop} from {stretch}; a turn ends after {} ms", turn.silence_duration_ms)
        };
        let step = |step: &Heard| Step {
            at_ms: step.at.as_ms(),
            media_ms: step.media.as_ms(rate_hz),
            probability: f32::from(step.per_mille) / 1_000.0,
            level_db: step.level_db,
        };
        let steps = shown.iter().map(step).collect();
        Some(Hearing { threshold: turn.threshold, stop_below: f32::from(limits.stop) / 1_000.0, steps, lasted })
    }

    /// Which setting would have decided otherwise than `line`, decided at `at`.
    pub(super) fn otherwise(&self, at: CallTime, line: &str, settings: &CallSettings) -> Option<String> {
        let (turn, limits) = limits(settings)?;
        let rate_hz = settings.format.rate_hz;
        let (name, rest) = line.split_once(' ')?;
        let number = |key: &str| field(rest, key)?.parse::<u64>().ok();
        let rule = field(rest, "rule");
        // Decided at the end of the last step of that input.
        let decided = self.0.partition_point(|step| step.at <= at).checked_sub(1)?;
        match (name, rule) {
            ("SpeechStopped", Some("local_vad")) => {
                Some(self.why_stopped(decided, number("media_ms")?, turn, limits, rate_hz))
            }
            ("SpeechStopped" | "TurnCommitted", Some("max_turn")) => {
                Some(format!("the caller still spoke; more than max_turn_s = {} would have waited", turn.max_turn_s))
            }
            ("SpeechStarted", Some("local_vad")) => {
                Some(self.why_started(decided, number("media_ms")?, turn, limits, rate_hz))
            }
            ("BackChannel", Some(rule)) => {
                let (voiced, by) = (number("voiced_ms")?, settings.false_interruptions);
                let (key, value) = match rule {
                    "untranscribed" | "model_lost" => ("untranscribed_interruption_ms", by.untranscribed_ms),
                    _ => ("min_interruption_ms", by.shorter_than_ms),
                };
                Some(format!(
                    "the speech was {voiced} ms; {key} = {value}; {voiced} or less would have let it interrupt by its length"
                ))
            }
            _ => None,
        }
    }

    fn why_stopped(&self, decided: usize, since_ms: u64, turn: &TurnSettings, limits: Limits, rate_hz: u32) -> String {
        let ms = |step: &Heard| step.media.as_ms(rate_hz);
        let silence = ms(&self.0[decided]).saturating_sub(since_ms);
        let mut why = format!("the silence was {silence} ms; silence_duration_ms = {}; ", turn.silence_duration_ms);
        // Its last step is where speech is again.
        let again = self.0[decided + 1..].iter().find(|step| step.per_mille >= limits.start);
        let pause = again.map(|step| ms(step).saturating_sub(since_ms)).filter(|pause| *pause <= LONGEST_SILENCE_MS);
        // Writing to a String cannot fail.
        let _ = match pause {
            Some(pause) => write!(why, "the caller went on after {pause} ms: {} would have waited", round_up(pause)),
            None => write!(why, "the caller did not go on within {LONGEST_SILENCE_MS} ms: a longer one only delays"),
        };
        why
    }

    fn why_started(&self, decided: usize, since_ms: u64, turn: &TurnSettings, limits: Limits, rate_hz: u32) -> String {
        let ms = |step: &Heard| step.media.as_ms(rate_hz);
        let first = self.0[..=decided].iter().rposition(|step| ms(step) <= since_ms).map_or(0, |i| i + 1);
        // The sound begins before it is known for speech.
        let run = self.0[first.min(decided)..].iter().skip_while(|step| step.per_mille < limits.start);
        let (mut steps, mut peak) = (0, 0);
        for step in run.take_while(|step| step.per_mille >= limits.start) {
            (steps, peak) = (steps + 1, peak.max(step.per_mille));
        }
        let lasted = steps * step_ms(turn.engine);
        format!(
            "speech at {} or more lasted {lasted} ms and reached {}; min_speech_ms = {}; threshold = {}; a threshold above {} \
             or min_speech_ms above {lasted} would not have started",
            turn.threshold,
            per_cent(peak),
            turn.min_speech_ms,
            turn.threshold,
            per_cent(peak)
        )
    }
}

impl Hearing {
    pub(super) fn write(&self, moment_ms: u64, out: &mut String) {
        let (mut line, mut levels) = (String::new(), String::new());
        let mut marked = false;
        for step in &self.steps {
            if step.at_ms > moment_ms && !marked {
                line.push_str(" |");
                levels.push_str(" |");
                marked = true;
            }
            // Writing to a String cannot fail.
            let _ = write!(line, " {:.2}", step.probability);
            let _ = write!(levels, " {:4}", step.level_db);
        }
        let _ = writeln!(out, "  heard    {line}");
        let _ = writeln!(out, "  level    {levels}");
        let _ = writeln!(
            out,
            "            (speech probability and dBFS per step; | is the moment; speech from {}, a pause below {:.2})",
            self.threshold, self.stop_below
        );
        let _ = writeln!(out, "  lasted    {}", self.lasted);
    }
}

/// What a step's probability is held against, per mille.
#[derive(Clone, Copy)]
struct Limits {
    start: u16,
    stop: u16,
}

fn limits(settings: &CallSettings) -> Option<(&TurnSettings, Limits)> {
    let TurnDetection::Local(turn) = &settings.turn_detection else { return None };
    let per_mille = |p: f32| (p.clamp(0.0, 1.0) * 1_000.0).ceil() as u16;
    let limits = Limits { start: per_mille(turn.threshold), stop: per_mille(turn.threshold - turn.hysteresis) };
    Some((turn, limits))
}

fn per_cent(per_mille: u16) -> String {
    format!("{:.2}", f32::from(per_mille) / 1_000.0)
}

/// To the next 20 ms, as people write settings.
const fn round_up(ms: u64) -> u64 {
    ms.next_multiple_of(20)
}
