//! Commands as client events.

use serde::Serialize;

use crate::engine::{CommandKind, ModelCommand, Role};

use super::update::SessionUpdate;

/// What every append is made of, around its base64.
pub(super) const APPEND_HEAD: &str = r#"{"type":"input_audio_buffer.append","audio":""#;
/// See [`APPEND_HEAD`].
pub(super) const APPEND_TAIL: &str = r#""}"#;

/// A client event, exactly as the API names its fields.
#[derive(Serialize)]
#[serde(tag = "type")]
pub(super) enum ClientEvent<'a> {
    #[serde(rename = "session.update")]
    SessionUpdate { event_id: &'a str, session: SessionUpdate<'a> },
    #[serde(rename = "input_audio_buffer.commit")]
    Commit { event_id: &'a str },
    #[serde(rename = "input_audio_buffer.clear")]
    Clear { event_id: &'a str },
    #[serde(rename = "response.create")]
    CreateResponse {
        event_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        response: Option<ResponseParams<'a>>,
    },
    #[serde(rename = "response.cancel")]
    CancelResponse { event_id: &'a str },
    #[serde(rename = "conversation.item.truncate")]
    Truncate { event_id: &'a str, item_id: &'a str, content_index: u32, audio_end_ms: u64 },
    #[serde(rename = "conversation.item.create")]
    CreateItem {
        event_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        previous_item_id: Option<&'static str>,
        item: Item<'a>,
    },
    #[serde(rename = "conversation.item.delete")]
    DeleteItem { event_id: &'a str, item_id: &'a str },
}

#[derive(Serialize)]
pub(super) struct ResponseParams<'a> {
    instructions: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item<'a> {
    Message {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        role: &'static str,
        content: [Part<'a>; 1],
    },
    FunctionCallOutput {
        call_id: &'a str,
        output: &'a str,
    },
}

#[derive(Serialize)]
pub(super) struct Part<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
}

impl<'a> ClientEvent<'a> {
    /// The event for `command`; `None` for audio, which has a path of its own.
    pub(super) fn of(command: &ModelCommand<'a>, event_id: &'a str) -> Option<Self> {
        Some(match *command {
            ModelCommand::AppendAudio(_) => return None,
            ModelCommand::CommitAudio { .. } => ClientEvent::Commit { event_id },
            ModelCommand::ClearAudio => ClientEvent::Clear { event_id },
            ModelCommand::CreateResponse { instructions } => ClientEvent::CreateResponse {
                event_id,
                response: instructions.map(|instructions| ResponseParams { instructions }),
            },
            ModelCommand::CancelResponse => ClientEvent::CancelResponse { event_id },
            // A spoken item has its audio in its first content part.
            ModelCommand::Truncate { item, audio_end_ms } => {
                ClientEvent::Truncate { event_id, item_id: item, content_index: 0, audio_end_ms }
            }
            ModelCommand::AddMessage { role, text, id, first } => {
                let (role, kind) = match role {
                    Role::System => ("system", "input_text"),
                    Role::Caller => ("user", "input_text"),
                    Role::Agent => ("assistant", "output_text"),
                };
                ClientEvent::CreateItem {
                    event_id,
                    previous_item_id: first.then_some("root"),
                    item: Item::Message { id, role, content: [Part { kind, text }] },
                }
            }
            ModelCommand::DeleteItem { item } => ClientEvent::DeleteItem { event_id, item_id: item },
            ModelCommand::ToolOutput { call, output, .. } => ClientEvent::CreateItem {
                event_id,
                previous_item_id: None,
                item: Item::FunctionCallOutput { call_id: call, output },
            },
        })
    }
}

/// The word by which an event id tells its command's kind: `cancel-13` is about a [`ModelCommand::CancelResponse`].
pub(super) const fn word(kind: CommandKind) -> &'static str {
    match kind {
        CommandKind::Configure => "configure",
        CommandKind::AppendAudio => "append",
        CommandKind::CommitAudio => "commit",
        CommandKind::ClearAudio => "clear",
        CommandKind::CreateResponse => "create",
        CommandKind::CancelResponse => "cancel",
        CommandKind::Truncate => "truncate",
        CommandKind::AddMessage => "message",
        CommandKind::DeleteItem => "delete",
        CommandKind::ToolOutput => "output",
    }
}

/// The kind of command that an event id of ours names, and its number.
pub(super) fn named_by(event_id: &str) -> Option<(CommandKind, u64)> {
    const KINDS: [CommandKind; 10] = [
        CommandKind::Configure,
        CommandKind::AppendAudio,
        CommandKind::CommitAudio,
        CommandKind::ClearAudio,
        CommandKind::CreateResponse,
        CommandKind::CancelResponse,
        CommandKind::Truncate,
        CommandKind::AddMessage,
        CommandKind::DeleteItem,
        CommandKind::ToolOutput,
    ];
    let (name, number) = event_id.rsplit_once('-')?;
    number.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
    let kind = KINDS.into_iter().find(|kind| word(*kind) == name)?;
    Some((kind, number.parse().unwrap_or(u64::MAX)))
}
