//! What holds for every call, whatever happens in it.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use offhook::base::time::{CallTime, Samples};
use offhook::config::{
    Budget, Destination, FalseInterruptions, Idle, Interruptions, JournalKeep, KeyAction, Keys, Price, Sound, Spoken,
    Tool, ToolKind, ToolSound, TurnDetection, TurnSettings, VadEngine,
};
use offhook::ears::vad::Probability;
use offhook::engine::{
    Action, CallEvent, CallerEvent, CommandKind, Control, EffectId, EffectResult, EndReason, Input, MarkId, ModelEvent,
    Record, ResponseStatus, TransferOutcome, Usage,
};
use offhook::lab::journal::Journal;
use offhook::lab::replay::{Replay, Seen};
use offhook::lab::sim::{Sim, scenario};
use offhook::lab::verify::{Recorded, Verdict, Verification};
use proptest::prelude::*;

/// One thing that may happen, in any order and at any time.
#[derive(Clone, Debug)]
enum Happening {
    Start,
    CallerAudio(bool),
    /// For our own ears: how likely everything is speech from now on, in per mille.
    Voice(u16),
    Frame {
        at_ms: u64,
        bytes: usize,
    },
    Key(char),
    StrayMark(u32, u32),
    Stall(u64),
    HoldMarks(u64),
    HangUp,
    Lost,
    Ready,
    Closed(bool),
    SpeechStarted(u8, u64),
    SpeechStopped(u8, u64),
    Committed(u8),
    CallerWords(u8),
    TranscriptFailed(u8),
    Response(u8),
    Audio {
        response: u8,
        item: u8,
        bytes: usize,
    },
    Words {
        item: u8,
        done: bool,
    },
    Tool {
        response: u8,
        name: &'static str,
    },
    Done(u8, ResponseStatus),
    Error {
        about: Option<CommandKind>,
        fatal: bool,
    },
    Garbage,
    Effect(u32, EffectResult),
    StreamEnded,
    Transfer(TransferOutcome),
    Commit,
    Shutdown,
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::*;
    let id = 0u8..4;
    prop_oneof![
        2 => Just(Start),
        2 => any::<bool>().prop_map(CallerAudio),
        12 => prop_oneof![Just(Voice(0)), Just(Voice(950)), (0u16..=1_000).prop_map(Voice)],
        2 => (prop_oneof![0u64..20_000, any::<u64>()], 0usize..2_000).prop_map(|(at_ms, bytes)| Frame { at_ms, bytes }),
        3 => prop_oneof![4 => Just('5'), 1 => Just('#'), 1 => Just('7'), 1 => Just('*')].prop_map(Key),
        1 => (0u32..4, 0u32..40).prop_map(|(g, s)| StrayMark(g, s)),
        1 => (0u64..4_000).prop_map(Stall),
        1 => (0u64..4_000).prop_map(HoldMarks),
        1 => prop_oneof![Just(HangUp), Just(Lost), Just(Shutdown)],
        4 => Just(Ready),
        2 => any::<bool>().prop_map(Closed),
        6 => (id.clone(), 0u64..30_000).prop_map(|(i, ms)| SpeechStarted(i, ms)),
        6 => (id.clone(), 0u64..30_000).prop_map(|(i, ms)| SpeechStopped(i, ms)),
        6 => id.clone().prop_map(Committed),
        2 => id.clone().prop_map(CallerWords),
        2 => id.clone().prop_map(TranscriptFailed),
        6 => id.clone().prop_map(Response),
        20 => (id.clone(), id.clone(), 0usize..16_000).prop_map(|(response, item, bytes)| Audio { response, item, bytes }),
        4 => (id.clone(), any::<bool>()).prop_map(|(item, done)| Words { item, done }),
        8 => (id.clone(), prop::sample::select(TOOLS.as_slice()))
            .prop_map(|(response, name)| Tool { response, name }),
        6 => (id, prop_oneof![
                Just(ResponseStatus::Completed), Just(ResponseStatus::Cancelled),
                Just(ResponseStatus::Failed), Just(ResponseStatus::Incomplete)
            ]).prop_map(|(r, s)| Done(r, s)),
        2 => (prop_oneof![Just(None), Just(Some(CommandKind::CreateResponse))], prop::bool::weighted(0.05))
            .prop_map(|(about, fatal)| Error { about, fatal }),
        1 => Just(Garbage),
        4 => (0u32..6, prop_oneof![
                2 => Just(EffectResult::Done), 1 => Just(EffectResult::Failed("no".into())),
                1 => Just(EffectResult::Unknown("lost".into())),
                2 => Just(EffectResult::Output("found".into())),
                1 => Just(EffectResult::Variables([("crm.name".to_owned(), "Ada".to_owned())].into()))
            ]).prop_map(|(id, result)| Effect(id, result)),
        2 => Just(StreamEnded),
        1 => prop_oneof![
            Just(TransferOutcome::Answered), Just(TransferOutcome::Busy), Just(TransferOutcome::NoAnswer)
        ].prop_map(Transfer),
        1 => Just(Commit),
    ]
}

const TOOLS: [&str; 9] =
    ["note", "hang_up", "fly", "lookup", "lookup", "transfer", "send_dtmf", "press_to_continue", "wait"];

fn apply(sim: &mut Sim, happening: &Happening) {
    let name = |prefix: &str, id: u8| -> Cow<'static, str> { Cow::Owned(format!("{prefix}{id}")) };
    let event = match happening {
        Happening::Start => return sim.input(Input::Caller(CallerEvent::Started)),
        Happening::CallerAudio(on) => return sim.caller_audio(*on),
        Happening::Voice(per_mille) => return sim.hears(Probability::from_per_mille(*per_mille), -30),
        Happening::Frame { at_ms, bytes } => {
            let payload = vec![0x31; *bytes];
            return sim.input(Input::Caller(CallerEvent::Audio { at_ms: *at_ms, payload: &payload }));
        }
        Happening::Key(digit) => return sim.input(Input::Caller(CallerEvent::Dtmf(*digit))),
        Happening::StrayMark(generation, seq) => {
            let id = MarkId { generation: *generation, seq: *seq };
            return sim.input(Input::Caller(CallerEvent::MarkPlayed(id)));
        }
        Happening::Stall(ms) => {
            let now = sim.now();
            return sim.line().stall(now, *ms);
        }
        Happening::HoldMarks(ms) => {
            let now = sim.now();
            return sim.line().hold_marks(now, *ms);
        }
        Happening::HangUp => return sim.input(Input::Caller(CallerEvent::HungUp)),
        Happening::Lost => return sim.input(Input::Caller(CallerEvent::Lost)),
        Happening::Effect(id, result) => return sim.input(Input::Effect(EffectId(*id), result.clone())),
        Happening::StreamEnded => return sim.input(Input::Caller(CallerEvent::StreamEnded)),
        Happening::Transfer(outcome) => return sim.input(Input::Control(Control::Transfer(*outcome))),
        Happening::Commit => return sim.input(Input::Control(Control::CommitTurn)),
        Happening::Shutdown => return sim.input(Input::Control(Control::End(EndReason::Shutdown))),
        Happening::Ready => ModelEvent::Ready { session: "s".into(), turns: None },
        Happening::Closed(retry) => ModelEvent::Closed { reason: "gone".into(), retry: *retry },
        Happening::SpeechStarted(item, ms) => ModelEvent::SpeechStarted { item: name("u", *item), audio_start_ms: *ms },
        Happening::SpeechStopped(item, ms) => ModelEvent::SpeechStopped { item: name("u", *item), audio_end_ms: *ms },
        Happening::Committed(item) => ModelEvent::Committed { item: name("u", *item) },
        Happening::CallerWords(item) => {
            ModelEvent::CallerTranscript { item: name("u", *item), text: "some words".into(), done: true }
        }
        Happening::TranscriptFailed(item) => ModelEvent::TranscriptFailed { item: name("u", *item) },
        Happening::Response(response) => ModelEvent::ResponseStarted { response: name("r", *response) },
        Happening::Audio { response, item, bytes } => {
            let payload = vec![0x55; *bytes];
            let event = ModelEvent::Audio { response: name("r", *response), item: name("a", *item), payload: &payload };
            return sim.input(Input::Model(event));
        }
        Happening::Words { item, done } => ModelEvent::AgentTranscript {
            response: "r0".into(),
            item: name("a", *item),
            text: "a few words ".into(),
            done: *done,
        },
        Happening::Tool { response, name: tool } => ModelEvent::ToolCall {
            response: name("r", *response),
            call: "c".into(),
            name: (*tool).into(),
            arguments: match *tool {
                "lookup" => r#"{"n":1}"#,
                "note" => r#"{"text":"x"}"#,
                "hang_up" => r#"{"reason":"y"}"#,
                "transfer" => r#"{"destination":"desk"}"#,
                "send_dtmf" => r#"{"digits":"1w#"}"#,
                "wait" => r#"{"seconds":3}"#,
                _ => "{}",
            }
            .into(),
        },
        Happening::Done(response, status) => ModelEvent::ResponseDone {
            response: name("r", *response),
            status: *status,
            detail: None,
            usage: Usage::default(),
            fatal: false,
            retry_after_ms: None,
        },
        Happening::Error { about, fatal } => ModelEvent::Error {
            code: "oops".into(),
            message: "m".into(),
            about: *about,
            number: None,
            fatal: *fatal,
            busy: false,
            passing: false,
            retry_after_ms: None,
        },
        Happening::Garbage => ModelEvent::Garbage,
    };
    sim.input(Input::Model(event));
}

fn any_settings() -> impl Strategy<Value = offhook::config::CallSettings> {
    let sound =
        |ms: usize| Sound { name: "x".into(), text: "some spoken words".into(), audio: vec![0x2A; ms * 8].into() };
    let greeting = prop_oneof![
        Just(offhook::config::Spoken::None),
        Just(Spoken::Say("Hello.".into())),
        Just(Spoken::Play(sound(900))),
    ];
    let farewell = prop_oneof![
        Just(offhook::config::Spoken::None),
        Just(Spoken::Say("Bye.".into())),
        Just(Spoken::Play(sound(700)))
    ];
    let interruptions = prop_oneof![
        Just(Interruptions::On),
        Just(Interruptions::Off),
        Just(Interruptions::AfterMs(300)),
        Just(Interruptions::MinWords(2))
    ];
    let local = (any::<bool>(), 0u32..1_000, 50u32..600, 0u32..300, prop_oneof![Just(0u32), Just(5)]);
    let local = local.prop_map(|(resume, shorter_than_ms, silence_duration_ms, prefix_padding_ms, max_turn_s)| {
        let turn = TurnSettings {
            engine: VadEngine::Energy,
            silence_duration_ms,
            prefix_padding_ms,
            max_turn_s,
            ..TurnSettings::default()
        };
        (turn, FalseInterruptions { resume, shorter_than_ms, ..FalseInterruptions::default() })
    });
    let local = prop::option::weighted(0.7, local);
    (greeting, farewell, interruptions, any::<bool>(), 1u64..60, local).prop_map(
        move |(g, f, i, sounds, cap_s, local)| {
            let mut settings = scenario::settings();
            if let Some((turn, false_interruptions)) = local {
                settings.turn_detection = TurnDetection::Local(turn);
                settings.false_interruptions = false_interruptions;
                settings.greeting_interruptible = !sounds;
            }
            settings.greeting = g;
            settings.farewell = f;
            settings.interruptions = i;
            settings.limits.max_duration_s = cap_s;
            let lookup = scenario::http_tool("lookup", 4_000).unwrap();
            let line = if sounds { Spoken::Play(sound(600)) } else { Spoken::Say("One moment.".into()) };
            let desk = Destination { line, ring_s: 5, name: "desk".into(), ..Destination::number("+15550100199") };
            let built_in = [ToolKind::Transfer, ToolKind::SendDtmf, ToolKind::PressToContinue, ToolKind::Wait];
            let built_in = built_in.into_iter().filter_map(|kind| Tool::built_in(kind, std::slice::from_ref(&desk)));
            settings.tools = settings.tools.iter().cloned().chain([lookup]).chain(built_in).collect();
            settings.destinations = [desk].into();
            settings.fetches = cap_s % 5 == 0;
            settings.greeting_interruptible |= cap_s % 7 == 0;
            settings.limits.max_model_s = if cap_s % 11 == 0 { 12 } else { 0 };
            settings.price = Some(Price { minute_micros: 60_000, ..Price::default() });
            settings.budget = (cap_s % 13 == 0).then(|| Budget { micros: 9_000, of: "call".to_owned() });
            settings.tool_sound = Some(ToolSound {
                sound: Sound { text: String::new(), ..sound(250) },
                volume_db: 0.0,
                grace_ms: 10 * cap_s,
                fade_in_ms: 100,
                fade_out_ms: 3 * cap_s,
            });
            if cap_s % 2 == 0 {
                let actions = [('#', KeyAction::Repeat), ('7', KeyAction::HangUp)].into();
                settings.keys = Some(Keys {
                    max_digits: 3,
                    timeout_ms: 500,
                    interrupt: cap_s % 4 == 0,
                    actions,
                    ..Keys::default()
                });
            }
            if cap_s % 3 == 0 {
                let lines = vec![Spoken::Say("There?".into()), Spoken::Play(sound(300))];
                settings.idle = Some(Idle { after_ms: 2_000, lines, times: 3, end: cap_s % 4 == 0 });
            }
            settings.limits.caller_silence_s = 7;
            settings.limits.model_silence_ms = 1_500;
            settings.playout.mark_timeout_ms = 1_000;
            settings.playout.max_queue_s = 5;
            if sounds {
                settings.disclaimer = Some(sound(400));
                settings.hold_sound = Some(Sound { text: String::new(), ..sound(600) });
                settings.filler = Some(sound(300));
                settings.on_failure.line = Some(sound(500));
            }
            settings
        },
    )
}

/// One-way delay of the line on which audio in pieces is tried, in ms.
const DELAY_MS: u64 = 40;

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn every_call_keeps_its_promises(
        settings in any_settings(),
        delay_ms in 0u64..250,
        script in prop::collection::vec((0u64..1_500, happening()), 1..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut sim = Sim::with_journal(settings, delay_ms, JournalKeep::Decisions);
        sim.run_until(CallTime::from_ms(100));
        // Most calls connect; the script may do so again.
        sim.input(Input::Caller(CallerEvent::Started));
        sim.caller_audio(true);
        let mut strayed = false;
        for (wait_ms, what) in &script {
            let at = sim.now().plus_ms(*wait_ms);
            sim.run_until(at);
            apply(&mut sim, what);
            let now = sim.now();
            let played = sim.line().played(now).0;
            // What counts as heard was played: at a clear it may be a guess by less than one message, never more, unless
            // marks were lost and nothing is known.
            let clears = sim.trace.iter().filter(|l| l.ends_with("line clear")).count() as u64;
            // Nothing is recorded as heard that lies in the future.
            // A line that returns marks before their time is believed.
            strayed |= matches!(what, Happening::StrayMark(..));
            let report = sim.engine().report();
            // By the line's clock, which may run ahead: audio of a second that was there at once is a second of media.
            let media_now = now.minus_ms(report.media_start_at_ms.unwrap_or(0)).as_us() * 8 / 1_000;
            let media_now = media_now.max((report.media_ms.unwrap_or(0) + 1) * 8);
            prop_assert!(strayed || sim.seen.record_end <= media_now, "recorded beyond now");
            let lost = report.counters.contains_key("marks_lost");
            prop_assert!(
                lost || strayed || sim.seen.recorded <= played + 8 * 120 * (clears + 1),
                "recorded {} but played {played}", sim.seen.recorded
            );
        }
        // Every call ends by itself: by its cap, or by a line that is dead.
        sim.caller_audio(false);
        let at = sim.now().plus_ms(200_000);
        sim.run_until(at);
        prop_assert!(sim.engine().is_over());
        prop_assert!(sim.seen.end.is_some());
        prop_assert_eq!(sim.seen.after_end, 0);
        prop_assert_eq!(sim.engine().next_deadline(), None);
        prop_assert!(!sim.seen.record_overlap, "the agent's side of the recording overlaps itself");
        prop_assert!(sim.seen.recorded <= sim.seen.sent);
        prop_assert!(sim.seen.most_actions < 500, "one input led to {} actions", sim.seen.most_actions);
        let report = sim.engine().report();
        for line in &report.lines {
            prop_assert!(line.heard_ms <= line.received_ms, "{line:?}");
            prop_assert!(line.at_ms <= line.end_at_ms && line.media_at_ms <= line.media_end_ms, "{line:?}");
        }
        for turn in &report.turns {
            let times = [
                turn.speech_start_at_ms, turn.speech_end_at_ms, turn.stop_decided_at_ms, turn.commit_at_ms,
                turn.response_at_ms, turn.first_model_audio_at_ms, turn.first_audio_sent_at_ms, turn.first_heard_at_ms,
            ];
            prop_assert!(times.iter().flatten().is_sorted(), "{turn:?}");
        }
        // Nothing follows the clear of a line but a new item; marks of a generation come after those of the last.
        let mut generation = 0u32;
        for line in &sim.trace {
            if line.ends_with("line clear") {
                generation += 1;
            } else if let Some((_, mark)) = line.split_once("line mark g") {
                let of: u32 = mark.split_once('-').unwrap().0.parse().unwrap();
                prop_assert_eq!(of, generation, "audio of an earlier generation after a clear");
            }
        }
        // Nobody is held for longer than a second before it is known what was said.
        let mut since = None;
        for (at, event) in &sim.seen.events {
            match event {
                CallEvent::AgentHeld { .. } => since = Some(*at),
                CallEvent::AgentResumed { .. } | CallEvent::BargeIn { .. } | CallEvent::AgentStopped { .. } => {
                    let held_ms = since.take().map_or(0, |since| at.ms_since(since));
                    prop_assert!(held_ms <= 1_000, "the agent was held for {held_ms} ms until {at}");
                }
                // What the caller says over the agent is kept, but for what is too short for a word.
                CallEvent::TurnDropped { rule, voiced_ms } => {
                    let click = rule == "shorter_than_a_word" && *voiced_ms < 200;
                    prop_assert!(click || rule == "closing", "{voiced_ms} ms are erased at {at}: {rule}");
                }
                _ => {}
            }
        }
        // An agent who is held says nothing.
        let mut held = false;
        for line in &sim.trace {
            held = (held || line.contains(" AgentHeld")) && !line.contains(" AgentResumed") && !line.contains("BargeIn") && !line.contains("AgentStopped");
            prop_assert!(!(held && line.contains(" line audio")), "audio while held: {line}");
        }
        // The journal replays to the same decisions, without the audio.
        let kept = sim.journal.take().unwrap().take();
        let replay = Replay::new(&Journal::parse(&kept).unwrap());
        prop_assert!(replay.difference.is_none(), "{:?}", replay.difference);
        // So does what there is of it when its server was killed.
        let head = kept.iter().position(|b| *b == b'\n').unwrap() + 1;
        let torn = Journal::parse(&kept[..head + cut.index(kept.len() - head)]).unwrap();
        let replay = Replay::new(&torn);
        prop_assert!(replay.difference.is_none(), "torn: {:?}", replay.difference);
        // One that lost what was heard in it may decide otherwise, and is read all the same.
        let lines = std::str::from_utf8(&kept).unwrap().split_inclusive('\n');
        let deaf: String = lines.enumerate().filter(|(n, l)| n % 3 > 0 || !l.contains("\"hear\"")).map(|(_, l)| l).collect();
        Replay::new(&Journal::parse(deaf.as_bytes()).unwrap());
    }

    #[test]
    fn the_same_audio_in_any_chunking_is_heard_alike(
        chunks in prop::collection::vec(1usize..4_000, 1..40),
        stop_ms in 300u64..2_800,
        (lead_ms, batch_ms) in prop_oneof![Just((200, 100)), (40u64..1_000, 20u64..500)],
    ) {
        let total = 24_000;
        let heard = |sizes: &mut dyn Iterator<Item = usize>| {
            let mut settings = scenario::settings();
            (settings.playout.lead_ms, settings.playout.batch_ms) = (lead_ms, batch_ms);
            let mut sim = Sim::new(settings, DELAY_MS);
            sim.input(Input::Model(ModelEvent::Ready { session: "s".into(), turns: None }));
            sim.input(Input::Caller(CallerEvent::Started));
            sim.caller_audio(true);
            sim.input(Input::Model(ModelEvent::ResponseStarted { response: "r".into() }));
            let mut left = total;
            while left > 0 {
                let size = sizes.next().unwrap_or(left).min(left);
                let payload = vec![0x55; size];
                sim.input(Input::Model(ModelEvent::Audio { response: "r".into(), item: "a".into(), payload: &payload }));
                left -= size;
            }
            sim.run_until(CallTime::from_ms(stop_ms));
            sim.input(Input::Model(ModelEvent::SpeechStarted { item: "u".into(), audio_start_ms: stop_ms }));
            assert!(!sim.engine().report().counters.contains_key("underruns"), "the line ran dry");
            sim.seen.truncated.clone()
        };
        let whole = heard(&mut std::iter::empty());
        let pieces = heard(&mut chunks.iter().copied().cycle());
        prop_assert_eq!(whole.len(), 1);
        // A first piece that is shorter than a message goes out at once, and its mark is back before the whole message's
        // would be: until then nobody knows how late marks are, and what is reckoned may differ by all of that.
        let by_ms = if stop_ms < lead_ms.min(batch_ms) + 2 * DELAY_MS { 2 * DELAY_MS } else { 1 };
        let (a, b) = (whole[0].1 as i64, pieces.first().map_or(3_000, |t| t.1 as i64));
        prop_assert!(a.abs_diff(b) <= by_ms, "{a} ms heard of the whole, {b} ms of the pieces");
    }
}

#[test]
fn every_scenario_replays_from_its_journal() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "scene") {
            let scene = scenario::Scenario::parse(&fs::read_to_string(&path).unwrap()).unwrap();
            for keep in [JournalKeep::Decisions, JournalKeep::Audio] {
                let mut sim = scene.run_with_journal(keep);
                let journal = Journal::parse(&sim.journal.take().unwrap().take()).unwrap();
                let replay = Replay::new(&journal);
                assert!(replay.difference.is_none(), "{}: {:?}", path.display(), replay.difference);
            }
        }
    }
}

#[test]
fn every_recording_is_what_the_report_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "scene") {
            let scene = scenario::Scenario::parse(&fs::read_to_string(&path).unwrap()).unwrap();
            let mut sim = scene.run_with_journal(JournalKeep::Decisions);
            let report = sim.engine().report();
            let journal = Journal::parse(&sim.journal.take().unwrap().take()).unwrap();
            // Sound wherever there is audio: of what it is the scenarios know nothing.
            let (mut caller, mut agent) = (Vec::new(), Vec::new());
            let paint = |track: &mut Vec<i16>, at: Samples, len: usize| {
                let from = at.0 as usize;
                track.resize(track.len().max(from + len), 0);
                track[from..from + len].fill(1_000);
            };
            Replay::with(&journal, |_, seen| match seen {
                Seen::Action(Action::Record(Record::Caller { at, payload })) => paint(&mut caller, *at, payload.len()),
                Seen::Action(Action::Record(Record::Agent { at, payload })) => paint(&mut agent, *at, payload.len()),
                _ => {}
            });
            let frames = caller.len().max(agent.len());
            caller.resize(frames, 0);
            agent.resize(frames, 0);
            let recorded = Recorded { caller, agent, rate_hz: 8_000, channels: 2, bits: 16 };
            let verification = Verification::new(&journal, Some(&report), &recorded);
            let failed: Vec<_> = verification.checks.iter().filter(|c| c.verdict == Verdict::Fail).collect();
            assert!(failed.is_empty(), "{}: {failed:?}", path.display());
        }
    }
}
