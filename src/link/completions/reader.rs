//! One answer, as a stream of events or whole: bytes in, what the model says out.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::lenient::{Text, or_empty, read};
use super::calls::{Calls, Piece};
use super::sse::{self, Decoder};
use super::{Limits, refusal};
use crate::talk::model::{Finish, ModelError, ModelEvent, Usage};

/// One answer's worth of state: feed it what was read, and [`end`](Self::end) it when there is no more.
#[derive(Debug)]
pub struct Reader {
    decoder: Decoder,
    limits: Limits,
    /// Bytes read.
    read: usize,
    state: State,
}

#[derive(Debug)]
struct State {
    /// The bound of text, and of calls.
    answer_bytes: usize,
    text: usize,
    arguments: usize,
    calls: Calls,
    id: String,
    finished: bool,
    usage: Option<Usage>,
    over: bool,
}

impl Reader {
    /// A reader for one answer.
    pub fn new(limits: Limits) -> Reader {
        let state = State {
            answer_bytes: limits.answer_bytes,
            text: 0,
            arguments: 0,
            calls: Calls::default(),
            id: String::new(),
            finished: false,
            usage: None,
            over: false,
        };
        Reader { decoder: Decoder::new(limits.event_bytes), limits, read: 0, state }
    }

    /// Takes bytes of a stream, cut anywhere, and puts what they say behind `out`. What comes after the end is left alone.
    ///
    /// # Errors
    /// The stream cannot be read on: it tells of an error, is not what it should be, or goes on for too long.
    pub fn feed(&mut self, bytes: &[u8], out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        let Reader { decoder, limits, read, state } = self;
        if state.over {
            return Ok(());
        }
        *read = read.saturating_add(bytes.len());
        if *read > limits.stream_bytes {
            return Err(ModelError::TooLong { limit: limits.stream_bytes });
        }
        let mut fault = None;
        let fed = decoder.feed(bytes, |event| {
            if fault.is_none() {
                fault = state.event(&event, out).err();
            }
        });
        match (fault, fed) {
            (Some(fault), _) => Err(fault),
            (None, Err(sse::TooLong)) if !state.over => Err(ModelError::TooLong { limit: limits.event_bytes }),
            _ => Ok(()),
        }
    }

    /// There is no more. `why`: in the system's words, where the connection did not end as it should.
    ///
    /// # Errors
    /// The answer has no end.
    pub fn end(&mut self, why: Option<&str>, out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        let Reader { decoder, state, .. } = self;
        let mut fault = None;
        decoder.end(|event| {
            // Half an event is what a cut leaves of one.
            let error = state.event(&event, out).err();
            fault = fault.take().or(error.filter(|error| !matches!(error, ModelError::Malformed { .. })));
        });
        match fault {
            Some(fault) => Err(fault),
            None if state.over => Ok(()),
            None if state.finished => {
                state.over(out);
                Ok(())
            }
            None => Err(ModelError::Broken { why: why.unwrap_or("the stream ended before the answer did").to_owned() }),
        }
    }

    /// Takes an answer that came whole, as JSON.
    ///
    /// # Errors
    /// It is none, or too long.
    pub fn whole(&mut self, body: &str, out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        let state = &mut self.state;
        state.chunk(body, out)?;
        if !state.finished && !state.said_something() {
            return Err(malformed("it has no choices"));
        }
        state.over(out);
        Ok(())
    }

    /// Whether all there is has come.
    pub fn is_over(&self) -> bool {
        self.state.over
    }
}

impl State {
    fn event(&mut self, event: &sse::Event<'_>, out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        if self.over {
            return Ok(());
        }
        let data = event.data.trim();
        if data == "[DONE]" {
            if !self.finished && !self.said_something() {
                return Err(malformed("the stream ended without an answer"));
            }
            self.over(out);
            return Ok(());
        }
        if event.name == "error" {
            return Err(refusal::in_stream(data));
        }
        // Some keep a connection open by words of their own.
        if data.starts_with('{') { self.chunk(data, out) } else { Ok(()) }
    }

    fn chunk(&mut self, data: &str, out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        let data = &*mend(data);
        let chunk: Chunk<'_> = read(data).ok_or_else(|| malformed("it is not JSON"))?;
        if let Some(error) = chunk.error.filter(|raw| !is_nothing(raw)) {
            return Err(refusal::in_stream(error.get()));
        }
        let choices: Vec<Choice<'_>> = match chunk.choices {
            Some(raw) => read(raw.get()).ok_or_else(|| malformed("its choices cannot be read"))?,
            None if chunk.usage.is_none() && refusal::is_error(data) => return Err(refusal::in_stream(data)),
            None => Vec::new(),
        };
        if self.id.is_empty() {
            self.id.push_str(&or_empty(chunk.id));
        }
        // Those who tell it with every chunk add up.
        if let Some(usage) = chunk.usage.and_then(|raw| usage(raw.get())) {
            self.usage = Some(usage);
        }
        for choice in choices {
            if choice.index.as_ref().is_none_or(|index| matches!(&*index.0, "" | "0")) {
                self.choice(choice, out)?;
            }
        }
        Ok(())
    }

    fn choice(&mut self, choice: Choice<'_>, out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        if let Some(error) = choice.error.filter(|raw| !is_nothing(raw)) {
            return Err(refusal::in_stream(error.get()));
        }
        if let Some(delta) = choice.delta.or(choice.message) {
            self.delta(delta, out)?;
        }
        // An empty reason is none: some write it into every chunk.
        let reason = or_empty(choice.finish_reason);
        if reason == "error" {
            return Err(refusal::in_stream("\"the answer ended in an error\""));
        }
        if !reason.is_empty() && !self.finished {
            self.finished = true;
            out.push_back(ModelEvent::Finish(Finish::read(&reason)));
        }
        Ok(())
    }

    fn delta(&mut self, delta: Delta<'_>, out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        let (said, thought) = delta.content.map(content).unwrap_or_default();
        let hidden = [delta.reasoning_content, delta.reasoning].into_iter().flatten();
        if thought || hidden.into_iter().any(|raw| !is_nothing(raw)) {
            out.push_back(ModelEvent::Thinking);
        }
        // Why it will not answer is what it says.
        for text in [said, or_empty(delta.refusal)] {
            if !text.is_empty() {
                spend(&mut self.text, text.len(), self.answer_bytes)?;
                out.push_back(ModelEvent::Delta(text.into_owned()));
            }
        }
        if let Some(raw) = delta.tool_calls.filter(|raw| !is_nothing(raw)) {
            let unreadable = || malformed("its tool calls cannot be read");
            for piece in read::<Vec<Piece<'_>>>(raw.get()).ok_or_else(unreadable)? {
                let piece = self.calls.take(piece, &self.id);
                self.call(piece, out)?;
            }
        }
        if let Some(raw) = delta.function_call.filter(|raw| !is_nothing(raw)) {
            let piece = self.calls.take_function(read(raw.get()).unwrap_or_default(), &self.id);
            self.call(piece, out)?;
        }
        Ok(())
    }

    fn call(&mut self, piece: ModelEvent, out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        if let ModelEvent::ToolCall { id, name, arguments, .. } = &piece {
            let names = [id, name].into_iter().flatten().map(String::len).sum::<usize>();
            spend(&mut self.arguments, names + arguments.len(), self.answer_bytes)?;
        }
        if self.calls.len() > MAX_CALLS {
            return Err(malformed("it calls too many tools"));
        }
        out.push_back(piece);
        Ok(())
    }

    fn said_something(&self) -> bool {
        self.text > 0 || self.calls.len() > 0
    }

    /// All has come.
    fn over(&mut self, out: &mut VecDeque<ModelEvent>) {
        if !std::mem::replace(&mut self.finished, true) {
            out.push_back(ModelEvent::Finish(Finish::Stop));
        }
        out.extend(self.usage.map(ModelEvent::Usage));
        out.push_back(ModelEvent::Done);
        self.over = true;
    }
}

/// `None`: no figure in it.
fn usage(raw: &str) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Told<'a> {
        #[serde(borrow)]
        prompt_tokens: Option<Text<'a>>,
        #[serde(borrow)]
        completion_tokens: Option<Text<'a>>,
        #[serde(borrow)]
        prompt_tokens_details: Option<&'a RawValue>,
        /// As DeepSeek tells it.
        #[serde(borrow)]
        prompt_cache_hit_tokens: Option<Text<'a>>,
    }
    #[derive(Default, Deserialize)]
    struct Details<'a> {
        #[serde(borrow)]
        cached_tokens: Option<Text<'a>>,
    }
    let told: Told<'_> = read(raw)?;
    let number = |text: Option<Text<'_>>| text.and_then(|text| text.0.parse::<f64>().ok()).map(|n| n as u64);
    let details: Details<'_> = told.prompt_tokens_details.and_then(|raw| read(raw.get())).unwrap_or_default();
    let (input, output) = (number(told.prompt_tokens), number(told.completion_tokens));
    let input_tokens = input.or(output.map(|_| 0))?;
    let cached = number(details.cached_tokens).or(number(told.prompt_cache_hit_tokens)).unwrap_or(0);
    Some(Usage { input_tokens, cached_tokens: cached.min(input_tokens), output_tokens: output.unwrap_or(0) })
}

/// A chunk of a stream, or a whole answer.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    choices: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    index: Option<Text<'a>>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    message: Option<Delta<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
}

/// What a message says, and whether some of it is thought: a text, or a list of parts.
fn content(raw: &RawValue) -> (Cow<'_, str>, bool) {
    #[derive(Deserialize)]
    struct Part<'a> {
        #[serde(borrow, rename = "type")]
        kind: Option<Text<'a>>,
        #[serde(borrow)]
        text: Option<Text<'a>>,
    }
    if !raw.get().starts_with('[') {
        return (or_empty(read(raw.get())), false);
    }
    let parts: Vec<Part<'_>> = read(raw.get()).unwrap_or_default();
    let is_thought = |part: &Part<'_>| part.kind.as_ref().is_some_and(|kind| kind.0 == "thinking");
    let thinks = parts.iter().any(is_thought);
    let said = parts.into_iter().filter(|part| !is_thought(part)).map(|part| or_empty(part.text));
    (Cow::Owned(said.collect()), thinks)
}

fn is_nothing(raw: &RawValue) -> bool {
    matches!(raw.get(), "null" | "false" | "\"\"" | "{}" | "[]")
}

/// JSON without halves of characters: `\ud83d` alone is what a gateway makes of one that it cut in two, and no JSON reader
/// takes it. Each becomes a replacement character.
fn mend(data: &str) -> Cow<'_, str> {
    let is_escape = |at: usize| {
        // Behind an odd number of backslashes the `u` begins an escape.
        data[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
    };
    let surrogate = |at: usize, first: u16| {
        let code = data.get(at + 1..at + 5).and_then(|hex| u16::from_str_radix(hex, 16).ok());
        code.is_some_and(|code| (first..first + 0x400).contains(&code))
    };
    let mut mended = Cow::Borrowed(data);
    let mut whole_until = 0;
    let mut at = 0;
    while let Some(next) = data[at..].find('u').map(|next| at + next) {
        at = next + 1;
        if next < whole_until || !is_escape(next) {
            continue;
        }
        let low_follows = data.get(next + 5..next + 7) == Some("\\u") && surrogate(next + 6, LOW);
        if surrogate(next, HIGH) && low_follows {
            whole_until = next + 11;
        } else if surrogate(next, HIGH) || surrogate(next, LOW) {
            mended.to_mut().replace_range(next + 1..next + 5, "fffd");
        }
    }
    mended
}

/// Where the two halves of a character begin.
const HIGH: u16 = 0xD800;
const LOW: u16 = 0xDC00;

fn spend(spent: &mut usize, bytes: usize, limit: usize) -> Result<(), ModelError> {
    *spent += bytes;
    if *spent > limit { Err(ModelError::TooLong { limit }) } else { Ok(()) }
}

fn malformed(why: &str) -> ModelError {
    ModelError::Malformed { why: why.to_owned() }
}

/// Tool calls of one answer.
const MAX_CALLS: usize = 64;
