//! What a model is sent: instructions and policy, what was said as far as it fits, and what tools have answered by now.
//!
//! What was said is cut at the edges of turns, oldest first: a turn is what the visitor says in a row, with all that follows
//! it. The last one is always sent; of messages that pile up while nobody answers, the latest.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::handoff::Hand;
use super::model::Message;
use super::row::{From, Row, State, Step};
use super::settings::TalkSettings;

/// Tokens that a message costs beside its text.
const MESSAGE_TOKENS: usize = 4;
/// Bytes of what a tool answered in an earlier turn; the model has made its answer of it already.
const OLD_OUTPUT_MAX: usize = 1_000;

/// What is to be answered, and what there is of the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open<'a> {
    /// The last message of the visitor that it answers.
    pub(super) answers: u64,
    /// The answer in place of which it is asked for.
    pub(super) again_of: Option<u64>,
    /// What was said until now.
    pub(super) text: &'a str,
    /// Tools called until now.
    pub(super) steps: &'a [Step],
}

/// Messages, and what was left out.
#[derive(Debug, PartialEq)]
pub(super) struct Prompt {
    pub(super) messages: Vec<Message>,
    /// As estimated.
    pub(super) tokens: usize,
    /// Turns and messages that did not fit.
    pub(super) left_out: u64,
}

/// Writes the messages of a request; `history_tokens` of what was said fit.
pub(super) fn write<'a>(
    settings: &TalkSettings,
    rows: impl Iterator<Item = &'a Row> + Clone,
    open: Open<'_>,
    history_tokens: usize,
) -> Prompt {
    let mut turns = turns(rows.clone(), open);
    let last = turns.last_mut().map_or(0, |turn| shorten(turn, history_tokens));
    let mut left_out = last as u64;
    let mut fits = 0;
    let mut tokens = 0;
    for turn in turns.iter().rev() {
        let turn_tokens: usize = turn.iter().map(weigh).sum();
        if fits > 0 && tokens + turn_tokens > history_tokens {
            break;
        }
        tokens += turn_tokens;
        fits += 1;
    }
    left_out += (turns.len() - fits) as u64;
    let first = turns.len() - fits;
    let instructions = instructions(settings, rows);
    let messages = joined(instructions.into_iter().chain(turns.drain(first..).flatten()));
    let tokens = messages.iter().map(weigh).sum();
    Prompt { messages, tokens, left_out }
}

/// Instructions first, then the policy (AGT-05); and what has to be known of the team, if it was here.
fn instructions<'a>(settings: &TalkSettings, rows: impl Iterator<Item = &'a Row> + Clone) -> Option<Message> {
    let people = rows.clone().any(|row| matches!(row.from, From::Person(_)));
    let hand = rows.filter_map(|row| if let From::HandOff(hand) = &row.from { Some(hand) } else { None }).last();
    let parts = [
        Some(&*settings.instructions),
        settings.policy.as_deref(),
        people.then_some(OF_PEOPLE),
        (hand == Some(&Hand::Agent)).then_some(OF_HANDS),
    ];
    let parts: Vec<&str> = parts.into_iter().flatten().map(str::trim).filter(|text| !text.is_empty()).collect();
    (!parts.is_empty()).then(|| Message::System(parts.join("\n\n").into()))
}

/// What a person says is sent as the model's own, with the name before it: not every vendor takes instructions in the middle.
const OF_PEOPLE: &str = "Some of your earlier messages begin with a name in brackets: people of the team wrote those while they \
                         had the conversation. Never begin a message like that yourself.";
const OF_HANDS: &str = "The conversation was handed to the team before. It is yours again.";

/// One message where several of one side follow each other: some models take them only in turns.
fn joined(messages: impl Iterator<Item = Message>) -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    for message in messages {
        match (all.last_mut(), message) {
            (Some(Message::User(before)), Message::User(text)) => *before = format!("{before}\n\n{text}").into(),
            (Some(Message::Assistant { text: before, calls: none }), Message::Assistant { text, calls })
                if none.is_empty() =>
            {
                *before = format!("{before}\n\n{text}").trim_end().into();
                *none = calls;
            }
            (_, message) => all.push(message),
        }
    }
    all
}

fn turns<'a>(rows: impl Iterator<Item = &'a Row> + Clone, open: Open<'_>) -> Vec<Vec<Message>> {
    let again_of = rows.clone().filter_map(|row| row.answer.as_ref()?.again_of);
    let replaced: BTreeSet<u64> = again_of.chain(open.again_of).collect();
    let mut turns: Vec<Vec<Message>> = Vec::new();
    let mut of_visitor = false;
    // What is waiting yet is for the next answer.
    for row in rows.filter(|row| row.from != From::Visitor || row.seq <= open.answers) {
        let messages = said(row, replaced.contains(&row.seq));
        if messages.is_empty() {
            continue;
        }
        let is_visitor = row.from == From::Visitor;
        match turns.last_mut() {
            Some(turn) if of_visitor || !is_visitor => turn.extend(messages),
            _ => turns.push(messages),
        }
        of_visitor = is_visitor;
    }
    let rest = steps(open.text, open.steps, usize::MAX);
    match turns.last_mut() {
        Some(turn) => turn.extend(rest),
        None => turns.push(rest),
    }
    turns
}

/// A row as the model is told of it. Of an answer that was asked for again only what its tools did is told: it is done.
fn said(row: &Row, replaced: bool) -> Vec<Message> {
    match &row.from {
        From::Visitor => vec![Message::User(Arc::clone(&row.text))],
        From::Person(name) => vec![assistant(&format!("[{name}] {}", row.text))],
        From::HandOff(_) | From::Ended(_) | From::Note => Vec::new(),
        From::Agent => {
            let calls = row.answer.as_ref().map_or(&[][..], |answer| &answer.steps);
            if replaced {
                return calls.iter().flat_map(|step| called("", step, OLD_OUTPUT_MAX)).collect();
            }
            let mut messages = steps(&row.text, calls, OLD_OUTPUT_MAX);
            let from = calls.last().map_or(0, |step| step.until);
            match (row.text.get(from..).unwrap_or_default().trim(), row.state) {
                ("", _) => {}
                (rest, State::Whole) => messages.push(assistant(rest)),
                (rest, _) => messages.push(assistant(&format!("{rest}…"))),
            }
            messages
        }
    }
}

/// What was said and called, request by request; without what was said after the last call.
fn steps(text: &str, steps: &[Step], output_max: usize) -> Vec<Message> {
    let mut from = 0;
    let mut messages = Vec::new();
    for step in steps {
        messages.extend(called(text.get(from..step.until).unwrap_or_default(), step, output_max));
        from = step.until;
    }
    messages
}

fn called(text: &str, step: &Step, output_max: usize) -> Vec<Message> {
    let calls = step.calls.iter().map(super::row::Called::call).collect();
    let outputs = step.calls.iter().map(|call| {
        let output = match call.output.floor_char_boundary(output_max) {
            all if all == call.output.len() => Arc::clone(&call.output),
            some => format!("{}… (cut off)", &call.output[..some]).into(),
        };
        Message::Tool { call: Arc::clone(&call.id), output }
    });
    std::iter::once(Message::Assistant { text: text.trim().into(), calls }).chain(outputs).collect()
}

fn assistant(text: &str) -> Message {
    Message::Assistant { text: text.trim().into(), calls: Vec::new() }
}

/// Leaves out the oldest of the messages that the visitor said in a row, but for the last. Answers how many.
fn shorten(turn: &mut Vec<Message>, tokens: usize) -> usize {
    let mut over = turn.iter().map(weigh).sum::<usize>();
    let mut gone = 0;
    while over > tokens && matches!(turn.get(gone..gone + 2), Some([Message::User(_), Message::User(_)])) {
        over -= weigh(&turn[gone]);
        gone += 1;
    }
    turn.drain(..gone);
    gone
}

fn weigh(message: &Message) -> usize {
    let text = match message {
        Message::System(text) | Message::User(text) | Message::Tool { output: text, .. } => tokens(text),
        Message::Assistant { text, calls } => {
            tokens(text) + calls.iter().map(|call| tokens(&call.name) + tokens(&call.arguments)).sum::<usize>()
        }
    };
    text + MESSAGE_TOKENS
}

/// About how many tokens a text is: four letters of ASCII each, and one for any other character. Vendors' own counts differ;
/// this one is rather too high.
pub(super) fn tokens(text: &str) -> usize {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    ascii.div_ceil(4) + text.chars().filter(|c| !c.is_ascii()).count()
}
