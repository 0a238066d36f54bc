//! What a call would hear in audio that we have whole: the server's own ears and turn detector, without a call around
//! them.
//!
//! Everything is heard as the phone brings it: 8 kHz, G.711 μ-law. Audio that came over a phone is not changed by that.

use crate::base::audio::clip::Span;
use crate::base::audio::{AudioFormat, Codec, g711};
use crate::base::time::Samples;
use crate::config::{NoiseReduction, TurnSettings, VadEngine};
use crate::ears::hearing::{Hearing, HearingSettings};
use crate::ears::turn::{TurnDetector, TurnEvent};
use crate::ears::vad::{Probability, Step, step_samples};

/// The line that is listened to.
pub const LINE: AudioFormat = AudioFormat::PHONE;

/// Audio is given to the ears in pieces of this length, as a line brings it.
const FRAME_MS: u64 = 20;

/// Silence that is really listened to after the end, so that the detection comes to rest.
const REST_MS: u64 = 320;

/// Silence after the end in all: more than the longest that a turn may wait for.
const TAIL_MS: u64 = 3_000;

/// Samples beyond this are the agent's voice: its track is silent where nothing was played.
const AGENT_AUDIBLE: u16 = 64;

/// An agent who goes on within this has not given up the floor.
const AGENT_PAUSES_MS: u64 = 700;

/// What was heard in a clip.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// Its length. Steps and decisions go on beyond it: the line is silent after a clip.
    pub length: Samples,
    /// All steps, in order.
    pub steps: Vec<Step>,
    /// What became known, each with the end of the step that decided it.
    pub events: Vec<(Samples, TurnEvent)>,
}

/// Hears samples at the [`LINE`]'s rate by these settings.
pub fn hear(samples: &[i16], settings: &TurnSettings) -> Heard {
    let steps = listen(samples, settings.engine);
    let events = decide(&steps, settings, &[]);
    Heard { length: Samples(samples.len() as u64), steps, events }
}

/// The steps of samples at the [`LINE`]'s rate, and of the silence after them.
pub fn listen(samples: &[i16], engine: VadEngine) -> Vec<Step> {
    listen_beside(samples, None, engine)
}

/// As [`listen`]; with an `agent`, what he says at the same time is taken out of what is heard, as in a call with the
/// echo guard on.
pub fn listen_beside(samples: &[i16], agent: Option<&[i16]>, engine: VadEngine) -> Vec<Step> {
    debug_assert_eq!(LINE.codec, Codec::Pcmu);
    let settings =
        HearingSettings { engine: Some(engine), echo_guard: agent.is_some(), noise_reduction: NoiseReduction::None };
    let mut ears = Hearing::new(settings, LINE);
    let frame = Samples::from_ms(FRAME_MS, LINE.rate_hz).0 as usize;
    let rest = vec![0; Samples::from_ms(REST_MS, LINE.rate_hz).0 as usize];
    let step = step_samples(engine, LINE.rate_hz).0;
    let tail = Samples::from_ms(TAIL_MS, LINE.rate_hz).0;
    let end = samples.len() as u64 + tail;
    let mut steps = Vec::with_capacity((end / step.max(1)) as usize + 1);
    let (mut payload, mut at) = (Vec::with_capacity(frame), 0usize);
    for piece in samples.chunks(frame).chain(rest.chunks(frame)) {
        if let Some(spoken) = agent.and_then(|agent| agent.get(at..agent.len().min(at + piece.len()))) {
            payload.clear();
            g711::encode_ulaw(spoken, &mut payload);
            ears.played(Samples(at as u64), &payload);
        }
        payload.clear();
        g711::encode_ulaw(piece, &mut payload);
        ears.take(Samples(at as u64), &payload);
        at += piece.len();
        while let Some(step) = ears.poll() {
            steps.push(step);
        }
    }
    add_tail(&mut steps, Samples(step), end);
    steps
}

/// Adds steps of silence up to `end`.
fn add_tail(steps: &mut Vec<Step>, step: Samples, end: u64) {
    let heard = steps.last().map_or(0, |step| step.end.0);
    let quiet = |n: u64| Step { end: Samples(heard + n * step.0), ..QUIET };
    steps.extend((1..).map(quiet).take_while(|step| step.end.0 <= end));
}

/// Steps that were heard in a call, with the silence after it that they lack.
pub fn with_tail(mut steps: Vec<Step>, engine: VadEngine) -> Vec<Step> {
    let end = steps.last().map_or(0, |step| step.end.0) + Samples::from_ms(TAIL_MS, LINE.rate_hz).0;
    add_tail(&mut steps, step_samples(engine, LINE.rate_hz), end);
    steps
}

/// The length of what [`with_tail`] was given.
pub fn without_tail(steps: &[Step]) -> Samples {
    let tail = Samples::from_ms(TAIL_MS, LINE.rate_hz);
    steps.last().map_or(Samples::ZERO, |step| step.end.saturating_sub(tail))
}

/// A step in which nothing is heard.
pub const QUIET: Step = Step { end: Samples::ZERO, probability: Probability::from_per_mille(0), level_db: -128 };

/// What becomes known of turns with each step. `floor`: when the agent has the floor, in order and apart.
pub fn decide(steps: &[Step], settings: &TurnSettings, floor: &[Span]) -> Vec<(Samples, TurnEvent)> {
    let mut detector = TurnDetector::new(settings, LINE.rate_hz);
    let mut floor = floor.iter().peekable();
    let mut decide = |step: Step| {
        let ms = step.end.as_ms(LINE.rate_hz);
        while floor.next_if(|span| span.end_ms < ms).is_some() {}
        let agent = floor.peek().is_some_and(|span| span.start_ms < ms);
        Some((step.end, detector.step(step, agent)?))
    };
    steps.iter().filter_map(|&step| decide(step)).collect()
}

/// When an agent who is heard like this has the floor: his pauses belong to it.
pub fn floor(agent: &[i16]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let frame = Samples::from_ms(FRAME_MS, LINE.rate_hz).0 as usize;
    let spoken = |(_, piece): &(u64, &[i16])| piece.iter().any(|sample| sample.unsigned_abs() > AGENT_AUDIBLE);
    for (n, _) in (0..).zip(agent.chunks(frame)).filter(spoken) {
        let (start_ms, end_ms) = (n * FRAME_MS, (n + 1) * FRAME_MS);
        match spans.last_mut().filter(|span| start_ms <= span.end_ms + AGENT_PAUSES_MS) {
            Some(span) => span.end_ms = end_ms,
            None => spans.push(Span { start_ms, end_ms }),
        }
    }
    spans
}

/// The stretches that were taken for speech, pauses left out, as far as `length`.
pub fn segments(events: &[(Samples, TurnEvent)], length: Samples) -> Vec<(Samples, Samples)> {
    let mut segments = Vec::new();
    let mut since = None;
    for (_, event) in events {
        match *event {
            TurnEvent::Started { at } | TurnEvent::Resumed { at } => since = since.or(Some(at)),
            TurnEvent::Paused { at } | TurnEvent::Ended { at, .. } => {
                segments.extend(since.take().map(|since| (since, at)));
            }
        }
    }
    segments.extend(since.map(|since| (since, length)));
    segments.retain(|(from, to)| from < to);
    segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ears::turn::EndRule;

    const ENERGY: TurnSettings = TurnSettings {
        engine: VadEngine::Energy,
        threshold: 0.5,
        hysteresis: 0.15,
        prefix_padding_ms: 300,
        silence_duration_ms: 2_000,
        min_speech_ms: 60,
        max_turn_s: 60,
        level_margin_db: 0,
    };

    fn buzz(ms: u64) -> Vec<i16> {
        (0..ms * 8).map(|i| if i % 40 < 20 { 6_000 } else { -6_000 }).collect()
    }

    #[test]
    fn a_turn_at_the_very_end_is_still_ended() {
        let samples = [vec![0; 4_000], buzz(1_000)].concat();
        let heard = hear(&samples, &ENERGY);
        let (decided, last) = heard.events.last().unwrap();
        assert!(matches!(last, TurnEvent::Ended { rule: EndRule::Silence, .. }), "{last:?}");
        assert!(decided.as_ms(8_000) >= 3_400, "{decided:?}");
        let steps: Vec<u64> = heard.steps.iter().map(|s| s.end.0).collect();
        let step = step_samples(VadEngine::Energy, 8_000).0;
        assert!(steps.windows(2).all(|w| w[1] - w[0] == step) && steps[0] == step);
    }

    #[test]
    fn nothing_is_heard_in_nothing() {
        for samples in [vec![], vec![1]] {
            let heard = hear(&samples, &ENERGY);
            assert!(heard.events.is_empty() && !heard.steps.is_empty());
        }
    }

    #[test]
    fn an_agent_has_the_floor_in_his_pauses() {
        let said = |ms: u64, sample: i16| vec![sample; ms as usize * 8];
        let track = [said(100, 0), said(200, 900), said(500, 3), said(100, -900), said(900, 0), said(30, 900)].concat();
        let spans: Vec<_> = floor(&track).iter().map(|span| (span.start_ms, span.end_ms)).collect();
        assert_eq!(spans, [(100, 900), (1_800, 1_840)]);
    }

    #[test]
    fn segments_are_speech_without_its_pauses() {
        let at = Samples;
        let events = [
            (at(9), TurnEvent::Started { at: at(5) }),
            (at(22), TurnEvent::Paused { at: at(20) }),
            (at(31), TurnEvent::Resumed { at: at(30) }),
            (at(42), TurnEvent::Paused { at: at(40) }),
            (at(60), TurnEvent::Ended { at: at(40), rule: EndRule::Silence }),
            (at(75), TurnEvent::Started { at: at(70) }),
        ];
        assert_eq!(segments(&events, at(80)), [(at(5), at(20)), (at(30), at(40)), (at(70), at(80))]);
    }
}
