//! Accuracy by frames of 10 ms.

use offhook::base::audio::clip::Span;
use offhook::lab::tune::corpus::{Condition, LabelledClip};

use crate::babble_bed;
use crate::engines::{Heard, Judge};

/// A frame's length.
const FRAME_MS: u64 = 10;
/// What counts as speech.
const THRESHOLD: f32 = 0.5;
/// With coarse labels, only gaps at least this long are looked at, and only what is further from speech than this.
const LONG_GAP_MS: u64 = 1_500;
const GAP_MARGIN_MS: u64 = 500;

/// Probabilities of frames, and whether there is speech.
#[derive(Default)]
pub(crate) struct Frames {
    frames: Vec<(f32, bool)>,
}

impl Frames {
    /// Those of all clips that `of` is about.
    pub(crate) fn of(clips: &[LabelledClip], judge: &Judge, of: &dyn Fn(&LabelledClip) -> bool) -> Self {
        let mut frames = Frames::default();
        for clip in clips.iter().filter(|c| of(c)) {
            let speech: Vec<Span> = clip.speech.iter().map(|s| s.span).collect();
            frames.add(clip, &judge.steps[&clip.name], |ms| {
                let known = !within(&clip.uncertain, ms);
                known.then(|| within(&speech, ms))
            });
        }
        frames
    }

    fn add(&mut self, clip: &LabelledClip, steps: &[Heard], truth: impl Fn(u64) -> Option<bool>) {
        let whole = clip.samples.len() as u64 * 1_000 / u64::from(clip.rate_hz) / FRAME_MS;
        let mut at = 0;
        for middle in (0..whole).map(|n| n * FRAME_MS + FRAME_MS / 2) {
            while at + 1 < steps.len() && steps[at].end_ms <= middle as f64 {
                at += 1;
            }
            if let (Some(step), Some(speech)) = (steps.get(at), truth(middle)) {
                self.frames.push((step.probability, speech));
            }
        }
    }

    /// The harmonic mean of precision and recall at the threshold.
    pub(crate) fn f1(&self) -> f64 {
        let (mut hits, mut errors) = (0usize, 0usize);
        for &(p, speech) in &self.frames {
            hits += usize::from(p >= THRESHOLD && speech);
            errors += usize::from((p >= THRESHOLD) != speech);
        }
        2.0 * hits as f64 / (2 * hits + errors).max(1) as f64
    }

    /// The area under the receiver's operating curve: how often speech is more probable than silence.
    pub(crate) fn auc(&self) -> f64 {
        let mut sorted = self.frames.clone();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut below, mut area, mut speech) = (0.0, 0.0, 0.0);
        for ties in sorted.chunk_by(|a, b| a.0 == b.0) {
            let voiced = ties.iter().filter(|f| f.1).count() as f64;
            let silent = ties.len() as f64 - voiced;
            area += voiced * (below + silent / 2.0);
            below += silent;
            speech += voiced;
        }
        area / (speech * below)
    }

    fn share(&self) -> Option<f64> {
        let alarms = self.frames.iter().filter(|f| f.0 >= THRESHOLD).count();
        (!self.frames.is_empty()).then(|| alarms as f64 / self.frames.len() as f64)
    }
}

/// The share of frames of noise taken for speech; none without noise beds.
pub(crate) fn false_alarms(clips: &[LabelledClip], judge: &Judge) -> Option<f64> {
    Frames::of(clips, judge, &|c| c.condition == Condition::Noise && !babble_bed(c)).share()
}

/// The share of frames taken for speech in long gaps between coarse labels; none without any.
pub(crate) fn in_long_gaps(clips: &[LabelledClip], judge: &Judge) -> Option<f64> {
    let mut frames = Frames::default();
    for clip in clips.iter().filter(|c| c.coarse()) {
        let mut edges = vec![0];
        edges.extend(clip.speech.iter().flat_map(|s| [s.span.start_ms, s.span.end_ms]));
        edges.push(clip.duration_ms());
        let gaps: Vec<Span> = edges
            .chunks_exact(2)
            .filter(|gap| gap[1].saturating_sub(gap[0]) >= LONG_GAP_MS)
            .map(|gap| Span { start_ms: gap[0] + GAP_MARGIN_MS, end_ms: gap[1] - GAP_MARGIN_MS })
            .collect();
        frames.add(clip, &judge.steps[&clip.name], |ms| {
            (within(&gaps, ms) && !within(&clip.uncertain, ms)).then_some(false)
        });
    }
    frames.share()
}

fn within(spans: &[Span], ms: u64) -> bool {
    spans.iter().any(|s| (s.start_ms..s.end_ms).contains(&ms))
}
