//! What a conversation goes by: a deployment as meant when a message came in.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::breaker::BreakerSettings;
use super::handoff::Reason;
use super::model::ToolSpec;
use crate::base::template::{Variables, render};
use crate::config::{ChatDeployment, ChatSettings, HttpTool, Schema, TextModel, Tool, ToolKind};

/// Settings of one answer: each message brings those that are in force, and its answer is given by them to its end.
#[derive(Clone, Debug)]
pub struct TalkSettings {
    /// The deployment's name.
    pub deployment: Arc<str>,
    /// Which documents these settings were made of, as calls name it.
    pub revision: Arc<str>,
    /// Who is asked.
    pub primary: Arc<TextModel>,
    /// Who is asked when that one fails.
    pub backup: Option<Arc<TextModel>>,
    /// The system prompt, its variables filled in.
    pub instructions: Arc<str>,
    /// Rules of conduct, which stand behind the instructions (AGT-05); `None`: off.
    pub policy: Option<Arc<str>>,
    /// The first message; `None`: none.
    pub welcome: Option<Arc<str>>,
    /// What the model may call.
    pub tools: Arc<[ChatTool]>,
    /// What stands behind tools that are asked of other servers, by name.
    pub http_tools: Arc<BTreeMap<String, Arc<HttpTool>>>,
    /// Whether visitors see which tools run (INT-03); else only that something does.
    pub show_tool_use: bool,
    /// Whether visitors and the agent can hand the conversation to the team.
    pub hand_off: bool,
    /// Tokens of an answer; `None`: the vendor's limit.
    pub max_output_tokens: Option<u32>,
    /// 0–2; `None`: the vendor's.
    pub temperature: Option<f32>,
    /// Names the visitor to the vendor without saying who it is: at most 64 letters, digits and `-`. `None`: nobody is named.
    pub visitor_hash: Option<Arc<str>>,
    /// When the primary is left alone.
    pub breaker: BreakerSettings,
    /// How much and how long.
    pub limits: TalkLimits,
}

/// How much a conversation may hold and how long things may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TalkLimits {
    /// Characters of a message (WEB-07).
    pub message_chars: usize,
    /// Messages of a visitor in any minute (WEB-07).
    pub messages_per_minute: u32,
    /// Messages that may wait for the end of an answer.
    pub waiting: u32,
    /// Tokens of what was said before, as estimated, that are sent along; instructions and tools come on top.
    pub history_tokens: usize,
    /// Bytes of an answer, tools' arguments apart; then it is cut off.
    pub answer_bytes: usize,
    /// Bytes of what one tool answers that the model is given.
    pub tool_output_bytes: usize,
    /// The same of all tools of an answer.
    pub tool_outputs_bytes: usize,
    /// Times in one answer that the model may call tools; then it has to answer in words.
    pub rounds: u32,
    /// Tools at once; what is called beyond that is refused.
    pub parallel: usize,
    /// Milliseconds for the connection (FAIL-06).
    pub connect_ms: u64,
    /// Milliseconds from the request to the first token (FAIL-06).
    pub first_token_ms: u64,
    /// Milliseconds from token to token.
    pub stall_ms: u64,
    /// Milliseconds that usage is waited for once the model has ended.
    pub usage_ms: u64,
    /// Seconds for an answer with all its tools.
    pub answer_s: u64,
    /// Seconds without a message after which the conversation ends; 0: never.
    pub idle_s: u64,
    /// Seconds that a visitor waits for a person before the agent goes on; 0: without end.
    pub hand_off_s: u64,
}

impl Default for TalkLimits {
    fn default() -> Self {
        TalkLimits {
            message_chars: 4_000,
            messages_per_minute: 20,
            // People write in bursts; more than this is no burst.
            waiting: 5,
            // Some thirty messages to and fro; a model reads all of it before it writes a word.
            history_tokens: 8_000,
            answer_bytes: 64 * 1024,
            tool_output_bytes: 16 * 1024,
            tool_outputs_bytes: 96 * 1024,
            rounds: 8,
            parallel: 8,
            connect_ms: 5_000,
            first_token_ms: 10_000,
            stall_ms: 20_000,
            usage_ms: 1_000,
            answer_s: 300,
            idle_s: 1_800,
            hand_off_s: 600,
        }
    }
}

/// A tool as a chat has it.
#[derive(Clone, Debug)]
pub struct ChatTool {
    /// As the model is told of it.
    pub spec: ToolSpec,
    /// What its arguments must be.
    pub parameters: Schema,
    /// How it runs.
    pub does: Does,
    /// Milliseconds until it counts as failed.
    pub timeout_ms: u64,
}

/// How a tool of a chat runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// `note {text}`: keeps a line in the record.
    Note,
    /// `hand_off {reason}`: asks the team to take over (BEYOND-22).
    HandOff,
    /// Asked of another server by the shell.
    Asks,
}

impl TalkSettings {
    /// A deployment as it is now; `variables` fill its agent's instructions, over the agent's own defaults.
    pub fn of(deployment: &ChatDeployment, revision: &str, variables: &Variables) -> TalkSettings {
        let persona = &deployment.persona;
        let mut known = persona.variables.clone();
        known.extend(variables.iter().map(|(name, value)| (name.clone(), value.clone())));
        let hand_off = true;
        TalkSettings {
            deployment: deployment.standing.name.as_str().into(),
            revision: revision.into(),
            primary: Arc::clone(&deployment.model),
            backup: deployment.backup.clone(),
            instructions: render(&persona.instructions, &known).into(),
            policy: None,
            welcome: deployment.welcome.as_deref().map(Arc::from),
            tools: chat_tools(&persona.tools, hand_off),
            http_tools: Arc::new(persona.http_tools.clone()),
            show_tool_use: match &deployment.settings {
                ChatSettings::Website(_) => false,
                ChatSettings::Internal(chat) => chat.show_tool_use,
            },
            hand_off,
            max_output_tokens: None,
            temperature: None,
            visitor_hash: None,
            breaker: BreakerSettings::default(),
            limits: TalkLimits::default(),
        }
    }

    /// What the model is told of its tools.
    pub fn tool_specs(&self) -> Arc<[ToolSpec]> {
        self.tools.iter().map(|tool| tool.spec.clone()).collect()
    }
}

/// Those of an agent's tools that make sense in a chat: what needs a telephone line does not.
pub fn chat_tools(tools: &[Tool], hand_off: bool) -> Arc<[ChatTool]> {
    let mut all: Vec<ChatTool> = tools.iter().filter_map(chat_tool).collect();
    if hand_off && !all.iter().any(|tool| &*tool.spec.name == HAND_OFF) {
        let reasons = Reason::ALL.map(Reason::name);
        let parameters = json!({
            "type": "object",
            "properties": { "reason": { "type": "string", "enum": reasons, "description": "Why." } },
            "required": ["reason"],
            "additionalProperties": false
        });
        let description = "Asks the team of people to take over this conversation. Use it when the visitor asks for a person, \
                           or when you cannot or must not help. You are not told who comes or when.";
        all.push(own(HAND_OFF, description, parameters, Does::HandOff));
    }
    all.into()
}

fn chat_tool(tool: &Tool) -> Option<ChatTool> {
    match tool.does {
        ToolKind::Http | ToolKind::Knowledge => Some(ChatTool {
            spec: ToolSpec {
                name: tool.name.as_str().into(),
                description: tool.description.as_str().into(),
                parameters: Arc::new(tool.parameters.document().clone()),
            },
            parameters: tool.parameters.clone(),
            does: Does::Asks,
            timeout_ms: tool.timeout_ms,
        }),
        ToolKind::Note => {
            let text = json!({ "type": "string", "description": "One short sentence that stands by itself." });
            let parameters = json!({
                "type": "object",
                "properties": { "text": text },
                "required": ["text"],
                "additionalProperties": false
            });
            let description = "Keeps a note for the people who read this conversation. Use it as soon as the visitor has \
                               settled something that must not be lost. One fact per note. The visitor does not see it.";
            Some(own(&tool.name, description, parameters, Does::Note))
        }
        ToolKind::HangUp | ToolKind::Transfer | ToolKind::SendDtmf | ToolKind::PressToContinue | ToolKind::Wait => None,
    }
}

fn own(name: &str, description: &str, parameters: serde_json::Value, does: Does) -> ChatTool {
    ChatTool {
        spec: ToolSpec { name: name.into(), description: description.into(), parameters: Arc::new(parameters.clone()) },
        parameters: Schema::unchecked(parameters),
        does,
        timeout_ms: 0,
    }
}

/// The tool that hands over.
pub const HAND_OFF: &str = "hand_off";
