//! Whole calls with a television in the caller's room: other speech on the caller's track, softer than the caller.

use offhook::base::time::Samples;
use offhook::config::TurnSettings;
use offhook::ears::turn::score::{LOST_AFTER_MS, percentile};
use offhook::lab::tune::corpus::{Condition, LabelledClip};
use offhook::lab::tune::measure::Case;
use serde_json::{Value, json};

use crate::RATE_HZ;
use crate::calls::{Call, FRAME, FRAME_MS, Trial, agent_audio, settings};
use crate::live::{cell, head, line, say};

/// How far the television is below the caller, by the level of what both say; `None`: it is off.
const BELOW_DB: [Option<u32>; 5] = [None, Some(13), Some(16), Some(20), Some(26)];
/// How long the agent talks.
const REPLY_MS: u64 = 34_000;
/// The caller's first turn is this long at most, and comes after so much of the line.
const FIRST_TURN_MS: u64 = 5_000;
const LEAD_MS: u64 = 1_000;
/// The turn has ended this long after the caller fell silent, or a television keeps it open and no reply is heard.
const LATEST_END_MS: u64 = 10_000;
/// Callers who interrupt do so this long after the reply has begun, at these offsets, and by so much louder than before.
const BARGE_IN_MS: u64 = 2_500;
const OFFSETS_MS: [u64; 4] = [0, 9, 18, 27];
const LOUDER_DB: [i32; 4] = [0, -3, -6, 3];
/// Labels are this exact.
const EARLY_MS: u64 = 40;
/// The caller's level; its line's noise is that of one unit of a sample.
const CALLER_RMS: f64 = 1_000.0;

/// A caller: speech that is one turn, and how loud it is.
struct Caller<'a> {
    clip: &'a LabelledClip,
    gain: f64,
}

/// Prints how long an agent is heard beside a television, and what becomes of callers who interrupt it.
pub(crate) fn television(clips: &[LabelledClip], trial: Trial) -> Value {
    let callers: Vec<Caller<'_>> = clips.iter().filter(|c| is_caller(c)).map(Caller::new).collect();
    let margins = match trial.level_margin_db {
        Some(margin) => vec![margin],
        None => vec![0, TurnSettings::default().level_margin_db],
    };
    let mut out = serde_json::Map::new();
    for margin in margins {
        let trial = Trial { level_margin_db: Some(margin), ..trial };
        say(
            trial.as_json,
            &format!("\nA television in the room; level_margin_db = {margin}, {} callers", callers.len()),
        );
        say(
            trial.as_json,
            &head(&["heard s of 34", "least", "holds", "callers", "p50", "p90", "p99", "lost", "for good"]),
        );
        let mut rows = serde_json::Map::new();
        for below in BELOW_DB {
            let name = below.map_or("none".to_owned(), |db| format!("{db} dB below"));
            let mut heard: Vec<u64> = Vec::new();
            let (mut holds, mut ms, mut lost, mut finals, mut callers_in) = (0, Vec::new(), 0, 0, 0);
            for caller in &callers {
                let track = Track::new(clips, caller, below);
                let (heard_ms, held) = track.alone(clips, trial);
                heard.push(heard_ms);
                holds += held;
                for (offset_ms, louder_db) in OFFSETS_MS.into_iter().zip(LOUDER_DB) {
                    let Some(interrupted) = track.interrupted(clips, offset_ms, louder_db, trial) else { continue };
                    callers_in += 1;
                    match interrupted {
                        (Some(at), final_) => {
                            ms.push(at);
                            finals += usize::from(final_);
                        }
                        (None, _) => lost += 1,
                    }
                }
            }
            let all = heard.iter().sum::<u64>() as f64 / heard.len().max(1) as f64 / 1_000.0;
            let least = heard.iter().min().copied().unwrap_or(0) as f64 / 1_000.0;
            ms.resize(ms.len() + lost, i64::MAX);
            let at = |p: f64| percentile(&ms, p).filter(|ms| *ms < i64::MAX);
            let counts = [callers_in.to_string(), cell(at(50.0)), cell(at(90.0)), cell(at(99.0))];
            let cells = [&[format!("{all:.1}"), format!("{least:.1}"), holds.to_string()][..], &counts].concat();
            say(trial.as_json, &line(&name, &[&cells[..], &[lost.to_string(), finals.to_string()]].concat()));
            let row = json!({
                "heard_s": all, "least_s": least, "holds": holds, "callers": callers_in, "p50": at(50.0), "p90": at(90.0),
                "p99": at(99.0), "lost": lost, "for_good": finals,
            });
            rows.insert(name, row);
        }
        out.insert(margin.to_string(), Value::Object(rows));
    }
    Value::Object(out)
}

/// Recordings of one clean voice that say enough.
fn is_caller(clip: &LabelledClip) -> bool {
    let speech: u64 = clip.speech.iter().map(|s| s.span.end_ms - s.span.start_ms).sum();
    let one_voice = clip.condition == Condition::Recording || clip.name.starts_with("track-");
    one_voice && !clip.coarse() && speech >= 1_500
}

impl Caller<'_> {
    fn new(clip: &LabelledClip) -> Caller<'_> {
        Caller { clip, gain: CALLER_RMS / active_rms(clip) }
    }

    fn said(&self, from_ms: u64, to_ms: u64, louder_db: i32) -> Vec<f64> {
        let gain = self.gain * 10f64.powf(f64::from(louder_db) / 20.0);
        piece(self.clip, from_ms, to_ms).iter().map(|s| f64::from(*s) * gain).collect()
    }
}

/// One call's audio before anybody interrupts.
struct Track<'a> {
    caller: &'a Caller<'a>,
    /// What the caller says first, and all that the television does.
    base: Vec<f64>,
    /// Where the first turn ends.
    first_ms: u64,
}

impl<'a> Track<'a> {
    fn new(clips: &[LabelledClip], caller: &'a Caller<'a>, below_db: Option<u32>) -> Track<'a> {
        let speech = &caller.clip.speech;
        let begin_ms = speech[0].span.start_ms;
        let within = |s: &&offhook::lab::tune::corpus::Speech| s.span.end_ms <= begin_ms + FIRST_TURN_MS;
        let end_ms = speech.iter().take_while(within).last().map_or(begin_ms + FIRST_TURN_MS, |s| s.span.end_ms);
        let first = caller.said(0, end_ms, 0);
        let first_ms = LEAD_MS + end_ms;
        let length_ms = first_ms + LATEST_END_MS + REPLY_MS + 1_000;
        let mut base = vec![0.0; samples(length_ms)];
        base[samples(LEAD_MS)..].iter_mut().zip(&first).for_each(|(to, from)| *to += from);
        if let Some(below) = below_db {
            let level = CALLER_RMS * 10f64.powf(-f64::from(below) / 20.0);
            let voices = clips.iter().filter(|c| is_caller(c) && c.name != caller.clip.name);
            // The others one after the other, each made as loud, without what is before and after its speech.
            let speech = voices.flat_map(|clip| {
                let (from, to) = (clip.speech[0].span.start_ms, clip.speech.last().map_or(0, |s| s.span.end_ms));
                let gain = level / active_rms(clip);
                piece(clip, from, to).iter().map(move |s| f64::from(*s) * gain)
            });
            base.iter_mut().zip(speech).for_each(|(to, from)| *to += from);
        }
        Track { caller, base, first_ms }
    }

    /// Up to the agent's reply, of which so much is there: the call, and where the reply began.
    fn answered(&self, clips: &[LabelledClip], reply_ms: u64, trial: Trial) -> (Call, u64) {
        let mut call = Call::begin(settings(200, trial));
        let mut until_ms = self.first_ms + 300;
        for frame in audio(&self.base).chunks_exact(FRAME) {
            if call.now_ms() >= until_ms {
                // A television may go on for longer than the caller: their turn is one.
                if !call.caller_speaks() || call.now_ms() >= self.first_ms + LATEST_END_MS {
                    break;
                }
                until_ms = call.now_ms() + FRAME_MS;
            }
            call.frame(frame);
        }
        let begun = call.now_ms();
        call.agent_speaks(&agent_audio(clips, &self.caller.clip.name, reply_ms));
        (call, begun)
    }

    /// How many milliseconds of the reply's own length were heard, and how often it was held.
    fn alone(&self, clips: &[LabelledClip], trial: Trial) -> (u64, usize) {
        let (mut call, begun) = self.answered(clips, REPLY_MS, trial);
        let mut heard = 0;
        for frame in audio(&self.base).chunks_exact(FRAME).skip((begun / FRAME_MS) as usize) {
            if call.now_ms() >= begun + REPLY_MS {
                break;
            }
            call.frame(frame);
            heard += FRAME_MS * u64::from(call.agent_is_heard(call.now_ms()));
        }
        (heard, call.since(begun).holds)
    }

    /// The caller says the last of the clip over the reply: when the line was cleared, and whether for good. `None`: the
    /// agent had been stopped before.
    fn interrupted(
        &self,
        clips: &[LabelledClip],
        offset_ms: u64,
        louder_db: i32,
        trial: Trial,
    ) -> Option<(Option<i64>, bool)> {
        let case = Case::new(self.caller.clip.clone());
        let (onset, end) = (case.truth.onsets_ms().last()?, self.caller.clip.duration_ms());
        let from_ms = onset.saturating_sub(60);
        let (mut call, begun) = self.answered(clips, 10_000, trial);
        let at_ms = begun + BARGE_IN_MS + offset_ms;
        let onset = at_ms + onset - from_ms;
        let mut track = self.base.clone();
        let said = self.caller.said(from_ms, end.min(from_ms + 2_500), louder_db);
        track[samples(at_ms)..].iter_mut().zip(&said).for_each(|(to, from)| *to += from);
        for frame in audio(&track).chunks_exact(FRAME).skip((begun / FRAME_MS) as usize) {
            let now = call.now_ms();
            if now + FRAME_MS > onset && now <= onset && (call.caller_speaks() || !call.agent_is_heard(now)) {
                return None;
            }
            if now > onset + 2_500 {
                break;
            }
            call.frame(frame);
        }
        let clear = call.clears_ms().find(|at| at + EARLY_MS >= onset && *at <= onset + LOST_AFTER_MS);
        Some((clear.map(|at| at as i64 - onset as i64), call.since(onset).finals > 0))
    }
}

/// The same as samples of a line, with a little noise.
fn audio(track: &[f64]) -> Vec<i16> {
    let mut state = 1u32;
    let noise = |s: &f64| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (s + f64::from(state >> 16) / 8_192.0 - 4.0).round() as i16
    };
    let mut audio: Vec<i16> = track.iter().map(noise).collect();
    audio.resize(audio.len().next_multiple_of(FRAME), 0);
    audio
}

fn samples(ms: u64) -> usize {
    Samples::from_ms(ms, RATE_HZ).0 as usize
}

fn piece(clip: &LabelledClip, from_ms: u64, to_ms: u64) -> &[i16] {
    &clip.samples[samples(from_ms).min(clip.samples.len())..samples(to_ms).min(clip.samples.len())]
}

/// The level of what is said.
fn active_rms(clip: &LabelledClip) -> f64 {
    let said = clip.speech.iter().flat_map(|s| piece(clip, s.span.start_ms, s.span.end_ms));
    let (sum, n) = said.fold((0.0, 0u32), |(sum, n), s| (sum + f64::from(*s).powi(2), n + 1));
    (sum / f64::from(n.max(1))).sqrt().max(1.0)
}
