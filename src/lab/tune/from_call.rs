//! Recorded calls as clips: what the caller said, what was decided then, and an estimate of what would have been right.
//!
//! Nobody labelled a call. The estimate is what can be said with hindsight, which a call does not have: speech is where
//! Silero's probability, averaged over [`LOOK_MS`] before and after, is at least one half; pauses and sounds shorter than
//! [`BLIP_MS`] do not count; and a turn ends where no more speech follows for as long as one asks (`--resume-within`). So
//! a caller who paused for longer than that and then went on counts as two turns, and one who fell silent because the
//! agent spoke into his sentence counts as having finished. Sounds that are too short to tell are left out of the score.

use std::path::Path;

use super::measure::{Case, Kept, Source};
use super::run::{LINE, QUIET, floor, listen_beside, with_tail};
use crate::base::audio::clip::Span;
use crate::base::audio::{AudioFormat, resample};
use crate::base::time::Samples;
use crate::config::{TurnDetection, TurnSettings, VadEngine};
use crate::ears::turn::score::{ClipScore, Found, Spoken, TrueTurn, Truth};
use crate::ears::turn::{EndRule, TurnEvent};
use crate::ears::vad::{Step, step_samples};
use crate::engine::{Action, Record};
use crate::lab::journal::{CallFiles, Journal, LoadError};
use crate::lab::replay::{Replay, Seen, run_through};
use crate::lab::verify::Recorded;
use crate::report::Report;

/// Speech that goes on within this after its end belongs to the same turn, unless one asks for another time.
pub const RESUME_WITHIN_MS: u64 = 1_000;

/// Probabilities are averaged over this much before and after.
pub const LOOK_MS: u64 = 64;

/// Pauses and sounds shorter than this are neither.
pub const BLIP_MS: u64 = 150;

/// How exact the estimate is; ends are rather late, since probabilities stay high for a while after the last sound.
pub const EXACT_MS: u64 = 100;

/// The longest call that is read.
const MAX_SAMPLES: usize = 12 * 3_600 * 8_000;

/// As many steps of 16 ms.
const MAX_STEPS: usize = 12 * 3_600 * 1_000 / 16;

/// A recorded call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its agent.
    pub agent: Option<String>,
    /// What decided its turns, as far as the journal says.
    pub ran_with: Option<TurnDetection>,
    /// The audio and the estimate.
    pub case: Case,
    /// The ends of turns as they were decided then.
    pub then: Vec<(Samples, TurnEvent)>,
    /// Where the audio is from, and what is missing.
    pub notes: Vec<String>,
}

/// Reads a call's folder: `recording.wav`, or a journal with audio, or the steps in a journal without; and the report.
///
/// # Errors
/// What is wrong, with the file's name.
pub fn load(path: &Path, resume_within_ms: u64) -> Result<Call, String> {
    let files = match CallFiles::load(path) {
        Ok(files) => Some(files),
        // A recording and a report are enough.
        Err(LoadError::NoJournal(_)) => None,
        Err(error) => return Err(error.to_string()),
    };
    let folder = files.as_ref().map_or(path, |files| &files.folder);
    let report = match &files {
        Some(files) => files.report().map_err(|e| e.to_string())?,
        None => report(folder)?,
    };
    let journal = files.as_ref().map(|files| &files.journal);
    let mut notes = Vec::new();
    let kept = journal.and_then(kept_steps);
    let audio = audio(folder, journal, report.as_ref(), &mut notes)?;
    let Some(Tracks { caller, agent }) = audio.or_else(|| kept.as_ref().map(|_| Tracks::default())) else {
        return Err(format!(
            "{}: neither a recording nor a journal with audio; calls keep them when their deployment has keep.recording = \
             true or keep.journal = \"audio\"",
            folder.display()
        ));
    };
    if let (Some(kept), true) = (&kept, caller.is_empty()) {
        let engine = kept.engine.name();
        notes.push(format!("no audio was kept, only what {engine} heard: no other engine can be tried"));
    }
    let guarded = journal.is_none_or(|j| j.settings.echo_guard);
    let floor = floor(&agent);
    let agent_audio = (guarded && !agent.is_empty()).then_some(agent);
    let steps = match &kept {
        Some(kept) if caller.is_empty() || kept.engine == VadEngine::Silero => kept.steps.clone(),
        _ => listen_beside(&caller, agent_audio.as_deref(), VadEngine::Silero),
    };
    let report = report.or_else(|| journal.map(|journal| Replay::new(journal).report));
    let name = files
        .as_ref()
        .map(CallFiles::name)
        .unwrap_or_else(|| folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default());
    let truth = hindsight(&steps, resume_within_ms);
    Ok(Call {
        agent: report.as_ref().map(|r| r.agent.clone()),
        ran_with: journal.map(|j| j.settings.turn_detection.clone()),
        case: Case { name, samples: caller, agent: agent_audio, floor, kept, truth, source: Source::Hindsight },
        then: report.as_ref().map(then).unwrap_or_default(),
        notes,
    })
}

/// What is true of a call as far as its steps tell with hindsight; see the module.
pub fn hindsight(steps: &[Step], resume_within_ms: u64) -> Truth {
    let ms = |samples: Samples| samples.as_ms(LINE.rate_hz);
    let Some(step_ms) = steps.first().map(|step| ms(step.end)).filter(|&ms| ms > 0) else { return Truth::default() };
    let look = (LOOK_MS / step_ms).max(1) as usize;
    let mut runs: Vec<Span> = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let around = &steps[i.saturating_sub(look)..steps.len().min(i + look + 1)];
        let sum: u32 = around.iter().map(|s| u32::from(s.probability.per_mille())).sum();
        if sum < 500 * around.len() as u32 {
            continue;
        }
        let end_ms = ms(step.end);
        let start_ms = end_ms - step_ms;
        match runs.last_mut().filter(|run| start_ms < run.end_ms + BLIP_MS) {
            Some(run) => run.end_ms = end_ms,
            None => runs.push(Span { start_ms, end_ms }),
        }
    }
    let (blips, speech): (Vec<Span>, Vec<Span>) = runs.into_iter().partition(|run| run.end_ms - run.start_ms < BLIP_MS);
    let speech = speech.into_iter().map(|span| Spoken { span, audible: span }).collect();
    let mut truth = Truth { speech, uncertain: blips, ..Truth::default() };
    truth.assume_turns(resume_within_ms);
    truth
}

/// How one turn of a call ended by some settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Ends that were decided while it went on: how much of it was left.
    pub cut_off_left_ms: Vec<u64>,
    /// The end: how long after its last sound.
    pub delay_ms: Option<i64>,
}

impl Outcome {
    /// In words.
    pub fn words(&self) -> String {
        let cut = match &self.cut_off_left_ms[..] {
            [] => String::new(),
            [left] => format!("cut off {left} ms early"),
            [left, ..] => format!("cut off {} times, first {left} ms early", self.cut_off_left_ms.len()),
        };
        match (cut.is_empty(), self.delay_ms) {
            (true, Some(ms)) => format!("{ms:+} ms"),
            (false, Some(ms)) => format!("{cut}, then {ms:+} ms"),
            (true, None) => "no end".to_owned(),
            (false, None) => cut,
        }
    }
}

/// How each of the turns ended, by a score on the same truth.
pub fn outcomes(turns: &[TrueTurn], score: &ClipScore) -> Vec<Outcome> {
    let of = |turn: &TrueTurn| {
        let mut outcome = Outcome::default();
        for finding in &score.findings {
            match finding.what {
                Found::CutOff { left_ms } if finding.at_ms + left_ms == turn.audible_end_ms => {
                    outcome.cut_off_left_ms.push(left_ms);
                }
                Found::End { delay_ms } if finding.at_ms as i64 - delay_ms == turn.audible_end_ms as i64 => {
                    outcome.delay_ms = Some(delay_ms);
                }
                _ => {}
            }
        }
        outcome
    };
    turns.iter().map(of).collect()
}

/// The ends of turns as the report has them, on the media time line.
fn then(report: &Report) -> Vec<(Samples, TurnEvent)> {
    if report.media_start_at_ms.is_none() {
        return Vec::new();
    }
    let at = |ms: u64| Samples::from_ms(report.media_of_ms(ms), LINE.rate_hz);
    let mut events = Vec::new();
    for turn in &report.turns {
        let Some(decided) = turn.stop_decided_at_ms.or(turn.commit_at_ms) else { continue };
        let end = turn.speech_end_at_ms.unwrap_or(decided).min(decided);
        if let Some(start) = turn.speech_start_at_ms {
            events.push((at(start), TurnEvent::Started { at: at(start) }));
        }
        events.push((at(decided), TurnEvent::Ended { at: at(end), rule: EndRule::Silence }));
    }
    events.sort_by_key(|(decided, _)| *decided);
    events
}

/// Both sides of a call at the line's rate.
#[derive(Debug, Default)]
struct Tracks {
    caller: Vec<i16>,
    agent: Vec<i16>,
}

fn audio(
    folder: &Path,
    journal: Option<&Journal>,
    report: Option<&Report>,
    notes: &mut Vec<String>,
) -> Result<Option<Tracks>, String> {
    let path = folder.join("recording.wav");
    if path.is_file() {
        let recorded = Recorded::read(&path)?;
        if let Some(ms) = report.and_then(|r| r.recording.as_ref()?.missing_from_ms) {
            notes.push(format!("the recording lacks audio from {} on", super::words::clock(ms)));
        }
        if recorded.caller.len() > MAX_SAMPLES {
            return Err(format!("{}: longer than 12 hours", path.display()));
        }
        notes.push("audio from recording.wav".to_owned());
        let rate = |samples: Vec<i16>| match recorded.rate_hz {
            rate if rate == LINE.rate_hz => samples,
            rate => resample::convert(&samples, rate, LINE.rate_hz),
        };
        return Ok(Some(Tracks { caller: rate(recorded.caller), agent: rate(recorded.agent) }));
    }
    let Some(journal) = journal.filter(|j| j.has_audio()) else { return Ok(None) };
    let format = journal.settings.format;
    let mut tracks = Tracks::default();
    run_through(journal, |_, seen| match seen {
        Seen::Action(Action::Record(Record::Caller { at, payload })) => paint(&mut tracks.caller, *at, payload, format),
        Seen::Action(Action::Record(Record::Agent { at, payload })) => paint(&mut tracks.agent, *at, payload, format),
        _ => {}
    });
    if tracks.caller.is_empty() {
        return Ok(None);
    }
    notes.push("audio from the journal".to_owned());
    if format.rate_hz != LINE.rate_hz {
        tracks.caller = resample::convert(&tracks.caller, format.rate_hz, LINE.rate_hz);
        tracks.agent = resample::convert(&tracks.agent, format.rate_hz, LINE.rate_hz);
    }
    Ok(Some(tracks))
}

fn paint(track: &mut Vec<i16>, at: Samples, payload: &[u8], format: AudioFormat) {
    let mut linear = Vec::with_capacity(payload.len());
    format.codec.decode(payload, &mut linear);
    let from = (at.0 as usize).min(MAX_SAMPLES);
    let to = from.saturating_add(linear.len()).min(MAX_SAMPLES);
    if track.len() < to {
        track.resize(to, 0);
    }
    track[from..to].copy_from_slice(&linear[..to - from]);
}

/// The steps that the journal has of the call's own ears, on the media time line.
fn kept_steps(journal: &Journal) -> Option<Kept> {
    let TurnDetection::Local(TurnSettings { engine, .. }) = journal.settings.turn_detection else { return None };
    if journal.settings.format.rate_hz != LINE.rate_hz {
        return None;
    }
    let mut heard: Vec<Step> = Vec::new();
    run_through(journal, |_, seen| {
        if let Seen::Heard { step, media } = seen {
            heard.push(Step { end: media, ..step });
        }
    });
    (!heard.is_empty()).then(|| Kept { engine, steps: with_tail(evenly(&heard, engine), engine) })
}

/// The same steps at even distances: quiet ones where none came for long, and none that lies before the one before it.
fn evenly(heard: &[Step], engine: VadEngine) -> Vec<Step> {
    let length = step_samples(engine, LINE.rate_hz).0;
    let mut steps: Vec<Step> = Vec::with_capacity(heard.len());
    for &step in heard {
        let mut at = steps.last().map_or(0, |step| step.end.0);
        while at + length + length / 2 < step.end.0 && steps.len() < MAX_STEPS {
            at += length;
            steps.push(Step { end: Samples(at), ..QUIET });
        }
        steps.push(Step { end: Samples(at + length), ..step });
    }
    steps
}

fn report(folder: &Path) -> Result<Option<Report>, String> {
    let path = folder.join("report.json");
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| format!("{}: not a report of this version: {e}", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("{}: {e}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ears::turn::score::score;
    use crate::ears::vad::Probability;

    /// Steps of 32 ms: speech in these stretches.
    fn steps(speech: &[(u64, u64)], length_ms: u64) -> Vec<Step> {
        let step = |n: u64| {
            let end_ms = (n + 1) * 32;
            let spoken = speech.iter().any(|&(from, to)| end_ms > from && end_ms <= to);
            let per_mille = if spoken { 900 } else { 20 };
            Step {
                end: Samples::from_ms(end_ms, 8_000),
                probability: Probability::from_per_mille(per_mille),
                level_db: -30,
            }
        };
        (0..length_ms / 32).map(step).collect()
    }

    #[test]
    fn hindsight_bridges_short_pauses_and_ends_turns_at_long_ones() {
        let steps = steps(&[(320, 960), (1_056, 1_600), (2_240, 2_880), (4_800, 5_440), (6_400, 6_464)], 8_000);
        let truth = hindsight(&steps, 1_000);
        let spans: Vec<_> = truth.speech.iter().map(|s| (s.span.start_ms, s.span.end_ms)).collect();
        assert_eq!(spans, [(320, 1_600), (2_240, 2_880), (4_800, 5_440)]);
        let turns: Vec<_> = truth.turns.iter().map(|t| (t.span.start_ms, t.audible_end_ms)).collect();
        assert_eq!(turns, [(320, 2_880), (4_800, 5_440)]);
        assert_eq!(hindsight(&steps, 500).turns.len(), 3);
        assert_eq!(hindsight(&[], 500), Truth::default());
    }

    #[test]
    fn each_turn_tells_how_it_ended() {
        let truth = hindsight(&steps(&[(320, 1_600), (2_240, 2_880), (4_800, 5_440)], 8_000), 1_000);
        let ended = |decided, at| {
            let at = Samples::from_ms(at, 8_000);
            (Samples::from_ms(decided, 8_000), TurnEvent::Ended { at, rule: EndRule::Silence })
        };
        let outcomes = outcomes(&truth.turns, &score(&truth, &[ended(1_900, 1_600), ended(3_100, 2_880)], 8_000));
        let words: Vec<String> = outcomes.iter().map(Outcome::words).collect();
        assert_eq!(words, ["cut off 980 ms early, then +220 ms", "no end"]);
    }
}
