//! Pieces of tool calls, each with the number of its call.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::lenient::{Text, or_empty, read};
use crate::talk::model::ModelEvent;

/// A piece of a call, or a whole one.
#[derive(Deserialize)]
pub(super) struct Piece<'a> {
    #[serde(borrow)]
    index: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<&'a RawValue>,
}

/// Its function; also all of a call of the API's first kind, which has no id.
#[derive(Default, Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    /// Text of JSON, as the API has it, or the JSON itself.
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// The calls of one answer, as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Calls {
    all: Vec<Call>,
}

#[derive(Debug)]
struct Call {
    /// The vendor's number; not every vendor's differ.
    index: Option<u64>,
    /// The vendor's; `None`: it gave none, and one was made up.
    id: Option<String>,
    name: String,
    arguments: String,
}

impl Calls {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Reads a piece. `answer`: the id of the answer that it is in.
    pub(super) fn take(&mut self, piece: Piece<'_>, answer: &str) -> ModelEvent {
        let function: Function<'_> = piece.function.and_then(|raw| read(raw.get())).unwrap_or_default();
        let index = piece.index.and_then(|index| index.0.parse::<f64>().ok()).map(|index| index as u64);
        self.add(index, &or_empty(piece.id), function, answer)
    }

    /// The same of a call that has neither number nor id, as there is but one.
    pub(super) fn take_function(&mut self, function: Function<'_>, answer: &str) -> ModelEvent {
        self.add(Some(0), "", function, answer)
    }

    fn add(&mut self, index: Option<u64>, id: &str, function: Function<'_>, answer: &str) -> ModelEvent {
        let name = or_empty(function.name);
        let arguments = match function.arguments.map(RawValue::get) {
            None => Cow::Borrowed(""),
            Some(raw) if raw.starts_with(['{', '[']) => Cow::Borrowed(raw),
            Some(raw) => read::<Text<'_>>(raw).unwrap_or_default().0,
        };
        let place = match self.place(index, id, &name) {
            Some(place) => place,
            None => {
                let call = Call {
                    index,
                    id: Some(id.to_owned()).filter(|id| !id.is_empty()),
                    name: name.clone().into_owned(),
                    arguments: arguments.clone().into_owned(),
                };
                let place = self.all.len();
                let id = call.id.clone().unwrap_or_else(|| made_up(answer, place));
                self.all.push(call);
                let (id, name) = (Some(id), Some(name.into_owned()).filter(|name| !name.is_empty()));
                return ModelEvent::ToolCall { index: number(place), id, name, arguments: arguments.into_owned() };
            }
        };
        let call = &mut self.all[place];
        call.arguments.push_str(&arguments);
        // Some repeat the name in each piece.
        let name = Some(name).filter(|name| call.name.is_empty() && !name.is_empty()).map(Cow::into_owned);
        call.name.push_str(name.as_deref().unwrap_or_default());
        ModelEvent::ToolCall { index: number(place), id: None, name, arguments: arguments.into_owned() }
    }

    /// Which of the calls a piece belongs to; `None`: it begins one.
    fn place(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let place = match (index, id) {
            (Some(_), _) => self.all.iter().rposition(|call| call.index == index),
            (None, "") => self.all.len().checked_sub(1),
            (None, id) => self.all.iter().rposition(|call| call.id.as_deref() == Some(id)),
        }?;
        let call = &self.all[place];
        // Some number all their calls alike, and some neither number nor name them: a call that has all of its arguments is
        // not the one that is named here.
        let other = match (id, &call.id) {
            ("", _) | (_, None) => !name.is_empty() && read::<&RawValue>(&call.arguments).is_some(),
            (id, Some(known)) => id != known,
        };
        (!other).then_some(place)
    }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// An id for a call that came without one: no two answers' are the same, as far as answers have ids.
fn made_up(answer: &str, place: usize) -> String {
    let letters: Vec<char> = answer.chars().filter(char::is_ascii_alphanumeric).collect();
    let tail: String = letters[letters.len().saturating_sub(24)..].iter().collect();
    if tail.is_empty() { format!("call_{place}") } else { format!("call_{tail}_{place}") }
}
