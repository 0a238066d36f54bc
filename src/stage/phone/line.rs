//! Twilio's playout: what the server sends is queued and played in real time, in order; `mark` comes back when everything
//! before it was played, and `clear` empties the queue and sends every waiting mark back at once.
//!
//! A value without clock or socket: time comes in as the stream's position in samples.

use std::borrow::Cow;
use std::collections::VecDeque;

use base64_simd::STANDARD;
use serde::Deserialize;

use crate::base::time::Samples;
use crate::stage::phone::ears::Ears;
use crate::stage::phone::report::{Clear, Heard, MarkEcho, Violation};

/// Most audio that waits to be played: 10 minutes.
const MAX_QUEUED: u64 = 10 * 60 * 8_000;
/// Most messages that wait.
const MAX_ENTRIES: usize = 100_000;
/// Most entries of each list kept for the report.
const MAX_KEPT: usize = 100_000;
/// Most violations kept; all are counted.
const MAX_VIOLATIONS: usize = 100;
/// Most audio kept for listening: 70 minutes.
const MAX_TIMELINE: u64 = 70 * 60 * 8_000;
const RATE_HZ: u32 = 8_000;
/// Longest message that Twilio is trusted to take.
const MAX_MESSAGE: usize = 64 * 1024;
/// Twilio's warning about a binary frame.
const BINARY: u16 = 31_950;
/// Twilio's warning about a message it cannot use.
const INVALID: u16 = 31_951;

/// The playing end of one media stream.
#[derive(Debug)]
pub struct Line {
    stream_sid: String,
    queue: VecDeque<Queued>,
    queued: u64,
    /// Everything before this position is played or stays silent.
    cursor: Samples,
    echoes: VecDeque<String>,
    ears: Ears,
    keep_audio: bool,
    /// What was heard, from the stream's beginning, μ-law, silence between.
    timeline: Vec<u8>,
    heard: Vec<Heard>,
    marks: Vec<MarkEcho>,
    clears: Vec<Clear>,
    violations: Vec<Violation>,
    violation_count: u64,
    dropped: u64,
}

#[derive(Debug)]
enum Queued {
    Audio { bytes: Vec<u8>, played: usize },
    Mark(String),
}

/// What a message from the server was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Audio to play: how many bytes.
    Media(usize),
    /// A mark.
    Mark,
    /// The queue was emptied of this much.
    Clear(Samples),
    /// Not acceptable; it was ignored and noted.
    Violation(String),
}

impl Line {
    /// A stream that begins at position zero. `keep_audio`: whether [`timeline`](Self::timeline) is written.
    pub fn new(stream_sid: impl Into<String>, keep_audio: bool) -> Self {
        Line {
            stream_sid: stream_sid.into(),
            queue: VecDeque::new(),
            queued: 0,
            cursor: Samples::ZERO,
            echoes: VecDeque::new(),
            ears: Ears::default(),
            keep_audio,
            timeline: Vec::new(),
            heard: Vec::new(),
            marks: Vec::new(),
            clears: Vec::new(),
            violations: Vec::new(),
            violation_count: 0,
            dropped: 0,
        }
    }

    /// Takes in a text message that arrived at `now`.
    pub fn receive(&mut self, now: Samples, text: &str) -> Received {
        self.advance(now);
        match Valid::parse(text, &self.stream_sid) {
            Ok(Valid::Media(bytes)) => {
                let len = bytes.len();
                if self.queued + len as u64 > MAX_QUEUED || self.queue.len() >= MAX_ENTRIES {
                    self.dropped += len as u64;
                } else if len > 0 {
                    self.queued += len as u64;
                    self.queue.push_back(Queued::Audio { bytes, played: 0 });
                }
                Received::Media(len)
            }
            Ok(Valid::Mark(name)) => {
                if self.queue.is_empty() {
                    self.echo(name, false);
                } else if self.queue.len() < MAX_ENTRIES {
                    self.queue.push_back(Queued::Mark(name));
                }
                Received::Mark
            }
            Ok(Valid::Clear) => Received::Clear(self.clear()),
            Err(what) => {
                self.violate(INVALID, what.clone());
                Received::Violation(what)
            }
        }
    }

    /// Takes in a binary frame: the protocol has none.
    pub fn receive_binary(&mut self, now: Samples) {
        self.advance(now);
        self.violate(BINARY, "binary frame".to_owned());
    }

    /// Plays up to `now`.
    pub fn advance(&mut self, now: Samples) {
        while let Some(front) = self.queue.front_mut() {
            match front {
                Queued::Mark(name) => {
                    let name = std::mem::take(name);
                    self.queue.pop_front();
                    self.echo(name, false);
                }
                Queued::Audio { bytes, played } => {
                    let room = now.saturating_sub(self.cursor).0 as usize;
                    let take = room.min(bytes.len() - *played);
                    let audio = &bytes[*played..*played + take];
                    self.ears.hear(self.cursor, audio);
                    note_heard(&mut self.heard, self.cursor, take as u64);
                    if self.keep_audio && self.cursor.0 + take as u64 <= MAX_TIMELINE {
                        self.timeline.resize(self.cursor.0 as usize, 0xFF);
                        self.timeline.extend_from_slice(audio);
                    }
                    *played += take;
                    self.queued -= take as u64;
                    self.cursor += Samples(take as u64);
                    if *played < bytes.len() {
                        return;
                    }
                    self.queue.pop_front();
                }
            }
        }
        self.cursor = self.cursor.max(now);
    }

    /// The audio that was received last, if it still waits whole.
    pub fn newest(&self) -> &[u8] {
        match self.queue.back() {
            Some(Queued::Audio { bytes, played: 0 }) => bytes,
            _ => &[],
        }
    }

    /// The name of the next mark to send back.
    pub fn poll_echo(&mut self) -> Option<String> {
        self.echoes.pop_front()
    }

    /// Where playing reaches the next mark; `None`: no mark waits.
    pub fn next_mark_at(&self) -> Option<Samples> {
        let mut at = self.cursor;
        for entry in &self.queue {
            match entry {
                Queued::Mark(_) => return Some(at),
                Queued::Audio { bytes, played } => at += Samples((bytes.len() - played) as u64),
            }
        }
        None
    }

    /// Who is listening.
    pub fn ears(&self) -> &Ears {
        &self.ears
    }

    /// Audio that was dropped because too much was waiting.
    pub fn dropped(&self) -> Samples {
        Samples(self.dropped)
    }

    /// What was heard, in order, as spans without a gap.
    pub fn heard(&self) -> &[Heard] {
        &self.heard
    }

    /// Marks that were sent back, in order.
    pub fn marks(&self) -> &[MarkEcho] {
        &self.marks
    }

    /// Clears, in order.
    pub fn clears(&self) -> &[Clear] {
        &self.clears
    }

    /// The first violations, and how many there were in all.
    pub fn violations(&self) -> (&[Violation], u64) {
        (&self.violations, self.violation_count)
    }

    /// What was heard as μ-law audio: index is position, silence is 0xFF. Empty unless it is kept.
    pub fn timeline(&self) -> &[u8] {
        &self.timeline
    }

    /// Takes the heard audio out.
    pub fn take_timeline(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.timeline)
    }

    fn clear(&mut self) -> Samples {
        let dropped = Samples(std::mem::take(&mut self.queued));
        let mut marks = 0;
        for entry in std::mem::take(&mut self.queue) {
            if let Queued::Mark(name) = entry {
                marks += 1;
                self.echo(name, true);
            }
        }
        self.ears.cut();
        if self.clears.len() < MAX_KEPT {
            let at_ms = self.cursor.as_ms(RATE_HZ);
            self.clears.push(Clear { at_ms, dropped_ms: dropped.as_ms(RATE_HZ), marks });
        }
        dropped
    }

    fn echo(&mut self, name: String, cleared: bool) {
        if self.marks.len() < MAX_KEPT {
            self.marks.push(MarkEcho { name: name.clone(), at_ms: self.cursor.as_ms(RATE_HZ), cleared });
        }
        if self.echoes.len() < MAX_ENTRIES {
            self.echoes.push_back(name);
        }
    }

    fn violate(&mut self, code: u16, what: String) {
        self.violation_count += 1;
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { at_ms: self.cursor.as_ms(RATE_HZ), code, what });
        }
    }
}

fn note_heard(heard: &mut Vec<Heard>, at: Samples, len: u64) {
    if len == 0 {
        return;
    }
    let to = at + Samples(len);
    let full = heard.len() >= MAX_KEPT;
    match heard.last_mut() {
        Some(last) if last.to == at || full => last.to = to,
        _ => heard.push(Heard { from: at, to }),
    }
}

/// A message as Twilio accepts it.
enum Valid {
    Media(Vec<u8>),
    Mark(String),
    Clear,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Message<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(borrow)]
    stream_sid: Text<'a>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(borrow)]
    mark: Option<Mark<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Media<'a> {
    #[serde(borrow)]
    payload: Text<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Valid {
    fn parse(text: &str, stream_sid: &str) -> Result<Valid, String> {
        if text.len() > MAX_MESSAGE {
            return Err(format!("message of {} bytes", text.len()));
        }
        let message: Message<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if message.stream_sid.0 != stream_sid {
            return Err("another stream's streamSid".to_owned());
        }
        match (&*message.event.0, message.media, message.mark) {
            ("media", Some(media), None) => STANDARD
                .decode_to_vec(media.payload.0.as_bytes())
                .map(Valid::Media)
                .map_err(|_| "payload is not base64".to_owned()),
            ("mark", None, Some(mark)) if !mark.name.0.is_empty() => Ok(Valid::Mark(mark.name.0.into_owned())),
            ("clear", None, None) => Ok(Valid::Clear),
            ("media" | "mark" | "clear", ..) => Err(format!("{} with the wrong parts", message.event.0)),
            (event, ..) => Err(format!("unknown event {event:.40}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::{CallerCommand, MarkId};
    use crate::link::twilio::Stream;

    fn at_ms(ms: u64) -> Samples {
        Samples::from_ms(ms, RATE_HZ)
    }

    fn media(ms: u64) -> String {
        let payload = STANDARD.encode_to_string(vec![0x10u8; (ms * 8) as usize]);
        format!(r#"{{"event":"media","streamSid":"MZ1","media":{{"payload":"{payload}"}}}}"#)
    }

    fn mark(name: &str) -> String {
        format!(r#"{{"event":"mark","streamSid":"MZ1","mark":{{"name":"{name}"}}}}"#)
    }

    const CLEAR: &str = r#"{"event":"clear","streamSid":"MZ1"}"#;

    fn echoes(line: &mut Line) -> Vec<String> {
        std::iter::from_fn(|| line.poll_echo()).collect()
    }

    #[test]
    fn audio_plays_in_real_time_and_marks_follow_it() {
        let mut line = Line::new("MZ1", true);
        line.receive(at_ms(100), &media(200));
        line.receive(at_ms(100), &mark("a"));
        line.receive(at_ms(110), &media(100));
        line.receive(at_ms(110), &mark("b"));
        assert_eq!(line.next_mark_at(), Some(at_ms(300)));
        line.advance(at_ms(299));
        assert!(echoes(&mut line).is_empty());
        line.advance(at_ms(300));
        assert_eq!(echoes(&mut line), ["a"]);
        assert_eq!(line.next_mark_at(), Some(at_ms(400)));
        line.advance(at_ms(1_000));
        assert_eq!(echoes(&mut line), ["b"]);
        assert_eq!(line.marks()[1].at_ms, 400, "late to be asked, but played on time");
        line.receive(at_ms(1_000), &media(50));
        line.advance(at_ms(2_000));
        let spans: Vec<_> = line.heard().iter().map(|h| (h.from_ms(), h.to_ms())).collect();
        assert_eq!(spans, [(100, 400), (1_000, 1_050)]);
        assert_eq!(line.timeline().len(), 1_050 * 8);
        assert_eq!((line.timeline()[799], line.timeline()[800], line.timeline()[3_200]), (0xFF, 0x10, 0xFF));
    }

    #[test]
    fn a_mark_with_nothing_before_it_comes_back_at_once() {
        let mut line = Line::new("MZ1", false);
        line.receive(at_ms(5), &mark("x"));
        assert_eq!(echoes(&mut line), ["x"]);
    }

    #[test]
    fn a_clear_drops_what_is_left_and_returns_the_marks() {
        let mut line = Line::new("MZ1", false);
        line.receive(at_ms(0), &media(500));
        line.receive(at_ms(0), &mark("a"));
        line.receive(at_ms(0), &mark("b"));
        assert_eq!(line.receive(at_ms(120), CLEAR), Received::Clear(at_ms(380)));
        assert_eq!(echoes(&mut line), ["a", "b"]);
        assert!(line.marks().iter().all(|m| m.cleared && m.at_ms == 120));
        assert_eq!(line.clears(), [Clear { at_ms: 120, dropped_ms: 380, marks: 2 }]);
        line.advance(at_ms(900));
        assert_eq!(line.heard().len(), 1);
        assert_eq!(line.heard()[0].to_ms(), 120);
    }

    #[test]
    fn what_twilio_does_not_take_is_a_violation() {
        let mut line = Line::new("MZ1", false);
        for text in [
            "hello",
            r#"{"event":"clear"}"#,
            r#"{"event":"clear","stream_sid":"MZ1"}"#,
            r#"{"event":"clear","streamSid":"MZ2"}"#,
            r#"{"event":"clear","streamSid":"MZ1","more":1}"#,
            r#"{"event":"stop","streamSid":"MZ1"}"#,
            r#"{"event":"mark","streamSid":"MZ1"}"#,
            r#"{"event":"mark","streamSid":"MZ1","mark":{}}"#,
            r#"{"event":"media","streamSid":"MZ1","media":{"payload":"!"}}"#,
            r#"{"event":"media","streamSid":"MZ1","mark":{"name":"x"}}"#,
        ] {
            assert!(matches!(line.receive(at_ms(1), text), Received::Violation(_)), "{text}");
        }
        line.receive_binary(at_ms(1));
        let (kept, count) = line.violations();
        assert_eq!(count, 11);
        assert_eq!((kept[0].code, kept[10].code), (31_951, 31_950));
        assert_eq!((line.heard().len(), line.clears().len()), (0, 0));
    }

    proptest! {
        #[test]
        fn what_the_link_writes_is_what_is_heard(audio in prop::collection::vec(any::<u8>(), 0..2_000), generation in any::<u32>(), seq in any::<u32>()) {
            let mut stream = Stream::new();
            stream.decode(r#"{"event":"start","streamSid":"MZ1","start":{"accountSid":"AC1","callSid":"CA1"}}"#);
            let mut line = Line::new("MZ1", true);
            let mut text = String::new();
            for command in [CallerCommand::Audio(&audio), CallerCommand::Mark(MarkId { generation, seq }), CallerCommand::Clear] {
                stream.encode(&command, &mut text);
                if command == CallerCommand::Clear {
                    line.advance(Samples(10_000));
                }
                line.receive(Samples(10), &text);
            }
            prop_assert_eq!(line.violations().1, 0);
            prop_assert_eq!(&line.timeline()[10.min(line.timeline().len())..], &audio[..]);
            let name = line.poll_echo().unwrap();
            let echo = format!(r#"{{"event":"mark","streamSid":"MZ1","mark":{{"name":"{name}"}}}}"#);
            let mark = crate::engine::CallerEvent::MarkPlayed(MarkId { generation, seq });
            prop_assert_eq!(stream.decode(&echo), crate::link::twilio::Decoded::Event(mark));
        }

        #[test]
        fn any_text_is_survived(text in ".{0,200}", at in 0u64..1_000_000) {
            Line::new("MZ1", true).receive(Samples(at), &text);
        }
    }
}
