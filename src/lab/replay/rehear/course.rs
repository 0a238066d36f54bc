//! A call's audio on its media time line, and the turns that were, or would be, taken in it.

use crate::base::audio::AudioFormat;
use crate::base::time::{CallTime, Samples};
use crate::config::{Shadow, TurnDetection};
use crate::ears::hearing::{Hearing, HearingSettings};
use crate::ears::turn::shadow::Rule;
use crate::ears::turn::{TurnDetector, TurnEvent};
use crate::engine::{Action, CallEvent, Record};
use crate::lab::journal::Journal;
use crate::lab::replay::{Seen, run_through};

/// A longer gap is heard as this much silence, as in a live call.
const LONGEST_FILL_MS: u64 = 10_000;
/// The agent counts as heard for this long beyond its audio: marks and steps come in pieces.
const TAIL_MS: u64 = 100;
/// Around a moment at which the agent could not be interrupted, no setting interrupts it.
const PROTECTED_MS: u64 = 2_000;
/// Agent audio is told to the echo guard this far ahead.
const AHEAD_MS: u64 = 1_000;

/// One call on its media time line.
pub(super) struct Course {
    format: AudioFormat,
    /// The model sent transcripts.
    transcribed: bool,
    /// What the caller said, in order.
    caller: Vec<(Samples, Vec<u8>)>,
    /// What the caller heard, in order.
    agent: Vec<(Samples, Vec<u8>)>,
    /// When the agent had the floor, or would have had it without an interruption: from, to.
    floor: Vec<(Samples, Samples)>,
    /// When an answer was awaited, which is not yet heard.
    awaited: Vec<(Samples, Samples)>,
    /// Moments at which it could not be interrupted.
    protected: Vec<Samples>,
    /// The turns that were taken.
    pub(super) turns: Vec<Turn>,
}

/// A turn. Positions are on the media time line.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Turn {
    /// Where its start was decided.
    pub(super) decided: Samples,
    /// Where the last speech ended, and where that was decided.
    pub(super) ended: Option<(Samples, Samples)>,
    /// Where it interrupted the agent.
    pub(super) interrupted: Option<Samples>,
    /// Where it was left to its words whether it does.
    pub(super) asks_words: Option<Samples>,
}

impl Turn {
    /// Where its end was decided; a turn that the call cut off has none.
    pub(super) fn end(&self) -> Samples {
        self.ended.map_or(Samples(u64::MAX), |(_, decided)| decided)
    }

    pub(super) fn overlaps(&self, other: &Turn) -> bool {
        self.decided <= other.end() && other.decided <= self.end()
    }
}

impl Course {
    /// Runs a call through the engine as it was, and keeps what is needed to hear it again.
    pub(super) fn of(journal: &Journal) -> Course {
        let format = journal.settings.format;
        let rate_hz = format.rate_hz;
        let mut course = Course {
            format,
            transcribed: journal.settings.transcribed,
            caller: Vec::new(),
            agent: Vec::new(),
            floor: Vec::new(),
            awaited: Vec::new(),
            protected: Vec::new(),
            turns: Vec::new(),
        };
        let local = matches!(journal.settings.turn_detection, TurnDetection::Local(_));
        let mut heard = Samples::ZERO;
        let mut events: Vec<(CallTime, Samples, CallEvent)> = Vec::new();
        let engine = run_through(journal, |at, seen| match seen {
            Seen::Heard { media, .. } => heard = media,
            Seen::Action(Action::Record(Record::Caller { at, payload })) => course.caller.push((*at, payload.to_vec())),
            Seen::Action(Action::Record(Record::Agent { at, payload })) => course.agent.push((*at, payload.to_vec())),
            Seen::Action(Action::Emit(event)) => events.push((at, heard, event.clone())),
            _ => {}
        });
        let report = engine.report();
        for (at, payload) in &course.agent {
            course.floor.push((*at, *at + format.samples(payload.len())));
        }
        let (mut held, mut asked) = (None, None);
        for (at, heard, event) in events {
            // Our own decisions are made where a step ends, the model's when we are told.
            let media = if local { heard } else { Samples::from_ms(report.media_of_ms(at.as_ms()), rate_hz) };
            let ms = |ms: u64| Samples::from_ms(ms, rate_hz);
            match event {
                CallEvent::SpeechStarted { .. } => course.turns.push(Turn { decided: media, ..Turn::default() }),
                CallEvent::SpeechStopped { media_ms, .. } => {
                    if let Some(turn) = course.turns.last_mut() {
                        turn.ended = Some((ms(media_ms), media));
                    }
                }
                CallEvent::ResponseAsked { .. } => asked = Some(media),
                CallEvent::AgentStarted { .. } => course.awaited.extend(asked.take().map(|from| (from, media))),
                CallEvent::AgentHeld { .. } => held = Some(media),
                CallEvent::AgentResumed { .. } => course.floor.extend(held.take().map(|from| (from, media))),
                // A response of which there was nothing to hear yet is no agent who speaks.
                CallEvent::BargeIn { heard_ms: 0, unheard_ms: 0, .. } => {}
                CallEvent::BargeIn { unheard_ms, .. } => {
                    // Without the interruption the rest would have been heard.
                    course.floor.push((held.take().unwrap_or(media), media + ms(unheard_ms)));
                    if let Some(turn) = course.turns.last_mut() {
                        turn.interrupted.get_or_insert(media);
                    }
                }
                CallEvent::InterruptionIgnored { rule } if rule == "protected" || rule == "closing" => {
                    course.protected.push(media);
                }
                _ => {}
            }
        }
        course.floor = join(std::mem::take(&mut course.floor), Samples::from_ms(TAIL_MS, rate_hz));
        course
    }

    /// The turns that these ears and settings take.
    pub(super) fn hear(&self, ears: HearingSettings, settings: &Shadow) -> Vec<Turn> {
        let rate_hz = self.format.rate_hz;
        let mut hearing = Hearing::new(ears, self.format);
        let mut detector = TurnDetector::new(&settings.turn, rate_hz);
        let mut rule = Rule::new(settings.interruptions, settings.false_interruptions, self.transcribed, rate_hz);
        let mut turns: Vec<Turn> = Vec::new();
        let mut agent = self.agent.iter().peekable();
        // Where the two time lines part: heard, media.
        let mut breaks = vec![(Samples::ZERO, Samples::ZERO)];
        let (mut expected, mut heard) = (Samples::ZERO, Samples::ZERO);
        let mut silence = Vec::new();
        for (at, payload) in &self.caller {
            let ahead = *at + Samples::from_ms(AHEAD_MS, rate_hz);
            while let Some((at, payload)) = agent.next_if(|(at, _)| *at <= ahead) {
                hearing.played(*at, payload);
            }
            if *at > expected {
                // A stream that begins late has no gap at its beginning.
                let fill = if heard == Samples::ZERO { Samples::ZERO } else { *at - expected };
                let fill = fill.min(Samples::from_ms(LONGEST_FILL_MS, rate_hz));
                silence.clear();
                silence.resize(self.format.bytes(fill), self.format.silence_byte());
                hearing.take(expected, &silence);
                heard += fill;
                breaks.push((heard, *at));
            }
            hearing.take(*at, payload);
            let len = self.format.samples(payload.len());
            (heard, expected) = (heard + len, *at + len);
            while let Some(step) = hearing.poll() {
                let media = |heard: Samples| {
                    let (from, media) = breaks.iter().rfind(|(from, _)| *from <= heard).copied().unwrap_or_default();
                    media + heard.saturating_sub(from)
                };
                let now = media(step.end);
                let event = detector.step(step, self.has_floor(now));
                rule.step(step.end.0, event, self.may_be_interrupted(now));
                match event {
                    Some(TurnEvent::Started { .. }) => turns.push(Turn { decided: now, ..Turn::default() }),
                    Some(TurnEvent::Ended { at, .. }) => {
                        if let Some(turn) = turns.last_mut() {
                            turn.ended = Some((media(at), now));
                        }
                    }
                    _ => {}
                }
                if rule.asks_words()
                    && let Some(turn) = turns.last_mut()
                {
                    turn.asks_words = Some(now);
                }
                if rule.has_interrupted()
                    && let Some(turn) = turns.last_mut()
                {
                    turn.interrupted.get_or_insert(now);
                }
            }
        }
        turns
    }

    /// Whether the agent is heard, or about to be.
    fn has_floor(&self, at: Samples) -> bool {
        is_within(&self.floor, at) || is_within(&self.awaited, at)
    }

    fn may_be_interrupted(&self, at: Samples) -> bool {
        let heard = is_within(&self.floor, at);
        let near = Samples::from_ms(PROTECTED_MS, self.format.rate_hz).0;
        heard && !self.protected.iter().any(|moment| moment.0.abs_diff(at.0) <= near)
    }
}

/// Whether one of these, which are sorted, holds `at`.
fn is_within(parts: &[(Samples, Samples)], at: Samples) -> bool {
    let next = parts.partition_point(|(from, _)| *from <= at);
    next.checked_sub(1).and_then(|i| parts.get(i)).is_some_and(|(_, to)| at <= *to)
}

/// Sorts, and makes one of those that touch or are less than `apart` apart; each ends so much later.
fn join(mut parts: Vec<(Samples, Samples)>, apart: Samples) -> Vec<(Samples, Samples)> {
    parts.sort_unstable();
    let mut joined: Vec<(Samples, Samples)> = Vec::new();
    for (from, to) in parts {
        let to = to + apart;
        match joined.last_mut() {
            Some((_, end)) if from <= *end => *end = (*end).max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}
