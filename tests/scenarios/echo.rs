//! A whole call on a line that sends the agent's own voice back: the engine with ears of its own.

#![allow(clippy::unwrap_used, reason = "a test; clippy exempts only what is marked as one")]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use offhook::base::audio::{g711, wav};
use offhook::base::time::CallTime;
use offhook::config::{CallSettings, Sound, TurnDetection, TurnSettings};
use offhook::engine::{Action, CallEngine, CallEvent, CallerCommand, CallerEvent, Input, MarkId};
use offhook::lab::sim::scenario;

#[test]
fn an_echo_does_not_interrupt_the_agent() {
    let guarded = call(true, 4_000, &[], 100);
    assert!(guarded.is_empty(), "{guarded:?}");
    let unguarded = call(false, 2_000, &[], 100);
    assert!(matches!(unguarded[..], [(_, "held"), ..]), "the test needs an echo that does: {unguarded:?}");
}

/// On a line that plays late: the reckoning is corrected, and begins anew where the agent goes on.
#[test]
fn a_caller_over_the_echo_stops_the_agent_who_goes_on_after_a_mere_uh_huh() {
    let heard = call(true, 6_600, &[(2_800, "uh-huh"), (4_700, "carla-number")], 420);
    let [(held, "held"), (_, "resumed"), (again, "held"), ..] = heard[..] else { panic!("{heard:?}") };
    // Either clip has speech from 200 ms on.
    assert!((3_000..3_500).contains(&held) && (4_900..5_400).contains(&again), "{heard:?}");
}

/// A call of `until_ms` in which the greeting comes back 12 dB weaker after 60 ms, and in which these clips are said at these
/// times. The line keeps `buffered_ms` of audio before it plays. What became of the agent, and when in milliseconds.
fn call(echo_guard: bool, until_ms: u64, said: &[(u64, &str)], buffered_ms: u64) -> Vec<(u64, &'static str)> {
    let greeting = clip("track-carla");
    let mut audio = Vec::new();
    g711::encode_ulaw(&greeting[..8 * 8_000], &mut audio);
    let sound = Sound { name: "greeting.wav".to_owned(), text: "Hello.".to_owned(), audio: audio.into() };
    let settings = CallSettings {
        turn_detection: TurnDetection::Local(TurnSettings::default()),
        greeting: offhook::config::Spoken::Play(sound),
        echo_guard,
        ..scenario::settings()
    };
    let mut engine = CallEngine::new(Arc::new(settings));
    let (mut line, mut heard) = (Line::new(buffered_ms), Vec::new());
    let voices: Vec<(u64, Vec<i16>)> = said.iter().map(|(at, name)| (*at, clip(name))).collect();
    engine.handle(CallTime::ZERO, Input::Caller(CallerEvent::Started));
    line.take(&mut engine, 0, &mut heard);
    for now_ms in (20..until_ms).step_by(20) {
        while let Some((due, _)) = engine.next_deadline().filter(|(due, _)| due.as_ms() <= now_ms) {
            engine.handle(due, Input::Tick);
            line.take(&mut engine, now_ms, &mut heard);
        }
        let now = CallTime::from_ms(now_ms);
        let mut samples = line.play(now_ms);
        for (i, sample) in samples.iter_mut().enumerate() {
            let at = (now_ms as usize - 20) * 8 + i;
            for (from, voice) in &voices {
                let spoken = at.checked_sub(*from as usize * 8).and_then(|at| voice.get(at));
                *sample += spoken.map_or(0, |spoken| spoken / 2);
            }
        }
        let mut payload = Vec::new();
        g711::encode_ulaw(&samples, &mut payload);
        engine.handle(now, Input::Caller(CallerEvent::Audio { at_ms: now_ms - 20, payload: &payload }));
        line.take(&mut engine, now_ms, &mut heard);
        while let Some(mark) = line.played_mark() {
            engine.handle(now, Input::Caller(CallerEvent::MarkPlayed(mark)));
            line.take(&mut engine, now_ms, &mut heard);
        }
    }
    heard
}

/// A line that plays what it is sent, sends it back as an echo, and hisses.
struct Line {
    buffer: VecDeque<u8>,
    marks: VecDeque<(usize, MarkId)>,
    /// Bytes played and cleared.
    gone: usize,
    buffered_ms: u64,
    /// When it begins to play what is in the buffer.
    plays_at_ms: Option<u64>,
    path: VecDeque<i16>,
    noise: u32,
}

impl Line {
    fn new(buffered_ms: u64) -> Line {
        Line {
            buffer: VecDeque::new(),
            marks: VecDeque::new(),
            gone: 0,
            buffered_ms,
            plays_at_ms: None,
            path: vec![0; 60 * 8].into(),
            noise: 1,
        }
    }

    fn take(&mut self, engine: &mut CallEngine, now_ms: u64, heard: &mut Vec<(u64, &'static str)>) {
        while let Some(action) = engine.poll_action() {
            match action {
                Action::SendCaller(CallerCommand::Audio(bytes)) => {
                    self.plays_at_ms.get_or_insert(now_ms + self.buffered_ms);
                    self.buffer.extend(bytes);
                }
                Action::SendCaller(CallerCommand::Mark(id)) => {
                    self.marks.push_back((self.gone + self.buffer.len(), id));
                }
                Action::SendCaller(CallerCommand::Clear) => {
                    self.gone += self.buffer.len();
                    self.buffer.clear();
                    self.plays_at_ms = None;
                }
                Action::Emit(CallEvent::AgentHeld { .. }) => heard.push((now_ms, "held")),
                Action::Emit(CallEvent::AgentResumed { .. }) => heard.push((now_ms, "resumed")),
                Action::Emit(CallEvent::BargeIn { .. }) => heard.push((now_ms, "barge-in")),
                _ => {}
            }
        }
    }

    /// Plays 20 ms up to `now_ms`; the caller's side meanwhile.
    fn play(&mut self, now_ms: u64) -> Vec<i16> {
        let plays = self.plays_at_ms.is_some_and(|at| now_ms > at);
        let mut near = Vec::with_capacity(160);
        for _ in 0..160 {
            let byte = self.buffer.front().copied().filter(|_| plays);
            if byte.is_some() {
                self.buffer.pop_front();
                self.gone += 1;
            }
            self.path.push_back(byte.map_or(0, g711::ulaw_to_linear));
            self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let hiss = (self.noise >> 16) as i16 / 512;
            near.push(self.path.pop_front().map_or(0, |echo| echo / 4) + hiss);
        }
        near
    }

    fn played_mark(&mut self) -> Option<MarkId> {
        let (_, id) = self.marks.pop_front_if(|(at, _)| *at <= self.gone)?;
        Some(id)
    }
}

fn clip(name: &str) -> Vec<i16> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/audio/{name}.wav"));
    wav::read(&std::fs::read(path).unwrap()).unwrap().samples
}
