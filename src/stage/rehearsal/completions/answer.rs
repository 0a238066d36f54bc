//! An answer, whole or as a stream, and what goes wrong with it.

use std::time::Duration;

use serde_json::{Value, json};

use super::request::Request;
use super::schema::example;
use super::script::{Chat, Completion};

/// What the socket is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Step {
    Wait(Duration),
    Send(String),
    /// Cut the connection without a word.
    Cut,
    /// Nothing more comes.
    Stall,
}

/// What one answer says.
#[derive(Debug)]
pub(in super::super) struct Answer<'a> {
    request: &'a Request,
    scripted: &'a Completion,
    chat: &'a Chat,
    /// Counts the answers.
    number: u64,
    /// Seconds since 1970.
    created: u64,
    script: String,
    content: String,
    /// Name and arguments.
    calls: Vec<(String, String)>,
    cut_short: bool,
}

impl<'a> Answer<'a> {
    /// The answer to `request`, of the script's entry that is called `script`.
    pub(in super::super) fn new(
        request: &'a Request,
        (script, scripted): (String, &'a Completion),
        chat: &'a Chat,
        number: u64,
        created: u64,
    ) -> Answer<'a> {
        let called = scripted.tools.iter().filter(|tool| request.tools.contains(&tool.name));
        let arguments = |tool: &super::super::script::Tool| {
            let arguments = serde_json::to_string(&tool.arguments);
            arguments.unwrap_or_else(|_| "{}".to_owned())
        };
        let calls: Vec<_> = called.map(|tool| (tool.name.clone(), arguments(tool))).collect();
        let mut content = match (&scripted.content, &request.schema) {
            (Some(content), _) => content.clone(),
            (None, _) if scripted.echo => request.said.clone(),
            (None, _) if !calls.is_empty() => String::new(),
            (None, Some(schema)) => example(schema).to_string(),
            (None, None) => "This is the built-in model; it understands nothing.".to_owned(),
        };
        // About four characters to a token, as models count.
        let most = request.max_tokens.map(|tokens| usize::try_from(tokens).unwrap_or(usize::MAX).saturating_mul(4));
        let end = most.and_then(|most| content.char_indices().nth(most)).map(|(end, _)| end);
        content.truncate(end.unwrap_or(content.len()));
        Answer { request, scripted, chat, number, created, script, content, calls, cut_short: end.is_some() }
    }

    /// All at once.
    pub(in super::super) fn whole(&self) -> Value {
        let content = if self.content.is_empty() { Value::Null } else { json!(self.content) };
        let mut message = json!({ "role": "assistant", "content": content, "refusal": null, "annotations": [] });
        if !self.calls.is_empty() {
            let calls = self.calls.iter().enumerate().map(|(place, (name, arguments))| {
                let function = json!({ "name": name, "arguments": arguments });
                json!({ "id": self.call_id(place), "type": "function", "function": function })
            });
            message["tool_calls"] = calls.collect();
        }
        if let Some(reasoning) = &self.scripted.reasoning {
            message["reasoning_content"] = json!(reasoning);
        }
        let choice = json!({ "index": 0, "finish_reason": self.finish(), "logprobs": null, "message": message });
        self.object("chat.completion", json!([choice]), Some(self.usage()))
    }

    /// As a stream, with what goes wrong.
    pub(in super::super) fn stream(&self) -> Vec<Step> {
        let fault = &self.scripted.fault;
        let pause = self.scripted.token_ms.unwrap_or(self.chat.token_ms);
        let mut steps = Vec::new();
        if fault.gateway {
            steps.push(Step::Send(": connected\r\n\r\n".to_owned()));
        }
        steps.push(self.event(&self.delta(json!({ "role": "assistant", "content": "", "refusal": null }), None)));
        if let Some(reasoning) = &self.scripted.reasoning {
            let words = reasoning.split_inclusive(' ');
            steps.extend(words.map(|word| self.event(&self.delta(json!({ "reasoning_content": word }), None))));
        }
        let tokens = self.content.split_inclusive(' ').map(|word| json!({ "content": word })).chain(self.call_pieces());
        let mut sent = 0;
        for token in tokens {
            if self.break_at(sent, &mut steps) {
                return steps;
            }
            if sent > 0 && pause > 0 {
                steps.push(Step::Wait(Duration::from_millis(pause)));
            }
            steps.push(self.event(&self.delta(token, None)));
            sent += 1;
        }
        if self.break_at(sent, &mut steps) {
            return steps;
        }
        steps.push(self.event(&self.delta(json!({}), Some(&self.finish()))));
        if self.request.usage && !fault.no_usage {
            steps.push(self.event(&self.object("chat.completion.chunk", json!([]), Some(self.usage()))));
        }
        if !fault.no_done {
            steps.push(Step::Send(self.line("[DONE]")));
        }
        steps
    }

    /// Does what is to go wrong after so many tokens. Whether that was the end.
    fn break_at(&self, sent: usize, steps: &mut Vec<Step>) -> bool {
        let fault = &self.scripted.fault;
        let is_here = |at: Option<usize>| at == Some(sent);
        if is_here(fault.huge_at) {
            let padded = json!({ "content": "x".repeat(1 << 20) });
            steps.push(self.event(&self.delta(padded, None)));
        }
        if is_here(fault.malformed_at) {
            let event = self.delta(json!({ "content": "half" }), None).to_string();
            steps.push(Step::Send(self.line(&event[..event.len() - 10])));
        }
        if is_here(fault.error_at) {
            steps.push(Step::Send(self.line(&super::failure_body(self.scripted, "server_error").to_string())));
            return true;
        }
        if is_here(fault.cut_at) {
            steps.push(Step::Cut);
        } else if is_here(fault.stall_at) {
            steps.push(Step::Stall);
        }
        is_here(fault.cut_at) || is_here(fault.stall_at)
    }

    fn call_pieces(&self) -> impl Iterator<Item = Value> {
        let mut pieces = Vec::new();
        for (place, (name, arguments)) in self.calls.iter().enumerate() {
            if self.scripted.fault.odd_calls {
                pieces.push(json!({ "type": "function", "function": { "name": name, "arguments": arguments } }));
                continue;
            }
            let function = json!({ "name": name, "arguments": "" });
            pieces.push(json!({ "index": place, "id": self.call_id(place), "type": "function", "function": function }));
            let chars: Vec<char> = arguments.chars().collect();
            let parts = chars.chunks(8).map(|part| part.iter().collect::<String>());
            pieces.extend(parts.map(|part| json!({ "index": place, "function": { "arguments": part } })));
        }
        pieces.into_iter().map(|piece| json!({ "tool_calls": [piece] }))
    }

    fn delta(&self, delta: Value, finish: Option<&str>) -> Value {
        let choice = json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish });
        let mut chunk = self.object("chat.completion.chunk", json!([choice]), None);
        if self.request.usage {
            chunk["usage"] = Value::Null;
        }
        if self.request.padded {
            let length = chunk.to_string().len();
            chunk["obfuscation"] = json!("x".repeat(16 - length % 16));
        }
        chunk
    }

    fn object(&self, kind: &str, choices: Value, usage: Option<Value>) -> Value {
        let mut object = json!({
            "id": format!("chatcmpl-{}", self.number), "object": kind, "created": self.created,
            "model": self.request.model, "choices": choices, "service_tier": "default",
            "system_fingerprint": format!("rehearsal_{}", self.script)
        });
        if let Some(usage) = usage {
            object["usage"] = usage;
        }
        object
    }

    fn usage(&self) -> Value {
        let said =
            self.content.len() + self.calls.iter().map(|(name, arguments)| name.len() + arguments.len()).sum::<usize>();
        let thought = self.scripted.reasoning.as_ref().map_or(0, |reasoning| reasoning.len().div_ceil(4));
        let (prompt, completion) = (self.request.characters.div_ceil(4), said.div_ceil(4) + thought);
        json!({
            "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
            "completion_tokens_details": {
                "reasoning_tokens": thought, "audio_tokens": 0, "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0
            }
        })
    }

    fn finish(&self) -> String {
        let calls = !self.calls.is_empty() && !self.scripted.fault.odd_calls;
        let otherwise = if self.cut_short {
            "length"
        } else if calls {
            "tool_calls"
        } else {
            "stop"
        };
        self.scripted.finish.clone().unwrap_or_else(|| otherwise.to_owned())
    }

    fn call_id(&self, place: usize) -> String {
        format!("call_{}_{place}", self.number)
    }

    fn event(&self, chunk: &Value) -> Step {
        Step::Send(self.line(&chunk.to_string()))
    }

    fn line(&self, data: &str) -> String {
        match self.scripted.fault.gateway {
            true => format!("data:{data}\r\n\r\n: ping\r\n\r\n"),
            false => format!("data: {data}\n\n"),
        }
    }
}
