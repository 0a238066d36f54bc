//! How well turns were detected: what became known, held against what is true.
//!
//! Everything is in milliseconds of the clip. Events are to come from a detector that was fed silence after the clip
//! until nothing more could be decided: a turn whose end was not waited for counts as missed.

use std::iter::Sum;
use std::ops::AddAssign;

use super::TurnEvent;
use crate::base::audio::clip::Span;
use crate::base::time::Samples;

/// Labels are this exact at best: what is nearer to an edge lies on it.
pub const EDGE_MS: u64 = 50;

/// A start further from any speech than this is false: breaths and handset noise beside speech are labelled as neither.
pub const NEAR_SPEECH_MS: u64 = 100;

/// A caller who begins to speak and is not noticed within this is lost: by then an interruption has failed.
pub const LOST_AFTER_MS: u64 = 500;

/// Where only speech is labelled, what follows this much without any is a start.
pub const ONSET_GAP_MS: u64 = 500;

/// What is truly said in a clip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Stretches of speech, in order, not touching.
    pub speech: Vec<Spoken>,
    /// The caller's turns, in order; none where only speech is known: then ends are not scored.
    pub turns: Vec<TrueTurn>,
    /// Nobody can say what is here: neither edges nor false starts are scored.
    pub uncertain: Vec<Span>,
    /// Sounds that are no speech and may be taken for it.
    pub distractors: Vec<Span>,
}

/// A stretch of speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// From its first sound to the end of its last.
    pub span: Span,
    /// The part of it that can be heard on the line.
    pub audible: Span,
}

/// What a caller says until it is the agent's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrueTurn {
    /// From its first speech to the end of its last.
    pub span: Span,
    /// Where its last speech can be heard to end: delays are counted from here.
    pub audible_end_ms: u64,
}

impl Truth {
    /// Takes speech that is apart by at least `gap_ms` for turns: for clips of which only speech is known.
    pub fn assume_turns(&mut self, gap_ms: u64) {
        self.turns.clear();
        for spoken in &self.speech {
            match self.turns.last_mut().filter(|turn| spoken.span.start_ms < turn.span.end_ms + gap_ms) {
                Some(turn) => {
                    turn.span.end_ms = spoken.span.end_ms;
                    turn.audible_end_ms = spoken.audible.end_ms;
                }
                None => self.turns.push(TrueTurn { span: spoken.span, audible_end_ms: spoken.audible.end_ms }),
            }
        }
    }

    /// Where the caller can first be heard to begin: of each turn, or of speech after [`ONSET_GAP_MS`] without.
    pub fn onsets_ms(&self) -> impl Iterator<Item = u64> + '_ {
        let first_of_turn = |spoken: &Spoken| self.turns.iter().any(|t| t.span.start_ms == spoken.span.start_ms);
        self.speech.iter().enumerate().filter_map(move |(n, spoken)| {
            let after_gap = |before: &Spoken| spoken.span.start_ms >= before.span.end_ms + ONSET_GAP_MS;
            let onset = if self.turns.is_empty() {
                n.checked_sub(1).is_none_or(|before| after_gap(&self.speech[before]))
            } else {
                first_of_turn(spoken)
            };
            (onset && !self.is_uncertain(spoken.audible.start_ms)).then_some(spoken.audible.start_ms)
        })
    }

    fn is_uncertain(&self, at_ms: u64) -> bool {
        self.uncertain.iter().any(|span| near(*span, EDGE_MS, at_ms, at_ms))
    }
}

/// One clip's score. Counts are of what can be scored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClipScore {
    /// True turns.
    pub turns: u64,
    /// Per turn whose end was found: from its last audible sound to the decision.
    pub end_delays_ms: Vec<i64>,
    /// As many: by how much later than true speech was said to have ended.
    pub end_errors_ms: Vec<i64>,
    /// Ends decided while the turn went on, by whatever rule.
    pub cut_offs: u64,
    /// Turns with at least one of them.
    pub turns_cut: u64,
    /// Turns of which no end was decided before the next turn began, neither early nor late.
    pub missed: u64,
    /// True starts.
    pub onsets: u64,
    /// Per start that was found as one: from the first audible sound to the decision; 0 when decided before.
    pub start_latencies_ms: Vec<i64>,
    /// As many: by how much later than true speech was said to have begun.
    pub start_errors_ms: Vec<i64>,
    /// Starts that were not noticed within [`LOST_AFTER_MS`].
    pub lost: u64,
    /// Starts decided where nobody speaks.
    pub false_starts: u64,
    /// Those of them that a known distractor caused.
    pub on_distractors: u64,
    /// Each of the above with its place, in order.
    pub findings: Vec<Finding>,
}

/// Something to see in a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where: of what was decided, the decision; of what was not, the sound.
    pub at_ms: u64,
    /// What.
    pub what: Found,
}

/// What a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The turn's end, so much after its last audible sound.
    End {
        /// Negative within [`EDGE_MS`] before it.
        delay_ms: i64,
    },
    /// An end that is none: the turn goes on for `left_ms`.
    CutOff {
        /// From the decision to the turn's last audible sound.
        left_ms: u64,
    },
    /// Nothing ended the turn that ends here.
    Missed,
    /// A start, so much after the first audible sound.
    Start {
        /// 0 when it was decided before.
        latency_ms: i64,
    },
    /// The caller begins here and was not noticed.
    Lost,
    /// Nobody speaks here.
    FalseStart {
        /// A known distractor is the cause.
        on_distractor: bool,
    },
}

/// Scores what became known: each event with the position of the step that decided it.
pub fn score(truth: &Truth, events: &[(Samples, TurnEvent)], rate_hz: u32) -> ClipScore {
    let mut score = ClipScore::default();
    score.ends(truth, events, rate_hz);
    score.starts(truth, events, rate_hz);
    score.false_starts(truth, events, rate_hz);
    score.findings.sort_by_key(|finding| finding.at_ms);
    score
}

impl ClipScore {
    fn ends(&mut self, truth: &Truth, events: &[(Samples, TurnEvent)], rate_hz: u32) {
        let ends = || {
            events.iter().filter_map(|(decided, event)| match event {
                TurnEvent::Ended { at, .. } => Some((decided.as_ms(rate_hz), at.as_ms(rate_hz))),
                _ => None,
            })
        };
        for (n, turn) in truth.turns.iter().enumerate() {
            let audible_end = turn.audible_end_ms;
            if truth.is_uncertain(audible_end) {
                continue;
            }
            // The end of the turn before may be decided when this one has just begun: what counts is where it ended.
            let begins = if n == 0 { 0 } else { turn.span.start_ms };
            let next = truth.turns.get(n + 1).map_or(u64::MAX, |next| next.span.start_ms);
            let (mut cut, mut found) = (0, false);
            for (decided, at) in ends().filter(|&(decided, at)| (begins..next).contains(&at.min(decided))) {
                if decided < turn.span.start_ms || found {
                    continue;
                }
                if decided + EDGE_MS < audible_end {
                    cut += 1;
                    self.find(decided, Found::CutOff { left_ms: audible_end - decided });
                    continue;
                }
                found = true;
                let delay_ms = difference(decided, audible_end);
                self.end_delays_ms.push(delay_ms);
                self.end_errors_ms.push(difference(at, audible_end));
                self.find(decided, Found::End { delay_ms });
            }
            self.turns += 1;
            self.cut_offs += cut;
            self.turns_cut += u64::from(cut > 0);
            if !found && cut == 0 {
                self.missed += 1;
                self.find(audible_end, Found::Missed);
            }
        }
    }

    fn starts(&mut self, truth: &Truth, events: &[(Samples, TurnEvent)], rate_hz: u32) {
        for onset in truth.onsets_ms() {
            self.onsets += 1;
            match noticed(events, onset, rate_hz) {
                Noticed::No => {
                    self.lost += 1;
                    self.find(onset, Found::Lost);
                }
                Noticed::WithinTurn => {}
                Noticed::Start { decided, at } => {
                    let latency_ms = difference(decided, onset).max(0);
                    self.start_latencies_ms.push(latency_ms);
                    self.start_errors_ms.push(difference(at, onset));
                    self.find(decided, Found::Start { latency_ms });
                }
            }
        }
    }

    fn false_starts(&mut self, truth: &Truth, events: &[(Samples, TurnEvent)], rate_hz: u32) {
        for (decided, event) in events {
            let TurnEvent::Started { at } = event else { continue };
            let (from, to) = (at.as_ms(rate_hz), decided.as_ms(rate_hz));
            let speech = truth.speech.iter().any(|s| near(s.span, NEAR_SPEECH_MS, from, to));
            if speech || truth.uncertain.iter().any(|span| near(*span, NEAR_SPEECH_MS, from, to)) {
                continue;
            }
            let on_distractor = truth.distractors.iter().any(|span| near(*span, NEAR_SPEECH_MS, from, to));
            self.false_starts += 1;
            self.on_distractors += u64::from(on_distractor);
            self.find(to, Found::FalseStart { on_distractor });
        }
    }

    fn find(&mut self, at_ms: u64, what: Found) {
        self.findings.push(Finding { at_ms, what });
    }
}

/// Many clips' scores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Clips.
    pub clips: u64,
    /// See [`ClipScore::turns`].
    pub turns: u64,
    /// See [`ClipScore::cut_offs`].
    pub cut_offs: u64,
    /// See [`ClipScore::turns_cut`].
    pub turns_cut: u64,
    /// See [`ClipScore::missed`].
    pub missed: u64,
    /// See [`ClipScore::onsets`].
    pub onsets: u64,
    /// See [`ClipScore::lost`].
    pub lost: u64,
    /// See [`ClipScore::false_starts`].
    pub false_starts: u64,
    /// See [`ClipScore::on_distractors`].
    pub on_distractors: u64,
    /// See [`ClipScore::end_delays_ms`].
    pub end_delays_ms: Vec<i64>,
    /// See [`ClipScore::end_errors_ms`].
    pub end_errors_ms: Vec<i64>,
    /// See [`ClipScore::start_latencies_ms`].
    pub start_latencies_ms: Vec<i64>,
    /// See [`ClipScore::start_errors_ms`].
    pub start_errors_ms: Vec<i64>,
}

impl AddAssign<&ClipScore> for Summary {
    fn add_assign(&mut self, clip: &ClipScore) {
        self.clips += 1;
        self.turns += clip.turns;
        self.cut_offs += clip.cut_offs;
        self.turns_cut += clip.turns_cut;
        self.missed += clip.missed;
        self.onsets += clip.onsets;
        self.lost += clip.lost;
        self.false_starts += clip.false_starts;
        self.on_distractors += clip.on_distractors;
        self.end_delays_ms.extend_from_slice(&clip.end_delays_ms);
        self.end_errors_ms.extend_from_slice(&clip.end_errors_ms);
        self.start_latencies_ms.extend_from_slice(&clip.start_latencies_ms);
        self.start_errors_ms.extend_from_slice(&clip.start_errors_ms);
    }
}

impl<'a> Sum<&'a ClipScore> for Summary {
    fn sum<I: Iterator<Item = &'a ClipScore>>(clips: I) -> Summary {
        let mut summary = Summary::default();
        clips.for_each(|clip| summary += clip);
        summary
    }
}

/// The value that `percent` of all do not exceed (nearest rank): 50 is the median, 100 the largest. `None` of none.
pub fn percentile(values: &[i64], percent: f64) -> Option<i64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied()
}

enum Noticed {
    No,
    /// Speech was being heard already, or went on in a turn that had not been ended.
    WithinTurn,
    Start {
        decided: u64,
        at: u64,
    },
}

/// Whether and how the caller who begins at `onset` was noticed: by the first stretch taken for speech that lasts beyond
/// the onset.
fn noticed(events: &[(Samples, TurnEvent)], onset: u64, rate_hz: u32) -> Noticed {
    let mut heard = None;
    for (decided, event) in events {
        let decided = decided.as_ms(rate_hz);
        if decided > onset
            && let Some(noticed) = heard.take()
        {
            return noticed;
        }
        if decided > onset + LOST_AFTER_MS {
            return Noticed::No;
        }
        heard = match event {
            TurnEvent::Started { at } if decided + NEAR_SPEECH_MS >= onset => {
                Some(Noticed::Start { decided, at: at.as_ms(rate_hz) })
            }
            TurnEvent::Started { .. } | TurnEvent::Resumed { .. } => Some(Noticed::WithinTurn),
            TurnEvent::Paused { .. } | TurnEvent::Ended { .. } => None,
        };
    }
    heard.unwrap_or(Noticed::No)
}

/// Whether `from..=to` comes within `margin` of the span.
fn near(span: Span, margin: u64, from: u64, to: u64) -> bool {
    from <= span.end_ms + margin && to + margin >= span.start_ms
}

fn difference(a: u64, b: u64) -> i64 {
    a as i64 - b as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ears::turn::EndRule;

    const RATE_HZ: u32 = 8_000;

    fn span(start_ms: u64, end_ms: u64) -> Span {
        Span { start_ms, end_ms }
    }

    /// Two turns, 1000-3000 with a pause at 1800-2100, and 5000-6000; a cough at 4000.
    fn truth() -> Truth {
        let spoken = |start, end| Spoken { span: span(start, end), audible: span(start + 20, end - 30) };
        Truth {
            speech: vec![spoken(1_000, 1_800), spoken(2_100, 3_000), spoken(5_000, 6_000)],
            turns: vec![
                TrueTurn { span: span(1_000, 3_000), audible_end_ms: 2_970 },
                TrueTurn { span: span(5_000, 6_000), audible_end_ms: 5_970 },
            ],
            uncertain: vec![],
            distractors: vec![span(4_000, 4_400)],
        }
    }

    fn at(ms: u64) -> Samples {
        Samples::from_ms(ms, RATE_HZ)
    }

    fn start(decided: u64, began: u64) -> (Samples, TurnEvent) {
        (at(decided), TurnEvent::Started { at: at(began) })
    }

    fn end(decided: u64, ended: u64) -> (Samples, TurnEvent) {
        (at(decided), TurnEvent::Ended { at: at(ended), rule: EndRule::Silence })
    }

    fn pause(decided: u64, stopped: u64) -> (Samples, TurnEvent) {
        (at(decided), TurnEvent::Paused { at: at(stopped) })
    }

    fn resume(decided: u64, went_on: u64) -> (Samples, TurnEvent) {
        (at(decided), TurnEvent::Resumed { at: at(went_on) })
    }

    #[test]
    fn what_was_found_is_measured_from_what_can_be_heard() {
        let events = [start(1_080, 1_010), end(3_180, 2_980), start(5_100, 5_030), end(6_170, 5_960)];
        let score = score(&truth(), &events, RATE_HZ);
        assert_eq!((score.turns, score.cut_offs, score.missed), (2, 0, 0));
        assert_eq!(score.end_delays_ms, [210, 200]);
        assert_eq!(score.end_errors_ms, [10, -10]);
        assert_eq!((score.onsets, score.lost, score.false_starts), (2, 0, 0));
        assert_eq!(score.start_latencies_ms, [60, 80]);
        assert_eq!(score.start_errors_ms, [-10, 10]);
        assert_eq!(score.findings[1], Finding { at_ms: 3_180, what: Found::End { delay_ms: 210 } });
    }

    #[test]
    fn an_end_before_the_rest_of_a_turn_is_a_cut_off_and_the_true_end_is_found_all_the_same() {
        let events = [start(1_080, 1_010), end(2_000, 1_790), start(2_180, 2_110), end(3_200, 2_980)];
        let score = score(&truth(), &events, RATE_HZ);
        assert_eq!((score.cut_offs, score.turns_cut), (1, 1));
        assert_eq!(score.end_delays_ms, [230]);
        assert_eq!(score.missed, 1, "of the second turn nothing was found");
        assert_eq!(score.lost, 1);
        assert_eq!(score.false_starts, 0, "there is speech, if no start of a turn");
        assert!(score.findings.contains(&Finding { at_ms: 2_000, what: Found::CutOff { left_ms: 970 } }));
    }

    #[test]
    fn turns_run_together_are_missed_and_the_caller_was_noticed() {
        let events = [start(1_080, 1_010), pause(3_050, 2_980), resume(5_090, 5_030), end(6_170, 5_960)];
        let score = score(&truth(), &events, RATE_HZ);
        assert_eq!((score.missed, score.lost), (1, 0));
        assert_eq!(score.end_delays_ms, [200]);
        assert_eq!(score.start_latencies_ms, [60], "the second start was none");
    }

    #[test]
    fn the_end_of_a_turn_may_be_decided_when_the_next_has_just_begun() {
        let events = [start(1_080, 1_010), end(5_020, 2_980), start(5_100, 5_030), end(6_170, 5_960)];
        let score = score(&truth(), &events, RATE_HZ);
        assert_eq!((score.cut_offs, score.missed), (0, 0));
        assert_eq!(score.end_delays_ms, [2_050, 200]);
    }

    #[test]
    fn starts_where_nobody_speaks_are_false() {
        let events = [start(300, 200), end(600, 400), start(4_100, 4_020), end(4_600, 4_400)];
        let found = score(&truth(), &events, RATE_HZ);
        assert_eq!((found.false_starts, found.on_distractors, found.lost), (2, 1, 2));
        let unsure = Truth { uncertain: vec![span(150, 500)], ..truth() };
        assert_eq!(score(&unsure, &events, RATE_HZ).false_starts, 1);
    }

    #[test]
    fn a_caller_noticed_too_late_is_lost() {
        let late = [start(1_600, 1_010), end(3_180, 2_980), start(5_400, 5_030), end(6_170, 5_960)];
        let score = score(&truth(), &late, RATE_HZ);
        assert_eq!((score.lost, score.start_latencies_ms), (1, vec![380]));
    }

    #[test]
    fn a_false_start_that_runs_into_the_caller_is_no_latency() {
        let early = [start(400, 300), end(3_180, 2_980), start(4_980, 4_900), end(6_170, 5_960)];
        let score = score(&truth(), &early, RATE_HZ);
        assert_eq!((score.lost, score.start_latencies_ms), (0, vec![0]));
    }

    #[test]
    fn without_turns_only_starts_are_scored_or_long_silences_make_turns() {
        let mut speech = Truth { turns: vec![], ..truth() };
        assert_eq!(speech.onsets_ms().collect::<Vec<_>>(), [1_020, 5_020]);
        assert_eq!(score(&speech, &[end(2_000, 1_790)], RATE_HZ).turns, 0);
        speech.assume_turns(500);
        assert_eq!(speech.turns, truth().turns);
        speech.assume_turns(300);
        assert_eq!(speech.turns.len(), 3);
    }

    #[test]
    fn edges_where_nobody_can_tell_are_left_out() {
        let unsure = Truth { uncertain: vec![span(2_900, 3_100), span(4_990, 5_200)], ..truth() };
        let score = score(&unsure, &[], RATE_HZ);
        assert_eq!((score.turns, score.missed, score.onsets, score.lost), (1, 1, 1, 1));
    }

    #[test]
    fn clips_add_up() {
        let events = [start(1_080, 1_010), end(3_180, 2_980)];
        let clip = score(&truth(), &events, RATE_HZ);
        let summary: Summary = [&clip, &clip].into_iter().sum();
        assert_eq!((summary.clips, summary.turns, summary.missed, summary.lost), (2, 4, 2, 2));
        assert_eq!(percentile(&summary.end_delays_ms, 50.0), Some(210));
        assert_eq!(percentile(&[3, 1, 2, 4], 50.0), Some(2));
        assert_eq!(percentile(&[3, 1, 2, 4], 100.0), Some(4));
        assert_eq!(percentile(&[3, 1, 2, 4], 0.0), Some(1));
        assert_eq!(percentile(&[], 50.0), None);
    }
}
