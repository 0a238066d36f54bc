//! How late starts and ends of speech are known, by a plain rule: one step over the threshold is a start; it is over when
//! the probability has been low for a while.

use offhook::lab::tune::corpus::{Condition, LabelledClip};

use crate::engines::{Heard, Judge};

/// One step this probable is a start.
const START: f32 = 0.5;
/// Speech is over after this long below this.
const LOW: f32 = 0.35;
const LOW_MS: f64 = 120.0;
/// Only speech after a silence this long has a start, and only a silence this long has an end before it.
const SILENCE_MS: u64 = 300;
/// Shorter stretches of speech are not looked for.
const SPEECH_MS: u64 = 150;
/// Labels are this exact.
const EARLY_MS: f64 = 40.0;
/// A start this long after speech still belongs to it.
const LATE_MS: f64 = 200.0;

/// Delays of one judge.
#[derive(Default)]
pub(crate) struct Delays {
    /// From the first audible speech to the start, in ms, in order.
    pub onsets: Vec<f64>,
    /// From the last audible speech to the end of the last step over the threshold, in ms, in order.
    pub offsets: Vec<f64>,
    /// Speech without a start.
    pub missed: usize,
    /// Starts on a distractor.
    pub on_distractors: usize,
    /// Starts where there is neither speech nor a known distractor.
    pub elsewhere: usize,
}

impl Delays {
    /// On clips that `of` is about. Onsets and ends are measured where there is no noise added; starts are counted on all.
    pub(crate) fn of(clips: &[LabelledClip], judge: &Judge, of: impl Fn(&LabelledClip) -> bool) -> Self {
        let mut delays = Delays::default();
        for clip in clips.iter().filter(|c| !c.coarse() && !c.name.contains("babble") && of(c)) {
            let steps = &judge.steps[&clip.name];
            let runs = runs(steps);
            if !matches!(clip.condition, Condition::Mix { .. } | Condition::Noise) {
                delays.onsets_of(clip, &runs);
                delays.offsets_of(clip, steps);
            }
            delays.false_starts_of(clip, &runs);
        }
        delays.onsets.sort_by(f64::total_cmp);
        delays.offsets.sort_by(f64::total_cmp);
        delays
    }

    /// The onset's delay that `percent` of them do not pass; missed ones are endless.
    pub(crate) fn onset(&self, percent: usize) -> Option<f64> {
        let of = self.onsets.len() + self.missed;
        self.onsets.get(rank(percent, of)?).copied()
    }

    /// The end's delay that `percent` of them do not pass.
    pub(crate) fn offset(&self, percent: usize) -> Option<f64> {
        self.offsets.get(rank(percent, self.offsets.len())?).copied()
    }

    fn onsets_of(&mut self, clip: &LabelledClip, runs: &[(f64, f64)]) {
        let mut before: Option<u64> = None;
        for speech in &clip.speech {
            let (start, end) = (speech.audible.start_ms, speech.span.end_ms);
            let rested = before.is_none_or(|b| start.saturating_sub(b) >= SILENCE_MS);
            before = Some(end);
            let start = start as f64;
            // What began before and still goes on cannot begin again.
            let running = runs.iter().any(|r| r.0 < start - EARLY_MS && r.1 > start);
            if !rested || running || speech.span.end_ms - speech.audible.start_ms < SPEECH_MS {
                continue;
            }
            match runs.iter().find(|r| r.0 >= start - EARLY_MS && r.0 <= end as f64 + 100.0) {
                Some(run) => self.onsets.push(run.0 - start),
                None => self.missed += 1,
            }
        }
    }

    fn offsets_of(&mut self, clip: &LabelledClip, steps: &[Heard]) {
        let next = clip.speech.iter().skip(1).map(|s| s.span.start_ms).chain([clip.duration_ms()]);
        for (speech, next) in clip.speech.iter().zip(next) {
            let end = speech.audible.end_ms;
            if next.saturating_sub(end) < SILENCE_MS {
                continue;
            }
            let (from, to) = (end as f64 - LATE_MS, next as f64);
            let last = steps.iter().rfind(|s| s.end_ms > from && s.end_ms <= to && s.probability >= START);
            self.offsets.push(last.map_or(-LATE_MS, |s| s.end_ms - end as f64));
        }
    }

    fn false_starts_of(&mut self, clip: &LabelledClip, runs: &[(f64, f64)]) {
        let touches = |at: f64, start: u64, end: u64| start as f64 - EARLY_MS <= at && at - LATE_MS <= end as f64;
        for run in runs {
            let speech = clip.speech.iter().map(|s| s.span).chain(clip.uncertain.iter().copied());
            if speech.into_iter().any(|s| touches(run.0, s.start_ms, s.end_ms)) {
            } else if clip.distractors.iter().any(|d| touches(run.0, d.start_ms, d.end_ms)) {
                self.on_distractors += 1;
            } else {
                self.elsewhere += 1;
            }
        }
    }
}

/// Where speech begins and ends by the rule.
fn runs(steps: &[Heard]) -> Vec<(f64, f64)> {
    let mut runs = Vec::new();
    let (mut begun, mut low_since) = (None, None);
    for step in steps {
        if begun.is_none() {
            begun = (step.probability >= START).then_some(step.end_ms);
            low_since = None;
        } else if step.probability >= LOW {
            low_since = None;
        } else {
            let since = *low_since.get_or_insert(step.end_ms);
            if step.end_ms - since >= LOW_MS {
                runs.extend(begun.take().map(|b| (b, step.end_ms)));
            }
        }
    }
    runs.extend(begun.map(|b| (b, f64::INFINITY)));
    runs
}

fn rank(percent: usize, of: usize) -> Option<usize> {
    (of > 0).then(|| (of * percent).div_ceil(100).max(1) - 1)
}
