//! Tool calls, told in any of the ways that servers have: when its item is done, when its arguments are, or in the output
//! of a response that is over. Each is reported once, and never one that was cut short.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::decode::{Item, or_empty, read};
use crate::engine::ResponseStatus;

/// Far more tool calls than a response makes; bounds what a broken server can make us keep.
const CALLS_MAX: usize = 64;
/// Bytes of arguments that come in pieces.
const PIECES_MAX: usize = 256 * 1024;

/// What is known of a tool call before it is whole.
#[derive(Debug, Default)]
struct Call {
    /// Our name of the response.
    response: String,
    id: String,
    item: String,
    name: String,
    arguments: String,
    /// The pieces of the arguments so far.
    pieces: String,
    /// Its item was told to begin, so its end will be told too.
    announced: bool,
    /// It was told without any id: `id` is of our making.
    nameless: bool,
    /// Of one that was reported, its tool and arguments as a number.
    content: u64,
}

impl Call {
    /// The id that answers it: the item's where the call has none of its own.
    fn call(&self) -> &str {
        if self.id.is_empty() { &self.item } else { &self.id }
    }

    /// Whether it is told by these ids. An item's counts where either side has no id of the call.
    fn is(&self, id: &str, item: &str) -> bool {
        let by_id = !id.is_empty() && self.id == id;
        by_id || (!item.is_empty() && self.item == item && (id.is_empty() || self.id.is_empty()))
            // One that is answered by its item's id.
            || (!id.is_empty() && self.id.is_empty() && self.item == id)
    }

    fn arguments(&self) -> &str {
        if self.arguments.is_empty() { &self.pieces } else { &self.arguments }
    }
}

/// A call that is whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) response: String,
    pub(super) call: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

/// The tool calls of one connection.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: VecDeque<Call>,
    /// Those that were reported: a later response may use a call's id again.
    reported: VecDeque<Call>,
    /// Numbers the ids that we make.
    made: u64,
}

impl Calls {
    /// What is told of a call whose end is still to come.
    pub(super) fn note(&mut self, response: &str, item: Item<'_>, announced: bool) {
        if let Some(at) = self.find(response, &item) {
            self.open[at].announced |= announced;
            self.learn(at, item);
        }
    }

    /// The arguments are complete. Where nothing told the call to begin, nothing will tell its end; but the id by which it is
    /// answered may still be told with that, or with the response's.
    pub(super) fn arguments_done(&mut self, response: &str, item: Item<'_>) -> Option<Whole> {
        let at = self.find(response, &item)?;
        self.learn(at, item);
        let call = &self.open[at];
        let answerable = !call.id.is_empty() && !call.nameless;
        let whole = answerable && !call.announced && !call.name.is_empty() && is_whole(call.arguments());
        if whole { self.report(at) } else { None }
    }

    /// A call's item is done.
    pub(super) fn item_done(&mut self, response: &str, item: Item<'_>) -> Option<Whole> {
        let status = or_empty(item.status.clone());
        let at = self.find(response, &item)?;
        self.learn(at, item);
        // A server that does not say: arguments that were cut short are no JSON.
        let whole = match &*status {
            "completed" | "complete" => true,
            "incomplete" | "failed" | "cancelled" | "canceled" => false,
            _ => is_whole(self.open[at].arguments()),
        };
        if whole {
            return self.report(at);
        }
        self.open.remove(at);
        None
    }

    /// A response is over: what it lists, and what was told of it and never told to be done.
    pub(super) fn response_done(&mut self, response: &str, status: ResponseStatus, items: Vec<Item<'_>>) -> Vec<Whole> {
        let mut whole = Vec::new();
        for item in items.into_iter().filter(Item::is_call) {
            let sure = item.status.as_ref().is_some_and(|status| status.0 == "completed");
            if sure || status == ResponseStatus::Completed {
                whole.extend(self.item_done(response, item));
            }
        }
        while let Some(at) = self.open.iter().position(|call| call.response == response) {
            let call = &self.open[at];
            let ran = status == ResponseStatus::Completed && !call.name.is_empty() && is_whole(call.arguments());
            match ran {
                true => whole.extend(self.report(at)),
                false => drop(self.open.remove(at)),
            }
        }
        whole
    }

    /// Whether an item is a call of this response, reported or not.
    pub(super) fn knows(&self, response: &str, item: &Item<'_>) -> bool {
        let (id, item_id) = ids(item);
        let nameless = id.is_empty() && item_id.is_empty();
        let content = content(item.name.as_ref().map_or("", |name| &name.0), &arguments(item.arguments));
        let told = |call: &Call| {
            call.response == response && (call.is(&id, &item_id) || (nameless && call.content == content))
        };
        self.open.iter().chain(&self.reported).any(told)
    }

    /// The tool of a call that was told without any id: what answers it cannot say so.
    pub(super) fn nameless(&self, call: &str) -> Option<&str> {
        let known = self.reported.iter().rev().find(|known| known.call() == call)?;
        known.nameless.then_some(known.name.as_str())
    }

    /// The place of the call that an item tells of; `None` when it was reported before.
    fn find(&mut self, response: &str, item: &Item<'_>) -> Option<usize> {
        let (id, item_id) = ids(item);
        let nameless = id.is_empty() && item_id.is_empty();
        let told = |call: &Call| call.response == response && call.is(&id, &item_id);
        // Where one of the two has no id, it is the tool's last one.
        let by_name = |call: &Call| call.response == response && (nameless || call.nameless) && is_named(call, item);
        let open = self.open.iter().position(told).or_else(|| self.open.iter().rposition(by_name));
        if let Some(at) = open {
            let call = &mut self.open[at];
            if call.nameless && !nameless {
                (call.id, call.nameless) = (String::new(), false);
            }
            for (known, told) in [(&mut call.id, id), (&mut call.item, item_id)] {
                if known.is_empty() {
                    *known = told;
                }
            }
            return Some(at);
        }
        if self.reported.iter().any(told) {
            return None;
        }
        if self.open.len() == CALLS_MAX {
            self.open.pop_front();
        }
        let id = if nameless {
            self.made += 1;
            format!("call~{}", self.made)
        } else {
            id
        };
        self.open.push_back(Call { response: response.to_owned(), id, item: item_id, nameless, ..Call::default() });
        Some(self.open.len() - 1)
    }

    fn learn(&mut self, at: usize, item: Item<'_>) {
        let call = &mut self.open[at];
        if let Some(name) = item.name.filter(|name| !name.0.is_empty()) {
            call.name = name.0.into_owned();
        }
        let arguments = arguments(item.arguments);
        if !arguments.is_empty() {
            call.arguments = arguments.into_owned();
        }
        let piece = or_empty(item.delta);
        if call.pieces.len() + piece.len() <= PIECES_MAX {
            call.pieces.push_str(&piece);
        }
    }

    fn report(&mut self, at: usize) -> Option<Whole> {
        let mut call = self.open.remove(at)?;
        call.content = content(&call.name, call.arguments());
        // Without an id, what is the same is the same call told again.
        let again = |known: &Call| {
            known.response == call.response && (known.nameless || call.nameless) && known.content == call.content
        };
        if self.reported.iter().any(again) {
            return None;
        }
        let (told, pieces) = (std::mem::take(&mut call.arguments), std::mem::take(&mut call.pieces));
        let whole = Whole {
            response: call.response.clone(),
            call: call.call().to_owned(),
            name: call.name.clone(),
            arguments: if told.is_empty() { pieces } else { told },
        };
        if self.reported.len() == CALLS_MAX {
            self.reported.pop_front();
        }
        self.reported.push_back(call);
        Some(whole)
    }
}

/// The call's id and its item's; empty where they are not told.
fn ids(item: &Item<'_>) -> (String, String) {
    let text = |text: &Option<super::decode::Text<'_>>| text.as_ref().map_or(String::new(), |t| t.0.to_string());
    let item_id = Some(text(&item.id)).filter(|id| !id.is_empty()).unwrap_or(text(&item.item_id));
    (text(&item.call_id), item_id)
}

/// A call's tool and arguments as a number, by which it is known again.
fn content(name: &str, arguments: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, arguments).hash(&mut hasher);
    hasher.finish()
}

/// Whether an item has the name of a call, or none.
fn is_named(call: &Call, item: &Item<'_>) -> bool {
    item.name.as_ref().is_none_or(|name| name.0.is_empty() || call.name.is_empty() || name.0 == call.name)
}

/// Whether arguments are complete. None at all are those of a tool that takes none.
fn is_whole(arguments: &str) -> bool {
    arguments.trim().is_empty() || read::<serde::de::IgnoredAny>(arguments).is_some()
}

/// The arguments as text of JSON, whether they are written as such, as JSON, as text of text, or in a Markdown fence.
fn arguments(raw: Option<&RawValue>) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let raw = raw.map_or("", RawValue::get);
    let text = match read::<Text<'_>>(raw) {
        Some(text) => text.0,
        None => Cow::Borrowed(raw),
    };
    let bare = text.trim();
    if matches!(bare, "null" | "\"\"") {
        return Cow::Borrowed("");
    }
    let unfenced = bare.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    let unfenced = unfenced.map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).trim());
    if let Some(inner) = unfenced {
        return Cow::Owned(inner.to_owned());
    }
    if bare.starts_with('"')
        && let Some(Text(inner)) = read::<Text<'_>>(bare)
        && inner.trim_start().starts_with('{')
    {
        return Cow::Owned(inner.into_owned());
    }
    text
}
