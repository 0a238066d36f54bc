mod requests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::sse::{Decoder, TooLong};
use super::*;
use crate::config::{Secret, TextDialect, TextModel};
use crate::talk::model::{Ask, Finish, Message, ModelError, ModelEvent, Options, Said, ToolCall, ToolSpec, Usage};

const LIMITS: Limits = Limits { event_bytes: 4_096, answer_bytes: 1_000, stream_bytes: 20_000 };

/// What comes of a stream that is cut into these pieces, up to its end.
fn read_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<ModelEvent>, Option<ModelError>) {
    let (mut reader, mut out) = (Reader::new(LIMITS), VecDeque::new());
    for piece in pieces {
        if let Err(error) = reader.feed(piece, &mut out) {
            return (out.into(), Some(error));
        }
    }
    let error = if reader.is_over() { None } else { reader.end(None, &mut out).err() };
    (out.into(), error)
}

fn read_all(stream: &str) -> (Vec<ModelEvent>, Option<ModelError>) {
    read_pieces([stream.as_bytes()])
}

/// The same, of chunks with these first choices, and `[DONE]`.
fn read_choices(choices: &[Value]) -> Vec<ModelEvent> {
    let chunks =
        choices.iter().map(|choice| format!("data: {}\n\n", json!({ "id": "chatcmpl-7", "choices": [choice] })));
    let (events, error) = read_all(&(chunks.collect::<String>() + "data: [DONE]\n\n"));
    assert_eq!(error, None);
    events
}

fn delta(text: &str) -> ModelEvent {
    ModelEvent::Delta(text.to_owned())
}

fn piece(index: u32, id: Option<&str>, name: Option<&str>, arguments: &str) -> ModelEvent {
    let text = |text: Option<&str>| text.map(str::to_owned);
    ModelEvent::ToolCall { index, id: text(id), name: text(name), arguments: arguments.to_owned() }
}

/// What the calls among `events` come to: id, name, arguments.
fn calls(events: &[ModelEvent]) -> Vec<(String, String, String)> {
    let mut calls: Vec<(String, String, String)> = Vec::new();
    for event in events {
        let ModelEvent::ToolCall { index, id, name, arguments } = event else { continue };
        let index = *index as usize;
        assert!(index <= calls.len(), "calls are numbered one after the other");
        if index == calls.len() {
            calls.push((id.clone().expect("its first piece has an id"), String::new(), String::new()));
        }
        calls[index].1 += name.as_deref().unwrap_or_default();
        calls[index].2 += arguments;
    }
    calls
}

fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
    (id.to_owned(), name.to_owned(), arguments.to_owned())
}

/// A stream with all that there is: comments, every line ending, several data lines, letters of many bytes, a BOM, tools.
const WHOLE: &str = "\u{feff}: ping\r\n\r\ndata: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\r\n\r\n\
    data:{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Grüße 👋\"}}],\"obfuscation\":\"x\"}\n\n\
    : OPENROUTER PROCESSING\n\n\
    event: message\rdata: {\"choices\":[{\"index\":0,\rdata: \"delta\":{\"content\":\" aus Zürich.\"}}]}\r\r\
    id: 7\nretry: 10\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"lookup\",\"arguments\":\"\"}}]}}]}\n\n\
    data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"q\\\":1}\"}}]}}]}\n\n\
    data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,\"total_tokens\":13,\"prompt_tokens_details\":{\"cached_tokens\":5}}}\n\n\
    data: [DONE]\n\n";

fn whole() -> Vec<ModelEvent> {
    vec![
        delta("Grüße 👋"),
        delta(" aus Zürich."),
        piece(0, Some("call_1"), Some("lookup"), ""),
        piece(0, None, None, "{\"q\":1}"),
        ModelEvent::Finish(Finish::ToolCalls),
        ModelEvent::Usage(Usage { input_tokens: 9, cached_tokens: 5, output_tokens: 4 }),
        ModelEvent::Done,
    ]
}

#[test]
fn a_stream_is_the_same_wherever_it_is_cut() {
    let bytes = WHOLE.as_bytes();
    for at in 0..=bytes.len() {
        assert_eq!(read_pieces([&bytes[..at], &bytes[at..]]), (whole(), None), "cut at {at}");
    }
    assert_eq!(read_pieces(bytes.chunks(1)), (whole(), None));
}

proptest! {
    #[test]
    fn any_bytes_are_read_alike_in_any_pieces(bytes in proptest::collection::vec(any::<u8>(), 0..400), size in 1usize..50) {
        // Of what a stream is made of, and of anything.
        let mut stream = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\n\r\n".to_vec();
        stream.extend(bytes);
        prop_assert_eq!(read_pieces([&stream[..]]), read_pieces(stream.chunks(size)));
    }

    #[test]
    fn a_stream_that_ends_anywhere_never_says_that_it_is_whole(cut in 0usize..1_500) {
        let bytes = &WHOLE.as_bytes()[..cut.min(WHOLE.len())];
        let (events, error) = read_pieces([bytes]);
        let finished = events.contains(&ModelEvent::Finish(Finish::ToolCalls));
        prop_assert_eq!(events.contains(&ModelEvent::Done), finished);
        prop_assert_eq!(error.is_none(), finished);
    }
}

#[test]
fn bytes_that_are_no_text_cost_themselves_only() {
    let stream = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\xFFb\xE2\x82\"}}]}\n\ndata: [DONE]\n\n";
    let expected = vec![delta("a\u{fffd}b\u{fffd}"), ModelEvent::Finish(Finish::Stop), ModelEvent::Done];
    assert_eq!(read_pieces([&stream[..]]), (expected.clone(), None));
    assert_eq!(read_pieces(stream.chunks(1)), (expected, None));
}

#[test]
fn halves_of_characters_cost_themselves_only() {
    for (content, said) in [
        (r"a\ud83d\udc4bb", "a👋b"),
        (r"a\ud83d", "a\u{fffd}"),
        (r"\uDC4Bb", "\u{fffd}b"),
        (r"\ud83d\ud83d\udc4b\udc4b", "\u{fffd}👋\u{fffd}"),
        (r"\\ud83d \u00fc", r"\ud83d ü"),
        (r"\\\ud83d", "\\\u{fffd}"),
    ] {
        let (events, error) = read_all(&format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\ndata: [DONE]\n\n"
        ));
        assert_eq!((&events[0], error), (&delta(said), None), "{content}");
    }
}

#[test]
fn events_lines_answers_and_streams_are_bounded() {
    let long =
        |bytes: usize| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "x".repeat(bytes));
    for (stream, limit) in [
        (long(1 << 20), LIMITS.event_bytes),
        // Without an end of line, in comments and in many lines.
        ("x".repeat(5_000), LIMITS.event_bytes),
        (format!(": {}\n", "x".repeat(5_000)), LIMITS.event_bytes),
        ("data: xxxxxxxxxxxxxxxx\n".repeat(500), LIMITS.event_bytes),
        (long(600).repeat(2), LIMITS.answer_bytes),
        (": ping\n\n".repeat(3_000), LIMITS.stream_bytes),
    ] {
        for size in [1, 100, 10_000] {
            let (_, error) = read_pieces(stream.as_bytes().chunks(size));
            assert_eq!(error, Some(ModelError::TooLong { limit }), "{size} {}", &stream[..20]);
        }
    }
    let arguments = json!({ "delta": { "tool_calls": [{ "index": 0, "function": { "name": "a", "arguments": "x".repeat(1_000) } }] } });
    let (_, error) = read_all(&format!("data: {}\n\n", json!({ "choices": [arguments] })));
    assert_eq!(error, Some(ModelError::TooLong { limit: LIMITS.answer_bytes }));
}

#[test]
fn what_ends_an_answer() {
    let says = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    let ends = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
    let broken = ModelError::Broken { why: "the stream ended before the answer did".to_owned() };
    let done = |finish| vec![delta("Hi"), ModelEvent::Finish(finish), ModelEvent::Done];
    for (stream, events, error) in [
        (format!("{says}{ends}data: [DONE]\n\n"), done(Finish::Stop), None),
        // Without the last event, without its blank line, without a reason.
        (format!("{says}{ends}"), done(Finish::Stop), None),
        (format!("{says}{ends}data: [DONE]"), done(Finish::Stop), None),
        (format!("{says}{}", ends.trim_end()), done(Finish::Stop), None),
        (format!("{says}data: [DONE]\n\n"), done(Finish::Stop), None),
        // Nothing is read behind the end.
        (format!("{says}{ends}data: [DONE]\n\n{says}data: {{"), done(Finish::Stop), None),
        (says.to_owned(), vec![delta("Hi")], Some(broken.clone())),
        (format!("{says}{}", &ends[..40]), vec![delta("Hi")], Some(broken.clone())),
        (String::new(), vec![], Some(broken)),
        ("data: [DONE]\n\n".to_owned(), vec![], Some(malformed("the stream ended without an answer"))),
    ] {
        assert_eq!(read_all(&stream), (events, error), "{stream}");
    }
    let (events, _) = read_all(&format!("{says}{ends}{usage}"));
    assert_eq!(events[2], ModelEvent::Usage(Usage { input_tokens: 1, cached_tokens: 0, output_tokens: 2 }));
    for (reason, finish) in [
        ("stop", Finish::Stop),
        ("length", Finish::Length),
        ("tool_calls", Finish::ToolCalls),
        ("function_call", Finish::ToolCalls),
        ("content_filter", Finish::ContentFilter),
        ("eos", Finish::Other("eos".to_owned())),
    ] {
        let events = read_choices(&[json!({ "delta": { "content": "Hi" }, "finish_reason": reason })]);
        assert_eq!(events, done(finish), "{reason}");
    }
    // An empty reason is none.
    let choices = ["", "", "stop"].map(|reason| json!({ "delta": { "content": "a" }, "finish_reason": reason }));
    assert_eq!(read_choices(&choices).len(), 5);
}

#[test]
fn an_error_in_a_stream_is_one_whatever_it_looks_like() {
    let first = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    for (event, code, message) in [
        ("data: {\"error\":{\"message\":\"Overloaded\",\"type\":\"server_error\",\"code\":null}}", None, "Overloaded"),
        (
            "data: {\"error\":{\"code\":502,\"message\":\"Provider returned error\"},\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}",
            Some("502"),
            "Provider returned error",
        ),
        ("data: {\"error\":\"busy\"}", None, "busy"),
        ("data: {\"object\":\"error\",\"message\":\"no room\",\"type\":\"x\",\"code\":400}", Some("400"), "no room"),
        ("event: error\ndata: {\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}", None, "Overloaded"),
        ("data: {\"choices\":[{\"error\":{\"message\":\"lost\",\"code\":\"x\"}}]}", Some("x"), "lost"),
        ("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}", None, "the answer ended in an error"),
        // Without its field, as a gateway writes it that fails in mid-stream.
        ("{\"error\":{\"message\":\"gone\",\"code\":\"y\"}}", Some("y"), "gone"),
    ] {
        for before in ["", first] {
            let (events, error) = read_all(&format!("{before}{event}\n\ndata: [DONE]\n\n"));
            let Some(ModelError::InStream { said }) = error else { panic!("{event}: {error:?}") };
            assert_eq!((said.code.as_deref(), &*said.message), (code, message), "{event}");
            assert_eq!(events.len(), before.len().min(1), "{event}");
        }
    }
    for (event, why) in [
        ("data: {\"choices\":[{\"delta\":{\"content\":\"He", "it is not JSON"),
        ("data: {\"choices\":[{\"delta\":7}]}", "its choices cannot be read"),
        ("data: {\"choices\":[{\"delta\":{\"tool_calls\":[7]}}]}", "its tool calls cannot be read"),
    ] {
        let (events, error) = read_all(&format!("{first}{event}\n\n"));
        assert_eq!((events, error), (vec![delta("Hi")], Some(malformed(why))), "{event}");
    }
    // What is no error.
    for event in [
        "data: {\"error\":null,\"choices\":[]}",
        "data: ping",
        "data:",
        "event: keepalive",
        "data: {\"type\":\"ping\"}",
        "data: {\"choices\":null,\"error\":{}}",
    ] {
        let (events, error) = read_all(&format!("{event}\n\n{first}data: [DONE]\n\n"));
        assert_eq!((events.len(), error), (3, None), "{event}");
    }
}

#[test]
fn text_and_thoughts_in_every_shape() {
    for (delta_, said, thinks) in [
        (json!({ "content": "a" }), "a", 0),
        (json!({ "content": null, "reasoning_content": "hm" }), "", 1),
        (json!({ "content": "", "reasoning": "hm" }), "", 1),
        (json!({ "content": "a", "reasoning_content": null, "reasoning": "" }), "a", 0),
        (
            json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": "hm" }] }, { "type": "text", "text": "b" }] }),
            "b",
            1,
        ),
        (json!({ "refusal": "I will not." }), "I will not.", 0),
        (json!({ "role": "assistant" }), "", 0),
        (json!(null), "", 0),
    ] {
        // In a chunk, and as a whole answer.
        for name in ["delta", "message"] {
            let events = read_choices(&[json!({ "index": 0, name: delta_, "finish_reason": "stop" })]);
            let text: String = events
                .iter()
                .filter_map(|event| if let ModelEvent::Delta(text) = event { Some(&**text) } else { None })
                .collect();
            let thoughts = events.iter().filter(|event| **event == ModelEvent::Thinking).count();
            assert_eq!((&*text, thoughts), (said, thinks), "{delta_}");
        }
    }
    // Another answer than the first was not asked for.
    assert_eq!(
        read_choices(&[json!({ "index": 1, "delta": { "content": "b" } }), json!({ "delta": { "content": "a" } })])[0],
        delta("a")
    );
}

#[test]
fn an_answer_that_comes_whole_is_read_alike() {
    let body = json!({ "id": "chatcmpl-1", "object": "chat.completion", "created": 1.5, "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "Hi" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 1 } });
    let mut out = VecDeque::new();
    Reader::new(LIMITS).whole(&body.to_string(), &mut out).unwrap();
    let usage = ModelEvent::Usage(Usage { input_tokens: 3, cached_tokens: 0, output_tokens: 1 });
    assert_eq!(Vec::from(out), [delta("Hi"), ModelEvent::Finish(Finish::Stop), usage, ModelEvent::Done]);
    for (body, error) in [
        ("<html>", malformed("it is not JSON")),
        ("{}", malformed("it has no choices")),
        ("{\"choices\":[]}", malformed("it has no choices")),
    ] {
        assert_eq!(Reader::new(LIMITS).whole(body, &mut VecDeque::new()), Err(error), "{body}");
    }
    let error = Reader::new(LIMITS).whole("{\"error\":{\"message\":\"Overloaded\"}}", &mut VecDeque::new());
    assert!(matches!(error, Err(ModelError::InStream { said }) if said.message == "Overloaded"));
}

#[test]
fn calls_are_told_apart_however_they_are_numbered() {
    let pieces = |all: &[&[Value]]| -> Vec<(String, String, String)> {
        let choices: Vec<Value> = all.iter().map(|pieces| json!({ "delta": { "tool_calls": pieces } })).collect();
        calls(&read_choices(&choices))
    };
    let f = |name: Option<&str>, arguments: Value| json!({ "name": name, "arguments": arguments });
    // As the API has it: two at once, interleaved.
    let two = pieces(&[
        &[json!({ "index": 0, "id": "a", "type": "function", "function": f(Some("one"), json!("")) })],
        &[json!({ "index": 1, "id": "b", "type": "function", "function": f(Some("two"), json!("{\"x\"")) })],
        &[
            json!({ "index": 0, "function": f(None, json!("{}")) }),
            json!({ "index": 1, "function": f(None, json!(":1}")) }),
        ],
    ]);
    assert_eq!(two, [call("a", "one", "{}"), call("b", "two", "{\"x\":1}")]);
    // The name, the id and the role with each piece.
    let repeated = pieces(&[
        &[json!({ "index": 0, "id": "a", "function": f(Some("one"), json!("{\"x\"")) })],
        &[json!({ "index": 0, "id": "a", "function": f(Some("one"), json!(":1}")) })],
    ]);
    assert_eq!(repeated, [call("a", "one", "{\"x\":1}")]);
    // All numbered alike: by their ids, and without any by being whole.
    for ids in [["\"a\"", "\"b\""], ["null", "null"]] {
        let id = |n: usize| serde_json::from_str::<Value>(ids[n]).unwrap();
        let alike = pieces(&[
            &[json!({ "index": 0, "id": id(0), "function": f(Some("one"), json!("{\"x\":1}")) })],
            &[json!({ "index": 0, "id": id(1), "function": f(Some("one"), json!("{\"x\":2}")) })],
        ]);
        let expected = if ids[0] == "null" { ["call_chatcmpl7_0", "call_chatcmpl7_1"] } else { ["a", "b"] };
        assert_eq!(alike, [call(expected[0], "one", "{\"x\":1}"), call(expected[1], "one", "{\"x\":2}")]);
    }
    // Not numbered at all: in one chunk, and in pieces that only follow one another.
    let unnumbered = pieces(&[
        &[
            json!({ "id": "a", "function": f(Some("one"), json!("{\"x\":1}")) }),
            json!({ "id": "b", "function": f(Some("two"), json!("{\"y\"")) }),
        ],
        &[json!({ "function": f(None, json!(":2}")) })],
        &[json!({ "id": "a", "function": f(None, json!("")) })],
    ]);
    assert_eq!(unnumbered, [call("a", "one", "{\"x\":1}"), call("b", "two", "{\"y\":2}")]);
    // Arguments as JSON, a number as text, no arguments.
    let odd = pieces(&[
        &[json!({ "index": "0", "id": "a", "function": f(Some("one"), json!({ "x": 1 })) })],
        &[json!({ "index": 1.0, "id": 7, "function": { "name": "two" } })],
    ]);
    assert_eq!(odd, [call("a", "one", "{\"x\":1}"), call("7", "two", "")]);
    // The API's first kind of call.
    let choices =
        ["{\"x\"", ":1}"].map(|part| json!({ "delta": { "function_call": { "name": "one", "arguments": part } } }));
    assert_eq!(calls(&read_choices(&choices)), [call("call_chatcmpl7_0", "one", "{\"x\":1}")]);
    // Too many.
    let many: Vec<Value> =
        (0..65).map(|n| json!({ "index": n, "id": n.to_string(), "function": { "name": "a" } })).collect();
    let (_, error) = read_all(&format!("data: {}\n\n", json!({ "choices": [{ "delta": { "tool_calls": many } }] })));
    assert_eq!(error, Some(malformed("it calls too many tools")));
}

#[test]
fn usage_is_read_as_vendors_tell_it() {
    let told = |usage: Value| {
        let chunk = json!({ "choices": [{ "delta": { "content": "a" }, "finish_reason": "stop" }], "usage": usage });
        let (events, _) = read_all(&format!("data: {chunk}\n\ndata: [DONE]\n\n"));
        events.iter().find_map(|event| if let ModelEvent::Usage(usage) = event { Some(*usage) } else { None })
    };
    let usage = |input_tokens, cached_tokens, output_tokens| Some(Usage { input_tokens, cached_tokens, output_tokens });
    assert_eq!(told(json!({ "prompt_tokens": 3, "completion_tokens": 2 })), usage(3, 0, 2));
    assert_eq!(told(json!({ "prompt_tokens": 3, "prompt_tokens_details": { "cached_tokens": 9 } })), usage(3, 3, 0));
    assert_eq!(
        told(json!({ "prompt_tokens": 3.0, "completion_tokens": "2", "prompt_cache_hit_tokens": 1 })),
        usage(3, 1, 2)
    );
    assert_eq!(told(json!({ "prompt_tokens": null, "total_tokens": 7 })), None);
    assert_eq!(told(json!({})), None);
}

#[test]
fn the_decoder_follows_the_standard() {
    let read = |text: &str| {
        let (mut decoder, mut events) = (Decoder::new(100), Vec::new());
        let fed = decoder.feed(text.as_bytes(), |event| events.push(format!("{}|{}", event.name, event.data)));
        decoder.end(|event| events.push(format!("{}|{}", event.name, event.data)));
        (events, fed)
    };
    for (text, events) in [
        ("data: a\n\n", &["|a"][..]),
        ("data:  a\n\n", &["| a"]),
        ("data: a\ndata\ndata: b\n\n", &["|a\n\nb"]),
        ("data\n\n", &[]),
        ("event: x\n\ndata: a\n\n", &["|a"]),
        ("event: x\nevent: y\ndata: a\n\n", &["y|a"]),
        ("dat: a\nid: 1\n\n", &[]),
        ("data: a\r\rdata: b\r\r", &["|a", "|b"]),
        ("\u{feff}data: a\n\n", &["|a"]),
        (":\n\n\n", &[]),
    ] {
        assert_eq!(read(text), (events.iter().map(|event| (*event).to_owned()).collect(), Ok(())), "{text:?}");
    }
    assert_eq!(read(&format!("data: {}\n", "x".repeat(95))).1, Err(TooLong));
}

fn malformed(why: &str) -> ModelError {
    ModelError::Malformed { why: why.to_owned() }
}
