//! Server events as borrowed structs: only the fields that are used, none required that a compatible server may leave
//! out.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::{ResponseStatus, Usage};

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

/// Reads `text` as `T`, whatever else it holds.
pub(super) fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// Text that borrows from the message where it has no escapes, also inside an `Option` (a bare `Option<Cow<str>>`
/// always owns).
#[derive(Debug, Default, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The text or nothing.
pub(super) fn or_empty(text: Option<Text<'_>>) -> Cow<'_, str> {
    text.unwrap_or_default().0
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
    pub(super) audio_start_ms: Option<f64>,
    pub(super) audio_end_ms: Option<f64>,
}

/// `response.output_item.added` and `.done`, and `response.function_call_arguments.done` (fields beside, not in, an item).
#[derive(Deserialize)]
pub(super) struct ItemEvent<'a> {
    #[serde(borrow)]
    pub(super) response_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) item: Item<'a>,
}

#[derive(Deserialize)]
pub(super) struct Item<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) status: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) call_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) arguments: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct SessionEvent<'a> {
    #[serde(borrow)]
    pub(super) session: Option<Named<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Named<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct ErrorEvent<'a> {
    #[serde(borrow)]
    pub(super) error: ErrorBody<'a>,
}

#[derive(Deserialize)]
pub(super) struct ErrorBody<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) code: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) message: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) event_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct ResponseEvent<'a> {
    #[serde(borrow)]
    pub(super) response: Response<'a>,
}

/// The parts that an odd server may write in an odd way stay raw: a response whose costs cannot be read has still ended.
#[derive(Deserialize)]
pub(super) struct Response<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) status: Option<Text<'a>>,
    #[serde(borrow)]
    status_details: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

impl<'a> Response<'a> {
    /// How it ended; a status that the API does not have counts as failed.
    pub(super) fn outcome(&self) -> ResponseStatus {
        match self.status.as_ref().map(|status| &*status.0) {
            Some("completed") => ResponseStatus::Completed,
            Some("cancelled") => ResponseStatus::Cancelled,
            Some("incomplete") => ResponseStatus::Incomplete,
            _ => ResponseStatus::Failed,
        }
    }

    /// The vendor's reason, or the error's code or type.
    pub(super) fn detail(&self) -> Option<Cow<'a, str>> {
        #[derive(Deserialize)]
        struct Details<'a> {
            #[serde(borrow)]
            reason: Option<Text<'a>>,
            #[serde(borrow)]
            error: Option<ErrorBody<'a>>,
        }
        let details: Details<'a> = read(self.status_details?.get())?;
        let of_error = details.error.and_then(|error| error.code.or(error.kind).or(error.message));
        details.reason.or(of_error).map(|text| text.0)
    }

    /// What it cost; zeros where the server does not say.
    pub(super) fn usage(&self) -> Usage {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Wire {
            input_tokens: Option<f64>,
            output_tokens: Option<f64>,
            input_token_details: Option<Details>,
            output_token_details: Option<Details>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Details {
            audio_tokens: Option<f64>,
            cached_tokens: Option<f64>,
        }
        let wire: Wire = self.usage.and_then(|usage| read(usage.get())).unwrap_or_default();
        let (input, output) =
            (wire.input_token_details.unwrap_or_default(), wire.output_token_details.unwrap_or_default());
        Usage {
            input_tokens: count(wire.input_tokens),
            input_audio_tokens: count(input.audio_tokens),
            cached_tokens: count(input.cached_tokens),
            output_tokens: count(wire.output_tokens),
            output_audio_tokens: count(output.audio_tokens),
        }
    }
}

/// A whole number, as some servers write with a decimal point; what is no count is zero.
pub(super) fn count(number: Option<f64>) -> u64 {
    number.map_or(0, |number| number as u64)
}
