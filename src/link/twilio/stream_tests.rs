use proptest::prelude::*;

use super::*;

const START: &str = r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ1","start":{"streamSid":"MZ1","accountSid":"AC1","callSid":"CA1","tracks":["inbound"],"customParameters":{"tenant":"42"},"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}}}"#;

fn started() -> Stream {
    let mut stream = Stream::new();
    assert!(matches!(stream.decode(START), Decoded::Start(_)));
    stream
}

fn media(seq: u64, at_ms: u64, payload: &str) -> String {
    format!(
        r#"{{"event":"media","sequenceNumber":"{seq}","streamSid":"MZ1","media":{{"track":"inbound","chunk":"2","timestamp":"{at_ms}","payload":"{payload}"}}}}"#
    )
}

/// Decodes a message that must come to nothing, and says which counters moved.
fn ignored(stream: &mut Stream, text: &str) -> Vec<&'static str> {
    let before = stream.counters().clone();
    let decoded = stream.decode(text);
    assert_eq!(decoded, Decoded::Nothing, "{text:.200}");
    moved(&before, stream.counters())
}

fn moved(before: &Counters, after: &Counters) -> Vec<&'static str> {
    let pairs = before.iter().zip(after.iter());
    pairs.filter(|(b, a)| a.1 > b.1 && a.0 != "messages").map(|(b, _)| b.0).collect()
}

#[test]
fn a_stream_from_connected_to_stop() {
    let mut stream = Stream::new();
    assert_eq!(stream.decode(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#), Decoded::Connected);
    assert_eq!(stream.stream_sid(), None);
    let Decoded::Start(start) = stream.decode(START) else { panic!("no start") };
    assert_eq!(
        *start,
        Start {
            stream_sid: "MZ1".into(),
            account_sid: "AC1".into(),
            call_sid: "CA1".into(),
            tracks: vec!["inbound".into()],
            parameters: [("tenant".to_owned(), "42".to_owned())].into(),
            media_format: MediaFormat { encoding: "audio/x-mulaw".into(), sample_rate: 8_000, channels: 1 },
        }
    );
    assert_eq!(stream.stream_sid(), Some("MZ1"));
    let text = media(2, 5, "/wB/");
    assert_eq!(stream.decode(&text), Decoded::Event(CallerEvent::Audio { at_ms: 5, payload: &[0xFF, 0x00, 0x7F] }));
    let text =
        r##"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"3","dtmf":{"track":"inbound_track","digit":"#"}}"##;
    assert_eq!(stream.decode(text), Decoded::Event(CallerEvent::Dtmf('#')));
    let text = r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"g2-7"}}"#;
    assert_eq!(stream.decode(text), Decoded::Event(CallerEvent::MarkPlayed(MarkId { generation: 2, seq: 7 })));
    let stop = r#"{"event":"stop","sequenceNumber":"5","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#;
    assert_eq!(stream.decode(stop), Decoded::Event(CallerEvent::StreamEnded));
    assert_eq!(ignored(&mut stream, stop), ["after_stop"]);
    assert_eq!(stream.counters().iter().filter(|(_, n)| *n > 0).count(), 3, "{:?}", stream.counters());
}

#[test]
fn numbers_may_be_json_numbers_and_strings_may_have_escapes() {
    let mut stream = started();
    let text = r#"{"event":"media","sequenceNumber":2,"streamSid":"MZ1","media":{"track":"inbound","chunk":1,"timestamp":40,"payload":"\/wB\/"}}"#;
    assert_eq!(stream.decode(text), Decoded::Event(CallerEvent::Audio { at_ms: 40, payload: &[0xFF, 0x00, 0x7F] }));
    let start = START.replace("8000", "\"8000\"").replace(":1}", ":\"1\"}");
    assert!(matches!(Stream::new().decode(&start), Decoded::Start(_)));
}

#[test]
fn each_odd_message_is_counted_under_its_own_name() {
    let mut stream = started();
    let audio = media(2, 20, "fw==");
    for (text, names) in [
        ("", &["malformed"][..]),
        ("hello", &["malformed"]),
        ("[]", &["malformed"]),
        ("{}", &["malformed"]),
        (&audio[..audio.len() - 9], &["malformed"]),
        (r#"{"event":"media","streamSid":"MZ1"}"#, &["malformed"]),
        (r#"{"event":"media","streamSid":"MZ1","media":{"timestamp":"x","payload":"fw=="}}"#, &["malformed"]),
        (r#"{"event":"media","streamSid":"MZ1","media":{"timestamp":-4,"payload":"fw=="}}"#, &["malformed"]),
        (r#"{"event":"dtmf","streamSid":"MZ1"}"#, &["malformed"]),
        (r#"{"event":"speed","streamSid":"MZ1"}"#, &["unknown_events"]),
        (START, &["second_starts"]),
        (r#"{"event":"stop","streamSid":"MZ2"}"#, &["wrong_stream"]),
        (
            r#"{"event":"media","streamSid":"MZ1","media":{"track":"outbound","timestamp":1,"payload":"fw=="}}"#,
            &["other_track"],
        ),
        (r#"{"event":"dtmf","streamSid":"MZ1","dtmf":{"track":"outbound_track","digit":"1"}}"#, &["other_track"]),
        (r#"{"event":"media","streamSid":"MZ1","media":{"timestamp":1,"payload":"f!=="}}"#, &["bad_base64"]),
        (r#"{"event":"media","streamSid":"MZ1","media":{"timestamp":1,"payload":""}}"#, &["empty"]),
        (r#"{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"E"}}"#, &["bad_digits"]),
        (r#"{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"12"}}"#, &["bad_digits"]),
        (r#"{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":""}}"#, &["bad_digits"]),
        (r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"seg-7"}}"#, &["foreign_marks"]),
        (r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"g1-+7"}}"#, &["foreign_marks"]),
        (r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"g1-4294967296"}}"#, &["foreign_marks"]),
        (r#"{"event":"mark","streamSid":"MZ1"}"#, &["foreign_marks"]),
        (&media(2, 20, &"A".repeat(MAX_MESSAGE)), &["oversized"]),
    ] {
        assert_eq!(ignored(&mut stream, text), names, "{text:.200}");
    }
    stream.binary();
    assert_eq!(stream.counters().binary, 1);
    assert!(matches!(stream.decode(&audio), Decoded::Event(CallerEvent::Audio { at_ms: 20, .. })), "still alive");
}

#[test]
fn nothing_is_heard_or_said_before_the_start() {
    let mut stream = Stream::new();
    assert_eq!(ignored(&mut stream, &media(2, 0, "fw==")), ["before_start"]);
    let mut out = "old".to_owned();
    stream.encode(&CallerCommand::Clear, &mut out);
    assert_eq!((out.as_str(), stream.counters().unsent), ("", 1));
}

#[test]
fn a_start_with_other_audio_or_unusable_ids_does_not_start() {
    for (from, to) in [("audio/x-mulaw", "audio/x-alaw"), ("8000", "16000"), (r#""channels":1"#, r#""channels":2"#)] {
        let mut stream = Stream::new();
        assert!(matches!(stream.decode(&START.replace(from, to)), Decoded::Unsupported(_)), "{to}");
        assert_eq!(stream.stream_sid(), None);
    }
    for (from, to) in
        [("MZ1", ""), ("CA1", "CA\\\"1"), (r#""streamSid":"MZ1","start""#, r#""streamSid":"MZ2","start""#)]
    {
        let mut stream = Stream::new();
        assert_eq!(ignored(&mut stream, &START.replace(from, to)), ["malformed"], "{to}");
    }
}

#[test]
fn sequence_numbers_tell_lost_late_and_doubled_messages_apart() {
    let mut stream = started();
    for seq in [2, 3, 6, 4, 6, 4, 7, 100_000, 100_001] {
        let text = media(seq, seq * 20, "fw==");
        assert!(
            matches!(stream.decode(&text), Decoded::Event(CallerEvent::Audio { .. })),
            "audio is the engine's to judge"
        );
    }
    let c = stream.counters();
    assert_eq!((c.missing, c.late, c.duplicates, c.sequence_leaps), (2, 1, 2, 1));
}

#[test]
fn a_doubled_key_press_counts_once() {
    let mut stream = started();
    let text =
        r#"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"2","dtmf":{"track":"inbound_track","digit":"1"}}"#;
    assert_eq!(stream.decode(text), Decoded::Event(CallerEvent::Dtmf('1')));
    assert_eq!(ignored(&mut stream, text), ["duplicates"]);
    let again = text.replace("\"2\"", "\"3\"");
    assert_eq!(stream.decode(&again), Decoded::Event(CallerEvent::Dtmf('1')));
}

#[test]
fn commands_are_written_as_twilio_reads_them() {
    let mut stream = started();
    let mut out = String::new();
    let mut write = |command| {
        stream.encode(&command, &mut out);
        out.clone()
    };
    assert_eq!(
        write(CallerCommand::Audio(&[0xFF, 0x00, 0x7F])),
        r#"{"event":"media","streamSid":"MZ1","media":{"payload":"/wB/"}}"#
    );
    assert_eq!(
        write(CallerCommand::Mark(MarkId { generation: 3, seq: 12 })),
        r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"g3-12"}}"#
    );
    assert_eq!(write(CallerCommand::Clear), r#"{"event":"clear","streamSid":"MZ1"}"#);
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in ".{0,200}") {
        started().decode(&text);
        Stream::new().decode(&text);
    }

    #[test]
    fn no_damage_is_too_odd(which in 0usize..4, at in 0usize..400, byte in 0u8..128, cut in any::<bool>()) {
        let messages = [START.to_owned(), media(2, 40, "AAECAwQ="), r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"g2-7"}}"#.into(), r#"{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"1"}}"#.into()];
        let mut text = messages[which].clone().into_bytes();
        let at = at % text.len();
        text[at] = byte;
        if cut { text.truncate(at) }
        let text = String::from_utf8(text).unwrap();
        started().decode(&text);
        Stream::new().decode(&text);
    }

    #[test]
    fn any_sequence_is_followed(numbers in prop::collection::vec(prop_oneof![0u64..200, any::<u64>()], 0..200)) {
        let mut stream = started();
        for seq in numbers {
            let text = media(seq, seq, "fw==");
            let audio = matches!(stream.decode(&text), Decoded::Event(CallerEvent::Audio { .. }));
            prop_assert!(audio);
        }
    }
}
