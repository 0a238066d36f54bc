//! The ears and the turn detection of a call, as they are by default.

use offhook::base::audio::{AudioFormat, g711};
use offhook::base::time::Samples;
use offhook::config::{NoiseReduction, TurnSettings};
use offhook::ears::hearing::{Hearing, HearingSettings};
use offhook::ears::turn::{TurnDetector, TurnEvent};

use super::mixes::{Mix, RATE_HZ};

/// What the call made of a mix.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Where speech was known to have begun: there the line is cleared.
    pub held: Vec<usize>,
    /// Where it had lasted long enough to be an interruption for good. In a call, an echo ends when the line is cleared:
    /// these are at most as many there.
    pub last: Vec<usize>,
}

/// Runs the call: the mix, or without the agent its clean track.
pub(crate) fn call(mix: &Mix, guarded: bool, clean: bool) -> Heard {
    let turn = TurnSettings::default();
    let settings =
        HearingSettings { engine: Some(turn.engine), echo_guard: guarded, noise_reduction: NoiseReduction::None };
    let mut hearing = Hearing::new(settings, AudioFormat::PHONE);
    let mut detector = TurnDetector::new(&turn, RATE_HZ as u32);
    let mut told = mix.far.iter().filter(|_| !clean).peekable();
    let (mut heard, mut payload, mut certain) = (Heard::default(), Vec::new(), false);
    for (i, frame) in if clean { &mix.clean } else { &mix.near }.chunks(FRAME).enumerate() {
        while let Some(told) = told.next_if(|told| told.when <= i * FRAME) {
            payload.clear();
            g711::encode_ulaw(&told.samples, &mut payload);
            hearing.played(Samples(told.at as u64), &payload);
        }
        payload.clear();
        g711::encode_ulaw(frame, &mut payload);
        hearing.take(Samples((i * FRAME) as u64), &payload);
        while let Some(step) = hearing.poll() {
            if let Some(TurnEvent::Started { .. }) = detector.step(step, true) {
                heard.held.push(step.end.0 as usize);
                certain = false;
            }
            if detector.is_speaking() && !certain && detector.voiced().as_ms(RATE_HZ as u32) >= INTERRUPTION_MS {
                heard.last.push(step.end.0 as usize);
                certain = true;
            }
        }
    }
    heard
}

/// Speech that is an interruption for good, as the call's settings have it by default.
const INTERRUPTION_MS: u64 = 700;

/// Samples in a message of the line.
const FRAME: usize = 160;
