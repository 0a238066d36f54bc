//! The tool sound, judged by the samples that the caller got.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::base::audio::{g711, wav};
use crate::config::{JournalKeep, Sound, ToolSound, from_memory};
use crate::lab::sim::{Means, Sim, scenario};
use crate::stage::phone::measure;

const DELAY_MS: u64 = 30;
/// Of what is played at `ms`, the first byte in a phone line's audio.
const fn at(ms: u64) -> usize {
    (ms * 8) as usize
}

/// A call that is connected at 100 ms, and what was recorded of the agent.
struct Call {
    sim: Sim,
    recorded: Vec<u8>,
}

impl Call {
    fn new(settings: CallSettings) -> Call {
        let means = Means { own_ears: false, lists: true, journal: JournalKeep::Off };
        let sim = Sim::with(Arc::new(settings), DELAY_MS, means, |_, _, _| {});
        let mut call = Call { sim, recorded: Vec::new() };
        call.sim.line().keep_audio();
        call.to(100);
        call.input(Input::Model(ModelEvent::Ready { session: "s".into(), turns: None }));
        call.input(Input::Caller(CallerEvent::Started));
        call.sim.caller_audio(true);
        call
    }

    fn to(&mut self, ms: u64) {
        let until = CallTime::from_ms(ms);
        while self.sim.next_at().is_some_and(|at| at <= until) {
            let recorded = &mut self.recorded;
            self.sim.step(|_, _, action| record(recorded, action));
        }
        self.sim.pass_to(until);
    }

    fn input(&mut self, input: Input<'_>) {
        let recorded = &mut self.recorded;
        self.sim.input_seen(input, |_, _, action| record(recorded, action));
    }

    fn tools(&mut self, running: bool) {
        self.sim.engine_mut().tools_running = running;
        self.input(Input::Tick);
    }

    fn agent(&mut self, name: &str, audio: &[u8]) {
        let (response, item) = (format!("r{name}"), format!("a{name}"));
        let event = ModelEvent::Audio { response: response.into(), item: item.into(), payload: audio };
        self.input(Input::Model(event));
    }

    fn done(&mut self, name: &str) {
        let response = format!("r{name}").into();
        let (status, usage) = (ResponseStatus::Completed, Usage::default());
        self.input(Input::Model(ModelEvent::ResponseDone {
            response,
            status,
            detail: None,
            usage,
            fatal: false,
            retry_after_ms: None,
        }));
    }

    /// What the caller heard until now, in linear samples from the call's beginning on.
    fn heard(&mut self) -> Vec<i16> {
        let now = at(self.sim.now().as_ms());
        let mut heard = Vec::new();
        g711::decode_ulaw(self.sim.line().audio(), &mut heard);
        heard.resize(now, 0);
        heard
    }

    /// The lines of the trace about the sound, with their times in ms.
    fn trace(&self) -> Vec<(u64, String)> {
        let events = self.sim.seen.events.iter();
        let ours = |e: &&(CallTime, CallEvent)| {
            matches!(e.1, CallEvent::ToolSoundStarted | CallEvent::ToolSoundEnded { .. } | CallEvent::BargeIn { .. })
        };
        events.filter(ours).map(|(at, event)| (at.as_ms(), event.to_string())).collect()
    }
}

fn record(recorded: &mut Vec<u8>, action: &Action<'_>) {
    if let Action::Record(Record::Agent { payload, .. }) = action {
        recorded.extend(*payload);
    }
}

/// A hum of 400 Hz, which goes on over the seam.
fn hum() -> Vec<i16> {
    let turn = |n: usize| (std::f32::consts::TAU * n as f32 / 20.0).sin();
    (0..4_000).map(|n| (2_000.0 * turn(n)) as i16).collect()
}

fn settings(sound: &[i16]) -> CallSettings {
    let mut audio = Vec::new();
    g711::encode_ulaw(sound, &mut audio);
    let sound = Sound { name: "hum.wav".into(), text: String::new(), audio: audio.into() };
    let tool_sound = Some(ToolSound { sound, volume_db: 0.0, grace_ms: 700, fade_in_ms: 150, fade_out_ms: 80 });
    CallSettings { tool_sound, ..scenario::settings() }
}

/// The shipped deployment with this for its tool sound.
fn configured(tool_sound: &str) -> CallSettings {
    let files: [(&str, &[u8]); 6] = [
        ("offhook.toml", b""),
        ("models.toml", b"[m]\nurl = \"ws://127.0.0.1:1/\""),
        ("agents/a.toml", b"model = \"m\"\ninstructions = \"x\""),
        ("sounds/typing.wav", include_bytes!("../../../config/sounds/typing.wav")),
        ("sounds/tone.wav", include_bytes!("../../../config/sounds/tone.wav")),
        ("deployments/d.toml", b""),
    ];
    let mut files: BTreeMap<_, _> = files.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).into();
    let deployment = format!("agent = \"a\"\nnumber = \"+15550100100\"\n[tool_sound]\n{tool_sound}");
    files.insert("deployments/d.toml".to_owned(), deployment.into_bytes());
    let config = from_memory(&files, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    CallSettings::new(&config.deployments["d"], "test", crate::base::audio::AudioFormat::PHONE, 1)
}

#[test]
fn it_is_as_loud_as_configured_for_as_long_as_tools_run_and_has_no_seam() {
    for (name, file) in [
        ("typing", &include_bytes!("../../../config/sounds/typing.wav")[..]),
        ("tone", &include_bytes!("../../../config/sounds/tone.wav")[..]),
    ] {
        let file = wav::read(file).unwrap().samples;
        let mut call = Call::new(configured(&format!("sound = \"{name}\"\nvolume_db = -20\ngrace_ms = 400")));
        call.to(1_000);
        call.tools(true);
        call.to(16_000);
        let heard = call.heard();
        let begins = at(1_000 + 400 + DELAY_MS);
        assert!(heard[..begins].iter().all(|s| *s == 0), "{name}: it begins after the grace");
        let loops = &heard[begins + 2 * file.len() - 400..begins + 2 * file.len() + 400];
        assert!(measure::largest_step(loops) <= measure::largest_step(&file) / 5, "{name}: a click at the seam");
        // Where it is all there, the second time round.
        let round = &heard[begins + file.len()..begins + 2 * file.len()];
        let found = measure::gains(round, &file, 0, file.len())[0].unwrap();
        assert!((measure::db(found) + 20.0).abs() < 1.0, "{name}: {} dB", measure::db(found));
        let loudest = (0..file.len() - 800).step_by(80).max_by_key(|i| energy(&file[*i..*i + 800])).unwrap();
        let found = measure::find(&round[loudest..loudest + 800], &file).unwrap();
        assert!(found.phase == loudest && found.similarity > 0.99, "{name}: {found:?} at {loudest}");
    }
}

#[test]
fn it_comes_and_goes_in_the_configured_time() {
    let mut call = Call::new(settings(&hum()));
    call.to(1_000);
    call.tools(true);
    call.to(3_000);
    call.tools(false);
    call.to(4_000);
    assert_eq!(
        call.trace(),
        [(1_700, "ToolSoundStarted".to_owned()), (3_000, "ToolSoundEnded rule=tools_done".to_owned())]
    );
    let (heard, hum) = (call.heard(), hum());
    let begins = at(1_700 + DELAY_MS);
    let audible = heard.iter().rposition(|s| s.unsigned_abs() > 30).unwrap();
    // What was at the line already is heard, then the fade.
    assert!((at(3_000 + DELAY_MS + 80)..at(3_000 + DELAY_MS + 80 + 110)).contains(&audible), "{audible}");
    let gains: Vec<f32> =
        measure::gains(&heard[begins..audible], &hum, 0, 20).into_iter().map(|g| g.unwrap()).collect();
    let (up, rest) = gains.split_at(at(150) / 20);
    assert!(up.is_sorted_by(|a, b| *b > a - 0.02) && up[0] < 0.05 && up[up.len() - 1] > 0.95, "{up:?}");
    assert!((up[up.len() / 2] - 0.5).abs() < 0.1, "half way up in half the time: {up:?}");
    let (level, down) = rest.split_at(rest.len() - at(80) / 20);
    assert!(level.iter().all(|g| (g - 1.0).abs() < 0.03), "{level:?}");
    assert!(down.is_sorted_by(|a, b| *b < a + 0.02) && down[0] > 0.95 && down[down.len() - 1] < 0.05, "{down:?}");
    assert!(measure::largest_step(&heard) <= measure::largest_step(&hum) + 60, "it clicks");
}

#[test]
fn it_is_gone_in_the_slot_in_which_the_agent_speaks() {
    let mut call = Call::new(settings(&hum()));
    call.to(1_000);
    call.tools(true);
    call.to(3_007);
    // Digital silence at first: whatever else is heard is the sound.
    let speech = [vec![0xFF; at(300)], vec![0x2A; at(300)]].concat();
    call.agent("1", &speech);
    call.done("1");
    call.tools(false);
    call.to(5_000);
    assert_eq!(call.trace()[1], (3_007, "ToolSoundEnded rule=agent_speaks".to_owned()));
    let (heard, hum) = (call.heard(), hum());
    let begins = at(3_007 + DELAY_MS);
    let tail = &heard[begins..begins + at(20)];
    let phase = (begins - at(1_700 + DELAY_MS)) % hum.len();
    let gains: Vec<f32> = measure::gains(tail, &hum, phase, 20).into_iter().map(|g| g.unwrap()).collect();
    assert!(gains.is_sorted_by(|a, b| *b < a + 0.02) && gains[0] > 0.9 && gains[7] < 0.1, "{gains:?}");
    let steps = &heard[begins - at(200)..begins + at(280)];
    assert!(measure::largest_step(steps) <= measure::largest_step(&hum) + 60, "it clicks");
    let mut said = Vec::new();
    g711::decode_ulaw(&speech, &mut said);
    assert_eq!(
        heard[begins + at(20)..begins + at(600)],
        said[at(20)..],
        "nothing but the agent, and all of it, in time"
    );
    assert!(heard[begins + at(600)..].iter().all(|s| *s == 0));
    // The sound is no part of what the agent said.
    assert_eq!(call.recorded, speech);
    let report = call.sim.engine().report();
    assert_eq!((report.lines.len(), report.lines[0].heard_ms, report.lines[0].received_ms), (1, 600, 600));
    assert_eq!((report.counters["agent_audio_sent_ms"], report.counters["tool_sounds"]), (600, 1));
}

/// An agent who talks loudly from the first sample: what lies under it is heard only there.
#[test]
fn its_end_lies_under_the_agents_first_samples() {
    let mut call = Call::new(settings(&hum()));
    call.tools(true);
    call.to(2_000);
    let speech: Vec<u8> = (0..at(400)).map(|n| g711::linear_to_ulaw(if n % 16 < 8 { 6_000 } else { -6_000 })).collect();
    // In pieces, the first shorter than the tail.
    call.agent("1", &speech[..60]);
    call.agent("1", &speech[60..]);
    call.done("1");
    call.to(3_000);
    let (heard, begins) = (call.heard(), at(2_000 + DELAY_MS));
    let under: Vec<i16> = heard[begins..].iter().zip(&speech).map(|(h, s)| h - g711::ulaw_to_linear(*s)).collect();
    assert!(energy(&under[..at(10)]) > 80 * 400 * 400, "{:?}", &under[..80]);
    assert!(under[at(20)..].iter().all(|s| *s == 0));
    assert_eq!(call.recorded, speech);
}

#[test]
fn a_tool_that_is_done_soon_makes_no_sound_and_speech_puts_it_off() {
    let mut call = Call::new(settings(&hum()));
    call.to(1_000);
    call.tools(true);
    call.to(1_690);
    call.tools(false);
    call.to(3_000);
    assert!(call.heard().iter().all(|s| *s == 0));
    // The agent speaks while the tool runs: the caller waits from when that was heard.
    call.tools(true);
    call.agent("1", &[0x2A; at(500)]);
    call.done("1");
    call.to(5_000);
    let [(started, _)] = call.trace()[..] else { panic!("{:?}", call.trace()) };
    assert!((3_500 + 700..3_500 + 700 + 100).contains(&started), "{started}");
}

#[test]
fn the_callers_speech_neither_stops_it_nor_interrupts_anybody() {
    let mut call = Call::new(settings(&hum()));
    call.tools(true);
    call.to(2_000);
    call.input(Input::Model(ModelEvent::SpeechStarted { item: "u".into(), audio_start_ms: 1_500 }));
    call.to(3_000);
    assert_eq!(call.trace(), [(800, "ToolSoundStarted".to_owned())]);
    assert!(energy(&call.heard()[at(2_900)..]) > 0);
    assert!(call.sim.seen.clears.is_empty());
    // But it does not begin under it.
    call.tools(false);
    call.to(3_500);
    call.tools(true);
    call.to(6_000);
    assert_eq!(call.trace().len(), 2, "{:?}", call.trace());
}

#[test]
fn it_goes_on_until_the_agent_speaks_of_what_the_tool_answered() {
    let mut call = Call::new(settings(&hum()));
    call.tools(true);
    call.to(2_000);
    let engine = call.sim.engine_mut();
    engine.tools_running = false;
    engine.ask("tool_answered", None);
    call.input(Input::Tick);
    call.input(Input::Model(ModelEvent::ResponseStarted { response: "r1".into() }));
    call.to(4_000);
    assert_eq!(call.trace().len(), 1, "the answer is due: {:?}", call.trace());
    assert!(energy(&call.heard()[at(3_900)..]) > 0);
    // The caller has something else to say: none is.
    call.input(Input::Model(ModelEvent::SpeechStarted { item: "u".into(), audio_start_ms: 3_500 }));
    call.to(5_000);
    assert_eq!(
        call.trace()[1..].iter().find(|t| t.1.starts_with("Tool")),
        Some(&(4_000, "ToolSoundEnded rule=tools_done".to_owned()))
    );
    assert!(call.heard()[at(4_400)..].iter().all(|s| *s == 0));
}

#[test]
fn a_call_that_ends_lets_it_fade_and_a_line_that_plays_nothing_is_not_flooded() {
    let mut call = Call::new(settings(&hum()));
    call.tools(true);
    call.to(2_000);
    let now = call.sim.now();
    call.sim.line().stall(now, 3_000);
    let sent = call.sim.seen.sent;
    call.to(4_500);
    assert!(call.sim.seen.sent - sent <= at(1_300) as u64, "{}", call.sim.seen.sent - sent);
    call.to(7_000);
    assert!(energy(&call.heard()[at(6_900)..]) > 0, "it goes on once marks are back");
    call.sim.line().lose_marks(u32::MAX);
    call.to(16_000);
    assert!(call.sim.engine().report().counters["marks_lost"] > 0);
    assert!(energy(&call.heard()[at(13_000)..]) > 0, "marks that are lost do not silence it for good");
    call.input(Input::Control(Control::End(EndReason::Operator)));
    assert_eq!(call.trace()[1], (16_000, "ToolSoundEnded rule=closing".to_owned()));
    call.to(16_500);
    assert!(call.heard()[at(16_300)..].iter().all(|s| *s == 0));
}

fn energy(samples: &[i16]) -> i64 {
    samples.iter().map(|s| i64::from(*s) * i64::from(*s)).sum()
}

#[derive(Clone, Debug)]
enum Happening {
    Tools(bool),
    Agent(usize),
    Done,
    Response,
    Speech,
    Silence,
    Lose,
    HoldMarks(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::*;
    prop_oneof![
        6 => any::<bool>().prop_map(Tools),
        4 => (1usize..6_000).prop_map(Agent),
        2 => Just(Done),
        1 => Just(Response),
        1 => Just(Speech),
        1 => Just(Silence),
        1 => Just(Lose),
        1 => (0u64..800).prop_map(HoldMarks),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, the sound is heard only where the agent is not, and nothing of it is recorded.
    #[test]
    fn it_never_mixes_with_the_agent(
        local: bool,
        (lead_ms, fade_out_ms, grace_ms) in (40u64..500, prop_oneof![Just(0u64), 1u64..400], 0u64..900),
        script in prop::collection::vec((0u64..900, happening()), 1..40),
    ) {
        let mut settings = settings(&hum());
        settings.playout.lead_ms = lead_ms;
        if let Some(sound) = &mut settings.tool_sound {
            (sound.fade_out_ms, sound.grace_ms) = (fade_out_ms, grace_ms);
        }
        if local {
            let engine = crate::config::VadEngine::Energy;
            settings.turn_detection = TurnDetection::Local(crate::config::TurnSettings { engine, ..Default::default() });
        }
        let run = || {
            let mut call = Call::new(settings.clone());
            let (mut n, mut turn) = (0, 0);
            for (wait_ms, what) in &script {
                let at_ms = call.sim.now().as_ms() + wait_ms;
                call.to(at_ms);
                match what {
                    Happening::Tools(running) => call.tools(*running),
                    // Louder than any of the sound, and never changing.
                    Happening::Agent(bytes) => call.agent(&n.to_string(), &vec![0x80; *bytes]),
                    Happening::Done => { call.done(&n.to_string()); n += 1; }
                    Happening::Response => call.input(Input::Model(ModelEvent::ResponseStarted { response: format!("r{n}").into() })),
                    Happening::Speech if local => call.sim.hears(crate::ears::vad::Probability::from_per_mille(900), -20),
                    Happening::Silence if local => call.sim.hears(crate::ears::vad::Probability::ZERO, -60),
                    Happening::Speech => {
                        turn += 1;
                        call.input(Input::Model(ModelEvent::SpeechStarted { item: format!("u{turn}").into(), audio_start_ms: at_ms }));
                    }
                    Happening::Silence => call.input(Input::Model(ModelEvent::SpeechStopped { item: format!("u{turn}").into(), audio_end_ms: at_ms })),
                    Happening::Lose => {
                        call.input(Input::Model(ModelEvent::Closed { reason: "gone".into(), retry: true }));
                        call.to(at_ms + 20);
                        call.input(Input::Model(ModelEvent::Ready { session: "s".into(), turns: None }));
                    }
                    Happening::HoldMarks(ms) => {
                        let now = call.sim.now();
                        call.sim.line().hold_marks(now, *ms);
                    }
                }
            }
            call.tools(false);
            let end = call.sim.now().as_ms() + 20_000;
            call.to(end);
            call
        };
        let mut call = run();
        let heard = call.heard();
        let loud = g711::ulaw_to_linear(0x80);
        let mut since = usize::MAX;
        for (n, sample) in heard.iter().enumerate() {
            let agent = i32::from(*sample) > 20_000;
            since = if !agent { usize::MAX } else if since == usize::MAX { n } else { since };
            prop_assert!(!agent || n - since < at(20) || *sample == loud, "mixed at {n}");
            prop_assert!(agent || sample.unsigned_abs() <= 2_100, "{sample} at {n}");
        }
        prop_assert!(call.recorded.iter().all(|b| *b == 0x80), "the sound was recorded");
        prop_assert!(heard[heard.len() - at(4_000)..].iter().all(|s| *s == 0), "it goes on");
        let mut generation = 0;
        for line in &call.sim.trace {
            if line.ends_with("line clear") {
                generation += 1;
            } else if let Some((_, mark)) = line.split_once("line mark g") {
                prop_assert!(mark.starts_with(&format!("{generation}-")), "audio of an earlier generation after a clear");
            }
        }
        for line in &call.sim.engine().report().lines {
            prop_assert!(line.heard_ms <= line.received_ms, "{line:?}");
        }
        prop_assert_eq!(&run().sim.trace, &call.sim.trace, "it decides otherwise the second time");
    }
}

/// The line sends the sound back 12 dB weaker: nobody takes it for the caller, whatever is in it.
#[test]
fn its_echo_is_not_the_caller() {
    let speech = wav::read(include_bytes!("../../../fixtures/audio/track-carla.wav")).unwrap().samples;
    let starts = |echo_guard: bool| {
        let turn_detection = TurnDetection::Local(crate::config::TurnSettings::default());
        let settings = CallSettings { turn_detection, echo_guard, ..settings(&speech[..at(8_000)]) };
        let mut sim = Sim::hearing(settings, DELAY_MS);
        sim.line().keep_audio();
        sim.input(Input::Model(ModelEvent::Ready { session: "s".into(), turns: None }));
        sim.input(Input::Caller(CallerEvent::Started));
        sim.engine_mut().tools_running = true;
        let mut noise = 1u32;
        for at_ms in (0..6_000).step_by(20) {
            sim.run_until(CallTime::from_ms(at_ms + 20));
            let mut played = sim.line().audio().to_vec();
            played.resize(at(7_000), 0xFF);
            let echo = played[at(at_ms.saturating_sub(60))..].iter().take(160).map(|byte| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                g711::linear_to_ulaw(g711::ulaw_to_linear(*byte) / 4 + (noise >> 16) as i16 / 512)
            });
            let payload: Vec<u8> = echo.collect();
            sim.input(Input::Caller(CallerEvent::Audio { at_ms, payload: &payload }));
        }
        let started = |e: &&(CallTime, CallEvent)| matches!(e.1, CallEvent::SpeechStarted { .. });
        (sim.seen.events.iter().filter(started).count(), sim.engine().report().counters["tool_sounds"])
    };
    assert_eq!(starts(true), (0, 1));
    assert!(starts(false).0 > 0, "the test needs an echo that is taken for the caller");
}
