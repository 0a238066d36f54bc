//! What a call runs by: settings drawn at random from what a configuration allows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{
    AfterFailure, CallSettings, Eagerness, FalseInterruptions, Idle, Interruptions, KeyAction, Keys, Limits, OnFailure,
    Playout, Shadow, Sound, Spoken, ToolSound, TurnDetection, TurnSettings, VadEngine,
};
use crate::lab::sim::scenario;
use crate::stage::load::random::Random;

/// Recordings are filled with this byte: it is none of a model's items, which have those below.
pub(super) const SOUND: u8 = 0xF0;
/// Lengths of the recordings, in ms.
const SOUNDS_MS: [u64; 5] = [300, 900, 1_700, 3_000, 5_500];
/// μ-law bytes per ms.
const PER_MS: u64 = 8;

/// Recordings that all calls share.
#[derive(Clone, Debug)]
pub(super) struct Sounds(Vec<Arc<[u8]>>);

impl Sounds {
    pub(super) fn new() -> Self {
        Sounds(SOUNDS_MS.iter().map(|ms| vec![SOUND; (ms * PER_MS) as usize].into()).collect())
    }

    fn one(&self, random: &mut Random, name: &str, longest: usize) -> Sound {
        let length = random.range(0, longest.min(self.0.len() - 1) as u64) as usize;
        let text = if random.chance(800) { format!("the words of the {name}") } else { String::new() };
        Sound { name: name.to_owned(), text, audio: self.0[length].clone() }
    }

    fn maybe(&self, random: &mut Random, per_mille: u64, name: &str, longest: usize) -> Option<Sound> {
        random.chance(per_mille).then(|| self.one(random, name, longest))
    }
}

/// Settings for one call, and whether its ears hear for themselves.
pub(super) fn draw(random: &mut Random, sounds: &Sounds) -> (CallSettings, bool) {
    let (turn_detection, own_ears) = detection(random);
    let max_duration_s = if random.chance(100) { random.range(8, 40) } else { random.range(60, 420) };
    let settings = CallSettings {
        seed: random.range(1, u64::MAX >> 12),
        shadows: shadows(random, &turn_detection),
        turn_detection,
        interruptions: match random.range(0, 9) {
            0 => Interruptions::Off,
            1 | 2 => Interruptions::AfterMs(random.range(50, 1_500) as u32),
            3 | 4 => Interruptions::MinWords(random.range(1, 5) as u32),
            _ => Interruptions::On,
        },
        false_interruptions: FalseInterruptions {
            resume: random.chance(800),
            shorter_than_ms: random.range(0, 1_200) as u32,
            verdict_ms: random.range(100, 2_000) as u32,
            untranscribed_ms: random.range(0, 1_000) as u32,
        },
        // The frames here hold no echo, and looking for one costs more than all the rest of a call.
        echo_guard: false,
        transcribed: random.chance(850),
        disclaimer: sounds.maybe(random, 150, "disclaimer", 2),
        greeting: match random.range(0, 4) {
            0 => Spoken::None,
            1 | 2 => Spoken::Say("Good day.".to_owned()),
            _ => Spoken::Play(sounds.one(random, "greeting", 4)),
        },
        greeting_interruptible: random.chance(800),
        farewell: match random.range(0, 2) {
            0 => Spoken::None,
            1 => Spoken::Say("Goodbye.".to_owned()),
            _ => Spoken::Play(sounds.one(random, "farewell", 3)),
        },
        on_failure: OnFailure {
            line: sounds.maybe(random, 600, "fallback", 3),
            then: if random.chance(300) {
                AfterFailure::Transfer("+4930123456".to_owned())
            } else {
                AfterFailure::HangUp
            },
        },
        hold_sound: sounds.maybe(random, 600, "hold", 3),
        filler: sounds.maybe(random, 500, "filler", 2),
        limits: Limits {
            max_duration_s,
            max_model_s: 0,
            warn_before_s: random.pick(&[0, 5, 30]),
            farewell_s: random.range(2, 8),
            caller_silence_s: random.pick(&[0, 8, 15, 25]),
            caller_gone_s: random.range(5, 20),
            line_back_s: 0,
            model_silence_ms: random.range(1_500, 6_000),
            model_recovery_s: random.range(3, 12),
            media_start_s: random.range(5, 15),
            transcript_wait_ms: random.pick(&[0, 1_000, 3_000]),
            early_audio_ms: random.pick(&[0, 2_000, 10_000]),
        },
        playout: Playout {
            lead_ms: random.range(40, 400),
            batch_ms: random.range(20, 200),
            max_queue_s: random.pick(&[5, 20, 60]),
            mark_timeout_ms: random.range(1_000, 5_000),
        },
        max_session_min: random.pick(&[0, 0, 1, 2]),
        dial_timeout_ms: random.range(1_500, 5_000),
        keys: random.chance(400).then(|| keys(random)),
        idle: random.chance(300).then(|| idle(random, sounds)),
        // Without fades: they would make it unlike every sound that is known here.
        tool_sound: sounds.maybe(random, 500, "typing", 4).map(|sound| ToolSound {
            sound,
            volume_db: 0.0,
            grace_ms: random.range(0, 2_000),
            fade_in_ms: 0,
            fade_out_ms: 0,
        }),
        ..scenario::settings()
    };
    (settings, own_ears)
}

fn keys(random: &mut Random) -> Keys {
    let mut actions = BTreeMap::new();
    if random.chance(300) {
        let action = match random.range(0, 2) {
            0 => KeyAction::Repeat,
            1 => KeyAction::Ignore,
            _ => KeyAction::HangUp,
        };
        actions.insert('*', action);
    }
    Keys {
        max_digits: random.range(1, 8) as u32,
        terminator: random.pick(&[Some('#'), None]),
        timeout_ms: random.range(500, 5_000),
        meaning: None,
        interrupt: random.chance(700),
        actions,
    }
}

fn idle(random: &mut Random, sounds: &Sounds) -> Idle {
    let mut lines = vec![Spoken::Say("Are you still there?".to_owned())];
    if random.chance(400) {
        lines.push(Spoken::Play(sounds.one(random, "idle", 2)));
    }
    let after_ms = random.range(2_000, 15_000);
    Idle { after_ms, lines, times: random.range(1, 4) as u32, end: random.chance(500) }
}

fn detection(random: &mut Random) -> (TurnDetection, bool) {
    match random.range(0, 19) {
        0..=5 => {
            let threshold = 0.5;
            let prefix_padding_ms = random.range(0, 500) as u32;
            let silence_duration_ms = random.range(100, 900) as u32;
            (TurnDetection::Provider { threshold, prefix_padding_ms, silence_duration_ms }, false)
        }
        6..=8 => {
            let eagerness = random.pick(&[Eagerness::Auto, Eagerness::Low, Eagerness::Medium, Eagerness::High]);
            (TurnDetection::Semantic { eagerness }, false)
        }
        9 => {
            let commit_key = random.pick(&[Some('#'), Some('*'), None]);
            (TurnDetection::Disabled { commit_key }, false)
        }
        // Told ears have the steps of an engine and not its cost.
        10..=17 => (TurnDetection::Local(local(random, &[VadEngine::Earshot, VadEngine::Silero])), false),
        _ => (TurnDetection::Local(local(random, &[VadEngine::Energy])), true),
    }
}

fn local(random: &mut Random, engines: &[VadEngine]) -> TurnSettings {
    TurnSettings {
        engine: random.pick(engines),
        prefix_padding_ms: random.range(0, 500) as u32,
        silence_duration_ms: random.range(80, 900) as u32,
        min_speech_ms: random.range(0, 200) as u32,
        max_turn_s: random.pick(&[0, 5, 10, 60]),
        ..TurnSettings::default()
    }
}

fn shadows(random: &mut Random, detection: &TurnDetection) -> Vec<Shadow> {
    match detection {
        TurnDetection::Local(turn) if random.chance(200) => vec![Shadow {
            name: "slower".to_owned(),
            turn: TurnSettings { silence_duration_ms: turn.silence_duration_ms + 300, ..turn.clone() },
            interruptions: Interruptions::AfterMs(400),
            false_interruptions: FalseInterruptions::default(),
        }],
        _ => Vec::new(),
    }
}
