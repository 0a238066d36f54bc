//! Server events as borrowed structs: only the fields that are used, none required that a compatible server may leave
//! out, and each read whatever it is written as. An event that can be told is worth more than one that is well-formed.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::{ResponseStatus, Usage};
use crate::link::complaint::Complaint;
pub(super) use crate::link::lenient::{Text, or_empty, read, read_or_default};

/// The event's `type`. Servers write it first, so most messages need no second pass over their audio.
pub(super) fn type_of(text: &str) -> Option<Cow<'_, str>> {
    if let Some(rest) = text.strip_prefix(r#"{"type":""#)
        && let Some(end) = rest.bytes().position(|b| b == b'"' || b == b'\\')
        && rest.as_bytes()[end] == b'"'
    {
        return Some(Cow::Borrowed(&rest[..end]));
    }
    #[derive(Deserialize)]
    struct Peek<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    serde_json::from_str::<Peek<'_>>(text).ok().map(|peek| peek.kind)
}

/// Every event about a part of a response, and about the input buffer.
#[derive(Deserialize)]
pub(super) struct Piece<'a> {
    #[serde(borrow)]
    pub(super) response_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) item_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) delta: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) transcript: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) audio_start_ms: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) audio_end_ms: Option<Text<'a>>,
}

/// `response.output_item.added` and `.done`.
#[derive(Deserialize)]
pub(super) struct ItemEvent<'a> {
    #[serde(borrow)]
    pub(super) response_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) item: Option<&'a RawValue>,
}

/// An item, or the fields of one beside an event's own (`response.function_call_arguments.done`).
#[derive(Default, Deserialize)]
pub(super) struct Item<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) item_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) response_id: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) status: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) call_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    /// Text of JSON, as the API has it, or the JSON itself.
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) delta: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
}

impl Item<'_> {
    pub(super) fn is_call(&self) -> bool {
        self.kind.as_ref().is_some_and(|kind| kind.0 == "function_call")
    }

    pub(super) fn is_message(&self) -> bool {
        self.kind.as_ref().is_some_and(|kind| kind.0 == "message")
    }

    /// The words of its content, if any.
    pub(super) fn words(&self) -> String {
        #[derive(Default, Deserialize)]
        struct Part<'a> {
            #[serde(borrow)]
            transcript: Option<Text<'a>>,
        }
        let parts: Vec<Part<'_>> = read_or_default(self.content);
        parts
            .into_iter()
            .map(|part| or_empty(part.transcript))
            .filter(|words| !words.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

#[derive(Deserialize)]
pub(super) struct ResponseEvent<'a> {
    /// Where some servers write what belongs into the response.
    #[serde(borrow)]
    pub(super) response_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) response: Option<&'a RawValue>,
}

/// The parts that an odd server may write in an odd way stay raw: a response whose costs cannot be read has still ended.
#[derive(Default, Deserialize)]
pub(super) struct Response<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) status: Option<Text<'a>>,
    #[serde(borrow)]
    status_details: Option<&'a RawValue>,
    #[serde(borrow)]
    incomplete_details: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
}

impl<'a> Response<'a> {
    /// How it ended. Without a status it ended well unless it names an error; a status that nobody knows counts as failed.
    pub(super) fn outcome(&self) -> ResponseStatus {
        match self.status.as_ref().map_or("", |status| &*status.0) {
            "completed" | "complete" | "succeeded" | "success" | "done" | "finished" => ResponseStatus::Completed,
            // Said of one that is over: whoever says so does not keep count.
            "" | "in_progress" if self.complaint().is_none() => ResponseStatus::Completed,
            "cancelled" | "canceled" | "interrupted" => ResponseStatus::Cancelled,
            "incomplete" => ResponseStatus::Incomplete,
            _ => ResponseStatus::Failed,
        }
    }

    /// The vendor's reason, such as `turn_detected` or `content_filter`.
    pub(super) fn reason(&self) -> Option<Cow<'a, str>> {
        #[derive(Default, Deserialize)]
        struct Details<'a> {
            #[serde(borrow)]
            reason: Option<Text<'a>>,
        }
        let details: Details<'a> = read_or_default(self.status_details);
        details.reason.map(|text| text.0).filter(|reason| !reason.is_empty())
    }

    /// The error in it, if it has one.
    pub(super) fn complaint(&self) -> Option<Complaint<'a>> {
        #[derive(Default, Deserialize)]
        struct Details<'a> {
            #[serde(borrow)]
            error: Option<&'a RawValue>,
        }
        let details: Details<'a> = read_or_default(self.status_details);
        let raw = details.error.or(self.error).filter(|raw| raw.get() != "null")?;
        Some(Complaint::read(raw.get()))
    }

    /// Why it came to nothing, if it says so: the error in it, or what its details say.
    pub(super) fn why(&self) -> Option<Complaint<'a>> {
        self.complaint().or_else(|| {
            let details = [self.status_details, self.incomplete_details].into_iter().flatten();
            let mut told = details.filter(|raw| raw.get() != "null").map(|raw| Complaint::of_details(raw.get()));
            told.find(|complaint| !complaint.is_empty())
        })
    }

    /// The items in it.
    pub(super) fn items(&self) -> Vec<Item<'a>> {
        let raw: Vec<&'a RawValue> = read_or_default(self.output);
        raw.into_iter().filter_map(|item| read(item.get())).collect()
    }

    /// What it cost; zeros where the server does not say.
    pub(super) fn usage(&self) -> Usage {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Wire<'a> {
            #[serde(borrow)]
            input_tokens: Option<Text<'a>>,
            #[serde(borrow)]
            output_tokens: Option<Text<'a>>,
            #[serde(borrow)]
            input_token_details: Option<&'a RawValue>,
            #[serde(borrow)]
            output_token_details: Option<&'a RawValue>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Details<'a> {
            #[serde(borrow)]
            audio_tokens: Option<Text<'a>>,
            #[serde(borrow)]
            cached_tokens: Option<Text<'a>>,
        }
        let wire: Wire<'_> = read_or_default(self.usage);
        let input: Details<'_> = read_or_default(wire.input_token_details);
        let output: Details<'_> = read_or_default(wire.output_token_details);
        Usage {
            input_tokens: count(wire.input_tokens),
            input_audio_tokens: count(input.audio_tokens),
            cached_tokens: count(input.cached_tokens),
            output_tokens: count(wire.output_tokens),
            output_audio_tokens: count(output.audio_tokens),
        }
    }
}

/// A whole number, as some servers write with a decimal point or in quotes; what is no count is zero.
pub(super) fn count(number: Option<Text<'_>>) -> u64 {
    number.and_then(|text| text.0.parse::<f64>().ok()).map_or(0, |number| number as u64)
}
