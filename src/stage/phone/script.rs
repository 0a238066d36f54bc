//! What a caller does, step by step, and its execution in slots of 20 ms. No clock: the slots are counted.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::audio::g711::linear_to_ulaw;
use crate::base::time::Samples;
use crate::stage::phone::ears::Ears;
use crate::stage::phone::report::What;

/// Bytes of μ-law in a slot of 20 ms.
pub const SLOT_BYTES: usize = 160;
/// Milliseconds in a slot.
pub const SLOT_MS: u64 = 20;

/// Something to say.
#[derive(Clone, Debug)]
pub struct Clip {
    /// Named in events.
    pub label: String,
    /// μ-law at 8 kHz.
    pub audio: Arc<[u8]>,
    /// Where in it turns begin and end, as places in `audio`, in order; for a [`Meter`](crate::stage::phone::Meter).
    pub landmarks: Arc<[(usize, Landmark)]>,
}

/// Something worth measuring from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landmark {
    /// The first sample of speech.
    SpeechBegins,
    /// The last sample of speech of a turn.
    TurnEnds,
}

impl Clip {
    /// μ-law audio without landmarks.
    pub fn new(label: impl Into<String>, audio: impl Into<Arc<[u8]>>) -> Self {
        Clip { label: label.into(), audio: audio.into(), landmarks: Arc::default() }
    }

    /// From linear samples at 8 kHz.
    pub fn from_linear(label: impl Into<String>, samples: &[i16]) -> Self {
        Clip::new(label, samples.iter().map(|&s| linear_to_ulaw(s)).collect::<Arc<[u8]>>())
    }
}

/// One thing that the caller does. A script that runs out of steps hangs up.
#[derive(Clone, Debug)]
pub enum Step {
    /// Say a clip.
    Say(Clip),
    /// Keep silent for this many milliseconds.
    Silence(u64),
    /// Listen until the agent has been silent for `for_ms`, counted from this step's beginning; at most `max_ms`.
    WaitAgentSilent {
        /// Milliseconds of silence.
        for_ms: u64,
        /// Milliseconds to wait at most.
        max_ms: u64,
    },
    /// Listen until the agent has been audible for `after_ms` (then cut in); at most `max_ms`.
    WaitAgentSpeaking {
        /// Milliseconds of speech.
        after_ms: u64,
        /// Milliseconds to wait at most.
        max_ms: u64,
    },
    /// Press a key.
    Press(char),
    /// Send a text frame as it is; `{streamSid}`, `{callSid}` and `{accountSid}` are filled in.
    Raw(String),
    /// Send a binary frame.
    RawBinary(Vec<u8>),
    /// Send the `start` message once more.
    StartAgain,
    /// Send nothing for this long: the media time goes on, the messages do not.
    SkipMedia(u64),
    /// Send each of the next so many audio messages twice.
    Duplicate(u32),
    /// Send the next so many (at most 500) audio messages in reverse order, when the last of them is due.
    Reorder(u32),
    /// Read nothing from the socket for this long; the script goes on meanwhile.
    StopReading(u64),
    /// Vanish: the socket is dropped without a close.
    Die,
    /// The media socket breaks, and the caller is still there: the carrier goes on with the call as its document says.
    Break,
    /// Hang up.
    HangUp,
    /// Listen until the call ends; hang up after `max_ms`.
    WaitEnd {
        /// Milliseconds to wait at most.
        max_ms: u64,
    },
}

/// What a slot asks of the socket.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// The slot's audio.
    Media([u8; SLOT_BYTES]),
    /// The slot has no audio.
    Skip,
    /// A key.
    Dtmf(char),
    /// A text frame.
    Raw(String),
    /// A binary frame.
    RawBinary(Vec<u8>),
    /// The start again.
    StartAgain,
    /// The next audio messages go out twice.
    Duplicate(u32),
    /// The next audio messages go out reversed.
    Reorder(u32),
    /// No reading for this many milliseconds.
    StopReading(u64),
    /// For the live events.
    Note(What),
    /// The slot's audio has this in it.
    Landmark(Landmark),
    /// Drop the socket. Nothing follows.
    Die,
    /// Drop the socket, and go on with the call. Nothing follows on it.
    Break,
    /// End the call. Nothing follows.
    HangUp,
}

/// A script being carried out.
#[derive(Debug)]
pub struct Runner {
    steps: VecDeque<Step>,
    /// When the current step began; `None`: it has not.
    since: Option<Samples>,
    /// Bytes of the current clip that were said.
    said: usize,
    noise: Noise,
    over: bool,
}

impl Runner {
    /// A script, and the line noise that stands for silence: its level in dBFS (`None`: digital silence) and its seed.
    pub fn new(steps: Vec<Step>, noise_dbfs: Option<f32>, seed: u64) -> Self {
        Runner { steps: steps.into(), since: None, said: 0, noise: Noise::new(noise_dbfs, seed), over: false }
    }

    /// What to do in the slot that begins at `now`. Ends with exactly one of `Media`, `Skip`, `Die`, `Break` and `HangUp`; after the
    /// last two there is nothing more.
    pub fn slot(&mut self, now: Samples, ears: &Ears, acts: &mut Vec<Act>) {
        while !self.over {
            let Some(step) = self.steps.front_mut() else {
                self.over = true;
                acts.push(Act::HangUp);
                return;
            };
            let begins = self.since.is_none();
            let since = *self.since.get_or_insert(now);
            let waited = now.saturating_sub(since).as_ms(8_000);
            let audio = match step {
                Step::Say(clip) => {
                    if begins {
                        acts.push(Act::Note(What::Says(clip.label.clone())));
                    }
                    let rest = &clip.audio[self.said..];
                    if rest.is_empty() {
                        acts.push(Act::Note(What::Said(std::mem::take(&mut clip.label))));
                        self.said = 0;
                        None
                    } else {
                        let mut frame = self.noise.slot();
                        let take = rest.len().min(SLOT_BYTES);
                        frame[..take].copy_from_slice(&rest[..take]);
                        let here = self.said..self.said + take;
                        let marks = clip.landmarks.iter().filter(|(at, _)| here.contains(at));
                        acts.extend(marks.map(|(_, mark)| Act::Landmark(*mark)));
                        self.said += take;
                        Some(Act::Media(frame))
                    }
                }
                Step::Silence(ms) => (waited < *ms).then(|| Act::Media(self.noise.slot())),
                Step::SkipMedia(ms) => (waited < *ms).then_some(Act::Skip),
                Step::WaitAgentSilent { for_ms, max_ms } => {
                    let met = ears.silent_ms(now, since) >= *for_ms;
                    self.noise.wait(met, waited >= *max_ms, "the agent to fall silent", acts)
                }
                Step::WaitAgentSpeaking { after_ms, max_ms } => {
                    let met = ears.speaking_ms(now).is_some_and(|ms| ms >= *after_ms);
                    self.noise.wait(met, waited >= *max_ms, "the agent to speak", acts)
                }
                Step::WaitEnd { max_ms } => {
                    let audio = self.noise.wait(false, waited >= *max_ms, "the call to end", acts);
                    if audio.is_none() {
                        self.steps.clear();
                        continue;
                    }
                    audio
                }
                Step::HangUp | Step::Die | Step::Break => {
                    self.over = true;
                    acts.push(match step {
                        Step::Die => Act::Die,
                        Step::Break => Act::Break,
                        _ => Act::HangUp,
                    });
                    return;
                }
                Step::Press(key) => Self::at_once(acts, Act::Dtmf(*key)),
                Step::Raw(text) => Self::at_once(acts, Act::Raw(std::mem::take(text))),
                Step::RawBinary(bytes) => Self::at_once(acts, Act::RawBinary(std::mem::take(bytes))),
                Step::StartAgain => Self::at_once(acts, Act::StartAgain),
                Step::Duplicate(frames) => Self::at_once(acts, Act::Duplicate(*frames)),
                Step::Reorder(frames) => Self::at_once(acts, Act::Reorder((*frames).min(500))),
                Step::StopReading(ms) => Self::at_once(acts, Act::StopReading(*ms)),
            };
            match audio {
                Some(act) => {
                    acts.push(act);
                    return;
                }
                None => {
                    self.steps.pop_front();
                    self.since = None;
                }
            }
        }
    }

    fn at_once(acts: &mut Vec<Act>, act: Act) -> Option<Act> {
        acts.push(act);
        None
    }
}

/// Comfort noise from a seed (xorshift64*), so that a call can be repeated to the byte.
#[derive(Debug)]
struct Noise {
    state: u64,
    /// Largest magnitude; 0: digital silence.
    peak: i32,
}

impl Noise {
    fn new(dbfs: Option<f32>, seed: u64) -> Self {
        // Evenly distributed noise has a peak of √3 times its RMS.
        let peak = dbfs.map_or(0.0, |db| crate::base::audio::level::from_dbfs(db.min(-10.0)) * 3f32.sqrt());
        Noise { state: seed ^ 0x9E37_79B9_7F4A_7C15 | 1, peak: peak as i32 }
    }

    fn slot(&mut self) -> [u8; SLOT_BYTES] {
        let mut frame = [0xFF; SLOT_BYTES];
        if self.peak > 0 {
            for code in &mut frame {
                self.state ^= self.state >> 12;
                self.state ^= self.state << 25;
                self.state ^= self.state >> 27;
                let random = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
                let sample = (random % (2 * self.peak as u64 + 1)) as i32 - self.peak;
                *code = linear_to_ulaw(sample as i16);
            }
        }
        frame
    }

    fn wait(&mut self, met: bool, late: bool, what: &'static str, acts: &mut Vec<Act>) -> Option<Act> {
        if !met && late {
            acts.push(Act::Note(What::GaveUp(what)));
        }
        (!met && !late).then(|| Act::Media(self.slot()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_slot(slot: u64) -> Samples {
        Samples(slot * SLOT_BYTES as u64)
    }

    /// Runs the script against ears that hear `audio(slot)`, until it is over, as one letter per act.
    fn run(steps: Vec<Step>, loud: impl Fn(u64) -> bool) -> String {
        let mut runner = Runner::new(steps, None, 1);
        let (mut ears, mut trace, mut acts) = (Ears::default(), String::new(), Vec::new());
        for slot in 0..10_000 {
            runner.slot(at_slot(slot), &ears, &mut acts);
            for act in acts.drain(..) {
                trace.push(match act {
                    Act::Media(frame) if frame == [0xFF; SLOT_BYTES] => '.',
                    Act::Media(_) => 'm',
                    Act::Skip => '_',
                    Act::Note(What::Says(_)) => '<',
                    Act::Note(What::Said(_)) => '>',
                    Act::Note(What::GaveUp(_)) => '?',
                    Act::Note(_) => 'n',
                    Act::Die | Act::Break => '!',
                    Act::HangUp => '$',
                    _ => 'x',
                });
            }
            if trace.ends_with(['$', '!']) {
                runner.slot(at_slot(slot + 1), &ears, &mut acts);
                assert!(acts.is_empty(), "nothing follows the end");
                return trace;
            }
            ears.hear(at_slot(slot), &[if loud(slot) { 0x00 } else { 0xFF }; SLOT_BYTES]);
        }
        panic!("endless: {trace:.200}");
    }

    fn clip(bytes: usize) -> Step {
        Step::Say(Clip::new("c", vec![0x20; bytes]))
    }

    #[test]
    fn clips_silences_and_gaps_fill_their_slots() {
        assert_eq!(
            run(vec![clip(400), Step::Silence(60), Step::SkipMedia(40), Step::Press('1')], |_| false),
            "<mmm>...__x$"
        );
        assert_eq!(run(vec![clip(0), Step::Raw("x".into()), Step::Die, Step::Silence(20)], |_| false), "<>x!");
    }

    #[test]
    fn waiting_for_the_agent_is_by_ear_and_has_a_limit() {
        // Loud in slots 5 to 14: 100 ms of it are over when slot 10 begins.
        let loud = |slot| (5..15).contains(&slot);
        let speaking = Step::WaitAgentSpeaking { after_ms: 100, max_ms: 1_000 };
        assert_eq!(run(vec![speaking], loud), "..........$");
        let silent = Step::WaitAgentSilent { for_ms: 120, max_ms: 10_000 };
        assert_eq!(run(vec![Step::Silence(140), silent], loud).len(), 15 + 6 + 1);
        let never = Step::WaitAgentSpeaking { after_ms: 0, max_ms: 60 };
        assert_eq!(run(vec![never, Step::WaitEnd { max_ms: 40 }, clip(160)], |_| false), "...?..?$");
    }

    #[test]
    fn line_noise_is_as_loud_as_asked_and_repeatable() {
        let (mut a, mut b) = (Noise::new(Some(-50.0), 7), Noise::new(Some(-50.0), 7));
        let mut samples = Vec::new();
        for _ in 0..50 {
            let frame = a.slot();
            assert_eq!(frame, b.slot());
            crate::base::audio::g711::decode_ulaw(&frame, &mut samples);
        }
        let db = crate::base::audio::level::dbfs(crate::base::audio::level::rms(&samples));
        assert!((-52.0..-48.0).contains(&db), "{db}");
    }
}
