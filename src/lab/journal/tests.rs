//! Round trips, hostile files and sizes.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::base::audio::AudioFormat;
use crate::base::audio::level::audible_end;
use crate::base::time::CallTime;
use crate::config::*;
use crate::engine::*;

/// Settings of a phone call with something in every field.
pub(crate) fn settings() -> CallSettings {
    CallSettings {
        seed: 7,
        deployment: "front-desk".into(),
        agent: "mia".into(),
        revision: "0123abcd".into(),
        format: AudioFormat::PHONE,
        turn_detection: TurnDetection::Provider { threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 200 },
        shadows: Vec::new(),
        interruptions: Interruptions::On,
        false_interruptions: Default::default(),
        back_channels: Default::default(),
        noise_reduction: crate::config::NoiseReduction::None,
        echo_guard: true,
        transcribed: true,
        disclaimer: None,
        greeting: Spoken::Say("Hello.".into()),
        greeting_interruptible: true,
        farewell: Spoken::Say("Bye.".into()),
        tools: Tool::built_ins(&[ToolKind::Note, ToolKind::HangUp]),
        destinations: Default::default(),
        variables: Default::default(),
        fetches: false,
        on_failure: OnFailure {
            line: Some(Sound { name: "sorry.wav".into(), text: "Sorry.".into(), audio: Arc::from(vec![0x7F; 800]) }),
            then: AfterFailure::HangUp,
        },
        hold_sound: None,
        filler: None,
        keys: None,
        idle: None,
        limits: Limits {
            max_duration_s: 600,
            max_model_s: 0,
            warn_before_s: 30,
            farewell_s: 10,
            caller_silence_s: 60,
            caller_gone_s: 10,
            line_back_s: 4,
            model_silence_ms: 4_000,
            transcript_wait_ms: 3_000,
            model_recovery_s: 10,
            media_start_s: 15,
            early_audio_ms: 5_000,
        },
        playout: Playout { lead_ms: 160, batch_ms: 100, max_queue_s: 120, mark_timeout_ms: 3_000 },
        price: None,
        budget_grows: false,
        budget: None,
        tool_sound: None,
        max_session_min: 55,
        dial_timeout_ms: 5_000,
        outbound: None,
        elsewhere: Vec::new(),
    }
}

/// A journal with these inputs and no decisions.
fn written(inputs: &[(CallTime, Input<'_>)], keep: JournalKeep) -> Vec<u8> {
    let mut pen = Pen::new(&settings(), keep);
    for (at, input) in inputs {
        pen.input(*at, input);
    }
    pen.take()
}

fn text() -> impl Strategy<Value = String> {
    // Anything at all, with the characters that break line and JSON formats often.
    prop_oneof!["[a-z_0-9]{0,12}", any::<String>(), "[\n\r\"\\\\\u{0}\u{2028}{}]{0,8}"]
}

fn reason() -> impl Strategy<Value = EndReason> {
    prop_oneof![
        Just(EndReason::CallerHungUp),
        Just(EndReason::CallerGone),
        Just(EndReason::CallerSilent),
        Just(EndReason::NeverConnected),
        text().prop_map(|why| EndReason::NotAnswered { how: crate::engine::NotAnswered::Busy, why }),
        any::<bool>().prop_map(|left| EndReason::Voicemail { left }),
        text().prop_map(|why| EndReason::AgentHungUp { why }),
        Just(EndReason::DurationCap),
        text().prop_map(|why| EndReason::ModelUnavailable { why }),
        Just(EndReason::ModelSilent),
        Just(EndReason::Operator),
        Just(EndReason::Shutdown),
        text().prop_map(|why| EndReason::Internal { why }),
    ]
}

fn model_event() -> impl Strategy<Value = (ModelEvent<'static>, Vec<u8>)> {
    let status = prop_oneof![
        Just(ResponseStatus::Completed),
        Just(ResponseStatus::Cancelled),
        Just(ResponseStatus::Failed),
        Just(ResponseStatus::Incomplete)
    ];
    let about = proptest::option::of(prop_oneof![
        Just(CommandKind::Configure),
        Just(CommandKind::AppendAudio),
        Just(CommandKind::CommitAudio),
        Just(CommandKind::ClearAudio),
        Just(CommandKind::CreateResponse),
        Just(CommandKind::CancelResponse),
        Just(CommandKind::Truncate),
        Just(CommandKind::AddMessage),
        Just(CommandKind::DeleteItem),
        Just(CommandKind::ToolOutput)
    ]);
    let tokens = any::<[u64; 5]>().prop_map(|t| Usage {
        input_tokens: t[0],
        input_audio_tokens: t[1],
        cached_tokens: t[2],
        output_tokens: t[3],
        output_audio_tokens: t[4],
    });
    let silent = prop_oneof![
        text().prop_map(|s| ModelEvent::Ready { session: s.into(), turns: None }),
        (text(), any::<bool>()).prop_map(|(s, retry)| ModelEvent::Closed { reason: s.into(), retry }),
        (text(), any::<u64>())
            .prop_map(|(s, audio_start_ms)| ModelEvent::SpeechStarted { item: s.into(), audio_start_ms }),
        (text(), any::<u64>()).prop_map(|(s, audio_end_ms)| ModelEvent::SpeechStopped { item: s.into(), audio_end_ms }),
        text().prop_map(|s| ModelEvent::Committed { item: s.into() }),
        (text(), text(), any::<bool>()).prop_map(|(i, t, done)| ModelEvent::CallerTranscript {
            item: i.into(),
            text: t.into(),
            done
        }),
        text().prop_map(|s| ModelEvent::ResponseStarted { response: s.into() }),
        (text(), text(), text(), any::<bool>()).prop_map(|(r, i, t, done)| ModelEvent::AgentTranscript {
            response: r.into(),
            item: i.into(),
            text: t.into(),
            done
        }),
        text().prop_map(|i| ModelEvent::TranscriptFailed { item: i.into() }),
        (text(), text(), text(), text()).prop_map(|(r, c, n, a)| ModelEvent::ToolCall {
            response: r.into(),
            call: c.into(),
            name: n.into(),
            arguments: a.into()
        }),
        (text(), status, proptest::option::of(text()), tokens).prop_map(|(r, status, d, usage)| {
            ModelEvent::ResponseDone {
                response: r.into(),
                status,
                detail: d.map(Into::into),
                usage,
                fatal: false,
                retry_after_ms: None,
            }
        }),
        (text(), text(), about, any::<Option<u32>>(), any::<bool>()).prop_map(|(c, m, about, number, fatal)| {
            ModelEvent::Error {
                code: c.into(),
                message: m.into(),
                about,
                number,
                fatal,
                busy: false,
                passing: false,
                retry_after_ms: None,
            }
        }),
        Just(ModelEvent::Garbage),
    ];
    let audio = (text(), text(), any::<Vec<u8>>())
        .prop_map(|(r, i, payload)| (ModelEvent::Audio { response: r.into(), item: i.into(), payload: &[] }, payload));
    prop_oneof![10 => silent.prop_map(|event| (event, Vec::new())), 3 => audio]
}

/// An input without its audio, and its audio.
fn any_input() -> impl Strategy<Value = (Input<'static>, Vec<u8>)> {
    let result = prop_oneof![Just(EffectResult::Done), text().prop_map(EffectResult::Failed)];
    let silent = prop_oneof![
        Just(Input::Caller(CallerEvent::Started)),
        any::<char>().prop_map(|digit| Input::Caller(CallerEvent::Dtmf(digit))),
        any::<(u32, u32)>()
            .prop_map(|(generation, seq)| Input::Caller(CallerEvent::MarkPlayed(MarkId { generation, seq }))),
        Just(Input::Caller(CallerEvent::HungUp)),
        Just(Input::Caller(CallerEvent::StreamEnded)),
        Just(Input::Caller(CallerEvent::Lost)),
        (any::<u32>(), result).prop_map(|(id, result)| Input::Effect(EffectId(id), result)),
        Just(Input::Control(Control::CommitTurn)),
        Just(Input::Control(Control::LineReturns)),
        reason().prop_map(|why| Input::Control(Control::End(why))),
        reason().prop_map(|why| Input::Control(Control::EndNow(why))),
        Just(Input::Tick),
    ];
    let audio = (any::<u64>(), any::<Vec<u8>>())
        .prop_map(|(at_ms, payload)| (Input::Caller(CallerEvent::Audio { at_ms, payload: &[] }), payload));
    prop_oneof![
        silent.prop_map(|input| (input, Vec::new())),
        audio,
        model_event().prop_map(|(event, payload)| (Input::Model(event), payload)),
    ]
}

/// The input with its audio put in.
fn with_audio<'a>(input: &Input<'a>, audio: &'a [u8]) -> Input<'a> {
    match input.clone() {
        Input::Caller(CallerEvent::Audio { at_ms, .. }) => Input::Caller(CallerEvent::Audio { at_ms, payload: audio }),
        Input::Model(ModelEvent::Audio { response, item, .. }) => {
            Input::Model(ModelEvent::Audio { response, item, payload: audio })
        }
        other => other,
    }
}

proptest! {
    #[test]
    fn every_input_comes_back_as_it_was(inputs in proptest::collection::vec((any::<u64>(), any_input()), 0..20)) {
        let inputs: Vec<_> = inputs.iter().map(|(at, (i, audio))| (CallTime::from_us(*at), with_audio(i, audio))).collect();
        let journal = Journal::parse(&written(&inputs, JournalKeep::Audio)).unwrap();
        prop_assert_eq!(&journal.settings, &settings());
        prop_assert!(!journal.torn && journal.has_audio());
        let read: Vec<_> = journal.entries.iter().map(|e| (e.at, journal.input(e).unwrap())).collect();
        prop_assert_eq!(read, inputs);
    }

    #[test]
    fn without_audio_a_replay_hears_silence_of_the_same_length(
        inputs in proptest::collection::vec((any::<u64>(), any_input()), 0..20)
    ) {
        let given: Vec<_> = inputs.iter().map(|(at, (i, audio))| (CallTime::from_us(*at), with_audio(i, audio))).collect();
        let bytes = written(&given, JournalKeep::Decisions);
        prop_assert!(!String::from_utf8_lossy(&bytes).contains("\"b64\":"));
        let journal = Journal::parse(&bytes).unwrap();
        // As long as it was, and what the agent said is to be heard as far as it was.
        let (format, nothing) = (settings().format, &[][..]);
        for (entry, (_, given)) in journal.entries.iter().zip(&given) {
            let read = journal.input(entry).unwrap();
            match (&read, given) {
                (Input::Model(ModelEvent::Audio { payload: read, .. }), Input::Model(ModelEvent::Audio { payload, .. })) => {
                    prop_assert_eq!((read.len(), audible_end(format, read)), (payload.len(), audible_end(format, payload)));
                }
                (Input::Caller(CallerEvent::Audio { payload: read, .. }), Input::Caller(CallerEvent::Audio { payload, .. })) => {
                    prop_assert_eq!(*read, &vec![0xFF; payload.len()][..]);
                }
                _ => {}
            }
            prop_assert_eq!(with_audio(&read, nothing), with_audio(given, nothing));
        }
        prop_assert_eq!(journal.entries.len(), given.len());
    }

    #[test]
    fn a_journal_cut_anywhere_keeps_its_whole_lines(
        inputs in proptest::collection::vec((any::<u64>(), any_input()), 1..8),
        cut in any::<proptest::sample::Index>(),
    ) {
        let inputs: Vec<_> = inputs.iter().map(|(at, (i, audio))| (CallTime::from_us(*at), with_audio(i, audio))).collect();
        let bytes = written(&inputs, JournalKeep::Audio);
        let head = bytes.iter().position(|&b| b == b'\n').unwrap() + 1;
        let cut = head + cut.index(bytes.len() - head + 1);
        let journal = Journal::parse(&bytes[..cut]).unwrap();
        let ends = bytes[..cut].iter().filter(|&&b| b == b'\n').count() - 1;
        // A line that lacks nothing but its end is whole.
        let lacks_end = bytes.get(cut) == Some(&b'\n') && bytes[cut - 1] != b'\n';
        prop_assert_eq!(journal.entries.len(), ends + usize::from(lacks_end));
        prop_assert_eq!(journal.torn, bytes[cut - 1] != b'\n' && !lacks_end);
    }

    #[test]
    fn garbage_is_refused_and_never_panics(bytes in any::<Vec<u8>>(), at in any::<proptest::sample::Index>(), byte: u8) {
        let _ = Journal::parse(&bytes);
        let mut good = written(&[(CallTime::ZERO, Input::Caller(CallerEvent::Audio { at_ms: 20, payload: &[7; 3] }))], JournalKeep::Audio);
        let head = good.len();
        good.extend_from_slice(&bytes);
        good.push(b'\n');
        let _ = Journal::parse(&good);
        let at = at.index(head);
        good[at] = byte;
        let _ = Journal::parse(&good);
    }
}

#[test]
fn decisions_are_kept_in_words_and_in_order() {
    let mut pen = Pen::new(&settings(), JournalKeep::Decisions);
    pen.action(CallTime::ZERO, &Action::DialModel);
    pen.input(CallTime::from_ms(5), &Input::Tick);
    pen.action(CallTime::from_ms(5), &Action::SendModel(ModelCommand::AppendAudio(&[0; 160])));
    let note = CallEvent::Noted { text: "call \"Ann\"\nback".into() };
    pen.action(CallTime::from_ms(5), &Action::Emit(note.clone()));
    pen.action(CallTime::from_ms(5), &Action::End(EndReason::CallerHungUp));
    let bytes = pen.take();
    assert!(pen.is_empty());
    let journal = Journal::parse(&bytes).unwrap();
    let lines: Vec<_> = journal.entries.iter().map(|e| (e.at.as_ms(), e.kind.clone())).collect();
    assert_eq!(lines[0], (0, Kind::Out("model dial".into())));
    assert!(matches!(lines[1].1, Kind::In(_)));
    assert_eq!(lines[2], (5, Kind::Out(note.to_string())));
    assert_eq!(lines[3], (5, Kind::Out("End caller_hung_up".into())));
    assert_eq!(lines.len(), 4);
    assert!(journal.is_finished());
    assert_eq!(journal.length(), CallTime::from_ms(5));
}

#[test]
fn what_was_heard_comes_back_with_the_input_it_was_heard_in() {
    let step = |per_mille, level_db| {
        let probability = crate::ears::vad::Probability::from_per_mille(per_mille);
        crate::ears::vad::Step { end: crate::base::time::Samples(1), probability, level_db }
    };
    for keep in [JournalKeep::Decisions, JournalKeep::Audio] {
        let mut pen = Pen::new(&settings(), keep);
        let at = CallTime::from_ms(20);
        pen.input(at, &Input::Caller(CallerEvent::Audio { at_ms: 0, payload: &[0; 320] }));
        for heard in [step(1_000, 0), step(0, -128)] {
            pen.action(at, &Action::Heard(heard));
        }
        pen.action(at, &Action::DialModel);
        pen.action(at, &Action::Heard(step(412, -31)));
        pen.input(at, &Input::Tick);
        pen.action(at, &Action::Heard(step(7, -90)));
        let bytes = pen.take();
        assert!(String::from_utf8_lossy(&bytes).contains("\n{\"at_us\":20000,\"hear\":[412,-31]}\n"));
        let journal = Journal::parse(&bytes).unwrap();
        let heard = |index| journal.heard_of(index).map(|(p, level)| (p.per_mille(), level)).collect::<Vec<_>>();
        assert_eq!(heard(0), [(1_000, 0), (0, -128), (412, -31)]);
        assert_eq!(heard(5), [(7, -90)]);
        assert_eq!(heard(6), []);
    }
    let mut off = Pen::new(&settings(), JournalKeep::Off);
    off.action(CallTime::ZERO, &Action::Heard(step(1, -1)));
    assert!(off.is_empty());
}

#[test]
fn off_writes_nothing() {
    let mut pen = Pen::new(&settings(), JournalKeep::Off);
    pen.input(CallTime::ZERO, &Input::Tick);
    pen.action(CallTime::ZERO, &Action::DialModel);
    assert_eq!((pen.len(), pen.take().len()), (0, 0));
}

#[test]
fn errors_name_the_line_and_what_is_wrong() {
    let refused = |bytes: &[u8]| Journal::parse(bytes).unwrap_err();
    assert!(refused(b"").message.contains("not an offhook journal"));
    assert!(refused(b"RIFF....").message.contains("not an offhook journal"));
    let error = refused(b"{\"offhook_journal\":2,\"settings\":[1,2]}\n");
    assert_eq!(error.to_string(), "line 1: a journal of version 2; this offhook reads version 1");
    assert!(refused(b"{\"offhook_journal\":1,\"settings\":{}}\n").message.contains("settings cannot be read"));

    let with = |line: &str| {
        let mut bytes = written(&[(CallTime::ZERO, Input::Tick)], JournalKeep::Audio);
        bytes.extend_from_slice(line.as_bytes());
        refused(&bytes)
    };
    assert_eq!(with("{\"at_us\":1}\n").line, 3);
    assert!(with("{\"at_us\":1,\"in\":\"tick\",\"out\":\"x\"}\n").message.contains("expected one of"));
    assert!(with("{\"at_us\":1,\"in\":\"tick\",\"hear\":[1,-1]}\n").message.contains("expected one of"));
    assert_eq!(
        with("{\"at_us\":1,\"hear\":[1001,-31]}\n").to_string(),
        "line 3: \"hear\" is [1001,-31]; allowed: [0 to 1000, -128 to 0]"
    );
    for wrong in
        ["[1,1]", "[0,-129]", "[-1,0]", "[0.5,0]", "[70000,0]", "[1]", "[1,-1,1]", "[]", "7", "\"x\"", "[null,0]"]
    {
        assert_eq!(with(&format!("{{\"at_us\":1,\"hear\":{wrong}}}\n")).line, 3, "{wrong}");
    }
    assert!(with("{\"at_us\":1,\"in\":\"tock\"}\n").message.contains("unknown variant"));
    assert!(
        with("{\"at_us\":1,\"in\":{\"audio\":{\"at_ms\":0,\"len\":4,\"b64\":\"AAAA\"}}}\n").message.contains("3 bytes")
    );
    assert!(with("{\"at_us\":1,\"in\":{\"audio\":{\"at_ms\":0,\"len\":99999999999}}}\n").message.contains("at most"));
}

#[test]
fn an_input_takes_no_memory_but_the_buffers() {
    // Room is given once; a second of frames then fits without the buffer moving.
    let mut pen = Pen::new(&settings(), JournalKeep::Audio);
    let frame = [0x5A; 160];
    let second = |pen: &mut Pen| {
        for i in 0..50 {
            pen.input(CallTime::from_ms(i * 20), &Input::Caller(CallerEvent::Audio { at_ms: i * 20, payload: &frame }));
            pen.action(CallTime::from_ms(i * 20), &Action::SendCaller(CallerCommand::Audio(&frame)));
        }
    };
    second(&mut pen);
    pen.take();
    let room = pen.buffer_capacity();
    second(&mut pen);
    assert_eq!(pen.buffer_capacity(), room);
}

#[test]
fn sizes_are_as_the_docs_say() {
    // A minute, a quarter of an hour into the call, in which both talk all the time: frames of 20 ms from the caller, deltas
    // of 200 ms from the model, sent on in batches of 100 ms with a mark each.
    let minute = |keep, hears: bool| {
        let mut pen = Pen::new(&settings(), keep);
        pen.take();
        let mut steps = 0;
        for i in 0..3_000_u64 {
            let (at, at_ms) = (CallTime::from_us(900_000_123 + i * 20_000), 899_000 + i * 20);
            pen.input(at, &Input::Caller(CallerEvent::Audio { at_ms, payload: &[0x5A; 160] }));
            // Of 16 ms each.
            while hears && (steps + 1) * 16 <= (i + 1) * 20 {
                steps += 1;
                let probability = crate::ears::vad::Probability::from_per_mille(987);
                pen.action(
                    at,
                    &Action::Heard(crate::ears::vad::Step { end: Default::default(), probability, level_db: -31 }),
                );
            }
            if i % 10 == 0 {
                let (response, item) = ("resp_ABCDEFGHIJKLMNOPQRSTU".into(), "item_ABCDEFGHIJKLMNOPQRSTU".into());
                pen.input(at, &Input::Model(ModelEvent::Audio { response, item, payload: &[0x5A; 1_600] }));
            }
            if i % 5 == 0 {
                let mark = MarkId { generation: 12, seq: i as u32 };
                pen.action(at, &Action::SendCaller(CallerCommand::Audio(&[0x5A; 800])));
                pen.action(at, &Action::SendCaller(CallerCommand::Mark(mark)));
                pen.input(at, &Input::Caller(CallerEvent::MarkPlayed(mark)));
            }
        }
        pen.len() as f64 / 1e6
    };
    let (decisions, audio) = (minute(JournalKeep::Decisions, false), minute(JournalKeep::Audio, false));
    let steps = minute(JournalKeep::Decisions, true) - decisions;
    assert!((steps - 0.14).abs() < 0.005, "{steps} MB");
    assert!((decisions - 0.33).abs() < 0.01, "{decisions} MB");
    assert!((audio - 1.64).abs() < 0.02, "{audio} MB");
}
