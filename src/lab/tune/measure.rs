//! One configuration on many clips.

use serde::Serialize;

use super::corpus::LabelledClip;
use super::run::{LINE, decide, listen_beside, without_tail};
use super::words::FindingView;
use crate::base::audio::clip::Span;
use crate::base::time::Samples;
use crate::config::{FalseInterruptions, TurnSettings, VadEngine};
use crate::ears::turn::score::{ClipScore, Spoken, Summary, TrueTurn, Truth, percentile, score};
use crate::ears::turn::shadow::CLICK_MS;
use crate::ears::turn::{TurnDetector, TurnEvent};
use crate::ears::vad::Step;

/// Speech that is labelled without turns is taken for turns where it is apart by this much.
pub const TURN_GAP_MS: u64 = 1_000;

/// A clip with what is true of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What people call it.
    pub name: String,
    /// At the line's rate.
    pub samples: Vec<i16>,
    /// What the agent says at the same time, in a recorded call.
    pub agent: Option<Vec<i16>>,
    /// When the agent had the floor, as far as it is known, in order and apart.
    pub floor: Vec<Span>,
    /// What the server heard in a call, step by step, where its journal has that.
    pub kept: Option<Kept>,
    /// What is true of it.
    pub truth: Truth,
    /// How the truth is known.
    pub source: Source,
}

/// The steps of a call as they were in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// By this engine.
    pub engine: VadEngine,
    /// In order, with silence after the end.
    pub steps: Vec<Step>,
}

/// How the truth about a clip is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Turns are labelled.
    Labelled,
    /// Speech is labelled, and turns are where it is apart.
    TurnsAssumed,
    /// Speech is labelled coarsely: it tells false starts and no more.
    Coarse,
    /// Nothing is labelled: all was found with hindsight.
    Hindsight,
}

impl Case {
    /// From a labelled clip.
    pub fn new(clip: LabelledClip) -> Case {
        let mut truth = Truth {
            speech: clip.speech.iter().map(|s| Spoken { span: s.span, audible: s.audible }).collect(),
            turns: clip.turns.iter().map(|t| TrueTurn { span: t.span, audible_end_ms: t.audible_end_ms }).collect(),
            uncertain: clip.uncertain.clone(),
            distractors: clip.distractors.iter().map(|d| Span { start_ms: d.start_ms, end_ms: d.end_ms }).collect(),
        };
        let source = if clip.coarse() {
            truth.turns.clear();
            let around =
                |ms: u64| Span { start_ms: ms.saturating_sub(clip.tolerance_ms), end_ms: ms + clip.tolerance_ms };
            let edges = truth.speech.iter().flat_map(|s| [around(s.span.start_ms), around(s.span.end_ms)]);
            truth.uncertain.extend(edges.collect::<Vec<_>>());
            Source::Coarse
        } else if truth.turns.is_empty() && !truth.speech.is_empty() {
            truth.assume_turns(TURN_GAP_MS);
            Source::TurnsAssumed
        } else {
            Source::Labelled
        };
        Case { name: clip.name, samples: clip.samples, agent: None, floor: Vec::new(), kept: None, truth, source }
    }

    /// Its length.
    pub fn duration_ms(&self) -> u64 {
        self.length().as_ms(LINE.rate_hz)
    }

    /// Its length.
    pub fn length(&self) -> Samples {
        match &self.kept {
            Some(kept) if self.samples.is_empty() => without_tail(&kept.steps),
            _ => Samples(self.samples.len() as u64),
        }
    }

    /// Whether this engine can be tried: without audio, only the one whose steps were kept can.
    pub fn can_hear(&self, engine: VadEngine) -> bool {
        !self.samples.is_empty() || self.kept.as_ref().is_none_or(|kept| kept.engine == engine)
    }

    /// Its steps by this engine: as they were in the call where that is known.
    pub fn listen(&self, engine: VadEngine) -> Vec<Step> {
        match &self.kept {
            Some(kept) if kept.engine == engine => kept.steps.clone(),
            _ => listen_beside(&self.samples, self.agent.as_deref(), engine),
        }
    }

    /// Scores a configuration on steps of this clip.
    pub fn score(&self, steps: &[Step], settings: &TurnSettings) -> ClipScore {
        score(&self.truth, &decide(steps, settings, &self.floor), LINE.rate_hz)
    }
}

/// How one configuration hears all clips.
#[derive(Clone, Debug)]
pub struct Measured {
    /// By these settings.
    pub settings: TurnSettings,
    /// One per clip, in order.
    pub scores: Vec<ClipScore>,
    /// All of them.
    pub total: Summary,
    /// Speech in each turn that was heard, pauses left out, in ms.
    pub voiced_ms: Vec<u64>,
}

/// Hears all clips by one configuration.
pub fn measure(cases: &[Case], settings: &TurnSettings) -> Measured {
    let steps: Vec<Vec<Step>> = cases.iter().map(|case| case.listen(settings.engine)).collect();
    Measured::new(cases, &steps.iter().map(Vec::as_slice).collect::<Vec<_>>(), settings)
}

impl Measured {
    /// From the steps of each clip by the settings' engine.
    pub fn new(cases: &[Case], steps: &[&[Step]], settings: &TurnSettings) -> Measured {
        let scores: Vec<ClipScore> = cases.iter().zip(steps).map(|(case, steps)| case.score(steps, settings)).collect();
        let voiced_ms = steps.iter().flat_map(|steps| voiced_ms(steps, settings)).collect();
        Measured { settings: settings.clone(), total: scores.iter().sum(), scores, voiced_ms }
    }

    /// Of the turns that were heard, had they been said over an agent: how many would have interrupted by their length, how many
    /// would have been left to their words, and how many are too short for one.
    pub fn over_agent(&self, unless: FalseInterruptions) -> [usize; 3] {
        let mut counts = [0; 3];
        for ms in &self.voiced_ms {
            let class = if *ms >= u64::from(unless.shorter_than_ms) { 0 } else { 1 + usize::from(*ms < CLICK_MS) };
            counts[class] += 1;
        }
        counts
    }
}

/// Speech in each turn, pauses left out.
fn voiced_ms(steps: &[Step], settings: &TurnSettings) -> Vec<u64> {
    let mut detector = TurnDetector::new(settings, LINE.rate_hz);
    let ended = |step: &Step| {
        let event = detector.step(*step, false);
        matches!(event, Some(TurnEvent::Ended { .. })).then(|| detector.voiced().as_ms(LINE.rate_hz))
    };
    steps.iter().filter_map(ended).collect()
}

/// A score in numbers, for programs and tables.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Numbers {
    /// True turns whose end can be scored.
    pub turns: u64,
    /// Delay of turn ends: the median. `None`: no end was found.
    pub delay_ms: Option<i64>,
    /// Nine of ten are not later.
    pub delay_p90_ms: Option<i64>,
    /// 99 of 100 are not later.
    pub delay_p99_ms: Option<i64>,
    /// Ends decided while the turn went on.
    pub cut_offs: u64,
    /// Turns with at least one of them.
    pub turns_cut: u64,
    /// Turns whose end was not found.
    pub missed: u64,
    /// Starts where nobody spoke.
    pub false_starts: u64,
    /// Those of them that a known other sound caused.
    pub on_distractors: u64,
    /// True starts of the caller.
    pub starts: u64,
    /// Those not noticed soon enough to stop the agent.
    pub lost: u64,
    /// From the first audible sound to the confirmed start: the median.
    pub start_ms: Option<i64>,
}

impl From<&Summary> for Numbers {
    fn from(s: &Summary) -> Self {
        let delay = |percent| percentile(&s.end_delays_ms, percent);
        Numbers {
            turns: s.turns,
            delay_ms: delay(50.0),
            delay_p90_ms: delay(90.0),
            delay_p99_ms: delay(99.0),
            cut_offs: s.cut_offs,
            turns_cut: s.turns_cut,
            missed: s.missed,
            false_starts: s.false_starts,
            on_distractors: s.on_distractors,
            starts: s.onsets,
            lost: s.lost,
            start_ms: percentile(&s.start_latencies_ms, 50.0),
        }
    }
}

impl From<&ClipScore> for Numbers {
    fn from(score: &ClipScore) -> Self {
        let mut summary = Summary::default();
        summary += score;
        Numbers::from(&summary)
    }
}

/// One clip of a [`Measured`], for programs.
#[derive(Clone, Debug, Serialize)]
pub struct ClipView<'a> {
    /// The clip.
    pub clip: &'a str,
    /// Its length.
    pub duration_ms: u64,
    /// How the truth is known.
    pub truth: Source,
    /// Its score.
    #[serde(flatten)]
    pub numbers: Numbers,
    /// Every end, start and mistake, in order.
    pub findings: Vec<FindingView>,
}

impl Measured {
    /// Clip by clip, for programs.
    pub fn views<'a>(&'a self, cases: &'a [Case]) -> Vec<ClipView<'a>> {
        let view = |(case, score): (&'a Case, &'a ClipScore)| ClipView {
            clip: &case.name,
            duration_ms: case.duration_ms(),
            truth: case.source,
            numbers: Numbers::from(score),
            findings: score.findings.iter().map(FindingView::new).collect(),
        };
        cases.iter().zip(&self.scores).map(view).collect()
    }
}
